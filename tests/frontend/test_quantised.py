"""Pre-quantised models: QDQ and QLinear forms keep their scales and zero points."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from tests.frontend.support import (
    arr_like,
    assert_same,
    import_model,
    ops_of,
    parse,
    random_feeds,
    run_original,
    run_ours,
    save,
    session,
    with_rounding,
)
from tinygen import simulate
from tinygen.errors import ModelError
from tinygen.flow.quantised import quantised_file
from tinygen.frontend.onnx_reader import Imported, read_onnx
from tinygen.ir import invariants
from tinygen.ir.types import Quant
from tinygen.ops import Conv, ConvTranspose, Dense
from tinygen.passes.pipeline import tidy
from tinygen.passes.quantise import quantise as to_fixed
from tinygen.passes.quantise import range_tensors

F = np.float32


def arr(*shape: int, seed: int = 3) -> np.ndarray:
    return arr_like(shape, seed)


def network() -> ModelProto:
    """A little of everything that onnxruntime's quantiser rewrites."""
    text = """g (float[1,3,8,8] x) => (float y) {
        c1 = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
        r1 = Relu(c1)
        c2 = Conv<kernel_shape=[1,1]>(r1, w2)
        s2 = Sigmoid(c2)
        m = Mul(c2, s2)
        a = Add(r1, m)
        l = LeakyRelu<alpha=0.2>(a)
        cat = Concat<axis=1>(l, r1)
        p = AveragePool<kernel_shape=[2,2], strides=[2,2]>(cat)
        mp = MaxPool<kernel_shape=[2,2], strides=[2,2]>(p)
        g = GlobalAveragePool(mp)
        f = Flatten(g)
        d = Gemm<transB=1>(f, w3, b3)
        e = MatMul(d, w4)
        y = Softmax(e)
    }"""
    weights = {
        "w1": arr(4, 3, 3, 3), "b1": arr(4), "w2": arr(4, 4, 1, 1), "w3": arr(6, 8), "b3": arr(6), "w4": arr(6, 5),
    }  # fmt: skip
    return parse(text, opset=13, weights=weights)


