"""What a build is: accuracy, flash, RAM, proof."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tinygen.flow.types import Built
from tinygen.flow.verdict import verdict_json
from tinygen.ops import Operator
from tinygen.plan.in_ram import bytes_of
from tinygen.report import energy, layers, simplified
from tinygen.report.table import Column, Table
from tinygen.report.words import nodes, share, size

SCHEMA = 1


def flash_bytes(built: Built) -> int | None:
    """Flash of the model with the compiler's helpers it needs, as the linker says; None when nothing was linked."""
    s = built.sizes
    return None if s is None else s.flash_model + s.flash_libgcc + s.flash_libc


def moved_bytes(built: Built) -> tuple[int, int]:
    """Bytes of the kernels, as recorded or reckoned, and of the constants that are to lie in RAM."""
    sizes = {n: s for p in built.plan.steps for c in p.calls for n, s in bytes_of(c.call, built.plan.core).items()}
    kernels = set(built.plan.kernels_in_ram)
    code = sum(sizes[name] for name in kernels)
    return code, sum(sizes[name] for name in built.plan.in_ram) - code


def tables(built: Built) -> tuple[Table, ...]:
    """The summary."""
    title = f"{built.plan.name} for {built.board.id} ({built.board.core.name})"
    return (Table(title, (Column(), Column(align="right", whole=True), Column()), tuple(_rows(built))),)


def _rows(built: Built) -> Iterator[tuple[str, str, str]]:
    board, verdict, model = built.board, built.verdict, built.model
    constants = f"{built.library.weight_bytes:,}"
    if verdict is None:
        why = "no data: give real samples" if model.synthetic else "not judged, see the notes"
        yield "accuracy", "unknown", why
    else:
        yield "accuracy", verdict.grade.name.lower(), str(verdict)
        if verdict.damage is not None:
            yield "", "", f"the damage begins at {verdict.damage}"
        if verdict.drift:
            yield "", "", f"drift against {verdict.reference}: {', '.join(map(str, verdict.drift))}"
    moved = {o for n in model.tidy.nodes if isinstance(n.op, Operator) and n.op.rearranges for o in n.outputs}
    made = (a for a in model.layers if a.tensor not in moved)
    worst = min(made, key=lambda a: a.sqnr_db, default=None)
    if worst is not None and not model.synthetic:
        yield "noisiest", f"{worst.sqnr_db:.1f} dB", f"{worst.title} ({nodes(worst.origin)})"
    yield "layers", str(len(built.plan.steps)), f"{built.plan.macs:,} MACs"
    yield "simplified", *simplified.removed(model.before, model.after)
    if built.plan.states:
        names = ", ".join(f"{s.name} (int{s.quant.bits}, {s.nbytes:,})" for s in built.plan.states)
        yield "state", f"{built.plan.state_len:,}", f"bytes kept from call to call: {names}"
    flash = flash_bytes(built)
    if flash is None:
        yield "flash", f"> {constants}", "bytes of constants; code not measured (see notes)"
    else:
        there = f"bytes, {share(flash, board.flash_bytes)} of {size(board.flash_bytes)}"
        yield "flash", f"{flash:,}", f"{there}: code {flash - built.library.weight_bytes:,}, constants {constants}"
    known = built.stack is not None
    ram = built.plan.arena_len + built.io_bytes + (built.stack or 0)
    stack = f"{built.stack:,}" if known else "not measured"
    yield (
        "RAM", f"{'' if known else '> '}{ram:,}",
        f"bytes, {share(ram, board.ram_bytes)} of {size(board.ram_bytes)}: arena {built.plan.arena_len:,}, in/out "
        f"{built.io_bytes:,}, stack {stack}",
    )  # fmt: skip
    if board.code_in_ram:
        code, data = moved_bytes(built)
        there = "" if board.code_ram is None else f" of the {board.code_in_ram:,} in {board.code_ram.name} it may take"
        yield "in fast RAM", f"{code + data:,}", f"bytes{there}: kernels {code:,}, constants {data:,}"
    yield from energy.times(built.times)
    for r in built.results:
        yield "verified", r.core, f"{r.samples} samples, every byte equal to numpy"


def as_dict(built: Built) -> dict[str, Any]:
    """The document of `tinygen build --json`."""
    s, m = built.sizes, built.model
    return {
        "schema": SCHEMA,
        "model": {"name": built.plan.name, "sha256": m.imported.sha256, "opset": m.imported.opset},
        "board": built.board.id,
        "core": built.board.core.name,
        "layers": len(built.plan.steps),
        "macs": built.plan.macs,
        "simplified": simplified.part(m.before, m.after),
        "flash": None
        if s is None
        else {
            "total": flash_bytes(built),
            "constants": built.library.weight_bytes,
            "code": s.flash_code,
            "rodata": s.flash_rodata,
            "libraries": s.flash_libgcc + s.flash_libc,
        },
        "ram": {
            "arena": built.plan.arena_len,
            "input_output": built.io_bytes,
            "static": None if s is None else s.ram_static,
            "stack": built.stack,
            **({"kernels_and_constants": sum(moved_bytes(built))} if built.plan.in_ram else {}),
        },
        "times": energy.times_json(built.times),
        "accuracy": {
            "calibration": "synthetic: accuracy unknown" if m.synthetic else "data",
            **({} if built.verdict is None else verdict_json(built.verdict)),
            "layers": layers.rows(m.layers),
        },
        "verified": [
            {"core": r.core, "samples": r.samples, "outputs_sha256": r.outputs_sha256, "stack": r.stack}
            for r in built.results
        ],
        "notes": [*m.notes, *built.notes],
        "seconds": {k: round(v, 3) for k, v in built.seconds.items()},
    }
