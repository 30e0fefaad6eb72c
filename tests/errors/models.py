"""Tiny networks, sound ones and broken ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from tinygen.numerics import Array

FLOAT = TensorProto.FLOAT
Dims = Sequence[int | str | None]


def weights(name: str, *shape: int, value: float | None = None) -> TensorProto:
    rng = np.random.default_rng(0)
    array = rng.standard_normal(shape).astype(np.float32)
    if value is not None:
        array.flat[1] = value
    return numpy_helper.from_array(array, name)


def ints(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def port(name: str, dims: Dims | None, elem: int = FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, elem, dims)


def node(op: str, ins: Sequence[str], outs: Sequence[str], name: str = "", **attributes: object) -> NodeProto:
    return helper.make_node(op, ins, outs, name=name or f"/{op.lower()}", **attributes)


def graph(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    constants: Sequence[TensorProto] = (),
) -> GraphProto:
    return helper.make_graph(nodes, "g", inputs, outputs, initializer=constants)


def model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    constants: Sequence[TensorProto] = (),
    opset: int = 17,
) -> ModelProto:
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph(nodes, inputs, outputs, constants), opset_imports=imports, ir_version=8)


def dense(
    *,
    input_: str = "x",
    output: str = "y",
    dims: Dims | None = (1, 8),
    w: TensorProto | None = None,
    b: int = 4,
    layer: str = "/fc/Gemm",
    opset: int = 17,
) -> ModelProto:
    """8 inputs, 4 outputs, one dense layer and a Relu."""
    return model(
        [
            node("Gemm", [input_, "w", "b"], ["h"], layer),
            node("Relu", ["h"], [output], "/relu"),
        ],
        [port(input_, dims)],
        [port(output, None)],
        [w or weights("w", 8, 4), weights("b", b)],
        opset,
    )


def conv(size: int = 8, channels: int = 3, filters: int = 4, kernel: int = 3) -> ModelProto:
    """An image (1, channels, size, size) to `filters` numbers."""
    return model(
        [
            node("Conv", ["x", "w"], ["c"], "/conv", kernel_shape=[kernel, kernel], pads=[kernel // 2] * 4),
            node("Relu", ["c"], ["r"]),
            node("GlobalAveragePool", ["r"], ["p"]),
            node("Flatten", ["p"], ["y"]),
        ],
        [port("x", (1, channels, size, size))],
        [port("y", (1, filters))],
        [weights("w", filters, channels, kernel, kernel)],
    )


def two_inputs(a: str = "a", b: str = "b") -> ModelProto:
    return model(
        [node("Add", [a, b], ["s"]), node("Gemm", ["s", "w"], ["y"])],
        [port(a, (1, 8)), port(b, (1, 8))],
        [port("y", (1, 4))],
        [weights("w", 8, 4)],
    )


def one(op: str, *, dims: Dims = (1, 8), constants: Sequence[TensorProto] = (), **attributes: object) -> ModelProto:
    """A single operator on the input and the constants, named after it."""
    ins = ["x", *(c.name for c in constants)]
    return model([node(op, ins, ["y"], f"/the_{op}", **attributes)], [port("x", dims)], [port("y", None)], constants)


def tensor(name: str, elem: int, dims: Sequence[int], raw: bytes) -> TensorProto:
    return TensorProto(name=name, data_type=elem, dims=dims, raw_data=raw)


def external(location: str, length: int = 128) -> TensorProto:
    t = TensorProto(name="w", data_type=FLOAT, dims=[8, 4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        entry = t.external_data.add()
        entry.key, entry.value = key, value
    return t


def samples(count: int, *shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)
