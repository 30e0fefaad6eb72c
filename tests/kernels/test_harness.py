"""Every family that is a program, in the harness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.kernels import planes, rows, tiles
from tests.kernels.harness import Case, hold

FAMILIES: dict[str, Callable[[], Sequence[Case]]] = {
    "plane": planes.all_cases,
    "row": rows.all_cases,
    "tile": tiles.all_cases,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_family(family: str, require_tool: Callable[[str], None], tmp_path: Path) -> None:
    """Bits, registers of the caller, stack, bytes and cycles are what the program says."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    hold(FAMILIES[family](), tmp_path)
