"""Cases of the tile family: whole, of three pixels, looped, of a column, sliding; outputs near, far, or as told."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from tests.kernels.harness import Case
from tinygen.kernels.slide.variants import Slide
from tinygen.kernels.tile.kernel import TileKernel, column_tile, looped_tile, whole_tile

GUARD = 16
#: Of channels: so many that what is rounded otherwise is seen in an output.
PAIRS = 64
#: (the kernel, turns of its loop)
KERNELS: tuple[tuple[Callable[[], TileKernel], int], ...] = (
    (lambda: whole_tile(5, 1, (130, 1)), 1),
    (lambda: whole_tile(9, None, None), 1),
    (lambda: whole_tile(4, 2, (9, 200), 3), 1),
    (lambda: looped_tile(24, 8, None, None), 2),
    (lambda: looped_tile(12, 4, 1, (130, 1)), 3),
    (lambda: column_tile(8, 2, [(k, k + 1, k + 2, k + 3) for k in range(5)], 2), 1),
    (lambda: Slide(3, 3, 1, 1, 4, 0).tile(1, 2, (130, 1)), 4),
    (lambda: Slide(2, 3, 1, 1, 2, 0).tile(2, 1, None), 1),
    (lambda: looped_tile(16, 8, 1, None).for_odd(), 2),
    (lambda: whole_tile(6, 2, (130, 1)).for_odd(), 1),
)


def case(index: int) -> Case:
    """One of `KERNELS`, with random data that a quarter of the channels saturates with."""
    rng = np.random.default_rng(100 + index)
    make, turns = KERNELS[index]
    kernel = make()
    tile = kernel.tile
    words, shift, n = turns * len(tile.steps), tile.shift or 2, f"{index}"
    window = rng.integers(-255, 255, tile.window // 2)
    window[1::2] += window[1::2] == window[::2]  # the two of a word differ
    seen = _seen(kernel, turns)  # [words][pixels]: where each pixel's two activations begin
    x = np.stack([window[seen], window[seen + 1]], axis=-1)  # [words][pixels][2]
    w = rng.integers(-127, 128, (2 * PAIRS, words, 2))
    w[3::8] //= 16  # an odd channel beside which the even one's sum is seen
    sums = np.einsum("cwt,wpt->cp", w, x)  # [channels][pixels]
    b, m = ends_of(rng, sums, shift)
    sums += b[:, None]
    offset = (7 << shift) + (1 << (shift - 1))
    want = np.clip((offset + (sums * m[:, None] >> 32)) >> shift, -128, 127)
    channels = 2 * PAIRS - int(tile.odd)  # an odd number of them ends with a pair that begins one channel earlier
    stream = stream_of(w, b, m, [*range(0, channels - 1, 2), *([channels - 2] if tile.odd else [])])
    ends = len(stream) - (words + 4 if tile.odd else 0)
    right, down = tile.y or (400, 3)
    y = np.full(2 * GUARD + (tile.pixels - 1) * right + (channels - 1) * down + 1, 77)
    before = listed(y)
    for c in range(channels):
        y[GUARD + c * down + right * np.arange(tile.pixels)] = want[c]
    pixel = ", ".join(str(right * p) for p in (1, 2, 3))
    data = f"""
static const int16_t window{n}[] __attribute__((aligned(8))) = {{{listed(window)}}};
static int16_t into{n}[{window.size}] __attribute__((aligned(8)));
static const int32_t w{n}[] = {{{listed(stream)}}};
static const int8_t want{n}[] = {{{listed(y)}}};
static int8_t y{n}[] = {{{before}}};
static void fill{n}(const tg_tile_t *t, int16_t *window)
{{
    (void)t;
    (void)memcpy(window, window{n}, sizeof window{n});
}}
static const tg_tile_t t{n} = {{.fill = fill{n}, .w_end = &w{n}[{ends}], .offset = {offset}, .shift = {shift},
                             .y_pixel = {{{pixel}}}, .y_channel = {down}, .pair_bytes = {4 * words}}};"""
    return Case(
        kernel, data, (f"&t{n}", f"w{n}", f"&y{n}[{GUARD}]"), f"memcmp(y{n}, want{n}, sizeof y{n}) == 0",
        {"pairs": (PAIRS - 1, 1) if tile.odd else PAIRS, "all pairs of taps": turns, "rounds": 2},
        (f"fill{n}", f"&t{n}", f"into{n}"),
    )  # fmt: skip


def _seen(kernel: TileKernel, turns: int) -> np.ndarray:
    """Halves of the window that each word of weights meets, [words][pixels], as the registers slide over it."""
    tile, held = kernel.tile, dict[str, int]()
    rows = []
    for turn in range(turns):
        for word in tile.steps:
            held |= {place: offset - tile.dead + turn * tile.advance for place, offset in word.loads}
            rows.append([held[place] // 2 for place in word.regs])
    return np.array(rows)


def ends_of(rng: np.random.Generator, sums: np.ndarray, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Biases as large as sums, [channels][pixels], and multipliers with which some channels saturate."""
    channels = len(sums)
    usual = np.sqrt((sums**2).mean(axis=1)) + 1.0
    b = (usual * rng.uniform(-1.0, 1.0, channels)).astype(np.int64)
    reach = np.where(np.arange(channels) // 2 % 4 == 2, 400.0, 30.0)
    m = (reach / usual * 2.0 ** (32 + shift) * rng.uniform(0.5, 1.0, channels)).astype(np.int64) // 256 * 256
    assert m.max() < 2**31
    return b, m


def stream_of(w: np.ndarray, b: np.ndarray, m: np.ndarray, evens: Iterable[int]) -> list[int]:
    """Words of the channels that are even in their pairs, and of those behind them, as pack_tiles.py has them."""
    stream: list[int] = []
    for even in evens:
        raw = 256 * w[even + 1] + w[even]
        stream += [int(b[even]), int(256 * b[even + 1] + b[even])]
        stream += [int(v) for v in (raw[:, 0] & 0xFFFF) | (raw[:, 1] & 0xFFFF) << 16]
        stream += [int(m[even]), int(m[even + 1]) // 256]
    return [v - 2**32 if v >= 2**31 else v for v in stream]


def listed(values: object) -> str:
    """Numbers as C has them in braces."""
    return ", ".join("(-2147483647 - 1)" if int(v) == -(2**31) else str(int(v)) for v in np.ravel(np.array(values)))


def all_cases() -> list[Case]:
    """One of each."""
    return [case(i) for i in range(len(KERNELS))]
