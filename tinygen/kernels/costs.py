"""Cycles of a program, by the timing of a core whose memory does not wait (targets/arch/timing.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tinygen.kernels.program import Copies, Entry, If, Instruction, Loop, Node, Ordered, Program, When
from tinygen.targets.arch import timing
from tinygen.targets.arch.timing import Kind, Timing

Turns = Mapping[str, int | Sequence[int]]


def cycles(program: Program, core: Timing, turns: Turns, *, called: int = 0) -> int:
    """Of one call. `turns`: how often the loops go round whose numbers have a name, or how often each time, and whether
    what a test decides is done, 0 or 1; `called`: cycles of the functions that it calls."""
    return _Count(core, turns).of(program) + called


class _Count:
    """Walks as the core does: a load behind a load or store takes less where they are pipelined."""

    def __init__(self, core: Timing, turns: Turns) -> None:
        self.core = core
        self.turns = {name: n if isinstance(n, int) else iter(n) for name, n in turns.items()}
        self.behind = False

    def of(self, program: Program) -> int:
        saved = len(program.saved)
        frame = 0 if not program.lowered else 1 if program.lowered < 4096 else 2
        push = self.kind(Kind.MULTIPLE, stores=saved)
        pop = frame + int(program.pushed > 0) + self.kind(Kind.MULTIPLE, loads=saved)
        self.behind = False
        return push + frame + self.nodes(program.body) + pop + self.core.taken_load

    def nodes(self, nodes: Sequence[Node]) -> int:
        total = 0
        for node in nodes:
            if isinstance(node, Instruction):
                total += self.one(node)
            elif isinstance(node, Copies):
                total += sum(self.nodes(copy) for copy in node.copies)
            elif isinstance(node, When):
                total += self.kind(Kind.OTHER) + self.nodes(node.body)
            elif isinstance(node, Ordered):
                total += self.nodes(node.order)
            elif isinstance(node, Loop):
                total += self.loop(node)
            elif isinstance(node, If):
                total += self.one(node.test) + self.kind(Kind.BRANCH)
                total += self.nodes(node.body) if self.left(node.often) else self.core.taken[Kind.BRANCH]
        return total

    def one(self, i: Instruction) -> int:
        kind = i.op.kind
        if kind is Kind.BRANCH_REGISTER:
            return self.kind(kind) + self.core.taken[kind]
        if kind is Kind.MULTIPLE:
            return self.kind(kind, loads=len(i.list), stores=len(i.stored))
        return self.kind(kind)

    def kind(self, kind: Kind, loads: int = 0, stores: int = 0) -> int:
        """An instruction of the kind that comes now."""
        behind, self.behind = self.behind, kind in (Kind.LOAD, Kind.STORE)
        takes = timing.cycles(self.core, timing.Instruction(4, kind, loads, stores))
        return takes - int(self.core.pipelined and behind and kind is Kind.LOAD)

    def loop(self, node: Loop) -> int:
        turns = self.left(node.turns)
        if node.entry is not None:
            return self.entered(node, node.entry, turns)
        jump = self.core.taken[Kind.BRANCH]
        total = self.kind(Kind.BRANCH) + jump if node.between and not node.behind else 0
        for turn in range(turns):
            total += self.nodes(node.body) + self.kind(Kind.BRANCH)
            if turn == turns - 1:
                total += jump if node.behind else 0
            elif node.behind:
                total += self.nodes(node.between) + self.kind(Kind.BRANCH) + jump
            else:
                total += jump + self.nodes(node.between)
        return total

    def entered(self, node: Loop, entry: Entry, turns: int) -> int:
        """A loop of several copies, entered at one of them."""
        total = self.kind(Kind.BRANCH_REGISTER) + self.core.taken[Kind.BRANCH_REGISTER]
        for left in reversed(range(turns)):
            total += self.nodes(node.body)
            if left % entry.times == 0:
                total += self.nodes(entry.test) + self.kind(Kind.BRANCH) + (self.core.taken[Kind.BRANCH] if left else 0)
        return total

    def left(self, turns: int | str) -> int:
        """Of a loop that begins now."""
        if isinstance(turns, int):
            return turns
        given = self.turns[turns]
        return given if isinstance(given, int) else next(given)
