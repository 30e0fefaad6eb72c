"""A finished network and its QDQ file are the same integers; weight forms survive; scales given are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from tests.compress.float_nets import CONV, DEPTHWISE, HEAD, HIDDEN, POINTWISE, chain, correlated, mixed
from tests.shared.test_models import models
from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.calibrate.floatrun import FloatModel
from tinygen.calibrate.synthetic import synthetic
from tinygen.compress.finish import finish, prove
from tinygen.compress.forms.bits import OutputNoise, bit_sensitivity, mixed_bits, set_bits, weight_bytes
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, WeightForm, layers, weights
from tinygen.errors import DataError, ModelError, VerifyError
from tinygen.flow.quantised import quantised_file, read_samples
from tinygen.flow.types import Calibration, Loaded
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.frontend.onnx_writer import to_onnx, to_qdq
from tinygen.ir.types import Const, Graph, Node, Port, Quant, Stage, Tensor
from tinygen.numerics import Array
from tinygen.ops import OPERATORS, AvgPool, Conv, ConvTranspose, Dense, Div, Insert, Norm, Requantise, Resize
from tinygen.ops.base import Case
from tinygen.ops.resize import Axis
from tinygen.ops.spatial import Window
from tinygen.passes.pipeline import tidy
from tinygen.passes.quantise import quantise, range_tensors

EXAMPLES = Path(__file__).parents[2] / "examples"
GRAPH = mixed()
SAMPLES = correlated((1, 6, 6, 4), 60)
ONE = (1, 1)


def fixed_of(content: bytes, folder: Path, name: str = "net") -> Graph:
    """The FIXED graph that a build makes of a QDQ file, without data."""
    path = folder / "q.onnx"
    path.write_bytes(content)
    graph = tidy(read_onnx(path, name=name).graph)
    assert range_tensors(graph) == ()
    return quantise(graph, {})


def integers(fixed: Graph, samples: Samples) -> list[Array]:
    return [
        port.to_onnx(y)
        for y, port in zip(
            simulate.run(fixed, simulate.quantise_inputs(fixed, samples.inputs)), fixed.out_ports, strict=True
        )
    ]


def weights_of(fixed: Graph) -> list[Array]:
    return [fixed.tensors[n.inputs[i]].array for n in fixed.nodes if isinstance(n.op, Conv | ConvTranspose | Dense)
            for i in (1, 2, 3)]  # fmt: skip


def round_trip(finished: Graph, samples: Samples, folder: Path, *, layers_too: bool = True) -> bytes:
    """Asserts that the file gives the same bits; returns it."""
    content = to_qdq(finished)
    ours, read = quantise(finished, {}), fixed_of(content, folder)
    assert [(p.name, p.shape) for p in (*ours.in_ports, *ours.out_ports)] == [
        (p.name, p.shape) for p in (*read.in_ports, *read.out_ports)
    ]
    for a, b in zip(integers(ours, samples), integers(read, samples), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [ours.tensors[o].quant for o in ours.outputs] == [read.tensors[o].quant for o in read.outputs]
    if layers_too:
        for a, b in zip(weights_of(ours), weights_of(read), strict=True):
            np.testing.assert_array_equal(a, b)
    return content


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("wide", [False, True], ids=["int8", "int16"])
def test_round_trip(bits: int, wide: bool, tmp_path: Path) -> None:
    network = set_bits(Network(GRAPH), bits, [n.name for n in layers(GRAPH)])
    if wide:
        network = replace(network, wide=frozenset({f"{DEPTHWISE}_y", f"{HIDDEN}_y", f"{HEAD}_y"}))
    finished = finish(network, SAMPLES)
    content = round_trip(finished, SAMPLES, tmp_path)
    # onnxruntime runs it, and is off by rounding alone: a few steps of the output.
    session = ort.InferenceSession(content)
    fixed = quantise(finished, {})
    for x, ours in zip(SAMPLES.inputs[0][:20], integers(fixed, SAMPLES)[0], strict=False):
        (y,) = session.run(None, {"in": x})
        q = fixed.tensors[fixed.outputs[0]].quant
        assert q is not None
        assert q.bits == (16 if wide else 8)
        # int16 steps are 256 times as fine, and the layers before are rounded to int8.
        assert np.abs(y / q.s + q.zero_point - ours).max() <= (256 if wide else 3)


@pytest.mark.parametrize("example", ["digits", "sine"])
def test_examples(example: str, tmp_path: Path) -> None:
    folder = EXAMPLES / example
    imported = read_onnx(folder / f"{example}.onnx")
    graph = tidy(imported.graph)
    samples = read_samples(folder / f"{example}_calib.npz", Loaded(imported, graph), 50)
    content = round_trip(finish(Network(graph), samples), samples, tmp_path)
    # What `tinygen build` makes of it, with data or without.
    path = tmp_path / f"{example}.onnx"
    path.write_bytes(content)
    kinds = [quantised_file(path, Calibration(data)).fixed for data in (None, samples)]
    for a, b in zip(*(integers(k, samples) for k in kinds), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(integers(kinds[0], samples)[0], integers(fixed_of(content, tmp_path), samples)[0])


def one_op(case: Case) -> Graph:
    """A graph of one operator between two ports."""
    ins: list[Tensor] = []
    for i, x in enumerate(case.inputs):
        ins.append(Tensor(f"x{i}", x) if isinstance(x, tuple) else Tensor.constant(f"x{i}", x))
    shapes = case.op.infer(*(t.shape for t in ins))
    outs = [Tensor(f"y{i}", s) for i, s in enumerate(shapes)]
    fed, read = [t for t in ins if t.const is None], outs[: len(outs) - case.op.watched]
    return Graph(
        "one", Stage.FLOAT, {t.name: t for t in (*ins, *outs)},
        (Node("op", case.op, tuple(t.name for t in ins), tuple(t.name for t in outs), ("op",)),),
        tuple(t.name for t in fed), tuple(t.name for t in read),
        tuple(Port.plain(f"in{t.name}", t.shape) for t in fed),
        tuple(Port.plain(f"out{t.name}", t.shape) for t in read),
    )  # fmt: skip


CASES = [
    pytest.param(case, id=f"{op.__name__}-{case.name}")
    for op in OPERATORS
    if op is not Requantise
    for case in op.cases()
    if all(not isinstance(x, tuple) or x[0] == 1 for x in case.inputs)  # what a network input can be
    # A number divided by x is read as the product with a reciprocal: no file gives the operator.
    if op is not Div or isinstance(case.inputs[0], tuple)
]


@pytest.mark.parametrize("case", CASES)
def test_every_operator(case: Case, tmp_path: Path) -> None:
    """Each operator's own cases, as networks of one layer."""
    graph = tidy(one_op(case))
    samples = synthetic(graph.in_ports, 8, seed=3)
    if isinstance(case.op, Div):  # made-up samples have zeros
        samples = replace(samples, inputs=tuple(1.0 + np.abs(x) for x in samples.inputs))
    grouped = isinstance(case.op, Norm) and case.op.groups > 1
    dilated = isinstance(case.op, AvgPool) and max(case.op.window.dilations) > 1
    if grouped or dilated or isinstance(case.op, Insert):
        with pytest.raises(ModelError, match="Build the model as it is"):
            to_qdq(finish(Network(graph), samples))
        return
    round_trip(finish(Network(graph), samples), samples, tmp_path, layers_too=False)


