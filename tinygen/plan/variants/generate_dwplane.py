"""3 x 3 depthwise kernels made for one shape: the static kernels of pack_dwplane.py with all strides in the code.

- `generate_dwplane3x3(config, stride, unroll=1536) -> DwPlaneView`: `config` is what `dwplane_config` gives. The view
  is `k` of the templates kernels/dsp/tg_dwplane3x3_shape.{h,c}.j2; `name` is the kernel's C name, and says all that the
  code depends on. The kernel takes the same config, constants and arguments as the static one. `unroll`: the rows are
  unrolled when the kernel then has at most so many bytes, else looped over.

Registers: r0 input, r2 output, r1 multiplier, r3..r5 weights (0, 2) of the rows, r6 middle weights of rows 0 and 1,
r7 zero point and middle weight of row 2; r8 r9 and r10 r11 accumulators of two neighbouring columns (stride 2: only
r8 r9, and lr the bias); s0 bias, s1 that of the first output row, s2 of the last; s3 end of the strips, s4 of the rows;
s8 s9 s10 input, constants and output of the next channel, s11 end of the constants.
"""

from __future__ import annotations

from dataclasses import dataclass

#: How far an immediate offset of LDR and STRB reaches.
REACH = 4095
#: Rows of a round of the loop over rows; the end of a round costs five or six cycles.
ROUND = 4


@dataclass(frozen=True, slots=True)
class DwPlaneView:
    """A kernel for one shape. `lines`: the body, in assembly; `plain`: a call of the same in C. `narrow`: outputs are
    clamped to less than int8."""

    name: str
    brief: str
    plain: str
    lines: tuple[str, ...]
    narrow: bool

    @property
    def size(self) -> int:
        """Bytes of code, at most."""
        return code_bytes(self.lines)

    @property
    def hot(self) -> int:
        """Bytes of the largest innermost loop, at most: what an instruction cache should hold."""
        found = [0]
        for end, line in enumerate(self.lines):
            if line.startswith("bne.w"):
                label = line.split()[1].removesuffix("b") + ":"
                start = max(i for i in range(end) if self.lines[i] == label)
                body = self.lines[start + 1 : end + 1]
                if not any(inner.endswith(":") for inner in body):
                    found.append(code_bytes(body))
        return max(found)


@dataclass(frozen=True, slots=True)
class _Part:
    """What a row of the input does for an output row: it is under kernel row `k`.

    `start`: where the sum starts, when this is the first kernel row inside the image; `last`: when it is the last.
    """

    k: int
    pair: int
    start: str
    last: bool


def generate_dwplane3x3(config: dict[str, int], stride: int, unroll: int = 1536) -> DwPlaneView:
    """See the head of this file."""
    narrow = config["lo"] > -128 or config["hi"] < 127
    lines = _Writer(config, stride, looped=False).kernel()
    looped = code_bytes(lines) > unroll
    if looped:
        lines = _Writer(config, stride, looped=True).kernel()
    sizes = f"{config['in_h']}p{config['pad_top']}_{config['out_h']}x{config['out_w']}"
    strides = "x".join(str(config[f]) for f in ("row_stride", "plane_stride", "out_row", "out_col", "out_chan"))
    return DwPlaneView(
        f"tg_dwplane3x3s{stride}_{sizes}_{strides}{'_l' if looped else ''}{'_n' if narrow else ''}_dsp",
        f"Depthwise 3 x 3 convolution of stride {stride} on planes, for {config['out_h']} x {config['out_w']} outputs.",
        f"tg_dwplane3x3_plain(cfg, {stride}, x, w, y)",
        tuple(lines),
        narrow,
    )


def code_bytes(lines: tuple[str, ...] | list[str]) -> int:
    """At most: an instruction takes two or four."""
    return 4 * sum(not line.endswith(":") for line in lines)


