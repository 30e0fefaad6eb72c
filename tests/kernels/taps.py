"""Cases of rows of taps on planes: every rest of four taps in each of the three ways, unrolled and looped."""

from __future__ import annotations

import numpy as np

from tests.c import cases, oracle
from tests.c.test_dwplane import oracle_fields, planes_of, scattered
from tests.kernels import planes
from tests.kernels.harness import Case
from tinygen.kernels.plane import pack
from tinygen.kernels.plane.kernel import taps_kernel
from tinygen.numerics import choose_multipliers, fold_bias

#: (taps, rows, columns, channels, bytes from column to column, bytes that may be unrolled)
SHAPES = (
    (2, 2, 9, 6, 8, 1024),
    (3, 1, 21, 8, 8, 0),
    (4, 3, 12, 5, 8, 1024),
    (5, 1, 28, 8, 64, 0),
    (6, 1, 16, 8, 8, 0),
    (7, 2, 13, 6, 8, 1024),
    (8, 1, 20, 8, 8, 1024),
    (9, 2, 19, 5, 8, 0),
    (10, 1, 24, 40, 64, 0),
    (11, 1, 45, 5, 8, 0),
    (12, 1, 17, 6, 2500, 4096),
    (13, 2, 18, 6, 8, 1024),
    (15, 1, 15, 60, 64, 1024),
    (34, 1, 45, 6, 8, 1024),
)


def case(index: int) -> Case:
    """One of `SHAPES`, with random data that few outputs saturate with."""
    rng = np.random.default_rng(300 + index)
    k, h, w, channels, col, unroll = SHAPES[index]
    s = pack.Geometry(h, w, h, w - k + 1 + 2, 1, k, 1, 1, 0, 1)
    weights = rng.integers(-127, 128, (1, k, channels))
    m, shift = choose_multipliers(0.024 / np.sqrt(k) * rng.uniform(0.5, 1.0, channels))
    b = rng.integers(-3000, 3000, channels)
    q = {"in_zp": -7, "out_zp": 5, "shift": shift, "lo": -128, "hi": 127}
    folded = fold_bias(np.moveaxis(weights, 2, 0), b, q["in_zp"])
    assert pack.dwrow_supported(weights, folded, m, s, q["out_zp"], q["shift"]) is None
    x = cases.int8(rng, h, w, channels)
    want = oracle.dwconv({**oracle_fields(s), "in_c": channels, "out_c": channels, **q}, x, weights, b, m)
    layout = pack.planes_for(s, channels)
    strides = (s.out_w * col, col, 1)
    config = pack.dwplane_config(s, layout, *strides, -128, 127)
    size = (h - 1) * strides[0] + (s.out_w - 1) * strides[1] + channels
    x_planes = planes_of(s, x, q["in_zp"], layout)
    words = pack.pack_dwrow(weights, folded, m, q["out_zp"], q["shift"])
    return planes.call(
        taps_kernel(config, k, unroll), f"_{index}", config, x_planes, words, scattered(want, strides, size)
    )


def all_cases() -> list[Case]:
    """One of each."""
    return [case(i) for i in range(len(SHAPES))]
