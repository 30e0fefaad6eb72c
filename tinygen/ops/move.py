"""Operators that move integers and change none: Reshape, Transpose, Slice, Concat, Pad, Gather, Expand. NUMERICS
section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinygen.errors import ModelError
from tinygen.ir.types import Tensor
from tinygen.numerics import Array
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


class _Move(Operator):
    same_quant = True
    int16 = True


@dataclass(frozen=True)
class Reshape(_Move):
    """Another shape for the same elements: never a copy."""

    shape: Shape

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

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (Case("flatten", cls((1, 24)), ((1, 2, 3, 4),)),)


@dataclass(frozen=True)
class Transpose(_Move):
    perm: Shape

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

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (Case("nhwc_to_nchw", cls((0, 3, 1, 2)), ((1, 3, 4, 5),)), Case("swap", cls((0, 2, 1)), ((1, 6, 7),)))


@dataclass(frozen=True)
class Slice(_Move):
    """Every axis: start, step (may be negative) and count."""

    starts: Shape
    steps: Shape
    counts: Shape

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

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (Case("rows", cls(1, (2, 0, 2, 1)), ((1, 3, 4),)), Case("last", cls(2, (3, 0)), ((1, 3, 4),)))


@dataclass(frozen=True)
class Expand(_Move):
    """Repeat axes of length 1 up to `shape`."""

    shape: Shape

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

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (Case("rows", cls((1, 3, 4)), ((1, 1, 4),)), Case("columns", cls((1, 3, 4)), ((1, 3, 1),)))
