"""What an inference takes from the supply, as `tinygen profile` and `tinygen inspect` show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygen.report.table import Column, Table, columns
from tinygen.report.words import milliseconds
from tinygen.targets.board import Board
from tinygen.targets.energy import Energy, Span, why_unknown


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
        "measured": supply.measured,
        "source": supply.source,
        "sleep_microamperes": supply.sleep_microamperes,
        "sleep_source": supply.sleep_source,
        "clocks": [
            {
                "clock_hz": e.clock_hz,
                "milliamperes": next(p.milliamperes for p in supply.run if p.clock_hz == e.clock_hz),
                "milliseconds": _span(e.milliseconds),
                "microjoules": _span(e.microjoules),
                "period": None
                if e.period is None
                else {
                    "seconds": e.period.seconds,
                    "microjoules": _span(e.period.microjoules),
                    "milliwatts": _span(e.period.milliwatts),
                },
            }
            for e in found
        ],
    }


def _span(s: Span) -> dict[str, float]:
    return {"low": round(s.low, 6), "likely": round(s.likely, 6), "high": round(s.high, 6)}
