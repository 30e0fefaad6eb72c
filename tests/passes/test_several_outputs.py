"""A node with several outputs goes from the FLOAT graph to proved C like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from tinygen import simulate
from tinygen.calibrate.floatrun import FloatModel
from tinygen.emit.library import render_library
from tinygen.emit.programs import ModelView, PortView
from tinygen.emit.view import library_view
from tinygen.errors import VerifyError
from tinygen.flow import verify
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir import invariants
from tinygen.ir.types import DType, Graph, Node, Port, Stage, Tensor
from tinygen.numerics import Array
from tinygen.ops import Extreme, Unary
from tinygen.ops.base import Call, OnnxBuilder, Operator, Shape
from tinygen.passes.quantise import quantise, range_tensors
from tinygen.plan.planner import plan
from tinygen.plan.types import Plan
from tinygen.targets.cores import get_core

SHAPE = (1, 4, 6)


@dataclass(frozen=True)
class Ends(Operator):
    """The smaller and the larger of two activations, element by element."""

    same_quant = True

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        return shapes[0], shapes[0]

    def types(self, *types: DType) -> tuple[DType, ...]:
        return types[0], types[0]

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return b.op("Min", list(names)), b.op("Max", list(names))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        return np.minimum(*arrays), np.maximum(*arrays)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        return tuple(c for k, out in enumerate(outs) for c in Extreme(k == 1).lower(ins, [out]))


def network() -> Graph:
    """The smaller goes out through a table, the larger as it is."""
    nodes = (
        Node("ends", Ends(), ("a", "b"), ("small", "large")),
        Node("table", Unary(("Tanh", "x")), ("small",), ("y",)),
    )
    tensors = {n: Tensor(n, SHAPE) for n in ("a", "b", "small", "large", "y")}
    ins, outs = (tuple(Port.plain(n, SHAPE) for n in names) for names in (("a", "b"), ("y", "large")))
    graph = Graph("ends", Stage.FLOAT, tensors, nodes, ("a", "b"), ("y", "large"), ins, outs)
    invariants.check(graph)
    return graph


def fixed() -> tuple[Graph, list[Array]]:
    graph = network()
    rng = np.random.default_rng(0)
    xs = [rng.uniform(-3, 2, (5, *SHAPE)).astype(np.float32), rng.uniform(-1, 4, (5, *SHAPE)).astype(np.float32)]
    assert set(range_tensors(graph)) == {"a", "b", "small", "large", "y"}
    made = quantise(graph, dict.fromkeys(("a", "b", "small", "large"), (-3.0, 4.0)) | {"y": (-1.0, 1.0)})
    invariants.check(made, "quantise")
    return made, xs


def library(made: Plan, trace: bool) -> dict[str, bytes]:
    view = library_view(
        made, version="0", abi=1, numerics=1, build_id="0" * 8, sha256="0", model_file="ends.onnx", trace=trace
    )
    return render_library(view)


def test_float_and_integers_agree() -> None:
    graph, xs = fixed()
    y, large = FloatModel(to_onnx(network())).run_many(xs)
    assert np.array_equal(large, np.maximum(*xs))
    np.testing.assert_allclose(y, np.tanh(np.minimum(*xs)), atol=1e-6)
    ours = simulate.dequantise_outputs(graph, simulate.run(graph, simulate.quantise_inputs(graph, xs)))
    step = scale(graph, "large")
    assert {scale(graph, n) for n in ("a", "b", "small")} == {step}
    assert np.abs(ours[0] - y).max() <= (step + scale(graph, "y")) / 2 * 1.001  # tanh rises by 1 at most
    assert np.abs(ours[1] - large).max() <= step / 2 * 1.001


def scale(graph: Graph, name: str) -> float:
    quant = graph.tensors[name].quant
    assert quant is not None
    return quant.s


def test_the_c_writes_both_and_a_fault_in_the_second_is_named() -> None:
    graph, xs = fixed()
    core = get_core("native")
    made = plan(graph, core)
    assert [(w.tensor, w.place.space) for w in made.steps[0].outputs] == [("small", "arena"), ("large", "output")]
    inputs = verify.make_inputs(graph, simulate.quantise_inputs(graph, xs))
    expected = simulate.run(graph, inputs)
    ports = [tuple(PortView(e.name, e.length, e.quant.bits) for e in ends) for ends in (made.inputs, made.outputs)]
    model = ModelView("ends", "ENDS", "0", *ports)
    verify.check_core(core, graph, made, lambda trace: library(made, trace), model, inputs, expected)

    def broken(trace: bool) -> dict[str, bytes]:
        """The second call reads the first operand twice."""
        files = library(made, trace)
        text = files["ends.c"].decode()
        assert "x, x1, y1);" in text
        return {**files, "ends.c": text.replace("x, x1, y1);", "x, x, y1);").encode()}

    with pytest.raises(VerifyError, match=r"the first layer that differs is ends .* of 24 values"):
        verify.check_core(core, graph, made, broken, model, inputs, expected)
