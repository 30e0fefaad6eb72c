"""Each importer against onnxruntime on small models, and each difference between operator versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.errors.words import gaps_in
from tests.frontend.support import check, import_model, one_node, ops_of, parse, run_original, run_ours
from tinygen.errors import ModelError, UnsupportedError
from tinygen.frontend import registry
from tinygen.frontend.opsets import MAX_OPSET, runtime_opset
from tinygen.ops import Conv, Extreme, MaxPool, Unary

RNG = np.random.default_rng(7)
F = np.float32


def arr(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(F)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def case(name: str, op_type: str, x: Any, *weights: np.ndarray | None, **kw: Any) -> Any:
    return pytest.param(op_type, x, weights, kw, id=f"{op_type}-{name}")


SPATIAL = [
    case("plain", "Conv", (1, 3, 8, 9), arr(4, 3, 3, 3)),
    case("bias_stride", "Conv", (1, 3, 8, 9), arr(4, 3, 3, 2), arr(4), strides=[2, 1]),
    case("asymmetric", "Conv", (1, 2, 8, 8), arr(4, 2, 3, 3), pads=[0, 1, 2, 3]),
    case("depthwise", "Conv", (1, 4, 8, 8), arr(8, 1, 3, 3), group=4, pads=[1, 1, 1, 1]),
    case("grouped", "Conv", (1, 6, 8, 8), arr(4, 3, 3, 3), group=2, dilations=[2, 1]),
    case("same_upper", "Conv", (1, 2, 7, 8), arr(3, 2, 4, 3), auto_pad="SAME_UPPER", strides=[2, 3]),
    case("same_lower", "Conv", (1, 2, 7, 8), arr(3, 2, 4, 3), auto_pad="SAME_LOWER", strides=[2, 2]),
    case("valid", "Conv", (1, 2, 7, 8), arr(3, 2, 4, 3), auto_pad="VALID"),
    case("1d", "Conv", (1, 3, 20), arr(4, 3, 5), arr(4), strides=[2], pads=[2, 1]),
    case("plain", "ConvTranspose", (1, 3, 4, 5), arr(3, 4, 3, 3), arr(4)),
    case("k3s2p1o1", "ConvTranspose", (1, 3, 4, 5), arr(3, 4, 3, 3), strides=[2, 2], pads=[1] * 4,
         output_padding=[1, 1]),
    case("groups", "ConvTranspose", (1, 4, 4, 5), arr(4, 3, 2, 3), group=2, dilations=[1, 2]),
    case("same_upper", "ConvTranspose", (1, 2, 4, 5), arr(2, 3, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2]),
    case("output_shape", "ConvTranspose", (1, 2, 4, 5), arr(2, 3, 3, 3), output_shape=[9, 10], strides=[2, 2]),
    case("1d", "ConvTranspose", (1, 2, 6), arr(2, 3, 4), strides=[2], pads=[1, 1]),
    case("2x2", "MaxPool", (1, 3, 8, 8), kernel_shape=[2, 2], strides=[2, 2]),
    case("padded", "MaxPool", (1, 3, 7, 8), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    case("ceil", "MaxPool", (1, 3, 8, 9), kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1),
    case("ceil_drops_window", "MaxPool", (1, 1, 4, 4), kernel_shape=[1, 1], strides=[2, 2], ceil_mode=1),
    case("ceil_padded", "MaxPool", (1, 1, 5, 6), kernel_shape=[2, 2], strides=[3, 2], pads=[1, 1, 1, 1], ceil_mode=1),
    case("dilated", "MaxPool", (1, 2, 9, 9), kernel_shape=[2, 2], dilations=[3, 2]),
    case("1d", "MaxPool", (1, 2, 9), kernel_shape=[3], strides=[2]),
    case("same", "MaxPool", (1, 2, 7, 8), kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"),
    case("2x2", "AveragePool", (1, 3, 8, 8), kernel_shape=[2, 2], strides=[2, 2]),
    case("exclude", "AveragePool", (1, 3, 7, 8), kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    case("include", "AveragePool", (1, 3, 7, 8), kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    case("ceil", "AveragePool", (1, 3, 8, 9), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    case("ceil_no_extra", "AveragePool", (1, 3, 9, 9), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1,
         count_include_pad=1),
    case("same", "AveragePool", (1, 3, 7, 8), kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    case("ceil_include", "AveragePool", (1, 2, 8, 9), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 0, 1],
         ceil_mode=1, count_include_pad=1),
    case("several_1d", "Conv", (3, 4, 9), arr(6, 2, 3), arr(6), group=2, pads=[2, 0], strides=[2]),
    case("several_2d", "Conv", (3, 2, 5, 6), arr(4, 2, 3, 2), arr(4), pads=[1, 0, 0, 1]),
    case("3d", "Conv", (2, 4, 5, 4, 3), arr(6, 2, 3, 2, 2), arr(6), group=2, pads=[1, 0, 1, 2, 1, 0],
         strides=[2, 1, 1], dilations=[1, 2, 1]),
    case("several_1d", "ConvTranspose", (2, 3, 5), arr(3, 4, 3), strides=[2], pads=[0, 1], output_padding=[1]),
    case("several_2d", "ConvTranspose", (2, 3, 4, 5), arr(3, 2, 2, 3), arr(2), strides=[2, 1]),
    case("several_1d", "MaxPool", (3, 2, 9), kernel_shape=[3], strides=[2], pads=[1, 0]),
    case("several_2d", "MaxPool", (2, 3, 6, 5), kernel_shape=[2, 3]),
    case("dilated", "AveragePool", (1, 3, 9, 8), kernel_shape=[3, 2], pads=[2, 1, 0, 1], dilations=[2, 3]),
    case("3d", "MaxPool", (2, 3, 5, 6, 4), kernel_shape=[3, 2, 2], strides=[2, 1, 1], pads=[1, 1, 0, 1, 0, 0],
         dilations=[1, 2, 1]),
    case("several_2d", "AveragePool", (2, 3, 6, 5), kernel_shape=[2, 3], pads=[1, 1, 0, 1]),
    case("3d", "AveragePool", (1, 3, 5, 6, 4), kernel_shape=[3, 2, 2], pads=[1, 0, 1, 1, 1, 0]),
    case("3d_include", "AveragePool", (1, 3, 5, 6, 4), kernel_shape=[3, 2, 2], pads=[1, 0, 1, 1, 1, 0],
         count_include_pad=1),
    case("2d", "GlobalAveragePool", (1, 3, 7, 8)),
    case("1d", "GlobalAveragePool", (1, 3, 7)),
    case("2d", "GlobalMaxPool", (1, 3, 7, 8)),
    case("2d", "BatchNormalization", (1, 3, 4, 5), arr(3), arr(3), arr(3), np.abs(arr(3)) + F(0.1), epsilon=1e-3),
    case("flat", "BatchNormalization", (1, 3), arr(3), arr(3), arr(3), np.abs(arr(3)) + F(0.1)),
    case("dcr", "DepthToSpace", (1, 8, 2, 3), blocksize=2),
    case("crd", "DepthToSpace", (1, 8, 2, 3), blocksize=2, mode="CRD"),
    case("plain", "SpaceToDepth", (1, 2, 4, 6), blocksize=2),
]  # fmt: skip

RESIZE = [
    case(
        f"{mode}-{where}-{rounding}-{scale}", "Resize", (1, 2, 5, 4), None, np.array([1, 1, scale, 2.0], F),
        mode=mode, coordinate_transformation_mode=where, nearest_mode=rounding,
    )
    for mode, roundings in (
        ("nearest", ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")), ("linear", ("floor",)),
    )
    for where in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
    for rounding in roundings
    for scale in (2.0, 0.6, 1.7)
] + [
    case("sizes", "Resize", (1, 2, 5, 4), None, None, ints(1, 2, 7, 9), mode="nearest"),
    case("sizes_axes", "Resize", (1, 2, 5, 4), None, None, ints(7, 9), mode="linear", axes=[2, 3]),
    case("not_larger", "Resize", (1, 2, 5, 4), None, None, ints(9, 9), mode="nearest", axes=[2, 3],
         keep_aspect_ratio_policy="not_larger"),
    case("symmetric", "Resize", (1, 2, 9, 3), None, np.array([1, 1, 0.5, 1.5], F), mode="nearest",
         coordinate_transformation_mode="half_pixel_symmetric", nearest_mode="floor"),
    case("1d", "Resize", (1, 2, 5), None, np.array([1, 1, 2], F), mode="linear"),
    case("one_axis", "Resize", (1, 2, 5, 4), None, np.array([1, 1, 1, 3], F), mode="linear"),
    case("channels_last", "Resize", (1, 5, 4, 3), None, np.array([1, 2, 2, 1], F), mode="nearest"),
    case("channels_last_linear", "Resize", (1, 5, 4, 3), None, np.array([1, 2, 2, 1], F), mode="linear"),
    case("nothing", "Resize", (1, 2, 5, 4), None, np.array([1, 1, 1, 1], F), mode="nearest"),
    *(
        case(f"{mode}-{where}-{scale}-{'antialias' if smooth else 'plain'}", "Resize", (1, 2, 5, 4), None,
             np.array([1, 1, scale, 1.5], F), mode=mode, coordinate_transformation_mode=where, antialias=smooth)
        for mode, smooth in (("cubic", 0), ("cubic", 1), ("linear", 1))
        for where, scale in (("half_pixel", 0.6), ("align_corners", 1.7), ("asymmetric", 2.0))
        if not smooth or where == "half_pixel"
    ),
    case("cubic_sizes", "Resize", (1, 2, 5, 4), None, None, ints(1, 2, 9, 3), mode="cubic", exclude_outside=1),
    case("crop", "Resize", (1, 1, 5, 4), np.array([0, 0, 0.4, 0.6, 1, 1, 0.6, 0.8], F), None, ints(1, 1, 3, 3),
         mode="linear", coordinate_transformation_mode="tf_crop_and_resize"),
    case("crop_outside", "Resize", (1, 1, 5, 4), np.array([0, 0, 0.4, 0.6, 1, 1, 1.2, 1.7], F), None, ints(1, 1, 3, 3),
         mode="linear", coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=10.0),
    case("flat_nearest", "Resize", (1, 6), None, np.array([1, 2], F), mode="nearest"),
]  # fmt: skip

LINEAR = [
    case("sum", "CumSum", (2, 5, 3), np.array(1)),
    case("exclusive", "CumSum", (2, 5, 3), np.array(-1), exclusive=1),
    case("reverse", "CumSum", (2, 5, 3), np.array(0), reverse=1),
    case("real", "DFT", (1, 8, 3, 1), axis=1),
    case("one_side", "DFT", (1, 6, 1), axis=1, onesided=1),
    case("inverse", "DFT", (1, 3, 8, 2), axis=2, inverse=1),
    case("longer", "DFT", (1, 5, 1), np.array(8), axis=1),
    case("frames", "STFT", (2, 20, 1), np.array(4), arr(8), np.array(8)),
    case("blocks", "Col2Im", (2, 12, 6), ints(5, 5), ints(2, 3), strides=[3, 1]),
    case("padded", "Col2Im", (1, 8, 6), ints(4, 6), ints(2, 2), pads=[1, 1, 0, 1], strides=[2, 2], dilations=[1, 3]),
]  # fmt: skip

PICK = [
    case("rows", "GatherElements", (3, 4), np.array([[0, -1, 2], [1, 1, 0]]), axis=0),
    case("columns", "GatherElements", (3, 4), np.array([[3, -4], [0, 1]]), axis=1),
    case("whole", "GatherND", (2, 3, 4), np.array([[0, 1, 2], [1, -1, 0]])),
    case("slices", "GatherND", (2, 3, 4), np.array([[[0, 1]], [[1, -1]]])),
    case("batch", "GatherND", (2, 3, 4), np.array([[1], [0]]), batch_dims=1),
    case("axis", "Compress", (3, 4), np.array([True, False, True, True]), axis=1),
    case("flat", "Compress", (3, 4), np.array([True, False, True, True, False])),
    case("batch_first", "ReverseSequence", (3, 4, 2), ints(4, 1, 2), batch_axis=0, time_axis=1),
    case("time_first", "ReverseSequence", (4, 3, 2), ints(4, 1, 2)),
]  # fmt: skip

UNARY = [
    case("plain", name, (2, 30))
    for name in ("Relu", "Sigmoid", "Tanh", "Erf", "Softplus", "Softsign", "Exp", "Abs", "Neg", "Reciprocal", "Sin",
                 "Cos", "Tan", "Atan", "Sinh", "Cosh", "Asinh", "Round", "Floor", "Ceil", "Sign", "HardSwish", "Mish",
                 "LeakyRelu", "Elu", "Selu", "Celu", "HardSigmoid", "ThresholdedRelu", "Shrink")
] + [
    case("0.3", "LeakyRelu", (2, 30), alpha=0.3),
    case("1.5", "LeakyRelu", (2, 30), alpha=1.5),
    case("-0.5", "LeakyRelu", (2, 30), alpha=-0.5),
    case("alpha", "Elu", (2, 30), alpha=0.4),
    case("alpha", "Celu", (2, 30), alpha=2.5),
    case("both", "Selu", (2, 30), alpha=1.2, gamma=0.7),
    case("both", "HardSigmoid", (2, 30), alpha=0.4, beta=0.3),
    case("alpha", "ThresholdedRelu", (2, 30), alpha=0.2),
    case("both", "Shrink", (2, 30), lambd=0.3, bias=0.1),
    case("both", "Clip", (2, 30), np.array(-0.5, F), np.array(0.6, F)),
    case("low", "Clip", (2, 30), np.array(-0.5, F)),
    case("high", "Clip", (2, 30), None, np.array(0.5, F)),
    case("none", "Clip", (2, 30)),
    case("float_max", "Clip", (2, 30), np.array(0, F), np.array(np.finfo(F).max, F)),
    case("square", "Pow", (2, 30), np.array(2, F)),
    case("rank_grows", "Pow", (2, 30), np.full((1, 1, 1), 3, F)),
    case("one", "Pow", (2, 30), np.array([1], F)),
]  # fmt: skip

BINARY = [
    *(case("two", name, [(1, 3, 4), (1, 3, 4)]) for name in ("Add", "Sub", "Mul", "Max", "Min", "Sum", "Mean")),
    *(case("broadcast", name, [(1, 3, 1), (1, 1, 4)]) for name in ("Add", "Sub", "Mul", "Max", "Min")),
    *(case("constant", name, (1, 3, 4), arr(3, 1)) for name in ("Add", "Sub", "Mul", "Div", "Max", "Min")),
    *(case("number", name, (1, 3, 4), np.array(0.7, F)) for name in ("Add", "Sub", "Mul", "Div", "Max", "Min")),
    case("three", "Sum", [(1, 3), (1, 3), (1, 3)]),
    case("three", "Mean", [(1, 3), (1, 3), (1, 3)]),
    case("alone", "Sum", [(1, 3)]),
    case("three", "Max", [(1, 3), (1, 3)], np.array(0.1, F)),
    case("chain", "Min", [(1, 3, 1), (1, 1, 4), (1, 3, 4)]),
    case("alone", "Max", [(1, 3)]),
    case("lower_rank", "Max", [(2, 3, 4), (4,)]),
    case("constants", "Max", (1, 3, 4), arr(3, 1), arr(4), np.full((1, 1, 1, 1), -2, F)),
    case("scalar_slope", "PRelu", (1, 3, 4, 5), np.array([0.2], F)),
    case("channels", "PRelu", (1, 3, 4, 5), arr(3, 1, 1)),
    case("last", "PRelu", (1, 3, 4, 5), arr(5)),
    case("full", "PRelu", (1, 3, 4, 5), arr(3, 1, 5)),
]  # fmt: skip

DENSE = [
    case("plain", "Gemm", (1, 6), arr(6, 4), arr(4)),
    case("no_bias", "Gemm", (1, 6), arr(6, 4)),
    case("trans_b", "Gemm", (1, 6), arr(4, 6), arr(1, 4), transB=1),
    case("scaled", "Gemm", (1, 6), arr(4, 6), arr(4), transB=1, alpha=0.5, beta=2.0),
    case("trans_a", "Gemm", (6, 1), arr(6, 4), arr(4), transA=1),
    case("number", "Gemm", (1, 6), arr(6, 4), np.array(0.5, F)),
    case("vector", "MatMul", (1, 6), arr(6)),
    case("plain", "MatMul", (1, 6), arr(6, 4)),
    case("rows", "MatMul", (1, 5, 6), arr(6, 4)),
    case("leading_ones", "MatMul", (1, 6), arr(1, 1, 6, 4)),
    case("from_4d", "MatMul", (1, 2, 3, 6), arr(1, 6, 4)),
]  # fmt: skip

REDUCE = [
    case(f"{axes}-{keep}", "ReduceMean", (1, 3, 4, 5), ints(*axes), keepdims=keep)
    for axes in ((2, 3), (-1,), (1,), (1, 3), (0, 2))
    for keep in (0, 1)
] + [
    case("all", "ReduceSum", (1, 3, 4)),
    case("noop", "ReduceSum", (1, 3, 4), noop_with_empty_axes=1),
    case("apart", "ReduceMax", (1, 3, 4, 5), ints(1, 3), keepdims=1),
    case("plain", "ReduceMin", (1, 3, 4, 5), ints(2), keepdims=0),
    case("l1", "ReduceL1", (1, 3, 4), ints(1), keepdims=0),
    case("l2", "ReduceL2", (1, 3, 4), ints(-1)),
    case("squares", "ReduceSumSquare", (1, 3, 4), ints(1, 2)),
    case("last", "Softmax", (1, 6)),
    case("middle", "Softmax", (1, 3, 4, 5), axis=1),
    case("ones_behind", "Softmax", (1, 6, 1, 1), axis=1),
    case("middle", "LogSoftmax", (1, 3, 4), axis=1),
]  # fmt: skip

NORMS = [
    case("plain", "LayerNormalization", (1, 5, 6), arr(6), arr(6)),
    case("no_offset", "LayerNormalization", (1, 5, 6), arr(6), epsilon=1e-2),
    case("two_axes", "LayerNormalization", (1, 3, 4, 5), arr(4, 5), arr(4, 5), axis=2),
    case("computed_factor", "LayerNormalization", [(1, 5, 6), (6,)], arr(6)),
    case("2d", "InstanceNormalization", (1, 3, 4, 5), arr(3), arr(3)),
    case("1d_batch", "InstanceNormalization", (2, 3, 9), arr(3), arr(3), epsilon=0.1),
    case("l2", "LpNormalization", (1, 3, 4), axis=1),
    case("l1", "LpNormalization", (1, 3, 4), p=1),
    case("plain", "MeanVarianceNormalization", (1, 3, 4, 5)),
    case("channels", "MeanVarianceNormalization", (1, 3, 4, 5), axes=[1]),
    case("batch", "MeanVarianceNormalization", (2, 3, 4, 5)),
    case("two", "Div", [(1, 3, 4), (1, 3, 4)]),
    case("by_row", "Div", [(1, 3, 4), (1, 3, 1)]),
]  # fmt: skip

PRODUCTS = [
    case("two", "MatMul", [(1, 3, 5, 6), (1, 3, 6, 4)]),
    case("one_for_all", "MatMul", [(1, 3, 5, 6), (6, 4)]),
    case("row", "MatMul", [(6,), (1, 6, 4)]),
    case("column", "MatMul", [(1, 4, 6), (6,)]),
    case("slices", "MatMul", (1, 3, 5, 6), arr(3, 6, 4)),
    case("two", "Gemm", [(5, 6), (4, 6)], transB=1, alpha=0.5),
    case("three", "Gemm", [(6, 5), (6, 4), (1, 4)], transA=1, beta=2.0),
]  # fmt: skip

SHAPE = [
    case("zero_minus", "Reshape", (1, 3, 4, 5), ints(0, -1)),
    case("allowzero", "Reshape", (1, 3, 4), ints(3, -1), allowzero=1),
    case("default", "Flatten", (1, 3, 4)),
    case("negative", "Flatten", (1, 3, 4), axis=-1),
    case("zero", "Flatten", (1, 3, 4), axis=0),
    case("all", "Squeeze", (1, 3, 1)),
    case("axes", "Squeeze", (1, 3, 1), ints(-1)),
    case("axes", "Unsqueeze", (1, 3), ints(-1, 1)),
    case("default", "Transpose", (1, 3, 4)),
    case("perm", "Transpose", (1, 3, 4), perm=[0, 2, 1]),
    case("mask_unused", "Dropout", (1, 3)),
    case("two", "Concat", [(1, 3, 4), (1, 2, 4)], axis=1),
    case("constant", "Concat", (1, 3, 4), arr(1, 2, 4), axis=-2),
    case("basic", "Slice", (1, 6, 5), ints(1), ints(4), ints(1)),
    case("steps", "Slice", (1, 6, 5), ints(-1, 1), ints(-100, 100), ints(1, 2), ints(-2, 2)),
    case("no_axes", "Slice", (1, 6, 5), ints(0, 2), ints(1, 5)),
    case("constant", "Pad", (1, 2, 3), ints(0, 1, 2, 0, 0, 1), np.array(0.5, F)),
    case("axes", "Pad", (1, 2, 3), ints(1, 2), None, ints(-1)),
    case("negative", "Pad", (1, 4, 5), ints(0, -1, 1, 0, 2, -2)),
    case("reflect", "Pad", (1, 4, 5), ints(0, 2, 1, 0, 1, 3), mode="reflect"),
    case("edge", "Pad", (1, 4, 5), ints(0, 2, 0, 0, 1, 3), mode="edge"),
    case("reflect_crop", "Pad", (1, 4, 5), ints(0, 2, -1, 0, 1, 3), mode="reflect"),
    case("scalar", "Gather", (1, 4, 5), np.array(-1, np.int64), axis=1),
    case("list", "Gather", (1, 4, 5), ints(2, 0, 2), axis=1),
    case("even", "Gather", (1, 4, 5), ints(3, 2, 1), axis=2),
    case("matrix", "Gather", (1, 4, 5), np.array([[0, 3], [1, 1]], np.int64), axis=2),
    case("rank_grows", "Expand", (1, 3), ints(4, 1, 3)),
    case("both", "Expand", (3, 1), ints(1, 4)),
    case("plain", "Tile", (1, 3, 2), ints(1, 2, 3)),
    case("ones", "Tile", (1, 1, 2), ints(1, 4, 1)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op_type", "x", "weights", "kw"),
    SPATIAL + RESIZE + LINEAR + PICK + UNARY + BINARY + DENSE + REDUCE + NORMS + PRODUCTS + SHAPE,
)
def test_one_node(op_type: str, x: Any, weights: Any, kw: dict[str, Any], tmp_path: Path) -> None:
    model = one_node(op_type, x, weights, opset=22 if op_type in ("Mish", "HardSwish", "AveragePool") else 18, **kw)
    shapes = [x] if isinstance(x[0], int) else x
    given = {f"x{i}": tuple(s) for i, s in enumerate(shapes)}
    # Weights of a linear resize have 11 bits.
    tolerance = 1e-3 if kw.get("mode") == "linear" else 2e-6
    check(tmp_path, model, tolerance=tolerance, input_shapes=given)


def test_log_of_a_sum(tmp_path: Path) -> None:
    """ReduceLogSum, of what is positive."""
    model = parse("""g (float[1,3,4] x) => (float y)
        <int64[1] axes = {1}> { p = Sigmoid(x) y = ReduceLogSum<keepdims=0>(p, axes) }""")
    check(tmp_path, model)


def test_what_is_read_has_no_reason_against_it() -> None:
    """An operator that gets a handler leaves the list of those that are refused with advice (`Constant`: in forms)."""
    assert registry.REASONS.keys() & registry.HANDLERS.keys() == set()


# Versions -------------------------------------------------------------------------------------------------------------


INDEXED = {
    "gather_elements": ("float[2,5,3] x, int64[2,1,3] i", "y = GatherElements<axis=1>(x, i)", 5),
    "gather_several": ("float[2,5] x, int64[2,4] i", "y = GatherElements<axis=1>(x, i)", 5),
    "gather_last": ("float[2,5,3] x, int64[2,5,1] i", "u = GatherElements<axis=-1>(x, i) y = Relu(u)", 3),
    "one_hot": ("int64[2,3] i", "y = OneHot<axis=1>(i, four, values)", 4),
    "rows": ("int64[2,3] i", "y = Gather(table, i)", 6),
}


@pytest.mark.parametrize("name", INDEXED)
def test_computed_indices(name: str, tmp_path: Path) -> None:
    """An integer input that is an index comes in as bytes, up to the last place it can pick."""
    ins, body, places = INDEXED[name]
    weights = {"four": np.array(4), "values": np.array([0.5, 2.0], F), "table": arr(6, 2)}
    model = parse(f"g ({ins}) => (float y) {{ {body} }}", weights={k: v for k, v in weights.items() if k in body})
    imported = import_model(tmp_path, model, input_shapes={
        i.name: tuple(d.dim_value for d in i.type.tensor_type.shape.dim) for i in model.graph.input
    })  # fmt: skip
    port = next(p for p in imported.graph.in_ports if p.name == "i")
    assert port.ends == (0, places - 1)
    rng = np.random.default_rng(3)
    feeds = {p.name: rng.normal(size=p.shape).astype(F) for p in imported.graph.in_ports}
    feeds["i"] = rng.integers(0, places, port.shape)
    for want, got in zip(run_original(imported, feeds), run_ours(imported, feeds), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("first", [11, 13])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_hardmax(axis: int, first: int, tmp_path: Path) -> None:
    check(tmp_path, one_node("Hardmax", [(3, 4, 5)], axis=axis, opset=first), input_shapes={"x0": (3, 4, 5)})


@pytest.mark.parametrize("axis", [0, 1])
def test_one_hot_of_floats(axis: int, tmp_path: Path) -> None:
    """Negative indices count from the end, others beyond it are no place at all."""
    model = parse(
        f"g (float[2,4] x) => (float y) {{ y = OneHot<axis={axis}>(x, d, v) }}",
        weights={"d": F(5), "v": np.array([-1.0, 3.0], F)},
    )
    feeds = {"x": np.array([[0, 4, -1, 2], [-5, 7, -9, 3]], F)}
    check(tmp_path, model, feeds, input_shapes={"x": (2, 4)})


@pytest.mark.parametrize("last", [0, 1])
def test_argmin(last: int, tmp_path: Path) -> None:
    model = parse(f"g (float[3,4,5] x) => (int64 y) {{ y = ArgMin<axis=1, select_last_index={last}>(x) }}")
    x = np.random.default_rng(1).integers(0, 3, (3, 4, 5)).astype(F)
    check(tmp_path, model, {"x": x}, input_shapes={"x": (3, 4, 5)})


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize(
    ("op_type", "index", "updates"),
    [
        ("ScatterElements<axis=0", np.array([[0, 1, 2, 0, -1], [2, 1, 2, 1, 0]]), (2, 5)),
        ("ScatterElements<axis=1", np.array([[4, 0], [1, 2], [2, 2]]), (3, 2)),
        ("ScatterND<", np.array([[0], [2], [0]]), (3, 5)),
        ("ScatterND<", np.array([[0, 1], [2, -1]]), (2,)),
    ],
)
def test_scatter(op_type: str, index: np.ndarray, updates: tuple[int, ...], reduction: str, tmp_path: Path) -> None:
    if reduction == "none" and len(np.unique(index)) < index.size and op_type.endswith("axis=1"):
        index = np.array([[4, 0], [1, 2], [2, 3]])  # which of two updates wins is not said
    comma = "" if op_type.endswith("<") else ", "
    shape = ",".join(map(str, updates))
    text = (
        f'g (float[3,5] x, float[{shape}] u) => (float y) {{ y = {op_type}{comma}reduction="{reduction}">(x, i, u) }}'
    )
    model = parse(text, weights={"i": index})
    given = {"x": (3, 5), "u": updates}
    # A product of an element and its updates is of an order of its own.
    check(tmp_path, model, input_shapes=given, tolerance=1e-5)


@pytest.mark.parametrize("constant", ["u", "x"])
@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
def test_scatter_of_constants(reduction: str, constant: str, tmp_path: Path) -> None:
    """No layer of constants only is left, which nothing can quantise."""
    inputs = {"x": (3, 5), "u": (3, 5)}
    values = np.random.default_rng(0).normal(size=inputs.pop(constant)).astype(F)
    (given,) = inputs
    text = f'g (float[3,5] {given}) => (float y) {{ y = ScatterND<reduction="{reduction}">(x, i, u) }}'
    once = np.array([[2], [0], [1]]) if reduction == "none" else np.array([[2], [0], [2]])
    imported = check(tmp_path, parse(text, weights={"i": once, constant: values}), input_shapes=inputs, tolerance=1e-5)
    graph = imported.graph
    assert all(any(t.const is None for t in graph.ins(node)) for node in graph.nodes)


NEWEST = runtime_opset()


@pytest.mark.parametrize("opset", [11, 13, 18, NEWEST])
def test_softmax_of_each_version(opset: int, tmp_path: Path) -> None:
    check(tmp_path, one_node("Softmax", (1, 3, 4), opset=opset))
    imported = check(tmp_path, one_node("Softmax", (1, 3, 4), opset=opset, axis=1))
    # Before opset 13 over all that follows the axis: a Reshape; since then over that axis alone: a Transpose.
    assert ("Reshape" if opset < 13 else "Transpose") in ops_of(imported.graph)
    check(tmp_path, one_node("LogSoftmax", (1, 3, 4, 2), opset=opset, axis=2))


@pytest.mark.parametrize("opset", [21, NEWEST])
@pytest.mark.parametrize(("shape", "groups"), [((1, 6, 4, 5), 2), ((1, 6, 9), 6), ((1, 6, 9), 1)])
def test_group_normalization(opset: int, shape: tuple[int, ...], groups: int, tmp_path: Path) -> None:
    """Since opset 21: the form of opset 18 is deprecated, and onnx itself refuses it."""
    check(tmp_path, one_node("GroupNormalization", shape, [arr(6), arr(6)], opset=opset, num_groups=groups))


def test_rms_normalization(tmp_path: Path) -> None:
    check(tmp_path, one_node("RMSNormalization", (1, 4, 6), [arr(6)], opset=23, epsilon=1e-3))


def test_statistics_as_outputs(tmp_path: Path) -> None:
    """Of a LayerNormalization, by its function body."""
    check(tmp_path, one_node("LayerNormalization", (1, 4, 6), [arr(6)], outputs=3))


@pytest.mark.parametrize("opset", [11, 13, 18, NEWEST])
@pytest.mark.parametrize("name", ["ReduceMean", "ReduceSum", "ReduceMax"])
def test_axes_as_attribute_or_input(name: str, opset: int, tmp_path: Path) -> None:
    since = 13 if name == "ReduceSum" else 18
    if opset < since:
        model = one_node(name, (1, 3, 4), opset=opset, axes=[1], keepdims=0)
    else:
        model = one_node(name, (1, 3, 4), [ints(1)], opset=opset, keepdims=0)
    assert ops_of(check(tmp_path, model).graph) == ["ReduceExtreme" if name == "ReduceMax" else "ReduceSum"]


@pytest.mark.parametrize("opset", [11, 13, NEWEST])
def test_squeeze_of_each_version(opset: int, tmp_path: Path) -> None:
    for name, shape in (("Squeeze", (1, 3, 1)), ("Unsqueeze", (1, 3))):
        kw: dict[str, Any] = {"axes": [2]} if opset < 13 else {}
        check(tmp_path, one_node(name, shape, [] if opset < 13 else [ints(2)], opset=opset, **kw))


@pytest.mark.parametrize("opset", [11, 13, 18, NEWEST])
def test_split_of_each_version(opset: int, tmp_path: Path) -> None:
    sizes: Any = {"split": [1, 3]} if opset < 13 else {}
    weights = [] if opset < 13 else [ints(1, 3)]
    imported = check(tmp_path, one_node("Split", (1, 4, 5), weights, opset=opset, outputs=2, axis=1, **sizes))
    assert ops_of(imported.graph) == ["Slice", "Slice"]
    equal: Any = {"num_outputs": 2} if opset >= 18 else {}
    check(tmp_path, one_node("Split", (1, 5 if opset >= 18 else 4, 2), [], opset=opset, outputs=2, axis=1, **equal))


@pytest.mark.parametrize("opset", [11, 13, 18, NEWEST])
def test_resize_of_each_version(opset: int, tmp_path: Path) -> None:
    roi = np.array([], F) if opset < 13 else None
    model = one_node("Resize", (1, 2, 3, 4), [roi, np.array([1, 1, 2, 2], F)], opset=opset, mode="linear")
    check(tmp_path, model, tolerance=1e-3)


@pytest.mark.parametrize("opset", [11, 13, 18, NEWEST])
def test_pad_and_clip_take_inputs(opset: int, tmp_path: Path) -> None:
    check(tmp_path, one_node("Pad", (1, 2, 3), [ints(0, 0, 1, 0, 0, 2)], opset=opset))
    check(tmp_path, one_node("Clip", (1, 9), [np.array(0, F), np.array(1, F)], opset=opset))


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate: str, tmp_path: Path) -> None:
    check(tmp_path, one_node("Gelu", (1, 50), opset=20, approximate=approximate))


def test_swish(tmp_path: Path) -> None:
    from onnx.reference import ReferenceEvaluator

    model = one_node("Swish", (1, 20), opset=24, alpha=0.5)
    imported = import_model(tmp_path, model)
    x = arr(1, 20)
    (node,) = imported.graph.nodes
    assert isinstance(node.op, Unary)
    from tinygen.ops.unary import evaluate

    np.testing.assert_allclose(evaluate(node.op.expr, x), ReferenceEvaluator(model).run(None, {"x0": x})[0], atol=1e-5)


@pytest.mark.parametrize("opset", [MAX_OPSET, NEWEST + 1])
def test_opset_newer_than_the_runtime(opset: int, tmp_path: Path) -> None:
    if opset > MAX_OPSET:
        pytest.skip("onnxruntime knows as much as onnx")
    imported = check(tmp_path, one_node("Relu", (1, 4), opset=opset))
    assert imported.opset == opset


@pytest.mark.parametrize("opset", [11, 12, 13, NEWEST])
@pytest.mark.parametrize("name", ["Max", "Min"])
def test_max_and_min(name: str, opset: int, tmp_path: Path) -> None:
    """A chain over the tensors, then a clip for the number; constants become one."""
    k = [arr(3, 1), np.array(0.2, F), arr(1, 4)]
    model = one_node(name, [(1, 3, 4), (1, 3, 1)], k, opset=opset)
    graph = check(tmp_path, model, input_shapes={"x0": (1, 3, 4), "x1": (1, 3, 1)}).graph
    assert [n.op for n in graph.nodes[:2]] == [Extreme(name == "Max")] * 2
    assert len(graph.nodes) == 3
    assert isinstance(graph.nodes[2].op, Unary)


@pytest.mark.parametrize("name", ["Sum", "Mean", "Max", "Min"])
def test_constants_first(name: str, tmp_path: Path) -> None:
    """Two constants in front of the activation: one operator (Mean: and its share), never one of constants only."""
    model = parse(f"""g (float[1,2,3] x) => (float y)
        <float[2,1] k1 = {{0.5, -1.0}}, float[3] k2 = {{0.25, 2.0, -0.75}}> {{ y = {name}(k1, k2, x) }}""")
    graph = check(tmp_path, model).graph
    assert len(graph.nodes) == (2 if name == "Mean" else 1)
    assert "x" in graph.nodes[0].inputs


# Models of several nodes ----------------------------------------------------------------------------------------------


def test_relu_keeps_its_form(tmp_path: Path) -> None:
    graph = check(tmp_path, one_node("Relu", (1, 4))).graph
    assert graph.nodes[0].op == Unary(("Max", "x", 0.0), "relu")
    graph = check(tmp_path, one_node("Clip", (1, 4), [np.array(0, F), np.array(6, F)])).graph
    assert graph.nodes[0].op == Unary(("Min", ("Max", "x", 0.0), 6.0), "clip")


def test_names_and_origin(tmp_path: Path) -> None:
    graph = check(tmp_path, one_node("Conv", (1, 3, 8, 9), [arr(4, 3, 3, 3), arr(4)])).graph
    assert [n.name for n in graph.nodes] == ["the_node/transpose", "the_node", "the_node/transpose_2"]
    assert {n.origin for n in graph.nodes} == {("the_node",)}
    assert graph.outputs == ("y0",)
    assert graph.tensors["w0"].shape == (4, 3, 3, 3)
    model = one_node("Relu", (1, 3))
    model.graph.node[0].name = ""
    assert import_model(tmp_path, model).graph.nodes[0].name == "Relu_0"


def test_graph_name_is_a_c_identifier(tmp_path: Path) -> None:
    from tests.frontend.support import save
    from tinygen.frontend.onnx_reader import read_onnx

    model = one_node("Relu", (1, 3))
    assert read_onnx(save(tmp_path, model, "2 my-net.v1.onnx")).graph.name == "m_2_my_net_v1"
    assert read_onnx(save(tmp_path, model), name="kws").graph.name == "kws"


def test_constant_divided_by_activation(tmp_path: Path) -> None:
    check(tmp_path, parse("g (float[1,4] x) => (float y) { h = Exp(x) y = Div(c, h) }", weights={"c": F(2)}))
    check(tmp_path, parse("g (float[1,4] x) => (float y) { h = Exp(x) y = Div(c, h) }", weights={"c": arr(4)}))
    check(tmp_path, parse("g (float[1,4] x) => (float y) { y = Sub(c, x) }", weights={"c": arr(4)}))
    check(tmp_path, parse("g (float[1,4] x) => (float y) { y = Pow(c, x) }", weights={"c": F(2)}))


@pytest.mark.parametrize(
    ("x", "w"), [((1, 6, 3), (4, 6)), ((6, 3), (4, 6)), ((6,), (4, 6)), ((1, 6, 3), (6,)), ((6, 3), (1, 1, 4, 6))]
)
def test_matmul_with_constant_on_the_left(x: tuple[int, ...], w: tuple[int, ...], tmp_path: Path) -> None:
    text = f"g (float[{','.join(map(str, x))}] x) => (float y) {{ y = MatMul(w, x) }}"
    check(tmp_path, parse(text, weights={"w": arr(*w)}), input_shapes={"x": x})


def test_gemm_with_activations_as_b_or_c(tmp_path: Path) -> None:
    text = "g (float[1,6] x, float[1,4] c) => (float y) { y = Gemm<beta=0.5>(x, w, c) }"
    check(tmp_path, parse(text, weights={"w": arr(6, 4)}))
    for flags, shape in (("", (3, 6)), ("<transA=1>", (6, 3))):
        text = f"g (float[6,1] x) => (float y) {{ y = Gemm{flags}(w, x) }}"
        check(tmp_path, parse(text, weights={"w": arr(*shape)}), input_shapes={"x": (6, 1)})


def test_where_with_constant_condition(tmp_path: Path) -> None:
    mask = np.array([[True, False, True, True, False]])
    check(tmp_path, parse("g (float[1,5] x) => (float y) { y = Where(m, x, c) }", weights={"m": mask, "c": F(3)}))
    check(tmp_path, parse("g (float[1,5] x) => (float y) { z = Neg(x) y = Where(m, x, z) }", weights={"m": mask}))
    check(tmp_path, parse("g (float[1,5] x) => (float y) { y = Where(m, x, c) }", weights={"m": mask, "c": F(0)}))


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("cast", [True, False])
def test_argmax(axis: int, keep: int, cast: bool, tmp_path: Path) -> None:
    end = "i = ArgMax<axis={a}, keepdims={k}, select_last_index=1>(x) y = Cast<to=1>(i)" if cast else (
        "y = ArgMax<axis={a}, keepdims={k}>(x)"
    )  # fmt: skip
    kind = "float" if cast else "int64"
    text = f"g (float[1,3,4,5] x) => ({kind} y) {{ {end.format(a=axis, k=keep)} }}"
    assert check(tmp_path, parse(text)).output_types == ("float32" if cast else "int64",)


def test_cast_to_integer_truncates(tmp_path: Path) -> None:
    check(tmp_path, parse("g (float[1,9] x) => (float y) { z = Mul(x, c) i = Cast<to=6>(z) y = Cast<to=1>(i) }",
                          weights={"c": F(5)}))  # fmt: skip


def test_shape_computing_subgraph_folds(tmp_path: Path) -> None:
    text = """g (float[N,3,4] x) => (float y) {
        s = Shape(x)
        b = Gather<axis=0>(s, first)
        bu = Unsqueeze(b, zero)
        t = Concat<axis=0>(bu, minus)
        r = Reshape(x, t)
        n = Size(r)
        f = Cast<to=1>(n)
        y = Div(r, f)
    }"""
    imported = check(tmp_path, parse(text, weights={"first": np.int64(0), "zero": ints(0), "minus": ints(-1)}))
    assert ops_of(imported.graph) == ["Reshape", "Mul"]
    assert any("set to 1" in n for n in imported.notes)


def test_pad_sizes_computed_as_pytorch_does(tmp_path: Path) -> None:
    text = """g (float[1,2,3,4] x) => (float y) {
        zeros = ConstantOfShape<value = int64[1] {0}>(four)
        p = Concat<axis=0>(pads, zeros)
        m = Reshape(p, shape)
        r = Slice(m, from, to, zero, back)
        t = Transpose<perm=[1,0]>(r)
        f = Reshape(t, minus)
        c = Cast<to=7>(f)
        y = Pad(x, c)
    }"""
    weights = {
        "four": ints(4), "pads": ints(1, 2, 3, 0), "shape": ints(-1, 2), "from": ints(-1), "to": ints(-(2**63) + 1),
        "zero": ints(0), "back": ints(-1), "minus": ints(-1),
    }  # fmt: skip
    assert ops_of(check(tmp_path, parse(text, weights=weights)).graph) == ["Pad"]


def test_branch_with_a_known_condition(tmp_path: Path) -> None:
    then = helper.make_graph(
        [helper.make_node("Squeeze", ["x", "axis"], ["inside"])], "then", [],
        [helper.make_tensor_value_info("inside", TensorProto.FLOAT, None)],
    )  # fmt: skip
    other = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["outside"])], "else", [],
        [helper.make_tensor_value_info("outside", TensorProto.FLOAT, None)],
    )  # fmt: skip
    text = "g (float[1,1,4] x) => (float y) { s = Shape(x) d = Gather(s, axis) c = Equal(d, one) y = Relu(x) }"
    model = parse(text, weights={"axis": ints(1), "one": ints(1)})
    del model.graph.node[-1]
    model.graph.node.append(helper.make_node("If", ["c"], ["r"], then_branch=then, else_branch=other))
    model.graph.node.append(helper.make_node("Relu", ["r"], ["y"]))
    assert ops_of(check(tmp_path, model).graph) == ["Reshape", "Unary"]


def test_model_local_functions_are_inlined(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 18, "local" : 1]>
    g (float[1,4] x) => (float[1,4] y) { y = local.twice <alpha = 0.3> (x) }
    <opset_import: ["" : 18], domain: "local">
    twice <alpha> (a) => (c) { b = LeakyRelu <alpha: float = @alpha> (a) c = Add(b, b) }"""
    imported = check(tmp_path, onnx.parser.parse_model(text))
    assert ops_of(imported.graph) == ["Unary", "Add"]


