"""What operators of two operands compute, as an expression of ops/unary.py."""

from __future__ import annotations

from tinygen.ops.add import Add
from tinygen.ops.extreme import Extreme
from tinygen.ops.mul import Mul
from tinygen.ops.unary import Expr, clip_expr, substitute


def expression_of(op: Add | Mul | Extreme, a: Expr, b: Expr) -> Expr:
    """What an operator of two operands computes."""
    if isinstance(op, Extreme):
        return ("Max" if op.largest else "Min", a, b)
    name = "Mul" if isinstance(op, Mul) else ("Add" if op.sign > 0 else "Sub")
    return substitute(clip_expr(op.lo, op.hi), (name, a, b))
