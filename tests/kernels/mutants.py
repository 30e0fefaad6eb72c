"""Wrong programs: each differs from a kernel in one instruction, and something must say so.

    python -m tests.kernels.mutants plane [how many of each kernel]

A mutant is stopped by check.py or a printer, by the compiler, or by an output that differs on the host. One that passes
is printed, and the command fails, unless `EXPLAINED` says why it is right all the same.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.c.harness import INCLUDES
from tests.kernels import fills, groups, library, palettes, planes, rows, steps, taps, tiles, winos
from tests.kernels.harness import Case
from tinygen.kernels import armv7em, print_c
from tinygen.kernels.check import checked
from tinygen.kernels.program import (
    Copies,
    If,
    Instruction,
    Loop,
    Node,
    Op,
    Operand,
    Ordered,
    Program,
    ProgramError,
    Reg,
    When,
)
from tinygen.targets.arch.timing import Kind

FAMILIES: dict[str, Callable[[], Sequence[Case]]] = {
    "plane": planes.all_cases,
    "row": rows.all_cases,
    "taps": taps.all_cases,
    "tile": tiles.all_cases,
    "fill": fills.all_cases,
    "library": library.all_cases,
    "palette": palettes.all_cases,
    "recurrent": steps.all_cases,
    "group": groups.all_cases,
    "winograd": winos.all_cases,
}

#: Instructions that are easily taken for each other.
SIBLINGS: tuple[tuple[Op, ...], ...] = (
    (armv7em.smlabb, armv7em.smlabt, armv7em.smlatb, armv7em.smlatt),
    (armv7em.smlad, armv7em.smladx),
    (armv7em.smmla, armv7em.smmlar),
    (armv7em.sxtb16, armv7em.sxtb16_ror8),
    (armv7em.add, armv7em.sub),
    (armv7em.add_reg, armv7em.sub_reg),
)


@dataclass(frozen=True)
class Mutant:
    """`before` and `after`: the instructions that differ."""

    before: tuple[Instruction, ...]
    after: tuple[Instruction, ...]
    program: Program

    def __str__(self) -> str:
        return f"{'; '.join(map(str, self.before))}  ->  {'; '.join(map(str, self.after)) or 'nothing'}"


#: Why a mutant that passes is no fault: (what it is, whether a mutant is of that kind).
EXPLAINED: tuple[tuple[str, Callable[[Mutant], bool]], ...] = (
    ("in C a value is one variable, wherever it lies", lambda m: list(map(str, m.before)) == list(map(str, m.after))),
    ("values that are the same still", lambda m: len(m.after) == 1 and _copy_of_a_copy(m.before[0], m.after[0])),
    ("what is added one after the other may change places", lambda m: len(m.after) == 2 and _same_sum(*m.after)),
    ("what is stored in different places may change places", lambda m: len(m.after) == 2 and _apart(*m.after)),
    (
        "outputs of a tile begin where the pointer is while it has not moved",
        lambda m: _instead(m) == {"y_tile", "y_at"},
    ),
    (
        "behind a channel's weights its pointer is where that of all channels is",
        lambda m: _instead(m) == {"w_at", "w_taps"},
    ),
    ("behind a tile's last multiplier nobody looks at the weights any more", lambda m: _moves_on(m) == "m_odd"),
    ("the last pair of an odd number of channels writes one again", lambda m: _written_again(m)),
    (
        "indices of four channels end with a word in any case",
        lambda m: m.program.result is not None and _sets(m, "last"),
    ),
    ("of a step, less than an output of eight bits shows", lambda m: _of_step(m) and _small(m.before[0], *m.after)),
    (
        "of a step, beyond 16 bits only where the candidate's curve is flat",
        lambda m: _sets(m, "n_even", "n_odd") and m.before[0].op is armv7em.ssat_half,
    ),
)


def _sets(m: Mutant, *names: str) -> bool:
    """One instruction is another, which gave one of these values."""
    return len(m.before) == 1 and "d" in m.before[0].op.fields and m.before[0].reg("d").name in names


def _of_step(m: Mutant) -> bool:
    """A sum of a gate, or what goes to the curve of a cell."""
    return _sets(m, *(f"{gate}_{unit}" for gate in "iofgzrnt" for unit in ("even", "odd")))


def _small(a: Instruction, b: Instruction | None = None) -> bool:
    """A rounding, or where a sum starts."""
    if a.op is armv7em.smmlar:
        return b is not None and b.op is armv7em.smmla and a.operands == b.operands
    return a.op is armv7em.mov_imm or (a.op is armv7em.add and b is not None and b.op is a.op and abs(a.i - b.i) < 5)


def _written_again(m: Mutant) -> bool:
    """An output of an even channel that is not stored, where a pointer steps back to the channel before."""
    lost = not m.after and m.before[0].op is armv7em.strb and m.before[0].reg("n").name.startswith("even")
    return lost and any(i.op is armv7em.subw for i in m.program.instructions)


def _moves_on(m: Mutant) -> str:
    """What is loaded by an instruction of which only how far the pointer moves on is another."""
    if len(m.before) != 1 or len(m.after) != 1 or not m.before[0].op is m.after[0].op is armv7em.ldr_post:
        return ""
    (d, w, _), after = m.before[0].operands, m.after[0].operands
    return str(d) if (d, w) == after[:2] else ""


def _instead(m: Mutant) -> set[str]:
    """The names of which one is copied, or compared, instead of the other."""
    ops = (armv7em.mov, armv7em.vmov, armv7em.cmp)
    alike = all(len(part) == 1 and part[0].op in ops for part in (m.before, m.after))
    return {part[0].reg("n").name for part in (m.before, m.after)} if alike else set()


def _same_sum(a: Instruction, b: Instruction) -> bool:
    """Both add to one register what does not come from it."""
    if a.op.kind is Kind.MUL_DSP and b.op.kind is Kind.MUL_DSP:
        d = a.reg("d")
        terms = (a.reg("n"), a.reg("m"), b.reg("n"), b.reg("m"))
        return d == a.reg("a") == b.reg("d") == b.reg("a") and d not in terms
    return a.op is b.op is armv7em.add and a.reg("d") == a.reg("n") == b.reg("d") == b.reg("n")


def _apart(a: Instruction, b: Instruction) -> bool:
    """Stores whose addresses differ, which `_depend` does not know."""
    places = [[(f, v) for f, v in i.by_field.items() if f != "n"] for i in (a, b)]
    return a.op.kind is b.op.kind is Kind.STORE and (a.op is not b.op or places[0] != places[1])


def _copy_of_a_copy(a: Instruction, b: Instruction) -> bool:
    """Sums that begin alike, one of them a copy of another."""
    if a.op is not b.op or a.op is not armv7em.mov or a.reg("d") != b.reg("d"):
        return False
    return a.reg("n").name.rstrip("0123456789") == b.reg("n").name.rstrip("0123456789")


def mutants(program: Program, rng: np.random.Generator, most: int) -> Iterator[Mutant]:
    """Some, each with one change; swaps that change nothing are none."""
    places = list(_places(program.body))
    values = sorted({r for i in program.instructions for r in (*i.reads, *i.writes)}, key=lambda r: (r.name, r.place))
    for k in rng.permutation(len(places))[:most].tolist():
        path, i, following = places[k]
        made = _changed(i, following, values, rng)
        if made is not None:
            before, after = made
            body = _replaced(program.body, path, len(before), after)
            yield Mutant(before, after, replace(program, body=body))


def _changed(
    i: Instruction, following: Instruction | None, values: Sequence[Reg], rng: np.random.Generator
) -> tuple[tuple[Instruction, ...], tuple[Instruction, ...]] | None:
    """What stands there, and what instead."""
    kind = rng.integers(5)
    if kind == 0:
        return (i,), ()
    if kind == 1 and following is not None and _depend(i, following):
        return (i, following), (following, i)
    siblings = [op for group in SIBLINGS if i.op in group for op in group if op is not i.op]
    if kind == 2 and siblings:
        return (i,), (_made(siblings[int(rng.integers(len(siblings)))], i.operands),)
    place = int(rng.integers(len(i.op.fields)))
    if kind == 3 and "i" in i.op.fields:
        place = i.op.fields.index("i")
    old = i.operands[place]
    if isinstance(old, int):
        new: Operand = old + int(rng.choice([-4, -2, -1, 1, 2, 4]))
    elif isinstance(old, Reg):
        like = [r for r in values if r != old and r.type.c == old.type.c and r.place[0] == old.place[0]]
        if not like:
            return None
        new = like[int(rng.integers(len(like)))]
    elif isinstance(old, tuple) and len(old) > 1:
        a, b = (int(v) for v in rng.choice(len(old), 2, replace=False))
        names = list(old)
        names[a], names[b] = replace(old[b], place=old[a].place), replace(old[a], place=old[b].place)
        new = tuple(names)
    else:
        return None
    return (i,), (_made(i.op, (*i.operands[:place], new, *i.operands[place + 1 :])),)


def _made(op: Op, operands: Sequence[Operand]) -> Instruction:
    """Without the questions that a call asks: `verdict` asks them."""
    return Instruction(op, tuple(operands))


def _depend(a: Instruction, b: Instruction) -> bool:
    """Whether their order matters."""
    written, read = {r.place for r in a.writes}, {r.place for r in a.reads}
    if written & {r.place for r in (*b.reads, *b.writes)} or read & {r.place for r in b.writes}:
        return True
    if a.op is b.op and a.op in (armv7em.strb, armv7em.strb_reg, armv7em.str_word) and a.reg("b") == b.reg("b"):
        return a.operands[2] == b.operands[2]  # other offsets are other bytes
    if "b" in a.op.fields and "b" in b.op.fields and (a.reg("b").place == "sp") != (b.reg("b").place == "sp"):
        return False  # a frame of its own
    memory = (Kind.LOAD, Kind.STORE, Kind.MULTIPLE)
    return a.op.kind in memory and b.op.kind in memory and Kind.STORE in (a.op.kind, b.op.kind)


Path_ = tuple[int, ...]


def _places(nodes: Sequence[Node], path: Path_ = ()) -> Iterator[tuple[Path_, Instruction, Instruction | None]]:
    """Instructions with where they stand and what follows in the same list."""
    for k, node in enumerate(nodes):
        if isinstance(node, Instruction):
            behind = nodes[k + 1] if k + 1 < len(nodes) else None
            yield (*path, k), node, behind if isinstance(behind, Instruction) else None
        elif isinstance(node, If):
            yield from _places(node.body, (*path, k, 0))
        elif isinstance(node, Loop):
            yield from _places(node.body, (*path, k, 0))
            yield from _places(node.between, (*path, k, 1))
        elif isinstance(node, When):
            yield from _places(node.body, (*path, k))
        elif isinstance(node, Ordered):
            yield from _places(node.plain, (*path, k, 0))
            yield from _places(node.order, (*path, k, 1))
        elif isinstance(node, Copies):
            for c, copy in enumerate(node.copies):
                yield from _places(copy, (*path, k, c))


def _replaced(nodes: tuple[Node, ...], path: Path_, n: int, new: tuple[Instruction, ...]) -> tuple[Node, ...]:
    k, rest = path[0], path[1:]
    if not rest:
        return (*nodes[:k], *new, *nodes[k + n :])
    node = nodes[k]
    if isinstance(node, If):
        inner: Node = replace(node, body=_replaced(node.body, rest[1:], n, new))
    elif isinstance(node, Loop):
        parts = [node.body, node.between]
        parts[rest[0]] = _replaced(parts[rest[0]], rest[1:], n, new)
        inner = replace(node, body=parts[0], between=parts[1])
    elif isinstance(node, Ordered):
        changed = _replaced(node.order if rest[0] else node.plain, rest[1:], n, new)
        order = tuple(i for i in changed if isinstance(i, Instruction))
        inner = replace(node, order=order) if rest[0] else replace(node, plain=changed)
    elif isinstance(node, When):
        body = _replaced(node.body, rest, n, new)
        inner = replace(node, body=tuple(i for i in body if isinstance(i, Instruction)))
    else:
        assert isinstance(node, Copies)
        copies = list(node.copies)
        copies[rest[0]] = _replaced(copies[rest[0]], rest[1:], n, new)
        inner = Copies(tuple(copies))
    return (*nodes[:k], inner, *nodes[k + 1 :])


def printed(program: Program) -> str | None:
    """Its body in C; None where somebody says that it is no program."""
    try:
        for i in program.instructions:
            i.op(*i.operands)
        return print_c.body(checked(program))
    except ProgramError:
        return None


MAIN = """
#include <string.h>
#include <stdlib.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/wait.h>
int main(void)
{
    for (int i = 0; i < N; ++i) {
        (void)fflush(stdout);
        const pid_t child = fork();
        if (child == 0) {
            (void)alarm(2);
            _exit(all[i]() ? 0 : 1);
        }
        int status = 1;
        (void)waitpid(child, &status, 0);
        printf("%d\\n", status == 0);
    }
    return 0;
}
"""


def passing(case: Case, bodies: Sequence[str], folder: Path) -> list[bool]:
    """Which of these bodies give the case's output; False too for those that crash or do not end."""
    lines = ["#include <string.h>", f'#include "{case.kernel.include}"', '#include "tg_isa_dsp.h"', case.data]
    call = ", ".join(case.arguments)
    for k, body in enumerate(bodies):
        lines += [f"static {case.kernel.returns}mutant{k}({case.kernel.parameters})", "{", body, "}"]
        done_right = f"mutant{k}({call}) == {case.result}" if case.result else f"(mutant{k}({call}), 1)"
        lines += [f"static int case{k}(void)", "{", f"    return ({done_right}) && ({case.right});", "}"]
    names = ", ".join(f"case{k}" for k in range(len(bodies)))
    lines += [f"static int (*const all[])(void) = {{{names}}};", f"enum {{ N = {len(bodies)} }};", MAIN]
    source = folder / "mutants.c"
    source.write_text("\n".join(lines), encoding="utf-8")
    flags = ["-std=gnu99", "-O0", "-w", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    done = subprocess.run(["gcc", *flags, *INCLUDES, str(source), "-o", str(folder / "mutants")], check=True)
    done = subprocess.run([folder / "mutants"], capture_output=True, text=True, check=True)  # type: ignore[assignment]
    return [line == "1" for line in str(done.stdout).split()]


def survivors(cases: Sequence[Case], seed: int, most: int, folder: Path) -> tuple[Counter[str], list[Mutant]]:
    """What became of the mutants of a kernel, and those that pass in each of its cases."""
    found: Counter[str] = Counter()
    live: list[tuple[Mutant, str]] = []
    kernel = cases[0].kernel
    own = print_c.body(kernel.program)
    for mutant in mutants(kernel.program, np.random.default_rng(seed), most):
        text = printed(mutant.program)
        if text is None:
            found["stopped without data"] += 1
        elif text == own:
            found["the same in C"] += 1
        else:
            live.append((mutant, text))
    passed = live
    for case in cases:
        results = passing(case, [own, *(text for _, text in passed)], folder)
        assert results[0], f"{kernel.name} itself gives another output"
        passed = [m for m, right in zip(passed, results[1:], strict=True) if right]
    found["differ in bits"] += len(live) - len(passed)
    return found, [m for m, _ in passed]


def explained(mutant: Mutant) -> str | None:
    """Why it is right all the same; None where nobody knows."""
    return next((why for why, is_so in EXPLAINED if is_so(mutant)), None)


def main() -> int:
    """See the head of this file."""
    family, most = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 150
    total: Counter[str] = Counter()
    unexplained = 0
    kernels: dict[str, list[Case]] = {}
    for case in FAMILIES[family]():
        if not case.hidden:
            kernels.setdefault(case.kernel.name, []).append(case)
    for seed, (name, cases) in enumerate(kernels.items()):
        with tempfile.TemporaryDirectory() as folder:
            found, passed = survivors(cases, seed, most, Path(folder))
        total += found
        for mutant in passed:
            why = explained(mutant)
            total["explained" if why else "unexplained"] += 1
            unexplained += why is None
            print(f"{name}: {mutant}: {why or 'WHY?'}")
    print(dict(total))
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
