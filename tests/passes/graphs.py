"""ONNX patterns that passes look for, read into FLOAT graphs, and how to compare two graphs in onnxruntime."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import ModelProto

from tests.emit.nets import NETS, Net
from tests.ops.graphs import CASES, case_graph
from tinygen.calibrate.floatrun import FloatModel
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import Graph, Op
from tinygen.numerics import Array


def read(model: ModelProto) -> Graph:
    """A model as the importer gives it: before any pass."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        path.write_bytes(model.SerializeToString())
        return read_onnx(path, name="net").graph


def ops(graph: Graph, *kinds: type[Op]) -> list[Op]:
    """Operators in execution order; only those of the given types, if any."""
    return [n.op for n in graph.nodes if not kinds or isinstance(n.op, kinds)]


def names(graph: Graph) -> list[str]:
    """Class names of the operators, in execution order."""
    return [type(n.op).__name__ for n in graph.nodes]


def outputs(graph: Graph, samples: int = 3, seed: int = 0) -> list[Array]:
    """Float outputs in the ONNX layout on random ONNX inputs: what a pass may change by rounding only."""
    rng = np.random.default_rng(seed)
    ins = [p.to_tensor((2 * rng.normal(size=(samples, *p.shape))).astype(np.float32)) for p in graph.in_ports]
    model = FloatModel(to_onnx(graph))
    found = dict(zip(model.output_names, model.run_many(ins), strict=True))
    return [p.to_onnx(found[n]) for n, p in zip(graph.outputs, graph.out_ports, strict=True)]


def assert_same(before: Graph, after: Graph, tolerance: float) -> None:
    """The same ports, and outputs that differ by `tolerance` of their largest magnitude at most."""
    assert [p.name for p in before.in_ports] == [p.name for p in after.in_ports]
    assert [(p.name, p.shape) for p in before.out_ports] == [(p.name, p.shape) for p in after.out_ports]
    for want, got in zip(outputs(before), outputs(after), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * max(1.0, float(np.abs(want).max())))


def bn_first() -> ModelProto:
    """A BatchNorm on the input, which no layer can take."""
    n = Net(10)
    return n.model(n.op("Relu", n.bn(n.input("x", 1, 3, 5, 4), 3)))


def scales() -> ModelProto:
    """Scales and offsets before, behind and between layers with weights."""
    n = Net(11)
    x = n.input("x", 1, 3, 6, 6)
    x = n.op("Div", n.op("Sub", x, n.const([[[0.5]], [[0.4]], [[0.3]]])), n.const([[[2.0]], [[3.0]], [[4.0]]]))
    x = n.op("Mul", n.conv(x, 3, 4, (3, 3)), n.const(n.rng.normal(size=(1, 4, 1, 1))))
    x = n.op("Relu", n.op("Add", x, n.const(n.rng.normal(size=(4, 1, 1)))))
    x = n.op("Sub", n.const(n.rng.normal(size=(4, 1, 1))), n.conv(x, 4, 4, (1, 1)))
    x = n.op("ConvTranspose", x, n.weight(4, 2, 2, 2), n.weight(2), strides=[2, 2])
    return n.model(n.op("Mul", n.bn(x, 2), n.const(-0.5)))


def residual() -> ModelProto:
    """Two residual blocks with BatchNorm and a projection."""
    n = Net(12)
    x = n.op("Relu", n.conv(n.input("x", 1, 3, 8, 8), 3, 4, (3, 3), pads=[1] * 4))
    for in_c, out_c in ((4, 4), (4, 6)):
        y = n.op("Relu", n.bn(n.conv(x, in_c, out_c, (3, 3), pads=[1] * 4), out_c))
        y = n.bn(n.conv(y, out_c, out_c, (3, 3), pads=[1] * 4), out_c)
        x = x if in_c == out_c else n.conv(x, in_c, out_c, (1, 1))
        x = n.op("Relu", n.op("Add", y, x))
    x = n.op("AveragePool", x, kernel_shape=[8, 8])
    return n.model(n.dense(n.op("Reshape", x, n.const([1, -1], "int64")), 6, 3))


def squeeze_excite() -> ModelProto:
    """As MobileNetV3 has it, with ReduceMean instead of a pool."""
    n = Net(13)
    x = hard_swish(n, n.conv(n.input("x", 1, 3, 8, 6), 3, 8, (3, 3), strides=[2, 2], pads=[1] * 4))
    s = n.op("ReduceMean", x, axes=[2, 3], keepdims=1)
    s = n.op("Relu", n.conv(s, 8, 4, (1, 1)))
    s = n.op("HardSigmoid", n.conv(s, 4, 8, (1, 1)), alpha=1 / 6, beta=0.5)
    x = n.op("Mul", s, x)
    x = n.op("Flatten", n.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 1]))
    return n.model(hard_swish(n, n.dense(x, 8 * 2 * 2, 7)))


