"""Layers of a changed network fitted, one after the other, to what the same layers gave in the original.

Each layer's least squares are over what it reads now, all layers before it already fitted, so that errors made earlier
are corrected rather than handed on (channel pruning by reconstruction: He et al. 2017, section 3.1; here for every
layer, and drawn towards the weights that are there by as much as the samples leave open).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat

import numpy as np

from tinygen.calibrate.data import Samples
from tinygen.calibrate.graph import float_model, to_tensors
from tinygen.compress.change import set_weights
from tinygen.compress.network import is_layer
from tinygen.compress.statistics import FULL_COLUMNS, ROWS, input_rows
from tinygen.ir.types import Graph, Node
from tinygen.numerics import Array
from tinygen.ops.weighted import Weighted
from tinygen.progress import Progress, no_progress
from tinygen.threads import in_order

#: One sample of so many judges the fit of the others.
HELD_OUT = 4
#: Pulls towards the weights before that are tried.
STRENGTHS = (0.003, 0.03, 0.3)
#: Least squares in a row where a clamp hides part of the sums.
STEPS = 4


def reconstruct(
    graph: Graph, original: Graph, kept: Mapping[str, Array], samples: Samples, progress: Progress = no_progress
) -> Graph:
    """`graph` with other weights and biases in the layers that `kept` names, in order of execution.

    `kept`: node name to the mask of the original layer's outputs that the layer still has.
    """
    targets = _Targets(original, kept, samples)
    todo = [n.name for n in graph.nodes if n.name in kept and is_layer(n)]
    for i, name in enumerate(todo):
        node = next(n for n in graph.nodes if n.name == name)
        w, b = _fit(graph, node, targets, samples)
        graph = set_weights(graph, {name: (w, b, None)})
        progress("refitting", i + 1, len(todo))
    return graph


class _Targets:
    """What the original's layers give before their clamps, at chosen positions: (groups, rows, outputs of a group) for
    each sample."""

    def __init__(self, graph: Graph, kept: Mapping[str, Array], samples: Samples) -> None:
        nodes = [n for n in graph.nodes if n.name in kept]
        self.kept = kept
        self.values: dict[str, list[Array]] = {n.name: [] for n in nodes}
        self.places: dict[str, list[Array | None]] = {n.name: [] for n in nodes}
        inner = list(dict.fromkeys(n.inputs[0] for n in nodes if n.inputs[0] not in graph.inputs))
        model = float_model(graph, inner)
        feeds = to_tensors(graph, samples.inputs)
        rngs = {n.name: np.random.default_rng([1, i]) for i, n in enumerate(nodes)}
        take = max(1, -(-ROWS // samples.count))
        runs = model.run_each(feeds, inner) if inner else repeat([], samples.count)
        for i, run in enumerate(runs):
            values = {name: x[i] for name, x in zip(graph.inputs, feeds, strict=True)}
            values |= zip(inner, run, strict=True)
            for node in nodes:
                x, w, b = graph.ins(node)
                rows = input_rows(node, values[x.name], x.shape)
                place = None
                if rows.shape[1] > take:
                    place = np.sort(rngs[node.name].choice(rows.shape[1], take, replace=False))
                    rows = rows[:, place]
                split = w.array.reshape(len(rows), -1, rows.shape[2])
                y = rows @ split.transpose(0, 2, 1) + b.array.reshape(len(rows), 1, -1)
                self.values[node.name].append(_outputs(y, kept[node.name]))
                self.places[node.name].append(place)


def _outputs(y: Array, kept: Array) -> Array:
    """(rows, outputs kept) of (groups, rows, outputs of a group)."""
    flat = y.transpose(1, 0, 2).reshape(y.shape[1], -1)
    return flat[:, kept].astype(np.float32)


@dataclass(frozen=True)
class _Rows:
    """What a layer reads, (groups, rows, K), and what it should give, (groups, rows, outputs of a group)."""

    x: Array
    y: Array

    @cached_property
    def mean(self) -> Array:
        """(groups, 1, K)."""
        return np.asarray(self.x.mean(axis=1, keepdims=True, dtype=np.float64))

    @cached_property
    def centred(self) -> Array:
        return np.asarray(self.x - self.mean.astype(np.float32))

    @cached_property
    def covariance(self) -> Array:
        """(groups, K, K)."""
        wide = self.centred.astype(np.float64)
        return np.asarray(wide.transpose(0, 2, 1) @ wide / wide.shape[1])

    def part(self, chosen: Array) -> _Rows:
        return _Rows(self.x[:, chosen], self.y[:, chosen])


def _rows(graph: Graph, node: Node, targets: _Targets, samples: Samples) -> tuple[_Rows, Array]:
    """Of all samples, and the sample that each row is of."""
    x = graph.ins(node)[0]
    outside = x.name in graph.inputs
    model = float_model(graph, [] if outside else [x.name])
    feeds = to_tensors(graph, samples.inputs)
    xs, ys, owner = [], [], []
    values = feeds[graph.inputs.index(x.name)] if outside else (run[0] for run in model.run_each(feeds, [x.name]))
    for i, value in enumerate(values):
        rows = input_rows(node, value, x.shape)
        place = targets.places[node.name][i]
        xs.append(rows if place is None else rows[:, place])
        ys.append(targets.values[node.name][i])
        owner.append(np.full(xs[-1].shape[1], i))
    wanted = np.concatenate(ys).reshape(-1, xs[0].shape[0], ys[0].shape[1] // xs[0].shape[0]).transpose(1, 0, 2)
    return _Rows(np.concatenate(xs, axis=1), wanted), np.concatenate(owner)


def _fit(graph: Graph, node: Node, targets: _Targets, samples: Samples) -> tuple[Array, Array]:
    """Weights and bias of one layer. How far they may move is what serves samples best that had no part in the fit."""
    assert isinstance(node.op, Weighted)
    _, w, b = graph.ins(node)
    groups = node.op.groups
    start = _Affine(w.array.astype(np.float64).reshape(groups, w.shape[0] // groups, -1),
                    b.array.astype(np.float64).reshape(groups, 1, -1), node.op.lo, node.op.hi)  # fmt: skip
    if start.w.shape[2] > FULL_COLUMNS:
        return w.array, b.array
    rows, owner = _rows(graph, node, targets, samples)
    apart = owner % HELD_OUT == HELD_OUT - 1
    judge = rows.part(apart)
    best, strength = start.error(judge), None
    if apart.any() and not apart.all():
        known = rows.part(~apart)
        _ = known.covariance  # worked out once, for all of them
        errors = in_order(lambda tried: _descend(start, known, tried).error(judge), STRENGTHS)
        for tried, error in zip(STRENGTHS, errors, strict=True):
            if error < best:
                best, strength = error, tried
    if strength is None:
        return w.array, b.array
    found = _descend(start, rows, strength)
    return found.w.reshape(w.shape), found.b.reshape(-1)


@dataclass(frozen=True)
class _Affine:
    """A layer as a matrix for each group: w (groups, outputs, K), b (groups, 1, outputs), and its clamp."""

    w: Array
    b: Array
    lo: float
    hi: float

    def lacks(self, rows: _Rows) -> Array:
        """What is missing in the sums; nothing where the clamp hides the difference."""
        y = rows.x @ self.w.transpose(0, 2, 1).astype(np.float32) + self.b.astype(np.float32)
        low, high = np.minimum(self.lo - y, 0.0), np.maximum(self.hi - y, 0.0)
        lack: Array = np.where(rows.y <= self.lo, low, np.where(rows.y >= self.hi, high, rows.y - y))
        return lack

    def error(self, rows: _Rows) -> float:
        return float(np.square(self.lacks(rows)).sum())


def _descend(layer: _Affine, rows: _Rows, strength: float) -> _Affine:
    """Least squares; again for what the clamp hides now, as it is not the same after each step. `strength`: of the
    pull towards the weights before, relative to the variance of what each of them multiplies."""
    count = rows.x.shape[1]
    c = rows.covariance.copy()
    diagonal = np.einsum("gkk->gk", c).copy()
    index = np.arange(c.shape[1])
    c[:, index, index] += strength * diagonal + 1e-4 * np.maximum(diagonal.mean(axis=1, keepdims=True), 1e-30)
    steps = STEPS if (layer.lo, layer.hi) != (-math.inf, math.inf) else 1
    for _ in range(steps):
        lack = layer.lacks(rows)
        cross = (rows.centred.transpose(0, 2, 1) @ lack).astype(np.float64) / count
        change = np.linalg.solve(c, cross).transpose(0, 2, 1)
        shift = lack.mean(axis=1, keepdims=True, dtype=np.float64) - rows.mean @ change.transpose(0, 2, 1)
        layer = replace(layer, w=layer.w + change, b=layer.b + shift)
    return layer
