"""How far the flash model is off, as recorded: the band that tinygen says is that of the published results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import silicon
from tinygen.build.toolchain import compile_program, find_toolchain
from tinygen.targets.board import load_board
from tinygen.targets.energy import MODELLED
from tinygen.targets.flash import SILICON, flash_of

RECORDED = json.loads(silicon.RESULTS.read_text(encoding="utf-8"))


def test_the_band_is_that_of_the_record() -> None:
    """Of every program that was published, and no other; energy takes the same band."""
    found = list(silicon.ratios(RECORDED))
    assert len(found) == 16
    assert {(name, network) for name, networks in RECORDED.items() for network in networks} == {f[:2] for f in found}
    assert silicon.band([ratio for *_, ratio in found]) == pytest.approx(SILICON, abs=0.006)
    assert (MODELLED.low, MODELLED.likely, MODELLED.high) == SILICON


def test_boards_of_several_submitters_agree() -> None:
    """The same program within 1 % on boards of three, so the ratio is not one board's."""
    for software in silicon.published().values():
        for cycles in silicon.silicon(software).values():
            assert max(cycles) < 1.01 * min(cycles)


def test_a_program_counts_its_inference_alone(require_tool: Callable[[str], None], tmp_path: Path) -> None:
    """What it does before and after is not counted; waits are those of the flash that is asked for."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    board = load_board(silicon.BOARD)
    body = "static volatile int x; __attribute__((noinline)) int inference(void); "
    body += "int inference(void) { for (int i = 0; i < 100; i++) { x++; } return x; } "
    counted = []
    for around in (0, 1000):
        source = tmp_path / f"around{around}.c"
        source.write_text(
            f"{body} int main(void) {{ for (int i = 0; i < {around}; i++) {{ x++; }} int a = inference();"
            f" for (int i = 0; i < {around}; i++) {{ x++; }} return a != {around} + 100; }}"
        )
        elf = tmp_path / f"around{around}.elf"
        compile_program(find_toolchain(board.core), board.core, [source], [], elf)
        counted.append(silicon.count_program(elf, board.core, flash_of(board)))
        assert counted[-1].code_stalls > 0
        assert silicon.count_program(elf, board.core, None).flash_cycles == counted[-1].cycles
    assert counted[0].instructions == counted[1].instructions
    assert 400 < counted[0].instructions < 700
