"""How long work says how far it is."""

from __future__ import annotations

from collections.abc import Callable

#: Called with (phase, done, total).
Progress = Callable[[str, int, int], None]


def no_progress(phase: str, done: int, total: int) -> None:
    """For callers that show none."""
