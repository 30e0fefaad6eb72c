"""Depthwise convolution of one row of k taps on planes, stride 1, made for one shape: the program.

`taps_program(config, k, looped)`: `config` as for program.py. P(i) = (x[i], x[i + 2]): a word of four bytes at i gives
P(i) and P(i + 1) by two SXTB16, and one SMLAD takes two taps. Three ways, after the number of taps:

- up to 7, *ring*: outputs one after the other; a ring of words in registers slides along, each is loaded once.
- up to 12, *phases*: outputs 0, 4, 8, ... then 1, 5, 9, ...: they share words, each goes to all outputs that need it.
- above, *stream*: weights are loaded again for each output; meant for rows with few outputs.

A channel has a multiplier, the bias, and words of weights: pairs of taps, the last with the zero point in its low half.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tinygen.kernels.armv7em import (
    add,
    cmp,
    ldm,
    ldr,
    ldr_post,
    ldrh,
    mla,
    movw,
    smlabt,
    smlad,
    smlatt,
    smmlar,
    ssat16,
    strb,
    sub,
    sxtb16,
    sxtb16_ror8,
    vldm_post,
    vmov,
)
from tinygen.kernels.plane.program import (
    BIAS,
    PARAMS,
    REACH,
    W_END,
    W_KEPT,
    X_NEXT,
    Y_NEXT,
    M,
    W,
    X,
    Y,
    moved,
)
from tinygen.kernels.program import BITS, BYTES_IN, BYTES_OUT, INT, WORDS_IN, Op, Program, Reg, Writer

#: Outputs of one round of the phases; longer rows take several rounds.
CHUNK = 32
RING_TAPS = 7
PHASE_TAPS = 12

SUM = Reg("sum", INT, "lr")
# What is parked in registers of the FPU, besides what program.py says.
ROWS_END, OUTPUTS_END, PHASES_END = (
    Reg(f"{name}_end", BYTES_IN, place) for name, place in (("rows", "s2"), ("outputs", "s3"), ("phases", "s4"))
)
X_ROW, Y_ROW = Reg("x_row", BYTES_IN, "s6"), Reg("y_row", BYTES_OUT, "s7")
#: Of a stream: the channel's weights, and those to be loaded next.
WEIGHTS, W_TAPS = Reg("weights", WORDS_IN, "s5"), Reg("w_taps", WORDS_IN, "r12")


def dwrow_words(k: int) -> int:
    """Words of weights: pairs of taps, and the last with the zero point."""
    return 2 * (k // 4) + 1 + (k & 2) // 2


def taps_program(config: Mapping[str, int], k: int, *, looped: bool) -> Program:
    """See the head of this file. `looped`: over the outputs, else they are unrolled."""
    writer = _Ring if k <= RING_TAPS else _Phases if k <= PHASE_TAPS else _Stream
    taps = writer(config, k, looped=looped)
    taps.kernel()
    return Program(PARAMS, tuple(taps.nodes))


class _Taps(Writer):
    """What the three ways have in common: channels, rows, and the end of an output."""

    def __init__(self, config: Mapping[str, int], k: int, *, looped: bool) -> None:
        super().__init__()
        self.c, self.k, self.looped = config, k, looped
        self.words = dwrow_words(k)
        #: How far x_at and y_at are ahead of the row's start.
        self.x_ahead = self.y_ahead = 0
        #: The weights; the last holds the zero point.
        self.w: list[Reg] = []
        #: The bias, where a register is left for it.
        self.bias: Reg | None = None

    def constants(self) -> None:
        """Load a channel's constants from w_at, and move it behind them."""
        weights = tuple(self.w)
        if self.bias is not None:
            self.add(ldm(W, (M, self.bias, *weights)))
        else:
            self.add(ldr_post(M, W, 4), vldm_post(W, (BIAS,)), ldm(W, weights))

    def row(self) -> None:
        """All outputs of a row; may leave x_at and y_at anywhere."""
        raise NotImplementedError

    def kernel(self) -> None:
        """All channels."""
        cfg, x, w, y = PARAMS
        channels, size, end = Reg("channels", INT, "r12"), Reg("size", INT, "r0"), W_END.at("r12")
        self.add(ldrh(channels, cfg, 0), movw(size, 4 * (2 + self.words)), mla(end, channels, size, w))
        self.add(vmov(X_NEXT, x), vmov(W_KEPT, w), vmov(Y_NEXT, y), vmov(W_END, end))
        with self.loop("channels"):
            self.note("a channel: its constants, and where the next one lies")
            self.add(vmov(X, X_NEXT), vmov(W, W_KEPT), vmov(Y, Y_NEXT))
            x_next, y_next = X_NEXT.at("lr"), Y_NEXT.at("lr")
            self.move(x_next, X, self.c["plane_stride"])
            self.add(vmov(X_NEXT, x_next))
            self.move(y_next, Y, self.c["out_chan"])
            self.add(vmov(Y_NEXT, y_next))
            self.constants()
            self.add(vmov(W_KEPT, W))
            self.rows()
            at, end = W.at("r0"), W_END.at("r1")
            self.add(vmov(at, W_KEPT), vmov(end, W_END), cmp(at, end))

    def rows(self) -> None:
        """Of a plane."""
        rows, step = self.c["out_h"], self.c["row_stride"]
        if rows == 1:
            self.row()
            return
        with self.until(ROWS_END, rows, step, "lr"):
            self.add(vmov(X_ROW, X), vmov(Y_ROW, Y))
            self.row()
            x_row, y_row = X_ROW.at("r0"), Y_ROW.at("r2")
            self.add(vmov(x_row, X_ROW), vmov(y_row, Y_ROW))
            self.move(X, x_row, step, "lr")
            self.move(Y, y_row, self.c["out_row"], "lr")

    @contextmanager
    def until(self, end: Reg, turns: int, step: int, temp: str, before: str = "") -> Iterator[None]:
        """A loop of so many turns, in each of which x_at moves by `step`; `temp`: a register that is free at its end,
        `before`: another one that is free before it."""
        first, near = end.at(before or temp), end.at(temp)
        self.move(first, X, turns * step)
        self.add(vmov(end, first))
        with self.loop(turns):
            yield
            self.add(vmov(near, end), cmp(X, near))

    def move(self, to: Reg, of: Reg, n: int, temp: str = "") -> None:
        """to = of + n bytes."""
        self.add(*moved(to, of, n, temp).nodes)

    def rewind(self, x: int, y: int, temp: str) -> None:
        """Set x_at and y_at to bytes x and y from the row's start, which is the new start."""
        self.move(X, X, x - self.x_ahead, temp)
        self.move(Y, Y, y - self.y_ahead, temp)
        self.x_ahead = self.y_ahead = 0

    def word(self, at: int, even: Reg, odd: Reg) -> None:
        """P(at) and P(at + 1)."""
        offset = at - self.x_ahead
        if offset > REACH:
            self.move(X, X, offset, odd.place)
            self.x_ahead, offset = at, 0
        four = Reg("four", BITS, odd.place)
        self.add(ldr(four, X, offset), sxtb16(even, four), sxtb16_ror8(odd, four))

    def products(self, total: Reg, start: Reg, terms: Sequence[tuple[Op, Reg, Reg]]) -> None:
        """total = start + all of (the product, activations, weights)."""
        for op, x, w in terms:
            self.add(op(total, x, w, start))
            start = total

    def finish(self, out: int, total: Reg) -> None:
        """Requantise, clamp and store: the high half of the zero point's word is added too, but not looked at."""
        made = Reg("out", BITS, total.place)
        self.add(smmlar(total, total, M, self.w[-1]), ssat16(made, 8, total))
        at = out * self.c["out_col"] - self.y_ahead
        if not -255 <= at <= REACH:  # outputs of a phase are four apart: the next phase goes back
            self.y_ahead += at
            way, left = (add, at) if at > 0 else (sub, -at)
            while left:
                self.add(way(Y, Y, min(left, REACH)))
                left -= min(left, REACH)
            at = 0
        self.add(strb(made, Y, at))


