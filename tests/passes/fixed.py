"""FIXED graphs for tests of what happens behind quantisation: of FLOAT graphs, and spoilt so that there is much to
remove."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygen import simulate
from tinygen.calibrate.floatrun import FloatModel
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import Graph, Tensor
from tinygen.numerics import Array
from tinygen.ops import Conv, ConvTranspose, Dense
from tinygen.ops.access import width
from tinygen.ops.base import int_range, is_wide
from tinygen.passes.pipeline import tidy
from tinygen.passes.quantise import quantise, range_tensors


def fixed_graph(graph: Graph, samples: int = 4, seed: int = 0, wide: float = 0.0) -> Graph:
    """Tidied and quantised, a share of its activations in int16; ranges are those of random inputs."""
    graph = tidy(graph)
    rng = np.random.default_rng(seed)
    ins = [(2 * rng.normal(size=(samples, *graph.tensors[n].shape))).astype(np.float32) for n in graph.inputs]
    inner = [o for n in graph.nodes for o in n.outputs if o not in graph.outputs]
    model = FloatModel(to_onnx(graph, inner))
    values = dict(zip(model.output_names, model.run_many(ins), strict=True)) | dict(zip(graph.inputs, ins, strict=True))
    chosen = [name for name in values if rng.random() < wide]
    ranges = {n: (float(values[n].min()), float(values[n].max())) for n in range_tensors(graph)}
    return quantise(graph, ranges, wide=chosen)


def spoil(graph: Graph, share: float, seed: int = 0) -> Graph:
    """The graph with layers as training sometimes leaves them: for a share of the outputs a bias as large as the
    accumulator can hold, and a third as many inputs without weights."""
    rng = np.random.default_rng(seed)
    changed = []
    for node in graph.nodes:
        if not isinstance(node.op, Conv | ConvTranspose | Dense):
            continue
        w, b = graph.tensors[node.inputs[1]], graph.tensors[node.inputs[2]]
        reach = 2**15 if is_wide(graph.tensors[node.inputs[0]]) else 256
        room = 2**31 - 1 - reach * np.abs(w.array.astype(np.int64)).reshape(len(w.array), -1).sum(axis=1)
        large = np.where(rng.random(len(room)) < 0.5, room, -room)
        bias = np.where(rng.random(len(room)) < share, large, b.array)
        weights = w.array.copy()
        weights[..., rng.random(weights.shape[-1]) < share / 3] = 0
        changed += [Tensor.constant(w.name, weights, w.quant), Tensor.constant(b.name, bias.astype(np.int32), b.quant)]
    return graph.with_(tensors=changed)


def extremes(graph: Graph, count: int = 12, seed: int = 0) -> list[Array]:
    """All lowest, all highest, then random integers: half of them from the ends alone."""
    rng = np.random.default_rng(seed)
    found = []
    for name in graph.inputs:
        shape = (count, *graph.tensors[name].shape)
        low, high = int_range(graph.tensors[name])
        x = rng.integers(low, high + 1, shape)
        x[: count // 2] = rng.choice([low, high], (count // 2, *shape[1:]))
        x[0], x[1] = low, high
        found.append(x.astype(graph.tensors[name].dtype.value))
    return found


def observed(graph: Graph, inputs: Sequence[Array]) -> dict[str, tuple[Array, Array]]:
    """Lowest and highest integer of each channel of each activation over the samples."""
    seen: dict[str, list[Array]] = {}
    simulate.run(graph, inputs, lambda n, x: seen.setdefault(n, []).append(x.reshape(-1, width(graph.tensors[n]))))
    together = {name: np.concatenate(rows) for name, rows in seen.items()}
    return {name: (x.min(axis=0), x.max(axis=0)) for name, x in together.items()}
