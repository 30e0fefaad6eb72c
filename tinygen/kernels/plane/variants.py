"""Depthwise kernels of the DSP set on planes (pack.py) as variants: on a tensor that lies in planes, or on one
input channel after the other, each copied into a plane unless it is one (tg_dwchannel_s8_dsp)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from tinygen.kernels.kernel import Kernel
from tinygen.kernels.plane import pack
from tinygen.kernels.plane.kernel import plane_kernel, taps_kernel
from tinygen.kernels.variant import Variant, consts, ints
from tinygen.numerics import Array
from tinygen.ops.base import Call, ConstArg, Generated, Planes

#: The shortest shift of SMMLAR, and how many powers of two halves of a word take for a shorter one (plan/lift.py).
SHORTEST, LONGEST_LIFT = 33, 8


@dataclass(frozen=True)
class _Layer:
    """A depthwise layer as the kernels see it: transposed when its planes are."""

    shape: pack.Geometry
    w: Array
    b: Array
    m: Array
    in_zp: int
    out_zp: int
    shift: int
    config: dict[str, int]


@dataclass(frozen=True)
class _Kernel:
    """A kernel with the constants of a layer; its view where it is generated."""

    name: str
    stream: Array
    view: Kernel | None = None

    @property
    def generated(self) -> tuple[Generated, ...]:
        v = self.view
        return () if v is None else (Generated(v.name, "dsp/tg_program", v, v.size, v.hot, v.family),)


_Make = Callable[[_Layer], _Kernel | str]


def plane_layouts(f: Mapping[str, int]) -> list[Planes]:
    """Of a depthwise layer's input, the better first: the longer axis contiguous."""
    shape = pack.Geometry.of(f)
    by_rows = pack.planes_for(shape, f["in_c"])
    by_columns = pack.planes_for(shape.transposed(), f["in_c"], swap=True)
    return [by_columns, by_rows] if f["in_h"] > f["in_w"] else [by_rows, by_columns]


def _layer(call: Call, planes: Planes) -> _Layer | str:
    """Or why the call is none."""
    f, c = ints(call), consts(call)
    w, b = c["w"].astype(np.int64), c["b"].astype(np.int64)
    lift = max(SHORTEST - f["shift"], 0)
    if lift > LONGEST_LIFT or int(np.abs(w).max()) << lift >= 2**15 or int(np.abs(b).max()) << lift >= 2**30:
        return f"shift {f['shift']} is below {SHORTEST}, by more than there is room for in the weights"
    w, b = w << lift, b << lift
    shape = pack.Geometry.of(f)
    out_row, out_col = f["out_w"] * f["out_c"], f["out_c"]
    if planes.swap:
        shape, w = shape.transposed(), np.ascontiguousarray(w.swapaxes(0, 1))
        out_row, out_col = out_col, out_row
    config = pack.dwplane_config(shape, planes, out_row, out_col, 1, f["lo"], f["hi"])
    return _Layer(shape, w, b, c["m"], f["in_zp"], f["out_zp"], f["shift"] + lift, config)


def _square(layer: _Layer, *, wide: bool = False) -> _Kernel | str:
    """3 x 3, stride 1 or 2, any shape; `wide`: constants of a layer whose outputs may leave int16."""
    s, end = layer.shape, (layer.out_zp, layer.shift)
    reason = pack.dwplane3x3_supported(layer.w, layer.b, layer.m, s, *end, wide=wide)
    if reason is not None:
        return reason
    stream = pack.pack_dwplane3x3(layer.w, layer.b, layer.m, s, layer.in_zp, *end)
    return _Kernel(pack.dwplane3x3_kernel(s), stream)


def _shaped(layer: _Layer) -> _Kernel | str:
    """The same, made for the shape."""
    made, wide = _square(layer), False
    if isinstance(made, str):
        made, wide = _square(layer, wide=True), True
    if isinstance(made, str):
        return made
    view = plane_kernel(layer.config, layer.shape.stride_h, wide=wide)
    return _Kernel(view.name, made.stream, view)


def _row(layer: _Layer) -> _Kernel | str:
    """One row of taps, stride 1, made for the shape."""
    end = (layer.out_zp, layer.shift)
    reason = pack.dwrow_supported(layer.w, layer.b, layer.m, layer.shape, *end)
    if reason is not None:
        return reason
    view = taps_kernel(layer.config, layer.shape.k_w)
    return _Kernel(view.name, pack.pack_dwrow(layer.w, layer.b, layer.m, *end), view)


