"""Layers in thinner parts: which layers, into what (`thinner.py`), and the new layers in the graph."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from tinygen.calibrate.data import Samples
from tinygen.compress.change import choose_layers
from tinygen.compress.checks import within
from tinygen.compress.log import LayerChange
from tinygen.compress.network import PLAIN, Network, weights
from tinygen.compress.network import layers as layers_of
from tinygen.compress.statistics import FULL_COLUMNS, Statistics, gather
from tinygen.compress.structure.apart import apart, together
from tinygen.compress.structure.thinner import (
    Counted,
    Method,
    Thick,
    Thinner,
    cost_of,
    factors,
    kernel_of,
    product,
    ways,
)
from tinygen.compress.technique import Option, Own, Suggest, Technique, Trial, Work
from tinygen.errors import ModelError, RecipeError
from tinygen.ir import invariants
from tinygen.ir.types import Graph, Node, Tensor
from tinygen.ops import Conv
from tinygen.ops.weighted import Weighted
from tinygen.passes.base import fresh, replace_nodes
from tinygen.progress import Progress, no_progress

#: Layers with fewer outputs are left alone unless named.
FEW_OUTPUTS = 16
#: Ranks that lose more than this share of their layer's output are not offered.
WORST = 0.5


@dataclass(frozen=True, slots=True)
class Rank:
    """Layers in thinner parts: `amount` is the share of the network's `measure` that goes; or `energy`, the share of
    every layer's output power that stays."""

    amount: float | None = None
    energy: float | None = None
    measure: Counted = "weights"
    method: Method | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        if (self.amount is None) == (self.energy is None):
            found = "both" if self.amount is not None else "neither"
            raise RecipeError(f"rank: found {found} of amount and energy; allowed is exactly one of them.")
        if self.amount is not None:
            within("rank.amount", self.amount, 0.01, 0.99)
        if self.energy is not None:
            _check_energy("rank.energy", self.energy)

    def describe(self) -> str:
        return f"rank {self.amount:g}" if self.amount is not None else f"rank energy {self.energy:g}"


def _check_energy(key: str, value: float) -> None:
    within(key, value, 0.01, 0.9999)


def factorise(
    network: Network,
    samples: Samples,
    *,
    amount: float | None = None,
    energy: float | None = None,
    budget: int | None = None,
    measure: Counted = "weights",
    largest: int | None = None,
    method: Method | Literal["auto"] = "auto",
    layers: Collection[str] | None = None,
    log: list[LayerChange] | None = None,
    progress: Progress = no_progress,
    statistics: Mapping[str, Statistics] | None = None,
) -> Network:
    """Layers replaced by two or three thinner ones: `<node>_in`, `_core`, `_out`; clamp and bias are the last's. Of a
    recurrent layer W: `<node>_x_in` stands in front of it, and W is the other part.

    Exactly one of: `energy`, the share of every layer's output power to keep, at the least cost (0 < energy < 1);
    `amount`, the share of the whole network's cost to remove (0 < amount < 1); `budget`, the cost of the whole network
    to reach. The latter two take, over all layers, what saves most for the error it adds. `measure` is the cost:
    weights, or MACs. No layer gets more weights or more MACs than it had, and no activation between its parts more than
    `largest` elements (bytes of RAM in int8; CP likes many channels). `method`: one for all convolutions that are
    wider than a pixel, or the best for each; dense and pointwise layers always become two ("lowrank").
    `statistics`: of `gather`, where the caller has them.
    ValueError for arguments out of range; ModelError for a budget that cannot be reached, and for a layer with a mask
    or a codebook (factorise first).
    """
    _check(amount, energy, budget, measure, method)
    graph, inner = apart(network.graph)
    network, rows = replace(network, graph=graph), log
    log = None if rows is None else []
    if layers is not None:
        layers = [next((d for d, r in inner.items() if r == name), name) for name in layers]
    whole = network

    def why_not(node: Node) -> str | None:
        return _why_not(whole, node, method, layers is None)

    nodes = choose_layers(network, layers, "factorise", why_not, log, inner.values())
    if statistics is None:
        statistics = gather(graph, samples, [n.name for n in nodes], progress)
    thicks, ladders = [], []
    for i, node in enumerate(nodes):
        thick = Thick(graph, node, statistics[node.name])
        thicks.append(thick)
        ladders.append(
            [
                o
                for o in ways(thick, method)
                if o.weights < thick.weights and o.macs < thick.macs and o.error <= WORST
                if largest is None or o.inner <= largest
            ]
        )
        progress("factorise", i + 1, len(nodes))
    if energy is not None:
        chosen = [_cheapest(ladder, 1.0 - energy, measure) for ladder in ladders]
    else:
        total = sum(cost_of(graph, n, measure) for n in layers_of(graph))
        limit = float(budget) if budget is not None else total * (1.0 - (amount or 0.0))
        chosen = _greedy([w.cost(measure) for w in thicks], ladders, measure, total, limit)
    forms = dict(network.forms)
    for thick, option, ladder in zip(thicks, chosen, ladders, strict=True):
        if option is None:
            if log is not None:
                why = "not needed" if ladder else "no rank that keeps half of its output saves weights and MACs"
                log.append(
                    LayerChange(thick.node.name, "factorise", f"left alone: {why}", thick.weights, thick.weights)
                )
            continue
        graph, names, error = _replace(graph, thick, option)
        forms |= dict.fromkeys(names, network.form(thick.node.name)) if network.form(thick.node.name) != PLAIN else {}
        if log is not None:
            ranks = "-".join(map(str, option.ranks))
            text = f"{option.method} {ranks}: {thick.macs} -> {option.macs} MACs, {option.inner} bytes between"
            log.append(LayerChange(thick.node.name, "factorise", text, thick.weights, option.weights, error))
    graph = together(graph, inner)
    invariants.check(graph, "factorise")
    if rows is not None and log is not None:
        rows += [replace(change, layer=inner.get(change.layer, change.layer)) for change in log]
    return Network(graph, forms, network.wide)


