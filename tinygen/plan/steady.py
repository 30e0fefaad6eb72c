"""Channels that give one value whatever the input: their weights become 0 and their bias small.

Networks trained with batch normalisation have them: a scale near 0 leaves a channel without weights and, in units of
its tiny scale, an enormous bias. No bit of the output changes, but the sums stay in the range of packed kernels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinygen.numerics import Array, requant_clamp
from tinygen.ops.base import Call, ConstArg
from tinygen.plan.variants.base import consts, ints

#: Axis of the output channels in the weights of the reference kernels.
_AXIS = {"tg_conv_s8": 0, "tg_dwconv_s8": 2, "tg_dense_s8": 0}
#: Multiplier of a steady channel: a multiple of 768 that can be halved 28 times.
MULTIPLIER = 768 << 20


def settle(call: Call) -> Call:
    """`call` with the constants of steady channels replaced; as it is when it has none."""
    if call.kernel not in _AXIS:
        return call
    f, c = ints(call), consts(call)
    w, b, m = np.moveaxis(c["w"], _AXIS[call.kernel], 0), c["b"], c["m"]
    wide = w.reshape(len(b), -1).astype(np.int64)
    ends = (
        requant_clamp(b + reach.sum(axis=1), m, f["shift"], f["out_zp"], f["lo"], f["hi"])
        for reach in (np.minimum(wide * 127, wide * -128), np.maximum(wide * 127, wide * -128))
    )
    low, high = ends
    value = low.astype(np.int64) - f["out_zp"]
    bias = np.rint(value * 2.0 ** f["shift"] / MULTIPLIER).astype(np.int64)
    kept = requant_clamp(bias, MULTIPLIER, f["shift"], f["out_zp"], f["lo"], f["hi"]) == low
    steady = (low == high) & kept & (np.abs(bias) < np.maximum(np.abs(b.astype(np.int64)), 1))
    if not steady.any():
        return call
    new_w = np.moveaxis(np.where(steady.reshape(-1, *[1] * (w.ndim - 1)), 0, w).astype(np.int8), 0, _AXIS[call.kernel])
    arrays: dict[str, Array] = {
        "w": np.ascontiguousarray(new_w),
        "b": np.where(steady, bias, b).astype(np.int32),
        "m": np.where(steady, MULTIPLIER, m).astype(np.int32),
    }
    return replace(call, consts=tuple(ConstArg(k.suffix, arrays[k.suffix]) for k in call.consts))
