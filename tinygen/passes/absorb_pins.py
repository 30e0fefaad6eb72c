"""Move the scales of a pre-quantised model onto the tensors they describe, and drop the requantise nodes in between.

A requantise node (Unary "x" with a pinned output) directly behind its producer says how that producer's output is
stored: the producer then writes the pinned tensor itself; behind a network input, in which integers it arrives. Where
the tensor before it is pinned otherwise, or read by others as well, the node stays and becomes a table. A transpose or
reshape in between takes no part in this (`pins.settle`).
"""

from __future__ import annotations

from dataclasses import replace

from tinygen.ir.types import Graph, Node, Tensor
from tinygen.ops import Operator
from tinygen.passes.base import Pass, Promise, merge_origin, until_stable
from tinygen.passes.draft import Draft
from tinygen.passes.pins import settle


def _operator(node: Node) -> Operator:
    assert isinstance(node.op, Operator)
    return node.op


def _step(graph: Draft, node: Node) -> bool:
    if not _operator(node).is_identity:
        return False
    x, y = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
    named = () if y.quant is None or x.name in graph.results else (replace(x, quant=y.quant),)
    if y.quant in (None, x.quant) and y.name not in graph.results:
        return graph.bypass(node, x.name, named)
    if graph.sole_consumer(x.name) is None:
        return x.quant is None and _alike(graph, x, y)
    producer = graph.producer.get(x.name)
    if producer is None:
        if x.quant is None and y.name not in graph.results:
            pinned = replace(x, quant=y.quant)
            return graph.bypass(node, x.name, (pinned,))
        return False
    if len(producer.outputs) != 1 and x.quant != y.quant:
        return False
    if x.quant is None or x.quant == y.quant or y.quant is None:
        quant = y.quant if y.quant is not None else x.quant
        outputs = tuple(y.name if name == x.name else name for name in producer.outputs)
        merged = replace(producer, outputs=outputs, origin=merge_origin(producer, node))
        return graph.replace({producer.name: (merged,), node.name: ()}, (replace(y, quant=quant),))
    return False


def _alike(graph: Draft, x: Tensor, y: Tensor) -> bool:
    """Requantise nodes of one pin for every reader (DedicatedQDQPair of onnxruntime's quantiser): x is pinned."""
    readers = graph.readers(x.name)
    results = [graph.outs(n)[0] for n in readers if _operator(n).is_identity]
    outside = x.name in graph.results or any(t.name in graph.results for t in results)
    if y.quant is None or outside or len(results) < len(readers) or any(t.quant != y.quant for t in results):
        return False
    for n in readers:
        graph.bypass(n, x.name)
    return graph.replace({}, (replace(x, quant=y.quant),))


_absorb = until_stable(_step)


def _run(graph: Graph) -> Graph:
    while (after := _absorb(settle(graph))) is not graph:
        graph = after
    return graph


PASS = Pass("absorb_pins", _run, Promise.EXACT)
