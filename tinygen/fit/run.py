"""The whole of `tinygen fit`: search, choose, prove, write."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tinygen.calibrate.data import Samples
from tinygen.compress.pipeline import check_layers
from tinygen.compress.recipe import Recipe, to_toml
from tinygen.compress.split import some
from tinygen.compress.train import need_torch
from tinygen.emit.writer import MANIFEST, check_output, manifest, write_folder
from tinygen.errors import MissingToolError, OutputError, RecipeError
from tinygen.fit.budget import Budget, check_limits
from tinygen.fit.points import Candidate, Choice, candidates, select
from tinygen.fit.prove import Point, Prover, commands
from tinygen.fit.result import BoardResult, FitResult, folder_of
from tinygen.fit.search import JUDGE_SAMPLES, TRAIN_SAMPLES, Job, Search, Watch, need_optuna, search
from tinygen.fit.space import check_techniques, need_training
from tinygen.flow.quality import Scorer
from tinygen.flow.source import SPLIT_SEED, Source, load_source, read_test
from tinygen.progress import Progress
from tinygen.targets.board import Board, load_board


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done. `trials` in all, `seconds` for the search, `jobs` processes, `points` reported for a board,
    `epochs` of their training where it is to be longer than the search's. `enough_steps`: trials train for as many
    epochs as their number of samples needs, whatever the job says."""

    trials: int = 40
    seconds: float | None = None
    jobs: int = 1
    points: int = 3
    epochs: int | None = None
    enough_steps: bool = False


#: The least training of a trial, where the user does not say how much: epochs, and steps in them.
LEAST_EPOCHS, LEAST_STEPS = 3, 200


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are: `test` samples, the `storage` URL, the `work` folder of checkpoints, the `out` folder."""

    test: Path | None
    storage: str
    work: Path
    out: Path


#: Files that tell people and programs what was found, by name.
Report = Callable[[FitResult], Mapping[str, bytes]]


def work_of(out: Path) -> Path:
    """The folder of a search's state, beside its output."""
    return out.with_name(f"{out.name}.search")


def default_storage(out: Path) -> str:
    """URL of the trials, where no other is named."""
    return f"sqlite:///{(work_of(out) / 'study.db').absolute()}"


