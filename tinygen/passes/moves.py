"""Tensors that are others whose values were moved, and no more."""

from __future__ import annotations

import numpy as np

from tinygen.ir.types import Graph
from tinygen.numerics import Array
from tinygen.ops import Concat, Gather, Reshape, Slice, Transpose
from tinygen.passes.draft import Draft

#: Values whose ways are followed one by one, at most.
FOLLOWED = 1 << 16


def place(graph: Graph | Draft, tensor: str) -> tuple[str, int]:
    """The tensor of which this is a run of values, and where in it that begins."""
    at = 0
    while graph.tensors[tensor].quant is None and (node := graph.producer.get(tensor)) is not None:
        found = node.op.aliases(graph.ins(node), graph.outs(node)) if isinstance(node.op, Reshape | Slice) else ()
        if not found:
            break
        tensor, at = found[0].outer, at + found[0].offset
    return tensor, at


def origin_of(graph: Graph | Draft, tensor: str) -> tuple[str, Array]:
    """The tensor whose values these are, moved or joined again, and for each of these in order which of those."""
    known: dict[str, tuple[str, Array]] = {}

    def follow(name: str) -> tuple[str, Array]:
        if name not in known:
            known[name] = once(name)
        return known[name]

    def once(name: str) -> tuple[str, Array]:
        t, node = graph.tensors[name], graph.producer.get(name)
        if node is not None and t.quant is None:
            if isinstance(node.op, Reshape | Slice | Gather | Transpose):
                (x,) = graph.ins(node)
                source, at = follow(x.name)
                (at,) = node.op.run_fixed((x,), (at.reshape(1, *x.shape),), (t,))
                return source, at.reshape(-1)
            if isinstance(node.op, Concat) and all(x.const is None for x in graph.ins(node)):
                ways = [follow(x.name) for x in graph.ins(node)]
                if len({source for source, _ in ways}) == 1:
                    parts = [at.reshape(x.shape) for (_, at), x in zip(ways, graph.ins(node), strict=True)]
                    return ways[0][0], np.concatenate(parts, node.op.axis).reshape(-1)
        return name, np.arange(t.size)

    return follow(tensor)
