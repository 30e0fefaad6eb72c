"""The window that four pixels of a row share, whose own windows overlap: the program that fills it.

Four channels of a column become the pairs (0, 2) and (1, 3), [row][channels / 4][column][pair]. Pointers to columns 0,
3 and 6 walk along the channels; the columns behind them are one and two steps away.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

from tinygen.kernels.armv7em import (
    add_lsl,
    add_reg,
    addw,
    ldr,
    ldr_apart,
    ldr_apart_lsl,
    ldr_post,
    mov,
    stm_post,
    sub,
    subs,
    sxtb16,
    sxtb16_ror8,
    vldr,
    vmov,
)
from tinygen.kernels.check import checked
from tinygen.kernels.kernel import Kernel
from tinygen.kernels.program import BITS, BYTES_IN, INT, PAIRS, Program, Reg, Writer
from tinygen.kernels.tile.program import T

WINDOW, TO = Reg("window", PAIRS, "r1"), Reg("to", PAIRS, "r1")
COLUMN, THREE = Reg("column", INT, "r2"), Reg("three", INT, "r3")
ROW, ROWS, LEFT = Reg("row", BYTES_IN, "lr"), Reg("rows", INT, "r12"), Reg("left", INT, "r12")
#: Columns 0, 3 and 6.
POINTERS = tuple(Reg(f"x{3 * i}", BYTES_IN, place) for i, place in enumerate(("r0", "r10", "r11")))
# What is parked in registers of the FPU.
TO_ROW, QUADS, STEP, ROWS_LEFT = Reg("to_row", PAIRS, "s0"), Reg("quads", INT, "s1"), Reg("step", INT, "s2"), "s3"


@dataclass(frozen=True, slots=True)
class FillKernel(Kernel):
    """For so many columns, `row_bytes` from row to row of the window. `back`: bytes by which the last four channels
    overlap those before."""

    name: str
    cols: int
    row_bytes: int
    back: int
    family: str = "tg_fill_"

    @property
    def brief(self) -> str:
        return f"The window that four pixels of a row share: {self.cols} columns, as pairs of int16."

    @property
    def include(self) -> str:
        return "tg_tile_dsp.h"

    @property
    def contract(self) -> str:
        return f"""Four channels become the pairs (0, 2) and (1, 3).
 *
 * @param t       x[0]: the first column of the first row; quads: channels / 4; tail: bytes from column to column; runs:
 *                rows; step: bytes from row to row
 * @param window  [row][channels / 4][{self.cols}][2][2], {self.row_bytes} bytes from row to row
 *"""

    @property
    def program(self) -> Program:
        return fill_program(self.cols, self.row_bytes, self.back)

    @property
    def code(self) -> int:
        """Bytes, about."""
        return 100 + 50 * (self.cols // 3) * (2 if self.back else 1)


@functools.lru_cache(maxsize=64)
def fill_program(cols: int, row_bytes: int, back: int) -> Program:
    """See the head of this file and `FillKernel`."""
    out = _Fill()
    out.kernel(cols, row_bytes, back)
    return checked(Program((T, WINDOW), tuple(out.nodes)))


class _Fill(Writer):
    """Writes one kernel."""

    def kernel(self, cols: int, row_bytes: int, back: int) -> None:
        """All rows."""
        pointers = POINTERS[: -(-cols // 3)]
        self.add(ldr(ROW, T, 40), ldr(COLUMN, T, 60), vldr(QUADS, T, 56), ldr(ROWS, T, 64), vldr(STEP, T, 68))
        self.add(vmov(TO_ROW, WINDOW), add_lsl(THREE, COLUMN, COLUMN, 1))
        with self.loop("rows", short=True):
            next_row = TO_ROW.at("r4")
            self.note("a row")
            self.add(vmov(TO, TO_ROW), addw(next_row, TO, row_bytes), vmov(TO_ROW, next_row))
            self.add(vmov(ROWS.at(ROWS_LEFT), ROWS), vmov(LEFT, QUADS), mov(pointers[0], ROW))
            if back:
                self.add(sub(LEFT, LEFT, 1))
            self.add(*(add_reg(to, of, THREE) for of, to in itertools.pairwise(pointers)))
            with self.loop("quads", short=True):
                self.four(cols)
                self.add(subs(LEFT, LEFT, 1))
            if back:
                self.note("the last four channels overlap those before")
                self.add(*(sub(p, p, back) for p in pointers))
                self.four(cols)
            step = STEP.at("r4")
            self.add(vmov(ROWS, ROWS.at(ROWS_LEFT)), vmov(step, STEP), add_reg(ROW, ROW, step), subs(ROWS, ROWS, 1))

    def four(self, cols: int) -> None:
        """Four channels of all columns."""
        self.note("four channels")
        for pointer, first in zip(POINTERS, range(0, cols, 3), strict=False):
            n = min(3, cols - first)
            four, x02, x13 = (
                [Reg(f"{name}{i}", BITS, f"r{r + 2 * i}") for i in range(n)]
                for name, r in (("four", 4), ("x02_", 4), ("x13_", 5))
            )
            others = [ldr_apart(four[1], pointer, COLUMN)] if n > 1 else []
            others += [ldr_apart_lsl(four[2], pointer, COLUMN, 1)] if n > 2 else []
            self.add(*others, ldr_post(four[0], pointer, 4))
            self.add(*map(sxtb16_ror8, x13, four), *map(sxtb16, x02, four))
            self.add(stm_post(TO, tuple(r for pair in zip(x02, x13, strict=True) for r in pair)))
