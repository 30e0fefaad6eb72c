"""The command line: build, inspect, eval, verify, profile, boards, ops."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from tinygen import report
from tinygen import workflow as flow
from tinygen.build.platformio import pio_test
from tinygen.calibrate.ranges import METHODS
from tinygen.emit.writer import check_generated, write_file
from tinygen.errors import TinygenError, UnsupportedError, VerifyError
from tinygen.frontend.registry import supported_ops
from tinygen.plan.choose import MODES
from tinygen.profile.folder import profile_folder
from tinygen.profile.hardware import profile_on_board, write_program
from tinygen.profile.page import render_page
from tinygen.targets.board import all_boards
from tinygen.targets.cores import VERIFY_CORES
from tinygen.version import VERSION


class PlainConsole(Console):
    """A console for texts from anywhere: names in a model cannot be markup, emoji codes or control sequences."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for s in super().render(renderable, options):
            text = "".join(c for c in s.text if c.isprintable() or c == "\n")
            yield s if s.control or text == s.text else Segment(text, s.style)


out = PlainConsole()
err = PlainConsole(stderr=True)

#: Exit code of a fault in tinygen itself (sysexits' EX_SOFTWARE).
EXIT_FAULT = 70


class Bars(AbstractContextManager["Bars"]):
    """Progress bars on standard error, one for each phase; silent when that is not a terminal."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description:12s}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self._progress.stop()

    def __call__(self, phase: str, done: int, total: int) -> None:
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(phase, total=total)
        self._progress.update(self._tasks[phase], completed=done, total=total)


def _shapes(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """NAME=1,3,32,32 options."""
    found = {}
    for value in values:
        name, _sep, dims = value.rpartition("=")
        try:
            found[name] = tuple(int(d) for d in dims.split(","))
        except ValueError:
            name = ""
        if not name:
            raise click.BadParameter(f'"{value}" is not NAME=1,3,32,32')
    return found


def _name(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """--name: as it is, or not at all; only names taken from files are made to fit."""
    if value is None or value.lower() == flow.model_name(value):
        return value
    if len(value) > flow.MAX_NAME:
        raise click.BadParameter(f'"{value}" has {len(value)} characters; at most {flow.MAX_NAME} are allowed.')
    if value.isidentifier() and value.isascii() and not value.startswith("_"):
        why = "is taken: it is a word or a header of C, or a name that tinygen uses itself"
    else:
        why = "cannot begin names in C: letters, digits and underscores are allowed, a letter first"
    raise click.BadParameter(f'"{value}" {why}. Take {flow.model_name(value)}, say.')


def _model_options(f: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every command that quantises a model."""
    for option in (
        click.option("--input-shape", "input_shapes", multiple=True, callback=_shapes, metavar="NAME=1,3,32,32",
                     help="Fix the shape of an input that the model leaves open."),
        click.option("--samples", default=flow.CALIBRATION_SAMPLES, show_default=True, type=click.IntRange(1),
                     help="How many calibration samples to use."),
        click.option("--calibration", "method", default=flow.DEFAULT_METHOD, show_default=True,
                     type=click.Choice(METHODS), help="How ranges of activations are estimated."),
        click.option("--name", callback=_name, help="Name of the model in C; the file's name unless given."),
    ):  # fmt: skip
        f = option(f)
    return f


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="tinygen")
def cli() -> None:
    """Turn trained ONNX networks into plain int8 C for microcontrollers, proven bit-exact."""


@cli.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--board", required=True, help="Board to build for; see `tinygen boards`.")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Calibration data: .npz (arrays x, y), .npy or a folder of .npy."
)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder to create; build/NAME unless given.")
@click.option(
    "--arena",
    type=click.Choice(["caller", "static"]),
    default="caller",
    show_default=True,
    help="Who owns the working memory.",
)
@click.option("--verify", "verify_", type=click.Choice(["board", "all", "none"]), default="board", show_default=True,
              help="Prove the C on this computer and the board's core, on every core, or not at all.")  # fmt: skip
@click.option("--optimize", default="balanced", show_default=True, type=click.Choice(MODES),
              help="Fastest with memory that never waits, a balance of time and flash, or smallest.")  # fmt: skip
