"""Intervals: the integers that each channel (index of the last axis) of an activation can take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinygen.ir.types import DType, Tensor
from tinygen.numerics import Array, requant
from tinygen.ops.access import width


@dataclass(frozen=True)
class Interval:
    """Lowest and highest integer of each channel (int64, both included)."""

    lo: Array
    hi: Array

    @property
    def steady(self) -> Array:
        """Channels that take one value only."""
        found: Array = self.lo == self.hi
        return found

    def at(self, index: Array) -> Interval:
        """Channels by index."""
        return Interval(self.lo[index], self.hi[index])

    def minus(self, value: int) -> Interval:
        return Interval(self.lo - value, self.hi - value)

    def whole(self, channels: int) -> Interval:
        """The range of all channels together, for each of `channels`."""
        return Interval(np.full(channels, self.lo.min()), np.full(channels, self.hi.max()))

    def spread(self, channels: int) -> Interval:
        """As an operand that is broadcast to so many channels."""
        return self if len(self.lo) == channels else self.at(np.zeros(channels, np.int64))


def hull(ranges: Sequence[Interval]) -> Interval:
    """The smallest range that holds all of them, channel by channel."""
    return Interval(np.min([r.lo for r in ranges], axis=0), np.max([r.hi for r in ranges], axis=0))


def full(t: Tensor) -> Interval:
    """Every value of the tensor's type."""
    if t.quant is not None:
        low, high = t.quant.low, t.quant.high
    elif t.dtype is DType.BOOL:
        low, high = 0, 1
    else:
        low, high = int(np.iinfo(t.dtype.value).min), int(np.iinfo(t.dtype.value).max)
    return Interval(np.full(width(t), low, np.int64), np.full(width(t), high, np.int64))


def values(t: Tensor) -> Interval:
    """What a constant holds."""
    rows = t.array.reshape(-1, width(t)).astype(np.int64)
    return Interval(rows.min(axis=0), rows.max(axis=0))


def monotone(ends: Sequence[Array]) -> Interval:
    """Of a function that is monotone between the arguments of which `ends` are the values."""
    return Interval(np.min(ends, axis=0).astype(np.int64), np.max(ends, axis=0).astype(np.int64))


def requantised(acc: Interval, m: Array | int, shift: int, zp: int, lo: int, hi: int) -> Interval:
    """Requantisation is monotone: upwards, or downwards where m is negative."""
    return monotone([np.clip(requant(v, m, shift) + zp, lo, hi) for v in (acc.lo, acc.hi)])
