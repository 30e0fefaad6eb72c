"""Fully connected layer on the last axis. FLOAT: x (..., K), w (M, K), b (M). FIXED: x int8 or int16, w
int8, b int32, m int32; int16 gives int16 or int8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.ir.types import Tensor
from tinygen.numerics import Array, fold_bias, matmul_exact, requant_clamp
from tinygen.ops import access
from tinygen.ops.access import Access, Axis, Kind
from tinygen.ops.base import (
    Call,
    Case,
    ConstArg,
    Epilogue,
    Lowered,
    OnnxBuilder,
    Operator,
    Shape,
    bits_of,
    clamp_to_onnx,
    config,
    kernel_of,
    need_quant,
    output_width,
    quantise_weights,
)
from tinygen.ops.weighted import Weighted


@dataclass(frozen=True)
class Dense(Weighted):
    lo: float = -math.inf  # fused clamp, real values
    hi: float = math.inf
    epilogue: Epilogue | None = None
    int16 = True
    narrows = True

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        x, w = shapes[0], shapes[1]
        if x[-1] != w[1]:
            raise ValueError(f"input has {x[-1]} features, weights want {w[1]}")
        return ((*x[:-1], w[0]),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        y = b.op("MatMul", [names[0], b.const(np.ascontiguousarray(ins[1].array.T))])
        return (clamp_to_onnx(b, b.op("Add", [y, names[2]]), self.lo, self.hi),)

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        (out,) = outs
        x, w, bias = ins
        qw, qb, qm, end = quantise_weights(out.name, x, w, bias.array, out, self.lo, self.hi)
        return Lowered(replace(self, epilogue=end), (x.name, qw, qb, qm))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        assert self.epilogue is not None
        x, w, bias, m = arrays
        _, zp = need_quant(ins[0])
        _, y_zp = need_quant(out)
        acc = matmul_exact(x.astype(np.int16) - zp, w.T, 2 ** bits_of(ins[0]) - 1) + bias.astype(np.int64)
        end = self.epilogue
        return (requant_clamp(acc, m, end.shift, y_zp, end.lo, end.hi, bits_of(out)),)

    def macs(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> int:
        (out,) = outs
        return out.size * ins[1].shape[1]

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        assert self.epilogue is not None
        x, w, b, m = ins
        _, zp = need_quant(x)
        _, y_zp = need_quant(out)
        folded = fold_bias(w.array, b.array, zp)
        end = self.epilogue
        fields = config(
            rows=x.size // w.shape[1], n_in=w.shape[1], n_out=w.shape[0],
            out_zp=y_zp, lo=end.lo, hi=end.hi, shift=end.shift, **output_width(x, out),
        )  # fmt: skip
        consts = (ConstArg("w", w.array), ConstArg("b", folded), ConstArg("m", m.array))
        return (Call(kernel_of("tg_dense", x), fields, (x.name,), consts, out.name),)

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        last = len(ins[0].shape) - 1
        return (((*access.same(last), Axis(Kind.REDUCE, last)), *(None for _ in ins[1:])),)

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        return self if order[-1] == len(order) - 1 else None

    def mean_shift(self, error: Array, mean: Array) -> Array:
        shift: Array = error @ mean
        return shift

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        rng = np.random.default_rng(2)

        def case(name: str, x: Shape, m: int, lo: float = -math.inf) -> Case:
            w = rng.normal(size=(m, x[-1])).astype(np.float32)
            return Case(name, cls(lo), (x, w, rng.normal(size=m).astype(np.float32)))

        return (
            case("64_to_12", (1, 64), 12),
            case("relu_odd", (1, 37), 5, lo=0.0),
            case("rows", (1, 6, 10), 8),
            case("one_to_one", (1, 1), 1),
        )
