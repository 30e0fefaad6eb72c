"""Interpolated tables of int16 functions: how near, and that nothing leaves its range."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tinygen.numerics import Array
from tinygen.ops.gates import gate_table

EVERY = np.arange(-32768, 32768)


def sigmoid(x: Array) -> Array:
    y: Array = 1.0 / (1.0 + np.exp(-x))
    return y


@pytest.mark.parametrize(
    ("function", "step", "worst", "zero"), [(sigmoid, 2.0**-12, 1.75, 2**14), (np.tanh, 2.0**-13, 2.75, 0)]
)
def test_near_the_function(function: Callable[[Array], Array], step: float, worst: float, zero: int) -> None:
    """In steps of Q15, in which a chord alone is off by 1.5 and 3.1 at the most."""
    v = gate_table(function, step)(EVERY)
    error = v - np.minimum(2.0**15 * function(step * EVERY), 32767)
    assert np.abs(error).max() < worst
    assert abs(error.mean()) < 0.05
    assert v[32768] == zero


@pytest.mark.parametrize("slope", [1.0, -1.0, 1e-3, 1e3, -1e9])
def test_stays_in_int16(slope: float) -> None:
    """Lines, saturated; steeper ones than a table can hold among them."""
    table = gate_table(lambda x: slope * x, 2.0**-15)
    v = table(EVERY)
    assert -32768 <= v.min() <= v.max() <= 32767
    ends = table.entries.astype(np.int64) + table.entries.astype(np.int16).astype(np.int64) * (255 << table.shift)
    assert -(2**31) <= ends.min() <= ends.max() < 2**31
    if abs(slope) <= 1:
        assert np.abs(v - np.clip(slope * EVERY, -32768, 32767)).max() <= 2
