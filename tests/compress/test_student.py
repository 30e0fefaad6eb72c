"""Students made from the graph: smaller, valid, with what they can inherit; refusals say why."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from tests.compress import float_nets as nets
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, WeightForm, layers, weights
from tinygen.compress.structure.student import student
from tinygen.errors import ModelError
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.ir import invariants
from tinygen.ir.types import Graph, Node, Port, Tensor
from tinygen.ops import Add, Conv, Dense, MaxPool, Softmax
from tinygen.ops.base import Operator
from tinygen.ops.spatial import Window
from tinygen.passes.pipeline import tidy

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "digits.onnx"


@functools.cache
def digits() -> Graph:
    return tidy(read_onnx(DIGITS).graph)


def macs(graph: Graph) -> int:
    return sum(n.op.macs(graph.ins(n), graph.outs(n)) for n in graph.nodes if isinstance(n.op, Operator))


def sizes(graph: Graph) -> dict[str, int]:
    return {n.name: weights(graph, n).size for n in layers(graph)}


def conv(kernel: int, lo: float = 0.0) -> Conv:
    pad = kernel // 2
    return Conv(Window((kernel, kernel), (1, 1), (pad,) * 4, (1, 1)), 1, lo)


def depthwise(channels: int) -> Conv:
    return Conv(Window((3, 3), (1, 1), (1,) * 4, (1, 1)), channels, 0.0)


def check_ports(before: Graph, after: Graph) -> None:
    invariants.check(after, "student")
    assert (after.in_ports, after.out_ports) == (before.in_ports, before.out_ports)


@pytest.mark.parametrize("graph", [nets.mixed(), digits()], ids=["mixed", "digits"])
@pytest.mark.parametrize("options", [{"width": 0.5}, {"width": 0.26}, {"width": 0.5, "separable": True}])
def test_smaller_and_valid(graph: Graph, options: dict[str, float]) -> None:
    small = student(Network(graph), **options).graph  # type: ignore[arg-type]
    check_ports(graph, small)
    samples = nets.correlated(graph.in_ports[0].shape, 3)
    assert nets.outputs(small, samples).shape == nets.outputs(graph, samples).shape
    assert macs(small) < 0.6 * macs(graph)
    assert sum(sizes(small).values()) < 0.6 * sum(sizes(graph).values())


def test_width_keeps_multiples_of_four() -> None:
    graph = student(Network(nets.mixed()), width=0.6).graph
    found = {n.name: len(weights(graph, n).array) for n in layers(graph)}
    assert found == {nets.CONV: 8, nets.DEPTHWISE: 8, nets.POINTWISE: 24, nets.HIDDEN: 20, nets.HEAD: 5}


def test_channels_without_weight_go_first() -> None:
    """Half of the channels add nothing: the student without them computes the same."""
    graph = nets.mixed()
    useless = np.arange(0, 40, 2)
    w, b = (graph.tensors[f"{nets.POINTWISE}_{k}"].array.copy() for k in "wb")
    w[useless], b[useless] = 0.0, 0.0
    graph = graph.with_(tensors=[Tensor.constant(f"{nets.POINTWISE}_w", w), Tensor.constant(f"{nets.POINTWISE}_b", b)])
    dense = graph.tensors[f"{nets.HIDDEN}_w"].array.copy()
    dense[16:] *= 1e-6
    head = graph.tensors[f"{nets.HEAD}_w"].array
    graph = graph.with_(tensors=[Tensor.constant(f"{nets.HIDDEN}_w", dense)])
    small = student(Network(graph), width=0.5).graph
    np.testing.assert_array_equal(small.tensors[f"{nets.HEAD}_w"].array, head[:, :16])
    kept = small.tensors[f"{nets.POINTWISE}_b"].array
    np.testing.assert_array_equal(kept, np.delete(b, useless))


def residual() -> Graph:
    """conv, then three residual blocks of one shape, pool, dense."""
    graph = nets.chain((1, 6, 6, 4), [("stem", conv(3), (8, 3, 3, 4))], 0)
    nodes, tensors, at = list(graph.nodes), dict(graph.tensors), "stem_y"
    rng = np.random.default_rng(5)
    for k in range(3):
        for part, source, target in (("a", at, f"m{k}"), ("b", f"m{k}", f"n{k}")):
            name = f"block{k}{part}"
            tensors[f"{name}_w"] = Tensor.constant(f"{name}_w", rng.normal(size=(8, 3, 3, 8)).astype(np.float32) / 9)
            tensors[f"{name}_b"] = Tensor.constant(f"{name}_b", rng.normal(size=8).astype(np.float32))
            tensors[target] = Tensor(target, (1, 6, 6, 8))
            nodes.append(Node(name, conv(3), (source, f"{name}_w", f"{name}_b"), (target,), (name,)))
        tensors[f"r{k}"] = Tensor(f"r{k}", (1, 6, 6, 8))
        nodes.append(Node(f"add{k}", Add(lo=0.0), (at, f"n{k}"), (f"r{k}",), (f"add{k}",)))
        at = f"r{k}"
    pool = MaxPool(Window((2, 2), (2, 2), (0,) * 4, (1, 1)))
    tensors["y"] = Tensor("y", (1, 3, 3, 8))
    nodes.append(Node("pool", pool, (at,), ("y",), ("pool",)))
    ports = graph.in_ports, (Port.plain("y", (1, 3, 3, 8)),)
    whole = Graph("res", graph.stage, tensors, tuple(nodes), graph.inputs, ("y",), *ports)
    invariants.check(whole)
    return whole


@pytest.mark.parametrize(("depth", "left"), [(0.7, 2), (0.34, 1), (0.1, 0)])
def test_depth_drops_residual_blocks(depth: float, left: int) -> None:
    graph = residual()
    log: list[LayerChange] = []
    small = student(Network(graph), depth=depth, log=log).graph
    check_ports(graph, small)
    blocks = [n.name for n in small.nodes if n.name.startswith("block")]
    assert blocks == [f"block{k}{part}" for k in range(left) for part in "ab"]
    assert {row.layer for row in log} == {f"block{k}{part}" for k in range(left, 3) for part in "ab"}
    assert all(row.after == 0 for row in log)
    nets.outputs(small, nets.correlated((1, 6, 6, 4), 2))


def test_depth_keeps_depthwise_and_pointwise_together() -> None:
    steps = [("stem", conv(3), (8, 3, 3, 4))]
    for k in range(4):
        steps += [(f"dw{k}", depthwise(8), (8, 3, 3, 1)), (f"pw{k}", conv(1), (8, 1, 1, 8))]
    graph = nets.chain((1, 5, 5, 4), [*steps, ("head", conv(1), (3, 1, 1, 8))], 1)
    small = student(Network(graph), depth=0.5).graph
    check_ports(graph, small)
    assert [n.name for n in small.nodes] == ["stem", "dw0", "pw0", "dw1", "pw1", "head"]


def test_separable_is_exact_where_the_weights_are() -> None:
    """Weights that are an outer product for each input channel: nothing is lost."""
    graph = nets.chain((1, 6, 6, 8), [("conv", conv(3), (16, 3, 3, 8)), ("head", conv(1), (4, 1, 1, 16))], 2)
    rng = np.random.default_rng(7)
    w = np.einsum("oc,hwc->ohwc", rng.normal(size=(16, 8)), rng.normal(size=(3, 3, 8))).astype(np.float32)
    graph = graph.with_(tensors=[Tensor.constant("conv_w", w)])
    log: list[LayerChange] = []
    small = student(Network(graph), separable=True, log=log).graph
    check_ports(graph, small)
    assert nets.distance(graph, small, nets.correlated((1, 6, 6, 8), 8)) < 1e-10
    assert macs(small) == 36 * (8 * 9 + 8 * 16 + 16 * 4)
    rows = {row.layer: row for row in log}
    assert (rows["conv"].before, rows["conv"].after) == (1152, 8 * 9 + 8 * 16)
    assert rows["conv"].error < 1e-12
    assert rows["head"].text == "left alone: pointwise already"


def test_separable_is_refused_where_it_costs_more() -> None:
    graph = nets.chain((1, 6, 6, 8), [("conv", conv(3), (1, 3, 3, 8))], 3)
    with pytest.raises(ModelError, match="conv: left alone: 80 weights in place of 72: it would cost more"):
        student(Network(graph), separable=True)


def test_separable_works_on_one_axis() -> None:
    op = Conv(Window((5,), (2,), (2, 2), (1,)), 1, 0.0)
    graph = nets.chain((1, 16, 6), [("conv", op, (12, 5, 6))], 4)
    rng = np.random.default_rng(8)
    w = np.einsum("oc,kc->okc", rng.normal(size=(12, 6)), rng.normal(size=(5, 6))).astype(np.float32)
    graph = graph.with_(tensors=[Tensor.constant("conv_w", w)])
    small = student(Network(graph), separable=True).graph
    check_ports(graph, small)
    assert macs(small) == 8 * (6 * 5 + 6 * 12)
    assert nets.distance(graph, small, nets.correlated((1, 16, 6), 4)) < 1e-10


def test_forms_of_changed_layers_are_dropped() -> None:
    graph = residual()
    forms = {"stem": WeightForm(bits=4), "block0a": WeightForm(bits=4), "block2b": WeightForm(bits=4)}
    assert student(Network(graph, forms), depth=0.7).forms.keys() == {"stem", "block0a"}
    assert student(Network(nets.mixed(), {nets.CONV: WeightForm(bits=4)}), width=0.5).forms == {}


def test_fresh_weights_come_from_the_seed() -> None:
    graph = nets.mixed()
    a, b, c = (student(Network(graph), width=0.5, inherit=False, seed=s).graph for s in (1, 1, 2))
    assert a == b
    assert a != c
    w = a.tensors[f"{nets.HIDDEN}_w"].array
    assert np.std(w) == pytest.approx((2 / w.shape[1]) ** 0.5, rel=0.1)


@pytest.mark.parametrize("options", [{"width": 0.0}, {"width": 1.5}, {"depth": -1.0}, {"depth": float("nan")}])
def test_shares_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        student(Network(nets.mixed()), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"width": 0.5}, {"depth": 0.5}, {"separable": True}])
def test_nothing_to_make_smaller(options: dict[str, float]) -> None:
    graph = nets.chain((1, 8), [("only", Dense(), (3, 8)), ("soft", Softmax(), None)], 0)
    with pytest.raises(ModelError, match="no smaller network could be made"):
        student(Network(graph), **options)  # type: ignore[arg-type]
