"""A program as commented assembly for GNU tools, and the bytes that it takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tinygen.kernels.program import Copies, If, Instruction, Loop, Node, Note, Operand, Ordered, Program, Reg, When
from tinygen.targets.arch.timing import Kind

#: Where comments stand, behind the quoted instruction.
COLUMN = 34
#: Names of more characters are not all said.
LONG = 50
#: A branch of two bytes goes back over so many at least.
SHORT = 252
#: Larger numbers are patterns.
HEX = 1 << 16
_INDENT = " " * 21


def block(program: Program) -> str:
    """What stands between the parentheses of the assembly statement of a naked function."""
    out = ['".syntax unified\\n"']
    for line, comment in lines(program):
        said = f"/* {comment} */" if comment else ""
        quoted = f'"{line}\\n"' if line else ""
        out.append(f"{quoted:<{COLUMN}} {said}" if quoted and said else quoted or said)
    return f"\n{_INDENT}".join(out)


def lines(program: Program) -> Iterator[tuple[str, str]]:
    """(instruction or label, comment) of the whole function; a comment of its own has no instruction."""
    yield f"push {{{_ranges(program.saved)}}}", ""
    yield from ((line, "the frame") for line in _frame("sub", program.lowered))
    yield from _lines(program.body, iter(range(1, 1000)))
    yield from ((line, "") for line in _frame("add", program.lowered))
    if program.pushed:
        yield f"add sp, sp, #{program.pushed}", ""
    yield f"pop {{{_ranges((*program.saved[:-1], 'pc'))}}}", ""


def _frame(way: str, size: int) -> list[str]:
    """The stack pointer down, or up again."""
    if size == 0:
        return []
    return [f"{way}w sp, sp, #{size}"] if size < 4096 else [f"movw r12, #{size}", f"{way} sp, sp, r12"]


def _lines(nodes: Sequence[Node], labels: Iterator[int]) -> Iterator[tuple[str, str]]:
    for node in nodes:
        if isinstance(node, Note):
            yield "", node.text
        elif isinstance(node, Instruction):
            yield text(node), meaning(node)
        elif isinstance(node, Copies):
            for copy in node.copies:
                yield from _lines(copy, labels)
        elif isinstance(node, When):
            yield f"i{'t' * len(node.body)} eq", f"where {node.compared[0]} is {node.compared[1]}"
            yield from ((_conditional(i), meaning(i)) for i in node.body)
        elif isinstance(node, If):
            behind = next(labels)
            yield text(node.test), meaning(node.test)
            yield f"beq {behind}f", ""
            yield from _lines(node.body, labels)
            yield f"{behind}:", ""
        elif isinstance(node, Ordered):
            yield from _lines(node.order, labels)
        elif node.entry is not None:
            yield f"bx {node.entry.at.place}", "into the loop"
            yield ".balign 4", ""
            yield f"{node.entry.label}:", f"turns: {node.turns}, {node.entry.times} in a row"
            yield f".rept {node.entry.times}", ""
            yield from _lines(node.body, labels)
            yield ".endr", ""
            yield from _lines(node.entry.test, labels)
            yield f"bne.w {node.entry.label}b", ""
        else:
            top, turns = next(labels), f"turns: {node.turns}"
            if node.behind:
                out = next(labels)
                yield f"{top}:", turns
                yield from _lines(node.body, labels)
                yield f"beq{'.w' if _far(node) else ''} {out}f", ""
                yield from _lines(node.between, labels)
                yield f"b.{'n' if _is_short(node) else 'w'} {top}b", ""
                yield f"{out}:", ""
                continue
            if node.between:
                enter = next(labels)
                yield f"b {enter}f", ""
                yield f"{top}:", turns
                yield from _lines(node.between, labels)
                yield f"{enter}:", ""
            else:
                yield f"{top}:", turns
            yield from _lines(node.body, labels)
            yield f"bne.{'n' if _is_short(node) else 'w'} {top}b", ""


def _conditional(i: Instruction) -> str:
    """An instruction in an IT block."""
    name, _, operands = text(i).partition(" ")
    return f"{name}eq {operands}"


def text(i: Instruction) -> str:
    """An instruction, with registers."""
    named = {f: "" if i.op.kind is Kind.BRANCH_REGISTER and f != "n" else _place(v) for f, v in i.by_field.items()}
    return f"{i.op.name} {i.op.text(named)}".replace(", #0]", "]")


def _place(v: Operand) -> str:
    if isinstance(v, tuple):
        return _ranges([r.place for r in v])
    return v.place if isinstance(v, Reg) else _number(v)


def _number(v: int) -> str:
    """Patterns of bits are read in hexadecimal."""
    return str(v) if v < HEX else f"0x{v:08X}"


def _ranges(places: Sequence[str]) -> str:
    """r3, r4, r5, r7 as r3-r5, r7."""
    runs: list[list[str]] = []
    for p in places:
        if runs and p[1:].isdigit() and runs[-1][-1] == f"{p[0]}{int(p[1:]) - 1}":
            runs[-1].append(p)
        else:
            runs.append([p])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else run[0] for run in runs)


def meaning(i: Instruction) -> str:
    """What it does with which values, for the reader."""
    if i.copies:
        return str(i.reg("d"))
    named = {f: str(v) if isinstance(v, Reg) else _number(v) for f, v in i.by_field.items() if not isinstance(v, tuple)}
    said = re.sub(r" \+ 0\b", "", i.op.says.format(**named))
    if i.op.element and i.i != i.op.element:  # not to the next one
        said = re.sub(r"next(?: (byte|half|word))? of (\w+)", lambda m: f"{m[1] or 'word'} at {m[2]}", said)
        said = f"{said} = {i.reg('n')}" if i.op.kind is Kind.STORE else said
        return f"{said}; {i.reg('w')} {'+' if i.i > 0 else '-'}= {abs(i.i)}"
    several = i.list or i.stored
    if several:
        names = ", ".join(map(str, several))
        names = names if len(names) < LONG else f"{several[0]}, ..., {several[-1]}"
        return f"{names} = {said}" if i.list else f"{said} = {names}"
    if i.op.kind is Kind.STORE:
        return f"{said} = {i.reg('n')}"
    into, _, of = said.partition(" = ")
    return f"{into} += {of.removeprefix(f'{into} + ')}" if of.startswith(f"{into} + ") else said


def code_bytes(program: Program) -> int:
    """Of the function."""
    pushed = 2 * (2 if all(_low_list(r) for r in program.saved) else 4)
    frame = 0 if not program.lowered else 8 if program.lowered < 4096 else 12
    start = (pushed + frame) // 2
    return start + _bytes(program.body, start) + (2 if program.pushed else 0)


def _far(loop: Loop) -> bool:
    """A short branch does not reach from behind the body to the end."""
    return nodes_bytes(loop.between) > 248


def loop_bytes(loop: Loop) -> int:
    """Of what a loop repeats."""
    times = loop.entry.times if loop.entry else 1
    around = times * nodes_bytes(loop.body) + nodes_bytes([*loop.whole[len(loop.body) :], *loop.between])
    far = 2 if loop.behind and _far(loop) else 0
    return around + (2 if _is_short(loop) else 4) + far


def _is_short(loop: Loop) -> bool:
    """Whether the branch back takes two bytes."""
    behind = nodes_bytes(loop.between) + 2 if loop.behind else 0
    return loop.short and nodes_bytes(loop.body) + behind <= SHORT


def nodes_bytes(nodes: Sequence[Node]) -> int:
    """Of nodes that begin at a word."""
    return _bytes(nodes, 0)


def _low_list(place: str) -> bool:
    return place == "lr" or int(place[1:]) < 8


def _bytes(nodes: Sequence[Node], at: int) -> int:
    """Where the code ends that begins at `at`."""
    for node in nodes:
        if isinstance(node, Instruction):
            at += 2 if node.op.narrow(node) else 4
        elif isinstance(node, Copies):
            for copy in node.copies:
                at = _bytes(copy, at)
        elif isinstance(node, When):
            at = _bytes(node.body, at + 2)
        elif isinstance(node, If):
            at = _bytes(node.body, at + (2 if node.test.op.narrow(node.test) else 4) + 2)  # and a short jump
        elif isinstance(node, Ordered):
            at = _bytes(node.order, at)
        elif isinstance(node, Loop):
            if node.entry is not None:
                at = -(-(at + 2) // 4) * 4  # a jump, and the loop at a word
            at += loop_bytes(node) + (2 if node.between else 0)  # and a short jump
    return at
