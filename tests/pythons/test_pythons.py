"""The smoke test itself: which Pythons it finds, what it complains about, and (slow) that all of them pass."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.pythons import smoke
from tests.pythons.wheel import build_dist, copy_sources


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_finds_pythons_on_path_and_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too old ones, ones that do not run and other programs are left out; what is named comes first."""
    script(tmp_path / "bin/python3.9", "echo 3 9")
    script(tmp_path / "bin/python3.12", "echo 3 12")
    script(tmp_path / "bin/python3.13", "exit 1")
    script(tmp_path / "bin/python3.14-config", "echo 3 14")
    named = script(tmp_path / "opt/python", "echo 3 15")
    again = script(tmp_path / "opt/python3.12", "echo 3 12")
    monkeypatch.setattr(smoke.os, "get_exec_path", lambda: [str(tmp_path / "bin"), str(tmp_path / "none")])
    monkeypatch.setenv(smoke.VARIABLE, f"{named}:{again}")
    assert smoke.interpreters() == {"3.12": again, "3.15": named}


def test_a_named_python_that_does_not_run_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(smoke.VARIABLE, str(tmp_path / "python3.14"))
    with pytest.raises(smoke.Failed, match=r"TINYGEN_PYTHONS names .*python3\.14, which does not run"):
        smoke.interpreters()


def test_finds_the_python_that_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(smoke.VARIABLE, sys.executable)
    assert Path(sys.executable) in smoke.interpreters().values()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("echo fine; echo /x/site-packages/rich/a.py:3: DeprecationWarning: theirs >&2", None),
        ("echo /x/site-packages/tinygen/ops/a.py:3: DeprecationWarning: ours >&2", "warnings of Python's"),
        ("echo broken >&2; exit 3", "exit code 3"),
    ],
)
def test_fails_on_errors_and_on_our_own_warnings(tmp_path: Path, text: str, complaint: str | None) -> None:
    command = script(tmp_path / "command", text)
    if complaint is None:
        assert smoke._run([command], tmp_path) == "fine\n"
        return
    with pytest.raises(smoke.Failed, match=complaint):
        smoke._run([command], tmp_path)


def test_digest_sees_names_and_contents_but_not_builds(tmp_path: Path) -> None:
    (tmp_path / "out/lib").mkdir(parents=True)
    (tmp_path / "out/lib/a.c").write_text("1")
    first = smoke.digest(tmp_path / "out")
    for made in ("out/.pio/a.o", "out/platform/__pycache__/platform.cpython-314.pyc"):
        (tmp_path / made).parent.mkdir(parents=True)
        (tmp_path / made).write_text("2")
    assert smoke.digest(tmp_path / "out") == first
    (tmp_path / "out/lib/a.c").rename(tmp_path / "out/lib/b.c")
    assert smoke.digest(tmp_path / "out") != first


@pytest.mark.slow
def test_the_wheel_on_every_python(tmp_path: Path) -> None:
    """`make pythons`: each makes the same bytes. Needs PyPI."""
    wheel = build_dist(copy_sources(tmp_path / "source"), tmp_path / "dist")
    results = [smoke.smoke(python, wheel, tmp_path / version) for version, python in smoke.interpreters().items()]
    assert results
    assert len({r.built for r in results}) == 1, results
