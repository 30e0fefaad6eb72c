"""How packed indices become weights: what tiles and rows of these layers have in common.

A word of the table holds two weights as halves, by the index of the lower one and 2^bits times that of the upper one.
Above `PAIRED` bits there is none: an index is the weight itself, two's complement.
"""

from __future__ import annotations

from tinygen.kernels.armv7em import add, bic_imm, pkhbt_lsl16, sbfx
from tinygen.kernels.program import BITS, OCTETS, Instruction, Reg

#: Up to so many bits a table holds every two weights.
PAIRED = 4


def said_table(bits: int) -> str:
    """What a caller must know of it."""
    if bits > PAIRED:
        return "No table: an index is the weight, two's complement."
    return f"The table: {4**bits} words of two weights, by the index of the first + {2**bits} times that of the second."


def signed(packed: Reg, low: int, bits: int, both: tuple[Reg, Reg], temp: str) -> tuple[Instruction, ...]:
    """Four weights, two and two as halves, from four numbers; the second two take the place of what is packed."""
    first, second = both
    a, b, c, d = (Reg(f"w{k}", BITS, place) for k, place in enumerate((first.place, temp, temp, second.place)))
    fields = [sbfx(w, packed, low + k * bits, bits) for k, w in enumerate((a, b, c, d))]
    return (*fields[:2], pkhbt_lsl16(first, a, b), *fields[2:], pkhbt_lsl16(second, c, d))


def next_word(to: Reg, at: Reg) -> tuple[Instruction, ...]:
    """Past the indices, which end with a word."""
    last = Reg("last", OCTETS, to.place)
    return add(last, at, 3), bic_imm(to, last, 3)
