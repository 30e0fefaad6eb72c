"""How constants lie in flash for the Helium kernels, and how much scratch those take: pure numpy, no graphs.

Names as in kernels/conv/pack.py: `w_ohwi` is [out_c][k_h][k_w][in_c / groups] int8, `b` (folded) and `m` are [out_c]
int32; words are int32 arrays, byte 0 is the lowest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinygen.numerics import Array

#: Bytes of a vector.
VECTOR = 16
#: VQDMULH leaves bits 63..31 of the product, VRSHL shifts right by at least one.
SHIFTS = (32, 62)
#: Offsets of a scatter of bytes from half-word lanes: those of the fourth pixel's outputs must fit 16 bits.
CONV_CHANNELS = (2**16 - 2) // 3
#: Depthwise: channels at a time, and the largest plane, so that the offset of the eighth fits 16 bits.
DW_CHANNELS = 8
DW_PLANE = (2**16 - 1) // (DW_CHANNELS - 1)


def shift_supported(shift: int) -> str | None:
    """Why Helium's requantisation cannot take a shift, or None when it can."""
    low, high = SHIFTS
    return None if low <= shift <= high else f"shift {shift} is outside {low}..{high}"


def conv_mve_supported(out_c: int, shift: int) -> str | None:
    """Why tg_conv_s8_mve cannot take a layer, or None when it can."""
    if out_c > CONV_CHANNELS:
        return f"{out_c} channels, above {CONV_CHANNELS}"
    return shift_supported(shift)


