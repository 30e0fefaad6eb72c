"""A finished build, in memory or in a folder, and what can be asked of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tinygen.api.board import board_of, period
from tinygen.api.data import Inputs, as_data
from tinygen.api.evaluation import FolderEvaluation
from tinygen.api.result import Result, words
from tinygen.api.tensors import one, without_batch
from tinygen.build.platformio import PioTest, pio_test
from tinygen.emit.writer import Changes, reading, write_folder
from tinygen.errors import VerifyError
from tinygen.files import work_folder, write_file
from tinygen.flow.evaluate_folder import evaluate_folder, run_folder
from tinygen.flow.types import Built, CoreResult
from tinygen.flow.verdict import Verdict
from tinygen.numerics import Array
from tinygen.profile import types
from tinygen.profile.folder import profile_folder, read_build
from tinygen.profile.hardware import profile_on_board, write_program
from tinygen.progress import Progress, no_progress
from tinygen.report import build as report
from tinygen.report import golden, layers, profile, profile_page
from tinygen.report.table import Table
from tinygen.targets.board import Board
from tinygen.targets.energy import Energy


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Build(Result):
    """A C library that was proved and measured, with all files of its output folder. `Quantised.build` makes it;
    `folder`: where it was written, if it was."""

    _built: Built
    folder: Path | None = None

    @property
    def name(self) -> str:
        """What the model is called in C."""
        return self._built.plan.name

    @property
    def board(self) -> Board:
        """The board it was built for."""
        return self._built.board

    @property
    def verdict(self) -> Verdict | None:
        """What the integers are worth; None where no samples could judge."""
        return self._built.verdict

    @property
    def flash(self) -> int | None:
        """Bytes of flash, with the compiler's helpers, as the linker says; None when nothing was linked for a core."""
        return report.flash_bytes(self._built)

    @property
    def constants(self) -> int:
        """Bytes of constants: weights, biases, multipliers."""
        return self._built.library.weight_bytes

    @property
    def arena(self) -> int:
        """Bytes of working memory."""
        return self._built.plan.arena_len

    @property
    def stack(self) -> int | None:
        """Bytes of stack that a run takes, measured in the emulator; None without one."""
        return self._built.stack

    @property
    def ram(self) -> int:
        """Bytes of RAM: arena, input and output buffers, and the stack where it was measured."""
        return self.arena + self._built.io_bytes + (self.stack or 0)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of an inference."""
        return self._built.plan.macs

    @property
    def proofs(self) -> tuple[CoreResult, ...]:
        """The cores on which the C was run, every byte equal to numpy."""
        return self._built.results

    @property
    def files(self) -> Mapping[str, bytes]:
        """Every file of the output folder, by path."""
        return self._built.files

    @property
    def changes(self) -> Changes | None:
        """What writing it did to `folder`; None where it was not written."""
        return self._built.changes

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._built.model.notes, *self._built.notes)

    @property
    def accuracy_unknown(self) -> bool:
        """Whether ranges come from made-up inputs: no samples were given, and the file has no scales of its own."""
        return self._built.model.synthetic and not self._built.model.imported.quantised

    def save(self, folder: str | os.PathLike[str] | None = None, *, force: bool = False) -> BuildFolder:
        """Write the folder, all of it or nothing; build/NAME unless given. OutputError where that holds files that are
        not ours, or edited ones, which `force` overwrites."""
        path = Path("build") / self.name if folder is None else Path(folder)
        return BuildFolder(path, write_folder(path, self.files, force=force))

    def verify(self) -> Verification:
        """Run the golden vectors of the folder, as `BuildFolder.verify` does."""
        with work_folder() as place:
            return self.save(place / self.name).verify()

    def profile(self, board: str | Board | None = None) -> Profile:
        """Instructions and cycles of an inference, as `BuildFolder.profile` counts them."""
        with work_folder() as place:
            return self.save(place / self.name).profile(board)

    def evaluate(
        self,
        x: Inputs,
        y: Array | None = None,
        *,
        core: str = "native",
        model: str | os.PathLike[str] | None = None,
        limit: int | None = None,
        progress: Progress = no_progress,
    ) -> FolderEvaluation:
        """The compiled C over a data set, as `BuildFolder.evaluate` runs it."""
        with work_folder() as place:
            folder = self.save(place / self.name)
            return folder.evaluate(x, y, core=core, model=model, limit=limit, progress=progress)

    def layer_tables(self) -> tuple[Table, ...]:
        """Where accuracy goes, layer by layer."""
        return layers.tables(self._built.model.layers)

    def tables(self) -> tuple[Table, ...]:
        return report.tables(self._built)

    def to_dict(self) -> dict[str, Any]:
        return report.as_dict(self._built)

    def __repr__(self) -> str:
        flash = "flash not measured" if self.flash is None else f"flash {self.flash:,} bytes"
        return words("Build", f"{self.name} for {self.board.id}: {flash}, RAM {self.ram:,} bytes")


def open_build(folder: str | os.PathLike[str]) -> BuildFolder:
    """A folder that tinygen built. OutputError when it is none, or files in it were edited."""
    path = Path(folder)
    read_build(path)
    return BuildFolder(path)


@dataclass(frozen=True, slots=True, repr=False)
class BuildFolder:
    """A build on disk. Each question reads it anew; OutputError when it is no build, or files in it were edited.
    `changes`: what writing it did to the folder, where it was written just now."""

    path: Path
    changes: Changes | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return words("BuildFolder", str(self.path))

    @property
    def name(self) -> str:
        """What the model is called in C."""
        return read_build(self.path).name

    @property
    def library(self) -> Path:
        """The folder of the model's C: all that firmware needs."""
        return self.path / "lib" / self.name / "src"

    def verify(self) -> Verification:
        """Run the golden vectors on this computer and in the emulator (`pio test`)."""
        with reading(self.path):
            return Verification(self.path, pio_test(self.path, ()))

    def profile(
        self,
        board: str | Board | None = None,
        *,
        port: str | None = None,
        upload: bool = True,
        program: str | os.PathLike[str] | None = None,
        every: float | str | None = None,
    ) -> Profile:
        """Instructions and modelled cycles of an inference, layer by layer, for the build's board or another with the
        same kernels.

        port: also measure on the board at this serial port; `upload` the program that does so first. program: write
        that program's PlatformIO project there. every: from one inference to the next, in seconds or as "100ms", for
        the energy of a period.
        """
        seconds = period(every)
        found = replace(profile_folder(self.path, None if board is None else board_of(board).id), every=seconds)
        place = None if program is None else Path(program)
        if place is not None:
            write_program(self.path, found.board, place)
        if port is not None:
            measured = profile_on_board(self.path, found.board, port, upload=upload, program=place)
            found = replace(found, measured=measured)
        return Profile(found)

    def run(self, x: Inputs, *, core: str = "native", progress: Progress = no_progress) -> Array | tuple[Array, ...]:
        """What the compiled C gives for samples `x`, on this computer or an emulated `core`: real numbers, in the form
        of `Quantised.run`, and equal to it."""
        streams = "states" in read_build(self.path).plan
        return one(
            [without_batch(y, streams=streams) for y in run_folder(self.path, as_data(x), core=core, progress=progress)]
        )

    def evaluate(
        self,
        x: Inputs,
        y: Array | None = None,
        *,
        core: str = "native",
        model: str | os.PathLike[str] | None = None,
        limit: int | None = None,
        progress: Progress = no_progress,
    ) -> FolderEvaluation:
        """Run the compiled C on samples `x` with labels `y`, on this computer or an emulated `core`; beside the float
        network, where the ONNX file that was built is given as `model`."""
        onnx = None if model is None else Path(model)
        data = as_data(x, y)
        return FolderEvaluation(evaluate_folder(self.path, data, core=core, model=onnx, limit=limit, progress=progress))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Verification(Result):
    """What the golden vectors of a folder came to."""

    folder: Path
    _test: PioTest

    @property
    def ok(self) -> bool:
        """Whether every vector passed, everywhere."""
        return self._test.ok

    def check(self) -> None:
        """VerifyError with the last lines of what was said, unless all passed."""
        if not self.ok:
            last = "\n".join(self._test.output.splitlines()[-12:])
            raise VerifyError(f"{self.folder}: golden vectors failed.\n{last}", self.to_dict())

    def tables(self) -> tuple[Table, ...]:
        return golden.tables(self.folder, self._test)

    def to_dict(self) -> dict[str, Any]:
        return golden.as_dict(self.folder, self._test)

    def __repr__(self) -> str:
        passed = sum(c.status == "PASSED" for c in self._test.cases)
        return words("Verification", f"{self.folder}: {passed} of {len(self._test.cases)} golden vectors passed")


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Profile(Result):
    """What an inference costs, layer by layer."""

    _found: types.Profile

    @property
    def layers(self) -> tuple[types.LayerProfile, ...]:
        """Instructions, cycles, waits and bytes touched by each layer."""
        return self._found.layers

    @property
    def board(self) -> Board:
        """The board whose clock and memory the figures are for."""
        return self._found.board

    @property
    def instructions(self) -> int:
        """Counted in the emulator."""
        return self._found.total.instructions

    @property
    def cycles(self) -> int | None:
        """Modelled, with memory that never waits; None on a core without a cycle model."""
        return self._found.total.cycles if self._found.has_cycles else None

    @property
    def milliseconds(self) -> float | None:
        """Of an inference at the board's clock, with the waits of its flash where those are modelled."""
        p = self._found
        return p.milliseconds(p.total.flash_cycles) if p.has_cycles else None

    @property
    def energy(self) -> tuple[Energy, ...]:
        """Of an inference; empty where the board's current is not known, or the core's cycles are not modelled."""
        return self._found.energy

    @property
    def flash(self) -> int:
        """Bytes of flash: constants, kernels, libraries."""
        return self._found.flash_use.total

    @property
    def ram(self) -> int:
        """Bytes of RAM: arena, input and output buffers, stack."""
        return self._found.ram

    @property
    def notes(self) -> tuple[str, ...]:
        return self._found.notes

    def save_page(self, path: str | Path) -> None:
        """Write the HTML page with bars and memory maps."""
        write_file(Path(path), profile_page.render_page(self._found))

    def tables(self) -> tuple[Table, ...]:
        return profile.tables(self._found)

    def to_dict(self) -> dict[str, Any]:
        return profile.as_dict(self._found)

    def __repr__(self) -> str:
        cost = f"{self.instructions:,} instructions" if self.cycles is None else f"{self.cycles:,} cycles"
        return words("Profile", f"{self._found.model} on {self.board.id}: {cost}")
