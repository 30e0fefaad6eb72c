"""The C of a built folder over a data set."""

from __future__ import annotations

from typing import Any

from tinygen.flow.evaluate_folder import FolderEvaluation
from tinygen.flow.verdict import drift_json
from tinygen.report import confusion, verdict
from tinygen.report.table import Table
from tinygen.report.words import finite

SCHEMA = 1


def tables(e: FolderEvaluation) -> tuple[Table, ...]:
    """The figures, and which classes are confused."""
    built = " ".join(
        filter(None, ("" if e.built is None else f"When it was built: {e.built}.", verdict.drifts(e.verdict)))
    )
    title = f"{e.model}: the C of {e.folder} on {e.core}, {e.verdict.source}"
    return verdict.table(e.verdict, title, built), *(() if e.confusion is None else confusion.tables(e.confusion))


def as_dict(e: FolderEvaluation) -> dict[str, Any]:
    """The document of `tinygen eval FOLDER --json`."""
    v = e.verdict
    return {
        "schema": SCHEMA,
        "model": e.model,
        "folder": str(e.folder),
        "core": e.core,
        "samples": v.samples,
        "samples_sha256": v.samples_sha256,
        "precision": v.precision,
        "compared_with": v.reference or None,
        "measures": [
            {
                "name": f.name,
                "float": f.real,
                "integer": finite(f.integer),
                "error_of_fall": f.error if v.reference else None,
                "error": f.own_error,
            }
            for f in v.figures
        ],
        **drift_json(v),
        "confusion": None if e.confusion is None else confusion.part(e.confusion),
        "verdict_of_build": e.built,
        "notes": list(e.notes),
    }
