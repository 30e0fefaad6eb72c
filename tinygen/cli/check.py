"""tinygen check"""

from __future__ import annotations

from pathlib import Path

import click

import tinygen
from tinygen import stop
from tinygen.cli.options import project_options, tool_options
from tinygen.cli.render import document, render, wrote
from tinygen.files import check_file


@click.command()
@project_options
@click.option("--renew", is_flag=True, help="Record today's figures in tinygen.lock, and say what changes.")
@click.option("--strict", is_flag=True, help="Fail on all that is not as recorded, or better.")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE",
              help="Write the figures as JUnit XML, a suite a target.")  # fmt: skip
@click.option("--markdown", type=click.Path(path_type=Path), metavar="FILE",
              help="Write a summary for a pull request ($GITHUB_STEP_SUMMARY, say).")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@tool_options
def check(
    project: Path | None, only: tuple[str, ...], renew: bool, strict: bool, junit: Path | None, markdown: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Build all of a project, and compare it with tinygen.lock. In a temporary folder: yours stay as they are.

    Fails on a limit of tinygen.toml that is exceeded, and on a figure that is more than 1 % worse than recorded.
    """
    from tinygen.cli.bars import Bars
    from tinygen.cli.console import line

    for path in (junit, markdown):
        check_file(path)
    opened = tinygen.open_project(project)
    with Bars() as bars:
        found = opened.check(only, strict=strict, renew=renew, watch=line, progress=bars)
    stop.finish()  # nothing is left to clear away
    if junit is not None:
        found.save_junit(junit)
    if markdown is not None:
        found.save_markdown(markdown)
    if not as_json:
        render(found, as_json=False)
        wrote(junit)
        wrote(markdown)
    found.check()
    if as_json:
        document(found.to_dict())
        return
    click.echo(f"{found.summary}.")
    if renew:
        wrote(opened.lock, ": read what changed, and commit it.")
