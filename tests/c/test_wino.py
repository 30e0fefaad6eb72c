"""tg_conv3x3_wino_dsp against NUMERICS in numpy: on the host under sanitizers, on emulated cores, under interrupts."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.c import cases, oracle
from tests.c.harness import INCLUDES, WARNINGS, sources
from tinygen.kernels.wino.pack import WINO_FIELDS, pack_wino, wino_scratch, wino_supported
from tinygen.numerics import choose_multipliers, fold_bias

Require = Callable[[str], None]
SOURCES = [str(path) for path in sources() if path.stem in ("tg_conv3x3_wino_dsp", "tg_wino_tile_dsp")]
TARGET = Path(__file__).resolve().parent / "target"
SEEDS = range(150)


@dataclass
class Layer:
    """A layer in the reference's terms."""

    fields: dict[str, int]
    x: np.ndarray
    w: np.ndarray
    b: np.ndarray
    m: np.ndarray

    @property
    def refused(self) -> str | None:
        return wino_supported(self.fields, self.w, fold_bias(self.w, self.b, self.fields["in_zp"]), self.m)

    @property
    def packed(self) -> tuple[np.ndarray, np.ndarray]:
        return pack_wino(self.w, fold_bias(self.w, self.b, self.fields["in_zp"]), self.m, self.fields["shift"])

    @property
    def want(self) -> np.ndarray:
        return oracle.conv(self.fields, self.x, self.w, self.b, self.m)

    @property
    def scratch(self) -> int:
        return wino_scratch(self.fields["in_c"], self.fields["out_c"])


def layer(seed: int, in_c: int | None = None, top: int = 13, **given: int) -> Layer:
    """Random, with every padding and odd sizes, at most `top`; `given` replaces fields."""
    rng = np.random.default_rng(seed)
    f = {f"{name}_{axis}": 1 for name in ("stride", "dil") for axis in "hw"} | {"k_h": 3, "k_w": 3, "groups": 1}
    for axis, start in (("h", "top"), ("w", "left")):
        before, after = (int(v) for v in rng.integers(0, 2, 2))
        f[f"pad_{start}"] = before
        f[f"out_{axis}"] = int(rng.integers(4, top + 1))
        f[f"in_{axis}"] = f[f"out_{axis}"] + 2 - before - after
    f["in_c"] = int(rng.choice([8, 8, 16, 24, 64])) if in_c is None else in_c
    f["out_c"] = 2 * int(rng.integers(1, 5))
    f |= {"in_zp": cases.zero_point(rng), "out_zp": cases.zero_point(rng), **cases.clamp(rng)} | given
    values = 2.0 ** -rng.uniform(5.1, 14.9) * np.append(1.0, rng.uniform(0.01, 1.0, f["out_c"] - 1))
    m, f["shift"] = choose_multipliers(values * rng.choice([-1.0, 1.0, 1.0], f["out_c"]))
    x = cases.int8(rng, f["in_h"], f["in_w"], f["in_c"])
    return Layer(f, x, cases.weights(rng, f["out_c"], 3, 3, f["in_c"]), cases.bias(rng, f["out_c"]), m)


def wide() -> list[Layer]:
    """Sums that take all the stack they may, and more."""
    made = [layer(out_c, in_c=8, top=6, out_c=out_c) for out_c in (42, 44, 64)]
    assert [one.scratch for one in made] == [36 * 8, 96 * 44, 96 * 64]
    return made


def extremes() -> list[Layer]:
    """The largest sums there can be, of either sign, for 64 channels; and the largest bias."""
    made = []
    for x in (-128, 127):
        for w in (-127, 127):
            for zp in (-128, 127):
                one = layer(7, in_c=64, in_zp=zp, out_c=2, pad_top=1, pad_left=1, lo=-128, hi=127)
                one.x[:] = x
                one.w[:] = w
                one.b[:] = (2**31 - 1) // 24 - 2 * 128 * 127 * 576 - 1
                one.b[1] *= -1
                made.append(one)
    return made


