"""The window of four pixels that share nothing, for any shape: the program that fills it.

Each run of neighbouring bytes becomes, for four bytes, the pairs (0, 2) and (1, 3); then (0, 1) of two bytes that are
left, then (0, anything) of one: the other half meets a weight of 0. [pair][pixel].
"""

from __future__ import annotations

import functools

from tinygen.kernels.armv7em import (
    add,
    add_reg,
    cmp_imm,
    ldm,
    ldr_post,
    ldrsb,
    ldrsb_post,
    mov,
    pkhbt_lsl16,
    stm_post,
    subs,
    sxtb16,
    sxtb16_ror8,
    tst,
    vldm,
    vmov,
)
from tinygen.kernels.check import checked
from tinygen.kernels.program import BITS, BYTES_IN, INT, PAIRS, Program, Reg, Writer
from tinygen.kernels.tile.program import PIXELS_AT, T

WINDOW, TO = Reg("window", PAIRS, "r1"), Reg("to", PAIRS, "lr")
#: The four pixels, and what is loaded of them.
X = tuple(Reg(f"x{p}", BYTES_IN, f"r{p}") for p in range(4))
FOUR, X02, X13 = (
    tuple(Reg(f"{n}{p}", BITS, f"r{r + p}") for p in range(4)) for n, r in (("four", 4), ("x02_", 4), ("x13_", 8))
)
ONE, TWO, BOTH = (
    tuple(Reg(f"{n}{p}", BITS, f"r{r + p}") for p in range(4)) for n, r in (("one", 4), ("two", 8), ("both", 4))
)
# What is parked in registers of the FPU.
QUADS, TAIL, RUNS, STEP = (
    Reg(name, INT, f"s{k}") for k, name in enumerate(("quads", "tail", "runs", "step"))
)  # fmt: skip


@functools.cache
def widen_program() -> Program:
    """See the head of this file."""
    out = _Widen()
    out.kernel()
    return checked(Program((T, WINDOW), tuple(out.nodes)))


class _Widen(Writer):
    """Writes it."""

    def kernel(self) -> None:
        """All runs."""
        members, runs, step = PIXELS_AT.at("r12"), RUNS.at("r12"), STEP.at("r12")
        self.add(mov(TO, WINDOW), add(members, T, members.type.at), ldm(members, X))
        self.add(vldm(members.moved(16), (QUADS, TAIL, RUNS, STEP)))
        with self.loop("runs", behind=True, short=True) as between:
            self.words()
            self.rest()
            self.add(vmov(runs, RUNS), subs(runs, runs, 1))
            between += [vmov(RUNS, runs), vmov(step, STEP), *(add_reg(x, x, step) for x in X)]

    def words(self) -> None:
        """Of a run."""
        left = Reg("left", INT, "r12")
        self.add(vmov(left, QUADS))
        with self.unless(cmp_imm(left, 0), "words"), self.loop("quads", short=True):
            self.note("four bytes of each pixel")
            self.add(*(ldr_post(four, x, 4) for four, x in zip(FOUR, X, strict=True)))
            self.add(*map(sxtb16_ror8, X13, FOUR), *map(sxtb16, X02, FOUR), stm_post(TO, (*X02, *X13)))
            self.add(subs(left, left, 1))

    def rest(self) -> None:
        """Bytes behind the words of a run."""
        tail = TAIL.at("r12")
        self.add(vmov(tail, TAIL))
        with self.unless(cmp_imm(tail, 0), "tails"):
            with self.unless(tst(tail, 2), "twos"):
                self.add(*(ldrsb(two, x, 1) for two, x in zip(TWO, X, strict=True)))
                self.add(*(ldrsb_post(one, x, 2) for one, x in zip(ONE, X, strict=True)))
                self.add(*map(pkhbt_lsl16, BOTH, ONE, TWO), stm_post(TO, BOTH))
            with self.unless(tst(tail, 1), "ones"):
                self.add(*(ldrsb_post(one, x, 1) for one, x in zip(ONE, X, strict=True)), stm_post(TO, ONE))