class _Ring(_Taps):
    """Outputs one after the other, two for each word."""

    def __init__(self, config: Mapping[str, int], k: int, *, looped: bool) -> None:
        super().__init__(config, k, looped=looped)
        #: Words that are live at once.
        self.depth = {2: 1, 3: 1, 4: 2, 5: 2, 6: 3, 7: 3}[k]
        free = _free()
        if self.words + 2 * self.depth < len(free):
            self.bias = BIAS.at(free.pop(0))
        self.w = _weights(free[: self.words])
        names = [f"{name}{slot}" for slot in range(self.depth) for name in ("even", "odd")]
        self.x = [Reg(name, BITS, place) for name, place in zip(names, free[self.words :], strict=False)]

    def load(self, i: int) -> None:
        """Word i: P(2 * i) and P(2 * i + 1)."""
        slot = 2 * (i % self.depth)
        self.word(2 * i, self.x[slot], self.x[slot + 1])

    def of(self, p: int) -> Reg:
        """Where P(p) is."""
        return self.x[2 * (p // 2 % self.depth) + p % 2]

    def output(self, o: int) -> None:
        """One output."""
        k, whole = self.k, self.k - self.k % 4
        terms: list[tuple[Op, Reg, Reg]] = []
        for t in range(0, whole, 4):
            terms += [(smlad, self.of(o + t), self.w[t // 2]), (smlad, self.of(o + t + 1), self.w[t // 2 + 1])]
        if k % 4 == 3:
            terms.append((smlad, self.of(o + whole), self.w[-2]))
        singles = {0: [], 1: [(whole, -1)], 2: [(whole, -2), (whole + 1, -1)], 3: [(whole + 1, -1)]}[k % 4]
        for t, index in singles:
            upper = o + t - 2 >= o // 2 * 2  # x[o + t] is in a pair that is still there, or in one of its own
            op, at = (smlatt, o + t - 2) if upper else (smlabt, o + t)
            terms.append((op, self.of(at), self.w[index]))
        start = self.bias or SUM
        if self.bias is None:
            self.add(vmov(SUM, BIAS))
        self.products(SUM, start, terms)
        self.finish(o, SUM)

    def pairs(self, n: int) -> None:
        """The next n pairs of outputs."""
        with self.copies() as copies:
            for pair in range(n):
                with self.copy(copies):
                    self.load(pair + self.depth - 1)
                    self.output(2 * pair)
                    self.output(2 * pair + 1)

    def row(self) -> None:
        self.x_ahead = self.y_ahead = 0
        pairs, single = divmod(self.c["out_w"], 2)
        for i in range(self.depth - 1):
            self.load(i)
        around = 3 if self.depth == 3 else 4
        rounds = pairs // around if self.looped else 0
        if rounds > 1:
            with self.until(OUTPUTS_END, rounds, 2 * around, "lr"):
                self.pairs(around)
                self.rewind(2 * around, 2 * around * self.c["out_col"], "lr")
            pairs -= around * rounds
        self.pairs(pairs)
        if single:
            self.load(pairs + self.depth - 1)
            self.output(2 * pairs)


class _Phases(_Taps):
    """Every fourth output at a time: they use the same words."""

    def __init__(self, config: Mapping[str, int], k: int, *, looped: bool) -> None:
        super().__init__(config, k, looped=looped)
        #: Words an output reads.
        self.reach = -(-k // 4)
        free = _free()
        if self.words + self.reach + 1 <= len(free):
            self.bias = BIAS.at(free.pop(0))
        self.w = _weights(free[: self.words])
        rest = [*free[self.words :], "lr"]
        self.sums = [Reg(f"sum{i}", INT, place) for i, place in enumerate(rest[: self.reach - 1])]
        even, odd = rest[self.reach - 1 : self.reach + 1]
        self.even, self.odd = Reg("even", BITS, even), Reg("odd", BITS, odd)

    def phase(self, first: int, count: int) -> None:
        """Outputs first, first + 4, ..."""
        with self.copies() as copies:
            for j in range(count + self.reach - 1):
                with self.copy(copies):
                    self.step(first, j, count)

    def step(self, first: int, j: int, count: int) -> None:
        """Word j of a phase, for all outputs that read it."""
        self.word(first + 4 * j, self.even, self.odd)
        for word in range(self.reach - 1, -1, -1):
            out = j - word
            if 0 <= out < count:
                total = self.sums[out % len(self.sums)]
                start = total
                if word == 0 and self.bias is not None:
                    start = self.bias
                elif word == 0:
                    self.add(vmov(total, BIAS))
                self.products(total, start, _rest(self.k - 4 * word, self.even, self.odd, self.w, 2 * word))
                if word == self.reach - 1:
                    self.finish(first + 4 * out, total)

    def phases(self, first: int, end: int, count: int) -> None:
        """Phases with so many outputs each."""
        if not self.looped or end - first < 2:
            for phase in range(first, end):
                self.phase(phase, count)
            return
        temp, col = self.odd.place, self.c["out_col"]
        self.rewind(first, first * col, temp)
        with self.until(PHASES_END, end - first, 1, temp):
            self.phase(0, count)
            self.rewind(1, col, temp)
        self.x_ahead, self.y_ahead = end, end * col

    def outputs(self, n: int) -> None:
        """The next n outputs."""
        count, more = divmod(n, 4)
        self.phases(0, more, count + 1)
        if count:
            self.phases(more, 4, count)

    def row(self) -> None:
        self.x_ahead = self.y_ahead = 0
        chunks, rest = divmod(self.c["out_w"], CHUNK)
        if chunks:
            with self.until(OUTPUTS_END, chunks, CHUNK, self.odd.place):
                self.outputs(CHUNK)
                self.rewind(CHUNK, CHUNK * self.c["out_col"], self.odd.place)
        if rest:
            self.outputs(rest)


class _Stream(_Taps):
    """One output after the other, with weights from memory."""

    def constants(self) -> None:
        self.add(vldm_post(W, (M.at("s1"),)), vldm_post(W, (BIAS,)), vmov(WEIGHTS, W))
        self.move(W, W, 4 * self.words, "lr")

    def row(self) -> None:
        n, col = self.c["out_w"], self.c["out_col"]
        self.x_ahead = self.y_ahead = 0
        if n == 1:
            self.output()
            return
        with self.until(OUTPUTS_END, n, 1, "r1", before="lr"):
            self.output()
            self.rewind(1, col, "r1")

    def output(self) -> None:
        """One output."""
        self.add(vmov(W_TAPS, WEIGHTS), vmov(SUM, BIAS))
        with self.copies() as copies:
            for first in range(0, self.words, 6):
                self.w = _weights(_free()[: min(self.words - first, 6)])
                with self.copy(copies):
                    self.taps(2 * first, last=first + 6 >= self.words)
        self.add(vmov(M, M.at("s1")))
        self.finish(0, SUM)

    def taps(self, at: int, *, last: bool) -> None:
        """The taps of up to six words of weights, from tap `at` on."""
        words = -(-(self.k - at) // 4) if last else 3
        if at - self.x_ahead + 4 * words > REACH:
            self.move(X, X, at - self.x_ahead, "r1")
            self.x_ahead = at
        fours = [Reg(f"four{i}", BITS, f"r{9 + i}") for i in range(words)]
        self.add(ldm(W_TAPS, tuple(self.w)) if len(self.w) > 1 else ldr_post(self.w[0], W_TAPS, 4))
        self.add(*(ldr(four, X, at + 4 * i - self.x_ahead) for i, four in enumerate(fours)))
        for i, four in enumerate(fours):
            even, odd = Reg("even", BITS, "r1"), Reg("odd", BITS, four.place)
            self.add(sxtb16(even, four), sxtb16_ror8(odd, four))
            self.products(SUM, SUM, _rest(self.k - at - 4 * i, even, odd, self.w, 2 * i))


def _free() -> list[str]:
    """Registers for weights and activations."""
    return [f"r{i}" for i in range(3, 13)]


def _weights(places: Sequence[str]) -> list[Reg]:
    return [Reg(f"w{i}", BITS, place) for i, place in enumerate(places)]


def _rest(left: int, even: Reg, odd: Reg, w: Sequence[Reg], first: int) -> list[tuple[Op, Reg, Reg]]:
    """The products of a word of activations: four taps, whose weights are the words from `first` on, or the last ones,
    of which single taps have the upper halves."""
    if left >= 4:
        return [(smlad, even, w[first]), (smlad, odd, w[first + 1])]
    if left == 3:
        return [(smlad, even, w[-2]), (smlabt, odd, w[-1])]
    if left == 2:
        return [(smlabt, even, w[-2]), (smlabt, odd, w[-1])]
    return [(smlabt, even, w[-1])]
