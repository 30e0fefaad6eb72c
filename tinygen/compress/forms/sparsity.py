"""Zeros among the weights: unstructured, N:M or in blocks of four, chosen by what the data says, made up for.

After the zeros are chosen the remaining weights of each output are fitted again: those that give the least power of
the output's change, D C D^T, are the solution of a linear system (Optimal Brain Surgeon: Hassibi and Stork 1993; layer
by layer as in Frantar and Alistarh, "Optimal Brain Compression", 2022).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from tinygen.calibrate.data import Samples
from tinygen.calibrate.graph import float_model, to_tensors
from tinygen.calibrate.metrics import sqnr_db
from tinygen.compress.change import choose_layers, set_weights
from tinygen.compress.checks import share
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, weights
from tinygen.compress.statistics import Statistics, gather
from tinygen.compress.technique import Option, Own, Suggest, Technique, Trial, Work
from tinygen.errors import ModelError
from tinygen.ir.types import Const, Node
from tinygen.numerics import Array
from tinygen.progress import Progress, no_progress

Pattern = Literal["unstructured", "2:4", "1:4", "block4"]
Criterion = Literal["magnitude", "activation", "obs"]
Distribution = Literal["uniform", "global"]

#: Weights of a group of four, along the innermost axis, that stay.
_KEPT_OF_FOUR = {"2:4": 2, "1:4": 1}
#: `distribution="global"` takes at most this share of a layer: a layer that is cut off cannot be fine-tuned back.
_MOST = 0.98
#: The conjugate gradients stop at this share of the first residual (before the last round: at the second), or after so
#: many steps.
_TOLERANCE, _ROUGHLY, _STEPS = 1e-5, 1e-2, 100


@dataclass(frozen=True, slots=True)
class Sparsity:
    """Zeros among the weights: `amount` of them; "2:4" and "1:4" say themselves how many."""

    amount: float = 0.5
    pattern: Pattern = "unstructured"
    criterion: Criterion = "activation"
    distribution: Distribution = "global"

    def __post_init__(self) -> None:
        share("sparsity.amount", self.amount)

    def describe(self) -> str:
        return self.pattern if self.pattern in _KEPT_OF_FOUR else f"sparsity {self.amount:g} {self.pattern}"


def sparsify(
    network: Network,
    samples: Samples,
    *,
    amount: float = 0.5,
    pattern: Pattern = "unstructured",
    criterion: Criterion = "activation",
    distribution: Distribution = "global",
    rounds: int = 8,
    refit: bool = True,
    layers: Collection[str] | None = None,
    log: list[LayerChange] | None = None,
    progress: Progress = no_progress,
    statistics: Mapping[str, Statistics] | None = None,
) -> Network:
    """Zeros in the weights of the layers, and masks (`WeightForm.mask`) that say where; weights that are zero by a
    mask already stay so and count.

    `amount`: share of zeros, 0 <= amount < 1, for "unstructured" and "block4" (four weights in a row along the
    innermost axis, the one kernels read along); "2:4" and "1:4" keep two or one of every such four.
    `criterion`: what a weight is worth. "magnitude": w^2; "activation": w^2 times the variance of its input, the power
    its loss takes from the output (Wanda: Sun et al. 2023); "obs": w^2 / (C^-1)_jj, the power lost once the others make
    up for it. `distribution`: the same share in every layer, or the worth (relative to the layer's output) compared
    over all layers. `rounds`: the zeros are chosen in so many steps, with `refit` of the others between.
    `statistics`: of `gather`, where the caller has them already.
    ValueError for an amount or a word out of range; ModelError for a layer with a codebook (sparsify before cluster).
    """
    _check(amount, pattern, criterion, distribution, rounds)
    graph = network.graph

    def why_not(node: Node) -> str | None:
        if network.form(node.name).codebook is not None:
            raise ModelError(
                f'sparsify: layer "{node.name}" (ONNX {", ".join(node.origin)}) has a codebook already, which moving '
                "its weights would leave. Sparsify first, then cluster."
            )
        inner = weights(graph, node).shape[-1]
        if pattern != "unstructured" and inner % 4:
            return f"{inner} weights along the innermost axis, not a multiple of 4, which {pattern} needs"
        return None

    nodes = choose_layers(network, layers, "sparsify", why_not, log)
    if statistics is None:
        statistics = gather(graph, samples, [n.name for n in nodes], progress)
    work = []
    for node in nodes:
        form, stats = network.form(node.name), statistics[node.name]
        w = weights(graph, node).array.astype(np.float64)
        mask = np.ones(w.shape, bool) if form.mask is None else form.mask.array
        work.append(_Layer(node, stats, stats.estimate(), w, w.copy(), mask))
    if pattern in _KEPT_OF_FOUR:
        rounds = min(rounds, 4 - _KEPT_OF_FOUR[pattern])
    for i in range(rounds):
        # Cubic, as in Zhu and Gupta 2017: many at first, when there is plenty, few at the end, when it hurts.
        share = amount * (1.0 - (1.0 - (i + 1) / rounds) ** 3)
        _choose(work, share, i, rounds, pattern, criterion, distribution)
        for k, layer in enumerate(work):
            tolerance = _TOLERANCE if i == rounds - 1 else _ROUGHLY
            layer.now = _refitted(layer, tolerance) if refit else np.where(layer.mask, layer.now, 0.0)
            progress("sparsify", i * len(work) + k + 1, rounds * len(work))
    values, forms = {}, {}
    for layer in work:
        old, new = weights(graph, layer.node), layer.now.astype(np.float32)
        bias = graph.tensors[layer.node.inputs[2]].array.astype(np.float64)
        bias = bias + layer.statistics.bias_shift(old.array, new)
        values[layer.node.name] = new, bias, None
        forms[layer.node.name] = replace(network.form(layer.node.name), mask=Const(layer.mask))
        if log is not None:
            kept = int(layer.mask.sum())
            error = layer.statistics.relative_error(old.array, new)
            text = f"{pattern}: {100 * (1 - kept / old.size):.1f} % zeros"
            log.append(LayerChange(layer.node.name, "sparsify", text, old.size, kept, error))
    return replace(network, graph=set_weights(graph, values)).with_forms(forms)


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What zeros in one layer alone do to the network: SQNR (dB) of all its outputs against the network as it was."""

    layer: str
    amount: float
    sqnr_db: float


def sensitivity(
    network: Network,
    samples: Samples,
    *,
    amounts: Collection[float] = (0.5, 0.75, 0.9),
    pattern: Pattern = "unstructured",
    criterion: Criterion = "activation",
    layers: Collection[str] | None = None,
    runs: int = 64,
    progress: Progress = no_progress,
) -> tuple[Sensitivity, ...]:
    """Each layer made sparse alone, by each amount (an N:M pattern: once), and the network run on the first `runs`
    samples."""
    graph = network.graph
    statistics = gather(graph, samples, layers, progress)
    names: list[LayerChange] = []
    sparsify(network, samples, amount=0.0, pattern=pattern, layers=layers, rounds=1, refit=False, log=names,
             statistics=statistics)  # fmt: skip
    able = [row.layer for row in names if not row.text.startswith("left alone")]
    feeds = to_tensors(graph, [x[:runs] for x in samples.inputs])
    reference = float_model(graph).run_many(feeds)
    steps = sorted({1.0 - _KEPT_OF_FOUR[pattern] / 4}) if pattern in _KEPT_OF_FOUR else sorted(set(amounts))
    rows = []
    for i, name in enumerate(able):
        for amount in steps:
            tried = sparsify(
                network, samples, amount=amount, pattern=pattern, criterion=criterion, layers=[name],
                statistics=statistics,
            )  # fmt: skip
            found = float_model(tried.graph).run_many(feeds)
            a, b = (np.concatenate([y.ravel() for y in outputs]) for outputs in (reference, found))
            rows.append(Sensitivity(name, amount, sqnr_db(a, b)))
        progress("sensitivity", i + 1, len(able))
    return tuple(rows)


def _check(amount: float, pattern: str, criterion: str, distribution: str, rounds: int) -> None:
    if not 0.0 <= amount < 1.0:
        raise ValueError(f"sparsify: amount is the share of zeros: found {amount}, allowed 0 <= amount < 1")
    if rounds < 1:
        raise ValueError(f"sparsify: found {rounds} rounds, allowed 1 or more")
    for what, found, allowed in (
        ("pattern", pattern, get_args(Pattern)),
        ("criterion", criterion, get_args(Criterion)),
        ("distribution", distribution, get_args(Distribution)),
    ):
        if found not in allowed:
            raise ValueError(f'sparsify: no {what} "{found}"; allowed: {", ".join(allowed)}')


@dataclass(slots=True, eq=False)
class _Layer:
    """A layer at work: weights as they were and are, all in the shape of the weights; `c` is the covariance."""

    node: Node
    statistics: Statistics
    c: Array
    before: Array
    now: Array
    mask: Array


def _worth(layer: _Layer, criterion: Criterion) -> Array:
    """Of every weight, in the shape of the weights; 0 where the mask has a zero."""
    s = layer.statistics
    squares = s.split(layer.now) ** 2
    if criterion == "activation":
        squares = squares * np.einsum("gkk->gk", layer.c)[:, None, :]
    elif criterion == "obs":
        squares = squares / np.stack([np.diagonal(np.linalg.inv(c)) for c in layer.c])[:, None, :]
    return np.where(layer.mask, squares.reshape(layer.now.shape), 0.0)


def _choose(
    work: list[_Layer], share: float, step: int, steps: int, pattern: Pattern, criterion: Criterion,
    distribution: Distribution,
) -> None:  # fmt: skip
    """Masks with `share` of zeros (N:M patterns: one more zero in every four for each of the steps)."""
    if pattern in _KEPT_OF_FOUR:
        kept = 4 - (4 - _KEPT_OF_FOUR[pattern]) * (step + 1) // steps
        for layer in work:
            fours = _worth(layer, criterion).reshape(-1, 4)
            order = np.argsort(-fours, axis=1, kind="stable")
            best = np.zeros(fours.shape, bool)
            np.put_along_axis(best, order[:, :kept], True, axis=1)
            layer.mask = layer.mask & best.reshape(layer.mask.shape)
        return
    unit = 4 if pattern == "block4" else 1
    worth = [_worth(layer, criterion).reshape(-1, unit).sum(axis=1) for layer in work]
    drops = [int(share * len(v)) for v in worth]
    if distribution == "global":
        drops = _global_drops(work, worth, share)
    for layer, value, drop in zip(work, worth, drops, strict=True):
        keep = np.ones(len(value), bool)
        keep[np.argsort(value, kind="stable")[:drop]] = False
        layer.mask = layer.mask & np.repeat(keep, unit).reshape(layer.mask.shape)


def _global_drops(work: list[_Layer], worth: list[Array], share: float) -> list[int]:
    """How many units each layer loses when the worthless of all layers go first."""
    relative = [
        v / max(float(layer.statistics.output_power(layer.before).sum()), 1e-30)
        for layer, v in zip(work, worth, strict=True)
    ]
    # What a layer must keep does not compete.
    least = [np.sort(v, kind="stable")[: int(_MOST * len(v))] for v in relative]
    owner = np.repeat(np.arange(len(work)), [len(v) for v in least])
    order = np.argsort(np.concatenate(least), kind="stable") if least else np.zeros(0, np.int64)
    gone = order[: int(share * sum(len(v) for v in worth))]
    return [int(n) for n in np.bincount(owner[gone], minlength=len(work))]


def _refitted(layer: _Layer, tolerance: float) -> Array:
    """The weights under the layer's mask that change its outputs least."""
    s = layer.statistics
    mask = layer.mask.reshape(s.split(layer.before).shape)
    groups = zip(layer.c, s.split(layer.before), s.split(layer.now), mask, strict=True)
    return np.stack([fit_masked(c, w, v, m, tolerance) for c, w, v, m in groups]).reshape(layer.before.shape)


def fit_masked(c: Array, w: Array, start: Array, mask: Array, tolerance: float = _TOLERANCE) -> Array:
    """The v (O, K), 0 where the mask is False, with the least (v - w) c (v - w)^T: for each output, with the kept set
    S, the solution of c_SS v_S = (c w)_S.

    Conjugate gradients on all outputs at once, with the diagonal of c as preconditioner: a step is one product with c.
    """
    diagonal = np.diagonal(c)
    v = np.where(mask, start, 0.0)
    r = np.where(mask, (w - v) @ c, 0.0)
    z = r / diagonal
    p, rz = z, (r * z).sum(axis=1)
    stop = tolerance**2 * np.maximum(rz, 1e-300)
    for _ in range(_STEPS):
        if np.all(rz <= stop):
            break
        q = np.where(mask, p @ c, 0.0)
        pq = (p * q).sum(axis=1)
        step = np.where(rz > stop, rz / np.where(pq > 0.0, pq, 1.0), 0.0)[:, None]
        v = v + step * p
        r = r - step * q
        z = r / diagonal
        after = (r * z).sum(axis=1)
        p = z + (after / np.maximum(rz, 1e-300))[:, None] * p
        rz = after
    return np.asarray(v)


# -- the technique ---------------------------------------------------------------------------------------------------


def _apply(work: Work, network: Network, settings: Sparsity | None) -> Network:
    how: dict[str, Any] = {}
    if settings is not None:
        how = {name: getattr(settings, name) for name in ("pattern", "criterion", "distribution")}
    for value, names in work.groups(network.graph, "sparsity", None if settings is None else settings.amount):
        network = sparsify(network, work.few, amount=value, **how, layers=names, log=work.log, progress=work.progress)
    return network


def _draw(trial: Trial) -> Sparsity | None:
    pattern = trial.suggest_categorical("pattern", ("dense", *get_args(Pattern)))
    if pattern == "dense":
        return None
    if pattern in _KEPT_OF_FOUR:
        return Sparsity(pattern=pattern)
    return Sparsity(round(trial.suggest_float("sparsity", 0.5, 0.95, step=0.05), 2), pattern)


TECHNIQUE = Technique(
    "sparsity",
    Sparsity,
    "forms",
    _apply,
    options=(
        Option("--sparsity", float, "Share of the weights to make zero.", "amount"),
        Option("--pattern", str, "Where zeros may lie: unstructured, 2:4, 1:4 or block4.", "pattern"),
    ),
    own=Own(float | Literal[False], share),
    suggest=Suggest(
        _draw,
        off={"pattern": "dense"},
        start={"pattern": "unstructured", "sparsity": 0.8},
        turn=5,
        with_form=True,
    ),
    catch_up=True,
)
