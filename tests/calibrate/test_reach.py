"""Ranges hold what readers can tell apart, and nothing is cut where little is gained."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.calibrate.test_ranges import histogram
from tinygen import simulate
from tinygen.calibrate.graph import observe
from tinygen.calibrate.ranges import HALF, Range
from tinygen.calibrate.reach import EVERYTHING, reach
from tinygen.ir.types import Graph, Node, Port, Stage, Tensor
from tinygen.numerics import Array
from tinygen.ops import ArgMax, MaxPool, Operator, Reshape, Softmax, Unary
from tinygen.ops.softmax import _exp2, exp_rule
from tinygen.ops.spatial import Window
from tinygen.ops.unary import clip_expr, evaluate
from tinygen.passes.quantise import quantise, range_tensors

SEEN = {"x": Range(-40.0, 20.0)}


def chain(*ops: Operator, shape: tuple[int, ...] = (1, 4)) -> Graph:
    """x through `ops`, one after the other: tensors x, t0, t1, ..."""
    tensors, nodes = [Tensor("x", shape)], []
    for i, op in enumerate(ops):
        out = Tensor(f"t{i}", op.infer(tensors[-1].shape)[0])
        nodes.append(Node(f"n{i}", op, (tensors[-1].name,), (out.name,)))
        tensors.append(out)
    last = tensors[-1]
    ports = Port.plain("x", shape), Port.plain("y", last.shape)
    return Graph(
        "g", Stage.FLOAT, {t.name: t for t in tensors}, tuple(nodes), ("x",), (last.name,), (ports[0],), (ports[1],)
    )


@pytest.mark.parametrize(
    ("expr", "lo", "hi"),
    [
        (("Sigmoid", "x"), -6.9, 6.9),
        (("Tanh", "x"), -3.4, 3.4),
        (clip_expr(0.0, 6.0), 0.0, 6.0),
        (("Mul", "x", ("Sigmoid", "x")), -5.6, 20.0),
        (("Mul", "x", 2.0), -40.0, 20.0),
        (("Abs", "x"), -40.0, 20.0),
    ],
)
def test_flat_ends_are_cut(expr: tuple[object, ...], lo: float, hi: float) -> None:
    op = Unary(expr)  # type: ignore[arg-type]
    found = reach(chain(op), SEEN, {})["x"]
    assert max(found.lo, SEEN["x"].lo) == pytest.approx(lo, abs=0.5)
    assert min(found.hi, SEEN["x"].hi) == pytest.approx(hi, abs=0.5)
    x = np.linspace(*SEEN["x"], 5000)
    lost = np.abs(evaluate(op.expr, x) - evaluate(op.expr, x.clip(*found)))
    assert lost.max() <= 0.26 * np.ptp(evaluate(op.expr, x)) / 255


@pytest.mark.parametrize("op", [Unary(("Floor", "x")), ArgMax(), Unary(("Log", "x"))])
def test_jumps_and_the_unknown_need_everything(op: Operator) -> None:
    assert reach(chain(op), SEEN, {})["x"] == EVERYTHING


def test_far_below_the_largest_nothing_reaches_a_softmax() -> None:
    found = reach(chain(Softmax()), SEEN, {"x": 5.0})["x"]
    assert found.hi == math.inf
    others = 3 * math.exp(found.lo - 5.0)
    assert 0.2 < others * 256 < 0.26


def test_operators_that_pick_pass_on_and_outputs_need_everything() -> None:
    pool = MaxPool(Window((1, 2), (1, 2), (0, 0, 0, 0), (1, 1)))
    g = chain(pool, Reshape((1, 8)), Unary(("Sigmoid", "x")), shape=(1, 1, 4, 4))
    seen = dict.fromkeys(("x", "t0", "t1", "t2"), SEEN["x"])
    found = reach(g, seen, {})
    assert found["x"] == found["t0"] == found["t1"] != EVERYTHING
    assert found["t2"] == EVERYTHING
    both = chain(Unary(("Sigmoid", "x")))
    both = both.with_(outputs=("t0", "x"), out_ports=(both.out_ports[0], Port.plain("x", (1, 4))))
    assert reach(both, SEEN, {})["x"] == EVERYTHING


def test_several_readers_need_the_hull() -> None:
    g = chain(Unary(("Sigmoid", "x")))
    two = Node("m", Unary(clip_expr(-20.0, 0.0)), ("x",), ("z",))
    g = g.with_(
        nodes=(*g.nodes, two),
        tensors=(Tensor("z", (1, 4)),),
        outputs=("t0", "z"),
        out_ports=(g.out_ports[0], Port.plain("z", (1, 4))),
    )
    found = reach(g, SEEN, {})["x"]
    assert found.lo == pytest.approx(-20.0, abs=0.1)
    assert 5 < found.hi < 9


def test_clipped_histogram_is_that_of_clipped_values() -> None:
    x = np.random.default_rng(1).normal(size=4000).astype(np.float32) * 9
    h, c = histogram(x), histogram(x).clipped(-3.0, 5.0)
    assert c.minmax == (-3.0, 5.0)
    assert c.counts.sum() == h.counts.sum()
    inside = slice(int(np.floor(-3 / h.width)) + HALF + 1, int(np.floor(5 / h.width)) + HALF)
    assert np.array_equal(c.counts[inside], h.counts[inside])
    assert h.clipped(-1e9, 1e9) is h


def accuracy(x: Array, wide: tuple[str, ...] = ()) -> float:
    """How often the integers find the largest of three values behind a softmax."""
    g = chain(Softmax(), shape=(1, 3))
    ranges = observe(g, [x], range_tensors(g), "mse").ranges
    fixed = quantise(g, ranges.of(wide), wide=wide)
    (y,) = simulate.run(fixed, simulate.quantise_inputs(fixed, [x]))
    return float(np.mean(y.argmax(axis=-1) == x.argmax(axis=-1)))


def test_wide_logits_keep_their_order() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(0, 20, (300, 1, 2)), rng.uniform(-900, -300, (300, 1, 1))], axis=2)
    assert accuracy(x.astype(np.float32)) >= 0.99
    assert accuracy(x.astype(np.float32), ("x",)) >= 0.99


def test_little_gain_changes_nothing() -> None:
    """A range is cut only where that makes the step finer by a bit."""
    x = np.random.default_rng(0).normal(size=(200, 1, 4)).astype(np.float32) * 3
    g = chain(Unary(("Sigmoid", "x")))
    found = observe(g, [x], ("x",), "minmax").ranges
    assert found.best["x"] == histogram(x).minmax


@pytest.mark.parametrize("scale", [1e-9, 1e-5, 3e-4, 0.01, 0.7, 5.0, 1e6])
def test_exponentials_of_int16_follow_the_function(scale: float) -> None:
    m, shift, length = exp_rule(scale)
    d = np.arange(min(length, 2**16), dtype=np.int64)
    assert int(d[-1]) * m < 2**32
    assert length == 2**16 or math.exp(-scale * length) < 1.1 / 2**17
    assert np.abs(_exp2(d, m, shift) - 65536 * np.exp(-scale * d)).max() < 4.0
