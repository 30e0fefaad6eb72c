"""Fast kernels of recurrent layers against NUMERICS section 9 in Python's integers: every variant on random layers, on
the host under sanitizers, in assembly on emulated cores with interrupts, and at the ends of what they take."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.c import recurrent
from tests.c.harness import FOLDERS, INCLUDES, WARNINGS
from tests.c.test_dwplane import INTERRUPTS, numbers
from tests.c.test_mve import on_m55
from tinygen.emit.env import render
from tinygen.kernels.recurrent.gru import GruShifts
from tinygen.kernels.recurrent.kernel import step_kernel
from tinygen.kernels.recurrent.lstm import LstmShifts
from tinygen.kernels.registry import ways
from tinygen.ops.base import Call, ConstArg, Generated

TARGET = Path(__file__).resolve().parent / "target"
Require = Callable[[str], None]
C_TYPES = {1: "int8_t", 2: "int16_t", 4: "int32_t"}
#: Values in front of and behind outputs and scratch.
GUARD = 4


@dataclass(frozen=True)
class Case:
    """A call as a C function that compares every byte it may and may not write."""

    name: str
    body: str
    #: Name and declaration of constants; variants share them.
    constants: dict[str, str]
    kernel: str
    generated: tuple[Generated, ...]


def reference(kind: str, d: dict[str, Any]) -> Call:
    """The reference call of a random layer."""
    bias = d["b"].astype(np.int64) - d["in_zp"] * d["w"].astype(np.int64).sum(axis=-1)
    consts = {"w": d["w"], "r": d["r"], "b": bias.astype(np.int32)}
    if kind == "gru":
        consts["bh"] = d["bh"]
    consts |= {"mx": d["mx"], "mh": d["mh"]}
    consts |= {name: t.entries for name, t in zip("fgt", d["tables"], strict=False)}
    if kind == "lstm":
        consts["peep"] = d["peep"]
    return Call(f"tg_{kind}_s8", tuple(d["c"].items()), ("x",), tuple(ConstArg(k, v) for k, v in consts.items()), "y")


def layer(rng: np.random.Generator, kind: str, most: int) -> dict[str, Any]:
    """A random layer, mostly one that fast kernels take."""
    d = recurrent.case(rng, kind, 8, most)
    if rng.integers(8):
        d["w"], d["r"] = np.maximum(d["w"], -127), np.maximum(d["r"], -127)
        d["c"] |= {"x_shift": 24, "h_shift": 24, "sum_lo": -32768, "sum_hi": 32767}
        d["c"] |= {k: v for k, v in (("coupled", 0), ("peep_shift", 0), ("before", 1)) if k in d["c"]}
        d["mx"], d["mh"] = d["mx"] >> int(rng.integers(8)), d["mh"] >> int(rng.integers(2, 12))
    return d


def made(kernel_set: str, kind: str, d: dict[str, Any], tag: str) -> list[Case]:
    """What the set's variants make of it."""
    ref = reference(kind, d)
    calls = [way.variant(ref) for way in ways(ref.kernel, kernel_set)]
    return [as_c(f"{tag}_{i}", call, kind, d) for i, call in enumerate(calls) if isinstance(call, Call)]


def as_c(name: str, call: Call, kind: str, d: dict[str, Any]) -> Case:
    settings = ", ".join(f".{key} = {value}" for key, value in call.config)
    arrays = {"x": d["x"], **{c.suffix: c.array for c in call.consts}}
    lines = [f"static int case_{name}(void)", "{", f"    static const {call.struct} cfg = {{{settings}}};"]
    constants, passed = {}, []
    for a in arrays.values():
        passed.append(f"k{hashlib.blake2b(a.tobytes(), digest_size=8).hexdigest()}_{a.itemsize}")
        c_type = C_TYPES[a.itemsize]
        constants[passed[-1]] = f"static const {c_type} {passed[-1]}[] TG_ALIGN(4) = {{{numbers(a)}}};"
    words = call.scratch // 4
    lines.append(f"    int32_t room[{words + 2 * GUARD}] = {{{', '.join(['77'] * (words + 2 * GUARD))}}};")
    starts = [d["y"], d["h"], *([d["cell"]] if kind == "lstm" else [])]
    outs = []
    for i, (start, want) in enumerate(zip(starts, recurrent.expected(kind, d), strict=True)):
        framed = [np.concatenate([[7] * GUARD, a.reshape(-1), [7] * GUARD]) for a in (want, start)]
        c_type = C_TYPES[start.itemsize]
        lines.append(f"    static const {c_type} want{i}[] = {{{numbers(framed[0])}}};")
        lines.append(f"    {c_type} out{i}[] TG_ALIGN(4) = {{{numbers(framed[1])}}};")
        outs.append((f"out{i}", f"want{i}"))
    arguments = ["&cfg", *passed, f"(void *)&room[{GUARD}]", *(f"&{o}[{GUARD}]" for o, _ in outs)]
    lines.append(f"    {call.kernel}({', '.join(arguments)});")
    lines.append(f"    for (int i = 0; i < {GUARD}; ++i) {{")
    lines.append(f"        if ((room[i] != 77) || (room[{words + GUARD} + i] != 77)) {{ return 2; }}")
    lines.append("    }")
    lines.append(f"    return ({' || '.join(f'(memcmp({o}, {w}, sizeof {o}) != 0)' for o, w in outs)}) ? 1 : 0;")
    return Case(f"case_{name}", "\n".join([*lines, "}"]), constants, call.kernel, call.generated)


