"""Figures of merit on cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinygen.calibrate.metrics import SqnrMeter, accuracy, agreement, auc, iou, mse, predictions, sample_mse, sqnr_db
from tinygen.errors import DataError


def test_sqnr() -> None:
    ref = np.array([3.0, 4.0], np.float32)
    assert sqnr_db(ref, np.array([3.0, 3.5])) == pytest.approx(20)  # 25 over 0.25
    assert sqnr_db(ref, ref) == math.inf
    assert sqnr_db(np.zeros(2), np.ones(2)) == -math.inf
    assert sqnr_db(np.zeros(2), np.zeros(2)) == math.inf


def test_sqnr_meter_streams() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(10, 7)).astype(np.float32)
    b = a + rng.normal(size=a.shape).astype(np.float32) / 100
    meter = SqnrMeter()
    for x, y in zip(a, b, strict=True):
        meter.add(x, y)
    assert meter.db == pytest.approx(sqnr_db(a, b), abs=1e-9)
    assert meter.count == 70
    with pytest.raises(ValueError, match="differ"):
        meter.add(a, b[:5])


def test_sqnr_of_large_integers_does_not_overflow() -> None:
    assert sqnr_db(np.full(4, 100, np.int8), np.full(4, -100, np.int8)) == pytest.approx(-20 * math.log10(2))


def test_predictions() -> None:
    assert predictions(np.array([[[0, 2, 2]], [[5, 1, 0]]])).tolist() == [1, 0]
    assert predictions(np.array([[0.4], [0.6]])).tolist() == [0, 1]


def test_accuracy() -> None:
    out = np.eye(4)[[0, 1, 2, 3]][:, None]
    assert accuracy(out, np.array([0, 1, 2, 0])) == 0.75
    assert accuracy(out, np.array([0, 1, 2, 0], np.float32)) == 0.75
    assert accuracy(out, np.eye(4)[[0, 1, 1, 1]]) == 0.5
    assert accuracy(np.array([[0.2], [0.9]]), np.array([0, 1])) == 1


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 4, 1], r"label 1 is 4; the model has 3 outputs, allowed are the class numbers 0 to 2"),
        ([0, -1, 1], "label 1 is -1"),
        ([0, 1, 0.5], "label 2 is 0.5"),
        ([0, 1], r"labels have shape \(2,\); accuracy over 3 samples with 3 outputs needs \(3,\) class numbers"),
        ([[0, 1], [0, 1], [0, 1]], r"labels have shape \(3, 2\)"),
    ],
)
def test_accuracy_refuses(labels: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        accuracy(np.eye(3), np.array(labels))


def test_agreement() -> None:
    assert agreement(np.eye(4), 3 * np.eye(4)[[0, 1, 3, 3]]) == 0.75


def test_mse() -> None:
    a, b = np.array([[0.0, 0], [1, 1]]), np.array([[3.0, 4], [1, 1]])
    assert sample_mse(a, b).tolist() == [12.5, 0]
    assert mse(a, b) == 6.25
    assert mse(np.array([[100]], np.int8), np.array([[-100]], np.int8)) == 40000


def test_auc() -> None:
    assert auc(np.array([1, 2, 3, 4]), np.array([0, 0, 1, 1])) == 1
    assert auc(np.array([4, 3, 2, 1]), np.array([0, 0, 1, 1])) == 0
    assert auc(np.ones(4), np.array([0, 0, 1, 1])) == 0.5
    assert auc(np.array([1, 2, 2, 3]), np.array([0, 1, 0, 1])) == (1 + 0.5 + 1 + 1) / 4
    with pytest.raises(DataError, match="found 4 with label 1 and 0 with label 0"):
        auc(np.ones(4), np.ones(4))


def test_iou() -> None:
    masks = np.array([[1, 1, 0, 0], [0, 0, 0, 1]])
    assert iou(np.array([[0.9, 0.1, 0.9, 0], [0, 0, 0, 0.9]]), masks) == 2 / 4
    assert iou(np.zeros((1, 4)), np.zeros((1, 4))) == 1
