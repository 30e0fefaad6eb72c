"""A kernel as a program: typed instructions on named registers, and loops.

- `Reg(name, type, place)`: a value and the register that holds it. A place holds one value after the other, and a value
  may lie in several places: a move between two of them is nothing in C, which has one variable for each name.
- `Op`: an instruction of the set (armv7em.py has them all); called with operands it gives an `Instruction`.
- `Writer` writes a `Program` from top to bottom, and `check.py` looks at it before anybody gets it.

Printers: print_asm.py, print_c.py. Costs: costs.py.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

from tinygen.targets.arch.timing import Kind


class ProgramError(ValueError):
    """A kernel that is no program: what is wrong, in which instruction."""


@dataclass(frozen=True, slots=True)
class Type:
    """What a register holds. `c`: its type in C.

    A pointer says what it points to: elements of `size` bytes, or a struct with `members` by their offset on the core.
    Elements lie at multiples of `align` bytes. `at`: how far the register points behind what C has, in bytes: the
    struct's start, or an element, in front of which the register may point.
    """

    c: str
    size: int = 0
    align: int = 1
    members: tuple[tuple[int, str], ...] = ()
    at: int = 0

    @property
    def element(self) -> Type:
        """What a word that it points to is."""
        return BITS if "uint32_t" in self.c else INT

    @property
    def pointer(self) -> bool:
        """Or a number."""
        return self.size > 0

    def member(self, offset: int) -> str:
        """The name of what lies `offset` bytes behind where the pointer points."""
        found = dict(self.members).get(self.at + offset)
        if found is None:
            raise ProgramError(f"nothing lies {self.at + offset} bytes behind the start of {self.c}")
        return found


INT = Type("int32_t")
#: Two halves, four bytes, or what is looked at in several ways.
BITS = Type("uint32_t")
BYTES_IN = Type("const int8_t *", 1)
BYTES_OUT = Type("int8_t *", 1)
#: Without a sign: of what is packed.
OCTETS = Type("const uint8_t *", 1)
PAIRS_IN = Type("const uint32_t *", 4, 4)
HALVES_IN = Type("const int16_t *", 2, 2)
HALVES = Type("int16_t *", 2, 2)
#: The same, two and two in words.
PAIRS = Type("int16_t *", 2, 4)
WORDS_IN = Type("const int32_t *", 4, 4)
#: Pairs of halves, or what else is looked at in several ways.
WORDS = Type("uint32_t *", 4, 4)
WORDS_OUT = Type("int32_t *", 4, 4)


@dataclass(frozen=True, slots=True)
class Reg:
    """A value, what it is, and where it lies: r0 to r12, sp, lr, s0 to s15, or a word of the stack, "[sp, #8]"."""

    name: str
    type: Type
    place: str

    def at(self, place: str) -> Reg:
        """The same value in another register."""
        return Reg(self.name, self.type, place)

    def moved(self, size: int) -> Reg:
        """A pointer to a struct, so many bytes behind."""
        return replace(self, type=replace(self.type, at=self.type.at + size))

    def __str__(self) -> str:
        return self.name


Operand = Reg | int | tuple[Reg, ...]

#: What an instruction is in C: (the register that gets an expression, or None for a statement; the text).
Statement = tuple[Reg | None, str]


def _any(i: int) -> bool:
    return True


def _never(i: Instruction) -> bool:
    return False


@dataclass(frozen=True, eq=False)
class Op:
    """An instruction of the set, declared once.

    `form` is its assembly. Its fields are the operands, in order, named as in Arm's manuals where they have a name:

        d         register that is written
        n, m, a   registers that are read
        t         register that is read and written
        b         base of an address;  w: base that moves on
        r         list of registers that are loaded;  q: list of those that are read
        i, j      immediates, of which `reach` tells whether they can be said

    and behind a colon what it is looked at as: `s` a signed word, `u` bits. `c` is the expression in C that d gets, of
    type `gives`, or a function that gives statements. `says` is for the reader of the assembly. `flags`: "set" where
    they change. `element`: bytes of what lies at a base that moves on behind the access, else 0. `narrow`: whether it
    takes two bytes with these operands, else four.
    """

    name: str
    form: str
    kind: Kind
    c: str | Callable[[Instruction], list[Statement]]
    says: str
    gives: Type = INT
    reach: Callable[[int], bool] = _any
    flags: str = ""
    element: int = 0
    narrow: Callable[[Instruction], bool] = _never

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Letters of the operands."""
        return tuple(name for _, name, _, _ in string.Formatter().parse(self.form) if name)

    @cached_property
    def looks(self) -> dict[str, str]:
        """What each operand is looked at as: "s", "u", or "" for as it is."""
        return {name: spec or "" for _, name, spec, _ in string.Formatter().parse(self.form) if name}

    def text(self, operands: Mapping[str, str]) -> str:
        """The form, filled in."""
        parts = string.Formatter().parse(self.form)
        return "".join(f"{text}{operands[name] if name else ''}" for text, name, _, _ in parts)

    def __call__(self, *operands: Operand) -> Instruction:
        if len(operands) != len(self.fields):
            raise ProgramError(f"{self.name} takes {', '.join(self.fields)}, not {len(operands)} operands")
        for f, value in zip(self.fields, operands, strict=True):
            wanted = int if f in "ij" else tuple if f in "rq" else Reg
            if not isinstance(value, wanted):
                raise ProgramError(f"{self.name}: {value!r} as {f}")
            if isinstance(value, Reg) and f in "bw" and not value.type.pointer:
                raise ProgramError(f"{self.name}: {value} is no pointer")
            if isinstance(value, int) and not self.reach(value):
                raise ProgramError(f"{self.name}: {value} is out of reach")
        return Instruction(self, operands)


