"""tinygen diff"""

from __future__ import annotations

from pathlib import Path

import click

import tinygen
from tinygen.cli.completion import FOLDER
from tinygen.cli.options import tool_options
from tinygen.cli.render import render, wrote


@click.command()
@click.argument("a", metavar="A", type=FOLDER)
@click.argument("b", metavar="B", type=FOLDER)
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a page; of built folders.")
@click.option("--count/--no-count", default=True, show_default=True,
              help="Compile both and count them in the emulator, for flash, stack and time.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@tool_options
def diff(a: Path, b: Path, html: Path | None, count: bool, as_json: bool) -> None:
    """Show two built folders A and B side by side, layer by layer. Or two locks of a project."""
    found = tinygen.diff(a, b, count=count)
    if html is not None:
        if isinstance(found, tinygen.LockDiff):
            raise click.UsageError("--html shows two built folders, and these are locks.")
        found.save_page(html)
    render(found, as_json=as_json)
    if not as_json:
        wrote(html)
