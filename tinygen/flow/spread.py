"""Made-up integers that span what a tensor can hold, to try a network on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import PCG64

from tinygen.ir.types import Tensor
from tinygen.numerics import Array


def spanning(t: Tensor, count: int, seed: int) -> Array:
    """Codes of an activation, over its whole range: noise; noise of some amplitude about some value; smooth; extremes.

    Only raw bits of PCG64, which numpy promises not to change."""
    assert t.quant is not None
    return spread(t.quant.low, t.quant.high, (count, *t.shape), seed).astype(t.dtype.value)


def spread(low: int, high: int, shape: Sequence[int], seed: int, first: int = 0) -> Array:
    """Integers from `low` to `high`, as `spanning` says; the first axis counts the samples, from the `first` on."""
    bits, (count, *dims) = PCG64([7, seed, first]), shape

    def uniform(*size: int) -> Array:
        raw = np.asarray(bits.random_raw(int(np.prod(size))), np.uint64) >> np.uint64(11)
        found: Array = raw.astype(np.float64).reshape(size) / 2.0**53
        return found

    codes = np.empty(shape, np.int16 if high <= np.iinfo(np.int16).max else np.int32)
    for k in range(count):
        part, centre = uniform(*dims), float(uniform())
        kind = (first + k) % 4
        if kind == 1:
            part = centre + (part - 0.5) * float(uniform()) ** 2
        elif kind == 2:
            part = 0.5 + _waves(dims, uniform) * (0.15 + 0.2 * centre) + (part - 0.5) * 0.1
        elif kind == 3:
            part = np.where(part < 0.5, np.rint(part * 2), centre)
        codes[k] = np.clip(np.floor(low + part * (high - low + 1)), low, high)
    return codes


def _waves(dims: Sequence[int], uniform: Callable[..., Array]) -> Array:
    """The sum of a triangular wave along each axis, one to four turns of it."""
    total = np.zeros(dims)
    for axis, length in enumerate(dims):
        if length > 1:
            turn = np.arange(length) / length * (1.0 + 3.0 * float(uniform())) + float(uniform())
            wave = 4.0 * np.abs(turn % 1.0 - 0.5) - 1.0
            total += wave.reshape([length if i == axis else 1 for i in range(len(dims))])
    return total
