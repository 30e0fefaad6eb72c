"""Shares, points and times as people write them, on the command line and in files."""

from __future__ import annotations

import re

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float | None:
    """A time with its unit.

    >>> seconds("100ms"), seconds("2 s"), seconds("5m"), seconds("100"), seconds("0s")
    (0.1, 2.0, 300.0, None, None)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|m|h)\s*", text)
    return float(found[1]) * _SECONDS[found[2]] or None if found else None


def share(text: str) -> float | None:
    """A share of 1.

    >>> share("0.9"), share("90"), share("90%"), share("0"), share("high")
    (0.9, 0.9, 0.9, None, None)
    """
    found = _hundredths(text)
    if found is None or found == 0.0:
        return None
    return found / 100.0 if found > 1.0 or text.strip().endswith("%") else found


def points(text: str) -> float | None:
    """Points of a hundred, as a share of 1.

    >>> points("0.5"), points("0"), points("101")
    (0.005, 0.0, None)
    """
    found = _hundredths(text)
    return None if found is None else found / 100.0


def _hundredths(text: str) -> float | None:
    """From 0 to 100, or None."""
    try:
        found = float(text.strip().removesuffix("%"))
    except ValueError:
        return None
    return found if 0.0 <= found <= 100.0 else None
