"""Constants of recurrent kernels: one stream of all that a step reads.

DSP: blocks of two units with all their gates, as core/tg_recurrent_dsp.h says. `unit` is how many halves of x and of h
the kernel takes at a time: 2, or 4 where it loops; the window and the stream are padded to that with zeros. Helium: one
unit after the other, core/tg_recurrent_mve.h.
"""

from __future__ import annotations

import numpy as np

from tinygen.kernels.small.pack import pack_dense
from tinygen.kernels.tile.pack import raw_pairs_fit
from tinygen.numerics import Array

#: 256 times a sum must fit int32.
LIMIT = 2**23
#: Four bytes of x as the window has them: SXTB16 takes them apart so.
QUAD = (0, 2, 1, 3)


def up(n: int, unit: int) -> int:
    """The next multiple."""
    return -(-n // unit) * unit


def pairs_supported(w: Array) -> str | None:
    """Why rows of int8 weights [gates][units][n] are no raw pairs, or None."""
    padded = np.concatenate([w, np.zeros((len(w), w.shape[1] % 2, w.shape[2]), w.dtype)], axis=1)
    fit = raw_pairs_fit(padded[:, ::2], padded[:, 1::2])
    return None if fit else "a weight of -128 beside a negative one"


def sums_supported(w: Array, b: Array, m: Array, shift: int, most: int = 2**30) -> str | None:
    """Why rows of int8 weights [gates][units][n] with biases and multipliers are none for these kernels, or None: 256
    times their sums must fit int32, and what comes out of those of h stay below `most`."""
    if shift != 24:
        return f"a shift of {shift} instead of 24"
    wide = w.astype(np.int64)
    high = b + np.maximum(127 * wide, -128 * wide).sum(axis=2)
    low = b + np.minimum(127 * wide, -128 * wide).sum(axis=2)
    reach = np.maximum(np.abs(high), np.abs(low))
    if reach.max(initial=0) >= LIMIT:
        return f"a sum may reach {int(reach.max())}, above 2^23 - 1"
    out = reach.astype(np.float64) * np.abs(m.astype(np.float64)) / 2.0**24
    if out.max(initial=0.0) >= most:
        return f"a sum may bring {out.max():.3g}, above {most}"
    return None


def pack(
    w: Array, r: Array, b: Array, mx: Array, mh: Array, r_bias: Array | None, unit: int, *, two: bool = False
) -> tuple[Array, Array]:
    """The stream of the steps, and in front of it that of x of two steps at once, if it is to be, from weights
    [gates][units][n_in] and [gates][units][units], and biases and multipliers [gates][units]. `r_bias`: [units], biases
    of h in the last gate.
    """
    gates, units, n_in = w.shape
    rows = up(units, 2)
    order = list(range(up(n_in, unit)))
    order[: n_in // 4 * 4] = [4 * q + i for q in range(n_in // 4) for i in QUAD]
    from_x = np.zeros((gates, rows, len(order)), np.int64)
    from_x[:, :units, :n_in] = w
    from_h = np.zeros((gates, rows, up(units, unit)), np.int64)
    from_h[:, :units, :units] = r
    of_x = (_scalars(_rows(b, rows), raw=True), _words(from_x[:, :, order]), _scalars(_rows(mx, rows)))
    inside = () if r_bias is None else (_scalars(_rows(r_bias[None], rows), raw=True),)
    of_h = (*inside, _words(from_h), _scalars(_rows(mh, rows)))
    if not two:
        return _stream(*of_x, *of_h), np.zeros(0, np.int32)
    return _stream(*of_h), _two_row_pairs(*of_x)


def _stream(*parts: Array) -> Array:
    """Blocks one after the other, each its parts."""
    return np.ascontiguousarray(np.concatenate(parts, axis=1).reshape(-1)).astype(np.int32)


def _two_row_pairs(b: Array, words: Array, m: Array) -> Array:
    """The stream of the kernel that takes x of two steps, from parts of blocks: [block][gate, even and odd] biases and
    multipliers, [block][pair of halves, gate] words."""
    gates = b.shape[1] // 2
    by_pair = [a.reshape(-1, 2) for a in (b, m)]
    of_pair = words.reshape(len(words), -1, gates).transpose(0, 2, 1).reshape(len(words) * gates, -1)
    more = len(of_pair) % 2
    b, m, of_pair = (np.pad(a, ((0, more), (0, 0))) for a in (*by_pair, of_pair))
    two = of_pair.reshape(-1, 2, of_pair.shape[1]).transpose(0, 2, 1)
    return _stream(b.reshape(-1, 4), two.reshape(len(two), -1), m.reshape(-1, 4))


def _rows(a: Array, rows: int) -> Array:
    """[gates][units] with zeros for a unit that is none."""
    return np.pad(a.astype(np.int64), ((0, 0), (0, rows - a.shape[1])))


def _scalars(a: Array, *, raw: bool = False) -> Array:
    """[gates][units] -> [block][gate, even and odd by turns]; raw: an odd one as 256 * odd + even, wrapped."""
    pairs = a.reshape(len(a), -1, 2).transpose(1, 0, 2).copy()
    if raw:
        pairs[:, :, 1] = 256 * pairs[:, :, 1] + pairs[:, :, 0]
    return pairs.reshape(len(pairs), -1)


def _words(w: Array) -> Array:
    """[gates][units][n] -> [block][pair of halves][gate] words."""
    halves = (256 * w[:, 1::2] + w[:, ::2]).astype("<i2")
    words = np.ascontiguousarray(halves).view("<i4").transpose(1, 2, 0)  # [block][pair][gate]
    return words.reshape(len(words), -1).astype(np.int64)


def pack_mve(w: Array, r: Array, b: Array, mx: Array, mh: Array, r_bias: Array | None = None) -> Array:
    """The stream of the Helium kernels, arguments as of `pack`. With `r_bias` the last of h's rows has a lane of its
    own, behind that of x's."""
    units = w.shape[1]
    lanes_x = list(range(len(w)))
    lanes_h = lanes_x if r_bias is None else [0, 1, 3]
    inside = () if r_bias is None else (_lanes(np.concatenate([np.zeros((2, units)), r_bias[None]]), lanes_h),)
    parts = (_vectors(w), _lanes(b, lanes_x), _lanes(mx, lanes_x), _vectors(r), *inside, _lanes(mh, lanes_h))
    return np.ascontiguousarray(np.concatenate(parts, axis=1).reshape(-1))


def _vectors(w: Array) -> Array:
    """[gates][units][n] -> [units][vector][gate][16], as words."""
    padded = np.pad(w, ((0, 0), (0, 0), (0, -w.shape[2] % 16)))
    by_unit = padded.reshape(*w.shape[:2], -1, 16).transpose(1, 2, 0, 3)
    return np.ascontiguousarray(by_unit).astype(np.int8).reshape(w.shape[1], -1).view("<i4")


def _lanes(a: Array, lanes: list[int]) -> Array:
    """[gates][units] -> [units][4]."""
    found = np.zeros((a.shape[1], 4), np.int32)
    found[:, lanes] = a.T
    return found


def pack_lanes(w: Array, b: Array) -> tuple[Array, Array]:
    """(w, b) of the small cores' kernels from [gates][units][n] and [gates][units]: four units of a gate are four
    channels of a dense layer."""
    rows = four_units(w).reshape(-1, w.shape[2])
    start = four_units(b[..., None]).reshape(-1)
    words, start, _ = pack_dense(rows, start, np.zeros(len(rows), np.int32))
    return words, start


def four_units(a: Array) -> Array:
    """[gates][units][n] -> [units / 4][gates][4][n], zeros for units that are none."""
    padded = np.pad(a, ((0, 0), (0, -a.shape[1] % 4), (0, 0)))
    blocks = padded.reshape(len(a), -1, 4, a.shape[2]).transpose(1, 0, 2, 3)
    return np.ascontiguousarray(blocks)
