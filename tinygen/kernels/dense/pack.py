"""Constants of tg_dense_s8_dsp: one stream of biases and raw pairs, block by block. Pure numpy.

**Raw pairs.** Two weights e, o of neighbouring output channels share a half-word 256 * o + e, which fits int16
(`raw_pairs_fit`). One SMLAD with the word as it is sums 256 * o + e, one with its even bytes sums e; the difference is
256 times the odd channel's sum, which meets its multiplier divided by 256 (exact: NUMERICS section 1). An odd channel
whose sum may leave the 24 bits that remain is refused by `dense_supported`.
"""

from __future__ import annotations

import numpy as np

from tinygen.kernels.tile.pack import raw_pairs_fit
from tinygen.numerics import Array

#: Shifts for which rounding and zero point fit the one constant of a SMMLA (core/tg_epilogue_dsp.h).
SHIFTS = (33, 54)
#: 256 times the sum of an odd channel must fit int32.
ODD_LIMIT = 2**23
#: Where the words [input pair][pair of channels] of four inputs and eight channels lie: as the kernel's loads come.
PLACES = (1, 2, 3, 4, 0, 5, 6, 7)
#: The kernel loads this many words behind the last weight.
READ_AHEAD = 4


def dense_supported(w: Array, b: Array, m: Array, shift: int) -> str | None:
    """Why tg_dense_s8_dsp cannot take a layer with weights [n_out][n_in] and folded biases, or None when it can."""
    low, high = SHIFTS
    if not low <= shift <= high:
        return f"shift {shift} is outside {low}..{high}"
    rough = np.flatnonzero(m[1::2] % 256)
    if rough.size:
        c = 2 * int(rough[0]) + 1
        return f"multiplier {int(m[c])} of channel {c} is no multiple of 256"
    if not raw_pairs_fit(w[: len(w) // 2 * 2 : 2], w[1::2]):
        return "an odd channel's weight of -128 beside a negative one"
    wide, start = w[1::2].astype(np.int64), b[1::2].astype(np.int64)
    most = start + np.maximum(127 * wide, -128 * wide).sum(axis=1)
    least = start + np.minimum(127 * wide, -128 * wide).sum(axis=1)
    reach = np.maximum(np.abs(most), np.abs(least))
    if np.any(reach >= ODD_LIMIT):
        c = int(reach.argmax())
        return f"odd sum of channel {2 * c + 1} may reach {int(reach[c])}, above 2^23 - 1"
    return None


def dense_scratch(n_in: int) -> int:
    """Bytes of scratch: one row as halves, and the word that ends it."""
    return 4 * (2 * _up(n_in, 4) // 4 + 1)


def pack_dense(w: Array, b: Array, m: Array) -> tuple[Array, Array]:
    """(w, m) of tg_dense_s8_dsp from weights [n_out][n_in], folded biases and multipliers: int32 words.

    w: blocks of eight channels, a block of four for 1 to 4 channels that remain. A block is its biases, then words
    [n_in / 2][channels / 2]; word [i][p] holds inputs 4 * (i // 2) + i % 2 and the second next (the order in which
    SXTB16 takes four bytes apart) of channels 2 * p and 2 * p + 1; eight channels have them in the order of PLACES.
    m: see the kernel's header.
    """
    n_out, n_in = w.shape
    padded = np.zeros((_up(n_out, 4), _up(n_in, 4)), dtype=np.int64)
    padded[:n_out, :n_in] = w
    bias = np.zeros(len(padded), dtype=np.int64)
    bias[:n_out] = b
    starts = range(0, len(padded), 8)
    blocks = [_block(padded[c : c + 8], bias[c : c + 8]) for c in starts]
    words = np.concatenate([*blocks, np.zeros(READ_AHEAD, np.int32)])
    return words, _multipliers(m, len(padded))


def _block(w: Array, b: Array) -> Array:
    """Biases and weights of four or eight channels."""
    halves = 256 * w[1::2] + w[::2]  # [pair of channels][n_in]
    order = halves.reshape(len(halves), -1, 2, 2).transpose(1, 3, 0, 2)  # [four inputs][j][pair][inputs j, j + 2]
    pairs = np.ascontiguousarray(order, dtype="<i2").view("<i4").reshape(-1, len(w))
    if len(w) == 8:
        pairs = pairs[:, np.argsort(PLACES)]
    start = b.copy()
    start[1::2] = 256 * b[1::2] + b[::2]  # wraps, as the sums do
    return np.concatenate([start.astype(np.int32), pairs.reshape(-1).astype(np.int32)])


def _multipliers(m: Array, channels: int) -> Array:
    """The step, then one set for all blocks when the layer has one multiplier, else one for each channel."""
    same = bool(np.all(m == m[0]))
    all_of_them = np.full(8, m[0]) if same else np.concatenate([m, np.zeros(channels - len(m), np.int32)])
    all_of_them[1::2] //= 256
    return np.concatenate([[0 if same else 8], all_of_them]).astype(np.int32)


def _up(n: int, step: int) -> int:
    return -(-n // step) * step
