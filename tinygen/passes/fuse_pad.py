"""Fuse zero padding of the spatial axes into the convolution or average pool behind it."""

from __future__ import annotations

from dataclasses import replace

from tinygen.ir.types import Graph
from tinygen.ops import AvgPool, Conv, Pad
from tinygen.passes.base import Pass, Promise, merge_origin, replace_nodes, until_stable


def _step(graph: Graph) -> Graph | None:
    for node in graph.nodes:
        if not isinstance(node.op, Pad) or node.op.value != 0.0:
            continue
        y = graph.tensors[node.outputs[0]]
        after = graph.sole_consumer(y.name)
        rank = len(y.shape)
        pads = node.op.pads
        if after is None or any(pads[i] for i in (0, rank - 1, rank, 2 * rank - 1)):
            continue
        if not isinstance(after.op, Conv | AvgPool):
            continue
        # A pool that ignores its own padding would ignore ours: only an unpadded one may take it over, and counts it.
        if isinstance(after.op, AvgPool) and any(after.op.window.pads) and not after.op.include_pad:
            continue
        window = after.op.window
        spatial = pads[1 : rank - 1] + pads[rank + 1 : 2 * rank - 1]
        window = replace(window, pads=tuple(a + b for a, b in zip(window.pads, spatial, strict=True)))
        # ONNX forbids windows of a pool that lie in the padding alone; onnxruntime could not run the graph.
        if isinstance(after.op, AvgPool) and any(p >= k for p, k in zip(window.pads, window.kernel * 2, strict=True)):
            continue
        op = replace(after.op, window=window)
        if isinstance(op, AvgPool):
            op = replace(op, include_pad=True)
        fused = replace(after, op=op, inputs=(node.inputs[0], *after.inputs[1:]), origin=merge_origin(after, node))
        return replace_nodes(graph, {node.name: (), after.name: (fused,)})
    return None


PASS = Pass("fuse_pad", until_stable(_step), Promise.EXACT)
