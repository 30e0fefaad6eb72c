"""Steps of recurrent layers: two units at a time with all their gates, on a window [x | h] of halves.

- `generate_lstm(shifts, words) -> StepView`, `generate_gru`: the view is `k` of the templates
  kernels/dsp/tg_recurrent_step.{h,c}.j2. `words` are the pairs of halves in the window, or None for a loop over them.

core/tg_recurrent_dsp.h says what a kernel reads, pack_recurrent.py writes the stream. A word holds two halves of the
window for two units, 256 * odd + even each: one SMLAD with the word as it is sums 256 * odd + even, one with its even
bytes sums even. Sums are then made 256 times as large, so that SMMULR is the requantisation with its shift of 24.

Registers: r0-r3 what is loaded, r4 the stream, r5 the window, r6-r12 and lr sums, even and odd by turns. Scalars: s0-s7
what x brings to the sums; s8 stream, s9 its end, s10 table of the gates, s11 of the input. LSTM: s12 cells, s13 end of
the loop, s14 halves of the next h, s15 output. GRU: s12 state, s13 halves of the next h, s14 output, s15 multiplier, s7
end of the loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

from tinygen.kernels.plane.lines import Writer

#: Sums of the even units and of the odd, gate by gate.
EVEN = ("r6", "r8", "r10", "r12")
ODD = ("r7", "r9", "r11", "lr")
#: Registers that instructions of 16 bits reach, and how far an offset of LDR goes in them.
LOW = tuple(f"r{i}" for i in range(8))
SHORT = 124


@dataclass(frozen=True, slots=True)
class StepView:
    """As the templates print it. `lines`: the body, in assembly; `shifts`: what the same in C depends on besides."""

    name: str
    family: str
    brief: str
    kind: str
    shifts: tuple[int, ...]
    lines: tuple[str, ...]

    @property
    def template(self) -> str:
        return "tg_inputs_step" if self.kind == "inputs" else "tg_recurrent_step"

    @property
    def size(self) -> int:
        """Bytes of code, nearly."""
        return sum(code_size(line) for line in self.lines)


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


@dataclass(frozen=True, slots=True)
class GruShifts:
    """As in `GruRule`, and those of the tables."""

    f_up: int
    g_up: int
    r_down: int
    z_down: int
    h_down: int
    gate_r: int
    inner_r: int


#: Pairs of halves of x and of h in the window: unrolled for them, or looped, for any, when None. No x: what it brings
#: to the sums is there already, from `generate_inputs`.
Words = tuple[int, int] | None


def generate_lstm(shifts: LstmShifts, words: Words) -> StepView:
    """One step of an LSTM."""
    return _view("lstm", "an LSTM", astuple(shifts), words, _Lstm(shifts, words).kernel())


def generate_gru(shifts: GruShifts, words: Words) -> StepView:
    """One step of a GRU whose reset gate multiplies R * h."""
    return _view("gru", "a GRU", astuple(shifts), words, _Gru(shifts, words).kernel())


def generate_inputs(words: int) -> StepView:
    """What x brings to the sums of two steps at once."""
    lines = tuple(_Inputs(words).kernel())
    return StepView(
        f"tg_inputs_{words}_dsp",
        "tg_inputs_",
        f"What {2 * words} inputs of two steps bring.",
        "inputs",
        (words,),
        lines,
    )


def _view(kind: str, of: str, shifts: tuple[int, ...], words: Words, lines: Sequence[str]) -> StepView:
    if words is None:
        shape, family, size = "l", "l_ looped", "any number of inputs and units"
    elif words[0]:
        shape, family, size = f"{words[0]}x{words[1]}", "", f"{2 * words[0]} inputs, {2 * words[1]} units"
    else:
        shape, family, size = f"px{words[1]}", "px", f"{2 * words[1]} units, behind tg_inputs"
    name = f"tg_{kind}_step_{shape}_{'_'.join(map(str, shifts))}_dsp"
    return StepView(name, f"tg_{kind}_step_{family}", f"A step of {of}: {size}.", kind, shifts, tuple(lines))


def code_size(line: str) -> int:
    """Bytes of an instruction: 2 for the short ones that these kernels use."""
    if line.endswith(":"):
        return 0
    operation, _, operands = line.partition(" ")
    if operation in ("push", "cmp", "subs", "lsls", "asrs"):
        return 2 if operation != "push" or "r11" not in operands else 4
    if operation == "mov" and "#" not in operands:
        return 2
    if operation == "ldr" and "!" not in operands and "lsl" not in operands:
        to, _, rest = operands.partition(", ")
        base, _, offset = rest.strip("[]").partition(", #")
        return 2 if to in LOW and base in (*LOW, "sp") and int(offset or 0) <= SHORT else 4
    return 4


def short(operation: str, *registers: str) -> str:
    """The form that sets flags, where it takes 16 bits."""
    return operation + ("s" if all(r in LOW for r in registers) else "")


class _Step(Writer):
    """What steps have in common. Looped, x and h share one loop, r4 and r5 point to the word before the next, and on
    the stack are the ends of x and h in the window, and its start."""

    #: Row pairs of a block.
    gates = 4
    temps: tuple[str, ...] = ("r0", "r1", "r2", "r3")
    #: The scalar that holds the end of the loop.
    end: str
    #: Bytes of the stack, without the ends.
    frame = 0

    def __init__(self, words: Words) -> None:
        super().__init__()
        self.x_words, self.h_words = words or (0, 0)
        looped = self.looped = words is None
        #: What x brings is there already: s1 points to it, s2 is the window.
        self.given = words is not None and not self.x_words
        #: Bytes that the ends take, below the rest.
        self.ends = 12 if looped else 0
        #: How far r4 is behind the next word of the stream, and r5 behind that of the window, in bytes.
        self.behind = self.x_behind = 4 if looped else 0

    def begin(self) -> None:
        """r5 at the window, r4 at the stream; the loop over blocks begins."""
        if self.looped:
            self.op("ldr r4, [r0, #4]", "ldr r5, [r0, #8]", "sub r1, r1, #4", "add r4, r4, r1", "add r5, r5, r4")
            self.op("push {r1, r4, r5}", "mov r5, r1", "vmov r4, s8", "sub r4, r4, #4", "1:")
        elif self.given:
            self.op("ldr r4, [r0, #12]", "vmov s1, r4", "vmov s2, r1", "mov r5, r1", "vmov r4, s8", "1:")
        else:
            self.op("mov r5, r1", "vmov r4, s8", "1:")

    def sums_of_a_block(self, starts: Sequence[str] = ()) -> None:
        """From biases to sums in the registers, ready for `from_h`. `starts`: sums of h that begin with a bias."""
        biases = [r for _, r in self.sums()]
        zero = [r for r in biases if r not in starts]
        if not self.looped:
            if not self.given:
                self.op(f"ldmia r4!, {{{', '.join(biases)}}}")
                self.words(self.x_words)
                self.from_x()
            self.next_words(starts)
            self.words(self.h_words, len(zero) // 2)
            return
        self.next_words(biases)
        self.op("ldr r0, [sp, #4]", f"vmov {self.end}, r0", "2:")
        self.words(2, turn=True)
        self.op(f"vmov r0, {self.end}", "cmp r5, r0", "bne.w 2b")
        self.op("ldr r1, [sp, #8]", "cmp r0, r1", "beq.w 3f", f"vmov {self.end}, r1")
        self.from_x()
        self.next_words(starts)
        self.op(*(f"mov {r}, #0" for r in zero), "b.w 2b", "3:")

    def words(self, count: int, first: int = 0, *, turn: bool = False) -> None:
        """The next `count` words of the window. `first`: of so many gates the sums begin here. `turn`: of the loop,
        which leaves r4 and r5 at the last words."""
        items: list[tuple[int, int]] = [(k, g) for k in range(count) for g in range(-1, self.gates)]
        ends = {(count - 1, -1), (count - 1, self.gates - 1)} if turn else set()
        held: dict[tuple[int, int], str] = {}
        free = list(self.temps)
        while items:
            group = [items.pop(0) for _ in range(min(len(free), len(items)))]
            for item in group:
                held[item] = free.pop(0)
            self.load(group, held, ends)
            done = [i for i in group if i[1] >= 0]
            for pair in (done[i : i + 2] for i in range(0, len(done), 2)):
                self.multiply([(held[i], held[i[0], -1], i[1], i[1] < first and i[0] == 0) for i in pair])
            for item in done:
                free.append(held.pop(item))
                if item[1] == self.gates - 1:
                    free.append(held.pop((item[0], -1)))
            free.sort()

    def load(
        self, group: Sequence[tuple[int, int]], held: dict[tuple[int, int], str], ends: set[tuple[int, int]]
    ) -> None:
        """A group of loads, which the Cortex-M4 pipelines. Those of `ends` move their pointer to what they load, and so
        does the last of the stream when the next would be too far for a short instruction."""
        last = max((i for i in group if i[1] >= 0), default=None)
        for item in group:
            to = held[item]
            if item[1] < 0:
                self.op(f"ldr {to}, [r5, #{self.x_behind}]{'!' if item in ends else ''}")
                self.x_behind = 4 if item in ends else self.x_behind + 4
            else:
                far = not ends and item == last and self.behind + 4 * len(group) + 4 > SHORT
                self.op(f"ldr {to}, [r4, #{self.behind}]{'!' if far or item in ends else ''}")
                self.behind = 4 if far or item in ends else self.behind + 4

    def next_words(self, registers: Sequence[str]) -> None:
        """The next words of the stream into registers."""
        for r in registers:
            back = self.looped and r == registers[-1]
            self.op(f"ldr {r}, [r4, #{self.behind}]{'!' if back else ''}")
            self.behind = 4 if back else self.behind + 4

    def end_of_stream(self) -> None:
        """Saves r4 at the next word, or where the loop has it; r5 at the window again."""
        if self.looped:
            self.op("ldr r5, [sp]")
        else:
            self.add("r4", "r4", self.behind, "r0")
            self.behind = self.x_behind = 0
        self.op("vmov s8, r4")

    def next_block(self) -> None:
        """The end of the loop over blocks, and of the step."""
        self.op("vmov r4, s8", "vmov r0, s9")
        if self.looped:
            self.op("sub r0, r0, #4")
        self.op("cmp r4, r0", "bne.w 1b")
        frame = self.frame + self.ends
        self.op(*((f"add sp, sp, #{frame}",) if frame else ()), "pop {r4-r11, pc}")

    def multiply(self, words: Sequence[tuple[str, str, int, bool]]) -> None:
        """(word, x, gate, whether its sums begin): two at a time, for cores that issue two instructions."""
        for w, x, g, first in words:
            self.op(f"smuad {ODD[g]}, {w}, {x}" if first else f"smlad {ODD[g]}, {w}, {x}, {ODD[g]}")
            self.op(f"sxtb16 {w}, {w}")
        for w, x, g, first in words:
            self.op(f"smuad {EVEN[g]}, {w}, {x}" if first else f"smlad {EVEN[g]}, {w}, {x}, {EVEN[g]}")

    def scale(self) -> None:
        """All sums 256 times as large."""
        for g in range(self.gates):
            self.op(f"{short('sub', ODD[g], EVEN[g])} {ODD[g]}, {ODD[g]}, {EVEN[g]}")
        for g in range(self.gates):
            self.op(f"{short('lsl', EVEN[g])} {EVEN[g]}, {EVEN[g]}, #8")

    def sums(self) -> Iterator[tuple[int, str]]:
        """(scalar, register)."""
        for g in range(self.gates):
            yield 2 * g, EVEN[g]
            yield 2 * g + 1, ODD[g]

    def from_x(self) -> None:
        """Requantise what x brings, into the scalars."""
        self.scale()
        sums = list(self.sums())
        for part in (sums[i : i + 4] for i in range(0, len(sums), 4)):
            self.next_words([f"r{i}" for i in range(len(part))])
            for i, (_, r) in enumerate(part):
                self.op(f"smmulr {r}, {r}, r{i}")
        for _, r in sums:
            self.op(f"ssat {r}, #16, {r}")
        for s, r in sums:
            self.op(f"vmov s{s}, {r}")

    def from_h(self, up: Sequence[int], *, alone: int = -1) -> None:
        """Add what h brings, and move up into the table. `up`: of each gate. `alone`: the gate of which h's part stays
        by itself."""
        self.scale()
        sums = list(self.sums())
        if self.given:
            self.add_given(alone)
        for part in () if self.given else (sums[i : i + 3] for i in range(0, len(sums), 3)):
            self.next_words([f"r{i}" for i in range(len(part))])
            for i, (s, r) in enumerate(part):
                if s // 2 == alone:
                    self.op(f"smmulr {r}, {r}, r{i}")
                else:
                    self.op(f"vmov r3, s{s}", f"smmlar {r}, {r}, r{i}, r3")
        for s, r in sums:
            self.saturate(r, up[s // 2])

    def add_given(self, alone: int) -> None:
        """The sums of x are pairs of halves in memory; those of the gate that stands alone go into its scalars."""
        self.op("vmov r5, s1")
        for g in range(self.gates):
            self.next_words(("r0", "r1"))
            self.op("ldr r2, [r5], #4", "sxth r3, r2", "asrs r2, r2, #16")
            if g == alone:
                self.op(f"smmulr {EVEN[g]}, {EVEN[g]}, r0", f"smmulr {ODD[g]}, {ODD[g]}, r1")
                self.op(f"vmov s{2 * g}, r3", f"vmov s{2 * g + 1}, r2")
            else:
                self.op(f"smmlar {EVEN[g]}, {EVEN[g]}, r0, r3", f"smmlar {ODD[g]}, {ODD[g]}, r1, r2")
        self.op("vmov s1, r5", "vmov r5, s2")

    def saturate(self, r: str, up: int) -> None:
        """To int16, moved up."""
        self.op(f"ssat {r}, #16, {r}, lsl #{up}" if up else f"ssat {r}, #16, {r}")

    def narrow(self, first: str, second: str, down: int) -> None:
        """Two values of h to int8: moved down, their rounding added before."""
        for r in (first, second):
            self.op(f"ssat {r}, #8, {r}, asr #{down}" if down else f"ssat {r}, #8, {r}")

    def curve(self, registers: Sequence[str], temps: Sequence[str], table: str, mask: str, r_shift: int) -> None:
        """Values of a table, left in the high halves."""
        for part in (registers[i : i + len(temps)] for i in range(0, len(registers), len(temps))):
            used = list(zip(part, temps, strict=False))
            self.op(*(f"{short('asr', r, t)} {t}, {r}, #8" for r, t in used))
            self.op(*(f"ldr {t}, [{table}, {t}, lsl #2]" for _, t in used))
            self.op(*(f"and {r}, {mask}, {r}, lsl #{r_shift}" for r, _ in used))
            self.op(*(f"smlabb {r}, {r}, {t}, {t}" for r, t in used))


class _Lstm(_Step):
    """Gates i, o, f and the input's, as ONNX has them. On the stack: table of the outer curve, the multiplier that
    narrows h."""

    end = "s13"
    frame = 8

    def __init__(self, shifts: LstmShifts, words: Words) -> None:
        super().__init__(words)
        self.s = shifts

    def kernel(self) -> list[str]:
        s = self.s
        self.op("push {r4-r11, lr}", "vldmia r0!, {s8-s12}", "vmov s14, r2", "vmov s15, r3")
        self.op("ldr r4, [r0], #4", "ldr r5, [r0]", "push {r4, r5}")
        self.begin()
        self.sums_of_a_block()
        self.from_h((s.f_up, s.f_up, s.f_up, s.g_up))
        self.end_of_stream()
        self.op("vmov r4, s10", f"mov r3, #{255 << s.gate_r}")
        self.curve(("r6", "r7", "r8", "r9", "r10", "r11"), ("r0", "r1", "r2"), "r4", "r3", s.gate_r)
        self.op("vmov r4, s11")
        if s.inner_r != s.gate_r:
            self.op(f"mov r3, #{255 << s.inner_r}")
        self.curve(("r12", "lr"), ("r0", "r1"), "r4", "r3", s.inner_r)
        self.cells()
        self.outputs()
        self.next_block()
        return self.lines

    def cells(self) -> None:
        """New cells, and into r6 and r7 their outer curve."""
        s = self.s
        self.op("vmov r0, s12", f"ldr r4, [sp, #{self.ends}]", "ldr r1, [r0]", "ldr r2, [r0, #4]")
        self.op("smulwt r1, r1, r10", "smulwt r2, r2, r11")
        if s.ig_down:
            self.op(f"mov r10, #{1 << s.ig_down >> 1}")
            self.op("smlatt r6, r6, r12, r10", "smlatt r7, r7, lr, r10")
            self.op(f"asr r6, r6, #{s.ig_down}", f"asr r7, r7, #{s.ig_down}")
        else:
            self.op("smultt r6, r6, r12", "smultt r7, r7, lr")
        up = f", lsl #{s.c_up}" if s.c_up else ""
        self.op(f"add r1, r6, r1{up}", f"add r2, r7, r2{up}", "ssat r1, #24, r1", "ssat r2, #24, r2")
        self.op("str r1, [r0], #4", "str r2, [r0], #4", "vmov s12, r0")
        if s.t_down:
            self.op(f"add r6, r1, #{1 << s.t_down >> 1}", f"add r7, r2, #{1 << s.t_down >> 1}")
            self.op(f"ssat r6, #16, r6, asr #{s.t_down}", f"ssat r7, #16, r7, asr #{s.t_down}")
        else:
            self.op("ssat r6, #16, r1", "ssat r7, #16, r2")
        if s.outer_r != s.inner_r:
            self.op(f"mov r3, #{255 << s.outer_r}")
        self.curve(("r6", "r7"), ("r0", "r1"), "r4", "r3", s.outer_r)

    def outputs(self) -> None:
        """h of two units: narrowed, into the next window and the output."""
        down = self.s.h_down
        self.op(f"ldr r0, [sp, #{self.ends + 4}]", f"mov r1, #{1 << down >> 1}", "vmov r2, s14", "vmov r3, s15")
        self.op("smultt r6, r6, r8", "smultt r7, r7, r9", "smlawb r6, r6, r0, r1", "smlawb r7, r7, r0, r1")
        self.narrow("r6", "r7", down)
        self.op("pkhbt r0, r6, r7, lsl #16", "str r0, [r2], #4", "strb r6, [r3], #1", "strb r7, [r3], #1")
        self.op("vmov s14, r2", "vmov s15, r3")


class _Gru(_Step):
    """Gates z, r and the candidate's, as ONNX has them."""

    end = "s7"
    gates = 3
    temps = ("r0", "r1", "r12", "r2", "r3", "lr")

    def __init__(self, shifts: GruShifts, words: Words) -> None:
        super().__init__(words)
        self.s = shifts

    def kernel(self) -> list[str]:
        s = self.s
        self.op("push {r4-r11, lr}", "vldmia r0!, {s8-s12}", "vldr s15, [r0]")
        self.op("vmov s13, r2", "vmov s14, r3")
        self.begin()
        self.sums_of_a_block((EVEN[2], ODD[2]))
        self.from_h((s.f_up, s.f_up, 0), alone=2)
        self.end_of_stream()
        self.op("vmov r4, s10", f"mov r3, #{255 << s.gate_r}")
        self.curve(("r6", "r7", "r8", "r9"), ("r0", "r1", "r2", "r12"), "r4", "r3", s.gate_r)
        self.candidate()
        self.state()
        self.next_block()
        return self.lines

    def candidate(self) -> None:
        """Its sum, through its curve: r10 and r11."""
        s = self.s
        self.op("vmov r4, s11", "vmov r0, s4", "vmov r1, s5")
        if s.r_down:
            self.op(f"mov r2, #{1 << s.r_down >> 1}", "smlatb r8, r8, r10, r2", "smlatb r9, r9, r11, r2")
            self.op(f"add r10, r0, r8, asr #{s.r_down}", f"add r11, r1, r9, asr #{s.r_down}")
        else:
            self.op("smlatb r10, r8, r10, r0", "smlatb r11, r9, r11, r1")
        self.saturate("r10", s.g_up)
        self.saturate("r11", s.g_up)
        if s.inner_r != s.gate_r:
            self.op(f"mov r3, #{255 << s.inner_r}")
        self.curve(("r10", "r11"), ("r0", "r1"), "r4", "r3", s.inner_r)

    def state(self) -> None:
        """The new state, and h: narrowed, into the next window and the output."""
        s = self.s
        self.op("vmov r0, s12", "vmov r4, s15", f"mov r3, #{1 << s.z_down >> 1}", "ldr r1, [r0]")
        self.op("asr r10, r10, #16", "asr r11, r11, #16", "asr r6, r6, #16", "asr r7, r7, #16")
        self.op("sxth r8, r1", "rsb r9, r11, r1, asr #16", "sub r8, r8, r10")
        self.op("mla r8, r6, r8, r3", "mla r9, r7, r9, r3")
        for n, r in (("r10", "r8"), ("r11", "r9")):
            self.op(f"add {n}, {n}, {r}, asr #{s.z_down}" if s.z_down else f"add {n}, {n}, {r}")
        self.op("ssat r10, #16, r10", "ssat r11, #16, r11", "pkhbt r1, r10, r11, lsl #16", "str r1, [r0], #4")
        if s.h_down:
            self.op(f"mov r3, #{1 << s.h_down >> 1}", "smlabb r6, r10, r4, r3", "smlabb r7, r11, r4, r3")
        else:
            self.op("smulbb r6, r10, r4", "smulbb r7, r11, r4")
        self.op("vmov s12, r0", "vmov r2, s13", "vmov r3, s14")
        self.narrow("r6", "r7", s.h_down)
        self.op("pkhbt r0, r6, r7, lsl #16", "str r0, [r2], #4", "strb r6, [r3], #1", "strb r7, [r3], #1")
        self.op("vmov s13, r2", "vmov s14, r3")


