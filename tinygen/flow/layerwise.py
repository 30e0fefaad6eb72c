"""A FIXED graph against the integers that a pre-quantised file keeps, layer by layer: each layer gets the file's own
integers, so what one rounds otherwise does not reach the next."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tinygen import simulate
from tinygen.calibrate.reading.file import Reading, Run
from tinygen.calibrate.reading.values import Point, Rounded, limits
from tinygen.flow.holders import ZONE, Holders, is_moved
from tinygen.flow.spread import spread
from tinygen.ir.types import Graph, Port
from tinygen.numerics import Array
from tinygen.ops import Extreme, Unary
from tinygen.ops.base import need_quant, real_of

#: Of the values that are no ties so many may differ, and by one step.
MAY_DIFFER = 0.001


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
    held: bool
    values: int
    ties: int
    ties_differ: int
    differ: int
    cases: int
    wrong: int
    worst: int
    #: How many that are no ties differ from onnxruntime's own integer, and by how much.
    runtime_differ: int
    runtime_cases: int
    runtime_worst: int
    #: How many cases may: MAY_DIFFER of the values, those within reach of a coarse operator or a rounded bias, chance.
    may_differ: float
    #: And by how many steps: one, or more where the operator itself may be off by more.
    steps: int = 1

    @property
    def misread(self) -> bool:
        """It differs from the reading by more than rounding at ties, or nearly at ties, would explain."""
        return self.worst > self.steps or self.wrong > 0 or self.cases > self.may_differ

    @property
    def is_wrong(self) -> bool:
        """It differs so from the reading or from onnxruntime."""
        return self.misread or self.runtime_worst > self.steps or self.runtime_cases > self.may_differ


@dataclass(slots=True)
class _Tally:
    """What is counted of a layer, as in Layer; `reach`: how many values may be near enough to a tie, beyond ZONE.
    `steps`: two numbers within a zone of each other are rounded so far apart."""

    point: Point
    held: bool
    values: int = 0
    ties: int = 0
    ties_differ: int = 0
    differ: int = 0
    cases: set[float] = field(default_factory=set)
    wrong: int = 0
    worst: int = 0
    runtime_differ: int = 0
    runtime_cases: set[float] = field(default_factory=set)
    runtime_worst: int = 0
    reach: float = 0.0
    steps: int = 1

    def layer(self) -> Layer:
        return Layer(
            self.point.value, self.point.node, self.point.op, self.held, self.values, self.ties, self.ties_differ,
            self.differ, len(self.cases), self.wrong, self.worst, self.runtime_differ, len(self.runtime_cases),
            self.runtime_worst, may_differ(self.values - self.ties, self.reach), self.steps,
        )  # fmt: skip


def may_differ(values: int, reach: float) -> float:
    """Differences among `values` that are no ties: a part of them, those within `reach`, and of few what chance may
    bring."""
    expected = MAY_DIFFER * values + reach
    return expected + 4.0 * math.sqrt(expected) + 2.0


class Comparison:
    """Runs the FIXED graph, puts the file's integers in the place of each tensor that holds some, and counts."""

    def __init__(self, fixed: Graph, reading: Reading) -> None:
        self._fixed, self._points, self._behind = fixed, reading.points, reading.behind
        self._holders = Holders(fixed, reading)
        self._tensors: dict[str, _Tally] = {}
        self._outputs: dict[str, _Tally] = {}
        # Of the samples at hand: the file's integers, exact and as they go on; how many of each tensor were seen.
        self._rounded: Mapping[str, Rounded] = {}
        self._exact: Mapping[str, Array] = {}
        self._used: Mapping[str, Array] = {}
        self._runtime = False
        self._at: dict[str, int] = {}

    def compare(
        self, inputs: Sequence[Array], run: Run, given: Mapping[str, Array] | None, *, runtime: bool = True
    ) -> None:
        """Some samples: real inputs, what the file makes of them, and the integers that go on into the next layer where
        they are others: `runtime`, those that onnxruntime computed."""
        kinds = {name: p.kind for name, p in self._points.items()}
        self._rounded, self._runtime, self._at = run.rounded, runtime and given is not None, {}
        self._exact = {n: _as_held(r.codes, kinds[n]) for n, r in run.rounded.items()}
        others = {n: _as_held(codes, kinds[n]) for n, codes in (given or {}).items() if n in kinds}
        self._used = {**self._exact, **others}
        outputs = simulate.run(self._fixed, simulate.quantise_inputs(self._fixed, inputs), self._see)
        for tensor, port, y in zip(self._fixed.outputs, self._fixed.out_ports, outputs, strict=True):
            if tensor not in self._tensors or tensor in self._outputs:
                ours = port.to_onnx(real_of(self._fixed.tensors[tensor], y))
                self._output(tensor, port, run.outputs[port.name], ours)

    def spread_codes(self, count: int, first: int) -> dict[str, Array]:
        """Integers over the whole range for every point that a tensor holds, but those of inputs, for `count` samples
        from the `first` on: whatever the layers in front of a layer make of the data, it is seen to work on all that it
        may be given.

        A point that no tensor holds has those of one that is made of the same: the graph holds both in one tensor.
        None for points that are moved from others, nor where the order of the axes is not clear.
        """
        held = {h.point.value for h in self._holders.found.values()}
        times = Counter(h.point.value for h in self._holders.found.values() if not h.again)
        unclear = {h.point.value for h in self._holders.found.values() if not h.clear or times[h.point.value] > 1}
        found: dict[str, Array] = {}
        for holder in self._holders.found.values():
            p = holder.point
            if p.value in found or p.value in unclear or not p.sources or is_moved(p, self._points):
                continue
            codes, (low, high) = self._rounded[p.value].codes, limits(p.kind)
            made = spread(low, high, (count, *codes.shape[1:]), len(found) + 100, first).astype(codes.dtype)
            found[p.value] = made
            for name in self._rounded.keys() - held - found.keys():
                q = self._points[name]
                if replace(q, value=p.value, node=p.node, between=p.between) == p:
                    found[name] = made
        return found

    @property
    def layers(self) -> tuple[Layer, ...]:
        """A row for each tensor that holds a point, in the order of the graph, and for the other outputs."""
        return tuple(t.layer() for t in (*self._tensors.values(), *self._outputs.values()))

    @property
    def missing(self) -> tuple[str, ...]:
        """Points that no tensor holds and that are not the integers of others in other places."""
        return self._holders.missing

    def _see(self, name: str, x: Array) -> Array | None:
        """A tensor's values, chunk after chunk of samples: compared, and replaced by the file's."""
        at = self._at.get(name, 0)
        self._at[name] = at + len(x)
        holder = self._holders.look(name, x, self._exact)
        if holder is None:
            return None
        here, value = slice(at, at + len(x)), holder.point.value
        tally = self._tensors.setdefault(name, _Tally(holder.point, holder.held))
        distance = holder.placed(self._rounded[value].distance[here], x.shape)
        exact = holder.placed((self._used if holder.again else self._exact)[value][here], x.shape)
        used = holder.placed(self._used[value][here], x.shape)
        zone = self._holders.zone(name)
        tally.values += x.size
        tally.steps = 1 + int(np.max(zone))
        tally.ties += int(np.count_nonzero(distance == 0.0))
        tally.reach += 2.0 * (float(np.mean(zone)) - ZONE) * x.size
        off = x != exact
        if off.any():
            near = distance[off]
            tally.ties_differ += int(np.count_nonzero(near == 0.0))
            tally.differ += int(np.count_nonzero(near))
            tally.cases.update(near[near > 0.0].tolist())
            tally.wrong += int(np.count_nonzero(near > np.broadcast_to(zone, x.shape)[off]))
            tally.worst = max(tally.worst, int(np.abs(x[off].astype(np.int32) - exact[off]).max()))
        far = x != used
        if not far.any():
            return None
        if self._runtime:
            near = distance[far]
            tally.runtime_differ += int(np.count_nonzero(near))
            tally.runtime_cases.update(near[near > 0.0].tolist())
            tally.runtime_worst = max(tally.runtime_worst, int(np.abs(x[far].astype(np.int32) - used[far]).max()))
        return np.ascontiguousarray(used.astype(x.dtype))

    def _output(self, tensor: str, port: Port, real: Array, ours: Array) -> None:
        """An output that no tensor holds in the file's integers: compared in steps of the file's scale, where its
        value is of one; else in steps of its own."""
        behind, holders = self._behind[port.name], self._holders
        t = self._fixed.tensors[tensor]
        assert t.quant is not None
        scale, zero = (max(t.quant.scale), 0) if t.quant.zero_points else need_quant(t)
        point = Point(port.name, port.name, "output", scale, zero, "int8", behind.sources, steps=behind.steps)
        held, near = not (behind.free or holders.floats_before(tensor, behind)), holders.zone(tensor)
        source = self._points[min(behind.sources)] if len(behind.sources) == 1 else None
        # A clamp, and Max and Min, even of one value with itself, write a scale of their own.
        clamps = (n for n in holders.nodes_behind(tensor, holders.found) if isinstance(n.op, Extreme | Unary))
        own = any(behind.between.intersection(n.origin) for n in clamps)
        if source and not (own or behind.steps or behind.floats or behind.joined):
            point, near = source, 0.0
            held = holders.is_held(tensor, point)
        if real.dtype.kind in "iu" and point.op != "output":
            real = (real.astype(np.float64) - point.zero_point) * point.scale
        step = np.asarray(point.scale)
        if t.quant.zero_points:  # parts with scales of their own
            step = port.to_onnx(np.broadcast_to(t.quant.along(len(t.shape))[0], (1, *t.shape)))
        # Beyond the range that calibration saw, a scale of tinygen's own saturates.
        ends = (port.to_onnx(real_of(t, np.full((1, *t.shape), end))) for end in (t.quant.low, t.quant.high))
        real = real.reshape(ours.shape)
        off = np.abs(ours - (real if point.op != "output" else np.clip(real, *ends))) / step
        # What the file leaves in float is rounded here: half a step is no fault; nor any integer for NaN or infinity.
        steps = np.where(np.isfinite(real), np.ceil(off - (0.5 + np.max(near))), 0.0)
        tally = self._outputs.setdefault(tensor, _Tally(point, held))
        tally.values += ours.size
        tally.differ += int((steps > 0).sum())
        tally.cases.update(off[steps > 0].tolist())
        tally.wrong = tally.differ
        tally.worst = max(tally.worst, int(steps.max(initial=0.0)))


def _as_held(codes: Array, kind: str) -> Array:
    """Codes as a graph holds them: unsigned ones minus half their range."""
    if not kind.startswith("u"):
        return codes
    if kind == "uint8":
        return (codes ^ np.uint8(128)).view(np.int8)
    bits = int(kind.removeprefix("uint"))
    return (codes.astype(np.int64) - (1 << (bits - 1))).astype(np.int16 if bits == 16 else np.int8)
