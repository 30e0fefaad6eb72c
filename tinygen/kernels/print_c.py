"""A program as structured C: a variable for each value, loops as loops, one statement for what an instruction does.

A variable is declared in the innermost block that has its uses, and again in another where no value goes from one to
the other: with its first value where that stands there, and constant where there is no other. Parameters are never set
(check.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tinygen.kernels.armv7em import Affine, differs, statements
from tinygen.kernels.program import (
    Copies,
    If,
    Instruction,
    Loop,
    Node,
    Note,
    Operand,
    Ordered,
    Program,
    Reg,
    Type,
    When,
    instructions,
)
from tinygen.targets.arch.timing import Kind

#: What counts the turns of loops over copies, from outside to inside.
_TURNS = "ijk"
#: Two copies of more instructions are a loop.
_LONG = 24
_NAME = re.compile(r"(?<![>.\w])[A-Za-z_]\w*")


@dataclass(eq=False)
class _Line:
    """A statement; `sets`: the value that it is an expression for."""

    text: str
    sets: Reg | None = None


@dataclass(eq=False)
class _Block:
    """A loop: `head` and `tail` around what it repeats. Of a do-while the condition, `last`, is read outside."""

    head: str
    tail: str
    last: str = ""
    items: list[_Item] = field(default_factory=list)


_Item = _Line | _Block


def body(program: Program) -> str:
    """What stands between the braces of the function."""
    whole = _Block("", "")
    if program.sp is not None:
        t = program.sp.type
        start = "" if _filled(program) else " = {0}"  # which no analyser would see
        whole.items.append(_Line(f"{t.c.removesuffix(' *')} frame[{program.frame // t.size}]{start};"))
        if program.outer is None:
            whole.items.append(_Line("frame", program.sp))
    whole.items += _items(program.body)
    if program.result is not None:
        whole.items.append(_Line(f"return {program.result};"))
    params = {p.name: p for p in program.params}
    while _drop_unread(whole):
        pass
    _drop_overwritten(whole)
    read = {n for line, _ in _walk(whole, ()) for n in _reads(line)}
    whole.items[:0] = [_Line(f"(void){name};") for name in params if name not in read]
    _put_addresses(whole)
    for name in dict.fromkeys(line.sets.name for line, _ in _walk(whole, ()) if line.sets is not None):
        if name not in params:
            _declare(whole, name)
    return "\n".join(_text(whole, 0))


def _filled(program: Program) -> bool:
    """Something is stored in the frame by its own name, or by a function that is called, or where sizes tell."""
    stores = (i for i in program.instructions if i.op.kind is Kind.STORE)
    return program.calls or program.outer is not None or any(i.by_field.get("b") == program.sp for i in stores)


def _items(nodes: Sequence[Node], depth: int = 0) -> list[_Item]:
    """`depth`: loops over copies around them."""
    out: list[_Item] = []
    for node in nodes:
        if isinstance(node, Note):
            out.append(_Line(f"/* {node.text} */"))
        elif isinstance(node, Instruction):
            if not node.copies:
                made = [(d, text) for d, text in statements(node) if d is None or text != d.name]
                out += [_Line(text if d else f"{text};", d) for d, text in made]
        elif isinstance(node, Copies):
            out += _copies(node.copies, depth)
        elif isinstance(node, When):
            out.append(_Block(f"if ({_equal(*node.compared)}) {{", "}", items=_items(node.body, depth)))
        elif isinstance(node, If):
            out.append(_Block(f"if ({differs(node.test)}) {{", "}", items=_items(node.body, depth)))
        elif isinstance(node, Ordered):
            out += _items(node.plain, depth)
        elif node.turns == 2 and node.behind:
            out += _items((*node.body, *node.between, *node.body), depth)  # so that all see what each turn sets
        else:
            out.append(_loop(node, depth))
    return out


def _equal(a: Reg, b: Reg | int) -> str:
    return f"{a} == {'NULL' if b == 0 and a.type.pointer else b}"


def _loop(node: Loop, depth: int) -> _Block:
    a, b = node.compared
    body, between = _items(node.body, depth), _items(node.between, depth)
    if not node.between:
        return _Block("do {", f"}} while ({a} != {b});", f"{a} {b}", body)
    leave = _Block(f"if ({a} == {b}) {{", "}", items=[_Line("break;")])
    return _Block("for (;;) {", "}", items=[*body, leave, *between])


def _copies(copies: Sequence[Sequence[Node]], depth: int) -> list[_Item]:
    """The longest runs of copies, one or several of which repeat, as loops; the others as they are."""
    out: list[_Item] = []
    turn = _TURNS[depth]
    while copies:
        turns, period, body = max(
            (_run(copies, period, turn) for period in range(1, len(copies) // 2 + 1)),
            key=lambda run: (run[0] * run[1] if _worth(*run) else 0, -run[1]),
            default=(1, 1, []),
        )
        if _worth(turns, period, body):
            head = f"for (int32_t {turn} = 0; {turn} < {turns}; ++{turn}) {{"
            out.append(_Block(head, "}", items=_items(body, depth + 1)))
            copies = copies[turns * period :]
        else:
            out += _items(copies[0], depth)
            copies = copies[1:]
    return out


def _worth(turns: int, period: int, body: Sequence[Node]) -> bool:
    """A loop: two short copies that differ in one offset each do so by chance."""
    return turns > 2 or (turns > 1 and (period > 2 or sum(1 for _ in instructions(body)) > _LONG))


def _run(copies: Sequence[Sequence[Node]], period: int, turn: str) -> tuple[int, int, list[Node]]:
    """How often the first `period` copies come again, with offsets in step; the period; one turn."""
    groups = [[n for copy in copies[i : i + period] for n in copy] for i in range(0, len(copies), period)]
    turns, body = 1, list(groups[0])
    while turns < len(groups) and len(groups[turns]) == len(groups[0]):
        more = _rolled(groups[: turns + 1], turn) if turns == 1 or _follows(body, groups[turns], turns) else None
        if more is None:
            break
        turns, body = turns + 1, more
    return turns, period, body


def _follows(body: Sequence[Node], group: Sequence[Node], turn: int) -> bool:
    """Whether a group is what the body says for its turn: cheaper than to roll all of them again."""
    return all(_in_step(a, b, turn) for a, b in zip(body, group, strict=True))


def _in_step(a: Node, b: Node, turn: int) -> bool:
    if not isinstance(a, Instruction) or not isinstance(b, Instruction):
        return a == b
    values = [v + turn * v.step if isinstance(v, Affine) else v for v in a.operands]
    return a.op is b.op and values == list(b.operands)


def _rolled(groups: Sequence[Sequence[Node]], turn: str) -> list[Node] | None:
    """One group, with offsets that grow by the same from turn to turn; None where they differ in more than that."""
    out: list[Node] = []
    for same in zip(*groups, strict=True):
        first = same[0]
        if not isinstance(first, Instruction):
            if any(n != first for n in same):
                return None
            out.append(first)
            continue
        operands: list[Operand] = []
        for values in zip(*(n.operands for n in same if isinstance(n, Instruction) and n.op is first.op), strict=True):
            found = _in_turn(values, turn) if len(values) == len(same) else None
            offset = "b" in first.op.fields and "m" not in first.op.fields
            if found is None or (isinstance(found, Affine) and not offset):
                return None  # they differ in more than the offset in an address
            operands.append(found)
        if len(operands) != len(first.operands):
            return None
        out.append(Instruction(first.op, tuple(operands)))
    return out


def _in_turn(values: Sequence[Operand], turn: str) -> Operand | None:
    """The operand of a copy, from all of them."""
    if all(v == values[0] for v in values):
        return values[0]
    numbers = [v for v in values if isinstance(v, int)]
    if len(numbers) < len(values):
        return None
    step = numbers[1] - numbers[0]
    regular = all(v == numbers[0] + k * step for k, v in enumerate(numbers))
    return Affine(numbers[0], step, turn) if regular else None


def _walk(block: _Block, path: tuple[_Block, ...]) -> Iterator[tuple[_Line, tuple[_Block, ...]]]:
    """All statements as they run, with the blocks around them; a condition is a statement without a text of its own."""
    path = (*path, block)
    if block.head.startswith("if"):
        yield _Line(block.head), path[:-1]
    for item in block.items:
        if isinstance(item, _Line):
            yield item, path
        else:
            yield from _walk(item, path)
    if block.last:
        yield _Line(block.last), path[:-1]


def _reads(line: _Line) -> set[str]:
    return set() if line.text.startswith("/*") else set(_NAME.findall(line.text))


def _drop_unread(whole: _Block) -> bool:
    """Remove what sets a value that nobody reads, but to go on from itself; whether there was any."""
    read = {n for line, _ in _walk(whole, ()) for n in _reads(line) if line.sets is None or n != line.sets.name}

    def drop(block: _Block) -> bool:
        kept = [i for i in block.items if not (isinstance(i, _Line) and i.sets is not None and i.sets.name not in read)]
        found = len(kept) < len(block.items)
        block.items = kept
        return any([found, *(drop(i) for i in kept if isinstance(i, _Block))])

    return drop(whole)


def _drop_overwritten(whole: _Block) -> None:
    """Remove what sets a value that is set again, or not looked at any more, before anybody reads it."""

    def before(block: _Block, live: set[str], leave: set[str], dead: set[_Line] | None) -> set[str]:
        """The names that are read later, before the block, from those behind it, and those where a `break` leads;
        `dead` takes the lines."""
        for item in reversed(block.items):
            if isinstance(item, _Line):
                if item.text == "break;":
                    live = set(leave)
                elif item.sets is None or item.sets.name in live:
                    live = (live - {item.sets.name if item.sets is not None else ""}) | _reads(item)
                elif dead is not None:
                    dead.add(item)
            elif item.head.startswith("if"):
                live = live | before(item, live, leave, dead) | _reads(_Line(item.head))
            else:
                end = set() if item.head == "for (;;) {" else live | _reads(_Line(item.last))
                again: set[str] = set()
                while (more := before(item, end | again, live, None)) != again:
                    again = more
                live = before(item, end | again, live, dead)
        return live

    dead: set[_Line] = set()
    before(whole, set(), set(), dead)

    def drop(block: _Block) -> None:
        block.items = [i for i in block.items if i not in dead]
        for i in block.items:
            if isinstance(i, _Block):
                drop(i)

    drop(whole)


def _address(line: _Line) -> bool:
    """Of an element, or of what another pointer points to."""
    assert line.sets is not None
    return line.text.startswith("&") or (line.sets.type.pointer and line.text.isidentifier())


def _put_addresses(whole: _Block) -> None:
    """An address that nobody but a call takes stands in the call: analysers then see what the callee fills."""
    lines = [line for line, _ in _walk(whole, ())]
    for call in lines:
        if call.sets is not None or not re.match(r"\w+\(", call.text):
            continue
        for name in _reads(call):
            sets = [line for line in lines if line.sets is not None and line.sets.name == name]
            readers = [line for line in lines if name in _reads(line)]
            if len(sets) == 1 and readers == [call] and _address(sets[0]) and sets[0] in whole.items:
                call.text = re.sub(rf"\b{name}\b", sets[0].text, call.text)
                whole.items.remove(sets[0])


def _declare(block: _Block, name: str) -> None:
    """Declare a variable in `block`, or in those inside that need nothing of what it was before."""
    events = _events(block, name)
    while events:
        item, reads = events[0]
        alone = len(events) == 1 or not events[1][1]
        if not isinstance(item, _Block) or reads or not alone:
            break
        _declare(item, name)
        events.pop(0)
    if not events:
        return
    first = events[0][0]
    rest = block.items[block.items.index(first) :]
    sets = [
        line for line, _ in _walk(_Block("", "", items=rest), ()) if line.sets is not None and line.sets.name == name
    ]
    reg = sets[0].sets
    assert reg is not None
    if first is sets[0]:
        constant = "const " if len(sets) == 1 else ""
        sets[0].text = f"{_declaration(reg.type, name, constant)} = {sets[0].text};"
        sets[0].sets = None
    else:
        block.items.insert(block.items.index(first), _Line(f"{_declaration(reg.type, name)};"))


def _events(block: _Block, name: str) -> list[tuple[_Item, bool]]:
    """Where it is used, in order: the statement or inner block, and whether that looks first at what it was before."""
    found: list[tuple[_Item, bool]] = []
    for item in block.items:
        for line, _ in _walk(item, ()) if isinstance(item, _Block) else [(item, ())]:
            reads = name in _reads(line)
            if reads or (line.sets is not None and line.sets.name == name):
                found.append((item, reads))
                break
        if isinstance(item, _Block) and found and found[-1] == (item, False) and name in _NAME.findall(item.last):
            found.append((item, True))
    return found


def _declaration(t: Type, name: str, constant: str = "") -> str:
    if t.c.endswith("*"):
        return f"{t.c}{constant}{name}"
    return f"{constant}{t.c} {name}"


def _text(block: _Block, depth: int) -> Iterator[str]:
    pad = "    " * (depth + 1)
    for item in block.items:
        if isinstance(item, _Line):
            yield f"{pad}{f'{item.sets} = {item.text};' if item.sets is not None else item.text}"
        else:
            yield f"{pad}{item.head}"
            yield from _text(item, depth + 1)
            yield f"{pad}{item.tail}"
