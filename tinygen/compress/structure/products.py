"""The matrices with which layers multiply channels: one of each layer with weights; of a recurrent layer W, and for
each direction R, which multiplies what the layer itself gave a step before.

Which channels a matrix reads and writes, what it costs, and its rows (compress/statistics.py), for whatever chooses
among channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from tinygen.compress.statistics import Statistics, input_rows
from tinygen.ir.types import Graph, Node
from tinygen.numerics import Array
from tinygen.ops import Recurrent
from tinygen.ops.access import width
from tinygen.ops.base import Operator
from tinygen.ops.weighted import Weighted
from tinygen.passes.channels import Channels


@dataclass(frozen=True)
class Product:
    """`name`: of the node; of R with the direction behind it. `index`: which input the weights are, of which `part` is
    the direction that it is about (None: all). `reads`: the activation it multiplies; it sees the channels in `span`.
    """

    name: str
    node: Node
    index: int
    reads: str
    span: tuple[int, int | None] = (0, None)
    part: int | None = None

    @property
    def columns(self) -> slice:
        return slice(*self.span)

    def matrix(self, graph: Graph) -> Array:
        """(outputs, ..., inputs of a group)."""
        w = graph.tensors[self.node.inputs[self.index]].array
        if isinstance(self.node.op, Weighted):
            return w
        found: Array = w.reshape(-1, w.shape[-1]) if self.part is None else w[self.part]
        return found

    def classes(self, channels: Channels) -> tuple[Array, Array]:
        """Of its inputs (of a group), and of its outputs: gates belong to the unit whose they are."""
        op = self.node.op
        read, made = channels.classes[self.reads][self.columns], channels.classes[self.node.outputs[0]]
        if isinstance(op, Weighted):
            return read[: len(read) // op.groups], made
        assert isinstance(op, Recurrent)
        rows = np.tile(made.reshape(op.directions, 1, -1), (1, op.GATES, 1))
        return read, rows.reshape(-1) if self.part is None else rows[self.part].reshape(-1)

    def depthwise(self, graph: Graph) -> bool:
        op = self.node.op
        return isinstance(op, Weighted) and op.depthwise(width(graph.tensors[self.reads]))

    def rows(self, graph: Graph, x: Array) -> Array:
        """(groups, rows, K): what its outputs see of a sample of `reads`."""
        if isinstance(self.node.op, Weighted):
            return input_rows(self.node, x, graph.tensors[self.reads].shape)
        own = x[..., self.columns]
        return own.reshape(1, -1, own.shape[-1])

    def refitted(
        self, graph: Graph, w: Array, statistics: Statistics, made: Mapping[int, Array]
    ) -> Iterator[tuple[int, Array]]:
        """(input of the node, constant) with `w` for the matrix, and a bias that makes up for the mean of the change;
        `made`: those that other products of the node have changed already."""
        op, ins = self.node.op, graph.ins(self.node)
        shift = statistics.bias_shift(self.matrix(graph), w)
        if isinstance(op, Weighted):
            yield 1, w
            yield 2, ins[2].array + shift
            return
        assert isinstance(op, Recurrent)
        whole = made.get(self.index, ins[self.index].array).copy()
        whole[slice(None) if self.part is None else self.part] = w.reshape(whole.shape) if self.part is None else w
        bias, gates = made.get(3, ins[3].array).astype(np.float64), op.GATES * op.units
        if self.part is None:
            bias[:, :gates] += shift.reshape(op.directions, gates)
        else:
            bias[self.part, gates:] += shift
        yield self.index, whole
        yield 3, bias

    def uses(self, graph: Graph) -> int:
        """How often its weights are used in a run."""
        op, ins = self.node.op, graph.ins(self.node)
        if isinstance(op, Recurrent):
            return sum(op.steps(ins[0].shape))
        w, plain = self.matrix(graph), cast(Operator, op)
        return int(plain.macs(ins, graph.outs(self.node)) // (w.shape[0] * w.shape[-1]))


def products(graph: Graph) -> tuple[Product, ...]:
    """All of a FLOAT graph, in its order; the first of a node has the node's name."""
    found: list[Product] = []
    for node in graph.nodes:
        if isinstance(node.op, Weighted):
            found.append(Product(node.name, node, 1, node.inputs[0]))
        elif isinstance(node.op, Recurrent):
            found.append(Product(node.name, node, 1, node.inputs[0]))
            outs: Mapping[str, str] = dict(zip(node.op.told, node.outputs, strict=True))
            for d in range(node.op.directions):
                own = (d * node.op.units, (d + 1) * node.op.units)
                found.append(Product(f"{node.name}/R{d}", node, 2, outs.get("steps", outs["y"]), own, d))
    return tuple(found)
