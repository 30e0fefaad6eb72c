"""What lossless simplification took out of a network."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tinygen.passes.simplify import Size


def removed(before: Size, after: Size) -> tuple[str, str]:
    """In short and in full."""
    gone = [
        (what, getattr(before, what), getattr(after, what))
        for what in ("macs", "weights", "channels", "nodes")
        if getattr(before, what) != getattr(after, what)
    ]
    if not gone:
        return "nothing", "removed: no channel, weight or node is without effect"
    what, a, b = gone[0]
    counts = ", ".join(f"{a - b:,} of {a:,} {what.replace('macs', 'MACs')}" for what, a, b in gone)
    return (
        f"-{100 * (a - b) / a:.0f} % {what.replace('macs', 'MACs')}",
        f"removed without effect on any output: {counts}",
    )


def part(before: Size, after: Size) -> dict[str, Any]:
    """A part of other documents."""
    return {"before": asdict(before), "after": asdict(after)}
