"""Each kernel of the DSP set, with portable instruction bodies, against NUMERICS in numpy: equal on random layers."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.c import cases, oracle, test_dsp_dense
from tests.c.harness import Guarded, build, call, equal, run
from tinygen.kernels.attention.variants import attention_s16_scratch, attention_scratch, attention_supported
from tinygen.kernels.conv import pack
from tinygen.kernels.elementwise.variants import softmax_supported
from tinygen.numerics import choose_multipliers, fold_bias
from tinygen.ops.softmax import exp_rule

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


@pytest.mark.parametrize("bits", [8, 16])
def test_norm(lib: ctypes.CDLL, bits: int) -> None:
    """Rows that are sets, more than are done together, and sets of rows; in place as well."""
    kernel, dtype, top = f"tg_norm_s{bits}_dsp", np.int8 if bits == 8 else np.int16, 1 << (bits - 1)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        several = int(rng.integers(2))
        c: dict[str, Any] = {
            "outer": int(rng.integers(1, 4)) if several else int(rng.choice([1, 2, 17, 33])),
            "reps": int(rng.integers(1, 4)) if several else 1,
            "groups": int(rng.integers(1, 4)) if several else 1,
            "width": int(rng.integers(1, 40)),
        }
        n, spread = c["reps"] * c["width"], int(rng.choice([1, 3, top]))
        x = np.clip(rng.integers(-spread, spread + 1, tuple(c.values())), -top, top - 1).astype(dtype)
        x = rng.choice(np.array([-top, top - 1], dtype), x.shape) if rng.integers(5) == 0 else x
        add = int(rng.choice([1, n * n, 2**40, 2**62 - 1]))
        c |= {"w_step": 1, "centre": int(rng.integers(2)), "floor": int(rng.integers(2)), "lo": -top, "hi": top - 1}
        c |= {"add_high": add >> 32, "add_low": add % 2**32, "shift": int(rng.choice([8, 8, rng.integers(1, 8)]))}
        c |= {"down": (max(n - 1, 0).bit_length() + 1) // 2 + 1}
        c |= {"in_zp": 0 if c["centre"] else cases.zero_point(rng)} if bits == 8 else {}
        wide = rng.integers(-(2**31), 2**31, (c["groups"], c["width"], 2)) >> int(rng.choice([1, 4, 12]))
        w = wide.astype(np.int32)
        w[..., 0] >>= 1
        want = oracle.norm(c, x, w).astype(dtype)
        got = run(lib, kernel, c, x, w, size=want.nbytes)
        equal(got.view(dtype), want, c)
        out = Guarded(want.nbytes, fill=x.view(np.int8))
        call(lib, kernel, f"tg_norm_s{bits}", c, out.array, w, out.array)
        equal(out.check().view(dtype), want, c)


def test_softmax(lib: ctypes.CDLL) -> None:
    """Equal values make sums of every kind: powers of two, even, odd; one that is alone makes the least."""
    ran = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        rows, n = int(rng.integers(1, 5)), int(rng.choice([1, 2, 3, 4, 5, 7, 8, 10, 19, 64, 257, 4096]))
        spread = int(rng.choice([0, 1, 300, 2**15]))
        x = np.clip(rng.integers(-spread, spread + 1, (rows, n)), -(2**15), 2**15 - 1).astype(np.int16)
        x[0, rng.integers(n)] = 2**15 - 1
        scale = 2.0 ** rng.uniform(-18, -7)
        c: dict[str, Any] = {"rows": rows, "n": n, "wide": 1}
        c |= dict(zip(("exp_m", "exp_shift", "len"), exp_rule(scale), strict=True))
        if softmax_supported(c) is not None:
            continue
        ran += 1
        want = oracle.softmax16(c, x)
        equal(run(lib, "tg_softmax_s16_dsp", c, x, size=want.nbytes).view(np.int16), want, c)
        out = Guarded(want.nbytes, fill=x.view(np.int8))
        call(lib, "tg_softmax_s16_dsp", "tg_softmax_s16", c, out.array, out.array)
        equal(out.check().view(np.int16), want, c)
    assert ran > len(SEEDS) // 2


@pytest.mark.parametrize("bits", [8, 16])
def test_attention(lib: ctypes.CDLL, bits: int) -> None:
    ran = 0
    for seed in SEEDS[:40]:
        rng = np.random.default_rng(seed)
        each = int(rng.integers(1, 3))
        d, keys = ((11, 12), (80, 6), (6, 80))[seed % 3]  # few words of a row, or more than a round has
        sizes = {"batch": rng.integers(1, 3), "queries": rng.integers(1, 6), "keys": rng.integers(1, keys)}
        sizes |= {"heads": 2 * each, "each": each, "d": rng.integers(1, d), "dv": rng.integers(1, 8)}
        sizes = {name: int(v) for name, v in sizes.items()}
        c, arrays = cases.attention_case(rng, bits, sizes)
        if bits == 8 and attention_supported(c) is not None:
            continue
        ran += 1
        bias = arrays[4] if rng.integers(2) else np.zeros((1, 1, 1), np.int16)
        c |= {} if bias is arrays[4] else dict.fromkeys(("bias_head", "bias_row", "bias_key"), 0)
        full = np.broadcast_to(bias, (sizes["heads"], sizes["queries"], sizes["keys"]))
        low, high = (-128, 127) if bits == 8 or not c["wide"] else (-32768, 32767)
        want = oracle.attention(c, *arrays[:4], full, low, high).astype(np.int8 if high == 127 else np.int16)
        scratch = attention_s16_scratch(sizes["keys"], sizes["dv"])
        scratch = attention_scratch(sizes["keys"], sizes["d"], sizes["dv"]) if bits == 8 else scratch
        got = run(lib, f"tg_attention_s{bits}_dsp", c, *arrays[:4], bias, scratch=scratch, size=want.nbytes)
        equal(got.view(want.dtype), want, c)
    assert ran > len(SEEDS[:40]) // 4


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
