"""Learned rounding: integers and scales of the weights chosen so that what the layer computes changes least, not each
weight by itself.

The loss is that of AdaRound (Nagel et al. 2020, Up or Down?): the power of the change of a layer's outputs over the
samples, (w - s q) C (w - s q)^T with C the covariance of what the layer reads. It is a quadratic function of integers
here, since the layer's clamp is left out, and is minimised directly: first column by column, each rounding error handed
on to the columns that are still free (Frantar et al. 2023, GPTQ), then by coordinate descent until no single weight can
do better. That is deterministic, takes seconds, and ends below what gradient descent on relaxed roundings reaches
(benchmarks/repairs.py compares them).
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from tinygen.calibrate.data import Samples
from tinygen.calibrate.graph import to_tensors
from tinygen.compress.change import set_weights
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, WeightForm, layers, snap, weights
from tinygen.compress.pinning import pin_all_weights, separated, with_weights
from tinygen.compress.repairs.bias import channel_means, corrected
from tinygen.compress.statistics import Statistics, gather
from tinygen.ir.types import Quant
from tinygen.numerics import Array
from tinygen.progress import Progress, no_progress

Project = Callable[[Array], Array]

#: Scales that are tried, as shares of the one at which the largest weight is the largest integer.
_SHARES = np.linspace(0.4, 1.0, 25)
#: Sweeps of coordinate descent over all columns, at most.
_SWEEPS = 8


def learned_rounding(
    network: Network,
    samples: Samples,
    *,
    layers_: Collection[str] | None = None,
    log: list[LayerChange] | None = None,
    progress: Progress = no_progress,
) -> Network:
    """The network with weights on the grids of their forms (int8 without one), their scales pinned, and biases that
    take back what is left of the mean error.

    `layers_`: node names, None for all. Scales that are pinned already are kept. What a layer reads is gathered behind
    layers whose weights are rounded.
    """
    graph = separated(network.graph)
    network = Network(graph, network.forms, network.wide)
    names = [n.name for n in layers(graph) if layers_ is None or n.name in layers_]
    before = {n.name: graph.tensors[n.inputs[1]].array for n in with_weights(graph)}
    plain = corrected(pin_all_weights(network), before, channel_means(graph, to_tensors(graph, samples.inputs)))
    seen = gather(plain, samples, names, progress)
    values: dict[str, tuple[Array, Array, Quant | None]] = {}
    for i, node in enumerate(n for n in layers(graph) if n.name in names):
        t = weights(graph, node)
        form, s = network.form(node.name), seen[node.name]
        given = None if t.quant is None else np.asarray(t.quant.scale, np.float64)
        q, scale = round_weights(t.array, form, s, given)
        new = q * scale.reshape(-1, *[1] * (q.ndim - 1))
        bias = graph.tensors[node.inputs[2]].array.astype(np.float64)
        bias = bias + s.bias_shift(t.array, new)
        values[node.name] = new, bias, Quant(tuple(float(v) for v in scale), 0, 0)
        if log is not None:
            nearest, old = snap(t.array, form, given)
            error = s.relative_error(t.array, nearest * old.reshape(-1, *[1] * (q.ndim - 1)))
            left = s.relative_error(t.array, new)
            text = f"output error {error:.2e} -> {left:.2e}"
            log.append(LayerChange(node.name, "round", text, t.size, t.size, left))
        progress("rounding", i + 1, len(names))
    return Network(set_weights(graph, values), network.forms, network.wide)


def round_weights(
    w: Array, form: WeightForm, statistics: Statistics, scale: Array | None = None
) -> tuple[Array, Array]:
    """Integers (int8, of w's shape) in `form` and float32 scales (O,), both chosen by the loss; `scale`: given."""
    c = statistics.estimate()
    split = statistics.split(w)
    mask = np.ones(split.shape, bool) if form.mask is None else form.mask.array.reshape(split.shape)
    project = _projection(form)
    split = np.where(mask, split, 0.0)
    if scale is None:
        scales = _best_scales(split, np.einsum("gkk->gk", c), mask, form, project)
    else:
        scales = scale.reshape(split.shape[:2])
    scales = scales.astype(np.float32).astype(np.float64)
    parts = []
    for cg, wg, sg, mg in zip(c, split, scales, mask, strict=True):
        nearest = np.where(mg, project(wg / sg[:, None]), 0.0)
        candidates = [_descend(q, wg, sg, cg, mg, project) for q in (nearest, _feed_back(wg, sg, cg, mg, project))]
        losses = np.stack([_loss(q, wg, sg, cg) for q in candidates])
        best = np.argmin(losses, axis=0)
        parts.append(np.stack(candidates)[best, np.arange(len(wg))])
    return np.stack(parts).reshape(w.shape).astype(np.int8), scales.reshape(-1)


def _projection(form: WeightForm) -> Project:
    """The nearest integers that the form allows."""
    if form.codebook is None:
        top = float(form.top)
        return lambda x: np.asarray(np.clip(np.rint(x), -top, top))
    book = np.asarray(form.codebook, np.float64)
    borders = (book[1:] + book[:-1]) / 2.0
    return lambda x: np.asarray(book[np.searchsorted(borders, x)])


def _best_scales(w: Array, weight: Array, mask: Array, form: WeightForm, project: Project) -> Array:
    """(groups, O): of the scales tried the one with the least squared error, each column with its power."""
    largest = np.abs(w).max(axis=2)
    full = np.where(largest > 0.0, largest / form.top, 1.0)
    best, found = np.full(full.shape, np.inf), full
    for share in _SHARES[::-1]:
        s = full * share
        off = w - s[:, :, None] * np.where(mask, project(w / s[:, :, None]), 0.0)
        error = np.einsum("gok,gk->go", off * off, weight)
        found = np.where(error < best, s, found)
        best = np.minimum(best, error)
    return np.asarray(found)


def _loss(q: Array, w: Array, s: Array, c: Array) -> Array:
    """(O,): power of the change of the outputs."""
    d = w - q * s[:, None]
    return np.asarray(np.einsum("ok,ok->o", d @ c, d))


def _feed_back(w: Array, s: Array, c: Array, mask: Array, project: Project) -> Array:
    """GPTQ: columns in the order of their power; the error of each goes to the best of those still free.

    With C^-1 = U^T U, U upper triangular, the best change of the columns after j for an error e in column j is
    -e U[j, j+1:] / U[j, j].
    """
    order = np.argsort(-np.diagonal(c), kind="stable")
    u = np.linalg.cholesky(np.linalg.inv(c[np.ix_(order, order)])).T
    left = w[:, order].copy()
    q = np.zeros_like(left)
    for j in range(left.shape[1]):
        q[:, j] = np.where(mask[:, order[j]], project(left[:, j] / s), 0.0)
        error = (left[:, j] - q[:, j] * s) / u[j, j]
        left[:, j + 1 :] -= error[:, None] * u[j, j + 1 :]
    result = np.empty_like(q)
    result[:, order] = q
    return result


def _descend(q: Array, w: Array, s: Array, c: Array, mask: Array, project: Project) -> Array:
    """Coordinate descent: every weight in turn to the best of its integers, the others fixed, until none moves."""
    q = q.copy()
    rest = (w - q * s[:, None]) @ c  # half the gradient with respect to the change
    diagonal = np.diagonal(c)
    for _ in range(_SWEEPS):
        moved = False
        for j in range(q.shape[1]):
            best = np.where(mask[:, j], project(q[:, j] + rest[:, j] / (diagonal[j] * s)), 0.0)
            step = best - q[:, j]
            rows = np.flatnonzero(step)
            if len(rows):
                moved = True
                q[rows, j] = best[rows]
                rest[rows] -= (step[rows] * s[rows])[:, None] * c[j]
        if not moved:
            break
    return q
