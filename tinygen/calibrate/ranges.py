"""The real range of every tensor, from a histogram of its values over the calibration samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np

from tinygen.calibrate.floatrun import FloatModel, Progress, quiet
from tinygen.calibrate.methods import METHODS
from tinygen.errors import DataError, ModelError, did_you_mean
from tinygen.ir.types import Quant
from tinygen.numerics import Array

#: Bins on either side of zero. The larger side always fills more than half of them, so that even after clipping
#: seven eighths of the range away an int8 step still spans several bins.
HALF = 4096
_HALF_BITS = 12
_TINY_SCALE = 2.0**-16  # of a tensor that is always zero
_SMALLEST_SCALE = 2.0**-100  # a normal float32, and so is its reciprocal

DEFAULT_PERCENTILE = 99.99


class Range(NamedTuple):
    """lo <= 0 <= hi, finite."""

    lo: float
    hi: float


class Histogram:
    """Counts of values in bins of width 2^exponent, bin i covering [(i - HALF), (i - HALF + 1)) * 2^exponent.

    The exponent follows from the largest magnitude seen, and widening merges whole bins: the state depends on the
    values added and on nothing else, not on their order. Exact zeros, which every quantisation represents, are
    counted apart.
    """

    __slots__ = ("counts", "exponent", "hi", "lo", "total", "zeros")

    def __init__(self) -> None:
        self.lo = math.inf
        self.hi = -math.inf
        self.total = 0
        self.zeros = 0
        self.exponent: int | None = None
        self.counts: Array = np.zeros(2 * HALF, dtype=np.int64)

    def add(self, values: Array) -> None:
        """Count all elements. ValueError if one is NaN or infinite; then nothing is counted."""
        v = values.ravel()
        if v.size == 0:
            return
        lo, hi = float(v.min()), float(v.max())
        if not (math.isfinite(lo) and math.isfinite(hi)):
            raise ValueError("a value is NaN or infinite")
        zeros = int(v.size - np.count_nonzero(v))
        self.lo, self.hi = min(self.lo, lo), max(self.hi, hi)
        self.total += int(v.size)
        self.zeros += zeros
        top = max(-lo, hi)
        if top == 0.0:
            return
        # top = m * 2^e with 1/2 <= m < 1, so its bin m * 2^12 lies in [HALF / 2, HALF).
        exponent = math.frexp(top)[1] - _HALF_BITS
        if self.exponent is None:
            self.exponent = exponent
        elif exponent > self.exponent:
            self._widen(exponent)
        # A product with a power of two is exact in float64, so the floor is the true bin.
        index = np.floor(v.astype(np.float64) * 2.0**-self.exponent).astype(np.int64) + HALF
        self.counts += np.bincount(index, minlength=2 * HALF)
        self.counts[HALF] -= zeros

    def _widen(self, exponent: int) -> None:
        assert self.exponent is not None
        shift = min(62, exponent - self.exponent)
        index = (np.arange(-HALF, HALF, dtype=np.int64) >> shift) + HALF
        widened = np.zeros_like(self.counts)
        np.add.at(widened, index, self.counts)
        self.counts = widened
        self.exponent = exponent

    def clipped(self, lo: float, hi: float) -> Histogram:
        """As if every value had been clamped to [lo, hi] (to within a bin) before it was counted. lo <= hi."""
        if self.exponent is None or (lo <= self.lo and hi >= self.hi):
            return self
        h = Histogram()
        h.total, h.zeros, h.exponent = self.total, self.zeros, self.exponent
        h.lo, h.hi = min(max(self.lo, lo), hi), min(max(self.hi, lo), hi)
        first, last = (int(np.floor(v / self.width)) + HALF for v in (h.lo, h.hi))
        index = np.clip(np.arange(2 * HALF), max(first, 0), min(last, 2 * HALF - 1))
        h.counts = np.bincount(index, weights=self.counts, minlength=2 * HALF).astype(np.int64)
        return h

    @property
    def width(self) -> float:
        """Of a bin; 0 while all values are zero."""
        return 0.0 if self.exponent is None else 2.0**self.exponent

    @property
    def edges(self) -> Array:
        """The 2 * HALF + 1 borders of the bins."""
        return np.arange(-HALF, HALF + 1, dtype=np.float64) * self.width

    @property
    def centres(self) -> Array:
        return (np.arange(-HALF, HALF, dtype=np.float64) + 0.5) * self.width

    @property
    def minmax(self) -> Range:
        return Range(min(self.lo, 0.0), max(self.hi, 0.0)) if self.total else Range(0.0, 0.0)


class Meter(Protocol):
    """What may watch a tensor's values beside its histogram."""

    def add(self, values: Array) -> None:
        """Values of one sample."""


class ChannelMeans:
    """Mean of a tensor over everything but its last axis."""

    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.total: Array = np.zeros(1)
        self.count = 0

    def add(self, values: Array) -> None:
        rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
        self.total = self.total + rows.sum(axis=0)
        self.count += len(rows)

    @property
    def mean(self) -> Array:
        return self.total / max(1, self.count)


