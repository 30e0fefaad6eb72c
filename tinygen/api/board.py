"""Boards by name; what operators are taken."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tinygen.errors import RecipeError, TargetError
from tinygen.targets.board import Board, all_boards, load_board, with_code_in_ram
from tinygen.units import seconds

if TYPE_CHECKING:
    from tinygen.frontend.registry import SupportedOp


def board_of(board: str | Board, *, zero_wait: bool = False, code_in_ram: int = 0) -> Board:
    """The board of that id; TargetError names those that are near. `zero_wait`: with memory that never waits;
    `code_in_ram`: bytes of RAM that kernels and constants may take."""
    if not isinstance(board, (str, Board)):
        raise TargetError(f"board: found {type(board).__name__}, allowed is the id of a board or one of boards().")
    found = load_board(board) if isinstance(board, str) else board
    return with_code_in_ram(replace(found, zero_wait=True) if zero_wait else found, code_in_ram)


def period(every: float | str | None) -> float | None:
    """Seconds from one inference to the next; RecipeError for what is no time above 0."""
    found = seconds(every) if isinstance(every, str) else every
    if every is None or (isinstance(found, int | float) and 0.0 < found < float("inf")):
        return None if found is None else float(found)
    raise RecipeError(
        f'`every`: found {every!r}, allowed is a time from one inference to the next: "100ms", "2s", "5m".'
    )


def boards() -> tuple[Board, ...]:
    """Every board that tinygen knows.

    >>> [b.id for b in tinygen.boards() if b.core.name == "cortex-m55"]
    []
    """
    return all_boards()


def operators() -> tuple[SupportedOp, ...]:
    """The ONNX operators that tinygen takes, with their limits."""
    from tinygen.frontend.registry import supported_ops  # only now: boards need no ONNX

    return tuple(supported_ops())
