"""The PlatformIO project around a generated model, and the program that verifies it.

Everything here is text made from a `ProjectView`; nothing is written, built or run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from tinygen.emit.env import render
from tinygen.emit.resources import boards_dir, templates_dir
from tinygen.targets.board import Board


@dataclass(frozen=True, slots=True)
class PortView:
    """An input or output of the model: its name in ONNX, and how many integers of how many bits it has."""

    name: str
    length: int
    bits: int = 8

    @property
    def ctype(self) -> str:
        """C type of an element."""
        return f"int{self.bits}_t"

    @property
    def nbytes(self) -> int:
        """Bytes of the buffer."""
        return self.length * self.bits // 8


@dataclass(frozen=True, slots=True)
class ModelView:
    """What programs need to know of the generated C: `name` (kws) begins its names, `prefix` (KWS) its macros."""

    name: str
    prefix: str
    version: str
    inputs: tuple[PortView, ...]
    outputs: tuple[PortView, ...]

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
    """One sample: the integers of every input, and of every output that the model must give for them."""

    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class ProjectView:
    """A project: the model, the board, at least one golden case, and the stack of its programs in bytes."""

    model: ModelView
    board: Board
    golden: tuple[GoldenCase, ...]
    stack_bytes: int = 2048

    def __post_init__(self) -> None:
        if not self.golden:
            raise ValueError("a project needs at least one golden case")
        for case in self.golden:
            _check_lengths(case.inputs, self.model.inputs)
            _check_lengths(case.outputs, self.model.outputs)

    @property
    def qemu_env(self) -> str:
        """Name of the environment that is linked for QEMU."""
        return f"{self.board.id}_qemu"


def _check_lengths(values: Sequence[Sequence[int]], ports: Sequence[PortView]) -> None:
    if [len(value) for value in values] != [port.length for port in ports]:
        raise ValueError(f"golden case has {[len(v) for v in values]} values, the model {[p.length for p in ports]}")


def render_project(view: ProjectView) -> dict[str, bytes]:
    """Every file of the project but the model's own C, by path: that belongs in lib/<model>/src/. Sorted by path."""
    model = view.model
    texts = {
        "platformio.ini": "platformio.ini.j2",
        "README.md": "README.md.j2",
        ".gitignore": "gitignore.j2",
        "src/main.c": "main.c.j2",
        f"include/{model.name}_golden.h": "golden.h.j2",
        "test/test_golden/test_golden.c": "test_golden.c.j2",
        f"lib/{model.name}/library.json": "library.json.j2",
    }
    if view.board.registry_platform == "ststm32":
        texts["registry.ini"] = "registry.ini.j2"
    files = {path: render(f"project/{name}", view=view).encode() for path, name in texts.items()}
    if "registry.ini" in files:
        files["registry.ld"] = _linker_script(view).encode()
    files["test/test_custom_runner.py"] = (templates_dir() / "project" / "test_custom_runner.py").read_bytes()
    files |= _platform_files()
    files |= {f"boards/{name}.json": (boards_dir() / f"{name}.json").read_bytes() for name in {view.board.id, "native"}}
    return dict(sorted(files.items()))


def render_harness(model: ModelView) -> bytes:
    """harness.c: runs the model on the samples in in.bin and writes out.bin; see the template's own description."""
    return render("project/harness.c.j2", model=model).encode()


def render_evaluator(model: ModelView) -> bytes:
    """evaluate.c: runs the model on the real numbers in in.bin and writes out.bin; see the template's description."""
    return render("evaluate/evaluate.c.j2", model=model).encode()


def _platform_files() -> dict[str, bytes]:
    folder = boards_dir() / "platform"
    paths = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {f"platform/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in paths}


def _linker_script(view: ProjectView) -> str:
    """link.ld.in for the board itself; PlatformIO's builder fills the same template in projects on our platform."""
    board = view.board
    template = Template((boards_dir() / "platform" / "cortexm" / "link.ld.in").read_text(encoding="utf-8"))
    return template.substitute(
        vectors_start=f"0x{board.flash_start:08x}",
        flash_start=f"0x{board.flash_start:08x}",
        flash_size=board.flash_bytes,
        ram_start=f"0x{board.ram_start:08x}",
        ram_size=board.ram_bytes,
        stack_size=view.stack_bytes,
    )
