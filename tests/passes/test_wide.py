"""int16 activations: which tensors become so, what stands where widths change, and that no accumulator can overflow."""

from __future__ import annotations

import numpy as np
import pytest

from tinygen import simulate
from tinygen.errors import ModelError
from tinygen.ir import invariants
from tinygen.ir.types import DType, Graph, Node, Op, Port, Quant, Stage, Tensor
from tinygen.numerics import Array
from tinygen.ops import Add, Conv, Dense, MaxPool, Requantise, Reshape, Softmax
from tinygen.ops.spatial import Window
from tinygen.passes.quantise import quantise, wide_tensors
from tinygen.passes.widths import asked_wide
from tinygen.plan.planner import plan
from tinygen.plan.types import Place
from tinygen.targets.cores import get_core

RNG = np.random.default_rng(0)
ONE = Window((1, 1), (1, 1), (0, 0, 0, 0), (1, 1))
HALF = Window((2, 2), (2, 2), (0, 0, 0, 0), (1, 1))


def weights(name: str, *shape: int) -> tuple[Tensor, Tensor]:
    w = RNG.normal(size=shape).astype(np.float32)
    return Tensor.constant(f"{name}_w", w), Tensor.constant(f"{name}_b", RNG.normal(size=shape[0]).astype(np.float32))


def chain(*layers: tuple[str, Op, tuple[Tensor, ...]], shape: tuple[int, ...] = (1, 4, 4, 8)) -> Graph:
    """x through layers that read the one before."""
    tensors, nodes, last = {"x": Tensor("x", shape)}, [], "x"
    for name, op, consts in layers:
        tensors |= {t.name: t for t in consts}
        ins = (last, *(t.name for t in consts))
        tensors[name] = Tensor(name, op.infer(*(tensors[i].shape for i in ins))[0])  # type: ignore[attr-defined]
        nodes.append(Node(f"{name}_node", op, ins, (name,), (f"/net/{name}",)))
        last = name
    ports = (Port.plain("x", shape),), (Port.plain(last, tensors[last].shape),)
    return Graph("net", Stage.FLOAT, tensors, tuple(nodes), ("x",), (last,), *ports)


def network() -> Graph:
    return chain(
        ("a", Conv(ONE, lo=0.0), weights("a", 8, 1, 1, 8)),
        ("pool", MaxPool(HALF), ()),
        ("b", Conv(ONE), weights("b", 8, 1, 1, 8)),
        ("flat", Reshape((1, 32)), ()),
        ("fc", Dense(), weights("fc", 10, 32)),
        ("prob", Softmax(), ()),
    )


RANGES = dict.fromkeys(("x", "a", "pool", "b", "flat", "fc"), (-4.0, 3.0))


def widths(graph: Graph) -> set[str]:
    return {t.name for t in graph.tensors.values() if t.const is None and t.dtype is DType.INT16}


def test_ties_are_wide_together() -> None:
    graph = network()
    assert wide_tensors(graph, ["a"]) == {"a", "pool"}
    assert wide_tensors(graph, ["flat"]) == {"b", "flat"}
    assert wide_tensors(graph, [t for t in graph.tensors if not t.endswith(("_w", "_b"))]) == {*RANGES, "prob"}
    with pytest.raises(ValueError, match="nothing"):
        wide_tensors(graph, ["nothing"])


@pytest.mark.parametrize("asked", [("a",), ("x",), ("b",), ("fc",), ("a", "fc"), tuple(RANGES)])
def test_conversions_stand_where_widths_change(asked: tuple[str, ...]) -> None:
    fixed = quantise(network(), RANGES, wide=asked)
    invariants.check(fixed, "quantise")
    assert {t for t in widths(fixed) if t in RANGES} == wide_tensors(network(), asked)
    for node in fixed.nodes:
        ins = {t.dtype for t in fixed.ins(node) if t.const is None}
        assert len(ins) == 1
        if ins != {fixed.outs(node)[0].dtype}:
            narrows = isinstance(node.op, Conv | Dense | Softmax) and ins == {DType.INT16}
            assert isinstance(node.op, Requantise) or narrows
    x = simulate.quantise_inputs(fixed, [RNG.normal(size=(3, 1, 4, 4, 8)).astype(np.float32)])
    (y,) = simulate.run(fixed, x)
    assert y.dtype == np.int8  # a softmax's


def test_a_pin_decides() -> None:
    graph = network()
    pins = {"b": Quant.per_tensor(0.001, 0, 16), "a": Quant.per_tensor(0.02, -128)}
    graph = graph.with_(tensors=[Tensor(n, graph.tensors[n].shape, quant=q) for n, q in pins.items()])
    fixed = quantise(graph, RANGES, wide=("a",))
    assert fixed.tensors["b"].quant == pins["b"]
    assert fixed.tensors["a"].quant == pins["a"]
    assert any("stay in int8, as the model pins them" in n for n in fixed.notes)