def quantise(tmp_path: Path, form: str, act: str, weight: str, per_channel: bool, **options: bool) -> Path:
    """onnxruntime's own static quantisation of `network`."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = [{"x": arr(1, 3, 8, 8, seed=i)} for i in range(8)]

        def get_next(self) -> dict[str, np.ndarray] | None:
            return self.left.pop() if self.left else None

    logging.getLogger().setLevel(logging.ERROR)
    source, target = save(tmp_path, network(), "float.onnx"), tmp_path / "int8.onnx"
    quantize_static(
        str(source), str(target), Reader(), quant_format=QuantFormat[form], per_channel=per_channel,
        activation_type=QuantType[act], weight_type=QuantType[weight], extra_options=options,
    )  # fmt: skip
    return target


def assert_close(imported: Imported, steps: float) -> None:
    invariants.check(imported.graph)
    model = with_rounding(imported)
    for seed in range(4):
        feeds = random_feeds(imported, seed)
        for want, got in zip(run_original(imported, feeds, False), run_ours(imported, feeds, model), strict=True):
            np.testing.assert_allclose(got, want, rtol=0, atol=steps / 256 * max(float(np.abs(want).max()), 1e-6))


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(("act", "weight"), [("QInt8", "QInt8"), ("QUInt8", "QInt8"), ("QUInt8", "QUInt8")])
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_static_quantisation(form: str, act: str, weight: str, per_channel: bool, tmp_path: Path) -> None:
    if per_channel and weight == "QUInt8":
        pytest.skip("onnxruntime's quantiser has no such combination")
    path = quantise(tmp_path, form, act, weight, per_channel)
    imported = read_onnx(path)
    assert imported.quantised
    assert_close(imported, 2.5)
    g = imported.graph
    layers = [n for n in g.nodes if isinstance(n.op, Conv | Dense)]
    assert len(layers) == 4
    for n in layers:
        w = g.tensors[n.inputs[1]]
        assert w.quant is not None, n.name
        assert w.quant.axis == 0
        assert len(w.quant.scale) == w.shape[0]
        codes = w.array.reshape(w.shape[0], -1) / np.array(w.quant.scale)[:, None]
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-3)


def qdq(scale: float, zero: int, kind: type[np.generic]) -> dict[str, np.ndarray]:
    return {"s": F(scale), "z": np.array(zero, kind)}


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_ports_carry_the_quantisation(kind: Any, tmp_path: Path) -> None:
    elem = np.dtype(kind).name
    text = f"""g ({elem}[1,4] x) => ({elem} y) {{
        a = DequantizeLinear(x, s, z)
        r = Relu(a)
        y = QuantizeLinear(r, s, z)
    }}"""
    imported = import_model(tmp_path, parse(text, weights=qdq(0.1, 5 if kind is np.int8 else 133, kind)))
    graph = imported.graph
    assert imported.input_types == imported.output_types == (elem,)
    assert graph.tensors["x"].quant == Quant.per_tensor(float(F(0.1)), 5)
    assert graph.tensors["y"].quant == graph.tensors["x"].quant
    assert [n.op.title for n in graph.nodes] == ["relu", "requantise"]
    assert_close(imported, 0.01)


def test_moves_between_codes(tmp_path: Path) -> None:
    text = """g (int8[1,2,4,4] x) => (float y) {
        p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x)
        t = Transpose<perm=[0,2,3,1]>(p)
        f = Reshape(t, shape)
        c = Concat<axis=1>(f, f)
        y = DequantizeLinear(c, s, z)
    }"""
    imported = import_model(tmp_path, parse(text, weights=qdq(0.2, -7, np.int8) | {"shape": np.array([1, -1])}))
    pinned = [t for t in imported.graph.tensors.values() if t.quant is not None]
    assert {t.quant for t in pinned} == {Quant.per_tensor(float(F(0.2)), -7)}
    assert {t.quant.pin for t in pinned if t.quant} == {"x", "p", "t", "f", "c"}
    assert_close(imported, 0.01)


def test_code_read_under_another_scale(tmp_path: Path) -> None:
    text = """g (float[1,4] x) => (float y) {
        q = QuantizeLinear(x, s, z)
        y = DequantizeLinear(q, s2, z2)
    }"""
    weights = qdq(0.1, 3, np.int8) | {"s2": F(0.25), "z2": np.array(-4, np.int8)}
    imported = import_model(tmp_path, parse(text, weights=weights))
    assert_close(imported, 0.01)


def test_image_of_bytes(tmp_path: Path) -> None:
    text = "g (uint8[1,4] x) => (float y) { f = Cast<to=1>(x) y = Div(f, c) }"
    imported = import_model(tmp_path, parse(text, weights={"c": F(255)}))
    assert imported.graph.tensors["x"].quant == Quant.per_tensor(1.0, -128)
    assert_close(imported, 0.01)


@pytest.mark.parametrize("axis", [0, 1])
def test_weights_keep_scales_through_a_transpose(axis: int, tmp_path: Path) -> None:
    text = f"""g (float[1,3] x) => (float y) {{
        w = DequantizeLinear<axis={axis}>(codes, s, z)
        {"t = Transpose(w)" if axis == 0 else "t = Identity(w)"}
        y = MatMul(x, t)
    }}"""
    shape = (4, 3) if axis == 0 else (3, 4)
    codes = np.random.default_rng(0).integers(-127, 128, shape).astype(np.int8)
    scales = np.array([0.1, 0.2, 0.3, 0.4], F)
    weights = {"codes": codes, "s": scales, "z": np.zeros(4, np.int8)}
    imported = import_model(tmp_path, parse(text, weights=weights))
    (dense,) = imported.graph.nodes
    assert isinstance(dense.op, Dense)
    w = imported.graph.tensors[dense.inputs[1]]
    assert w.quant == Quant(tuple(float(s) for s in scales), 0, 0)
    expected = codes if axis == 0 else codes.T
    np.testing.assert_allclose(w.array / np.array(w.quant.scale)[:, None], expected, atol=1e-4)


def test_float_weights_through_a_pair_are_fake_quantised(tmp_path: Path) -> None:
    text = """g (float[1,3] x) => (float y) {
        q = QuantizeLinear(w, s, z)
        d = DequantizeLinear(q, s, z)
        y = Gemm<transB=1>(x, d)
    }"""
    imported = import_model(tmp_path, parse(text, weights={"w": arr(4, 3), **qdq(0.02, 0, np.int8)}))
    w = imported.graph.tensors[imported.graph.nodes[0].inputs[1]]
    assert w.quant == Quant((float(F(0.02)),) * 4, 0, 0)


def test_grouped_transposed_convolution_keeps_scales(tmp_path: Path) -> None:
    text = """g (float[1,4,3,3] x) => (float y) {
        w = DequantizeLinear<axis=1>(codes, s)
        y = ConvTranspose<group=2>(x, w)
    }"""
    codes = np.random.default_rng(0).integers(-127, 128, (4, 3, 2, 2)).astype(np.int8)
    weights = {"codes": codes, "s": np.array([0.1, 0.2, 0.3], F)}
    imported = import_model(tmp_path, parse(text, weights=weights))
    assert_close(imported, 0.01)
    node = next(n for n in imported.graph.nodes if isinstance(n.op, ConvTranspose))
    quant = imported.graph.tensors[node.inputs[1]].quant
    assert quant is not None
    np.testing.assert_allclose(quant.scale, [0.1, 0.2, 0.3] * 2, rtol=1e-6)


def refused(tmp_path: Path, text: str, weights: dict[str, np.ndarray], match: str, opset: int = 18) -> None:
    with pytest.raises(ModelError, match=match):
        import_model(tmp_path, parse(text, opset, weights, ir=10))


def test_refusals(tmp_path: Path) -> None:
    pair = "g (float[1,4] x) => (float y) { q = QuantizeLinear<axis=1>(x, s, z) y = DequantizeLinear<axis=1>(q, s, z) }"
    refused(tmp_path, pair, {"s": np.full(4, 0.1, F), "z": np.zeros(4, np.int8)}, "a scale for each channel")
    refused(tmp_path, pair, qdq(-0.1, 0, np.int8), "not positive")
    text = "g (int8[1,4] x) => (int8 y) { y = Add(x, x) }"
    refused(tmp_path, text, {}, "Add of integers")
    text = """g (float[1,4] x) => (float y) {
        q, s, z = DynamicQuantizeLinear(x)
        i = MatMulInteger(q, w, z)
        f = Cast<to=1>(i)
        y = Mul(f, s)
    }"""
    with pytest.raises(ModelError, match="static quantisation") as caught:
        import_model(tmp_path, parse(text, weights={"w": np.ones((4, 2), np.int8)}))
    assert "DynamicQuantizeLinear" in str(caught.value)


def test_qlinear_of_onnxruntime_only(tmp_path: Path) -> None:
    """com.microsoft operators written by hand."""
    q = ["s", "z"]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", *q], ["a"]),
        helper.make_node("QLinearMul", ["a", *q, "a", *q, *q], ["b"], domain="com.microsoft"),
        helper.make_node("QLinearSoftmax", ["b", *q, "s1", "z1"], ["c"], domain="com.microsoft", axis=-1, opset=13),
        helper.make_node("DequantizeLinear", ["c", "s1", "z1"], ["y"]),
    ]
    weights = {"s": F(0.05), "z": np.int8(2), "s1": F(1 / 256), "z1": np.int8(-128)}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 6])],
        [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    imported = import_model(tmp_path, helper.make_model(graph, opset_imports=imports, ir_version=8))
    assert_close(imported, 2.0)


def integers(tmp_path: Path, model: ModelProto, samples: int = 6, step: float = 0.1, zero: int = 0) -> None:
    """The FIXED graph of a whole QDQ model, run in numpy, equals onnxruntime code for code (ties apart: one in 500)."""
    imported = import_model(tmp_path, model)
    fixed = to_fixed(tidy(imported.graph), {})
    reference = session(imported.original, optimise=False)
    rng = np.random.default_rng(7)
    unequal = total = 0
    for _ in range(samples):
        feeds = {p.name: (rng.integers(-128, 128, p.shape) - zero).astype(F) * F(step) for p in imported.graph.in_ports}
        ours = simulate.dequantise_outputs(
            fixed, simulate.run(fixed, simulate.quantise_inputs(fixed, [x[None] for x in feeds.values()]))
        )
        for want, got, name in zip(reference.run(None, feeds), ours, fixed.outputs, strict=True):
            quant = fixed.tensors[name].quant
            assert quant is not None
            off = np.abs(np.rint((got[0] - want) / quant.s))
            assert off.max() <= 1
            unequal, total = unequal + int(off.sum()), total + off.size
    assert unequal <= total / 500 + 1


def layer(op: str, w: np.ndarray, zero: int | np.ndarray, scale: float | np.ndarray = 0.02) -> ModelProto:
    """One layer with weights `w` of their own type and zero point, between int8 activations of scale 0.1 and 1.0."""
    shape, attrs = {
        "Conv": ([1, 4, 6, 6], "pads=[1,1,1,1]"), "Depthwise": ([1, 4, 6, 6], "group=4"),
        "Grouped": ([1, 4, 6, 6], "group=2"), "ConvTranspose": ([1, 4, 3, 3], "strides=[2,2]"),
        "Signal": ([1, 4, 12], "pads=[1,1]"), "MatMul": ([1, 12], ""), "Flat": ([1, 3, 2, 2], ""),
    }[op]  # fmt: skip
    kind = op if op in ("ConvTranspose", "MatMul") else "MatMul" if op == "Flat" else "Conv"
    axis = 1 if kind != "Conv" else 0
    middle = "f = Reshape(d, flat)" if op == "Flat" else "f = Identity(d)"
    text = f"""g (float{shape} x) => (float y) {{
        q = QuantizeLinear(x, s, z)
        d = DequantizeLinear(q, s, z)
        {middle}
        wd = DequantizeLinear<axis={axis}>(w, sw, zw)
        c = {kind}{f"<{attrs}>" if attrs else ""}(f, wd)
        r = QuantizeLinear(c, one, z)
        y = DequantizeLinear(r, one, z)
    }}"""
    zero_points = np.asarray(zero, w.dtype)
    values = {"w": w, "sw": np.asarray(scale, F), "zw": zero_points, "one": F(1.0), "flat": np.array([1, 12])}
    return parse(text, 13, qdq(0.1, 0, np.int8) | values)


WEIGHTS = {"Conv": (5, 4, 3, 3), "Depthwise": (4, 1, 3, 3), "Grouped": (6, 2, 3, 3), "ConvTranspose": (4, 3, 2, 2),
           "Signal": (5, 4, 3), "MatMul": (12, 5), "Flat": (12, 5)}  # fmt: skip


@pytest.mark.parametrize("op", WEIGHTS)
def test_weights_are_computed_as_they_are(op: str, tmp_path: Path) -> None:
    """int8 with -128; uint8 with a zero point that leaves int8 now and then, always, and in two steps; and with one for
    each output."""
    shape = WEIGHTS[op]
    rng = np.random.default_rng(1)
    axis = 1 if op in ("ConvTranspose", "MatMul", "Flat") else 0
    integers(tmp_path, layer(op, rng.choice([-128, -127, 3, 127], shape).astype(np.int8), 0, 0.01))
    for zero in (128, 100, 0):
        integers(tmp_path, layer(op, rng.integers(0, 256, shape).astype(np.uint8), zero, 0.01))
    channels = shape[axis]
    many = rng.integers(90, 160, channels)
    integers(
        tmp_path, layer(op, rng.integers(0, 256, shape).astype(np.uint8), many, rng.uniform(0.005, 0.02, channels))
    )


def test_the_price_of_asymmetric_weights_is_said(tmp_path: Path) -> None:
    w = np.full((2, 4, 3, 3), 100, np.uint8)
    w[1, 2, 0, 0] = 255
    imported = import_model(tmp_path, layer("Conv", w, 100))
    (note,) = (n for n in imported.notes if "zero point" in n)
    assert "1 of 72" in note
    assert "1 of 4 inputs" in note
    assert "25 % more" in note
    plain = import_model(tmp_path, layer("Conv", np.minimum(w, 227), 100))
    assert not any("zero point" in n for n in plain.notes)


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_operators_on_codes(kind: Any, tmp_path: Path) -> None:
    """Resize, Pad, Clip, Relu and MaxPool of integers, as onnxruntime's QOperator form has them."""
    elem, shift = np.dtype(kind).name, 128 if kind is np.uint8 else 0
    text = f"""g (float[1,2,4,4] x) => ({elem} y, int64 i) {{
        q = QuantizeLinear(x, s, z)
        r = Resize<mode="nearest">(q, none, scales)
        p = Pad(r, pads, value)
        k = Clip(p, low, high)
        m = MaxPool<kernel_shape=[2,2]>(k)
        e = Pad(m, pads)
        {"y = Relu(e)" if elem == "int8" else "y = Identity(e)"}
        i = ArgMax<axis=3>(m)
    }}"""
    weights = qdq(0.1, 7 + shift, kind) | {
        "none": np.zeros(0, F), "scales": np.array([1, 1, 2, 2], F), "pads": np.array([0, 0, 1, 0, 0, 0, 0, 2]),
        "value": kind(11 + shift), "low": kind(-20 + shift), "high": kind(50 + shift),
    }  # fmt: skip
    imported = import_model(tmp_path, parse(text, 14, weights))
    fixed = to_fixed(tidy(imported.graph), {})
    rng = np.random.default_rng(3)
    for _ in range(4):
        x = (rng.integers(-128, 128, (1, 2, 4, 4)) * F(0.1)).astype(F)
        want, index = session(imported.original, optimise=False).run(None, {"x": x})
        y, i = simulate.run(fixed, simulate.quantise_inputs(fixed, [x[None]]))
        y, i = (p.to_onnx(v)[0].astype(np.int64) for p, v in zip(fixed.out_ports, (y, i), strict=True))
        assert np.array_equal(y + shift, want)
        assert np.array_equal(i + 128, index)


