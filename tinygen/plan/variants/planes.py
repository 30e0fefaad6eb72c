"""Depthwise kernels of the DSP set on planes (pack_dwplane.py) as variants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinygen.ops.base import Call, ConstArg
from tinygen.plan.variants import pack_dwplane as pack
from tinygen.plan.variants.base import consts, ints


def dwplane3x3(call: Call) -> Call | str:
    """3 x 3, stride 1 or 2, any shape."""
    if call.x_planes is None:
        return "its input is not in planes"
    f, c = ints(call), consts(call)
    if f["in_c"] != f["out_c"]:
        return f"{f['out_c'] // f['in_c']} output channels for each input channel"
    shape = pack.Shape(
        f["in_h"], f["in_w"], f["out_h"], f["out_w"], f["k_h"], f["k_w"], f["stride_h"], f["stride_w"],
        f["pad_top"], f["pad_left"], f["dil_h"], f["dil_w"],
    )  # fmt: skip
    w = c["w"]
    out_row, out_col = f["out_w"] * f["out_c"], f["out_c"]
    if call.x_planes.swap:
        shape, w = shape.transposed(), np.ascontiguousarray(w.swapaxes(0, 1))
        out_row, out_col = out_col, out_row
    folded = (w, c["b"], c["m"], shape, f["in_zp"], f["out_zp"], f["shift"])
    reason = pack.dwplane3x3_supported(*folded)
    if reason is not None:
        return reason
    fields = pack.dwplane_config(shape, pack.Planes.of(shape), f["in_c"], out_row, out_col, 1, f["lo"], f["hi"])
    return replace(
        call,
        kernel="tg_dwplane3x3_dsp" if shape.stride_h == 1 else "tg_dwplane3x3s2_dsp",
        config=tuple(fields.items()),
        cfg_type="tg_dwplane_cfg_t",
        consts=(ConstArg("w", pack.pack_dwplane3x3(*folded)),),
    )
