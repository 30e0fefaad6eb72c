"""Kernels of the plane family: which program a shape gets, and what it is called."""

from __future__ import annotations

from dataclasses import dataclass

from tinygen.kernels.check import checked
from tinygen.kernels.kernel import Kernel, most_bytes
from tinygen.kernels.plane.program import plane_program
from tinygen.kernels.plane.taps import taps_program
from tinygen.kernels.program import Program

#: Rows are unrolled while the code has at most so many bytes.
UNROLLED = 1536
#: The same for outputs of a row of taps.
UNROLLED_TAPS = 1024


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
    forms = f"{_strides(config)}{'_l' if looped else ''}{'_w' if wide else ''}"
    return _kernel(
        f"tg_dwplane3x3s{stride}_{sizes}_{forms}",
        f"tg_dwplane{' looped' if looped else ''}",
        f"Depthwise 3 x 3 convolution of stride {stride} on planes, for {size} outputs.",
        program,
        config,
    )


def taps_kernel(config: dict[str, int], k: int, unroll: int = UNROLLED_TAPS) -> PlaneKernel:
    """A kernel of one row of k taps, stride 1. `unroll`: outputs are unrolled when the code then has at most so many
    bytes, else looped over."""
    program, looped = taps_program(config, k, looped=False), False
    if most_bytes(program) > unroll:
        program, looped = taps_program(config, k, looped=True), True
    sizes = f"{config['out_h']}x{config['out_w']}"
    return _kernel(
        f"tg_dwrow{k}_{sizes}_{_strides(config)}{'_l' if looped else ''}",
        f"tg_dwrow{' looped' if looped else ''}",
        f"Depthwise convolution of {k} taps along the rows of planes, for one shape: {sizes} outputs.",
        program,
        config,
    )


def _kernel(name: str, family: str, brief: str, program: Program, config: dict[str, int]) -> PlaneKernel:
    """Bounds inside int8 are a last step."""
    narrow = config["lo"] > -128 or config["hi"] < 127
    after = "tg_dwplane_clamp(cfg, y);" if narrow else ""
    return PlaneKernel(f"{name}{'_n' if narrow else ''}_dsp", family, brief, checked(program), after)


def _strides(config: dict[str, int]) -> str:
    return "x".join(str(config[f]) for f in ("row_stride", "plane_stride", "out_row", "out_col", "out_chan"))
