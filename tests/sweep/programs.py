"""Calls of kernels on an emulated core: many in one program, every byte of its output compared."""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.emulate import Case, Program, layouts
from tests.sweep.layers import Single
from tinygen.build.process import run
from tinygen.build.qemu import QemuResult, qemu_command
from tinygen.build.toolchain import compile_program, find_host, find_toolchain
from tinygen.emit.library import kernel_files
from tinygen.emit.programs import render_harness
from tinygen.emit.stamp import plain
from tinygen.kernels.library import PRINTED
from tinygen.kernels.registry import limits
from tinygen.numerics import Array
from tinygen.ops import Operator
from tinygen.ops.base import Call, Planes, need_quant
from tinygen.plan.planar import pad_call
from tinygen.plan.select import candidates
from tinygen.profile.measure import model_view
from tinygen.resources import templates_dir
from tinygen.targets.arch.arm_m import TRAP_UNALIGNED
from tinygen.targets.arch.base import KIB, MIB, Core
from tinygen.targets.cores import get_core

HERE = Path(__file__).resolve().parent
INTERRUPTS = (HERE / "interrupted.c", HERE.parent / "c" / "target" / "interrupts.c")
#: The C library's own memcpy is for cores that may read unaligned words.
BYTEWISE = HERE / "bytewise.c"
#: Cycles of the timer, of 40 instructions each: a few hundred instructions beside those of the handler.
PERIOD = 18
TIMEOUT_S = 600.0
#: Calls, bytes of constants, and bytes of activations of a program.
CALLS, CONSTANTS, ACTIVATIONS = 1500, 1_200_000, 1_000_000
#: Bytes behind planes that are read with the last word, and may be anything.
TAIL = 3
#: Generated kernels in a file for the compiler.
TOGETHER = 100


#: Kinds of generated kernels (the template, and what the planner made of it) and their names.
KINDS = (
    ("tg_program, tile", r"tg_tile_w3?_"),
    ("tg_program, looped tile", r"tg_tile_l_"),
    ("tg_program, group of tiles", r"tg_tile_g_"),
    ("tg_program, tile of a column", r"tg_tile_c_"),
    ("tg_program, tile that slides", r"tg_tile_[a-z2-7]{6}_dsp"),
    ("tg_program, window that slides", r"tg_fill_"),
    ("tg_program, row", r"tg_row_"),
    ("tg_program, square row", r"tg_row2x2_"),
    ("tg_program, plane", r"tg_plane_s1_"),
    ("tg_program, plane of stride 2", r"tg_plane_s2_"),
    ("tg_program, row of taps", r"tg_taps_"),
    ("tg_program, palette tile", r"tg_tile_pal\d_dsp"),
    ("tg_dense_pal", r"tg_dense_pal\dp?_s8_dsp"),
    ("tg_conv_pal, lanes", r"tg_conv_pal\dx.*_s8_m"),
    ("tg_dense_pal, lanes", r"tg_dense_pal\df.*_s8_m"),
)
#: Have several outputs; tests/c/test_recurrent.py sweeps them.
RECURRENT = ("tg_gru_", "tg_lstm_", "tg_rnn_")
#: Of the kinds, those of the sets m0 and m3; the others are of the set dsp.
LANES = frozenset(("tg_conv_pal, lanes", "tg_dense_pal, lanes"))


def _kind(name: str) -> str:
    """Of a generated kernel."""
    (kind,) = (kind for kind, pattern in KINDS if re.match(pattern, name))
    return kind


def _unknown(files: Sequence[str]) -> set[str]:
    """Templates that have no kind: they never run."""
    known = {kind.split(",")[0] for kind, _ in KINDS}
    return {f.split(".")[0] for f in files if f.endswith(".j2")} - known


@dataclass(frozen=True)
class Target:
    """A core as the sweep runs it: `sets`, whose candidates are called; `trapped`: no access at all may be unaligned;
    `vectors`: those of Helium are watched; `interrupted`: once more, with interrupts."""

    name: str
    core: Core
    sets: tuple[str, ...]
    trapped: bool = False
    vectors: bool = False
    interrupted: bool = False

    @property
    def kernels(self) -> set[str]:
        """All there are for the target, templates by their names."""
        folders = [templates_dir() / "kernels" / name for name in self.sets]
        files = [p.name for folder in folders for p in folder.glob("tg_*") if p.name.endswith((".c", ".c.j2"))]
        files = [name for name in files if not name.startswith(RECURRENT)]
        made = {kind for kind, _ in KINDS if ("dsp" in self.sets) != (kind in LANES)}
        if not {"dsp", "m0", "m3"} & set(self.sets):
            made = set()
        printed = {name for name in PRINTED if name.endswith(tuple(f"_{s}" for s in self.sets))}
        return {f.removesuffix(".c") for f in files if f.endswith(".c")} | made | printed | _unknown(files)


