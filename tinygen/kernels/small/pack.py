"""Constants of the dense and depthwise kernels of the small cores (sets m0 and m3): pure numpy, no graphs.

Names as in kernels/conv/pack.py. How the kernels compute stands in core/tg_dense_lanes.h and core/tg_dwconv_plane.h.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinygen.numerics import Array

#: Where tg_plane_out_narrow and tg_plane_out_wide are exact: shifts, and the size of a sum.
NARROW_SHIFTS, WIDE_SHIFTS, NARROW_LIMIT = (21, 42), (33, 54), 2**19
#: Sums that tg_dwconv_plane.h makes before they become outputs: TG_PLANE_SUMS; TG_PLANE_STEP1 and 2.
PLANE_SUMS, _PLANE_STEP = 128, 4
#: Inputs that tg_dense_lanes.h expands at a time: TG_LANES_CHUNK.
LANES_CHUNK = 128
#: 128 * 255 < 2^15: the sum of |w| of a channel in one group.
LANES_LIMIT = 255
#: Instructions of a group beside its taps, and of one rest with its four bytes; they decide how long groups are.
_GROUP_COST, _REST_COST = 20, 24
#: Flash that channels missing to a multiple of four may cost, or an eighth of the weights.
_FILL_BYTES = 1024


def dense_supported(w: Array, b: Array) -> str | None:
    """Why tg_dense_s8_m0 and _m3 cannot take a layer with weights [n_out][n_in], or None when they can."""
    n_out, n_in = w.shape
    if n_out > 4 * (2**15 - 1):
        return f"{n_out} channels"
    fill = -n_out % 4 * n_in
    if fill > max(_FILL_BYTES, w.size // 8):
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
        n_out, n_in = (int(n) for n in w.shape)
        return -(-n_out // 4) * -(-n_in // taps) * (_GROUP_COST + 7 * taps) + _REST_COST * rests

    return min((16, 8, 4), key=cost)


def pack_dense(w: Array, b: Array, m: Array) -> tuple[Array, Array, Array]:
    """(w, b, m) of tg_dense_s8_m0 and _m3 from weights [n_out][n_in] and folded b; layout in their headers."""
    taps = dense_taps(w)
    n_out, n_in = w.shape
    fill = -n_out % 4
    groups = _groups(np.pad(w, ((0, fill), (0, 0))), taps)
    small, rest = (a.reshape(a.shape[0], -1) for a in _split(groups))
    words: list[int] = [taps]
    for at in range(0, n_in, LANES_CHUNK):
        here = rest[:, at : at + LANES_CHUNK]
        rests = [(c // 4 << 17 | t << 10 | c % 4 << 8 | int(here[c, t]) & 0xFF) for c, t in np.argwhere(here).tolist()]
        u = (small[:, at : at + LANES_CHUNK].reshape((n_out + fill) // 4, 4, -1) + 128).astype(np.int64)
        blocks = u[:, 0] | u[:, 1] << 8 | u[:, 2] << 16 | u[:, 3] << 24
        words += [len(rests), *rests, *blocks.reshape(-1).tolist()]
    start = np.pad(b.astype(np.int64), (0, fill))
    start[np.arange(start.size) % 4 < 2] -= 2**15 * groups.shape[1]
    packed = np.array(words, dtype=np.uint32).view(np.int32)
    return packed, start.astype(np.int32), np.pad(m, (0, fill)).astype(np.int32)


def dwconv_supported(f: Mapping[str, int]) -> str | None:
    """Why a layer with config fields `f` is not for tg_dwconv_s8_m0 and _m3, or None when it is."""
    stride, dil = (f["stride_h"], f["dil_h"]) if _is_column(f) else (f["stride_w"], f["dil_w"])
    if stride > 2:
        return f"stride {stride}"
    return f"dilation {dil}" if dil != 1 else None


def dwconv_scratch(f: Mapping[str, int]) -> int:
    """Bytes of scratch: twin of tg_plane_layout() and of how tg_dwconv_plane() divides scratch."""
    axes = ("w", "h") if _is_column(f) else ("h", "w")
    (in_h, in_w), (out_h, out_w) = ([f[f"{name}_{a}"] for a in axes] for name in ("in", "out"))
    (k_h, k_w), (stride_h, stride_w) = ([f[f"{name}_{a}"] for a in axes] for name in ("k", "stride"))
    dil_h = f[f"dil_{axes[0]}"]
    if _is_column(f):
        stride_h = dil_h = 1
    top, left = (f["pad_left"], f["pad_top"]) if _is_column(f) else (f["pad_top"], f["pad_left"])
    edge = max(left, (out_w - 1) * stride_w + k_w - left - in_w)
    pitch = in_w + edge
    height = max(top + in_h, (out_h - 1) * stride_h + (k_h - 1) * dil_h + 1)
    line = pitch if stride_h == stride_w == 1 else -(-out_w // _PLANE_STEP) * _PLANE_STEP
    sums = max(line, min(out_h * line, PLANE_SUMS)) + _PLANE_STEP  # some cores have shorter lines, and more of them
    too_far = (_PLANE_STEP - 1) * stride_w + 2  # outputs behind a line, taps behind the kernel
    return 16 * k_h * -(-k_w // 3) + 4 * sums + height * pitch + edge + too_far


def pack_dwconv(f: Mapping[str, int], w_hwc: Array, b: Array, m: Array, narrow: bool) -> tuple[Array, Array, Array]:
    """(w, b, m) of tg_dwconv_s8_m0 (`narrow`) and _m3 from weights [k_h][k_w][out_c] and folded b; layout in their
    headers."""
    w = w_hwc.transpose(2, 1, 0) if _is_column(f) else w_hwc.transpose(2, 0, 1)
    filled = np.pad(w, ((0, 0), (0, 0), (0, -w.shape[2] % 3)))
    wide = w_hwc.astype(np.int64)
    most = np.abs(b.astype(np.int64)) + 128 * np.abs(wide).sum(axis=(0, 1))
    low, high = NARROW_SHIFTS if narrow else WIDE_SHIFTS
    any_sum = (m % 256 != 0) | (narrow & (most >= NARROW_LIMIT)) | (not low <= f["shift"] <= high)
    start = b.astype(np.int64) - 128 * wide.sum(axis=(0, 1))
    assert not np.any(m % 2)  # NUMERICS section 1: multiples of 768
    return np.ascontiguousarray(filled).astype(np.int8), start.astype(np.int32), (m + any_sum).astype(np.int32)


def _is_column(f: Mapping[str, int]) -> bool:
    return f["in_w"] == f["k_w"] == f["out_w"] == 1 and f["pad_left"] == 0


def _groups(w: Array, taps: int) -> Array:
    """[channels][groups][taps], filled with zeros."""
    groups: Array = np.pad(w, ((0, 0), (0, -w.shape[1] % taps))).reshape(w.shape[0], -1, taps).astype(np.int32)
    return groups


def _split(groups: Array) -> tuple[Array, Array]:
    """(small, rest), small + rest = groups: no group of `small` is above LANES_LIMIT; few of `rest` are not 0."""
    small = groups.copy()
    rows = small.reshape(-1, groups.shape[-1])
    for row in np.flatnonzero(np.abs(rows).sum(axis=1) > LANES_LIMIT):
        v = rows[row]
        while (excess := int(np.abs(v).sum()) - LANES_LIMIT) > 0:
            i = int(np.abs(v).argmax())
            v[i] -= np.sign(v[i]) * min(excess, abs(int(v[i])))
    return small, groups - small
