"""The integer rules of docs/NUMERICS.md in numpy: the twin of templates_c/kernels/core/tg_numerics.h."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

INT8_MIN = -128
INT8_MAX = 127
INT32_LIMIT = 2**31
#: Multipliers are multiples of this: lcm(256, 24), so that packed and Winograd kernels give the same bits.
MULTIPLIER_STEP = 768
#: Largest multiplier: the largest multiple of the step below 2^31.
MULTIPLIER_MAX = (INT32_LIMIT - 1) // MULTIPLIER_STEP * MULTIPLIER_STEP


def choose_multipliers(real: npt.ArrayLike) -> tuple[Array, int]:
    """Fixed-point form (m int32 array, s) of the real multipliers of one layer: real ~ m / 2^s. NUMERICS section 1.

    Raises ValueError when a multiplier is not finite, or so large that no shift in [1, 62] can hold it.
    """
    values = np.atleast_1d(np.asarray(real, dtype=np.float64))
    if not np.all(np.isfinite(values)):
        raise ValueError("a multiplier is not finite")
    top = float(np.max(np.abs(values), initial=0.0))
    if top == 0.0:
        return np.zeros(values.shape, dtype=np.int32), 31
    shift = min(62, 30 - math.floor(math.log2(top)))
    while shift < 62 and round(top * 2.0 ** (shift + 1)) <= MULTIPLIER_MAX:
        shift += 1
    while round(top * 2.0**shift / MULTIPLIER_STEP) * MULTIPLIER_STEP > MULTIPLIER_MAX:
        shift -= 1
    if shift < 1:
        raise ValueError(f"multiplier {top:g} is too large: the output scale is far too small for this layer")
    steps = np.rint(values * 2.0**shift / MULTIPLIER_STEP).astype(np.int64)
    return (steps * MULTIPLIER_STEP).astype(np.int32), shift


def requant(acc: Array, m: npt.ArrayLike, shift: int) -> Array:
    """(acc * m + 2^(shift-1)) >> shift in int64. `m` broadcasts against `acc`."""
    product = acc.astype(np.int64) * np.asarray(m, dtype=np.int64)
    return (product + (1 << (shift - 1))) >> shift


def requant_clamp(acc: Array, m: npt.ArrayLike, shift: int, zero_point: int, lo: int, hi: int) -> Array:
    """The whole epilogue of a layer: requantise, add the zero point, clamp to [lo, hi], as int8."""
    out: Array = np.clip(requant(acc, m, shift) + zero_point, lo, hi).astype(np.int8)
    return out


def matmul_exact(x: Array, w: Array) -> Array:
    """x @ w for integer operands, as int64, through floating-point BLAS (numpy's own integer product is 50 times
    slower).

    x: (..., K), |x| <= 255; w: (K, M), |w| <= 128. Sums of integers are exact in a float type as long as
    they stay below 2^24 (float32) or 2^53 (float64); the type is chosen from the real weights.
    """
    bound = 256.0 * float(np.abs(w.astype(np.float64)).sum(axis=0).max(initial=0.0))
    dtype = np.float32 if bound < 2**24 else np.float64
    result: Array = (x.astype(dtype) @ w.astype(dtype)).astype(np.int64)
    return result


def fold_bias(w: Array, b: Array, in_zp: int) -> Array:
    """b - in_zp * sum(w) as int32, for any weights whose first axis is the output channel.

    With it `b' + sum w * x` over all taps, those outside the image reading `in_zp`, is `b + sum w * (x - in_zp)`.
    """
    sums = w.reshape(w.shape[0], -1).astype(np.int64).sum(axis=1)
    folded: Array = b.astype(np.int64) - in_zp * sums
    if np.any(np.abs(folded) >= 2**31):
        raise ValueError("a folded bias does not fit int32: quantise must give the channel a larger weight scale")
    return folded.astype(np.int32)


def quantise(x: Array, scale: float, zero_point: int) -> Array:
    """Float input to int8, as `<model>_quantize_input` does it: float32 division, half to even, saturating."""
    with np.errstate(invalid="ignore", over="ignore"):
        v = x.astype(np.float32) / np.float32(scale)
    v = np.where(np.isnan(v), np.float32(-1024.0), v)
    out: Array = np.clip(np.rint(np.clip(v, -1024, 1024)) + zero_point, INT8_MIN, INT8_MAX).astype(np.int8)
    return out


def dequantise(q: Array, scale: float, zero_point: int) -> Array:
    """int8 output to float32, as `<model>_dequantize_output` does it."""
    return (q.astype(np.int32) - zero_point).astype(np.float32) * np.float32(scale)
