"""Outputs joined from parts of very different range: each part keeps its scale, wherever the parts end up."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto

from tests.emit.nets import Net
from tests.passes.graphs import read
from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.calibrate.floatrun import FloatModel
from tinygen.flow.quantised import calibrate
from tinygen.frontend.onnx_writer import to_onnx, to_qdq
from tinygen.ir.types import Graph, Quant
from tinygen.numerics import Array
from tinygen.passes.pipeline import tidy
from tinygen.passes.slices import tight_quant


def head(n: Net, x: str, size: int, pixels: float) -> list[str]:
    """Boxes (4) in pixels and scores (3) of a feature map, (1, channels, cells)."""
    boxes = n.op("Mul", n.conv(x, 6, 4, (1, 1)), n.const(pixels))
    scores = n.op("Sigmoid", n.conv(x, 6, 3, (1, 1)))
    shapes = [n.const([1, c, size], "int64") for c in (4, 3)]
    return [n.op("Reshape", p, s) for p, s in zip((boxes, scores), shapes, strict=True)]


def detector(pixels: float = 100.0) -> ModelProto:
    """Two levels; boxes and scores joined by channel, then the levels, then cells first."""
    n = Net(1)
    x = n.op("Relu", n.conv(n.input("x", 1, 3, 8, 8), 3, 6, (3, 3), pads=[1] * 4))
    levels = []
    for stride, size in ((1, 64), (2, 16)):
        level = n.conv(x, 6, 6, (3, 3), pads=[1] * 4, strides=[stride] * 2)
        levels.append(n.op("Concat", *head(n, level, size, pixels), axis=1))
    return n.model(n.op("Transpose", n.op("Concat", *levels, axis=2), perm=[0, 2, 1]))


def data(graph: Graph, count: int = 24) -> Samples:
    rng = np.random.default_rng(0)
    size = np.exp(rng.normal(size=count))
    inputs = [rng.normal(size=(count, *p.shape)) * size.reshape(-1, *(1,) * len(p.shape)) for p in graph.in_ports]
    return Samples(tuple(x.astype(np.float32) for x in inputs), None, "", "")


def both(graph: Graph, fixed: Graph, samples: Samples) -> tuple[Array, Array]:
    """Float and integer output, in the ONNX layout."""
    moved = [p.to_tensor(x) for p, x in zip(graph.in_ports, samples.inputs, strict=True)]
    found = FloatModel(to_onnx(graph)).run_many(moved)
    real = graph.out_ports[0].to_onnx(found[0].reshape(-1, *graph.tensors[graph.outputs[0]].shape))
    ints = simulate.run(fixed, simulate.quantise_inputs(fixed, samples.inputs))
    return real, simulate.dequantise_outputs(fixed, ints)[0]


def noise_db(real: Array, ours: Array) -> float:
    return float(10 * np.log10((real**2).mean() / ((real - ours) ** 2).mean()))


@pytest.mark.parametrize("wide", [False, True])
def test_scores_beside_boxes(wide: bool) -> None:
    graph = tidy(read(detector()))
    samples = data(graph)
    names = [t.name for t in graph.tensors.values() if t.const is None] if wide else []
    fixed, _ = calibrate(graph, samples, "minmax", wide=names)
    quant = fixed.tensors[fixed.outputs[0]].quant
    assert quant is not None
    assert len(set(quant.scale)) == 2  # boxes of both levels have one scale, scores another
    assert any("2 scales" in note for note in fixed.notes)
    real, ours = both(graph, fixed, samples)
    assert real.shape[-1] == 7
    for column in range(4, 7):
        assert len(np.unique(ours[..., column])) > 50
        assert noise_db(real[..., column], ours[..., column]) > 30


def test_parts_alike_stay_together() -> None:
    graph = tidy(read(detector(pixels=0.05)))
    fixed, _ = calibrate(graph, data(graph), "minmax")
    quant = fixed.tensors[fixed.outputs[0]].quant
    assert quant is not None
    assert not quant.zero_points


def test_an_output_that_is_computed_with_has_one_scale() -> None:
    n = Net(2)
    x = n.input("x", 1, 8)
    parts = [n.op("Mul", n.dense(x, 8, 4), n.const(100.0)), n.op("Sigmoid", n.dense(x, 8, 4))]
    joined = n.op("Concat", *parts, axis=1)
    graph = tidy(read(n.model(joined, n.op("Softmax", joined, axis=1))))
    fixed, _ = calibrate(graph, data(graph), "minmax")
    assert not any(t.quant is not None and t.quant.zero_points for t in fixed.tensors.values())


def test_a_file_that_asks_for_one_scale_gets_it() -> None:
    n = Net(3)
    x = n.input("x", 1, 8)
    parts = [n.op("Mul", n.dense(x, 8, 4), n.const(100.0)), n.op("Sigmoid", n.dense(x, 8, 4))]
    scale, zero = n.const(2.0), n.const(1, "int8")
    joined = n.op("QuantizeLinear", n.op("Concat", *parts, axis=1), scale, zero)
    graph = tidy(read(n.model(n.op("DequantizeLinear", joined, scale, zero))))
    fixed, _ = calibrate(graph, data(graph), "minmax")
    assert fixed.tensors[fixed.outputs[0]].quant == Quant.per_tensor(2.0, 1)


def test_scores_far_from_zero_use_all_integers() -> None:
    """Small weights: every score is near 1/2. Zero needs no integer of its own there."""
    n = Net(4)
    x = n.input("x", 1, 8)
    near = n.op("Sigmoid", n.op("Mul", n.dense(x, 8, 5), n.const(0.05)))
    graph = tidy(read(n.model(n.op("Concat", n.op("Mul", n.dense(x, 8, 4), n.const(100.0)), near, axis=1))))
    samples = data(graph)
    fixed, _ = calibrate(graph, samples, "minmax")
    quant = fixed.tensors[fixed.outputs[0]].quant
    assert quant is not None
    assert max(quant.zero_points[4:]) < -128
    assert min(quant.zero_points[:4]) >= -128
    real, ours = both(graph, fixed, samples)
    scores = real[..., 4:]
    assert 10 * np.log10(scores.var() / ((scores - ours[..., 4:]) ** 2).mean()) > 20
    assert len(np.unique(ours[..., 4:])) > 40  # of 120 values


@pytest.mark.parametrize(("lo", "hi"), [(0.4, 0.6), (-0.6, -0.4), (1e-3, 1.1e-3)])
def test_tight_quant(lo: float, hi: float) -> None:
    """All of the range and a margin, and not much more."""
    q = tight_quant(lo, hi)
    assert q is not None
    assert lo - 0.26 * (hi - lo) < q.s * (-128 - q.zero_point) < lo - 0.24 * (hi - lo)
    assert hi + 0.24 * (hi - lo) < q.s * (127 - q.zero_point) < hi + 0.26 * (hi - lo)


@pytest.mark.parametrize(("lo", "hi"), [(0.0, 1.0), (0.1, 1.0), (-1.0, 1.0), (0.5, 0.5), (1.0, 1.0 + 1e-9)])
def test_zero_belongs_to_it(lo: float, hi: float) -> None:
    assert tight_quant(lo, hi) is None


def test_written_as_qdq_and_read_again() -> None:
    """The parts' scales come back, and with them every integer."""
    from tinygen.compress.finish import finish, prove
    from tinygen.compress.network import Network

    graph = tidy(read(detector()))
    samples = data(graph)
    done = finish(Network(graph), samples)
    prove(done, to_qdq(done), samples)
