"""A per-channel scale, with the offset behind it, that found no layer to fold into: a 1x1 depthwise convolution."""

from __future__ import annotations

import math

import numpy as np

from tinygen.ir.types import Node, Tensor
from tinygen.ops import Add, Conv, Mul
from tinygen.ops.spatial import Window
from tinygen.passes.base import Pass, Promise, fresh, merge_origin, until_stable
from tinygen.passes.draft import Draft
from tinygen.passes.fold_scale import channel_constant


def _affine(graph: Draft, node: Node) -> bool:
    """Mul by a per-channel constant, and the Add of one behind it."""
    x, y = graph.ins(node)[0], graph.outs(node)[0]
    assert isinstance(node.op, Mul)
    scale = channel_constant(graph, node)
    if scale is None or len(y.shape) not in (3, 4) or y.shape[-1] == 1 or np.unique(scale).size == 1:
        return False
    activation = node.inputs[0] if graph.tensors[node.inputs[1]].const is not None else node.inputs[1]
    x = graph.tensors[activation]
    if x.shape != y.shape or x.shape[0] != 1:
        return False
    nodes, last = [node], node
    bias = np.zeros_like(scale)
    lo, hi = node.op.lo, node.op.hi
    after = graph.sole_consumer(y.name)
    if after is not None and isinstance(after.op, Add) and y.quant is None and (lo, hi) == (-math.inf, math.inf):
        offset = channel_constant(graph, after)
        if offset is not None and after.op.sign > 0:
            bias, last = offset, after
            lo, hi = after.op.lo, after.op.hi
            nodes.append(after)
    rank = len(x.shape) - 2
    w = Tensor.constant(fresh(graph, f"{y.name}_scale"), scale.reshape(-1, *(1,) * rank, 1).astype(np.float32))
    b = Tensor.constant(fresh(graph, f"{y.name}_offset"), bias.astype(np.float32))
    window = Window((1,) * rank, (1,) * rank, (0,) * (2 * rank), (1,) * rank)
    conv = Node(
        node.name, Conv(window, x.shape[-1], lo, hi), (activation, w.name, b.name), last.outputs, merge_origin(*nodes)
    )
    return graph.replace({**{n.name: () for n in nodes}, last.name: (conv,)}, (w, b))


def _step(graph: Draft, node: Node) -> bool:
    return isinstance(node.op, Mul) and _affine(graph, node)


PASS = Pass("affine", until_stable(_step), Promise.CLOSE)
