"""Figures as people read them, and as JSON can hold them."""

from __future__ import annotations

import math


def size(n: int) -> str:
    """Bytes that a board has: "512 KiB"."""
    return f"{n // 1024:,} KiB" if n and n % 1024 == 0 else f"{n:,} bytes"


def share(part: float, whole: float) -> str:
    """Percent, of what is small with a digit more."""
    percent = 100.0 * part / whole
    return f"{percent:.1f} %" if 0.0 < percent < 9.95 else f"{percent:.0f} %"


def shape(dims: tuple[int, ...]) -> str:
    return "x".join(map(str, dims))


def milliseconds(ms: float) -> str:
    return f"{ms:.3f}" if ms < 100.0 else f"{ms:,.1f}"


def finite(x: float) -> float | None:
    """JSON has no infinity: None is exact."""
    return x if math.isfinite(x) else None