@dataclass(frozen=True)
class Instruction:
    """An `Op` with its operands."""

    op: Op
    operands: tuple[Operand, ...]

    @cached_property
    def by_field(self) -> dict[str, Operand]:
        """Operands by their letter."""
        return dict(zip(self.op.fields, self.operands, strict=True))

    def reg(self, f: str) -> Reg:
        """The register in a field."""
        found = self.by_field[f]
        assert isinstance(found, Reg)
        return found

    @property
    def i(self) -> int:
        """The immediate, 0 where there is none."""
        found = self.by_field.get("i", 0)
        assert isinstance(found, int)
        return found

    @property
    def j(self) -> int:
        """The second immediate."""
        found = self.by_field["j"]
        assert isinstance(found, int)
        return found

    @property
    def list(self) -> tuple[Reg, ...]:
        """The registers that are loaded together."""
        return self._list("r")

    @property
    def stored(self) -> tuple[Reg, ...]:
        """The registers that are stored together."""
        return self._list("q")

    def _list(self, f: str) -> tuple[Reg, ...]:
        found = self.by_field.get(f, ())
        assert isinstance(found, tuple)
        return found

    @cached_property
    def reads(self) -> tuple[Reg, ...]:
        return tuple(v for f, v in self.by_field.items() if f in "nmatbw" and isinstance(v, Reg)) + self.stored

    @cached_property
    def writes(self) -> tuple[Reg, ...]:
        """A pointer to a struct that moves on points to another member."""
        moved = (self._moved(v) if f == "w" else v for f, v in self.by_field.items() if f in "dtw")
        return tuple(v for v in moved if isinstance(v, Reg)) + self.list

    def _moved(self, w: Operand) -> Operand:
        return w.moved(self.i or 4 * len(self.list)) if isinstance(w, Reg) and w.type.members else w

    @cached_property
    def compares(self) -> tuple[Reg, Reg | int] | None:
        """The two values of which the flags then say whether they are equal: CMP's, or what SUBS leaves and 0."""
        if self.op.name == "subs":
            return self.reg("d"), 0
        if self.op.name != "cmp":
            return None
        return self.reg("n"), self.i if "i" in self.op.fields else self.reg("m")

    @cached_property
    def copies(self) -> bool:
        """Takes a value to another place, which is nothing in C."""
        moves = self.op.name in ("mov", "vmov", "ldr") and self.op.fields == ("d", "n")
        return moves and self.reg("d").name == self.reg("n").name

    def __str__(self) -> str:
        """With names for registers."""
        texts = {f: ", ".join(map(str, v)) if isinstance(v, tuple) else str(v) for f, v in self.by_field.items()}
        return f"{self.op.name} {self.op.text(texts)}"


