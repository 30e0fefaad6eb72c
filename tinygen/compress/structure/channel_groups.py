"""Channels that may go: which compete with each other, what each costs, what the layers that read it lose with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from tinygen.compress.statistics import Statistics
from tinygen.compress.structure.products import Product, products
from tinygen.ir.types import Graph
from tinygen.numerics import Array
from tinygen.passes.channels import Channels

MEASURES = ("macs", "weights", "channels")


@dataclass(frozen=True, slots=True)
class GroupCost:
    """What one product costs: `unit` for each pair of an input and an output channel; `inputs` is 1 for a depthwise
    layer, whose cost grows with its outputs alone."""

    unit: int
    inputs: int
    outputs: int

    @property
    def total(self) -> int:
        return self.unit * self.inputs * self.outputs

    def less(self, inputs: int, outputs: int) -> GroupCost:
        return replace(self, inputs=self.inputs - inputs, outputs=self.outputs - outputs)


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that the same layers write and read: they compete with each other. `classes` as `Channels` numbers them;
    `writes` and `reads`: product to the number of outputs and inputs that one class has there; `layers`: that write."""

    classes: tuple[int, ...]
    writes: Mapping[str, int]
    reads: Mapping[str, int]
    layers: tuple[str, ...]


def channel_groups(graph: Graph, channels: Channels) -> tuple[Group, ...]:
    """The channels that may go, in groups, in the order of the graph. Those tied to a port, a Softmax and the like
    stay; so do those that no layer writes."""
    writes: dict[int, dict[str, int]] = {}
    reads: dict[int, dict[str, int]] = {}
    layer = {p.name: p.node.name for p in products(graph)}
    for p in products(graph):
        read, made = p.classes(channels)
        for c in made.tolist():
            _count(writes, c, p.name)
        if not p.depthwise(graph):
            for c in read.tolist():
                _count(reads, c, p.name)
    found: dict[tuple[object, ...], list[int]] = {}
    for c, own in writes.items():
        if not channels.pinned[c]:
            key = (tuple(own.items()), tuple(reads.get(c, {}).items()))
            found.setdefault(key, []).append(c)
    return tuple(
        Group(tuple(cs), own := writes[cs[0]], reads.get(cs[0], {}), tuple(dict.fromkeys(layer[n] for n in own)))
        for cs in found.values()
    )


def _count(counts: dict[int, dict[str, int]], c: int, layer: str) -> None:
    row = counts.setdefault(c, {})
    row[layer] = row.get(layer, 0) + 1


def layer_costs(graph: Graph, measure: str) -> dict[str, GroupCost]:
    """The cost of every product, by its name."""
    found = {}
    for p in products(graph):
        w = p.matrix(graph)
        inputs, outputs = w.shape[-1], w.shape[0]
        if measure == "macs":
            unit = p.uses(graph)
        elif measure == "weights":
            unit = w.size // (inputs * outputs)
        else:  # of a recurrent layer its gates, once
            unit, inputs = int(p.name == p.node.name), 1
        found[p.name] = GroupCost(unit, inputs, outputs)
    return found


