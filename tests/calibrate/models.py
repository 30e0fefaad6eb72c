"""Small ONNX models for these tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tinygen.numerics import Array


def model(
    nodes: Sequence[Any],
    inputs: dict[str, tuple[int, ...]],
    outputs: Sequence[str],
    consts: dict[str, Array] | None = None,
) -> bytes:
    """Float inputs of the given shapes; outputs of whatever shape they have."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(a, name) for name, a in (consts or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def scale_and_relu() -> bytes:
    """x (1, 4) -> twice = 2 x -> positive = relu(twice)."""
    return model(
        [
            helper.make_node("Mul", ["x", "two"], ["twice"], name="mul"),
            helper.make_node("Relu", ["twice"], ["positive"], name="relu"),
        ],
        {"x": (1, 4)},
        ["positive", "twice"],
        {"two": np.array(2, dtype=np.float32)},
    )
