"""Interval analysis of a FIXED graph: which integers each channel (index of the last axis) of each activation can take.

Exact for a layer whose inputs are independent: real weights, real requantisation, real padding. Sound for everything:
an operator without a rule of its own gets all of its type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinygen.ir.types import DType, Graph, Node, Op, Tensor
from tinygen.numerics import Array, fold_bias, requant
from tinygen.ops import (
    Add,
    ArgMax,
    AvgPool,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Expand,
    Extreme,
    Gather,
    MaxPool,
    Mul,
    Pad,
    PRelu,
    ReduceExtreme,
    ReduceSum,
    Reshape,
    Resize,
    Slice,
    Transpose,
    Unary,
)
from tinygen.ops.base import need_quant
from tinygen.ops.spatial import Window, two_d_shape
from tinygen.passes.channels import groups, joins_channels, width
from tinygen.passes.draft import Draft


@dataclass(frozen=True)
class Interval:
    """Lowest and highest integer of each channel (int64, both included)."""

    lo: Array
    hi: Array

    @property
    def steady(self) -> Array:
        """Channels that take one value only."""
        found: Array = self.lo == self.hi
        return found

    def at(self, index: Array) -> Interval:
        """Channels by index."""
        return Interval(self.lo[index], self.hi[index])

    def minus(self, value: int) -> Interval:
        return Interval(self.lo - value, self.hi - value)

    def whole(self, channels: int) -> Interval:
        """The range of all channels together, for each of `channels`."""
        return Interval(np.full(channels, self.lo.min()), np.full(channels, self.hi.max()))


def hull(ranges: Sequence[Interval]) -> Interval:
    """The smallest range that holds all of them, channel by channel."""
    return Interval(np.min([r.lo for r in ranges], axis=0), np.max([r.hi for r in ranges], axis=0))


def full(t: Tensor) -> Interval:
    """Every value of the tensor's type."""
    limits = np.iinfo(t.dtype.value)
    return Interval(np.full(width(t), limits.min, np.int64), np.full(width(t), limits.max, np.int64))


def _constant(t: Tensor) -> Interval:
    rows = t.array.reshape(-1, width(t)).astype(np.int64)
    return Interval(rows.min(axis=0), rows.max(axis=0))


def reach(graph: Graph) -> dict[str, Interval]:
    """The range of every activation, from inputs that may be anything."""
    found = {n: full(graph.tensors[n]) for n in graph.inputs}
    for node in graph.nodes:
        for out in graph.outs(node):
            found[out.name] = output_range(graph, node, found)
    return found


def all_int8(graph: Graph | Draft, node: Node) -> bool:
    """No activation that the node reads or writes is wider: what the rules for arithmetic are for."""
    return all(t.dtype is DType.INT8 for t in (*graph.ins(node), *graph.outs(node)) if t.const is None)


def output_range(graph: Graph, node: Node, known: Mapping[str, Interval]) -> Interval:
    """The range of a node's output from those of its inputs."""
    ins, out = graph.ins(node), graph.outs(node)[0]
    if len(node.outputs) > 1:
        return full(out)
    ranges = [known[t.name] if t.const is None else _constant(t) for t in ins]
    if isinstance(node.op, Conv | ConvTranspose | Dense):
        return layer_range(node.op, ins, out, sums(node.op, ins, out, ranges[0]))
    arithmetic = _arithmetic(node.op, ins, out, ranges) if all_int8(graph, node) else None
    return arithmetic if arithmetic is not None else _moved(node.op, ins, out, ranges)


# -- layers with weights ---------------------------------------------------------------------------------------------