def test_a_resize_that_onnx_cannot_say_is_refused() -> None:
    axis = Axis((0, 0, 1), (1, 1, 2), (5, 6, 7))
    graph = chain((1, 3, 4), [("r", Resize((axis,), True), None)], 0)
    with pytest.raises(ModelError, match='resize "onnx/r": no mode'):
        to_qdq(finish(Network(graph), synthetic(graph.in_ports, 4, seed=0)))


def test_groups_of_a_transposed_convolution_share_scales(tmp_path: Path) -> None:
    op = ConvTranspose(Window((2, 2), (2, 2), (0,) * 4, ONE), (0, 0), 2)
    graph = chain((1, 3, 3, 4), [("up", op, (6, 2, 2, 2))], 5)
    samples = correlated((1, 3, 3, 4), 20)
    finished = finish(Network(graph), samples)
    quant = finished.tensors["up_w"].quant
    assert quant is not None
    assert quant.scale[:3] == quant.scale[3:]
    round_trip(finished, samples, tmp_path)


BOOK = (-100, -37, -11, 0, 5, 23, 64, 127)


def awkward(seed: int = 0) -> Graph:
    """Channels whose scales quantise enlarges: a huge bias on small weights, one far below the others, one of zeros."""
    graph = mixed(seed)
    w, b = (graph.tensors[f"{POINTWISE}_{k}"].array.copy() for k in "wb")
    w[0] *= 1e-7
    b[0] = 40.0
    w[1] *= 1e-9
    w[2] = 0.0
    tensors = [Tensor.constant(f"{POINTWISE}_w", w), Tensor.constant(f"{POINTWISE}_b", b)]
    return graph.with_(tensors=tensors)


