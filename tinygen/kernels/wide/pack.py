"""Constants of the DSP kernels for int16 inputs: pure numpy. Words are int32 arrays; byte 0 is the lowest.

The weights stay int8. A word holds those of two neighbouring channels c, d for two neighbouring inputs k, l as bytes
c_k, d_k, c_l, d_l: SXTB16 makes the pair of c of it, SXTB16 with ROR #8 that of d; each meets the word of
the inputs in an SMLAD.
"""

from __future__ import annotations

import numpy as np

from tinygen.kernels.conv.pack import DSP_SHIFTS
from tinygen.numerics import Array


def shift_supported(shift: int) -> str | None:
    """Why the kernels' epilogue cannot take a shift, or None when it can."""
    low, high = DSP_SHIFTS
    return None if low <= shift <= high else f"shift {shift} is outside {low}..{high}"


def conv_supported(groups: int, shift: int) -> str | None:
    """Why tg_conv_s16_dsp cannot take a layer, or None when it can."""
    return f"{groups} groups" if groups != 1 else shift_supported(shift)


def pack_conv(w_ohwi: Array, dil_w: int) -> Array:
    """Weights of tg_conv_s16_dsp from [out_c][k_h][k_w][in_c]: words [out_c / 4][K / 2][2]."""
    out_c, k_h, k_w, in_c = w_ohwi.shape
    runs, run = (k_h, k_w * in_c) if dil_w == 1 else (k_h * k_w, in_c)
    even = np.zeros((out_c, runs, run + run % 2), np.int8)
    even[:, :, :run] = w_ohwi.reshape(out_c, runs, run)
    return _words(even.reshape(out_c, -1), 4)


def conv_scratch(w_ohwi: Array, dil_w: int) -> int:
    """Bytes of scratch of tg_conv_s16_dsp: the windows of two pixels."""
    _, k_h, k_w, in_c = w_ohwi.shape
    runs, run = (k_h, k_w * in_c) if dil_w == 1 else (k_h * k_w, in_c)
    return 2 * 2 * _up(runs * (run + run % 2), 4)


def pack_dense(w: Array) -> Array:
    """Weights of tg_dense_s16_dsp from [n_out][n_in]: blocks of eight channels, one of four for 1 to 4 that remain."""
    n_out = len(w)
    eights = n_out if n_out % 8 > 4 else n_out - n_out % 8
    return np.concatenate([_words(w[:eights], 8), _words(w[eights:], 4)])


def dense_scratch(n_in: int) -> int:
    """Bytes of scratch of tg_dense_s16_dsp: a row."""
    return 2 * _up(n_in, 4)


def padded(v: Array, step: int = 4) -> Array:
    """Biases or multipliers, with zeros to a multiple of `step` channels."""
    full: Array = np.pad(v, (0, _up(v.size, step) - v.size)).astype(np.int32)
    return full


def _words(w: Array, block: int) -> Array:
    """[channels][inputs] int8, padded with zeros, as words [channels / block][inputs / 2][block / 2]."""
    full = np.zeros((_up(len(w), block), _up(w.shape[1], 4)), np.int8)
    full[: len(w), : w.shape[1]] = w
    order = full.reshape(-1, block // 2, 2, full.shape[1] // 2, 2).transpose(0, 3, 1, 4, 2)
    words: Array = np.ascontiguousarray(order).reshape(-1).view("<i4").astype(np.int32)
    return words


def _up(n: int, step: int) -> int:
    return -(-n // step) * step
