"""Kernels and constants in RAM, on a board whose manifest names RAM for code: chosen, marked, placed, copied, and the
same bits; and what is said where there is no such RAM."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tinygen
from tests.emit.library import link_symbols
from tinygen.build.toolchain import compile_program, find_toolchain
from tinygen.emit.stamp import plain
from tinygen.errors import TargetError
from tinygen.plan.planner import plan
from tinygen.targets.board import load_board, with_code_in_ram
from tinygen.targets.flash import flash_of

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
BOARD = "nucleo_l4r5zi"
ROOM = 5000


@pytest.fixture(scope="module")
def digits() -> tinygen.Quantised:
    x = np.load(DIGITS / "digits_calib.npz")["x"][:40]
    return tinygen.load(DIGITS / "digits.onnx").quantize(x)


def test_a_build(digits: tinygen.Quantised, tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """Proved on the emulated core, where they run from RAM as well; linked for the board, they lie in its SRAM2."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    built = digits.build(BOARD, code_in_ram=ROOM)
    moved = built.to_dict()["ram"]["kernels_and_constants"]
    assert 0 < moved <= ROOM
    files = {Path(name).name: content for name, content in built.files.items() if "/src/" in name}
    told = json.loads(built.files["plan.json"])["in_ram"]
    assert told["kernels"]
    assert told["constants"]
    src = tmp_path / "src"
    src.mkdir()
    for name, content in files.items():
        (src / name).write_bytes(content)
    main = (
        '#include "digits.h"\nstatic digits_ctx_t c; static int8_t x[64], y[10];\n'
        "int main(void) { return (int)digits_run(&c, x, y); }\n"
    )
    (src / "main.c").write_text(main, encoding="utf-8")
    script = tmp_path / "board.ld"
    script.write_bytes(built.files["registry.ld"])
    core = load_board(BOARD).core
    sources = sorted(src.glob("*.c"))
    program = compile_program(
        find_toolchain(core), core, sources, [src], tmp_path / "a.elf", linker_script=script, stack_bytes=2048
    )
    where = {plain(name): address for name, address in link_symbols(program.elf).items()}
    ram = load_board(BOARD).code_ram
    assert ram is not None
    names = {plain(n.rsplit(".", 1)[0]) for n in files if n.startswith("tg_")} | set(told["constants"])
    names |= {n for n in where if n.startswith("digits_")}
    there = {n for n in names & where.keys() if ram.start <= where[n] < ram.start + ram.size}
    assert there == {*told["kernels"], *told["constants"]}
    assert ram.start < where["tg_ramfunc_end"] <= ram.start + ROOM + 512  # sizes of kernels are reckoned


def test_a_profile(digits: tinygen.Quantised, tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """Less waiting for code than without; of another board it is said that nobody knows its RAM."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    waits = []
    for room in (0, ROOM):
        digits.build(BOARD, optimize="speed", code_in_ram=room, verify="none").save(tmp_path / str(room))
        found = tinygen.open_build(tmp_path / str(room)).profile()
        waits.append(found.to_dict()["total"]["flash_waits"]["for_code"])
        assert not any("into RAM" in note for note in found.notes)
    assert waits[1] < 0.7 * waits[0]
    elsewhere = tinygen.open_build(tmp_path / str(ROOM)).profile("nucleo_f446re")
    assert any("which nobody knows of nucleo_f446re" in note for note in elsewhere.notes)


def test_what_moves_fits_and_saves_time(digits: tinygen.Quantised) -> None:
    """More room, never slower; no room, nothing moves; no waits, nothing moves."""
    board = load_board(BOARD)
    fixed = digits._model.fixed
    flash = flash_of(board)
    plans = [plan(fixed, board.core, "speed", flash=flash, code_in_ram=n) for n in (0, 500, 2000, 20_000)]
    assert not plans[0].in_ram
    assert len(plans[-1].in_ram) > len(plans[1].in_ram)
    zero = flash_of(tinygen.api.board.board_of(BOARD, zero_wait=True))
    assert not plan(fixed, board.core, flash=zero, code_in_ram=4096).in_ram


def test_boards_without() -> None:
    with pytest.raises(TargetError, match=r"no RAM of nucleo_f446re.*code runs without waits.*nucleo_l4r5zi"):
        with_code_in_ram(load_board("nucleo_f446re"), 4096)
    with pytest.raises(TargetError, match=re.escape("found 70,000 bytes, allowed are 1 to 65,536")):
        with_code_in_ram(load_board(BOARD), 70_000)
    board = with_code_in_ram(load_board(BOARD), 4096)
    assert board.ram_bytes == 196_608  # SRAM1: SRAM2, seen at another address, holds the code
