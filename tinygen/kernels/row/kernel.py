"""Rows of tiles under a name."""

from __future__ import annotations

from dataclasses import dataclass

from tinygen.kernels.kernel import Kernel, short_name
from tinygen.kernels.program import Program
from tinygen.kernels.row.program import Row, row_program
from tinygen.kernels.tile.program import Word

#: Code of a pair of taps, and of what surrounds them for two channels, about.
PAIR_CODE, ENDS_CODE = 56, 144


@dataclass(frozen=True, slots=True)
class RowKernel(Kernel):
    """A row of tiles under a name; what choosing asks for is estimated, so that only the chosen become programs."""

    what: str
    row: Row

    @property
    def family(self) -> str:
        return "tg_row_"

    @property
    def name(self) -> str:
        return short_name("tg_row" if self.of_one_row else "tg_row2x2", self.row)

    @property
    def of_one_row(self) -> bool:
        """Four pixels of a row; else of two."""
        return self.row.x[3] == 3 * self.row.x[1]

    @property
    def brief(self) -> str:
        return f"{self.what}, {'four pixels of a row' if self.of_one_row else '2 x 2 pixels'}."

    @property
    def include(self) -> str:
        return "tg_row_dsp.h"

    @property
    def contract(self) -> str:
        shift = 32 + self.row.shift - self.row.lift
        return (
            f"See tg_row_fn_t. For shift {shift}, channels {self.row.y_channel} bytes apart.\n"
            f" * The window takes {self.row.window} bytes of stack; the stack pointer points to it: see\n"
            " * tg_tile_dsp.h."
        )

    @property
    def program(self) -> Program:
        return row_program(self.row)

    @property
    def steps(self) -> tuple[Word, ...]:
        """Words of weights for two channels."""
        return self.row.steps

    def turns(self, pairs: int) -> float:
        """Of its loop over the channels, for two of them."""
        return 1 / self.row.unroll if self.row.looped else 0.0

    @property
    def loop_bytes(self) -> int:
        """Code that runs for every turn over the channels, about."""
        return self.row.unroll * self._pair

    @property
    def _pair(self) -> int:
        """Code of a pair of channels."""
        return len(self.row.steps) * PAIR_CODE + ENDS_CODE

    @property
    def code(self) -> int:
        """Bytes, about."""
        ends = 84 * len(self.row.blocks) + 64 * len(self.row.tails) + 100
        return self.loop_bytes + self.row.behind * self._pair + ends
