"""Channels of activations (indices of the last axis): which can only stay or go together, and the surgery itself.

For FLOAT and FIXED graphs alike: `passes/simplify.py` removes what nobody needs, `structure/prune.py` of compress what
matters least. A layer with weights chooses freely among the channels it reads and those it writes; what only moves or
combines values position by position (Add, pools, tables, depthwise convolutions, reshapes) ties the channels of its
tensors. Each operator says so itself: `Operator.channels`, `Operator.cut`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tinygen.ir.invariants import InvariantError
from tinygen.ir.types import Graph, Node, Tensor
from tinygen.numerics import Array
from tinygen.ops.access import STAYS, Labels, width
from tinygen.ops.base import Operator


@dataclass(frozen=True)
class Channels:
    """`classes`: for each activation the class of each of its channels. Channels of one class stay or go together.
    `pinned[class]`: must stay."""

    classes: Mapping[str, Array]
    pinned: Array

    def masks(self, kept: Array) -> dict[str, Array]:
        """What `keep` wants, from one bool for each class."""
        return {name: kept[c] for name, c in self.classes.items()}


class _Ties:
    """Union-find over all channels of all activations; a class is named after its first channel."""

    def __init__(self, graph: Graph) -> None:
        self.first: dict[str, int] = {}
        count = 0
        for t in graph.tensors.values():
            if t.const is None:
                self.first[t.name] = count
                count += width(t)
        self.parent = list(range(count))
        self.pinned: list[int] = []

    def find(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def tie(self, a: int, b: int) -> None:
        a, b = self.find(a), self.find(b)
        self.parent[max(a, b)] = min(a, b)

    def node(self, graph: Graph, node: Node) -> None:
        """What an operator says of the channels of its tensors."""
        seen: dict[int, int] = {}
        for t, labels in zip((*graph.ins(node), *graph.outs(node)), _labels(graph, node), strict=True):
            if t.const is None:
                for i, label in enumerate(labels[-1].tolist(), self.first[t.name]):
                    if label == STAYS:
                        self.pinned.append(i)
                    elif (first := seen.setdefault(label, i)) != i:
                        self.tie(first, i)

    def pin(self, *tensors: Tensor) -> None:
        for t in tensors:
            self.pinned += range(self.first[t.name], self.first[t.name] + width(t))

    def classes(self, graph: Graph) -> Channels:
        roots = np.array([self.find(i) for i in range(len(self.parent))], np.int64)
        _, labels = np.unique(roots, return_inverse=True)
        pinned = np.zeros(int(labels.max(initial=-1)) + 1, bool)
        pinned[labels[self.pinned]] = True
        found = {n: labels[f : f + width(graph.tensors[n])] for n, f in self.first.items()}
        return Channels(found, pinned)


def _labels(graph: Graph, node: Node) -> tuple[Labels, ...]:
    assert isinstance(node.op, Operator)
    return node.op.channels(graph.ins(node), graph.outs(node))


def couple(graph: Graph) -> Channels:
    """The classes of a graph's channels. Those of its inputs, outputs and states are pinned, and what operators say
    must stay: whatever a Softmax or a reduction over channels reads or writes."""
    ties = _Ties(graph)
    for node in graph.nodes:
        ties.node(graph, node)
    ties.pin(*(graph.tensors[n] for n in (*graph.sources, *graph.results)))
    return ties.classes(graph)


def keep(graph: Graph, masks: Mapping[str, Array]) -> Graph:
    """The graph with the channels of each activation where its mask is True, weights and constants cut to match.

    `masks`: from `Channels.masks`. A tensor without a channel goes, and its node with it; only an operator that
    `drops_inputs` may read it.
    """
    cut = _Cut(graph, masks)
    nodes = [cut.node(n) for n in graph.nodes if any(masks[o].any() for o in n.outputs)]
    return graph.with_(nodes=nodes, tensors=cut.tensors.values())


def constant_masks(graph: Graph, node: Node, masks: Mapping[str, Array]) -> tuple[dict[int, Array], ...]:
    """What `keep` leaves of a node's inputs, of constants alone: for each axis that is cut a mask."""
    tensors, labels = (*graph.ins(node), *graph.outs(node)), _labels(graph, node)
    gone: list[int] = []
    for t, of in zip(tensors, labels, strict=True):
        if t.const is None:
            gone += np.extract(~masks[t.name], of[-1]).tolist()
    constants = zip(graph.ins(node), labels, strict=False)
    return tuple({a: ~np.isin(v, gone) for a, v in of.items()} if t.const is not None else {} for t, of in constants)


class _Cut:
    """One surgery: collects the tensors that change."""

    def __init__(self, graph: Graph, masks: Mapping[str, Array]) -> None:
        self.graph, self.masks = graph, masks
        self.readers = Counter(name for n in graph.nodes for name in n.inputs)
        self.tensors: dict[str, Tensor] = {}
        for name, mask in masks.items():
            if not mask.all():
                t = graph.tensors[name]
                self.tensors[name] = replace(t, shape=(*t.shape[:-1], int(mask.sum())))

    def constant(self, t: Tensor, axes: Mapping[int, Array]) -> str:
        """The name of constant `t` cut along axes: its own where nobody else reads it."""
        array, quant = t.array, t.quant
        for axis, mask in axes.items():
            array = np.compress(mask, array, axis)
            if quant is not None and len(quant.scale) > 1 and (quant.axis or 0) == axis % t.array.ndim:
                quant = replace(quant, scale=tuple(np.compress(mask, quant.scale).tolist()))
        if array.shape == t.shape:
            return t.name
        name, k = t.name, 2
        while self.readers[t.name] > 1 and (name in self.graph.tensors or name in self.tensors):
            name, k = f"{t.name}_{k}", k + 1
        self.tensors[name] = Tensor.constant(name, array, quant)
        return name

    def node(self, node: Node) -> Node:
        ins, outs, op = self.graph.ins(node), self.graph.outs(node), node.op
        assert isinstance(op, Operator)
        of_constants = constant_masks(self.graph, node, self.masks)
        inputs, kept = [], []
        for t, axes in zip(ins, of_constants, strict=True):
            mask = self.masks[t.name] if t.const is None else axes.get(-1, np.ones(width(t), bool))
            kept.append(np.flatnonzero(mask))
            if mask.any() or not op.drops_inputs:
                inputs.append(t.name if t.const is None else self.constant(t, axes))
        after = op.cut(ins, outs, (*kept, *(np.flatnonzero(self.masks[t.name]) for t in outs)))
        if after is None:
            raise InvariantError(f'"{node.name}": {op.title} cannot be had with the channels its ties allow')
        return replace(node, op=after, inputs=tuple(inputs))
