"""How close a finished network comes to the float one, on samples that it was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.calibrate.graph import float_model, run_float, to_tensors
from tinygen.calibrate.metrics import SqnrMeter, accuracy, sqnr_db
from tinygen.compress.split import class_numbers
from tinygen.ir.types import Graph
from tinygen.numerics import Array
from tinygen.ops import Operator
from tinygen.ops.base import real_of
from tinygen.passes.quantise import quantise


@dataclass(frozen=True, slots=True)
class Quality:
    """Integers against floats on the samples that judge: dB of all outputs, and with labels the share of right answers
    (None without)."""

    sqnr_db: float
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class LayerQuality:
    """A layer's output in integers against floats, in dB."""

    layer: str
    tensor: str
    title: str
    sqnr_db: float


class AgainstFloat:
    """The float network on samples, and how close a finished one comes. `reference`: tidied FLOAT graph."""

    def __init__(self, reference: Graph, samples: Samples) -> None:
        self.reference, self.samples = reference, samples
        self._real = run_float(reference, samples.inputs)
        self._labels = _classes(reference, samples)

    @property
    def float_accuracy(self) -> float | None:
        """Share of right answers of the float network."""
        return None if self._labels is None else accuracy(self._real[0], self._labels)

    def quality(self, finished: Graph) -> Quality:
        """Of a FLOAT graph with every scale pinned, run in integers."""
        fixed = quantise(finished, {})
        ints = simulate.run(fixed, simulate.quantise_inputs(fixed, self.samples.inputs))
        found = simulate.dequantise_outputs(fixed, ints)
        a, b = (np.concatenate([y.ravel() for y in outputs]) for outputs in (self._real, found))
        return Quality(sqnr_db(a, b), None if self._labels is None else accuracy(found[0], self._labels))


def _classes(graph: Graph, samples: Samples) -> Array | None:
    """The right class of every sample, where the network chooses among classes: not where it rebuilds its input."""
    numbers = class_numbers(samples)
    size, rebuilt = (graph.tensors[names[0]].size for names in (graph.outputs, graph.inputs))
    if numbers is None or len(graph.outputs) > 1 or size in (1, rebuilt):
        return None
    return numbers if numbers.min() >= 0 and numbers.max() < size else None


def layer_qualities(finished: Graph, real: Graph, samples: Samples) -> tuple[LayerQuality, ...]:
    """Every layer of a finished graph in integers against the float graph `real`, which has the same tensors."""
    fixed = quantise(finished, {})
    names = [o for n in finished.nodes for o in n.outputs if o in fixed.tensors]
    model = float_model(real, names)
    meters = {name: SqnrMeter() for name in names}
    feeds = to_tensors(real, samples.inputs)
    for i, run in enumerate(model.run_each(feeds)):
        found = dict(zip(model.output_names, run, strict=True))
        ints: dict[str, Array] = {}
        quantised = simulate.quantise_inputs(fixed, [x[i : i + 1] for x in samples.inputs])
        simulate.run(fixed, quantised, ints.__setitem__)
        for name, meter in meters.items():
            y = real_of(fixed.tensors[name], ints[name][0])
            meter.add(found[name].reshape(y.shape), y)
    return tuple(
        LayerQuality(n.name, o, _title(n.op, finished, n.inputs), meters[o].db)
        for n in finished.nodes
        for o in n.outputs
        if o in meters
    )


def _title(op: object, graph: Graph, inputs: Sequence[str]) -> str:
    assert isinstance(op, Operator)
    return op.describe([graph.tensors[i] for i in inputs])
