"""Cases of windows that four pixels of a row share: one to three pointers, columns left over, channels that overlap."""

from __future__ import annotations

import numpy as np

from tests.c import cases
from tests.c.test_dwplane import numbers
from tests.kernels.harness import Case
from tinygen.kernels.slide.variants import Slide

#: (kernel rows and columns, step, dilation, channels, more channels that there is room for)
SHAPES = (
    (3, 3, 1, 1, 8, 0),
    (2, 2, 1, 1, 7, 8),
    (2, 3, 2, 1, 13, 0),
    (2, 4, 1, 1, 12, 4),
    (3, 3, 1, 2, 9, 0),
)
ROOM = 77


def case(index: int) -> Case:
    """One of `SHAPES`."""
    rng = np.random.default_rng(400 + index)
    k_h, k_w, stride, dil, in_c, more = SHAPES[index]
    slide = Slide(k_h, k_w, stride, dil, -(-in_c // 4) + more // 4, -in_c % 4)
    kernel, quads, n = slide.fill(), -(-in_c // 4), f"_fill{index}"
    x = cases.int8(rng, k_h, slide.cols + 1, in_c)
    want = np.full((k_h, slide.most, slide.cols, 2, 2), ROOM)
    for quad in range(quads):
        first = min(4 * quad, in_c - 4)
        four = x[:, : slide.cols, first : first + 4]
        want[:, quad, :, 0], want[:, quad, :, 1] = four[..., [0, 2]], four[..., [1, 3]]
    assert want[0].nbytes // want.itemsize * 2 == kernel.row_bytes
    data = f"""
static const int8_t x{n}[] = {{{numbers(x)}}};
static const int16_t want{n}[] = {{{numbers(want)}}};
static int16_t window{n}[] __attribute__((aligned(8))) = {{{numbers(np.full(want.size, ROOM))}}};
static const tg_tile_t t{n} = {{.x = {{x{n}}}, .quads = {quads}, .tail = {in_c}, .runs = {k_h},
                               .step = {(slide.cols + 1) * in_c}}};"""
    return Case(
        kernel, data, (f"&t{n}", f"window{n}"), f"memcmp(window{n}, want{n}, sizeof window{n}) == 0",
        {"rows": k_h, "quads": quads - int(kernel.back > 0)},
    )  # fmt: skip


def all_cases() -> list[Case]:
    """One of each."""
    return [case(i) for i in range(len(SHAPES))]
