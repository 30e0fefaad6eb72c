"""Collapse element-wise nodes that depend on one tensor alone into one function, so one table.

x * sigmoid(x), x * clip(x + 3, 0, 6) / 6, 0.5 * x * (1 + erf(x / sqrt 2)) and any chain of functions become one Unary.
"""

from __future__ import annotations

from dataclasses import replace

from tinygen.ir.types import Node
from tinygen.ops import Unary
from tinygen.ops.broadcast import Elementwise
from tinygen.ops.unary import Expr, is_longer, substitute
from tinygen.passes.base import Pass, Promise, merge_origin, until_stable
from tinygen.passes.draft import Draft

#: Functions and arguments of an expression: nothing that people write down is half as long.
LONGEST = 160


def _as_function(graph: Draft, node: Node) -> tuple[str, Expr] | None:
    """(root tensor, expression) of a node that computes a function of one tensor; None otherwise."""
    if isinstance(node.op, Unary):
        return node.inputs[0], node.op.expr
    if not isinstance(node.op, Elementwise):
        return None
    args: list[Expr] = []
    roots: list[str] = []
    for t in graph.ins(node):
        if t.const is not None:
            if t.size != 1:
                return None
            args.append(float(t.array.reshape(())))
        else:
            args.append("x")
            roots.append(t.name)
    if len(set(roots)) != 1 or graph.tensors[roots[0]].shape != graph.outs(node)[0].shape:
        return None
    return roots[0], node.op.expression(*args)


def _through(graph: Draft, tensor: str) -> tuple[str, Expr, tuple[Node, ...]]:
    """A tensor as a function of its nearest root: through one Unary, unless a pinned scale forbids it."""
    node = graph.producer.get(tensor)
    if node is None or not isinstance(node.op, Unary) or graph.tensors[tensor].quant is not None:
        return tensor, "x", ()
    return node.inputs[0], node.op.expr, (node,)


def _binary(graph: Draft, node: Node) -> tuple[str, Expr, tuple[Node, ...]] | None:
    """Two operands that are functions of the same root."""
    if not isinstance(node.op, Elementwise) or any(t.const is not None for t in graph.ins(node)):
        return None
    (root_a, a, via_a), (root_b, b, via_b) = (_through(graph, i) for i in node.inputs)
    for root, ea, eb, via in (
        (root_a, a, b, via_a + via_b) if root_a == root_b else (None, a, b, ()),
        (root_a, a, "x", via_a) if root_a == node.inputs[1] else (None, a, b, ()),
        (root_b, "x", b, via_b) if root_b == node.inputs[0] else (None, a, b, ()),
    ):
        if root is not None and graph.tensors[root].shape == graph.outs(node)[0].shape:
            return root, node.op.expression(ea, eb), via
    return None


def _step(graph: Draft, node: Node) -> bool:
    if (
        isinstance(node.op, Elementwise)
        and graph.ins(node)[0].shape == graph.ins(node)[-1].shape
        and (found := _binary(graph, node)) is not None
    ):
        root, expr, via = found
    elif (single := _as_function(graph, node)) is not None:
        above, own = single
        root, inner, via = _through(graph, above)
        if isinstance(node.op, Unary) and (not via or own == "x" or inner == "x"):
            return False
        expr = substitute(own, inner)
    else:
        return False
    if is_longer(expr, LONGEST):
        return False
    labels = dict.fromkeys(n.op.label for n in (*via, node) if isinstance(n.op, Unary))
    label = " ".join(labels) or type(node.op).__name__.lower()
    merged = replace(node, op=Unary(expr, label), inputs=(root,), origin=merge_origin(*via, node))
    return graph.replace({node.name: (merged,)})


PASS = Pass("collapse_unary", until_stable(_step), Promise.CLOSE)
