"""A verdict: what a network in integers is worth, in figures and in words, and where its damage begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinygen.calibrate.data import Samples
from tinygen.flow.measures import Drift, Figure, Grade, decibels
from tinygen.ir.types import Graph
from tinygen.ops import Operator

#: A layer below so many dB is where damage begins; without one it is the layer that loses most.
_DAMAGED_DB = 10.0


@dataclass(frozen=True, slots=True)
class LayerAccuracy:
    """Signal to quantisation noise of a layer's output against the float network, in dB."""

    tensor: str
    title: str
    origin: tuple[str, ...]
    sqnr_db: float


@dataclass(frozen=True, slots=True)
class Damage:
    """The layer where damage begins: dB that arrive there (None at the input) and that leave."""

    title: str
    origin: tuple[str, ...]
    arrives: float | None
    leaves: float

    @property
    def where(self) -> str:
        """The layer, with its ONNX names."""
        return f"{self.title} ({', '.join(self.origin)})" if self.origin else self.title

    def __str__(self) -> str:
        came = "" if self.arrives is None else f"{decibels(self.arrives)} arrive there, "
        return f"{self.where}: {came}{decibels(self.leaves)} leave"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a network in integers is worth. `precision`: int8, int16 or mixed; `reference`: what it is compared with;
    the first of `figures` says most. `damage`: where it begins, of a network that loses. `repairs`: those kept;
    `accepted`: the user takes it although it is ruined; `drift`: how streams of a network that keeps a state go on."""

    precision: str
    reference: str
    figures: tuple[Figure, ...]
    samples: int
    source: str
    unseen: bool
    samples_sha256: str
    damage: Damage | None = None
    repairs: tuple[str, ...] = ()
    accepted: bool = False
    drift: tuple[Drift, ...] = ()

    @property
    def grade(self) -> Grade:
        return max(f.grade for f in self.figures)

    @property
    def ruined(self) -> bool:
        """Is so much lost that the build should stop?"""
        return self.grade >= Grade.DAMAGES

    @property
    def main(self) -> Figure:
        return self.figures[0]

    def __str__(self) -> str:
        """In words: "int8 keeps 99.4 of 99.5 % accuracy (256 samples held back)"."""
        heads = {
            Grade.KEEPS: f"{self.precision} keeps",
            Grade.COSTS: f"{self.precision} loses a little:",
            Grade.DAMAGES: f"{self.precision} damages this network:",
            Grade.DESTROYS: f"{self.precision} destroys this network:",
        }
        main = self.main
        said = str(main)
        if main.limits is not None and main.limits.grade(main.fall) > main.grade:
            said += ", a fall within the error of so few samples"
        db = next((f for f in self.figures if f.decibel), None)
        if main.real is None and db is not None and db is not main:
            said += f", SQNR {decibels(db.integer)}"
        worst = max(self.figures, key=lambda f: f.grade)
        if worst.grade > main.grade and worst is not db:
            said += f"; {worst}"
        return f"{heads[self.grade]} {said} ({self.source})"


def of_steps(streams: Samples) -> str:
    """Behind the number of samples that are streams: how long they are."""
    return f", streams of {streams.inputs[0].shape[1]:,} steps"


def precision(fixed: Graph) -> str:
    """int8, int16, or mixed: what the activations of a FIXED graph are, those aside that operators keep in a width of
    their own (cells and states)."""
    own: set[str] = set()
    for node in fixed.nodes:
        if isinstance(node.op, Operator) and not node.op.any_width:
            own |= node.op.keeps(fixed.ins(node), fixed.outs(node))
    activations = (t for t in fixed.tensors.values() if t.const is None and t.name not in own)
    bits = {t.quant.bits for t in activations if t.quant is not None}
    return "mixed" if len(bits) > 1 else f"int{max(bits, default=8)}"


def damage(graph: Graph, seen: Sequence[LayerAccuracy]) -> Damage | None:
    """Where it begins: the first layer below _DAMAGED_DB, else the one that loses most of what arrives."""
    if not seen:
        return None
    by_tensor = {a.tensor: a.sqnr_db for a in seen}

    def arrives(a: LayerAccuracy) -> float | None:
        node = graph.producer.get(a.tensor)
        found = [by_tensor[i] for i in node.inputs if i in by_tensor] if node is not None else []
        return min(found, default=None)

    def lost(a: LayerAccuracy) -> float:
        came = arrives(a)
        # What arrives exact, as an input does, can be no better than the steps of int8 are: about 50 dB.
        return min(50.0 if came is None else came, 50.0) - a.sqnr_db

    first = next((a for a in seen if a.sqnr_db < _DAMAGED_DB), None) or max(seen, key=lost)
    return Damage(first.title, first.origin, arrives(first), first.sqnr_db)


def verdict_json(v: Verdict) -> dict[str, Any]:
    """For reports and the certificate."""

    def number(x: float | None) -> float | None:
        return None if x is None or not math.isfinite(x) else round(x, 6)

    def limits(f: Figure) -> dict[str, float] | None:
        if f.limits is None:
            return None
        sign = -1.0 if f.decibel else 1.0
        return {k: sign * getattr(f.limits, k) for k in ("costs", "damages", "destroys")}

    return {
        "verdict": v.grade.name.lower(),
        "said": str(v),
        "precision": v.precision,
        "compared_with": v.reference,
        "measure": v.main.name,
        "figures": [
            {
                "measure": f.name,
                v.reference: number(f.real),
                "integer": number(f.integer),
                "error_of_fall": number(f.error),
                "limits": limits(f),
                "verdict": f.grade.name.lower(),
            }
            for f in v.figures
        ],
        "samples": v.samples,
        "samples_are": v.source,
        "unseen": v.unseen,
        "samples_sha256": v.samples_sha256,
        "damage_begins": None
        if v.damage is None
        else {
            "operator": v.damage.title,
            "onnx": list(v.damage.origin),
            "arrives_db": number(v.damage.arrives),
            "leaves_db": number(v.damage.leaves),
        },
        "repairs": list(v.repairs),
        "loss_accepted": v.accepted,
        **drift_json(v),
    }


def drift_json(v: Verdict) -> dict[str, Any]:
    """How it drifts, of a network that keeps a state."""
    rows = [
        {"first": d.first, "last": d.last, "sqnr_db": round(d.db, 6) if math.isfinite(d.db) else None} for d in v.drift
    ]
    return {"drift": rows} if rows else {}
