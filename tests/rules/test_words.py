"""Messages of the library speak of arguments, those of the command line of options; each finds the other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tinygen.cli.app import cli
from tinygen.cli.words import in_document, options

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = sorted(
    p for p in (ROOT / "tinygen").rglob("*.py") if p.relative_to(ROOT / "tinygen").parts[0] not in ("cli", "project")
)
#: Files whose texts are command lines, or the options of commands.
COMMAND_LINES = {"fit/prove.py", "build/platformio.py", "build/versions.py", "frontend/load.py", "report/boards.py"}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """String constants that are no docstrings, and not the first argument of an `Option`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    flags = {
        id(a)
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "Option"
        for a in n.args
    }
    docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for n in ast.walk(tree):
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in flags | docs:
            yield n.lineno, n.value


def test_the_library_names_no_options() -> None:
    """But where a message is about the command line too, and says so."""
    found = []
    for path in LIBRARY:
        name = path.relative_to(ROOT / "tinygen").as_posix()
        if name in COMMAND_LINES or name.startswith("targets/arch/"):
            continue
        found += [
            f"{name}:{line}: {text}"
            for line, text in texts(path)
            if re.search(r"(^|\s|\()--[a-z]", text) and "--tool-timeout" not in text and "tinygen check" not in text
        ]
    assert not found, "\n".join(found)


def test_every_argument_that_is_named_has_an_option() -> None:
    context = click.Context(cli)
    flags = {
        flag
        for name in cli.list_commands(context)
        for p in getattr(cli.get_command(context, name), "params", ())
        for flag in (*p.opts, *p.secondary_opts)
    }
    named = {m for p in LIBRARY for _, text in texts(p) for m in re.findall(r"`[a-z_]+(?:=[^`]*)?`", text)}
    assert len(named) > 20
    strange = sorted(m for m in named if options(m).split()[0] not in flags)
    assert not strange, f"no command has an option for {strange}"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("`max_flash` allows 100.", "--max-flash allows 100."),
        ("give `x`", "give --data"),
        ('`verify="none"` does', "--verify none does"),
        ("`force=True` or `epochs=N`", "--force or --epochs N"),
        ("`input_shapes` x0=1,N", "--input-shape x0=1,N"),
        ("`tinygen boards` lists them", "`tinygen boards` lists them"),
    ],
)
def test_options(said: str, shown: str) -> None:
    assert options(said) == shown


def test_documents_keep_what_is_no_message() -> None:
    said = {"notes": ["give `test`"], "error": {"rows": [{"help": "`force=True`"}]}, "layers": [{"name": "`test`"}]}
    assert in_document(said) == {
        "notes": ["give --test"], "error": {"rows": [{"help": "--force"}]}, "layers": [{"name": "`test`"}],
    }  # fmt: skip
