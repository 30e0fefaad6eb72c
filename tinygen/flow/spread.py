"""Made-up integers that span what a tensor can hold, to try a network on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import PCG64

from tinygen.ir.types import Tensor
from tinygen.numerics import Array


def spanning(t: Tensor, count: int, seed: int) -> Array:
    """Codes of an activation, over its whole range: noise; noise of some amplitude about some value; smooth; extremes.

    Only raw bits of PCG64, which numpy promises not to change."""
    assert t.quant is not None
    return spread(t.quant.low, t.quant.high, (count, *t.shape), seed).astype(t.dtype.value)


def spread(low: int, high: int, shape: Sequence[int], seed: int) -> Array:
    """Integers from `low` to `high`, as `spanning` says; the first axis counts the samples."""
    bits, count = PCG64([7, seed]), shape[0]

    def uniform(*size: int) -> Array:
        raw = np.asarray(bits.random_raw(int(np.prod(size))), np.uint64) >> np.uint64(11)
        found: Array = raw.astype(np.float64).reshape(size) / 2.0**53
        return found

    span, ones = high - low + 1, (1,) * (len(shape) - 1)
    noise = uniform(*shape)
    centre, width = uniform(count, *ones), uniform(count, *ones) ** 2
    part = noise.copy()
    narrow, smooth, ends = slice(1, None, 4), slice(2, None, 4), slice(3, None, 4)
    part[narrow] = centre[narrow] + (noise[narrow] - 0.5) * width[narrow]
    waves = np.zeros_like(noise[smooth])
    for axis, length in enumerate(shape[1:]):
        if length > 1:
            turn = np.arange(length) / length * (1.0 + 3.0 * uniform(len(waves), 1)) + uniform(len(waves), 1)
            wave = 4.0 * np.abs(turn % 1.0 - 0.5) - 1.0
            waves += wave.reshape(len(waves), *(length if i == axis else 1 for i in range(len(ones))))
    part[smooth] = 0.5 + waves * (0.15 + 0.2 * centre[smooth]) + (noise[smooth] - 0.5) * 0.1
    part[ends] = np.where(noise[ends] < 0.5, np.rint(noise[ends] * 2), centre[ends])
    codes: Array = np.clip(np.floor(low + part * span), low, high)
    return codes
