"""A tile of Winograd's convolution, 4 x 4 pixels and all channels, of any shape: the program.

Along a row, with d the six inputs and g the three weights, the products v[i] * u[i] of

    v0 = 4 d0 - 5 d2 + d4            u0 = 6 g0
    v1 = -4 d1 - 4 d2 + d3 + d4      u1 = -4 (g0 + g1 + g2)
    v2 = 4 d1 - 4 d2 - d3 + d4       u2 = -4 (g0 - g1 + g2)
    v3 = -2 d1 - d2 + 2 d3 + d4      u3 = g0 + 2 g1 + 4 g2
    v4 = 2 d1 - d2 - 2 d3 + d4       u4 = g0 - 2 g1 + 4 g2
    v5 = 4 d1 - 5 d3 + d5            u5 = 24 g2

summed over input channels and kernel rows to s[i], give 24 times the four accumulators:

    s0 + s1 + s2 + s3 + s4,  s1 - s2 + 2 (s3 - s4),  s1 + s2 + 4 (s3 + s4),  s1 - s2 + 8 (s3 - s4) + s5.

v of two channels share a word and are computed together, as ordinary integers: every d is 128 too large and d4, d5
another 2048, which leaves v1 1280 too large and the others 2048; |v| <= 1278, so no lane is ever negative and none
borrows from the other. The constants take the surplus off again, and carry the bias in s1.

Frame: `FREE` bytes of nothing, then V [6 positions][in_c / 2][6 rows] of two halves, then perhaps the sums
[out_c / 2][4 rows][2 channels][6 positions]. Where products are summed no register is left to point to V but the stack
pointer, `FREE` bytes below what it reads: it goes over one position once for each two output channels, then never back,
and what interrupts write below it is read no more, or far enough away.
"""

from __future__ import annotations

import functools

from tinygen.kernels.armv7em import (
    add,
    add_lsl,
    add_reg,
    cmp,
    cmp_imm,
    ldm,
    ldr,
    ldr_apart_lsl,
    ldr_post,
    lsl,
    mov,
    mov_imm,
    rsb_lsl,
    smlad,
    smmla,
    ssat8_asr,
    str_lsl,
    str_post,
    str_word,
    strb,
    strb_lsl,
    strb_post,
    strb_reg,
    sub,
    sub_lsl,
    sub_reg,
    sxtab16,
    sxtab16_ror8,
    take,
    vmov,
)
from tinygen.kernels.check import checked
from tinygen.kernels.program import BITS, BYTES_IN, BYTES_OUT, INT, WORDS, WORDS_IN, Node, Program, Reg, Type, Writer

#: Bytes of the frame below V; and with V of 64 channels, or of fewer and their sums.
FREE, MOST = 768, 768 + 72 * 64
_MEMBERS = (
    (0, "row"), (24, "w"), (28, "m"), (32, "sums"), (36, "y"), (40, "in_c"), (44, "out_c"), (48, "y_row"),
    (52, "offset"), (56, "frame"),
)  # fmt: skip
T = Reg("t", Type("const tg_wino_tile_t *", 1, 4, _MEMBERS), "r0")
OUTER, V = Reg("outer", WORDS, "sp"), Reg("v", WORDS, "sp")

# Input transform: a row of pixels, and V of positions 0 and 1 for it.
ROW_AT = Reg("row_at", Type("const int8_t *const *", 4, 4), "s0")
X, X1, X_END = Reg("x", BYTES_IN, "r0"), Reg("x1", BYTES_IN, "r12"), Reg("x_end", BYTES_IN, "s2")
V0_AT, V1_AT = Reg("v0_at", WORDS, "r1"), Reg("v1_at", WORDS, "lr")
V_ROW, V_ROWS = Reg("v_row", WORDS, "s1"), Reg("v_rows", WORDS, "s3")
#: What is added to d0 to d3, and to d4 and d5.
MORE, MUCH_MORE = Reg("more", BITS, "r2"), Reg("much_more", BITS, "r3")
D = tuple(Reg(f"d{k}", BITS, f"r{6 + k}") for k in range(6))
IN_C, STEP = Reg("in_c", INT, "r4"), Reg("step", INT, "r5")
SUMS, OUT_C = Reg("sums", WORDS, "s7"), Reg("out_c", INT, "r10")