def fit(
    job: Job, effort: Effort, places: Places, report: Report, *, command: str, resume: bool, force: bool,
    progress: Progress, watch: Watch, tell: Callable[[list[str]], None], choice: Choice,
) -> FitResult:  # fmt: skip
    """Search, build and prove what was found, and write it with the files of `report`; `tell` gets notes before the
    search begins.

    RecipeError for what makes no sense, OutputError for a storage or folder that cannot be used, or for a search that
    is there already and was not to be resumed.
    """
    need_optuna()
    check_techniques(job.techniques)
    check_output(places.out, force=force)
    boards = {b: load_board(b) for b in job.boards}
    choice.check(job.limits, tuple(boards.values()))
    job, notes = _without_torch(replace(job, limits=choice.within(job.limits)))
    source = load_source(job.model, job.data, seed=SPLIT_SEED, input_shapes=job.input_shapes, name=job.name)
    if effort.enough_steps and job.training is not None:
        steps = -(-min(source.fit.count, TRAIN_SAMPLES) // job.training.batch)
        job = replace(job, training=replace(job.training, epochs=max(LEAST_EPOCHS, -(-LEAST_STEPS // steps))))
    check_layers(source.graph, Recipe())
    check_limits(job.limits, boards, source)
    tell([*source.imported.notes, *notes, *_above_float(source, job.limits.quality)])
    test = None if places.test is None else read_test(source, places.test)
    _check_storage(job, source, places, resume=resume)
    found = search(
        job, source, places.storage, trials=effort.trials, seconds=effort.seconds, jobs=effort.jobs,
        progress=progress, watch=watch,
    )  # fmt: skip
    result = _conclude(job, source, found, effort, places, test, boards, command, progress, choice)
    write_folder(places.out, {**report(result), **_files(result)}, force=force)
    return result


def _without_torch(job: Job) -> tuple[Job, list[str]]:
    """The job without training, and a note, where PyTorch is missing."""
    if job.training is None:
        return _untrained(job), []
    try:
        need_torch()
    except MissingToolError as e:
        return _untrained(job), [f"searched without fine-tuning: {e}"]
    return job, []


def _above_float(source: Source, wanted: float | None) -> list[str]:
    """A note, where more is asked for than the float network gives."""
    if wanted is None:
        return []
    judge = Scorer(source.graph, some(source.validation, JUDGE_SAMPLES, SPLIT_SEED))
    if judge.float_quality >= wanted:
        return []
    return [
        f"`quality` {wanted:g} is more than the float network has: {judge.measure} {judge.float_quality:.4f} on "
        "the validation part."
    ]


def _untrained(job: Job) -> Job:
    techniques = tuple(t for t in job.techniques if t not in need_training())
    if not techniques:
        raise RecipeError(f"`techniques`: found only {', '.join(job.techniques)}, which need training (`epochs`).")
    return replace(job, training=None, techniques=techniques)


def _check_storage(job: Job, source: Source, places: Places, *, resume: bool) -> None:
    """The storage's folder is made; OutputError for a search that is there and is not to be resumed."""
    new = not places.work.exists()
    try:
        places.work.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(
            f"cannot create {places.work} for the state of the search: {e.strerror or e}. Choose another folder."
        ) from e
    try:
        done = Search(job, source, places.storage).done()
    except OutputError:
        if new:
            shutil.rmtree(places.work)
        raise
    if done and not resume:
        raise OutputError(
            f"a search for this model, data, boards and budget is on {places.storage} with {done} trials. Go on with "
            "it: `resume=True`; or begin another with another `seed` or `storage`."
        )


def _conclude(
    job: Job, source: Source, found: Search, effort: Effort, places: Places, test: Samples | None,
    boards: Mapping[str, Board], command: str, progress: Progress, choice: Choice,
) -> FitResult:  # fmt: skip
    records, failures = found.records(), found.failures()
    if not records:
        why = f" The last one: {failures[-1].why}" if failures else ""
        raise RecipeError(
            f"the search found no network in {found.done()} trials.{why} Give it more `trials` or `seconds`."
        )
    prover = Prover(source, test, job.method, places.work, effort.epochs)
    results = []
    texts: dict[str, tuple[str, str]] = {}
    for board_id, board in boards.items():
        budget = job.limits.on(board)
        rows = candidates(records, board_id, budget)
        points = _prove(prover, rows, board, budget, effort.points, progress, choice.minimize)
        for p in points:
            texts[p.name] = commands(p, job, f"{places.out}/{folder_of(p)}")
        results.append(BoardResult(board, budget, tuple(rows), tuple(points), tuple(_nearest(points))))
    judge = prover.test or prover.validation
    return FitResult(
        source.imported.graph.name,
        judge.measure,
        judge.samples.source,
        judge.float_quality,
        len(records) + len(failures),
        tuple((f.recipe.describe(), f.why) for f in failures),
        tuple(results),
        command,
        texts,
        choice,
    )


def _prove(
    prover: Prover, rows: Sequence[Candidate], board: Board, budget: Budget, count: int, progress: Progress,
    minimize: str | None,
) -> list[Point]:  # fmt: skip
    """The chosen points, built; and, while measuring shows none of them within the budget, those with more room."""
    chosen = select(rows, count, minimize)
    points: list[Point] = []

    def prove(c: Candidate) -> None:
        progress(f"points for {board.id}", len(points), max(count, len(points) + 1))
        points.append(prover.point(f"{board.id}-{len(points) + 1}", c, board, budget, progress))

    for c in chosen:
        prove(c)
    spare = sorted((c for c in rows if c.fits and c not in chosen), key=lambda c: (max(c.over.values()), c.row))
    for c in spare[:count]:
        if any(not p.problems for p in points):
            break
        prove(c)
    return points


def _nearest(points: Sequence[Point]) -> list[str]:
    """What stands in the way, where no point is within the budget."""
    if any(p.fits for p in points):
        return []
    return [f"{p.name} ({p.recipe.describe()}): {text}" for p in points for text in p.why_not]


# -- files -----------------------------------------------------------------------------------------------------------


def _files(result: FitResult) -> dict[str, bytes]:
    """Of every point the network, what made it, and its build as a folder of its own."""
    files = {}
    for board in result.boards:
        for p in board.points:
            files[f"{folder_of(p)}/small.onnx"] = p.content
            files[f"{folder_of(p)}/recipe.toml"] = to_toml(p.recipe).encode()
            build = {**p.files, MANIFEST: manifest(p.files)}
            files |= {f"{folder_of(p)}/build/{name}": content for name, content in build.items()}
    return files
