"""Another architecture is one folder and one line: added to a copy of tinygen, all rooms work with it, or say why not.

Its compiler and emulator are scripts. What they would do for a real one is what the other tests see on a Cortex-M.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.emit.nets import NETS

ROOT = Path(__file__).resolve().parents[2]
SPARROW = Path(__file__).parent / "sparrow"
JUNK = shutil.ignore_patterns("__pycache__")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of tinygen with the folder, the line (and its import), and a board."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("tinygen", "boards", "templates_c"):
        shutil.copytree(ROOT / name, copy / name, ignore=JUNK)
    targets = copy / "tinygen" / "targets"
    shutil.copytree(SPARROW, targets / "arch" / "sparrow", ignore=JUNK)
    (targets / "arch" / "sparrow" / "sparrow_dev.json").rename(copy / "boards" / "sparrow_dev.json")
    cores = targets / "cores.py"
    before = cores.read_text(encoding="utf-8")
    text = before.replace("import arm_m, host", "import arm_m, host, sparrow")
    text = text.replace("    *arm_m.CORES,\n", "    *arm_m.CORES,\n    *sparrow.CORES,\n")
    assert len(text.splitlines()) == len(before.splitlines()) + 1
    cores.write_text(text, encoding="utf-8")
    return copy


class Here:
    """A place to run that tinygen in, with a PATH of its own."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        self.folder, self.path = folder, folder / "bin"
        self.path.mkdir()
        self._env = {"PYTHONPATH": str(checkout), "PATH": str(self.path), "HOME": str(folder)}

    def tool(self, name: str, script: str) -> None:
        """A program on the PATH."""
        (self.path / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.path / name).chmod(0o755)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command], cwd=self.folder, env=self._env, capture_output=True, text=True, check=False
        )

    def python(self, program: str) -> list[str]:
        """What a program prints, line by line."""
        done = self.run("-c", program)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


@pytest.fixture
def here(checkout: Path, tmp_path: Path) -> Here:
    return Here(checkout, tmp_path)


COMPILE = """
from pathlib import Path
from tinygen.build.toolchain import compile_program, find_toolchain
from tinygen.errors import TinygenError
from tinygen.targets.cores import get_core
core = get_core("sparrow-1")
try:
    print(compile_program(find_toolchain(core), core, [Path("main.c")], [], Path("p.elf"), stack_bytes=4096).elf.name)
except TinygenError as error:
    print(error)
"""


def test_its_cores_and_boards_are_there(here: Here) -> None:
    said = here.python(
        "from tinygen.targets.cores import CORES, VERIFY_CORES, get_core\n"
        "from tinygen.targets.board import load_board\n"
        "from tinygen.targets.flash import flash_of\n"
        "print([c.name for c in CORES].index('sparrow-1') >= 0, VERIFY_CORES[-1])\n"
        "b = load_board('sparrow_dev'); print(b.core.name, b.stand_in.emulator.programs[0], flash_of(b), b.relink)"
    )
    assert said == ["True sparrow-1", "sparrow-2 qemu-system-sparrow None False"]


def test_its_compiler_is_looked_for(here: Here) -> None:
    (said,) = here.python(COMPILE)
    assert said.startswith("sparrow-elf-gcc is not on PATH, so nothing can be built for Sparrow. Install it (")
    assert "apt install gcc-sparrow-elf libc-sparrow) or set TINYGEN_SPARROW_GCC to it;" in said
    here.tool("sparrow-elf-gcc", "echo 'x.c:1:1: fatal error: string.h: No such file' >&2; exit 1")
    (said,) = here.python(COMPILE)
    assert said.startswith("sparrow-elf-gcc has no C library, so nothing can be built for Sparrow.")


def test_its_programs_are_linked(here: Here, checkout: Path) -> None:
    log = here.folder / "log"
    # Makes whatever is asked for, as its last argument.
    here.tool("sparrow-elf-gcc", f'echo "$@" >> {log}\nfor last; do :; done\n: > "$last"')
    assert here.python(COMPILE) == ["p.elf"]
    *compiled, linked = (line.split() for line in log.read_text().splitlines())
    arch = checkout / "tinygen" / "targets" / "arch" / "sparrow" / "platform"
    assert sorted(words[words.index("-c") + 1] for words in compiled) == sorted(
        [str(here.folder / "main.c"), str(arch / "start.c")]
    )
    for words in compiled:
        assert words[:3] == ["-mcpu=one", "-std=c99", "-Os"]
        assert f"-I{checkout / 'boards' / 'platform' / 'include'}" in words
    assert linked[2:5] == ["-mcpu=one", "-nostartfiles", "-lm"]
    assert Path(linked[linked.index("-T") + 1]).read_text() == (
        "FLASH 0x80000000 262144 VECTORS 0x80000000 RAM 0x90000000 65536 STACK 4096\n"
    )


