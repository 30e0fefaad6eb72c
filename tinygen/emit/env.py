"""The one Jinja environment: strict, so that a misspelt name stops the run instead of leaving a hole in the C."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NoReturn

import jinja2

from tinygen.resources import templates_dir

LINE_WIDTH = 100


@functools.cache
def environment() -> jinja2.Environment:
    """The environment of all templates in templates_c/, with `fail(message)` for branches that cannot happen."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_dir()),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals["fail"] = _fail
    env.filters["int_rows"] = int_rows
    return env


def render(template: str, /, **context: object) -> str:
    """Text of a template, named by its path in templates_c/."""
    return environment().get_template(template).render(**context)


def int_rows(values: Sequence[int | str], indent: int = 4) -> str:
    """`values` as the inside of a C initialiser: comma-separated, in indented lines that end with a comma."""
    rows: list[str] = []
    row = ""
    for value in values:
        item = f"{value},"
        if row and indent + len(row) + 1 + len(item) > LINE_WIDTH:
            rows.append(row)
            row = item
        else:
            row = f"{row} {item}" if row else item
    rows.append(row)
    return "\n".join(" " * indent + row for row in rows)


def _fail(message: str) -> NoReturn:
    raise jinja2.TemplateRuntimeError(message)
