"""Does a build fit its board, and take no more than the user allows? With figures where it does not."""

from __future__ import annotations

from dataclasses import replace

from tinygen.build.toolchain import Sizes
from tinygen.errors import TargetError
from tinygen.flow.gates import Gates, Use, check_use
from tinygen.flow.planned import planner, predict
from tinygen.flow.quantised import quantised
from tinygen.flow.types import Calibration, Loaded, Quantised, Target
from tinygen.plan.types import Plan
from tinygen.targets.board import Board, all_boards
from tinygen.targets.flash import flash_of

#: Samples that show whether weights can fit. They decide scales of activations, of which constants hardly depend: fewer
#: samples give narrower ranges, with which more channels are constant and go, so they take no more than with all.
_FEW = 2


def check_weights(loaded: Loaded, calibration: Calibration, target: Target) -> None:
    """Raise TargetError, as `check_fit` does, for a network whose constants alone are more than the board's flash:
    before it is calibrated on all samples. Where a byte a weight fits there is nothing to do; where not, what kernels
    make of few values and zeros is seen from a plan, made on few samples."""
    board, graph = target.board, loaded.tidy
    if board.stand_in is None or sum(t.size for t in graph.tensors.values() if t.const) <= board.flash_bytes:
        return
    model = quantised(loaded, replace(calibration, samples=_FEW, test=None, hold_back=False), board)
    check_fit(planner(model, target).on_board(board).plan, board, None, None)


def check_fit(plan: Plan, board: Board, sizes: Sizes | None, stack: int | None) -> None:
    """Raise TargetError with figures when the model cannot fit the board: from the constants alone, or measured."""
    arrays = [c.array for s in plan.steps for k in s.calls for c in k.call.consts]
    constants = sum({(x.dtype.str, x.tobytes()): x.nbytes for x in arrays}.values())  # equal ones are stored once
    flash = sizes.flash_model + sizes.flash_libgcc + sizes.flash_libc if sizes else constants
    io = sum(e.nbytes for e in (*plan.inputs, *plan.outputs))
    ram = plan.arena_len + io + (stack or 0)
    problems = []
    if flash > board.flash_bytes:
        problems.append(
            f"flash: {flash:,} bytes needed ({constants:,} of constants), {board.flash_bytes:,} there. "
            "Prune or shrink the model, or take a board with more flash"
        )
    if ram > board.ram_bytes:
        busiest, largest = max(((s, w) for s in plan.steps for w in s.outputs), key=lambda found: found[1].place.size)
        problems.append(
            f"RAM: {ram:,} bytes needed (arena {plan.arena_len:,}, input and output {io:,}, stack {stack or 0:,}), "
            f"{board.ram_bytes:,} there. The largest tensor is the output of {busiest.name} "
            f"({'x'.join(map(str, largest.shape))}, {largest.place.size:,} bytes); a smaller input or fewer "
            "channels there would help, or a board with more RAM"
        )
    if problems:
        enough = [b.id for b in all_boards() if b.stand_in and flash <= b.flash_bytes and ram <= b.ram_bytes]
        others = f"Boards with enough of both: {', '.join(enough)}." if enough else "No board tinygen knows has enough."
        lines = [f'"{plan.name}" does not fit {board.id} ({board.name}):', *(f"  {p}." for p in problems), others]
        raise TargetError("\n".join(lines))


def check_gates(
    plan: Plan, model: Quantised, board: Board, gates: Gates, sizes: Sizes | None, stack: int | None
) -> None:
    """Raise TargetError with figures for a build that takes more than the user allows; what no compiler has measured is
    predicted."""
    if (gates.max_flash, gates.max_ram, gates.max_ms) == (None, None, None):
        return
    p = predict(plan, model, flash_of(board))
    unmeasured = sizes is None or stack is None
    flash = p.flash if sizes is None else sizes.flash_model + sizes.flash_libgcc + sizes.flash_libc
    io = sum(e.nbytes for e in (*plan.inputs, *plan.outputs))
    ms = None if p.unmeasured else p.milliseconds(board.f_cpu_hz)
    why = f"kernels never measured: {', '.join(p.unmeasured)}" if p.unmeasured else f"no cycle model of {p.core}"
    failed = check_use(
        gates, Use(flash, plan.arena_len + io + (p.stack if stack is None else stack), unmeasured, ms, why)
    )
    if failed:
        raise TargetError(
            "\n".join([f'"{plan.name}" on {board.id} takes more than allowed:', *(f"  {f}" for f in failed)])
        )
