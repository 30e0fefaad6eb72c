"""Four channels of a fully connected layer whose weights are indices: the program.

Their sums go to `sums`. The stream of four channels: biases; for every eight inputs the indices of each channel in
turn; up to a whole word; multipliers, whose place is returned. `x` are pairs of halves, four for eight inputs: inputs
(0, 2), (1, 3), (4, 6), (5, 7).

Of a `plain` kernel, of 4 bits, an index is the weight + 8; of eight the lower halves of all pairs come first, so that a
mask takes both weights of a pair at once.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from tinygen.kernels.armv7em import (
    and_lsr,
    and_reg,
    cmp,
    ldm,
    ldr_at,
    ldr_post,
    ldrb_post,
    ldrh_post,
    mov,
    mov_imm,
    reload,
    smlad,
    stm,
    ubfx,
    vmov,
)
from tinygen.kernels.check import checked
from tinygen.kernels.kernel import Kernel
from tinygen.kernels.palette.weights import PAIRED, next_word, signed
from tinygen.kernels.program import (
    BITS,
    INT,
    OCTETS,
    PAIRS_IN,
    WORDS_IN,
    WORDS_OUT,
    Instruction,
    Program,
    Reg,
    Writer,
)

#: Of an index in both halves.
MASK = 0x000F000F

W, X, X_END = Reg("w", WORDS_IN, "r0"), Reg("x", PAIRS_IN, "r1"), Reg("x_end", PAIRS_IN, "r2")
TABLE, SUMS = Reg("table", WORDS_IN, "r3"), Reg("sums", WORDS_OUT, "[sp, #36]")
#: The stream, at a word, and anywhere.
AT_WORD = Reg("at", replace(OCTETS, align=4), "lr")
AT = Reg("at", OCTETS, "lr")
X_AT, END = Reg("x_at", PAIRS_IN, "s0"), X_END.at("s1")
SUM = tuple(Reg(f"sum{c}", INT, f"r{8 + c}") for c in range(4))
INDEX = tuple(Reg(f"index{k}", BITS, f"r{k}") for k in range(4))
WEIGHT = tuple(Reg(f"w{k}", BITS, f"r{k}") for k in range(4))
PAIR = tuple(Reg(f"x{k}", BITS, f"r{4 + k}") for k in range(4))
MASKS = Reg("mask", BITS, "r12")


@dataclass(frozen=True, slots=True)
class PaletteFourKernel(Kernel):
    """Four channels of weights that are indices of so many bits."""

    name: str
    brief: str
    bits: int
    plain: bool

    @property
    def include(self) -> str:
        return "tg_platform.h"

    @property
    def contract(self) -> str:
        return "Sums of four channels; gives where their multipliers are."

    @property
    def program(self) -> Program:
        return palette_four(self.bits, plain=self.plain)


@functools.lru_cache(maxsize=8)
def palette_four(bits: int, *, plain: bool) -> Program:
    """See the head of this file."""
    out = Writer()
    out.add(vmov(X_AT, X), vmov(END, X_END), mov(AT_WORD, W))
    out.add(mov_imm(MASKS, MASK) if plain else mov(TABLE.at("r12"), TABLE))
    out.add(ldm(AT_WORD, SUM))
    at = X_AT.at("r0")
    with out.loop("octets"):
        out.note("eight inputs")
        out.add(vmov(at, X_AT), ldm(at, PAIR), vmov(X_AT, at))
        for total in SUM:
            out.add(*octet(bits, total, plain=plain))
        end = END.at("r1")
        out.add(vmov(at, X_AT), vmov(end, END), cmp(at, end))
    m, to = Reg("m", WORDS_IN, "r0"), SUMS.at("r1")
    out.add(reload(to, SUMS), *next_word(m, AT), stm(to, SUM))
    return checked(Program((W, X, X_END, TABLE, SUMS), tuple(out.nodes), result=m))


def octet(bits: int, total: Reg, *, plain: bool) -> tuple[Instruction, ...]:
    """Eight inputs of one channel."""
    if bits > PAIRED:
        return (*_four_numbers(bits, 0, total), *_four_numbers(bits, 1, total))
    products = tuple(smlad(total, w, x, total) for w, x in zip(WEIGHT, PAIR, strict=True))
    if plain:
        all_ = Reg("packed", BITS, "r0")
        fields = (and_lsr(WEIGHT[k], MASKS, all_, 4 * k) for k in (1, 2, 3))
        return (ldr_post(all_, AT, 4), *fields, and_reg(WEIGHT[0], MASKS, all_), *products)
    table = TABLE.at("r12")
    lookups = tuple(ldr_at(w, table, index) for w, index in zip(WEIGHT, INDEX, strict=True))
    if bits == PAIRED:
        return (*(ldrb_post(index, AT, 1) for index in INDEX), *lookups, *products)
    packed = Reg("packed", BITS, "r3")
    load = ldrh_post(packed, AT, 2) if bits == 2 else ldr_post(packed, AT, 3)
    fields = (ubfx(index, packed, 2 * bits * k, 2 * bits) for k, index in enumerate(INDEX))
    return (load, *fields, *lookups, *products)


def _four_numbers(bits: int, which: int, total: Reg) -> tuple[Instruction, ...]:
    """Four inputs, the first or the second, whose weights are the indices."""
    start, end = 4 * bits * which, 4 * bits * (which + 1)
    packed, pairs = Reg("packed", BITS, "r1"), (Reg("w_a", BITS, "r0"), Reg("w_b", BITS, "r1"))
    products = (smlad(total, w, x, total) for w, x in zip(pairs, PAIR[2 * which :], strict=False))
    load = ldr_post(packed, AT, end // 8 - start // 8)
    return (load, *signed(packed, start % 8, bits, pairs, "r2"), *products)
