"""Each kernel of the Helium set, with portable bodies, against NUMERICS in numpy: equal on random layers."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.c import cases, oracle, test_ref
from tests.c.harness import Guarded, build, call
from tinygen.numerics import choose_multipliers, fold_bias
from tinygen.plan.variants import pack_mve as pack

SEEDS = range(300)
Rng = np.random.Generator


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], None]) -> ctypes.CDLL:
    require_tool("gcc")
    return build(tmp_path_factory.mktemp("kernels"))


def run(
    lib: ctypes.CDLL, function: str, cfg: dict[str, Any], *arrays: np.ndarray, scratch: int, size: int
) -> np.ndarray:
    """With a guarded scratch area (none when 0)."""
    out, room = Guarded(size), Guarded(scratch)
    extra = (room.array,) if scratch else ()
    call(lib, function, function.removesuffix("_mve"), cfg, *arrays, *extra, out.array)
    room.check()
    return out.check()


def equal(got: np.ndarray, want: np.ndarray, cfg: dict[str, Any]) -> None:
    flat = want.reshape(-1)
    wrong = np.flatnonzero(got != flat)
    assert wrong.size == 0, f"{cfg}: {wrong.size} differ, first [{wrong[0]}]: {got[wrong[0]]} != {flat[wrong[0]]}"


def conv(lib: ctypes.CDLL, c: dict[str, Any], x: np.ndarray, w: np.ndarray, b: np.ndarray, m: np.ndarray) -> None:
    want = oracle.conv(c, x, w, b, m)
    packed = pack.pack_conv_mve(w, fold_bias(w, b, c["in_zp"]), m, c["groups"])
    equal(run(lib, "tg_conv_s8_mve", c, x, packed, scratch=pack.conv_mve_scratch(c), size=want.size), want, c)


@pytest.mark.parametrize("make", [cases.conv_case, cases.pointwise_case])
def test_conv(lib: ctypes.CDLL, make: Callable[..., Any]) -> None:
    ran = 0
    for seed in SEEDS:
        c, arrays = make(np.random.default_rng(seed))
        if pack.conv_mve_supported(c["out_c"], c["shift"]) is None:
            conv(lib, c, *arrays)
            ran += 1
    assert ran > 0.8 * len(SEEDS)


def test_dwconv(lib: ctypes.CDLL) -> None:
    ran = 0
    for seed in SEEDS:
        c, (x, w, b, m) = cases.dwconv_case(np.random.default_rng(seed))
        if pack.dwconv_mve_supported(c) is None:
            want = oracle.dwconv(c, x, w, b, m)
            multiplier = c["out_c"] // c["in_c"]
            folded = fold_bias(np.moveaxis(w, 2, 0), b, c["in_zp"])
            assert folded.size == c["in_c"] * multiplier
            scratch = pack.dwconv_mve_scratch(c)
            equal(run(lib, "tg_dwconv_s8_mve", c, x, w, folded, m, scratch=scratch, size=want.size), want, c)
            ran += 1
    assert ran > 0.6 * len(SEEDS)


def test_dense(lib: ctypes.CDLL) -> None:
    ran = 0
    for seed in SEEDS:
        c, in_zp, (x, w, b, m) = cases.dense_case(np.random.default_rng(seed))
        if pack.shift_supported(c["shift"]) is None:
            want = oracle.dense(c, x, w, b, m, in_zp)
            packed = pack.pack_dense_mve(w, fold_bias(w, b, in_zp), m)
            equal(run(lib, "tg_dense_s8_mve", c, x, packed, scratch=0, size=want.size), want, c)
            ran += 1
    assert ran > 0.8 * len(SEEDS)


def test_add(lib: ctypes.CDLL) -> None:
    elementwise(lib, "add", test_ref.add_fields, oracle.add, len(SEEDS))


def test_mul(lib: ctypes.CDLL) -> None:
    elementwise(lib, "mul", test_ref.mul_fields, oracle.mul, len(SEEDS) // 2)


def elementwise(
    lib: ctypes.CDLL, kernel: str, make: Callable[..., Any], meaning: Callable[..., Any], at_least: int
) -> None:
    """Also over one of the operands."""
    ran = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 70))
        c = {"n": n, **make(rng)}
        if kernel == "mul" and pack.shift_supported(c["shift"]) is not None:
            continue
        a, b = cases.int8(rng, n), cases.int8(rng, n)
        want = meaning(c, a, b)
        equal(run(lib, f"tg_{kernel}_s8_mve", c, a, b, scratch=0, size=n), want, c)
        for in_place in (0, 1):
            out = Guarded(n, fill=(a, b)[in_place])
            pair = (out.array, b) if in_place == 0 else (a, out.array)
            call(lib, f"tg_{kernel}_s8_mve", f"tg_{kernel}_s8", c, *pair, out.array)
            equal(out.check(), want, c)
        ran += 1
    assert ran >= at_least


def test_lut(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        x, table = cases.int8(rng, int(rng.integers(1, 300))), cases.int8(rng, 256)
        want = oracle.lut(x, table)
        equal(run(lib, "tg_lut_s8_mve", {"n": x.size}, x, table, scratch=0, size=x.size), want, {})
        out = Guarded(x.size, fill=x)
        call(lib, "tg_lut_s8_mve", "tg_lut_s8", {"n": x.size}, out.array, table, out.array)
        equal(out.check(), want, {"in place": 1})


def test_pools(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        c: dict[str, Any] = {**cases.window(rng), "channels": int(rng.integers(1, 40))}
        x = cases.int8(rng, c["in_h"], c["in_w"], c["channels"])
        want = oracle.maxpool(c, x)
        equal(run(lib, "tg_maxpool_s8_mve", c, x, scratch=0, size=want.size), want, c)
        taps = c["k_h"] * c["k_w"]
        m, shift = choose_multipliers(float(rng.uniform(0.2, 0.45)) / np.arange(1, taps + 1))
        assert pack.shift_supported(shift) is None
        c |= {"in_zp": cases.zero_point(rng), "out_zp": cases.zero_point(rng), "shift": shift}
        c["m_step"] = int(rng.integers(2))
        m = m if c["m_step"] else m[-1:]
        want = oracle.avgpool(c, x, m)
        equal(run(lib, "tg_avgpool_s8_mve", c, x, m, scratch=0, size=want.size), want, c)


def test_reductions(lib: ctypes.CDLL) -> None:
    ran = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        c: dict[str, Any] = {"outer": int(rng.integers(1, 6)), "n": int(rng.integers(1, 40))}
        c["inner"] = int(rng.choice([1, int(rng.integers(1, 24))]))
        x = cases.int8(rng, c["outer"], c["n"], c["inner"])
        m, shift = cases.multipliers(rng, 1, 100.0)
        c |= {"in_zp": cases.zero_point(rng), "out_zp": cases.zero_point(rng), "m": int(m[0]), "shift": shift}
        if pack.shift_supported(shift) is None:
            size = c["outer"] * c["inner"]
            equal(run(lib, "tg_reduce_sum_s8_mve", c, x, scratch=0, size=size), oracle.reduce_sum(c, x), c)
            ran += 1
    assert ran > 0.7 * len(SEEDS)
