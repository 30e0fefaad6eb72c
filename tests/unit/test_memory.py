"""The checker finds what a wrong plan does; the planner meets the bound where it can."""

from __future__ import annotations

import pytest

from tinygen.plan import memory
from tinygen.plan.types import Buffer


def test_chain_reuses_memory() -> None:
    chain = [Buffer(f"t{i}", 100, i, i + 1) for i in range(6)]
    placed, length = memory.place(chain)
    memory.check(placed, length)
    assert length == memory.lower_bound(chain) == 200


@pytest.mark.parametrize(
    ("a", "b", "length"),
    [
        (Buffer("a", 8, 0, 2, 0), Buffer("b", 8, 1, 3, 4), 16),  # overlap
        (Buffer("a", 8, 0, 2, 0), Buffer("b", 8, 1, 3, 8), 12),  # past the end
        (Buffer("a", 8, 0, 2, 0), Buffer("b", 8, 1, 3, 10), 20),  # unaligned
        (Buffer("a", 8, 0, 2, 0), Buffer("b", 8, 2, 3, 0), 16),  # both used by step 2
    ],
)
def test_checker_refuses(a: Buffer, b: Buffer, length: int) -> None:
    with pytest.raises(AssertionError):
        memory.check([a, b], length)
