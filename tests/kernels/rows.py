"""Cases of the row family: whole and looped, odd channels, rows of 2 x 2 tiles, words, bytes and both, near and far."""

from __future__ import annotations

import numpy as np

from tests.c import cases, oracle
from tests.c.test_dwplane import numbers
from tests.kernels.harness import Case
from tinygen.kernels.row.kernel import RowKernel
from tinygen.kernels.row.variants import compact_rows, whole_rows
from tinygen.kernels.variant import consts, ints
from tinygen.numerics import fold_bias
from tinygen.ops.base import Call, ConstArg, Planes

GUARD = 16
#: (kernel rows, columns, step, channels in, out, tiles, rows of output, whole, shift, bytes from row to row of planes
#: that are written, or 0); with short shifts the last bits of a product are seen
SHAPES = (
    (1, 1, 1, 8, 6, 40, 1, True, 33, 0),
    (3, 1, 1, 5, 4, 40, 1, True, 33, 0),
    (1, 3, 2, 3, 8, 30, 1, False, 34, 0),
    (1, 7, 1, 1, 7, 40, 1, False, 33, 0),
    (2, 2, 1, 3, 4, 41, 2, True, 33, 0),
    (2, 2, 1, 1, 4, 40, 1, True, 31, 0),
    (1, 2, 1, 2, 6, 40, 1, True, 33, 1500),
    (2, 2, 1, 3, 5, 11, 2, True, 33, 0),
    (1, 1, 1, 4, 35, 6, 1, True, 33, 0),
    (1, 5, 1, 1, 1, 12, 1, True, 33, 0),
)


def case(index: int) -> Case:
    """The first row of one of `SHAPES`, or the first two, with random data that a few outputs saturate with."""
    rng = np.random.default_rng(200 + index)
    k_h, k_w, step, in_c, out_c, tiles, out_h, whole, shift, stride = SHAPES[index]
    out_w = tiles * (2 if out_h == 2 else 4)
    f = {"in_h": (out_h - 1) * step + k_h, "in_w": (out_w - 1) * step + k_w, "in_c": in_c, "out_h": out_h}
    f |= {"out_w": out_w, "out_c": out_c, "k_h": k_h, "k_w": k_w, "stride_h": step, "stride_w": step, "groups": 1}
    f |= {"dil_h": 1, "dil_w": 1, "pad_top": 0, "pad_left": 0}
    w = rng.integers(-127, 128, (out_c, k_h, k_w, in_c))
    std = int(74 * np.sqrt(w.astype(np.float64).var() * k_h * k_w * in_c))  # of sums
    m = (80 / std * rng.uniform(0.5, 1.0, out_c) * 2.0**shift).astype(np.int32) // 256 * 256
    b = rng.integers(-std, std + 1, out_c)
    q = {"in_zp": -7, "out_zp": 5, "lo": -128, "hi": 127, "shift": shift}
    x = cases.int8(rng, f["in_h"], f["in_w"], in_c)
    want = oracle.conv({**f, **q}, x, w, b, m)
    folded = fold_bias(w, b, q["in_zp"]).astype(np.int32)
    consts_in = (ConstArg("w", w.astype(np.int8)), ConstArg("b", folded), ConstArg("m", m))
    planes = Planes(out_h, out_w, out_c, stride, 0, False) if stride else None
    call = Call("tg_conv_s8", tuple({**f, **q}.items()), ("x",), consts_in, "y", y_planes=planes)
    made = (whole_rows if whole else compact_rows)(call)
    assert isinstance(made, Call), made
    g, words = ints(made), consts(made)["w"]
    kernel = made.generated[0].view
    assert isinstance(kernel, RowKernel)
    assert (kernel.row.lift > 0) == (shift < 33)
    at = (planes.place(want) if planes else np.arange(want.size)).reshape(-1)
    y = np.full(2 * GUARD + int(at.max()) + 1, 77)
    before = numbers(y)
    y[GUARD + at] = want.reshape(-1)
    s, n = g["shift"] - 32, f"{index}"
    data = f"""
static const int8_t x{n}[] TG_ALIGN(4) = {{{numbers(x)}}};
static const int32_t w{n}[] = {{{numbers(words)}}};
static const int8_t want{n}[] = {{{numbers(y)}}};
static int8_t y{n}[] = {{{before}}};
static const tg_row_t r{n} = {{&w{n}[{g["walked"] * g["words"]}], {(5 << s) + (1 << (s - 1))}, {tiles}}};"""
    turns = g["walked"] // kernel.row.unroll
    return Case(
        kernel, data, (f"&r{n}", f"x{n}", f"w{n}", f"&y{n}[{GUARD}]"), f"memcmp(y{n}, want{n}, sizeof y{n}) == 0",
        {"tiles": tiles, "pairs of channels": turns}, hidden=out_c % 2 == 1 and kernel.row.behind != 1,
    )  # fmt: skip


def all_cases() -> list[Case]:
    """One of each."""
    return [case(i) for i in range(len(SHAPES))]
