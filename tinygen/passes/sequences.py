"""Cells of one layer that follow each other become one layer over a sequence: loops whose steps are written out.

The first step begins with zeros, and is no cell by itself: what it multiplies with zeros is left out. It belongs to the
layer where what remains has the layer's weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.ir.types import Graph, Node, Tensor
from tinygen.ops import Add, Concat, Gather, Gru, Lstm, Mul, Reshape, Rnn, Slice, Unary
from tinygen.ops.base import Operator
from tinygen.ops.recurrent import TANH, Recurrent
from tinygen.ops.unary import evaluate
from tinygen.passes.base import Pass, Promise, fresh, labelled, merge_origin, replace_nodes
from tinygen.passes.moves import FOLLOWED, origin_of, place
from tinygen.passes.written_out import CLOSE, SIGMOIDS, TRIED, Linear, Reader, is_open, ordered, pairs, same

#: Names of nodes that a layer is said to stem from; of more the first and the last.
_NAMED = 8


@dataclass(frozen=True)
class _Step:
    """What a step of a chain reads and writes: x, and h (of an LSTM c behind it)."""

    x: str
    writes: tuple[str, ...]


def _run(graph: Graph) -> Graph:
    for name in graph.by_name:
        node = graph.by_name.get(name)
        if node is None or not _is_cell(graph, node):
            continue
        find = Reader(graph)
        chain = _chain(find, node)
        if chain is not None and not _feeds_itself(graph, chain[0]):
            graph = _joined(find, *chain)
    for name in graph.by_name:
        graph = _turned(graph, graph.by_name[name])
    return graph


def _turned(graph: Graph, node: Node) -> Graph:
    """A layer over a sequence that was reversed reads it from the end, and what it writes is reversed."""
    op = node.op
    if not isinstance(op, Recurrent) or op.directions > 1 or op.lengths or node.inputs[0] not in graph.producer:
        return graph
    x, y = graph.ins(node)[0], graph.outs(node)[0]
    steps = x.shape[1]
    if x.size > FOLLOWED or y.quant is not None or steps == 1:
        return graph
    source, at = origin_of(graph, x.name)
    back = np.arange(x.size).reshape(x.shape)[:, ::-1].reshape(-1)
    if graph.tensors[source].size != x.size or not np.array_equal(at, back):
        return graph
    given = Tensor(fresh(graph, f"{x.name}_forth"), x.shape)
    view = Node(fresh(graph, f"{node.name}_in"), Reshape(x.shape), (source,), (given.name,), node.origin)
    turned = replace(node, op=replace(op, reverse=(not op.reverse[0],)), inputs=(given.name, *node.inputs[1:]))
    if not op.sequence:
        return replace_nodes(graph, {node.name: (view, turned)}, [given])
    out = Tensor(fresh(graph, f"{y.name}_forth"), y.shape)
    undo = Node(
        fresh(graph, f"{node.name}_out"), Gather(1, tuple(range(steps))[::-1]), (out.name,), (y.name,), node.origin
    )
    turned = replace(turned, outputs=(out.name, *node.outputs[1:]))
    return replace_nodes(graph, {node.name: (view, turned, undo)}, [given, out])


def _is_cell(graph: Graph, node: Node) -> bool:
    """One step of one direction, from a state that is given, and nothing of it pinned."""
    op = node.op
    if not isinstance(op, Recurrent) or not op.initial or op.directions > 1 or op.lengths or any(op.reverse):
        return False
    return graph.ins(node)[0].shape[:2] == (1, 1) and all(t.quant is None for t in graph.outs(node))


def _states(node: Node) -> tuple[str, ...]:
    """The tensors of the state that a cell begins with: h, and c."""
    assert isinstance(node.op, Recurrent)
    return node.inputs[-node.op.STATES :]


def _written(node: Node) -> tuple[str, ...]:
    """What a cell ends with: h, and c."""
    assert isinstance(node.op, Recurrent)
    return node.outputs[1 : 1 + node.op.STATES]


def _follows(find: Reader, a: Node, b: Node) -> bool:
    """Does b go on where a ended, with the same weights, and does nobody else see what an LSTM keeps for itself?"""
    graph = find.graph
    if a.op != b.op:
        return False
    begins, (h, *rest) = [find.source(t) for t in _states(b)], _written(a)
    if begins[0] not in (h, a.outputs[0]) or begins[1:] != rest:
        return False
    count = len(a.inputs) - len(begins)
    for one, other in zip(graph.ins(a)[1:count], graph.ins(b)[1:count], strict=True):
        if one.name != other.name and not np.array_equal(one.array, other.array):
            return False
    return all(set(_readers(graph, c)) == {b.name} and c not in graph.results for c in rest)


def _readers(graph: Graph, tensor: str) -> Iterator[str]:
    """Nodes that read a tensor, through other views of it."""
    for n in graph.consumers[tensor]:
        if isinstance(n.op, Reshape) and n.outputs[0] not in graph.results:
            yield from _readers(graph, n.outputs[0])
        else:
            yield n.name


def _chain(find: Reader, node: Node) -> tuple[list[Node], _Step | None] | None:
    """The cells from this one on, and the step in front of it that begins with zeros; None where there is no other."""
    graph = find.graph
    before = graph.producer.get(find.source(_states(node)[0]))
    if before is not None and _is_cell(graph, before) and _follows(find, before, node):
        return None  # not the first
    cells = [node]
    while True:
        h = {cells[-1].outputs[0], *_written(cells[-1])[:1]}
        names = dict.fromkeys(r for t in h for r in _readers(graph, t))
        after = [graph.by_name[r] for r in names if _is_cell(graph, graph.by_name[r])]
        after = [n for n in after if _follows(find, cells[-1], n)]
        if len(after) != 1:
            break
        cells.append(after[0])
    first = _first(find, node)
    return (cells, first) if len(cells) > 1 or first is not None else None


def _feeds_itself(graph: Graph, cells: Sequence[Node]) -> bool:
    """Is an input made of what a step wrote, as where a decoder reads its own output? Then steps must stay steps."""
    own, seen = {n.name for n in cells}, set[str]()
    waiting = [n.inputs[0] for n in cells]
    while waiting:
        node = graph.producer.get(waiting.pop())
        if node is None or node.name in seen:
            continue
        if node.name in own:
            return True
        seen.add(node.name)
        waiting += node.inputs
    return False


def _first(find: Reader, node: Node) -> _Step | None:
    """The step that makes the state with which a cell begins, from zeros and with the cell's weights."""
    states = tuple(find.source(t) for t in _states(node))
    if any(t not in find.graph.producer for t in states):
        return None
    op = node.op
    assert isinstance(op, Recurrent)
    if not _is_usual(op):
        return None
    match op:
        case Lstm():
            rows = _lstm(find, op, *states)
        case Gru():
            rows = _gru(find, node, states[0])
        case _:
            rows = _rnn(find, states[0])
    names = {n for r in (rows or {}).values() for n in r.terms}
    if rows is None or len(names) != 1:
        return None
    (x,) = names
    _, w, _, b = find.graph.ins(node)[:4]
    units, gates = op.units, op.GATES
    weights, bias = w.array.reshape(gates, units, -1), b.array.reshape(2, gates, units)
    inside = isinstance(op, Gru) and op.before
    for gate, row in rows.items():
        want = bias[0, gate] if inside and gate == 2 else bias[:, gate].sum(axis=0)
        if not same(row.terms.get(x), weights[gate]) or not same(row.bias, want):
            return None
    return _Step(x, states)


