"""Which activations a user means who asks for int16."""

from __future__ import annotations

import difflib

from tinygen.errors import ModelError
from tinygen.ir.types import Graph


def asked_wide(graph: Graph, activations: str) -> frozenset[str]:
    """The tensors that `activations` names: "8" none, "16" all, else names with commas between.

    A name is that of an input, output or state of the model, or of an ONNX node, whose layer's output is meant. Raises
    ModelError for one that is neither.
    """
    every = [t.name for t in graph.tensors.values() if t.const is None]
    if activations in ("8", "16"):
        return frozenset(every if activations == "16" else ())
    known: dict[str, list[str]] = {name: [name] for name in every}
    for ports, tensors in ((graph.in_ports, graph.inputs), (graph.out_ports, graph.outputs)):
        for port, tensor in zip(ports, tensors, strict=True):
            known.setdefault(port.name, []).append(tensor)
    for state in graph.states:
        known.setdefault(state.name, []).extend((state.reads, state.writes))
    for node in graph.nodes:
        for name in (*node.origin, node.name):
            known.setdefault(name, []).extend(node.outputs)
    names = [name.strip() for name in activations.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        layers = list(dict.fromkeys(name for node in graph.nodes for name in node.origin))
        near = difflib.get_close_matches(unknown[0], [n for n in known if n], 3, 0.5) or layers[:5]
        raise ModelError(
            f'activations in int16: the model has no layer "{unknown[0]}". Allowed are 8, 16, or names of ONNX nodes, '
            f"inputs and outputs with commas between, such as {', '.join(near)}; `tinygen inspect` lists them."
        )
    return frozenset(tensor for name in names for tensor in known[name])
