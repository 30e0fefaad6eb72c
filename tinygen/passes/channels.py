"""Channels of activations (indices of the last axis): which can only stay or go together, and the surgery itself.

For FLOAT and FIXED graphs alike: `passes/simplify.py` removes what nobody needs, `structure/prune.py` of compress what
matters least. A layer with weights chooses freely among the channels it reads and those it writes; what only moves or
combines values position by position (Add, pools, tables, depthwise convolutions, reshapes) ties the channels of its
tensors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tinygen.ir.types import Graph, Node, Op, Tensor
from tinygen.numerics import Array
from tinygen.ops import (
    Add,
    AvgPool,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Expand,
    Extreme,
    Gather,
    MaxPool,
    Mul,
    Pad,
    PRelu,
    ReduceExtreme,
    ReduceSum,
    Reshape,
    Resize,
    Slice,
    Transpose,
    Unary,
)

#: Layers with weights (output channels, ..., input channels of a group).
Weighted = Conv | ConvTranspose | Dense


def width(t: Tensor) -> int:
    """Number of channels."""
    return t.shape[-1] if t.shape else 1


def groups(op: Op) -> int:
    """Groups of a layer with weights."""
    return op.groups if isinstance(op, Conv | ConvTranspose) else 1


def is_depthwise(op: Op, x: Tensor) -> bool:
    """Each input channel is a group of its own, so that outputs stay and go with it."""
    return isinstance(op, Conv | ConvTranspose) and op.groups == width(x) > 1


def joins_channels(op: Op, out: Tensor) -> bool:
    """A Concat along the channels: the one operator that can do without an input."""
    return isinstance(op, Concat) and op.axis == len(out.shape) - 1


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
    """Union-find over all channels of all activations."""

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

    def tie(self, a: Tensor, i: Array, b: Tensor, j: Array) -> None:
        """Channel i[k] of a with channel j[k] of b, for every k."""
        for p, q in zip((self.first[a.name] + i).tolist(), (self.first[b.name] + j).tolist(), strict=True):
            self.parent[self.find(p)] = self.find(q)

    def pin(self, *tensors: Tensor) -> None:
        for t in tensors:
            if t.const is None:
                self.pinned += range(self.first[t.name], self.first[t.name] + width(t))

    def classes(self, graph: Graph) -> Channels:
        roots = np.array([self.find(i) for i in range(len(self.parent))], np.int64)
        _, labels = np.unique(roots, return_inverse=True)
        pinned = np.zeros(int(labels.max(initial=-1)) + 1, bool)
        pinned[labels[self.pinned]] = True
        found = {n: labels[f : f + width(graph.tensors[n])] for n, f in self.first.items()}
        return Channels(found, pinned)


def couple(graph: Graph) -> Channels:
    """The classes of a graph's channels. Those of its inputs and outputs are pinned, and whatever a Softmax, a
    reduction over channels or an unknown operator reads or writes."""
    ties = _Ties(graph)
    for node in graph.nodes:
        _couple_node(ties, node.op, graph.ins(node), graph.outs(node)[0])
        ties.pin(*graph.outs(node)[1:])
    ties.pin(*(graph.tensors[n] for n in (*graph.inputs, *graph.outputs)))
    return ties.classes(graph)


def _couple_node(ties: _Ties, op: Op, ins: tuple[Tensor, ...], out: Tensor) -> None:
    x, n, m = ins[0], width(ins[0]), width(out)
    here, there = np.arange(n), np.arange(m)
    last = len(x.shape) - 1
    if isinstance(op, Conv | ConvTranspose | Dense):
        count = groups(op)
        if is_depthwise(op, x):
            ties.tie(out, there, x, there // (m // n))
        elif count > 1:  # the same channels of every group
            ties.tie(x, here, x, here % (n // count))
            ties.tie(out, there, out, there % (m // count))
    elif isinstance(op, Add | Mul | Extreme):
        for t in ins:
            if t.const is None and width(t) == m:
                ties.tie(t, there, out, there)
            elif t.const is None:
                ties.pin(t)
    elif isinstance(op, Concat) and joins_channels(op, out):
        at = 0
        for t in ins:
            if t.const is None:
                ties.tie(t, np.arange(width(t)), out, at + np.arange(width(t)))
            at += width(t)
    elif isinstance(op, Concat):
        for t in ins:
            if t.const is None:
                ties.tie(t, there, out, there)
    elif isinstance(op, Reshape) and m % n == 0:
        ties.tie(out, there, x, there % n)
    elif isinstance(op, Reshape) and n % m == 0:
        ties.tie(x, here, out, here % m)
    elif isinstance(op, Slice) and abs(op.steps[last]) == 1:
        ties.tie(out, there, x, op.starts[last] + op.steps[last] * there)
    elif isinstance(op, Gather) and op.axis == last:
        ties.tie(out, there, x, np.array(op.indices))
    elif isinstance(op, Pad):
        ties.tie(x, here, out, op.pads[last] + here)
    elif isinstance(op, Expand) and n != m:
        ties.pin(x)
    elif _by_position(op, last):
        ties.tie(x, here, out, here)
    else:
        ties.pin(*ins, out)


def _by_position(op: Op, last: int) -> bool:
    """Output channel c is made of input channel c alone."""
    if isinstance(op, ReduceSum | ReduceExtreme):
        return last not in op.axes
    if isinstance(op, Transpose):
        return op.perm[-1] == last
    return isinstance(op, Unary | PRelu | MaxPool | AvgPool | Resize | Gather | Expand)


def keep(graph: Graph, masks: Mapping[str, Array]) -> Graph:
    """The graph with the channels of each activation where its mask is True, weights and constants cut to match.

    `masks`: from `Channels.masks`. A tensor without a channel goes, and its node with it; only a Concat along the
    channels may read it.
    """
    cut = _Cut(graph, masks)
    nodes = [cut.node(n) for n in graph.nodes if masks[n.outputs[0]].any()]
    return graph.with_(nodes=nodes, tensors=cut.tensors.values())


def weight_masks(graph: Graph, node: Node, masks: Mapping[str, Array]) -> dict[int, Array]:
    """What `keep` leaves of a layer's weights: masks of output channels (axis 0) and of inputs of a group (axis -1)."""
    x = graph.ins(node)[0]
    alone = is_depthwise(node.op, x)
    columns = np.ones(1, bool) if alone else masks[x.name].reshape(groups(node.op), -1)[0]
    return {0: masks[node.outputs[0]], -1: columns}


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
        ins, out = self.graph.ins(node), self.graph.outs(node)[0]
        op, x, inputs = node.op, ins[0], list(node.inputs)
        kept = self.masks[out.name]
        if isinstance(op, Conv | ConvTranspose | Dense):
            inputs[1] = self.constant(ins[1], weight_masks(self.graph, node, self.masks))
            inputs[2:] = [self.constant(t, {0: kept}) for t in ins[2:]]
            if is_depthwise(op, x):
                op = replace(op, groups=int(self.masks[x.name].sum()))  # type: ignore[arg-type]
        elif isinstance(op, Add | Mul | Extreme):
            for i, t in enumerate(ins):
                if t.const is not None and width(t) == width(out) > 1:
                    inputs[i] = self.constant(t, {-1: kept})
        elif isinstance(op, PRelu):
            inputs[1] = self.constant(ins[1], {0: kept})
        elif isinstance(op, Concat):
            inputs = self.concat(op, ins, kept, joins=joins_channels(op, out))
        elif isinstance(op, Reshape | Expand) and not kept.all():
            op = replace(op, shape=(*op.shape[:-1], int(kept.sum())))
        elif isinstance(op, Slice | Gather | Pad):
            op = _moved(op, len(x.shape) - 1, self.masks[x.name], kept)
        return replace(node, op=op, inputs=tuple(inputs))

    def concat(self, op: Concat, ins: tuple[Tensor, ...], kept: Array, *, joins: bool) -> list[str]:
        names, at = [], 0
        for t in ins:
            mask = kept[at : at + width(t)] if joins else kept
            at += width(t)
            if joins and not mask.any():
                continue
            names.append(t.name if t.const is None else self.constant(t, {-1: mask}))
        return names


def _moved(op: Slice | Gather | Pad, last: int, x: Array, kept: Array) -> Op:
    """Its indices along the last axis after surgery. x, kept: masks of input and output."""
    new = np.cumsum(x) - 1  # place of a channel among those kept
    if isinstance(op, Slice):
        used = (op.starts[last] + op.steps[last] * np.arange(len(kept)))[kept]
        return replace(op, starts=(*op.starts[:last], int(new[used[0]])), counts=(*op.counts[:last], len(used)))
    if isinstance(op, Gather):
        if op.axis != last:
            return op
        return replace(op, indices=tuple(int(new[i]) for i in np.compress(kept, op.indices)))
    begin = op.pads[last]
    before, behind = int(kept[:begin].sum()), int(kept[begin + len(x) :].sum())
    return replace(op, pads=(*op.pads[:last], before, *op.pads[last + 1 : -1], behind))
