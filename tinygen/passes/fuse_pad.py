"""Fuse zero padding of the spatial axes into the convolution or average pool behind it."""

from __future__ import annotations

from dataclasses import replace

from tinygen.ir.types import Node
from tinygen.ops import AvgPool, Conv, Pad
from tinygen.passes.base import Pass, Promise, merge_origin, until_stable
from tinygen.passes.draft import Draft


def _step(graph: Draft, node: Node) -> bool:
    if not isinstance(node.op, Pad) or node.op.value != 0.0:
        return False
    y = graph.tensors[node.outputs[0]]
    if y.quant not in (None, graph.ins(node)[0].quant):
        return False  # a rounding between the padding and its reader
    after = graph.sole_consumer(y.name)
    rank = len(y.shape)
    pads = node.op.pads
    if after is None or any(pads[i] for i in (0, rank - 1, rank, 2 * rank - 1)):
        return False
    if not isinstance(after.op, Conv | AvgPool):
        return False
    # A pool that ignores its own padding would ignore ours: only an unpadded one may take it over, and counts it.
    if isinstance(after.op, AvgPool) and any(after.op.window.pads) and not after.op.include_pad:
        return False
    window = after.op.window
    spatial = pads[1 : rank - 1] + pads[rank + 1 : 2 * rank - 1]
    window = replace(window, pads=tuple(a + b for a, b in zip(window.pads, spatial, strict=True)))
    # ONNX forbids windows of a pool that lie in the padding alone; onnxruntime could not run the graph.
    if isinstance(after.op, AvgPool) and any(p >= k for p, k in zip(window.pads, window.kernel * 2, strict=True)):
        return False
    op = replace(after.op, window=window)
    if isinstance(op, AvgPool):
        op = replace(op, include_pad=True)
    fused = replace(after, op=op, inputs=(node.inputs[0], *after.inputs[1:]), origin=merge_origin(after, node))
    return graph.replace({node.name: (), after.name: (fused,)})


PASS = Pass("fuse_pad", until_stable(_step), Promise.EXACT)
