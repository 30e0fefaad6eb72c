"""The arena planner alone, on random buffers: its plan passes a check that shares nothing with it, and is close to the
lower bound."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygen.plan import memory
from tinygen.plan.types import Buffer

STEPS = 24


@st.composite
def buffers(draw: st.DrawFn) -> list[Buffer]:
    found = []
    for i in range(draw(st.integers(0, 16))):
        first = draw(st.integers(0, STEPS - 1))
        last = draw(st.integers(first, STEPS - 1))
        found.append(Buffer(f"b{i}", draw(st.integers(1, 5000)), first, last))
    return found


def owners(placed: list[Buffer], length: int) -> None:
    """Fill a picture of time and memory, byte by byte: nobody may find another's mark."""
    picture = np.full((STEPS, length), -1, np.int32)
    for i, b in enumerate(placed):
        assert b.offset % memory.ALIGN == 0
        assert b.offset + b.size <= length
        area = picture[b.first : b.last + 1, b.offset : b.offset + b.size]
        assert (area == -1).all(), f"{b.name} overlaps {placed[int(area.max())].name}"
        area[:] = i


@settings(max_examples=60, deadline=None, derandomize=True)
@given(buffers())
def test_plans_are_sound(given_buffers: list[Buffer]) -> None:
    placed, length = memory.place(given_buffers)
    assert [(b.name, b.size, b.first, b.last) for b in placed] == [
        (b.name, b.size, b.first, b.last) for b in given_buffers
    ]
    memory.check(placed, length)
    owners(list(placed), max(length, 1))
    assert length >= memory.lower_bound(given_buffers)
    assert length <= sum(memory.align(b.size) for b in given_buffers) + memory.ALIGN * 4


def test_the_bound_is_what_is_alive() -> None:
    rng = random.Random(1)
    for _ in range(50):
        some = [
            Buffer(f"b{i}", rng.randrange(1, 999), f, rng.randrange(f, STEPS))
            for i, f in enumerate(rng.choices(range(STEPS), k=9))
        ]
        alive = max(sum(memory.align(b.size) for b in some if b.first <= s <= b.last) for s in range(STEPS))
        assert memory.lower_bound(some) == alive


def test_plans_are_good() -> None:
    """Buffers as networks have them (short lives, a few long ones): on average within 3 % of the bound."""
    rng = random.Random(2)
    ratios = []
    for _ in range(40):
        some = []
        for i in range(14):
            last = i + 1 if rng.random() < 0.8 else min(13, i + rng.randrange(2, 6))
            some.append(Buffer(f"b{i}", rng.randrange(1, 64) * rng.choice([4, 16, 64]), i, last))
        ratios.append(memory.place(some)[1] / memory.lower_bound(some))
    assert max(ratios) < 1.25
    assert sum(ratios) / len(ratios) < 1.03


@pytest.mark.parametrize("spoil", ["overlap", "outside", "crooked"])
def test_the_check_notices(spoil: str) -> None:
    a, b = Buffer("a", 8, 0, 2, 0), Buffer("b", 8, 1, 3, 8)
    bad = {
        "overlap": ([a, Buffer("b", 8, 2, 3, 4)], 16),
        "outside": ([a, b], 12),
        "crooked": ([a, Buffer("b", 8, 1, 3, 10)], 32),
    }[spoil]
    memory.check([a, b], 16)
    with pytest.raises(AssertionError):
        memory.check(*bad)
