"""Each kernel of the DSP set, with portable instruction bodies, against NUMERICS in numpy: equal on random layers."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.c import cases, oracle, test_dsp_dense
from tests.c.harness import build, equal, run
from tinygen.numerics import choose_multipliers, fold_bias
from tinygen.plan.variants import pack_dsp as pack
from tinygen.plan.variants.attention import attention_scratch

SEEDS = range(200)


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], None]) -> ctypes.CDLL:
    require_tool("gcc")
    return build(tmp_path_factory.mktemp("kernels"))


def conv(lib: ctypes.CDLL, c: dict[str, Any], x: np.ndarray, w: np.ndarray, b: np.ndarray, m: np.ndarray) -> None:
    want = oracle.conv(c, x, w, b, m)
    packed = pack.pack_conv_dsp(w, fold_bias(w, b, c["in_zp"]), m, c["dil_w"])
    scratch = pack.conv_dsp_scratch(c["k_h"], c["k_w"], c["in_c"], c["dil_w"])
    equal(run(lib, "tg_conv_s8_dsp", c, x, *packed, scratch=scratch, size=want.size), want, c)


def conv_sweep(lib: ctypes.CDLL, make: Callable[..., Any], at_least: int) -> None:
    ran = 0
    for seed in SEEDS:
        c, (x, w, b, m) = make(np.random.default_rng(seed))
        if pack.conv_dsp_supported(w, c["groups"], c["shift"]) is None:
            conv(lib, c, x, w, b, m)
            ran += 1
    assert ran >= at_least


def one_group(rng: np.random.Generator) -> Any:
    return cases.conv_case(rng, groups=1)


@pytest.mark.parametrize("make", [one_group, cases.pointwise_case])
def test_conv(lib: ctypes.CDLL, make: Callable[..., Any]) -> None:
    conv_sweep(lib, make, len(SEEDS) // 2)


def test_norm(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        c: dict[str, Any] = {
            "outer": int(rng.integers(1, 4)),
            "reps": 1,
            "groups": 1,
            "width": int(rng.integers(1, 40)),
        }
        n, spread = c["width"], int(rng.choice([1, 3, 128]))
        x = np.clip(rng.integers(-spread, spread + 1, (c["outer"], 1, 1, n)), -128, 127).astype(np.int8)
        add = int(rng.choice([1, n * n, 2**62 - 1]))
        c |= {"w_step": 1, "centre": int(rng.integers(2)), "floor": int(rng.integers(2)), "lo": -128, "hi": 127}
        c |= {"add_high": add >> 32, "add_low": add % 2**32, "shift": int(rng.integers(1, 9))}
        c |= {"down": (max(n - 1, 0).bit_length() + 1) // 2 + 1}
        c["in_zp"] = 0 if c["centre"] else cases.zero_point(rng)
        w = (rng.integers(-(2**31), 2**31, (1, n, 2)) >> int(rng.choice([1, 4, 12]))).astype(np.int32)
        w[..., 0] >>= 1
        want = oracle.norm(c, x, w).astype(np.int8)
        equal(run(lib, "tg_norm_s8_dsp", c, x, w, size=want.size), want, c)


def test_attention(lib: ctypes.CDLL) -> None:
    for seed in SEEDS[:40]:
        rng = np.random.default_rng(seed)
        each = int(rng.integers(1, 3))
        sizes = {"batch": int(rng.integers(1, 3)), "queries": int(rng.integers(1, 6)), "keys": int(rng.integers(1, 12))}
        sizes |= {"heads": 2 * each, "each": each, "d": int(rng.integers(1, 11)), "dv": int(rng.integers(1, 8))}
        c, arrays = cases.attention_case(rng, 8, sizes)
        if c["shift"] < 33:
            continue
        bias = arrays[4] if rng.integers(2) else np.zeros((1, 1, 1), np.int16)
        c |= {} if bias is arrays[4] else dict.fromkeys(("bias_head", "bias_row", "bias_key"), 0)
        full = np.broadcast_to(bias, (sizes["heads"], sizes["queries"], sizes["keys"]))
        want = oracle.attention(c, *arrays[:4], full, -128, 127).astype(np.int8)
        scratch = attention_scratch(sizes["keys"], sizes["d"], sizes["dv"])
        got = run(lib, "tg_attention_s8_dsp", c, *arrays[:4], bias, scratch=scratch, size=want.size)
        equal(got, want, c)


def test_dense(lib: ctypes.CDLL) -> None:
    assert test_dsp_dense.sweep(lib, SEEDS) > len(SEEDS) // 2


def dwconv_sweep(lib: ctypes.CDLL, square: bool, at_least: int) -> None:
    ran = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        c, (x, w, b, m) = cases.dwconv_case(rng, multiplier=1)
        if square and (c["k_h"], c["k_w"]) != (3, 3):
            continue
        if pack.dwconv_dsp_supported(c["in_c"], c["out_c"], c["shift"]) is None:
            want = oracle.dwconv(c, x, w, b, m)
            words = pack.pack_dwconv_dsp(w)
            folded = fold_bias(np.moveaxis(w, 2, 0), b, c["in_zp"])
            scratch = pack.dwconv_dsp_scratch(c["k_h"], c["k_w"], c["in_c"])
            got = run(lib, "tg_dwconv_s8_dsp", c, x, words, folded, m, scratch=scratch, size=want.size)
            equal(got, want, c)
            ran += 1
    assert ran >= at_least


def test_dwconv(lib: ctypes.CDLL) -> None:
    dwconv_sweep(lib, square=False, at_least=len(SEEDS) // 3)


def test_dwconv_3x3(lib: ctypes.CDLL) -> None:
    dwconv_sweep(lib, square=True, at_least=5)


@pytest.mark.parametrize("sign", [-127, 127])
@pytest.mark.parametrize("value", [-128, 127])
def test_raw_pairs_at_their_limit(lib: ctypes.CDLL, sign: int, value: int) -> None:
    """The longest sum of the largest weights: 516 taps; one more is refused."""
    in_c = 516
    window = {f"{k}_{a}": 1 for k in ("in", "out", "k", "stride", "dil") for a in "hw"} | {"pad_top": 0, "pad_left": 0}
    m, shift = choose_multipliers(np.full(8, 64.0 / (in_c * 127 * 128)))
    c = window | {"in_c": in_c, "out_c": 8, "groups": 1, "in_zp": -128 if value > 0 else 127, "out_zp": 0}
    c |= {"lo": -128, "hi": 127, "shift": shift}
    w = np.full((8, 1, 1, in_c), sign, dtype=np.int8)
    w[1::2] = -sign
    assert pack.conv_dsp_supported(w, 1, shift) is None
    assert "65535" in str(pack.conv_dsp_supported(np.full((8, 1, 1, in_c + 1), sign, dtype=np.int8), 1, shift))
    x, b = np.full((1, 1, in_c), value, dtype=np.int8), np.array([1, -1, 5, 7, 0, 0, 1000, -1000], dtype=np.int32)
    conv(lib, c, x, w, b, m)


def test_what_falls_back_says_why() -> None:
    w = np.ones((4, 3, 3, 2), dtype=np.int8)
    assert pack.conv_dsp_supported(w, 2, 40) == "2 groups"
    assert pack.conv_dsp_supported(w, 1, 32) == "shift 32 is outside 33..54"
    assert pack.dwconv_dsp_supported(4, 8, 40) == "2 output channels for each input channel"
    assert pack.dwconv_dsp_supported(3, 3, 40) == "fewer than 4 channels"
    assert pack.dwconv_dsp_supported(4, 4, 31) == "shift 31 is outside 33..54"
