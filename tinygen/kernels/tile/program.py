"""A tile: all channels of four pixels, or three, two channels at a time: the program.

`fill` writes the window of the pixels: words of two activations. A word of the stream holds the raw pairs
256 * odd + even of the weights of two taps: SMLAD of it gives the odd channel's sum times 256 plus the even one's, and
SMLAD of its SXTB16 the even one's. The stack pointer is the window's pointer, which frees the register that makes two
channels by four pixels possible; it only moves up, inside the frame: interrupts may come at any time.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from tinygen.kernels.armv7em import (
    add,
    add_reg,
    adds,
    addw,
    asr_reg,
    blx,
    cmp,
    ldr,
    ldr_post,
    lsl,
    mov,
    smlad,
    smmla,
    ssat8,
    ssat8_asr,
    strb,
    strb_post,
    strb_reg,
    sub,
    sub_reg,
    sxtb16,
    vldm,
    vmov,
)
from tinygen.kernels.check import checked
from tinygen.kernels.program import BITS, BYTES_OUT, HALVES, INT, WORDS_IN, Node, Note, Program, Reg, Type, Writer

#: tg_tile_t, by offset on the core.
_MEMBERS = (
    (0, "fill"), (4, "w_end"), (8, "offset"), (12, "shift"), (16, "y_pixel[0]"), (20, "y_pixel[1]"), (24, "y_pixel[2]"),
    (28, "y_channel"), (32, "pair_bytes"), (36, "window"), (40, "x[0]"), (44, "x[1]"), (48, "x[2]"),
    (52, "x[3]"), (56, "quads"), (60, "tail"), (64, "runs"), (68, "step"), (72, "window_end"), (76, "table"),
)  # fmt: skip
TILE = Type("const tg_tile_t *", 1, 4, _MEMBERS)
MEMBERS = Type(TILE.c, 1, 4, _MEMBERS, at=4)
PIXELS_AT = Reg("pixels_at", Type(TILE.c, 1, 4, _MEMBERS, at=40), "r12")
FILL = Type("tg_tile_fill_t")

T, W, Y = Reg("t", TILE, "r0"), Reg("w", WORDS_IN, "r1"), Reg("y", BYTES_OUT, "r2")
W_AT, V = Reg("w_at", WORDS_IN, "lr"), Reg("v", HALVES, "sp")
#: Sums of both channels, one a pixel; those of the odd channel raw.
EVEN, ODD = (tuple(Reg(f"{n}{p}", INT, f"r{r + p}") for p in range(4)) for n, r in (("even", 0), ("odd", 4)))
PAIR, PAIR_EVEN = Reg("pair", BITS, "r12"), Reg("pair_even", BITS, "r12")
#: Activations, by their register.
X = {f"r{8 + k}": Reg(f"x{k}", BITS, f"r{8 + k}") for k in range(4)}
# What is parked in registers of the FPU.
Y_AT, W_END, OFFSET, SHIFT = (
    Reg("y_at", BYTES_OUT, "s0"), Reg("w_end", WORDS_IN, "s1"), Reg("offset", INT, "s2"), Reg("shift", INT, "s3"),
)  # fmt: skip
PIXELS = tuple(Reg(f"y_pixel{p}", INT, f"s{3 + p}") for p in (1, 2, 3))
CHANNEL, PAIR_BYTES = Reg("y_channel", INT, "s7"), Reg("pair_bytes", INT, "s8")
PAIR_END, V_START = Reg("pair_end", WORDS_IN, "s9"), Reg("v_start", HALVES, "s10")
W_LAST = Reg("w_last", WORDS_IN, "s11")


@dataclass(frozen=True, slots=True)
class Word:
    """One word of weights: (register, offset in the window) of the activations to load for it, and the register of each
    pixel's. `first`: pixel 0's sums are where the others start."""

    loads: tuple[tuple[str, int], ...]
    regs: tuple[str, ...]
    first: bool

    @property
    def order(self) -> tuple[int, ...]:
        """Pixel 0 comes last where its sum starts as the others' bias."""
        return (*range(1, len(self.regs)), 0)


