"""What layers with weights share: Conv, ConvTranspose, Dense.

Inputs: x, w (output channels, ..., input channels of a group), b and, FIXED, the multipliers m, one for each output
channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

import numpy as np

from tinygen.ir.types import Tensor
from tinygen.numerics import Array, fold_bias
from tinygen.ops.access import Labels, width
from tinygen.ops.base import Epilogue, Operator, narrowed, need_quant
from tinygen.ops.interval import Interval, requantised


class Weighted(Operator):
    """A layer with weights: chooses freely among the channels it reads and those it writes."""

    #: Every output is a sum over one row of inputs, the same weights everywhere.
    by_rows: ClassVar[bool] = True
    learns = True
    matrices = (1,)
    bias = 2
    groups: int = 1
    epilogue: Epilogue | None

    def depthwise(self, channels: int) -> bool:
        """Every input channel is a group of its own, so that outputs stay and go with it."""
        return self.groups == channels > 1

    def taps_inside(self, x: Tensor, out: Tensor) -> Array:
        """(patterns, taps) of 0 and 1: every set of taps that lie inside the input for some output position."""
        return np.ones((1, 1))

    def channels(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> tuple[Labels, ...]:
        x, *weights, y = super().channels(ins, outs)
        rows = {0: y[-1]}
        columns = {} if self.depthwise(width(ins[0])) else {-1: x[-1][: width(ins[0]) // self.groups]}
        return x, rows | columns, *(rows for _ in weights[1:]), y

    def weights(self, ins: Sequence[Tensor]) -> int:
        return ins[1].size

    def weighed(self, ins: Sequence[Tensor], written: Array) -> Array | None:
        if self.depthwise(width(ins[0])):
            return None
        w = ins[1].array[written]
        return np.tile(np.asarray(w.reshape(-1, w.shape[-1]).any(axis=0)), self.groups)

    lo: float  # fused clamp, real values
    hi: float

    def clamped(self, lo: float, hi: float) -> Weighted:
        lo, hi = narrowed((self.lo, self.hi), lo, hi)
        return self._with(lo=lo, hi=hi)

    def error(self, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> float:
        """Of the multipliers, on the largest int16 output."""
        assert self.epilogue is not None
        w, m = ins[1].quant, ins[3].array
        assert w is not None
        ratios = need_quant(ins[0])[0] * np.asarray(w.scale) / need_quant(outs[0])[0]
        errors = np.abs(m / 2.0**self.epilogue.shift - ratios) / ratios
        return 0.5 + 2.0**15 * float(errors.max())

    def mean_shift(self, error: Array, mean: Array) -> Array:
        """What weights that are off by `error` shift the outputs by on average; `mean` of each input channel. A tap on
        the zeros around an image counts as one inside it."""
        taps = error.sum(axis=tuple(range(1, error.ndim - 1)))  # (O, C/groups)
        group = np.repeat(np.arange(self.groups), len(taps) // self.groups)
        shift: Array = (taps * mean.reshape(self.groups, -1)[group]).sum(axis=1)
        return shift

    def ending(self, end: Epilogue) -> Weighted:
        """The layer with another integer end."""
        return self._with(epilogue=end)

    def _with(self, **changes: Any) -> Weighted:
        """`replace` for what is a dataclass only where it is a layer."""
        layer: Weighted = replace(cast(Any, self), **changes)
        return layer

    # -- FIXED: intervals --------------------------------------------------------------------------------------------

    def bounds(self, ins: Sequence[Tensor], outs: Sequence[Tensor], ranges: Sequence[Interval]) -> tuple[Interval, ...]:
        return (self.layer_range(ins, outs[0], self.sums(ins, outs[0], ranges[0])),)

    def sums(self, ins: Sequence[Tensor], out: Tensor, x: Interval) -> Interval:
        """Interval of the accumulators b + sum w * (x - zp) of each output channel, over all positions."""
        w, bias = ins[1].array, ins[2].array.astype(np.int64)
        d = x.minus(need_quant(ins[0])[1])
        taps = w.reshape(self.groups, len(w) // self.groups, -1, w.shape[-1]).astype(np.float64)
        up, down = np.maximum(taps, 0.0), np.minimum(taps, 0.0)  # group, output, tap, input
        lo, hi = (v.reshape(self.groups, -1).astype(np.float64) for v in (d.lo, d.hi))

        def total(a: Array, b: Array) -> Array:
            """sum over inputs of up * a + down * b: (output, tap). Whole numbers below 2^53, so exact in float64."""
            found: Array = np.einsum("goti,gi->got", up, a) + np.einsum("goti,gi->got", down, b)
            return found.reshape(len(w), -1)

        valid = self.taps_inside(ins[0], out)
        least, most = (total(a, b) @ valid.T for a, b in ((lo, hi), (hi, lo)))
        return Interval(bias + least.min(axis=1).astype(np.int64), bias + most.max(axis=1).astype(np.int64))

    def layer_range(self, ins: Sequence[Tensor], out: Tensor, acc: Interval) -> Interval:
        """Interval of the output from that of the accumulators."""
        assert self.epilogue is not None
        end = self.epilogue
        return requantised(acc, ins[3].array, end.shift, need_quant(out)[1], end.lo, end.hi)

    def largest_sum(self, ins: Sequence[Tensor], x: Interval) -> int:
        """No partial sum of any accumulator, whatever the order of its terms, is beyond +- this.

        As C sums: from b' = b - zp * sum w upwards by w * x, taps outside the input reading zp.
        """
        w, bias, zp = ins[1].array, ins[2].array, need_quant(ins[0])[1]
        start = fold_bias(w, bias, zp).astype(np.int64)
        return self._largest(w, start, np.minimum(x.lo, zp), np.maximum(x.hi, zp))

    def _largest(self, w: Array, start: Array, lo: Array, hi: Array) -> int:
        taps = w.reshape(self.groups, len(w) // self.groups, -1, w.shape[-1]).astype(np.int64)
        ends = [taps * v.reshape(self.groups, 1, 1, -1) for v in (lo, hi)]
        up = np.maximum(np.maximum(*ends), 0).sum(axis=(2, 3)).reshape(-1)
        down = np.minimum(np.minimum(*ends), 0).sum(axis=(2, 3)).reshape(-1)
        return int(np.max(np.maximum(np.abs(start + up), np.abs(start + down)), initial=0))
