"""Weights without their zeros, as the streams that the sparse kernels read: pure numpy, no graphs.

The layouts stand in templates_c/kernels/ref/tg_sparse_*_s8.h; core/tg_sparse.h has what they share. Where a gap between
two weights is longer than its code can say, entries of value 0 stand between them: kernels need no escapes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tinygen.kernels.lanes.pack import sums
from tinygen.kernels.small.pack import NARROW_LIMIT, NARROW_SHIFTS
from tinygen.numerics import Array

#: Largest gap of a byte and of half a byte.
BYTE, NIBBLE = 255, 15
#: Weights that tell apart in half a byte.
PALETTE = 16
BLOCK = 4
#: Of the bytes as int8: a layer that nobody pruned has some zeros too, and no kernel for them is worth having.
MOST_BYTES = 0.8
#: What two bytes count.
MOST_ENTRIES = 2**16 - 1


@dataclass(frozen=True)
class Stream:
    """`data`: int8, the weights as a kernel reads them; `entries`: what it decodes in one pass; `products`: the
    multiply-accumulates of one pass, fillers among them. Where entries come four at a time, `in_fours` says that
    there are no others."""

    data: Array
    entries: int
    products: int
    in_fours: bool = True


def pack_gap8(w: Array) -> Stream | str:
    """Of tg_sparse_gap8_s8: [gap][weight][gap][weight], a filler last where the number of weights is odd; w is
    [n_out][n_in], as everywhere here."""

    def channel(row: Array) -> tuple[int, Array]:
        gaps, values = (np.pad(a, (0, a.size % 2)) for a in _fill(np.flatnonzero(row), row, BYTE))
        return gaps.size // 2, np.stack([gaps, values], axis=1)

    return _stream(w, (), [channel(row) for row in w], 2)


def pack_gap4(w: Array) -> Stream | str:
    """Of tg_sparse_gap4_s8: [two gaps][weight][weight]; a filler last where the number is odd."""

    def channel(row: Array) -> tuple[int, Array]:
        gaps, values = (np.pad(a, (0, a.size % 2)) for a in _fill(np.flatnonzero(row), row, NIBBLE))
        both = gaps[0::2] | gaps[1::2] << 4
        return both.size, np.stack([both, values[0::2], values[1::2]], axis=1)

    return _stream(w, (), [channel(row) for row in w], 2)


def pack_pal4(w: Array) -> Stream | str:
    """Of tg_sparse_pal4_s8: [gap and index in the lower half], behind the 16 weights that indices mean."""
    filled = [_fill(np.flatnonzero(row), row, NIBBLE) for row in w]
    table = np.unique(np.concatenate([values for _, values in filled]))
    if table.size > PALETTE:
        return f"{table.size} different weights"
    head = np.pad(table, (0, PALETTE - table.size))
    entries = [(gaps.size, gaps << 4 | np.searchsorted(table, values)) for gaps, values in filled]
    return _stream(w, head.tolist(), entries, 1)


def pack_block(w: Array, in_c: int) -> Stream | str:
    """Of tg_sparse_block_s8: [gap][four weights]; blocks begin at multiples of four of the `in_c` innermost values."""
    n_in = w.shape[1]
    if n_in < BLOCK:
        return f"{n_in} inputs"
    at = np.arange(n_in)
    block = at // in_c * -(-in_c // BLOCK) + at % in_c // BLOCK
    starts = np.minimum(at[np.diff(block, prepend=-1) != 0], n_in - BLOCK)

    def channel(row: Array) -> tuple[int, Array]:
        kept = np.unique(block[row != 0])
        taps = starts[kept, None] + np.arange(BLOCK)
        values = np.where(block[taps] == kept[:, None], row[taps], 0)  # the last of in_c may be fewer than four
        gaps, which = _fill(starts[kept], None, BYTE)
        rows = np.concatenate([values, np.zeros((1, BLOCK), values.dtype)])[which]
        return gaps.size, np.concatenate([gaps[:, None], rows], axis=1)

    return _stream(w, (), [channel(row) for row in w], BLOCK)


def pack_nm(w: Array) -> Stream | str:
    """Of tg_sparse_nm_s8: one or two weights of each four inputs, four at a time behind a byte of their positions."""
    quads = np.pad(w, ((0, 0), (0, -w.shape[1] % 4))).reshape(w.shape[0], -1, 4)
    most = max(1, int(np.count_nonzero(quads, axis=2).max()))
    if most > 2:
        return f"{most} of 4 weights are not 0"
    where = np.argsort(quads == 0, axis=2, kind="stable")[:, :, :most]
    values = np.take_along_axis(quads, where, axis=2).reshape(w.shape[0], -1)
    positions = np.where(values == 0, 0, where.reshape(w.shape[0], -1))  # a filler reads an input that exists

    def channel(values: Array, positions: Array) -> tuple[int, Array]:
        if not values.any():
            return 0, values[:0]
        fill = -values.size % 4
        codes = np.pad(positions, (0, fill)).reshape(-1, 4) << np.array([0, 2, 4, 6])
        data = np.concatenate([codes.sum(axis=1, keepdims=True), np.pad(values, (0, fill)).reshape(-1, 4)], axis=1)
        return values.size, data.reshape(-1)[: data.size - fill]

    stream = _stream(w, (most,), [channel(*c) for c in zip(values, positions, strict=True)], 1)
    return stream if isinstance(stream, str) else replace(stream, in_fours=values.shape[1] % 4 == 0)


def marked(w: Array, b: Array, m: Array, shift: int) -> Array:
    """Multipliers of the kernels for Cortex-M0: the first odd where the products of its halves with a sum may not fit
    32 bits. b is folded."""
    least, most = sums(w, b)
    low, high = NARROW_SHIFTS
    fits = int(least.min()) > -NARROW_LIMIT and int(most.max()) < NARROW_LIMIT
    narrow = low <= shift <= high and fits and not np.any(m % 256)
    assert not np.any(m % 2)  # NUMERICS section 1: multiples of 768
    found = m.astype(np.int32)
    found[0] |= not narrow
    return found


def _fill(positions: Array, row: Array | None, top: int) -> tuple[Array, Array]:
    """(gaps, values) of the weights at `positions` of `row`, with zeros in between where a gap is above `top`; without
    a row, indices of positions as values and -1 for those in between."""
    gaps = np.diff(positions, prepend=0)
    extra = np.maximum(gaps - 1, 0) // top
    ends = np.cumsum(extra + 1) - 1
    count = int(ends[-1]) + 1 if ends.size else 0
    steps = np.full(count, top, np.int64)
    steps[ends] = gaps - extra * top
    values = np.full(count, 0 if row is not None else -1, np.int64)
    values[ends] = row[positions] if row is not None else np.arange(positions.size)
    return steps, values


def _stream(w: Array, head: tuple[int, ...] | list[int], channels: list[tuple[int, Array]], width: int) -> Stream | str:
    """`head`, then of each channel its number of entries and their bytes; or why that is not worth it."""
    entries = [n for n, _ in channels]
    if max(entries) > MOST_ENTRIES:
        return f"{max(entries)} entries in a channel"
    parts = [np.array(head, np.int64)]
    for n, data in channels:
        parts += [np.array([n & 255, n >> 8]), data.reshape(-1)]
    data = (np.concatenate(parts) & 255).astype(np.uint8).view(np.int8)
    if data.size > MOST_BYTES * w.size:
        return f"{data.size} bytes, as int8 {w.size}"
    return Stream(data, sum(entries), sum(entries) * width)
