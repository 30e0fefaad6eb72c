"""Recurrent layers among others: what reads a cell or a state, and what makes a first one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.frontend.support import import_model, ops_of, parse
from tinygen import simulate
from tinygen.calibrate.graph import observe, run_float, to_tensors
from tinygen.calibrate.metrics import sqnr_db
from tinygen.emit.library import render_library
from tinygen.emit.programs import ModelView, PortView
from tinygen.emit.view import library_view
from tinygen.flow import verify
from tinygen.flow.verdict import precision
from tinygen.ir import invariants
from tinygen.ir.types import Graph
from tinygen.passes.pipeline import tidy
from tinygen.passes.quantise import quantise, range_tensors, wide_tensors
from tinygen.plan.planner import plan
from tinygen.targets.cores import get_core

UNITS = 8
#: Body, inputs, outputs, gates.
NETWORKS = {
    "a_cell_is_read": (
        "y, h, c = LSTM<hidden_size=8>(x, w, r, b) q = Gather<axis=0>(c, zero) t = Tanh(q) z = MatMul(t, m)",
        "float[6,1,3] x", "float z, float c", 4,
    ),
    "first_states_are_computed": (
        "h0 = MatMul(u, k) h1 = Tanh(h0) c1 = MatMul(u, k) y, h, c = LSTM<hidden_size=8>(x, w, r, b, , h1, c1) "
        "q = Gather<axis=0>(h, zero) z = MatMul(q, m)",
        "float[6,1,3] x, float[1,1,3] u", "float z", 4,
    ),
    "states_are_handed_on": (
        "y, h, c = LSTM<hidden_size=8>(x, w, r, b) y2, h2, c2 = LSTM<hidden_size=8>(x, w, r, b, , h, c) "
        "q = Gather<axis=0>(h2, zero) z = MatMul(q, m)",
        "float[6,1,3] x", "float z", 4,
    ),
    "stacked": (
        "y, h = GRU<hidden_size=8>(x, w, r, b) s = Squeeze(y, one) y2, h2 = GRU<hidden_size=8>(s, w2, r, b) "
        "q = Gather<axis=0>(h2, zero) z = MatMul(q, m)",
        "float[6,1,3] x", "float z", 3,
    ),
}  # fmt: skip


def written(name: str, folder: Path, rng: np.random.Generator) -> Graph:
    """A network of random weights."""
    body, ins, outs, gates = NETWORKS[name]
    rows = gates * UNITS
    shapes = {"w": (1, rows, 3), "w2": (1, rows, UNITS), "r": (1, rows, UNITS), "b": (1, 2 * rows)}
    consts = {n: rng.uniform(-0.6, 0.6, s).astype(np.float32) for n, s in shapes.items()}
    consts |= {n: rng.normal(size=s).astype(np.float32) for n, s in (("m", (UNITS, 4)), ("k", (3, UNITS)))}
    consts |= {"zero": np.array(0), "one": np.array([1])}
    words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    used = {n: v for n, v in consts.items() if n in words}
    return tidy(import_model(folder, parse(f"g ({ins}) => ({outs}) {{ {body} }}", weights=used)).graph)


@pytest.mark.parametrize("wide", [False, True], ids=["int8", "int16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_among_other_layers(name: str, wide: bool, tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    rng = np.random.default_rng(0)
    graph = written(name, tmp_path, rng)
    assert "Transpose" not in ops_of(graph)
    xs = [rng.normal(size=(20, *p.shape)).astype(np.float32) for p in graph.in_ports]
    ranges = observe(graph, to_tensors(graph, xs), range_tensors(graph), "minmax").ranges
    asked = wide_tensors(graph, [t.name for t in graph.tensors.values() if t.const is None]) if wide else frozenset()
    fixed = quantise(graph, ranges.of(asked), wide=asked)
    invariants.check(fixed, "quantise")
    codes = simulate.quantise_inputs(fixed, xs)
    found = simulate.dequantise_outputs(fixed, simulate.run(fixed, codes))
    for real, ours in zip(run_float(graph, xs), found, strict=True):
        assert sqnr_db(real, ours) > (38 if wide else 32)  # a wrong scale or a lost state leaves less than 20
    core = get_core("native")
    planned = plan(fixed, core)
    ports = [
        tuple(PortView(e.name, e.length, e.quant.bits) for e in some) for some in (planned.inputs, planned.outputs)
    ]

    def render(trace: bool) -> dict[str, bytes]:
        view = library_view(
            planned, version="0", abi=1, numerics=1, build_id="0" * 8, sha256="0", model_file="m", trace=trace
        )
        return dict(render_library(view))

    layers = [s for s in planned.steps if s.title in ("GRU", "LSTM")]
    assert all([w.role for w in s.outputs] == list("yhc" if s.title == "LSTM" else "yh") for s in layers)
    if name == "stacked":  # in the others a cell is read
        assert precision(fixed) == ("int16" if wide else "int8")
    inputs = verify.make_inputs(fixed, codes)
    model = ModelView(fixed.name, fixed.name.upper(), "0", *ports)
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wall", "-Wextra", "-Wconversion", "-Werror")
    verify.check_core(core, fixed, planned, render, model, inputs, simulate.run(fixed, inputs), flags)
