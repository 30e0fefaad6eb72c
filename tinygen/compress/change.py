"""What techniques share: which layers they may touch, and a graph with other weights in a layer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import numpy as np

from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, in_one_form, layers, one_form, weights
from tinygen.errors import ModelError
from tinygen.ir.types import Graph, Node, Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops.weighted import Weighted
from tinygen.passes.base import fresh

#: Layers with fewer weights are left alone unless named: what they could save is less than what describes it.
SMALL = 512


def is_depthwise(graph: Graph, node: Node) -> bool:
    """A convolution whose every input channel is a group of its own."""
    return isinstance(node.op, Weighted) and node.op.depthwise(graph.tensors[node.inputs[0]].shape[-1])


def why_not_by_default(graph: Graph, node: Node) -> str | None:
    """Why a layer is left alone unless the user names it, or None."""
    if is_depthwise(graph, node):
        return "depthwise: few weights, each one counts; name it in layers to have it anyway"
    size = weights(graph, node).size
    if size < SMALL:
        return f"only {size} weights; name it in layers to have it anyway"
    return None


def choose_layers(
    network: Network,
    names: Collection[str] | None,
    technique: str,
    why_not: Callable[[Node], str | None],
    log: list[LayerChange] | None,
    besides: Collection[str] = (),
) -> list[Node]:
    """The layers to work on: those named, or all, without those that `why_not` refuses; the refused go to `log`, and
    those that have one form of weights only, `besides` some.

    ModelError for a name that is no layer of the network.
    """
    graph = network.graph
    known = [n.name for n in layers(graph)]
    for node in in_one_form(graph):
        if names is not None and node.name in names:
            raise ModelError(f'{technique}: layer "{node.name}" cannot have it: {one_form(node)}. Leave it out.')
    for name in names or ():
        if name not in known:
            raise ModelError(
                f'{technique}: no layer "{name}" with weights in the network; found {", ".join(known) or "none"}.'
            )
    chosen = []
    for node in layers(graph):
        reason = why_not_by_default(graph, node) if names is None else "" if node.name not in names else None
        reason = why_not(node) if reason is None else reason
        if reason is None:
            chosen.append(node)
        elif reason and log is not None:
            size = weights(graph, node).size
            log.append(LayerChange(node.name, technique, f"left alone: {reason}", size, size))
    if names is None and log is not None:
        log += [left_alone(graph, n, technique) for n in in_one_form(graph) if n.name not in besides]
    return chosen


def left_alone(graph: Graph, node: Node, technique: str) -> LayerChange:
    size = sum(t.size for t in graph.ins(node) if t.const is not None)
    return LayerChange(node.name, technique, f"left alone: {one_form(node)}", size, size)


def set_weights(graph: Graph, values: Mapping[str, tuple[Array, Array, Quant | None]]) -> Graph:
    """The graph with other (weights, bias, pin of the weights) in the layers named."""
    return set_constants(graph, {name: {1: (w, pin), 2: (b, None)} for name, (w, b, pin) in values.items()})


def set_constants(graph: Graph, values: Mapping[str, Mapping[int, tuple[Array, Quant | None]]]) -> Graph:
    """The graph with other constants, and their pins, at inputs of the nodes named; those that several nodes share are
    split."""
    nodes, tensors = [], []
    for node in graph.nodes:
        names = list(node.inputs)
        for i, (array, pin) in values.get(node.name, {}).items():
            name = names[i]
            if len(graph.consumers[name]) > 1 or node.inputs.count(name) > 1:
                name = fresh(graph, f"{node.outputs[0]}_{i}")
            names[i] = name
            tensors.append(Tensor.constant(name, array.astype(np.float32), pin))
        nodes.append(replace(node, inputs=tuple(names)))
    return graph.with_(nodes=nodes, tensors=tensors)
