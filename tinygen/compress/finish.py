"""The end of all compression: every scale decided, so that the network can be written as a QDQ file and needs no data
any more.

Whatever is rounded here is rounded to what an ONNX file can say (float32), and the pins are those that `quantise`
settles on: the FIXED graph of the finished network and that of its file are the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.calibrate.floatrun import FloatModel
from tinygen.calibrate.graph import Ranges, measure
from tinygen.calibrate.ranges import METHODS, ChannelMeans, collect
from tinygen.compress.network import Network, WeightForm, layers, snap
from tinygen.errors import DataError, VerifyError
from tinygen.files import work_folder
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import Const, Graph, Node, Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops import Add, Conv, ConvTranspose, Dense, Mul, Pad, Unary
from tinygen.ops.unary import Expr
from tinygen.passes.base import fresh
from tinygen.passes.pipeline import tidy
from tinygen.passes.quantise import quantise, range_tensors, weighted_inputs, wide_tensors
from tinygen.progress import Progress, no_progress

#: The scale of a channel whose weights are all zero, before `quantise` makes it large enough for the bias.
_SMALL = 2.0**-40


def finish(
    network: Network,
    samples: Samples,
    *,
    method: str = "mse",
    repairs: Collection[str] = (),
    bias: bool = True,
    progress: Progress = no_progress,
) -> Graph:
    """The FLOAT graph with every scale pinned, weights (in their forms, others int8) at the values of their integers.

    Scales that the graph has already are kept (quantisation-aware training). `method` estimates the ranges of the other
    activations on `samples`; `bias`: the biases make up for the mean error of rounded weights. `repairs`: steps of
    `repairs.ladder` that are tried, with a part of the samples to judge them by. DataError for a method that is
    none, or no samples.
    """
    if method not in METHODS:
        raise DataError(f'no calibration method "{method}"; tinygen has {", ".join(METHODS)}')
    if samples.count < 1:
        raise DataError("to calibrate the network at least 1 sample is needed; found none")
    if repairs:
        from tinygen.compress.repairs.ladder import repair

        return repair(network, samples, steps=tuple(repairs), bias=bias, method=method, progress=progress).graph
    network, pinned, ranges = prepared(network, samples, method=method, bias=bias, progress=progress)
    return settle(pinned, network, ranges)


def prepared(
    network: Network,
    samples: Samples,
    *,
    method: str = "mse",
    bias: bool = True,
    ranges: Ranges | None = None,
    progress: Progress = no_progress,
) -> tuple[Network, Graph, Ranges]:
    """What `settle` takes: the network as a file can hold it, its graph with weights rounded and pinned, and the ranges
    of its activations; `ranges`: those, where they are known already."""
    graph = storable(separated(network.graph))
    network = replace(network, graph=graph)
    before = {n.name: graph.tensors[n.inputs[1]].array for n in with_weights(graph)}
    pinned = pin_all_weights(network)
    inputs = [port.to_tensor(x) for port, x in zip(graph.in_ports, samples.inputs, strict=True)]
    if bias:
        pinned = corrected(pinned, before, channel_means(graph, inputs, progress))
    if ranges is None:
        ranges = activation_ranges(pinned, inputs, method, progress)
    return network, pinned, ranges


def prove(graph: Graph, content: bytes, samples: Samples) -> None:
    """VerifyError unless the QDQ file `content`, read as `tinygen build` reads it, computes exactly what `graph`, from
    which it was written, does in integers: on the samples, outputs with their scales."""
    with work_folder() as folder:
        path = folder / "written.onnx"
        path.write_bytes(content)
        again = tidy(read_onnx(path, name=graph.name).graph)
    open_ = range_tensors(again)
    results = []
    for g in (graph, again) if not open_ else ():
        fixed = quantise(g, {})
        ints = simulate.run(fixed, simulate.quantise_inputs(fixed, samples.inputs))
        results.append((simulate.dequantise_outputs(fixed, ints), [fixed.tensors[o].quant for o in fixed.outputs]))
    same = results and results[0][1] == results[1][1]
    if not same or not all(np.array_equal(a, b) for a, b in zip(results[0][0], results[1][0], strict=True)):
        what = f'the scale of "{open_[0]}" is lost' if open_ else "the integers differ"
        raise VerifyError(
            f'"{graph.name}": the quantised ONNX file does not read back as it was written: {what}. This is a fault in '
            "tinygen: please report it with the model."
        )


def with_weights(graph: Graph) -> tuple[Node, ...]:
    """All nodes with weights and a bias: `layers`, and transposed convolutions."""
    return tuple(n for n in graph.nodes if isinstance(n.op, Conv | ConvTranspose | Dense))


def separated(graph: Graph) -> Graph:
    """The graph with weights and biases of its own for every layer: shared ones would need one scale."""
    taken: set[str] = set()
    nodes, tensors = [], []
    for node in graph.nodes:
        names = list(node.inputs)
        if isinstance(node.op, Conv | ConvTranspose | Dense):
            for i in (1, 2):
                name = names[i]
                if name in taken or len(graph.consumers[name]) > 1:
                    names[i] = fresh(graph, f"{node.outputs[0]}_{'_wb'[i]}")
                    tensors.append(replace(graph.tensors[name], name=names[i]))
                taken.add(names[i])
        nodes.append(replace(node, inputs=tuple(names)))
    return graph.with_(nodes=nodes, tensors=tensors)


def storable(graph: Graph) -> Graph:
    """The graph with the numbers in its operators rounded to float32, as an ONNX file will hold them."""

    def short(e: Expr) -> Expr:
        if isinstance(e, tuple):
            return (e[0], *(short(a) for a in e[1:]))
        return float(np.float32(e)) if isinstance(e, int | float) else e

    nodes = []
    for node in graph.nodes:
        op = node.op
        if isinstance(op, Unary):
            op = replace(op, expr=short(op.expr))
        elif isinstance(op, Pad):
            op = replace(op, value=float(np.float32(op.value)))
        elif isinstance(op, Conv | ConvTranspose | Dense | Add | Mul):
            op = replace(op, lo=float(np.float32(op.lo)), hi=float(np.float32(op.hi)))
        nodes.append(node if op == node.op else replace(node, op=op))
    return graph.with_(nodes=nodes)


def pinned_weights(graph: Graph, node: Node, q: Array, scale: Array) -> Tensor:
    """The weights of `node` as the integers q (O, ...) times a scale (O,) that a float32 holds."""
    s = scale.astype(np.float32).astype(np.float64)
    real = (q * s.reshape(-1, *[1] * (q.ndim - 1))).astype(np.float32)
    t = graph.tensors[node.inputs[1]]
    return replace(t, quant=Quant(tuple(float(v) for v in s), 0, 0), const=Const(real))


def _snapped(node: Node, w: Array, form: WeightForm, scale: Array | None) -> tuple[Array, Array]:
    """Integers and scales; of a transposed convolution in groups one set of scales for all groups, as ONNX has it."""
    if isinstance(node.op, ConvTranspose) and node.op.groups > 1:
        if scale is None:
            scale = np.abs(w.reshape(len(w), -1).astype(np.float64)).max(axis=1) / form.top
        scale = np.tile(scale.reshape(node.op.groups, -1).max(axis=0), node.op.groups)
    q, s = snap(w, form, scale)
    # A channel of zeros needs no scale of its own; quantise takes the least that holds its bias.
    return q, np.where(np.abs(q.reshape(len(q), -1)).max(axis=1) > 0, s, _SMALL)


def pin_all_weights(network: Network) -> Graph:
    """The graph with the weights of every layer on the grid of its form, those without one in int8; scales that are
    there already are kept."""
    graph = network.graph
    pinned = []
    for node in with_weights(graph):
        t = graph.tensors[node.inputs[1]]
        scale = None if t.quant is None else np.asarray(t.quant.scale, np.float64)
        if scale is not None:
            # A scale given is kept, unless a weight would be cut off at it.
            form = network.form(node.name)
            flat = np.abs(t.array.reshape(len(t.array), -1).astype(np.float64)).max(axis=1)
            scale = np.maximum(scale, flat / (form.top + 0.5)) if form.codebook is None else scale
        pinned.append(pinned_weights(graph, node, *_snapped(node, t.array, network.form(node.name), scale)))
    return graph.with_(tensors=pinned)


def channel_means(graph: Graph, inputs: list[Array], progress: Progress = no_progress) -> dict[str, Array]:
    """Mean over samples and positions of every channel that a layer reads."""
    names = weighted_inputs(graph)
    means = {name: ChannelMeans() for name in names}
    model = FloatModel(to_onnx(graph, [n for n in names if n not in graph.outputs]))
    meters = {name: [m] for name, m in means.items()}
    collect(model, names, inputs, lambda d, t: progress("means", d, t), meters)
    return {name: m.mean for name, m in means.items()}


def activation_ranges(graph: Graph, inputs: list[Array], method: str, progress: Progress = no_progress) -> Ranges:
    """Of the activations that no pin and no operator decides, on samples in the tensors' layout."""
    names = range_tensors(graph)
    model = FloatModel(to_onnx(graph, [n for n in names if n not in graph.outputs]))
    ranges, _ = measure(graph, model, names, inputs, method, lambda d, t: progress("calibrating", d, t))
    return ranges


