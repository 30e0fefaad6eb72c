"""Constants of the convolutions with two pixels in one multiplication (tg_conv_s8_m0, _m3): pure numpy, no graphs.

A word x0 + 65536 * x1 times a weight holds two products, one in each half. Sums of such words stay apart as long as
neither leaves int16, so each channel's taps are cut into groups over which no activations at all could do that.

Names: `w_ohwi` is [out_c][k_h][k_w][in_c / groups] int8, `b` [out_c] int32 and folded (`numerics.fold_bias`),
`m` [out_c] int32. The C twin is templates_c/kernels/core/tg_lanes_s8.h.
"""

from __future__ import annotations

import math

import numpy as np

from tinygen.numerics import Array, requant_clamp

#: Taps of the longest group, and how far apart the code of two taps of 8 pixels lies (bytes).
GROUP = 11
STEP = 22
#: Largest magnitude of a lane. Not -2^15: a lower lane below 0 borrows 1 from the upper one, which must not wrap.
LANE = 2**15 - 1
#: Largest window in bytes.
WINDOW_LIMIT = 10240
#: Fewer outputs than this are less than a tile.
PIXELS = 4
#: Largest final shift of a layer whose zero point is part of the rounding constant.
ROUND_LIMIT = 22


def conv_lanes_supported(taps: int, pixels: int, tile: int) -> str | None:
    """Why a layer of `taps` weights a channel and `pixels` output positions cannot go by tiles of 4 or 8, or None."""
    if pixels < tile:
        return f"{pixels} pixels, a tile has {tile}"
    size = conv_lanes_scratch(taps, tile)
    return f"a window of {size} bytes, above {WINDOW_LIMIT}" if size > WINDOW_LIMIT else None


def conv_lanes_scratch(taps: int, tile: int) -> int:
    """Bytes of the window: two for each tap and pixel of a tile."""
    return 2 * tile * taps


def tiles(pixels: int, tile: int) -> tuple[tuple[int, int], ...]:
    """(pixels, how often) of the tiles of a layer: as many of 8 as leave more than 4 pixels, then of 4."""
    wide = (pixels + 3) // 8 if tile == 8 else 0
    return (8, wide), (4, -(-max(pixels - 8 * wide, 0) // 4))


def pack_conv_lanes(
    w_ohwi: Array, b: Array, m: Array, shift: int, zp: int, lo: int, hi: int, tile: int
) -> tuple[Array, ...]:
    """(w, b, m): w the largest tile (a byte: 4 or 8), then the groups of every channel, each a byte
    STEP * (GROUP + 1 - length) and its weights, then a 0; b and m as they are, except for channels whose output is
    always the same, which keep no weights."""
    w = w_ohwi.reshape(w_ohwi.shape[0], -1)
    w, b, m = _settled(w, b, m, shift, zp, lo, hi)
    stream = bytearray([tile])
    for row in w.tolist():
        for group in _groups(row):
            stream.append(STEP * (GROUP + 1 - len(group)))
            stream += bytes(v & 0xFF for v in group)
        stream.append(0)
    return np.frombuffer(bytes(stream), dtype=np.int8), b, m


def unpack_weights(stream: Array, shape: tuple[int, ...]) -> Array:
    """The weights [out_c][taps] in `stream`, with zeros where it left them out; `shape` is [out_c][...]."""
    w = np.zeros((shape[0], math.prod(shape[1:])), dtype=np.int8)
    i = 1
    for row in w:
        at = 0
        while mark := int(stream[i]) & 0xFF:
            n = GROUP + 1 - mark // STEP
            row[at : at + n] = stream[i + 1 : i + 1 + n]
            i, at = i + 1 + n, at + n
        i += 1
    return w


def split_multipliers(w: Array, b: Array, m: Array, shift: int, zp: int, lo: int) -> Array:
    """[1 + out_c] for tg_conv_s8_m0 from the weights [out_c][...]: the bits of the low part, then 65536 * high + low
    with m / 256 = high * 2^bits + low; or 0 and m where a product would not fit 32 bits."""
    low, high = sums(w.reshape(w.shape[0], -1), b)
    largest = np.maximum(np.abs(low), np.abs(high))
    small = m.astype(np.int64) // 256
    for bits in range(15, 7, -1):
        t = shift - 8 - bits
        upper = (small + (1 << bits >> 1)) >> bits
        lower = small - (upper << bits)
        offset = (abs(zp - lo) << max(t, 0)) + (1 << max(t, 0))
        total = largest * np.abs(upper) + (largest * np.abs(lower) >> bits) + 1 + offset
        exact = 1 <= t <= ROUND_LIMIT and not np.any(m % 256) and np.all(np.abs(upper) < 2**15)
        if exact and np.all(largest * np.abs(lower) < 2**31) and np.all(total < 2**31):
            words = ((upper << 16) | (lower & 0xFFFF)).astype(np.int64)
            return np.concatenate(([bits], words)).astype(np.int32)
    return np.concatenate(([0], m)).astype(np.int32)


def quick_m3(shift: int, lo: int, hi: int) -> bool:
    """Does tg_conv_s8_m3 requantise by SMULL, one rounding constant and USAT?"""
    return 33 <= shift <= 54 and hi - lo == 255


def sums(w: Array, b: Array) -> tuple[Array, Array]:
    """Least and largest sum of each channel over all activations; w [out_c][taps]."""
    positive = np.maximum(w.astype(np.int64), 0).sum(axis=1)
    negative = np.maximum(-w.astype(np.int64), 0).sum(axis=1)
    return b - 128 * positive - 127 * negative, b + 127 * positive + 128 * negative


def _settled(w: Array, b: Array, m: Array, shift: int, zp: int, lo: int, hi: int) -> tuple[Array, Array, Array]:
    """With no weights in channels whose output does not depend on the input, and a bias that gives that output under
    the layer's largest multiplier: their own may be of another order, and cost the layer its short products."""
    ends = [requant_clamp(s, m, shift, zp, lo, hi) for s in sums(w, b)]
    top = int(m.max(initial=0))
    if top <= 0:
        return w, b, m
    bias = np.rint((ends[0].astype(np.float64) - zp) * 2.0**shift / top)
    ok = (ends[0] == ends[1]) & (np.abs(bias) < 2**31)
    bias = np.where(ok, bias, 0).astype(np.int64)
    ok &= requant_clamp(bias, top, shift, zp, lo, hi) == ends[0]
    return (
        np.where(ok[:, None], 0, w).astype(np.int8),
        np.where(ok, bias, b).astype(np.int32),
        np.where(ok, top, m).astype(np.int32),
    )


def _groups(row: list[int]) -> list[list[int]]:
    """The taps of a channel, cut as late as a lane allows; zeros at the end are left out."""
    last = max((i + 1 for i, v in enumerate(row) if v), default=0)
    found: list[list[int]] = []
    low = high = 0
    for v in row[:last]:
        a, z = sorted((-128 * v, 127 * v))
        low, high = low + a, high + z
        if not found or len(found[-1]) == GROUP or low < -LANE or high > LANE:
            found.append([])
            low, high = a, z
        found[-1].append(v)
    return found
