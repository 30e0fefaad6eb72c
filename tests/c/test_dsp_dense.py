"""tg_dense_s8_dsp against NUMERICS in numpy: equal on random layers, at the limits of raw pairs, and in assembly."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.c import cases, emulated, oracle
from tests.c.harness import Guarded, build, call
from tests.c.record import Recorder
from tinygen.kernels.conv import pack as pack_dsp
from tinygen.kernels.dense import pack
from tinygen.kernels.tile import pack as pack_tiles
from tinygen.numerics import choose_multipliers, fold_bias

SEEDS = range(400)
Require = Callable[[str], None]
Library = ctypes.CDLL | Recorder


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory, require_tool: Require) -> ctypes.CDLL:
    require_tool("gcc")
    return build(tmp_path_factory.mktemp("kernels"))


def dense(
    lib: Library, c: dict[str, Any], in_zp: int, x: np.ndarray, w: np.ndarray, b: np.ndarray, m: np.ndarray
) -> None:
    """One call, equal to the oracle."""
    want = oracle.dense(c, x, w, b, m, in_zp).reshape(-1)
    out, room = Guarded(want.size), Guarded(pack.dense_scratch(c["n_in"]))
    words, multipliers = pack.pack_dense(w, fold_bias(w, b, in_zp), m)
    call(lib, "tg_dense_s8_dsp", "tg_dense_s8", c, x, words, multipliers, room.array, out.array)
    room.check()
    wrong = np.flatnonzero(out.check() != want)
    assert wrong.size == 0, f"{c}: {wrong.size} differ, first [{wrong[0]}]: {out.array[wrong[0]]} != {want[wrong[0]]}"


def layer(rng: np.random.Generator) -> tuple[dict[str, Any], int, list[np.ndarray]]:
    """Now and then many inputs, many channels, or one multiplier for all."""
    c, in_zp, (x, w, b, m) = cases.dense_case(rng)
    kind = rng.integers(4)
    if kind == 0:
        c["n_in"], c["rows"] = int(rng.integers(1, 400)), 1
        x, w = cases.int8(rng, 1, c["n_in"]), cases.weights(rng, c["n_out"], c["n_in"])
    elif kind == 1:
        c["n_out"] = int(rng.integers(1, 70))
        w = cases.weights(rng, c["n_out"], c["n_in"])
        b, m = cases.bias(rng, c["n_out"]), rng.choice(m, c["n_out"])
    if rng.integers(2) == 0:
        m = np.full_like(m, m[0])
    return c, in_zp, [x, w, b, m]


def sweep(lib: Library, seeds: range) -> int:
    """How many of the random layers the kernel takes."""
    ran = 0
    for seed in seeds:
        c, in_zp, (x, w, b, m) = layer(np.random.default_rng(seed))
        if pack.dense_supported(w, fold_bias(w, b, in_zp), m, c["shift"]) is None:
            dense(lib, c, in_zp, x, w, b, m)
            ran += 1
    return ran


def test_random_layers(lib: ctypes.CDLL) -> None:
    assert sweep(lib, SEEDS) > len(SEEDS) // 2


@pytest.mark.parametrize("n_in", range(1, 61))
def test_every_entry_of_the_unrolled_loop(lib: ctypes.CDLL, n_in: int) -> None:
    every_entry(lib, n_in)


def every_entry(lib: Library, n_in: int) -> None:
    rng = np.random.default_rng(n_in)
    for n_out in (8, 16 + n_in % 8):
        _, b, m = cases.layer(rng, n_in, n_out)
        c = {"rows": 1, "n_in": n_in, "n_out": n_out, "out_zp": 3, "lo": -128, "hi": 127, "shift": 44}
        dense(lib, c, 5, cases.int8(rng, 1, n_in), np.maximum(cases.weights(rng, n_out, n_in), -127), b, m)


@pytest.mark.parametrize("sign", [-1, 1])
def test_odd_channels_at_their_limit(lib: ctypes.CDLL, sign: int) -> None:
    """The largest sum of an odd channel is one below 2^23; one more is refused."""
    odd_limit(lib, sign)


def odd_limit(lib: Library, sign: int) -> None:
    n_in = 512
    w = np.zeros((16, n_in), np.int8)
    w[1::2] = 127 * sign
    w[::2] = -127 * sign
    m, shift = choose_multipliers(np.full(16, 120.0 / 2**23))
    top = 127 * 127 * n_in if sign > 0 else 128 * 127 * n_in
    b = np.full(16, 2**23 - 1 - top, np.int32)
    b[::2] = 2**30
    assert pack.dense_supported(w, b, m, shift) is None
    assert "odd sum" in str(pack.dense_supported(w, b + 1, m, shift))
    least = np.full(16, -(2**23) + 1 + (128 * 127 * n_in if sign > 0 else 127 * 127 * n_in), np.int32)
    assert pack.dense_supported(w, least, m, shift) is None
    assert "odd sum" in str(pack.dense_supported(w, least - 1, m, shift))
    c = {"rows": 1, "n_in": n_in, "n_out": 16, "out_zp": -3, "lo": -128, "hi": 127, "shift": shift}
    for bias in (b, least):
        for value in (-128, 127):
            dense(lib, c, 0, np.full((1, n_in), value, np.int8), w, bias, m)


@pytest.mark.parametrize("shift", [33, 34, 40, 54])
def test_ends_of_the_shift(lib: ctypes.CDLL, shift: int) -> None:
    ends_of_the_shift(lib, shift)


def ends_of_the_shift(lib: Library, shift: int) -> None:
    rng = np.random.default_rng(shift)
    n_out = 64
    m = (rng.integers(-(2**31) // 768, 2**31 // 768, n_out) * 768).astype(np.int32)
    m[:3] = [2**31 - 1, -(2**31) + 256, 0]
    for zp in (-128, 0, 127):
        c = {"rows": 1, "n_in": 4, "n_out": n_out, "out_zp": zp, "lo": -128, "hi": 127, "shift": shift}
        x, w = cases.int8(rng, 1, 4), np.maximum(cases.weights(rng, n_out, 4), -127)
        b = rng.choice(np.array([2**23 - 70_000, -(2**23) + 70_000, 0, 999], dtype=np.int32), n_out)
        b[::2] = rng.choice(np.array([2**31 - 200_000, -(2**31) + 200_000, 0, 999], dtype=np.int32), n_out // 2)
        assert pack.dense_supported(w, b, m, shift) is None
        dense(lib, c, 0, x, w, b, m)


def test_what_falls_back_says_why() -> None:
    w, b, m = np.ones((4, 6), np.int8), np.zeros(4, np.int32), np.full(4, 768, np.int32)
    assert pack.dense_supported(w, b, m, 32) == "shift 32 is outside 33..54"
    assert pack.dense_supported(w, b, m, 55) == "shift 55 is outside 33..54"
    assert pack.dense_supported(w, b, m + 1, 40) == "multiplier 769 of channel 1 is no multiple of 256"
    assert pack.dense_supported(w, b + 2**24, m, 40) == "odd sum of channel 1 may reach 16777978, above 2^23 - 1"
    assert pack.dense_supported(w[:1], b[:1] + 2**24, m[:1] + 1, 40) is None  # no odd channel


def test_one_multiplier_is_stored_once() -> None:
    w, b = np.ones((24, 8), np.int8), np.zeros(24, np.int32)
    assert pack.pack_dense(w, b, np.full(24, 768, np.int32))[1].tolist() == [0, *[768, 3] * 4]
    own = pack.pack_dense(w, b, 768 * np.arange(24, dtype=np.int32))[1]
    assert own[0] == 8
    assert own.size == 25


@pytest.fixture(scope="module")
def recorder(lib: ctypes.CDLL) -> Recorder:
    found = Recorder(lib, 5000)
    sweep(found, range(1000, 1060))
    for n_in in range(4, 33, 4):
        every_entry(found, n_in)
    for shift in (33, 54):
        ends_of_the_shift(found, shift)
    return found


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_host(compiler: str, recorder: Recorder, require_tool: Require, tmp_path: Path) -> None:
    require_tool(compiler)
    emulated.sanitized(recorder, compiler, tmp_path)


@pytest.mark.parametrize("level", ["-O2", "-Os"])
@pytest.mark.parametrize("core", emulated.CORES)
def test_interrupted(core: str, level: str, recorder: Recorder, require_tool: Require, tmp_path: Path) -> None:
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    emulated.with_interrupts(recorder, core, level, tmp_path)


def test_a_pair_that_is_no_half_word() -> None:
    """256 * -128 leaves no room for a negative weight beside it."""
    m, b = np.full(2, 768, np.int32), np.zeros(2, np.int32)
    for even, odd, fits in ((0, -128, True), (127, -128, True), (-1, -128, False), (-128, -127, True)):
        w = np.array([[even], [odd]], np.int8)
        assert -(2**15) <= 256 * odd + even < 2**15 or not fits
        assert (pack.dense_supported(w, b, m, 40) is None) == fits
        assert (pack_tiles.tiles_supported(w, b, 40) is None) == fits
        assert (pack_dsp.conv_dsp_supported(w[:, None, None], 1, 40) is None) == fits