def test_unused_outputs_and_dead_nodes_are_dropped(tmp_path: Path) -> None:
    text = """g (float[1,4] x) => (float y) {
        y, mask = Dropout(x)
        dead = NonZero(x)
    }"""
    imported = import_model(tmp_path, parse(text))
    assert ops_of(imported.graph) == ["Reshape"]  # an output of its own for what is the input


def test_unused_input_is_left_out(tmp_path: Path) -> None:
    imported = check(tmp_path, parse("g (float[1,4] x, float[1,2] u) => (float y) { y = Relu(x) }"))
    assert imported.graph.inputs == ("x",)
    assert any('"u" is not used' in n for n in imported.notes)


def test_old_models_list_weights_among_the_inputs(tmp_path: Path) -> None:
    model = parse("g (float[1,4] x, float[4] w) => (float y) { y = Add(x, w) }", opset=11, weights={"w": arr(4)}, ir=3)
    imported = check(tmp_path, model)
    assert imported.graph.inputs == ("x",)


def test_one_tensor_as_two_outputs(tmp_path: Path) -> None:
    imported = check(tmp_path, parse("g (float[1,4] x) => (float y, float z) { y = Relu(x) z = Identity(y) }"))
    assert imported.graph.outputs == ("y", "z")


def test_unsorted_nodes_are_sorted(tmp_path: Path) -> None:
    model = parse("g (float[1,4] x) => (float y) { h = Exp(x) y = Neg(h) }")
    nodes = list(reversed(model.graph.node))
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    imported = check(tmp_path, model)
    assert any("sorted" in n for n in imported.notes)


