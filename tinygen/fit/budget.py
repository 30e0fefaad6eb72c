"""What a network may take of a board, and how far one is from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tinygen.errors import RecipeError
from tinygen.flow.cost import Cost
from tinygen.flow.source import Source
from tinygen.plan.predict import LAYER_CODE, MODEL_CODE, STACK
from tinygen.targets.board import Board
from tinygen.targets.cores import CORES

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:(k|m)(?:i?b)?|b|bytes)?\s*", re.IGNORECASE)
_TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|m|h)?\s*", re.IGNORECASE)
_FACTORS = {"": 1, "k": 1024, "m": 1024 * 1024}
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_size(key: str, text: str) -> int:
    """Bytes: 65536, 64K, 64KiB, 1.5M; a K is 1024."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise RecipeError(f'{key}: found "{text}", allowed are bytes: 65536, 64K or 1.5M.')
    size = float(found[1]) * _FACTORS[(found[2] or "").lower()]
    if size < 1:
        raise RecipeError(f'{key}: found "{text}", allowed is at least 1 byte.')
    return int(size)


def parse_seconds(key: str, text: str) -> float:
    """Seconds: 90, 90s, 30m, 2h."""
    found = _TIME.fullmatch(text)
    if found is None or float(found[1]) <= 0.0:
        raise RecipeError(f'{key}: found "{text}", allowed is a time: 90s, 30m or 2h.')
    return float(found[1]) * _SECONDS[(found[2] or "").lower()]


@dataclass(frozen=True, slots=True)
class Budget:
    """The most a network may take: bytes, milliseconds (None: any), and the least quality (None: any)."""

    flash: int
    ram: int
    milliseconds: float | None = None
    quality: float | None = None

    def excess(self, quality: float, flash: int, ram: int, milliseconds: float | None) -> dict[str, float]:
        """By budget name how far a network is beyond it, as a share of the budget; 0 and below: within."""
        found = {"flash": flash / self.flash - 1.0, "ram": ram / self.ram - 1.0}
        if self.milliseconds is not None and milliseconds is not None:
            found["ms"] = milliseconds / self.milliseconds - 1.0
        if self.quality is not None:
            found["accuracy"] = (self.quality - quality) / max(self.quality, 1e-9)
        return found


@dataclass(frozen=True, slots=True)
class Limits:
    """Budgets as the user gave them, for all boards; None: what the board has."""

    flash: int | None = None
    ram: int | None = None
    milliseconds: float | None = None
    quality: float | None = None

    def on(self, board: Board) -> Budget:
        """For one board, which cannot have more than it has."""
        return Budget(
            min(self.flash or board.flash_bytes, board.flash_bytes),
            min(self.ram or board.ram_bytes, board.ram_bytes),
            self.milliseconds,
            self.quality,
        )


def check_limits(limits: Limits, boards: Mapping[str, Board], source: Source) -> None:
    """RecipeError for a budget that no network can meet, before anything is searched."""
    if limits.quality is not None and not 0.0 < limits.quality <= 1.0:
        raise RecipeError(f"`quality`: found {limits.quality:g}, allowed is a share, above 0 to 1.")
    if limits.milliseconds is not None and not limits.milliseconds > 0.0:
        raise RecipeError(f"`milliseconds`: found {limits.milliseconds:g}, allowed is a time above 0 milliseconds.")
    for board in boards.values():
        if board.core.machine is None:
            raise RecipeError(
                f"`boards` {board.id}: found this computer; a search needs a microcontroller's flash, RAM and time. "
                "List the boards: tinygen boards"
            )
        if limits.milliseconds is not None and board.core.timing is None:
            timed = ", ".join(core.name for core in CORES if core.timing is not None)
            raise RecipeError(
                f"`milliseconds` on {board.id}: its core {board.core.name} has no cycle model; allowed are boards with "
                f"{timed}. Leave out `milliseconds`, or search for a board with one of these cores."
            )
        budget = limits.on(board)
        ports = source.graph
        io = sum(ports.tensors[n].size for n in (*ports.inputs, *ports.outputs))
        for key, found, least, what in (
            ("flash", budget.flash, MODEL_CODE + LAYER_CODE, "the code around a single layer, without any kernel"),
            ("ram", budget.ram, io + STACK, f"input and output ({io:,} bytes) and the stack of the smallest kernel"),
        ):
            if found < least:
                raise RecipeError(
                    f"--{key} on {board.id}: found {found:,} bytes; {what} take {least:,}. No network of these "
                    "inputs and outputs can fit."
                )


def blame(cost: Cost, budget: Budget, over: Mapping[str, float]) -> list[str]:
    """What stands in the way: for each budget that is exceeded by how much, and which layer takes most of it."""
    p = cost.prediction
    said = []

    def layer(key: str) -> str:
        most = max(p.layers, key=lambda x: float(getattr(x, key)))
        return ", ".join(most.origin[:1]) or most.name

    if over.get("flash", 0.0) > 0.0:
        most = max(x.constants for x in p.layers)
        said.append(
            f"flash: {cost.flash:,} bytes, {cost.flash - budget.flash:,} above {budget.flash:,}; most is in "
            f'"{layer("constants")}", {most:,} bytes of weights; code takes {p.code:,}'
        )
    if over.get("ram", 0.0) > 0.0:
        said.append(
            f"RAM: {cost.ram:,} bytes, {cost.ram - budget.ram:,} above {budget.ram:,}: arena {p.arena:,}, input and "
            f"output {p.io:,}, stack {p.stack:,}; the largest tensor is the output of {_widest(cost)}"
        )
    if over.get("ms", 0.0) > 0.0 and cost.milliseconds is not None and budget.milliseconds is not None:
        most_cycles = max(x.cycles for x in p.layers)
        share = 100.0 * most_cycles / max(1, p.cycles or 1)
        said.append(
            f"time: {cost.milliseconds:.3f} ms, {cost.milliseconds - budget.milliseconds:.3f} above "
            f'{budget.milliseconds:g}; most is in "{layer("cycles")}", {share:.0f} %'
        )
    return said


def _widest(cost: Cost) -> str:
    sizes = {x: _size(x.shape) for x in cost.prediction.layers}
    most = max(sizes, key=lambda x: sizes[x])
    return f'"{", ".join(most.origin[:1]) or most.name}", {sizes[most]:,} values'


def _size(shape: tuple[int, ...]) -> int:
    n = 1
    for d in shape:
        n *= d
    return n
