"""Figures of merit: how close two networks are, how often one is right."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinygen.errors import DataError
from tinygen.numerics import Array
from tinygen.ops.extreme import MASKED


class SqnrMeter:
    """Signal-to-quantisation-noise ratio over any number of batches."""

    __slots__ = ("count", "noise", "signal")

    def __init__(self) -> None:
        self.signal = 0.0
        self.noise = 0.0
        self.count = 0

    def add(self, reference: Array, quantised: Array) -> None:
        """Arrays of one shape: the float values and what quantisation made of them."""
        if reference.shape != quantised.shape:
            raise ValueError(f"shapes {reference.shape} and {quantised.shape} differ")
        r = reference.astype(np.float64).ravel()
        d = r - quantised.astype(np.float64).ravel()
        if np.any(hidden := np.abs(r) >= MASKED):
            r, d = r[~hidden], d[~hidden]  # what a mask hides is no signal
        self.signal += float(r @ r)
        self.noise += float(d @ d)
        self.count += r.size

    @property
    def db(self) -> float:
        """Infinite without noise, minus infinite for noise on a signal of zeros."""
        if self.noise == 0.0:
            return math.inf
        return 10.0 * math.log10(self.signal / self.noise) if self.signal > 0.0 else -math.inf


def sqnr_db(reference: Array, quantised: Array) -> float:
    """10 log10(sum reference^2 / sum (reference - quantised)^2)."""
    meter = SqnrMeter()
    meter.add(reference, quantised)
    return meter.db


def predictions(outputs: Array) -> Array:
    """Class of each sample of (n, ...): argmax, the first of equals; a single output is a probability, cut at 0.5."""
    flat = outputs.reshape(len(outputs), -1)
    return np.argmax(flat, axis=1) if flat.shape[1] > 1 else (flat[:, 0] > 0.5).astype(np.int64)


def accuracy(outputs: Array, labels: Array) -> float:
    """Share of samples whose class is the label. `labels`: class numbers (n,), or one-hot (n, classes)."""
    return float(np.mean(predictions(outputs) == class_labels(outputs, labels)))


def class_labels(outputs: Array, labels: Array) -> Array:
    """Class numbers (n,) from labels of that kind, or one-hot (n, classes); DataError unless they can be the classes of
    `outputs`."""
    classes = outputs.reshape(len(outputs), -1).shape[1]
    if labels.ndim == 2 and labels.shape == (len(outputs), classes) and classes > 1:
        labels = np.argmax(labels, axis=1)
    if labels.shape != (len(outputs),):
        raise DataError(
            f"labels have shape {labels.shape}; accuracy over {len(outputs)} samples with {classes} outputs needs "
            f"({len(outputs)},) class numbers or ({len(outputs)}, {classes}) one-hot rows."
        )
    top = max(classes, 2) - 1
    if labels.size and not (labels.min() >= 0 and labels.max() <= top and np.all(labels == np.rint(labels))):
        bad = int(np.flatnonzero((labels < 0) | (labels > top) | (labels != np.rint(labels)))[0])
        raise DataError(
            f"label {bad} is {labels[bad]}; the model has {classes} outputs, allowed are the class numbers 0 to {top}."
        )
    return labels


def agreement(a: Array, b: Array) -> float:
    """Share of samples that two networks put in the same class."""
    return float(np.mean(predictions(a) == predictions(b)))


def mse(a: Array, b: Array) -> float:
    """Mean squared difference over all elements."""
    return float(np.mean(sample_mse(a, b)))


def sample_mse(a: Array, b: Array) -> Array:
    """Mean squared difference of each sample, float64 (n,): an autoencoder's anomaly score."""
    d = a.reshape(len(a), -1).astype(np.float64) - b.reshape(len(b), -1)
    return np.asarray(np.mean(d * d, axis=1))


def auc(scores: Array, labels: Array) -> float:
    """Area under the ROC curve: how often a sample labelled 1 scores above one labelled 0; ties count half."""
    positive = labels.astype(bool)
    p, n = int(positive.sum()), int((~positive).sum())
    if p == 0 or n == 0:
        raise DataError(f"AUC needs samples of both classes; found {p} with label 1 and {n} with label 0.")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2.0
    return float((rank[inverse][positive].sum() - p * (p + 1) / 2.0) / (p * n))


