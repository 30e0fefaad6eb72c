"""The check of the import: right networks pass, and each way of reading one wrongly is found and named."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from benchmarks.structures import FORMS, STRUCTURES, quantised, there_is
from tests.frontend.support import parse, save
from tests.random.generator import generate
from tinygen import simulate
from tinygen.calibrate import runtime
from tinygen.calibrate.data import Arrays, Samples
from tinygen.calibrate.reading.file import Reading
from tinygen.errors import VerifyError
from tinygen.flow import check, layerwise, verify
from tinygen.flow import quantised as line
from tinygen.flow.quantised import quantised_file
from tinygen.flow.types import Calibration, Quantised
from tinygen.frontend.onnx_reader import Imported
from tinygen.ir.types import Graph, Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops import Add, AvgPool, Conv, Dense
from tinygen.plan.planner import plan
from tinygen.targets.cores import get_core


@cache
def built(structure: str, form: int = 0, seed: int = 0) -> Quantised:
    with TemporaryDirectory() as folder:
        return quantised_file(quantised(structure, *FORMS[form], seed, Path(folder)))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_layers_are_the_files(structure: str) -> None:
    """Each structure in one of its forms: layer by layer the file's own integers, ties apart."""
    index = list(STRUCTURES).index(structure)
    form = index % 3 if there_is(structure, FORMS[index % 3][1]) else 1
    found = built(structure, form, index % 2).checked
    held = [r for r in found.layers if r.held]
    assert found.kind == "quantised"
    assert len(held) > 1
    assert not found.missing
    assert max(r.worst for r in held) <= 1
    assert sum(r.differ for r in held) <= 0.001 * sum(r.values for r in held) or structure == "softmax"
    # The odd tie of a convolution, one in 400,000 values, may round up; those of means do not.
    assert sum(r.ties_differ for r in held if r.ties > 2) <= 0.01 * sum(r.ties for r in held)


@pytest.mark.parametrize("structure", ["average pool 3x3 padded", "upsample linear", "residual", "mean"])
def test_c_rounds_as_numpy(structure: str) -> None:
    """What rounds otherwise since numerics 2, compiled."""
    q = built(structure)
    inputs = verify.make_inputs(q.fixed, simulate.quantise_inputs(q.fixed, [x[:4] for x in q.samples.inputs]))
    planned = plan(q.fixed, get_core("native"))
    verify.verify_plan(q, planned, "native", inputs, simulate.run(q.fixed, inputs))


def test_resize_by_other_factors(tmp_path: Path) -> None:
    """Weights that are no 2048ths are rounded: a step near ties, and no fault."""
    sizes = np.array([1, 3, 17, 31], np.int64)
    weights = {"s": np.float32(0.02), "z": np.int8(3), "none": np.zeros(0, np.float32), "sizes": sizes}
    text = """g (float[1,3,12,12] x) => (float y) {
        q = QuantizeLinear(x, s, z)
        d = DequantizeLinear(q, s, z)
        r = Resize<mode="linear">(d, none, none, sizes)
        p = QuantizeLinear(r, s, z)
        y = DequantizeLinear(p, s, z)
    }"""
    found = quantised_file(save(tmp_path, parse(text, 13, weights))).checked
    assert 0 < sum(r.differ for r in found.layers) < 0.05 * sum(r.values for r in found.layers)


def test_resize_into_another_scale(tmp_path: Path) -> None:
    """A scale that the means of neighbours need, and they themselves would leave."""
    weights = {
        "s": np.float32(0.03), "z": np.int8(3), "t": np.float32(0.02), "none": np.zeros(0, np.float32),
        "sizes": np.array([1, 3, 24, 24], np.int64),
    }  # fmt: skip
    text = """g (float[1,3,12,12] x) => (float y) {
        q = QuantizeLinear(x, s, z)
        d = DequantizeLinear(q, s, z)
        r = Resize<mode="linear">(d, none, none, sizes)
        p = QuantizeLinear(r, t, z)
        y = DequantizeLinear(p, t, z)
    }"""
    q = quantised_file(save(tmp_path, parse(text, 13, weights)))
    assert max(r.worst for r in q.checked.layers) == 1
    assert any("rounded twice" in note for note in q.fixed.notes)


