"""What a pass is, and the runner that holds it to its contract."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from tinygen.ir import invariants
from tinygen.ir.types import Graph, Node, Stage, Tensor


class Promise(enum.Enum):
    """What a pass may change about the values a graph computes."""

    EXACT = "same bits"
    CLOSE = "float rounding only"
    LOSSY = "accuracy is measured and reported"


@dataclass(frozen=True, slots=True)
class Pass:
    """A named rewrite of a graph. `run` returns the graph itself when there is nothing to do."""

    name: str
    run: Callable[[Graph], Graph]
    promise: Promise
    needs: Stage = Stage.FLOAT
    gives: Stage = Stage.FLOAT


def apply(p: Pass, graph: Graph) -> Graph:
    """Run one pass; its stages and the graph's rules are checked."""
    if graph.stage is not p.needs:
        raise invariants.InvariantError(f"pass {p.name} needs a {p.needs.value} graph")
    result = p.run(graph)
    if result.stage is not p.gives:
        raise invariants.InvariantError(f"pass {p.name} promised a {p.gives.value} graph")
    if result is not graph:
        invariants.check(result, p.name)
    return result


def until_stable(step: Callable[[Graph], Graph | None]) -> Callable[[Graph], Graph]:
    """A `run` that repeats `step` (None: nothing found) until nothing changes, then drops what nobody reads."""

    def run(graph: Graph) -> Graph:
        changed = False
        for _ in range(20 * len(graph.nodes) + 200):
            after = step(graph)
            if after is None:
                return drop_dead(graph) if changed else graph
            graph, changed = after, True
        raise invariants.InvariantError("a rewrite does not come to rest")

    return run


def drop_dead(graph: Graph) -> Graph:
    """Without the nodes whose results nobody reads. A graph input stays, read or not."""
    alive = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if alive.intersection(node.outputs):
            kept.append(node)
            alive.update(node.inputs)
    return graph if len(kept) == len(graph.nodes) else graph.with_(nodes=reversed(kept))


def replace_nodes(graph: Graph, changes: dict[str, Iterable[Node]], tensors: Iterable[Tensor] = ()) -> Graph:
    """The graph with each node named in `changes` replaced in place by the given nodes (none: removed)."""
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes.extend(changes.get(node.name, (node,)))
    return graph.with_(nodes=nodes, tensors=tensors)


def rewire(graph: Graph, old: str, new: str) -> Graph:
    """Every reader of `old` reads `new`. `old` must not be a graph output."""
    nodes = (
        replace(n, inputs=tuple(new if i == old else i for i in n.inputs)) if old in n.inputs else n
        for n in graph.nodes
    )
    return graph.with_(nodes=nodes)


def merge_origin(*nodes: Node) -> tuple[str, ...]:
    """ONNX names of several nodes, each once, in order."""
    return tuple(dict.fromkeys(name for n in nodes for name in n.origin))


def fresh(graph: Graph, stem: str) -> str:
    """A name no tensor or node has yet."""
    taken = graph.tensors.keys() | {n.name for n in graph.nodes}
    name, k = stem, 1
    while name in taken:
        name, k = f"{stem}_{k}", k + 1
    return name
