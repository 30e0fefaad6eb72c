"""Comparisons, logic, choices and casts.

A truth value is 1 or 0. What comes from one tensor alone, the tensor compared with a number, or with another function
of itself, is one function of it (ops/unary.py); so is a choice between such functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tinygen.frontend.context import FLOAT_TYPES, Act, Builder, Handler, Known, Result, Unsupported, Value, View
from tinygen.frontend.handlers_math import apply, fold_operands, scalar_of
from tinygen.frontend.load import type_name
from tinygen.frontend.mask import chosen_mask
from tinygen.ir.types import Node, Tensor
from tinygen.ops import Add, Compare, Expand, Extreme, Mul, Unary
from tinygen.ops.broadcast import Elementwise
from tinygen.ops.unary import Expr, choice, is_longer, substitute

#: How far back, and how large, functions of one tensor are followed.
_DEPTH, _SIZE = 24, 200

_SAME: Expr = "x"
_MIRRORED = {
    "Greater": "Less", "Less": "Greater", "GreaterOrEqual": "LessOrEqual", "LessOrEqual": "GreaterOrEqual",
    "Equal": "Equal",
}  # fmt: skip


# Functions of one tensor ----------------------------------------------------------------------------------------------


def _step(b: Builder, node: Node) -> tuple[str, Expr] | None:
    """(tensor, function of it) that a node computes element by element; None for any other node."""
    if isinstance(node.op, Unary):
        return node.inputs[0], node.op.expr
    if not isinstance(node.op, Elementwise):
        return None
    shape = b.tensors[node.outputs[0]].shape
    ins = [b.tensors[i] for i in node.inputs]
    if any(t.shape != shape if t.const is None else t.size != 1 for t in ins):
        return None
    acts = [t for t in ins if t.const is None]
    found = _common(b, acts)
    if found is None:
        return None
    root, exprs = found
    functions = iter(exprs)
    args = [next(functions) if t.const is None else float(t.array.reshape(())) for t in ins]
    return root.name, node.op.expression(args[0], args[1])


def _sources(b: Builder, t: Tensor) -> dict[str, Expr]:
    """The tensors t is a function of, the nearest (itself) first."""
    name, expr = t.name, _SAME
    found = {name: expr}
    while len(found) < _DEPTH:
        node = b.made.get(name)
        if node is None or b.tensors[name].quant is not None or (step := _step(b, node)) is None:
            break
        name, expr = step[0], substitute(expr, step[1])
        if is_longer(expr, _SIZE):
            break
        found[name] = expr
    return found


def _common(b: Builder, tensors: Sequence[Tensor]) -> tuple[Tensor, list[Expr]] | None:
    """The nearest tensor that all are functions of, and the functions."""
    if not tensors:
        return None
    if len({t.name for t in tensors}) == 1:
        return tensors[0], ["x"] * len(tensors)
    sources = [_sources(b, t) for t in tensors]
    name = next((s for s in sources[0] if all(s in other for other in sources)), None)
    return None if name is None else (b.tensors[name], [s[name] for s in sources])


def _as_one(b: Builder, values: Sequence[Value | None]) -> tuple[Tensor, list[Expr]] | None:
    """Operands as functions of one tensor of the result's shape: activations that come from it, and numbers."""
    acts = [v.tensor for v in values if isinstance(v, Act)]
    numbers = [scalar_of(v) for v in values]
    if any(
        isinstance(v, Known) and (k is None or v.array.ndim > len(acts[0].shape))
        for v, k in zip(values, numbers, strict=True)
    ):
        return None
    found = _common(b, acts)
    if found is None or any(t.shape != found[0].shape for t in acts):
        return None
    functions = iter(found[1])
    return found[0], [next(functions) if k is None else k for k in numbers]


# Truth values ---------------------------------------------------------------------------------------------------------


