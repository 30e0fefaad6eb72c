"""Which figure says something about which network, and what is said about labels that cannot be right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tinygen.calibrate.data import Samples
from tinygen.compress.recipe import Recipe
from tinygen.errors import DataError
from tinygen.flow.compress import compressed_file, plain, read_back
from tinygen.flow.quality import MEASURES, Scorer, measure_of
from tinygen.flow.source import check_labels, load_source
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.ir.types import Graph
from tinygen.numerics import Array
from tinygen.passes.pipeline import tidy

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"


def dense(folder: Path, inputs: int, outputs: int) -> Graph:
    w = np.random.default_rng(0).normal(size=(inputs, outputs)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    sides = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, s]) for n, s in (("x", inputs), ("y", outputs))]
    graph = helper.make_graph([node], "net", sides[:1], sides[1:], [numpy_helper.from_array(w, "w")])
    path = folder / "net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    return tidy(read_onnx(path, name="net").graph)


def samples(n: int, size: int, labels: Array | None) -> Samples:
    x = np.random.default_rng(1).normal(size=(n, 1, size)).astype(np.float32)
    return Samples((x,), labels, "s", "data.npz: 6 samples")


@pytest.mark.parametrize(
    ("sizes", "labels", "name"),
    [
        ((5, 3), np.array([0, 1, 2, 0, 1, 2]), "accuracy"),
        ((5, 3), np.eye(3)[[0, 1, 2, 0, 1, 2]], "accuracy"),
        ((5, 3), None, "agreement with float"),
        ((5, 3), np.arange(18).reshape(6, 3) * 0.5, "explained variance"),
        ((5, 3), np.ones((6, 3)), "intersection over union"),
        ((5, 5), np.array([0, 1, 0, 1, 0, 1]), "AUC of the reconstruction"),
        ((5, 5), None, "explained variance of float"),
        ((5, 1), None, "explained variance of float"),
        ((5, 1), np.array([0, 1, 0, 1, 1, 1]), "accuracy"),
        ((5, 1), np.linspace(0.1, 0.7, 6), "explained variance"),
    ],
)
def test_measure(tmp_path: Path, sizes: tuple[int, int], labels: Array | None, name: str) -> None:
    graph, s = dense(tmp_path, *sizes), samples(6, sizes[0], labels)
    check_labels(graph, s)
    assert measure_of(graph, s) == name
    assert name in MEASURES
    judge = Scorer(graph, s)
    if labels is None:
        assert judge.float_quality == 1.0


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.array([0, 1, 2, 3, 0, 1]), "label 3 is 3; output .* has 3 values, allowed are the class numbers 0 to 2"),
        (np.array([0, 1, -1, 0, 0, 1]), "label 2 is -1"),
        (np.zeros((6, 2)), r"labels have shape \(6, 2\); allowed is one class number for each of the 6 samples"),
        (np.linspace(0.1, 0.7, 6), r"labels have shape \(6,\); allowed"),
    ],
)
def test_labels_that_cannot_be(tmp_path: Path, labels: Array, said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_labels(dense(tmp_path, 5, 3), samples(6, 5, labels))


def test_explained_variance() -> None:
    s = samples(4, 2, None)
    real = np.array([[0.0], [1.0], [2.0], [3.0]])
    measure = MEASURES["explained variance of float"]
    assert measure(real, real, s) == 1.0
    assert measure(np.full_like(real, 1.5), real, s) == 0.0
    assert measure(-real, real, s) < 0.0


def test_empty_recipe_costs_and_answers_as_a_plain_build() -> None:
    source = load_source(DIGITS / "digits.onnx", DIGITS / "digits_calib.npz", seed=0, input_shapes={})
    content, changes = compressed_file(source, Recipe())
    assert changes == ()
    again = read_back(content, "digits", source.validation)
    judge = Scorer(source.graph, source.validation)
    assert judge.measure == "accuracy"
    assert judge.quality(again.fixed) == judge.quality(plain(source).fixed) == judge.float_quality