def _check(
    amount: float | None, energy: float | None, budget: int | None, measure: str, method: str
) -> None:  # fmt: skip
    if sum(v is not None for v in (amount, energy, budget)) != 1:
        raise ValueError("factorise: give exactly one of amount, energy and budget")
    for name, value in (("amount", amount), ("energy", energy)):
        if value is not None and not 0.0 < value < 1.0:
            raise ValueError(f"factorise: {name} is a share: found {value}, allowed 0 < {name} < 1")
    for name, found, allowed in (
        ("measure", measure, get_args(Counted)),
        ("method", method, ("auto", *get_args(Method))),
    ):
        if found not in allowed:
            raise ValueError(f'factorise: no {name} "{found}"; allowed: {", ".join(allowed)}')


def _why_not(network: Network, node: Node, method: str, by_default: bool) -> str | None:
    form = network.form(node.name)
    if form.mask is not None or form.codebook is not None:
        raise ModelError(
            f'factorise: layer "{node.name}" (ONNX {", ".join(node.origin)}) has a '
            f"{'codebook' if form.codebook else 'mask of zeros'} already. Factorise first."
        )
    if isinstance(node.op, Weighted) and node.op.groups > 1:
        return "its channels are in groups already"
    shape = weights(network.graph, node).shape
    if by_default and shape[0] < FEW_OUTPUTS:
        return f"only {shape[0]} outputs, too few to save much; name it in layers to have it anyway"
    columns = math.prod(shape[1:])
    if columns > FULL_COLUMNS:
        return f"{columns} weights for each output; at most {FULL_COLUMNS} can be looked at"
    if method == "spatial" and isinstance(node.op, Conv) and 1 in kernel_of(node.op) and max(kernel_of(node.op)) > 1:
        return "its window has one axis already"
    return None


# -- choice ----------------------------------------------------------------------------------------------------------


def _cheapest(ladder: list[Thinner], error: float, measure: Counted) -> Thinner | None:
    """Of the options within an error."""
    found = [o for o in ladder if o.error <= error]
    return min(found, key=lambda o: (o.cost(measure), o.error), default=None)


def _hull(cost: int, ladder: list[Thinner], measure: Counted) -> list[Thinner]:
    """Of a layer of that cost the options that save most for their error, each step worth less than the one before."""
    hull: list[Thinner] = []
    at, error = float(cost), 0.0
    while True:
        rest = [o for o in ladder if o.cost(measure) < at]
        if not rest:
            return hull
        best = max(rest, key=lambda o: ((at - o.cost(measure)) / max(o.error - error, 1e-12), -o.cost(measure)))
        hull.append(best)
        at, error = float(best.cost(measure)), max(error, best.error)


