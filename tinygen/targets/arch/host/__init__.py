"""This computer: what is verified here is as bit-exact as what runs on a chip."""

from __future__ import annotations

from pathlib import Path

from tinygen.targets.arch.base import Architecture, Compiler, Core

HOST = Architecture(
    name="host",
    title="this computer",
    folder=Path(__file__).parent,
    compiler=Compiler(
        programs=("gcc", "clang", "cc"),
        variable="CC",
        install={
            "debian": "apt install gcc",
            "fedora": "dnf install gcc",
            "arch": "pacman -S gcc",
            "macos": "xcode-select --install",
            "windows": "winget install BrechtSanders.WinLibs.POSIX.UCRT, then open a new terminal",
        },
        places={},  # a compiler for Windows needs PATH to find its own parts; elsewhere it is on PATH
        cflags=("-std=c99", "-O2", "-g", "-Wall"),
        ldflags=("-lm",),
    ),
    start_up="tg_host.c",
    linker_script=None,
    sections={},
    decode=None,
)

CORES: tuple[Core, ...] = (
    # It only ever chooses among kernels for itself, so whose costs they are matters little.
    Core("native", HOST, (), ("ref",), None, costs_of="cortex-m4"),
)
