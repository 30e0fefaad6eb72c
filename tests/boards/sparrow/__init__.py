"""An architecture that nobody has: what test_new_architecture.py adds to a copy of tinygen, as its only folder."""

from __future__ import annotations

from pathlib import Path

from tinygen.targets.arch.base import KIB, Architecture, Compiler, Core, Emulator, Machine

SYSTEMS = ("debian", "fedora", "arch", "macos", "windows")

QEMU = Emulator(
    programs=("qemu-system-sparrow",),
    variable="TINYGEN_QEMU_SPARROW",
    install=dict.fromkeys(SYSTEMS, "apt install qemu-system-sparrow"),
    places={},
    options=("-nographic",),
    faults={9: "the sparrow fell"},
)

SPARROW = Architecture(
    name="sparrow",
    title="Sparrow",
    folder=Path(__file__).parent,
    compiler=Compiler(
        programs=("sparrow-elf-gcc",),
        variable="TINYGEN_SPARROW_GCC",
        install=dict.fromkeys(SYSTEMS, "apt install gcc-sparrow-elf libc-sparrow"),
        places={},
        cflags=("-std=c99", "-Os"),
        ldflags=("-nostartfiles", "-lm"),
    ),
    start_up="start.c",
    linker_script="link.ld.in",
    sections={".text": "code", ".rodata": "rodata", ".sdata": "data", ".bss": "ram"},
    decode=None,
)

NEST = Machine(QEMU, "nest", ("-bios", "none"), 0x8000_0000, 256 * KIB, 0x9000_0000, 64 * KIB, 0x8000_0000)

CORES: tuple[Core, ...] = (
    Core("sparrow-1", SPARROW, ("-mcpu=one",), ("ref",), NEST, no_timing="nobody has timed a sparrow"),
    Core("sparrow-2", SPARROW, ("-mcpu=two",), ("ref",), NEST),
)
