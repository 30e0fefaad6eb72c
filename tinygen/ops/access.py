"""What an operator reads: for every axis of an input, which of its positions each position of the output needs.

An `Axis` is two tables, first and last position read, by position along the output's axis that stands in its place.
Windows, strides, dilations, crops, pads, picks, resizes and transposed convolutions are then one case. What follows
from it, once for all operators: which part of the inputs a part of the output needs (`reads`), how a transpose passes
(passes/layout.py), which channels stay or go together (`channels`, passes/channels.py).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tinygen.ir.types import Tensor
from tinygen.numerics import Array

Shape = tuple[int, ...]
#: A box of a tensor: for each axis the first position and the one behind the last.
Region = tuple[tuple[int, int], ...]


class Kind(enum.Enum):
    """How an axis of an input goes along with the output."""

    SAME = "the same position"
    MOVE = "one position, or none"  # crops, pads, picks, parts of a concatenation
    WINDOW = "some neighbours"
    REPEAT = "of length 1, read for every position"
    REDUCE = "a sum with weights of the operator's own: a position may go, and its weights with it"
    MIX = "everything, so nothing may go"


@dataclass(frozen=True, eq=False, slots=True)
class Axis:
    """One axis of an input. `out`: the axis of the output that stands in its place. `first`, `last`: positions read, by
    position along `out`, first > last where none is; without tables all of them, or with SAME the same."""

    kind: Kind
    out: int | None = None
    first: Array | None = None
    last: Array | None = None

    def table(self, length: int, outputs: int) -> tuple[Array, Array]:
        """First and last position read, for each of `outputs` along `out`."""
        if self.first is not None and self.last is not None:
            return self.first, self.last
        if self.kind is Kind.SAME:
            return np.arange(outputs), np.arange(outputs)
        return np.zeros(outputs, np.int64), np.full(outputs, length - 1)

    def reads(self, region: Region, length: int) -> tuple[int, int]:
        """The range that a region of the output needs; (0, 0): nothing."""
        if self.out is None:
            return (0, length)
        start, stop = region[self.out]
        if self.first is None or self.last is None:
            return (start, stop) if self.kind is Kind.SAME else (0, length)
        first, last = self.first[start:stop], self.last[start:stop]
        some = first <= last
        return (int(first[some].min()), int(last[some].max()) + 1) if some.any() else (0, 0)


#: The axes of one input; None: weights, a table, whatever does not lie along the output.
Along = tuple[Axis, ...] | None
#: For each output, for each input its axes.
Access = tuple[tuple[Along, ...], ...]


# -- the ways an axis goes along -------------------------------------------------------------------------------------


def same(rank: int) -> tuple[Axis, ...]:
    """Element by element."""
    return tuple(Axis(Kind.SAME, i) for i in range(rank))


def moved(out: int, positions: Array, length: int) -> Axis:
    """Output position o reads `positions[o]`, nothing where that lies outside the axis."""
    if np.array_equal(positions, np.arange(length)):
        return Axis(Kind.SAME, out)
    inside = (positions >= 0) & (positions < length)
    return Axis(Kind.MOVE, out, np.where(inside, positions, 1), np.where(inside, positions, 0))


def broadcast(shape: Shape, out: Shape) -> tuple[Axis, ...]:
    """An operand of an element-wise operator, as numpy aligns them."""
    lead = len(out) - len(shape)
    return tuple(Axis(Kind.SAME if d == out[lead + i] else Kind.REPEAT, lead + i) for i, d in enumerate(shape))


@lru_cache(maxsize=4096)
def window(out: int, outputs: int, length: int, kernel: int, stride: int, dilation: int, pad: int) -> Axis:
    """A sliding window, without the taps outside. With dilation the first tap inside need not be the first position."""
    if (kernel, stride, pad) == (1, 1, 0):
        return Axis(Kind.SAME, out)
    taps = np.arange(outputs)[:, None] * stride - pad + np.arange(kernel) * dilation
    return _between(out, taps, (taps >= 0) & (taps < length), length)


@lru_cache(maxsize=4096)
def transposed_window(out: int, outputs: int, length: int, kernel: int, stride: int, dilation: int, pad: int) -> Axis:
    """What a transposed convolution gathers: position i through tap k, where i * stride + k * dilation - pad = o."""
    taps, rest = np.divmod(np.arange(outputs)[:, None] + pad - np.arange(kernel) * dilation, stride)
    return _between(out, taps, (rest == 0) & (taps >= 0) & (taps < length), length)


def _between(out: int, taps: Array, inside: Array, length: int) -> Axis:
    return Axis(Kind.WINDOW, out, np.where(inside, taps, length).min(axis=1), np.where(inside, taps, -1).max(axis=1))


def group_inputs(out: int, outputs: int, length: int, groups: int) -> Axis:
    """Channels of a layer with weights: all, those of a group, or one for each group."""
    if groups == 1:
        return Axis(Kind.REDUCE, out)
    per = length // groups
    first = np.arange(outputs) // (outputs // groups) * per
    if per > 1:
        return Axis(Kind.REDUCE, out, first, first + per - 1)
    return Axis(Kind.SAME, out) if outputs == length else moved(out, first, length)


def mixed(ins: Sequence[Tensor]) -> tuple[Along, ...]:
    """Every activation is read whole."""
    return tuple(None if t.const is not None else (Axis(Kind.MIX),) * len(t.shape) for t in ins)


# -- what follows ----------------------------------------------------------------------------------------------------


def reads(along: Sequence[Along], ins: Sequence[Tensor], region: Region) -> tuple[Region | None, ...]:
    """For each input the region it must hold before a region of the output can be computed; None: nothing of it, or
    weights."""
    found: list[Region | None] = []
    for axes, t in zip(along, ins, strict=True):
        if axes is None or any(start >= stop for start, stop in region):
            found.append(None)
            continue
        box = tuple(a.reads(region, d) for a, d in zip(axes, t.shape, strict=True))
        found.append(None if any(start >= stop for start, stop in box) else box)
    return tuple(found)


def union(a: Region | None, b: Region | None) -> Region | None:
    """The smallest region that holds both."""
    if a is None or b is None:
        return a if b is None else b
    return tuple((min(p, r), max(q, s)) for (p, q), (r, s) in zip(a, b, strict=True))


#: For axes of a tensor a label for each position: positions of one label, in whatever tensors of the node, stay or go
#: together. `STAYS`: must stay.
Labels = Mapping[int, Array]
STAYS = -1


def width(t: Tensor) -> int:
    """Number of channels: positions along the last axis."""
    return t.shape[-1] if t.shape else 1


def stays(t: Tensor) -> Labels:
    return {-1: np.full(width(t), STAYS)}


def channels(along: Sequence[Along], ins: Sequence[Tensor], out: Tensor) -> tuple[Labels, ...]:
    """Labels of the channels of all inputs, then of the output, where each output channel is made of one channel of an
    input, or weights choose freely among them. Elsewhere they stay.

    Nothing is said of weights: an operator that has some adds which of their axes go along with which channels.
    """
    starts = np.cumsum([0, *(width(t) for t in ins)])
    m, last = width(out), len(out.shape) - 1
    there = starts[-1] + np.arange(m)
    pairs = [np.empty((2, 0), np.int64)]
    fixed = []
    for axes, t, start in zip(along, ins, starts, strict=False):
        if axes is None:
            continue
        here = start + np.arange(width(t))
        axis = axes[-1] if axes else Axis(Kind.SAME if m == 1 else Kind.REPEAT, last)
        if axis.kind is Kind.REPEAT:
            fixed.append(here)
        elif axis.out != last or axis.kind in (Kind.MIX, Kind.WINDOW):
            fixed += [here, there]
        elif axis.kind is Kind.REDUCE:  # the same channels of every group
            count = len(np.unique(axis.table(width(t), m)[0]))
            for each in (here, there):
                pairs.append(np.stack([each, each[np.arange(len(each)) % (len(each) // count)]]))
        else:
            first, end = axis.table(width(t), m)
            read = first <= end
            pairs.append(np.stack([there[read], here[first[read]]]))
    labels = _labels(np.concatenate(pairs, axis=1), int(starts[-1]) + m)
    if fixed:
        labels[np.isin(labels, labels[np.concatenate(fixed)])] = STAYS
    by_input: list[Labels] = [
        {} if axes is None else {-1: labels[start : start + width(t)]}
        for axes, t, start in zip(along, ins, starts, strict=False)
    ]
    return (*by_input, {-1: labels[there]})


def _labels(pairs: Array, count: int) -> Array:
    """A number for each of `count` things, equal for those that pairs connect."""
    labels = np.arange(count)
    while True:
        least = np.minimum(labels[pairs[0]], labels[pairs[1]])
        before = labels.copy()
        np.minimum.at(labels, pairs[0], least)
        np.minimum.at(labels, pairs[1], least)
        if np.array_equal(labels, before):
            return labels