class _Inputs(_Step):
    """Two row pairs for two steps at a time: r6-r9 sums of the first step, r10-r12 and lr of the second, whose x lies
    behind that of the first in the window. s8 stream, s9 its end, s10 and s11 where the two steps' pairs go."""

    gates = 2
    first, second = ("r6", "r7", "r8", "r9"), ("r10", "r11", "r12", "lr")

    def __init__(self, words: int) -> None:
        super().__init__((words, 0))

    def kernel(self) -> list[str]:
        self.op("push {r4-r11, lr}", "vldmia r0, {s8-s11}", "mov r5, r1", "vmov r4, s8", "1:", "ldmia r4!, {r6-r9}")
        for k in range(self.x_words):
            self.pair_of_steps(k)
        sums = (*self.first, *self.second)
        for half in (self.first, self.second):
            self.op(*(f"sub {half[i + 1]}, {half[i + 1]}, {half[i]}" for i in (0, 2)))
            self.op(*(f"lsl {half[i]}, {half[i]}, #8" for i in (0, 2)))
        self.next_words(self.temps)
        for half in (self.first, self.second):
            self.op(*(f"smmulr {r}, {r}, {m}" for r, m in zip(half, self.temps, strict=True)))
        self.op(*(f"ssat {r}, #16, {r}" for r in sums))
        self.op(*(f"pkhbt {sums[i]}, {sums[i]}, {sums[i + 1]}, lsl #16" for i in range(0, 8, 2)))
        self.op("vmov r0, s10", "vmov r1, s11", "vmov r2, s9")
        self.op("str r6, [r0], #4", "str r8, [r0], #4", "str r10, [r1], #4", "str r12, [r1], #4")
        self.op("vmov s10, r0", "vmov s11, r1")
        self.add("r4", "r4", self.behind, "r0")
        self.op("cmp r4, r2", "bne.w 1b", "pop {r4-r11, pc}")
        return self.lines

    def pair_of_steps(self, k: int) -> None:
        """One word of each x, against the words of two row pairs."""
        self.op(f"ldr r0, [r5, #{4 * k}]", f"ldr r1, [r5, #{4 * (k + self.x_words)}]")
        self.load([(k, 0), (k, 1)], {(k, 0): "r2", (k, 1): "r3"}, set())
        for w, i in (("r2", 0), ("r3", 2)):
            # the biases stand in the first step's sums
            self.op(f"smlad {self.second[i + 1]}, {w}, r1, {self.second[i + 1] if k else self.first[i + 1]}")
            self.op(f"smlad {self.first[i + 1]}, {w}, r0, {self.first[i + 1]}", f"sxtb16 {w}, {w}")
            self.op(f"smlad {self.second[i]}, {w}, r1, {self.second[i] if k else self.first[i]}")
            self.op(f"smlad {self.first[i]}, {w}, r0, {self.first[i]}")
