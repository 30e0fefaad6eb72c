"""What a model will cost on every board, before anything is built or compiled."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinygen.flow.planned import Planner, times_of
from tinygen.flow.types import Quantised
from tinygen.plan.predict import Prediction
from tinygen.targets.board import Board, all_boards
from tinygen.targets.energy import Energy, Times, energies
from tinygen.targets.flash import flash_of


@dataclass(frozen=True, slots=True)
class LayerCost:
    """A layer as tinygen will run it."""

    title: str
    origin: tuple[str, ...]
    shape: tuple[int, ...]
    macs: int
    parameters: int


@dataclass(frozen=True, slots=True)
class Fit:
    """What a model is predicted to take of a board: bytes, and what there is; milliseconds of an inference at the
    board's clock, from its flash where that is modelled, None where cycles are not; `times`: what is known of them.
    `energy` of those milliseconds, at the clocks whose current is known."""

    board: str
    core: str
    flash: int
    flash_there: int
    ram: int
    ram_there: int
    milliseconds: float | None
    times: Times
    energy: tuple[Energy, ...] = ()

    @property
    def fits(self) -> bool:
        return self.flash <= self.flash_there and self.ram <= self.ram_there


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a model will cost on each board, before anything is built; in detail for the board asked for."""

    macs: int
    parameters: int
    layers: tuple[LayerCost, ...]
    fits: tuple[Fit, ...]
    board: Board | None
    detail: Prediction | None
    every: float | None = None


def estimate(
    model: Quantised,
    wanted: Board | None = None,
    optimize: str = "balanced",
    every: float | None = None,
    *,
    zero_wait: bool = False,
) -> Estimate:
    """Predicted cost of a quantised model on every board, and layer by layer on `wanted`. `every`: seconds between two
    inferences, for the energy of both inference and sleep. `zero_wait`: as if no memory ever waited."""
    plans, detail, fits = Planner(model, optimize), None, []
    if wanted is not None:
        wanted = replace(wanted, zero_wait=wanted.zero_wait or zero_wait)
    for board in all_boards():
        board = wanted if wanted is not None and wanted.id == board.id else replace(board, zero_wait=zero_wait)
        core = board.core
        if core.machine is None:
            continue
        p = plans.on_board(board).prediction
        if wanted is not None and board.id == wanted.id:
            detail = p
        fits.append(
            Fit(
                board.id,
                core.name,
                p.flash,
                board.flash_bytes,
                p.ram,
                board.ram_bytes,
                p.milliseconds(board.f_cpu_hz),
                times_of(board, p),
                _energy(board, p, every),
            )
        )
    graph = model.tidy
    layers = tuple(
        LayerCost(
            n.op.describe(graph.ins(n)),  # type: ignore[attr-defined]
            n.origin,
            graph.outs(n)[0].shape,
            n.op.macs(graph.ins(n), graph.outs(n)),  # type: ignore[attr-defined]
            sum(t.size for t in graph.ins(n) if t.const is not None),
        )
        for n in graph.nodes
    )
    macs = sum(r.macs for r in layers)
    return Estimate(macs, sum(r.parameters for r in layers), layers, tuple(fits), wanted, detail, every)


def _energy(board: Board, p: Prediction, every: float | None) -> tuple[Energy, ...]:
    """At each clock the same cycles, and its own wait states."""
    if board.supply is None or p.unmeasured or (p.cycles is None and board.core.pace is None):
        return ()
    cycles, here = sum(layer.cycles for layer in p.layers), flash_of(board)

    def at(clock_hz: int) -> float:
        flash = flash_of(replace(board, f_cpu_hz=clock_hz))
        if not p.stalls or here is None or flash is None:
            return cycles
        return cycles + p.stalls * flash.waits / here.waits

    return energies(board, {point.clock_hz: at(point.clock_hz) for point in board.supply.run}, every)
