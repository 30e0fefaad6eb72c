"""Values written into a tensor at a position that comes in: a cache of fixed length. NUMERICS section 5."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.ir.types import Tensor
from tinygen.numerics import Array
from tinygen.ops import access
from tinygen.ops.access import Access, Axis, Kind
from tinygen.ops.base import Call, Case, Lowered, OnnxBuilder, Operator, Shape, config, kernel_of, need_quant
from tinygen.ops.broadcast import operands
from tinygen.ops.interval import Interval, hull

#: Positions that an int8 index can name.
MAX_POSITIONS = 256


@dataclass(frozen=True)
class Insert(Operator):
    """cache (B, ..., L, ...) with `update` (B, ..., T, ...) written over its positions at[b]..at[b] + T - 1 along
    `axis`. at (B,) are whole numbers: below 0 they mean 0, above the last position from which all of the update fits
    that one; with `wraps` each of the L positions is one, and the update goes on at the front.

    FIXED: `unit` is the scale of `at` in 65536ths."""

    axis: int
    wraps: bool = False
    unit: int = 0
    same_quant = True
    int16 = True

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        cache, update, at = shapes
        axis = self.axis
        fits = len(update) == len(cache) and 0 < axis < len(cache) and at == cache[:1]
        rest = [d for i, d in enumerate(update) if i != axis] == [d for i, d in enumerate(cache) if i != axis]
        if not fits or not rest or update[axis] > cache[axis]:
            raise ValueError(f"{update} cannot be written into {cache} along axis {axis} at positions of shape {at}")
        if self._last(cache, update) >= MAX_POSITIONS:
            raise ValueError(
                f"a cache of {cache[axis]} positions: the update begins at {MAX_POSITIONS} different ones at the most"
            )
        return (cache,)

    def _last(self, cache: Shape, update: Shape) -> int:
        """The last position at which an update may begin."""
        return cache[self.axis] - (1 if self.wraps else update[self.axis])

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        cache, update, at = (t.shape for t in ins)
        rank, last = len(cache), self._last(cache, update)

        def ints(*values: int) -> str:
            return b.const(np.array(values, np.int64))

        inside = b.op("Clip", [b.op("Round", [names[2]]), *(b.const(np.array(v, np.float32)) for v in (0, last))])
        first = b.op("Reshape", [b.op("Cast", [inside], to=7), ints(at[0], *(1,) * (rank - 1))])
        steps = np.arange(update[self.axis]).reshape([-1 if i == self.axis else 1 for i in range(rank)])
        places = b.op("Add", [first, b.const(steps)])
        if self.wraps:
            places = b.op("Mod", [places, ints(cache[self.axis])])
        places = b.op("Expand", [places, ints(*update)])
        return (b.op("ScatterElements", [names[0], places, names[1]], axis=self.axis),)

    def ties(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[tuple[str, ...], ...]:
        return (tuple(t.name for t in (*ins[:2], *outs)),)

    def index_inputs(self, ins: Sequence[Tensor]) -> frozenset[str]:
        return frozenset([ins[2].name])

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        unit = min(round(need_quant(ins[2])[0] * 65536), 2**23)
        return Lowered(replace(self, unit=unit), (*operands(ins[:2]), ins[2].name))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        at = (arrays[2].astype(np.int64) - need_quant(ins[2])[1]) * self.unit  # (samples, B)
        at = np.clip((at + 32768) >> 16, 0, self._last(ins[0].shape, ins[1].shape))
        shape = (len(at), *ins[0].shape)
        cache, update = (np.broadcast_to(a, (len(at), *t.shape)) for a, t in zip(arrays[:2], ins[:2], strict=True))
        count = ins[1].shape[self.axis]
        places = (at[..., None] + np.arange(count)) % ins[0].shape[self.axis]
        where = places.reshape([*at.shape, *(count if i == self.axis else 1 for i in range(1, len(ins[0].shape)))])
        y = np.array(cache).reshape(shape)
        np.put_along_axis(y, np.broadcast_to(where, update.shape), update, self.axis + 1)
        return (y,)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        cache, update, at = ins
        outer = math.prod(cache.shape[: self.axis])
        fields = config(
            outer=outer, each=outer // cache.shape[0], length=cache.shape[self.axis], count=update.shape[self.axis],
            width=math.prod(cache.shape[self.axis + 1 :]), zero=need_quant(at)[1], unit=self.unit,
            last=self._last(cache.shape, update.shape),
        )  # fmt: skip
        names = (cache.name, update.name, at.name)
        return (Call(kernel_of("tg_insert", outs[0]), fields, names, (), outs[0].name, in_place=(cache.name,)),)

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        same = access.same(len(ins[0].shape))
        written = tuple(Axis(Kind.MIX, i) if i == self.axis else a for i, a in enumerate(same))
        return ((same, written, (Axis(Kind.MIX),)),)

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        return replace(self, axis=order.index(self.axis)) if order[0] == 0 else None

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        last = self.axis == len(ins[0].shape) - 1
        return (hull([ranges[0], ranges[1].whole(ins[0].shape[-1]) if last else ranges[1]]),)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        return (
            Case("rows", cls(1), ((1, 6, 5), (1, 1, 5), (1,))),
            Case("wraps", cls(1, wraps=True), ((1, 6, 5), (1, 4, 5), (1,))),
            Case("by_heads", cls(2), ((2, 3, 6, 4), (2, 3, 2, 4), (2,))),
            Case("last_axis", cls(2), ((1, 3, 6), (1, 3, 6), (1,))),
            Case("constant", cls(1), (np.linspace(-1, 1, 20, dtype=np.float32).reshape(1, 4, 5), (1, 2, 5), (1,))),
        )
