"""Operators that move integers and change none: Reshape, Transpose, Slice, Concat, Pad, Gather, Expand. NUMERICS
section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.errors import ModelError
from tinygen.ir.types import Tensor
from tinygen.numerics import Array
from tinygen.ops import access
from tinygen.ops.access import Access, Axis, Kind, Labels, width
from tinygen.ops.base import (
    Alias,
    Call,
    Case,
    ConstArg,
    Lowered,
    OnnxBuilder,
    Operator,
    Shape,
    config,
    contiguous_strides,
    int_range,
    kernel_of,
    need_quant,
    strided_copy,
)
from tinygen.ops.broadcast import operands
from tinygen.ops.interval import Interval, hull


class _Move(Operator):
    same_quant = True
    int16 = True


def _places(kept: Array, channels: int) -> Array:
    """For each channel its place among those kept."""
    place = np.zeros(channels, np.int64)
    place[kept] = np.arange(len(kept))
    return place


def _row(places: Array) -> tuple[int, int] | None:
    """(start, step) of places that lie in an even row."""
    start, step = int(places[0]), int(places[1] - places[0]) if len(places) > 1 else 1
    return (start, step) if np.array_equal(places, start + step * np.arange(len(places))) else None


@dataclass(frozen=True)
class Reshape(_Move):
    """Another shape for the same elements: never a copy."""

    shape: Shape
    rearranges = True
    copies = True

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        if np.prod(self.shape) != np.prod(shapes[0]):
            raise ValueError(f"{shapes[0]} cannot become {self.shape}")
        return (self.shape,)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return (b.op("Reshape", [names[0], b.const(np.array(self.shape, np.int64))]),)

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        return (arrays[0].reshape(-1, *self.shape),)

    def aliases(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Alias, ...]:
        (out,) = outs
        return (Alias(out.name, ins[0].name, 0),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        return (strided_copy(ins[0], out, (out.size,), (1,), (1,)),)

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        """Axes that are merged or split go along with the merged one; the rest of a group is read whole."""
        x, y = ins[0].shape, outs[0].shape
        found = [Axis(Kind.REPEAT) if d == 1 else Axis(Kind.MIX) for d in x]
        for i, j in _groups(x, y):
            if len(j) == 1:  # merged (or as it was)
                inner = 1
                for axis in reversed(i):
                    at = np.arange(y[j[0]]) // inner % x[axis]
                    found[axis] = Axis(Kind.SAME, j[0]) if len(i) == 1 else access.moved(j[0], at, x[axis])
                    inner *= x[axis]
            elif len(i) == 1:  # split: by the outermost part
                per = x[i[0]] // y[j[0]]
                first = np.arange(y[j[0]]) * per
                found[i[0]] = Axis(Kind.WINDOW, j[0], first, first + per - 1)
        return ((tuple(found),),)

    def channels(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Labels, ...]:
        """A channel lies at a multiple of the narrower width from those it is tied to."""
        n, m = width(ins[0]), width(outs[0])
        if n % m and m % n:
            return access.stays(ins[0]), access.stays(outs[0])
        return {-1: np.arange(n) % m}, {-1: np.arange(m) % n}

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        """Where only axes of length 1 come or go."""
        x = ins[0].shape
        if [d for d in x if d != 1] != [d for d in self.shape if d != 1]:
            return None
        lengths = iter(x[i] for i in order if x[i] != 1)
        return Reshape(tuple(1 if d == 1 else next(lengths) for d in self.shape))

    def cut(self, ins: Sequence[Tensor], outs: Sequence[Tensor], kept: Sequence[Array]) -> Operator | None:
        return Reshape((*self.shape[:-1], len(kept[-1]))) if self.shape else self

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        x, n, m = ranges[0], width(ins[0]), width(outs[0])
        if m % n == 0:
            return (x.at(np.arange(m) % n),)
        if n % m == 0:
            return (hull([x.at(np.arange(m) + k) for k in range(0, n, m)]),)
        return (x.whole(m),)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (Case("flatten", cls((1, 24)), ((1, 2, 3, 4),)),)


@dataclass(frozen=True)
class Transpose(_Move):
    perm: Shape
    rearranges = True
    copies = True

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        return (tuple(shapes[0][p] for p in self.perm),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return (b.op("Transpose", [names[0]], perm=list(self.perm)),)

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        return (np.ascontiguousarray(arrays[0].transpose(0, *(p + 1 for p in self.perm))),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        x_strides = contiguous_strides(ins[0].shape)
        picked = tuple(x_strides[p] for p in self.perm)
        return (strided_copy(ins[0], out, out.shape, picked, contiguous_strides(out.shape)),)

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        return ((tuple(Axis(Kind.SAME, self.perm.index(i)) for i in range(len(self.perm))),),)

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        x = ranges[0]
        return (x if self.perm[-1] == len(self.perm) - 1 else x.whole(width(outs[0])),)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (Case("nhwc_to_nchw", cls((0, 3, 1, 2)), ((1, 3, 4, 5),)), Case("swap", cls((0, 2, 1)), ((1, 6, 7),)))


@dataclass(frozen=True)
class Slice(_Move):
    """Every axis: start, step (may be negative) and count."""

    starts: Shape
    steps: Shape
    counts: Shape
    copies = True

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        for axis, (start, step, count) in enumerate(zip(self.starts, self.steps, self.counts, strict=True)):
            last = start + step * (count - 1)
            if count < 1 or not (0 <= start < shapes[0][axis] and 0 <= last < shapes[0][axis]):
                raise ValueError(f"axis {axis}: {count} values from {start} in steps of {step}, of {shapes[0][axis]}")
        return (self.counts,)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        ends = [s + st * c for s, st, c in zip(self.starts, self.steps, self.counts, strict=True)]
        ends = [e if e >= 0 else -(2**31) for e in ends]
        args = [np.array(v, np.int64) for v in (self.starts, ends, range(len(ends)), self.steps)]
        return (b.op("Slice", [names[0], *(b.const(a) for a in args)]),)

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        x = arrays[0]
        for axis, (start, step, count) in enumerate(zip(self.starts, self.steps, self.counts, strict=True)):
            x = np.take(x, start + step * np.arange(count), axis=axis + 1)
        return (x,)

    def aliases(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Alias, ...]:
        (out,) = outs
        strides = contiguous_strides(ins[0].shape)
        cut = [i for i, c in enumerate(self.counts) if c != ins[0].shape[i]]
        if cut and (self.steps[cut[0]] != 1 or len(cut) > 1 or any(d != 1 for d in out.shape[: cut[0]])):
            return ()
        if any(st < 0 and c > 1 for st, c in zip(self.steps, self.counts, strict=True)):
            return ()
        return (Alias(out.name, ins[0].name, sum(s * st for s, st in zip(self.starts, strides, strict=True))),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        strides = contiguous_strides(ins[0].shape)
        offset = sum(s * st for s, st in zip(self.starts, strides, strict=True))
        stepped = tuple(s * st for s, st in zip(self.steps, strides, strict=True))
        return (strided_copy(ins[0], out, out.shape, stepped, contiguous_strides(out.shape), offset),)

    def _positions(self, axis: int) -> Array:
        """What is read along an axis."""
        return self.starts[axis] + self.steps[axis] * np.arange(self.counts[axis])

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        x = ins[0].shape
        return ((tuple(access.moved(i, self._positions(i), d) for i, d in enumerate(x)),),)

    def channels(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Labels, ...]:
        if abs(self.steps[-1]) != 1:  # what is left between two that are read might no longer be as much everywhere
            return access.stays(ins[0]), access.stays(outs[0])
        return super().channels(ins, outs)

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        return Slice(*(tuple(v[i] for i in order) for v in (self.starts, self.steps, self.counts)))

    def cut(self, ins: Sequence[Tensor], outs: Sequence[Tensor], kept: Sequence[Array]) -> Operator | None:
        x, y = kept
        row = _row(_places(x, width(ins[0]))[self._positions(-1)[y]])
        if row is None:
            return None
        return Slice((*self.starts[:-1], row[0]), (*self.steps[:-1], row[1]), (*self.counts[:-1], len(y)))

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        return (ranges[0].at(self._positions(-1)),)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (
            Case("rows", cls((0, 1, 0), (1, 1, 1), (1, 2, 5)), ((1, 4, 5),)),
            Case("stepped", cls((0, 0, 1), (1, 2, 2), (1, 2, 2)), ((1, 4, 5),)),
            Case("reversed", cls((0, 3, 0), (1, -1, 1), (1, 4, 5)), ((1, 4, 5),)),
        )


@dataclass(frozen=True)
class Concat(_Move):
    axis: int
    drops_inputs = True
    copies = True

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        first = shapes[0]
        for s in shapes[1:]:
            if len(s) != len(first) or any(
                a != b for i, (a, b) in enumerate(zip(s, first, strict=True)) if i != self.axis
            ):
                raise ValueError(f"{first} and {s} differ outside axis {self.axis}")
        total = sum(s[self.axis] for s in shapes)
        return ((*first[: self.axis], total, *first[self.axis + 1 :]),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return (b.op("Concat", list(names), axis=self.axis),)

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        return Lowered(self, operands(ins))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        samples = max(a.shape[0] for a, t in zip(arrays, ins, strict=True) if t.const is None)
        full = [np.broadcast_to(a, (samples, *t.shape)) for a, t in zip(arrays, ins, strict=True)]
        return (np.concatenate(full, axis=self.axis + 1),)

    def _offsets(self, ins: Sequence[Tensor], out: Tensor) -> list[int]:
        stride = contiguous_strides(out.shape)[self.axis]
        starts = np.cumsum([0, *(t.shape[self.axis] for t in ins)])[:-1]
        return [int(s) * stride for s in starts]

    def aliases(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Alias, ...]:
        (out,) = outs
        if any(d != 1 for d in out.shape[: self.axis]) or len({t.name for t in ins}) < len(ins):
            return ()
        return tuple(
            Alias(t.name, out.name, o) for t, o in zip(ins, self._offsets(ins, out), strict=True) if t.const is None
        )

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        y_strides = contiguous_strides(out.shape)
        return tuple(
            strided_copy(t, out, t.shape, contiguous_strides(t.shape), y_strides, 0, o)
            for t, o in zip(ins, self._offsets(ins, out), strict=True)
        )

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        starts = np.cumsum([0, *(t.shape[self.axis] for t in ins)])
        found = []
        for t, start in zip(ins, starts, strict=False):
            part = access.moved(self.axis, np.arange(outs[0].shape[self.axis]) - start, t.shape[self.axis])
            found.append(tuple(part if i == self.axis else a for i, a in enumerate(access.same(len(t.shape)))))
        return (tuple(found),)

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        return Concat(order.index(self.axis))

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        if self.axis != len(outs[0].shape) - 1:
            return (hull(ranges),)
        return (Interval(*(np.concatenate(ends) for ends in zip(*((r.lo, r.hi) for r in ranges), strict=True))),)

    def hands_on(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> int | None:
        return 0 if len(ins) == 1 else None

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (
            Case("channels", cls(3), ((1, 4, 5, 2), (1, 4, 5, 3))),
            Case("rows", cls(1), ((1, 2, 5), (1, 3, 5), (1, 1, 5))),
        )


@dataclass(frozen=True)
class Pad(_Move):
    """Constant padding; `pads` is begin of every axis, then end of every axis, none negative."""

    pads: Shape
    value: float = 0.0

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        n = len(shapes[0])
        return (tuple(d + self.pads[i] + self.pads[n + i] for i, d in enumerate(shapes[0])),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        value = b.const(np.array(self.value, np.float32))
        return (b.op("Pad", [names[0], b.const(np.array(self.pads, np.int64)), value], mode="constant"),)

    def fill(self, out: Tensor) -> int:
        """The padding value in the integers of a FIXED output."""
        scale, zp = need_quant(out)
        return int(np.clip(np.rint(self.value / scale) + zp, *int_range(out)))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        n = len(self.pads) // 2
        widths = [(0, 0)] + [(self.pads[i], self.pads[n + i]) for i in range(n)]
        return (np.pad(arrays[0], widths, constant_values=self.fill(out)),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        y_strides = contiguous_strides(out.shape)
        offset = sum(p * s for p, s in zip(self.pads, y_strides, strict=False))
        x = ins[0]
        fill = Call(kernel_of("tg_fill", out), config(n=out.size, value=self.fill(out)), (), (), out.name)
        return fill, strided_copy(x, out, x.shape, contiguous_strides(x.shape), y_strides, 0, offset)

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        y = outs[0].shape
        return ((tuple(access.moved(i, np.arange(y[i]) - self.pads[i], d) for i, d in enumerate(ins[0].shape)),),)

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        return replace(self, pads=tuple(self.pads[i + k] for k in (0, len(order)) for i in order))

    def cut(self, ins: Sequence[Tensor], outs: Sequence[Tensor], kept: Sequence[Array]) -> Operator | None:
        x, y = kept
        last, n = len(ins[0].shape) - 1, width(ins[0])
        inside = (y >= self.pads[last]) & (y < self.pads[last] + n)
        if not np.array_equal(y[inside] - self.pads[last], x):
            return None
        before, behind = int((y < self.pads[last]).sum()), int((y >= self.pads[last] + n).sum())
        return replace(self, pads=(*self.pads[:last], before, *self.pads[last + 1 : -1], behind))

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        x, fill, last = ranges[0], self.fill(outs[0]), len(ins[0].shape) - 1
        if any(p for i, p in enumerate(self.pads) if i % (last + 1) != last):  # around every channel
            x = Interval(np.minimum(x.lo, fill), np.maximum(x.hi, fill))
        return (Interval(*(np.pad(v, (self.pads[last], self.pads[-1]), constant_values=fill) for v in (x.lo, x.hi))),)

    def own_values(self, ins: Sequence[Tensor], output: int = 0) -> tuple[float, ...]:
        return (self.value,)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (
            Case("zero", cls((0, 1, 2, 0, 0, 0, 1, 0)), ((1, 3, 4, 2),)),
            Case("one", cls((0, 0, 3, 0, 1, 0), 1.0), ((1, 3, 4),)),
        )


@dataclass(frozen=True)
class Gather(_Move):
    """Pick constant `indices` along `axis`; also edge and reflect padding, and irregular slices."""

    axis: int
    indices: Shape

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        x = shapes[0]
        if min(self.indices) < 0 or max(self.indices) >= x[self.axis]:
            raise ValueError(f"an index is outside 0..{x[self.axis] - 1}")
        return ((*x[: self.axis], len(self.indices), *x[self.axis + 1 :]),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return (b.op("Gather", [names[0], b.const(np.array(self.indices, np.int64))], axis=self.axis),)

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        return (np.take(arrays[0], self.indices, axis=self.axis + 1),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        x = ins[0].shape
        if x[self.axis] > 65535:
            raise ModelError(f'Gather from "{ins[0].name}": axis of {x[self.axis]}; an index is 16 bits')
        fields = config(
            outer=int(np.prod(x[: self.axis])),
            len=x[self.axis],
            n=len(self.indices),
            inner=int(np.prod(x[self.axis + 1 :])),
        )
        idx = ConstArg("idx", np.array(self.indices, np.uint16))
        return (Call(kernel_of("tg_gather", out), fields, (ins[0].name,), (idx,), out.name),)

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        picked = access.moved(self.axis, np.array(self.indices), ins[0].shape[self.axis])
        return ((tuple(picked if i == self.axis else a for i, a in enumerate(access.same(len(ins[0].shape)))),),)

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        return replace(self, axis=order.index(self.axis))

    def cut(self, ins: Sequence[Tensor], outs: Sequence[Tensor], kept: Sequence[Array]) -> Operator | None:
        if self.axis != len(ins[0].shape) - 1:
            return self
        x, y = kept
        places = _places(x, width(ins[0]))
        return replace(self, indices=tuple(int(places[self.indices[i]]) for i in y))

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        return (ranges[0].at(np.array(self.indices)) if self.axis == len(ins[0].shape) - 1 else ranges[0],)

    def hands_on(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> int | None:
        return 0 if self.indices == tuple(range(ins[0].shape[self.axis])) else None

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (Case("rows", cls(1, (2, 0, 2, 1)), ((1, 3, 4),)), Case("last", cls(2, (3, 0)), ((1, 3, 4),)))


@dataclass(frozen=True)
class Expand(_Move):
    """Repeat axes of length 1 up to `shape`."""

    shape: Shape
    copies = True

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        return (np.broadcast_shapes(shapes[0], self.shape),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return (b.op("Expand", [names[0], b.const(np.array(self.shape, np.int64))]),)

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        x = arrays[0].reshape(len(arrays[0]), *(1,) * (len(out.shape) - len(ins[0].shape)), *ins[0].shape)
        return (np.ascontiguousarray(np.broadcast_to(x, (len(x), *out.shape))),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        x = (1,) * (len(out.shape) - len(ins[0].shape)) + ins[0].shape
        strides = tuple(0 if d == 1 else s for d, s in zip(x, contiguous_strides(x), strict=True))
        return (strided_copy(ins[0], out, out.shape, strides, contiguous_strides(out.shape)),)

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        return ((access.broadcast(ins[0].shape, outs[0].shape),),)

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        return Expand(tuple(self.shape[i] for i in order)) if len(self.shape) == len(order) else None

    def cut(self, ins: Sequence[Tensor], outs: Sequence[Tensor], kept: Sequence[Array]) -> Operator | None:
        return Expand((*self.shape[:-1], len(kept[-1]))) if len(kept[-1]) != width(outs[0]) else self

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        return (ranges[0].spread(width(outs[0])),)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (Case("rows", cls((1, 3, 4)), ((1, 1, 4),)), Case("columns", cls((1, 3, 4)), ((1, 3, 1),)))


def _groups(x: Shape, y: Shape) -> list[tuple[list[int], list[int]]]:
    """The shortest groups of neighbouring axes that hold as many elements in x as in y; axes of length 1 belong to
    none."""
    left, right = ([i for i, d in enumerate(s) if d != 1] for s in (x, y))
    found = []
    while left and right:
        a, b = [left.pop(0)], [right.pop(0)]
        p, q = x[a[0]], y[b[0]]
        while p != q:
            if p < q:
                a.append(left.pop(0))
                p *= x[a[-1]]
            else:
                b.append(right.pop(0))
                q *= y[b[-1]]
        found.append((a, b))
    return found
