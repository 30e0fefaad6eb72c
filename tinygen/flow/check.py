"""Is what was imported what the file says? Checked in every build, before anything is emitted.

A float model: its network before and after tidying, in onnxruntime. A pre-quantised model: the integers of the FIXED
graph against an independent reading of the file (calibrate/reading.py) and against onnxruntime with its optimisations
off, layer by layer: each layer gets the file's own integers, so what one rounds otherwise does not reach the next, and
a layer that is right differs only where the number before rounding is a tie, to within the error of its multiplier.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any

import numpy as np
from numpy.random import PCG64

from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.calibrate.floatrun import FloatModel
from tinygen.calibrate.perturb import perturbed
from tinygen.calibrate.reading import Behind, Point, Reading, Rounded, Run, Unreadable, limits
from tinygen.calibrate.runtime import sums_are_exact, with_outputs
from tinygen.errors import ModelError, VerifyError
from tinygen.frontend.onnx_reader import Imported
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import Graph, Node, Port, Quant, Tensor
from tinygen.numerics import MULTIPLIER_STEP, Array, dequantise
from tinygen.ops import (
    ArgMax,
    Conv,
    ConvTranspose,
    Dense,
    Extreme,
    LogSoftmax,
    LogSumExp,
    Operator,
    Requantise,
    Resize,
    Softmax,
    Unary,
)
from tinygen.ops.base import is_wide, need_quant, real_of
from tinygen.passes import pins

REPORT = "This is a fault in tinygen: please report it with the model."

#: Samples of a pre-quantised model: 32, more where the network is so small that they cost nothing.
SAMPLES, MOST_SAMPLES, CHEAP_VALUES = 32, 256, 400_000
#: And so many in which every layer gets integers over the whole range, whatever those before it made.
SPREAD = 8
#: A tensor holds a point when so many of its integers are the point's: any tensor of that scale and size, one that
#: comes from a node before the point's rounding, or from the rounding node itself.
ALIKE = (0.98, 0.5, 0.0)
#: Values of all activations that are held at a time.
CHUNK_VALUES = 8_000_000
#: Of the values that are no ties so many may differ, and by one step.
MAY_DIFFER = 0.001
#: How near to a tie, in steps, a layer may round the other way: 127 steps times the error of a multiplier, 384 / 2^29.
ZONE = 1.0 / 1024
#: The same for operators whose integer form is itself an approximation (NUMERICS section 4).
#: A linear Resize whose weights are no 2048ths: half of one in either direction, of neighbours up to 255 apart.
ROUNDED_WEIGHTS = 255.0 / 2048
COARSE = {Softmax: 1.0 / 16, LogSoftmax: 1.0 / 4, LogSumExp: 1.0 / 4}


@dataclass(frozen=True, slots=True)
class Layer:
    """A value that the file keeps as integers, against the FIXED graph's: how many differ, and by how much.

    `ties` of the `values` are half-way between two integers; `differ` counts the others that differ, `cases` those of
    them at different distances from a tie (a network may repeat one sum), `wrong` those that no error of a multiplier
    explains. `held`: the build stops where it is wrong; otherwise the file leaves floats in front of it, whose scales
    tinygen chose.
    """

    value: str
    node: str
    op: str
    values: int
    ties: int
    ties_differ: int
    differ: int
    wrong: int
    worst: int
    held: bool
    #: How many that are no ties differ from onnxruntime's own integer, and by how much.
    runtime_differ: int
    runtime_worst: int
    cases: int
    runtime_cases: int
    #: How many cases may: MAY_DIFFER of the values, those within reach of a coarse operator or a rounded bias, chance.
    may_differ: float


@dataclass(frozen=True, slots=True)
class ImportCheck:
    """What was compared with what, and what came out. `against`: in words, for the notes and the certificate."""

    kind: str
    samples: int = 0
    layers: tuple[Layer, ...] = ()
    missing: tuple[str, ...] = ()
    runtime: str = ""
    notes: tuple[str, ...] = field(default=())

    def record(self) -> dict[str, Any]:
        """For the certificate."""
        if self.kind != "quantised":
            return {"compared": self.kind}
        held = [r for r in self.layers if r.held]
        return {
            "compared": "the file's integers, layer by layer, read independently",
            "onnxruntime": self.runtime,
            "samples": self.samples,
            "layers": len(held),
            "layers_with_floats": len(self.layers) - len(held),
            "values": sum(r.values for r in held),
            "ties": sum(r.ties for r in held),
            "ties_that_differ": sum(r.ties_differ for r in held),
            "others_that_differ": sum(r.differ for r in held),
            "most_steps": max((r.worst for r in held), default=0),
        }


NOT_CHECKED = ImportCheck("nothing")


def check_import(imported: Imported, graph: Graph, fixed: Graph, samples: Samples, *, synthetic: bool) -> ImportCheck:
    """Raise VerifyError when the tidied network, or the FIXED graph of a pre-quantised model, does not compute what the
    ONNX file computes. `fixed`: not simplified. `synthetic`: no data were given."""
    if imported.quantised and Reading(imported.original).points:
        return check_quantised(imported, fixed, samples, synthetic=synthetic)
    return check_float(imported, graph, samples)


# Float models --------------------------------------------------------------------------------------------------------

#: Float networks before and after tidying may differ by so much of the largest output. Folding a BatchNorm or
#: reordering a sum of n terms moves a float32 by about n * 2^-24 of its largest term; 2^-8 allows sums of 65,536 terms.
IMPORT_TOLERANCE = 2.0**-8
#: A sum in another order is the exact sum of terms that are off by n * 2^-24 each: so much do the weights change in
#: order to see what that does to the outputs, and so many times.
SHAKE, SHAKES = 2.0**-16, 4


def check_float(imported: Imported, graph: Graph, samples: Samples) -> ImportCheck:
    """The network as tidied against the file, both in onnxruntime, on two samples.

    Where they differ by more than rounding in the outputs would explain, terms much larger than the outputs may have
    cancelled: then the file's own outputs move as much when its weights change in the last bits. Not for networks with
    steps (ArgMax, Round), where the last bit of a float may decide.
    """
    if any(isinstance(n.op, ArgMax) or (isinstance(n.op, Unary) and n.op.has_steps) for n in graph.nodes):
        return ImportCheck("nothing: the network has steps")
    few = [x[:2] for x in samples.inputs]
    original, ours = FloatModel(imported.original), FloatModel(to_onnx(graph))
    real = dict(zip(original.output_names, original.run_many(few), strict=True))
    moved = [port.to_tensor(x) for port, x in zip(graph.in_ports, few, strict=True)]
    found = dict(zip(ours.output_names, ours.run_many(moved), strict=True))
    unrest: dict[str, float] | None = None
    for tensor, port in zip(graph.outputs, graph.out_ports, strict=True):
        a = real[port.name].astype(np.float64)
        b = port.to_onnx(found[tensor].reshape(-1, *graph.tensors[tensor].shape)).reshape(a.shape)
        worst, largest = float(np.max(np.abs(a - b), initial=0.0)), float(np.max(np.abs(a), initial=0.0))
        if worst <= IMPORT_TOLERANCE * max(largest, 1e-6):
            continue
        if unrest is None:
            unrest = _unrest(imported.original, few, real)
        if not worst <= unrest[port.name]:
            raise VerifyError(
                f'output "{port.name}": the network as tinygen read it differs from the ONNX file in onnxruntime '
                f"by {worst:.3g} (largest output {largest:.3g}; when the weights change by 2^-16 of themselves, the "
                f"file's own output moves by {unrest[port.name]:.3g}). {REPORT}"
            )
    notes = () if unrest is None else ("outputs hang on the last bits of floats: terms far larger than they cancel",)
    return ImportCheck("the float network with the file, in onnxruntime", len(few[0]), notes=notes)


def _unrest(model: bytes, inputs: Sequence[Array], real: Mapping[str, Array]) -> dict[str, float]:
    """How far each output of a model moves when its float constants change by SHAKE of themselves."""
    moves = dict.fromkeys(real, 0.0)
    for seed in range(SHAKES):
        shaken = FloatModel(perturbed(model, SHAKE, seed))
        for name, y in zip(shaken.output_names, shaken.run_many(inputs), strict=True):
            moves[name] = max(moves[name], float(np.max(np.abs(y.astype(np.float64) - real[name]), initial=0.0)))
    return moves


# Pre-quantised models ------------------------------------------------------------------------------------------------


def check_quantised(imported: Imported, fixed: Graph, samples: Samples, *, synthetic: bool) -> ImportCheck:
    """The FIXED graph against the file's integers, layer by layer."""
    reading = Reading(imported.original)
    inputs = test_inputs(fixed, samples, synthetic=synthetic)
    count, values = len(inputs[0]), sum(t.size for t in fixed.tensors.values() if t.const is None)
    session, runtime = _runtime(imported.original, reading)
    notes = [] if session is not None else [f"import check: {runtime}"]
    comparison = Comparison(fixed, reading)
    step = max(1, CHUNK_VALUES // max(values, 1))
    for i in range(0, count, step):
        part = [x[i : i + step] for x in inputs]
        feeds = _feeds(imported, fixed, part)
        given = None if session is None else _run(session, reading, feeds)
        try:
            run = reading.run(feeds, given)
        except Unreadable as e:
            if given is None:
                return ImportCheck("nothing", notes=(f"the file's integers were not checked: {e}; {runtime}",))
            notes.append(f"import check against onnxruntime alone: {e}")
            run = _as_read(reading, given)
        comparison.compare(part, run, given)
    if not any("alone" in n for n in notes):
        part = [x[:SPREAD] for x in inputs]
        given = comparison.spread_codes(len(part[0]))
        comparison.compare(part, reading.run(_feeds(imported, fixed, part), given), given, runtime=False)
    check = ImportCheck("quantised", count, comparison.layers, comparison.missing, runtime, tuple(dict.fromkeys(notes)))
    verdict(check)
    free = sum(not r.held for r in check.layers)
    if free:
        said = (
            f"import check: {free} of {len(check.layers)} layers are not held to one step: the file leaves "
            "their weights, or values before them, in float, or has 16 bits"
        )
        check = replace(check, notes=(*check.notes, said))
    return check


def verdict(check: ImportCheck) -> None:
    """Raise VerifyError naming the first layer that differs."""
    bad = [r for r in check.layers if r.held and _is_wrong(r)]
    if not bad:
        return
    r = bad[0]
    against = ("onnxruntime's", r.runtime_differ, r.runtime_worst)
    if r.worst > 1 or r.wrong or r.cases > r.may_differ:
        against = ("the file's", r.differ, r.worst)
    lost = (
        f" The quantisation of {', '.join(check.missing[:3])}, which the file has, is not in the integer network."
        if check.missing
        else ""
    )
    whose, differ, worst = against
    raise VerifyError(
        f'the first layer that differs from the file is {r.op} "{r.node}" (value "{r.value}"): of {r.values} integers '
        f"on {check.samples} samples {differ} differ from {whose} where the exact value is no tie, by up to {worst} "
        f"step{'s' if worst > 1 else ''}; allowed is one step, nearly at ties, for {MAY_DIFFER:.1%} at most. "
        f"{len(bad)} of {len(check.layers)} layers differ.{lost} {REPORT}"
    )


def _is_wrong(r: Layer) -> bool:
    """More than rounding at ties, or nearly at ties, would explain; by the reading, or by onnxruntime."""
    read = r.worst > 1 or r.wrong > 0 or r.cases > r.may_differ
    return read or r.runtime_worst > 1 or r.runtime_cases > r.may_differ


def _may_differ(values: int, reach: float) -> float:
    """Differences among `values` that are no ties: a part of them, those within `reach`, and of few what chance may
    bring."""
    expected = MAY_DIFFER * values + reach
    return expected + 4.0 * math.sqrt(expected) + 2.0


def test_inputs(fixed: Graph, samples: Samples, *, synthetic: bool) -> list[Array]:
    """Real inputs, (samples, *ONNX shape): half of them the data, where there are any, the rest spanning the codes."""
    values = sum(t.size for t in fixed.tensors.values() if t.const is None)
    count = int(np.clip(CHEAP_VALUES // max(values, 1), SAMPLES, MOST_SAMPLES))
    known = 0 if synthetic else min(len(samples.inputs[0]), count // 2)
    found = []
    for i, (name, port) in enumerate(zip(fixed.inputs, fixed.in_ports, strict=True)):
        codes = spanning(fixed.tensors[name], count - known, i)
        made = port.whole(port.to_outside(dequantise(codes, *need_quant(fixed.tensors[name]))).astype(np.float32))
        found.append(np.concatenate([samples.inputs[i][:known].astype(np.float32), made]))
    return found


def spanning(t: Tensor, count: int, seed: int) -> Array:
    """Codes of an activation, over its whole range: noise; noise of some amplitude about some value; smooth; extremes.

    Only raw bits of PCG64, which numpy promises not to change."""
    assert t.quant is not None
    return spread(t.quant.low, t.quant.high, (count, *t.shape), seed).astype(t.dtype.value)


def spread(low: int, high: int, shape: Sequence[int], seed: int) -> Array:
    """Integers from `low` to `high`, as `spanning` says; the first axis counts the samples."""
    bits, count = PCG64([7, seed]), shape[0]

    def uniform(*size: int) -> Array:
        raw = np.asarray(bits.random_raw(int(np.prod(size))), np.uint64) >> np.uint64(11)
        found: Array = raw.astype(np.float64).reshape(size) / 2.0**53
        return found

    span, ones = high - low + 1, (1,) * (len(shape) - 1)
    noise = uniform(*shape)
    centre, width = uniform(count, *ones), uniform(count, *ones) ** 2
    part = noise.copy()
    narrow, smooth, ends = slice(1, None, 4), slice(2, None, 4), slice(3, None, 4)
    part[narrow] = centre[narrow] + (noise[narrow] - 0.5) * width[narrow]
    waves = np.zeros_like(noise[smooth])
    for axis, length in enumerate(shape[1:]):
        if length > 1:
            turn = np.arange(length) / length * (1.0 + 3.0 * uniform(len(waves), 1)) + uniform(len(waves), 1)
            wave = 4.0 * np.abs(turn % 1.0 - 0.5) - 1.0
            waves += wave.reshape(len(waves), *(length if i == axis else 1 for i in range(len(ones))))
    part[smooth] = 0.5 + waves * (0.15 + 0.2 * centre[smooth]) + (noise[smooth] - 0.5) * 0.1
    part[ends] = np.where(noise[ends] < 0.5, np.rint(noise[ends] * 2), centre[ends])
    codes: Array = np.clip(np.floor(low + part * span), low, high)
    return codes


def _feeds(imported: Imported, fixed: Graph, inputs: Sequence[Array]) -> dict[str, Array]:
    """The file's inputs: floats as they are, integers as the codes that stand for them."""
    feeds = {}
    for name, port, kind, x in zip(fixed.inputs, fixed.in_ports, imported.input_types, inputs, strict=True):
        if port.codes:
            x = port.whole(x).astype(kind)
        elif np.dtype(kind).kind in "iu":
            scale, zero = need_quant(fixed.tensors[name])
            info = np.iinfo(kind)
            shift = (info.max + info.min + 1) // 2 if kind.startswith("u") else 0
            x = np.clip(np.rint(x.astype(np.float64) / scale) + zero + shift, info.min, info.max).astype(kind)
        feeds[port.name] = x
    return feeds


def _runtime(model: bytes, reading: Reading) -> tuple[FloatModel | None, str]:
    """onnxruntime with its optimisations off and every point as an output; or None, and why it is not used."""
    if any(p.op != "QuantizeLinear" for p in reading.points.values()) and not sums_are_exact():
        return None, "onnxruntime's own sums of 8-bit products saturate on this processor; not used"
    try:
        return with_outputs(model, list(reading.points)), "agrees"
    except ModelError as e:
        return None, f"onnxruntime does not run the file ({e})"


def _run(session: FloatModel, reading: Reading, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The integers of every point, and the outputs."""
    found = session.run_many([feeds[n] for n in session.input_names])
    by_name = dict(zip(session.output_names, found, strict=True))
    return by_name


def _as_read(reading: Reading, given: Mapping[str, Array]) -> Run:
    """onnxruntime's integers where the reading stops; nothing is known of ties."""
    rounded = {n: Rounded(given[n], np.zeros(given[n].shape, np.float32)) for n in reading.points}
    return Run(rounded, {n: given[n] for n in reading.outputs})


def _view(codes: Array, kind: str) -> Array:
    """Codes as the graph sees them: unsigned ones minus half their range."""
    if not kind.startswith("u"):
        return codes
    if kind == "uint8":
        return (codes ^ np.uint8(128)).view(np.int8)
    bits = int(kind.removeprefix("uint"))
    return (codes.astype(np.int64) - (1 << (bits - 1))).astype(np.int16 if bits == 16 else np.int8)


def _is(q: Quant | None, p: Point) -> bool:
    """A tensor's quantisation is the point's."""
    if q is None or len(q.scale) != 1:
        return False
    bits = int(p.kind.lstrip("uint"))
    half = 1 << (bits - 1) if p.kind.startswith("u") else 0
    return q.bits == bits and np.float32(q.s) == np.float32(p.scale) and q.zero_point == p.zero_point - half


def _moves(p: Point, points: Mapping[str, Point]) -> bool:
    """Its integers are those of its sources, in other places."""
    same = all((s := points[n]).scale == p.scale and s.zero_point == p.zero_point for n in p.sources)
    return not p.steps and bool(p.sources) and same


def _same(points: Mapping[str, Point]) -> dict[str, str]:
    """Each point's first of those whose integers it only moves."""
    first: dict[str, str] = {}
    for name, p in points.items():
        first[name] = first[next(iter(p.sources))] if len(p.sources) == 1 and _moves(p, points) else name
    return first


@dataclass(slots=True)
class _Pair:
    """A tensor of the FIXED graph and the point it holds; `order`: the point's axes in the tensor's order."""

    tensor: str
    point: Point
    order: tuple[int, ...]
    ties: int = 0
    ties_differ: int = 0
    differ: int = 0
    wrong: int = 0
    worst: int = 0
    values: int = 0
    reach: float = 0.0
    runtime_differ: int = 0
    runtime_worst: int = 0
    #: Its axes are known: in another order it has other values.
    clear: bool = True
    #: Moved from a tensor that holds the same integers, and has been given the file's.
    again: bool = False
    cases: set[float] = field(default_factory=set)
    runtime_cases: set[float] = field(default_factory=set)
    held: bool = True


class Comparison:
    """Runs the FIXED graph on the file's integers. A tensor is matched with a point by scale, size, the ONNX node it
    comes from, and by what it holds."""

    def __init__(self, fixed: Graph, reading: Reading) -> None:
        ports = zip(fixed.inputs, fixed.in_ports, strict=True)
        self.integers = frozenset(name for name, port in ports if port.name in reading.integers)
        self.fixed, self.points, self.behind = fixed, reading.points, reading.behind
        self.same = _same(reading.points)
        self.origins = frozenset(name for node in fixed.nodes for name in node.origin)
        self.pairs: dict[str, _Pair] = {}
        self.edges: dict[str, _Pair] = {}
        self.unmatched: set[str] = set()
        self.at: dict[str, int] = {}
        self.exact: dict[str, Array] = {}
        self.used: dict[str, Array] = {}
        self.rounded: Mapping[str, Rounded] = {}
        self.runtime = False

    def compare(
        self, inputs: Sequence[Array], run: Run, given: Mapping[str, Array] | None, *, runtime: bool = True
    ) -> None:
        """Some samples: real inputs, what the file makes of them, and the integers that go on into the next layer where
        they are others: `runtime`, those that onnxruntime computed."""
        self.rounded, self.runtime = run.rounded, runtime and given is not None
        self.exact = {n: _view(r.codes, self.points[n].kind) for n, r in run.rounded.items()}
        self.used = self.exact | {
            n: _view(codes, self.points[n].kind) for n, codes in (given or {}).items() if n in self.points
        }
        self.at = {}
        outputs = simulate.run(self.fixed, simulate.quantise_inputs(self.fixed, inputs), self._see)
        for tensor, port, y in zip(self.fixed.outputs, self.fixed.out_ports, outputs, strict=True):
            if tensor not in self.pairs or tensor in self.edges:
                ours = port.to_onnx(real_of(self.fixed.tensors[tensor], y))
                self._output(tensor, port, run.outputs[port.name], ours)

    def spread_codes(self, count: int) -> dict[str, Array]:
        """Integers over the whole range for every point that a tensor holds, but those of inputs: whatever the layers
        in front of a layer make of the samples, it is seen to work on all that it may be given.

        Points that had the same integers have the same here: the graph may hold them in one tensor."""
        found: dict[str, Array] = {}
        unclear = {pair.point.value for pair in self.pairs.values() if not pair.clear}
        for pair in self.pairs.values():
            p = pair.point
            if p.value in found or p.value in unclear or not p.sources or _moves(p, self.points):
                continue
            codes = self.rounded[p.value].codes
            low, high = limits(p.kind)
            made = spread(low, high, (count, *codes.shape[1:]), len(found) + 100).astype(codes.dtype)
            for name, other in self.rounded.items():
                q = self.points[name]
                if (q.scale, q.zero_point, q.kind) == (p.scale, p.zero_point, p.kind) and np.array_equal(
                    other.codes, codes
                ):
                    found.setdefault(name, made)
        return found

    def _output(self, tensor: str, port: Port, real: Array, ours: Array) -> None:
        """An output that no tensor holds in the file's integers: compared in steps of the file's scale, where its
        value is of one; else in steps of its own."""
        behind = self.behind[port.name]
        t = self.fixed.tensors[tensor]
        assert t.quant is not None
        scale, zero = (max(t.quant.scale), 0) if t.quant.zero_points else need_quant(t)
        point = Point(port.name, port.name, "output", scale, zero, "int8", behind.sources, steps=behind.steps)
        held, near = not (behind.free or self._floats_before(tensor, behind)), self._zone(tensor)
        source = self.points[min(behind.sources)] if len(behind.sources) == 1 else None
        # A clamp, and Max and Min, even of one value with itself, write a scale of their own.
        clamps = (n for n in self._behind(tensor, self.pairs) if isinstance(n.op, Extreme | Unary))
        own = any(behind.between.intersection(n.origin) for n in clamps)
        if source and not (own or behind.steps or behind.floats or behind.joined):
            point, near = source, 0.0
            held = self._held(tensor, point)
        if real.dtype.kind in "iu" and point.op != "output":
            real = (real.astype(np.float64) - point.zero_point) * point.scale
        step = np.asarray(point.scale)
        if t.quant.zero_points:  # parts with scales of their own
            step = port.to_onnx(np.broadcast_to(t.quant.along(len(t.shape))[0], (1, *t.shape)))
        # Beyond the range that calibration saw, a scale of tinygen's own saturates.
        ends = (port.to_onnx(real_of(t, np.full((1, *t.shape), end))) for end in (t.quant.low, t.quant.high))
        real = real.reshape(ours.shape)
        off = np.abs(ours - (real if point.op != "output" else np.clip(real, *ends))) / step
        # What the file leaves in float is rounded here: half a step is no fault.
        steps = np.ceil(off - (0.5 + np.max(near)))
        pair = self.edges.setdefault(tensor, _Pair(tensor, point, (), held=held))
        pair.values += ours.size
        pair.differ += int((steps > 0).sum())
        pair.wrong = pair.differ
        pair.cases.update(off[steps > 0].tolist())
        pair.worst = max(pair.worst, int(steps.max(initial=0.0)))

    @property
    def layers(self) -> tuple[Layer, ...]:
        """A row for each tensor that holds a point, in the order of the graph."""
        return tuple(
            Layer(
                p.point.value, p.point.node, p.point.op, p.values, p.ties, p.ties_differ, p.differ, p.wrong, p.worst,
                p.held, p.runtime_differ, p.runtime_worst, len(p.cases), len(p.runtime_cases),
                _may_differ(p.values - p.ties, p.reach),
            )
            for p in (*self.pairs.values(), *self.edges.values())
        )  # fmt: skip

    @property
    def missing(self) -> tuple[str, ...]:
        """Points that no tensor holds and that are not the integers of others in other places."""
        found = {p.point.value for p in self.pairs.values()}
        return tuple(n for n, p in self.points.items() if n not in found and not self._moved(n, found))

    def _moved(self, name: str, found: set[str]) -> bool:
        """Only computed from points of the same scale by moving them."""
        p = self.points[name]
        return _moves(p, self.points) and all(n in found or self._moved(n, found) for n in p.sources)

    def _see(self, name: str, x: Array) -> Array | None:
        """A tensor's values, chunk after chunk of samples: compared, and replaced by the file's."""
        at = self.at.get(name, 0)
        self.at[name] = at + len(x)
        if name not in self.pairs and name not in self.unmatched:
            found = self._match(name, x)
            if found is None:
                self.unmatched.add(name)
            else:
                self.pairs[name] = found
        pair = self.pairs.get(name)
        if pair is None:
            return None
        here, value = slice(at, at + len(x)), pair.point.value
        distance = self.rounded[value].distance[here]
        ties = int(np.count_nonzero(distance == 0.0))
        pair.values += x.size
        pair.ties += ties
        known = self.used if pair.again else self.exact
        exact = self._placed(known[value][here], pair.order, x.shape)
        off = x != exact
        if off.any():
            zone = np.broadcast_to(self._zone(name), x.shape)[off]
            near = self._placed(distance, pair.order, x.shape)[off]
            pair.ties_differ += int(np.count_nonzero(near == 0.0))
            pair.differ += int(np.count_nonzero(near))
            pair.cases.update(near[near > 0.0].tolist())
            pair.wrong += int(np.count_nonzero(near > zone))
            pair.worst = max(pair.worst, int(np.abs(x[off].astype(np.int32) - exact[off]).max()))
        pair.reach += 2.0 * (float(np.mean(self._zone(name))) - ZONE) * x.size
        used = self._placed(self.used[value][here], pair.order, x.shape)
        far = x != used
        if not far.any():
            return None
        if self.runtime:
            near = self._placed(distance, pair.order, x.shape)[far]
            pair.runtime_differ += int(np.count_nonzero(near))
            pair.runtime_cases.update(near[near > 0.0].tolist())
            pair.runtime_worst = max(pair.runtime_worst, int(np.abs(x[far].astype(np.int32) - used[far]).max()))
        return np.ascontiguousarray(used.astype(x.dtype))

    @staticmethod
    def _placed(codes: Array, order: tuple[int, ...], shape: tuple[int, ...]) -> Array:
        flat = codes.reshape(len(codes), *(d for d in codes.shape[1:] if d != 1))
        return flat.transpose(0, *(o + 1 for o in order)).reshape(shape)

    def _match(self, name: str, x: Array) -> _Pair | None:
        t = self.fixed.tensors[name]
        node = self.fixed.producer.get(name)
        origin = node.origin if node is not None else ()
        best: tuple[float, int, Point, list[tuple[int, ...]]] | None = None
        for value, p in self.points.items():
            codes = self.exact[value]
            if codes[0].size != t.size or not _is(t.quant, p):
                continue
            near = 2 if p.node in origin else 1 if p.between.intersection(origin) else 0
            few = codes[: len(x)]
            axes, want = ([d for d in shape if d != 1] for shape in (few.shape[1:], t.shape))
            if sorted(axes) != sorted(want) and min(len(axes), len(want)) > 1:
                near = 0  # reshaped: its order is not one of these
            for order in _orders(axes, t.shape):
                equal = float(np.mean(self._placed(few, order, x.shape) == x))
                if equal < 1.0 and not self._is_made_by(name, p, like=equal >= ALIKE[0]):
                    continue
                if best is None or (equal, near) > (best[0], best[1]):
                    best = (equal, near, p, [order])
                elif equal == best[0] and p is best[2]:
                    best[3].append(order)
        if best is None or best[0] < ALIKE[best[1]]:
            return None
        usual = _layouts(self.exact[best[2].value].shape[1:], t.shape)
        natural = [o for o in best[3] if o in usual] or best[3]
        pair = _Pair(name, best[2], natural[0], clear=len(natural) == 1)
        before = self._moved_from(name, pair.point)
        pair.again = before is not None
        if best[1] == 0 and not pair.again and self.points[pair.point.value].sources:
            return None  # alike by chance: made by nodes behind the point
        pair.held = self._held(name, pair.point) if before is None else before.held
        if best[0] < ALIKE[1] and not pair.held:
            return None  # floats in front, and perhaps another order
        return pair

    def _is_made_by(self, name: str, p: Point, *, like: bool) -> bool:
        """Between a tensor and those that are matched lie only ONNX nodes that lie between the point and its sources,
        and all of those that the graph still names. Of a tensor whose values are `like` the point's: at least all that
        compute."""
        near, behind = self._made_by(name, self.pairs), self._made_by(name, ())
        if like:
            return p.steps & self.origins <= behind
        if not (near <= p.between and p.between & self.origins <= behind):
            return False
        # A conversion that was put in front of what moves the values carries its name: of those that could be it, the
        # last.
        waiting = [name]
        while waiting:
            for node in self.fixed.consumers[waiting.pop()]:
                t = self.fixed.outs(node)[0]
                if (
                    t.size == self.fixed.tensors[name].size
                    and t.quant
                    and _is(t.quant, p)
                    and pins.picks(node, t.quant)
                ):
                    if p.node in node.origin:
                        return False
                    waiting.append(t.name)
        return True

    def _moved_from(self, name: str, p: Point) -> _Pair | None:
        """The tensor with the same integers that this one only moves."""
        while not self._computes(name) and name in self.fixed.producer:
            name = self.fixed.producer[name].inputs[0]
            pair = self.pairs.get(name)
            if pair is not None and self.same[pair.point.value] == self.same[p.value]:
                return pair
        return None

    def _behind(self, name: str, ends: Collection[str]) -> list[Node]:
        """The nodes behind a tensor, as far as `ends`."""
        found, waiting, seen = list[Node](), [name], {name, *ends}
        while waiting:
            node = self.fixed.producer.get(waiting.pop())
            if node is not None:
                found.append(node)
                waiting += [i for i in node.inputs if i not in seen]
                seen.update(node.inputs)
        return found

    def _made_by(self, name: str, ends: Collection[str]) -> set[str]:
        """The ONNX nodes behind a tensor, as far as `ends`."""
        return {o for node in self._behind(name, ends) for o in node.origin}

    def _held(self, name: str, p: Point) -> bool:
        """Is a layer that differs a fault? Not where the file itself leaves floats in between, whose scale tinygen
        chose; nor for 16 bits, whose operators have bounds of their own (NUMERICS section 8)."""
        if self.fixed.tensors[name].dtype.value == "int16" or p.free:
            return False
        found = {q.point.value for q in self.pairs.values()}
        pins = {
            n
            for t in self.fixed.tensors.values()
            if t.quant and (n := t.quant.pin) in self.points and _is(t.quant, self.points[n])
        }

        def all_in(known: set[str]) -> bool:
            return all(n in known or self._moved(n, known) for n in p.sources)

        if not all_in(found | pins):
            return True  # a quantisation is lost
        return not self._floats_before(name, p)

    def _floats_before(self, name: str, far: Behind | Point) -> bool:
        """Between this tensor and those that hold its sources lies one that rounds, and that the file does not have."""
        known = {self.same[s] for s in far.sources}
        moved = known | ({self.same[far.value]} if isinstance(far, Point) else set())
        ends = {t for t, pair in self.pairs.items() if self.same[pair.point.value] in moved}
        steps = self.origins.intersection(far.steps)
        waiting = [(name, False)]  # and whether a node computes behind it
        while waiting:
            at, computed = waiting.pop()
            node = self.fixed.producer.get(at)
            if node is None:
                if not self._is_read(at, known if computed else moved):
                    return True
                continue
            if self._computes(at):
                if computed:
                    return True
                computed = True
            steps -= set(node.origin)
            waiting += [(i, computed) for i in node.inputs if self.fixed.tensors[i].const is None and i not in ends]
        return bool(steps)  # of a source's own float the file computes something else as well

    def _computes(self, name: str) -> bool:
        """What writes a tensor does more than move or pick values."""
        node, quant = self.fixed.producer.get(name), self.fixed.tensors[name].quant
        if node is None:
            return False
        ins = self.fixed.ins(node)[: 1 if isinstance(node.op, Unary) else None]  # its table is no operand
        same = all(t.const is None and t.quant == quant for t in ins)
        return quant is None or not same or not pins.picks(node, quant)

    def _is_read(self, name: str, known: Collection[str]) -> bool:
        """An input that the file takes as integers, or rounds, at once, to one of the `known` points."""
        q = self.fixed.tensors[name].quant
        first = (self.points[n] for n in known)
        return name in self.integers or any(_is(q, p) and not p.sources and not p.steps for p in first)

    def _zone(self, name: str) -> Array | float:
        """How near to a tie this tensor's layer may round the other way, in steps; for each channel (last axis)."""
        node = self.fixed.producer.get(name)
        if node is None:
            return ZONE
        linear = isinstance(node.op, Resize) and node.op.linear
        if isinstance(node.op, Operator) and node.op.same_quant and not linear:  # its values were rounded before
            parts = [i for i in node.inputs if self.fixed.tensors[i].const is None and i not in self.pairs]
            return max((float(np.max(self._zone(i))) for i in parts), default=ZONE)
        x = node.inputs[0]
        converts = isinstance(node.op, Requantise) or (isinstance(node.op, Unary) and node.op.expr == "x")
        if converts and x not in self.pairs and x in self.fixed.producer:
            # An operator with a scale of its own (Softmax) is rounded twice.
            part = need_quant(self.fixed.tensors[x])[0] / need_quant(self.fixed.tensors[name])[0]
            return ZONE + (0.5 + self._zone(x)) * part
        if isinstance(node.op, Resize) and linear and any(w % 128 for a in node.op.axes for w in a.weight):
            return ROUNDED_WEIGHTS
        if (coarse := COARSE.get(type(node.op))) is not None:
            return coarse * (128.0 if is_wide(self.fixed.tensors[name]) else 1.0)
        return _multiplier_error(self.fixed, node)


def _multiplier_error(graph: Graph, node: Node) -> Array | float:
    """127 steps times the relative error of a channel's multiplier, and half a unit of its bias."""
    if not isinstance(node.op, Conv | ConvTranspose | Dense) or node.op.epilogue is None:
        return ZONE
    shift = node.op.epilogue.shift
    m = np.maximum(np.abs(graph.tensors[node.inputs[3]].array.astype(np.float64)), 1.0)
    found: Array = np.maximum(ZONE, 127.0 * MULTIPLIER_STEP / 2 / m + 0.5 * m / 2.0**shift)
    return found


def _layouts(shape: Sequence[int], wanted: Sequence[int]) -> set[tuple[int, ...]]:
    """Of `_orders`, those that a layout gives: channels where they are, or last."""
    long = [i for i, d in enumerate(shape) if d != 1]
    first = range(len(shape))
    full = [o for o in (tuple(first), (*first[:1], *first[2:], *first[1:2])) if [shape[i] for i in o] == list(wanted)]
    return {tuple(long.index(i) for i in o if i in long) for o in full}


def _orders(axes: Sequence[int], shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Orders of a value's axes that could be this tensor: those that give its shape, and those that give a flat one."""
    want = [d for d in shape if d != 1]
    every = list(permutations(range(len(axes)))) if len(axes) <= 4 else [tuple(range(len(axes)))]
    exact = [o for o in every if [axes[i] for i in o] == want]
    return exact or every
