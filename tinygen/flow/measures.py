"""What a network is good for, as figures: chosen from its outputs and labels, with their statistical errors, and with
the falls that docs/ACCURACY.md calls a cost, damage and destruction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from tinygen.calibrate.data import Samples
from tinygen.calibrate.metrics import (
    Ratios,
    auc,
    class_labels,
    explained,
    jackknife,
    overlap,
    predictions,
    right_pixels,
    same_answers,
    sample_mse,
    sqnr_db,
)
from tinygen.errors import DataError
from tinygen.ir.types import Graph
from tinygen.numerics import Array, int_type
from tinygen.ops import Concat, LogSoftmax, Operator, Reshape, Slice, Softmax, Transpose


class Grade(IntEnum):
    """How much is lost, in words. From DAMAGES on a build stops."""

    KEEPS = 0
    COSTS = 1
    DAMAGES = 2
    DESTROYS = 3


#: How many standard errors a fall must be larger than to be believed (95 %).
BELIEVED = 1.96


@dataclass(frozen=True, slots=True)
class Grading:
    """A fall beyond each of these costs, damages, destroys; of a figure in dB, a value below each."""

    costs: float
    damages: float
    destroys: float

    def grade(self, fall: float) -> Grade:
        return Grade(sum(fall > limit for limit in (self.costs, self.damages, self.destroys)))


#: Found by measurement: docs/ACCURACY.md. The names are those that reports use.
LIMITS: Mapping[str, Grading] = {
    "accuracy": Grading(0.01, 0.03, 0.20),
    "AUC of the reconstruction error": Grading(0.01, 0.03, 0.20),
    "intersection over union": Grading(0.02, 0.05, 0.30),
    "mean intersection over union": Grading(0.02, 0.05, 0.30),
    "explained variance": Grading(0.02, 0.05, 0.30),
    "explained variance of the input": Grading(0.02, 0.05, 0.30),
    "agreement with float": Grading(0.04, 0.10, 0.40),
    "explained variance of float": Grading(0.10, 0.25, 0.60),
}
#: SQNR of an output, in dB: below 20 it costs, and so on.
SQNR_LIMITS = Grading(-20.0, -15.0, -5.0)
#: Of the least part of an output that has a range of its own.
PART_LIMITS = Grading(0.10, 0.50, 0.90)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure. `real`: of the float network, None where that is what integers are compared with. `error` and
    `own_error`: standard errors of the fall and of the integers' figure. `limits`: None for what is only shown."""

    name: str
    real: float | None
    integer: float
    error: float = 0.0
    own_error: float = 0.0
    limits: Grading | None = None
    decibel: bool = False

    def __str__(self) -> str:
        """98.4 of 99.0 % accuracy."""
        if self.decibel:
            return f"{self.name} {decibels(self.integer)}"
        before = "" if self.real is None else f" of {share(self.real)}"
        return f"{share(self.integer)}{before} % {self.name}"

    @property
    def fall(self) -> float:
        """What is lost; of a figure in dB its negative."""
        if self.decibel:
            return -self.integer
        return (1.0 if self.real is None else self.real) - self.integer

    @property
    def believed(self) -> bool:
        """Is the fall beyond its statistical error?"""
        return self.fall > BELIEVED * self.error

    @property
    def grade(self) -> Grade:
        if self.limits is None:
            return Grade.KEEPS
        found = self.limits.grade(self.fall)
        return found if self.believed or self.decibel else min(found, Grade.COSTS)


