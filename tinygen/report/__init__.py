"""What a build, an evaluation or an inspection found: tables for people, dictionaries for JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tinygen.compress.recipe import to_dict
from tinygen.errors import UnsupportedError
from tinygen.fit.prove import Point
from tinygen.fit.result import BoardResult, FitResult, folder_of
from tinygen.fit.single import Figures, Outcome
from tinygen.flow.confusion import Confusion
from tinygen.flow.estimate import Estimate
from tinygen.flow.evaluate import Evaluation
from tinygen.flow.evaluate_folder import FolderEvaluation
from tinygen.flow.measures import decibels
from tinygen.flow.types import Built, Quantised
from tinygen.flow.verdict import LayerAccuracy, Verdict, verdict_json
from tinygen.passes.simplify import Size
from tinygen.profile.types import LayerProfile, Profile
from tinygen.report.search_page import budget_text, render_page
from tinygen.targets.board import Board


def kib(n: int) -> str:
    """Bytes with thousands separators."""
    return f"{n:,}"


def flash_bytes(built: Built) -> int | None:
    """Flash of the model with the compiler's helpers it needs, as the linker says; None when nothing was linked."""
    s = built.sizes
    return None if s is None else s.flash_model + s.flash_libgcc + s.flash_libc


def build_json(built: Built) -> dict[str, Any]:
    """The report of `tinygen build --json`."""
    s = built.sizes
    m = built.model
    return {
        "model": {"name": built.plan.name, "sha256": m.imported.sha256, "opset": m.imported.opset},
        "board": built.board.id,
        "core": built.board.core.name,
        "layers": len(built.plan.steps),
        "macs": built.plan.macs,
        "simplified": {"before": asdict(m.before), "after": asdict(m.after)},
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
        },
        "accuracy": {
            "calibration": "synthetic: accuracy unknown" if m.synthetic else "data",
            **({} if built.verdict is None else verdict_json(built.verdict)),
            "layers": [layer_json(a) for a in m.layers],
        },
        "verified": [
            {"core": r.core, "samples": r.samples, "outputs_sha256": r.outputs_sha256, "stack": r.stack}
            for r in built.results
        ],
        "notes": [*m.notes, *built.notes],
        "seconds": {k: round(v, 3) for k, v in built.seconds.items()},
    }


def layer_json(a: LayerAccuracy) -> dict[str, Any]:
    return {"tensor": a.tensor, "operator": a.title, "onnx": list(a.origin), "sqnr_db": round(a.sqnr_db, 2)}


def removed(before: Size, after: Size) -> tuple[str, str]:
    """What lossless simplification took away, in short and in full."""
    gone = [
        (what, getattr(before, what), getattr(after, what))
        for what in ("macs", "weights", "channels", "nodes")
        if getattr(before, what) != getattr(after, what)
    ]
    if not gone:
        return "nothing", "removed: no channel, weight or node is without effect"
    what, a, b = gone[0]
    counts = ", ".join(f"{a - b:,} of {a:,} {what.replace('macs', 'MACs')}" for what, a, b in gone)
    return (
        f"-{100 * (a - b) / a:.0f} % {what.replace('macs', 'MACs')}",
        f"removed without effect on any output: {counts}",
    )


def build_table(built: Built) -> Table:
    """The summary of a build."""
    t = Table(title=f"{built.plan.name} for {built.board.id} ({built.board.core.name})", show_header=False)
    t.add_column()
    t.add_column(justify="right")
    t.add_column()
    s, board, verdict = built.sizes, built.board, built.verdict
    flash = flash_bytes(built)
    if verdict is None:
        why = "no data: give --data with real samples" if built.model.synthetic else "not judged, see the notes"
        t.add_row("accuracy", "unknown", why)
    else:
        t.add_row("accuracy", verdict.grade.name.lower(), f"{verdict}")
        if verdict.damage is not None:
            t.add_row("", "", f"the damage begins at {verdict.damage}")
    t.add_row("layers", str(len(built.plan.steps)), f"{built.plan.macs:,} MACs")
    t.add_row("simplified", *removed(built.model.before, built.model.after))
    if s is not None and flash is not None:
        t.add_row(
            "flash", kib(flash), f"bytes of {kib(board.flash_bytes)}; {kib(built.library.weight_bytes)} are constants"
        )
    else:
        t.add_row("flash", f"> {kib(built.library.weight_bytes)}", "bytes of constants; code not measured (see notes)")
    stack = "not measured" if built.stack is None else kib(built.stack)
    ram = built.plan.arena_len + built.io_bytes + (built.stack or 0)
    t.add_row(
        "RAM",
        kib(ram),
        f"bytes of {kib(board.ram_bytes)}: "
        f"arena {kib(built.plan.arena_len)}, in/out {kib(built.io_bytes)}, stack {stack}",
    )
    for r in built.results:
        t.add_row("verified", r.core, f"{r.samples} samples, every byte equal to numpy; sha256 {r.outputs_sha256[:16]}")
    return t


