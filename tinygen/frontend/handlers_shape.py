"""Operators that move values and change none: reshape, transpose, slice, concat, pad, gather and their relatives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygen.frontend.context import Act, Builder, Handler, Known, Result, Unsupported, View
from tinygen.ir.types import Tensor
from tinygen.ops import Concat, Expand, Gather, Lookup, Pad, Slice
from tinygen.ops.base import Shape
from tinygen.ops.lookup import MAX_ROWS


def take(b: Builder, x: Tensor, axis: int, index: Sequence[int]) -> Tensor:
    """Pick `index` along `axis`: nothing, a Slice where the steps are even, otherwise a Gather."""
    index = tuple(int(i) for i in index)
    if any(not 0 <= i < x.shape[axis] for i in index):
        raise Unsupported(f"index outside 0..{x.shape[axis] - 1} on axis {axis}", of_sizes=True)
    if not index:
        raise Unsupported(f"nothing is taken from axis {axis}", of_sizes=True)
    if index == tuple(range(x.shape[axis])):
        return x
    steps = set(np.diff(index).tolist())
    if len(steps) > 1 or steps == {0}:
        if x.shape[axis] > 65535:
            raise Unsupported(
                f"picking from an axis of {x.shape[axis]} values; at most 65535", "Split the axis before."
            )
        return b.emit(Gather(axis, index), x)
    starts, strides, counts = [0] * len(x.shape), [1] * len(x.shape), list(x.shape)
    starts[axis], strides[axis], counts[axis] = index[0], steps.pop() if steps else 1, len(index)
    return b.emit(Slice(tuple(starts), tuple(strides), tuple(counts)), x)


def normal(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise Unsupported(f"axis {axis} of a tensor of rank {rank}")
    return axis % rank


def _misfit(x: Tensor, want: Sequence[int]) -> Unsupported:
    return Unsupported(
        f"{x.shape} cannot become {list(want)}",
        "A fixed batch in the model's own Reshape? Export with batch 1, or edit the constant that holds the shape.",
        of_sizes=True,
    )


def reshape(b: Builder, n: View) -> Result:
    x = n.act()
    want = list(n.int_list(1, "the new shape") or ())
    if not n.integer("allowzero", 0):
        want = [x.shape[i] if d == 0 and i < len(x.shape) else d for i, d in enumerate(want)]
    if want.count(-1) == 1:
        rest = int(np.prod([d for d in want if d != -1], dtype=np.int64))
        if rest == 0 or x.size % rest:
            raise _misfit(x, want)
        want[want.index(-1)] = x.size // rest
    if int(np.prod(want, dtype=np.int64)) != x.size or min(want, default=1) < 1:
        raise _misfit(x, want)
    return b.reshape(x, want)


def flatten(b: Builder, n: View) -> Result:
    x = n.act()
    axis = n.integer("axis", 1)
    axis += len(x.shape) if axis < 0 else 0
    return b.reshape(x, (int(np.prod(x.shape[:axis], dtype=np.int64)), int(np.prod(x.shape[axis:], dtype=np.int64))))


def squeeze(b: Builder, n: View) -> Result:
    x = n.act()
    axes = n.ints("axes") if "axes" in n.attrs else n.int_list(1, "the axes")
    drop = {normal(a, len(x.shape)) for a in axes} if axes else {i for i, d in enumerate(x.shape) if d == 1}
    if any(x.shape[a] != 1 for a in drop):
        raise Unsupported(f"axes {sorted(drop)} of {x.shape} are not all 1", of_sizes=True)
    return b.reshape(x, [d for i, d in enumerate(x.shape) if i not in drop])


def unsqueeze(b: Builder, n: View) -> Result:
    x = n.act()
    axes = n.ints("axes") if "axes" in n.attrs else n.int_list(1, "the axes")
    rank = len(x.shape) + len(axes or ())
    new = {normal(a, rank) for a in axes or ()}
    dims = iter(x.shape)
    return b.reshape(x, [1 if i in new else next(dims) for i in range(rank)])


def transpose(b: Builder, n: View) -> Result:
    x = n.act()
    perm = n.ints("perm", range(len(x.shape) - 1, -1, -1))
    if sorted(perm) != list(range(len(x.shape))):
        raise Unsupported(f"perm {perm} of a tensor of rank {len(x.shape)}")
    return b.transpose(x, perm)


def identity(b: Builder, n: View) -> Result:
    return n.act()


def dropout(b: Builder, n: View) -> Result:
    """Nothing, as in evaluation; its mask is true everywhere."""
    return [n.act(), Known(np.ones(n.act().shape, bool))]


def concat(b: Builder, n: View) -> Result:
    parts = [b.tensor(v, f"{n.name}/part") for v in n.ins if not (isinstance(v, Known) and v.array.size == 0)]
    if len(parts) == 1:
        return parts[0]
    return b.emit(Concat(normal(n.integer("axis", 0), len(parts[0].shape))), *parts)


def split(b: Builder, n: View) -> Result:
    x = n.act()
    axis = normal(n.integer("axis", 0), len(x.shape))
    sizes = n.ints("split") if "split" in n.attrs else n.int_list(1, "the sizes")
    if not sizes:
        parts = n.integer("num_outputs", len(n.outs))
        each = -(-x.shape[axis] // parts)
        sizes = (each,) * (parts - 1) + (x.shape[axis] - each * (parts - 1),)
    if sum(sizes) != x.shape[axis] or len(sizes) != len(n.outs):
        raise Unsupported(f"split of {x.shape[axis]} values into {sizes} for {len(n.outs)} outputs", of_sizes=True)
    starts = np.cumsum([0, *sizes])[:-1]
    return [
        take(b, x, axis, range(int(s), int(s) + k)) if used and k else _empty(x, axis)
        for s, k, used in zip(starts, sizes, n.used, strict=True)
    ]


def _empty(x: Tensor, axis: int) -> Known:
    """No values along `axis`: a constant, which Concat leaves out."""
    return Known(np.zeros((*x.shape[:axis], 0, *x.shape[axis + 1 :]), np.float32))


def slice_(b: Builder, n: View) -> Result:
    x = n.act()
    starts, ends = n.int_list(1, "starts") or (), n.int_list(2, "ends") or ()
    axes = n.int_list(3, "axes") or tuple(range(len(starts)))
    steps = n.int_list(4, "steps") or (1,) * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        a = normal(axis, len(x.shape))
        if step == 0:
            raise Unsupported("a step of 0")
        # Python's slices clamp as ONNX's do, once "before the first" is written as None.
        stop = None if step < 0 and end < -x.shape[a] else end
        index = range(x.shape[a])[slice(start, stop, step)]
        if not index:
            return _empty(x, a)
        x = take(b, x, a, index)
    return x


def pad_mode(n: View) -> str | None:
    """Mode is constant, reflect, edge or wrap."""
    mode = n.text("mode", "constant")
    return None if mode in ("constant", "reflect", "edge", "wrap") else mode


def pad(b: Builder, n: View) -> Result:
    x = n.act()
    rank = len(x.shape)
    given = n.int_list(1, "the pads") or ()
    axes = n.int_list(3, "the axes") or tuple(range(rank))
    if len(given) != 2 * len(axes):
        raise Unsupported(f"{len(given)} pads for {len(axes)} axes")
    pads = [0] * (2 * rank)
    for i, axis in enumerate(axes):
        a = normal(axis, rank)
        pads[a], pads[rank + a] = given[i], given[len(axes) + i]
    mode = n.text("mode", "constant")
    value = n.scalar(2, "the value") or 0.0
    if mode == "constant" and not np.isfinite(value):
        raise Unsupported(f"padding with {value}", "Give the padding to the pool or convolution that follows.")
    for a in range(rank):  # negative pads crop
        low, high = pads[a], pads[rank + a]
        if mode == "constant":
            x = take(b, x, a, range(max(-low, 0), x.shape[a] - max(-high, 0)))
            continue
        index = np.arange(x.shape[a])
        index = np.pad(index, (max(low, 0), max(high, 0)), mode=mode)  # type: ignore[call-overload]
        x = take(b, x, a, index[max(-low, 0) : len(index) - max(-high, 0)].tolist())
    grown = tuple(max(p, 0) for p in pads)
    return b.emit(Pad(grown, value), x) if mode == "constant" and any(grown) else x


def table_or_indices(n: View) -> str | None:
    """The indices are constant, or the table is: a look-up.

    Choosing among computed values by a computed index is not supported."""
    return None if n.is_known(0) or n.is_known(1) else "indices and values computed from the input"


def look_up(b: Builder, n: View) -> Tensor:
    """Rows of a constant table, by whole numbers."""
    table = n.array(0, "the table").astype(np.float32)
    if normal(n.integer("axis", 0), table.ndim) != 0:
        raise Unsupported(f"a look-up along axis {n.integer('axis', 0)}", "Transpose the table; look up along axis 0.")
    if len(table) > MAX_ROWS:
        raise Unsupported(f"a table of {len(table)} rows; at most {MAX_ROWS}", "Larger tables come in a later version.")
    index = n.act(1)
    y = b.emit(Lookup(), index, b.const(table.reshape(len(table), -1), f"{n.name}/table"))
    return b.reshape(y, (*index.shape, *table.shape[1:]))


def gather(b: Builder, n: View) -> Result:
    if not n.is_known(1):
        return Act(look_up(b, n))
    x, index = n.act(), n.array(1, "the indices")
    axis = normal(n.integer("axis", 0), len(x.shape))
    flat = [int(i) + (x.shape[axis] if i < 0 else 0) for i in index.reshape(-1)]
    y = take(b, x, axis, flat)
    return b.reshape(y, (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


def expand(b: Builder, n: View) -> Result:
    x = n.act()
    try:
        want: Shape = tuple(np.broadcast_shapes(x.shape, n.int_list(1, "the shape") or ()))
    except ValueError as e:
        raise Unsupported(str(e), of_sizes=True) from e
    if x.size == int(np.prod(want, dtype=np.int64)):
        return b.reshape(x, want)
    return b.emit(Expand(want), x)


def tile(b: Builder, n: View) -> Result:
    x = n.act()
    repeats = n.int_list(1, "the repeats") or ()
    for axis, times in enumerate(repeats):
        if x.shape[axis] > 1:
            x = take(b, x, axis, np.tile(np.arange(x.shape[axis]), times).tolist())
    want = tuple(d * r if d == 1 else d for d, r in zip(x.shape, repeats, strict=True))
    return x if want == x.shape else b.emit(Expand(want), x)


def shape(b: Builder, n: View) -> Result:
    dims = n.act().shape
    rank = len(dims)
    start, end = n.integer("start", 0), n.integer("end", rank)
    return Known(np.array(dims[slice(start, end)], np.int64))


def size(b: Builder, n: View) -> Result:
    return Known(np.array(n.act().size, np.int64))


#: Those that work on integer codes of a quantised tensor as they are.
SHAPE: dict[str, Handler] = {
    "Reshape": Handler(reshape),
    "Flatten": Handler(flatten),
    "Squeeze": Handler(squeeze),
    "Unsqueeze": Handler(unsqueeze),
    "Transpose": Handler(transpose),
    "Identity": Handler(identity),
    "Dropout": Handler(dropout, notes="left out"),
    "Concat": Handler(concat),
    "Split": Handler(split),
    "Slice": Handler(slice_),
    "Pad": Handler(pad, (pad_mode,), "constant, reflect, edge, wrap; negative pads crop"),
    "Gather": Handler(gather, (table_or_indices,), "a constant table of at most 256 rows, or constant indices"),
    "Expand": Handler(expand, notes="constant shape"),
    "Tile": Handler(tile, notes="constant repeats"),
    "Shape": Handler(shape, notes="folded"),
    "Size": Handler(size, notes="folded"),
}
