"""Depthwise kernels of one row of k taps, stride 1, made for one shape (pack_dwplane.py says the rest).

- `generate_dwrow(config, k, unroll=1024) -> LinesView`: `config` is what `dwplane_config` gives; templates and
  arguments as for kernels/plane/. `unroll`: outputs are unrolled when the kernel then has at most so many bytes.

P(i) = (x[i], x[i + 2]); a word of four bytes at i gives P(i) and P(i + 1) by two SXTB16, and one SMLAD takes two taps.
Three ways, after the number of taps:

- up to 7, *ring*: outputs one after the other; a ring of words in registers slides along, each is loaded once.
- up to 12, *phases*: outputs 0, 4, 8, ... then 1, 5, 9, ...: they share words, each goes to all outputs that need it.
- above, *stream*: weights are loaded again for each output; meant for rows with few outputs.

Registers: r0 input, r1 multiplier, r2 output, others as they come; s0 bias; s1 multiplier, s5 weights (stream); s2 end
of the rows, s3 of the outputs, s4 of the phases, s6 s7 the row's input and output; s8 s9 s10 input, constants and
output of the next channel, s11 end of the constants.
"""

from __future__ import annotations

from tinygen.kernels.plane.lines import REACH, LinesView, Writer, code_bytes

#: Outputs of one round of the phases; longer rows take several rounds.
CHUNK = 32
RING_TAPS = 7
PHASE_TAPS = 12


