"""A state that holds several values becomes one state for each: h and c that a file keeps in one tensor.

What is written is put together of tensors by moves (Concat, Reshape, Transpose); what is read is taken apart by moves
(Slice, Gather, Reshape, Transpose). Where every tensor at the end of the second is one of those at the beginning of the
first, element by element, the moves are gone, and each value has a scale, a width and a layout of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tinygen.ir.types import Const, Graph, Node, State, Tensor
from tinygen.numerics import Array
from tinygen.ops import Concat, Gather, Operator, Reshape, Slice, Transpose, Unary
from tinygen.passes.base import Pass, Promise, drop_dead, fresh


@dataclass(frozen=True)
class _Part:
    """A tensor that a state is put together of: `first`, the number of its first element among all; `at`: where in the
    state its elements lie, flat."""

    tensor: Tensor
    first: int
    at: Array


def _unpack(graph: Graph) -> Graph:
    if any(t.quant is not None and t.quant.pin for t in graph.tensors.values()):
        return graph  # the file has one scale for all of it
    for state in graph.states:
        taken = _taken_apart(graph, state)
        if taken is not None:
            graph = taken
    return graph


def _taken_apart(graph: Graph, state: State) -> Graph | None:
    """The graph with a state for each of its parts; None where it has none, or is read otherwise."""
    parts = _parts(graph, state)
    if len(parts) < 2:
        return None
    numbers = np.full(graph.tensors[state.writes].size, -1, np.int64)
    for p in parts:
        numbers[p.at] = p.first + np.arange(len(p.at))
    ends: dict[str, _Part] = {}
    for name, places in _ends(graph, state):
        found = numbers[places]
        part = next((p for p in parts if np.array_equal(found, p.first + np.arange(p.tensor.size))), None)
        if part is None:
            return None
        ends[name] = part
    kept = [p for p in parts if any(p is e for e in ends.values())]
    start = state.start(graph.tensors[state.reads].shape).ravel()
    states, tensors, reads = [], [], {}
    for number, p in enumerate(kept):
        t = replace(p.tensor, name=fresh(graph, f"{state.reads}_{number}"))
        initial = None if state.initial is None else Const(start[p.at].reshape(t.shape))
        states.append(State(f"{state.name}.{number}", t.name, p.tensor.name, initial))
        tensors.append(t)
        reads[p.tensor.name] = t.name
    heads = [
        Node(fresh(graph, f"{name}_part"), Reshape(graph.tensors[name].shape), (reads[p.tensor.name],), (name,))
        for name, p in ends.items()
    ]
    nodes = [*heads, *(n for n in graph.nodes if not set(n.outputs) & ends.keys())]
    others = tuple(s for s in graph.states if s is not state)
    return drop_dead(graph.with_(nodes=nodes, tensors=tensors, states=(*others, *states)))


def _parts(graph: Graph, state: State) -> list[_Part]:
    """What the written tensor is put together of, in the order in which it lies there; empty where a part is a constant
    or no node's."""
    moves: list[Node] = []
    sources: dict[str, None] = {}

    def above(name: str) -> None:
        node = graph.producer.get(name)
        if node is None or not (isinstance(node.op, Concat | Reshape | Transpose) or _is_nothing(node)):
            sources[name] = None
            return
        for i in node.inputs:
            above(i)
        if node not in moves:
            moves.append(node)

    above(state.writes)
    if not any(isinstance(n.op, Concat) for n in moves) or any(s not in graph.producer for s in sources):
        return []
    values: dict[str, Array] = {}
    first: dict[str, int] = {}
    count = 0
    for name in sources:
        t = graph.tensors[name]
        values[name], first[name] = np.arange(count, count + t.size).reshape(1, *t.shape), count
        count += t.size
    for node in moves:
        values[node.outputs[0]] = _moved(graph, node, [values[i] for i in node.inputs])
    flat = values[state.writes].ravel()
    found = []
    for name in sources:
        t = graph.tensors[name]
        at = np.flatnonzero((flat >= first[name]) & (flat < first[name] + t.size))
        if len(at) == t.size:  # once
            found.append(_Part(t, first[name], at[np.argsort(flat[at], kind="stable")]))
    found.sort(key=lambda p: int(p.at.min()))
    return found if sum(len(p.at) for p in found) == len(flat) else []


def _ends(graph: Graph, state: State) -> Iterator[tuple[str, Array]]:
    """The tensors that come out when the read tensor is taken apart, and where their elements lie in it, flat."""
    t = graph.tensors[state.reads]
    waiting = [(t.name, np.arange(t.size).reshape(1, *t.shape))]
    while waiting:
        name, places = waiting.pop()
        readers = graph.consumers[name]
        moving = [n for n in readers if isinstance(n.op, Slice | Gather | Reshape | Transpose) and len(n.outputs) == 1]
        if len(moving) < len(readers) or name in graph.results:
            yield name, places.ravel()
        waiting += [(n.outputs[0], _moved(graph, n, [places])) for n in moving]


def _is_nothing(node: Node) -> bool:
    """Adding zero, multiplying by one: what a converter leaves of a loss or a scale."""
    return isinstance(node.op, Unary) and node.op.expr in ("x", ("Add", "x", 0.0), ("Mul", "x", 1.0))


def _moved(graph: Graph, node: Node, arrays: list[Array]) -> Array:
    assert isinstance(node.op, Operator)
    if _is_nothing(node):
        return arrays[0]
    (found,) = node.op.run_fixed(graph.ins(node), arrays, graph.outs(node))
    return found


PASS = Pass("states", _unpack, Promise.EXACT)
