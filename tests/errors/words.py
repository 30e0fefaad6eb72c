"""What is wrong with the words of a message: nothing may be left out where a name or a number should stand."""

from __future__ import annotations

import re

from tinygen.errors import UnsupportedError

_SHORT = "to|of|is|are|a|an|the|by|with|from|in|and|or|found|allowed"
_GAPS = {
    "ends in a blank": r"\s$",
    "ends where something should follow": rf"(?:^|\s)(?:{_SHORT})$|[:,(]$",
    "an empty place": r"(?<!error:)\s[.,;:](?:\s|$)|(?<!error): [.;,]",
    "no name": r"\bNone\b",
}


def gaps_in(error: Exception) -> list[str]:
    """Those of a whole error: of every cell where it has a table."""
    cells = [c for p in error.problems for c in p] if isinstance(error, UnsupportedError) else [str(error)]
    return [f"{kind}: {c}" for c in cells for kind in gaps(c)]


def gaps(text: str) -> list[str]:
    """Kinds of gaps in a message, or in a cell of a table of problems."""
    return [kind for kind, pattern in _GAPS.items() if re.search(pattern, text)] + ([] if text else ["empty"])
