"""One harness for kernels that are programs: bits, what they leave alone, stack, bytes and cycles, on an emulated M4.

In the manner of checkasm: each `Case` calls a kernel with data whose output is known. The program runs once with every
register that belongs to the caller filled and the stack painted, then counted; a program that says something about
itself (cycles, bytes, stack) is held to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.c.harness import FOLDERS
from tinygen.build.elf import read_image
from tinygen.build.toolchain import compile_program, find_toolchain
from tinygen.emit.env import render
from tinygen.kernels import costs, print_asm
from tinygen.kernels.kernel import Kernel
from tinygen.profile.counter import count
from tinygen.targets.arch.arm_m.thumb import decode
from tinygen.targets.cores import get_core

HERE = Path(__file__).resolve().parent
#: Calls of `nothing`, whose cycles tell those of the loop around all calls: the first is behind the loop's own start.
WARM = 2
RETURN = 3  # cycles of BX LR


@dataclass(frozen=True, eq=False)
class Case:
    """`data`: declarations in C; `arguments`: up to five words; `right`: whether the output is. `turns`: of the loops
    that have a name; `calls`: the function that the kernel calls, with its arguments; `result`: what it returns.
    `hidden`: some faults are not seen, in what does nothing here or writes what is written again. `stack`: bytes of it
    that are written, where some of the frame is free."""

    kernel: Kernel
    data: str
    arguments: tuple[str, ...]
    right: str
    turns: costs.Turns = field(default_factory=dict)
    calls: tuple[str, ...] | None = None
    hidden: bool = False
    result: str = ""
    stack: int | None = None


def program(cases: Sequence[Case]) -> str:
    """main.c: says for each case which register got lost and the bytes of stack, then whether the output is right."""
    rows = []
    for case in cases:
        words = ", ".join(f"(uint32_t){a}" for a in case.arguments[:4])
        fifth = "".join(f", (uint32_t){a}" for a in case.arguments[4:])
        rows.append(f"{{{{{words}}}, (uint32_t){case.kernel.name}{fifth}}}")
        if case.calls is not None:
            name, *arguments = case.calls  # to know its cycles
            rows.append(f"{{{{{', '.join(f'(uint32_t){a}' for a in arguments)}}}, (uint32_t){name}}}")
    nothing = "{{0, 0, 0, 0}, (uint32_t)nothing, 0}"
    lines = [
        "#include <string.h>",
        *(f'#include "{name}.h"' for name in dict.fromkeys(case.kernel.name for case in cases)),
        '#include "guarded.h"',
        '#include "tg_target.h"',
        *(case.data for case in cases),
        *(f"static int right{i}(void) {{ return {_right(case)}; }}" for i, case in enumerate(cases)),
        "int main(void)",
        "{",
        f"    const call_t calls[] = {{{', '.join([nothing] * WARM + rows)}}};",
        f"    int (*const rights[])(void) = {{{', '.join(f'right{i}' for i in range(len(cases)))}}};",
        f"    int right[{len(cases)}];",
        f"    const int kernels[] = {{{', '.join(map(str, _places(cases)))}}};",
        f"    for (int i = 0; i < {len(cases)}; ++i) {{",
        "        uint32_t stack = 0U;",
        "        const int lost = guarded(&calls[kernels[i]], &stack);",
        "        right[i] = rights[i]();",
        "        tg_put_u32((uint32_t)lost);",
        '        tg_puts(" ");',
        "        tg_put_u32(stack);",
        '        tg_puts("\\n");',
        "    }",
        f"    all(calls, {WARM + len(rows)});",
        f"    for (int i = 0; i < {len(cases)}; ++i) {{",
        '        tg_puts(right[i] ? "right\\n" : "wrong\\n");',
        "    }",
        "    return 0;",
        "}",
        "",
    ]
    return "\n".join(lines)


def _right(case: Case) -> str:
    """Whether it did what it should, in C, behind the call."""
    return f"({case.right}) && (result == (uint32_t){case.result})" if case.result else case.right


def _places(cases: Sequence[Case]) -> list[int]:
    """Where the kernels' own calls are among all."""
    found, at = [], WARM
    for case in cases:
        found.append(at)
        at += 2 if case.calls is not None else 1
    return found


def hold(cases: Sequence[Case], folder: Path) -> None:
    """Run them; AssertionError says what a kernel does that its program does not say."""
    core = get_core("cortex-m4")
    kernels = {case.kernel.name: case.kernel for case in cases}
    for name, kernel in kernels.items():
        for end in ("h", "c"):
            (folder / f"{name}.{end}").write_text(
                render(f"kernels/dsp/tg_program.{end}.j2", k=kernel), encoding="utf-8"
            )
    (folder / "main.c").write_text(program(cases), encoding="utf-8")
    sources = [folder / "main.c", HERE / "guarded.c", *(folder / f"{name}.c" for name in kernels)]
    made = compile_program(find_toolchain(core), core, sources, [folder, HERE, *FOLDERS], folder / "a.elf")
    image = read_image(made.elf)
    symbols = {s.name: s for s in image.symbols}
    own = [(symbols["all"].address, symbols["all"].address + symbols["all"].size)]
    stack = image.address("tg_stack_limit"), image.address("tg_stack_top")
    assert core.machine is not None
    assert core.timing is not None
    pieces, said = count(
        core.machine, made.elf, image, "all", own, stack, folder, 120.0, decode=decode, timing=core.timing, flash=None
    )
    around = pieces[WARM - 1].cycles - RETURN
    words = said.split()
    n = len(cases)
    rows = zip(cases, _places(cases), words[0 : 2 * n : 2], words[1 : 2 * n : 2], words[2 * n :], strict=True)
    for case, at, lost, deep, output in rows:
        name, of = case.kernel.name, case.kernel.program
        assert output == "right", f"{name}: its output is {output}"
        assert lost == "0", f"{name} loses register {lost} of its caller"
        called = 0 if case.calls is None else pieces[at + 1].cycles - around
        if not case.kernel.after:
            assert symbols[name].size == print_asm.code_bytes(of), f"{name}: bytes of code"
            # what is free in a frame stays as it was, and a function that is called has a stack of its own
            stack = of.stack if case.stack is None else case.stack
            assert case.calls or int(deep) == stack, f"{name}: {deep} bytes of stack, not {stack}"
            counted = pieces[at].cycles - around
            told = costs.cycles(of, core.timing, case.turns, called=called)
            assert counted == told, f"{name}: {counted} cycles, not {told}"
