"""A model as programs around it see it, and those programs: examples, golden vectors, verification.

Everything here is text; nothing is written, built or run. Where an example lies, and what builds it, is for an export
to say (`emit/exports/`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from tinygen.emit.env import render
from tinygen.resources import boards_dir, files_below
from tinygen.targets.arch.base import Architecture
from tinygen.targets.arch.host import HOST
from tinygen.targets.board import Board


@dataclass(frozen=True, slots=True)
class PortView:
    """An input or output of the model: its name in ONNX, and how many integers of how many bits it has."""

    name: str
    length: int
    bits: int = 8

    @property
    def stored(self) -> int:
        """Bits in which an integer lies."""
        return 8 if self.bits <= 8 else 16 if self.bits <= 16 else 32

    @property
    def ctype(self) -> str:
        """C type of an element."""
        return f"int{self.stored}_t"

    @property
    def nbytes(self) -> int:
        """Bytes of the buffer."""
        return self.length * self.stored // 8


@dataclass(frozen=True, slots=True)
class ModelView:
    """What programs need to know of the generated C: `name` (kws) begins its names, `prefix` (KWS) its macros;
    `stateful`: it keeps something from call to call, and has a <name>_reset."""

    name: str
    prefix: str
    version: str
    inputs: tuple[PortView, ...]
    outputs: tuple[PortView, ...]
    stateful: bool = False

    @property
    def ports(self) -> tuple[str, ...]:
        """input0, input1, ..., output0, output1, ...: names of buffers, in the order of <model>_run's arguments."""
        inputs = (f"input{i}" for i in range(len(self.inputs)))
        return (*inputs, *(f"output{i}" for i in range(len(self.outputs))))

    @property
    def all_ports(self) -> tuple[PortView, ...]:
        """Of all inputs, then all outputs, as `ports` names them."""
        return (*self.inputs, *self.outputs)

    @property
    def input_macros(self) -> tuple[str, ...]:
        """KWS_INPUT_LEN, or KWS_INPUT0_LEN, KWS_INPUT1_LEN, ... when there are several."""
        return self._macros("INPUT", len(self.inputs))

    @property
    def output_macros(self) -> tuple[str, ...]:
        """KWS_OUTPUT_LEN, or KWS_OUTPUT0_LEN, KWS_OUTPUT1_LEN, ... when there are several."""
        return self._macros("OUTPUT", len(self.outputs))

    def _macros(self, kind: str, count: int) -> tuple[str, ...]:
        numbers = [""] if count == 1 else [str(i) for i in range(count)]
        return tuple(f"{self.prefix}_{kind}{number}_LEN" for number in numbers)


@dataclass(frozen=True, slots=True)
class GoldenCase:
    """One sample: the integers of every input, and of every output that the model must give for them. `begins`: a
    stream does, of a model that keeps a state; the other samples follow in it."""

    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]
    begins: bool = True


@dataclass(frozen=True, slots=True)
class Package:
    """Whose model it is, for what stands around it; "" where nobody said. `licence`: the model's, as SPDX writes it."""

    name: str = ""
    version: str = ""
    vendor: str = ""
    author: str = ""
    maintainer: str = ""
    url: str = ""
    licence: str = ""

    @property
    def title(self) -> str:
        """doorbell 1.4.0"""
        return " ".join(filter(None, (self.name, self.version)))

    @property
    def authors(self) -> tuple[dict[str, str | bool], ...]:
        """As PlatformIO has them: the author, or the vendor, and who maintains it."""
        found: list[dict[str, str | bool]] = []
        if self.author or self.vendor:
            found.append({"name": self.author or self.vendor})
        if self.maintainer:
            found.append({"name": self.maintainer, "maintainer": True})
        return tuple(found)