def test_weights_with_a_scale_for_each_input(tmp_path: Path) -> None:
    """Weights on the left of a MatMul with a scale for each column: rounded again, with a note; no fault."""
    rng = np.random.default_rng(4)
    weights = {
        "w": rng.integers(-127, 127, (6, 4)).astype(np.int8), "sw": rng.uniform(0.01, 0.02, 4).astype(np.float32),
        "zw": np.zeros(4, np.int8), "s": np.float32(0.02), "t": np.float32(0.1), "z": np.int8(3),
    }  # fmt: skip
    text = """g (float[1,4,12] x) => (float y) {
        v = DequantizeLinear<axis=1>(w, sw, zw)
        q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)
        m = MatMul(v, d)
        p = QuantizeLinear(m, t, z) y = DequantizeLinear(p, t, z)
    }"""
    q = quantised_file(save(tmp_path, parse(text, 13, weights)))
    assert any("quantised again" in note for note in q.imported.notes)


def test_constants_with_negative_scales(tmp_path: Path) -> None:
    """onnxruntime's quantiser gives a constant of one negative number a negative scale."""
    weights = {
        "c": np.int8(127), "sc": np.float32(-0.01), "s": np.float32(0.02), "t": np.float32(0.03), "z": np.int8(3),
        "none": np.int8(0),
    }  # fmt: skip
    text = """g (float[1,40] x) => (float y) {
        k = DequantizeLinear(c, sc, none)
        q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)
        m = Mul(d, k)
        p = QuantizeLinear(m, t, z) y = DequantizeLinear(p, t, z)
    }"""
    found = quantised_file(save(tmp_path, parse(text, 13, weights))).checked
    assert all(r.held and r.worst <= 1 for r in found.layers)


# Broken on purpose ----------------------------------------------------------------------------------------------------


def a_conv(graph: Graph, which: int) -> int:
    return [i for i, n in enumerate(graph.nodes) if isinstance(n.op, Conv)][which]


def weights(graph: Graph, which: int, change: Callable[[Array], Array]) -> Graph:
    """The graph with other weights in a convolution."""
    node = graph.nodes[a_conv(graph, which)]
    w = graph.tensors[node.inputs[1]]
    return graph.with_(tensors=[Tensor.constant(w.name, change(w.array.copy()), w.quant)])


def one_step(w: Array) -> Array:
    w.flat[int(np.argmax(w))] -= 1
    return w


def lost_scale(graph: Graph) -> Graph:
    """A calibrated scale in place of the file's."""
    node = graph.nodes[a_conv(graph, 0)]
    t = graph.outs(node)[0]
    assert t.quant is not None
    return graph.with_(tensors=[replace(t, quant=replace(t.quant, scale=(t.quant.s * 1.02,)))])


def moved_zero(graph: Graph) -> Graph:
    t = graph.tensors[graph.outputs[0]]
    assert t.quant is not None
    return graph.with_(tensors=[replace(t, quant=Quant.per_tensor(t.quant.s, t.quant.zero_point + 1))])


def clamp(graph: Graph) -> Graph:
    """A rectifier that is not there: the integers below zero are gone."""
    index = a_conv(graph, -1)
    node = graph.nodes[index]
    assert isinstance(node.op, Conv)
    assert node.op.epilogue is not None
    zero = graph.outs(node)[0].quant
    assert zero is not None
    op = replace(node.op, epilogue=replace(node.op.epilogue, lo=zero.zero_point))
    return graph.with_(nodes=[replace(n, op=op) if i == index else n for i, n in enumerate(graph.nodes)])


def no_clamp(graph: Graph) -> Graph:
    """A rectifier that is lost: its layer's zero point in the middle of the codes."""
    index = a_conv(graph, 0)
    t = graph.outs(graph.nodes[index])[0]
    assert t.quant is not None
    return graph.with_(tensors=[replace(t, quant=Quant.per_tensor(t.quant.s, 0))])