def _targets() -> tuple[Target, ...]:
    m0, m3, m4, m7, m33, m55 = (get_core(f"cortex-{name}") for name in ("m0", "m3", "m4", "m7", "m33", "m55"))
    assert m0.machine is not None
    sizes = ("-global", f"nrf51-soc.sram-size={4 * MIB}", "-global", f"nrf51-soc.flash-size={4 * MIB}")
    large = replace(m0.machine, args=sizes, flash_size=4 * MIB, ram_size=4 * MIB)
    return (
        Target("cortex-m0", replace(m0, machine=large), m0.kernel_sets, trapped=True),
        Target("cortex-m3", m3, m3.kernel_sets, trapped=True),
        Target("cortex-m4", m4, m4.kernel_sets, interrupted=True),
        Target("cortex-m7", m7, m7.kernel_sets),
        Target("cortex-m33", m33, m33.kernel_sets),
        Target("cortex-m55", m55, ("mve", "ref"), trapped=True, vectors=True),
        Target("cortex-m55, dsp", m55, ("dsp",)),
    )


TARGETS = _targets()


@dataclass(frozen=True, eq=False)
class Check:
    """A call and the bytes that its output must be; those that it must leave alone are 0."""

    single: Single
    case: Case
    wanted: Array

    @property
    def kernels(self) -> frozenset[str]:
        """What runs for it, generated kernels by their template."""
        call = self.case.call
        library = frozenset().union(*(_library(c.library) for c in (call, *self.case.more)))
        return library | {_kind(g.name) for g in call.generated}

    def __str__(self) -> str:
        call = self.case.call
        made = "".join(f", {g.name}" for g in call.generated)
        planes = f", reads {call.x_planes}" if call.x_planes else f", writes {call.y_planes}" if call.y_planes else ""
        return f"{self.single.name}: {call.kernel}{made}{planes}, {dict(call.config)}"


@cache
def _library(kernels: tuple[str, ...]) -> frozenset[str]:
    """These and those that they call."""
    return frozenset(name.removesuffix(".c") for name in kernel_files(kernels) if name.endswith(".c"))


def checks(layer: Single, sets: Sequence[str]) -> list[Check]:
    """Every candidate of every call of a layer, dense and with planes."""
    graph = layer.graph
    found: list[Check] = []
    node = graph.nodes[0]
    assert isinstance(node.op, Operator)
    lowered = node.op.lower(graph.ins(node), graph.outs(node))
    zero_point = need_quant(graph.outs(node)[0])[1]

    def add(call: Call, wanted: Array, more: tuple[Call, ...] = ()) -> None:
        case = Case(layer.name, graph, call, values=layer.values, more=more, shift=layer.seed + len(found))
        found.append(Check(layer, case, np.ascontiguousarray(wanted).ravel().view(np.int8)))

    call, more = replace(lowered[0], limits=_more(limits(lowered), layer.seed)), tuple(lowered[1:])
    for made in candidates(call, sets):
        if "ref" in sets or made.kernel != call.kernel:
            add(made, layer.wanted, more)
    for one in _planes(call, layer.seed):
        for made in candidates(one, sets):
            planes = made.y_planes
            add(made, layer.wanted.ravel() if planes is None else _laid(layer.wanted, planes))
        if one.y_planes is not None and "dsp" in sets:
            around = np.full(one.y_planes.size, zero_point, np.int8)
            around[one.y_planes.place(layer.wanted).ravel()] = 0
            around[-TAIL:] = 0
            pad = pad_call(call.output, one.y_planes, zero_point)
            add(replace(pad, y_planes=one.y_planes), around)
    return found


