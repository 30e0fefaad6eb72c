"""Softmax and its logarithms where they are written out: log(sum(exp(x))), log(softmax(x)), x - log(sum(exp(x))).

As chains of steps in integers they lose everything: the exponential of the largest value takes the whole range.
"""

from __future__ import annotations

import math
from dataclasses import replace

from tinygen.ir.types import Node, Tensor
from tinygen.ops import Add, LogSoftmax, LogSumExp, Operator, ReduceSum, Reshape, Softmax, Transpose, Unary
from tinygen.ops.softmax import MAX_AXIS
from tinygen.ops.unary import Expr
from tinygen.passes.base import Pass, Promise, fresh, merge_origin, until_stable
from tinygen.passes.draft import Draft


def _without_log(expr: Expr) -> Expr | None:
    """The expression as a function of log(x), where it is one."""
    if isinstance(expr, str):
        return None
    if not isinstance(expr, tuple):
        return expr
    if expr == ("Log", "x"):
        return "x"
    parts = [_without_log(e) for e in expr[1:]]
    return None if any(p is None for p in parts) else (expr[0], *parts)


def _function(graph: Draft, tensor: str) -> Node | None:
    """The Unary that writes an unpinned tensor which only one node reads."""
    node = graph.producer.get(tensor)
    free = node is not None and graph.tensors[tensor].quant is None and graph.sole_consumer(tensor) is not None
    return node if free and node is not None and isinstance(node.op, Unary) else None


def _log(graph: Draft, node: Node) -> bool:
    """A function of the logarithm of a softmax, or of a sum of exponentials."""
    assert isinstance(node.op, Unary)
    rest, above = _without_log(node.op.expr), graph.producer.get(node.inputs[0])
    x = graph.tensors[node.inputs[0]]
    if rest is None or above is None or x.quant is not None or graph.sole_consumer(x.name) is None:
        return False
    if isinstance(above.op, Softmax):
        first = replace(above, op=LogSoftmax(), origin=merge_origin(above, node))
        return graph.replace({above.name: (first,), node.name: (replace(node, op=replace(node.op, expr=rest)),)})
    if not isinstance(above.op, ReduceSum) or above.op.mean:
        return False
    power = _function(graph, above.inputs[0])
    if power is None or not isinstance(power.op, Unary):
        return False
    expr = power.op.expr
    if not (isinstance(expr, tuple) and expr[0] == "Exp"):
        return False
    y = graph.tensors[power.inputs[0]]
    outer, n, inner = above.op.outer_n_inner(y)
    if n > MAX_AXIS:
        return False
    origin, source = merge_origin(power, above, node), y.name
    nodes: list[Node] = []
    tensors: list[Tensor] = []

    def add(op: Unary | Reshape | Transpose | LogSumExp, shape: tuple[int, ...]) -> None:
        nonlocal source
        t = Tensor(fresh(graph, f"{x.name}_lse{len(nodes)}"), shape)
        nodes.append(Node(fresh(graph, f"{node.name}_lse{len(nodes)}"), op, (source,), (t.name,), origin))
        tensors.append(t)
        source = t.name

    if expr[1] != "x":
        add(Unary(expr[1], power.op.label), y.shape)
    if above.op.axes == (len(y.shape) - 1,):
        add(LogSumExp(), (*y.shape[:-1], 1))
    else:
        add(Reshape((outer, n, inner)), (outer, n, inner))
        if inner > 1:
            add(Transpose((0, 2, 1)), (outer, inner, n))
        else:
            add(Reshape((outer, 1, n)), (outer, 1, n))
        add(LogSumExp(), (*tensors[-1].shape[:-1], 1))
    if tensors[-1].shape != x.shape:
        add(Reshape(x.shape), x.shape)
    last = replace(node, op=replace(node.op, expr=rest), inputs=(source,))
    return graph.replace({power.name: (), above.name: (), node.name: (*nodes, last)}, tensors)


def _through_identity(graph: Draft, tensor: str) -> str:
    """The tensor that `tensor` is a copy of, where _log left a function that does nothing."""
    node = graph.producer.get(tensor)
    if node is None or graph.tensors[tensor].quant is not None:
        return tensor
    assert isinstance(node.op, Operator)
    return node.inputs[0] if node.op.is_identity else tensor


def _log_sum_exp_of(graph: Draft, tensor: str) -> Node | None:
    node = graph.producer.get(_through_identity(graph, tensor))
    free = node is not None and all(graph.tensors[t].quant is None for t in (tensor, node.outputs[0]))
    return node if free and node is not None and isinstance(node.op, LogSumExp) else None


def _sum(graph: Draft, node: Node) -> bool:
    """x - log(sum(exp(x))) is LogSoftmax; log(sum(exp(x - c))) + c, c the same for a whole row, is log(sum(exp(x)))."""
    op = node.op
    assert isinstance(op, Add)
    if (op.lo, op.hi) != (-math.inf, math.inf) or any(graph.tensors[i].const is not None for i in node.inputs):
        return False
    a, b = node.inputs
    if op.sign < 0:
        lse = _log_sum_exp_of(graph, b)
        if lse is None or lse.inputs[0] != a:
            return False
        merged = replace(node, op=LogSoftmax(), inputs=(a,), origin=merge_origin(lse, node))
        return graph.replace({node.name: (merged,)})
    for one, c in ((a, b), (b, a)):
        lse = _log_sum_exp_of(graph, one)
        below = None if lse is None else graph.producer.get(lse.inputs[0])
        if lse is None or below is None or not isinstance(below.op, Add):
            continue
        plain = below.op.sign < 0 and (below.op.lo, below.op.hi) == (-math.inf, math.inf)
        shape = graph.tensors[c].shape
        if not plain or below.inputs[1] != c or graph.tensors[lse.inputs[0]].quant is not None:
            continue
        whole = graph.tensors[below.inputs[0]]
        if shape == (*whole.shape[:-1], 1) == graph.outs(node)[0].shape:
            merged = replace(node, op=LogSumExp(), inputs=(whole.name,), origin=merge_origin(below, lse, node))
            return graph.replace({node.name: (merged,)})
    return False


def _rule(graph: Draft, node: Node) -> bool:
    if isinstance(node.op, Unary):
        return _log(graph, node)
    return isinstance(node.op, Add) and _sum(graph, node)


PASS = Pass("log_sum_exp", until_stable(_rule), Promise.CLOSE)
