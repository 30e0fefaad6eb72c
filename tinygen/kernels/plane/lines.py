"""Kernels that are still written as lines of assembly, with a body in C of their own (kernels/ has programs)."""

from __future__ import annotations

#: How far an immediate offset of LDR and STRB reaches.
REACH = 4095


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