def figures(
    graph: Graph, real: Sequence[Array], integer: Sequence[Array], samples: Samples, *, streams: bool = False
) -> tuple[Figure, ...]:
    """All that can be said of a network from its outputs, float and integer, in ONNX layout; the first says most.

    `graph`: FLOAT or FIXED. Labels speak of the first output; of every output follow agreement, where it chooses among
    classes, and SQNR. DataError for labels that fit no measure. Of streams every step counts as a sample; labels of
    whole streams speak of their last steps.
    """
    if streams:
        speaking = labelled_steps(real[0], integer[0], samples)
        real, integer = ([y.reshape(-1, *y.shape[2:]) for y in outputs] for outputs in (real, integer))
        inputs = tuple(x.reshape(-1, *x.shape[2:]) for x in samples.inputs)
        samples = replace(samples, inputs=inputs)
    else:
        speaking = real[0], integer[0], samples
    found = [] if samples.labels is None else _with_labels(graph, *speaking)
    labelled = bool(found)
    for i, (a, b) in enumerate(zip(real, integer, strict=True)):
        of = f' of "{graph.out_ports[i].name}"' if len(real) > 1 else ""
        silent = labelled and i == 0  # labels have spoken; these are only shown
        db = sqnr_db(a, b)
        plain: list[Figure] = []
        variance = explained(b, a, _channel(graph, i))
        if chooses(graph, i):
            # Without a softmax it may be a choice among classes or a row of numbers: then both must be kept.
            sure = _softmax(graph, i)
            limits = None if silent else LIMITS["agreement with float"]
            noisy = sure or db < -SQNR_LIMITS.costs
            plain.append(_shares(f"agreement with float{of}", None, same_answers(a, b), limits if noisy else None))
            if not sure:
                limits = None if silent else LIMITS["explained variance of float"]
                plain.append(_shares(f"explained variance of float{of}", None, variance, limits))
        elif i == 0 and rebuilds(graph) and not labelled and (given := _rebuilt(a, b, samples)):
            plain += given
        else:
            limits = None if silent else LIMITS["explained variance of float"]
            plain.append(_shares(f"explained variance of float{of}", None, variance, limits))
        plain.append(Figure(f"SQNR{of}", None, db, limits=None if silent else SQNR_LIMITS, decibel=True))
        found += plain + _parts(graph, i, a, b, of)
    return tuple(found)


def labelled_steps(real: Array, integer: Array, samples: Samples) -> tuple[Array, Array, Samples]:
    """The steps of streams that labels speak of, as samples: all, or the last of each."""
    labels, lead = samples.labels, samples.inputs[0].shape[:2]
    every = labels is not None and labels.shape[:2] == lead

    def steps(x: Array) -> Array:
        found: Array = x.reshape(-1, *x.shape[2:]) if every else x[:, -1]
        return found

    told = steps(labels) if labels is not None and every else labels
    return steps(real), steps(integer), replace(samples, inputs=tuple(map(steps, samples.inputs)), labels=told)


@dataclass(frozen=True, slots=True)
class Drift:
    """SQNR in dB of the output that keeps least, over the steps from `first` up to and including `last` of all streams:
    does what a network keeps from call to call lead it away from the float network?"""

    first: int
    last: int
    db: float

    def __str__(self) -> str:
        """steps 10 to 99: 38.1 dB."""
        return f"steps {self.first} to {self.last}: {decibels(self.db)}"


def drift(real: Sequence[Array], integer: Sequence[Array]) -> tuple[Drift, ...]:
    """By tenfold stretches of steps: 0 to 9, 10 to 99, 100 to 999. Outputs are streams (n, steps, ...)."""
    steps = real[0].shape[1]
    ends = [e for e in (10**k for k in range(1, 10)) if e < steps] + [steps]
    found = []
    for first, end in zip([0, *ends[:-1]], ends, strict=True):
        db = min(sqnr_db(a[:, first:end], b[:, first:end]) for a, b in zip(real, integer, strict=True))
        found.append(Drift(first, end - 1, db))
    return tuple(found)


#: A network of an autoencoder's shapes that explains less of its input than this gives something else: a filter, say.
_REBUILT = 0.2


def rebuilds(graph: Graph) -> bool:
    """Does the network's first output have its first input's shape, as an autoencoder's?"""
    if _softmax(graph, 0):
        return False
    shapes = [[d for d in graph.tensors[n].shape if d > 1] for n in (graph.inputs[0], graph.outputs[0])]
    ports = [[d for d in p.shape if d > 1] for p in (graph.in_ports[0], graph.out_ports[0])]
    return (shapes[0] == shapes[1] or ports[0] == ports[1]) and bool(shapes[0])


def chooses(graph: Graph, output: int = 0) -> bool:
    """Does an output look like scores of classes: a row of numbers that is not the input again?"""
    return sum(d > 1 for d in graph.out_ports[output].shape) == 1 and not (output == 0 and rebuilds(graph))


def _shares(name: str, real: Ratios | None, integer: Ratios, limits: Grading | None = None) -> Figure:
    """A figure from what each sample adds to it; errors by leaving out one at a time, paired."""
    left = integer.without_each()
    fall = (0.0 if real is None else real.without_each()) - left
    return Figure(
        name, None if real is None else real.value, integer.value, jackknife(np.asarray(fall)), jackknife(left), limits
    )