@click.option("--plain-stack", is_flag=True, help="No kernel that uses the stack pointer as a pointer to data.")
@click.option("--force", is_flag=True, help="Overwrite generated files even where they were edited.")
@click.option("--layers", is_flag=True, help="Show where accuracy goes, layer by layer.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@_model_options
def build(
    model: Path, board: str, data: Path | None, output: Path | None, arena: str, verify_: str, optimize: str,
    plain_stack: bool, force: bool, layers: bool, as_json: bool, name: str | None, method: str, samples: int,
    input_shapes: dict[str, tuple[int, ...]],
) -> None:  # fmt: skip
    """Generate, prove and measure the C library of MODEL for a board."""
    cores = {"board": None, "all": ("native", *VERIFY_CORES), "none": ()}[verify_]
    options = flow.Options(
        board, data, name, method, samples, arena == "static", optimize, plain_stack, cores, input_shapes
    )
    target = output or Path("build") / flow.model_name(name or model.stem)
    with Bars() as bars:
        built = flow.build(model, target, options, bars, force=force)
    if as_json:
        click.echo(json.dumps({**report.build_json(built), "output": str(target)}, indent=2))
        return
    _notes([*built.model.imported.notes, *built.notes])
    if built.model.synthetic and not built.model.imported.quantised:
        unknown = Text("No calibration data: ranges come from made-up inputs and accuracy is unknown.", "bold red")
        err.print(unknown.append(" Give --data with real samples before you trust it.", "not bold default"))
    if layers:
        out.print(report.layer_table(built.model.layers))
    out.print(report.build_table(built))
    worst = min(built.model.layers, key=lambda a: a.sqnr_db, default=None)
    if worst is not None:
        where = ", ".join(worst.origin)
        out.print(f"Noisiest layer: {worst.title} ({where}), {worst.sqnr_db:.1f} dB. `--layers` shows all.")
    out.print(f"Wrote {target}/ ({len(built.files)} files); the library is {target}/lib/{built.plan.name}/src/")


@cli.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--board", help="Predict the cost of every layer on this board; see `tinygen boards`.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@_model_options
def inspect(
    model: Path, board: str | None, as_json: bool, name: str | None, method: str, samples: int,
    input_shapes: dict[str, tuple[int, ...]],
) -> None:  # fmt: skip
    """Show operators, shapes, MACs and parameters of MODEL; predict time, flash and RAM on every board."""
    quantised = flow.quantise_model(model, flow.Options("", None, name, method, samples, input_shapes=input_shapes))
    estimate = flow.estimate(quantised, board)
    if as_json:
        click.echo(json.dumps(report.estimate_json(quantised, estimate), indent=2))
        return
    _notes(list(quantised.imported.notes))
    out.print(report.ports_table(quantised))
    out.print(report.nodes_table(quantised, estimate))
    out.print(report.fits_table(estimate))
    if estimate.detail is not None:
        out.print(report.prediction_table(estimate))


@cli.command("eval")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Samples to judge by: .npz with x, and y for accuracy.",
)
@click.option("--calibrate", "calib", type=click.Path(path_type=Path),
              help="Samples to calibrate with; the first of --data unless given.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1), help="Use at most so many samples.")
@click.option("--layers", is_flag=True, help="Show where accuracy goes, layer by layer.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@_model_options
def evaluate(
    model: Path, data: Path, calib: Path | None, limit: int | None, layers: bool, as_json: bool, name: str | None,
    method: str, samples: int, input_shapes: dict[str, tuple[int, ...]],
) -> None:  # fmt: skip
    """Compare float and int8 accuracy of MODEL (labels), or their agreement and SQNR (no labels)."""
    options = flow.Options("", calib, name, method, samples, input_shapes=input_shapes)
    with Bars() as bars:
        result = flow.evaluate(model, data, options, bars, limit=limit)
    if as_json:
        click.echo(json.dumps(report.evaluation_json(result), indent=2))
        return
    if layers:
        out.print(report.layer_table(result.layers))
    out.print(report.evaluation_table(result))


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def verify(folder: Path, as_json: bool) -> None:
    """Check a generated FOLDER: no file edited, and the golden vectors on this computer and in QEMU (`pio test`)."""
    check_generated(folder)
    result = pio_test(folder, ())
    if as_json:
        cases = [{"environment": c.env, "name": c.name, "status": c.status, "message": c.message} for c in result.cases]
        click.echo(json.dumps({"folder": str(folder), "ok": result.ok, "cases": cases}, indent=2))
    else:
        table = Table(title=f"Golden vectors of {folder}")
        for column in ("environment", "case", "status", "message"):
            table.add_column(column)
        for c in result.cases:
            table.add_row(c.env, c.name, c.status, c.message)
        out.print(table)
    if not result.ok:
        raise VerifyError(f"{folder}: golden vectors failed.\n" + "\n".join(result.output.splitlines()[-12:]))


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--board", help="Board to profile for; that of the build unless given.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a page with bars and memory maps.")
@click.option("--port", help="Also measure on the board at this serial port, as /dev/ttyACM0.")
@click.option("--upload/--no-upload", default=True, help="With --port: first upload the program that measures.")
@click.option("--program", type=click.Path(path_type=Path), metavar="DIR",
              help="Write the PlatformIO project of that program; else it is made in a temporary folder.")  # fmt: skip
def profile(
    folder: Path, board: str | None, as_json: bool, html: Path | None, port: str | None, upload: bool,
    program: Path | None,
) -> None:  # fmt: skip
    """Count instructions and modelled cycles of a generated FOLDER, layer by layer, in the emulator."""
    result = profile_folder(folder, board)
    if program is not None:
        write_program(folder, result.board, program)
    if port is not None:
        result = replace(result, measured=profile_on_board(folder, result.board, port, upload=upload, program=program))
    if html is not None:
        write_file(html, render_page(result))
    if as_json:
        click.echo(json.dumps(report.profile_json(result), indent=2))
        return
    out.print(report.profile_table(result))
    out.print(report.profile_memory_table(result))
    _notes(list(result.notes))
    for what in (html, program):
        if what is not None:
            out.print(f"Wrote {what}")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def boards(as_json: bool) -> None:
    """List the boards tinygen builds for."""
    if as_json:
        rows = [
            {
                "id": b.id,
                "name": b.name,
                "core": b.core.name,
                "f_cpu": b.f_cpu_hz,
                "flash": b.flash_bytes,
                "ram": b.ram_bytes,
            }
            for b in all_boards()
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    out.print(report.boards_table(all_boards()))


@cli.command()
@click.option("--markdown", is_flag=True, help="As docs/SUPPORTED_OPS.md has it.")
def ops(markdown: bool) -> None:
    """List the ONNX operators tinygen takes, and their limits."""
    if markdown:
        click.echo("| ONNX operator | limits |\n| --- | --- |")
        for op in supported_ops():
            click.echo(f"| {op.onnx_name} | {'; '.join(op.notes)} |")
        return
    table = Table(title="ONNX operators")
    table.add_column("operator")
    table.add_column("limits", overflow="fold")
    for op in supported_ops():
        table.add_row(op.onnx_name, "; ".join(op.notes))
    out.print(table)


def _notes(notes: list[str]) -> None:
    for note in notes:
        _say("note:", "yellow", note)


def _say(word: str, style: str, text: str) -> None:
    """A message on standard error: wrapped at words on a terminal, as it is in a file."""
    err.print(Text.assemble((word, style), f" {text}"), highlight=False, soft_wrap=not err.is_terminal)


def _fault(e: Exception) -> str:
    """What to say of an error that nobody meant for the user."""
    at = traceback.extract_tb(e.__traceback__)[-1]
    what = " ".join(str(e).split())[:300]
    return (
        f"this is a fault in tinygen {VERSION}, not in what you did: {type(e).__name__} "
        f"in {at.name}, {Path(at.filename).name}:{at.lineno}: {what}\n"
        "Please report it with the model and the command. TINYGEN_TRACEBACK=1 shows where it comes from."
    )


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point: an error meant for the user is printed without a traceback, and what was begun is cleared away."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        cli(standalone_mode=False)
    except TinygenError as e:
        if isinstance(e, UnsupportedError) and err.is_terminal:
            _say("error:", "bold red", e.heading)
            err.print(report.refusals_table(e))
        else:
            _say("error:", "bold red", str(e))
        sys.exit(e.exit_code)
    except click.exceptions.Abort:
        _say("stopped:", "bold red", "what was begun is cleared away.")
        sys.exit(130)
    except click.ClickException as e:
        e.show()
        sys.exit(e.exit_code)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as e:
        if os.environ.get("TINYGEN_TRACEBACK"):
            raise
        _say("error:", "bold red", _fault(e))
        sys.exit(EXIT_FAULT)


if __name__ == "__main__":
    main()
