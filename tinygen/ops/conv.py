"""Convolution over one or two axes: grouped, depthwise, strided, dilated, padded on each side as it likes.

FLOAT inputs: x (1, [H,] W, C), w (O, [kh,] kw, C/groups), b (O).
FIXED inputs: x int8 or int16, w int8, b int32, m int32 (multipliers). int16 gives int16 or int8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.ir.types import Tensor
from tinygen.numerics import INT32_LIMIT, Array, fold_bias, matmul_exact, requant_clamp
from tinygen.ops import access
from tinygen.ops.access import Access
from tinygen.ops.base import (
    Call,
    Case,
    ConstArg,
    Epilogue,
    Lowered,
    OnnxBuilder,
    Shape,
    bits_of,
    clamp_to_onnx,
    config,
    kernel_of,
    need_quant,
    output_width,
    quantise_weights,
    zero_points,
)
from tinygen.ops.spatial import Window, one_image, patches, two_d_shape
from tinygen.ops.weighted import Weighted


@dataclass(frozen=True)
class Conv(Weighted):
    window: Window
    groups: int = 1
    lo: float = -math.inf  # fused clamp, real values
    hi: float = math.inf
    epilogue: Epilogue | None = None
    int16 = True
    narrows = True

    @property
    def title(self) -> str:
        w = self.window
        size = f"conv {'x'.join(map(str, w.kernel))}"
        return size + (f" s{'x'.join(map(str, w.strides))}" if max(w.strides) > 1 else "")

    def describe(self, ins: Sequence[Tensor]) -> str:
        if self.groups == 1:
            return self.title
        return ("depthwise " if self.depthwise(ins[0].shape[-1]) else "grouped ") + self.title

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        x, w = shapes[0], shapes[1]
        one_image(x)
        if x[-1] != w[-1] * self.groups:
            raise ValueError(f"input has {x[-1]} channels, weights want {w[-1]} x {self.groups} groups")
        return ((x[0], *self.window.out_size(x[1:-1]), w[0]),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        n = self.window.rank
        first, last = [0, n + 1, *range(1, n + 1)], [0, *range(2, n + 2), 1]
        x = b.op("Transpose", [names[0]], perm=first)
        w = b.const(np.ascontiguousarray(ins[1].array.transpose(first)))
        y = b.op(
            "Conv",
            [x, w, names[2]],
            kernel_shape=list(self.window.kernel),
            strides=list(self.window.strides),
            pads=list(self.window.pads),
            dilations=list(self.window.dilations),
            group=self.groups,
        )
        return (b.op("Transpose", [clamp_to_onnx(b, y, self.lo, self.hi)], perm=last),)

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        (out,) = outs
        x, w, bias = ins
        qw, qb, qm, end = quantise_weights(out.name, x, w, bias.array, out, self.lo, self.hi)
        return Lowered(replace(self, epilogue=end), (x.name, qw, qb, qm))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        assert self.epilogue is not None
        x, w, bias, m = arrays
        _, zp = need_quant(ins[0])
        samples = x.shape[0]
        x = x.reshape(samples, *two_d_shape(ins[0].shape)[1:])
        window = self.window.two_d()
        w = w.reshape(w.shape[0], *window.kernel, w.shape[-1])
        taps = patches(x.astype(np.int16) - zp, window, 0)
        if self.depthwise(x.shape[-1]):
            mult = w.shape[0] // x.shape[-1]
            # int32 takes half the time of int64, where no sum can leave it.
            most = (2.0 ** bits_of(ins[0])) * float(np.abs(w.astype(np.float64)).reshape(len(w), -1).sum(axis=1).max())
            kind = np.int32 if most < INT32_LIMIT else np.int64
            acc = np.zeros((*taps.shape[:3], w.shape[0]), kind)
            for i in range(window.kernel[0]):
                for j in range(window.kernel[1]):
                    tap = taps[:, :, :, i, j, :].astype(kind)
                    acc += (np.repeat(tap, mult, axis=3) if mult > 1 else tap) * w[:, i, j, 0].astype(kind)
        else:
            per, made = x.shape[-1] // self.groups, w.shape[0] // self.groups
            parts = []
            for g in range(self.groups):
                rows = taps[..., g * per : (g + 1) * per].reshape(*taps.shape[:3], -1)
                matrix = w[g * made : (g + 1) * made].reshape(made, -1).T
                parts.append(matmul_exact(rows, matrix, 2 ** bits_of(ins[0]) - 1))
            acc = parts[0] if self.groups == 1 else np.concatenate(parts, axis=3)
        _, y_zp = need_quant(out)
        end = self.epilogue
        y = requant_clamp(acc + bias.astype(np.int64), m, end.shift, y_zp, end.lo, end.hi, bits_of(out))
        return (y.reshape(samples, *out.shape),)

    def macs(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> int:
        (out,) = outs
        return out.size * ins[1].size // ins[1].shape[0]

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        assert self.epilogue is not None
        x, w, b, m = ins
        _, zp = need_quant(x)
        _, y_zp = need_quant(out)
        _, ih, iw, ic = two_d_shape(x.shape)
        _, oh, ow, oc = two_d_shape(out.shape)
        w4 = w.array.reshape(oc, *self.window.two_d().kernel, -1)
        fields = {
            "in_h": ih, "in_w": iw, "in_c": ic, "out_h": oh, "out_w": ow, "out_c": oc, **self.window.fields()
        }  # fmt: skip
        end = {
            **zero_points(in_zp=x),
            "out_zp": y_zp,
            "lo": self.epilogue.lo,
            "hi": self.epilogue.hi,
            "shift": self.epilogue.shift,
            **output_width(x, out),
        }
        folded = fold_bias(w4, b.array, zp)
        consts = (ConstArg("b", folded), ConstArg("m", m.array))
        if self.depthwise(ic):
            packed = ConstArg("w", np.ascontiguousarray(w4[..., 0].transpose(1, 2, 0)))
            return (Call(kernel_of("tg_dwconv", x), config(**fields, **end), (x.name,), (packed, *consts), out.name),)
        return (
            Call(
                kernel_of("tg_conv", x),
                config(**fields, groups=self.groups, **end),
                (x.name,),
                (ConstArg("w", w4), *consts),
                out.name,
            ),
        )

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        x, y = ins[0].shape, outs[0].shape
        channels = access.group_inputs(len(x) - 1, y[-1], x[-1], self.groups)
        return ((self.window.along(x, y, channels), *(None for _ in ins[1:])),)

    def taps_inside(self, x: Tensor, out: Tensor) -> Array:
        return self.window.taps_inside(x.shape, out.shape)

    def cut(self, ins: Sequence[Tensor], outs: Sequence[Tensor], kept: Sequence[Array]) -> Weighted:
        return replace(self, groups=len(kept[0])) if self.depthwise(ins[0].shape[-1]) else self

    def padded(self, pads: Shape) -> Conv | None:
        window = self.window.padded(pads)
        return None if window is None else replace(self, window=window)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        rng = np.random.default_rng(1)

        def case(
            name: str, x: Shape, w: Shape, strides: Shape, pads: Shape, dil: Shape, groups: int = 1,
            lo: float = -math.inf, hi: float = math.inf,
        ) -> Case:  # fmt: skip
            op = cls(Window(w[1:-1], strides, pads, dil), groups, lo, hi)
            return Case(name, op, (x, rng.normal(size=w).astype(np.float32), rng.normal(size=w[0]).astype(np.float32)))

        one, none = (1, 1), (0, 0, 0, 0)
        return (
            case("pointwise", (1, 5, 7, 8), (6, 1, 1, 8), one, none, one, lo=0.0),
            case("3x3", (1, 6, 5, 3), (5, 3, 3, 3), one, (1, 1, 1, 1), one),
            case("3x3_stride2_same_upper", (1, 8, 8, 3), (4, 3, 3, 3), (2, 2), (0, 0, 1, 1), one, lo=0.0, hi=6.0),
            case("10x4_stride2", (1, 49, 10, 1), (8, 10, 4, 1), (2, 2), (4, 1, 5, 1), one, lo=0.0),
            case("dilated", (1, 9, 9, 2), (3, 3, 3, 2), one, (2, 2, 2, 2), (2, 2)),
            case("grouped", (1, 6, 6, 8), (12, 3, 3, 4), one, (1, 1, 1, 1), one, 2),
            case("depthwise", (1, 7, 6, 5), (5, 3, 3, 1), one, (1, 1, 1, 1), one, 5, lo=0.0),
            case("depthwise_stride2", (1, 8, 8, 4), (4, 3, 3, 1), (2, 2), (0, 0, 1, 1), one, 4),
            case("depthwise_multiplier", (1, 5, 5, 3), (6, 3, 3, 1), one, none, one, 3),
            case("1d", (1, 20, 4), (6, 5, 4), (2,), (2, 1), (1,)),
            case("1d_depthwise", (1, 16, 6), (6, 3, 1), (1,), (0, 0), (2,), 6),
            case("kernel_covers_padding", (1, 2, 2, 2), (2, 5, 5, 2), one, (2, 2, 2, 2), one),
        )
