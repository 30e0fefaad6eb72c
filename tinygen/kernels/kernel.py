"""A program under a name: what the templates dsp/tg_program.{h,c}.j2 print, and what choosing asks for."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from tinygen.kernels import print_asm, print_c
from tinygen.kernels.program import Loop, Program, branches, instructions, loops


def short_name(stem: str, identity: object) -> str:
    """`stem`, six characters that stand for `identity`, and the set. `identity` has, in its `repr`, all that the code
    depends on: kernels of one name are equal (plan/types.py looks). What a reader wants to know is in the brief."""
    digest = base64.b32encode(hashlib.sha256(repr(identity).encode()).digest())[:6].decode().lower()
    return f"{stem}_{digest}_dsp"


class Kernel:
    """`name`: of the C function (`short_name`). `brief`: what it does, for which shape. `include`: the header of its
    types.

    `family`: those whose costs have the same coefficients (plan/cost.py). `contract`: what the caller must know.
    `after`: a statement that completes what the program leaves, or nothing.
    """

    if TYPE_CHECKING:  # fields or properties: a dataclass would take a property of its base for a field's default

        @property
        def name(self) -> str: ...

        @property
        def family(self) -> str: ...

        @property
        def brief(self) -> str: ...

        @property
        def include(self) -> str: ...

        @property
        def contract(self) -> str: ...

    @property
    def after(self) -> str:
        return ""

    @property
    def program(self) -> Program:
        """It has been checked."""
        raise NotImplementedError

    @property
    def parameters(self) -> str:
        """In C."""
        return ", ".join(f"{p.type.c}{p}" for p in self.program.params)

    @property
    def returns(self) -> str:
        """In C."""
        return self.program.result.type.c if self.program.result else "void "

    @property
    def offsets(self) -> str:
        """What must hold of the structs that the assembly reads, in C."""
        types = {p.type for p in self.program.params if p.type.members}
        held = [
            f"offsetof({t.c.removeprefix('const ').removesuffix(' *')}, {name}) == {offset}U"
            for t in sorted(types, key=lambda t: t.c)
            for offset, name in t.members
        ]
        return " && ".join(held)

    @property
    def arguments(self) -> str:
        """Of a call by somebody with the same parameters."""
        return ", ".join(map(str, self.program.params))

    @property
    def assembly(self) -> str:
        """What stands in the naked function's assembly statement."""
        return print_asm.block(self.program)

    @property
    def portable(self) -> str:
        """The body in C."""
        return print_c.body(self.program)

    @property
    def stack(self) -> int:
        """Bytes of it."""
        return self.program.stack

    @property
    def bytes(self) -> int:
        """Of code."""
        return print_asm.code_bytes(self.program)

    @property
    def size(self) -> int:
        """Bytes of code, at most."""
        return most_bytes(self.program)

    @property
    def hot(self) -> int:
        """Bytes of the largest innermost loop, at most: what an instruction cache should hold."""
        inner = [loop for loop in loops(self.program.body) if not any(loops(loop.body))]
        return max(map(_repeated_bytes, inner), default=0)


def most_bytes(program: Program) -> int:
    """Of code: four for each instruction, with those that save and restore registers, and the branches."""
    again = sum(_copied_bytes(loop) for loop in loops(program.body))
    return 4 * (2 + len(program.instructions) + branches(program.body)) + again


def _copied_bytes(loop: Loop) -> int:
    """Of the copies of its body but the first."""
    return 4 * (loop.entry.times - 1) * sum(1 for _ in instructions(loop.body)) if loop.entry else 0


def _repeated_bytes(loop: Loop) -> int:
    return 4 * (1 + sum(1 for _ in instructions([*loop.whole, *loop.between]))) + _copied_bytes(loop)
