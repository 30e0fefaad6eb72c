"""Mean, sum, length, maximum and minimum over one block of neighbouring axes, seen as [outer, n, inner]. NUMERICS
sections 3 and 10."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.errors import ModelError
from tinygen.ir.types import Tensor
from tinygen.numerics import Array, choose_multipliers, half_to_even, int_type, requant, rsqrt
from tinygen.ops.access import Access, Axis, Kind, width
from tinygen.ops.base import (
    LONGEST_SUM16,
    Call,
    Case,
    Lowered,
    OnnxBuilder,
    Operator,
    Shape,
    bits_of,
    config,
    int_range,
    is_wide,
    keeps_scale,
    kernel_of,
    need_quant,
    output_width,
    step_of,
    zero_points,
)
from tinygen.ops.interval import Interval

#: The squares of so many int8 or int16 values add up to less than 2^44.
LONGEST_SQUARES = {8: 65535, 16: 16384}


def reduced_shape(shape: Shape, axes: Shape, keepdims: bool) -> Shape:
    """Shape after reducing `axes`."""
    if keepdims:
        return tuple(1 if i in axes else d for i, d in enumerate(shape))
    return tuple(d for i, d in enumerate(shape) if i not in axes)


def block(shape: Shape, axes: Shape) -> tuple[int, int, int] | None:
    """(outer, n, inner), or None when the reduced axes are not neighbours (axes of length 1 do not matter)."""
    real = [i for i in sorted(axes) if shape[i] > 1]
    if not real:
        return int(np.prod(shape)), 1, 1
    between = [i for i in range(real[0], real[-1] + 1) if i not in real and shape[i] > 1]
    if between:
        return None
    return (
        int(np.prod(shape[: real[0]])),
        int(np.prod(shape[real[0] : real[-1] + 1])),
        int(np.prod(shape[real[-1] + 1 :])),
    )


@dataclass(frozen=True)
class _Reduce(Operator):
    axes: Shape
    keepdims: bool = True

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        return (reduced_shape(shapes[0], self.axes, self.keepdims),)

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        kept = [i for i in range(len(ins[0].shape)) if self.keepdims or i not in self.axes]
        place = {axis: i for i, axis in enumerate(kept)}
        return (
            (tuple(Axis(Kind.MIX if i in self.axes else Kind.SAME, place.get(i)) for i in range(len(ins[0].shape))),),
        )

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        moved = tuple(sorted(order.index(a) for a in self.axes))
        if block(tuple(ins[0].shape[i] for i in order), moved) is None:
            return None
        return replace(self, axes=moved)

    def outer_n_inner(self, x: Tensor) -> tuple[int, int, int]:
        found = block(x.shape, self.axes)
        if found is None:
            raise ModelError(f'reduction of "{x.name}" {x.shape} over axes {self.axes}: the axes are not neighbours')
        return found


@dataclass(frozen=True)
class ReduceSum(_Reduce):
    """Sum, or mean when `mean`. `even`: a mean in the scale of the input, whose halves go to the even integer."""

    mean: bool = True
    m: int = 0
    shift: int = 0
    even: bool = False
    int16 = True

    @property
    def title(self) -> str:
        return "mean" if self.mean else "sum"

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        axes = b.const(np.array(self.axes, np.int64))
        return (b.op("ReduceMean" if self.mean else "ReduceSum", [names[0], axes], keepdims=int(self.keepdims)),)

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        (out,) = outs
        _, n, _ = self.outer_n_inner(ins[0])
        longest = LONGEST_SUM16 if is_wide(out) else 2**22
        if n > longest:
            raise ModelError(f'"{out.name}": a sum of {n} values; of {bits_of(out)} bits it takes {longest} at most')
        ratio = need_quant(ins[0])[0] / need_quant(out)[0] / (n if self.mean else 1)
        try:
            m, shift = choose_multipliers([ratio], step_of(out))
        except ValueError as e:
            raise ModelError(f'"{out.name}": {e}') from e
        even = self.mean and n % 2 == 0 and keeps_scale(ins[0], out)
        return Lowered(replace(self, m=int(m[0]), shift=shift, even=even), (ins[0].name,))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        x = arrays[0].reshape(-1, *self.outer_n_inner(ins[0])).astype(np.int32) - need_quant(ins[0])[1]
        y = self.rounded(x.sum(axis=2), x.shape[2], out)
        return (y.reshape(-1, *out.shape),)

    def rounded(self, acc: Array, n: int, out: Tensor) -> Array:
        """Sums of n values as integers of the output."""
        q = requant(acc, self.m, self.shift)
        q = half_to_even(q, acc, n) if self.even else q
        y: Array = np.clip(q + need_quant(out)[1], *int_range(out)).astype(int_type(bits_of(out)))
        return y

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        outer, n, inner = self.outer_n_inner(ins[0])
        fields = config(
            outer=outer,
            n=n,
            inner=inner,
            **zero_points(in_zp=ins[0], out_zp=out),
            m=self.m,
            shift=self.shift,
        )
        if not is_wide(out):
            fields += config(even=int(self.even))
        return (Call(kernel_of("tg_reduce_sum", out), fields, (ins[0].name,), (), out.name),)

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        d, m = ranges[0].minus(need_quant(ins[0])[1]), width(outs[0])
        _, n, _ = self.outer_n_inner(ins[0])
        if len(ins[0].shape) - 1 in self.axes:
            each = n // width(ins[0])
            d = Interval(np.full(m, d.lo.sum() * each), np.full(m, d.hi.sum() * each))
        else:
            d = Interval(d.lo * n, d.hi * n)
        return (Interval(*(self.rounded(e, n, outs[0]).astype(np.int64) for e in (d.lo, d.hi))),)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (
            Case("global_average", cls((1, 2)), ((1, 5, 4, 6),)),
            Case("last_axis_sum", cls((2,), False, False), ((1, 5, 7),)),
        )


@dataclass(frozen=True)
class ReduceL2(_Reduce):
    """Euclidean length: the square root of the sum of the squares. NUMERICS section 10."""

    m: int = 0
    shift: int = 0
    int16 = True
    narrows = True

    @property
    def title(self) -> str:
        return "length"

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        axes = b.const(np.array(self.axes, np.int64))
        return (b.op("ReduceL2", [names[0], axes], keepdims=int(self.keepdims)),)

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        (out,) = outs
        _, n, _ = self.outer_n_inner(ins[0])
        longest = LONGEST_SQUARES[bits_of(ins[0])]
        if n > longest:
            raise ModelError(f'"{out.name}": the length of {n} values; of {bits_of(ins[0])} bits it takes {longest}')
        ratio = need_quant(ins[0])[0] / need_quant(out)[0]
        shift = int(np.clip(30 - np.floor(np.log2(ratio)), 0, 32))
        m = int(np.rint(ratio * 2.0**shift))
        if m >= 2**31:
            raise ModelError(f'"{out.name}": a step of the input is {ratio:.3g} steps of the output, more than 2^30')
        return Lowered(replace(self, m=m, shift=shift), (ins[0].name,))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        x = arrays[0].reshape(-1, *self.outer_n_inner(ins[0])).astype(np.int64) - need_quant(ins[0])[1]
        return (self.rooted((x * x).sum(axis=2), out).reshape(-1, *out.shape),)

    def rooted(self, v: Array, out: Tensor) -> Array:
        """Sums of squares (int64, below 2^44) as integers of the output."""
        w, half = v.astype(np.uint64), np.zeros(v.shape, np.uint64)  # w = v << 2 * half, 2^62 or more
        w = np.maximum(w, np.uint64(1))
        for step in (16, 8, 4, 2, 1):
            small = w < np.uint64(1) << np.uint64(64 - 2 * step)
            w = np.where(small, w << np.uint64(2 * step), w)
            half += np.where(small, np.uint64(step), np.uint64(0))
        w >>= np.uint64(32)
        root = (w * rsqrt(w).astype(np.uint64)) >> np.uint64(31)  # sqrt(v) = root * 2^(1 - half)
        down = half + np.uint64(self.shift - 1)
        q = (root * np.uint64(self.m) + (np.uint64(1) << (down - np.uint64(1)))) >> down
        q = np.where(v > 0, np.minimum(q, np.uint64(1 << 16)), np.uint64(0)).astype(np.int64)
        y: Array = np.clip(q + need_quant(out)[1], *int_range(out)).astype(int_type(bits_of(out)))
        return y

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        outer, n, inner = self.outer_n_inner(ins[0])
        fields = config(
            outer=outer,
            n=n,
            inner=inner,
            m=self.m,
            **zero_points(in_zp=ins[0]),
            out_zp=need_quant(out)[1],
            shift=self.shift,
            **output_width(ins[0], out),
        )
        return (Call(kernel_of("tg_reduce_l2", ins[0]), fields, (ins[0].name,), (), out.name),)

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        d, m = ranges[0].minus(need_quant(ins[0])[1]), width(outs[0])
        _, n, _ = self.outer_n_inner(ins[0])
        most = np.maximum(np.abs(d.lo), np.abs(d.hi))
        least = np.where((d.lo <= 0) & (d.hi >= 0), 0, np.minimum(np.abs(d.lo), np.abs(d.hi)))
        ends = [e.astype(np.int64) ** 2 for e in (least, most)]
        if len(ins[0].shape) - 1 in self.axes:
            ends = [np.full(m, e.sum() * (n // width(ins[0]))) for e in ends]
        else:
            ends = [e * n for e in ends]
        return (Interval(*(self.rooted(e, outs[0]).astype(np.int64) for e in ends)),)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (
            Case("last_axis", cls((2,), False), ((1, 5, 7),)),
            Case("complex", cls((2,), False), ((1, 4, 2, 9),)),
            Case("whole", cls((1, 2)), ((1, 3, 50, 2),)),
        )


@dataclass(frozen=True)
class ReduceExtreme(_Reduce):
    """Maximum, or minimum."""

    largest: bool = True
    same_quant = True
    int16 = True

    @property
    def title(self) -> str:
        return "max" if self.largest else "min"

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        axes = b.const(np.array(self.axes, np.int64))
        return (b.op("ReduceMax" if self.largest else "ReduceMin", [names[0], axes], keepdims=int(self.keepdims)),)

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        x = arrays[0].reshape(-1, *self.outer_n_inner(ins[0]))
        return ((x.max(axis=2) if self.largest else x.min(axis=2)).reshape(-1, *out.shape),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        outer, n, inner = self.outer_n_inner(ins[0])
        kernel = kernel_of("tg_reduce_max" if self.largest else "tg_reduce_min", out)
        return (Call(kernel, config(outer=outer, n=n, inner=inner), (ins[0].name,), (), out.name),)

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        x, m = ranges[0], width(outs[0])
        if len(ins[0].shape) - 1 not in self.axes:
            return (x,)
        pick = np.max if self.largest else np.min
        return (Interval(np.full(m, pick(x.lo)), np.full(m, pick(x.hi))),)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (
            Case("global_max", cls((1, 2)), ((1, 5, 4, 6),)),
            Case("min_last", cls((2,), False, False), ((1, 5, 7),)),
        )
