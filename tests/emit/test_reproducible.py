"""The same model, options and version give the same bytes, wherever, whenever and by whomever they are made."""

from __future__ import annotations

import datetime
import getpass
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.emit.nets import NETS

ROOT = Path(__file__).resolve().parents[2]
#: A seed of Python's hashes, a time zone, a locale and an umask, each different from those of the tests.
WORLDS: tuple[Mapping[str, str], ...] = (
    {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C", "LANG": "C"},
    {"PYTHONHASHSEED": "77", "TZ": "America/Lima", "LC_ALL": "C.UTF-8", "LANG": "de_DE.UTF-8", "OMP_NUM_THREADS": "1"},
)


def build(folder: Path, world: Mapping[str, str], model: Path, data: Path | None) -> dict[str, bytes]:
    """The files of a build by a fresh process in `folder`, by path."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "tinygen", "build", str(model), "--board", "nucleo_f446re", "--verify", "none"]
    command += ["--output", "out", *(["--data", str(data)] if data else [])]
    env = {**os.environ, **world, "PYTHONPATH": str(ROOT), "HOME": str(folder), "TMPDIR": str(folder)}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    out = folder / "out"
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("net", ["conv", "several"])
def test_builds_are_byte_identical(net: str, tmp_path: Path) -> None:
    made = NETS[net]()
    data = None
    if len(made.graph.input) == 1:  # one with data, one on made-up inputs
        shape = [d.dim_value for d in made.graph.input[0].type.tensor_type.shape.dim]
        data = tmp_path / "calibration data.npz"
        np.savez(data, x=np.random.default_rng(0).normal(size=(6, *shape[1:])).astype(np.float32))
    found = []
    for i, world in enumerate(WORLDS):
        folder = tmp_path / f"place {i}"
        folder.mkdir()
        model = folder / f"{net}.onnx"
        model.write_bytes(made.SerializeToString())
        found.append(build(folder / "work", world, model, data))
    one, two = found
    assert sorted(one) == sorted(two)
    assert [n for n in one if one[n] != two[n]] == []
    for name, content in one.items():
        check_anonymous(name, content.decode("utf-8"), tmp_path)


def check_anonymous(name: str, text: str, folder: Path) -> None:
    """No path of this computer, no name of it or its user, no date of the build."""
    strange = [str(folder), str(ROOT), sys.prefix, str(Path.home()), platform.node()]
    if len(getpass.getuser()) > 4:
        strange.append(getpass.getuser())
    assert [s for s in strange if len(s) > 2 and s != "/root" and s in text] == [], name
    assert not re.search(r"(?<![\w.$}])/(home|tmp|work|root|usr|Users)/\w", text), name
    today = datetime.datetime.now(datetime.UTC)
    for form in ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%b %d %Y", "%Y%m%d", "%H:%M:"):
        assert today.strftime(form) not in text, name
    assert "__DATE__" not in text, name
    assert "__TIME__" not in text, name
