"""Statistics of what layers read, and zeros chosen by them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.compress.float_nets import CONV, DEPTHWISE, HEAD, HIDDEN, POINTWISE, correlated, distance, mixed
from tinygen.calibrate.floatrun import FloatModel
from tinygen.compress.forms.sparsity import Criterion, Pattern, sensitivity, sparsify
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, WeightForm, layers, pin_weights, weights
from tinygen.compress.statistics import gather, input_rows
from tinygen.errors import DataError, ModelError
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir import invariants
from tinygen.ir.types import Const

GRAPH = mixed()
SAMPLES = correlated((1, 6, 6, 4), 400)
FRESH = correlated((1, 6, 6, 4), 100, seed=1)  # the same sources, the first samples


def test_statistics_are_those_of_the_rows() -> None:
    found = gather(GRAPH, SAMPLES)
    inner = [n.inputs[0] for n in layers(GRAPH)[1:]]
    model = FloatModel(to_onnx(GRAPH, inner))
    kept = {name: [] for name in inner}
    for x in SAMPLES.inputs[0]:
        for name, y in zip(inner, model.run([x], inner), strict=True):
            kept[name].append(y)
    for node in layers(GRAPH)[1:]:
        x = np.stack(kept[node.inputs[0]]).astype(np.float64)
        rows = input_rows(node, x, GRAPH.tensors[node.inputs[0]].shape)
        s = found[node.name]
        assert s.rows == rows.shape[1]
        np.testing.assert_allclose(s.mean, rows.mean(axis=1), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            s.covariance, np.stack([np.cov(r.T, bias=True) for r in rows]).reshape(s.covariance.shape), atol=1e-5
        )
        # The rows times the weights are the layer's output before its clamp: their variance is `output_power`.
        w = weights(GRAPH, node).array
        y = np.einsum("grk,gok->gor", rows, s.split(w)).reshape(len(w), -1)
        np.testing.assert_allclose(s.output_power(w), y.var(axis=1), rtol=1e-4)


def test_many_rows_are_drawn() -> None:
    s = gather(GRAPH, correlated((1, 6, 6, 4), 4000))[CONV]
    assert s.rows == 4000 * 5  # ceil(16384 / 4000) of 36 positions
    full = gather(GRAPH, correlated((1, 6, 6, 4), 400))[CONV]
    np.testing.assert_allclose(s.covariance.trace(axis1=1, axis2=2), full.covariance.trace(axis1=1, axis2=2), rtol=0.1)


@pytest.mark.parametrize("criterion", ["magnitude", "activation", "obs"])
@pytest.mark.parametrize("pattern", ["unstructured", "2:4", "1:4", "block4"])
def test_patterns(pattern: Pattern, criterion: Criterion) -> None:
    log: list[LayerChange] = []
    network = sparsify(
        Network(GRAPH), SAMPLES, amount=0.5, pattern=pattern, criterion=criterion, distribution="uniform", log=log
    )
    invariants.check(network.graph)
    assert set(network.forms) == {CONV, POINTWISE, HIDDEN}  # not the depthwise layer nor the small head
    for node in layers(network.graph):
        if node.name not in network.forms:
            assert weights(network.graph, node) == weights(GRAPH, node)
            continue
        w, mask = weights(network.graph, node).array, network.form(node.name).mask
        assert mask is not None
        assert not np.any(w[~mask.array])
        fours = mask.array.reshape(-1, 4).sum(axis=1)
        if pattern in ("2:4", "1:4"):
            assert np.all(fours == int(pattern[0]))
        elif pattern == "block4":
            assert set(np.unique(fours)) == {0, 4}
            assert mask.array.sum() == w.size // 8 * 4
        else:
            assert mask.array.sum() == w.size // 2
        row = next(r for r in log if r.layer == node.name)
        assert (row.before, row.after) == (w.size, int(mask.array.sum()))
        assert 0.0 < row.error < 1.0
    left = {r.layer for r in log if r.text.startswith("left alone")}
    assert left == {DEPTHWISE, HEAD}
    # What the chip will hold has the same zeros.
    pinned = pin_weights(network)
    for name in network.forms:
        mask = network.form(name).mask
        assert mask is not None
        node = next(n for n in pinned.nodes if n.name == name)
        assert not np.any(weights(pinned, node).array[~mask.array])


def test_refit_and_the_data_pay() -> None:
    def lost(**options: object) -> float:
        log: list[LayerChange] = []
        sparsify(Network(GRAPH), SAMPLES, amount=0.6, log=log, **options)  # type: ignore[arg-type]
        return sum(r.error for r in log)

    plain = lost(criterion="magnitude", refit=False, distribution="uniform", rounds=1)
    informed = lost(criterion="activation", refit=False, distribution="uniform", rounds=1)
    refitted = lost(criterion="activation", distribution="uniform", rounds=1)
    in_rounds = lost(criterion="activation", distribution="uniform", rounds=8)
    assert plain > informed > refitted > in_rounds


def test_refit_is_the_least_squares_solution() -> None:
    network = sparsify(Network(GRAPH), SAMPLES, amount=0.5, rounds=1, layers=[HIDDEN])
    node = next(n for n in GRAPH.nodes if n.name == HIDDEN)
    c = gather(GRAPH, SAMPLES, [HIDDEN])[HIDDEN].estimate()[0]
    before, after = weights(GRAPH, node).array.astype(np.float64), weights(network.graph, node).array
    form = network.form(HIDDEN).mask
    assert form is not None
    for w, v, kept in zip(before, after, form.array, strict=True):
        want = np.linalg.solve(c[np.ix_(kept, kept)], (w @ c)[kept])
        np.testing.assert_allclose(v[kept], want, atol=2e-3 * np.abs(want).max())


def test_global_takes_more_where_it_costs_less() -> None:
    network = sparsify(Network(GRAPH), SAMPLES, amount=0.5, distribution="global")
    shares = {k: float(f.mask.array.mean()) for k, f in network.forms.items() if f.mask is not None}
    total = sum(f.mask.array.sum() for f in network.forms.values() if f.mask is not None)
    whole = sum(weights(GRAPH, n).size for n in layers(GRAPH) if n.name in network.forms)
    assert abs(total / whole - 0.5) < 0.001
    assert max(shares.values()) - min(shares.values()) > 0.02
    uniform = sparsify(Network(GRAPH), SAMPLES, amount=0.5, distribution="uniform")
    assert distance(GRAPH, network.graph, FRESH) < distance(GRAPH, uniform.graph, FRESH)


def test_masks_stay_and_amounts_count_from_the_start() -> None:
    first = sparsify(Network(GRAPH), SAMPLES, amount=0.5, distribution="uniform")
    second = sparsify(first, SAMPLES, amount=0.75, distribution="uniform")
    for name, form in second.forms.items():
        before = first.form(name).mask
        assert before is not None
        assert form.mask is not None
        assert not np.any(form.mask.array & ~before.array)
        assert form.mask.array.sum() == form.mask.array.size // 4


def test_named_layers_only_and_the_same_every_time() -> None:
    network = sparsify(Network(GRAPH), SAMPLES, amount=0.5, layers=[DEPTHWISE])
    assert set(network.forms) == {DEPTHWISE}
    again = sparsify(Network(GRAPH), SAMPLES, amount=0.5, layers=[DEPTHWISE])
    assert network.graph.tensors == again.graph.tensors


def test_sensitivity_falls_with_the_amount() -> None:
    rows = sensitivity(Network(GRAPH), SAMPLES, amounts=(0.3, 0.9))
    assert [r.layer for r in rows] == [CONV, CONV, POINTWISE, POINTWISE, HIDDEN, HIDDEN]
    for little, much in zip(rows[::2], rows[1::2], strict=True):
        assert little.sqnr_db > much.sqnr_db


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0 <= amount < 1"):
        sparsify(Network(GRAPH), SAMPLES, amount=1.0)
    with pytest.raises(ValueError, match="3:4"):
        sparsify(Network(GRAPH), SAMPLES, pattern="3:4")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r'"nothing".*found conv'):
        sparsify(Network(GRAPH), SAMPLES, layers=["nothing"])
    clustered = Network(GRAPH, {HIDDEN: WeightForm(codebook=(-1, 0, 1))})
    with pytest.raises(ModelError, match="Sparsify first"):
        sparsify(clustered, SAMPLES)
    log: list[LayerChange] = []
    sparsify(Network(GRAPH), SAMPLES, pattern="2:4", layers=[DEPTHWISE], log=log)
    assert "not a multiple of 4" in log[0].text
    bad = correlated((1, 6, 6, 4), 3)
    bad.inputs[0][1, 0, 0, 0, 0] = np.inf
    with pytest.raises(DataError, match=r"sample 1.*NaN or infinite"):
        gather(GRAPH, bad)


def test_a_dead_input_does_no_harm() -> None:
    x = SAMPLES.inputs[0].copy()
    x[..., 0] = 0.0
    dead = type(SAMPLES)((x,), None, "", "a channel is dead")
    network = sparsify(Network(GRAPH, {CONV: WeightForm(mask=Const(np.ones((16, 3, 3, 4), bool)))}), dead, amount=0.5)
    for node in layers(network.graph):
        assert np.isfinite(weights(network.graph, node).array).all()
    assert distance(GRAPH, network.graph, dead) < 0.2
