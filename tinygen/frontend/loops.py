"""Loop and Scan: the body once for each step, where the number of steps is known before the network runs.

Each step is a copy of the body whose values have names of their own; what steps hand to each other is wired by whoever
walks them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from onnx import GraphProto, NodeProto

from tinygen.frontend.limits import subgraphs


@dataclass(frozen=True)
class ScanForm:
    """Attributes of a Scan, by input and output: axis, and whether it runs backwards."""

    inputs: tuple[tuple[int, bool], ...]
    outputs: tuple[tuple[int, bool], ...]


def scan_form(node: NodeProto, attrs: Mapping[str, Any]) -> ScanForm:
    """Those of a Scan of opset 9 or later, defaults filled in."""
    count = int(attrs["num_scan_inputs"])
    states = len(node.input) - count
    outs = len(node.output) - states

    if count < 1 or min(states, outs) < 0:
        raise ValueError(f"{count} scan inputs of {len(node.input)} inputs and {len(node.output)} outputs")

    def pairs(kind: str, n: int) -> tuple[tuple[int, bool], ...]:
        axes = attrs.get(f"scan_{kind}_axes") or [0] * n
        backwards = attrs.get(f"scan_{kind}_directions") or [0] * n
        return tuple((int(a), bool(b)) for a, b in zip(axes, backwards, strict=True))

    return ScanForm(pairs("input", count), pairs("output", outs))


def step_of(body: GraphProto, base: str) -> GraphProto:
    """A copy of the body with everything that is made in it, its inputs too, by names below `base`."""
    copy: GraphProto = GraphProto.FromString(body.SerializeToString())
    own: set[str] = set()

    def collect(graph: GraphProto) -> None:
        own.update(v.name for v in (*graph.input, *graph.initializer))
        for n in graph.node:
            own.update(n.output)
            for inner in subgraphs(n):
                collect(inner)

    collect(copy)
    rename(copy, own - {""}, base)
    for graph in (copy, *(inner for n in copy.node for inner in _within(n))):
        for i, n in enumerate(graph.node):
            n.name = f"{base}/{n.name or f'{n.op_type}_{i}'}"
    return copy


def rename(graph: GraphProto, own: Collection[str], base: str) -> None:
    """Those values, in the graph and in those inside it, by names below `base`."""

    def new(name: str) -> str:
        return f"{base}/{name}" if name in own else name

    for v in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        v.name = new(v.name)
    for n in graph.node:
        n.input[:] = [new(name) for name in n.input]
        n.output[:] = [new(name) for name in n.output]
        for inner in subgraphs(n):
            rename(inner, own, base)


def _within(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs inside a node, and inside those."""
    for graph in subgraphs(node):
        yield graph
        for n in graph.node:
            yield from _within(n)


def steps_help() -> str:
    """What to do about a loop whose steps cannot be written out."""
    return (
        "Export the step alone, with its state as inputs and outputs (docs/STATE.md), or the network with an open "
        "batch: exporters then write LSTM."
    )
