"""Two builds, or two locks of a project, side by side."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygen.api.result import Result, words
from tinygen.errors import OutputError
from tinygen.files import write_file
from tinygen.project import diff as comparing
from tinygen.project.compare import Standings, compare
from tinygen.project.lock import read_lock
from tinygen.report import check as check_report
from tinygen.report import diff as report
from tinygen.report import diff_page
from tinygen.report.table import Table


def diff(a: str | os.PathLike[str], b: str | os.PathLike[str], *, count: bool = True) -> BuildDiff | LockDiff:
    """What the second has else: two built folders, which are compiled and counted where the tools are there and
    `count` says so, or two tinygen.lock files."""
    one, two = Path(a), Path(b)
    if one.is_file() and two.is_file():
        return LockDiff(one, two, compare(read_lock(one), read_lock(two)))
    if one.is_file() or two.is_file():
        raise OutputError(f"{one} and {two}: one is a file. Give two built folders, or two locks (tinygen.lock).")
    return BuildDiff(comparing.diff_folders(one, two, count=count))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class BuildDiff(Result):
    """Two builds, layer by layer."""

    _found: comparing.BuildDiff

    @property
    def layers(self) -> tuple[comparing.LayerPair, ...]:
        """Pairs of layers, in order; one side is None where a layer is new or gone."""
        return self._found.layers

    @property
    def same_integers(self) -> bool | None:
        """Whether both give the same outputs for the same inputs; None where they were proved on others."""
        return self._found.same_integers

    @property
    def notes(self) -> tuple[str, ...]:
        return self._found.notes

    def save_page(self, path: str | os.PathLike[str]) -> None:
        """An HTML page that needs nothing else."""
        write_file(Path(path), diff_page.render_page(self._found))

    def tables(self) -> tuple[Table, ...]:
        return report.tables(self._found)

    def to_dict(self) -> dict[str, Any]:
        return report.as_dict(self._found)

    def __repr__(self) -> str:
        other = sum(bool(p.what) for p in self.layers)
        return words(
            "BuildDiff", f"{' and '.join(report.heads(self._found))}: {other} of {len(self.layers)} layers differ"
        )


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class LockDiff(Result):
    """Two locks of a project: figures of models and targets."""

    a: Path
    b: Path
    comparison: Standings

    def tables(self) -> tuple[Table, ...]:
        return check_report.tables(self.comparison, "Figures that differ")

    def to_dict(self) -> dict[str, Any]:
        return report.locks_as_dict(str(self.a), str(self.b), self.comparison)

    def __repr__(self) -> str:
        return words("LockDiff", f"{self.a} and {self.b}: {check_report.summary(self.comparison)}")
