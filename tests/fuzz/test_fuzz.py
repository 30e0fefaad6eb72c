"""A sample of the fuzzing (`make fuzz` is the whole), and the farm itself: what kills a worker is an outcome."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from onnx import ModelProto

from tests.fuzz import case, farm
from tests.fuzz.case import Outcome, make, start

SEEDS = range(100_000, 100_048)


def test_a_sample_of_mutations_meets_no_fault(tmp_path: Path) -> None:
    outcomes = farm.run_all(list(SEEDS), tmp_path, 2)
    assert sorted(o.seed for o in outcomes) == list(SEEDS)
    assert not [o for o in outcomes if o.fault]
    assert {o.kind for o in outcomes} == set(case.KINDS)
    assert {o.code for o in outcomes} >= {0, 2}


@pytest.mark.parametrize("seed", [11975, 14360, 15534, 19824, 19842])
def test_what_was_found_stays_mended(seed: int, tmp_path: Path) -> None:
    """Outputs that no operator has, axes and inputs beyond measure, integers that go straight into an output."""
    assert not case.run_case(seed, tmp_path / "a").fault


def test_a_seed_gives_the_same_case(tmp_path: Path) -> None:
    for seed in SEEDS[:12]:
        made = []
        for k in "ab":
            folder = tmp_path / k / "x"
            folder.mkdir(parents=True, exist_ok=True)
            kind, command = make(seed, folder)
            files = {p.name: p.read_bytes() for p in folder.iterdir()}
            made.append((kind, [c.replace(str(folder), "") for c in command], files))
            for p in folder.iterdir():
                p.unlink()
        assert made[0] == made[1]


def test_starts_are_models() -> None:
    assert ModelProto.FromString(start(1)).graph.node


def test_a_worker_that_dies_is_an_outcome_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(seed: int, folder: Path) -> Outcome:
        if seed == 2:
            os.kill(os.getpid(), signal.SIGUSR1)
        if seed == 4:
            raise MemoryError
        return Outcome(seed, "fields", 0, "", 0.0, 1)

    monkeypatch.setattr(farm, "run_case", die)
    outcomes = {o.seed: o.fault for o in farm.run_all([1, 2, 3, 4, 5], tmp_path, 2)}
    assert outcomes == {1: "", 2: "SIGUSR1", 3: "", 4: "exit 99 of the process", 5: ""}
