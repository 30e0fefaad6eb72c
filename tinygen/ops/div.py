"""Element-wise quotient of two tensors, broadcast. NUMERICS section 10."""

from __future__ import annotations

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
    config,
    int_range,
    need_quant,
    zero_points,
)
from tinygen.ops.broadcast import Elementwise, aligned, broadcast_call, operands
from tinygen.ops.unary import Expr

#: What the multiplier stays below, so that the dividend of int8 fits 32 bits, that of int16 64; and the largest shift.
_LIMITS = {8: (2**22, 30), 16: (2**31, 46)}


@dataclass(frozen=True)
class Div(Elementwise):
    """a / b. By zero: the end of the output's range on a's side, and zero where a is zero too."""

    m: int = 0
    shift: int = 0
    int16 = True

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        return (np.broadcast_shapes(*shapes),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return (b.op("Div", list(names)),)

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        (out,) = outs
        (s_a, _), (s_b, _), (s_y, _) = (need_quant(t) for t in (*ins, out))
        ratio, (limit, shift) = s_a / s_b / s_y, _LIMITS[bits_of(out)]
        while shift > 1 and round(ratio * 2.0**shift) >= limit:
            shift -= 1
        if not round(ratio * 2.0**shift) < limit:
            raise ModelError(f'"{out.name}": its scale {s_y:.3g} is too fine for the quotient of its inputs')
        return Lowered(replace(self, m=round(ratio * 2.0**shift), shift=shift), operands(ins))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        same_rank = aligned(ins, arrays, len(out.shape))
        a, b = (x.astype(np.int64) - need_quant(t)[1] for x, t in zip(same_rank, ins, strict=True))
        low, high = int_range(out)
        quotient = np.abs(a) * self.m // np.maximum(np.abs(b), 1)
        quotient = (quotient + (1 << (self.shift - 1))) >> self.shift
        quotient = np.where(b == 0, np.where(a == 0, 0, high - low), quotient)
        y = need_quant(out)[1] + np.where((a < 0) ^ (b < 0), -quotient, quotient)
        return (np.clip(y, low, high).astype(int_type(bits_of(out))),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        fields = config(**zero_points(a_zp=ins[0], b_zp=ins[1]), m=self.m, shift=self.shift, **zero_points(out_zp=out))
        return (broadcast_call("tg_div", ins, out, fields),)

    def error(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> float:
        ratio = need_quant(ins[0])[0] / need_quant(ins[1])[0] / need_quant(outs[0])[0]
        return 0.5 + 2.0**-self.shift + abs(self.m * 2.0**-self.shift / ratio - 1.0) * 2.0 ** bits_of(outs[0])

    def expression(self, a: Expr, b: Expr) -> Expr:
        return ("Div", a, b)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        k = np.random.default_rng(5).normal(4.0, 0.5, (6,)).astype(np.float32)
        return (
            Case("same_shape", cls(), ((1, 4, 6), (1, 4, 6))),
            Case("by_row", cls(), ((1, 4, 5, 6), (1, 4, 5, 1))),
            Case("constant", cls(), (k, (1, 4, 6))),
        )
