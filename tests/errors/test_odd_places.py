"""Odd places to work in: names, links, disks, streams and environments as some users have them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.errors.cases import OUTPUT, TOOL, USAGE, Command, Place, contents, make_place, run
from tests.errors.test_no_harm import ROOT
from tinygen.emit.swap import JOURNAL
from tinygen.files import STAGING, write_file

MAIN = "from tinygen.cli import main; main()"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.delenv("CC", raising=False)
    return make_place(tmp_path, monkeypatch)


def shell(place: Place, command: Command, redirections: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The command by a shell, in its folder, with redirections."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"$@" {redirections}', "bash", sys.executable, "-c", MAIN, *command],
        cwd=place.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "name", ["with space/größe ネット", "-", "d" * 255, "new\nline\x1b[31m", "out/", "out//.//x/", "$HOME"]
)
def test_names_of_folders(place: Place, name: str) -> None:
    for _ in range(2):
        result = run(place.build(place.model(), "--output", f"{place.folder}/{name}"))
        assert result.code == 0, result.text
        assert "\x1b" not in result.stdout
    assert (place.folder / name / "MANIFEST.json").is_file()


def test_a_name_that_is_no_text(place: Place) -> None:
    name = os.fsdecode(b"\xff\xfe")
    result = run(place.build(place.model(), "--output", name))
    assert result.code == 0, result.text
    assert "Wrote ??/" in result.text
    assert (place.folder / name / "MANIFEST.json").is_file()


def test_output_is_where_the_model_is(place: Place) -> None:
    model = place.model(name="m/net.onnx")
    result = run(place.build(model, "--output", place.folder / "m"))
    assert result.code == OUTPUT
    assert "the first being net.onnx" in result.text


def test_an_output_inside_another(place: Place) -> None:
    place.built()
    assert run(place.build(place.model(), "--output", place.out / "sub")).code == 0
    result = run(place.build(place.model()))
    assert result.code == OUTPUT
    assert "did not make: sub/" in result.text


def test_a_link_in_the_way(place: Place) -> None:
    (place.folder / "link").symlink_to("link")
    result = run(place.build(place.model(), "--output", place.folder / "link" / "out"))
    assert result.code == OUTPUT
    assert f"{place.folder}/link is a symbolic link that leads nowhere" in result.text


def test_a_huge_folder_of_others_is_not_read_to_its_end(place: Place) -> None:
    for i in range(40):
        (place.folder / "big" / str(i)).mkdir(parents=True)
        for j in range(40):
            (place.folder / "big" / str(i) / str(j)).touch()
    result = run(place.build(place.model(), "--output", place.folder / "big"))
    assert result.code == OUTPUT
    assert "holds 1000 files or more" in result.text


def test_a_folder_that_is_gone(place: Place) -> None:
    (place.folder / "gone").mkdir()
    place.patch.chdir(place.folder / "gone")
    (place.folder / "gone").rmdir()
    result = run(place.build(place.model(), "--output", "out"))
    assert result.code == OUTPUT
    assert run(place.build(place.model())).code == 0


# -- what the streams are --------------------------------------------------------------------------------------------


def test_nobody_reads_on(place: Place) -> None:
    """`| head -1`"""
    for command in (["boards"], ["ops", "--markdown"], place.build(place.model(), "--json")):
        done = shell(place, command, "| head -1")
        assert done.stdout.count("\n") == 1
        assert "Traceback" not in done.stderr
        assert "Broken" not in done.stderr
        assert "fault" not in done.stderr


@pytest.mark.parametrize("more", [["boards"], ["boards", "--json"]])
def test_standard_output_is_full(place: Place, more: list[str]) -> None:
    done = shell(place, more, "> /dev/full")
    assert done.returncode == OUTPUT
    assert done.stderr == "error: cannot write to standard output: No space left on device. Make room where it goes.\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(place: Place, closed: str) -> None:
    """Closed ones must not become files of ours, into which libraries print."""
    done = shell(place, place.build(place.model()), closed)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert run(["profile", str(place.folder / "no")]).code == OUTPUT
    before = contents(place.out)
    assert run(place.build(place.model())).code == 0
    assert contents(place.out) == before
    assert shell(place, place.build("no.onnx"), closed).returncode == 2


@pytest.mark.parametrize(
    "env", [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}, {"NO_COLOR": "1"},
            {"TERM": "dumb", "COLUMNS": "1"}, {"FORCE_COLOR": "1"}, {"TMPDIR": "/no/such/folder"}],
    ids=lambda e: " ".join(e),
)  # fmt: skip
def test_environments(place: Place, env: dict[str, str]) -> None:
    done = shell(place, place.build(place.model(name="größe.onnx")), "", **env)
    assert done.returncode == 0, done.stderr
    assert (place.out / "MANIFEST.json").is_file()


def test_almost_no_environment(place: Place) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *place.build(place.model())], cwd=ROOT, env={}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_no_home(place: Place, require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    place.built()
    place.patch.delenv("HOME")
    place.patch.setattr("pwd.getpwuid", _nobody)
    result = run(["profile", str(place.out)])
    assert result.code == TOOL
    assert "Set XDG_CACHE_HOME" in result.text


def _nobody(number: int) -> None:
    raise KeyError(number)


# -- disks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a disk of its own with options, or anew with others."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        again = "remount," if os.path.ismount(place) else ""
        command = ["mount", "-t", "tmpfs", "-o", again + options, "none", place]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a disk cannot be mounted here")
        return place

    yield mount
    subprocess.run(["umount", place], check=False, capture_output=True)


def test_a_disk_that_can_only_be_read(place: Place, disk: Callable[[str], Path]) -> None:
    root = disk("size=4m")
    assert run(place.build(place.model(), "--output", root / "out")).code == 0
    (root / "out" / f"{STAGING}dead").mkdir()
    disk("ro")
    before = contents(root)
    for output in ("out", "new"):
        result = run(place.build(place.model(), "--output", root / output))
        assert result.code == OUTPUT
        assert "no permission to write" in result.text
    result = run(["verify", str(root / "out")])
    assert result.code == TOOL
    assert "where PlatformIO builds" in result.text
    assert contents(root) == before
    disk("rw")
    (root / "out" / f"{STAGING}dead" / JOURNAL).write_text('{"generator": "tinygen", "moves": []}')
    disk("ro")
    result = run(["verify", str(root / "out")])
    assert result.code == OUTPUT
    assert "Read-only file system. Make the folder writable" in result.text
    disk("rw")
    assert run(place.build(place.model(), "--output", root / "out")).code == 0
    assert not list((root / "out").glob(f"{STAGING}*"))


def test_no_room_to_compile(place: Place, disk: Callable[[str], Path], require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    place.patch.setattr("tempfile.tempdir", str(disk("size=100k")))
    result = run(place.build(place.model(), verify="board", board="native"))
    assert result.code == TOOL
    assert "set TMPDIR to another folder" in result.text
    assert not place.out.exists()
    assert not list((place.folder / "disk").iterdir())


# -- single files ----------------------------------------------------------------------------------------------------


def test_a_single_file(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o600)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / f"{STAGING}0123456789abcdef").write_text("left by the dead")
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o600
    write_file(tmp_path / "made" / "deep" / "file", b"x")
    write_file(Path("/dev/null"), b"x")
    assert Path("/dev/null").is_char_device()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "made", "real"]


def test_a_time_limit_that_is_none(place: Place) -> None:
    for value in ("0", "-1", "nan", "inf", "soon"):
        assert run(place.build(place.model(), "--tool-timeout", value)).code == USAGE
    place.patch.setenv("TINYGEN_TOOL_TIMEOUT", "soon")
    result = run(place.build(place.model()))
    assert result.code == USAGE
    assert "TINYGEN_TOOL_TIMEOUT" in result.text
    place.patch.setenv("TINYGEN_TOOL_TIMEOUT", "0.001")
    result = run(place.build(place.model(), verify="board", board="native"))
    assert result.code == TOOL
    assert "did not end within 0.001 s (compiling" in result.text
