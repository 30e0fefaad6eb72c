"""Element-wise sum of two tensors, broadcast: y = a + sign * b, with a fused clamp. NUMERICS section 2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.errors import ModelError
from tinygen.ir.types import Tensor
from tinygen.numerics import Array, int_type
from tinygen.ops.base import (
    Call,
    Case,
    Lowered,
    OnnxBuilder,
    Shape,
    bits_of,
    clamp_bounds,
    clamp_to_onnx,
    config,
    narrowed,
    need_quant,
    off,
)
from tinygen.ops.broadcast import Elementwise, aligned, broadcast_call, operands
from tinygen.ops.interval import Interval, monotone
from tinygen.ops.unary import Expr, clip_expr, substitute

#: The largest multiplier for operands of so many bits: the sum must stay below 2^31. NUMERICS sections 2 and 8.
LARGEST = {8: 2**21 - 1, 16: 16383}


@dataclass(frozen=True, slots=True)
class SumRule:
    """out = clamp((c + a * ma + b * mb) >> shift, lo, hi)."""

    ma: int
    mb: int
    c: int
    shift: int
    lo: int
    hi: int


@dataclass(frozen=True)
class Add(Elementwise):
    sign: int = 1  # -1: subtract
    lo: float = -math.inf
    hi: float = math.inf
    rule: SumRule | None = None
    int16 = True

    @property
    def title(self) -> str:
        return "add" if self.sign > 0 else "sub"

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        return (np.broadcast_shapes(*shapes),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return (clamp_to_onnx(b, b.op("Add" if self.sign > 0 else "Sub", list(names)), self.lo, self.hi),)

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        (out,) = outs
        (s_a, z_a), (s_b, z_b), (s_y, z_y) = (need_quant(t) for t in (*ins, out))
        ra, rb = s_a / s_y, s_b / s_y
        top = max(ra, rb)
        largest = LARGEST[bits_of(out)]
        if top > largest:
            raise ModelError(
                f"\"{out.name}\": an operand's scale is {top:.3g} times the output's; at most {largest} can be added"
            )
        shift = 22
        while shift > 0 and round(top * 2.0**shift) > largest:
            shift -= 1
        ma, mb = round(ra * 2.0**shift), self.sign * round(rb * 2.0**shift)
        c = (z_y << shift) + ((1 << shift) >> 1) - z_a * ma - z_b * mb
        return Lowered(
            replace(self, rule=SumRule(ma, mb, c, shift, *clamp_bounds(self.lo, self.hi, out))), operands(ins)
        )

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        a, b = (x.astype(np.int32) for x in aligned(ins, arrays, len(out.shape)))
        return (self._sum(a, b).astype(int_type(bits_of(out))),)

    def _sum(self, a: Array, b: Array) -> Array:
        r = self.rule
        assert r is not None
        y: Array = np.clip((r.c + a * r.ma + b * r.mb) >> r.shift, r.lo, r.hi)
        return y

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        r = self.rule
        assert r is not None
        fields = config(ma=r.ma, mb=r.mb, c=r.c, shift=r.shift, lo=r.lo, hi=r.hi)
        return (broadcast_call("tg_add", ins, out, fields),)

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        return (monotone([self._sum(a, b) for a, b in self.corners(outs[0], ranges)]),)

    def clamped(self, lo: float, hi: float) -> Add:
        lo, hi = narrowed((self.lo, self.hi), lo, hi)
        return replace(self, lo=lo, hi=hi)

    def expression(self, a: Expr, b: Expr) -> Expr:
        return substitute(clip_expr(self.lo, self.hi), ("Add" if self.sign > 0 else "Sub", a, b))

    def error(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> float:
        r, scale = self.rule, need_quant(outs[0])[0]
        assert r is not None
        parts = zip((r.ma, r.mb), ins, strict=True)
        return 0.5 + sum(off(abs(m), r.shift, need_quant(t)[0] / scale, 2.0**15) for m, t in parts)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        k = np.random.default_rng(4).normal(size=(1, 1, 6)).astype(np.float32)
        return (
            Case("same_shape_relu", cls(lo=0.0), ((1, 4, 5, 6), (1, 4, 5, 6))),
            Case("sub", cls(sign=-1), ((1, 9), (1, 9))),
            Case("channel", cls(), ((1, 4, 5, 6), (1, 1, 1, 6))),
            Case("both_broadcast", cls(), ((1, 4, 1), (1, 1, 5))),
            Case("constant", cls(sign=-1), ((1, 7, 6), k)),
        )
