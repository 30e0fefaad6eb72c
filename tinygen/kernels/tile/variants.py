"""Tile kernels of the DSP set, made for a shape: four pixels by two channels (core/tg_tile_dsp.h, kernels/tile/)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from tinygen.kernels.tile.kernel import (
    REACH,
    TileKernel,
    column_tile,
    group_tile,
    group_turns,
    group_window,
    looped_tile,
    whole_tile,
)
from tinygen.kernels.tile.pack import pack_tiles, tiles_supported
from tinygen.kernels.variant import consts, ints
from tinygen.numerics import Array
from tinygen.ops.base import Call, ConstArg, Generated

#: The tile kernel for windows of any length, in scratch.
LIBRARY_TILE = "tg_tile_any_dsp"


def _runs(f: dict[str, int]) -> tuple[int, int]:
    """(number, length) of the runs of neighbouring bytes of a window, as tg_tiles_s8_dsp takes them."""
    per = f["in_c"] // f["groups"]
    if f["dil_w"] == 1 and f["groups"] == 1:
        return f["k_h"], f["k_w"] * per
    return f["k_h"] * f["k_w"], per


def run_order(runs: int, run: int, multiple: int = 1) -> Array:
    """[words][2]: the taps of each pair as tg_widen4_dsp lays them; the last pairs empty up to a multiple."""
    order: list[tuple[int, int]] = []
    for r in range(runs):
        at, left = r * run, run
        while left >= 4:
            order += [(at, at + 2), (at + 1, at + 3)]
            at, left = at + 4, left - 4
        if left >= 2:
            order.append((at, at + 1))
            at, left = at + 2, left - 2
        if left:
            order.append((at, -1))
    order += [(-1, -1)] * (-len(order) % multiple)
    return np.array(order)


_GEOMETRY = (
    "in_h", "in_w", "in_c", "out_h", "out_w", "out_c", "k_h", "k_w", "stride_h", "stride_w", "dil_h", "dil_w",
    "pad_top", "pad_left", "groups", "in_zp", "out_zp", "lo", "hi", "shift",
)  # fmt: skip


def narrow(f: dict[str, int]) -> bool:
    """Whether the layer clamps to less than int8."""
    return f["lo"] > -128 or f["hi"] < 127


def y_strides(call: Call) -> tuple[int, int, int, int, int]:
    """swap, then bytes: to the first output, row to row, column to column, channel to channel."""
    f, p = ints(call), call.y_planes
    if p is None:
        return 0, 0, f["out_w"] * f["out_c"], f["out_c"], 1
    return (1, p.lead, 1, p.stride, p.plane) if p.swap else (0, p.lead, p.stride, 1, p.plane)


def image_size(f: dict[str, int], rows: int = 0) -> tuple[int, int]:
    """(height, width) of the image with its borders; four pixels of a column read `rows` rows."""
    high = (f["out_h"] - 1) * f["stride_h"] + (f["k_h"] - 1) * f["dil_h"] + 1
    wide = (f["out_w"] - 1) * f["stride_w"] + (f["k_w"] - 1) * f["dil_w"] + 1
    high = max(high, (f["out_h"] - 4) * f["stride_h"] + rows)
    return max(high, f["pad_top"] + f["in_h"]), max(wide, f["pad_left"] + f["in_w"])


def small(f: dict[str, int], image: tuple[int, int]) -> bool:
    """A copy of the image beside which the output is large: it does not make the arena larger."""
    return 4 * image[0] * image[1] * f["in_c"] <= f["out_h"] * f["out_w"] * f["out_c"]


def tiles(call: Call, tile: TileKernel | None, order: Array, *, window: int = 0, rows: int = 0) -> Call | str:
    """`call` of tg_conv_s8 through tg_tiles_s8_dsp with a tile kernel that takes its taps in `order`; the library's own
    for None. `window`: bytes of scratch for windows."""
    f, c = ints(call), consts(call)
    groups, per = f["groups"], f["out_c"] // f["groups"]
    w = c["w"].reshape(groups, per, -1)
    b, m = c["b"].reshape(groups, per), c["m"].reshape(groups, per)
    for g in range(groups):
        reason = tiles_supported(w[g], b[g], f["shift"])
        if reason is not None:
            return reason
    if call.y_planes is not None and narrow(f):
        return "planes with a narrow clamp"
    stream = np.concatenate([pack_tiles(w[g], b[g], m[g], order) for g in range(groups)])
    swap, start, row, col, channel = y_strides(call)
    made = Generated(tile.name, "dsp/tg_program", tile, tile.code, tile.loop_bytes, tile.family) if tile else None
    image = image_size(f, rows)
    copied = rows > 0 or (not _whole(f) and _regular(f) and small(f, image))
    room = (
        image[0] * image[1] * f["in_c"] if copied else 0 if _whole(f) else 4 * f["k_h"] * f["k_w"] * f["in_c"] // groups
    )
    fields = {name: f[name] for name in _GEOMETRY} | {
        "pairs": len(order), "window": window, "apart": per % 2 * int(not (tile and tile.tile.odd)),
        "image_h": image[0] if copied else 0, "image_w": image[1] if copied else 0,
        "rows": rows, "pixels": tile.tile.pixels if tile else 4, "swap": 1 if rows else swap,
        "y_start": start, "y_row": row, "y_col": col, "y_channel": channel,
    }  # fmt: skip
    return replace(
        call,
        kernel="tg_tiles_s8_dsp",
        config=(*fields.items(), ("tile", tile.name if tile else LIBRARY_TILE)),
        consts=(ConstArg("w", stream),),
        scratch=max(-(-(window + room) // 4) * 4, 4),
        generated=(made,) if made else (),
        uses=() if tile else (LIBRARY_TILE,),
        points_with_sp=tile is not None,
        stack=tile.tile.frame if tile else 0,
    )


def _whole(f: dict[str, int]) -> bool:
    """No window leaves the image, and all have runs with one step."""
    reach_h = (f["out_h"] - 1) * f["stride_h"] + (f["k_h"] - 1) * f["dil_h"]
    reach_w = (f["out_w"] - 1) * f["stride_w"] + (f["k_w"] - 1) * f["dil_w"]
    return _regular(f) and f["pad_top"] + f["pad_left"] == 0 and reach_h < f["in_h"] and reach_w < f["in_w"]


def _regular(f: dict[str, int]) -> bool:
    """The runs of a window have one step."""
    return (f["dil_w"] == 1 and f["groups"] == 1) or f["k_h"] == 1 or f["k_w"] == 1


def _column_order(f: dict[str, int]) -> list[tuple[int, ...]]:
    """Kernel rows in the order that loads least: those that a step of four pixels down shares follow each other."""
    rows = [tuple(k * f["dil_h"] + p * f["stride_h"] for p in range(4)) for k in range(f["k_h"])]
    return sorted(rows, key=lambda of: (of[0] % f["stride_h"], of[0]))


def for_odd(call: Call, tile: TileKernel) -> TileKernel:
    """`tile`, or the one that takes the last of an odd number of channels."""
    f = ints(call)
    per = f["out_c"] // f["groups"]
    return tile.for_odd() if per % 2 and per > 1 else tile


def column_tiles(call: Call) -> Call | str:
    """Four pixels of a column at a time, whose windows overlap; from a copy of the image with its borders."""
    f = ints(call)
    runs, run = _runs(f)
    order = _column_order(f)
    rows = -(-(max(of[3] for of in order) + 1) // 4) * 4
    pairs = len(run_order(1, run))
    if runs != f["k_h"] or f["k_h"] == 1 or f["groups"] > 1:
        return "no kernel rows of neighbouring bytes"
    if f["stride_h"] >= f["k_h"] * f["dil_h"] or f["out_h"] < 4:
        return "no column of pixels with windows that overlap"
    if not small(f, image_size(f, rows)):
        return "a copy of the image would be large"
    if 4 * rows * pairs > REACH:
        return f"a window of {4 * rows * pairs} bytes, above {REACH}"
    kernel_rows = [of[0] // f["dil_h"] for of in order]
    taps = np.array([np.where(t < 0, t, t + k * run) for t in run_order(1, run) for k in kernel_rows])
    tile = column_tile(rows, pairs, order, f["shift"] - 32)
    return tiles(call, for_odd(call, tile), taps, rows=rows)


def whole_tiles(call: Call) -> Call | str:
    """Without a loop over the taps, the shift and the strides of the output in the code."""
    f = ints(call)
    order = run_order(*_runs(f))
    if 16 * len(order) > REACH:
        return f"a window of {16 * len(order)} bytes, above {REACH}"
    fixed = (
        call.y_planes is None and f["out_h"] * f["out_w"] >= 4 and 3 * f["out_c"] < REACH and f["out_c"] > f["groups"]
    )
    y = (f["out_c"], 1) if fixed else None
    pixels = 3 if f["out_h"] * f["out_w"] in (3, 6, 9) else 4
    return tiles(call, for_odd(call, whole_tile(len(order), f["shift"] - 32, y, pixels)), order)


#: Pairs of taps in a turn of a loop; with more it does not fit a small instruction cache along with the requantising.
TURNS = range(4, 13)


def looped_tiles(call: Call) -> Call | str:
    """With a loop over the pairs of taps, and the shift in the code."""
    f = ints(call)
    pairs = len(run_order(*_runs(f)))
    turn = min((n for n in TURNS if n < pairs), key=lambda n: -(-pairs // n) * (15 * n + 8), default=0)
    if turn == 0:
        return "its taps fill one turn of the loop"
    order = run_order(*_runs(f), multiple=turn)
    if 32 * len(order) > REACH:
        return f"a window of {16 * len(order)} bytes and as much free, above {REACH}"
    return tiles(call, for_odd(call, looped_tile(len(order), turn, f["shift"] - 32, None)), order)


#: The shared loop: pairs of taps in a turn, and most pairs of a window, for the stack's sake.
SHARED_TURN, SHARED_MOST = 8, 32


def _shared_pairs(call: Call) -> int:
    """Pairs of a window that the shared loop can take; 0 for none."""
    pairs = len(run_order(*_runs(ints(call))))
    return pairs if pairs % SHARED_TURN == 0 and pairs <= SHARED_MOST else 0


def shared_tiles(call: Call) -> Call | str:
    """One loop for all layers of the network whose windows hold whole turns of it."""
    pairs = _shared_pairs(call)
    if pairs == 0:
        return f"its windows are not {SHARED_TURN}, {2 * SHARED_TURN}, ... {SHARED_MOST} pairs of taps"
    most = max(pairs, dict(call.limits).get("tiles", 0))
    return tiles(call, looped_tile(most, SHARED_TURN, None, None), run_order(*_runs(ints(call))))


def tile_limits(calls: Iterable[Call]) -> tuple[tuple[str, int], ...]:
    """Most pairs that the shared loop must take."""
    return (("tiles", max((_shared_pairs(c) for c in calls if c.kernel == "tg_conv_s8"), default=0)),)


def any_tiles(call: Call) -> Call | str:
    """One kernel of the library for all layers, which leaves the stack pointer alone."""
    order = run_order(*_runs(ints(call)))
    return tiles(call, None, order, window=16 * len(order))


#: Tiles of a group: the more, the fewer waits, for 16 bytes of scratch a pair of taps and tile.
GROUPS = (2, 4, 8)


def _grouped(call: Call, most: int) -> Call | str:
    """Groups of so many tiles, which the weights of two channels are copied to the stack for."""
    f = ints(call)
    pixels = f["out_h"] * f["out_w"]
    if -(-pixels // 4) <= most // 2:
        return f"fewer than {4 * (most // 2) + 1} pixels"
    pairs, turn = group_turns(len(run_order(*_runs(f))))
    order = run_order(*_runs(f), multiple=turn)
    kernel = group_tile(pairs, turn, f["shift"] - 32)
    if kernel.group.frame > REACH:
        return f"{pairs} pairs of taps, whose weights take {kernel.group.frame} bytes of stack, above {REACH}"
    made = tiles(call, None, order, window=most * group_window(pairs))
    if isinstance(made, str):
        return made
    config = tuple((name, kernel.name if name == "tile" else value) for name, value in made.config)
    return replace(
        made,
        kernel="tg_groups_s8_dsp",
        cfg_type="tg_tiles_s8_cfg_t",
        config=config,
        generated=(Generated(kernel.name, "dsp/tg_program", kernel, kernel.code, kernel.loop_bytes, kernel.family),),
        uses=(),
        points_with_sp=True,
        stack=kernel.group.frame,
    )


def grouped_2(call: Call) -> Call | str:
    """Groups of two tiles."""
    return _grouped(call, 2)


def grouped_4(call: Call) -> Call | str:
    """Of four."""
    return _grouped(call, 4)


def grouped_8(call: Call) -> Call | str:
    """Of eight."""
    return _grouped(call, 8)
