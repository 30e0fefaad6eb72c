"""Max and average pooling over one or two axes, channels last. NUMERICS section 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.errors import ModelError
from tinygen.ir.types import Tensor
from tinygen.numerics import Array, choose_multipliers, half_to_even, int_type, requant
from tinygen.ops.access import Access, Axis, Kind
from tinygen.ops.base import (
    LONGEST_SUM16,
    Call,
    Case,
    ConstArg,
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
    step_of,
    zero_points,
)
from tinygen.ops.interval import Interval, monotone
from tinygen.ops.spatial import Window, one_image, patches, two_d_shape


def _geometry(x: Tensor, out: Tensor, window: Window) -> dict[str, int]:
    _, ih, iw, c = two_d_shape(x.shape)
    _, oh, ow, _ = two_d_shape(out.shape)
    return {"in_h": ih, "in_w": iw, "channels": c, "out_h": oh, "out_w": ow, **window.fields()}


def _pool_to_onnx(b: OnnxBuilder, op_type: str, x: str, window: Window, **attributes: object) -> str:
    n = window.rank
    nchw = b.op("Transpose", [x], perm=[0, n + 1, *range(1, n + 1)])
    y = b.op(
        op_type,
        [nchw],
        kernel_shape=list(window.kernel),
        strides=list(window.strides),
        pads=list(window.pads),
        **attributes,
    )
    return b.op("Transpose", [y], perm=[0, *range(2, n + 2), 1])


class _Pool(Operator):
    window: Window

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        channels = Axis(Kind.SAME, len(ins[0].shape) - 1)
        return ((self.window.along(ins[0].shape, outs[0].shape, channels),),)

    def taps(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Array:
        """Numbers of taps inside the image, of all windows."""
        return np.unique(self.window.taps_inside(ins[0].shape, outs[0].shape).sum(axis=1)).astype(int)


@dataclass(frozen=True)
class MaxPool(_Pool):
    window: Window
    same_quant = True
    int16 = True

    @property
    def title(self) -> str:
        return f"maxpool {'x'.join(map(str, self.window.kernel))}"

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        x = shapes[0]
        one_image(x)
        return ((x[0], *self.window.out_size(x[1:-1]), x[-1]),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return (_pool_to_onnx(b, "MaxPool", names[0], self.window, dilations=list(self.window.dilations)),)

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        x = arrays[0].reshape(len(arrays[0]), *two_d_shape(ins[0].shape)[1:])
        return (patches(x, self.window.two_d(), int_range(out)[0]).max(axis=(3, 4)).reshape(len(x), *out.shape),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        fields = config(**_geometry(ins[0], out, self.window))
        return (Call(kernel_of("tg_maxpool", out), fields, (ins[0].name,), (), out.name),)

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        """A window wholly outside gives the least integer."""
        x, lowest = ranges[0], int_range(outs[0])[0]
        lo = np.minimum(x.lo, lowest) if self.taps(ins, outs)[0] == 0 else x.lo
        return (Interval(lo, np.maximum(x.hi, lo)),)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (
            Case("2x2", cls(Window((2, 2), (2, 2), (0, 0, 0, 0), (1, 1))), ((1, 6, 6, 3),)),
            Case("3x3_s2_padded", cls(Window((3, 3), (2, 2), (1, 1, 1, 1), (1, 1))), ((1, 7, 8, 5),)),
            Case("1d", cls(Window((2,), (2,), (0, 0), (1,))), ((1, 9, 4),)),
        )


@dataclass(frozen=True)
class AvgPool(_Pool):
    """With `include_pad` the divisor is always the whole window, otherwise the taps inside the image. `even`: means in
    the scale of the input, whose halves go to the even integer."""

    window: Window
    include_pad: bool = False
    m: tuple[int, ...] = ()
    shift: int = 0
    even: bool = False
    int16 = True

    @property
    def title(self) -> str:
        return f"avgpool {'x'.join(map(str, self.window.kernel))}"

    @property
    def uniform(self) -> bool:
        """One divisor for all outputs."""
        return self.include_pad or not any(self.window.pads)

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        x = shapes[0]
        one_image(x)
        return ((x[0], *self.window.out_size(x[1:-1]), x[-1]),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        if max(self.window.dilations) > 1:
            return (self._dilated_to_onnx(b, ins[0].shape, names[0]),)
        return (_pool_to_onnx(b, "AveragePool", names[0], self.window, count_include_pad=int(self.include_pad)),)

    def _dilated_to_onnx(self, b: OnnxBuilder, shape: Shape, x: str) -> str:
        """As sums, a depthwise convolution, by their number: AveragePool has dilations from opset 19 on."""
        n, w, channels = self.window.rank, self.window, shape[-1]
        nchw = b.op("Transpose", [x], perm=[0, n + 1, *range(1, n + 1)])
        ones = b.const(np.ones((channels, 1, *w.kernel), np.float32))
        sums = b.op(
            "Conv", [nchw, ones], group=channels, strides=list(w.strides), pads=list(w.pads),
            dilations=list(w.dilations),
        )  # fmt: skip
        share = b.const((1.0 / self.counts(shape)).astype(np.float32).reshape(1, 1, *w.out_size(shape[1:-1])))
        return b.op("Transpose", [b.op("Mul", [sums, share])], perm=[0, *range(2, n + 2), 1])

    def counts(self, shape: Shape) -> Array:
        """How many values each output of an image of `shape` is the mean of, (OH, OW)."""
        window = self.window.two_d()
        ones = np.ones((1, *two_d_shape(shape)[1:3], 1), np.int32)
        inside = patches(ones, window, int(self.include_pad))
        found: Array = inside.sum(axis=(3, 4))[0, :, :, 0]
        return found

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        (out,) = outs
        taps = int(np.prod(self.window.kernel))
        if is_wide(out) and taps > LONGEST_SUM16:
            raise ModelError(f'"{out.name}": a window of {taps}; in int16 tinygen takes at most {LONGEST_SUM16}')
        counts = np.array([taps]) if self.uniform else np.arange(1, taps + 1)
        try:
            m, shift = choose_multipliers(need_quant(ins[0])[0] / need_quant(out)[0] / counts, step_of(out))
        except ValueError as e:
            raise ModelError(f'"{out.name}": {e}') from e
        even = keeps_scale(ins[0], out)
        return Lowered(replace(self, m=tuple(int(v) for v in m), shift=shift, even=even), (ins[0].name,))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        x = arrays[0].reshape(len(arrays[0]), *two_d_shape(ins[0].shape)[1:]).astype(np.int32) - need_quant(ins[0])[1]
        window = self.window.two_d()
        acc = patches(x, window, 0).sum(axis=(3, 4))
        m, n = np.array(self.m, np.int64), np.array(int(np.prod(self.window.kernel)))
        if not self.uniform:
            n = self.counts(ins[0].shape)[:, :, None]
            m = m[n - 1]
        y = self.mean(acc, m, n, out)
        return (y.reshape(len(x), *out.shape),)

    def mean(self, acc: Array, m: Array, n: Array, out: Tensor) -> Array:
        """Sums of n values as integers of the output."""
        q = requant(acc, m, self.shift)
        q = half_to_even(q, acc, n) if self.even else q
        y: Array = np.clip(q + need_quant(out)[1], *int_range(out)).astype(int_type(bits_of(out)))
        return y

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        fields = config(
            **_geometry(ins[0], out, self.window), **zero_points(in_zp=ins[0], out_zp=out),
            shift=self.shift, m_step=0 if self.uniform else 1,
        )  # fmt: skip
        if not is_wide(out):
            fields += config(even=int(np.prod(self.window.kernel)) if self.even else 0)
        consts = (ConstArg("m", np.array(self.m, np.int32)),)
        return (Call(kernel_of("tg_avgpool", out), fields, (ins[0].name,), consts, out.name),)

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        d, whole = ranges[0].minus(need_quant(ins[0])[1]), int(np.prod(self.window.kernel))
        ends = []
        for n in self.taps(ins, outs):
            m, divisor = (self.m[0], whole) if self.uniform else (self.m[n - 1], n)
            ends += [self.mean(e * n, np.array(m), np.array(divisor), outs[0]) for e in (d.lo, d.hi)]
        return (monotone(ends),)

    def padded(self, pads: Shape) -> AvgPool | None:
        """One that ignores its own padding would ignore this: only without any it may take it over, and counts it.
        ONNX forbids windows that lie in the padding alone; onnxruntime could not run the graph."""
        window = self.window.padded(pads)
        if window is None or not self.uniform:
            return None
        if any(p >= k for p, k in zip(window.pads, window.kernel * 2, strict=True)):
            return None
        return replace(self, window=window, include_pad=True)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (
            Case("2x2", cls(Window((2, 2), (2, 2), (0, 0, 0, 0), (1, 1))), ((1, 6, 6, 3),)),
            Case("3x3_exclude_pad", cls(Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))), ((1, 5, 4, 2),)),
            Case("3x3_include_pad", cls(Window((3, 3), (2, 2), (1, 1, 0, 0), (1, 1)), True), ((1, 6, 6, 2),)),
            Case("1d", cls(Window((4,), (4,), (0, 0), (1,))), ((1, 12, 3),)),
            Case("dilated", cls(Window((3, 2), (1, 2), (2, 1, 0, 1), (2, 3))), ((1, 7, 9, 2),)),
        )
