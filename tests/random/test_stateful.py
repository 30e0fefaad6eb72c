"""Random networks with states: import, streams in numpy, C under sanitizers and on an emulated Cortex-M4."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.random.generator import LATER
from tests.random.stateful import check


@pytest.mark.parametrize("seed", range(4))
def test_networks(seed: int, tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    assert check(seed, tmp_path) == ""


def test_network_with_int16_on_a_core(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    for tool in ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    assert check(8, tmp_path, ("native", "cortex-m4"), int16=True) == ""


@pytest.mark.parametrize("seed", range(LATER, LATER + 3))
def test_later_networks(seed: int, tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """Recurrent layers that are handed on, and, of odd seeds, states that do not begin with zeros."""
    require_tool("gcc")
    assert check(seed, tmp_path) == ""


@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m55"])
def test_later_network_on_a_core(core: str, tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    assert check(LATER + 3, tmp_path, (core,), int16=core == "cortex-m55") == ""


@pytest.mark.slow
@pytest.mark.parametrize("first", range(LATER, LATER + 500, 25))
def test_many_later_networks(first: int, tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """The first ones on all cores."""
    for tool in ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    cores = ("native", "cortex-m4", *(("cortex-m0", "cortex-m55") if first < LATER + 50 else ()))
    left = [check(seed, tmp_path, cores, int16=seed % 3 == 2) for seed in range(first, first + 25)]
    assert sum(map(bool, left)) <= 3, left


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 500, 25))
def test_many_networks(first: int, tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    for tool in ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    left = [check(seed, tmp_path, ("native", "cortex-m4"), int16=seed % 3 == 2) for seed in range(first, first + 25)]
    assert sum(map(bool, left)) <= 3, left
