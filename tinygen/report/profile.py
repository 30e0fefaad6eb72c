"""What each layer of a build costs, and where its flash and RAM go."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tinygen.profile.types import LayerProfile, Profile
from tinygen.report import energy
from tinygen.report.table import Column, Table, columns
from tinygen.report.words import share, size

SCHEMA = 1


def tables(p: Profile) -> tuple[Table, ...]:
    """Layers, time, memory, and energy."""
    waits = "" if p.flash is not None else "Time without flash wait states, which are not modelled."
    heads = (Column(), Column(align="right", whole=True), Column())
    rows = tuple(energy.times(p.times, "modelled"))
    time = (Table("Time of an inference", heads, rows),) if rows else ()
    return _layers(p), *time, _memory(p), *energy.tables(p.board, p.energy, p.every, waits)


def _layers(p: Profile) -> Table:
    """Without a cycle model, instructions only.

    "waiting" are cycles with those that the flash model adds, which "ms" counts too; "per MAC" is of cycles without
    them, and KiB are what loads and stores move.
    """
    numbers = [
        *(["measured ms"] if p.measured is not None else []),
        *(["ms"] if p.has_cycles else []),
        *(["waiting"] if p.has_cycles and p.flash is not None else []),
        *(["cycles"] if p.has_cycles else []),
        "insns", "MACs", "per MAC", "KiB",
    ]  # fmt: skip
    rows = [(layer.name, *_cells(p, i)) for i, layer in enumerate(p.layers)]
    return Table(
        f"{p.model} on {p.board.id}: {p.core} at {p.board.f_cpu_hz / 1e6:g} MHz (counts in thousands)",
        (Column("layer", least=9), *columns(*numbers, right=numbers)),
        tuple(rows),
        total=("total", *_cells(p, None)),
    )


def _cells(p: Profile, index: int | None) -> list[str]:
    """Numbers of a layer, or of all."""
    layer = None if index is None else p.layers[index]
    c, macs = (p.total, p.macs) if layer is None else (layer.counts, layer.macs)
    cells = []
    if p.measured is not None:
        time = p.measured.total if index is None else p.measured.layers[index]
        cells.append(f"{p.measured.milliseconds(time):.3f}")
    if p.has_cycles:
        cells.append(f"{p.milliseconds(c.flash_cycles):.3f}")
        if p.flash is not None:
            cells.append(_thousands(c.flash_cycles))
        cells.append(_thousands(c.cycles))
    # Cycles without flash waits (or instructions) for each multiply-accumulate.
    per_mac = f"{(c.cycles if p.has_cycles else c.instructions) / macs:.2f}" if macs else ""
    return [*cells, _thousands(c.instructions), _thousands(macs), per_mac, f"{(c.loaded + c.stored) / 1024:,.1f}"]


def _thousands(n: int) -> str:
    return f"{n / 1000:,.1f}"


def _memory(p: Profile) -> Table:
    use, board = p.flash_use, p.board
    flash = (
        f"bytes, {share(use.total, board.flash_bytes)} of {size(board.flash_bytes)}: constants "
        f"{sum(use.constants.values()):,}, kernels {sum(use.kernels.values()):,}, {p.model}.c {use.model:,}, libraries "
        f"{use.libraries:,}"
    )
    ram = (
        f"bytes, {share(p.ram, board.ram_bytes)} of {size(board.ram_bytes)}: arena {p.arena:,}, in/out {p.io:,}, "
        f"stack {p.stack:,}"
    )
    heads = (Column(), Column(align="right", whole=True), Column())
    return Table("Memory", heads, (("flash", f"{use.total:,}", flash), ("RAM", f"{p.ram:,}", ram)))


def as_dict(p: Profile) -> dict[str, Any]:
    """The document of `tinygen profile --json`; cycles are null where the core has no cycle model."""

    def counts(layer: LayerProfile | None) -> dict[str, Any]:
        c, macs, stack = (p.total, p.macs, p.stack) if layer is None else (layer.counts, layer.macs, layer.stack)
        known, waits = p.has_cycles, p.flash is not None
        return {
            "instructions": c.instructions,
            "cycles": c.cycles if known else None,
            "milliseconds": p.milliseconds(c.cycles) if known else None,
            "cycles_per_mac": round(c.cycles / macs, 4) if known and macs else None,
            "flash_waits": {
                "cycles": c.flash_cycles,
                "milliseconds": p.milliseconds(c.flash_cycles),
                "for_code": c.code_stalls,
                "for_constants": c.data_stalls,
            }
            if waits
            else None,
            "macs": macs,
            "loads": c.loads,
            "stores": c.stores,
            "bytes_loaded": c.loaded,
            "bytes_stored": c.stored,
            "branches_taken": c.branches_taken,
            "stack": stack,
        }

    use = p.flash_use
    return {
        "schema": SCHEMA,
        "model": p.model,
        "board": p.board.id,
        "core": p.core,
        "f_cpu": p.board.f_cpu_hz,
        "total": counts(None),
        "layers": [
            {
                "name": layer.name,
                "operator": layer.operator,
                "onnx": list(layer.origin),
                "kernels": list(layer.kernels),
                "shape": list(layer.shape),
                "constants": layer.constants,
                **counts(layer),
            }
            for layer in p.layers
        ],
        "flash": {
            "total": use.total,
            "there": p.board.flash_bytes,
            "kernels": dict(use.kernels),
            "constants": dict(use.constants),
            "model": use.model,
            "libraries": use.libraries,
        },
        "ram": {
            "total": p.ram,
            "there": p.board.ram_bytes,
            "arena": p.arena,
            "input_output": p.io,
            "stack": p.stack,
            "buffers": [
                {"name": b.name, "offset": b.offset, "size": b.size, "first": b.first, "last": b.last}
                for b in p.buffers
            ],
        },
        "flash_model": None if p.flash is None else asdict(p.flash),
        "times": energy.times_json(p.times),
        "measured": None if p.measured is None else asdict(p.measured),
        "energy": energy.as_dict(p.board, p.energy),
        "notes": list(p.notes),
    }
