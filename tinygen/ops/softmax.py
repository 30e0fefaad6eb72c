"""Softmax, LogSoftmax and ArgMax over the last axis. NUMERICS section 4."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.errors import ModelError
from tinygen.ir.types import Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops.base import Call, Case, ConstArg, Lowered, OnnxBuilder, Operator, Shape, config, need_quant

#: log2(1 + j/64) in Q16.
LOG2_TABLE = np.array([round(65536 * math.log2(1 + j / 64)) for j in range(65)], np.int64)
MAX_AXIS = 4096


def exp_table(scale: float) -> Array:
    """e[d] = rint(65535 * exp(-scale * d)), uint16, up to the last non-zero entry of 256."""
    e = np.rint(65535.0 * np.exp(-scale * np.arange(256, dtype=np.float64))).astype(np.uint16)
    return e[: int(np.flatnonzero(e)[-1]) + 1]


def _exps(x: Array, table: Array) -> tuple[Array, Array, Array]:
    """d = max - x, e[d] and their sum over the last axis."""
    d = x.max(axis=-1, keepdims=True).astype(np.int64) - x
    padded = np.zeros(256, np.int64)
    padded[: len(table)] = table
    e = padded[d]
    return d, e, e.sum(axis=-1, keepdims=True)


def _check_axis(x: Tensor) -> None:
    if x.shape[-1] > MAX_AXIS:
        raise ModelError(f'softmax of "{x.name}": {x.shape[-1]} values; tinygen takes at most {MAX_AXIS}')


@dataclass(frozen=True)
class Softmax(Operator):
    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        return (shapes[0],)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return (b.op("Softmax", [names[0]], axis=-1),)

    def fixed_quant(self) -> Quant | None:
        return Quant.per_tensor(1 / 256, -128)

    def quantise(self, ins: Sequence[Tensor], out: Tensor) -> Lowered:
        _check_axis(ins[0])
        return Lowered(self, (ins[0].name, Tensor.constant(f"{out.name}_e", exp_table(need_quant(ins[0])[0]))))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], out: Tensor) -> tuple[Array, ...]:
        _, e, total = _exps(*arrays)
        return (np.minimum((e * 256 + (total >> 1)) // total - 128, 127).astype(np.int8),)

    def lower(self, ins: Sequence[Tensor], out: Tensor) -> tuple[Call, ...]:
        x, e = ins
        n = x.shape[-1]
        fields = config(rows=x.size // n, n=n, len=e.size)
        return (Call("tg_softmax_s8", fields, (x.name,), (ConstArg("e", e.array),), out.name, in_place=(x.name,)),)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (Case("ten", cls(), ((1, 10),)), Case("rows", cls(), ((1, 6, 33),)))


@dataclass(frozen=True)
class LogSoftmax(Operator):
    m1: int = 0
    m2: int = 0
    shift: int = 0

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        return (shapes[0],)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        return (b.op("LogSoftmax", [names[0]], axis=-1),)

    def quantise(self, ins: Sequence[Tensor], out: Tensor) -> Lowered:
        _check_axis(ins[0])
        s_x, s_y = need_quant(ins[0])[0], need_quant(out)[0]
        r1, r2 = s_x / s_y, math.log(2) / (65536 * s_y)
        shift = 46
        while shift > 1 and round(max(r1, r2) * 2.0**shift) >= 2**31:
            shift -= 1
        op = replace(self, m1=round(r1 * 2.0**shift), m2=round(r2 * 2.0**shift), shift=shift)
        return Lowered(op, (ins[0].name, Tensor.constant(f"{out.name}_e", exp_table(s_x))))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], out: Tensor) -> tuple[Array, ...]:
        d, _, total = _exps(*arrays)
        n = np.floor(np.log2(total)).astype(np.int64)  # exact: sums stay far below 2^53
        f = total << (31 - n)
        i, r = (f >> 25) & 63, (f >> 9) & 0xFFFF
        log = (n << 16) + LOG2_TABLE[i] + (((LOG2_TABLE[i + 1] - LOG2_TABLE[i]) * r + 32768) >> 16) - 1048575
        value = (-d * self.m1 - log * self.m2 + (1 << (self.shift - 1))) >> self.shift
        return (np.clip(value + need_quant(out)[1], -128, 127).astype(np.int8),)

    def lower(self, ins: Sequence[Tensor], out: Tensor) -> tuple[Call, ...]:
        x, e = ins
        n = x.shape[-1]
        fields = config(
            rows=x.size // n, n=n, len=e.size, m1=self.m1, m2=self.m2, shift=self.shift, out_zp=need_quant(out)[1]
        )
        return (Call("tg_log_softmax_s8", fields, (x.name,), (ConstArg("e", e.array),), out.name),)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (Case("two", cls(), ((1, 2),)), Case("rows", cls(), ((1, 3, 12),)))


@dataclass(frozen=True)
class ArgMax(Operator):
    """Index of the largest value; the first of equals, or the last. Output: index - 128, scale 1, zero point -128."""

    last: bool = False
    keepdims: bool = False

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        if shapes[0][-1] > 256:
            raise ValueError(f"axis of {shapes[0][-1]} values; an int8 index holds at most 256")
        return ((*shapes[0][:-1], 1) if self.keepdims else shapes[0][:-1],)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        y = b.op("ArgMax", [names[0]], axis=-1, keepdims=int(self.keepdims), select_last_index=int(self.last))
        return (b.op("Cast", [y], to=1),)

    def fixed_quant(self) -> Quant | None:
        return Quant.per_tensor(1.0, -128)

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], out: Tensor) -> tuple[Array, ...]:
        x = arrays[0]
        index = x.shape[-1] - 1 - x[..., ::-1].argmax(axis=-1) if self.last else x.argmax(axis=-1)
        return ((index - 128).astype(np.int8).reshape(len(x), *out.shape),)

    def lower(self, ins: Sequence[Tensor], out: Tensor) -> tuple[Call, ...]:
        n = ins[0].shape[-1]
        fields = config(rows=ins[0].size // n, n=n, last=int(self.last))
        return (Call("tg_argmax_s8", fields, (ins[0].name,), (), out.name),)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (Case("first", cls(), ((1, 10),)), Case("last_rows", cls(True, True), ((1, 4, 7),)))
