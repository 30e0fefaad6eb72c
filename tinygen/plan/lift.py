"""Small weights times a power of two, where a kernel wants a longer shift: the same bits.

(2^k * acc * m + 2^(s+k-1)) >> (s+k) is (acc * m + 2^(s-1)) >> s. Layers of few bits have large multipliers, and so
short shifts, and leave room in int8 for larger weights.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinygen.ops.base import Call, ConstArg

#: The shortest shift whose rounding and zero point are one constant of a SMMLA (core/tg_epilogue_dsp.h).
SHORTEST = 33
KERNELS = ("tg_conv_s8", "tg_dwconv_s8", "tg_dense_s8")


def lift(call: Call) -> Call:
    """A reference call with a shift of SHORTEST, if weights and sums leave room for it; else the call as it is."""
    shift = dict(call.config).get("shift", 0)
    k = SHORTEST - shift if call.kernel in KERNELS and isinstance(shift, int) else 0
    if k <= 0:
        return call
    c = {const.suffix: const.array for const in call.consts}
    w, b = c["w"].astype(np.int64), c["b"].astype(np.int64)
    # [k_h][k_w][out_c] of a depthwise layer, [out_c][...] of the others
    sums = np.abs(w).sum(axis=(0, 1)) if call.kernel == "tg_dwconv_s8" else np.abs(w).reshape(len(w), -1).sum(axis=1)
    if int(np.abs(w).max()) << k > 127 or int((np.abs(b) + 256 * sums).max()) << k >= 2**31:
        return call
    scaled = {**c, "w": (w << k).astype(np.int8), "b": (b << k).astype(np.int32)}
    return replace(
        call,
        config=tuple({**dict(call.config), "shift": SHORTEST}.items()),
        consts=tuple(ConstArg(const.suffix, scaled[const.suffix]) for const in call.consts),
    )
