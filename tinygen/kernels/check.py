"""What must be true of every program, and can be said without data.

- A register is read only while it holds that value: it was written, not given to another value since, not lost in a
  call, and there in every turn of a loop.
- A loop ends by what it compared: the flags are those of its CMP, whose two values still stand.
- Parameters keep their values; every register that belongs to the caller is saved; s16 to s31 are not touched.
- LDM, STM and VLDM, which trap on other addresses, take pointers to words.
- The stack pointer moves up, in words, inside the frame, is read at or above where it points, and comes back at once:
  interrupts may come at any time. Before a call it is a multiple of eight. Of a frame whose size the program is told,
  only that nothing else is done with it: how far it goes data must show.
"""

from __future__ import annotations

from collections.abc import Sequence

from tinygen.kernels.program import (
    Copies,
    If,
    Instruction,
    Loop,
    Node,
    Note,
    Ordered,
    Program,
    ProgramError,
    Reg,
    When,
    instructions,
)
from tinygen.targets.arch.timing import Kind

#: What a function that is called may overwrite.
CLOBBERS = frozenset({"r0", "r1", "r2", "r3", "r12", "lr", "flags", *(f"s{k}" for k in range(16))})
PLACES = frozenset({*(f"r{k}" for k in range(13)), *(f"s{k}" for k in range(16)), "lr", "sp"})
_WORDS = ("ldmia", "vldmia", "stmia")


def checked(program: Program) -> Program:
    """The program itself; ProgramError where it is none."""
    types: dict[str, str] = {}
    params = {p.name for p in program.params}
    for i in program.instructions:
        _operands(i)
        for r in i.writes:
            if types.setdefault(r.name, r.type.c) != r.type.c:
                raise ProgramError(f"{i}: {r} is {types[r.name]} and {r.type.c}")
            if r.name in params and not i.copies and not r.type.members:  # which is the same struct still
                raise ProgramError(f"{i}: {r} is a parameter, which keeps its value")
    held: dict[str, object] = {r.place: r for r in program.params}
    if program.sp is not None:
        held["sp"] = program.outer or program.sp
    _follow(program.body, held)
    if program.result is not None and (program.result.place != "r0" or not _holds(held, program.result)):
        raise ProgramError(f"{program.result} is not in r0 at the end")
    _stack(program)
    return program


def _operands(i: Instruction) -> None:
    """Of one instruction by itself."""
    for r in (*i.reads, *i.writes):
        if r.place not in PLACES and not r.place.startswith("[sp, #"):
            raise ProgramError(f"{i}: {r.place} is no register of a kernel")
        if r.place[0] == "s" and r.place[1:].isdigit() and not i.op.name.startswith("v"):
            raise ProgramError(f"{i}: {r.place} is a register of the FPU")
    if i.op.name in _WORDS:
        base = i.reg("w" if "w" in i.op.fields else "b")
        if base.type.align < 4:
            raise ProgramError(f"{i}: {base} may point to any address, and this instruction traps")
        numbers = [int(r.place[1:]) if r.place[1:].isdigit() else 14 for r in (*i.list, *i.stored)]
        if numbers != sorted(set(numbers)) or (i.op.name == "vldmia" and numbers[-1] - numbers[0] >= len(numbers)):
            raise ProgramError(f"{i}: its registers do not follow each other")
        if i.op.name == "ldmia" and len(numbers) == 1:
            raise ProgramError(f"{i}: a load of one register is LDR, which assemblers make of it")


def _follow(nodes: Sequence[Node], held: dict[str, object]) -> None:
    """What each register holds; `held` changes. The flags are what was compared."""
    for node in nodes:
        if isinstance(node, Instruction):
            _one(node, held)
        elif isinstance(node, Copies):
            for copy in node.copies:
                _follow(copy, held)
        elif isinstance(node, Ordered):
            _ordered(node, held)
        elif isinstance(node, Loop):
            _loop(node, held)
        elif isinstance(node, When):
            _when(node, held)
        elif isinstance(node, If):
            _one(node.test, held)
            before = dict(held)
            _follow(node.body, held)
            _forget(held, before)
        else:
            assert isinstance(node, Note)


def _push(i: Instruction, held: dict[str, object]) -> None:
    """What lies on the stack lies further up."""
    below = {f"[sp, #{4 * k}]": r.at(f"[sp, #{4 * k}]") for k, r in enumerate(i.stored)}
    up = 4 * len(i.stored)
    for place in [p for p in held if p.startswith("[sp")]:
        r = held.pop(place)
        assert isinstance(r, Reg)
        moved = f"[sp, #{int(place[6:-1]) + up}]"
        below[moved] = r.at(moved)
    held |= below


def _same(a: object, b: object) -> bool:
    """One value, whatever is known of its alignment."""
    if not isinstance(a, Reg) or not isinstance(b, Reg):
        return a == b
    return (a.name, a.type.c, a.type.at) == (b.name, b.type.c, b.type.at)


