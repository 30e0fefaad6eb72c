"""Plain values as TOML text, which the standard library reads but does not write."""

from __future__ import annotations

import json
from collections.abc import Mapping


def lines(values: Mapping[str, object]) -> list[str]:
    """One `key = value` a line, in the order given."""
    return [f"{name} = {_value(value)}" for name, value in values.items()]


def quoted(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, DEL aside."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_value, value))}]"
    return repr(value)
