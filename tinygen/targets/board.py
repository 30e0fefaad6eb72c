"""Boards: what a manifest in boards/ says, checked and typed.

A manifest is a PlatformIO board file (PlatformIO reads the same file to build) with a `tinygen` section of ours and
the emulator's memory in `debug.qemu`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from tinygen.errors import TargetError, did_you_mean
from tinygen.resources import boards_dir
from tinygen.targets.arch.base import Core, Emulator, Machine
from tinygen.targets.cores import get_core

#: The board that figures are for, and a new project, where nobody names one.
DEFAULT_BOARD = "nucleo_f446re"


@dataclass(frozen=True, slots=True)
class CodeRam:
    """RAM from which a part runs code without waits, where it is known: its name in the manual, and the bytes of RAM
    that are left beside it in one piece, for all else."""

    name: str
    start: int
    size: int
    ram_left: int


@dataclass(frozen=True, slots=True)
class RunPoint:
    """What a part draws while it computes, at one clock."""

    clock_hz: int
    milliamperes: float


#: Whose current a board's manifest has: of networks, measured; of a maker's programs, in a datasheet's table; or the
#: microamperes for a megahertz that its catalogue has for the part, of which it says no more.
DRAWN_BY = ("networks", "datasheet", "catalogue")


@dataclass(frozen=True, slots=True)
class Supply:
    """What a part draws at `volts`. `run`: at the board's clock, then at others that its maker names. `of`: what drew
    it, one of DRAWN_BY. `sleep_microamperes`: between inferences, memory kept, None where it is not known. `source` and
    `sleep_source` are the documents."""

    volts: float
    run: tuple[RunPoint, ...]
    of: str
    source: str
    sleep_microamperes: float | None
    sleep_source: str | None


@dataclass(frozen=True, slots=True, repr=False)
class Board:
    """One board. Sizes in bytes; `flash_*` and `ram_*` are what a program may use, after any boot loader.

    `stand_in` is the QEMU machine that runs the board's programs, None for `native`, whose sizes are only "large".
    `registry_platform` and `registry_board` name the board in PlatformIO's registry, None where it has no entry.
    `openocd_board` is OpenOCD's name for it, None where we know of none. `supply` is None where no document that we
    found says what the part draws. `code_in_ram`: bytes of `code_ram` that the user gives to code (`with_code_in_ram`).
    `zero_wait`: the user says that its memory never waits, whatever the part is known for.
    """

    id: str
    name: str
    vendor: str
    url: str
    core: Core
    mcu: str
    f_cpu_hz: int
    flash_bytes: int
    ram_bytes: int
    flash_start: int
    ram_start: int
    stand_in: Machine | None
    registry_platform: str | None
    registry_board: str | None
    openocd_board: str | None
    supply: Supply | None
    notes: str
    manifest: Path
    code_ram: CodeRam | None = None
    code_in_ram: int = 0
    zero_wait: bool = False

    def __repr__(self) -> str:
        if self.stand_in is None:
            return f"<Board {self.id}: this computer>"
        memory = f"{self.flash_bytes // 1024:,} KiB of flash, {self.ram_bytes // 1024:,} KiB of RAM"
        return f"<Board {self.id}: {self.core.name} at {self.f_cpu_hz / 1e6:g} MHz, {memory}>"

    @property
    def relink(self) -> bool:
        """True when the emulator's memory is elsewhere, so that the board's own image cannot run in it."""
        here = self.stand_in
        return here is not None and (here.flash_start, here.ram_start) != (self.flash_start, self.ram_start)


def load_board(board_id: str) -> Board:
    """The board of that id; `TargetError` names the closest ids when there is none, or what is wrong in its file."""
    ids = board_ids()
    if board_id not in ids:
        hint = did_you_mean(board_id, ids)
        raise TargetError(
            f'no board "{board_id}" among the {len(ids)} in {boards_dir()}.{hint} List them: tinygen boards'
        )
    return read_manifest(boards_dir() / f"{board_id}.json")


def all_boards() -> tuple[Board, ...]:
    """Every board, sorted by id."""
    return tuple(read_manifest(boards_dir() / f"{board_id}.json") for board_id in board_ids())


def read_manifest(path: Path) -> Board:
    """The board in one manifest file; its id is the file's name. `TargetError` names file and key."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TargetError(f"board manifest {path} cannot be read: {error}") from error
    manifest = _Section(path, "", data)
    build, upload, ours = manifest.section("build"), manifest.section("upload"), manifest.section("tinygen")
    registry = ours.section("registry")
    try:
        core = get_core(ours.text("core"))
    except TargetError as error:
        raise TargetError(f"board manifest {path}: tinygen.core: {error}") from error
    machine = core.machine
    return Board(
        id=path.stem,
        name=manifest.text("name"),
        vendor=manifest.text("vendor"),
        url=manifest.text("url"),
        core=core,
        mcu=build.text("mcu"),
        f_cpu_hz=build.integer("f_cpu"),
        flash_bytes=upload.integer("maximum_size"),
        ram_bytes=upload.integer("maximum_ram_size"),
        flash_start=0 if machine is None else build.integer("flash_start"),
        ram_start=0 if machine is None else build.integer("ram_start"),
        stand_in=None if machine is None else _stand_in(machine.emulator, manifest.section("debug").section("qemu")),
        registry_platform=registry.text_or_none("platform"),
        registry_board=registry.text_or_none("board"),
        openocd_board=manifest.section("debug").text_or_none("openocd_board"),
        supply=_supply(ours.section("supply"), build.integer("f_cpu")) if ours.has("supply") else None,
        notes=ours.text("notes"),
        manifest=path,
        code_ram=_code_ram(build),
    )


