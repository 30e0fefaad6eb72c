"""Fuse Relu, Relu6 and Clip into the layer before them: a clamp costs nothing at the end of a requantisation.

A clamp behind an operator that only picks values (MaxPool, Reshape, ...) is moved in front of it first.
"""

from __future__ import annotations

from dataclasses import replace

from tinygen.ir.types import Node, Tensor
from tinygen.ops import MaxPool, Operator, Slice
from tinygen.ops.unary import keeps_grid
from tinygen.passes.base import Pass, Promise, fresh, merge_origin, until_stable
from tinygen.passes.draft import Draft


def _first(bounds: tuple[float, float], x: Tensor, y: Tensor) -> bool:
    """May x be clamped before it is rounded to its pin? Where it has none; or that of y, with bounds on its grid."""
    return x.quant is None or (x.quant == y.quant and keeps_grid(*bounds, x.quant))


def _step(graph: Draft, node: Node) -> bool:
    assert isinstance(node.op, Operator)
    bounds = node.op.clamps
    if bounds is None or node.op.is_identity:
        return False
    x, y = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
    before = graph.producer.get(x.name)
    if before is None or graph.sole_consumer(x.name) is None or not _first(bounds, x, y):
        return False
    assert isinstance(before.op, Operator)
    op = before.op.clamped(*bounds)
    if op is not None:
        fused = replace(before, op=op, outputs=node.outputs, origin=merge_origin(before, node))
        return graph.replace({before.name: (fused,), node.name: ()})
    if (before.op.rearranges or isinstance(before.op, MaxPool | Slice)) and bounds[0] <= 0 <= bounds[1]:
        source = graph.tensors[before.inputs[0]]
        if graph.sole_consumer(source.name) is None or not _first(bounds, source, y):
            return False
        moves = before.op.rearranges  # these carry no pin
        quant = y.quant if moves else source.quant
        clamped = Tensor(fresh(graph, f"{source.name}_clamped"), source.shape, quant=quant)
        result = replace(y, quant=None) if moves else y
        first = replace(node, inputs=(source.name,), outputs=(clamped.name,))
        second = replace(before, inputs=(clamped.name,), outputs=node.outputs)
        return graph.replace({before.name: (first, second), node.name: ()}, (clamped, result))
    return False


PASS = Pass("fuse_clamp", until_stable(_step), Promise.EXACT)