def corrected(graph: Graph, before: Mapping[str, Array], means: Mapping[str, Array]) -> Graph:
    """The graph with biases that take back what its weights, which were `before` (by node name), shift their outputs by
    on average (Nagel et al. 2019, Data-Free Quantization, section 4.2). `means`: of the channels that layers read.

    A tap on the zeros around an image counts as one inside it.
    """
    tensors = []
    for node in layers(graph):
        w = graph.tensors[node.inputs[1]].array
        error = before[node.name].astype(np.float64) - w
        if not error.any() or node.inputs[0] not in means:  # no means for weights that were given quantised
            continue
        mean = means[node.inputs[0]]
        if isinstance(node.op, Conv):
            taps = error.sum(axis=tuple(range(1, error.ndim - 1)))  # (O, C/groups)
            group = np.repeat(np.arange(node.op.groups), len(taps) // node.op.groups)
            shift = (taps * mean.reshape(node.op.groups, -1)[group]).sum(axis=1)
        else:
            shift = error @ mean
        bias = graph.tensors[node.inputs[2]]
        tensors.append(replace(bias, const=Const((bias.array + shift).astype(np.float32))))
    return graph.with_(tensors=tensors)


#: Rounds in which scales may grow until `quantise` changes none; the second already has nothing to do but for int16.
_ROUNDS = 6


def settle(graph: Graph, network: Network, ranges: Ranges) -> Graph:
    """`graph`, weights pinned, with the activations pinned as well.

    A scale that `quantise` must enlarge (room for a large bias, a channel far below the others, long sums of int16) is
    pinned so: the weights, as they are in `graph`, are then snapped anew to their form, which a scale enlarged later
    would leave. `network`: the forms, and what is wide.
    """
    found = ranges.of(wide_tensors(graph, network.wide))
    for _ in range(_ROUNDS):
        fixed = quantise(graph, found, wide=network.wide)
        made = {n.name: n for n in fixed.nodes}
        grown = [
            t for node in with_weights(graph) if (t := _grown(graph, node, fixed, made[node.name], network)) is not None
        ]
        if not grown:
            pins = [replace(t, quant=fixed.tensors[t.name].quant) for t in graph.tensors.values() if t.const is None]
            return graph.with_(tensors=pins)
        graph = graph.with_(tensors=grown)
    raise AssertionError("scales of weights do not come to rest")


def _grown(graph: Graph, node: Node, fixed: Graph, fixed_node: Node, network: Network) -> Tensor | None:
    """The weights of a layer at the scales that its FIXED form has, or None where these are the pinned ones."""
    t, q = graph.tensors[node.inputs[1]], fixed.tensors[fixed_node.inputs[1]]
    assert t.quant is not None
    assert q.quant is not None
    was, now = np.asarray(t.quant.scale), np.asarray(q.quant.scale)
    larger = now > was * (1.0 + 2.0**-20)
    if not larger.any():
        return None
    # float32 rounds to nearest: what it holds must not be below what is needed.
    up = np.nextafter(now.astype(np.float32), np.float32(np.inf)).astype(np.float64)
    codes, scale = snap(t.array, network.form(node.name), np.where(larger, up, was))
    return pinned_weights(graph, node, codes, scale)