def program(found: Iterable[Case], folder: Path, *, interrupted: bool = True) -> list[str]:
    """Writes it to `folder`; gives its C files. Exit status 0, 97 without interrupts, or the first that fails."""
    found = list(found)
    views = {g.name: g for case in found for g in case.generated}
    for name, g in views.items():
        for end in ("h", "c"):
            (folder / f"{name}.{end}").write_text(render(f"kernels/{g.template}.{end}.j2", k=g.view), encoding="utf-8")
    kernels = sorted({case.kernel for case in found})
    text = [
        "#include <string.h>",
        *(f'#include "{name}.h"' for name in (*kernels, *views)),
        "#define PERIOD 701",
        INTERRUPTS if interrupted else "static uint32_t ticks = 99U; static void interrupts(void) { }",
        *{name: text for case in found for name, text in case.constants.items()}.values(),
        *(case.body for case in found),
        f"static int (*const cases[])(void) = {{{', '.join(case.name for case in found)}}};",
        "int main(void)",
        "{",
        "    interrupts();",
        "    for (unsigned i = 0U; i < sizeof cases / sizeof cases[0]; ++i) {",
        "        if (cases[i]() != 0) { return (i < 96U) ? (int)i + 1 : 96; }",
        "    }",
        "    return (ticks < 20U) ? 97 : 0;",
        "}",
        "",
    ]
    (folder / "main.c").write_text("\n".join(text), encoding="utf-8")
    sources = [path for name in kernels for path in (f / f"{name}.c" for f in FOLDERS) if path.exists()]
    return [str(folder / "main.c"), *map(str, sources), *(str(folder / f"{name}.c") for name in views)]


def random_cases(kernel_set: str, seeds: range, most: int) -> list[Case]:
    found = []
    for seed in seeds:
        for kind in ("lstm", "gru"):
            d = layer(np.random.default_rng(seed), kind, most)
            found += made(kernel_set, kind, d, f"{kind}{seed}")
    return found


@pytest.fixture(scope="module")
def dsp() -> list[Case]:
    found = [*random_cases("dsp", range(10), 9), *random_cases("dsp", range(100, 102), 40), *at_the_ends("dsp")]
    assert len(found) > 40
    return found


@pytest.fixture(scope="module")
def m0() -> list[Case]:
    found = [*random_cases("m0", range(16), 9), *random_cases("m0", range(100, 104), 40), *at_the_ends("m0")]
    assert len(found) > 25
    return found


@pytest.fixture(scope="module")
def m3() -> list[Case]:
    return [*random_cases("m3", range(16), 9), *random_cases("m3", range(100, 104), 40), *at_the_ends("m3")]


@pytest.fixture(scope="module")
def mve() -> list[Case]:
    found = [*random_cases("mve", range(16), 9), *random_cases("mve", range(100, 104), 40), *at_the_ends("mve")]
    assert len(found) > 25
    return found