# Products: two output channels of one position.
W_AT, W = Reg("w_at", WORDS_IN, "lr"), Reg("w", BITS, "r12")
EVEN, ODD = (tuple(Reg(f"{n}{row}", INT, f"r{r + row}") for row in range(4)) for n, r in (("even", 4), ("odd", 8)))
ROWS = tuple(Reg(f"v_{row}", BITS, f"r{row % 4}") for row in range(6))
S_AT, S_END = Reg("s_at", WORDS, "s0"), Reg("s_end", WORDS, "s1")
V_END, V_START = Reg("v_end", WORDS, "s2"), Reg("v_start", WORDS, "s3")
#: Sums of the first two channels: of this position, and where those of the last end.
S_FIRST, S_FIRSTS = Reg("s_first", WORDS, "s5"), Reg("s_firsts", WORDS, "s6")

# Outputs.
M_AT, M = Reg("m_at", WORDS_IN, "s0"), (Reg("m_even", INT, "r6"), Reg("m_odd", INT, "r8"))
Y_AT, Y_NEXT = Reg("y_at", BYTES_OUT, "r9"), Reg("y_next", INT, "lr")
OUT_C3, OFFSET = Reg("out_c3", INT, "r11"), Reg("offset", INT, "r7")
S = tuple(Reg(f"s{k}", BITS, f"r{k}") for k in range(6))


@functools.cache
def wino_tile_program() -> Program:
    """See the head of this file. The turns of its loops: rows 6, eights in_c / 8, positions 6, pairs out_c / 2."""
    out = _WinoTile()
    out.frame()
    out.transform()
    out.products()
    out.outputs()
    return checked(Program((T,), tuple(out.nodes), MOST, V, outer=OUTER))


