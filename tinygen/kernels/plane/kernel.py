"""Kernels of the plane family: which program a shape gets, and what it is called."""

from __future__ import annotations

from dataclasses import dataclass

from tinygen.kernels.check import checked
from tinygen.kernels.kernel import Kernel, most_bytes, short_name
from tinygen.kernels.plane.program import plane_program
from tinygen.kernels.plane.taps import taps_program
from tinygen.kernels.program import Program

#: What the code has of a layer.
SHAPE = ("in_h", "pad_top", "out_h", "out_w", "row_stride", "plane_stride", "out_row", "out_col", "out_chan")
#: Rows are unrolled while the code has at most so many bytes.
UNROLLED = 1536
#: The same for outputs of a row of taps.
UNROLLED_TAPS = 1024


@dataclass(frozen=True, slots=True)
class PlaneKernel(Kernel):
    """A program of the family. `stem`: of its name; `kind`: whose costs are alike; `identity`: what the code has of the
    layer; `narrow`: bounds inside int8, which are a last step."""

    stem: str
    kind: str
    what: str
    identity: tuple[int, ...]
    narrow: bool
    own: Program

    @property
    def name(self) -> str:
        return short_name(self.stem, (self.identity, self.narrow))

    @property
    def family(self) -> str:
        return self.kind

    @property
    def brief(self) -> str:
        return self.what

    @property
    def after(self) -> str:
        return "tg_dwplane_clamp(cfg, y);" if self.narrow else ""

    @property
    def include(self) -> str:
        return "tg_dwplane_dsp.h"

    @property
    def contract(self) -> str:
        fixed = [f"{name} {value}" for name, value in zip(SHAPE, self.identity, strict=False)]
        return f"""In the code, whatever cfg says: {", ".join(fixed[:4])},
 * {", ".join(fixed[4:])}.
 *
 * @param cfg  the number of channels{" and the bounds" if self.narrow else "; its bounds must be those of int8"}
 * @param x    planes, see tg_dwplane_cfg_t; bytes behind the last are read with its word and ignored
 * @param w    constants of kernels/plane/pack.py, which looks whether sums and outputs have room
 * @param y    outputs; must not overlap x
 *"""

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
    return _kernel(
        f"tg_plane_s{stride}",
        f"tg_dwplane{' looped' if looped else ''}",
        f"Depthwise 3 x 3 convolution of stride {stride} on planes, for {size} outputs.",
        program,
        config,
        looped,
        wide,
    )


def taps_kernel(config: dict[str, int], k: int, unroll: int = UNROLLED_TAPS) -> PlaneKernel:
    """A kernel of one row of k taps, stride 1. `unroll`: outputs are unrolled when the code then has at most so many
    bytes, else looped over."""
    program, looped = taps_program(config, k, looped=False), False
    if most_bytes(program) > unroll:
        program, looped = taps_program(config, k, looped=True), True
    size = f"{config['out_h']} x {config['out_w']}"
    return _kernel(
        "tg_taps",
        f"tg_dwrow{' looped' if looped else ''}",
        f"Depthwise convolution of {k} taps along the rows of planes, for {size} outputs.",
        program,
        config,
        looped,
        k,
    )


def _kernel(stem: str, kind: str, what: str, program: Program, config: dict[str, int], *forms: int) -> PlaneKernel:
    """Under a name made of the shape and of `forms`."""
    shape = tuple(config[name] for name in SHAPE)
    narrow = config["lo"] > -128 or config["hi"] < 127
    return PlaneKernel(stem, kind, what, (*shape, *forms), narrow, checked(program))
