"""FLOAT to FIXED: a scale and zero point for every tensor, integer weights, one rounding rule (docs/NUMERICS.md).

Tensors that an operator must keep in the same integers (pools, reshapes, concatenations: `same_quant`) form a tie and
get one quantisation: the pinned one if a member is pinned, otherwise the union of their ranges. Where two pins
disagree, a table that changes the scale is put between.

Activations are int8 unless they are asked for in int16 (NUMERICS section 8). A node that reads or writes int16 computes
in int16 where it can; conversions stand where the width changes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from tinygen.calibrate.ranges import quant_from_range
from tinygen.errors import ModelError
from tinygen.ir.types import Affine, Graph, Node, Quant, Stage, State, Tensor
from tinygen.numerics import Array
from tinygen.ops import (
    Add,
    Extreme,
    MatMul,
    Mul,
    Operator,
    Requantise,
    Resize,
    Softmax,
    Unary,
)
from tinygen.ops.base import Lowered, bits_of, int_range, is_wide, need_quant
from tinygen.ops.broadcast import constant_quant
from tinygen.ops.unary import peel
from tinygen.ops.weighted import Weighted
from tinygen.passes import rounding, slices
from tinygen.passes.base import fresh, replace_nodes


def _operator(node: Node) -> Operator:
    assert isinstance(node.op, Operator)
    return node.op


def ties(
    graph: Graph, nodes: Collection[Node] | None = None, groups: Collection[tuple[str, ...]] = ()
) -> dict[str, tuple[str, ...]]:
    """Tensor name to all members of its tie, itself included, in graph order. `nodes`: the only ones that tie, beside
    the two ends of each state; `groups`: tensors that are tied besides.

    A constant joins none: it is quantised anew for each operator that reads it, and the output's range holds all of it
    that matters.
    """
    leader: dict[str, str] = {name: name for name in graph.tensors}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    of_nodes = (
        group
        for n in (graph.nodes if nodes is None else nodes)
        for group in _operator(n).ties(graph.ins(n), graph.outs(n))
    )
    kept = ((s.reads, s.writes) for s in graph.states)
    for names in (*groups, *kept, *of_nodes):
        found = [find(n) for n in names if graph.tensors[n].const is None]
        for other in found[1:]:
            leader[other] = found[0]
    members: dict[str, list[str]] = {}
    for name in graph.tensors:
        members.setdefault(find(name), []).append(name)
    return {name: tuple(members[find(name)]) for name in graph.tensors}


def wide_tensors(graph: Graph, names: Collection[str] = ()) -> frozenset[str]:
    """Activations that `quantise` keeps in int16: `names`, those pinned so, those that int8 has too few steps for
    (`_weights_of_sums`, `_carried`), and what is tied to them by operators that have an int16 form.

    Not those that a model pinned to int8, nor a tie whose values all come from operators that only write int8.
    Raises ValueError for a name that is no activation.
    """
    unknown = sorted(n for n in names if n not in graph.tensors or graph.tensors[n].const is not None)
    if unknown:
        raise ValueError(f"not among the activations of the graph: {unknown}")
    names = {*names, *_weights_of_sums(graph), *_carried(graph)}
    pins = {t.name: t.quant for t in graph.tensors.values() if t.const is None and t.quant is not None}
    made = {out: node for node in graph.nodes for out in node.outputs}

    def only_int8(name: str) -> bool:
        if name not in made:
            return False
        op = _operator(made[name])
        return not (op.takes_int16() and op.writes_int16)

    moving = [n for n in graph.nodes if _operator(n).takes_int16()]
    wide: set[str] = set()
    for name, group in ties(graph, moving).items():
        asked = any(pins[g].bits == 16 if g in pins else g in names for g in group)
        if not asked or graph.tensors[name].const is not None:
            continue
        sources = [g for g in group if g not in made or not _operator(made[g]).same_quant]
        if name in pins:
            if pins[name].bits == 16:
                wide.add(name)
        elif not only_int8(name) and not (sources and all(only_int8(g) for g in sources)):
            wide.add(name)
    return frozenset(wide)


def _weights_of_sums(graph: Graph) -> set[str]:
    """What a Softmax writes and a product of two activations reads: an attention that could not be fused. In steps of
    1/256 the weights of 50 equal keys would be 5 or 6."""

    def is_summed(name: str) -> bool:
        readers = graph.consumers[name]
        moved = (n.outputs[0] for n in readers if _operator(n).same_quant and len(n.inputs) == 1)
        sums = (n for n in readers if isinstance(n.op, MatMul) and not any(t.const for t in graph.ins(n)))
        return any(sums) or any(map(is_summed, moved))

    made = {n.outputs[0] for n in graph.nodes if isinstance(n.op, Softmax)}
    return {name for name in made - {*graph.outputs} if is_summed(name)}


#: So many steps, each a gate and a sum, are a loop written out.
_STEPS = 3


def _carried(graph: Graph) -> set[str]:
    """What the steps of a loop hand on, h' = gate * h + new, with both addends: an error of one step goes on into all
    that follow."""

    def source(name: str) -> str:
        node = graph.producer.get(name)
        while node is not None and _operator(node).same_quant and len(node.inputs) == 1:
            name = node.inputs[0]
            node = graph.producer.get(name)
        return name

    steps: dict[str, int] = {}  # of the chain that ends with a sum
    links: dict[str, tuple[str, Node]] = {}  # a sum to the sum before it, and its own node
    for node in graph.nodes:
        if not isinstance(node.op, Add):
            continue
        size = graph.outs(node)[0].size
        gates = (graph.producer.get(source(name)) for name in node.inputs)
        held = (source(h) for gate in gates if gate is not None and isinstance(gate.op, Mul) for h in gate.inputs)
        before = max(
            (h for h in held if h in steps and graph.tensors[h].size == size), key=steps.__getitem__, default=""
        )
        steps[node.outputs[0]] = steps.get(before, 0) + 1
        if before:
            links[node.outputs[0]] = before, node
    found: set[str] = set()
    for name in reversed(links):
        if steps[name] >= _STEPS or name in found:
            before, node = links[name]
            found |= {name, before, *(n for n in node.inputs if graph.tensors[n].const is None)}
    return found - {*graph.inputs, *graph.outputs}


def inherited(graph: Graph) -> dict[str, Quant]:
    """Quantisation of the unpinned activations that only pick values of pinned ones: no value is beyond the pin. And of
    what is tied to a cell of 24 bits, which has no other."""
    found: dict[str, Quant] = {}
    cells = {t.name: t.quant for t in graph.tensors.values() if t.const is None and t.quant and t.quant.bits > 16}
    for name, group in ties(graph).items() if cells else ():
        law = next((cells[g] for g in group if g in cells), None)
        if law is not None and graph.tensors[name].const is None and graph.tensors[name].quant is None:
            found[name] = law
    for node in graph.nodes:
        op, ins = _operator(node), graph.ins(node)
        if not op.same_quant or any(t.const is not None for t in ins) or op.own_values(ins):
            continue
        quants = {t.quant or found.get(t.name) for t in ins}
        q = quants.pop()
        if quants or q is None or (q.bits == 16 and not op.takes_int16()):
            continue
        found |= {t.name: q for t in graph.outs(node) if t.quant is None}
    return found


def range_tensors(graph: Graph) -> tuple[str, ...]:
    """Activations whose range must be known: those no pin and no operator decides, and that are no plain numbers."""
    made = _makers(graph)
    known = inherited(graph)
    parted = {name for split in slices.find(graph) for name in split.mixed}
    return tuple(
        t.name
        for t in graph.tensors.values()
        if t.const is None
        and t.quant is None
        and not t.is_plain
        and t.name not in known
        and t.name not in parted
        and (t.name not in made or made[t.name][0].fixed_quant(output=made[t.name][1]) is None)
    )


def _makers(graph: Graph) -> dict[str, tuple[Operator, int]]:
    """For each tensor that a node writes: its operator, and which of its outputs that is."""
    return {out: (_operator(node), k) for node in graph.nodes for k, out in enumerate(node.outputs)}


def choose_quants(
    graph: Graph,
    ranges: Mapping[str, tuple[float, float]],
    wide: Collection[str] = (),
    seen: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> dict[str, Quant]:
    """Quantisation of every activation. `ranges`: (lo, hi) of the tensors `range_tensors` names; `wide`: those kept in
    int16, as `wide_tensors` gives them; `seen`: the least and the largest value of tensors that need not be able to say
    zero where they are parts of outputs (slices.tight_quant)."""
    made = _makers(graph)
    extra = {o: _operator(n).own_values(graph.ins(n), k) for n in graph.nodes for k, o in enumerate(n.outputs)}
    known = inherited(graph)

    def pinned(t: Tensor) -> Quant | None:
        if t.quant is not None or t.name in known:
            return t.quant or known[t.name]
        if t.name not in made:
            return None
        op, output = made[t.name]
        return op.fixed_quant(16 if t.name in wide else 8, output)

    splits = slices.find(graph, ranges, wide)
    apart = {name for split in splits for name in split.moves}
    mixed = {name: where for split in splits for name, where in split.mixed.items()}
    loose = {name for split in splits for name in slices.tables(graph, split)}
    tied = ties(graph, [n for n in graph.nodes if n.name not in apart], [g for s in splits for g in s.groups])
    chosen: dict[str, Quant] = {}
    for name, tie in tied.items():
        t = graph.tensors[name]
        if t.const is not None or t.is_plain or name in mixed:
            continue
        own = pinned(t)
        if own is not None:
            chosen[name] = own
            continue
        bits = 16 if name in wide else 8
        group = [g for g in tie if (g in wide) == (name in wide)]
        pins = [q for q in (graph.tensors[g].quant for g in group) if q is not None]
        # Where it goes is a pin of another scale than where it comes from: rounded once, to that.
        asked = _pin_below(graph, name) or (pins[0] if pins else None)
        # A pin reaches its tie, but not a tensor that others read as well and whose values it would clip.
        shared = any(not _operator(n).same_quant for n in graph.consumers[name]) or name in graph.results
        lawful = asked is None or all(made[g][0].obeys(asked, made[g][1]) for g in tie if g in made)
        if asked is not None and lawful and (not shared or _holds(asked, *ranges[name])):
            chosen[name] = asked
            continue
        lows, highs, dictated = [0.0], [0.0], None
        for member in group:
            q = pinned(graph.tensors[member])
            dictated = dictated or q
            if q is None:
                lo, hi = ranges[member]
                lows += [lo, *extra.get(member, ())]
                highs += [hi, *extra.get(member, ())]
        law = _law([(min(lows), max(highs)), *pins], bits, [made[g] for g in tie if g in made])
        if law is not None:
            chosen[name] = law
            continue
        # What Softmax dictates holds its own values; a Concat may put others beside them.
        own = quant_from_range(min(lows), max(highs), bits)
        if bits == 8 and dictated is None and loose.issuperset(group) and seen.keys() >= set(group):
            own = slices.tight_quant(min(seen[g][0] for g in group), max(seen[g][1] for g in group)) or own
        if any(_halves(port.affine, own) for n, port in zip(graph.inputs, graph.in_ports, strict=True) if n in group):
            own = Quant.per_tensor(own.s * 255 / 254, own.zero_point)
        chosen[name] = dictated if dictated is not None and _holds(dictated, min(lows), max(highs)) else own
    for name, (axis, parts) in mixed.items():
        of = [chosen[p] for p in parts]
        zero_points = tuple(q.zero_point for q in of)
        chosen[name] = Quant(tuple(q.s for q in of), 0, axis, of[0].bits, zero_points=zero_points)
    return chosen


def _halves(affine: Affine | None, q: Quant) -> bool:
    """Would whole numbers outside, an image from 0 to 255 around 127.5, all be ties? Half to even, two and two of them
    would become one: a bit lost. A scale a little larger joins two of them in all."""
    if affine is None or q.bits == 16:
        return False
    pairs = zip(affine.mean, affine.steps(q.s), strict=True)
    return any(abs(step) == 1.0 and abs(mean) % 1.0 == 0.5 for mean, step in pairs)


def _pin_below(graph: Graph, name: str) -> Quant | None:
    """The one pin to which all readers of an activation only move its values."""
    found = set[Quant | None]()
    for node in graph.consumers[name]:
        out = graph.outs(node)[0]
        found.add((out.quant or _pin_below(graph, out.name)) if _operator(node).same_quant else None)
    return found.pop() if len(found) == 1 else None


def _law(
    held: Sequence[tuple[float, float] | Quant], bits: int, makers: Sequence[tuple[Operator, int]]
) -> Quant | None:
    """The quantisation that an operator that writes to a tie has for it, where all of `held`, ranges and what pins can
    say, is to be said; None: no operator has a law."""
    if all(op.lawful_quant(-1.0, 1.0, bits, k) is None for op, k in makers):
        return None
    ends = [_ends(v) if isinstance(v, Quant) else v for v in held]
    low, high = min(lo for lo, _ in ends), max(hi for _, hi in ends)
    return next(q for op, k in makers if (q := op.lawful_quant(low, high, bits, k)) is not None)


def _ends(q: Quant) -> tuple[float, float]:
    """The least and the largest number it can say."""
    return q.s * (q.low - q.zero_point), q.s * (q.high - q.zero_point)


def _holds(q: Quant, lo: float, hi: float) -> bool:
    """[lo, hi] can be said, to within a step at the ends (Softmax's own 1.0 is one beyond)."""
    return q.s * (q.low - 1 - q.zero_point) <= lo and hi <= q.s * (q.high + 1 - q.zero_point)


def weighted_inputs(graph: Graph) -> tuple[str, ...]:
    """Activations that feed a layer whose rounded weights `correct_bias` makes up for: not one with pinned weights."""
    layers = (n for n in graph.nodes if isinstance(n.op, Weighted) and n.op.by_rows)
    names = (n.inputs[0] for n in layers if graph.tensors[n.inputs[1]].quant is None)
    return tuple(dict.fromkeys(names))


def constant_operands(graph: Graph, node: Node) -> tuple[str, ...]:
    """Constants that lie along a node's output and get a scale of their own: no weights, and nothing that is only moved
    or compared."""
    op, ins = _operator(node), graph.ins(node)
    if op.same_quant or all(t.const is None for t in ins):
        return ()
    along = op.access(ins, graph.outs(node))[0]
    return tuple(t.name for t, axes in zip(ins, along, strict=True) if t.const is not None and axes is not None)


def correct_bias(op: Weighted, x: Tensor, w: Tensor, lowered: Lowered, mean: Array) -> Lowered:
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
    shift = op.mean_shift(error, mean)
    bias = qb.array.astype(np.int64) + np.rint(shift / need_quant(x)[0]).astype(np.int64)
    # The bound of NUMERICS section 1 has room for it: |e| <= 1/2, so the shift is below sum|w| * 256 / 2. An int16
    # layer at its bound takes what fits.
    reach = 2**15 if is_wide(x) else 256
    limit = 2**31 - 1 - reach * np.abs(qw.array.astype(np.int64)).reshape(len(bias), -1).sum(axis=1)
    corrected = Tensor.constant(qb.name, np.clip(bias, -limit, limit).astype(np.int32))
    return Lowered(lowered.op, (activation, qw, corrected, *rest))


def quantise(
    graph: Graph,
    ranges: Mapping[str, tuple[float, float]],
    means: Mapping[str, Array] = MappingProxyType({}),
    wide: Collection[str] = (),
    seen: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> Graph:
    """The FIXED graph. `means`: channel means of the tensors `weighted_inputs` names, for the bias correction. `wide`:
    activations in int16, with those `wide_tensors` adds; the rest in int8. `seen`: as for `choose_quants`; what comes
    of it no QDQ file can say.

    What int16 could not reach is said in the graph's `notes`. Raises ModelError naming the layer whose arithmetic
    cannot be held in int32.
    """
    return _Quantiser(_exact_clamps(graph), ranges, means, wide, seen).run()


def _exact_clamps(graph: Graph) -> Graph:
    """Clamps that no layer took, into activations pinned to int16, as Min and Max: their tables would be lines that
    miss the corner."""
    changes: dict[str, tuple[Node, ...]] = {}
    more: list[Tensor] = []
    known: Mapping[str, Quant] | None = None
    for node in graph.nodes:
        x, y = graph.ins(node)[0], graph.outs(node)[0]
        if not isinstance(node.op, Unary) or y.quant is None or y.quant.bits != 16:
            continue
        inner, bounds = peel(node.op.expr)
        known = inherited(graph) if known is None else known
        if inner == "x" and (x.quant or known.get(x.name)) not in (None, y.quant):
            continue
        steps = [(largest, edge) for largest, edge in zip((True, False), bounds, strict=True) if math.isfinite(edge)]
        if not steps:
            continue
        nodes = []
        source = x.name
        if inner != "x":
            source = fresh(graph, f"{y.name}_open")
            more.append(Tensor(source, y.shape, quant=y.quant))
            first = replace(node, name=fresh(graph, f"{node.name}_open"), op=replace(node.op, expr=inner))
            nodes.append(replace(first, outputs=(source,)))
        for k, (largest, edge) in enumerate(steps):
            name = fresh(graph, f"{node.name}_{'max' if largest else 'min'}")
            limit = Tensor.constant(f"{name}_limit", np.array([edge], np.float32))
            last = k == len(steps) - 1
            middle = y if last else Tensor(f"{name}_y", y.shape, quant=y.quant)
            more += [limit, middle]
            label = node.name if last else name
            nodes.append(Node(label, Extreme(largest), (source, limit.name), (middle.name,), node.origin))
            source = middle.name
        changes[node.name] = tuple(nodes)
    return replace_nodes(graph, dict(changes), more) if changes else graph


class _Quantiser:
    """Writes the FIXED graph node by node; converts activations where a node wants other integers."""

    def __init__(
        self,
        graph: Graph,
        ranges: Mapping[str, tuple[float, float]],
        means: Mapping[str, Array],
        asked: Collection[str],
        seen: Mapping[str, tuple[float, float]],
    ) -> None:
        self.graph, self.ranges, self.means, self.asked = graph, ranges, means, asked
        quants = choose_quants(graph, ranges, wide_tensors(graph, asked), seen)
        self.tensors = {
            t.name: t if t.is_plain else replace(t, dtype=quants[t.name].dtype, quant=quants[t.name])
            for t in graph.tensors.values()
            if t.const is None
        }
        self.nodes: list[Node] = []
        pinned = [n for n in asked if (q := graph.tensors[n].quant) is not None and q.bits == 8]
        self.notes = [f"{len(pinned)} activations stay in int8, as the model pins them"] if pinned else []

    def run(self) -> Graph:
        for node in self.graph.nodes:
            self._node(node)
        for name, port in zip(self.graph.outputs, self.graph.out_ports, strict=True):
            q = self.tensors[name].quant
            if q is not None and q.zero_points:
                count = len(dict.fromkeys(zip(q.scale, q.zero_points, strict=True)))
                self.notes.append(
                    f'output "{port.name}": {count} scales, one for each of the parts it is joined from along axis '
                    f"{port.perm[q.axis or 0]}; see the header"
                )
        states = tuple(self._state(s) for s in self.graph.states)
        fixed = replace(self.graph, stage=Stage.FIXED, nodes=tuple(self.nodes), tensors=self.tensors, states=states)
        if any(t.const is None and t.quant is not None and t.quant.bits == 16 for t in self.graph.tensors.values()):
            self.notes += filter(None, [rounding.note(fixed)])
        return fixed.with_(notes=(*self.graph.notes, *self.notes))

    def _state(self, state: State) -> State:
        """A state whose two ends have one quantisation: where pins or operators dictate others, what is written is
        converted to what is read."""
        x, y = self.tensors[state.reads], self.tensors[state.writes]
        if x.quant == y.quant:
            return state
        kept = replace(y, name=fresh(self.graph, f"{y.name}_kept"), quant=x.quant, dtype=x.dtype)
        self._convert(y, kept, self.graph.producer[y.name].origin)
        return replace(state, writes=kept.name)

    def _node(self, node: Node) -> None:
        op = _operator(node)
        finals = [self.tensors[name] for name in node.outputs]
        final = finals[0]
        before = [self.tensors[n] for n in node.inputs if self.graph.tensors[n].const is None]
        if op.is_identity and max(bits_of(before[0]), bits_of(final)) > 8:
            self._convert(before[0], final, node.origin, node.name)
            return
        laws = self._laws(node, finals)
        lawful = [self._lawful(t, laws[t.name]) if t.name in laws else t for t in finals]
        bits = self._bits(node, before, lawful)
        kept = {*op.keeps(self.graph.ins(node), finals), *laws}
        outs = [
            t if final.name in kept else self._output(op, t, bits, k)
            for k, (t, final) in enumerate(zip(lawful, finals, strict=True))
        ]
        out = outs[0]
        if isinstance(op, Resize) and op.linear and before[0].quant != final.quant and not is_wide(before[0]):
            # In the scale it reads: in a finer one its inputs could lie beyond the ends.
            out = outs[0] = replace(final, name=fresh(self.graph, f"{final.name}_own"), quant=before[0].quant)
            self.notes.append(
                f'{op.describe(before)} "{_where(node)}" is rounded twice: the model has another scale behind it'
            )
        own, indices = constant_operands(self.graph, node), op.index_inputs(self.graph.ins(node))
        ins = [
            self._as_law(t.name, laws[t.name], node) if t.name in laws
            else self.tensors[t.name] if t.name in kept and t.const is None
            else self._input(op, t, out, bits, node.origin, own=t.name in own, index=t.name in indices)
            for t in self.graph.ins(node)
        ]  # fmt: skip
        if op.aligns:
            ins = self._on_one_grid(ins, node.origin)
        try:
            lowered = op.quantise(ins, outs)
            if isinstance(op, Weighted) and op.by_rows and node.inputs[0] in self.means and ins[1].quant is None:
                lowered = correct_bias(op, ins[0], ins[1], lowered, self.means[node.inputs[0]])
        except ModelError as e:
            raise ModelError(f'{op.describe(ins)} "{_where(node)}": {e}') from e
        if isinstance(op, Weighted):
            self._note_weights(op, node, ins, out, lowered)
        names = tuple(self._constant(i) if isinstance(i, Tensor) else i for i in lowered.inputs)
        self.tensors |= {t.name: t for t in outs}
        outs = outs[: len(outs) - op.watched]
        self.nodes.append(replace(node, op=lowered.op, inputs=names, outputs=tuple(t.name for t in outs)))
        for made, wanted in zip(outs, finals, strict=False):
            if made.name != wanted.name:
                self._convert(made, wanted, node.origin)

    def _laws(self, node: Node, finals: Sequence[Tensor]) -> dict[str, Quant]:
        """Where pins give a tie of outputs, and of inputs, what the operator cannot have, or several scales: the one
        that it works with, by the names of its members."""
        op, ins = _operator(node), self.graph.ins(node)
        found: dict[str, Quant] = {}
        for tie in op.ties(ins, finals):
            members = [(k, t.quant) for k, t in enumerate(finals) if t.name in tie and t.quant is not None]
            names = [n for n in tie if self.graph.tensors[n].const is None]
            quants = [q for n in names if (q := self.tensors[n].quant) is not None]
            if not members or all(q == quants[0] and op.obeys(q, k) for k, _ in members for q in quants):
                continue
            wide = members[0][1].bits > 8  # as its first output is, so it computes
            fit = [q for q in quants if all(op.obeys(q, k) for k, _ in members) and (q.bits > 8) == wide]
            law = _law(quants, min(16, members[0][1].bits), [(op, k) for k, _ in members])
            if law is not None:
                found |= dict.fromkeys(names, max(fit, key=lambda q: q.s * q.high) if fit else law)
        return found

    def _lawful(self, final: Tensor, law: Quant) -> Tensor:
        """An output in the quantisation that the operator works with; `final` where it is that."""
        if final.quant == law:
            return final
        return replace(final, name=fresh(self.graph, f"{final.name}_own"), quant=law, dtype=law.dtype)

    def _as_law(self, name: str, law: Quant, node: Node) -> Tensor:
        """An input of a tie, converted where it is another."""
        x = self.tensors[name]
        if x.quant == law:
            return x
        wanted = replace(x, name=f"{name}_as_{node.outputs[0]}", quant=law, dtype=law.dtype)
        if wanted.name not in self.tensors:
            self._convert(x, wanted, node.origin)
        return self.tensors[wanted.name]

    def _note_weights(self, op: Operator, node: Node, ins: Sequence[Tensor], out: Tensor, lowered: Lowered) -> None:
        """Say where pinned weights could not keep their integers, and what that does to the output at most."""
        w, q = ins[1], lowered.inputs[1]
        assert isinstance(q, Tensor)
        if w.quant is None or q.quant is None or np.array_equal(q.quant.scale, w.quant.scale):
            return
        moved = np.flatnonzero(np.asarray(q.quant.scale) != np.asarray(w.quant.scale))
        real = q.array.reshape(len(q.array), -1) * np.reshape(q.quant.scale, (-1, 1))
        error = np.abs(real - w.array.reshape(len(q.array), -1)).sum(axis=1)[moved].max()
        reach = 2.0 ** (15 if is_wide(ins[0]) else 8)
        steps = float(error) * reach * need_quant(ins[0])[0] / need_quant(out)[0]
        if steps < 0.01:  # a channel without weights, say
            return
        self.notes.append(
            f'{op.describe(ins)} "{_where(node)}": the weights of {moved.size} of {len(q.array)} outputs have a larger '
            "scale than the model's, whose sums would leave 32 bits or whose multiplier would keep too few; that moves "
            f"an output by {steps:.2g} steps at most"
        )

    def _bits(self, node: Node, before: Sequence[Tensor], finals: Sequence[Tensor]) -> int:
        """Width in which a node computes: 16 where it reads or writes int16 and has the form, else 8."""
        op, final = _operator(node), finals[0]
        if op.any_width or op.by_output or (op.copies and bits_of(final) > 16):
            return bits_of(final)  # among others what a cell holds, moved as it is
        pin = self.graph.tensors[node.outputs[0]].quant
        if isinstance(op, Softmax) and pin is not None and pin != op.fixed_quant(8):
            return 16  # rounded once, to the scale that the model asks for, instead of to 1/256 before
        asked = is_wide(final) if op.same_quant else any(map(is_wide, (*before, *finals)))
        if not (asked or (final.name in self.asked and not op.takes_int16())):
            return 8
        if not op.takes_int16():
            reason = "no int16 form"
        elif isinstance(op, Unary) and op.is_coarse(self._widened(before[0]), self._as_int16(final)):
            reason = "too steep for an int16 table"
        else:
            return 16
        self.notes.append(f'{op.describe(self.graph.ins(node))} "{_where(node)}" is computed in int8: {reason}')
        return 8

    def _output(self, op: Operator, final: Tensor, bits: int, output: int) -> Tensor:
        """What a node writes: `final`, or a tensor of its own where that has other integers."""
        if final.is_plain:
            return final
        own = op.fixed_quant(bits_of(final) if op.narrows else bits, output)
        if own is not None and own != final.quant:
            own = op.fixed_quant(bits, output)
        if own is None:
            if bits == bits_of(final) or (bits == 16 and op.narrows and bits_of(final) == 8):
                return final
            own = self._as_int16(final).quant if bits == 16 else self._int8(final)
        elif own == final.quant:
            return final
        assert own is not None
        return replace(final, name=fresh(self.graph, f"{final.name}_own"), quant=own, dtype=own.dtype)

    def _input(
        self, op: Operator, t: Tensor, out: Tensor, bits: int, origin: tuple[str, ...], *, own: bool, index: bool
    ) -> Tensor:
        """An input as the node reads it; activations of other integers are converted first. `own`: a constant operand
        with a scale of its own; `index`: one that says where (`Operator.index_inputs`)."""
        moved = op.same_quant and not index
        if t.const is not None:
            if moved:
                return replace(t, quant=out.quant)  # its codes are moved into the output as they are
            if own and (t.quant is None or bits == 16):
                return replace(t, quant=constant_quant(t.array, bits))
            return t
        x = self.tensors[t.name]
        if x.is_plain:
            return x
        if moved and any(q is not None and q.zero_points for q in (x.quant, out.quant)):
            return x  # a part of an output, or what holds several
        if moved:
            wanted = replace(x, name=f"{x.name}_as_{out.name}", quant=out.quant, dtype=out.dtype)
        elif bits == 16 and not index:
            wanted = self._widened(x)
        elif bits_of(x) > 8:
            narrow = self._int8(x)
            wanted = replace(x, name=f"{x.name}_narrow", quant=narrow, dtype=narrow.dtype)
        else:
            wanted = x
        if wanted.quant == x.quant:
            return x
        if wanted.name not in self.tensors:
            self._convert(x, wanted, origin)
        return self.tensors[wanted.name]

    def _on_one_grid(self, ins: Sequence[Tensor], origin: tuple[str, ...]) -> list[Tensor]:
        """Inputs of one quantisation: where pins give them several, one that holds what all of them can say."""
        quants = [t.quant for t in ins if t.quant is not None]
        if all(q == quants[0] for q in quants):
            return list(ins)
        lows, highs = ([q.s * (end - q.zero_point) for q in quants] for end in (-128, 127))
        both = quant_from_range(min(lows), max(highs))
        found = []
        for t in ins:
            wanted = replace(t, name=fresh(self.graph, f"{t.name}_aligned"), quant=both)
            if wanted.name not in self.tensors:
                self._convert(t, wanted, origin)
            found.append(self.tensors[wanted.name])
        return found

    @staticmethod
    def _widened(x: Tensor) -> Tensor:
        """x in int16, exactly: 128 * (q - zero point) of a scale 128 times as fine; 24 bits rounded."""
        if is_wide(x):
            return x
        if bits_of(x) > 16:
            return replace(_Quantiser._as_int16(x), name=f"{x.name}_wide")
        finer = Quant.per_tensor(need_quant(x)[0] / 128.0, 0, 16)
        return replace(x, name=f"{x.name}_wide", quant=finer, dtype=finer.dtype)

    @staticmethod
    def _as_int16(x: Tensor) -> Tensor:
        """x with an int16 quantisation that just holds what its own does."""
        if is_wide(x):
            return x
        (scale, zp), (low, high) = need_quant(x), int_range(x)
        finer = quant_from_range(scale * (low - zp), scale * (high - zp), 16)
        return replace(x, quant=finer, dtype=finer.dtype)

    def _int8(self, x: Tensor) -> Quant:
        """An int8 quantisation for an int16 tensor: of its range, or where it is pinned of what the pin can say."""
        if self.graph.tensors[x.name].quant is None and x.name in self.ranges:
            return quant_from_range(*self.ranges[x.name])
        assert x.quant is not None
        return quant_from_range(x.quant.s * -x.quant.high, x.quant.s * x.quant.high)

    def _convert(self, x: Tensor, target: Tensor, origin: tuple[str, ...], name: str = "") -> None:
        """A node that writes x into `target` with other integers: a table from int8 to int8, else arithmetic."""
        self.tensors[target.name] = target
        inputs: tuple[str | Tensor, ...]
        if max(bits_of(x), bits_of(target)) > 8:
            lowered = Requantise().quantise([x], [target])
            op, inputs = lowered.op, lowered.inputs
        else:
            op = Unary("x", "requantise")
            inputs = (x.name, Tensor.constant(f"{target.name}_table", Unary("x").table(x, target)))
        names = tuple(self._constant(i) if isinstance(i, Tensor) else i for i in inputs)
        self.nodes.append(Node(name or f"{target.name}_rescale", op, names, (target.name,), origin))

    def _constant(self, t: Tensor) -> str:
        """Its name; another one where several nodes read one FLOAT constant and quantise it differently."""
        name, k = t.name, 2
        while name in self.tensors and self.tensors[name] != replace(t, name=name):
            name, k = f"{t.name}_{k}", k + 1
        self.tensors[name] = replace(t, name=name)
        return name


def _where(node: Node) -> str:
    return ", ".join(node.origin) or node.name