@pytest.mark.parametrize(
    "form",
    [WeightForm(8), WeightForm(4), WeightForm(2), WeightForm(8, BOOK),
     WeightForm(8, BOOK, Const(np.arange(640).reshape(40, 1, 1, 16) % 3 > 0))],
    ids=["8", "4", "2", "book", "book and mask"],
)  # fmt: skip
@pytest.mark.parametrize("wide", [False, True], ids=["int8", "int16"])
def test_forms_survive_larger_scales(form: WeightForm, wide: bool, tmp_path: Path) -> None:
    network = Network(awkward(), {POINTWISE: form}, frozenset({f"{DEPTHWISE}_y"} if wide else ()))
    finished = finish(network, SAMPLES)
    fixed = quantise(finished, {})
    q = fixed.tensors[next(n for n in fixed.nodes if n.name == POINTWISE).inputs[1]].array
    allowed = set(form.codebook) if form.codebook else set(range(-form.top, form.top + 1))
    assert set(np.unique(q).tolist()) <= allowed
    if form.mask is not None:
        assert not q[~form.mask.array].any()
    round_trip(finished, SAMPLES, tmp_path)
    # The channel of a large bias and no weights to speak of still says its bias.
    real = FloatModel(to_onnx(awkward(), [f"{POINTWISE}_y"])).run([SAMPLES.inputs[0][0]], [f"{POINTWISE}_y"])[0]
    seen: dict[str, Array] = {}
    simulate.run(fixed, simulate.quantise_inputs(fixed, [SAMPLES.inputs[0][:1]]), seen.__setitem__)
    y = fixed.tensors[f"{POINTWISE}_y"].quant
    assert y is not None
    got = (seen[f"{POINTWISE}_y"][0].astype(np.float64) - y.zero_point) * y.s
    assert np.abs(got[..., :3] - real[..., :3]).max() <= 1.01 * y.s


def test_scales_that_are_there_are_kept() -> None:
    """Quantisation-aware training: weights, or activations, or both."""
    scale = tuple(float(np.float32(0.01 + 0.001 * i)) for i in range(16))
    pin = Quant.per_tensor(float(np.float32(0.05)), -100)
    w = GRAPH.tensors[f"{CONV}_w"]
    graph = GRAPH.with_(
        tensors=[replace(w, quant=Quant(scale, 0, 0)), replace(GRAPH.tensors[f"{HIDDEN}_y"], quant=pin)]
    )
    finished = finish(Network(graph), SAMPLES)
    kept = finished.tensors[f"{CONV}_w"].quant
    assert kept is not None
    # Only where a weight would be cut off the scale grows.
    need = np.abs(w.array.reshape(16, -1)).max(axis=1) / 127.5
    np.testing.assert_allclose(kept.scale, np.maximum(scale, need), rtol=1e-6)
    assert finished.tensors[f"{HIDDEN}_y"].quant == pin