def run(library: ctypes.CDLL, given: Layer, unaligned: int) -> np.ndarray:
    """With guarded scratch and output; `unaligned`: bytes that x and y begin behind a word, words for scratch."""
    config = type("Config", (ctypes.Structure,), {"_fields_": [(n, ctypes.c_int16) for n in WINO_FIELDS]})
    cfg = config(*(given.fields[n] for n in WINO_FIELDS))
    size = given.want.size
    x, y = np.zeros(given.x.size + 16, dtype=np.int8), np.full(size + 32, 77, dtype=np.int8)
    x[unaligned : unaligned + given.x.size] = given.x.reshape(-1)
    scratch = np.full(given.scratch + 64, 77, dtype=np.int8)
    first = (-scratch.ctypes.data) % 16 + 4 * unaligned
    w, m = given.packed
    at = [x.ctypes.data + unaligned, w.ctypes.data, m.ctypes.data]
    at += [scratch.ctypes.data + first, y.ctypes.data + 16 + unaligned]
    library.tg_conv3x3_wino_dsp(ctypes.byref(cfg), *(ctypes.c_void_p(v) for v in at))
    inside = slice(16 + unaligned, 16 + unaligned + size)
    got = y[inside].copy()
    y[inside] = 77
    scratch[first : first + given.scratch] = 77
    assert np.all(y == 77), "written outside the output"
    assert np.all(scratch == 77), "written outside the scratch"
    return got.reshape(given.want.shape)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, require_tool: Require) -> ctypes.CDLL:
    require_tool("gcc")
    path = tmp_path_factory.mktemp("wino") / "wino.so"
    flags = ["-std=c99", "-O1", "-fPIC", "-shared", "-fsanitize=undefined", "-fno-sanitize-recover=all"]
    subprocess.run(["gcc", *flags, *WARNINGS, *INCLUDES, *SOURCES, "-o", str(path)], check=True)
    return ctypes.CDLL(str(path))


def test_random_layers(library: ctypes.CDLL) -> None:
    unsaturated = 0
    for seed in SEEDS:
        given = layer(seed)
        assert given.refused is None
        got = run(library, given, seed % 4)
        assert np.array_equal(got, given.want), given.fields
        unsaturated += int(np.sum(np.abs(got) < 127))
    assert unsaturated > 10_000


def test_extremes_and_wide_layers(library: ctypes.CDLL) -> None:
    for given in (*extremes(), *wide()):
        assert given.refused is None
        assert np.array_equal(run(library, given, 0), given.want), given.fields


@pytest.mark.parametrize("shift", range(36, 46))
def test_shifts(library: ctypes.CDLL, shift: int) -> None:
    """Each of them, with the largest multipliers."""
    given = layer(shift, in_c=8, lo=-128, hi=127)
    given.fields["shift"] = shift
    given.m[:] = (2**31 - 1) // 768 * 768
    given.m[1::2] *= -1
    assert given.refused is None
    assert np.array_equal(run(library, given, 0), given.want)


def test_what_is_refused_says_why() -> None:
    given = layer(1, in_c=16)
    for name, value, reason in (
        ("groups", 2, "not a 3x3 convolution of one group"),
        ("k_w", 5, "not a 3x3 convolution of one group"),
        ("stride_h", 2, "a stride or a dilation"),
        ("dil_w", 2, "a stride or a dilation"),
        ("in_c", 12, "12 input channels are not 8, 16, ... 64"),
        ("in_c", 72, "72 input channels are not 8, 16, ... 64"),
        ("out_c", 3, "3 output channels are not an even number"),
        ("out_w", 3, "the output is smaller than a tile of 4 x 4"),
        ("pad_left", 2, "more than one row or column of padding at a side"),
        ("in_h", given.fields["out_h"] - 2, "more than one row or column of padding at a side"),
        ("shift", 35, "shift 35 is outside 36..45"),
        ("shift", 46, "shift 46 is outside 36..45"),
    ):
        changed = Layer(given.fields | {name: value}, given.x, given.w, given.b, given.m)
        assert changed.refused == reason
    odd = Layer(given.fields, given.x, given.w, given.b, given.m + 24)
    assert odd.refused == "a multiplier is not a multiple of 768"
    large = extremes()[0]
    large.b[1] -= 30_000_000
    assert large.refused == "24 times the sum of channel 1 may not fit 32 bits"


def _array(kind: str, name: str, values: np.ndarray) -> str:
    listed = ", ".join("(-2147483647 - 1)" if v == -(2**31) else str(v) for v in values.reshape(-1).tolist())
    return f"static const {kind} {name}[{values.size}] = {{{listed}}};"


