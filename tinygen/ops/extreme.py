"""The larger, or the smaller, of two tensors, element by element, broadcast. NUMERICS section 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinygen.ir.types import Tensor
from tinygen.numerics import Array
from tinygen.ops.base import Call, Case, Lowered, OnnxBuilder, Shape
from tinygen.ops.broadcast import Elementwise, aligned, broadcast_call, operands
from tinygen.ops.interval import Interval, monotone
from tinygen.ops.unary import Expr

#: Constants as far from zero are no numbers but a mask: "leave it" and "hide it" (frontend/mask.py).
MASKED = 1e30


@dataclass(frozen=True)
class Extreme(Elementwise):
    """Maximum, or minimum."""

    largest: bool = True
    same_quant = True
    int16 = True

    @property
    def title(self) -> str:
        return "max" if self.largest else "min"

    def describe(self, ins: Sequence[Tensor]) -> str:
        hides = any(t.const is not None and t.array.dtype.kind == "f" and np.any(t.array <= -MASKED) for t in ins)
        return "mask" if hides else self.title

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        a, b = shapes
        return (np.broadcast_shapes(a, b),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return (b.op("Max" if self.largest else "Min", list(names)),)

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        return Lowered(self, operands(ins))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        a, b = aligned(ins, arrays, len(out.shape))
        return (np.maximum(a, b) if self.largest else np.minimum(a, b),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        return (broadcast_call("tg_max" if self.largest else "tg_min", ins, out, ()),)

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        pick = np.maximum if self.largest else np.minimum
        return (monotone([pick(a, b) for a, b in self.corners(outs[0], ranges)]),)

    def expression(self, a: Expr, b: Expr) -> Expr:
        return ("Max" if self.largest else "Min", a, b)

    def hands_on(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> int | None:
        a, b = ranges
        for i, mine, other in ((0, a, b), (1, b, a)):
            if (mine.lo >= other.hi).all() if self.largest else (mine.hi <= other.lo).all():
                return i
        return None

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        k = np.random.default_rng(5).normal(size=(1, 1, 6)).astype(np.float32)
        return (
            Case("same_shape", cls(), ((1, 4, 5, 6), (1, 4, 5, 6))),
            Case("min", cls(False), ((1, 9), (1, 9))),
            Case("channel", cls(), ((1, 4, 5, 6), (1, 1, 1, 6))),
            Case("both_broadcast", cls(False), ((1, 4, 1), (1, 1, 5))),
            Case("lower_rank", cls(), ((1, 4, 5), (5,))),
            Case("constant", cls(), ((1, 7, 6), k)),
            Case("constant_first", cls(False), (k, (1, 7, 6))),
        )
