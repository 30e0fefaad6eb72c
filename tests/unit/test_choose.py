"""The choice among kernels: made-up costs, so that every answer is known; then a network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.layers import conv, pointwise
from tests.unit.test_cost import calls, lowered
from tinygen.ops.base import Call, ConstArg, Generated
from tinygen.plan import choose as module
from tinygen.plan.choose import HOT_BYTES, choose
from tinygen.plan.modes import MODES
from tinygen.plan.planner import plan
from tinygen.targets.cores import get_core
from tinygen.targets.flash import ZERO_WAIT, Flash


@pytest.fixture(autouse=True)
def made_up(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call costs what its features say."""
    if "network" in request.function.__name__:
        return
    monkeypatch.setattr(module.cost, "cycles", lambda call, core: dict(call.features)["cycles"])
    monkeypatch.setattr(
        module.cost, "stalls", lambda call, core, flash, in_ram: flash.waits * dict(call.features).get("lines", 0.0)
    )


def way(kernel: str, cycles: float, code: int, stack: int = 0, hot: int = 0, lines: float = 0.0) -> Call:
    """A call through a kernel of its own, `code` bytes of flash; `lines` of flash are waited for."""
    made = (Generated(kernel, "", None, code, hot, kernel),)
    return Call(kernel, (), (), (), "y", generated=made, stack=stack, features=(("cycles", cycles), ("lines", lines)))


def chosen(
    rows: list[list[Call]], optimize: str, activations: int = 10**9, *, flash: Flash | None = ZERO_WAIT
) -> list[str]:
    made = choose(rows, "cortex-m4", optimize, activations=activations, flash=flash)
    assert len(made) == len(rows)
    return [c.kernel for c in made]


def test_modes() -> None:
    """The fastest, the smallest, and between them what is worth its flash."""
    row = [way("slow", 2000, 100), way("fair", 1050, 400), way("fast", 1000, 9000)]
    assert {mode: chosen([row], mode) for mode in MODES} == {"speed": ["fast"], "balanced": ["fair"], "size": ["fair"]}
    near = [way("small", 1100, 100), way("fast", 1000, 2000)]
    assert chosen([near], "size") == ["small"]
    assert chosen([near], "balanced") == ["fast"]


def test_scratch_is_ram_where_the_arena_has_no_room() -> None:
    """Balanced takes it where the layer leaves that much of the arena free; speed takes it anyway."""
    row = [way("plain", 1000, 100), replace(way("grouped", 900, 100), scratch=800)]

    def taken(mode: str, free: int) -> str:
        return choose([row], "cortex-m4", mode, activations=1000, free=[free], flash=ZERO_WAIT)[0].kernel

    assert [taken("balanced", n) for n in (0, 400, 800)] == ["plain", "plain", "grouped"]
    assert taken("speed", 0) == "grouped"


def test_code_is_counted_once() -> None:
    """A shared kernel wins where several layers use it, and only there."""
    own = [[way(f"own{i}", 1000, 3000), way("shared", 1020, 4000)] for i in range(4)]
    assert chosen(own[:1], "balanced") == ["own0"]
    assert chosen(own, "balanced") == ["shared"] * 4
    assert chosen(own, "speed") == [f"own{i}" for i in range(4)]


def test_stack_is_the_largest_of_all() -> None:
    """A kernel with a large window is worth less than its stack, unless another layer needs as much anyway."""
    row = [way("deep", 1000, 100, stack=4000), way("flat", 1050, 100)]
    assert chosen([row], "balanced", 4000) == ["flat"]
    assert chosen([row], "speed", 4000) == ["deep"]
    assert chosen([row], "balanced", 400_000) == ["deep"]
    only = [way("only", 1000, 100, stack=4000)]
    assert chosen([row, only], "balanced", 4000) == ["deep", "only"]
    other = [way("deep2", 1000, 100, stack=4000), way("flat2", 1050, 100)]
    assert chosen([row, other], "balanced", 4000) == ["flat", "flat2"]


