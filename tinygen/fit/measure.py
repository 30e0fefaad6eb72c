"""What a network is worth and what it costs: its quality on samples, and flash, RAM and time on boards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.calibrate.graph import run_float
from tinygen.calibrate.metrics import accuracy, agreement, auc, iou, sample_mse
from tinygen.compress.split import class_numbers, split
from tinygen.errors import DataError
from tinygen.flow.estimate import predict
from tinygen.flow.limits import check_limits
from tinygen.flow.quantised import load, quantised, read_samples
from tinygen.flow.types import DEFAULT_METHOD, Calibration, Loaded, Quantised
from tinygen.frontend.onnx_reader import Imported
from tinygen.ir.types import Graph
from tinygen.numerics import Array
from tinygen.plan.planner import plan
from tinygen.plan.predict import Prediction
from tinygen.targets.board import Board
from tinygen.targets.flash import slow_loops

#: Samples that read a QDQ file back; its scales are all in it, so they decide nothing.
_FEW = 2


@dataclass(frozen=True, slots=True)
class Source:
    """A network to compress, tidied, with the user's samples (their hash: `sha256`) in two parts."""

    loaded: Loaded
    sha256: str
    fit: Samples
    validation: Samples

    @property
    def imported(self) -> Imported:
        return self.loaded.imported

    @property
    def graph(self) -> Graph:
        return self.loaded.tidy


def load_source(
    path: Path, data: Path, *, seed: int, input_shapes: Mapping[str, tuple[int, ...]], name: str | None = None,
    hold_back: bool = True,
) -> Source:  # fmt: skip
    """Model and samples from their files. DataError for data that does not fit, labels too, or is too little.

    Without `hold_back` the part to fit with is all of them: for when other samples judge.
    """
    loaded = load(path, name=name, input_shapes=input_shapes)
    check_limits(loaded.tidy)
    samples = read_samples(data, loaded, None)
    check_labels(loaded.tidy, samples)
    fit, validation = split(samples, seed)
    return Source(loaded, samples.sha256, fit if hold_back else samples, validation)


# -- quality ---------------------------------------------------------------------------------------------------------

#: How quality is measured: (outputs, outputs of the float network, samples), all in ONNX layout; 1 is perfect.
Measure = Callable[[Array, Array, Samples], float]


def _explained(found: Array, wanted: Array) -> float:
    """Share of the variance of `wanted` that `found` explains (R squared); below 0 it is worse than a constant."""
    wanted = wanted.reshape(len(wanted), -1).astype(np.float64)
    noise = float(np.sum((wanted - found.reshape(wanted.shape)) ** 2))
    signal = float(np.sum((wanted - wanted.mean(axis=0)) ** 2))
    return 1.0 - noise / signal if signal > 0.0 else float(noise == 0.0)


def _labels(s: Samples) -> Array:
    assert s.labels is not None
    return s.labels


MEASURES: dict[str, Measure] = {
    "accuracy": lambda y, _, s: accuracy(y, _labels(s)),
    "AUC of the reconstruction": lambda y, _, s: auc(sample_mse(y, s.inputs[0]), _labels(s)),
    "intersection over union": lambda y, _, s: iou(y, _labels(s)),
    "explained variance": lambda y, _, s: _explained(y, _labels(s)),
    "agreement with float": lambda y, real, _: agreement(real, y),
    "explained variance of float": lambda y, real, _: _explained(y, real),
}


def measure_of(graph: Graph, samples: Samples) -> str:
    """The name in MEASURES of what says most about this network on these samples.

    Labels that are class numbers: accuracy, or for a network that rebuilds its input the AUC of its error. Labels of
    the output's shape: overlap of masks, or explained variance. Without labels: how often it agrees with the float
    network, or how much of the float network's output it explains where that is no choice among classes.
    """
    sizes = [graph.tensors[n].size for n in (*graph.inputs[:1], *graph.outputs[:1])]
    rebuilds, single = sizes[0] == sizes[1] and sizes[1] > 1, sizes[1] == 1
    if samples.labels is None:
        return "explained variance of float" if rebuilds or single else "agreement with float"
    if class_numbers(samples) is not None and samples.labels.size != samples.count * sizes[1] * (not single):
        return "AUC of the reconstruction" if rebuilds else "accuracy"
    if samples.labels.ndim == 2 and class_numbers(samples) is not None:
        return "accuracy"  # one-hot
    binary = np.all((samples.labels == 0) | (samples.labels == 1))
    return "intersection over union" if binary else "explained variance"


def check_labels(graph: Graph, samples: Samples) -> None:
    """DataError for labels that cannot be the network's."""
    labels = samples.labels
    if labels is None:
        return
    out = graph.out_ports[0]
    size = graph.tensors[graph.outputs[0]].size
    if labels.ndim == 1:
        if class_numbers(samples) is not None:
            top = max(size, 2) - 1
            if labels.min() < 0 or labels.max() > top:
                bad = int(np.flatnonzero((labels < 0) | (labels > top))[0])
                raise DataError(
                    f'{samples.source}: label {bad} is {labels[bad]}; output "{out.name}" has {size} values, allowed '
                    f"are the class numbers 0 to {top}."
                )
            return
        if size == 1:
            return
    if labels.size != samples.count * size:
        raise DataError(
            f"{samples.source}: labels have shape {labels.shape}; allowed is one class number for each of the "
            f'{samples.count} samples, or the shape of output "{out.name}", {out.shape}. Leave y out to compress '
            "without labels."
        )


class Judge:
    """Measures outputs on samples; the float network's own are computed once."""

    def __init__(self, graph: Graph, samples: Samples, measure: str | None = None) -> None:
        self.measure = measure or measure_of(graph, samples)
        self.samples = samples
        self.real = run_float(graph, samples.inputs)[0]

    @property
    def float_quality(self) -> float:
        return MEASURES[self.measure](self.real, self.real, self.samples)

    def quality(self, fixed: Graph) -> float:
        """Of a FIXED graph, run in numpy."""
        outputs = simulate.run(fixed, simulate.quantise_inputs(fixed, self.samples.inputs))
        return MEASURES[self.measure](simulate.dequantise_outputs(fixed, outputs)[0], self.real, self.samples)


# -- cost ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cost:
    """Predicted, of one network on one board: bytes, milliseconds (None where cycles are not modelled, or a kernel's
    are not known), MACs, and the layers with their parts, for saying what stands in the way."""

    board: str
    optimize: str
    flash: int
    ram: int
    milliseconds: float | None
    constants: int
    macs: int
    prediction: Prediction

    @property
    def unknown(self) -> tuple[str, ...]:
        """Kernels whose time and size on this core were never recorded: the prediction lacks them."""
        return self.prediction.unmeasured


def cost(model: Quantised, board: Board, optimize: str) -> Cost:
    """What `model` will take of `board`; nothing is compiled."""
    found = plan(model.fixed, board.core, optimize, slow_loops=slow_loops(board))
    p = predict(found, model)
    ms = None if p.unmeasured else p.milliseconds(board.f_cpu_hz)
    return Cost(board.id, optimize, p.flash, p.ram, ms, p.constants, found.macs, p)


def read_back(content: bytes, name: str, samples: Samples, *, method: str = DEFAULT_METHOD) -> Quantised:
    """The network as `tinygen build` will see it: from the ONNX file's bytes."""
    few = Samples(tuple(x[:_FEW] for x in samples.inputs), None, samples.sha256, samples.source)
    return quantised(load(Path(f"{name}.onnx"), name=name, content=content), Calibration(few, method))
