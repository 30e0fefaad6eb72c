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
        cflags=("-std=c99", "-O2", "-g", "-Wall"),
        ldflags=("-lm",),
        debian="gcc",
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
