"""How far the integers of an int16 layer may be from its exact result: NUMERICS section 8 for a graph at hand."""

from __future__ import annotations

from tinygen.ir.types import Graph
from tinygen.ops import Conv, Operator
from tinygen.ops.base import is_wide


def note(graph: Graph) -> str | None:
    """What each kind of int16 operator may be off by at most, and where; None when there are none."""
    worst: dict[str, tuple[float, str]] = {}
    for node in graph.nodes:
        ins, out = graph.ins(node), graph.outs(node)[0]
        if not is_wide(out):
            continue
        assert isinstance(node.op, Operator)
        kind = type(node.op).__name__.lower() if isinstance(node.op, Conv) else node.op.title
        found = node.op.error(ins, graph.outs(node)), ", ".join(node.origin) or node.name
        worst[kind] = max(worst.get(kind, found), found)
    said = [
        f"{kind} {steps:.2f}{f' ({where})' if steps > 1.0 else ''}" for kind, (steps, where) in worst.items() if steps
    ]
    if not said:
        return None
    return f"int16: an operator is off by so many steps of its output at most: {', '.join(said)}"