def hard_swish(n: Net, x: str) -> str:
    """x * clip(x + 3, 0, 6) / 6."""
    y = n.op("Clip", n.op("Add", x, n.const(3.0)), n.const(0.0), n.const(6.0))
    result: str = n.op("Div", n.op("Mul", x, y), n.const(6.0))
    return result


def decoder() -> ModelProto:
    """Dense, Relu, reshape to an image, transposed convolutions; a skip from the code."""
    n = Net(14)
    z = n.input("code", 1, 6)
    x = n.op("Relu", n.dense(z, 6, 4 * 3 * 2))
    x = n.op("Reshape", x, n.const([1, 4, 3, 2], "int64"))
    x = n.op("Relu", n.op("ConvTranspose", x, n.weight(4, 3, 3, 3), n.weight(3), strides=[2, 2], pads=[1, 1, 0, 0]))
    x = n.op("Resize", x, "", n.const([1.0, 1.0, 2.0, 2.0]), mode="nearest")
    return n.model(n.op("Sigmoid", n.conv(x, 3, 1, (3, 3), pads=[1] * 4)))


def unet() -> ModelProto:
    """Down, up and a concatenation across; channels-last input and output around channels-first convolutions."""
    n = Net(15)
    x = n.op("Transpose", n.input("x", 1, 8, 8, 2), perm=[0, 3, 1, 2])
    a = n.op("Relu", n.conv(x, 2, 4, (3, 3), pads=[1] * 4))
    b = n.op("Relu", n.conv(n.op("MaxPool", a, kernel_shape=[2, 2], strides=[2, 2]), 4, 6, (3, 3), pads=[1] * 4))
    b = n.op("Resize", b, "", n.const([1.0, 1.0, 2.0, 2.0]), mode="linear")
    x = n.conv(n.op("Concat", a, b, axis=1), 10, 3, (1, 1))
    return n.model(n.op("Softmax", n.op("Transpose", x, perm=[0, 2, 3, 1]), axis=3))


def activations() -> ModelProto:
    """Hard swish, GELU, swish, mish and a squared difference, each after a layer."""
    n = Net(16)
    x = n.input("x", 1, 5)
    x = hard_swish(n, n.dense(x, 5, 6))
    x = n.dense(x, 6, 6)
    erf = n.op("Erf", n.op("Div", x, n.const(2**0.5)))
    x = n.op("Mul", n.op("Mul", x, n.op("Add", erf, n.const(1.0))), n.const(0.5))
    x = n.dense(x, 6, 6)
    x = n.dense(n.op("Mul", x, n.op("Sigmoid", x)), 6, 6)
    x = n.dense(n.op("Mul", x, n.op("Tanh", n.op("Softplus", x))), 6, 6)
    d = n.op("Sub", x, n.const(0.25))
    return n.model(n.op("Mul", d, d))


