"""The search: the same for the same seed, by several processes, after a kill, and what is said of a bad storage."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from tinygen.compress.recipe import Recipe
from tinygen.compress.train.settings import Training
from tinygen.errors import OutputError
from tinygen.fit.budget import Limits
from tinygen.fit.search import Failure, Job, Record, Search, open_storage, search
from tinygen.fit.space import default, offered, starts, suggest
from tinygen.flow.source import Source, load_source

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "examples" / "digits"
JOB = Job(
    DIGITS / "digits.onnx", DIGITS / "digits_calib.npz", ("nucleo_f446re", "nucleo_l053r8"),
    Limits(flash=11_000, quality=0.9), ("size",), ("prune", "cluster", "sparsity"), None,
)  # fmt: skip
DEAD = 2**22 + 1  # above any process id of Linux


@pytest.fixture(scope="module")
def source() -> Source:
    return load_source(JOB.model, JOB.data, seed=0, input_shapes={})


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'study.db'}"


def quiet(phase: str, done: int, total: int) -> None:
    """No progress."""


def watch(done: int, total: int, result: Record | Failure | None) -> None:
    """No watching."""


def run(job: Job, source: Source, folder: Path, trials: int, jobs: int = 1) -> Search:
    return search(job, source, url(folder), trials=trials, seconds=None, jobs=jobs, progress=quiet, watch=watch)


def test_same_seed_same_search(source: Source, tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        found.append([replace(r, seconds=0.0) for r in run(JOB, source, tmp_path / name, 9).records()])
    assert found[0] == found[1]
    assert len({r.recipe.key for r in found[0]}) == len(found[0]) >= 5
    assert all(set(r.costs) == set(JOB.boards) for r in found[0])


def test_two_processes_share_a_storage(source: Source, tmp_path: Path) -> None:
    shown: list[Record | Failure | None] = []
    found = search(
        JOB, source, url(tmp_path), trials=9, seconds=None, jobs=2, progress=quiet,
        watch=lambda done, total, result: shown.append(result),
    )  # fmt: skip
    assert found.done() >= 9
    assert sorted(r.recipe.key for r in shown if r) == sorted(r.recipe.key for r in found.results())  # each once
    own = [t for s in found.studies.values() for t in s.trials if "copied" not in t.user_attrs]
    assert len({tuple(t.user_attrs["worker"]) for t in own}) == 2
    fixed = [str(t.system_attrs["fixed_params"]) for t in own if "fixed_params" in t.system_attrs]
    assert len(set(fixed)) == len(fixed)  # nobody did what another one did
    for study in found.studies.values():  # and each study has all that gave a network
        done = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
        assert len(done) == sum(t.state == optuna.trial.TrialState.COMPLETE for t in own)
        assert all(t.constraints.keys() == {"flash", "ram", "accuracy"} for t in done)


def test_what_a_killed_process_left_is_done_again(source: Source, tmp_path: Path) -> None:
    first = Search(JOB, source, url(tmp_path))
    study = first.studies["nucleo_f446re"]
    trial = study.ask()
    trial.set_user_attr("worker", [socket.gethostname(), DEAD])
    suggest(trial, JOB.techniques, None, 0)
    assert first.running() == 0
    first.begin(1)
    state = optuna.trial.TrialState
    assert study.trials[0].state == state.FAIL
    waiting = [t.system_attrs["fixed_params"] for t in study.trials if t.state == state.WAITING]
    assert study.trials[0].params in waiting


def test_killed_and_resumed(source: Source, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.fit.test_search import JOB, run, load_source\n"
        "run(JOB, load_source(JOB.model, JOB.data, seed=0, input_shapes={}), Path(sys.argv[1]), 1000)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            time.sleep(0.1)
            if (tmp_path / "study.db.lock").exists() and len(
                before := Search(JOB, source, url(tmp_path)).records()
            ) > 1:
                break
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = Search(JOB, source, url(tmp_path)).done()
    found = run(JOB, source, tmp_path, done + 2)
    assert found.done() == done + 2
    assert before
    assert found.records()[: len(before)] == before
    state = optuna.trial.TrialState
    assert not any(t.state == state.RUNNING for s in found.studies.values() for t in s.trials)


def test_a_search_for_other_options_is_another_one(source: Source) -> None:
    jobs = (JOB, replace(JOB, seed=1), replace(JOB, limits=Limits()), replace(JOB, training=Training()))
    assert len({j.study_name(source, "nucleo_f446re") for j in jobs}) == 4
    assert JOB.study_name(source, "a") == JOB.study_name(source, "a") != JOB.study_name(source, "b")


@pytest.mark.parametrize("text", ["journal.log", "/tmp", "nonsense://x", "postgresql://me:secret@127.0.0.1:1/x"])
def test_storage_that_is_none(text: str) -> None:
    with pytest.raises(OutputError, match="storage") as e:
        open_storage(text)
    assert "secret" not in str(e.value)
    assert "sqlite:///FILE" in str(e.value)


def test_storage_that_is_another_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"hello world, this is no database" * 40)
    with pytest.raises(OutputError, match="not a database"):
        open_storage(f"sqlite:///{tmp_path / 'x'}")


def test_every_start_is_a_recipe_of_the_space() -> None:
    for training in (None, Training()):
        for techniques in (default(), tuple(offered()), ("cluster",), ("prune",), ("bits", "rank")):
            recipes = []
            for row in starts(techniques, trained=training is not None):
                trial = optuna.trial.FixedTrial(row)
                recipes.append(suggest(trial, techniques, training, 0))
                assert set(row) <= set(trial.params) | {"sparsity"}
            assert recipes[0] == Recipe()
            assert len({r.key for r in recipes}) == len(recipes) > 1
