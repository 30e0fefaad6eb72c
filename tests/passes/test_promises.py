"""Every pass of the pipeline keeps its promise, and finds nothing left to do when it runs again."""

from __future__ import annotations

import random

import pytest

from tests.passes.graphs import GRAPHS, ONNX, assert_same, graph, names
from tinygen.ir import invariants
from tinygen.ir.text import dump
from tinygen.passes.base import Pass, Promise, apply
from tinygen.passes.pipeline import TIDY, tidy

#: Float rounding, relative to the largest output. EXACT passes keep the bits; onnxruntime may still take another
#: algorithm for the rewritten node, whose sums round otherwise.
TOLERANCE = {Promise.EXACT: 2e-6, Promise.CLOSE: 2e-5}
PASSES = tuple({p.name: p for p in TIDY}.values())
#: ONNX operators that a pass may drop without a layer that is named after them: they become a port's business, or (the
#: maximum that is subtracted before exponentials and added behind the logarithm) cancel out.
LEAVES = {
    "layout": {"Transpose"},
    "input_affine": {"Add", "Sub", "Mul", "Div", "BatchNormalization"},
    "log_sum_exp": {"ReduceMax"},
}


def test_every_pass_promises_something_testable() -> None:
    assert all(p.promise in TOLERANCE for p in TIDY)
    assert all(p.run is next(q.run for q in PASSES if q.name == p.name) for p in TIDY)


@pytest.mark.parametrize("name", GRAPHS)
def test_in_the_pipeline(name: str) -> None:
    """Pass after pass as tidy() runs them: same values before and after, the same graph when run twice."""
    before = graph(name)
    for p in TIDY:
        after = apply(p, before)
        if after is not before:
            assert_same(before, after, TOLERANCE[p.promise])
        assert apply(p, after) is after, f"{p.name} is not idempotent:\n{dump(after)}\n{dump(apply(p, after))}"
        before = after
    assert before == tidy(graph(name))


@pytest.mark.parametrize("p", PASSES, ids=[p.name for p in PASSES])
@pytest.mark.parametrize("name", ONNX)
def test_alone(name: str, p: Pass) -> None:
    """A pass needs no other before it: on the graph as imported it may find little, but breaks nothing."""
    before = graph(name)
    after = apply(p, before)
    assert_same(before, after, TOLERANCE[p.promise])
    assert apply(p, after) is after


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ONNX)
def test_in_any_order(name: str, seed: int) -> None:
    """The order of the pipeline is a matter of quality, not of truth."""
    order = random.Random(seed).sample(PASSES, len(PASSES))
    after = before = graph(name)
    for p in order:
        after = apply(p, after)
    assert_same(before, after, 5e-5)
    invariants.check(after)


@pytest.mark.parametrize("name", GRAPHS)
def test_tidy_twice_is_tidy(name: str) -> None:
    once = tidy(graph(name))
    assert dump(tidy(once)) == dump(once)


@pytest.mark.parametrize("name", ONNX)
def test_origins_survive(name: str) -> None:
    """Every layer knows the ONNX nodes it came from, and no name is made up."""
    known = {n.name for n in ONNX[name]().graph.node}
    for node in tidy(graph(name)).nodes:
        assert node.origin, (node.name, names(tidy(graph(name))))
        if name != "nasty":
            assert set(node.origin) <= known


@pytest.mark.parametrize("name", ONNX)
def test_no_origin_is_lost(name: str) -> None:
    """A layer that takes another in is named after both."""
    kinds = {n.name: n.op_type for n in ONNX[name]().graph.node}
    after = graph(name)
    for p in TIDY:
        before, after = after, apply(p, after)
        known, kept = ({o for n in g.nodes for o in n.origin} for g in (before, after))
        lost = {o for o in known - kept if kinds.get(o) not in LEAVES.get(p.name, set())}
        assert not lost, f"{p.name}: merge_origin"
