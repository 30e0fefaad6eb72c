"""A step of an LSTM: gates i, o, f and the input's, as ONNX has them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from tinygen.kernels.armv7em import (
    add,
    add_lsl,
    add_reg,
    asr,
    ldr,
    ldr_post,
    mov_imm,
    push,
    reload,
    smlatt,
    smlawb,
    smultt,
    smulwt,
    ssat24,
    ssat_half,
    ssat_half_asr,
    str_post,
    vldm_post,
    vmov,
)
from tinygen.kernels.check import checked
from tinygen.kernels.program import BYTES_OUT, HALVES, INT, WORDS_IN, WORDS_OUT, Program, Reg, Type
from tinygen.kernels.recurrent.program import GATES, INNER, STREAM, W_END, WINDOW, H, Step, Words, Y

MEMBERS = (
    (0, "w"), (4, "w_end"), (8, "gates"), (12, "inner"), (16, "c"), (20, "outer"), (24, "m"), (28, "x_bytes"),
    (32, "h_bytes"), (36, "px"),
)  # fmt: skip
S = Reg("s", Type("const tg_lstm_step_t *", 1, 4, MEMBERS), "r0")
CELLS, H_AT, Y_AT = Reg("c_at", WORDS_OUT, "s12"), Reg("h_at", HALVES, "s14"), Reg("y_at", BYTES_OUT, "s15")


@dataclass(frozen=True, slots=True)
class LstmShifts:
    """As in `LstmRule` (ops/cells.py), and those of the tables (ops/gates.py)."""

    f_up: int
    g_up: int
    c_up: int
    ig_down: int
    t_down: int
    h_down: int
    gate_r: int
    inner_r: int
    outer_r: int


@functools.lru_cache(maxsize=32)
def lstm_step(shifts: LstmShifts, words: Words) -> Program:
    """See the head of this file, and of program.py."""
    out = _Lstm(shifts, words)
    out.kernel()
    return checked(Program((S, WINDOW, H, Y), tuple(out.nodes)))


class _Lstm(Step):
    """On the stack: table of the outer curve, the multiplier that narrows h."""

    gates = ("i", "o", "f", "g")
    end = "s13"
    x_bytes = 28

    def __init__(self, shifts: LstmShifts, words: Words) -> None:
        super().__init__(words)
        self.s = shifts
        self.outer, self.m = self.slot("outer", WORDS_IN, 0), self.slot("m", INT, 4)

    def kernel(self) -> None:
        """All units."""
        s = self.s
        outer, m = self.outer.at("r4"), self.m.at("r5")
        behind, last = S.moved(20), S.moved(24)
        self.add(vldm_post(S, (STREAM, W_END, GATES, INNER, CELLS)), vmov(H_AT, H), vmov(Y_AT, Y))
        self.add(ldr_post(outer, behind, 4), ldr(m, last, 0), push((outer, m)))
        self.begin(last, 24)
        with self.loop("blocks"):
            self.note("two units")
            self.sums_of_a_block()
            self.from_h((s.f_up, s.f_up, s.f_up, s.g_up))
            self.end_of_stream()
            self.note("gates")
            i, o, f, g = zip(self.even, self.odd, strict=True)
            gates, inner = GATES.at("r4"), INNER.at("r4")
            self.add(vmov(gates, GATES))
            self.mask(s.gate_r)
            self.curve((*i, *o, *f), ("r0", "r1", "r2"), gates, s.gate_r)
            self.add(vmov(inner, INNER))
            if s.inner_r != s.gate_r:
                self.mask(s.inner_r)
            self.curve(g, ("r0", "r1"), inner, s.inner_r)
            self.outputs(self.cells(i, f, g), o)
            self.next_block()

    def cells(self, i: tuple[Reg, Reg], f: tuple[Reg, Reg], g: tuple[Reg, Reg]) -> tuple[Reg, Reg]:
        """New cells, and their outer curve."""
        self.note("cells")
        s, at, outer = self.s, CELLS.at("r0"), self.outer.at("r4")
        cells = (Reg("c_even", INT, "r1"), Reg("c_odd", INT, "r2"))
        self.add(vmov(at, CELLS), reload(outer, self.outer), ldr(cells[0], at, 0), ldr(cells[1], at, 4))
        self.add(*(smulwt(c, c, keep) for c, keep in zip(cells, f, strict=True)))
        if s.ig_down:
            half = Reg("half", INT, "r10")
            self.add(mov_imm(half, 1 << s.ig_down >> 1))
            self.add(*(smlatt(a, a, b, half) for a, b in zip(i, g, strict=True)))
            self.add(*(asr(a, a, s.ig_down) for a in i))
        else:
            self.add(*(smultt(a, a, b) for a, b in zip(i, g, strict=True)))
        for c, new in zip(cells, i, strict=True):
            self.add(add_lsl(c, new, c, s.c_up) if s.c_up else add_reg(c, new, c))
        self.add(*(ssat24(c, c) for c in cells), *(str_post(c, at, 4) for c in cells), vmov(CELLS, at))
        curved = (Reg("t_even", INT, "r6"), Reg("t_odd", INT, "r7"))
        if s.t_down:
            self.add(*(add(t, c, 1 << s.t_down >> 1) for t, c in zip(curved, cells, strict=True)))
            self.add(*(ssat_half_asr(t, t, s.t_down) for t in curved))
        else:
            self.add(*(ssat_half(t, c) for t, c in zip(curved, cells, strict=True)))
        if s.outer_r != s.inner_r:
            self.mask(s.outer_r)
        self.curve(curved, ("r0", "r1"), outer, s.outer_r)
        return curved

    def outputs(self, curved: tuple[Reg, Reg], o: tuple[Reg, Reg]) -> None:
        """h of two units."""
        self.note("h")
        m, half, down = self.m.at("r0"), Reg("half", INT, "r1"), self.s.h_down
        self.add(reload(m, self.m), mov_imm(half, 1 << down >> 1), vmov(H_AT.at("r2"), H_AT), vmov(Y_AT.at("r3"), Y_AT))
        new = (Reg("h_even", INT, "r6"), Reg("h_odd", INT, "r7"))
        self.add(*(smultt(r, t, gate) for r, t, gate in zip(new, curved, o, strict=True)))
        self.add(*(smlawb(r, r, m, half) for r in new))
        self.store_h(new, down, H_AT, Y_AT)
