"""What a finished search says."""

from __future__ import annotations

from dataclasses import dataclass, field

from tinygen.fit.budget import Budget
from tinygen.fit.points import Candidate, Choice
from tinygen.fit.prove import Point
from tinygen.targets.board import Board
from tinygen.targets.energy import Energy


@dataclass(frozen=True, slots=True)
class BoardResult:
    """What a search found for one board."""

    board: Board
    budget: Budget
    candidates: tuple[Candidate, ...]
    points: tuple[Point, ...]
    nearest: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FitResult:
    """A finished search. `judged_on`: the samples that `float_quality` and the points' quality are of; `commands`: what
    makes and what builds each point, by its name."""

    model: str
    measure: str
    judged_on: str
    float_quality: float
    trials: int
    failures: tuple[tuple[str, str], ...]
    boards: tuple[BoardResult, ...]
    command: str
    commands: dict[str, tuple[str, str]] = field(default_factory=dict)
    choice: Choice = field(default_factory=Choice)

    def energy(self, board: Board, p: Point) -> Energy | None:
        """Of an inference of a point; None where it is not known."""
        return self.choice.energy(board, p.predicted.milliseconds if p.milliseconds is None else p.milliseconds)


def folder_of(p: Point) -> str:
    """Of a point, below the folder of the search."""
    return f"points/{p.name}"
