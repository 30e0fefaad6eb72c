"""Depthwise 3 x 3 convolution on planes, made for one shape: the program.

`plane_program(config, stride, looped)`: `config` has the numbers of tg_dwplane_cfg_t, which says how the input lies and
where outputs go. All strides are in the code.

Columns go by twos, a and b, from top to bottom. Each row of the input is loaded once, as four bytes that are spread to
halves: `x02` has bytes 0 and 2, `x13` has 1 and 3. Column a needs bytes 0 to 2, column b with stride 1 bytes 1 to 3
(with stride 2 bytes 2 to 4, and `x42` is another word): one SMLAD for the outer weights of a kernel row, one SMLAxy for
the middle one. The products of a row go to all output rows that it touches: with stride 1 up to three, of which two are
under way at a time, in sums of their own.

A channel has nine words of constants: multiplier; weights 0 and 2 of each kernel row; middle weights of rows 0 and 1;
zero point below the middle weight of row 2; the bias of inner output rows, of the first and of the last (rows above and
below the image do not exist: the constants stand for them).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinygen.kernels.armv7em import (
    add,
    add_reg,
    cmp,
    ldm,
    ldr,
    ldrh,
    ldrsb,
    mla,
    movs,
    movt,
    movw,
    pkhbt,
    smlabb,
    smlabt,
    smlad,
    smladx,
    smlatb,
    smlatt,
    smmlar,
    smmulr,
    ssat8,
    ssat16,
    strb,
    strb_reg,
    sub,
    sub_reg,
    sxtah,
    sxtb16,
    sxtb16_ror8,
    vldm_post,
    vmov,
)
from tinygen.kernels.program import BITS, BYTES_IN, BYTES_OUT, INT, WORDS_IN, Program, Reg, Type, Writer

#: How far an immediate offset of LDR and STRB reaches.
REACH = 4095
#: Rows of a turn of the loop over rows; the end of a turn costs five or six cycles.
ROUND = 4
#: Bytes of a channel's constants.
CONSTANTS = 36

CFG = Type("const tg_dwplane_cfg_t *", 1, 4, ((0, "channels"),))
PARAMS = (Reg("cfg", CFG, "r0"), Reg("x", BYTES_IN, "r1"), Reg("w", WORDS_IN, "r2"), Reg("y", BYTES_OUT, "r3"))

# What a channel works with.
X, M, Y = Reg("x_at", BYTES_IN, "r0"), Reg("m", INT, "r1"), Reg("y_at", BYTES_OUT, "r2")
SIDES = tuple(Reg(f"side{k}", BITS, f"r{3 + k}") for k in range(3))
MID01, MID2 = Reg("mid01", BITS, "r6"), Reg("zp_mid2", BITS, "r7")
MIDDLES = (MID01, MID01, MID2)
W = Reg("w_at", WORDS_IN, "r12")
#: Sums of columns a and b, of two output rows that are under way.
SUMS = ((Reg("a0", INT, "r8"), Reg("b0", INT, "r9")), (Reg("a1", INT, "r10"), Reg("b1", INT, "r11")))
# What is parked in registers of the FPU.
BIAS, BIAS_TOP, BIAS_BOTTOM = Reg("bias", INT, "s0"), Reg("bias_top", INT, "s1"), Reg("bias_bottom", INT, "s2")
STRIPS_END, ROWS_END = Reg("strips_end", BYTES_IN, "s3"), Reg("rows_end", BYTES_IN, "s4")
X_NEXT, Y_NEXT = Reg("x_next", BYTES_IN, "s8"), Reg("y_next", BYTES_OUT, "s10")
W_KEPT, W_END = W.at("s9"), Reg("w_end", WORDS_IN, "s11")


@dataclass(frozen=True, slots=True)
class Part:
    """What a row of the input does for an output row, whose kernel row `k` lies on it.

    `sums`: which of them. `start`: where they start, if this is the first kernel row inside the image; `last`: whether
    it is the last.
    """

    k: int
    sums: int
    start: Reg | None
    last: bool


def plane_program(config: Mapping[str, int], stride: int, *, looped: bool, wide: bool = False) -> Program:
    """See the head of this file. `looped`: over the rows, else they are unrolled. `wide`: outputs may leave 16 bits
    before they are clamped, which takes a cycle more for each."""
    plane = _Plane(config, stride, looped=looped, wide=wide)
    plane.kernel()
    return Program(PARAMS, tuple(plane.nodes))


def moved(to: Reg, of: Reg, n: int, temp: str = "") -> Writer:
    """to = of + n bytes, through the register `temp` where n is large, or that of `to`."""
    out, size = Writer(), abs(n)
    if size <= REACH:
        if size or to != of:
            out.add((add if n >= 0 else sub)(to, of, size))
        return out
    far = Reg("far", INT, temp or to.place)
    out.add(movw(far, size & 0xFFFF))
    if size >> 16:
        out.add(movt(far, size >> 16))
    out.add((add_reg if n >= 0 else sub_reg)(to, of, far))
    return out


class _Plane(Writer):
    """Writes one kernel."""

    def __init__(self, config: Mapping[str, int], stride: int, *, looped: bool, wide: bool) -> None:
        super().__init__()
        self.c, self.stride, self.looped, self.wide = config, stride, looped, wide
        self.pairs, self.single = divmod(config["out_w"], 2)
        #: The last output row lacks a row below.
        self.bottom = (config["out_h"] - 1) * stride + 3 - config["pad_top"] > config["in_h"]
        #: How far x_at and y_at are ahead of the first row of the strip, in bytes.
        self.x_ahead = self.y_ahead = 0
        # a row of the input; with stride 2 there is one pair of sums, and lr has the bias
        even, odd = ("r12", "lr") if stride == 1 else ("r10", "r11")
        self.x02, self.x13, self.x42 = Reg("x02", BITS, even), Reg("x13", BITS, odd), Reg("x42", BITS, "r12")
        self.bias = BIAS if stride == 1 else BIAS.at("lr")

    def kernel(self) -> None:
        """All channels."""
        cfg, x, w, y = PARAMS
        channels, size, end = Reg("channels", INT, "r12"), Reg("size", INT, "r0"), W_END.at("r12")
        self.add(ldrh(channels, cfg, 0), movs(size, CONSTANTS), mla(end, channels, size, w))
        self.add(vmov(X_NEXT, x), vmov(W_KEPT, w), vmov(Y_NEXT, y), vmov(W_END, end))
        with self.loop("channels"):
            self.channel()
            at, end = W.at("r0"), W_END.at("r1")
            self.add(vmov(at, W_KEPT), vmov(end, W_END), cmp(at, end))

    def channel(self) -> None:
        """A plane."""
        c = self.c
        self.note("a channel: its constants, and where the next one lies")
        self.add(vmov(X, X_NEXT), vmov(W, W_KEPT), vmov(Y, Y_NEXT))
        self.add(ldm(W, (M, *SIDES, MID01, MID2)), vldm_post(W, (BIAS, BIAS_TOP, BIAS_BOTTOM)), vmov(W_KEPT, W))
        x_next, y_next = X_NEXT.at("r8"), Y_NEXT.at("r9")
        self.move(x_next, X, c["plane_stride"])
        self.move(y_next, Y, c["out_chan"])
        self.add(vmov(X_NEXT, x_next), vmov(Y_NEXT, y_next))
        if self.bottom and c["pad_top"] and c["out_h"] == 1:
            self.note("the only output row is the first and the last")
            inner, top, bottom = BIAS.at("r8"), BIAS_TOP.at("r9"), BIAS_BOTTOM.at("r10")
            self.add(vmov(inner, BIAS), vmov(top, BIAS_TOP), vmov(bottom, BIAS_BOTTOM))
            self.add(sub_reg(top, top, inner), add_reg(top, top, bottom), vmov(BIAS_TOP, top))
        if self.stride == 2:
            self.add(vmov(self.bias, BIAS))
        if self.pairs > 1:
            end = STRIPS_END.at("r8")
            self.move(end, X, 2 * self.stride * self.pairs)
            self.add(vmov(STRIPS_END, end))
            with self.loop(self.pairs):
                self.strip(two=True)
                self.next_strip()
                self.add(vmov(end, STRIPS_END), cmp(X, end))
        elif self.pairs:
            self.strip(two=True)
            if self.single:
                self.next_strip()
        if self.single:
            self.strip(two=False)

    def next_strip(self) -> None:
        """To the top of the next two columns."""
        self.move(X, X, 2 * self.stride - self.x_ahead, "r8")
        self.move(Y, Y, 2 * self.c["out_col"] - self.y_ahead, "r8")

    def move(self, to: Reg, of: Reg, n: int, temp: str = "") -> None:
        """to = of + n bytes."""
        self.add(*moved(to, of, n, temp).nodes)

    def parts(self, row: int) -> tuple[Part, ...]:
        """What row `row` of the input does: first for the output row that it ends, last for the one that it begins."""
        c, found = self.c, []
        for k in (2, 1, 0):
            out, rest = divmod(row + c["pad_top"] - k, self.stride)
            if rest == 0 and 0 <= out < c["out_h"]:
                top, bottom = out == 0 and c["pad_top"] > 0, out == c["out_h"] - 1 and self.bottom
                start = BIAS_TOP if top else BIAS_BOTTOM if bottom else self.bias
                begins, ends = k == (1 if top else 0), k == (1 if bottom else 2)
                found.append(Part(k, out % 2 if self.stride == 1 else 0, start if begins else None, ends))
        return tuple(found)

    def strip(self, *, two: bool) -> None:
        """Two neighbouring columns, or the last one, from top to bottom."""
        self.note("two columns" if two else "the last column")
        self.x_ahead = self.y_ahead = 0
        rows = [self.parts(row) for row in range(self.c["in_h"])]
        while not rows[-1]:
            rows.pop()
        first, turns = _repeated(rows) if self.looped else (len(rows), 0)
        row = out = 0
        while row < len(rows):
            if turns and row == first:
                out = self.rounds(rows[row : row + ROUND], row, turns, out, two=two)
                row += turns * ROUND
            else:
                out = self.row(row, rows[row], out, two=two)
                row += 1

    def rounds(self, rows: list[tuple[Part, ...]], first: int, turns: int, out: int, *, two: bool) -> int:
        """The loop over rows, of which a turn takes `rows`; gives the next output row."""
        x_step, x_ahead, y_ahead = ROUND * self.c["row_stride"], self.x_ahead, self.y_ahead
        end, before = ROWS_END.at("r12"), out
        self.move(end, X, turns * x_step)
        self.add(vmov(ROWS_END, end))
        with self.loop(turns):
            for row, parts in enumerate(rows, first):
                out = self.row(row, parts, out, two=two)
            y_step = (out - before) * self.c["out_row"]
            self.move(X, X, x_step - (self.x_ahead - x_ahead), "r12")
            self.move(Y, Y, y_step - (self.y_ahead - y_ahead), "r12")
            self.add(vmov(end, ROWS_END), cmp(X, end))
        self.x_ahead, self.y_ahead = x_ahead + turns * x_step, y_ahead + turns * y_step
        return before + turns * (out - before)

    def row(self, row: int, parts: tuple[Part, ...], out: int, *, two: bool) -> int:
        """One row of the input; gives the next output row."""
        if parts:
            self.note(f"row {row} of the input")
            self.load(row * self.c["row_stride"], two=two)
        for part in parts:
            self.multiply(part, two=two)
            if part.last:
                self.store(out, SUMS[part.sums][: 1 + two])
                out += 1
        return out

    def load(self, offset: int, *, two: bool) -> None:
        """Its bytes, as halves."""
        if offset - self.x_ahead + 4 > REACH:
            self.move(X, X, offset - self.x_ahead, "r12")
            self.x_ahead = offset
        at = offset - self.x_ahead
        four, five = Reg("four", BITS, self.x13.place), Reg("x4", INT, self.x42.place)
        wide = self.stride == 2 and two
        self.add(ldr(four, X, at), *([ldrsb(five, X, at + 4)] if wide else []))
        self.add(sxtb16(self.x02, four), sxtb16_ror8(self.x13, four))
        if wide:
            self.add(pkhbt(self.x42, five, self.x02))

    def multiply(self, part: Part, *, two: bool) -> None:
        """One kernel row."""
        a, b = SUMS[part.sums]
        side, middle, upper = SIDES[part.k], MIDDLES[part.k], part.k > 0
        from_a, from_b = a, b
        if part.start is not None and part.start == self.bias and self.stride == 2:
            from_a = from_b = self.bias
        elif part.start is not None:
            from_a = from_b = part.start.at((b if two else a).place)
            self.add(vmov(from_a, part.start))
        self.add(smlad(a, self.x02, side, from_a))
        if two:
            self.add(smlad(b, self.x13, side, from_b) if self.stride == 1 else smladx(b, self.x42, side, from_b))
        self.add((smlabt if upper else smlabb)(a, self.x13, middle, a))
        if two:
            of_b = self.x02 if self.stride == 1 else self.x13
            self.add((smlatt if upper else smlatb)(b, of_b, middle, b))

    def store(self, out: int, sums: tuple[Reg, ...]) -> None:
        """Requantise, clamp and store. Where 16 bits hold an output, the weight above the zero point is added too, and
        the low half alone is clamped."""
        made = [Reg(f"out_{r.name[0]}", INT if self.wide else BITS, r.place) for r in sums]
        if self.wide:
            self.add(*(smmulr(r, r, M) for r in sums), *(sxtah(r, r, MID2) for r in sums))
            self.add(*(ssat8(q, r) for q, r in zip(made, sums, strict=True)))
        else:
            self.add(*(smmlar(r, r, M, MID2) for r in sums))
            self.add(*(ssat16(q, 8, r) for q, r in zip(made, sums, strict=True)))
        col, two = self.c["out_col"], len(sums) == 2
        at = out * self.c["out_row"] - self.y_ahead
        far = two and col > REACH
        if (far and at) or at + (col if two and not far else 0) > REACH:
            self.y_ahead += at
            while at:  # every register but the stored ones is in use: a large step goes through several additions
                step = min(at, REACH)
                self.add(add(Y, Y, step))
                at -= step
        self.add(strb(made[0], Y, at))
        if far:
            to_b = Reg("to_b", INT, made[0].place)
            self.add(movw(to_b, col), strb_reg(made[1], Y, to_b))
        elif two:
            self.add(strb(made[1], Y, at + col))


def _repeated(rows: list[tuple[Part, ...]]) -> tuple[int, int]:
    """(first row, turns of `ROUND` rows) of the longest run of rows that repeat every other row."""
    first = next((i for i in range(len(rows) - 2) if rows[i] == rows[i + 2]), len(rows))
    end = first + 2
    while end < len(rows) and rows[end] == rows[end - 2]:
        end += 1
    turns = (end - first) // ROUND
    return first, turns if turns > 1 else 0
