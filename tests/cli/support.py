"""Runs the command line as a user does: a process of its own, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.report.schemas import kind_of, read, valid

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    command: str
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON value, as docs/schemas says, and nothing else."""
        document = read(self.out)
        return valid(kind_of(self.command, document), document)


def tinygen(*arguments: str | Path, cwd: Path, **env: str) -> Said:
    """`tinygen ...` in `cwd`, on a terminal 100 columns wide."""
    command = [sys.executable, "-m", "tinygen", *map(str, arguments)]
    world = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "TERM": "dumb", **env}
    done = subprocess.run(command, cwd=cwd, env=world, capture_output=True, text=True, check=False)
    return Said(str(arguments[0]) if arguments else "", done.returncode, done.stdout, done.stderr)


def ok(*arguments: str | Path, cwd: Path, **env: str) -> Said:
    """The same, and it must succeed without a warning of Python's."""
    said = tinygen(*arguments, cwd=cwd, **env)
    assert said.code == 0, said.out + said.err
    assert "Traceback" not in said.err
    assert "Warning" not in said.err
    return said
