"""Pins: the scales that a pre-quantised model asked for. A pin is a rounding and a saturation at that place of the
network, so a pass may move it along with its value but never lose it.

`check` proves it, after every pass. A graph is seen as the pinned values and what each depends on: the pinned values,
inputs and pinned weights that reach it without passing another pin, and the ONNX nodes in between that compute. Pins
that change nothing are left out: a value that is only moved or picked from one of the same scale is on its grid
already. A pass may add and drop such pins, duplicate values and let them die; everything else must be the same before
and after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tinygen.ir.invariants import InvariantError
from tinygen.ir.types import Graph, Node, Quant, Tensor
from tinygen.ops import Operator, Unary
from tinygen.ops.broadcast import Elementwise
from tinygen.ops.unary import keeps_grid
from tinygen.ops.weighted import Weighted


def _operator(node: Node) -> Operator:
    assert isinstance(node.op, Operator)
    return node.op


def _moves(op: Operator) -> bool:
    """It moves or picks values of one operand."""
    return op.same_quant and not isinstance(op, Elementwise)


def picks(node: Node, q: Quant) -> bool:
    """Every value of the result is one of the operands', or zero, where those are on the grid of `q`."""
    op = _operator(node)
    if op.clamps is not None:
        return keeps_grid(*op.clamps, q)
    return op.picks and _moves(op) and not any(op.own_values(()))


@dataclass
class _Value:
    """A pinned value: every name its pin has, and what it depends on."""

    quant: Quant
    needs: frozenset[object]
    names: set[str] = field(default_factory=set)


@dataclass
class _Trace:
    """`values` by number; what each output of the graph depends on; for the name of each ONNX node that computes, the
    pinned values and outputs that depend on it without a pin between; `moved`: likewise for what moves values, such as
    the transposes around a node, whose name a node may take over that absorbs them."""

    values: list[_Value]
    outputs: Mapping[str, frozenset[object]]
    ends: Mapping[str, frozenset[object]]
    moved: Mapping[str, frozenset[object]]


def _trace(graph: Graph) -> _Trace:
    values: list[_Value] = []
    reach: dict[str, frozenset[object]] = {}
    same: dict[tuple[str, Quant], int] = {}  # a tensor rounded to a grid: twice is once, in whatever order of elements
    origin: dict[str, str] = {}  # the tensor that has the same elements, in another order
    #: The grid a tensor's values are on, and the pinned value they are picked from (None: from several).
    grid: dict[str, tuple[Quant, int | None]] = {}

    def enter(t: Tensor, needs: frozenset[object], on: tuple[Quant, int | None] | None, of: str = "") -> None:
        reach[t.name] = needs
        if on is not None:
            grid[t.name] = on
        q = t.quant
        if q is None or not q.pin:
            return
        if on is not None and on[0] == q:
            if on[1] is not None:
                values[on[1]].names.add(q.pin)
            return
        number = same.get((of, q)) if of else None
        if number is None:
            number = len(values)
            values.append(_Value(q, needs, set()))
            if of:
                same[of, q] = number
        values[number].names.add(q.pin)
        grid[t.name] = (q, number)
        reach[t.name] = frozenset([number])

    for name, port in zip(graph.inputs, graph.in_ports, strict=True):
        enter(graph.tensors[name], frozenset([f'input "{port.name}"']), None)
    for state in graph.states:
        enter(graph.tensors[state.reads], frozenset([f'state "{state.name}"']), None)
    for node in graph.nodes:
        ins = [t for t in graph.ins(node) if t.const is None]
        needs = frozenset[object]().union(*(reach[t.name] for t in ins))
        if isinstance(node.op, Weighted):
            w = graph.tensors[node.inputs[1]].quant
            if w is not None and w.pin:
                needs |= {f'weights "{w.pin}"'}
        on: tuple[Quant, int | None] | None = None
        grids = [grid.get(t.name) for t in ins]
        first = grids[0] if grids and len(ins) == len(node.inputs) else None
        if first is not None and all(g is not None and g[0] == first[0] for g in grids) and picks(node, first[0]):
            on = first if len({g[1] for g in grids if g is not None}) == 1 else (first[0], None)
        rounds = _operator(node).is_identity
        source = origin.get(node.inputs[0], node.inputs[0])
        if _operator(node).rearranges:
            origin[node.outputs[0]] = source
        for t in graph.outs(node):
            enter(t, needs, on, source if rounds or t.name in origin else "")
    outputs = {f'output "{p.name}"': reach[n] for n, p in zip(graph.outputs, graph.out_ports, strict=True)}
    outputs |= {f'state "{s.name}"': reach[s.writes] for s in graph.states}
    return _Trace(
        values, outputs, *_ends(graph, {n: g[1] for n, g in grid.items() if graph.tensors[n].quant is not None})
    )


