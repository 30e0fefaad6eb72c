"""Every manifest in boards/ is complete and agrees with itself, with its core, and with its emulator."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tinygen.build.qemu import run_qemu
from tinygen.build.toolchain import compile_program, find_toolchain, measure, write_linker_script
from tinygen.errors import TargetError
from tinygen.resources import boards_dir
from tinygen.targets.arch.arm_m import TRAP_UNALIGNED
from tinygen.targets.arch.arm_m.cores import ARM_M
from tinygen.targets.arch.base import Machine
from tinygen.targets.board import Board, all_boards, load_board, read_manifest
from tinygen.targets.cores import CORES, VERIFY_CORES, get_core

BOARDS = all_boards()
EMULATED = [board for board in BOARDS if board.stand_in is not None]


def test_boards_are_sorted_and_cover_every_core() -> None:
    ids = [board.id for board in BOARDS]
    assert ids == sorted(ids)
    assert len(ids) >= 30
    assert {board.core.name for board in BOARDS} | {"cortex-m55"} == {core.name for core in CORES}
    assert all(get_core(name).machine is not None for name in VERIFY_CORES)


@pytest.mark.parametrize("board", EMULATED, ids=lambda board: board.id)
def test_manifest_is_consistent(board: Board) -> None:
    assert board.stand_in is not None
    assert board.f_cpu_hz >= 16_000_000
    assert board.url.startswith("https://")
    assert 8 * 1024 <= board.ram_bytes <= board.stand_in.ram_size
    assert 64 * 1024 <= board.flash_bytes <= board.stand_in.flash_size
    assert (board.registry_board is None) == (board.registry_platform is None)


@pytest.mark.parametrize("board", [b for b in EMULATED if b.core.arch is ARM_M], ids=lambda board: board.id)
def test_manifest_says_the_flags_to_platformio(board: Board) -> None:
    build = json.loads(board.manifest.read_text())["build"]
    assert f"-mcpu={build['cpu']}" in board.core.cflags
    fpu = build["fpu"]
    assert (fpu != "none") == ("-mfloat-abi=hard" in board.core.cflags)
    assert [f for f in board.core.cflags if "fpu" in f] == ([] if fpu in ("none", "auto") else [f"-mfpu={fpu}"])


#: Of the programs below; and what alignment may take beside what is measured.
STACK, SLACK = 1024, 128


def filled(folder: Path, flash: int, ram: int) -> Path:
    """main.c: returns 7 by way of the last of so many bytes of flash and of RAM."""
    main = folder / "main.c"
    main.write_text(
        f"static const signed char flash[{flash}] = {{[{flash - 1}] = 7}};\n"
        f"static volatile signed char ram[{ram}];\n"
        "volatile int last_flash = sizeof flash - 1, last_ram = sizeof ram - 1;\n"
        "int main(void) { ram[last_ram] = flash[last_flash]; return ram[last_ram]; }\n"
    )
    return main


@functools.cache
def program_sizes(core_name: str) -> tuple[int, int]:
    """Bytes of flash and of RAM that such a program takes for itself: start-up, stack, what else the script places."""
    core = get_core(core_name)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = compile_program(
            find_toolchain(core), core, [filled(folder, 1, 1)], [], folder / "a.elf", stack_bytes=STACK, link_map=True
        )
        assert program.map_file is not None
        sizes = measure(program.elf, program.map_file, lambda path: False)
    return sizes.flash_total, sizes.ram_total


@pytest.mark.parametrize("board", EMULATED, ids=lambda board: board.id)
def test_largest_program_of_a_board_runs_in_its_stand_in(
    board: Board, tmp_path: Path, require_tool: Callable[[str], None]
) -> None:
    """The last bytes of the board's flash and RAM exist in the emulator."""
    assert board.stand_in is not None
    here = board.stand_in
    require_tool(board.core.arch.compiler.programs[0])
    require_tool(here.emulator.programs[0])
    flash_used, ram_used = program_sizes(board.core.name)
    main = filled(tmp_path, board.flash_bytes - flash_used - SLACK, board.ram_bytes - ram_used - SLACK)
    machine = Machine(
        here.emulator,
        here.name,
        here.args,
        here.flash_start,
        board.flash_bytes,
        here.ram_start,
        board.ram_bytes,
        here.vectors_start,
    )
    script = write_linker_script(tmp_path / "board.ld", board.core.arch, machine, STACK)
    program = compile_program(
        find_toolchain(board.core), board.core, [main], [], tmp_path / "a.elf", linker_script=script
    )
    assert run_qemu(here, program.elf, tmp_path).exit_code == 7


def test_unknown_board_names_the_closest(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"nucleo_f446re.*tinygen boards"):
        load_board("nucleo_f446")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"build": {}}, '"build.mcu" is missing'),
        ({"upload": 3}, '"upload" must be an object'),
        ({"name": 3}, '"name" must be a string'),
        ({"upload": {"maximum_size": "64K"}}, '"upload.maximum_size" must be a number'),
        ({"tinygen": {"core": "cortex-m99", "registry": {}}}, "tinygen.core"),
    ],
)
def test_broken_manifest_names_file_and_key(tmp_path: Path, change: dict[str, object], complaint: str) -> None:
    manifest = json.loads((boards_dir() / "due.json").read_text()) | change
    path = tmp_path / "due.json"
    path.write_text(json.dumps(manifest))
    with pytest.raises(TargetError, match=complaint) as error:
        read_manifest(path)
    assert str(path) in str(error.value)


def test_text_that_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{")
    with pytest.raises(TargetError, match=r"x\.json"):
        read_manifest(path)


def test_unaligned_access_faults_on_request(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """On every Cortex-M: an M0 always faults, the others when asked to."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    main = tmp_path / "main.c"
    main.write_text(
        "#include <stdint.h>\n"
        "static uint32_t words[2]; volatile uintptr_t at = (uintptr_t)words + 1U;\n"
        "int main(void) { return (int)*(volatile uint32_t *)at; }\n"
    )
    for name in (n for n in VERIFY_CORES if get_core(n).arch is ARM_M):
        core = get_core(name)
        assert core.machine is not None
        flags = () if name == "cortex-m0" else TRAP_UNALIGNED
        program = compile_program(find_toolchain(core), core, [main], [], tmp_path / f"{name}.elf", extra_flags=flags)
        result = run_qemu(core.machine, program.elf, tmp_path)
        assert (name, result.exit_code) == (name, 70), result.stdout