@dataclass(frozen=True, slots=True)
class Tile:
    """`window` and `dead` (free below it) are bytes of stack; `advance`, bytes from one turn of a looped kernel to the
    next; `shift` and `y` (bytes from pixel to pixel, from channel to channel) are None where the caller says them.
    `odd`: it takes the last of an odd number of channels too, with the one before it once more."""

    steps: tuple[Word, ...]
    looped: bool
    advance: int
    window: int
    dead: int
    shift: int | None
    y: tuple[int, int] | None
    pixels: int = 4
    odd: bool = False

    @property
    def frame(self) -> int:
        """Bytes of both."""
        return self.window + self.dead


@functools.lru_cache(maxsize=64)
def tile_program(tile: Tile) -> Program:
    """See the head of this file."""
    out = TileWriter(tile)
    out.kernel()
    return checked(Program((T, W, Y), tuple(out.nodes), tile.frame, V))


class Pairs(Writer):
    """Writes what all kernels of tiles have in common: sums of two channels from a window, and outputs of them. `lift`:
    sums of the even channel are shifted left by so much."""

    def __init__(self, window: Reg, pixels: int, shift: int | None, lift: int = 0) -> None:
        super().__init__()
        self.window = window
        self.even, self.odd = EVEN[:pixels], ODD[:pixels]
        self.shift, self.lift = shift, lift

    def word(self, word: Word) -> tuple[Node, ...]:
        """One word of weights: two taps of two channels, for all pixels."""

        def products(sums: tuple[Reg, ...], pair: Reg) -> list[Node]:
            return [smlad(sums[p], pair, X[word.regs[p]], sums[0 if word.first else p]) for p in word.order]

        loads = [ldr(X[place], self.window, offset) for place, offset in word.loads]
        start = [ldr_post(PAIR, W_AT, 4), *loads, *products(self.odd, PAIR)]
        return (*start, sxtb16(PAIR_EVEN, PAIR), *products(self.even, PAIR_EVEN))

    def outputs(self) -> None:
        """Requantise: the multiplier of the even channel, and that of the odd one over 256."""
        self.note("requantise")
        m_even, m_odd, offset = Reg("m_even", INT, "r8"), Reg("m_odd", INT, "r9"), OFFSET.at("r10")
        self.add(ldr_post(m_even, W_AT, 4), ldr_post(m_odd, W_AT, 4), vmov(offset, OFFSET))
        self.add(*(sub_reg(odd, odd, even) for even, odd in zip(self.even, self.odd, strict=True)))
        if self.lift:
            self.add(*(lsl(r, r, self.lift) for r in self.even))
        self.add(*(smmla(r, r, m_even, offset) for r in self.even), *(smmla(r, r, m_odd, offset) for r in self.odd))
        both = [r for pair in zip(self.even, self.odd, strict=True) for r in pair]
        if self.shift:
            self.add(*(ssat8_asr(r, r, self.shift) for r in both))
        else:
            shift = SHIFT.at("r11")
            self.add(vmov(shift, SHIFT), *(asr_reg(r, r, shift) for r in both), *(ssat8(r, r) for r in both))


