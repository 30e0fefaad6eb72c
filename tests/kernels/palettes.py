"""Cases of the palette family: tiles of every number of bits, entered at each copy of their loop, and dense layers."""

from __future__ import annotations

import numpy as np

from tests.c.test_dwplane import numbers
from tests.kernels.harness import Case
from tinygen.kernels.palette import pack
from tinygen.kernels.palette.tile import palette_tile_kernel
from tinygen.kernels.palette.variants import PaletteDenseView
from tinygen.kernels.palette.weights import PAIRED

GUARD = 16
#: (bits, pairs of taps, pairs of channels): the loop has eight pairs of taps.
TILES = ((2, 8, 40), (3, 6, 40), (4, 10, 40), (5, 12, 40), (6, 14, 40), (4, 4, 40))
#: (bits, plain, eights of inputs)
DENSE = ((2, False, 9), (3, False, 9), (4, False, 8), (4, True, 9), (5, False, 9), (6, False, 8))


def palette(rng: np.random.Generator, bits: int) -> np.ndarray:
    """Weights by their index."""
    return rng.permutation(np.arange(-127, 128, 3))[: 1 << bits] if bits <= PAIRED else pack.uniform(bits)


def table(values: np.ndarray, bits: int) -> np.ndarray:
    """As the kernels take it."""
    return pack.pack_pairs(values.astype(np.int8), bits) if bits <= PAIRED else np.zeros(1, np.int32)


def tile(index: int) -> Case:
    """One of `TILES`, with random data that some outputs saturate with."""
    rng = np.random.default_rng(200 + index)
    bits, pairs, twos = TILES[index]
    n, values, shift, right, down = f"{index}", palette(rng, bits), 1, 250, 3
    rows = rng.integers(0, len(values), (2 * twos, 2 * pairs))
    w = values[rows].astype(np.int64)
    b = rng.integers(-20000, 20000, 2 * twos)
    window = rng.integers(-255, 256, (pairs, 4, 2))
    sums = b[:, None] + np.einsum("cit,ipt->cp", w.reshape(2 * twos, pairs, 2), window)
    m = (100.0 / sums.std() * 2.0 ** (32 + shift) * rng.uniform(0.5, 1.0, 2 * twos)).astype(np.int64)
    offset = (7 << shift) + (1 << (shift - 1))
    want = np.clip((offset + (sums * m[:, None] >> 32)) >> shift, -128, 127)
    order = np.arange(2 * pairs).reshape(pairs, 2)
    stream = pack.pack_tile(rows, bits, None, b, m, order)
    assert stream is not None
    y = np.full(2 * GUARD + 3 * right + 2 * twos * down, 77)
    before = numbers(y)
    for c in range(2 * twos):
        y[GUARD + c * down + right * np.arange(4)] = want[c]
    words = stream.size // twos - 4
    data = f"""
static const int16_t window{n}[] = {{{numbers(window)}}};
static int16_t into{n}[{window.size}] TG_ALIGN(4);
static const int32_t w{n}[] = {{{numbers(stream)}}};
static const int32_t table{n}[] = {{{numbers(table(values, bits))}}};
static const int8_t want{n}[] = {{{numbers(y)}}};
static int8_t y{n}[] = {{{before}}};
static void fill{n}(const tg_tile_t *t, int16_t *window)
{{
    (void)t;
    (void)memcpy(window, window{n}, sizeof window{n});
}}
static const tg_tile_t t{n} = {{.fill = fill{n}, .w_end = &w{n}[{stream.size}], .offset = {offset}, .shift = {shift},
                             .y_pixel = {{{right}, {2 * right}, {3 * right}}}, .y_channel = {down},
                             .pair_bytes = {4 * words}, .window = into{n}, .window_end = &into{n}[{window.size}],
                             .table = table{n}}};"""
    same = f"memcmp(y{n}, want{n}, sizeof y{n}) == 0"
    return Case(
        palette_tile_kernel(bits), data, (f"&t{n}", f"w{n}", f"&y{n}[{GUARD}]"), same,
        {"pairs": twos, "twos": pairs // 2}, (f"fill{n}", f"&t{n}", f"into{n}"),
    )  # fmt: skip


def dense(index: int) -> Case:
    """One of `DENSE`: four channels, whose sums no less than all are looked at."""
    rng = np.random.default_rng(300 + index)
    bits, plain, octets = DENSE[index]
    n, values = f"_d{index}", np.arange(-8, 8) if plain else palette(rng, bits)
    rows = rng.integers(0, len(values), (4, 8 * octets))
    w = (rows if plain else values[rows]).astype(np.int64)
    b, x = rng.integers(-20000, 20000, 4), rng.integers(-128, 128, 8 * octets)
    sums = b + w @ x
    stream = pack.pack_dense(rows, bits, b, np.arange(4), plain=plain)
    halves = np.ascontiguousarray(x.reshape(-1, 8)[:, (0, 2, 1, 3, 4, 6, 5, 7)], "<i2").view("<u4")
    data = f"""
static const uint32_t x{n}[] = {{{numbers(halves)}}};
static const int32_t w{n}[] = {{{numbers(stream)}}};
static const int32_t table{n}[] = {{{numbers(np.zeros(1, np.int32) if plain else table(values, bits))}}};
static const int32_t want{n}[] = {{77, {numbers(sums)}, 77}};
static int32_t sums{n}[] = {{77, 0, 0, 0, 0, 77}};"""
    view = PaletteDenseView(bits, plain)
    return Case(
        view.four, data, (f"w{n}", f"x{n}", f"&x{n}[{halves.size}]", f"table{n}", f"&sums{n}[1]"),
        f"memcmp(sums{n}, want{n}, sizeof sums{n}) == 0", {"octets": octets}, result=f"&w{n}[{stream.size - 4}]",
    )  # fmt: skip


def all_cases() -> list[Case]:
    """One of each."""
    return [*(tile(i) for i in range(len(TILES))), *(dense(i) for i in range(len(DENSE)))]
