"""Figures as people read them, and as JSON can hold them."""

from __future__ import annotations

import math
from collections.abc import Sequence


def size(n: int) -> str:
    """Bytes that a board has: "512 KiB"."""
    return f"{n // 1024:,} KiB" if n and n % 1024 == 0 else f"{n:,} bytes"


def share(part: float, whole: float) -> str:
    """Percent, of what is small with a digit more."""
    percent = 100.0 * part / whole
    return f"{percent:.1f} %" if 0.0 < percent < 9.95 else f"{percent:.0f} %"


def shape(dims: tuple[int, ...]) -> str:
    return "x".join(map(str, dims))


#: Of names of ONNX nodes in a cell of a table: converters join those of all that they fused.
_NAMES = 60


def nodes(names: Sequence[str]) -> str:
    """ONNX nodes, as many as a cell has room for; documents have all. Of a long name the end, which says most."""
    shown: list[str] = []
    for name in names:
        short = name if len(name) <= _NAMES else f"...{name[3 - _NAMES :]}"
        if shown and len(", ".join([*shown, short])) > _NAMES:
            break
        shown.append(short)
    left = len(names) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left else "")


def milliseconds(ms: float) -> str:
    return f"{ms:.3f}" if ms < 100.0 else f"{ms:,.1f}"


def finite(x: float) -> float | None:
    """JSON has no infinity: None is exact."""
    return x if math.isfinite(x) else None
