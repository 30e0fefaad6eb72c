"""The cost model: recorded for every kernel the planner can choose, and near what single layers were counted at."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from benchmarks.fit_costs import cases_of, errors, other_layers, solve
from benchmarks.layers import STUDY, Layer, conv, dense, depthwise, pointwise
from tests.ops.graphs import CASES
from tinygen.ops import OPERATORS, Operator, Requantise
from tinygen.ops.base import Call
from tinygen.plan import cost
from tinygen.plan.select import candidates
from tinygen.resources import templates_dir
from tinygen.targets.board import all_boards
from tinygen.targets.cores import CORES, get_core
from tinygen.targets.flash import ZERO_WAIT, flash_of

EMULATED = [core.name for core in CORES if core.machine is not None]


def calls(layer_call: Call, core: str) -> tuple[Call, ...]:
    return candidates(layer_call, get_core(core).kernel_sets)


def lowered(layer: object) -> Call:
    graph = layer.graph()  # type: ignore[attr-defined]
    node = graph.nodes[0]
    assert isinstance(node.op, Operator)
    (call,) = node.op.lower(graph.ins(node), graph.outs(node))
    return call


@pytest.mark.parametrize("core", EMULATED)
def test_every_kernel_has_a_cost(core: str) -> None:
    """When this fails, run the command it names."""
    grouped = conv((8, 8), (8, 8), groups=2)
    layers = [*STUDY, grouped, depthwise((8, 8), 8, mult=2), *other_layers(random.Random(0), 6, 5, 8)]
    unknown = {cost.line(case.call) for case in cases_of(core, layers) if not cost.known(case.call, core)}
    assert not unknown, f"no cost of {', '.join(sorted(unknown))} on {core}: run {cost.COMMAND}"


@pytest.mark.parametrize("core", EMULATED)
def test_every_operator_has_a_cost(core: str) -> None:
    """Its named cases, in int8: whoever adds one must have it measured. When this fails: an entry in `_OPERATORS`
    (tinygen/plan/cost.py), a layer in `other_layers` (benchmarks/layers.py), then the command it names."""
    calls_of = cases_of(core, [Layer(name, case.op, case.inputs) for name, case in CASES])
    assert {type(case.op) for _, case in CASES} == set(OPERATORS) - {Requantise}
    assert all(cost.traits(case.call).features for case in calls_of)
    unknown = {cost.line(case.call) for case in calls_of if not cost.known(case.call, core)}
    assert not unknown, f"no cost of {', '.join(sorted(unknown))} on {core}: run {cost.COMMAND}"


@pytest.mark.parametrize("core", EMULATED)
def test_every_reference_kernel_has_a_cost(core: str) -> None:
    """In every type. When this fails, run the command it names."""
    recorded = get_core(core).costs_of or core
    known = json.loads(cost.costs_file(get_core(core).arch).read_text())[recorded]
    kernels = {p.stem for p in (templates_dir() / "kernels" / "ref").glob("*.c")}
    missing = kernels - {name for line in known for name in line.split()}
    assert not missing, f"no cost of {', '.join(sorted(missing))} on {core}: run {cost.COMMAND}"


def test_coefficients() -> None:
    """None is negative, none is zero, and each belongs to a figure that is asked for."""
    recorded = [core.name for core in CORES if core.machine is not None and not core.costs_of]
    tables = [json.loads(file.read_text()) for file in {cost.costs_file(get_core(core).arch) for core in recorded}]
    assert sorted(core for table in tables for core in table) == sorted(recorded)
    for core, lines in (row for table in tables for row in table.items()):
        for kinds in lines.values():
            for figures in kinds.values():
                timed = get_core(core).timing is not None
                assert set(figures) == ({"insns", "cycles"} if timed else {"insns"})
                assert all(k > 0 for coefficients in figures.values() for k in coefficients.values())
                assert figures["insns"]


@pytest.mark.parametrize("core", EMULATED)
def test_more_work_costs_more(core: str) -> None:
    """Twice the channels, or the pixels, cost between once and four times as much."""
    for small, large in (
        (pointwise((12, 12), (32, 32)), pointwise((12, 12), (32, 64))),
        (conv((12, 12), (16, 16)), conv((24, 12), (16, 16))),
        (depthwise((12, 12), 16), depthwise((24, 12), 16)),
        (dense(128, 64), dense(128, 128)),
    ):
        for a, b in zip(calls(lowered(small), core), calls(lowered(large), core), strict=True):
            assert a.kernel == b.kernel
            ratio = cost.cycles(b, core) / cost.cycles(a, core)
            assert 1.3 < ratio < 3.0, f"{a.kernel}: {ratio}"


def test_features_of_the_call_itself() -> None:
    """A call that brings its own features is priced by them, under the name of its family."""
    own = replace(lowered(dense(8, 8)), family="tg_dense_s8", features=(("macs", 64.0),))
    assert cost.line(own) == "tg_dense_s8"
    assert cost.traits(own).features == {"once": 1.0, "macs": 64.0}


def test_unknown_kernels() -> None:
    call = replace(lowered(dense(8, 8)), kernel="tg_dense_s8_none", reference="tg_dense_s8")
    assert not cost.known(call, "cortex-m4")
    with pytest.raises(KeyError, match=r"tg_dense_s8_none on cortex-m4: run python -m benchmarks\.fit_costs"):
        cost.cycles(call, "cortex-m4")
    with pytest.raises(KeyError, match="tg_nothing_s8"):
        cost.traits(replace(call, kernel="tg_nothing_s8", reference=""))


def test_cycles_are_instructions_where_there_is_no_timing() -> None:
    call = lowered(dense(64, 64))
    assert cost.cycles(call, "cortex-m55") == cost.instructions(call, "cortex-m55")
    assert cost.cycles(call, "cortex-m4") > cost.instructions(call, "cortex-m4")
    assert cost.cycles(call, "cortex-m85") == cost.cycles(call, "cortex-m55")


def test_fit_finds_what_made_the_figures() -> None:
    rows = [({"once": 1.0, "n": float(n), "m": float(n % 3)}, 20.0 + 3.0 * n) for n in range(1, 20)]
    k = solve(rows)
    assert k["once"] == pytest.approx(20)
    assert k["n"] == pytest.approx(3)
    assert max(map(abs, errors(k, rows))) < 1e-3


DESCRIBED = {f.key: (b, f) for b in all_boards() if (f := flash_of(b)) is not None and f.waits}


@pytest.mark.parametrize("key", sorted(DESCRIBED))
def test_every_cost_has_its_waits(key: str) -> None:
    """Of every flash that a board has. When this fails, run the command it names."""
    board, flash = DESCRIBED[key]
    core = board.core.costs_of or board.core.name
    stalls = json.loads(cost.stalls_file(board.core.arch).read_text())[key][core]
    costs = json.loads(cost.costs_file(board.core.arch).read_text())[core]
    missing = {(line, kind) for line, kinds in costs.items() for kind in kinds if kind not in stalls.get(line, {})}
    assert not missing, f"no waits of {sorted(missing)} for {flash.family}: run {cost.COMMAND}"


def test_waits() -> None:
    """None without wait states, else in proportion to them; none for code in RAM, none for constants there."""
    call = calls(lowered(conv((12, 12), (16, 32))), "cortex-m4")[0]
    flash = replace(ZERO_WAIT, family="STM32L4+", waits=5, width=8, code_bytes=1024, data_bytes=256)
    whole = cost.stalls(call, "cortex-m4", flash)
    code, data = (f(call, "cortex-m4", flash) for f in (cost.code_stalls, cost.data_stalls))
    assert whole is not None
    assert code is not None
    assert data is not None
    assert whole == code + data > 0
    assert cost.stalls(call, "cortex-m4", ZERO_WAIT) == 0.0
    assert cost.stalls(call, "cortex-m4", replace(flash, waits=3)) == pytest.approx(0.6 * whole)
    assert cost.stalls(call, "cortex-m4", replace(flash, family="unheard of")) is None
    kernels = (*call.library, *(g.name for g in call.generated))
    assert cost.stalls(call, "cortex-m4", flash, kernels) == data
    assert cost.stalls(call, "cortex-m4", flash, [c.content for c in call.consts]) == code