@dataclass(frozen=True, slots=True)
class Note:
    """A comment, in both languages."""

    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """Of a loop whose body lies `times` times in the code. The first turn begins at the copy whose address `at` holds,
    so that the last one ends with the last copy: it is enough to compare behind that, in `test`.

    `label`: of the first copy in the assembly, by which its address is known; from 1000 on.
    """

    at: Reg
    label: int
    times: int
    test: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """`body`, again while what it compares last differs, and `between` each two turns.

    `turns`: how many, or the name of that number. `most`: what they cannot exceed, where the stack pointer moves.
    `behind`: what comes between stands behind the body, and the first turn has no jump over it: for few turns.
    `short`: the branch back takes two bytes where it reaches, else four, which keep loops behind it at words.
    """

    body: tuple[Node, ...]
    turns: int | str
    between: tuple[Node, ...] = ()
    most: int = 0
    behind: bool = False
    entry: Entry | None = None
    short: bool = False

    @property
    def whole(self) -> tuple[Node, ...]:
        """A turn up to its end."""
        return (*self.body, *(self.entry.test if self.entry else ()))

    @property
    def compared(self) -> tuple[Reg, Reg | int]:
        """The two values that are equal at the end."""
        for node in reversed(self.whole):
            if isinstance(node, Instruction) and node.compares is not None:
                return node.compares
        raise ProgramError("a loop that compares nothing")


@dataclass(frozen=True, slots=True)
class When:
    """`body`, of at most four instructions, only where what was just `compared` is equal."""

    compared: tuple[Reg, Reg | int]
    body: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class If:
    """`body`, unless `test` finds two values equal, or none of some bits set. `often`: the name of how often."""

    test: Instruction
    body: tuple[Node, ...]
    often: str


@dataclass(frozen=True, slots=True)
class Copies:
    """The same work several times: C has a loop where the copies differ in offsets only."""

    copies: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True, slots=True)
class Ordered:
    """The same work twice: `plain`, as C has it, and `order`, as the core does it. check.py compares what both give."""

    plain: tuple[Node, ...]
    order: tuple[Instruction, ...]


Node = Instruction | Note | Loop | If | When | Copies | Ordered


@dataclass(frozen=True)
class Program:
    """A function. `sp`: the value that the stack pointer is inside the frame of so many bytes. Parameters behind the
    fourth lie on the stack. `result`: what it returns, in r0. `outer`: what the stack pointer is before, of a body that
    takes a frame by itself, of at most so many bytes."""

    params: tuple[Reg, ...]
    body: tuple[Node, ...]
    frame: int = 0
    sp: Reg | None = None
    result: Reg | None = None
    outer: Reg | None = None

    @cached_property
    def instructions(self) -> tuple[Instruction, ...]:
        """All, once each, as they lie in the code."""
        return tuple(instructions(self.body))

    @cached_property
    def calls(self) -> bool:
        """Other functions."""
        return any(i.op.kind is Kind.BRANCH_REGISTER for i in self.instructions)

    @cached_property
    def pushed(self) -> int:
        """Bytes of what instructions of its own leave on the stack."""
        return 4 * sum(len(i.stored) for i in self.instructions if i.op.name == "push")

    @cached_property
    def saved(self) -> tuple[str, ...]:
        """Registers to push: those of the caller that are written, and one more where a call needs the stack at eight
        bytes."""
        used = {r.place for i in self.instructions for r in i.writes}
        kept = [r for r in (f"r{k}" for k in range(4, 12)) if r in used]
        return (*(["r3"] if self.calls and len(kept) % 2 == 0 else []), *kept, "lr")

    @property
    def stack(self) -> int:
        """Bytes of it, at most."""
        return 4 * len(self.saved) + self.frame + self.pushed

    @property
    def lowered(self) -> int:
        """Bytes that the stack pointer goes down before the body."""
        return self.frame if self.outer is None else 0


