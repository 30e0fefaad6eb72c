"""Values of a file as its operators define them: with a bound on their error, and as integers times a scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto

from tinygen.numerics import Array

EPS = 2.0**-52


#: What onnxruntime's float32 may be off by, as a part of the largest value, where it stands in for a rule.
FLOAT32 = 2.0**-20


#: Operators that round their result to integers of a scale they name.
ROUNDS = ("QuantizeLinear", "QLinear", "QGemm")


#: Those that pick or move values, and the clamps that a saturating code may replace: they add no rounding.
MOVES = (
    "DequantizeLinear", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout", "Concat",
    "Split", "Slice", "Gather", "Expand", "Tile", "MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "Max", "Min",
    "DepthToSpace", "SpaceToDepth", "Pad", "Relu", "Clip", "Cast",
)  # fmt: skip


#: Of those, the ones that change integers.
CLAMPS = ("Relu", "Clip")


#: And the ones that leave some out.
PICKS = (*CLAMPS, "MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "Max", "Min")


class Unreadable(Exception):
    """A node that the reading has no rule for, and onnxruntime cannot run either."""


@dataclass(frozen=True, slots=True)
class Point:
    """A value that the file keeps as integers: real = scale * (code - zero_point).

    `sources`: the points whose integers it is computed from; `between`: the nodes from there to here, this one too;
    `steps`: those of them that compute; `free`: some have weights in float, whose integers tinygen chooses; `picked`:
    some clamp values, or take the largest.
    """

    value: str
    node: str
    op: str
    scale: float
    zero_point: int
    kind: str
    sources: frozenset[str]
    between: frozenset[str] = frozenset()
    steps: frozenset[str] = frozenset()
    free: bool = False
    picked: bool = False


@dataclass(frozen=True, slots=True)
class Rounded:
    """What a point holds, (samples, *shape): the codes, and how far the number before rounding was from a tie, in
    steps (at most 0.5; 0: a tie, to within the error of the reading)."""

    codes: Array
    distance: Array

    @property
    def ties(self) -> Array:
        """Where."""
        found: Array = self.distance == 0.0
        return found


class Value:
    """An array of the file. `live`: an activation, with samples in front. `err`: how far an element may be from the
    exact number. Of `whole` and `unit` the array is the product: integers (in a float type that holds them exactly)
    times one scale or one for each slice of an axis; it is multiplied out when somebody asks for it."""

    def __init__(
        self,
        a: Array | None,
        live: bool,
        err: float = 0.0,
        whole: Array | None = None,
        unit: Array | None = None,
        top: float | None = None,
    ) -> None:
        self._a, self.live, self.err, self.whole, self.unit, self._top = a, live, err, whole, unit, top

    @property
    def a(self) -> Array:
        if self._a is None:
            assert self.whole is not None
            assert self.unit is not None
            self._a = np.multiply(self.whole, self.unit, dtype=np.float64)
        return self._a

    @property
    def top(self) -> float:
        """No element is larger."""
        if self._top is None:
            self._top = float(np.max(np.abs(self.a), initial=0.0))
        return self._top

    def plain(self) -> Value:
        """Without the integers."""
        return Value(self.a, self.live, self.err)


@dataclass
class Node:
    """A node, its attributes read."""

    proto: NodeProto
    name: str
    version: int
    attrs: Mapping[str, Any]

    @property
    def op(self) -> str:
        return self.proto.op_type

    def ints(self, name: str, default: Sequence[int] = ()) -> list[int]:
        return [int(v) for v in self.attrs.get(name, default)]

    def text(self, name: str, default: str = "") -> str:
        v = self.attrs.get(name, default)
        return v.decode() if isinstance(v, bytes) else str(v)


Ins = list["Value | None"]


Rule = Callable[[Node, Ins], "list[Value]"]


def need_value(v: Value | None) -> Value:
    if v is None:
        raise Unreadable("an input is missing")
    return v


def known_input(ins: Ins, i: int) -> Array | None:
    """A constant input, None when left out."""
    v = ins[i] if i < len(ins) else None
    if v is not None and v.live:
        raise Unreadable(f"input {i} depends on the network's input")
    return None if v is None else v.a


def aligned(*values: Value) -> list[Array]:
    """Arrays that broadcast as the ONNX shapes do: activations get axes of length 1 behind the samples."""
    rank = max(v.a.ndim - v.live for v in values)
    return [v.a.reshape(len(v.a), *(1,) * (rank - v.a.ndim + 1), *v.a.shape[1:]) if v.live else v.a for v in values]


def _along(x: Array, live: bool, axis: int, v: Array, block: int) -> Array:
    """Scales or zero points, shaped to go with x: one, one for each slice of an axis, or one for each block of it."""
    if v.size == 1:
        return v.reshape(())
    rank = x.ndim - live
    if block:
        return np.repeat(v, block, axis=axis)[tuple(slice(0, n) for n in x.shape[live:])]
    return v.reshape([-1 if i == axis % rank else 1 for i in range(rank)])


def limits(kind: str) -> tuple[int, int]:
    signed, bits = not kind.startswith("u"), int(kind.lstrip("uint"))
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def kind_of(node: Node, zero: Array | None, position: int | None = None) -> str:
    if zero is not None:
        return str(zero.dtype.name)
    asked = int(node.attrs.get("output_dtype", 0))
    return "uint8" if not asked else str(TensorProto.DataType.Name(asked)).lower()


def dequantise(q: Value, scale: Array, zero: Array | None, axis: int = 1, block: int = 0) -> Value:
    s = _along(q.a, q.live, axis, np.asarray(scale, np.float32).astype(np.float64), block)
    z = 0 if zero is None else _along(q.a, q.live, axis, zero.astype(np.int64), block)
    small = q.a.dtype.itemsize == 1
    whole = np.subtract(q.a, z, dtype=np.float32) if small else (q.a.astype(np.int64) - z).astype(np.float64)
    return Value(None, q.live, 0.0, whole, np.asarray(s))


def rounded_to(x: Value, scale: Array, zero: Array | None, kind: str, axis: int = 1, block: int = 0) -> Rounded:
    """Half to even, saturating."""
    s = _along(x.a, x.live, axis, np.asarray(scale, np.float32).astype(np.float64), block)
    z = 0 if zero is None else _along(x.a, x.live, axis, zero.astype(np.int64), block)
    low, high = limits(kind)
    v = np.atleast_1d(x.a / s)
    if np.isnan(v).any():
        raise Unreadable("NaN is rounded")
    np.clip(v, low - z - 2.0, high - z + 2.0, out=v)
    codes = np.rint(v)
    v -= codes
    distance = np.abs(v, dtype=np.float32, casting="same_kind")
    np.subtract(0.5, distance, out=distance)
    # float32 tells a tie to within 2^-25 of a step.
    distance[distance <= max(2.0**-24, x.err / float(np.min(s)))] = 0.0
    codes += z
    np.clip(codes, low, high, out=codes)
    return Rounded(codes.astype(np.int64 if "4" in kind else kind).reshape(x.a.shape), distance.reshape(x.a.shape))
