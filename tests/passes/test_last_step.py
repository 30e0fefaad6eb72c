"""Recurrent layers keep only what is read, and who reads the last step gets it in the width of outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.frontend.support import import_model, ops_of, parse
from tinygen import simulate
from tinygen.calibrate.graph import observe, run_float, to_tensors
from tinygen.ir.types import Graph
from tinygen.numerics import Array
from tinygen.ops import Recurrent
from tinygen.passes.pipeline import tidy
from tinygen.passes.quantise import quantise, range_tensors

STEPS, N_IN, UNITS = 6, 3, 8


def weights(gates: int, directions: int = 1) -> dict[str, Array]:
    rng, rows = np.random.default_rng(0), gates * UNITS
    shapes = {"w": (directions, rows, N_IN), "r": (directions, rows, UNITS), "b": (directions, 2 * rows)}
    made = {k: rng.uniform(-0.6, 0.6, s).astype(np.float32) for k, s in shapes.items()}
    return made | {"m": rng.normal(size=(directions * UNITS, 2)).astype(np.float32), "zero": np.array(0),
                   "last": np.array(-1), "first": np.array([0]), "flat": np.array([1, -1])}  # fmt: skip


def network(body: str, gates: int, tmp_path: Path, directions: int = 1, outputs: str = "float z") -> Graph:
    made = weights(gates, directions)
    words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    used = {k: v for k, v in made.items() if k in words}
    text = f"g (float[{STEPS},1,{N_IN}] x) => ({outputs}) {{ {body} }}"
    return tidy(import_model(tmp_path, parse(text, weights=used)).graph)


def layer(graph: Graph) -> Recurrent:
    return next(n.op for n in graph.nodes if isinstance(n.op, Recurrent))


def fixed(graph: Graph) -> tuple[Graph, list[Array], list[Array]]:
    xs = [np.random.default_rng(1).normal(size=(20, *p.shape)).astype(np.float32) for p in graph.in_ports]
    seen = observe(graph, to_tensors(graph, xs), range_tensors(graph), "minmax")
    made = quantise(graph, seen.ranges.best)
    outs = simulate.dequantise_outputs(made, simulate.run(made, simulate.quantise_inputs(made, xs)))
    return made, run_float(graph, xs), list(outs)


GRU, LSTM = "GRU<hidden_size=8, linear_before_reset=1>(x, w, r, b)", "LSTM<hidden_size=8>(x, w, r, b)"
LAST = {
    "by_y_h": f"y, h = {GRU} s = Gather<axis=0>(h, zero) z = MatMul(s, m)",
    "by_index": f"y, h = {GRU} s = Gather<axis=0>(y, last) q = Squeeze(s, first) z = MatMul(q, m)",
    "both_ways": f"y, h = {GRU} s = Gather<axis=0>(y, last) q = Squeeze(s, first) t = Gather<axis=0>(h, zero) "
    "u = Add(q, t) z = MatMul(u, m)",
}


@pytest.mark.parametrize("name", LAST)
def test_the_last_step_alone_is_kept(name: str, tmp_path: Path) -> None:
    graph = network(LAST[name], 3, tmp_path)
    assert not layer(graph).sequence
    assert set(ops_of(graph)) <= {"Reshape", "Gru", "Unary", "Dense"}
    made, real, got = fixed(graph)
    readers = [n for n in made.nodes if type(n.op).__name__ in ("Dense", "Unary")]
    assert {t.dtype.value for n in readers for t in made.ins(n)[:1]} == {"int8"}
    assert np.abs(got[0] - real[0]).max() < 0.1 * np.abs(real[0]).max()


def scale(graph: Graph) -> float:
    node = next(n for n in graph.nodes if isinstance(n.op, Recurrent))
    quant = graph.tensors[node.outputs[0]].quant
    assert quant is not None
    return quant.s


@pytest.mark.parametrize(("layer_", "gates"), [(LSTM, 4), (GRU, 3)])
def test_the_range_of_a_last_step_is_that_of_all(layer_: str, gates: int, tmp_path: Path) -> None:
    """h of earlier steps is rounded with the same scale: calibration must see it."""
    whole = network(f"y, h = {layer_} z = Identity(y)", gates, tmp_path)
    last = network(f"y, h = {layer_} s = Gather<axis=0>(h, zero) z = MatMul(s, m)", gates, tmp_path)
    assert (layer(whole).sequence, layer(last).sequence) == (True, False)
    assert scale(fixed(whole)[0]) == scale(fixed(last)[0])


def test_a_state_stays_a_state(tmp_path: Path) -> None:
    """What goes out as h is the state in int16, and what else reads it takes the last step of y in int8."""
    body = f"z, h = {GRU} s = Gather<axis=0>(h, zero) u = MatMul(s, m)"
    graph = network(body, 3, tmp_path, outputs="float z, float h, float u")
    assert layer(graph).sequence
    made, real, got = fixed(graph)
    z, h, _ = (made.tensors[name] for name in made.outputs)
    assert (z.dtype.value, h.dtype.value) == ("int8", "int16")
    for ours, wanted in zip(got, real, strict=True):
        assert np.abs(ours - wanted).max() < 0.1 * np.abs(wanted).max()
    dense = next(n for n in made.nodes if type(n.op).__name__ == "Dense")
    assert made.ins(dense)[0].dtype.value == "int8"


def test_both_directions_end_at_different_steps(tmp_path: Path) -> None:
    """`[:, -1]` of a bidirectional layer holds the reverse direction's first step: y is kept whole."""
    body = 'y, h = LSTM<hidden_size=8, direction="bidirectional">(x, w, r, b) s = Gather<axis=0>(y, last) '
    graph = network(body + "q = Reshape(s, flat) z = MatMul(q, m)", 4, tmp_path, directions=2)
    assert layer(graph).sequence
    _, real, got = fixed(graph)
    assert np.abs(got[0] - real[0]).max() < 0.1 * np.abs(real[0]).max()