def instructions(nodes: Sequence[Node]) -> Iterator[Instruction]:
    """All of them, once each, as they lie in the code."""
    for node in nodes:
        if isinstance(node, Instruction):
            yield node
        elif isinstance(node, Ordered):
            yield from node.order
        elif isinstance(node, Loop):
            yield from instructions(node.between)
            yield from instructions(node.whole)
        elif isinstance(node, When):
            yield from node.body
        elif isinstance(node, If):
            yield node.test
            yield from instructions(node.body)
        elif isinstance(node, Copies):
            for copy in node.copies:
                yield from instructions(copy)


def loops(nodes: Sequence[Node]) -> Iterator[Loop]:
    """All of them, outer ones first."""
    for node in nodes:
        if isinstance(node, Loop):
            yield node
            yield from loops(node.body)
        elif isinstance(node, If):
            yield from loops(node.body)
        elif isinstance(node, Copies):
            for copy in node.copies:
                yield from loops(copy)


def branches(nodes: Sequence[Node]) -> int:
    """How many there are, one for each loop and each test."""
    total = 0
    for node in nodes:
        if isinstance(node, Loop | If):
            total += 1 + branches(node.body)
        elif isinstance(node, Copies):
            total += sum(map(branches, node.copies))
    return total


@dataclass
class Writer:
    """Writes a program, or a part of one, from top to bottom."""

    nodes: list[Node] = field(default_factory=list)

    def add(self, *nodes: Node) -> None:
        """What comes next."""
        self.nodes += nodes

    def note(self, text: str) -> None:
        """A comment."""
        self.nodes.append(Note(text))

    @contextmanager
    def loop(
        self, turns: int | str, *, most: int = 0, behind: bool = False, short: bool = False
    ) -> Iterator[list[Node]]:
        """What is written inside is the body; the list takes what comes between two turns."""
        outside, self.nodes = self.nodes, []
        between: list[Node] = []
        yield between
        body, self.nodes = self.nodes, outside
        self.nodes.append(Loop(tuple(body), turns, tuple(between), most, behind, short=short))

    @contextmanager
    def unless(self, test: Instruction, often: str) -> Iterator[None]:
        """What is written inside is done unless the test finds values equal, or bits not set."""
        outside, self.nodes = self.nodes, []
        yield
        body, self.nodes = self.nodes, outside
        self.nodes.append(If(test, tuple(body), often))

    @contextmanager
    def copy(self, copies: list[tuple[Node, ...]]) -> Iterator[None]:
        """What is written inside is one more of the copies."""
        outside, self.nodes = self.nodes, []
        yield
        copies.append(tuple(self.nodes))
        self.nodes = outside

    @contextmanager
    def entered(self, turns: str, at: Reg, label: int, times: int) -> Iterator[list[Node]]:
        """What is written inside is the body, which lies so many times in the code; the list takes the test."""
        outside, self.nodes = self.nodes, []
        test: list[Node] = []
        yield test
        body, self.nodes = self.nodes, outside
        self.nodes.append(Loop(tuple(body), turns, entry=Entry(at, label, times, tuple(test))))

    @contextmanager
    def when(self, a: Reg, b: Reg | int) -> Iterator[None]:
        """What is written inside happens where the two are equal, which were just compared."""
        outside, self.nodes = self.nodes, []
        yield
        inside, self.nodes = self.nodes, outside
        self.nodes.append(When((a, b), tuple(i for i in inside if isinstance(i, Instruction))))

    @contextmanager
    def copies(self) -> Iterator[list[tuple[Node, ...]]]:
        """The list takes the copies."""
        made: list[tuple[Node, ...]] = []
        yield made
        self.nodes.append(Copies(tuple(made)))
