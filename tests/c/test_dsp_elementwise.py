"""Element-wise operators and pooling of the DSP set against NUMERICS in numpy, and in assembly on emulated cores."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.c import cases, emulated, oracle, test_ref
from tests.c.harness import Guarded, build, call
from tests.c.record import Recorder
from tinygen.kernels.elementwise.variants import ELEMENTWISE, means_supported
from tinygen.numerics import choose_multipliers
from tinygen.ops.base import Call

SEEDS = range(300)
Require = Callable[[str], None]
Library = ctypes.CDLL | Recorder


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory, require_tool: Require) -> ctypes.CDLL:
    require_tool("gcc")
    return build(tmp_path_factory.mktemp("kernels"))


def equal(lib: Library, kernel: str, c: dict[str, Any], arrays: list[np.ndarray], want: np.ndarray) -> None:
    """A call of the DSP kernel gives `want`."""
    flat = want.reshape(-1)
    out = Guarded(flat.size)
    call(lib, f"{kernel}_dsp", kernel, c, *arrays, out.array)
    wrong = np.flatnonzero(out.check() != flat)
    assert wrong.size == 0, f"{c}: {wrong.size} differ, first [{wrong[0]}]: {out.array[wrong[0]]} != {flat[wrong[0]]}"


def in_place(lib: Library, kernel: str, c: dict[str, Any], arrays: list[np.ndarray], which: int, want: Any) -> None:
    """The same with the output over one of the inputs."""
    out = Guarded(want.size, fill=arrays[which])
    args = [out.array if i == which else a for i, a in enumerate(arrays)]
    call(lib, f"{kernel}_dsp", kernel, c, *args, out.array)
    assert np.array_equal(out.check(), want), c


def unaligned(rng: np.random.Generator, n: int) -> np.ndarray:
    """n values that begin anywhere in a word."""
    skip = int(rng.integers(4))
    return cases.int8(rng, n + skip)[skip:]


def sum_sweep(lib: Library, kernel: str, seeds: range) -> int:
    make, meaning = {"tg_add_s8": (add_fields, oracle.add), "tg_mul_s8": (test_ref.mul_fields, oracle.mul)}[kernel]
    ran = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 70))
        c = {"n": n, **make(rng)}
        if kernel == "tg_mul_s8" and not 33 <= c["shift"] <= 54:
            continue
        arrays = [unaligned(rng, n), unaligned(rng, n)]
        want = meaning(c, *arrays)
        equal(lib, kernel, c, arrays, want)
        for which in (0, 1):
            in_place(lib, kernel, c, arrays, which, want)
        ran += 1
    return ran


def add_fields(rng: np.random.Generator) -> dict[str, Any]:
    """Every third: the largest factors that NUMERICS section 2 allows, with the smallest and the largest shift."""
    c = test_ref.add_fields(rng)
    if rng.integers(3) == 0:
        ends = [1 - 2**21, 2**21 - 1]
        ma, mb, shift = (int(v) for v in (rng.choice(ends), rng.choice(ends), rng.choice([0, 22])))
        zp, a_zp, b_zp = (cases.zero_point(rng) for _ in range(3))
        rounding = 1 << (shift - 1) if shift else 0
        c |= {"ma": ma, "mb": mb, "shift": shift, "c": zp * 2**shift + rounding - a_zp * ma - b_zp * mb}
    return c


@pytest.mark.parametrize("kernel", ["tg_add_s8", "tg_mul_s8"])
def test_two_operands(lib: ctypes.CDLL, kernel: str) -> None:
    assert sum_sweep(lib, kernel, SEEDS) > len(SEEDS) // 2


def lut_sweep(lib: Library, seeds: range) -> None:
    for seed in seeds:
        rng = np.random.default_rng(seed)
        x, table = unaligned(rng, int(rng.integers(1, 300))), cases.int8(rng, 256)
        want = oracle.lut(x, table)
        equal(lib, "tg_lut_s8", {"n": x.size}, [x, table], want)
        in_place(lib, "tg_lut_s8", {"n": x.size}, [x, table], 0, want)


def test_lut(lib: ctypes.CDLL) -> None:
    lut_sweep(lib, SEEDS)


def pool_sweep(lib: Library, seeds: range) -> None:
    for seed in seeds:
        rng = np.random.default_rng(seed)
        c: dict[str, Any] = {**cases.window(rng), "channels": int(rng.integers(4, 30))}
        x = unaligned(rng, c["in_h"] * c["in_w"] * c["channels"]).reshape(c["in_h"], c["in_w"], c["channels"])
        equal(lib, "tg_maxpool_s8", c, [x], oracle.maxpool(c, x))
        taps = c["k_h"] * c["k_w"]
        m, shift = choose_multipliers(float(rng.uniform(0.2, 1.5)) / np.arange(1, taps + 1))
        c |= {"in_zp": cases.zero_point(rng), "out_zp": cases.zero_point(rng), "shift": shift}
        c["m_step"] = int(rng.integers(2))
        m = m if c["m_step"] else m[-1:]
        c["even"] = 0
        if means_supported(taps, c["channels"], shift) is None:
            equal(lib, "tg_avgpool_s8", c, [x, m], oracle.avgpool(c, x, m))
        m, c["shift"] = choose_multipliers(1.0 / np.arange(1, taps + 1))
        m, c["even"] = (m, 1) if c["m_step"] else (m[-1:], taps)
        if means_supported(taps, c["channels"], c["shift"]) is None:
            equal(lib, "tg_avgpool_s8", c, [x, m], oracle.avgpool(c, x, m))


def test_pools(lib: ctypes.CDLL) -> None:
    pool_sweep(lib, SEEDS)


@pytest.mark.parametrize("taps", [(16, 16), (17, 16), (1, 256), (1, 257), (3, 171), (40, 40)])
@pytest.mark.parametrize("value", [-128, 127])
def test_halves_do_not_overflow(lib: ctypes.CDLL, taps: tuple[int, int], value: int) -> None:
    """Windows of extremes around 256 values, which is what a half holds; of the whole image and of part of a row."""
    halves(lib, taps, value)


def halves(lib: Library, taps: tuple[int, int], value: int) -> None:
    h, w = taps
    for extra in (0, 1):
        c: dict[str, Any] = {"in_h": h, "in_w": w + extra, "channels": 9, "out_h": 1, "out_w": 1 + extra}
        c |= {"k_h": h, "k_w": w, "stride_h": 1, "stride_w": 1, "dil_h": 1, "dil_w": 1, "pad_top": 0, "pad_left": 0}
        m, shift = choose_multipliers(np.array([1.0 / (h * w)]))
        c |= {"in_zp": 3, "out_zp": -1, "shift": shift, "m_step": 0, "even": extra * h * w}
        x = np.full((h, w + extra, 9), value, np.int8)
        equal(lib, "tg_avgpool_s8", c, [x, m], oracle.avgpool(c, x, m))
    n = h * w
    r = {"outer": 2, "n": n, "inner": 11, "in_zp": -3, "out_zp": 1, "m": int(m[0]), "shift": shift, "even": 0}
    x = np.full((2, n, 11), value, np.int8)
    equal(lib, "tg_reduce_sum_s8", r, [x], oracle.reduce_sum(r, x))


def reduction_sweep(lib: Library, seeds: range) -> int:
    ran = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        c: dict[str, Any] = {"outer": int(rng.integers(1, 4)), "n": int(rng.integers(1, 20))}
        c["inner"] = int(rng.integers(8, 40)) if seed % 3 else 2 + seed % 7
        m, shift = cases.multipliers(rng, 1, 100.0)
        c |= {"in_zp": cases.zero_point(rng), "out_zp": cases.zero_point(rng), "m": int(m[0]), "shift": shift}
        x = unaligned(rng, c["outer"] * c["n"] * c["inner"]).reshape(c["outer"], c["n"], c["inner"])
        c["even"] = 0
        if means_supported(c["n"], c["inner"], shift) is None:
            equal(lib, "tg_reduce_sum_s8", c, [x], oracle.reduce_sum(c, x))
            ran += 1
        m, shift = choose_multipliers([1.0 / c["n"]])
        c |= {"m": int(m[0]), "shift": shift, "even": 1}
        if means_supported(c["n"], c["inner"], shift) is None:
            equal(lib, "tg_reduce_sum_s8", c, [x], oracle.reduce_sum(c, x))
    return ran


def test_reductions(lib: ctypes.CDLL) -> None:
    assert reduction_sweep(lib, SEEDS) > len(SEEDS) // 2


def test_small_shifts(lib: ctypes.CDLL) -> None:
    """A sum without a divisor may have any shift: its sums are scaled up, as far as int32 goes."""
    rng = np.random.default_rng(0)
    c: dict[str, Any] = {"outer": 1, "n": 4, "inner": 16, "in_zp": 5, "out_zp": -7, "even": 0}
    x = cases.int8(rng, 1, 4, 16)
    for shift in range(12, 34):
        assert means_supported(4, 16, shift) is None
        c |= {"shift": shift, "m": 768 * int(rng.integers(-(2**20), 2**20))}
        equal(lib, "tg_reduce_sum_s8", c, [x], oracle.reduce_sum(c, x))


def test_what_falls_back_says_why() -> None:
    assert means_supported(4, 1, 40) == "a single column"
    assert means_supported(4, 8, 55) == "shift 55 is above 54"
    assert means_supported(4, 8, 11) == "sums of 4 values leave no room for shift 11"
    assert means_supported(2**22, 8, 32) is None

    def why(kernel: str, **fields: int) -> Call | str:
        return ELEMENTWISE[kernel][0](Call(kernel, tuple(fields.items()), (), (), "y"))

    assert why("tg_mul_s8", shift=32) == "shift 32 is outside 33..54"
    assert why("tg_maxpool_s8", channels=3) == "3 channels, fewer than 4"
    assert why("tg_avgpool_s8", k_h=2, k_w=2, channels=1, shift=40) == "a single column"
    assert why("tg_reduce_sum_s8", n=4, inner=1, shift=40) == "a single column"


@pytest.fixture(scope="module")
def recorder(lib: ctypes.CDLL) -> Recorder:
    found = Recorder(lib, 4000)
    for kernel in ("tg_add_s8", "tg_mul_s8"):
        sum_sweep(found, kernel, range(1000, 1012))
    lut_sweep(found, range(1000, 1006))
    pool_sweep(found, range(1000, 1016))
    reduction_sweep(found, range(1000, 1010))
    for value in (-128, 127):
        halves(found, (17, 16), value)
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
