"""From a file to fixed point: import, tidy, calibrate, quantise, check the import, simplify."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinygen import simulate
from tinygen.calibrate.data import Data, Samples, read_data
from tinygen.calibrate.floatrun import FloatModel
from tinygen.calibrate.graph import observe, run_float, single_calls, to_tensors
from tinygen.calibrate.metrics import SqnrMeter
from tinygen.calibrate.synthetic import synthetic, synthetic_streams
from tinygen.flow import held
from tinygen.flow.check import check_import
from tinygen.flow.demands import check_demands
from tinygen.flow.held import Held
from tinygen.flow.types import Calibration, Clock, Loaded, Quantised
from tinygen.flow.verdict import LayerAccuracy
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.ir.types import Graph, Quant
from tinygen.names import model_name
from tinygen.numerics import Array
from tinygen.ops.base import Operator, quantise_as, real_of
from tinygen.passes import simplify
from tinygen.passes.base import apply
from tinygen.passes.pipeline import tidy
from tinygen.passes.quantise import quantise, range_tensors, weighted_inputs, wide_tensors
from tinygen.passes.widths import asked_wide
from tinygen.progress import Progress, no_progress
from tinygen.targets.board import Board

SYNTHETIC_SAMPLES = 32
#: Streams, and steps of each, of networks that keep a state.
SYNTHETIC_STREAMS = 8, 32
#: Samples over which the accuracy of every layer is measured.
SQNR_SAMPLES = 32


def load(
    path: Path,
    *,
    name: str | None = None,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    states: Mapping[str, str] | None = None,
    constants: Mapping[str, object] | None = None,
    content: bytes | None = None,
) -> Loaded:
    """Import and tidy. `name`: of the model in C, the file's unless given; `input_shapes`: of inputs that the model
    leaves open; `states`: outputs that come back as inputs, by the names of these; `constants`: what inputs always are;
    `content`: the file's bytes, where there is no file. ModelError for what cannot be built."""
    clock = Clock()
    with clock.phase("import"):
        imported = read_onnx(
            path, name=model_name(name or path.stem), input_shapes=input_shapes, states=states, constants=constants,
            content=content,
        )  # fmt: skip
    with clock.phase("tidy"):
        graph = tidy(imported.graph)
    return Loaded(imported, graph, clock.seconds)


def quantised(
    loaded: Loaded,
    calibration: Calibration,
    board: Board | None = None,
    progress: Progress = no_progress,
    clock: Clock | None = None,
) -> Quantised:
    """Calibrate, quantise, check the import and simplify. `board`: for which it must not be too large by far."""
    clock = clock or Clock()
    imported, graph = loaded.imported, loaded.tidy
    check_demands(graph, board)
    with clock.phase("calibrate"):
        samples, made_up, held = _samples(loaded, calibration)
        wide = asked_wide(graph, calibration.activations)
        # The float network behind a pre-quantised model, on made-up data, says nothing about its layers.
        by_layer = not (made_up and imported.quantised)
        fixed, layers = calibrate(graph, samples, calibration.method, progress, wide, by_layer=by_layer)
    with clock.phase("check import"):
        checked = check_import(imported, graph, fixed, samples, synthetic=made_up)
    with clock.phase("simplify"):
        simple = apply(simplify.PASS, fixed)
    return Quantised(imported, graph, simple, samples, made_up, layers, simplify.size_of(fixed), checked, held)


def quantised_file(path: Path, calibration: Calibration | None = None, *, name: str | None = None) -> Quantised:
    """`load` and `quantised`; without a calibration on made-up samples."""
    return quantised(load(path, name=name), calibration or Calibration())


def _samples(loaded: Loaded, asked: Calibration) -> tuple[Samples, bool, Held | None]:
    """(samples to calibrate with, are they made up, samples to judge by)."""
    graph, data, count, judging = loaded.tidy, asked.data, asked.samples, None
    judges = asked.judges or held.judges_wanted(graph)
    if data is None:
        quants = [graph.tensors[n].quant for n in graph.inputs]
        if graph.states:
            samples = synthetic_streams(graph.in_ports, *SYNTHETIC_STREAMS, seed=0, quants=quants)
        else:
            samples = synthetic(graph.in_ports, SYNTHETIC_SAMPLES, seed=0, quants=quants)
    elif asked.test is None and asked.hold_back:
        hold_back = held.hold_back if range_tensors(graph) else held.all_judge
        samples, judging = hold_back(read_samples(data, loaded, count + judges), count, judges)
    else:
        samples = read_samples(data, loaded, count)
    if asked.test is not None:
        judging = held.unseen(read_samples(asked.test, loaded, asked.judges), samples, asked.kind)
    return samples, data is None, judging


