"""Every command is one call of the API and one renderer: with another API in its place it shows what that says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import tinygen
from tinygen.api.result import Result
from tinygen.cli.app import cli
from tinygen.cli.lazy import COMMANDS
from tinygen.report.table import Table, columns


class Canned(Result):
    """An answer that nothing was computed for; it knows how it was come by."""

    ok = True
    name, files, folder, changes, accuracy_unknown = "canned", {}, None, None, False
    onnx = b"file"

    def __init__(self, asked: list[tuple[Any, ...]]) -> None:
        self.asked = asked

    @property
    def notes(self) -> tuple[str, ...]:
        return ("a note of it",)

    def tables(self) -> tuple[Table, ...]:
        return (Table("what it says", columns("a", "b"), (("one", "two"),)),)

    def layer_tables(self) -> tuple[Table, ...]:
        return (Table("its layers", columns("c"), (("three",),)),)

    def to_dict(self) -> dict[str, Any]:
        return {"schema": 1, "it": "says", "notes": list(self.notes)}

    def check(self, gates: object = None) -> list[str]:
        return []

    def to_onnx(self) -> bytes:
        return self.onnx

    @property
    def repairs(self) -> Canned:
        return self

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **more: Any) -> Canned:
            self.asked.append(
                (name, *arguments, {k: v for k, v in more.items() if k not in ("progress", "watch", "tell")})
            )
            return self

        if name.startswith("_"):
            raise AttributeError(name)
        return call


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Any, ...]]:
    """What was asked of the API, which is another one."""
    calls: list[tuple[Any, ...]] = []
    canned = Canned(calls)

    def entry(name: str) -> Any:
        def call(*arguments: Any, **more: Any) -> Canned:
            calls.append((name, *arguments, {k: v for k, v in more.items() if v}))
            return canned

        return call

    for name in ("load", "open_build"):
        monkeypatch.setattr(tinygen, name, entry(name), raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "built").mkdir()
    return calls


#: Arguments, what is asked of which entry, and of what it gives.
ASKED = {
    "inspect": (["m.onnx", "--board", "due"], "load", "inspect"),
    "build": (["m.onnx", "--board", "due", "--data", "d.npz", "-o", "out"], "load", "build"),
    "eval": (["m.onnx", "--data", "d.npz"], "load", "evaluate"),
    "eval folder": (["built", "--data", "d.npz"], "open_build", "evaluate"),
    "quantize": (["m.onnx", "--data", "d.npz", "-o", "q.onnx"], "load", "quantize"),
    "compress": (["m.onnx", "--data", "d.npz", "--prune", "0.5", "-o", "s.onnx"], "load", "compress"),
    "fit": (["m.onnx", "--board", "due", "--data", "d.npz", "-o", "fitted"], "load", "fit"),
    "verify": (["built"], "open_build", "verify"),
    "profile": (["built"], "open_build", "profile"),
}


@pytest.mark.parametrize("command", ASKED)
def test_a_command_asks_once_and_shows(command: str, asked: list[tuple[Any, ...]]) -> None:
    arguments, entry, method = ASKED[command]
    name = command.split()[0]
    said = CliRunner().invoke(cli, [name, *arguments], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    assert [call[0] for call in asked if call[0] not in ("save", "save_recipe")] == [entry, method]
    assert "what it says" in said.stdout
    assert "two" in said.stdout
    assert "note: a note of it" in said.stderr
    asked.clear()
    said = CliRunner().invoke(cli, [name, *arguments, "--json"], catch_exceptions=False)
    document = json.loads(said.stdout)
    assert document["it"] == "says"
    assert [call[0] for call in asked if call[0] not in ("save", "save_recipe")] == [entry, method]


def test_lists_show_what_the_api_has(monkeypatch: pytest.MonkeyPatch) -> None:
    only = tuple(b for b in tinygen.boards() if b.id == "due")
    monkeypatch.setattr(tinygen, "boards", lambda: only)
    first = tinygen.operators()[:1]
    monkeypatch.setattr(tinygen, "operators", lambda: first)
    said = json.loads(CliRunner().invoke(cli, ["boards", "--json"]).stdout)
    assert [b["id"] for b in said["boards"]] == ["due"]
    assert CliRunner().invoke(cli, ["ops", "--markdown"]).stdout.count("\n") == 3


def test_every_command_is_looked_at() -> None:
    """A new command belongs into ASKED, or is one of those of projects, which tests/project looks at."""
    here = {c.split()[0] for c in ASKED} | {"boards", "ops"}
    assert set(COMMANDS) - here <= {"check", "diff", "new", "pio"}
