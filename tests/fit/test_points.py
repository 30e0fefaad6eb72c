"""Fronts and selections, checked against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from tinygen.compress.recipe import Recipe
from tinygen.compress.structure.prune import Prune
from tinygen.fit.budget import Budget
from tinygen.fit.points import Candidate, candidates, front, select
from tinygen.fit.search import BoardCost, Record

BUDGET = Budget(1000, 1000, 10.0, 0.5)


def record(quality: float, *costs: tuple[int, int, float]) -> Record:
    rows = tuple(BoardCost(f"mode{i}", f, r, t, 0) for i, (f, r, t) in enumerate(costs))
    return Record(Recipe(Prune(quality / 2)), quality, {"b": rows}, 0.0)


def random_records(seed: int, n: int = 40) -> list[Record]:
    rng = np.random.default_rng(seed)
    return [
        record(float(rng.integers(1, 10)) / 10, *[
            (int(rng.integers(1, 15)) * 100, int(rng.integers(1, 15)) * 100, float(rng.integers(1, 15)))
            for _ in range(2)
        ])
        for _ in range(n)
    ]  # fmt: skip


def beats(a: Candidate, b: Candidate) -> bool:
    return all(x <= y for x, y in zip(a.row, b.row, strict=True)) and a.row != b.row


@pytest.mark.parametrize("seed", range(5))
def test_front_is_what_nothing_beats(seed: int) -> None:
    points = candidates(random_records(seed), "b", BUDGET)
    found = front(points)
    rows = {p.row for p in found}
    assert len(rows) == len(found)
    assert rows == {p.row for p in points if not any(beats(o, p) for o in points)}


@pytest.mark.parametrize("seed", range(5))
def test_selection_is_on_the_front_within_the_budget(seed: int) -> None:
    points = candidates(random_records(seed), "b", BUDGET)
    fitting = [p for p in points if p.fits]
    assert fitting
    chosen = select(points, 4)
    assert 1 <= len(chosen) <= 4
    assert all(not any(beats(o, p) for o in fitting) for p in chosen)
    assert max(p.record.quality for p in chosen) == max(p.record.quality for p in fitting)
    assert min(p.cost.flash for p in chosen) == min(p.cost.flash for p in fitting)


def test_without_a_fitting_one_the_nearest() -> None:
    points = candidates([record(0.9, (1500, 100, 1.0)), record(0.9, (1200, 100, 1.0)), record(0.1, (100, 100, 1.0))],
                        "b", BUDGET)  # fmt: skip
    assert not any(p.fits for p in points)
    assert select(points, 3)[0].cost.flash == 1200
    assert select(points, 3)[0].distance == pytest.approx(0.2)


def test_time_is_instructions_where_cycles_are_not_modelled() -> None:
    found = BoardCost("size", 1, 1, None, 12345)
    assert found.time == 12345.0
