"""Sliding windows over more than one image: the kernels take one image of two spatial axes at a time.

Several sequences are the rows of one image whose window is one row high. Several images are taken one by one, as views
of the tensor that holds them. What slides over three axes does so over the last two first: a maximum or a mean of means
over the first one after, a convolution over images that have the slices of its window as channels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinygen.frontend.context import Builder, Unsupported
from tinygen.ir.types import Tensor
from tinygen.ops import AvgPool, Concat, Conv, ConvTranspose, Gather, MaxPool, Pad, Slice
from tinygen.ops.spatial import Window

Slides = Conv | ConvTranspose | MaxPool | AvgPool
#: So many images, each with code of its own.
MOST_IMAGES = 64


def slide(b: Builder, op: Slides, x: Tensor, *constants: Tensor) -> Tensor:
    """`op` on x (N, spatial..., C), weights and bias as it takes them."""
    if op.window.rank == 3:
        return _over_three(b, op, x, *constants)
    if x.shape[0] == 1:
        return b.emit(op, x, *constants)
    if op.window.rank == 1:
        flat = replace(op, window=op.window.two_d())
        if isinstance(flat, ConvTranspose):
            flat = replace(flat, output_padding=(0, *flat.output_padding))
        rows = b.reshape(x, (1, *x.shape))
        if constants:
            weights = constants[0]
            tall = b.const(weights.array[:, None], f"{weights.name}/row", weights.quant)
            constants = (tall, *constants[1:])
        y = b.emit(flat, rows, *constants)
        return b.reshape(y, y.shape[1:])
    if x.shape[0] > MOST_IMAGES:
        raise Unsupported(
            f"{x.shape[0]} images, of {x.shape[1:]}; at most {MOST_IMAGES} are taken, one after the other",
            "Give the network one of them at a time: export with a batch of 1.",
            of_sizes=True,
        )
    one = (1, *x.shape[1:])
    rest = (0,) * (len(one) - 1), (1,) * len(one)
    parts = [b.emit(Slice((i, *rest[0]), rest[1], one), x) for i in range(x.shape[0])]
    return b.emit(Concat(0), *(b.emit(op, part, *constants) for part in parts))


def _over_three(b: Builder, op: Slides, x: Tensor, *constants: Tensor) -> Tensor:
    """x: (N, D, H, W, C)."""
    w = op.window
    first = Window(w.kernel[:1], w.strides[:1], (w.pads[0], w.pads[3]), w.dilations[:1])
    others = Window(w.kernel[1:], w.strides[1:], (*w.pads[1:3], *w.pads[4:]), w.dilations[1:])
    n, d = x.shape[:2]
    if isinstance(op, MaxPool | AvgPool):
        y = slide(b, replace(op, window=others), b.reshape(x, (n * d, *x.shape[2:])))
        rows = b.reshape(y, (n, d, int(np.prod(y.shape[1:]))))
        z = slide(b, replace(op, window=first), rows)
        return b.reshape(z, (n, z.shape[1], *y.shape[1:]))
    if isinstance(op, ConvTranspose):
        raise Unsupported("a transposed convolution over three axes", "Process it slice by slice.")
    deep = b.emit(Pad((0, w.pads[0], 0, 0, 0, 0, w.pads[3], 0, 0, 0)), x) if any(first.pads) else x
    (count,) = first.out_size((d,))
    taps = [o * first.strides[0] + k * first.dilations[0] for o in range(count) for k in range(first.kernel[0])]
    slices = b.reshape(b.emit(Gather(1, tuple(taps)), deep), (n * count, first.kernel[0], *x.shape[2:]))
    groups, per = op.groups, x.shape[4] // op.groups
    # Channels of a group stay together: (image, slice, row, column, group, channel) to (..., group, slice, channel).
    split = b.reshape(slices, (*slices.shape[:4], groups, per))
    channels = first.kernel[0] * x.shape[4]
    images = b.reshape(b.transpose(split, (0, 2, 3, 4, 1, 5)), (n * count, *x.shape[2:4], channels))
    weights, bias = constants
    flat = np.moveaxis(weights.array, 1, 3).reshape(len(weights.array), *others.kernel, -1)
    y = slide(b, replace(op, window=others), images, b.const(flat, f"{weights.name}/slices", weights.quant), bias)
    return b.reshape(y, (n, count, *y.shape[1:]))
