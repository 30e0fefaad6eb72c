"""Profile the folder of a build: read it, count it, and say where its flash and RAM go."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinygen.build.toolchain import Piece
from tinygen.emit import summary
from tinygen.emit.library import home
from tinygen.emit.programs import golden_header
from tinygen.emit.stamp import plain
from tinygen.emit.writer import reading
from tinygen.errors import OutputError, TargetError, VerifyError
from tinygen.profile.measure import model_view, profile_library
from tinygen.profile.types import BufferUse, FlashUse, LayerProfile, Profile
from tinygen.targets.arch.base import Architecture
from tinygen.targets.board import Board, load_board, with_code_in_ram
from tinygen.targets.cores import get_core
from tinygen.targets.flash import SILICON, Flash, flash_of


@dataclass(frozen=True, slots=True)
class Build:
    """What a folder holds: the plan (emit/summary.py says what is in it), the model's C by file name, and a golden
    sample: all its inputs and all its outputs as bytes."""

    folder: Path
    plan: Mapping[str, Any]
    files: Mapping[str, bytes]
    inputs: bytes
    outputs: bytes

    @property
    def name(self) -> str:
        """The model's name in C."""
        return str(self.plan["model"])


def read_build(folder: Path) -> Build:
    """The build in a folder; `OutputError` when it is none, is edited, or was made by a tinygen without plan.json."""
    with reading(folder):
        return _read(folder)