def layer_table(layers: Iterable[LayerAccuracy]) -> Table:
    """Where accuracy goes."""
    t = Table(title="Signal to quantisation noise of every layer's output, against float")
    for name, justify in (("layer", "left"), ("ONNX", "left"), ("SQNR dB", "right")):
        t.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for a in layers:
        t.add_row(a.title, ", ".join(a.origin), f"{a.sqnr_db:.1f}")
    return t


def refusals_table(error: UnsupportedError) -> Table:
    """What cannot be built, as wide as the terminal."""
    t = Table(caption=error.more or None, caption_justify="left")
    for name in error.COLUMNS:
        t.add_column(name, overflow="fold")
    for row in error.rows:
        t.add_row(*row)
    return t


def boards_table(boards: Iterable[Board]) -> Table:
    t = Table(title="Boards")
    for name, justify in (
        ("id", "left"), ("board", "left"), ("core", "left"), ("MHz", "right"),
        ("flash KiB", "right"), ("RAM KiB", "right"), ("emulated on", "left"),
    ):  # fmt: skip
        t.add_column(name, justify=justify, no_wrap=name == "id")  # type: ignore[arg-type]
    for b in boards:
        native = b.core.name == "native"
        t.add_row(
            b.id, b.name, b.core.name, "" if native else f"{b.f_cpu_hz // 1_000_000}",
            "" if native else f"{b.flash_bytes // 1024}", "" if native else f"{b.ram_bytes // 1024}",
            b.stand_in.name if b.stand_in else "this computer",
        )  # fmt: skip
    return t


def nodes_table(model: Quantised, estimate: Estimate) -> Table:
    """Operators of a model as tinygen reads them; what simplification removes from them stands below."""
    t = Table(title=f"{model.imported.graph.name}: {estimate.macs:,} MACs, {estimate.parameters:,} parameters")
    if model.before != model.after:
        t.caption = "Of these {1}.".format(*removed(model.before, model.after))
    for name, justify in (
        ("layer", "left"),
        ("ONNX", "left"),
        ("output", "left"),
        ("MACs", "right"),
        ("parameters", "right"),
    ):
        t.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in estimate.layers:
        t.add_row(
            row.title, ", ".join(row.origin), "x".join(map(str, row.shape)), f"{row.macs:,}", f"{row.parameters:,}"
        )
    return t


def ports_table(model: Quantised) -> Table:
    """Inputs and outputs as the ONNX model has them."""
    t = Table(title="Inputs and outputs")
    for name in ("", "name", "shape", "type in ONNX"):
        t.add_column(name)
    m = model.imported
    for kind, ports, types in (
        ("input", model.tidy.in_ports, m.input_types),
        ("output", model.tidy.out_ports, m.output_types),
    ):
        for port, type_ in zip(ports, types, strict=True):
            t.add_row(kind, port.name, "x".join(map(str, port.shape)), type_)
    return t


