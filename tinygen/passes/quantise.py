"""FLOAT to FIXED: a scale and zero point for every tensor, integer weights, one rounding rule (docs/NUMERICS.md).

Tensors that an operator must keep in the same integers (pools, reshapes, concatenations: `same_quant`) form a tie and
get one quantisation: the pinned one if a member is pinned, otherwise the union of their ranges. Where two pins
disagree, a table that changes the scale is put between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from tinygen.calibrate.ranges import quant_from_range
from tinygen.errors import ModelError
from tinygen.ir.types import DType, Graph, Node, Quant, Stage, Tensor
from tinygen.numerics import Array
from tinygen.ops import Add, Conv, Dense, Mul, Operator, Pad, Unary
from tinygen.ops.base import Lowered, need_quant
from tinygen.ops.broadcast import constant_quant
from tinygen.passes.base import fresh


def _operator(node: Node) -> Operator:
    assert isinstance(node.op, Operator)
    return node.op


def ties(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Tensor name to all members of its tie, itself included, in graph order.

    A constant joins none: it is quantised anew for each operator that reads it, and the output's range holds all of it
    that matters.
    """
    leader: dict[str, str] = {name: name for name in graph.tensors}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for node in graph.nodes:
        if _operator(node).same_quant:
            names = (*node.inputs, *node.outputs)
            first, *others = (find(n) for n in names if graph.tensors[n].const is None)
            for other in others:
                leader[other] = first
    groups: dict[str, list[str]] = {}
    for name in graph.tensors:
        groups.setdefault(find(name), []).append(name)
    return {name: tuple(groups[find(name)]) for name in graph.tensors}


def range_tensors(graph: Graph) -> tuple[str, ...]:
    """Activations whose range must be known: those no pin and no operator decides."""
    made = {out: node for node in graph.nodes for out in node.outputs}
    return tuple(
        t.name
        for t in graph.tensors.values()
        if t.const is None and t.quant is None and (t.name not in made or _operator(made[t.name]).fixed_quant() is None)
    )


def choose_quants(graph: Graph, ranges: Mapping[str, tuple[float, float]]) -> dict[str, Quant]:
    """Quantisation of every activation. `ranges`: (lo, hi) of the tensors `range_tensors` names."""
    made = {out: node for node in graph.nodes for out in node.outputs}
    # A padding value other than zero must be representable.
    extra = {n.outputs[0]: n.op.value for n in graph.nodes if isinstance(n.op, Pad)}

    def pinned(t: Tensor) -> Quant | None:
        if t.quant is not None:
            return t.quant
        return _operator(made[t.name]).fixed_quant() if t.name in made else None

    chosen: dict[str, Quant] = {}
    for name, group in ties(graph).items():
        t = graph.tensors[name]
        if t.const is not None:
            continue
        own = pinned(t)
        if own is not None:
            chosen[name] = own
        else:
            asked = next((q for q in (graph.tensors[g].quant for g in group) if q is not None), None)
            # A pin reaches its tie, but not a tensor that others read as well and whose values it would clip.
            shared = any(not _operator(n).same_quant for n in graph.consumers[name]) or name in graph.outputs
            if asked is not None and (not shared or _holds(asked, *ranges[name])):
                chosen[name] = asked
                continue
            lows, highs, dictated = [0.0], [0.0], None
            for member in group:
                q = pinned(graph.tensors[member])
                dictated = dictated or q
                if q is None:
                    lo, hi = ranges[member]
                    lows += [lo, extra.get(member, 0.0)]
                    highs += [hi, extra.get(member, 0.0)]
            # What Softmax dictates holds its own values; a Concat may put others beside them.
            own = quant_from_range(min(lows), max(highs))
            chosen[name] = dictated if dictated is not None and _holds(dictated, min(lows), max(highs)) else own
    return chosen


def _holds(q: Quant, lo: float, hi: float) -> bool:
    """[lo, hi] can be said, to within a step at the ends (Softmax's own 1.0 is one beyond)."""
    return q.s * (-129 - q.zero_point) <= lo and hi <= q.s * (128 - q.zero_point)


def weighted_inputs(graph: Graph) -> tuple[str, ...]:
    """Activations that feed a layer whose rounded weights `correct_bias` makes up for."""
    names = (n.inputs[0] for n in graph.nodes if isinstance(n.op, Conv | Dense))
    return tuple(dict.fromkeys(names))


