"""The ladder of repairs: what may be done when a network loses accuracy in integers, each step measured on samples that
it was not fitted to, and kept only where it helps.

In this order: channels of one activation brought to one size (equalise), the mean error of rounded weights taken back
in the biases (bias), weights rounded together rather than one by one (round), more bits where there are too few (wide).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.calibrate.graph import float_model, run_float, to_tensors
from tinygen.calibrate.metrics import SqnrMeter, accuracy, sqnr_db
from tinygen.compress.finish import finish, prepared, settle
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, layers
from tinygen.compress.pinning import separated
from tinygen.compress.repairs.adaround import learned_rounding
from tinygen.compress.repairs.equalise import equalise
from tinygen.compress.split import class_numbers, split
from tinygen.compress.technique import Option, Technique, Work
from tinygen.errors import DataError
from tinygen.ir.types import Graph, Node
from tinygen.numerics import Array
from tinygen.ops import Operator
from tinygen.ops.base import real_of
from tinygen.passes.quantise import quantise, wide_tensors
from tinygen.progress import Progress, no_progress

#: The steps, in the order in which they are tried.
STEPS = ("equalise", "bias", "round", "wide")
#: A step must bring so many dB, and more bits so many.
GAIN_DB, WIDE_GAIN_DB = 0.1, 0.5
#: With labels it must not cost more than this share of right answers.
ALLOWED_LOSS = 0.005
#: Steps cost nothing in the C, but for "wide", which is for losses: of this share of right answers against float, or,
#: without labels, outputs below so many dB.
LOSS, LOSS_DB = 0.002, 25.0
#: At most so many tensors or layers get more bits.
MOST_WIDE = 8
#: Samples that steps are judged by, at most, and those that the search for wide layers looks at.
JUDGES, FEW = 256, 48


@dataclass(frozen=True, slots=True)
class Repairs:
    """What is tried against losses of quantisation; each step is kept only where it helps."""

    steps: tuple[Literal["all", "equalise", "bias", "round", "wide"], ...] = ("all",)

    def describe(self) -> str:
        return f"repairs {' '.join(self.steps)}" if self.steps else ""


@dataclass(frozen=True, slots=True)
class Quality:
    """Integers against floats on the samples that judge: dB of all outputs, and with labels the share of right answers
    (None without)."""

    sqnr_db: float
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class LayerQuality:
    """A layer's output in integers against floats, in dB."""

    layer: str
    tensor: str
    title: str
    sqnr_db: float


@dataclass(frozen=True, slots=True)
class Row:
    """One step of the ladder. `after` is what the step gives, kept or not, in `graph`, finished; `text` says what it
    did."""

    step: str
    before: Quality
    after: Quality
    kept: bool
    text: str
    graph: Graph


@dataclass(frozen=True)
class Repaired:
    """`graph`: FLOAT with every scale pinned, `plain`: the same before all repairs; `network` and `bias`: what it was
    finished from; layers `before` and `after`."""

    plain: Graph
    graph: Graph
    network: Network
    bias: bool
    rows: tuple[Row, ...]
    float_accuracy: float | None
    before: tuple[LayerQuality, ...]
    after: tuple[LayerQuality, ...]


class Judge:
    """The float network on samples, and how close a finished one comes. `reference`: tidied FLOAT graph."""

    def __init__(self, reference: Graph, samples: Samples) -> None:
        self.reference, self.samples = reference, samples
        self._real = run_float(reference, samples.inputs)
        self._labels = _classes(reference, samples)

    @property
    def float_accuracy(self) -> float | None:
        """Share of right answers of the float network."""
        return None if self._labels is None else accuracy(self._real[0], self._labels)

    def quality(self, finished: Graph) -> Quality:
        """Of a FLOAT graph with every scale pinned, run in integers."""
        fixed = quantise(finished, {})
        ints = simulate.run(fixed, simulate.quantise_inputs(fixed, self.samples.inputs))
        found = simulate.dequantise_outputs(fixed, ints)
        a, b = (np.concatenate([y.ravel() for y in outputs]) for outputs in (self._real, found))
        return Quality(sqnr_db(a, b), None if self._labels is None else accuracy(found[0], self._labels))


def _classes(graph: Graph, samples: Samples) -> Array | None:
    """The right class of every sample, where the network chooses among classes: not where it rebuilds its input."""
    numbers = class_numbers(samples)
    size, rebuilt = (graph.tensors[names[0]].size for names in (graph.outputs, graph.inputs))
    if numbers is None or len(graph.outputs) > 1 or size in (1, rebuilt):
        return None
    return numbers if numbers.min() >= 0 and numbers.max() < size else None