def test_widening_is_exact() -> None:
    fixed = quantise(network(), RANGES, wide=("a",))
    node = next(n for n in fixed.nodes if isinstance(n.op, Requantise))
    (x,), out = fixed.ins(node), fixed.outs(node)[0]
    assert x.quant is not None
    assert out.quant is not None
    q = np.arange(-128, 128, dtype=np.int8).reshape(2, 1, 4, 4, 8)
    (wide,) = node.op.run_fixed([x], [q], [out])  # type: ignore[attr-defined]
    assert np.array_equal(wide, 128 * (q.astype(np.int16) - x.quant.zero_point))
    assert out.quant.s * 128 == x.quant.s


@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("taps", [500, 3000, 20_000])
def test_no_accumulator_overflows(taps: int, pinned: bool) -> None:
    """All weights as large as they can be, and a bias besides: partial sums stay in int32, whatever the inputs."""
    w = Tensor.constant("w", np.where(RNG.random((3, taps)) < 0.5, -1, 1).astype(np.float32))
    if pinned:
        w = Tensor("w", w.shape, w.dtype, Quant((1 / 127,) * 3, 0, 0), w.const)
    b = Tensor.constant("b", np.array([0.0, 40.0, -90.0], np.float32))
    graph = chain(("y", Dense(), (w, b)), shape=(1, taps))
    fixed = quantise(graph, {"x": (-8.0, 8.0), "y": (-90.0, 90.0)}, wide=("x",))
    _, qw, qb, _ = fixed.ins(fixed.nodes[-1])
    reach = 2**15 * np.abs(qw.array.astype(np.int64)).sum(axis=1) + np.abs(qb.array.astype(np.int64))
    assert reach.max() < 2**31
    top = int(np.abs(qw.array.astype(np.int64)).max())
    assert reach.max() * (top + 1) / top > 0.97 * 2**31  # no more is lost than must be
    x = np.where(qw.array[:1] > 0, 32767, -32768).astype(np.int16)  # the largest sum there is
    want = (x.astype(np.int64) * qw.array).sum(axis=1) + qb.array
    assert abs(int(want[0])) > 0.9 * int(reach[0])


def values(places: list[Place]) -> set[int]:
    return {p.offset for p in places if p.space == "arena"}


def test_the_arena_counts_bytes() -> None:
    """Twice the buffers, views and places of both widths in one network."""
    graph = chain(*((name, Conv(ONE), weights(name, 8, 1, 1, 8)) for name in "abc"))
    ranges = dict.fromkeys(("x", "a", "b", "c"), (-4.0, 4.0))
    core = get_core("native")
    narrow, wide = (plan(quantise(graph, ranges, wide=w), core, "size") for w in ((), ("x", "a", "b", "c")))
    sizes = [{b.name: b.size for b in p.buffers if "scratch" not in b.name} for p in (narrow, wide)]
    assert sizes[0] == {"a": 128, "b": 128}
    assert sizes[1] == {"a": 256, "b": 256}
    assert [e.nbytes for e in (*wide.inputs, *wide.outputs)] == [256, 256]
    places = [q for s in wide.steps for c in s.calls for q in (*c.inputs, *c.outputs) if isinstance(q, Place)]
    assert values(places)
    assert {q.dtype for q in places} == {DType.INT16}


def test_names_of_layers() -> None:
    graph = network()
    assert asked_wide(graph, "8") == frozenset()
    assert asked_wide(graph, "16") == {*RANGES, "prob"}
    assert asked_wide(graph, "/net/a, x") == {"a", "x"}
    with pytest.raises(ModelError, match=r'no layer "/net/c".*such as'):
        asked_wide(graph, "/net/a,/net/c")


def test_sum_of_both_widths() -> None:
    """A residual in int16, its other operand in int8: the operand is widened, not the residual narrowed."""
    x: Array = RNG.normal(size=(4, 1, 6)).astype(np.float32)
    tensors = {n: Tensor(n, (1, 6)) for n in ("x", "z", "y")}
    ports = (Port.plain("x", (1, 6)), Port.plain("z", (1, 6))), (Port.plain("y", (1, 6)),)
    graph = Graph("sum", Stage.FLOAT, tensors, (Node("add", Add(), ("x", "z"), ("y",)),), ("x", "z"), ("y",), *ports)
    fixed = quantise(graph, dict.fromkeys(tensors, (-4.0, 4.0)), wide=("x",))
    assert widths(fixed) == {"x", "z_wide", "y_own"}
    (y,) = simulate.dequantise_outputs(fixed, simulate.run(fixed, simulate.quantise_inputs(fixed, [x, x])))
    assert np.abs(y - np.clip(2 * x, -4, 4)).max() <= 1.01 * 8 / 255  # half a step of z and of y, nothing of x
