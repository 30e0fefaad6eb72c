"""Cases of the group family: whole, looped, a single pair of taps, the shift as told; tiles that lie anywhere."""

from __future__ import annotations

import numpy as np

from tests.kernels.harness import Case
from tests.kernels.tiles import GUARD, ends_of, listed, stream_of
from tinygen.kernels.tile.kernel import group_tile

#: (pairs of taps, those of a turn, shift, pairs of channels, tiles)
KERNELS = (
    (9, 9, 2, 24, 3),
    (24, 8, 1, 20, 4),
    (1, 1, None, 24, 4),
    (20, 10, None, 16, 5),
    (5, 5, 2, 20, 3),
    (16, 16, 3, 24, 2),
)
#: Bytes from pixel to pixel, and from channel to channel.
RIGHT, DOWN = 7, 150


def case(index: int) -> Case:
    """One of `KERNELS`, with random data that few outputs saturate with."""
    rng = np.random.default_rng(300 + index)
    pairs, turn, told, channels, tiles = KERNELS[index]
    kernel, shift, n = group_tile(pairs, turn, told), 2 if told is None else told, f"_g{index}"
    x = rng.integers(-255, 256, (tiles, pairs, 4, 2))
    w = rng.integers(-127, 128, (2 * channels, pairs, 2))
    w[3::8] //= 16  # an odd channel beside which the even one's sum is seen
    sums = np.einsum("ckt,nkpt->cnp", w, x)
    b, m = ends_of(rng, sums.reshape(2 * channels, -1), shift)
    sums += b[:, None, None]
    offset = (7 << shift) + (1 << (shift - 1))
    want = np.clip((offset + (sums * m[:, None, None] >> 32)) >> shift, -128, 127)
    first = rng.permutation(tiles) * 4 * RIGHT
    behind = np.stack([rng.permutation(4) for _ in range(tiles)]) * RIGHT
    windows: list[int] = []
    for t in range(tiles):
        place = [int(first[t] + behind[t, 0]), *(int(d - behind[t, 0]) for d in behind[t, 1:])]
        windows += [int(v) for v in x[t].ravel()] + [h for p in place for h in _halves(p)]
    y = np.full(2 * GUARD + (2 * channels - 1) * DOWN + 4 * tiles * RIGHT, 77)
    before = listed(y)
    for c in range(2 * channels):
        y[GUARD + c * DOWN + first[:, None] + behind] = want[c]
    stream = stream_of(w, b, m, range(0, 2 * channels, 2))
    data = f"""
static int16_t windows{n}[] __attribute__((aligned(4))) = {{{listed(windows)}}};
static const int32_t w{n}[] = {{{listed(stream)}}};
static const int8_t want{n}[] = {{{listed(y)}}};
static int8_t y{n}[] = {{{before}}};
static const tg_tile_t t{n} = {{.w_end = &w{n}[{len(stream)}], .offset = {offset}, .shift = {shift},
                             .y_channel = {DOWN}, .window = windows{n}, .window_end = &windows{n}[{len(windows)}]}};"""
    return Case(
        kernel, data, (f"&t{n}", f"w{n}", f"&y{n}[{GUARD}]"), f"memcmp(y{n}, want{n}, sizeof y{n}) == 0",
        {"pairs": channels, "tiles": tiles}, stack=kernel.program.stack - kernel.group.dead,
    )  # fmt: skip


def _halves(word: int) -> tuple[int, int]:
    low = word & 0xFFFF
    return low - 0x10000 if low >= 0x8000 else low, word >> 16


def all_cases() -> list[Case]:
    """One of each."""
    return [case(i) for i in range(len(KERNELS))]
