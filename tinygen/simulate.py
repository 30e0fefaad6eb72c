"""Run a FIXED graph in numpy, integers only: the definition of the bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tinygen.ir.types import Graph, Port, State, Tensor
from tinygen.numerics import Array, quantise
from tinygen.ops import Operator
from tinygen.ops.base import need_quant, quantise_as, real_of
from tinygen.threads import in_order

#: Values of all live tensors of a chunk of samples stay below this (windows of a convolution take 9 to 40 times as
#: much).
CHUNK_VALUES = 1_500_000

#: Sees a tensor's name and its values; an array that it returns takes their place in what follows.
Watch = Callable[[str, Array], Array | None]


def run(graph: Graph, inputs: Sequence[Array], watch: Watch | None = None) -> tuple[Array, ...]:
    """Integer inputs, each (samples, *tensor shape), to integer outputs in the same form. A graph with states takes and
    gives streams, (streams, steps, *tensor shape): each begins as after a reset.

    `watch(tensor name, values)` sees every activation of each chunk of samples, inputs and what states hold included,
    in execution order; of streams step by step.
    """
    samples = len(inputs[0]) if inputs else 0
    step = chunk(graph)
    one = _run_streams if graph.states else _run_samples
    pieces = [[x[i : i + step] for x in inputs] for i in range(0, samples, step)]
    # Who watches sees one chunk after the other.
    cores = 1 if watch is not None or len(pieces) < 2 else None
    chunks = list(in_order(lambda piece: one(graph, piece, watch), pieces, cores))
    return tuple(np.concatenate([c[k] for c in chunks]) for k in range(len(graph.outputs)))


def chunk(graph: Graph) -> int:
    """How many samples run at a time."""
    largest = max((t.size for t in graph.tensors.values() if t.const is None), default=1)
    return max(1, CHUNK_VALUES // max(1, largest * 10))


def initial(graph: Graph, state: State) -> Array:
    """What a state holds after a reset: integers in the shape of the tensor it reads."""
    t = graph.tensors[state.reads]
    return quantise_as(t, state.start(t.shape))


def _run_samples(graph: Graph, inputs: Sequence[Array], watch: Watch | None) -> list[Array]:
    values = _step(graph, dict(zip(graph.inputs, inputs, strict=True)), watch)
    return [values[name] for name in graph.outputs]


def _run_streams(graph: Graph, inputs: Sequence[Array], watch: Watch | None) -> list[Array]:
    count, steps = inputs[0].shape[:2]
    held = {s.reads: np.repeat(initial(graph, s)[None], count, axis=0) for s in graph.states}
    found: list[list[Array]] = [[] for _ in graph.outputs]
    for step in range(steps):
        given = {name: x[:, step] for name, x in zip(graph.inputs, inputs, strict=True)}
        values = _step(graph, {**given, **held}, watch)
        held = {s.reads: values[s.writes] for s in graph.states}
        for kept, name in zip(found, graph.outputs, strict=True):
            kept.append(values[name])
    return [np.stack(kept, axis=1) for kept in found]


def _step(graph: Graph, given: Mapping[str, Array], watch: Watch | None) -> dict[str, Array]:
    """One call on several samples: values of the graph's results, among others."""
    values = dict(given)
    readers = {name: len(nodes) for name, nodes in graph.consumers.items()}
    if watch is not None:
        values = {name: _seen(watch, name, x) for name, x in values.items()}
    for node in graph.nodes:
        assert isinstance(node.op, Operator)
        ins = graph.ins(node)
        arrays = [t.array if t.const is not None else values[t.name] for t in ins]
        results = node.op.run_fixed(ins, arrays, graph.outs(node))
        for name, y in zip(node.outputs, results, strict=True):
            assert y.dtype == graph.tensors[name].dtype.value, node.name
            assert y.shape[1:] == graph.tensors[name].shape, node.name
            values[name] = y if watch is None else _seen(watch, name, y)
        for name in dict.fromkeys(node.inputs):
            readers[name] -= 1
            if readers[name] == 0 and name in values and name not in graph.results:
                del values[name]
    return values


def _seen(watch: Watch, name: str, x: Array) -> Array:
    instead = watch(name, x)
    return x if instead is None else instead


def quantise_inputs(graph: Graph, inputs: Sequence[Array]) -> tuple[Array, ...]:
    """Float inputs, each (samples, *ONNX shape), or (streams, steps, *ONNX shape), as the model's integer tensors."""
    return tuple(
        np.ascontiguousarray(quantise_input(graph.tensors[name], port, x))
        for name, port, x in zip(graph.inputs, graph.in_ports, inputs, strict=True)
    )


def quantise_input(tensor: Tensor, port: Port, x: Array) -> Array:
    """One float input, (..., *ONNX shape), in the tensor's integers and layout. NUMERICS section 6."""
    a, rank = port.affine, len(tensor.shape)
    if a is None:
        return quantise_as(tensor, port.moved(x))
    scale, zero_point = need_quant(tensor)
    steps, means = a.along(a.steps(scale), rank), a.along(a.mean, rank)
    return quantise(port.moved(x), steps, zero_point, 8 if tensor.quant is None else tensor.quant.bits, means)


def dequantise_outputs(graph: Graph, outputs: Sequence[Array]) -> tuple[Array, ...]:
    """Integer outputs as floats, each (samples, *ONNX shape), or of streams."""
    return tuple(
        np.ascontiguousarray(port.to_onnx(real_of(graph.tensors[name], y)))
        for name, port, y in zip(graph.outputs, graph.out_ports, outputs, strict=True)
    )
