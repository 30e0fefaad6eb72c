"""Another architecture is one folder and one line: added to a copy of tinygen, all rooms work with it, or say why not.

The folder is tests/boards/riscv. Scripts stand for its compiler and emulator, but in the last test they are real.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.emit.nets import NETS

ROOT = Path(__file__).resolve().parents[2]
RISCV = Path(__file__).parent / "riscv"
CORE = ["-march=rv32imac", "-mabi=ilp32", "-mcmodel=medany", "-misa-spec=2.2"]
SEMIHOSTING = (
    "-display none -monitor none -serial null -chardev stdio,id=sh "
    "-semihosting-config enable=on,target=native,chardev=sh"
)
JUNK = shutil.ignore_patterns("__pycache__")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of tinygen with the folder, the line (and its import), and a board."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("tinygen", "boards", "templates_c"):
        shutil.copytree(ROOT / name, copy / name, ignore=JUNK)
    targets = copy / "tinygen" / "targets"
    shutil.copytree(RISCV, targets / "arch" / "riscv", ignore=JUNK)
    (targets / "arch" / "riscv" / "riscv_virt.json").rename(copy / "boards" / "riscv_virt.json")
    cores = targets / "cores.py"
    before = cores.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^(from tinygen\.targets\.arch import .+)$", r"\1, riscv", before, count=1)
    text = text.replace("    *host.CORES,\n", "    *riscv.CORES,\n    *host.CORES,\n")
    assert len(text.splitlines()) == len(before.splitlines()) + 1
    cores.write_text(text, encoding="utf-8")
    return copy


class Here:
    """A place to run that tinygen in, with a PATH of its own."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        self.folder, self.path = folder, folder / "bin"
        self.path.mkdir()
        self.env = {"PYTHONPATH": str(checkout), "PATH": str(self.path), "HOME": str(folder)}

    def tool(self, name: str, script: str) -> None:
        """A program on the PATH."""
        (self.path / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.path / name).chmod(0o755)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command], cwd=self.folder, env=self.env, capture_output=True, text=True, check=False
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
core = get_core("rv32imac")
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
        "print([c.name for c in CORES].index('rv32imac') >= 0, VERIFY_CORES[-1])\n"
        "b = load_board('riscv_virt'); print(b.core.name, b.stand_in.emulator.programs[0], flash_of(b), b.relink)"
    )
    assert said == ["True rv32imac", "rv32imac qemu-system-riscv32 None False"]


def test_its_compiler_is_looked_for(here: Here) -> None:
    (said,) = here.python(COMPILE)
    assert said.startswith("riscv64-unknown-elf-gcc is not on PATH")
    assert "so nothing can be built for RISC-V. Install it (" in said
    assert "or set TINYGEN_RISCV_GCC to it; generating code and the native checks work without it" in said
    here.tool("riscv64-unknown-elf-gcc", "echo 'x.c:1:1: fatal error: string.h: No such file' >&2; exit 1")
    (said,) = here.python(COMPILE)
    assert said.startswith("riscv64-unknown-elf-gcc has no C library, so nothing can be built for RISC-V.")


def test_its_programs_are_linked(here: Here, checkout: Path) -> None:
    log = here.folder / "log"
    # Makes whatever is asked for, as its last argument.
    here.tool("riscv64-unknown-elf-gcc", f'echo "$@" >> {log}\nfor last; do :; done\n: > "$last"')
    assert here.python(COMPILE) == ["p.elf"]
    *compiled, linked = (line.split() for line in log.read_text().splitlines())
    platform = checkout / "tinygen" / "targets" / "arch" / "riscv" / "platform"
    sources = sorted(words[words.index("-c") + 1] for words in compiled)
    assert sources == sorted([str(here.folder / "main.c"), str(platform / "startup.c")])
    for words in compiled:
        assert words[:5] == [*CORE, "-std=c99"]
        assert f"-I{checkout / 'boards' / 'platform' / 'include'}" in words
    assert linked[2:7] == [*CORE, "-nostartfiles"]
    script = Path(linked[linked.index("-T") + 1]).read_text()
    assert "FLASH (rx) : ORIGIN = 0x80000000, LENGTH = 4194304" in script
    assert "RAM (rw) : ORIGIN = 0x80400000, LENGTH = 16777216" in script
    assert ". += 4096;" in script


def test_its_emulator_runs_them(here: Here) -> None:
    program = (
        "from pathlib import Path\n"
        "from tinygen.build.qemu import run_qemu\n"
        "from tinygen.errors import TinygenError\n"
        "from tinygen.targets.cores import get_core\n"
        "try: r = run_qemu(get_core('rv32imac').machine, Path('p.elf'), Path('.')); print(r.stdout, r.fault, sep='')\n"
        "except TinygenError as error: print(error)"
    )
    assert "or set TINYGEN_QEMU_RISCV to it;" in here.python(program)[0]
    here.tool("qemu-system-riscv32", 'echo "$@"; exit 71')
    assert here.python(program) == [
        f"-M virt -bios none -m 32M {SEMIHOSTING} -kernel {here.folder.resolve() / 'p.elf'}",
        "the stack overflowed",
    ]


