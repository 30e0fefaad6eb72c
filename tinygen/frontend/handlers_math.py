"""Arithmetic: element-wise functions, dense layers, reductions, softmax and its relatives."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tinygen.frontend.context import FLOAT_TYPES, Act, Builder, Handler, Known, Result, Unsupported, Value, View
from tinygen.frontend.mask import additive_mask
from tinygen.frontend.weights import in_int8, weight_quant
from tinygen.ir.types import Tensor
from tinygen.numerics import Array
from tinygen.ops import (
    Add,
    ArgMax,
    Dense,
    Div,
    Extreme,
    LogSoftmax,
    LogSumExp,
    MatMul,
    Mul,
    PRelu,
    ReduceExtreme,
    ReduceL2,
    ReduceSum,
    Softmax,
    Unary,
)
from tinygen.ops.base import Operator, Shape
from tinygen.ops.reduce import block, reduced_shape
from tinygen.ops.softmax import MAX_AXIS
from tinygen.ops.unary import Expr, clip_expr, substitute

# Functions of one value -----------------------------------------------------------------------------------------------


def _add(a: Expr, c: Expr) -> Expr:
    return ("Add", a, c)


def _mul(a: Expr, c: Expr) -> Expr:
    return ("Mul", a, c)


_NEGATIVE: Expr = ("Min", "x", 0.0)
_POSITIVE: Expr = ("Max", "x", 0.0)


def leaky(slope: float) -> Expr:
    """x for x > 0, slope * x below."""
    return ("Max" if slope <= 1.0 else "Min", "x", _mul("x", slope))


def _elu(alpha: float, inner: float = 1.0) -> Expr:
    """x above 0, alpha * (exp(x / inner) - 1) below."""
    arg: Expr = _NEGATIVE if inner == 1.0 else ("Div", _NEGATIVE, inner)
    return _add(_POSITIVE, _mul(("Sub", ("Exp", arg), 1.0), alpha))


def _hard_sigmoid(alpha: float, beta: float) -> Expr:
    return ("Min", ("Max", _add(_mul("x", alpha), beta), 0.0), 1.0)


def _gelu(n: View) -> Expr:
    if n.text("approximate", "none") == "tanh":
        cubed = _add("x", _mul(("Pow", "x", 3.0), 0.044715))
        inner: Expr = ("Tanh", _mul(cubed, math.sqrt(2 / math.pi)))
    else:
        inner = ("Erf", ("Div", "x", math.sqrt(2.0)))
    return _mul(_mul("x", 0.5), _add(inner, 1.0))


def _above(limit: float) -> Expr:
    """1 for x > limit, otherwise 0."""
    return ("Max", ("Sign", ("Sub", "x", limit)), 0.0)


def _below(limit: float) -> Expr:
    return ("Max", ("Sign", ("Sub", limit, "x")), 0.0)


def _shrink(n: View) -> Expr:
    lambd, bias = n.real("lambd", 0.5), n.real("bias", 0.0)
    return _add(_mul(("Sub", "x", bias), _above(lambd)), _mul(_add("x", bias), _below(-lambd)))


#: ONNX operator to its expression. The attribute defaults are those of the ONNX specification.
FUNCTIONS_OF_ONE: dict[str, Callable[[View], Expr]] = {
    "Relu": lambda n: clip_expr(0.0, math.inf),
    "LeakyRelu": lambda n: leaky(n.real("alpha", 0.01)),
    "Elu": lambda n: _elu(n.real("alpha", 1.0)),
    "Celu": lambda n: _elu(n.real("alpha", 1.0), n.real("alpha", 1.0)),
    "Selu": lambda n: _mul(_elu(n.real("alpha", 1.6732632423543772)), n.real("gamma", 1.0507009873554805)),
    "HardSigmoid": lambda n: _hard_sigmoid(n.real("alpha", 0.2), n.real("beta", 0.5)),
    "HardSwish": lambda n: _mul("x", _hard_sigmoid(1 / 6, 0.5)),
    "Gelu": _gelu,
    "Mish": lambda n: _mul("x", ("Tanh", ("Softplus", "x"))),
    "Swish": lambda n: _mul("x", ("Sigmoid", _mul("x", n.real("alpha", 1.0)))),
    "ThresholdedRelu": lambda n: _mul("x", _above(n.real("alpha", 1.0))),
    "Shrink": _shrink,
}
#: Those that are a primitive of the expression by themselves.
PRIMITIVES = (
    "Sigmoid", "Tanh", "Erf", "Softplus", "Softsign", "Exp", "Log", "Sqrt", "Abs", "Neg", "Reciprocal", "Sign",
    "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Round", "Floor", "Ceil",
)  # fmt: skip


def unary(b: Builder, n: View) -> Result:
    make = FUNCTIONS_OF_ONE.get(n.op_type)
    return b.emit(Unary(make(n) if make else (n.op_type, "x"), n.op_type.lower()), n.act())


def clip(b: Builder, n: View) -> Result:
    lo, hi = n.scalar(1, "min"), n.scalar(2, "max")
    # The largest float32 is how some exporters write "no bound".
    low = -math.inf if lo is None or lo <= -3.4e38 else lo
    high = math.inf if hi is None or hi >= 3.4e38 else hi
    expr = clip_expr(low, high)
    return n.act() if expr == "x" else b.emit(Unary(expr, "clip"), n.act())


def scalar_of(value: object) -> float | None:
    """The number, when an operand is a constant of one element."""
    if isinstance(value, Known) and value.array.size == 1:
        return float(value.array.reshape(-1)[0])
    return None


def apply(b: Builder, expr: Expr, label: str, x: Tensor, like: object) -> Tensor:
    """A Unary on x; a constant operand `like` of higher rank (1, 1, ...) raises the rank of the result as in ONNX."""
    y = b.emit(Unary(expr, label), x)
    rank = like.array.ndim if isinstance(like, Known) else 0
    return b.reshape(y, (1,) * (rank - len(x.shape)) + x.shape) if rank > len(x.shape) else y


def power(b: Builder, n: View) -> Result:
    base, exponent = scalar_of(n.ins[0]), scalar_of(n.ins[1])
    if exponent is not None:
        return n.act() if exponent == 1.0 else apply(b, ("Pow", "x", exponent), "pow", n.act(), n.ins[1])
    if base is not None:
        return apply(b, ("Pow", base, "x"), "pow", n.act(1), n.ins[0])
    raise Unsupported("base or exponent must be a constant of one value", "Use multiplications for other powers.")


# Two operands ---------------------------------------------------------------------------------------------------------


def _operands(b: Builder, n: View) -> tuple[Tensor, Tensor]:
    return b.tensor(n.ins[0], f"{n.name}/a"), b.tensor(n.ins[1], f"{n.name}/b")


def add(b: Builder, n: View) -> Result:
    return additive_mask(b, n) or b.emit(Add(), *_operands(b, n))


def sub(b: Builder, n: View) -> Result:
    first = n.ins[0]
    if first is n.ins[1] and isinstance(first, Act) and first.elem not in FLOAT_TYPES:
        return Known(np.zeros(n.act().shape, np.float32))  # as function bodies write zeros of an index's type
    return b.emit(Add(-1), *_operands(b, n))


def mul(b: Builder, n: View) -> Result:
    return b.emit(Mul(), *_operands(b, n))


def div(b: Builder, n: View) -> Result:
    if any(isinstance(v, Act) and v.elem.startswith(("int", "uint")) for v in n.ins):
        raise Unsupported("division of integers", "Cast to float before.")
    if isinstance(n.ins[1], Known):
        d = n.ins[1]
        if not np.all(d.array):
            raise Unsupported("division by a constant that holds zeros")
        with np.errstate(all="ignore"):
            inverse = 1.0 / d.array.astype(np.float64)
        return b.emit(Mul(), n.act(), b.const(inverse, f"{d.name or n.name}/inverse"))
    c = scalar_of(n.ins[0])
    if c is not None:
        return apply(b, ("Div", c, "x"), "div", n.act(1), n.ins[0])
    if isinstance(n.ins[0], Known):
        inverse_x = b.emit(Unary(("Reciprocal", "x"), "reciprocal"), n.act(1))
        return b.emit(Mul(), b.const(n.ins[0], f"{n.name}/a"), inverse_x)
    return b.emit(Div(), n.act(), n.act(1))


def fold_operands(b: Builder, values: Sequence[object], step: Callable[[Tensor, Tensor], Tensor], hint: str) -> Tensor:
    """((v0 . v1) . v2)..."""
    tensors = [b.tensor(v, hint) for v in values]  # type: ignore[arg-type]
    total = tensors[0]
    for t in tensors[1:]:
        total = step(total, t)
    return total


def _constants_last(values: Sequence[Value], pick: Callable[[Array, Array], Array]) -> list[Value]:
    """The activations, then all constants as one: no operator may be left with constants only."""
    constants = [v for v in values if isinstance(v, Known)]
    if len(constants) > 1:
        try:
            constants = [Known(functools.reduce(pick, (k.array for k in constants)))]
        except ValueError as e:
            raise Unsupported(str(e)) from e
    return [*(v for v in values if isinstance(v, Act)), *constants]


def total(b: Builder, n: View) -> Result:
    """Sum and Mean of any number of tensors."""
    values = _constants_last([v for v in n.ins if v is not None], np.add)
    y = fold_operands(b, values, lambda a, c: b.emit(Add(), a, c), f"{n.name}/operand")
    if n.op_type == "Mean" and len(n.ins) > 1:
        y = b.emit(Mul(), y, b.const(np.array(1.0 / len(n.ins)), f"{n.name}/share"))
    return y


def extreme(b: Builder, n: View) -> Result:
    """Max and Min of any number of tensors. Against a number a clamp."""
    largest = n.op_type == "Max"
    values = [v for v in n.ins if v is not None]
    numbers = [v for v in values if scalar_of(v) is not None]
    others = _constants_last([v for v in values if scalar_of(v) is None], np.maximum if largest else np.minimum)
    y = fold_operands(b, others, lambda p, q: b.emit(Extreme(largest), p, q), f"{n.name}/operand")
    for v in numbers:
        c = scalar_of(v)
        assert c is not None
        expr = clip_expr(c, math.inf) if largest else clip_expr(-math.inf, c)
        y = apply(b, expr, "clip", y, v)
    return y


def prelu(b: Builder, n: View) -> Result:
    x = n.act()
    slope = scalar_of(n.ins[1])
    if slope is not None:
        return b.emit(Unary(leaky(slope), "prelu"), x)
    if isinstance(n.ins[1], Known):
        s = n.ins[1].array
        full = (1,) * (len(x.shape) - s.ndim) + s.shape
        axes = [i for i, d in enumerate(full) if d != 1]
        if len(axes) == 1 and full[axes[0]] == x.shape[axes[0]]:
            order = [i for i in range(len(x.shape)) if i != axes[0]] + axes
            y = b.emit(PRelu(), b.transpose(x, order), b.const(s.reshape(-1), n.ins[1].name))
            return b.transpose(y, np.argsort(order).tolist())
    # Slopes of another shape: relu(x) + slope * min(x, 0).
    below = b.emit(Unary(_NEGATIVE, "prelu"), x)
    above = b.emit(Unary(_POSITIVE, "prelu"), x)
    return b.emit(Add(), above, b.emit(Mul(), below, b.tensor(n.ins[1], f"{n.name}/slope")))


# Dense layers ---------------------------------------------------------------------------------------------------------


def _dense(b: Builder, n: View, x: Tensor, w: Known, array: Array, axis: int, bias: Tensor | None) -> Tensor:
    """x (..., K) by `array` (M, K), whose outputs are axis `axis` of the ONNX constant `w`."""
    m, name = array.shape[0], w.name or f"{n.name}/weights"
    quant = weight_quant(b, w, m, axis)
    x, array = in_int8(b, x, name, array, quant)
    weights = b.const(np.ascontiguousarray(array), name, quant)
    return b.emit(Dense(), x, weights, b.const(np.zeros(m, np.float32), "zeros") if bias is None else bias)


def gemm(b: Builder, n: View) -> Result:
    alpha, beta = n.real("alpha", 1.0), n.real("beta", 1.0)
    if not n.is_known(0) and not n.is_known(1):
        return _gemm_of_two(b, n, alpha, beta)
    if n.is_known(0) and n.is_known(1):  # only C is computed
        left, right = (n.array(i, c).T if n.integer(f"trans{c}", 0) else n.array(i, c) for i, c in ((0, "A"), (1, "B")))
        return _plus_c(b, n, b.const(np.float32(alpha) * (left @ right), f"{n.name}/product"), n.ins[2], beta)
    if isinstance(n.ins[1], Known):
        x, w, m_axis = n.act(), n.ins[1], 0 if n.integer("transB", 0) else 1
        x = b.transpose(x, (1, 0)) if n.integer("transA", 0) else x
    else:  # A x = (x' A')'
        x, w, m_axis = n.act(1), n.known(0, "A"), 1 if n.integer("transA", 0) else 0
        x = x if n.integer("transB", 0) else b.transpose(x, (1, 0))
    array = w.array if m_axis == 0 else w.array.T
    if alpha != 1.0:
        quant = None
        if w.quant is not None and alpha > 0:
            quant = replace(w.quant, scale=tuple(s * alpha for s in w.quant.scale))
        elif w.quant is not None:
            b.note(f'weights "{w.name}" are multiplied by alpha = {alpha:g}; quantised again')
        w = Known(w.array, f"{n.name}/weights", quant)
        array = array * np.float32(alpha)
    m = array.shape[0]
    swapped = not isinstance(n.ins[1], Known)
    c = n.ins[2] if n.has(2) and beta != 0.0 else None
    bias = None
    if isinstance(c, Known) and not swapped:
        full = c.array.reshape((1,) * (2 - c.array.ndim) + c.array.shape)
        if full.shape[0] == 1:
            values = np.broadcast_to(full[0] * np.float32(beta), (m,))
            bias, c = b.const(values, c.name if values.shape == c.array.shape and beta == 1 else f"{n.name}/bias"), None
    y = _dense(b, n, x, w, array, m_axis, bias)
    y = b.transpose(y, (1, 0)) if swapped else y
    return y if c is None else _plus_c(b, n, y, c, beta)


def _plus_c(b: Builder, n: View, y: Tensor, c: Value | None, beta: float) -> Tensor:
    """The product and beta times C."""
    if beta != 1.0:
        scaled = Known(c.array * np.float32(beta), f"{n.name}/bias") if isinstance(c, Known) else None
        c = scaled or Act(b.emit(Mul(), b.tensor(c), b.const(np.array(beta), f"{n.name}/beta")))
    return b.emit(Add(), y, b.tensor(c, f"{n.name}/bias"))


def _gemm_of_two(b: Builder, n: View, alpha: float, beta: float) -> Tensor:
    """A product of two activations."""
    a_perm, b_perm = ((1, 0) if n.integer(name, 0) else () for name in ("transA", "transB"))
    y = b.emit(MatMul(a_perm, b_perm), n.act(), n.act(1))
    y = y if alpha == 1.0 else b.emit(Mul(), y, b.const(np.array(alpha), f"{n.name}/alpha"))
    if not n.has(2) or beta == 0.0:
        return y
    c = b.tensor(n.ins[2], f"{n.name}/bias")
    c = c if beta == 1.0 else b.emit(Mul(), c, b.const(np.array(beta), f"{n.name}/beta"))
    return b.emit(Add(), y, c)


def _product(b: Builder, n: View) -> Tensor:
    """A product of two tensors of which none is the weights of a layer. A vector is a row, or a column."""
    left, right = (b.tensor(v, f"{n.name}/{c}") for v, c in zip(n.ins, "ab", strict=True))
    row, column = len(left.shape) == 1, len(right.shape) == 1
    left = b.reshape(left, (1, *left.shape)) if row else left
    right = b.reshape(right, (*right.shape, 1)) if column else right
    y = b.emit(MatMul(), left, right)
    shape = [*y.shape[:-2], *([] if row else [y.shape[-2]]), *([] if column else [y.shape[-1]])]
    return b.reshape(y, shape)


def _slices(v: Value | None) -> bool:
    """More than one matrix of numbers: no weights of a layer."""
    return isinstance(v, Known) and any(d != 1 for d in v.array.shape[:-2])


def matmul(b: Builder, n: View) -> Result:
    if not any(map(n.is_known, (0, 1))) or any(map(_slices, n.ins)):
        return _product(b, n)
    if isinstance(n.ins[1], Known):
        w, x = n.ins[1], n.act()
        a = w.array
        if a.ndim == 0:
            raise Unsupported("a constant factor of rank 0")
        flat = a.reshape(-1, 1) if a.ndim == 1 else a.reshape(a.shape[-2:])
        # Axes of the constant: the last holds the outputs; a vector has a single output.
        y = _dense(b, n, x, w, flat.T, a.ndim - 1 if a.ndim > 1 else -1, None)
        if a.ndim == 1:
            return b.reshape(y, y.shape[:-1])
        rank = max(len(x.shape), 2)
        return b.reshape(y, (*(1,) * (a.ndim - rank), *y.shape)) if a.ndim > rank else y
    w, x = n.known(0, "the first factor"), n.act(1)
    a = w.array
    if a.ndim == 0:
        raise Unsupported("a constant factor of rank 0")
    flat = a.reshape(1, -1) if a.ndim == 1 else a.reshape(a.shape[-2:])
    rank = len(x.shape)
    if rank == 1:  # matrix by vector
        y = _dense(b, n, x, w, flat, a.ndim - 2 if a.ndim > 1 else -1, None)
        return b.reshape(y, () if a.ndim == 1 else (*a.shape[:-2], len(flat)))
    swap = (*range(rank - 2), rank - 1, rank - 2)
    y = b.transpose(_dense(b, n, b.transpose(x, swap), w, flat, a.ndim - 2 if a.ndim > 1 else -1, None), swap)
    if a.ndim == 1:
        return b.reshape(y, (*y.shape[:-2], y.shape[-1]))
    return b.reshape(y, (*(1,) * (a.ndim - rank), *y.shape)) if a.ndim > rank else y


# Reductions -----------------------------------------------------------------------------------------------------------


def reduce_axes(n: View, rank: int) -> Shape | None:
    """Axes of a reduction, sorted, from the attribute or the input; None: nothing is reduced."""
    axes = n.ints("axes") if "axes" in n.attrs else (n.int_list(1, "the axes") or ())
    if not axes:
        return None if n.integer("noop_with_empty_axes", 0) else tuple(range(rank))
    if any(not -rank <= a < rank for a in axes):
        raise Unsupported(f"axes {axes} of a tensor of rank {rank}")
    return tuple(sorted({a % rank for a in axes}))


_SQUARE: Expr = ("Mul", "x", "x")
#: Sums of a function of each value, and the function of the sum.
_SUMS: dict[str, tuple[Expr, Expr]] = {
    "ReduceL1": (("Abs", "x"), "x"),
    "ReduceSumSquare": (_SQUARE, "x"),
    "ReduceLogSum": ("x", ("Log", "x")),
}


def sum_of(b: Builder, n: View) -> Result:
    x, (before, after) = n.act(), _SUMS[n.op_type]
    if reduce_axes(n, len(x.shape)) is None or not x.shape:  # nothing is reduced: of each value alone
        return b.emit(Unary(substitute(after, before), n.op_type.lower()), x)
    x = x if before == "x" else b.emit(Unary(before, n.op_type.lower()), x)
    y = _reduced(b, n, x)
    return y if after == "x" else b.emit(Unary(after, n.op_type.lower()), y)


def reduction(b: Builder, n: View) -> Result:
    return _reduced(b, n, n.act())


def _reduced(b: Builder, n: View, x: Tensor) -> Tensor:
    keep, axes = bool(n.integer("keepdims", 1)), reduce_axes(n, len(x.shape))
    if axes is None or not x.shape:
        return b.emit(Unary(("Abs", "x"), "length"), x) if n.op_type == "ReduceL2" else x
    if n.op_type == "ReduceLogSumExp":
        return _log_sum_exp(b, x, axes, keep)

    def op(over: Shape, keepdims: bool) -> Operator:
        if n.op_type in ("ReduceMax", "ReduceMin"):
            return ReduceExtreme(over, keepdims, n.op_type == "ReduceMax")
        if n.op_type == "ReduceL2":
            return ReduceL2(over, keepdims)
        return ReduceSum(over, keepdims, n.op_type == "ReduceMean")

    if block(x.shape, axes) is not None:
        return b.emit(op(axes, keep), x)
    # The reduced axes are not neighbours: bring them to the end.
    kept = [i for i in range(len(x.shape)) if i not in axes]
    y = b.emit(op(tuple(range(len(kept), len(x.shape))), False), b.transpose(x, (*kept, *axes)))
    return b.reshape(y, reduced_shape(x.shape, axes, keep))


def _log_sum_exp(b: Builder, x: Tensor, axes: Shape, keep: bool) -> Tensor:
    """Over the last axis of what the reduced ones are flattened to."""
    kept = [i for i in range(len(x.shape)) if i not in axes]
    length = int(np.prod([x.shape[i] for i in axes], dtype=np.int64))
    if length > MAX_AXIS:
        raise Unsupported(f"log-sum-exp over {length} values; at most {MAX_AXIS}", "Reduce fewer values at once.")
    rows = b.transpose(x, (*kept, *axes)) if [*kept, *axes] != list(range(len(x.shape))) else x
    y = b.emit(LogSumExp(), b.reshape(rows, (*(x.shape[i] for i in kept), length)))
    return b.reshape(y, reduced_shape(x.shape, axes, keep))


def _axis_last(b: Builder, x: Tensor, axis: int) -> tuple[Tensor, list[int]]:
    """x with `axis` moved to the end, and the permutation. Where only axes of length 1 are in the way, a Reshape."""
    order = [i for i in range(len(x.shape)) if i != axis] + [axis]
    if all(d == 1 for d in x.shape[axis + 1 :]):
        return b.reshape(x, tuple(x.shape[i] for i in order)), order
    return b.transpose(x, order), order


def _normal_axis(axis: int, rank: int) -> int:
    if not -rank <= axis < max(rank, 1):
        raise Unsupported(f"axis {axis} of a tensor of rank {rank}")
    return axis % rank


def softmax(b: Builder, n: View) -> Result:
    x = n.act()
    op = Softmax() if n.op_type == "Softmax" else LogSoftmax()
    if not x.shape:
        raise Unsupported("softmax of a scalar")
    axis = _normal_axis(n.integer("axis", -1 if n.version >= 13 else 1), len(x.shape)) if len(x.shape) > 1 else 0
    if n.version < 13:
        # Opset 12 and before: over all axes from `axis` on.
        rest = x.shape[axis:]
        if sum(d > 1 for d in rest) > 1:
            if int(np.prod(rest)) > MAX_AXIS:
                raise Unsupported(f"softmax over {rest}; at most {MAX_AXIS} values", "Export with opset 13 or later.")
            flat = b.reshape(x, (int(np.prod(x.shape[:axis], dtype=np.int64)), int(np.prod(rest))))
            return b.reshape(b.emit(op, flat), x.shape)
        axis = next((axis + i for i, d in enumerate(rest) if d > 1), axis)
    if x.shape[axis] > MAX_AXIS:
        raise Unsupported(f"softmax over {x.shape[axis]} values; at most {MAX_AXIS}", "Reduce the number of classes.")
    moved, order = _axis_last(b, x, axis)
    y = b.emit(op, moved)
    if moved is x:
        return y
    if all(d == 1 for d in x.shape[axis + 1 :]):
        return b.reshape(y, x.shape)
    return b.transpose(y, np.argsort(order).tolist())


def argmax(b: Builder, n: View) -> Result:
    x = n.act()
    axis = _normal_axis(n.integer("axis", 0), len(x.shape))
    keep = bool(n.integer("keepdims", 1))
    if n.op_type == "ArgMin":  # the order of the integers turned round: the mirrored range has the same steps
        x = b.emit(Unary(("Neg", "x"), "neg"), x)
    moved, _ = _axis_last(b, x, axis)
    y = b.emit(ArgMax(bool(n.integer("select_last_index", 0)), keep and axis == len(x.shape) - 1), moved)
    return Act(b.reshape(y, reduced_shape(x.shape, (axis,), keep)), "int64")


MATH: dict[str, Handler] = {
    **{name: Handler(unary, notes="a table of 256 values") for name in (*FUNCTIONS_OF_ONE, *PRIMITIVES)},
    "Clip": Handler(clip, notes="constant bounds"),
    "Pow": Handler(power, notes="constant exponent, or constant base"),
    "Add": Handler(add, notes="of -inf or the like: a mask in front of Softmax"),
    "Sub": Handler(sub),
    "Mul": Handler(mul),
    "Div": Handler(div),
    "Sum": Handler(total),
    "Mean": Handler(total),
    "Max": Handler(extreme),
    "Min": Handler(extreme),
    "PRelu": Handler(prelu),
    "Gemm": Handler(gemm),
    "MatMul": Handler(matmul),
    "ReduceMean": Handler(reduction),
    "ReduceSum": Handler(reduction),
    "ReduceL2": Handler(reduction),
    "ReduceMax": Handler(reduction),
    "ReduceMin": Handler(reduction),
    **{name: Handler(sum_of, notes="a table and ReduceSum") for name in _SUMS},
    "ReduceLogSumExp": Handler(reduction, notes="at most 4096 values"),
    "Softmax": Handler(softmax, notes="at most 4096 values"),
    "LogSoftmax": Handler(softmax, notes="at most 4096 values"),
    "ArgMax": Handler(argmax, notes="at most 256 values"),
    "ArgMin": Handler(argmax, notes="at most 256 values"),
}
