"""Small ONNX networks that between them reach every part of the emitted code, and every pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Shape = tuple[int, ...]


class Net:
    """Nodes in the order they are added; weights come from a seeded generator."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.inputs: list[Any] = []

    def input(self, name: str, *shape: int) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def const(self, value: Any, dtype: str = "float32") -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def weight(self, *shape: int) -> str:
        """Normal weights with the gain that keeps the variance of activations."""
        fan_in = int(np.prod(shape[1:])) or 1
        return self.const(self.rng.normal(size=shape) / np.sqrt(fan_in))

    def op(self, kind: str, *inputs: str, name: str | None = None, outputs: int = 1, **attributes: Any) -> Any:
        name = name or f"/{kind.lower()}_{len(self.nodes)}/{kind}"
        results = [f"{name}_out{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, results, name=name, **attributes))
        return results[0] if outputs == 1 else results

    def conv(self, x: str, in_c: int, out_c: int, kernel: Sequence[int], groups: int = 1, **attributes: Any) -> str:
        w, b = self.weight(out_c, in_c // groups, *kernel), self.weight(out_c)
        result: str = self.op("Conv", x, w, b, kernel_shape=list(kernel), group=groups, **attributes)
        return result

    def dense(self, x: str, n_in: int, n_out: int, **attributes: Any) -> str:
        result: str = self.op("Gemm", x, self.weight(n_out, n_in), self.weight(n_out), transB=1, **attributes)
        return result

    def bn(self, x: str, channels: int) -> str:
        values = [self.rng.uniform(0.5, 1.5, channels), self.rng.normal(size=channels), self.rng.normal(size=channels)]
        values.append(self.rng.uniform(0.5, 1.5, channels))
        result: str = self.op("BatchNormalization", x, *(self.const(v) for v in values))
        return result

    def model(self, *outputs: str, opset: int = 17) -> ModelProto:
        values = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, values, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 8
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model)
        return model


def conv_net() -> ModelProto:
    """Image in, probabilities out: stem, depthwise, BatchNorm, residual, concat of branches, squeeze and excite."""
    n = Net(1)
    x = n.input("image", 1, 3, 10, 8)
    x = n.op("Relu", n.conv(x, 3, 8, (3, 3), pads=[1, 1, 1, 1], strides=[2, 2]), name="/stem/Relu")
    y = n.bn(n.conv(x, 8, 8, (3, 3), groups=8, pads=[1, 1, 1, 1]), 8)
    y = n.op("Clip", y, n.const(0.0), n.const(6.0))
    y = n.conv(y, 8, 8, (1, 1))
    x = n.op("Relu", n.op("Add", x, y, name="/block/Add"))
    s = n.op("GlobalAveragePool", x)
    s = n.op("HardSigmoid", n.conv(n.op("Relu", n.conv(s, 8, 4, (1, 1))), 4, 8, (1, 1)), alpha=1 / 6, beta=0.5)
    x = n.op("Mul", x, s, name="/se/Mul")
    a, b = n.conv(x, 8, 4, (1, 1)), n.conv(x, 8, 4, (3, 3), pads=[1, 1, 1, 1])
    x = n.op("Relu", n.op("Concat", a, b, axis=1, name="/branches/Concat"))
    x = n.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = n.dense(n.op("Flatten", x), 8 * 2 * 2, 5)
    return n.model(n.op("Softmax", x, axis=1, name="/head/Softmax"))


def wave_net() -> ModelProto:
    """A 1-D network: strided, dilated and asymmetrically padded convolutions, average pooling, a dense end."""
    n = Net(2)
    x = n.input("signal", 1, 4, 30)
    x = n.op("Relu", n.conv(x, 4, 8, (5,), strides=[2], pads=[2, 1]))
    x = n.op("Relu", n.conv(x, 8, 8, (3,), dilations=[2], pads=[2, 2]))
    x = n.conv(x, 8, 8, (3,), groups=8, pads=[1, 1])
    x = n.op("LeakyRelu", x, alpha=0.1)
    x = n.op("AveragePool", x, kernel_shape=[3], strides=[2], pads=[1, 0], count_include_pad=1)
    return n.model(n.dense(n.op("Flatten", x), 8 * 7, 3))


def dense_net() -> ModelProto:
    """MatMul and Add, Gemm, table functions."""
    n = Net(3)
    x = n.input("x", 1, 12)
    x = n.op("Relu", n.op("Add", n.op("MatMul", x, n.weight(12, 16)), n.weight(16)))
    x = n.op("Tanh", n.dense(x, 16, 9))
    return n.model(n.dense(x, 9, 4))


def several_net() -> ModelProto:
    """Two inputs, three outputs: an image, an image in another layout and scores."""
    n = Net(4)
    image, hint = n.input("image", 1, 2, 6, 5), n.input("hint", 1, 7)
    x = n.op("Relu", n.conv(image, 2, 4, (3, 3), pads=[1, 1, 1, 1]))
    h = n.op("Reshape", n.dense(hint, 7, 4), n.const([1, 4, 1, 1], "int64"))
    x = n.op("Add", x, n.op("Sigmoid", h))
    mask = n.op("Sigmoid", n.conv(x, 4, 3, (1, 1)))
    last = n.op("Transpose", n.conv(x, 4, 2, (1, 1)), perm=[0, 2, 3, 1])
    scores = n.dense(n.op("Flatten", n.op("GlobalAveragePool", x)), 4, 6)
    return n.model(mask, scores, last)


def mixed_net() -> ModelProto:
    """PRelu, explicit pads, split, gather, slice, resize both ways, transposed convolution, mean, argmax."""
    n = Net(5)
    x = n.input("image", 1, 4, 6, 6)
    x = n.op("Pad", x, n.const([0, 0, 1, 0, 0, 0, 0, 1], "int64"))
    x = n.op("PRelu", n.conv(x, 4, 6, (2, 2)), n.const(n.rng.uniform(0.1, 0.4, (6, 1, 1))))
    a, b = n.op("Split", x, axis=1, outputs=2)
    a = n.op("Gather", a, n.const([2, 0], "int64"), axis=1)
    b = n.op("Slice", b, n.const([1], "int64"), n.const([3], "int64"), n.const([1], "int64"))
    a = n.op("Resize", a, "", n.const([1.0, 1.0, 2.0, 2.0]), mode="nearest")
    b = n.op("Resize", b, "", n.const([1.0, 1.0, 2.0, 2.0]), mode="linear")
    x = n.op("Sub", n.const(1.0), n.op("Mul", a, b))
    x = n.op("ConvTranspose", x, n.weight(2, 3, 3, 3), n.weight(3), strides=[2, 2], pads=[1, 1, 1, 1])
    mean = n.op("ReduceMean", x, axes=[2, 3], keepdims=0)
    return n.model(x, n.op("LogSoftmax", mean, axis=1))


def nasty_net() -> ModelProto:
    """Names that would end comments, continue lines, leave ASCII, or run over the margin."""
    n = Net(6)
    x = n.input('in*/ put"\\', 1, 3, 5, 5)
    w, b = n.weight(4, 3, 3, 3), n.weight(4)
    x = n.op("Conv", x, w, b, name="model/*evil*/ schön ??/\\")
    x = n.op("Relu", x, name="/".join(["a_very_long_scope_name"] * 12))
    x = n.op("Flatten", x, name="9 lives\nand a new line")
    return n.model(n.dense(x, 36, 3, name="int"))


def normalised_net() -> ModelProto:
    """Normalisations in front: an image's channels, features by one mean, samples with a factor below 0."""
    n = Net(6)
    image = n.op("Sub", n.input("image", 1, 3, 6, 5), n.const([[[123.7]], [[116.3]], [[103.5]]]))
    image = n.op("Div", image, n.const([[[58.4]], [[57.1]], [[57.4]]]))
    image = n.op("Relu", n.conv(image, 3, 4, (3, 3), pads=[1, 1, 1, 1]))
    features = n.op("Div", n.op("Sub", n.input("features", 1, 7), n.const(127.5)), n.const(127.5))
    samples = n.op("Mul", n.input("samples", 1, 4, 2), n.const([-0.25, 1000.0]))
    samples = n.op("Add", samples, n.const([1.5, -2.0]))
    parts = [
        n.op("Flatten", n.op("GlobalAveragePool", image)),
        n.op("Relu", n.dense(features, 7, 7)),
        n.op("Flatten", samples),
    ]
    return n.model(n.dense(n.op("Concat", *parts, axis=1), 19, 5))


def parts_net() -> ModelProto:
    """A detector's output: centres, sizes and scores of very different range for each cell; and one of one scale."""
    n = Net(7)
    x = n.op("Relu", n.conv(n.input("x", 1, 3, 6, 5), 3, 6, (3, 3), pads=[1] * 4))
    centres = n.op("Mul", n.conv(x, 6, 2, (1, 1)), n.const(300.0))
    sizes = n.op("Mul", n.op("Relu", n.conv(x, 6, 2, (1, 1))), n.const(20.0))
    joined = n.op("Concat", centres, n.op("Sigmoid", n.conv(x, 6, 3, (1, 1))), sizes, axis=1)
    joined = n.op("Reshape", n.op("Transpose", joined, perm=[0, 2, 3, 1]), n.const([1, 30, 7], "int64"))
    return n.model(joined, n.dense(n.op("Flatten", n.op("GlobalAveragePool", x)), 6, 3))


NETS: dict[str, Callable[[], ModelProto]] = {
    "conv": conv_net,
    "wave": wave_net,
    "dense": dense_net,
    "several": several_net,
    "mixed": mixed_net,
    "nasty": nasty_net,
    "normalised": normalised_net,
    "parts": parts_net,
}
