"""A project of small networks, in a folder of its own."""

from __future__ import annotations

import os
import shutil
from contextlib import chdir
from pathlib import Path
from unittest.mock import patch

from tests.cli.support import ROOT, Said
from tests.errors.cases import run

#: Two networks on two boards; no compiler is asked.
TWO = """\
boards = ["nucleo_f446re", "nucleo_g071rb"]

[options]
verify = "none"

[models.digits]
path = "models/digits.onnx"
data = "data/digits_calib.npz"
test = "data/digits_test.npz"

[models.sine]
path = "models/sine.onnx"
data = "data/sine_calib.npz"
"""


def place(folder: Path, text: str = TWO) -> Path:
    """The project file `text` with models and data of the examples around it; returns the file."""
    for example in ("digits", "sine"):
        for source in (ROOT / "examples" / example).iterdir():
            kind = {".onnx": "models", ".npz": "data"}.get(source.suffix)
            if kind is not None:
                (folder / kind).mkdir(parents=True, exist_ok=True)
                shutil.copy(source, folder / kind / source.name)
    file = folder / "tinygen.toml"
    file.write_text(text, encoding="utf-8")
    return file


def tinygen(*arguments: str | Path, cwd: Path, **env: str) -> Said:
    """`tinygen ...` in `cwd`, in this process: it is started a hundred times."""
    with chdir(cwd), patch.dict(os.environ, env):
        done = run(tuple(map(str, arguments)))
    return Said(str(arguments[0]), done.code, done.stdout, done.stderr)


def ok(*arguments: str | Path, cwd: Path, **env: str) -> Said:
    """The same, and it must succeed."""
    said = tinygen(*arguments, cwd=cwd, **env)
    assert said.code == 0, said.out + said.err
    return said