def _greedy(
    costs: list[int], ladders: list[list[Thinner]], measure: Counted, total: int, limit: float
) -> list[Thinner | None]:
    """An option, or none, for each layer, so that the network's cost falls to the limit."""
    hulls = [_hull(c, ladder, measure) for c, ladder in zip(costs, ladders, strict=True)]
    place = [0] * len(hulls)
    chosen: list[Thinner | None] = [None] * len(hulls)
    while total > limit:
        best, worth = -1, -1.0
        for i, hull in enumerate(hulls):
            if place[i] == len(hull):
                continue
            now = chosen[i]
            at, error = (costs[i], 0.0) if now is None else (now.cost(measure), now.error)
            gain = (at - hull[place[i]].cost(measure)) / max(hull[place[i]].error - error, 1e-12)
            if gain > worth:
                best, worth = i, gain
        if best < 0:
            raise ModelError(
                f"factorise: at most {int(limit)} {measure} asked for; the least that keeps half of every layer's "
                f"output is {total}. Ask for less, or prune first."
            )
        now = chosen[best]
        total -= (costs[best] if now is None else now.cost(measure)) - hulls[best][place[best]].cost(measure)
        chosen[best] = hulls[best][place[best]]
        place[best] += 1
    return chosen


# -- the new layers --------------------------------------------------------------------------------------------------


def _replace(graph: Graph, thick: Thick, option: Thinner) -> tuple[Graph, list[str], float]:
    """The graph with the parts in place of the layer, their names, and the error measured."""
    made = factors(thick, option)
    parts = thick.parts(option.method, option.ranks)
    whole = product(thick, option, made)
    old_bias = graph.tensors[thick.node.inputs[2]].array.astype(np.float64)
    bias = old_bias + thick.statistics.bias_shift(thick.array.reshape(thick.outs, -1), whole)
    nodes: list[Node] = []
    tensors: list[Tensor] = []
    at, shape = thick.node.inputs[0], thick.x_shape
    for part, factor in zip(parts, made, strict=True):
        last = part is parts[-1]
        name = fresh(graph, f"{thick.node.name}_{part.ending}")
        stem = fresh(graph, f"{thick.node.outputs[0]}_{part.ending}")
        w = Tensor.constant(fresh(graph, f"{stem}_w"), factor.reshape(part.shape).astype(np.float32))
        b = Tensor.constant(fresh(graph, f"{stem}_b"), (bias if last else np.zeros(len(factor))).astype(np.float32))
        (shape,) = part.op.infer(shape, w.shape, b.shape)
        out = thick.node.outputs[0] if last else stem
        op = replace(part.op, lo=thick.op.lo, hi=thick.op.hi) if last else part.op
        nodes.append(Node(name, op, (at, w.name, b.name), (out,), thick.node.origin))
        tensors += [w, b] if last else [w, b, Tensor(out, shape)]
        at = out
    graph = replace_nodes(graph, {thick.node.name: nodes}, tensors)
    return graph, [n.name for n in nodes], thick.statistics.relative_error(thick.array.reshape(thick.outs, -1), whole)


# -- the technique ---------------------------------------------------------------------------------------------------


def _apply(work: Work, network: Network, settings: Rank | None) -> Network:
    for value, names in work.groups(network.graph, "rank", settings):
        how = Rank(energy=value) if isinstance(value, float) else value
        network = factorise(
            network, work.few, amount=how.amount, energy=how.energy, measure=how.measure, method=how.method,
            layers=names, log=work.log, progress=work.progress,
        )  # fmt: skip
    return network


def _draw(trial: Trial) -> Rank | None:
    # Energy, unlike a share of the weights, can be kept by every network: no trial is lost.
    energy = trial.suggest_categorical("energy", (1.0, 0.99, 0.98, 0.95, 0.9, 0.8, 0.7))
    return Rank(energy=energy) if energy < 1.0 else None


TECHNIQUE = Technique(
    "rank",
    Rank,
    "structure",
    _apply,
    options=(
        Option(
            "--rank",
            float,
            "Share of the weights to save by products of smaller layers.",
            lambda amount: {"amount": amount, "energy": None},
        ),
    ),
    own=Own(float | Literal[False], _check_energy),
    suggest=Suggest(_draw, off={"energy": 1.0}, start={"energy": 0.95}, turn=3),
    catch_up=True,
)