def _holds(held: dict[str, object], r: Reg) -> bool:
    """The value lies there, with that alignment at least."""
    found = held.get(r.place)
    return isinstance(found, Reg) and _same(found, r) and found.type.align >= r.type.align


def _one(i: Instruction, held: dict[str, object]) -> None:
    for r in i.reads:
        if not _holds(held, r):
            raise ProgramError(f"{i}: {r.place} holds {held.get(r.place, 'nothing')}, not {r}")
    if i.op.kind is Kind.BRANCH_REGISTER:
        if (i.reg("m").place, i.reg("a").place) != ("r0", "r1"):
            raise ProgramError(f"{i}: the arguments are not in r0 and r1")
        for place in CLOBBERS:
            held.pop(place, None)
    if i.op.name == "push":
        _push(i, held)
    for r in i.writes:
        if not i.copies:  # copies of the value that the name had are no longer it
            for place in [p for p, old in held.items() if isinstance(old, Reg) and old.name == r.name]:
                del held[place]
        held[r.place] = r
    if i.op.flags:
        held["flags"] = i.compares


def _when(node: When, held: dict[str, object]) -> None:
    """Behind it stands only what does either way."""
    if held.get("flags") != node.compared or not 0 < len(node.body) < 5:
        raise ProgramError(f"{len(node.body)} instructions where {node.compared[0]} and {node.compared[1]} are equal")
    before = dict(held)
    _follow(node.body, held)
    if held.get("flags") != node.compared:
        raise ProgramError("flags that change in what depends on them")
    _forget(held, before)


def _ordered(node: Ordered, held: dict[str, object]) -> None:
    """Both ways give the same; what only one of them has is nothing outside."""
    plain, order = Terms().of_both(node)
    for name, term in plain.items():
        if order.get(name, term) != term:
            raise ProgramError(f"{name} is another in the order of the core")
    names = {r.name for r in held.values() if isinstance(r, Reg)}
    if names & (plain.keys() - order.keys()):
        raise ProgramError(f"{names & (plain.keys() - order.keys())} is set in C only")
    _follow(node.order, held)
    own = order.keys() - plain.keys()
    for place in [p for p, r in held.items() if isinstance(r, Reg) and r.name in own]:
        del held[place]


#: What a register holds: an unknown value or the result of an instruction, by number, and bytes behind it.
Term = tuple[int, int]


