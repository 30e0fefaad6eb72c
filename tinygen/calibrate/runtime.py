"""The integers of a pre-quantised file as onnxruntime computes them, and whether its own arithmetic can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tinygen.calibrate.floatrun import FloatModel
from tinygen.errors import ModelError
from tinygen.numerics import Array


def with_outputs(model: bytes, names: Sequence[str]) -> FloatModel:
    """The model as written, its optimisations off, with the values `names` as further outputs."""
    proto = ModelProto.FromString(model)
    there = {o.name for o in proto.graph.output}
    proto.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in names if n not in there)
    return FloatModel(proto.SerializeToString(), as_written=True)


@lru_cache(maxsize=1)
def sums_are_exact() -> bool:
    """Does onnxruntime add products of 8-bit codes exactly on this processor?

    Without VNNI its kernels for uint8 times int8 add pairs of products in 16 bits, which saturate: 255 * 127 twice.
    """
    return all(_exact(x, w) for x, w in (("uint8", "int8"), ("uint8", "uint8"), ("int8", "int8")))


def _exact(x_kind: str, w_kind: str) -> bool:
    rng = np.random.default_rng(0)
    top, edge = np.iinfo(x_kind), np.iinfo(w_kind)
    n, outs = 64, 24
    x = rng.choice(np.array([top.min, top.max, top.max - 1], x_kind), (8, n)).astype(x_kind)
    w = rng.choice(np.array([edge.max, edge.max - 1, edge.min], w_kind), (n, outs), p=(0.6, 0.3, 0.1)).astype(w_kind)
    total = x.astype(np.int64) @ w.astype(np.int64)
    scale = 2.0 ** np.ceil(np.log2(np.abs(total).max() / 100.0))  # a power of two: nothing but the sum counts
    middle = 128 if x_kind == "uint8" else 0
    constants = {
        "one": np.ones((), np.float32), "zx": np.zeros((), x_kind), "w": w, "zw": np.zeros((), w_kind),
        "s": np.array(scale, np.float32), "zy": np.array(middle, x_kind),
    }  # fmt: skip
    node = helper.make_node("QLinearMatMul", ["x", "one", "zx", "w", "one", "zw", "s", "zy"], ["y"])
    elem = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8}
    graph = helper.make_graph(
        [node], "sums", [helper.make_tensor_value_info("x", elem[x_kind], [8, n])],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    expected = np.clip(np.rint(total / scale) + middle, top.min, top.max)
    try:
        found: Array = FloatModel(model.SerializeToString(), as_written=True).run([x])[0]
    except ModelError:
        return False
    return bool(np.array_equal(found.astype(np.int64), expected.astype(np.int64)))
