"""Which of the networks that a search found are worth building: the Pareto front within the budget, or the nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tinygen.errors import RecipeError, did_you_mean
from tinygen.fit.budget import Budget, Limits
from tinygen.fit.search import BoardCost, Record
from tinygen.targets.board import Board
from tinygen.targets.energy import MODELLED, Energy, energy, why_unknown

#: What may come first among networks within the budget: its column in `Candidate.row`. The energy of an inference
#: follows its time, as a board draws the same whatever it computes.
FIRST = {"energy": 3, "time": 3, "flash": 1, "ram": 2}


@dataclass(frozen=True, slots=True)
class Choice:
    """What is wanted of those within the budget: what is to be least (None: the loss of accuracy); `every`: seconds
    from one inference to the next, in which it must be done."""

    minimize: str | None = None
    every: float | None = None

    def within(self, limits: Limits) -> Limits:
        """Budgets with the time that `every` leaves, at the most that silicon takes for what is modelled."""
        if self.every is None:
            return limits
        most = 1000.0 * self.every / MODELLED.high
        return replace(limits, milliseconds=most if limits.milliseconds is None else min(most, limits.milliseconds))

    def check(self, limits: Limits, boards: Sequence[Board]) -> None:
        """RecipeError for what cannot be chosen by."""
        if self.minimize is None:
            return
        if self.minimize not in FIRST:
            raise RecipeError(
                f'`minimize`: found "{self.minimize}", allowed are {", ".join(FIRST)}.'
                f"{did_you_mean(self.minimize, list(FIRST))}"
            )
        if limits.quality is None:
            raise RecipeError(
                f"`minimize` {self.minimize}: found no `quality`; without it the smallest network is the best. Say the "
                "least that is good enough."
            )
        for board in boards if self.minimize == "energy" else ():
            why = why_unknown(board)
            if not why and board.core.timing is None:
                why = f"cycles of {board.core.name} are not modelled: {board.core.no_timing}"
            if why:
                raise RecipeError(f"`minimize` energy on {board.id}: {why}. Minimise time, or take another board.")

    def energy(self, board: Board, milliseconds: float | None) -> Energy | None:
        """Of an inference of so many milliseconds; None where it is not known."""
        if milliseconds is None or board.core.timing is None:
            return None
        return energy(board, milliseconds * board.f_cpu_hz / 1000.0, self.every)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network on a board with one mode of --optimize, as predicted. `over`: shares by which budgets are exceeded."""

    record: Record
    cost: BoardCost
    over: dict[str, float]

    @property
    def fits(self) -> bool:
        return all(v <= 0.0 for v in self.over.values())

    @property
    def distance(self) -> float:
        """0 within the budget; else the largest excess, as a share of its budget."""
        return max(0.0, *self.over.values())

    @property
    def row(self) -> tuple[float, float, float, float]:
        """Less is better."""
        return -self.record.quality, float(self.cost.flash), float(self.cost.ram), self.cost.time


def candidates(records: Sequence[Record], board: str, budget: Budget) -> list[Candidate]:
    """Every network with every mode."""
    return [
        Candidate(r, c, budget.excess(r.quality, c.flash, c.ram, c.milliseconds))
        for r in records
        for c in r.costs[board]
    ]


def front(points: Sequence[Candidate]) -> list[Candidate]:
    """Those that no other beats in everything (accuracy, flash, RAM, time); of equal ones the first."""
    rows = [p.row for p in points]
    kept: list[Candidate] = []
    seen: set[tuple[float, ...]] = set()
    for point, a in zip(points, rows, strict=True):
        if a not in seen and not any(b != a and _no_worse(b, a) for b in rows):
            seen.add(a)
            kept.append(point)
    return sorted(kept, key=lambda p: p.row)


def _no_worse(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True))


def select(points: Sequence[Candidate], count: int, minimize: str | None = None) -> list[Candidate]:
    """At most `count` to build. Within the budget: the least of `minimize`, the most accurate, then the least flash,
    time and RAM, then those farthest from all chosen so far; what is minimised comes first. If none is within: the
    nearest."""
    first = 0 if minimize is None else FIRST[minimize]
    fitting = front([p for p in points if p.fits])
    if not fitting:
        return sorted(front(points), key=lambda p: (p.distance, p.row))[: max(1, min(2, count))]
    chosen: list[Candidate] = []
    for column in dict.fromkeys((first, 0, 1, 3, 2)):
        best = min(fitting, key=lambda p: (p.row[column], p.row))
        if best not in chosen and len(chosen) < count:
            chosen.append(best)
    spans = [max(p.row[i] for p in fitting) - min(p.row[i] for p in fitting) or 1.0 for i in range(4)]
    rest = [p for p in fitting if p not in chosen]
    while rest and len(chosen) < count:
        far = max(rest, key=lambda p: (min(_apart(p, c, spans) for c in chosen), [-v for v in p.row]))
        chosen.append(far)
        rest.remove(far)
    return sorted(chosen, key=lambda p: (p.row[first], p.row))


def _apart(a: Candidate, b: Candidate, spans: Sequence[float]) -> float:
    return sum(((x - y) / s) ** 2 for x, y, s in zip(a.row, b.row, spans, strict=True))
