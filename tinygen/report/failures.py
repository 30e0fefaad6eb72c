"""Errors: what cannot be built as a table, and any error as JSON."""

from __future__ import annotations

from typing import Any

from tinygen.errors import TinygenError, UnsupportedError
from tinygen.report.table import Table, columns

SCHEMA = 1


def tables(error: UnsupportedError) -> tuple[Table, ...]:
    """What cannot be built."""
    return (Table("", columns(*error.COLUMNS), tuple(tuple(row) for row in error.rows), error.more),)


def as_dict(kind: str, exit_code: int, message: str, error: TinygenError | None = None) -> dict[str, Any]:
    """What --json prints of a command that failed: the error, behind what was found out before.

    `kind`: one word, as "model" or "usage".
    """
    rows = [p._asdict() for p in error.problems] if isinstance(error, UnsupportedError) else []
    said = error.heading if isinstance(error, UnsupportedError) else message
    found = {} if error is None else error.report
    return {
        "schema": SCHEMA, **found, "error": {"kind": kind, "exit_code": exit_code, "message": said, "rows": rows},
    }  # fmt: skip
