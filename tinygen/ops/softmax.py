"""Softmax, LogSoftmax, log-sum-exp and ArgMax over the last axis. NUMERICS sections 4 and 8."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.errors import ModelError
from tinygen.ir.types import Quant, Tensor
from tinygen.numerics import Array, int_type
from tinygen.ops import access
from tinygen.ops.access import Access, Axis, Kind, width
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
    zero_points,
)
from tinygen.ops.interval import Interval

#: log2(1 + j/64) in Q16.
LOG2_TABLE = np.array([round(65536 * math.log2(1 + j / 64)) for j in range(65)], np.int64)
#: 2^(-j/64) in Q16.
EXP2_TABLE = np.array([round(65536 * 2.0 ** (-j / 64)) for j in range(65)], np.int64)
MAX_AXIS = 4096


def exp_table(scale: float) -> Array:
    """e[d] = rint(65535 * exp(-scale * d)), uint16, up to the last non-zero entry of 256."""
    e = np.rint(65535.0 * np.exp(-scale * np.arange(256, dtype=np.float64))).astype(np.uint16)
    return e[: int(np.flatnonzero(e)[-1]) + 1]


def exp_rule(scale: float) -> tuple[int, int, int]:
    """(m, shift, len) with exp(-scale * d) = 2^(-(d * m >> shift) / 65536) for int16 differences d < len; behind, 0.

    m is below 2^16, or d below 18 where the scale is so coarse, so d * m fits uint32.
    """
    unit = scale * math.log2(math.e) * 65536.0
    shift = 0
    while shift < 31 and round(unit * 2.0 ** (shift + 1)) < 2**16:
        shift += 1
    m = max(1, min(round(unit * 2.0**shift), 2**27))
    lowest, highest = 0, 2**16  # of the differences: e is 0 from `highest` on
    while highest - lowest > 1:
        middle = (lowest + highest) // 2
        lowest, highest = (middle, highest) if _exp2(np.array([middle]), m, shift)[0] else (lowest, middle)
    return m, shift, highest


def _exp2(d: Array, m: int, shift: int) -> Array:
    """2^(-(d * m >> shift) / 65536) in Q16, by linear interpolation in 64 pieces."""
    t = d.astype(np.int64) * m >> shift
    n, j, r = np.minimum(t >> 16, 40), (t >> 10) & 63, t & 1023
    v = EXP2_TABLE[j] - (((EXP2_TABLE[j] - EXP2_TABLE[j + 1]) * r + 512) >> 10)
    half: Array = np.left_shift(1, n) >> 1
    e: Array = (v + half) >> n
    return e


def _log2(total: Array, one: int) -> Array:
    """log2 in Q16, by linear interpolation in 64 pieces; `one`: what the rule gives for the unit of `total`."""
    n = np.floor(np.log2(total)).astype(np.int64)  # exact: sums stay far below 2^53
    f = total << (31 - n)
    i, r = (f >> 25) & 63, (f >> 9) & 0xFFFF
    log: Array = (n << 16) + LOG2_TABLE[i] + (((LOG2_TABLE[i + 1] - LOG2_TABLE[i]) * r + 32768) >> 16) - one
    return log


@dataclass(frozen=True)
class _Exponentials(Operator):
    """What reads exponentials of the distance to the largest value of each row (last axis).

    FIXED, int8 inputs: a table e[d] of uint16, a second input. int16 inputs: e by `exp_rule`.
    """

    exp_m: int = 0
    exp_shift: int = 0
    exp_len: int = 0
    int16 = True
    narrows = True

    def _fixed(self, ins: Sequence[Tensor], out: Tensor) -> Lowered:
        x, s_x = ins[0], need_quant(ins[0])[0]
        if x.shape[-1] > MAX_AXIS:
            raise ModelError(f'softmax of "{x.name}": {x.shape[-1]} values; tinygen takes at most {MAX_AXIS}')
        if is_wide(x):
            m, shift, length = exp_rule(s_x)
            return Lowered(replace(self, exp_m=m, exp_shift=shift, exp_len=length), (x.name,))
        return Lowered(self, (x.name, Tensor.constant(f"{out.name}_e", exp_table(s_x))))

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        return (
            ((*access.same(len(ins[0].shape) - 1), Axis(Kind.MIX, len(ins[0].shape) - 1)), *(None for _ in ins[1:])),
        )

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        return self if order[-1] == len(order) - 1 else None

    def _exps(self, arrays: Sequence[Array]) -> tuple[Array, Array, Array]:
        """d = max - x, e[d] and their sum over the last axis."""
        x, *table = arrays
        d = x.max(axis=-1, keepdims=True).astype(np.int64) - x
        if table:
            padded = np.zeros(256, np.int64)
            padded[: len(table[0])] = table[0]
            e = padded[d]
        else:
            e = np.where(d < self.exp_len, _exp2(np.minimum(d, self.exp_len - 1), self.exp_m, self.exp_shift), 0)
        return d, e, e.sum(axis=-1, keepdims=True)

    def _logs(self, arrays: Sequence[Array]) -> tuple[Array, Array]:
        """d, and the logarithm to base 2 of the sum, in Q16."""
        d, _, total = self._exps(arrays)
        # Rule-values of 65535 and 65536, so that a sum of one unit gives 0 to within 1.
        return d, _log2(total, 1048575 if len(arrays) > 1 else 1048576)

    def _call(self, stem: str, ins: Sequence[Tensor], out: Tensor, in_place: bool, **fields: int) -> tuple[Call, ...]:
        x, *e = ins
        n = x.shape[-1]
        consts = tuple(ConstArg("e", t.array) for t in e)
        rule = (
            {"len": e[0].array.size} if e else {"exp_m": self.exp_m, "exp_shift": self.exp_shift, "len": self.exp_len}
        )
        same = in_place and bits_of(x) == bits_of(out)
        cfg = config(rows=x.size // n, n=n, **rule, **fields, **output_width(x, out))
        return (Call(kernel_of(stem, x), cfg, (x.name,), consts, out.name, in_place=(x.name,) if same else ()),)


@dataclass(frozen=True)
class Softmax(_Exponentials):
    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        return (shapes[0],)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return (b.op("Softmax", [names[0]], axis=-1),)

    def fixed_quant(self, bits: int = 8, output: int = 0) -> Quant | None:
        return Quant.per_tensor(1 / 32768, 0, 16) if bits == 16 else Quant.per_tensor(1 / 256, -128)

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        (out,) = outs
        return self._fixed(ins, out)

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        _, e, total = self._exps(arrays)
        if is_wide(out):
            return (np.minimum((e * 32768 + (total >> 1)) // total, 32767).astype(np.int16),)
        return (np.minimum((e * 256 + (total >> 1)) // total - 128, 127).astype(np.int8),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        return self._call("tg_softmax", ins, out, in_place=True)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (Case("ten", cls(), ((1, 10),)), Case("rows", cls(), ((1, 6, 33),)))


@dataclass(frozen=True)
class _Logarithm(_Exponentials):
    """out = zp_y + ((+-(x or d) * m1 +- log2(sum) * m2) >> shift)."""

    m1: int = 0
    m2: int = 0
    shift: int = 0

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        (out,) = outs
        lowered = self._fixed(ins, out)
        s_x, s_y = need_quant(ins[0])[0], need_quant(out)[0]
        r1, r2 = s_x / s_y, math.log(2) / (65536 * s_y)
        shift = 46
        while shift > 1 and round(max(r1, r2) * 2.0**shift) >= 2**31:
            shift -= 1
        if round(max(r1, r2) * 2.0**shift) >= 2**31:
            raise ModelError(f'"{out.name}": its scale {s_y:.3g} is too fine for the input\'s, {s_x:.3g}')
        assert isinstance(lowered.op, _Logarithm)
        op = replace(lowered.op, m1=round(r1 * 2.0**shift), m2=round(r2 * 2.0**shift), shift=shift)
        return Lowered(op, lowered.inputs)

    def _end(self, value: Array, out: Tensor) -> tuple[Array, ...]:
        v = ((value + (1 << (self.shift - 1))) >> self.shift) + need_quant(out)[1]
        return (np.clip(v, *int_range(out)).astype(int_type(bits_of(out))),)

    def _multipliers(self, out: Tensor) -> dict[str, int]:
        return {"m1": self.m1, "m2": self.m2, "shift": self.shift, "out_zp": need_quant(out)[1]}


@dataclass(frozen=True)
class LogSoftmax(_Logarithm):
    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        return (shapes[0],)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return (b.op("LogSoftmax", [names[0]], axis=-1),)

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        d, log = self._logs(arrays)
        return self._end(-d * self.m1 - log * self.m2, out)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        return self._call("tg_log_softmax", ins, out, in_place=False, **self._multipliers(out))

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (Case("two", cls(), ((1, 2),)), Case("rows", cls(), ((1, 3, 12),)))


@dataclass(frozen=True)
class LogSumExp(_Logarithm):
    """log(sum(exp(x))) over the last axis, of which one value stays: the smooth maximum of each row."""

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        return ((*shapes[0][:-1], 1),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        axes = b.const(np.array([len(ins[0].shape) - 1], np.int64))
        return (b.op("ReduceLogSumExp", [names[0], axes], keepdims=1),)

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        _, log = self._logs(arrays)
        top = arrays[0].max(axis=-1, keepdims=True).astype(np.int64) - need_quant(ins[0])[1]
        return self._end(top * self.m1 + log * self.m2, out)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        fields = self._multipliers(out) | zero_points(in_zp=ins[0])
        return self._call("tg_log_sum_exp", ins, out, in_place=False, **fields)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (Case("ten", cls(), ((1, 10),)), Case("rows", cls(), ((1, 3, 12),)))


@dataclass(frozen=True)
class ArgMax(Operator):
    """Index of the largest value; the first of equals, or the last. Output: index - 128, scale 1, zero point -128."""

    last: bool = False
    keepdims: bool = False
    int16 = True
    writes_int16 = False

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        if shapes[0][-1] > 256:
            raise ValueError(f"axis of {shapes[0][-1]} values; an int8 index holds at most 256")
        return ((*shapes[0][:-1], 1) if self.keepdims else shapes[0][:-1],)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        y = b.op("ArgMax", [names[0]], axis=-1, keepdims=int(self.keepdims), select_last_index=int(self.last))
        return (b.op("Cast", [y], to=1),)

    def fixed_quant(self, bits: int = 8, output: int = 0) -> Quant | None:
        return Quant.per_tensor(1.0, -128)

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        x = arrays[0]
        index = x.shape[-1] - 1 - x[..., ::-1].argmax(axis=-1) if self.last else x.argmax(axis=-1)
        return ((index - 128).astype(np.int8).reshape(len(x), *out.shape),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        n = ins[0].shape[-1]
        fields = config(rows=ins[0].size // n, n=n, last=int(self.last))
        return (Call(kernel_of("tg_argmax", ins[0]), fields, (ins[0].name,), (), out.name),)

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        last = len(ins[0].shape) - 1
        return (((*access.same(last), Axis(Kind.MIX, last if self.keepdims else None)),),)

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        return self if order[-1] == len(order) - 1 else None

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        m = width(outs[0])
        return (Interval(np.full(m, -128), np.full(m, width(ins[0]) - 129)),)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (Case("first", cls(), ((1, 10),)), Case("last_rows", cls(True, True), ((1, 4, 7),)))
