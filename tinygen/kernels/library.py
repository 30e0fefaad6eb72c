"""Kernels for any shape that are programs: files of the library, printed when they are wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tinygen.kernels.kernel import Kernel
from tinygen.kernels.program import Program
from tinygen.kernels.tile.any import any_program
from tinygen.kernels.tile.widen import widen_program
from tinygen.kernels.wino.program import wino_tile_program


@dataclass(frozen=True, slots=True)
class LibraryKernel(Kernel):
    """`made`: its program."""

    name: str
    brief: str
    include: str
    contract: str
    made: Callable[[], Program]

    @property
    def program(self) -> Program:
        return self.made()


_KERNELS = (
    LibraryKernel(
        "tg_tile_any_dsp",
        "Four pixels with windows of any length, without the stack pointer as a pointer to data.",
        "tg_tile_dsp.h",
        "See tg_tile_fn_t. The window [pair][pixel] lies at t->window: 4 * t->pair_bytes.",
        any_program,
    ),
    LibraryKernel(
        "tg_widen4_dsp",
        "The window of four pixels that share nothing: pairs of int16, [pair][pixel].",
        "tg_tile_dsp.h",
        """Each run becomes, for four bytes, the pairs (0, 2) and (1, 3); then (0, 1) of two bytes that are left,
 * then (0, anything) of one: the other half meets a weight of 0.
 *
 * @param t       x, quads, tail, runs (>= 1), step
 * @param window  [pairs][4][2], word-aligned
 *""",
        widen_program,
    ),
    LibraryKernel(
        "tg_wino_tile_dsp",
        "A tile of Winograd's convolution: 4 x 4 pixels, all channels.",
        "tg_wino_dsp.h",
        """See tg_conv3x3_wino_dsp.h. The stack pointer goes over the transformed inputs, and all that is live lies
 * at or above it: interrupts may come at any time.""",
        wino_tile_program,
    ),
)

#: By name. They are of the set that their names end in, as those that lie there as files.
PRINTED: dict[str, Kernel] = {kernel.name: kernel for kernel in _KERNELS}
