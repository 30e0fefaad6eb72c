"""One form for things that can be said in several ways, so that later passes and kernels meet fewer of them.

Reshape of Reshape, and to the same shape; a pool over the whole plane is a mean; a convolution with one output
pixel is a dense layer; a per-channel scale and offset that found no layer to fold into is a 1x1 depthwise convolution.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinygen.ir.types import Graph, Node, Tensor
from tinygen.ops import Add, AvgPool, Conv, Dense, Mul, ReduceSum, Reshape
from tinygen.ops.spatial import Window
from tinygen.passes.base import Pass, Promise, fresh, merge_origin, replace_nodes, rewire, until_stable
from tinygen.passes.fold_scale import channel_constant


def _reshape(graph: Graph, node: Node) -> Graph | None:
    x, y = graph.ins(node)[0], graph.outs(node)[0]
    if x.shape == y.shape and y.name not in graph.outputs and (y.quant is None or y.quant == x.quant):
        return replace_nodes(rewire(graph, y.name, x.name), {node.name: ()})
    before = graph.producer.get(x.name)
    if before is not None and isinstance(before.op, Reshape) and (x.quant is None or x.quant == y.quant):
        merged = replace(node, inputs=before.inputs, origin=merge_origin(before, node))
        return replace_nodes(graph, {node.name: (merged,)})
    return None


def _pool(graph: Graph, node: Node) -> Graph | None:
    assert isinstance(node.op, AvgPool)
    window, x = node.op.window, graph.ins(node)[0]
    if window.kernel != x.shape[1:-1] or any(window.pads):
        return None
    axes = tuple(range(1, len(x.shape) - 1))
    return replace_nodes(graph, {node.name: (replace(node, op=ReduceSum(axes, keepdims=True)),)})


def _conv(graph: Graph, node: Node) -> Graph | None:
    op = node.op
    assert isinstance(op, Conv)
    x, w, _ = graph.ins(node)
    y = graph.outs(node)[0]
    if op.groups != 1 or op.window.kernel != x.shape[1:-1] or any(op.window.pads):
        return None
    flat = Tensor(fresh(graph, f"{x.name}_flat"), (1, x.size))
    row = Tensor(fresh(graph, f"{y.name}_row"), (1, y.size), quant=y.quant)
    weights = Tensor.constant(fresh(graph, f"{w.name}_flat"), w.array.reshape(w.shape[0], -1), w.quant)
    return replace_nodes(
        graph,
        {
            node.name: (
                Node(fresh(graph, f"{node.name}_in"), Reshape(flat.shape), (x.name,), (flat.name,), node.origin),
                Node(
                    node.name, Dense(op.lo, op.hi), (flat.name, weights.name, node.inputs[2]), (row.name,), node.origin
                ),
                Node(fresh(graph, f"{node.name}_out"), Reshape(y.shape), (row.name,), (y.name,), node.origin),
            )
        },
        (flat, row, weights),
    )


def _affine(graph: Graph, node: Node) -> Graph | None:
    """Mul by a per-channel constant, and the Add of one behind it."""
    x, y = graph.ins(node)[0], graph.outs(node)[0]
    assert isinstance(node.op, Mul)
    scale = channel_constant(graph, node)
    if scale is None or len(y.shape) not in (3, 4) or y.shape[-1] == 1 or np.unique(scale).size == 1:
        return None
    activation = node.inputs[0] if graph.tensors[node.inputs[1]].const is not None else node.inputs[1]
    x = graph.tensors[activation]
    nodes, last = [node], node
    bias = np.zeros_like(scale)
    lo, hi = node.op.lo, node.op.hi
    after = graph.sole_consumer(y.name)
    if after is not None and isinstance(after.op, Add) and y.quant is None and (lo, hi) == (-np.inf, np.inf):
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
    return replace_nodes(graph, {**{n.name: () for n in nodes}, last.name: (conv,)}, (w, b))


def _step(graph: Graph) -> Graph | None:
    for node in graph.nodes:
        found = None
        if isinstance(node.op, Reshape):
            found = _reshape(graph, node)
        elif isinstance(node.op, AvgPool):
            found = _pool(graph, node)
        elif isinstance(node.op, Conv):
            found = _conv(graph, node)
        elif isinstance(node.op, Mul):
            found = _affine(graph, node)
        if found is not None:
            return found
    return None


PASS = Pass("canonical", until_stable(_step), Promise.CLOSE)
