"""Recurrent layers: LSTM, GRU and RNN, one or both directions. NUMERICS section 9; cells.py has the integers of a step.

x (N, T, I), mostly of one sequence, gives y (N, T, D * H) for D directions of H units, the state behind the last step
h (N, D * H), and of an LSTM the cell c (N, D * H). With `sequence` off y is (N, D * H): the last step only, which is h
in the width of outputs.

FLOAT inputs: x, w (D, G * H, I), r (D, G * H, H), b (D, 2 * G * H), p (D, 3 * H) of an LSTM with peepholes; with
`initial` h0 (N, D * H), and of an LSTM c0. Gates in ONNX's order: i o f c; z r h. FLOAT outputs have behind them what
calibration must see and no network reads: all cells of an LSTM (N, T, D * H); all h where y is the last; with functions
that never become flat what x and h bring to the sums (N, T, 2 * D * G * H); the first state of a GRU (N, D * H).

FIXED inputs: x, h0 and c0 with `initial`, w, r int8, b, GRU: bh int32, mx, mh int32, a table for each function int32,
LSTM: p int32, all with an axis of directions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from tinygen.errors import ModelError
from tinygen.ir.types import DType, Quant, Tensor
from tinygen.numerics import Array, choose_multipliers, fold_bias
from tinygen.ops import access, cells
from tinygen.ops.access import STAYS, Access, Axis, Kind, Labels, width
from tinygen.ops.base import (
    Call,
    Case,
    ConstArg,
    Lowered,
    OnnxBuilder,
    Operator,
    Shape,
    bits_of,
    config,
    contiguous_strides,
    kernel_of,
    need_quant,
    quantise_as,
    strided_copy,
)
from tinygen.ops.cells import CELL_BITS, GruRule, LstmRule, Narrowing, RnnRule, Sums
from tinygen.ops.gates import GateTable, gate_table
from tinygen.ops.requantise import NARROW, small_multiplier

#: The reach of sums, as a power of two, where all functions are flat beyond: Q3.12.
SUM_REACH = 3
#: What biases may take of an accumulator, so that 256 times it may fit int32.
BIAS_ROOM = 2.0**21
#: Functions of ONNX that have parameters, and their defaults.
ALPHA = {"Affine": 1.0, "LeakyRelu": 0.01, "ThresholdedRelu": 1.0, "ScaledTanh": 1.0, "HardSigmoid": 0.2, "Elu": 1.0}
BETA = {"Affine": 0.0, "ScaledTanh": 1.0, "HardSigmoid": 0.5}
FUNCTIONS = ("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus", *ALPHA)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of ONNX's recurrent operators, by its name there."""

    name: str
    alpha: float = 0.0
    beta: float = 0.0

    def __call__(self, x: Array) -> Array:
        a, b = self.alpha, self.beta
        with np.errstate(over="ignore"):
            match self.name:
                case "Sigmoid":
                    y = 1.0 / (1.0 + np.exp(-x))
                case "Tanh":
                    y = np.tanh(x)
                case "Relu":
                    y = np.maximum(x, 0.0)
                case "LeakyRelu":
                    y = np.where(x < 0.0, a * x, x)
                case "ThresholdedRelu":
                    y = np.where(x > a, x, 0.0)
                case "Elu":
                    y = np.where(x < 0.0, a * np.expm1(np.minimum(x, 0.0)), x)
                case "Affine":
                    y = a * x + b
                case "ScaledTanh":
                    y = a * np.tanh(b * x)
                case "HardSigmoid":
                    y = np.clip(a * x + b, 0.0, 1.0)
                case "Softsign":
                    y = x / (1.0 + np.abs(x))
                case "Softplus":
                    y = np.logaddexp(0.0, x)
                case _:
                    raise ValueError(f'no function "{self.name}"')
        found: Array = np.asarray(y, np.float64)
        return found

    @property
    def reach(self) -> int | None:
        """The power of two beyond which it is flat (tanh to 2^-10); None: nowhere."""
        match self.name:
            case "Sigmoid":
                return 3
            case "Tanh":
                return 2
            case "ScaledTanh":
                return 0 if not self.beta else math.ceil(2 - math.log2(abs(self.beta)))
            case "HardSigmoid":
                ends = [abs(self.beta / self.alpha), abs((1 - self.beta) / self.alpha)] if self.alpha else [1.0]
                return math.ceil(math.log2(max(ends)))
        return None

    def unit(self, reach: int) -> int:
        """The least e >= 0 for which all values within +-2^reach are at most 2^e."""
        x = np.linspace(-(2.0**reach), 2.0**reach, 513)
        top = float(np.abs(self(x)).max())
        return max(0, math.ceil(math.log2(max(top, 1e-30)) - 1e-9))

    def table(self, reach: int, unit: int) -> GateTable:
        """Its table over +-2^reach, in units of 2^(unit - 15)."""
        return gate_table(lambda x: self(x) * 2.0**-unit, 2.0 ** (reach - 15))


SIGMOID, TANH = Function("Sigmoid"), Function("Tanh")


