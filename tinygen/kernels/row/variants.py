"""Kernels of the DSP set for a row of tiles, made for one layer: every stride is in the code, nothing is asked twice.

For layers with few taps, where a tile is short and what surrounds it counts.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinygen.kernels.conv.pack import dwconv_dsp_supported
from tinygen.kernels.row.kernel import ENDS_CODE, PAIR_CODE, RowKernel
from tinygen.kernels.row.program import REACH, Block, Row, Tail
from tinygen.kernels.tile.kernel import eight, schedule
from tinygen.kernels.tile.pack import lift_of, pack_tiles, tiles_supported
from tinygen.kernels.tile.variants import image_size, narrow, small, y_strides
from tinygen.kernels.variant import consts, ints
from tinygen.ops.base import Call, ConstArg, Generated

#: Most bytes of code that unrolling over the channels may take.
UNROLLED = 4096


_GEOMETRY = (
    "in_h", "in_w", "in_c", "out_h", "out_w", "out_c", "k_h", "k_w", "stride_h", "stride_w", "dil_h", "pad_top",
    "pad_left", "in_zp", "out_zp", "lo", "hi", "shift",
)  # fmt: skip


def whole_rows(call: Call) -> Call | str:
    """Unrolled over the channels, as far as that pays; where it does not, there is compact_rows."""
    return _rows(call, UNROLLED)


def compact_rows(call: Call) -> Call | str:
    """Two channels a turn."""
    return _rows(call, 0)


def each_rows(call: Call) -> Call | str:
    """A depthwise layer as a convolution of each input channel, copied into an image of its own: for what kernels on
    planes and those of four channels do not take."""
    f, c = ints(call), consts(call)
    if call.x_planes is not None:
        return ""
    if dwconv_dsp_supported(f["in_c"], f["out_c"], f["shift"]) is None:
        return "its channels need not be copied"
    if narrow(f):
        return "a narrow clamp"
    in_c, each = f["in_c"], f["out_c"] // f["in_c"]
    w = np.ascontiguousarray(c["w"].transpose(2, 0, 1)[..., None])  # [out_c][k_h][k_w][1]
    one = tuple((name, {"in_c": 1, "out_c": each}.get(name, value)) for name, value in call.config)
    found: list[Call] = []
    for i in range(0, f["out_c"], each):
        arrays = {"w": w[i : i + each], "b": c["b"][i : i + each], "m": c["m"][i : i + each]}
        part = replace(call, config=(*one, ("groups", 1)), consts=tuple(ConstArg(k, v) for k, v in arrays.items()))
        made = _rows(part, UNROLLED, f["out_c"])
        made = made if isinstance(made, Call) else _rows(part, 0, f["out_c"])
        if isinstance(made, str):
            return made
        found.append(made)
    stream = np.concatenate([m.consts[0].array for m in found])
    return replace(
        found[0],
        kernel="tg_rowchannel_s8_dsp",
        config=(
            ("in_c", in_c),
            ("words", stream.size // in_c),
            *((f"rows.{name}", value) for name, value in found[0].config),
        ),
        consts=(ConstArg("w", stream),),
        uses=("tg_rows_s8_dsp",),
        scratch=-(-f["in_h"] * f["in_w"] // 4) * 4 + found[0].scratch,
        family="tg_rowchannel_s8_dsp",
        features=_features(f, found[0]),
    )


def _features(f: dict[str, int], one: Call) -> tuple[tuple[str, float], ...]:
    """What a call of `one` for each channel does how often."""
    own, kernel = ints(one), one.generated[0].view
    assert isinstance(kernel, RowKernel)
    row = kernel.row
    wide = 4 // own["high"]
    tiles = f["in_c"] * -(-f["out_w"] // wide) * -(-f["out_h"] // own["high"])
    reach = (f["k_h"] - 1) * f["dil_h"], f["k_w"] - 1 + (wide - 1) * f["stride_w"]
    whole = 1
    for a, edge, r, step in (("h", "top", reach[0], own["high"]), ("w", "left", reach[1], wide)):
        firsts = [o * f[f"stride_{a}"] - f[f"pad_{edge}"] for o in range(0, f[f"out_{a}"], step)]
        whole *= sum(first >= 0 and first + r < f[f"in_{a}"] for first in firsts)
    cut = 0 if own["image_h"] else tiles - f["in_c"] * whole
    steps = tiles * -(-own["out_c"] // 2)
    found = {
        "channels": f["in_c"], "rows": f["in_c"] * f["out_h"], "copied": f["in_c"] * f["in_h"] * f["in_w"],
        "framed": f["in_c"] * own["image_h"] * own["image_w"], "tiles": tiles, "blocks": tiles * len(row.blocks),
        "tails": tiles * len(row.tails), "ends": steps, "steps": steps * len(row.steps),
        "turns": steps * kernel.turns(0),
        "cut": cut, "cut_rows": cut * f["k_h"], "cut_bytes": cut * f["k_h"] * (reach[1] + 1),
    }  # fmt: skip
    return tuple((name, float(n)) for name, n in found.items())


def _rows(call: Call, unrolled: int, pixel: int = 0) -> Call | str:
    """`call` of tg_conv_s8 through tg_rows_s8_dsp.

    `pixel`: bytes from pixel to pixel of an output that is a part of others.
    """
    f, c = ints(call), consts(call)
    w = c["w"].reshape(f["out_c"], -1)
    if f["groups"] > 1 or f["dil_w"] > 1:
        return "groups or a dilation"
    if call.y_planes is not None and (narrow(f) or call.y_planes.swap):
        return "planes with a narrow clamp, or column by column"
    reason = tiles_supported(w, c["b"], f["shift"], lifts=True)
    if reason is not None:
        return reason
    image = image_size(f)
    copied = not _inside(f) and small(f, image)
    row, run = (image[1] if copied else f["in_w"]) * f["in_c"], f["k_w"] * f["in_c"]
    _, start, y_row, y_col, y_channel = (0, 0, f["out_w"] * pixel, pixel, 1) if pixel else y_strides(call)
    y_channel = y_channel if f["out_c"] > 1 else 0  # a single channel is its own other one
    flat = f["k_h"] == f["k_w"] == f["stride_h"] == f["stride_w"] == 1 and _inside(f)
    flat = flat and y_row == f["out_w"] * y_col and (f["in_h"], f["in_w"]) == (f["out_h"], f["out_w"])
    # Tiles of 2 x 2 where a row does not hold a whole number of tiles.
    square = not flat and _inside(f) and f["out_w"] % 4 == 2 and f["out_h"] % 2 == 0
    right, down = f["stride_w"] * f["in_c"], f["stride_h"] * row
    x = (0, right, down, down + right) if square else (0, right, 2 * right, 3 * right)
    y = (0, y_col, y_row, y_row + y_col) if square else (0, y_col, 2 * y_col, 3 * y_col)
    wide = 2 if square else 4
    blocks, tails, order = _window(f, row, run)
    fits = max(1, unrolled // (PAIR_CODE * len(order) + ENDS_CODE))
    unroll, behind = _turn(f["out_c"], fits)
    all_pairs = -(-f["out_c"] // 2)
    looped = unroll < all_pairs
    if unrolled and looped and unroll == 1:
        return "unrolled over the channels it is too long"
    reach = (f["k_h"] - 1) * f["dil_h"] * row + x[3] + run
    pixels = f["out_h"] * f["out_w"] if flat else f["out_w"]
    if pixels < wide or max(reach, y[3] + y_channel, 16 * len(order), wide * right, wide * y_col) > REACH:
        return "its windows or outputs lie too far apart"
    if f["k_h"] > 1 and 3 * f["stride_w"] + f["k_w"] > f["dil_h"] * f["in_w"] and not _inside(f):
        return "four windows at the border are wider than the image, whose rows they are laid out by"
    steps = schedule([tuple(16 * i + 4 * p for p in range(4)) for i in range(len(order))], 0, True)
    lift = lift_of(f["shift"])
    shift = f["shift"] + lift - 32
    kernel = RowKernel(
        f"Rows of tiles: {f['k_h']} x {run} bytes of a pixel, {right} bytes apart",
        Row(
            tuple(blocks), tuple(tails), steps, x, wide * right, y, wide * y_col, y_channel, eight(16 * len(order)),
            unroll, looped, behind, f["out_c"] % 2 == 1, shift, lift,
        ),
    )  # fmt: skip
    fields = {name: f[name] for name in _GEOMETRY} | {
        "shift": f["shift"] + lift, "walked": all_pairs - behind,
        "words": 4 + len(order), "high": 2 if square else 1, "image_h": image[0] if copied else 0,
        "image_w": image[1] if copied else 0, "flat": int(flat), "y_start": start, "y_row": y_row, "y_col": y_col,
    }  # fmt: skip
    edge = (f["k_h"] - 1) * f["dil_h"] * row + (3 * f["stride_w"] + f["k_w"]) * f["in_c"]
    room = 0 if _inside(f) else image[0] * row if copied else edge
    return replace(
        call,
        kernel="tg_rows_s8_dsp",
        config=(*fields.items(), ("row", kernel.name)),
        consts=(ConstArg("w", pack_tiles(w, c["b"], c["m"], np.array(order), lift)),),
        points_with_sp=True,
        stack=kernel.row.window,
        scratch=max(-(-room // 4) * 4, 4),
        generated=(Generated(kernel.name, "dsp/tg_program", kernel, kernel.code, kernel.loop_bytes, kernel.family),),
    )


def _turn(channels: int, fits: int) -> tuple[int, int]:
    """Pairs of channels in a turn of the loop, and behind it: all in one turn if so many fit, else as many as divide
    them; of an odd number the last pair overlaps the one before, and stands behind the loop with what is left over."""
    pairs = -(-channels // 2)
    if pairs <= fits:
        return pairs, 0
    if channels % 2 == 0:
        return next(u for u in range(fits, 0, -1) if pairs % u == 0), 0
    return next(((u, (pairs - 1) % u + 1) for u in range(fits, 1, -1) if u + (pairs - 1) % u < fits), (1, 1))


def _inside(f: dict[str, int]) -> bool:
    """No window leaves the image."""
    reach_h = (f["out_h"] - 1) * f["stride_h"] + (f["k_h"] - 1) * f["dil_h"]
    reach_w = (f["out_w"] - 1) * f["stride_w"] + f["k_w"] - 1
    return f["pad_top"] + f["pad_left"] == 0 and reach_h < f["in_h"] and reach_w < f["in_w"]


def _window(f: dict[str, int], row: int, run: int) -> tuple[list[Block], list[Tail], list[tuple[int, int]]]:
    """Words and what they leave over; the two taps of each pair, -1 for none."""
    blocks: list[Block] = []
    order: list[tuple[int, int]] = []
    left: list[tuple[int, int]] = []  # (offset in the image, tap)
    for ky in range(f["k_h"]):
        at, tap = ky * f["dil_h"] * row, ky * run
        for i in range(0, run - 3, 4):
            blocks.append(Block(at + i, len(order)))
            order += [(tap + i, tap + i + 2), (tap + i + 1, tap + i + 3)]
        rest = run % 4
        if f["k_h"] == 1 and rest == 3 and run > 4:  # a word that overlaps the one before is quicker than three bytes
            end = run - 4
            blocks.append(Block(at + end, len(order)))
            order += [(-1, tap + end + 2), (tap + end + 1, tap + end + 3)]
        else:
            left += [(at + i, tap + i) for i in range(run - rest, run)]
    tails: list[Tail] = []
    for i in range(0, len(left), 2):
        (a, tap_a), (b, tap_b) = left[i], left[i + 1] if i + 1 < len(left) else (left[i][0], -1)
        tails.append(Tail(a, b if tap_b >= 0 else None, len(order)))
        order.append((tap_a, tap_b))
    return blocks, tails, order
