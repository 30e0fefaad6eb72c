"""The integer rules of docs/NUMERICS.md in numpy: the twin of templates_c/kernels/core/tg_numerics.h."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

INT32_LIMIT = 2**31
#: Multipliers are multiples of this: lcm(256, 24), so that packed and Winograd kernels give the same bits.
MULTIPLIER_STEP = 768


def choose_multipliers(real: npt.ArrayLike, step: int | None = None) -> tuple[Array, int]:
    """Fixed-point form (m int32 array, s) of the real multipliers of one layer: real ~ m / 2^s. NUMERICS section 1.

    The m are multiples of `step`, else of MULTIPLIER_STEP: 1 for int16 activations, whose kernels pack nothing.
    Raises ValueError when a multiplier is not finite, or so large that no shift in [1, 62] can hold it.
    """
    values = np.atleast_1d(np.asarray(real, dtype=np.float64))
    if not np.all(np.isfinite(values)):
        raise ValueError("a multiplier is not finite")
    top = float(np.max(np.abs(values), initial=0.0))
    if top == 0.0:
        return np.zeros(values.shape, dtype=np.int32), 31
    shift = min(62, 30 - math.floor(math.log2(top)))
    step = step or MULTIPLIER_STEP
    largest = (INT32_LIMIT - 1) // step * step
    while shift < 62 and round(top * 2.0 ** (shift + 1)) <= largest:
        shift += 1
    while round(top * 2.0**shift / step) * step > largest:
        shift -= 1
    if shift < 1:
        raise ValueError(f"multiplier {top:g} is too large: the output scale is far too small for this layer")
    steps = np.rint(values * 2.0**shift / step).astype(np.int64)
    return (steps * step).astype(np.int32), shift


def requant(acc: Array, m: npt.ArrayLike, shift: int) -> Array:
    """(acc * m + 2^(shift-1)) >> shift in int64. `m` broadcasts against `acc`."""
    product: Array = np.multiply(acc, np.asarray(m, dtype=np.int64), dtype=np.int64)
    product += 1 << (shift - 1)
    product >>= shift
    return product


def half_to_even(q: Array, acc: Array, n: npt.ArrayLike) -> Array:
    """q = acc / n rounded, halves either way: halves to the even integer instead. NUMERICS section 3."""
    rest = 2 * (acc.astype(np.int64) - q * np.asarray(n, np.int64))
    found: Array = q + (q & 1) * ((rest == n).astype(np.int64) - (rest == -np.asarray(n, np.int64)))
    return found


def requant_clamp(acc: Array, m: npt.ArrayLike, shift: int, zero_point: int, lo: int, hi: int, bits: int = 8) -> Array:
    """The whole epilogue of a layer: requantise, add the zero point, clamp to [lo, hi], as int8 or int16."""
    q = requant(acc, m, shift)
    q += zero_point
    out: Array = np.clip(q, lo, hi, out=q).astype(int_type(bits))
    return out


def int_type(bits: int) -> type[np.signedinteger[Any]]:
    """The numpy type that holds integers of so many bits: 8, 12 or 16, 24 or 32."""
    return np.int8 if bits == 8 else np.int16 if bits <= 16 else np.int32


def matmul_exact(x: Array, w: Array, top: int = 255) -> Array:
    """x @ w for integer operands, as int64, through floating-point BLAS (numpy's own integer product is 50 times
    slower).

    x: (..., K), |x| <= top; w: (K, M), |w| <= 128. Sums of integers are exact in a float type as long as
    they stay below 2^24 (float32) or 2^53 (float64); the type is chosen from the real weights.
    """
    bound = (top + 1.0) * float(np.abs(w.astype(np.float64)).sum(axis=0).max(initial=0.0))
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


def quantise(
    x: Array, scale: npt.ArrayLike, zero_point: int, bits: int = 8, mean: npt.ArrayLike | None = None
) -> Array:
    """Float input to integers of `bits`, as `<model>_quantize_input` does it: float32 subtraction of the mean where
    there is one, float32 division, half to even, saturating. `scale` and `mean` broadcast against `x`."""
    with np.errstate(invalid="ignore", over="ignore"):
        v: Array = x.astype(np.float32)
        v = (v if mean is None else v - np.asarray(mean, np.float32)) / np.asarray(scale, np.float32)
    beyond = 4 << bits  # NaN becomes the lowest integer
    v = np.where(np.isnan(v), np.float32(-beyond), v)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    out: Array = np.clip(np.rint(np.clip(v, -beyond, beyond)) + zero_point, low, high).astype(int_type(bits))
    return out


def dequantise(q: Array, scale: npt.ArrayLike, zero_point: npt.ArrayLike) -> Array:
    """int8 or int16 output to float32, as `<model>_dequantize_output` does it. Scale and zero point broadcast."""
    real: Array = (q.astype(np.int32) - np.asarray(zero_point, np.int32)).astype(np.float32)
    return real * np.asarray(scale, np.float32)


def mul_high(a: Array, b: npt.ArrayLike) -> Array:
    """Bits 63..32 of the products of int32 values: rounded down."""
    high: Array = np.multiply(a, np.asarray(b, np.int64), dtype=np.int64) >> 32
    return high


#: First guesses of `rsqrt` for w in [2^25 * (i + 32), 2^25 * (i + 33)), i = 0..95: 2^31 / sqrt(w) in the middle.
RSQRT_TABLE = np.array([min(65535, round(2**31 / math.sqrt(2**25 * (i + 32.5)))) for i in range(96)], np.uint64)


def rsqrt(w: Array) -> Array:
    """2^46 / sqrt(w) for 2^30 <= w < 2^32, at most 2^31 - 1, as int64: two steps of Newton. NUMERICS section 10."""
    w = w.astype(np.uint64)
    down = np.uint64(32)
    r = RSQRT_TABLE[((w >> np.uint64(25)) - np.uint64(32)).astype(np.int64)]
    r = ((r << np.uint64(16)) * (np.uint64(3 << 30) - (w * (r * r) >> down))) >> down  # Q30, below 2^32
    r = (r * (np.uint64(3 << 28) - (w * (r * r >> down) >> down))) >> np.uint64(29)
    found: Array = np.minimum(r, np.uint64(2**31 - 1)).astype(np.int64)
    return found
