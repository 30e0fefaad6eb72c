"""Networks of one layer, as FIXED graphs: what single-layer measurements and the cost model are made of."""

from __future__ import annotations

import math
import random
import zlib
from dataclasses import dataclass, replace

import numpy as np

from tinygen.ir.types import DType, Graph, Node, Port, Quant, Stage, Tensor
from tinygen.numerics import Array
from tinygen.ops import (
    Add,
    ArgMax,
    Attention,
    AvgPool,
    Compare,
    Conv,
    ConvTranspose,
    Dense,
    Div,
    Expand,
    Extreme,
    Gather,
    Gru,
    Insert,
    LogSoftmax,
    LogSumExp,
    Lookup,
    Lstm,
    MatMul,
    MaxPool,
    Mul,
    Norm,
    Operator,
    Pad,
    PRelu,
    Recurrent,
    ReduceExtreme,
    ReduceL2,
    ReduceSum,
    Requantise,
    Reshape,
    Resize,
    Rnn,
    Slice,
    Softmax,
    Transpose,
    Unary,
)  # fmt: skip
from tinygen.ops.base import Shape
from tinygen.ops.recurrent import SIGMOID, TANH
from tinygen.ops.resize import Axis
from tinygen.ops.spatial import Window
from tinygen.passes.quantise import quantise, range_tensors

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Layer:
    """A FLOAT operator; `inputs` are shapes (activations) or arrays (constants). `bits`: of the weights, the second
    input, which keep their scales for it when there are fewer than 8. `wide`: tensors ("x0", "y") in int16."""

    name: str
    op: Operator
    inputs: tuple[Shape | Array, ...]
    bits: int = 8
    wide: tuple[str, ...] = ()

    def float_graph(self) -> Graph:
        """Inputs x0, x1, ..., outputs y, y1, ...; what only calibration sees is none."""
        tensors = [
            Tensor(f"x{i}", given) if isinstance(given, tuple) else Tensor.constant(f"k{i}", given)
            for i, given in enumerate(self.inputs)
        ]
        if self.bits < 8:
            most = np.abs(tensors[1].array.reshape(tensors[1].shape[0], -1)).max(axis=1) / ((1 << self.bits >> 1) - 1)
            tensors[1] = replace(tensors[1], quant=Quant(tuple(float(v) for v in most), 0, 0))
        shapes = self.op.infer(*(t.shape for t in tensors))
        types = self.op.types(*(t.dtype for t in tensors))
        outs = [Tensor(f"y{i or ''}", s, t) for i, (s, t) in enumerate(zip(shapes, types, strict=True))]
        shown = outs[: len(outs) - self.op.watched]
        inputs = tuple(t for t in tensors if t.const is None)
        node = Node("layer", self.op, tuple(t.name for t in tensors), tuple(t.name for t in outs), (self.name,))
        return Graph(
            "layers",
            Stage.FLOAT,
            {t.name: t for t in (*tensors, *outs)},
            (node,),
            tuple(t.name for t in inputs),
            tuple(t.name for t in shown),
            tuple(Port.plain(t.name, t.shape) for t in inputs),
            tuple(Port.plain(t.name, t.shape) for t in shown),
        )

    def graph(self) -> Graph:
        """The FIXED graph, with ranges that fit normal inputs and weights of size 1/sqrt(taps)."""
        graph = self.float_graph()
        relu = getattr(self.op, "lo", -math.inf) == 0.0
        top = min(3.0, getattr(self.op, "hi", math.inf))
        ranges = dict.fromkeys(range_tensors(graph), (-3.0, 3.0))
        if "y" in ranges and relu:
            ranges["y"] = (0.0, top)
        return quantise(graph, ranges, wide=self.wide)


@dataclass(frozen=True, eq=False)
class Rescaled(Layer):
    """From one scale to another by way of int32. `ends`: bits of the input and of the output, 16 or up to 32."""

    ends: Pair = (16, 32)

    def graph(self) -> Graph:
        """One node, in integers."""
        (shape,) = (s for s in self.inputs if isinstance(s, tuple))
        x, y = (
            Tensor(name, shape, DType.INT16 if bits == 16 else DType.INT32, Quant.per_tensor(2.0**-bits, 0, bits=bits))
            for name, bits in zip(("x0", "y"), self.ends, strict=True)
        )
        node = Node("layer", Requantise().quantise([x], [y]).op, ("x0",), ("y",), (self.name,))
        ports = (Port.plain("x0", shape),), (Port.plain("y", shape),)
        return Graph("layers", Stage.FIXED, {"x0": x, "y": y}, (node,), ("x0",), ("y",), *ports)


