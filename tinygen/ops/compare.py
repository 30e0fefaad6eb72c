"""Is one tensor less than another, or equal to it, element by element, broadcast. NUMERICS section 11."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinygen.ir.types import Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops.base import Call, Case, OnnxBuilder, Shape, config
from tinygen.ops.broadcast import Elementwise, aligned, broadcast_call
from tinygen.ops.interval import Interval

#: True and false, in the quantisation that holds 0 and 1 best.
YES, NO = 127, -128


@dataclass(frozen=True)
class Compare(Elementwise):
    """1 where a < b ("Less"), a <= b ("LessOrEqual") or a == b ("Equal"), else 0. Both are activations of one
    quantisation, so the order of the integers is that of the numbers."""

    relation: str = "Less"
    aligns = True

    @property
    def title(self) -> str:
        return {"Less": "less", "LessOrEqual": "less or equal", "Equal": "equal"}[self.relation]

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        a, b = shapes
        return (np.broadcast_shapes(a, b),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return (b.op("Cast", [b.op(self.relation, list(names))], to=1),)

    def ties(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[tuple[str, ...], ...]:
        return (tuple(t.name for t in ins),)

    def fixed_quant(self, bits: int = 8, output: int = 0) -> Quant | None:
        return Quant.per_tensor(float(np.float32(1.0 / (YES - NO))), NO)  # as the C has it

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        a, b = aligned(ins, arrays, len(outs[0].shape))
        holds = {"Less": np.less, "LessOrEqual": np.less_equal, "Equal": np.equal}[self.relation](a, b)
        return (np.where(holds, YES, NO).astype(np.int8),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        """The kernel knows a < b and a == b; a <= b is what b < a is not."""
        turned = self.relation == "LessOrEqual"
        pair = tuple(reversed(ins)) if turned else tuple(ins)
        yes, no = (NO, YES) if turned else (YES, NO)
        fields = config(equal=int(self.relation == "Equal"), yes=yes, no=no)
        return (broadcast_call("tg_compare", pair, outs[0], fields),)

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        """One value where the operands' ranges leave no doubt."""
        pairs = self.corners(outs[0], ranges)
        (a_lo, b_hi), (a_hi, b_lo) = pairs[1], pairs[2]
        if self.relation == "Equal":
            always, never = (a_lo == a_hi) & (b_lo == b_hi) & (a_lo == b_lo), (a_lo > b_hi) | (a_hi < b_lo)
        elif self.relation == "Less":
            always, never = a_hi < b_lo, a_lo >= b_hi
        else:
            always, never = a_hi <= b_lo, a_lo > b_hi
        return (Interval(np.where(always, YES, NO), np.where(never, NO, YES)),)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (
            Case("less", cls(), ((1, 4, 5, 6), (1, 4, 5, 6))),
            Case("less_or_equal", cls("LessOrEqual"), ((1, 9), (1, 9))),
            Case("equal", cls("Equal"), ((1, 4, 1), (1, 1, 5))),
            Case("channel", cls("LessOrEqual"), ((1, 4, 5, 6), (6,))),
        )
