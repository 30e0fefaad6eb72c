"""A network in integers against its float network, before anything is built."""

from __future__ import annotations

from typing import Any

from tinygen.flow.evaluate import Evaluation
from tinygen.flow.verdict import verdict_json
from tinygen.report import layers, verdict
from tinygen.report.table import Table
from tinygen.report.words import finite

SCHEMA = 1


def tables(e: Evaluation) -> tuple[Table, ...]:
    """The figures, and what they say."""
    v = e.verdict
    return (verdict.table(v, f"{e.name}, {v.source}", verdict.said(v)),)


def as_dict(e: Evaluation) -> dict[str, Any]:
    """The document of `tinygen eval MODEL --json`."""
    v = e.verdict
    return {
        "schema": SCHEMA,
        "model": e.name,
        "samples": v.samples,
        "measures": [{"name": f.name, "float": f.real, "integer": finite(f.integer)} for f in v.figures],
        **{k: x for k, x in verdict_json(v).items() if k not in ("samples", "figures")},
        "layers": layers.rows(e.layers),
        "notes": list(e.notes),
    }
