"""Steps of recurrent layers: two units at a time with all their gates, on a window [x | h] of halves: the programs.

core/tg_recurrent_dsp.h says what a kernel reads, pack.py writes the stream. A word holds two halves of the window for
two units, 256 * odd + even each: one SMLAD with the word as it is sums 256 * odd + even, one with its even bytes sums
even. Sums are then made 256 times as large, so that SMMULR is the requantisation with its shift of 24.

Registers: r0-r3 what is loaded, r4 the stream, r5 the window, r6-r12 and lr sums, even and odd by turns; s0-s7 what x
brings to the sums. lstm.py and gru.py have the rest of a step, inputs.py a kernel that works x out for two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tinygen.kernels.armv7em import (
    add_reg,
    addw,
    and_lsl,
    asr,
    asrs,
    cmp,
    ldm,
    ldr,
    ldr_at,
    ldr_post,
    ldr_pre,
    lsl,
    lsls,
    mov,
    mov_imm,
    pkhbt_lsl16,
    push,
    reload,
    smlabb,
    smlad,
    smmlar,
    smmulr,
    smuad,
    ssat8,
    ssat8_asr,
    ssat_half,
    ssat_half_lsl,
    str_post,
    strb_post,
    sub,
    sub_reg,
    subs_reg,
    sxtb16,
    sxth,
    vmov,
)
from tinygen.kernels.plane.program import moved
from tinygen.kernels.program import (
    BITS,
    BYTES_OUT,
    HALVES,
    HALVES_IN,
    INT,
    WORDS_IN,
    Copies,
    Instruction,
    Node,
    Op,
    Ordered,
    Reg,
    Type,
    Writer,
)

#: Registers of sums of the even units and of the odd, gate by gate.
EVEN = ("r6", "r8", "r10", "r12")
ODD = ("r7", "r9", "r11", "lr")
#: Registers that instructions of 16 bits reach, and how far an offset of LDR goes in them.
LOW = tuple(f"r{i}" for i in range(8))
SHORT = 124

#: Pairs of halves of x and of h in the window: unrolled for them, or looped, for any, when None. No x: what it brings
#: to the sums is there already, from inputs.py.
Words = tuple[int, int] | None

WINDOW, H, Y = Reg("window", HALVES_IN, "r1"), Reg("h", HALVES, "r2"), Reg("y", BYTES_OUT, "r3")
STREAM, W_END = Reg("w", WORDS_IN, "s8"), Reg("w_end", WORDS_IN, "s9")
GATES, INNER = Reg("gates", WORDS_IN, "s10"), Reg("inner", WORDS_IN, "s11")
PAIRS, MASK = Reg("pairs", WORDS_IN, "s1"), Reg("mask", BITS, "r3")


def low(*registers: Reg) -> bool:
    """Instructions of 16 bits reach them."""
    return all(r.place in LOW for r in registers)


def short(op: Op, flags: Op, *operands: Reg | int) -> Instruction:
    """The form that sets flags, where it takes 16 bits."""
    return (flags if low(*(r for r in operands if isinstance(r, Reg))) else op)(*operands)


class Sums(Writer):
    """What kernels have in common that walk stream and window.

    Looped, both pointers lie a word before what C has, and the last loads of a turn move them.
    """

    #: What row pairs of a block are called.
    gates: tuple[str, ...]
    temps: tuple[str, ...] = ("r0", "r1", "r2", "r3")

    def __init__(self, *, looped: bool) -> None:
        super().__init__()
        before = -4 if looped else 0
        self.at = Reg("at", replace(WORDS_IN, at=before), "r4")
        self.v = Reg("v", replace(HALVES_IN, at=before), "r5") if looped else WINDOW.at("r5")
        #: How far r4 is behind the next word of the stream, and r5 behind that of the window, in bytes.
        self.behind = self.x_behind = -before

    @property
    def even(self) -> tuple[Reg, ...]:
        """Sums of the even unit."""
        return tuple(Reg(f"{g}_even", INT, r) for g, r in zip(self.gates, EVEN, strict=False))

    @property
    def odd(self) -> tuple[Reg, ...]:
        """Sums of the odd unit, 256 times as large and with those of the even one, at first."""
        return tuple(Reg(f"{g}_odd", INT, r) for g, r in zip(self.gates, ODD, strict=False))

    def sums(self) -> Iterator[tuple[Reg, Reg]]:
        """(scalar of what x brings, sum), even and odd by turns."""
        pairs = [r for pair in zip(self.even, self.odd, strict=True) for r in pair]
        for k, r in enumerate(pairs):
            yield Reg(f"x_{r.name}", INT, f"s{k}"), r

    def words(self, count: int, first: int = 0, *, turn: bool = False) -> None:
        """The next `count` words of the window. `first`: of so many gates the sums begin here. `turn`: of the loop,
        which leaves r4 and r5 at the last words."""
        self.ordered(self._plain(count, first), lambda: self._order(count, first, turn=turn))

    def ordered(self, plain: Sequence[Sequence[Node]], order: Callable[[], Iterator[Instruction]]) -> None:
        """Copies as C has them, and what the core does, which moves the pointers by the way."""
        if not plain:
            return
        self.at_moved = self.x_moved = 0
        made = tuple(order())
        ends = [addw(r, r, n) for r, n in ((self.at, self.at_moved), (self.v, self.x_moved)) if n]
        self.add(Ordered((Copies(tuple(map(tuple, plain))), *ends), made))

    def _plain(self, count: int, first: int) -> list[list[Node]]:
        """A word of the window after the other."""
        copies: list[list[Node]] = []
        x, w, w_even = Reg("x", BITS, "r0"), Reg("pair", BITS, "r1"), Reg("pair_even", BITS, "r2")
        n = len(self.gates)
        for k in range(count):
            copy: list[Node] = [ldr(x, self.v, self.x_behind + 4 * k)]
            for g, (even, odd) in enumerate(zip(self.even, self.odd, strict=True)):
                begins = k == 0 and g < first
                copy += [ldr(w, self.at, self.behind + 4 * (n * k + g)), _product(odd, w, x, begins=begins)]
                copy += [sxtb16(w_even, w), _product(even, w_even, x, begins=begins)]
            copies.append(copy)
        return copies

    def _order(self, count: int, first: int, *, turn: bool) -> Iterator[Instruction]:
        """Loads in groups, which the Cortex-M4 pipelines, then their products."""
        n = len(self.gates)
        items = [(k, g) for k in range(count) for g in range(-1, n)]
        ends = {(count - 1, -1), (count - 1, n - 1)} if turn else set()
        held: dict[tuple[int, int], str] = {}
        free = list(self.temps)
        while items:
            group = [items.pop(0) for _ in range(min(len(free), len(items)))]
            for item in group:
                held[item] = free.pop(0)
            yield from self.load([(*item, held[item]) for item in group], ends)
            done = [i for i in group if i[1] >= 0]
            for pair in (done[i : i + 2] for i in range(0, len(done), 2)):
                yield from self._multiply([(i, held[i], held[i[0], -1], i[1] < first and i[0] == 0) for i in pair])
            for item in done:
                free.append(held.pop(item))
                if item[1] == n - 1:
                    free.append(held.pop((item[0], -1)))
            free.sort()

    def load(
        self, group: Sequence[tuple[int, int, str]], ends: set[tuple[int, int]] | None = None
    ) -> Iterator[Instruction]:
        """A group of loads, of words (place in the window, gate, or -1 for the window's word, register). Those of
        `ends` move their pointer to what they load, and so does the last of the stream when the next would be too far
        for a short instruction."""
        ends = ends or set()
        last = max(((k, g) for k, g, _ in group if g >= 0), default=None)
        for k, g, place in group:
            item = (k, g)
            if g < 0:
                moves = item in ends
                yield (ldr_pre if moves else ldr)(_x(k, place), self.v, self.x_behind)
                self.x_moved += self.x_behind if moves else 0
                self.x_behind = 4 if moves else self.x_behind + 4
            else:
                far = not ends and item == last and self.behind + 4 * len(group) + 4 > SHORT
                moves = far or item in ends
                yield (ldr_pre if moves else ldr)(_w(item, place), self.at, self.behind)
                self.at_moved += self.behind if moves else 0
                self.behind = 4 if moves else self.behind + 4

    def _multiply(self, words: Sequence[tuple[tuple[int, int], str, str, bool]]) -> Iterator[Instruction]:
        """(word, its register, that of x, whether its sums begin): two at a time, for cores that issue two
        instructions."""
        for (k, g), place, x, begins in words:
            w = _w((k, g), place)
            yield _product(self.odd[g], w, _x(k, x), begins=begins)
            yield sxtb16(w, w)
        for (k, g), place, x, begins in words:
            yield _product(self.even[g], _w((k, g), place), _x(k, x), begins=begins)

    def next_words(self, registers: Sequence[Reg], *, looped: bool = False) -> None:
        """The next words of the stream into registers."""
        for r in registers:
            back = looped and r == registers[-1]
            self.add((ldr_pre if back else ldr)(r, self.at, self.behind))
            self.behind = 4 if back else self.behind + 4

    def advance(self) -> None:
        """r4 to the next word."""
        self.add(*moved(self.at, self.at, self.behind, "r0").nodes)
        self.behind = self.x_behind = 0


def _x(k: int, place: str) -> Reg:
    return Reg(f"x{k}", BITS, place)


def _w(item: tuple[int, int], place: str) -> Reg:
    return Reg(f"w{item[0]}_{item[1]}", BITS, place)


def _product(total: Reg, w: Reg, x: Reg, *, begins: bool) -> Instruction:
    return smuad(total, w, x) if begins else smlad(total, w, x, total)


def multipliers(count: int) -> tuple[Reg, ...]:
    """Where they are loaded to."""
    return tuple(Reg(f"m{i}", INT, f"r{i}") for i in range(count))


class Step(Sums):
    """What steps have in common. Looped, x and h share one loop, and on the stack are the start of the window and the
    ends of x and h in it."""

    #: The scalar that holds the end of the loop, and where a struct has the bytes of x.
    end: str
    x_bytes: int

    def __init__(self, words: Words) -> None:
        super().__init__(looped=words is None)
        self.x_words, self.h_words = words or (0, 0)
        self.looped = words is None
        #: What x brings is there already.
        self.given = words is not None and not self.x_words
        #: Bytes that the ends take on the stack, below the rest.
        self.ends = 12 if self.looped else 0
        before = replace(HALVES_IN, at=-4)
        self.start, self.x_end, self.h_end = (
            Reg(name, before, f"[sp, #{4 * k}]") for k, name in enumerate(("v_start", "x_end", "h_end"))
        )

    def slot(self, name: str, t: Type, place: int) -> Reg:
        """A value on the stack, above the ends."""
        return Reg(name, t, f"[sp, #{self.ends + place}]")

    def begin(self, s: Reg, at: int) -> None:
        """r5 at the window, r4 at the stream. `s`: the struct, `at` bytes behind its start."""
        stream = STREAM.at("r4")
        if self.looped:
            start, x_end, h_end = self.start.at("r1"), self.x_end.at("r4"), self.h_end.at("r5")
            x_bytes, h_bytes = Reg("x_bytes", INT, "r4"), Reg("h_bytes", INT, "r5")
            behind = self.x_bytes - at
            self.add(ldr(x_bytes, s, behind), ldr(h_bytes, s, behind + 4), sub(start, WINDOW, 4))
            self.add(add_reg(x_end, x_bytes, start), add_reg(h_end, h_bytes, x_end), push((start, x_end, h_end)))
            self.add(mov(self.v, start), vmov(stream, STREAM), sub(self.at, stream, 4))
            return
        if self.given:
            pairs = PAIRS.at("r4")
            self.add(ldr(pairs, s, self.x_bytes + 8 - at), vmov(PAIRS, pairs), vmov(WINDOW.at("s2"), WINDOW))
        self.add(mov(self.v, WINDOW), vmov(self.at, STREAM))

    def sums_of_a_block(self, starts: Sequence[Reg] = ()) -> None:
        """From biases to sums in the registers, ready for `from_h`. `starts`: sums of h that begin with a bias."""
        biases = [r for _, r in self.sums()]
        zero = [r for r in biases if r not in starts]
        if not self.looped:
            if not self.given:
                self.note("what x brings")
                self.add(ldm(self.at, tuple(biases)))
                self.words(self.x_words)
                self.from_x()
            self.note("what h brings")
            self.next_words(starts)
            self.words(self.h_words, len(zero) // 2)
            return
        self.next_words(biases, looped=True)
        end = Reg("end", self.x_end.type, self.end)
        now, last = end.at("r0"), self.h_end.at("r1")
        self.add(reload(self.x_end.at("r0"), self.x_end), vmov(end, self.x_end.at("r0")))
        with self.loop(2, behind=True) as between:
            with self.loop("all words"):
                self.words(2, turn=True)
                self.add(vmov(now, end), cmp(self.v, now))
            self.add(reload(last, self.h_end), cmp(now, last))
            outside, self.nodes = self.nodes, []
            self.add(vmov(end, last))
            self.from_x()
            self.next_words(starts, looped=True)
            self.add(*(mov_imm(r, 0) for r in zero))
            between += self.nodes
            self.nodes = outside

    def end_of_stream(self) -> None:
        """Saves r4 at the next word, or where the loop has it; r5 at the window again."""
        if self.looped:
            self.add(reload(self.v, self.start))
        else:
            self.advance()
        self.add(vmov(self.at.at("s8"), self.at))

    def next_block(self) -> None:
        """The end of the loop over blocks."""
        end = W_END.at("r0")
        self.add(vmov(self.at, self.at.at("s8")), vmov(end, W_END))
        if self.looped:
            end = Reg("end_before", self.at.type, "r0")
            self.add(sub(end, W_END.at("r0"), 4))
        self.add(cmp(self.at, end))

    def scale(self) -> None:
        """All sums 256 times as large."""
        for even, odd in zip(self.even, self.odd, strict=True):
            self.add(short(sub_reg, subs_reg, odd, odd, even))
        for even in self.even:
            self.add(short(lsl, lsls, even, even, 8))

    def from_x(self) -> None:
        """Requantise what x brings, into the scalars."""
        self.scale()
        sums = list(self.sums())
        for part in (sums[i : i + 4] for i in range(0, len(sums), 4)):
            m = multipliers(len(part))
            self.next_words(m, looped=self.looped)
            self.add(*(smmulr(r, r, m[i]) for i, (_, r) in enumerate(part)))
        self.add(*(ssat_half(r, r) for _, r in sums), *(vmov(s, r) for s, r in sums))

    def from_h(self, up: Sequence[int], *, alone: int = -1) -> None:
        """Add what h brings, and move up into the table. `up`: of each gate. `alone`: the gate of which h's part stays
        by itself."""
        self.scale()
        sums = list(self.sums())
        if self.given:
            self.add_given(alone)
        for at in () if self.given else range(0, len(sums), 3):
            part = sums[at : at + 3]
            m = multipliers(len(part))
            self.next_words(m, looped=self.looped)
            for i, (s, r) in enumerate(part):
                if (at + i) // 2 == alone:
                    self.add(smmulr(r, r, m[i]))
                else:
                    self.add(vmov(s.at("r3"), s), smmlar(r, r, m[i], s.at("r3")))
        for i, (_, r) in enumerate(sums):
            self.saturate(r, up[i // 2])

    def add_given(self, alone: int) -> None:
        """The sums of x are pairs of halves in memory; those of the gate that stands alone go into its scalars."""
        pairs, m = PAIRS.at("r5"), multipliers(2)
        self.add(vmov(pairs, PAIRS))
        scalars = [s for s, _ in self.sums()]
        for g, (even, odd) in enumerate(zip(self.even, self.odd, strict=True)):
            both, x_even, x_odd = Reg("both", INT, "r2"), scalars[2 * g].at("r3"), scalars[2 * g + 1].at("r2")
            self.next_words(m)
            self.add(ldr_post(both, pairs, 4), sxth(x_even, both), asrs(x_odd, both, 16))
            if g == alone:
                self.add(smmulr(even, even, m[0]), smmulr(odd, odd, m[1]))
                self.add(vmov(scalars[2 * g], x_even), vmov(scalars[2 * g + 1], x_odd))
            else:
                self.add(smmlar(even, even, m[0], x_even), smmlar(odd, odd, m[1], x_odd))
        self.add(vmov(PAIRS, pairs), vmov(WINDOW.at("r5"), WINDOW.at("s2")))

    def saturate(self, r: Reg, up: int) -> None:
        """To int16, moved up."""
        self.add(ssat_half_lsl(r, r, up) if up else ssat_half(r, r))

    def mask(self, r_shift: int) -> None:
        """Of what a table's lines are multiplied with."""
        self.add(mov_imm(MASK, 255 << r_shift))

    def curve(self, values: Sequence[Reg], temps: Sequence[str], table: Reg, r_shift: int) -> None:
        """Values of a table, left in the high halves."""
        for part in (values[i : i + len(temps)] for i in range(0, len(values), len(temps))):
            used = list(zip(part, temps, strict=False))
            index = [Reg(f"index{k}", INT, t) for k, (_, t) in enumerate(used)]
            entry = [Reg(f"entry{k}", INT, t) for k, (_, t) in enumerate(used)]
            step = [Reg(f"part{k}", BITS, r.place) for k, (r, _) in enumerate(used)]
            self.add(*(short(asr, asrs, i, r, 8) for i, r in zip(index, part, strict=True)))
            self.add(*(ldr_at(e, table, i) for e, i in zip(entry, index, strict=True)))
            self.add(*(and_lsl(d, MASK, r, r_shift) for d, r in zip(step, part, strict=True)))
            self.add(*(smlabb(r, d, e, e) for r, d, e in zip(part, step, entry, strict=True)))

    def store_h(self, both: tuple[Reg, Reg], down: int, h: Reg, y: Reg) -> None:
        """h of two units: moved down, their rounding added before, to int8, into the next window and the output."""
        for r in both:
            self.add(ssat8_asr(r, r, down) if down else ssat8(r, r))
        halves, h_at, y_at = Reg("halves", BITS, "r0"), h.at("r2"), y.at("r3")
        self.add(pkhbt_lsl16(halves, *both), str_post(halves, h_at, 4))
        self.add(*(strb_post(r, y_at, 1) for r in both), vmov(h, h_at), vmov(y, y_at))
