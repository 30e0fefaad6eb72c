"""Variants whose weights are packed indices into a table, where a layer's weights take few values and flash is saved.

Not one of them gives a reason when it does not apply: that most layers have many values is no news.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tinygen.numerics import Array
from tinygen.ops.base import Call, ConstArg, Generated
from tinygen.plan.variants import pack_palette as pack
from tinygen.plan.variants.base import Variants, consts, ints, packed
from tinygen.plan.variants.pack_tiles import SHIFTS
from tinygen.plan.variants.tiles import any_tiles, run_order

#: Why a palette does not apply: nothing to be said.
NO = ""


def saves(made: Call, call: Call) -> bool:
    """Fewer bytes of constants than the reference call, but for the table, which layers may share."""
    return sum(c.array.nbytes for c in made.consts if c.suffix != "table") < sum(c.array.nbytes for c in call.consts)


def conv_reference(call: Call) -> Call | str:
    """Portable C, any number of bits."""
    return _reference(call, "tg_conv_pal_s8", "tg_conv_s8_cfg_t") if ints(call)["groups"] == 1 else NO


def dense_reference(call: Call) -> Call | str:
    """Portable C, any number of bits."""
    return _reference(call, "tg_dense_pal_s8", "tg_dense_s8_cfg_t")


def _reference(call: Call, kernel: str, config: str) -> Call | str:
    c = consts(call)
    found = pack.pack_reference(c["w"])
    if found is None:
        return NO
    made = replace(packed(call, kernel, w=found[0], table=found[1], b=c["b"], m=c["m"]), cfg_type=config)
    return made if saves(made, call) else NO


REFERENCE: Variants = {"tg_conv_s8": (conv_reference,), "tg_dense_s8": (dense_reference,)}


# ---- cores with the DSP extension ----

#: Up to so many bits a table holds every two weights; above, an index is the weight.
PAIRED = 4
#: How four indices (of two channels and two taps) come as one number, for the first pair of taps and for the second:
#: the load, and the bits that are below them.
_LOADS = {
    2: (("ldrb r12, [lr], #1", 0), ("ldrb r12, [lr], #1", 0)),
    3: (("ldrh r12, [lr], #1", 0), ("ldrh r12, [lr], #2", 4)),
    5: (("ldr r12, [lr], #2", 0), ("ldr r12, [lr], #3", 4)),
    6: (("ldr r12, [lr], #3", 0), ("ldr r12, [lr], #3", 0)),
}


@dataclass(frozen=True, slots=True)
class PaletteTileView:
    """Four pixels by two channels, weights as indices of so many bits."""

    bits: int

    @property
    def name(self) -> str:
        return f"tg_tile_pal{self.bits}_dsp"

    @property
    def table(self) -> bool:
        return self.bits <= PAIRED

    @property
    def decode(self) -> tuple[tuple[str, ...], ...]:
        """For each of two pairs of taps: the weights of both channels to r11 and r12."""
        return tuple(self._decode(i) for i in range(2))

    def _decode(self, i: int) -> tuple[str, ...]:
        n = self.bits
        lookup = ("vmov r8, s12", "ldr r11, [r8, r11, lsl #2]", "ldr r12, [r8, r12, lsl #2]")
        if n == PAIRED:
            return ("ldrb r11, [lr], #1", "ldrb r12, [lr], #1", *lookup)
        load, low = _LOADS[n][i]
        if self.table:
            return (load, f"ubfx r11, r12, #{low}, #{2 * n}", f"ubfx r12, r12, #{low + 2 * n}, #{2 * n}", *lookup)
        return (
            load,
            f"sbfx r11, r12, #{low}, #{n}",
            f"sbfx r8, r12, #{low + n}, #{n}",
            "pkhbt r11, r11, r8, lsl #16",
            f"sbfx r8, r12, #{low + 2 * n}, #{n}",
            f"sbfx r12, r12, #{low + 3 * n}, #{n}",
            "pkhbt r12, r8, r12, lsl #16",
        )

    @property
    def half(self) -> int:
        """Bytes of code for two pairs of taps: every instruction takes four."""
        return 4 * sum(len(lines) + 12 for lines in self.decode)

    @property
    def code(self) -> int:
        return 4 * self.half + 320


def _dsp_palette(w: Array) -> tuple[int, Array] | None:
    """Bits and table as the DSP kernels take them: at least two bits; from five on the weights themselves."""
    found = pack.palette(w)
    if found is None:
        return None
    bits, table = found
    if bits == 1:
        bits, table = 2, np.concatenate([table, np.zeros(2, np.int8)])
        if set(np.unique(w).tolist()) <= set(pack.uniform(2).tolist()):
            table = pack.uniform(2)
    return None if bits > PAIRED and not np.array_equal(table, pack.uniform(bits)) else (bits, table)


def conv_tiles(call: Call) -> Call | str:
    """Through tg_tiles_pal_s8_dsp: two weights a lookup, for four pixels."""
    f, c = ints(call), consts(call)
    found = _dsp_palette(c["w"]) if f["groups"] == 1 else None
    made = any_tiles(call) if found is not None else NO
    if found is None or isinstance(made, str):
        return NO
    bits, table = found
    dil, per = f["dil_w"] == 1, f["in_c"]
    order = run_order(f["k_h"] * (1 if dil else f["k_w"]), per * (f["k_w"] if dil else 1), multiple=2)
    zero = np.flatnonzero(table == 0)
    rows = pack.indices(c["w"], table).reshape(f["out_c"], -1)
    stream = pack.pack_tile(rows, bits, int(zero[0]) if zero.size else None, c["b"], c["m"], order)
    if stream is None:
        return NO
    view, window = PaletteTileView(bits), 16 * len(order)
    words = -(-len(order) * 4 * bits // 32)
    fields = dict(made.config) | {"pairs": words, "window": window, "tile": view.name}
    both = (
        ConstArg("w", stream),
        ConstArg("table", _pairs(view.table, table, bits)),
    )
    made = replace(
        made,
        kernel="tg_tiles_pal_s8_dsp",
        cfg_type="tg_tiles_s8_cfg_t",
        config=tuple(fields.items()),
        consts=both,
        scratch=made.scratch + window - ints(made)["window"],
        generated=(Generated(view.name, "dsp/tg_tile_pal", view, view.code, 4 * view.half),),
        uses=("tg_tiles_s8_dsp",),
        family=view.name,
    )
    return made if saves(made, call) else NO


@dataclass(frozen=True, slots=True)
class PaletteDenseView:
    """One row by four channels, weights as indices of so many bits."""

    bits: int

    @property
    def name(self) -> str:
        return f"tg_dense_pal{self.bits}_s8_dsp"

    @property
    def table(self) -> bool:
        return self.bits <= PAIRED

    @property
    def decode(self) -> tuple[str, ...]:
        """Eight inputs of one channel; ACC is its sum."""
        n = self.bits
        sums = tuple(f"smlad ACC, r{i}, r{4 + i}, ACC" for i in range(4))
        if not self.table:
            return (*self._signed(0), *self._signed(1))
        lookups = tuple(f"ldr r{i}, [r12, r{i}, lsl #2]" for i in range(4))
        if n == PAIRED:
            return (*(f"ldrb r{i}, [lr], #1" for i in range(4)), *lookups, *sums)
        load = {2: "ldrh r3, [lr], #2", 3: "ldr r3, [lr], #3"}[n]
        return (load, *(f"ubfx r{i}, r3, #{2 * n * i}, #{2 * n}" for i in range(4)), *lookups, *sums)

    def _signed(self, i: int) -> tuple[str, ...]:
        """Four inputs, weights as they are."""
        n = self.bits
        low = 4 * n * i % 8
        return (
            f"ldr r1, [lr], #{(4 * n * (i + 1)) // 8 - 4 * n * i // 8}",
            f"sbfx r0, r1, #{low}, #{n}",
            f"sbfx r2, r1, #{low + n}, #{n}",
            "pkhbt r0, r0, r2, lsl #16",
            f"sbfx r2, r1, #{low + 2 * n}, #{n}",
            f"sbfx r1, r1, #{low + 3 * n}, #{n}",
            "pkhbt r1, r2, r1, lsl #16",
            f"smlad ACC, r0, r{4 + 2 * i}, ACC",
            f"smlad ACC, r1, r{5 + 2 * i}, ACC",
        )

    @property
    def hot(self) -> int:
        """Bytes of code for eight inputs of four channels."""
        return 16 * len(self.decode) + 24

    @property
    def code(self) -> int:
        return self.hot + 480


def dense_dsp(call: Call) -> Call | str:
    """Two weights a lookup."""
    f, c = ints(call), consts(call)
    found = _dsp_palette(c["w"]) if SHIFTS[0] <= f["shift"] <= SHIFTS[1] else None
    if found is None:
        return NO
    bits, table = found
    view = PaletteDenseView(bits)
    made = packed(
        call,
        view.name,
        pack.dense_scratch(f["n_in"]),
        w=pack.pack_dense(pack.indices(c["w"], table), bits, c["b"], c["m"]),
        table=_pairs(view.table, table, bits),
    )
    made = replace(
        made,
        cfg_type="tg_dense_s8_cfg_t",
        generated=(Generated(view.name, "dsp/tg_dense_pal", view, view.code, view.hot),),
        family=view.name,
    )
    return made if saves(made, call) else NO


def _pairs(used: bool, table: Array, bits: int) -> Array:
    """The table of a DSP kernel, or one word where it has none."""
    return pack.pack_pairs(table, bits) if used else np.zeros(1, np.int32)


DSP: Variants = {"tg_conv_s8": (conv_tiles,), "tg_dense_s8": (dense_dsp,)}
