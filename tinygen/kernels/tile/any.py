"""Four pixels with windows of any length, without the stack pointer as a pointer to data: the program.

The window lies in scratch. Only two activations are held at a time, a cycle more for a pair of taps than where the
stack pointer points to them. The loop has eight pairs and is entered where so many are left that the last turn ends
with the last copy.
"""

from __future__ import annotations

import functools

from tinygen.kernels.armv7em import (
    add_reg,
    adds,
    adr,
    and_imm,
    blx,
    cmp,
    ldr,
    ldr_post,
    mla,
    mov,
    movs,
    orr_imm,
    rsb,
    smlad,
    sxtb16,
    vldm_post,
    vldr,
    vmov,
)
from tinygen.kernels.check import checked
from tinygen.kernels.print_asm import nodes_bytes
from tinygen.kernels.program import BITS, HALVES, INT, Node, Program, Reg
from tinygen.kernels.tile.program import (
    CHANNEL,
    EVEN,
    FILL,
    MEMBERS,
    ODD,
    OFFSET,
    PAIR,
    PAIR_BYTES,
    PAIR_END,
    PAIR_EVEN,
    PIXELS,
    SHIFT,
    W_AT,
    W_END,
    Y_AT,
    T,
    Tile,
    TileWriter,
    W,
    Y,
)

#: Pairs of taps in a turn of the loop, and its label.
TIMES, LOOP = 8, 1000

V = Reg("v", HALVES, "r10")
LEFT, RIGHT = Reg("x_left", BITS, "r8"), Reg("x_right", BITS, "r9")
# What is parked in registers of the FPU, besides what other tiles park.
ENTRY, WINDOW = Reg("entry", INT, "s10"), Reg("window", HALVES, "s11")


@functools.cache
def any_program() -> Program:
    """See the head of this file."""
    out = _Any(Tile((), False, 0, 0, 0, None, None))
    out.kernel()
    return checked(Program((T, W, Y), tuple(out.nodes)))


def _taps() -> tuple[Node, ...]:
    """A pair of taps of two channels, for all pixels."""
    even = PAIR_EVEN.at("r11")
    nodes: list[Node] = [ldr_post(PAIR, W_AT, 4), ldr_post(LEFT, V, 4), ldr_post(RIGHT, V, 4), sxtb16(even, PAIR)]
    for left in (0, 2):
        nodes += [ldr_post(LEFT, V, 4), ldr_post(RIGHT, V, 4)] if left else []
        for sums, pair in ((ODD, PAIR), (EVEN, even)):
            nodes += [smlad(sums[p], pair, x, sums[p]) for p, x in ((left, LEFT), (left + 1, RIGHT))]
    return tuple(nodes)


class _Any(TileWriter):
    """Writes it."""

    def kernel(self) -> None:
        """All channels."""
        t, w, y = T.at("r4"), W.at("r5"), Y.at("r6")
        window, fill, members = WINDOW.at("r1"), Reg("fill", FILL, "r3"), Reg("members", MEMBERS, "r4")
        self.add(mov(t, T), mov(w, W), mov(y, Y), ldr(window, T, 36), ldr(fill, T, 0), blx(fill, T, window))
        self.add(adds(members, t, 4), vldm_post(members, (W_END, OFFSET, SHIFT, *PIXELS, CHANNEL, PAIR_BYTES)))
        self.add(vldr(WINDOW, members.moved(32), 0), vmov(Y_AT, y), mov(W_AT, w))
        self.note("where the loop over taps is entered: four times so many are missing to eight")
        size, less, missing = PAIR_BYTES.at("r0"), Reg("less", INT, "r0"), Reg("missing", INT, "r0")
        quarter, first, entry = Reg("quarter", INT, "r1"), Reg("first", INT, "r2"), ENTRY.at("r0")
        self.add(vmov(size, PAIR_BYTES), rsb(less, size, 0), and_imm(missing, less, 4 * (TIMES - 1)))
        self.add(movs(quarter, nodes_bytes(_taps()) // 4), adr(first, LOOP), mla(entry, missing, quarter, first))
        self.add(orr_imm(entry, entry, 1), vmov(ENTRY, entry))
        self.channels()

    def sums(self) -> None:
        """Of all taps."""
        size, end = PAIR_BYTES.at("r12"), PAIR_END.at("r12")
        self.add(vmov(size, PAIR_BYTES), ldr_post(EVEN[0], W_AT, 4), ldr_post(ODD[0], W_AT, 4))
        self.add(add_reg(end, size, W_AT), vmov(V, WINDOW), vmov(PAIR_END, end), vmov(ENTRY.at("r12"), ENTRY))
        self.add(*(mov(r, EVEN[0]) for r in EVEN[1:]), *(mov(r, ODD[0]) for r in ODD[1:]))
        with self.entered("turns", ENTRY.at("r12"), LOOP, TIMES) as test:
            self.add(*_taps())
            test += [vmov(end, PAIR_END), cmp(W_AT, end)]
