"""The commands that build and look: build, inspect, eval, verify, profile, boards, ops.

What a command runs on takes long to import, so each imports it for itself: help and completion do without.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tinygen import stop
from tinygen.cli.completion import BOARD, DATA, FOLDER, MODEL
from tinygen.cli.options import Choice, accuracy_options, gate_options, model_options, project_options, tool_options
from tinygen.errors import AccuracyError, VerifyError
from tinygen.files import write_file
from tinygen.names import model_name
from tinygen.plan.modes import MODES
from tinygen.targets.board import all_boards, load_board
from tinygen.targets.cores import VERIFY_CORES


@click.command()
@click.argument("model", required=False, type=MODEL)
@click.option("--board", type=BOARD, help="Board to build for; see `tinygen boards`.")
@project_options
@click.option("--data", type=DATA, help="Calibration data: .npz (arrays x, y), .npy or a folder of .npy.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder to create; build/NAME unless given.")
@click.option(
    "--arena",
    type=Choice(["caller", "static"]),
    default="caller",
    show_default=True,
    help="Who owns the working memory.",
)
@click.option("--verify", "verify_", type=Choice(["board", "all", "none"]), default="board", show_default=True,
              help="Prove the C on this computer and the board's core, on every core, or not at all.")  # fmt: skip
@click.option("--optimize", default="balanced", show_default=True, type=Choice(MODES),
              help="Fastest with memory that never waits, a balance of time and flash, or smallest.")  # fmt: skip
@click.option("--plain-stack", is_flag=True, help="No kernel that uses the stack pointer as a pointer to data.")
@click.option("--sensor", "sensors", multiple=True, metavar="[NAME=]TYPE[/NUMBER]",
              help="Also a helper for a sensor's own integers: uint8, int8 or int16; TYPE/NUMBER or TYPE*NUMBER where "
                   "one step is not 1 to the model (uint8/255).")  # fmt: skip
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
    output: Path | None, arena: str, verify_: str, optimize: str,
    plain_stack: bool, sensors: tuple[str, ...], force: bool, layers: bool, as_json: bool, test: Path | None,
    repair: str, accept_loss: bool,
    name: str | None, method: str, samples: int, input_shapes: dict[str, tuple[int, ...]], activations: str,
    **demands: Any,
) -> None:  # fmt: skip
    """Generate, prove and measure the C library of MODEL for a board. Where there are samples, they judge it.

    Without MODEL, all that tinygen.toml says is built.
    """
    from rich.text import Text

    from tinygen.cli.console import Bars, err, notes, out, show
    from tinygen.cli.project import build_all, only_of_project
    from tinygen.flow.build import build_folder
    from tinygen.flow.gates import Gates, Terms
    from tinygen.flow.quantised import load
    from tinygen.flow.types import Calibration, Library, Proof, Target
    from tinygen.report import build as build_report
    from tinygen.report import layers as layers_report

    if model is None:
        only_of_project("project", "only", "force", "as_json", "tool_timeout")
        build_all(project, only, force=force, as_json=as_json)
        return
    if board is None:
        raise click.UsageError("missing option '--board': which board is MODEL built for? See `tinygen boards`.")
    if project is not None or only:
        raise click.UsageError("--project and --only build what a project file says: leave out MODEL.")
    if test is not None and data is None:
        raise click.UsageError("--test judges a network that --data calibrates: give --data as well.")
    cores = {"board": None, "all": ("native", *VERIFY_CORES), "none": ()}[verify_]
    target = Target(load_board(board), optimize, plain_stack, Library(arena == "static", sensors))
    calibration = Calibration(data, method, samples, activations, test)
    terms = Terms(repair == "auto", accept_loss, Gates(**demands))
    folder = output or Path("build") / model_name(name or model.stem)
    with Bars() as bars:
        loaded = load(model, name=name, input_shapes=input_shapes)
        built = build_folder(
            loaded, folder, target, calibration, terms=terms, proof=Proof(cores), progress=bars, force=force
        )
    stop.finish()  # nothing is left to clear away
    if as_json:
        click.echo(json.dumps({**build_report.as_dict(built), "output": str(folder)}, indent=2))
        return
    notes([*built.model.notes, *built.notes])
    if built.model.synthetic and not built.model.imported.quantised:
        unknown = Text("No calibration data: ranges come from made-up inputs and accuracy is unknown.", "bold red")
        err.print(unknown.append(" Give --data with real samples before you trust it.", "not bold default"))
    if layers:
        show(layers_report.tables(built.model.layers))
    show(build_report.tables(built))
    out.print(f"Wrote {folder}/ ({len(built.files)} files); the library is {folder}/lib/{built.plan.name}/src/")
    if built.changes is not None and built.changes.rebuilt:
        out.print(str(built.changes))


@click.command()
@click.argument("model", type=MODEL)
@click.option("--board", type=BOARD, help="Predict the cost of every layer on this board; see `tinygen boards`.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@model_options
def inspect(
    model: Path, board: str | None, as_json: bool, name: str | None, method: str, samples: int,
    input_shapes: dict[str, tuple[int, ...]], activations: str,
) -> None:  # fmt: skip
    """Show what MODEL is made of; predict time, flash and RAM. Operators, shapes, MACs, parameters; every board."""
    from tinygen.cli.console import notes, show
    from tinygen.flow.estimate import estimate
    from tinygen.flow.quantised import load, quantised
    from tinygen.flow.types import Calibration
    from tinygen.report import estimate as estimate_report

    wanted = None if board is None else load_board(board)
    found = quantised(
        load(model, name=name, input_shapes=input_shapes), Calibration(None, method, samples, activations)
    )
    cost = estimate(found, wanted)
    if as_json:
        click.echo(json.dumps(estimate_report.as_dict(found, cost), indent=2))
        return
    notes(list(found.notes))
    show(estimate_report.tables(found, cost))


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
    input_shapes: dict[str, tuple[int, ...]], activations: str, **demands: Any,
) -> None:  # fmt: skip
    """Judge MODEL, or the compiled C of a built FOLDER, by samples.

    A MODEL is judged as a build would make it. With labels: accuracy, or what suits the network; without, agreement
    with the float network and SQNR.
    """
    from tinygen.cli.console import Bars, notes, out, show
    from tinygen.flow.evaluate import evaluate as evaluate_model
    from tinygen.flow.evaluate_folder import evaluate_folder
    from tinygen.flow.gates import Gates, check_accuracy
    from tinygen.flow.quantised import load
    from tinygen.flow.types import Calibration
    from tinygen.report import evaluation as evaluation_report
    from tinygen.report import evaluation_page
    from tinygen.report import folder as folder_report
    from tinygen.report import layers as layers_report

    said: dict[str, Any]
    if target.is_dir():
        _only(target, "a model file", {"--calibrate": calib, "--layers": layers, "--name": name})
        with Bars() as bars:
            found = evaluate_folder(target, data, core=core, model=model, limit=limit, progress=bars)
        if html is not None:
            write_file(html, evaluation_page.render_page(found))
        said, verdict = folder_report.as_dict(found), found.verdict
        if not as_json:
            notes(list(found.notes))
            show(folder_report.tables(found))
            if html is not None:
                out.print(f"Wrote {html}")
    else:
        _only(target, "a built folder", {"--model": model, "--html": html, "--core": core != "native"})
        calibration = Calibration(calib, method, samples, activations)
        with Bars() as bars:
            loaded = load(target, name=name, input_shapes=input_shapes)
            result = evaluate_model(loaded, data, calibration, bars, limit=limit)
        said, verdict = evaluation_report.as_dict(result), result.verdict
        if not as_json:
            notes(list(result.notes))
            if layers:
                show(layers_report.tables(result.layers))
            show(evaluation_report.tables(result))
    failed, warned = check_accuracy(Gates(**demands), verdict)
    if failed:
        raise AccuracyError("\n".join([f"{target}, {verdict.source}:", *(f"  {f}" for f in failed)]), said)
    if as_json:
        click.echo(json.dumps({**said, "notes": [*said["notes"], *warned]}, indent=2))
    else:
        notes(warned)


def _only(target: Path, kind: str, given: dict[str, Any]) -> None:
    """A usage error for an option that does not go with what `target` is."""
    wrong = [option for option, value in given.items() if value]
    if wrong:
        raise click.UsageError(f"{wrong[0]} is for {kind}, but {target} is {'a' if target.is_dir() else 'no'} folder.")


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@tool_options
def verify(folder: Path, as_json: bool) -> None:
    """Check a built FOLDER: no file edited, golden vectors equal. On this computer and in QEMU (`pio test`)."""
    from tinygen.build.platformio import pio_test
    from tinygen.cli.console import show
    from tinygen.emit.writer import reading
    from tinygen.report import golden

    with reading(folder):
        result = pio_test(folder, ())
    said = golden.as_dict(folder, result) if as_json else {}
    if not as_json:
        show(golden.tables(folder, result))
    if not result.ok:
        raise VerifyError(f"{folder}: golden vectors failed.\n" + "\n".join(result.output.splitlines()[-12:]), said)
    if as_json:
        click.echo(json.dumps(said, indent=2))


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--board", type=BOARD, help="Board to profile for; that of the build unless given.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a page with bars and memory maps.")
@click.option("--port", help="Also measure on the board at this serial port, as /dev/ttyACM0.")
@click.option("--upload/--no-upload", default=True, help="With --port: first upload the program that measures.")
@click.option("--program", type=click.Path(path_type=Path), metavar="DIR",
              help="Write the PlatformIO project of that program; else it is made in a temporary folder.")  # fmt: skip
@tool_options
def profile(
    folder: Path, board: str | None, as_json: bool, html: Path | None, port: str | None, upload: bool,
    program: Path | None,
) -> None:  # fmt: skip
    """Count instructions and cycles of a built FOLDER, by layer. In the emulator; cycles are modelled."""
    from tinygen.cli.console import notes, out, show
    from tinygen.profile.folder import profile_folder
    from tinygen.profile.hardware import profile_on_board, write_program
    from tinygen.report import profile as profile_report
    from tinygen.report import profile_page

    result = profile_folder(folder, board)
    if program is not None:
        write_program(folder, result.board, program)
    if port is not None:
        result = replace(result, measured=profile_on_board(folder, result.board, port, upload=upload, program=program))
    if html is not None:
        write_file(html, profile_page.render_page(result))
    if as_json:
        click.echo(json.dumps(profile_report.as_dict(result), indent=2))
        return
    show(profile_report.tables(result))
    notes(list(result.notes))
    for what in (html, program):
        if what is not None:
            out.print(f"Wrote {what}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def boards(as_json: bool) -> None:
    """List the boards tinygen builds for."""
    from tinygen.cli.console import show
    from tinygen.report import boards as boards_report

    if as_json:
        click.echo(json.dumps(boards_report.as_dict(all_boards()), indent=2))
        return
    show(boards_report.tables(all_boards()))


@click.command()
@click.option("--markdown", is_flag=True, help="As docs/SUPPORTED_OPS.md has it.")
def ops(markdown: bool) -> None:
    """List the ONNX operators tinygen takes, and their limits."""
    from tinygen.cli.console import show
    from tinygen.frontend.registry import supported_ops
    from tinygen.report import operators
    from tinygen.report.table import to_markdown

    tables = operators.tables(supported_ops())
    if markdown:
        click.echo("\n".join(map(to_markdown, tables)), nl=False)
    else:
        show(tables)
