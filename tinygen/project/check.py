"""Builds all that a project says, into a temporary folder, and compares it with what was recorded."""

from __future__ import annotations

import hashlib
import importlib.metadata
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tinygen.build.versions import version_of
from tinygen.emit.writer import write_folder
from tinygen.errors import CheckError, MissingToolError, TinygenError
from tinygen.files import work_folder, write_file
from tinygen.flow.planned import predict
from tinygen.flow.types import Built
from tinygen.flow.verify import sample_bytes
from tinygen.profile.folder import profile_folder
from tinygen.progress import Progress, no_progress
from tinygen.project.compare import TOOLS, Demands, Standings, State, compare
from tinygen.project.file import ModelSpec, Project
from tinygen.project.lock import PREDICTED, LockFile, ModelFigures, TargetFigures, read_lock, render_lock
from tinygen.project.make import Prepared, build_target, prepare
from tinygen.targets.flash import flash_of
from tinygen.version import ABI, NUMERICS, VERSION

#: Libraries that the integers of a network depend on: they calibrate, or read the file.
LIBRARIES = ("numpy", "onnx", "onnxruntime")
#: Decimals of recorded shares.
_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Checked:
    """A check: the figures of today, how they stand to those recorded, and what builds had to say."""

    project: Project
    found: LockFile
    comparison: Standings
    notes: tuple[str, ...]


#: Called with the name of each target as it is done, and how: "built" or why not.
Watch = Callable[[str, str], None]


def recorded(project: Project) -> LockFile:
    """What the project's lock holds. CheckError where there is none."""
    if not project.lock.exists():
        raise CheckError(
            f"there is no {project.lock}, so nothing to compare with. Record today's figures with "
            "tinygen check --renew, and commit the file."
        )
    return read_lock(project.lock)


def check_project(
    project: Project,
    was: LockFile,
    *,
    whole: bool = True,
    watch: Watch = lambda _name, _how: None,
    progress: Progress = no_progress,
) -> Checked:
    """Build and measure every target, and compare. The output folders stay as they are. `whole`: the project has not
    been narrowed, so that what only the lock has is gone."""
    run = _Run(watch, progress)
    with work_folder() as folder:
        models = {m.key: run.model(m, folder) for m in project.models}
    measured = {key: m for key, m in models.items() if m is not None}
    found = LockFile(_tools(project, measured), measured)
    if not whole:
        here = {t.name for t in project.targets}
        was = LockFile(was.tools, {k: _narrowed(k, m, here) for k, m in was.models.items() if k in models})
    demands = Demands(
        {t.name: t.gates for t in project.targets}, {t.name: t.board.f_cpu_hz for t in project.targets},
        run.failed, run.missed, run.seconds,
    )  # fmt: skip
    return Checked(project, found, compare(was, found, demands), tuple(dict.fromkeys(run.notes)))


def renew(checked: Checked, was: LockFile | None, *, whole: bool = True) -> None:
    """Record the figures of a check; of a project that was narrowed only those: CheckError, with nothing written, where
    other tools made the rest."""
    lock = checked.found
    if not whole and was is not None:
        other = [
            r.what for g in checked.comparison.groups if g.name == TOOLS for r in g.rows if r.state is State.CHANGED
        ]
        if other:
            raise CheckError(
                f"nothing was recorded: other versions of {', '.join(other)} made the figures that are not renewed. "
                "Renew all of them: leave out `only`."
            )
        lock = was.with_models(checked.found)
    write_file(checked.project.lock, render_lock(lock))


def _narrowed(key: str, m: ModelFigures, here: set[str]) -> ModelFigures:
    return replace(m, targets={b: t for b, t in m.targets.items() if f"{key}/{b}" in here})


