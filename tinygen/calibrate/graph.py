"""What float runs over samples tell of a graph: its outputs, the range of every activation, the means of channels."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinygen.calibrate.floatrun import FloatModel, Loop, Progress, quiet
from tinygen.calibrate.ranges import ChannelMeans, Histogram, Meter, check_method, collect, estimate_all
from tinygen.calibrate.reach import Tops, reach, softmax_inputs
from tinygen.errors import DataError
from tinygen.frontend.onnx_reader import Imported
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import Graph
from tinygen.numerics import Array

#: A range is cut where that makes the step finer by at least so much: one bit. Less drowns in the noise of the layers
#: before (measured: docs/adr/0018), and models keep their bits.
_WORTH = 2.0
#: Bins that a histogram should have left when what its readers cannot see is cut off; else it is taken again.
_ENOUGH_BINS = 1024


@dataclass(frozen=True, slots=True)
class Ranges:
    """(lo, hi) of activations by tensor name: `best` in int8, as the method of calibration has it, and `whole`, from
    the smallest to the largest value that matters, for int16, which has steps enough not to cut anything off. Both hold
    zero; `seen` are the smallest and the largest value, whatever they are."""

    best: Mapping[str, tuple[float, float]]
    whole: Mapping[str, tuple[float, float]]
    seen: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def of(self, wide: Collection[str]) -> dict[str, tuple[float, float]]:
        """For `wide` tensors in int16, the others in int8."""
        return {**self.best, **{name: r for name, r in self.whole.items() if name in wide}}


@dataclass(frozen=True)
class Observed:
    """What `observe` saw. `means`: (channels,) by tensor name; `model`: what was run, for whoever runs it again."""

    ranges: Ranges
    means: Mapping[str, Array]
    model: FloatModel


def to_tensors(graph: Graph, inputs: Sequence[Array]) -> list[Array]:
    """Samples of the network's inputs, (n, *ONNX shape) each, in the layouts of its input tensors."""
    return [port.to_tensor(x) for port, x in zip(graph.in_ports, inputs, strict=True)]


def float_model(graph: Graph, names: Iterable[str] = ()) -> FloatModel:
    """A FLOAT graph in onnxruntime, which gives its outputs and the activations `names`."""
    return FloatModel(to_onnx(graph, [n for n in names if n not in graph.results]))


def run_float(graph: Graph, inputs: Sequence[Array], progress: Progress = quiet) -> list[Array]:
    """Outputs of a FLOAT graph by onnxruntime, each (n, *ONNX shape); `inputs` as the network takes them. Of a graph
    with states both are streams, (n, steps, *ONNX shape), and what it writes comes back."""
    found = run_tensors(graph, float_model(graph), to_tensors(graph, inputs), progress)
    return [port.to_onnx(found[name]) for name, port in zip(graph.outputs, graph.out_ports, strict=True)]


def run_tensors(
    graph: Graph, model: FloatModel, inputs: Sequence[Array], progress: Progress = quiet
) -> dict[str, Array]:
    """All that `model` gives, made from `graph`, by tensor name: (n, *tensor shape) for inputs of that form, or
    streams."""
    if graph.states:
        loops = [Loop(s.reads, s.writes, s.start(graph.tensors[s.reads].shape)) for s in graph.states]
        found = model.run_streams(dict(zip(graph.inputs, inputs, strict=True)), loops, progress)
    else:
        found = dict(zip(model.output_names, model.run_many(inputs, progress), strict=True))
    lead = inputs[0].shape[: 2 if graph.states else 1]
    return {name: y.reshape(*lead, *graph.tensors[name].shape) for name, y in found.items()}


def run_reference(
    imported: Imported, model: FloatModel, inputs: Sequence[Array], progress: Progress = quiet
) -> dict[str, Array]:
    """All that `model` gives, made from the file itself, by ONNX name, for its inputs in the file's order, states left
    out; of a network with states for streams of these."""
    if not imported.states:
        return dict(zip(model.output_names, model.run_many(inputs, progress), strict=True))
    held = {a for a, _ in imported.states}
    given = dict(zip([n for n in model.input_names if n not in held], inputs, strict=True))
    starts = {s.name: s.start(imported.graph.tensors[s.reads].shape) for s in imported.graph.states}
    return model.run_streams(given, [Loop(a, b, starts[a]) for a, b in imported.states], progress)


def single_calls(graph: Graph, inputs: Sequence[Array], progress: Progress = quiet) -> list[Array]:
    """For `graph.opened()`, its inputs in all the calls that streams (n, steps, *tensor shape) are made of: each
    (n * steps, *tensor shape), with what states hold as the float network has it. Of a graph without states, as given.
    """
    if not graph.states:
        return list(inputs)
    written = run_tensors(graph, float_model(graph), inputs, progress)
    held = []
    for s in graph.states:
        first = np.broadcast_to(s.start(graph.tensors[s.reads].shape), written[s.writes][:, :1].shape)
        held.append(np.concatenate([first, written[s.writes][:, :-1]], axis=1))
    return [x.reshape(-1, *x.shape[2:]) for x in (*inputs, *held)]


def observe(
    graph: Graph,
    inputs: Sequence[Array],
    names: Sequence[str],
    method: str,
    *,
    means: Sequence[str] = (),
    every: bool = False,
    progress: Progress = quiet,
) -> Observed:
    """One run of a tidied FLOAT graph over `inputs` (n, *tensor shape): ranges of the activations `names`, estimated by
    `method`, and channel means of those in `means`. `every`: the model gives all activations, whether or not they are
    asked for here. DataError for a method that is none, or no samples."""
    check_method(method)
    if not len(inputs[0]):
        raise DataError("to calibrate the network at least 1 sample is needed; found none")
    given = [o for n in graph.nodes for o in n.outputs] if every else dict.fromkeys((*names, *means))
    model = float_model(graph, given)
    ranges, averages = _measure(graph, model, names, inputs, method, progress, means)
    return Observed(ranges, averages, model)


def _measure(
    graph: Graph,
    model: FloatModel,
    names: Sequence[str],
    inputs: Sequence[Array],
    method: str,
    progress: Progress,
    means: Sequence[str],
) -> tuple[Ranges, dict[str, Array]]:
    tops = {name: Tops() for name in softmax_inputs(graph) if name in names}
    averages = {name: ChannelMeans() for name in means}
    meters: dict[str, list[Meter]] = {}
    for kind in (tops, averages):
        for name, meter in kind.items():
            meters.setdefault(name, []).append(meter)
    watched = tuple(dict.fromkeys((*names, *means)))
    histograms = collect(model, watched, inputs, progress, meters)
    seen = {name: histograms[name].minmax for name in names}
    matter = reach(graph, seen, {name: t.lowest for name, t in tops.items()})
    cut = dict(histograms)
    for name, h in histograms.items():
        if name in matter and _width(clipped := h.clipped(*matter[name])) * _WORTH <= _width(h):
            cut[name] = clipped
    coarse = {name: matter[name] for name, h in cut.items() if h is not histograms[name] and _is_coarse(h)}
    if coarse:
        cut |= collect(model, tuple(coarse), inputs, clamps=coarse)
    cut = {name: cut[name] for name in names}
    values = {name: (h.lo, h.hi) for name in names if (h := histograms[name]).total}
    ranges = Ranges(estimate_all(cut, method), estimate_all(cut, "minmax"), values)
    return ranges, {name: m.mean for name, m in averages.items()}


def _width(h: Histogram) -> float:
    return h.minmax.hi - h.minmax.lo


def _is_coarse(h: Histogram) -> bool:
    return _width(h) < _ENOUGH_BINS * h.width
