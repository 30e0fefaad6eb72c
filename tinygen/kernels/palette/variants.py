"""Variants whose weights are packed indices into a table, where a layer's weights take few values and flash is saved.

Not one of them gives a reason when it does not apply: that most layers have many values is no news.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tinygen.kernels.lanes import pack as lanes
from tinygen.kernels.palette import pack
from tinygen.kernels.palette.dense import PaletteFourKernel
from tinygen.kernels.palette.tile import palette_tile_kernel
from tinygen.kernels.palette.weights import PAIRED
from tinygen.kernels.print_asm import loop_bytes
from tinygen.kernels.program import loops
from tinygen.kernels.tile.pack import SHIFTS
from tinygen.kernels.tile.variants import any_tiles, run_order
from tinygen.kernels.variant import Variant, Variants, consts, ints, packed
from tinygen.numerics import Array
from tinygen.ops.base import Call, ConstArg, Generated

#: Why a palette does not apply: nothing to be said.
NO = ""


def saves(made: Call, call: Call) -> bool:
    """Fewer bytes of constants than the reference call. A table that a kernel makes of the values is not counted, since
    layers may share it, but the values are, unless they are the same everywhere."""
    found = pack.palette(consts(call)["w"])
    values = 0 if found is None or np.array_equal(found[1], pack.uniform(found[0])) else len(found[1])
    size = sum(c.array.nbytes for c in made.consts if c.suffix != "table") + values
    return size < sum(c.array.nbytes for c in call.consts)


def conv_reference(call: Call) -> Call | str:
    """Portable C, any number of bits."""
    return _reference(call, "tg_conv_pal_s8", "tg_conv_s8_cfg_t") if ints(call)["groups"] == 1 else NO


def dense_reference(call: Call) -> Call | str:
    """Portable C, any number of bits."""
    made = _reference(call, "tg_dense_pal_s8", "tg_dense_s8_cfg_t")
    if isinstance(made, str):
        return made
    f = ints(call)
    words = made.consts[0].array.size
    features = {"once": 1, "outputs": f["rows"] * f["n_out"]}
    for name, times in (("twos", f["rows"] // 2), ("ones", f["rows"] % 2)):  # rows, of which two share a weight
        features |= {
            name: times * f["n_out"],
            f"{name}_taps": times * f["n_out"] * f["n_in"],
            f"{name}_words": times * words,
        }
    return replace(made, family=made.kernel, features=tuple((name, float(v)) for name, v in features.items()))


def _reference(call: Call, kernel: str, config: str) -> Call | str:
    c = consts(call)
    found = pack.pack_reference(c["w"])
    if found is None:
        return NO
    made = replace(packed(call, kernel, w=found[0], table=found[1], b=c["b"], m=c["m"]), cfg_type=config)
    return made if saves(made, call) else NO


REFERENCE: Variants = {"tg_conv_s8": (conv_reference,), "tg_dense_s8": (dense_reference,)}


# ---- cores with the DSP extension ----


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
    tile, window = palette_tile_kernel(bits), 16 * len(order)
    words = -(-len(order) * 4 * bits // 32)
    fields = dict(made.config) | {"pairs": words, "window": window, "tile": tile.name}
    both = (
        ConstArg("w", stream),
        ConstArg("table", _pairs(bits <= PAIRED, table, bits)),
    )
    made = replace(
        made,
        kernel="tg_tiles_pal_s8_dsp",
        cfg_type="tg_tiles_s8_cfg_t",
        config=tuple(fields.items()),
        consts=both,
        scratch=made.scratch + window - ints(made)["window"],
        generated=(Generated(tile.name, "dsp/tg_program", tile, tile.code, tile.loop_bytes, tile.name),),
        uses=("tg_tiles_s8_dsp",),
        family=tile.name,
    )
    return made if saves(made, call) else NO


@dataclass(frozen=True, slots=True)
class PaletteDenseView:
    """One row by four channels, weights as indices of so many bits; `plain`: of 4, and they are the weights + 8."""

    bits: int
    plain: bool = False

    @property
    def name(self) -> str:
        return f"tg_dense_pal{self.bits}{'p' if self.plain else ''}_s8_dsp"

    @property
    def table(self) -> bool:
        return self.bits <= PAIRED and not self.plain

    @property
    def four(self) -> PaletteFourKernel:
        """Sums of four channels."""
        return PaletteFourKernel(f"{self.name}_four", "Sums of four channels.", self.bits, self.plain)

    @property
    def hot(self) -> int:
        """Bytes of code for eight inputs of four channels."""
        return next(loop_bytes(loop) for loop in loops(self.four.program.body))

    @property
    def code(self) -> int:
        return self.hot + 660


def dense_dsp(call: Call) -> Call | str:
    """Two weights a lookup."""
    f, c = ints(call), consts(call)
    found = _dsp_palette(c["w"]) if SHIFTS[0] <= f["shift"] <= SHIFTS[1] else None
    if found is None:
        return NO
    bits, table = found
    view = PaletteDenseView(bits, bits == PAIRED and pack.plain_supported(c["w"], c["b"], table))
    rows = (c["w"] + 8).astype(np.uint8) if view.plain else pack.indices(c["w"], table)
    made = packed(
        call,
        view.name,
        pack.dense_scratch(f["n_in"]),
        w=pack.pack_dense(rows, bits, c["b"], c["m"], plain=view.plain),
        table=_pairs(view.table, table, bits),
    )
    made = replace(
        made,
        cfg_type="tg_dense_s8_cfg_t",
        generated=(Generated(view.name, "dsp/tg_dense_pal", view, view.code, view.hot, view.name),),
        family=view.name,
        features=_dense_features(f),
    )
    return made if saves(made, call) else NO


def _dense_features(f: dict[str, int]) -> tuple[tuple[str, float], ...]:
    """What a call does how often."""
    octets, blocks = -(-f["n_in"] // 8), f["rows"] * -(-f["n_out"] // 4)
    found = {
        "once": 1, "rows": f["rows"], "octets": f["rows"] * octets, "blocks": blocks, "block_octets": blocks * octets,
        "cut": f["rows"] * (f["n_out"] % 4 > 0), "narrow": f["rows"] * f["n_out"] * (f["lo"] > -128 or f["hi"] < 127),
    }  # fmt: skip
    return tuple((name, float(v)) for name, v in found.items())


def _pairs(used: bool, table: Array, bits: int) -> Array:
    """The table of a DSP kernel, or one word where it has none."""
    return pack.pack_pairs(table, bits) if used else np.zeros(1, np.int32)


# ---- cores without SIMD: two pixels in one multiplication ----

#: Taps of a turn of the loop at most: two words of four bits.
TURN = 16


@dataclass(frozen=True, slots=True)
class PaletteLanesView:
    """Tiles of 8 or 4 pixels, two in a word; `flush`: taps until the sums of 16 bits are taken."""

    bits: int
    pixels: int
    flush: int
    narrow: bool

    @property
    def name(self) -> str:
        return f"tg_conv_pal{self.bits}x{self.pixels}f{self.flush}_s8_{'m0' if self.narrow else 'm3'}"

    @property
    def words(self) -> int:
        return self.pixels // 2

    @property
    def count(self) -> int:
        """Indices of a word."""
        return 32 // self.bits

    @property
    def turn(self) -> int:
        """Taps of a turn of the loop."""
        return self.count * max(1, TURN // self.count)

    @property
    def code(self) -> int:
        return self.hot + (1830 if self.narrow else 1410)

    @property
    def hot(self) -> int:
        return (2 if self.narrow else 4) * len(self.assembly)

    @property
    def assembly(self) -> tuple[str, ...]:
        """The inner function."""
        return self._thumb() if self.narrow else self._thumb2()

    def _thumb(self) -> tuple[str, ...]:
        n, words = self.bits, self.words
        sums = [f"r{8 + i}" for i in range(words)]
        lines = ["push {r4-r7, lr}", *(f"mov r{4 + i}, r{8 + i}" for i in range(4)), "push {r4-r7}", "mov r12, r0"]
        lines += ["ldr r1, [r0, #4]", "mov lr, r1", "ldr r2, [r0, #8]", "ldr r3, [r0]", "1:"]
        for i in range(self.turn):
            k = i % self.count
            if k == 0:
                lines += ["mov r0, lr", "ldmia r0!, {r1}", "mov lr, r0"]
            up = 32 - n * (k + 1)
            lines += [f"lsls r0, r1, #{up}" if up else "movs r0, r1", f"lsrs r0, r0, #{32 - n}", "ldrsb r0, [r2, r0]"]
            lines += [f"ldmia r3!, {{r4-r{3 + words}}}", *(f"muls r{4 + j}, r0, r{4 + j}" for j in range(words))]
            lines += [f"{'mov' if i % self.flush == 0 else 'add'} {s}, r{4 + j}" for j, s in enumerate(sums)]
            if self._ends(i):
                lines += _take_narrow(words)
        lines += ["mov r0, r12", "ldr r1, [r0, #12]", "subs r1, r1, #1", "str r1, [r0, #12]", "beq 2f", "b 1b", "2:"]
        lines += ["mov r1, lr", "str r1, [r0, #4]", "pop {r4-r7}", *(f"mov r{8 + i}, r{4 + i}" for i in range(4))]
        return (*lines, "pop {r4-r7, pc}")

    def _thumb2(self) -> tuple[str, ...]:
        n, words = self.bits, self.words
        lines = ["push {r4-r11, lr}", "mov r12, r0", "ldr lr, [r0, #4]", "ldr r2, [r0, #8]", "ldr r3, [r0]", "1:"]
        for i in range(self.turn):
            k = i % self.count
            if k == 0:
                lines.append("ldr r1, [lr], #4")
            lines += [f"ubfx r0, r1, #{n * k}, #{n}", "ldrsb r0, [r2, r0]", f"ldmia r3!, {{r4-r{3 + words}}}"]
            for j in range(words):
                product = f"r{8 + j}, r{4 + j}, r0"
                lines.append(f"mul {product}" if i % self.flush == 0 else f"mla {product}, r{8 + j}")
            if self._ends(i):
                lines += _take_wide("r5", words)
        lines += ["ldr r0, [r12, #12]", "subs r0, r0, #1", "str r0, [r12, #12]", "bne.w 1b", "str lr, [r12, #4]"]
        return (*lines, "pop {r4-r11, pc}")

    def _ends(self, i: int) -> bool:
        """Sums are taken behind tap i of a turn."""
        return (i + 1) % self.flush == 0 or i == self.turn - 1


def conv_lanes(pixels: int, *, narrow: bool) -> Variant:
    """By tiles of so many pixels, for the sets m0 (`narrow`) and m3."""

    def variant(call: Call) -> Call | str:
        f, c = ints(call), consts(call)
        found = pack.palette(c["w"]) if f["groups"] == 1 and f["out_h"] * f["out_w"] >= pixels else None
        if found is None:
            return NO
        bits, table = found
        weights = c["w"].reshape(f["out_c"], -1)
        longest = PaletteLanesView(bits, pixels, 1, narrow).turn
        flush = pack.lanes_flush(weights, longest)
        if flush is None:
            return NO
        view = PaletteLanesView(bits, pixels, flush, narrow)
        taps = -(-weights.shape[1] // view.turn) * view.turn
        scratch = 2 * pixels * taps
        if scratch > lanes.WINDOW_LIMIT:
            return NO
        rows = np.pad(pack.indices(weights, table), ((0, 0), (0, taps - weights.shape[1])))
        m = c["m"]
        if narrow:
            m = lanes.split_multipliers(weights, c["b"], m, f["shift"], f["out_zp"], f["lo"])
        made = packed(call, view.name, scratch, w=pack.pack_words(rows, bits), table=table, b=c["b"], m=m)
        made = replace(
            made,
            cfg_type="tg_conv_s8_cfg_t",
            generated=(Generated(view.name, "core/tg_conv_pal", view, view.code, view.hot, view.name),),
            family=f"tg_conv_pal_s8_{'m0' if narrow else 'm3'}",
            features=_lanes_features(f, view, taps, quick=bool(m[0]) if narrow else 32 < f["shift"] <= 54),
        )
        return made if saves(made, call) else NO

    return variant


def _lanes_features(
    f: dict[str, int], view: PaletteLanesView, taps: int, *, quick: bool
) -> tuple[tuple[str, float], ...]:
    """What a call does how often."""
    tiles = -(-f["out_h"] * f["out_w"] // view.pixels)
    channels, p = tiles * f["out_c"], view.pixels
    turns = taps // view.turn
    windows, kernel = tiles * view.words, f["k_h"] * f["k_w"]
    found = {
        "once": 1.0, "tiles": tiles, "window_rows": windows * f["k_h"], "window": windows * kernel * f["in_c"],
        "window_taps": windows * kernel, "words": channels * taps / view.count, "slow": 0.0 if quick else channels * p,
    }  # fmt: skip
    for size in (4, 8):
        n = channels if size == p else 0
        found |= {f"channels_{size}": n, f"taps_{size}": n * taps, f"turns_{size}": n * turns}
        found[f"flushes_{size}"] = n * turns * -(-view.turn // view.flush)
    return tuple((name, float(v)) for name, v in found.items())


#: Inputs of a turn, by bits: whole words of indices, not much code.
COLUMN_TURN = {2: 8, 3: 10, 4: 8}


@dataclass(frozen=True, slots=True)
class PaletteColumnsView:
    """A row by eight channels, two in a word; `flush`: inputs until the sums of 16 bits are taken."""

    bits: int
    flush: int
    narrow: bool

    @property
    def name(self) -> str:
        return f"tg_dense_pal{self.bits}f{self.flush}_s8_{'m0' if self.narrow else 'm3'}"

    @property
    def turn(self) -> int:
        return COLUMN_TURN[self.bits]

    @property
    def count(self) -> int:
        """Pairs of indices in a word."""
        return 32 // (2 * self.bits)

    @property
    def code(self) -> int:
        return self.hot + (700 if self.narrow else 540)

    @property
    def hot(self) -> int:
        return (2 if self.narrow else 4) * len(self.assembly)

    @property
    def assembly(self) -> tuple[str, ...]:
        """The inner function."""
        if self.narrow:
            lines = ["push {r4-r7, lr}", *(f"mov r{4 + i}, r{8 + i}" for i in range(4)), "push {r4-r7}"]
            lines += ["mov r12, r0", "ldr r3, [r0]", "ldr r5, [r0, #4]", "ldr r2, [r0, #8]"]
            lines += [f"movs r7, #{4**self.bits - 1}", "lsls r7, r7, #2", "movs r6, #0"]
        else:
            lines = ["push {r4-r11, lr}", "mov r12, r0", "ldrd r3, r5, [r0]", "ldr r2, [r0, #8]"]
        lines.append("1:")
        for i in range(self.turn):
            lines += ["ldrsb r0, [r3, r6]", "adds r6, r6, #1"] if self.narrow else ["ldrsb r0, [r3], #1"]
            for j in range(4):
                k = (4 * i + j) % self.count
                if k == 0:
                    lines.append("ldmia r5!, {r1}" if self.narrow else "ldr r1, [r5], #4")
                lines += self._pair(2 * self.bits * k, 8 + j, i % self.flush == 0)
            if (i + 1) % self.flush == 0 or i == self.turn - 1:
                lines += ["push {r5-r7}", *_take_narrow(), "pop {r5-r7}"] if self.narrow else _take_wide("lr")
        lines += ["mov r0, r12", "ldr r1, [r0, #12]", "subs r1, r1, #1", "str r1, [r0, #12]"]
        if not self.narrow:
            return (*lines, "bne.w 1b", "str r5, [r0, #4]", "pop {r4-r11, pc}")
        lines += ["beq 2f", "b 1b", "2:", "str r5, [r0, #4]", "pop {r4-r7}"]
        return (*lines, *(f"mov r{8 + i}, r{4 + i}" for i in range(4)), "pop {r4-r7, pc}")

    def _pair(self, low: int, total: int, first: bool) -> tuple[str, ...]:
        """The weights of two channels times the input; the index is `low` bits above the word's end."""
        if not self.narrow:
            product = f"r{total}, r4, r0"
            add = f"mul {product}" if first else f"mla {product}, r{total}"
            return (f"ubfx r4, r1, #{low}, #{2 * self.bits}", "ldr r4, [r2, r4, lsl #2]", add)
        shift = "movs r4, r1" if low == 2 else f"lsrs r4, r1, #{low - 2}" if low else "lsls r4, r1, #2"
        return (
            shift,
            "ands r4, r7",
            "ldr r4, [r2, r4]",
            "muls r4, r0, r4",
            f"{'mov' if first else 'add'} r{total}, r4",
        )


