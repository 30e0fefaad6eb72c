"""Sizes and times as users write them, budgets that cannot be, and what stands in the way of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinygen.errors import RecipeError
from tinygen.fit.budget import Budget, Limits, blame, check_limits, parse_seconds, parse_size
from tinygen.flow.compress import plain
from tinygen.flow.cost import cost
from tinygen.flow.source import load_source
from tinygen.targets.board import load_board

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("65536", 65536),
        ("64K", 65536),
        ("64k", 65536),
        ("64KiB", 65536),
        ("1.5M", 1572864),
        ("12 kB", 12288),
        ("9B", 9),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size("--flash", text) == size


@pytest.mark.parametrize("text", ["", "K", "64G", "-1", "0", "64 K B", "1e3", "sixty"])
def test_wrong_sizes(text: str) -> None:
    with pytest.raises(RecipeError, match=f'--flash: found "{text}", allowed'):
        parse_size("--flash", text)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400)])
def test_times(text: str, seconds: float) -> None:
    assert parse_seconds("--time", text) == seconds


@pytest.mark.parametrize("text", ["", "0", "m", "1d", "-3s"])
def test_wrong_times(text: str) -> None:
    with pytest.raises(RecipeError, match="--time"):
        parse_seconds("--time", text)


def test_excess_is_a_share_of_the_budget() -> None:
    b = Budget(1000, 500, 2.0, 0.8)
    over = b.excess(0.6, 1500, 250, 2.0)
    assert over == pytest.approx({"flash": 0.5, "ram": -0.5, "ms": 0.0, "accuracy": 0.25})
    assert b.excess(0.9, 1, 1, None).keys() == {"flash", "ram", "accuracy"}


def test_a_board_cannot_have_more_than_it_has() -> None:
    board = load_board("nucleo_f030r8")
    assert Limits(flash=10**9, ram=10**9).on(board) == Budget(board.flash_bytes, board.ram_bytes)
    assert Limits(1000, 600, 3.0, 0.5).on(board) == Budget(1000, 600, 3.0, 0.5)


@pytest.mark.parametrize(
    ("limits", "board", "said"),
    [
        (Limits(flash=500), "nucleo_f446re", "--flash on nucleo_f446re: found 500 bytes.*take 895"),
        (Limits(ram=100), "nucleo_f446re", r"--ram on nucleo_f446re: found 100 bytes; input and output \(74 bytes\)"),
        (Limits(quality=1.5), "nucleo_f446re", "`quality`: found 1.5, allowed"),
        (Limits(quality=0.0), "nucleo_f446re", "`quality`: found 0, allowed"),
        (Limits(milliseconds=0.0), "nucleo_f446re", "`milliseconds`: found 0, allowed"),
        (
            Limits(milliseconds=5.0),
            "nucleo_h743zi",
            "`milliseconds` on nucleo_h743zi: its core cortex-m7 has no cycle model",
        ),
        (Limits(), "native", "`boards` native: found this computer"),
    ],
)
def test_budgets_that_cannot_be(limits: Limits, board: str, said: str) -> None:
    source = load_source(DIGITS / "digits.onnx", DIGITS / "digits_calib.npz", seed=0, input_shapes={})
    with pytest.raises(RecipeError, match=said):
        check_limits(limits, {board: load_board(board)}, source)


def test_blame_names_budget_amount_and_layer() -> None:
    source = load_source(DIGITS / "digits.onnx", DIGITS / "digits_calib.npz", seed=0, input_shapes={})
    found = cost(plain(source), load_board("nucleo_f446re"), "size")
    assert found.milliseconds is not None
    budget = Budget(found.flash - 7, found.ram - 9, found.milliseconds / 2)
    said = blame(found, budget, budget.excess(1.0, found.flash, found.ram, found.milliseconds))
    assert [text.partition(":")[0] for text in said] == ["flash", "RAM", "time"]
    assert ", 7 above" in said[0]
    assert '"/pointwise2/pointwise2.0/Conv"' in said[0]  # half of all weights
    assert ", 9 above" in said[1]
    assert '"/stem/stem.0/Conv"' in said[1] or '"/pointwise1/pointwise1.0/Conv"' in said[1]
    assert blame(found, Budget(10**6, 10**6), {}) == []
