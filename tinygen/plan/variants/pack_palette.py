"""Constants of kernels whose weights are indices into a table (palettes): pure numpy, no graphs.

A layer qualifies whose int8 weights take at most 2^n values, n <= 6, whatever made them few: a codebook, weights of
fewer bits, pruning. Where all of them fit n bits, two's complement, the table is the same for all layers of n bits, and
emit keeps one copy.
"""

from __future__ import annotations

import numpy as np

from tinygen.numerics import Array

#: Bits of an index at most: 7 would save an eighth.
WIDEST = 6


def palette(w: Array) -> tuple[int, Array] | None:
    """(bits of an index, table of 2^bits int8), or None when the weights take too many values.

    The table is -2^(n-1)..2^(n-1)-1, by the index as an unsigned number, where that holds all weights in as few bits as
    their number of values needs; otherwise the values in order, and zeros behind them.
    """
    values = np.unique(w)
    bits = max(1, int(len(values) - 1).bit_length())
    if bits > WIDEST:
        return None
    table = uniform(bits)
    if values[0] < -(1 << bits >> 1) or values[-1] >= 1 << bits >> 1:
        table = np.zeros(1 << bits, np.int8)
        table[: len(values)] = values
    return bits, table


def uniform(bits: int) -> Array:
    """Numbers of so many bits, two's complement, by their bits."""
    half = 1 << bits >> 1
    return np.concatenate([np.arange(half), np.arange(-half, 0)]).astype(np.int8)


def indices(w: Array, table: Array) -> Array:
    """uint8 of w's shape: the first place of each weight in the table; every weight must be in it."""
    where = np.zeros(256, np.int16)
    where[:] = -1
    for i in reversed(range(len(table))):
        where[int(table[i]) + 128] = i
    found = where[w.astype(np.int16) + 128]
    assert found.min() >= 0
    return found.astype(np.uint8)


def pack_words(rows: Array, bits: int) -> Array:
    """Indices [channels][taps] as int32 words, 32 // bits in each, the first lowest, each channel from a word on:
    flat."""
    count = 32 // bits
    filled = np.pad(rows, ((0, 0), (0, -rows.shape[1] % count))).reshape(rows.shape[0], -1, count)
    words = (filled.astype(np.uint64) << (np.arange(count, dtype=np.uint64) * np.uint64(bits))).sum(axis=2)
    return words.astype(np.uint32).view(np.int32).ravel()


def pack_reference(w: Array) -> tuple[Array, Array] | None:
    """(w, table) of tg_conv_pal_s8 and tg_dense_pal_s8 from weights [channels][...], or None: not so few values."""
    found = palette(w)
    if found is None:
        return None
    bits, table = found
    rows = indices(w, table).reshape(w.shape[0], -1)
    return pack_words(rows, bits), np.concatenate([[bits], table]).astype(np.int8)