def program(layers: list[Layer], period: int | None) -> str:
    """A C program with exit status 0, or the number of the first wrong layer; 98 when no interrupt came."""
    lines = ["#include <string.h>", '#include "tg_conv3x3_wino_dsp.h"']
    lines += ["extern volatile uint32_t interrupts_seen;", "void interrupts_start(uint32_t period);"]
    for i, given in enumerate(layers):
        w, m = given.packed
        lines += [_array("int8_t", f"x{i}", given.x), _array("int32_t", f"w{i}", w), _array("int32_t", f"m{i}", m)]
        lines += [_array("int8_t", f"want{i}", given.want), f"static __attribute__((noinline)) int check{i}(void)", "{"]
        config = ", ".join(f".{n} = {given.fields[n]}" for n in WINO_FIELDS)
        lines += [f"    static const tg_conv3x3_wino_cfg_t cfg = {{{config}}};"]
        lines += [f"    int32_t scratch[{given.scratch // 4}];", f"    int8_t y[{given.want.size}];"]
        lines += [f"    tg_conv3x3_wino_dsp(&cfg, x{i}, w{i}, m{i}, (int16_t *)(void *)scratch, y);"]
        lines += [f"    return memcmp(y, want{i}, sizeof y);", "}"]
    lines += ["int main(void)", "{"]
    if period is not None:
        lines += [f"    interrupts_start({period}U);"]
    lines += [f"    if (check{i}() != 0) {{ return {i + 1}; }}" for i in range(len(layers))]
    if period:
        lines += ["    if (interrupts_seen < 100U) { return 98; }"]
    return "\n".join([*lines, "    return 0;", "}", ""])


def some_layers(at_most: int) -> list[Layer]:
    """Of each number of channels, as many as fit `at_most` bytes of constants."""
    made: list[Layer] = []
    size = 0
    for seed in range(1000, 1060):
        one = layer(seed, in_c=(8, 16, 32, 40, 64)[seed % 5])
        size += one.packed[0].nbytes + one.x.size + one.want.size
        if size > at_most:
            break
        made.append(one)
    assert len(made) >= 10
    return [*made, *extremes()[:2], *wide()]


@pytest.mark.parametrize("period", [0, 37, 61])
@pytest.mark.parametrize(
    ("cpu", "fpu", "machine", "level"),
    [
        ("cortex-m4", "fpv4-sp-d16", "mps2-an386", "-O2"),
        ("cortex-m4", "fpv4-sp-d16", "mps2-an386", "-Os"),
        ("cortex-m4", "", "mps2-an386", "-O2"),
        ("cortex-m7", "fpv5-d16", "mps2-an500", "-O2"),
    ],
)
def test_emulated(
    cpu: str, fpu: str, machine: str, level: str, period: int, require_tool: Require, tmp_path: Path
) -> None:
    """Without an FPU it is the portable body. A period counts timer cycles of 40 instructions."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    elf, main = tmp_path / "a.elf", tmp_path / "main.c"
    main.write_text(program(some_layers(120_000), period), encoding="utf-8")
    flags = ["-std=gnu99", level, f"-mcpu={cpu}", "-mthumb", "-ffunction-sections", "-nostartfiles"]
    flags += [f"-mfpu={fpu}", "-mfloat-abi=hard"] if fpu else []
    files = [*(str(path) for path in (TARGET / "startup.c", TARGET / "interrupts.c", main)), *SOURCES]
    link = ["-Wl,--gc-sections", "-T", str(TARGET / "link.ld"), "-o", str(elf)]
    subprocess.run(["arm-none-eabi-gcc", *flags, *INCLUDES, *files, *link], check=True)
    options: list[Any] = ["-nographic", "-monitor", "none", "-serial", "none", "-icount", "shift=0"]
    options += ["-semihosting-config", "enable=on,target=native", "-kernel", str(elf)]
    done = subprocess.run(["qemu-system-arm", "-M", machine, *options], timeout=120, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_sanitizers(compiler: str, require_tool: Require, tmp_path: Path) -> None:
    """Every array has its exact size here: one byte too many is found."""
    require_tool(compiler)
    binary, main = tmp_path / "a", tmp_path / "main.c"
    main.write_text(program(some_layers(400_000), None), encoding="utf-8")
    flags = ["-std=c99", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    subprocess.run([compiler, *flags, *INCLUDES, str(main), *SOURCES, "-o", str(binary)], check=True)
    done = subprocess.run([str(binary)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
