"""How far values matter: the part of a tensor's range that its readers can still tell apart.

A sigmoid is flat beyond +-6, and a logit far below the largest adds nothing to a softmax: steps spent there are lost to
the values that decide. All that an output step cannot show is cut off before the range is estimated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from tinygen.calibrate.ranges import Range
from tinygen.ir.types import Graph, Node
from tinygen.numerics import Array
from tinygen.ops import Extreme, Operator, Softmax, Unary
from tinygen.ops.extreme import MASKED
from tinygen.ops.unary import evaluate

#: What a tensor that the outside reads, or an operator nothing is known of, can tell apart.
EVERYTHING = Range(-math.inf, math.inf)
#: Of an output step: a difference of half a step is lost in rounding, a quarter leaves room for the rest of the noise.
_VISIBLE = 0.25
#: Points at which a function is sampled over a tensor's range.
_POINTS = 4097


class Tops:
    """The smallest, over samples and rows, of each row's largest value (last axis)."""

    __slots__ = ("lowest",)

    def __init__(self) -> None:
        self.lowest = math.inf

    def add(self, values: Array) -> None:
        self.lowest = min(self.lowest, float(values.max(axis=-1).min()))


def softmax_inputs(graph: Graph) -> tuple[str, ...]:
    """The tensors whose `Tops` are wanted."""
    return tuple(dict.fromkeys(n.inputs[0] for n in graph.nodes if isinstance(n.op, Softmax)))


def reach(graph: Graph, ranges: Mapping[str, Range], tops: Mapping[str, float]) -> dict[str, Range]:
    """For each activation in `ranges` the interval beyond which a value might as well be at its end.

    `ranges`: smallest and largest value seen; `tops`: `Tops.lowest` of `softmax_inputs`. An operator that only picks or
    moves values passes on what its readers need; any other needs everything.
    """
    found: dict[str, Range] = {}
    for node in reversed(graph.nodes):
        for name in dict.fromkeys(node.inputs):
            if graph.tensors[name].const is None:
                found[name] = _union((found.get(name), _needed(graph, node, name, ranges, tops, found)))
    return {name: EVERYTHING if name in graph.results else found.get(name, EVERYTHING) for name in ranges}


def _union(parts: Iterable[Range | None]) -> Range:
    known = [p for p in parts if p is not None]
    return Range(min(p.lo for p in known), max(p.hi for p in known))


def _needed(
    graph: Graph,
    node: Node,
    name: str,
    ranges: Mapping[str, Range],
    tops: Mapping[str, float],
    found: Mapping[str, Range],
) -> Range:
    """What `node` can tell apart of its input `name`."""
    assert isinstance(node.op, Operator)
    if isinstance(node.op, Softmax) and name in tops:
        n = graph.tensors[name].shape[-1]
        return Range(tops[name] - _softmax_depth(n), math.inf)
    if isinstance(node.op, Unary) and name in ranges:
        return _not_flat(node.op, ranges[name])
    if isinstance(node.op, Extreme) and not node.op.largest and name in ranges and ranges[name].hi >= MASKED:
        above = max(ranges[n].hi for n in node.inputs if n in ranges and n != name)  # a mask that is computed
        return Range(found.get(node.outputs[0], EVERYTHING).lo, above)
    # Integers that are only moved or compared keep their order, so cutting before or behind is the same.
    if node.op.picks:
        return found.get(node.outputs[0], EVERYTHING)
    return EVERYTHING


def _softmax_depth(n: int) -> float:
    """How far below the largest of n values the others together add less than a visible part of 1/256."""
    return math.log(max(n - 1, 1) * 256.0 / _VISIBLE)


def _not_flat(op: Unary, seen: Range) -> Range:
    """[lo, hi] without the ends over which the function moves by less than a visible part of its output's step."""
    if op.has_steps or not seen.lo < seen.hi:
        return EVERYTHING
    x = np.linspace(seen.lo, seen.hi, _POINTS)
    y = evaluate(op.expr, x)
    if not np.all(np.isfinite(y)):
        return EVERYTHING
    tolerance = _VISIBLE * float(np.ptp(y)) / 255.0
    left = int(np.argmax(np.abs(y - y[0]) > tolerance))
    right = _POINTS - 1 - int(np.argmax(np.abs(y[::-1] - y[-1]) > tolerance))
    lo = float(x[left - 1]) if left > 0 else EVERYTHING.lo
    return Range(lo, float(x[right + 1]) if right < _POINTS - 1 else EVERYTHING.hi)
