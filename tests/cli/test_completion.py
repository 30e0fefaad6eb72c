"""Completion: what each shell is told, by its own protocol, and bash itself asked what it would type."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import ROOT, ok
from tests.cli.test_startup import HEAVY, imported

SHELLS = ("bash", "zsh", "fish")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Models, data and recipes, and files that are neither."""
    for name in ("net.onnx", "my net.onnx", "notes.txt", "calib.npz", "small.toml", "models/a.onnx", "models/b.onnx",
                 "deep/er/only.onnx", "empty/readme.md", ".hidden/x.onnx"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def offered(line: str, cwd: Path, shell: str = "zsh") -> list[tuple[str, str]]:
    """(type, value) of what is offered for the last word of `line`, which may be empty."""
    words = line.split(" ")
    incomplete = words[-1] if shell == "fish" else str(len(words) - 1)
    env = {"_TINYGEN_COMPLETE": f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": incomplete}
    said = ok(cwd=cwd, **env).out.rstrip("\n").split("\n")
    if shell == "zsh":  # type, value, help
        return list(zip(said[::3], said[1::3], strict=True))
    rows = [row.split("\t")[0].split(",", 1) for row in said if row]
    return [(kind, value) for kind, value in rows]


def values(line: str, cwd: Path, shell: str = "zsh") -> list[str]:
    found = offered(line, cwd, shell)
    assert {kind for kind, _ in found} == {"plain"}
    return [value for _, value in found]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_completes_commands_options_and_boards(shell: str, place: Path) -> None:
    assert values("tinygen bo", place, shell) == ["boards"]
    assert "--board" in values("tinygen build --bo", place, shell)
    boards = values("tinygen build net.onnx --board nucleo_f4", place, shell)
    assert boards == sorted(p.stem for p in (ROOT / "boards").glob("nucleo_f4*.json"))
    assert values("tinygen build net.onnx --optimize s", place, shell) == ["speed", "size"]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script(shell: str, tmp_path: Path) -> None:
    script = ok(cwd=tmp_path, _TINYGEN_COMPLETE=f"{shell}_source").out
    assert f"{shell}_complete" in script
    assert "_TINYGEN_COMPLETE" in script


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tinygen build n", ["net.onnx"]),
        ("tinygen build m", ["models/", "my net.onnx"]),
        ("tinygen build mo", ["models/a.onnx", "models/b.onnx"]),
        ("tinygen inspect de", ["deep/er/only.onnx"]),
        ("tinygen build net.onnx --data c", ["calib.npz"]),
        ("tinygen eval net.onnx --data ca", ["calib.npz"]),
        ("tinygen compress net.onnx --recipe s", ["small.toml"]),
        ("tinygen quantize ", ["deep/", "empty/", "models/", "my net.onnx", "net.onnx"]),
        ("tinygen build ./mo", ["./models/a.onnx", "./models/b.onnx"]),
        ("tinygen build .h", [".hidden/x.onnx"]),
    ],
)
def test_files_are_of_the_kind_that_is_wanted(line: str, expected: list[str], place: Path) -> None:
    assert values(line, place) == expected


def test_home_is_understood(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place))
    assert values("tinygen build ~/mo", place) == ["~/models/a.onnx", "~/models/b.onnx"]


def test_the_shell_offers_what_there_is_where_nothing_fits(place: Path) -> None:
    assert offered("tinygen build no", place) == [("file", "no")]
    assert offered("tinygen build missing/x", place) == [("file", "missing/x")]
    assert offered("tinygen verify m", place) == [("dir", "m")]
    assert offered("tinygen build net.onnx --output m", place) == [("file", "m")]


@pytest.mark.parametrize("words", ["tinygen build --board n", "tinygen eval n", "tinygen quantize net.onnx --data c"])
def test_completion_is_quick(words: str, place: Path) -> None:
    env = {"_TINYGEN_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    out, modules = imported(cwd=place, **env)
    assert out.strip()
    assert modules & HEAVY == set()


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("tinygen ver", ["verify"]),
        ("tinygen build --board=nucleo_g43", ["nucleo_g431rb"]),
        ("tinygen build --board nucleo_g43", ["nucleo_g431rb"]),
        ("tinygen build my", [r"my\ net.onnx"]),
        (r"tinygen build my\ n", [r"my\ net.onnx"]),
        ("tinygen build mo", ["models/a.onnx", "models/b.onnx"]),
    ],
)
def test_bash_types_it(line: str, typed: list[str], place: Path) -> None:
    """The script that a user sources, with the variables that bash sets for it (bash splits words at = too)."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not on PATH")
    program = place / "bin" / "tinygen"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tinygen "$@"\n')
    program.chmod(0o755)
    words = re.split(r"(?<!\\) ", line.replace("=", " = "))  # as bash does: a quoted space parts nothing
    script = f"""
        export PATH={place}/bin:$PATH
        eval "$(_TINYGEN_COMPLETE=bash_source tinygen)"
        COMP_WORDS=({" ".join(map(shlex.quote, words))})
        COMP_CWORD={len(words) - 1}
        _tinygen_completion tinygen
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run([bash, "--norc", "-c", script], cwd=place, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == typed