def clamps() -> ModelProto:
    """Clamps over clamps, and behind operators that only move values."""
    n = Net(17)
    x = n.op("Relu", n.conv(n.input("x", 1, 2, 8, 8), 2, 4, (3, 3)))
    x = n.op("Clip", x, n.const(0.0), n.const(6.0))
    x = n.op("MaxPool", n.conv(x, 4, 4, (1, 1)), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    x = n.op("Relu", x)
    x = n.op("Relu", n.op("Reshape", n.conv(x, 4, 2, (1, 1)), n.const([1, 18], "int64")))
    return n.model(n.op("Clip", n.dense(x, 18, 4), n.const(-0.5), n.const(0.25)))


def pads() -> ModelProto:
    """Zero padding in front of a convolution, a depthwise one and average pools of both kinds."""
    n = Net(18)
    around = n.const([0, 0, 1, 0, 0, 0, 0, 1], "int64")
    x = n.op("Pad", n.input("x", 1, 4, 7, 7), n.const([0, 0, 1, 2, 0, 0, 2, 1], "int64"))
    x = n.op("Pad", n.conv(x, 4, 4, (3, 3), pads=[1] * 4), around)
    x = n.op("Pad", n.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]), around)
    x = n.op("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    x = n.op("Pad", x, around)
    x = n.op("AveragePool", x, kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1)
    return n.model(n.op("Pad", x, around, n.const(1.5)))


def sequence() -> ModelProto:
    """A 1-D network as PyTorch writes it for channels-last data: transposes and squeezes in the middle."""
    n = Net(19)
    x = n.op("Transpose", n.input("x", 1, 12, 3), perm=[0, 2, 1])
    x = n.op("Relu", n.bn(n.conv(x, 3, 6, (3,), pads=[1, 1]), 6))
    x = n.op("Transpose", n.op("MaxPool", x, kernel_shape=[2], strides=[2]), perm=[0, 2, 1])
    x = n.op("Add", n.op("MatMul", x, n.weight(6, 4)), n.weight(4))
    x = n.op("ReduceMax", n.op("Transpose", x, perm=[0, 2, 1]), axes=[2], keepdims=0)
    return n.model(n.dense(x, 4, 2))


def maxima() -> ModelProto:
    """Maxout between convolutions, a floor for each channel, a leaky relu written as Max."""
    n = Net(35)
    x = n.input("x", 1, 3, 6, 6)
    x = n.op("Max", n.conv(x, 3, 4, (3, 3)), n.conv(x, 3, 4, (3, 3)))
    x = n.op("Min", n.const(n.rng.normal(size=(4, 1, 1))), n.conv(x, 4, 4, (1, 1)))
    x = n.conv(x, 4, 4, (3, 3))
    x = n.conv(n.op("Max", x, n.op("Mul", x, n.const(0.1))), 4, 2, (1, 1))
    return n.model(n.op("Max", x, n.op("ReduceMean", x, axes=[2, 3], keepdims=1)))


def logarithms() -> ModelProto:
    """log-sum-exp and log-softmax written out: over channels, over the last axis, with the maximum taken off first."""
    n = Net(36)
    x = n.conv(n.input("x", 1, 3, 6, 6), 3, 4, (3, 3))
    over = n.op("Log", n.op("ReduceSum", n.op("Exp", x), n.const([1], "int64")))
    rows = n.op("Mul", n.input("rows", 1, 8, 8), n.const(0.5))
    last = n.const([-1], "int64")
    top = n.op("ReduceMax", rows, axes=[-1])
    lse = n.op("Log", n.op("ReduceSum", n.op("Exp", n.op("Sub", rows, top)), last))
    plain = n.op("Log", n.op("ReduceSum", n.op("Exp", rows), last))
    log_softmax = n.op("Log", n.op("Softmax", n.conv(x, 4, 4, (1, 1)), axis=1))
    return n.model(n.conv(over, 1, 2, (1, 1)), n.op("Add", lse, top), n.op("Sub", rows, plain), log_softmax)


def lengths() -> ModelProto:
    """Magnitudes written out: of a spectrum, whose real and imaginary parts come from one convolution, of two tensors,
    over an axis."""
    n = Net(37)
    spectrum = n.conv(n.input("x", 1, 1, 40), 1, 10, (8,), strides=[4], pads=[0, 0])
    ends = [(0, 5), (5, 10)]
    parts = [n.op("Slice", spectrum, *(n.const([v], "int64") for v in (a, b, 1))) for a, b in ends]
    squares = [n.op("Pow", p, n.const(2.0)) for p in parts]
    y = n.conv(n.op("Sqrt", n.op("Add", *squares)), 5, 3, (3,), pads=[1, 1])
    z = n.op("Relu", n.conv(y, 3, 3, (1,)))
    both = n.op("Sqrt", n.op("Add", n.op("Mul", y, y), n.op("Mul", z, z)))
    rows = n.op("Sqrt", n.op("ReduceSum", n.op("Mul", z, z), n.const([2], "int64")))
    return n.model(n.conv(both, 3, 2, (1,)), rows)


def caches() -> ModelProto:
    """Rows of one convolution written into those of another, where a third tensor says."""
    n = Net(41)
    rows = n.conv(n.input("x", 1, 3, 8, 6), 3, 4, (3, 3), pads=[1, 1, 1, 1])
    new = n.conv(n.input("new", 1, 3, 2, 6), 3, 4, (1, 1))
    at = n.op("ArgMax", n.input("which", 1, 7), axis=1, keepdims=0)
    return n.model(n.conv(n.op("TensorScatter", rows, new, at, axis=2), 4, 2, (1, 1)), opset=24)


PATTERNS: dict[str, Callable[[], ModelProto]] = {
    f.__name__: f
    for f in (
        bn_first, scales, residual, squeeze_excite, decoder, unet, activations, clamps, pads, sequence,
        maxima, logarithms, lengths, caches,
    )
}  # fmt: skip
ONNX = {**NETS, **PATTERNS}
_CASES = dict(CASES)
GRAPHS = [*ONNX, *_CASES]


@functools.cache
def graph(name: str) -> Graph:
    """A golden FLOAT graph by name: a network as imported, or an operator's own case."""
    return read(ONNX[name]()) if name in ONNX else case_graph(_CASES[name])
