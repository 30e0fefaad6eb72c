"""What a pass is, and the runner that holds it to its contract."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import takewhile

from tinygen.ir import invariants
from tinygen.ir.types import Graph, Node, Stage, Tensor
from tinygen.passes import pins
from tinygen.passes.draft import Draft, Place


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
    """Run one pass; its stages and the graph's rules are checked, and that no pinned scale is lost."""
    if graph.stage is not p.needs:
        raise invariants.InvariantError(f"pass {p.name} needs a {p.needs.value} graph")
    result = p.run(graph)
    if result.stage is not p.gives:
        raise invariants.InvariantError(f"pass {p.name} promised a {p.gives.value} graph")
    if result is not graph:
        invariants.check(result, p.name)
        if p.gives is Stage.FLOAT:
            pins.check(graph, result, p.name)
    return result


#: Looks at one node, and changes the draft where it finds what it wants: True then.
Rule = Callable[[Draft, Node], bool]


@dataclass(frozen=True, slots=True)
class Whole:
    """The same, of a draft as a whole."""

    find: Callable[[Draft], bool]


def until_stable(*rules: Rule | Whole) -> Callable[[Graph], Graph]:
    """A `run` that applies rules until nothing changes, then drops what nobody reads.

    Always the first node in order of execution that the first rule wants; a later rule where no earlier one finds
    anything. After a change only nodes near it are looked at again, and all of them once more before the end, so the
    time grows with the number of nodes and changes, not with their product.
    """

    def run(graph: Graph) -> Graph:
        draft = Draft(graph)
        left = 20 * len(graph.nodes) + 200
        changes = found = _sweep(draft, rules, left)
        while found:
            found = _sweep(draft, rules, left - changes)
            changes += found
        return draft.freeze() if changes else graph

    return run


def _sweep(draft: Draft, rules: Sequence[Rule | Whole], most: int) -> int:
    """The rules on every node, and again on those near a change; the number of changes."""
    everybody = [n.name for n in draft.nodes]
    queues = [_Queue(draft, everybody) for _ in rules]
    changes = 0
    while any(_apply(draft, rule, queue) for rule, queue in zip(rules, queues, strict=True)):
        changes += 1
        if changes > most:
            raise invariants.InvariantError("a rewrite does not come to rest")
        for queue in queues:
            queue.add(draft.touched)
        draft.touched.clear()
    return changes


def _apply(draft: Draft, rule: Rule | Whole, queue: _Queue) -> bool:
    """Apply a rule once; False when nobody who waits matches."""
    if isinstance(rule, Whole):
        return rule.find(draft)
    while (node := queue.pop()) is not None:
        if rule(draft, node):
            return True
    return False


class _Queue:
    """Nodes of a draft that a rule has yet to look at, first to execute first."""

    def __init__(self, draft: Draft, names: Iterable[str]) -> None:
        self._draft = draft
        self._heap: list[tuple[Place, str]] = []
        self._waiting: set[tuple[Place, str]] = set()
        self.add(names)

    def add(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._draft.by_name and (entry := (self._draft.place(name), name)) not in self._waiting:
                self._waiting.add(entry)
                heappush(self._heap, entry)

    def pop(self) -> Node | None:
        """The first; what has gone or moved since it was added is passed over."""
        while self._heap:
            entry = heappop(self._heap)
            self._waiting.discard(entry)
            place, name = entry
            if name in self._draft.by_name and self._draft.place(name) == place:
                return self._draft.by_name[name]
        return None


def drop_dead(graph: Graph) -> Graph:
    """Without the nodes whose results nobody reads. Inputs and states stay, read or not."""
    alive = set(graph.results)
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
    """Every reader of `old` reads `new`. `old` must not be a result of the graph."""
    nodes = (
        replace(n, inputs=tuple(new if i == old else i for i in n.inputs)) if old in n.inputs else n
        for n in graph.nodes
    )
    return graph.with_(nodes=nodes)


def merge_origin(*nodes: Node) -> tuple[str, ...]:
    """ONNX names of several nodes, each once, in order."""
    return tuple(dict.fromkeys(name for n in nodes for name in n.origin))


def labelled(word: str, origin: Sequence[str]) -> str:
    """What a layer is called that is `word` in the place that all nodes of `origin` share."""
    scopes = zip(*(name.split("/")[:-1] for name in origin), strict=False)
    shared = [parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, scopes)]
    return "/".join([*shared, word])


def fresh(graph: Graph | Draft, stem: str) -> str:
    """A name no tensor or node has yet."""
    name, k = stem, 1
    while name in graph.tensors or name in graph.by_name:
        name, k = f"{stem}_{k}", k + 1
    return name