def _take_narrow(words: int = 4) -> list[str]:
    """Sums of both halves of r8, ... to the job's, by way of r0 and r4 to r7."""
    lines = ["mov r0, r12", "adds r0, r0, #16"]
    for i in range(words):
        lines += [f"mov r4, r{8 + i}", "sxth r5, r4", "subs r4, r4, r5", "asrs r4, r4, #16"]
        lines += ["ldr r6, [r0]", "ldr r7, [r0, #4]", "adds r6, r6, r5", "adds r7, r7, r4", "stmia r0!, {r6, r7}"]
    return lines


def _take_wide(low: str, words: int = 4) -> list[str]:
    """The same, by way of r4, r6, r7 and `low`."""
    lines = []
    for i in range(words):
        at = f"[r12, #{16 + 8 * i}]"
        lines += [f"sxth {low}, r{8 + i}", f"sub r4, r{8 + i}, {low}", f"ldrd r6, r7, {at}", f"add r6, r6, {low}"]
        lines += ["add r7, r7, r4, asr #16", f"strd r6, r7, {at}"]
    return lines


def dense_lanes(*, narrow: bool) -> Variant:
    """Two weights a lookup and two channels a multiplication, for the sets m0 (`narrow`) and m3."""

    def variant(call: Call) -> Call | str:
        f, c = ints(call), consts(call)
        found = _dsp_palette(c["w"])
        if found is None or found[0] > PAIRED:
            return NO
        bits, table = found
        turn = COLUMN_TURN[bits]
        flush = pack.lanes_flush(c["w"], turn)
        if flush is None:
            return NO
        view = PaletteColumnsView(bits, flush, narrow)
        made = packed(
            call,
            view.name,
            -(-f["n_in"] // turn) * turn,
            w=pack.pack_columns(pack.indices(c["w"], table), bits, turn),
            table=pack.pack_sums(table),
            b=np.pad(c["b"], (0, -f["n_out"] % 8)),
            m=c["m"],
        )
        blocks = f["rows"] * -(-f["n_out"] // 8)
        turns = blocks * -(-f["n_in"] // turn)
        found_features = {
            "once": 1, "rows": f["rows"], "inputs": f["rows"] * f["n_in"], "blocks": blocks, "turns": turns,
            "taps": turns * turn, "flushes": turns * -(-turn // view.flush), "outputs": f["rows"] * f["n_out"],
            "words": turns * 4 * turn / view.count, "slow": f["rows"] * f["n_out"] if f["shift"] <= 32 else 0,
        }  # fmt: skip
        made = replace(
            made,
            cfg_type="tg_dense_s8_cfg_t",
            generated=(Generated(view.name, "core/tg_dense_pal", view, view.code, view.hot, view.name),),
            family=f"tg_dense_pal_s8_{'m0' if narrow else 'm3'}",
            features=tuple((name, float(v)) for name, v in found_features.items()),
        )
        return made if saves(made, call) else NO

    return variant


def small(*, narrow: bool) -> Variants:
    """Of the sets m0 (`narrow`) and m3."""
    return {
        "tg_conv_s8": tuple(conv_lanes(pixels, narrow=narrow) for pixels in (8, 4)),
        "tg_dense_s8": (dense_lanes(narrow=narrow),),
    }
