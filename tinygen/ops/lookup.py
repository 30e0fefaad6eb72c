"""Rows of a constant table, picked by whole numbers: an embedding. NUMERICS section 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.ir.types import Tensor
from tinygen.numerics import Array
from tinygen.ops import access
from tinygen.ops.access import Access
from tinygen.ops.base import (
    Call,
    Case,
    ConstArg,
    Lowered,
    OnnxBuilder,
    Operator,
    Shape,
    config,
    need_quant,
    quantise_as,
)
from tinygen.ops.extreme import MASKED
from tinygen.ops.interval import Interval

#: Rows that an int8 index can pick.
MAX_ROWS = 256


@dataclass(frozen=True)
class Lookup(Operator):
    """y[i] = table[x[i]], for an activation x of whole numbers and a table (rows, width). What lies outside the table
    picks the row at its nearest end. `zero` (FIXED): the integer of x that picks the first row."""

    zero: int = 0

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        x, table = shapes
        if len(table) != 2 or not 1 <= table[0] <= MAX_ROWS:
            raise ValueError(f"a table of shape {table}; from 1 to {MAX_ROWS} rows are allowed")
        return ((*x, table[1]),)

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        x, last = ins[0], ins[1].shape[0] - 1
        if x.quant is not None and x.quant.scale == (1.0,):  # whole numbers; data and made-up inputs stay in the table
            return (b.op("Gather", [names[1], b.op("Cast", [names[0]], to=7)], axis=0),)
        inside = b.op("Clip", [b.op("Round", [names[0]]), *(b.const(np.array(v, np.float32)) for v in (0, last))])
        return (b.op("Gather", [names[1], b.op("Cast", [inside], to=7)], axis=0),)

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        (out,) = outs
        x, table = ins
        scale, zero = need_quant(x)
        rows = quantise_as(out, table.array)
        if scale != 1.0:  # one row for each integer of x
            row = np.clip(np.rint(scale * (np.arange(-128, 128) - zero)), 0, len(rows) - 1).astype(np.int64)
            rows, zero = rows[row], -128
        return Lowered(replace(self, zero=zero), (x.name, Tensor.constant(f"{out.name}_rows", rows)))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        x, rows = arrays
        return (rows[np.clip(x.astype(np.int64) - self.zero, 0, len(rows) - 1)],)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        x, rows = ins
        fields = config(n=x.size, width=rows.shape[1], last=rows.shape[0] - 1, zero=self.zero)
        return (Call("tg_lookup_s8", fields, (x.name,), (ConstArg("rows", rows.array),), out.name),)

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        return ((access.same(len(ins[0].shape)), None),)

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        return self

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        """What the rows hold that the indices can pick."""
        rows = ins[1].array
        first, last = (int(np.clip(v - self.zero, 0, len(rows) - 1)) for v in (ranges[0].lo.min(), ranges[0].hi.max()))
        return (Interval(*(f(rows[first : last + 1].astype(np.int64), axis=0) for f in (np.min, np.max))),)

    def own_values(self, ins: Sequence[Tensor], output: int = 0) -> tuple[float, ...]:
        rows = ins[1].array
        rows = rows[np.abs(rows) < MASKED]  # a mask is at the ends of any range
        return (float(rows.min()), float(rows.max())) if rows.size else ()

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        table = np.random.default_rng(5).normal(size=(9, 6)).astype(np.float32)
        return (Case("rows", cls(), ((1, 7), table)), Case("one_row", cls(), ((1, 3, 4), table[:1])))
