"""Convolutions and matrix products: exact in integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinygen.calibrate.reading.values import EPS, Ins, Node, Unreadable, Value, aligned, need_value
from tinygen.calibrate.reading.windows import padded, taps_at, window_of
from tinygen.numerics import Array


def _product(x: Value, w: Value, sums: Callable[[Array, Array], Array], channel: int, weights_of: int) -> Value:
    """sums(x, w), a sum of products: exact on integers where both are codes of one scale, else float64.

    `channel`: axis of the result along which w's scales lie; `weights_of`: how many weights a sum has.
    """
    if x.whole is not None and x.unit is not None and w.whole is not None and w.unit is not None and x.unit.size == 1:
        top = float(np.abs(x.whole).max(initial=0)) * float(np.abs(w.whole).max(initial=0)) * weights_of
        if top < 2**53:
            kind = np.float32 if top < 2**24 else np.float64
            y = sums(x.whole.astype(kind, copy=False), w.whole.astype(kind, copy=False)).astype(np.float64)
            unit = x.unit.reshape(()) * w.unit.ravel()
            top *= float(np.max(unit))
            if unit.size > 1:
                shape = [1] * y.ndim
                shape[channel] = -1
                unit = unit.reshape(shape)
            y *= unit
            return Value(y, x.live or w.live, 2 * EPS * top, top=top)
    y = sums(x.a, w.a)
    size = weights_of * w.top
    return Value(y, x.live or w.live, size * x.err + weights_of * EPS * size * x.top)


def _plus(y: Value, b: Value | None, axis: int) -> Value:
    """A sum of products and its bias; y's array is used up."""
    if b is None:
        return y
    shape = [1] * y.a.ndim
    shape[axis] = -1
    total, top = y.a, y.top + b.top
    total += b.a.reshape(shape)
    return Value(total, y.live, y.err + EPS * top, top=top)