@pytest.mark.parametrize("opset", [13, 18])
def test_qlinear_mean(opset: int, tmp_path: Path) -> None:
    """As the operators it stands for; onnxruntime itself has no kernel for it."""
    mean = "ReduceMean<axes=[3], keepdims=0>(d)" if opset < 18 else "ReduceMean<keepdims=0>(d, axes)"
    head = "g (float[1,2,3,4] x) => (float y) { q = QuantizeLinear(x, s, z)"
    short = "m = com.microsoft.QLinearReduceMean<axes=[3], keepdims=0>(q, s, z, s, z)"
    long = f"d = DequantizeLinear(q, s, z) r = {mean} m = QuantizeLinear(r, s, z)"
    tail = "y = DequantizeLinear(m, s, z) }"
    weights = qdq(0.1, 3, np.int8) | {"axes": np.array([3])}
    graphs = [
        import_model(tmp_path, parse(f"{head} {middle} {tail}", opset, weights, domains=["com.microsoft"])).graph
        for middle in (short, long)
    ]
    assert ops_of(graphs[0]) == ops_of(graphs[1])
    assert [t.quant for t in graphs[0].tensors.values()] == [t.quant for t in graphs[1].tensors.values()]


@pytest.mark.parametrize("channels_last", [0, 1])
def test_more_qlinear_operators(channels_last: int, tmp_path: Path) -> None:
    q = ["s", "z"]
    make = helper.make_node
    shape = [1, 6, 5, 3] if channels_last else [1, 3, 6, 5]
    mine = {"domain": "com.microsoft"}
    conv = make("QLinearConv", ["a", *q, "w", "sw", "zw", *q], ["b"], pads=[1] * 4, **mine, channels_last=channels_last)
    nodes = [
        make("QuantizeLinear", ["x", *q], ["a"]),
        conv if channels_last else make("QLinearConv", ["a", *q, "w", "sw", "zw", *q], ["b"], pads=[1] * 4),
        make("QLinearWhere", ["mask", "a", *q, "b", *q, *q], ["c"], **mine),
        make("QLinearLeakyRelu", ["c", *q, "s2", "z"], ["d"], alpha=0.2, **mine),
        make("QLinearGlobalAveragePool", ["d", "s2", "z", *q], ["e"], channels_last=channels_last, **mine),
        make("QLinearSigmoid", ["d", "s2", "z", "s1", "z1"], ["g"], **mine),
        make("DequantizeLinear", ["e", *q], ["y"]),
        make("DequantizeLinear", ["g", "s1", "z1"], ["y2"]),
    ]
    rng = np.random.default_rng(0)
    weights = {
        "s": F(0.05), "z": np.int8(2), "s1": F(1 / 256), "z1": np.int8(-128), "s2": F(0.03),
        "w": rng.integers(-128, 128, (3, 3, 3, 3)).astype(np.int8), "sw": F(0.003), "zw": np.int8(0),
        "mask": rng.random(tuple(shape)) < 0.5,
    }  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(y, TensorProto.FLOAT, None) for y in ("y", "y2")],
        [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    imported = import_model(tmp_path, helper.make_model(graph, opset_imports=imports, ir_version=8))
    assert_close(imported, 2.0)


@pytest.mark.parametrize("kind", [np.int16, np.uint16])
@pytest.mark.parametrize("zero", [-32768, -1000, 0, 20000])
def test_16_bits_with_a_zero_point(kind: Any, zero: int, tmp_path: Path) -> None:
    """Within the steps that the note says; the end of the code stands for the Relu that the quantiser left out."""
    shift = 32768 if kind is np.uint16 else 0
    text = """g (float[1,3,6,6] x) => (float y) {
        q = QuantizeLinear(x, s0, z0)
        d = DequantizeLinear(q, s0, z0)
        wd = DequantizeLinear(w, sw)
        c = Conv<pads=[1,1,1,1]>(d, wd)
        t = Transpose<perm=[0,2,3,1]>(c)
        r = QuantizeLinear(t, s, z)
        rd = DequantizeLinear(r, s, z)
        a = ReduceMax<keepdims=0>(rd, three)
        f = Flatten(a)
        o = QuantizeLinear(f, s, z)
        y = DequantizeLinear(o, s, z)
    }"""
    rng = np.random.default_rng(1)
    step = 2.0**-12
    weights = {
        "three": np.array([3]), "s0": F(2.0**-13), "z0": kind(shift - 777), "s": F(step), "z": kind(zero + shift),
        "sw": F(0.01),
        "w": rng.integers(-128, 128, (4, 3, 3, 3)).astype(np.int8),
    }  # fmt: skip
    imported = import_model(tmp_path, parse(text, 21, weights, ir=10))
    assert any("have a zero point in the model" in n for n in imported.notes)
    graph = tidy(imported.graph)
    fixed = to_fixed(graph, dict.fromkeys(range_tensors(graph), (-8.0, 8.0)))
    assert all(q is not None and q.bits == 16 for q in (fixed.tensors[n].quant for n in fixed.outputs))
    reference, ends = session(imported.original, optimise=False), []
    for _ in range(6):
        x = rng.uniform(-4, 4, (1, 3, 6, 6)).astype(F)
        (want,) = reference.run(None, {"x": x})
        (got,) = simulate.dequantise_outputs(fixed, simulate.run(fixed, simulate.quantise_inputs(fixed, [x[None]])))
        ends.append(want.min() == F(step) * (-32768 - zero))
        assert np.abs(got[0] - want).max() <= 4.0 * step
    assert zero != -32768 or any(ends)  # some values were cut off
    assert any(n.startswith("int16: an operator is off") for n in fixed.notes)


def test_16_bit_codes_at_an_output_are_refused(tmp_path: Path) -> None:
    text = "g (float[1,4] x) => (int16 y) { y = QuantizeLinear(x, s, z) }"
    refused(tmp_path, text, qdq(0.1, 3, np.int16), "int16 with a zero point", 21)


@pytest.mark.parametrize("kind", ["INT4", "UINT4"])
def test_weights_and_activations_of_4_bits(kind: str, tmp_path: Path) -> None:
    """The types of opset 21; a palette of 16 values is what is left of the weights."""
    zero = 0 if kind == "INT4" else 7
    text = """g (float[1,8] x) => (float y) {
        q = QuantizeLinear(x, s, z)
        d = DequantizeLinear(q, s, z)
        wd = DequantizeLinear<axis=0>(w, sw, zw)
        c = Gemm<transB=1>(d, wd)
        r = QuantizeLinear(c, one, z)
        y = DequantizeLinear(r, one, z)
    }"""
    model = parse(text, 21, {"s": F(0.5), "one": F(2.0), "sw": np.array([0.1, 0.2, 0.3], F)}, ir=10)
    rng = np.random.default_rng(0)
    low = -8 if kind == "INT4" else 0
    elem = TensorProto.DataType.Value(kind)
    for name, values in (("w", rng.integers(low, low + 16, (3, 8))), ("z", np.array(zero)), ("zw", np.full(3, zero))):
        model.graph.initializer.append(helper.make_tensor(name, elem, values.shape, values.ravel().tolist()))
    integers(tmp_path, model, step=0.1)


def test_codes_clipped_to_fewer_bits(tmp_path: Path) -> None:
    """QCDQ, as Brevitas writes few bits: QuantizeLinear, Clip of the codes, DequantizeLinear."""
    text = """g (float[1,2,8,8] x) => (float y) {
        wq = QuantizeLinear(w, sw, z)
        wc = Clip(wq, low, high)
        wd = DequantizeLinear(wc, sw, z)
        q = QuantizeLinear(x, s, z)
        k = Clip(q, low, high)
        d = DequantizeLinear(k, s, z)
        c = Conv<pads=[1,1,1,1]>(d, wd)
        r = Relu(c)
        rq = QuantizeLinear(r, one, z)
        rc = Clip(rq, nought, high)
        y = DequantizeLinear(rc, one, z)
    }"""
    weights = qdq(0.5, 0, np.int8) | {
        "w": arr(6, 2, 3, 3), "sw": F(0.2), "one": F(0.7), "low": np.int8(-8), "high": np.int8(7), "nought": np.int8(0),
    }  # fmt: skip
    model = parse(text, 13, weights)
    integers(tmp_path, model)
    graph = tidy(import_model(tmp_path, model).graph)
    (conv,) = (n.op for n in graph.nodes if isinstance(n.op, Conv))
    assert conv.lo == 0.0
    assert conv.hi == pytest.approx(7 * 0.7)


FUSED: dict[str, dict[str, Any]] = {
    "Relu": {}, "Sigmoid": {}, "Tanh": {}, "LeakyRelu": {"activation_params": [0.2]},
    "HardSigmoid": {"activation_params": [0.3, 0.4]}, "Clip": {"activation_params": [-0.5, 1.5]},
}  # fmt: skip


@pytest.mark.parametrize("addend", [False, True])
@pytest.mark.parametrize("activation", FUSED)
def test_fused_convolution(activation: str, addend: bool, tmp_path: Path) -> None:
    """onnxruntime's own form of an optimised float model: it stays a float model."""
    ins = ["x", "w", "b", "z"] if addend else ["x", "w", "b"]
    attrs = {"pads": [1, 1, 1, 1], "activation": activation, **FUSED[activation]}
    node = helper.make_node("FusedConv", ins, ["y"], domain="com.microsoft", **attrs)
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 6, 6])]
    values += [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 4, 6, 6])] if addend else []
    weights = [onnx.numpy_helper.from_array(a, n) for n, a in (("w", arr(4, 2, 3, 3)), ("b", arr(4)))]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph([node], "g", values, [out], weights)
    imported = import_model(tmp_path, helper.make_model(graph, opset_imports=imports, ir_version=8))
    assert not imported.quantised
    assert_same(imported)


