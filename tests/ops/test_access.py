"""What operators say of themselves (ops/base.py, the algebra), against what they compute, case by case."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from itertools import permutations

import numpy as np
import pytest

from tests.ops.graphs import CASES
from tests.ops.test_wide import calibrated
from tinygen.ir.types import DType, Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops import Case, Concat, Conv, Gather, MaxPool, Pad, ReduceSum, Reshape, Slice, Transpose
from tinygen.ops.access import STAYS, Axis, Kind, Labels, Region, width
from tinygen.ops.base import Operator, int_range
from tinygen.ops.interval import Interval, full, values
from tinygen.ops.spatial import Window
from tinygen.passes.layout import output_order
from tinygen.passes.quantise import quantise

#: Elements of each input that are changed.
TRIED = 12

_ONES = np.ones((2, 3, 2), np.float32)
more = [
    ("Conv-edge", Case("", Conv(Window((3,), (2,), (3, 2), (4,))), ((1, 13, 2), _ONES, np.zeros(2, np.float32)))),
    ("Reshape-merge_split", Case("", Reshape((1, 8, 3, 5)), ((1, 2, 4, 15),))),
    ("Reshape-split", Case("", Reshape((1, 5, 2, 3)), ((1, 5, 6),))),
    ("Reshape-neither", Case("", Reshape((1, 6, 4)), ((1, 4, 6),))),
    ("Reshape-ones", Case("", Reshape((5, 1, 3)), ((1, 5, 3),))),
    ("Concat-first", Case("", Concat(1), ((1, 2, 3), np.ones((1, 1, 3), np.float32), (1, 2, 3)))),
    ("Pad-channels", Case("", Pad((0, 1, 2, 0, 0, 1)), ((1, 2, 3),))),
    ("Slice-channels", Case("", Slice((0, 0, 1), (1, 1, 1), (1, 4, 3)), ((1, 4, 5),))),
    ("Slice-channels_back", Case("", Slice((0, 0, 4), (1, 1, -1), (1, 4, 3)), ((1, 4, 5),))),
    ("ReduceSum-several", Case("", ReduceSum((1, 2), False, False), ((1, 3, 4),))),
    ("Gather-channels_twice", Case("", Gather(2, (4, 0, 0, 3)), ((1, 3, 5),))),
]
ALL = dict([*CASES, *more])
every_case = pytest.mark.parametrize("name", ALL)


@cache
def fixed_node(name: str, *, wide: bool = False) -> tuple[Operator, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The FIXED operator of a case, its inputs and its outputs; what can be is in int16, where that is asked for."""
    graph, _, _, ranges = calibrated(ALL[name])
    fixed = quantise(graph, ranges, wide=(*graph.inputs, "y") if wide else ())
    node = next(n for n in fixed.nodes if n.name == "node")
    assert isinstance(node.op, Operator)
    return node.op, fixed.ins(node), fixed.outs(node)


def draw(t: Tensor, count: int, rng: np.random.Generator) -> Array:
    """Integers of an activation; the constant itself."""
    if t.const is not None:
        return t.array
    low, high = int_range(t)
    x: Array = rng.integers(low, high + 1, (count, *t.shape)).astype(t.dtype.value)
    return x


def cells(shape: tuple[int, ...]) -> list[Region]:
    return [tuple((i, i + 1) for i in at) for at in np.ndindex(*shape)]


@every_case
def test_nothing_else_is_read(name: str) -> None:
    """Change one input element: only outputs whose reads hold it may change."""
    op, ins, outs = fixed_node(name)
    rng = np.random.default_rng(0)
    base = [draw(t, 1, rng) for t in ins]
    for y, out in enumerate(outs):
        read = [op.reads(ins, outs, [c if i == y else None for i in range(len(outs))]) for c in cells(out.shape)]
        for k, t in enumerate(ins):
            if t.const is not None:
                continue
            places = rng.permutation(t.size)[:TRIED]
            x = np.repeat(base[k], 1 + 2 * len(places), axis=0)
            for i, place in enumerate(places):
                for j, value in enumerate(int_range(t)):
                    x[1 + 2 * i + j].flat[place] = value
            arrays = [x if i == k else a if s.const is not None else np.repeat(a, len(x), 0)
                      for i, (a, s) in enumerate(zip(base, ins, strict=True))]  # fmt: skip
            got = op.run_fixed(ins, arrays, outs)[y].reshape(len(x), -1)
            for i, place in enumerate(places):
                at = np.unravel_index(place, t.shape)
                changed = (got[1 + 2 * i : 3 + 2 * i] != got[0]).any(axis=0)
                for cell in np.flatnonzero(changed):
                    box = read[cell][k]
                    assert box is not None, (at, cell)
                    assert all(a <= p < b for p, (a, b) in zip(at, box, strict=True)), (at, cell)


