"""Every family that is a program, in the harness."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernels.harness import hold
from tests.kernels.misra import findings
from tests.kernels.mutants import FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_family(family: str, require_tool: Callable[[str], None], tmp_path: Path) -> None:
    """Bits, registers of the caller, stack, bytes and cycles are what the program says."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    hold(FAMILIES[family](), tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_misra(family: str, require_tool: Callable[[str], None], tmp_path: Path) -> None:
    """No rule is broken in C that is printed: one of `python -m tests.kernels.misra`."""
    require_tool("cppcheck")
    assert findings(FAMILIES[family]()[-1].kernel, tmp_path) == {}
