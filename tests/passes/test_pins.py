"""No pass loses a pinned scale: pins in random places of every pattern, through every pass, in any order."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.frontend.support import session
from tests.passes.graphs import ONNX, graph
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.invariants import InvariantError
from tinygen.ir.types import Graph, Node, Port, Quant, Stage, Tensor
from tinygen.numerics import Array
from tinygen.ops import Add, MaxPool, Operator, Reshape, Slice, Transpose, Unary
from tinygen.ops.spatial import Window
from tinygen.ops.unary import clip_expr
from tinygen.passes import absorb_pins, pins
from tinygen.passes.base import Pass, Promise, apply, drop_dead
from tinygen.passes.pipeline import TIDY, tidy

PASSES = tuple({p.name: p for p in TIDY}.values())
#: Scales that are powers of two: with pins on a few values, float rounding does not decide.
SCALES = (2.0**-2, 2.0**-4, 3 * 2.0**-6)


def pin_some(g: Graph, seed: int, share: float = 0.4) -> Graph:
    """The graph with a pin on a share of its activations, few different ones so that neighbours may agree."""
    rng = random.Random(seed)
    pinned = []
    for t in g.tensors.values():
        if t.const is None and rng.random() < share:
            zero = rng.choice([0, -128, 5])
            pinned.append(replace(t, quant=Quant.per_tensor(rng.choice(SCALES), zero, pin=f"q:{t.name}")))
    return g.with_(tensors=pinned)


def outputs(g: Graph, seed: int = 0) -> list[Array]:
    """Outputs in the ONNX layout with every pin rounding."""
    rng = np.random.default_rng(seed)
    model = session(to_onnx(g, rounded=True), optimise=False)
    rows = []
    for _ in range(3):
        ins = [p.to_tensor((2 * rng.normal(size=(1, *p.shape))).astype(np.float32))[0] for p in g.in_ports]
        found = model.run(list(g.outputs), dict(zip(g.inputs, ins, strict=True)))
        rows.append([p.to_onnx(y[None])[0] for p, y in zip(g.out_ports, found, strict=True)])
    return [np.stack(column) for column in zip(*rows, strict=True)]


def assert_mostly_equal(before: Graph, after: Graph) -> None:
    """Float rounding moves a value over the edge of a step here and there; a lost pin moves most of them."""
    for want, got in zip(outputs(before), outputs(after), strict=True):
        off = np.abs(got - want) > 1e-4 * max(1.0, float(np.abs(want).max()))
        assert off.mean() <= 0.02 or off.sum() <= 2


@pytest.mark.parametrize("p", PASSES, ids=[p.name for p in PASSES])
@pytest.mark.parametrize("name", ONNX)
def test_alone(name: str, p: Pass) -> None:
    """`apply` checks the pins."""
    for seed in range(6):
        before = pin_some(graph(name), seed, (0.2, 0.5, 0.9)[seed % 3])
        after = apply(p, before)
        assert apply(p, after) is after


@pytest.mark.parametrize("name", ONNX)
def test_in_the_pipeline(name: str) -> None:
    for seed in range(4):
        before = pin_some(graph(name), seed, (0.2, 0.9)[seed % 2])
        after = tidy(before)
        assert tidy(after) is after
        pins.check(before, after, "tidy")
        if seed < 2:
            assert_mostly_equal(before, after)


@pytest.mark.parametrize("name", ONNX)
def test_in_any_order(name: str) -> None:
    for seed in range(3):
        before = after = pin_some(graph(name), seed + 10)
        for p in random.Random(seed).sample(PASSES, len(PASSES)):
            after = apply(p, after)
        pins.check(before, after, "all")


# What the check finds, and what it lets pass --------------------------------------------------------------------------

A = Quant.per_tensor(0.05, 3, pin="a")
A2 = replace(A, pin="a2")
B = Quant.per_tensor(0.1, -7, pin="b")


def chain(*steps: tuple[Operator, Quant | None], read_twice: int | None = None) -> Graph:
    """x through operators, each output with its pin; the output of step `read_twice` is added to the last."""
    tensors = [Tensor("x", (1, 4, 4, 2))]
    nodes = []
    for i, (op, q) in enumerate(steps):
        (shape,) = op.infer(tensors[-1].shape)
        nodes.append(Node(f"n{i}", op, (tensors[-1].name,), (f"t{i}",), (f"/n{i}",)))
        tensors.append(Tensor(f"t{i}", shape, quant=q))
    if read_twice is not None:
        tensors.append(Tensor("sum", tensors[-1].shape))
        nodes.append(Node("add", Add(), (f"t{read_twice}", f"t{len(steps) - 1}"), ("sum",), ("/add",)))
    last = tensors[-1]
    return Graph(
        "pinned", Stage.FLOAT, {t.name: t for t in tensors}, tuple(nodes), ("x",), (last.name,),
        (Port.plain("x", (1, 4, 4, 2)),), (Port.plain("y", last.shape),),
    )  # fmt: skip


SIN = Unary(("Sin", "x"), "sin")
TANH = Unary(("Tanh", "x"), "tanh")
FLIP = Transpose((0, 2, 1, 3))


def unpin(name: str) -> Callable[[Graph], Graph]:
    return lambda g: g.with_(tensors=[replace(g.tensors[name], quant=None)])


def skip(name: str) -> Callable[[Graph], Graph]:
    """Leave a node of one input out."""

    def run(g: Graph) -> Graph:
        node = next(n for n in g.nodes if n.name == name)
        nodes = [
            replace(n, inputs=tuple(node.inputs[0] if i == node.outputs[0] else i for i in n.inputs)) for n in g.nodes
        ]
        return drop_dead(g.with_(nodes=nodes))

    return run


def repin(name: str, q: Quant) -> Callable[[Graph], Graph]:
    return lambda g: g.with_(tensors=[replace(g.tensors[name], quant=q)])


LOST = {
    "dropped": (chain((SIN, A), (TANH, B)), unpin("t0")),
    "dropped_before_a_move": (chain((SIN, A), (FLIP, None), (TANH, B)), unpin("t0")),
    "bypassed": (chain((SIN, None), (FLIP, A), (FLIP, None), (TANH, None), read_twice=1), skip("n1")),
    "other_scale": (chain((SIN, A), (TANH, B)), repin("t0", replace(A, scale=(0.06,)))),
    "other_zero_point": (chain((SIN, A), (TANH, B)), repin("t0", replace(A, zero_point=4))),
    "wider": (chain((SIN, replace(A, zero_point=0)), (TANH, B)), repin("t0", replace(A, zero_point=0, bits=16))),
    "on_another_value": (chain((SIN, A), (TANH, None)), lambda g: repin("t1", A)(unpin("t0")(g))),
    "one_of_two_that_differ": (chain((SIN, A), (FLIP, B)), unpin("t0")),
    "dropped_though_read_by_others": (chain((SIN, A), (FLIP, A2), (FLIP, None), read_twice=0), unpin("t0")),
    "clamp_off_the_grid": (chain((SIN, A), (Unary(clip_expr(0.0, 0.777), "clip"), A2)), unpin("t0")),
}
KEPT = {
    "nothing": (chain((SIN, A), (TANH, B)), lambda g: g),
    "said_twice": (chain((SIN, A), (FLIP, A2)), unpin("t1")),
    "said_again_behind": (chain((SIN, A), (FLIP, A2)), unpin("t0")),
    "picked": (chain((SIN, A), (Slice((0, 1, 0, 0), (1, 1, 1, 1), (1, 2, 4, 2)), A2)), unpin("t1")),
    "pooled": (chain((SIN, A), (MaxPool(Window((2, 2), (2, 2), (0,) * 4, (1, 1))), A2)), unpin("t0")),
    "relu": (chain((SIN, A), (Unary(clip_expr(0.0, np.inf), "relu"), A2)), unpin("t0")),
    "moved": (chain((SIN, None), (FLIP, A)), lambda g: repin("t0", A)(unpin("t1")(g))),
}


@pytest.mark.parametrize("name", LOST)
def test_a_lost_pin_is_found(name: str) -> None:
    before, change = LOST[name]
    with pytest.raises(InvariantError, match="after spoil"):
        apply(Pass("spoil", change, Promise.EXACT), before)


@pytest.mark.parametrize("name", KEPT)
def test_what_changes_nothing_passes(name: str) -> None:
    before, change = KEPT[name]
    apply(Pass("harmless", change, Promise.EXACT), before)


def test_moves_carry_no_pin() -> None:
    """The pin goes in front of a transpose; between the two where others read the unpinned value as well."""
    g = pins.settle(chain((SIN, None), (FLIP, None), (Reshape((1, 4, 8)), A)))
    assert [g.tensors[f"t{i}"].quant for i in range(3)] == [A, None, None]
    before = chain((SIN, None), (FLIP, A), (FLIP, None), read_twice=0)
    g = pins.settle(before)
    assert [type(n.op) for n in g.nodes] == [Unary, Unary, Transpose, Transpose, Add]
    assert g.tensors[g.nodes[1].outputs[0]].quant == A
    assert g.tensors["t0"].quant is None
    pins.check(before, g, "settle")
    assert pins.settle(g) is g


def test_one_pin_for_every_reader() -> None:
    """A value that is quantised for each of its readers, always alike, is quantised once."""

    def twice(second: Quant) -> Graph:
        before = chain((SIN, None), (Unary("x", "requantise"), A), (TANH, None), read_twice=None)
        other = Tensor("other", before.tensors["t0"].shape, quant=second)
        total = Tensor("sum", other.shape)
        step = Node("q2", Unary("x", "requantise"), ("t0",), ("other",), ("/q2",))
        add = Node("add", Add(), ("t2", "other"), ("sum",), ("/add",))
        return before.with_(nodes=(*before.nodes, step, add), tensors=(other, total), outputs=("sum",))

    g = apply(absorb_pins.PASS, twice(A2))
    assert [type(n.op) for n in g.nodes] == [Unary, Unary, Add]
    assert g.tensors["t0"].quant == A
    kept = apply(absorb_pins.PASS, twice(B))
    assert kept.tensors["t0"].quant is None
    assert len(kept.nodes) == 5
