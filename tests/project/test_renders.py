"""The commands of a project are one call of the API and a renderer: with another API they show what that says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import tinygen
from tinygen.api.result import Result
from tinygen.cli.app import cli
from tinygen.report.table import Table, columns


class Canned(Result):
    """Answers of a project, and a project."""

    summary, builds = "a summary of it", {"a/b": None}
    path, lock, output = Path("p/tinygen.toml"), Path("p/tinygen.lock"), Path("p/build")

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def tables(self) -> tuple[Table, ...]:
        return (Table("what it says", columns("a"), (("one",),)),)

    def to_dict(self) -> dict[str, Any]:
        return {"schema": 1, "it": "says"}

    def ask(self, what: str, /, *arguments: Any, **more: Any) -> Canned:
        wanted = {k: v for k, v in more.items() if v and k not in ("progress", "watch")}
        self.asked.append((what, *arguments, wanted))
        return self

    def open(self, *arguments: Any) -> Canned:
        return self.ask("open", *arguments)

    def build(self, *arguments: Any, **more: Any) -> Canned:
        return self.ask("build", *arguments, **more)

    def check(self, *arguments: Any, **more: Any) -> Canned:
        return self.ask("check", *arguments, **more) if arguments else self

    def save_junit(self, path: Path) -> None:
        self.ask("junit", path)

    def save_page(self, path: Path) -> None:
        self.ask("page", path)

    def new(self, *arguments: Any, **more: Any) -> Canned:
        return self.ask("new", *arguments, **more)

    def diff(self, *arguments: Any, **more: Any) -> Canned:
        return self.ask("diff", *arguments, **more)


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> Canned:
    found = Canned()
    for name, answer in (("open_project", found.open), ("new_project", found.new), ("diff", found.diff)):
        monkeypatch.setattr(tinygen, name, answer, raising=False)
    return found


A, B, P = Path("a"), Path("b"), Path("p.toml")


@pytest.mark.parametrize(
    ("command", "asked", "said"),
    [
        (["build"], [("open", None, {}), ("build", (), {})], "Wrote p/build/: 1 folders"),
        (
            ["build", "--project", "p.toml", "--only", "a/b", "--force"],
            [("open", P, {}), ("build", ("a/b",), {"force": True})],
            "what it says",
        ),
        (
            ["check", "--strict", "--junit", "j.xml"],
            [("open", None, {}), ("check", (), {"strict": True}), ("junit", Path("j.xml"), {})],
            "a summary of it",
        ),
        (["check", "--renew"], [("open", None, {}), ("check", (), {"renew": True})], "Wrote p/tinygen.lock: read"),
        (
            ["diff", "a", "b", "--html", "d.html"],
            [("diff", A, B, {"count": True}), ("page", Path("d.html"), {})],
            "one",
        ),
    ],
)
def test_a_command_asks_and_shows(command: list[str], asked: list[Any], said: str, canned: Canned) -> None:
    shown = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert canned.asked == asked
    assert said in shown.stdout
    assert "what it says" in shown.stdout
    document = json.loads(CliRunner().invoke(cli, [*command, "--json"], catch_exceptions=False).stdout)
    assert document["it"] == "says"


def test_new(canned: Canned) -> None:
    shown = CliRunner().invoke(cli, ["new", "m.onnx", "--board", "pico", "--data", "d.npz"], catch_exceptions=False)
    ((name, model, folder, boards, more),) = canned.asked
    assert (name, model, folder, boards, more) == ("new", Path("m.onnx"), None, ("pico",), {"data": Path("d.npz")})
    assert "edit p/tinygen.toml" in shown.stdout