def _all_channels(make: _Make) -> Variant:
    """One call of the kernel, where each output channel has a plane."""

    def variant(call: Call) -> Call | str:
        f = ints(call)
        if call.x_planes is None:
            return "its input is not in planes"
        if f["in_c"] != f["out_c"]:
            return f"{f['out_c'] // f['in_c']} output channels for each input channel"
        layer = _layer(call, call.x_planes)
        made = layer if isinstance(layer, str) else make(layer)
        if isinstance(layer, str) or isinstance(made, str):
            return str(made)
        return replace(
            call,
            kernel=made.name,
            config=tuple(layer.config.items()),
            cfg_type="tg_dwplane_cfg_t",
            consts=(ConstArg("w", made.stream),),
            generated=made.generated,
        )

    return variant


def _each_channel(make: _Make) -> Variant:
    """A call of the kernel for the outputs of each input channel."""

    def variant(call: Call) -> Call | str:
        f = ints(call)
        if call.x_planes is not None and f["in_c"] == f["out_c"]:
            return ""  # the kernel takes all at once
        found: Call | str = ""
        for planes in plane_layouts(f) if call.x_planes is None else [call.x_planes]:
            found = by_planes(call, f, planes)
            if isinstance(found, Call):
                break
        return found

    def by_planes(call: Call, f: dict[str, int], planes: Planes) -> Call | str:
        layer = _layer(call, planes)
        if isinstance(layer, str):
            return layer
        layer = replace(layer, config=layer.config | {"channels": f["out_c"] // f["in_c"], "plane_stride": 0})
        made = make(layer)
        if isinstance(made, str):
            return made
        copied = call.x_planes is None
        one = replace(planes, channels=1)
        along, across = f["in_w"] * f["in_c"], f["in_c"]
        row, col = (across, along) if planes.swap else (along, across)
        fields = {
            "in_c": f["in_c"], "rows": planes.rows, "cols": planes.cols, "in_zp": f["in_zp"], "lead": planes.lead,
            "words": made.stream.size // f["in_c"], "x_channel": 1 if copied else planes.plane,
            "x_row": row if copied else 0, "x_col": col if copied else 0, "size": one.size if copied else 0,
        }  # fmt: skip
        return replace(
            call,
            kernel=EACH,
            config=(
                *fields.items(),
                ("kernel", made.name),
                *((f"plane.{name}", value) for name, value in layer.config.items()),
            ),
            consts=(ConstArg("w", made.stream),),
            generated=made.generated,
            uses=() if made.view else (made.name,),
            scratch=-(-one.size // 4) * 4 if copied else 4,
            family=f"{EACH} {_kind(layer, made)}",
            features=_features(layer, f["in_c"], f["out_c"], copied),
        )

    return variant


def _kind(layer: _Layer, made: _Kernel) -> str:
    """Kernels whose costs are alike."""
    if made.view is None:
        return made.name
    return "row" if layer.shape.k_h == 1 else f"of a shape, stride {layer.shape.stride_h}"


def _features(layer: _Layer, in_c: int, out_c: int, copied: bool) -> tuple[tuple[str, float], ...]:
    """What a call does how often."""
    s = layer.shape
    pairs = -(-s.out_w // 2)
    found = {
        "channels": in_c, "outputs": out_c * s.out_h * s.out_w, "planes": out_c, "strips": out_c * pairs,
        "rows": out_c * s.out_h, "pairs": out_c * s.in_h * pairs, "taps": out_c * s.out_h * s.out_w * s.k_w,
        "copied": in_c * s.in_h * s.in_w if copied else 0, "copied_rows": in_c * s.in_h if copied else 0,
    }  # fmt: skip
    return tuple((name, float(n)) for name, n in found.items())


#: The kernel that takes one input channel after the other.
EACH = "tg_dwchannel_s8_dsp"

dwplane3x3, dwplane3x3_shape, dwrow = _all_channels(_square), _all_channels(_shaped), _all_channels(_row)
each3x3, each3x3_shape, eachrow = _each_channel(_square), _each_channel(_shaped), _each_channel(_row)
