"""A graph while a pass rewrites it: changed in place, and each change costs what it touches, not the whole graph.

Rules read a draft as they read a `Graph`. What no output needs stays until `freeze`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from tinygen.ir.types import Graph, Node, Port, State, Tensor

#: Place in the order of execution. What replaces the node at (7,) stands at (7, 0), (7, 1), ...
Place = tuple[int, ...]

#: Rules look at the readers of what a node reads only to see whether there are more than one or two.
FEW_READERS = 16
#: How many nodes upwards from its own inputs a rule may look and still be tried at once when something changes there.
#: One that looks further is tried again before the pass ends (base.until_stable).
DEPTH = 2


class Draft:
    """The nodes and tensors of a graph, by name, and who makes and reads what. `touched`: nodes near a change, since
    the caller last emptied it; whoever matched no rule before may match one now."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.inputs, self.outputs, self.states = graph.inputs, graph.outputs, graph.states
        self.in_ports, self.out_ports = graph.in_ports, graph.out_ports
        self.tensors: dict[str, Tensor] = dict(graph.tensors)
        self.producer: dict[str, Node] = {}
        self.touched: set[str] = set()
        self.by_name: dict[str, Node] = {}  # the nodes
        self._places: dict[str, Place] = {}
        self._readers: dict[str, dict[str, Node]] = {}
        self._first = 0
        for i, node in enumerate(graph.nodes):
            self._attach(node, (i,))

    @property
    def nodes(self) -> tuple[Node, ...]:
        """In order of execution."""
        return tuple(self.by_name[name] for name in sorted(self.by_name, key=self._places.__getitem__))

    @property
    def sources(self) -> tuple[str, ...]:
        """Tensors that are there before the first node runs: inputs, and what states read."""
        return (*self.inputs, *(s.reads for s in self.states))

    @property
    def results(self) -> tuple[str, ...]:
        """Tensors that are wanted: outputs, and what states write."""
        return (*self.outputs, *(s.writes for s in self.states))

    def place(self, name: str) -> Place:
        """Where a node stands among the others."""
        return self._places[name]

    def readers(self, tensor: str) -> tuple[Node, ...]:
        """The nodes that read a tensor, each once; graph outputs do not count."""
        return tuple(self._readers.get(tensor, {}).values())

    def sole_consumer(self, tensor: str) -> Node | None:
        """The one node that reads `tensor`, or None when several do, or the outside or a state does."""
        nodes = self._readers.get(tensor, {})
        return next(iter(nodes.values())) if len(nodes) == 1 and tensor not in self.results else None

    def ins(self, node: Node) -> tuple[Tensor, ...]:
        return tuple(self.tensors[name] for name in node.inputs)

    def outs(self, node: Node) -> tuple[Tensor, ...]:
        return tuple(self.tensors[name] for name in node.outputs)

    # -- changes -----------------------------------------------------------------------------------------------------

    def replace(self, changes: Mapping[str, Iterable[Node]], tensors: Iterable[Tensor] = ()) -> bool:
        """Put other nodes (or none) in the place of each node named, and add or replace tensors. Tensors that nothing
        refers to any more go. Returns True, as a rule that found something does."""
        tensors = tuple(tensors)
        changed = [t.name for t in tensors]
        self.tensors.update((t.name, t) for t in tensors)
        places = {name: self._places[name] for name in changes}
        gone = [self._detach(name) for name in changes]
        made: list[Node] = []
        for name, nodes in changes.items():
            new = tuple(nodes)
            for k, node in enumerate(new):
                self._attach(node, places[name] if len(new) == 1 else (*places[name], k))
            made += new
        self._settle(changed, gone, made)
        return True

    def bypass(self, node: Node, source: str, tensors: Iterable[Tensor] = ()) -> bool:
        """Remove a node that only hands on its input `source`: whoever read its output reads that. `tensors` as for
        `replace`. Its output must not be a result of the graph."""
        self.rewire(node.outputs[0], source)
        return self.replace({node.name: ()}, tensors)

    def put_first(self, node: Node) -> bool:
        """Add a node in front of all others. Returns True."""
        self._first -= 1
        self._attach(node, (self._first,))
        self._settle([], [], [node])
        return True

    def rewire(self, old: str, new: str) -> None:
        """Every reader of `old` reads `new`. `old` must not be a result of the graph."""
        gone = self.readers(old)
        made = [replace(n, inputs=tuple(new if i == old else i for i in n.inputs)) for n in gone]
        for node in made:
            place = self._places[node.name]
            self._detach(node.name)
            self._attach(node, place)
        self._settle([], gone, made)

    def set_input(self, index: int, tensor: Tensor, port: Port) -> None:
        """Another tensor for a graph input."""
        old = self.inputs[index]
        self.tensors[tensor.name] = tensor
        self.inputs = (*self.inputs[:index], tensor.name, *self.inputs[index + 1 :])
        self.in_ports = (*self.in_ports[:index], port, *self.in_ports[index + 1 :])
        self._settle([old, tensor.name], [], [])

    def set_output(self, index: int, tensor: Tensor, port: Port) -> None:
        """Another tensor for a graph output."""
        old = self.outputs[index]
        self.tensors[tensor.name] = tensor
        self.outputs = (*self.outputs[:index], tensor.name, *self.outputs[index + 1 :])
        self.out_ports = (*self.out_ports[:index], port, *self.out_ports[index + 1 :])
        self._settle([old, tensor.name], [], [])

    def set_state(self, index: int, state: State, tensor: Tensor | None = None) -> None:
        """Another state in the place of one; `tensor`: what it reads, where that is a new one."""
        old = self.states[index]
        if tensor is not None:
            self.tensors[tensor.name] = tensor
        self.states = (*self.states[:index], state, *self.states[index + 1 :])
        self._settle([old.reads, old.writes, state.reads, state.writes], [], [])

    def freeze(self) -> Graph:
        """The graph as it is now, without what no result needs."""
        used = set(self.results)
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if used.intersection(node.outputs):
                kept.append(node)
                used.update(node.inputs, node.outputs)
        used.update(self.sources)
        return replace(
            self._graph, nodes=tuple(reversed(kept)), tensors={n: t for n, t in self.tensors.items() if n in used},
            inputs=self.inputs, outputs=self.outputs, in_ports=self.in_ports, out_ports=self.out_ports,
            states=self.states,
        )  # fmt: skip

    def _attach(self, node: Node, place: Place) -> None:
        self.by_name[node.name] = node
        self._places[node.name] = place
        self.producer.update(dict.fromkeys(node.outputs, node))
        for name in node.inputs:
            self._readers.setdefault(name, {})[node.name] = node

    def _detach(self, name: str) -> Node:
        node = self.by_name.pop(name)
        del self._places[name]
        for out in node.outputs:
            if self.producer[out] is node:
                del self.producer[out]
        for i in dict.fromkeys(node.inputs):
            del self._readers[i][name]
        return node

    def _settle(self, changed: Iterable[str], gone: Iterable[Node], made: Iterable[Node]) -> None:
        """Drop tensors without reader and maker; note who may match a rule now."""
        nodes = (*gone, *made)
        written = dict.fromkeys((*changed, *(o for n in nodes for o in n.outputs)))
        read = dict.fromkeys(i for n in nodes for i in n.inputs)
        for name in written | read:
            used = name in self.producer or self._readers.get(name) or name in self.sources or name in self.results
            if not used:
                self.tensors.pop(name, None)
                self._readers.pop(name, None)
        self.touched.update(n.name for n in made)
        for name in written | read:
            if name in self.producer:
                self.touched.add(self.producer[name].name)
        self._touch_readers(read, FEW_READERS)
        # Rules look a few nodes upwards.
        below = self._touch_readers(written, len(self.by_name))
        for _ in range(DEPTH):
            below = self._touch_readers(below, FEW_READERS)

    def _touch_readers(self, tensors: Iterable[str], most: int) -> list[str]:
        """Touch the readers of tensors that have at most so many; returns what they write."""
        found: list[str] = []
        for name in tensors:
            readers = self._readers.get(name, {})
            if len(readers) <= most:
                self.touched.update(readers)
                found += [o for n in readers.values() for o in n.outputs]
        return found
