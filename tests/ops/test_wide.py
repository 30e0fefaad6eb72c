"""Every named case in int16: closer to the float result than int8, and the same bits in C on every core.

All cases stand side by side in one network, so that a core needs one program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import pytest

from tests.ops.graphs import CASES, case_graph, samples
from tests.ops.test_cases import SANITIZE, STRICT
from tinygen import simulate
from tinygen.calibrate.floatrun import FloatModel
from tinygen.calibrate.metrics import sqnr_db
from tinygen.emit.library import render_library
from tinygen.emit.programs import ModelView, PortView
from tinygen.emit.view import library_view
from tinygen.flow import verify
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir import invariants
from tinygen.ir.types import Graph, Port, Stage, Tensor
from tinygen.numerics import Array
from tinygen.ops import Case, Recurrent, Unary
from tinygen.passes.quantise import quantise
from tinygen.plan.planner import plan
from tinygen.targets.cores import get_core

#: Cases that are computed in int16, or partly; the rest is int8 whatever is asked.
WIDE = [(name, case) for name, case in CASES if case.op.takes_int16()]
#: One case in int16 has so little noise where no weights are rounded; operators that only narrow have the output's.
QUIET = 65.0


def calibrated(case: Case) -> tuple[Graph, list[Array], Array, dict[str, tuple[float, float]]]:
    """The FLOAT graph, inputs, first output and ranges of a case."""
    graph = case_graph(case)
    xs = samples(graph)
    model = FloatModel(to_onnx(graph, graph.nodes[0].outputs))
    reals = model.run_many(xs)
    known = (*zip(graph.inputs, xs, strict=True), *zip(model.output_names, reals, strict=True))
    return graph, xs, reals[0], {name: (float(x.min()), float(x.max())) for name, x in known}


@pytest.mark.parametrize(("name", "case"), WIDE, ids=[n for n, _ in WIDE])
def test_int16_is_finer(name: str, case: Case) -> None:
    graph, xs, real, ranges = calibrated(case)

    def noise(*wide: str) -> float:
        fixed = quantise(graph, ranges, wide=wide)
        invariants.check(fixed, "quantise")
        assert not fixed.notes
        y, *_ = simulate.dequantise_outputs(fixed, simulate.run(fixed, simulate.quantise_inputs(fixed, xs)))
        return sqnr_db(real, y.reshape(real.shape))

    low, inside, whole = noise(), noise(*graph.inputs), noise(*graph.inputs, "y")
    assert low - 0.5 <= inside <= whole + 0.5
    # Only rounded weights are left to tell the two apart, and what divisors around zero make of half a step.
    least = low + 3.0 if "Conv" in name or name.startswith(("Dense-", "Div-", "Attention-")) else QUIET
    assert whole > (low if isinstance(case.op, Recurrent) else least)  # all its steps read rounded weights


@pytest.mark.parametrize("name", [n for n, c in CASES if not c.op.takes_int16()])
def test_others_stay_in_int8_and_say_so(name: str) -> None:
    graph, _, _, ranges = calibrated(dict(CASES)[name])
    wide = quantise(graph, ranges, wide=(*graph.inputs, "y"))
    assert [n for n in wide.notes if "is computed in int8" in n]
    node = next(n for n in wide.nodes if n.name == "node")
    assert {t.dtype.value for t in (*wide.ins(node), *wide.outs(node)) if t.const is None} == {"int8"}


def side_by_side(graphs: list[Graph]) -> Graph:
    """All graphs as one, their names numbered."""
    tensors: dict[str, Tensor] = {}
    nodes, inputs, outputs = [], [], []
    for i, g in enumerate(graphs):
        tensors |= {f"c{i}_{t.name}": replace(t, name=f"c{i}_{t.name}") for t in g.tensors.values()}
        for n in g.nodes:
            ins, outs = (tuple(f"c{i}_{name}" for name in names) for names in (n.inputs, n.outputs))
            nodes.append(replace(n, name=f"c{i}_{n.name}", inputs=ins, outputs=outs))
        inputs += [f"c{i}_{name}" for name in g.inputs]
        outputs += [f"c{i}_{name}" for name in g.outputs]
    ports = [tuple(Port.plain(n, tensors[n].shape) for n in names) for names in (inputs, outputs)]
    return Graph("cases", Stage.FLOAT, tensors, tuple(nodes), tuple(inputs), tuple(outputs), *ports)


@cache
def network(which: str) -> tuple[Graph, tuple[Array, ...]]:
    """All cases in one FIXED graph, and inputs for it. `which` are in int16: "all", "inputs" or "outputs"."""
    found = [calibrated(case) for _, case in CASES]
    graph = side_by_side([g for g, *_ in found])
    ranges = {f"c{i}_{n}": r for i, (*_, one) in enumerate(found) for n, r in one.items()}
    asked = {"all": (*graph.inputs, *graph.outputs), "inputs": graph.inputs, "outputs": graph.outputs}[which]
    fixed = quantise(graph, ranges, wide=asked)
    real = [x for _, xs, *_ in found for x in xs]
    return fixed, verify.make_inputs(fixed, simulate.quantise_inputs(fixed, real))


ON = [("all", core) for core in ("native", "native-dsp", "cortex-m0", "cortex-m3", "cortex-m4", "cortex-m55")]


@pytest.mark.parametrize(("which", "core"), [*ON, ("inputs", "native-dsp"), ("outputs", "cortex-m0")])
def test_c_equals_integers(which: str, core: str, require_tool: Callable[[str], None]) -> None:
    for tool in ("gcc",) if core.startswith("native") else ("arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    fixed, inputs = network(which)
    target = get_core("cortex-m4" if core == "native-dsp" else core)
    planned = plan(fixed, target)
    used = {k for k in planned.kernels if "_s16" in k}
    assert {"tg_widen_s16", "tg_narrow_s16"} & used
    assert not (core == "native-dsp" and which == "all") or {"tg_conv_s16_dsp", "tg_dwconv_s16_dsp"} <= used
    ends = (planned.inputs, planned.outputs)
    ports = [tuple(PortView(e.name, e.length, e.quant.bits) for e in some) for some in ends]

    def render(trace: bool) -> Mapping[str, bytes]:
        view = library_view(
            planned, version="0", abi=1, numerics=1, build_id="00000001", sha256="0", model_file="m", trace=trace
        )
        return render_library(view)

    run_on = get_core("native") if core.startswith("native") else target
    flags = (*SANITIZE, *STRICT) if core.startswith("native") else STRICT
    model = ModelView("cases", "CASES", "0", *ports)
    verify.check_core(run_on, fixed, planned, render, model, inputs, simulate.run(fixed, inputs), flags)


def test_steep_functions_stay_in_int8() -> None:
    """Lines between every 128th value cannot follow a jump."""
    for expr, steep in ((("Sign", "x"), True), (("Floor", "x"), True), (("Tanh", "x"), False)):
        graph, _, _, ranges = calibrated(Case("f", Unary(expr), ((1, 50),)))
        fixed = quantise(graph, ranges, wide=("x0", "y"))
        assert bool(fixed.notes) == steep
        assert fixed.tensors["y"].dtype.value == "int16"
