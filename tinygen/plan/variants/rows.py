"""Kernels of the DSP set for a row of tiles, made for one layer: every stride is in the code, nothing is asked twice.

For layers with few taps, where a tile is short and what surrounds it counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tinygen.ops.base import Call, ConstArg, Generated
from tinygen.plan.variants.base import consts, ints
from tinygen.plan.variants.pack_tiles import pack_tiles, tiles_supported
from tinygen.plan.variants.tiles import REACH, WordView, eight, image_size, narrow, schedule, small, y_strides

#: Most bytes of code that unrolling over the channels may take.
UNROLLED = 4096
#: Code of a pair of taps, and of what surrounds them for two channels.
PAIR_CODE, ENDS_CODE = 56, 144


@dataclass(frozen=True, slots=True)
class BlockView:
    """Four bytes of each pixel: where they lie in the image, and the first of their two pairs."""

    offset: int
    pair: int


@dataclass(frozen=True, slots=True)
class TailView:
    """Two bytes that four left over, or one."""

    first: int
    second: int | None
    pair: int


@dataclass(frozen=True, slots=True)
class RowView:
    """As the templates print it. `pairs`: offsets of the two bytes of each pair; `x`, `y`: of the four pixels, and from
    tile to tile; `unroll`: pairs of channels in a turn of the loop, none when that is all."""

    name: str
    brief: str
    blocks: tuple[BlockView, ...]
    tails: tuple[TailView, ...]
    pairs: tuple[tuple[int, int], ...]
    steps: tuple[WordView, ...]
    x: tuple[int, ...]
    x_tile: int
    y: tuple[int, ...]
    y_tile: int
    y_channel: int
    window: int
    unroll: int
    looped: bool
    shift: int

    def turns(self, pairs: int) -> float:
        """Of its loop over the channels, for two of them."""
        return 1 / self.unroll if self.looped else 0.0

    @property
    def loop_bytes(self) -> int:
        """Code that runs for every turn over the channels."""
        return self.unroll * (len(self.steps) * PAIR_CODE + ENDS_CODE)

    @property
    def code(self) -> int:
        return self.loop_bytes + 84 * len(self.blocks) + 64 * len(self.tails) + 100

    @property
    def stores(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """For each pair of channels in a turn: the first output from the pointer, and how the pointer then moves."""
        found: list[tuple[int, tuple[int, ...]]] = []
        at, channels = 0, 2 * self.y_channel
        reach = self.y[3] + self.y_channel
        for u in range(self.unroll):
            last = u == self.unroll - 1
            move = at + channels if (last and self.looped) or (not last and at + channels + reach > REACH) else 0
            found.append((at, (min(move, REACH), move - REACH) if move > REACH else (move,) if move else ()))
            at = 0 if move else at + channels
        return tuple(found)


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


def _rows(call: Call, unrolled: int) -> Call | str:
    """`call` of tg_conv_s8 through tg_rows_s8_dsp."""
    f, c = ints(call), consts(call)
    w = c["w"].reshape(f["out_c"], -1)
    if f["groups"] > 1 or f["dil_w"] > 1 or f["out_c"] % 2:
        return "groups, a dilation or an odd number of channels"
    if call.y_planes is not None and (narrow(f) or call.y_planes.swap):
        return "planes with a narrow clamp, or column by column"
    reason = tiles_supported(w, c["b"], f["shift"])
    if reason is not None:
        return reason
    image = image_size(f)
    copied = not _inside(f) and small(f, image)
    row, run = (image[1] if copied else f["in_w"]) * f["in_c"], f["k_w"] * f["in_c"]
    _, start, y_row, y_col, y_channel = y_strides(call)
    flat = f["k_h"] == f["k_w"] == f["stride_h"] == f["stride_w"] == 1 and _inside(f)
    flat = flat and y_row == f["out_w"] * y_col and (f["in_h"], f["in_w"]) == (f["out_h"], f["out_w"])
    # Tiles of 2 x 2 where a row does not hold a whole number of tiles.
    square = not flat and _inside(f) and f["out_w"] % 4 == 2 and f["out_h"] % 2 == 0
    right, down = f["stride_w"] * f["in_c"], f["stride_h"] * row
    x = (0, right, down, down + right) if square else (0, right, 2 * right, 3 * right)
    y = (0, y_col, y_row, y_row + y_col) if square else (0, y_col, 2 * y_col, 3 * y_col)
    wide = 2 if square else 4
    blocks, tails, pairs, order = _window(f, row, run)
    pairs_of_channels = f["out_c"] // 2
    fits = max(1, unrolled // (PAIR_CODE * len(pairs) + ENDS_CODE))
    unroll = next(u for u in range(min(fits, pairs_of_channels), 0, -1) if pairs_of_channels % u == 0)
    if unrolled and unroll == 1 < pairs_of_channels:
        return "unrolled over the channels it is too long"
    reach = (f["k_h"] - 1) * f["dil_h"] * row + x[3] + run
    pixels = f["out_h"] * f["out_w"] if flat else f["out_w"]
    if pixels < wide or max(reach, y[3] + y_channel, 16 * len(pairs), wide * right, wide * y_col) > REACH:
        return "its windows or outputs lie too far apart"
    if f["k_h"] > 1 and 3 * f["stride_w"] + f["k_w"] > f["dil_h"] * f["in_w"] and not _inside(f):
        return "four windows at the border are wider than the image, whose rows they are laid out by"
    steps = schedule([tuple(16 * i + 4 * p for p in range(4)) for i in range(len(pairs))], 0, True)
    looped = unroll < pairs_of_channels
    shift = f["shift"] - 32
    far = f"r{row}x{f['dil_h']}" if f["k_h"] > 1 or square else ""
    count = "" if looped else f"m{f['out_c']}"
    strides = (
        f"s{right}q{down}_t{shift}_y{y_col}q{y_row}x{y_channel}"
        if square
        else f"s{right}_t{shift}_y{y_col}x{y_channel}"
    )
    view = RowView(
        f"tg_row_{f['k_h']}x{run}{far}{strides}u{unroll}{count}_dsp",
        f"Rows of tiles: {f['k_h']} x {run} bytes of a pixel, {right} bytes apart.",
        tuple(blocks), tuple(tails), tuple(pairs), steps, x, wide * right, y, wide * y_col, y_channel,
        eight(16 * len(pairs)), unroll, looped, shift,
    )  # fmt: skip
    fields = {name: f[name] for name in _GEOMETRY} | {
        "words": 4 + len(pairs), "high": 2 if square else 1, "image_h": image[0] if copied else 0,
        "image_w": image[1] if copied else 0, "flat": int(flat), "y_start": start, "y_row": y_row, "y_col": y_col,
    }  # fmt: skip
    edge = (f["k_h"] - 1) * f["dil_h"] * row + (3 * f["stride_w"] + f["k_w"]) * f["in_c"]
    room = 0 if _inside(f) else image[0] * row if copied else edge
    return replace(
        call,
        kernel="tg_rows_s8_dsp",
        config=(*fields.items(), ("row", view.name)),
        consts=(ConstArg("w", pack_tiles(w, c["b"], c["m"], np.array(order))),),
        points_with_sp=True,
        stack=view.window,
        scratch=max(-(-room // 4) * 4, 4),
        generated=(Generated(view.name, "dsp/tg_row", view, view.code, view.loop_bytes),),
    )


def _inside(f: dict[str, int]) -> bool:
    """No window leaves the image."""
    reach_h = (f["out_h"] - 1) * f["stride_h"] + (f["k_h"] - 1) * f["dil_h"]
    reach_w = (f["out_w"] - 1) * f["stride_w"] + f["k_w"] - 1
    return f["pad_top"] + f["pad_left"] == 0 and reach_h < f["in_h"] and reach_w < f["in_w"]


def _window(
    f: dict[str, int], row: int, run: int
) -> tuple[list[BlockView], list[TailView], list[tuple[int, int]], list[tuple[int, int]]]:
    """Words and what they leave over; the two bytes of each pair in the image; its two taps, -1 for none."""
    blocks: list[BlockView] = []
    pairs: list[tuple[int, int]] = []
    order: list[tuple[int, int]] = []
    left: list[tuple[int, int]] = []  # (offset in the image, tap)
    for ky in range(f["k_h"]):
        at, tap = ky * f["dil_h"] * row, ky * run
        for i in range(0, run - 3, 4):
            blocks.append(BlockView(at + i, len(pairs)))
            pairs += [(at + i, at + i + 2), (at + i + 1, at + i + 3)]
            order += [(tap + i, tap + i + 2), (tap + i + 1, tap + i + 3)]
        left += [(at + i, tap + i) for i in range(run - run % 4, run)]
    tails: list[TailView] = []
    for i in range(0, len(left), 2):
        (a, tap_a), (b, tap_b) = left[i], left[i + 1] if i + 1 < len(left) else (left[i][0], -1)
        tails.append(TailView(a, b if tap_b >= 0 else None, len(pairs)))
        pairs.append((a, b))
        order.append((tap_a, tap_b))
    return blocks, tails, pairs, order
