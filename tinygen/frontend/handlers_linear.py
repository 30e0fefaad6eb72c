"""Linear functions along an axis: a constant matrix, a dense layer.

What an operator does to each unit vector are the columns of its matrix; onnxruntime says it (cubic Resize, DFT, STFT).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from onnx import NodeProto, TypeProto, helper

from tinygen.frontend.context import Builder, Handler, Result, Unsupported, View
from tinygen.frontend.handlers_shape import normal
from tinygen.frontend.windows import slide
from tinygen.ir.types import Tensor
from tinygen.numerics import Array
from tinygen.ops import Conv, ConvTranspose, Dense
from tinygen.ops.spatial import Window

#: Weights of a matrix, at most: a microcontroller holds no more, and it takes time to find them.
MOST_WEIGHTS = 1 << 20


def columns(node: NodeProto, feeds: Mapping[str, Array], opset: int) -> Array:
    """The first output of a node, as onnxruntime computes it."""
    infos = [
        helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for k, x in feeds.items()
    ]
    graph = helper.make_graph([node], "columns", infos, [helper.make_value_info(node.output[0], TypeProto())])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, dict(feeds))[0])
    except Exception as e:  # onnxruntime raises bare exceptions of its own
        reason = " ".join(str(e).split())[:120]
        raise Unsupported(
            f"onnxruntime cannot say what it computes ({reason})", "Write it as a MatMul with a constant matrix."
        ) from e


def dense(b: Builder, x: Tensor, matrix: Array, hint: str) -> Tensor:
    """x (..., I) by `matrix` (O, I)."""
    if matrix.size > MOST_WEIGHTS:
        raise Unsupported(
            f"a matrix of {matrix.shape[0]:,} by {matrix.shape[1]:,}; at most {MOST_WEIGHTS:,} weights",
            "Do that step outside the network, or on less.",
            of_sizes=True,
        )
    weights = b.const(np.ascontiguousarray(matrix, np.float32), f"{hint}/matrix")
    return b.emit(Dense(), x, weights, b.const(np.zeros(len(matrix), np.float32), "zeros"))


def along(b: Builder, x: Tensor, axis: int, matrix: Array, hint: str) -> Tensor:
    """x with axis `axis` multiplied by `matrix` (O, I)."""
    order = [i for i in range(len(x.shape)) if i != axis] + [axis]
    y = dense(b, b.transpose(x, order), matrix, hint)
    return b.transpose(y, np.argsort(order).tolist())


def attributes(n: View, *left_out: str) -> dict[str, Any]:
    """Those of the node, to make another like it."""
    return {name: value for name, value in n.attrs.items() if name not in left_out}


def cumulative_sum(b: Builder, n: View) -> Result:
    x = n.act()
    axis = normal(int(n.array(1, "the axis").reshape(-1)[0]), len(x.shape))
    length = x.shape[axis]
    if length * length > MOST_WEIGHTS:
        raise Unsupported(f"a running sum over {length} values", "Do that step outside the network.", of_sizes=True)
    ones = np.tril(np.ones((length, length)), -1 if n.integer("exclusive", 0) else 0)
    return along(b, x, axis, ones.T if n.integer("reverse", 0) else ones, n.name)


# Spectra --------------------------------------------------------------------------------------------------------------


def dft(b: Builder, n: View) -> Result:
    """x (..., 1 or 2), real and imaginary parts last."""
    x = n.act()
    rank = len(x.shape)
    if n.version < 20:
        axis = normal(n.integer("axis", 1), rank)
    else:
        given = n.int_list(2, "the axis")
        axis = normal(given[0] if given else -2, rank)
    length = n.int_list(1, "the length")
    size, parts = x.shape[axis], x.shape[-1]
    if size * size > MOST_WEIGHTS:
        raise Unsupported(f"a DFT of {size} values", "Do that step outside the network.", of_sizes=True)
    units = np.eye(size * parts, dtype=np.float32).reshape(-1, size, parts)
    feeds: dict[str, Array] = {"x": units}
    ins = ["x"]
    if length:
        feeds["length"] = np.array(length[0], np.int64)
    ins.append("length" if length else "")
    attrs = attributes(n, "axis")
    if n.version < 20:
        attrs["axis"] = 1
    else:
        feeds["axis"] = np.array(1, np.int64)
        ins.append("axis")
    found = columns(helper.make_node("DFT", ins, ["y"], **attrs), feeds, n.version)
    order = [i for i in range(rank - 1) if i != axis] + [axis, rank - 1]
    moved = b.transpose(x, order)
    flat = b.reshape(moved, (*moved.shape[:-2], size * parts))
    y = dense(b, flat, found.reshape(len(found), -1).T, n.name)
    return b.transpose(b.reshape(y, (*y.shape[:-1], *found.shape[1:])), np.argsort(order).tolist())


def stft(b: Builder, n: View) -> Result:
    """Frames of x (N, time, 1 or 2) are the windows of a convolution."""
    x = n.act()
    step = n.int_list(1, "the step") or (1,)
    window = n.array(2, "the window").astype(np.float32) if n.has(2) else None
    given = n.int_list(3, "the length of a frame")
    length = given[0] if given else (len(window) if window is not None else 0)
    if not 0 < length <= x.shape[1] or step[0] < 1 or length * length > MOST_WEIGHTS:
        raise Unsupported(f"frames of {length} every {step[0]} of {x.shape[1]} values", of_sizes=True)
    parts = x.shape[2] if len(x.shape) == 3 else 1
    units = np.eye(length * parts, dtype=np.float32).reshape(-1, length, parts)
    feeds: dict[str, Array] = {"x": units, "step": np.array(1, np.int64), "length": np.array(length, np.int64)}
    if window is not None:
        feeds["window"] = window
    ins = ["x", "step", "window" if window is not None else "", "length"]
    found = columns(helper.make_node("STFT", ins, ["y"], **attributes(n)), feeds, n.version)  # (units, 1, bins, 2)
    weights = found.reshape(length, parts, -1).transpose(2, 0, 1)
    frames = Conv(Window((length,), (step[0],), (0, 0), (1,)))
    bias = b.const(np.zeros(len(weights), np.float32), "zeros")
    series = b.reshape(x, (*x.shape[:2], parts))
    y = slide(b, frames, series, b.const(np.ascontiguousarray(weights), f"{n.name}/matrix"), bias)
    return b.reshape(y, (*y.shape[:2], *found.shape[2:]))


def col_to_image(b: Builder, n: View) -> Result:
    """Blocks put back where they came from, added up: a transposed convolution whose weights are 1."""
    x = n.act()
    image, block = n.int_list(1, "the shape of the image") or (), n.int_list(2, "the shape of a block") or ()
    rank, taps = len(block), int(np.prod(block, dtype=np.int64))
    strides, dilations = n.ints("strides", (1,) * rank), n.ints("dilations", (1,) * rank)
    pads = n.ints("pads", (0,) * (2 * rank))
    spans = [(k - 1) * d + 1 for k, d in zip(block, dilations, strict=True)]
    free = [image[i] + pads[i] + pads[rank + i] - spans[i] for i in range(rank)]
    counts = tuple(f // s + 1 for f, s in zip(free, strides, strict=True))
    if rank > 2 or x.shape[1] % taps or int(np.prod(counts)) != x.shape[2]:
        raise Unsupported(
            f"blocks of {list(block)} from {x.shape} to an image of {list(image)}",
            "One or two spatial axes are put together again.",
            of_sizes=True,
        )
    channels, rest = x.shape[1] // taps, tuple(f % s for f, s in zip(free, strides, strict=True))
    weights = np.broadcast_to(np.eye(taps, dtype=np.float32).reshape(*block, taps), (channels, *block, taps))
    last = b.reshape(b.transpose(x, (0, 2, 1)), (x.shape[0], *counts, x.shape[1]))
    op = ConvTranspose(Window(tuple(block), strides, pads, dilations), rest, channels)
    ones = b.const(np.ascontiguousarray(weights), f"{n.name}/ones")
    y = slide(b, op, last, ones, b.const(np.zeros(channels, np.float32), "zeros"))
    return b.transpose(y, (0, rank + 1, *range(1, rank + 1)))


LINEAR: dict[str, Handler] = {
    "CumSum": Handler(cumulative_sum, notes="a dense layer; constant axis"),
    "DFT": Handler(dft, notes="a dense layer; constant axis and length"),
    "STFT": Handler(stft, notes="a convolution; constant step and window"),
    "Col2Im": Handler(col_to_image, notes="a transposed convolution; constant shapes, one or two spatial axes"),
}
