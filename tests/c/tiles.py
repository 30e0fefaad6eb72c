"""Random convolutions through every tile, slide and row kernel of the DSP set, as C programs that check themselves."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.c import cases, oracle
from tests.c.harness import FOLDERS, INCLUDES, WARNINGS
from tests.c.test_dwplane import CORES, INTERRUPTS, TARGET, numbers
from tinygen.emit.library import kernel_files
from tinygen.kernels.slide.variants import slide_limits
from tinygen.kernels.tile.pack import ODD_LIMIT
from tinygen.kernels.variant import ints
from tinygen.numerics import fold_bias
from tinygen.ops.base import Call, ConstArg, Generated, Planes
from tinygen.plan.planar import pad_call
from tinygen.plan.select import candidates

#: Bytes around the output that must stay as they are.
GUARD = 16
#: Kernels under test; others of the set have tests of their own.
DRIVERS = (
    *("tg_tiles_s8_dsp", "tg_slides_s8_dsp", "tg_rows_s8_dsp", "tg_dwchannel_s8_dsp", "tg_rowchannel_s8_dsp"),
    *("tg_conv3x3_filled_dsp", "tg_groups_s8_dsp"),
)


@dataclass(frozen=True, eq=False)
class Layer:
    """A reference call with an input, [in_h][in_w][in_c] or the bytes of its planes, and the output it must give,
    [out_h][out_w][out_c]."""

    name: str
    call: Call
    x: np.ndarray
    want: np.ndarray

    @functools.cached_property
    def ways(self) -> list[Call]:
        """Every variant that takes it; of groups, which differ in their number of tiles only, one."""
        found = [c for c in candidates(self.call, ("dsp",)) if c.kernel in DRIVERS]
        groups = [c for c in found if c.kernel == "tg_groups_s8_dsp"]
        kept = groups[self.x.size % len(groups) :][:1] if groups else []
        return [c for c in found if c not in groups or c in kept]


def window(rng: np.random.Generator, **given: int) -> dict[str, int]:
    """An image of any size and borders on all sides, or none; `given` replaces what is drawn."""
    while True:
        f = {"dil_h": int(rng.choice([1, 1, 2])), "dil_w": int(rng.choice([1, 1, 2])), "groups": 1}
        for axis in "hw":
            f |= {f"k_{axis}": int(rng.choice([1, 2, 3, 5])), f"stride_{axis}": int(rng.choice([1, 1, 2, 3]))}
            f |= {f"in_{axis}": int(rng.integers(1, 15))}
        f |= {k: v for k, v in given.items() if k in f}
        whole = rng.integers(3) == 0
        for axis, start in (("h", "top"), ("w", "left")):
            reach = (f[f"k_{axis}"] - 1) * f[f"dil_{axis}"]
            before, after = (0, 0) if whole else (int(v) for v in rng.integers(0, reach + 1, 2))
            f[f"pad_{start}"] = before
            size = f[f"in_{axis}"] + before + after - reach - 1
            f[f"out_{axis}"] = size // f[f"stride_{axis}"] + 1 if size >= 0 else 0
        f |= {k: v for k, v in given.items() if k in f}
        if f["out_h"] > 0 and f["out_w"] > 0:
            return f


#: Geometry that each kind of kernel needs. A dictionary replaces what `window` draws.
KINDS: tuple[Callable[[np.random.Generator], dict[str, int]], ...] = (
    # anything: groups, dilations, windows larger than the image
    lambda rng: cases.window(rng) | (g := {"groups": int(rng.choice([1, 2, 3]))}) | _channels(rng, g["groups"]),
    # windows of neighbouring pixels overlap: slides, with borders everywhere
    lambda rng: (
        window(rng, k_w=int(rng.choice([2, 3, 4])), stride_w=int(rng.choice([1, 2])), in_w=int(rng.integers(4, 14)))
        | {"in_c": int(rng.choice([4, 8, 12, 16, 24, 5, 6, 7, 11, 15])), "out_c": int(rng.choice([1, 2, 3, 4, 7]))}
    ),
    # pointwise: flat rows, loops over the taps
    lambda rng: (
        window(rng, k_h=1, k_w=1, stride_h=1, stride_w=1)
        | {"in_c": int(rng.choice([1, 2, 3, 4, 16, 30, 32, 64, 67, 96])), "out_c": int(rng.choice([1, 2, 5, 6, 8]))}
    ),
    # rows that hold two pixels more than whole tiles: tiles of 2 x 2
    lambda rng: (
        window(rng, k_h=(k := int(rng.choice([1, 2]))), k_w=k, dil_w=1, in_h=2 * int(rng.integers(1, 5)) + k - 1,
               in_w=int(rng.choice([2, 6, 10])) + k - 1, stride_h=1, stride_w=1)
        | {"pad_top": 0, "pad_left": 0, "in_c": int(rng.integers(1, 9)), "out_c": 2 * int(rng.integers(1, 5))}
    ),
    # few channels in, many out: columns, copies of the image
    lambda rng: (
        window(rng, k_h=int(rng.choice([3, 4, 5])), dil_w=1, stride_h=int(rng.choice([1, 2])),
               in_h=int(rng.integers(6, 17)))
        | {"in_c": int(rng.choice([1, 1, 2, 3])), "out_c": int(rng.choice([8, 12, 17, 24]))}
    ),
    # one row: 1-D
    lambda rng: (
        window(rng, in_h=1, k_h=1, stride_h=1, in_w=int(rng.integers(4, 30)))
        | {"in_c": int(rng.integers(1, 9)), "out_c": int(rng.integers(1, 7))}
    ),
    # three pixels, or multiples
    lambda rng: (
        window(rng, k_h=1, k_w=1, stride_h=1, stride_w=1, in_h=int(rng.choice([1, 2, 3])), in_w=3)
        | {"in_c": int(rng.integers(1, 40)), "out_c": int(rng.integers(1, 9))}
    ),
)  # fmt: skip


def _channels(rng: np.random.Generator, groups: int) -> dict[str, int]:
    return {"in_c": groups * int(rng.integers(1, 10)), "out_c": groups * int(rng.integers(1, 10))}


def planes(rng: np.random.Generator, f: dict[str, int]) -> Planes:
    """Rows of either axis, with any gaps."""
    swap = bool(rng.integers(2))
    rows, cols = (f["out_w"], f["out_h"]) if swap else (f["out_h"], f["out_w"])
    return Planes(rows, cols, f["out_c"], cols + int(rng.integers(0, 3)), int(rng.integers(0, 3)), swap)


def layer(seed: int) -> Layer:
    """Random: extreme weights, zero points, clamps; every third writes planes; some share a kernel that has room for
    more channels than they need."""
    rng = np.random.default_rng(seed)
    f = KINDS[seed % len(KINDS)](rng)
    shape = (f["k_h"], f["k_w"], f["in_c"] // f["groups"])
    q, b, m = cases.layer(rng, int(np.prod(shape)), f["out_c"])
    while not 33 <= q["shift"] <= 54:
        q, b, m = cases.layer(rng, int(np.prod(shape)), f["out_c"])
    y_planes = planes(rng, f) if rng.integers(3) == 0 else None
    if y_planes is not None:
        q |= {"lo": -128, "hi": 127}
    x, w = cases.int8(rng, f["in_h"], f["in_w"], f["in_c"]), cases.weights(rng, f["out_c"], *shape)
    consts = (ConstArg("w", w), ConstArg("b", fold_bias(w, b, q["in_zp"]).astype(np.int32)), ConstArg("m", m))
    call = Call("tg_conv_s8", tuple({**f, **q}.items()), ("x",), consts, "y", y_planes=y_planes)
    room = tuple((name, most + int(rng.integers(0, 3))) for name, most in slide_limits([call]))
    return Layer(f"layer_{seed}", replace(call, limits=room), x, oracle.conv({**f, **q}, x, w, b, m))


def extremes() -> list[Layer]:
    """The largest sums that raw pairs hold, of either sign, at the least and the largest shift; all of the window at
    the largest zero point."""
    made = []
    f = dict.fromkeys(("in_h", "k_h", "stride_h", "stride_w", "dil_h", "dil_w", "groups", "out_h"), 1)
    f |= {"in_w": 8, "in_c": 64, "k_w": 3, "pad_top": 0, "pad_left": 1, "out_w": 8, "out_c": 3}
    for n, (sign, zp, shift) in enumerate((s, z, t) for s in (-1, 1) for z in (-128, 127) for t in (33, 54)):
        q = {"in_zp": zp, "out_zp": -zp - 1, "lo": -128, "hi": 127, "shift": shift}
        w = np.full((3, 1, 3, 64), sign * 127, np.int8)
        x = np.full((1, 8, 64), 127 if zp < 0 else -128, np.int8)
        x[:, ::3] = zp
        reach = 127 * 128 * 192  # of the weights alone
        b = np.array([sign * 10**6, sign * (ODD_LIMIT - reach), -sign * (ODD_LIMIT - reach)])
        m = np.array([(2**31 - 1) // 768 * 768, -768, 768 * 1234567], np.int32)
        consts = (ConstArg("w", w), ConstArg("b", b.astype(np.int32)), ConstArg("m", m))
        unfolded = b + zp * w.reshape(3, -1).astype(np.int64).sum(axis=1)
        call = Call("tg_conv_s8", tuple({**f, **q}.items()), ("x",), consts, "y")
        made.append(Layer(f"extreme_{n}", call, x, oracle.conv({**f, **q}, x, w, unfolded, m)))
    return made


@dataclass(frozen=True)
class Case:
    """C text of a function that returns 0 when the bytes of the output, and all around, are what they must be."""

    name: str
    call: Call
    body: str


def case(given: Layer, way: int, unaligned: int = 0) -> Case:
    """Of given.ways[way]. `unaligned`: bytes that input and output begin behind a word."""
    call = given.ways[way]
    flat = given.want.reshape(-1)
    at, size = np.arange(flat.size), flat.size
    if call.y_planes is not None:
        at, size = call.y_planes.place(given.want).reshape(-1), call.y_planes.size
    f = ints(call)
    want = np.full(unaligned + GUARD + size + GUARD, 77, np.int8)
    first = unaligned + GUARD
    pad = ""
    if call.y_planes is not None:
        want[first : first + size - 3] = f["out_zp"]  # three bytes more belong to readers, and hold anything
        pad = f"""
    static const tg_pad_planes_s8_cfg_t pads = {{{settings(pad_call("y", call.y_planes, f["out_zp"]))}}};
    tg_pad_planes_s8(&pads, &y[{first}]);"""
    want[first + at] = flat
    made = call.generated[-1].name if call.generated else "library"
    name = f"{given.name}_{way}_{call.kernel}_{made}"
    x = np.concatenate([np.zeros(unaligned, np.int8), given.x.reshape(-1)])
    scratch = max(call.scratch, 4)
    names = ", ".join(c.suffix for c in call.consts)
    constants = "\n".join(f"    static const int32_t {c.suffix}[] = {{{numbers(c.array)}}};" for c in call.consts)
    body = f"""static int {name}(void)
{{
    static const {call.struct} cfg = {{{settings(call)}}};
    static const int8_t x[{x.size}] TG_ALIGN(4) = {{{numbers(x)}}};
{constants}
    static const int8_t want[] = {{{numbers(want)}}};
    int32_t scratch[{scratch // 4}];
    int8_t y[{want.size}] TG_ALIGN(4);
    (void)memset(y, 77, sizeof y);
    (void)memset(scratch, 77, sizeof scratch);
    {call.kernel}(&cfg, &x[{unaligned}], {names}, (int16_t *)(void *)scratch, &y[{first}]);{pad}
    return memcmp(y, want, sizeof y);
}}"""
    return Case(name, call, body)


def settings(call: Call) -> str:
    return ", ".join(f".{key} = {value}" for key, value in call.config)


def all_cases(layers: Iterable[Layer]) -> list[Case]:
    """Each layer through each kernel that takes it, input and output at all alignments."""
    return [case(given, i, n % 4) for n, given in enumerate(layers) for i in range(len(given.ways))]


def generated(calls: Sequence[Call]) -> tuple[Generated, ...]:
    """The kernels made for them; AssertionError where two of one name are not the same."""
    found: dict[str, Generated] = {}
    for g in (g for call in calls for g in call.generated):
        assert found.setdefault(g.name, g) == g, f"two kernels are called {g.name}"
    return tuple(found[name] for name in sorted(found))


def program(given: Sequence[Case], folder: Path) -> list[str]:
    """Writes it to `folder`; gives its C files. The exit status is 0, 97 when interrupts are missing, or else tells
    which case fails (`blame`)."""
    calls = [c.call for c in given]
    library = tuple(sorted({k for c in calls for k in c.library} | {"tg_pad_planes_s8"}))
    files = kernel_files(library, generated(calls))
    own = sorted(name for g in generated(calls) for name in (f"{g.name}.c",))
    for name in (n for g in generated(calls) for n in (f"{g.name}.c", f"{g.name}.h")):
        (folder / name).write_bytes(files[name])
    lines = [
        "#include <string.h>",
        *(f'#include "{name}.h"' for name in library),
        *(f'#include "{name}"' for name in own),  # one unit: each by itself takes the compiler longer
        "#define PERIOD 701",
        INTERRUPTS,
        *(c.body for c in given),
        f"static int (*const all[])(void) = {{{', '.join(c.name for c in given)}}};",
        "int main(void)",
        "{",
        "    interrupts();",
        "    for (unsigned i = 0U; i < sizeof all / sizeof all[0]; ++i) {",
        "        if (all[i]() != 0) {",
        "            return 1 + (int)(i % 90U);",
        "        }",
        "    }",
        "    return (ticks < 100U) ? 97 : 0;",
        "}",
        "",
    ]
    (folder / "main.c").write_text("\n".join(lines), encoding="utf-8")
    sources = [p for name in files if name.endswith(".c") and name not in own for p in _paths(name)]
    return [str(folder / "main.c"), *map(str, sources)]


def _paths(name: str) -> list[Path]:
    return [folder / name for folder in FOLDERS if (folder / name).exists()]


def blame(given: Sequence[Case], status: int) -> str:
    names = [c.name for c in given[status - 1 :: 90]] if 0 < status <= 90 else []
    return f"status {status}: {' or '.join(names)}"


def on_host(given: Sequence[Case], compiler: str, folder: Path) -> None:
    """Portable bodies under sanitizers; every array has its exact size."""
    flags = ["-std=c99", "-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", *WARNINGS]
    command = [compiler, *flags, *INCLUDES, f"-I{folder}", *program(given, folder), "-o", str(folder / "a")]
    subprocess.run(command, check=True)
    done = subprocess.run([str(folder / "a")], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"{blame(given, done.returncode)} {done.stderr}"


def on_target(given: Sequence[Case], core: str, level: str, folder: Path) -> None:
    """Assembly where the core has an FPU, under interrupts that overwrite all below the stack pointer."""
    machine, flags = CORES[core]
    options = ["-std=c99", level, "-mthumb", "-ffunction-sections", "-nostartfiles", *flags]
    files = [str(TARGET / "startup.c"), *program(given, folder)]
    # the boards have more memory than the script says, and constants of many layers take it
    text = (TARGET / "link.ld").read_text().replace("256K", "2048K").replace("LENGTH = 16K", "LENGTH = 64K")
    script = folder / "link.ld"
    script.write_text(text)
    link = ["-Wl,--gc-sections", "-T", str(script), "-o", str(folder / "a.elf")]
    compiler = ["arm-none-eabi-gcc", *options, *WARNINGS[:-1], *INCLUDES, f"-I{folder}", *files, *link]
    subprocess.run(compiler, check=True)
    emulator: list[Any] = ["qemu-system-arm", "-M", machine, "-icount", "shift=5", "-nographic", "-monitor", "none"]
    emulator += ["-serial", "none", "-semihosting-config", "enable=on,target=native", "-kernel", folder / "a.elf"]
    status = subprocess.run(emulator, timeout=60, check=False).returncode
    assert status == 0, blame(given, status)