class Terms:
    """What instructions make of values: equal terms are equal values. Loads and arithmetic only."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[object, ...], int] = {}

    def of_both(self, node: Ordered) -> tuple[dict[str, Term], dict[str, Term]]:
        """Of each name that is set, by values and by registers."""
        return self.of(node.plain, places=False), self.of(node.order, places=True)

    def of(self, nodes: Sequence[Node], *, places: bool) -> dict[str, Term]:
        held: dict[str, Term] = {}
        names: dict[str, Term] = {}

        def key(r: Reg) -> str:
            return r.place if places else r.name

        def read(r: Reg) -> Term:
            return held.get(key(r), (self._number("at first", r.name), 0))

        def write(r: Reg, term: Term) -> None:
            held[key(r)] = names[r.name] = term

        for i in instructions(nodes):
            if i.op.kind is Kind.LOAD and "i" in i.op.fields:
                base = i.reg("w" if "w" in i.op.fields else "b")
                root, at = read(base)
                behind = at if i.op.form.endswith("], #{i}") else at + i.i
                write(i.reg("d"), (self._number("load", i.op.name, root, behind), 0))
                if "w" in i.op.fields:
                    write(base, (root, at + i.i))
            elif i.op.name in ("add", "addw") and i.reg("n").type.pointer and "i" in i.op.fields:
                root, at = read(i.reg("n"))
                write(i.reg("d"), (root, at + i.i))
            elif i.op.kind in (Kind.OTHER, Kind.MUL_DSP) and not i.op.flags:
                values = [read(v) if isinstance(v, Reg) else v for f, v in i.by_field.items() if f != "d"]
                write(i.reg("d"), (self._number(i.op.name, i.op.form, *values), 0))
            else:
                raise ProgramError(f"{i}: among what changes its order")
        return names

    def _number(self, *what: object) -> int:
        return self.numbers.setdefault(what, len(self.numbers))


def _loop(node: Loop, held: dict[str, object]) -> None:
    """Twice, the second time with what the first turn leaves: all that a turn needs must survive one. What comes
    between two turns is there behind the loop where there are two of them, always."""
    if node.entry is not None and not _holds(held, node.entry.at):
        raise ProgramError(f"start of a loop: {node.entry.at} is not where its turns begin")
    for _ in range(2):
        before = dict(held)
        _follow(node.whole, held)
        pair = node.compared
        if held.get("flags") != pair:
            raise ProgramError(f"end of a loop: the flags are not those of comparing {pair[0]} and {pair[1]}")
        for r in pair:
            if isinstance(r, Reg) and not any(isinstance(v, Reg) and v.name == r.name for v in held.values()):
                raise ProgramError(f"end of a loop: {r} is gone, by which it ends")
        after = dict(held)
        _follow(node.between, held)
        if node.turns != 2:
            _forget(held, before)
    held.clear()
    held.update(after)


def _forget(held: dict[str, object], before: dict[str, object]) -> None:
    """What registers hold on one way only."""
    for place in [p for p in held if not _same(before.get(p), held[p])]:
        del held[place]


def _stack(program: Program) -> None:
    for k, p in enumerate(program.params[4:]):
        if p.place != f"[sp, #{program.stack + 4 * k}]":
            raise ProgramError(f"{p} is a parameter that does not lie at {p.place}")
    sp = program.sp
    if program.outer is not None:
        _taken(program)
        return
    moves = [i for i in program.instructions if any(r.place == "sp" for r in i.writes)]
    if sp is None or not program.frame:
        if moves or program.frame or sp is not None:
            raise ProgramError("a frame without a name, or a stack pointer that moves without one")
        if program.calls and program.stack % 8:
            raise ProgramError(f"a stack of {program.stack} bytes at a call")
        return
    if sp.place != "sp" or program.frame % 8 or (program.calls and program.stack % 8):
        raise ProgramError(f"a frame of {program.frame} bytes, a stack of {program.stack}")
    walk = _Stack(sp)
    walk.over(program.body)
    if not walk.home:
        raise ProgramError("the stack pointer does not come back")
    if walk.top > program.frame:
        raise ProgramError(f"reads {walk.top} bytes of a frame of {program.frame}")


def _taken(program: Program) -> None:
    """Of a frame of the program's own: first it is taken, then the stack pointer moves up, or to where it has been,
    last it comes back; nothing is read below it."""
    sp, outer = program.sp, program.outer
    assert sp is not None
    assert outer is not None
    if sp.place != "sp" or outer.place != "sp" or program.calls:
        raise ProgramError(f"a frame of its own from {outer} to {sp}, or a call inside it")
    been = {sp.name}
    for i in program.instructions:
        if i.by_field.get("b") == sp and i.i < 0:
            raise ProgramError(f"{i}: below the stack pointer, where interrupts write")
        further = i.op.name == "add" and i.reg("n").name in been and i.reg("d").type == sp.type
        if further or (i.op.name == "mov" and sp in i.reads):
            been.add(i.reg("d").name)
    moves = [i for i in program.instructions if any(r.place == "sp" for r in i.writes)]
    if len(moves) < 2:
        raise ProgramError("takes no frame, or does not give it back")
    first, *others, last = moves
    if first.op.name != "sub" or first.reads[0] != outer or last.reads[0].name != outer.name or not last.copies:
        raise ProgramError(f"{first}, {last}: takes no frame, or does not give it back")
    for i in others:
        up = i.op.name == "add" and i.reads == (sp,) and i.i > 0 and i.i % 4 == 0
        if not up and not (i.op.name == "mov" and i.reg("n").name in been):
            raise ProgramError(f"{i}: moves the stack pointer")


class _Stack:
    """How far the stack pointer goes, and what is read from it."""

    def __init__(self, sp: Reg) -> None:
        self.sp, self.home, self.top, self.at = sp, True, 0, 0
        #: Values that are where it was at first.
        self.starts: set[str] = set()

    def over(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            if isinstance(node, Copies):
                for copy in node.copies:
                    self.over(copy)
            elif isinstance(node, Loop):
                self.loop(node)
            elif isinstance(node, If | When):
                start = self.at
                self.over(node.body)
                if self.at != start:
                    raise ProgramError("who knows how far the stack pointer goes")
            elif isinstance(node, Ordered):
                self.over(node.order)
            elif isinstance(node, Instruction):
                self.one(node)

    def loop(self, node: Loop) -> None:
        start = self.at
        self.over(node.body)
        if not node.between:
            if self.at != start:
                raise ProgramError("who knows how far the stack pointer goes")
            return
        self.over(node.between)
        step = self.at - start
        if step:
            if not node.most:
                raise ProgramError("who knows how far the stack pointer goes")
            self.at = start + step * (node.most - 1)
            self.over(node.body)  # the last turn

    def one(self, i: Instruction) -> None:
        if i.by_field.get("b") == self.sp:
            if i.i < 0:
                raise ProgramError(f"{i}: below the stack pointer, where interrupts write")
            self.top = max(self.top, self.at + i.i + 4)
        if i.op.name == "mov" and i.reads == (self.sp,) and self.home:
            self.starts.add(i.reg("d").name)
        if all(r.place != "sp" for r in i.writes):
            return
        if i.op.name in ("add", "addw") and i.reads == (self.sp,) and i.i > 0 and i.i % 4 == 0:
            self.at, self.home = self.at + i.i, False
        elif self._back(i):
            self.at, self.home = 0, True
        else:
            raise ProgramError(f"{i}: moves the stack pointer")

    def _back(self, i: Instruction) -> bool:
        """To where it was at first."""
        if i.op.name == "mov":
            return i.reg("n").name in self.starts
        return i.op.name == "sub" and i.reads == (self.sp,) and i.i == self.at
