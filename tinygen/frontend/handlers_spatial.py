"""Operators with a window or a spatial meaning: convolutions, pools, resize, batch normalisation, depth to space.

ONNX puts channels second, (1, C, [H,] W); the IR puts them last. Each importer here transposes before and after; the
passes remove what cancels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import helper

from tinygen.frontend.context import Builder, Handler, Known, Result, Unsupported, View
from tinygen.frontend.handlers_linear import along, attributes, columns
from tinygen.frontend.limits import MAX_ELEMENTS, too_large
from tinygen.frontend.weights import in_int8, weight_quant
from tinygen.frontend.windows import slide
from tinygen.ir.types import Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops import (
    Add,
    AvgPool,
    Conv,
    ConvTranspose,
    Gather,
    MaxPool,
    Mul,
    ReduceExtreme,
    ReduceSum,
    Resize,
)
from tinygen.ops.base import Shape
from tinygen.ops.resize import UNIT, Axis
from tinygen.ops.spatial import Window


def to_last(b: Builder, x: Tensor) -> Tensor:
    """(1, C, spatial...) to (1, spatial..., C)."""
    return b.transpose(x, (0, *range(2, len(x.shape)), 1))


def to_first(b: Builder, x: Tensor) -> Tensor:
    """(1, spatial..., C) to (1, C, spatial...)."""
    return b.transpose(x, (0, len(x.shape) - 1, *range(1, len(x.shape) - 1)))


def one_to_three_axes(n: View) -> str | None:
    """One to three spatial axes.

    Reshape it, or process it slice by slice."""
    rank = len(n.act().shape) - 2
    return None if rank in (1, 2, 3) else f"{rank}"


def one_or_two_axes(n: View) -> str | None:
    """One or two spatial axes.

    Reshape it, or process it slice by slice."""
    rank = len(n.act().shape) - 2
    return None if rank in (1, 2) else f"{rank}"


def constant_weights(n: View) -> str | None:
    """The weights are constant.

    Export the model in evaluation mode with its weights as initialisers."""
    return None if n.is_known(1) and (not n.has(2) or n.is_known(2)) else "weights computed from the input"


def no_negative_pads(n: View) -> str | None:
    """Padding is not negative.

    Write the cropping as a Slice before the node."""
    pads = n.ints("pads")
    return f"pads {list(pads)}" if any(p < 0 for p in pads) else None


def _windowed(n: View, kernel: Shape, spatial: Shape) -> Window:
    """The window of a convolution or pool, auto_pad and ceil_mode made explicit."""
    rank = len(kernel)
    strides = n.ints("strides", (1,) * rank)
    dilations = n.ints("dilations", (1,) * rank)
    pads = list(n.ints("pads", (0,) * (2 * rank)))
    if min(kernel) < 1 or min(strides) < 1 or min(dilations) < 1 or len(strides) != rank or len(pads) != 2 * rank:
        raise Unsupported(f"kernel {kernel}, strides {strides}, pads {pads}, dilations {dilations} make no sense")
    auto = n.text("auto_pad", "NOTSET")
    if auto == "VALID":
        pads = [0] * (2 * rank)
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        for i, length in enumerate(spatial):
            out = -(-length // strides[i])
            total = max((out - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - length, 0)
            small, large = total // 2, total - total // 2
            pads[i], pads[rank + i] = (small, large) if auto == "SAME_UPPER" else (large, small)
    elif n.integer("ceil_mode", 0):
        for i, length in enumerate(spatial):
            span = (kernel[i] - 1) * dilations[i] + 1
            free = length + pads[i] + pads[rank + i] - span
            out = -(-free // strides[i]) + 1
            if (out - 1) * strides[i] >= length + pads[i]:
                out -= 1  # a window must not start in the padding at the end
            if out > free // strides[i] + 1:
                pads[rank + i] = (out - 1) * strides[i] + span - length - pads[i]
    return _sane(Window(kernel, strides, tuple(pads), dilations), spatial)


def _sane(window: Window, spatial: Shape) -> Window:
    """The window, where its numbers are not beyond all bounds."""
    padded = [d + a + b for d, a, b in zip(spatial, window.pads, window.pads[window.rank :], strict=False)]
    reason = too_large(padded)
    if reason is not None:
        raise Unsupported(f"pads {list(window.pads)}: with padding {reason}", "Use the padding of an ordinary layer.")
    if max(*window.kernel, *window.strides, *window.dilations) > MAX_ELEMENTS:
        raise Unsupported(
            f"kernel {list(window.kernel)}, strides {list(window.strides)}, dilations {list(window.dilations)}",
            "The file is damaged: export it again.",
        )
    return window


def _weights(b: Builder, w: Known, array: Array, quant: Quant | None) -> Tensor:
    return b.const(np.ascontiguousarray(array), w.name, quant)


def _bias(b: Builder, n: View, i: int, channels: int) -> Tensor:
    """The bias at input i, zeros when left out."""
    if not n.has(i):
        return b.const(np.zeros(channels, np.float32), "zeros")
    bias = n.known(i, "the bias")
    if bias.array.size != channels:
        raise Unsupported(f"bias of {bias.array.size} values for {channels} output channels")
    return b.const(bias.array.reshape(channels), bias.name)


def conv(b: Builder, n: View) -> Result:
    x, w = n.act(), n.known(1, "the weights")
    if w.array.ndim != len(x.shape):
        raise Unsupported(f"weights of rank {w.array.ndim} for an input of rank {len(x.shape)}")
    if "kernel_shape" in n.attrs and n.ints("kernel_shape") != w.array.shape[2:]:
        raise Unsupported(f"kernel_shape {n.ints('kernel_shape')} but weights {w.array.shape}")
    group = n.integer("group", 1)
    if group < 1 or w.array.shape[0] % group:
        raise Unsupported(f"{w.array.shape[0]} output channels in {group} groups")
    window = _windowed(n, w.array.shape[2:], x.shape[2:])
    quant = weight_quant(b, w, w.array.shape[0], 0)
    last, array = in_int8(b, to_last(b, x), w.name, np.moveaxis(w.array, 1, -1), quant, group)
    weights = _weights(b, w, array, quant)
    return to_first(b, slide(b, Conv(window, group), last, weights, _bias(b, n, 2, w.array.shape[0])))


def conv_transpose(b: Builder, n: View) -> Result:
    x, w = n.act(), n.known(1, "the weights")
    if w.array.ndim != len(x.shape):
        raise Unsupported(f"weights of rank {w.array.ndim} for an input of rank {len(x.shape)}")
    group, rank = n.integer("group", 1), w.array.ndim - 2
    c, per = w.array.shape[:2]
    if c != x.shape[1] or group < 1 or c % group:
        raise Unsupported(f"weights {w.array.shape} in {group} groups for {x.shape[1]} channels")
    kernel = w.array.shape[2:]
    strides, dilations = n.ints("strides", (1,) * rank), n.ints("dilations", (1,) * rank)
    extra = list(n.ints("output_padding", (0,) * rank))
    pads = list(n.ints("pads", (0,) * (2 * rank)))
    auto = n.text("auto_pad", "NOTSET")
    want = list(n.ints("output_shape"))[-rank:]
    if auto.startswith("SAME") and not want:
        want = [d * s for d, s in zip(x.shape[2:], strides, strict=True)]
    if auto == "VALID":
        pads = [0] * (2 * rank)
    for i, size in enumerate(want):
        total = (x.shape[2 + i] - 1) * strides[i] + extra[i] + (kernel[i] - 1) * dilations[i] + 1 - size
        if total < 0:
            total, extra[i] = 0, extra[i] - total
        small, large = total // 2, total - total // 2
        pads[i], pads[rank + i] = (small, large) if auto == "SAME_UPPER" else (large, small)
    # ONNX (C, O/g, k...) to (O, k..., C/g).
    by_group = w.array.reshape(group, c // group, per, *kernel)
    array = np.moveaxis(by_group, 1, -1).reshape(group * per, *kernel, c // group)
    quant = weight_quant(b, w, group * per, 1, group)
    op = ConvTranspose(_sane(Window(kernel, strides, tuple(pads), dilations), x.shape[2:]), tuple(extra), group)
    last, array = in_int8(b, to_last(b, x), w.name, array, quant, group)
    return to_first(b, slide(b, op, last, _weights(b, w, array, quant), _bias(b, n, 2, group * per)))


def one_pool_output(n: View) -> str | None:
    """Only the first output is used.

    The positions of the maxima (for MaxUnpool) are not supported."""
    return "the output Indices in use" if any(n.used[1:]) else None


def pads_below_window(n: View) -> str | None:
    """Padding is smaller than the window.

    Pad with a Pad node in front."""
    kernel, pads = n.ints("kernel_shape"), n.ints("pads")
    return f"pads {list(pads)}" if any(p >= k for p, k in zip(pads, kernel * 2, strict=False)) else None


def max_pool(b: Builder, n: View) -> Result:
    x = n.act()
    window = _windowed(n, n.ints("kernel_shape"), x.shape[2:])
    return to_first(b, slide(b, MaxPool(window), to_last(b, x)))


def _mean_over_padding(b: Builder, n: View, window: Window, plain: Shape) -> Tensor:
    """Means whose padding counts (count_include_pad=1) while rows that ceil_mode adds do not: sums, then a factor for
    each place. `plain`: the padding without those rows."""
    x, rank, taps = n.act(), window.rank, int(np.prod(window.kernel))
    ones = np.ones((x.shape[1], *window.kernel, 1), np.float32)
    weights, bias = (
        b.const(ones / np.float32(taps), f"{n.name}/ones"),
        b.const(np.zeros(x.shape[1], np.float32), "zeros"),
    )
    y = slide(b, Conv(window, x.shape[1]), to_last(b, x), weights, bias)
    factor = np.ones((), np.float64)
    for i, length in enumerate(x.shape[2:]):
        begin = np.arange(y.shape[1 + i]) * window.strides[i] - window.pads[i]
        at = begin[:, None] + np.arange(window.kernel[i]) * window.dilations[i]
        inside = ((at >= -plain[i]) & (at < length + plain[rank + i])).sum(axis=1)
        factor = np.multiply.outer(factor, window.kernel[i] / inside)
    return to_first(b, b.emit(Mul(), y, b.const(factor.astype(np.float32)[..., None], f"{n.name}/share")))


def average_pool(b: Builder, n: View) -> Result:
    x, counted = n.act(), bool(n.integer("count_include_pad", 0))
    window = _windowed(n, n.ints("kernel_shape"), x.shape[2:])
    plain = n.ints("pads", (0,) * (2 * window.rank))
    if counted and n.integer("ceil_mode", 0) and n.text("auto_pad", "NOTSET") == "NOTSET" and window.pads != plain:
        return _mean_over_padding(b, n, window, plain)
    return to_first(b, slide(b, AvgPool(window, counted), to_last(b, x)))


def global_average(b: Builder, n: View) -> Result:
    x = n.act()
    return b.emit(ReduceSum(tuple(range(2, len(x.shape))), True, True), x)


def global_max(b: Builder, n: View) -> Result:
    x = n.act()
    return b.emit(ReduceExtreme(tuple(range(2, len(x.shape))), True, True), x)


def constant_statistics(n: View) -> str | None:
    """Scale, bias, mean and variance are constant.

    Export the model in evaluation mode."""
    return None if all(n.is_known(i) for i in range(1, 5)) else "statistics computed from the input"


def no_running_outputs(n: View) -> str | None:
    """The running mean and variance are not used as outputs.

    Take them off the file's outputs, or export the model in evaluation mode."""
    return "training outputs in use" if any(n.used[1:]) else None


