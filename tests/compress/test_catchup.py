"""Layers fitted to what the original gave: the network comes nearer to it, forms stay."""

from __future__ import annotations

import numpy as np
import pytest

from tests.compress.float_nets import CONV, HIDDEN, correlated, distance, mixed
from tinygen.compress.forms.cluster import cluster
from tinygen.compress.forms.sparsity import sparsify
from tinygen.compress.network import Network, layers, pin_weights, weights
from tinygen.compress.refit.catchup import catch_up
from tinygen.compress.structure.rank import factorise
from tinygen.ir import invariants

GRAPH = mixed()
SAMPLES = correlated((1, 6, 6, 4), 600)


def _techniques(kind: str) -> Network:
    start = Network(GRAPH)
    if kind == "sparse":
        return sparsify(start, SAMPLES, amount=0.7)
    if kind == "clustered":
        return cluster(start, SAMPLES, entries=4)
    if kind == "both":
        return cluster(sparsify(start, SAMPLES, amount=0.5), SAMPLES, entries=8)
    return factorise(start, SAMPLES, energy=0.8)


@pytest.mark.parametrize("kind", ["sparse", "clustered", "both", "thinner"])
def test_it_comes_nearer_and_forms_stay(kind: str) -> None:
    before = _techniques(kind)
    after = catch_up(before, GRAPH, SAMPLES)
    invariants.check(after.graph)
    assert distance(GRAPH, after.graph, SAMPLES) < 0.8 * distance(GRAPH, before.graph, SAMPLES)
    assert after.forms == before.forms
    pinned = pin_weights(after)
    for node in layers(after.graph):
        form = after.form(node.name)
        w = weights(after.graph, node)
        if form.mask is not None:
            assert not np.any(w.array[~form.mask.array])
        if form.codebook is not None:
            assert w.quant is not None
            assert np.array_equal(weights(pinned, node).array, w.array)


def test_named_layers_only() -> None:
    before = _techniques("sparse")
    after = catch_up(before, GRAPH, SAMPLES, layers=[HIDDEN])
    changed = [n.name for n in layers(GRAPH) if weights(before.graph, n) != weights(after.graph, n)]
    assert changed == [HIDDEN]


def test_nothing_to_catch_up_with() -> None:
    after = catch_up(Network(GRAPH), GRAPH, SAMPLES)
    for node in layers(GRAPH):
        want = weights(GRAPH, node).array
        np.testing.assert_allclose(weights(after.graph, node).array, want, atol=1e-4 * np.abs(want).max())
    a, b = (catch_up(_techniques("sparse"), GRAPH, SAMPLES, layers=[CONV]) for _ in range(2))
    assert a.graph.tensors == b.graph.tensors


def test_samples_that_say_nothing_do_no_harm() -> None:
    """Inputs that are all the same leave every weight free; none may run away."""
    blank = type(SAMPLES)((np.zeros_like(SAMPLES.inputs[0][:20]),), None, "", "zeros")
    after = catch_up(sparsify(Network(GRAPH), blank, amount=0.5), GRAPH, blank)
    for node in layers(GRAPH):
        assert np.abs(weights(after.graph, node).array).max() < 10 * np.abs(weights(GRAPH, node).array).max()
    assert sparsify(Network(GRAPH), SAMPLES, layers=[]).graph == GRAPH
