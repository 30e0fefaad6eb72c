"""Histograms are exact and know no order; the estimators do on known distributions what they are for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from onnx import helper

from tests.calibrate.models import model, scale_and_relu
from tinygen.calibrate.floatrun import FloatModel
from tinygen.calibrate.methods import METHODS
from tinygen.calibrate.ranges import HALF, Histogram, Range, collect, estimate, estimate_all, quant_from_range
from tinygen.errors import DataError, ModelError
from tinygen.ir.types import Quant
from tinygen.numerics import Array, dequantise, quantise


def histogram(*parts: Array) -> Histogram:
    h = Histogram()
    for part in parts:
        h.add(part)
    return h


def state(h: Histogram) -> tuple[object, ...]:
    return h.lo, h.hi, h.total, h.zeros, h.exponent, h.counts.tobytes()


def quantisation_error(x: Array, r: Range) -> float:
    q = quant_from_range(r.lo, r.hi)
    return float(np.mean((dequantise(quantise(x, q.s, q.zero_point), q.s, q.zero_point) - x) ** 2))


RNG = np.random.default_rng(0)
GAUSS = RNG.normal(size=100_000).astype(np.float32)
OUTLIER = np.append(GAUSS, np.float32(50.0))


# -- histogram -------------------------------------------------------------------------------------------------------


def test_counts_are_those_of_the_definition() -> None:
    x = RNG.normal(size=5000).astype(np.float32)
    x[::7] = 0
    h = histogram(x)
    assert (h.lo, h.hi, h.total, h.zeros) == (x.min(), x.max(), 5000, len(x[::7]))
    expected, _ = np.histogram(x[x != 0].astype(np.float64), h.edges)
    assert h.counts.tolist() == expected.tolist()
    assert h.edges[HALF] == 0
    assert h.counts.sum() + h.zeros == h.total


def test_widening_merges_exactly_whatever_the_order() -> None:
    parts = [RNG.normal(size=500).astype(np.float32) * np.float32(s) for s in (1e-30, 1e-3, 1, 700)]
    together = state(histogram(np.concatenate(parts)))
    for order in itertools.permutations(parts):
        assert state(histogram(*order)) == together
    assert state(histogram(*np.concatenate(parts)[:, None])) == together  # one value at a time


def test_half_of_the_larger_side_is_always_used() -> None:
    for top in (1.0, 1.0000001, 1.9999999, 2.0, 3.0, 1e-40, 3e38):
        for sign in (1, -1):
            h = histogram(np.array([sign * top], dtype=np.float32))
            (bin_,) = np.flatnonzero(h.counts)
            assert HALF // 2 <= abs(bin_ - HALF) <= HALF
            assert h.edges[bin_] <= np.float32(sign * top) < h.edges[bin_ + 1]


def test_empty_zero_and_integer_data() -> None:
    assert Histogram().minmax == Range(0, 0)
    assert histogram(np.zeros(0)).total == 0
    zeros = histogram(np.zeros(5), -np.zeros(5))
    assert (zeros.zeros, zeros.width, zeros.minmax) == (10, 0, Range(0, 0))
    assert histogram(np.array([3, -4])).minmax == Range(-4, 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_is_refused_and_not_counted(bad: float) -> None:
    h = histogram(np.ones(3))
    before = state(h)
    with pytest.raises(ValueError, match="NaN or infinite"):
        h.add(np.array([1, bad, 2]))
    assert state(h) == before


# -- estimators ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "x",
    [GAUSS, np.abs(GAUSS), -np.abs(GAUSS), GAUSS + 10, OUTLIER, np.full(5, 7.0), np.array([1e-38]), np.array([-1e38])],
    ids=["two-sided", "positive", "negative", "shifted", "outlier", "constant", "tiny", "huge"],
)
def test_every_method_gives_a_range_around_zero(method: str, x: Array) -> None:
    h = histogram(x)
    r = estimate(h, method)
    assert h.minmax.lo <= r.lo <= 0 <= r.hi <= h.minmax.hi
    assert r.lo < r.hi
    assert estimate(histogram(*np.array_split(x[::-1], 2)), method) == r  # no order, no state


@pytest.mark.parametrize("method", METHODS)
def test_zeros_alone(method: str) -> None:
    assert estimate(histogram(np.zeros(9)), method) == (0, 0)


def test_minmax() -> None:
    assert estimate(histogram(OUTLIER), "minmax") == (float(GAUSS.min()), 50.0)
    assert estimate(histogram(GAUSS + 10), "minmax").lo == 0


@pytest.mark.parametrize("method", ["percentile", "mse", "entropy"])
def test_outlier_is_clipped(method: str) -> None:
    r = estimate(histogram(np.tile(GAUSS, 10), OUTLIER[-1:]), method)
    assert r.hi < 25
    assert r.lo < -3


@pytest.mark.parametrize(("repeat", "percentile_hi"), [(1, 4.0), (10, 4.0)])
def test_percentile_clips_an_outlier_to_the_bulk(repeat: int, percentile_hi: float) -> None:
    assert 3 < estimate(histogram(np.tile(GAUSS, repeat), OUTLIER[-1:]), "percentile").hi < percentile_hi


@pytest.mark.parametrize("repeat", [1, 4, 10])
def test_mse_balances_one_clipped_value_against_the_rounding_of_all(repeat: int) -> None:
    """(50 - hi)^2 + n ((hi - lo) / 255)^2 / 12 is smallest where 50 - hi = n (hi - lo) / (12 * 255^2)."""
    r = estimate(histogram(np.tile(GAUSS, repeat), OUTLIER[-1:]), "mse")
    k = repeat * len(GAUSS) / (12 * 255**2)
    assert r.hi == pytest.approx((50 + k * r.lo) / (1 + k), rel=0.05)


@pytest.mark.parametrize("percentile", [99.0, 99.9, 99.99])
def test_percentile_leaves_its_share_outside(percentile: float) -> None:
    x = np.concatenate([GAUSS, np.zeros(50_000, np.float32)])
    lo, hi = estimate(histogram(x), "percentile", percentile)
    cut = len(x) * (100 - percentile) / 200
    width = histogram(x).width
    for beyond in (x > hi, x < lo):
        assert beyond.sum() == pytest.approx(cut, abs=1 + 0.01 * cut)
    assert np.sum(x > hi - width) >= cut
    assert np.sum(x < lo + width) >= cut


def test_percentile_100_is_minmax() -> None:
    h = histogram(GAUSS)
    assert np.abs(np.array(estimate(h, "percentile", 100.0)) - h.minmax).max() <= h.width


def test_percentile_of_a_side_that_is_nearly_empty_is_zero() -> None:
    assert estimate(histogram(np.append(np.abs(GAUSS), -9.0)), "percentile").lo == 0


@pytest.mark.parametrize("x", [GAUSS, OUTLIER, np.abs(GAUSS) ** 3, RNG.laplace(size=50_000) - 1], ids=list("gopl"))
def test_mse_is_no_worse_than_any_of_many_ranges(x: Array) -> None:
    h = histogram(x)
    mine = quantisation_error(x, estimate(h, "mse"))
    full = h.minmax
    grid = np.linspace(0.05, 1, 20)
    best = min(quantisation_error(x, Range(full.lo * a, full.hi * b)) for a in grid for b in grid)
    assert mine <= 1.02 * best


def test_mse_keeps_a_uniform_distribution_whole() -> None:
    h = histogram(RNG.uniform(-1, 3, 100_000))
    assert np.abs(np.array(estimate(h, "mse")) - h.minmax).max() < 0.01


def test_entropy_clips_long_tails() -> None:
    x = RNG.standard_t(3, size=200_000)
    h = histogram(x)
    r = estimate(h, "entropy")
    assert r.hi < 0.8 * h.minmax.hi
    assert np.mean((x < r.lo) | (x > r.hi)) < 0.01


def test_unknown_method_and_bad_percentile() -> None:
    h = histogram(GAUSS)
    with pytest.raises(DataError, match='"kl" is unknown; allowed: minmax, percentile, entropy, mse'):
        estimate(h, "kl")
    for percentile in (0.0, 50.0, 100.1, float("nan")):
        with pytest.raises(DataError, match="allowed is more than 50 and at most 100"):
            estimate(h, "percentile", percentile)


# -- Quant -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lo", "hi", "zero_point"),
    [(0, 6, -128), (-6, 0, 127), (-1, 1, 0), (2, 5, -128), (-5, -2, 127), (-128, 127, 0), (-1, 254, -127)],
)
def test_quant_from_range(lo: float, hi: float, zero_point: int) -> None:
    q = quant_from_range(lo, hi)
    assert q.zero_point == zero_point
    assert q.s == np.float32(q.s)
    ends = dequantise(quantise(np.array([min(lo, 0), 0, max(hi, 0)]), q.s, q.zero_point), q.s, q.zero_point)
    assert ends[1] == 0
    assert abs(ends[0] - min(lo, 0)) <= 0.501 * q.s
    assert abs(ends[2] - max(hi, 0)) <= 0.501 * q.s


def test_quant_of_degenerate_ranges() -> None:
    assert quant_from_range(0, 0) == Quant.per_tensor(2.0**-16, 0)
    for lo, hi in ((0, 1e-45), (-3.4e38, 3.4e38), (0, 3.4e38), (-1e-300, 0)):
        q = quant_from_range(lo, hi)
        assert 0 < q.s < np.inf
        assert np.isfinite(1 / np.float32(q.s))
        assert -128 <= q.zero_point <= 127
    for lo, hi in ((1.0, 0.0), (float("nan"), 1.0), (0.0, float("inf"))):
        with pytest.raises(ValueError, match="not a range"):
            quant_from_range(lo, hi)


# -- collect ---------------------------------------------------------------------------------------------------------


def test_collect() -> None:
    x = RNG.normal(size=(6, 1, 4)).astype(np.float32)
    seen: list[tuple[int, int]] = []
    found = collect(
        FloatModel(scale_and_relu()), ("x", "twice", "positive"), [x], lambda done, total: seen.append((done, total))
    )
    assert list(found) == ["x", "twice", "positive"]
    assert state(found["x"]) == state(histogram(x))
    assert state(found["twice"]) == state(histogram(2 * x))
    assert state(found["positive"]) == state(histogram(np.maximum(2 * x, 0)))
    assert seen[-1] == (6, 6)
    assert estimate_all(found, "minmax")["positive"] == (0, max(0, 2 * x.max()))


def test_collect_inputs_alone_runs_nothing() -> None:
    assert collect(FloatModel(scale_and_relu()), ("x",), [np.ones((2, 1, 4), "f")])["x"].total == 8


def test_collect_unknown_tensor() -> None:
    with pytest.raises(ValueError, match=r"not among .*\['nothing'\]"):
        collect(FloatModel(scale_and_relu()), ("nothing",), [np.ones((1, 1, 4), "f")])


def test_collect_names_the_tensor_that_overflows() -> None:
    m = FloatModel(model([helper.make_node("Log", ["x"], ["y"])], {"x": (1, 1)}, ["y"]))
    with pytest.raises(ModelError, match=r'tensor "y": .*NaN or infinite values for calibration sample 1'):
        collect(m, ("y",), [np.array([[[1]], [[-1]]], "f")])