def _is_usual(op: Recurrent) -> bool:
    """Has it nothing that `_lstm`, `_gru` and `_rnn` do not look for?"""
    (functions,) = op.functions
    more = isinstance(op, Lstm) and (op.coupled or op.peepholes)
    return not op.clip and not more and all(f == TANH for f in functions[0 if isinstance(op, Rnn) else 1 :])


def _lstm(find: Reader, op: Lstm, h: str, c: str) -> dict[int, Linear] | None:
    """h = o * tanh(c), c = i * g."""
    ends, inside = find.operands(h, Mul), find.operands(find.without_zero(c), Mul)
    for o_name, t_name in pairs(ends):
        o = find.gate(o_name)
        expr, at = find.function(t_name)
        if o is None or not o.is_sigmoid or isinstance(expr, str) or find.source(at) != c:
            continue
        if np.abs(evaluate(expr, TRIED) - TANH(TRIED)).max() >= CLOSE:
            continue
        for i_name, g_name in pairs(inside):
            i, g = find.gate(i_name), find.gate(g_name)
            if i is None or g is None or not i.is_sigmoid or g.kind != TANH or {i.kind, o.kind} != {op.functions[0][0]}:
                continue
            rows = {k: find.linear(v.sums) for k, v in ((0, i), (1, o), (3, g))}
            return _all(rows)
    return None


