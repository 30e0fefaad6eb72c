"""Options that several commands share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import click

from tinygen.build.process import SETTINGS
from tinygen.calibrate.methods import CALIBRATION_SAMPLES, DEFAULT_METHOD, METHODS
from tinygen.cli.completion import RECIPE
from tinygen.errors import RecipeError, did_you_mean
from tinygen.names import MAX_NAME, model_name
from tinygen.units import points, share


class Choice(click.Choice[str]):
    """One of some words; of a misspelt one the nearest is named."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__(list(words))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as e:
            self.fail(f"{e.message.rstrip('.')}.{did_you_mean(str(value), self.choices)}", param, ctx)


def shapes(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
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


def pairs(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """IN=OUT options."""
    found = {}
    for value in values:
        name, _sep, end = value.partition("=")
        if not name or not end:
            raise click.BadParameter(f'"{value}" is not IN=OUT, the names of an input and of an output.')
        if name in found:
            raise click.BadParameter(f'"{name}" is given twice.')
        found[name] = end
    return found


def numbers(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """NAME=16000 and NAME=1,2,3 options."""
    found: dict[str, Any] = {}
    for value in values:
        name, _sep, text = value.rpartition("=")
        parts = [_number(t.strip()) for t in text.split(",")]
        if not name or None in parts:
            raise click.BadParameter(f'"{value}" is not NAME=NUMBER, or NAME=NUMBER,NUMBER,...')
        if name in found:
            raise click.BadParameter(f'"{name}" is given twice.')
        found[name] = parts[0] if len(parts) == 1 else parts
    return found


def _number(text: str) -> int | float | bool | None:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def name(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """--name: as it is, or not at all; only names taken from files are made to fit."""
    if value is None or value.lower() == model_name(value):
        return value
    if len(value) > MAX_NAME:
        raise click.BadParameter(f'"{value}" has {len(value)} characters; at most {MAX_NAME} are allowed.')
    if value.isidentifier() and value.isascii() and not value.startswith("_"):
        why = "is taken: it is a word or a header of C, or a name that tinygen uses itself"
    else:
        why = "cannot begin names in C: letters, digits and underscores are allowed, a letter first"
    raise click.BadParameter(f'"{value}" {why}. Take {model_name(value)}, say.')


def _note(text: str) -> None:
    from tinygen.cli.console import say

    say("note:", "yellow", text)


def _tool_limit(context: click.Context, _: click.Parameter, value: float | None) -> None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is no number of seconds.")
    before = SETTINGS.limit, SETTINGS.tell

    def restore() -> None:  # for whoever calls commands from a program of their own
        SETTINGS.limit, SETTINGS.tell = before

    context.call_on_close(restore)
    SETTINGS.limit = value
    SETTINGS.tell = _note


def tool_options(f: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every command that runs compilers and emulators."""
    return click.option(
        "--tool-timeout", envvar="TINYGEN_TOOL_TIMEOUT", type=click.FloatRange(0.0, min_open=True), metavar="SECONDS",
        show_envvar=True, callback=_tool_limit, expose_value=False,
        help="How long a compiler, an emulator or PlatformIO may take; some minutes unless given.",
    )(f)  # fmt: skip


#: What is said of a model's inputs and outputs, by the arguments of `tinygen.load`.
_EDGES = {
    "input_shapes": click.option(
        "--input-shape", "input_shapes", multiple=True, callback=shapes, metavar="NAME=1,3,32,32",
        help="Fix the shape of an input that the model leaves open."),
    "states": click.option(
        "--state", "states", multiple=True, callback=pairs, metavar="IN=OUT",
        help="Keep output OUT in the context as input IN of the next call; again for more."),
    "constants": click.option(
        "--set", "constants", multiple=True, callback=numbers, metavar="NAME=NUMBER",
        help="Make an input a constant (sr=16000); again for more."),
}  # fmt: skip


def edge_options(f: Callable[..., Any]) -> Callable[..., Any]:
    """These options, as one argument: `edges`, for `tinygen.load`."""

    @functools.wraps(f)
    def command(*args: Any, **given: Any) -> Any:
        return f(*args, edges={key: given.pop(key) for key in _EDGES}, **given)

    for option in reversed(_EDGES.values()):
        command = option(command)
    return command


_CALIBRATION = click.option("--calibration", "method", default=DEFAULT_METHOD, show_default=True, type=Choice(METHODS),
                            help="How ranges of activations are estimated.")  # fmt: skip
_NAME = click.option("--name", callback=name, help="Name of the model in C; the file's name unless given.")


def source_options(f: Callable[..., Any]) -> Callable[..., Any]:
    """Options about model and data."""
    for option in (edge_options, _CALIBRATION, _NAME):
        f = option(f)
    return f


def model_options(f: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every command that quantises a model for a build."""
    for option in (
        edge_options,
        click.option("--samples", default=CALIBRATION_SAMPLES, show_default=True, type=click.IntRange(1),
                     help="How many calibration samples to use."),
        _CALIBRATION,
        click.option("--activations", default="8", show_default=True, metavar="8|16|NAME,...",
                     help="Bits of activations; or ONNX nodes, inputs and outputs that are kept in 16 bits."),
        _NAME,
    ):  # fmt: skip
        f = option(f)
    return f


def project_options(f: Callable[..., Any]) -> Callable[..., Any]:
    """Which project, and what of it."""
    for option in (
        click.option("--only", multiple=True, metavar="MODEL[/BOARD]",
                     help="Of a project: this alone; give it again for more."),
        click.option("--project", type=RECIPE, metavar="FILE",
                     help="The project file; else tinygen.toml here or in the nearest folder above."),
    ):  # fmt: skip
        f = option(f)
    return f


def _share(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """0.9, 90 or 90%: a share of 1."""
    found = None if value is None else share(value)
    if found is None and value is not None:
        raise click.BadParameter(f'"{value}" is no share: write 0.9, 90 or 90%.')
    return found


def _points(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """Points of a hundred, as a share of 1."""
    found = None if value is None else points(value)
    if found is None and value is not None:
        raise click.BadParameter(f'"{value}": allowed are points of a hundred, from 0 to 100: 0.5, say.')
    return found


def size_option(_: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    from tinygen.fit.budget import parse_size

    try:
        return parse_size(parameter.opts[0], value)
    except RecipeError as e:
        raise click.BadParameter(str(e)) from e


#: What a network's accuracy must be; also of `eval`.
ACCURACY_GATES = (
    click.option("--min-accuracy", callback=_share, metavar="SHARE",
                 help="Fail below this accuracy (or what else judges the network): 0.9 or 90%."),
    click.option("--max-loss", callback=_points, metavar="POINTS",
                 help="Fail when integers lose more points of a hundred against float."),
    click.option("--min-sqnr", type=float, metavar="DB", help="Fail when an output has more noise against float."),
)  # fmt: skip


def accuracy_options(f: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(ACCURACY_GATES):
        f = option(f)
    return f


def gate_options(f: Callable[..., Any]) -> Callable[..., Any]:
    """What a build must not exceed or fall short of."""
    for option in (
        click.option("--max-ms", type=click.FloatRange(0.0, min_open=True), metavar="MS",
                     help="Fail when an inference is predicted to take longer."),
        click.option("--max-ram", callback=size_option, metavar="SIZE",
                     help="Fail when it takes more RAM: 65536, 64K."),
        click.option("--max-flash", callback=size_option, metavar="SIZE",
                     help="Fail when it takes more flash: 65536, 64K."),
    ):  # fmt: skip
        f = option(f)
    return accuracy_options(f)
