"""A transposition in front of a Reshape is absorbed by whoever reads the rows, whatever it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.frontend.support import import_model, ops_of, parse, random_feeds, run_original, run_ours
from tinygen.ir.types import Graph
from tinygen.ops import Transpose
from tinygen.passes.pipeline import tidy

SHAPES = {
    "k": (4, 1, 3, 3), "w": (1, 18, 12), "w2": (2, 18, 12), "r": (1, 18, 6), "r2": (2, 18, 6),
    "b": (1, 36), "b2": (2, 36), "m": (12, 2), "o": (12, 5), "n": (60, 2),
}  # fmt: skip
RNG = np.random.default_rng(0)
WEIGHTS = {name: RNG.uniform(-0.6, 0.6, shape).astype(np.float32) for name, shape in SHAPES.items()} | {
    "rows": np.array([1, 5, 12]), "steps": np.array([5, 1, 12]), "part": np.array([2, 7, 3]), "five": np.array([5, 12]),
    "flat": np.array([1, 12, 5]),
}  # fmt: skip
CONV = "c = Conv<pads=[1,1,1,1]>(x, k)"
BY_TIME = f"{CONV} p = Transpose<perm=[0,2,1,3]>(c) f = Reshape(p, rows)"
FIRST = f"{CONV} p = Transpose<perm=[2,0,1,3]>(c) f = Reshape(p, steps)"
GRU = "GRU<hidden_size=6>(f, w, r, b)"
BODIES = {
    "recurrent": f"{FIRST} y, z = {GRU}",
    "with_a_first_state": f"{FIRST} y, z = GRU<hidden_size=6>(f, w, r, b, , s)",
    "both_ways": f'{FIRST} y, z = GRU<hidden_size=6, direction="bidirectional">(f, w2, r2, b2)',
    "dense": f"{BY_TIME} z = MatMul(f, m)",
    "rows_in_two_axes": f"{CONV} p = Transpose<perm=[0,2,1,3]>(c) f = Reshape(p, five) z = MatMul(f, m)",
    "two_readers": f"{BY_TIME} u = MatMul(f, m) v = MatMul(f, o) z = Concat<axis=2>(u, v)",
    "function_between": f"{BY_TIME} g = Sin(f) z = MatMul(g, m)",
    "flattened": f"{BY_TIME} g = Flatten(f) z = MatMul(g, n)",
    "choice": f"{BY_TIME} g = Gather<axis=2>(f, part) z = Softmax<axis=2>(g)",
}
#: What a convolution over (frequency, time) hands to a layer over time: one transposition remains, of whole pixels.
TIME_LAST = {
    "permuted": f"{CONV} p = Transpose<perm=[3,0,1,2]>(c) f = Reshape(p, steps) y, z = {GRU}",
    "reshaped": f"{CONV} p = Reshape(c, flat) f = Transpose<perm=[2,0,1]>(p) y, z = {GRU}",
}


def built(body: str, shape: str, tmp_path: Path) -> Graph:
    """The tidied graph of a body, which gives what onnxruntime gives."""
    words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    ins = f"float[{shape}] x" + (", float[1,1,6] s" if "s" in words else "")
    model = parse(f"g ({ins}) => (float z) {{ {body} }}", weights={k: v for k, v in WEIGHTS.items() if k in words})
    imported = import_model(tmp_path, model)
    tidied = replace(imported, graph=tidy(imported.graph))
    feeds = random_feeds(imported)
    for a, b in zip(run_original(imported, feeds), run_ours(tidied, feeds), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5)
    return tidied.graph


def transposes(graph: Graph) -> list[tuple[int, ...]]:
    return [n.op.perm for n in graph.nodes if isinstance(n.op, Transpose)]


@pytest.mark.parametrize("name", BODIES)
def test_rows_in_another_order(name: str, tmp_path: Path) -> None:
    graph = built(BODIES[name], "1,1,5,3", tmp_path)
    assert transposes(graph) == [], ops_of(graph)


@pytest.mark.parametrize("name", TIME_LAST)
def test_rows_of_pixels(name: str, tmp_path: Path) -> None:
    graph = built(TIME_LAST[name], "1,1,3,5", tmp_path)
    assert len(transposes(graph)) == 1, ops_of(graph)
    assert transposes(graph)[0][-1] == 3  # channels stay together


def test_rows_of_several_are_not_mixed(tmp_path: Path) -> None:
    """Rows that hold elements of several rows are a transposition in earnest."""
    turn = "p = Transpose<perm=[0,2,3,1]>(c) q = Transpose<perm=[0,2,1,3]>(p) f = Reshape(q, rows)"
    body = f"{CONV} {turn} z = MatMul(f, m)"
    assert len(transposes(built(body, "1,1,5,3", tmp_path))) == 1
