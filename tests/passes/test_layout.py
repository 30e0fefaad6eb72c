"""A transposition in front of a Reshape is absorbed by whoever reads the rows, whatever it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.frontend.support import import_model, ops_of, parse, random_feeds, run_original, run_ours
from tinygen.ops import Transpose
from tinygen.passes.pipeline import tidy

SHAPES = {
    "k": (4, 1, 3, 3), "w": (1, 18, 12), "w2": (2, 18, 12), "r": (1, 18, 6), "r2": (2, 18, 6),
    "b": (1, 36), "b2": (2, 36), "m": (12, 2), "o": (12, 5),
}  # fmt: skip
RNG = np.random.default_rng(0)
WEIGHTS = {name: RNG.uniform(-0.6, 0.6, shape).astype(np.float32) for name, shape in SHAPES.items()} | {
    "rows": np.array([1, 5, 12]), "steps": np.array([5, 1, 12]), "part": np.array([2, 7, 3]), "five": np.array([5, 12]),
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
    "choice": f"{BY_TIME} g = Gather<axis=2>(f, part) z = Softmax<axis=2>(g)",
}


@pytest.mark.parametrize("name", BODIES)
def test_rows_in_another_order(name: str, tmp_path: Path) -> None:
    body = BODIES[name]
    words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    ins = "float[1,1,5,3] x" + (", float[1,1,6] s" if " s " in f" {' '.join(words)} " else "")
    model = parse(f"g ({ins}) => (float z) {{ {body} }}", weights={k: v for k, v in WEIGHTS.items() if k in words})
    imported = import_model(tmp_path, model)
    tidied = replace(imported, graph=tidy(imported.graph))
    assert not [n for n in tidied.graph.nodes if isinstance(n.op, Transpose)], ops_of(tidied.graph)
    feeds = random_feeds(imported)
    for a, b in zip(run_original(imported, feeds), run_ours(tidied, feeds), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5)


def test_rows_of_several_are_not_mixed(tmp_path: Path) -> None:
    """Rows that hold elements of several rows are a transposition in earnest."""
    body = "c = Conv<pads=[1,1,1,1]>(x, k) p = Transpose<perm=[0,2,3,1]>(c) q = Transpose<perm=[0,2,1,3]>(p) " \
           "f = Reshape(q, rows) z = MatMul(f, m)"  # fmt: skip
    weights = {k: WEIGHTS[k] for k in ("k", "m", "rows")}
    model = parse(f"g (float[1,1,5,3] x) => (float z) {{ {body} }}", weights=weights)
    graph = tidy(import_model(tmp_path, model).graph)
    assert "Transpose" in ops_of(graph)
