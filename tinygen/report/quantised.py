"""A network in fixed point: what it is worth, and what repairs brought."""

from __future__ import annotations

from typing import Any

from tinygen.flow.repaired import RepairedFile
from tinygen.flow.types import Judged
from tinygen.flow.verdict import precision, verdict_json
from tinygen.report import layers, quantisation, simplified, verdict
from tinygen.report.table import Table, columns

SCHEMA = 1


def tables(judged: Judged, repaired: RepairedFile | None = None) -> tuple[Table, ...]:
    """The verdict, after the repairs where steps were asked for."""
    model, v = judged.model, judged.verdict
    name = model.imported.graph.name
    if v is None:
        said = "made-up inputs: accuracy unknown" if model.synthetic else "not judged"
        shown = Table(name, columns("", ""), (("precision", precision(model.fixed)), ("accuracy", said)))
    else:
        shown = verdict.table(v, f"{name}, {v.source}", verdict.said(v))
    return (*(() if repaired is None else quantisation.tables(repaired.done, repaired.test)), shown)


def as_dict(judged: Judged, repaired: RepairedFile | None = None) -> dict[str, Any]:
    """The same as a document, `Quantised.to_dict()`."""
    model = judged.model
    name = model.imported.graph.name
    return {
        "schema": SCHEMA,
        "model": {"name": name, "sha256": model.imported.sha256, "opset": model.imported.opset},
        "precision": precision(model.fixed),
        "calibration": "synthetic: accuracy unknown" if model.synthetic else "data",
        "simplified": simplified.part(model.before, model.after),
        "accuracy": None if judged.verdict is None else verdict_json(judged.verdict),
        "layers": layers.rows(model.layers),
        "quantize": None if repaired is None else quantisation.as_dict(name, repaired.done, repaired.test),
        "notes": [*model.notes, *judged.notes],
    }
