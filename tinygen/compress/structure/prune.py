"""Structured pruning: channels that matter least are cut out of every tensor they are tied to.

What a channel is worth is what the layers that read it lose without it. With w the weights of such a layer that read
the channel and C the covariance of its inputs, removing them and fitting the others again takes
tr(w ((C^-1)_cc)^-1 w^T) from the power of its output (Optimal Brain Surgeon by blocks: Hassibi and Stork 1993; layer by
layer as in Frantar and Alistarh 2022). Channels go one after the other, the least loss for the multiply-accumulates
saved first, and each time the layers that read them are fitted again: no gradient and no training is needed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tinygen.calibrate.data import Samples
from tinygen.calibrate.graph import run_float
from tinygen.calibrate.metrics import accuracy, sqnr_db
from tinygen.compress.change import set_constants
from tinygen.compress.checks import share, within
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, WeightForm, is_layer
from tinygen.compress.refit.reconstruct import reconstruct
from tinygen.compress.statistics import Statistics, gather_rows
from tinygen.compress.structure.channel_groups import (
    MEASURES,
    Group,
    Pruning,
    Reader,
    channel_groups,
    layer_costs,
)
from tinygen.compress.structure.products import products
from tinygen.compress.technique import Option, Own, Suggest, Technique, Trial, Work
from tinygen.errors import DataError, ModelError, RecipeError
from tinygen.ir.types import Const, Graph, Quant
from tinygen.numerics import Array
from tinygen.ops.access import width
from tinygen.ops.weighted import Weighted
from tinygen.passes.channels import Channels, constant_masks, couple, keep
from tinygen.progress import Progress, no_progress

CRITERIA = ("activation", "magnitude")


@dataclass(frozen=True, slots=True)
class Prune:
    """Channels removed: `amount` is the share of `measure` that goes, in `steps` with fine-tuning between. The
    criterion "taylor" asks gradients of the training's loss."""

    amount: float = 0.5
    measure: Literal["macs", "weights", "channels"] = "macs"
    criterion: Literal["activation", "magnitude", "taylor"] = "activation"
    steps: int = 1

    def __post_init__(self) -> None:
        share("prune.amount", self.amount)
        within("prune.steps", self.steps, 1, 100)

    def describe(self) -> str:
        return f"prune {self.amount:g}" + (f" in {self.steps}" if self.steps > 1 else "")


def prune(
    network: Network,
    samples: Samples,
    *,
    amount: float = 0.5,
    criterion: str = "activation",
    measure: str = "macs",
    scores: Mapping[str, Array] | None = None,
    layers: Collection[str] | None = None,
    least: float = 0.125,
    multiple: int = 4,
    refit: bool = True,
    log: list[LayerChange] | None = None,
    progress: Progress = no_progress,
    statistics: Mapping[str, Statistics] | None = None,
) -> Network:
    """A physically smaller network: channels are removed until the `amount` (0 <= amount < 1) of `measure` is gone.

    `criterion`: "activation", what the readers of a channel lose (see above); "magnitude", the L2 norms of the filters
    that write it, relative to the layer's mean (Li et al. 2017); with `scores` (tensor name to one value for each
    channel, such as `tinygen.compress.train.taylor_scores`; higher is worth more) those decide, summed over the
    tensors that a channel goes through and relative to what its group has left.
    `layers`: names of layers whose outputs may go, with all they are tied to; `amount` then counts in them alone.
    `least`: share of a layer's channels that stays, `multiple`: channels go so many at a time, which kernels like.
    `refit`: the readers are fitted again, weights and bias; without it they only lose the channels.
    Layers with a codebook or a mask are not fitted again; masks are cut with their weights. Pins of weights go where
    weights change. ModelError where so much cannot go.
    """
    _check(amount, criterion, measure, least, multiple)
    graph = network.graph
    channels = couple(graph)
    found = _named(graph, channel_groups(graph, channels), layers)
    made = products(graph)
    scope = [p.name for p in made if layers is None or p.node.name in layers]
    costs = layer_costs(graph, measure)
    whole = sum(costs[n].total for n in scope)
    statistics = statistics or _gather(graph, samples, found, progress)
    readers = {
        p.name: Reader(p.matrix(graph), statistics[p.name], refit=refit and _may_change(network, p.name))
        for p in made
        if p.name in statistics and any(p.name in g.reads for g in found)
    }
    fixed = _fixed_scores(graph, channels, criterion, scores)
    state = Pruning(graph, channels, found, dict(costs), readers, np.ones(len(channels.pinned), bool), fixed)
    _remove(state, amount * whole, whole, scope, least, multiple, measure, progress)
    pruned = _cut(network, state)
    if refit and not state.kept.all():
        pruned = _reconstruct(network, pruned, state, samples, progress)
    if log is not None:
        log += _changes(state, pruned)
    return pruned


