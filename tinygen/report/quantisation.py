"""What quantising with care did: the noise of each layer, and each step of the repairs."""

from __future__ import annotations

import math
from typing import Any

from tinygen.compress.precision import AtPrecision
from tinygen.compress.repairs.against_float import LayerQuality, Quality
from tinygen.report.table import Table, columns

SCHEMA = 1


def tables(done: AtPrecision, tested: tuple[float | None, Quality] | None) -> tuple[Table, ...]:
    """Layers, and the ladder; `tested`: accuracy of the float network, and the result, on samples nobody saw."""
    return _layers(done), _ladder(done, tested)


def _layers(done: AtPrecision) -> Table:
    """SQNR of every layer before and after the repairs, and what its weights and output are stored in."""
    r = done.repaired
    rows = []
    for a, b in zip(r.before, r.after, strict=True):
        q = r.graph.tensors[b.tensor].quant
        form = r.network.forms.get(b.layer)
        bits = "" if form is None else f"{form.bits} bits"
        rows.append((b.layer, b.title, bits, f"int{q.bits}" if q else "", _db(a.sqnr_db), _db(b.sqnr_db)))
    numbers = ("before", "after")
    heads = columns("layer", "operator", "weights", "output", *numbers, right=numbers, whole=["weights", "output"])
    return Table(
        "Layers: signal to quantisation noise against float, in dB, before and after the repairs", heads, tuple(rows),
        f"Weights, packed: {done.bytes_int8:,} bytes in int8, {done.bytes_now:,} now."
    )  # fmt: skip


def _ladder(done: AtPrecision, tested: tuple[float | None, Quality] | None) -> Table:
    """Each step of the ladder."""
    r = done.repaired
    judged = r.float_accuracy is not None
    numbers = ("dB", "dB after", *(("accuracy", "acc. after") if judged else ()))
    rows = []
    if judged:
        rows.append(("(float)", "", "", "", "", _share(r.float_accuracy), ""))
    for x in r.rows:
        shares = (_share(x.before.accuracy), _share(x.after.accuracy)) if judged else ()
        kept = "kept" if x.kept else "left out"
        rows.append((x.step, x.text, kept, _db(x.before.sqnr_db), _db(x.after.sqnr_db), *shares))
    caption = ""
    if tested is not None:
        real, q = tested
        labelled = "" if real is None else f", accuracy {_share(q.accuracy)}, float {real:.4f}"
        caption = f"On the test samples: {_db(q.sqnr_db)} dB{labelled}."
    heads = columns("step", "what it did", "", *numbers, right=numbers, whole=["step", ""])
    return Table("Repairs, judged on samples held back", heads, tuple(rows), caption)


def _db(value: float) -> str:
    return "exact" if math.isinf(value) and value > 0.0 else f"{value:.1f}"


def _share(accuracy: float | None) -> str:
    return "" if accuracy is None else f"{accuracy:.4f}"


def as_dict(name: str, done: AtPrecision, tested: tuple[float | None, Quality] | None) -> dict[str, Any]:
    """The document of `tinygen quantize --json`."""

    def quality(q: Quality) -> dict[str, Any]:
        return {"sqnr_db": _number(q.sqnr_db), "accuracy": q.accuracy}

    def layer(a: LayerQuality, b: LayerQuality) -> dict[str, Any]:
        return {"layer": b.layer, "operator": b.title, "before": _number(a.sqnr_db), "after": _number(b.sqnr_db)}

    r = done.repaired
    result: dict[str, Any] = {
        "schema": SCHEMA,
        "model": name,
        "float_accuracy": r.float_accuracy,
        "repairs": [
            {"step": x.step, "before": quality(x.before), "after": quality(x.after), "kept": x.kept, "what": x.text}
            for x in r.rows
        ],
        "layers": [layer(a, b) for a, b in zip(r.before, r.after, strict=True)],
        "changes": [{"layer": c.layer, "technique": c.technique, "what": c.text} for c in done.changes],
        "weight_bytes": {"int8": done.bytes_int8, "now": done.bytes_now},
    }
    if tested is not None:
        result["test"] = {"float_accuracy": tested[0], **quality(tested[1])}
    return result


def _number(db: float) -> float | None:
    """JSON has no infinity: None is exact."""
    return None if math.isinf(db) else round(db, 3)
