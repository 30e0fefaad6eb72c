"""What `tinygen inspect` finds: a network's ports and operators, and what it would take of each board."""

from __future__ import annotations

from typing import Any

from tinygen.flow.estimate import Estimate, Fit
from tinygen.flow.planned import times_of
from tinygen.flow.types import Quantised
from tinygen.plan.predict import Prediction
from tinygen.report import energy, simplified
from tinygen.report.table import Column, Table, columns
from tinygen.report.words import milliseconds, nodes, shape, share, size
from tinygen.targets.board import Board
from tinygen.targets.energy import Energy
from tinygen.targets.flash import SILICON

SCHEMA = 1


def tables(model: Quantised, estimate: Estimate) -> tuple[Table, ...]:
    """Ports, operators, boards; with a board asked for, that one alone and its layers."""
    found = [_ports(model), _operators(model, estimate), _boards(estimate)]
    if estimate.board is not None and estimate.detail is not None:
        found.append(_prediction(estimate, estimate.board, estimate.detail))
    if estimate.board is not None:
        known = _energy(estimate, estimate.board)
        found += energy.tables(
            estimate.board, known, estimate.every, "Time as predicted, waits of known flash included."
        )
    return tuple(found)


def _energy(e: Estimate, board: Board) -> tuple[Energy, ...]:
    return next((f.energy for f in e.fits if f.board == board.id), ())


def _ports(model: Quantised) -> Table:
    """As the ONNX model has them."""
    m = model.imported
    rows = [
        (kind, port.name, shape(port.shape), type_)
        for kind, ports, types in (
            ("input", model.tidy.in_ports, m.input_types),
            ("output", model.tidy.out_ports, m.output_types),
        )
        for port, type_ in zip(ports, types, strict=True)
    ]
    rows += [("state", s.name, shape(model.tidy.tensors[s.reads].shape), "") for s in model.tidy.states]
    return Table("Inputs and outputs", columns("", "name", "shape", "type in ONNX"), tuple(rows))


def _operators(model: Quantised, e: Estimate) -> Table:
    """As tinygen reads them; what simplification removes from them stands below."""
    numbers = ("MACs", "parameters")
    rows = [(r.title, nodes(r.origin), shape(r.shape), f"{r.macs:,}", f"{r.parameters:,}") for r in e.layers]
    caption = ""
    if model.before != model.after:
        caption = f"Of these {simplified.removed(model.before, model.after)[1]}."
    return Table(
        f"{model.imported.graph.name}: layers",
        columns("layer", "ONNX", "output", *numbers, right=numbers, whole=["output"]),
        tuple(rows), caption, ("all", "", "", f"{e.macs:,}", f"{e.parameters:,}")
    )  # fmt: skip


def _boards(e: Estimate) -> Table:
    """What each board would have to hold, or the one asked for, with more figures."""
    asked = next((f for f in e.fits if e.board is not None and f.board == e.board.id), None)
    if asked is not None:
        return _board(asked)
    heads = (
        Column("board", whole=True), Column("core", whole=True), *columns("flash", "", right=["flash", ""]),
        *columns("RAM", "", right=["RAM", ""]), Column("fits", whole=True), Column("ms", "right", whole=True),
        Column("uJ", "right", whole=True),
    )  # fmt: skip
    rows = [
        (
            f.board, f.core, f"{f.flash:,}", share(f.flash, f.flash_there), f"{f.ram:,}", share(f.ram, f.ram_there),
            "yes" if f.fits else "no", "" if f.milliseconds is None else milliseconds(f.milliseconds),
            f"{f.energy[0].microjoules.likely:,.0f}" if f.energy else "",
        )
        for f in e.fits
    ]  # fmt: skip
    caption = [
        "Bytes, and their share of what the board has; ms and uJ of an inference from flash.",
        f"Silicon takes {SILICON[0]} to {SILICON[2]} times the ms.",
    ]
    untimed = dict.fromkeys(f.core for f in e.fits if f.milliseconds is None)
    if untimed:
        caption.append(f"No time of {', '.join(untimed)}, whose cycles are not modelled.")
    there = "Layer by layer: inspect for a board." if e.board is None else f"Nothing is predicted for {e.board.id}."
    caption.append(there)
    return Table("Predicted use of each board", heads, tuple(rows), " ".join(caption))


def _board(f: Fit) -> Table:
    rows = [
        ("flash", f"{f.flash:,}", f"bytes, {share(f.flash, f.flash_there)} of {size(f.flash_there)}"),
        ("RAM", f"{f.ram:,}", f"bytes, {share(f.ram, f.ram_there)} of {size(f.ram_there)}"),
        ("fits", "yes" if f.fits else "no", ""),
        *energy.times(f.times),
    ]
    if f.energy:
        uj = f.energy[0].microjoules
        rows.append(("energy", energy.digits(uj.likely), f"uJ, {energy.digits(uj.low)} to {energy.digits(uj.high)}"))
    caption = "All boards: inspect without a board."
    if f.milliseconds is None:
        caption = f"No cycles of {f.core} are modelled. {caption}"
    heads = (Column(), Column(align="right", whole=True), Column())
    return Table(f"Predicted use of {f.board}", heads, tuple(rows), caption)


