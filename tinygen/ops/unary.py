"""Any function of one value: a table of 256 entries in C; for int16 one of 513, with lines between. NUMERICS 2 and 8.

The function is an expression: "x", a number, or a tuple (function name, argument, ...). Chains of element-wise nodes
with scalar constants (hard-swish, GELU by Erf, x * sigmoid(x)) become one expression, so one table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygen.ir.types import Quant, Tensor
from tinygen.numerics import Array, int_type
from tinygen.ops import access
from tinygen.ops.access import Access
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
    int_range,
    is_wide,
    kernel_of,
    need_quant,
)
from tinygen.ops.interval import Interval

#: Steps of int16 from entry to entry of a table, as a power of two.
STEP_BITS = 7
#: A table for int16 with an error above this, in steps, is no better than one for int8: half a step of that.
COARSE = 128
#: ONNX's numbers of the types.
_FLOAT, _BOOL = 1, 9

Expr = str | float | tuple[Any, ...]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    y: Array = 1.0 / (1.0 + np.exp(-np.clip(x, -700, 700)))
    return y


def _softplus(x: Array) -> Array:
    return np.logaddexp(0.0, x)


def _where(condition: Array, a: Array, b: Array) -> Array:
    y: Array = np.where(condition != 0.0, a, b)
    return y


#: Function name: numpy meaning in float64. Names are ONNX's, so `to_onnx` writes them as they are.
FUNCTIONS: dict[str, Callable[..., Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Max": np.maximum,
    "Min": np.minimum,
    "Abs": np.abs,
    "Neg": np.negative,
    "Exp": lambda x: np.exp(np.minimum(x, 700.0)),
    "Log": np.log,
    "Sqrt": np.sqrt,
    "Reciprocal": lambda x: 1.0 / x,
    "Erf": _erf,
    "Tanh": np.tanh,
    "Sin": np.sin,
    "Cos": np.cos,
    "Tan": np.tan,
    "Atan": np.arctan,
    "Asin": np.arcsin,
    "Acos": np.arccos,
    "Sinh": np.sinh,
    "Cosh": np.cosh,
    "Asinh": np.arcsinh,
    "Acosh": np.arccosh,
    "Atanh": np.arctanh,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.rint,
    "Sign": np.sign,
    "Sigmoid": _sigmoid,
    "Softplus": _softplus,
    "Softsign": lambda x: x / (1.0 + np.abs(x)),
    "Relu": lambda x: np.maximum(x, 0.0),
    "Greater": lambda a, b: (a > b).astype(np.float64),
    "GreaterOrEqual": lambda a, b: (a >= b).astype(np.float64),
    "Less": lambda a, b: (a < b).astype(np.float64),
    "LessOrEqual": lambda a, b: (a <= b).astype(np.float64),
    "Equal": lambda a, b: (a == b).astype(np.float64),
    "Where": _where,
}

#: Those that say 1 for true and 0 for false.
COMPARISONS = ("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal")
#: Functions with jumps or poles.
STEPS = {"Floor", "Ceil", "Round", "Sign", "Reciprocal", "Div", "Tan", "Log", "Pow", "Where", *COMPARISONS}


def evaluate(expr: Expr, x: Array) -> Array:
    """The expression at x, in float64."""
    if isinstance(expr, str):
        return x
    if isinstance(expr, int | float):
        return np.full_like(x, float(expr))
    with np.errstate(all="ignore"):
        return FUNCTIONS[expr[0]](*(evaluate(e, x) for e in expr[1:]))


def is_truth(expr: Expr) -> bool:
    """Is its value 1 or 0, a comparison or what logic makes of comparisons?"""
    if not isinstance(expr, tuple):
        return False
    if expr[0] in ("Min", "Max"):
        return all(is_truth(e) for e in expr[1:])
    if expr[0] == "Sub" and expr[1] == 1.0:
        return is_truth(expr[2])
    if expr[0] == "Abs":
        return isinstance(expr[1], tuple) and expr[1][0] == "Sub" and all(is_truth(e) for e in expr[1][1:])
    return expr[0] in COMPARISONS


def _slope(expr: Expr) -> float | None:
    """The factor of x, where the expression is a multiple of x."""
    if isinstance(expr, tuple) and expr[0] == "Mul" and "x" in expr[1:]:
        return next((e for e in expr[1:] if isinstance(e, float)), None)
    return None


def choice(condition: Expr, a: Expr, b: Expr) -> Expr:
    """a where the condition is true, b elsewhere. Where the pieces of x meet at the limit it is a clamp or a leaky
    clamp, and said as such: that does not jump, and layers have it for nothing."""
    if isinstance(condition, tuple) and condition[1] == "x" and isinstance(condition[2], float):
        limit = condition[2]
        below, above = (a, b) if condition[0].startswith("Less") else (b, a)
        if condition[0] != "Equal":
            if below == limit and above == "x":
                return ("Max", "x", limit)
            if below == "x" and above == limit:
                return ("Min", "x", limit)
            slope = _slope(below)
            if limit == 0.0 and above == "x" and slope is not None:
                return ("Max" if slope <= 1.0 else "Min", "x", below)
    return ("Where", condition, a, b)


def substitute(outer: Expr, inner: Expr) -> Expr:
    """outer(inner(x))."""
    if isinstance(outer, str):
        return inner
    if isinstance(outer, tuple):
        return (outer[0], *(substitute(e, inner) for e in outer[1:]))
    return outer


def is_longer(expr: Expr, most: int) -> bool:
    """Has the expression, written out, more than `most` functions and arguments?"""
    count, waiting = 0, [expr]
    while waiting and count <= most:
        e = waiting.pop()
        count += 1
        if isinstance(e, tuple):
            waiting.extend(e[1:])
    return count > most


def clip_expr(lo: float, hi: float) -> Expr:
    """Clamp to [lo, hi]; infinite bounds are left out."""
    expr: Expr = "x"
    if lo != -math.inf:
        expr = ("Max", expr, lo)
    if hi != math.inf:
        expr = ("Min", expr, hi)
    return expr


def clamp_of(expr: Expr) -> tuple[float, float] | None:
    """(lo, hi) when the expression is nested Max and Min of x with numbers, else None."""
    if expr == "x":
        return -math.inf, math.inf
    if not (isinstance(expr, tuple) and expr[0] in ("Max", "Min") and len(expr) == 3):
        return None
    numbers = [e for e in expr[1:] if isinstance(e, int | float)]
    inner = [e for e in expr[1:] if not isinstance(e, int | float)]
    if len(numbers) != 1 or len(inner) != 1:
        return None
    below = clamp_of(inner[0])
    if below is None:
        return None
    edge = float(numbers[0])
    pick = max if expr[0] == "Max" else min
    return pick(below[0], edge), pick(below[1], edge)


def peel(expr: Expr) -> tuple[Expr, tuple[float, float]]:
    """(inner, (lo, hi)): a function as the clamp of another, the outermost Max and Min with numbers taken off."""
    lo, hi = -math.inf, math.inf
    while isinstance(expr, tuple) and expr[0] in ("Max", "Min") and len(expr) == 3:
        numbers = [float(e) for e in expr[1:] if isinstance(e, int | float)]
        if len(numbers) != 1:
            break
        if expr[0] == "Max":
            lo = max(lo, min(numbers[0], hi))
        else:
            hi = min(hi, max(numbers[0], lo))
        expr = next(e for e in expr[1:] if not isinstance(e, int | float))
    return expr, (lo, hi)


def keeps_grid(lo: float, hi: float, q: Quant) -> bool:
    """Does clamping to [lo, hi] map values on the grid of `q` to values on it, so that it may be done before rounding
    as well as behind it?"""
    ends = ((v / q.s + q.zero_point) for v in (lo, hi) if math.isfinite(v))
    return all(not q.low < at < q.high or abs(at - round(at)) < 1e-4 for at in ends)


def interpolate(table: Array, x: Array) -> Array:
    """The int16 output for each int16 input: the line between the table's entries on either side."""
    at = x.astype(np.int32) + 2**15
    i, rest = at >> STEP_BITS, at & (2**STEP_BITS - 1)
    t = table.astype(np.int32)
    half = 1 << (STEP_BITS - 1)
    y: Array = (t[i] + (((t[i + 1] - t[i]) * rest + half) >> STEP_BITS)).astype(np.int16)
    return y


