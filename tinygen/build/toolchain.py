"""Compile and link C programs, for this computer and for bare cores, and measure what the linker made."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from string import Template

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

from tinygen import system
from tinygen.build import discover
from tinygen.build.process import Group, RunResult, run, with_temporary
from tinygen.errors import MissingToolError, ToolError
from tinygen.resources import boards_dir
from tinygen.targets.arch.base import KIB, Architecture, Core, Machine
from tinygen.targets.arch.host import HOST
from tinygen.targets.cores import CORES

COMPILE_TIMEOUT_S = 300.0
JOBS = 2
ERROR_LINES = 12


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A C compiler that was found: the command, and the flags every program of it gets, after the core's own."""

    arch: Architecture
    cc: tuple[str, ...]
    cflags: tuple[str, ...]
    ldflags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """A linked program. `objects` are in the order of its sources; `map_file` is the linker's map, if asked for."""

    elf: Path
    map_file: Path | None
    objects: tuple[Path, ...]


def find_toolchain(core: Core) -> Toolchain:
    """The toolchain that builds for `core`; `ToolError` when it is not there."""
    return _find(core.arch)


def find_host() -> Toolchain:
    """The compiler of this computer; `ToolError` when there is none."""
    return _find(HOST)


def _find(arch: Architecture) -> Toolchain:
    compiler = arch.compiler
    command = discover.find(compiler)
    if command is None:
        raise MissingToolError(f"{discover.missing(compiler)}, so {_cannot_build(arch)}")
    more = system.HOST_CFLAGS if arch is HOST else ()
    return Toolchain(arch, command, (*compiler.cflags, *more), compiler.ldflags)


def _cannot_build(arch: Architecture) -> str:
    """The end of a message about what is not installed."""
    works = "generating code works without it, native checks do not"
    if arch is not HOST:
        works = "generating code and the native checks work without it"
    return f"nothing can be built for {arch.title}. {discover.advice(arch.compiler)}; {works}"


def target_include() -> Path:
    """Folder of tg_target.h, which every program of any architecture may use."""
    return boards_dir() / "platform" / "include"


def write_linker_script(path: Path, arch: Architecture, machine: Machine, stack_bytes: int) -> Path:
    """Write the linker script of a program for `machine`; returns `path`. Only for architectures that have one."""
    assert arch.linker_script is not None
    template = Template((arch.platform / arch.linker_script).read_text(encoding="utf-8"))
    text = template.substitute(
        vectors_start=f"0x{machine.vectors_start:08x}",
        flash_start=f"0x{machine.flash_start:08x}",
        flash_size=machine.flash_size,
        ram_start=f"0x{machine.ram_start:08x}",
        ram_size=machine.ram_size,
        stack_size=stack_bytes,
        code_region="RAM",
        code_ram_start=f"0x{machine.ram_start:08x}",
        code_ram_size=0,
    )
    path.write_text(text, encoding="utf-8")
    return path


def compile_program(
    toolchain: Toolchain,
    core: Core,
    sources: Sequence[Path],
    includes: Sequence[Path],
    out_elf: Path,
    *,
    extra_flags: Sequence[str] = (),
    linker_script: Path | None = None,
    stack_bytes: int = 32 * KIB,
    link_map: bool = False,
) -> Program:
    """Compile C and assembly `sources`, two at a time, and link them into `out_elf`, beside which all else is left.

    The architecture's start-up code is added, so that a program may use tg_target.h. Without a `linker_script`, a
    program for an emulated core is placed in the core's own machine with `stack_bytes` of stack. Objects lie in a
    folder named after the program and are called `<source>.o`, so no two sources may share a file name. `extra_flags`
    come last, for the compiler and the linker. `ToolError` shows the first lines of the compiler's message.
    """
    out_elf = out_elf.absolute()
    objects_dir = out_elf.parent / f"{out_elf.name}.objects"
    objects_dir.mkdir(parents=True, exist_ok=True)
    folders = [*(folder.absolute() for folder in includes), target_include()]
    flags = (*core.cflags, *toolchain.cflags, *(f"-I{folder}" for folder in folders))
    link = [*core.cflags, *toolchain.ldflags, *extra_flags]
    sources = [*(source.absolute() for source in sources), core.arch.platform / core.arch.start_up]
    if core.machine is not None:
        script = linker_script or write_linker_script(objects_dir / "link.ld", core.arch, core.machine, stack_bytes)
        link += ["-T", str(script.absolute())]
    objects = tuple(objects_dir / f"{source.name}.o" for source in sources)
    if len(set(objects)) != len(objects):
        raise ValueError(f"two sources share a file name: {[source.name for source in sources]}")

    group = Group()

    def compile_one(source: Path, target: Path) -> None:
        _cc(toolchain, (*flags, *extra_flags, "-c", str(source), "-o", str(target)), objects_dir, source.name, group)

    with ThreadPoolExecutor(JOBS) as pool:
        try:
            list(pool.map(compile_one, sources, objects))
        except BaseException:  # an error or Ctrl-C: do not wait for the others
            pool.shutdown(wait=False, cancel_futures=True)
            group.end()
            raise
    map_file = out_elf.with_name(out_elf.name + ".map") if link_map else None
    if map_file is not None:
        link.append(f"-Wl,-Map={map_file}")
    _cc(toolchain, (*map(str, objects), *link, "-o", str(out_elf)), objects_dir, out_elf.name)
    if not out_elf.is_file():
        raise ToolError(
            f"{toolchain.cc[0]} ended well, but made no {out_elf.name}: it is no C compiler. {_advice(toolchain)}"
        )
    return Program(out_elf, map_file, objects)


