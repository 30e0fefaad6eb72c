"""Layers of a compressed network fitted again, one after the other, to what the original gave on the same samples.

The techniques fit each layer to inputs as they were. Here a layer reads what the compressed layers before it make of
the samples, and is drawn towards the sums that the original made: errors made earlier are corrected, not handed on.
Masks and codebooks stay. No training: one least squares a layer. (The asymmetric reconstruction of He et al. 2017 and
Frantar and Alistarh 2022.)
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from tinygen.calibrate.data import Samples
from tinygen.calibrate.graph import float_model, to_tensors
from tinygen.compress.change import set_weights
from tinygen.compress.forms.cluster import descend
from tinygen.compress.forms.sparsity import fit_masked
from tinygen.compress.network import Network, WeightForm, layers, snap, weights
from tinygen.compress.statistics import CHUNK, FULL_COLUMNS, ROWS, Statistics, input_rows
from tinygen.ir.types import Graph, Node, Quant
from tinygen.numerics import Array
from tinygen.progress import Progress, no_progress

_SWEEPS = 2


def catch_up(
    network: Network,
    original: Graph,
    samples: Samples,
    *,
    layers: Collection[str] | None = None,
    progress: Progress = no_progress,
) -> Network:
    """The network with other weights and biases, forms as they were, in the layers (`layers`: of those) whose output
    the original has as well, with as many channels; others stay as they are.

    Layers that already give the original's sums on the samples, because nothing before them changed and neither did
    they, come out unchanged but for rounding.
    """
    graph = network.graph
    pairs = [(n, m) for n, m in _pairs(graph, original) if layers is None or n.name in layers]
    for i, (node, model) in enumerate(pairs):
        statistics, cross, target_mean = _gather_pair(graph, original, node, model, samples)
        w = weights(graph, node).array
        flat = w.reshape(len(w), -1).astype(np.float64)
        now = statistics.split(w)
        c = statistics.estimate()
        # What is left of the covariance of sums and inputs, trusted as much as that of the inputs among themselves.
        trust = statistics.rows / (statistics.rows + now.shape[2])
        rest = trust * (cross - now @ statistics.covariance)
        ideal = now + np.stack([np.linalg.solve(a, r.T).T for a, r in zip(c, rest, strict=True)])
        fitted, quant = _in_form(network.form(node.name), weights(graph, node).quant, c, ideal, now)
        new = fitted.reshape(w.shape).astype(np.float32)
        mean = np.einsum("gok,gk->go", statistics.split(new), statistics.mean).reshape(len(flat))
        graph = set_weights(graph, {node.name: (new, target_mean - mean, quant)})
        progress("catch up", i + 1, len(pairs))
    return Network(graph, network.forms, network.wide)


def _pairs(graph: Graph, original: Graph) -> list[tuple[Node, Node]]:
    """Layers and those of the original that they stand for: both write the same tensor."""
    found = []
    for node in layers(graph):
        model = original.producer.get(node.outputs[0])
        if model is None or model not in layers(original):
            continue
        w = weights(graph, node)
        same = graph.outs(node)[0].shape == original.outs(model)[0].shape
        if same and w.size // len(w.array) <= FULL_COLUMNS:
            found.append((node, model))
    return found


def _gather_pair(
    graph: Graph, original: Graph, node: Node, model: Node, samples: Samples
) -> tuple[Statistics, Array, Array]:
    """Statistics of what `node` reads; the covariance (groups, O / groups, K) of the sums of `model`, the original,
    with it; the mean (O,) of those sums."""
    feeds = to_tensors(graph, samples.inputs)
    ours, theirs = _Reader(graph, node), _Reader(original, model)
    w, b = (original.tensors[i].array.astype(np.float64) for i in model.inputs[1:3])
    rng = np.random.default_rng(0)
    take = max(1, -(-ROWS // samples.count))
    sums = _Sums()
    for i in range(samples.count):
        given = [x[i] for x in feeds]
        x, z = ours.rows(given), theirs.rows(given)
        if x.shape[1] > take:
            at = np.sort(rng.choice(x.shape[1], take, replace=False))
            x, z = x[:, at], z[:, at]
        y = z @ w.reshape(len(z), -1, z.shape[2]).transpose(0, 2, 1)  # (groups, rows, O / groups)
        sums.add(x, y.transpose(1, 0, 2).reshape(x.shape[1], -1) + b)
    return sums.finish()


class _Sums:
    """Running sums over rows x (groups, n, K) and outputs y (n, O)."""

    def __init__(self) -> None:
        self._x: list[Array] = []
        self._y: list[Array] = []
        self._totals: list[Array] = []
        self._rows = 0

    def add(self, x: Array, y: Array) -> None:
        self._x.append(x)
        self._y.append(y)
        if sum(len(part) for part in self._y) >= CHUNK:
            self._flush()

    def _flush(self) -> None:
        if not self._x:
            return
        x, y = np.concatenate(self._x, axis=1), np.concatenate(self._y)
        self._x, self._y = [], []
        self._rows += len(y)
        by_group = y.reshape(len(y), len(x), -1).transpose(1, 2, 0)
        new = [x.sum(axis=1), y.sum(axis=0), x.transpose(0, 2, 1) @ x, by_group @ x]
        self._totals = [a + b for a, b in zip(self._totals, new, strict=True)] if self._totals else new

    def finish(self) -> tuple[Statistics, Array, Array]:
        """As `_gather_pair`."""
        self._flush()
        mean, target, moment, cross = (t / self._rows for t in self._totals)
        statistics = Statistics(self._rows, mean, np.einsum("gkk->gk", moment).copy(), moment)
        return statistics, cross - target.reshape(len(mean), -1, 1) * mean[:, None, :], target


class _Reader:
    """What one layer of a network reads, sample by sample."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self._graph, self._node, self._name = graph, node, node.inputs[0]
        self._model = None if self._name in graph.inputs else float_model(graph, [self._name])

    def rows(self, inputs: list[Array]) -> Array:
        """(groups, rows, K) of one sample."""
        if self._model is None:
            value = inputs[self._graph.inputs.index(self._name)]
        else:
            (value,) = self._model.run(inputs, [self._name])
        return input_rows(self._node, value, self._graph.tensors[self._name].shape).astype(np.float64)


def _in_form(form: WeightForm, quant: Quant | None, c: Array, ideal: Array, now: Array) -> tuple[Array, Quant | None]:
    """The weights (groups, O / groups, K) nearest to the ideal ones that the form allows, and their pin."""
    mask = np.ones(now.shape, bool) if form.mask is None else form.mask.array.reshape(now.shape)
    if form.codebook is None:
        if form.mask is None:
            return ideal, None
        groups = zip(c, ideal, now, mask, strict=True)
        return np.stack([fit_masked(a, w, v, m) for a, w, v, m in groups]), None
    book = np.asarray(form.codebook, np.float64)
    outs = now.shape[0] * now.shape[1]
    q, scale = snap(now.reshape(outs, -1), form, None if quant is None else np.asarray(quant.scale))
    index = np.searchsorted(book, q.astype(np.float64)).reshape(now.shape)
    scales = scale.reshape(now.shape[:2])
    found = [descend(a, w, m, book, i, s, _SWEEPS) for a, w, m, i, s in zip(c, ideal, mask, index, scales, strict=True)]
    fitted = np.concatenate([s for _, s in found]).astype(np.float32).astype(np.float64)
    values = book[np.stack([i for i, _ in found])] * fitted.reshape(scales.shape)[:, :, None]
    return values, Quant(tuple(float(s) for s in fitted), 0, 0)
