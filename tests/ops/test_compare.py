"""Comparisons of two tensors: exact on the grid they share, in numpy and in C."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.frontend.support import parse
from tinygen import simulate
from tinygen.calibrate.data import Arrays
from tinygen.flow.quantised import load, quantised
from tinygen.flow.types import Calibration, Quantised
from tinygen.flow.verify import verify_plan
from tinygen.ops.base import need_quant
from tinygen.plan.planner import plan
from tinygen.targets.cores import get_core

RELATIONS = {
    "Less": np.less, "LessOrEqual": np.less_equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal,
    "Equal": np.equal,
}  # fmt: skip


def _built(text: str, **data: np.ndarray) -> Quantised:
    loaded = load(Path("net.onnx"), content=parse(text).SerializeToString())
    return quantised(loaded, Calibration(Arrays(data)))


@pytest.mark.parametrize("relation", RELATIONS)
def test_two_tensors_share_a_grid(relation: str) -> None:
    """Of different ranges: what rounds to the same integer is equal, all else is as the numbers are."""
    rng = np.random.default_rng(1)
    data = {"a": rng.normal(size=(50, 1, 300)), "b": 3 * rng.normal(size=(50, 1, 300)) + 1}
    model = _built(f"g (float[1,300] a, float[1,300] b) => (bool y) {{ y = {relation}(a, b) }}", **data)
    fixed = model.fixed
    assert len({need_quant(fixed.tensors[n]) for n in fixed.inputs}) == 1
    q = tuple(rng.integers(-128, 128, (4, 1, 300)).astype(np.int8) for _ in range(2))
    q[1][:, :, ::3] = q[0][:, :, ::3]
    outputs = simulate.run(fixed, q)
    (said,) = simulate.dequantise_outputs(fixed, outputs)
    np.testing.assert_array_equal(said, RELATIONS[relation](*q).astype(np.float32))
    verify_plan(model, plan(fixed, get_core("native")), "native", q, outputs)


def test_pinned_grids_are_aligned() -> None:
    """Bytes and signed bytes, which mean themselves: both are written on one grid that holds them."""
    text = "g (uint8[1,6] a, int8[1,6] b) => (bool y) { p = Cast<to=1>(a) q = Cast<to=1>(b) y = Less(p, q) }"
    a = np.array([[[0, 100, 200, 20, 3, 90]]], np.uint8)
    b = np.array([[[-5, 120, 100, 40, -3, 80]]], np.int8)
    model = _built(text, a=a, b=b)
    inputs = simulate.quantise_inputs(model.fixed, [a.astype(np.float32), b.astype(np.float32)])
    (said,) = simulate.dequantise_outputs(model.fixed, simulate.run(model.fixed, inputs))
    np.testing.assert_array_equal(said, (a.astype(int) < b).astype(np.float32))


def test_choices_and_logic_of_several_tensors() -> None:
    text = """g (float[1,40] a, float[1,40] b, bool[1,40] c) => (float y) {
        m = Greater(a, b) n = Xor(m, c) y = Where(n, a, b)
    }"""
    rng = np.random.default_rng(2)
    data = {"a": rng.normal(size=(30, 1, 40)), "b": rng.normal(size=(30, 1, 40)), "c": rng.random((30, 1, 40)) > 0.5}
    model = _built(text, **data)
    inputs = simulate.quantise_inputs(model.fixed, [data[k].astype(np.float32) for k in "abc"])
    outputs = simulate.run(model.fixed, inputs)
    (y,) = simulate.dequantise_outputs(model.fixed, outputs)
    fixed = model.fixed
    a, b = inputs[:2]
    scale, _ = need_quant(fixed.tensors[fixed.inputs[0]])
    chosen = np.where((a > b) ^ data["c"], data["a"], data["b"])
    assert np.abs(y - chosen).max() <= 2.5 * scale
    verify_plan(model, plan(fixed, get_core("native")), "native", [x[:3] for x in inputs], [o[:3] for o in outputs])
