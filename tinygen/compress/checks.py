"""Settings held against their types and bounds. RecipeError names the key, what was found and what is allowed."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from tinygen.errors import RecipeError, did_you_mean

S = TypeVar("S")


def listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))


def within(key: str, value: float, low: float, high: float) -> None:
    """From `low` to `high`, both allowed."""
    if not low <= value <= high:
        raise RecipeError(f"{key}: found {value:g}, allowed {low:g} to {high:g}.")


def share(key: str, value: float) -> None:
    """From 0 to below 1."""
    if not 0.0 <= value < 1.0:
        raise RecipeError(f"{key}: found {value:g}, allowed is a share from 0 to below 1.")


def one_of(key: str, value: object, allowed: Sequence[object]) -> None:
    if value not in allowed:
        near = did_you_mean(value, map(str, allowed)) if isinstance(value, str) else ""
        raise RecipeError(f"{key}: found {value}, allowed: {listed(allowed)}.{near}")


# -- what a file says ------------------------------------------------------------------------------------------------


def known(prefix: str, data: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """No key but those allowed; `prefix` stands before the key in the error."""
    for name in data:
        if name not in allowed:
            close = difflib.get_close_matches(name, allowed, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise RecipeError(f"{prefix}{name}: no such key; allowed: {listed(allowed)}.{hint}")


def table(key: str, data: object) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise RecipeError(f"{key}: found {_show(data)}, allowed is a table: [{key}].")
    return data


def made(key: str, data: object, kind: type[S], hidden: Collection[str] = ()) -> S:
    """A dataclass `kind` from a table; fields that are absent have their defaults, those `hidden` are no keys."""
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name not in hidden}
    rows = table(key, data)
    known(f"{key}.", rows, tuple(hints))
    return kind(**{name: typed(f"{key}.{name}", value, hints[name]) for name, value in rows.items()})


def typed(key: str, value: Any, kind: Any) -> Any:
    """`value` as a field of type `kind`: whole numbers become floats and lists tuples where those are wanted."""
    options = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    for option in options:
        if get_origin(option) is Literal and any(value is a or (value == a and type(value) is type(a))
                                                 for a in get_args(option)):  # fmt: skip
            return value
        if get_origin(option) is tuple and isinstance(value, list | tuple):
            return tuple(typed(key, v, get_args(option)[0]) for v in value)
        if option is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if option in (int, bool, str) and type(value) is option:
            return value
    raise RecipeError(f"{key}: found {_show(value)}, allowed: {' or '.join(_kind(o) for o in options)}.")


def _kind(option: Any) -> str:
    """A type in words."""
    if get_origin(option) is Literal:
        return ", ".join("false" if a is False else f'"{a}"' for a in get_args(option))
    if get_origin(option) is tuple:
        return f"a list of {_kind(get_args(option)[0])}s"
    names = {float: "a number", int: "a whole number", bool: "true or false", str: "a text", NoneType: "nothing"}
    return names[option]


def _show(value: object) -> str:
    return json.dumps(value, default=str)[:60]
