"""Figures of merit: how close two networks are, how often one is right."""

from __future__ import annotations

import math

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
    return float(np.mean(predictions(outputs) == labels))


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
