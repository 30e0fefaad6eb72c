"""The one number by which networks are compared in compression and search: 1 is perfect. (The verdict on a build has
more to say: measures.py.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.calibrate.graph import run_float
from tinygen.calibrate.metrics import accuracy, agreement, auc, iou, sample_mse
from tinygen.compress.split import class_numbers
from tinygen.ir.types import Graph
from tinygen.numerics import Array

#: (outputs, outputs of the float network, samples), all in ONNX layout, to a number.
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


class Scorer:
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
