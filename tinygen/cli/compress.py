"""tinygen compress"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import tinygen
from tinygen.cli.completion import BOARD, DATA, MODEL, RECIPE
from tinygen.cli.options import Choice, source_options
from tinygen.cli.render import render, wrote
from tinygen.compress import techniques
from tinygen.files import check_file
from tinygen.plan.modes import MODES
from tinygen.targets.board import DEFAULT_BOARD


def technique_options(f: Callable[..., Any]) -> Callable[..., Any]:
    """The options that each technique has."""
    options = [o for t in techniques.TECHNIQUES for o in t.options]
    for o in reversed(options):
        f = click.option(o.flag, o.name, type=o.kind, help=o.help, metavar=o.metavar, multiple=o.several)(f)
    return f


@click.command()
@click.argument("model", type=MODEL)
@click.option("--data", required=True, type=DATA,
              help="Samples to compress with: .npz with x, and y where there are labels.")  # fmt: skip
@click.option("--test", type=DATA,
              help="Samples to judge the result by, once; else a fifth of --data, held back, does.")  # fmt: skip
@click.option("--all-data", is_flag=True, help="Hold nothing back: fit with all of --data. Needs --test.")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="ONNX file (QDQ) to write.")
@click.option("--recipe", "recipe_file", type=RECIPE,
              help="TOML file with the techniques; options change what it says.")  # fmt: skip
@click.option("--save-recipe", type=click.Path(path_type=Path), help="Write the whole recipe, to repeat the run.")
@technique_options
@click.option("--seed", type=int, help="Of everything random.")
@click.option("--checkpoints", type=click.Path(path_type=Path), metavar="DIR",
              help="Keep the state of training there; the same command goes on from it.")  # fmt: skip
@click.option(
    "--board", type=BOARD, default=DEFAULT_BOARD, show_default=True, help="Board whose flash, RAM and time are shown."
)
@click.option("--optimize", default="balanced", show_default=True, type=Choice(MODES),
              help="Kernels those figures are for, as in tinygen build.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@source_options
def compress(
    model: Path, data: Path, test: Path | None, all_data: bool, output: Path, recipe_file: Path | None,
    save_recipe: Path | None, checkpoints: Path | None, board: str, optimize: str, as_json: bool, name: str | None,
    method: str, edges: dict[str, Any], **options: Any,
) -> None:  # fmt: skip
    """Make MODEL smaller by the techniques asked for. Writes an ONNX file that tinygen build takes."""
    from tinygen.cli.bars import Bars

    for path in (output, save_recipe):
        check_file(path)
    with Bars() as bars:
        done = tinygen.load(model, name=name, **edges).compress(
            data, recipe=recipe_file, test=test, all_data=all_data, board=board, optimize=optimize, calibration=method,
            checkpoints=checkpoints, progress=bars, **options,
        )  # fmt: skip
    done.save(output)
    if save_recipe is not None:
        done.save_recipe(save_recipe)
    render(done, as_json=as_json, output=str(output))
    if not as_json:
        wrote(output, f" ({len(done.onnx):,} bytes); tinygen build takes it without --data.")
