"""Fronts and selections, checked against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from tinygen.compress.recipe import Recipe
from tinygen.compress.structure.prune import Prune
from tinygen.errors import RecipeError
from tinygen.fit.budget import Budget, Limits
from tinygen.fit.points import Candidate, Choice, candidates, front, select
from tinygen.fit.search import BoardCost, Record
from tinygen.targets.board import load_board

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


def test_what_is_minimised_comes_first() -> None:
    """Among those within the budget; energy by time."""
    fast, small, good = record(0.6, (900, 900, 1.0)), record(0.6, (100, 900, 3.0)), record(0.9, (900, 900, 2.0))
    points = candidates([good, small, fast], "b", BUDGET)
    assert all(p.fits for p in points)
    assert select(points, 2)[0].record == good
    for minimize, first in (("energy", fast), ("time", fast), ("flash", small)):
        assert [p.record for p in select(points, 1, minimize)] == [first]
        assert select(points, 3, minimize)[0].record == first


@pytest.mark.parametrize(
    ("choice", "quality", "board", "said"),
    [
        (Choice("power"), 0.9, "nucleo_f446re", 'found "power", allowed are energy, time, flash, ram'),
        (Choice("flash"), None, "nucleo_f446re", "found no `quality`"),
        (Choice("energy"), 0.9, "nucleo_l476rg", "current of nucleo_l476rg is not known.*Minimise time"),
        (Choice("energy"), 0.9, "nucleo_u575zi_q", "cycles of cortex-m33 are not modelled"),
    ],
)
def test_what_cannot_be_minimised_is_told(choice: Choice, quality: float | None, board: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        choice.check(Limits(quality=quality), [load_board(board)])


def test_every_is_a_limit_of_time() -> None:
    """With room for what silicon takes beyond the model; a tighter one of the user's stays."""
    every = Choice(every=0.1)
    assert every.within(Limits()).milliseconds == pytest.approx(100 / 1.11)
    assert every.within(Limits(milliseconds=5.0)).milliseconds == 5.0
    assert Choice().within(Limits()) == Limits()
