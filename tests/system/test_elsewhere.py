"""tinygen on a Python that lacks what only POSIX has: everything is imported, and the bytes are the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.errors import models as m
from tests.errors.cases import contents

ROOT = Path(__file__).resolve().parents[2]
HOWS = ("elsewhere", "deaf", "windows")  # without POSIX' names; without any word of a signal; with Windows' locks

IMPORTS = """
import importlib, pkgutil
from tests.system import elsewhere
elsewhere.strip()
import tinygen
from tests.rules.test_imports import needs_torch
for module in pkgutil.walk_packages(tinygen.__path__, "tinygen."):
    path = module.name.replace(".", "/").removeprefix("tinygen/") + ".py"
    if not needs_torch(path) and "__main__" not in path:
        importlib.import_module(module.name)
        print(module.name)
"""


def python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cwd / "cache")}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_everything_is_imported(tmp_path: Path) -> None:
    done = python("-c", IMPORTS, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    modules = done.stdout.split()
    assert len(modules) > 200
    assert {"tinygen.system", "tinygen.stop", "tinygen.fit.search", "tinygen.profile.hardware"} <= set(modules)


def commands(place: Path, how: str, lines: Sequence[Sequence[str]]) -> subprocess.CompletedProcess[str]:
    script = place / f"{how}.txt"
    script.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    return python("-m", "tests.system.elsewhere", how, str(script), cwd=place)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "net.onnx").write_bytes(m.dense().SerializeToString())
    (folder / "other.onnx").write_bytes(m.dense(layer="/other").SerializeToString())
    x = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    np.savez(folder / "data.npz", x=x)
    return folder


def all_of_it(out: str) -> list[list[str]]:
    """A new folder; another model into the same; a build whose C is compiled and run; a file of the user's."""
    build = ["build", "net.onnx", "--data", "data.npz"]
    return [
        ["inspect", "net.onnx"],
        ["quantize", "net.onnx", "--data", "data.npz", "-o", f"{out}/q.onnx"],
        ["quantize", "net.onnx", "--data", "data.npz", "-o", f"{out}/q.onnx"],
        [*build, "--board", "nucleo_f446re", "--verify", "none", "-o", f"{out}/arm"],
        ["build", "other.onnx", "--name", "net", "--board", "nucleo_f446re", "--verify", "none", "-o", f"{out}/arm"],
        [*build, "--board", "native", "--verify", "board", "-o", f"{out}/native"],
    ]


def test_names_that_a_pipe_cannot_encode(place: Path) -> None:
    """A pipe on Windows takes the characters of one code page."""
    (place / "names.onnx").write_bytes(m.dense(input_="größe ネット", layer="/ネット").SerializeToString())
    script = place / "names.txt"
    script.write_text("inspect\tnames.onnx\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-m", "tests.system.elsewhere", "here", str(script)]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert r"größe \u30cd\u30c3\u30c8" in done.stdout.decode("cp1252")


@pytest.fixture(scope="module")
def here(place: Path) -> tuple[str, dict[str, bytes]]:
    done = commands(place, "here", all_of_it("here"))
    assert done.returncode == 0, done.stderr
    return done.stdout, contents(place / "here")


@pytest.mark.parametrize("how", HOWS)
def test_the_same_bytes(
    place: Path, here: tuple[str, dict[str, bytes]], how: str, require_tool: Callable[[str], None]
) -> None:
    require_tool("gcc")
    done = commands(place, how, all_of_it(how))
    assert done.returncode == 0, done.stderr
    assert "not verified" not in done.stdout + done.stderr
    said, files = here
    assert done.stdout.replace(how, "here") == said
    assert contents(place / how) == files
    assert not list((place / "cache").rglob("locks/*"))
