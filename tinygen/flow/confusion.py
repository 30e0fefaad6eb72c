"""Which classes are taken for which: the confusion matrix, and what it says of every class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinygen.calibrate.data import Samples
from tinygen.calibrate.metrics import predictions
from tinygen.flow.measures import answers
from tinygen.ir.types import Graph
from tinygen.numerics import Array

#: Wrong answers that reports name, the surest first.
MOST_MISTAKES = 10


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Of one class: how many of those called so are (precision), how many of those that are so are called so (recall),
    their harmonic mean, and how many there are. None where nothing was called so, or is."""

    number: int
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True, slots=True)
class Mistake:
    """A wrong answer: the sample, its label, the answer, and by how much its score is above the label's."""

    sample: int
    label: int
    answer: int
    margin: float


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """`matrix`: int64 (classes, classes), rows are labels and columns answers. `unit`: what is counted."""

    matrix: Array
    unit: str
    mistakes: tuple[Mistake, ...]

    @property
    def classes(self) -> tuple[ClassFigures, ...]:
        """Every class in turn."""
        m = self.matrix
        found = []
        for i in range(len(m)):
            right, called, there = int(m[i, i]), int(m[:, i].sum()), int(m[i].sum())
            precision, recall = (right / called if called else None), (right / there if there else None)
            f1 = 2.0 * right / (called + there) if called + there else None
            found.append(ClassFigures(i, precision, recall, f1, there))
        return tuple(found)

    @property
    def pairs(self) -> tuple[tuple[int, int, int], ...]:
        """(label, answer, how often) of what is taken for something else, the most frequent first."""
        wrong = self.matrix - np.diag(np.diag(self.matrix))
        order = np.argsort(-wrong, axis=None, kind="stable")
        labels, found = np.unravel_index(order, wrong.shape)
        return tuple((int(a), int(b), int(wrong[a, b])) for a, b in zip(labels, found, strict=True) if wrong[a, b])


def confusion_of(graph: Graph, outputs: Array, samples: Samples) -> Confusion | None:
    """Of a network's first output (n, ...) with labels, samples or pixels; None where it does not choose."""
    found = answers(graph, outputs, samples)
    if found is None:
        return None
    answer, label, classes, unit = found
    counts = np.bincount(label.ravel().astype(np.int64) * classes + answer.ravel(), minlength=classes * classes)
    mistakes: tuple[Mistake, ...] = ()
    if unit == "samples":
        flat = outputs.reshape(len(outputs), -1)
        scores = flat if flat.shape[1] > 1 else np.concatenate([1.0 - flat, flat], axis=1)
        assert np.array_equal(predictions(outputs), answer)
        at = np.arange(len(flat))
        margin = scores[at, answer] - scores[at, label.astype(np.int64)]
        wrong = np.flatnonzero(answer != label)
        wrong = wrong[np.argsort(-margin[wrong], kind="stable")][:MOST_MISTAKES]
        mistakes = tuple(Mistake(int(i), int(label[i]), int(answer[i]), float(margin[i])) for i in wrong)
    return Confusion(counts.reshape(classes, classes), unit, mistakes)
