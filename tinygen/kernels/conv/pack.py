"""How constants lie in flash for each kernel set, and how much scratch a kernel takes: pure numpy, no graphs.

Names: `w_ohwi` is [out_c][k_h][k_w][in_c / groups] int8, `b` [out_c] int32, `m` [out_c] int32. Every `b` that a `pack`
function takes is already folded (`numerics.fold_bias`). Words are int32 arrays; byte 0 is the lowest.

**Raw pairs** (conv of the DSP set). Two weights e, o of neighbouring output channels share a half-word
256 * o + e, which fits int16 (`raw_pairs_fit`). One SMLAD with the word as it is sums 256 * o + e, one with its even
bytes sums e; the difference is 256 * (sum of o), exact while |sum of o| < 2^23. Activations are at least -128, so
a channel whose weights sum to less than 2^16 in magnitude is safe: `conv_dsp_supported` checks it.
"""

from __future__ import annotations

import numpy as np

from tinygen.kernels.tile.pack import raw_pairs_fit
from tinygen.numerics import Array

#: Shifts for which rounding and zero point fit the one constant of a SMMLA (core/tg_epilogue_dsp.h).
DSP_SHIFTS = (33, 54)
#: 128 * 65535 < 2^23.
RAW_PAIR_LIMIT = 2**16


def conv_dsp_supported(w_ohwi: Array, groups: int, shift: int) -> str | None:
    """Why tg_conv_s8_dsp cannot take a layer, or None when it can."""
    if groups != 1:
        return f"{groups} groups"
    return _raw_pairs_supported(w_ohwi, shift)


def conv_dsp_scratch(k_h: int, k_w: int, in_c: int, dil_w: int) -> int:
    """Bytes of scratch of tg_conv_s8_dsp: the window of two pixels as halves, and one run of bytes."""
    runs, run = _runs(k_h, k_w, in_c, dil_w)
    return 2 * 2 * runs * _even(run) + run


def pack_conv_dsp(w_ohwi: Array, b: Array, m: Array, dil_w: int) -> tuple[Array, Array, Array]:
    """(w, b, m) of tg_conv_s8_dsp; channels padded with zeros to a multiple of 4.

    w: words [out_c / 4][K / 2][2]; word [o][i][p] holds weights 2 * i and 2 * i + 1 of channels c = 4 * o + 2 * p and
    c + 1 as raw pairs. The K weights of a channel are its runs (taps that are neighbours in the image: a kernel row
    when dil_w is 1, else one tap), each padded with a 0 to an even length.
    """
    out_c, k_h, k_w, in_c = w_ohwi.shape
    runs, run = _runs(k_h, k_w, in_c, dil_w)
    k = np.zeros((_fours(out_c), runs, _even(run)), dtype=np.int8)
    k[:out_c, :, :run] = w_ohwi.reshape(out_c, runs, run)
    halves = _raw_pairs(k.reshape(k.shape[0] // 4, 2, 2, -1))  # [block][pair of channels][K]
    order = halves.reshape(halves.shape[0], 2, -1, 2).transpose(0, 2, 1, 3)  # [block][K / 2][pair of channels][2]
    return _words16(order), _padded(b), _padded(m)


def dwconv_dsp_supported(in_c: int, out_c: int, shift: int) -> str | None:
    """Why tg_dwconv_s8_dsp cannot take a layer, or None when it can."""
    if in_c != out_c:
        return f"{out_c // in_c} output channels for each input channel"
    if out_c < 4:
        return "fewer than 4 channels"
    return _shift_supported(shift)


def dwconv_dsp_scratch(k_h: int, k_w: int, in_c: int) -> int:
    """Bytes of scratch of tg_dwconv_s8_dsp: the surroundings of one pixel at the border."""
    return k_h * k_w * in_c


def pack_dwconv_dsp(w_hwc: Array) -> Array:
    """Weights of tg_dwconv_s8_dsp from [k_h][k_w][channels]; b and m stay as they are.

    Words [blocks][k_h][k_w], each the weights of four channels; block i starts at channel min(4 * i, channels - 4).
    """
    channels = w_hwc.shape[2]
    starts = [min(c, channels - 4) for c in range(0, channels, 4)]
    blocks = np.stack([w_hwc[:, :, c : c + 4] for c in starts])
    words: Array = np.ascontiguousarray(blocks).view("<i4").reshape(-1).astype(np.int32)
    return words


def _raw_pairs_supported(w: Array, shift: int) -> str | None:
    sums = np.abs(w.reshape(w.shape[0], -1).astype(np.int64)).sum(axis=1)
    if np.any(sums >= RAW_PAIR_LIMIT):
        return f"channel {int(sums.argmax())} has weights that sum to {int(sums.max())} in magnitude, above 65535"
    if not raw_pairs_fit(w[: len(w) // 2 * 2 : 2], w[1::2]):
        return "an odd channel's weight of -128 beside a negative one"
    return _shift_supported(shift)


def _shift_supported(shift: int) -> str | None:
    low, high = DSP_SHIFTS
    return None if low <= shift <= high else f"shift {shift} is outside {low}..{high}"


def _runs(k_h: int, k_w: int, in_c: int, dil_w: int) -> tuple[int, int]:
    """(number, length) of the runs of bytes a window reads."""
    return (k_h, k_w * in_c) if dil_w == 1 else (k_h * k_w, in_c)


def _even(n: int) -> int:
    return n + n % 2


def _fours(n: int) -> int:
    return -(-n // 4) * 4


def _raw_pairs(w: Array) -> Array:
    """[block][pair][even, odd][...] int8 -> [block][pair][...] int16, 256 * odd + even."""
    halves: Array = (256 * w[:, :, 1].astype(np.int32) + w[:, :, 0]).astype(np.int16)
    return halves


def _words16(halves: Array) -> Array:
    """int16 [..., 2] -> int32 [n], the first half the lower."""
    words: Array = np.ascontiguousarray(halves).astype("<i2").reshape(-1).view("<i4").astype(np.int32)
    return words


def _padded(v: Array) -> Array:
    """With zeros to a multiple of four channels."""
    padded: Array = np.pad(v, (0, _fours(v.size) - v.size)).astype(np.int32)
    return padded
