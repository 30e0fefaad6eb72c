"""LSTM, GRU and RNN in integers, step by step: docs/NUMERICS.md section 9. ops/recurrent.py is the operator around it.

Arrays: x (samples, steps, inputs), h and c (samples, units), weights (rows, inputs) with a row for each gate and unit,
gates in ONNX's order (i o f c; z r h). `sums` are what goes into the curves, int16. All results are int64; the tensors
they go into have the width that the bounds of section 9 prove.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinygen.numerics import Array, matmul_exact, requant
from tinygen.ops.gates import GateTable

#: The shift of sums: with 24 a kernel takes the high word of (256 * acc) * m.
SUM_SHIFT = 24
#: Bits of an LSTM's cell.
CELL_BITS = 24


@dataclass(frozen=True, slots=True)
class Sums:
    """From accumulators to sums: shifts of x's and of h's multipliers, and the clamp of the sum (ONNX `clip`)."""

    x_shift: int = SUM_SHIFT
    h_shift: int = SUM_SHIFT
    lo: int = -32768
    hi: int = 32767


@dataclass(frozen=True, slots=True)
class Narrowing:
    """The end of a step: a multiplier and a shift to the integers of h, from lo to hi."""

    m: int
    shift: int
    lo: int = -128
    hi: int = 127

    def product(self, p: Array) -> Array:
        """Of a product of two int16: ((p * m >> 16) + 2^(shift-1)) >> shift, clamped; with shift 0 nothing is added."""
        moved: Array = ((p * self.m >> 16) + ((1 << self.shift) >> 1)) >> self.shift
        return np.clip(moved, self.lo, self.hi)

    def value(self, v: Array) -> Array:
        """Of an int16: (v * m + 2^(shift-1)) >> shift, clamped; with shift 0 nothing is added."""
        moved: Array = (v * self.m + ((1 << self.shift) >> 1)) >> self.shift
        return np.clip(moved, self.lo, self.hi)


@dataclass(frozen=True, slots=True)
class LstmRule:
    """An LSTM's shifts. `f_up`, `g_up`: how far sums are moved up into the table of the gates' and of the input's
    curve; `f_shift`, `g_shift`, `t_shift` are those of the tables. cell = (c * f >> 16) << c_up, plus i * g rounded and
    moved down by `ig_down`; its curve reads it moved down by `t_down`. `coupled`: f is 1 - i (ONNX `input_forget`).
    `peep_shift`: of the multipliers of peepholes."""

    sums: Sums
    f_up: int
    g_up: int
    f_shift: int
    g_shift: int
    t_shift: int
    c_up: int
    ig_down: int
    t_down: int
    out: Narrowing
    coupled: bool = False
    peep_shift: int = 0


@dataclass(frozen=True, slots=True)
class GruRule:
    """A GRU's shifts. `r_down`, `z_down`: fraction bits of r and of z. `before`: the reset gate multiplies R*h
    (linear_before_reset), else h. `out`: the copy of the state that is multiplied with weights, and the output."""

    sums: Sums
    f_up: int
    g_up: int
    f_shift: int
    g_shift: int
    r_down: int
    z_down: int
    out: Narrowing
    before: bool = True


@dataclass(frozen=True, slots=True)
class RnnRule:
    """An RNN's: one curve, and the narrowing of its values to h."""

    sums: Sums
    f_up: int
    f_shift: int
    out: Narrowing


def sat16(v: Array) -> Array:
    """Clamped to int16."""
    return np.clip(v, -32768, 32767)


def weighted(x: Array, w: Array, b: Array | int, zero_point: int, bits: int) -> Array:
    """b + sum w * (x - zero_point), one value for each row of weights."""
    top = 2**bits - 1
    acc: Array = matmul_exact(x.astype(np.int64) - zero_point, w.T, top) + np.asarray(b, np.int64)
    return acc


def input_sums(rule: Sums, acc: Array, m: Array) -> Array:
    """What the inputs bring to the sums: requantised and clamped to int16."""
    return sat16(requant(acc, m, rule.x_shift))


def hidden_sums(rule: Sums, acc: Array, m: Array) -> Array:
    """What h brings to the sums: requantised."""
    return requant(acc, m, rule.h_shift)


def _sum(rule: Sums, total: Array) -> Array:
    return np.clip(sat16(total), rule.lo, rule.hi)


def lstm_step(
    rule: LstmRule, tables: Sequence[GateTable], px: Array, ph: Array, c: Array, peepholes: Array | None = None
) -> tuple[Array, Array]:
    """One step: h and c. `px`, `ph` (samples, 4 * units): what x and h bring to the sums; `tables`: of the gates, of
    the input, of the cell; `peepholes`: multipliers (3, units) for i, o, f."""
    gates, inner, outer = tables
    s = rule.sums
    p = np.split(sat16(px + ph), 4, axis=-1)

    def at(k: int, cell: Array | None) -> Array:
        if peepholes is None or cell is None:
            only: Array = np.clip(p[k], s.lo, s.hi)
            return only
        return _sum(s, p[k] + requant(cell, peepholes[k], rule.peep_shift))

    def gate(v: Array) -> Array:
        return gates(sat16(v << rule.f_up))

    i = gate(at(0, c))
    f = np.minimum(32768 - i, 32767) if rule.coupled else gate(at(2, c))
    g = inner(sat16(at(3, None) << rule.g_up))
    half = (1 << rule.ig_down) >> 1
    cell = ((c * f >> 16) << rule.c_up) + ((i * g + half) >> rule.ig_down)
    top = 1 << (CELL_BITS - 1)
    cell = np.clip(cell, -top, top - 1)
    o = gate(at(1, cell))
    t = outer(sat16((cell + ((1 << rule.t_down) >> 1)) >> rule.t_down))
    return rule.out.product(o * t), cell


def gru_step(
    rule: GruRule, tables: Sequence[GateTable], px: Array, r: Array, r_bias: Array, mh: Array, state: Array, h_bits: int
) -> tuple[Array, Array]:
    """One step: h, and the new state (samples, units), int16. `px` (samples, 3 * units): what x brings to the sums; `r`
    (3 * units, units): weights of h; `r_bias` (units): inside the reset, where `before`; `mh`: multipliers."""
    gates, inner = tables
    s, units = rule.sums, state.shape[-1]
    h = rule.out.value(state)
    ph = requant(weighted(h, r[: 2 * units], 0, 0, h_bits), mh[: 2 * units], s.h_shift)
    z, reset = np.split(gates(sat16(_sum(s, px[..., : 2 * units] + ph) << rule.f_up)), 2, axis=-1)
    half = (1 << rule.r_down) >> 1
    if rule.before:
        inside = sat16(requant(weighted(h, r[2 * units :], r_bias, 0, h_bits), mh[2 * units :], s.h_shift))
        pn = (reset * inside + half) >> rule.r_down
    else:
        kept = rule.out.value(sat16((reset * state + half) >> rule.r_down))
        pn = requant(weighted(kept, r[2 * units :], 0, 0, h_bits), mh[2 * units :], s.h_shift)
    n = inner(sat16(_sum(s, px[..., 2 * units :] + pn) << rule.g_up))
    new = sat16(n + ((z * (state - n) + ((1 << rule.z_down) >> 1)) >> rule.z_down))
    return rule.out.value(new), new


def rnn_step(rule: RnnRule, table: GateTable, px: Array, ph: Array) -> Array:
    """One step: h. `px`, `ph` (samples, units): what x and h bring to the sums."""
    return rule.out.value(table(sat16(_sum(rule.sums, px + ph) << rule.f_up)))
