"""What a command line needs before it does anything: the table of commands is true, and help comes without numpy."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from tests.cli.support import ROOT, tinygen
from tinygen.cli.lazy import COMMANDS

#: What takes long to import, and is needed by what a command does, not by what it says of itself.
HEAVY = {"numpy", "onnx", "onnxruntime", "jinja2", "rich", "elftools", "google", "torch", "optuna", "serial"}
#: Their options are those of the techniques, which stand beside what the techniques do.
WITH_TECHNIQUES = {"compress", "fit"}
#: Seconds of CPU; 0.06 on the machine where it was set, where numpy alone takes 0.1. The least of several runs counts.
ENOUGH_S = 0.25

PROGRAM = """
import sys
from tinygen.cli import main
try:
    main()
finally:
    print(*sorted({m.split(".")[0] for m in sys.modules}), file=sys.stderr)
"""


def imported(*arguments: str, cwd: Path, **env: str) -> tuple[str, set[str]]:
    """Standard output of `tinygen ...`, and the top-level modules it had imported at its end."""
    world = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=cwd, env=world, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("name", COMMANDS)
def test_table_says_what_the_command_says(name: str) -> None:
    entry = COMMANDS[name]
    command = getattr(import_module(f"tinygen.cli.{entry.module}"), entry.attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help is not None
    assert f"{' '.join(command.help.split())} ".startswith(f"{entry.help} "), "the first sentence of the command's help"


def test_table_holds_every_command() -> None:
    modules = {f"tinygen.cli.{p.stem}" for p in (ROOT / "tinygen/cli").glob("*.py")} - {"tinygen.cli.app"}
    found = {
        value.name
        for module in modules
        for value in vars(import_module(module)).values()
        if isinstance(value, click.Command)
    }
    assert found == set(COMMANDS)


def test_list_fits_80_columns(tmp_path: Path) -> None:
    said = tinygen("--help", cwd=tmp_path, COLUMNS="80")
    assert [line.split()[0] for line in said.out.split("Commands:\n")[1].splitlines()] == sorted(COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        (["--help"], {}),
        (["--version"], {}),
        ([], {"_TINYGEN_COMPLETE": "bash_source"}),
        ([], {"_TINYGEN_COMPLETE": "bash_complete", "COMP_WORDS": "tinygen b", "COMP_CWORD": "1"}),
    ],
    ids=["help", "version", "source", "commands"],
)
def test_nothing_heavy_is_imported(arguments: list[str], env: dict[str, str], tmp_path: Path) -> None:
    out, modules = imported(*arguments, cwd=tmp_path, **env)
    assert out
    assert modules & HEAVY == set()


@pytest.mark.parametrize("name", sorted({*COMMANDS} - WITH_TECHNIQUES))
def test_help_of_a_command_imports_nothing_heavy(name: str, tmp_path: Path) -> None:
    out, modules = imported(name, "--help", cwd=tmp_path)
    assert out.startswith(f"Usage: tinygen {name}")
    assert modules & HEAVY == set()


def test_boards_come_without_numpy(tmp_path: Path) -> None:
    assert imported("boards", cwd=tmp_path)[1] & HEAVY == {"rich"}


def test_help_is_quick(tmp_path: Path) -> None:
    spent = []
    for _ in range(5):
        before = os.times()
        assert tinygen("--help", cwd=tmp_path).code == 0
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(spent) <= ENOUGH_S


def test_module_is_the_command(tmp_path: Path) -> None:
    """`python -m tinygen` names itself as the program does, so that what it says can be typed."""
    said = tinygen("--help", cwd=tmp_path)
    assert said.out.startswith("Usage: tinygen [OPTIONS] COMMAND")


def test_misspelt_command_names_the_nearest(tmp_path: Path) -> None:
    said = tinygen("biuld", "x.onnx", cwd=tmp_path)
    assert said.code == 64
    assert 'no command "biuld"; there are boards, build,' in said.err
    assert "Did you mean build?" in said.err
