"""Which classes are taken for which."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tinygen.flow.confusion import Confusion
from tinygen.report.table import Table, columns

#: Beyond so many classes the matrix is left to --json and --html.
_MATRIX = 20


def tables(c: Confusion) -> tuple[Table, ...]:
    """Per class, and the matrix or what is confused most."""
    names: tuple[str, ...] = ("class", "precision", "recall", "F1", "support")
    rows = []
    for f in c.classes:
        figures = ("" if x is None else f"{x:.4f}" for x in (f.precision, f.recall, f.f1))
        rows.append((str(f.number), *figures, f"{f.support:,}"))
    per = Table(f"Classes, of all {c.unit}", columns(*names, right=names), tuple(rows))
    if len(c.matrix) > _MATRIX:
        names = ("label", "taken for", "times")
        pairs = tuple((str(a), str(b), f"{n:,}") for a, b, n in c.pairs[:_MATRIX])
        return per, Table("Confused most", columns(*names, right=names), pairs)
    names = ("", *map(str, range(len(c.matrix))))
    counts = tuple((str(i), *(f"{n}" if n else "·" for n in row)) for i, row in enumerate(c.matrix))
    title = "Confusion: rows are labels, columns answers"
    return per, Table(title, columns(*names, right=names), counts)


def part(c: Confusion) -> dict[str, Any]:
    """A part of other documents."""
    return {
        "counts": c.unit,
        "matrix": c.matrix.tolist(),
        "classes": [asdict(f) for f in c.classes],
        "surest_mistakes": [asdict(m) for m in c.mistakes],
    }
