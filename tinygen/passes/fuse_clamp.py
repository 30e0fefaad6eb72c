"""Fuse Relu, Relu6 and Clip into the layer before them: a clamp costs nothing at the end of a requantisation.

A clamp behind an operator that only picks values (MaxPool, Reshape, ...) is moved in front of it first.
"""

from __future__ import annotations

import math
from dataclasses import replace

from tinygen.ir.types import Node, Tensor
from tinygen.ops import Add, Conv, ConvTranspose, Dense, MaxPool, Mul, Reshape, Slice, Transpose, Unary
from tinygen.ops.unary import Expr
from tinygen.passes.base import Pass, Promise, fresh, merge_origin, until_stable
from tinygen.passes.draft import Draft


def clamp_of(expr: Expr) -> tuple[float, float] | None:
    """(lo, hi) when the expression is nested Max and Min of x with numbers, else None."""
    if expr == "x":
        return -math.inf, math.inf
    if not (isinstance(expr, tuple) and expr[0] in ("Max", "Min") and len(expr) == 3):
        return None
    numbers = [e for e in expr[1:] if isinstance(e, int | float)]
    inner = [e for e in expr[1:] if not isinstance(e, int | float)]
    if len(numbers) != 1 or len(inner) != 1:
        return None
    below = clamp_of(inner[0])
    if below is None:
        return None
    edge = float(numbers[0])
    pick = max if expr[0] == "Max" else min
    return pick(below[0], edge), pick(below[1], edge)


def _step(graph: Draft, node: Node) -> bool:
    if not isinstance(node.op, Unary) or node.op.expr == "x":
        return False
    bounds = clamp_of(node.op.expr)
    x, y = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
    before = graph.producer.get(x.name)
    if bounds is None or before is None or graph.sole_consumer(x.name) is None or x.quant not in (None, y.quant):
        return False
    if isinstance(before.op, Conv | ConvTranspose | Dense | Add | Mul):
        lo, hi = (min(max(old, bounds[0]), bounds[1]) for old in (before.op.lo, before.op.hi))
        fused = replace(
            before, op=replace(before.op, lo=lo, hi=hi), outputs=node.outputs, origin=merge_origin(before, node)
        )
        return graph.replace({before.name: (fused,), node.name: ()})
    if isinstance(before.op, MaxPool | Reshape | Slice | Transpose) and bounds[0] <= 0 <= bounds[1]:
        source = graph.tensors[before.inputs[0]]
        if graph.sole_consumer(source.name) is None or source.quant not in (None, y.quant):
            return False
        clamped = Tensor(fresh(graph, f"{source.name}_clamped"), source.shape, quant=source.quant)
        first = replace(node, inputs=(source.name,), outputs=(clamped.name,))
        second = replace(before, inputs=(clamped.name,), outputs=node.outputs)
        return graph.replace({before.name: (first, second), node.name: ()}, (clamped,))
    return False


PASS = Pass("fuse_clamp", until_stable(_step), Promise.EXACT)