MOVES = [name for name, case in ALL.items() if isinstance(case.op, Transpose | Slice | Gather | Pad | Concat)]


@pytest.mark.parametrize("name", MOVES)
def test_what_is_moved_is_read_alone(name: str) -> None:
    """Elements that carry their own numbers tell where each output came from: no more than that is read."""
    op, ins, outs = fixed_node(name)
    arrays, start = [], 1000
    for t in ins:
        numbers = (start + np.arange(t.size)).reshape(t.shape)
        arrays.append(numbers if t.const is not None else numbers[None])
        start += t.size
    (got,) = op.run_fixed(ins, arrays, outs)
    for cell, number in zip(cells(outs[0].shape), got.ravel(), strict=True):
        expected = [None if not (a == number).any() else
                    tuple((int(i), int(i) + 1) for i in np.argwhere(a.reshape(t.shape) == number)[0])
                    for a, t in zip(arrays, ins, strict=True)]  # fmt: skip
        assert list(op.reads(ins, outs, [cell])) == expected


def test_regions_of_a_window() -> None:
    """Taps that padding hides are not read; with dilation the first tap inside is not monotone."""
    op, ins, outs = fixed_node("Conv-edge")
    (along,) = op.access(ins, outs)
    assert along[0] is not None
    rows = along[0][1]
    assert rows.kind is Kind.WINDOW
    assert rows.first is not None
    assert rows.last is not None
    assert rows.first.tolist() == [1, 3, 1, 3, 5]
    assert rows.last.tolist() == [5, 7, 9, 11, 9]
    assert op.reads(ins, outs, [((0, 1), (0, 2), (1, 2))])[0] == ((0, 1), (1, 8), (0, 2))
    assert op.reads(ins, outs, [((0, 1), (2, 2), (0, 2))]) == (None, None, None, None)
    assert Axis(Kind.MIX).reads(((0, 1),), 7) == (0, 7)


@every_case
def test_axes_in_another_order(name: str) -> None:
    """The permuted operator gives the same from permuted operands, its output permuted as `access` says."""
    op, ins, outs = fixed_node(name)
    rng = np.random.default_rng(1)
    arrays = [draw(t, 3, rng) for t in ins]
    expected, *_ = op.run_fixed(ins, arrays, outs)
    along = op.access(ins, outs)[0]
    rank = len(ins[0].shape)
    if any(a is not None and len(a) != rank for a in along):
        return  # operands of several ranks: passes/layout.py aligns them first
    for order in permutations(range(rank)):
        after = op.permuted(ins, order)
        if after is None:
            continue
        turned, values = list(ins), list(arrays)
        for i, (t, axes, x) in enumerate(zip(ins, along, arrays, strict=True)):
            if axes is not None:
                turned[i] = replace(t, shape=tuple(t.shape[p] for p in order))
                values[i] = x.transpose(order) if t.const is not None else x.transpose(0, *(1 + p for p in order))
                if t.const is not None:
                    turned[i] = Tensor.constant(t.name, values[i], t.quant)
        out = replace(outs[0], shape=after.infer(*(t.shape for t in turned))[0])
        back = output_order(along, after.access(turned, (out,))[0], order, out)
        (got,) = after.run_fixed(turned, values, (out,))
        assert np.array_equal(got, expected.transpose(0, *(1 + p for p in back))), order


@every_case
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_fewer_channels(name: str, share: float) -> None:
    """Channels that ties let go, gone: the others come out as before, weights of those that went being zero."""
    op, ins, outs = fixed_node(name)
    rng = np.random.default_rng(int(10 * share))
    tensors, labels = (*ins, *outs), op.channels(ins, outs)
    assert len(labels) == len(tensors)
    activations = [of[-1] for t, of in zip(tensors, labels, strict=True) if t.const is None]
    free = np.unique(np.concatenate(activations))
    gone = free[(free != STAYS) & (rng.random(len(free)) < share)]
    for own in activations:  # one of each tensor is left
        if np.isin(own, gone).all():
            gone = gone[gone != own[0]]

    def left(t: Tensor, of: Labels) -> Tensor:
        shape, array = list(t.shape), None if t.const is None else t.array
        for axis, own in of.items():
            stay = ~np.isin(own, gone)
            shape[axis] = int(stay.sum())
            array = None if array is None else np.compress(stay, array, axis)
        return replace(t, shape=tuple(shape)) if array is None else Tensor.constant(t.name, array, t.quant)

    fewer = [left(t, of) for t, of in zip(tensors, labels, strict=True)]
    kept = [
        np.flatnonzero(~np.isin(of.get(-1, np.zeros(width(t))), gone)) for t, of in zip(tensors, labels, strict=True)
    ]
    after = op.cut(ins, outs, kept)
    assert after is not None
    assert after.infer(*(t.shape for t in fewer[: len(ins)])) == tuple(t.shape for t in fewer[len(ins) :])
    before, arrays, values = list(ins), [], []
    for i, (t, of) in enumerate(zip(ins, labels, strict=False)):
        if t.const is None:
            x = draw(t, 3, rng)
            arrays.append(x)
            values.append(x[..., kept[i]] if t.shape else x)
            continue
        if -1 in of:  # weights of what goes
            zeroed = np.where(np.isin(of[-1], gone), 0, t.array).astype(t.array.dtype)
            before[i] = Tensor.constant(t.name, zeroed, t.quant)
        arrays.append(before[i].array)
        values.append(fewer[i].array)
    expected = op.run_fixed(before, arrays, outs)
    got = after.run_fixed(fewer[: len(ins)], values, fewer[len(ins) :])
    for a, b, k in zip(expected, got, kept[len(ins) :], strict=True):
        assert np.array_equal(a[..., k], b)


