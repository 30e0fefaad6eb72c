"""Does a build fit its board, and take no more than the user allows? With figures where it does not."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from tinygen.build.toolchain import Sizes
from tinygen.errors import TargetError
from tinygen.flow.estimate import predict
from tinygen.flow.gates import Gates, Use, check_use
from tinygen.flow.quantised import quantised
from tinygen.flow.types import Calibration, Loaded, Quantised, Target
from tinygen.plan.choose import KIB_WORTH
from tinygen.plan.planner import plan
from tinygen.plan.types import Plan
from tinygen.targets.arch.base import Core
from tinygen.targets.board import Board, all_boards
from tinygen.targets.flash import flash_of

#: Samples that show whether weights can fit. They decide scales of activations, of which constants hardly depend: fewer
#: samples give narrower ranges, with which more channels are constant and go, so they take no more than with all.
_FEW = 2
#: What a KiB of flash is worth where a mode's own choice does not fit the board: one after the other, as a part of the
#: network's time.
SMALLER = (0.001, 0.003, 0.01, 0.03, 0.1, 0.25)
#: And what all activations again are worth where its stack and scratch are more than the board's RAM.
LESS_RAM = (0.3, 3.0, 30.0)


def check_weights(loaded: Loaded, calibration: Calibration, target: Target) -> None:
    """Raise TargetError, as `check_fit` does, for a network whose constants alone are more than the board's flash:
    before it is calibrated on all samples. Where a byte a weight fits there is nothing to do; where not, what kernels
    make of few values and zeros is seen from a plan, made on few samples."""
    board, graph = target.board, loaded.tidy
    if board.stand_in is None or sum(t.size for t in graph.tensors.values() if t.const) <= board.flash_bytes:
        return
    model = quantised(loaded, replace(calibration, samples=_FEW, test=None, hold_back=False), board)
    check_fit(planned(model, board.core, target)[0], board, None, None)


def planned(model: Quantised, core: Core, target: Target) -> tuple[Plan, tuple[str, ...]]:
    """As `target` asks; where that is predicted to be more than the board's flash, or its RAM, the fastest of some that
    are not, and a note that says so."""
    board, flash = target.board, flash_of(target.board)
    made = partial(
        plan, model.fixed, core, target.optimize, plain_stack=target.plain_stack, flash=flash,
        code_in_ram=board.code_in_ram,
    )  # fmt: skip
    first = made()
    if board.stand_in is None or core != board.core:
        return first, ()
    takes = predict(first, model, flash)
    over = takes.flash > board.flash_bytes
    if over:
        others = (made(kib_worth=w) for w in SMALLER if w > KIB_WORTH[target.optimize])
    else:
        others = (made(ram_worth=w) for w in LESS_RAM if takes.ram > board.ram_bytes)
    for found in others:
        smaller = predict(found, model, flash)
        if smaller.flash <= board.flash_bytes and (over or smaller.ram <= board.ram_bytes):
            was, now, kind = (takes.flash, smaller.flash, "flash") if over else (takes.ram, smaller.ram, "RAM")
            note = f"the kernels for `optimize` = {target.optimize} would take about {was:,} bytes of {kind}"
            return found, (f"{note}, more than {board.id} has; smaller ones were taken, about {now:,} bytes.",)
    return first, ()


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
