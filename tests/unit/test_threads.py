"""Pieces of work side by side: order, errors, and the same bits on any number of cores."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from tests.api.support import small
from tinygen import simulate, threads
from tinygen.threads import in_order


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_in_the_order_of_the_items(cores: int) -> None:
    """Whichever is done first."""

    def work(n: int) -> int:
        time.sleep(0.002 * (n % 3 == 0))
        return n * n

    assert list(in_order(work, range(20), cores)) == [n * n for n in range(20)]


def test_side_by_side() -> None:
    """Two that wait for each other."""
    both = threading.Barrier(2, timeout=20)
    assert sorted(in_order(lambda _: both.wait(), range(2), 2)) == [0, 1]


def test_an_error_comes_in_its_turn() -> None:
    """Behind what came before it; what was not begun is not."""
    begun, seen = [], []

    def work(n: int) -> int:
        begun.append(n)
        return 1 // (3 - n)

    results = in_order(work, range(100), 2)
    with pytest.raises(ZeroDivisionError):
        seen.extend(n for n in results)
    assert seen == [0, 0, 1]
    assert max(begun) < 10


def test_few_are_ahead() -> None:
    """Of what takes memory."""
    given = iter(range(1000))
    results = in_order(lambda n: n, given, 2)
    assert next(results) == 0
    assert next(given) < 6


def test_a_piece_works_alone() -> None:
    """So that pieces of pieces do not wait for threads that they hold."""

    def inner(n: int) -> list[str]:
        return list(in_order(lambda _: threading.current_thread().name, range(3), 2))

    assert all(len(set(names)) == 1 for names in in_order(inner, range(4), 2))


def test_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a network in several chunks, and of its float runs."""
    monkeypatch.setattr(simulate, "CHUNK_VALUES", 1)
    fixed = small()._model.fixed
    x = np.random.default_rng(0).integers(-128, 128, (9, *fixed.tensors[fixed.inputs[0]].shape)).astype(np.int8)
    found = {}
    for cores in (1, 4):
        monkeypatch.setattr(threads.os, "cpu_count", lambda cores=cores: cores)
        found[cores] = simulate.run(fixed, [x])
    assert np.array_equal(found[1][0], found[4][0])
    assert len(found[1][0]) == 9