def conv_rule(n: Node, ins: Ins) -> list[Value]:
    x, w = need_value(ins[0]), need_value(ins[1])
    b = ins[2] if len(ins) > 2 else None
    if w.live or (b is not None and b.live) or not x.live:
        raise Unreadable("weights that depend on the input")
    groups, kernel = int(n.attrs.get("group", 1)), list(w.a.shape[2:])
    pads, strides, dil, out = window_of(n, x.a, kernel)

    def sums(xa: Array, wa: Array) -> Array:
        images = padded(xa.reshape(-1, *xa.shape[2:]), pads)
        count, o, c = len(images), wa.shape[0], wa.shape[1]
        if c == 1 and groups > 1:
            wide = np.repeat(images, o // groups, axis=1)
            y = np.zeros((count, o, *out), xa.dtype)
            for at in np.ndindex(*kernel):
                y += taps_at(wide, at, out, strides, dil) * wa[(slice(None), 0, *at)].reshape(o, *(1,) * len(out))
            return y.reshape(-1, 1, o, *out)
        parts = []
        for g in range(groups):
            part = images[:, g * c : (g + 1) * c]
            mine = wa[g * (o // groups) : (g + 1) * (o // groups)].reshape(o // groups, -1)
            taps = [taps_at(part, at, out, strides, dil) for at in np.ndindex(*kernel)]
            columns = np.stack(taps, axis=2).reshape(count, c * len(taps), -1)
            parts.append(np.matmul(mine, columns).reshape(count, -1, *out))
        return np.concatenate(parts, axis=1).reshape(-1, 1, o, *out)

    y = _product(x, w, sums, 2, int(np.prod(w.a.shape[1:])))
    return [_plus(y, b, 2)]


def conv_transpose_rule(n: Node, ins: Ins) -> list[Value]:
    x, w = need_value(ins[0]), need_value(ins[1])
    if w.live or not x.live:
        raise Unreadable("weights that depend on the input")
    groups, kernel = int(n.attrs.get("group", 1)), list(w.a.shape[2:])
    rank = len(kernel)
    strides, dil = n.ints("strides", [1] * rank), n.ints("dilations", [1] * rank)
    extra, size = n.ints("output_padding", [0] * rank), x.a.shape[-rank:]
    full = [(size[i] - 1) * strides[i] + (kernel[i] - 1) * dil[i] + 1 for i in range(rank)]
    auto, asked = n.text("auto_pad", "NOTSET"), n.ints("output_shape")[-rank:]
    if asked or auto.startswith("SAME"):
        asked = asked or [size[i] * strides[i] for i in range(rank)]
        total = [max(0, full[i] + extra[i] - asked[i]) for i in range(rank)]
        half = [t // 2 for t in total]
        rest = [t - h for t, h in zip(total, half, strict=True)]
        pads = half + rest if auto == "SAME_UPPER" else rest + half
    else:
        pads = n.ints("pads", [0] * 2 * rank)
        asked = [full[i] + extra[i] - pads[i] - pads[rank + i] for i in range(rank)]
    outs = w.a.shape[1] * groups

    def sums(xa: Array, wa: Array) -> Array:
        images = xa.reshape(-1, *xa.shape[2:])
        c, m = wa.shape[0] // groups, wa.shape[1]
        y = np.zeros((len(images), outs, *[f + e for f, e in zip(full, extra, strict=True)]), xa.dtype)
        for g in range(groups):
            part = images[:, g * c : (g + 1) * c].reshape(len(images), c, -1)
            to = y[:, g * m : (g + 1) * m]
            for at in np.ndindex(*kernel):
                mine = wa[(slice(g * c, (g + 1) * c), slice(None), *at)]
                taps_at(to, at, size, strides, dil)[...] += np.matmul(mine.T, part).reshape(len(images), m, *size)
        inside = tuple(slice(pads[i], pads[i] + asked[i]) for i in range(rank))
        return y[(slice(None), slice(None), *inside)].reshape(-1, 1, outs, *asked)

    if w.unit is not None and w.unit.size > 1 and groups > 1:
        w = w.plain()
    y = _product(x, w, sums, 2, int(np.prod(w.a.shape)) // w.a.shape[1])
    return [_plus(y, ins[2] if len(ins) > 2 else None, 2)]


def _columns(w: Value, axis: int) -> Value:
    """w with integers kept where its scales lie along `axis` of its two."""
    if w.unit is not None and w.unit.size > 1 and (w.a.ndim != 2 or w.unit.shape[axis] != w.unit.size):
        return w.plain()
    return w


def matmul_rule(n: Node, ins: Ins) -> list[Value]:
    x, w = need_value(ins[0]), need_value(ins[1])
    if not x.live or w.live:
        raw = aligned(x, w) if x.live and w.live else [x.a, w.a]
        y = raw[0] @ raw[1]
        k = x.a.shape[-1]
        err = k * (x.top * w.err + w.top * x.err + x.err * w.err + k * EPS * x.top * w.top)
        return [Value(y, True, err)]
    if x.a.ndim == 2 and w.a.ndim > 2:
        raise Unreadable("a vector times many matrices")
    if 2 <= x.a.ndim - 1 < w.a.ndim:  # matrices broadcast: axes of length 1 behind the samples
        x = Value(aligned(x, w)[0], True, x.err)
    return [_product(x, _columns(w, 1), np.matmul, -1, w.a.shape[-2] if w.a.ndim > 1 else len(w.a))]


def gemm_rule(n: Node, ins: Ins) -> list[Value]:
    x, w = need_value(ins[0]), need_value(ins[1])
    alpha, beta = (float(np.float32(n.attrs.get(k, 1.0))) for k in ("alpha", "beta"))
    if w.live or not x.live:
        raise Unreadable("weights that depend on the input")
    if int(n.attrs.get("transA", 0)):
        x = Value(x.a.swapaxes(-1, -2), True, x.err)
    turned = bool(int(n.attrs.get("transB", 0)))
    w = _columns(w, 0 if turned else 1)
    y = _product(x, w, (lambda a, b: a @ b.T) if turned else np.matmul, -1, w.a.shape[1 if turned else 0])
    y = y if alpha == 1.0 else Value(y.a * alpha, True, y.err * abs(alpha) + EPS * y.top * abs(alpha))
    c = ins[2] if len(ins) > 2 else None
    if c is None:
        return [y]
    return [Value(y.a + beta * c.a, True, y.err + 2 * EPS * (y.top + abs(beta) * c.top))]
