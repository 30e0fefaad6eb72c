"""An independent reading of a pre-quantised ONNX file: what its integers are by the definition of its operators.

Written apart from the importer and the passes, which it checks. Real values are float64 with a bound on their error,
products of integer codes are exact integers, QuantizeLinear rounds half to even and saturates. A value is a *tie* where
the number before rounding is half-way between two integers, to within that bound: there another order of the sum may
round the other way.

Arrays of activations carry the samples in front: (samples, *ONNX shape). Operators without a rule here are run by
onnxruntime, node by node, in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tinygen.calibrate.floatrun import FloatModel
from tinygen.errors import ModelError
from tinygen.numerics import Array

EPS = 2.0**-52
#: What onnxruntime's float32 may be off by, as a part of the largest value, where it stands in for a rule.
FLOAT32 = 2.0**-20

#: Operators that round their result to integers of a scale they name.
_ROUNDS = ("QuantizeLinear", "QLinear", "QGemm")
#: Those that pick or move values, and the clamps that a saturating code may replace: they add no rounding.
_MOVES = (
    "DequantizeLinear", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout", "Concat",
    "Split", "Slice", "Gather", "Expand", "Tile", "MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "Max", "Min",
    "DepthToSpace", "SpaceToDepth", "Pad", "Relu", "Clip", "Cast",
)  # fmt: skip


#: Of those, the ones that change integers.
_CLAMPS = ("Relu", "Clip")
#: And the ones that leave some out.
_PICKS = (*_CLAMPS, "MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "Max", "Min")


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


class _Value:
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

    def plain(self) -> _Value:
        """Without the integers."""
        return _Value(self.a, self.live, self.err)


@dataclass
class _Node:
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


_Ins = list["_Value | None"]
_Rule = Callable[[_Node, _Ins], "list[_Value]"]


def _need(v: _Value | None) -> _Value:
    if v is None:
        raise Unreadable("an input is missing")
    return v


def _known(ins: _Ins, i: int) -> Array | None:
    """A constant input, None when left out."""
    v = ins[i] if i < len(ins) else None
    if v is not None and v.live:
        raise Unreadable(f"input {i} depends on the network's input")
    return None if v is None else v.a


def _aligned(*values: _Value) -> list[Array]:
    """Arrays that broadcast as the ONNX shapes do: activations get axes of length 1 behind the samples."""
    rank = max(v.a.ndim - v.live for v in values)
    return [v.a.reshape(len(v.a), *(1,) * (rank - v.a.ndim + 1), *v.a.shape[1:]) if v.live else v.a for v in values]


# Quantising ----------------------------------------------------------------------------------------------------------


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


def _kind_of(node: _Node, zero: Array | None, position: int | None = None) -> str:
    if zero is not None:
        return str(zero.dtype.name)
    asked = int(node.attrs.get("output_dtype", 0))
    return "uint8" if not asked else str(TensorProto.DataType.Name(asked)).lower()


def _dequantise(q: _Value, scale: Array, zero: Array | None, axis: int = 1, block: int = 0) -> _Value:
    s = _along(q.a, q.live, axis, np.asarray(scale, np.float32).astype(np.float64), block)
    z = 0 if zero is None else _along(q.a, q.live, axis, zero.astype(np.int64), block)
    small = q.a.dtype.itemsize == 1
    whole = np.subtract(q.a, z, dtype=np.float32) if small else (q.a.astype(np.int64) - z).astype(np.float64)
    return _Value(None, q.live, 0.0, whole, np.asarray(s))


def _round(x: _Value, scale: Array, zero: Array | None, kind: str, axis: int = 1, block: int = 0) -> Rounded:
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


# Operators with weights ----------------------------------------------------------------------------------------------


def _pads(
    n: _Node, size: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dil: Sequence[int]
) -> list[int]:
    """[begins, ends], auto_pad worked out."""
    auto, rank = n.text("auto_pad", "NOTSET"), len(size)
    if auto in ("NOTSET", ""):
        return n.ints("pads", [0] * 2 * rank)
    if auto == "VALID":
        return [0] * 2 * rank
    begins, ends = [], []
    for i in range(rank):
        span = (kernel[i] - 1) * dil[i] + 1
        total = max(0, (-(-size[i] // strides[i]) - 1) * strides[i] + span - size[i])
        small = total // 2
        begins.append(small if auto == "SAME_UPPER" else total - small)
        ends.append(total - begins[-1])
    return begins + ends


def _tap(x: Array, at: Sequence[int], out: Sequence[int], strides: Sequence[int], dil: Sequence[int]) -> Array:
    """What tap `at` of a window sees, for all windows: the spatial axes are the last."""
    where = tuple(slice(a * d, a * d + (o - 1) * s + 1, s) for a, d, o, s in zip(at, dil, out, strides, strict=True))
    found: Array = x[(slice(None),) * (x.ndim - len(where)) + where]
    return found


def _window(n: _Node, x: Array, kernel: Sequence[int]) -> tuple[list[int], list[int], list[int], list[int]]:
    """(pads, strides, dilations, output size) of a window over the last axes of x."""
    rank = len(kernel)
    strides, dil = n.ints("strides", [1] * rank), n.ints("dilations", [1] * rank)
    size = x.shape[-rank:]
    pads = _pads(n, size, kernel, strides, dil)
    out = []
    for i in range(rank):
        room = size[i] + pads[i] + pads[rank + i] - (kernel[i] - 1) * dil[i] - 1
        steps = room // strides[i]
        if int(n.attrs.get("ceil_mode", 0)):
            steps = -(-room // strides[i])
            if steps * strides[i] >= size[i] + pads[i]:  # a window must begin inside the image
                steps -= 1
        out.append(steps + 1)
        reach = (out[i] - 1) * strides[i] + (kernel[i] - 1) * dil[i] + 1
        pads[rank + i] = max(pads[rank + i], reach - size[i] - pads[i])
    return pads, strides, dil, out


def _padded(x: Array, pads: Sequence[int], value: float = 0.0) -> Array:
    rank = len(pads) // 2
    if not any(pads):
        return x
    width = [(0, 0)] * (x.ndim - rank) + [(pads[i], pads[rank + i]) for i in range(rank)]
    return np.pad(x, width, constant_values=value)


def _product(x: _Value, w: _Value, sums: Callable[[Array, Array], Array], channel: int, weights_of: int) -> _Value:
    """sums(x, w), a sum of products: exact on integers where both are codes of one scale, else float64.

    `channel`: axis of the result along which w's scales lie; `weights_of`: how many weights a sum has.
    """
    if x.whole is not None and x.unit is not None and w.whole is not None and w.unit is not None and x.unit.size == 1:
        top = float(np.abs(x.whole).max(initial=0)) * float(np.abs(w.whole).max(initial=0)) * weights_of
        if top < 2**53:
            kind = np.float32 if top < 2**24 else np.float64
            y = sums(x.whole.astype(kind, copy=False), w.whole.astype(kind, copy=False)).astype(np.float64)
            unit = x.unit.reshape(()) * w.unit.ravel()
            top *= float(np.max(unit))
            if unit.size > 1:
                shape = [1] * y.ndim
                shape[channel] = -1
                unit = unit.reshape(shape)
            y *= unit
            return _Value(y, x.live or w.live, 2 * EPS * top, top=top)
    y = sums(x.a, w.a)
    size = weights_of * w.top
    return _Value(y, x.live or w.live, size * x.err + weights_of * EPS * size * x.top)


def _plus(y: _Value, b: _Value | None, axis: int) -> _Value:
    """A sum of products and its bias; y's array is used up."""
    if b is None:
        return y
    shape = [1] * y.a.ndim
    shape[axis] = -1
    total, top = y.a, y.top + b.top
    total += b.a.reshape(shape)
    return _Value(total, y.live, y.err + EPS * top, top=top)


