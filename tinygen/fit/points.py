"""Which of the networks that a search found are worth building: the Pareto front within the budget, or the nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinygen.fit.budget import Budget
from tinygen.fit.search import BoardCost, Record


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


def select(points: Sequence[Candidate], count: int) -> list[Candidate]:
    """At most `count` to build. Within the budget: the most accurate, then the least flash, time and RAM, then those
    farthest from all chosen so far. If none is within: the nearest."""
    fitting = front([p for p in points if p.fits])
    if not fitting:
        return sorted(front(points), key=lambda p: (p.distance, p.row))[: max(1, min(2, count))]
    chosen: list[Candidate] = []
    for column in (0, 1, 3, 2):
        best = min(fitting, key=lambda p: (p.row[column], p.row))
        if best not in chosen and len(chosen) < count:
            chosen.append(best)
    spans = [max(p.row[i] for p in fitting) - min(p.row[i] for p in fitting) or 1.0 for i in range(4)]
    rest = [p for p in fitting if p not in chosen]
    while rest and len(chosen) < count:
        far = max(rest, key=lambda p: (min(_apart(p, c, spans) for c in chosen), [-v for v in p.row]))
        chosen.append(far)
        rest.remove(far)
    return sorted(chosen, key=lambda p: p.row)


def _apart(a: Candidate, b: Candidate, spans: Sequence[float]) -> float:
    return sum(((x - y) / s) ** 2 for x, y, s in zip(a.row, b.row, spans, strict=True))
