"""All ways to compute a reference call, a line each: the reference kernel, the set, the variant, what it can.

A variant (`variant.Variant`) looks at the call and gives it packed for a kernel of its set, or the reason why not.
Those of a set are asked in this order, which decides between equals and on cores that nobody measured.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from tinygen.kernels.attention import variants as attention
from tinygen.kernels.conv import variants as conv
from tinygen.kernels.dense import variants as dense
from tinygen.kernels.elementwise import variants as elementwise
from tinygen.kernels.lanes import variants as lanes
from tinygen.kernels.mve import variants as mve
from tinygen.kernels.palette import variants as palette
from tinygen.kernels.plane import variants as plane
from tinygen.kernels.recurrent import variants as recurrent
from tinygen.kernels.row import variants as row
from tinygen.kernels.slide import variants as slide
from tinygen.kernels.small import variants as small
from tinygen.kernels.sparse import variants as sparse
from tinygen.kernels.tile import variants as tile
from tinygen.kernels.variant import Variant, Variants
from tinygen.kernels.wide import variants as wide
from tinygen.kernels.wino import variants as wino
from tinygen.ops.base import Call


@dataclass(frozen=True, slots=True)
class Way:
    """A variant of a reference kernel. `planes`: it reads and writes planes where the call says so, others know dense
    tensors only. `compressed`: it reads weights in a form that is smaller than int8."""

    of: str
    set: str
    variant: Variant
    planes: bool = False
    compressed: bool = False


def _ways(kernel_set: str, table: Variants, *, planes: bool = False, compressed: bool = False) -> tuple[Way, ...]:
    return tuple(Way(of, kernel_set, v, planes, compressed) for of, found in table.items() for v in found)


#: Every way. Those of the set "ref" are for all cores.
WAYS: tuple[Way, ...] = (
    # Cortex-M4, M7, M33: SMLAD on pairs of halves
    Way("tg_conv_s8", "dsp", tile.any_tiles, planes=True),
    Way("tg_conv_s8", "dsp", row.whole_rows, planes=True),
    Way("tg_conv_s8", "dsp", row.compact_rows, planes=True),
    Way("tg_conv_s8", "dsp", tile.column_tiles, planes=True),
    Way("tg_conv_s8", "dsp", slide.whole_slides, planes=True),
    Way("tg_conv_s8", "dsp", slide.compact_odd_slides, planes=True),
    Way("tg_conv_s8", "dsp", slide.compact_slides, planes=True),
    Way("tg_conv_s8", "dsp", tile.whole_tiles, planes=True),
    Way("tg_conv_s8", "dsp", tile.looped_tiles, planes=True),
    Way("tg_conv_s8", "dsp", tile.shared_tiles, planes=True),
    Way("tg_conv_s8", "dsp", tile.grouped_2, planes=True),
    Way("tg_conv_s8", "dsp", tile.grouped_4, planes=True),
    Way("tg_conv_s8", "dsp", tile.grouped_8, planes=True),
    Way("tg_conv_s8", "dsp", wino.winograd),
    Way("tg_conv_s8", "dsp", wino.winograd_filled),
    Way("tg_conv_s8", "dsp", conv.conv),
    Way("tg_conv_s8", "dsp", palette.conv_tiles, planes=True, compressed=True),
    Way("tg_dwconv_s8", "dsp", plane.dwplane3x3_shape, planes=True),
    Way("tg_dwconv_s8", "dsp", plane.dwplane3x3, planes=True),
    Way("tg_dwconv_s8", "dsp", plane.dwrow, planes=True),
    Way("tg_dwconv_s8", "dsp", plane.each3x3_shape, planes=True),
    Way("tg_dwconv_s8", "dsp", plane.each3x3, planes=True),
    Way("tg_dwconv_s8", "dsp", plane.eachrow, planes=True),
    Way("tg_dwconv_s8", "dsp", row.each_rows),
    Way("tg_dwconv_s8", "dsp", conv.dwconv),
    Way("tg_dense_s8", "dsp", dense.dense),
    Way("tg_dense_s8", "dsp", palette.dense_dsp, compressed=True),
    *_ways("dsp", sparse.DSP, planes=True, compressed=True),
    *_ways("dsp", attention.ATTENTION),
    *_ways("dsp", elementwise.ELEMENTWISE),
    *_ways("dsp", wide.WIDE),
    *_ways("dsp", recurrent.DSP),
    # Cortex-M0: two or more values in a product; multipliers for products of 32 bits
    Way("tg_conv_s8", "m0", lanes.conv("tg_conv_s8_m0", 8, split=True)),
    Way("tg_conv_s8", "m0", lanes.conv("tg_conv_s8_m0", 4, split=True)),
    *_ways("m0", small.variants("m0", narrow=True)),
    *_ways("m0", palette.small(narrow=True), compressed=True),
    *_ways("m0", sparse.M0, compressed=True),
    *_ways("m0", recurrent.M0),
    # Cortex-M3: the same with products of 64 bits
    Way("tg_conv_s8", "m3", lanes.conv("tg_conv_s8_m3", 8, split=False)),
    Way("tg_conv_s8", "m3", lanes.conv("tg_conv_s8_m3", 4, split=False)),
    *_ways("m3", small.variants("m3", narrow=False)),
    *_ways("m3", palette.small(narrow=False), compressed=True),
    *_ways("m3", recurrent.M3),
    # Cortex-M55, M85: Helium
    *_ways("mve", mve.VARIANTS),
    *_ways("mve", recurrent.HELIUM),
    # every core
    *_ways("ref", palette.REFERENCE, compressed=True),
    *_ways("ref", sparse.REFERENCE, compressed=True),
)


@functools.cache
def ways(reference: str, kernel_set: str) -> tuple[Way, ...]:
    """To compute what a reference kernel does with kernels of a set, the preferred first."""
    return tuple(w for w in WAYS if w.of == reference and w.set == kernel_set)


def sets() -> frozenset[str]:
    """Kernel sets with variants."""
    return frozenset(w.set for w in WAYS)


def limits(calls: Sequence[Call]) -> tuple[tuple[str, int], ...]:
    """What kernels shared by several of these calls must have room for."""
    return (*slide.slide_limits(calls), *tile.tile_limits(calls))
