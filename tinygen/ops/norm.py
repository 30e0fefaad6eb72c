"""Normalisation by statistics of the data: layer, group, instance, RMS and L2. NUMERICS section 10.

x is seen as [outer, reps, groups, width]: each set of reps * width values that belong to one of outer * groups is
divided by the root of its mean square, around its mean where `centre`. Factors and offsets lie along [groups, width].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.errors import ModelError
from tinygen.ir.types import Tensor
from tinygen.numerics import Array, int_type, mul_high, rsqrt
from tinygen.ops import access
from tinygen.ops.access import Access, Axis, Kind, Labels, width
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
    clamp_bounds,
    clamp_to_onnx,
    config,
    is_wide,
    kernel_of,
    narrowed,
    need_quant,
)

#: How many values may share their statistics: sums of squares of int8 fit uint32; n * x of int16 stays below 2^30.
LONGEST = {8: 65535, 16: 16384}


def blocks(shape: Shape, axes: Shape, groups: int) -> tuple[int, int, int, int] | None:
    """(outer, reps, groups, width), or None where the axes lie otherwise (axes of length 1 do not matter).

    `groups` > 1: so many cuts of the last axis, which is one of `axes`, each with statistics of its own.
    """
    runs: list[tuple[bool, int]] = []  # neighbouring axes as one: are they reduced, how many values
    for i, d in enumerate(shape):
        if groups > 1 and i == len(shape) - 1:
            runs += [(False, groups), (True, d // groups)]
        elif d > 1 and runs and runs[-1][0] == (i in axes):
            runs[-1] = (i in axes, runs[-1][1] * d)
        elif d > 1:
            runs.append((i in axes, d))
    if not any(inside for inside, _ in runs):
        return 1, 1, math.prod(shape), 1

    def take(inside: bool) -> int:
        return runs.pop()[1] if runs and runs[-1][0] == inside else 1

    width = take(True)
    kept = take(False) if groups > 1 or any(inside for inside, _ in runs) else 1
    reps, outer = take(True), take(False)
    return None if runs else (outer, reps, kept, width)


@dataclass(frozen=True)
class Norm(Operator):
    """(x - mean) / sqrt(variance + eps) * scale + offset, over `axes`. FLOAT: x, scale, offset, either for each column,
    the values of [groups, width], or one for all.

    centre: false: the mean is not subtracted (RMS, L2). mean: false: the sum of squares instead of their mean (L2).
    floor: eps is the least value of what the root is taken of, instead of an addend.
    FIXED: x, w = (offset, factor) for each column, int32; `add` is eps in units of n^2 steps^2.
    """

    axes: Shape
    groups: int = 1
    centre: bool = True
    mean: bool = True
    eps: float = 1e-5
    floor: bool = False
    lo: float = -math.inf  # fused clamp, real values
    hi: float = math.inf
    add: int = 0
    epilogue: Epilogue | None = None
    learns = True
    int16 = True

    @property
    def title(self) -> str:
        if not self.mean:
            return "l2 norm"
        return "normalisation" if self.centre else "rms norm"

    def infer(self, *shapes: Shape) -> tuple[Shape, ...]:
        x = shapes[0]
        if self.groups > 1 and (x[-1] % self.groups or len(x) - 1 not in self.axes):
            raise ValueError(f"{x[-1]} channels in {self.groups} groups")
        if blocks(x, self.axes, self.groups) is None:
            raise ValueError(f"normalisation of {x} over axes {self.axes}: they are not neighbours")
        for s in shapes[1:]:
            _, _, kept, width = self.view(x, s[0])
            if s[0] not in (1, kept * width):
                raise ValueError(f"{s[0]} factors for {kept * width} values")
        return (x,)

    def view(self, x: Shape, columns: int = 1) -> tuple[int, int, int, int]:
        """(outer, reps, groups, width) of a tensor of shape x whose factors repeat after so many values."""
        found = blocks(x, self.axes, self.groups)
        assert found is not None
        outer, reps, kept, width = found
        if reps == kept == 1 and 1 < columns < width and width % columns == 0:
            return outer, width // columns, 1, columns
        return found

    def access(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Access:
        axes = tuple(Axis(Kind.MIX if i in self.axes else Kind.SAME, i) for i in range(len(ins[0].shape)))
        return ((axes, None, None)[: len(ins)],)

    def permuted(self, ins: Sequence[Tensor], order: Shape) -> Operator | None:
        x, last = ins[0].shape, len(order) - 1
        if self.groups > 1 and order[last] != last:
            return None
        moved = replace(self, axes=tuple(sorted(order.index(a) for a in self.axes)))
        shape = tuple(x[i] for i in order)
        try:
            moved.infer(shape, *(t.shape for t in ins[1:]))
        except ValueError:  # not neighbours there, or other columns
            return None
        places = [np.arange(t.shape[0]) for t in ins[1:]]
        same = all(np.array_equal(moved.spread(shape, p), self.spread(x, p).transpose(order)) for p in places)
        return moved if same else None

    def channels(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Labels, ...]:
        """Where the last axis stays, a factor for each channel goes along with it."""
        x, *factors, y = super().channels(ins, outs)
        sizes = [t.shape[0] for t in ins[1:]]
        if any(size not in (1, width(outs[0])) for size in sizes):
            return access.stays(ins[0]), *factors, access.stays(outs[0])
        return x, *({0: y[-1]} if size == width(outs[0]) else {} for size in sizes), y

    def clamped(self, lo: float, hi: float) -> Norm:
        lo, hi = narrowed((self.lo, self.hi), lo, hi)
        return replace(self, lo=lo, hi=hi)

    def error(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> float:
        """NUMERICS section 10, *Error*."""
        end, x, n = self.epilogue, ins[0], self._count(ins[0])
        assert end is not None
        factor = float(np.abs(ins[1].array[:, 1]).max()) / 2.0 ** (end.shift + half_log2(n) + 3)
        eps = max(self.eps, 0.0) * self._unit(x)
        least, low, high = max(1, n - 1) if self.centre else n, min(eps, self.add), max(eps, self.add)
        if self.floor:
            of_eps = 1.0 - math.sqrt(max(low, least) / high) if high > least else 0.0
        else:
            v = max(least, low / 2.0)
            of_eps = (high - low) / 2.0 * math.sqrt(v) / (v + low) ** 1.5
        rounding = 1.5 * 2.0**-end.shift + 2.0 ** -(end.shift + 4) + 2.0 ** (bits_of(outs[0]) - 25)
        return 0.5 + rounding + factor * math.sqrt(n) * of_eps

    def spread(self, x: Shape, factors: Array) -> Array:
        """Factors as values of shape x."""
        outer, reps, kept, width = self.view(x, len(factors))
        columns = np.broadcast_to(factors, (outer, reps, kept * width))
        return columns.reshape(x)

    def along(self, x: Shape, values: Array) -> Array | None:
        """The factors, as few as will do, that spread over shape x are `values`; None: there are none."""
        found = blocks(x, self.axes, self.groups)
        if found is None:
            return None
        _, reps, kept, width = found
        for columns in (1, x[-1] if reps == kept == 1 and width % x[-1] == 0 else 1, kept * width):
            factors = np.broadcast_to(values, x).reshape(-1, columns)
            if np.all(factors == factors[0]):
                found_factors: Array = factors[0].astype(np.float32)
                return found_factors
        return None

    def to_onnx(self, b: OnnxBuilder, ins: Sequence[Tensor], names: Sequence[str]) -> tuple[str, ...]:
        x = ins[0].shape
        found = self.view(x, max(t.size for t in ins[1:]))
        seen = b.op("Reshape", [names[0], b.const(np.array(found, np.int64))])
        axes = b.const(np.array([1, 3], np.int64))
        if self.centre:
            seen = b.op("Sub", [seen, b.op("ReduceMean", [seen, axes], keepdims=1)])
        stat = b.op("ReduceMean" if self.mean else "ReduceSum", [b.op("Mul", [seen, seen]), axes], keepdims=1)
        eps = b.const(np.array(self.eps, np.float32))
        root = b.op("Sqrt", [b.op("Max" if self.floor else "Add", [stat, eps])])
        params = b.const(np.array((1, 1, *found[2:]), np.int64))
        y = b.op("Div", [seen, root])
        for op, t, name in zip(("Mul", "Add"), ins[1:], names[1:], strict=True):
            y = b.op(op, [y, name if t.size == 1 else b.op("Reshape", [name, params])])
        y = b.op("Reshape", [y, b.const(np.array(x, np.int64))])
        return (clamp_to_onnx(b, y, self.lo, self.hi),)

    def _count(self, x: Tensor) -> int:
        """How many values share their statistics."""
        _, reps, _, width = self.view(x.shape)
        return reps * width

    def _unit(self, x: Tensor) -> float:
        """What eps is counted in, of v."""
        n = self._count(x)
        return float(n * n if self.mean else n) / need_quant(x)[0] ** 2

    def quantise(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> Lowered:
        (out,) = outs
        x, scale, offset = ins
        n, (s_x, _), (s_y, zp) = self._count(x), need_quant(x), need_quant(out)
        longest = LONGEST[bits_of(x)]
        if n > longest:
            raise ModelError(f'"{out.name}": statistics of {n} values; of {bits_of(x)} bits it takes {longest} at most')
        add = round(max(self.eps, 0.0) * self._unit(x))
        if add >= 2**62:
            raise ModelError(f'"{out.name}": eps {self.eps:.3g} leaves nothing of an input of scale {s_x:.3g}')
        factor = scale.array.astype(np.float64) / s_y * (1.0 if self.mean else 1.0 / math.sqrt(n))
        start = offset.array.astype(np.float64) / s_y
        shift, up = 8, half_log2(n) + 3
        while shift > 0 and not (
            np.abs(factor).max() * 2.0 ** (shift + up) < 2**31 - 1
            and (np.abs(start).max() + 2.0**16) * 2.0**shift < 2**30
        ):
            shift -= 1
        if shift < 1:
            raise ModelError(f'"{out.name}": its scale {s_y:.3g} is too fine for the factors of a normalisation')
        g = np.rint(factor * 2.0 ** (shift + up)).astype(np.int64)
        b = np.rint(start * 2.0**shift).astype(np.int64) + (zp << shift) + (1 << (shift - 1))
        w = np.stack(np.broadcast_arrays(b, g), axis=-1).astype(np.int32)
        op = replace(self, add=max(add, 1), epilogue=Epilogue(shift, *clamp_bounds(self.lo, self.hi, out)))
        return Lowered(op, (x.name, Tensor.constant(f"{out.name}_w", w)))

    def run_fixed(self, ins: Sequence[Tensor], arrays: Sequence[Array], outs: Sequence[Tensor]) -> tuple[Array, ...]:
        (out,) = outs
        end, found = self.epilogue, self.view(ins[0].shape, len(arrays[1]))
        assert end is not None
        n = found[1] * found[3]
        x = arrays[0].reshape(-1, *found).astype(np.int64) - (0 if self.centre else need_quant(ins[0])[1])
        total = x.sum(axis=(2, 4), keepdims=True) * int(self.centre)
        v = n * (x * x).sum(axis=(2, 4), keepdims=True) - total * total
        v = np.maximum(v, self.add) if self.floor else v + self.add
        # Normalised by an even power of two: the upper word w of v << p has one of its two upper bits set.
        bits = np.where(v >= 2**32, 32 + bit_length(v >> 32), bit_length(v))
        p = (64 - bits) & ~1
        w = (v.astype(np.uint64) << p.astype(np.uint64)) >> np.uint64(32)
        k = p // 2 - half_log2(n) - 1
        num = n * x - total
        a = np.where(k >= 0, num << np.maximum(k, 0), num >> np.maximum(-k, 0))
        z = mul_high(a, rsqrt(w))
        b, g = (arrays[1][:, i].reshape(1, 1, 1, *((1, 1) if len(arrays[1]) == 1 else found[2:])) for i in (0, 1))
        y = (b + mul_high(z, g)) >> end.shift
        return (np.clip(y, end.lo, end.hi).astype(int_type(bits_of(out))).reshape(-1, *out.shape),)

    def lower(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Call, ...]:
        (out,) = outs
        (x, w), end = ins, self.epilogue
        assert end is not None
        outer, reps, groups, width = self.view(x.shape, w.shape[0])
        if w.shape[0] == 1 and groups == 1:
            reps, width = 1, reps * width
        fields = config(
            outer=outer, reps=reps, groups=groups, width=width, w_step=int(w.shape[0] > 1),
            centre=int(self.centre), floor=int(self.floor),
            **({} if is_wide(x) else {"in_zp": 0 if self.centre else need_quant(x)[1]}),
            add_high=self.add >> 32, add_low=self.add & 0xFFFFFFFF, down=half_log2(reps * width) + 1,
            shift=end.shift, lo=end.lo, hi=end.hi,
        )  # fmt: skip
        kernel, consts = kernel_of("tg_norm", x), (ConstArg("w", w.array),)
        return (Call(kernel, fields, (x.name,), consts, out.name, in_place=(x.name,)),)

    @classmethod
    def cases(cls) -> tuple[Case, ...]:
        rng = np.random.default_rng(11)

        def of(n: int) -> tuple[Array, Array]:
            return rng.normal(1.0, 0.3, n).astype(np.float32), rng.normal(size=n).astype(np.float32)

        one = np.ones(1, np.float32), np.zeros(1, np.float32)
        return (
            Case("layer", cls((2,)), ((1, 5, 24), *of(24))),
            Case("layer_of_image", cls((1, 2, 3)), ((1, 4, 3, 6), *of(72))),
            Case("layer_of_image_by_channel", cls((1, 2, 3)), ((1, 4, 3, 6), *of(6))),
            Case("instance", cls((1, 2)), ((1, 5, 6, 3), *of(3))),
            Case("groups", cls((1, 2), groups=3), ((1, 7, 12), *of(12))),
            Case("rms_relu", cls((2,), centre=False, lo=0.0), ((1, 3, 10), of(10)[0], one[1])),
            Case("l2", cls((1,), centre=False, mean=False, eps=1e-12, floor=True), ((1, 33), *one)),
            Case("mean_variance", cls((0, 1, 2), eps=1e-9), ((1, 4, 4, 5), *one)),
        )


def half_log2(n: int) -> int:
    """The least h with sqrt(n) <= 2^h."""
    return (max(n - 1, 0).bit_length() + 1) // 2


def bit_length(v: Array) -> Array:
    """Of integers in [0, 2^32)."""
    found: Array = np.frexp(v.astype(np.float64))[1].astype(np.int64)
    return found
