"""Interval analysis of a FIXED graph: which integers each channel (index of the last axis) of each activation can take.

Every operator says what becomes of the ranges it reads (`Operator.bounds`). Exact for a layer whose inputs are
independent: real weights, real requantisation, real padding. Sound for everything.
"""

from __future__ import annotations

from tinygen.ir.types import Graph
from tinygen.ops.base import Operator
from tinygen.ops.interval import Interval, full, values


def reach(graph: Graph) -> dict[str, Interval]:
    """The range of every activation, from inputs and states that may be anything."""
    found = {n: full(graph.tensors[n]) for n in graph.sources}
    for node in graph.nodes:
        assert isinstance(node.op, Operator)
        ins, outs = graph.ins(node), graph.outs(node)
        known = [found[t.name] if t.const is None else values(t) for t in ins]
        for out, interval in zip(outs, node.op.bounds(ins, outs, known), strict=True):
            found[out.name] = interval
    return found
