"""Weights that share values: real = scale[output channel] * entry, the entries of a codebook of a few int8 values.

Three steps, each on the power of the output's change: entries by k-means weighted with the power of the inputs
("Deep Compression": Han et al. 2016, weighted as in Choi et al. 2017); scales fitted to the entries, in turn; then,
with the whole covariance, each weight moved to the entry that is best given all the others (coordinate descent, as in
QuantEase: Behdin et al. 2023), which lets the errors of a row's weights cancel out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tinygen.calibrate.data import Samples
from tinygen.compress.change import choose_layers, set_weights
from tinygen.compress.checks import one_of
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, WeightForm, weights
from tinygen.compress.statistics import Statistics, gather
from tinygen.compress.technique import Option, Own, Suggest, Technique, Work
from tinygen.ir.types import Node, Quant
from tinygen.numerics import Array
from tinygen.progress import Progress, no_progress

SIZES = (2, 4, 8, 16, 32, 64)
#: Bins that the exact k-means works on, and rounds of Lloyd's algorithm on the weights themselves after it.
_BINS, _LLOYD = 512, 20
#: Rounds of entries and scales fitted in turn.
_FITS = 8


@dataclass(frozen=True, slots=True)
class Cluster:
    """Weights that share values: codebooks of `entries`, one a layer or one for all."""

    entries: int = 16
    shared: bool = False

    def __post_init__(self) -> None:
        one_of("cluster.entries", self.entries, SIZES)

    def describe(self) -> str:
        return f"{'shared ' if self.shared else ''}cluster {self.entries}"


def cluster(
    network: Network,
    samples: Samples,
    *,
    entries: int = 16,
    shared: bool = False,
    sweeps: int = 4,
    layers: Collection[str] | None = None,
    log: list[LayerChange] | None = None,
    progress: Progress = no_progress,
    statistics: Mapping[str, Statistics] | None = None,
) -> Network:
    """Codebooks (`WeightForm.codebook`) of at most `entries` values for the layers; weights on them, scales pinned.

    Masks stay: 0 is then one of the entries. `shared`: one codebook for all the layers. `sweeps` of coordinate descent
    over the columns (0: each weight takes the nearest entry). `statistics`: of `gather`, where the caller has them.
    ValueError for a number of entries that is not in SIZES.
    """
    if entries not in SIZES:
        raise ValueError(f"cluster: found {entries} entries, allowed are {', '.join(map(str, SIZES))}")
    if sweeps < 0:
        raise ValueError(f"cluster: found {sweeps} sweeps, allowed 0 or more")
    graph = network.graph
    nodes = choose_layers(network, layers, "cluster", lambda _: None, log)
    if statistics is None:
        statistics = gather(graph, samples, [n.name for n in nodes], progress)
    work = [_layer(network, node, statistics[node.name]) for node in nodes]
    for group in [work] if shared else [[layer] for layer in work]:
        if group:
            _fit(group, entries)
    values, forms = {}, {}
    for i, layer in enumerate(work):
        if sweeps:
            _descend(layer, sweeps)
        old = weights(graph, layer.node)
        scale = layer.scale.astype(np.float32).astype(np.float64)  # what an ONNX file can say
        q = layer.book[layer.index]
        new = (scale[:, None] * q).reshape(old.shape).astype(np.float32)
        bias = graph.tensors[layer.node.inputs[2]].array.astype(np.float64)
        bias = bias + layer.statistics.bias_shift(old.array, new)
        values[layer.node.name] = new, bias, Quant(tuple(float(s) for s in scale), 0, 0)
        book = tuple(int(e) for e in layer.book)
        forms[layer.node.name] = replace(network.form(layer.node.name), codebook=book)
        if log is not None:
            error = layer.statistics.relative_error(old.array, new)
            text = f"{'shared ' if shared else ''}codebook of {len(book)}"
            log.append(LayerChange(layer.node.name, "cluster", text, 255, len(np.unique(q)), error))
        progress("cluster", i + 1, len(work))
    return replace(network, graph=set_weights(graph, values)).with_forms(forms)


@dataclass(slots=True, eq=False)
class _Layer:
    """A layer at work. `w`, `free` (no zero by mask), `importance` and `index` (into the book) are (O, K)."""

    node: Node
    statistics: Statistics
    w: Array
    free: Array
    importance: Array
    scale: Array
    index: Array
    book: Array

    @property
    def units(self) -> Array:
        """The weights in units of their channel's scale."""
        return np.asarray(self.w / self.scale[:, None])


