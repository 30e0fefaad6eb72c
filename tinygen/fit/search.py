"""The search: trials of recipes on a storage that several processes, and several machines, work on together.

One study a board, all with the same trials: whatever is compressed for one board is also scored for the others, so
that none is compressed twice. A study is named by a hash of model, data and options; its trials survive a kill. SQLite
is the storage unless the user names a database server: a journal file, Optuna's other kind, cannot be read any more
once a process was killed in the middle of a line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import signal
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tinygen import stop, system
from tinygen.compress.recipe import Recipe, from_dict, to_dict
from tinygen.compress.split import some
from tinygen.compress.train.settings import Training
from tinygen.errors import MissingToolError, OutputError, RecipeError, TinygenError
from tinygen.fit.budget import Limits
from tinygen.fit.space import starts, suggest
from tinygen.flow.compress import compressed_file, read_back
from tinygen.flow.cost import cost
from tinygen.flow.quality import Scorer
from tinygen.flow.source import SPLIT_SEED, Source, load_source
from tinygen.progress import Progress
from tinygen.system import Lock
from tinygen.targets.board import Board, load_board
from tinygen.version import VERSION

#: Samples that a trial trains with and is judged by, at most: trials are many, and only compared with each other.
TRAIN_SAMPLES, JUDGE_SAMPLES = 4000, 1000
#: Without a sign of life for so many seconds, a trial of another machine counts as lost.
LOST_AFTER = 900.0
_BEAT = 30.0
_FAULTS = (ValueError, ArithmeticError, RuntimeError, MemoryError)
DIRECTIONS = ("maximize", "minimize", "minimize", "minimize")


@dataclass(frozen=True)
class Job:
    """Everything that decides what a trial finds. Can be sent to another process."""

    model: Path
    data: Path
    boards: tuple[str, ...]
    limits: Limits
    modes: tuple[str, ...]
    techniques: tuple[str, ...]
    training: Training | None
    seed: int = 0
    method: str = "mse"
    name: str | None = None
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def study_name(self, source: Source, board: str) -> str:
        """Equal for searches whose trials can stand in for each other."""
        what = {
            "version": VERSION,
            "model": source.imported.sha256,
            "data": source.sha256,
            "board": board,
            "limits": asdict(self.limits),
            "modes": self.modes,
            "techniques": self.techniques,
            "training": None if self.training is None else asdict(self.training),
            "seed": self.seed,
            "method": self.method,
        }
        return f"tinygen-{hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]}-{board}"


@dataclass(frozen=True, slots=True)
class BoardCost:
    """What a trial's network takes of a board with one mode of --optimize."""

    optimize: str
    flash: int
    ram: int
    milliseconds: float | None
    instructions: int

    @property
    def time(self) -> float:
        """What is compared: milliseconds, or instructions where there are none."""
        return float(self.instructions) if self.milliseconds is None else self.milliseconds


@dataclass(frozen=True, slots=True)
class Record:
    """A finished trial: quality on the validation part, and its costs by board."""

    recipe: Recipe
    quality: float
    costs: Mapping[str, tuple[BoardCost, ...]]
    seconds: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A trial that gave no network, and why."""

    recipe: Recipe
    why: str


def need_optuna() -> Any:
    """The optuna module, quiet; MissingToolError that says what to install, if it is not there."""
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise MissingToolError(
            "the search needs Optuna, which is not installed. Install it with: pip install 'tinygen[train]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


# -- storage ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """OutputError for a storage that cannot be reached, read or written."""
    need_optuna()
    import sqlalchemy

    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as e:
        why = str(e).splitlines()[0][:200]
        raise OutputError(
            f"storage {without_password(url)}: {why}. Give `storage` sqlite:///FILE in a folder that exists, or the "
            "URL of a database that this computer reaches (its driver installed)."
        ) from e


def without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.rpartition(':')[0]}:...@{tail}" if at and head.count(":") > 1 else url


@contextlib.contextmanager
def _alone(url: str) -> Iterator[None]:
    """One process of this computer at a time: two that begin at once would both make SQLite's tables, and, as it has no
    lock on a row, take the same waiting trial."""
    path = url.partition("///")[2].partition("?")[0]
    if not url.startswith("sqlite") or not path or not Path(path).parent.is_dir():
        yield
        return
    place = Path(f"{path}.lock")
    place.touch()
    lock = Lock(place)
    try:
        lock.take(wait=True)
        yield
    finally:
        lock.close()


def open_storage(url: str) -> Any:
    """Optuna's storage at a database URL; OutputError when there is none."""
    optuna = need_optuna()
    if "://" not in url:
        raise OutputError(
            f'storage: found "{url}", allowed is the URL of a database: sqlite:///FILE, or postgresql://... for '
            "several machines."
        )
    arguments = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    with storage_errors(url), _alone(url):
        return optuna.storages.RDBStorage(url, engine_kwargs=arguments)