class Reader:
    """A product that reads channels which may go, and what it loses with them.

    Weights and statistics are those of its rows (compress/statistics.py): (groups, outputs of a group, K), K taps
    times the inputs of a group. `scale` makes losses relative to the power of its output.
    """

    def __init__(self, w: Array, statistics: Statistics, *, refit: bool) -> None:
        self.before, self.statistics, self.refit = w, statistics, refit
        self.per_group = w.shape[-1]
        self.w = statistics.split(w)
        covariance = statistics.estimate()
        #: With refit the inverse of the covariance, of what is left; without the covariance itself.
        self.matrix = np.linalg.inv(covariance) if refit else covariance
        self.rows = np.ones(self.w.shape[:2], bool)
        self.changed = False
        self.scale = 1.0 / max(float(statistics.output_power(w).sum()), 1e-30)

    def _columns(self, positions: Array) -> Array:
        taps = np.arange(0, self.w.shape[2], self.per_group)
        columns: Array = (taps[:, None] + positions[None, :]).reshape(-1)
        return columns

    def losses(self, blocks: Array) -> Array:
        """For each row of `blocks` (input channels of a group that go together) the share of the output lost."""
        taps = np.arange(0, self.w.shape[2], self.per_group)
        columns = (taps[None, :, None] + blocks[:, None, :]).reshape(len(blocks), -1)  # (blocks, size)
        total = np.zeros(len(blocks))
        for g in range(len(self.w)):
            w = np.where(self.rows[g][:, None], self.w[g], 0.0)[:, columns].transpose(
                1, 2, 0
            )  # (blocks, size, outputs)
            inner = self.matrix[g][columns[:, :, None], columns[:, None, :]]
            lost = np.linalg.solve(inner, w) if self.refit else inner @ w
            total += np.einsum("bso,bso->b", w, lost)
        result: Array = np.maximum(total, 0.0) * self.scale
        return result

    def remove(self, positions: Array) -> None:
        """Input channels go; with refit the other weights make up for them."""
        self.changed = True
        columns = self._columns(positions)
        for g in range(len(self.w)):
            if self.refit:
                h = self.matrix[g]
                taken = np.linalg.solve(h[np.ix_(columns, columns)], h[columns])  # (size, K)
                self.w[g] -= self.w[g][:, columns] @ taken
                h -= h[:, columns] @ taken
                h[columns], h[:, columns] = 0.0, 0.0
                h[columns, columns] = 1.0
            self.w[g][:, columns] = 0.0

    def forget(self, outputs: Array) -> None:
        """Output channels go: what becomes of them no longer counts."""
        self.rows.reshape(-1)[outputs] = False

    @property
    def weights(self) -> Array:
        """As they are now, in the layer's own shape."""
        return self.w.reshape(self.before.shape)


@dataclass(eq=False)
class Pruning:
    """A pruning on its way."""

    graph: Graph
    channels: Channels
    groups: tuple[Group, ...]
    costs: dict[str, GroupCost]
    readers: dict[str, Reader]
    kept: Array  # by class
    fixed: Array | None  # scores by class that do not change, or None: what the readers lose
    products: dict[str, Product] = field(default_factory=dict)
    members: dict[str, tuple[Array, Array]] = field(default_factory=dict)  # product: classes of inputs, of outputs

    def __post_init__(self) -> None:
        self.products = {p.name: p for p in products(self.graph)}
        self.members = {name: p.classes(self.channels) for name, p in self.products.items()}

    def losses(self, group: Group) -> tuple[Array, Array]:
        """Classes of a group that are still there, and what each is worth."""
        alive = np.array([c for c in group.classes if self.kept[c]])
        if self.fixed is not None:
            # Of what is left: the further a layer is pruned, the dearer its channels.
            return alive, self.fixed[alive] / max(float(self.fixed[alive].sum()), 1e-30)
        total = np.zeros(len(alive))
        for name in group.reads:
            inputs = self.members[name][0]
            if name in self.readers:
                blocks = np.array([np.flatnonzero(inputs == c) for c in alive])
                total += self.readers[name].losses(blocks)
            else:
                w = self.products[name].matrix(self.graph).astype(np.float64) ** 2
                by_input = w.reshape(-1, w.shape[-1]).sum(axis=0)
                shares = by_input / max(float(by_input.sum()), 1e-30)
                total += np.array([shares[inputs == c].sum() for c in alive])
        return alive, total

    def channels_of(self, group: Group) -> int:
        """Channels of a class in what a layer writes: those of a head go together."""
        made = self.channels.classes[self.products[next(iter(group.writes))].node.outputs[0]]
        return int(np.count_nonzero(made == group.classes[0]))

    def saved(self, group: Group, count: int, scope: Collection[str]) -> int:
        """What removing `count` classes of a group saves in the layers of `scope`."""
        return sum(
            self.costs[name].total - self._after(group, name, count).total
            for name in {**group.writes, **group.reads}
            if name in scope
        )

    def _after(self, group: Group, name: str, count: int) -> GroupCost:
        cost = self.costs[name]
        # A depthwise layer, and any layer where channels are counted, has one input for each output.
        inputs = group.reads.get(name, 0) if cost.inputs > 1 else 0
        return cost.less(count * inputs, count * group.writes.get(name, 0))

    def remove(self, group: Group, c: int) -> None:
        for name in {**group.writes, **group.reads}:
            self.costs[name] = self._after(group, name, 1)
        self.kept[c] = False
        for name in group.reads:
            if name in self.readers:
                self.readers[name].remove(np.flatnonzero(self.members[name][0] == c))
        for name in group.writes:
            if name in self.readers:
                self.readers[name].forget(np.flatnonzero(self.members[name][1] == c))