def _gru(find: Reader, node: Node, h: str) -> dict[int, Linear] | None:
    """h = (1 - z) * n, n - z * n or n + z * -n, with n = tanh(W x + b), or tanh(W x + b + r * b)."""
    assert isinstance(node.op, Gru)
    for z_name, flipped, n_name in _faded(find, find.without_zero(h)):
        z, n = find.gate(z_name), find.gate(n_name)
        if z is None or n is None or n.kind != TANH or z.kind != node.op.functions[0][0]:
            continue
        of_z = find.linear(z.sums)
        of_n = _inside(find, node, n.sums)
        if of_z is not None and of_n is not None:
            return {0: of_z.times(-1.0) if z.flipped != flipped else of_z, 2: of_n}
    return None


def _faded(find: Reader, h: str) -> Iterator[tuple[str, bool, str]]:
    """The gate z, whether it is 1 - z that stands there, and n."""
    product = find.operands(h, Mul)
    for z, n in pairs(product):
        yield z, True, n
    for sign in (1, -1):
        terms = find.operands(h, Add, sign)
        for n, rest in pairs(terms):
            both = find.operands(rest, Mul)
            for z, other in pairs(both):
                inner = _negated(find, other) if sign == 1 else other
                if inner is not None and find.source(inner) == find.source(n):
                    yield z, False, n


def _negated(find: Reader, tensor: str) -> str | None:
    """The tensor that this is the opposite of."""
    node = find.maker(find.source(tensor))
    if node is not None and isinstance(node.op, Add) and is_open(node.op) and node.op.sign == -1:
        return node.inputs[1] if find.is_zero(node.inputs[0]) else None
    if node is not None and isinstance(node.op, Unary) and np.array_equal(evaluate(node.op.expr, TRIED), -TRIED):
        return node.inputs[0]
    return None


def _inside(find: Reader, node: Node, sums: str) -> Linear | None:
    """What x brings to n. With the reset gate inside, it may multiply the bias of h, which must be the layer's."""
    assert isinstance(node.op, Gru)
    units = node.op.units
    bias = find.graph.ins(node)[3].array.reshape(2, 3, units)[1, 2]
    whole = find.linear(sums)
    if whole is not None:
        return whole if not node.op.before or not bias.any() else None
    adder = find.maker(find.source(sums))
    if adder is None or not isinstance(adder.op, Add) or adder.op.sign != 1 or not node.op.before:
        return None
    for of_x, product in pairs((adder.inputs[0], adder.inputs[1])):
        maker, outer = find.maker(find.source(product)), find.linear(of_x)
        if maker is None or not isinstance(maker.op, Mul) or outer is None:
            continue
        for gate, number in pairs((maker.inputs[0], maker.inputs[1])):
            r, t = find.gate(gate), find.graph.tensors[number]
            of_r = None if r is None or r.flipped or r.kind not in SIGMOIDS else find.linear(r.sums)
            if of_r is None or t.const is None or t.size != units or not same(t.array.reshape(-1), bias):
                continue
            _, w, _, b = find.graph.ins(node)[:4]
            want = b.array.reshape(2, 3, units)[:, 1].sum(axis=0)
            (x,) = of_r.terms if len(of_r.terms) == 1 else ("",)
            if same(of_r.terms.get(x), w.array.reshape(3, units, -1)[1]) and same(of_r.bias, want):
                return outer
    return None


