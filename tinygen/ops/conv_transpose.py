"""Transposed convolution over one or two axes.

FLOAT inputs: x (1, [H,] W, C), w (O, [kh,] kw, C/groups), b (O). FIXED: x, w int8, b int32, m int32.
Output pixel o gathers input pixel i through tap k where i * stride + k * dilation - pad = o.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.ir.types import Tensor
from tinygen.numerics import Array, matmul_exact, requant_clamp
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
    clamp_to_onnx,
    config,
    need_quant,
    quantise_weights,
)
from tinygen.ops.interval import Interval
from tinygen.ops.spatial import Window, one_image, two_d_shape
from tinygen.ops.weighted import Weighted


@dataclass(frozen=True)
class ConvTranspose(Weighted):
    """`window.pads` crops the full output; `output_padding` lengthens its end."""

    window: Window
    output_padding: Shape
    by_rows = False
    one_form = "kernels of transposed convolutions read plain int8 weights"
    groups: int = 1
    lo: float = -math.inf
    hi: float = math.inf
    epilogue: Epilogue | None = None

    @property
    def title(self) -> str:
        return f"transposed conv {'x'.join(map(str, self.window.kernel))} s{'x'.join(map(str, self.window.strides))}"

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        x, w, win = shapes[0], shapes[1], self.window
        one_image(x)
        if x[-1] != w[-1] * self.groups:
            raise ValueError(f"input has {x[-1]} channels, weights want {w[-1]} x {self.groups} groups")
        n = win.rank
        size = tuple(
            (x[1 + i] - 1) * win.strides[i]
            + (win.kernel[i] - 1) * win.dilations[i]
            + 1
            - win.pads[i]
            - win.pads[n + i]
            + self.output_padding[i]
            for i in range(n)
        )
        if min(size) < 1:
            raise ValueError(f"output would be {size}")
        return ((x[0], *size, w[0]),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        n = self.window.rank
        first, last = [0, n + 1, *range(1, n + 1)], [0, *range(2, n + 2), 1]
        x = b.op("Transpose", [names[0]], perm=first)
        w = ins[1].array
        per = w.shape[0] // self.groups
        # (O, k..., C/g) to ONNX's (C, O/g, k...)
        by_group = w.reshape(self.groups, per, *w.shape[1:])
        onnx_w = np.concatenate([np.moveaxis(by_group[g], -1, 0) for g in range(self.groups)], axis=0)
        y = b.op(
            "ConvTranspose",
            [x, b.const(np.ascontiguousarray(onnx_w)), names[2]],
            kernel_shape=list(self.window.kernel),
            strides=list(self.window.strides),
            pads=list(self.window.pads),
            dilations=list(self.window.dilations),
            output_padding=list(self.output_padding),
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
        _, y_zp = need_quant(out)
        samples = x.shape[0]
        x = x.reshape(samples, *two_d_shape(ins[0].shape)[1:]).astype(np.int16) - zp
        win = self.window.two_d()
        (kh, kw), (sh, sw), (dh, dw) = win.kernel, win.strides, win.dilations
        w = w.reshape(w.shape[0], kh, kw, w.shape[-1])
        _, oh, ow, oc = two_d_shape(out.shape)
        top, left = win.pads[:2]
        ih, iw = x.shape[1:3]
        # Scatter into the uncropped plane, large enough for output_padding as well.
        full = np.zeros((samples, max((ih - 1) * sh + (kh - 1) * dh + 1, top + oh),
                         max((iw - 1) * sw + (kw - 1) * dw + 1, left + ow), oc), np.int64)  # fmt: skip
        per, made = x.shape[-1] // self.groups, oc // self.groups
        for g in range(self.groups):
            xs, cs = x[..., g * per : (g + 1) * per], slice(g * made, (g + 1) * made)
            for i in range(kh):
                for j in range(kw):
                    ys, ye = (
                        slice(i * dh, i * dh + (ih - 1) * sh + 1, sh),
                        slice(j * dw, j * dw + (iw - 1) * sw + 1, sw),
                    )
                    full[:, ys, ye, cs] += matmul_exact(xs, w[cs, i, j, :].T)
        acc = full[:, top : top + oh, left : left + ow] + bias.astype(np.int64)
        end = self.epilogue
        return (requant_clamp(acc, m, end.shift, y_zp, end.lo, end.hi).reshape(samples, *out.shape),)

    def macs(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> int:
        return ins[0].size // ins[0].shape[-1] * ins[1].size

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        assert self.epilogue is not None
        x, w, b, m = ins
        _, zp = need_quant(x)
        _, y_zp = need_quant(out)
        _, ih, iw, ic = two_d_shape(x.shape)
        _, oh, ow, oc = two_d_shape(out.shape)
        end = self.epilogue
        fields = config(
            in_h=ih, in_w=iw, in_c=ic, out_h=oh, out_w=ow, out_c=oc, **self.window.fields(),
            groups=self.groups, in_zp=zp, out_zp=y_zp, lo=end.lo, hi=end.hi, shift=end.shift,
        )  # fmt: skip
        consts = (ConstArg("w", w.array), ConstArg("b", b.array), ConstArg("m", m.array))
        return (Call("tg_conv_transpose_s8", fields, (x.name,), consts, out.name),)

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        x, y = ins[0].shape, outs[0].shape
        channels = access.group_inputs(len(x) - 1, y[-1], x[-1], self.groups)
        return ((self.window.along(x, y, channels, transposed=True), *(None for _ in ins[1:])),)

    def taps_inside(self, x: Tensor, out: Tensor) -> Array:
        return self.window.taps_inside(x.shape, out.shape, transposed=True)

    def cut(self, ins: Sequence[Tensor], outs: Sequence[Tensor], kept: Sequence[Array]) -> Weighted:
        return replace(self, groups=len(kept[0])) if self.depthwise(ins[0].shape[-1]) else self

    def largest_sum(self, ins: Sequence[Tensor], x: Interval) -> int:
        """Its kernel subtracts the zero point itself."""
        zp = need_quant(ins[0])[1]
        return self._largest(
            ins[1].array, ins[2].array.astype(np.int64), np.minimum(x.lo, zp) - zp, np.maximum(x.hi, zp) - zp
        )

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        rng = np.random.default_rng(3)

        def case(
            name: str, x: Shape, w: Shape, s: Shape, pads: Shape, dil: Shape, extra: Shape, groups: int = 1
        ) -> Case:
            op = cls(Window(w[1:-1], s, pads, dil), extra, groups)
            return Case(name, op, (x, rng.normal(size=w).astype(np.float32), rng.normal(size=w[0]).astype(np.float32)))

        return (
            case("k3_s2_p1_op1", (1, 4, 5, 3), (4, 3, 3, 3), (2, 2), (1, 1, 1, 1), (1, 1), (1, 1)),
            case("k2_s2", (1, 3, 3, 4), (2, 2, 2, 4), (2, 2), (0, 0, 0, 0), (1, 1), (0, 0)),
            case("1d_k4_s2", (1, 7, 3), (5, 4, 3), (2,), (1, 1), (1,), (0,)),
            case("grouped_dilated", (1, 4, 4, 4), (6, 3, 3, 2), (1, 2), (1, 0, 1, 2), (2, 1), (0, 1), 2),
        )
