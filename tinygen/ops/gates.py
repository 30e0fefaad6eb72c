"""Functions of an int16 by a table of 256 intervals, interpolated: the gates of recurrent layers, in Q15.

An entry is one word, `E = 65536 * base + d`, d its low half as a signed number, and

    v = (E + d * (r << shift)) >> 16            r = p & 255, E the entry of p >> 8

is the line from one end of the interval to the other: base is moved so that the mean error of its 256 values is least,
and d has all of 16 bits, so that rounding needs no constant. Nearer to the function than knots rounded to Q15 (1.7
steps at the most for the sigmoid on +-8, 2.7 for tanh on +-4, instead of 2.2 and 3.8), and one SMLABB on a Cortex-M4,
which leaves v in the high half of a register, where the multiplications that follow can take it from.

*No overflow.* The table is made so that every v lies in [-32768, 32767]; then |E + d * (r << shift)| < 2^31.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinygen.numerics import Array

#: r << SHIFTS is a positive half.
SHIFTS = 7


@dataclass(frozen=True, slots=True, eq=False)
class GateTable:
    """`entries`: int32[256], the interval of p = -32768 first."""

    entries: Array
    shift: int

    def __call__(self, p: Array) -> Array:
        """The function's values (int64) of int16 values p."""
        p = p.astype(np.int64)
        entry = self.entries.astype(np.int64)[(p >> 8) + 128]
        found: Array = (entry + entry.astype(np.int16).astype(np.int64) * ((p & 255) << self.shift)) >> 16
        return found


def gate_table(function: Callable[[Array], Array], step: float) -> GateTable:
    """The table of 2^15 * function(step * p), saturated, for p in int16. `function`: of float64 arrays."""
    y = np.clip(2.0**15 * function(step * np.arange(-32768, 32769)), -32768, 32767)
    rise = np.diff(y[::256])
    shift = next((s for s in range(SHIFTS) if np.abs(np.rint(rise * 2.0 ** (8 - s))).max() < 2**15), SHIFTS)
    d = np.clip(np.rint(rise * 2.0 ** (8 - shift)), -(2**15) + 1, 2**15 - 1).astype(np.int64)
    line = ((d & 0xFFFF)[:, None] + d[:, None] * (np.arange(256) << shift)) >> 16
    base = np.rint((y[:-1].reshape(256, 256) - line).mean(axis=1)).astype(np.int64)
    base = np.clip(base, -32768 - line.min(axis=1), 32767 - line.max(axis=1))
    return GateTable((base << 16 | (d & 0xFFFF)).astype(np.int32), shift)
