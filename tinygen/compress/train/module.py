"""A FLOAT graph as a torch module: the same values to within float rounding, and gradients.

An activation of tensor shape S is a torch tensor (samples, *S), as everywhere in tinygen. Convolutions see it as NCHW
in torch's channels_last memory format: a permuted view, nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from tinygen.compress.train.operators import step_of
from tinygen.ir.types import Const, Graph, Stage
from tinygen.numerics import Array
from tinygen.ops import Operator

Change = Callable[[Tensor], Tensor]


def trainable(graph: Graph) -> tuple[str, ...]:
    """Constants that training may change: weights and biases of layers, slopes of PRelu, factors of normalisations."""
    found = [
        name
        for node in graph.nodes
        if isinstance(node.op, Operator) and node.op.learns
        for name in node.inputs[1:]
        if graph.tensors[name].const is not None
    ]
    return tuple(dict.fromkeys(found))


class GraphModule(torch.nn.Module):
    """`weights`: the trainable constants by tensor name; the other constants are buffers."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        if graph.stage is not Stage.FLOAT:
            raise ValueError("only FLOAT graphs can be trained")
        self.graph = graph
        self._trainable = trainable(graph)
        self._plans: dict[tuple[str, ...], tuple[frozenset[int], dict[str, int]]] = {}
        self._names = {name: f"t{i}" for i, name in enumerate(t.name for t in graph.tensors.values() if t.const)}
        for name, attribute in self._names.items():
            value = torch.from_numpy(np.array(graph.tensors[name].array, np.float32))
            if name in self._trainable:
                self.register_parameter(attribute, torch.nn.Parameter(value))
            else:
                self.register_buffer(attribute, value)
        self._steps = [(node, step_of(graph, node)) for node in graph.nodes]
        #: Where pinned activations end.
        self._ends = {
            t.name: tuple(t.quant.s * (end - t.quant.zero_point) for end in (t.quant.low, t.quant.high))
            for t in graph.tensors.values()
            if t.const is None and t.quant is not None
        }

    @property
    def weights(self) -> dict[str, torch.nn.Parameter]:
        return {name: getattr(self, self._names[name]) for name in self._trainable}

    @torch.no_grad()
    def set_weights(self, values: Mapping[str, Array]) -> None:
        """Other values for trainable constants, by tensor name."""
        for name, value in values.items():
            self.weights[name].copy_(torch.from_numpy(np.array(value, np.float32)))

    def run(
        self,
        inputs: Sequence[Tensor],
        wanted: Sequence[str],
        weights: Mapping[str, Tensor] = MappingProxyType({}),
        change: Mapping[str, Change] = MappingProxyType({}),
    ) -> list[Tensor]:
        """The tensors `wanted`, each (samples, *shape), from one tensor for each graph input.

        `weights` stand in for the constants of these names; `change` is applied to the activations of these names
        (fake quantisation, observers) before anybody reads them. Those that are pinned saturate first.
        """
        values: dict[str, Tensor] = {name: getattr(self, a) for name, a in self._names.items()}
        values.update(weights)
        for name, x in zip(self.graph.inputs, inputs, strict=True):
            x = self._saturated(name, x)
            values[name] = change[name](x) if name in change else x
        needed, last = self._needed(tuple(wanted))
        for i, (node, step) in enumerate(self._steps):
            if i not in needed:
                continue
            made = step(*(values[name] for name in node.inputs))
            for out, y in zip(node.outputs, made if isinstance(made, tuple) else (made,), strict=False):
                y = self._saturated(out, y)
                values[out] = change[out](y) if out in change else y
            for name in node.inputs:  # what nobody reads later makes room
                if last.get(name) == i and name not in wanted:
                    values.pop(name, None)
        return [values[name] for name in wanted]

    def _saturated(self, name: str, x: Tensor) -> Tensor:
        return torch.clamp(x, *self._ends[name]) if name in self._ends else x

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.run(inputs, self.graph.outputs))

    def _needed(self, wanted: tuple[str, ...]) -> tuple[frozenset[int], dict[str, int]]:
        """Indices of the nodes that `wanted` depends on; tensor name to the last of them that reads it."""
        if wanted not in self._plans:
            alive, needed = set(wanted), set[int]()
            last: dict[str, int] = {}
            for i in reversed(range(len(self._steps))):
                node = self._steps[i][0]
                if alive.intersection(node.outputs):
                    needed.add(i)
                    alive.update(node.inputs)
                    for name in node.inputs:
                        last.setdefault(name, i)
            self._plans[wanted] = frozenset(needed), last
        return self._plans[wanted]

    def to_graph(self, values: Mapping[str, Array] | None = None) -> Graph:
        """The graph with the trained constants (or `values`) under the same names. A changed weight loses its pin."""
        if values is None:
            values = {name: p.detach().cpu().numpy() for name, p in self.weights.items()}
        tensors = []
        for name, value in values.items():
            const = Const(np.ascontiguousarray(value, np.float32))
            if const != self.graph.tensors[name].const:
                tensors.append(replace(self.graph.tensors[name], const=const, quant=None))
        return self.graph.with_(tensors=tensors)
