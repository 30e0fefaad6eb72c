"""Weights on the grids of their forms, their scales pinned: what an ONNX file can hold of them, and no more."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from tinygen.compress.network import Network, WeightForm, snap
from tinygen.ir.types import Const, Graph, Node, Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops import ConvTranspose
from tinygen.ops.weighted import Weighted
from tinygen.passes.base import fresh

#: The scale of a channel whose weights are all zero, before `quantise` makes it large enough for the bias.
_SMALL = 2.0**-40


def with_weights(graph: Graph) -> tuple[Node, ...]:
    """All nodes with weights and a bias: `layers`, and transposed convolutions."""
    return tuple(n for n in graph.nodes if isinstance(n.op, Weighted))


def separated(graph: Graph) -> Graph:
    """The graph with weights and biases of its own for every layer: shared ones would need one scale."""
    taken: set[str] = set()
    nodes, tensors = [], []
    for node in graph.nodes:
        names = list(node.inputs)
        if isinstance(node.op, Weighted):
            for i in (1, 2):
                name = names[i]
                if name in taken or len(graph.consumers[name]) > 1:
                    names[i] = fresh(graph, f"{node.outputs[0]}_{'_wb'[i]}")
                    tensors.append(replace(graph.tensors[name], name=names[i]))
                taken.add(names[i])
        nodes.append(replace(node, inputs=tuple(names)))
    return graph.with_(nodes=nodes, tensors=tensors)


def storable(graph: Graph) -> Graph:
    """The graph with the numbers in its operators rounded to float32, as an ONNX file will hold them."""

    def short(value: Any) -> Any:
        """A number, or those of an expression."""
        if isinstance(value, tuple):
            return tuple(map(short, value))
        return float(np.float32(value)) if isinstance(value, float) else value

    nodes = []
    for node in graph.nodes:
        op = replace(node.op, **{f.name: short(getattr(node.op, f.name)) for f in fields(node.op)})
        nodes.append(node if op == node.op else replace(node, op=op))
    return graph.with_(nodes=nodes)


def pinned_weights(graph: Graph, node: Node, q: Array, scale: Array) -> Tensor:
    """The weights of `node` as the integers q (O, ...) times a scale (O,) that a float32 holds."""
    s = scale.astype(np.float32).astype(np.float64)
    real = (q * s.reshape(-1, *[1] * (q.ndim - 1))).astype(np.float32)
    t = graph.tensors[node.inputs[1]]
    return replace(t, quant=Quant(tuple(float(v) for v in s), 0, 0), const=Const(real))


def _snapped(node: Node, w: Array, form: WeightForm, scale: Array | None) -> tuple[Array, Array]:
    """Integers and scales; of a transposed convolution in groups one set of scales for all groups, as ONNX has it."""
    if isinstance(node.op, ConvTranspose) and node.op.groups > 1:
        if scale is None:
            scale = np.abs(w.reshape(len(w), -1).astype(np.float64)).max(axis=1) / form.top
        scale = np.tile(scale.reshape(node.op.groups, -1).max(axis=0), node.op.groups)
    q, s = snap(w, form, scale)
    # A channel of zeros needs no scale of its own; quantise takes the least that holds its bias.
    return q, np.where(np.abs(q.reshape(len(q), -1)).max(axis=1) > 0, s, _SMALL)


def pin_all_weights(network: Network) -> Graph:
    """The graph with the weights of every layer on the grid of its form, those without one in int8; scales that are
    there already are kept."""
    graph = network.graph
    pinned = []
    for node in with_weights(graph):
        t = graph.tensors[node.inputs[1]]
        scale = None if t.quant is None else np.asarray(t.quant.scale, np.float64)
        if scale is not None:
            # A scale given is kept, unless a weight would be cut off at it.
            form = network.form(node.name)
            flat = np.abs(t.array.reshape(len(t.array), -1).astype(np.float64)).max(axis=1)
            scale = np.maximum(scale, flat / (form.top + 0.5)) if form.codebook is None else scale
        pinned.append(pinned_weights(graph, node, *_snapped(node, t.array, network.form(node.name), scale)))
    return graph.with_(tensors=pinned)


def unpinned(graph: Graph) -> Graph:
    """Without the scales of a pre-quantised model, save those that its integer inputs and outputs are read by."""
    edge = {*graph.inputs, *graph.outputs}
    tensors = [replace(t, quant=None) for t in graph.tensors.values() if t.quant is not None and t.name not in edge]
    return graph.with_(tensors=tensors)
