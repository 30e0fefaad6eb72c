"""The networks that a search found for boards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygen.api.built import BuildFolder
from tinygen.api.result import Result, words
from tinygen.compress.recipe import Recipe
from tinygen.errors import TargetError
from tinygen.fit.prove import Point
from tinygen.fit.result import BoardResult, FitResult, folder_of
from tinygen.report import search as report
from tinygen.report.table import Table


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class FittedPoint:
    """A network on a board, built and proved in `folder`."""

    _point: Point
    folder: Path

    @property
    def board(self) -> str:
        """Id of the board."""
        return self._point.board

    @property
    def recipe(self) -> Recipe:
        """What was done to the network."""
        return self._point.recipe

    @property
    def optimize(self) -> str:
        """How kernels were chosen: speed, balanced or size."""
        return self._point.optimize

    @property
    def onnx(self) -> bytes:
        """The compressed network (QDQ)."""
        return self._point.content

    @property
    def quality(self) -> float:
        """By the measure of the search, on the test samples where there were any."""
        return self._point.quality

    @property
    def flash(self) -> int | None:
        """Bytes of flash."""
        return self._point.flash

    @property
    def ram(self) -> int | None:
        """Bytes of RAM."""
        return self._point.ram

    @property
    def milliseconds(self) -> float | None:
        """Of an inference; None on a core without a cycle model."""
        return self._point.milliseconds

    @property
    def fits(self) -> bool:
        """Whether it is within the budget."""
        return self._point.fits

    @property
    def build(self) -> BuildFolder:
        """Its C: a folder that can be verified, profiled and evaluated."""
        return BuildFolder(self.folder / "build")

    def __repr__(self) -> str:
        said = "fits" if self.fits else "does not fit"
        return words("FittedPoint", f"{self._point.name}, {self.recipe.describe()}: {self.quality:.4f}, {said}")


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Fitted(Result):
    """What a search found; `folder` holds the report and every point with its recipe, ONNX file and C."""

    _result: FitResult
    folder: Path

    @property
    def boards(self) -> tuple[BoardResult, ...]:
        """For each board the budget, all candidates, and what stands in the way where none fits."""
        return self._result.boards

    @property
    def points(self) -> tuple[FittedPoint, ...]:
        """Of all boards, those that were built."""
        return tuple(FittedPoint(p, self.folder / folder_of(p)) for b in self.boards for p in b.points)

    def check(self) -> None:
        """TargetError that says what stands in the way, where a board has no network within its budget."""
        missed = [b for b in self.boards if not any(p.fits for p in b.points)]
        if missed:
            rows = [f"  {text}." for b in missed for text in b.nearest]
            names = ", ".join(b.board.id for b in missed)
            raise TargetError(
                "\n".join([
                    f"no network within the budget was found for {names}. The nearest, and what stands in the way:",
                    *rows,
                    "Raise that budget, allow less accuracy, or search longer (`trials`, `epochs`).",
                ]),
                self.to_dict(),
            )  # fmt: skip

    def tables(self) -> tuple[Table, ...]:
        return report.tables(self._result)

    def to_dict(self) -> dict[str, Any]:
        return report.as_dict(self._result)

    def __repr__(self) -> str:
        return words("Fitted", f"{self._result.model}: {len(self.points)} networks in {self.folder}")