class Search:
    """The studies of a job on a storage."""

    def __init__(self, job: Job, source: Source, url: str) -> None:
        self.job, self.source, self.url = job, source, url
        self.optuna = need_optuna()
        storage = open_storage(url)
        self.studies: dict[str, Any] = {}
        with storage_errors(url), _alone(url):
            for board in job.boards:
                self.studies[board] = self.optuna.create_study(
                    storage=storage,
                    study_name=job.study_name(source, board),
                    directions=DIRECTIONS,
                    load_if_exists=True,
                )
            for study in self.studies.values():
                study.sampler = self.optuna.samplers.TPESampler(
                    seed=(job.seed + 7919 * len(study.get_trials(deepcopy=False))) % 2**32,
                    multivariate=True,
                    group=True,
                    constant_liar=True,
                    n_startup_trials=max(8, len(starts(job.techniques, trained=job.training is not None))),
                )

    def begin(self, trials: int) -> None:
        """Ask for the starting combinations first, spread over the boards; take up what a killed process left."""
        with storage_errors(self.url), _alone(self.url):
            rows = starts(self.job.techniques, trained=self.job.training is not None)
            studies = list(self.studies.values())
            for i, row in enumerate(rows[: max(1, trials)]):
                study = studies[i % len(studies)]
                if not any(t.system_attrs.get("fixed_params") == row for t in study.get_trials(deepcopy=False)):
                    study.enqueue_trial(row)
            for study in studies:
                self._recover(study)

    def _recover(self, study: Any) -> None:
        """Trials whose process is gone fail, and wait to be done again."""
        state = self.optuna.trial.TrialState
        for trial in study.get_trials(deepcopy=False, states=(state.RUNNING,)):
            if not _alive(trial):
                if trial.params:
                    study.enqueue_trial(trial.params)
                with contextlib.suppress(ValueError, RuntimeError):  # another process was faster
                    study.tell(trial.number, state=state.FAIL)

    def done(self) -> int:
        """Trials that were finished, by whoever, or are at work now."""
        state = self.optuna.trial.TrialState
        with storage_errors(self.url):
            own = [
                t for s in self.studies.values() for t in s.get_trials(deepcopy=False) if "copied" not in t.user_attrs
            ]
        return sum(t.state in (state.COMPLETE, state.PRUNED) for t in own)

    def running(self) -> int:
        state = self.optuna.trial.TrialState
        with storage_errors(self.url):
            return sum(
                _alive(t) for s in self.studies.values() for t in s.get_trials(deepcopy=False, states=(state.RUNNING,))
            )

    def results(self) -> list[Record | Failure]:
        """What every finished trial gave, in the order in which they ended; each recipe once."""
        found: dict[str, Record | Failure] = {}
        for trial in self._finished():
            if "record" in trial.user_attrs:
                record = decode(trial.user_attrs["record"])
                found.setdefault(record.recipe.key, record)
            elif "error" in trial.user_attrs:
                recipe = from_dict(trial.user_attrs["recipe"])
                found.setdefault(recipe.key, Failure(recipe, trial.user_attrs["error"]))
        return list(found.values())

    def records(self) -> list[Record]:
        return [r for r in self.results() if isinstance(r, Record)]

    def failures(self) -> list[Failure]:
        return [r for r in self.results() if isinstance(r, Failure)]

    def _finished(self) -> list[Any]:
        with storage_errors(self.url):
            rows = [
                (t.datetime_complete.isoformat(), b, t.number, t)
                for b, s in self.studies.items()
                for t in s.get_trials(deepcopy=False)
                if t.datetime_complete is not None
            ]
        return [t for *_, t in sorted(rows, key=lambda row: row[:3])]


def _alive(trial: Any) -> bool:
    """Whether somebody still works at a trial: its process, or on another machine its signs of life."""
    worker, beat = trial.user_attrs.get("worker"), trial.user_attrs.get("beat", 0.0)
    if worker is None:  # asked for this very moment, or killed then
        started = trial.datetime_start
        return started is not None and time.time() - started.timestamp() < 5.0
    host, pid = worker
    here = system.alive(pid) if host == socket.gethostname() else None
    return bool(time.time() - beat < LOST_AFTER) if here is None else here


# -- records ---------------------------------------------------------------------------------------------------------


def encode(record: Record) -> dict[str, Any]:
    """A record as JSON has it."""
    return {
        "recipe": to_dict(record.recipe),
        "quality": record.quality,
        "costs": {b: [asdict(c) for c in costs] for b, costs in record.costs.items()},
        "seconds": record.seconds,
    }


