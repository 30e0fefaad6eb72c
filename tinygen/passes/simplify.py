"""Lossless simplification of a FIXED graph: the same bits from fewer channels, weights and nodes.

What `passes/intervals.py` proves decides everything:

- a channel that takes one value only is folded into the biases of its readers, and its own weights are cleared;
- nodes that change nothing and clamps that cannot act go; a tensor that is constant becomes a constant;
- channels that nobody reads go from every tensor they are tied to (`passes/channels.py`).

Each step uncovers work for the others, so they repeat until nothing changes. Ports keep their shapes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tinygen.ir.invariants import InvariantError
from tinygen.ir.types import Graph, Node, Stage, Tensor
from tinygen.numerics import Array, requant
from tinygen.ops.access import width
from tinygen.ops.base import Operator, int_range, need_quant
from tinygen.ops.broadcast import Elementwise
from tinygen.ops.interval import Interval, values
from tinygen.ops.weighted import Weighted
from tinygen.passes.base import Pass, Promise, drop_dead
from tinygen.passes.channels import Channels, couple, keep
from tinygen.passes.draft import Draft
from tinygen.passes.intervals import reach

#: Multiplier of a cleared channel: a multiple of 768 that can be halved 28 times, so that every kernel takes it.
STEADY_MULTIPLIER = 768 << 20


@dataclass(frozen=True, slots=True)
class Size:
    """What a graph computes and holds; channels are the outputs of layers with weights."""

    macs: int
    weights: int
    channels: int
    nodes: int


def size_of(graph: Graph) -> Size:
    """Multiply-accumulates, weights and channels of a graph."""
    nodes = [(n.op, graph.ins(n), graph.outs(n)) for n in graph.nodes if isinstance(n.op, Operator)]
    return Size(
        sum(op.macs(ins, outs) for op, ins, outs in nodes),
        sum(op.weights(ins) for op, ins, _ in nodes),
        sum(width(outs[0]) for op, ins, outs in nodes if op.weights(ins)),
        len(graph.nodes),
    )


def largest_sums(graph: Graph) -> dict[str, int]:
    """For each layer with weights a bound on the magnitude of every partial sum of its accumulators, in any order."""
    ranges = reach(graph)
    return {
        n.name: n.op.largest_sum(graph.ins(n), ranges[n.inputs[0]]) for n in graph.nodes if isinstance(n.op, Weighted)
    }


def _simplify(graph: Graph) -> Graph:
    """Until nothing changes: each step does all of its kind that it finds."""
    for _ in range(20 * len(graph.nodes) + 200):
        after = _step(graph)
        if after is None:
            return graph
        graph = after
    raise InvariantError("simplification does not come to rest")


def _step(graph: Graph) -> Graph | None:
    graph_alive = drop_dead(graph)
    if graph_alive is not graph:
        return graph_alive
    ranges = reach(graph)
    for find in (_settle, _without_effect, _constant_operand, _unread):
        after = find(graph, ranges)
        if after is not None:
            return after
    return None


# -- layers with weights ---------------------------------------------------------------------------------------------


def _settle(graph: Graph, ranges: Mapping[str, Interval]) -> Graph | None:
    """Every layer with weights: constant inputs into the bias, constant outputs without weights, idle clamps."""
    nodes: list[Node] = []
    changed: dict[str, Tensor] = {}
    reads = Counter(i for n in graph.nodes for i in n.inputs)
    for node in graph.nodes:
        if isinstance(node.op, Weighted):
            node, made = _settle_layer(graph, node, ranges[node.inputs[0]], reads)
            changed |= {t.name: t for t in made}
        nodes.append(node)
    if not changed and all(a is b for a, b in zip(nodes, graph.nodes, strict=True)):
        return None
    return graph.with_(nodes=nodes, tensors=changed.values())


def _settle_layer(graph: Graph, node: Node, x: Interval, reads: Mapping[str, int]) -> tuple[Node, tuple[Tensor, ...]]:
    op, ins, out = node.op, graph.ins(node), graph.outs(node)[0]
    assert isinstance(op, Weighted)
    assert op.epilogue is not None
    w, b, m = ins[1].array.astype(np.int64), ins[2].array.astype(np.int64), ins[3].array.astype(np.int64)
    w, b = fold_inputs(w, b, x, need_quant(ins[0])[1], op.groups, padded=not op.taps_inside(ins[0], out).all())
    acc = op.sums(ins, out, x)
    y = op.layer_range(ins, out, acc)
    for channel in np.flatnonzero(y.steady):
        value = int(y.lo[channel])
        w[channel] = 0
        b[channel], m[channel] = _steady_constants(op, out, value, int(acc.lo[channel]), int(m[channel]))
    end = op.epilogue
    free = op.ending(replace(end, lo=-(2**31), hi=2**31 - 1)).layer_range(ins, out, acc)
    low, high = int_range(out)
    lo = low if (free.lo >= end.lo).all() else end.lo
    hi = high if (free.hi <= end.hi).all() else end.hi
    if (lo, hi) != (end.lo, end.hi):
        node = replace(node, op=op.ending(replace(end, lo=lo, hi=hi)))
    made = []
    inputs = list(node.inputs)
    for i, new in ((1, w), (2, b), (3, m)):
        if not np.array_equal(new, ins[i].array):
            name = ins[i].name if reads[ins[i].name] == 1 else _own_name(graph, ins[i].name)
            made.append(Tensor.constant(name, new.astype(ins[i].array.dtype), ins[i].quant))
            inputs[i] = name
    return (replace(node, inputs=tuple(inputs)), tuple(made)) if made else (node, ())


def _own_name(graph: Graph, name: str) -> str:
    """A name for a changed copy of a constant that others read as well."""
    k = 2
    while f"{name}_{k}" in graph.tensors:
        k += 1
    return f"{name}_{k}"


def fold_inputs(w: Array, b: Array, x: Interval, zp: int, count: int, *, padded: bool) -> tuple[Array, Array]:
    """Weights (output, ..., input of a group) and bias with constant inputs moved into the bias.

    A tap outside the image reads the zero point. So where a window may reach outside, only a constant that is the zero
    point can go.
    """
    gone = x.steady & ((x.lo == zp) | (not padded))
    value = np.where(gone, x.lo - zp, 0).reshape(count, 1, 1, -1)
    taps = w.reshape(count, len(w) // count, -1, w.shape[-1])
    bias = b + (taps * value).sum(axis=(2, 3)).reshape(-1)
    left = np.where(gone.reshape(count, 1, 1, -1), 0, taps)
    return left.reshape(w.shape), bias


def _steady_constants(op: Weighted, out: Tensor, value: int, reached: int, m: int) -> tuple[int, int]:
    """Bias and multiplier that give `value` without weights: a small bias where one gives it, for the sake of kernels
    that pack sums; else an accumulator that the channel reaches anyway."""
    assert op.epilogue is not None
    end, zp = op.epilogue, need_quant(out)[1]
    bias = round((value - zp) * 2.0**end.shift / STEADY_MULTIPLIER)
    made = int(requant(np.array(bias), STEADY_MULTIPLIER, end.shift)) + zp
    return (bias, STEADY_MULTIPLIER) if abs(bias) < max(abs(reached), 1) and made == value else (reached, m)


# -- whole nodes -----------------------------------------------------------------------------------------------------


def _without_effect(graph: Graph, ranges: Mapping[str, Interval]) -> Graph | None:
    """Remove the nodes whose output is their input."""
    draft, found = Draft(graph), False
    for name in graph.by_name:
        node = draft.by_name[name]
        source = _same_as(draft, node, ranges)
        out = node.outputs[0]
        if source is not None and out not in graph.results and source.quant == draft.tensors[out].quant:
            found = draft.bypass(node, source.name)
    return draft.freeze() if found else None


def _same_as(graph: Draft, node: Node, ranges: Mapping[str, Interval]) -> Tensor | None:
    """The input that the node only hands on, whatever the others are."""
    assert isinstance(node.op, Operator)
    ins, outs = graph.ins(node), graph.outs(node)
    which = node.op.hands_on(ins, outs, [_range(t, ranges) for t in ins])
    same = which is not None and ins[which].const is None and ins[which].shape == outs[0].shape
    return ins[which] if which is not None and same else None


def _range(t: Tensor, ranges: Mapping[str, Interval]) -> Interval:
    if t.const is None:
        return ranges[t.name]
    return values(t)


def _constant_operand(graph: Graph, ranges: Mapping[str, Interval]) -> Graph | None:
    """Give element-wise nodes a constant for an operand that is one: what made it may then go."""
    draft, found = Draft(graph), False
    for node in graph.nodes:
        if not isinstance(node.op, Elementwise) or any(t.const is not None for t in graph.ins(node)):
            continue
        for t in graph.ins(node):
            r = ranges[t.name]
            if not r.steady.all() or node.inputs.count(t.name) > 1:
                continue
            value = r.lo.astype(t.dtype.value).reshape((1,) * (len(t.shape) - 1) + (-1,))
            k = Tensor.constant(_constant_name(draft, t.name), value.reshape(value.shape if t.shape else ()), t.quant)
            shapes = [k.shape if i.name == t.name else i.shape for i in graph.ins(node)]
            if node.op.infer(*shapes) != (graph.outs(node)[0].shape,):
                continue
            inputs = tuple(k.name if i == t.name else i for i in node.inputs)
            found = draft.replace({node.name: (replace(node, inputs=inputs),)}, (k,))
            break
    return draft.freeze() if found else None


def _constant_name(graph: Draft, stem: str) -> str:
    name, k = f"{stem}_constant", 2
    while name in graph.tensors:
        name, k = f"{stem}_constant_{k}", k + 1
    return name


# -- channels --------------------------------------------------------------------------------------------------------


def _unread(graph: Graph, ranges: Mapping[str, Interval]) -> Graph | None:
    """Remove the channels that nobody reads."""
    channels = couple(graph)
    needed = _needed(graph, channels)
    return None if needed.all() else drop_dead(keep(graph, channels.masks(needed)))


def _needed(graph: Graph, channels: Channels) -> Array:
    """One bool for each class of channels: the pinned, those that a needed output has a weight for, and one of every
    tensor that has to be there."""
    needed = channels.pinned.copy()
    while True:
        before = int(needed.sum())
        for node in reversed(graph.nodes):
            out = graph.outs(node)[0]
            written = needed[channels.classes[out.name]]
            if not written.any():
                continue
            assert isinstance(node.op, Operator)
            read = node.op.weighed(graph.ins(node), written)
            if read is not None:
                needed[channels.classes[node.inputs[0]][read]] = True
            activations = [channels.classes[t.name] for t in graph.ins(node) if t.const is None]
            if node.op.drops_inputs:  # constants alone are no node
                activations = [] if any(needed[c].any() for c in activations) else activations[:1]
            for classes in activations:
                if not needed[classes].any():
                    needed[classes[0]] = True
        if int(needed.sum()) == before:
            return needed


PASS = Pass("simplify", _simplify, Promise.EXACT, Stage.FIXED, Stage.FIXED)