def _read(folder: Path) -> Build:
    try:
        plan = json.loads((folder / summary.FILE).read_text(encoding="utf-8"))
        if plan["format"] != summary.FORMAT:
            raise OutputError(
                f"{folder}: {summary.FILE} has format {plan['format']}, this tinygen reads {summary.FORMAT}. "
                "Build again with this version."
            )
        name = str(plan["model"])
        src = folder / home(name)
        files = {p.name: p.read_bytes() for p in sorted(src.iterdir()) if p.suffix in (".c", ".h", ".S")}
        golden = (folder / golden_header(name)).read_text(encoding="ascii")
        ports = {kind: _golden(golden, name, kind, plan[f"{kind}s"]) for kind in ("input", "output")}
    except FileNotFoundError as error:
        raise OutputError(
            f"{folder}: {Path(error.filename).name} is missing, so it was built by an older tinygen. Build again."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{folder} cannot be read as a build of tinygen: {error}. Build again.") from error
    return Build(folder, plan, files, ports["input"], ports["output"])


def _golden(header: str, name: str, kind: str, ports: Sequence[Mapping[str, Any]]) -> bytes:
    """The first golden sample's values, from the header of our own making."""
    parts: list[bytes] = []
    for i, port in enumerate(ports):
        found = re.search(rf"\b{name}_golden0_{kind}{i}\[\d+\] = \{{([^}}]*)\}}", header)
        values = [int(v) for v in found[1].split(",") if v.strip()] if found else []
        if len(values) != port["length"]:
            raise ValueError(f"golden {kind} {i} has {len(values)} values, not {port['length']}")
        size = port["bits"] // 8
        parts.append(b"".join(v.to_bytes(size, "little", signed=True) for v in values))
    return b"".join(parts)


def port_sizes(ports: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """(elements, bits of each) of the plan's inputs or outputs."""
    return [(int(p["length"]), int(p["bits"])) for p in ports]


def board_for(build: Build, board_id: str | None) -> Board:
    """The board to profile for: that of the build unless another is named, whose core must run the same kernels."""
    board = load_board(board_id or str(build.plan["board"]))
    core = get_core(str(build.plan["core"]))
    if (board.core.arch, board.core.kernel_sets) != (core.arch, core.kernel_sets):
        raise TargetError(
            f"{build.folder} was built for {build.plan['board']} ({core.name}); its kernels are not those for "
            f'{board.id} ({board.core.name}). Build it with `board="{board.id}"` into another folder and profile that.'
        )
    if core.machine is None:
        raise TargetError(
            f"{build.folder} was built for {build.plan['board']}, which no emulator stands for: there is nothing to "
            "count instructions with. Build it for a board with another core (tinygen boards)."
        )
    return board


def profile_folder(folder: Path, board_id: str | None = None) -> Profile:
    """Count one inference of the build in `folder`, on the first of its golden samples.

    `VerifyError` when the outputs are not the golden ones, the errors of `read_build` and `profile_library` else.
    """
    build = read_build(folder)
    board = board_for(build, board_id)
    flash = flash_of(board)
    plan = build.plan
    if "in_ram" in plan and board.code_ram is not None:
        board = with_code_in_ram(board, board.code_ram.size)
    sizes = [port_sizes(plan[kind]) for kind in ("inputs", "outputs")]
    view = model_view(build.name, *sizes, stateful="states" in plan)
    calls = [(str(layer["name"]), len(layer["calls"])) for layer in plan["layers"]]
    clocks = _clocks(board)
    flashes = list(dict.fromkeys(clocks.values()))
    found = profile_library(view, calls, build.files, board.core, flashes, sample=build.inputs)
    counted_on = dict(zip(flashes, found, strict=True))
    measured = counted_on[flash]
    if measured.outputs != build.outputs:
        raise VerifyError(
            f"{folder}: the outputs of the profiled run are not those of the golden sample. This is a fault in "
            "tinygen: please report it with the model."
        )
    layers = tuple(
        LayerProfile(
            str(layer["name"]),
            str(layer["operator"]),
            tuple(layer["onnx"]),
            tuple(call["kernel"] for call in layer["calls"]),
            tuple(layer["shape"]),
            int(layer["macs"]),
            sum(layer["constants"].values()),
            counted.counts,
            counted.stack,
        )
        for layer, counted in zip(plan["layers"], measured.layers, strict=True)
    )
    use = flash_use(measured.pieces, build, board.core.arch)
    profile = Profile(
        build.name,
        board,
        board.core.name,
        measured.has_cycles,
        flash if measured.has_cycles else None,
        layers,
        measured.total,
        measured.stack,
        use,
        int(plan["arena"]),
        sum(length * bits // 8 for ports in sizes for length, bits in ports),
        tuple(BufferUse(**b) for b in plan["buffers"]),
        (),
        {hz: counted_on[there].total.flash_cycles for hz, there in clocks.items()},
    )
    return _with_notes(profile, build)


def _clocks(board: Board) -> dict[int, Flash | None]:
    """The flash at the board's own clock, and at each whose current its maker names."""
    hz = [board.f_cpu_hz]
    if board.core.timing is not None and board.supply is not None:
        hz += [point.clock_hz for point in board.supply.run]
    return {f: flash_of(replace(board, f_cpu_hz=f)) for f in hz}


def flash_use(pieces: Sequence[Piece], build: Build, arch: Architecture) -> FlashUse:
    """Who takes how much flash, from the linker's map and the plan."""
    name = build.name
    kernels: dict[str, int] = {}
    model, libraries, weights = 0, 0, 0
    for piece in pieces:
        if arch.sections.get(piece.section, "ram") == "ram":
            continue
        owner = piece.owner.split("(")[0]
        source = owner.removesuffix(".o")
        if source == f"{name}_weights.c":
            weights += piece.size
        elif source in build.files and source.startswith("tg_"):
            kernel = plain(source.rsplit(".", 1)[0])
            kernels[kernel] = kernels.get(kernel, 0) + piece.size
        elif source in build.files:
            model += piece.size
        elif owner.endswith(".a"):
            libraries += piece.size
    constants: dict[str, int] = {}
    seen: set[str] = set()
    for layer in build.plan["layers"]:
        own = {array: size for array, size in layer["constants"].items() if array not in seen}
        seen.update(own)
        if own:
            constants[str(layer["name"])] = sum(own.values())
    # What the linker adds between arrays, to align them.
    model += weights - sum(constants.values())
    return FlashUse({k: n for k, n in sorted(kernels.items()) if n}, model, constants, libraries)


def _with_notes(profile: Profile, build: Build) -> Profile:
    """The profile with what its reader must know."""
    notes: list[str] = []
    core, board = profile.board.core, profile.board
    built_for = str(build.plan["core"])
    if built_for != core.name:
        notes.append(f"The kernels were chosen for a {built_for}; a build for {board.id} may be faster.")
    if core.timing is None:
        why = core.no_timing or "no cycle model"
        notes.append(f"No cycles: {why}, so a sum over instructions would be wrong.")
    else:
        branches = 100.0 * profile.total.branches_taken / max(1, profile.total.cycles)
        notes.append(
            f"Cycles are modelled, not measured. {core.timing.notes} "
            f"One cycle more or less for each taken branch is {branches:.1f} % of the total."
        )
        if profile.flash is None:
            notes.append(f"The flash of the {board.mcu} has no model: time without its wait states only.")
        else:
            more = f" Assumed: {profile.flash.notes}." if profile.flash.notes else ""
            notes.append(
                f"Flash of the {profile.flash.family} after {profile.flash.source}; silicon takes {SILICON[0]} to "
                f"{SILICON[2]} times as long, by published times of one board.{more}"
            )
    if "in_ram" in build.plan and board.code_ram is None:
        notes.append(
            "Kernels and constants that the build puts into RAM are counted as if they never waited there, which "
            f"nobody knows of {board.id}."
        )
    for what, used, there in (
        ("flash", profile.flash_use.total, board.flash_bytes),
        ("RAM", profile.ram, board.ram_bytes),
    ):
        if used > there:
            notes.append(f"The model does not fit {board.id}: {used:,} bytes of {what}, {there:,} there.")
    return replace(profile, notes=tuple(notes))
