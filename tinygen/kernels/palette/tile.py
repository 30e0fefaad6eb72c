"""A tile of weights that are indices: all channels of four pixels, two at a time: the program.

`fill` writes the window of the pixels into scratch, [pair of taps][pixel], an even number of pairs. The stream of two
channels: both biases; for each pair of taps the indices of both channels; up to a whole word; both multipliers.

Indices come for two pairs of taps at a time, and the loop has four times that, entered where so many are left that the
last one ends it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from tinygen.kernels.armv7em import (
    add_reg,
    adds,
    adr,
    and_imm,
    asr_reg,
    asrs,
    blx,
    cmp,
    ldr,
    ldr_at,
    ldr_post,
    ldrb_post,
    ldrh_post,
    mla,
    mov,
    movs,
    orr_imm,
    smlad,
    smmla,
    ssat8,
    strb,
    strb_reg,
    subs_reg,
    ubfx,
    vldm_post,
    vldr,
    vmov,
)
from tinygen.kernels.check import checked
from tinygen.kernels.kernel import Kernel
from tinygen.kernels.palette.weights import PAIRED, next_word, said_table, signed
from tinygen.kernels.print_asm import nodes_bytes
from tinygen.kernels.program import BITS, HALVES, HALVES_IN, INT, OCTETS, WORDS_IN, Node, Op, Program, Reg, Writer
from tinygen.kernels.tile.program import (
    CHANNEL,
    EVEN,
    FILL,
    MEMBERS,
    ODD,
    OFFSET,
    PAIR_BYTES,
    PIXELS,
    SHIFT,
    W_END,
    Y_AT,
    T,
    W,
    Y,
)

#: Times that the loop has two pairs of taps, and its label.
TIMES, LOOP = 4, 1000
#: Bytes of the window that two pairs of taps take, as a shift.
TWO_PAIRS = 5
#: How four indices (of two channels and two taps) come as one number, for the first pair of taps and for the second:
#: the load, how far it moves on, and the bits that are below them.
_LOADS: dict[int, tuple[tuple[Op, int, int], ...]] = {
    2: ((ldrb_post, 1, 0), (ldrb_post, 1, 0)),
    3: ((ldrh_post, 1, 0), (ldrh_post, 2, 4)),
    5: ((ldr_post, 2, 0), (ldr_post, 3, 4)),
    6: ((ldr_post, 3, 0), (ldr_post, 3, 0)),
}

AT, V = Reg("at", OCTETS, "lr"), Reg("v", HALVES_IN, "r10")
X = (Reg("x_left", BITS, "r8"), Reg("x_right", BITS, "r9"))
W_EVEN, W_ODD = Reg("w_even", BITS, "r11"), Reg("w_odd", BITS, "r12")
# What is parked in registers of the FPU, besides what other tiles park.
V_END, ENTRY = Reg("v_end", HALVES_IN, "s9"), Reg("entry", INT, "s10")
WINDOW, TABLE = Reg("window", HALVES, "s11"), Reg("table", WORDS_IN, "s12")


@dataclass(frozen=True, slots=True)
class PaletteTileKernel(Kernel):
    """Of weights that are indices of so many bits."""

    name: str
    brief: str
    bits: int

    @property
    def include(self) -> str:
        return "tg_tile_dsp.h"

    @property
    def contract(self) -> str:
        return (
            "The stream of two channels: both biases, for each pair of taps the indices of both, both multipliers.\n"
            f" * {said_table(self.bits)}"
        )

    @property
    def program(self) -> Program:
        return palette_tile(self.bits)

    @property
    def loop_bytes(self) -> int:
        """Of the loop over pairs of taps."""
        return TIMES * nodes_bytes(_two_pairs(self.bits))

    @property
    def code(self) -> int:
        """Bytes, about."""
        return self.loop_bytes + 320


def palette_tile_kernel(bits: int) -> PaletteTileKernel:
    """For weights of two bits to six."""
    brief = f"Four pixels of weights that are indices of {bits} bits, with windows [pair][pixel] in scratch."
    return PaletteTileKernel(f"tg_tile_pal{bits}_dsp", brief, bits)


@functools.lru_cache(maxsize=8)
def palette_tile(bits: int) -> Program:
    """See the head of this file."""
    out = _PaletteTile(bits)
    out.kernel()
    return checked(Program((T, W, Y), tuple(out.nodes)))


def _two_pairs(bits: int) -> tuple[Node, ...]:
    """Two pairs of taps of both channels, for all pixels."""
    return (*_pair(bits, 0), *_pair(bits, 1))


def _pair(bits: int, which: int) -> tuple[Node, ...]:
    left, right = X
    pixels: list[Node] = []
    for p in (0, 2):
        pixels += [ldr_post(left, V, 4), ldr_post(right, V, 4)]
        for x, pixel in ((left, p), (right, p + 1)):
            pixels += [smlad(EVEN[pixel], W_EVEN, x, EVEN[pixel]), smlad(ODD[pixel], W_ODD, x, ODD[pixel])]
    return (*_weights(bits, which), *pixels)


def _weights(bits: int, which: int) -> tuple[Node, ...]:
    """Of both channels, for the first pair of taps or for the second."""
    even, odd = Reg("index_even", BITS, W_EVEN.place), Reg("index_odd", BITS, W_ODD.place)
    table, both = TABLE.at("r8"), Reg("both", BITS, "r12")
    lookup = (vmov(table, TABLE), ldr_at(W_EVEN, table, even), ldr_at(W_ODD, table, odd))
    if bits == PAIRED:
        return (ldrb_post(even, AT, 1), ldrb_post(odd, AT, 1), *lookup)
    op, size, low = _LOADS[bits][which]
    load = op(both, AT, size)
    if bits > PAIRED:
        return (load, *signed(both, low, bits, (W_EVEN, W_ODD), "r8"))
    return (load, ubfx(even, both, low, 2 * bits), ubfx(odd, both, low + 2 * bits, 2 * bits), *lookup)


class _PaletteTile(Writer):
    """Writes one kernel."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def kernel(self) -> None:
        """All channels."""
        self.start()
        with self.loop("pairs"):
            self.note("two channels")
            self.sums()
            self.outputs()
            y, end = Y_AT.at("r12"), Reg("end", OCTETS, "r10")
            self.add(vmov(end, W_END), vmov(Y_AT, y), cmp(AT, end))

    def start(self) -> None:
        """Fills the window, and parks what the loops need."""
        t, w, y = T.at("r4"), W.at("r5"), Y.at("r6")
        window, fill, members = WINDOW.at("r1"), Reg("fill", FILL, "r3"), Reg("members", MEMBERS, "r4")
        self.add(mov(t, T), mov(w, W), mov(y, Y))
        self.add(ldr(window, T, 36), ldr(fill, T, 0), blx(fill, T, window))
        self.add(adds(members, t, 4), vldm_post(members, (W_END, OFFSET, SHIFT, *PIXELS, CHANNEL, PAIR_BYTES)))
        behind, window, end = members.moved(32), WINDOW.at("r0"), V_END.at("r1")
        self.add(ldr(window, behind, 0), ldr(end, behind, 36), vldr(TABLE, behind, 40))
        self.add(vmov(WINDOW, window), vmov(V_END, end), vmov(Y_AT, y), mov(AT, w))
        self.note("where the loop over taps is entered: so many twos are missing to eight")
        less, twos, first = Reg("less", INT, "r0"), Reg("twos", INT, "r0"), Reg("first", INT, "r2")
        missing, size, entry = Reg("missing", INT, "r0"), Reg("size", INT, "r1"), ENTRY.at("r0")
        self.add(subs_reg(less, window, end), asrs(twos, less, TWO_PAIRS), and_imm(missing, twos, TIMES - 1))
        self.add(movs(size, nodes_bytes(_two_pairs(self.bits))), adr(first, LOOP), mla(entry, missing, size, first))
        self.add(orr_imm(entry, entry, 1), vmov(ENTRY, entry))

    def sums(self) -> None:
        """Of all taps."""
        even, odd = EVEN, ODD
        self.add(ldr_post(even[0], AT, 4), ldr_post(odd[0], AT, 4))
        self.add(vmov(V, WINDOW), vmov(ENTRY.at("r12"), ENTRY))
        self.add(*(mov(r, even[0]) for r in even[1:]), *(mov(r, odd[0]) for r in odd[1:]))
        with self.entered("twos", ENTRY.at("r12"), LOOP, TIMES) as test:
            self.add(*_two_pairs(self.bits))
            end = V_END.at("r12")
            test += [vmov(end, V_END), cmp(V, end)]

    def outputs(self) -> None:
        """Requantise, clamp and store."""
        self.note("requantise")
        m_even, m_odd = Reg("m_even", INT, "r8"), Reg("m_odd", INT, "r9")
        offset, shift, both = OFFSET.at("r10"), SHIFT.at("r11"), (*EVEN, *ODD)
        self.add(*next_word(AT, AT), ldr_post(m_even, AT, 4), ldr_post(m_odd, AT, 4))
        self.add(vmov(offset, OFFSET), vmov(shift, SHIFT))
        self.add(*(smmla(r, r, m_even, offset) for r in EVEN), *(smmla(r, r, m_odd, offset) for r in ODD))
        self.add(*(asr_reg(r, r, shift) for r in both), *(ssat8(r, r) for r in both))
        y, at, channel = Y_AT.at("r12"), [p.at(f"r{8 + k}") for k, p in enumerate(PIXELS)], CHANNEL.at("r11")
        self.add(vmov(y, Y_AT), *(vmov(to, of) for to, of in zip(at, PIXELS, strict=True)), vmov(channel, CHANNEL))
        for sums in (EVEN, ODD):
            self.add(strb(sums[0], y, 0), *(strb_reg(r, y, to) for r, to in zip(sums[1:], at, strict=True)))
            self.add(add_reg(y, y, channel))