def decode(data: Mapping[str, Any]) -> Record:
    costs = {b: tuple(BoardCost(**c) for c in rows) for b, rows in data["costs"].items()}
    return Record(from_dict(data["recipe"]), data["quality"], costs, data["seconds"])


# -- trials ----------------------------------------------------------------------------------------------------------


class Worker:
    """Does trials, one after the other."""

    def __init__(self, job: Job, source: Source, search: Search) -> None:
        self.job, self.search = job, search
        few = some(source.fit, TRAIN_SAMPLES, SPLIT_SEED)
        judged = some(source.validation, JUDGE_SAMPLES, SPLIT_SEED)
        self.source = replace(source, fit=few, validation=judged)
        self.boards: dict[str, Board] = {b: load_board(b) for b in job.boards}
        self.judge = Scorer(source.graph, judged)

    def one(self, progress: Progress) -> Record | Failure | None:
        """Ask, compress, score, tell; None when the recipe was known already."""
        search, url = self.search, self.search.url
        with storage_errors(url):
            with _alone(url):
                board = self._next_board()
                study = search.studies[board]
                if search.running():
                    study.sampler.reseed_rng()  # or processes of one seed would all ask for the same
                trial = study.ask()
                trial.set_user_attr("worker", [socket.gethostname(), os.getpid()])
                trial.set_user_attr("beat", time.time())
            recipe = suggest(trial, self.job.techniques, self.job.training, self.job.seed)
        known = next((r for r in search.records() if r.recipe.key == recipe.key), None)
        start = time.monotonic()
        try:
            record = known or self._score(recipe, _beating(trial, progress, url))
        except (TinygenError, *_FAULTS) as e:
            # A fault of ours, or of a library, in one combination is shown with it and does not end the others.
            why = str(e) if isinstance(e, TinygenError) else f"{type(e).__name__}: {e}"
            with storage_errors(url):
                trial.set_user_attr("recipe", to_dict(recipe))
                trial.set_user_attr("error", " ".join(why.split())[:500])
                study.tell(trial, state=search.optuna.trial.TrialState.PRUNED)
            return Failure(recipe, why)
        if known is None:
            record = Record(record.recipe, record.quality, record.costs, round(time.monotonic() - start, 1))
        # A trial that was silent for too long was given to another worker, whose result counts.
        with storage_errors(url), contextlib.suppress(search.optuna.exceptions.UpdateFinishedTrialError):
            self._tell(study, board, trial, record)
        return record if known is None else None

    def _next_board(self) -> str:
        """Boards in turn; first those whose starting combinations wait."""
        state = self.search.optuna.trial.TrialState
        studies = self.search.studies
        counts = {
            b: (
                -len(s.get_trials(deepcopy=False, states=(state.WAITING,))),
                sum("copied" not in t.user_attrs for t in s.get_trials(deepcopy=False)),
            )
            for b, s in studies.items()
        }
        return min(counts, key=lambda b: counts[b])

    def _score(self, recipe: Recipe, progress: Progress) -> Record:
        content, _ = compressed_file(self.source, recipe, method=self.job.method, progress=progress)
        model = read_back(content, self.source.imported.graph.name, self.judge.samples)
        costs: dict[str, tuple[BoardCost, ...]] = {}
        for board in self.boards.values():
            rows = [cost(model, board, mode) for mode in self.job.modes]
            unknown = sorted({k for c in rows for k in c.unknown})
            if all(c.unknown for c in rows):
                raise RecipeError(
                    f"no cost was ever recorded on {board.core.name} for {', '.join(unknown)}, so that this network "
                    "cannot be compared with others."
                )
            costs[board.id] = tuple(
                BoardCost(c.optimize, c.flash, c.ram, c.milliseconds, c.prediction.instructions)
                for c in rows
                if not c.unknown
            )
        return Record(recipe, self.judge.quality(model.fixed), costs, 0.0)

    def _tell(self, study: Any, board: str, trial: Any, record: Record) -> None:
        trial.set_user_attr("record", encode(record))
        best = best_cost(record, self.boards[board], self.job.limits)
        for name, excess in self._excess(board, record, best).items():
            trial.set_constraint(name, excess)
        study.tell(trial, values(record, best))
        frozen = study.get_trials(deepcopy=False)[trial.number]
        for other, its in self.search.studies.items():
            if other != board:
                best = best_cost(record, self.boards[other], self.job.limits)
                its.add_trial(
                    self.search.optuna.trial.create_trial(
                        params=frozen.params,
                        distributions=frozen.distributions,
                        values=values(record, best),
                        user_attrs={"copied": board},
                        constraints=self._excess(other, record, best),
                    )
                )

    def _excess(self, board: str, record: Record, best: BoardCost) -> dict[str, float]:
        budget = self.job.limits.on(self.boards[board])
        return budget.excess(record.quality, best.flash, best.ram, best.milliseconds)


