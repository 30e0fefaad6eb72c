"""No warning from any compiler, headers clean in C++, nothing from cppcheck, no mutable globals, kernels shared."""

from __future__ import annotations

import functools
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.c import tiles
from tests.c.harness import FOLDERS, INCLUDES, WARNINGS, headers, sources
from tests.c.test_dwplane import case3x3, case_row
from tinygen.emit.env import render
from tinygen.kernels.palette import variants as palette
from tinygen.kernels.palette.tile import palette_tile_kernel
from tinygen.kernels.recurrent.gru import GruShifts
from tinygen.kernels.recurrent.kernel import inputs_kernel, step_kernel
from tinygen.kernels.recurrent.lstm import LstmShifts

Require = Callable[[str], None]

#: With an FPU, and so with whole functions in assembly.
M4F = ["-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]
#: Layers with kernels of each kind.
SEEDS = range(5, 12)
#: What is in their names.
KINDS = (
    "tile_w_",
    "tile_l",
    "tile_c",
    "tile_w3_",
    r"tile_[a-z2-7]{6}_",
    "fill_",
    "row_",
    "row2x2_",
    "plane_s1",
    "plane_s2",
    "taps_",
    "tile_pal",
    "conv_pal",
    "dense_pal.*dsp",
    "dense_pal.*m0",
    r"lstm_step_[a-z2-7]{6}_",
    "gru_step_px",
    "lstm_step_l",
    "inputs_",
)
COMPILERS = {
    "gcc-c99": ["gcc", "-std=c99"],
    "gcc-c11": ["gcc", "-std=c11"],
    "gcc-c17-O0": ["gcc", "-std=c17", "-O0"],
    "clang-c99": ["clang", "-std=c99"],
    "clang-c11": ["clang", "-std=c11"],
    "arm-m0": ["arm-none-eabi-gcc", "-std=c99", "-mcpu=cortex-m0", "-mthumb"],
    "arm-m3": ["arm-none-eabi-gcc", "-std=c99", "-mcpu=cortex-m3", "-mthumb"],
    "arm-m4f-Os": ["arm-none-eabi-gcc", "-std=c11", "-mthumb", "-Os", *M4F],
    "arm-m7-O3": ["arm-none-eabi-gcc", "-std=c99", "-mcpu=cortex-m7", "-mthumb", "-O3"],
    "arm-m33": ["arm-none-eabi-gcc", "-std=c99", "-mcpu=cortex-m33", "-mthumb"],
    "arm-m55": ["arm-none-eabi-gcc", "-std=c99", "-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard"],
}


@functools.cache
def made() -> dict[str, str]:
    """Kernels made for a layer, some of each template, by file name."""
    calls = [case.call for case in tiles.all_cases(tiles.layer(seed) for seed in SEEDS)]
    kernels = {g.name: (g.template, g.view) for g in tiles.generated(calls)}
    for view in (make(seed).view for make in (case3x3, case_row) for seed in (2, 3)):
        if view is not None:
            kernels[view.name] = ("dsp/tg_program", view)
    for bits in (4, 6):
        tile, dense = palette_tile_kernel(bits), palette.PaletteDenseView(bits)
        kernels |= {tile.name: ("dsp/tg_program", tile), dense.name: ("dsp/tg_dense_pal", dense)}
    plain = palette.PaletteDenseView(4, plain=True)
    kernels[plain.name] = ("dsp/tg_dense_pal", plain)
    for small in (True, False):
        lanes, columns = palette.PaletteLanesView(3, 8, 4, small), palette.PaletteColumnsView(2, 8, small)
        kernels |= {lanes.name: ("core/tg_conv_pal", lanes), columns.name: ("core/tg_dense_pal", columns)}
    lstm, gru = LstmShifts(0, 1, 1, 9, 8, 14, 2, 3, 3), GruShifts(0, 1, 15, 15, 22, 2, 3)
    steps = [step_kernel(shifts, words) for words in ((3, 4), (0, 4), None) for shifts in (lstm, gru)]
    kernels |= {kernel.name: ("dsp/tg_program", kernel) for kernel in (inputs_kernel(3), *steps)}
    return {
        f"{name}.{end}": render(f"kernels/{template}.{end}.j2", k=view)
        for name, (template, view) in sorted(kernels.items())
        for end in ("h", "c")
    }


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with them."""
    folder = tmp_path_factory.mktemp("generated")
    for name, text in made().items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def one_unit(generated: Path) -> Path:
    """A file that includes all of them: compilers take less time."""
    unit = generated / "unit.c"
    unit.write_text("".join(f'#include "{path.name}"\n' for path in sorted(generated.glob("tg_*.c"))), encoding="utf-8")
    return unit


@pytest.mark.parametrize("name", COMPILERS)
def test_no_warnings(name: str, generated: Path, require_tool: Require, tmp_path: Path) -> None:
    compiler, *flags = COMPILERS[name]
    require_tool(compiler)
    level = [] if any(f.startswith("-O") for f in flags) else ["-O2"]
    extra = ["-Wstrict-prototypes", "-Wmissing-prototypes", "-Wundef", "-Wdouble-promotion", "-Wvla"]
    for path in (*sources(), one_unit(generated)):
        includes = [*INCLUDES, f"-I{path.parent}"]
        command = [compiler, *flags, *level, *WARNINGS, *extra, *includes, "-c", str(path), "-o", str(tmp_path / "a.o")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_headers_are_cxx(compiler: str, require_tool: Require, tmp_path: Path) -> None:
    """Each on its own: a header includes what it needs."""
    require_tool(compiler)
    for path in headers():
        unit = tmp_path / "unit.cpp"
        unit.write_text(f'#include "{path.name}"\n#include "{path.name}"\n', encoding="utf-8")
        unused = "-Wno-unused-function"  # static helpers of the core headers
        command = [compiler, "-std=c++14", *WARNINGS, unused, *INCLUDES, "-c", str(unit), "-o", str(tmp_path / "a.o")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{path.name}: {done.stderr}"


def test_cppcheck(generated: Path, require_tool: Require) -> None:
    require_tool("cppcheck")
    suppressed = ["missingIncludeSystem", "unusedFunction", "unusedStructMember", "normalCheckLevelMaxBranches"]
    suppressed.append("redundantAssignment:*tg_row_*")  # a single channel is computed twice
    # it takes numbers of columns for less than 1, where a configuration may hold 0
    suppressed += [f"knownConditionTrueFalse:*tg_{name}_s8_dsp.c" for name in ("avgpool", "reduce_sum")]
    command = ["cppcheck", "--enable=warning,style,performance,portability", "--std=c99", "--error-exitcode=1", "-q"]
    command += [*(f"--suppress={name}" for name in suppressed), *INCLUDES, *map(str, FOLDERS), str(generated)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout


def test_symbols(generated: Path, require_tool: Require, tmp_path: Path) -> None:
    """One weak function in each file, named as the file; no data that could change; nothing called but <string.h> and
    other kernels."""
    require_tool("arm-none-eabi-gcc")
    paths = [*sources(), *sorted(generated.glob("tg_*.c"))]
    includes = [*INCLUDES, f"-I{generated}"]
    for path in paths:
        target = tmp_path / f"{path.stem}.o"
        command = [
            "arm-none-eabi-gcc",
            "-std=c99",
            *M4F,
            "-mthumb",
            "-O2",
            *includes,
            "-c",
            str(path),
            "-o",
            str(target),
        ]
        subprocess.run(command, check=True)
        listing = subprocess.run(["arm-none-eabi-nm", str(target)], capture_output=True, text=True, check=True).stdout
        symbols = [line.split()[-2:] for line in listing.splitlines()]
        assert [name for kind, name in symbols if kind in "WTVD"] == [path.stem]
        assert not [name for kind, name in symbols if kind in "BbDdCS"], f"{path.name}: mutable data"
        called = {name for kind, name in symbols if kind == "U"}
        assert called <= {"memcpy", "memset", *(kernel.stem for kernel in paths)}, f"{path.name}: {symbols}"


def test_two_copies_link(require_tool: Require, tmp_path: Path) -> None:
    """Two models that both bring the kernels make one program."""
    require_tool("gcc")
    main = tmp_path / "main.c"
    main.write_text("int main(void)\n{\n    return 0;\n}\n", encoding="utf-8")
    files = [str(path) for path in sources()]
    subprocess.run(["gcc", *INCLUDES, str(main), *files, *files, "-o", str(tmp_path / "a")], check=True)


@pytest.mark.parametrize("path", [*sources(), *headers()], ids=lambda p: p.name)
def test_style(path: Path) -> None:
    check_style(path.name, path.read_text(encoding="utf-8"))


def test_style_of_generated_kernels() -> None:
    names = " ".join(made())
    for kind in KINDS:
        assert re.search(kind, names), f"none is {kind}"
    for name, text in made().items():
        check_style(name, text)


def check_style(name: str, text: str) -> None:
    long = [line for line in text.splitlines() if len(line) > 120]
    assert not long, f"{name}: longer than 120"
    assert text.isascii(), name
    assert "\t" not in text, name
    assert text.endswith("\n"), name
    assert not re.search(r"\b(malloc|free|float|double|goto)\b", re.sub(r"/\*.*?\*/", "", text, flags=re.S)), name
    if name.endswith(".h"):
        assert "@file" in text, name
        assert "@brief" in text, name
