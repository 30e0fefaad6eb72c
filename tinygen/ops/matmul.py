"""Matrix product of two tensors, by slices. NUMERICS section 10.

Each operand and the output may have its axes in any order: a transpose in front of a product, or behind it, is a way of
reading and costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.errors import ModelError
from tinygen.ir.types import Tensor
from tinygen.numerics import Array, choose_multipliers, requant_clamp
from tinygen.ops.access import Access, Axis, Kind, width
from tinygen.ops.base import (
    Call,
    Case,
    Epilogue,
    Lowered,
    OnnxBuilder,
    Operator,
    Shape,
    bits_of,
    clamp_bounds,
    clamp_to_onnx,
    config,
    contiguous_strides,
    kernel_of,
    narrowed,
    need_quant,
    step_of,
    zero_points,
)
from tinygen.ops.broadcast import operands
from tinygen.ops.interval import Interval

#: Products in a sum: of int8 below 2^31, of int16 below 2^47 in 64 bits.
LONGEST = {8: 2**15, 16: 2**16}


def turned(shape: Shape, perm: Shape) -> Shape:
    """The shape with its axes in the order `perm`; () leaves it."""
    return tuple(shape[p] for p in perm) if perm else shape


def log2_up(n: int) -> int:
    """The least r with n <= 2^r."""
    return max(n - 1, 0).bit_length()


@dataclass(frozen=True)
class MatMul(Operator):
    """a (..., M, K) by b (..., K, N), each as its `perm` orders it; the product (..., M, N) is stored as `y_perm` does.

    FIXED: `down`: what sums of int16 are shifted by, to fit 32 bits. Either operand may be constant.
    """

    a_perm: Shape = ()
    b_perm: Shape = ()
    y_perm: Shape = ()
    lo: float = -math.inf  # fused clamp, real values
    hi: float = math.inf
    m: int = 0
    down: int = 0
    epilogue: Epilogue | None = None
    int16 = True

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        a, b = turned(shapes[0], self.a_perm), turned(shapes[1], self.b_perm)
        if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
            raise ValueError(f"a product of {a} and {b}")
        return (turned((*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1]), self.y_perm),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        left, right = (
            b.op("Transpose", [name], perm=list(perm)) if perm else name
            for name, perm in zip(names, (self.a_perm, self.b_perm), strict=True)
        )
        y = b.op("MatMul", [left, right])
        y = b.op("Transpose", [y], perm=list(self.y_perm)) if self.y_perm else y
        return (clamp_to_onnx(b, y, self.lo, self.hi),)

    def _inner(self, ins: Sequence[Tensor]) -> int:
        """How many products are added."""
        return turned(ins[0].shape, self.a_perm)[-1]

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        (out,) = outs
        (s_a, _), (s_b, _), (s_y, _) = (need_quant(t) for t in (*ins, out))
        bits, inner = bits_of(out), self._inner(ins)
        if inner > LONGEST[bits]:
            raise ModelError(f'"{out.name}": sums of {inner} products; of {bits} bits it takes {LONGEST[bits]} at most')
        down = log2_up(inner) if bits == 16 else 0
        try:
            m, shift = choose_multipliers([s_a * s_b / s_y * 2.0**down], step_of(out))
        except ValueError as e:
            raise ModelError(f'"{out.name}": {e}') from e
        end = Epilogue(shift, *clamp_bounds(self.lo, self.hi, out))
        return Lowered(replace(self, m=int(m[0]), down=down, epilogue=end), operands(ins))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,), end = outs, self.epilogue
        assert end is not None
        a, b = (
            _by_sample(x, t, perm).astype(np.float64) - need_quant(t)[1]  # sums stay below 2^53: exact
            for x, t, perm in zip(arrays, ins, (self.a_perm, self.b_perm), strict=True)
        )
        rank = max(a.ndim, b.ndim)
        a, b = (x.reshape(x.shape[0], *(1,) * (rank - x.ndim), *x.shape[1:]) for x in (a, b))
        acc = np.matmul(a, b).astype(np.int64) >> self.down
        y = requant_clamp(acc, self.m, end.shift, need_quant(out)[1], end.lo, end.hi, bits_of(out))
        return (y.transpose(0, *(p + 1 for p in self.y_perm)) if self.y_perm else y,)

    def macs(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> int:
        return outs[0].size * self._inner(ins)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,), end = outs, self.epilogue
        assert end is not None
        perms = (self.a_perm, self.b_perm, tuple(int(i) for i in np.argsort(self.y_perm)))
        views = [
            (turned(t.shape, perm), turned(contiguous_strides(t.shape), perm))
            for t, perm in zip((*ins, out), perms, strict=True)
        ]
        (_, a), (_, b), (shape, y) = views
        lead = _merged(shape[:-2], [_aligned(s[:-2], st[:-2], shape[:-2]) for s, st in views])
        if len(lead) > 2:
            raise ModelError(f'"{out.name}": products over {len(lead)} separate axes of slices; tinygen takes two')
        lead = [(1, (0, 0, 0))] * (2 - len(lead)) + lead
        fields = config(
            dims=(*(d for d, _ in lead), *shape[-2:]),
            a_stride=(*(s[0] for _, s in lead), a[-2], 0),
            b_stride=(*(s[1] for _, s in lead), 0, b[-1]),
            y_stride=(*(s[2] for _, s in lead), y[-2], y[-1]),
            inner=self._inner(ins), a_step=a[-1], b_step=b[-2], **zero_points(a_zp=ins[0], b_zp=ins[1]), m=self.m,
            shift=end.shift, **zero_points(out_zp=out), lo=end.lo, hi=end.hi,
            **({"down": self.down} if bits_of(out) == 16 else {}),
        )  # fmt: skip
        return (Call(kernel_of("tg_matmul", out), fields, tuple(t.name for t in ins), (), out.name),)

    def clamped(self, lo: float, hi: float) -> MatMul:
        lo, hi = narrowed((self.lo, self.hi), lo, hi)
        return replace(self, lo=lo, hi=hi)

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        rank = len(outs[0].shape)
        stored = [self.y_perm.index(i) for i in range(rank)] if self.y_perm else list(range(rank))
        found = []
        for t, perm, inner in zip(ins, (self.a_perm, self.b_perm), (-1, -2), strict=True):
            shape = turned(t.shape, perm)
            axes = []
            for i, d in enumerate(shape, rank - len(shape)):
                out = stored[i]
                axes.append(Axis(Kind.SAME if d == outs[0].shape[out] else Kind.REPEAT, out))
            axes[inner] = Axis(Kind.MIX)
            found.append(tuple(axes[perm.index(i)] for i in range(len(axes))) if perm else tuple(axes))
        return (tuple(found),)

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        end, m = self.epilogue, width(outs[0])
        assert end is not None
        return (Interval(np.full(m, end.lo), np.full(m, end.hi)),)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        k = np.random.default_rng(7).normal(size=(3, 6, 4)).astype(np.float32)
        return (
            Case("slices", cls(), ((1, 3, 5, 6), (1, 3, 6, 4))),
            Case("one_for_all", cls(), ((1, 3, 5, 6), (6, 4))),
            Case("turned", cls((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)), ((1, 5, 3, 6), (1, 4, 3, 6))),
            Case("constant_relu", cls(lo=0.0), ((1, 3, 5, 6), k)),
            Case("constant_first", cls(), (k, (1, 1, 4, 7))),
        )


def _by_sample(x: Array, t: Tensor, perm: Shape) -> Array:
    """(samples or 1, *turned shape)."""
    x = x[None] if t.const is not None else x
    return x.transpose(0, *(p + 1 for p in perm)) if perm else x


def _aligned(shape: Shape, strides: Shape, out: Shape) -> Shape:
    """Strides over the axes of `out`, 0 where the operand is repeated."""
    own = tuple(0 if d == 1 else s for d, s in zip(shape, strides, strict=True))
    return (0,) * (len(out) - len(own)) + own


def _merged(dims: Shape, strides: Sequence[Shape]) -> list[tuple[int, tuple[int, ...]]]:
    """Axes of slices, neighbours as one where all tensors go on in step: length and strides."""
    found: list[tuple[int, tuple[int, ...]]] = []
    for i, d in enumerate(dims):
        here = tuple(s[i] for s in strides)
        if d == 1:
            continue
        if found and all(before == now * d for before, now in zip(found[-1][1], here, strict=True)):
            found[-1] = (found[-1][0] * d, here)
        else:
            found.append((d, here))
    return found