def test_fused_activation_that_is_not_known(tmp_path: Path) -> None:
    node = helper.make_node("FusedConv", ["x", "w"], ["y"], domain="com.microsoft", activation="Mish")
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 2, 6, 6]), ("y", None)))
    graph = helper.make_graph([node], "g", [x], [y], [onnx.numpy_helper.from_array(arr(4, 2, 3, 3), "w")])
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    with pytest.raises(ModelError, match="this activation"):
        import_model(tmp_path, helper.make_model(graph, opset_imports=imports, ir_version=8))


@pytest.mark.parametrize(
    "option",
    ["DedicatedQDQPair", "AddQDQPairToWeight", "ActivationSymmetric", "QDQKeepRemovableActivations",
     "ForceQuantizeNoInputCheck"],
)  # fmt: skip
def test_options_of_the_quantiser(option: str, tmp_path: Path) -> None:
    """Every build compares the integers with the file's, and stops where they are others."""
    path = quantise(tmp_path, "QDQ", "QInt8", "QInt8", True, **{option: True})
    model = quantised_file(path)
    graph = model.tidy
    makers = {o: n.op for n in graph.nodes for o in n.outputs}
    layers = [n.outputs[0] for n in graph.nodes if isinstance(n.op, Conv | Dense)]
    assert layers
    assert all(graph.tensors[name].quant is not None for name in layers if makers[name] is not None)


def test_operands_of_16_bits_but_not_weights(tmp_path: Path) -> None:
    text = """g (float[1,4] x) => (float y) {
        q = QuantizeLinear(x, s, z)
        d = DequantizeLinear(q, s, z)
        kd = DequantizeLinear(k, s, z)
        a = Mul(d, kd)
        r = QuantizeLinear(a, s, z)
        y = DequantizeLinear(r, s, z)
    }"""
    weights = qdq(0.01, 0, np.int16) | {"k": np.array([[100, -30, 7, 1]], np.int16)}
    assert_close(import_model(tmp_path, parse(text, 21, weights, ir=10)), 0.01)
    matrix = text.replace("Mul(d, kd)", "MatMul(d, kd)")
    refused(tmp_path, matrix, weights | {"k": np.ones((4, 3), np.int16)}, "constants of int16", 21)
