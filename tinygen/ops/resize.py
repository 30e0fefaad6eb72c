"""Resize of H and W (or W alone), channels last: nearest or linear, by tables worked out offline. NUMERICS 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinygen.ir.types import Tensor
from tinygen.numerics import Array
from tinygen.ops import access
from tinygen.ops.access import Access, Kind
from tinygen.ops.base import Call, Case, ConstArg, OnnxBuilder, Operator, Shape, config, kernel_of
from tinygen.ops.interval import Interval
from tinygen.ops.spatial import one_image, two_d_shape

#: One in the weights of a linear resize.
UNIT = 2048


@dataclass(frozen=True, slots=True)
class Axis:
    """One output axis: for each output position the two neighbours and the weight (0..2048) of the second."""

    first: Shape
    second: Shape
    weight: Shape

    @staticmethod
    def nearest(index: Shape) -> Axis:
        return Axis(index, index, (0,) * len(index))

    def along(self, out: int, *, linear: bool) -> access.Axis:
        """What the positions of output axis `out` read."""
        first, second = np.array(self.first), np.array(self.second)
        if not linear:
            second = first
        second = np.where(np.array(self.weight) == 0, first, second)
        return access.Axis(Kind.WINDOW, out, np.minimum(first, second), np.maximum(first, second))

    def matrix(self, length: int) -> Array:
        """(outputs, length) float32 interpolation matrix."""
        m = np.zeros((len(self.first), length), np.float32)
        for o, (i, j, w) in enumerate(zip(self.first, self.second, self.weight, strict=True)):
            m[o, i] += 1 - w / UNIT
            m[o, j] += w / UNIT
        return m


@dataclass(frozen=True)
class Resize(Operator):
    """`axes` has one entry per spatial axis."""

    axes: tuple[Axis, ...]
    linear: bool = False
    same_quant = True

    @property
    def picks(self) -> bool:
        return not self.linear

    def takes_int16(self) -> bool:
        return not self.linear  # weights of 22 bits times int16 would leave int32

    @property
    def title(self) -> str:
        return f"resize {'linear' if self.linear else 'nearest'}"

    def _two_d(self) -> tuple[Axis, Axis]:
        return (Axis.nearest((0,)), self.axes[0]) if len(self.axes) == 1 else (self.axes[0], self.axes[1])

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        one_image(shapes[0])
        return ((shapes[0][0], *(len(a.first) for a in self.axes), shapes[0][-1]),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        x = names[0]
        if not self.linear:
            for i, axis in enumerate(self.axes):
                x = b.op("Gather", [x, b.const(np.array(axis.first, np.int64))], axis=1 + i)
            return (x,)
        # Interpolation matrices from the left, on W, then (with H in its place) on H.
        x = b.op("MatMul", [b.const(self.axes[-1].matrix(ins[0].shape[-2])), x])
        if len(self.axes) == 2:
            swapped = b.op("Transpose", [x], perm=[0, 2, 1, 3])
            y = b.op("MatMul", [b.const(self.axes[0].matrix(ins[0].shape[1])), swapped])
            x = b.op("Transpose", [y], perm=[0, 2, 1, 3])
        return (x,)

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        ay, ax = self._two_d()
        x = arrays[0].reshape(len(arrays[0]), *two_d_shape(ins[0].shape)[1:]).astype(np.int32)
        if not self.linear:
            y = x[:, ay.first][:, :, ax.first]
        else:
            wy = np.array(ay.weight, np.int32)[:, None, None]
            wx = np.array(ax.weight, np.int32)[:, None]
            top, bottom = x[:, ay.first], x[:, ay.second]
            acc = (
                (UNIT - wy) * (UNIT - wx) * top[:, :, ax.first]
                + (UNIT - wy) * wx * top[:, :, ax.second]
                + wy * (UNIT - wx) * bottom[:, :, ax.first]
                + wy * wx * bottom[:, :, ax.second]
            )
            y = (acc + (1 << 21) - 1 + ((acc >> 22) & 1)) >> 22  # halves to even
        return (y.astype(arrays[0].dtype).reshape(-1, *out.shape),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        ay, ax = self._two_d()
        _, _, iw, c = two_d_shape(ins[0].shape)
        fields = config(in_w=iw, out_h=len(ay.first), out_w=len(ax.first), channels=c)
        if not self.linear:
            consts = (ConstArg("iy", np.array(ay.first, np.uint16)), ConstArg("ix", np.array(ax.first, np.uint16)))
            return (Call(kernel_of("tg_resize_nearest", out), fields, (ins[0].name,), consts, out.name),)
        rows = [np.array(list(zip(a.first, a.second, a.weight, strict=True)), np.uint16) for a in (ay, ax)]
        return (
            Call(
                "tg_resize_linear_s8",
                fields,
                (ins[0].name,),
                (ConstArg("ty", rows[0]), ConstArg("tx", rows[1])),
                out.name,
            ),
        )

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        spatial = (a.along(1 + i, linear=self.linear) for i, a in enumerate(self.axes))
        image, *_, channels = access.same(len(ins[0].shape))
        return (((image, *spatial, channels),),)

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        return (ranges[0],)  # linear: weights add up to one, so nothing leaves the range

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        double = Axis.nearest((0, 0, 1, 1, 2, 2))
        linear = Axis((0, 0, 0, 1), (0, 1, 1, 1), (0, 512, 1536, 0))
        return (
            Case("nearest", cls((double, double)), ((1, 3, 3, 2),)),
            Case("nearest_1d", cls((double,)), ((1, 3, 4),)),
            Case("linear", cls((linear, linear), True), ((1, 2, 2, 3),)),
        )
