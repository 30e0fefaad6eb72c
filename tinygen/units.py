"""Shares and points as people write them, on the command line and in files."""

from __future__ import annotations


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
