"""tinygen build"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import tinygen
from tinygen import stop
from tinygen.cli.completion import BOARD, DATA, MODEL
from tinygen.cli.options import Choice, gate_options, model_options, project_options, size_option, tool_options
from tinygen.cli.render import document, render, wrote
from tinygen.names import model_name
from tinygen.plan.modes import MODES


@click.command()
@click.argument("model", required=False, type=MODEL)
@click.option("--board", type=BOARD, help="Board to build for; see `tinygen boards`.")
@project_options
@click.option("--data", type=DATA, help="Calibration data: .npz (arrays x, y), .npy or a folder of .npy.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder to create; build/NAME unless given.")
@click.option("--arena", type=Choice(["caller", "static"]), default="caller", show_default=True,
              help="Who owns the working memory.")  # fmt: skip
@click.option("--verify", type=Choice(["board", "all", "none"]), default="board", show_default=True,
              help="Prove the C on this computer and the board's core, on every core, or not at all.")  # fmt: skip
@click.option("--optimize", default="balanced", show_default=True, type=Choice(MODES),
              help="Fastest on this board, a balance of time and flash, or smallest.")  # fmt: skip
@click.option("--code-in-ram", callback=size_option, metavar="SIZE",
              help="Let kernels and constants take so much RAM, where code in RAM never waits: 8K, say.")  # fmt: skip
@click.option("--assume-zero-wait", is_flag=True,
              help="Choose kernels as if the board's memory never waited.")  # fmt: skip
@click.option("--plain-stack", is_flag=True, help="No kernel that uses the stack pointer as a pointer to data.")
@click.option("--sensor", "sensors", multiple=True, metavar="[NAME=]TYPE[/NUMBER]",
              help="Also a helper for a sensor's own integers: uint8, int8 or int16; TYPE/NUMBER or TYPE*NUMBER where "
                   "one step is not 1 to the model (uint8/255).")  # fmt: skip
@click.option("--private", is_flag=True,
              help="No names and hashes of the ONNX file and the data in what is written; the model is called `model` "
                   "unless --name is given.")  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite generated files even where they were edited.")
@click.option("--layers", is_flag=True, help="Show where accuracy goes, layer by layer.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@tool_options
@click.option("--test", type=DATA,
              help="Samples to judge by; some of --data are held back unless given.")  # fmt: skip
@click.option("--repair", type=Choice(["auto", "off"]), default="auto", show_default=True,
              help="What is tried before a network is refused that integers have destroyed.")  # fmt: skip
@click.option("--accept-loss", is_flag=True, help="Build a network that integers have destroyed all the same.")
@gate_options
@model_options
def build(
    model: Path | None, board: str | None, project: Path | None, only: tuple[str, ...], data: Path | None,
    output: Path | None, sensors: tuple[str, ...], private: bool, force: bool, layers: bool, as_json: bool,
    test: Path | None, repair: str, accept_loss: bool, arena: str, verify: str, optimize: str, code_in_ram: int | None,
    assume_zero_wait: bool, plain_stack: bool,
    name: str | None, method: str, samples: int, edges: dict[str, Any], activations: str,
    **demands: Any,
) -> None:  # fmt: skip
    """Generate, prove and measure the C library of MODEL for a board. Where there are samples, they judge it.

    Without MODEL, all that tinygen.toml says is built.
    """
    from tinygen.cli.bars import Bars
    from tinygen.cli.console import out, warn

    if model is None:
        _only("project", "only", "force", "as_json", "tool_timeout")
        _build_project(project, only, force=force, as_json=as_json)
        return
    if board is None:
        raise click.UsageError("Missing option '--board': which board is MODEL built for? See `tinygen boards`.")
    if project is not None or only:
        raise click.UsageError("--project and --only build what a project file says: leave out MODEL.")
    if test is not None and data is None:
        raise click.UsageError("--test judges a network that --data calibrates: give --data as well.")
    name = name or ("model" if private else None)
    folder = output or Path("build") / model_name(name or model.stem)
    with Bars() as bars:
        built = tinygen.load(model, name=name, **edges).build(
            board, folder, data, test=test, activations=activations, calibration=method, samples=samples,
            repair=repair, accept_loss=accept_loss, gates=tinygen.Gates(**demands), force=force, arena=arena,
            verify=verify, optimize=optimize, code_in_ram=code_in_ram or 0, assume_zero_wait=assume_zero_wait,
            plain_stack=plain_stack,
            sensors=sensors, private=private, progress=bars,
        )  # fmt: skip
    stop.finish()  # nothing is left to clear away
    if not as_json and built.accuracy_unknown:
        warn("No calibration data: ranges come from made-up inputs and accuracy is unknown.",
             "Give --data with real samples before you trust it.")  # fmt: skip
    render(built, as_json=as_json, first=built.layer_tables() if layers else (), output=str(folder))
    if not as_json:
        wrote(folder, f"/ ({len(built.files)} files); the library is {folder}/lib/{built.name}/src/")
        if built.changes is not None and built.changes.rebuilt:
            out.print(str(built.changes))


def _build_project(path: Path | None, only: tuple[str, ...], *, force: bool, as_json: bool) -> None:
    """`tinygen build` without a MODEL."""
    from tinygen.cli.bars import Bars
    from tinygen.cli.console import line

    project = tinygen.open_project(path)
    with Bars() as bars:
        found = project.build(only, force=force, watch=line, progress=bars)
    stop.finish()  # nothing is left to clear away
    if not as_json:
        render(found, as_json=False)
    found.check()
    if as_json:
        document(found.to_dict())
    else:
        wrote(project.output, f"/: {len(found.builds)} folders")


def _only(*allowed: str) -> None:
    """A usage error for an option that goes with a MODEL, as the project file says all that."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
        if given and name not in allowed:
            raise click.UsageError(
                f"{parameter.opts[0]} goes with a MODEL: give one, or leave it out to build what tinygen.toml says."
            )
