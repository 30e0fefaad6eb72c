"""Kernel variants of every set: how a core computes a reference call faster. One module a set."""

from __future__ import annotations

from collections.abc import Sequence

from tinygen.ops.base import Call
from tinygen.plan.variants import dsp, mve, palette, recurrent, small, sparse
from tinygen.plan.variants.base import Variant, Variants, joined
from tinygen.plan.variants.slides import slide_limits
from tinygen.plan.variants.tiles import tile_limits

#: Kernel set: its variants. Those of the set "ref" are for every core.
VARIANTS: dict[str, Variants] = {
    "dsp": dsp.VARIANTS,
    "m0": joined(small.variants("m0", narrow=True), sparse.M0, recurrent.M0),
    "m3": joined(small.variants("m3", narrow=False), recurrent.M3),
    "mve": mve.VARIANTS,
    "ref": joined(palette.REFERENCE, sparse.REFERENCE),
}


def limits(calls: Sequence[Call]) -> tuple[tuple[str, int], ...]:
    """What kernels shared by several of these calls must have room for."""
    return (*slide_limits(calls), *tile_limits(calls))


#: Variants that honour a call's planes.
PLANES: frozenset[Variant] = dsp.PLANES
