"""The plug-in for QEMU that counts: compiled once, told what the code costs, and read."""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from tinygen import system
from tinygen.build.elf import Image
from tinygen.build.process import run, with_temporary
from tinygen.build.qemu import qemu_command
from tinygen.build.toolchain import find_host
from tinygen.errors import ToolError
from tinygen.files import cache_dir, replace_file, work_folder
from tinygen.resources import templates_dir
from tinygen.targets.arch.base import Decode, Machine
from tinygen.targets.arch.timing import Kind, Timing, cycles, taken_cycles
from tinygen.targets.flash import Flash

COMPILE_TIMEOUT_S = 120.0
MAGIC = b"TGP4"
MEMORY, PIPELINED, BRANCH = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Counts:
    """What a piece of a run did, exactly but for cycles, which are modelled (0 for a core without a model).

    `cycles` with memory that never waits; `code_stalls` and `data_stalls` are what the flash model adds. `loads` and
    `stores` count registers, a vector as one, as written in the code, so also those that an IT block skips; `loaded`
    and `stored` are bytes that really moved. `deepest` is the lowest address of the stack that was written.
    """

    instructions: int = 0
    cycles: int = 0
    loads: int = 0
    stores: int = 0
    loaded: int = 0
    stored: int = 0
    branches_taken: int = 0
    code_stalls: int = 0
    data_stalls: int = 0
    deepest: int = 0xFFFF_FFFF

    @property
    def flash_cycles(self) -> int:
        """Cycles with the flash model's stalls."""
        return self.cycles + self.code_stalls + self.data_stalls


def add(parts: Iterable[Counts]) -> Counts:
    """The counts of several pieces together."""
    rows = [[getattr(p, f.name) for f in fields(Counts)] for p in parts]
    *counted, deepest = zip(*rows, strict=True)
    return Counts(*[*map(sum, counted), min(deepest)])


def plugin() -> Path:
    """The plug-in, compiled by the host's compiler when this version of it is not in the cache yet.

    It is kept in `files.cache_dir`. `ToolError` when it cannot be compiled.
    """
    if system.PLUGIN_FLAGS is None:
        raise ToolError(
            "QEMU's plug-ins are made in another way on Windows, so instructions cannot be counted there. Profile the "
            "folder in WSL or on another computer; build and verify work here"
        )
    source = templates_dir() / "profile" / "counter.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    folder = cache_dir() / "counter"
    library = folder / f"counter-{digest}.so"
    if library.is_file():
        return library
    compiler = find_host()
    with work_folder() as work:
        made = work / "counter.so"
        command = (*compiler.cc, "-std=c99", "-O2", *system.PLUGIN_FLAGS, "-o", str(made), str(source))
        result = run(command, work, COMPILE_TIMEOUT_S, with_temporary(work), doing="compiling the counter")
        if result.exit_code != 0 or not made.is_file():
            said = "\n".join(result.stderr.splitlines()[:8]) or "(it said nothing)"
            raise ToolError(
                f"{compiler.cc[0]} cannot compile the plug-in for QEMU that counts instructions "
                f"(exit code {result.exit_code}):\n{said}\nSet CC to another compiler of this computer."
            )
        content = made.read_bytes()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(library, content)  # whole, for a run beside this one
    except OSError as error:
        raise ToolError(
            f"cannot write {folder}: {error.strerror or error}. Set XDG_CACHE_HOME to another folder"
        ) from error
    return library