def _prediction(e: Estimate, board: Board, p: Prediction) -> Table:
    """Every layer's predicted cost."""
    clock, timed, waits = board.f_cpu_hz, p.cycles is not None, p.stalls is not None
    numbers = ("MACs", "cycles" if timed else "instructions", "per MAC", *(["ms"] if timed else []), "share")
    costs = [r.cycles + r.stalls if timed else r.instructions for r in p.layers]
    whole = sum(costs) or 1.0

    def row(name: str, macs: int, cost: float) -> tuple[str, ...]:
        ms = [f"{1000 * cost / clock:.3f}"] if timed else []
        return name, f"{macs:,}", f"{cost:,.0f}", f"{cost / macs:.2f}" if macs else "", *ms, share(cost, whole)

    rows = [row(r.name, r.macs, cost) for r, cost in zip(p.layers, costs, strict=True)]
    caption = (
        f"{p.instructions:,} instructions; "
        + (f"{p.cycles:,} cycles with memory that never waits; " if waits and p.stalls else "")
        + f"flash {p.flash:,} bytes (code {p.code:,}, constants {p.constants:,}); "
        f"RAM {p.ram:,} bytes (arena {p.arena:,}, in/out {p.io:,}, stack {p.stack:,})"
        + (f"; not counted, as never measured: {', '.join(p.unmeasured)}" if p.unmeasured else "")
        + "."
    )
    return Table(
        f"Layers on {board.id}: {p.core} at {clock // 1_000_000} MHz, "
        + ("waits for its flash included" if waits and not board.zero_wait else "memory that never waits"),
        (Column("layer", least=9), *columns(*numbers, right=numbers)), tuple(rows), caption, row("all", e.macs, whole)
    )  # fmt: skip


def _states(model: Quantised) -> dict[str, Any]:
    """What is kept from call to call, where something is."""
    tidy = model.tidy
    found = [{"name": s.name, "shape": list(tidy.tensors[s.reads].shape)} for s in tidy.states]
    return {"states": found} if found else {}


def as_dict(model: Quantised, e: Estimate) -> dict[str, Any]:
    """The document of `tinygen inspect --json`."""
    m = model.imported
    return {
        "schema": SCHEMA,
        "model": {"name": m.graph.name, "sha256": m.sha256, "opset": m.opset},
        "inputs": [{"name": p.name, "shape": list(p.shape)} for p in model.tidy.in_ports],
        "outputs": [{"name": p.name, "shape": list(p.shape)} for p in model.tidy.out_ports],
        **_states(model),
        "macs": e.macs,
        "parameters": e.parameters,
        "simplified": simplified.part(model.before, model.after),
        "layers": [
            {
                "operator": r.title,
                "onnx": list(r.origin),
                "shape": list(r.shape),
                "macs": r.macs,
                "parameters": r.parameters,
            }
            for r in e.layers
        ],
        "boards": [
            {
                "board": f.board,
                "core": f.core,
                "flash_estimate": f.flash,
                "flash": f.flash_there,
                "ram_estimate": f.ram,
                "ram": f.ram_there,
                "fits": f.fits,
                "milliseconds_estimate": None if f.milliseconds is None else round(f.milliseconds, 3),
                "zero_wait_milliseconds_estimate": None if f.times.zero_wait is None else round(f.times.zero_wait, 3),
                "silicon_milliseconds_estimate": None if f.times.silicon is None else energy.span_json(f.times.silicon),
                "microjoules_estimate": round(f.energy[0].microjoules.likely, 3) if f.energy else None,
            }
            for f in e.fits
        ],
        "prediction": None if e.board is None or e.detail is None else _detail(e.board, e.detail),
        "energy": None if e.board is None else energy.as_dict(e.board, _energy(e, e.board)),
        "notes": list(model.notes),
    }


def _detail(board: Board, p: Prediction) -> dict[str, Any]:
    return {
        "board": board.id,
        "core": p.core,
        "clock_hz": board.f_cpu_hz,
        "instructions": p.instructions,
        "not_counted": list(p.unmeasured),
        "cycles": p.cycles,
        "flash_cycles": p.flash_cycles,
        "milliseconds": p.milliseconds(board.f_cpu_hz),
        "zero_wait_milliseconds": p.zero_wait_milliseconds(board.f_cpu_hz),
        "times": energy.times_json(times_of(board, p)),
        "flash": {"total": p.flash, "code": p.code, "constants": p.constants},
        "ram": {"total": p.ram, "arena": p.arena, "input_output": p.io, "stack": p.stack},
        "layers": [
            {
                "name": r.name,
                "operator": r.title,
                "onnx": list(r.origin),
                "kernels": list(r.kernels),
                "shape": list(r.shape),
                "macs": r.macs,
                "instructions": round(r.instructions),
                "cycles": None if p.cycles is None else round(r.cycles),
                "flash_cycles": None if p.cycles is None else round(r.cycles + r.stalls),
                "constants": r.constants,
            }
            for r in p.layers
        ],
    }
