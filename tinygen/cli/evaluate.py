"""tinygen eval"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import tinygen
from tinygen.cli.completion import DATA, MODEL
from tinygen.cli.options import Choice, accuracy_options, model_options, tool_options
from tinygen.cli.render import render, wrote
from tinygen.errors import AccuracyError
from tinygen.targets.cores import VERIFY_CORES


@click.command("eval")
@click.argument("target", metavar="MODEL|FOLDER", type=MODEL)
@click.option("--data", required=True, type=DATA,
              help="Samples to judge by: .npz with x, and y where there are labels.")  # fmt: skip
@click.option("--calibrate", "calib", type=DATA,
              help="Of a MODEL: samples to calibrate with; else some of --data, which then do not judge.")  # fmt: skip
@click.option("--model", type=MODEL,
              help="Of a FOLDER: the ONNX file that was built, to compare the C with the float network.")  # fmt: skip
@click.option("--core", default="native", show_default=True, type=Choice(["native", *VERIFY_CORES]),
              help="Of a FOLDER: run its C on this computer, or on an emulated core.")  # fmt: skip
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Of a FOLDER: write a page.")
@click.option("--limit", type=click.IntRange(1), help="Judge by at most so many samples.")
@click.option("--layers", is_flag=True, help="Of a MODEL: show where accuracy goes, layer by layer.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@tool_options
@accuracy_options
@model_options
def evaluate(
    target: Path, data: Path, calib: Path | None, model: Path | None, core: str, html: Path | None, limit: int | None,
    layers: bool, as_json: bool, name: str | None, method: str, samples: int,
    edges: dict[str, Any], activations: str, **demands: Any,
) -> None:  # fmt: skip
    """Judge MODEL, or the compiled C of a built FOLDER, by samples.

    A MODEL is judged as a build would make it. With labels: accuracy, or what suits the network; without, agreement
    with the float network and SQNR.
    """
    from tinygen.cli.bars import Bars
    from tinygen.cli.console import notes

    found: tinygen.Evaluation | tinygen.FolderEvaluation
    with Bars() as bars:
        if target.is_dir():
            _only(target, "a model file", {"--calibrate": calib, "--layers": layers, "--name": name})
            folder = tinygen.open_build(target)
            found = by_folder = folder.evaluate(data, core=core, model=model, limit=limit, progress=bars)
            if html is not None:
                by_folder.save_page(html)
        else:
            _only(target, "a built folder", {"--model": model, "--html": html, "--core": core != "native"})
            found = tinygen.load(target, name=name, **edges).evaluate(
                data, calibrate=calib, limit=limit, activations=activations, calibration=method, samples=samples,
                progress=bars,
            )  # fmt: skip
    missed: AccuracyError | None = None
    warned: list[str] = []
    try:
        warned = found.check(tinygen.Gates(**demands))
    except AccuracyError as e:  # behind the figures; with --json they stand in the error
        if as_json:
            raise
        missed = e
    first = found.layer_tables() if isinstance(found, tinygen.Evaluation) and layers else ()
    render(found, as_json=as_json, first=first, **({"notes": [*found.notes, *warned]} if as_json else {}))
    if missed is not None:
        wrote(html)
        raise missed
    if not as_json:
        wrote(html)
        notes(warned)


def _only(target: Path, kind: str, given: dict[str, Any]) -> None:
    """A usage error for an option that does not go with what `target` is."""
    wrong = [option for option, value in given.items() if value]
    if wrong:
        raise click.UsageError(f"{wrong[0]} is for {kind}, but {target} is {'a' if target.is_dir() else 'no'} folder.")
