"""Constants of the tile kernels (core/tg_tile_dsp.h): one stream of words, two output channels after the other.

Of channels e and o: bias of e; 256 * bias of o + bias of e; the words of weights; m of e; m of o / 256. A word holds
two taps, each half 256 * w_o + w_e ("raw pair"), which fits int16 (`raw_pairs_fit`). One SMLAD with the word as it is
sums 256 * o + e, one with its even bytes sums e; their difference is 256 * (bias + sum of o), exact below 2^31.
"""

from __future__ import annotations

import numpy as np

from tinygen.numerics import Array

#: Shifts for which rounding and zero point fit the one constant of a SMMLA (core/tg_epilogue_dsp.h).
SHIFTS = (33, 54)
#: A shift below SHIFTS is lengthened by up to so much: an odd channel's multiplier is divided by 256 and has the room,
#: an even channel's sum is shifted left by the kernel.
LONGEST_LIFT = 8
#: Largest magnitude of an odd channel's accumulator: 256 times it must fit int32.
ODD_LIMIT = 2**23 - 1


def channel_pairs(channels: int) -> Array:
    """[pairs][2]: even and odd channel. An odd number repeats the last but one; a single channel is its own other."""
    firsts = list(range(0, channels - 1, 2)) + ([max(channels - 2, 0)] if channels % 2 else [])
    return np.array([(c, min(c + 1, channels - 1)) for c in firsts])


def raw_pairs_fit(even: Array, odd: Array) -> bool:
    """Does 256 * odd + even fit int16 for every pair of weights? Only -128 above a negative one does not."""
    return not np.any((odd == -128) & (even < 0))


def lift_of(shift: int) -> int:
    """How much a shift falls short of SHIFTS."""
    return max(SHIFTS[0] - shift, 0)


def tiles_supported(w: Array, b: Array, shift: int, lifts: bool = False) -> str | None:
    """Why weights [channels][taps] with folded biases cannot be raw pairs, or None when they can. `lifts`: the kernel
    makes up for a short shift."""
    lift = lift_of(shift) if lifts else 0
    if not SHIFTS[0] - min(lift, LONGEST_LIFT) <= shift <= SHIFTS[1]:
        return f"shift {shift} is outside {SHIFTS[0]}..{SHIFTS[1]}"
    wide = w.astype(np.int64)
    most = b + np.maximum(wide * 127, wide * -128).sum(axis=1)
    least = b + np.minimum(wide * 127, wide * -128).sum(axis=1)
    odd = channel_pairs(len(w))[:, 1]
    reach = np.maximum(np.abs(most), np.abs(least))
    worst = int(reach[odd].max())
    if not raw_pairs_fit(w[channel_pairs(len(w))[:, 0]], w[odd]):
        return "an odd channel's weight of -128 beside a negative one"
    if int(reach.max()) << lift >= 2**31:
        return f"shift {shift}, and a sum of up to {int(reach.max())} leaves no room to make up for it"
    return None if worst <= ODD_LIMIT else f"an odd channel's sum may reach {worst}, above {ODD_LIMIT}"


def pack_tiles(w: Array, b: Array, m: Array, order: Array, lift: int = 0) -> Array:
    """The stream, int32.

    w: [channels][taps] int8; b, m: [channels] int32; order: [words][2], the taps of each word, -1 for none; lift: so
    much longer is the shift than the layer's.
    """
    padded = np.concatenate([w.astype(np.int64), np.zeros((len(w), 1), np.int64)], axis=1)
    pairs = channel_pairs(len(w))
    even, odd = padded[pairs[:, 0]][:, order], padded[pairs[:, 1]][:, order]  # [pairs][words][2]
    halves = (256 * odd + even) & 0xFFFF
    words = halves[..., 0] | (halves[..., 1] << 16)
    bias = b.astype(np.int64)
    start = np.stack([bias[pairs[:, 0]], 256 * bias[pairs[:, 1]] + bias[pairs[:, 0]]], axis=1)
    end = np.stack([m[pairs[:, 0]].astype(np.int64), m[pairs[:, 1]].astype(np.int64) // 256 << lift], axis=1)
    stream: Array = (np.concatenate([start, words, end], axis=1) & 0xFFFFFFFF).astype(np.uint32).view(np.int32).ravel()
    return stream
