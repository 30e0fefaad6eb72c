"""Depthwise kernels of the DSP set that read planes and write NHWC (or anything): what they take, how constants lie.

The input is in planes (ops.base.Planes): the padding on the right of a row and on the left of the next lies between the
rows, and there are no rows above and below. `planes_for(shape, channels, swap)` gives the tightest layout.

Transposing: a kernel knows only rows and columns, so columns of the image may lie where it expects rows (the long axis
should be contiguous when the other is short). The caller then transposes w_hwc (axes 0 and 1), takes
`Geometry.transposed()` and exchanges out_row and out_col.

Arrays: `w_hwc` is [k_h][k_w][channels] int8, `b` and `m` are [channels] int32, `b` folded (numerics.fold_bias).

**3 x 3, stride 1 or 2**

- `dwplane3x3_supported(w_hwc, b, m, shape, out_zp, shift) -> str | None`: why not, or None.
- `pack_dwplane3x3(w_hwc, b, m, shape, in_zp, out_zp, shift) -> Array`: the one word stream, int32 [channels * 9].
- `dwplane_config(shape, planes, out_row, out_col, out_chan, lo, hi) -> dict[str, int]`: the fields of tg_dwplane_cfg_t,
  which all kernels take (raises ValueError when one does not fit).
- `dwplane3x3_kernel(shape) -> str`: the kernel for any shape, tg_dwplane3x3_dsp or tg_dwplane3x3s2_dsp.

kernels/plane/ has the same kernel made for one shape.

**One row of k taps, stride 1** (a k x 1 layer transposed; or 1 x k: every row of the planes is such a row)

- `dwrow_supported(w_hwc, b, m, shape, out_zp, shift) -> str | None`: why not, or None.
- `pack_dwrow(w_hwc, b, m, out_zp, shift) -> Array`: the word stream, int32 [channels * (2 + words)].

kernels/plane/ has the kernel, made for one shape; there is none for any shape.

All kernels: `void kernel(const tg_dwplane_cfg_t *cfg, const int8_t *x, const int32_t *w, int8_t *y)`.

They requantise with one SMMLAR, whose result has no bits behind the point: m / 2^(shift - 32) must be an integer
(multipliers are multiples of 256, so shift <= 40 always will do), and zp + requant(acc) must fit int16 for all inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from tinygen.numerics import Array, requant
from tinygen.ops.base import Planes


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes of a window as the kernel sees it: rows first, columns contiguous."""

    in_h: int
    in_w: int
    out_h: int
    out_w: int
    k_h: int
    k_w: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int
    dil_h: int = 1
    dil_w: int = 1

    @staticmethod
    def of(f: Mapping[str, int]) -> Geometry:
        """Of a reference call's config fields."""
        return Geometry(**{field.name: f[field.name] for field in fields(Geometry)})

    @property
    def below(self) -> int:
        """Rows below the image that the last output reads."""
        last = (self.out_h - 1) * self.stride_h + (self.k_h - 1) * self.dil_h - self.pad_top
        return max(0, last + 1 - self.in_h)

    @property
    def right(self) -> int:
        """Columns right of the image that the last output reads."""
        last = (self.out_w - 1) * self.stride_w + (self.k_w - 1) * self.dil_w - self.pad_left
        return max(0, last + 1 - self.in_w)

    def transposed(self) -> Geometry:
        """Rows and columns exchanged."""
        return Geometry(
            *(self.in_w, self.in_h, self.out_w, self.out_h, self.k_w, self.k_h, self.stride_w, self.stride_h),
            *(self.pad_left, self.pad_top, self.dil_w, self.dil_h),
        )


def planes_for(shape: Geometry, channels: int, swap: bool = False) -> Planes:
    """The tightest layout for the input of a window; `swap` says that `shape` is transposed."""
    gap = max(shape.pad_left, shape.right)
    return Planes(shape.in_h, shape.in_w, channels, shape.in_w + gap, shape.pad_left, swap)


def dwplane3x3_supported(
    w_hwc: Array, b: Array, m: Array, shape: Geometry, out_zp: int, shift: int, *, wide: bool = False
) -> str | None:
    """Why the 3 x 3 kernels cannot take a layer, or None when they can; `wide`: those whose outputs may leave int16."""
    if (shape.k_h, shape.k_w, shape.dil_h, shape.dil_w) != (3, 3, 1, 1):
        return f"a {shape.k_h} x {shape.k_w} kernel, dilation {shape.dil_h} x {shape.dil_w}"
    if (shape.stride_h, shape.stride_w) not in ((1, 1), (2, 2)):
        return f"stride {shape.stride_h} x {shape.stride_w}"
    if shape.pad_top > 1 or shape.below > 1:
        return "more than one row of padding"
    return _requant_supported(w_hwc, b, m, out_zp, shift, wide=wide)


def dwplane3x3_kernel(shape: Geometry) -> str:
    """The kernel for any shape."""
    return "tg_dwplane3x3_dsp" if shape.stride_h == 1 else "tg_dwplane3x3s2_dsp"


