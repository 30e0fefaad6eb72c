"""Orders of execution: the model's own, and a greedy one that keeps little alive at a time."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from tinygen.ir.types import Graph, Node


def orders(graph: Graph) -> tuple[tuple[Node, ...], ...]:
    """Candidate orders, all topological; the planner takes the one with the smallest arena, the first of equals."""
    greedy = _greedy(graph)
    return (graph.nodes,) if greedy == graph.nodes else (graph.nodes, greedy)


def _greedy(graph: Graph) -> tuple[Node, ...]:
    """Of the nodes that are ready, always the one that leaves the fewest bytes alive; the model's order breaks ties."""
    readers = {name: len(nodes) for name, nodes in graph.consumers.items()}
    ready = set(graph.sources) | {n for n, t in graph.tensors.items() if t.const is not None}
    order: list[Node] = []

    def growth(node: Node) -> int:
        made = sum(graph.tensors[o].nbytes for o in node.outputs)
        freed = sum(
            graph.tensors[i].nbytes
            for i in dict.fromkeys(node.inputs)
            if graph.tensors[i].const is None and i not in graph.sources and i not in graph.results and readers[i] == 1
        )
        return made - freed

    place = {n.name: k for k, n in enumerate(graph.nodes)}
    missing = {n.name: sum(i not in ready for i in dict.fromkeys(n.inputs)) for n in graph.nodes}
    done: set[str] = set()
    # A node stands in here once more when it gets better: only its best entry counts.
    heap = [(growth(n), place[n.name]) for n in graph.nodes if not missing[n.name]]
    heapify(heap)
    while heap:
        node = graph.nodes[heappop(heap)[1]]
        if node.name in done:
            continue
        order.append(node)
        done.add(node.name)
        better = []
        for o in node.outputs:
            for reader in graph.consumers[o]:
                missing[reader.name] -= 1
                better.append(reader)
        for i in dict.fromkeys(node.inputs):
            readers[i] -= 1
            if readers[i] == 1:
                better += [n for n in graph.consumers[i] if n.name not in done]
        for n in better:
            if not missing[n.name]:
                heappush(heap, (growth(n), place[n.name]))
    return tuple(order)
