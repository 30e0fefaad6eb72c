"""Networks with recurrent layers: through every technique and back from the file, what is left alone and why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import helper

from tests.compress.float_nets import distance, outputs
from tests.compress.test_finish import fixed_of, round_trip
from tests.flow.test_recurrent import NETWORKS, written
from tests.frontend.support import import_model, parse
from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.calibrate.graph import run_float
from tinygen.calibrate.metrics import sqnr_db
from tinygen.compress.finish import finish
from tinygen.compress.forms.bits import Bits, set_bits
from tinygen.compress.forms.cluster import Cluster
from tinygen.compress.forms.sparsity import Sparsity
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network
from tinygen.compress.pipeline import Compressed, compress
from tinygen.compress.recipe import Recipe
from tinygen.compress.repairs.ladder import Repairs
from tinygen.compress.structure.apart import apart, together
from tinygen.compress.structure.channel_groups import layer_costs
from tinygen.compress.structure.products import products
from tinygen.compress.structure.prune import Prune, prune
from tinygen.compress.structure.rank import Rank, factorise
from tinygen.compress.structure.student import student
from tinygen.compress.train import Training, fine_tune
from tinygen.errors import ModelError, RecipeError
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.frontend.onnx_writer import to_qdq
from tinygen.ir import invariants
from tinygen.ir.types import Graph, Tensor
from tinygen.numerics import Array
from tinygen.ops import Recurrent
from tinygen.ops.base import real_of
from tinygen.passes.channels import Channels, couple, keep
from tinygen.passes.pipeline import tidy
from tinygen.passes.quantise import quantise

T, CHANNELS, N_IN, UNITS = 6, 4, 32, 12
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def network(kind: str, folder: Path, *, last: bool = True, directions: int = 1, clamp: bool = False) -> Graph:
    """A pointwise convolution, a recurrent layer over what it gives (T, 1, N_IN), two dense layers."""
    rng, rows, wide = np.random.default_rng(0), GATES[kind] * UNITS, directions * UNITS
    shapes = {
        "k": (N_IN, CHANNELS, 3), "kb": (N_IN,), "w": (directions, rows, N_IN), "r": (directions, rows, UNITS),
        "b": (directions, 2 * rows), "m": (wide, 64), "mb": (64,), "n": (64, 3),
    }  # fmt: skip
    weights = {k: rng.normal(0, 0.25, s).astype(np.float32) for k, s in shapes.items()}
    weights |= {"zero": np.array([0]), "first": np.array([1]), "flat": np.array([1, -1])}
    way = '<hidden_size=12, direction="bidirectional">' if directions == 2 else "<hidden_size=12>"
    names = "y, h, c" if kind == "LSTM" else "y, h"
    pick = "s = Transpose<perm=[1, 0, 2]>(h) f = Reshape(s, flat)" if last else (
        "s = Transpose<perm=[2, 0, 1, 3]>(y) f = Reshape(s, rows)")  # fmt: skip
    weights["rows"] = np.array([T, wide])
    dense = "j = Relu(f) d = MatMul(j, m)" if clamp else "d = MatMul(f, m)"
    body = (
        f"u = Conv<pads=[1, 1]>(x, k, kb) v = Relu(u) t = Transpose<perm=[2, 0, 1]>(v) "
        f"{names} = {kind}{way}(t, w, r, b) {pick} {dense} e = Add(d, mb) g = Relu(e) z = MatMul(g, n)"
    )
    words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    used = {k: v for k, v in weights.items() if k in words}
    text = f"g (float[1,{CHANNELS},{T}] x) => (float z) {{ {body} }}"
    return tidy(import_model(folder, parse(text, weights=used)).graph)


def samples(count: int = 40) -> Samples:
    rng = np.random.default_rng(3)
    mixing = rng.normal(size=(5, CHANNELS * T))
    x = (rng.normal(size=(count, 5)) @ mixing / 2).reshape(count, 1, CHANNELS, T)
    return Samples((x.astype(np.float32),), None, "", "made in the test")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def layer(graph: Graph) -> Recurrent:
    return next(n.op for n in graph.nodes if isinstance(n.op, Recurrent))


def run(graph: Graph, recipe: Recipe) -> Compressed:
    return compress(graph, samples(), recipe)


RECIPES = {
    "bits": Recipe(Bits(4)),
    "cluster": Recipe(Cluster(8)),
    "sparsity": Recipe(Sparsity(0.5)),
    "rank": Recipe(Rank(energy=0.9)),
    "repairs": Recipe(Bits(4), Repairs()),
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_layers_around_are_compressed(kind: str, recipe: Recipe, tmp_path: Path) -> None:
    graph = network(kind, tmp_path)
    assert not layer(graph).sequence
    done = run(graph, recipe)
    round_trip(done.graph, samples(), tmp_path)
    node = next(n for n in graph.nodes if isinstance(n.op, Recurrent))
    assert done.graph.by_name[node.name].op == node.op
    (said,) = (c for c in done.changes if c.layer == node.name)
    alone = "left alone: kernels of recurrent layers read plain int8 weights"
    assert said.text.startswith("lowrank 12") if said.technique == "factorise" else said.text == alone
    assert any(c.after < c.before for c in done.changes)


@pytest.mark.parametrize("quantise", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_training_reaches_the_layer_and_what_is_before_it(kind: str, quantise: bool, tmp_path: Path) -> None:
    """Weights moved away come back, with gradients through time; of int8 they come back on their grids."""
    teacher, data = network(kind, tmp_path, directions=2), samples(48)
    rng = np.random.default_rng(0)
    node = next(n for n in teacher.nodes if isinstance(n.op, Recurrent))
    moved = [
        Tensor.constant(name, (t.array + rng.normal(0, 0.1, t.shape)).astype(np.float32))
        for name in ("k", *node.inputs[1:4])
        if (t := teacher.tensors[name])
    ]
    student = Network(teacher.with_(tensors=moved))
    settings = Training(epochs=7, batch=16, learning_rate=0.03, quantise=quantise)
    tuned = fine_tune(student, teacher, data, settings)
    assert distance(teacher, tuned.graph, data) < 0.5 * distance(teacher, student.graph, data)
    assert all(tuned.graph.tensors[t.name].const != t.const for t in moved)
    finished = finish(tuned, data)
    round_trip(finished, data, tmp_path)
    if not quantise:
        return
    for name in node.inputs[1:3]:
        w = tuned.graph.tensors[name].array
        steps = w / np.abs(w).max(axis=-1, keepdims=True) * 127.0
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("last", [True, False], ids=["last", "steps"])
@pytest.mark.parametrize("kind", GATES)
def test_a_file_has_the_layer_as_it_was(kind: str, last: bool, directions: int, tmp_path: Path) -> None:
    graph = network(kind, tmp_path, last=last, directions=directions)
    finished = finish(Network(graph), samples())
    content = round_trip(finished, samples(), tmp_path)
    read = fixed_of(content, tmp_path)
    assert layer(read).sequence == layer(graph).sequence  # no memory for steps that nobody reads
    assert layer(read).rules == layer(fixed_of(to_qdq(finished), tmp_path)).rules


@pytest.mark.parametrize("wide", [False, True], ids=["int8", "int16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_tells_of_states_that_others_read(name: str, wide: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    graph = written(name, tmp_path, rng)
    every = frozenset(t.name for t in graph.tensors.values() if t.const is None)
    xs = tuple(rng.normal(size=(20, *p.shape)).astype(np.float32) for p in graph.in_ports)
    data = Samples(xs, None, "", "made in the test")
    round_trip(finish(Network(graph, wide=every if wide else frozenset()), data), data, tmp_path)


def test_a_clamp_in_int16_stays_what_it_was(tmp_path: Path) -> None:
    """Behind the reshape that a file has there as well."""
    graph = network("LSTM", tmp_path, clamp=True)
    every = frozenset(t.name for t in graph.tensors.values() if t.const is None)
    round_trip(finish(Network(graph, wide=every), samples()), samples(), tmp_path)


def test_a_step_is_compressed_without_its_states_and_built_with_them(tmp_path: Path) -> None:
    """What the refusal of networks with a state advises."""
    rng, rows = np.random.default_rng(0), 4 * UNITS
    shapes = {
        "k": (5, 16),
        "w": (1, rows, 16),
        "r": (1, rows, UNITS),
        "b": (1, 2 * rows),
        "m": (UNITS, 64),
        "n": (64, 2),
    }
    weights = {k: rng.normal(0, 0.3, s).astype(np.float32) for k, s in shapes.items()} | {"zero": np.array([0])}
    state = f"float[1,1,{UNITS}]"
    text = (
        f"g (float[1,5] x, {state} h, {state} c) => (float[1,2] z, {state} g, {state} d) {{ a = MatMul(x, k) "
        "t = Tanh(a) u = Unsqueeze(t, zero) y, g, d = LSTM<hidden_size=12>(u, w, r, b, , h, c) "
        "q = Squeeze(g, zero) e = MatMul(q, m) f = Relu(e) z = MatMul(f, n) }"
    )
    step = parse(text, weights=weights)
    imported = import_model(tmp_path, step)
    graph = tidy(imported.graph)
    session = ort.InferenceSession(imported.original)
    h = c = np.zeros((1, 1, UNITS), np.float32)
    calls = []
    for _ in range(60):
        x = rng.normal(size=(1, 5)).astype(np.float32)
        calls.append((x, h, c))
        _, h, c = session.run(None, {"x": x, "h": h, "c": c})
    data = Samples(tuple(np.stack(v) for v in zip(*calls, strict=True)), None, "", "made in the test")
    done = compress(graph, data, Recipe(Prune(0.2), Bits(4)))
    path = tmp_path / "step.onnx"
    path.write_bytes(round_trip(done.graph, data, tmp_path))
    fixed = quantise(tidy(read_onnx(path, states={"h": "g", "c": "d"}).graph), {})
    assert [fixed.tensors[s.reads].quant for s in fixed.states] == [fixed.tensors[s.writes].quant for s in fixed.states]
    assert [q.bits for s in fixed.states if (q := fixed.tensors[s.reads].quant) is not None] == [8, 24]
    xs = data.inputs[0][None]
    (ours,) = simulate.run(fixed, simulate.quantise_inputs(fixed, [xs]))
    real = run_float(tidy(import_model(tmp_path, step, states={"h": "g", "c": "d"}).graph), [xs])[0]
    out = fixed.tensors[fixed.outputs[0]]
    assert sqnr_db(real, real_of(out, ours).reshape(real.shape)) > 15  # of 4 bits in three layers


def test_a_file_that_tells_nonsense(tmp_path: Path) -> None:
    content = to_qdq(finish(Network(network("LSTM", tmp_path)), samples()))
    model = onnx.ModelProto.FromString(content)
    told = json.loads(model.metadata_props[0].value)
    assert {name: set(outs) for name, outs in told.items()} == {
        next(n.name for n in model.graph.node if n.op_type == "LSTM"): {"y", "h", "c", "cells", "steps"}
    }
    for text in ("nothing", '{"n": {"y": [1.0]}}', '{"n": {"y": [1.0, 0, 7]}}', "[1]"):
        helper.set_model_props(model, {"tinygen.scales": text})
        (tmp_path / "bad.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(ModelError, match=r'its property "tinygen\.scales" is no table of scales'):
            read_onnx(tmp_path / "bad.onnx")


# Units and channels that go -------------------------------------------------------------------------------------------


def cleared(graph: Graph, kept: Array, channels: Channels) -> Graph:
    """The network without what is read of channels that go: weights of 0, nothing removed."""
    made: dict[str, Array] = {}
    for p in products(graph):
        name, (read, _) = p.node.inputs[p.index], p.classes(channels)
        w = made.get(name, graph.tensors[name].array).copy()
        part = w if p.part is None else w[p.part]
        part *= kept[read].astype(np.float32)
        made[name] = w
    return graph.with_(tensors=[Tensor.constant(name, w) for name, w in made.items()])


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("last", [True, False], ids=["last", "steps"])
@pytest.mark.parametrize("kind", GATES)
def test_fewer_units_are_units_that_nobody_reads(
    kind: str, last: bool, directions: int, seed: int, tmp_path: Path
) -> None:
    graph = network(kind, tmp_path, last=last, directions=directions)
    channels = couple(graph)
    kept = channels.pinned | (np.random.default_rng(seed).random(len(channels.pinned)) < 0.6)
    small = keep(graph, channels.masks(kept))
    invariants.check(small)
    assert layer(small).units < UNITS
    data = samples(8)
    np.testing.assert_allclose(outputs(small, data), outputs(cleared(graph, kept, channels), data), atol=1e-5)


@pytest.mark.parametrize("refit", [True, False], ids=["refit", "as they are"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_what_matters_least_goes(kind: str, refit: bool, tmp_path: Path) -> None:
    """Units that repeat others, but for some noise, go first; and the others make up for them."""
    graph, data = network(kind, tmp_path, directions=2), samples()
    node = next(n for n in graph.nodes if isinstance(n.op, Recurrent))
    names, half = node.inputs[1:4], UNITS // 2
    w, r, b = (graph.tensors[name].array.copy() for name in names)
    of = np.concatenate([np.arange(half), np.arange(half)])
    gates = GATES[kind]
    w = w.reshape(2, gates, UNITS, -1)[:, :, of]
    r = r.reshape(2, gates, UNITS, -1)[:, :, of]
    b = b.reshape(2, 2 * gates, UNITS)[:, :, of]
    noisy = [(a + np.random.default_rng(1).normal(0, 0.01, a.shape)).astype(np.float32) for a in (w, r, b)]
    shapes = [graph.tensors[name].shape for name in names]
    twins = graph.with_(
        tensors=[Tensor.constant(n, a.reshape(s)) for n, a, s in zip(names, noisy, shapes, strict=True)]
    )
    log: list[LayerChange] = []
    small = prune(Network(twins), data, amount=0.3, layers=[node.name], refit=refit, least=0.1, multiple=2, log=log)
    kept = layer(small.graph).units
    assert kept < UNITS - 2
    assert any(c.layer == node.name and c.text == f"{2 * kept} of {2 * UNITS} units kept" for c in log)
    error = distance(twins, small.graph, data)
    assert error < (0.05 if refit else 1.5)
    round_trip(finish(small, data), data, tmp_path)


@pytest.mark.parametrize("criterion", ["activation", "magnitude", "taylor"])
def test_pruning_reaches_its_amount_in_all_layers(criterion: str, tmp_path: Path) -> None:
    graph = network("GRU", tmp_path)
    recipe = Recipe(Prune(0.5, criterion=criterion), Training(epochs=1, batch=16))  # type: ignore[arg-type]
    done = run(graph, recipe)
    before, after = (sum(c.total for c in layer_costs(g, "macs").values()) for g in (graph, done.graph))
    assert 0.25 * before < after <= 0.5 * before
    assert layer(done.graph).units % 4 == 0
    round_trip(done.graph, samples(), tmp_path)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("kind", GATES)
def test_w_is_two_thinner_matrices(kind: str, directions: int, tmp_path: Path) -> None:
    """A dense layer in front, and W of what that gives; where W is of that rank nothing is lost."""
    graph, data = network(kind, tmp_path, directions=directions), samples()
    node = next(n for n in graph.nodes if isinstance(n.op, Recurrent))
    w = graph.tensors[node.inputs[1]].array
    rng = np.random.default_rng(0)
    low = rng.normal(0, 0.4, (*w.shape[:2], 4)) @ rng.normal(0, 0.4, (4, N_IN))
    graph = graph.with_(tensors=[Tensor.constant(node.inputs[1], low.astype(np.float32))])
    log: list[LayerChange] = []
    thin = factorise(Network(graph), data, energy=0.999, layers=[node.name], log=log)
    made = next(n for n in thin.graph.nodes if isinstance(n.op, Recurrent))
    (before,) = (n for n in thin.graph.nodes if n.outputs[0] == made.inputs[0])
    assert (before.name, thin.graph.tensors[before.inputs[1]].shape) == (f"{node.name}_x_in", (4, N_IN))
    assert thin.graph.tensors[made.inputs[1]].shape == (*w.shape[:2], 4)
    (row,) = log
    assert (row.layer, row.before, row.after) == (node.name, w.size, 4 * (N_IN + w.size // N_IN))
    assert distance(graph, thin.graph, data) < 1e-4
    round_trip(finish(thin, data), data, tmp_path)
    same, back = apart(graph)
    np.testing.assert_allclose(outputs(same, data), outputs(graph, data), atol=1e-5)
    np.testing.assert_array_equal(outputs(together(same, back), data), outputs(graph, data))


def test_a_student_is_narrower_inside_as_well(tmp_path: Path) -> None:
    graph = network("LSTM", tmp_path)
    narrow = student(Network(graph), width=0.5)
    assert layer(narrow.graph).units == 8  # of 12 half, in fours
    assert narrow.graph.tensors["k"].shape[0] == N_IN // 2


def test_layers_by_name(tmp_path: Path) -> None:
    graph = network("LSTM", tmp_path)
    name = next(n.origin[-1] for n in graph.nodes if isinstance(n.op, Recurrent))
    kept = run(graph, Recipe(Prune(0.3), layers={name: {"prune": False}}))
    assert layer(kept.graph).units == UNITS
    with pytest.raises(RecipeError, match=r"read plain int8 weights\. Allowed there is prune = false"):
        run(graph, Recipe(layers={name: {"bits": 4}}))
    with pytest.raises(ModelError, match="cannot have it: kernels of recurrent layers"):
        set_bits(Network(graph), 4, [n.name for n in graph.nodes if isinstance(n.op, Recurrent)])
