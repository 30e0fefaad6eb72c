"""Codebooks: k-means, layers on their entries, and what the covariance brings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.compress.float_nets import CONV, DEPTHWISE, HEAD, HIDDEN, POINTWISE, correlated, distance, mixed
from tinygen.compress.forms.cluster import cluster, weighted_kmeans
from tinygen.compress.forms.sparsity import sparsify
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, layers, pin_weights, weights
from tinygen.ir import invariants

GRAPH = mixed()
SAMPLES = correlated((1, 6, 6, 4), 400)


def _cost(values: np.ndarray, weight: np.ndarray, centres: np.ndarray) -> float:
    return float((weight * np.min((values[:, None] - centres) ** 2, axis=1)).sum())


@pytest.mark.parametrize("zero", [False, True])
def test_kmeans_is_the_optimum(zero: bool) -> None:
    rng = np.random.default_rng(5)
    values, weight = np.sort(rng.normal(size=14)), rng.uniform(0.1, 2.0, 14)
    found = weighted_kmeans(values, weight, 4, zero=zero)
    assert len(found) <= 4
    assert (0.0 in found) == zero
    if zero:
        return
    best = np.inf
    for cuts in itertools.combinations(range(1, 14), 3):  # clusters of a line are runs
        parts = np.split(np.arange(14), cuts)
        centres = np.array([np.average(values[p], weights=weight[p]) for p in parts])
        best = min(best, _cost(values, weight, centres))
    np.testing.assert_allclose(_cost(values, weight, found), best, rtol=1e-9)


@pytest.mark.parametrize(("entries", "shared"), [(4, False), (16, False), (16, True), (64, False)])
def test_layers_lie_on_their_codebooks(entries: int, shared: bool) -> None:
    log: list[LayerChange] = []
    network = cluster(Network(GRAPH), SAMPLES, entries=entries, shared=shared, log=log)
    invariants.check(network.graph)
    assert set(network.forms) == {CONV, POINTWISE, HIDDEN}
    books = [form.codebook for form in network.forms.values()]
    assert (len(set(books)) == 1) == shared
    for name, form in network.forms.items():
        assert form.codebook is not None
        assert len(form.codebook) <= entries
        assert list(form.codebook) == sorted(set(form.codebook))
        assert max(map(abs, form.codebook)) == 127
        t = weights(network.graph, next(n for n in layers(network.graph) if n.name == name))
        assert t.quant is not None
        q = np.rint(t.array.reshape(len(t.array), -1) / np.asarray(t.quant.scale)[:, None])
        assert set(np.unique(q)) <= set(form.codebook)
    # Snapping to the form changes nothing: the weights are where they will be on the chip.
    pinned = pin_weights(network)
    for node in layers(network.graph):
        assert np.array_equal(weights(pinned, node).array, weights(network.graph, node).array)
        assert weights(pinned, node).quant == weights(network.graph, node).quant
    assert {r.layer for r in log if r.text.startswith("left alone")} == {DEPTHWISE, HEAD}
    # No worse than the best quantiser of normal values (Max 1960), which knows nothing of channels and inputs.
    assert max(r.error for r in log) < {4: 0.1175, 16: 0.0095, 64: 0.0007}[entries]
    assert distance(GRAPH, network.graph, SAMPLES) < {4: 0.6, 16: 0.04, 64: 0.002}[entries]


def test_descent_pays() -> None:
    def errors(sweeps: int) -> dict[str, float]:
        log: list[LayerChange] = []
        network = cluster(Network(GRAPH), SAMPLES, entries=8, sweeps=sweeps, log=log)
        return {r.layer: r.error for r in log if r.layer in network.forms}

    nearest, moved = errors(0), errors(4)
    assert all(moved[layer] < nearest[layer] for layer in nearest)
    assert moved[HIDDEN] < 0.4 * nearest[HIDDEN]  # the one whose inputs are most alike


@pytest.mark.parametrize("shared", [False, True])
def test_masks_stay(shared: bool) -> None:
    sparse = sparsify(Network(GRAPH), SAMPLES, amount=0.6, layers=[CONV, HIDDEN])
    network = cluster(sparse, SAMPLES, entries=8, shared=shared)
    for name in (CONV, HIDDEN):
        form = network.form(name)
        assert form.mask == sparse.form(name).mask
        assert form.mask is not None
        assert form.codebook is not None
        assert 0 in form.codebook
        assert len(form.codebook) <= 8
        w = weights(network.graph, next(n for n in layers(network.graph) if n.name == name)).array
        assert not np.any(w[~form.mask.array])


def test_few_values_need_no_more() -> None:
    node = next(n for n in GRAPH.nodes if n.name == HIDDEN)
    t = weights(GRAPH, node)
    flat = np.where(t.array > 0, 0.25, -0.5).astype(np.float32)
    graph = GRAPH.with_(tensors=[type(t).constant(t.name, flat)])
    network = cluster(Network(graph), SAMPLES, entries=16, layers=[HIDDEN])
    assert network.form(HIDDEN).codebook is not None
    np.testing.assert_allclose(weights(network.graph, node).array, flat, rtol=0.02)


def test_the_same_every_time() -> None:
    a, b = (cluster(Network(GRAPH), SAMPLES, entries=8, shared=True) for _ in range(2))
    assert a.graph.tensors == b.graph.tensors


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="5 entries"):
        cluster(Network(GRAPH), SAMPLES, entries=5)
