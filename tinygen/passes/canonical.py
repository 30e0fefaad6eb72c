"""One form for things that can be said in several ways, so that later passes and kernels meet fewer of them.

Reshape of Reshape, and to the same shape; pieces of a tensor joined again; a pool over the whole plane is a mean; a
convolution with one output pixel is a dense layer.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from tinygen.ir.types import Node, Tensor
from tinygen.ops import AvgPool, Concat, Conv, Dense, Gather, Lookup, ReduceSum, Reshape, Slice, Unary
from tinygen.ops.unary import evaluate
from tinygen.passes.base import Pass, Promise, fresh, merge_origin, until_stable
from tinygen.passes.draft import Draft
from tinygen.passes.moves import FOLLOWED, origin_of, place


def _reshape(graph: Draft, node: Node) -> bool:
    x, y = graph.ins(node)[0], graph.outs(node)[0]
    if x.shape == y.shape and y.name not in graph.results and (y.quant is None or y.quant == x.quant):
        return graph.bypass(node, x.name)
    before = graph.producer.get(x.name)
    if before is not None and isinstance(before.op, Reshape) and (x.quant is None or x.quant == y.quant):
        merged = replace(node, inputs=before.inputs, origin=merge_origin(before, node))
        return graph.replace({node.name: (merged,)})
    return False


def _pool(graph: Draft, node: Node) -> bool:
    assert isinstance(node.op, AvgPool)
    window, x = node.op.window, graph.ins(node)[0]
    if window.kernel != x.shape[1:-1] or any(window.pads):
        return False
    axes = tuple(range(1, len(x.shape) - 1))
    return graph.replace({node.name: (replace(node, op=ReduceSum(axes, keepdims=True)),)})


def _conv(graph: Draft, node: Node) -> bool:
    op = node.op
    assert isinstance(op, Conv)
    x, w, _ = graph.ins(node)
    y = graph.outs(node)[0]
    if op.groups != 1 or op.window.kernel != x.shape[1:-1] or any(op.window.pads):
        return False
    flat = Tensor(fresh(graph, f"{x.name}_flat"), (1, x.size))
    row = Tensor(fresh(graph, f"{y.name}_row"), (1, y.size), quant=y.quant)
    weights = Tensor.constant(fresh(graph, f"{w.name}_flat"), w.array.reshape(w.shape[0], -1), w.quant)
    return graph.replace(
        {
            node.name: (
                Node(fresh(graph, f"{node.name}_in"), Reshape(flat.shape), (x.name,), (flat.name,), node.origin),
                Node(
                    node.name, Dense(op.lo, op.hi), (flat.name, weights.name, node.inputs[2]), (row.name,), node.origin
                ),
                Node(fresh(graph, f"{node.name}_out"), Reshape(y.shape), (row.name,), (y.name,), node.origin),
            )
        },
        (flat, row, weights, replace(y, quant=None)),
    )


def _lookup(graph: Draft, node: Node) -> bool:
    """A function in front of a look-up that picks no other row for any integer of its pinned input (a QDQ file rounds
    and cuts indices off before it casts them)."""
    before = graph.producer.get(node.inputs[0])
    t = graph.tensors[node.inputs[0]]
    if before is None or not isinstance(before.op, Unary) or t.quant is not None:
        return False
    x, last = graph.ins(before)[0], graph.ins(node)[1].shape[0] - 1
    if x.quant is None or x.quant.bits != 8:
        return False
    real = x.quant.s * (np.arange(x.quant.low, x.quant.high + 1) - x.quant.zero_point)
    picked, own = (np.clip(np.rint(v), 0, last) for v in (evaluate(before.op.expr, real), real))
    if not np.array_equal(picked, own):
        return False
    merged = replace(node, inputs=(x.name, *node.inputs[1:]), origin=merge_origin(before, node))
    return graph.replace({node.name: (merged,)})


def _concat(graph: Draft, node: Node) -> bool:
    """Pieces of one tensor put together again as they lay in it."""
    assert isinstance(node.op, Concat)
    y = graph.outs(node)[0]
    if y.quant is not None or any(t.quant is not None or t.const is not None for t in graph.ins(node)):
        return False
    found = _run_of(graph, node, node.op.axis)
    return _turned_round(graph, node) if found is None else _as_run(graph, node, *found)


def _turned_round(graph: Draft, node: Node) -> bool:
    """Rows of one tensor joined from the last to the first are picked at once."""
    ins, y = graph.ins(node), graph.outs(node)[0]
    steps, row = len(ins), ins[0].size
    if y.size > FOLLOWED or steps < 3 or any(t.size != row for t in ins):
        return False
    places = [place(graph, t.name) for t in ins]
    source, last = places[0]
    x = graph.tensors[source]
    if x.size != y.size or places != [(source, last - k * row) for k in range(steps)]:
        return False
    rows, back = (Tensor(fresh(graph, f"{y.name}_{word}"), (steps, row), y.dtype) for word in ("rows", "back"))
    view = Node(fresh(graph, f"{node.name}_rows"), Reshape(rows.shape), (source,), (rows.name,), node.origin)
    turn = Gather(0, tuple(range(steps))[::-1])
    pick = Node(fresh(graph, f"{node.name}_back"), turn, (rows.name,), (back.name,), node.origin)
    whole = replace(node, op=Reshape(y.shape), inputs=(back.name,))
    return graph.replace({node.name: (view, pick, whole)}, (rows, back))


def _as_run(graph: Draft, node: Node, source: str, first: int) -> bool:
    """In the node's place a cut of consecutive values, and a view of that, where the source's shape allows it."""
    x, y = graph.tensors[source], graph.outs(node)[0]
    if x.size == y.size:
        return graph.replace({node.name: (replace(node, op=Reshape(y.shape), inputs=(source,)),)})
    axis = next(i for i, d in enumerate(x.shape) if d > 1)
    row = x.size // x.shape[axis]
    if first % row or y.size % row:
        return False
    starts, counts = [0] * len(x.shape), list(x.shape)
    starts[axis], counts[axis] = first // row, y.size // row
    run = Tensor(fresh(graph, f"{y.name}_run"), tuple(counts), y.dtype)
    taken = Slice(tuple(starts), (1,) * len(counts), run.shape)
    cut = Node(fresh(graph, f"{node.name}_run"), taken, (source,), (run.name,), node.origin)
    return graph.replace({node.name: (cut, replace(node, op=Reshape(y.shape), inputs=(run.name,)))}, (run,))


def _run_of(graph: Draft, node: Node, axis: int) -> tuple[str, int] | None:
    """The tensor of which the output of a Concat is a run of values, and where that begins."""
    ins, y = graph.ins(node), graph.outs(node)[0]
    places = [place(graph, t.name) for t in ins]
    source, first = places[0]
    if source != ins[0].name and math.prod(y.shape[:axis]) == 1:
        ends = np.cumsum([first, *(t.size for t in ins)])
        if places == [(source, at) for at in ends[:-1]]:
            return source, first
    if y.size > FOLLOWED or any(t.name not in graph.producer for t in ins):
        return None
    source, at = origin_of(graph, y.name)
    moved = source != y.name and source not in node.inputs
    return (source, int(at[0])) if moved and np.array_equal(at, np.arange(at[0], at[0] + at.size)) else None


def _picked(graph: Draft, node: Node) -> bool:
    """Values that are moved back to where they were, or consecutive ones of what was moved."""
    x, y = graph.ins(node)[0], graph.outs(node)[0]
    before = graph.producer.get(x.name)
    while before is not None and isinstance(before.op, Reshape):
        before = graph.producer.get(before.inputs[0])
    if x.quant is not None or y.quant is not None or before is None or not isinstance(before.op, Gather):
        return False
    if x.size > FOLLOWED:
        return False
    source, at = origin_of(graph, y.name)
    if graph.tensors[source].size > FOLLOWED or not np.array_equal(at, np.arange(at[0], at[0] + y.size)):
        return False
    return source != x.name and _as_run(graph, node, source, int(at[0]))


def _step(graph: Draft, node: Node) -> bool:
    if isinstance(node.op, Gather | Slice):
        return _picked(graph, node)
    if isinstance(node.op, Concat):
        return _concat(graph, node)
    if isinstance(node.op, Reshape):
        return _reshape(graph, node)
    if isinstance(node.op, AvgPool):
        return _pool(graph, node)
    if isinstance(node.op, Lookup):
        return _lookup(graph, node)
    return isinstance(node.op, Conv) and _conv(graph, node)


PASS = Pass("canonical", until_stable(_step), Promise.CLOSE)
