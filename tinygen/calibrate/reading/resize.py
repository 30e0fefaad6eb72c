"""Resize."""

from __future__ import annotations

import numpy as np

from tinygen.calibrate.reading.moves import need_array
from tinygen.calibrate.reading.values import EPS, Ins, Node, Unreadable, Value, known_input, need_value
from tinygen.numerics import Array


def _places(n: Node, size: int, out: int, scale: float) -> Array:
    """Where each output position lies in the input."""
    o = np.arange(out, dtype=np.float64)
    mode = n.text("coordinate_transformation_mode", "half_pixel")
    if n.op == "Upsample" or n.version < 11:
        return o / scale
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and out > 1):
        return (o + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return np.zeros(out)
    if mode == "asymmetric":
        return o / scale
    if mode == "align_corners":
        return o * (size - 1) / (out - 1) if out > 1 else np.zeros(out)
    raise Unreadable(f"Resize with {mode}")


def resize_rule(n: Node, ins: Ins) -> list[Value]:
    x = need_value(ins[0])
    rank = x.a.ndim - 1
    at = 1 if n.op == "Upsample" or n.version < 11 else 2
    scales, sizes = known_input(ins, at), known_input(ins, 3)
    mode = n.text("mode", "nearest")
    if mode not in ("nearest", "linear") or int(n.attrs.get("antialias", 0)) or "axes" in n.attrs:
        raise Unreadable(f"Resize {mode}")
    y, err = x.a, x.err
    integers = x.a.dtype.kind in "iu"
    for axis in range(rank):
        size = y.shape[axis + 1]
        if sizes is not None and sizes.size:
            out = int(sizes[axis])
            scale = out / size
        else:
            scale = float(need_array(scales)[axis])
            out = int(np.floor(size * scale))
        if out == size and scale == 1.0:
            continue
        place = _places(n, size, out, scale)
        if mode == "nearest":
            how = n.text("nearest_mode", "round_prefer_floor") if n.version >= 11 and n.op == "Resize" else "floor"
            whole = {
                "round_prefer_floor": np.ceil(place - 0.5),
                "round_prefer_ceil": np.floor(place + 0.5),
                "floor": np.floor(place),
                "ceil": np.ceil(place),
            }[how]
            y = np.take(y, np.clip(whole, 0, size - 1).astype(int), axis=axis + 1)
            continue
        if integers:
            raise Unreadable("linear Resize of integer codes")
        place = np.clip(place, 0, size - 1)
        first = np.minimum(np.floor(place).astype(int), max(size - 2, 0))
        shape = [1] * y.ndim
        shape[axis + 1] = -1
        part = (place - first).reshape(shape)
        second = np.minimum(first + 1, size - 1)
        y = np.take(y, first, axis=axis + 1) * (1 - part) + np.take(y, second, axis=axis + 1) * part
        err += 6 * EPS * x.top * max(1.0, float(size))
    return [Value(y, True, err)]