def layer_qualities(finished: Graph, real: Graph, samples: Samples) -> tuple[LayerQuality, ...]:
    """Every layer of a finished graph in integers against the float graph `real`, which has the same tensors."""
    fixed = quantise(finished, {})
    names = [o for n in finished.nodes for o in n.outputs]
    model = float_model(real, names)
    meters = {name: SqnrMeter() for name in names}
    feeds = to_tensors(real, samples.inputs)
    for i in range(samples.count):
        found = dict(zip(model.output_names, model.run([x[i] for x in feeds]), strict=True))
        ints: dict[str, Array] = {}
        quantised = simulate.quantise_inputs(fixed, [x[i : i + 1] for x in samples.inputs])
        simulate.run(fixed, quantised, ints.__setitem__)
        for name, meter in meters.items():
            y = real_of(fixed.tensors[name], ints[name][0])
            meter.add(found[name].reshape(y.shape), y)
    return tuple(
        LayerQuality(n.name, o, _title(n.op, finished, n.inputs), meters[o].db)
        for n in finished.nodes
        for o in n.outputs
    )


def _title(op: object, graph: Graph, inputs: Sequence[str]) -> str:
    assert isinstance(op, Operator)
    return op.describe([graph.tensors[i] for i in inputs])


def repair(
    network: Network,
    samples: Samples,
    *,
    steps: Sequence[str] = STEPS,
    held_out: Samples | None = None,
    bias: bool = False,
    widen: bool = False,
    method: str = "mse",
    seed: int = 0,
    log: list[LayerChange] | None = None,
    progress: Progress = no_progress,
) -> Repaired:
    """`steps` (of STEPS; "all") tried in their order on a network, each kept when the outputs gain GAIN_DB and, with
    labels, no more than ALLOWED_LOSS of the answers.

    `held_out` judges; without it a part of `samples`, which then nothing is fitted to. `bias`: the biases are corrected
    from the start, and that step is left out; `widen`: the step "wide" is tried where nothing was lost as well.
    ValueError for a step that is none, DataError for too few samples.
    """
    wanted = STEPS if tuple(steps) == ("all",) else tuple(steps)
    unknown = [s for s in wanted if s not in STEPS]
    if unknown:
        raise ValueError(f'no repair "{unknown[0]}"; there are {", ".join(STEPS)}')
    if held_out is None:
        samples, held_out = split(samples, seed)
    if held_out.count < 1:
        raise DataError("to judge repairs by, at least 1 sample is needed; found none")
    judge = Judge(network.graph, _first(held_out, JUDGES))
    few = _first(held_out, FEW)

    def finished(candidate: Network, bias: bool) -> Graph:
        return finish(candidate, samples, method=method, bias=bias, progress=progress)

    network = replace(network, graph=separated(network.graph))
    rows, unrounded = [], network.graph
    ladder = [s for s in STEPS if s in wanted and not (bias and s == "bias")]
    graph = plain = finished(network, bias)
    now = judge.quality(graph)
    start = layer_qualities(graph, network.graph, few)
    for i, step in enumerate(ladder):
        changes: list[LayerChange] = []
        tried, tried_bias, text = network, bias, ""
        if step == "equalise":
            tried = equalise(network, samples, log=changes, progress=progress)
            text = _equalised(changes)
        elif step == "bias":
            tried_bias, text = True, "mean errors of rounded weights"
        elif step == "round":
            tried = learned_rounding(network, samples, log=changes, progress=progress)
            text = f"{len(changes)} layers"
        elif not (widen or _loses(now, judge.float_accuracy)):
            rows.append(Row(step, now, now, False, "not needed: nothing is lost", graph))
            continue
        else:
            tried, text = _widen(
                network, unrounded, samples, method, bias, Judge(judge.reference, few), changes, progress
            )
        candidate = finished(tried, tried_bias)
        after = judge.quality(candidate)
        kept = _helps(now, after)
        rows.append(Row(step, now, after, kept, text, candidate))
        if kept:
            network, bias, graph, now = tried, tried_bias, candidate, after
            unrounded = unrounded if step == "round" else network.graph
            if log is not None:
                log.extend(changes)
        progress("repairs", i + 1, len(ladder))
    end = layer_qualities(graph, unrounded, few)
    return Repaired(plain, graph, network, bias, tuple(rows), judge.float_accuracy, start, end)


def _helps(before: Quality, after: Quality) -> bool:
    if before.accuracy is not None and after.accuracy is not None and after.accuracy < before.accuracy - ALLOWED_LOSS:
        return False
    return after.sqnr_db >= before.sqnr_db + GAIN_DB


