"""Cases of the plane family: layers of odd and even sizes, both strides, unrolled and looped, near and far outputs."""

from __future__ import annotations

import numpy as np

from tests.c import cases, oracle
from tests.c.test_dwplane import GUARD, numbers, oracle_fields, planes_of, scattered
from tests.kernels.harness import Case
from tinygen.kernels.plane import pack
from tinygen.kernels.plane.kernel import PlaneKernel, plane_kernel
from tinygen.numerics import choose_multipliers, fold_bias

#: (rows, columns, stride, rows of padding above, channels, bytes from column to column, bytes that may be unrolled)
SHAPES = (
    (5, 25, 1, 1, 5, 64, 1536),
    (24, 6, 1, 1, 4, 8, 1536),
    (25, 7, 2, 1, 5, 8, 1536),
    (12, 12, 2, 0, 7, 8, 1536),
    (1, 3, 1, 1, 60, 64, 1536),
    (3, 2, 2, 0, 60, 64, 1536),
    (6, 5, 1, 1, 7, 5000, 1536),
    (20, 4, 1, 1, 5, 8, 0),
    (5, 5, 1, 1, 5, 8, 1536),
    (7, 6, 2, 0, 5, 8, 1536),
)
#: Of these outputs may leave 16 bits before they are clamped.
WIDE = (8, 9)


def case(index: int) -> Case:
    """One of `SHAPES`, with random data that few outputs saturate with."""
    rng = np.random.default_rng(index)
    h, w, stride, top, channels, col, unroll = SHAPES[index]
    out_h, out_w = (h + 2 * top - 3) // stride + 1, (w - 1) // stride + 1
    s = pack.Geometry(h, w, out_h, out_w, 3, 3, stride, stride, top, 1)
    weights = cases.weights(rng, 3, 3, channels)
    # few outputs saturate, all bits of a sum are seen; with an input zero point of 0 the three biases would be one
    m, shift = choose_multipliers(rng.uniform(0.004, 0.01, channels))
    wide = index in WIDE
    if wide:
        weights[:, :, 1] = 127
        m, shift = choose_multipliers(np.where(np.arange(channels) == 1, 0.24, 0.007))
    b = rng.integers(-3000, 3000, channels)
    q = {"in_zp": -77, "out_zp": 5, "shift": shift, "lo": -128, "hi": 127}
    folded = fold_bias(np.moveaxis(weights, 2, 0), b, q["in_zp"])
    ends = (folded, m, s, q["out_zp"], q["shift"])
    assert pack.dwplane3x3_supported(weights, *ends, wide=wide) is None
    assert (pack.dwplane3x3_supported(weights, *ends) is None) != wide
    x = cases.int8(rng, h, w, channels)
    want = oracle.dwconv({**oracle_fields(s), "in_c": channels, "out_c": channels, **q}, x, weights, b, m)
    planes = pack.planes_for(s, channels)
    strides = (out_w * col, col, 1)
    config = pack.dwplane_config(s, planes, *strides, -128, 127)
    words = pack.pack_dwplane3x3(weights, folded, m, s, q["in_zp"], q["out_zp"], q["shift"])
    size = (out_h - 1) * strides[0] + (out_w - 1) * strides[1] + channels
    kernel = plane_kernel(config, stride, unroll, wide=wide)
    x_planes = planes_of(s, x, q["in_zp"], planes)
    return call(kernel, f"{index}", config, x_planes, words, scattered(want, strides, size))


def call(kernel: PlaneKernel, n: str, config: dict[str, int], x: np.ndarray, words: np.ndarray, y: np.ndarray) -> Case:
    """`n`: ends the names of its data. `y`: what the kernel must write where, 77 where it must not write."""
    fields = ", ".join(f".{key} = {value}" for key, value in config.items())
    data = f"""
static const tg_dwplane_cfg_t cfg{n} = {{{fields}}};
static const int8_t x{n}[] TG_ALIGN(4) = {{{numbers(x)}}};
static const int32_t w{n}[] = {{{numbers(words)}}};
static const int8_t want{n}[] = {{{numbers(y)}}};
static int8_t y{n}[] = {{{numbers(np.full(y.size, 77))}}};"""
    arguments = (f"&cfg{n}", f"x{n}", f"w{n}", f"&y{n}[{GUARD}]")
    right = f"memcmp(y{n}, want{n}, sizeof y{n}) == 0"
    return Case(kernel, data, arguments, right, {"channels": config["channels"]})


def all_cases() -> list[Case]:
    """One of each."""
    return [case(i) for i in range(len(SHAPES))]
