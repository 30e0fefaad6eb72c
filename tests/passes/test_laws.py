"""Recurrent layers have quantisations by a law: zero point 0 for h, a power of two for a GRU's state, 24 bits for a
cell. What a file pins otherwise, and states from elsewhere, are converted at the layer's ends.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.frontend.support import import_model, parse
from tinygen import simulate
from tinygen.calibrate.graph import observe, run_float, to_tensors
from tinygen.emit.library import kernel_files
from tinygen.ir import invariants
from tinygen.ir.types import Graph
from tinygen.numerics import Array
from tinygen.ops import Recurrent
from tinygen.ops.base import bits_of
from tinygen.passes.pipeline import tidy
from tinygen.passes.quantise import quantise, range_tensors
from tinygen.plan.planner import plan
from tinygen.targets.cores import get_core

STEPS, N_IN, UNITS = 6, 3, 8
#: Kind: its gates, and its outputs.
KINDS = {"GRU": (3, "y, h"), "LSTM": (4, "y, h, c"), "RNN": (1, "y, h")}
PIN = "{0}q = QuantizeLinear({0}, scale{1}, zero) {0}p = DequantizeLinear({0}q, scale{1}, zero)"


def network(kind: str, body: str, outputs: str, tmp_path: Path, start: str = "s", cell: str = "t") -> Graph:
    """x, and the states before the first step: s (1, 1, UNITS), half of an input, and t, -s."""
    rng, (gates, outs) = np.random.default_rng(0), KINDS[kind]
    weights: dict[str, Array] = {
        "w": rng.uniform(-0.6, 0.6, (1, gates * UNITS, N_IN)).astype(np.float32),
        "r": rng.uniform(-0.6, 0.6, (1, gates * UNITS, UNITS)).astype(np.float32),
        "half": np.float32(0.5), "scale1": np.float32(1 / 100), "scale2": np.float32(1 / 120), "zero": np.int8(9),
        "picked": np.array([5, 1, 1, 6]), "pads": np.array([0, 0, 1, 0, 0, 2]), "last": np.array([2]),
    }  # fmt: skip
    states = f"{start}, {cell}" if kind == "LSTM" else start
    text = f"""
        g (float[{STEPS},1,{N_IN}] x, float[1,1,{UNITS}] s0) => ({outputs})
        {{ s = Mul(s0, half) t = Neg(s) {outs} = {kind}<hidden_size={UNITS}>(x, w, r, , , {states}) {body} }}"""
    words = set(text.replace("(", " ").replace(")", " ").replace(",", " ").split())
    return tidy(import_model(tmp_path, parse(text, weights={k: v for k, v in weights.items() if k in words})).graph)


def errors(graph: Graph, wide: tuple[str, ...] = (), reach: tuple[float, float] = (1.9, 1.9)) -> list[float]:
    """Root mean squares of what each output is off by, against the output's own. `reach`: of x and of s0."""
    rng = np.random.default_rng(2)
    xs = [
        (rng.uniform(-1, 1, (30, *p.shape)) * top).astype(np.float32)
        for p, top in zip(graph.in_ports, reach, strict=True)
    ]
    seen = observe(graph, to_tensors(graph, xs), range_tensors(graph), "minmax")
    fixed = quantise(graph, seen.ranges.best, wide=wide)
    invariants.check(fixed, "quantise")
    node = next(n for n in fixed.nodes if isinstance(n.op, Recurrent))
    assert isinstance(node.op, Recurrent)
    assert all(node.op.obeys(t.quant, k) for k, t in enumerate(fixed.outs(node)) if t.quant is not None)
    assert bits_of(fixed.ins(node)[0]) == bits_of(fixed.outs(node)[0])  # as its kernels have it
    made = plan(fixed, get_core("cortex-m4"))
    assert all(kernel_files(made.kernels, made.generated))
    outs = simulate.dequantise_outputs(fixed, simulate.run(fixed, simulate.quantise_inputs(fixed, xs)))
    return [
        float(np.sqrt(np.mean((a - b.reshape(a.shape)) ** 2) / np.mean(b**2)))
        for a, b in zip(outs, run_float(graph, xs), strict=True)
    ]


PINNED = {
    "y": (PIN.format("y", 1), "float yp"),
    "h": (PIN.format("h", 1), "float yp, float hp"),
    "both": (f"{PIN.format('y', 1)} {PIN.format('h', 2)}", "float yp, float hp"),
    "start": (PIN.format("s", 2), "float y, float h"),
    "all": (f"{PIN.format('s', 2)} {PIN.format('y', 1)}", "float yp, float h"),
}


@pytest.mark.parametrize("where", PINNED)
@pytest.mark.parametrize("kind", KINDS)
def test_pins_that_no_kernel_can_have(kind: str, where: str, tmp_path: Path) -> None:
    body, outputs = PINNED[where]
    if where == "h":
        body += " yp = Identity(y)"
    graph = network(kind, body, outputs, tmp_path, "sp" if "sq" in body else "s")
    limit = 0.15 if kind == "LSTM" and where in ("start", "all") else 0.05  # h is small beside its first value
    assert max(errors(graph)) < limit
    everything = tuple(t.name for t in graph.tensors.values() if t.const is None)
    assert max(errors(graph, everything)) < limit


def test_a_pinned_cell(tmp_path: Path) -> None:
    graph = network("LSTM", f"{PIN.format('c', 2)} z = Identity(y)", "float z, float cp", tmp_path)
    assert max(errors(graph)) < 0.05


def test_one_tensor_for_both_states(tmp_path: Path) -> None:
    """It is converted to what each of them is."""
    assert max(errors(network("LSTM", "", "float y, float c", tmp_path, cell="s"))) < 0.05


def test_a_first_state_larger_than_any_other(tmp_path: Path) -> None:
    """What a GRU multiplies is a copy of its state in the scale of y, which must hold the first one too."""
    graph = network("GRU", "z = Mul(y, half)", "float z", tmp_path)
    assert max(errors(graph, reach=(1.0, 1.8))) < 0.015  # 0.018 where it is clipped


READERS = (
    "ReduceMax(c, last)",
    "Max(c, s)",
    "Gather<axis=2>(c, picked)",
    "Pad(c, pads)",
    "Transpose<perm=[2, 0, 1]>(c)",
)


@pytest.mark.parametrize("reader", READERS)
def test_what_reads_a_cell(reader: str, tmp_path: Path) -> None:
    """Only what copies has a kernel for 24 bits."""
    graph = network("LSTM", f"v = {reader} z = Mul(v, half)", "float z, float y", tmp_path)
    assert max(errors(graph)) < 0.05
