"""tinygen fit"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import tinygen
from tinygen import stop
from tinygen.cli.completion import BOARD, DATA, MODEL
from tinygen.cli.options import Choice, source_options, tool_options
from tinygen.cli.render import document, render, wrote
from tinygen.compress import recipe as r
from tinygen.fit import space
from tinygen.fit.budget import Limits, parse_seconds, parse_size
from tinygen.fit.points import Candidate, candidates
from tinygen.fit.run import default_storage
from tinygen.fit.search import Failure, Record, without_password
from tinygen.plan.modes import MODES
from tinygen.targets.board import load_board

if TYPE_CHECKING:
    from tinygen.cli.bars import Bars


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
@click.option("--minimize", type=Choice(("energy", "time", "flash", "ram")),
              help="What comes first among networks of that accuracy.")  # fmt: skip
@click.option("--every", metavar="TIME", help="From one inference to the next, as 100ms: each must be done by then.")
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
    ms: float | None, min_accuracy: float | None, minimize: str | None, every: str | None,
    output: Path, trials: int, time_: str | None, jobs: int, points: int, techniques: str, epochs: int | None,
    final_epochs: int | None, labels: float, optimize: str | None, seed: int, storage: str | None, resume: bool,
    force: bool, as_json: bool, name: str | None, method: str, edges: dict[str, Any],
) -> None:  # fmt: skip
    """Search for compressed networks that fit a board. Builds and proves what it finds, and writes a report."""
    from tinygen.cli.bars import Bars
    from tinygen.cli.console import notes

    limits = tinygen.Limits(
        None if flash is None else parse_size("--flash", flash),
        None if ram is None else parse_size("--ram", ram),
        ms,
        min_accuracy,
    )
    seconds = None if time_ is None else parse_seconds("--time", time_)
    place = storage or default_storage(output)
    with Bars() as bars:
        loaded = tinygen.load(model, name=name, **edges)
        stop.say(f"the trials so far are kept on {without_password(place)}; go on with --resume.")
        found = loaded.fit(
            boards, data, output=output, limits=limits, test=test, optimize=optimize, calibration=method, seed=seed,
            minimize=minimize, every=every,
            effort=tinygen.Effort(trials, seconds, jobs, points, final_epochs, enough_steps=epochs is None),
            techniques=tuple(dict.fromkeys(t.strip() for t in techniques.split(","))),
            training=None if epochs == 0 else tinygen.Training(epochs=epochs or 1, label_weight=labels),
            storage=place, resume=resume, force=force, command=shlex.join(["tinygen", *sys.argv[1:]]), progress=bars,
            watch=FitWatch(boards, limits, bars), tell=notes,
        )  # fmt: skip
    if not as_json:
        render(found, as_json=False)
        wrote(output, "/: report.html, and every point with its recipe.toml, small.onnx and build/.")
    found.check()
    if as_json:
        document(found.to_dict())


class FitWatch:
    """Says after every trial what it found, and where it is the best so far."""

    def __init__(self, boards: Sequence[str], limits: Limits, bars: Bars) -> None:
        self._limits, self._bars = limits, bars
        self._boards = {b: load_board(b) for b in dict.fromkeys(boards)}
        self._best: dict[str, Candidate] = {}

    def __call__(self, done: int, total: int, found: Record | Failure | None) -> None:
        from tinygen.cli.console import err

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
            rows = candidates([found], board_id, self._limits.on(board))
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