def batch_normalization(b: Builder, n: View) -> Result:
    x = n.act()
    scale, bias, mean, var = (n.array(i, "statistics").astype(np.float64).reshape(-1) for i in range(1, 5))
    factor = scale / np.sqrt(var + n.real("epsilon", 1e-5))
    # Opset 7 and 8 have statistics for each element as well: spatial = 0.
    shape = (1, -1, *(1,) * (len(x.shape) - 2)) if n.integer("spatial", 1) else (1, *x.shape[1:])
    y = b.emit(Mul(), x, b.const(factor.reshape(shape), f"{n.name}/scale"))
    return b.emit(Add(), y, b.const((bias - mean * factor).reshape(shape), f"{n.name}/shift"))


# Resize ---------------------------------------------------------------------------------------------------------------


def _by_matrices(b: Builder, n: View, out: Sequence[int], scale: Sequence[float]) -> Tensor:
    """Cubic, antialiased or cropping: each axis by a matrix, and a constant where the crop reaches outside."""
    x = n.act()
    rank = len(x.shape)
    axes = [a % rank for a in n.ints("axes", range(rank))]
    crops = n.text("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    roi = n.array(1, "the region").reshape(-1).astype(np.float32) if crops else np.zeros(0, np.float32)
    sizes = (
        not (n.has(2) and n.array(2, "the scales").size) and n.text("keep_aspect_ratio_policy", "stretch") == "stretch"
    )
    attrs = attributes(n, "axes", "keep_aspect_ratio_policy")

    def run(images: Array, a: int) -> Array:
        """The last axis of (1, k, 1, length) as axis a is resized."""
        feeds: dict[str, Array] = {"x": images}
        if crops:
            at = axes.index(a)
            ends = float(roi[at]), float(roi[len(axes) + at])
            feeds["roi"] = np.array([0, 0, 0, ends[0], 1, 1, 1, ends[1]], np.float32)
        if sizes:
            feeds["sizes"] = np.array([*images.shape[:3], out[a]], np.int64)
        else:
            feeds["scales"] = np.array([1, 1, 1, scale[a]], np.float32)
        ins = [name if name in feeds else "" for name in ("x", "roi", "scales", "sizes")]
        return columns(helper.make_node("Resize", ins, ["y"], **attrs), feeds, n.version)

    y, outside = x, np.zeros((), bool)
    for a in range(rank):
        length, cropped = (
            x.shape[a],
            crops and a in axes and (roi[axes.index(a)], roi[len(axes) + axes.index(a)]) != (0, 1),
        )
        if a not in axes or (out[a] == length and scale[a] == 1.0 and not cropped):
            outside = np.logical_or.outer(outside, np.zeros(out[a], bool))
            continue
        units = np.eye(length, dtype=np.float32)[None, :, None, :]
        zero = run(np.zeros((1, 1, 1, length), np.float32), a)[0, 0, 0]
        matrix = run(units, a)[0, :, 0, :].T - zero[:, None]
        y = along(b, y, a, matrix, f"{n.name}/axis{a}")
        outside = np.logical_or.outer(outside, ~matrix.any(axis=1))
    value = n.real("extrapolation_value", 0.0)
    if crops and value != 0.0 and outside.any():
        y = b.emit(Add(), y, b.const(np.where(outside, value, 0.0).astype(np.float32), f"{n.name}/outside"))
    return y


def _coordinate(mode: str, o: int, scale: float, length: int, out: int) -> np.float32:
    """Where output position o lies on an input axis of `length`: in float32, step by step as onnxruntime does it, so
    that floor and ceil fall on the same side."""
    f = np.float32
    if mode == "align_corners":
        # By the whole output length, as onnxruntime and PyTorch; the reference evaluator takes length * scale.
        return f(0) if out == 1 else f(o) * f(length - 1) / f(out - 1)
    if mode == "asymmetric":
        return f(o) / f(scale)
    if mode == "pytorch_half_pixel" and out == 1:
        return f(0)
    if mode == "half_pixel_symmetric":
        # The output may be shorter than length * scale: keep the centre where it is. The sum, as there, in double.
        adjust = f(out) / (f(scale) * f(length))
        return f(float(f(length) / f(2) * (f(1) - adjust)) + (o + 0.5) / float(f(scale)) - 0.5)
    if mode in ("half_pixel", "pytorch_half_pixel"):
        return (f(o) + f(0.5)) / f(scale) - f(0.5)
    raise Unsupported(f"coordinate_transformation_mode {mode}", "Use half_pixel, asymmetric or align_corners.")


def _round(mode: str, x: np.float32) -> int:
    match mode:
        case "floor":
            return int(np.floor(x))
        case "ceil":
            return int(np.ceil(x))
        case "round_prefer_ceil":
            return int(np.floor(x + np.float32(0.5)))
        case _:  # round_prefer_floor
            return int(np.ceil(x - np.float32(0.5)))


#: What the C counts in 16 bits is refused with advice (flow/demands.py); far beyond that, before it takes time.
MOST_POSITIONS = 1 << 18


def resize_axis(where: str, rounding: str, linear: bool, length: int, out: int, scale: float) -> Axis:
    """The table of one resized axis. `where`: coordinate_transformation_mode; `rounding`: nearest_mode."""
    if out > MOST_POSITIONS:
        raise Unsupported(f"{out:,} positions along an axis; at most {MOST_POSITIONS:,}", "Resize to less.")
    at = [_coordinate(where, o, scale, length, out) for o in range(out)]
    if not linear:
        return Axis.nearest(tuple(min(max(_round(rounding, x), 0), length - 1) for x in at))
    rows = []
    for x in at:
        inside = min(max(float(x), 0.0), length - 1.0)
        low = int(np.floor(inside))
        w = round((inside - low) * UNIT)
        rows.append((low, low + 1, w) if 0 < w < UNIT else (low + w // UNIT, low + w // UNIT, 0))
    return Axis(*(tuple(column) for column in zip(*rows, strict=True)))


def _resize_scales(n: View, shape: Shape) -> tuple[list[int], list[float]]:
    """Output shape and scale of each axis, from the scales or the sizes (Resize 11 to 19)."""
    rank = len(shape)
    axes = [a % rank for a in n.ints("axes", range(rank))]
    out, scale = list(shape), [1.0] * rank
    scales = n.array(2, "the scales").reshape(-1) if n.has(2) else np.zeros(0)
    if scales.size:
        if scales.size != len(axes):
            raise Unsupported(f"{scales.size} scales for {len(axes)} axes")
        for a, s in zip(axes, scales, strict=True):
            scale[a] = float(s)
            out[a] = int(np.floor(np.float32(shape[a]) * np.float32(s)))
        return out, scale
    sizes = n.int_list(3, "the sizes")
    if not sizes or len(sizes) != len(axes):
        raise Unsupported("neither scales nor sizes are given")
    policy = n.text("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        pick = min if policy == "not_larger" else max
        common = pick(size / shape[a] for a, size in zip(axes, sizes, strict=True))
        for a in axes:
            scale[a] = common
            out[a] = int(np.floor(common * shape[a] + 0.5))
        return out, scale
    for a, size in zip(axes, sizes, strict=True):
        out[a], scale[a] = size, size / shape[a]
    return out, scale


def resize(b: Builder, n: View) -> Result:
    x = n.act()
    rank = len(x.shape)
    out, scale = _resize_scales(n, x.shape)
    if min(out) < 1:
        raise Unsupported(f"output shape {out}")
    mode = n.text("mode", "nearest")
    linear = mode == "linear"
    if (
        mode == "cubic"
        or n.integer("antialias", 0)
        or n.text("coordinate_transformation_mode", "") == "tf_crop_and_resize"
    ):
        return _by_matrices(b, n, out, scale)
    where = n.text("coordinate_transformation_mode", "half_pixel")
    rounding = [n.text("nearest_mode", "round_prefer_floor")] * rank
    if rounding[0] == "simple":  # opset 10 and before (opsets.py)
        rounding = ["ceil" if s < 1 else "floor" for s in scale]
    tables = {a: resize_axis(where, rounding[a], linear, x.shape[a], out[a], scale[a]) for a in range(rank)}
    moved = [a for a in range(rank) if tables[a] != _identity(x.shape[a])]
    if not moved:
        return x
    if not linear and (rank not in (3, 4) or 0 in moved):
        for a in moved:
            x = b.emit(Gather(a, tables[a].first), x)
        return x
    if rank not in (3, 4) or 0 in moved or len(moved) > rank - 2:
        raise Unsupported(f"resizing axes {moved} of {rank}", "Only the spatial axes of (1, C, [H,] W) can be resized.")
    # The axis left alone goes last: channels of NCHW usually, of NHWC sometimes.
    alone = 1 if 1 not in moved else next(a for a in range(rank - 1, 0, -1) if a not in moved)
    spatial = [a for a in range(1, rank) if a != alone]
    perm = (0, *spatial, alone)
    y = b.emit(Resize(tuple(tables[a] for a in spatial), linear), b.transpose(x, perm))
    return b.transpose(y, tuple(int(p) for p in np.argsort(perm)))


def _identity(length: int) -> Axis:
    return Axis.nearest(tuple(range(length)))


# Depth and space ------------------------------------------------------------------------------------------------------


def depth_to_space(b: Builder, n: View) -> Result:
    x, s = n.act(), n.integer("blocksize", 1)
    k, c, h, w = x.shape
    if c % (s * s):
        raise Unsupported(f"{c} channels in blocks of {s}x{s}")
    if n.text("mode", "DCR") == "DCR":
        y = b.transpose(b.reshape(x, (k, s, s, c // (s * s), h, w)), (0, 3, 4, 1, 5, 2))
    else:
        y = b.transpose(b.reshape(x, (k, c // (s * s), s, s, h, w)), (0, 1, 4, 2, 5, 3))
    return b.reshape(y, (k, c // (s * s), h * s, w * s))


def space_to_depth(b: Builder, n: View) -> Result:
    x, s = n.act(), n.integer("blocksize", 1)
    k, c, h, w = x.shape
    crd = n.text("mode", "DCR") == "CRD"
    if h % s or w % s:
        raise Unsupported(f"{h}x{w} in blocks of {s}x{s}")
    y = b.transpose(b.reshape(x, (k, c, h // s, s, w // s, s)), (0, 1, 3, 5, 2, 4) if crd else (0, 3, 5, 1, 2, 4))
    return b.reshape(y, (k, c * s * s, h // s, w // s))


def rank_four(n: View) -> str | None:
    """The input is (1, C, H, W)."""
    shape = n.act().shape
    return None if len(shape) == 4 else str(shape)


_POOL = (one_to_three_axes, no_negative_pads, pads_below_window, one_pool_output)

SPATIAL: dict[str, Handler] = {
    "Conv": Handler(
        conv, (one_to_three_axes, constant_weights, no_negative_pads), "grouped, depthwise, strided, dilated"
    ),
    "ConvTranspose": Handler(conv_transpose, (one_or_two_axes, constant_weights, no_negative_pads)),
    "MaxPool": Handler(max_pool, _POOL, "ceil_mode becomes padding"),
    "AveragePool": Handler(average_pool, _POOL),
    "GlobalAveragePool": Handler(global_average),
    "GlobalMaxPool": Handler(global_max),
    "BatchNormalization": Handler(batch_normalization, (constant_statistics, no_running_outputs)),
    "Resize": Handler(resize, notes="cubic, antialiased or cropping: a dense layer for each axis"),
    "DepthToSpace": Handler(depth_to_space, (rank_four,)),
    "SpaceToDepth": Handler(space_to_depth, (rank_four,)),
}
