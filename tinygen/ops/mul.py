"""Element-wise product of two tensors, broadcast. NUMERICS section 2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.errors import ModelError
from tinygen.ir.types import Tensor
from tinygen.numerics import Array, choose_multipliers, requant, requant_clamp
from tinygen.ops.base import (
    Call,
    Case,
    Epilogue,
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
    step_of,
    zero_points,
)
from tinygen.ops.broadcast import Elementwise, aligned, broadcast_call, operands
from tinygen.ops.interval import Interval, monotone
from tinygen.ops.unary import Expr, clip_expr, substitute


@dataclass(frozen=True)
class Mul(Elementwise):
    lo: float = -math.inf
    hi: float = math.inf
    m: int = 0
    epilogue: Epilogue | None = None
    int16 = True

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        return (np.broadcast_shapes(*shapes),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return (clamp_to_onnx(b, b.op("Mul", list(names)), self.lo, self.hi),)

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        (out,) = outs
        (s_a, _), (s_b, _), (s_y, _) = (need_quant(t) for t in (*ins, out))
        try:
            m, shift = choose_multipliers([s_a * s_b / s_y], step_of(out))
        except ValueError as e:
            raise ModelError(f'"{out.name}": {e}') from e
        end = Epilogue(shift, *clamp_bounds(self.lo, self.hi, out))
        return Lowered(replace(self, m=int(m[0]), epilogue=end), operands(ins))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        assert self.epilogue is not None
        same_rank = aligned(ins, arrays, len(out.shape))
        a, b = (x.astype(np.int32) - need_quant(t)[1] for x, t in zip(same_rank, ins, strict=True))
        end = self.epilogue
        return (requant_clamp(a * b, self.m, end.shift, need_quant(out)[1], end.lo, end.hi, bits_of(out)),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        assert self.epilogue is not None
        end = self.epilogue
        fields = config(
            **zero_points(a_zp=ins[0], b_zp=ins[1]), m=self.m, shift=end.shift,
            **zero_points(out_zp=out), lo=end.lo, hi=end.hi,
        )  # fmt: skip
        return (broadcast_call("tg_mul", ins, out, fields),)

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        assert self.epilogue is not None
        z_a, z_b, z_y = (need_quant(t)[1] for t in (*ins, outs[0]))
        end = self.epilogue
        ends = [requant((a - z_a) * (b - z_b), self.m, end.shift) + z_y for a, b in self.corners(outs[0], ranges)]
        return (monotone([np.clip(e, end.lo, end.hi) for e in ends]),)

    def clamped(self, lo: float, hi: float) -> Mul:
        lo, hi = narrowed((self.lo, self.hi), lo, hi)
        return replace(self, lo=lo, hi=hi)

    def expression(self, a: Expr, b: Expr) -> Expr:
        return substitute(clip_expr(self.lo, self.hi), ("Mul", a, b))

    def error(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> float:
        assert self.epilogue is not None
        ratio = need_quant(ins[0])[0] * need_quant(ins[1])[0] / need_quant(outs[0])[0]
        return 0.5 + off(self.m, self.epilogue.shift, ratio, min(2.0**30, 2.0**16 / ratio))

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        k = np.random.default_rng(5).normal(size=(6,)).astype(np.float32)
        return (
            Case("same_shape", cls(), ((1, 4, 6), (1, 4, 6))),
            Case("squeeze_excite", cls(), ((1, 4, 5, 6), (1, 1, 1, 6))),
            Case("constant_clamp", cls(lo=0.0, hi=1.0), ((1, 4, 6), k)),
        )