def test_its_emulator_runs_them(here: Here) -> None:
    program = (
        "from pathlib import Path\n"
        "from tinygen.build.qemu import run_qemu\n"
        "from tinygen.errors import TinygenError\n"
        "from tinygen.targets.cores import get_core\n"
        "try: r = run_qemu(get_core('sparrow-1').machine, Path('p.elf'), Path('.')); print(r.stdout, r.fault, sep='')\n"
        "except TinygenError as error: print(error)"
    )
    assert "apt install qemu-system-sparrow" in here.python(program)[0]
    here.tool("qemu-system-sparrow", 'echo "$@"; exit 9')
    assert here.python(program) == [
        f"-M nest -bios none -nographic -kernel {here.folder.resolve() / 'p.elf'}",
        "the sparrow fell",
    ]


def test_runs_are_counted_only_with_a_decoder(here: Here) -> None:
    said = here.python(
        "from dataclasses import replace\n"
        "from tinygen.errors import TinygenError\n"
        "from tinygen.profile.counter import _entries\n"
        "from tinygen.profile.measure import model_view, profile_library\n"
        "from tinygen.targets.arch.timing import Instruction, Kind, Timing\n"
        "from tinygen.targets.cores import get_core\n"
        "try: profile_library(model_view('m', [(1, 8)], [(1, 8)]), [], {}, get_core('sparrow-1'))\n"
        "except TinygenError as error: print(error)\n"
        "decode = lambda a, b: Instruction(4, Kind.LOAD, loads=1) if a & 3 == 3 else Instruction(2, Kind.OTHER)\n"
        "timing = Timing({Kind.LOAD: 5}, pipelined=False, taken={}, taken_load=0, notes='')\n"
        "print(list(_entries(bytes([3, 0, 1, 0]), decode, timing)))"
    )
    assert said[0].startswith("sparrow-1: tinygen cannot tell the instructions of a Sparrow apart")
    # A load at the first halfword: flags, cycles, cycles when taken, loads, stores; and something else at the second.
    assert said[1] == "[1, 5, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]"


@pytest.mark.skipif(os.name == "nt", reason="the tools are shell scripts")
def test_a_build_for_its_board(here: Here) -> None:
    """With the reference's kernels and nothing measured; the project knows the board's compiler, flags and emulator."""
    (here.folder / "net.onnx").write_bytes(NETS["dense"]().SerializeToString())
    done = here.run("-m", "tinygen", "inspect", "net.onnx", "--board", "sparrow_dev")
    assert done.returncode == 0, done.stdout + done.stderr
    done = here.run("-m", "tinygen", "build", "net.onnx", "--board", "sparrow_dev", "-o", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert "not verified on sparrow-2: sparrow-elf-gcc is not on PATH" in said
    out = here.folder / "out"
    layers = json.loads((out / "plan.json").read_text())["layers"]
    assert {call["kernel"] for layer in layers for call in layer["calls"]} == {"tg_dense_s8", "tg_lut_s8"}
    target = json.loads((out / "boards" / "sparrow_dev.json").read_text())["tinygen"]["target"]
    assert (target["folder"], target["compilers"], target["core_flags"]) == (
        "sparrow",
        ["sparrow-elf-gcc"],
        ["-mcpu=two"],
    )
    assert target["emulator"] == ["qemu-system-sparrow", "-M", "nest", "-nographic", "-kernel"]
    folders = sorted(p.name for p in (out / "platform").iterdir() if p.is_dir())
    assert folders == ["builder", "host", "include", "sparrow"]
    assert "sparrow-elf-gcc and qemu-system-sparrow" in (out / "platformio.ini").read_text()
    assert "gcc gcc-sparrow-elf libc-sparrow qemu-system-sparrow" in (out / "README.md").read_text()
    done = here.run("-m", "tinygen", "profile", "out")
    assert done.returncode != 0
    assert "cannot tell the instructions of a Sparrow apart" in " ".join(done.stderr.split())