@dataclass(frozen=True, slots=True)
class ProjectView:
    """What an export is made from: the model, the board, golden cases (at least one), bytes of stack for programs, and
    whose it is."""

    model: ModelView
    board: Board
    golden: tuple[GoldenCase, ...]
    stack_bytes: int = 2048
    package: Package = Package()

    def __post_init__(self) -> None:
        if not self.golden:
            raise ValueError("a project needs at least one golden case")
        for case in self.golden:
            _check_lengths(case.inputs, self.model.inputs)
            _check_lengths(case.outputs, self.model.outputs)

    @property
    def tools(self) -> tuple[str, ...]:
        """The programs that build and run it."""
        here = self.board.stand_in
        return (self.board.core.arch.compiler.programs[0], *([here.emulator.programs[0]] if here is not None else []))

    @property
    def packages(self) -> tuple[str, ...]:
        """Debian's packages of these, and of this computer's compiler."""
        here = self.board.stand_in
        compilers = (HOST.compiler, self.board.core.arch.compiler)
        found = (*(c.debian for c in compilers), *([here.emulator.debian] if here is not None else []))
        return tuple(dict.fromkeys(found))


def _check_lengths(values: Sequence[Sequence[int]], ports: Sequence[PortView]) -> None:
    if [len(value) for value in values] != [port.length for port in ports]:
        raise ValueError(f"golden case has {[len(v) for v in values]} values, the model {[p.length for p in ports]}")


def render_harness(model: ModelView, steps: int = 1) -> bytes:
    """harness.c: runs the model on the samples in in.bin and writes out.bin; see the template's own description.
    `steps`: so many make a stream, of a model that keeps a state."""
    return render("programs/harness.c.j2", model=model, steps=steps).encode()


def render_evaluator(model: ModelView, steps: int = 1) -> bytes:
    """evaluate.c: runs the model on the real numbers in in.bin and writes out.bin; see the template's description.
    `steps` as for `render_harness`."""
    return render("evaluate/evaluate.c.j2", model=model, steps=steps).encode()


def golden_header(model: str) -> str:
    """Where the golden cases lie in the output folder, whatever is exported around the library."""
    return f"include/{model}_golden.h"


def render_golden_header(view: ProjectView) -> bytes:
    """<model>_golden.h: the golden cases as arrays."""
    return render("programs/golden.h.j2", view=view).encode()


def render_golden_test(view: ProjectView) -> bytes:
    """test_golden.c: runs the golden cases; it prints `ok NAME` or `not ok NAME: why` for each, and `done COUNT`."""
    return render("programs/test_golden.c.j2", view=view).encode()


def render_example(view: ProjectView) -> bytes:
    """main.c: runs the model once on a golden case and prints what it found."""
    return render("programs/main.c.j2", view=view).encode()


def render_target(arch: Architecture) -> dict[str, bytes]:
    """What programs are compiled with besides the library, by path: include/tg_target.h, and in <arch>/ the C file that
    makes it true and the linker script's template, where there is one."""
    folders = {"include": boards_dir() / "platform" / "include", arch.name: arch.platform}
    return {f"{name}/{path}": content for name, at in folders.items() for path, content in files_below(at).items()}


def render_linker_script(view: ProjectView) -> bytes:
    """The script of programs for the board itself, filled in. Only for architectures that have one."""
    arch, board = view.board.core.arch, view.board
    assert arch.linker_script is not None
    template = Template((arch.platform / arch.linker_script).read_text(encoding="utf-8"))
    ram = board.code_ram if board.code_in_ram else None
    text = template.substitute(
        vectors_start=f"0x{board.flash_start:08x}",
        flash_start=f"0x{board.flash_start:08x}",
        flash_size=board.flash_bytes,
        ram_start=f"0x{board.ram_start:08x}",
        ram_size=board.ram_bytes,
        stack_size=view.stack_bytes,
        code_region="RAM" if ram is None else "CODE_RAM",
        code_ram_start=f"0x{(board.ram_start if ram is None else ram.start):08x}",
        code_ram_size=0 if ram is None else ram.size,
    )
    return text.encode()
