"""Cross-layer equalisation: the channels between two layers brought to one size, the function unchanged.

One scale serves all channels of an activation. A channel far smaller than the others is left few of its steps. Where a
layer's output passes only what commutes with a positive factor (ReLU, pools, reshapes) on its way to the next layer,
channel i may be divided by any f_i > 0 in the first layer and multiplied in the second (Nagel et al. 2019, Data-Free
Quantization, section 4.1). There weights have one scale for a whole layer; here they have one for each output channel,
so the first layer's weights do not care, and what is balanced instead is the size of the activation's channels against
the weights that the second layer has for them. A depthwise layer does not care either: in front of it all channels come
out equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from tinygen.calibrate.data import Samples
from tinygen.calibrate.graph import float_model, to_tensors
from tinygen.compress.change import is_depthwise, set_weights
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, is_layer, layers, weights
from tinygen.compress.pinning import separated
from tinygen.ir.types import Graph, Node, Quant
from tinygen.numerics import Array
from tinygen.ops import AvgPool, MaxPool, ReduceExtreme, ReduceSum, Reshape
from tinygen.ops.weighted import Weighted
from tinygen.progress import Progress

#: A channel's factor stays within this of the geometric mean: dead channels are not blown up to the size of others.
_LARGEST = 2.0**8
#: Rounds over all pairs; a chain of depthwise and pointwise layers comes to rest in few.
_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Pair:
    """Two layers whose channels can change size together; `repeat`: inputs of the second for each channel."""

    first: Node
    second: Node
    repeat: int


def pairs(network: Network, log: list[LayerChange] | None = None) -> tuple[Pair, ...]:
    """Where equalisation is possible; why not, for the others, goes to `log`."""
    graph = network.graph
    found = []
    for node in layers(graph):
        pair = _pair(network, node)
        if isinstance(pair, Pair):
            found.append(pair)
        elif log is not None:
            size = weights(graph, node).size
            log.append(LayerChange(node.name, "equalise", f"left alone: {pair}", size, size))
    return tuple(found)


def _pair(network: Network, node: Node) -> Pair | str:
    """The pair that begins with `node`, or why there is none."""
    graph = network.graph
    assert isinstance(node.op, Weighted)
    if node.op.lo not in (0.0, -math.inf) or node.op.hi != math.inf:
        return f"its clamp [{node.op.lo:g}, {node.op.hi:g}] would need other bounds for each channel"
    if weights(graph, node).quant is not None:
        return "its scales are pinned"
    name, repeat = node.outputs[0], 1
    while True:
        t = graph.tensors[name]
        if t.quant is not None:
            return "the scale of its output is pinned"
        reader = graph.sole_consumer(name)
        if reader is None:
            return "several read its output, or it is the network's"
        if is_layer(reader):
            break
        out = graph.tensors[reader.outputs[0]]
        if isinstance(reader.op, Reshape):
            if out.shape[-1] % t.shape[-1]:
                return "a reshape mixes its channels"
            repeat *= out.shape[-1] // t.shape[-1]
        elif isinstance(reader.op, ReduceSum | ReduceExtreme):
            if len(t.shape) - 1 in reader.op.axes or out.shape[-1] != t.shape[-1]:
                return "what follows adds its channels up"
        elif not isinstance(reader.op, MaxPool | AvgPool):
            return f"{reader.op.title} follows, which a factor does not pass"  # type: ignore[attr-defined]
        name = reader.outputs[0]
    if isinstance(reader.op, Weighted) and reader.op.groups > 1 and not is_depthwise(graph, reader):
        return "a grouped convolution follows"
    if weights(graph, reader).quant is not None:
        return "the scales of the layer that follows are pinned"
    if network.form(reader.name).codebook is not None:
        return "the layer that follows has a codebook"
    return Pair(node, reader, repeat)


def equalise(
    network: Network,
    samples: Samples,
    *,
    log: list[LayerChange] | None = None,
    progress: Progress = lambda phase, done, total: None,
) -> Network:
    """The network with the channels of every pair of layers balanced; its float function is the same, to rounding.

    Channels that are zero on all samples stay as they are.
    """
    network = replace(network, graph=separated(network.graph))
    found = pairs(network, log)
    if not found:
        return network
    graph = network.graph
    sizes = _channel_sizes(graph, samples, [p.first.outputs[0] for p in found], progress)
    values = {
        n.name: (weights(graph, n).array.astype(np.float64), graph.tensors[n.inputs[2]].array.astype(np.float64))
        for n in layers(graph)
    }
    whole = {p.first.name: np.ones(len(sizes[p.first.outputs[0]])) for p in found}
    for _ in range(_ROUNDS):
        largest = 1.0
        for pair in found:
            size = sizes[pair.first.outputs[0]] / whole[pair.first.name]
            f = _factors(graph, pair, size, values[pair.second.name][0])
            limited = np.clip(whole[pair.first.name] * f, 1.0 / _LARGEST, _LARGEST)
            f, whole[pair.first.name] = limited / whole[pair.first.name], limited
            w, b = values[pair.first.name]
            values[pair.first.name] = w / f.reshape(-1, *[1] * (w.ndim - 1)), b / f
            w, b = values[pair.second.name]
            values[pair.second.name] = w * _along_inputs(graph, pair, f, w), b
            largest = max(largest, float(f.max() / f.min()))
        if largest < 1.01:
            break
    if log is not None:
        for pair in found:
            spread = whole[pair.first.name]
            count = weights(graph, pair.first).size
            text = f"channels towards {pair.second.name} by factors of {1 / spread.max():.3g} to {1 / spread.min():.3g}"
            log.append(LayerChange(pair.first.name, "equalise", text, count, count))
    pins: dict[str, tuple[Array, Array, Quant | None]] = {
        name: (w, b, weights(graph, next(n for n in layers(graph) if n.name == name)).quant)
        for name, (w, b) in values.items()
        if any(name in (p.first.name, p.second.name) for p in found)
    }
    return replace(network, graph=set_weights(graph, pins))


def _along_inputs(graph: Graph, pair: Pair, f: Array, w: Array) -> Array:
    """The factors in the shape of the second layer's weights."""
    if is_depthwise(graph, pair.second):
        return np.repeat(f, len(w) // len(f)).reshape(-1, *[1] * (w.ndim - 1))
    return np.tile(f, pair.repeat)


def _factors(graph: Graph, pair: Pair, size: Array, w: Array) -> Array:
    """What each channel is divided by. `size`: largest |value| of each; `w`: the second layer's weights."""
    alive = size > 0.0
    if is_depthwise(graph, pair.second):
        f = np.where(alive, size, 1.0)
    else:
        reads = np.abs(w).reshape(-1, pair.repeat, len(size)).max(axis=(0, 1))
        alive &= reads > 0.0
        f = np.sqrt(np.where(alive, size, 1.0) / np.where(alive, reads, 1.0))
    if not alive.any():
        return np.ones(len(size))
    return np.where(alive, f / np.exp(np.mean(np.log(f[alive]))), 1.0)


def _channel_sizes(graph: Graph, samples: Samples, names: list[str], progress: Progress) -> dict[str, Array]:
    """The largest |value| of every channel (last axis) over the samples."""
    feeds = to_tensors(graph, samples.inputs)
    model = float_model(graph, names)
    found = {name: np.zeros(graph.tensors[name].shape[-1]) for name in names}
    for i, run in enumerate(model.run_each(feeds, names)):
        for name, y in zip(names, run, strict=True):
            found[name] = np.maximum(found[name], np.abs(y.reshape(-1, y.shape[-1])).max(axis=0))
        progress("equalise", i + 1, samples.count)
    return found
