"""The tile of Winograd's convolution under its name."""

from __future__ import annotations

from dataclasses import dataclass

from tinygen.kernels.kernel import Kernel
from tinygen.kernels.program import Program
from tinygen.kernels.wino.program import wino_tile_program


@dataclass(frozen=True, slots=True)
class WinoTile(Kernel):
    """For any shape."""

    name: str = "tg_wino_tile_dsp"
    family: str = "tg_conv3x3_wino_dsp"
    brief: str = "A tile of Winograd's convolution: 4 x 4 pixels, all channels."

    @property
    def include(self) -> str:
        return "tg_wino_dsp.h"

    @property
    def contract(self) -> str:
        return (
            "See tg_conv3x3_wino_dsp.h. The stack pointer goes over the transformed inputs, and all that is live lies\n"
            " * at or above it: interrupts may come at any time."
        )

    @property
    def program(self) -> Program:
        return wino_tile_program()
