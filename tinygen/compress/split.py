"""Parts of the user's samples: one to fit with, one to judge by. Seeded; every class in both where there are labels."""

from __future__ import annotations

import hashlib

import numpy as np

from tinygen.calibrate.data import Samples
from tinygen.errors import DataError
from tinygen.numerics import Array

#: Share of the samples that guides choices and is never fitted to.
VALIDATION = 0.2
#: Fewer cannot be split into a part to fit with and a part to judge by.
LEAST = 10


def take(samples: Samples, indices: Array, source: str) -> Samples:
    """The samples at `indices`, in that order; `source` is the phrase for reports."""
    inputs = tuple(np.ascontiguousarray(x[indices]) for x in samples.inputs)
    labels = None if samples.labels is None else np.ascontiguousarray(samples.labels[indices])
    digest = hashlib.sha256(f"{samples.sha256} {len(indices)} ".encode())
    digest.update(np.asarray(indices, np.int64).tobytes())
    return Samples(inputs, labels, digest.hexdigest(), source)


def split(samples: Samples, seed: int, share: float = VALIDATION) -> tuple[Samples, Samples]:
    """(fit, validation): of every class, `share` of its samples judges, at least one unless it has only one.

    DataError for fewer than LEAST samples.
    """
    if samples.count < LEAST:
        raise DataError(
            f"{samples.source}: found {samples.count} samples, at least {LEAST} are needed: some to compress with, "
            "others to judge the result by."
        )
    order = np.random.default_rng(seed).permutation(samples.count)
    judges = np.zeros(samples.count, bool)
    for group in _classes(samples, order):
        judges[group[: _count(len(group), share)]] = True
    fit, validation = order[~judges[order]], order[judges[order]]
    return (
        take(samples, fit, f"{len(fit)} of {samples.source}, to fit"),
        take(samples, validation, f"{len(validation)} of {samples.source}, held back"),
    )


def some(samples: Samples, count: int, seed: int) -> Samples:
    """At most `count` of the samples, drawn at random, classes in proportion: what statistics are gathered over."""
    if samples.count <= count:
        return samples
    order = np.random.default_rng([seed, 1]).permutation(samples.count)
    # Each sample's place within its class, as a share: the smallest of all classes together are in proportion.
    place = np.zeros(samples.count)
    for group in _classes(samples, order):
        place[group] = (np.arange(len(group)) + 0.5) / len(group)
    chosen = order[np.argsort(place[order], kind="stable")[:count]]
    return take(samples, chosen, f"{count} of {samples.source}")


def class_numbers(samples: Samples) -> Array | None:
    """The class of every sample, where labels are class numbers (n,) or one-hot rows (n, k); else None."""
    labels = samples.labels
    if labels is None or not np.all(labels == np.rint(labels)):
        return None
    if labels.ndim == 1:
        return labels.astype(np.int64)
    one_hot = labels.ndim == 2 and np.all((labels == 0) | (labels == 1)) and np.all(labels.sum(axis=1) == 1)
    return np.argmax(labels, axis=1) if one_hot else None


def _classes(samples: Samples, order: Array) -> list[Array]:
    """Indices of the samples of each class, in `order`; one group where there are no classes, or too many of them."""
    numbers = class_numbers(samples)
    if numbers is None or len(np.unique(numbers)) > samples.count // 2:
        return [order]
    return [order[numbers[order] == c] for c in np.unique(numbers)]


def _count(total: int, share: float) -> int:
    return min(total - 1, max(1, round(share * total)))