def collect(
    model: FloatModel,
    tensor_names: Sequence[str],
    inputs: Sequence[Array],
    progress: Progress = quiet,
    meters: Mapping[str, Sequence[Meter]] = MappingProxyType({}),
    clamps: Mapping[str, Range] = MappingProxyType({}),
) -> dict[str, Histogram]:
    """Histograms of the named inputs and outputs of `model` over samples (n, *input shape), one sample in memory.

    `meters`: what else watches tensors, of those named. `clamps`: ranges to which values are clamped before they count.
    """
    outputs = [name for name in dict.fromkeys(tensor_names) if name in model.output_names]
    fed = [name for name in dict.fromkeys(tensor_names) if name in model.input_names and name not in outputs]
    unknown = [n for n in tensor_names if n not in model.output_names and n not in model.input_names]
    if unknown:
        raise ValueError(f"not among the model's inputs and outputs: {unknown}")
    found = {name: Histogram() for name in tensor_names}
    total = len(inputs[0])
    runs: Iterable[list[Array]] = model.run_each(inputs, outputs) if outputs else repeat([], total)
    for i, given in enumerate(runs):
        values = dict(zip(model.input_names, inputs, strict=True))
        results = {name: values[name][i] for name in fed} | dict(zip(outputs, given, strict=True))
        for name, value in results.items():
            try:
                found[name].add(value.clip(*clamps[name]) if name in clamps else value)
                for meter in meters.get(name, ()):
                    meter.add(value)
            except ValueError as error:
                raise ModelError(
                    f'tensor "{name}": the float network gives NaN or infinite values for calibration sample {i}. '
                    "Check the preprocessing of the data, then the weights of the layer that writes this tensor."
                ) from error
        progress(i + 1, total)
    return found


def check_method(method: str) -> None:
    """DataError for a method of estimation that is none."""
    if method not in METHODS:
        known = f"{', '.join(METHODS)}.{did_you_mean(method, METHODS)}"
        raise DataError(f'no calibration method "{method}"; tinygen has {known}')


def estimate(histogram: Histogram, method: str, percentile: float = DEFAULT_PERCENTILE) -> Range:
    """The range to quantise. `percentile`: share of the values, in percent, that the method of that name keeps."""
    if method not in METHODS:
        raise DataError(
            f'calibration method "{method}" is unknown; allowed: {", ".join(METHODS)}.{did_you_mean(method, METHODS)}'
        )
    if not 50.0 < percentile <= 100.0:
        raise DataError(f"calibration percentile {percentile:g}: allowed is more than 50 and at most 100.")
    if histogram.exponent is None:
        return histogram.minmax
    if method == "percentile":
        return _percentile(histogram, percentile)
    return _ESTIMATORS[method](histogram)


def estimate_all(
    histograms: Mapping[str, Histogram], method: str, percentile: float = DEFAULT_PERCENTILE
) -> dict[str, Range]:
    """`estimate` for every tensor."""
    return {name: estimate(h, method, percentile) for name, h in histograms.items()}


def quant_from_range(lo: float, hi: float, bits: int = 8) -> Quant:
    """Asymmetric int8 for [lo, hi] extended to hold 0: zero is exact, either end is reached to within half a step.
    With 16 bits symmetric int16, whose 32767 is the end further from 0."""
    if not (math.isfinite(lo) and math.isfinite(hi) and lo <= hi):
        raise ValueError(f"not a range: [{lo}, {hi}]")
    lo, hi = min(lo, 0.0), max(hi, 0.0)
    if lo == hi:
        return Quant.per_tensor(_TINY_SCALE, 0, bits)
    if bits == 16:
        return Quant.per_tensor(float(np.float32(max(-lo, hi, 32767.0 * _SMALLEST_SCALE) / 32767.0)), 0, 16)
    scale = max(hi / 255.0 - lo / 255.0, _SMALLEST_SCALE)
    zero_point = min(127, max(-128, round(-128.0 - lo / scale)))
    # The C has the scale as a float; the same number here keeps both sides equal.
    return Quant.per_tensor(float(np.float32(scale)), zero_point)


def _percentile(h: Histogram, percentile: float) -> Range:
    cut = h.total * (100.0 - percentile) / 200.0
    hi = _tail(h.counts[HALF:], cut) * h.width
    lo = -_tail(h.counts[HALF - 1 :: -1], cut) * h.width
    full = h.minmax
    return Range(max(lo, full.lo), min(hi, full.hi))


def _tail(counts: Array, cut: float) -> float:
    """Distance from zero, in bins, beyond which `cut` values lie; 0 if there are not so many on this side."""
    beyond = 0.0
    for i in np.flatnonzero(counts)[::-1]:
        if beyond + counts[i] > cut:
            return float(i + 1 - (cut - beyond) / counts[i])
        beyond += float(counts[i])
    return 0.0


