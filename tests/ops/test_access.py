"""What operators say of themselves (`access`, `permuted`, `channels`, `cut`), against what they compute, case by case.

`bounds` is held against runs in tests/passes/test_intervals.py.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from tests.ops.graphs import CASES
from tests.ops.test_cases import fixed_case
from tinygen.ir.types import Tensor
from tinygen.numerics import Array
from tinygen.ops import Case, Concat, Conv, Gather, Pad, Reshape, Slice, Transpose
from tinygen.ops.access import STAYS, Axis, Kind, Labels, Region, width
from tinygen.ops.base import Operator, int_range
from tinygen.ops.spatial import Window
from tinygen.passes.layout import output_order

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
    ("Gather-channels_twice", Case("", Gather(2, (4, 0, 0, 3)), ((1, 3, 5),))),
]
ALL = [*CASES, *more]
every_case = pytest.mark.parametrize("case", [c for _, c in ALL], ids=[n for n, _ in ALL])


def fixed_node(case: Case) -> tuple[Operator, tuple[Tensor, ...], tuple[Tensor, ...]]:
    fixed, _, _ = fixed_case(case)
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
def test_nothing_else_is_read(case: Case) -> None:
    """Change one input element: only outputs whose reads hold it may change."""
    op, ins, outs = fixed_node(case)
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


MOVES = [(n, c) for n, c in ALL if isinstance(c.op, Transpose | Slice | Gather | Pad | Concat)]


@pytest.mark.parametrize("case", [c for _, c in MOVES], ids=[n for n, _ in MOVES])
def test_what_is_moved_is_read_alone(case: Case) -> None:
    """Elements that carry their own numbers tell where each output came from: no more than that is read."""
    op, ins, outs = fixed_node(case)
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
    op, ins, outs = fixed_node(dict(more)["Conv-edge"])
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
def test_axes_in_another_order(case: Case) -> None:
    """The permuted operator gives the same from permuted operands, its output permuted as `access` says."""
    op, ins, outs = fixed_node(case)
    rng = np.random.default_rng(1)
    arrays = [draw(t, 3, rng) for t in ins]
    (expected,) = op.run_fixed(ins, arrays, outs)
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
def test_fewer_channels(case: Case, share: float) -> None:
    """Channels that ties let go, gone: the others come out as before, weights of those that went being zero."""
    op, ins, outs = fixed_node(case)
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
        if len(of) == 2:  # weights of what goes
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
    op, ins, outs = fixed_node(dict(ALL)[name])
    labels = op.channels(ins, outs)
    assert sum(int((labels[i][-1] == STAYS).sum()) for i in (0, -1)) <= most
