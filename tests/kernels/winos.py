"""Cases of Winograd's tile: few and many channels, sums on the stack and elsewhere."""

from __future__ import annotations

import numpy as np

from tests.c import oracle
from tests.c.test_dwplane import GUARD, numbers
from tests.kernels.harness import Case
from tinygen.kernels.library import PRINTED
from tinygen.kernels.wino.pack import pack_wino, wino_stack, wino_supported
from tinygen.kernels.wino.program import FREE
from tinygen.numerics import choose_multipliers, fold_bias

#: (input channels, output channels, bytes from row to row of outputs)
SHAPES = ((8, 2, 8), (16, 6, 48), (24, 20, 80), (64, 4, 16), (8, 44, 400), (8, 4, 16))
#: Whose outputs all change when the upper word of a product is rounded.
FLAT = 5
PUSHED = 36


def case(index: int) -> Case:
    """One of `SHAPES`, with random data that few outputs saturate with."""
    rng = np.random.default_rng(200 + index)
    in_c, out_c, y_row = SHAPES[index]
    f = {f"{name}_{axis}": 1 for name in ("stride", "dil") for axis in "hw"} | {"k_h": 3, "k_w": 3, "groups": 1}
    f |= {"in_h": 6, "in_w": 6, "in_c": in_c, "out_h": 4, "out_w": 4, "out_c": out_c, "pad_top": 0, "pad_left": 0}
    f |= {"in_zp": -9, "out_zp": 11, "lo": -128, "hi": 127}
    x, w = rng.integers(-128, 128, (6, 6, in_c), np.int8), rng.integers(-127, 128, (out_c, 3, 3, in_c), np.int8)
    usual = 74.0 * 73.0 * np.sqrt(9.0 * in_c)  # of a sum
    b = (usual * rng.uniform(-1.0, 1.0, out_c)).astype(np.int64)
    m, f["shift"] = choose_multipliers(rng.uniform(0.5, 1.0, out_c) * 50.0 / usual)
    offset = (f["out_zp"] << 8) + 128
    if index == FLAT:
        x[:] = f["in_zp"]  # then all sums are the bias
        b = np.array([_on_edge(rng, int(v), offset) for v in pack_wino(w, b, m, f["shift"])[1]])
    folded = fold_bias(w, b, f["in_zp"])
    assert wino_supported(f, w, folded, m) is None
    stream, scaled = pack_wino(w, folded, m, f["shift"])
    want = oracle.conv(f, x, w, b, m)
    y = np.full(2 * GUARD + 3 * y_row + 4 * out_c, 77)
    before = numbers(y)
    for row in range(4):
        y[GUARD + row * y_row :][: 4 * out_c] = want[row].reshape(-1)
    frame, n = wino_stack(in_c, out_c), f"{index}"
    sums = 0 if frame > FREE + 72 * in_c else f"sums{n}"
    rows = ", ".join(f"&x{n}[{row * 6 * in_c}]" for row in range(6))
    data = f"""
static const int8_t x{n}[] TG_ALIGN(4) = {{{numbers(x)}}};
static const int32_t w{n}[] = {{{numbers(stream)}}};
static const int32_t m{n}[] = {{{numbers(scaled)}}};
static const int8_t want{n}[] = {{{numbers(y)}}};
static uint32_t sums{n}[{24 * out_c}] __attribute__((unused));
static int8_t y{n}[] = {{{before}}};
static const tg_wino_tile_t t{n} = {{{{{rows}}}, w{n}, m{n}, {sums}, &y{n}[{GUARD}], {in_c}, {out_c}, {y_row},
                                    {offset}, {frame}}};"""
    return Case(
        PRINTED["tg_wino_tile_dsp"], data, (f"&t{n}",), f"memcmp(y{n}, want{n}, sizeof y{n}) == 0",
        {"rows": 6, "eights": in_c // 8, "positions": 6, "pairs": out_c // 2}, stack=PUSHED + frame - FREE,
    )  # fmt: skip


def _on_edge(rng: np.random.Generator, m: int, offset: int) -> int:
    """A bias whose output is another when the product with the multiplier is rounded."""
    b = rng.integers(-40000, 40000, 20000)
    rounded = (24 * b * m + 2**31 >> 32) + offset >> 8
    found: int = b[rounded != (24 * b * m >> 32) + offset >> 8][0]
    return found


def all_cases() -> list[Case]:
    """One of each."""
    return [case(i) for i in range(len(SHAPES))]