def bias(graph: Graph) -> Graph:
    """A bias a quarter of a step off."""
    node = graph.nodes[a_conv(graph, 0)]
    assert isinstance(node.op, Conv)
    assert node.op.epilogue is not None
    b, m = graph.tensors[node.inputs[2]], graph.tensors[node.inputs[3]].array
    off = np.rint(0.25 * 2.0**node.op.epilogue.shift / m).astype(np.int32)
    return graph.with_(tensors=[Tensor.constant(b.name, b.array + off)])


def sixteen_bits(graph: Graph) -> Graph:
    """The multipliers of Add as numerics 1 had them."""
    nodes = []
    for n in graph.nodes:
        if isinstance(n.op, Add):
            r = n.op.rule
            assert r is not None
            k = max(0, max(abs(r.ma), abs(r.mb)).bit_length() - 15)
            (za, zb, zy) = (t.quant.zero_point for t in (*graph.ins(n), graph.outs(n)[0]) if t.quant is not None)
            ma, mb, s = round(r.ma / 2**k), round(r.mb / 2**k), r.shift - k
            c = (zy << s) + (1 << s >> 1) - za * ma - zb * mb
            n = replace(n, op=replace(n.op, rule=replace(r, ma=ma, mb=mb, c=c, shift=s)))
        nodes.append(n)
    return graph.with_(nodes=nodes)


def wrong_divisor(graph: Graph) -> Graph:
    """Padding counted as values."""
    return graph.with_(
        nodes=[
            replace(n, op=replace(n.op, m=(n.op.m[-1],) * len(n.op.m), even=False)) if isinstance(n.op, AvgPool) else n
            for n in graph.nodes
        ]
    )


@pytest.mark.parametrize(
    ("structure", "spoil"),
    [
        pytest.param("conv-relu-conv", lambda g: weights(g, 0, one_step), id="one weight of one layer"),
        pytest.param("conv-relu-conv", lambda g: weights(g, -1, one_step), id="one weight of the last layer"),
        pytest.param("weights of -128", lambda g: weights(g, 0, lambda w: np.maximum(w, -127)), id="clipped weights"),
        pytest.param("conv-relu-conv", lost_scale, id="lost scale"),
        pytest.param("conv-relu-conv", moved_zero, id="moved zero point"),
        pytest.param("conv-relu-conv", clamp, id="clamp too many"),
        pytest.param("conv-relu-conv", no_clamp, id="clamp lost"),
        pytest.param("conv-relu-conv", bias, id="bias"),
        pytest.param("residual", sixteen_bits, id="coarse multipliers"),
        pytest.param("average pool 3x3 padded", wrong_divisor, id="divisor"),
    ],
)
def test_what_is_wrong_is_found(structure: str, spoil: Callable[[Graph], Graph]) -> None:
    q = built(structure, 0, 1)
    with pytest.raises(VerifyError, match=r"first layer that differs from the file is \w+ \".*of \d+ integers"):
        check.check_quantised(q.imported, spoil(q.fixed), q.samples, synthetic=True)


def test_says_what_is_lost() -> None:
    q = built("conv-relu-conv", 0, 1)
    with pytest.raises(VerifyError, match=r"quantisation of .*r1_QuantizeLinear"):
        check.check_quantised(q.imported, lost_scale(q.fixed), q.samples, synthetic=True)


# onnxruntime ----------------------------------------------------------------------------------------------------------


