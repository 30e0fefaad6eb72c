"""How an answer is shown: its notes and tables, or the document, and where things were written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinygen.cli.words import in_document

if TYPE_CHECKING:
    from tinygen.api.result import Result
    from tinygen.report.table import Table


def document(said: dict[str, Any]) -> None:
    """A JSON object on standard output."""
    click.echo(json.dumps(in_document(said), indent=2))


def render(result: Result, *, as_json: bool, first: Sequence[Table] = (), **more: Any) -> None:
    """An answer as a person wants it, the tables `first` above its own; or as a document with `more` in it."""
    if as_json:
        document({**result.to_dict(), **more})
        return
    from tinygen.cli.console import notes, show

    notes(list(result.notes))
    show((*first, *result.tables()))


def wrote(what: Path | None, more: str = "") -> None:
    """A line that says so, of a file or folder that there is."""
    if what is not None:
        from tinygen.cli.console import out

        out.print(f"Wrote {what}{more}")
