"""Networks of onnxruntime's own quantiser, built, and the compiled C against onnxruntime and an independent reading.

    python -m benchmarks.quantised [--seeds N] [STRUCTURE ...]     table; benchmarks/results/quantised.json

Every structure of benchmarks/structures.py as QDQ with int8 and with uint8 activations and as QOperator, from several
seeds (every other one with a scale for each channel). The C, compiled for this computer, gives the same bytes as numpy
on all samples; they are compared with the integers of onnxruntime, its optimisations off, and with those of the
reading, at the outputs, with whatever earlier layers passed on: onnxruntime's float32 rounds ties of a mean either way,
so behind one it differs from exact arithmetic. "layer by layer" is what the check of every build finds: each layer on
the file's own integers.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.record import RESULTS
from benchmarks.structures import FORMS, STRUCTURES, quantised, there_is
from tinygen import simulate
from tinygen.calibrate.reading.file import Reading
from tinygen.calibrate.reading.values import Rounded
from tinygen.calibrate.runtime import with_outputs
from tinygen.errors import UnsupportedError
from tinygen.flow import check, verify
from tinygen.flow.quantised import quantised_file
from tinygen.numerics import Array
from tinygen.ops.base import need_quant
from tinygen.plan.planner import plan
from tinygen.targets.cores import get_core

BOARD = "nucleo_f446re"
SEEDS = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One built network: its outputs against onnxruntime's and the reading's, and its layers, one by one."""

    structure: str
    form: str
    activations: str
    seed: int
    values: int
    ties: int
    ties_differ: int
    differ: int
    worst: int
    differ_from_reading: int
    layer_values: int
    layer_ties: int
    layer_ties_differ: int
    layer_differ: int
    layer_worst: int
    not_held: int


def measure(path: Path, structure: str, form: str, activations: str, seed: int) -> Row:
    """Build, run the C, compare. VerifyError where numpy and C part, or a layer is not what the file says."""
    q = quantised_file(path)
    reals = check.test_inputs(q.fixed, q.samples, synthetic=True)
    inputs = simulate.quantise_inputs(q.fixed, reals)
    expected = simulate.run(q.fixed, inputs)
    native = plan(q.fixed, get_core("native"))
    verify.verify_plan(q, native, "native", inputs, expected)

    reading = Reading(q.imported.original)
    feeds = {p.name: x for p, x in zip(q.fixed.in_ports, reals, strict=True)}
    run = reading.run(feeds)
    session = with_outputs(q.imported.original, [])
    found = dict(zip(session.output_names, session.run_many([feeds[n] for n in session.input_names]), strict=True))
    values = ties = ties_differ = differ = worst = from_reading = 0
    for tensor, port, y in zip(q.fixed.outputs, q.fixed.out_ports, expected, strict=True):
        scale, zero = need_quant(q.fixed.tensors[tensor])
        ours = port.to_onnx(y).astype(np.int64) - zero
        theirs, read = (_steps(o[port.name], scale, ours.shape) for o in (found, run.outputs))
        near = _ties(reading, port.name, run.rounded, ours.shape)
        off = np.abs(ours - theirs)
        values += off.size
        ties += int(near.sum())
        ties_differ += int(((off > 0) & near).sum())
        differ += int(((off > 0) & ~near).sum())
        worst = max(worst, int(off.max()))
        from_reading += int(((ours != read) & ~near).sum())
    held = [r for r in q.checked.layers if r.held]
    return Row(
        structure, form, activations, seed, values, ties, ties_differ, differ, worst, from_reading,
        sum(r.values for r in held), sum(r.ties for r in held), sum(r.ties_differ for r in held),
        sum(r.differ for r in held), max((r.worst for r in held), default=0), len(q.checked.layers) - len(held),
    )  # fmt: skip


def _steps(y: Array, scale: float, shape: tuple[int, ...]) -> Array:
    """Real outputs as multiples of the output's scale."""
    steps: Array = np.rint(np.asarray(y, np.float64) / scale).astype(np.int64).reshape(shape)
    return steps


def _ties(reading: Reading, output: str, rounded: Mapping[str, Rounded], shape: tuple[int, ...]) -> Array:
    """Where the number behind an output was a tie."""
    behind = reading.behind[output]
    if behind.steps or len(behind.sources) != 1:
        return np.zeros(shape, bool)
    ties: Array = rounded[min(behind.sources)].ties.reshape(shape)
    return ties


def show(rows: list[Row], console: Console) -> None:
    """A line for each structure and form."""
    table = Table(title="Pre-quantised networks: the compiled C against onnxruntime")
    for name in (
        "structure", "form", "builds", "outputs", "most steps", "equal", "equal to the reading",
        "layer by layer: values", "most steps", "equal, no ties", "ties", "of them differ",
    ):  # fmt: skip
        table.add_column(name, justify="left" if name in ("structure", "form") else "right")
    for structure in dict.fromkeys(r.structure for r in rows):
        for form, activations in FORMS:
            group = [r for r in rows if (r.structure, r.form, r.activations) == (structure, form, activations)]
            if group:
                table.add_row(structure, f"{form} {activations}", *_cells(group))
    table.add_section()
    table.add_row("all", "", *_cells(rows))
    console.print(table)


def _cells(group: list[Row]) -> list[str]:
    values, ties = sum(r.values for r in group), sum(r.ties for r in group)
    inner, inner_ties = sum(r.layer_values for r in group), sum(r.layer_ties for r in group)
    return [
        str(len(group)), f"{values:,}", str(max(r.worst for r in group)),
        _percent(1 - sum(r.differ for r in group) / max(values - ties, 1)),
        _percent(1 - sum(r.differ_from_reading for r in group) / max(values - ties, 1)),
        f"{inner:,}", str(max(r.layer_worst for r in group)),
        _percent(1 - sum(r.layer_differ for r in group) / max(inner - inner_ties, 1)), _percent(inner_ties / inner),
        str(sum(r.layer_ties_differ for r in group)),
    ]  # fmt: skip


def summary(rows: list[Row]) -> list[dict[str, object]]:
    """All seeds of a structure and form in one: counts added up, steps the most."""
    found: dict[tuple[str, str, str], dict[str, object]] = {}
    for r in rows:
        known = found.setdefault((r.structure, r.form, r.activations), {"builds": 0})
        known["builds"] += 1
        for key, v in asdict(r).items():
            if key in ("worst", "layer_worst"):
                known[key] = max(known.get(key, 0), v)
            elif key != "seed":
                known[key] = known.get(key, 0) + v if isinstance(v, int) else v
    return list(found.values())


def _percent(part: float) -> str:
    return f"{part:.3%}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantised")
    parser.add_argument("names", nargs="*", help=f"default: all {len(STRUCTURES)}")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    args = parser.parse_args()
    names = args.names or list(STRUCTURES)
    rows: list[Row] = []
    refused: dict[str, str] = {}
    console = Console(width=190)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            for form, activations in FORMS:
                if not there_is(name, activations):
                    continue
                for seed in range(args.seeds):
                    path = quantised(name, form, activations, seed, Path(folder))
                    try:
                        rows.append(measure(path, name, form, activations, seed))
                    except UnsupportedError as e:
                        refused[f"{name}, {form} {activations}"] = e.rows[0][2]
            console.print(f"{name}: {sum(r.structure == name for r in rows)} built")
    show(rows, console)
    for name, what in refused.items():
        console.print(f"refused: {name}: {what}")
    if not args.names:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "quantised.json").write_text(
            json.dumps({"rows": summary(rows), "refused": refused}, indent=1) + "\n", encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