def test_biases_make_up_for_rounding() -> None:
    """With 3 bits the mean of every layer's output is far off without, and near with, the correction."""
    network = set_bits(Network(GRAPH), 3, [n.name for n in layers(GRAPH)])
    name = f"{CONV}_y"
    feeds = [SAMPLES.inputs[0]]

    def linear(node: Node) -> Node:
        assert isinstance(node.op, Conv)
        return replace(node, op=replace(node.op, lo=-np.inf))

    def mean(graph: Graph) -> Array:
        free = [replace(graph.tensors[name], quant=None)]  # a pin saturates
        g = graph.with_(nodes=[linear(n) if n.name == CONV else n for n in graph.nodes], tensors=free)
        model = FloatModel(to_onnx(g, [name]))
        return np.asarray(model.run_many(feeds)[model.output_names.index(name)].mean(axis=(0, 1, 2, 3)))

    real = mean(GRAPH)
    off = [float(np.abs(mean(finish(network, SAMPLES, bias=b)) - real).max()) for b in (False, True)]
    assert off[1] < 0.3 * off[0]  # not 0: taps outside the image count as inside


def test_errors() -> None:
    with pytest.raises(DataError, match='no calibration method "median"'):
        finish(Network(GRAPH), SAMPLES, method="median")
    empty = replace(SAMPLES, inputs=(SAMPLES.inputs[0][:0],))
    with pytest.raises(DataError, match="at least 1 sample"):
        finish(Network(GRAPH), empty)
    with pytest.raises(ValueError, match="every activation pinned"):
        to_qdq(GRAPH)
    finished = finish(Network(GRAPH), SAMPLES)
    prove(finished, to_qdq(finished), SAMPLES)
    other = finish(Network(mixed(1)), SAMPLES)
    with pytest.raises(VerifyError, match="does not read back"):
        prove(finished, to_qdq(other), SAMPLES)


# Bits -----------------------------------------------------------------------------------------------------------------


def test_set_bits() -> None:
    log: list[LayerChange] = []
    book = Network(GRAPH, {HIDDEN: WeightForm(8, BOOK)})
    network = set_bits(book, 4, log=log)
    assert {k: f.bits for k, f in network.forms.items() if f.codebook is None} == {CONV: 4, POINTWISE: 4}
    assert any("codebook" in c.text for c in log)
    sizes = {n.name: weights(GRAPH, n).size for n in layers(GRAPH)}
    eight = sum(sizes.values()) - sizes[CONV] - sizes[POINTWISE] - sizes[HIDDEN]
    assert weight_bytes(network) == eight + sizes[CONV] // 2 + sizes[POINTWISE] // 2 + sizes[HIDDEN] * 3 // 8
    with pytest.raises(ValueError, match="found 9 bits"):
        set_bits(network, 9)


def test_sensitivity_is_measured_alone() -> None:
    noise = OutputNoise(GRAPH, SAMPLES, 40)
    nodes = layers(GRAPH)
    table = bit_sensitivity(Network(GRAPH), noise, nodes, (8, 4, 2))
    for n in nodes:
        a, b, c = (table[n.name, bits].noise for bits in (8, 4, 2))
        assert a < b < c
    assert noise(Network(GRAPH)) == 0.0


