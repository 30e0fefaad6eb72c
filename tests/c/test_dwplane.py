"""The depthwise kernels on planes: on the host under sanitizers, and in assembly on emulated cores with interrupts."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.c import cases, oracle
from tests.c.harness import INCLUDES, KERNELS, WARNINGS
from tinygen.emit.env import render
from tinygen.kernels.kernel import Kernel
from tinygen.kernels.plane import pack
from tinygen.kernels.plane.kernel import plane_kernel, taps_kernel
from tinygen.numerics import choose_multipliers, fold_bias
from tinygen.ops.base import Planes

TARGET = Path(__file__).resolve().parent / "target"
Require = Callable[[str], None]

GUARD = 16
#: Bytes behind the planes that are readable.
SLACK = 3


def quantisation(rng: np.random.Generator, w_hwc: np.ndarray) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """(fields, bias, multipliers) of a layer that the kernels take, now and then at the ends of what they take."""
    channels, taps = w_hwc.shape[2], w_hwc.shape[0] * w_hwc.shape[1]
    spread = 3000.0 * np.sqrt(taps)
    top = 2.0 ** -float(rng.choice([4, 5, 6, 7, 8, 9])) if rng.integers(3) == 0 else 64.0 / spread
    m, shift = choose_multipliers(top * rng.choice([-1.0, 1.0, 1.0, 1.0], channels) * rng.uniform(0.01, 1.0, channels))
    q = {"in_zp": cases.zero_point(rng), "out_zp": cases.zero_point(rng), "shift": shift, **cases.clamp(rng)}
    return q, cases.bias(rng, channels), m


def window3x3(rng: np.random.Generator, stride: int) -> pack.Geometry:
    """Any size and any padding, often as small as it can be."""
    while True:
        in_h, in_w = (int(v) for v in rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 20], 2))
        top, left, bottom, right = (int(v) for v in rng.integers(0, 2, 4))
        out_h, out_w = (in_h + top + bottom - 3) // stride + 1, (in_w + left + right - 3) // stride + 1
        if out_h > 0 and out_w > 0:
            return pack.Geometry(in_h, in_w, out_h, out_w, 3, 3, stride, stride, top, left)


def oracle_fields(s: pack.Geometry) -> dict[str, Any]:
    return {name: getattr(s, name) for name in s.__dataclass_fields__}


def planes_of(s: pack.Geometry, x_hwc: np.ndarray, in_zp: int, planes: Planes) -> np.ndarray:
    """The buffer a kernel reads; the bytes behind it, and those between planes that hold nothing, are arbitrary."""
    data = np.full(planes.size, in_zp, dtype=np.int8)
    data[-SLACK:] = 99
    for c in range(planes.channels):
        for r in range(s.in_h):
            start = planes.lead + c * planes.plane + r * planes.stride
            data[start : start + s.in_w] = x_hwc[r, :, c]
    return data


def layouts(rng: np.random.Generator, s: pack.Geometry, channels: int) -> tuple[Planes, tuple[int, int, int], int]:
    """(input, output strides, bytes of the output): the tight ones, or with room in between."""
    planes = pack.planes_for(s, channels)
    if rng.integers(3) == 0:
        planes = replace(planes, stride=planes.stride + int(rng.integers(0, 4)))
    order = rng.integers(3)
    if order == 0:
        strides = (s.out_w * channels, channels, 1)  # NHWC
    elif order == 1:
        strides = (channels, s.out_h * channels, 1)  # NHWC, rows and columns exchanged
    else:
        strides = (s.out_w + 1, 1, (s.out_w + 1) * s.out_h)  # planes
    ends = ((s.out_h - 1) * strides[0], (s.out_w - 1) * strides[1], (channels - 1) * strides[2])
    return planes, strides, sum(ends) + 1


def scattered(want_hwc: np.ndarray, strides: tuple[int, int, int], size: int) -> np.ndarray:
    """The output buffer: what the kernel must write where, 77 where it must not write."""
    y = np.full(size + 2 * GUARD, 77, dtype=np.int8)
    rows, cols, channels = (np.arange(n) * t for n, t in zip(want_hwc.shape, strides, strict=True))
    y[GUARD + rows[:, None, None] + cols[None, :, None] + channels[None, None, :]] = want_hwc
    return y


@dataclass(frozen=True)
class Case:
    """A call: C function that runs it and compares every byte around the output; the kernel, where it is generated."""

    name: str
    body: str
    view: Kernel | None = None


def case3x3(seed: int) -> Case:
    """One random layer, through the kernel for any shape or the one made for it."""
    rng = np.random.default_rng(seed)
    stride = 1 + seed % 2
    while True:
        s, channels = window3x3(rng, stride), int(rng.choice([1, 2, 3, 5, 8]))
        w = cases.weights(rng, 3, 3, channels)
        q, b, m = quantisation(rng, w)
        folded = fold_bias(np.moveaxis(w, 2, 0), b, q["in_zp"])
        if pack.dwplane3x3_supported(w, folded, m, s, q["out_zp"], q["shift"]) is None:
            break
    x = cases.int8(rng, s.in_h, s.in_w, channels)
    want = oracle.dwconv({**oracle_fields(s), "in_c": channels, "out_c": channels, **q}, x, w, b, m)
    planes, strides, size = layouts(rng, s, channels)
    config = pack.dwplane_config(s, planes, *strides, q["lo"], q["hi"])
    words = pack.pack_dwplane3x3(w, folded, m, s, q["in_zp"], q["out_zp"], q["shift"])
    data, y = planes_of(s, x, q["in_zp"], planes), scattered(want, strides, size)
    view, kernel = None, pack.dwplane3x3_kernel(s)
    if seed % 4 >= 2:
        view = plane_kernel(config, stride, int(rng.choice([0, 1536])))
        kernel = view.name
    return c_case(f"case_{seed}_{kernel}", kernel, "tg_dwplane_cfg_t", config, data, words, y, view)


def case_row(seed: int) -> Case:
    """One random layer of one row of taps."""
    rng = np.random.default_rng(seed)
    k, in_h = int(rng.choice([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 23])), int(rng.choice([1, 1, 3]))
    while True:
        in_w, left, right = int(rng.choice([1, 2, 5, 8, 15, 24, 30, 75])), *(int(v) for v in rng.integers(0, k, 2))
        out_w, channels = in_w + left + right - k + 1, int(rng.choice([1, 2, 5]))
        if out_w < 1:
            continue
        s = pack.Geometry(in_h, in_w, in_h, out_w, 1, k, 1, 1, 0, left)
        w = cases.weights(rng, 1, k, channels)
        q, b, m = quantisation(rng, w)
        folded = fold_bias(np.moveaxis(w, 2, 0), b, q["in_zp"])
        if pack.dwrow_supported(w, folded, m, s, q["out_zp"], q["shift"]) is None:
            break
    x = cases.int8(rng, in_h, in_w, channels)
    want = oracle.dwconv({**oracle_fields(s), "in_c": channels, "out_c": channels, **q}, x, w, b, m)
    planes, strides, size = layouts(rng, s, channels)
    config = pack.dwplane_config(s, planes, *strides, q["lo"], q["hi"])
    view = taps_kernel(config, k, int(rng.choice([0, 0, 1024])))
    data, y = planes_of(s, x, q["in_zp"], planes), scattered(want, strides, size)
    words = pack.pack_dwrow(w, folded, m, q["out_zp"], q["shift"])
    return c_case(f"case_{seed}_{view.name}", view.name, "tg_dwplane_cfg_t", config, data, words, y, view)


def c_case(
    name: str,
    kernel: str,
    config_type: str,
    config: dict[str, int],
    x: np.ndarray,
    words: np.ndarray,
    y: np.ndarray,
    view: Kernel | None = None,
) -> Case:
    settings = ", ".join(f".{key} = {value}" for key, value in config.items())
    body = f"""static int {name}(void)
{{
    static const {config_type} cfg = {{{settings}}};
    static const int8_t x[] TG_ALIGN(4) = {{{numbers(x)}}};
    static const int32_t w[] = {{{numbers(words)}}};
    static const int8_t want[] = {{{numbers(y)}}};
    int8_t y[{y.size}];
    (void)memset(y, 77, sizeof y);
    {kernel}(&cfg, x, w, &y[{GUARD}]);
    return memcmp(y, want, sizeof y);
}}"""
    return Case(name, body, view)


def numbers(values: np.ndarray) -> str:
    return ", ".join("(-2147483647 - 1)" if v == -(2**31) else str(v) for v in values.reshape(-1).tolist())


INTERRUPTS = r"""
#if defined(__ARM_ARCH)
/* Interrupts that overwrite what lies below the stack pointer, and the registers of the FPU. */
static void (*vectors[16])(void) TG_ALIGN(128);
static volatile uint32_t ticks;
static void tick(void)
{
    volatile uint32_t below[128];
    for (int i = 0; i < 128; ++i) {
        below[i] = 0xDEADBEEFU;
    }
    (void)below[0];
#if defined(__ARM_FP)
    __asm volatile("vmov s0, %0\n vmov s5, %0\n vmov s10, %0\n vmov s15, %0\n" ::"r"(ticks) : "s0", "s5", "s10", "s15");
#endif
    ++ticks;
}
static void interrupts(void)
{
#if defined(__ARM_FP)
    *(volatile uint32_t *)0xE000ED88U |= 0xFU << 20;
    __asm volatile("dsb\n isb");
#endif
    for (int i = 0; i < 16; ++i) {
        vectors[i] = (*(void (*const *const *)(void))0xE000ED08U)[i];
    }
    vectors[15] = tick;
    *(volatile uint32_t *)0xE000ED08U = (uint32_t)vectors;
    *(volatile uint32_t *)0xE000E014U = PERIOD;
    *(volatile uint32_t *)0xE000E018U = 0U;
    *(volatile uint32_t *)0xE000E010U = 7U;
}
#else
static uint32_t ticks = 1000U;
static void interrupts(void)
{
}
#endif
"""


def program(bodies: list[Case], folder: Path, period: int = 701) -> list[str]:
    """Writes it to `folder`; gives its C files and those of the kernels. Exit status 0, 97 when interrupts are missing,
    or the number of the first failing case (1 to 96)."""
    views = {case.view.name: case.view for case in bodies if case.view is not None}
    for name, view in views.items():
        for end in ("h", "c"):
            text = render(f"kernels/dsp/tg_program.{end}.j2", k=view)
            (folder / f"{name}.{end}").write_text(text, encoding="utf-8")
    kernels = sorted((KERNELS / "dsp").glob("tg_dwplane*_dsp.c"))
    lines = [
        "#include <string.h>",
        *(f'#include "{path.stem}.h"' for path in kernels),
        *(f'#include "{name}.h"' for name in views),
        f"#define PERIOD {period}",
        INTERRUPTS,
        *(case.body for case in bodies),
        f"static int (*const cases[])(void) = {{{', '.join(case.name for case in bodies)}}};",
        "int main(void)",
        "{",
        "    interrupts();",
        "    for (unsigned i = 0U; i < sizeof cases / sizeof cases[0]; ++i) {",
        "        if (cases[i]() != 0) { return (i < 96U) ? (int)i + 1 : 96; }",
        "    }",
        "    return (ticks < 100U) ? 97 : 0;",
        "}",
        "",
    ]
    (folder / "main.c").write_text("\n".join(lines), encoding="utf-8")
    return [str(folder / "main.c"), *map(str, kernels), *(str(folder / f"{name}.c") for name in views)]


def on_host(bodies: list[Case], compiler: str, folder: Path) -> None:
    """Every array has its exact size: reading one byte too many is found."""
    target = folder / "a"
    flags = ["-std=c99", "-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", *WARNINGS]
    files = program(bodies, folder)
    subprocess.run([compiler, *flags, *INCLUDES, f"-I{folder}", *files, "-o", str(target)], check=True)
    done = subprocess.run([str(target)], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"{failing(bodies, done.returncode)}: {done.stderr}"


#: (machine, flags)
CORES = {
    "m4": ("mps2-an386", ["-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]),
    "m4-soft": ("mps2-an386", ["-mcpu=cortex-m4"]),
    "m7": ("mps2-an500", ["-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard"]),
}


def on_target(bodies: list[Case], core: str, level: str, folder: Path, script: Path = TARGET / "link.ld") -> None:
    machine, flags = CORES[core]
    elf = folder / "a.elf"
    options = ["-std=c99", level, "-mthumb", "-ffunction-sections", "-nostartfiles", *flags]
    files = [str(TARGET / "startup.c"), *program(bodies, folder)]
    link = ["-Wl,--gc-sections", "-T", str(script), "-o", str(elf)]
    subprocess.run(["arm-none-eabi-gcc", *options, *WARNINGS[:-1], *INCLUDES, f"-I{folder}", *files, *link], check=True)
    # 32 ns an instruction: an interrupt every 900 or so
    quiet = ["-icount", "shift=5", "-nographic", "-monitor", "none", "-serial", "none"]
    options = [*quiet, "-semihosting-config", "enable=on,target=native", "-kernel", str(elf)]
    status = subprocess.run(["qemu-system-arm", "-M", machine, *options], timeout=60, check=False).returncode
    assert status == 0, failing(bodies, status)


def failing(bodies: list[Case], status: int) -> str:
    return bodies[status - 1].name if 0 < status <= min(96, len(bodies)) else f"status {status}"


@pytest.mark.parametrize("make", [case3x3, case_row])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_host(compiler: str, make: Callable[[int], Case], require_tool: Require, tmp_path: Path) -> None:
    require_tool(compiler)
    on_host([make(seed) for seed in range(160)], compiler, tmp_path)


@pytest.mark.parametrize("make", [case3x3, case_row])
@pytest.mark.parametrize("core", CORES)
def test_emulated(core: str, make: Callable[[int], Case], require_tool: Require, tmp_path: Path) -> None:
    """With interrupts; on the M4 and M7 with an FPU this is the assembly."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    on_target([make(seed) for seed in range(1000, 1090)], core, "-O2" if core == "m4" else "-Os", tmp_path)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_assembles(compiler: str, level: str, require_tool: Require, tmp_path: Path) -> None:
    """Without warnings; long strings are no trouble for compilers that take inline assembly."""
    require_tool({"gcc": "arm-none-eabi-gcc"}.get(compiler, compiler))
    files = program([make(seed) for make in (case3x3, case_row) for seed in range(2, 18, 4)], tmp_path)
    command = ["arm-none-eabi-gcc"] if compiler == "gcc" else ["clang", "--target=arm-none-eabi", "-isystem", newlib()]
    flags = ["-std=c99", level, "-mthumb", *CORES["m4"][1], *WARNINGS, "-Wno-overlength-strings", *INCLUDES]
    for file in files[1:]:
        subprocess.run([*command, *flags, f"-I{tmp_path}", "-c", file, "-o", str(tmp_path / "a.o")], check=True)


