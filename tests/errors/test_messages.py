"""Errors as programs and people read them: JSON, exit codes, near misses, tables that fit a screen."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest

from tests.errors import models as m
from tests.errors.cases import DATA, MODEL, SCREEN_LINES, TARGET, USAGE, Place, make_place, run
from tests.errors.words import gaps
from tests.report.schemas import valid
from tinygen import errors
from tinygen.errors import Problem, TinygenError, UnsupportedError, did_you_mean

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return make_place(tmp_path, monkeypatch)


def _many(nodes: int, kinds: int = 1) -> UnsupportedError:
    return UnsupportedError(
        "net.onnx: many", [Problem(f"node_{i}", f"Op{i % kinds}", "is unknown", "Cut it out.") for i in range(nodes)]
    )


# JSON -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code", "kind", "said"),
    [
        (["build", "no.onnx", "--board", "nucleo_f446re", "--json"], MODEL, "model", "no such file"),
        (["build", "net.onnx", "--board", "nucleo_f447re", "--json"], TARGET, "target", "nucleo_f446re"),
        (["build", "net.onnx", "--json"], USAGE, "usage", "--board"),
        (["inspect", "net.onnx", "--json", "--calibration", "msee"], USAGE, "usage", "Did you mean mse?"),
        (["eval", "net.onnx", "--data", "no.npz", "--json"], DATA, "data", "no.npz"),
        (["eval", "net.onnx", "--data", "no.npz", "--limit", "x", "--json"], USAGE, "usage", "--limit"),
        (["profile", "nowhere", "--json"], None, None, "nowhere"),
        (["verify", "nowhere", "--json"], None, None, "nowhere"),
    ],
)
def test_errors_as_json(command: list[str], code: int | None, kind: str | None, said: str, place: Place) -> None:
    place.model()
    result = run(command)
    error = valid("error", json.loads(result.stdout))["error"]
    assert set(error) == {"kind", "exit_code", "message", "rows"}
    assert result.code == error["exit_code"] != 0
    assert code in (None, result.code)
    assert kind in (None, error["kind"])
    assert said in error["message"]
    assert result.stderr, "people read it as before"


@pytest.mark.parametrize("command", ["build", "inspect"])
def test_problems_as_json(command: str, place: Place) -> None:
    model = m.model(
        [m.node("LRN", ["x"], ["a"], "/norm", size=3), m.node("Convv", ["a"], ["y"], "/strange")],
        [m.port("x", (1, 8, "length", 2)), m.port("n", (1,), 7)],
        [m.port("y", None)],
        opset=5,
    )
    model.graph.node[1].input.append("n")
    options = ["--board", "nucleo_f446re"] if command == "build" else []
    result = run([command, str(place.model(model)), "--json", *options])
    rows = valid("error", json.loads(result.stdout))["error"]["rows"]
    assert result.code == MODEL
    assert [r["where"] for r in rows] == ["the file", 'input "x"', 'input "n"', "/norm", "/strange"]
    assert [set(r) for r in rows] == [{"where", "operator", "what", "help"}] * 5
    assert "Did you mean Conv" in rows[-1]["help"]


# Exit codes -----------------------------------------------------------------------------------------------------------


def test_the_readme_has_every_exit_code() -> None:
    kinds = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, TinygenError)]
    codes = {c.exit_code for c in kinds} - {TinygenError.exit_code}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE)
    table = {int(code) for row in rows for code in row.split(",") if code.strip()}
    assert codes | {0, 64, 70, 130, 143} <= table


def test_kinds_are_words() -> None:
    for _, c in inspect.getmembers(errors, inspect.isclass):
        if issubclass(c, TinygenError) and c is not UnsupportedError:
            assert re.fullmatch("[a-z]+(_[a-z]+)*", c("x").kind)


# Near misses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "near"),
    [
        (["biuld", "net.onnx"], "build"),
        (["build", "net.onnx", "--bord", "x"], "--board"),
        (["build", "net.onnx", "--board", "Nucleo_F446RE"], "Did you mean nucleo_f446re?"),
        (["build", "net.onnx", "--board", "nucleo_f446re", "--calibration", "entropi"], "Did you mean entropy?"),
        (["build", "net.onnx", "--board", "nucleo_f446re", "--optimize", "sise"], "Did you mean size?"),
        (["build", "net.onnx", "--board", "nucleo_f446re", "--activations", "/fc/Gem"], "/fc/Gemm"),
        (["build", "net.onnx", "--board", "nucleo_f446re", "--input-shape", "X=1,8"], "Did you mean x?"),
        (["quantize", "net.onnx", "--data", "x.npz", "-o", "q.onnx", "--repair", "equalize"], "Did you mean equalise?"),
    ],
)
def test_misspelt(command: list[str], near: str, place: Place) -> None:
    place.model()
    result = run(command)
    assert result.code in (USAGE, TARGET, MODEL)
    assert near in result.text


def test_did_you_mean() -> None:
    assert did_you_mean("Conv2d", ["Conv", "ConvTranspose", "Gemm"]) == " Did you mean Conv?"
    assert did_you_mean("zzz", ["Conv"]) == ""
    assert did_you_mean("x" * 10**6, ["Conv"] * 1000) == ""


# Tables ---------------------------------------------------------------------------------------------------------------


def test_equal_problems_share_a_row() -> None:
    e = _many(40)
    assert [r.where for r in e.rows] == ["node_0, node_1, node_2 and 37 more"]
    assert len(e.problems) == 40


def _lines(e: UnsupportedError) -> int:
    return sum(max(1, -(-len(line) // 80)) for line in str(e).splitlines())


def test_a_table_fits_the_screen() -> None:
    e = _many(300, kinds=100)
    assert SCREEN_LINES - 2 <= _lines(e) <= SCREEN_LINES
    assert f"... and {100 - len(e.rows)} more (Op{len(e.rows)}, Op{len(e.rows) + 1}, " in str(e)
    assert str(e).endswith("; `problems` has all.")


def test_long_names_and_long_help() -> None:
    rows = [Problem("/layer" * 10**4, f"Op{i}", "is unknown " * 9, "Cut it out. " * 9) for i in range(50)]
    assert _lines(UnsupportedError("net.onnx: long", rows)) <= SCREEN_LINES


def test_no_cell_is_empty() -> None:
    e = UnsupportedError("net.onnx: one", [Problem("n", "Op", "is unknown", "")])
    assert not any(gaps(cell) for row in e.rows for cell in row)


def test_gaps_are_found() -> None:
    assert all(map(gaps, ("a cast of float32 to ", "a cast of float32 to", "", "Swish : cannot load", "inputs are: .")))
    assert not gaps("a cast of float32 to uint8")
