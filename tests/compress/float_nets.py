"""A small FLOAT network with layers of every kind, and samples whose inputs are correlated as real ones are."""

from __future__ import annotations

import numpy as np

from tinygen.calibrate.data import Samples
from tinygen.calibrate.floatrun import FloatModel
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir import invariants
from tinygen.ir.types import Graph, Node, Port, Stage, Tensor
from tinygen.numerics import Array
from tinygen.ops import Conv, Dense
from tinygen.ops.base import Operator
from tinygen.ops.move import Reshape
from tinygen.ops.spatial import Window

CONV, DEPTHWISE, POINTWISE, HIDDEN, HEAD = "conv", "dw", "pw", "hidden", "head"


def chain(shape: tuple[int, ...], steps: list[tuple[str, Operator, tuple[int, ...] | None]], seed: int) -> Graph:
    """Operators one after the other, each with the shape of its random weights, or None: it has none."""
    rng = np.random.default_rng(seed)
    tensors = {"x": Tensor("x", shape)}
    nodes, at = [], "x"
    for name, op, w in steps:
        inputs: tuple[str, ...] = (at,)
        if w is not None:
            fan_in = float(np.prod(w[1:]))
            tensors[f"{name}_w"] = Tensor.constant(f"{name}_w", rng.normal(0, fan_in**-0.5, w).astype(np.float32))
            tensors[f"{name}_b"] = Tensor.constant(f"{name}_b", rng.normal(0, 0.1, w[0]).astype(np.float32))
            inputs = (at, f"{name}_w", f"{name}_b")
        (out,) = op.infer(*(tensors[i].shape for i in inputs))
        tensors[f"{name}_y"] = Tensor(f"{name}_y", out)
        nodes.append(Node(name, op, inputs, (f"{name}_y",), (f"onnx/{name}",)))
        at = f"{name}_y"
    port_in, port_out = Port.plain("in", shape), Port.plain("out", tensors[at].shape)
    graph = Graph("net", Stage.FLOAT, tensors, tuple(nodes), ("x",), (at,), (port_in,), (port_out,))
    invariants.check(graph)
    return graph


def mixed(seed: int = 0) -> Graph:
    """conv 3x3, depthwise 3x3, pointwise, dense, dense."""
    one, pads = (1, 1), (1, 1, 1, 1)
    return chain(
        (1, 6, 6, 4),
        [
            (CONV, Conv(Window((3, 3), one, pads, one), 1, 0.0), (16, 3, 3, 4)),
            (DEPTHWISE, Conv(Window((3, 3), (2, 2), pads, one), 16, 0.0), (16, 3, 3, 1)),
            (POINTWISE, Conv(Window((1, 1), one, (0, 0, 0, 0), one), 1, 0.0), (40, 1, 1, 16)),
            ("flat", Reshape((1, 360)), None),
            (HIDDEN, Dense(0.0), (32, 360)),
            (HEAD, Dense(), (5, 32)),
        ],
        seed,
    )


def correlated(shape: tuple[int, ...], count: int, seed: int = 1) -> Samples:
    """Smooth images: every value is a mixture of few sources."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    mixing = rng.normal(size=(max(2, size // 6), size))
    x = rng.normal(size=(count, len(mixing))) @ mixing / len(mixing) ** 0.5 + 0.2 * rng.normal(size=(count, size)) + 0.5
    return Samples((x.reshape(count, *shape).astype(np.float32),), None, "", "made in the test")


def outputs(graph: Graph, samples: Samples) -> Array:
    """(n, values): what the network gives in onnxruntime."""
    feeds = [port.to_tensor(x) for port, x in zip(graph.in_ports, samples.inputs, strict=True)]
    return FloatModel(to_onnx(graph)).run_many(feeds)[0].reshape(samples.count, -1)


def distance(a: Graph, b: Graph, samples: Samples) -> float:
    """Power of the difference of two networks' outputs over that of the first's."""
    x, y = outputs(a, samples), outputs(b, samples)
    return float(((x - y) ** 2).sum() / ((x - x.mean(axis=0)) ** 2).sum())
