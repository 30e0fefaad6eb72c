"""The arena planner: offsets for buffers with known lifetimes, and an independent check of them.

Best fit over several orders of placement (largest first, longest-lived first, by time), then a seeded search that swaps
neighbours in the best order until the layer-wise lower bound is met or the budget is spent. Deterministic.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from tinygen.plan.types import Buffer

#: Buffers start at multiples of this, so that kernels may load words.
ALIGN = 4
SEARCH_TRIES = 400


def align(n: int) -> int:
    """n rounded up to the alignment of buffers."""
    return -(-n // ALIGN) * ALIGN


def lower_bound(buffers: Sequence[Buffer]) -> int:
    """Bytes in use at the busiest step: no plan can need less."""
    steps = {b.first for b in buffers}
    return max((sum(align(b.size) for b in buffers if b.first <= s <= b.last) for s in steps), default=0)


def _place(order: Sequence[Buffer]) -> tuple[list[Buffer], int]:
    placed: list[Buffer] = []
    top = 0
    for b in order:
        rivals = sorted((p for p in placed if p.first <= b.last and b.first <= p.last), key=lambda p: p.offset)
        best, best_gap, cursor = None, None, 0
        for p in rivals:
            gap = p.offset - cursor
            if gap >= align(b.size) and (best_gap is None or gap < best_gap):
                best, best_gap = cursor, gap
            cursor = max(cursor, p.offset + align(p.size))
        placed.append(replace(b, offset=cursor if best is None else best))
        top = max(top, placed[-1].offset + align(b.size))
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
    for _ in range(SEARCH_TRIES):
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
    for i, a in enumerate(buffers):
        if a.offset % ALIGN or a.offset < 0 or a.offset + a.size > arena_len:
            raise AssertionError(
                f"buffer {a.name} [{a.offset}, {a.offset + a.size}) does not fit an arena of {arena_len}"
            )
        for b in buffers[i + 1 :]:
            together = not (a.last < b.first or b.last < a.first)
            apart = a.offset + a.size <= b.offset or b.offset + b.size <= a.offset
            if together and not apart:
                raise AssertionError(f"buffers {a.name} and {b.name} overlap in time and space")
