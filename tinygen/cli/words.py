"""Messages speak of what functions take, in backticks: `max_flash`, `activations=16`. Here that becomes an option."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinygen.report.table import Table

#: Those whose option is called otherwise.
_OPTIONS = {
    "x": "data", "boards": "board", "input_shapes": "input-shape", "milliseconds": "ms", "quality": "min-accuracy",
    "seconds": "time", "sensors": "sensor", "states": "state",
    "constants": "set", "problems": "json", "to_dict": "json",
}  # fmt: skip
_NAMED = re.compile(r'`([a-z_]+)(?:=("?)([^`"]*)\2)?`')


def options(text: str) -> str:
    """
    >>> options('give `x`, or `activations=16`; `accept_loss=True` builds it all the same')
    'give --data, or --activations 16; --accept-loss builds it all the same'
    """

    def option(m: re.Match[str]) -> str:
        name, value = m[1], m[3]
        flag = "--" + _OPTIONS.get(name, name).replace("_", "-")
        return flag if value in (None, "True") else f"{flag} {value}"

    return _NAMED.sub(option, text)


def in_table(table: Table) -> Table:
    """The same of all that stands in it."""
    rows = tuple(tuple(map(options, row)) for row in table.rows)
    return replace(table, rows=rows, caption=options(table.caption))


def in_document(said: Mapping[str, Any]) -> dict[str, Any]:
    """The same of the notes and the error in what JSON holds."""
    return {k: _all(v) if k in ("notes", "error") else v for k, v in said.items()}


def _all(value: Any) -> Any:
    if isinstance(value, str):
        return options(value)
    if isinstance(value, dict):
        return {k: _all(v) for k, v in value.items()}
    return [_all(v) for v in value] if isinstance(value, list | tuple) else value