def sums(op: Conv | ConvTranspose | Dense, ins: Sequence[Tensor], out: Tensor, x: Interval) -> Interval:
    """Interval of the accumulators b + sum w * (x - zp) of each output channel, over all positions."""
    w, bias = ins[1].array, ins[2].array.astype(np.int64)
    d = x.minus(need_quant(ins[0])[1])
    count = groups(op)
    taps = w.reshape(count, len(w) // count, -1, w.shape[-1]).astype(np.float64)  # group, output, tap, input
    up, down = np.maximum(taps, 0.0), np.minimum(taps, 0.0)
    lo, hi = (v.reshape(count, -1).astype(np.float64) for v in (d.lo, d.hi))

    def total(a: Array, b: Array) -> Array:
        """sum over inputs of up * a + down * b: (output, tap). Whole numbers far below 2^53, so exact in float64."""
        found: Array = np.einsum("goti,gi->got", up, a) + np.einsum("goti,gi->got", down, b)
        return found.reshape(len(w), -1)

    valid = taps_inside(op, ins[0], out)
    least, most = (total(a, b) @ valid.T for a, b in ((lo, hi), (hi, lo)))
    return Interval(bias + least.min(axis=1).astype(np.int64), bias + most.max(axis=1).astype(np.int64))


def taps_inside(op: Op, x: Tensor, out: Tensor) -> Array:
    """(patterns, taps) of 0 and 1: every set of taps that lie inside the image for some output position."""
    if isinstance(op, Dense):
        return np.ones((1, 1))
    assert isinstance(op, Conv | ConvTranspose | MaxPool | AvgPool)
    win = op.window.two_d()
    sizes = zip(two_d_shape(x.shape)[1:3], two_d_shape(out.shape)[1:3], strict=True)
    rows, cols = (
        _inside(win, axis, n, m, transposed=isinstance(op, ConvTranspose)) for axis, (n, m) in enumerate(sizes)
    )
    both = rows[:, None, :, None] * cols[None, :, None, :]
    return both.reshape(len(rows) * len(cols), -1)


def _inside(win: Window, axis: int, length: int, outputs: int, *, transposed: bool) -> Array:
    o, tap = np.arange(outputs)[:, None], np.arange(win.kernel[axis])[None, :] * win.dilations[axis]
    stride, pad = win.strides[axis], win.pads[axis]
    if transposed:
        i, rest = np.divmod(o + pad - tap, stride)
        inside = (rest == 0) & (i >= 0) & (i < length)
    else:
        i = o * stride - pad + tap
        inside = (i >= 0) & (i < length)
    return np.unique(inside, axis=0).astype(np.float64)


def layer_range(op: Conv | ConvTranspose | Dense, ins: Sequence[Tensor], out: Tensor, acc: Interval) -> Interval:
    """Interval of a layer's output from that of its accumulators."""
    assert op.epilogue is not None
    end = op.epilogue
    return _requant(acc, ins[3].array, end.shift, need_quant(out)[1], end.lo, end.hi)


def _requant(acc: Interval, m: Array | int, shift: int, zp: int, lo: int, hi: int) -> Interval:
    """Requantisation is monotone: upwards, or downwards where m is negative."""
    ends = [np.clip(requant(v, m, shift) + zp, lo, hi) for v in (acc.lo, acc.hi)]
    return Interval(np.minimum(*ends), np.maximum(*ends))


def largest_sum(op: Conv | ConvTranspose | Dense, ins: Sequence[Tensor], x: Interval) -> int:
    """No partial sum of any accumulator, whatever the order of its terms, is beyond +- this.

    As C sums: from b' = b - zp * sum w upwards by w * x, taps outside the image reading zp.
    """
    w, bias, zp = ins[1].array, ins[2].array, need_quant(ins[0])[1]
    count = groups(op)
    start = bias.astype(np.int64) if isinstance(op, ConvTranspose) else fold_bias(w, bias, zp).astype(np.int64)
    lo, hi = np.minimum(x.lo, zp), np.maximum(x.hi, zp)
    if isinstance(op, ConvTranspose):  # its kernel subtracts the zero point itself
        lo, hi = lo - zp, hi - zp
    taps = w.reshape(count, len(w) // count, -1, w.shape[-1]).astype(np.int64)
    ends = [taps * v.reshape(count, 1, 1, -1) for v in (lo, hi)]
    up = np.maximum(np.maximum(*ends), 0).sum(axis=(2, 3)).reshape(-1)
    down = np.minimum(np.minimum(*ends), 0).sum(axis=(2, 3)).reshape(-1)
    return int(np.max(np.maximum(np.abs(start + up), np.abs(start + down)), initial=0))


# -- operators without weights ---------------------------------------------------------------------------------------


def _arithmetic(op: Op, ins: Sequence[Tensor], out: Tensor, ranges: Sequence[Interval]) -> Interval | None:
    """Operators that compute; None for another."""
    x, m = ranges[0], width(out)
    if isinstance(op, Add | Mul | Extreme):
        a, b = (r if len(r.lo) == m else r.at(np.zeros(m, np.int64)) for r in ranges)
        return _pair(op, ins, out, a, b)
    if isinstance(op, Unary):
        return _table(ranges[0], ins[1].array.astype(np.int64))
    if isinstance(op, PRelu):
        return _prelu(op, x.minus(need_quant(ins[0])[1]), ins[1].array, need_quant(out)[1])
    if isinstance(op, MaxPool):
        # A window wholly outside gives the least integer.
        lowest = np.minimum(x.lo, -128) if (taps_inside(op, ins[0], out).sum(axis=1) == 0).any() else x.lo
        return Interval(lowest, np.maximum(x.hi, lowest))
    if isinstance(op, AvgPool):
        d = x.minus(need_quant(ins[0])[1])
        counts = np.unique(taps_inside(op, ins[0], out).sum(axis=1)).astype(int)
        taps = int(np.prod(op.window.kernel))
        ends = []
        for n in counts:
            multiplier = np.array(op.m[0] if op.uniform else op.m[n - 1])
            divisor = np.array(taps if op.uniform else n)
            ends.append(Interval(*(op.mean(e * n, multiplier, divisor, out).astype(np.int64) for e in (d.lo, d.hi))))
        return hull(ends)
    if isinstance(op, ReduceSum):
        d = x.minus(need_quant(ins[0])[1])
        _, n, _ = op.outer_n_inner(ins[0])
        if len(ins[0].shape) - 1 in op.axes:
            each = n // width(ins[0])
            d = Interval(np.full(m, d.lo.sum() * each), np.full(m, d.hi.sum() * each))
        else:
            d = Interval(d.lo * n, d.hi * n)
        return Interval(*(op.rounded(e, n, out).astype(np.int64) for e in (d.lo, d.hi)))
    if isinstance(op, ArgMax):
        return Interval(np.full(m, -128), np.full(m, width(ins[0]) - 129))
    return None


def _pair(op: Add | Mul | Extreme, ins: Sequence[Tensor], out: Tensor, a: Interval, b: Interval) -> Interval:
    """Each result is monotone in each operand where the other is fixed: extremes lie at the corners."""
    corners = []
    for p in (a.lo, a.hi):
        for q in (b.lo, b.hi):
            if isinstance(op, Add):
                r = op.rule
                assert r is not None
                y = np.clip((r.c + p * r.ma + q * r.mb) >> r.shift, r.lo, r.hi)
            elif isinstance(op, Mul):
                assert op.epilogue is not None
                acc = (p - need_quant(ins[0])[1]) * (q - need_quant(ins[1])[1])
                end = op.epilogue
                y = np.clip(requant(acc, op.m, end.shift) + need_quant(out)[1], end.lo, end.hi)
            else:
                y = np.maximum(p, q) if op.largest else np.minimum(p, q)
            corners.append(y)
    return Interval(np.min(corners, axis=0), np.max(corners, axis=0))


def _table(x: Interval, table: Array) -> Interval:
    pairs, index = np.unique(np.stack([x.lo, x.hi]), axis=1, return_inverse=True)
    cuts = [table[lo + 128 : hi + 129] for lo, hi in pairs.T]
    found = Interval(np.array([c.min() for c in cuts]), np.array([c.max() for c in cuts]))
    return found.at(index.reshape(-1))


def _prelu(op: PRelu, d: Interval, slope: Array, zp: int) -> Interval:
    """Monotone below zero, and from zero upwards."""
    ends = []
    for v in (d.lo, np.clip(-1, d.lo, d.hi), np.clip(0, d.lo, d.hi), d.hi):
        m = np.where(v < 0, slope, op.mp)
        ends.append(np.clip(requant(v, m, op.shift) + zp, -128, 127))
    return Interval(np.min(ends, axis=0), np.max(ends, axis=0))


def _moved(op: Op, ins: Sequence[Tensor], out: Tensor, ranges: Sequence[Interval]) -> Interval:
    """Operators that hand values on, or mix neighbours of a channel; everything for any other."""
    x, n, m = ranges[0], width(ins[0]), width(out)
    last = len(ins[0].shape) - 1
    if isinstance(op, Reshape):
        if m % n == 0:
            return x.at(np.arange(m) % n)
        if n % m == 0:
            return hull([x.at(np.arange(m) + k) for k in range(0, n, m)])
        return x.whole(m)
    if isinstance(op, Transpose):
        return x if op.perm[-1] == last else x.whole(m)
    if isinstance(op, Slice):
        return x.at(op.starts[last] + op.steps[last] * np.arange(m))
    if isinstance(op, Gather):
        return x.at(np.array(op.indices)) if op.axis == last else x
    if isinstance(op, Concat):
        if joins_channels(op, out):
            return Interval(np.concatenate([r.lo for r in ranges]), np.concatenate([r.hi for r in ranges]))
        return hull(ranges)
    if isinstance(op, Pad):
        return _padded(op, x, last, op.fill(out))
    if isinstance(op, Expand):
        return x if n == m else x.whole(m)
    if isinstance(op, ReduceExtreme) and last in op.axes:
        pick = np.max if op.largest else np.min
        return Interval(np.full(m, pick(x.lo)), np.full(m, pick(x.hi)))
    if isinstance(op, Resize | ReduceExtreme):  # linear: weights add up to one, so nothing leaves the range
        return x
    return full(out)


def _padded(op: Pad, x: Interval, last: int, fill: int) -> Interval:
    around = any(p for i, p in enumerate(op.pads) if i % (last + 1) != last)
    lo, hi = (np.minimum(x.lo, fill), np.maximum(x.hi, fill)) if around else (x.lo, x.hi)
    ends = op.pads[last], op.pads[-1]
    return Interval(np.pad(lo, ends, constant_values=fill), np.pad(hi, ends, constant_values=fill))
