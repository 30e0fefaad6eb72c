"""Constants of kernels whose weights are indices into a table (palettes): pure numpy, no graphs.

A layer qualifies whose int8 weights take at most 2^n values, n <= 6, whatever made them few: a codebook, weights of
fewer bits, pruning. Where all of them fit n bits, two's complement, the table is the same for all layers of n bits, and
emit keeps one copy.
"""

from __future__ import annotations

import numpy as np

from tinygen.kernels.tile.pack import channel_pairs
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
    flat: Array = words.astype(np.uint32).view(np.int32).ravel()
    return flat


def pack_reference(w: Array) -> tuple[Array, Array] | None:
    """(w, table) of tg_conv_pal_s8 and tg_dense_pal_s8 from weights [channels][...], or None: not so few values."""
    found = palette(w)
    if found is None:
        return None
    bits, table = found
    rows = indices(w, table).reshape(w.shape[0], -1)
    return pack_words(rows, bits), np.concatenate([[bits], table]).astype(np.int8)


def pack_pairs(table: Array, bits: int) -> Array:
    """int32 words of two weights as halves: by the index of the lower one and 2^bits times that of the upper one."""
    half = table.astype(np.int64) & 0xFFFF
    words: Array = (half[None, :] | half[:, None] << 16).reshape(-1).astype(np.uint32).view(np.int32)
    assert len(table) == 1 << bits
    return words


def pack_stream(fields: Array, bits: int) -> Array:
    """Numbers [channels][n] of so many bits, one behind the other and the first lowest, as int32 words
    [channels][words]; zeros fill the last."""
    ones = fields[:, :, None] >> np.arange(bits) & 1
    octets = np.packbits(ones.reshape(len(fields), -1).astype(np.uint8), axis=1, bitorder="little")
    words: Array = np.pad(octets, ((0, 0), (0, -octets.shape[1] % 4))).view("<i4")
    return words


def pack_tile(rows: Array, bits: int, zero: int | None, b: Array, m: Array, order: Array) -> Array | None:
    """Streams of tg_tile_pal*_dsp: both biases, indices, both multipliers, of two channels after two.

    rows: [channels][taps] indices; zero: that of a weight 0; order: [pairs][2], the taps of each pair, -1 for none; an
    even number of pairs. None where a pair has one tap, and no index stands for 0. A pair without taps meets zeros.
    """
    lone = (order[:, 1] < 0) & (order[:, 0] >= 0)
    if zero is None and lone.any():
        return None
    padded = np.pad(rows, ((0, 0), (0, 1)), constant_values=zero or 0)
    both = channel_pairs(len(rows))
    taps = padded[both][:, :, order].transpose(0, 2, 1, 3)  # [two channels][pair of taps][channel][tap]
    stream = pack_stream(taps.reshape(len(both), -1).astype(np.int64), bits)
    flat: Array = np.concatenate([b[both], stream, m[both]], axis=1).astype(np.int32).ravel()
    return flat


#: The taps of an octet of inputs as pairs of halves.
_OCTET = (0, 2, 1, 3, 4, 6, 5, 7)
#: The same, the lower halves of all pairs first.
_HALVES = (0, 1, 4, 5, 2, 3, 6, 7)


def plain_supported(w: Array, b: Array, table: Array) -> bool:
    """Are the weights [n_out][n_in] numbers of 4 bits, and no sum of them + 8 leaves int32?"""
    most = int(np.abs(b.astype(np.int64)).max()) + 2 * 15 * 128 * w.shape[1]
    return most < 2**31 and np.array_equal(table, uniform(4))


def pack_dense(rows: Array, bits: int, b: Array, m: Array, *, plain: bool = False) -> Array:
    """Stream of tg_dense_pal*_s8_dsp from indices [n_out][n_in], or, when `plain`, from weights of 4 bits + 8: layout
    in its header. What fills up meets zeros."""
    n_out = len(rows)
    fill = -n_out % 4
    filled = np.pad(rows, ((0, fill), (0, -rows.shape[1] % 8))).astype(np.int64)
    octets = filled.reshape(len(filled) // 4, 4, -1, 8)[..., _HALVES if plain else _OCTET]
    octets = octets.transpose(0, 2, 1, 3)
    stream = pack_stream(octets.reshape(len(octets), -1), bits)
    ends = [np.pad(v, (0, fill)).reshape(-1, 4) for v in (b, m)]
    flat: Array = np.concatenate([ends[0], stream, ends[1]], axis=1).astype(np.int32).ravel()
    return flat


def dense_scratch(n_in: int) -> int:
    """Bytes: a row of inputs as halves."""
    return 16 * -(-n_in // 8)


def lanes_flush(w: Array, turn: int) -> int | None:
    """The most neighbouring taps of [channels][taps], 2 or more, that never take a sum out of 16 bits, whatever int8
    they meet, where groups of so many are cut from each turn of `turn` taps. None: two of -128 are neighbours."""
    filled = np.pad(np.abs(w.astype(np.int64)), ((0, 0), (0, -w.shape[1] % turn))).reshape(-1, turn)
    for flush in range(turn, 1, -1):
        groups = np.pad(filled, ((0, 0), (0, -turn % flush))).reshape(len(filled), -1, flush)
        if 128 * int(groups.sum(axis=2).max()) < 2**15:
            return flush
    return None


def pack_columns(rows: Array, bits: int, turn: int) -> Array:
    """Words of tg_dense_pal*_s8_m0 and _m3 from indices [n_out][n_in]: layout in their header. Inputs that fill up are
    zeros, channels are not looked at."""
    filled = np.pad(rows, ((0, -len(rows) % 8), (0, -rows.shape[1] % turn))).astype(np.int64)
    pairs = filled[::2] | filled[1::2] << bits  # [pair of channels][inputs]
    blocks = pairs.reshape(-1, 4, filled.shape[1]).transpose(0, 2, 1)  # [eight channels][inputs][pair]
    return pack_words(blocks.reshape(len(blocks), -1).astype(np.uint8), 2 * bits)


def pack_sums(table: Array) -> Array:
    """int32 words w_0 + 65536 * w_1, by the index of w_0 and len(table) times that of w_1."""
    wide = table.astype(np.int64)
    words: Array = ((wide[None, :] + (wide[:, None] << 16)) & 0xFFFFFFFF).astype(np.uint32).view(np.int32).ravel()
    return words
