"""The plan that a network gets on a board, and what that will take: one answer for a build, `inspect` and `fit`."""

from __future__ import annotations

from dataclasses import dataclass, field

from tinygen.emit.library import kernel_files
from tinygen.flow.library import make_library
from tinygen.flow.types import Quantised, Target
from tinygen.plan.choose import KIB_WORTH
from tinygen.plan.planner import plan
from tinygen.plan.predict import Prediction
from tinygen.plan.predict import predict as predict_plan
from tinygen.plan.types import Plan
from tinygen.targets.arch.base import Core
from tinygen.targets.board import Board
from tinygen.targets.energy import Times, times
from tinygen.targets.flash import Flash, flash_of

#: What a KiB of flash is worth where a mode's own choice does not fit the board: one after the other, as a part of the
#: network's time.
SMALLER = (0.001, 0.003, 0.01, 0.03, 0.1, 0.25)
#: And what all activations again are worth where its stack and scratch are more than the board's RAM.
LESS_RAM = (0.3, 3.0, 30.0)


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, its predicted cost, and a note where it is not the mode's own."""

    plan: Plan
    prediction: Prediction
    note: str = ""


def predict(planned: Plan, model: Quantised, flash: Flash | None) -> Prediction:
    """A plan's cost from the cost model, recorded code sizes and its own arrays; nothing is compiled. `flash`: where it
    runs from, None where nobody described that."""
    library = make_library(planned, model)
    return predict_plan(planned, kernel_files(planned.kernels, planned.generated), library.weight_bytes, flash)


def times_of(board: Board, p: Prediction) -> Times:
    """Predicted; nothing of kernels that were never measured."""
    if p.unmeasured:
        return Times(None, None, None)
    return times(board, sum(layer.cycles for layer in p.layers), None if p.stalls is None else p.flash_cycles)


@dataclass(frozen=True, slots=True)
class _Worth:
    """What a KiB of flash and all activations again are worth, where it is not the mode's own."""

    kib: float | None = None
    ram: float | None = None


OWN = _Worth()


@dataclass(slots=True)
class Planner:
    """Plans of one network in one mode; boards with the same core and memories share theirs."""

    model: Quantised
    optimize: str
    plain_stack: bool = False
    _known: dict[tuple[object, ...], Planned] = field(default_factory=dict)

    def on_core(self, core: Core, board: Board) -> Plan:
        """The mode's own choice from the kernels of a core, for the board's memories."""
        return self._plan(core, board)

    def on_board(self, board: Board) -> Planned:
        """The mode's own choice; where that is predicted to be more than the board's flash, or its RAM, the fastest of
        some that are not. Where none is, the mode's own."""
        first = self._planned(board)
        takes = first.prediction
        if board.stand_in is None or (takes.flash <= board.flash_bytes and takes.ram <= board.ram_bytes):
            return first
        over = takes.flash > board.flash_bytes
        if over:
            worths = [_Worth(kib=w) for w in SMALLER if w > KIB_WORTH[self.optimize]]
        else:
            worths = [_Worth(ram=w) for w in LESS_RAM]

        def fits(worth: _Worth) -> bool:
            p = self._planned(board, worth).prediction
            return p.flash <= board.flash_bytes and (over or p.ram <= board.ram_bytes)

        if not worths or not fits(worths[-1]):  # who asks for many networks waits for no plan that would not do
            return first
        found = self._planned(board, next(w for w in worths if fits(w)))
        kind, was, now = "flash", takes.flash, found.prediction.flash
        if not over:
            kind, was, now = "RAM", takes.ram, found.prediction.ram
        note = (
            f"the kernels for `optimize` = {self.optimize} would take about {was:,} bytes of {kind}, more than "
            f"{board.id} has; smaller ones were taken, about {now:,} bytes."
        )
        return Planned(found.plan, found.prediction, note)

    def _planned(self, board: Board, worth: _Worth = OWN) -> Planned:
        flash = flash_of(board)
        key = board.core.name, flash, board.code_in_ram, worth
        if key not in self._known:
            made = self._plan(board.core, board, worth)
            self._known[key] = Planned(made, predict(made, self.model, flash))
        return self._known[key]

    def _plan(self, core: Core, board: Board, worth: _Worth = OWN) -> Plan:
        return plan(
            self.model.fixed, core, self.optimize, plain_stack=self.plain_stack, flash=flash_of(board),
            code_in_ram=board.code_in_ram, kib_worth=worth.kib, ram_worth=worth.ram,
        )  # fmt: skip


def planner(model: Quantised, target: Target) -> Planner:
    """As a build for `target` plans."""
    return Planner(model, target.optimize, target.plain_stack)