def pack_dwplane3x3(w_hwc: Array, b: Array, m: Array, shape: Geometry, in_zp: int, out_zp: int, shift: int) -> Array:
    """Words [channels][9]: multiplier, pairs (w0, w2) of the three rows, the middle weights of rows 0 and 1, zero point
    and middle weight of row 2, bias, that of the first output row, that of the last."""
    w = w_hwc.astype(np.int64)
    rows = w.sum(axis=1) * in_zp  # what a row outside the image adds
    words = [
        _multiplier(m, shift),
        *(_pair(w[r, 0], w[r, 2]) for r in range(3)),
        _pair(w[0, 1], w[1, 1]),
        _pair(np.full_like(w[2, 1], out_zp), w[2, 1]),
        b,
        b + (rows[0] if shape.pad_top else 0),
        b + (rows[2] if shape.below else 0),
    ]
    return _stream(words)


def dwrow_supported(w_hwc: Array, b: Array, m: Array, shape: Geometry, out_zp: int, shift: int) -> str | None:
    """Why a kernel of one row cannot take a layer, or None when it can."""
    if shape.k_h != 1 or shape.k_w < 2 or shape.dil_w != 1:
        return f"a {shape.k_h} x {shape.k_w} kernel, dilation {shape.dil_h} x {shape.dil_w}"
    if (shape.stride_h, shape.stride_w) != (1, 1):
        return f"stride {shape.stride_h} x {shape.stride_w}"
    if shape.pad_top or shape.out_h != shape.in_h:
        return "rows of padding"
    return _requant_supported(w_hwc, b, m, out_zp, shift)


def pack_dwrow(w_hwc: Array, b: Array, m: Array, out_zp: int, shift: int) -> Array:
    """Words [channels][2 + words]: multiplier, bias, then for every four taps the pairs (w0, w2), (w1, w3).

    Of the rest, three are a pair (w0, w2) and w1, two are w0 and w1; single weights lie in the high half. The last
    word is always a single weight, or 0, above the zero point.
    """
    w = w_hwc[0].astype(np.int64)
    k, none = len(w), np.zeros_like(w[0])
    words = []
    for t in range(0, k - k % 4, 4):
        words += [_pair(w[t], w[t + 2]), _pair(w[t + 1], w[t + 3])]
    rest = w[k - k % 4 :]
    if len(rest) == 3:
        words.append(_pair(rest[0], rest[2]))
    elif len(rest) == 2:
        words.append(_pair(none, rest[0]))
    single = {0: none, 1: rest[:1], 2: rest[1:], 3: rest[1:2]}[len(rest)]
    words.append(_pair(np.full_like(none, out_zp), single.reshape(none.shape)))
    return _stream([_multiplier(m, shift), b, *words])


def dwplane_config(
    shape: Geometry, planes: Planes, out_row: int, out_col: int, out_chan: int, lo: int, hi: int
) -> dict[str, int]:
    """The fields of tg_dwplane_cfg_t. Raises ValueError when one does not fit its 16 bits."""
    fields = {
        "channels": planes.channels,
        "in_h": shape.in_h,
        "out_h": shape.out_h,
        "out_w": shape.out_w,
        "pad_top": shape.pad_top,
        "row_stride": planes.stride,
        "out_row": out_row,
        "out_col": out_col,
        "out_chan": out_chan,
    }
    for name, value in fields.items():
        if not 0 <= value < 2**16:
            raise ValueError(f"{name} is {value}; a plane kernel takes at most 65535")
    return {**fields, "lo": lo, "hi": hi, "plane_stride": planes.plane}


def _requant_supported(w_hwc: Array, b: Array, m: Array, out_zp: int, shift: int, *, wide: bool = False) -> str | None:
    """Why a layer cannot end in SMMLAR and SSAT16, or None; `wide`: in SMMULR, SXTAH and SSAT."""
    if shift < 33:
        return f"shift {shift} is below 33"
    if shift > 62 or np.any(m.astype(np.int64) % (1 << (shift - 32))):
        return f"shift {shift}: a multiplier is no multiple of 2^{shift - 32}"
    w = w_hwc.reshape(-1, w_hwc.shape[-1]).astype(np.int64)
    low = b.astype(np.int64) + np.minimum(-128 * w, 127 * w).sum(axis=0)
    high = b.astype(np.int64) + np.maximum(-128 * w, 127 * w).sum(axis=0)
    ends = np.stack([requant(low, m, shift), requant(high, m, shift)]) + out_zp
    if not wide and np.any(np.abs(ends) >= 2**15):
        return "an output may leave int16 before it is clamped"
    return None


def _multiplier(m: Array, shift: int) -> Array:
    result: Array = m.astype(np.int64) >> (shift - 32)
    return result


def _pair(low: Array, high: Array) -> Array:
    """Two halves in a word."""
    word: Array = (low & 0xFFFF) | ((high & 0xFFFF) << 16)
    return word


def _stream(words: list[Array]) -> Array:
    """Words of each channel, one channel after the other, as int32."""
    table = np.stack([np.asarray(word, dtype=np.int64) for word in words], axis=1) & 0xFFFFFFFF
    stream: Array = table.astype(np.uint32).view(np.int32).reshape(-1)
    return stream