def _error(h: Histogram, lo: float, hi: float, used: Array, centres: Array) -> float:
    """Sum of squared errors over the histogram when [lo, hi] is quantised; values spread evenly within a bin."""
    quant = quant_from_range(lo, hi)
    steps = np.clip(np.rint(centres / quant.s) + quant.zero_point, -128, 127) - quant.zero_point
    off = centres - steps * quant.s
    return float(np.sum(h.counts[used] * (off * off + h.width**2 / 12.0)))


def _candidates(end: float, per_octave: int, octaves: int) -> Array:
    """`end` and shorter ends down to end / 2^octaves, geometrically; 0 alone if there is nothing on this side."""
    if end == 0.0:
        return np.zeros(1)
    return end * np.exp2(-np.arange(per_octave * octaves + 1) / per_octave)


def _mse(h: Histogram) -> Range:
    """Smallest expected squared error. A closed form (clipping by moments of the tails, rounding as step^2 / 12) ranks
    a grid of ranges, the best are then measured on the histogram."""
    full = h.minmax
    used = np.flatnonzero(h.counts)
    centres, counts = h.centres[used], h.counts[used].astype(np.float64)

    def clipping(side: Array, ends: Array) -> tuple[Array, Array]:
        """(error, number of values) beyond each of `ends`, magnitudes on one side."""
        x, c = np.abs(centres[side]), counts[side]
        order = np.argsort(x)
        x, c = x[order], c[order]
        moments = [np.append(np.cumsum((c * x**p)[::-1])[::-1], 0.0) for p in range(3)]
        at = np.searchsorted(x, ends)
        n, s1, s2 = (m[at] for m in moments)
        return np.maximum(s2 - 2.0 * ends * s1 + ends**2 * n, 0.0), n

    highs, lows = _candidates(full.hi, 24, 10), _candidates(-full.lo, 24, 10)
    high_error, high_n = clipping(centres > 0, highs)
    low_error, low_n = clipping(centres < 0, lows)
    step = (highs[:, None] + lows[None, :]) / 255.0
    inside = counts.sum() - high_n[:, None] - low_n[None, :]
    expected = high_error[:, None] + low_error[None, :] + inside * step**2 / 12.0
    flat = expected.ravel()  # the first 12 of a stable sort, without sorting all
    low = np.flatnonzero(~(flat > np.partition(flat, 11)[11])) if flat.size > 12 else np.arange(flat.size)
    best = low[np.argsort(flat[low], kind="stable")[:12]]
    ranges = [full] + [
        Range(-float(lows[j]), float(highs[i])) for i, j in zip(*np.unravel_index(best, expected.shape), strict=True)
    ]
    return min(ranges, key=lambda r: _error(h, r.lo, r.hi, used, centres))


def _divergence(counts: Array, centres: Array, width: float, lo: float, hi: float) -> float:
    """KL divergence of the clipped distribution from its image under quantisation, as TensorRT defines them."""
    first = int(np.searchsorted(centres, lo - width / 2.0))
    last = int(np.searchsorted(centres, hi + width / 2.0, side="right"))
    if last <= first:
        return math.inf
    inner = counts[first:last]
    clipped = inner.copy()
    # TensorRT adds what is cut off to the outermost bins; here to the outermost that hold something.
    clipped[0] += counts[:first].sum()
    clipped[-1] += counts[last:].sum()
    quant = quant_from_range(lo, hi)
    level = (np.clip(np.rint(centres[first:last] / quant.s) + quant.zero_point, -128, 127) + 128).astype(np.int64)
    mass = np.bincount(level, weights=inner, minlength=256)
    bins = np.bincount(level, minlength=256)
    image = mass[level] / bins[level]
    p, q = clipped / clipped.sum(), image / image.sum()
    return float(np.sum(p * np.log(p / q)))


def _entropy(h: Histogram) -> Range:
    """First the upper end, then the lower: the shortest-divergence ends, with two bins or more for a level."""
    full = h.minmax
    used = np.flatnonzero(h.counts)
    counts, centres = h.counts[used].astype(np.float64), h.centres[used]
    shortest = 2 * 256 * h.width

    def search(ends: Array, make: Callable[[float], Range]) -> Range:
        options = [make(float(e)) for e in ends]
        options = [r for i, r in enumerate(options) if i == 0 or r.hi - r.lo >= shortest]
        return min(options, key=lambda r: _divergence(counts, centres, h.width, r.lo, r.hi))

    upper = search(_candidates(full.hi, 24, 4), lambda hi: Range(full.lo, hi))
    return search(_candidates(-full.lo, 24, 4), lambda lo: Range(-lo, upper.hi))


_ESTIMATORS: Mapping[str, Callable[[Histogram], Range]] = {
    "minmax": lambda h: h.minmax,
    "entropy": _entropy,
    "mse": _mse,
}
