"""Winograd's convolution as a variant: 3 x 3, in tiles of 4 x 4 outputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinygen.kernels.variant import consts, ints, packed
from tinygen.kernels.wino.pack import (
    WINO_ENDS,
    WINO_FIELDS,
    pack_wino,
    wino_features,
    wino_scratch,
    wino_stack,
    wino_supported,
)
from tinygen.ops.base import Call

#: The program of both.
WINO_TILE = "tg_wino_tile_dsp"


def winograd(call: Call) -> Call | str:
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
        uses=(WINO_TILE,),
        family="tg_conv3x3_wino_dsp",
        points_with_sp=True,
        stack=wino_stack(f["in_c"], f["out_c"]),
        features=wino_features(f),
    )


def winograd_filled(call: Call) -> Call | str:
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
        uses=("tg_conv3x3_wino_dsp", WINO_TILE),
        points_with_sp=True,
        stack=wino_stack(filled["in_c"], filled["out_c"]),
        family="tg_conv3x3_filled_dsp",
        features=(*wino_features(filled), ("in_words", float(tiles * -(-f["in_c"] // 4))),
                  ("out_words", float(tiles * -(-f["out_c"] // 4)))),
    )  # fmt: skip