def test_mixed_bits_keep_their_budget() -> None:
    plain = Network(GRAPH)
    names = [n.name for n in layers(GRAPH)]
    budget = weight_bytes(plain) * 6 // 10
    by_bytes = mixed_bits(plain, SAMPLES, budget_bytes=budget, layers=names, runs=40)
    assert weight_bytes(by_bytes) <= budget
    noise = OutputNoise(GRAPH, SAMPLES, 40)
    eight = 2.0 * noise(set_bits(plain, 8, names))
    loose = mixed_bits(plain, SAMPLES, max_loss_db=12.0, layers=names, runs=40)
    tight = mixed_bits(plain, SAMPLES, max_loss_db=1.0, layers=names, runs=40)
    assert weight_bytes(loose) < weight_bytes(tight) <= weight_bytes(plain)
    for network, loss in ((loose, 12.0), (tight, 1.0)):
        assert noise(network) + eight / 2.0 <= eight * 10 ** (loss / 10)
    with pytest.raises(ValueError, match="candidates"):
        mixed_bits(plain, SAMPLES, candidates=(9,))
    with pytest.raises(ValueError, match="loss"):
        mixed_bits(plain, SAMPLES, max_loss_db=0.0)


# Real models ----------------------------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize("path", models(lambda s: True))
def test_shared_models(path: Path, tmp_path: Path) -> None:
    """Every model reads back to the same bits, and onnxruntime loads the file."""
    graph = tidy(read_onnx(path).graph)
    samples = synthetic(graph.in_ports, 4, seed=0, quants=[graph.tensors[n].quant for n in graph.inputs])
    content = round_trip(finish(Network(graph), samples), samples, tmp_path)
    ort.InferenceSession(content)


# Models quantised in part, as training with fake quantisation leaves them


def without(content: bytes, dropped: str) -> bytes:
    """A QDQ file without the quantisation of its "weights", or of its "activations"."""
    model = onnx.ModelProto.FromString(content)
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    renamed: dict[str, str] = {}
    nodes = []
    for n in model.graph.node:
        n.input[:] = [renamed.get(i, i) for i in n.input]
        if n.op_type == "DequantizeLinear" and n.input[0] in arrays and dropped == "weights":
            codes, scale = arrays[n.input[0]], arrays[n.input[1]]
            axis = next(a.i for a in n.attribute if a.name == "axis")
            real = codes * scale.reshape([-1 if i == axis else 1 for i in range(codes.ndim)])
            model.graph.initializer.append(numpy_helper.from_array(real.astype(np.float32), n.output[0]))
        elif n.op_type in ("QuantizeLinear", "DequantizeLinear") and n.input[0] not in arrays:
            if dropped == "weights":
                nodes.append(n)
            elif n.output[0] == "out":
                nodes.append(onnx.helper.make_node("Identity", [n.input[0]], ["out"]))
            else:
                renamed[n.output[0]] = n.input[0]
        else:
            nodes.append(n)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    data: bytes = model.SerializeToString()
    return data


def test_weights_alone(tmp_path: Path) -> None:
    """Their integers and scales are kept; ranges of activations are found on the samples."""
    finished = finish(set_bits(Network(GRAPH), 4, [CONV, POINTWISE]), SAMPLES)
    path = tmp_path / "w.onnx"
    path.write_bytes(without(to_qdq(finished), "activations"))
    graph = tidy(read_onnx(path).graph)
    assert len(range_tensors(graph)) > len(layers(GRAPH))
    fixed = quantised_file(path, Calibration(SAMPLES)).fixed
    ours = quantise(finished, {})
    found = [[g.tensors[n.inputs[1]] for n in g.nodes if isinstance(n.op, Conv | Dense)] for g in (ours, fixed)]
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a.array, b.array)
        assert a.quant == b.quant


def test_activations_alone(tmp_path: Path) -> None:
    """Their scales are kept, and no data is needed."""
    finished = finish(Network(GRAPH), SAMPLES)
    fixed = fixed_of(without(to_qdq(finished), "weights"), tmp_path)
    ours = quantise(finished, {})
    pins = [[g.tensors[o].quant for n in g.nodes for o in n.outputs] for g in (ours, fixed)]
    assert pins[0] == pins[1]
