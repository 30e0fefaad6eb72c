"""Variants of the convolution with two pixels in one multiplication, for the sets m0 and m3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tinygen.kernels.lanes import pack
from tinygen.kernels.variant import Variant, consts, ints, packed
from tinygen.numerics import Array
from tinygen.ops.base import Call


def conv(kernel: str, tile: int, *, split: bool) -> Variant:
    """By tiles of up to `tile` pixels (8, or 4: slower, but half the scratch); `split`: with multipliers in two parts,
    as tg_conv_s8_m0 wants them."""

    def variant(call: Call) -> Call | str:
        f, c = ints(call), consts(call)
        taps, pixels = c["w"][0].size, f["out_h"] * f["out_w"]
        reason = pack.conv_lanes_supported(taps, pixels, tile)
        if reason is None and pixels == 5 and not split:
            reason = "5 pixels, two tiles of 4"  # measured on Cortex-M3: no faster than the reference
        if reason is not None:
            return reason
        w, b, m = pack.pack_conv_lanes(c["w"], c["b"], c["m"], f["shift"], f["out_zp"], f["lo"], f["hi"], tile)
        kept = pack.unpack_weights(w, c["w"].shape)
        if split:
            m = pack.split_multipliers(kept, b, m, f["shift"], f["out_zp"], f["lo"])
        quick = bool(m[0]) if split else pack.quick_m3(f["shift"], f["lo"], f["hi"])
        made = packed(call, kernel, pack.conv_lanes_scratch(taps, tile), w=w, b=b, m=m)
        return replace(made, family=kernel, features=_features(f, w, kept, tile, quick))

    return variant


def _features(f: Mapping[str, int], w: Array, kept: Array, tile: int, quick: bool) -> tuple[tuple[str, float], ...]:
    """What a call does how often; the weights decide, so the config alone could not tell."""
    pixels = f["out_h"] * f["out_w"]
    tiles = dict(pack.tiles(pixels, tile))
    last = [int(row.nonzero()[0].max(initial=-1)) + 1 for row in kept]
    groups = w.size - 1 - sum(last) - len(last)
    inside = (f["out_h"] - _cut(f, "h", "top")) * (f["out_w"] - _cut(f, "w", "left"))
    pairs = sum(size // 2 * n for size, n in tiles.items()) * f["groups"]
    rows = pairs * f["k_h"]
    border = rows * (1 - inside / pixels)
    found = {
        "once": 1.0, "tiles": float(sum(tiles.values())), "pairs": float(pairs), "pair_rows": float(rows),
        "words": float(rows * f["k_w"] * f["in_c"] // f["groups"]), "border_rows": border,
        "border_taps": border * f["k_w"],
    }  # fmt: skip
    for size in (4, 8):
        n = tiles.get(size, 0)
        found |= {f"taps_{size}": float(n * sum(last)), f"groups_{size}": float(n * groups)}
        found |= {f"channels_{size}": float(n * len(last))}
        found |= {f"slow_{size}": 0.0 if quick else float(n * len(last))}
    return tuple(found.items())


def _cut(f: Mapping[str, int], axis: str, edge: str) -> int:
    """Output positions along an axis at which the window is not wholly inside."""
    reach = (f[f"k_{axis}"] - 1) * f[f"dil_{axis}"]
    starts = [o * f[f"stride_{axis}"] - f[f"pad_{edge}"] for o in range(f[f"out_{axis}"])]
    return sum(s < 0 or s + reach >= f[f"in_{axis}"] for s in starts)