class TileWriter(Pairs):
    """Writes one kernel."""

    def __init__(self, tile: Tile) -> None:
        super().__init__(V, tile.pixels, tile.shift)
        self.tile = tile

    def kernel(self) -> None:
        """All channels."""
        t, w, y = T.at("r4"), W.at("r5"), Y.at("r6")
        window, fill, members = Reg("window", HALVES, "r1"), Reg("fill", FILL, "r3"), Reg("members", MEMBERS, "r4")
        self.add(mov(t, T), mov(w, W), mov(y, Y))
        self.add(addw(window, V, self.tile.dead), ldr(fill, T, 0), blx(fill, T, window))
        self.add(adds(members, t, 4), vldm(members, (W_END, OFFSET, SHIFT, *PIXELS, CHANNEL, PAIR_BYTES)))
        self.add(vmov(Y_AT, y), mov(W_AT, w))
        if self.tile.odd:
            end, size, last = W_END.at("r10"), PAIR_BYTES.at("r11"), W_LAST.at("r10")
            self.add(vmov(end, W_END), vmov(size, PAIR_BYTES), add_reg(last, end, size), add(last, last, 16))
            self.add(vmov(W_LAST, last))
        if self.tile.looped:
            self.add(mov(V_START.at("r12"), V), vmov(V_START, V_START.at("r12")))
        if not self.tile.odd:
            self.channels()
            return
        with self.loop("rounds", behind=True) as between:
            self.channels()
            last, y = W_LAST.at("r11"), Y_AT.at("r12")
            self.add(vmov(last, W_LAST), cmp(W_AT, last))
            between += [Note("the last two channels: one of them again"), vmov(W_END, last)]
            if self.tile.y:
                between.append(sub(y, y, self.tile.y[1]))
            else:
                between += [vmov(CHANNEL.at("r10"), CHANNEL), sub_reg(y, y, CHANNEL.at("r10"))]
            between.append(vmov(Y_AT, y))

    def channels(self) -> None:
        """Two by two, up to an end of the stream."""
        with self.loop("pairs"):
            self.note("two channels")
            self.sums()
            self.outputs()
            self.stores()
            end, y = W_END.at("r10"), Y_AT.at("r12")
            self.add(vmov(end, W_END), vmov(Y_AT, y), cmp(W_AT, end))

    def sums(self) -> None:
        """Of all taps."""
        first = [ldr_post(self.even[0], W_AT, 4), ldr_post(self.odd[0], W_AT, 4)]
        words = [self.word(w) for w in self.tile.steps]
        if not self.tile.looped:
            self.add(*first, *words[0])
            with self.copies() as copies:
                copies += words[1:]
            return
        size, end = PAIR_BYTES.at("r12"), PAIR_END.at("r12")
        self.add(vmov(size, PAIR_BYTES), *first, add_reg(end, size, W_AT), vmov(PAIR_END, end))
        for even, odd in zip(self.even[1:], self.odd[1:], strict=True):
            self.add(mov(even, self.even[0]), mov(odd, self.odd[0]))
        with self.loop("all pairs of taps", most=self.tile.dead // self.tile.advance + 1) as between:
            with self.copies() as copies:
                copies += words
            self.add(vmov(end, PAIR_END), cmp(W_AT, end))
            # not behind the last turn: the window would be below the stack pointer
            between.append(addw(V, V, self.tile.advance))
        start = V_START.at("r12")
        self.add(vmov(start, V_START), mov(V, start))

    def stores(self) -> None:
        """Outputs, and on to the next two channels."""
        y, pixels = Y_AT.at("r12"), range(self.tile.pixels)
        self.add(vmov(y, Y_AT))
        if self.tile.y:
            right, down = self.tile.y
            self.add(*(strb(self.even[p], y, p * right) for p in pixels[1:]))
            self.add(*(strb(self.odd[p], y, p * right + down) for p in pixels))
            if 2 * down < 256:
                self.add(strb_post(self.even[0], y, 2 * down))
            else:
                self.add(strb(self.even[0], y, 0), addw(y, y, 2 * down))
            return
        at, channel = [PIXELS[p - 1].at(f"r{7 + p}") for p in pixels[1:]], CHANNEL.at("r11")
        self.add(*(vmov(to, of) for to, of in zip(at, PIXELS, strict=False)), vmov(channel, CHANNEL))
        for sums in (self.even, self.odd):
            self.add(strb(sums[0], y, 0), *(strb_reg(r, y, to) for r, to in zip(sums[1:], at, strict=True)))
            self.add(add_reg(y, y, channel))
