"""A table says the same as text, HTML and Markdown, whatever stands in its cells."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tinygen.report.table import Column, Table, columns, to_html, to_markdown, to_rich

ROOT = Path(__file__).resolve().parents[2]
LONG = "/backbone/" + "block_" * 30 + "Conv"
TABLE = Table(
    "Layers of net",
    (Column("layer"), *columns("output", "MACs", right=["MACs"], whole=["output"])),
    ((LONG, "1x8x8x16", "1,234,567"), ("dense", "1x10", "320")),
    "Counted by the plan.",
    ("all", "", "1,234,887"),
)
NASTY = "<b>|*bold*|`x` _y_ [a](b) \\ ~~z~~ &amp; <script>alert(1)</script>"


def text(table: Table, width: int) -> str:
    console = Console(width=width, record=True, file=StringIO(), markup=False, emoji=False)
    console.print(to_rich(table))
    return console.export_text()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_text(width: int) -> None:
    lines = text(TABLE, width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0] == "Layers of net"
    assert lines[-1] == "Counted by the plan."
    assert sum(set(line.strip()) == {"─"} for line in lines) == 2  # below the head, above the total
    whole = "".join(line[: lines[1].index("output")].rstrip() for line in lines)
    assert LONG in whole  # broken, not cut
    for part in ("1x8x8x16", "1,234,567", "1,234,887"):
        assert part in "\n".join(lines)


def test_text_without_a_head() -> None:
    shown = text(Table("", (Column(), Column()), (("flash", "12"),)), 80)
    assert shown.split() == ["flash", "12"]


class Page(HTMLParser):
    """Rows of texts, and every tag with its attributes; tags must be closed in order."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.outside = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "br":
            self.handle_data("\n")
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        else:
            self.outside += data


def test_html() -> None:
    page = Page(to_html(TABLE))
    assert page.rows == [["layer", "output", "MACs"], *map(list, TABLE.rows), list(TABLE.total)]
    assert "Layers of net" in page.outside
    assert "Counted by the plan." in page.outside
    assert {tag for tag, _ in page.tags} <= {
        "div",
        "table",
        "caption",
        "thead",
        "tbody",
        "tfoot",
        "tr",
        "th",
        "td",
        "p",
    }
    assert all(set(attrs) <= {"style", "scope"} for _, attrs in page.tags)
    # Light and dark alike: no colour of its own, but for half-transparent grey.
    assert set(re.findall(r"#[0-9a-f]{3,}|rgba?\([^)]*\)|(?<=color:)\w+", to_html(TABLE))) <= {
        "rgba(128,128,128,.45)", "inherit",
    }  # fmt: skip


def unmarked(line: str) -> list[str]:
    """Cells of a row of Markdown, as a reader of it sees them."""
    cells = re.split(r"(?<!\\)(?:\\\\)*\|", line)
    assert cells[0] == cells[-1] == ""
    return [re.sub(r"\\(.)", r"\1", c.strip()) for c in cells[1:-1]]


def test_markdown() -> None:
    lines = to_markdown(TABLE).splitlines()
    assert lines[0] == "**Layers of net**"
    assert lines[3] == "| --- | --- | ---: |"
    assert [unmarked(line) for line in (lines[2], *lines[4:6])] == [["layer", "output", "MACs"], *map(list, TABLE.rows)]
    assert lines[6] == "| **all** |  | **1,234,887** |"
    assert lines[-1] == "Counted by the plan."


def test_names_cannot_become_markup() -> None:
    table = Table(NASTY, columns(NASTY, "n"), ((NASTY, "1"),), NASTY)
    page = Page(to_html(table))
    assert page.rows == [[NASTY, "n"], [NASTY, "1"]]
    assert page.outside.count(NASTY) == 2
    line = to_markdown(table).splitlines()[4]
    assert unmarked(line) == [NASTY, "1"]
    assert not re.search(r"(?<!\\)[<>`*\[\]~&]", line)


@given(st.text(), st.text())
def test_any_text(a: str, b: str) -> None:
    """Rows stay rows: no text breaks out of its cell, and what is printed can be encoded."""
    table = Table(a, columns("x", "y"), ((a, b), ("end", "")), b)
    assert [len(row) for row in Page(to_html(table)).rows] == [2, 2, 2]
    marked = to_markdown(table)
    rows = [line for line in marked.splitlines() if line.startswith("| ")]
    assert len(rows) == 4
    assert rows[-1] == "| end |  |"
    (marked + to_html(table)).encode()


def test_what_moves_a_cursor_is_left_out() -> None:
    table = Table("", columns("x"), (("a\x1b[2Jb\u202ec\udc80",),))
    assert "a[2Jbc?" in to_html(table)
    assert r"a\[2Jbc?" in to_markdown(table)


def test_rows_have_a_cell_for_each_column() -> None:
    with pytest.raises(ValueError, match='table "T": 1 cells for 2 columns'):
        Table("T", columns("a", "b"), (("1",),))
    with pytest.raises(ValueError, match="3 cells for 2 columns"):
        Table("T", columns("a", "b"), (), total=("1", "2", "3"))


def test_rich_is_imported_only_to_print() -> None:
    code = (
        "import importlib, pkgutil, sys, tinygen.report as r\n"
        "[importlib.import_module(m.name) for m in pkgutil.iter_modules(r.__path__, 'tinygen.report.')]\n"
        "assert len([m for m in sys.modules if m.startswith('tinygen.report.')]) > 10\n"
        "sys.exit('rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