def answers(graph: Graph, outputs: Array, samples: Samples) -> tuple[Array, Array, int, str] | None:
    """(answers, labels, classes, what is counted: samples or pixels) of a network that chooses, with labels that say
    what is right; None of any other. Both (n,) or (n, ...) class numbers."""
    labels = samples.labels
    if labels is None or not np.all(labels == np.rint(labels)):
        return None
    n, size = len(outputs), outputs[0].size
    one_hot = labels.ndim == 2 and labels.shape[1] == size > 1 and bool(np.all(labels.sum(axis=1) == 1))
    zero_one = bool(np.all((labels == 0) | (labels == 1)))
    if labels.ndim == 1 and rebuilds(graph) and _of_input(outputs, samples.inputs[0]).value > _REBUILT:
        return None
    if (labels.ndim == 1 and size > 1) or one_hot or (labels.size == n and size == 1 and zero_one):
        found = class_labels(outputs, labels if one_hot else labels.reshape(n))
        return predictions(outputs), found, max(size, 2), "samples"
    axis = _class_axis(labels.shape, outputs.shape)
    if axis is not None:
        picked = np.argmax(outputs, axis=axis)
        return picked, labels.reshape(picked.shape), outputs.shape[axis], "pixels"
    if labels.size == outputs.size and zero_one and size > 1:
        return (outputs > 0.5).astype(np.int64), labels.reshape(outputs.shape), 2, "pixels"
    return None


def _with_labels(graph: Graph, real: Array, integer: Array, samples: Samples) -> list[Figure]:
    """What the labels say, or nothing where they are classes that a network which rebuilds its input does not name."""
    labels = samples.labels
    assert labels is not None
    chosen = [answers(graph, y, samples) for y in (real, integer)]
    if chosen[0] is not None and chosen[1] is not None:
        (a, right, classes, unit), b = chosen[0], chosen[1][0]
        if unit == "samples":
            return [_shares("accuracy", right_pixels(a, right), right_pixels(b, right), LIMITS["accuracy"])]
        return _masks(a, b, right, classes)
    if labels.ndim == 1 and rebuilds(graph) and real[0].size > 1:
        whole = bool(np.all(labels == np.rint(labels)))
        return _anomalies(real, integer, samples) + _rebuilt(real, integer, samples) if whole else []
    if labels.size == real.size:
        wanted = labels.reshape(real.shape)
        shown = []
        for name, power in (("mean square error", 2), ("mean absolute error", 1)):
            off = [np.mean(np.abs(wanted.astype(np.float64) - y) ** power) for y in (real, integer)]
            shown.append(Figure(name, float(off[0]), float(off[1])))
        pair = explained(real, wanted), explained(integer, wanted)
        return [_shares("explained variance", *pair, LIMITS["explained variance"]), *shown]
    n, size = len(real), real[0].size
    if labels.ndim == 1 and size > 1:
        class_labels(real, labels)  # says which label is none
    raise DataError(
        f"labels have shape {labels.shape}; allowed is one class number for each of the {n} samples "
        f"(0 to {max(size, 2) - 1}), or the output's own shape {real.shape}. Leave y out to compare without labels."
    )


def _class_axis(labels: tuple[int, ...], outputs: tuple[int, ...]) -> int | None:
    """The axis of `outputs` that counts classes, where labels are class numbers of pixels; of several, the last."""
    pixels = [d for d in labels[1:] if d > 1]
    for axis in range(len(outputs) - 1, 0, -1):
        rest = [d for i, d in enumerate(outputs) if i not in (0, axis) and d > 1]
        if outputs[axis] > 1 and rest == pixels and pixels and labels[0] == outputs[0]:
            return axis
    return None


def _masks(real: Array, integer: Array, masks: Array, classes: int) -> list[Figure]:
    name = "intersection over union" if classes == 2 else "mean intersection over union"
    return [
        _shares(name, overlap(real, masks, classes), overlap(integer, masks, classes), LIMITS[name]),
        _shares("pixel accuracy", right_pixels(real, masks), right_pixels(integer, masks)),
    ]


