"""Orders of execution: the model's own, and a greedy one that keeps little alive at a time."""

from __future__ import annotations

from tinygen.ir.types import Graph, Node


def orders(graph: Graph) -> tuple[tuple[Node, ...], ...]:
    """Candidate orders, all topological; the planner takes the one with the smallest arena, the first of equals."""
    greedy = _greedy(graph)
    return (graph.nodes,) if greedy == graph.nodes else (graph.nodes, greedy)


def _greedy(graph: Graph) -> tuple[Node, ...]:
    """Of the nodes that are ready, always the one that leaves the fewest bytes alive; the model's order breaks ties."""
    waiting = list(graph.nodes)
    readers = {name: len(nodes) for name, nodes in graph.consumers.items()}
    ready = set(graph.inputs) | {n for n, t in graph.tensors.items() if t.const is not None}
    order: list[Node] = []

    def growth(node: Node) -> int:
        made = sum(graph.tensors[o].nbytes for o in node.outputs)
        freed = sum(
            graph.tensors[i].nbytes
            for i in dict.fromkeys(node.inputs)
            if graph.tensors[i].const is None and i not in graph.inputs and i not in graph.outputs and readers[i] == 1
        )
        return made - freed

    while waiting:
        node = min((n for n in waiting if all(i in ready for i in n.inputs)), key=growth)
        waiting.remove(node)
        order.append(node)
        ready.update(node.outputs)
        for i in dict.fromkeys(node.inputs):
            readers[i] -= 1
    return tuple(order)
