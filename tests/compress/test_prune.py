"""Structured pruning: smaller tensors, the values of a network without those channels, what refitting gives back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.compress.float_nets import CONV, DEPTHWISE, HEAD, HIDDEN, POINTWISE, correlated, distance, mixed
from tests.passes.graphs import ONNX, assert_same, graph
from tinygen.calibrate.graph import run_float
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, WeightForm
from tinygen.compress.structure.channel_groups import channel_groups, layer_costs
from tinygen.compress.structure.prune import prune, sensitivity
from tinygen.errors import DataError, ModelError
from tinygen.ir import invariants
from tinygen.ir.types import Const, Graph, Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops.weighted import Weighted
from tinygen.passes.channels import Channels, couple, keep
from tinygen.passes.pipeline import tidy


def cleared(g: Graph, channels: Channels, kept: Array) -> Graph:
    """The network with those channels zero wherever a layer reads them: weights cleared, nothing removed."""
    tensors = []
    for node in g.nodes:
        x = g.ins(node)[0]
        if isinstance(node.op, Weighted) and not node.op.depthwise(x.shape[-1]):
            w = g.ins(node)[1]
            columns = kept[channels.classes[x.name]].reshape(node.op.groups, -1)[0]
            tensors.append(Tensor.constant(w.name, w.array * columns.astype(np.float32), w.quant))
    return g.with_(tensors=tensors)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ONNX)
def test_surgery_gives_the_network_without_those_channels(name: str, seed: int) -> None:
    """Through residuals, concatenations, depthwise layers, pools, reshapes, pads, slices and gathers."""
    g = tidy(graph(name))
    channels = couple(g)
    kept = channels.pinned | (np.random.default_rng(seed).random(len(channels.pinned)) < 0.6)
    for classes in channels.classes.values():
        if not kept[classes].any():
            kept[classes[0]] = True
    small = keep(g, channels.masks(kept))
    invariants.check(small)
    assert_same(cleared(g, channels, kept), small, 2e-5)
    for n, classes in channels.classes.items():
        assert small.tensors[n].shape[-1:] in ((), (int(kept[classes].sum()),))


def test_groups_follow_the_couplings() -> None:
    g = tidy(graph("residual"))
    found = channel_groups(g, couple(g))
    # A first block whose two ends and the stem share channels, its inside; a second block that changes the width.
    assert sorted(len(x.layers) for x in found) == [1, 1, 2, 2]
    names = [n for x in found for n in x.layers]
    assert len(names) == len(set(names))


def macs(g: Graph) -> int:
    return sum(c.total for c in layer_costs(g, "macs").values())


@pytest.mark.parametrize("measure", ["macs", "weights", "channels"])
@pytest.mark.parametrize("criterion", ["activation", "magnitude"])
def test_amount_is_reached(criterion: str, measure: str) -> None:
    network, samples = Network(mixed()), correlated((1, 6, 6, 4), 20)
    before = sum(c.total for c in layer_costs(network.graph, measure).values())
    log: list[LayerChange] = []
    small = prune(network, samples, amount=0.4, criterion=criterion, measure=measure, log=log)
    invariants.check(small.graph)
    after = sum(c.total for c in layer_costs(small.graph, measure).values())
    assert 0.3 * before < after <= 0.6 * before
    for node in small.graph.nodes:
        if node.name in (CONV, DEPTHWISE, POINTWISE, HIDDEN):
            assert small.graph.outs(node)[0].shape[-1] % 4 == 0
    assert small.graph.tensors[small.graph.outputs[0]].shape == (1, 5)
    sizes = {n.name: small.graph.ins(n)[1].size for n in small.graph.nodes if len(n.inputs) > 1}
    assert {row.layer: row.after for row in log} == {r.layer: sizes[r.layer] for r in log}
    assert all(row.before > row.after for row in log)


def twins(noise: float) -> Network:
    """A network with much to remove: the second half of every layer's channels is the first, but for some noise."""
    g, rng, tensors = mixed(), np.random.default_rng(5), []
    for node in g.nodes:
        if node.name in (CONV, DEPTHWISE, POINTWISE, HIDDEN):
            for t in g.ins(node)[1:]:
                first = t.array[: len(t.array) // 2]
                near = first + noise * first.std() * rng.normal(size=first.shape)
                tensors.append(Tensor.constant(t.name, np.concatenate([first, near]).astype(np.float32)))
    return Network(g.with_(tensors=tensors))


def error(network: Network, small: Network) -> float:
    """Relative, on samples like those of the pruning, but others."""
    samples = correlated((1, 6, 6, 4), 600)
    return distance(network.graph, small.graph, replace(samples, inputs=(samples.inputs[0][-200:],)))


def test_refitting_gives_most_back() -> None:
    network, samples = twins(0.3), correlated((1, 6, 6, 4), 200)
    plain, fitted = (
        error(network, prune(network, samples, amount=0.4, criterion="magnitude", refit=r)) for r in (False, True)
    )
    assert fitted < 0.5 * plain


def test_the_data_knows_better_than_the_weights() -> None:
    network, samples = twins(0.3), correlated((1, 6, 6, 4), 200)
    by_weights, by_data = (
        error(network, prune(network, samples, amount=0.4, criterion=c)) for c in ("magnitude", "activation")
    )
    assert by_data < 0.5 * by_weights


def test_a_channel_that_others_can_replace_costs_little() -> None:
    """Of two equal channels one goes, and its readers' weights move to the other."""
    network = twins(0.0)
    small = prune(network, correlated((1, 6, 6, 4), 400), amount=0.25, measure="channels")
    assert [width_of(small, name) for name in (CONV, DEPTHWISE)] == [8, 8]
    assert width_of(small, POINTWISE) + width_of(small, HIDDEN) < 40 + 32
    assert error(network, small) < 0.01


def width_of(network: Network, name: str) -> int:
    return network.graph.outs(next(n for n in network.graph.nodes if n.name == name))[0].shape[-1]


def test_scores_decide() -> None:
    network, samples = Network(mixed()), correlated((1, 6, 6, 4), 10)
    worth = np.ones(32)
    worth[4:12] = 0.01
    how = {"measure": "channels", "layers": [HIDDEN], "refit": False}
    small = prune(network, samples, amount=0.25, scores={f"{HIDDEN}_y": worth}, **how)  # type: ignore[arg-type]
    w = small.graph.tensors[f"{HIDDEN}_w"].array
    assert np.array_equal(w, np.delete(network.graph.tensors[f"{HIDDEN}_w"].array, range(4, 12), axis=0))
    with pytest.raises(DataError, match="fit no tensor"):
        prune(network, samples, amount=0.25, scores={"nobody": worth})


def test_forms_and_pins_stay_right() -> None:
    g = mixed()
    w = {n.name: g.ins(n)[1] for n in g.nodes if n.name in (HIDDEN, HEAD, POINTWISE)}
    mask = np.random.default_rng(0).random(w[HEAD].shape) < 0.5
    pinned = replace(w[HIDDEN], quant=Quant(tuple(np.linspace(0.1, 1.0, 32).tolist()), 0, 0))
    masked = Tensor.constant(w[HEAD].name, w[HEAD].array * mask)
    forms = {HEAD: WeightForm(mask=Const(mask)), POINTWISE: WeightForm(4)}
    network = Network(g.with_(tensors=[pinned, masked]), forms, frozenset([f"{HEAD}_y"]))
    small = prune(network, correlated((1, 6, 6, 4), 10), amount=0.5, measure="channels", layers=[HIDDEN], refit=True)
    cut = small.form(HEAD).mask
    assert cut is not None
    assert cut.array.shape == (5, 16)
    assert not small.graph.tensors[w[HEAD].name].array[~cut.array].any()
    assert small.form(POINTWISE) == WeightForm(4)
    assert small.wide == {f"{HEAD}_y"}
    quant = small.graph.tensors[w[HIDDEN].name].quant
    assert quant is not None
    assert len(quant.scale) == 16
    assert set(quant.scale) <= set(pinned.quant.scale if pinned.quant else ())


def test_refusals() -> None:
    network, samples = Network(mixed()), correlated((1, 6, 6, 4), 10)
    with pytest.raises(ModelError, match=r"can go and 99 % were asked for"):
        prune(network, samples, amount=0.99)
    with pytest.raises(ModelError, match="no layer"):
        prune(network, samples, amount=0.5, layers=["nobody"])
    for wrong in ({"amount": 1.0}, {"criterion": "guess"}, {"measure": "bytes"}, {"multiple": 0}):
        with pytest.raises(ValueError, match="allowed"):
            prune(network, samples, **wrong)  # type: ignore[arg-type]


def test_nothing_asked_nothing_done() -> None:
    network = Network(mixed())
    assert prune(network, correlated((1, 6, 6, 4), 10), amount=0.0).graph == network.graph


def test_sensitivity_grows_with_the_share() -> None:
    network = Network(mixed())
    samples = correlated((1, 6, 6, 4), 40)
    labels = run_float(network.graph, samples.inputs)[0].reshape(40, -1).argmax(axis=1)
    rows = sensitivity(network, replace(samples, labels=labels))
    assert {r.layers for r in rows} == {(CONV, DEPTHWISE), (POINTWISE,), (HIDDEN,)}
    for layers in {r.layers for r in rows}:
        mine = [r for r in rows if r.layers == layers]
        assert [r.fraction for r in mine] == [0.25, 0.5, 0.75]
        assert mine[0].sqnr_db > mine[2].sqnr_db
        assert mine[0].saved < mine[1].saved < mine[2].saved
        assert all(r.accuracy is not None and 0.0 <= r.accuracy <= 1.0 for r in mine)
