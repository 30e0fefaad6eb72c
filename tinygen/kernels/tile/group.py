"""A group of tiles: all channels of four pixels several times, two channels at a time: the program.

The weights of two channels are copied from flash to the stack once and then serve every tile of the group, whose
windows the caller has filled: where flash waits, that is a fraction of the waits. The stack pointer is the pointer to
those weights: it moves up and back inside the frame, always below all that is live: interrupts may come at any time.
Words of the stream and of the windows are those of a tile (program.py).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from tinygen.kernels.armv7em import (
    add,
    add_reg,
    addw,
    asr_reg,
    cmp,
    ldm,
    ldr,
    ldr_post,
    mov,
    smlad,
    smmla,
    ssat8,
    ssat8_asr,
    stm_post,
    strb,
    strb_reg,
    sub,
    sub_reg,
    sxtb16,
    vmov,
)
from tinygen.kernels.check import checked
from tinygen.kernels.program import BITS, BYTES_OUT, INT, WORDS_IN, Node, Program, Reg, Type, Writer
from tinygen.kernels.tile.program import TILE

PIXELS = 4
WORDS = Type("int32_t *", 4, 4)
#: Words of a window that offsets of 16-bit instructions reach from its pointer.
BLOCK = 8
#: Windows lie at words, as the places between them do.
HALVES_IN = Type("const int16_t *", 2, 4)

T, W, Y = Reg("t", TILE, "r0"), Reg("w", WORDS_IN, "r1"), Reg("y", BYTES_OUT, "r2")
#: Activations, the weights of a word, where in the windows; sums of both channels, one a pixel, the odd one's raw.
X = tuple(Reg(f"x{p}", BITS, f"r{p}") for p in range(PIXELS))
PAIR, PAIR_EVEN, V = Reg("pair", BITS, "r4"), Reg("pair_even", BITS, "r4"), Reg("v", HALVES_IN, "r5")
EVEN = tuple(Reg(f"even{p}", INT, f"r{6 + p}") for p in range(PIXELS))
ODD = tuple(Reg(f"odd{p}", INT, place) for p, place in enumerate(("r10", "r11", "r12", "lr")))
COPIED = tuple(Reg(f"copied{k}", INT, r.place) for k, r in enumerate((*EVEN, *ODD)))
STREAM = Reg("stream", WORDS, "sp")
# What is parked in registers of the FPU.
Y_AT, W_AT, W_END, OFFSET, SHIFT = (
    Reg("y_at", BYTES_OUT, "s0"), Reg("w_at", WORDS_IN, "s1"), Reg("w_end", WORDS_IN, "s2"), Reg("offset", INT, "s3"),
    Reg("shift", INT, "s4"),
)  # fmt: skip
WINDOW, WINDOW_END = Reg("window", HALVES_IN, "s5"), Reg("window_end", HALVES_IN, "s6")
CHANNEL, LAST = Reg("channel", INT, "s7"), Reg("last", WORDS, "s8")


@dataclass(frozen=True, slots=True)
class Group:
    """Windows of `pairs` pairs of taps, so many of them in a `turn` of the loop, of which there are whole ones.

    `shift` is None where the caller says it. Of tiles a call has any number."""

    pairs: int
    turn: int
    shift: int | None

    @property
    def turns(self) -> int:
        """Of the loop over the pairs of taps."""
        return self.pairs // self.turn

    @property
    def dead(self) -> int:
        """Bytes below the weights that the stack pointer walks through."""
        return 4 * (self.pairs - self.turn)

    @property
    def frame(self) -> int:
        """Bytes of stack."""
        return -(-(self.dead + 4 * (self.pairs + 4)) // 8) * 8


@functools.lru_cache(maxsize=64)
def group_program(group: Group) -> Program:
    """See the head of this file."""
    out = _Group(group)
    out.kernel()
    return checked(Program((T, W, Y), tuple(out.nodes), group.frame, STREAM))


class _Group(Writer):
    """Writes one kernel."""

    def __init__(self, group: Group) -> None:
        super().__init__()
        self.group = group

    def kernel(self) -> None:
        """All channels."""
        parked = [
            (W_END, 4), (OFFSET, 8), (CHANNEL, 28), (WINDOW, 36), (WINDOW_END, 72),
            *([(SHIFT, 12)] if self.group.shift is None else []),
        ]  # fmt: skip
        for value, offset in parked:
            self.add(ldr(value.at("r3"), T, offset), vmov(value, value.at("r3")))
        if self.group.turns > 1:
            last = LAST.at("r3")
            self.add(addw(last, STREAM, self.group.dead), vmov(LAST, last))
        w, y, channel, w_end = W_AT.at("r4"), Y_AT.at("r0"), CHANNEL.at("r1"), W_END.at("r3")
        self.add(vmov(Y_AT, Y), mov(w, W))
        with self.loop("pairs"):
            self.note("two channels")
            self.take(w)
            self.add(vmov(W_AT, w), vmov(V, WINDOW))
            with self.loop("tiles"):
                self.note("a tile")
                self.sums()
                self.outputs()
                self.stores()
                end = WINDOW_END.at("r0")
                self.add(vmov(end, WINDOW_END), cmp(V, end))
            self.add(vmov(y, Y_AT), vmov(channel, CHANNEL), add_reg(y, y, channel), add_reg(y, y, channel))
            self.add(vmov(Y_AT, y), vmov(w, W_AT), vmov(w_end, W_END), cmp(w, w_end))

    def take(self, w: Reg) -> None:
        """The stream of two channels, to the stack."""
        to = Reg("to", WORDS, "r5")
        whole, rest = divmod(self.group.pairs + 4, len(COPIED))
        ends = [5, 4] if rest == 1 else [rest] if rest else []  # not one alone, which is no LDM
        self.add(addw(to, STREAM, self.group.dead))
        with self.copies() as copies:
            copies += [(ldm(w, COPIED), stm_post(to, COPIED))] * (whole - int(rest == 1))
        for n in ends:
            self.add(ldm(w, COPIED[:n]), stm_post(to, COPIED[:n]))

    def sums(self) -> None:
        """Of all taps."""
        dead, turn = self.group.dead, self.group.turn
        self.add(ldr(EVEN[0], STREAM, dead), ldr(ODD[0], STREAM, dead + 4))
        blocks = [range(at, min(at + BLOCK, turn)) for at in range(0, turn, BLOCK)]
        if self.group.turns == 1:
            for block in blocks:
                self.block(block, first=block.start == 0)
            return
        for even, odd in zip(EVEN[1:], ODD[1:], strict=True):
            self.add(mov(even, EVEN[0]), mov(odd, ODD[0]))
        last = LAST.at("r4")
        with self.loop(self.group.turns, most=self.group.turns) as between:
            for block in blocks:
                self.block(block)
            self.add(vmov(last, LAST), cmp(STREAM, last))
            # not behind the last turn: weights of the tiles to come would be below the stack pointer
            between.append(add(STREAM, STREAM, 4 * turn))
        self.add(sub(STREAM, STREAM, dead))

    def block(self, block: range, first: bool = False) -> None:
        """Words that are near in the window: the first of them comes last, and its load takes the pointer on."""
        behind = [self.word(k, 16 * (k - block.start), first and k == block.start + 1) for k in block[1:]]
        if behind and first:
            self.add(*behind.pop(0))
        with self.copies() as copies:
            copies += behind
        self.add(*self.word(block.start, 0, first and len(block) == 1, step=16 * len(block)))

    def word(self, k: int, offset: int, first: bool, step: int = 0) -> tuple[Node, ...]:
        """One word of weights: two taps of two channels, for all pixels. `first`: pixel 0's sums are where the others
        start, and so it comes last."""
        order = (*range(1, PIXELS), 0)

        def products(sums: tuple[Reg, ...], pair: Reg) -> list[Node]:
            return [smlad(sums[p], pair, X[p], sums[0 if first else p]) for p in order]

        loads = [ldr(X[p], V, offset + 4 * p) for p in order]
        if step:
            loads[-1] = ldr_post(X[0], V, step)
        start = [ldr(PAIR, STREAM, self.group.dead + 8 + 4 * k), *loads, *products(ODD, PAIR)]
        return (*start, sxtb16(PAIR_EVEN, PAIR), *products(EVEN, PAIR_EVEN))

    def outputs(self) -> None:
        """Requantise: the multiplier of the even channel, and that of the odd one over 256."""
        self.note("requantise")
        m_even, m_odd, offset = Reg("m_even", INT, "r0"), Reg("m_odd", INT, "r1"), OFFSET.at("r2")
        at = self.group.dead + 8 + 4 * self.group.pairs
        self.add(ldr(m_even, STREAM, at), ldr(m_odd, STREAM, at + 4), vmov(offset, OFFSET))
        self.add(*(sub_reg(odd, odd, even) for even, odd in zip(EVEN, ODD, strict=True)))
        self.add(*(smmla(r, r, m_even, offset) for r in EVEN), *(smmla(r, r, m_odd, offset) for r in ODD))
        if self.group.shift:
            self.add(*(ssat8_asr(r, r, self.group.shift) for r in (*EVEN, *ODD)))
            return
        if self.group.shift is None:
            shift = SHIFT.at("r3")
            self.add(vmov(shift, SHIFT), *(asr_reg(r, r, shift) for r in (*EVEN, *ODD)))
        self.add(*(ssat8(r, r) for r in (*EVEN, *ODD)))

    def stores(self) -> None:
        """Outputs: the place behind the window says where its first pixel goes, and how far behind that the others."""
        y, at, channel = Y_AT.at("r4"), Reg("at", BYTES_OUT, "r4"), CHANNEL.at("r0")
        first, *behind = (Reg(name, INT, f"r{p}") for p, name in enumerate(("first", "right1", "right2", "right3")))
        self.add(ldm(V, (first, *behind)), vmov(y, Y_AT), add_reg(at, y, first))
        for sums in (EVEN, ODD):
            self.add(strb(sums[0], at, 0), *(strb_reg(r, at, to) for r, to in zip(sums[1:], behind, strict=True)))
            if sums is EVEN:
                self.add(vmov(channel, CHANNEL), add_reg(at, at, channel))