def _check(amount: float, criterion: str, measure: str, least: float, multiple: int) -> None:
    if not 0.0 <= amount < 1.0:
        raise ValueError(f"prune: amount {amount}; allowed is 0 <= amount < 1")
    for word, allowed in ((criterion, CRITERIA), (measure, MEASURES)):
        if word not in allowed:
            raise ValueError(f'prune: "{word}"; allowed is one of {", ".join(allowed)}')
    if not 0.0 <= least <= 1.0 or multiple < 1:
        raise ValueError(f"prune: least {least}, multiple {multiple}; allowed is 0 to 1, and 1 or more")


def _named(graph: Graph, found: tuple[Group, ...], names: Collection[str] | None) -> tuple[Group, ...]:
    known = list(dict.fromkeys(p.node.name for p in products(graph)))
    for name in names or ():
        if name not in known:
            raise ModelError(f'prune: no layer "{name}" with weights; found {", ".join(known) or "none"}.')
    return tuple(g for g in found if names is None or any(n in names for n in g.layers))


def _gather(graph: Graph, samples: Samples, found: tuple[Group, ...], progress: Progress) -> dict[str, Statistics]:
    names = {name for g in found for name in g.reads}
    wanted = [
        p for p in products(graph) if p.name in names and (is_layer(p.node) or not isinstance(p.node.op, Weighted))
    ]
    return gather_rows(graph, samples, wanted, progress) if wanted else {}


def _may_change(network: Network, name: str) -> bool:
    form = network.form(name)
    return form.codebook is None and form.mask is None


def _fixed_scores(graph: Graph, channels: Channels, criterion: str, scores: Mapping[str, Array] | None) -> Array | None:
    """Scores by class; None where the readers decide."""
    if criterion == "activation" and scores is None:
        return None
    total = np.zeros(len(channels.pinned))
    if scores is not None:
        for name, values in scores.items():
            if name not in channels.classes or len(values) != len(channels.classes[name]):
                raise DataError(f'prune: scores of "{name}" {np.shape(values)} fit no tensor of the network')
            np.add.at(total, channels.classes[name], np.asarray(values, np.float64))
    else:
        for p in products(graph):
            w = p.matrix(graph).astype(np.float64)
            norms = np.sqrt(np.square(w).reshape(len(w), -1).sum(axis=1))
            np.add.at(total, p.classes(channels)[1], norms / max(float(norms.mean()), 1e-30))
    return total