def test_a_flash_that_nobody_described() -> None:
    """A loop that leaves a small cache costs a third more, but not where speed is all."""
    row = [way("long", 1000, 100, hot=HOT_BYTES + 1), way("short", 1200, 100, hot=HOT_BYTES)]
    assert chosen([row], "balanced", flash=None) == ["short"]
    assert chosen([row], "balanced") == ["long"]
    assert chosen([row], "speed", flash=None) == ["long"]


@pytest.mark.parametrize("mode", ["speed", "balanced"])
def test_waits_decide(mode: str) -> None:
    """What is fastest depends on how long a line of flash takes."""
    row = [way("long", 1000, 100, lines=100), way("short", 1200, 100, lines=10)]
    waits = (0, 2, 3)
    flashes = [replace(ZERO_WAIT, family="made up", waits=w) for w in waits]
    assert [chosen([row], mode, flash=f) for f in flashes] == [["long"], ["long"], ["short"]]


def test_a_core_that_nobody_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes the preferred."""
    monkeypatch.setattr(module.cost, "measured", lambda core: False)
    assert chosen([[way("first", 5000, 9000), way("second", 1, 1)]], "speed") == ["first"]


def test_networks_kernel_without_a_cost() -> None:
    """An error that names the command, also where another kernel has one."""
    row = calls(lowered(pointwise((5, 5), (8, 8))), "cortex-m4")
    new = replace(row[0], kernel="tg_new_s8_dsp", family="", generated=(), uses=())
    with pytest.raises(
        KeyError, match=r"no recorded cost of tg_new_s8_dsp on cortex-m4: run python -m benchmarks\.fit"
    ):
        choose([[*row, new]], "cortex-m4", "speed", activations=1)


def test_says_how_many_there_were() -> None:
    made = choose([[way("a", 1, 1), way("b", 2, 1)], [way("c", 1, 1)]], "cortex-m4", "speed", activations=1)
    assert [c.why for c in made] == [", one of 2 for speed", ""]


def test_networks_modes() -> None:
    """Predicted with the recorded costs: speed is never slower than the others, size never larger."""
    core = get_core("cortex-m4")
    layers = (pointwise((12, 12), (32, 64)), conv((12, 12), (16, 32)), pointwise((5, 5), (24, 30)))
    rows = [calls(lowered(layer), core.name) for layer in layers]
    cycles, flash = {}, {}
    for mode in MODES:
        made = choose(rows, core.name, mode, activations=10_000)
        assert made == choose(rows, core.name, mode, activations=10_000)
        byte = module.KIB_WORTH["size"] / 1024
        options = [module._option(c, core.name, "size", ZERO_WAIT, byte, byte) for c in made]
        cycles[mode] = sum(o.cycles for o in options)
        flash[mode] = sum(dict(c for o in options for c in (*o.code, *o.constants)).values())
    assert cycles["speed"] == min(cycles.values()) < cycles["size"]
    assert flash["size"] == min(flash.values()) < flash["speed"]


def test_compressed_weights_stay_compressed() -> None:
    """Unless speed is all: a kibibyte that compression saves counts for more than one of code."""

    def with_weights(kernel: str, cycles: float, size: int, compressed: bool = False) -> Call:
        constants = (ConstArg("w", np.zeros(size, np.int8)),)
        return replace(way(kernel, cycles, 100), consts=constants, compressed=compressed)

    int8 = with_weights("int8", 1000, 8000)
    ways = [int8, with_weights("palette", 1400, 4500, compressed=True)]
    assert {mode: chosen([ways], mode) for mode in MODES} == {
        "speed": ["int8"], "balanced": ["palette"], "size": ["palette"]
    }  # fmt: skip
    assert chosen([[int8, with_weights("other", 1400, 4500)]], "balanced") == ["int8"]


@pytest.mark.parametrize("mode", MODES)
def test_network_with_a_plain_stack(mode: str) -> None:
    core, graph = get_core("cortex-m4"), pointwise((12, 12), (32, 64)).graph()
    usual = [c.call for s in plan(graph, core, mode).steps for c in s.calls]
    plain = [c.call for s in plan(graph, core, mode, plain_stack=True).steps for c in s.calls]
    assert not any(c.points_with_sp for c in plain)
    assert any(c.points_with_sp for c in usual) or mode == "size"
