"""Variants of the DSP set (Cortex-M4, M7, M33): SMLAD on pairs of halves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinygen.ops.base import Call
from tinygen.plan.variants import pack_dense, palette, recurrent, sparse
from tinygen.plan.variants import pack_dsp as pack
from tinygen.plan.variants.attention import ATTENTION
from tinygen.plan.variants.base import Variants, consts, ints, packed
from tinygen.plan.variants.elementwise import ELEMENTWISE
from tinygen.plan.variants.pack_wino import (
    WINO_ENDS,
    WINO_FIELDS,
    pack_wino,
    wino_features,
    wino_scratch,
    wino_stack,
    wino_supported,
)
from tinygen.plan.variants.planes import dwplane3x3, dwplane3x3_shape, dwrow, each3x3, each3x3_shape, eachrow
from tinygen.plan.variants.rows import compact_rows, each_rows, whole_rows
from tinygen.plan.variants.slides import compact_odd_slides, compact_slides, whole_slides
from tinygen.plan.variants.tiles import any_tiles, column_tiles, looped_tiles, shared_tiles, whole_tiles
from tinygen.plan.variants.wide import WIDE


def _conv(call: Call) -> Call | str:
    f, c = ints(call), consts(call)
    reason = pack.conv_dsp_supported(c["w"], f["groups"], f["shift"])
    if reason is not None:
        return reason
    w, b, m = pack.pack_conv_dsp(c["w"], c["b"], c["m"], f["dil_w"])
    scratch = pack.conv_dsp_scratch(f["k_h"], f["k_w"], f["in_c"], f["dil_w"])
    return packed(call, "tg_conv_s8_dsp", scratch, w=w, b=b, m=m)


def _winograd(call: Call) -> Call | str:
    """Two thirds of the direct kernels' time, for four times their flash."""
    f, c = ints(call), consts(call)
    reason = wino_supported(f, c["w"], c["b"], c["m"])
    if reason is not None:
        return reason
    w, m = pack_wino(c["w"], c["b"], c["m"], f["shift"])
    made = packed(call, "tg_conv3x3_wino_dsp", wino_scratch(f["in_c"], f["out_c"]), w=w, m=m)
    return replace(
        made,
        config=tuple((name, f[name]) for name in WINO_FIELDS),
        points_with_sp=True,
        stack=wino_stack(f["in_c"], f["out_c"]),
        features=wino_features(f),
    )


def _winograd_filled(call: Call) -> Call | str:
    """The same tile by tile for any number of channels, filled up to what the kernel takes."""
    f, c = ints(call), consts(call)
    if f["in_c"] % 8 == 0 and f["out_c"] % 2 == 0:
        return ""
    if f["in_c"] < 4:
        return f"{f['in_c']} input channels, fewer than 4"
    more_in, more_out = -f["in_c"] % 8, f["out_c"] % 2
    if f["groups"] > 1:
        return f"{f['groups']} groups"
    w = np.pad(c["w"], ((0, more_out), (0, 0), (0, 0), (0, more_in)))
    b, m = np.pad(c["b"], (0, more_out)), np.pad(c["m"], (0, more_out))
    filled = f | {"in_c": f["in_c"] + more_in, "out_c": f["out_c"] + more_out}
    reason = wino_supported(filled, w, b, m)
    if reason is not None:
        return reason
    tile = filled | {"in_h": 6, "in_w": 6, "out_h": 4, "out_w": 4, "pad_top": 0, "pad_left": 0}
    stream, scaled = pack_wino(w, b, m, f["shift"])
    scratch = 36 * filled["in_c"] + 16 * filled["out_c"] + wino_scratch(filled["in_c"], filled["out_c"])
    made = packed(call, "tg_conv3x3_filled_dsp", scratch, w=stream, m=scaled)
    tiles = -(-f["out_w"] // 4) * -(-f["out_h"] // 4)
    return replace(
        made,
        config=(
            *((name, f[name]) for name in WINO_FIELDS if name not in WINO_ENDS),
            *((f"tile.{name}", tile[name]) for name in WINO_FIELDS),
        ),
        cfg_type="tg_conv3x3_filled_cfg_t",
        uses=("tg_conv3x3_wino_dsp",),
        points_with_sp=True,
        stack=wino_stack(filled["in_c"], filled["out_c"]),
        family="tg_conv3x3_filled_dsp",
        features=(*wino_features(filled), ("in_words", float(tiles * -(-f["in_c"] // 4))),
                  ("out_words", float(tiles * -(-f["out_c"] // 4)))),
    )  # fmt: skip


def _dwconv(call: Call) -> Call | str:
    f, c = ints(call), consts(call)
    reason = pack.dwconv_dsp_supported(f["in_c"], f["out_c"], f["shift"])
    if reason is not None:
        return reason
    scratch = pack.dwconv_dsp_scratch(f["k_h"], f["k_w"], f["in_c"])
    return packed(call, "tg_dwconv_s8_dsp", scratch, w=pack.pack_dwconv_dsp(c["w"]), b=c["b"], m=c["m"])


def _dense(call: Call) -> Call | str:
    f, c = ints(call), consts(call)
    reason = pack_dense.dense_supported(c["w"], c["b"], c["m"], f["shift"])
    if reason is not None:
        return reason
    w, m = pack_dense.pack_dense(c["w"], c["b"], c["m"])
    return packed(call, "tg_dense_s8_dsp", pack_dense.dense_scratch(f["n_in"]), w=w, m=m)


#: Variants that read or write planes where the call says so; the others know dense tensors only.
PLANES = frozenset(
    (
        column_tiles,
        whole_slides,
        compact_odd_slides,
        compact_slides,
        whole_tiles,
        looped_tiles,
        shared_tiles,
        any_tiles,
        whole_rows,
        compact_rows,
        dwplane3x3,
        dwplane3x3_shape,
        dwrow,
        each3x3,
        each3x3_shape,
        eachrow,
        palette.conv_tiles,
        *sparse.DSP["tg_conv_s8"],
    )
)

VARIANTS: Variants = {
    "tg_conv_s8": (
        any_tiles,
        whole_rows,
        compact_rows,
        column_tiles,
        whole_slides,
        compact_odd_slides,
        compact_slides,
        whole_tiles,
        looped_tiles,
        shared_tiles,
        _winograd,
        _winograd_filled,
        _conv,
        *palette.DSP["tg_conv_s8"],
        *sparse.DSP["tg_conv_s8"],
    ),
    "tg_dwconv_s8": (dwplane3x3_shape, dwplane3x3, dwrow, each3x3_shape, each3x3, eachrow, each_rows, _dwconv),
    "tg_dense_s8": (_dense, *palette.DSP["tg_dense_s8"], *sparse.DSP["tg_dense_s8"]),
    **ATTENTION,
    **ELEMENTWISE,
    **WIDE,
    **recurrent.DSP,
}
