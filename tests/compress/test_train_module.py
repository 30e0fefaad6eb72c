"""A graph as a torch module: values like onnxruntime's, constants written back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.ops.graphs import CASES, case_graph, samples
from tests.shared.test_models import feed_forward, models, tidied
from tinygen.calibrate.floatrun import FloatModel
from tinygen.compress.train.module import GraphModule, trainable
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import Graph
from tinygen.numerics import Array
from tinygen.ops import OPERATORS, Case, Requantise
from tinygen.passes.pipeline import tidy

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/*.onnx"))


def compare(graph: Graph, inputs: list[Array]) -> None:
    """All outputs within float rounding of onnxruntime's."""
    expected = FloatModel(to_onnx(graph)).run_many(inputs)
    with torch.inference_mode():
        found = GraphModule(graph)(*(torch.from_numpy(x) for x in inputs))
    for want, got in zip(expected, found, strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got.numpy(), want, rtol=0, atol=2e-5 * max(float(np.abs(want).max()), 1e-3))


@pytest.mark.parametrize(("name", "case"), CASES, ids=[n for n, _ in CASES])
def test_operator_equals_onnxruntime(name: str, case: Case) -> None:
    graph = case_graph(case)
    compare(graph, samples(graph))


def test_every_operator_has_cases() -> None:
    """All but Requantise, which FLOAT graphs have none of."""
    assert {type(case.op) for _, case in CASES} == set(OPERATORS) - {Requantise}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_equals_onnxruntime(path: Path) -> None:
    graph = tidy(read_onnx(path).graph)
    compare(graph, samples(graph))


@pytest.mark.shared
@pytest.mark.parametrize("path", models(lambda s: feed_forward(s) and s.endswith(("_legacy", "_keras", "_qdq"))))
def test_model_equals_onnxruntime(path: Path) -> None:
    _, graph = tidied(path)
    compare(graph, samples(graph, count=2))


def test_constants_are_written_back() -> None:
    graph = tidy(read_onnx(EXAMPLES[0]).graph)
    module = GraphModule(graph)
    assert module.to_graph() == graph
    with torch.no_grad():
        for p in module.weights.values():
            p.add_(1.0)
    changed = module.to_graph()
    names = trainable(graph)
    assert names
    for name, t in graph.tensors.items():
        if t.const is not None:
            np.testing.assert_array_equal(changed.tensors[name].array, t.array + np.float32(name in names))