def _layer(network: Network, node: Node, statistics: Statistics) -> _Layer:
    t = weights(network.graph, node)
    w = t.array.astype(np.float64).reshape(len(t.array), -1)
    form: WeightForm = network.form(node.name)
    free = np.ones(w.shape, bool) if form.mask is None else form.mask.array.reshape(w.shape)
    w = np.where(free, w, 0.0)
    groups = len(statistics.mean)
    diagonal = np.einsum("gkk->gk", statistics.estimate())
    importance = np.repeat(diagonal, len(w) // groups, axis=0)
    top = np.abs(w).max(axis=1)
    scale = np.where(top > 0.0, top, 1.0) / 127.0
    return _Layer(node, statistics, w, free, importance, scale, np.zeros(w.shape, np.int64), np.zeros(1))


# -- the codebook ----------------------------------------------------------------------------------------------------


def _fit(group: list[_Layer], entries: int) -> None:
    """One codebook for the layers of a group, in [-127, 127], and their scales and indices."""
    zero = not all(layer.free.all() for layer in group)
    # Layers of a shared codebook count alike: by what the output loses relative to what it is.
    share = [1.0 / max(float((layer.importance * layer.w**2).sum()), 1e-300) for layer in group]
    book = np.zeros(0)
    for _ in range(_FITS):
        units = np.concatenate([layer.units[layer.free] for layer in group])
        heavy = np.concatenate(
            [
                (s * layer.importance * layer.scale[:, None] ** 2)[layer.free]
                for s, layer in zip(share, group, strict=True)
            ]
        )
        book = weighted_kmeans(units, heavy, entries, zero=zero, start=book)
        # The widest entry becomes 127: the others then lose least when they are rounded.
        stretch = 127.0 / max(float(np.abs(book).max(initial=0.0)), 1e-300)
        rounded = np.unique(np.clip(np.rint(book * stretch), -127, 127))
        for layer in group:
            layer.scale = layer.scale / stretch
            layer.book = rounded
            layer.index = _nearest(rounded, layer.units)
            layer.scale = _diagonal_scale(layer)
        book = book * stretch
    for layer in group:
        layer.index = _nearest(layer.book, layer.units)
        if zero:
            layer.index[~layer.free] = int(np.flatnonzero(layer.book == 0.0)[0])


def weighted_kmeans(values: Array, weight: Array, k: int, *, zero: bool = False, start: Array | None = None) -> Array:
    """At most k ascending centres that minimise sum(weight * (value - nearest centre)^2), one of them 0 if `zero`.

    Without `start` from the optimum over _BINS bins (dynamic programming, as in Wang and Song 2011), then Lloyd's
    algorithm on the values. Nothing in it is random.
    """
    order = np.argsort(values, kind="stable")
    v, h = values[order], np.maximum(weight[order], 1e-300)
    if start is None or not start.size:
        start = _binned_kmeans(v, h, k - 1 if zero else k)
        if zero:
            start = np.append(start, 0.0)
    centres = np.unique(start)
    # Sums over a run of the sorted values are differences of running sums.
    n = np.concatenate([[0.0], np.cumsum(h)])
    s = np.concatenate([[0.0], np.cumsum(h * v)])
    for _ in range(_LLOYD):
        cut = np.searchsorted(v, (centres[1:] + centres[:-1]) / 2.0)
        edges = np.concatenate([[0], cut, [len(v)]])
        mass = n[edges[1:]] - n[edges[:-1]]
        mean = (s[edges[1:]] - s[edges[:-1]]) / np.where(mass > 0.0, mass, 1.0)
        moved = np.where(mass > 0.0, mean, centres)
        if zero:
            moved[np.argmin(np.abs(centres))] = 0.0
        moved = np.unique(moved)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _binned_kmeans(v: Array, h: Array, k: int) -> Array:
    """The best k centres of those that take whole bins. `v`: ascending values, `h`: their weights."""
    # Half the edges are quantiles, half evenly spaced: neither the many small values nor the few large ones suffer.
    quantiles = v[np.linspace(0, len(v) - 1, _BINS // 2).astype(np.int64)]
    edges = np.unique(np.concatenate([quantiles, np.linspace(v[0], v[-1], _BINS // 2)]))
    where = np.searchsorted(edges, v, side="right") - 1
    n, s, q = (np.concatenate([[0.0], np.cumsum(np.bincount(where, m, len(edges)))]) for m in (h, h * v, h * v * v))
    bins = len(edges)
    mass = np.maximum(n[None, :] - n[:, None], 1e-300)
    # cost[i, j]: bins i .. j-1 in one cluster.
    cost = np.triu(np.maximum(q[None, :] - q[:, None] - (s[None, :] - s[:, None]) ** 2 / mass, 0.0))
    cost[np.tril_indices(bins + 1, -1)] = np.inf
    best, cuts = cost[0], []
    for _ in range(k - 1):
        total = best[:, None] + cost
        cuts.append(np.argmin(total, axis=0))
        best = np.min(total, axis=0)
    end, centres = bins, []
    for cut in reversed([np.zeros(bins + 1, np.int64), *cuts]):
        begin = int(cut[end])
        if n[end] > n[begin]:
            centres.append((s[end] - s[begin]) / (n[end] - n[begin]))
        end = begin
    return np.unique(np.asarray(centres))


def _nearest(book: Array, units: Array) -> Array:
    """Index of the nearest entry of an ascending book."""
    return np.searchsorted((book[1:] + book[:-1]) / 2.0, units)


def _diagonal_scale(layer: _Layer) -> Array:
    """The best scale of each channel for its entries, inputs taken as independent."""
    q = np.where(layer.free, layer.book[layer.index], 0.0)
    above, below = (layer.importance * layer.w * q).sum(axis=1), (layer.importance * q * q).sum(axis=1)
    fitted = above / np.where(below > 0.0, below, 1.0)
    return np.asarray(np.where(fitted > 0.0, fitted, layer.scale))


# -- with the whole covariance ---------------------------------------------------------------------------------------


def _descend(layer: _Layer, sweeps: int) -> None:
    """Entries and scales of the layer, improved with the whole covariance."""
    groups = len(layer.statistics.mean)
    parts = [a.reshape(groups, -1, *a.shape[1:]) for a in (layer.w, layer.free, layer.index, layer.scale)]
    found = [
        descend(c, w, free, layer.book, index, scale, sweeps)
        for c, w, free, index, scale in zip(layer.statistics.estimate(), *parts, strict=True)
    ]
    layer.index = np.concatenate([index for index, _ in found])
    layer.scale = np.concatenate([scale for _, scale in found])


def descend(
    c: Array, w: Array, free: Array, book: Array, index: Array, scale: Array, sweeps: int
) -> tuple[Array, Array]:
    """Better indices (O, K) into the book, where `free`, and scales (O,): moved as long as (v - w) c (v - w)^T falls,
    v = scale * book[index]."""
    index = index.copy()
    diagonal = np.diagonal(c)
    # Columns with the most power first: what they leave, the weaker ones can still make up for.
    order = np.argsort(-diagonal, kind="stable")
    for _ in range(sweeps):
        v = scale[:, None] * book[index]
        pull = (w - v) @ c
        moved = False
        for j in order:
            wanted = v[:, j] + pull[:, j] / diagonal[j]
            best = np.where(free[:, j], _nearest(book, wanted / scale), index[:, j])
            step = scale * book[best] - v[:, j]
            if np.any(step):
                pull -= step[:, None] * c[j]
                v[:, j] += step
                index[:, j] = best
                moved = True
        q = book[index]
        qc = q @ c
        below = (qc * q).sum(axis=1)
        fitted = (qc * w).sum(axis=1) / np.where(below > 0.0, below, 1.0)
        scale = np.where(fitted > 0.0, fitted, scale)
        if not moved:
            break
    return index, scale


# -- the technique ---------------------------------------------------------------------------------------------------


def _apply(work: Work, network: Network, settings: Cluster | None) -> Network:
    shared = settings is not None and settings.shared
    for value, names in work.groups(network.graph, "cluster", None if settings is None else settings.entries):
        network = cluster(
            network, work.few, entries=value, shared=shared, layers=names, log=work.log, progress=work.progress
        )
    return network


TECHNIQUE = Technique(
    "cluster",
    Cluster,
    "forms",
    _apply,
    options=(Option("--cluster", int, "Weights share so many values: 2, 4, 8, 16, 32 or 64.", "entries"),),
    own=Own(int | Literal[False], lambda key, value: one_of(key, value, SIZES)),
    suggest=Suggest(forms={f"cluster {n}": Cluster(n) for n in (64, 32, 16, 8, 4)}, start={"form": "cluster 16"}),
    catch_up=True,
)
