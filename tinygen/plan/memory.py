"""The arena planner: offsets for buffers with known lifetimes, and an independent check of them.

Best fit over several orders of placement (largest first, longest-lived first, by time), then a seeded search that swaps
neighbours in the best order until the layer-wise lower bound is met or the budget is spent. Deterministic.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from heapq import heappop, heappush
from itertools import accumulate

import numpy as np

from tinygen.plan.types import Buffer

#: Buffers start at multiples of this, so that kernels may load words.
ALIGN = 4
SEARCH_TRIES = 400
#: Tries times pairs of buffers: a network with thousands gets few tries.
SEARCH_WORK = 40_000_000


def align(n: int) -> int:
    """n rounded up to the alignment of buffers."""
    return -(-n // ALIGN) * ALIGN


def lower_bound(buffers: Sequence[Buffer]) -> int:
    """Bytes in use at the busiest step: no plan can need less."""
    change: Counter[int] = Counter()
    for b in buffers:
        change[b.first] += align(b.size)
        change[b.last + 1] -= align(b.size)
    return max(accumulate(change[s] for s in sorted(change)), default=0)


def _place(order: Sequence[Buffer]) -> tuple[list[Buffer], int]:
    """Each buffer in the smallest gap that holds it between those placed before it that live with it."""
    placed: list[Buffer] = []
    # (offset, end) of what is placed, and when it lives: rows in order of offset, then of placement.
    at, life = np.empty((2, len(order)), np.int64), np.empty((2, len(order)), np.int64)
    top = 0
    for n, b in enumerate(order):
        together = (life[0, :n] <= b.last) & (life[1, :n] >= b.first)
        starts, ends = at[0, :n][together], np.maximum.accumulate(at[1, :n][together])
        gaps = starts - np.concatenate(([0], ends[:-1]))[: len(starts)]
        fits = np.flatnonzero(gaps >= align(b.size))
        if fits.size:
            best = int(fits[np.argmin(gaps[fits])])
            offset = int(ends[best - 1]) if best else 0
        else:
            offset = int(ends[-1]) if len(ends) else 0
        placed.append(replace(b, offset=offset))
        top = max(top, offset + align(b.size))
        row = int(np.searchsorted(at[0, :n], offset, side="right"))
        for table, values in ((at, (offset, offset + align(b.size))), (life, (b.first, b.last))):
            table[:, row + 1 : n + 1] = table[:, row:n].copy()
            table[:, row] = values
    return placed, top


def place(buffers: Sequence[Buffer]) -> tuple[tuple[Buffer, ...], int]:
    """Offsets for all buffers, in the order given, and the arena's length in bytes."""
    if not buffers:
        return (), 0
    bound = lower_bound(buffers)
    orders = [
        sorted(buffers, key=lambda b: (-b.size, b.first, b.name)),
        sorted(buffers, key=lambda b: (-(b.last - b.first), -b.size, b.name)),
        sorted(buffers, key=lambda b: (-b.size * (b.last - b.first + 1), b.name)),
        sorted(buffers, key=lambda b: (b.first, -b.size, b.name)),
    ]
    best_order = min(orders, key=lambda o: _place(o)[1])
    best, top = _place(best_order)
    rng = random.Random(0)
    for _ in range(min(SEARCH_TRIES, SEARCH_WORK // len(buffers) ** 2)):
        if top == bound:
            break
        order = list(best_order)
        i, j = rng.randrange(len(order)), rng.randrange(len(order))
        order.insert(j, order.pop(i))
        trial, trial_top = _place(order)
        if trial_top <= top:
            best_order, best, top = order, trial, trial_top
    by_name = {b.name: b for b in best}
    return tuple(by_name[b.name] for b in buffers), top


def check(buffers: Sequence[Buffer], arena_len: int) -> None:
    """Independent of `place`: every pair that lives at the same time lies apart, aligned and inside the arena."""
    for a in buffers:
        if a.offset % ALIGN or a.offset < 0 or a.offset + a.size > arena_len:
            raise AssertionError(
                f"buffer {a.name} [{a.offset}, {a.offset + a.size}) does not fit an arena of {arena_len}"
            )
    # Through time: what lives now, by offset. A newcomer can only hit a neighbour, as those before it lie apart.
    alive: list[tuple[int, int, Buffer]] = []
    ending: list[tuple[int, int, int]] = []
    for i, b in enumerate(sorted((b for b in buffers if b.size), key=lambda b: b.first)):
        while ending and ending[0][0] < b.first:
            _, offset, k = heappop(ending)
            del alive[bisect_left(alive, (offset, k))]
        at = bisect_left(alive, (b.offset, i))
        for _, _, a in alive[max(at - 1, 0) : at + 1]:
            if a.offset < b.offset + b.size and b.offset < a.offset + a.size:
                raise AssertionError(f"buffers {a.name} and {b.name} overlap in time and space")
        alive.insert(at, (b.offset, i, b))
        heappush(ending, (b.last, b.offset, i))