def _supply(supply: _Section, f_cpu_hz: int) -> Supply:
    run = tuple(RunPoint(p.integer("clock_hz"), p.number("milliamperes")) for p in supply.sections("run"))
    if not run or run[0].clock_hz != f_cpu_hz:
        supply.fail("run", f"a list that begins with the board's own clock, {f_cpu_hz}", [p.clock_hz for p in run])
    sleep = None if supply.text_or_none("sleep_source") is None else supply.number("sleep_microamperes")
    return Supply(
        supply.number("volts"), run, supply.one_of("of", DRAWN_BY), supply.text("source"), sleep,
        supply.text_or_none("sleep_source"),
    )  # fmt: skip


def with_code_in_ram(board: Board, size: int) -> Board:
    """The board where `size` bytes of its RAM for code are given to kernels, and the RAM for data is what is left
    beside. TargetError where it has no such RAM, or less of it."""
    if size == 0:
        return board
    ram = board.code_ram
    if ram is None:
        able = ", ".join(b.id for b in all_boards() if b.code_ram is not None)
        raise TargetError(
            f"`code_in_ram`: tinygen knows no RAM of {board.id} ({board.mcu}) from which code runs without waits. "
            f"Boards that have some: {able}. Elsewhere -DTG_KERNEL_SECTION='\".ramfunc\"' moves all kernels."
        )
    if not 0 < size <= ram.size:
        raise TargetError(
            f"`code_in_ram`: found {size:,} bytes, allowed are 1 to {ram.size:,}, the size of {board.id}'s {ram.name}."
        )
    return replace(board, code_in_ram=size, ram_bytes=ram.ram_left)


def _code_ram(build: _Section) -> CodeRam | None:
    """RAM for code, where the manifest names one."""
    if not build.has("code_ram"):
        return None
    ram = build.section("code_ram")
    return CodeRam(ram.text("name"), ram.integer("start"), ram.integer("size"), ram.integer("ram_left"))


def _stand_in(emulator: Emulator, qemu: _Section) -> Machine:
    flash_start = qemu.integer("flash_start")
    return Machine(
        emulator,
        name=qemu.text("machine"),
        args=qemu.texts("args"),
        flash_start=flash_start,
        flash_size=qemu.integer("flash_size"),
        ram_start=qemu.integer("ram_start"),
        ram_size=qemu.integer("ram_size"),
        vectors_start=qemu.integer("vectors_start") if qemu.has("vectors_start") else flash_start,
    )


def board_ids() -> list[str]:
    """Of every board; reads no manifest."""
    return sorted(path.stem for path in boards_dir().glob("*.json"))


class _Section:
    """A JSON object that knows its file and key, so that every complaint can name them."""

    def __init__(self, path: Path, key: str, data: object) -> None:
        if not isinstance(data, Mapping):
            raise TargetError(f'board manifest {path}: "{key}" must be an object, found {data!r}')
        self._path, self._key, self._data = path, key, data

    def has(self, key: str) -> bool:
        return key in self._data

    def section(self, key: str) -> _Section:
        return _Section(self._path, self._name(key), self._get(key))

    def sections(self, key: str) -> tuple[_Section, ...]:
        value = self._get(key)
        if not isinstance(value, list):
            return self.fail(key, "a list of objects", value)
        return tuple(_Section(self._path, f"{self._name(key)}[{i}]", item) for i, item in enumerate(value))

    def text(self, key: str) -> str:
        value = self._get(key)
        return value if isinstance(value, str) else self.fail(key, "a string", value)

    def text_or_none(self, key: str) -> str | None:
        return None if self._data.get(key) is None else self.text(key)

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            return self.fail(key, "a list of strings", value)
        return tuple(value)

    def one_of(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self._get(key)
        return value if isinstance(value, str) and value in allowed else self.fail(key, " or ".join(allowed), value)

    def number(self, key: str) -> float:
        """Above 0."""
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            return self.fail(key, "a number above 0", value)
        return float(value)

    def integer(self, key: str) -> int:
        """A JSON number, or PlatformIO's texts for one: "0x08000000", "180000000L"."""
        value = self._get(key)
        if isinstance(value, str):
            try:
                value = int(value.removesuffix("L"), 0)
            except ValueError:
                return self.fail(key, "a number", value)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            return self.fail(key, "a number, not negative", value)
        return value

    def _name(self, key: str) -> str:
        return f"{self._key}.{key}" if self._key else key

    def _get(self, key: str) -> object:
        if key not in self._data:
            raise TargetError(f'board manifest {self._path}: "{self._name(key)}" is missing')
        value: object = self._data[key]
        return value

    def fail(self, key: str, expected: str, found: object) -> NoReturn:
        raise TargetError(f'board manifest {self._path}: "{self._name(key)}" must be {expected}, found {found!r}')
