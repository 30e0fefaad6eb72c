"""The golden vectors of a built folder, run again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinygen.build.platformio import PioTest
from tinygen.report.table import Table, columns

SCHEMA = 1


def tables(folder: Path, result: PioTest) -> tuple[Table, ...]:
    """A row for each vector in each environment."""
    rows = tuple((c.env, c.name, c.status, c.message) for c in result.cases)
    passed = sum(c.status == "PASSED" for c in result.cases)
    caption = f"{passed} of {len(rows)} passed."
    return (Table(f"Golden vectors of {folder}", columns("environment", "case", "status", "message"), rows, caption),)


def as_dict(folder: Path, result: PioTest) -> dict[str, Any]:
    """The document of `tinygen verify --json`."""
    cases = [{"environment": c.env, "name": c.name, "status": c.status, "message": c.message} for c in result.cases]
    return {"schema": SCHEMA, "folder": str(folder), "ok": result.ok, "cases": cases}