def _rnn(find: Reader, h: str) -> dict[int, Linear] | None:
    gate = find.gate(h)
    return None if gate is None or gate.kind != TANH else _all({0: find.linear(gate.sums)})


def _all(rows: Mapping[int, Linear | None]) -> dict[int, Linear] | None:
    found = {k: r for k, r in rows.items() if r is not None}
    return found if len(found) == len(rows) else None


def _joined(find: Reader, cells: Sequence[Node], first: _Step | None) -> Graph:
    """The steps as one node. Who read what a step wrote reads that step of the sequence."""
    graph, last = find.graph, cells[-1]
    op = last.op
    assert isinstance(op, Recurrent)
    xs = [find.source(n.inputs[0]) for n in cells]
    wrote: list[tuple[str, ...]] = [n.outputs[:2] for n in cells]
    if first is not None:
        xs, wrote = [first.x, *xs], [first.writes[:1], *wrote]
    steps, row = len(xs), graph.tensors[xs[0]].size
    places = [place(graph, x) for x in xs]
    (source, at), *_ = places
    back = places == [(source, at - k * row) for k in range(steps)]
    tensors: list[Tensor] = []
    nodes: list[Node] = []
    taken: set[str] = set()
    origin = merge_origin(*cells)
    origin = origin if len(origin) <= _NAMED else (origin[0], origin[-1])

    def new(stem: str, shape: tuple[int, ...]) -> str:
        name = fresh(graph, stem)
        while name in taken:
            name += "_"
        taken.add(name)
        tensors.append(Tensor(name, shape))
        return name

    def add(of: Operator, ins: Sequence[str], outs: Sequence[str]) -> None:
        name = fresh(graph, f"{cells[0].name}_{len(nodes)}")
        nodes.append(Node(name, of, tuple(ins), tuple(outs), origin))

    rows = [new(f"{x}_step", (1, 1, row)) for x in xs]
    for x, target in zip(xs, rows, strict=True):
        add(Reshape((1, 1, row)), [x], [target])
    joined = new(f"{last.name}_x", (1, steps, row))
    add(Concat(1), rows[::-1] if back else rows, [joined])
    op = replace(op, sequence=True, initial=first is None, reverse=(back,))
    consts = last.inputs[1 : -op.STATES]
    ins = (joined, *consts, *(() if first is not None else _states(cells[0])))
    shapes = op.infer(*(graph.tensors[i].shape if i in graph.tensors else (1, steps, row) for i in ins))
    y = new(f"{last.name}_y", shapes[0])
    more = [new(f"{last.name}_seen", shape) for shape in shapes[1 + op.STATES :]]
    nodes.append(
        Node(
            fresh(graph, f"{cells[0].name}_steps"),
            op,
            ins,
            (y, *_written(last), *more),
            origin,
            labelled(op.title, origin),
        )
    )
    for k, names in enumerate(wrote):
        for name in dict.fromkeys(names):
            if name in _written(last) or (name not in graph.results and not graph.consumers[name]):
                continue
            one, at = new(f"{name}_one", (1, 1, op.width)), steps - 1 - k if back else k
            add(Slice((0, at, 0), (1, 1, 1), (1, 1, op.width)), [y], [one])
            add(Reshape(graph.tensors[name].shape), [one], [name])
    gone = {n.name for n in cells} | ({graph.producer[first.writes[0]].name} if first is not None else set())
    kept = [n for n in graph.nodes if n.name not in gone]
    return ordered(graph.with_(nodes=[*kept, *nodes], tensors=tensors))


PASS = Pass("sequences", _run, Promise.CLOSE)
