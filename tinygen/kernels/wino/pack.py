"""Constants of tg_conv3x3_wino_dsp: exact integer Winograd F(4,3) along the rows. Pure numpy, no graphs.

The six products that give four outputs of a row are those of `V` (from six inputs) and `U` (from three weights), both
of whole numbers: the kernel's header tells the transforms. Everything is 24 times the direct sum and modulo 2^32, so
only that result has to fit int32, and every multiplier, a multiple of 768, is divided by 24 without a rest.
"""

from __future__ import annotations

import numpy as np

from tinygen.numerics import Array

#: The kernel shifts by 40. A multiplier is 24 * 32 times a whole number and below 2^31, so m / 24 can be divided by up
#: to 2^5 and multiplied by up to 2^4: these are the shifts it can have had.
WINO_SHIFT = 40
WINO_SHIFTS = (36, 45)
#: V of 64 channels take 4.6 KB of stack.
WINO_CHANNELS = 64

#: Those of the reference's config that say what integers stand for.
WINO_ENDS = ("in_zp", "out_zp", "lo", "hi")
#: Those of the reference's config that the kernel's own has.
WINO_FIELDS = (
    *("in_h", "in_w", "in_c", "out_h", "out_w", "out_c", "pad_top", "pad_left"),
    *WINO_ENDS,
)

#: Weights of a kernel row to U, times 24 along with what the outputs' sums leave out.
_U = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]])
#: What the kernel's V are too large by, so that two of them can share a word.
_SURPLUS = np.array([2048, 1280, 2048, 2048, 2048, 2048])
#: Where 24 times the bias goes: position 1 counts once in every output.
_BIAS = np.array([0, 24, 0, 0, 0, 0])


def wino_supported(fields: dict[str, int], w_ohwi: Array, b: Array, m: Array) -> str | None:
    """Why tg_conv3x3_wino_dsp cannot take a layer, or None when it can.

    fields: of the reference's config. w_ohwi: [out_c][k_h][k_w][in_c / groups] int8; b: [out_c] int32, folded;
    m: [out_c] int32.
    """
    f = fields
    if (f["groups"], f["k_h"], f["k_w"]) != (1, 3, 3):
        return "not a 3x3 convolution of one group"
    if any(f[f"{name}_{axis}"] != 1 for name in ("stride", "dil") for axis in "hw"):
        return "a stride or a dilation"
    if f["in_c"] % 8 or f["in_c"] > WINO_CHANNELS:
        return f"{f['in_c']} input channels are not 8, 16, ... {WINO_CHANNELS}"
    if f["out_c"] % 2:
        return f"{f['out_c']} output channels are not an even number"
    if min(f["out_h"], f["out_w"]) < 4:
        return "the output is smaller than a tile of 4 x 4"
    for axis, start in (("h", f["pad_top"]), ("w", f["pad_left"])):
        if max(start, f[f"out_{axis}"] + 2 - f[f"in_{axis}"] - start) > 1:
            return "more than one row or column of padding at a side"
    low, high = WINO_SHIFTS
    if not low <= f["shift"] <= high:
        return f"shift {f['shift']} is outside {low}..{high}"
    if np.any(m % 768):
        return "a multiplier is not a multiple of 768"
    bound = np.abs(b.astype(np.int64)) + 128 * np.abs(w_ohwi.astype(np.int64)).sum(axis=(1, 2, 3))
    if np.any(24 * bound >= 2**31):
        return f"24 times the sum of channel {int(bound.argmax())} may not fit 32 bits"
    return None


def wino_scratch(in_c: int, out_c: int) -> int:
    """Bytes of scratch of tg_conv3x3_wino_dsp: a tile's rows at the border, and in the same place its sums, unless
    those fit the stack."""
    sums = 96 * out_c
    return max(36 * in_c, 0 if 72 * (in_c - WINO_CHANNELS) + sums <= 0 else sums)


def wino_stack(in_c: int, out_c: int) -> int:
    """Bytes of its stack: transformed activations, what interrupts may use between them, and the sums if they fit."""
    sums = 96 * out_c
    return 768 + 72 * in_c + (sums if 72 * (in_c - WINO_CHANNELS) + sums <= 0 else 0)


def wino_features(fields: dict[str, int]) -> tuple[tuple[str, float], ...]:
    """What the time of tg_conv3x3_wino_dsp is a sum of, for the cost model."""
    f = fields
    across, down = -(-f["out_w"] // 4), -(-f["out_h"] // 4)
    tiles, pairs = across * down, f["out_c"] // 2
    return (
        ("tiles", tiles),
        ("tile_inputs", tiles * f["in_c"]),
        ("tile_pairs", tiles * pairs),
        ("tile_products", tiles * pairs * f["in_c"]),
        ("edges", 2 * (across + down)),
        ("edge_inputs", 2 * (across + 6 * down) * f["in_c"]),
    )


def pack_wino(w_ohwi: Array, b: Array, m: Array, shift: int) -> tuple[Array, Array]:
    """(w, m) of tg_conv3x3_wino_dsp; `b` is folded.

    w: words [6 positions][out_c / 2][2 + 3 * in_c]: first the two channels' starting values, then [in_c / 2][3 kernel
    rows][2 output channels] of two int16, the U of input channels c and c + 2 with c = 0, 1, 4, 5, 8, ... (the order
    in which SXTB16 takes four bytes apart). m: [out_c] for 24 times the accumulator and a shift of WINO_SHIFT.
    """
    out_c, _, _, in_c = w_ohwi.shape
    u = np.einsum("pk,oykc->poyc", _U, w_ohwi.astype(np.int64))
    start = _BIAS[:, None] * b.astype(np.int64) - _SURPLUS[:, None] * u.sum(axis=(2, 3))
    # [position][pair of outputs][which of them][kernel row][four inputs][second half][odd byte]
    split = u.reshape(6, out_c // 2, 2, 3, in_c // 4, 2, 2)
    pairs = np.ascontiguousarray(split.transpose(0, 1, 4, 6, 3, 2, 5)).astype("<i2")
    words = pairs.view("<i4").reshape(6, out_c // 2, 3 * in_c)
    starts = (start & 0xFFFFFFFF).astype(np.uint32).view(np.int32).reshape(6, out_c // 2, 2)
    packed: Array = np.concatenate([starts, words], axis=2).reshape(-1).astype(np.int32)
    scaled: Array = (m.astype(np.int64) // 24 * 2**4 // 2 ** (shift - WINO_SHIFT + 4)).astype(np.int32)
    return packed, scaled
