"""Elements picked from a tensor, or put into it, at places that are known: look-ups by constant indices.

All of them are one pick of flat positions, from the tensor or from the tensor with the updates behind it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinygen.frontend.context import Act, Builder, Handler, Known, Result, Unsupported, Value, View
from tinygen.frontend.handlers_shape import normal, take
from tinygen.ir.types import Tensor
from tinygen.numerics import Array
from tinygen.ops import Add, ArgMax, Concat, Extreme, Insert, Lookup, Mul, ReduceSum, Unary
from tinygen.ops.base import Operator
from tinygen.ops.lookup import MAX_ROWS
from tinygen.ops.unary import Expr


def pick(b: Builder, x: Tensor, places: Array) -> Tensor:
    """The elements of x at flat positions, in the shape of `places`."""
    flat = take(b, b.reshape(x, (x.size,)), 0, places.reshape(-1).tolist())
    return b.reshape(flat, places.shape)


def positions(shape: tuple[int, ...]) -> Array:
    """The flat position of every element."""
    return np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)


def _indices(n: View, i: int, what: str) -> Array:
    return n.array(i, what).astype(np.int64)


def _inside(index: Array, length: int) -> Array:
    """Indices from 0 on; negative ones count from the end."""
    if index.size and (index.min() < -length or index.max() >= length):
        raise Unsupported(f"indices from {index.min()} to {index.max()} on an axis of {length}")
    return np.where(index < 0, index + length, index)


def one_hot_rows(b: Builder, index: Tensor, rows: Array, hint: str) -> Tensor:
    """A row of `rows` for each whole number of `index`."""
    if len(rows) > MAX_ROWS:
        raise Unsupported(
            f"an index of {len(rows)} values; at most {MAX_ROWS}", "Larger tables come in a later version."
        )
    return b.emit(Lookup(), index, b.const(rows.astype(np.float32), f"{hint}/rows"))


def _gathered(b: Builder, n: View, x: Tensor, axis: int) -> Tensor:
    """By computed indices: of all values along the axis the sum, each times 1 or 0."""
    index = n.act(1)
    others = [i for i in range(len(x.shape)) if i != axis]
    if len(index.shape) != len(x.shape) or any(index.shape[i] != x.shape[i] for i in others):
        raise Unsupported(
            f"computed indices of shape {index.shape} into {x.shape}", "Give every other axis its length."
        )
    chosen = one_hot_rows(b, index, np.eye(x.shape[axis]), n.name)
    last = b.transpose(x, [*others, axis])
    values = b.reshape(last, (*last.shape[:axis], 1, *last.shape[axis:]))
    return b.emit(ReduceSum((len(x.shape),), False, False), b.emit(Mul(), values, chosen))


def gather_elements(b: Builder, n: View) -> Result:
    x = n.act()
    axis = normal(n.integer("axis", 0), len(x.shape))
    if not n.is_known(1):
        return _gathered(b, n, x, axis)
    index = _indices(n, 1, "the indices")
    return pick(
        b, x, np.take_along_axis(_part(positions(x.shape), index.shape, axis), _inside(index, x.shape[axis]), axis)
    )


def _part(at: Array, shape: tuple[int, ...], axis: int) -> Array:
    """The first elements of every axis but one, as many as `shape` says."""
    return at[tuple(slice(None) if a == axis else slice(d) for a, d in enumerate(shape))]


def _rows(at: Array, index: Array, batch: int) -> Array:
    """Positions that the last axis of `index` addresses, behind `batch` axes in common."""
    depth = index.shape[-1]
    spots = [_inside(index[..., k], at.shape[batch + k]) for k in range(depth)]
    lead = np.indices(index.shape[:batch]).reshape(batch, *index.shape[:batch], *(1,) * (index.ndim - 1 - batch))
    return np.asarray(at[(*lead, *spots)])


def one_hot(b: Builder, n: View) -> Result:
    """Indices from -depth to depth - 1; any other gives a row of the first value alone."""
    index, depth = n.act(), int(n.array(1, "the depth").reshape(-1)[0])
    off, on = n.array(2, "the values").astype(np.float32).reshape(-1)
    axis = normal(n.integer("axis", -1), len(index.shape) + 1)
    rows = np.full((depth + 1, depth), off, np.float32)
    np.fill_diagonal(rows, on)
    if index.quant is not None and index.quant.scale == (1.0,):  # a code of the input's, from 0 on
        rows = rows[:depth]
    else:
        inside: Expr = ("Where", ("Less", "x", -0.5), ("Add", "x", float(depth)), "x")
        known: Expr = ("Less", ("Abs", ("Sub", inside, (depth - 1) / 2)), depth / 2)
        index = b.emit(Unary(("Where", known, inside, float(depth)), "index"), index)
    y = one_hot_rows(b, index, rows, n.name)
    order = list(range(len(index.shape)))
    order.insert(axis, len(index.shape))
    return Act(b.transpose(y, order))


def hardmax(b: Builder, n: View) -> Result:
    """1 at the largest value, 0 elsewhere."""
    x = n.act()
    rank = len(x.shape)
    axis = normal(n.integer("axis", -1 if n.version >= 13 else 1), rank)
    if n.version < 13:  # over all axes from `axis` on
        flat = b.reshape(
            x, (int(np.prod(x.shape[:axis], dtype=np.int64)), int(np.prod(x.shape[axis:], dtype=np.int64)))
        )
        return b.reshape(_hardest(b, n, flat), x.shape)
    order = [i for i in range(rank) if i != axis] + [axis]
    return b.transpose(_hardest(b, n, b.transpose(x, order)), np.argsort(order).tolist())


def _hardest(b: Builder, n: View, x: Tensor) -> Tensor:
    return one_hot_rows(b, b.emit(ArgMax(), x), np.eye(x.shape[-1]), n.name)


def gather_nd(b: Builder, n: View) -> Result:
    x = n.act()
    return pick(b, x, _rows(positions(x.shape), _indices(n, 1, "the indices"), n.integer("batch_dims", 0)))


def compress(b: Builder, n: View) -> Result:
    """Slices for which the constant condition holds."""
    x, chosen = n.act(), np.flatnonzero(n.array(1, "the condition").reshape(-1)).tolist()
    if "axis" not in n.attrs:
        return take(b, b.reshape(x, (x.size,)), 0, chosen)
    return take(b, x, normal(n.integer("axis", 0), len(x.shape)), chosen)


def reverse_sequence(b: Builder, n: View) -> Result:
    x, lengths = n.act(), _indices(n, 1, "the lengths of the sequences").reshape(-1)
    batch, time = n.integer("batch_axis", 1), n.integer("time_axis", 0)
    at = np.moveaxis(positions(x.shape), (batch, time), (0, 1)).copy()
    for row, length in zip(at, lengths, strict=True):
        row[:length] = row[:length][::-1].copy()
    return pick(b, x, np.moveaxis(at, (0, 1), (batch, time)))


# Scatter --------------------------------------------------------------------------------------------------------------

#: The operator that brings an update in, and what changes nothing; None: the value that is there.
_REDUCTIONS: dict[str, tuple[Operator, float | None]] = {
    "add": (Add(), 0.0), "mul": (Mul(), 1.0), "max": (Extreme(True), None), "min": (Extreme(False), None),
}  # fmt: skip


def _scatter(b: Builder, n: View, at: Array) -> Tensor:
    """The data with the updates, input 2, at the flat positions `at` of their shape; the last of several wins, or all
    are brought in."""
    data, updates, reduction = n.ins[0], n.ins[2], n.text("reduction", "none")
    shapes = [v.array.shape if isinstance(v, Known) else b.tensor(v).shape for v in (data, updates)]
    if at.shape != shapes[1]:
        raise Unsupported(f"updates of shape {shapes[1]} for places of {at.shape}", of_sizes=True)
    y, flat = _flat(b, data, f"{n.name}/data"), _flat(b, updates, f"{n.name}/updates")
    if reduction == "none":
        places = np.arange(y.size)
        for k, place in enumerate(at.reshape(-1)):
            places[place] = y.size + k
        return b.reshape(pick(b, b.emit(Concat(0), y, flat), places), shapes[0])
    op, neutral = _REDUCTIONS[reduction]
    left = list(enumerate(at.reshape(-1)))
    while left:  # one update for each place at a time
        first: dict[int, int] = {}
        later = []
        for k, place in left:
            if int(place) in first:
                later.append((k, place))
            else:
                first[int(place)] = k
        places = np.full(y.size, flat.size) if neutral is not None else flat.size + np.arange(y.size)
        places[list(first)] = list(first.values())
        if neutral is None:
            brought = pick(b, b.emit(Concat(0), flat, y), places)
        elif flat.const is not None:
            brought = b.const(np.append(flat.array, np.float32(neutral))[places], f"{n.name}/updates")
        else:
            rest = b.const(np.array([neutral], np.float32), f"{n.name}/neutral")
            brought = pick(b, b.emit(Concat(0), flat, rest), places)
        y, left = b.emit(op, y, brought), later
    return b.reshape(y, shapes[0])


def _flat(b: Builder, v: Value | None, hint: str) -> Tensor:
    """All elements in a row."""
    if isinstance(v, Known):
        return b.const(v.array.reshape(-1), hint)
    x = b.tensor(v)
    return b.reshape(x, (x.size,))


def scatter_elements(b: Builder, n: View) -> Result:
    shape, index = _shape(b, n), _indices(n, 1, "the indices")
    axis = normal(n.integer("axis", 0), len(shape))
    places = _part(positions(shape), index.shape, axis)
    return _scatter(b, n, np.take_along_axis(places, _inside(index, shape[axis]), axis))


def scatter_nd(b: Builder, n: View) -> Result:
    return _scatter(b, n, _rows(positions(_shape(b, n)), _indices(n, 1, "the indices"), 0))


def _shape(b: Builder, n: View) -> tuple[int, ...]:
    """Of the data."""
    data = n.ins[0]
    return data.array.shape if isinstance(data, Known) else b.tensor(data).shape


def tensor_scatter(b: Builder, n: View) -> Result:
    """A cache of fixed length, and where the next values go; 0 where nothing is said."""
    cache, update = (v.array.shape if isinstance(v, Known) else b.tensor(v).shape for v in n.ins[:2])
    axis, wraps = normal(n.integer("axis", -2), len(cache)), n.text("mode", "linear") == "circular"
    if n.has(2) and not n.is_known(2):
        both = (b.tensor(n.ins[i], f"{n.name}/{what}") for i, what in enumerate(("cache", "update")))
        return b.emit(Insert(axis, wraps), *both, n.act(2))
    length, along = cache[axis], [-1 if i == axis else 1 for i in range(len(cache))]
    first = _indices(n, 2, "the positions") if n.has(2) else np.zeros(cache[0], np.int64)
    places = first.reshape(-1, *(1,) * (len(cache) - 1)) + np.arange(update[axis]).reshape(along)
    if not wraps and (places.min() < 0 or places.max() >= length):
        raise Unsupported(f"positions from {places.min()} to {places.max()} of {length}", of_sizes=True)
    at = np.take_along_axis(positions(cache), np.broadcast_to(places % length, update), axis)
    return _scatter(b, replace(n, ins=(n.ins[0], None, n.ins[1])), at)


def known_reduction(n: View) -> str | None:
    """The reduction is none, add, mul, max or min."""
    found = n.text("reduction", "none")
    return None if found in ("none", *_REDUCTIONS) else found


PICK: dict[str, Handler] = {
    "GatherElements": Handler(
        gather_elements, notes="constant indices, or computed ones of an axis of at most 256 values"
    ),
    "OneHot": Handler(one_hot, notes="constant depth and values"),
    "Hardmax": Handler(hardmax, notes="at most 256 values"),
    "GatherND": Handler(gather_nd, notes="constant indices"),
    "Compress": Handler(compress, notes="constant condition"),
    "ReverseSequence": Handler(reverse_sequence, notes="constant lengths"),
    "Scatter": Handler(scatter_elements, notes="constant indices"),
    "ScatterElements": Handler(scatter_elements, (known_reduction,), "constant indices"),
    "TensorScatter": Handler(tensor_scatter, notes="computed positions: at most 256"),
    "ScatterND": Handler(scatter_nd, (known_reduction,), "constant indices"),
}
