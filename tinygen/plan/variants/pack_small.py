"""Constants of the dense and depthwise kernels of the small cores (sets m0 and m3): pure numpy, no graphs.

Names as in pack_dsp.py. How the kernels compute stands in core/tg_dense_lanes.h.
"""

from __future__ import annotations

import numpy as np

from tinygen.numerics import Array

#: Inputs that tg_dense_lanes.h expands at a time: TG_LANES_CHUNK.
LANES_CHUNK = 128
#: 128 * 255 < 2^15: the sum of |w| of a channel in one group.
LANES_LIMIT = 255
#: Instructions of a group beside its taps, and of one rest; they only decide how long the groups are.
_GROUP_COST, _REST_COST = 20, 14
#: Flash that channels missing to a multiple of four may cost.
_FILL_BYTES = 1024


def dense_supported(w: Array, b: Array) -> str | None:
    """Why tg_dense_s8_m0 and _m3 cannot take a layer with weights [n_out][n_in], or None when they can."""
    n_out, n_in = w.shape
    if n_in > 65535:
        return f"{n_in} inputs"
    fill = -n_out % 4 * n_in
    if fill > _FILL_BYTES:
        return f"{n_out} channels filled to a multiple of 4 cost {fill} bytes"
    most = np.abs(b.astype(np.int64)) + 256 * np.abs(w.astype(np.int64)).sum(axis=1) + 2**15 * (n_in // 4 + 1)
    return None if int(most.max()) < 2**31 else "sums too large"


def dense_scratch(n_in: int, n_out: int, taps: int) -> int:
    """Bytes of scratch: the inputs of a chunk as words with two words a group; the sums when there are more chunks."""
    groups = -(-min(n_in, LANES_CHUNK) // taps)
    if n_in <= LANES_CHUNK:
        return 4 * groups * (taps + 2)
    return 4 * (LANES_CHUNK + 2 * (LANES_CHUNK // taps) + -(-n_out // 4) * 4)


def dense_taps(w: Array) -> int:
    """Taps of a group that need the fewest instructions: short groups end often, long ones leave more rests."""

    def cost(taps: int) -> int:
        rests = int(np.count_nonzero(_split(_groups(w, taps))[1]))
        n_out, n_in = w.shape
        return -(-n_out // 4) * -(-n_in // taps) * (_GROUP_COST + 7 * taps) + _REST_COST * rests

    return min((16, 8, 4), key=cost)


def pack_dense(w: Array, b: Array, m: Array) -> tuple[Array, Array, Array]:
    """(w, b, m) of tg_dense_s8_m0 and _m3 from weights [n_out][n_in] and folded b; layout in their headers."""
    taps = dense_taps(w)
    n_out, n_in = w.shape
    fill = -n_out % 4
    groups = _groups(np.pad(w, ((0, fill), (0, 0))), taps)
    small, rest = (a.reshape(a.shape[0], -1) for a in _split(groups))
    words = [taps]
    for at in range(0, n_in, LANES_CHUNK):
        for o in range(0, n_out + fill, 4):
            here = slice(o, o + 4), slice(at, at + LANES_CHUNK)
            left, taps_left = rest[here], np.argwhere(rest[here].T)
            words += [len(taps_left)]
            words += [int(t) << 16 | int(c) << 8 | int(left[c, t]) & 0xFF for t, c in taps_left]
            u = (small[here] + 128).astype(np.int64)
            words += (u[0] | u[1] << 8 | u[2] << 16 | u[3] << 24).tolist()
    start = np.pad(b.astype(np.int64), (0, fill))
    start[np.arange(start.size) % 4 < 2] -= 2**15 * groups.shape[1]
    packed = np.array(words, dtype=np.uint32).view(np.int32)
    return packed, start.astype(np.int32), np.pad(m, (0, fill)).astype(np.int32)


def _groups(w: Array, taps: int) -> Array:
    """[channels][groups][taps], filled with zeros."""
    groups: Array = np.pad(w, ((0, 0), (0, -w.shape[1] % taps))).reshape(w.shape[0], -1, taps).astype(np.int32)
    return groups


def _split(groups: Array) -> tuple[Array, Array]:
    """(small, rest), small + rest = groups: no group of `small` is above LANES_LIMIT; few of `rest` are not 0."""
    small = groups.reshape(-1, groups.shape[-1]).copy()
    for row in np.flatnonzero(np.abs(small).sum(axis=1) > LANES_LIMIT):
        v = small[row]
        while (excess := int(np.abs(v).sum()) - LANES_LIMIT) > 0:
            i = int(np.abs(v).argmax())
            v[i] -= np.sign(v[i]) * min(excess, abs(int(v[i])))
    small = small.reshape(groups.shape)
    return small, groups - small
