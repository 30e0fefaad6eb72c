"""Attention: softmax(scale * q k' + bias) v, by heads. NUMERICS section 10.

Fused by rows of q: what a row's scores are is never in memory beside those of another. Rows of time hold their heads
side by side, as dense layers write them, so nothing is transposed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.errors import ModelError
from tinygen.ir.types import Tensor
from tinygen.numerics import Array, choose_multipliers, int_type, requant
from tinygen.ops.access import Access, Axis, Kind, Labels
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
    is_wide,
    kernel_of,
    need_quant,
    output_width,
    step_of,
    zero_points,
)
from tinygen.ops.matmul import log2_up

#: The most keys, whose exponentials then keep 11 bits, and the most values of each, whose products fit 32 bits.
LONGEST, WIDEST = 4096, 2**15
#: Scores of an octave, and the least and the largest; what is masked lies 8192 below, where exponentials are 0.
OCTAVE, LEAST, MOST, MASKED = 512, -24576, 32767, -32768


@dataclass(frozen=True)
class Attention(Operator):
    """FLOAT: q (B, T, heads * D), k (B, S, kv_heads * D), v (B, S, kv_heads * Dv), and perhaps a constant bias of the
    scores (heads or 1, T or 1, S), -inf where a key is masked. Each heads / kv_heads neighbours share keys and values.

    causal: query i sees keys 0..i. FIXED: the table of exponentials and the bias in units of the scores, int16.
    """

    heads: int
    kv_heads: int
    scale: float
    causal: bool = False
    m: int = 0
    shift: int = 0
    coarse: int = 0
    down: int = 0
    numerator: int = 0
    out_shift: int = 0
    int16 = True
    narrows = True

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        q, k, v = shapes[:3]
        if any(len(s) != 3 for s in (q, k, v)) or not q[0] == k[0] == v[0] or k[1] != v[1]:
            raise ValueError(f"attention of {q}, {k} and {v}")
        if self.heads % self.kv_heads or q[2] % self.heads or k[2] % self.kv_heads or v[2] % self.kv_heads:
            raise ValueError(f"attention of {q}, {k} and {v} with {self.heads} and {self.kv_heads} heads")
        if q[2] // self.heads != k[2] // self.kv_heads:
            raise ValueError(f"queries of {q[2] // self.heads} values, keys of {k[2] // self.kv_heads}")
        return ((q[0], q[1], v[2] // self.kv_heads * self.heads),)

    def _sizes(self, ins: Sequence[Tensor]) -> tuple[int, int, int, int, int]:
        """B, T, S, D, Dv."""
        q, k, v = (t.shape for t in ins[:3])
        return q[0], q[1], k[1], q[2] // self.heads, v[2] // self.kv_heads

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        batch, t, s, d, dv = self._sizes(ins)
        each, kv = self.heads // self.kv_heads, self.kv_heads

        def split(name: str, shape: Shape, perm: Shape) -> str:
            return b.op("Transpose", [b.op("Reshape", [name, b.const(np.array(shape, np.int64))])], perm=list(perm))

        q = split(names[0], (batch, t, kv, each, d), (0, 2, 3, 1, 4))
        k = split(names[1], (batch, s, kv, 1, d), (0, 2, 3, 4, 1))
        v = split(names[2], (batch, s, kv, 1, dv), (0, 2, 3, 1, 4))
        scores = b.op("Mul", [b.op("MatMul", [q, k]), b.const(np.array(self.scale, np.float32))])
        if len(names) > 3:
            shape = ins[3].shape if ins[3].shape[0] == 1 else (kv, each, *ins[3].shape[1:])
            scores = b.op("Add", [scores, b.op("Reshape", [names[3], b.const(np.array(shape, np.int64))])])
        if self.causal:
            hidden = np.where(np.tri(t, s), np.float32(0), np.float32(-np.inf))
            scores = b.op("Add", [scores, b.const(hidden.astype(np.float32))])
        y = b.op("Transpose", [b.op("MatMul", [b.op("Softmax", [scores], axis=-1), v])], perm=[0, 3, 1, 2, 4])
        return (b.op("Reshape", [y, b.const(np.array((batch, t, self.heads * dv), np.int64))]),)

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        (out,), (q, k, v) = outs, ins[:3]
        _, _, s, d, _ = self._sizes(ins)
        if s > LONGEST or d > WIDEST:
            raise ModelError(f'"{out.name}": {s} keys of {d} values; attention takes {LONGEST} of {WIDEST} at most')
        unit = need_quant(q)[0] * need_quant(k)[0] * self.scale * math.log2(math.e) * OCTAVE
        reach = d * math.prod(_reach(x) for x in (q, k))
        coarse = next((c for c in (0, 1) if abs(unit) * reach < -LEAST * 2.0**c), 2)
        down = log2_up(d) if is_wide(q) else 0
        try:
            m, shift = choose_multipliers([unit * 2.0 ** (down - coarse)], step_of(q))
        except ValueError as e:
            raise ModelError(f'"{out.name}": {e}') from e
        table = exponentials(s)
        ratio = need_quant(v)[0] / need_quant(out)[0] * (2.0**7 if is_wide(v) else 1.0)
        out_shift = 62
        while out_shift > 1 and round(ratio * 2.0**out_shift) >= 2**31 * int(table[0]):
            out_shift -= 1
        numerator = round(ratio * 2.0**out_shift)
        if numerator >= 2**31 * int(table[0]):
            raise ModelError(f'"{out.name}": its scale is far too fine for that of the values')
        bias = np.zeros((1, 1, 1))
        if len(ins) > 3:
            real = ins[3].array.astype(np.float64) * (math.log2(math.e) * OCTAVE / 2.0**coarse)
            bias = np.where(np.isneginf(real), MASKED, np.clip(np.rint(real), LEAST, MOST))
        op = replace(self, m=int(m[0]), shift=shift, coarse=coarse, down=down, numerator=numerator, out_shift=out_shift)
        consts = (
            Tensor.constant(f"{out.name}_exp", table),
            Tensor.constant(f"{out.name}_bias", bias.astype(np.int16)),
        )
        return Lowered(op, (q.name, k.name, v.name, *consts))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        _, t, s, d, dv = self._sizes(ins)
        each = self.heads // self.kv_heads
        q, k, v = (
            (x.astype(np.float64) - need_quant(tensor)[1]).reshape(-1, x.shape[2], n, width).transpose(0, 2, 1, 3)
            for x, tensor, n, width in zip(arrays, ins, (self.heads, *[self.kv_heads] * 2), (d, d, dv), strict=False)
        )
        k, v = (np.repeat(x, each, axis=1) for x in (k, v))
        table, bias = arrays[3].astype(np.int64), arrays[4].astype(np.int64)
        acc = (q @ k.swapaxes(2, 3)).astype(np.int64) >> self.down  # below 2^53: exact
        scores = np.clip(np.clip(requant(acc, self.m, self.shift), -MOST - 1, MOST) + bias, LEAST, MOST)
        hidden = np.broadcast_to(bias, (self.heads, t, s)) == MASKED
        if self.causal:
            hidden = hidden | ~np.tri(t, s, dtype=bool)
        scores = np.where(hidden, MASKED, scores)
        below = np.minimum((scores.max(axis=-1, keepdims=True) - scores) << self.coarse, 16 * OCTAVE - 1)
        e = table[below & (OCTAVE - 1)] >> (below >> 9)
        total = e.sum(axis=-1, keepdims=True)
        acc = (e.astype(np.float64) @ v).astype(np.int64) >> (7 if is_wide(ins[2]) else 0)
        y = requant(acc, self.numerator // total, self.out_shift) + need_quant(out)[1]
        y = np.clip(y, *int_range(out)).transpose(0, 2, 1, 3).reshape(-1, *out.shape)
        return (y.astype(int_type(bits_of(out))),)

    def error(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> float:
        """NUMERICS section 10, *Error*."""
        q, k, v, table, bias = ins
        _, _, s, d, _ = self._sizes(ins)
        (s_v, _), (s_y, _), top = need_quant(v), need_quant(outs[0]), int(table.array[0])
        spread = (int_range(v)[1] - int_range(v)[0]) * s_v / s_y  # of the values, in steps of the output
        # How far a score may be off, in its own units.
        unit = need_quant(q)[0] * need_quant(k)[0] * abs(self.scale) * math.log2(math.e) * OCTAVE / 2.0**self.coarse
        scores = unit * d * _reach(q) * _reach(k)
        step = abs(self.m) / 2.0**self.shift  # of the accumulator
        away = 0.5 + abs(step / (unit * 2.0**self.down) - 1.0) * min(scores, MOST)
        away += (step if self.down else 0.0) + (0.5 if np.any(bias.array) else 0.0)
        if scores + np.abs(bias.array[bias.array != MASKED].astype(np.int64)).max(initial=0) > -LEAST:
            return 0.5 + spread  # scores may saturate
        off = math.expm1(away * 2.0**self.coarse / OCTAVE * math.log(2.0)) / 2.0 + s / top
        ratio = self.numerator / 2.0**self.out_shift / (2.0**7 if is_wide(v) else 1.0) * s_y / s_v
        end = abs(ratio - 1.0) + s * top / self.numerator
        cut = s_v / s_y * 2.0**7 / top if is_wide(v) else 0.0
        return 0.5 + spread * off + 2.0 ** bits_of(outs[0]) * end + cut

    def macs(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> int:
        batch, t, s, d, dv = self._sizes(ins)
        return batch * self.heads * t * s * (d + dv)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,), (q, k, v, table, bias) = outs, ins
        batch, t, s, d, dv = self._sizes(ins)
        strides = [0 if n == 1 else st for n, st in zip(bias.shape, (*_strides(bias.shape), 1), strict=True)]
        wide = {"down": self.down} if is_wide(q) else {}
        fields = config(
            batch=batch, queries=t, keys=s, heads=self.heads, each=self.heads // self.kv_heads, d=d, dv=dv,
            **zero_points(q_zp=q, k_zp=k, v_zp=v), m=self.m, shift=self.shift, **wide, coarse=self.coarse,
            causal=int(self.causal), bias_head=strides[0], bias_row=strides[1], bias_key=strides[2],
            numerator_high=self.numerator >> 32, numerator_low=self.numerator & 0xFFFFFFFF, out_shift=self.out_shift,
            **output_width(q, out), out_zp=need_quant(out)[1],
        )  # fmt: skip
        consts = (ConstArg("exp", table.array), ConstArg("bias", bias.array))
        names = (q.name, k.name, v.name)
        alone = q.name not in (k.name, v.name)
        own = (q.name,) if alone and d == dv and bits_of(q) == bits_of(out) else ()
        kernel = kernel_of("tg_attention", q)
        return (Call(kernel, fields, names, consts, out.name, scratch=-(-2 * s // 4) * 4, in_place=own),)

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        """A row of the output reads its row of q, and its head of all keys and values that it sees."""
        _, t, s, d, dv = self._sizes(ins)
        head = np.arange(outs[0].shape[2]) // dv
        shared = head // (self.heads // self.kv_heads)
        seen = Axis(Kind.WINDOW, 1, np.zeros(t, np.int64), np.minimum(np.arange(t), s - 1))
        rows = seen if self.causal else Axis(Kind.MIX)
        value = shared * dv + np.arange(len(head)) % dv
        image, row = Axis(Kind.SAME, 0), Axis(Kind.SAME, 1)
        q = (image, row, Axis(Kind.WINDOW, 2, head * d, head * d + d - 1))
        k = (image, rows, Axis(Kind.WINDOW, 2, shared * d, shared * d + d - 1))
        v = (image, rows, Axis(Kind.WINDOW, 2, value, value))
        return ((q, k, v, *(None for _ in ins[3:])),)

    def channels(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Labels, ...]:
        """FLOAT: a head goes as a whole, with those that share its keys; FIXED: all stay."""
        if self.numerator:
            return super().channels(ins, outs)
        _, _, _, d, dv = self._sizes(ins)
        heads, each = np.arange(self.kv_heads), self.heads // self.kv_heads
        q, k, v, y = ({-1: np.repeat(heads, n)} for n in (each * d, d, dv, each * dv))
        more = [{0: np.repeat(heads, each)} if t.const and t.shape[0] == self.heads > 1 else {} for t in ins[3:]]
        return q, k, v, *more, y

    def cut(self, ins: Sequence[Tensor], outs: Sequence[Tensor], kept: Sequence[Array]) -> Operator | None:
        left = len(kept[2]) // self._sizes(ins)[4]
        return replace(self, heads=left * (self.heads // self.kv_heads), kv_heads=left)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        rng = np.random.default_rng(4)
        bias = rng.normal(size=(2, 5, 7)).astype(np.float32)
        bias[:, 2, 3:5] = -np.inf
        return (
            Case("self", cls(2, 2, 0.4), ((1, 6, 8), (1, 6, 8), (1, 6, 8))),
            Case("causal", cls(2, 2, 0.4, causal=True), ((1, 6, 8), (1, 6, 8), (1, 6, 8))),
            Case("cross", cls(2, 2, 0.7), ((1, 5, 6), (1, 9, 6), (1, 9, 4))),
            Case("biased", cls(2, 2, 0.7), ((1, 5, 6), (1, 7, 6), (1, 7, 6), bias)),
            Case("shared_keys", cls(4, 2, 0.5), ((2, 5, 12), (2, 3, 6), (2, 3, 10))),
        )


def _strides(shape: Shape) -> tuple[int, int]:
    return shape[1] * shape[2], shape[2]


def _reach(x: Tensor) -> int:
    """The largest size of an integer less its zero point."""
    (low, high), zp = int_range(x), need_quant(x)[1]
    return max(high - zp, zp - low)


def exponentials(keys: int) -> Array:
    """2^(-i / 512) in as many bits as sums of so many with values of 9 bits fit 32: 15, of more than 256 keys fewer."""
    bits = min(15, 23 - log2_up(keys))
    return np.minimum(np.rint(2.0**bits * 2.0 ** (-np.arange(OCTAVE) / OCTAVE)), 32767).astype(np.int16)
