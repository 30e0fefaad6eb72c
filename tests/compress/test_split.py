"""Samples in parts: every class in both, nothing lost, the same parts for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from tinygen.calibrate.data import Samples
from tinygen.compress.split import LEAST, class_numbers, some, split
from tinygen.errors import DataError
from tinygen.numerics import Array


def samples(n: int, labels: Array | None) -> Samples:
    """Samples that hold their own number."""
    return Samples((np.arange(n, dtype=np.float32).reshape(n, 1, 1),), labels, "ab", "these")


def numbers(s: Samples) -> list[int]:
    return [int(v) for v in s.inputs[0].ravel()]


def test_split_is_a_partition_with_every_class_on_both_sides() -> None:
    labels = np.repeat(np.arange(5), [40, 30, 20, 8, 2])
    fit, validation = split(samples(100, labels), seed=3)
    assert sorted(numbers(fit) + numbers(validation)) == list(range(100))
    assert validation.labels is not None
    assert np.bincount(validation.labels).tolist() == [8, 6, 4, 2, 1]
    for part in (fit, validation):
        assert part.labels is not None
        assert part.labels.tolist() == labels[numbers(part)].tolist()


def test_split_by_seed() -> None:
    s = samples(50, None)
    assert numbers(split(s, 1)[1]) == numbers(split(s, 1)[1]) != numbers(split(s, 2)[1])
    assert split(s, 1)[0].sha256 == split(s, 1)[0].sha256 != split(s, 2)[0].sha256
    assert len({part.sha256 for part in split(s, 1)}) == 2


def test_too_few() -> None:
    with pytest.raises(DataError, match=f"found {LEAST - 1} samples, at least {LEAST}"):
        split(samples(LEAST - 1, None), 0)


def test_some_keeps_proportions() -> None:
    labels = np.repeat(np.arange(3), [600, 300, 100])
    few = some(samples(1000, labels), 100, seed=0)
    assert few.labels is not None
    assert np.bincount(few.labels).tolist() == [60, 30, 10]
    assert len(set(numbers(few))) == 100
    assert some(few, 100, 0) is few


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (np.array([0, 2, 1]), [0, 2, 1]),
        (np.array([[0, 1], [1, 0], [0, 1]]), [1, 0, 1]),
        (np.array([0.5, 1.0, 2.0]), None),
        (np.array([[1, 1], [1, 0], [0, 1]]), None),
        (None, None),
    ],
)
def test_class_numbers(labels: Array | None, found: list[int] | None) -> None:
    got = class_numbers(samples(3, labels))
    assert (None if got is None else got.tolist()) == found