def test_runs_are_counted_only_with_a_decoder(here: Here) -> None:
    said = here.python(
        "from tinygen.errors import TinygenError\n"
        "from tinygen.profile.counter import _entries\n"
        "from tinygen.profile.measure import model_view, profile_library\n"
        "from tinygen.targets.arch.timing import Instruction, Kind, Timing\n"
        "from tinygen.targets.cores import get_core\n"
        "try: profile_library(model_view('m', [(1, 8)], [(1, 8)]), [], {}, get_core('rv32imac'))\n"
        "except TinygenError as error: print(error)\n"
        "decode = lambda a, b: Instruction(4, Kind.LOAD, loads=1) if a & 3 == 3 else Instruction(2, Kind.OTHER)\n"
        "timing = Timing({Kind.LOAD: 5}, pipelined=False, taken={}, taken_load=0, notes='')\n"
        "print(list(_entries(bytes([3, 0, 1, 0]), decode, timing)))"
    )
    assert said[0].startswith("rv32imac: tinygen cannot tell the instructions of a RISC-V apart")
    # A load at the first halfword: flags, cycles, cycles when taken, loads, stores, bytes; another thing at the second.
    assert said[1] == "[1, 5, 0, 1, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0]"


@pytest.mark.skipif(os.name == "nt", reason="the tools are shell scripts")
def test_a_build_for_its_board(here: Here) -> None:
    """With the reference's kernels and nothing measured; the project knows the board's compiler, flags and emulator."""
    (here.folder / "net.onnx").write_bytes(NETS["dense"]().SerializeToString())
    done = here.run("-m", "tinygen", "inspect", "net.onnx", "--board", "riscv_virt")
    assert done.returncode == 0, done.stdout + done.stderr
    done = here.run("-m", "tinygen", "build", "net.onnx", "--board", "riscv_virt", "-o", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert "not verified on rv32imac: riscv64-unknown-elf-gcc is not on PATH" in said
    out = here.folder / "out"
    layers = json.loads((out / "plan.json").read_text())["layers"]
    assert {call["kernel"] for layer in layers for call in layer["calls"]} == {"tg_dense_s8", "tg_lut_s8"}
    target = json.loads((out / "boards" / "riscv_virt.json").read_text())["tinygen"]["target"]
    assert (target["folder"], target["compilers"]) == ("riscv", ["riscv64-unknown-elf-gcc"])
    assert target["core_flags"] == CORE
    assert " ".join(target["emulator"]) == f"qemu-system-riscv32 -M virt -bios none -m 32M {SEMIHOSTING} -kernel"
    folders = sorted(p.name for p in (out / "platform").iterdir() if p.is_dir())
    assert folders == ["builder", "host", "include", "riscv"]
    assert "riscv64-unknown-elf-gcc and qemu-system-riscv32" in (out / "platformio.ini").read_text()
    assert "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-system-misc" in (out / "README.md").read_text()
    done = here.run("-m", "tinygen", "profile", "out")
    assert done.returncode != 0
    assert "cannot tell the instructions of a RISC-V apart" in " ".join(done.stderr.split())


OVERFLOW = "int dive(int n) { volatile int a[64]; a[n % 64] = n; return n ? dive(n - 1) + a[0] : 0; }"


def test_with_the_real_tools(here: Here, require_tool: Callable[[str], None]) -> None:
    """A network on the emulated core, every byte equal to numpy; its golden vectors by PlatformIO; faults in words."""
    here.env["PATH"] = os.environ["PATH"]
    for name in ("riscv64-unknown-elf-gcc", "qemu-system-riscv32", "gcc"):
        require_tool(name)
    (here.folder / "net.onnx").write_bytes(NETS["mixed"]().SerializeToString())
    done = here.run("-m", "tinygen", "build", "net.onnx", "--board", "riscv_virt", "-o", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"verified +rv32imac +\d+ samples, every byte equal to numpy", done.stdout), done.stdout
    done = here.run("-m", "tinygen", "verify", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"riscv_virt_qemu +golden\d +PASSED", done.stdout)) == 2, done.stdout
    for body, fault in (
        (f"{OVERFLOW} int main(void) {{ return dive(100000); }}", "the stack overflowed"),
        ('int main(void) { __asm volatile(".word 0"); return 0; }', "the program faulted"),
        ("int main(void) { *(volatile int *)main = 1; return 0; }", "the program faulted"),
    ):
        (here.folder / "main.c").write_text(body)
        assert here.python(COMPILE) == ["p.elf"]
        (said,) = here.python(
            "from pathlib import Path\nfrom tinygen.build.qemu import run_qemu\n"
            "from tinygen.targets.cores import get_core\n"
            "print(run_qemu(get_core('rv32imac').machine, Path('p.elf'), Path('.')).fault)"
        )
        assert said.startswith(fault)
