"""The commands that trade accuracy for flash, RAM and time: compress, fit."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tinygen import stop
from tinygen.cli.completion import BOARD, DATA, MODEL, RECIPE
from tinygen.cli.console import Bars, err, notes, out, show
from tinygen.cli.options import Choice, source_options, tool_options
from tinygen.compress import recipe as r
from tinygen.compress import techniques
from tinygen.compress.train.settings import Training
from tinygen.errors import DataError, RecipeError, TargetError
from tinygen.files import check_file, write_file
from tinygen.fit import space
from tinygen.fit.budget import Limits, parse_seconds, parse_size
from tinygen.fit.points import Candidate, candidates
from tinygen.fit.run import Effort, Places, default_storage
from tinygen.fit.run import fit as run_fit
from tinygen.fit.search import Failure, Job, Record, without_password
from tinygen.flow.compress import compress as compress_source
from tinygen.flow.source import SPLIT_SEED, load_source
from tinygen.plan.modes import MODES
from tinygen.report import compression
from tinygen.report import search as search_report
from tinygen.targets.board import load_board

DEFAULT_BOARD = "nucleo_f446re"


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
    method: str, input_shapes: dict[str, tuple[int, ...]], **options: Any,
) -> None:  # fmt: skip
    """Make MODEL smaller by the techniques asked for. Writes an ONNX file that tinygen build takes."""
    recipe = r.read_recipe(recipe_file) if recipe_file is not None else r.Recipe()
    recipe = r.with_options(recipe, options)
    if not recipe.techniques and not recipe.layers and recipe_file is None:
        flags = ", ".join(t.options[0].flag for t in techniques.TECHNIQUES if t.options)
        raise RecipeError(f"nothing to do: found no technique; allowed are {flags}, or a --recipe with any of them.")
    if all_data and test is None:
        raise DataError("--all-data: found no --test; without it nothing is left to judge the result by. Give both.")
    for path in (output, save_recipe):
        check_file(path)
    target = load_board(board)
    source = load_source(
        model, data, seed=SPLIT_SEED, input_shapes=input_shapes, name=name, hold_back=not all_data
    )  # fmt: skip
    if not as_json:
        notes(list(source.imported.notes))
    with Bars() as bars:
        outcome = compress_source(
            source, recipe, target, optimize, test=test, method=method, progress=bars, workdir=checkpoints
        )
    write_file(output, outcome.content)
    if save_recipe is not None:
        write_file(save_recipe, r.to_toml(recipe).encode())
    if as_json:
        click.echo(json.dumps({**compression.as_dict(outcome), "output": str(output)}, indent=2))
        return
    show(compression.tables(outcome))
    out.print(f"Wrote {output} ({len(outcome.content):,} bytes); tinygen build takes it without --data.")


@click.command()
@click.argument("model", type=MODEL)
@click.option(
    "--board", "boards", type=BOARD, required=True, multiple=True, help="Board to fit; give it again for more boards."
)
@click.option("--data", required=True, type=DATA,
              help="Samples to compress with: .npz with x, and y where there are labels.")  # fmt: skip
@click.option("--test", type=DATA,
              help="Samples to judge the reported networks by, once, at the end.")  # fmt: skip
@click.option("--flash", help="The most flash, as 64K; the board's unless given.")
@click.option("--ram", help="The most RAM, as 24K; the board's unless given.")
@click.option("--ms", type=float, help="The most milliseconds of an inference.")
@click.option("--min-accuracy", type=float, help="The least accuracy, as 0.9; without labels agreement with float.")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder of the report.")
@click.option("--trials", default=40, show_default=True, type=click.IntRange(1), help="Combinations to try, in all.")
@click.option("--time", "time_", help="Stop the search after so long, as 30m.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes that search.")
@click.option("--points", default=3, show_default=True, type=click.IntRange(1, 20),
              help="Networks to build and report for each board.")  # fmt: skip
@click.option("--techniques", default=",".join(space.default()), show_default=True,
              help="What may be combined; activations (of 16 bits) only where it is named.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(0),
              help="Epochs of fine-tuning in each trial, 0: none; 3 unless given, more for few samples.")  # fmt: skip
@click.option("--final-epochs", type=click.IntRange(1), help="Epochs for the reported networks, if more.")
@click.option("--labels", default=0.0, show_default=True, type=click.FloatRange(0.0, 1.0),
              help="How much labels count in training beside the teacher.")  # fmt: skip
@click.option("--optimize", type=Choice(MODES), help="Only these kernels; all three are tried unless given.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, r.MAX_SEED), help="Of everything random.")
@click.option("--storage", metavar="URL", help="Where trials are kept: sqlite:///FILE, or a database server that "
              "several machines share; OUTPUT.search/study.db unless given.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with a search that was begun, here or on another machine.")
@click.option("--force", is_flag=True, help="Overwrite generated files even where they were edited.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@source_options
@tool_options
def fit(
    model: Path, boards: tuple[str, ...], data: Path, test: Path | None, flash: str | None, ram: str | None,
    ms: float | None, min_accuracy: float | None, output: Path, trials: int, time_: str | None, jobs: int, points: int,
    techniques: str, epochs: int | None, final_epochs: int | None, labels: float, optimize: str | None, seed: int,
    storage: str | None, resume: bool, force: bool, as_json: bool, name: str | None, method: str,
    input_shapes: dict[str, tuple[int, ...]],
) -> None:  # fmt: skip
    """Search for compressed networks that fit a board. Builds and proves what it finds, and writes a report."""
    limits = Limits(
        None if flash is None else parse_size("--flash", flash),
        None if ram is None else parse_size("--ram", ram),
        ms,
        min_accuracy,
    )
    training = None if epochs == 0 else Training(epochs=epochs or 1, label_weight=labels)
    job = Job(
        model, data, tuple(dict.fromkeys(boards)), limits, MODES if optimize is None else (optimize,),
        tuple(dict.fromkeys(t.strip() for t in techniques.split(","))), training, seed, method, name, input_shapes,
    )  # fmt: skip
    seconds = None if time_ is None else parse_seconds("--time", time_)
    work = output.with_name(f"{output.name}.search")
    places = Places(test, storage or default_storage(work), work, output)
    effort = Effort(trials, seconds, jobs, points, final_epochs, enough_steps=epochs is None)
    with Bars() as bars:
        watch = FitWatch(job, bars)
        stop.say(f"the trials so far are kept on {without_password(places.storage)}; go on with --resume.")
        result = run_fit(
            job, effort, places, search_report.files, command=shlex.join(["tinygen", *sys.argv[1:]]), resume=resume,
            force=force, progress=bars, watch=watch, tell=notes,
        )  # fmt: skip
    said = search_report.as_dict(result) if as_json else {}
    if not as_json:
        show(search_report.tables(result))
        out.print(f"Wrote {output}/: report.html, and every point with its recipe.toml and small.onnx.")
    missed = [b for b in result.boards if not any(p.fits for p in b.points)]
    if missed:
        rows = [f"  {text}." for b in missed for text in b.nearest]
        names = ", ".join(b.board.id for b in missed)
        raise TargetError(
            "\n".join([f"no network within the budget was found for {names}. The nearest, and what stands in the way:",
                       *rows, "Raise that budget, allow less accuracy, or search longer (--trials, --epochs)."]),
            said,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(said, indent=2))


class FitWatch:
    """Says after every trial what it found, and where it is the best so far."""

    def __init__(self, job: Job, bars: Bars) -> None:
        self._job, self._bars = job, bars
        self._boards = {b: load_board(b) for b in job.boards}
        self._best: dict[str, Candidate] = {}

    def __call__(self, done: int, total: int, found: Record | Failure | None) -> None:
        self._bars("trials", done, total)
        head = f"trial {done} of {total}"
        if found is None:
            return
        if isinstance(found, Failure):
            why = " ".join(found.why.split())[:200]
            err.print(f"{head}: {found.recipe.describe()}: gave no network: {why}", highlight=False, soft_wrap=True)
            return
        err.print(f"{head}: {found.recipe.describe()}: quality {found.quality:.4f}", highlight=False, soft_wrap=True)
        for board_id, board in self._boards.items():
            rows = candidates([found], board_id, self._job.limits.on(board))
            best = min(rows, key=lambda c: (c.distance, c.row))
            before = self._best.get(board_id)
            if before is None or (best.distance, best.row) < (before.distance, before.row):
                self._best[board_id] = best
                err.print(f"  best so far for {board_id}: {_candidate_text(best)}", highlight=False, soft_wrap=True)


def _candidate_text(c: Candidate) -> str:
    time = f"{c.cost.instructions:,} instructions" if c.cost.milliseconds is None else f"{c.cost.milliseconds:.3f} ms"
    over = ", ".join(f"{100 * v:.1f} % over {k}" for k, v in c.over.items() if v > 0.0)
    return (
        f"{c.record.quality:.4f}, flash {c.cost.flash:,}, RAM {c.cost.ram:,}, {time} (--optimize {c.cost.optimize}); "
        f"{over or 'within the budget'}"
    )
