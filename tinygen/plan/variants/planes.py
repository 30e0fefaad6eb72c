"""Depthwise kernels of the DSP set on planes (pack_dwplane.py) as variants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinygen.ops.base import Call, ConstArg, Generated
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
    reason = pack.dwplane3x3_supported(w, c["b"], c["m"], shape, f["out_zp"], f["shift"])
    if reason is not None:
        return reason
    fields = pack.dwplane_config(shape, call.x_planes, out_row, out_col, 1, f["lo"], f["hi"])
    stream = pack.pack_dwplane3x3(w, c["b"], c["m"], shape, f["in_zp"], f["out_zp"], f["shift"])
    return replace(
        call,
        kernel=pack.dwplane3x3_kernel(shape),
        config=tuple(fields.items()),
        cfg_type="tg_dwplane_cfg_t",
        consts=(ConstArg("w", stream),),
    )


def dwplane3x3_shape(call: Call) -> Call | str:
    """The same, made for the shape."""
    made = dwplane3x3(call)
    if isinstance(made, str):
        return made
    view = pack.generate_dwplane3x3(ints(made), ints(call)["stride_h"])
    return replace(
        made,
        kernel=view.name,
        generated=(
            Generated(
                view.name,
                "dsp/tg_dwplane3x3_shape",
                view,
                view.size,
                view.size // (2 if view.name.endswith("_l_dsp") else 1),
            ),
        ),
    )
