"""A project of small networks, in a folder of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cli.support import ROOT

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
