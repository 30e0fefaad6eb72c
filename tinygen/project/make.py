"""Builds what a project file says: each model is quantised and judged once, then built for each of its boards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinygen.compress.recipe import Recipe, read_recipe
from tinygen.compress.structure.student import Student
from tinygen.emit.writer import check_output, write_folder
from tinygen.errors import AccuracyError, TinygenError
from tinygen.flow.build import build
from tinygen.flow.compress import compressed_file
from tinygen.flow.gates import Gates, Terms
from tinygen.flow.judge import judged
from tinygen.flow.library import sensors_of
from tinygen.flow.quantised import load, quantised
from tinygen.flow.source import source_of
from tinygen.flow.types import Built, Judged, Loaded
from tinygen.progress import Progress, no_progress
from tinygen.project.file import ModelSpec, Project, TargetSpec


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model of a project, ready to be built for any board. `source_sha256`: of its ONNX file; `compressed`: the file
    that a recipe made of it; `missed`: the limits of accuracy that it misses, where that was to be told, not raised."""

    spec: ModelSpec
    found: Judged
    source_sha256: str
    compressed: bytes | None = None
    missed: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of a target: a build, or why there is none."""

    target: TargetSpec
    built: Built | None
    error: TinygenError | None = None


#: Called with each target as it is done.
Watch = Callable[[Attempt], None]


class FailedError(TinygenError):
    """Some targets of a project could not be built; the exit code is the first one's."""

    def __init__(self, failed: Sequence[Attempt], count: int, report: Mapping[str, Any] | None = None) -> None:
        names: dict[str, list[str]] = {}  # by reason: of a model that is none, all targets have the same
        for a in failed:
            names.setdefault(_indented(str(a.error)), []).append(a.target.name)
        lines = [f"  {', '.join(of)}: {why}" for why, of in names.items()]
        super().__init__("\n".join([f"{len(failed)} of {count} targets could not be built:", *lines]), report)
        self.exit_code = next((o.error.exit_code for o in failed if o.error is not None), 1)


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")


def build_project(
    project: Project, *, watch: Watch = lambda _: None, progress: Progress = no_progress, force: bool = False
) -> tuple[Attempt, ...]:
    """Build every target into its folder; one that fails does not stop the others. OutputError, before any work, for
    folders that cannot be written."""
    for target in project.targets:
        check_output(target.folder, force=force)
    done = []
    for model in project.models:
        for attempt in make(model, progress):
            if attempt.built is not None:
                try:
                    changes = write_folder(attempt.target.folder, attempt.built.files, force=force)
                    attempt = replace(attempt, built=replace(attempt.built, changes=changes))
                except TinygenError as e:
                    attempt = replace(attempt, built=None, error=e)
            watch(attempt)
            done.append(attempt)
    return tuple(done)


def make(model: ModelSpec, progress: Progress = no_progress) -> Iterator[Attempt]:
    """Every target of a model in turn, in memory."""
    try:
        ready = prepare(model, progress)
    except TinygenError as e:
        yield from (Attempt(t, None, e) for t in model.targets)
        return
    for target in model.targets:
        try:
            yield Attempt(target, build_target(ready, target, progress))
        except TinygenError as e:
            yield Attempt(target, None, e)


def prepare(model: ModelSpec, progress: Progress = no_progress, *, tell_missed: bool = False) -> Prepared:
    """A model compressed, if it has a recipe, quantised and judged. A network that integers destroyed, or that misses a
    limit, is an AccuracyError; with `tell_missed` it goes on as it is, and says so."""
    loaded = load(
        model.path, name=model.name, input_shapes=model.input_shapes, states=model.states, constants=model.constants
    )
    source_sha256 = loaded.imported.sha256
    compressed = None
    if model.recipe is not None:
        compressed = _compressed(model, loaded, progress)
        loaded = load(model.path, name=model.name, content=compressed)
    c = model.calibration
    found = quantised(loaded, c, None, progress)
    for target in model.targets:  # told before there is more work
        sensors_of(found.fixed, target.target.library)
    missed = ""
    try:
        verdict = judged(found, c.method, c.activations, model.terms, progress)
    except AccuracyError as e:
        if not tell_missed:
            raise
        missed = str(e)
        verdict = judged(found, c.method, c.activations, Terms(repair=False, accept_loss=True), progress)
    return Prepared(model, verdict, source_sha256, compressed, missed)


def build_target(
    ready: Prepared, target: TargetSpec, progress: Progress = no_progress, *, limits: bool = True
) -> Built:
    """A prepared model built and proved for one board. TargetError for what does not fit the board, and, with `limits`,
    for what takes more than those allow."""
    gates = target.gates if limits else Gates()
    return build(ready.found, ready.spec.calibration, target.target, target.proof, gates, progress)


def _compressed(model: ModelSpec, loaded: Loaded, progress: Progress) -> bytes:
    """The ONNX file that the model's recipe makes."""
    data = model.calibration.data
    assert model.recipe is not None
    assert data is not None
    recipe = recipe_of(model.recipe)
    return compressed_file(source_of(loaded, data), recipe, method=model.calibration.method, progress=progress)[0]


def recipe_of(path: Path) -> Recipe:
    """A recipe, with the student's model where the recipe lies, wherever we stand."""
    recipe = read_recipe(path)
    student = recipe.get(Student)
    if student is None or student.model is None:
        return recipe
    return recipe.with_(replace(student, model=str(path.parent / student.model)))
