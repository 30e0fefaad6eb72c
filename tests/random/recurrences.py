"""How far a recurrent layer may be from its float meaning, given the integers it reads: NUMERICS 9, step by step.

Errors are carried from step to step by the slopes of the functions and the sizes of the weights, for each unit; none is
measured. Where a value that the float layer takes cannot be said by the integers (a state beyond what calibration saw),
its sample is not compared: from there on both sides are layers of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.random.net import Array
from tinygen.ir.types import Node, Tensor
from tinygen.ops import Gru, Lstm, Recurrent
from tinygen.ops.base import need_quant
from tinygen.ops.recurrent import Function

#: What narrowing to h adds to half a step: a multiplier of 15 bits.
NARROWED = 0.52
#: From here on an error says nothing.
LOST = 1e20


class _Curve:
    """A function behind its table: the largest value, slope and error, over all sums (in units of 2^(k - 15))."""

    def __init__(self, f: Function, reach: int, k: int) -> None:
        p = np.arange(-32768, 32768, 3)
        unit = f.unit(reach)
        table = f.table(reach, unit)
        x = p * 2.0 ** (k - 15)
        found = table(np.clip(p << (k - reach), -32768, 32767)) * 2.0 ** (unit - 15)
        far = np.linspace(-(2.0**k), 2.0**k, 4097) * 8
        self.top = float(np.abs(f(far)).max())
        self.slope = float((np.abs(np.diff(f(far))) / np.diff(far)).max())
        self.slope = max(self.slope, float((np.abs(np.diff(f(x))) / np.diff(x)).max()))
        beyond = max(abs(float(f(np.array(s * 2.0**k * 8)) - f(np.array(s * 2.0**k)))) for s in (-1, 1))
        self.error = float(np.abs(found - f(x)).max()) + beyond + 2.0 ** (unit - 15)


def clean(op: Recurrent, ins: Sequence[Tensor], outs: Sequence[Tensor], x: Array, float_outs: Sequence[Array]) -> Array:
    """For each sample: do all values of the float layer lie within what the integers can say? Also what x brings to
    the sums, which is saturated before h comes to it. `ins`: FLOAT."""
    ranges = [outs[0], outs[1], *([outs[2]] if isinstance(op, Lstm) else [])]
    seen = [*float_outs[: len(ranges)]]
    more = list(float_outs[1 + op.STATES :])
    if isinstance(op, Lstm):
        ranges, seen = [*ranges, outs[2]], [*seen, more.pop(0)]
    if not op.sequence:
        ranges, seen = [*ranges, outs[0]], [*seen, more.pop(0)]
    if isinstance(op, Gru) and op.initial:  # of what h is a copy of
        ranges, seen = [*ranges, outs[0]], [*seen, more[int(op.is_open)]]
    good = np.ones(len(seen[0]), bool)
    if not op.is_open:
        for w, b in zip(ins[1].array, ins[3].array, strict=True):
            half = len(b) // 2
            px = x @ w.T + b[:half] + np.where(op._apart(), 0.0, b[half:])
            good &= np.abs(px).reshape(len(x), -1).max(axis=1) < 2.0 ** op._reach_of_sums(outs)
    for t, x in zip(ranges, seen, strict=True):
        assert t.quant is not None
        q = t.quant
        low, high = q.s * (q.low - q.zero_point - 0.5), q.s * (q.high - q.zero_point + 0.5)
        good &= ((x >= low) & (x <= high)).reshape(len(x), -1).all(axis=1)
    return good


def recurrent_bounds(node: Node, ins: Sequence[Tensor], made: Node, fixed_ins: Sequence[Tensor],
                     outs: Sequence[Tensor], x: Array) -> list[float] | None:  # fmt: skip
    """Steps that y, h (and c) may be off; None where sums have a range of their own (functions that are flat nowhere,
    or what the reset gate multiplies). `ins`: FLOAT; `x`: the real values read, (samples, N, T, I)."""
    op = made.op
    assert isinstance(op, Recurrent)
    if op.is_open or any(f.name == "ThresholdedRelu" for per in op.functions for f in per):
        return None
    k = op._reach_of_sums(outs)
    found = [_direction(op, d, k, ins, fixed_ins, outs, x) for d in range(op.directions)]
    if any(f is None for f in found):
        return None
    return [max(values) for values in zip(*(f for f in found if f is not None), strict=True)]


def _direction(op: Recurrent, d: int, k: int, ins: Sequence[Tensor], fixed_ins: Sequence[Tensor],
               outs: Sequence[Tensor], x: Array) -> list[float] | None:  # fmt: skip
    unit = 2.0 ** (k - 15)
    first = 1 + (op.STATES if op.initial else 0)
    names = ["w", "r", "b", *(["bh"] if isinstance(op, Gru) else []), "mx", "mh"]
    own = {n: t.array[d].astype(np.float64) for n, t in zip(names, fixed_ins[first:], strict=False)}
    w, r, b = (t.array[d].astype(np.float64) for t in ins[1:4])
    (s_x, _), (s_h, _) = need_quant(fixed_ins[0]), need_quant(outs[0])
    q_h = outs[0].quant
    assert q_h is not None
    sums = op.rules[d].sums
    # One unit of a code in real sums, the multiplier's rounding included.
    of_x, of_h = own["mx"] * 2.0**-sums.x_shift * unit, own["mh"] * 2.0**-sums.h_shift * unit
    top_x = np.abs(x).reshape(-1, x.shape[-1]).max(axis=0)
    half = len(b) // 2
    apart = op._apart()
    bias = b[:half] + np.where(apart, 0.0, b[half:])
    px = np.abs(w - own["w"] * (of_x / s_x)[:, None]) @ top_x + np.abs(bias - own["b"] * of_x) + unit
    off_r = np.abs(r - own["r"] * (of_h / s_h)[:, None])
    rate = np.abs(r)
    reads = [op._curve(f, k)[1] for f in op.functions[d][: op._read_sums]]
    curves = [_Curve(f, reach, k) for f, reach in zip(op.functions[d], reads, strict=False)]
    steps = max(op.steps(ins[0].shape))
    if isinstance(op, Lstm):
        return _lstm(op, d, k, curves, px, off_r, rate, ins, outs, steps)
    units, top = op.units, s_h * q_h.high
    if not isinstance(op, Gru):
        (f,), e = curves, np.full(units, s_h / 2)
        for _ in range(steps):
            of_h = off_r @ np.full(units, top) + rate @ e
            e = np.minimum(f.slope * (px + of_h + unit) + f.error + NARROWED * s_h, LOST)
        return [float(e.max()) / s_h] * 2
    s_s = need_quant(outs[1])[0]
    gate, inner = curves
    size = np.full(units, s_s * 32768)
    reset, new = slice(units, 2 * units), slice(2 * units, 3 * units)
    inside = rate[new] @ size + np.abs(b[half:][new])
    if op.before and inside.max() >= 2.0**k:
        return None
    e = np.full(units, s_s / 2)
    for _ in range(steps):
        h = e + NARROWED * s_h
        gates = gate.slope * (px[: 2 * units] + (off_r @ size + rate @ h)[: 2 * units] + unit) + gate.error
        z, g = gates[:units], gates[reset]
        if op.before:
            of_n = gate.top * ((off_r @ size + rate @ h)[new] + 2 * unit) + inside * g
        else:
            kept = gate.top * e + size * g + NARROWED * s_h
            of_n = off_r[new] @ size + rate[new] @ kept + unit
        n = inner.slope * (px[new] + of_n + unit) + inner.error
        mixed = np.maximum(e, n) if gate.top <= 1.0 and op.functions[d][0].name in ("Sigmoid", "HardSigmoid") else (
            gate.top * e + (1 + gate.top) * n
        )  # fmt: skip
        e = np.minimum(mixed + (size + inner.top + n) * z + 2 * s_s, LOST)
    return [float(e.max() + NARROWED * s_h) / s_h, float(e.max()) / s_s]


def _lstm(op: Lstm, d: int, k: int, curves: Sequence[_Curve], px: Array, off_r: Array, rate: Array,
          ins: Sequence[Tensor], outs: Sequence[Tensor], steps: int) -> list[float]:  # fmt: skip
    units = op.units
    (s_h, _), (s_c, _) = need_quant(outs[0]), need_quant(outs[2])
    n = round(np.log2(s_c)) + 23
    t = op.functions[d][2]
    reach = n if t.reach is None else max(t.reach, n - 8)
    gate, inner = curves
    outer = _Curve(t, reach, reach)
    peep = np.zeros((3, units))
    if op.peepholes:
        peep = np.abs(ins[4].array[d].astype(np.float64)).reshape(3, units)
    unit, top_c, top_h = 2.0 ** (k - 15), 2.0**n, s_h * 127
    cut = s_c * (2.0 ** (1 + np.ceil(np.log2(max(gate.top, 1.0)))) + 2)
    h, c = np.full(units, s_h / 2), np.full(units, s_c / 2)
    for _ in range(steps):
        p = px + off_r @ np.full(units, top_h) + rate @ h + 2 * unit
        i, o, f, g = np.split(p, 4)
        i, f = (gate.slope * (v + w * c) + gate.error for v, w in ((i, peep[0]), (f, peep[2])))
        f = i if op.coupled else f
        g = inner.slope * g + inner.error
        kept = gate.top + (1.0 if op.coupled else 0.0)
        c = np.minimum((kept + f) * c + top_c * f + (inner.top + g) * i + gate.top * g + cut, LOST)
        o = gate.slope * (o + peep[1] * c + unit) + gate.error
        read = outer.slope * (c + 2.0 ** (reach - 15)) + outer.error
        h = np.minimum((gate.top + o) * read + outer.top * o + NARROWED * s_h, LOST)
    return [float(h.max()) / s_h, float(h.max()) / s_h, float(c.max()) / s_c]
