"""Cycles of a program, by the timing of a core whose memory does not wait (targets/arch/timing.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tinygen.kernels.program import Copies, Instruction, Loop, Node, Program
from tinygen.targets.arch import timing
from tinygen.targets.arch.timing import Kind, Timing


def cycles(program: Program, core: Timing, turns: Mapping[str, int], *, called: int = 0) -> int:
    """Of one call. `turns`: how often the loops go round whose numbers have a name; `called`: cycles of the functions
    that it calls."""
    return _Count(core, turns).of(program) + called


class _Count:
    """Walks as the core does: a load behind a load or store takes less where they are pipelined."""

    def __init__(self, core: Timing, turns: Mapping[str, int]) -> None:
        self.core, self.turns = core, turns
        self.behind = False

    def of(self, program: Program) -> int:
        saved = len(program.saved)
        frame = 0 if not program.frame else 1 if program.frame < 4096 else 2
        push, pop = self.kind(Kind.MULTIPLE, stores=saved), frame + self.kind(Kind.MULTIPLE, loads=saved)
        self.behind = False
        return push + frame + self.nodes(program.body) + pop + self.core.taken_load

    def nodes(self, nodes: Sequence[Node]) -> int:
        total = 0
        for node in nodes:
            if isinstance(node, Instruction):
                total += self.one(node)
            elif isinstance(node, Copies):
                total += sum(self.nodes(copy) for copy in node.copies)
            elif isinstance(node, Loop):
                total += self.loop(node)
        return total

    def one(self, i: Instruction) -> int:
        kind = i.op.kind
        if kind is Kind.BRANCH_REGISTER:
            return self.kind(kind) + self.core.taken[kind]
        if kind is Kind.MULTIPLE:
            return self.kind(kind, loads=len(i.list))
        return self.kind(kind)

    def kind(self, kind: Kind, loads: int = 0, stores: int = 0) -> int:
        """An instruction of the kind that comes now."""
        behind, self.behind = self.behind, kind in (Kind.LOAD, Kind.STORE)
        takes = timing.cycles(self.core, timing.Instruction(4, kind, loads, stores))
        return takes - int(self.core.pipelined and behind and kind is Kind.LOAD)

    def loop(self, node: Loop) -> int:
        turns = node.turns if isinstance(node.turns, int) else self.turns[node.turns]
        jump = self.core.taken[Kind.BRANCH]
        enter = self.kind(Kind.BRANCH) + jump if node.between else 0
        first = self.nodes(node.body) + self.kind(Kind.BRANCH)
        again = self.nodes(node.between) + self.nodes(node.body) + self.kind(Kind.BRANCH) + jump
        return enter + first + (turns - 1) * again
