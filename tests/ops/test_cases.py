"""Every named case of every operator: float against ONNX, integers against float within a bound, C against integers
equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from tests.ops.graphs import CASES, case_graph, samples
from tinygen import simulate
from tinygen.calibrate.floatrun import FloatModel
from tinygen.emit.library import render_library
from tinygen.emit.programs import ModelView, PortView
from tinygen.emit.view import library_view
from tinygen.flow import verify
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir import invariants
from tinygen.ir.types import Graph, Tensor
from tinygen.numerics import Array
from tinygen.ops import (
    Add,
    Attention,
    Case,
    Compare,
    Conv,
    ConvTranspose,
    Dense,
    Div,
    Insert,
    Lookup,
    Mul,
    Recurrent,
    ReduceL2,
)
from tinygen.ops.base import bits_of, need_quant
from tinygen.passes.quantise import quantise
from tinygen.plan.planner import plan
from tinygen.targets.cores import get_core

SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wcast-qual", "-Werror")


def fixed_case(case: Case) -> tuple[Graph, list[Array], list[Array]]:
    """The FIXED graph of a case calibrated on its samples, the float inputs, the float outputs."""
    graph = case_graph(case)
    xs = samples(graph)
    model = FloatModel(to_onnx(graph, graph.nodes[0].outputs))
    real = model.run_many(xs)
    known = (*zip(graph.inputs, xs, strict=True), *zip(model.output_names, real, strict=True))
    fixed = quantise(graph, {name: (float(x.min()), float(x.max())) for name, x in known})
    invariants.check(fixed, "quantise")
    return fixed, xs, real[: len(graph.outputs)]


def error_bound(case: Case, fixed: Graph) -> float:
    """Largest difference allowed between integers and float, in steps of the output.

    An input is off by at most half a step, and a weight too. Through a layer with weights the errors add up in the
    root-mean-square sense; six standard deviations plus one step for the output's own rounding never fail by chance.
    """
    node = next(n for n in fixed.nodes if n.name == "node")
    ins, out = fixed.ins(node), fixed.outs(node)[0]
    assert out.quant is not None
    step = out.quant.s
    if isinstance(case.op, Attention):
        # Scores are off by what their factors are; weights by twice that in sum, at most (softmax is Lipschitz so).
        q, k, v = (t.quant for t in ins[:3])
        assert q is not None
        assert k is not None
        assert v is not None
        d = ins[0].shape[2] // case.op.heads
        reach = [t.s * max(t.high - t.zero_point, t.zero_point - t.low) for t in (q, k, v)]
        scores = case.op.scale * d * (q.s * reach[1] + k.s * reach[0]) / 2.0 + 2.0**-9
        return 1.0 + (2.0 * scores * reach[2] + v.s) / step
    if isinstance(case.op, Div):
        return 256.0  # by values around zero; followed closely in tests/ops/test_div.py
    if isinstance(case.op, Recurrent):
        return recurrent_error(case.op, case, ins, fixed.outs(node)) / step
    if isinstance(case.op, Compare):
        return 256.0  # numbers of one step are equal or turn round; exact in tests/ops/test_compare.py
    if isinstance(case.op, Lookup | Insert):
        return 256.0  # a row off at the border of two; its bits are compared in tests/frontend/test_lookup.py
    if isinstance(case.op, Conv | ConvTranspose | Dense):
        x, w = ins[0], ins[1]
        assert x.quant is not None
        assert w.quant is not None
        s_w = np.asarray(w.quant.scale)
        flat = w.array.reshape(len(s_w), -1).astype(np.float64) * s_w[:, None]
        from_x = x.quant.s * np.sqrt((flat**2).sum(axis=1)) / np.sqrt(12)
        from_w = s_w * 127 * x.quant.s * np.sqrt(flat.shape[1]) / np.sqrt(12)
        return 1.0 + 6.0 * float(np.max(np.sqrt(from_x**2 + from_w**2))) / step
    if isinstance(case.op, ReduceL2):  # errors of half a step in each of n values
        return 1.0 + 0.6 * case.op.outer_n_inner(ins[0])[1] ** 0.5 * sum(t.quant.s for t in ins if t.quant) / step
    steepest = {Add: 1.0, Mul: 4.0 * 6.0}.get(type(case.op), 1.2)  # |d y / d x|; factors of Mul reach 6 sigma of 2
    coarse = sum(t.quant.s for t in ins if t.quant is not None)
    return 1.0 + steepest * max(coarse, step) / step


def recurrent_error(op: Recurrent, case: Case, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> float:
    """What no output of a recurrent layer is off by: with e for h (or c, whichever is more) behind a step,

        e' = e + K * (|W| * s_x / 2 + |R| * e + half a step of each weight + a unit of the sum) + s_h / 2

    K bounds the slopes of a step by its sums: of an LSTM |c| / 4 by f, 1 / 4 by i and o, 1 by g; of a GRU |S - n| / 4
    by z, 1 by n, and 1 / 4 by r.
    """
    w, r = (np.asarray(a, np.float64) for a in case.inputs[1:3])
    s_x, s_h = need_quant(ins[0])[0], need_quant(outs[0])[0]
    reach = 127 * max(s_h, need_quant(outs[1])[0] * (1 if bits_of(outs[1]) == 8 else 256))
    weights = np.abs(w).max() / 254 * 10 * w.shape[-1] + np.abs(r).max() / 254 * reach * r.shape[-1]  # |x| below 10
    from_x = np.abs(w).sum(axis=-1).max() * s_x / 2 + weights + 2.0**-10
    k = 2.0 + reach
    steps, error = max(op.steps(ins[0].shape)), s_h / 2 + s_x
    for _ in range(steps):
        error = error + k * (from_x + np.abs(r).sum(axis=-1).max() * error) + s_h / 2
    return float(min(error, 2.5 * reach / 16))


@pytest.mark.parametrize(("name", "case"), CASES, ids=[n for n, _ in CASES])
def test_integers_follow_float(name: str, case: Case) -> None:
    fixed, xs, reals = fixed_case(case)
    outs = simulate.dequantise_outputs(fixed, simulate.run(fixed, simulate.quantise_inputs(fixed, xs)))
    scale = fixed.tensors[fixed.outputs[0]].quant
    assert scale is not None
    for out, real in zip(outs, reals, strict=True):
        assert np.abs(out - real.reshape(out.shape)).max() / scale.s <= error_bound(case, fixed)


@pytest.mark.parametrize("core", ["native", "native-dsp", "native-mve", "cortex-m0", "cortex-m55"])
@pytest.mark.parametrize(("name", "case"), CASES, ids=[n for n, _ in CASES])
def test_c_equals_integers(name: str, case: Case, core: str, require_tool: Callable[[str], None]) -> None:
    """`native-dsp`, `native-mve`: the kernels of a Cortex-M4 and M55 on this computer, through their portable bodies,
    under sanitizers."""
    for tool in ("gcc",) if core.startswith("native") else ("arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    fixed, xs, _ = fixed_case(case)
    target = get_core({"native-dsp": "cortex-m4", "native-mve": "cortex-m55"}.get(core, core))
    planned = plan(fixed, target)
    ends = (planned.inputs, planned.outputs)
    ports = [tuple(PortView(e.name, e.length, e.quant.bits) for e in each) for each in ends]
    model = ModelView("case", "CASE", "0", *ports)

    def render(trace: bool) -> Mapping[str, bytes]:
        view = library_view(
            planned, version="0", abi=1, numerics=1, build_id="00000001", sha256="0", model_file="m", trace=trace
        )
        return render_library(view)

    inputs = verify.make_inputs(fixed, simulate.quantise_inputs(fixed, xs))
    expected = simulate.run(fixed, inputs)
    run_on = get_core("native") if core.startswith("native") else target
    flags = (*SANITIZE, *STRICT) if core.startswith("native") else STRICT
    result = verify.check_core(run_on, fixed, planned, render, model, inputs, expected, flags)
    assert result.samples == len(inputs[0])