def compare(b: Builder, n: View) -> Result:
    """x > c and its relatives."""
    op, (a, c) = n.op_type, n.ins
    if isinstance(a, Known):
        op, a, c = _MIRRORED[op], c, a
    assert isinstance(a, Act)
    number = scalar_of(c)
    if number is not None:
        y = apply(b, (op, "x", number), op.lower(), a.tensor, c)
    elif isinstance(c, Known):
        y = b.emit(Unary((op, "x", 0.0), op.lower()), b.emit(Add(-1), a.tensor, b.const(c, f"{n.name}/limits")))
    elif (one := _as_one(b, (a, c))) is not None:
        y = b.emit(Unary((op, *one[1]), op.lower()), one[0])
    else:
        y = _of_two(b, op, n.act(0) if a is n.ins[0] else n.act(1), n.act(1) if a is n.ins[0] else n.act(0))
    return Act(y, "bool")


def _of_two(b: Builder, op: str, a: Tensor, c: Tensor) -> Tensor:
    """Two tensors: greater is less, turned round."""
    if op.startswith("Greater"):
        op, a, c = _MIRRORED[op], c, a
    return b.emit(Compare(op), a, c)


def not_(b: Builder, n: View) -> Result:
    return Act(b.emit(Unary(("Sub", 1.0, "x"), "not"), n.act()), "bool")


_LOGIC: dict[str, Callable[[Expr, Expr], Expr]] = {
    "And": lambda a, c: ("Min", a, c),
    "Or": lambda a, c: ("Max", a, c),
    "Xor": lambda a, c: ("Abs", ("Sub", a, c)),
}


def logic(b: Builder, n: View) -> Result:
    one = _as_one(b, n.ins)
    if one is not None:
        return Act(b.emit(Unary(_LOGIC[n.op_type](*one[1]), n.op_type.lower()), one[0]), "bool")
    a, c = (b.tensor(v if isinstance(v, Act) else _real(v), f"{n.name}/mask") for v in n.ins)
    if n.op_type == "Xor" and a.const is None and c.const is None:
        return Act(b.emit(Unary(("Sub", 1.0, "x"), "xor"), b.emit(Compare("Equal"), a, c)), "bool")
    if n.op_type == "Xor":
        return Act(b.emit(Unary(("Abs", "x"), "xor"), b.emit(Add(-1), a, c)), "bool")
    return Act(b.emit(Extreme(n.op_type == "Or"), a, c), "bool")


def _real(v: Value | None) -> Known:
    assert isinstance(v, Known)
    return Known(v.array.astype(np.float32), v.name)


def is_nan(b: Builder, n: View) -> Result:
    """Integers are always numbers."""
    b.note(f'IsNaN "{n.name}" is never true: integers are numbers')
    return Known(np.zeros(n.act().shape, bool))


# Choices --------------------------------------------------------------------------------------------------------------


def where(b: Builder, n: View) -> Result:
    """x where the condition is true, else y: of the branches' type, not of the condition's."""
    chosen = _choice(b, n)
    kinds = [v.elem if isinstance(v, Act) else v.array.dtype.name for v in n.ins[1:] if v is not None]
    return Act(chosen, kinds[0]) if isinstance(chosen, Tensor) else chosen


def _choice(b: Builder, n: View) -> Tensor | Known:
    condition = n.ins[0]
    if isinstance(condition, Known):
        return chosen_mask(b, n) or _constant_choice(b, n)
    one = _as_one(b, n.ins)
    if one is not None:
        return b.emit(Unary(choice(*one[1]), "where"), one[0])
    assert isinstance(condition, Act)
    return _sum(b, n, [(1, Act(condition.tensor)), (2, Act(b.emit(Unary(("Sub", 1.0, "x"), "not"), condition.tensor)))])


def _constant_choice(b: Builder, n: View) -> Tensor | Known:
    mask = n.array(0, "the condition").astype(np.float32)
    shapes = [v.array.shape if isinstance(v, Known) else n.act(i).shape for i, v in enumerate(n.ins)]
    try:
        want = tuple(int(d) for d in np.broadcast_shapes(*shapes))
    except ValueError as e:
        raise Unsupported(str(e), of_sizes=True) from e
    y = _sum(b, n, [(1, Known(mask)), (2, Known(1 - mask))])
    if isinstance(y, Known):  # no activation is chosen anywhere
        return Known(np.broadcast_to(y.array, want).copy())
    return y if y.shape == want else b.emit(Expand(want), y)