def run_native(exe: Path, args: Sequence[str], cwd: Path, timeout: float = 60.0) -> RunResult:
    """Run a program of this computer in `cwd`; `ToolError` when it does not end in `timeout` seconds."""
    return run((str(exe.absolute()), *args), cwd, timeout, doing="the network on this computer")


def _advice(toolchain: Toolchain) -> str:
    variable = toolchain.arch.compiler.variable
    return f'Set {variable} to another compiler if it is at fault; `verify="none"` generates the code without it.'


#: Where a message says what is wrong. The compiler's own words on the linker come behind the linker's.
_WRONG = re.compile(r"^(?!collect2: ).*(error|undefined reference)")


def _cc(toolchain: Toolchain, arguments: Sequence[str], cwd: Path, what: str, group: Group | None = None) -> None:
    """Run the compiler; `ToolError` with the lines that say what is wrong, or for the linker with what does not fit."""
    doing = f"compiling {what}" if "-c" in arguments else f"linking {what}"
    result = run((*toolchain.cc, *arguments), cwd, COMPILE_TIMEOUT_S, with_temporary(cwd), group=group, doing=doing)
    if result.exit_code == 0:
        return
    name = Path(toolchain.cc[0]).name
    overflow = re.search(r"region `(\w+)' overflowed by (\d+) bytes", result.stderr)
    if overflow:
        raise ToolError(f"{name}: {what} does not fit: {overflow[2]} bytes too many for {overflow[1]}")
    if toolchain.arch is not HOST and re.search(r"\w\.specs|fatal error: (string|stdint)\.h:", result.stderr):
        raise MissingToolError(f"{name} has no C library, so {_cannot_build(toolchain.arch)}")
    if os.strerror(errno.ENOSPC) in result.stderr:
        raise ToolError(f"{name}: no space left in {cwd} for {what}. Make room there, or set TMPDIR to another folder")
    lines = result.stderr.splitlines()
    start = next((i for i, line in enumerate(lines) if _WRONG.search(line)), 0)
    how = f"exit code {result.exit_code}" if result.exit_code > 0 else f"killed by signal {-result.exit_code}"
    said = lines[start : start + ERROR_LINES] or ["(it said nothing)"]
    raise ToolError("\n".join([f"{toolchain.cc[0]} failed on {what} ({how}):", *said, _advice(toolchain)]))


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of a program for a bare core by owner and kind.

    `flash_code`, `flash_rodata`, `flash_data` and `ram_static` (.data and .bss) are the model's own; `flash_data` is
    the start values of its .data. The library parts are those of the C library and of libgcc that the whole program
    needs. `flash_other` and `ram_other` belong to the rest: start-up, the caller, and padding. The totals are the
    ELF's sections; the stack counts in `ram_other`.
    """

    flash_code: int
    flash_rodata: int
    flash_data: int
    ram_static: int
    flash_libgcc: int
    flash_libc: int
    ram_libraries: int
    flash_other: int
    ram_other: int
    flash_total: int
    ram_total: int

    @property
    def flash_model(self) -> int:
        """All flash of the model's own objects."""
        return self.flash_code + self.flash_rodata + self.flash_data