class _WinoTile(Writer):
    """Writes the kernel."""

    def frame(self) -> None:
        """Take it; where sums have no other room, they are in it behind V."""
        room, thrice, sums = Reg("room", INT, "r6"), Reg("in_c3", INT, "r5"), SUMS.at("r7")
        self.add(vmov(T.at("s8"), T), mov(OUTER.at("r7"), OUTER), vmov(OUTER.at("s9"), OUTER.at("r7")))
        self.add(ldr(IN_C, T, 40), ldr(room, T, 56), take(V, OUTER, room))
        self.add(add_lsl(thrice, IN_C, IN_C, 1), add(V0_AT, V, FREE), ldr(sums, T, 32), cmp_imm(sums, 0))
        with self.when(sums, 0):
            self.add(add_lsl(sums, V0_AT, thrice, 3), add_lsl(sums, sums, thrice, 4))
        self.add(lsl(STEP, thrice, 2), vmov(SUMS, sums))

    def transform(self) -> None:
        """All of V."""
        row_at, v_rows, x_end, v_row = ROW_AT.at("r12"), V_ROWS.at("r12"), X_END.at("r12"), V_ROW
        self.add(vmov(ROW_AT, T), add(v_rows, V0_AT, 24), vmov(V_ROWS, v_rows))
        self.add(mov_imm(MORE, 0x00800080), add(MUCH_MORE, MORE, 0x08000800))
        with self.loop("rows"):
            self.note("a row of the image")
            self.add(vmov(row_at, ROW_AT), ldr_post(X, row_at, 4), vmov(ROW_AT, row_at), vmov(v_row, V0_AT))
            self.add(add_reg(V1_AT, V0_AT, STEP), add_reg(x_end, X, IN_C), vmov(X_END, x_end))
            with self.loop("eights"):
                with self.copies() as copies:
                    copies += [(*self.inputs(on=False), *self.inputs(on=True))] * 2
                self.add(vmov(x_end, X_END), cmp(X, x_end))
            self.add(vmov(V0_AT, v_row), vmov(v_rows, V_ROWS), add(V0_AT, V0_AT, 4), cmp(V0_AT, v_rows))

    def inputs(self, on: bool) -> tuple[Node, ...]:
        """V of two channels: bytes 0 and 2 of each pixel's word; or of 1 and 3, and `on` to the next four channels."""
        d0, d1, d2, d3, d4, d5 = D
        odd, even, v2, v1, v3 = (
            Reg(name, BITS, place)
            for name, place in (("odd", "r12"), ("even", "r11"), ("v2", "r11"), ("v1", "r12"), ("v3", "r9"))
        )
        extend = sxtab16_ror8 if on else sxtab16
        v5, v0, v4 = (Reg(name, BITS, d.place) for name, d in (("v5", d5), ("v0", d0), ("v4", d4)))
        d42, d31 = Reg("d42", BITS, d4.place), Reg("d31", BITS, d3.place)
        return (
            add_reg(X1, X, IN_C),
            ldr_apart_lsl(d2, X, IN_C, 1), ldr_apart_lsl(d4, X, IN_C, 2), ldr_post(d0, X, 4) if on else ldr(d0, X, 0),
            ldr(d1, X1, 0), ldr_apart_lsl(d3, X1, IN_C, 1), ldr_apart_lsl(d5, X1, IN_C, 2),
            extend(d2, MORE, d2), extend(d4, MUCH_MORE, d4), extend(d0, MORE, d0),
            extend(d1, MORE, d1), extend(d3, MORE, d3), extend(d5, MUCH_MORE, d5),
            sub_lsl(odd, d3, d1, 2), sub_lsl(v5, d5, d3, 2), sub_reg(v5, v5, odd), str_lsl(v5, V1_AT, STEP, 2),
            sub_lsl(even, d4, d2, 2), add_lsl(v0, even, d0, 2), sub_reg(v0, v0, d2),
            sub_reg(v2, even, odd), add_lsl(v1, v2, odd, 1), str_lsl(v2, V0_AT, STEP, 1),
            sub_reg(d42, d4, d2), sub_reg(d31, d3, d1),
            sub_lsl(v4, d42, d31, 1), add_lsl(v3, v4, d31, 2),
            str_lsl(v3, V1_AT, STEP, 1), str_lsl(v4, V0_AT, STEP, 2),
            str_post(v1, V1_AT, 24), str_post(v0, V0_AT, 24),
        )  # fmt: skip

    def products(self) -> None:
        """All sums."""
        t, sums, out_c3, step = T.at("r0"), SUMS.at("r1"), OUT_C3.at("r2"), STEP.at("r3")
        out_c, s_end, s_firsts, v_start, v_end = (
            OUT_C.at("r2"), S_END.at("r2"), S_FIRSTS.at("r3"), V_START.at("r0"), V_END.at("r4"),
        )  # fmt: skip
        self.add(vmov(t, T.at("s8")), ldr(W_AT, t, 24), vmov(sums, SUMS), ldr(out_c, t, 44))
        self.add(add_lsl(out_c3, out_c, out_c, 1), add_lsl(s_end, sums, out_c3, 5), add(s_firsts, sums, 24))
        self.add(mov(v_start, V), add_reg(v_end, v_start, STEP), vmov(S_AT, sums), vmov(S_END, s_end))
        self.add(vmov(V_END, v_end), vmov(V_START, v_start), vmov(STEP.at("s4"), STEP), vmov(S_FIRST, sums))
        self.add(vmov(S_FIRSTS, s_firsts))
        s_at, s_end, v_end = S_AT.at("r12"), S_END.at("r1"), V_END.at("r0")
        with self.loop("positions"):
            with self.loop("pairs"):
                self.note("a position of two output channels")
                self.sums()
                self.add(vmov(s_at, S_AT), vmov(v_start, V_START), vmov(s_end, S_END))
                self.add(*(str_word(EVEN[row], s_at, 48 * row) for row in (1, 2, 3)))
                self.add(*(str_word(ODD[row], s_at, 48 * row + 24) for row in range(4)))
                self.add(str_post(EVEN[0], s_at, 192), vmov(S_AT, s_at), mov(V, v_start), cmp(s_at, s_end))
            self.note("the next position")
            s_first = S_FIRST.at("r2")
            self.add(vmov(v_end, V_END), mov(V, v_end), vmov(V_START, v_end))
            self.add(vmov(step, STEP.at("s4")), add_reg(v_end, v_end, step), vmov(V_END, v_end))
            self.add(add(s_end, s_end, 4), vmov(S_END, s_end))
            self.add(vmov(s_first, S_FIRST), add(s_first, s_first, 4), vmov(S_FIRST, s_first), vmov(S_AT, s_first))
            self.add(vmov(s_firsts, S_FIRSTS), cmp(s_first, s_firsts))

    def sums(self) -> None:
        """Of two output channels for the four rows of one position."""
        self.add(ldr_post(EVEN[0], W_AT, 4), ldr_post(ODD[0], W_AT, 4), *self.rows(0))
        self.add(*(smlad(EVEN[row], W, ROWS[row], EVEN[0]) for row in (1, 2, 3, 0)), ldr_post(W, W_AT, 4))
        self.add(*(smlad(ODD[row], W, ROWS[row], ODD[0]) for row in (1, 2, 3, 0)))
        with self.loop("eights") as between:
            between += [*self.rows(0), *self.row(0)]
            self.note("eight input channels, two by two: the others of three kernel rows")
            self.add(*self.others(0))
            with self.copies() as copies:
                copies += [(*self.rows(v), *self.row(0), *self.others(v)) for v in (24, 48, 72)]
            v_end = V_END.at("r12")
            self.add(add(V, V, 96), vmov(v_end, V_END), cmp(V, v_end))

    def rows(self, v: int) -> tuple[Node, ...]:
        """What the first kernel row needs: weights, and V of four rows."""
        return (ldr_post(W, W_AT, 4), *(ldr(ROWS[row], V, FREE + v + 4 * row) for row in range(4)))

    def others(self, v: int) -> tuple[Node, ...]:
        """The second and the third kernel row: V of one more row each."""
        found: list[Node] = []
        for row in (1, 2):
            found += [ldr_post(W, W_AT, 4), ldr(ROWS[3 + row], V, FREE + v + 12 + 4 * row), *self.row(row)]
        return tuple(found)

    def row(self, first: int) -> tuple[Node, ...]:
        """Products of a kernel row with two input channels, for two output channels."""
        rows = ROWS[first : first + 4]
        even = [smlad(s, W, v, s) for s, v in zip(EVEN, rows, strict=True)]
        odd = [smlad(s, W, v, s) for s, v in zip(ODD, rows, strict=True)]
        return (*even, ldr_post(W, W_AT, 4), *odd)

    def outputs(self) -> None:
        """Of all channels."""
        t, m_at, s_at, s_end = T.at("r0"), M_AT.at("r1"), S_AT.at("r12"), S_END.at("r1")
        self.add(vmov(t, T.at("s8")), ldr(m_at, t, 28), vmov(s_at, SUMS), ldr(Y_AT, t, 36), ldr(OUT_C, t, 44))
        y_row = Reg("y_row", INT, "lr")
        self.add(ldr(y_row, t, 48), ldr(OFFSET, t, 52), vmov(M_AT, m_at), add_lsl(OUT_C3, OUT_C, OUT_C, 1))
        self.add(add_lsl(s_end, s_at, OUT_C3, 5), vmov(S_END, s_end), sub(Y_NEXT, y_row, 1))
        m_at, s_end = M_AT.at("r0"), S_END.at("r0")
        with self.loop("pairs"):
            self.note("four rows of two output channels")
            self.add(vmov(m_at, M_AT), ldr_post(M[0], m_at, 4), ldr_post(M[1], m_at, 4), vmov(M_AT, m_at))
            with self.copies() as copies:
                copies += [(*self.pixels(M[0], on=True), *self.pixels(M[1], on=False), add_reg(Y_AT, Y_AT, Y_NEXT))] * 4
            self.add(sub_lsl(Y_AT, Y_AT, Y_NEXT, 2), sub(Y_AT, Y_AT, 2), vmov(s_end, S_END), cmp(s_at, s_end))
        self.add(vmov(OUTER.at("r0"), OUTER.at("s9")), mov(OUTER, OUTER.at("r0")))

    def pixels(self, m: Reg, on: bool) -> tuple[Node, ...]:
        """Four of one channel, and perhaps `on` to the next channel."""
        s0, s1, s2, s3, s4, s5 = S
        sum1, dif1, sum2, dif2 = (
            Reg(n, BITS, s.place) for n, s in (("sum1", s2), ("dif1", s1), ("sum2", s4), ("dif2", s3))
        )
        acc = tuple(Reg(f"acc{k}", BITS, s.place) for k, s in enumerate((s0, s1, s2, s5)))
        y = tuple(Reg(f"y{k}", INT, a.place) for k, a in enumerate(acc))
        s_at = S_AT.at("r12")
        return (
            ldm(s_at, S), add_reg(sum1, s1, s2), rsb_lsl(dif1, sum1, s1, 1),
            add_reg(sum2, s3, s4), rsb_lsl(dif2, sum2, s3, 1),
            add_reg(acc[0], s0, sum1), add_reg(acc[0], acc[0], sum2), add_lsl(acc[2], sum1, sum2, 2),
            add_reg(acc[3], s5, dif1), add_lsl(acc[3], acc[3], dif2, 3), add_lsl(acc[1], dif1, dif2, 1),
            *(smmla(to, a, m, OFFSET) for to, a in zip(y, acc, strict=True)),
            *(ssat8_asr(r, r, 8) for r in y),
            strb_reg(y[1], Y_AT, OUT_C), strb_lsl(y[2], Y_AT, OUT_C, 1), strb_reg(y[3], Y_AT, OUT_C3),
            strb_post(y[0], Y_AT, 1) if on else strb(y[0], Y_AT, 0),
        )  # fmt: skip