def fits_table(estimate: Estimate) -> Table:
    """What each board would have to hold."""
    title = "Predicted use of each board, and time of an inference without flash wait states"
    t = Table(title=title, box=SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    for name, justify in (
        ("board", "left"), ("core", "left"), ("flash", "right"), ("", "right"), ("RAM", "right"), ("", "right"),
        ("fits", "left"), ("ms", "right"),
    ):  # fmt: skip
        t.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for f in estimate.fits:
        shares = [f"{100 * f.flash / f.flash_there:.0f} %", f"{100 * f.ram / f.ram_there:.0f} %"]
        t.add_row(f.board, f.core, kib(f.flash), shares[0], kib(f.ram), shares[1], "yes" if f.fits else "no",
                  "" if f.milliseconds is None else f"{f.milliseconds:.2f}")  # fmt: skip
    return t


def prediction_table(e: Estimate) -> Table:
    """Every layer's predicted cost on the board asked for."""
    board, p = e.board, e.detail
    assert board is not None
    assert p is not None
    clock = board.f_cpu_hz
    title = f"Predicted for {board.id} ({p.core}) at {clock // 1_000_000} MHz, flash without wait states"
    t = Table(title=title, box=SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    timed, ms = p.cycles is not None, p.milliseconds(clock)
    t.add_column("layer", overflow="fold", min_width=9)
    for name in ("MACs", "cycles" if timed else "instructions", "per MAC", "ms", "share"):
        t.add_column(name, justify="right", no_wrap=True)
    whole = sum(r.cycles for r in p.layers) or 1.0
    for r in p.layers:
        t.add_row(
            r.name, f"{r.macs:,}", f"{r.cycles:,.0f}", f"{r.cycles / r.macs:.2f}" if r.macs else "",
            f"{1000 * r.cycles / clock:.3f}" if timed else "", f"{100 * r.cycles / whole:.0f} %",
        )  # fmt: skip
    t.add_section()
    t.add_row(
        "all", f"{e.macs:,}", f"{whole:,.0f}", f"{whole / e.macs:.2f}" if e.macs else "",
        "" if ms is None else f"{ms:.3f}", "",
    )  # fmt: skip
    t.caption = (
        f"{p.instructions:,} instructions; flash {kib(p.flash)} bytes (code {kib(p.code)}, constants "
        f"{kib(p.constants)}); RAM {kib(p.ram)} bytes (arena {kib(p.arena)}, in/out {kib(p.io)}, stack {kib(p.stack)})"
        + (f"; not counted, as never measured: {', '.join(p.unmeasured)}" if p.unmeasured else "")
    )
    return t


def estimate_json(model: Quantised, e: Estimate) -> dict[str, Any]:
    return {
        "model": {"name": model.imported.graph.name, "sha256": model.imported.sha256, "opset": model.imported.opset},
        "inputs": [{"name": p.name, "shape": list(p.shape)} for p in model.tidy.in_ports],
        "outputs": [{"name": p.name, "shape": list(p.shape)} for p in model.tidy.out_ports],
        "macs": e.macs,
        "parameters": e.parameters,
        "simplified": {"before": asdict(model.before), "after": asdict(model.after)},
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
            }
            for f in e.fits
        ],
        "prediction": prediction_json(e),
        "notes": list(model.notes),
    }


def prediction_json(e: Estimate) -> dict[str, Any] | None:
    """The figures of `prediction_table`; None when no board was asked for."""
    board, p = e.board, e.detail
    if board is None or p is None:
        return None
    return {
        "board": board.id,
        "core": p.core,
        "clock_hz": board.f_cpu_hz,
        "instructions": p.instructions,
        "not_counted": list(p.unmeasured),
        "cycles": p.cycles,
        "milliseconds": p.milliseconds(board.f_cpu_hz),
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
                "constants": r.constants,
            }
            for r in p.layers
        ],
    }


def evaluation_table(e: Evaluation) -> Table:
    """Float network and integers, side by side."""
    v = e.verdict
    return verdict_table(v, f"{e.name}, {v.source}")


def verdict_table(v: Verdict, title: str) -> Table:
    """The figures of a verdict; "±" is the standard error of the difference, or without a reference of the figure."""
    t = Table(title=title)
    for name, justify in (("measure", "left"), (v.reference, "right"), (v.precision, "right"), ("±", "right")):
        if name:
            t.add_column(name, justify=justify)  # type: ignore[arg-type]
    for f in v.figures:
        error = f.error if v.reference else f.own_error
        before = "" if f.real is None else f"{f.real:.4f}"
        cells = [decibels(f.integer) if f.decibel else f"{f.integer:.4f}", f"{error:.4f}" if error else ""]
        t.add_row(f.name, *([before] if v.reference else []), *cells)
    return t


