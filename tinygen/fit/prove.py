"""The end of a search: the chosen networks made anew from their recipes, built, verified, measured and tested."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tinygen.calibrate.data import Samples
from tinygen.calibrate.methods import DEFAULT_METHOD
from tinygen.compress.log import LayerChange
from tinygen.compress.recipe import Recipe
from tinygen.compress.train.settings import Training
from tinygen.errors import MissingToolError
from tinygen.files import work_folder
from tinygen.fit.budget import Budget, blame
from tinygen.fit.points import Candidate
from tinygen.fit.search import Job
from tinygen.flow.build import build_folder
from tinygen.flow.compress import compressed_file, read_back
from tinygen.flow.cost import Cost, cost
from tinygen.flow.gates import Terms
from tinygen.flow.quality import Scorer
from tinygen.flow.quantised import load
from tinygen.flow.source import Source
from tinygen.flow.types import Calibration, Quantised, Target
from tinygen.profile.folder import profile_folder
from tinygen.progress import Progress
from tinygen.targets.board import Board
from tinygen.targets.cores import get_core
from tinygen.targets.energy import Times


@dataclass(frozen=True, slots=True)
class Point:
    """A network on a board: what the search predicted, and what building it showed.

    Bytes as the linker and the emulator say, None without their tools; `cycles` and `milliseconds` from the emulator,
    flash waits of the part included, None where the core's cycles are not modelled; `times` is more of them, predicted
    where nothing was counted. `validation` and `test` are
    quality; `verified`: cores whose outputs equal numpy's, byte for byte. `problems`: budgets that it misses;
    `shortfall`: that the test samples say less than the validation part did, which changes no choice any more. `files`:
    its build.
    """

    name: str
    board: str
    optimize: str
    recipe: Recipe
    content: bytes
    changes: tuple[LayerChange, ...]
    searched: Candidate
    predicted: Cost
    validation: float
    test: float | None
    flash: int | None
    ram: int | None
    cycles: int | None
    milliseconds: float | None
    times: Times
    verified: tuple[str, ...]
    outputs_sha256: str | None
    problems: tuple[str, ...]
    shortfall: str | None
    notes: tuple[str, ...]
    files: Mapping[str, bytes]

    @property
    def fits(self) -> bool:
        return not self.why_not

    @property
    def why_not(self) -> tuple[str, ...]:
        """All that keeps it from the budget."""
        return (*self.problems, *(() if self.shortfall is None else (self.shortfall,)))

    @property
    def quality(self) -> float:
        """On the samples held for the end, or, without them, on the validation part."""
        return self.validation if self.test is None else self.test


class Prover:
    """Makes, builds and measures points; a recipe that several points share is made once."""

    def __init__(
        self, source: Source, test: Samples | None, method: str, workdir: Path | None, epochs: int | None = None
    ) -> None:
        self.source, self.method, self.workdir, self.epochs = source, method, workdir, epochs
        self.validation = Scorer(source.graph, source.validation)
        self.test = None if test is None else Scorer(source.graph, test)
        self._made: dict[str, _Made] = {}

    def point(self, name: str, candidate: Candidate, board: Board, budget: Budget, progress: Progress) -> Point:
        """One candidate, proved. ToolError and VerifyError as `tinygen build` raises them."""
        made = self._make(candidate.record.recipe, progress)
        model = made.model
        predicted = cost(model, board, candidate.cost.optimize)
        progress("building", 0, 1)
        measured = _measure(made.content, self.source, board, candidate.cost.optimize)
        progress("building", 1, 1)
        flash, ram = measured.flash or predicted.flash, measured.ram or predicted.ram
        ms = measured.milliseconds if measured.milliseconds is not None else predicted.milliseconds
        over = budget.excess(made.validation, flash, ram, ms)
        found = replace(predicted, flash=flash, ram=ram, milliseconds=ms)
        problems = blame(found, budget, over)
        if over.get("accuracy", 0.0) > 0.0:
            problems.append(
                f"{self.validation.measure}: {made.validation:.4f} on the validation part, "
                f"{(budget.quality or 0.0) - made.validation:.4f} below {budget.quality:g}"
            )
        return Point(
            name=name,
            board=board.id,
            optimize=candidate.cost.optimize,
            recipe=made.recipe,
            content=made.content,
            changes=made.changes,
            searched=candidate,
            predicted=predicted,
            validation=made.validation,
            test=made.test,
            flash=measured.flash,
            ram=measured.ram,
            cycles=measured.cycles,
            milliseconds=measured.milliseconds,
            times=measured.times or predicted.times,
            verified=measured.verified,
            outputs_sha256=measured.outputs_sha256,
            problems=tuple(problems),
            shortfall=self._shortfall(made.test, budget),
            notes=measured.notes,
            files=measured.files,
        )

    def _shortfall(self, test: float | None, budget: Budget) -> str | None:
        if test is None or budget.quality is None or self.test is None or test >= budget.quality:
            return None
        return (
            f"{self.test.measure}: {test:.4f} on the test samples, {budget.quality - test:.4f} below {budget.quality:g}"
        )

    def _make(self, recipe: Recipe, progress: Progress) -> _Made:
        training = recipe.get(Training)
        if self.epochs is not None and training is not None:
            recipe = recipe.with_(replace(training, epochs=self.epochs))
        if recipe.key not in self._made:
            content, changes = compressed_file(
                self.source, recipe, method=self.method, progress=progress, workdir=self.workdir
            )
            model = read_back(content, self.source.imported.graph.name, self.source.validation)
            test = None if self.test is None else self.test.quality(model.fixed)
            self._made[recipe.key] = _Made(recipe, content, changes, model, self.validation.quality(model.fixed), test)
        return self._made[recipe.key]


@dataclass(frozen=True, slots=True)
class _Made:
    recipe: Recipe
    content: bytes
    changes: tuple[LayerChange, ...]
    model: Quantised
    validation: float
    test: float | None


@dataclass(frozen=True, slots=True)
class _Measured:
    flash: int | None
    ram: int | None
    cycles: int | None
    milliseconds: float | None
    times: Times | None
    verified: tuple[str, ...]
    outputs_sha256: str | None
    notes: tuple[str, ...]
    files: Mapping[str, bytes]


def _measure(content: bytes, source: Source, board: Board, optimize: str) -> _Measured:
    """Build for the board, prove it there and on this computer, count its cycles; notes say what tool is missing."""
    name = source.imported.graph.name
    few = Samples(tuple(x[:4] for x in source.validation.inputs), None, source.validation.sha256, "validation")
    with work_folder() as folder:
        out, terms = folder / "out", Terms(accept_loss=True)
        loaded = load(Path(f"{name}.onnx"), name=name, content=content)
        built = build_folder(loaded, out, Target(board, optimize), Calibration(few), terms=terms)
        notes = list(built.not_verified)
        flash = ram = cycles = None
        milliseconds = times = None
        if built.sizes is not None:
            flash = built.sizes.flash_model + built.sizes.flash_libgcc + built.sizes.flash_libc
            ram = built.plan.arena_len + built.io_bytes + (built.stack or 0)
        if get_core(board.core.name).machine is not None:
            try:
                profile = profile_folder(out, board.id)
            except MissingToolError as e:
                notes.append(f"cycles not counted: {e}")
            else:
                if profile.has_cycles:
                    cycles = profile.total.flash_cycles
                    milliseconds = profile.milliseconds(cycles)
                    times = profile.times
    shas = {r.outputs_sha256 for r in built.results}
    return _Measured(
        flash, ram, cycles, milliseconds, times, tuple(r.core for r in built.results),
        shas.pop() if len(shas) == 1 else None, tuple(notes), built.files,
    )  # fmt: skip


def commands(point: Point, job: Job, folder: str) -> tuple[str, str]:
    """What makes a point anew, and what builds it: run where `fit` ran."""
    options = [o for k, v in job.input_shapes.items() for o in ("--input-shape", f"{k}={','.join(map(str, v))}")]
    options += ["--name", job.name] if job.name is not None else []
    options += ["--calibration", job.method] if job.method != DEFAULT_METHOD else []
    recipe, file = f"{folder}/recipe.toml", f"{folder}/small.onnx"
    make = ["tinygen", "compress", str(job.model), "--data", str(job.data), "--recipe", recipe, *options, "-o", file]
    build = ["tinygen", "build", file, "--board", point.board, "--optimize", point.optimize]
    return shlex.join(make), shlex.join(build)
