"""The start-up file and a real model at every level of optimisation, with and without -flto, with GCC and Clang."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.emit.library import Library, known_library, library, run
from tinygen import simulate
from tinygen.build.qemu import QemuResult, run_qemu
from tinygen.build.toolchain import Toolchain, compile_program, find_toolchain
from tinygen.emit.programs import ModelView, PortView, render_harness
from tinygen.targets.cores import VERIFY_CORES, get_core

Need = Callable[[str], None]
SHARED = Path(os.environ.get("TINYGEN_SHARED") or Path(__file__).parents[2] / ".." / "shared").resolve()
LTO = ("-O3", "-flto")
#: Without .ltorg in the start-up file none of those with -flto link; the network's code is that long.
LEVELS = [
    *((core, LTO) for core in VERIFY_CORES),
    ("cortex-m0", ("-Os", "-flto")),
    ("cortex-m4", ("-Os", "-flto", "-flto-partition=1to1")),
    ("cortex-m0", ("-O3",)),
    ("cortex-m4", ("-Os",)),
]


@pytest.fixture(autouse=True)
def _tools(require_tool: Need) -> None:
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")


def execute(toolchain: Toolchain, core_name: str, sources: list[Path], flags: tuple[str, ...]) -> QemuResult:
    """The program of `sources`, run in the folder of the first."""
    core, folder = get_core(core_name), sources[0].parent
    assert core.machine is not None
    program = compile_program(toolchain, core, sources, [folder], folder / "a.elf", extra_flags=flags)
    return run_qemu(core.machine, program.elf, folder)


def check_network(lib: Library, core: str, flags: tuple[str, ...], src: Path) -> None:
    """The network with the verification harness gives the bits of numpy."""
    inputs = simulate.quantise_inputs(lib.model.fixed, lib.float_inputs(2))
    expected = simulate.run(lib.model.fixed, inputs)
    ports = [tuple(PortView(e.name, e.length) for e in ends) for ends in (lib.plan.inputs, lib.plan.outputs)]
    lib.write(src)
    (src / "harness.c").write_bytes(render_harness(ModelView(lib.name, lib.name.upper(), "0", *ports)))
    (src / "in.bin").write_bytes(_bytes(inputs))
    result = execute(find_toolchain(get_core(core)), core, sorted(src.glob("*.c")), flags)
    assert (result.exit_code, result.fault) == (0, None), result.stdout
    assert (src / "out.bin").read_bytes() == _bytes(expected)


@pytest.mark.parametrize(("core", "flags"), LEVELS, ids=str)
def test_a_network_runs(core: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    check_network(known_library("conv", core), core, flags, tmp_path)


@pytest.mark.shared
def test_vectors_are_on_before_main_is_begun(tmp_path: Path) -> None:
    """With -flto main is inlined, and of this one the compiler loads a vector register before anything else."""
    path = SHARED / "models" / "kws_dscnn_tf_int8_qdq.onnx"
    if not path.is_file():
        pytest.skip(f"no {path} ($TINYGEN_SHARED, or ../shared)")
    check_network(library(onnx.load(path), "kws", "cortex-m55"), "cortex-m55", LTO, tmp_path)


def _bytes(arrays: tuple[np.ndarray, ...]) -> bytes:
    return np.concatenate([a.reshape(len(a), -1) for a in arrays], axis=1).tobytes()


#: Uses the stack, measures it, and ends with a code of its own; the start-up file does the rest.
SMALL = """
#include "tg_target.h"
static volatile uint32_t room[64];
int main(void)
{
    volatile uint32_t deep[64];
    tg_stack_paint_reset();
    deep[0] = room[1];
    tg_puts("hello ");
    tg_put_u32(deep[0]);
    tg_puts("\\n");
    return 3;
}
"""


@pytest.mark.parametrize(("core", "level"), [("cortex-m0", "-Os"), ("cortex-m4", "-O3")])
@pytest.mark.parametrize(
    ("cc", "linker", "more"),
    [("clang", "arm-none-eabi-ld", ()), ("clang-22", "ld.lld-22", ("-flto",))],
    ids=["GCC's linker", "own linker, -flto"],
)
def test_clang_links_it(
    cc: str, linker: str, more: tuple[str, ...], core: str, level: str, tmp_path: Path, require_tool: Need
) -> None:
    """An old Clang cannot pass -flto to a linker for Cortex-M, so that is tried where a new one is."""
    if more and not (shutil.which(cc) and shutil.which(linker)):
        pytest.skip(f"{cc} or {linker} is not on PATH")
    require_tool(cc)
    asked = (("-print-file-name=libc_nano.a",), ("-print-libgcc-file-name",))
    gcc = find_toolchain(get_core(core))
    runtime = [run(gcc.cc[0], *get_core(core).cflags, *words).strip() for words in asked]
    toolchain = Toolchain(
        gcc.arch,
        (cc, "--target=arm-none-eabi"),
        ("-std=c99", "-ffreestanding", "-fshort-enums", "-Wall", "-Wextra", "-Werror"),
        (f"-fuse-ld={shutil.which(linker)}", "-nostdlib", *runtime),
    )
    (tmp_path / "main.c").write_text(SMALL)
    result = execute(toolchain, core, [tmp_path / "main.c"], (level, *more))
    assert (result.exit_code, result.stdout) == (3, "hello 0\n")