def _more(room: tuple[tuple[str, int], ...], seed: int) -> tuple[tuple[str, int], ...]:
    """Now and then as if another layer of the network had more channels."""
    return tuple((window, most + seed // 16 % 3) for window, most in room)


def _planes(call: Call, seed: int) -> list[Call]:
    """`call` with planes that are read, or written with any lead and gap."""
    made = layouts(call)
    if made and made[0].y_planes is not None:
        gap = seed // 16 % 4
        return [
            replace(c, y_planes=replace(c.y_planes, stride=c.y_planes.cols + gap, lead=seed // 64 % (gap + 1)))
            for c in made
            if c.y_planes is not None
        ]
    return made


def _laid(y: Array, planes: Planes) -> Array:
    laid = np.zeros(planes.size, np.int8)
    laid[planes.place(y).ravel()] = y.ravel()
    return laid


def batches(all_checks: Sequence[Check]) -> Iterator[list[Check]]:
    """As many checks at a time as fit a program."""
    batch: list[Check] = []
    constants = activations = 0
    for check in all_checks:
        k = sum(c.array.nbytes for c in check.case.call.consts)
        a = check.wanted.size + sum(v.nbytes for v in check.single.values.values())
        if batch and (len(batch) >= CALLS or constants + k > CONSTANTS or activations + a > ACTIVATIONS):
            yield batch
            batch, constants, activations = [], 0, 0
        batch.append(check)
        constants, activations = constants + k, activations + a
    if batch:
        yield batch


@dataclass
class Outcome:
    """What ran how often, and one text for each call that went wrong."""

    ran: Counter[str]
    faults: list[str]
    calls: int = 0
    interrupts: int = 0

    def add(self, other: Outcome) -> None:
        self.ran += other.ran
        self.faults += other.faults
        self.calls += other.calls
        self.interrupts += other.interrupts


def run_batch(target: Target, batch: Sequence[Check], folder: Path, plugin: Path | None) -> Outcome:
    """Compile the batch and run it; a program that ends badly is halved until the call is found that does it."""
    program = Program(target.core.name, [c.case for c in batch])
    elf = _compile(target, program, folder)
    outcome = Outcome(Counter(k for c in batch for k in c.kernels), [], len(batch))
    for period in (0, PERIOD) if target.interrupted else (0,):
        result, output = _run(target, elf, program, folder, period, plugin)
        how = f"{target.name}{', interrupted' if period else ''}"
        if result.exit_code != 0:
            if len(batch) > 1:
                half = len(batch) // 2
                parts = [
                    run_batch(target, part, folder / str(i), plugin)
                    for i, part in enumerate((batch[:half], batch[half:]))
                ]
                return _joined(outcome, parts, f"{how}: only together")
            said = result.fault or f"exit code {result.exit_code}"
            outcome.faults.append(f"{how}: {said}: {batch[0]}\n{result.stdout}{result.stderr}")
            break
        outcome.faults += [f"{how}: {text}" for text in different(batch, program, output)]
        seen = dict(line.split(" ", 1) for line in result.stdout.splitlines() if " " in line)
        outcome.interrupts += int(seen.get("interrupts", 0))
    return outcome


def _joined(whole: Outcome, parts: Sequence[Outcome], otherwise: str) -> Outcome:
    faults = [f for part in parts for f in part.faults]
    return Outcome(whole.ran, faults or [otherwise], whole.calls)


def _compile(target: Target, program: Program, folder: Path) -> Path:
    src = folder / "src"
    src.mkdir(parents=True)
    plan = program.plan
    model = model_view(plan.name, *([(e.length, e.quant.bits) for e in ends] for ends in (plan.inputs, plan.outputs)))
    for name, content in {**program.files, "harness.c": render_harness(model)}.items():
        (src / name).write_bytes(content)
    names = {g.name for g in plan.generated}
    made = [p.name for p in sorted(src.glob("*.c")) if plain(p.stem) in names]
    for i in range(0, len(made), TOGETHER):
        lines = "".join(f'#include "{name}"\n' for name in made[i : i + TOGETHER])
        (src / f"together{i}.c").write_text(lines, encoding="ascii")
    sources = [p for p in sorted(src.glob("*.c")) if p.name not in set(made)]
    flags: list[str] = []
    if target.trapped:
        sources.append(BYTEWISE)
        flags += [*TRAP_UNALIGNED, "-fno-tree-loop-distribute-patterns"]
    if target.interrupted:
        sources += INTERRUPTS
        flags += ["-Wl,--wrap=main"]
    made_program = compile_program(
        find_toolchain(target.core),
        target.core,
        sources,
        [src],
        folder / "sweep.elf",
        extra_flags=flags,
        stack_bytes=64 * KIB,
    )
    return made_program.elf


def _run(
    target: Target, elf: Path, program: Program, folder: Path, period: int, plugin: Path | None
) -> tuple[QemuResult, bytes]:
    (folder / "in.bin").write_bytes(program.sample)
    (folder / "period.bin").write_bytes(struct.pack("<I", period))
    (folder / "out.bin").unlink(missing_ok=True)
    assert target.core.machine is not None
    command = [*qemu_command(target.core.machine, elf.resolve())]
    command += ["-icount", "shift=0"] if period else []
    command += ["-plugin", str(plugin)] if plugin is not None else []
    done = run(tuple(command), folder, TIMEOUT_S)
    out, fault = folder / "out.bin", target.core.machine.emulator.faults.get(done.exit_code)
    return QemuResult(done.exit_code, done.stdout, done.stderr, fault), out.read_bytes() if out.is_file() else b""


def different(batch: Sequence[Check], program: Program, output: bytes) -> list[str]:
    """Calls whose output is not numpy's, or who wrote outside it."""
    found = np.frombuffer(output, np.int8)
    wanted = np.zeros_like(found)
    for check, (at, *_) in zip(batch, program.at, strict=True):
        wanted[at : at + check.wanted.size] = check.wanted
    wrong = np.flatnonzero(found != wanted)
    texts: dict[int, str] = {}
    for place in wrong.tolist():
        i = max(int(np.searchsorted([first for first, *_ in program.at], place, side="right")) - 1, 0)
        where = place - program.at[i][0]
        inside = where < batch[i].wanted.size
        wrote = f"byte {where} of {batch[i].wanted.size} is {found[place]}, not {wanted[place]}"
        texts.setdefault(i, f"{'differs' if inside else 'writes outside its output'}, {wrote}: {batch[i]}")
    return list(texts.values())


def build_plugin(folder: Path) -> Path:
    """The plug-in that watches Helium's accesses, compiled for this computer."""
    made = folder / "alignment.so"
    source = HERE / "alignment.c"
    command = (*find_host().cc, "-std=c99", "-O2", "-Wall", "-shared", "-fPIC", "-o", str(made), str(source))
    result = run(command, folder, TIMEOUT_S)
    assert result.exit_code == 0, result.stderr
    return made
