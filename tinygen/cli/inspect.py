"""tinygen inspect"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import tinygen
from tinygen.cli.completion import BOARD, MODEL
from tinygen.cli.options import model_options
from tinygen.cli.render import render


@click.command()
@click.argument("model", type=MODEL)
@click.option("--board", type=BOARD, help="Predict the cost of every layer on this board; see `tinygen boards`.")
@click.option("--assume-zero-wait", is_flag=True, help="As if no board's memory ever waited.")
@click.option("--every", metavar="TIME", help="Also the energy of a period: inference and sleep, as 100ms.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@model_options
def inspect(
    model: Path, board: str | None, assume_zero_wait: bool, every: str | None, as_json: bool, name: str | None,
    method: str, samples: int, edges: dict[str, Any], activations: str,
) -> None:  # fmt: skip
    """Show what MODEL is made of; predict time, flash and RAM. Operators, shapes, MACs, parameters; every board."""
    loaded = tinygen.load(model, name=name, **edges)
    found = loaded.inspect(
        board, activations=activations, calibration=method, assume_zero_wait=assume_zero_wait, every=every
    )
    render(found, as_json=as_json)