def _ends(
    graph: Graph, pinned: Mapping[str, int | None]
) -> tuple[dict[str, frozenset[object]], dict[str, frozenset[object]]]:
    """`_Trace.ends` and `_Trace.moved`. `pinned`: the pinned tensors and their values."""
    below: dict[str, set[object]] = {name: set() for name in graph.tensors}
    for name, port in zip(graph.outputs, graph.out_ports, strict=True):
        below[name].add(f'output "{port.name}"')
    for state in graph.states:
        below[state.writes].add(f'state "{state.name}"')
    found: dict[str, set[object]] = {}
    moved: dict[str, set[object]] = {}
    for node in reversed(graph.nodes):
        ends: set[object] = set()
        for out in node.outputs:
            ends |= below[out] if pinned.get(out) is None else {pinned[out]}
        for name in node.inputs:
            below[name] |= ends
        moves = _moves(_operator(node)) or _operator(node).clamps is not None
        if moves:  # of a pinned value: it may yet become that value's
            ends |= {v for name in node.inputs if (v := pinned.get(name)) is not None}
        for name in node.origin:
            (moved if moves else found).setdefault(name, set()).update(ends)
    return {n: frozenset(e) for n, e in found.items()}, {n: frozenset(e) for n, e in moved.items()}


def check(before: Graph, after: Graph, where: str) -> None:
    """InvariantError when `after` lost, bypassed, moved to another value or changed a pin of `before`."""
    if not any(t.quant is not None and t.quant.pin for t in before.tensors.values()):
        return
    old, new = _trace(before), _trace(after)
    numbers = {name: i for i, v in enumerate(old.values) for name in v.names}

    def say(needs: frozenset[object]) -> str:
        return ", ".join(sorted(_name(old, n) for n in needs)) or "nothing"

    def known(i: int) -> int:
        found = {numbers.get(name) for name in new.values[i].names}
        if len(found) != 1 or None in found:
            raise InvariantError(f"after {where}: pins {sorted(new.values[i].names)} became one value")
        (number,) = found
        assert number is not None
        return number

    def same(what: str, had: frozenset[object], has: frozenset[object]) -> None:
        now = frozenset(known(n) if isinstance(n, int) else n for n in has)
        if now != had:
            raise InvariantError(f"after {where}: {what} depends on {say(now)}; before it on {say(had)}")

    for i, value in enumerate(new.values):
        was = old.values[known(i)]
        name = _name(old, known(i))
        if value.quant != was.quant:
            raise InvariantError(f"after {where}: {name} has {value.quant}; before {was.quant}")
        same(name, was.needs, value.needs)
    for port, had in old.outputs.items():
        same(port, had, new.outputs[port])
    together: dict[str, set[object]] = {}  # what became one node of several outputs works on all that any of it did
    for node in after.nodes:
        if len(node.outputs) > 1:
            ends = {e for name in node.origin for e in (*old.ends.get(name, ()), *old.moved.get(name, ()))}
            for name in node.origin:
                together.setdefault(name, set()).update(ends)
    for name, had in old.ends.items():
        now = frozenset(known(n) if isinstance(n, int) else n for n in new.ends.get(name, frozenset()))
        if not now <= had | old.moved.get(name, frozenset()) | together.get(name, set()):
            raise InvariantError(f'after {where}: node "{name}" works on {say(now - had)}; before on {say(had)}')


def _name(trace: _Trace, n: object) -> str:
    return f'pin "{min(trace.values[n].names)}"' if isinstance(n, int) else str(n)


def settle(graph: Graph) -> Graph:
    """Reshape and Transpose carry no pin: it belongs to the value, in whatever order its elements lie.

    The pin of such a node's output goes to its input where no other reader would notice, and is dropped where the input
    has it already; otherwise a requantise node is put between. So whatever becomes of the node, the pin stays.
    """
    quants: dict[str, Quant | None] = {}
    changes: dict[str, tuple[Node, ...]] = {}
    more: list[Tensor] = []
    taken = graph.tensors.keys() | graph.by_name.keys()
    for node in reversed(graph.nodes):
        if not _operator(node).rearranges:
            continue
        x, y = graph.ins(node)[0], graph.outs(node)[0]
        pin = quants.get(y.name, y.quant)
        if pin is None or x.const is not None:
            continue
        quants[y.name] = None
        own = quants.get(x.name, x.quant)
        if own == pin:
            if not own.pin:  # an input that comes in as integers
                quants[x.name] = pin
            continue
        if own is None and graph.sole_consumer(x.name) is not None:
            quants[x.name] = pin
            continue
        name, k = f"{x.name}_pinned", 1
        while name in taken:
            name, k = f"{x.name}_pinned_{k}", k + 1
        taken |= {name}
        more.append(Tensor(name, x.shape, quant=pin))
        step = Node(name, Unary("x", "requantise"), (x.name,), (name,), node.origin)
        changes[node.name] = (step, replace(node, inputs=(name,)))
    if not quants:
        return graph
    tensors = [replace(graph.tensors[name], quant=q) for name, q in quants.items()]
    nodes = [n for node in graph.nodes for n in changes.get(node.name, (node,))]
    return graph.with_(nodes=nodes, tensors=[*tensors, *more])