class Writer:
    """Instructions, one after the other."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def op(self, *instructions: str) -> None:
        """Add instructions, or labels."""
        self.lines += instructions

    def add(self, to: str, of: str, n: int, temp: str) -> None:
        """to = of + n."""
        what, size = ("add", n) if n >= 0 else ("sub", -n)
        if size <= REACH:
            if size or to != of:
                self.op(f"{what} {to}, {of}, #{size}")
            return
        self.op(f"movw {temp}, #{size & 0xFFFF}")
        if size >> 16:
            self.op(f"movt {temp}, #{size >> 16}")
        self.op(f"{what} {to}, {of}, {temp}")


class _Writer(Writer):
    """Writes one kernel."""

    def __init__(self, config: dict[str, int], stride: int, *, looped: bool) -> None:
        super().__init__()
        self.c = config
        self.stride = stride
        self.looped = looped
        self.bottom = (config["out_h"] - 1) * stride + 3 - config["pad_top"] > config["in_h"]
        #: How far r0 and r2 are ahead of the first row of the strip, in bytes.
        self.x_ahead = 0
        self.y_ahead = 0

    def kernel(self) -> list[str]:
        """All channels."""
        c, pairs = self.c, self.c["out_w"] // 2
        self.op("push {r4-r11, lr}", "ldrh r12, [r0]", "movs r0, #36", "mla r12, r12, r0, r2")
        self.op("vmov s8, r1", "vmov s9, r2", "vmov s10, r3", "vmov s11, r12", "1:")
        self.op("vmov r0, s8", "vmov r12, s9", "vmov r2, s10")
        self.op("ldmia r12!, {r1, r3-r7}", "vldmia r12!, {s0-s2}", "vmov s9, r12")
        self.add("r8", "r0", c["plane_stride"], "r8")
        self.add("r9", "r2", c["out_chan"], "r9")
        self.op("vmov s8, r8", "vmov s10, r9")
        if self.bottom and c["pad_top"] and c["out_h"] == 1:
            self.op("vmov r8, s0", "vmov r9, s1", "vmov r10, s2", "sub r9, r9, r8", "add r9, r9, r10", "vmov s1, r9")
        if self.stride == 2:
            self.op("vmov lr, s0")
        if pairs > 1:
            self.add("r8", "r0", 2 * self.stride * pairs, "r8")
            self.op("vmov s3, r8", "2:")
        if pairs:
            self.strip(True, "3")
        if pairs > 1 or (pairs and c["out_w"] % 2):
            self.add("r0", "r0", 2 * self.stride - self.x_ahead, "r8")
            self.add("r2", "r2", 2 * c["out_col"] - self.y_ahead, "r8")
        if pairs > 1:
            self.op("vmov r8, s3", "cmp r0, r8", "bne.w 2b")
        if c["out_w"] % 2:
            self.strip(False, "4")
        self.op("vmov r0, s9", "vmov r1, s11", "cmp r0, r1", "bne.w 1b", "pop {r4-r11, pc}")
        return self.lines

    def parts(self, row: int) -> tuple[_Part, ...]:
        """What row `row` of the input does: the output row it ends first, the one it begins last."""
        c, found = self.c, []
        for k in (2, 1, 0):
            y, rest = divmod(row + c["pad_top"] - k, self.stride)
            if rest == 0 and 0 <= y < c["out_h"]:
                top = y == 0 and c["pad_top"] > 0
                bottom = y == c["out_h"] - 1 and self.bottom
                begins = k == (1 if top else 0)
                start = ("s1" if top else "s2" if bottom else "s0") if begins else ""
                found.append(_Part(k, y % 2 if self.stride == 1 else 0, start, k == (1 if bottom else 2)))
        return tuple(found)

    def strip(self, two: bool, label: str) -> None:
        """Two neighbouring columns, or one, from top to bottom."""
        self.x_ahead = self.y_ahead = 0
        rows = [self.parts(row) for row in range(self.c["in_h"])]
        while not rows[-1]:
            rows.pop()
        first, rounds = self.repeated(rows) if self.looped else (len(rows), 0)
        out = 0
        row = 0
        while row < len(rows):
            if rounds and row == first:
                out = self.rounds(rows, row, rounds, out, two, label)
                row += rounds * ROUND
            else:
                out = self.row(row, rows[row], out, two)
                row += 1

    def repeated(self, rows: list[tuple[_Part, ...]]) -> tuple[int, int]:
        """(first row, rounds) of the longest run of rows that repeat every other row."""
        first = next((i for i in range(len(rows) - 2) if rows[i] == rows[i + 2]), len(rows))
        end = first + 2
        while end < len(rows) and rows[end] == rows[end - 2]:
            end += 1
        rounds = (end - first) // ROUND
        return first, rounds if rounds > 1 else 0

    def rounds(self, rows: list[tuple[_Part, ...]], first: int, rounds: int, out: int, two: bool, label: str) -> int:
        """The loop over rows; gives the next output row."""
        x_step, before = ROUND * self.c["row_stride"], out
        x_ahead, y_ahead = self.x_ahead, self.y_ahead
        self.add("r12", "r0", rounds * x_step, "r12")
        self.op("vmov s4, r12", f"{label}:")
        for row in range(first, first + ROUND):
            out = self.row(row, rows[row], out, two)
        y_step = (out - before) * self.c["out_row"]
        self.add("r0", "r0", x_step - (self.x_ahead - x_ahead), "r12")
        self.add("r2", "r2", y_step - (self.y_ahead - y_ahead), "r12")
        self.op("vmov r12, s4", "cmp r0, r12", f"bne.w {label}b")
        self.x_ahead, self.y_ahead = x_ahead + rounds * x_step, y_ahead + rounds * y_step
        return before + rounds * (out - before)

    def row(self, row: int, parts: tuple[_Part, ...], out: int, two: bool) -> int:
        """One row of the input; gives the next output row."""
        if parts:
            self.load(row * self.c["row_stride"], two)
        for part in parts:
            a, b = ("r8", "r9") if part.pair == 0 else ("r10", "r11")
            self.multiply(part, a, b, two)
            if part.last:
                self.store(out, a, b, two)
                out += 1
        return out

    def load(self, offset: int, two: bool) -> None:
        """Stride 1: r12 = (x0, x2), lr = (x1, x3). Stride 2: r10 = (x0, x2), r11 = (x1, x3), r12 = (x4, x2)."""
        if offset - self.x_ahead + 4 > REACH:
            self.add("r0", "r0", offset - self.x_ahead, "r12")
            self.x_ahead = offset
        at = offset - self.x_ahead
        if self.stride == 1:
            self.op(f"ldr lr, [r0, #{at}]", "sxtb16 r12, lr", "sxtb16 lr, lr, ror #8")
        elif two:
            self.op(f"ldr r11, [r0, #{at}]", f"ldrsb r12, [r0, #{at + 4}]", "sxtb16 r10, r11")
            self.op("sxtb16 r11, r11, ror #8", "pkhbt r12, r12, r10")
        else:
            self.op(f"ldr r11, [r0, #{at}]", "sxtb16 r10, r11", "sxtb16 r11, r11, ror #8")

    def multiply(self, part: _Part, a: str, b: str, two: bool) -> None:
        """One kernel row: column 0 from (x0, x2) and x1, column 1 from its own three."""
        pair, middle = ("r3", "r4", "r5")[part.k], ("r6", "r6", "r7")[part.k]
        half = "btt"[part.k]
        from_a, from_b = a, b
        if part.start == "s0" and self.stride == 2:
            from_a = from_b = "lr"
        elif part.start:
            from_a = from_b = b if two else a
            self.op(f"vmov {from_a}, {part.start}")
        x02, x13 = ("r12", "lr") if self.stride == 1 else ("r10", "r11")
        self.op(f"smlad {a}, {x02}, {pair}, {from_a}")
        if two:
            self.op(f"smlad {b}, lr, {pair}, {from_b}" if self.stride == 1 else f"smladx {b}, r12, {pair}, {from_b}")
        self.op(f"smlab{half} {a}, {x13}, {middle}, {a}")
        if two:
            self.op(f"smlat{half} {b}, {x02 if self.stride == 1 else x13}, {middle}, {b}")

    def store(self, out: int, a: str, b: str, two: bool) -> None:
        """Requantise, clamp and store: the high half of r7 is added too, but only the low half is looked at."""
        used = (a, b) if two else (a,)
        self.op(*(f"smmlar {r}, {r}, r1, r7" for r in used), *(f"ssat16 {r}, #8, {r}" for r in used))
        col = self.c["out_col"]
        at = out * self.c["out_row"] - self.y_ahead
        far = two and col > REACH
        if (far and at) or at + (col if two and not far else 0) > REACH:
            self.y_ahead += at
            # flags and every register but the stored ones are in use; a large step goes through several additions
            while at:
                step = min(at, REACH)
                self.op(f"add r2, r2, #{step}")
                at -= step
        self.op(f"strb {a}, [r2, #{at}]")
        if far:
            self.op(f"movw {a}, #{col}", f"strb {b}, [r2, {a}]")
        elif two:
            self.op(f"strb {b}, [r2, #{at + col}]")
