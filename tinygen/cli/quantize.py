"""tinygen quantize: with repairs, into an ONNX file"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import tinygen
from tinygen.cli.completion import DATA, MODEL
from tinygen.cli.options import Choice, source_options
from tinygen.cli.render import render, wrote
from tinygen.compress.repairs.steps import STEPS
from tinygen.errors import did_you_mean
from tinygen.files import check_file, write_file


def _repairs(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    """all, none, or names of steps with commas between."""
    if value in ("all", "none"):
        return STEPS if value == "all" else ()
    steps = tuple(s.strip() for s in value.split(","))
    for step in steps:
        if step not in STEPS:
            known = ("all", "none", *STEPS)
            raise click.BadParameter(f'no repair "{step}"; allowed are {", ".join(known)}.{did_you_mean(step, known)}')
    return steps


@click.command()
@click.argument("model", type=MODEL)
@click.option("--data", required=True, type=DATA,
              help="Samples to quantise with: .npz with x, and y where there are labels.")  # fmt: skip
@click.option("--test", type=DATA, help="Samples to judge the result by, once, at the end.")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="ONNX file (QDQ) to write.")
@click.option("--weights", default="8", show_default=True, type=Choice(["8", "6", "5", "4", "3", "2", "mixed"]),
              help="Bits of the weights, or mixed: for each layer what it bears.")  # fmt: skip
@click.option("--activations", default="8", show_default=True, type=Choice(["8", "16", "mixed"]),
              help="Bits of the activations, or mixed: 16 where it helps most.")  # fmt: skip
@click.option("--repair", "repairs", default="all", show_default=True, callback=_repairs,
              metavar="all|none|STEP,...", help=f"Each kept only where it helps: {', '.join(STEPS)}.")  # fmt: skip
@click.option("--max-loss", default=1.0, show_default=True, type=click.FloatRange(0.0, min_open=True),
              help="With --weights mixed: dB of SQNR that fewer bits may cost.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@source_options
def quantize(
    model: Path, data: Path, test: Path | None, output: Path, weights: str, activations: str, repairs: tuple[str, ...],
    max_loss: float, method: str, edges: dict[str, Any], name: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Quantise MODEL, repair what that costs, write an ONNX file. tinygen build takes it as it is."""
    from tinygen.cli.bars import Bars

    check_file(output)
    with Bars() as bars:
        found = tinygen.load(model, name=name, **edges).quantize(
            data, weights="mixed" if weights == "mixed" else int(weights), activations=activations, repair=repairs,
            max_loss_db=max_loss, calibration=method, test=test, accept_loss=True, progress=bars,
        )  # fmt: skip
    content = found.to_onnx()
    assert found.repairs is not None
    write_file(output, content)
    render(found.repairs, as_json=as_json, output=str(output))
    if not as_json:
        wrote(output, f" ({len(content):,} bytes); tinygen build takes it without --data.")