def test_without_a_runtime_to_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own sums may saturate: then the reading stands alone, and the build says so."""
    q = built("conv-relu-conv", 2)
    monkeypatch.setattr(check, "sums_are_exact", lambda: False)
    found = check.check_quantised(q.imported, q.fixed, q.samples, synthetic=True)
    assert found.kind == "quantised"
    assert max(r.worst for r in found.layers) <= 1
    assert "saturate" in found.runtime
    assert any("saturate" in n for n in found.notes)


def test_self_test_of_the_runtime() -> None:
    assert isinstance(runtime.sums_are_exact(), bool)


def test_layers_that_the_samples_leave_dead_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer in front that gives one value, whatever comes: the next is fed integers over the whole range besides."""
    rng = np.random.default_rng(3)
    parts = {
        "s": np.float32(0.02), "z": np.int8(0), "w1": rng.integers(-9, 9, (8, 24)).astype(np.int8),
        "b": np.full(8, 10**6, np.int32), "sb": np.float32(0.0004),
        "w2": rng.integers(-127, 127, (6, 8)).astype(np.int8),
    }  # fmt: skip
    text = """g (float[1,24] x) => (float y) {
        xq = QuantizeLinear(x, s, z) xd = DequantizeLinear(xq, s, z)
        v1 = DequantizeLinear(w1, s, z) bd = DequantizeLinear(b, sb) h = Gemm<transB=1>(xd, v1, bd)
        hq = QuantizeLinear(h, s, z) hd = DequantizeLinear(hq, s, z)
        v2 = DequantizeLinear(w2, s, z) l = Gemm<transB=1>(hd, v2)
        lq = QuantizeLinear(l, s, z) y = DequantizeLinear(lq, s, z)
    }"""
    path, right = save(tmp_path, parse(text, 13, parts)), check.check_quantised
    assert quantised_file(path).checked.kind == "quantised"

    def spoilt(imported: Imported, fixed: Graph, samples: Samples, *, synthetic: bool) -> check.ImportCheck:
        w = fixed.tensors[[n for n in fixed.nodes if isinstance(n.op, Dense)][-1].inputs[1]]
        changed = w.array.copy()
        changed[:, [0, 1]] = changed[:, [1, 0]]  # the same sums, while all eight inputs are equal
        graph = fixed.with_(tensors=[Tensor.constant(w.name, changed, w.quant)])
        return right(imported, graph, samples, synthetic=synthetic)

    monkeypatch.setattr(check, "check_quantised", spoilt)
    with pytest.raises(VerifyError, match="first layer that differs"):
        quantised_file(path)


def test_clipped_codes_with_ties(tmp_path: Path) -> None:
    """Codes clipped to four bits: the convolution clips, so that no tensor holds what is not clipped yet. With scales
    that are powers of two, many values are ties."""
    rng = np.random.default_rng(5)
    weights = {
        f"w{i}": rng.integers(-7, 8, shape).astype(np.int8) for i, shape in enumerate([(4, 3, 3, 3), (3, 4, 3, 3)])
    }
    bounds = {"low": np.int8(-8), "high": np.int8(7), "z": np.int8(0)}
    scales = {"s": np.float32(0.5), "t": np.float32(0.25), "sw": np.float32(0.125)}
    text = """g (float[1,3,8,8] x) => (float y) {
        v0 = DequantizeLinear(w0, sw, z) v1 = DequantizeLinear(w1, sw, z)
        q = QuantizeLinear(x, s, z) k = Clip(q, low, high) d = DequantizeLinear(k, s, z)
        c = Conv<pads=[1,1,1,1]>(d, v0) r = Relu(c)
        rq = QuantizeLinear(r, t, z) rk = Clip(rq, low, high) rd = DequantizeLinear(rk, t, z)
        e = Conv<pads=[1,1,1,1]>(rd, v1)
        eq = QuantizeLinear(e, s, z) ek = Clip(eq, low, high) y = DequantizeLinear(ek, s, z)
    }"""
    found = quantised_file(save(tmp_path, parse(text, 13, weights | bounds | scales))).checked
    assert all(r.held for r in found.layers)
    assert sum(r.ties for r in found.layers) > 1000


