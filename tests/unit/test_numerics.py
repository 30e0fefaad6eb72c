"""The integer rules against exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from tinygen import numerics


@pytest.mark.parametrize("seed", range(5))
def test_requant_is_exact_round_half_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    acc = rng.integers(-(2**31), 2**31, 300)
    m = rng.integers(-(2**31) + 1, 2**31, 300)
    for shift in (1, 7, 31, 32, 33, 45, 62):
        found = numerics.requant(acc, m, shift)
        for a, k, y in zip(acc.tolist(), m.tolist(), found.tolist(), strict=True):
            assert y == floor(Fraction(a * k, 2**shift) + Fraction(1, 2))


def test_multipliers_keep_their_promises() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        real = 10.0 ** rng.uniform(-9, 4, rng.integers(1, 9))
        m, shift = numerics.choose_multipliers(real)
        assert 1 <= shift <= 62
        assert np.all(m % numerics.MULTIPLIER_STEP == 0)
        top = int(np.argmax(real))
        assert abs(m[top] / 2.0**shift / real[top] - 1) <= 384 / 2**30
        if shift < 62:
            assert m[top] >= 2**30 - numerics.MULTIPLIER_STEP


@pytest.mark.parametrize("bad", [[np.inf], [np.nan], [1e30]])
def test_impossible_multipliers_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="multiplier"):
        numerics.choose_multipliers(bad)


def test_zero_multipliers() -> None:
    m, _ = numerics.choose_multipliers([0.0, 0.0])
    assert m.tolist() == [0, 0]


def test_matmul_exact_beyond_float32() -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(-255, 256, (3, 4000))
    w = rng.integers(-127, 128, (4000, 5))
    assert np.array_equal(numerics.matmul_exact(x, w), x @ w)


def test_quantise_edges() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, 0.25, 0.75, -0.25], np.float32)
    assert numerics.quantise(x, 0.5, 3).tolist() == [-128, 127, -128, 3, 3, 5, 3]


def test_rsqrt_keeps_its_promise() -> None:
    """NUMERICS section 10: both ends of each piece, where the first guess is worst, and others."""
    ends = [(2**25 * (i + 32), 2**25 * (i + 33) - 1) for i in range(96)]
    w = np.concatenate([np.ravel(ends), np.random.default_rng(3).integers(2**30, 2**32, 10**6)])
    found = numerics.rsqrt(w)
    assert np.abs(found / (2.0**46 / np.sqrt(w.astype(np.float64))) - 1.0).max() < 2.0**-26.3
    assert 2**30 <= found.min() <= found.max() < 2**31


@pytest.mark.parametrize("b", range(17, 29))
def test_quotient_of_softmax_as_a_product(b: int) -> None:
    """NUMERICS section 8: every exponential, sums at both ends of an octave and others."""
    rng = np.random.default_rng(b)
    e = np.arange(2**16 + 1, dtype=np.uint64)
    ends = [2 ** (b - 1) + i for i in (1, 2, 3)] + [2**b - i for i in range(4)]
    for total in (t for t in (*ends, *rng.integers(2 ** (b - 1) + 1, 2**b, 20).tolist()) if t > 65537):
        m = -(-(2 ** (31 + b)) // total) if total % 2 == 0 else (2 ** (32 + b) + total) // (2 * total)
        assert 2**31 <= m < 2**32
        got = (e * np.uint64(m) + np.uint64(2 ** (15 + b))) >> np.uint64(16 + b)
        assert np.array_equal(got, (e * np.uint64(32768) + np.uint64(total // 2)) // np.uint64(total))