class _Run:
    """One check under way: what could not be built, what misses limits, how long it took, what there is to say."""

    def __init__(self, watch: Watch, progress: Progress) -> None:
        self._watch, self._progress = watch, progress
        self.failed: dict[str, str] = {}
        self.missed: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.notes: list[str] = []

    def model(self, model: ModelSpec, folder: Path) -> ModelFigures | None:
        """The figures of a model and those of its targets that can be built; None where it cannot be read."""
        try:
            ready = prepare(model, self._progress, tell_missed=True)
        except TinygenError as e:
            for target in model.targets:
                self._fails(target.name, e)
            return None
        if ready.missed:
            self.missed[model.key] = ready.missed
        found: dict[str, TargetFigures] = {}
        one: Built | None = None
        for target in model.targets:
            start = time.perf_counter()
            try:
                one = build_target(ready, target, self._progress, limits=False)
                found[target.board.id] = self._measure(one, target.name, folder)
            except TinygenError as e:
                self._fails(target.name, e)
            else:
                self._watch(target.name, "built")
            self.seconds[target.name] = time.perf_counter() - start
        return None if one is None else _of_model(ready, one, found)

    def _fails(self, name: str, error: TinygenError) -> None:
        self.failed[name] = str(error)
        self._watch(name, "failed")

    def _measure(self, built: Built, name: str, folder: Path) -> TargetFigures:
        """What a build takes: as the linker and the emulator say, else as the cost model does."""
        self.notes += [f"{name.split('/')[0]}: {n}" for n in built.model.notes]
        self.notes += [f"{name}: {n}" for n in built.notes]
        core, plan = built.board.core, built.plan
        if core.machine is None:
            return TargetFigures(plan.arena_len)
        guess = predict(plan, built.model, flash_of(built.board))
        guessed = guess.cycles, guess.instructions if guess.cycles is None else None
        if built.sizes is None or built.stack is None:
            unmeasured = f"{name}: no record of {', '.join(guess.unmeasured)}, so predictions lack them"
            self.notes += [unmeasured] if guess.unmeasured else []
            return TargetFigures(guess.arena, PREDICTED, guess.flash, guess.ram, guess.stack, PREDICTED, *guessed)
        s = built.sizes
        flash = s.flash_model + s.flash_libgcc + s.flash_libc
        compiler, emulator = core.arch.compiler.programs[0], core.machine.emulator.programs[0]
        found = TargetFigures(
            plan.arena_len, compiler, flash, plan.arena_len + built.io_bytes + built.stack, built.stack
        )
        place = folder / name
        write_folder(place, built.files)
        try:
            p = profile_folder(place)
        except MissingToolError as e:
            self.notes.append(f"{name}: not counted: {e}")
            return replace(found, time_by=PREDICTED, cycles=guessed[0], instructions=guessed[1])
        if p.has_cycles:
            return replace(found, time_by=emulator, cycles=p.total.cycles)
        return replace(found, time_by=emulator, instructions=p.total.instructions)


def _of_model(ready: Prepared, built: Built, targets: Mapping[str, TargetFigures]) -> ModelFigures:
    """What is the same on all boards."""
    outputs = hashlib.sha256(sample_bytes(built.expected)).hexdigest()
    compressed = None if ready.compressed is None else hashlib.sha256(ready.compressed).hexdigest()
    verdict = ready.found.verdict
    if verdict is None:
        return ModelFigures(ready.source_sha256, outputs, compressed, targets=targets)
    main = verdict.main
    return ModelFigures(
        ready.source_sha256, outputs, compressed, main.name, round(main.integer, _DECIMALS),
        round(main.own_error, _DECIMALS), verdict.samples, verdict.samples_sha256, targets,
    )  # fmt: skip


def _tools(project: Project, models: Mapping[str, ModelFigures]) -> dict[str, str]:
    """Versions of all that figures depend on."""
    found = {"tinygen": VERSION, "numerics": str(NUMERICS), "abi": str(ABI)}
    found |= {name: importlib.metadata.version(name) for name in LIBRARIES}
    asked = {by for m in models.values() for t in m.targets.values() for by in (t.sizes_by, t.time_by)}
    for core in (t.board.core for t in project.targets):
        for tool in () if core.machine is None else (core.arch.compiler, core.machine.emulator):
            if tool.programs[0] in asked:
                found[tool.programs[0]] = version_of(tool) or "unknown"
    return found
