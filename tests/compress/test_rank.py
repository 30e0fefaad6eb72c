"""Layers in thinner parts: exact where the rank allows, better than the plain SVD, never dearer, and the same network
around them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from tests.compress.float_nets import (
    CONV,
    DEPTHWISE,
    HEAD,
    HIDDEN,
    chain,
    correlated,
    distance,
    mixed,
    outputs,
)
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, WeightForm, layers, weights
from tinygen.compress.statistics import gather
from tinygen.compress.structure.rank import factorise
from tinygen.compress.structure.thinner import Counted, Method
from tinygen.errors import ModelError
from tinygen.ir import invariants
from tinygen.ir.types import Const, Graph, Tensor
from tinygen.numerics import Array
from tinygen.ops import Conv, Dense
from tinygen.ops.spatial import Window
from tinygen.passes.pipeline import tidy

GRAPH = mixed()
SAMPLES = correlated((1, 6, 6, 4), 400)


def cost(graph: Graph, measure: Counted) -> int:
    return sum(
        weights(graph, n).size if measure == "weights" else n.op.macs(graph.ins(n), graph.outs(n))  # type: ignore[attr-defined]
        for n in layers(graph)
    )


def of_rank(graph: Graph, name: str, make: np.ndarray) -> Graph:
    """The graph with these weights in a layer."""
    node = next(n for n in graph.nodes if n.name == name)
    t = weights(graph, node)
    return graph.with_(tensors=[Tensor.constant(t.name, make.reshape(t.shape).astype(np.float32))])


def lone_conv(window: Window, outs: int = 24, ins: int = 16, shape: tuple[int, ...] = (9, 8)) -> Graph:
    return chain((1, *shape, ins), [("c", Conv(window, 1, 0.0, 3.0), (outs, *window.kernel, ins))], 7)


WIDE = Window((3, 3), (2, 1), (1, 0, 2, 1), (1, 2))
RNG = np.random.default_rng(3)


def _normal(*shape: int) -> Array:
    return RNG.normal(size=shape)


# Weights (24, 3, 3, 16) that each method can represent exactly, and its ranks.
EXACT: dict[Method, tuple[Array, str]] = {
    "lowrank": (np.einsum("or,rhwi->ohwi", _normal(24, 4), _normal(4, 3, 3, 16)), "lowrank 4"),
    "tucker": (np.einsum("or,rhws,si->ohwi", _normal(24, 8), _normal(8, 3, 3, 4), _normal(4, 16)), "tucker 4-8"),
    "cp": (np.einsum("or,rhw,ri->ohwi", _normal(24, 4), _normal(4, 3, 3), _normal(4, 16)), "cp 4"),
    "spatial": (np.einsum("owr,rhi->ohwi", _normal(24, 3, 4), _normal(4, 3, 16)), "spatial 4"),
    "depthwise": (np.einsum("oim,imhw->ohwi", _normal(24, 16, 2), _normal(16, 2, 3, 3)), "depthwise 2"),
}


@pytest.mark.parametrize("method", get_args(Method))
def test_what_has_the_rank_is_found_exactly(method: Method) -> None:
    """Strides, paddings and dilations that differ by axis; a clamp that acts; the outputs stay."""
    w, want = EXACT[method]
    graph = of_rank(lone_conv(WIDE), "c", w / np.linalg.norm(w) * 5)
    samples = correlated(graph.in_ports[0].shape, 200)
    log: list[LayerChange] = []
    network = factorise(Network(graph), samples, energy=0.9999, method=method, log=log)
    assert log[0].text.startswith(f"{want}:")
    assert log[0].error < 1e-4
    assert distance(graph, network.graph, samples) < 1e-4
    assert outputs(network.graph, samples).min() == 0.0
    assert outputs(network.graph, samples).max() == 3.0
    names = {"lowrank": "core out", "tucker": "in core out", "cp": "in core out", "spatial": "in out"}
    assert [n.name for n in network.graph.nodes] == [f"c_{e}" for e in names.get(method, "core out").split()]
    assert all(n.origin == ("onnx/c",) for n in network.graph.nodes)
    assert network.graph.outputs == graph.outputs
    assert log[0].after == cost(network.graph, "weights") < log[0].before == cost(graph, "weights")
    # The passes find nothing to put together again.
    assert len(tidy(network.graph).nodes) == len(network.graph.nodes)


def test_dense_is_projected_on_what_the_outputs_do() -> None:
    """Of all weights of a rank the least change of the outputs: below the SVD of the weights, as the theory says."""
    network = factorise(Network(GRAPH), SAMPLES, energy=0.8, layers=[HIDDEN])
    node = next(n for n in GRAPH.nodes if n.name == HIDDEN)
    first, last = (n for n in network.graph.nodes if n.name.startswith(HIDDEN))
    u, v = weights(network.graph, last).array.astype(np.float64), weights(network.graph, first).array
    w = weights(GRAPH, node).array.astype(np.float64)
    rank = len(v)
    assert rank % 4 == 0
    s = gather(GRAPH, SAMPLES, [HIDDEN])[HIDDEN]
    a, sigma, b = np.linalg.svd(w, full_matrices=False)
    svd = (a[:, :rank] * sigma[:rank]) @ b[:rank]
    assert s.relative_error(w, u @ v) < 0.5 * s.relative_error(w, svd)
    eigenvalues = np.linalg.eigvalsh(w @ s.estimate()[0] @ w.T)[::-1]
    change = w - u @ v
    lost = np.trace(change @ s.estimate()[0] @ change.T)
    np.testing.assert_allclose(lost, eigenvalues[rank:].sum(), rtol=1e-3)


def test_energy_decides_layer_by_layer() -> None:
    log: list[LayerChange] = []
    network = factorise(Network(GRAPH), SAMPLES, energy=0.9, log=log)
    invariants.check(network.graph)
    assert all(r.error < 0.1 for r in log)
    assert any(r.after < r.before for r in log)
    for r in log:
        assert r.after < r.before or (r.after == r.before and r.text.startswith("left alone"))
    texts = {r.layer: r.text for r in log}
    assert "depthwise" in texts[DEPTHWISE]
    assert "weights" in texts[HEAD]
    much = factorise(Network(GRAPH), SAMPLES, energy=0.6)
    assert cost(much.graph, "weights") < cost(network.graph, "weights")


@pytest.mark.parametrize("measure", ["weights", "macs"])
def test_budgets_are_kept(measure: Counted) -> None:
    whole = cost(GRAPH, measure)
    by_amount = factorise(Network(GRAPH), SAMPLES, amount=0.35, measure=measure)
    assert cost(by_amount.graph, measure) <= 0.65 * whole
    by_budget = factorise(Network(GRAPH), SAMPLES, budget=int(0.65 * whole), measure=measure)
    assert by_budget.graph.tensors == by_amount.graph.tensors
    other: Counted = "macs" if measure == "weights" else "weights"
    assert cost(by_amount.graph, other) < cost(GRAPH, other)
    little = factorise(Network(GRAPH), SAMPLES, amount=0.1, measure=measure)
    assert distance(GRAPH, little.graph, SAMPLES) < distance(GRAPH, by_amount.graph, SAMPLES)


def test_small_activations_between() -> None:
    log: list[LayerChange] = []
    network = factorise(Network(GRAPH), SAMPLES, energy=0.6, largest=20, log=log)
    for node in network.graph.nodes:
        if node.name.endswith(("_in", "_core")):
            assert network.graph.outs(node)[0].size <= 20
    assert any(r.after < r.before for r in log)
    assert next(r for r in log if r.layer == CONV).text.startswith("left alone")


def test_a_pixel_and_a_line() -> None:
    """Pointwise with stride, and one axis alone."""
    w = RNG.normal(size=(24, 4)) @ RNG.normal(size=(4, 16))
    strided = of_rank(lone_conv(Window((1, 1), (2, 2), (0, 0, 0, 0), (1, 1))), "c", w / 8)
    w = np.einsum("or,rwi->owi", RNG.normal(size=(24, 4)), RNG.normal(size=(4, 5, 16)))
    line = of_rank(lone_conv(Window((5,), (2,), (2, 1), (1,)), shape=(20,)), "c", w / 20)
    for graph in (strided, line):
        samples = correlated(graph.in_ports[0].shape, 200)
        network = factorise(Network(graph), samples, energy=0.9999, layers=["c"])
        assert len(network.graph.nodes) == 2
        assert distance(graph, network.graph, samples) < 1e-4


def test_the_parts_share_their_scales() -> None:
    """No channel between the parts is far below the others, as plain eigenvectors would leave it."""
    log: list[LayerChange] = []
    network = factorise(Network(GRAPH), SAMPLES, energy=0.8, layers=[HIDDEN], log=log)
    last = next(n for n in network.graph.nodes if n.name == f"{HIDDEN}_out")
    s = gather(network.graph, SAMPLES)
    std = np.sqrt(s[last.name].variance[0])
    norm = np.linalg.norm(weights(network.graph, last).array, axis=0)
    np.testing.assert_allclose(std, norm, rtol=0.3)  # of the samples, not of the estimate


def test_bits_travel_and_the_same_every_time() -> None:
    start = Network(GRAPH, {HIDDEN: WeightForm(bits=6)})
    a, b = (factorise(start, SAMPLES, amount=0.4) for _ in range(2))
    assert a.graph.tensors == b.graph.tensors
    assert {k: f.bits for k, f in a.forms.items()} == {f"{HIDDEN}_in": 6, f"{HIDDEN}_out": 6}


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        factorise(Network(GRAPH), SAMPLES)
    with pytest.raises(ValueError, match="exactly one"):
        factorise(Network(GRAPH), SAMPLES, amount=0.5, energy=0.5)
    with pytest.raises(ValueError, match="0 < energy < 1"):
        factorise(Network(GRAPH), SAMPLES, energy=1.0)
    with pytest.raises(ValueError, match='"tensor train"'):
        factorise(Network(GRAPH), SAMPLES, energy=0.5, method="tensor train")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"at most 10 weights asked for; the least .* is [0-9]+"):
        factorise(Network(GRAPH), SAMPLES, budget=10)
    for form in (WeightForm(codebook=(-1, 1)), WeightForm(mask=Const(np.ones((32, 360), bool)))):
        with pytest.raises(ModelError, match="Factorise first"):
            factorise(Network(GRAPH, {HIDDEN: form}), SAMPLES, energy=0.5)


def test_weights_without_structure_stay() -> None:
    """White inputs and orthogonal outputs: every rank that saves loses too much."""
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(32, 32)))[0]
    graph = of_rank(chain((1, 32), [("d", Dense(), (32, 32))], 0), "d", q)
    white = replace(SAMPLES, inputs=(np.random.default_rng(1).normal(size=(400, 1, 32)).astype(np.float32),))
    log: list[LayerChange] = []
    network = factorise(Network(graph), white, energy=0.9, log=log)
    assert network.graph == graph
    assert log[0].text == "left alone: no rank that keeps half of its output saves weights and MACs"
