"""tinygen boards, tinygen ops"""

from __future__ import annotations

import click

import tinygen
from tinygen.cli.render import document


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def boards(as_json: bool) -> None:
    """List the boards tinygen builds for."""
    from tinygen.cli.console import show
    from tinygen.report import boards as report

    if as_json:
        document(report.as_dict(tinygen.boards()))
    else:
        show(report.tables(tinygen.boards()))


@click.command()
@click.option("--markdown", is_flag=True, help="As docs/SUPPORTED_OPS.md has it.")
def ops(markdown: bool) -> None:
    """List the ONNX operators tinygen takes, and their limits."""
    from tinygen.cli.console import show
    from tinygen.report import operators
    from tinygen.report.table import to_markdown

    tables = operators.tables(tinygen.operators())
    if markdown:
        click.echo("\n".join(map(to_markdown, tables)), nl=False)
    else:
        show(tables)
