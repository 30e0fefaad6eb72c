"""The rules every graph obeys; the pass runner checks them before and after each pass."""

from __future__ import annotations

from collections.abc import Callable

from tinygen.ir.types import Graph, Stage


class InvariantError(AssertionError):
    """A graph broke a rule: a bug in the pass named in the message."""


def check(graph: Graph, where: str = "graph") -> None:
    """Raise InvariantError when names dangle, order is wrong, shapes differ from `infer` or quantisation is missing."""

    def need(condition: bool, message: str) -> None:
        if not condition:
            raise InvariantError(f"after {where}: {message}")

    known: set[str] = set()
    for name, tensor in graph.tensors.items():
        need(name == tensor.name, f"tensor {name!r} is stored as {tensor.name!r}")
        need(all(d >= 1 for d in tensor.shape), f"tensor {name!r} has shape {tensor.shape}")
        if tensor.const is not None:
            need(tensor.const.array.shape == tensor.shape, f"constant {name!r} and its shape differ")
            known.add(name)
    for name in graph.sources:
        need(name in graph.tensors, f"input {name!r} has no tensor")
        need(name not in known, f"input {name!r} is another input, or a constant")
        known.add(name)
    need(len(graph.inputs) == len(graph.in_ports) and len(graph.outputs) == len(graph.out_ports), "ports do not match")
    for names, ports in ((graph.inputs, graph.in_ports), (graph.outputs, graph.out_ports)):
        for name, port in zip(names, ports, strict=True):
            shape = graph.tensors[name].shape
            need(tuple(port.shape[p] for p in port.perm) == shape, f"port {port.name!r} {port.shape} is not {shape}")
            a = port.affine
            need(a is None or len(a.mean) == len(a.gain), f"port {port.name!r}: means and gains do not match")
            need(a is None or len(a.mean) == 1 or len(a.mean) == shape[a.axis], f"port {port.name!r}: {a} for {shape}")
    seen: set[str] = set()
    for node in graph.nodes:
        need(node.name not in seen, f"two nodes are called {node.name!r}")
        seen.add(node.name)
        for name in node.inputs:
            need(name in known, f"node {node.name!r} reads {name!r} before it exists")
        for name in node.outputs:
            need(name in graph.tensors and name not in known, f"node {node.name!r} cannot write {name!r}")
            known.add(name)
        infer = node.op.infer  # type: ignore[attr-defined]
        shapes = tuple(t.shape for t in graph.outs(node))
        found = infer(*(t.shape for t in graph.ins(node)))
        need(found == shapes, f"node {node.name!r} infers {found}, its outputs have {shapes}")
        if graph.stage is Stage.FLOAT:
            kinds = node.op.types(*(t.dtype for t in graph.ins(node)))  # type: ignore[attr-defined]
            written = tuple(t.dtype for t in graph.outs(node))
            need(kinds == written, f"node {node.name!r} writes {kinds}, its outputs are {written}")
    for name in graph.results:
        need(name in known, f"output {name!r} is never made")
    _check_states(graph, need)
    if graph.stage is Stage.FIXED:
        for name in (*graph.sources, *(o for n in graph.nodes for o in n.outputs)):
            t = graph.tensors[name]
            if t.is_plain:
                continue
            need(t.quant is not None and t.dtype is t.quant.dtype, f"tensor {name!r} is not quantised")
            if t.quant is not None and t.quant.zero_points:
                length = t.shape[t.quant.axis or 0]
                both = (len(t.quant.scale), len(t.quant.zero_points))
                need(both == (length, length), f"tensor {name!r} {t.shape} has {both} scales and zero points")


def _check_states(graph: Graph, need: Callable[[bool, str], None]) -> None:
    """Both ends of a state are of one shape and, in a FIXED graph, of one quantisation."""
    names = [s.name for s in graph.states]
    need(len(set(names)) == len(names), f"two states have one name: {names}")
    for s in graph.states:
        a, b = graph.tensors[s.reads], graph.tensors[s.writes]
        need(s.writes in graph.producer, f"state {s.name!r}: {s.writes!r} is made by no node")
        need(a.shape == b.shape, f"state {s.name!r} reads {a.shape} and writes {b.shape}")
        need(s.initial is None or s.initial.array.shape == a.shape, f"state {s.name!r} begins in another shape")
        if graph.stage is Stage.FIXED:
            need(a.quant == b.quant, f"state {s.name!r} reads {a.quant} and writes {b.quant}")