def dwrow_words(k: int) -> int:
    """Words of weights: pairs of taps, and the last with the zero point."""
    return 2 * (k // 4) + 1 + (k & 2) // 2


def generate_dwrow(config: dict[str, int], k: int, unroll: int = 1024) -> LinesView:
    """See the head of this file."""
    writer = _Ring if k <= RING_TAPS else _Phases if k <= PHASE_TAPS else _Stream
    lines = writer(config, k, looped=False).kernel()
    looped = code_bytes(lines) > unroll
    if looped:
        lines = writer(config, k, looped=True).kernel()
    narrow = config["lo"] > -128 or config["hi"] < 127
    strides = "x".join(str(config[f]) for f in ("row_stride", "plane_stride", "out_row", "out_col", "out_chan"))
    sizes = f"{config['out_h']}x{config['out_w']}"
    return LinesView(
        f"tg_dwrow{k}_{sizes}_{strides}{'_l' if looped else ''}{'_n' if narrow else ''}_dsp",
        f"tg_dwrow{' looped' if looped else ''}",
        f"Depthwise convolution of {k} taps along the rows of planes, for one shape: {sizes} outputs.",
        f"tg_dwrow_plain(cfg, {k}, x, w, y)",
        tuple(lines),
        "tg_dwplane_clamp(cfg, y);" if narrow else "",
    )


class _Row(Writer):
    """What the three ways have in common: channels, rows, and the end of an output."""

    def __init__(self, config: dict[str, int], k: int, *, looped: bool) -> None:
        super().__init__()
        self.c = config
        self.k = k
        self.looped = looped
        self.words = dwrow_words(k)
        #: How far r0 and r2 are ahead of the row's start.
        self.x_ahead = 0
        self.y_ahead = 0
        #: Registers of the weights; the last holds the zero point.
        self.w: list[str] = []

    def constants(self) -> None:
        """Load a channel's constants from r12, and move r12 behind them."""
        raise NotImplementedError

    def row(self) -> None:
        """All outputs of a row; may leave r0 and r2 anywhere."""
        raise NotImplementedError

    def kernel(self) -> list[str]:
        """All channels."""
        c = self.c
        self.op("push {r4-r11, lr}", "ldrh r12, [r0]", f"movw r0, #{4 * (2 + self.words)}", "mla r12, r12, r0, r2")
        self.op("vmov s8, r1", "vmov s9, r2", "vmov s10, r3", "vmov s11, r12", "1:")
        self.op("vmov r0, s8", "vmov r12, s9", "vmov r2, s10")
        self.add("lr", "r0", c["plane_stride"], "lr")
        self.op("vmov s8, lr")
        self.add("lr", "r2", c["out_chan"], "lr")
        self.op("vmov s10, lr")
        self.constants()
        self.op("vmov s9, r12")
        if c["out_h"] > 1:
            self.add("lr", "r0", c["out_h"] * c["row_stride"], "lr")
            self.op("vmov s2, lr", "5:", "vmov s6, r0", "vmov s7, r2")
        self.row()
        if c["out_h"] > 1:
            self.op("vmov r0, s6", "vmov r2, s7")
            self.add("r0", "r0", c["row_stride"], "lr")
            self.add("r2", "r2", c["out_row"], "lr")
            self.op("vmov lr, s2", "cmp r0, lr", "bne.w 5b")
        self.op("vmov r0, s9", "vmov r1, s11", "cmp r0, r1", "bne.w 1b", "pop {r4-r11, pc}")
        return self.lines

    def finish(self, out: int, acc: str, m: str = "r1") -> None:
        """Requantise, clamp and store: the high half of the zero point's word is added too, but not looked at."""
        self.op(f"smmlar {acc}, {acc}, {m}, {self.w[-1]}", f"ssat16 {acc}, #8, {acc}")
        at = out * self.c["out_col"] - self.y_ahead
        if not -255 <= at <= REACH:  # outputs of a phase are four apart: the next phase goes back
            self.y_ahead += at
            way, left = ("add", at) if at > 0 else ("sub", -at)
            while left:
                step = min(left, REACH)
                self.op(f"{way} r2, r2, #{step}")
                left -= step
            at = 0
        self.op(f"strb {acc}, [r2, #{at}]")

    def word(self, at: int, first: str, second: str) -> None:
        """P(at) and P(at + 1)."""
        offset = at - self.x_ahead
        if offset > REACH:
            self.add("r0", "r0", offset, second)
            self.x_ahead, offset = at, 0
        self.op(f"ldr {second}, [r0, #{offset}]", f"sxtb16 {first}, {second}", f"sxtb16 {second}, {second}, ror #8")

    def rewind(self, x: int, y: int, temp: str) -> None:
        """Set r0 and r2 to bytes x and y from the row's start, which is the new start."""
        self.add("r0", "r0", x - self.x_ahead, temp)
        self.add("r2", "r2", y - self.y_ahead, temp)
        self.x_ahead = self.y_ahead = 0


class _Ring(_Row):
    """Outputs one after the other, two for each word."""

    def __init__(self, config: dict[str, int], k: int, *, looped: bool) -> None:
        super().__init__(config, k, looped=looped)
        #: Words that are live at once.
        self.depth = {2: 1, 3: 1, 4: 2, 5: 2, 6: 3, 7: 3}[k]
        free = [f"r{i}" for i in range(3, 13)]
        self.bias = free.pop(0) if self.words + 2 * self.depth < len(free) else ""
        self.w = free[: self.words]
        self.x = free[self.words :]

    def constants(self) -> None:
        if self.bias:
            self.op(f"ldmia r12!, {{r1, {self.bias}, {', '.join(self.w)}}}")
        else:
            self.op("ldr r1, [r12], #4", "vldmia r12!, {s0}", f"ldmia r12!, {{{', '.join(self.w)}}}")

    def load(self, i: int) -> None:
        """Word i: P(2 * i) and P(2 * i + 1)."""
        slot = 2 * (i % self.depth)
        self.word(2 * i, self.x[slot], self.x[slot + 1])

    def half(self, pair: int, at: int) -> tuple[str, str]:
        """A register and its half that holds x[at] while outputs 2 * pair and the next are made."""
        p, half = (at - 2, "t") if at - 2 >= 2 * pair else (at, "b")
        return self.of(p), half

    def of(self, p: int) -> str:
        """The register of P(p)."""
        return self.x[2 * (p // 2 % self.depth) + p % 2]

    def output(self, o: int) -> None:
        """One output, in lr."""
        k, pair = self.k, o // 2
        whole = k - k % 4
        terms = []
        for t in range(0, whole, 4):
            terms += [(self.of(o + t), self.w[t // 2], "d"), (self.of(o + t + 1), self.w[t // 2 + 1], "d")]
        if k % 4 == 3:
            terms.append((self.of(o + whole), self.w[-2], "d"))
        singles = {0: [], 1: [(whole, -1)], 2: [(whole, -2), (whole + 1, -1)], 3: [(whole + 1, -1)]}[k % 4]
        for t, index in singles:
            register, half = self.half(pair, o + t)
            terms.append((register, self.w[index], half))
        start = self.bias
        if not start:
            self.op("vmov lr, s0")
            start = "lr"
        for register, w, half in terms:
            self.op(f"{'smlad' if half == 'd' else f'smla{half}t'} lr, {register}, {w}, {start}")
            start = "lr"
        self.finish(o, "lr")

    def pairs(self, first: int, end: int) -> None:
        """Outputs 2 * first up to 2 * end."""
        for pair in range(first, end):
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
            self.add("lr", "r0", 2 * around * rounds, "lr")
            self.op("vmov s3, lr", "3:")
            self.pairs(0, around)
            self.rewind(2 * around, 2 * around * self.c["out_col"], "lr")
            self.op("vmov lr, s3", "cmp r0, lr", "bne.w 3b")
            pairs -= around * rounds
        self.pairs(0, pairs)
        if single:
            self.load(pairs + self.depth - 1)
            self.output(2 * pairs)


class _Phases(_Row):
    """Every fourth output at a time: they use the same words."""

    def __init__(self, config: dict[str, int], k: int, *, looped: bool) -> None:
        super().__init__(config, k, looped=looped)
        #: Words an output reads.
        self.reach = -(-k // 4)
        free = [f"r{i}" for i in range(3, 13)]
        used = self.words + self.reach - 1 + 2
        self.bias = free.pop(0) if used + 1 <= len(free) + 1 else ""
        self.w = free[: self.words]
        rest = [*free[self.words :], "lr"]
        self.acc = rest[: self.reach - 1]
        self.x = rest[self.reach - 1 : self.reach + 1]

    def constants(self) -> None:
        if self.bias:
            self.op(f"ldmia r12!, {{r1, {self.bias}, {', '.join(self.w)}}}")
        else:
            self.op("ldr r1, [r12], #4", "vldmia r12!, {s0}", f"ldmia r12!, {{{', '.join(self.w)}}}")

    def multiply(self, word: int, acc: str, start: str) -> None:
        """acc = start + the products of four taps, or of the rest."""
        even, odd = self.x
        rest = self.k - 4 * word
        if rest >= 4:
            terms = [("smlad", even, self.w[2 * word]), ("smlad", odd, self.w[2 * word + 1])]
        elif rest == 3:
            terms = [("smlad", even, self.w[-2]), ("smlabt", odd, self.w[-1])]
        elif rest == 2:
            terms = [("smlabt", even, self.w[-2]), ("smlabt", odd, self.w[-1])]
        else:
            terms = [("smlabt", even, self.w[-1])]
        for op, x, w in terms:
            self.op(f"{op} {acc}, {x}, {w}, {start}")
            start = acc

    def phase(self, first: int, count: int) -> None:
        """Outputs first, first + 4, ..."""
        for j in range(count + self.reach - 1):
            self.word(first + 4 * j, *self.x)
            for word in range(self.reach - 1, -1, -1):
                out = j - word
                if 0 <= out < count:
                    acc = self.acc[out % len(self.acc)]
                    start = acc
                    if word == 0 and self.bias:
                        start = self.bias
                    elif word == 0:
                        self.op(f"vmov {acc}, s0")
                    self.multiply(word, acc, start)
                    if word == self.reach - 1:
                        self.finish(first + 4 * out, acc)

    def phases(self, first: int, end: int, count: int, label: str) -> None:
        """Phases with so many outputs each."""
        if not self.looped or end - first < 2:
            for phase in range(first, end):
                self.phase(phase, count)
            return
        temp = self.x[1]
        self.rewind(first, first * self.c["out_col"], temp)
        self.add(temp, "r0", end - first, temp)
        self.op(f"vmov s4, {temp}", f"{label}:")
        self.phase(0, count)
        self.rewind(1, self.c["out_col"], temp)
        self.op(f"vmov {temp}, s4", f"cmp r0, {temp}", f"bne.w {label}b")
        self.x_ahead, self.y_ahead = end, end * self.c["out_col"]

    def outputs(self, n: int) -> None:
        """The next n outputs."""
        count, more = divmod(n, 4)
        self.phases(0, more, count + 1, "3")
        if count:
            self.phases(more, 4, count, "4")

    def row(self) -> None:
        self.x_ahead = self.y_ahead = 0
        chunks, rest = divmod(self.c["out_w"], CHUNK)
        if chunks:
            temp = self.x[1]
            self.add(temp, "r0", CHUNK * chunks, temp)
            self.op(f"vmov s3, {temp}", "6:")
            self.outputs(CHUNK)
            self.rewind(CHUNK, CHUNK * self.c["out_col"], temp)
            self.op(f"vmov {temp}, s3", f"cmp r0, {temp}", "bne.w 6b")
        if rest:
            self.outputs(rest)


class _Stream(_Row):
    """One output after the other, with weights from memory: r3..r8 weights, r9..r11 words, lr the sum."""

    def constants(self) -> None:
        self.op("vldmia r12!, {s1}", "vldmia r12!, {s0}", "vmov s5, r12")
        self.add("r12", "r12", 4 * self.words, "lr")

    def row(self) -> None:
        n, col = self.c["out_w"], self.c["out_col"]
        self.x_ahead = self.y_ahead = 0
        if n > 1:
            self.add("lr", "r0", n, "lr")
            self.op("vmov s3, lr", "3:")
        self.op("vmov r12, s5", "vmov lr, s0")
        left, at = self.words, 0
        while left:
            self.w = [f"r{3 + i}" for i in range(min(left, 6))]
            left -= len(self.w)
            at = self.taps(at, left == 0)
        self.op("vmov r1, s1")
        self.finish(0, "lr")
        if n > 1:
            self.rewind(1, col, "r1")
            self.op("vmov r1, s3", "cmp r0, r1", "bne.w 3b")

    def taps(self, at: int, last: bool) -> int:
        """The taps of up to six words of weights; gives the tap behind them."""
        pairs = len(self.w) // 2 * 2
        rest = self.k - at if last else 0
        words = pairs // 2 if not last else -(-rest // 4)
        if at - self.x_ahead + 4 * words > REACH:
            self.add("r0", "r0", at - self.x_ahead, "r1")
            self.x_ahead = at
        self.op(f"ldmia r12!, {{{', '.join(self.w)}}}")
        self.op(*(f"ldr r{9 + i}, [r0, #{at + 4 * i - self.x_ahead}]" for i in range(words)))
        for i in range(words):
            x, left = f"r{9 + i}", self.k - at - 4 * i
            self.op(f"sxtb16 r1, {x}", f"sxtb16 {x}, {x}, ror #8")
            if left >= 4:
                self.op(f"smlad lr, r1, {self.w[2 * i]}, lr", f"smlad lr, {x}, {self.w[2 * i + 1]}, lr")
            elif left == 3:
                self.op(f"smlad lr, r1, {self.w[-2]}, lr", f"smlabt lr, {x}, {self.w[-1]}, lr")
            elif left == 2:
                self.op(f"smlabt lr, r1, {self.w[-2]}, lr", f"smlabt lr, {x}, {self.w[-1]}, lr")
            else:
                self.op(f"smlabt lr, r1, {self.w[-1]}, lr")
        return at + 4 * words
