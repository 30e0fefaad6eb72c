"""The figures of a verdict, float and integer side by side."""

from __future__ import annotations

from tinygen.flow.measures import decibels
from tinygen.flow.verdict import Verdict
from tinygen.report.table import Table, columns


def said(v: Verdict) -> str:
    """The verdict in words, with where its damage begins and how it drifts."""
    begins = "" if v.damage is None else f" The damage begins at {v.damage}."
    return f"{v}.{begins} {drifts(v)}".rstrip()


def drifts(v: Verdict) -> str:
    """How a network that keeps a state drifts along the steps of streams."""
    return f"Drift against {v.reference}: {', '.join(map(str, v.drift))}." if v.drift else ""


def table(v: Verdict, title: str, caption: str) -> Table:
    """A row for each measure; "±" is the standard error of the difference, or without a reference of the figure."""
    numbers = (*([v.reference] if v.reference else []), v.precision, "±")
    rows = []
    for f in v.figures:
        error = f.error if v.reference else f.own_error
        before = "" if f.real is None else f"{f.real:.4f}"
        cells = [decibels(f.integer) if f.decibel else f"{f.integer:.4f}", f"{error:.4f}" if error else ""]
        rows.append((f.name, *([before] if v.reference else []), *cells))
    return Table(title, columns("measure", *numbers, right=numbers), tuple(rows), caption)
