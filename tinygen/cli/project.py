"""The commands of a project: build and check what tinygen.toml says."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tinygen import stop
from tinygen.cli.bars import Bars
from tinygen.cli.console import err, notes, out, show
from tinygen.project.file import FILE, Project, find_project, read_project
from tinygen.project.make import Attempt, FailedError, build_project
from tinygen.report import project as report


def opened(file: Path | None, only: tuple[str, ...]) -> Project:
    """The project that --project names, or the one we stand in; of it the targets asked for."""
    return read_project(file or find_project(Path())).only(only)


def only_of_project(*allowed: str) -> None:
    """A usage error for an option that goes with a MODEL, as the project file says all that."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
        if given and name not in allowed:
            raise click.UsageError(
                f"{parameter.opts[0]} goes with a MODEL: give one, or leave it out to build what {FILE} says."
            )


class Counter:
    """A line on standard error for each target that is done: [2/9] kws/nucleo_f446re: ..."""

    def __init__(self, total: int) -> None:
        self._done, self._total = 0, total

    def __call__(self, text: str) -> None:
        self._done += 1
        err.print(f"[{self._done}/{self._total}] {text}", highlight=False, soft_wrap=True)


def build_all(file: Path | None, only: tuple[str, ...], *, force: bool, as_json: bool) -> None:
    """`tinygen build` without a MODEL."""
    project = opened(file, only)
    say = Counter(len(project.targets))
    with Bars() as bars:
        done = build_project(project, watch=lambda o: say(report.line(o)), progress=bars, force=force)
    stop.finish()  # nothing is left to clear away
    said = report.as_dict(done)
    failed = [o for o in done if o.built is None]
    if not as_json:
        notes(_notes(done))
        show(report.tables(done))
    if failed:
        raise FailedError(failed, len(done), said)
    if as_json:
        click.echo(json.dumps(said, indent=2))
    else:
        out.print(f"Wrote {len(done)} folders below {project.output}/")


def _notes(done: tuple[Attempt, ...]) -> list[str]:
    """What builds have to say: of a model once, whatever the board."""
    found: dict[str, None] = {}
    for o in done:
        if o.built is not None:
            found |= dict.fromkeys(f"{o.target.model}: {n}" for n in o.built.model.notes)
            found |= dict.fromkeys(f"{o.target.name}: {n}" for n in o.built.notes)
            if o.built.model.synthetic and not o.built.model.imported.quantised:
                found |= {
                    f"{o.target.model}: no data, so ranges come from made-up inputs and accuracy is unknown": None
                }
    return list(found)
