"""What is tried before a destroyed network is refused, and what the refusal says."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from tinygen.compress.finish import finish
from tinygen.compress.network import Network, layers
from tinygen.compress.repairs.ladder import repair
from tinygen.errors import AccuracyError, TinygenError
from tinygen.flow.types import Quantised
from tinygen.flow.verdict import LayerAccuracy, Verdict
from tinygen.ir.types import Graph
from tinygen.progress import Progress, no_progress

#: More samples to calibrate with are advised below this.
_FEW_SAMPLES = 200


@dataclass(frozen=True, slots=True)
class Rescue:
    """What the ladder of repairs came to: the finished FLOAT graph (None where no step helped or could be tried) with
    the accuracy of its layers, the steps kept, and what all of them said."""

    graph: Graph | None
    kept: tuple[str, ...]
    tried: str
    layers: tuple[LayerAccuracy, ...] = ()


def rescue(model: Quantised, method: str, wide: Collection[str] = (), progress: Progress = no_progress) -> Rescue:
    """The repairs of `tinygen quantize`, fitted to and chosen on the calibration samples alone."""
    graph = model.tidy
    if not layers(graph):
        return Rescue(None, (), "no repairs: no layer has weights")
    network = Network(graph, wide=frozenset(wide))
    try:
        done = repair(network, model.samples, widen=True, method=method, progress=progress)
    except TinygenError as e:
        return Rescue(None, (), f"repairs could not be tried: {e}")
    said = "; ".join(f"{r.step} ({r.text or 'nothing'}{'' if r.kept else ', left out'})" for r in done.rows)
    kept = tuple(f"{r.step}: {r.text}" for r in done.rows if r.kept)
    seen = (LayerAccuracy(a.tensor, a.title, done.graph.producer[a.tensor].origin, a.sqnr_db) for a in done.after)
    return Rescue(done.graph if kept else None, kept, f"repairs tried: {said}", tuple(seen))


def pinned(model: Quantised, method: str, wide: Collection[str] = (), progress: Progress = no_progress) -> Graph | None:
    """The FLOAT graph with every scale decided, activations `wide` in int16; None where that cannot be had."""
    network = Network(model.tidy, wide=frozenset(wide))
    try:
        return finish(network, model.samples, method=method, bias=False, progress=progress)
    except TinygenError:
        return None


def refusal(model: Quantised, verdict: Verdict, tried: str, wide: Verdict | None) -> AccuracyError:
    """The error of a network that is not worth building: figures, where damage begins, what may help. `wide`: what all
    activations in int16 would make of it; None where they cannot be had, or it has them."""
    worst = max(verdict.figures, key=lambda f: f.grade)
    assert worst.limits is not None
    if worst.decibel:
        allowed = f"allowed is {-worst.limits.damages:g} dB or more"
    else:
        allowed = f"allowed is a fall of {100 * worst.limits.damages:g} points"
    lines = [f'"{model.imported.graph.name}": {verdict}; {allowed}.']
    if verdict.damage is not None:
        lines.append(f"  The damage begins at {verdict.damage}.")
    if tried:
        lines.append(f"  {tried[0].upper()}{tried[1:]}.")
    if wide is not None and wide.ruined:
        lines.append(f"  Activations in int16 do not help: {wide.main}.")
    advice = []
    if wide is not None and not wide.ruined:
        noisy = [a for a in sorted(model.layers, key=lambda a: a.sqnr_db) if a.origin and math.isfinite(a.sqnr_db)][:3]
        names = ",".join(a.origin[-1] for a in noisy)
        advice.append(f'`activations=16` ({wide.main}), or only the noisiest layers: `activations="{names}"`')
    if (calibration := model.samples.count) < _FEW_SAMPLES:
        advice.append(f"more calibration samples than {calibration}")
    if verdict.reference == "float":
        advice.append("inputs whose channels have similar ranges")
    else:
        advice.append("a new quantisation from the float model")
    advice.append("`accept_loss=True` builds it all the same")
    lines.append("  What may help: " + "; ".join(advice) + ".")
    return AccuracyError("\n".join(lines))
