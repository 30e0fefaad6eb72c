"""No warning from any compiler, headers clean in C++, nothing from cppcheck, no mutable globals, kernels shared."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.c.harness import FOLDERS, INCLUDES, KERNELS, WARNINGS, headers, sources

Require = Callable[[str], None]

COMPILERS = {
    "gcc-c99": ["gcc", "-std=c99"],
    "gcc-c11": ["gcc", "-std=c11"],
    "gcc-c17-O0": ["gcc", "-std=c17", "-O0"],
    "clang-c99": ["clang", "-std=c99"],
    "clang-c11": ["clang", "-std=c11"],
    "arm-m0": ["arm-none-eabi-gcc", "-std=c99", "-mcpu=cortex-m0", "-mthumb"],
    "arm-m3": ["arm-none-eabi-gcc", "-std=c99", "-mcpu=cortex-m3", "-mthumb"],
    "arm-m4-Os": ["arm-none-eabi-gcc", "-std=c11", "-mcpu=cortex-m4", "-mthumb", "-Os"],
    "arm-m7-O3": ["arm-none-eabi-gcc", "-std=c99", "-mcpu=cortex-m7", "-mthumb", "-O3"],
    "arm-m33": ["arm-none-eabi-gcc", "-std=c99", "-mcpu=cortex-m33", "-mthumb"],
    "arm-m55": ["arm-none-eabi-gcc", "-std=c99", "-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard"],
}


@pytest.mark.parametrize("name", COMPILERS)
def test_no_warnings(name: str, require_tool: Require, tmp_path: Path) -> None:
    compiler, *flags = COMPILERS[name]
    require_tool(compiler)
    level = [] if any(f.startswith("-O") for f in flags) else ["-O2"]
    for path in sources():
        extra = ["-Wstrict-prototypes", "-Wmissing-prototypes", "-Wundef", "-Wdouble-promotion", "-Wvla"]
        command = [compiler, *flags, *level, *WARNINGS, *extra, *INCLUDES, "-c", str(path), "-o", str(tmp_path / "a.o")]
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


def test_cppcheck(require_tool: Require) -> None:
    require_tool("cppcheck")
    suppressed = ["missingIncludeSystem", "unusedFunction", "unusedStructMember", "normalCheckLevelMaxBranches"]
    command = ["cppcheck", "--enable=warning,style,performance,portability", "--std=c99", "--error-exitcode=1", "-q"]
    command += [*(f"--suppress={name}" for name in suppressed), *INCLUDES, *map(str, FOLDERS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout


def test_symbols(require_tool: Require, tmp_path: Path) -> None:
    """One weak function in each file, named as the file; no data that could change; nothing called but <string.h>."""
    require_tool("arm-none-eabi-gcc")
    for path in sources():
        target = tmp_path / f"{path.stem}.o"
        core = ["-mcpu=cortex-m4", "-mthumb", "-O2"]
        command = ["arm-none-eabi-gcc", "-std=c99", *core, *INCLUDES, "-c", str(path), "-o", str(target)]
        subprocess.run(command, check=True)
        listing = subprocess.run(["arm-none-eabi-nm", str(target)], capture_output=True, text=True, check=True).stdout
        symbols = [line.split()[-2:] for line in listing.splitlines()]
        assert [name for kind, name in symbols if kind in "WTVD"] == [path.stem]
        assert not [name for kind, name in symbols if kind in "BbDdCS"], f"{path.name}: mutable data"
        assert {name for kind, name in symbols if kind == "U"} <= {"memcpy", "memset"}, f"{path.name}: {symbols}"


def test_two_copies_link(require_tool: Require, tmp_path: Path) -> None:
    """Two models that both bring the kernels make one program."""
    require_tool("gcc")
    main = tmp_path / "main.c"
    main.write_text("int main(void)\n{\n    return 0;\n}\n", encoding="utf-8")
    files = [str(path) for path in sources()]
    subprocess.run(["gcc", *INCLUDES, str(main), *files, *files, "-o", str(tmp_path / "a")], check=True)


@pytest.mark.parametrize("path", [*sources(), *headers()], ids=lambda p: p.name)
def test_style(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert all(len(line) <= 120 for line in text.splitlines()), "a line is longer than 120"
    assert text.isascii()
    assert "\t" not in text
    assert text.endswith("\n")
    assert not re.search(r"\b(malloc|free|float|double|goto)\b", re.sub(r"/\*.*?\*/", "", text, flags=re.S))
    if path.suffix == ".h":
        assert "@file" in text
        assert "@brief" in text
    assert KERNELS in path.parents
