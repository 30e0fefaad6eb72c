"""Tile kernels of the DSP set, made for a shape: four pixels by two channels (core/tg_tile_dsp.h, dsp/tg_tile.c.j2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.numerics import Array
from tinygen.ops.base import Call, ConstArg, Generated
from tinygen.plan.variants.base import consts, ints
from tinygen.plan.variants.pack_tiles import pack_tiles, tiles_supported

#: Offsets of four words of activations in the window, one of each pixel, in bytes.
Offsets = tuple[int, int, int, int]
_ACTIVATIONS = ("r8", "r9", "r10", "r11")
#: The tile kernel for windows of any length, in scratch.
LIBRARY_TILE = "tg_tile_any_dsp"
#: Code of requantising and storing eight outputs, about.
ENDS_CODE = 200
#: An immediate offset of LDR reaches so far.
REACH = 4095


@dataclass(frozen=True, slots=True)
class WordView:
    """One word of weights: what must be loaded for it, and the register of each pixel."""

    loads: tuple[tuple[str, int], ...]
    regs: tuple[str, ...]
    halves: tuple[int, ...]
    first: bool

    @property
    def order(self) -> tuple[int, ...]:
        """Pixel 0 comes last where its sum starts as the others' bias."""
        return (*range(1, len(self.regs)), 0)


@dataclass(frozen=True, slots=True)
class TileView:
    """A tile kernel, as the templates print it.

    `window` and `dead` are bytes of stack; `advance`, bytes from one round of a looped kernel to the next; `shift` and
    `y` (bytes from pixel to pixel, from channel to channel) are None when the caller says them. `odd`: the kernel takes
    the last of an odd number of channels too, with the one before it once more.
    """

    name: str
    brief: str
    comment: str
    steps: tuple[WordView, ...]
    looped: bool
    advance: int
    window: int
    dead: int
    shift: int | None
    y: tuple[int, int] | None
    pixels: int = 4
    odd: bool = False

    def for_odd(self) -> TileView:
        """The same, for an odd number of channels."""
        return replace(self, name=f"{self.name.removesuffix('_dsp')}_o_dsp", odd=True)

    def turns(self, pairs: int) -> float:
        """Of its loop, for two channels."""
        return pairs / len(self.steps) if self.looped else 0.0

    @property
    def loop_bytes(self) -> int:
        """Code that runs for every two channels, or for every turn of a looped kernel."""
        steps = sum(4 * (2 + len(s.loads) + 2 * self.pixels) for s in self.steps)
        return steps + (16 if self.looped else ENDS_CODE)

    @property
    def code(self) -> int:
        return self.loop_bytes + ENDS_CODE

    @property
    def frame(self) -> int:
        return self.window + self.dead


