"""A project: what a team's tinygen.toml says, built and checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygen.api.board import board_of
from tinygen.api.built import Build
from tinygen.api.result import Result, words
from tinygen.errors import CheckError
from tinygen.files import check_file, write_file
from tinygen.names import model_name
from tinygen.progress import Progress, no_progress
from tinygen.project import check as checking
from tinygen.project import file, make
from tinygen.project.compare import Standings, State
from tinygen.project.lock import LockFile
from tinygen.project.make import Attempt, FailedError
from tinygen.project.new import new_project as make_project
from tinygen.report import check as check_report
from tinygen.report import project as report
from tinygen.report.table import Table
from tinygen.targets.board import DEFAULT_BOARD, Board

#: Called with a line about each target as it is done.
Watch = Callable[[str], None]


def _nobody(_: str) -> None:
    pass


def open_project(path: str | os.PathLike[str] | None = None) -> Project:
    """The project of a file or folder; without one, of the nearest tinygen.toml, here or above. ProjectError for what
    makes no sense in it."""
    return Project(file.read_project(file.find_project(Path()) if path is None else Path(path)))


def new_project(
    model: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None, boards: Sequence[str | Board] = (), *,
    data: str | os.PathLike[str] | None = None, test: str | os.PathLike[str] | None = None, name: str | None = None,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None, states: Mapping[str, str] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Project:  # fmt: skip
    """A new folder with a tinygen.toml to edit, the model, and where data goes; named as the model unless given.
    OutputError for a folder that holds anything."""
    path = Path(model)
    place = Path(model_name(name or path.stem) if folder is None else folder)
    found = [board_of(b) for b in boards or (DEFAULT_BOARD,)]
    samples, judges = (None if x is None else Path(x) for x in (data, test))
    make_project(
        path, place, found, data=samples, test=judges, name=name, input_shapes=input_shapes, states=states,
        constants=constants,
    )  # fmt: skip
    return open_project(place)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Project:
    """Models, their boards, options and limits (docs/PROJECT.md). `only`, of its methods: models (kws) or targets
    (kws/nucleo_f446re); all where none is named."""

    _project: file.Project

    @property
    def path(self) -> Path:
        """The project file."""
        return self._project.file

    @property
    def output(self) -> Path:
        """The folder that builds go to."""
        return self._project.output

    @property
    def lock(self) -> Path:
        """What `check` compares with."""
        return self._project.lock

    @property
    def targets(self) -> tuple[str, ...]:
        """MODEL/BOARD of each build."""
        return tuple(t.name for t in self._project.targets)

    def build(
        self, only: Sequence[str] = (), *, force: bool = False, watch: Watch = _nobody, progress: Progress = no_progress
    ) -> ProjectBuild:
        """Build targets into their folders; one that fails does not stop the others: `check` raises for it."""
        project = self._project.only(only)
        say = _Count(len(project.targets), watch)
        done = make.build_project(project, watch=lambda a: say(report.line(a)), progress=progress, force=force)
        return ProjectBuild(done, project.output)

    def check(
        self, only: Sequence[str] = (), *, strict: bool = False, renew: bool = False, watch: Watch = _nobody,
        progress: Progress = no_progress,
    ) -> ProjectCheck:  # fmt: skip
        """Build targets in a temporary folder, and compare them with tinygen.lock. `strict`: all that is not as
        recorded, or better, fails; `renew`: today's figures are recorded, unless a target cannot be built. CheckError
        without a lock."""
        project = self._project.only(only)
        check_file(project.lock if renew else None)
        first = renew and not project.lock.exists()
        was = LockFile({}, {}) if first else checking.recorded(project)
        say = _Count(len(project.targets), watch)
        found = checking.check_project(
            project, was, whole=not only, watch=lambda name, how: say(f"{name}: {how}"), progress=progress
        )
        if renew and not found.comparison.count(State.FAILED):
            checking.renew(found, None if first else was, whole=not only)
        return ProjectCheck(found, strict, renew)

    def __repr__(self) -> str:
        return words("Project", f"{self.path}: {len(self.targets)} targets")


class _Count:
    """[2/9] before each line."""

    def __init__(self, total: int, watch: Watch) -> None:
        self._done, self._total, self._watch = 0, total, watch

    def __call__(self, text: str) -> None:
        self._done += 1
        self._watch(f"[{self._done}/{self._total}] {text}")


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ProjectBuild(Result):
    """What became of each target."""

    _done: tuple[Attempt, ...]
    folder: Path

    @property
    def builds(self) -> dict[str, Build]:
        """Those that were built, by MODEL/BOARD."""
        return {a.target.name: Build(a.built, a.target.folder) for a in self._done if a.built is not None}

    @property
    def failed(self) -> tuple[str, ...]:
        return tuple(a.target.name for a in self._done if a.built is None)

    @property
    def notes(self) -> tuple[str, ...]:
        return report.notes(self._done)

    def check(self) -> None:
        """FailedError with what every target lacks that could not be built; its exit code is the first one's."""
        failed = [a for a in self._done if a.built is None]
        if failed:
            raise FailedError(failed, len(self._done), self.to_dict())

    def tables(self) -> tuple[Table, ...]:
        return report.tables(self._done)

    def to_dict(self) -> dict[str, Any]:
        return report.as_dict(self._done)

    def __repr__(self) -> str:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return words("ProjectBuild", f"{len(self.builds)} built{failed}")


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ProjectCheck(Result):
    """A project's figures beside those recorded."""

    _found: checking.Checked
    strict: bool
    renewed: bool

    @property
    def comparison(self) -> Standings:
        """Every figure, and how it stands."""
        return self._found.comparison

    @property
    def passed(self) -> bool:
        return not check_report.failing(self._found, strict=self.strict, renewed=self.renewed)

    @property
    def notes(self) -> tuple[str, ...]:
        return self._found.notes

    @property
    def summary(self) -> str:
        """A sentence: how many figures stand how."""
        return check_report.summary(self.comparison)

    def check(self) -> None:
        """CheckError with the figures that fail."""
        failing = check_report.failing(self._found, strict=self.strict, renewed=self.renewed)
        if failing:
            raise CheckError(check_report.why(self._found, failing, renewed=self.renewed), self.to_dict())

    def save_junit(self, path: str | os.PathLike[str]) -> None:
        """A test suite a target, a case a figure."""
        write_file(Path(path), check_report.junit(self._found, strict=self.strict))

    def save_markdown(self, path: str | os.PathLike[str]) -> None:
        """The summary of a pull request."""
        write_file(Path(path), self.to_markdown().encode())

    def to_markdown(self) -> str:
        return check_report.markdown(self._found, passed=self.passed)

    def tables(self) -> tuple[Table, ...]:
        return check_report.tables(self.comparison, "Accepted" if self.renewed else "Not as recorded")

    def to_dict(self) -> dict[str, Any]:
        return check_report.as_dict(self._found, passed=self.passed)

    def __repr__(self) -> str:
        return words("ProjectCheck", f"{'passed' if self.passed else 'failed'}: {self.summary}")
