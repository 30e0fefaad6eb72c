"""Who judges: samples that nothing was fitted to, held back from the user's or given for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from tinygen.calibrate.data import Samples, part
from tinygen.compress.split import LEAST, VALIDATION, split
from tinygen.ir.types import Graph
from tinygen.numerics import Array
from tinygen.ops import Operator

#: Samples that judge, unless --test gives others: at most, at least, and between them as many as take this many
#: multiply-accumulates, so that a build takes hardly longer.
MOST_JUDGES, LEAST_JUDGES, JUDGE_MACS = 256, 64, 1_000_000_000
#: The seed of the split where samples are few.
_SEED = 0


@dataclass(frozen=True, slots=True)
class Held:
    """The samples that judge. `source`: a phrase for reports ("256 samples held back"); `unseen`: nothing was fitted
    to them; `notes`: what the user should know of them."""

    samples: Samples
    source: str
    unseen: bool = True
    notes: tuple[str, ...] = ()


def judges_wanted(graph: Graph) -> int:
    """How many samples judge a network of this size."""
    macs = sum(n.op.macs(graph.ins(n), graph.outs(n)) for n in graph.nodes if isinstance(n.op, Operator))
    return max(LEAST_JUDGES, min(MOST_JUDGES, JUDGE_MACS // max(1, macs)))


def hold_back(samples: Samples, calibrate: int, judges: int) -> tuple[Samples, Held]:
    """(the samples to calibrate with, those that judge): the first `calibrate`, and those behind them; where behind
    them is less than a fifth, a fifth of every class is held back. Fewer than LEAST samples do both."""
    n = samples.count
    if n < LEAST:
        why = f"{n} samples are too few to hold some back: those that judge are those that calibrated."
        return part(samples, slice(0, calibrate)), Held(samples, f"{n} samples, not held back", False, (why,))
    if n - calibrate >= VALIDATION * n:
        first, rest = part(samples, slice(0, calibrate)), part(samples, slice(calibrate, calibrate + judges))
    else:
        fit, rest = split(samples, _SEED)
        first, rest = part(fit, slice(0, calibrate)), part(rest, slice(0, judges))
    return first, unseen(rest, first, "held back")


def all_judge(samples: Samples, calibrate: int, judges: int) -> tuple[Samples, Held]:
    """The same for a network whose scales are all known: nothing is fitted to any sample."""
    held = part(samples, slice(0, judges))
    return part(samples, slice(0, calibrate)), Held(held, f"{held.count} samples")


def unseen(judges: Samples, calibration: Samples, kind: str, limit: int | None = None) -> Held:
    """`judges` without those that calibrate as well, at most the first `limit`; where none is left, all of them, and
    that is said."""
    new = _new(judges, calibration)
    same = judges.count - int(new.sum())
    if same == judges.count:
        why = f"every one of the {same} samples {kind} also calibrates: the figures flatter. Give others with `test`."
        return Held(judges, f"{same} samples that also calibrate", False, (why,))
    notes: list[str] = []
    if same:
        notes.append(f"{same} of the {judges.count} samples {kind} also calibrate: they are left out of the verdict.")
        judges = part(judges, np.flatnonzero(new))
    judges = judges if limit is None else part(judges, slice(0, limit))
    classes = _classes(judges)
    if classes is not None and len(classes) == 1 and judges.count > 1:
        notes.append(
            f"the {judges.count} samples {kind} all have the label {classes[0]:g}: they say nothing of other classes. "
            "Shuffle the file, or give `test`."
        )
    return Held(judges, f"{judges.count} samples {kind}", True, tuple(notes))


def _classes(samples: Samples) -> Array | None:
    labels = samples.labels
    return np.unique(labels) if labels is not None and labels.ndim == 1 else None


def _new(judges: Samples, calibration: Samples) -> Array:
    """Of each sample of `judges`: is it none of `calibration`? bool (n,)."""

    def sums(s: Samples) -> Array:
        return sum((x.reshape(len(x), -1).sum(axis=1, dtype=np.float64) for x in s.inputs), np.zeros(s.count))

    def digest(s: Samples, i: int) -> bytes:
        return hashlib.sha256(b"".join(np.ascontiguousarray(x[i]).tobytes() for x in s.inputs)).digest()

    a, b = sums(judges), sums(calibration)
    new = ~np.isin(a, b)  # equal samples have equal sums
    if not new.all():
        known = {digest(calibration, int(i)) for i in np.flatnonzero(np.isin(b, a))}
        for i in np.flatnonzero(~new):
            new[i] = digest(judges, int(i)) not in known
    return new