def correct_bias(op: Operator, x: Tensor, w: Tensor, lowered: Lowered, mean: Array) -> Lowered:
    """Rounded weights shift a layer's mean output; its bias takes that shift back.

    With e = w / s_w - w_q, the rounding error in steps, the accumulator is off by sum(e * x) on average:
    sum(e * mean(x)) / s_x in the bias' unit (Nagel et al. 2019, Data-Free Quantization, section 4.2). `mean`: of x over
    samples and positions, one for each channel (last axis).
    """
    activation, qw, qb, *rest = lowered.inputs
    assert isinstance(qw, Tensor)
    assert isinstance(qb, Tensor)
    assert qw.quant is not None
    s_w = np.asarray(qw.quant.scale).reshape(-1, *(1,) * (w.array.ndim - 1))
    error = w.array / s_w - qw.array
    if isinstance(op, Conv):
        taps = error.sum(axis=tuple(range(1, error.ndim - 1)))  # (O, C/groups)
        group = np.repeat(np.arange(op.groups), len(taps) // op.groups)
        shift = (taps * mean.reshape(op.groups, -1)[group]).sum(axis=1)
    else:
        shift = error @ mean
    bias = qb.array.astype(np.int64) + np.rint(shift / need_quant(x)[0]).astype(np.int64)
    # The bound of NUMERICS section 1 has room for it: |e| <= 1/2, so the shift is below sum|w| * 256 / 2.
    limit = 2**31 - 1 - 256 * np.abs(qw.array.astype(np.int64)).reshape(len(bias), -1).sum(axis=1)
    corrected = Tensor.constant(qb.name, np.clip(bias, -limit, limit).astype(np.int32))
    return Lowered(lowered.op, (activation, qw, corrected, *rest))


def quantise(
    graph: Graph, ranges: Mapping[str, tuple[float, float]], means: Mapping[str, Array] = MappingProxyType({})
) -> Graph:
    """The FIXED graph. `means`: channel means of the tensors `weighted_inputs` names, for the bias correction.

    Raises ModelError naming the layer whose arithmetic cannot be held in int8 and int32.
    """
    quants = choose_quants(graph, ranges)
    tensors: dict[str, Tensor] = {}
    for t in graph.tensors.values():
        if t.const is None:
            tensors[t.name] = replace(t, dtype=DType.INT8, quant=quants[t.name])
    nodes: list[Node] = []
    scratch = graph  # only asked for fresh names

    def change_scale(name: str, target: str, wanted: Quant, origin: tuple[str, ...]) -> None:
        """A table that writes `name` into `target` with another scale."""
        out = Tensor(target, tensors[name].shape, DType.INT8, wanted)
        table = Tensor.constant(f"{target}_table", Unary("x").table(tensors[name], out))
        tensors[target], tensors[table.name] = out, table
        nodes.append(Node(f"{target}_rescale", Unary("x", "requantise"), (name, table.name), (target,), origin))

    def add_constant(t: Tensor) -> str:
        """Its name; another one where several nodes read one FLOAT constant and quantise it differently."""
        name, k = t.name, 2
        while name in tensors and tensors[name] != replace(t, name=name):
            name, k = f"{t.name}_{k}", k + 1
        tensors[name] = replace(t, name=name)
        return name

    for node in graph.nodes:
        op = _operator(node)
        ins: list[Tensor] = []
        out = tensors[node.outputs[0]]
        if op.fixed_quant() is not None and out.quant != op.fixed_quant():
            out = replace(out, name=fresh(scratch, f"{out.name}_own"), quant=op.fixed_quant())
        for name in node.inputs:
            t = graph.tensors[name]
            if t.const is not None:
                if op.same_quant:
                    t = replace(t, quant=out.quant)  # its codes are moved into the output as they are
                elif isinstance(op, Add | Mul) and t.quant is None:
                    t = replace(t, quant=constant_quant(t.array))
                ins.append(t)
                continue
            t = tensors[name]
            if op.same_quant and t.quant != out.quant:
                target = f"{name}_as_{out.name}"
                if target not in tensors:
                    assert out.quant is not None
                    change_scale(name, target, out.quant, node.origin)
                t = tensors[target]
            ins.append(t)
        try:
            lowered = op.quantise(ins, out)
            if isinstance(op, Conv | Dense) and ins[0].name in means and ins[1].quant is None:
                lowered = correct_bias(op, ins[0], ins[1], lowered, means[ins[0].name])
        except ModelError as e:
            where = ", ".join(node.origin) or node.name
            raise ModelError(f'{op.describe(ins)} "{where}": {e}') from e
        names = tuple(add_constant(i) if isinstance(i, Tensor) else i for i in lowered.inputs)
        tensors[out.name] = out
        nodes.append(Node(node.name, lowered.op, names, (out.name,), node.origin))
        if out.name != node.outputs[0]:
            final = tensors[node.outputs[0]]
            assert final.quant is not None
            change_scale(out.name, final.name, final.quant, node.origin)
    fixed = replace(graph, stage=Stage.FIXED, nodes=tuple(nodes), tensors=tensors)
    return fixed.with_()