def count(
    machine: Machine,
    elf: Path,
    image: Image,
    entry: str,
    own: Iterable[tuple[int, int]],
    stack: tuple[int, int],
    folder: Path,
    timeout: float,
    *,
    decode: Decode,
    timing: Timing | None,
    flash: Flash | None,
    carries: bool = True,
) -> tuple[list[Counts], str]:
    """Run `elf` in `folder` and count the first call of the function `entry`; also what the program printed.

    `own` are address ranges: every return from elsewhere into them ends a piece, and the return from `entry` the last.
    `stack` is the range of the program's stack, `decode` knows its instructions. `ToolError` when it ends badly.
    Without `carries` a block of the emulator forgets what the one before it ended with, as simpler counters do.
    """
    table, out = folder / "counter.bin", folder / "counter.txt"
    table.write_bytes(_table(machine, image, image.address(entry), tuple(own), stack, decode, timing, flash, carries))
    command = (*qemu_command(machine, elf.resolve()), "-plugin", _plugin_option(plugin(), table, out))
    result = run(command, folder, timeout, doing=f"counting {elf.name}")
    if "-plugin" in result.stderr and "invalid option" in result.stderr:
        raise ToolError(f"{command[0]} was built without plug-ins. Install one that has them (Debian's does)")
    if result.exit_code != 0:
        said = "\n".join((result.stdout + result.stderr).splitlines()[:8])
        raise ToolError(f"the program did not end well in QEMU (exit code {result.exit_code}):\n{said}")
    rows = [[int(word) for word in line.split()] for line in out.read_text(encoding="ascii").splitlines()]
    return [Counts(*row) for row in rows], result.stdout


def _plugin_option(library: Path, table: Path, out: Path) -> str:
    """The plug-in's option; QEMU takes a comma in a value as two of them."""
    path, table_path, out_path = (str(p).replace(",", ",,") for p in (library, table, out))
    return f"{path},table={table_path},out={out_path}"


def _table(
    machine: Machine,
    image: Image,
    entry: int,
    own: tuple[tuple[int, int], ...],
    stack: tuple[int, int],
    decode: Decode,
    timing: Timing | None,
    flash: Flash | None,
    carries: bool,
) -> bytes:
    """What counter.c reads; see there for the layout."""
    flash_range = (machine.flash_start, machine.flash_start + machine.flash_size)
    model = (0,) * 11
    waits = flash is not None and bool(flash.waits or flash.ram_waits)
    if flash is not None and waits and (timing is not None or not flash.prefetch):  # reading ahead depends on time
        model = (
            flash.width, flash.waits, int(flash.prefetch), flash.sector, flash.ways, int(flash.shared),
            flash.code_bytes, flash.data_bytes, flash.data_waits, flash.data_ways,
            flash.ram_waits,
        )  # fmt: skip
    words = [entry, *stack, *flash_range, *model, int(carries), len(own), len(image.code)]
    parts = [MAGIC, _words(words), *(_words(r) for r in own)]
    for start, data in image.code:
        even = data[: len(data) & ~1]
        parts += [_words((start, start + len(even))), _entries(even, decode, timing)]
    return b"".join(parts)


def _words(values: Iterable[int]) -> bytes:
    return b"".join(struct.pack("<I", v) for v in values)


def _entries(code: bytes, decode: Decode, timing: Timing | None) -> bytes:
    """An entry for every halfword, as if an instruction began there: only those that do are ever looked at."""
    halfwords = [h for (h,) in struct.iter_unpack("<H", code)]
    pairs = zip(halfwords, [*halfwords[1:], 0], strict=True)
    return b"".join(_entry(a, b if _is_wide(a, decode) else 0, decode, timing) for a, b in pairs)


@functools.lru_cache(maxsize=1 << 16)
def _is_wide(first: int, decode: Decode) -> bool:
    return decode(first, 0).size == 4


@functools.lru_cache(maxsize=1 << 16)
def _entry(first: int, second: int, decode: Decode, timing: Timing | None) -> bytes:
    i = decode(first, second)
    single = i.kind in (Kind.LOAD, Kind.STORE)
    flags = (MEMORY if single else 0) | (BRANCH if i.branches else 0)
    if timing is None:
        return struct.pack("<BBBBBB2x", flags, 0, 0, i.loads, i.stores, i.size)
    if timing.pipelined and i.kind is Kind.LOAD:
        flags |= PIPELINED
    # Constants among the code may look like an instruction of hundreds of registers, which is never run.
    figures = (cycles(timing, i), taken_cycles(timing, i), i.loads, i.stores, i.size)
    return struct.pack("<BBBBBB2x", flags, *(min(n, 255) for n in figures))
