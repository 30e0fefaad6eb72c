"""Euclidean lengths where they are written out: sqrt(sum(x^2)), and sqrt(a^2 + b^2), the magnitude of a spectrum.

As chains of steps in integers they lose half the digits: what is small is smaller still when it is squared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from tinygen.ir.types import Node, Tensor
from tinygen.ops import Add, Concat, ReduceL2, ReduceSum, Reshape, Slice, Unary
from tinygen.ops.reduce import LONGEST_SQUARES
from tinygen.passes.base import Pass, Promise, fresh, merge_origin, until_stable
from tinygen.passes.draft import Draft
from tinygen.passes.normalise import square_of


def _square(graph: Draft, tensor: str) -> Node | None:
    """The node that squares, of a tensor that only one node reads and no pin rounds."""
    alone = graph.sole_consumer(tensor) is not None and square_of(graph, tensor) is not None
    return graph.producer[tensor] if alone else None


def _halves(graph: Draft, a: str, b: str) -> tuple[Node, Node, int] | None:
    """Slices that are the first and the second half of one tensor along an axis, in either order; the axis."""
    first, second = graph.producer.get(a), graph.producer.get(b)
    if first is None or second is None or first.inputs != second.inputs:
        return None
    if not (isinstance(first.op, Slice) and isinstance(second.op, Slice)):
        return None
    if any(graph.tensors[name].quant is not None for name in (a, b)):
        return None
    if first.op.starts > second.op.starts:
        first, second = second, first
    assert isinstance(first.op, Slice)
    assert isinstance(second.op, Slice)
    x = graph.tensors[first.inputs[0]]
    axes = [i for i, (p, q) in enumerate(zip(first.op.starts, second.op.starts, strict=True)) if p != q]
    if len(axes) != 1 or first.op.counts != second.op.counts or {*first.op.steps, *second.op.steps} != {1}:
        return None
    (axis,) = axes
    half = first.op.counts[axis]
    whole = tuple(2 * half if i == axis else d for i, d in enumerate(first.op.counts))
    if (first.op.starts[axis], second.op.starts[axis], whole) != (0, half, x.shape):
        return None
    return first, second, axis


def _root(graph: Draft, node: Node) -> bool:
    assert isinstance(node.op, Unary)
    x = graph.tensors[node.inputs[0]]
    above = graph.producer.get(x.name)
    if node.op.expr != ("Sqrt", "x") or above is None or x.quant is not None or graph.sole_consumer(x.name) is None:
        return False
    if isinstance(above.op, ReduceSum) and not above.op.mean:
        return _of_sum(graph, node, above)
    if isinstance(above.op, Add) and (above.op.sign, above.op.lo, above.op.hi) in (
        (1, -math.inf, math.inf),
        (1, 0.0, math.inf),
    ):
        return _of_two(graph, node, above)
    return False


def _of_sum(graph: Draft, node: Node, above: Node) -> bool:
    """sqrt(sum(x^2))"""
    assert isinstance(above.op, ReduceSum)
    square = _square(graph, above.inputs[0])
    if square is None:
        return False
    _, n, _ = above.op.outer_n_inner(graph.ins(above)[0])
    if n > LONGEST_SQUARES[8]:
        return False
    length = Node(node.name, ReduceL2(above.op.axes, above.op.keepdims), square.inputs[:1], node.outputs)
    return _replace(graph, node, (length,), (square, above))


def _of_two(graph: Draft, node: Node, above: Node) -> bool:
    """sqrt(a^2 + b^2): a and b are the halves of one tensor, seen as two rows, or are put side by side."""
    squares = [_square(graph, name) for name in above.inputs]
    shape = graph.outs(node)[0].shape
    if len(squares) != 2 or squares[0] is None or squares[1] is None or squares[0].name == squares[1].name:
        return False
    a, b = squares[0].inputs[0], squares[1].inputs[0]
    if not (graph.tensors[a].shape == graph.tensors[b].shape == shape):
        return False
    halves = _halves(graph, a, b)
    axis = 0 if halves is None else halves[2]
    pair = (*shape[:axis], 2, *shape[axis:])
    both = Tensor(fresh(graph, f"{node.outputs[0]}_both"), pair)
    made: list[Node] = []
    tensors = [both]
    if halves is None:
        flat = Tensor(fresh(graph, f"{node.outputs[0]}_parts"), (2 * shape[0], *shape[1:]))
        made.append(Node(fresh(graph, f"{node.name}_parts"), Concat(0), (a, b), (flat.name,)))
        tensors.append(flat)
        source = flat.name
    else:
        source = halves[0].inputs[0]
    made.append(Node(fresh(graph, f"{node.name}_both"), Reshape(pair), (source,), (both.name,)))
    made.append(Node(node.name, ReduceL2((axis,), False), (both.name,), node.outputs))
    slices = () if halves is None else halves[:2]
    return _replace(graph, node, made, (squares[0], squares[1], above), tensors, slices)


def _replace(
    graph: Draft,
    node: Node,
    made: Sequence[Node],
    gone: Sequence[Node],
    tensors: Sequence[Tensor] = (),
    unread: Sequence[Node] = (),
) -> bool:
    """`made` in place of `gone` and `node`; `unread`: nodes besides that nobody reads now."""
    origin = merge_origin(*unread, *gone, node)
    made = [replace(n, origin=origin) for n in made]
    return graph.replace({**{n.name: () for n in gone}, node.name: made}, tensors)


def _rule(graph: Draft, node: Node) -> bool:
    return isinstance(node.op, Unary) and _root(graph, node)


PASS = Pass("lengths", until_stable(_rule), Promise.CLOSE)