def read_samples(data: Data, loaded: Loaded, limit: int | None) -> Samples:
    """Samples of files or arrays; those of a model with integer inputs may be integers of that type."""
    imported, graph = loaded.imported, loaded.tidy
    quants: list[Quant | None] = []
    for name, kind in zip(imported.graph.inputs, imported.input_types, strict=True):
        q = imported.graph.tensors[name].quant
        # The graph sees uint8 codes minus 128.
        quants.append(replace(q, zero_point=q.zero_point + 128) if q is not None and kind == "uint8" else q)
    kinds = imported.input_types
    return read_data(data, graph.in_ports, limit=limit, input_types=kinds, quants=quants, streams=bool(graph.states))


def calibrate(
    graph: Graph,
    samples: Samples,
    method: str,
    progress: Progress = no_progress,
    wide: Collection[str] = (),
    *,
    by_layer: bool = True,
) -> tuple[Graph, tuple[LayerAccuracy, ...]]:
    """The FIXED graph of a tidied one, with ranges estimated on `samples`, and the accuracy of each of its layers, if
    it is wanted.

    `wide`: activations in int16. Those hold all values that were seen: 16 bits have room for the rare ones. Of a graph
    with states the samples are streams: ranges are those of all their calls, each as it follows on the ones before.
    """
    single = graph.opened() if graph.states else graph
    inputs = single_calls(graph, to_tensors(graph, samples.inputs), lambda d, t: progress("running the states", d, t))
    seen = observe(
        single,
        inputs,
        range_tensors(graph),
        method,
        means=weighted_inputs(graph),
        every=True,
        progress=lambda d, t: progress("calibrating", d, t),
    )
    ranges = seen.ranges
    fixed = quantise(graph, ranges.of(wide_tensors(graph, wide)), seen.means, wide, ranges.seen)
    if not by_layer:
        return fixed, ()
    if graph.states:  # calls from everywhere in the streams
        some = np.unique(np.linspace(0, len(inputs[0]) - 1, SQNR_SAMPLES).astype(np.int64))
        return fixed, layer_accuracy(single, fixed.opened(), seen.model, [x[some] for x in inputs])
    return fixed, layer_accuracy(graph, fixed, seen.model, inputs)


def layer_accuracy(graph: Graph, fixed: Graph, model: FloatModel, inputs: Sequence[Array]) -> tuple[LayerAccuracy, ...]:
    """SQNR of every layer's output over the first samples: where accuracy goes. `inputs` in the tensors' layout."""
    meters = {o: SqnrMeter() for n in graph.nodes for o in n.outputs if o in fixed.tensors}
    count, step = min(len(inputs[0]), SQNR_SAMPLES), simulate.chunk(fixed)
    for start in range(0, count, step):
        few = [np.ascontiguousarray(x[start : min(start + step, count)]) for x in inputs]
        found = dict(zip(model.output_names, model.run_many(few), strict=True))
        ints: dict[str, Array] = {}
        q = [quantise_as(fixed.tensors[name], x) for name, x in zip(fixed.inputs, few, strict=True)]
        simulate.run(fixed, q, ints.__setitem__)
        for name, meter in meters.items():
            real = real_of(fixed.tensors[name], ints[name])
            meter.add(found[name].reshape(real.shape), real)
    return tuple(
        LayerAccuracy(o, f"{n.op.describe(graph.ins(n))} {n.op.role(k)}".rstrip(), n.origin, meters[o].db)
        for n in graph.nodes
        if isinstance(n.op, Operator)
        for k, o in enumerate(n.outputs)
        if o in meters
    )


def run_both(
    model: Quantised, inputs: Sequence[Array], progress: Progress = no_progress
) -> tuple[list[Array], tuple[Array, ...]]:
    """Outputs of the float network (onnxruntime) and of the int8 network (numpy), in the ONNX layout."""
    real = run_float(model.tidy, inputs, lambda d, t: progress("float", d, t))
    progress("int8", 0, 1)
    outputs = simulate.run(model.fixed, simulate.quantise_inputs(model.fixed, inputs))
    progress("int8", 1, 1)
    return real, simulate.dequantise_outputs(model.fixed, outputs)
