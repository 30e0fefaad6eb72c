"""The convolutions with two pixels in one multiplication (Cortex-M0, M3), through their portable bodies, against
NUMERICS in numpy: equal on random layers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.c import cases, oracle
from tests.c.harness import Guarded, build, call
from tinygen.kernels.lanes import pack
from tinygen.numerics import choose_multipliers, fold_bias, requant_clamp

SEEDS = range(200)
KERNELS = ("tg_conv_s8_m0", "tg_conv_s8_m3")


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], None]) -> ctypes.CDLL:
    require_tool("gcc")
    return build(tmp_path_factory.mktemp("kernels"))


def sizes(c: dict[str, Any]) -> tuple[int, int]:
    """Weights a channel, output positions."""
    return c["k_h"] * c["k_w"] * c["in_c"] // c["groups"], c["out_h"] * c["out_w"]


def run(lib: Any, c: dict[str, Any], x: np.ndarray, w: np.ndarray, b: np.ndarray, m: np.ndarray) -> list[bool]:
    """Every kernel and tile on one layer; for each kernel whether it used its quick requantisation."""
    want = oracle.conv(c, x, w, b, m).reshape(-1)
    taps, pixels = sizes(c)
    end = (c["shift"], c["out_zp"], c["lo"], c["hi"])
    quick = [False, pack.quick_m3(c["shift"], c["lo"], c["hi"])]
    for tile in (4, 8):
        if pack.conv_lanes_supported(taps, pixels, tile) is not None:
            continue
        stream, bias, mult = pack.pack_conv_lanes(w, fold_bias(w, b, c["in_zp"]), m, *end, tile)
        split = pack.split_multipliers(pack.unpack_weights(stream, w.shape), bias, mult, *end[:3])
        quick[0] = bool(split[0])
        for kernel, last in zip(KERNELS, (split, mult), strict=True):
            out, room = Guarded(want.size), Guarded(pack.conv_lanes_scratch(taps, tile))
            call(lib, kernel, "tg_conv_s8", c, x, stream, bias, last, room.array, out.array)
            room.check()
            got = out.check()
            wrong = np.flatnonzero(got != want)
            where = f"{kernel}, tiles of {tile}, {c}: {wrong.size} differ"
            assert wrong.size == 0, f"{where}, [{wrong[0]}]: {got[wrong[0]]} != {want[wrong[0]]}"
    return quick


def sweep(lib: Any, make: Callable[..., Any], at_least: int) -> None:
    """All layers that are taken; enough of them with each way to requantise."""
    quick = []
    for seed in SEEDS:
        c, arrays = make(np.random.default_rng(seed))
        if pack.conv_lanes_supported(*sizes(c), pack.PIXELS) is None:
            quick.append(run(lib, c, *arrays))
    assert len(quick) >= at_least
    for taken in zip(*quick, strict=True):
        assert 0 < sum(taken) < len(quick)


@pytest.mark.parametrize("make", [cases.conv_case, cases.pointwise_case])
def test_conv(lib: ctypes.CDLL, make: Callable[..., Any]) -> None:
    sweep(lib, make, len(SEEDS) // 2)


def layer(rows: int, cols: int, in_c: int, out_c: int, **more: int) -> dict[str, int]:
    """A pointwise layer, or what `more` makes of it."""
    c = {"in_h": rows, "in_w": cols, "out_h": rows, "out_w": cols, "in_c": in_c, "out_c": out_c, "k_h": 1, "k_w": 1}
    c |= {"stride_h": 1, "stride_w": 1, "dil_h": 1, "dil_w": 1, "pad_top": 0, "pad_left": 0, "groups": 1}
    return c | {"in_zp": -3, "out_zp": 5, "lo": -128, "hi": 127} | more


@pytest.mark.parametrize("x_value", [-128, 127, None])
@pytest.mark.parametrize("w_value", [-127, 127, None])
@pytest.mark.parametrize("in_c", [1, 2, 11, 12, 300])
def test_lanes_at_their_limits(lib: ctypes.CDLL, in_c: int, w_value: int | None, x_value: int | None) -> None:
    """Largest weights and activations of one sign, and of either; neighbouring pixels of opposite signs."""
    rng = np.random.default_rng(in_c)
    x = rng.choice(np.array([-128, 127]), (3, 3, in_c)) if x_value is None else np.full((3, 3, in_c), x_value)
    x.reshape(9, in_c)[1::2] = -1 - x.reshape(9, in_c)[::2][:4]
    w = rng.choice(np.array([-127, 127]), (3, 1, 1, in_c)) if w_value is None else np.full((3, 1, 1, in_c), w_value)
    m, shift = choose_multipliers(np.array([1.0, 0.5, 0.01]) * 120.0 / (in_c * 127 * 128))
    b = np.array([0, 1000, -77], dtype=np.int32)
    run(lib, layer(3, 3, in_c, 3, shift=shift), x.astype(np.int8), w.astype(np.int8), b, m)


def test_a_lane_at_minus_2_to_the_15(lib: Any) -> None:
    """128 * 256 in both lanes would fit int16, but the lower lane's borrow would take the upper one out of it: on
    Cortex-M0 that shows, so such taps are two groups."""
    w = np.array([[127, 127, 2], [-127, -127, -2]], dtype=np.int8).reshape(2, 1, 1, 3)
    m, shift = choose_multipliers(np.full(2, 1 / 300.0))
    for value in (-128, 127):
        x = np.full((3, 3, 3), value, dtype=np.int8)
        run(lib, layer(3, 3, 3, 2, shift=shift, in_zp=0), x, w, np.zeros(2, dtype=np.int32), m)


@pytest.mark.parametrize("pixels", [4, 5, 7, 8, 9, 11, 12, 13, 16, 17])
@pytest.mark.parametrize("in_c", [3, 641])
def test_every_number_of_pixels(lib: ctypes.CDLL, pixels: int, in_c: int) -> None:
    """In one row and in one column; 641 taps leave room for windows of 4 pixels only."""
    rng = np.random.default_rng(pixels)
    for shape in ((1, pixels), (pixels, 1)):
        m, shift = choose_multipliers(rng.uniform(0.1, 1.0, 5) * 60.0 / (in_c * 60 * 60))
        x, w = cases.int8(rng, *shape, in_c), cases.weights(rng, 5, 1, 1, in_c)
        run(lib, layer(*shape, in_c, 5, shift=shift), x, w, cases.bias(rng, 5), m)


@pytest.mark.parametrize("shift", [1, 20, 32, 33, 40, 54, 55, 62])
def test_shifts(lib: ctypes.CDLL, shift: int) -> None:
    rng = np.random.default_rng(shift)
    m = (rng.integers(1, 2**31 // 768, 40) * 768).astype(np.int32)
    b = rng.choice(np.array([2**30, -(2**30), 2**20, -(2**20), 0, 999], dtype=np.int32), 40)
    for zp, lo, hi in ((-128, -128, 127), (0, -128, 127), (127, -128, 127), (0, -100, 99)):
        c = layer(2, 5, 4, 40, shift=shift) | {"out_zp": zp, "lo": lo, "hi": hi}
        run(lib, c, cases.int8(rng, 2, 5, 4), cases.weights(rng, 40, 1, 1, 4), b, m)


def test_constant_channels_keep_no_weights(lib: ctypes.CDLL) -> None:
    """The weights of a channel that always saturates, or never moves the output, are gone; the bits are the same."""
    rng = np.random.default_rng(0)
    w = cases.int8(rng, 4, 1, 1, 20).clip(-127, 127)
    m, shift = choose_multipliers(np.array([1e-3, 1e-9, 1e-3, 1e-3]))
    b = np.array([0, 2**29, 2**20, -(2**20)], dtype=np.int32)
    stream, bias, mult = pack.pack_conv_lanes(w, b, m, shift, 5, -128, 127, 8)
    kept = pack.unpack_weights(stream, (4, 20)).any(axis=1)
    assert kept.tolist() == [True, False, False, False]
    assert requant_clamp(bias, mult, shift, 5, -128, 127)[1:].tolist() == [
        *requant_clamp(b, m, shift, 5, -128, 127)[1:].tolist()
    ]
    assert np.all(np.abs(bias) < 2**24)
    run(lib, layer(3, 3, 20, 4, shift=shift) | {"in_zp": 0}, cases.int8(rng, 3, 3, 20), w, b, m)


def test_groups_never_leave_a_lane() -> None:
    """Every prefix of every group (a lane holds each of them for a while), at the activations that are worst for it."""
    rng = np.random.default_rng(0)
    w = np.stack([*(cases.weights(rng, 50) for _ in range(50)), *rng.normal(0, 20, (50, 50)).clip(-127, 127)])
    zeros = np.zeros(100, dtype=np.int32)
    stream, _, _ = pack.pack_conv_lanes(w.astype(np.int8), zeros, zeros, 40, 0, -128, 127, 8)
    i, groups = 1, 0
    while i < stream.size:
        mark = int(stream[i]) & 0xFF
        n = pack.GROUP + 1 - mark // pack.STEP if mark else 0
        group = stream[i + 1 : i + 1 + n].astype(int)
        for worst in (np.where(group > 0, 127, -128), np.where(group > 0, -128, 127)):
            reached = np.cumsum(group * worst)
            assert np.all(np.abs(reached) < 2**15)
        i, groups = i + 1 + n, groups + (n > 0)
    assert groups < w.size // 3


@pytest.mark.parametrize("pixels", range(4, 40))
def test_tiles_cover_the_pixels(pixels: int) -> None:
    """As the kernel walks: a tile of 4 when 4 pixels or fewer are left; the cost model counts them."""
    for tile in (4, 8):
        counted, left = {4: 0, 8: 0}, pixels
        while left > 0 and pixels >= tile:
            size = 8 if tile == 8 and left > 4 else 4
            counted[size] += 1
            left -= size
        assert pixels < tile or counted == dict(pack.tiles(pixels, tile))


def test_what_is_refused_says_why() -> None:
    assert pack.conv_lanes_supported(10, 3, 4) == "3 pixels, a tile has 4"
    assert pack.conv_lanes_supported(10, 7, 8) == "7 pixels, a tile has 8"
    assert pack.conv_lanes_supported(641, 9, 8) == "a window of 10256 bytes, above 10240"
    assert pack.conv_lanes_supported(1281, 9, 4) == "a window of 10248 bytes, above 10240"
    assert pack.conv_lanes_supported(1280, 4, 4) is None