def _weights(name: str, *shape: int) -> Array:
    """Normal weights with unit gain; the seed is the layer's name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    taps = int(np.prod(shape[1:])) if len(shape) > 1 else 100
    return (rng.normal(size=shape) / math.sqrt(taps)).astype(np.float32)


def same_padding(size: Pair, kernel: Pair, strides: Pair) -> tuple[int, int, int, int]:
    """TensorFlow's "same": begin of both axes, then their ends."""
    begin, end = [], []
    for n, k, s in zip(size, kernel, strides, strict=True):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        begin.append(total // 2)
        end.append(total - total // 2)
    return (begin[0], begin[1], end[0], end[1])


def conv(
    size: Pair, channels: Pair, kernel: Pair = (3, 3), strides: Pair = (1, 1), *, same: bool = True, dil: int = 1,
    groups: int = 1, relu: bool = True, prefix: str = "conv",
) -> Layer:  # fmt: skip
    """A convolution of a `size` image from channels[0] to channels[1]."""
    reach = ((kernel[0] - 1) * dil + 1, (kernel[1] - 1) * dil + 1)
    pads = same_padding(size, reach, strides) if same else (0, 0, 0, 0)
    name = prefix if prefix == "pointwise" else f"{prefix} {kernel[0]}x{kernel[1]}"
    name += f" s{max(strides)}" if max(strides) > 1 else ""
    name += f" {channels[0]}->{channels[1]}, {size[0]}x{size[1]}"
    name += "" if same else " valid"
    name += f" dilated {dil}" if dil > 1 else ""
    name += f" {groups} groups" if 1 < groups < channels[0] else ""
    name += "" if relu else " linear"
    window = Window(kernel, strides, pads, (dil, dil))
    op = Conv(window, groups, 0.0 if relu else -math.inf)
    w = _weights(name, channels[1], *kernel, channels[0] // groups)
    return Layer(name, op, ((1, *size, channels[0]), w, 0.1 * _weights(f"{name} bias", channels[1])))


def pointwise(size: Pair, channels: Pair, *, relu: bool = True) -> Layer:
    return conv(size, channels, (1, 1), relu=relu, prefix="pointwise")


def depthwise(
    size: Pair, channels: int, kernel: Pair = (3, 3), strides: Pair = (1, 1), *, same: bool = True, mult: int = 1,
    dil: int = 1, relu: bool = True,
) -> Layer:  # fmt: skip
    return conv(
        size, (channels, channels * mult), kernel, strides, same=same, groups=channels, dil=dil, relu=relu,
        prefix="depthwise",
    )  # fmt: skip


def dense(n_in: int, n_out: int, rows: int = 1, *, relu: bool = True) -> Layer:
    name = f"dense {n_in}->{n_out}" + (f", {rows} rows" if rows > 1 else "") + ("" if relu else " linear")
    shape = (1, n_in) if rows == 1 else (1, rows, n_in)
    op = Dense(0.0 if relu else -math.inf)
    return Layer(name, op, (shape, _weights(name, n_out, n_in), 0.1 * _weights(f"{name} bias", n_out)))


def add(h: int, w: int, c: int, *, relu: bool = True) -> Layer:
    shape = (1, h, w, c)
    return Layer(f"add {h}x{w}x{c}" + ("" if relu else " linear"), Add(lo=0.0 if relu else -math.inf), (shape, shape))


def avgpool(size: Pair, channels: int, kernel: Pair | None = None, strides: Pair | None = None) -> Layer:
    """Of the whole image unless `kernel` says otherwise."""
    k = kernel or size
    name = f"avgpool {k[0]}x{k[1]} of {size[0]}x{size[1]}x{channels}"
    return Layer(name, AvgPool(Window(k, strides or k, (0, 0, 0, 0), (1, 1))), ((1, *size, channels),))


def maxpool(size: Pair, channels: int, kernel: Pair, strides: Pair | None = None, *, same: bool = False) -> Layer:
    s = strides or kernel
    name = f"maxpool {kernel[0]}x{kernel[1]} s{max(s)} of {size[0]}x{size[1]}x{channels}" + (" same" if same else "")
    pads = same_padding(size, kernel, s) if same else (0, 0, 0, 0)
    return Layer(name, MaxPool(Window(kernel, s, pads, (1, 1))), ((1, *size, channels),))


def lut(n: int) -> Layer:
    return Layer(f"lut {n}", Unary(("Tanh", "x"), "tanh"), ((1, n),))


def softmax(n: int, rows: int = 1) -> Layer:
    return Layer(f"softmax {rows}x{n}", Softmax(), ((1, n) if rows == 1 else (1, rows, n),))


def other_layers(rng: random.Random, h: int, w: int, c: int) -> list[Layer]:
    """One layer of every other operator."""
    x = (1, h, w, c)
    noise = np.random.default_rng(rng.randrange(2**32))

    def weights(*shape: int) -> Array:
        return noise.normal(size=shape).astype(np.float32)

    def layer(op: Operator, *inputs: tuple[int, ...] | Array) -> Layer:
        return Layer(f"{op.title} {h}x{w}x{c}", op, inputs)

    def recurrent(kind: type[Recurrent], steps: int, units: int, **more: bool) -> Layer:
        """One direction, with the functions that everybody takes."""
        usual = {"LSTM": (SIGMOID, TANH, TANH), "GRU": (SIGMOID, TANH), "RNN": (TANH,)}[kind.ONNX]
        rows = kind.GATES * units
        matrices = (weights(1, rows, few) / math.sqrt(few), weights(1, rows, units) / math.sqrt(units))
        states = ((1, units),) * kind.STATES if more.get("initial") else ()
        return layer(kind(units, (usual,), **more), (1, steps, few), *matrices, weights(1, 2 * rows) / 8, *states)

    k, s = rng.choice((2, 3)), rng.choice((1, 2))
    few = min(c, 24)
    transposed = ConvTranspose(Window((k, k), (s, s), (0, 0, 0, 0), (1, 1)), (0, 0))
    double = Axis.nearest(tuple(i // 2 for i in range(2 * h))), Axis.nearest(tuple(i // 2 for i in range(2 * w)))
    linear = tuple(
        Axis(tuple(i // 2 for i in range(2 * n)), tuple(min(i // 2 + 1, n - 1) for i in range(2 * n)),
             tuple(1024 if i % 2 else 0 for i in range(2 * n))) for n in (h, w)
    )  # fmt: skip
    classes = (1, h, min(c, 256))
    heads = 1 + h % 3
    picked = tuple(rng.randrange(h) for _ in range(rng.randint(1, h)))
    return [
        layer(transposed, (1, min(h, 8), min(w, 8), few), weights(few, k, k, few), weights(few)),
        layer(Add(), x, (1, 1, 1, c)), layer(Mul(), x, x), layer(Mul(), x, (1, 1, 1, c)),
        layer(Mul(), x, (1, h, w, 1)), layer(Add(), x, (1, h, 1, c)), layer(Extreme(True), x, x),
        layer(Compare(), x, x), layer(Compare("Equal"), x, (1, 1, 1, c)),
        layer(Extreme(False), x, x), layer(Extreme(True), x, (1, 1, 1, c)), layer(Extreme(False), x, (1, 1, 1, c)),
        layer(PRelu(), x, weights(c)), layer(ReduceSum((1, 2)), x), layer(ReduceSum((3,)), x),
        layer(ReduceSum((1, 2)), (1, 2 * h, 2 * w, min(c, 64))),
        layer(ReduceL2((1, 2)), x), layer(ReduceL2((3,)), x),
        layer(ReduceExtreme((1, 2)), x), layer(ReduceExtreme((3,)), x), layer(ReduceExtreme((1, 2), True, False), x),
        layer(ReduceExtreme((3,), True, False), x), layer(LogSoftmax(), classes), layer(LogSumExp(), classes),
        layer(ArgMax(), classes),
        layer(Resize(double), x), layer(Resize(linear, True), x),
        layer(Transpose((0, 3, 1, 2)), x), layer(Transpose((0, 2, 1, 3)), x),
        layer(Slice((0, 0, 0, 0), (1, 1, 1, 1), (1, h, w - 1, c)), x),
        layer(Slice((0, 0, 0, 0), (1, 1, 1, 1), (1, h, w, max(1, c - 1))), x),
        layer(Gather(1, picked), x), layer(Gather(2, (0, w - 1, 0)), x), layer(Gather(3, (0, c - 1)), x),
        layer(Lookup(), (1, h), weights(min(64, 4 * w), few)), layer(Lookup(), (1, w), weights(16, c)),
        layer(Insert(1), (1, 4 * w, c), (1, 1, c), (1,)), layer(Insert(2), (1, h, w, few), (1, h, 1, few), (1,)),
        layer(Expand((1, h, w, c)), (1, 1, 1, c)), layer(Expand((1, h, w, c)), (1, h, w, 1)),
        layer(Pad((0, 1, 1, 0, 0, 1, 1, 0)), x),
        recurrent(Lstm, h, 4 * w), recurrent(Lstm, 1, min(c, 32), initial=True), recurrent(Rnn, h, 2 * w),
        recurrent(Gru, h, 3 * w), recurrent(Gru, w, min(c, 32), before=True), recurrent(Gru, w, 5 * w, before=True),
        recurrent(Gru, 1, min(c, 32), before=True, initial=True),
        layer(Div(), x, x), layer(Div(), x, (1, h, w, 1)), layer(Div(), x, (1, 1, 1, c)),
        layer(Norm((3,)), x, weights(c), weights(c)), layer(Norm((1, 2)), x, weights(c), weights(c)),
        layer(Norm((3,), centre=False), x, weights(c), np.zeros(1, np.float32)),
        layer(MatMul(), (1, h, w, few), (1, h, few, w)), layer(MatMul((), (0, 1, 3, 2)), x, x),
        layer(Attention(heads, heads, 0.3), *[(1, h, heads * few)] * 3),
        layer(Attention(heads, heads, 0.3, causal=True), *[(1, min(h * w, 64), heads * 8)] * 3),
    ]  # fmt: skip


#: The layers of ../shared/KERNELS.md section 1, and what else the MLPerf Tiny networks are made of.
STUDY: tuple[Layer, ...] = (
    pointwise((25, 5), (64, 64)),
    pointwise((48, 48), (8, 16)),
    pointwise((24, 24), (16, 32)),
    pointwise((24, 24), (32, 32)),
    pointwise((12, 12), (32, 64)),
    pointwise((6, 6), (64, 128)),
    pointwise((6, 6), (128, 128)),
    pointwise((3, 3), (128, 256)),
    pointwise((3, 3), (256, 256)),
    depthwise((25, 5), 64),
    depthwise((48, 48), 8),
    depthwise((24, 24), 32),
    depthwise((12, 12), 64),
    depthwise((6, 6), 128),
    depthwise((3, 3), 256),
    depthwise((48, 48), 16, strides=(2, 2)),
    depthwise((24, 24), 32, strides=(2, 2)),
    depthwise((12, 12), 64, strides=(2, 2)),
    depthwise((6, 6), 128, strides=(2, 2)),
    depthwise((28, 1), 32, (5, 1), same=False),
    depthwise((24, 1), 128, (10, 1), same=False),
    conv((49, 10), (1, 64), (10, 4), (2, 2)),
    conv((32, 32), (3, 16)),
    conv((32, 32), (16, 16)),
    conv((16, 16), (32, 32)),
    conv((8, 8), (64, 64)),
    conv((32, 32), (16, 32), strides=(2, 2)),
    conv((16, 16), (32, 64), strides=(2, 2)),
    conv((32, 32), (16, 32), (1, 1), (2, 2)),
    conv((16, 16), (32, 64), (1, 1), (2, 2)),
    conv((96, 96), (3, 8), strides=(2, 2)),
    dense(640, 128),
    dense(128, 128),
    dense(128, 8),
    dense(8, 128),
    dense(128, 640, relu=False),
    dense(64, 12, relu=False),
    add(32, 32, 16),
    avgpool((25, 5), 64),
    avgpool((8, 8), 64),
    maxpool((16, 16), 32, (2, 2)),
    lut(1024),
    softmax(12),
)


def residual_network() -> Graph:
    """A small FIXED network with what the single layers leave out: layers that feed each other, a skip connection, and
    odd sizes. Ranges are guessed, as for `Layer.graph`."""
    parts = (
        ("a", conv((15, 13), (3, 16), strides=(2, 2)), ("x",)),
        ("b", depthwise((8, 7), 16), ("a",)),
        ("c", pointwise((8, 7), (16, 16), relu=False), ("b",)),
        ("d", add(8, 7, 16), ("a", "c")),
        ("e", pointwise((8, 7), (16, 22)), ("d",)),
        ("f", depthwise((8, 7), 22, strides=(2, 2)), ("e",)),
        ("g", conv((4, 4), (22, 24)), ("f",)),
        ("h", avgpool((4, 4), 24), ("g",)),
        ("i", Layer("flatten", Reshape((1, 24)), ((1, 1, 1, 24),)), ("h",)),
        ("j", dense(24, 10, relu=False), ("i",)),
        ("y", softmax(10), ("j",)),
    )
    tensors = [Tensor("x", (1, 15, 13, 3))]
    nodes = []
    for out, layer, ins in parts:
        weights = [Tensor.constant(f"{out}_{i}", w) for i, w in enumerate(layer.inputs) if not isinstance(w, tuple)]
        shapes = [g if isinstance(g, tuple) else g.shape for g in layer.inputs]
        tensors += [*weights, Tensor(out, layer.op.infer(*shapes)[0])]
        nodes.append(Node(out, layer.op, (*ins, *(w.name for w in weights)), (out,), (layer.name,)))
    graph = Graph(
        "residual",
        Stage.FLOAT,
        {t.name: t for t in tensors},
        tuple(nodes),
        ("x",),
        ("y",),
        (Port.plain("x", tensors[0].shape),),
        (Port.plain("y", (1, 10)),),
    )
    relu = {n.outputs[0] for n in nodes if getattr(n.op, "lo", -math.inf) == 0.0}
    return quantise(graph, {name: (0.0 if name in relu else -3.0, 3.0) for name in range_tensors(graph)})
