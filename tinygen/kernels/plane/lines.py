"""Kernels that are still written as lines of assembly, with a body in C of their own (kernels/ has programs).

`LinesView` is `k` of the templates kernels/dsp/tg_program.{h,c}.j2, as kernels.kernel.Kernel is.
"""

from __future__ import annotations

from dataclasses import dataclass

#: How far an immediate offset of LDR and STRB reaches.
REACH = 4095


@dataclass(frozen=True, slots=True)
class LinesView:
    """A kernel for one shape, on planes. `lines`: the body, in assembly; `plain`: a call of the same in C; `after`: a
    statement that completes what either leaves."""

    name: str
    family: str
    brief: str
    plain: str
    lines: tuple[str, ...]
    after: str

    @property
    def include(self) -> str:
        return "tg_dwplane_dsp.h"

    @property
    def contract(self) -> str:
        return "Arguments as in tg_dwplane3x3_dsp.h, for this one shape; constants from kernels/plane/pack.py."

    @property
    def parameters(self) -> str:
        return "const tg_dwplane_cfg_t *cfg, const int8_t *x, const int32_t *w, int8_t *y"

    @property
    def arguments(self) -> str:
        return "cfg, x, w, y"

    @property
    def assembly(self) -> str:
        return "\n                     ".join(f'"{line}\\n"' for line in (".syntax unified", *self.lines))

    @property
    def portable(self) -> str:
        return f"    {self.plain};"

    @property
    def stack(self) -> int:
        return 36

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