def _loses(now: Quality, real: float | None) -> bool:
    if now.accuracy is not None and real is not None:
        return now.accuracy < real - LOSS
    return now.sqnr_db < LOSS_DB


def _first(samples: Samples, count: int) -> Samples:
    """At most `count` samples, every n-th: classes that lie together all come in."""
    if samples.count <= count:
        return samples
    at = np.arange(count) * samples.count // count
    labels = None if samples.labels is None else samples.labels[at]
    return replace(samples, inputs=tuple(x[at] for x in samples.inputs), labels=labels)


def _equalised(changes: Sequence[LayerChange]) -> str:
    done = [c for c in changes if not c.text.startswith("left alone")]
    return f"{len(done)} pairs of layers" if done else "no pair of layers allows it"


def _widen(
    network: Network,
    unrounded: Graph,
    samples: Samples,
    method: str,
    bias: bool,
    judge: Judge,
    changes: list[LayerChange],
    progress: Progress,
) -> tuple[Network, str]:
    """More bits where they bring most: int8 for weights of fewer, int16 for activations.

    Each alone is tried first; then they are taken in the order of what they brought, at most MOST_WIDE, and no more
    than come within WIDE_GAIN_DB of the best.
    """

    _, _, ranges = prepared(network, samples, method=method, bias=bias)

    def quality(candidate: Network) -> float:
        own, pinned, _ = prepared(candidate, samples, bias=bias, ranges=ranges)
        return judge.quality(settle(pinned, own, ranges)).sqnr_db

    options = _options(network, unrounded)
    start, gains = quality(network), []
    for i, (name, kind, candidate) in enumerate(options):
        gains.append((quality(candidate(network)) - start, name, kind, candidate))
        progress("wider layers", i + 1, len(options))
    gains.sort(key=lambda g: (-g[0], g[1]))
    # Noise of several layers adds up: one of them alone may bring little, and all of them much.
    tried, steps = network, []
    for _, name, kind, candidate in gains[:MOST_WIDE]:
        tried = candidate(tried)
        steps.append((quality(tried), tried, name, kind))
    best = max((found for found, *_ in steps), default=start)
    if best < start + WIDE_GAIN_DB:
        return network, "nothing brings enough"
    last = next(k for k, (found, *_) in enumerate(steps) if found >= best - WIDE_GAIN_DB)
    for found, _, name, kind in steps[: last + 1]:
        changes.append(LayerChange(name, "wide", f"{kind}: {found - start:+.1f} dB with those before", 0, 0))
    return steps[last][1], ", ".join(f"{name} {kind}" for _, _, name, kind in steps[: last + 1])


_Change = Callable[[Network], Network]


def _options(network: Network, unrounded: Graph) -> list[tuple[str, str, _Change]]:
    """(layer or tensor, what it gets, the change). `unrounded`: the graph before learned rounding, whose weights a
    layer with more bits starts from."""
    graph = network.graph
    options: list[tuple[str, str, _Change]] = []
    for node in layers(graph):
        form = network.form(node.name)
        if form.bits < 8 and form.codebook is None:
            options.append((node.name, "int8 weights", _eight_bits(node, unrounded)))
    for t in graph.tensors.values():
        if t.const is None and t.quant is None and t.name in wide_tensors(graph, [t.name]):
            options.append((t.name, "int16", _wide(t.name)))
    return options


def _eight_bits(node: Node, unrounded: Graph) -> _Change:
    def change(network: Network) -> Network:
        form = replace(network.form(node.name), bits=8)
        own = [unrounded.tensors[i] for i in node.inputs[1:]]
        return replace(network, graph=network.graph.with_(tensors=own)).with_forms({node.name: form})

    return change


def _wide(tensor: str) -> _Change:
    return lambda network: replace(network, wide=network.wide | {tensor})


# -- the technique ---------------------------------------------------------------------------------------------------


def _end(work: Work, network: Network, settings: Repairs) -> Graph:
    """Every scale pinned, after the repairs that help."""
    if not settings.steps:
        return finish(network, work.few, method=work.method, progress=work.progress)
    return repair(
        network, work.few, steps=settings.steps, method=work.method, seed=work.seed, log=work.log,
        progress=work.progress,
    ).graph  # fmt: skip


TECHNIQUE = Technique(
    "repairs",
    Repairs,
    "scales",
    end=_end,
    options=(
        Option(
            "--repair",
            str,
            "Repairs of quantisation, in this order.",
            lambda steps: {"steps": list(steps)},
            several=True,
        ),
    ),
)
