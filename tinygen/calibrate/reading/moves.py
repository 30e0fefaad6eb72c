"""What only moves values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygen.calibrate.reading.elementwise import kept_whole
from tinygen.calibrate.reading.values import Ins, Node, Unreadable, Value, aligned, known_input, need_value
from tinygen.numerics import Array


def reshape_rule(n: Node, ins: Ins) -> list[Value]:
    x, asked = need_value(ins[0]), known_input(ins, 1)
    if asked is None:
        raise Unreadable("a shape that is left out")
    old = x.a.shape[1:]
    zero = bool(int(n.attrs.get("allowzero", 0)))
    shape = [old[i] if d == 0 and not zero else int(d) for i, d in enumerate(asked.ravel())]
    return [kept_whole(x, x.a.reshape(len(x.a), *_filled(shape, int(np.prod(old)))))]


def _filled(shape: Sequence[int], size: int) -> list[int]:
    """-1 worked out: numpy's own would count the samples."""
    rest = int(np.prod([d for d in shape if d != -1]))
    return [size // max(rest, 1) if d == -1 else d for d in shape]


def flatten_rule(n: Node, ins: Ins) -> list[Value]:
    x = need_value(ins[0])
    shape = x.a.shape[1:]
    axis = int(n.attrs.get("axis", 1))
    axis = axis + len(shape) if axis < 0 else axis
    return [kept_whole(x, x.a.reshape(len(x.a), int(np.prod(shape[:axis])), -1))]


def _axes(n: Node, ins: Ins) -> list[int]:
    given = known_input(ins, 1)
    return n.ints("axes") if given is None else [int(v) for v in given.ravel()]


def squeeze_rule(n: Node, ins: Ins) -> list[Value]:
    x = need_value(ins[0])
    shape = x.a.shape[1:]
    axes = [a % len(shape) for a in _axes(n, ins)] or [i for i, d in enumerate(shape) if d == 1]
    return [kept_whole(x, x.a.reshape(len(x.a), *(d for i, d in enumerate(shape) if i not in axes)))]


def unsqueeze_rule(n: Node, ins: Ins) -> list[Value]:
    x, axes = need_value(ins[0]), _axes(n, ins)
    rank = x.a.ndim - 1 + len(axes)
    y = x.a
    for a in sorted(a % rank for a in axes):
        y = np.expand_dims(y, a + 1)
    return [kept_whole(x, y)]


def transpose_rule(n: Node, ins: Ins) -> list[Value]:
    x = need_value(ins[0])
    perm = n.ints("perm", range(x.a.ndim - 2, -1, -1))
    return [kept_whole(x, x.a.transpose(0, *(p + 1 for p in perm)))]


def concat_rule(n: Node, ins: Ins) -> list[Value]:
    values = [need_value(v) for v in ins]
    count = next(len(v.a) for v in values if v.live)
    arrays = [v.a if v.live else np.broadcast_to(v.a, (count, *v.a.shape)) for v in values]
    axis = int(n.attrs["axis"])
    axis = axis + arrays[0].ndim - 1 if axis < 0 else axis
    return [Value(np.concatenate(arrays, axis=axis + 1), True, max(v.err for v in values))]


def slice_rule(n: Node, ins: Ins) -> list[Value]:
    x = need_value(ins[0])
    rank = x.a.ndim - 1
    if n.version < 10:
        starts, ends = n.ints("starts"), n.ints("ends")
        axes, steps = n.ints("axes", range(len(starts))), [1] * len(starts)
    else:
        parts = [known_input(ins, i) for i in range(1, 5)]
        starts, ends = ([int(v) for v in need_array(p).ravel()] for p in parts[:2])
        axes = list(range(len(starts))) if parts[2] is None else [int(v) for v in parts[2].ravel()]
        steps = [1] * len(starts) if parts[3] is None else [int(v) for v in parts[3].ravel()]
    where = [slice(None)] * (rank + 1)
    for a, b, axis, step in zip(starts, ends, axes, steps, strict=True):
        length = x.a.shape[axis % rank + 1]
        lowest = -length - 1 if step < 0 else -length
        end = None if step < 0 and b < -length else max(b, lowest)
        where[axis % rank + 1] = slice(max(a, -length), end, step)
    return [kept_whole(x, x.a[tuple(where)])]


def need_array(a: Array | None) -> Array:
    if a is None:
        raise Unreadable("an input is missing")
    return a


def split_rule(n: Node, ins: Ins) -> list[Value]:
    x, given = need_value(ins[0]), known_input(ins, 1)
    rank, count = x.a.ndim - 1, len(n.proto.output)
    axis = int(n.attrs.get("axis", 0)) % rank
    sizes = n.ints("split") if given is None else [int(v) for v in given.ravel()]
    if not sizes:
        each = -(-x.a.shape[axis + 1] // count)
        sizes = [each] * (count - 1) + [x.a.shape[axis + 1] - each * (count - 1)]
    return [kept_whole(x, p) for p in np.split(x.a, np.cumsum(sizes)[:-1], axis=axis + 1)]


def gather_rule(n: Node, ins: Ins) -> list[Value]:
    x, index = need_value(ins[0]), need_array(known_input(ins, 1))
    axis = int(n.attrs.get("axis", 0)) % (x.a.ndim - 1)
    return [kept_whole(x, np.take(x.a, index, axis=axis + 1))]


def pad_rule(n: Node, ins: Ins) -> list[Value]:
    x = need_value(ins[0])
    rank = x.a.ndim - 1
    pads = n.ints("pads") if n.version < 11 else [int(v) for v in need_array(known_input(ins, 1)).ravel()]
    value = n.attrs.get("value", 0.0) if n.version < 11 else known_input(ins, 2)
    axes = known_input(ins, 3)
    where = list(range(rank)) if axes is None else [int(a) % rank for a in axes.ravel()]
    width = [(0, 0)] * (rank + 1)
    for i, a in enumerate(where):
        width[a + 1] = (pads[i], pads[len(where) + i])
    if any(p < 0 for p in pads):
        raise Unreadable("negative pads")
    mode = n.text("mode", "constant")
    fill = 0 if value is None else np.asarray(value).reshape(()).item()
    more: dict[str, Any] = {"constant_values": fill} if mode == "constant" else {}
    return [kept_whole(x, np.pad(x.a, width, mode, **more))]  # type: ignore[call-overload]


def expand_rule(n: Node, ins: Ins) -> list[Value]:
    x, shape = need_value(ins[0]), [int(v) for v in need_array(known_input(ins, 1)).ravel()]
    (a,) = aligned(Value(x.a, True)) if x.a.ndim > len(shape) else aligned(x, Value(np.zeros(shape), False))[:1]
    return [kept_whole(x, np.broadcast_to(a, (len(a), *np.broadcast_shapes(a.shape[1:], tuple(shape)))))]


def same_rule(n: Node, ins: Ins) -> list[Value]:
    return [need_value(ins[0])]