def values(record: Record, best: BoardCost) -> list[float]:
    """What Optuna optimises, in the order of DIRECTIONS."""
    return [record.quality, float(best.flash), float(best.ram), best.time]


def best_cost(record: Record, board: Board, limits: Limits) -> BoardCost:
    """The mode that is nearest to the budget, and of those within it the fastest for its flash."""
    budget = limits.on(board)

    def rank(c: BoardCost) -> tuple[float, float]:
        over = budget.excess(record.quality, c.flash, c.ram, c.milliseconds)
        return sum(max(0.0, v) for v in over.values()), float(c.flash) * c.time

    return min(record.costs[board.id], key=rank)


def _beating(trial: Any, progress: Progress, url: str) -> Progress:
    """`progress` that also says on the storage, now and then, that this process lives."""
    last = time.monotonic()

    def beat(phase: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > _BEAT:
            last = time.monotonic()
            with storage_errors(url):
                trial.set_user_attr("beat", time.time())
        progress(phase, done, total)

    return beat


# -- processes -------------------------------------------------------------------------------------------------------

#: Told after every trial: how many are done, and of how many.
Watch = Callable[[int, int, Record | Failure | None], None]


def search(
    job: Job, source: Source, url: str, *, trials: int, seconds: float | None, jobs: int, progress: Progress,
    watch: Watch,
) -> Search:  # fmt: skip
    """Trials until there are `trials` on the storage or `seconds` are over, by `jobs` processes of this computer."""
    found = Search(job, source, url)
    found.begin(trials)
    deadline = None if seconds is None else time.time() + seconds
    if jobs == 1:
        _work(Worker(job, source, found), found, trials, deadline, progress, watch)
    else:
        _supervise(job, found, url, trials, deadline, jobs, watch)
    return found


def _work(worker: Worker, found: Search, trials: int, deadline: float | None, progress: Progress, watch: Watch) -> None:
    while (done := found.done()) + found.running() < trials and (deadline is None or time.time() < deadline):
        result = worker.one(progress)
        watch(done + 1, trials, result)


def _process(job: Job, url: str, trials: int, deadline: float | None) -> None:
    """The whole of a worker process, which shows nothing and ends with its parent."""
    stop.install(None)
    parent = multiprocessing.parent_process()

    def progress(phase: str, done: int, total: int) -> None:
        if parent is None or not parent.is_alive():
            signal.raise_signal(signal.SIGTERM)

    source = load_source(job.model, job.data, seed=SPLIT_SEED, input_shapes=job.input_shapes, name=job.name)
    found = Search(job, source, url)
    watch: Watch = lambda done, total, result: progress("", done, total)  # noqa: E731
    _work(Worker(job, source, found), found, trials, deadline, progress, watch)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """Processes started here use so many threads for their sums, unless the user said how many."""
    name = "OMP_NUM_THREADS"
    if name in os.environ:
        yield
        return
    os.environ[name] = str(count)
    try:
        yield
    finally:
        del os.environ[name]


def _end(workers: Sequence[Any]) -> None:
    """Workers clear away what they began, and have some seconds for it."""
    alive = [w for w in workers if w.is_alive()]
    for w in alive:
        w.terminate()
    end = time.monotonic() + 5.0
    for w in alive:
        w.join(max(0.0, end - time.monotonic()))
        if w.is_alive():
            w.kill()
            w.join()


def _supervise(job: Job, found: Search, url: str, trials: int, deadline: float | None, jobs: int, watch: Watch) -> None:
    """Start workers, show what they find, and end them with ourselves."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_process, args=(job, url, trials, deadline), daemon=True) for _ in range(jobs)]
    shown = {r.recipe.key for r in found.results()}
    with contextlib.ExitStack() as stack:
        with stop.hold(), system.left_out(), _threads(max(1, (os.cpu_count() or 1) // jobs)):
            stack.enter_context(stop.clearing(lambda: _end(workers)))
            stack.callback(_end, workers)
            for w in workers:
                w.start()
        alive = True
        while alive:
            alive = any(w.is_alive() for w in workers)
            time.sleep(0.5 if alive else 0.0)
            for result in (results := found.results()):
                if result.recipe.key not in shown:  # by name: one that ended earlier may be written later
                    shown.add(result.recipe.key)
                    watch(len(shown), max(trials, len(results)), result)
    if deadline is None and found.done() < trials and any(w.exitcode for w in workers):
        codes = ", ".join(str(w.exitcode) for w in workers)
        raise OutputError(
            f"the worker processes ended early (exit codes {codes}) after {found.done()} of {trials} trials; what they "
            "found is kept. Go on with `resume=True`, with fewer `jobs` where memory was short."
        )
