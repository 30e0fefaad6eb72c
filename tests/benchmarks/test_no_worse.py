"""No recorded figure gets worse by more than 1 % without benchmarks/results/guard.json being renewed on purpose."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from benchmarks import guard
from benchmarks.datasets import shared_dir
from benchmarks.mlperf import NETWORKS
from tinygen.targets.cores import COUNTED_CORES

Require = Callable[[str], None]


@pytest.fixture(autouse=True)
def _tools(require_tool: Require) -> None:
    """The compiler of the record, and an emulator."""
    for name in ("arm-none-eabi-gcc", "qemu-system-arm", "gcc"):
        require_tool(name)
    if guard.compiler() != guard.recorded()["compiler"]:
        message = f"arm-none-eabi-gcc is {guard.compiler()}, figures are of {guard.recorded()['compiler']}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def hold(names: tuple[str, ...], core: str, found: guard.Rows) -> None:
    known = guard.rows_of(guard.recorded()["rows"], names, core)
    problems = guard.worse(known, found)
    assert known
    assert not problems, "\n".join([*problems, f"If that is meant to be: {guard.COMMAND}"])


@pytest.mark.parametrize("core", COUNTED_CORES)
def test_single_layers(core: str) -> None:
    hold(tuple(layer.name for layer in guard.STUDY), core, guard.measure_layers(core))


def networks(names: tuple[str, ...], core: str) -> None:
    found: guard.Rows = {}
    for name in names:
        for build_core, mode in guard.builds():
            if build_core == core:
                found |= guard.measure_network(name, core, mode)
    hold(names, core, found)


@pytest.mark.parametrize("core", COUNTED_CORES)
def test_small_networks(core: str) -> None:
    networks(guard.SMALL_NETWORKS, core)


@pytest.mark.shared
@pytest.mark.parametrize("name", NETWORKS)
def test_mlperf_tiny(name: str) -> None:
    try:
        shared_dir()
    except FileNotFoundError as error:
        pytest.skip(f"{name}: {error}")
    for core in COUNTED_CORES:
        networks((name,), core)


# The tests above must be able to fail.
ROW = {"a | cortex-m4 speed": {"instructions": 1000, "flash": 200}}


@pytest.mark.parametrize(
    ("now", "problems"),
    [
        pytest.param({"instructions": 1010, "flash": 202}, 0, id="within 1 %"),
        pytest.param({"instructions": 1011, "flash": 100}, 1, id="one worse"),
        pytest.param({"instructions": 2000, "flash": 203}, 2, id="both worse"),
        pytest.param({"instructions": 10}, 1, id="one missing"),
    ],
)
def test_worse_is_found(now: guard.Figures, problems: int) -> None:
    assert len(guard.worse(ROW, {"a | cortex-m4 speed": now})) == problems
    assert len(guard.worse(ROW, {})) == 2


def test_rows_of_a_core() -> None:
    known = {**ROW, "b | cortex-m4 speed": {}, "a | cortex-m0": {}}
    assert guard.rows_of(known, ("a",), "cortex-m4") == ROW