# Which memory a section takes room in. A name means the same in the linker scripts of all architectures.
_KINDS = {section: kind for core in CORES for section, kind in core.arch.sections.items()}
_FLASH_KIND = {section: kind for section, kind in _KINDS.items() if kind != "ram"}
_RAM_SECTIONS = tuple(section for section, kind in _KINDS.items() if kind in ("data", "ram"))


@dataclass(frozen=True, slots=True)
class Piece:
    """What one object file (or the linker: `*fill*`, `linker stubs`) put into one output section."""

    section: str
    size: int
    owner: str


def measure(elf: Path, map_file: Path, is_model_object: Callable[[str], bool]) -> Sizes:
    """Who takes how many bytes, by the linker's map; `is_model_object` is asked with each object's path in the map.

    `ToolError` when the map does not add up to the ELF's own sections.
    """
    sections = _section_sizes(elf)
    pieces = read_map(map_file)
    for section, size in sections.items():
        mapped = sum(piece.size for piece in pieces if piece.section == section)
        if mapped != size:
            raise ToolError(f"{map_file.name} gives {section} {mapped} bytes, but {elf.name} has {size}")

    def flash(owner: str, *kinds: str) -> int:
        return sum(p.size for p in pieces if _FLASH_KIND.get(p.section) in kinds and who(p.owner) == owner)

    def ram(owner: str) -> int:
        return sum(p.size for p in pieces if p.section in _RAM_SECTIONS and who(p.owner) == owner)

    def who(owner: str) -> str:
        if is_model_object(owner):
            return "model"
        archive = Path(owner.split("(")[0]).name
        if archive == "libgcc.a":
            return "libgcc"
        return "libc" if archive.startswith(("libc", "libm", "libg")) and archive.endswith(".a") else "other"

    every = ("code", "rodata", "data")
    flash_total = sum(size for section, size in sections.items() if section in _FLASH_KIND)
    ram_total = sum(size for section, size in sections.items() if section in _RAM_SECTIONS)
    flash_known = flash("model", *every) + flash("libgcc", *every) + flash("libc", *every)
    ram_libraries = ram("libgcc") + ram("libc")
    return Sizes(
        flash_code=flash("model", "code"),
        flash_rodata=flash("model", "rodata"),
        flash_data=flash("model", "data"),
        ram_static=ram("model"),
        flash_libgcc=flash("libgcc", *every),
        flash_libc=flash("libc", *every),
        ram_libraries=ram_libraries,
        flash_other=flash_total - flash_known,
        ram_other=ram_total - ram("model") - ram_libraries,
        flash_total=flash_total,
        ram_total=ram_total,
    )


def _section_sizes(elf: Path) -> dict[str, int]:
    """Sizes of the ELF's sections that take memory; every one must be known to a linker script."""
    try:
        with elf.open("rb") as file:
            allocated = [s for s in ELFFile(file).iter_sections() if s["sh_flags"] & SH_FLAGS.SHF_ALLOC]
            sizes = {section.name: int(section["sh_size"]) for section in allocated}
    except (OSError, ELFError) as error:
        raise ToolError(f"{elf} cannot be read as ELF: {error}") from error
    strange = set(sizes) - set(_FLASH_KIND) - set(_RAM_SECTIONS)
    if strange:
        raise ToolError(f"{elf.name} has sections that no linker script places: {', '.join(sorted(strange))}")
    return sizes


_OUTPUT_SECTION = re.compile(r"^(\.\S+)")
_INPUT_SECTION = re.compile(r"^ (?:[.\w]\S*)?\s+0x[0-9a-f]+\s+0x([0-9a-f]+) (\S.*)$")
_FILL = re.compile(r"^ \*fill\*\s+0x[0-9a-f]+\s+0x([0-9a-f]+)")


def read_map(map_file: Path) -> list[Piece]:
    """The pieces in a GNU ld map: ` .text.f  0x8000 0x5c path/f.o`, where a long name has a line of its own."""
    try:
        lines = map_file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise ToolError(f"linker map cannot be read: {error}") from error
    start = next((i for i, line in enumerate(lines) if line.startswith("Linker script and memory map")), len(lines))
    pieces: list[Piece] = []
    section = ""
    for line in lines[start:]:
        output = _OUTPUT_SECTION.match(line)
        if output:
            section = output[1]
        fill, piece = _FILL.match(line), _INPUT_SECTION.match(line)
        if fill:
            pieces.append(Piece(section, int(fill[1], 16), "*fill*"))
        elif piece:
            pieces.append(Piece(section, int(piece[1], 16), piece[2]))
    if not pieces:
        raise ToolError(f"{map_file} is not a map of GNU ld")
    return pieces