@pytest.mark.parametrize("structure", ["squeeze-excite", "transposed convolution", "concat", "upsample linear by 3"])
def test_reading_is_what_onnxruntime_computes(structure: str) -> None:
    """The oracle itself: each layer on onnxruntime's integers gives onnxruntime's, but at ties."""
    q = built(structure, 0, 1)
    reading = Reading(q.imported.original)
    reals = check.test_inputs(q.fixed, q.samples, synthetic=True)
    feeds = {"x": reals[0][:32]}
    session = runtime.with_outputs(q.imported.original, list(reading.points))
    given = dict(zip(session.output_names, session.run_many([feeds["x"]]), strict=True))
    run = reading.run(feeds, given)
    for name, r in run.rounded.items():
        off = np.abs(r.codes.astype(int) - given[name].astype(int))
        assert off.max() <= 1, name
        assert np.count_nonzero(off[r.distance > 1e-4]) == 0, name


# Float models ---------------------------------------------------------------------------------------------------------


def test_large_terms_that_cancel_are_no_fault(tmp_path: Path) -> None:
    """Equal logits near 1e8: which is the largest, the order of the sums decides, in the file as in tinygen."""
    rng = np.random.default_rng(0)
    row = rng.normal(size=(1, 48)) * 3e6
    parts = {
        "k": rng.uniform(1.1, 2.9, 48).astype(np.float32),
        "w": np.repeat(row, 6, axis=0).astype(np.float32),
        "b": np.zeros(6, np.float32),
    }
    text = "g (float[1,48] x) => (float[1,6] y) { m = Mul(x, k) l = Gemm<transB=1>(m, w, b) y = Softmax<axis=1>(l) }"
    q = quantised_file(save(tmp_path, parse(text, 13, parts)))
    assert q.checked.kind.startswith("the float network")


def test_a_real_difference_is_a_fault(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = {"w": rng.normal(size=(6, 24)).astype(np.float32), "b": rng.normal(size=6).astype(np.float32)}
    text = "g (float[1,24] x) => (float[1,6] y) { l = Gemm<transB=1>(x, w, b) y = Relu(l) }"
    q = quantised_file(save(tmp_path, parse(text, 13, parts)))
    w = q.tidy.tensors[q.tidy.nodes[0].inputs[1]]
    spoilt = w.array.copy()
    spoilt[:, 3] *= 1.2
    broken = q.tidy.with_(tensors=[Tensor.constant(w.name, spoilt)])
    with pytest.raises(VerifyError, match="differs from the ONNX file"):
        check.check_float(q.imported, broken, q.samples)


def test_chance_and_few_values() -> None:
    """Of few values a few more may differ than of many."""
    assert layerwise.may_differ(320, 0.0) < 6
    assert math.isclose(layerwise.may_differ(10**6, 0.0), 1000, rel_tol=0.15)


@pytest.mark.parametrize(
    "seed",
    [1, 9, 41, 57, 73, 97, 121, 185, 197, 245, 257, 269, 321, 401, 521, 553, 853, 937, 1437, 1601, 1805, 1857, 1989,
     2037, 2213, 2261, 2377, 2509, 2613, 2917, 2921, 3405, 4077, 5381, 7181],
)  # fmt: skip
def test_files_that_are_quantised_in_part_are_no_fault(seed: int, tmp_path: Path) -> None:
    """Random networks: what the file leaves in float, constants among integers, and pins in a chain are tinygen's to
    round; outputs go beyond what calibration saw; sums repeat; tensors of one size hold several values."""
    assert quantised_file(save(tmp_path, generate(seed))).checked.kind == "quantised"


def test_a_file_that_takes_codes_is_fed_codes() -> None:
    """Without a QuantizeLinear it is a float network whose input has integers."""
    weights = {"s": np.float32(0.25), "z": np.array(100, np.uint8)}
    model = parse("g (uint8[1,4] x) => (float y) { y = DequantizeLinear(x, s, z) }", weights=weights)
    codes = np.array([[[0, 99, 100, 255]]], np.uint8)
    loaded = line.load(Path("codes.onnx"), content=model.SerializeToString())
    assert line.quantised(loaded, Calibration(Arrays({"x": codes}))).checked.kind.startswith("the float network")
