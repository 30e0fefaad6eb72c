"""What tinygen asks of an architecture: the types that each folder beside this file fills in.

A folder gives `CORES`, and is entered in targets/cores.py. Its `platform/` holds the C file that makes
boards/platform/include/tg_target.h true, and the linker script's template; both travel with PlatformIO projects. Its
`costs.json` and `kernel_sizes.json` are measured, by `benchmarks/`. Nothing here finds or runs a tool: build/ does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tinygen.targets.arch.timing import Instruction, Timing

KIB = 1024
MIB = 1024 * KIB

#: The instruction whose first halfword is given; the second one matters only when it has four bytes.
Decode = Callable[[int, int], Instruction]


@dataclass(frozen=True, slots=True, eq=False)
class Tool:
    """A program that the user installs, and build/discover.py finds.

    `programs` are its names, the best first; `variable` is the environment variable with the user's own command.
    `install` says how to get it, with the C library where it needs one, on "debian", "fedora", "arch", "macos" and
    "windows". `places` are the folders where it is put on "linux", "macos" and "windows": below the root, or where
    they begin with `~` below the user's home, with `*` in place of what each version calls its own.
    """

    programs: tuple[str, ...]
    variable: str
    install: Mapping[str, str]
    places: Mapping[str, tuple[str, ...]]

    @property
    def debian(self) -> str:
        """The packages of Debian and Ubuntu."""
        return self.install["debian"].removeprefix("apt install ")


@dataclass(frozen=True, slots=True, eq=False)
class Compiler(Tool):
    """A C compiler that takes GCC's options; its programs have these flags after the core's own."""

    cflags: tuple[str, ...]
    ldflags: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Emulator(Tool):
    """A QEMU, with the options that connect a program's text, files and exit code by semihosting.

    `faults` says in words what an exit code means that is not the program's own.
    """

    options: tuple[str, ...]
    faults: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of an emulator and where a program lies in it. Sizes in bytes; the core starts at `vectors_start`.

    The machine of a core has large memories, so that any model can be verified; a board has its own stand-in.
    """

    emulator: Emulator
    name: str
    args: tuple[str, ...]
    flash_start: int
    flash_size: int
    ram_start: int
    ram_size: int
    vectors_start: int

    @property
    def command(self) -> tuple[str, ...]:
        """The command line that runs a program, up to the program's path; its first word is to be found."""
        e = self.emulator
        return (e.programs[0], "-M", self.name, *self.args, *e.options, "-kernel")


@dataclass(frozen=True, slots=True, eq=False)
class Architecture:
    """Cores of one instruction set: how their programs are compiled, started, linked and counted.

    `name` is the folder here and in an output's platform/, `title` what people call such a core. `start_up` and
    `linker_script` are files in its platform/; None: the compiler links by itself. `sections` are those that the script
    places: "code", "rodata" and "data" take flash, "data" and "ram" RAM. Without `decode` runs are not counted.
    """

    name: str
    title: str
    folder: Path
    compiler: Compiler
    start_up: str
    linker_script: str | None
    sections: Mapping[str, str]
    decode: Decode | None

    @property
    def platform(self) -> Path:
        """Folder of the start-up code and the linker script."""
        return self.folder / "platform"


@dataclass(frozen=True, slots=True)
class Core:
    """One core. `cflags` choose it and nothing else (no optimisation); `kernel_sets` is in order of preference.

    `machine` verifies it; None: programs run on this computer. `timing` are its cycles; where None, `no_timing` says
    why. `costs_of` names the core whose recorded costs of kernels hold for it, "" for its own; where that has a timing
    and this one has none, `pace` is what its cycles, with memory that does not wait, are times to be this one's: at the
    least, likely, at the most.
    """

    name: str
    arch: Architecture
    cflags: tuple[str, ...]
    kernel_sets: tuple[str, ...]
    machine: Machine | None
    timing: Timing | None = None
    no_timing: str = ""
    costs_of: str = ""
    pace: tuple[float, float, float] | None = None
