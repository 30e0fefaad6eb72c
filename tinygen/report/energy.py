"""How long an inference takes and what it draws from the supply, as all commands show it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tinygen.report.table import Column, Table, columns
from tinygen.report.words import milliseconds
from tinygen.targets.board import Board
from tinygen.targets.energy import Energy, Span, Times, why_unknown


def times(found: Times, how: str = "predicted") -> Iterator[tuple[str, str, str]]:
    """Rows of what is known: what, milliseconds, and what they are."""
    for what, ms in (("never waits", found.zero_wait), ("from flash", found.flash)):
        if ms is not None:
            yield what, milliseconds(ms), f"ms, {how}"
    if found.silicon is not None:
        s = found.silicon
        yield "on silicon", milliseconds(s.likely), f"ms, likely; {milliseconds(s.low)} to {milliseconds(s.high)}"


def times_json(found: Times) -> dict[str, Any]:
    """The same for documents."""
    silicon = None if found.silicon is None else span_json(found.silicon)
    return {"zero_wait": found.zero_wait, "flash": found.flash, "silicon": silicon}


def tables(board: Board, found: Sequence[Energy], every: float | None, caption: str = "") -> tuple[Table, ...]:
    """A row for each clock whose current is known; with `every` seconds, what a period takes. None of a board of which
    nobody asked and nothing is known."""
    if not found:
        if every is None:
            return ()
        why = why_unknown(board) or (
            f"cycles of {board.core.name} are not counted" if board.core.timing is None else "kernels never measured"
        )
        return (Table(f"Energy on {board.id}", (Column(),), ((f"not known: {why}.",),)),)
    rows = [
        (f"{e.clock_hz / 1e6:g}", milliseconds(e.milliseconds.likely), span(e.microjoules), *_period(e, every))
        for e in found
    ]
    numbers = ("MHz", "ms", "uJ an inference", *(["uJ a period", "mean mW"] if every is not None else []))
    supply = found[0].supply
    said = f"The likely figure, and between which it should be. Current: {supply.source}."
    if every is not None:
        slept = supply.sleep_source or "not known"
        said += f" Sleep between inferences, every {1000 * every:g} ms: {slept}."
    return (
        Table(f"Energy on {board.id} at {supply.volts:g} V", columns(*numbers, right=numbers), tuple(rows),
              f"{said} {caption}".strip()),
    )  # fmt: skip


def _period(e: Energy, every: float | None) -> tuple[str, ...]:
    if every is None:
        return ()
    if e.period is not None:
        return span(e.period.microjoules), span(e.period.milliwatts)
    return ("too slow" if e.milliseconds.high > 1000.0 * every else "not known"), ""


def span(s: Span) -> str:
    """ "312 (260 to 370)" """
    return f"{digits(s.likely)} ({digits(s.low)} to {digits(s.high)})"


def digits(x: float) -> str:
    """Three of them, which is more than is known."""
    return f"{x:,.0f}" if x >= 100.0 else f"{x:.3g}"


def as_dict(board: Board, found: Sequence[Energy]) -> dict[str, Any] | None:
    """None where nothing is known."""
    if not found:
        return None
    supply = found[0].supply
    return {
        "volts": supply.volts,
        "measured": supply.of == "networks",
        "of": supply.of,
        "source": supply.source,
        "sleep_microamperes": supply.sleep_microamperes,
        "sleep_source": supply.sleep_source,
        "clocks": [
            {
                "clock_hz": e.clock_hz,
                "milliamperes": next(p.milliamperes for p in supply.run if p.clock_hz == e.clock_hz),
                "milliseconds": span_json(e.milliseconds),
                "microjoules": span_json(e.microjoules),
                "period": None
                if e.period is None
                else {
                    "seconds": e.period.seconds,
                    "microjoules": span_json(e.period.microjoules),
                    "milliwatts": span_json(e.period.milliwatts),
                },
            }
            for e in found
        ],
    }


def span_json(s: Span) -> dict[str, float]:
    return {"low": round(s.low, 6), "likely": round(s.likely, 6), "high": round(s.high, 6)}
