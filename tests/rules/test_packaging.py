"""The wheel carries the C templates and the boards, and works without the checkout."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.pythons.wheel import FOLDERS, SOURCES, build_dist, copy_sources

BUILD = importlib.util.find_spec("build")
HAVE_BUILD = BUILD is not None and BUILD.origin is not None  # without an origin it is our output folder build/
pytestmark = pytest.mark.skipif(not HAVE_BUILD and not os.environ.get("CI"), reason="missing tool: Python's build")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packed, so that nothing is written into the checkout."""
    return copy_sources(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def dist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel built from it: what the sdist lacks, the wheel lacks too."""
    return build_dist(source, tmp_path_factory.mktemp("dist")).parent


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (path,) = dist.glob("*.whl")
    return path


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("folder", FOLDERS)
def test_wheel_holds_the_data(source: Path, wheel: Path, folder: str) -> None:
    prefix = f"tinygen/_data/{folder}/"
    with zipfile.ZipFile(wheel) as archive:
        packed = {name.removeprefix(prefix) for name in archive.namelist() if name.startswith(prefix)}
        packed.discard("")
        assert packed == files_below(source / folder)
        for name in packed:
            assert archive.read(prefix + name) == (source / folder / name).read_bytes(), name
    assert packed


def test_wheel_holds_the_package_and_nothing_else(source: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    assert {name.split("/")[0].split("-")[0] for name in names} == {"tinygen"}
    modules = {name for name in names if name.startswith("tinygen/") and not name.startswith("tinygen/_data/")}
    assert modules == {f"tinygen/{name}" for name in files_below(source / "tinygen")}


def test_sdist_holds_everything_that_is_packed(source: Path, dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        packed = {member.name.split("/", 1)[1] for member in archive.getmembers() if member.isfile()}
    missing = {f"{folder}/{name}" for folder in (*FOLDERS, "tinygen") for name in files_below(source / folder)} - packed
    assert not missing
    assert set(SOURCES) - {"tinygen", *FOLDERS} <= packed


def test_installed_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Unpacked away from the checkout, the package imports from there and finds its data there."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import tinygen; print(tinygen.__version__, tinygen.__file__)\n"
        "from tinygen import resources\n"
        "print(resources.boards_dir())\n"
        "print(resources.templates_dir())\n"
    )
    site = tmp_path / "site"
    command = [sys.executable, "-I", "-c", program, str(site)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    version_and_file, boards, templates = done.stdout.splitlines()
    assert version_and_file.split()[1].startswith(str(site))
    assert Path(boards) == site / "tinygen/_data/boards"
    assert Path(templates) == site / "tinygen/_data/templates_c"