@dataclass(frozen=True)
class Recurrent(Operator):
    """What LSTM, GRU and RNN have in common. `functions`: for each direction, as ONNX lists them. `clip`: of sums, 0:
    none. `lengths`: steps that each sequence has (`sequence_lens`), empty: all. `initial`: the state before the first
    step is an input; else it is 0. `rules`: FIXED, one for each direction."""

    units: int
    functions: tuple[tuple[Function, ...], ...]
    reverse: tuple[bool, ...] = (False,)
    clip: float = 0.0
    lengths: tuple[int, ...] = ()
    initial: bool = False
    sequence: bool = True
    rules: tuple[Any, ...] = ()
    int16 = True
    by_output = True
    learns = True
    matrices = (1, 2)
    row_axes = 2
    bias = 3
    one_form = "kernels of recurrent layers read plain int8 weights"
    roles: ClassVar[tuple[str, ...]] = ("y", "h")

    ONNX: ClassVar[str]
    GATES: ClassVar[int]
    #: What a node keeps from step to step: h, and c of an LSTM.
    STATES: ClassVar[int] = 1

    @property
    def title(self) -> str:
        return self.ONNX if len(self.reverse) == 1 else f"bidirectional {self.ONNX}"

    @property
    def directions(self) -> int:
        return len(self.reverse)

    @property
    def width(self) -> int:
        """Channels of y, h and c."""
        return self.directions * self.units

    def steps(self, x: Shape) -> tuple[int, ...]:
        """Steps of each sequence."""
        return self.lengths or (x[1],) * x[0]

    @property
    def is_open(self) -> bool:
        """Sums are read by a function that is flat nowhere: their range must be seen."""
        return any(f.reach is None for per in self.functions for f in per[: self._read_sums])

    @property
    def _read_sums(self) -> int:
        """How many of a direction's functions read sums."""
        return len(self.functions[0])

    @property
    def gates_h(self) -> bool:
        """A gate multiplies h before R does."""
        return False

    # -- shapes and float meaning

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        x = shapes[0]
        if len(x) != 3:
            raise ValueError(f"x has shape {x}; sequences are read, (number, steps, values)")
        if len(self.steps(x)) != x[0] or not all(1 <= n <= x[1] for n in self.steps(x)):
            raise ValueError(f"sequence_lens is {list(self.lengths)}; {x[0]} numbers from 1 to {x[1]} are expected")
        y = (x[0], x[1], self.width) if self.sequence else (x[0], self.width)
        found = (y, *((x[0], self.width),) * self.STATES)
        if self.rules:
            return found
        gates = self.GATES * self.units
        d = self.directions
        states = ((x[0], self.width),) * (self.STATES if self.initial else 0)
        weights = ((d, gates, x[2]), (d, gates, self.units), (d, 2 * gates))
        wanted = (*weights, *self._more_weights(), *states)
        for name, got, want in zip(("W", "R", "B", *self._names()), shapes[1:], wanted, strict=True):
            if got != want:
                raise ValueError(f"{name} of {self.title} has shape {got}, {want} is needed for {self.units} units")
        return (*found, *self._seen(x))

    def _more_weights(self) -> tuple[Shape, ...]:
        """Shapes of weights behind w, r and b."""
        return ()

    def _names(self) -> tuple[str, ...]:
        names = ("P",) if self._more_weights() else ()
        return (*names, *("initial_h", "initial_c")[: self.STATES if self.initial else 0])

    def _seen(self, x: Shape) -> tuple[Shape, ...]:
        """Shapes of what only calibration sees."""
        whole = () if self.sequence else ((*x[:2], self.width),)
        sums = ((*x[:2], 2 * self.GATES * self.width),) if self.is_open else ()
        return (*whole, *sums)

    @property
    def told(self) -> tuple[str, ...]:
        return ("y", *("h", "c")[: self.STATES], *self._watches())

    def _watches(self) -> tuple[str, ...]:
        """Names of what `_seen` has the shapes of."""
        return (*(() if self.sequence else ("steps",)), *(("sums",) if self.is_open else ()))

    def types(self, *types: DType) -> tuple[DType, ...]:
        (kind,) = super().types(*types)
        return (kind,) * (1 + self.STATES + self.watched)

    @property
    def watched(self) -> int:
        return 0 if self.rules else len(self._seen((1, 1, 1)))

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        (n, t, _), d, h = ins[0].shape, self.directions, self.units
        first = 4 + len(self._more_weights())
        states = [_moved(b, name, (n, d, h), (1, 0, 2)) for name in names[first:]] or [""] * self.STATES
        lens = b.const(np.array(self.lengths, np.int32)) if self.lengths else ""
        rows = b.op("Transpose", [names[0]], perm=[1, 0, 2])
        more = list(names[4:first])
        outs = b.ops(self.ONNX, [rows, *names[1:4], lens, *states, *more], 1 + self.STATES, **self._attributes())
        whole = _shaped(b, b.op("Transpose", [outs[0]], perm=[2, 0, 1, 3]), n, t, self.width)
        found = [_shaped(b, b.op("Transpose", [o], perm=[1, 0, 2]), n, self.width) for o in outs[1:]]
        y = whole if self.sequence else _shaped(b, b.op("Transpose", [outs[1]], perm=[1, 0, 2]), n, self.width)
        seen = [] if self.sequence else [whole]
        if self.STATES > 1:
            cells_ = _shaped(b, self._cells(b, ins, names, rows, states), t, n, self.width)
            seen.insert(0, b.op("Transpose", [cells_], perm=[1, 0, 2]))
        if self.is_open:
            seen += self._brought(b, ins, rows, outs[0], states[0])
        return (y, *found, *seen)

    def _attributes(self) -> dict[str, Any]:
        """Attributes of the ONNX node."""
        listed = [f for per in self.functions for f in per]
        found: dict[str, Any] = {
            "hidden_size": self.units,
            "direction": "bidirectional" if self.directions == 2 else "reverse" if self.reverse[0] else "forward",
            "activations": [f.name for f in listed],
        }
        if any(f.name in ALPHA for f in listed):
            found["activation_alpha"] = [f.alpha for f in listed if f.name in ALPHA]
        if any(f.name in BETA for f in listed):
            found["activation_beta"] = [f.beta for f in listed if f.name in BETA]
        if self.clip:
            found["clip"] = self.clip
        return found

    def _cells(
        self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str], rows: str, states: Sequence[str]
    ) -> str:
        raise NotImplementedError

    def _brought(self, b: OnnxBuilder, ins: Sequence[Tensor], rows: str, y: str, h0: str) -> tuple[str, ...]:
        """What x and h bring to the sums of all steps: W * x + b, and R * h, or |R| * |h| where gates choose from h."""
        (n, t, _), g, h = ins[0].shape, self.GATES * self.units, self.units
        w, r, bias = (t.array for t in ins[1:4])
        parts = []
        for k, reverse in enumerate(self.reverse):
            parts.append(b.op("Add", [b.op("MatMul", [rows, b.const(w[k].T)]), b.const(bias[k, :g] + bias[k, g:])]))
            index = b.const(np.array(k, np.int64))
            own = b.op("Gather", [y, index], axis=1)
            start = b.op("Gather", [h0, index], axis=0) if h0 else b.const(np.zeros((n, h), np.float32))
            start = _shaped(b, start, 1, n, h)
            ends = (1, t) if reverse else (0, t - 1)
            rest = b.op("Slice", [own, *(b.const(np.array([v], np.int64)) for v in (*ends, 0))])
            both = [rest, start] if reverse else [start, rest]
            hidden = b.op("Concat", both if t > 1 else [start], axis=0)
            matrix = r[k]
            if self.gates_h:
                hidden, matrix = b.op("Abs", [hidden]), np.abs(matrix)
            parts.append(b.op("MatMul", [hidden, b.const(matrix.T)]))
        return (b.op("Transpose", [b.op("Concat", parts, axis=2)], perm=[1, 0, 2]),)

    # -- quantisation

    def ties(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[tuple[str, ...], ...]:
        return (tuple(t.name for t in (*outs[:2], *self._all_h(outs), *self._states(ins)[:1])),)

    def _all_h(self, outs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """h behind every step, where calibration must see it."""
        if self.sequence or self.rules:
            return ()
        return (outs[2 * self.STATES],)

    def own_values(self, ins: Sequence[Tensor], output: int = 0) -> tuple[float, ...]:
        """A first state that is constant."""
        given = self._states(ins)[output - 1 : output] if output else ()
        return tuple(float(v) for t in given if t.const is not None for v in (t.array.min(), t.array.max()))

    def _states(self, ins: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """h0 and c0 where they are inputs: in a FLOAT graph behind the weights, in a FIXED one behind x."""
        if not self.initial:
            return ()
        first = 1 if self.rules else 4 + len(self._more_weights())
        return tuple(ins[first : first + self.STATES])

    def lawful_quant(self, lo: float, hi: float, bits: int = 8, output: int = 0) -> Quant | None:
        """h and y: zero point 0, since kernels multiply h as it is."""
        return symmetric(lo, hi, bits) if output < 2 else None

    def obeys(self, q: Quant, output: int = 0) -> bool:
        return output > 1 or (q.zero_point == 0 and q.bits <= 16)

    def _reach_of_sums(self, outs: Sequence[Tensor]) -> int:
        """k: sums are in units of 2^(k - 15)."""
        reaches = [f.reach for per in self.functions for f in per[: self._read_sums]]
        least = max([SUM_REACH, *(a for a in reaches if a is not None)])
        if not self.is_open:
            return least
        q = outs[2 * self.STATES + (not self.sequence)].quant
        assert q is not None
        # What x and what h bring may add up.
        most = 2.0 * max(abs(q.s * (q.low - q.zero_point)), abs(q.s * (q.high - q.zero_point)))
        return max(least, math.ceil(math.log2(max(most, 1e-30))))

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        x, w, r, bias = ins[:4]
        y = outs[0]
        k = self._reach_of_sums(outs)
        g = self.GATES * self.units
        name = y.name
        apart = self._apart()
        flat = bias.array.astype(np.float64).reshape(self.directions, 2, g)
        inside = np.where(apart, flat[:, 1], 0.0)
        of_x = _weights(f'"{name}": W', w.array, flat[:, 0] + flat[:, 1] - inside, x, 2.0 ** (k - 15))
        of_h = _weights(f'"{name}": R', r.array, inside, y, 2.0 ** (k - 15))
        clip = max(1, round(self.clip * 2.0 ** (15 - k))) if self.clip else 32768
        sums = Sums(of_x.shift, of_h.shift, max(-clip, -32768), min(clip, 32767))
        tables, rules = zip(*(self._rule(d, sums, k, ins, outs) for d in range(self.directions)), strict=True)
        consts = [
            Tensor.constant(f"{name}_w", of_x.w),
            Tensor.constant(f"{name}_r", of_h.w),
            Tensor.constant(f"{name}_b", of_x.b),
            *self._inside(name, of_h.b),
            Tensor.constant(f"{name}_mx", of_x.m),
            Tensor.constant(f"{name}_mh", of_h.m),
            *(
                Tensor.constant(f"{name}_{letter}", np.stack([per[i].entries for per in tables]))
                for i, letter in enumerate("fgt"[: len(tables[0])])
            ),
            *self._peepholes(name, ins, outs, k),
        ]
        states = [
            t.name if t.const is None else Tensor.constant(f"{name}_{t.name}", quantise_as(out, t.array))
            for t, out in zip(self._states(ins), outs[1:], strict=False)
        ]
        return Lowered(replace(self, rules=rules), (x.name, *states, *consts))

    def _apart(self) -> Array:
        """(gates * units) booleans: rows whose bias of h stays beside R * h."""
        return np.zeros(self.GATES * self.units, bool)

    def _inside(self, name: str, b: Array) -> tuple[Tensor, ...]:
        return ()

    def _peepholes(self, name: str, ins: Sequence[Tensor], outs: Sequence[Tensor], k: int) -> tuple[Tensor, ...]:
        return ()

    def _rule(
        self, d: int, sums: Sums, k: int, ins: Sequence[Tensor], outs: Sequence[Tensor]
    ) -> tuple[tuple[GateTable, ...], Any]:
        """Tables and rule of a direction."""
        raise NotImplementedError

    def _curve(self, f: Function, k: int) -> tuple[int, int]:
        """(up, reach): how far sums are moved up for the table of f, and what that covers."""
        reach = k if f.reach is None else min(k, f.reach)
        return k - reach, reach

    # -- integers

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        first = 1 + (self.STATES if self.initial else 0)
        given, consts = arrays[1:first], arrays[first:]
        x = arrays[0].astype(np.int64)
        samples, number, rows = x.shape[:3]
        zero_point, bits = need_quant(ins[0])[1], bits_of(ins[0])
        y = np.zeros((samples, number, rows, self.width), np.int64)
        states = [np.zeros((samples, number, self.width), np.int64) for _ in range(self.STATES)]
        for state, start in zip(states, given, strict=False):
            state += start
        for i, steps in enumerate(self.steps(ins[0].shape)):
            for d, (rule, reverse) in enumerate(zip(self.rules, self.reverse, strict=True)):
                own = slice(d * self.units, (d + 1) * self.units)
                w, r, b, *rest = (c[d] for c in consts)
                mx = rest[self._inside_count]
                px = cells.input_sums(rule.sums, cells.weighted(x[:, i, :steps], w, b, zero_point, bits), mx)
                now = tuple(s[:, i, own] for s in states)
                for t in reversed(range(steps)) if reverse else range(steps):
                    y[:, i, t, own], *after = self._step(rule, px[:, t], r, rest, now, bits_of(outs[0]))
                    now = tuple(after)
                for state, last in zip(states, now, strict=True):
                    state[:, i, own] = last
        if not self.sequence:
            y = self._last(states[0])
        return tuple(v.astype(t.dtype.value) for v, t in zip((y, *states), outs, strict=True))

    #: Constants between b and mx.
    _inside_count: ClassVar[int] = 0

    def _last(self, h: Array) -> Array:
        """The last state as an output."""
        return h

    def _step(
        self, rule: Any, px: Array, r: Array, rest: Sequence[Array], now: tuple[Array, ...], bits: int
    ) -> tuple[Array, ...]:
        """y, then the states behind the step. `rest`: constants behind b."""
        raise NotImplementedError

    # -- the C

    def macs(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> int:
        x = ins[0].shape
        return sum(self.steps(x)) * self.GATES * self.width * (x[2] + self.units)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        x, y, states = ins[0], outs[0], outs[1:]
        first = 1 + (self.STATES if self.initial else 0)
        w, r, b, *rest = (t.array for t in ins[first:])
        zero_point = need_quant(x)[1]
        calls = [
            strided_copy(t, out, out.shape, contiguous_strides(out.shape), contiguous_strides(out.shape))
            for t, out in zip(self._states(ins), states, strict=False)
        ]
        for d, (rule, reverse) in enumerate(zip(self.rules, self.reverse, strict=True)):
            consts = (
                ConstArg("w", w[d]),
                ConstArg("r", r[d]),
                ConstArg("b", fold_bias(w[d], b[d], zero_point)),
                *(ConstArg(letter, a[d]) for letter, a in zip(self._letters(), rest, strict=True)),
            )
            for i, steps in enumerate(self.steps(x.shape)):
                fields = self._place(x.shape, i, d, steps)
                fields |= {"reverse": int(reverse), "fresh": int(not self.initial)}
                fields |= {"x_shift": rule.sums.x_shift, "h_shift": rule.sums.h_shift}
                fields |= {"sum_lo": rule.sums.lo, "sum_hi": rule.sums.hi} | self._fields(rule)
                fields |= {"out_shift": rule.out.shift, "out_m": rule.out.m}
                fields |= {"out_lo": rule.out.lo, "out_hi": rule.out.hi}
                kernel, scratch = kernel_of(f"tg_{self.ONNX.lower()}", x), self._scratch(rule) * bits_of(x) // 8
                also = tuple(t.name for t in states)
                calls.append(Call(kernel, config(**fields), (x.name,), consts, y.name, scratch=scratch, also=also))
        return tuple(calls)

    def _place(self, x: Shape, i: int, d: int, steps: int) -> dict[str, int]:
        """The kernel's config for direction d of sequence i: where all lies."""
        whole = self.sequence
        return {
            "steps": steps,
            "tail": x[1] - steps if whole else 0,
            "n_in": x[2],
            "n_hidden": self.units,
            "at": i * self.width + d * self.units,
            "x_at": i * x[1] * x[2],
            "y_at": i * (x[1] - 1) * self.width if whole else 0,
            "y_step": self.width if whole else 0,
        }

    def _letters(self) -> tuple[str, ...]:
        """Names of the constants behind b."""
        raise NotImplementedError

    def _fields(self, rule: Any) -> dict[str, int]:
        """The kernel's config between sums and the narrowing."""
        raise NotImplementedError

    def _scratch(self, rule: Any) -> int:
        """Values of h that the kernel needs room for."""
        return self.units

    # -- the algebra

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        """Sequences are apart; of its own one a step reads all, x through weights."""
        own, state = Axis(Kind.SAME, 0), Axis(Kind.MIX)
        first = 1 if self.rules else 4 + len(self._more_weights())
        states = range(first, first + len(self._states(ins)))

        def along(out: Tensor) -> tuple[access.Along, ...]:
            x = (own, state, Axis(Kind.REDUCE, len(out.shape) - 1))
            return (x, *((own, state) if i in states else None for i in range(1, len(ins))))

        return tuple(along(out) for out in outs)

    def channels(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Labels, ...]:
        """Those of x go with columns of W. FLOAT: units, of both directions together, with their rows of all gates and
        their columns of R; FIXED: they stay."""
        columns = np.arange(width(ins[0]))
        if self.rules:
            found = list(super().channels(ins, outs))
            found[0] = found[1 + len(self._states(ins))] = {-1: columns}
            return tuple(found)
        units = len(columns) + np.arange(self.units)

        def times(count: int) -> Labels:
            return {-1: np.tile(units, count)}

        rows, state = {1: np.tile(units, self.GATES)}, times(self.directions)
        weights = [{-1: columns} | rows, {-1: units} | rows, times(2 * self.GATES)]
        weights += [times(3) for _ in self._more_weights()]
        of = dict.fromkeys(("y", "h", "c", "cells", "steps", "start"), state)
        of |= {"sums": times(2 * self.GATES * self.directions), "limit": {-1: np.array([STAYS])}}
        states = [state] * (len(ins) - 1 - len(weights))
        return ({-1: columns}, *weights, *states, *(of[name] for name in self.told))

    def cut(self, ins: Sequence[Tensor], outs: Sequence[Tensor], kept: Sequence[Array]) -> Operator | None:
        return self if self.rules else replace(self, units=len(kept[len(ins)]) // self.directions)

    def weights(self, ins: Sequence[Tensor]) -> int:
        first = 1 + len(self._states(ins))
        return sum(t.size for t in ins[first : first + 2])

    def weighed(self, ins: Sequence[Tensor], written: Array) -> Array:
        w = ins[1 + len(self._states(ins))].array
        return np.asarray(w.reshape(-1, w.shape[-1]).any(axis=0))


def _example(gates: int, inputs: int, units: int, directions: int, seed: int, gain: float = 1.0) -> list[Array]:
    """W, R, B of usual size."""
    rng = np.random.default_rng(seed)
    rows, size = gates * units, gain / math.sqrt(units)
    shapes = ((directions, rows, inputs), (directions, rows, units), (directions, 2 * rows))
    return [rng.uniform(-size, size, shape).astype(np.float32) for shape in shapes]


@dataclass(frozen=True)
class Lstm(Recurrent):
    """`coupled`: the forget gate is 1 - the input gate (input_forget). `peepholes`: gates see the cell."""

    coupled: bool = False
    peepholes: bool = False
    ONNX = "LSTM"
    GATES = 4
    STATES = 2
    roles = ("y", "h", "c")

    @property
    def _read_sums(self) -> int:
        return 2

    def _more_weights(self) -> tuple[Shape, ...]:
        return ((self.directions, 3 * self.units),) if self.peepholes else ()

    def _seen(self, x: Shape) -> tuple[Shape, ...]:
        return ((*x[:2], self.width), *super()._seen(x))

    def _watches(self) -> tuple[str, ...]:
        return ("cells", *super()._watches())

    def _attributes(self) -> dict[str, Any]:
        return super()._attributes() | ({"input_forget": 1} if self.coupled else {})

    def _cells(
        self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str], rows: str, states: Sequence[str]
    ) -> str:
        """All cells: a loop over the steps around an LSTM of one, for each direction."""
        parts = []
        for d, reverse in enumerate(self.reverse):
            own = replace(self, reverse=(False,), functions=(self.functions[d],))
            only = b.const(np.array([d], np.int64))
            weights = [b.op("Gather", [n, only], axis=0) for n in names[1:4]]
            more = [b.op("Gather", [n, only], axis=0) for n in names[4 : 4 + len(self._more_weights())]]
            zero = b.const(np.zeros((1, ins[0].shape[0], self.units), np.float32))
            starts = [b.op("Gather", [s, only], axis=0) if s else zero for s in states]

            def step(
                inner: OnnxBuilder, now: Sequence[str], x: str, own: Lstm = own,
                weights: Sequence[str] = weights, more: Sequence[str] = more,
            ) -> tuple[Sequence[str], Sequence[str]]:  # fmt: skip
                one = inner.op("Unsqueeze", [x, inner.const(np.array([0], np.int64))])
                outs = inner.ops("LSTM", [one, *weights, "", *now, *more], 3, **own._attributes())
                return outs[1:], outs[2:]

            n, _, width = ins[0].shape
            parts.append(b.scan(step, starts, (1, n, self.units), rows, (n, width), reverse)[0])
        return b.op("Concat", parts, axis=-1) if len(parts) > 1 else parts[0]

    def ties(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[tuple[str, ...], ...]:
        cell = (*outs[2:4], *self._states(ins)[1:])
        return (*super().ties(ins, outs), tuple(t.name for t in cell))

    def keeps(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> frozenset[str]:
        return frozenset(t.name for t in (*outs[2:], *self._states(ins)[1:]))

    def lawful_quant(self, lo: float, hi: float, bits: int = 8, output: int = 0) -> Quant | None:
        """A cell: twice as far as it was seen to go, or more; 24 bits have room for that."""
        if output not in (2, 3):
            return super().lawful_quant(lo, hi, bits, output)
        n = max(2, _power(lo, hi) + 1)
        return Quant.per_tensor(2.0 ** (n - CELL_BITS + 1), 0, CELL_BITS)

    def obeys(self, q: Quant, output: int = 0) -> bool:
        return q.bits == CELL_BITS if output in (2, 3) else super().obeys(q, output)

    def _rule(
        self, d: int, sums: Sums, k: int, ins: Sequence[Tensor], outs: Sequence[Tensor]
    ) -> tuple[tuple[GateTable, ...], LstmRule]:
        f, g, t = self.functions[d]
        n = round(math.log2(need_quant(outs[2])[0])) + CELL_BITS - 1  # the cell covers +-2^n
        (f_up, f_reach), (g_up, g_reach) = self._curve(f, k), self._curve(g, k)
        t_reach = n if t.reach is None else max(t.reach, n - 8)
        e_f, e_g, e_t = f.unit(f_reach), g.unit(g_reach), t.unit(t_reach)
        ig_down = 7 + n - e_f - e_g
        if ig_down < 1 or e_f > 7:
            raise ModelError(
                f"{f.name} and {g.name} reach 2^{e_f} and 2^{e_g} where the cell reaches 2^{n}; a cell of 24 bits "
                "cannot hold both ends. Use functions that become flat."
            )
        tables = (f.table(f_reach, e_f), g.table(g_reach, e_g), t.table(t_reach, e_t))
        out = _narrowing(2.0 ** (e_f + e_t - 30 + 16), outs[0])
        peep = self._peep_multipliers(ins, outs, k)[1] if self.peepholes else 0
        rule = LstmRule(
            sums,
            f_up,
            g_up,
            tables[0].shift,
            tables[1].shift,
            tables[2].shift,
            1 + e_f,
            ig_down,
            8 + t_reach - n,
            out,
            self.coupled,
            peep,
        )
        return tables, rule

    def _peep_multipliers(self, ins: Sequence[Tensor], outs: Sequence[Tensor], k: int) -> tuple[Array, int]:
        """From cells to sums, (D, 3 * H), and their shift."""
        return choose_multipliers(ins[4].array.astype(np.float64) * need_quant(outs[2])[0] * 2.0 ** (15 - k), 1)

    def _peepholes(self, name: str, ins: Sequence[Tensor], outs: Sequence[Tensor], k: int) -> tuple[Tensor, ...]:
        """Multipliers of peepholes, or one 0 for each direction, which no kernel reads."""
        none = np.zeros((self.directions, 1), np.int32)
        return (Tensor.constant(f"{name}_p", self._peep_multipliers(ins, outs, k)[0] if self.peepholes else none),)

    def _step(
        self, rule: LstmRule, px: Array, r: Array, rest: Sequence[Array], now: tuple[Array, ...], bits: int
    ) -> tuple[Array, ...]:
        _, mh, f, g, t, peep = rest
        h, c = now
        ph = cells.hidden_sums(rule.sums, cells.weighted(h, r, 0, 0, bits), mh)
        tables = (GateTable(f, rule.f_shift), GateTable(g, rule.g_shift), GateTable(t, rule.t_shift))
        peepholes = peep.reshape(3, -1) if self.peepholes else None
        new, cell = cells.lstm_step(rule, tables, px, ph, c, peepholes)
        return new, new, cell

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        usual = (SIGMOID, TANH, TANH)
        both = (False, True)
        x = (1, 5, 3)
        start = np.random.default_rng(1).uniform(-1, 1, (2, 1, 4)).astype(np.float32)
        peep = np.random.default_rng(2).uniform(-0.5, 0.5, (1, 12)).astype(np.float32)
        odd = (Function("HardSigmoid", 0.2, 0.5), Function("Softsign"), Function("ScaledTanh", 0.8, 1.5))
        one = tuple(_example(4, 3, 4, 1, 3))
        return (
            Case("forward", cls(4, (usual,)), (x, *one)),
            Case("last", cls(4, (usual,), sequence=False), (x, *one)),
            Case("reverse_short", cls(4, (usual,), (True,), lengths=(3,)), (x, *one)),
            Case("both_started", cls(2, (usual,) * 2, both, initial=True), (x, *_example(4, 3, 2, 2, 4), *start)),
            Case("state", cls(4, (usual,), initial=True), ((1, 1, 3), *one, (1, 4), (1, 4))),
            Case("batch", cls(2, (usual,) * 2, both, lengths=(4, 3)), ((2, 4, 3), *_example(4, 3, 2, 2, 4))),
            Case("peepholes_clip", cls(4, (usual,), clip=0.75, peepholes=True), (x, *one, peep)),
            Case("coupled_odd", cls(4, (odd,), coupled=True), (x, *one)),
        )

    def _letters(self) -> tuple[str, ...]:
        return ("mx", "mh", "f", "g", "t", "p")

    def _fields(self, rule: LstmRule) -> dict[str, int]:
        return {
            "f_up": rule.f_up,
            "g_up": rule.g_up,
            "f_shift": rule.f_shift,
            "g_shift": rule.g_shift,
            "t_shift": rule.t_shift,
            "c_up": rule.c_up,
            "ig_down": rule.ig_down,
            "t_down": rule.t_down,
            "coupled": int(rule.coupled),
            "peep_shift": rule.peep_shift,
        }


@dataclass(frozen=True)
class Gru(Recurrent):
    """`before`: the reset gate multiplies R * h (linear_before_reset), else h."""

    before: bool = False
    ONNX = "GRU"
    GATES = 3
    _inside_count = 1

    @property
    def gates_h(self) -> bool:
        return not self.before

    def _attributes(self) -> dict[str, Any]:
        return super()._attributes() | ({"linear_before_reset": 1} if self.before else {})

    def _seen(self, x: Shape) -> tuple[Shape, ...]:
        start = ((x[0], self.width),) if self.initial else ()
        return (*super()._seen(x), *start, *(((1,),) if self._is_unbounded else ()))

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        """With the first state as a value of its own: of what h, a copy of the state, must be able to say."""
        outs = super().to_onnx(b, ins, names)
        if not self.initial:
            return outs
        at = len(outs) - int(self._is_unbounded)
        return (*outs[:at], b.op("Identity", [names[4]]), *outs[at:])

    def _watches(self) -> tuple[str, ...]:
        start = ("start",) if self.initial else ()
        return (*super()._watches(), *start, *(("limit",) if self._is_unbounded else ()))

    @property
    def _is_unbounded(self) -> bool:
        """Candidates, of which the state is a mean, may be larger than the state was ever seen."""
        return any(per[1].reach is None for per in self.functions)

    def bounding_line(self) -> tuple[float, float]:
        """(slope, rest): candidates stay below slope * s + rest, where neither x nor h brings more than s to a sum."""
        inner = [per[1] for per in self.functions]
        slope = max(1.0, *(abs(f.alpha) for f in inner))
        return 2.0 * slope, max(1.0, *(abs(f.alpha) + abs(f.beta) for f in inner))

    def _brought(self, b: OnnxBuilder, ins: Sequence[Tensor], rows: str, y: str, h0: str) -> tuple[str, ...]:
        """Likewise, and what no candidate exceeds."""
        (sums,) = super()._brought(b, ins, rows, y, h0)
        if not self._is_unbounded:
            return (sums,)
        slope, rest = (np.array(v, np.float32) for v in self.bounding_line())
        top = b.op("ReduceMax", [b.op("Abs", [sums])], keepdims=0)
        limit = b.op("Add", [b.op("Mul", [top, b.const(slope)]), b.const(rest)])
        return sums, b.op("Reshape", [limit, b.const(np.array([1], np.int64))])

    def ties(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[tuple[str, ...], ...]:
        limit = outs[-1:] if self._is_unbounded and not self.rules else ()
        start = outs[len(outs) - len(limit) - 1 :][:1] if self.initial and not self.rules else ()
        of_y, of_state = (outs[0], *self._all_h(outs), *start), (outs[1], *limit, *self._states(ins))
        return tuple(tuple(t.name for t in group) for group in (of_y, of_state))

    def keeps(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> frozenset[str]:
        return frozenset(t.name for t in (*outs[1:], *self._states(ins)))

    def lawful_quant(self, lo: float, hi: float, bits: int = 8, output: int = 0) -> Quant | None:
        """The state: int16 in units of a power of two, which hold candidates too; so is y where it is int16."""
        if output > 1 or (output == 0 and bits == 8):
            return super().lawful_quant(lo, hi, bits, output)
        candidates = (per[1].unit(per[1].reach) for per in self.functions if per[1].reach is not None)
        return Quant.per_tensor(2.0 ** (max(0, _power(lo, hi), *candidates) - 15), 0, 16)

    def obeys(self, q: Quant, output: int = 0) -> bool:
        if output > 1 or (output == 0 and q.bits == 8):
            return super().obeys(q, output)
        return q.bits == 16 and q.zero_point == 0 and math.frexp(q.s)[0] == 0.5

    def _apart(self) -> Array:
        return np.repeat([False, False, self.before], self.units)

    def _inside(self, name: str, b: Array) -> tuple[Tensor, ...]:
        return (Tensor.constant(f"{name}_bh", np.ascontiguousarray(b[:, 2 * self.units :])),)

    def _rule(
        self, d: int, sums: Sums, k: int, ins: Sequence[Tensor], outs: Sequence[Tensor]
    ) -> tuple[tuple[GateTable, ...], GruRule]:
        f, g = self.functions[d]
        (f_up, f_reach), (g_up, g_reach) = self._curve(f, k), self._curve(g, k)
        unit = round(math.log2(need_quant(outs[1])[0])) + 15
        e_f = f.unit(f_reach)
        if e_f > 14:
            raise ModelError(f"{f.name} reaches 2^{e_f}; gates of up to 2^14 are possible")
        tables = (f.table(f_reach, e_f), g.table(g_reach, unit))
        out = _narrowing(2.0 ** (unit - 15), outs[0])
        shifts = (f_up, g_up, tables[0].shift, tables[1].shift)
        return tables, GruRule(sums, *shifts, 15 - e_f, 15 - e_f, out, self.before)

    def _last(self, h: Array) -> Array:
        parts = np.split(h, self.directions, axis=-1)
        return np.concatenate([r.out.value(p) for r, p in zip(self.rules, parts, strict=True)], axis=-1)

    def _step(
        self, rule: GruRule, px: Array, r: Array, rest: Sequence[Array], now: tuple[Array, ...], bits: int
    ) -> tuple[Array, ...]:
        bh, _, mh, f, g = rest
        tables = (GateTable(f, rule.f_shift), GateTable(g, rule.g_shift))
        y, state = cells.gru_step(rule, tables, px, r, bh, mh, now[0], bits)
        return y, state

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        usual = (SIGMOID, TANH)
        both = (False, True)
        x = (1, 5, 3)
        one = tuple(_example(3, 3, 4, 1, 5))
        start = np.random.default_rng(6).uniform(-1, 1, (1, 4)).astype(np.float32)
        return (
            Case("after", cls(4, (usual,)), (x, *one)),
            Case("before", cls(4, (usual,), before=True), (x, *one)),
            Case("last", cls(4, (usual,), before=True, sequence=False), (x, *one)),
            Case("both_started", cls(2, (usual,) * 2, both, initial=True), (x, *_example(3, 3, 2, 2, 7), start)),
            Case("state", cls(4, (usual,), initial=True, before=True), ((1, 1, 3), *one, (1, 4))),
            Case("reverse_short_clip", cls(4, (usual,), (True,), clip=0.5, lengths=(2,), before=True), (x, *one)),
            Case("batch", cls(4, (usual,), before=True), ((2, 3, 3), *one)),
            Case("relu", cls(4, ((SIGMOID, Function("Relu")),)), (x, *one)),
        )

    def _letters(self) -> tuple[str, ...]:
        return ("bh", "mx", "mh", "f", "g")

    def _fields(self, rule: GruRule) -> dict[str, int]:
        return {
            "f_up": rule.f_up,
            "g_up": rule.g_up,
            "f_shift": rule.f_shift,
            "g_shift": rule.g_shift,
            "r_down": rule.r_down,
            "z_down": rule.z_down,
            "before": int(rule.before),
        }

    def _scratch(self, rule: GruRule) -> int:
        return (2 if rule.before else 3) * self.units


@dataclass(frozen=True)
class Rnn(Recurrent):
    """h = f(W * x + R * h + b)."""

    ONNX = "RNN"
    GATES = 1

    def _rule(
        self, d: int, sums: Sums, k: int, ins: Sequence[Tensor], outs: Sequence[Tensor]
    ) -> tuple[tuple[GateTable, ...], RnnRule]:
        (f,) = self.functions[d]
        up, reach = self._curve(f, k)
        unit = f.unit(reach)
        table = f.table(reach, unit)
        return (table,), RnnRule(sums, up, table.shift, _narrowing(2.0 ** (unit - 15), outs[0]))

    def _step(
        self, rule: RnnRule, px: Array, r: Array, rest: Sequence[Array], now: tuple[Array, ...], bits: int
    ) -> tuple[Array, ...]:
        _, mh, f = rest
        ph = cells.hidden_sums(rule.sums, cells.weighted(now[0], r, 0, 0, bits), mh)
        h = cells.rnn_step(rule, GateTable(f, rule.f_shift), px, ph)
        return h, h

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        x = (1, 5, 3)
        one = tuple(_example(1, 3, 4, 1, 8))
        kinds = (
            Function("LeakyRelu", 0.1), Function("Affine", 0.5, 0.1), Function("Elu", 1.0), Function("Softplus"),
            Function("ThresholdedRelu", 0.1),
        )  # fmt: skip
        return (
            Case("tanh", cls(4, ((TANH,),)), (x, *one)),
            Case("relu_last", cls(4, ((Function("Relu"),),), sequence=False), (x, *one)),
            Case("both", cls(2, ((TANH,), (SIGMOID,)), (False, True), clip=1.0), (x, *_example(1, 3, 2, 2, 9))),
            Case("state", cls(4, ((TANH,),), initial=True), ((1, 1, 3), *one, (1, 4))),
            *(Case(f.name.lower(), cls(4, ((f,),), (True,)), (x, *one)) for f in kinds),
        )

    def _letters(self) -> tuple[str, ...]:
        return ("mx", "mh", "f")

    def _fields(self, rule: RnnRule) -> dict[str, int]:
        return {"f_up": rule.f_up, "f_shift": rule.f_shift}


def _shaped(b: OnnxBuilder, name: str, *shape: int) -> str:
    return b.op("Reshape", [name, b.const(np.array(shape, np.int64))])


def _moved(b: OnnxBuilder, name: str, shape: Shape, perm: Shape) -> str:
    return b.op("Transpose", [_shaped(b, name, *shape)], perm=list(perm))


def _power(lo: float, hi: float) -> int:
    """The least p with [lo, hi] within +-2^p."""
    return math.ceil(math.log2(max(abs(lo), abs(hi), 2.0**-15)) - 1e-9)


def symmetric(lo: float, hi: float, bits: int) -> Quant:
    """A quantisation with zero point 0 that holds [lo, hi]."""
    top = max(abs(lo), abs(hi), 1e-6)
    # The C has the scale as a float; the same number here keeps both sides equal.
    return Quant.per_tensor(float(np.float32(top / ((1 << (bits - 1)) - 1))), 0, bits)


def _narrowing(unit: float, y: Tensor) -> Narrowing:
    """From units of `unit` to the integers of y."""
    assert y.quant is not None
    try:
        m, shift = small_multiplier(unit / y.quant.s, *NARROW)
    except ValueError as e:
        raise ModelError(f'"{y.name}": {e}') from e
    return Narrowing(m, shift, y.quant.low, y.quant.high)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Weights (D, rows, K) int8, biases (D, rows) int32, multipliers to sums (D, rows) int32 and their shift."""

    w: Array
    b: Array
    m: Array
    shift: int


def _weights(what: str, w: Array, bias: Array, x: Tensor, unit: float) -> _Rows:
    """Integers of W or R, a scale for each row. `x`: what they multiply; `unit`: of the sums."""
    s_x, zero_point = need_quant(x)
    bits = 8 if x.quant is None else x.quant.bits
    reach = 256.0 if bits == 8 and zero_point else 2.0 ** (bits - 1)
    real = w.astype(np.float64)
    scale = np.maximum(np.abs(real).max(axis=-1) / 127.0, np.abs(bias) / (s_x * BIAS_ROOM))
    scale = np.maximum(scale, max(float(scale.max(initial=0.0)) * 2.0**-18, 1e-12))
    codes, biases = np.rint(real / scale[..., None]), np.rint(bias / (s_x * scale))
    sums = np.abs(biases) + reach * np.abs(codes).sum(axis=-1)
    if sums.max(initial=0.0) >= 2.0**31:  # rounding anew adds half a step for each weight
        room = 2.0**31 - 2.0 - reach * real.shape[-1] / 2.0
        scale = np.where(sums >= 2.0**31, scale * sums / max(room, 2.0**20) * (1.0 + 2.0**-20), scale)
        codes, biases = np.rint(real / scale[..., None]), np.rint(bias / (s_x * scale))
        worst = float((np.abs(biases) + reach * np.abs(codes).sum(axis=-1)).max())
        if worst >= 2.0**31:
            raise ModelError(f"{what}: an accumulator may reach {worst:.3g}, above 2^31; split the layer")
    multipliers = s_x * scale / unit
    try:
        shift = min(cells.SUM_SHIFT, choose_multipliers(multipliers, 1)[1])
    except ValueError as e:
        raise ModelError(f"{what}: what it brings to a sum leaves the range of sums by far: {e}") from e
    m = np.rint(multipliers * 2.0**shift).astype(np.int32)
    return _Rows(codes.astype(np.int8), biases.astype(np.int32), m, shift)
