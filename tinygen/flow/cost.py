"""What a network costs on a board, predicted: flash, RAM and time."""

from __future__ import annotations

from dataclasses import dataclass

from tinygen.flow.planned import Planner, times_of
from tinygen.flow.types import Quantised
from tinygen.plan.predict import Prediction
from tinygen.targets.board import Board
from tinygen.targets.energy import Times


@dataclass(frozen=True, slots=True)
class Cost:
    """Predicted, of one network on one board: bytes, milliseconds (None where cycles are not modelled, or a kernel's
    are not known), MACs, and the layers with their parts, for saying what stands in the way."""

    board: str
    optimize: str
    flash: int
    ram: int
    milliseconds: float | None
    constants: int
    macs: int
    prediction: Prediction
    times: Times

    @property
    def unknown(self) -> tuple[str, ...]:
        """Kernels whose time and size on this core were never recorded: the prediction lacks them."""
        return self.prediction.unmeasured


def cost(model: Quantised, board: Board, optimize: str) -> Cost:
    """What `model` will take of `board`, as a build plans it; nothing is compiled."""
    found = Planner(model, optimize).on_board(board)
    p = found.prediction
    ms = None if p.unmeasured else p.milliseconds(board.f_cpu_hz)
    return Cost(board.id, optimize, p.flash, p.ram, ms, p.constants, found.plan.macs, p, times_of(board, p))
