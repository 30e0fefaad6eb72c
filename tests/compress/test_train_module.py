"""A graph as a torch module: values like onnxruntime's, constants written back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.ops.graphs import CASES, case_graph, samples
from tests.shared.test_models import models, tidied
from tinygen.calibrate.floatrun import FloatModel
from tinygen.calibrate.graph import float_model
from tinygen.compress.train.module import GraphModule, trainable
from tinygen.compress.train.operators import step_of
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import Graph
from tinygen.numerics import Array
from tinygen.ops import OPERATORS, Attention, Case, Div, MatMul, Norm, Operator, Recurrent, Requantise
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


def of(*kinds: type[Operator]) -> pytest.MarkDecorator:
    cases = {n: c for n, c in CASES if isinstance(c.op, kinds)}
    return pytest.mark.parametrize("case", cases.values(), ids=cases)


@of(Recurrent)
def test_what_recurrent_layers_keep_inside(case: Case) -> None:
    """Cells and sums, whose ranges the scales come from: as far as in onnxruntime."""
    graph = case_graph(case)
    (node,) = graph.nodes
    inputs = samples(graph)
    model = float_model(graph, node.outputs)
    expected = dict(zip(model.output_names, model.run_many(inputs), strict=True))
    with torch.inference_mode():
        found = GraphModule(graph).run([torch.from_numpy(x) for x in inputs], node.outputs)
    assert isinstance(case.op, Recurrent)
    for name, told, y in zip(node.outputs, case.op.told, found, strict=True):
        if told == "cells" and case.op.lengths:
            continue  # there they are those of all steps
        have, want = (np.asarray(v).reshape(len(y), -1) for v in (y, expected[name]))
        if told == "sums":  # in any order
            have, want = np.sort(have), np.sort(want)
        np.testing.assert_allclose(have, want, rtol=0, atol=2e-5 * max(float(np.abs(want).max()), 1e-3))


@of(Recurrent, Attention, Norm, MatMul, Div)
def test_gradients_are_those_of_differences(case: Case) -> None:
    """In float64, towards inputs and weights."""
    graph = case_graph(case)
    (node,) = graph.nodes
    rng = np.random.default_rng(1)
    given = []
    for t in graph.ins(node):
        # Away from the corners of clamps and hard sigmoids, and from a division by zero.
        x = t.array if t.const is not None else 1.5 + 0.5 * rng.normal(size=(1, *t.shape))
        free = t.const is None or case.op.learns
        given.append(torch.tensor(x, dtype=torch.float64, requires_grad=free))
    step, count = step_of(graph, node), len(node.outputs) - case.op.watched

    def shown(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        made = step(*inputs)
        return made[:count] if isinstance(made, tuple) else (made,)

    assert torch.autograd.gradcheck(shown, given, eps=1e-6, atol=1e-6, fast_mode=True)


def test_every_operator_has_cases() -> None:
    """All but Requantise, which FLOAT graphs have none of."""
    assert {type(case.op) for _, case in CASES} == set(OPERATORS) - {Requantise}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_equals_onnxruntime(path: Path) -> None:
    graph = tidy(read_onnx(path).graph)
    compare(graph, samples(graph))


@pytest.mark.shared
@pytest.mark.parametrize("path", models(lambda s: s.endswith(("_legacy", "_keras", "_qdq"))))
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
