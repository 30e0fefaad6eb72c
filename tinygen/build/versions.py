"""Which compilers and emulators are here, in their own words."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tinygen.build import discover
from tinygen.build.process import run
from tinygen.errors import ToolError
from tinygen.files import work_folder
from tinygen.targets.arch.base import Tool

TIMEOUT_S = 30.0


def version_of(tool: Tool) -> str | None:
    """The first line that a tool says of itself, without its own name; None where it is not there. Builds of one
    version by several hands differ, so all of the line counts."""
    command = discover.find(tool)
    return None if command is None else _said(command)


@cache
def _said(command: tuple[str, ...]) -> str:
    with work_folder() as folder:
        result = run((*command, "--version"), folder, TIMEOUT_S, doing="its version")
    line = next(iter(result.stdout.splitlines()), "").strip()
    if result.exit_code != 0 or not line:
        raise ToolError(f"{command[0]} --version failed: it is no compiler or emulator that tinygen knows.")
    return line.removeprefix(Path(command[0]).name).strip() or line
