"""Which kernels and constants lie in RAM, on parts where code in RAM never waits: those that save most cycles."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tinygen.ops.base import Call
from tinygen.plan import cost
from tinygen.plan.choose import choose, code_bytes
from tinygen.targets.flash import Flash


def choose_with_ram(
    candidates: Sequence[Sequence[Call]],
    core: str,
    optimize: str,
    *,
    activations: int,
    free: Sequence[int] = (),
    flash: Flash,
    room: int,
    kib_worth: float | None = None,
    ram_worth: float | None = None,
) -> tuple[tuple[Call, ...], frozenset[str]]:
    """As `choose`, with kernels and constants of at most `room` bytes in RAM: names of kernels, contents of constants.

    Two beginnings, what is chosen for flash and what would be if all were in RAM; in each what saves most for its bytes
    moves, the choice is made again around it, and the faster of both stays.
    """
    sizes = {name: size for row in candidates for c in row for name, size in bytes_of(c, core).items()}
    best: tuple[float, tuple[Call, ...], frozenset[str]] | None = None

    def made(in_ram: Collection[str]) -> tuple[Call, ...]:
        return choose(
            candidates, core, optimize, activations=activations, free=free, flash=flash, in_ram=in_ram,
            kib_worth=kib_worth, ram_worth=ram_worth,
        )  # fmt: skip

    for beginning in ((), sizes):
        first = made(beginning)
        moved = _worth_moving(first, core, flash, sizes, room)
        chosen = made(moved)
        moved &= {name for c in chosen for name in bytes_of(c, core)}
        took = sum(
            cost.cycles(c, core) + (cost.stalls(c, core, flash, moved) or 0.0) for c in chosen if cost.known(c, core)
        )
        if best is None or took < best[0]:
            best = took, chosen, moved
    assert best is not None
    return best[1:]


def bytes_of(call: Call, core: str) -> dict[str, int]:
    """Bytes of each kernel and constant that a call needs."""
    return code_bytes(call, core) | {c.content: c.array.nbytes for c in call.consts}


def _worth_moving(
    calls: Sequence[Call], core: str, flash: Flash, sizes: Mapping[str, int], room: int
) -> frozenset[str]:
    """Again and again what completes the code, or the constants, of a call, by cycles saved for each byte."""
    saved = [(frozenset(code_bytes(c, core)), cost.code_stalls(c, core, flash) or 0.0) for c in calls]
    saved += [(frozenset(k.content for k in c.consts), cost.data_stalls(c, core, flash) or 0.0) for c in calls]
    moved: frozenset[str] = frozenset()
    left = room
    while True:
        best, density = None, 0.0
        for group in sorted({whole - moved for whole, _ in saved} - {frozenset()}, key=sorted):
            size = sum(sizes[k] for k in group)
            gain = sum(s for whole, s in saved if not whole <= moved and whole <= moved | group)
            if size <= left and gain / max(size, 1) > density:
                best, density = group, gain / max(size, 1)
        if best is None:
            return moved
        moved, left = moved | best, left - sum(sizes[k] for k in best)
