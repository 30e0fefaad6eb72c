"""A table as plain data, for whatever shows it: a terminal, a notebook, a pull request."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import rich.console
    import rich.table

Align = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class Column:
    """`whole`: its cells are never broken; others are, at words, and within long names. `least`: characters."""

    name: str = ""
    align: Align = "left"
    whole: bool = False
    least: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Table:
    """Rows of texts, one for each column; without names of columns there is no head. `caption` stands below; `total`: a
    last row, set apart."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    total: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in (*self.rows, *([self.total] if self.total else [])):
            if len(row) != len(self.columns):
                raise ValueError(f'table "{self.title}": {len(row)} cells for {len(self.columns)} columns: {row}')

    @property
    def head(self) -> bool:
        return any(c.name for c in self.columns)

    def __str__(self) -> str:
        return to_text(self)

    def __repr__(self) -> str:
        return f"<Table {self.title!r}: {len(self.rows)} rows>"

    def _repr_html_(self) -> str:
        return to_html(self)


def columns(*names: str, right: Iterable[str] = (), whole: Iterable[str] = ()) -> tuple[Column, ...]:
    """Columns by name; numbers stand to the `right`, and are as `whole` as what is named so."""
    right, whole = frozenset(right), frozenset(whole)
    return tuple(Column(n, "right" if n in right else "left", n in right or n in whole) for n in names)


# -- on a terminal ---------------------------------------------------------------------------------------------------


def to_rich(table: Table) -> rich.console.Group:
    """For rich's console, which knows how wide it is."""
    from rich.box import Box
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(show_header=table.head, box=Box(_RULES), show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for c in table.columns:
        shown.add_column(c.name, justify=c.align, no_wrap=c.whole, overflow="fold", min_width=c.least)
    for row in table.rows:
        shown.add_row(*row)
    if table.total:
        shown.add_section()
        shown.add_row(*table.total)
    above = [Text(table.title, "bold")] if table.title else []
    return Group(*above, shown, *([Text(table.caption, "dim")] if table.caption else []))


#: rich's form of a box: a rule below the head and above the total.
_RULES = "\n".join(["    ", "    ", " ── ", "    ", " ── ", "    ", "    ", "    "]) + "\n"


def to_text(table: Table, width: int = 100) -> str:
    """Plain text of at most `width` columns."""
    from io import StringIO

    from rich.console import Console

    console = Console(file=StringIO(), width=width, no_color=True, markup=False, emoji=False, highlight=False)
    with console.capture() as shown:
        console.print(to_rich(table))
    return "\n".join(printable(line).rstrip() for line in shown.get().splitlines()) + "\n"


# -- in a notebook ---------------------------------------------------------------------------------------------------

# Styles stand on the elements: what shows a notebook may take style sheets away. Half-transparent grey and the colours
# around it suit light and dark.
_LINE = "1px solid rgba(128,128,128,.45)"


def to_html(table: Table) -> str:
    """One element that needs nothing else, with every text escaped."""
    parts = ['<div style="overflow-x:auto">', '<table style="border-collapse:collapse;margin:.4em 0">']
    if table.title:
        parts.append(
            '<caption style="caption-side:top;text-align:left;font-weight:600;padding:.2em 0;color:inherit;'
            'white-space:nowrap">'
            f"{_escaped(table.title)}</caption>"
        )
    if table.head:
        cells = (_cell("th", c, c.name, f"border-bottom:{_LINE}") for c in table.columns)
        parts.append(f"<thead><tr>{''.join(cells)}</tr></thead>")
    parts.append("<tbody>")
    parts += (_row(table, row, "") for row in table.rows)
    parts.append("</tbody>")
    if table.total:
        parts.append(f"<tfoot>{_row(table, table.total, f'border-top:{_LINE};font-weight:600')}</tfoot>")
    parts.append("</table>")
    if table.caption:
        parts.append(f'<p style="margin:.2em 0;opacity:.75">{_escaped(table.caption)}</p>')
    return "\n".join([*parts, "</div>"])


def _row(table: Table, row: tuple[str, ...], style: str) -> str:
    return f"<tr>{''.join(_cell('td', c, text, style) for c, text in zip(table.columns, row, strict=True))}</tr>"


def _cell(tag: str, c: Column, text: str, style: str) -> str:
    whole = "white-space:nowrap" if c.whole else "overflow-wrap:anywhere"
    numbers = "font-variant-numeric:tabular-nums" if c.align == "right" else ""
    styles = ";".join(filter(None, (f"text-align:{c.align}", "padding:.15em .7em", whole, numbers, style)))
    scope = ' scope="col"' if tag == "th" else ""
    return f'<{tag}{scope} style="{styles}">{_escaped(text)}</{tag}>'


def _escaped(text: str) -> str:
    return html.escape(printable(text)).replace("\n", "<br>")


def printable(text: str) -> str:
    """Without what moves a cursor or is no text: names in a model can hold anything."""
    return "".join("?" if "\ud800" <= c <= "\udfff" else c for c in text if c == "\n" or _shown(c))


def _shown(c: str) -> bool:
    return c.isprintable() or "\ud800" <= c <= "\udfff"


# -- in a pull request -----------------------------------------------------------------------------------------------

#: What Markdown could take for markup; underscores within a word are none.
_MARKUP = re.compile(r"([\\`*\[\]<>|~&]|(?<!\w)_|_(?!\w))")


def to_markdown(table: Table) -> str:
    """As GitHub and GitLab show it, with every text escaped."""
    parts = [f"**{_marked(table.title)}**", ""] if table.title else []
    parts += [
        _line(_marked(c.name) for c in table.columns),
        _line("---:" if c.align == "right" else "---" for c in table.columns),
        *(_line(map(_marked, row)) for row in table.rows),
    ]
    if table.total:
        parts.append(_line(f"**{_marked(text)}**" if text else "" for text in table.total))
    if table.caption:
        parts += ["", _marked(table.caption)]
    return "\n".join(parts) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _marked(text: str) -> str:
    return _MARKUP.sub(r"\\\1", " ".join(printable(text).split()))
