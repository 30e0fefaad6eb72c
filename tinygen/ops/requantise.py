"""The same real value in other integers: between int8 and int16, or from one int16 scale to another. FIXED graphs only.

From int8 to int8 a table does it (Unary "x"). NUMERICS section 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.errors import ModelError
from tinygen.ir.types import Tensor
from tinygen.numerics import Array, choose_multipliers, int_type, requant_clamp
from tinygen.ops import access
from tinygen.ops.access import Access
from tinygen.ops.base import (
    Call,
    Lowered,
    OnnxBuilder,
    Operator,
    Shape,
    bits_of,
    config,
    int_range,
    is_wide,
    need_quant,
    off,
)
from tinygen.ops.interval import Interval, monotone

#: The largest multiplier, and shift, of a widening and of a narrowing: products stay below 2^31.
WIDEN = (2**22 - 1, 22)
NARROW = (2**15 - 1, 30)


@dataclass(frozen=True)
class Requantise(Operator):
    """out = clamp(zp_y + (((x - zp_x) * m + 2^(shift-1)) >> shift))."""

    m: int = 0
    shift: int = 0

    @property
    def is_identity(self) -> bool:
        return True

    def describe(self, ins: Sequence[Tensor]) -> str:
        return "widen" if bits_of(ins[0]) == 8 else "requantise"

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        return (shapes[0],)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return (b.op("Identity", [names[0]]),)

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        (out,) = outs
        x = ins[0]
        if bits_of(x) == bits_of(out) == 8:
            raise AssertionError("int8 to int8 is a table's work")
        ratio = need_quant(x)[0] / need_quant(out)[0]
        try:
            if _by_rule_1(x, out):
                many, shift = choose_multipliers([ratio], 1)
                m = int(many[0])
            else:
                m, shift = small_multiplier(ratio, *(NARROW if is_wide(x) else WIDEN))
        except ValueError as e:
            raise ModelError(f'"{out.name}": {e}') from e
        return Lowered(replace(self, m=m, shift=shift), (x.name,))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        d = arrays[0].astype(np.int64) - need_quant(ins[0])[1]
        if _by_rule_1(ins[0], out):
            return (requant_clamp(d, self.m, self.shift, need_quant(out)[1], *int_range(out), bits_of(out)),)
        moved = ((d * self.m + ((1 << self.shift) >> 1)) >> self.shift) + need_quant(out)[1]
        return (np.clip(moved, *int_range(out)).astype(int_type(bits_of(out))),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        x = ins[0]
        n, rule = {"n": out.size}, {"m": self.m, "shift": self.shift}
        if 32 in (bits_of(x), bits_of(out)):
            low, high = int_range(out)
            ends = {"in_zp": need_quant(x)[1], "out_zp": need_quant(out)[1], "lo": low, "hi": high}
            fields = config(**n, **rule, **ends, x_bits=bits_of(x), y_bits=bits_of(out))
            return (Call("tg_rescale_s32", fields, (x.name,), (), out.name),)
        if not is_wide(x):
            fields = config(**n, in_zp=need_quant(x)[1], **rule)
            return (Call("tg_widen_s16", fields, (x.name,), (), out.name),)
        if is_wide(out):
            return (Call("tg_rescale_s16", config(**n, **rule), (x.name,), (), out.name, in_place=(x.name,)),)
        return (Call("tg_narrow_s16", config(**n, **rule, out_zp=need_quant(out)[1]), (x.name,), (), out.name),)

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        return ((access.same(len(ins[0].shape)),),)

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        return self

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        """Monotone."""
        ends = [self.run_fixed(ins, (v,), outs)[0] for v in (ranges[0].lo, ranges[0].hi)]
        return (monotone(ends),)

    def error(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> float:
        ratio = need_quant(ins[0])[0] / need_quant(outs[0])[0]
        return 0.5 + off(self.m, self.shift, ratio, 2.0 ** (bits_of(ins[0]) - (bits_of(ins[0]) > 8)))


def _by_rule_1(x: Tensor, out: Tensor) -> bool:
    """int16 to int16, and whatever lies in int32 on one side."""
    return (is_wide(x) and is_wide(out)) or 32 in (bits_of(x), bits_of(out))


def small_multiplier(ratio: float, largest: int, most: int) -> tuple[int, int]:
    """(m, shift) with ratio ~ m / 2^shift, m <= largest, 0 <= shift <= most. ValueError when no shift will do."""
    shift = most
    while shift > 0 and round(ratio * 2.0**shift) > largest:
        shift -= 1
    m = round(ratio * 2.0**shift)
    if m > largest:
        raise ValueError(f"the scale is {ratio:.3g} times the output's; at most {largest} can be converted")
    return m, shift
