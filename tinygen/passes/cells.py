"""LSTM, GRU and RNN cells that are written out: a step of layers, sigmoids and products. As one operator a cell has 24
bits, and a state that fades slowly does not stop at half a step of eight.

What counts is what is computed, not how: weights of a gate are gathered through sums, slices, joined inputs and
layers, functions are compared with the sigmoid and the hyperbolic tangent value by value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.ir.types import Graph, Node, Tensor
from tinygen.numerics import Array
from tinygen.ops import Add, Gru, Lstm, Mul, Reshape, Rnn, Unary
from tinygen.ops.recurrent import TANH, Recurrent
from tinygen.ops.unary import evaluate
from tinygen.passes.base import Pass, Promise, labelled, merge_origin
from tinygen.passes.written_out import CLOSE, SIGMOIDS, TRIED, Gate, Linear, Reader, ordered, pairs, same


@dataclass(frozen=True)
class _Cell:
    """A cell that was found: the operator, its weights for x and h, its bias. `inputs`: names of x, h and of an LSTM c;
    `outputs`: of what it computes, h, and c."""

    op: Recurrent
    w: Array
    r: Array
    bias: Array
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def _lstm(find: Reader, node: Node) -> _Cell | None:
    """h = o * tanh(c), c = f * c0 + i * g."""
    ends = find.operands(node.outputs[0], Mul)
    for o_name, t_name in pairs(ends):
        o = find.gate(o_name)
        expr, c = find.function(t_name)
        if o is None or not o.is_sigmoid or isinstance(expr, str):
            continue
        y = evaluate(expr, TRIED)
        terms = find.operands(c, Add)
        if terms is None or np.abs(y - TANH(TRIED)).max() >= CLOSE:
            continue
        for kept, new in pairs(terms):
            found = _lstm_of(find, node, o, c, kept, new)
            if found is not None:
                return found
    return None


def _lstm_of(find: Reader, node: Node, o: Gate, c: str, kept: str, new: str) -> _Cell | None:
    before, inside = find.operands(kept, Mul), find.operands(new, Mul)
    if before is None or inside is None:
        return None
    for (f_name, c0), (i_name, g_name) in ((p, q) for p in pairs(before) for q in pairs(inside)):
        f, i, g = find.gate(f_name), find.gate(i_name), find.gate(g_name)
        if f is None or i is None or g is None or g.kind != TANH:
            continue
        if not f.is_sigmoid or not i.is_sigmoid or not f.kind == i.kind == o.kind:
            continue
        rows = [find.linear(v.sums) for v in (i, o, f, g)]
        units = find.graph.tensors[node.outputs[0]].shape[-1]
        split = _split(find, rows, units, node.outputs[0], cell=find.source(c0))
        if split is None:
            continue
        x, h, w, r, bias = split
        op = Lstm(units, ((o.kind, TANH, TANH),), initial=True, sequence=False)
        return _Cell(op, w, r, bias, (x, h, find.source(c0)), (node.outputs[0], c))
    return None


def _gru(find: Reader, node: Node) -> _Cell | None:
    """h = n + z * (h0 - n), or (1 - z) * n + z * h0."""
    terms = find.operands(node.outputs[0], Add)
    for a, b in pairs(terms):
        for z, n, h0 in (*_mixed(find, a, b), *_faded(find, a, b)):
            found = _gru_of(find, node, z, n, h0)
            if found is not None:
                return found
    return None


def _mixed(find: Reader, n: str, product: str) -> Iterator[tuple[Gate, str, str]]:
    """n + z * (h0 - n), or h0 + (1 - z) * (n - h0)"""
    both = find.operands(product, Mul)
    for gate, rest in pairs(both):
        z, difference = find.gate(gate), find.operands(rest, Add, -1)
        if z is None or z.kind not in SIGMOIDS or difference is None:
            continue
        if find.source(difference[1]) == find.source(n):
            yield z, n, difference[0]
            yield replace(z, flipped=not z.flipped), difference[0], n


def _faded(find: Reader, one: str, other: str) -> Iterator[tuple[Gate, str, str]]:
    """(1 - z) * n + z * h0"""
    first, second = find.operands(one, Mul), find.operands(other, Mul)
    if first is None or second is None:
        return
    for (gate1, n), (gate2, h0) in ((p, q) for p in pairs(first) for q in pairs(second)):
        a, z = find.gate(gate1), find.gate(gate2)
        if a is None or z is None or a.kind != z.kind or z.kind not in SIGMOIDS:
            continue
        if a.flipped != z.flipped and find.source(a.sums) == find.source(z.sums):
            yield z, n, h0


def _gru_of(find: Reader, node: Node, z: Gate, n_name: str, h0: str) -> _Cell | None:
    n = find.gate(n_name)
    units = find.graph.tensors[node.outputs[0]].shape[-1]
    if n is None or n.kind != TANH:
        return None
    of_z = find.linear(z.sums)
    if of_z is not None and z.flipped:
        of_z = of_z.times(-1.0)
    h = find.source(h0)
    for before, reset, outer, inner in (*_reset_inside(find, n.sums, h), *_reset_before(find, n.sums, h)):
        r = find.gate(reset)
        if r is None or (r.kind, r.flipped) != (z.kind, False):
            continue
        of_r = find.linear(r.sums)
        split = _split(find, [of_z, of_r], units, node.outputs[0], h)
        if split is None or set(outer.terms) - {split[0]} or set(inner.terms) != {h}:
            continue
        x, _, w, rows, bias = split
        if x not in outer.terms or outer.terms[x].shape != (units, w.shape[1]):
            continue
        w = np.concatenate([w, outer.terms[x]])
        rows = np.concatenate([rows, inner.terms[h]])
        both = np.zeros(2 * len(w))
        both[: 2 * units], both[2 * units : 3 * units] = bias, outer.bias
        both[len(w) + 2 * units :] = inner.bias
        op = Gru(units, ((z.kind, TANH),), initial=True, sequence=False, before=before)
        return _Cell(op, w, rows, both, (x, h), (node.outputs[0],))
    return None


def _reset_inside(find: Reader, sums: str, h: str) -> Iterator[tuple[bool, str, Linear, Linear]]:
    """W x + r * (R h + b)"""
    terms = find.operands(sums, Add)
    for of_x, product in pairs(terms):
        outer, both = find.linear(of_x), find.operands(product, Mul)
        for reset, of_h in pairs(both) if outer else ():
            inner = find.linear(of_h)
            if inner is not None and outer is not None and set(inner.terms) == {h}:
                yield True, reset, outer, inner


def _reset_before(find: Reader, sums: str, h: str) -> Iterator[tuple[bool, str, Linear, Linear]]:
    """W x + R (r * h)"""
    whole = find.linear(sums)
    if whole is None:
        return
    for name, weights in whole.terms.items():
        both = find.operands(name, Mul)
        for reset, state in pairs(both):
            if find.source(state) == h:
                rest = {n: w for n, w in whole.terms.items() if n != name}
                yield False, reset, Linear(rest, whole.bias), Linear({h: weights}, np.zeros(len(weights)))


def _rnn(find: Reader, node: Node) -> _Cell | None:
    """h = tanh(W x + R h), where h is a state or what such a step with the same weights made."""
    gate = find.gate(node.outputs[0])
    row = find.linear(gate.sums) if gate is not None and gate.kind == TANH else None
    units = find.graph.tensors[node.outputs[0]].shape[-1]
    for h in row.terms if row is not None else ():
        split = _split(find, [row], units, node.outputs[0], h)
        if split is not None and _comes_back(find, node, h, split[2], split[3]):
            x, _, w, r, bias = split
            op = Rnn(units, ((TANH,),), initial=True, sequence=False)
            return _Cell(op, w, r, bias, (x, h), (node.outputs[0],))
    return None


def _comes_back(find: Reader, node: Node, h: str, w: Array, r: Array) -> bool:
    graph = find.graph
    if r.shape[0] != r.shape[1]:
        return False
    if any(s.reads == h and find.source(s.writes) == node.outputs[0] for s in graph.states):
        return True
    before = graph.producer.get(h)
    if before is not None and isinstance(before.op, Rnn):
        _, w0, r0, *_ = graph.ins(before)
        return same(w0.array[0], w) and same(r0.array[0], r)
    gate = find.gate(h)
    first = find.linear(gate.sums) if gate is not None and gate.kind == TANH else None
    return first is not None and len(first.terms) == 1 and all(same(t, w) for t in first.terms.values())


def _beside(find: Reader, h: str, cell: str) -> bool:
    """Were both made by one LSTM, or is it a step that is written out, o * tanh(cell)?"""
    maker = find.maker(h)
    if maker is not None and isinstance(maker.op, Lstm):
        return cell in maker.outputs
    return any(find.source(find.function(t)[1]) == cell for t in find.operands(h, Mul) or ())


def _split(
    find: Reader, rows: Sequence[Linear | None], units: int, written: str, h: str = "", cell: str = ""
) -> tuple[str, str, Array, Array, Array] | None:
    """x, h, the weights of each, one gate behind the other, and the bias; None where they read anything else. `h`,
    `cell`: names of the state, where it is known."""
    if any(r is None or len(r.bias) != units for r in rows):
        return None
    gates = [r for r in rows if r is not None]
    names = list(dict.fromkeys(n for r in gates for n in r.terms))
    if len(names) != 2 or any(set(r.terms) != set(names) for r in gates):
        return None
    if any(w.shape != (units, find.graph.tensors[n].shape[-1]) for r in gates for n, w in r.terms.items()):
        return None
    lengths = {n: find.graph.tensors[n].shape[-1] for n in names}
    hidden = [h] if h else [n for n in names if lengths[n] == units]
    if len(hidden) > 1:  # inputs as many as units: h is what comes back, or what was made with the cell
        kept = {s.reads for s in find.graph.states if find.source(s.writes) == find.source(written)}
        hidden = [n for n in hidden if n in kept or (cell and _beside(find, n, cell))] or hidden[-1:]
    if not hidden or hidden[0] not in names:
        return None
    (x,) = (n for n in names if n != hidden[0])
    w, r = (np.concatenate([g.terms[n] for g in gates]) for n in (x, hidden[0]))
    return x, hidden[0], w, r, np.concatenate([g.bias for g in gates])


def _run(graph: Graph) -> Graph:
    before = graph
    for name in graph.by_name:
        node = graph.by_name.get(name)
        if node is None or not isinstance(node.op, Mul | Add | Unary):
            continue
        find = Reader(graph)
        if not find.flat(node.outputs[0]):
            continue
        match node.op:
            case Mul():
                found = _lstm(find, node)
            case Add():
                found = _gru(find, node)
            case _:
                found = _rnn(find, node)
        if found is not None:
            graph = _replaced(graph, node, found)
    return graph if graph is before else ordered(graph)


def _replaced(graph: Graph, node: Node, found: _Cell) -> Graph:
    """The cell as one node, behind all others; what only it read is read by nobody now."""
    taken = {*graph.tensors, *graph.by_name}
    tensors: list[Tensor] = []
    made: list[Node] = []

    def name(stem: str) -> str:
        text, k = stem, 2
        while text in taken:
            text, k = f"{stem}_{k}", k + 1
        taken.add(text)
        return text

    def view(source: str, shape: tuple[int, ...], target: str = "") -> str:
        if graph_shape(source) == shape and not target:
            return source
        t = target or name(f"{source}_row")
        if not target:
            tensors.append(Tensor(t, shape))
        made.append(Node(name(f"{t}_view"), Reshape(shape), (source,), (t,), origin))
        return t

    def graph_shape(tensor: str) -> tuple[int, ...]:
        return next((t.shape for t in tensors if t.name == tensor), None) or graph.tensors[tensor].shape

    origin = merge_origin(*_inside(graph, found), node)
    op, units = found.op, found.op.units
    x, *states = found.inputs
    bias = found.bias if len(found.bias) == 2 * len(found.w) else np.concatenate([found.bias, 0.0 * found.bias])
    for stem, array in (("w", found.w), ("r", found.r), ("b", bias)):
        tensors.append(Tensor.constant(name(f"{node.name}_{stem}"), array[None].astype(np.float32)))
    consts = [t.name for t in tensors]
    ins = [view(x, (1, 1, found.w.shape[1])), *consts, *(view(s, (1, units)) for s in states)]
    shapes = op.infer(*(graph_shape(i) for i in ins))
    outs = [name(f"{node.name}_out{k}") for k in range(len(shapes))]
    for k, target in enumerate(found.outputs, start=1):
        outs[k] = target if graph_shape(target) == shapes[k] else outs[k]
    tensors += [Tensor(n, s) for n, s in zip(outs, shapes, strict=True) if n not in found.outputs]
    made.append(Node(name(f"{node.name}_cell"), op, tuple(ins), tuple(outs), origin, labelled(op.title, origin)))
    gone = set(found.outputs)
    for k, target in enumerate(found.outputs, start=1):
        if outs[k] != target:
            view(outs[k], graph_shape(target), target)
    nodes = [n for n in graph.nodes if not gone.intersection(n.outputs)]
    return graph.with_(nodes=[*nodes, *made], tensors=tensors)


def _inside(graph: Graph, found: _Cell) -> list[Node]:
    """The nodes between what the cell reads and what it writes."""
    ends, seen, stack = set(found.inputs), dict[str, Node](), list(found.outputs)
    while stack:
        tensor = stack.pop()
        node = graph.producer.get(tensor)
        if tensor in ends or node is None or node.name in seen:
            continue
        seen[node.name] = node
        stack += node.inputs
    return [n for n in graph.nodes if n.name in seen]


PASS = Pass("cells", _run, Promise.CLOSE)
