"""Dense, depthwise and add kernels of the small cores, with portable inner loops, against NUMERICS in numpy: equal on
random layers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.c import cases, oracle
from tests.c.harness import Guarded, build, call
from tinygen.kernels.small import pack
from tinygen.numerics import choose_multipliers, fold_bias

SEEDS = range(150)
SETS = ("m0", "m3")
Layer = tuple[dict[str, Any], list[np.ndarray]]


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], None]) -> ctypes.CDLL:
    require_tool("gcc")
    return build(tmp_path_factory.mktemp("kernels"))


def equal(
    lib: ctypes.CDLL, kernel: str, cfg: dict[str, Any], arrays: tuple[np.ndarray, ...], scratch: int, want: np.ndarray
) -> None:
    out, room = Guarded(want.size), Guarded(scratch)
    call(lib, kernel, kernel.rpartition("_")[0], cfg, *arrays, room.array, out.array)
    room.check()
    wrong = np.flatnonzero(out.check() != want.reshape(-1))
    assert wrong.size == 0, f"{kernel} {cfg}: {wrong.size} of {want.size} differ, first [{wrong[0]}]"


def dense(lib: ctypes.CDLL, c: dict[str, Any], in_zp: int, x: Any, w: Any, b: Any, m: Any) -> None:
    folded = fold_bias(w, b, in_zp)
    reason = pack.dense_supported(w, folded)
    assert reason is None or "filled" in reason  # those would only cost flash
    packed = pack.pack_dense(w, folded, m)
    scratch = pack.dense_scratch(c["n_in"], c["n_out"], int(packed[0][0]))
    for name in SETS:
        equal(lib, f"tg_dense_s8_{name}", c, (x, *packed), scratch, oracle.dense(c, x, w, b, m, in_zp))


def dwconv(lib: ctypes.CDLL, c: dict[str, Any], x: Any, w: Any, b: Any, m: Any) -> None:
    folded = fold_bias(np.moveaxis(w, 2, 0), b, c["in_zp"])
    for name in SETS:
        packed = pack.pack_dwconv(c, w, folded, m, narrow=name == "m0")
        equal(lib, f"tg_dwconv_s8_{name}", c, (x, *packed), pack.dwconv_scratch(c), oracle.dwconv(c, x, w, b, m))


def small_weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """As in a network: most far below the largest, so that groups are long and rests few."""
    return np.clip(np.rint(rng.laplace(0.0, rng.choice([2.0, 8.0, 20.0]), shape)), -127, 127).astype(np.int8)


def wide_dense_case(rng: np.random.Generator) -> tuple[dict[str, Any], int, list[np.ndarray]]:
    """Around one, two and three chunks of inputs."""
    n_in = int(rng.choice([1, 2, 3])) * pack.LANES_CHUNK + int(rng.integers(-2, 3))
    c: dict[str, Any] = {"rows": int(rng.integers(1, 3)), "n_in": n_in, "n_out": int(rng.integers(1, 14))}
    q, b, m = cases.layer(rng, n_in, c["n_out"])
    in_zp = q.pop("in_zp")
    make = small_weights if rng.integers(3) else cases.weights
    return c | q, in_zp, [cases.int8(rng, c["rows"], n_in), make(rng, c["n_out"], n_in), b, m]


@pytest.mark.parametrize("make", [cases.dense_case, wide_dense_case])
def test_dense(lib: ctypes.CDLL, make: Callable[..., Any]) -> None:
    for seed in SEEDS:
        c, in_zp, arrays = make(np.random.default_rng(seed))
        dense(lib, c, in_zp, *arrays)


def test_dense_groups() -> None:
    """All lengths of groups occur, and rests too; a group and its rests are the weights."""
    seen = set()
    for seed in SEEDS:
        _, _, (_, w, _, _) = wide_dense_case(np.random.default_rng(seed))
        taps = pack.dense_taps(w)
        groups = pack._groups(w, taps)
        small, rest = pack._split(groups)
        assert np.array_equal(small + rest, groups)
        assert np.abs(small).sum(axis=2).max() <= pack.LANES_LIMIT
        seen.add((taps, bool(rest.any())))
    assert {taps for taps, _ in seen} == {4, 8, 16}
    assert {rests for _, rests in seen} == {False, True}


@pytest.mark.parametrize("taps", [4, 8, 16])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("value", [-128, 127])
def test_dense_lanes_at_their_limit(
    lib: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, taps: int, sign: int, value: int
) -> None:
    """Every group of every channel sums to exactly LANES_LIMIT times the largest activation."""
    monkeypatch.setattr(pack, "dense_taps", lambda w: taps)
    w = np.zeros((8, 3, taps), dtype=np.int8)
    w[:, :, 0], w[:, :, taps - 1], w[:, :, 1] = sign * 127, sign * 127, sign
    w[1::2] *= -1
    flat = w.reshape(8, -1)
    m, shift = choose_multipliers(np.full(8, 100.0 / (3 * 255 * 128)))
    c = {"rows": 1, "n_in": flat.shape[1], "n_out": 8, "out_zp": 0, "lo": -128, "hi": 127, "shift": shift}
    x = np.full((1, flat.shape[1]), value, dtype=np.int8)
    assert not pack._split(pack._groups(flat, taps))[1].any()
    dense(lib, c, 0, x, flat, np.arange(8, dtype=np.int32) * 1000 - 4000, m)


def within_limits(rng: np.random.Generator, c: dict[str, Any]) -> dict[str, Any]:
    """The case with a stride and a dilation that the kernel takes, and the outputs that then fit."""
    c = c | {"stride_w": int(rng.integers(1, 3)), "dil_w": 1}
    if rng.integers(2) or c["in_w"] == 1:
        c |= {"stride_h": c["stride_w"], "dil_h": 1}
    for axis, edge in (("h", "top"), ("w", "left")):
        extent = (c[f"k_{axis}"] - 1) * c[f"dil_{axis}"]
        c[f"pad_{edge}"] = min(c[f"pad_{edge}"], extent)
        room = c[f"in_{axis}"] + c[f"pad_{edge}"] + int(rng.integers(0, extent + 1)) - extent - 1
        c[f"out_{axis}"] = max(0, room) // c[f"stride_{axis}"] + 1
    return c


def dwconv_case(rng: np.random.Generator) -> Layer:
    c, arrays = cases.dwconv_case(rng)
    return within_limits(rng, c), arrays


def square_case(rng: np.random.Generator) -> Layer:
    """3 x 3, as nearly all depthwise layers are; large enough for several runs of sums."""
    c: dict[str, Any] = {"k_h": 3, "k_w": 3, "dil_h": 1, "dil_w": 1, "pad_top": int(rng.integers(2))}
    s = int(rng.integers(1, 3))
    c |= {"stride_h": s, "stride_w": s, "pad_left": int(rng.integers(2)), "in_c": int(rng.integers(1, 6))}
    for axis, edge in (("h", "top"), ("w", "left")):
        c[f"in_{axis}"] = int(rng.integers(3, 30))
        c[f"out_{axis}"] = (c[f"in_{axis}"] + c[f"pad_{edge}"] + int(rng.integers(2)) - 3) // s + 1
    c["out_c"] = c["in_c"]
    q, b, m = cases.layer(rng, 9, c["out_c"])
    x = cases.int8(rng, c["in_h"], c["in_w"], c["in_c"])
    return c | q, [x, cases.weights(rng, 3, 3, c["out_c"]), b, m]


def column_case(rng: np.random.Generator) -> Layer:
    """One pixel wide: a signal over time. Now and then longer than a run of sums."""
    k, s = int(rng.integers(1, 16)), int(rng.integers(1, 3))
    c: dict[str, Any] = {"in_w": 1, "out_w": 1, "k_w": 1, "stride_w": 1, "dil_w": 1, "pad_left": 0, "dil_h": 1}
    c |= {"in_h": k + int(rng.choice([0, 3, 40, 300])), "k_h": k, "stride_h": s, "pad_top": int(rng.integers(0, k))}
    c |= {"out_h": (c["in_h"] + c["pad_top"] - k) // s + 1, "in_c": int(rng.integers(1, 6))}
    c["out_c"] = c["in_c"]
    q, b, m = cases.layer(rng, k, c["out_c"])
    x = cases.int8(rng, c["in_h"], 1, c["in_c"])
    return c | q, [x, cases.weights(rng, k, 1, c["out_c"]), b, m]


@pytest.mark.parametrize("make", [dwconv_case, square_case, column_case])
def test_dwconv(lib: ctypes.CDLL, make: Callable[..., Any]) -> None:
    for seed in SEEDS:
        c, arrays = make(np.random.default_rng(seed))
        assert pack.dwconv_supported(c) is None
        dwconv(lib, c, *arrays)


@pytest.mark.parametrize("shift", [1, 20, 21, 32, 33, 42, 43, 54, 55, 62])
def test_dwconv_requantises_at_the_ends_of_the_shift(lib: ctypes.CDLL, shift: int) -> None:
    """Largest multipliers and sums around 2^19, on both sides of what the fast epilogues take."""
    rng = np.random.default_rng(shift)
    channels = 24
    m = (rng.integers(-(2**31) // 768 + 1, 2**31 // 768, channels) * 768).astype(np.int32)
    m[:3] = [2**31 // 768 * 768, -(2**31 // 768 * 768), 0]
    for zp in (-128, 0, 127):
        c: dict[str, Any] = {f"{k}_{a}": 1 for k in ("k", "stride", "dil") for a in "hw"}
        c |= {"in_h": 2, "in_w": 3, "out_h": 2, "out_w": 3, "in_c": channels, "out_c": channels, "shift": shift}
        c |= {"pad_top": 0, "pad_left": 0, "in_zp": 0, "out_zp": zp, "lo": -128, "hi": 127}
        b = rng.choice([2**19 - 16_385, 2**19, -(2**19) + 16_385, 2**31 - 200_000, 0], channels).astype(np.int32)
        x, w = cases.int8(rng, 2, 3, channels), cases.weights(rng, 1, 1, channels)
        dwconv(lib, c, x, w, b, m)


def test_add(lib: ctypes.CDLL) -> None:
    """Also over its first or second operand, as the planner lets it."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        n, shift = int(rng.integers(1, 70)), int(rng.integers(0, 23))
        c: dict[str, Any] = {"n": n, "shift": shift, "c": int(rng.integers(-(1 << shift) * 128, (1 << shift) * 128))}
        top = 2**21 if rng.integers(2) else max(2, (1 << shift) // 2)
        c |= {k: int(rng.integers(-min(top, 2**21) + 1, min(top, 2**21))) for k in ("ma", "mb")} | cases.clamp(rng)
        a, b = cases.int8(rng, n), cases.int8(rng, n)
        want = oracle.add(c, a, b)
        for name in SETS:
            for over in (None, a, b):
                out = Guarded(n, over)
                arrays = [out.array if v is over else v for v in (a, b)]
                call(lib, f"tg_add_s8_{name}", "tg_add_s8", c, *arrays, out.array)
                assert np.array_equal(out.check(), want), (name, c)


def test_what_falls_back_says_why() -> None:
    window = {f"{k}_{a}": 1 for k in ("in", "out", "k", "stride", "dil") for a in "hw"} | {"pad_top": 0, "pad_left": 0}
    assert pack.dwconv_supported(window | {"in_w": 2, "stride_w": 3}) == "stride 3"
    assert pack.dwconv_supported(window | {"in_w": 2, "dil_w": 2}) == "dilation 2"
    assert pack.dwconv_supported(window | {"stride_h": 3}) == "stride 3"
    assert pack.dwconv_supported(window | {"in_w": 2, "dil_h": 2, "stride_h": 3}) is None
    wide, one = np.ones((1, 400), dtype=np.int8), np.zeros(1, dtype=np.int32)
    assert pack.dense_supported(wide, one) == "1 channels filled to a multiple of 4 cost 1200 bytes"
    assert pack.dense_supported(np.ones((4, 4), dtype=np.int8), np.full(4, 2**31 - 1, np.int32)) == "sums too large"
