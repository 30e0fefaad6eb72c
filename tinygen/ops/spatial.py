"""Geometry shared by convolutions and pools: sliding windows over one or two spatial axes, channels last."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from tinygen.numerics import Array
from tinygen.ops import access
from tinygen.ops.access import Axis, Kind, Shape


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window. One entry per spatial axis; `pads` is begin of every axis, then end of every axis."""

    kernel: Shape
    strides: Shape
    pads: Shape
    dilations: Shape

    @property
    def rank(self) -> int:
        return len(self.kernel)

    def out_size(self, spatial: Shape) -> Shape:
        """Spatial output shape. Raises ValueError when the window is larger than the padded input."""
        n = self.rank
        size = []
        for i, length in enumerate(spatial):
            span = (self.kernel[i] - 1) * self.dilations[i] + 1
            free = length + self.pads[i] + self.pads[n + i] - span
            if free < 0:
                raise ValueError(f"window of {span} is larger than the padded input of {free + span}")
            size.append(free // self.strides[i] + 1)
        return tuple(size)

    def two_d(self) -> Window:
        """The same window over (1, W) when it slides over W alone."""
        if self.rank == 2:
            return self
        p = self.pads
        return Window((1, *self.kernel), (1, *self.strides), (0, p[0], 0, p[1]), (1, *self.dilations))

    def padded(self, pads: Shape) -> Window | None:
        """The window with the pads of a whole tensor (before every axis, then behind every axis) added; None where
        these are not spatial alone."""
        rank = len(pads) // 2
        if rank != self.rank + 2 or any(pads[i] for i in (0, rank - 1, rank, 2 * rank - 1)):
            return None
        spatial = pads[1 : rank - 1] + pads[rank + 1 : 2 * rank - 1]
        return replace(self, pads=tuple(a + b for a, b in zip(self.pads, spatial, strict=True)))

    def along(self, x: Shape, out: Shape, channels: Axis, *, transposed: bool = False) -> tuple[Axis, ...]:
        """What reads images `x` through the window and writes `out`: image, spatial axes, channels."""
        go = access.transposed_window if transposed else access.window
        sizes = zip(out[1:-1], x[1:-1], self.kernel, self.strides, self.dilations, self.pads, strict=False)
        spatial = (go(1 + i, *each) for i, each in enumerate(sizes))
        return (Axis(Kind.SAME, 0), *spatial, channels)

    def taps_inside(self, x: Shape, out: Shape, *, transposed: bool = False) -> Array:
        """(patterns, taps) of 0 and 1: every set of taps that lie inside the image for some output position."""
        win = self.two_d()
        sizes = zip(two_d_shape(x)[1:3], two_d_shape(out)[1:3], win.kernel, win.strides, win.dilations, win.pads[:2],
                    strict=True)  # fmt: skip
        rows, cols = (_inside(*each, transposed) for each in sizes)
        both = rows[:, None, :, None] * cols[None, :, None, :]
        return both.reshape(len(rows) * len(cols), -1)

    def fields(self) -> dict[str, int]:
        """The window's part of a C config struct."""
        w = self.two_d()
        return {
            "k_h": w.kernel[0],
            "k_w": w.kernel[1],
            "stride_h": w.strides[0],
            "stride_w": w.strides[1],
            "dil_h": w.dilations[0],
            "dil_w": w.dilations[1],
            "pad_top": w.pads[0],
            "pad_left": w.pads[1],
        }


@lru_cache(maxsize=1024)
def _inside(length: int, outputs: int, kernel: int, stride: int, dilation: int, pad: int, transposed: bool) -> Array:
    """`Window.taps_inside` along one axis. Read only."""
    o, tap = np.arange(outputs)[:, None], np.arange(kernel)[None, :] * dilation
    if transposed:
        i, rest = np.divmod(o + pad - tap, stride)
        inside = (rest == 0) & (i >= 0) & (i < length)
    else:
        i = o * stride - pad + tap
        inside = (i >= 0) & (i < length)
    patterns = np.unique(inside, axis=0).astype(np.float64)
    patterns.setflags(write=False)
    return patterns


def one_image(shape: Shape) -> None:
    """Raises ValueError for a batch (a Reshape that moves another axis there): the kernels take one image."""
    if shape[0] != 1:
        raise ValueError(f"a batch of {shape[0]} images, of {shape}; tinygen takes one at a time")


def two_d_shape(shape: Shape) -> Shape:
    """(1, W, C) as (1, 1, W, C); (1, H, W, C) as it is."""
    return shape if len(shape) == 4 else (shape[0], 1, *shape[1:])


def patches(x: Array, window: Window, fill: int) -> Array:
    """All windows of x: (samples, H, W, C) to (samples, OH, OW, kh, kw, C); taps outside read `fill`."""
    top, left, bottom, right = window.pads
    (kh, kw), (sh, sw), (dh, dw) = window.kernel, window.strides, window.dilations
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    span = ((kh - 1) * dh + 1, (kw - 1) * dw + 1)
    view = np.lib.stride_tricks.sliding_window_view(padded, span, axis=(1, 2))
    return view[:, ::sh, ::sw, :, ::dh, ::dw].transpose(0, 1, 2, 4, 5, 3)