def newlib() -> str:
    """Where the C library's headers for Arm are."""
    text = subprocess.run(["arm-none-eabi-gcc", "-E", "-v", "-xc", "/dev/null"], capture_output=True, text=True).stderr
    return next(line.strip() for line in text.splitlines() if line.endswith("arm-none-eabi/include"))


def test_hot_loops() -> None:
    """A loop over the rows fits the instruction caches of flash; unrolled, the loop over the columns is the hot one."""
    s = pack.Geometry(48, 48, 48, 48, 3, 3, 1, 1, 1, 1)
    config = pack.dwplane_config(s, pack.planes_for(s, 8), 48 * 8, 8, 1, -128, 127)
    looped, unrolled = plane_kernel(config, 1), plane_kernel(config, 1, 10**6)
    assert looped.hot < 400 < looped.size < 900
    assert 4000 < unrolled.hot < unrolled.size
    assert looped.name != unrolled.name


def test_what_is_refused() -> None:
    s = pack.Geometry(5, 5, 5, 5, 3, 3, 1, 1, 1, 1)
    w = np.ones((3, 3, 2), dtype=np.int8)
    b, m = np.zeros(2, dtype=np.int32), np.full(2, 768 * 2000000, dtype=np.int32)
    assert pack.dwplane3x3_supported(w, b, m, s, 0, 36) is None
    assert pack.dwplane3x3_supported(w, b, m, replace(s, k_h=5), 0, 36) == "a 5 x 3 kernel, dilation 1 x 1"
    assert pack.dwplane3x3_supported(w, b, m, replace(s, stride_w=2), 0, 36) == "stride 1 x 2"
    assert pack.dwplane3x3_supported(w, b, m, replace(s, pad_top=2), 0, 36) == "more than one row of padding"
    assert pack.dwplane3x3_supported(w, b, m, s, 0, 32) == "shift 32 is below 33"
    odd = pack.dwplane3x3_supported(w, b, m + 768, s, 0, 41)
    assert odd == "shift 41: a multiplier is no multiple of 2^9"
    large = pack.dwplane3x3_supported(w * 127, b + 10**5, m, s, 0, 33)
    assert large == "an output may leave int16 before it is clamped"