def conv_mve_scratch(f: Mapping[str, int]) -> int:
    """Bytes of scratch of tg_conv_s8_mve for a config: the windows of four pixels, or a word that it does not touch
    when every window is one piece of the image."""
    one_run = f["k_w"] == 1 or (f["dil_w"] == 1 and f["groups"] == 1)
    if f["k_h"] == 1 and one_run and _inside(f, "h", "top") and _inside(f, "w", "left"):
        return 4
    return 4 * VECTOR * _vectors(f["k_h"] * f["k_w"] * (f["in_c"] // f["groups"]))


def pack_conv_mve(w_ohwi: Array, b: Array, m: Array, groups: int) -> Array:
    """Words of tg_conv_s8_mve: a record for each pair of channels of a group, [K / 16][2][16] weights, 2 b, 2 m.

    The first of the K / 16 turns holds the last 1..16 weights, filled up with zeros; the others follow in order. The
    last of an odd number of channels is paired with itself.
    """
    out_c = w_ohwi.shape[0]
    w = w_ohwi.reshape(groups, out_c // groups, -1)
    channels = np.arange(out_c).reshape(groups, -1)
    if channels.shape[1] % 2:
        w = np.concatenate([w, w[:, -1:]], axis=1)
        channels = np.concatenate([channels, channels[:, -1:]], axis=1)
    turns = _tail_first(w).reshape(-1, 2, _vectors(w.shape[2]), VECTOR).transpose(0, 2, 1, 3)
    pairs = channels.reshape(-1, 2)
    return np.concatenate([_words(turns), b[pairs], m[pairs]], axis=1).astype(np.int32).reshape(-1)


def pack_dense_mve(w: Array, b: Array, m: Array) -> Array:
    """Words of tg_dense_s8_mve from weights [n_out][n_in]: a record for every four outputs, filled up with zeros,
    4 b, 4 m, [n_in / 16][4][16] weights. The first turn holds the last 1..16 weights, as in pack_conv_mve."""
    more = -w.shape[0] % 4
    rows = np.pad(_tail_first(w), ((0, more), (0, 0), (0, 0)))
    turns = rows.reshape(-1, 4, *rows.shape[1:]).transpose(0, 2, 1, 3)
    ends = (np.pad(v, (0, more)).reshape(-1, 4) for v in (b, m))
    return np.concatenate([*ends, _words(turns)], axis=1).astype(np.int32).reshape(-1)


@dataclass(frozen=True, slots=True)
class DwPlanes:
    """How tg_dwconv_s8_mve lays out eight channels in scratch: outputs down at a time (4, or 2 and 2 across), bytes of
    a channel, vectors of a window; `cost`: instructions for a channel, roughly."""

    strip: int
    plane: int
    vectors: int
    cost: int


def dwconv_mve_planes(f: Mapping[str, int]) -> DwPlanes:
    """The twin of tg_dwconv_planes(): strips on the longer axis of the output, or two by two where that is cheaper."""
    down, across = ("h", "w") if f["out_h"] >= f["out_w"] else ("w", "h")
    strips, squares = _columns(f, down, across, 4), _columns(f, down, across, 2)
    possible = min(f["out_h"], f["out_w"]) >= 2 and squares.vectors == 1
    return squares if possible and squares.cost < strips.cost else strips


def _columns(f: Mapping[str, int], down: str, across: str, strip: int) -> DwPlanes:
    """The twin of tg_dwconv_columns() and tg_dwconv_cost(): rows a stride apart are neighbours in a column."""
    k, stride, dil = (f[f"{name}_{down}"] for name in ("k", "stride", "dil"))
    phase = strip + (k - 1) * dil // stride
    height = phase * stride
    reach = (f[f"k_{across}"] - 1) * f[f"dil_{across}"]
    last = max((i * dil) % stride * phase + i * dil // stride for i in range(k))
    out_down, out_across = f[f"out_{down}"], f[f"out_{across}"]
    cols = (out_across - 1) * f[f"stride_{across}"] + reach + 1
    vectors = (reach * height + last) // VECTOR + 1
    outputs = min(out_down, strip)
    rows = (outputs - 1) * stride + (k - 1) * dil + 1
    turn = 21 if outputs == 4 and vectors == 1 else 25 + 10 * vectors
    sweep = out_across * turn + 20 if strip == 4 else -(-out_across // 2) * 21 + 20 * (1 + out_across % 2)
    return DwPlanes(strip, cols * height, vectors, -(-out_down // strip) * (sweep + 5 * rows * cols // 8))


def dwconv_mve_supported(f: Mapping[str, int]) -> str | None:
    """Why tg_dwconv_s8_mve cannot take a layer, or None when it can."""
    planes = dwconv_mve_planes(f)
    if planes.plane > DW_PLANE:
        return f"a plane of {planes.plane} bytes, above {DW_PLANE}"
    taps = f["k_h"] * f["k_w"]
    if planes.vectors > 2 * _vectors(taps) + 2:
        return f"the {taps} taps of a window spread over {planes.vectors} vectors"
    return shift_supported(f["shift"])


def dwconv_mve_scratch(f: Mapping[str, int]) -> int:
    """Bytes of scratch of tg_dwconv_s8_mve: weights and planes of eight channels, and a window's vectors behind, since
    windows are read to the end of their last vector."""
    channels, multiplier = min(f["in_c"], DW_CHANNELS), f["out_c"] // f["in_c"]
    planes = dwconv_mve_planes(f)
    window = VECTOR * planes.vectors
    return channels * (multiplier * window + planes.plane) + window + 4


def _inside(f: Mapping[str, int], axis: str, edge: str) -> bool:
    """Do all windows of a layer lie inside the image, on one axis?"""
    last = (f[f"out_{axis}"] - 1) * f[f"stride_{axis}"] + (f[f"k_{axis}"] - 1) * f[f"dil_{axis}"]
    return f[f"pad_{edge}"] == 0 and last < f[f"in_{axis}"]


def _vectors(n: int) -> int:
    return -(-n // VECTOR)


def _tail_first(w: Array) -> Array:
    """[..., K] int8 -> [..., K / 16, 16]: the last 1..16 of K first, filled up with zeros."""
    k = w.shape[-1]
    whole = (_vectors(k) - 1) * VECTOR
    tail = np.zeros((*w.shape[:-1], VECTOR), dtype=np.int8)
    tail[..., : k - whole] = w[..., whole:]
    return np.concatenate([tail, w[..., :whole]], axis=-1).reshape(*w.shape[:-1], -1, VECTOR)


def _words(rows: Array) -> Array:
    """int8 [n, ...] -> int32 [n, bytes / 4]."""
    words: Array = np.ascontiguousarray(rows.reshape(rows.shape[0], -1)).view("<i4").astype(np.int32)
    return words
