"""A step of a GRU whose reset gate multiplies R * h: gates z, r and the candidate's, as ONNX has them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from tinygen.kernels.armv7em import (
    add_asr,
    add_reg,
    asr,
    ldr,
    mla,
    mov_imm,
    pkhbt_lsl16,
    rsb_asr,
    smlabb,
    smlatb,
    smulbb,
    ssat_half,
    str_post,
    sub_reg,
    sxth,
    vldm_post,
    vldr,
    vmov,
)
from tinygen.kernels.check import checked
from tinygen.kernels.program import BITS, BYTES_OUT, HALVES, INT, Program, Reg, Type
from tinygen.kernels.recurrent.program import GATES, INNER, STREAM, W_END, WINDOW, H, Step, Words, Y

MEMBERS = (
    (0, "w"), (4, "w_end"), (8, "gates"), (12, "inner"), (16, "state"), (20, "m"), (24, "x_bytes"), (28, "h_bytes"),
    (32, "px"),
)  # fmt: skip
S = Reg("s", Type("const tg_gru_step_t *", 1, 4, MEMBERS), "r0")
STATE, M = Reg("state_at", HALVES, "s12"), Reg("m", INT, "s15")
H_AT, Y_AT = Reg("h_at", HALVES, "s13"), Reg("y_at", BYTES_OUT, "s14")


@dataclass(frozen=True, slots=True)
class GruShifts:
    """As in `GruRule` (ops/cells.py), and those of the tables (ops/gates.py)."""

    f_up: int
    g_up: int
    r_down: int
    z_down: int
    h_down: int
    gate_r: int
    inner_r: int


@functools.lru_cache(maxsize=32)
def gru_step(shifts: GruShifts, words: Words) -> Program:
    """See the head of this file, and of program.py."""
    out = _Gru(shifts, words)
    out.kernel()
    return checked(Program((S, WINDOW, H, Y), tuple(out.nodes)))


class _Gru(Step):
    gates = ("z", "r", "n")
    temps = ("r0", "r1", "r12", "r2", "r3", "lr")
    end = "s7"
    x_bytes = 24

    def __init__(self, shifts: GruShifts, words: Words) -> None:
        super().__init__(words)
        self.s = shifts

    def kernel(self) -> None:
        """All units."""
        s, behind = self.s, S.moved(20)
        self.add(vldm_post(S, (STREAM, W_END, GATES, INNER, STATE)), vldr(M, behind, 0))
        self.add(vmov(H_AT, H), vmov(Y_AT, Y))
        self.begin(behind, 20)
        with self.loop("blocks"):
            self.note("two units")
            self.sums_of_a_block((self.even[2], self.odd[2]))
            self.from_h((s.f_up, s.f_up, 0), alone=2)
            self.end_of_stream()
            self.note("gates")
            z, r, n = zip(self.even, self.odd, strict=True)
            gates = GATES.at("r4")
            self.add(vmov(gates, GATES))
            self.mask(s.gate_r)
            self.curve((*z, *r), ("r0", "r1", "r2", "r12"), gates, s.gate_r)
            self.candidate(r, n)
            self.state(z, n)
            self.next_block()

    def candidate(self, r: tuple[Reg, Reg], n: tuple[Reg, Reg]) -> None:
        """Its sum, through its curve."""
        self.note("candidate")
        s, inner = self.s, INNER.at("r4")
        scalars = [x for x, _ in self.sums()][4:]
        of_x = [x.at(place) for x, place in zip(scalars, ("r0", "r1"), strict=True)]
        self.add(vmov(inner, INNER), *(vmov(to, x) for to, x in zip(of_x, scalars, strict=True)))
        if s.r_down:
            half = Reg("half", INT, "r2")
            self.add(mov_imm(half, 1 << s.r_down >> 1))
            self.add(*(smlatb(gate, gate, h, half) for gate, h in zip(r, n, strict=True)))
            self.add(*(add_asr(h, x, gate, s.r_down) for h, x, gate in zip(n, of_x, r, strict=True)))
        else:
            self.add(*(smlatb(h, gate, h, x) for h, gate, x in zip(n, r, of_x, strict=True)))
        for h in n:
            self.saturate(h, s.g_up)
        if s.inner_r != s.gate_r:
            self.mask(s.inner_r)
        self.curve(n, ("r0", "r1"), inner, s.inner_r)

    def state(self, z: tuple[Reg, Reg], n: tuple[Reg, Reg]) -> None:
        """The new state, and h."""
        self.note("state")
        s, at, m, half, both = self.s, STATE.at("r0"), M.at("r4"), Reg("half", INT, "r3"), Reg("states", BITS, "r1")
        self.add(vmov(at, STATE), vmov(m, M), mov_imm(half, 1 << s.z_down >> 1), ldr(both, at, 0))
        self.add(*(asr(r, r, 16) for r in (*n, *z)))
        old, even, odd = Reg("old_even", INT, "r8"), Reg("more_even", INT, "r8"), Reg("more_odd", INT, "r9")
        self.add(sxth(old, both), rsb_asr(odd, n[1], both, 16), sub_reg(even, old, n[0]))
        self.add(*(mla(more, gate, more, half) for more, gate in zip((even, odd), z, strict=True)))
        for new, more in zip(n, (even, odd), strict=True):
            self.add(add_asr(new, new, more, s.z_down) if s.z_down else add_reg(new, new, more))
        states = Reg("states", BITS, "r1")
        self.add(*(ssat_half(r, r) for r in n), pkhbt_lsl16(states, *n), str_post(states, at, 4))
        new_h = (Reg("h_even", INT, "r6"), Reg("h_odd", INT, "r7"))
        if s.h_down:
            self.add(mov_imm(half, 1 << s.h_down >> 1))
            self.add(*(smlabb(r, state, m, half) for r, state in zip(new_h, n, strict=True)))
        else:
            self.add(*(smulbb(r, state, m) for r, state in zip(new_h, n, strict=True)))
        self.add(vmov(STATE, at), vmov(H_AT.at("r2"), H_AT), vmov(Y_AT.at("r3"), Y_AT))
        self.store_h(new_h, s.h_down, H_AT, Y_AT)
