"""tinygen new"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import tinygen
from tinygen.cli.completion import BOARD, DATA, MODEL
from tinygen.cli.options import edge_options
from tinygen.cli.options import name as name_option
from tinygen.cli.render import wrote


@click.command()
@click.argument("model", type=MODEL)
@click.option("--board", "boards", type=BOARD, multiple=True, help="Board to build for; give it again for more.")
@click.option("--data", type=DATA, help="Samples that calibrate; the project names them where they are.")
@click.option("--test", type=DATA, help="Samples that judge.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder to make; the model's name unless given.")
@edge_options
@click.option("--name", callback=name_option, help="Name of the model in C; the file's name unless given.")
def new(
    model: Path, boards: tuple[str, ...], data: Path | None, test: Path | None, output: Path | None,
    edges: dict[str, Any], name: str | None,
) -> None:  # fmt: skip
    """Make a project folder from MODEL. With a tinygen.toml to edit, and a copy of the model."""
    project = tinygen.new_project(model, output, boards, data=data, test=test, name=name, **edges)
    wrote(project.path.parent, f"/: edit {project.path}, then run tinygen build there.")
