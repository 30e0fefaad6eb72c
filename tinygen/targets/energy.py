"""Energy of an inference: what the board draws, for as long as the inference takes; and how far that may be off.

Figures are three, a `Span`: the most likely one and the two between which it should be. docs/PROFILE.md says how the
factors below were found; `python -m benchmarks.energy` repeats it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinygen.targets.board import Board, Supply
from tinygen.targets.flash import SILICON


@dataclass(frozen=True, slots=True)
class Span:
    """A figure, and the least and the most that it should be."""

    low: float
    likely: float
    high: float

    def times(self, factor: float | Span) -> Span:
        """Of two figures that have nothing to do with each other: the ends by the ends."""
        f = factor if isinstance(factor, Span) else Span(factor, factor, factor)
        return Span(self.low * f.low, self.likely * f.likely, self.high * f.high)

    def plus(self, other: float) -> Span:
        return Span(self.low + other, self.likely + other, self.high + other)


#: What networks draw, as a share of what a board's manifest has, by what drew that.
DRAWN = {"networks": Span(0.8, 1.0, 1.1), "datasheet": Span(1.0, 1.3, 1.6), "catalogue": Span(1.0, 1.8, 2.4)}
#: Time on silicon as a share of modelled cycles.
MODELLED = Span(*SILICON)


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of an inference: with memory that never waits, from the part's flash, and where silicon should lie.
    None where cycles, or that flash, are not modelled."""

    zero_wait: float | None
    flash: float | None
    silicon: Span | None


def times(board: Board, cycles: float | None, flash_cycles: float | None) -> Times:
    """`cycles`: without waits; for a core without a model, but with a `pace`, those that it is of. `flash_cycles`: with
    those of a modelled flash, None of any other."""

    def ms(n: float | None) -> float | None:
        return None if n is None else 1000.0 * n / board.f_cpu_hz

    if board.core.timing is None:
        if board.core.pace is None or cycles is None:
            return Times(None, None, None)
        return Times(None, None, Span(*board.core.pace).times(1000.0 * cycles / board.f_cpu_hz))
    flash = ms(flash_cycles)
    return Times(ms(cycles), flash, None if flash is None else MODELLED.times(flash))


@dataclass(frozen=True, slots=True)
class Period:
    """An inference and the sleep behind it, every `seconds`: microjoules of both together, their mean in milliwatts."""

    seconds: float
    microjoules: Span
    milliwatts: Span


@dataclass(frozen=True, slots=True)
class Energy:
    """Of an inference at `clock_hz`, in microjoules, and how long it takes in milliseconds. `period` where one was
    asked for, the sleep's current is known, and the inference is done in time."""

    clock_hz: int
    milliseconds: Span
    microjoules: Span
    period: Period | None
    supply: Supply


def why_unknown(board: Board) -> str:
    """Why nothing can be said of a board; "" where something can."""
    core = board.core
    if board.supply is None:
        return f"the current of {board.id} is not known: its manifest names no supply"
    if core.timing is None and core.pace is None:
        return f"cycles of {core.name} are not modelled: {core.no_timing}"
    return ""


def energy(board: Board, cycles: float, every: float | None = None) -> Energy | None:
    """Of an inference of so many cycles at the board's clock, once, and every so many seconds. `cycles`: with the waits
    of the flash, where they are known; for a core with a `pace` those that it is of. None: `why_unknown`."""
    found = energies(board, {board.f_cpu_hz: cycles}, every)
    return found[0] if found else None


def energies(board: Board, cycles: Mapping[int, float], every: float | None = None) -> tuple[Energy, ...]:
    """The same at several clocks: cycles by clock. Those whose current is not known are left out."""
    if board.supply is None or why_unknown(board):
        return ()
    pace = MODELLED if board.core.pace is None else Span(*board.core.pace)
    drawn = DRAWN[board.supply.of]
    found = []
    for point in board.supply.run:
        if point.clock_hz in cycles:
            ms = pace.times(1000.0 * cycles[point.clock_hz] / point.clock_hz)
            active = ms.times(drawn).times(point.milliamperes * board.supply.volts)
            found.append(Energy(point.clock_hz, ms, active, _period(board.supply, ms, active, every), board.supply))
    return tuple(found)


def _period(supply: Supply, ms: Span, active: Span, every: float | None) -> Period | None:
    if every is None or supply.sleep_microamperes is None or ms.high > 1000.0 * every:
        return None
    sleep_mw = supply.sleep_microamperes * supply.volts / 1000.0
    # Of the least time the longest sleep; beside the inference that is nothing.
    whole = active.plus(sleep_mw * (1000.0 * every - ms.likely))
    return Period(every, whole, whole.times(1.0 / (1000.0 * every)))