def evaluation_json(e: Evaluation) -> dict[str, Any]:
    v = e.verdict
    return {
        "model": e.name,
        "samples": v.samples,
        "measures": [{"name": f.name, "float": f.real, "integer": _finite(f.integer)} for f in v.figures],
        **{k: x for k, x in verdict_json(v).items() if k not in ("samples", "figures")},
        "layers": [layer_json(a) for a in e.layers],
        "notes": list(e.notes),
    }


def _finite(x: float) -> float | None:
    """JSON has no infinity: None is exact."""
    return x if math.isfinite(x) else None


def folder_table(e: FolderEvaluation) -> Table:
    return verdict_table(e.verdict, f"{e.model}: the C of {e.folder} on {e.core}, {e.verdict.source}")


#: Beyond so many classes the matrix is left to --json and --html.
_MATRIX = 20


def confusion_tables(c: Confusion) -> list[Table]:
    """Per class, and the matrix or what is confused most."""
    per = Table(title=f"Classes, of all {c.unit}", title_justify="left")
    for name in ("class", "precision", "recall", "F1", "support"):
        per.add_column(name, justify="right")
    for f in c.classes:
        shown = ("" if x is None else f"{x:.4f}" for x in (f.precision, f.recall, f.f1))
        per.add_row(str(f.number), *shown, f"{f.support:,}")
    if len(c.matrix) > _MATRIX:
        most = Table(title="Confused most", title_justify="left")
        for name in ("label", "taken for", "times"):
            most.add_column(name, justify="right")
        for a, b, n in c.pairs[:_MATRIX]:
            most.add_row(str(a), str(b), f"{n:,}")
        return [per, most]
    matrix = Table(title="Confusion: rows are labels, columns answers", title_justify="left", padding=(0, 0, 0, 1))
    matrix.add_column("", justify="right", style="bold")
    for i in range(len(c.matrix)):
        matrix.add_column(str(i), justify="right", no_wrap=True)
    for i, row in enumerate(c.matrix):
        matrix.add_row(str(i), *(f"{n}" if n else "·" for n in row))
    return [per, matrix]


def folder_json(e: FolderEvaluation) -> dict[str, Any]:
    """The report of `tinygen eval FOLDER --json`."""
    v, c = e.verdict, e.confusion
    return {
        "model": e.model,
        "folder": str(e.folder),
        "core": e.core,
        "samples": v.samples,
        "samples_sha256": v.samples_sha256,
        "precision": v.precision,
        "compared_with": v.reference or None,
        "measures": [
            {
                "name": f.name, "float": f.real, "integer": _finite(f.integer),
                "error_of_fall": f.error if v.reference else None, "error": f.own_error,
            }
            for f in v.figures
        ],
        "confusion": None if c is None else {
            "counts": c.unit,
            "matrix": c.matrix.tolist(),
            "classes": [asdict(f) for f in c.classes],
            "surest_mistakes": [asdict(m) for m in c.mistakes],
        },
        "verdict_of_build": e.built,
        "notes": list(e.notes),
    }  # fmt: skip


