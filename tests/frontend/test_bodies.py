"""Operators without an importer that ONNX defines by others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper, shape_inference

from tests.frontend.support import check, import_model, one_node, ops_of
from tinygen.errors import ModelError
from tinygen.frontend.bodies import written_out
from tinygen.frontend.opsets import MAX_OPSET

F = np.float32


def test_a_body_that_depends_on_the_types(tmp_path: Path) -> None:
    model = one_node("CenterCropPad", (1, 7, 4), [np.array([4, 9], np.int64)], axes=[1, 2])
    imported = check(tmp_path, model)
    assert all(n.name.startswith("the_node/") for n in imported.graph.nodes)
    assert imported.graph.out_ports[0].shape == (1, 4, 9)


@pytest.mark.skipif(MAX_OPSET < 28, reason="SwiGLU came with opset 28")
def test_what_onnxruntime_lacks_is_written_out_for_it_too(tmp_path: Path) -> None:
    """SwiGLU's body holds Swish, which has a body as well."""
    imported = check(tmp_path, one_node("SwiGLU", [(1, 4), (1, 4)], opset=28))
    assert sorted(ops_of(imported.graph)) == ["Mul", "Unary"]


def test_graphs_inside_a_body(tmp_path: Path) -> None:
    """AffineGrid's has branches."""
    imported = check(tmp_path, one_node("AffineGrid", (1, 3, 4), [np.array([1, 2, 3, 4, 5], np.int64)], opset=20))
    assert "Dense" in ops_of(imported.graph)


def test_attributes_and_gaps_among_the_inputs() -> None:
    """A node keeps its attributes, its inputs that are left out and the names of its inputs and outputs."""
    node = helper.make_node("CausalConvWithState", ["x", "w", "", "past"], ["y", "now"], name="conv", activation="silu")
    shapes = {"x": (1, 4, 6), "w": (4, 1, 3), "past": (1, 4, 2)}
    infos = [helper.make_tensor_value_info(k, 1, s) for k, s in shapes.items()]
    outs = [helper.make_tensor_value_info(k, 1, None) for k in ("y", "now")]
    graph = helper.make_graph([node], "g", infos, outs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 27)], ir_version=10)
    if MAX_OPSET < 27:
        pytest.skip("it came with opset 27")
    model = shape_inference.infer_shapes(model)
    assert written_out(model, 27, lambda n: False)
    made = {o for n in model.graph.node for o in n.output}
    assert {"y", "now"} <= made
    assert all(o in ("y", "now") or o.startswith("conv/") for o in made)
    assert {"x", "w", "past"} <= {i for n in model.graph.node for i in n.input}
    assert not any(a.ref_attr_name for n in model.graph.node for a in n.attribute)


def test_what_is_wrong_inside_is_said_of_the_node(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the_node/"):
        import_model(tmp_path, one_node("Bernoulli", (1, 5), opset=15))