@dataclass(frozen=True)
class Unary(Operator):
    """y = expr(x); `label` is the word for comments ("hardswish"). An expression of "x" alone changes the scale."""

    expr: Expr
    label: str = "table"
    int16 = True

    @property
    def title(self) -> str:
        return self.label

    @property
    def has_steps(self) -> bool:
        """Does the function jump, so that the last bit of its argument may decide?"""

        def jumps(e: Expr) -> bool:
            return isinstance(e, tuple) and (e[0] in STEPS or any(jumps(a) for a in e[1:]))

        return jumps(self.expr)

    @property
    def is_truth(self) -> bool:
        """Is its value 1 or 0? Then both must be representable, whichever calibration has seen."""
        return is_truth(self.expr)

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        return (shapes[0],)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        x = names[0]

        def write(e: Expr) -> str:
            if isinstance(e, str):
                return x
            if isinstance(e, int | float):
                return b.const(np.array(e, np.float32))
            args = [write(a) for a in e[1:]]
            if e[0] == "Where":
                args[0] = b.op("Cast", args[:1], to=_BOOL)
            y = b.op(e[0], args)
            return b.op("Cast", [y], to=_FLOAT) if e[0] in COMPARISONS else y

        return (b.op("Identity", [x]) if isinstance(self.expr, str) else write(self.expr),)

    def table(self, x: Tensor, out: Tensor) -> Array:
        """The output for each int8 input, index q + 128; for int16 that of every 128th, index (q + 32768) / 128, up to
        32768. The zero point where the function is not defined."""
        if is_wide(x):
            return self.values(x, out, np.arange(-(2**15), 2**15 + 1, 2**STEP_BITS))
        return self.values(x, out, np.arange(-128, 128))

    def values(self, x: Tensor, out: Tensor, q: Array) -> Array:
        """The output's integers for integers of x, by the function itself."""
        s_x, z_x = need_quant(x)
        s_y, z_y = need_quant(out)
        real = evaluate(self.expr, s_x * (q.astype(np.float64) - z_x))
        steps = np.nan_to_num(real / s_y, nan=0.0, posinf=1e9, neginf=-1e9)
        values: Array = np.clip(np.rint(steps) + z_y, *int_range(out)).astype(int_type(bits_of(out)))
        return values

    def is_coarse(self, x: Tensor, out: Tensor) -> bool:
        """Do the lines between the entries of an int16 table miss the function by more than COARSE steps?"""
        q = np.arange(-(2**15), 2**15)
        error = interpolate(self.table(x, out), q).astype(np.int32) - self.values(x, out, q)
        return bool(np.abs(error).max() > COARSE)

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        (out,) = outs
        return Lowered(self, (ins[0].name, Tensor.constant(f"{out.name}_table", self.table(ins[0], out))))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        x, table = arrays
        return (interpolate(table, x) if is_wide(ins[0]) else table[x.astype(np.int16) + 128],)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        x, table = ins
        const = ConstArg("table", table.array)
        call = Call(kernel_of("tg_lut", x), config(n=out.size), (x.name,), (const,), out.name, in_place=(x.name,))
        return (call,)

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        return ((access.same(len(ins[0].shape)), *(None for _ in ins[1:])),)

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        return self

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        """The least and the largest entry of the table that can be read."""
        table = ins[1].array.astype(np.int64)
        x = ranges[0].minus(int_range(ins[0])[0])
        if is_wide(ins[0]):  # lines between the entries on either side
            x = Interval(x.lo >> STEP_BITS, -(-x.hi >> STEP_BITS))
        pairs, index = np.unique(np.stack([x.lo, x.hi]), axis=1, return_inverse=True)
        cuts = [table[lo : hi + 1] for lo, hi in pairs.T]
        found = Interval(np.array([c.min() for c in cuts]), np.array([c.max() for c in cuts]))
        return (found.at(index.reshape(-1)),)

    def own_values(self, ins: Sequence[Tensor], output: int = 0) -> tuple[float, ...]:
        return (1.0,) if self.is_truth else ()

    def error(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> float:
        """Of an int16 table with lines between its entries, over all inputs."""
        x, out = ins[0], outs[0]
        if self.expr == "x" or not is_wide(x):
            return 0.5
        q = np.arange(-(2**15), 2**15)
        (s_x, _), (s_y, z_y) = need_quant(x), need_quant(out)
        with np.errstate(all="ignore"):
            exact = np.nan_to_num(evaluate(self.expr, s_x * q.astype(np.float64)) / s_y, nan=0.0)
        exact = np.clip(exact + z_y, -(2**15), 2**15 - 1)
        return float(np.abs(interpolate(self.table(x, out), q) - exact).max())

    @property
    def is_identity(self) -> bool:
        return self.expr == "x"

    @property
    def clamps(self) -> tuple[float, float] | None:
        return clamp_of(self.expr)

    def hands_on(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> int | None:
        if any(bits_of(t) != 8 for t in (ins[0], *outs)):
            return None
        codes = np.arange(ranges[0].lo.min(), ranges[0].hi.max() + 1)
        return 0 if np.array_equal(ins[1].array[codes + 128], codes) else None

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        hard = ("Mul", "x", ("Min", ("Max", ("Add", ("Mul", "x", 1 / 6), 0.5), 0.0), 1.0))
        return (
            Case("tanh", cls(("Tanh", "x"), "tanh"), ((1, 11),)),
            Case("sigmoid", cls(("Sigmoid", "x"), "sigmoid"), ((1, 3, 4, 5),)),
            Case("hardswish", cls(hard, "hardswish"), ((1, 8),)),
            Case(
                "gelu", cls(("Mul", ("Mul", "x", 0.5), ("Add", ("Erf", ("Div", "x", 2**0.5)), 1.0)), "gelu"), ((1, 8),)
            ),
            Case("relu6", cls(clip_expr(0.0, 6.0), "relu6"), ((1, 8),)),
            Case("where", cls(("Where", ("Less", "x", 0.5), "x", ("Sub", ("Mul", "x", 2.0), 0.5)), "where"), ((1, 9),)),
        )