def profile_table(p: Profile) -> Table:
    """What each layer of a build costs; without a cycle model, its instructions only.

    "waiting" are cycles with those that the flash model adds, which "ms" counts too; "per MAC" is of cycles without
    them, and KiB are what loads and stores move.
    """
    title = f"{p.model} on {p.board.id}: {p.core} at {p.board.f_cpu_hz / 1e6:g} MHz (counts in thousands)"
    t = Table(title=title, show_footer=True, box=SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    total, waits = p.total, p.flash is not None

    def column(name: str, every: str) -> None:
        t.add_column(name, every, justify="right", no_wrap=True)

    t.add_column("layer", "total", overflow="fold", min_width=9)
    if p.measured is not None:
        column("measured ms", f"{p.measured.milliseconds(p.measured.total):.3f}")
    if p.has_cycles:
        column("ms", f"{p.milliseconds(total.flash_cycles):.3f}")
        if waits:
            column("waiting", _thousands(total.flash_cycles))
        column("cycles", _thousands(total.cycles))
    column("insns", _thousands(total.instructions))
    column("MACs", _thousands(p.macs))
    column("per MAC", _per_mac(p, None))
    column("KiB", _moved(p, None))
    for i, layer in enumerate(p.layers):
        c = layer.counts
        row = [layer.name]
        if p.measured is not None:
            row.append(f"{p.measured.milliseconds(p.measured.layers[i]):.3f}")
        if p.has_cycles:
            row += [f"{p.milliseconds(c.flash_cycles):.3f}", *([_thousands(c.flash_cycles)] if waits else [])]
            row += [_thousands(c.cycles)]
        t.add_row(*row, _thousands(c.instructions), _thousands(layer.macs), _per_mac(p, layer), _moved(p, layer))
    return t


def _thousands(n: int) -> str:
    return f"{n / 1000:,.1f}"


def _per_mac(p: Profile, layer: LayerProfile | None) -> str:
    """Cycles without flash waits (or instructions) for each multiply-accumulate."""
    counts, macs = (p.total, p.macs) if layer is None else (layer.counts, layer.macs)
    return f"{(counts.cycles if p.has_cycles else counts.instructions) / macs:.2f}" if macs else ""


def _moved(p: Profile, layer: LayerProfile | None) -> str:
    """KiB loaded and stored."""
    c = p.total if layer is None else layer.counts
    return f"{(c.loaded + c.stored) / 1024:,.1f}"


def profile_memory_table(p: Profile) -> Table:
    """Where a build's flash and RAM go."""
    t = Table(title="Memory", show_header=False)
    t.add_column()
    t.add_column(justify="right")
    t.add_column()
    use = p.flash_use
    t.add_row(
        "flash",
        kib(use.total),
        f"bytes of {kib(p.board.flash_bytes)}: constants {kib(sum(use.constants.values()))}, kernels "
        f"{kib(sum(use.kernels.values()))}, {p.model}.c {kib(use.model)}, libraries {kib(use.libraries)}",
    )
    t.add_row(
        "RAM",
        kib(p.ram),
        f"bytes of {kib(p.board.ram_bytes)}: arena {kib(p.arena)}, in/out {kib(p.io)}, stack {kib(p.stack)}",
    )
    return t


def profile_json(p: Profile) -> dict[str, Any]:
    """The report of `tinygen profile --json`; cycles are null where the core has no cycle model."""

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
        "measured": None if p.measured is None else asdict(p.measured),
        "notes": list(p.notes),
    }


def changes_table(o: Outcome) -> Table:
    """What each technique did to each layer."""
    t = Table(title=f"{o.name}: {o.recipe.describe()}")
    for column, justify in (("technique", "left"), ("layer", "left"), ("what", "left"), ("before", "right"),
                            ("after", "right"), ("error", "right")):  # fmt: skip
        t.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    left = [c for c in o.changes if c.before == c.after and not c.error]
    if left:
        t.caption = f"Left alone: {len({c.layer for c in left})} layers by one technique or another; --json says why."
    for c in o.changes:
        if c in left:
            continue
        t.add_row(c.technique, c.layer, c.text, f"{c.before:,}", f"{c.after:,}", f"{c.error:.2%}" if c.error else "")
    return t


def figures_table(o: Outcome) -> Table:
    """The network before and after, as numbers."""
    cost = o.after.cost
    t = Table(title=f"{o.judged_on}; {cost.board}, {cost.optimize}, predicted")
    for column in ("", "float", "int8", "compressed"):
        t.add_column(column, justify="left" if not column else "right")
    t.add_row(o.measure, f"{o.float_quality:.4f}", f"{o.before.quality:.4f}", f"{o.after.quality:.4f}")
    for title, value in _ROWS:
        a, b = value(o.before), value(o.after)
        t.add_row(title, "", _number(a), _number(b))
    unknown = sorted({*o.before.cost.unknown, *o.after.cost.unknown})
    if unknown:
        t.caption = f"Without time and code of {', '.join(unknown)}, which were never measured on this core."
    return t


