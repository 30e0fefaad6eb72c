"""Tile kernels of the DSP set for four pixels of a row, whose windows overlap: most activations stay in registers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from tinygen.kernels.slide.program import FillKernel
from tinygen.kernels.tile.kernel import REACH, Offsets, TileKernel, eight, schedule
from tinygen.kernels.tile.pack import pack_tiles, tiles_supported
from tinygen.kernels.tile.program import Tile
from tinygen.kernels.tile.variants import for_odd, narrow, y_strides
from tinygen.kernels.variant import consts, ints
from tinygen.numerics import Array
from tinygen.ops.base import Call, ConstArg, Generated


@dataclass(frozen=True, slots=True)
class Slide:
    """Geometry of a window: k_h rows of `cols` columns, four channels at a time, at most `most` times. `back`: of a
    number that is no multiple of 4 the last four overlap those before by so many."""

    k_h: int
    k_w: int
    stride: int
    dil: int
    most: int
    back: int

    @property
    def cols(self) -> int:
        return (self.k_w - 1) * self.dil + 3 * self.stride + 1

    @property
    def row_bytes(self) -> int:
        return self.most * self.cols * 8

    @property
    def window(self) -> str:
        """What layers have in common that can share a kernel."""
        dil = f"d{self.dil}" if self.dil > 1 else ""
        return f"{self.k_h}x{self.k_w}s{self.stride}{dil}"

    @property
    def name(self) -> str:
        return f"{self.window}c{4 * self.most}"

    @property
    def taps(self) -> tuple[int, ...]:
        """Kernel columns in the order that loads least: those that a step of one pixel shares follow each other."""
        return tuple(sorted(range(self.k_w), key=lambda k: (k * self.dil % self.stride, k)))

    @property
    def steps(self) -> list[Offsets]:
        """Of four channels: two pairs, each through all rows and columns of the kernel."""
        found: list[Offsets] = []
        for pair in range(2):
            for row in range(self.k_h):
                for k in self.taps:
                    a, b, c, d = (
                        row * self.row_bytes + 8 * (k * self.dil + p * self.stride) + 4 * pair for p in range(4)
                    )
                    found.append((a, b, c, d))
        return found

    def order(self, in_c: int) -> Array:
        """[words][2]: the taps of each step, four channels after four; -1 for a channel that was there before."""
        starts = [min(4 * quad, in_c - 4) for quad in range(-(-in_c // 4))]
        taps = [
            [(row * self.k_w + k) * in_c + c if c >= 4 * quad else -1 for c in (start + pair, start + pair + 2)]
            for quad, start in enumerate(starts)
            for pair in range(2)
            for row in range(self.k_h)
            for k in self.taps
        ]
        return np.array(taps)

    def fill(self) -> FillKernel:
        back = f"b{self.back}" if self.back else ""
        return FillKernel(f"tg_fill_{self.name.split('x', 1)[1]}{back}_dsp", self.cols, self.row_bytes, self.back)

    def tile(self, unroll: int, shift: int | None, y: tuple[int, int] | None) -> TileKernel:
        """With so many times four channels between two turns of the loop; none when that is all."""
        looped = unroll < self.most
        advance = 8 * self.cols * unroll if looped else 0
        dead = eight(8 * self.cols * (self.most - unroll))
        step = 8 * self.cols
        steps = [
            (a + u * step, b + u * step, c + u * step, d + u * step) for u in range(unroll) for a, b, c, d in self.steps
        ]
        return TileKernel(
            "tg_tile_",
            f"Four pixels of a row, {self.k_h}x{self.k_w}, stride {self.stride}, at most {4 * self.most} channels",
            Tile(
                schedule(steps, dead, not looped), looped, advance, eight(self.k_h * self.row_bytes), dead, shift, y,
            ),
        )  # fmt: skip


_GEOMETRY = (
    "in_h", "in_w", "in_c", "out_h", "out_w", "out_c", "k_h", "stride_h", "stride_w", "dil_h", "pad_top", "pad_left",
    "in_zp", "out_zp", "lo", "hi", "shift",
)  # fmt: skip


def slide_of(call: Call) -> Slide | str:
    """The window of a tg_conv_s8 call, or why it has none."""
    f = ints(call)
    if f["groups"] > 1 or f["in_c"] < 4:
        return "groups, or fewer than 4 channels"
    if f["k_w"] * f["dil_w"] <= f["stride_w"] or f["k_w"] == 1:
        return "windows of neighbouring pixels do not overlap"
    if f["out_w"] < 4:
        return "a row has fewer than 4 pixels"
    slide = Slide(f["k_h"], f["k_w"], f["stride_w"], f["dil_w"], -(-f["in_c"] // 4), -f["in_c"] % 4)
    return slide if slide.cols <= 9 else f"a window of {slide.cols} columns, above 9"


def slide_tiles(call: Call, slide: Slide, tile: TileKernel) -> Call | str:
    """`call` of tg_conv_s8 through tg_slides_s8_dsp; `slide` has room for the call's channels."""
    f, c = ints(call), consts(call)
    reach = max(o for s in slide.steps for o in s) + 8 * slide.cols * (slide.most - 1)
    if reach > REACH:
        return f"a window that reaches {reach} bytes, above {REACH}"
    w = c["w"].reshape(f["out_c"], -1)
    reason = tiles_supported(w, c["b"], f["shift"])
    if reason is not None:
        return reason
    if call.y_planes is not None and (narrow(f) or call.y_planes.swap):
        return "planes with a narrow clamp, or column by column"
    order = slide.order(f["in_c"])
    _, start, row, col, channel = y_strides(call)
    fill = slide.fill()
    fields = {name: f[name] for name in _GEOMETRY} | {
        "pairs": len(order), "apart": f["out_c"] % 2 * int(not tile.tile.odd), "cols": slide.cols,
        "row_bytes": slide.row_bytes,
        "y_start": start, "y_row": row, "y_col": col, "y_channel": channel,
    }  # fmt: skip
    return replace(
        call,
        kernel="tg_slides_s8_dsp",
        config=(*fields.items(), ("fill", fill.name), ("tile", tile.name)),
        consts=(ConstArg("w", pack_tiles(w, c["b"], c["m"], order)),),
        points_with_sp=True,
        stack=tile.tile.frame,
        scratch=-(-f["k_h"] * slide.cols * f["in_c"] // 4) * 4,
        generated=(
            Generated(fill.name, "dsp/tg_program", fill, fill.code, 0, fill.family),
            Generated(tile.name, "dsp/tg_program", tile, tile.code, tile.loop_bytes, tile.family),
        ),
    )


def whole_slides(call: Call) -> Call | str:
    """Made for the layer: shift and strides in the code, up to 32 channels a turn."""
    slide = slide_of(call)
    if isinstance(slide, str):
        return slide
    f = ints(call)
    y = (f["out_c"], 1) if call.y_planes is None and f["out_c"] > 1 and 3 * f["out_c"] < REACH else None
    unroll = next(u for u in range(8, 0, -1) if slide.most % u == 0)
    return slide_tiles(call, slide, for_odd(call, slide.tile(unroll, f["shift"] - 32, y)))


def compact_slides(call: Call) -> Call | str:
    """Four channels a turn, for all layers of the network with the same window."""
    return _compact(call, odd=False)


def compact_odd_slides(call: Call) -> Call | str:
    """The same for those with an odd number of channels: another kernel, which fills its window once."""
    return _compact(call, odd=True) if ints(call)["out_c"] % 2 and ints(call)["out_c"] > 1 else ""


def _compact(call: Call, *, odd: bool) -> Call | str:
    slide = slide_of(call)
    if isinstance(slide, str):
        return slide
    shared = replace(slide, most=max(slide.most, dict(call.limits).get(slide.window, 0)))
    tile = shared.tile(1, None, None)
    return slide_tiles(call, shared, tile.for_odd() if odd else tile)


def slide_limits(calls: Iterable[Call]) -> tuple[tuple[str, int], ...]:
    """For each window the most times four channels that a layer of the network has."""
    found: dict[str, int] = {}
    for call in calls:
        slide = slide_of(call) if call.kernel == "tg_conv_s8" else ""
        if isinstance(slide, Slide):
            found[slide.window] = max(slide.most, found.get(slide.window, 0))
    return tuple(sorted(found.items()))
