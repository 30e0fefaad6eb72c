"""The ladder of repairs: what may be done when a network loses accuracy in integers, each step measured on samples that
it was not fitted to, and kept only where it helps.

In this order: channels of one activation brought to one size (equalise), the mean error of rounded weights taken back
in the biases (bias), weights rounded together rather than one by one (round), more bits where there are too few (wide).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tinygen.calibrate.data import Samples
from tinygen.compress.finish import finish
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network
from tinygen.compress.pinning import separated
from tinygen.compress.repairs.adaround import learned_rounding
from tinygen.compress.repairs.against_float import AgainstFloat, LayerQuality, Quality, layer_qualities
from tinygen.compress.repairs.equalise import equalise
from tinygen.compress.repairs.steps import STEPS
from tinygen.compress.repairs.widen import find_wide
from tinygen.compress.split import split
from tinygen.compress.technique import Option, Technique, Work
from tinygen.errors import DataError
from tinygen.ir.types import Graph
from tinygen.progress import Progress, no_progress

#: A step must bring so many dB.
GAIN_DB = 0.1
#: With labels it must not cost more than this share of right answers.
ALLOWED_LOSS = 0.005
#: Steps cost nothing in the C, but for "wide", which is for losses: of this share of right answers against float, or,
#: without labels, outputs below so many dB.
LOSS, LOSS_DB = 0.002, 25.0
#: Samples that steps are judged by, at most, and those that the search for wide layers looks at.
JUDGES, FEW = 256, 48


@dataclass(frozen=True, slots=True)
class Repairs:
    """What is tried against losses of quantisation; each step is kept only where it helps."""

    steps: tuple[Literal["all", "equalise", "bias", "round", "wide"], ...] = ("all",)

    def describe(self) -> str:
        return f"repairs {' '.join(self.steps)}" if self.steps else ""


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
    judge = AgainstFloat(network.graph, _first(held_out, JUDGES))
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
            tried, text = find_wide(
                network, unrounded, samples, method, bias, AgainstFloat(judge.reference, few), changes, progress
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