def schedule(steps: Sequence[tuple[int, ...]], base: int, first: bool) -> tuple[WordView, ...]:
    """Which activations each step must load when the four registers keep what they hold: a window slides over most of
    them. `first`: sums start in the first step instead of before it."""
    held: dict[str, int] = {}
    views = []
    for i, want in enumerate(steps):
        free = [r for r in _ACTIVATIONS if held.get(r) not in want]
        loads = []
        for offset in dict.fromkeys(want):
            if offset not in held.values():
                register = free.pop(0)
                held[register] = offset
                loads.append((register, offset + base))
        where = {offset: register for register, offset in held.items()}
        views.append(
            WordView(tuple(loads), tuple(where[o] for o in want), tuple(o // 2 for o in want), first and i == 0)
        )
    return tuple(views)


def eight(n: int) -> int:
    return -(-n // 8) * 8


def suffix(shift: int | None, y: tuple[int, int] | None) -> str:
    return (f"_t{shift}" if shift else "") + (f"_y{y[0]}x{y[1]}" if y else "")


def whole_tile(pairs: int, shift: int | None, y: tuple[int, int] | None, pixels: int = 4) -> TileView:
    """Windows [pair][pixel] of so many pairs, without a loop: fastest, 56 bytes of code a pair. With three pixels the
    fourth of the window is not looked at."""
    steps = [tuple(16 * i + 4 * p for p in range(pixels)) for i in range(pairs)]
    window = 16 * pairs
    return TileView(
        f"tg_tile_w{pairs}{suffix(shift, y)}{'_p3' if pixels == 3 else ''}_dsp",
        f"{'Four' if pixels == 4 else 'Three'} pixels with windows of {pairs} pairs of taps.",
        f"{3 * pixels + 3} cycles for {4 * pixels} products.",
        schedule(steps, 0, True), False, 0, eight(window), 0, shift, y, pixels,
    )  # fmt: skip


def column_tile(rows: int, pairs: int, order: Sequence[tuple[int, ...]], shift: int | None) -> TileView:
    """Four pixels of a column, whose windows overlap: [row / 4][pair][row % 4], so many pairs a row.

    `order`: for each step the row of each pixel; it is walked for one pair after the other.
    """
    steps: list[Offsets] = []
    for pair in range(pairs):
        for of in order:
            a, b, c, d = (r // 4 * 16 * pairs + 16 * pair + r % 4 * 4 for r in of)
            steps.append((a, b, c, d))
    taps = (
        "_".join(str(of[0]) for of in order) if [of[0] for of in order] != list(range(len(order))) else str(len(order))
    )
    return TileView(
        f"tg_tile_c{rows}x{pairs}k{taps}s{order[0][1] - order[0][0]}{suffix(shift, None)}_dsp",
        f"Four pixels of a column: {rows} rows of {pairs} pairs of taps.",
        "A window slides down: most activations are in registers already.",
        schedule(steps, 0, True), False, 0, eight(4 * rows * pairs), 0, shift, None,
    )  # fmt: skip


def looped_tile(most: int, unroll: int, shift: int | None, y: tuple[int, int] | None) -> TileView:
    """The same for any number of pairs up to `most` that is a multiple of `unroll`."""
    steps: list[Offsets] = [(16 * i, 16 * i + 4, 16 * i + 8, 16 * i + 12) for i in range(unroll)]
    window = 16 * most
    dead = eight(window - 16 * unroll)
    return TileView(
        f"tg_tile_l{most}x{unroll}{suffix(shift, y)}_dsp",
        f"Four pixels with windows of a multiple of {unroll} pairs of taps, {most} at the most.",
        f"15 cycles for 16 products, and 8 for {unroll} pairs.",
        schedule(steps, dead, False), True, 16 * unroll, eight(window), dead, shift, y,
    )  # fmt: skip


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


def tiles(call: Call, tile: TileView | None, order: Array, *, window: int = 0, rows: int = 0) -> Call | str:
    """`call` of tg_conv_s8 through tg_tiles_s8_dsp with a tile kernel that takes its taps in `order`; the library's own
    for None."""
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
    image = image_size(f, rows)
    copied = rows > 0 or (not _whole(f) and _regular(f) and small(f, image))
    room = (
        image[0] * image[1] * f["in_c"] if copied else 0 if _whole(f) else 4 * f["k_h"] * f["k_w"] * f["in_c"] // groups
    )
    fields = {name: f[name] for name in _GEOMETRY} | {
        "pairs": len(order), "window": window, "apart": per % 2 * int(not (tile and tile.odd)),
        "image_h": image[0] if copied else 0, "image_w": image[1] if copied else 0,
        "rows": rows, "pixels": tile.pixels if tile else 4, "swap": 1 if rows else swap,
        "y_start": start, "y_row": row, "y_col": col, "y_channel": channel,
    }  # fmt: skip
    return replace(
        call,
        kernel="tg_tiles_s8_dsp",
        config=(*fields.items(), ("tile", tile.name if tile else LIBRARY_TILE)),
        consts=(ConstArg("w", stream),),
        scratch=max(-(-(window + room) // 4) * 4, 4),
        generated=(Generated(tile.name, "dsp/tg_tile", tile, tile.code, tile.loop_bytes),) if tile else (),
        uses=() if tile else (LIBRARY_TILE,),
        points_with_sp=tile is not None,
        stack=tile.frame if tile else 0,
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


def for_odd(call: Call, tile: TileView) -> TileView:
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
