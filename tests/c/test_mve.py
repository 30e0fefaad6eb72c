"""Each kernel of the Helium set, with portable bodies, against NUMERICS in numpy: equal on random layers."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.c import cases, oracle
from tests.c.harness import Guarded, build, call
from tinygen.numerics import fold_bias
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
