"""Depthwise kernels of the DSP set on planes (pack_dwplane.py) as variants."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tinygen.numerics import Array
from tinygen.ops.base import Call, ConstArg, Generated
from tinygen.plan.variants import pack_dwplane as pack
from tinygen.plan.variants.base import consts, ints


@dataclass(frozen=True)
class _Layer:
    """A depthwise layer as the kernels see it: transposed when its planes are."""

    shape: pack.Geometry
    w: Array
    config: dict[str, int]


def _layer(call: Call) -> _Layer | str:
    """Or why the call is none."""
    planes, f, w = call.x_planes, ints(call), consts(call)["w"]
    if planes is None:
        return "its input is not in planes"
    if f["in_c"] != f["out_c"]:
        return f"{f['out_c'] // f['in_c']} output channels for each input channel"
    shape = pack.Geometry.of(f)
    out_row, out_col = f["out_w"] * f["out_c"], f["out_c"]
    if planes.swap:
        shape, w = shape.transposed(), np.ascontiguousarray(w.swapaxes(0, 1))
        out_row, out_col = out_col, out_row
    return _Layer(shape, w, pack.dwplane_config(shape, planes, out_row, out_col, 1, f["lo"], f["hi"]))


def _made(call: Call, kernel: str, layer: _Layer, stream: Array, view: pack.DwPlaneView | None = None) -> Call:
    hot = 0 if view is None else view.hot
    return replace(
        call,
        kernel=kernel,
        config=tuple(layer.config.items()),
        cfg_type="tg_dwplane_cfg_t",
        consts=(ConstArg("w", stream),),
        generated=() if view is None else (Generated(view.name, "dsp/tg_dwplane3x3_shape", view, view.size, hot),),
    )


def dwplane3x3(call: Call) -> Call | str:
    """3 x 3, stride 1 or 2, any shape."""
    layer, f, c = _layer(call), ints(call), consts(call)
    if isinstance(layer, str):
        return layer
    reason = pack.dwplane3x3_supported(layer.w, c["b"], c["m"], layer.shape, f["out_zp"], f["shift"])
    if reason is not None:
        return reason
    stream = pack.pack_dwplane3x3(layer.w, c["b"], c["m"], layer.shape, f["in_zp"], f["out_zp"], f["shift"])
    return _made(call, pack.dwplane3x3_kernel(layer.shape), layer, stream)


def dwplane3x3_shape(call: Call) -> Call | str:
    """The same, made for the shape."""
    made, layer = dwplane3x3(call), _layer(call)
    if isinstance(made, str) or isinstance(layer, str):
        return made
    view = pack.generate_dwplane3x3(layer.config, layer.shape.stride_h)
    return _made(call, view.name, layer, made.consts[0].array, view)


def dwrow(call: Call) -> Call | str:
    """One row of taps, stride 1, made for the shape."""
    layer, f, c = _layer(call), ints(call), consts(call)
    if isinstance(layer, str):
        return layer
    reason = pack.dwrow_supported(layer.w, c["b"], c["m"], layer.shape, f["out_zp"], f["shift"])
    if reason is not None:
        return reason
    view = pack.generate_dwrow(layer.config, layer.shape.k_w)
    stream = pack.pack_dwrow(layer.w, c["b"], c["m"], f["out_zp"], f["shift"])
    return _made(call, view.name, layer, stream, view)
