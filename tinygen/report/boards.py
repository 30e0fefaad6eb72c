"""The boards tinygen builds for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinygen.report.table import Table, columns
from tinygen.targets.board import Board

SCHEMA = 1


def tables(boards: Iterable[Board]) -> tuple[Table, ...]:
    """A row for each board."""
    numbers = ("MHz", "flash", "RAM")
    heads = columns("--board", "name", "core", *numbers, right=numbers, whole=["--board", "core"])
    rows = []
    for b in boards:
        there = [f"{n:,}" for n in (b.f_cpu_hz // 1_000_000, b.flash_bytes // 1024, b.ram_bytes // 1024)]
        # What this computer has is no limit to anybody.
        rows.append((b.id, b.name, b.core.name, *(there if b.stand_in else [""] * 3)))
    return (Table("Boards; flash and RAM in KiB", heads, tuple(rows)),)


def as_dict(boards: Iterable[Board]) -> dict[str, Any]:
    """The document of `tinygen boards --json`; Hz and bytes."""
    return {
        "schema": SCHEMA,
        "boards": [
            {
                "id": b.id,
                "name": b.name,
                "core": b.core.name,
                "f_cpu": b.f_cpu_hz,
                "flash": b.flash_bytes,
                "ram": b.ram_bytes,
                "emulated_on": None if b.stand_in is None else b.stand_in.name,
            }
            for b in boards
        ],
    }
