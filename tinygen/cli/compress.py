"""The commands that trade accuracy for flash, RAM and time: compress."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from tinygen.calibrate.ranges import METHODS
from tinygen.cli.console import Bars, notes, out
from tinygen.cli.options import name as name_option
from tinygen.cli.options import shapes
from tinygen.compress import recipe as r
from tinygen.emit.writer import write_file
from tinygen.errors import OutputError, RecipeError
from tinygen.fit.measure import load_source
from tinygen.fit.single import SPLIT_SEED, Figures, Outcome, run
from tinygen.plan.choose import MODES
from tinygen.targets.board import load_board
from tinygen.workflow import DEFAULT_METHOD

DEFAULT_BOARD = "nucleo_f446re"


def source_options(f: Callable[..., Any]) -> Callable[..., Any]:
    """Options about model and data."""
    for option in (
        click.option("--input-shape", "input_shapes", multiple=True, callback=shapes, metavar="NAME=1,3,32,32",
                     help="Fix the shape of an input that the model leaves open."),
        click.option("--calibration", "method", default=DEFAULT_METHOD, show_default=True,
                     type=click.Choice(METHODS), help="How ranges of activations are estimated."),
        click.option("--name", callback=name_option, help="Name of the model in C; the file's name unless given."),
    ):  # fmt: skip
        f = option(f)
    return f


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path),
              help="Samples to compress with: .npz with x, and y where there are labels.")  # fmt: skip
@click.option("--test", type=click.Path(path_type=Path),
              help="Samples to judge the result by, once; a fifth of --data is held back unless given.")  # fmt: skip
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="ONNX file (QDQ) to write.")
@click.option("--recipe", "recipe_file", type=click.Path(path_type=Path),
              help="TOML file with the techniques; options change what it says.")  # fmt: skip
@click.option("--save-recipe", type=click.Path(path_type=Path), help="Write the whole recipe, to repeat the run.")
@click.option("--prune", type=float, help="Share of the MACs to remove with whole channels.")
@click.option("--prune-steps", type=int, help="Prune in so many steps, with fine-tuning between.")
@click.option("--rank", type=float, help="Share of the weights to save by products of smaller layers.")
@click.option("--sparsity", type=float, help="Share of the weights to make zero.")
@click.option("--pattern", help="Where zeros may lie: unstructured, 2:4, 1:4 or block4.")
@click.option("--cluster", type=int, help="Weights share so many values: 2, 4, 8, 16, 32 or 64.")
@click.option("--bits", help="Bits of the weights, 2 to 8, or mixed: chosen for each layer.")
@click.option("--activations", type=int, help="Bits of the activations, 8 or 16.")
@click.option("--student", metavar="width=0.5,depth=0.5,separable|FILE",
              help="Train a smaller network of the same family, or your own, from the answers of MODEL.")  # fmt: skip
@click.option("--epochs", type=int, help="Fine-tune so many epochs, with MODEL as the teacher.")
@click.option("--labels", type=float, help="How much labels count beside the teacher, 0 to 1.")
@click.option("--learning-rate", type=float, help="Of the fine-tuning.")
@click.option("--repair", multiple=True, help="Repairs of quantisation, in this order.")
@click.option("--seed", type=int, help="Of everything random.")
@click.option("--checkpoints", type=click.Path(path_type=Path), metavar="DIR",
              help="Keep the state of training there; the same command goes on from it.")  # fmt: skip
@click.option("--board", default=DEFAULT_BOARD, show_default=True, help="Board whose flash, RAM and time are shown.")
@click.option("--optimize", default="balanced", show_default=True, type=click.Choice(MODES),
              help="Kernels those figures are for, as in tinygen build.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@source_options
def compress(
    model: Path, data: Path, test: Path | None, output: Path, recipe_file: Path | None, save_recipe: Path | None,
    checkpoints: Path | None, board: str, optimize: str, as_json: bool, name: str | None, method: str,
    input_shapes: dict[str, tuple[int, ...]], **options: Any,
) -> None:  # fmt: skip
    """Make MODEL smaller by the techniques asked for, and write it as an ONNX file that tinygen build takes."""
    recipe = r.read_recipe(recipe_file) if recipe_file is not None else r.Recipe()
    recipe = with_options(recipe, **options)
    if not recipe.techniques and not recipe.layers and recipe_file is None:
        raise RecipeError(
            "nothing to do: found no technique; allowed are --prune, --rank, --sparsity, --cluster, --bits, "
            "--activations, --student, --epochs, --repair, or a --recipe with any of them."
        )
    for path in (output, save_recipe):
        check_file(path)
    target = load_board(board)
    source = load_source(model, data, seed=SPLIT_SEED, input_shapes=input_shapes, name=name)
    if not as_json:
        notes(list(source.imported.notes))
    with Bars() as bars:
        outcome = run(source, recipe, target, optimize, test=test, method=method, progress=bars, workdir=checkpoints)
    write_file(output, outcome.content)
    if save_recipe is not None:
        write_file(save_recipe, r.to_toml(recipe).encode())
    if as_json:
        click.echo(json.dumps({**outcome_json(outcome), "output": str(output)}, indent=2))
        return
    out.print(changes_table(outcome))
    out.print(figures_table(outcome))
    out.print(f"Wrote {output} ({len(outcome.content):,} bytes); tinygen build takes it without --data.")


def check_file(path: Path | None) -> None:
    """OutputError, before any work, for a file that cannot be written."""
    if path is None:
        return
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file to write.")
    if path.parent.exists() and not path.parent.is_dir():
        raise OutputError(f"cannot write {path}: {path.parent} is a file. Choose another file.")


def with_options(
    recipe: r.Recipe, *, prune: float | None, prune_steps: int | None, rank: float | None, sparsity: float | None,
    pattern: str | None, cluster: int | None, bits: str | None, activations: int | None, student: str | None,
    epochs: int | None, labels: float | None, learning_rate: float | None, repair: tuple[str, ...], seed: int | None,
) -> r.Recipe:  # fmt: skip
    """The recipe with what the command line says in its place; RecipeError names key, found and allowed."""
    data = r.to_dict(recipe)

    def change(section: str, **values: Any) -> None:
        given = {k: v for k, v in values.items() if v is not None}
        if given:
            data[section] = {**data.get(section, {}), **given}

    change("training", epochs=epochs, label_weight=labels, learning_rate=learning_rate)
    if student is not None:
        data["student"] = _student(student)
    change("prune", amount=prune, steps=prune_steps)
    if rank is not None:
        data["rank"] = {**{k: v for k, v in data.get("rank", {}).items() if k != "energy"}, "amount": rank}
    change("sparsity", amount=sparsity, pattern=pattern)
    change("cluster", entries=cluster)
    change("bits", weights=int(bits) if bits is not None and bits.isdecimal() else bits)
    change("activations", bits=activations)
    change("repairs", steps=list(repair) or None)
    if seed is not None:
        data["seed"] = seed
    return r.from_dict(data)


def _student(text: str) -> dict[str, Any]:
    """width=0.5,depth=0.5,separable, or the name of an ONNX file."""
    if text.endswith(".onnx"):
        return {"model": text}
    found: dict[str, Any] = {}
    for part in text.split(","):
        key, _, value = part.partition("=")
        if key == "separable" and not value:
            found[key] = True
            continue
        try:
            found[key] = float(value)
        except ValueError as e:
            raise RecipeError(
                f'student: found "{part}", allowed are width=0.5, depth=0.5, separable, with commas between, or the '
                "name of an .onnx file."
            ) from e
    return found


# -- what it shows ---------------------------------------------------------------------------------------------------


def changes_table(o: Outcome) -> Table:
    """What each technique did to each layer."""
    t = Table(title=f"{o.name}: {o.recipe.describe()}")
    for column, justify in (("technique", "left"), ("layer", "left"), ("what", "left"), ("before", "right"),
                            ("after", "right"), ("error", "right")):  # fmt: skip
        t.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    left = [c for c in o.changes if c.before == c.after and not c.error]
    if left:
        t.caption = f"Left alone: {len({c.layer for c in left})} layers by one technique or another; --json says why."
    for c in o.changes:
        if c in left:
            continue
        t.add_row(c.technique, c.layer, c.text, f"{c.before:,}", f"{c.after:,}", f"{c.error:.2%}" if c.error else "")
    return t


def figures_table(o: Outcome) -> Table:
    """The network before and after, as numbers."""
    cost = o.after.cost
    t = Table(title=f"{o.judged_on}; {cost.board}, {cost.optimize}, predicted")
    for column in ("", "float", "int8", "compressed"):
        t.add_column(column, justify="left" if not column else "right")
    t.add_row(o.measure, f"{o.float_quality:.4f}", f"{o.before.quality:.4f}", f"{o.after.quality:.4f}")
    for title, value in _ROWS:
        a, b = value(o.before), value(o.after)
        t.add_row(title, "", _number(a), _number(b))
    return t


_ROWS: tuple[tuple[str, Callable[[Figures], float | None]], ...] = (
    ("MACs", lambda f: f.macs),
    ("weights", lambda f: f.weights),
    ("constants as stored, bytes", lambda f: f.cost.constants),
    ("flash, bytes", lambda f: f.cost.flash),
    ("RAM, bytes", lambda f: f.cost.ram),
    ("milliseconds", lambda f: f.cost.milliseconds),
)


def _number(value: float | None) -> str:
    if value is None:
        return "not modelled"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def outcome_json(o: Outcome) -> dict[str, Any]:
    """The report of `tinygen compress --json`."""

    def figures(f: Figures) -> dict[str, Any]:
        c = f.cost
        return {
            "quality": f.quality, "macs": f.macs, "weights": f.weights, "constants": c.constants, "flash": c.flash,
            "ram": c.ram, "milliseconds": c.milliseconds,
        }  # fmt: skip

    return {
        "model": o.name,
        "recipe": r.to_dict(o.recipe),
        "recipe_key": o.recipe.key,
        "board": o.after.cost.board,
        "optimize": o.after.cost.optimize,
        "measure": o.measure,
        "judged_on": o.judged_on,
        "float": o.float_quality,
        "before": figures(o.before),
        "after": figures(o.after),
        "changes": [
            {"technique": c.technique, "layer": c.layer, "what": c.text, "before": c.before, "after": c.after,
             "error": c.error}
            for c in o.changes
        ],
    }  # fmt: skip
