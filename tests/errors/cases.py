"""A broken input: how it is made, the command it is given to, and what must be said about it."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from tests.errors import models
from tinygen import cli, stop
from tinygen.numerics import Array

# Exit codes, as tinygen/errors.py gives them.
USAGE, MODEL = 64, 2
DATA, TARGET, TOOL, OUTPUT, VERIFY = 3, 4, 5, 6, 7

SCREEN_LINES = 24
SCREEN_COLUMNS = 80


@dataclass(frozen=True)
class Place:
    """A test's own folder, and what cases need to fill it. Everything in it must be as before when the command ends."""

    folder: Path
    patch: pytest.MonkeyPatch

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def file(self, name: str, content: bytes | str = b"") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def model(self, model: ModelProto | None = None, name: str = "net.onnx") -> Path:
        return self.file(name, (model or models.dense()).SerializeToString())

    def npz(self, name: str = "data.npz", **arrays: Array) -> Path:
        np.savez(self.folder / name, **arrays)  # type: ignore[arg-type]
        return self.folder / name

    def build(
        self, model: Path | str, *more: str | Path, board: str = "nucleo_f446re", verify: str = "none"
    ) -> Command:
        """`tinygen build`, without running the C unless it is the point."""
        options = ("--board", board, "--verify", verify, "--output", self.out)
        return tuple(map(str, ("build", model, *options, *more)))

    def built(self, *more: str) -> Path:
        """The output folder of a build that went well."""
        result = run(self.build(self.model(), *more))
        assert result.code == 0, result.text
        return self.out


Command = Sequence[str]


@dataclass(frozen=True)
class Case:
    """`arrange` breaks something and gives the command line. The message names `where`, says what was `found`, and
    in `help` what is allowed or what to do. A table of offenders may be longer than the screen and wider than it."""

    name: str
    arrange: Callable[[Place], Command]
    code: int
    where: str
    found: str
    help: str
    table: bool = False


@dataclass(frozen=True)
class Result:
    """What the command line gave back; `text` is both streams with every run of white space as one blank."""

    code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return " ".join((self.stderr + self.stdout).split())

    @property
    def screen_lines(self) -> int:
        """Lines on a terminal of 80 columns."""
        return sum(max(1, -(-len(line) // SCREEN_COLUMNS)) for line in (self.stderr + self.stdout).splitlines())


def run(command: Command) -> Result:
    """The command line as the shell would start it, in this process."""
    stdout, stderr = StringIO(), StringIO()
    old, sys.argv = sys.argv, ["tinygen", *command]
    handlers = {n: signal.getsignal(n) for n in stop.SIGNALS}
    code = 0
    try:
        with redirect_stdout(stdout), redirect_stderr(stderr):
            cli.main()
    except SystemExit as e:
        code = int(e.code or 0)
    finally:
        sys.argv = old
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Result(code, stdout.getvalue(), stderr.getvalue())


def contents(folder: Path) -> dict[str, bytes | str]:
    """Every file, link and folder below `folder`, with bytes: equal before and after means nothing was touched."""
    found: dict[str, bytes | str] = {}
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(root) / name
            key = path.relative_to(folder).as_posix()
            if path.is_symlink():
                found[key] = f"-> {path.readlink()}"
            else:
                found[key] = "folder" if path.is_dir() else path.read_bytes() if path.is_file() else "special"
    return found


def make_place(tmp_path: Path, patch: pytest.MonkeyPatch) -> Place:
    """A place that is also the current folder, home, and where temporary files go, so that leftovers are seen."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    patch.setenv("TMPDIR", str(temporary))
    patch.setattr(tempfile, "tempdir", None)
    (tmp_path / "home").mkdir()
    patch.setenv("HOME", str(tmp_path / "home"))
    patch.delenv("XDG_CACHE_HOME", raising=False)
    patch.chdir(tmp_path)
    return Place(tmp_path, patch)