_ROWS: tuple[tuple[str, Callable[[Figures], float | None]], ...] = (
    ("MACs", lambda f: f.macs),
    ("weights", lambda f: f.weights),
    ("constants as stored, bytes", lambda f: f.cost.constants),
    ("flash, bytes", lambda f: f.cost.flash),
    ("RAM, bytes", lambda f: f.cost.ram),
    ("milliseconds", lambda f: f.cost.milliseconds),
)


def _number(value: float | None) -> str:
    if value is None:
        return "not modelled"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def outcome_json(o: Outcome) -> dict[str, Any]:
    """The report of `tinygen compress --json`."""

    def figures(f: Figures) -> dict[str, Any]:
        c = f.cost
        return {
            "quality": f.quality, "macs": f.macs, "weights": f.weights, "constants": c.constants, "flash": c.flash,
            "ram": c.ram, "milliseconds": c.milliseconds,
        }  # fmt: skip

    return {
        "model": o.name,
        "recipe": to_dict(o.recipe),
        "recipe_key": o.recipe.key,
        "board": o.after.cost.board,
        "optimize": o.after.cost.optimize,
        "measure": o.measure,
        "judged_on": o.judged_on,
        "float": o.float_quality,
        "before": figures(o.before),
        "after": figures(o.after),
        "changes": [
            {"technique": c.technique, "layer": c.layer, "what": c.text, "before": c.before, "after": c.after,
             "error": c.error}
            for c in o.changes
        ],
    }  # fmt: skip


def points_table(result: FitResult, board: BoardResult) -> Table:
    """The networks that were built for a board."""
    t = Table(title=f"{result.model} on {board.board.id}: {budget_text(board.budget, result.measure)}")
    for column in ("point", result.measure, "flash", "RAM", "ms", "fits"):
        t.add_column(column, justify="left" if column == "point" else "right", overflow="fold")
    for p in board.points:
        ms = p.predicted.milliseconds if p.milliseconds is None else p.milliseconds
        t.add_row(
            f"{p.name}: {p.recipe.describe()}; --optimize {p.optimize}",
            f"{p.quality:.4f}",
            f"{p.predicted.flash if p.flash is None else p.flash:,}",
            f"{p.predicted.ram if p.ram is None else p.ram:,}",
            "" if ms is None else f"{ms:.3f}",
            "yes" if p.fits else "no",
        )
    return t


def search_files(result: FitResult) -> dict[str, bytes]:
    """The page and the JSON of a search."""
    return {
        "report.html": render_page(result),
        "report.json": (json.dumps(fit_json(result), indent=2) + "\n").encode(),
    }


def fit_json(result: FitResult) -> dict[str, Any]:
    """The report of `tinygen fit --json`, also written as report.json."""
    return {
        "model": result.model,
        "measure": result.measure,
        "judged_on": result.judged_on,
        "float": result.float_quality,
        "trials": result.trials,
        "failures": [{"recipe": recipe, "why": why} for recipe, why in result.failures],
        "command": result.command,
        "boards": [
            {
                "board": b.board.id,
                "budget": asdict(b.budget),
                "met": any(p.fits for p in b.points),
                "nearest": list(b.nearest),
                "points": [_point_json(p, result.commands[p.name]) for p in b.points],
                "candidates": [
                    {
                        "recipe": c.record.recipe.describe(),
                        "quality": c.record.quality,
                        **asdict(c.cost),
                        "over": c.over,
                    }
                    for c in b.candidates
                ],
            }
            for b in result.boards
        ],
    }


def _point_json(p: Point, texts: tuple[str, str]) -> dict[str, Any]:
    return {
        "name": p.name,
        "folder": folder_of(p),
        "optimize": p.optimize,
        "recipe": to_dict(p.recipe),
        "quality": {"searched": p.searched.record.quality, "validation": p.validation, "test": p.test},
        "predicted": {"flash": p.predicted.flash, "ram": p.predicted.ram, "milliseconds": p.predicted.milliseconds},
        "measured": {"flash": p.flash, "ram": p.ram, "cycles": p.cycles, "milliseconds": p.milliseconds},
        "verified": list(p.verified),
        "outputs_sha256": p.outputs_sha256,
        "fits": p.fits,
        "problems": list(p.why_not),
        "notes": list(p.notes),
        "commands": list(texts),
        "changes": [asdict(c) for c in p.changes],
    }
