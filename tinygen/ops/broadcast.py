"""What the two-operand element-wise operators share: constant operands and broadcasting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygen.errors import ModelError
from tinygen.ir.types import Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops import access
from tinygen.ops.access import Access
from tinygen.ops.base import Call, Config, Operator, Shape, contiguous_strides, kernel_of
from tinygen.ops.interval import Interval
from tinygen.ops.unary import Expr


class Elementwise(Operator):
    """Operators of several operands that are broadcast, element by element; operands may be constant."""

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        return (tuple(access.broadcast(t.shape, outs[0].shape) for t in ins),)

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        return self

    def expression(self, a: Expr, b: Expr) -> Expr:
        """What it computes of two expressions (ops/unary.py)."""
        raise NotImplementedError

    def corners(self, out: Tensor, ranges: Sequence[Interval]) -> list[tuple[Array, Array]]:
        """Both ends of the first operand with both of the second: the extremes of what is monotone in each of two
        operands while the other is fixed."""
        a, b = (r.spread(access.width(out)) for r in ranges)
        return [(p, q) for p in (a.lo, a.hi) for q in (b.lo, b.hi)]


def constant_quant(array: Array, bits: int = 8) -> Quant:
    """Quantisation of a constant operand: its own range, widened to hold zero."""
    lo, hi = min(float(array.min()), 0.0), max(float(array.max()), 0.0)
    if lo == hi:
        return Quant.per_tensor(1.0, 0, bits)
    if bits == 16:
        return Quant.per_tensor(max(-lo, hi) / 32767.0, 0, bits)
    scale = (hi - lo) / 255.0
    return Quant.per_tensor(scale, int(np.clip(round(-128 - lo / scale), -128, 127)))


def operands(ins: Sequence[Tensor]) -> tuple[str | Tensor, ...]:
    """The FIXED inputs: activations by name, constants as integer tensors of their own `quant`."""
    result: list[str | Tensor] = []
    for t in ins:
        if t.const is None:
            result.append(t.name)
            continue
        assert t.quant is not None
        q = np.clip(np.rint(t.array.astype(np.float64) / t.quant.s) + t.quant.zero_point, t.quant.low, t.quant.high)
        result.append(Tensor.constant(f"{t.name}_q", q.astype(t.quant.dtype.value), t.quant))
    return tuple(result)


def aligned(ins: Sequence[Tensor], arrays: Sequence[Array], rank: int) -> list[Array]:
    """Operands as numpy must see them: an activation of lower rank gets its missing axes behind the sample axis."""
    return [
        x if t.const is not None else x.reshape(x.shape[0], *(1,) * (rank - len(t.shape)), *t.shape)
        for t, x in zip(ins, arrays, strict=True)
    ]


def merged_dims(out: Shape, shapes: Sequence[Shape]) -> tuple[Shape, tuple[Shape, ...]]:
    """The fewest dimensions that describe the broadcast, and each operand's strides over them (0: repeated)."""
    rank = len(out)
    full = [(1,) * (rank - len(s)) + s for s in shapes]
    strides = [tuple(0 if d == 1 else st for d, st in zip(s, contiguous_strides(s), strict=True)) for s in full]
    dims: list[int] = []
    cols: list[list[int]] = []
    for axis in range(rank):
        if out[axis] == 1:
            continue
        here = [st[axis] for st in strides]
        if dims and all(prev == now * out[axis] for prev, now in zip(cols[-1], here, strict=True)):
            dims[-1] *= out[axis]
            cols[-1] = here
        else:
            dims.append(out[axis])
            cols.append(here)
    if not dims:
        dims, cols = [1], [[0] * len(shapes)]
    return tuple(dims), tuple(tuple(c[i] for c in cols) for i in range(len(shapes)))


def broadcast_call(kernel: str, ins: Sequence[Tensor], out: Tensor, fields: Config) -> Call:
    """`<kernel>_s8` (_s16) when both operands have the output's shape, `<kernel>_bc_s8` otherwise."""
    names = tuple(t.name for t in ins)
    dims, strides = merged_dims(out.shape, [t.shape for t in ins])
    if len(dims) == 1 and all(s == (1,) for s in strides):
        own = tuple(t.name for t in ins if t.const is None)
        return Call(kernel_of(kernel, out), (("n", out.size), *fields), names, (), out.name, in_place=own)
    if len(dims) > 4:
        raise ModelError(f'"{out.name}": broadcasting over {len(dims)} separate dimensions; tinygen takes at most 4')
    pad = 4 - len(dims)
    shape = (
        ("dims", (1,) * pad + dims),
        *((f"{n}_stride", (0,) * pad + s) for n, s in zip("ab", strides, strict=True)),
    )
    return Call(kernel_of(f"{kernel}_bc", out), (*shape, *fields), names, (), out.name)
