"""What the commands print with: plain text on two consoles, tables, notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from tinygen.cli.words import in_table, options
from tinygen.report.table import Table, to_rich


def _shown(c: str) -> bool:
    return c.isprintable() or c == "\n" or "\ud800" <= c <= "\udfff"


class PlainConsole(Console):
    """A console for texts from anywhere: names in a model cannot be markup, emoji codes or control sequences."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for s in super().render(renderable, options):
            # Bytes of a file's name that are no text are shown as such, everything else that moves a cursor is not.
            text = "".join("?" if "\ud800" <= c <= "\udfff" else c for c in s.text if _shown(c))
            yield s if s.control or text == s.text else Segment(text, s.style)


out = PlainConsole()
err = PlainConsole(stderr=True)


def warn(what: str, advice: str) -> None:
    """What nobody may overlook."""
    err.print(Text(what, "bold red").append(f" {advice}", "not bold default"))


def show(tables: Iterable[Table]) -> None:
    """Tables on standard output, an empty line behind each."""
    for table in tables:
        out.print(to_rich(in_table(table)), "")


def line(text: str) -> None:
    """A line on standard error, as it is."""
    err.print(text, highlight=False, soft_wrap=True)


def notes(texts: list[str]) -> None:
    for text in texts:
        say("note:", "yellow", text)


def say(word: str, style: str, text: str) -> None:
    """A message on standard error: wrapped at words on a terminal, as it is in a file."""
    err.print(Text.assemble((word, style), f" {options(text)}"), highlight=False, soft_wrap=not err.is_terminal)
