"""Count one inference, layer by layer, on an emulated core.

The model is compiled as a build compiles it and runs without marks of any kind. <model>_run calls one kernel after
another, so the return from a kernel into the model's own code ends the kernel's share: what <model>_run does between
two kernels (arguments, pointers) counts for the later one, what it does after the last for that. So the layers add up
to the whole run, and the whole run is exactly what firmware executes: from the first instruction of <model>_run to its
return.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tinygen.build.elf import Image, read_image
from tinygen.build.toolchain import Piece, compile_program, find_toolchain, read_map
from tinygen.emit.programs import ModelView, PortView, render_harness
from tinygen.errors import TargetError, ToolError
from tinygen.files import work_folder
from tinygen.plan.types import Plan
from tinygen.profile.counter import Counts, add, count
from tinygen.targets.arch.base import Core
from tinygen.targets.flash import Flash
from tinygen.version import VERSION

RUN_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class LayerCounts:
    """A layer, by its name in C, and what it did; `stack` is the deepest it came below <model>_run's caller, bytes."""

    name: str
    counts: Counts
    stack: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One inference on a core.

    `has_cycles`: the core has a cycle model; else all cycles are 0 and mean nothing.
    `stack` is the high-water mark in bytes, `outputs` all outputs one after the other. `image` and `pieces` are the
    linked program and what every object, by its file's name, put into it.
    """

    core: str
    has_cycles: bool
    layers: tuple[LayerCounts, ...]
    total: Counts
    stack: int
    outputs: bytes
    image: Image
    pieces: tuple[Piece, ...]


def model_view(
    name: str, inputs: Sequence[tuple[int, int]], outputs: Sequence[tuple[int, int]], *, stateful: bool = False
) -> ModelView:
    """What the program around a model needs: its name in C, (elements, bits of each) of every input and output, and
    whether it keeps a state."""

    def ports(kind: str, sizes: Sequence[tuple[int, int]]) -> tuple[PortView, ...]:
        return tuple(PortView(f"{kind}{i}", n, bits) for i, (n, bits) in enumerate(sizes))

    return ModelView(name, name.upper(), VERSION, ports("input", inputs), ports("output", outputs), stateful)


def default_sample(size: int) -> bytes:
    """All inputs of a sample when there is no real one: i * 37 modulo 256, as benchmarks/ has it."""
    return bytes(i * 37 % 256 for i in range(size))


def profile_plan(
    plan: Plan,
    files: Mapping[str, bytes],
    core: Core,
    *,
    sample: bytes | None = None,
    flash: Flash | None = None,
    extra_flags: Sequence[str] = (),
) -> Measured:
    """Instructions, modelled cycles, loads and stores of every layer of `plan` on an emulated core.

    `files` are the model's C by file name, as `emit.library.render_library` gives them (without trace), for a plan made
    for `core`. `sample` is one sample, all inputs after each other as bytes (`default_sample` unless given). With a
    `flash` model the stalls of that flash are counted too. `extra_flags` come last for the compiler.

        measured = profile_plan(plan, render_library(view), get_core("cortex-m4"))
        measured.total.instructions, measured.total.cycles
        [(layer.name, layer.counts.instructions) for layer in measured.layers]   # one for each of plan.steps

    The same call gives the same numbers. `TargetError` when the model is too large for the emulated machine or the core
    has none; `ToolError` when a tool is missing or fails.
    """
    return profile_flashes(plan, files, core, [flash], sample=sample, extra_flags=extra_flags)[0]


def profile_flashes(
    plan: Plan,
    files: Mapping[str, bytes],
    core: Core,
    flashes: Sequence[Flash | None],
    *,
    sample: bytes | None = None,
    extra_flags: Sequence[str] = (),
) -> list[Measured]:
    """`profile_plan` with each of several flashes: compiled once."""
    sizes = ([(e.length, e.quant.bits) for e in ends] for ends in (plan.inputs, plan.outputs))
    model = model_view(plan.name, *sizes, stateful=bool(plan.states))
    layers = [(step.name, len(step.calls)) for step in plan.steps]
    return _profile(model, layers, files, core, sample, flashes, extra_flags)


def profile_library(
    model: ModelView,
    layers: Sequence[tuple[str, int]],
    files: Mapping[str, bytes],
    core: Core,
    flashes: Sequence[Flash | None] = (None,),
    *,
    sample: bytes | None = None,
    extra_flags: Sequence[str] = (),
) -> list[Measured]:
    """`profile_flashes` for a library whose plan is gone: `layers` are names with how many kernels each calls."""
    return _profile(model, layers, files, core, sample, flashes, extra_flags)


def _profile(
    model: ModelView,
    layers: Sequence[tuple[str, int]],
    files: Mapping[str, bytes],
    core: Core,
    sample: bytes | None,
    flashes: Sequence[Flash | None],
    extra_flags: Sequence[str],
) -> list[Measured]:
    if core.machine is None:
        raise TargetError(
            f"{core.name} is not emulated, so its instructions cannot be counted. Take a board with a core that is "
            "(tinygen boards)."
        )
    if core.arch.decode is None:
        raise TargetError(
            f"{core.name}: tinygen cannot tell the instructions of a {core.arch.title} apart, so it cannot count them. "
            "Profile on the board itself (`port`), or on a core of another architecture."
        )
    if sample is None:
        sample = default_sample(sum(p.nbytes for p in model.inputs))
    with work_folder() as folder:
        (folder / "in.bin").write_bytes(sample)
        elf, pieces = _compile(folder, model, files, core, extra_flags)
        return [_count(folder, elf, pieces, model, layers, core, flash) for flash in flashes]


def _count(
    folder: Path,
    elf: Path,
    pieces: tuple[Piece, ...],
    model: ModelView,
    layers: Sequence[tuple[str, int]],
    core: Core,
    flash: Flash | None,
) -> Measured:
    """One run of the program, counted."""
    assert core.machine is not None
    assert core.arch.decode is not None
    image = read_image(elf)
    stack = image.address("tg_stack_limit"), image.address("tg_stack_top")
    spans, said = count(
        *(core.machine, elf, image, f"{model.name}_run", _own_code(image, model.name), stack, folder),
        RUN_TIMEOUT_S,
        decode=core.arch.decode,
        timing=core.timing,
        flash=flash,
    )
    outputs = (folder / "out.bin").read_bytes()
    used = int(dict(line.split(" ", 1) for line in said.splitlines() if " " in line)["stack"])
    calls = sum(n for _, n in layers)
    if len(spans) != calls + 1:
        raise ToolError(
            f"{model.name}_run called {len(spans) - 1} kernels, but its layers have {calls}: this is a fault in tinygen"
        )
    # The last span is the way from the last kernel to the end of <model>_run.
    spans = [*spans[:-2], add(spans[-2:])]
    shares: list[Counts] = []
    for _, n in layers:
        shares.append(add(spans[:n]))
        spans = spans[n:]
    total = add(shares)
    named = tuple(
        LayerCounts(name, share, max(0, used - (share.deepest - total.deepest)))
        for (name, _), share in zip(layers, shares, strict=True)
    )
    return Measured(core.name, core.timing is not None, named, total, used, outputs, image, pieces)


def _compile(
    folder: Path, model: ModelView, files: Mapping[str, bytes], core: Core, extra_flags: Sequence[str]
) -> tuple[Path, tuple[Piece, ...]]:
    """The program that runs the model once on in.bin, linked for the core's machine."""
    src = folder / "src"
    src.mkdir()
    for name, content in {**files, "harness.c": render_harness(model)}.items():
        (src / name).write_bytes(content)
    sources = sorted((*src.glob("*.c"), *src.glob("*.S")))
    try:
        program = compile_program(
            find_toolchain(core), core, sources, [src], folder / "profile.elf", extra_flags=extra_flags, link_map=True
        )
    except ToolError as error:
        if "does not fit" not in str(error) or core.machine is None:
            raise
        raise TargetError(
            f"{model.name} is too large for {core.machine.name}, the machine that stands for a {core.name} "
            f"({core.machine.flash_size // 1024:,} KiB of flash, {core.machine.ram_size // 1024:,} KiB of RAM): {error}"
        ) from error
    assert program.map_file is not None
    # Names without folders: where it was linked says nothing.
    pieces = (replace(p, owner=p.owner.rsplit("/", 1)[-1]) for p in read_map(program.map_file))
    return program.elf, tuple(pieces)


def _own_code(image: Image, model: str) -> list[tuple[int, int]]:
    """Address ranges of <model>_run and of those of its layers' functions that the compiler did not inline."""
    return [
        (s.address, s.address + s.size)
        for s in image.symbols
        if s.is_function and (s.name == f"{model}_run" or s.name.startswith("layer_"))
    ]
