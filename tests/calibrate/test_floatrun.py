"""onnxruntime behind a small wall: values, stacking, errors that name the node."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, parser

from tests.calibrate.models import model, scale_and_relu
from tinygen.calibrate.floatrun import FloatModel
from tinygen.errors import ModelError

X = np.array([[[-1, 0, 1, 2]], [[3, -4, 5, -6]]], dtype=np.float32)


def test_run() -> None:
    m = FloatModel(scale_and_relu())
    assert m.input_names == ("x",)
    assert m.output_names == ("positive", "twice")
    positive, twice = m.run([X[0]])
    assert positive.tolist() == [[0, 0, 2, 4]]
    assert twice.tolist() == [[-2, 0, 2, 4]]
    assert [y.tolist() for y in m.run([X[0]], ["twice"])] == [[[-2, 0, 2, 4]]]


def test_run_many_stacks_and_reports() -> None:
    seen: list[tuple[int, int]] = []
    positive, twice = FloatModel(scale_and_relu()).run_many([X], lambda done, total: seen.append((done, total)))
    assert positive.shape == twice.shape == (2, 1, 4)
    assert twice.tolist() == (2 * X).tolist()
    assert seen == [(1, 2), (2, 2)]


def test_other_float_types_are_converted() -> None:
    assert FloatModel(scale_and_relu()).run([X[0].astype(np.float64)])[0].dtype == np.float32


def test_two_inputs() -> None:
    m = FloatModel(model([helper.make_node("Sub", ["a", "b"], ["y"])], {"a": (1, 2), "b": (1, 2)}, ["y"]))
    assert m.run_many([np.full((3, 1, 2), 5, "f"), np.full((3, 1, 2), 2, "f")])[0].tolist() == [[[3, 3]]] * 3
    with pytest.raises(ValueError, match="1 arrays for 2 inputs"):
        m.run([np.zeros((1, 2), "f")])


def test_same_bits_every_time() -> None:
    rng = np.random.default_rng(0)
    w = rng.normal(size=(16, 8, 3, 3)).astype(np.float32)
    blob = model([helper.make_node("Conv", ["x", "w"], ["y"])], {"x": (1, 8, 16, 16)}, ["y"], {"w": w})
    x = rng.normal(size=(4, 1, 8, 16, 16)).astype(np.float32)
    a, b = (FloatModel(blob).run_many([x])[0] for _ in range(2))
    assert a.tobytes() == b.tobytes()


def test_not_a_model() -> None:
    with pytest.raises(ModelError, match="onnxruntime cannot load the float model"):
        FloatModel(b"nonsense")


def test_unknown_operator_is_named() -> None:
    blob = model([helper.make_node("NoSuchOp", ["x"], ["y"], name="/a/odd")], {"x": (1, 2)}, ["y"])
    with pytest.raises(ModelError, match=r'"/a/odd".*cannot load .*NoSuchOp') as caught:
        FloatModel(blob)
    assert "ONNXRuntimeError" not in str(caught.value)


def test_contradictory_shapes_are_named() -> None:
    blob = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="/fc/MatMul")],
        {"x": (1, 2)},
        ["y"],
        {"w": np.zeros((3, 2), "f")},
    )
    with pytest.raises(ModelError, match=r'"/fc/MatMul": onnxruntime cannot load'):
        FloatModel(blob)


def test_failing_node_is_named() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["shape"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["v", "shape"], ["y"], name="/head/Reshape"),
    ]
    m = FloatModel(model(nodes, {"x": (2,)}, ["y"], {"v": np.zeros(6, "f")}))
    assert m.run([np.array([2, 3], "f")])[0].shape == (2, 3)
    with pytest.raises(ModelError, match=r'^Reshape "/head/Reshape": onnxruntime cannot run the float model'):
        m.run([np.array([2, 4], "f")])
    with pytest.raises(ModelError, match=r'output "y": shape \(2, 3\) for one sample, \(3, 2\) for another'):
        m.run_many([np.array([[2, 3], [3, 2]], "f")])


def test_wrong_input_shape() -> None:
    with pytest.raises(ModelError, match="cannot run the float model"):
        FloatModel(scale_and_relu()).run([np.zeros((1, 5), "f")])


def test_branches_in_branches_run() -> None:
    """Whose conditions are constants: onnxruntime's optimisations refuse such files, or crash."""
    text = """
        <ir_version: 8, opset_import: ["" : 16]>
        g (float[1, 4] x) => (float[1, 4] y) <bool c = {1}> {
            y = If (c) <
                then_branch = a () => (float[1, 4] za) {
                    w = Relu (x)
                    s = Shape (w)
                    r = Size (s)
                    two = Constant <value = int64 {2}> ()
                    d = Equal (r, two)
                    za = If (d) <
                        then_branch = e () => (float[1, 4] ze) { ze = Identity (w) },
                        else_branch = f () => (float[1, 4] zf) { zf = Neg (w) }
                    >
                },
                else_branch = b () => (float[1, 4] zb) { zb = Neg (x) }
            >
        }
    """
    model = FloatModel(parser.parse_model(text).SerializeToString())
    (y,) = model.run([np.float32([[-1, 2, -3, 4]])])
    assert y.tolist() == [[0, 2, 0, 4]]
