"""`--private`: the names in the ONNX file, and hashes of it and of the data, stay out of all that is emitted.

The fixed-point graph is renamed before it is planned, so everything that is made from it has neutral names: layers are
called by their operator (conv_1, dense_2), inputs and outputs by their number. Messages and reports on the terminal
still name what the file names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from tinygen.flow.library import sensors_of
from tinygen.flow.types import Quantised, Target
from tinygen.flow.verdict import Verdict
from tinygen.ir.types import Graph, Node, Tensor
from tinygen.names import identifier


def hidden(model: Quantised, target: Target) -> tuple[Quantised, Target]:
    """The model with a fixed-point graph that has no name of the file, and the target with the new names of inputs."""
    sensors_of(model.fixed, target.library)  # what is wrong with them is said in the file's names
    names = [port.name for port in model.fixed.in_ports]
    library = replace(target.library, sensors=_sensors(target.library.sensors, names))
    return replace(model, fixed=renamed(model.fixed)), replace(target, library=library)


def hidden_verdict(verdict: Verdict, graph: Graph) -> Verdict:
    """A verdict without names of the file and hashes of samples. `graph`: whose outputs it names."""
    return replace(
        verdict,
        figures=tuple(replace(f, name=_plain(f.name, graph)) for f in verdict.figures),
        samples_sha256="",
        damage=None if verdict.damage is None else replace(verdict.damage, origin=()),
        repairs=tuple(step.split(":")[0] for step in verdict.repairs),  # what follows names layers
    )


def renamed(graph: Graph) -> Graph:
    """The same graph: nodes and what they write named by operator and number, nothing left of where they came from."""
    new = {name: f"input{i}" for i, name in enumerate(graph.inputs)}
    new |= {s.reads: f"state{i}" for i, s in enumerate(graph.states)}
    counts: Counter[str] = Counter()
    nodes: list[Node] = []
    for node in graph.nodes:
        kind = identifier(type(node.op).__name__)
        counts[kind] += 1
        name = f"{kind}_{counts[kind]}"
        for i, t in enumerate(node.inputs):
            new.setdefault(t, f"{name}_in{i}")  # a constant; all else was written before
        for i, t in enumerate(node.outputs):
            new[t] = f"{name}_out{i}"
        inputs, outputs = _all(node.inputs, new), _all(node.outputs, new)
        nodes.append(replace(node, name=name, inputs=inputs, outputs=outputs, origin=()))
    tensors: dict[str, Tensor] = {new[n]: replace(t, name=new[n]) for n, t in graph.tensors.items()}
    return replace(
        graph,
        nodes=tuple(nodes),
        tensors=tensors,
        inputs=_all(graph.inputs, new),
        outputs=_all(graph.outputs, new),
        in_ports=tuple(replace(p, name=f"input{i}") for i, p in enumerate(graph.in_ports)),
        out_ports=tuple(replace(p, name=f"output{i}") for i, p in enumerate(graph.out_ports)),
        states=tuple(
            replace(s, name=f"state{i}", reads=new[s.reads], writes=new[s.writes]) for i, s in enumerate(graph.states)
        ),
    )


def _all(names: tuple[str, ...], new: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(new[n] for n in names)


def _sensors(asked: tuple[str, ...], names: list[str]) -> tuple[str, ...]:
    """NAME=TYPE in the new names of the inputs."""
    new = {name: f"input{i}" for i, name in enumerate(names)}
    parts = [text.rpartition("=") for text in asked]  # a name may have any letters, a type none of these
    return tuple(f"{new.get(name, name)}{sep}{kind}" for name, sep, kind in parts)


def _plain(text: str, graph: Graph) -> str:
    """A measure's name without the names in it, which stand in quotes."""
    for i, port in enumerate(graph.out_ports):
        text = text.replace(f'"{port.name}"', f"output{i}")
    return re.sub(r'".*"', "a layer", text, flags=re.DOTALL)
