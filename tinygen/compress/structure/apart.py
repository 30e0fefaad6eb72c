"""The matrix W of recurrent layers as a dense layer of its own, so that what thins dense layers thins it too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from tinygen.compress.change import set_constants
from tinygen.ir.types import Graph, Node, Tensor
from tinygen.ops import Dense, Recurrent
from tinygen.passes.base import fresh, replace_nodes


def apart(graph: Graph) -> tuple[Graph, dict[str, str]]:
    """The same function, W * x computed in front of each recurrent layer, which adds it with weights of 1; and the name
    of each such dense layer with that of its recurrent one."""
    names: dict[str, str] = {}
    changes: dict[str, Iterable[Node]] = {}
    tensors: list[Tensor] = []
    for node in graph.nodes:
        if not isinstance(node.op, Recurrent):
            continue
        x, w = graph.ins(node)[:2]
        flat = w.array.reshape(-1, w.shape[-1])
        stem, name = fresh(graph, f"{node.outputs[0]}_x"), fresh(graph, f"{node.name}_x")
        ones = np.eye(len(flat), dtype=np.float32).reshape(*w.shape[:2], len(flat))
        made = [
            Tensor.constant(f"{stem}_w", flat),
            Tensor.constant(f"{stem}_b", np.zeros(len(flat), np.float32)),
            Tensor(stem, (*x.shape[:-1], len(flat))),
            Tensor.constant(f"{stem}_1", ones),  # in whose place W comes
        ]
        tensors += made
        dense = Node(name, Dense(), (x.name, made[0].name, made[1].name), (stem,), node.origin)
        changes[node.name] = (dense, replace(node, inputs=(stem, made[3].name, *node.inputs[2:])))
        names[name] = node.name
    return (replace_nodes(graph, changes, tensors) if names else graph), names


def together(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The way back: the dense layer that each recurrent one reads becomes its W. `names`: of `apart`."""
    for name in names.values():
        node = graph.by_name[name]
        dense = graph.producer[node.inputs[0]]
        x, w, shift = dense.inputs[0], *graph.ins(dense)[1:]
        shape, bias = graph.tensors[node.inputs[1]].shape[:2], graph.tensors[node.inputs[3]].array.copy()
        bias[:, : shape[1]] += shift.array.reshape(shape)
        changes: dict[str, Iterable[Node]] = {dense.name: (), name: (replace(node, inputs=(x, *node.inputs[1:])),)}
        graph = replace_nodes(graph, changes)
        graph = set_constants(graph, {name: {1: (w.array.reshape(*shape, -1), None), 3: (bias, None)}})
    return graph
