"""PRelu, one slope for each channel (last axis). FLOAT: x, slope (C). FIXED: x, mn int32 (C). NUMERICS section 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.errors import ModelError
from tinygen.ir.types import Tensor
from tinygen.numerics import Array, choose_multipliers, requant, requant_clamp
from tinygen.ops import access
from tinygen.ops.access import Access, Labels
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
    kernel_of,
    need_quant,
    step_of,
    zero_points,
)
from tinygen.ops.interval import Interval, monotone


@dataclass(frozen=True)
class PRelu(Operator):
    mp: int = 0
    shift: int = 0
    learns = True
    int16 = True

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        if shapes[1] != shapes[0][-1:]:
            raise ValueError(f"slopes {shapes[1]} do not match {shapes[0][-1]} channels")
        return (shapes[0],)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return (b.op("PRelu", list(names)),)

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        (out,) = outs
        s_x, s_y = need_quant(ins[0])[0], need_quant(out)[0]
        try:
            m, shift = choose_multipliers(np.append(ins[1].array.astype(np.float64), 1.0) * (s_x / s_y), step_of(out))
        except ValueError as e:
            raise ModelError(f'"{out.name}": {e}') from e
        op = replace(self, mp=int(m[-1]), shift=shift)
        return Lowered(op, (ins[0].name, Tensor.constant(f"{out.name}_mn", m[:-1])))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        d = arrays[0].astype(np.int32) - need_quant(ins[0])[1]
        m = np.where(d < 0, arrays[1], self.mp)
        return (requant_clamp(d, m, self.shift, need_quant(out)[1], *int_range(out), bits_of(out)),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        x, mn = ins
        fields = config(
            rows=x.size // x.shape[-1], channels=x.shape[-1], **zero_points(in_zp=x, out_zp=out),
            mp=self.mp, shift=self.shift,
        )  # fmt: skip
        consts = (ConstArg("mn", mn.array),)
        return (Call(kernel_of("tg_prelu", out), fields, (x.name,), consts, out.name, in_place=(x.name,)),)

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        return ((access.same(len(ins[0].shape)), None),)

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        return self if order[-1] == len(order) - 1 else None

    def channels(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Labels, ...]:
        x, _, y = super().channels(ins, outs)
        return x, {0: y[-1]}, y

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        """Monotone below zero, and from zero upwards."""
        d, zp = ranges[0].minus(need_quant(ins[0])[1]), need_quant(outs[0])[1]
        ends = []
        for v in (d.lo, np.clip(-1, d.lo, d.hi), np.clip(0, d.lo, d.hi), d.hi):
            m = np.where(v < 0, ins[1].array, self.mp)
            ends.append(np.clip(requant(v, m, self.shift) + zp, *int_range(outs[0])))
        return (monotone(ends),)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (Case("per_channel", cls(), ((1, 4, 5, 3), np.array([0.25, -0.1, 0.7], np.float32))),)
