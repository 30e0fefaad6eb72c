"""tinygen profile"""

from __future__ import annotations

from pathlib import Path

import click

import tinygen
from tinygen.cli.completion import BOARD, FOLDER
from tinygen.cli.options import tool_options
from tinygen.cli.render import render, wrote


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--board", type=BOARD, help="Board to profile for; that of the build unless given.")
@click.option("--every", metavar="TIME", help="Also the energy of a period: inference and sleep, as 100ms.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a page with bars and memory maps.")
@click.option("--port", help="Also measure on the board at this serial port, as /dev/ttyACM0.")
@click.option("--upload/--no-upload", default=True, help="With --port: first upload the program that measures.")
@click.option("--program", type=click.Path(path_type=Path), metavar="DIR",
              help="Write the PlatformIO project of that program; else it is made in a temporary folder.")  # fmt: skip
@tool_options
def profile(
    folder: Path, board: str | None, every: str | None, as_json: bool, html: Path | None, port: str | None,
    upload: bool, program: Path | None,
) -> None:  # fmt: skip
    """Count instructions and cycles of a built FOLDER, by layer. In the emulator; cycles are modelled."""
    found = tinygen.open_build(folder).profile(board, port=port, upload=upload, program=program, every=every)
    if html is not None:
        found.save_page(html)
    render(found, as_json=as_json)
    if not as_json:
        wrote(html)
        wrote(program)
