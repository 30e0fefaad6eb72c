"""Normalisation by statistics of the data. Importers of what has channels put them last, as the spatial ones do."""

from __future__ import annotations

import numpy as np

from tinygen.frontend.context import Builder, Handler, Known, Result, Unsupported, Value, View
from tinygen.frontend.handlers_spatial import to_first, to_last
from tinygen.ir.types import Tensor
from tinygen.ops import Add, Div, Mul, Norm, ReduceSum, Unary
from tinygen.ops.base import Shape


def only_normalised(n: View) -> str | None:
    """Only the first output is used.

    Mean and deviation are for training: export the model in evaluation mode."""
    return "statistics as outputs" if any(n.used[1:]) else None


def _constant(b: Builder, value: Value | None, shape: Shape, default: float) -> Tensor | None:
    """Constant factors or offsets for the values of `shape`, a single one where they are equal; None: computed."""
    if value is None:
        return b.const(np.full(1, default), "zeros" if default == 0.0 else "ones")
    if not isinstance(value, Known):
        return None
    try:
        flat = np.broadcast_to(value.array, shape).reshape(-1)
    except ValueError as e:
        raise Unsupported(f"factors of shape {value.array.shape} for values of shape {shape}") from e
    return b.const(flat[:1] if np.all(flat == flat[0]) else flat, value.name or "factors")


def _normalised(b: Builder, op: Norm, x: Tensor, scale: Value | None, offset: Value | None, shape: Shape) -> Tensor:
    """`op` of x. Factors and offsets are of `shape`, the last axes of x; computed ones become a product and a sum."""
    fixed = [_constant(b, v, shape, d) for v, d in ((scale, 1.0), (offset, 0.0))]
    if fixed[0] is not None and fixed[1] is not None:
        return b.emit(op, x, fixed[0], fixed[1])
    one, zero = _constant(b, None, shape, 1.0), _constant(b, None, shape, 0.0)
    assert one is not None
    assert zero is not None
    y = b.emit(op, x, fixed[0] or one, zero)
    if fixed[0] is None:
        y = b.emit(Mul(), y, b.tensor(scale))
    return y if offset is None else b.emit(Add(), y, b.tensor(offset))


def _axis(n: View, rank: int, default: int) -> int:
    axis = n.integer("axis", default)
    if not -rank <= axis < rank:
        raise Unsupported(f"axis {axis} of a tensor of rank {rank}")
    return axis % rank


def layer_normalization(b: Builder, n: View) -> Result:
    """LayerNormalization, and RMSNormalization without a mean: over all axes from one on."""
    x = n.act()
    axis, centre = _axis(n, len(x.shape), -1), n.op_type == "LayerNormalization"
    op = Norm(tuple(range(axis, len(x.shape))), centre=centre, eps=n.real("epsilon", 1e-5))
    return _normalised(b, op, x, n.ins[1], n.ins[2] if n.has(2) else None, x.shape[axis:])


def instance_normalization(b: Builder, n: View) -> Result:
    x = n.act()
    op = Norm(tuple(range(1, len(x.shape) - 1)), eps=n.real("epsilon", 1e-5))
    return to_first(b, _normalised(b, op, to_last(b, x), n.ins[1], n.ins[2], x.shape[1:2]))


def group_normalization(b: Builder, n: View) -> Result:
    x, groups = n.act(), n.integer("num_groups", 1)
    channels = x.shape[1]
    if groups < 1 or channels % groups:
        raise Unsupported(f"{channels} channels in {groups} groups")
    axes = tuple(range(1, len(x.shape) - (groups == channels)))
    op = Norm(axes, groups if groups < channels else 1, eps=n.real("epsilon", 1e-5))
    return to_first(b, _normalised(b, op, to_last(b, x), n.ins[1], n.ins[2], (channels,)))


def mean_variance_normalization(b: Builder, n: View) -> Result:
    x = n.act()
    axes = tuple(sorted(a % len(x.shape) for a in n.ints("axes", (0, 2, 3))))
    return _normalised(b, Norm(axes, eps=1e-18), x, None, None, ())  # 1e-9 is added to the deviation


def lp_normalization(b: Builder, n: View) -> Result:
    x, p = n.act(), n.integer("p", 2)
    axis = _axis(n, len(x.shape), -1)
    if p == 2:
        return _normalised(b, Norm((axis,), centre=False, mean=False, eps=1e-30, floor=True), x, None, None, ())
    total = b.emit(ReduceSum((axis,), True, False), b.emit(Unary(("Abs", "x"), "abs"), x))
    return b.emit(Div(), x, total)


NORM: dict[str, Handler] = {
    "LayerNormalization": Handler(layer_normalization, (only_normalised,)),
    "RMSNormalization": Handler(layer_normalization),
    "InstanceNormalization": Handler(instance_normalization),
    "GroupNormalization": Handler(group_normalization),
    "MeanVarianceNormalization": Handler(mean_variance_normalization),
    "LpNormalization": Handler(lp_normalization),
}
