"""Each kernel of the Helium set against NUMERICS in numpy: equal on random layers. With portable bodies on the host,
under sanitizers; the same calls with the real instructions on an emulated Cortex-M55 that traps unaligned access."""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import pytest

from tests.c import cases, oracle, test_ref
from tests.c.harness import INCLUDES, Guarded, build, call, equal, run, sources
from tests.c.record import Recorder
from tinygen.build.toolchain import target_include
from tinygen.kernels.mve import pack
from tinygen.numerics import choose_multipliers, fold_bias
from tinygen.targets.arch.arm_m.cores import ARM_M
from tinygen.targets.cores import get_core

SEEDS = range(300)
PLATFORM = ARM_M.platform
Require = Callable[[str], None]
#: newlib's own memcpy reads words at any address, which traps.
BYTEWISE = """
void *memcpy(void *to, const void *from, size_t n)
{
    for (volatile size_t i = 0; i < n; ++i) { ((char *)to)[i] = ((const char *)from)[i]; }
    return to;
}
"""


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], None]) -> ctypes.CDLL:
    require_tool("gcc")
    return build(tmp_path_factory.mktemp("kernels"))


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


def dwconv(lib: ctypes.CDLL, c: dict[str, Any], x: np.ndarray, w: np.ndarray, b: np.ndarray, m: np.ndarray) -> None:
    want = oracle.dwconv(c, x, w, b, m)
    folded = fold_bias(np.moveaxis(w, 2, 0), b, c["in_zp"])
    scratch = pack.dwconv_mve_scratch(c)
    equal(run(lib, "tg_dwconv_s8_mve", c, x, w, folded, m, scratch=scratch, size=want.size), want, c)


def test_dwconv(lib: ctypes.CDLL) -> None:
    """Strips of four, squares of two by two, one and more vectors: all of them come up."""
    ran = 0
    ways = set()
    for seed in SEEDS:
        c, arrays = cases.dwconv_case(np.random.default_rng(seed))
        if pack.dwconv_mve_supported(c) is None:
            dwconv(lib, c, *arrays)
            planes = pack.dwconv_mve_planes(c)
            ways.add((planes.strip, planes.vectors > 1))
            ran += 1
    assert ran > 0.6 * len(SEEDS)
    assert ways == {(4, False), (4, True), (2, False)}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(3, 3), (5, 25), (6, 6), (9, 8), (24, 10), (1, 30)])