def _sum(b: Builder, n: View, choices: Sequence[tuple[int, Value]]) -> Tensor | Known:
    """Sum of the branches, inputs of the node, each times its 1 or 0."""
    parts: list[Value] = []
    for i, share in choices:
        v = n.ins[i]
        if isinstance(v, Known) and isinstance(share, Known):
            parts.append(Known(np.where(share.array != 0, v.array.astype(np.float32), np.float32(0))))
        elif isinstance(v, Known) and not np.any(v.array):
            continue
        elif isinstance(v, Act) and isinstance(share, Known) and np.all(share.array):
            parts.append(v)
        elif not isinstance(share, Known) or np.any(share.array):
            parts.append(Act(b.emit(Mul(), b.tensor(v, f"{n.name}/choice"), b.tensor(share, f"{n.name}/mask"))))
    acts = [p for p in parts if isinstance(p, Act)]
    constant = sum((p.array for p in parts if isinstance(p, Known)), np.zeros((), np.float32))
    if not acts:
        return Known(np.asarray(constant))
    operands: list[Value] = [*acts, *([Known(constant)] if np.any(constant) else [])]
    return fold_operands(b, operands, lambda a, c: b.emit(Add(), a, c), f"{n.name}/choice")


# Casts ----------------------------------------------------------------------------------------------------------------

_TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64",
    16: "bfloat16",
}  # fmt: skip


def cast(b: Builder, n: View) -> Result:
    value, to = n.ins[0], _TYPES.get(n.integer("to", 0), type_name(n.integer("to", 0)))
    if n.op_type == "CastLike":
        like = n.ins[1]
        to = like.elem if isinstance(like, Act) else n.array(1, "the type").dtype.name
    if not isinstance(value, Act):  # CastLike of a constant
        known = n.known(0, "the input")
        return Known(known.array.astype(to if to in ("int32", "int64") else "float32"), known.name, known.quant)
    if value.code is not None:
        if to in FLOAT_TYPES and value.code.scale == (1.0,):
            return Act(value.tensor, to)  # the number itself, an image say: its quantisation has scale 1
        raise Unsupported(f"a cast of quantised {value.elem} to {to}", "Use DequantizeLinear.")
    if to in FLOAT_TYPES:
        return Act(value.tensor, to)
    if to == "bool":
        nonzero: Expr = ("Sub", 1.0, ("Equal", "x", 0.0))
        return Act(value.tensor if value.elem == "bool" else b.emit(Unary(nonzero, "nonzero"), value.tensor), to)
    if to in ("int32", "int64"):
        quant = value.tensor.quant
        if value.elem in ("int32", "int64", "bool") or (quant is not None and quant.scale == (1.0,)):
            return Act(value.tensor, to)  # whole numbers already
        truncate: Expr = ("Mul", ("Sign", "x"), ("Floor", ("Abs", "x")))
        return Act(b.emit(Unary(truncate, "truncate"), value.tensor), to)
    raise Unsupported(
        f"a cast of {value.elem} to {to}", "Keep activations float; only float, bool and int32/int64 casts are known."
    )


LOGIC: dict[str, Handler] = {
    **{name: Handler(compare, notes="with a constant, or of functions of one tensor") for name in _MIRRORED},
    **{name: Handler(logic, notes="with a constant, or of functions of one tensor") for name in _LOGIC},
    "Not": Handler(not_),
    "IsNaN": Handler(is_nan, notes="never"),
    "Where": Handler(where, notes="-inf by a constant condition: a mask in front of Softmax"),
    "Cast": Handler(cast, notes="to float, bool, int32 and int64"),
    "CastLike": Handler(cast, notes="to float, bool, int32 and int64"),
}
