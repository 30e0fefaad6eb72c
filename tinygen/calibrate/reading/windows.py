"""Windows over an image: pads, taps, pools."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tinygen.calibrate.reading.values import EPS, Ins, Node, Rule, Value, need_value
from tinygen.numerics import Array


def _pads(n: Node, size: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dil: Sequence[int]) -> list[int]:
    """[begins, ends], auto_pad worked out."""
    auto, rank = n.text("auto_pad", "NOTSET"), len(size)
    if auto in ("NOTSET", ""):
        return n.ints("pads", [0] * 2 * rank)
    if auto == "VALID":
        return [0] * 2 * rank
    begins, ends = [], []
    for i in range(rank):
        span = (kernel[i] - 1) * dil[i] + 1
        total = max(0, (-(-size[i] // strides[i]) - 1) * strides[i] + span - size[i])
        small = total // 2
        begins.append(small if auto == "SAME_UPPER" else total - small)
        ends.append(total - begins[-1])
    return begins + ends


def taps_at(x: Array, at: Sequence[int], out: Sequence[int], strides: Sequence[int], dil: Sequence[int]) -> Array:
    """What tap `at` of a window sees, for all windows: the spatial axes are the last."""
    where = tuple(slice(a * d, a * d + (o - 1) * s + 1, s) for a, d, o, s in zip(at, dil, out, strides, strict=True))
    found: Array = x[(slice(None),) * (x.ndim - len(where)) + where]
    return found


def window_of(n: Node, x: Array, kernel: Sequence[int]) -> tuple[list[int], list[int], list[int], list[int]]:
    """(pads, strides, dilations, output size) of a window over the last axes of x."""
    rank = len(kernel)
    strides, dil = n.ints("strides", [1] * rank), n.ints("dilations", [1] * rank)
    size = x.shape[-rank:]
    pads = _pads(n, size, kernel, strides, dil)
    out = []
    for i in range(rank):
        room = size[i] + pads[i] + pads[rank + i] - (kernel[i] - 1) * dil[i] - 1
        steps = room // strides[i]
        if int(n.attrs.get("ceil_mode", 0)):
            steps = -(-room // strides[i])
            if steps * strides[i] >= size[i] + pads[i]:  # a window must begin inside the image
                steps -= 1
        out.append(steps + 1)
        reach = (out[i] - 1) * strides[i] + (kernel[i] - 1) * dil[i] + 1
        pads[rank + i] = max(pads[rank + i], reach - size[i] - pads[i])
    return pads, strides, dil, out


def padded(x: Array, pads: Sequence[int], value: float = 0.0) -> Array:
    rank = len(pads) // 2
    if not any(pads):
        return x
    width = [(0, 0)] * (x.ndim - rank) + [(pads[i], pads[rank + i]) for i in range(rank)]
    return np.pad(x, width, constant_values=value)


def max_pool_rule(n: Node, ins: Ins) -> list[Value]:
    x, kernel = need_value(ins[0]), n.ints("kernel_shape")
    low = -np.inf if x.a.dtype.kind == "f" else np.iinfo(x.a.dtype).min
    pads, strides, dil, out = window_of(n, x.a, kernel)
    wide = padded(x.a, pads, low)
    y = None
    for at in np.ndindex(*kernel):
        tap = taps_at(wide, at, out, strides, dil)
        y = tap.copy() if y is None else np.maximum(y, tap, out=y)
    assert y is not None
    return [Value(y, True, x.err)]


def average_pool_rule(n: Node, ins: Ins) -> list[Value]:
    x, kernel = need_value(ins[0]), n.ints("kernel_shape")
    pads, strides, dil, out = window_of(n, x.a, kernel)
    asked = _pads(n, x.a.shape[-len(kernel) :], kernel, strides, dil)  # what ceil_mode adds does not count
    inside = np.ones(x.a.shape[-len(kernel) :])
    if int(n.attrs.get("count_include_pad", 0)):
        inside = padded(inside, asked, 1.0)
        inside = padded(inside, [p - a for p, a in zip(pads, asked, strict=True)])
    else:
        inside = padded(inside, pads)
    wide = padded(x.a, pads)
    total = np.zeros((*x.a.shape[: -len(kernel)], *out))
    count = np.zeros(out)
    for at in np.ndindex(*kernel):
        total += taps_at(wide, at, out, strides, dil)
        count += taps_at(inside, at, out, strides, dil)
    return [Value(total / count, True, x.err + (len(kernel) + 1) * EPS * x.top)]


def global_pool_rule(reduce: Callable[..., Array]) -> Rule:
    def rule(n: Node, ins: Ins) -> list[Value]:
        x = need_value(ins[0])
        axes = tuple(range(3, x.a.ndim))
        return [Value(reduce(x.a, axis=axes, keepdims=True), True, x.err + 4 * EPS * x.top)]

    return rule