def test_dwconv_3x3(lib: ctypes.CDLL, size: tuple[int, int], stride: int) -> None:
    """The shapes of real networks, padded as TensorFlow does."""
    rng = np.random.default_rng(size[0] * size[1] + stride)
    c: dict[str, Any] = {"in_c": 17, "out_c": 17}
    for n, axis, edge in zip(size, "hw", ("top", "left"), strict=True):
        c |= {
            f"in_{axis}": n,
            f"k_{axis}": 3,
            f"stride_{axis}": stride,
            f"dil_{axis}": 1,
            f"out_{axis}": -(-n // stride),
        }
        c[f"pad_{edge}"] = max(0, (-(-n // stride) - 1) * stride + 3 - n) // 2
    q, b, m = cases.layer(rng, 9, 17)
    q["shift"] = max(q["shift"], 32)
    dwconv(lib, c | q, cases.int8(rng, *size, 17), cases.weights(rng, 3, 3, 17), b, m)


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
        c |= {"m_step": int(rng.integers(2)), "even": 0}
        m = m if c["m_step"] else m[-1:]
        want = oracle.avgpool(c, x, m)
        equal(run(lib, "tg_avgpool_s8_mve", c, x, m, scratch=0, size=want.size), want, c)
        m, c["shift"] = choose_multipliers(1.0 / np.arange(1, taps + 1))
        m, c["even"] = (m, 1) if c["m_step"] else (m[-1:], taps)
        if pack.shift_supported(c["shift"]) is None:
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
        c["even"] = 0
        size = c["outer"] * c["inner"]
        if pack.shift_supported(shift) is None:
            equal(run(lib, "tg_reduce_sum_s8_mve", c, x, scratch=0, size=size), oracle.reduce_sum(c, x), c)
            ran += 1
        m, shift = choose_multipliers([1.0 / c["n"]])
        c |= {"m": int(m[0]), "shift": shift, "even": 1}
        if pack.shift_supported(shift) is None:
            equal(run(lib, "tg_reduce_sum_s8_mve", c, x, scratch=0, size=size), oracle.reduce_sum(c, x), c)
    assert ran > 0.7 * len(SEEDS)


@pytest.mark.parametrize("sign", [-127, 127])
@pytest.mark.parametrize("value", [-128, 127])
def test_largest_sums(lib: ctypes.CDLL, sign: int, value: int) -> None:
    """Weights, inputs and zero points all at their ends, over windows of every length near whole vectors."""
    for in_c in (1, 15, 16, 17, 31, 32, 33, 48, 49, 64, 80, 1000, 4096):
        window = {f"{k}_{a}": 1 for k in ("in", "out", "k", "stride", "dil") for a in "hw"}
        m, shift = choose_multipliers(np.full(5, 64.0 / (in_c * 127 * 128)))
        c = window | {"pad_top": 0, "pad_left": 0, "in_c": in_c, "out_c": 5, "groups": 1, "out_zp": 0}
        c |= {"in_zp": -128 if value > 0 else 127, "lo": -128, "hi": 127, "shift": shift}
        w = np.full((5, 1, 1, in_c), sign, dtype=np.int8)
        w[1::2] = -sign
        x, b = np.full((1, 1, in_c), value, dtype=np.int8), np.array([1, -1, 5, 1000, -1000], dtype=np.int32)
        conv(lib, c, x, w, b, m)
        d = {"rows": 1, "n_in": in_c, "n_out": 5, "out_zp": 0, "lo": -128, "hi": 127, "shift": shift}
        want = oracle.dense(d, x[0], w[:, 0, 0], b, m, c["in_zp"])
        packed = pack.pack_dense_mve(w[:, 0, 0], fold_bias(w, b, c["in_zp"]), m)
        equal(run(lib, "tg_dense_s8_mve", d, x, packed, scratch=0, size=5), want, d)


@pytest.mark.parametrize("shift", [32, 33, 40, 54, 62])
def test_requantisation_at_its_ends(lib: ctypes.CDLL, shift: int) -> None:
    """Accumulators and multipliers at the ends of int32, for each kernel that requantises in its own way."""
    rng = np.random.default_rng(shift)
    n = 64
    m = rng.integers(-(2**31) + 1, 2**31, n).astype(np.int32)
    m[:3] = [2**31 - 1, -(2**31) + 1, 0]
    for zp in (-128, 0, 127):
        ends = {"out_zp": zp, "lo": -128, "hi": 127, "shift": shift}
        b = rng.choice(np.array([2**31 - 200_000, -(2**31) + 200_000, 0, 999], dtype=np.int32), n)
        x, w = cases.int8(rng, 1, 4), cases.weights(rng, n, 4)
        d = {"rows": 1, "n_in": 4, "n_out": n, **ends}
        packed = pack.pack_dense_mve(w, b, m)
        equal(run(lib, "tg_dense_s8_mve", d, x, packed, scratch=0, size=n), oracle.dense(d, x, w, b, m, 0), d)
        one = {f"{k}_{a}": 1 for k in ("in", "out", "k", "stride", "dil") for a in "hw"} | {"pad_top": 0, "pad_left": 0}
        c = one | {"in_c": 4, "out_c": n, "groups": 1, "in_zp": 0, **ends}
        conv(lib, c, x.reshape(1, 1, 4), w.reshape(n, 1, 1, 4), b, m)
        del c["groups"]
        dwconv(lib, c | {"in_c": n}, cases.int8(rng, 1, 1, n), cases.weights(rng, 1, 1, n), b, m)


def test_what_falls_back_says_why() -> None:
    assert pack.conv_mve_supported(8, 31) == "shift 31 is outside 32..62"
    assert pack.conv_mve_supported(21845, 40) == "21845 channels, above 21844"
    f = {f"{k}_{a}": v for k, v in (("out", 40), ("k", 3), ("stride", 1), ("dil", 1)) for a in "hw"}
    f |= {"in_c": 8, "out_c": 8, "shift": 40}
    assert pack.dwconv_mve_supported(f) is None
    assert pack.dwconv_mve_supported(f | {"shift": 30}) == "shift 30 is outside 32..62"
    wide = pack.dwconv_mve_supported(f | {"out_h": 2000, "out_w": 2000})
    assert wide == "a plane of 12012 bytes, above 9362"
    far = pack.dwconv_mve_supported(f | {"dil_h": 20, "dil_w": 20})
    assert far == "the 9 taps of a window spread over 113 vectors"


#: QEMU's mps3-an547 has nothing behind these two memories: any access there faults.
ITCM_END, DTCM_END = 0x8_0000, 0x2008_0000
PLACE = """
#include <stdint.h>
static void *place(const void *from, uint32_t n, uint32_t end)
{
    volatile uint8_t *to = (volatile uint8_t *)(end - n);
    for (uint32_t i = 0; i < n; ++i) { to[i] = ((const uint8_t *)from)[i]; }
    return (void *)to;
}
"""


def at_the_edge(program: str) -> str:
    """The same calls with inputs that end where memory ends, and so the outputs, in another memory."""

    def moved(case: re.Match[str]) -> str:
        text = case.group(0)
        x, y = re.search(r"int8_t a0\[(\d+)\]", text), re.search(r"    TG_ALIGN\(4\) int8_t y\[(\d+)\];\n", text)
        if x is None or y is None or "a0," not in text or "before" in text:
            return text
        text = text.replace("(&cfg, a0,", f"(&cfg, place(a0, {x[1]}, {DTCM_END}U),")
        target = f"    static int8_t y0[{y[1]}];\n    int8_t *const y = place(y0, {y[1]}, {ITCM_END}U);\n"
        return text.replace(y[0], target).replace("sizeof y)", f"{y[1]})")

    return PLACE + re.sub(r"static int case_\d+_.*?\n}", moved, program, flags=re.S)


@pytest.fixture(scope="module")
def recorded(lib: ctypes.CDLL) -> Recorder:
    """Calls of every kernel that passed on the host."""
    recorder = Recorder(lib, 6000)
    any_lib: Any = recorder
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{__name__}.SEEDS", range(60))
        for make in (cases.conv_case, cases.pointwise_case):
            test_conv(any_lib, make)
        for test in (test_dwconv, test_dense, test_add, test_mul, test_lut, test_pools, test_reductions):
            test(any_lib)
        for size in ((3, 3), (6, 6), (9, 8)):
            test_dwconv_3x3(any_lib, size, 1)
            test_dwconv_3x3(any_lib, size, 2)
        for sign in (-127, 127):
            test_largest_sums(any_lib, sign, 127)
        for shift in (32, 54, 62):
            test_requantisation_at_its_ends(any_lib, shift)
    return recorder


@pytest.mark.parametrize("level", ["-O0", "-O2", "-Os"])
def test_emulated(level: str, recorded: Recorder, require_tool: Require, tmp_path: Path) -> None:
    emulate(recorded.program(), level, recorded, require_tool, tmp_path)


def test_nothing_is_touched_beyond_the_tensors(recorded: Recorder, require_tool: Require, tmp_path: Path) -> None:
    program = at_the_edge(recorded.program())
    assert program.count("place(") > len(recorded.cases)
    emulate(program, "-O2", recorded, require_tool, tmp_path)


def emulate(program: str, level: str, recorded: Recorder, require_tool: Require, tmp_path: Path) -> None:
    """Run a program of recorded calls on the Cortex-M55."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    kernels = [str(p) for p in sources() if p.stem.endswith("_mve")]
    status = on_m55(program, kernels, level, tmp_path)
    assert status == 0, recorded.cases[min(status, len(recorded.cases)) - 1][0]


def on_m55(program: str, kernels: list[str], level: str, tmp_path: Path) -> int:
    """The exit status of a program's text with these C files on the Cortex-M55, which traps unaligned access."""
    core = get_core("cortex-m55")
    assert core.machine is not None
    m, main, script, elf = core.machine, tmp_path / "main.c", tmp_path / "link.ld", tmp_path / "a.elf"
    main.write_text(program + BYTEWISE, encoding="utf-8")
    places = {
        "vectors_start": hex(m.vectors_start), "flash_start": hex(m.flash_start), "flash_size": m.flash_size,
        "ram_start": hex(m.ram_start), "ram_size": m.ram_size, "stack_size": 65536,
        "code_region": "RAM", "code_ram_start": hex(m.ram_start), "code_ram_size": 0,
    }  # fmt: skip
    script.write_text(Template((PLATFORM / "link.ld.in").read_text(encoding="utf-8")).substitute(places))
    flags = ["-std=c99", level, *core.cflags, "-DTG_TRAP_UNALIGNED", "-mno-unaligned-access", "-ffunction-sections"]
    link = ["-nostartfiles", "--specs=nano.specs", "--specs=nosys.specs", "-Wl,--gc-sections", "-T", str(script)]
    command = [
        "arm-none-eabi-gcc",
        *flags,
        *INCLUDES,
        f"-I{target_include()}",
        str(PLATFORM / "startup.c"),
        str(main),
        *kernels,
    ]
    subprocess.run([*command, *link, "-o", str(elf)], check=True)
    options = ["-nographic", "-monitor", "none", "-serial", "none", "-semihosting-config", "enable=on,target=native"]
    run_it = ["qemu-system-arm", "-M", m.name, *m.args, *options, "-kernel", str(elf)]
    return subprocess.run(run_it, timeout=120, check=False).returncode


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_sanitizers(compiler: str, recorded: Recorder, require_tool: Require, tmp_path: Path) -> None:
    """Every array has its exact size here: reading one byte too many is found."""
    require_tool(compiler)
    program, main = tmp_path / "a", tmp_path / "main.c"
    main.write_text(recorded.program(), encoding="utf-8")
    flags = ["-std=c99", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    kernels = [str(p) for p in sources() if p.stem.endswith("_mve")]
    subprocess.run([compiler, *flags, *INCLUDES, str(main), *kernels, "-o", str(program)], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