def _remove(
    state: Pruning,
    wanted: float,
    whole: int,
    scope: Collection[str],
    least: float,
    multiple: int,
    measure: str,
    progress: Progress,
) -> None:
    """Bundles of channels go, least worth for their cost first, until `wanted` is saved."""
    widths = [len(g.classes) for g in state.groups]
    steps = [max(1, multiple // state.channels_of(g)) for g in state.groups]
    floors = [min(n, max(int(np.ceil(least * n)), min(m, n))) for n, m in zip(widths, steps, strict=True)]
    saved = 0
    known = [state.losses(g) for g in state.groups]
    while saved < wanted:
        best: tuple[float, int, int] | None = None
        for i, group in enumerate(state.groups):
            bundle = (widths[i] % steps[i]) or steps[i]
            gain = state.saved(group, bundle, scope) if widths[i] - bundle >= floors[i] else 0
            if gain > 0:
                price = float(np.sort(known[i][1])[:bundle].sum()) / gain
                if best is None or price < best[0]:
                    best = price, i, bundle
        if best is None:
            found, asked = (100 * v / max(whole, 1) for v in (saved, wanted))
            raise ModelError(
                f"prune: {found:.0f} % of {measure} can go and {asked:.0f} % were asked for: every layer keeps "
                f"{least:g} of its channels, at least {multiple}, and outputs all of theirs. Ask for less, or lower "
                "least in [prune]."
            )
        _, i, bundle = best
        group = state.groups[i]
        for _ in range(bundle):
            alive, losses = state.losses(group)
            saved += state.saved(group, 1, scope)
            state.remove(group, int(alive[int(np.argmin(losses))]))
        widths[i] -= bundle
        touched = {*group.reads, *group.writes}
        for j, other in enumerate(state.groups):
            if j == i or touched.intersection(other.reads):
                known[j] = state.losses(other)
        progress("pruning", min(saved, int(wanted)), max(int(wanted), 1))


def _cut(network: Network, state: Pruning) -> Network:
    graph, masks = state.graph, state.channels.masks(state.kept)
    changed: dict[str, dict[int, tuple[Array, Quant | None]]] = {}
    for p in state.products.values():
        reader = state.readers.get(p.name)
        if reader is not None and reader.refit and reader.changed:
            own = changed.setdefault(p.node.name, {})
            for i, array in p.refitted(graph, reader.weights, reader.statistics, {i: a for i, (a, _) in own.items()}):
                own[i] = (array, None)
    forms: dict[str, WeightForm] = {}
    for name, form in network.forms.items():
        if form.mask is not None:
            node = next(n for n in graph.nodes if n.name == name)
            array = form.mask.array
            for axis, mask in constant_masks(graph, node, masks)[1].items():
                array = np.compress(mask, array, axis)
            form = replace(form, mask=Const(array))
        forms[name] = form
    return replace(network, graph=keep(set_constants(graph, changed), masks), forms=forms)


def _reconstruct(network: Network, pruned: Network, state: Pruning, samples: Samples, progress: Progress) -> Network:
    """Every layer that reads other values than before fitted to what it gave."""
    masks = state.channels.masks(state.kept)
    moved = {name for name, mask in masks.items() if not mask.all()}
    names: dict[str, Array] = {}
    for node in network.graph.nodes:
        if moved.intersection(node.inputs):
            moved.update(node.outputs)
            if is_layer(node) and _may_change(network, node.name):
                names[node.name] = masks[node.outputs[0]]
    return replace(pruned, graph=reconstruct(pruned.graph, network.graph, names, samples, progress))


def _changes(state: Pruning, pruned: Network) -> list[LayerChange]:
    """One row for each layer whose size changed."""
    rows = []
    after = _sizes(pruned.graph)
    for name, before in _sizes(state.graph).items():
        p = state.products[name]
        y = state.channels.classes[p.node.outputs[0]]
        if after[name] != before:
            kept = int(state.kept[y].sum())
            text = f"{kept} of {len(y)} {'channels' if isinstance(p.node.op, Weighted) else 'units'} kept"
            reader = state.readers.get(name)
            error = 0.0
            if reader is not None:
                rows_kept = state.kept[p.classes(state.channels)[1]].reshape((-1,) + (1,) * (reader.before.ndim - 1))
                error = reader.statistics.relative_error(reader.before * rows_kept, reader.weights * rows_kept)
            rows.append(LayerChange(name, "prune", text, before, after[name], error))
    return rows


def _sizes(graph: Graph) -> dict[str, int]:
    """Weights of each layer."""
    found: dict[str, int] = {}
    for p in products(graph):
        found[p.node.name] = found.get(p.node.name, 0) + p.matrix(graph).size
    return found


# -- sensitivity -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """One group of tied layers pruned alone: `fraction` of its channels gone saves `saved` of the network's measure;
    SQNR of the outputs in dB, and accuracy where there are labels."""

    layers: tuple[str, ...]
    fraction: float
    kept: int
    saved: float
    sqnr_db: float
    accuracy: float | None


def sensitivity(
    network: Network,
    samples: Samples,
    *,
    fractions: Collection[float] = (0.25, 0.5, 0.75),
    criterion: str = "activation",
    measure: str = "macs",
    limit: int = 200,
    progress: Progress = no_progress,
) -> list[Sensitivity]:
    """How much the outputs suffer when one group of tied layers is pruned alone, for every group and fraction; judged
    in float on the first `limit` samples."""
    graph = network.graph
    found = channel_groups(graph, couple(graph))
    few = replace(samples, inputs=tuple(x[:limit] for x in samples.inputs))
    labels = None if samples.labels is None else samples.labels[:limit]
    statistics = _gather(graph, few, found, progress)
    reference = run_float(graph, few.inputs)
    whole = sum(c.total for c in layer_costs(graph, measure).values())
    rows = []
    for i, group in enumerate(found):
        first = next(n for n in graph.nodes if n.name == group.layers[0])
        each, every = group.writes[first.name], layer_costs(graph, "channels")[first.name].total
        for fraction in fractions:
            gone = int(fraction * len(group.classes)) * each
            if gone == 0:
                continue
            pruned = prune(
                network, few, amount=(gone - 0.5) / every, criterion=criterion,
                measure="channels", layers=[first.name], least=0.0, multiple=1, statistics=statistics,
            )  # fmt: skip
            outs = run_float(pruned.graph, few.inputs)
            left = sum(c.total for c in layer_costs(pruned.graph, measure).values())
            y = pruned.graph.outs(next(n for n in pruned.graph.nodes if n.name == first.name))[0]
            right = None
            if labels is not None and labels.ndim == 1 and outs[0][0].size > 1:
                right = accuracy(outs[0], labels)
            quality = sqnr_db(np.concatenate([a.reshape(len(a), -1) for a in reference], axis=1),
                              np.concatenate([a.reshape(len(a), -1) for a in outs], axis=1))  # fmt: skip
            rows.append(Sensitivity(group.layers, fraction, width(y), 1.0 - left / whole, quality, right))
        progress("sensitivity", i + 1, len(found))
    return rows


# -- the technique ---------------------------------------------------------------------------------------------------


def _requires(settings: Prune, used: Collection[str]) -> None:
    if "training" in used:
        return
    if settings.criterion == "taylor":
        raise RecipeError(
            'prune.criterion: found "taylor" without training, whose loss it asks. Add a [training] section '
            "(`epochs=N`), or take activation or magnitude."
        )
    if settings.steps > 1:
        raise RecipeError(
            f"prune.steps: found {settings.steps} without training; allowed is 1, as there is nothing to do "
            "between the steps. Add a [training] section (`epochs=N`)."
        )


def _apply(work: Work, network: Network, settings: Prune | None) -> Network:
    if settings is None:
        return network
    steps = settings.steps
    # What goes in each step is a share of what is left.
    amount = 1.0 - (1.0 - settings.amount) ** (1.0 / steps)
    skipped = work.of_layers(network.graph, "prune")
    for step in range(steps):
        scores = None
        if settings.criterion == "taylor":
            from tinygen.compress.train import taylor_scores

            assert work.training is not None  # _requires sees to it
            scores = taylor_scores(network, work.original, work.few, work.training, progress=work.progress)
        network = prune(
            network,
            work.few,
            amount=amount,
            criterion="activation" if settings.criterion == "taylor" else settings.criterion,
            measure=settings.measure,
            scores=scores,
            layers=[p.node.name for p in products(network.graph) if p.node.name not in skipped] if skipped else None,
            log=work.log,
            progress=work.progress,
        )
        if step + 1 < steps:
            assert work.training is not None
            epochs = max(1, work.training.epochs // steps)
            network = work.train(network, f"prune{step + 1}", quantise=False, epochs=epochs)
    return network


def _draw(trial: Trial) -> Prune | None:
    amount = trial.suggest_float("prune", 0.0, 0.9, step=0.1)
    return Prune(round(amount, 2)) if amount > 0.0 else None


TECHNIQUE = Technique(
    "prune",
    Prune,
    "structure",
    _apply,
    options=(
        Option("--prune", float, "Share of the MACs to remove with whole channels.", "amount"),
        Option("--prune-steps", int, "Prune in so many steps, with fine-tuning between.", "steps"),
    ),
    own=Own(Literal[False]),
    requires=_requires,
    suggest=Suggest(
        _draw,
        off={"prune": 0.0},
        start={"prune": 0.5},
        turn=2,
        with_form=True,
        without=("student",),  # which is pruned already
    ),
)
