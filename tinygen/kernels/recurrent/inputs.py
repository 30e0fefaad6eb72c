"""What x brings to the sums of two steps at once: each weight is loaded once for both.

Two row pairs at a time: r6-r9 sums of the first step, r10-r12 and lr of the second, whose x lies behind that of the
first in the window.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from tinygen.kernels.armv7em import (
    cmp,
    ldm,
    ldr,
    lsl,
    mov,
    pkhbt_lsl16,
    smlad,
    smmulr,
    ssat_half,
    str_post,
    sub_reg,
    sxtb16,
    vldm,
    vmov,
)
from tinygen.kernels.check import checked
from tinygen.kernels.program import BITS, INT, WORDS_OUT, Instruction, Program, Reg, Type
from tinygen.kernels.recurrent.program import STREAM, W_END, WINDOW, Sums, multipliers

S = Reg("s", Type("const tg_inputs_step_t *", 1, 4, ((0, "w"), (4, "w_end"), (8, "first"), (12, "second"))), "r0")
TO = (Reg("first", WORDS_OUT, "s10"), Reg("second", WORDS_OUT, "s11"))
#: Sums of both row pairs, even and odd by turns.
FIRST = tuple(Reg(f"a{k}", INT, f"r{6 + k}") for k in range(4))
SECOND = tuple(Reg(f"b{k}", INT, place) for k, place in enumerate(("r10", "r11", "r12", "lr")))


@functools.lru_cache(maxsize=32)
def inputs_step(words: int) -> Program:
    """For so many pairs of halves of x. See the head of this file, and of program.py."""
    out = _Inputs(words)
    out.kernel()
    return checked(Program((S, WINDOW), tuple(out.nodes)))


class _Inputs(Sums):
    gates = ("0", "1")

    def __init__(self, words: int) -> None:
        super().__init__(looped=False)
        self.x_words = words

    def kernel(self) -> None:
        """All row pairs."""
        self.add(vldm(S, (STREAM, W_END, *TO)), mov(self.v, WINDOW), vmov(self.at, STREAM))
        with self.loop("blocks"):
            self.note("two row pairs, of which the biases stand in the first step's sums")
            self.add(ldm(self.at, FIRST))
            plain = [list(self._pair(k, self._loads(k))) for k in range(self.x_words)]
            self.ordered(plain, self._order_of_pairs)
            self.requantise()
            ends = [to.at(f"r{k}") for k, to in enumerate(TO)]
            end = W_END.at("r2")
            self.add(*(vmov(at, to) for at, to in zip(ends, TO, strict=True)), vmov(end, W_END))
            for at, half in zip(ends, (FIRST, SECOND), strict=True):
                self.add(*(str_post(_pair_of(half, k), at, 4) for k in (0, 2)))
            self.add(*(vmov(to, at) for at, to in zip(ends, TO, strict=True)))
            self.advance()
            self.add(cmp(self.at, end))

    def requantise(self) -> None:
        """Into pairs of halves."""
        m = multipliers(4)
        for half in (FIRST, SECOND):
            self.add(*(sub_reg(half[k + 1], half[k + 1], half[k]) for k in (0, 2)))
            self.add(*(lsl(half[k], half[k], 8) for k in (0, 2)))
        self.next_words(m)
        for half in (FIRST, SECOND):
            self.add(*(smmulr(r, r, by) for r, by in zip(half, m, strict=True)))
        self.add(*(ssat_half(r, r) for r in (*FIRST, *SECOND)))
        for half in (FIRST, SECOND):
            self.add(*(pkhbt_lsl16(_pair_of(half, k), half[k], half[k + 1]) for k in (0, 2)))

    def _order_of_pairs(self) -> Iterator[Instruction]:
        """As C has them, with pointers that move."""
        for k in range(self.x_words):
            yield from self._pair(k, self.load([(k, 0, "r2"), (k, 1, "r3")]))

    def _loads(self, k: int) -> Iterator[Instruction]:
        for g in range(2):
            yield ldr(Reg(f"w_{g}", BITS, f"r{2 + g}"), self.at, 8 * k + 4 * g)

    def _pair(self, k: int, loads: Iterator[Instruction]) -> Iterator[Instruction]:
        """One word of each x, against the words of two row pairs."""
        x = (Reg("x_first", BITS, "r0"), Reg("x_second", BITS, "r1"))
        yield ldr(x[0], self.v, 4 * k)
        yield ldr(x[1], self.v, 4 * (k + self.x_words))
        words = list(loads)
        yield from words
        for w, i in zip((found.reg("d") for found in words), (0, 2), strict=True):
            yield smlad(SECOND[i + 1], w, x[1], SECOND[i + 1] if k else FIRST[i + 1])
            yield smlad(FIRST[i + 1], w, x[0], FIRST[i + 1])
            yield sxtb16(w, w)
            yield smlad(SECOND[i], w, x[1], SECOND[i] if k else FIRST[i])
            yield smlad(FIRST[i], w, x[0], FIRST[i])


def _pair_of(half: tuple[Reg, ...], k: int) -> Reg:
    return Reg(f"{half[k]}_{k + 1}", BITS, half[k].place)
