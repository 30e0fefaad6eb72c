"""Comparisons, choices, casts and masks, against onnxruntime; and what they become."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from tests.frontend.support import check, import_model, ops_of, parse, run_ours, save
from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.errors import ModelError
from tinygen.flow.quantised import quantised_file
from tinygen.flow.types import Calibration
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.ops import Unary
from tinygen.passes.pipeline import tidy

F = np.float32

#: One function of x each: the body of a graph from x to y, with constants zero, one, c (0.25), s (0.1), big (1e30).
ONE_FUNCTION = {
    "relu": "m = Less(x, zero) y = Where(m, zero, x)",
    "relu_other_way": "m = Less(zero, x) y = Where(m, x, zero)",
    "relu_or_equal": "m = GreaterOrEqual(x, zero) y = Where(m, x, zero)",
    "leaky": "m = Greater(x, zero) k = Mul(x, s) y = Where(m, x, k)",
    "leaky_scalar_first": "m = Greater(x, zero) k = Mul(s, x) y = Where(m, x, k)",
    "clamp": "m = LessOrEqual(x, c) y = Where(m, c, x)",
    "clamp_above": "m = Greater(x, c) y = Where(m, c, x)",
    "steps": "m = Greater(x, c) y = Where(m, one, zero)",
    "cast": "m = Cast<to=9>(x) y = Cast<to=1>(m)",
    "cast_of_choice": "m = Greater(x, c) t = Where(m, x, s) i = Cast<to=7>(t) y = Cast<to=1>(i)",
    "cast_int": "m = Greater(x, c) i = Cast<to=7>(m) y = Cast<to=1>(i)",
    "not": "m = Greater(x, c) k = Not(m) y = Cast<to=1>(k)",
    "and": "a = Greater(x, s) b = Less(x, one) m = And(a, b) y = Where(m, x, zero)",
    "or": "a = Less(x, s) b = Greater(x, one) m = Or(a, b) y = Where(m, x, zero)",
    "xor": "a = Less(x, s) b = Less(x, one) m = Xor(a, b) y = Where(m, x, zero)",
    "with_itself": "t = Mul(x, x) m = Greater(t, x) y = Where(m, t, x)",
    "functions": "t = Tanh(x) e = Exp(x) m = Greater(t, s) y = Where(m, e, t)",
    "product": "t = Sigmoid(x) p = Mul(x, t) m = Greater(x, zero) y = Where(m, x, p)",
    "undefined_elsewhere": "m = Greater(x, c) l = Log(x) y = Where(m, l, zero)",
    "equal": "r = Round(x) m = Equal(r, zero) y = Where(m, one, x)",
    "nested": "a = Greater(x, one) b = Less(x, zero) k = Where(b, zero, x) y = Where(a, one, k)",
    "hidden_by_a_number": "m = Greater(x, c) f = Cast<to=1>(m) y = Mul(f, x)",
}


def _model(body: str, shape: str = "1,3,8", opset: int = 16, **weights: np.ndarray) -> ModelProto:
    constants = {"zero": F(0), "one": F(1), "c": F(0.25), "s": F(0.1), **weights}
    used = {k: np.asarray(v) for k, v in constants.items() if k in body.replace("(", " ").replace(",", " ")
            .replace(")", " ").split()}  # fmt: skip
    return parse(f"g (float[{shape}] x) => (float y) {{ {body} }}", opset=opset, weights=used)


@pytest.mark.parametrize("name", ONE_FUNCTION)
def test_one_function(name: str, tmp_path: Path) -> None:
    imported = check(tmp_path, _model(ONE_FUNCTION[name]))
    graph = tidy(imported.graph)
    assert ops_of(graph) == ["Unary"], "one table"
    op = graph.nodes[0].op
    assert isinstance(op, Unary)
    if name.startswith(("relu", "leaky", "clamp")):
        assert not op.has_steps, "a clamp does not jump"


def test_a_relu_written_so_costs_nothing(tmp_path: Path) -> None:
    w = np.random.default_rng(0).normal(size=(8, 5)).astype(F)
    imported = check(tmp_path, _model("d = MatMul(x, w) m = Less(d, zero) y = Where(m, zero, d)", w=w))
    assert ops_of(tidy(imported.graph)) == ["Dense"]


MANY = {
    "limits_of_channels": "m = Greater(x, k) y = Where(m, x, zero)",
    "constant_first": "m = Greater(k, x) y = Cast<to=1>(m)",
    "two_branches": "m = Greater(x, zero) a = Mul(x, k) y = Where(m, a, x)",
    "constant_branches": "m = Greater(x, zero) y = Where(m, k, zero)",
    "and_constant": "m = Greater(x, zero) a = And(m, b) y = Cast<to=1>(a)",
    "or_constant": "m = Greater(x, zero) a = Or(m, b) y = Cast<to=1>(a)",
    "xor_constant": "m = Greater(x, zero) a = Xor(m, b) y = Cast<to=1>(a)",
    "is_nan": "m = IsNaN(x) y = Where(m, zero, x)",
    "constant_mask": "y = Where(b, x, k)",
    "constant_mask_other_way": "y = Where(b, zero, x)",
    "and_of_two": "t = MatMul(x, w) a = Greater(x, c) d = Greater(t, zero) m = And(a, d) y = Cast<to=1>(m)",
    "or_of_two": "t = MatMul(x, w) a = Greater(x, c) d = Greater(t, zero) m = Or(a, d) y = Cast<to=1>(m)",
    "truth_as_output": "y = Greater(x, k)",
    "xor_of_two": "t = MatMul(x, w) a = Greater(x, c) d = Greater(t, zero) m = Xor(a, d) y = Cast<to=1>(m)",
}


@pytest.mark.parametrize("name", MANY)
def test_many_tensors(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    body = MANY[name]
    weights = {"k": rng.normal(size=(1, 3, 1)).astype(F), "b": rng.random((1, 3, 8)) > 0.5}
    weights["w"] = rng.normal(size=(8, 8)).astype(F)
    model = _model(body, **{k: v for k, v in weights.items() if f"{k})" in body or f"{k}," in body})
    if name == "truth_as_output":
        model.graph.output[0].type.tensor_type.elem_type = 9
    check(tmp_path, model)


@pytest.mark.parametrize("relation", ["Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"])
def test_two_tensors(relation: str, tmp_path: Path) -> None:
    w = np.eye(8, dtype=F)
    w[::2] *= 2
    imported = check(tmp_path, _model(f"t = MatMul(x, w) m = {relation}(x, t) y = Where(m, x, t)", w=w))
    assert "Compare" in ops_of(imported.graph)


def test_truth_values_as_inputs(tmp_path: Path) -> None:
    body = "m = Xor(a, c) n = Or(m, a) y = Where(n, x, zero)"
    text = f"g (bool[1,8] a, bool[1,8] c, float[1,8] x) => (float y) {{ {body} }}"
    imported = import_model(tmp_path, parse(text, weights={"zero": F(0)}))
    rng = np.random.default_rng(4)
    feeds = {"a": rng.random((1, 8)) > 0.5, "c": rng.random((1, 8)) > 0.5, "x": rng.normal(size=(1, 8)).astype(F)}
    (y,) = run_ours(imported, feeds)
    np.testing.assert_array_equal(y, np.where(feeds["a"] ^ feeds["c"] | feeds["a"], feeds["x"], 0))
    assert [p.ends for p in imported.graph.in_ports[:2]] == [(0, 1), (0, 1)]


def test_functions_stay_small(tmp_path: Path) -> None:
    """y = x * x, again and again: the expression doubles each time, so it is not followed for ever."""
    body = "t0 = Mul(x, x) " + " ".join(f"t{i} = Mul(t{i - 1}, t{i - 1})" for i in range(1, 40))
    import_model(tmp_path, _model(body + " m = Greater(t39, c) y = Where(m, x, t39)"))


# Masks ----------------------------------------------------------------------------------------------------------------

SCORES = "1,4,4"
CAUSAL = np.tril(np.ones((4, 4), bool))
MASKS = {
    "sum_inf": ("a = Add(x, m) y = Softmax<axis=-1>(a)", np.where(CAUSAL, F(0), F(-np.inf))),
    "sum_first": ("a = Add(m, x) y = Softmax<axis=-1>(a)", np.where(CAUSAL, F(0), F(-1e9))),
    "sum_smallest": ("a = Add(x, m) y = Softmax<axis=-1>(a)", np.where(CAUSAL, F(0), np.finfo(F).min)),
    "sum_with_bias": ("a = Add(x, m) y = Softmax<axis=-1>(a)", np.where(CAUSAL, F(-0.5), F(-np.inf))),
    "where_inf": ("a = Where(b, x, low) y = Softmax<axis=-1>(a)", CAUSAL),
    "where_other_way": ("a = Where(b, low, x) y = Softmax<axis=-1>(a)", ~CAUSAL),
    "moved": ("a = Add(x, m) r = Reshape(a, h) y = Softmax<axis=-1>(r)", np.where(CAUSAL, F(0), F(-np.inf))),
    "log": ("a = Add(x, m) l = LogSoftmax<axis=-1>(a) y = Exp(l)", np.where(CAUSAL, F(0), F(-1e9))),
}


def _masked(name: str) -> ModelProto:
    body, mask = MASKS[name]
    weights = {"b": mask, "low": F(-np.inf)} if mask.dtype == bool else {"m": mask}
    if "h)" in body:
        weights["h"] = np.array([1, 2, 2, 4], np.int64)
    return _model(body, SCORES, **weights)


@pytest.mark.parametrize("name", MASKS)
def test_masks(name: str, tmp_path: Path) -> None:
    imported = check(tmp_path, _masked(name))
    (mask,) = [n for n in imported.graph.nodes if type(n.op).__name__ == "Extreme"]
    assert mask.op.describe(imported.graph.ins(mask)) == "mask"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [n for n in MASKS if n != "log"])
def test_what_is_masked_has_no_weight(name: str, tmp_path: Path) -> None:
    """In integers: exactly 0, and the scores keep their resolution."""
    x = np.random.default_rng(1).normal(size=(24, 1, 4, 4)).astype(F) * 2 - 3
    data = Samples((x,), None, "", "made up")
    model = quantised_file(save(tmp_path, _masked(name)), Calibration(data))
    x_codes = simulate.quantise_inputs(model.fixed, [x])
    (y,) = simulate.run(model.fixed, x_codes)
    shown = np.broadcast_to(CAUSAL, y.reshape(24, 4, 4).shape)
    assert np.all(y.reshape(24, 4, 4)[~shown] == -128), "the code of 0"
    assert min(layer.sqnr_db for layer in model.layers) > 30


def test_true_is_representable_though_calibration_never_saw_it(tmp_path: Path) -> None:
    x = -np.abs(np.random.default_rng(1).normal(size=(24, 1, 3, 8))).astype(F)
    path = save(tmp_path, _model("m = Greater(x, s) y = Cast<to=1>(m)"))
    model = quantised_file(path, Calibration(Samples((x,), None, "", "made up")))
    quant = model.fixed.tensors[model.fixed.outputs[0]].quant
    assert quant is not None
    assert quant.s * (127 - quant.zero_point) == pytest.approx(1.0, rel=0.01)


def test_a_row_without_values(tmp_path: Path) -> None:
    mask = np.full((4, 4), -np.inf, F)
    mask[1:] = 0
    with pytest.raises(ModelError, match="hides a whole row"):
        read_onnx(save(tmp_path, _model("a = Add(x, m) y = Softmax<axis=-1>(a)", SCORES, m=mask)))


def test_a_mask_without_softmax(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as e:
        read_onnx(save(tmp_path, _model("a = Add(x, m) y = Relu(a)", SCORES, m=np.where(CAUSAL, F(0), F(-np.inf)))))
    assert "a constant of -inf that is no mask" in str(e.value)
    assert "diverged" not in str(e.value)


def test_a_cast_names_its_type(tmp_path: Path) -> None:
    model = _model("i = Cast<to=2>(x) y = Cast<to=1>(i)")
    with pytest.raises(ModelError, match="a cast of float32 to uint8"):
        read_onnx(save(tmp_path, model))
