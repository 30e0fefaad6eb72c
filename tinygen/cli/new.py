"""tinygen new"""

from __future__ import annotations

from pathlib import Path

import click

import tinygen
from tinygen.cli.completion import BOARD, DATA, MODEL
from tinygen.cli.options import name as name_option
from tinygen.cli.options import shapes
from tinygen.cli.render import wrote


@click.command()
@click.argument("model", type=MODEL)
@click.option("--board", "boards", type=BOARD, multiple=True, help="Board to build for; give it again for more.")
@click.option("--data", type=DATA, help="Samples that calibrate; the project names them where they are.")
@click.option("--test", type=DATA, help="Samples that judge.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder to make; the model's name unless given.")
@click.option("--input-shape", "input_shapes", multiple=True, callback=shapes, metavar="NAME=1,3,32,32",
              help="Fix the shape of an input that the model leaves open.")  # fmt: skip
@click.option("--name", callback=name_option, help="Name of the model in C; the file's name unless given.")
def new(
    model: Path, boards: tuple[str, ...], data: Path | None, test: Path | None, output: Path | None,
    input_shapes: dict[str, tuple[int, ...]], name: str | None,
) -> None:  # fmt: skip
    """Make a project folder from MODEL. With a tinygen.toml to edit, and a copy of the model."""
    project = tinygen.new_project(model, output, boards, data=data, test=test, name=name, input_shapes=input_shapes)
    wrote(project.path.parent, f"/: edit {project.path}, then run tinygen build there.")