def at_the_ends(kernel_set: str) -> list[Case]:
    """Sums of x one below 2^23, those of h as large as they get; one more is refused."""
    found = []
    for kind in ("lstm", "gru"):
        for sign in (-1, 1):
            d = layer(np.random.default_rng(3), kind, 5)
            c, gates = d["c"], recurrent.GATES[kind]
            c |= {"n_in": 4, "n_hidden": 6, "steps": 2, "tail": 0, "at": 0, "y_step": 6, "reverse": 0, "fresh": 0}
            c |= {"x_at": 0, "y_at": 0}
            c |= {"x_shift": 24, "h_shift": 24, "sum_lo": -32768, "sum_hi": 32767}
            c |= {k: v for k, v in (("coupled", 0), ("peep_shift", 0), ("before", 1)) if k in c}
            top = 2**23 - 1 - (127 if sign > 0 else 128) * 127 * 4
            d |= {"in_zp": 0, "x": np.full((2, 4), 127 if sign > 0 else -128, np.int8)}
            d |= {"w": np.full((gates, 6, 4), 127, np.int8), "r": np.full((gates, 6, 6), 127 * sign, np.int8)}
            d |= {"b": np.full((gates, 6), sign * top, np.int32), "bh": np.full(6, sign * 2**20, np.int32)}
            d |= {"mx": np.full((gates, 6), 2**31 - 1, np.int32), "mh": np.full((gates, 6), 2**21, np.int32)}
            d |= {"y": np.full((2, 6), 77, np.int8), "cell": np.full(6, -(2**23), np.int32)}
            d["h"] = np.full(6, 32767 * sign, np.int16) if kind == "gru" else np.full(6, -128, np.int8)
            found += made(kernel_set, kind, d, f"end{kind}{sign + 1}")
            d["b"] += sign
            assert made(kernel_set, kind, d, "") == []
    return found


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("kernel_set", ["dsp", "mve", "m0"])
def test_host(
    kernel_set: str, compiler: str, request: pytest.FixtureRequest, require_tool: Require, tmp_path: Path
) -> None:
    require_tool(compiler)
    found = request.getfixturevalue(kernel_set)
    target = tmp_path / "a"
    flags = ["-std=c99", "-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", *WARNINGS]
    files = program(found, tmp_path)
    subprocess.run([compiler, *flags, *INCLUDES, f"-I{tmp_path}", *files, "-o", str(target)], check=True)
    done = subprocess.run([str(target)], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"{failing(found, done.returncode)}: {done.stderr}"


def failing(found: list[Case], status: int) -> str:
    return found[status - 1].name if 0 < status <= min(96, len(found)) else f"exit status {status}"


#: Kernel set, machine, flags. QEMU's micro:bit is a real Armv6-M, in which the timer's interrupts are not set up.
CORES = {
    "m0": ("m0", "microbit", ["-mcpu=cortex-m0"]),
    "m3": ("m3", "mps2-an385", ["-mcpu=cortex-m3"]),
    "m4": ("dsp", "mps2-an386", ["-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]),
    "m4-soft": ("dsp", "mps2-an386", ["-mcpu=cortex-m4"]),
    "m7": ("dsp", "mps2-an500", ["-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard"]),
}


@pytest.mark.parametrize("core", CORES)
def test_emulated(core: str, request: pytest.FixtureRequest, require_tool: Require, tmp_path: Path) -> None:
    """Step kernels in assembly, while interrupts overwrite what lies below the stack pointer."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    kernel_set, machine, flags = CORES[core]
    found = request.getfixturevalue(kernel_set)
    options = ["-std=c99", "-O2", "-mthumb", "-ffunction-sections", "-nostartfiles", *flags]
    link = ["-Wl,--gc-sections", "-T", str(TARGET / "link.ld"), "-o", str(tmp_path / "a.elf")]
    files = [str(TARGET / "startup.c"), *program(found, tmp_path, interrupted=core != "m0")]
    subprocess.run(["arm-none-eabi-gcc", *options, *INCLUDES, f"-I{tmp_path}", *files, *link], check=True)
    # 32 ns an instruction: an interrupt every 900 or so
    quiet = ["-icount", "shift=5", "-nographic", "-monitor", "none", "-serial", "none"]
    semihosting = ["-semihosting-config", "enable=on,target=native"]
    command = ["qemu-system-arm", "-M", machine, *quiet, *semihosting, "-kernel", str(tmp_path / "a.elf")]
    status = subprocess.run(command, timeout=60, check=False).returncode
    assert status == 0, failing(found, status)


def test_emulated_helium(mve: list[Case], require_tool: Require, tmp_path: Path) -> None:
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    main, *kernels = program(mve, tmp_path, interrupted=False)
    status = on_m55(Path(main).read_text(encoding="utf-8"), kernels, "-O2", tmp_path)
    assert status == 0, failing(mve, status)


def test_looped_steps_are_small() -> None:
    """A cache for instructions holds them; any number of inputs and units has the same code."""
    lstm = step_kernel(LstmShifts(1, 1, 1, 10, 7, 21, 2, 3, 4), None)
    gru = step_kernel(GruShifts(1, 1, 15, 15, 22, 2, 3), None)
    assert 700 < gru.bytes < lstm.bytes < 950
    assert step_kernel(LstmShifts(0, 1, 1, 10, 7, 21, 2, 3, 3), None).bytes < 900
    assert step_kernel(LstmShifts(0, 1, 1, 10, 7, 21, 2, 3, 3), (14, 32)).bytes > 3000
