"""What became of the targets of a project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygen.flow.types import Built
from tinygen.project.make import Attempt
from tinygen.report import build
from tinygen.report.table import Table, columns

SCHEMA = 1


def tables(done: Sequence[Attempt]) -> tuple[Table, ...]:
    """A row a target."""
    names = ("target", "flash", "RAM", "accuracy", "verified on")
    rows = [_row(o) for o in done]
    return (Table("", columns(*names, right=("flash", "RAM"), whole=("target",)), tuple(rows)),)


def _row(o: Attempt) -> tuple[str, ...]:
    if o.built is None:
        return o.target.name, "", "", "failed", ""
    known, verdict = o.built.stack is not None, o.built.verdict
    flash = build.flash_bytes(o.built)
    return (
        o.target.name,
        f"> {o.built.library.weight_bytes:,}" if flash is None else f"{flash:,}",
        f"{'' if known else '> '}{ram_bytes(o.built):,}",
        "unknown" if verdict is None else f"{verdict.main}",
        ", ".join(r.core for r in o.built.results) or "nothing",
    )


def line(o: Attempt) -> str:
    """One target, as soon as it is done, with what a rebuild did to its folder."""
    if o.built is None:
        return f"{o.target.name}: failed"
    flash = build.flash_bytes(o.built)
    size = "" if flash is None else f"flash {flash:,} bytes, "
    changes = o.built.changes
    again = f". {changes}" if changes is not None and changes.rebuilt else ""
    return f"{o.target.name}: {size}RAM {ram_bytes(o.built):,} bytes{again}"


def notes(done: Sequence[Attempt]) -> tuple[str, ...]:
    """What builds have to say: of a model once, whatever the board."""
    found: list[str] = []
    for a in done:
        if a.built is None:
            continue
        found += [f"{a.target.model}: {n}" for n in a.built.model.notes]
        found += [f"{a.target.name}: {n}" for n in a.built.notes]
        if a.built.model.synthetic and not a.built.model.imported.quantised:
            found.append(f"{a.target.model}: no data, so ranges are those of made-up inputs and accuracy is unknown")
    return tuple(dict.fromkeys(found))


def ram_bytes(built: Built) -> int:
    """Arena, input, output, and the stack where it was measured."""
    return built.plan.arena_len + built.io_bytes + (built.stack or 0)


def as_dict(done: Sequence[Attempt]) -> dict[str, Any]:
    """The document of `tinygen build --json` of a project: of each target what `tinygen build` says of a model."""
    return {"schema": SCHEMA, "targets": [_target(o) for o in done]}


def _target(o: Attempt) -> dict[str, Any]:
    said = {
        "target": o.target.name,
        "model": o.target.model,
        "board": o.target.board.id,
        "output": f"{o.target.folder}",
    }
    if o.built is None:
        assert o.error is not None
        return {**said, "error": {"kind": o.error.kind, "exit_code": o.error.exit_code, "message": str(o.error)}}
    return {**said, "build": build.as_dict(o.built)}
