"""What a profile says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinygen.profile.counter import Counts
from tinygen.targets.board import Board
from tinygen.targets.energy import Energy, Times, energies, times
from tinygen.targets.flash import Flash


@dataclass(frozen=True, slots=True)
class LayerProfile:
    """A layer: what the plan says of it, what it did, and the deepest it came into the stack, in bytes."""

    name: str
    operator: str
    origin: tuple[str, ...]
    kernels: tuple[str, ...]
    shape: tuple[int, ...]
    macs: int
    constants: int
    counts: Counts
    stack: int


@dataclass(frozen=True, slots=True)
class FlashUse:
    """Bytes of flash: code of each kernel, code and tables of the model's own file, constants of each layer (a shared
    array counts for the first), and what the compiler's libraries add."""

    kernels: Mapping[str, int]
    model: int
    constants: Mapping[str, int]
    libraries: int

    @property
    def total(self) -> int:
        return sum(self.kernels.values()) + self.model + sum(self.constants.values()) + self.libraries


@dataclass(frozen=True, slots=True)
class BufferUse:
    """A piece of the arena: bytes [offset, offset + size) from layer `first` to layer `last`."""

    name: str
    offset: int
    size: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class BoardTimes:
    """What a real board measured: time of each layer in `unit` ("cycles" or "us"), without that of the marks.

    `overhead` is the time of a mark in `unit`, `clock` the core's in Hz, `same` whether the outputs were right.
    """

    build_id: str
    clock: int
    unit: str
    overhead: int
    layers: tuple[int, ...]
    same: bool

    @property
    def total(self) -> int:
        """Time of all layers."""
        return sum(self.layers)

    def milliseconds(self, count: int) -> float:
        """A time in `unit` as milliseconds."""
        return count / 1000.0 if self.unit == "us" else 1000.0 * count / self.clock


@dataclass(frozen=True, slots=True)
class Profile:
    """A build on a board.

    `flash` is None when the part's flash has no model; without `has_cycles` all cycles are 0. `by_clock`: cycles from
    flash at the board's own clock and at others whose current its maker names, each with its wait states. `measured` is
    what the real board said, if it was asked; `every`: seconds from one inference to the next, where energy is to count
    both.
    """

    model: str
    board: Board
    core: str
    has_cycles: bool
    flash: Flash | None
    layers: tuple[LayerProfile, ...]
    total: Counts
    stack: int
    flash_use: FlashUse
    arena: int
    io: int
    buffers: tuple[BufferUse, ...]
    notes: tuple[str, ...]
    by_clock: Mapping[int, int]
    measured: BoardTimes | None = None
    every: float | None = None

    @property
    def energy(self) -> tuple[Energy, ...]:
        """At every clock whose current is known; none where none is, or the cycles are not known."""
        return energies(self.board, self.by_clock, self.every) if self.has_cycles else ()

    @property
    def times(self) -> Times:
        """Of an inference at the board's clock."""
        if not self.has_cycles:
            return Times(None, None, None)
        return times(self.board, self.total.cycles, None if self.flash is None else self.total.flash_cycles)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(layer.macs for layer in self.layers)

    @property
    def ram(self) -> int:
        """Bytes of RAM: arena, input, output and stack."""
        return self.arena + self.io + self.stack

    def milliseconds(self, cycles: int) -> float:
        """Cycles at the board's clock."""
        return 1000.0 * cycles / self.board.f_cpu_hz
