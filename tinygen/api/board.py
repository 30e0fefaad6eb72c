"""Boards by name; what operators are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygen.targets.board import Board, all_boards, load_board

if TYPE_CHECKING:
    from tinygen.frontend.registry import SupportedOp


def board_of(board: str | Board) -> Board:
    """The board of that id; TargetError names those that are near."""
    return board if isinstance(board, Board) else load_board(board)


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
