"""The ladder of repairs: what each step does by itself, and that only what helps is kept."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.compress.float_nets import CONV, DEPTHWISE, HEAD, HIDDEN, POINTWISE, chain, correlated, distance, mixed
from tests.report.schemas import valid
from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.cli.quantize import quantize
from tinygen.compress.finish import finish
from tinygen.compress.forms.bits import set_bits
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, WeightForm, layers, pin_weights, snap, weights
from tinygen.compress.repairs.adaround import learned_rounding, round_weights
from tinygen.compress.repairs.against_float import AgainstFloat
from tinygen.compress.repairs.equalise import equalise, pairs
from tinygen.compress.repairs.ladder import repair
from tinygen.compress.statistics import gather
from tinygen.errors import DataError, ModelError
from tinygen.flow.quantised import quantised_file
from tinygen.ir.types import Const, Graph, Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops import AvgPool, Conv, Dense, MaxPool, ReduceSum, Softmax, Unary
from tinygen.ops.move import Reshape
from tinygen.ops.spatial import Window

GRAPH = mixed()
SAMPLES = correlated((1, 6, 6, 4), 200)
ONE, NONE, PADS = (1, 1), (0, 0, 0, 0), (1, 1, 1, 1)
ALL = [n.name for n in layers(GRAPH)]
DIGITS = Path(__file__).parents[2] / "examples" / "digits"


def scaled(graph: Graph, seed: int = 0) -> Graph:
    """The same function with the channels between layers of very different size: factors 2^-4 to 2^4."""
    rng = np.random.default_rng(seed)
    tensors = dict(graph.tensors)
    for first, second in itertools.pairwise(layers(graph)):
        w, b = tensors[first.inputs[1]].array, tensors[first.inputs[2]].array
        f = np.exp2(rng.integers(-4, 5, len(w))).astype(np.float32)
        tensors[first.inputs[1]] = replace(
            tensors[first.inputs[1]], const=Const(w * f.reshape(-1, *[1] * (w.ndim - 1)))
        )
        tensors[first.inputs[2]] = replace(tensors[first.inputs[2]], const=Const(b * f))
        v = tensors[second.inputs[1]].array
        if isinstance(second.op, Conv) and second.op.groups > 1:
            v = v / f.reshape(-1, *[1] * (v.ndim - 1))
        else:
            v = v / np.tile(f, v.shape[-1] // len(f))
        tensors[second.inputs[1]] = replace(tensors[second.inputs[1]], const=Const(v))
    return graph.with_(tensors=tensors.values())


# Equalisation ---------------------------------------------------------------------------------------------------------


def test_equalise_keeps_the_function_and_brings_channels_to_one_size() -> None:
    bad = scaled(GRAPH)
    log: list[LayerChange] = []
    done = equalise(Network(bad), SAMPLES, log=log)
    assert distance(GRAPH, bad, SAMPLES) < 1e-9
    assert distance(GRAPH, done.graph, SAMPLES) < 1e-9
    assert [p.first.name for p in pairs(Network(GRAPH))] == [CONV, DEPTHWISE, POINTWISE, HIDDEN]
    assert sum("towards" in c.text for c in log) == 4
    means = {k: s.mean for k, s in gather(done.graph, SAMPLES, [DEPTHWISE]).items()}
    before = {k: s.mean for k, s in gather(bad, SAMPLES, [DEPTHWISE]).items()}
    spread = [float(np.log2(m[DEPTHWISE].max() / m[DEPTHWISE][m[DEPTHWISE] > 0].min())) for m in (before, means)]
    assert spread[1] < spread[0] - 4.0
    judge = AgainstFloat(GRAPH, SAMPLES)
    assert judge.quality(finish(done, SAMPLES)).sqnr_db > judge.quality(finish(Network(bad), SAMPLES)).sqnr_db + 6.0


def test_through_pools_and_reshapes() -> None:
    graph = chain(
        (1, 6, 6, 4),
        [
            ("a", Conv(Window((3, 3), ONE, PADS, ONE), 1, 0.0), (8, 3, 3, 4)),
            ("max", MaxPool(Window((2, 2), (2, 2), NONE, ONE)), None),
            ("avg", AvgPool(Window((2, 2), ONE, PADS, ONE)), None),
            ("flat", Reshape((1, 128)), None),
            ("b", Dense(0.0), (12, 128)),
            ("c", Dense(), (5, 12)),
        ],
        2,
    )
    bad = scaled(graph)
    assert distance(graph, bad, SAMPLES) < 1e-9
    assert [(p.first.name, p.second.name, p.repeat) for p in pairs(Network(bad))] == [("a", "b", 16), ("b", "c", 1)]
    assert distance(graph, equalise(Network(bad), SAMPLES).graph, SAMPLES) < 1e-9


@pytest.mark.parametrize(
    ("op", "between", "reason"),
    [
        (Dense(0.0, 6.0), None, "other bounds for each channel"),
        (Dense(0.0), Unary(("Tanh", "x"), "tanh"), "tanh follows"),
        (Dense(0.0), Softmax(), "softmax follows"),
        (Dense(0.0), ReduceSum((1,)), "adds its channels up"),
    ],
)
def test_where_it_is_refused(op: Dense, between: Unary | Softmax | ReduceSum | None, reason: str) -> None:
    steps = [("a", op, (6, 4)), *([("f", between, None)] if between is not None else [])]
    width = 1 if isinstance(between, ReduceSum) else 6
    graph = chain((1, 4), [*steps, ("b", Dense(), (3, width))], 0)
    log: list[LayerChange] = []
    network = Network(graph)
    assert equalise(network, correlated((1, 4), 10), log=log).graph == graph
    assert reason in log[0].text


def test_scales_that_are_pinned_are_not_equalised() -> None:
    for name, quant in ((f"{CONV}_y", Quant.per_tensor(0.1, 0)), (f"{POINTWISE}_w", Quant((0.1,) * 40, 0, 0))):
        graph = GRAPH.with_(tensors=[replace(GRAPH.tensors[name], quant=quant)])
        found = [p.first.name for p in pairs(Network(graph))]
        assert found == ([DEPTHWISE, POINTWISE, HIDDEN] if name == f"{CONV}_y" else [CONV, HIDDEN])
    book = Network(GRAPH, {HIDDEN: WeightForm(8, (-1, 0, 1))})
    assert [p.first.name for p in pairs(book)] == [CONV, DEPTHWISE, HIDDEN]


def test_dead_channels_stay() -> None:
    w, b = (GRAPH.tensors[f"{CONV}_{k}"].array.copy() for k in "wb")
    w[3], b[3] = 0.0, -1.0
    graph = GRAPH.with_(tensors=[Tensor.constant(f"{CONV}_w", w), Tensor.constant(f"{CONV}_b", b)])
    done = equalise(Network(graph), SAMPLES).graph
    np.testing.assert_array_equal(done.tensors[f"{CONV}_w"].array[3], w[3])
    assert done.tensors[f"{CONV}_b"].array[3] == -1.0
    assert distance(graph, done, SAMPLES) < 1e-9


# Learned rounding -----------------------------------------------------------------------------------------------------


def loss(q: Array, scale: Array, w: Array, c: Array) -> Array:
    d = w - q * scale[:, None]
    return np.asarray(np.einsum("ok,kl,ol->o", d, c, d))


def test_rounding_against_all_integers() -> None:
    """3 bits, 4 weights: near the best of all 7^4, never above rounding to nearest."""
    form = WeightForm(3)
    graph = chain((1, 4), [("d", Dense(), (30, 4))], 3)
    s = gather(graph, correlated((1, 4), 300))["d"]
    w, c = graph.tensors["d_w"].array.astype(np.float64), s.estimate()[0]
    nearest, scale = snap(w.astype(np.float32), form)
    scale = scale.astype(np.float32).astype(np.float64)
    q, same = round_weights(w.astype(np.float32), form, s, scale)
    np.testing.assert_array_equal(same, scale)
    every = np.array(list(itertools.product(range(-3, 4), repeat=4)), np.float64)
    best = np.stack([loss(e[None].repeat(30, 0), scale, w, c) for e in every]).min(axis=0)
    ours, plain = loss(q, scale, w, c), loss(nearest, scale, w, c)
    assert np.all(ours <= plain * (1 + 1e-9))
    assert ours.sum() <= 1.1 * best.sum() < 0.9 * plain.sum()


@pytest.mark.parametrize("name", [CONV, DEPTHWISE, HIDDEN])
def test_rounding_keeps_the_form(name: str) -> None:
    w = weights(GRAPH, next(n for n in layers(GRAPH) if n.name == name)).array
    mask = Const(np.arange(w.size).reshape(w.shape) % 4 > 0)
    s = gather(GRAPH, SAMPLES, [name])[name]
    for form in (WeightForm(4), WeightForm(4, None, mask), WeightForm(8, (-90, -20, 0, 7, 110), mask)):
        q, scale = round_weights(w, form, s)
        allowed = set(form.codebook) if form.codebook else set(range(-form.top, form.top + 1))
        assert set(np.unique(q).tolist()) <= allowed
        assert form.mask is None or not q[~mask.array].any()
        nearest, old = snap(w, form)
        real, plain = (a * b.reshape(-1, *[1] * (w.ndim - 1)) for a, b in ((q, scale), (nearest, old)))
        before = w if form.mask is None else np.where(mask.array, w, 0.0)
        assert s.relative_error(before, real) < s.relative_error(before, plain)


def test_learned_rounding_of_a_network() -> None:
    network = set_bits(Network(GRAPH), 4, ALL)
    log: list[LayerChange] = []
    done = learned_rounding(network, SAMPLES, log=log)
    assert [c.layer for c in log] == ALL
    # The weights are where they will be: pinning them changes nothing.
    assert pin_weights(done).tensors == done.graph.tensors
    judge = AgainstFloat(GRAPH, correlated((1, 6, 6, 4), 60))
    plain, rounded = (judge.quality(finish(n, SAMPLES)).sqnr_db for n in (network, done))
    assert rounded > plain + 2.0
    again = learned_rounding(network, SAMPLES)
    assert again.graph.tensors == done.graph.tensors


# The ladder -----------------------------------------------------------------------------------------------------------


def test_ladder_on_badly_scaled_channels() -> None:
    bad = Network(scaled(GRAPH))
    result = repair(bad, SAMPLES)
    rows = {row.step: row for row in result.rows}
    assert list(rows) == ["equalise", "bias", "round", "wide"]
    assert rows["equalise"].kept
    assert rows["equalise"].after.sqnr_db > rows["equalise"].before.sqnr_db + 6.0
    for row, after in itertools.pairwise(result.rows):
        assert after.before == (row.after if row.kept else row.before)
    last = result.rows[-1]
    end = last.after if last.kept else last.before
    judged = next(r for r in result.after if r.layer == HEAD)
    assert judged.sqnr_db > next(r for r in result.before if r.layer == HEAD).sqnr_db + 6.0
    assert end.sqnr_db >= rows["equalise"].after.sqnr_db
    # What is given is what was measured.
    assert all(t.quant is not None for t in result.graph.tensors.values() if t.const is None)


def test_what_does_not_help_is_left_out() -> None:
    """Equalised already: the second time brings nothing. And without a step in the list it is not tried."""
    network = equalise(Network(GRAPH), SAMPLES)
    result = repair(network, SAMPLES, steps=("equalise",))
    assert [(r.step, r.kept) for r in result.rows] == [("equalise", False)]
    assert result.network.graph.tensors == network.graph.tensors


def test_wide_where_something_is_lost() -> None:
    network = set_bits(Network(GRAPH), 3, ALL)
    result = repair(network, SAMPLES, steps=("round", "wide"))
    row = result.rows[-1]
    assert row.kept, row
    assert "int8 weights" in row.text
    assert row.after.sqnr_db > row.before.sqnr_db + 3.0
    plain = repair(Network(GRAPH), SAMPLES, steps=("bias", "wide"))
    assert plain.rows[-1].text.startswith("not needed")
    asked = repair(Network(scaled(GRAPH)), SAMPLES, steps=("bias", "wide"), widen=True)
    assert asked.rows[-1].kept, asked.rows[-1]
    assert asked.network.wide


def test_errors() -> None:
    with pytest.raises(ValueError, match='no repair "magic"'):
        repair(Network(GRAPH), SAMPLES, steps=("magic",))
    few = replace(SAMPLES, inputs=(SAMPLES.inputs[0][:5],))
    with pytest.raises(DataError, match="found 5 samples, at least 10"):
        repair(Network(GRAPH), few)


# The command ----------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> str:
    result = CliRunner().invoke(quantize, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_quantize_and_build(tmp_path: Path) -> None:
    file = tmp_path / "digits.onnx"
    text = run(
        str(DIGITS / "digits.onnx"), "--data", str(DIGITS / "digits_calib.npz"), "--test",
        str(DIGITS / "digits_test.npz"), "--weights", "4", "--repair", "equalise,bias,round", "-o", str(file), "--json",
    )  # fmt: skip
    found = valid("quantize", json.loads(text))
    assert [r["step"] for r in found["repairs"]] == ["equalise", "bias", "round"]
    assert found["weight_bytes"]["now"] < found["weight_bytes"]["int8"]
    assert found["test"]["accuracy"] > found["test"]["float_accuracy"] - 0.02
    assert all(math.isfinite(r["after"]) for r in found["layers"])
    # tinygen build needs no data for it, and has the accuracy that was measured.
    model = quantised_file(file)
    with np.load(DIGITS / "digits_test.npz") as data:
        x, y = data["x"], data["y"]
    samples = Samples((x.reshape(len(x), *model.tidy.in_ports[0].shape).astype(np.float32),), y, "", "test")
    ints = simulate.run(model.fixed, simulate.quantise_inputs(model.fixed, samples.inputs))
    assert float(np.mean(ints[0].reshape(len(x), -1).argmax(axis=1) == y)) == found["test"]["accuracy"]


def test_tables(tmp_path: Path) -> None:
    file = tmp_path / "q.onnx"
    text = run(
        str(DIGITS / "digits.onnx"), "--data", str(DIGITS / "digits_calib.npz"), "--activations", "16",
        "--repair", "none", "-o", str(file),
    )  # fmt: skip
    assert "int16" in text
    assert "tinygen build takes it without --data" in " ".join(text.split())  # wrapped where the path is long
    wide = {t.quant.bits for t in quantised_file(file).fixed.tensors.values()
            if t.const is None and t.quant is not None}  # fmt: skip
    assert wide == {16}


def refused(kind: type[Exception], match: str, *arguments: str) -> None:
    with pytest.raises(kind, match=match):
        CliRunner().invoke(quantize, list(arguments), catch_exceptions=False, standalone_mode=False)


def test_command_errors(tmp_path: Path) -> None:
    model, out = str(DIGITS / "digits.onnx"), ["-o", str(tmp_path / "q.onnx")]
    with np.load(DIGITS / "digits_calib.npz") as data:
        x = data["x"]
    labels = {"few": None, "labels": np.zeros((len(x), 3)), "class": np.full(len(x), 12)}
    for name, y in labels.items():
        np.savez(tmp_path / f"{name}.npz", **({"x": x[:5]} if y is None else {"x": x, "y": y}))
    refused(DataError, "no such|not found|does not exist", model, "--data", str(tmp_path / "none.npz"), *out)
    refused(DataError, "at least 10", model, "--data", str(tmp_path / "few.npz"), *out)
    refused(DataError, "labels have shape", model, "--data", str(tmp_path / "labels.npz"), *out)
    refused(DataError, "allowed are the class numbers 0 to 9", model, "--data", str(tmp_path / "class.npz"), *out)
    assert not (tmp_path / "q.onnx").exists()


def test_a_network_without_weights(tmp_path: Path) -> None:
    from tinygen.frontend.onnx_writer import to_onnx

    (tmp_path / "m.onnx").write_bytes(to_onnx(chain((1, 4), [("t", Unary(("Tanh", "x"), "tanh"), None)], 0)))
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).normal(size=(20, 1, 4)).astype(np.float32))
    refused(
        ModelError, "has no convolution and no dense layer", str(tmp_path / "m.onnx"), "--data",
        str(tmp_path / "d.npz"), "-o", str(tmp_path / "q.onnx"),
    )  # fmt: skip
