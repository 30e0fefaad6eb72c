"""Euclidean lengths where they are written out: sqrt(sum(x^2)), sqrt(a^2 + b^2), the magnitude of a spectrum, and
standard deviations, sqrt(mean((x - mean)^2) + eps).

As chains of steps in integers they lose half the digits: what is small is smaller still when it is squared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from tinygen.ir.types import Node, Tensor
from tinygen.ops import Add, Concat, Operator, ReduceL2, ReduceSum, Reshape, Slice, Unary
from tinygen.ops.base import Shape
from tinygen.ops.reduce import LONGEST_SQUARES, block, reduced_shape
from tinygen.ops.unary import Expr
from tinygen.passes.base import Pass, Promise, fresh, merge_origin, until_stable
from tinygen.passes.draft import Draft
from tinygen.passes.normalise import root_of, square_of


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
    if node.op.expr == ("Sqrt", "x") and _of_mean(graph, node, node.op.label):
        return True
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


def _of_mean(graph: Draft, node: Node, label: str) -> bool:
    """sqrt(mean(x^2) + eps), and around the mean: a function of the length of x, or of x - mean."""
    found = root_of(graph, node.outputs[0])
    if found is None or not found[0].mean or found[1].floor or found[1].inverse:
        return False
    (stat, root), x, y = found, graph.tensors[found[0].x], graph.outs(node)[0]
    one = reduced_shape(x.shape, stat.axes, True)
    n = x.size // math.prod(one)
    if block(x.shape, stat.axes) is None or math.prod(one) != y.size or n > LONGEST_SQUARES[8]:
        return False
    made: list[Node] = []
    tensors: list[Tensor] = []

    def emit(op: Operator, name: str, shape: Shape, *inputs: str) -> str:
        t = Tensor(fresh(graph, f"{y.name}_{name}"), shape)
        tensors.append(t)
        made.append(Node(t.name, op, inputs, (t.name,), node.origin))
        return t.name

    source = x.name
    if stat.centre:  # an error of the mean in integers counts squared
        means = (r.outputs[0] for r in graph.readers(x.name) if r.op == ReduceSum(stat.axes, True, True))
        mean = next(means, "") or emit(ReduceSum(stat.axes, True, True), "mean", one, x.name)
        source = emit(Add(sign=-1), "around", x.shape, x.name, mean)
    length = emit(ReduceL2(stat.axes, True), "length", one, source)
    if one != y.shape:
        length = emit(Reshape(y.shape), "lengths", y.shape, length)
    power: Expr = ("Mul", ("Mul", "x", "x"), root.slope / n)
    expr = ("Sqrt", ("Add", power, root.slope * root.eps))
    made.append(replace(node, op=Unary(expr, label), inputs=(length,)))
    return graph.replace({node.name: made}, tensors)


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