def _conv(n: _Node, ins: _Ins) -> list[_Value]:
    x, w = _need(ins[0]), _need(ins[1])
    b = ins[2] if len(ins) > 2 else None
    if w.live or (b is not None and b.live) or not x.live:
        raise Unreadable("weights that depend on the input")
    groups, kernel = int(n.attrs.get("group", 1)), list(w.a.shape[2:])
    pads, strides, dil, out = _window(n, x.a, kernel)

    def sums(xa: Array, wa: Array) -> Array:
        images = _padded(xa.reshape(-1, *xa.shape[2:]), pads)
        count, o, c = len(images), wa.shape[0], wa.shape[1]
        if c == 1 and groups > 1:
            wide = np.repeat(images, o // groups, axis=1)
            y = np.zeros((count, o, *out), xa.dtype)
            for at in np.ndindex(*kernel):
                y += _tap(wide, at, out, strides, dil) * wa[(slice(None), 0, *at)].reshape(o, *(1,) * len(out))
            return y.reshape(-1, 1, o, *out)
        parts = []
        for g in range(groups):
            part = images[:, g * c : (g + 1) * c]
            mine = wa[g * (o // groups) : (g + 1) * (o // groups)].reshape(o // groups, -1)
            taps = [_tap(part, at, out, strides, dil) for at in np.ndindex(*kernel)]
            columns = np.stack(taps, axis=2).reshape(count, c * len(taps), -1)
            parts.append(np.matmul(mine, columns).reshape(count, -1, *out))
        return np.concatenate(parts, axis=1).reshape(-1, 1, o, *out)

    y = _product(x, w, sums, 2, int(np.prod(w.a.shape[1:])))
    return [_plus(y, b, 2)]


def _conv_transpose(n: _Node, ins: _Ins) -> list[_Value]:
    x, w = _need(ins[0]), _need(ins[1])
    if w.live or not x.live:
        raise Unreadable("weights that depend on the input")
    groups, kernel = int(n.attrs.get("group", 1)), list(w.a.shape[2:])
    rank = len(kernel)
    strides, dil = n.ints("strides", [1] * rank), n.ints("dilations", [1] * rank)
    extra, size = n.ints("output_padding", [0] * rank), x.a.shape[-rank:]
    full = [(size[i] - 1) * strides[i] + (kernel[i] - 1) * dil[i] + 1 for i in range(rank)]
    auto, asked = n.text("auto_pad", "NOTSET"), n.ints("output_shape")[-rank:]
    if asked or auto.startswith("SAME"):
        asked = asked or [size[i] * strides[i] for i in range(rank)]
        total = [max(0, full[i] + extra[i] - asked[i]) for i in range(rank)]
        half = [t // 2 for t in total]
        rest = [t - h for t, h in zip(total, half, strict=True)]
        pads = half + rest if auto == "SAME_UPPER" else rest + half
    else:
        pads = n.ints("pads", [0] * 2 * rank)
        asked = [full[i] + extra[i] - pads[i] - pads[rank + i] for i in range(rank)]
    outs = w.a.shape[1] * groups

    def sums(xa: Array, wa: Array) -> Array:
        images = xa.reshape(-1, *xa.shape[2:])
        c, m = wa.shape[0] // groups, wa.shape[1]
        y = np.zeros((len(images), outs, *[f + e for f, e in zip(full, extra, strict=True)]), xa.dtype)
        for g in range(groups):
            part = images[:, g * c : (g + 1) * c].reshape(len(images), c, -1)
            to = y[:, g * m : (g + 1) * m]
            for at in np.ndindex(*kernel):
                mine = wa[(slice(g * c, (g + 1) * c), slice(None), *at)]
                _tap(to, at, size, strides, dil)[...] += np.matmul(mine.T, part).reshape(len(images), m, *size)
        inside = tuple(slice(pads[i], pads[i] + asked[i]) for i in range(rank))
        return y[(slice(None), slice(None), *inside)].reshape(-1, 1, outs, *asked)

    if w.unit is not None and w.unit.size > 1 and groups > 1:
        w = w.plain()
    y = _product(x, w, sums, 2, int(np.prod(w.a.shape)) // w.a.shape[1])
    return [_plus(y, ins[2] if len(ins) > 2 else None, 2)]


def _columns(w: _Value, axis: int) -> _Value:
    """w with integers kept where its scales lie along `axis` of its two."""
    if w.unit is not None and w.unit.size > 1 and (w.a.ndim != 2 or w.unit.shape[axis] != w.unit.size):
        return w.plain()
    return w


def _matmul(n: _Node, ins: _Ins) -> list[_Value]:
    x, w = _need(ins[0]), _need(ins[1])
    if not x.live or w.live:
        raw = _aligned(x, w) if x.live and w.live else [x.a, w.a]
        y = raw[0] @ raw[1]
        k = x.a.shape[-1]
        err = k * (x.top * w.err + w.top * x.err + x.err * w.err + k * EPS * x.top * w.top)
        return [_Value(y, True, err)]
    if x.a.ndim == 2 and w.a.ndim > 2:
        raise Unreadable("a vector times many matrices")
    if 2 <= x.a.ndim - 1 < w.a.ndim:  # matrices broadcast: axes of length 1 behind the samples
        x = _Value(_aligned(x, w)[0], True, x.err)
    return [_product(x, _columns(w, 1), np.matmul, -1, w.a.shape[-2] if w.a.ndim > 1 else len(w.a))]


def _gemm(n: _Node, ins: _Ins) -> list[_Value]:
    x, w = _need(ins[0]), _need(ins[1])
    alpha, beta = (float(np.float32(n.attrs.get(k, 1.0))) for k in ("alpha", "beta"))
    if w.live or not x.live:
        raise Unreadable("weights that depend on the input")
    if int(n.attrs.get("transA", 0)):
        x = _Value(x.a.swapaxes(-1, -2), True, x.err)
    turned = bool(int(n.attrs.get("transB", 0)))
    w = _columns(w, 0 if turned else 1)
    y = _product(x, w, (lambda a, b: a @ b.T) if turned else np.matmul, -1, w.a.shape[1 if turned else 0])
    y = y if alpha == 1.0 else _Value(y.a * alpha, True, y.err * abs(alpha) + EPS * y.top * abs(alpha))
    c = ins[2] if len(ins) > 2 else None
    if c is None:
        return [y]
    return [_Value(y.a + beta * c.a, True, y.err + 2 * EPS * (y.top + abs(beta) * c.top))]


# Element by element --------------------------------------------------------------------------------------------------


def _add(sign: int) -> _Rule:
    def rule(n: _Node, ins: _Ins) -> list[_Value]:
        x, w = _need(ins[0]), _need(ins[1])
        a, b = _aligned(x, w)
        return [_Value(a + sign * b, x.live or w.live, x.err + w.err + EPS * (x.top + w.top))]

    return rule


def _mul(n: _Node, ins: _Ins) -> list[_Value]:
    x, w = _need(ins[0]), _need(ins[1])
    a, b = _aligned(x, w)
    err = x.err * w.top + w.err * x.top + x.err * w.err + EPS * x.top * w.top
    return [_Value(a * b, x.live or w.live, err)]


def _div(n: _Node, ins: _Ins) -> list[_Value]:
    x, w = _need(ins[0]), _need(ins[1])
    if w.live or w.err:
        raise Unreadable("division by a value")
    a, b = _aligned(x, w)
    return [_Value(a / b, x.live, (x.err + EPS * x.top) / max(float(np.abs(w.a).min()), 1e-300))]


def _function(f: Callable[[Array], Array], steepest: float = 1.0) -> _Rule:
    """A function of one value, no steeper than `steepest`."""

    def rule(n: _Node, ins: _Ins) -> list[_Value]:
        x = _need(ins[0])
        y = f(x.a)
        return [_Value(y, x.live, steepest * x.err + 8 * EPS * float(np.max(np.abs(y), initial=0.0)))]

    return rule


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0 / (1.0 + e), e / (1.0 + e))


def _leaky(n: _Node, ins: _Ins) -> list[_Value]:
    alpha = float(np.float32(n.attrs.get("alpha", 0.01)))
    return _function(lambda x: np.where(x < 0, alpha * x, x), max(1.0, abs(alpha)))(n, ins)


def _hard_sigmoid(n: _Node, ins: _Ins) -> list[_Value]:
    alpha, beta = float(np.float32(n.attrs.get("alpha", 0.2))), float(np.float32(n.attrs.get("beta", 0.5)))
    return _function(lambda x: np.clip(alpha * x + beta, 0.0, 1.0), abs(alpha))(n, ins)


def _prelu(n: _Node, ins: _Ins) -> list[_Value]:
    x, slope = _need(ins[0]), _need(ins[1])
    a, s = _aligned(x, slope)
    return [_Value(np.where(a < 0, a * s, a), True, max(1.0, slope.top) * x.err + EPS * x.top * max(1.0, slope.top))]


def _clip(n: _Node, ins: _Ins) -> list[_Value]:
    x = _need(ins[0])
    if n.version < 11:
        ends = [np.array(n.attrs.get(k, d), np.float32) for k, d in (("min", -np.inf), ("max", np.inf))]
    else:
        ends = [np.array(d) if (v := _known(ins, i)) is None else v for i, d in ((1, -np.inf), (2, np.inf))]
    return [_Value(np.clip(x.a, *ends).astype(x.a.dtype), x.live, x.err)]


def _extreme(pick: Callable[[Array, Array], Array]) -> _Rule:
    def rule(n: _Node, ins: _Ins) -> list[_Value]:
        values = [_need(v) for v in ins]
        arrays = _aligned(*values)
        y = arrays[0]
        for other in arrays[1:]:
            y = pick(y, other)
        return [_Value(y, any(v.live for v in values), max(v.err for v in values))]

    return rule


def _softmax(n: _Node, ins: _Ins) -> list[_Value]:
    x = _need(ins[0])
    axis = int(n.attrs.get("axis", 1 if n.version < 13 else -1))
    rank = x.a.ndim - 1
    axis %= rank
    a = x.a if n.version >= 13 else x.a.reshape(len(x.a), *x.a.shape[1 : axis + 1], -1)
    e = np.exp(a - a.max(axis=axis + 1, keepdims=True))
    y = (e / e.sum(axis=axis + 1, keepdims=True)).reshape(x.a.shape)
    return [_Value(y, True, 2 * x.err + 64 * EPS)]


# Windows and reductions ----------------------------------------------------------------------------------------------


def _max_pool(n: _Node, ins: _Ins) -> list[_Value]:
    x, kernel = _need(ins[0]), n.ints("kernel_shape")
    low = -np.inf if x.a.dtype.kind == "f" else np.iinfo(x.a.dtype).min
    pads, strides, dil, out = _window(n, x.a, kernel)
    wide = _padded(x.a, pads, low)
    y = None
    for at in np.ndindex(*kernel):
        tap = _tap(wide, at, out, strides, dil)
        y = tap.copy() if y is None else np.maximum(y, tap, out=y)
    assert y is not None
    return [_Value(y, True, x.err)]


def _average_pool(n: _Node, ins: _Ins) -> list[_Value]:
    x, kernel = _need(ins[0]), n.ints("kernel_shape")
    pads, strides, dil, out = _window(n, x.a, kernel)
    asked = _pads(n, x.a.shape[-len(kernel) :], kernel, strides, dil)  # what ceil_mode adds does not count
    inside = np.ones(x.a.shape[-len(kernel) :])
    if int(n.attrs.get("count_include_pad", 0)):
        inside = _padded(inside, asked, 1.0)
        inside = _padded(inside, [p - a for p, a in zip(pads, asked, strict=True)])
    else:
        inside = _padded(inside, pads)
    wide = _padded(x.a, pads)
    total = np.zeros((*x.a.shape[: -len(kernel)], *out))
    count = np.zeros(out)
    for at in np.ndindex(*kernel):
        total += _tap(wide, at, out, strides, dil)
        count += _tap(inside, at, out, strides, dil)
    return [_Value(total / count, True, x.err + (len(kernel) + 1) * EPS * x.top)]


def _global_pool(reduce: Callable[..., Array]) -> _Rule:
    def rule(n: _Node, ins: _Ins) -> list[_Value]:
        x = _need(ins[0])
        axes = tuple(range(3, x.a.ndim))
        return [_Value(reduce(x.a, axis=axes, keepdims=True), True, x.err + 4 * EPS * x.top)]

    return rule


def _reduce(reduce: Callable[..., Array], sums: bool) -> _Rule:
    def rule(n: _Node, ins: _Ins) -> list[_Value]:
        x = _need(ins[0])
        given = _known(ins, 1)
        axes = n.ints("axes") if given is None else [int(v) for v in given.ravel()]
        rank = x.a.ndim - 1
        if not axes:
            if int(n.attrs.get("noop_with_empty_axes", 0)):
                return [x]
            axes = list(range(rank))
        where = tuple(a % rank + 1 for a in axes)
        y = reduce(x.a, axis=where, keepdims=bool(int(n.attrs.get("keepdims", 1))))
        many = int(np.prod([x.a.shape[i] for i in where])) if sums else 1
        return [_Value(y, True, many * (x.err + 4 * EPS * x.top))]

    return rule


# Moves ---------------------------------------------------------------------------------------------------------------


def _kept(x: _Value, y: Array) -> _Value:
    """The same numbers in other places."""
    return _Value(y, x.live, x.err)


def _reshape(n: _Node, ins: _Ins) -> list[_Value]:
    x, asked = _need(ins[0]), _known(ins, 1)
    if asked is None:
        raise Unreadable("a shape that is left out")
    old = x.a.shape[1:]
    zero = bool(int(n.attrs.get("allowzero", 0)))
    shape = [old[i] if d == 0 and not zero else int(d) for i, d in enumerate(asked.ravel())]
    return [_kept(x, x.a.reshape(len(x.a), *_filled(shape, int(np.prod(old)))))]


def _filled(shape: Sequence[int], size: int) -> list[int]:
    """-1 worked out: numpy's own would count the samples."""
    rest = int(np.prod([d for d in shape if d != -1]))
    return [size // max(rest, 1) if d == -1 else d for d in shape]


def _flatten(n: _Node, ins: _Ins) -> list[_Value]:
    x = _need(ins[0])
    shape = x.a.shape[1:]
    axis = int(n.attrs.get("axis", 1))
    axis = axis + len(shape) if axis < 0 else axis
    return [_kept(x, x.a.reshape(len(x.a), int(np.prod(shape[:axis])), -1))]


def _axes(n: _Node, ins: _Ins) -> list[int]:
    given = _known(ins, 1)
    return n.ints("axes") if given is None else [int(v) for v in given.ravel()]


def _squeeze(n: _Node, ins: _Ins) -> list[_Value]:
    x = _need(ins[0])
    shape = x.a.shape[1:]
    axes = [a % len(shape) for a in _axes(n, ins)] or [i for i, d in enumerate(shape) if d == 1]
    return [_kept(x, x.a.reshape(len(x.a), *(d for i, d in enumerate(shape) if i not in axes)))]


def _unsqueeze(n: _Node, ins: _Ins) -> list[_Value]:
    x, axes = _need(ins[0]), _axes(n, ins)
    rank = x.a.ndim - 1 + len(axes)
    y = x.a
    for a in sorted(a % rank for a in axes):
        y = np.expand_dims(y, a + 1)
    return [_kept(x, y)]


def _transpose(n: _Node, ins: _Ins) -> list[_Value]:
    x = _need(ins[0])
    perm = n.ints("perm", range(x.a.ndim - 2, -1, -1))
    return [_kept(x, x.a.transpose(0, *(p + 1 for p in perm)))]


def _concat(n: _Node, ins: _Ins) -> list[_Value]:
    values = [_need(v) for v in ins]
    count = next(len(v.a) for v in values if v.live)
    arrays = [v.a if v.live else np.broadcast_to(v.a, (count, *v.a.shape)) for v in values]
    axis = int(n.attrs["axis"])
    axis = axis + arrays[0].ndim - 1 if axis < 0 else axis
    return [_Value(np.concatenate(arrays, axis=axis + 1), True, max(v.err for v in values))]


def _slice(n: _Node, ins: _Ins) -> list[_Value]:
    x = _need(ins[0])
    rank = x.a.ndim - 1
    if n.version < 10:
        starts, ends = n.ints("starts"), n.ints("ends")
        axes, steps = n.ints("axes", range(len(starts))), [1] * len(starts)
    else:
        parts = [_known(ins, i) for i in range(1, 5)]
        starts, ends = ([int(v) for v in _array(p).ravel()] for p in parts[:2])
        axes = list(range(len(starts))) if parts[2] is None else [int(v) for v in parts[2].ravel()]
        steps = [1] * len(starts) if parts[3] is None else [int(v) for v in parts[3].ravel()]
    where = [slice(None)] * (rank + 1)
    for a, b, axis, step in zip(starts, ends, axes, steps, strict=True):
        length = x.a.shape[axis % rank + 1]
        lowest = -length - 1 if step < 0 else -length
        end = None if step < 0 and b < -length else max(b, lowest)
        where[axis % rank + 1] = slice(max(a, -length), end, step)
    return [_kept(x, x.a[tuple(where)])]


def _array(a: Array | None) -> Array:
    if a is None:
        raise Unreadable("an input is missing")
    return a


def _split(n: _Node, ins: _Ins) -> list[_Value]:
    x, given = _need(ins[0]), _known(ins, 1)
    rank, count = x.a.ndim - 1, len(n.proto.output)
    axis = int(n.attrs.get("axis", 0)) % rank
    sizes = n.ints("split") if given is None else [int(v) for v in given.ravel()]
    if not sizes:
        each = -(-x.a.shape[axis + 1] // count)
        sizes = [each] * (count - 1) + [x.a.shape[axis + 1] - each * (count - 1)]
    return [_kept(x, p) for p in np.split(x.a, np.cumsum(sizes)[:-1], axis=axis + 1)]


def _gather(n: _Node, ins: _Ins) -> list[_Value]:
    x, index = _need(ins[0]), _array(_known(ins, 1))
    axis = int(n.attrs.get("axis", 0)) % (x.a.ndim - 1)
    return [_kept(x, np.take(x.a, index, axis=axis + 1))]


def _pad(n: _Node, ins: _Ins) -> list[_Value]:
    x = _need(ins[0])
    rank = x.a.ndim - 1
    pads = n.ints("pads") if n.version < 11 else [int(v) for v in _array(_known(ins, 1)).ravel()]
    value = n.attrs.get("value", 0.0) if n.version < 11 else _known(ins, 2)
    axes = _known(ins, 3)
    where = list(range(rank)) if axes is None else [int(a) % rank for a in axes.ravel()]
    width = [(0, 0)] * (rank + 1)
    for i, a in enumerate(where):
        width[a + 1] = (pads[i], pads[len(where) + i])
    if any(p < 0 for p in pads):
        raise Unreadable("negative pads")
    mode = n.text("mode", "constant")
    fill = 0 if value is None else np.asarray(value).reshape(()).item()
    more: dict[str, Any] = {"constant_values": fill} if mode == "constant" else {}
    return [_kept(x, np.pad(x.a, width, mode, **more))]  # type: ignore[call-overload]


def _expand(n: _Node, ins: _Ins) -> list[_Value]:
    x, shape = _need(ins[0]), [int(v) for v in _array(_known(ins, 1)).ravel()]
    (a,) = _aligned(_Value(x.a, True)) if x.a.ndim > len(shape) else _aligned(x, _Value(np.zeros(shape), False))[:1]
    return [_kept(x, np.broadcast_to(a, (len(a), *np.broadcast_shapes(a.shape[1:], tuple(shape)))))]


def _same(n: _Node, ins: _Ins) -> list[_Value]:
    return [_need(ins[0])]


# Resize --------------------------------------------------------------------------------------------------------------


def _places(n: _Node, size: int, out: int, scale: float) -> Array:
    """Where each output position lies in the input."""
    o = np.arange(out, dtype=np.float64)
    mode = n.text("coordinate_transformation_mode", "half_pixel")
    if n.op == "Upsample" or n.version < 11:
        return o / scale
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and out > 1):
        return (o + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return np.zeros(out)
    if mode == "asymmetric":
        return o / scale
    if mode == "align_corners":
        return o * (size - 1) / (out - 1) if out > 1 else np.zeros(out)
    raise Unreadable(f"Resize with {mode}")


def _resize(n: _Node, ins: _Ins) -> list[_Value]:
    x = _need(ins[0])
    rank = x.a.ndim - 1
    at = 1 if n.op == "Upsample" or n.version < 11 else 2
    scales, sizes = _known(ins, at), _known(ins, 3)
    mode = n.text("mode", "nearest")
    if mode not in ("nearest", "linear") or int(n.attrs.get("antialias", 0)) or "axes" in n.attrs:
        raise Unreadable(f"Resize {mode}")
    y, err = x.a, x.err
    integers = x.a.dtype.kind in "iu"
    for axis in range(rank):
        size = y.shape[axis + 1]
        if sizes is not None and sizes.size:
            out = int(sizes[axis])
            scale = out / size
        else:
            scale = float(_array(scales)[axis])
            out = int(np.floor(size * scale))
        if out == size and scale == 1.0:
            continue
        place = _places(n, size, out, scale)
        if mode == "nearest":
            how = n.text("nearest_mode", "round_prefer_floor") if n.version >= 11 and n.op == "Resize" else "floor"
            whole = {
                "round_prefer_floor": np.ceil(place - 0.5),
                "round_prefer_ceil": np.floor(place + 0.5),
                "floor": np.floor(place),
                "ceil": np.ceil(place),
            }[how]
            y = np.take(y, np.clip(whole, 0, size - 1).astype(int), axis=axis + 1)
            continue
        if integers:
            raise Unreadable("linear Resize of integer codes")
        place = np.clip(place, 0, size - 1)
        first = np.minimum(np.floor(place).astype(int), max(size - 2, 0))
        shape = [1] * y.ndim
        shape[axis + 1] = -1
        part = (place - first).reshape(shape)
        second = np.minimum(first + 1, size - 1)
        y = np.take(y, first, axis=axis + 1) * (1 - part) + np.take(y, second, axis=axis + 1) * part
        err += 6 * EPS * x.top * max(1.0, float(size))
    return [_Value(y, True, err)]


RULES: dict[str, _Rule] = {
    "Conv": _conv, "ConvTranspose": _conv_transpose, "MatMul": _matmul, "Gemm": _gemm,
    "Add": _add(1), "Sub": _add(-1), "Mul": _mul, "Div": _div, "PRelu": _prelu, "LeakyRelu": _leaky,
    "Relu": _function(lambda x: np.maximum(x, 0.0)), "Neg": _function(lambda x: -x), "Abs": _function(np.abs),
    "Sigmoid": _function(_sigmoid, 0.25), "Tanh": _function(np.tanh), "HardSigmoid": _hard_sigmoid,
    "HardSwish": _function(lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0), 1.5),
    "Clip": _clip, "Max": _extreme(np.maximum), "Min": _extreme(np.minimum), "Softmax": _softmax,
    "MaxPool": _max_pool, "AveragePool": _average_pool,
    "GlobalAveragePool": _global_pool(np.mean), "GlobalMaxPool": _global_pool(np.max),
    "ReduceMean": _reduce(np.mean, False), "ReduceSum": _reduce(np.sum, True),
    "ReduceMax": _reduce(np.max, False), "ReduceMin": _reduce(np.min, False),
    "Reshape": _reshape, "Flatten": _flatten, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "Transpose": _transpose,
    "Concat": _concat, "Slice": _slice, "Split": _split, "Gather": _gather, "Pad": _pad, "Expand": _expand,
    "Identity": _same, "Dropout": _same, "Resize": _resize, "Upsample": _resize,
}  # fmt: skip


# The QLinear forms: codes in, codes out, by the float operator between ------------------------------------------------


def _pairs(ins: _Ins, starts: Sequence[int]) -> _Ins:
    """(code, scale, zero point) at each of `starts`, as numbers."""
    return [_dequantise(_need(ins[i]), _array(_known(ins, i + 1)), _known(ins, i + 2), 0) for i in starts]


def _columns_of(ins: _Ins, i: int, axis: int) -> _Value:
    """Weights at input i, whose scales lie along `axis`."""
    return _dequantise(_need(ins[i]), _array(_known(ins, i + 1)), _known(ins, i + 2), axis)


def _bias(ins: _Ins, i: int, x_scale: int, w_scale: int) -> _Value | None:
    b = _known(ins, i)
    if b is None:
        return None
    sx, sw = (np.asarray(_array(_known(ins, k)), np.float32).astype(np.float64) for k in (x_scale, w_scale))
    return _Value(b.astype(np.float64) * (sx * sw).ravel(), False)


def _qlinear(n: _Node, ins: _Ins) -> tuple[_Value, int, str]:
    """(number before rounding, input at which the output's scale stands, name of the operator between)."""
    op = n.op
    if op == "QLinearConv":
        w = _columns_of(ins, 3, 0)
        return _conv(n, [*_pairs(ins, [0]), w, _bias(ins, 8, 1, 4)])[0], 6, "Conv"
    if op == "QLinearMatMul":
        w = _need(ins[3])
        y = _matmul(n, [*_pairs(ins, [0]), _columns_of(ins, 3, w.a.ndim - 1 - w.live)])
        return y[0], 6, "MatMul"
    if op == "QGemm":
        turned = int(n.attrs.get("transB", 0))
        y = _gemm(n, [*_pairs(ins, [0]), _columns_of(ins, 3, 0 if turned else 1), _bias(ins, 6, 1, 4)])
        return y[0], 7, "Gemm"
    base = op.removeprefix("QLinear")
    if base in ("Add", "Mul"):
        return RULES[base](n, _pairs(ins, [0, 3]))[0], 6, base
    if base == "Concat":
        return _concat(n, _pairs(ins, range(2, len(ins), 3)))[0], 0, base
    if base in ("AveragePool", "GlobalAveragePool", "Sigmoid", "LeakyRelu", "Softmax", "ReduceMean"):
        if int(n.attrs.get("channels_last", 0)):
            raise Unreadable("channels_last=1")
        at = 3
        if base == "Softmax" and "opset" in n.attrs:
            n = replace(n, version=int(n.attrs["opset"]))
        return RULES[base](n, _pairs(ins, [0]))[0], at, base
    raise Unreadable(f"no rule for {op}")


def _elements(kind: str) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(kind)))


# The file ------------------------------------------------------------------------------------------------------------


_FLOAT_KINDS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


@dataclass(frozen=True, slots=True)
class Behind:
    """What lies between a value and the points before it: as in `Point`."""

    sources: frozenset[str] = frozenset()
    between: frozenset[str] = frozenset()
    steps: frozenset[str] = frozenset()
    free: bool = False
    #: A float input that no point rounds reaches it.
    floats: bool = False
    #: Constants in float are among its values.
    joined: bool = False
    picked: bool = False


@dataclass
class Run:
    """One evaluation: what each point would hold (`rounded`) given the integers before it, and the outputs' values."""

    rounded: dict[str, Rounded] = field(default_factory=dict)
    outputs: dict[str, Array] = field(default_factory=dict)


class Reading:
    """A pre-quantised ONNX model (batch of 1, functions inlined), read for itself."""

    def __init__(self, model: bytes) -> None:
        self._model = ModelProto.FromString(model)
        graph = self._model.graph
        self._opsets = {o.domain: int(o.version) for o in self._model.opset_import}
        self._constants = {t.name: _Value(numpy_helper.to_array(t), False) for t in graph.initializer}
        self.inputs = tuple(i.name for i in graph.input if i.name not in self._constants)
        self.outputs = tuple(o.name for o in graph.output)
        self._nodes = [self._read(i, n) for i, n in enumerate(graph.node)]
        self._sessions: dict[int, FloatModel] = {}
        self._scale_axes = self._find_scale_axes()
        #: Operators that onnxruntime computed, for want of a rule.
        self.stand_ins: set[str] = set()
        #: What each output is computed from.
        self.behind: dict[str, Behind] = {}
        self.points = self._find_points()

    def _read(self, index: int, node: NodeProto) -> _Node:
        attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute if a.type != AttributeProto.GRAPH}
        if len(attrs) != len(node.attribute):
            attrs["has_subgraph"] = 1
        return _Node(node, node.name or f"{node.op_type}_{index}", self._opsets.get(node.domain, 1), attrs)

    def _find_points(self) -> dict[str, Point]:
        """The values kept as integers, in order, by what the graph says alone."""
        kinds = {i.name: i.type.tensor_type.elem_type for i in self._model.graph.input}
        self.integers = frozenset(i for i in self.inputs if kinds[i] not in _FLOAT_KINDS)
        behind = {i: Behind(floats=i not in self.integers) for i in self.inputs}
        codes: dict[str, Point] = {}  # integers that are moved and clamped: the point they come from
        points: dict[str, Point] = {}
        for n in self._nodes:
            args = [behind[i] for i in n.proto.input if i in behind]
            if not args:
                continue
            computes = n.op not in (*_MOVES, "QuantizeLinear")
            far = Behind(
                frozenset().union(*(a.sources for a in args)),
                frozenset([n.name]).union(*(a.between for a in args)),
                frozenset([n.name] if computes else []).union(*(a.steps for a in args)),
                any(a.free or (computes and a.joined) for a in args) or self._has_float_weights(n),
                any(a.floats for a in args),
                any(a.joined for a in args) or self._joins_floats(n),
                any(a.picked for a in args) or n.op in _PICKS,
            )
            out, at = n.proto.output[0], self._scale_at(n)
            if at is not None:
                scale, zero = (self._constant(n, at + k) for k in (0, 1))
                if scale is not None and scale.size == 1:
                    kind = _kind_of(n, zero)
                    z = 0 if zero is None else int(np.asarray(zero, np.int64).ravel()[0])
                    s = float(np.float32(scale.ravel()[0]))
                    points[out] = codes[out] = Point(
                        out, n.name, n.op, s, z, kind, far.sources, far.between, far.steps, far.free, far.picked,
                    )  # fmt: skip
                    behind[out] = Behind(frozenset([out]))
                    continue
            of = codes.get(n.proto.input[0]) if n.op in _MOVES and n.op != "DequantizeLinear" else None
            if of is not None and n.op in _CLAMPS:  # integers of their own
                points[out] = codes[out] = replace(
                    of, value=out, node=n.name, op=n.op, sources=far.sources, between=far.between,
                    steps=frozenset([n.name]), picked=True,
                )  # fmt: skip
                behind[out] = Behind(frozenset([out]))
                continue
            if of is not None:
                codes.update(dict.fromkeys(n.proto.output, of))
            behind.update(dict.fromkeys(n.proto.output, far))
        self.behind = {o: behind[o] for o in self.outputs if o in behind}
        return points

    def _joins_floats(self, n: _Node) -> bool:
        """Many constants in float are among the values that a node moves or compares."""
        constants = [self._constant(n, i) for i in range(len(n.proto.input))]
        return n.op not in ("DequantizeLinear", "Resize", "Upsample") and any(
            c is not None and c.dtype.kind == "f" and c.size > 1 for c in constants
        )

    def _has_float_weights(self, n: _Node) -> bool:
        """A node that computes with many constants that no DequantizeLinear makes, a layer's bias apart; or whose
        weights have a scale for each slice of another axis than the outputs'."""
        if (n.op in (*_MOVES, "Resize", "Upsample") and n.op not in ("Max", "Min")) or n.op.startswith(_ROUNDS):
            return False
        layer = n.op in ("Conv", "ConvTranspose", "Gemm")
        names = n.proto.input[: 2 if layer else 9]
        constants = [self._constant(n, i) for i in range(len(names))]
        if any(c is not None and c.dtype.kind == "f" and c.size > 1 for c in constants):
            return True
        turned = bool(int(n.attrs.get("transB", 0)))
        outs = {"Conv": (0, 0), "ConvTranspose": (1, 1), "Gemm": (0, 0 if turned else 1), "MatMul": (-2, -1)}.get(n.op)
        return outs is not None and any(
            name in self._scale_axes and at % len(self._scale_axes[name][1]) != self._scale_axes[name][0]
            for name, at in zip(names, outs, strict=False)
        )

    def _find_scale_axes(self) -> dict[str, tuple[int, tuple[int, ...]]]:
        """Constants with several scales, by the name of the value: the axis that has them, and the shape."""
        found = {}
        shapes = {name: value.a.shape for name, value in self._constants.items()}
        for n in self._nodes:
            shape = shapes.get(n.proto.input[0]) if n.op in ("QuantizeLinear", "DequantizeLinear") else None
            if shape is None:
                continue
            shapes[n.proto.output[0]] = shape
            scale = self._constant(n, 1)
            if n.op == "DequantizeLinear" and scale is not None and scale.size > 1 and shape:
                found[n.proto.output[0]] = (int(n.attrs.get("axis", 1)) % len(shape), shape)
        return found

    def _constant(self, n: _Node, i: int) -> Array | None:
        name = n.proto.input[i] if i < len(n.proto.input) else ""
        return self._constants[name].a if name in self._constants else None

    @staticmethod
    def _scale_at(n: _Node) -> int | None:
        """The input at which a rounding node names its output's scale; None: it does not round."""
        if not n.op.startswith(_ROUNDS):
            return None
        at = {"QuantizeLinear": 1, "QLinearConv": 6, "QLinearMatMul": 6, "QGemm": 7, "QLinearAdd": 6, "QLinearMul": 6,
              "QLinearConcat": 0}.get(n.op, 3)  # fmt: skip
        return at if at < len(n.proto.input) and n.proto.input[at] else None

    def run(self, feeds: Mapping[str, Array], given: Mapping[str, Array] | None = None) -> Run:
        """Evaluate; each feed (samples, *ONNX shape). Where `given` has the integers of a point, they take the place of
        those computed, so that one layer's rounding does not reach the next. Raises Unreadable for a node without
        rule."""
        run = Run()
        values: dict[str, _Value] = dict(self._constants)
        for name in self.inputs:
            x = feeds[name]
            values[name] = _Value(x if x.dtype.kind in "iu" else x.astype(np.float64), True)
        last = {i: k for k, n in enumerate(self._nodes) for i in n.proto.input}
        for k, n in enumerate(self._nodes):
            ins = [values[i] if i else None for i in n.proto.input]
            try:
                results = self._node(k, n, ins, run, given or {})
            except (Unreadable, ModelError, LookupError, ValueError, TypeError) as e:
                raise Unreadable(f'{n.op} "{n.name}": {e}') from e
            values.update(zip(n.proto.output, results, strict=False))
            for i in n.proto.input:
                if i and last[i] == k and i not in self.outputs and i in values and values[i].live:
                    del values[i]
        run.outputs = {o: values[o].a for o in self.outputs}
        return run

    def _node(self, k: int, n: _Node, ins: _Ins, run: Run, given: Mapping[str, Array]) -> list[_Value]:
        if n.op == "DequantizeLinear":
            q = _need(ins[0])
            axis, block = int(n.attrs.get("axis", 1)), int(n.attrs.get("block_size", 0))
            return [_dequantise(q, _array(_known(ins, 1)), _known(ins, 2), axis, block)]
        if not any(v is not None and v.live for v in ins) and n.op != "QuantizeLinear":
            return self._folded(k, n, ins)
        at, x = self._scale_at(n), None
        axis, block = int(n.attrs.get("axis", 1)), int(n.attrs.get("block_size", 0))
        if n.op == "QuantizeLinear":
            x = _need(ins[0])
        elif n.op.startswith(_ROUNDS):
            x, at, _ = _qlinear(n, ins)
        if x is None:
            rule = RULES.get(n.op) if n.proto.domain in ("", "ai.onnx") else None
            if rule is None or "has_subgraph" in n.attrs:
                return self._by_runtime(k, n, ins)
            try:
                found_values = rule(n, ins)
            except Unreadable:
                return self._by_runtime(k, n, ins)
            return self._clamped(n, found_values[0], run, given) if n.proto.output[0] in self.points else found_values
        if at is None or at >= len(n.proto.input) or not n.proto.input[at]:
            return [x]  # QGemm without an output scale gives numbers
        zero = _known(ins, at + 1)
        found = _round(x, _array(_known(ins, at)), zero, _kind_of(n, zero), axis, block)
        out = n.proto.output[0]
        if not x.live:
            return [_Value(found.codes, False)]
        run.rounded[out] = self._again(out, found, run)
        return [_Value(given.get(out, found.codes), True)]

    def _again(self, out: str, found: Rounded, run: Run) -> Rounded:
        """Integers rounded to the same scale once more (a Relu between): as near to a tie as they were before."""
        p = self.points.get(out)
        if p is None or p.steps or len(p.sources) != 1:
            return found
        before = self.points[next(iter(p.sources))]
        r = run.rounded.get(before.value)
        alike = (before.scale, before.zero_point, before.kind) == (p.scale, p.zero_point, p.kind)
        if r is None or not alike or r.codes.shape != found.codes.shape:
            return found
        near = np.abs(found.codes.astype(np.int32) - r.codes) <= 1
        return Rounded(found.codes, np.where(near, np.minimum(found.distance, r.distance), found.distance))

    def _clamped(self, n: _Node, y: _Value, run: Run, given: Mapping[str, Array]) -> list[_Value]:
        """Integers after a clamp: where it left them alone, as near to a tie as before."""
        out, before = n.proto.output[0], run.rounded.get(n.proto.input[0])
        distance = np.full(y.a.shape, 0.5, np.float32)
        if before is not None:
            distance = np.where(before.codes == y.a, before.distance, distance)
        run.rounded[out] = Rounded(y.a, distance)
        return [_Value(given.get(out, y.a), True)]

    def _folded(self, k: int, n: _Node, ins: _Ins) -> list[_Value]:
        """A node of constants alone, once for all."""
        arrays = [None if v is None else v.a for v in ins]
        kept = [np.asarray(a, np.float32) if a is not None and a.dtype == np.float64 else a for a in arrays]
        found = self._session(k, n, kept).run(self._distinct(n, kept))
        return [_Value(a.astype(np.float64) if a.dtype == np.float32 else a, False) for a in found]

    def _by_runtime(self, k: int, n: _Node, ins: _Ins) -> list[_Value]:
        """A node without a rule, sample by sample, in onnxruntime's float32."""
        if "has_subgraph" in n.attrs:
            raise Unreadable("a subgraph")
        count = next(len(v.a) for v in ins if v is not None and v.live)
        rows = []
        for i in range(count):
            arrays = [None if v is None else (v.a[i] if v.live else v.a) for v in ins]
            kept = [a.astype(np.float32) if a is not None and a.dtype == np.float64 else a for a in arrays]
            rows.append(self._session(k, n, kept).run(self._distinct(n, kept)))
        self.stand_ins.add(n.op)
        results = []
        for parts in zip(*rows, strict=True):
            y = np.stack(parts)
            real = y.dtype == np.float32
            y = y.astype(np.float64) if real else y
            results.append(_Value(y, True, FLOAT32 * float(np.max(np.abs(y), initial=0.0)) if real else 0.0))
        return results

    @staticmethod
    def _distinct(n: _Node, arrays: Sequence[Array | None]) -> list[Array]:
        """An input that is read twice is fed once."""
        by_name = dict(zip(n.proto.input, arrays, strict=True))
        return [a for a in by_name.values() if a is not None]

    def _session(self, k: int, n: _Node, arrays: Sequence[Array | None]) -> FloatModel:
        if k not in self._sessions:
            inputs = [
                helper.make_tensor_value_info(name, _elements(a.dtype.name), a.shape)
                for name, a in zip(n.proto.input, arrays, strict=True)
                if a is not None
            ]
            seen = {i.name: i for i in inputs}
            outputs = [helper.make_empty_tensor_value_info(o) for o in n.proto.output]
            graph = helper.make_graph([n.proto], "node", list(seen.values()), outputs)
            model = helper.make_model(graph, opset_imports=list(self._model.opset_import))
            model.ir_version = self._model.ir_version
            self._sessions[k] = FloatModel(model.SerializeToString())
        return self._sessions[k]