@pytest.mark.parametrize(("name", "most"), [("Conv-3x3", 0), ("Conv-depthwise", 0), ("Softmax-rows", math.inf)])
def test_layers_let_channels_go(name: str, most: float) -> None:
    """`channels` is no licence to keep everything."""
    op, ins, outs = fixed_node(name)
    labels = op.channels(ins, outs)
    assert sum(int((labels[i][-1] == STAYS).sum()) for i in (0, -1)) <= most


def within(t: Tensor, rng: np.random.Generator) -> tuple[Interval, Array]:
    """A range for each channel, some of one value, or a narrow one for all; and integers from it: ends, and what lies
    between."""
    low, high = int_range(t)
    ends = np.sort(rng.integers(low, high + 1, (2, width(t))), axis=0)
    if rng.random() < 0.3:
        start = int(rng.integers(low, high - 24))
        ends = np.repeat([[start], [start + int(rng.integers(1, 25))]], width(t), axis=1)
    ends[1] = np.where(rng.random(width(t)) < 0.2, ends[0], ends[1])
    x = rng.integers(ends[0], ends[1] + 1, (8, *t.shape))
    x = np.where(rng.random(x.shape) < 0.7, ends[rng.integers(0, 2, x.shape), np.arange(width(t))], x)
    x[0], x[1] = ends
    return Interval(ends[0], ends[1]), x.astype(t.dtype.value)


@every_case
@pytest.mark.parametrize("wide", [False, True])
def test_no_run_leaves_its_bounds(name: str, wide: bool) -> None:
    op, ins, outs = fixed_node(name, wide=wide)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        drawn = [(values(t), t.array) if t.const is not None else within(t, rng) for t in ins]
        bounds = op.bounds(ins, outs, [r for r, _ in drawn])
        for t, found, y in zip(outs, bounds, op.run_fixed(ins, [x for _, x in drawn], outs), strict=True):
            rows = y.reshape(-1, width(t)).astype(np.int64)
            assert (found.lo <= rows.min(axis=0)).all()
            assert (rows.max(axis=0) <= found.hi).all()
            assert (full(t).lo <= found.lo).all()
            assert (found.hi <= full(t).hi).all()


def test_a_window_outside_the_image_gives_the_least_integer() -> None:
    op, quant = MaxPool(Window((2,), (1,), (1, 1), (3,))), Quant.per_tensor(0.1, 3)
    x, y = (Tensor(n, (1, length, 2), DType.INT8, quant) for n, length in (("x", 2), ("y", 1)))
    (run,) = op.run_fixed([x], [np.full((1, 2, 2), 5, np.int8)], [y])
    (found,) = op.bounds([x], [y], [Interval(np.array([5, 4]), np.array([5, 7]))])
    assert run.ravel().tolist() == found.lo.tolist() == [-128, -128]
    assert op.reads([x], [y], [((0, 1), (0, 1), (0, 2))]) == (None,)


def test_a_table_gives_the_rows_that_indices_can_pick() -> None:
    op, ins, outs = fixed_node("Lookup-rows")
    for low in range(-128, 128, 3):
        high = min(low + 9, 127)
        x = np.broadcast_to(np.arange(low, high + 1, dtype=np.int8)[:, None, None], (high - low + 1, *ins[0].shape))
        (y,) = op.run_fixed(ins, [x, ins[1].array], outs)
        ends = Interval(np.full(width(ins[0]), low), np.full(width(ins[0]), high))
        (found,) = op.bounds(ins, outs, [ends, values(ins[1])])
        rows = y.reshape(-1, width(outs[0]))
        assert np.array_equal(found.lo, rows.min(axis=0))
        assert np.array_equal(found.hi, rows.max(axis=0))