def _anomalies(real: Array, integer: Array, samples: Samples) -> list[Figure]:
    """How well the error of the rebuilt input tells samples labelled 1 from those labelled 0."""
    labels = samples.labels
    assert labels is not None
    if set(np.unique(labels)) != {0, 1}:
        return []
    name = "AUC of the reconstruction error"
    scores = [sample_mse(y.reshape(len(y), -1), samples.inputs[0]) for y in (real, integer)]
    a, b = (auc(s, labels) for s in scores)
    # Leaving out one sample at a time would cost n sorts of n: twenty groups, each with its share of both classes.
    order = np.argsort(labels, kind="stable")
    group = np.empty(len(labels), np.int64)
    group[order] = np.arange(len(labels)) % 20
    keep = [group != g for g in range(20)]
    keep = [k for k in keep if 0 < labels[k].sum() < k.sum()]
    left = np.array([[auc(s[k], labels[k]) for k in keep] for s in scores])
    return [Figure(name, a, b, jackknife(left[0] - left[1]), jackknife(left[1]), LIMITS[name])]


def _rebuilt(real: Array, integer: Array, samples: Samples) -> list[Figure]:
    """How much of the input an autoencoder gives back; nothing of a network that gives something else."""
    x = samples.inputs[0]
    a, b = (_of_input(y, x) for y in (real, integer))
    if a.value < _REBUILT:
        return []
    name = "explained variance of the input"
    off = [float(sample_mse(y, x).mean()) for y in (real, integer)]
    return [_shares(name, a, b, LIMITS[name]), Figure("mean square error to the input", off[0], off[1])]


def _of_input(y: Array, x: Array) -> Ratios:
    """Of the input's variance about its one mean."""
    n = len(x)
    return explained(y.reshape(n, -1, 1), x.reshape(n, -1, 1), 2)


def _channel(graph: Graph, output: int) -> int:
    """The axis of an output, counted with the samples' own, that is the tensor's last: its channels."""
    return 1 + graph.out_ports[output].perm[-1] if graph.out_ports[output].perm else 0


def _softmax(graph: Graph, output: int) -> bool:
    node = graph.producer.get(graph.outputs[output])
    while node is not None and isinstance(node.op, Operator) and node.op.rearranges:
        node = graph.producer.get(node.inputs[0])
    return node is not None and isinstance(node.op, Softmax | LogSoftmax)


# -- outputs that are joined from parts ------------------------------------------------------------------------------


def _parts(graph: Graph, output: int, real: Array, integer: Array, of: str) -> list[Figure]:
    """The part of a joined output that integers say least of, where it is joined: boxes in pixels beside scores."""
    parts = parts_of(graph, output)
    if len(parts) < 2:
        return []
    flat = [y.reshape(len(y), -1) for y in (real, integer)]
    # About the mean of all its values: a part's positions have offsets of their own, such as a grid's.
    kept = [(explained(flat[1][:, at, None], flat[0][:, at, None], 2).value, name) for name, at in parts.items()]
    least, name = min(kept)
    return [Figure(f'explained variance of the part{of} from "{name}"', None, least, limits=PART_LIMITS)]


def parts_of(graph: Graph, output: int) -> dict[str, Array]:
    """Of an output that is joined from several tensors: the name of each one's layer, and where it lies in the output,
    flat and in ONNX layout. Empty for an output of one piece."""
    tensor = graph.outputs[output]
    names: list[str] = []

    def label(name: str) -> Array:
        """(1, *shape): numbers of the parts that each value of a tensor comes from."""
        node, t = graph.producer.get(name), graph.tensors[name]
        if node is not None and isinstance(node.op, Reshape | Transpose | Slice):
            assert isinstance(node.op, Operator)
            inner = label(node.inputs[0])
            (moved,) = node.op.run_fixed(graph.ins(node), [inner], [t])
            return moved
        if node is not None and isinstance(node.op, Concat) and len(names) < _MOST_PARTS:
            return np.concatenate([label(i) for i in node.inputs], axis=node.op.axis + 1)
        names.append(", ".join(node.origin) if node is not None and node.origin else name)
        return np.full((1, *t.shape), min(len(names) - 1, _MOST_PARTS), int_type(8))

    numbers = graph.out_ports[output].to_onnx(label(tensor)).ravel()
    found: dict[str, Array] = {}
    for i, name in enumerate(names[: _MOST_PARTS + 1]):
        at = np.flatnonzero(numbers == i)
        if at.size:
            found[f"{name} {i}" if name in found else name] = at
    return found if len(found) > 1 else {}


#: Numbers of parts are int8.
_MOST_PARTS = 100


def share(value: float) -> str:
    """98.4, of a hundred."""
    return f"{100.0 * value:.1f}"


def decibels(value: float) -> str:
    return "exact" if math.isinf(value) and value > 0.0 else f"{value:.1f} dB"
