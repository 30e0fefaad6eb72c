"""Evaluate a network that is not built: as a build would quantise it, on samples that did not calibrate it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinygen.calibrate.data import Data, check_limit
from tinygen.flow.judge import Judge
from tinygen.flow.quantised import quantised
from tinygen.flow.types import Calibration, Loaded
from tinygen.flow.verdict import LayerAccuracy, Verdict
from tinygen.passes.quantise import range_tensors
from tinygen.progress import Progress, no_progress

#: More samples than any file has.
EVERY = 1 << 40


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A network in integers against its float network, on samples that nothing was fitted to where there are such."""

    name: str
    verdict: Verdict
    layers: tuple[LayerAccuracy, ...]
    notes: tuple[str, ...]


def evaluate(
    loaded: Loaded,
    data: Data,
    calibration: Calibration,
    progress: Progress = no_progress,
    *,
    limit: int | None = None,
) -> Evaluation:
    """The verdict on a network that is not built. It is calibrated with `calibration.data`; without, with some of
    `data`, which then do not judge, and a note says so. `limit`: samples that judge, at most."""
    check_limit(limit)
    most = replace(calibration, judges=limit or EVERY)
    asked = replace(most, test=data) if calibration.data is not None else replace(most, data=data, hold_back=True)
    model = quantised(loaded, asked, None, progress)
    held = model.held
    assert held is not None
    verdict = Judge(model.imported, model.tidy, held, progress).verdict(model.fixed, model.layers)
    notes = held.notes
    if calibration.data is None and held.unseen and range_tensors(model.tidy):
        notes = (
            f"no `calibrate`: {model.samples.count} of these samples calibrated the network, and only {held.source} "
            "judge it.",
            *notes,
        )
    return Evaluation(loaded.name, verdict, model.layers, notes)