def iou(outputs: Array, masks: Array, threshold: float = 0.5) -> float:
    """Intersection over union of all pixels above `threshold` with the mask, over all samples together."""
    a = outputs.reshape(len(outputs), -1) > threshold
    b = masks.reshape(len(masks), -1) > 0.5
    union = int((a | b).sum())
    return float((a & b).sum() / union) if union else 1.0


@dataclass(frozen=True, slots=True)
class Ratios:
    """A measure that is the mean over columns of sums over samples: mean(sum(part) / sum(whole)), or 1 minus that
    (`of_error`). `part` and `whole`: (n, columns). Columns whose whole is 0 say nothing and are left out.

    Because every sample's share is known, so is the standard error: of the measure, and, paired sample by sample, of
    the difference between two networks.
    """

    part: Array
    whole: Array
    of_error: bool = False

    @property
    def value(self) -> float:
        return float(self._values(self.part.sum(axis=0), self.whole.sum(axis=0)))

    def without_each(self) -> Array:
        """The measure with each sample left out in turn, (n,)."""
        part, whole = (a.sum(axis=0) - a for a in (self.part, self.whole))
        return self._values(part, whole)

    def _values(self, part: Array, whole: Array) -> Array:
        there = whole > 0.0
        shares = np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=there)
        if self.part.shape[1] > 1:
            shares = np.minimum(shares, 1.0)  # one column that is lost is one lost, not more
        mean = shares.sum(axis=-1) / np.maximum(there.sum(axis=-1), 1)
        return np.asarray(1.0 - mean if self.of_error else mean)


def jackknife(left_out: Array) -> float:
    """Standard error of a measure from its values with one of n samples left out each (Quenouille, Tukey)."""
    n = len(left_out)
    if n < 2:
        return math.inf
    return math.sqrt((n - 1) / n * float(np.sum((left_out - left_out.mean()) ** 2)))


def right_answers(outputs: Array, labels: Array) -> Ratios:
    """`accuracy`, sample by sample."""
    right = (predictions(outputs) == class_labels(outputs, labels)).astype(np.float64)
    return Ratios(right[:, None], np.ones((len(right), 1)))


def same_answers(a: Array, b: Array) -> Ratios:
    """`agreement`, sample by sample."""
    same = (predictions(a) == predictions(b)).astype(np.float64)
    return Ratios(same[:, None], np.ones((len(same), 1)))


#: So many values in a row are quantities of their own, each with its variance; of more, the variance is one.
OWN_VALUES = 64


def explained(found: Array, wanted: Array, channel: int | None = None) -> Ratios:
    """Share of the variance of `wanted` (n, ...) that `found` explains (R squared); 0 is no better than the mean.

    A row of at most OWN_VALUES numbers: of each of them, and the mean over them. Else of all together, about the mean
    of each index of the axis `channel` (counted with the samples' axis), or of each value without one.
    """
    w, f = (a.astype(np.float64) for a in (wanted, found.reshape(wanted.shape)))
    row = sum(d > 1 for d in w.shape[1:]) <= 1 and w[0].size <= OWN_VALUES
    axes = 0 if row or channel is None else tuple(i for i in range(w.ndim) if i != channel)
    noise = ((w - f) ** 2).reshape(len(w), -1)
    signal = ((w - w.mean(axis=axes, keepdims=True)) ** 2).reshape(len(w), -1)
    if not row:
        noise, signal = noise.sum(axis=1, keepdims=True), signal.sum(axis=1, keepdims=True)
    return Ratios(noise, signal, of_error=True)


def right_pixels(classes: Array, masks: Array) -> Ratios:
    """Share of pixels of the right class; both (n, ...) class numbers."""
    right = (classes == masks).reshape(len(masks), -1).astype(np.float64)
    return Ratios(right.sum(axis=1)[:, None], np.full((len(right), 1), float(right.shape[1])))


def overlap(classes: Array, masks: Array, count: int) -> Ratios:
    """Intersection over union of each of `count` classes, mean over those that occur. Both (n, ...) class numbers; with
    two classes the overlap of class 1, the object."""
    a, b = classes.reshape(len(classes), -1), masks.reshape(len(masks), -1)
    numbers = range(1, 2) if count == 2 else range(count)
    both = [((a == c) & (b == c)).sum(axis=1) for c in numbers]
    either = [((a == c) | (b == c)).sum(axis=1) for c in numbers]
    return Ratios(np.stack(both, axis=1).astype(np.float64), np.stack(either, axis=1).astype(np.float64))
