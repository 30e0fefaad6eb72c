"""An evaluation as one HTML page that needs nothing else: no network, no scripts, light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinygen.emit.env import render
from tinygen.flow.confusion import Confusion
from tinygen.flow.evaluate_folder import FolderEvaluation
from tinygen.flow.measures import BELIEVED, Figure, decibels
from tinygen.version import VERSION


@dataclass(frozen=True, slots=True)
class Row:
    """A measure: name, figure of the float network, of the integers, and its error; "" for what is not known."""

    name: str
    real: str
    integer: str
    error: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A field of the matrix: how often, how dark (0 to 100), is it right, and what it says in full."""

    text: str
    shade: int
    right: bool
    title: str


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A class: its number, three figures as text and as percent of a bar, how many there are, its row of the matrix."""

    name: str
    figures: tuple[tuple[str, str], ...]
    support: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class PageView:
    """What evaluate/page.html.j2 prints."""

    version: str
    model: str
    subtitle: str
    headline: tuple[str, str, str]
    reference: str
    precision: str
    rows: tuple[Row, ...]
    drift: tuple[tuple[str, str], ...]
    unit: str
    classes: tuple[ClassRow, ...]
    pairs: tuple[tuple[str, str, str], ...]
    mistakes: tuple[tuple[str, ...], ...]
    built: str
    notes: tuple[str, ...]


def render_page(e: FolderEvaluation) -> bytes:
    """The page, the same bytes for the same evaluation."""
    return render("evaluate/page.html.j2", p=page_view(e)).encode()


def page_view(e: FolderEvaluation) -> PageView:
    v, c = e.verdict, e.confusion
    main = v.main
    error = main.error if v.reference else main.own_error
    return PageView(
        VERSION,
        e.model,
        f"the compiled C of {e.folder.name} on {e.core}: {v.source}",
        (main.name, _value(main), _of(main, error, v.reference)),
        v.reference,
        v.precision,
        tuple(_row(f, v.reference) for f in v.figures),
        tuple((f"{d.first:,} to {d.last:,}", decibels(d.db)) for d in v.drift),
        "" if c is None else c.unit,
        () if c is None else _classes(c),
        () if c is None else tuple((str(a), str(b), f"{n:,}") for a, b, n in c.pairs[:12]),
        () if c is None else tuple((str(m.sample), str(m.label), str(m.answer), f"{m.margin:.3g}") for m in c.mistakes),
        e.built or "",
        e.notes,
    )


def _value(f: Figure) -> str:
    return decibels(f.integer) if f.decibel else f"{100.0 * f.integer:.2f} %"


def _of(f: Figure, error: float, reference: str) -> str:
    """What stands below the headline."""
    parts = []
    if f.real is not None:
        parts.append(f"{reference} {100.0 * f.real:.2f} %")
    if error:
        parts.append(f"±{100.0 * BELIEVED * error:.2f} points (95 %)")
    return ", ".join(parts)


def _row(f: Figure, reference: str) -> Row:
    error = f.error if reference else f.own_error
    return Row(
        f.name,
        "" if f.real is None else f"{f.real:.4f}",
        decibels(f.integer) if f.decibel else f"{f.integer:.4f}",
        f"{error:.4f}" if error else "",
    )


def _classes(c: Confusion) -> tuple[ClassRow, ...]:
    rows = []
    for f, counts in zip(c.classes, c.matrix, strict=True):
        shown = tuple(
            ("", "0") if x is None else (f"{x:.4f}", f"{100.0 * x:.1f}") for x in (f.precision, f.recall, f.f1)
        )
        rows.append(
            ClassRow(str(f.number), shown, f"{f.support:,}", _cells(f.number, [int(n) for n in counts], c.unit))
        )
    return tuple(rows)


def _cells(label: int, counts: Sequence[int], unit: str) -> tuple[Cell, ...]:
    """Shades are shares of the label's own count: rare classes show as well as frequent ones."""
    every = max(1, sum(counts))
    return tuple(
        Cell(
            f"{n:,}" if n else "", round(100 * n / every), i == label,
            f"{n:,} {unit} of class {label} taken for {i}: {100.0 * n / every:.1f} %",
        )
        for i, n in enumerate(counts)
    )  # fmt: skip
