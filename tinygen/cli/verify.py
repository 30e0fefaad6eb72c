"""tinygen verify"""

from __future__ import annotations

from pathlib import Path

import click

import tinygen
from tinygen.cli.completion import FOLDER
from tinygen.cli.options import tool_options
from tinygen.cli.render import render


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@tool_options
def verify(folder: Path, as_json: bool) -> None:
    """Check a built FOLDER: no file edited, golden vectors equal. On this computer and in QEMU (`pio test`)."""
    found = tinygen.open_build(folder).verify()
    if found.ok or not as_json:
        render(found, as_json=as_json)
    found.check()
