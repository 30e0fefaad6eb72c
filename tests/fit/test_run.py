"""`tinygen fit` as a whole: what it writes, that its points come again from their recipes, and a budget too small."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.support import tinygen
from tests.report.schemas import read
from tinygen.compress.recipe import read_recipe
from tinygen.flow.compress import compressed_file
from tinygen.flow.source import load_source

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
DATA = ("--data", DIGITS / "digits_calib.npz", "--test", DIGITS / "digits_test.npz")


def test_fit_writes_points_that_come_again(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    for tool in ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    command = (
        "fit", DIGITS / "digits.onnx", "--board", "nucleo_f446re", *DATA, "--flash", "12K", "--ram", "3K", "--ms", "2",
        "--min-accuracy", "0.8", "--trials", "4", "--epochs", "0",
        "--points", "1", "--techniques", "prune,cluster",
        "-o", "fitted",
    )  # fmt: skip
    said = tinygen(*command, "--json", cwd=tmp_path)
    assert said.code == 0, said.err
    assert "trial 4 of 4" in said.err
    (board,) = said.json["boards"]
    assert board["met"]
    assert len(board["points"]) == 1
    source = load_source(DIGITS / "digits.onnx", DIGITS / "digits_calib.npz", seed=0, input_shapes={})
    for point in board["points"]:
        folder = tmp_path / "fitted" / point["folder"]
        assert point["verified"] == ["native", "cortex-m4"]
        assert 0.9 < point["measured"]["flash"] / point["predicted"]["flash"] < 1.1
        assert point["measured"]["cycles"] > 10_000
        assert point["measured"]["flash"] <= 12 * 1024
        content, _ = compressed_file(source, read_recipe(folder / "recipe.toml"))
        assert content == (folder / "small.onnx").read_bytes()
        profiled = tinygen("profile", folder / "build", "--json", cwd=tmp_path)  # a build like any other
        assert profiled.json["total"]["flash_waits"]["cycles"] == point["measured"]["cycles"]
    page = (tmp_path / "fitted" / "report.html").read_text()
    assert read((tmp_path / "fitted" / "report.json").read_text()) == said.json
    assert page.count("<svg viewBox") >= 3
    assert not re.search(r"(src|href)=\"(?!#)|https?:|<script|url\(", page)
    for point in board["points"]:
        assert f'href="#point-{point["name"].replace("_", "-")}"' in page
        assert point["commands"][0].replace("&", "&amp;") in page

    again = tinygen(*command, cwd=tmp_path)
    assert again.code == 6
    assert "--resume" in again.err
    resumed = tinygen(*command, "--resume", "--json", cwd=tmp_path)
    assert resumed.code == 0, resumed.err
    assert resumed.json["boards"] == said.json["boards"]


def test_a_budget_that_nothing_meets(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    for tool in ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    said = tinygen(
        "fit", DIGITS / "digits.onnx", "--board", "nucleo_l053r8", *DATA, "--ms", "1", "--trials", "2", "--epochs", "0",
        "--techniques", "cluster", "--points", "1", "--optimize", "speed", "-o", "fitted", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert said.code == 4, said.err
    text = " ".join(said.err.split())
    assert "no network within the budget was found for nucleo_l053r8" in text
    assert re.search(r"time: [\d.]+ ms, [\d.]+ above 1; most is in \"/\S+/Conv\", \d+ %", text)
    assert said.json["boards"][0]["met"] is False
    assert said.json["error"]["exit_code"] == 4
    assert (tmp_path / "fitted" / "report.html").is_file()


@pytest.mark.parametrize("missing", ["torch", "optuna"])
def test_without_an_extra(tmp_path: Path, missing: str) -> None:
    """A package that hides the real one."""
    (tmp_path / "hidden" / missing).mkdir(parents=True)
    (tmp_path / "hidden" / missing / "__init__.py").write_text(
        f"raise ModuleNotFoundError(\"No module named '{missing}'\", name='{missing}')\n"
    )
    root = Path(__file__).resolve().parents[2]
    path = f"{tmp_path / 'hidden'}:{root}"
    plain = ("compress", DIGITS / "digits.onnx", *DATA[:2], "-o", "small.onnx", "--cluster", "8")
    if missing == "optuna":
        said = tinygen("fit", *plain[1:4], "--board", "nucleo_f446re", "-o", "fitted", cwd=tmp_path, PYTHONPATH=path)
        assert said.code == 5
        assert not (tmp_path / "fitted.search").exists()
    else:
        said = tinygen(*plain, "--epochs", "1", cwd=tmp_path, PYTHONPATH=path)
        assert said.code == 5
        assert not (tmp_path / "small.onnx").exists()
    assert "pip install" in said.err
    assert "tinygen[train]" in said.err
    done = tinygen(*plain, "--json", cwd=tmp_path, PYTHONPATH=path)
    assert done.code == 0, done.err
    assert done.json["after"]["quality"] > 0.5
