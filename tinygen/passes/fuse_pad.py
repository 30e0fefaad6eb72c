"""Fuse zero padding of the spatial axes into the convolution or average pool behind it."""

from __future__ import annotations

from dataclasses import replace

from tinygen.ir.types import Node
from tinygen.ops import Operator, Pad
from tinygen.passes.base import Pass, Promise, merge_origin, until_stable
from tinygen.passes.draft import Draft


def _step(graph: Draft, node: Node) -> bool:
    if not isinstance(node.op, Pad) or node.op.value != 0.0:
        return False
    y = graph.tensors[node.outputs[0]]
    if y.quant not in (None, graph.ins(node)[0].quant):
        return False  # a rounding between the padding and its reader
    after = graph.sole_consumer(y.name)
    if after is None or after.inputs.count(y.name) > 1 or after.inputs[0] != y.name:
        return False
    assert isinstance(after.op, Operator)
    op = after.op.padded(node.op.pads)
    if op is None:
        return False
    fused = replace(after, op=op, inputs=(node.inputs[0], *after.inputs[1:]), origin=merge_origin(after, node))
    return graph.replace({node.name: (), after.name: (fused,)})


PASS = Pass("fuse_pad", until_stable(_step), Promise.EXACT)
