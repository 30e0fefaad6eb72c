"""Elements picked from a tensor, or put into it, at places that are known: look-ups by constant indices.

All of them are one pick of flat positions, from the tensor or from the tensor with the updates behind it.
"""

from __future__ import annotations

import numpy as np

from tinygen.frontend.context import Builder, Handler, Result, Unsupported, View
from tinygen.frontend.handlers_shape import normal, take
from tinygen.ir.types import Tensor
from tinygen.numerics import Array
from tinygen.ops import Add, Concat, Extreme, Mul
from tinygen.ops.base import Operator


def pick(b: Builder, x: Tensor, places: Array) -> Tensor:
    """The elements of x at flat positions, in the shape of `places`."""
    flat = take(b, b.reshape(x, (x.size,)), 0, places.reshape(-1).tolist())
    return b.reshape(flat, places.shape)


def positions(x: Tensor) -> Array:
    """The flat position of every element."""
    return np.arange(x.size).reshape(x.shape)


def _indices(n: View, i: int, what: str) -> Array:
    return n.array(i, what).astype(np.int64)


def _inside(index: Array, length: int) -> Array:
    """Indices from 0 on; negative ones count from the end."""
    if index.size and (index.min() < -length or index.max() >= length):
        raise Unsupported(f"indices from {index.min()} to {index.max()} on an axis of {length}")
    return np.where(index < 0, index + length, index)


def gather_elements(b: Builder, n: View) -> Result:
    x, index = n.act(), _indices(n, 1, "the indices")
    axis = normal(n.integer("axis", 0), len(x.shape))
    return pick(b, x, np.take_along_axis(_part(positions(x), index.shape, axis), _inside(index, x.shape[axis]), axis))


def _part(at: Array, shape: tuple[int, ...], axis: int) -> Array:
    """The first elements of every axis but one, as many as `shape` says."""
    return at[tuple(slice(None) if a == axis else slice(d) for a, d in enumerate(shape))]


def _rows(at: Array, index: Array, batch: int) -> Array:
    """Positions that the last axis of `index` addresses, behind `batch` axes in common."""
    depth = index.shape[-1]
    spots = [_inside(index[..., k], at.shape[batch + k]) for k in range(depth)]
    lead = np.indices(index.shape[:batch]).reshape(batch, *index.shape[:batch], *(1,) * (index.ndim - 1 - batch))
    return np.asarray(at[(*lead, *spots)])


def gather_nd(b: Builder, n: View) -> Result:
    x = n.act()
    return pick(b, x, _rows(positions(x), _indices(n, 1, "the indices"), n.integer("batch_dims", 0)))


def compress(b: Builder, n: View) -> Result:
    """Slices for which the constant condition holds."""
    x, chosen = n.act(), np.flatnonzero(n.array(1, "the condition").reshape(-1)).tolist()
    if "axis" not in n.attrs:
        return take(b, b.reshape(x, (x.size,)), 0, chosen)
    return take(b, x, normal(n.integer("axis", 0), len(x.shape)), chosen)


def reverse_sequence(b: Builder, n: View) -> Result:
    x, lengths = n.act(), _indices(n, 1, "the lengths of the sequences").reshape(-1)
    batch, time = n.integer("batch_axis", 1), n.integer("time_axis", 0)
    at = np.moveaxis(positions(x), (batch, time), (0, 1)).copy()
    for row, length in zip(at, lengths, strict=True):
        row[:length] = row[:length][::-1].copy()
    return pick(b, x, np.moveaxis(at, (0, 1), (batch, time)))


# Scatter --------------------------------------------------------------------------------------------------------------

#: The operator that brings an update in, and what changes nothing; None: the value that is there.
_REDUCTIONS: dict[str, tuple[Operator, float | None]] = {
    "add": (Add(), 0.0), "mul": (Mul(), 1.0), "max": (Extreme(True), None), "min": (Extreme(False), None),
}  # fmt: skip


def _scatter(b: Builder, n: View, x: Tensor, at: Array) -> Tensor:
    """x with the updates, input 2, at the flat positions `at` of their shape; the last of several wins, or all are
    brought in."""
    updates, reduction = b.tensor(n.ins[2], f"{n.name}/updates"), n.text("reduction", "none")
    if at.shape != updates.shape:
        raise Unsupported(f"updates of shape {updates.shape} for places of {at.shape}", of_sizes=True)
    flat = b.reshape(updates, (updates.size,))
    if reduction == "none":
        places = positions(x).reshape(-1).copy()
        for k, place in enumerate(at.reshape(-1)):
            places[place] = x.size + k
        both = b.emit(Concat(0), b.reshape(x, (x.size,)), flat)
        return b.reshape(pick(b, both, places), x.shape)
    op, neutral = _REDUCTIONS[reduction]
    y, left = b.reshape(x, (x.size,)), list(enumerate(at.reshape(-1)))
    while left:  # one update for each place at a time
        first: dict[int, int] = {}
        later = []
        for k, place in left:
            if int(place) in first:
                later.append((k, place))
            else:
                first[int(place)] = k
        source = b.const(np.array([neutral], np.float32), f"{n.name}/neutral") if neutral is not None else y
        places = np.full(x.size, updates.size) if neutral is not None else updates.size + np.arange(x.size)
        places[list(first)] = list(first.values())
        y, left = b.emit(op, y, pick(b, b.emit(Concat(0), flat, source), places)), later
    return b.reshape(y, x.shape)


def scatter_elements(b: Builder, n: View) -> Result:
    x, index = _data(b, n), _indices(n, 1, "the indices")
    axis = normal(n.integer("axis", 0), len(x.shape))
    places = _part(positions(x), index.shape, axis)
    return _scatter(b, n, x, np.take_along_axis(places, _inside(index, x.shape[axis]), axis))


def scatter_nd(b: Builder, n: View) -> Result:
    x = _data(b, n)
    return _scatter(b, n, x, _rows(positions(x), _indices(n, 1, "the indices"), 0))


def _data(b: Builder, n: View) -> Tensor:
    return b.tensor(n.ins[0], f"{n.name}/data")


def known_reduction(n: View) -> str | None:
    """The reduction is none, add, mul, max or min."""
    found = n.text("reduction", "none")
    return None if found in ("none", *_REDUCTIONS) else found


PICK: dict[str, Handler] = {
    "GatherElements": Handler(gather_elements, notes="constant indices"),
    "GatherND": Handler(gather_nd, notes="constant indices"),
    "Compress": Handler(compress, notes="constant condition"),
    "ReverseSequence": Handler(reverse_sequence, notes="constant lengths"),
    "Scatter": Handler(scatter_elements, notes="constant indices"),
    "ScatterElements": Handler(scatter_elements, (known_reduction,), "constant indices"),
    "ScatterND": Handler(scatter_nd, (known_reduction,), "constant indices"),
}
