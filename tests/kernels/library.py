"""Cases of the library's programs: windows of any runs; tiles of any number of pairs, each entry of their loop."""

from __future__ import annotations

import numpy as np

from tests.c import cases
from tests.c.test_dwplane import numbers
from tests.kernels.harness import Case
from tinygen.kernels.library import PRINTED

#: (words of four bytes, bytes behind them, runs)
RUNS = ((3, 3, 3), (0, 2, 2), (1, 1, 2), (3, 0, 2), (0, 3, 1))
#: Pairs of taps; no multiple of eight, where the counter takes the jump to what follows it for none.
PAIRS = (1, 5, 7, 18)
ROOM, CHANNELS = 77, 64


def widen(index: int) -> Case:
    """One of `RUNS`."""
    rng = np.random.default_rng(500 + index)
    quads, tail, runs = RUNS[index]
    n, run = f"_widen{index}", 4 * quads + tail
    x = cases.int8(rng, 4, runs, run + 5).astype(np.int16)  # five more bytes to the next run
    pairs = []
    for r in range(runs):
        four = x[:, r, : 4 * quads].reshape(4, quads, 4)
        for q in range(quads):
            pairs += [four[:, q, [0, 2]], four[:, q, [1, 3]]]
        rest = x[:, r, 4 * quads : run]
        if tail & 2:
            pairs.append(rest[:, :2])
        if tail & 1:  # above it are copies of its sign
            pairs.append(np.stack([rest[:, -1], rest[:, -1] >> 15], axis=1))
    want = np.concatenate([np.ravel(pairs), np.full(4, ROOM)])
    pixels = ", ".join(f"&x{n}[{p * runs * (run + 5)}]" for p in range(4))
    data = f"""
static const int8_t x{n}[] = {{{numbers(x)}}};
static const int16_t want{n}[] = {{{numbers(want)}}};
static int16_t window{n}[] __attribute__((aligned(8))) = {{{numbers(np.full(want.size, ROOM))}}};
static const tg_tile_t t{n} = {{.x = {{{pixels}}}, .quads = {quads}, .tail = {tail}, .runs = {runs}, .step = 5}};"""
    return Case(
        PRINTED["tg_widen4_dsp"], data, (f"&t{n}", f"window{n}"), f"memcmp(window{n}, want{n}, sizeof window{n}) == 0",
        {"runs": runs, "words": int(quads > 0), "quads": quads, "tails": int(tail > 0), "twos": tail >> 1 & 1,
         "ones": tail & 1}, hidden=index > 0,
    )  # fmt: skip


def tile(index: int) -> Case:
    """One of `PAIRS`, with random data of which some outputs saturate."""
    rng = np.random.default_rng(520 + index)
    pairs, n, shift = PAIRS[index], f"_any{index}", 1
    x = rng.integers(-255, 256, (pairs, 4, 2))
    w = rng.integers(-127, 128, (CHANNELS, pairs, 2))
    sums = np.einsum("ctk,tpk->cp", w, x)
    std = np.sqrt((sums**2).mean())
    b = (std * rng.uniform(-1.0, 1.0, CHANNELS)).astype(np.int64)
    sums += b[:, None]
    m = (80 / std * 2.0 ** (32 + shift) * rng.uniform(0.3, 1.5, CHANNELS)).astype(np.int64) // 256 * 256
    offset = (7 << shift) + (1 << (shift - 1))
    want = np.clip((offset + (sums * m[:, None] >> 32)) >> shift, -128, 127)
    stream: list[int] = []
    for even in range(0, CHANNELS, 2):
        raw = 256 * w[even + 1] + w[even]
        stream += [int(b[even]), int(256 * b[even + 1] + b[even])]
        stream += [int(v) for v in (raw[:, 0] & 0xFFFF) | (raw[:, 1] & 0xFFFF) << 16]
        stream += [int(m[even]), int(m[even + 1]) // 256]
    words = np.array([v - 2**32 if v >= 2**31 else v for v in stream])
    right, down = CHANNELS + 3, 1
    y = np.full(3 * right + CHANNELS + 4, ROOM)
    before = numbers(y)
    for c in range(CHANNELS):
        y[4 + c * down + right * np.arange(4)] = want[c]
    data = f"""
static const int16_t window{n}[] __attribute__((aligned(8))) = {{{numbers(x)}}};
static int16_t into{n}[{x.size}] __attribute__((aligned(8)));
static const int32_t w{n}[] = {{{numbers(words)}}};
static const int8_t want{n}[] = {{{numbers(y)}}};
static int8_t y{n}[] = {{{before}}};
static void fill{n}(const tg_tile_t *t, int16_t *window)
{{
    (void)t;
    (void)memcpy(window, window{n}, sizeof window{n});
}}
static const tg_tile_t t{n} = {{.fill = fill{n}, .w_end = &w{n}[{len(words)}], .offset = {offset}, .shift = {shift},
                             .y_pixel = {{{right}, {2 * right}, {3 * right}}}, .y_channel = {down},
                             .pair_bytes = {4 * pairs}, .window = into{n}}};"""
    return Case(
        PRINTED["tg_tile_any_dsp"], data, (f"&t{n}", f"w{n}", f"&y{n}[4]"), f"memcmp(y{n}, want{n}, sizeof y{n}) == 0",
        {"pairs": CHANNELS // 2, "turns": pairs}, (f"fill{n}", f"&t{n}", f"into{n}"), hidden=pairs == 1,
    )  # fmt: skip


def all_cases() -> list[Case]:
    """One of each."""
    return [*map(widen, range(len(RUNS))), *map(tile, range(len(PAIRS)))]