def test_batchnorm_in_training_mode_is_read_as_inference(tmp_path: Path) -> None:
    weights = [arr(3), arr(3), arr(3), np.abs(arr(3)) + F(0.1)]
    model = one_node("BatchNormalization", (1, 3, 4), weights, outputs=3, training_mode=1)
    del model.graph.output[1:]
    imported = check(tmp_path, model)
    assert any("training mode" in n for n in imported.notes)


def test_fixed_batch(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a batch of 8"):
        import_model(tmp_path, one_node("Relu", (8, 4)))
    assert check(tmp_path, one_node("Relu", (8, 4)), input_shapes={"x0": (1, 4)}).graph.in_ports[0].shape == (1, 4)


def test_half_and_double_precision(tmp_path: Path) -> None:
    for dtype, elem in ((np.float16, TensorProto.FLOAT16), (np.float64, TensorProto.DOUBLE)):
        model = one_node("Add", (1, 4), [arr(4).astype(dtype)])
        model.graph.input[0].type.tensor_type.elem_type = elem
        model.graph.output[0].type.tensor_type.elem_type = elem
        imported = check(tmp_path, model, tolerance=2e-3)
        assert imported.input_types == (np.dtype(dtype).name,)
        assert any("read as float32" in n for n in imported.notes)


def test_pads_end_up_in_the_window(tmp_path: Path) -> None:
    graph = check(tmp_path, one_node("Conv", (1, 2, 7, 8), [arr(3, 2, 4, 3)], auto_pad="SAME_UPPER")).graph
    conv = next(n.op for n in graph.nodes if isinstance(n.op, Conv))
    assert conv.window.pads == (1, 1, 2, 1)
    pool = import_model(
        tmp_path, one_node("MaxPool", (1, 1, 5, 5), kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    ).graph
    window = next(n.op for n in pool.nodes if isinstance(n.op, MaxPool)).window
    assert window.pads == (0, 0, 1, 1)


# Limits ---------------------------------------------------------------------------------------------------------------

_STATS = [arr(3), arr(3), arr(3)]
LIMITS = [
    ("four spatial axes", one_node("Conv", (1, 2, 3, 3, 3, 3), [arr(2, 2, 2, 2, 2, 2)]),
     "One to three spatial axes; found 4"),
    ("three axes transposed", one_node("ConvTranspose", (1, 2, 5, 5, 5), [arr(2, 2, 3, 3, 3)]),
     "One or two spatial axes; found 3"),
    ("many images", one_node("Conv", (65, 2, 5, 5), [arr(2, 2, 3, 3)]), "65 images"),
    ("computed weights", one_node("Conv", [(1, 2, 5, 5), (3, 2, 2, 2)]), "The weights are constant"),
    ("Indices", one_node("MaxPool", (1, 2, 5, 5), outputs=2, kernel_shape=[2, 2]), "Only the first output"),
    ("pads", one_node("MaxPool", (1, 2, 5, 5), kernel_shape=[2, 2], pads=[2, 0, 0, 0]), "smaller than the window"),
    ("statistics", one_node("BatchNormalization", [(1, 3, 4), (3,)], _STATS), "mean and variance are constant"),
    ("channels", one_node("Resize", (1, 2, 4, 4), [None, np.array([1, 2, 2, 2], F)], mode="linear"), "resizing axes"),
    ("indices", parse("g (float[1,4] x) => (float y) { i = ArgMax<axis=1>(x) y = Gather<axis=1>(x, i) }"),
     "The indices are constant"),
    ("integer quotient", parse("g (int16[1,4] x) => (int16 y) { y = Div(x, k) }",
                               weights={"k": np.array([3], np.int16)}),
     "division of integers"),
    ("codes of 16 bits", parse("g (int16[1,4] x) => (float y) { y = DequantizeLinear(x, s, z) }", opset=21,
                               weights={"s": F(0.5), "z": np.array(-7, np.int16)}), "int16"),
    ("division by zero", one_node("Div", (1, 4), [np.array([1, 0, 1, 1], F)]), "holds zeros"),
    ("power", one_node("Pow", (1, 4), [arr(4)]), "a constant of one value"),
    ("byte", parse("g (float[1,4] x) => (uint8 y) { y = Cast<to=2>(x) }"), "a cast of float32 to uint8"),
    ("long softmax", one_node("Softmax", (1, 5000)), "at most 4096"),
    ("long argmax", parse("g (float[1,300] x) => (int64 y) { y = ArgMax<axis=1>(x) }"), "at most 256"),
    ("reshape", one_node("Reshape", (1, 6), [ints(4, -1)]), "cannot become"),
    ("computed shape", parse("g (float[1,4] x) => (float y) { i = Cast<to=7>(x) y = Reshape(x, i) }"),
     "the new shape is computed from the input"),
    ("infinite operand", one_node("Mul", (1, 4), [np.array(np.inf, F)]), "NaN or infinite"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "expected"), [pytest.param(m, e, id=i) for i, m, e in LIMITS])
def test_limits(model: Any, expected: str, tmp_path: Path) -> None:
    given = {i.name: tuple(d.dim_value for d in i.type.tensor_type.shape.dim) for i in model.graph.input}
    given = {k: v for k, v in given.items() if k.startswith("x")}
    with pytest.raises(ModelError) as caught:
        import_model(tmp_path, model, input_shapes=given)
    assert expected in str(caught.value)
    assert "what would help" in str(caught.value)
    assert not gaps_in(caught.value)


def test_every_refusal_says_what_to_do(tmp_path: Path) -> None:
    weights = [np.ones(3, np.float32), np.zeros(3, np.float32)]
    with pytest.raises(UnsupportedError) as caught:
        import_model(tmp_path, one_node("GroupNormalization", (1, 4, 5), weights, opset=21, num_groups=3))
    (problem,) = caught.value.problems
    assert problem.what == "4 channels in 3 groups"
    assert "onnx.checker" in problem.help


def test_bfloat16_is_float32(tmp_path: Path) -> None:
    """Its upper half: in weights, constants, casts and types. onnxruntime has hardly an operator of it."""
    weights = {"w": np.array([[1.5, -2.25], [0.125, 3.0]], np.float32)}
    text = """g (bfloat16[1,2] x) => (float y)
        { h = Cast<to = 16>(w) a = MatMul(x, h) c = Constant<value = bfloat16[1] {16320}>() b = Add(a, c)
          y = Cast<to = 1>(b) }"""
    model = parse(text, weights=weights)
    imported = import_model(tmp_path, model)
    assert "bfloat16 is read as float32" in imported.graph.notes
    x = np.array([[0.5, -1.0]], np.float32)
    (y,) = run_ours(imported, {"x": x})
    np.testing.assert_allclose(y, x @ weights["w"] + 1.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "count", "kw", "at"),
    [
        ((1, 6, 5), 2, {}, np.array([4])),
        ((1, 6, 5), 3, {"mode": "circular"}, np.array([4])),
        ((1, 5, 6), 1, {"axis": 2}, None),
    ],
)
def test_a_cache_that_is_written_where_it_is_known(
    shape: tuple[int, ...], count: int, kw: dict[str, Any], at: np.ndarray | None, tmp_path: Path
) -> None:
    """TensorScatter of a constant position, or none; those that come in: tests/flow/test_states.py."""
    axis = kw.get("axis", -2) % 3
    update = tuple(count if i == axis else d for i, d in enumerate(shape))
    model = one_node("TensorScatter", [shape, update], [] if at is None else [at], opset=24, **kw)
    assert "Insert" not in ops_of(check(tmp_path, model).graph)


def test_a_cache_of_too_many_positions(tmp_path: Path) -> None:
    text = """g (float[1,300,4] x, float[1,1,4] u, int64[1] at) => (float y) { y = TensorScatter(x, u, at) }"""
    with pytest.raises(UnsupportedError, match="at most 256 positions"):
        import_model(tmp_path, parse(text, opset=24, ir=10))
