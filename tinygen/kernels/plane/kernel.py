"""Kernels of the plane family: which program a shape gets, and what it is called."""

from __future__ import annotations

from dataclasses import dataclass

from tinygen.kernels.check import checked
from tinygen.kernels.kernel import Kernel, most_bytes
from tinygen.kernels.plane.program import plane_program
from tinygen.kernels.program import Program

#: Rows are unrolled while the code has at most so many bytes.
UNROLLED = 1536


@dataclass(frozen=True, slots=True)
class PlaneKernel(Kernel):
    """A program of the family, under a name."""

    name: str
    family: str
    brief: str
    own: Program
    after: str

    @property
    def include(self) -> str:
        return "tg_dwplane_dsp.h"

    @property
    def contract(self) -> str:
        return "Arguments as in tg_dwplane3x3_dsp.h, for this one shape; constants from kernels/plane/pack.py."

    @property
    def program(self) -> Program:
        return self.own


def plane_kernel(config: dict[str, int], stride: int, unroll: int = UNROLLED, *, wide: bool = False) -> PlaneKernel:
    """A 3 x 3 kernel for what `dwplane_config` gives, called as the library's for any shape is. `unroll`: the rows are
    unrolled when the code then has at most so many bytes, else looped over. `wide`: outputs may leave 16 bits."""
    program, looped = plane_program(config, stride, looped=False, wide=wide), False
    if most_bytes(program) > unroll:
        program, looped = plane_program(config, stride, looped=True, wide=wide), True
    size = f"{config['out_h']} x {config['out_w']}"
    sizes = f"{config['in_h']}p{config['pad_top']}_{config['out_h']}x{config['out_w']}"
    strides = "x".join(str(config[f]) for f in ("row_stride", "plane_stride", "out_row", "out_col", "out_chan"))
    narrow = config["lo"] > -128 or config["hi"] < 127
    forms = "".join(f"_{form}" for form, has in (("l", looped), ("w", wide), ("n", narrow)) if has)
    return PlaneKernel(
        f"tg_dwplane3x3s{stride}_{sizes}_{strides}{forms}_dsp",
        f"tg_dwplane{' looped' if looped else ''}",
        f"Depthwise 3 x 3 convolution of stride {stride} on planes, for {size} outputs.",
        checked(program),
        "tg_dwplane_clamp(cfg, y);" if narrow else "",
    )
