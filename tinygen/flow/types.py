"""What the line passes on: what the user asked for, a model on its way, a finished build."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tinygen.build.toolchain import Sizes
from tinygen.calibrate.data import Data, Samples
from tinygen.calibrate.methods import CALIBRATION_SAMPLES, DEFAULT_METHOD
from tinygen.emit.programs import Package
from tinygen.emit.view import LibraryView
from tinygen.emit.writer import Changes
from tinygen.errors import DataError
from tinygen.flow.check import NOT_CHECKED, ImportCheck
from tinygen.flow.held import Held
from tinygen.flow.verdict import LayerAccuracy, Verdict
from tinygen.frontend.onnx_reader import Imported
from tinygen.ir.types import Graph
from tinygen.numerics import Array
from tinygen.passes.simplify import Size, size_of
from tinygen.plan.types import Plan
from tinygen.targets.board import Board
from tinygen.targets.cores import VERIFY_CORES
from tinygen.targets.energy import Times

# -- what the user asked for -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Calibration:
    """Where the ranges of activations come from, and who judges. `data`: None makes samples up; `samples`: so many
    calibrate, at most; `activations`: "16", or names of those in int16 (passes/widths.py); `test`: who judges, else
    some of `data` where `hold_back` says so; `judges`: so many at most, None: what suits the network's size; `kind`:
    what is said of those in `test`."""

    data: Data | None = None
    method: str = DEFAULT_METHOD
    samples: int = CALIBRATION_SAMPLES
    activations: str = "8"
    test: Data | None = None
    hold_back: bool = False
    judges: int | None = None
    kind: str = "for testing"

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise DataError(f"number of samples to calibrate with: found {self.samples}, allowed 1 or more.")


@dataclass(frozen=True, slots=True)
class Library:
    """How the C is to be: who owns the arena; `sensors`: [NAME=]TYPE[*NUMBER] (plan/sensor.py); `private`: without
    names and hashes of the ONNX file, nor of the data (flow/private.py)."""

    static_arena: bool = False
    sensors: tuple[str, ...] = ()
    private: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """What is built for: a board, the way kernels are chosen (plan/choose.py), how the C is to be, and whose it is."""

    board: Board
    optimize: str = "balanced"
    plain_stack: bool = False
    library: Library = field(default_factory=Library)
    package: Package = field(default_factory=Package)


@dataclass(frozen=True, slots=True)
class Proof:
    """Names of the cores that the C must equal numpy on; None: this computer and the board's core; (): none."""

    cores: tuple[str, ...] | None = None


#: What is proved by a word of the user's: cores, as `Proof` has them.
PROOFS: Mapping[str, tuple[str, ...] | None] = {"board": None, "all": ("native", *VERIFY_CORES), "none": ()}


# -- a model on its way ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model as it was read, and tidied; what that took."""

    imported: Imported
    tidy: Graph
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called in C."""
        return self.imported.graph.name


@dataclass(frozen=True, slots=True)
class Quantised:
    """A model in fixed point and simplified, with what it was made from and the samples that calibrated it. `before`:
    the size of the fixed-point graph before it was simplified; `held`: who judges it."""

    imported: Imported
    tidy: Graph
    fixed: Graph
    samples: Samples
    synthetic: bool
    layers: tuple[LayerAccuracy, ...]
    before: Size
    checked: ImportCheck = NOT_CHECKED
    held: Held | None = None

    @property
    def after(self) -> Size:
        """What simplification left."""
        return size_of(self.fixed)

    @property
    def notes(self) -> tuple[str, ...]:
        """What import, quantisation and the check of the import had to say."""
        return tuple(dict.fromkeys((*self.imported.notes, *self.fixed.notes, *self.checked.notes)))


@dataclass(frozen=True, slots=True)
class Judged:
    """A model with the verdict on it (None where no data can judge), repaired where that was needed and helped."""

    model: Quantised
    verdict: Verdict | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CoreResult:
    """What one core did: hash of all outputs, stack of the deepest run in bytes, sizes (None on this computer)."""

    core: str
    samples: int
    outputs_sha256: str
    stack: int
    sizes: Sizes | None


@dataclass(frozen=True, slots=True)
class Built:
    """A finished build: the plan, every file, proof and figures. `inputs` and `expected`: integers that were run
    through every core, and what numpy gives for them. `times`: predicted. `changes`: what writing it did to the folder,
    once it is written.
    """

    model: Quantised
    calibration: Calibration
    target: Target
    plan: Plan
    library: LibraryView
    files: Mapping[str, bytes]
    inputs: tuple[Array, ...]
    expected: tuple[Array, ...]
    results: tuple[CoreResult, ...]
    sizes: Sizes | None
    stack: int | None
    not_verified: tuple[str, ...]
    seconds: Mapping[str, float]
    times: Times
    verdict: Verdict | None = None
    judge_notes: tuple[str, ...] = ()
    changes: Changes | None = None

    @property
    def board(self) -> Board:
        return self.target.board

    @property
    def notes(self) -> tuple[str, ...]:
        """What proof and judgement had to say."""
        return (*self.not_verified, *self.judge_notes)

    @property
    def io_bytes(self) -> int:
        """Input and output buffers, which the caller owns."""
        return sum(e.nbytes for e in (*self.plan.inputs, *self.plan.outputs))


class Clock:
    """Wall-clock seconds of each phase."""

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        self.seconds: dict[str, float] = dict(seconds or {})

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
