"""The end of all compression: every scale decided, so that the network can be written as a QDQ file and needs no data
any more.

Whatever is rounded here is rounded to what an ONNX file can say (float32), and the pins are those that `quantise`
settles on: the FIXED graph of the finished network and that of its file are the same.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.calibrate.graph import Ranges, observe, to_tensors
from tinygen.calibrate.ranges import check_method
from tinygen.compress.network import Network, snap
from tinygen.compress.pinning import pin_all_weights, pinned_weights, separated, storable, with_weights
from tinygen.compress.repairs.bias import channel_means, corrected
from tinygen.errors import VerifyError
from tinygen.files import work_folder
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.ir.types import Graph, Node, Tensor
from tinygen.passes.pipeline import tidy
from tinygen.passes.quantise import choose_quants, quantise, range_tensors, wide_tensors
from tinygen.progress import Progress, no_progress


def finish(
    network: Network,
    samples: Samples,
    *,
    method: str = "mse",
    bias: bool = True,
    progress: Progress = no_progress,
) -> Graph:
    """The FLOAT graph with every scale pinned, weights (in their forms, others int8) at the values of their integers.

    Scales that the graph has already are kept (quantisation-aware training). `method` estimates the ranges of the other
    activations on `samples`; `bias`: the biases make up for the mean error of rounded weights. DataError for a method
    that is none, or no samples.
    """
    check_method(method)
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
    inputs = to_tensors(graph, samples.inputs)
    if bias:
        means = channel_means(graph, inputs, lambda d, t: progress("means", d, t))
        pinned = corrected(pinned, before, means)
    if ranges is None:
        seen = observe(
            pinned, inputs, range_tensors(pinned), method, progress=lambda d, t: progress("calibrating", d, t)
        )
        ranges = seen.ranges
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
            # What recurrent layers keep inside (told.py) the FIXED graph has no tensors for.
            inside = choose_quants(graph, found, wide_tensors(graph, network.wide))
            pins = [
                replace(t, quant=fixed.tensors[t.name].quant if t.name in fixed.tensors else inside[t.name])
                for t in graph.tensors.values()
                if t.const is None
            ]
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
