"""What lossless simplification takes from every network of ../shared/models.

    python -m benchmarks.lossless [NAME ...]      table; benchmarks/results/lossless.json (rows of those names renewed)

MACs, weights and channels before and after; cycles on a Cortex-M4 and flash as the cost model predicts them for
"balanced", and, where something went, as the emulator counts and the linker says them. Outputs of both graphs are
compared, byte by byte in numpy, on 1,000 inputs: samples of the model's own data, the ends of int8, random integers.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.datasets import dataset_for
from benchmarks.mlperf import measure
from benchmarks.models import calibration_samples, collection
from benchmarks.networks import Network
from benchmarks.record import RESULTS
from tinygen import simulate
from tinygen.calibrate.methods import DEFAULT_METHOD
from tinygen.flow.planned import predict
from tinygen.flow.quantised import calibrate, load
from tinygen.flow.types import Quantised
from tinygen.ir.types import Graph
from tinygen.numerics import Array
from tinygen.passes import simplify
from tinygen.passes.base import apply
from tinygen.plan.planner import plan
from tinygen.targets.cores import get_core

INPUTS = 1000
REAL = 500
ENDS = 100
CORE = "cortex-m4"
COLUMNS = (
    "model", "MACs", "after", "%", "weights", "after", "%", "channels", "after", "M4 cycles", "after", "flash", "after",
    "measured cycles", "after", "linked flash", "after", "equal on",
)  # fmt: skip


def both(path: Path) -> tuple[Quantised, Quantised]:
    """A model quantised, and simplified besides."""
    samples = calibration_samples(dataset_for(path.stem).calib[0])
    loaded = load(path)
    graph = loaded.tidy
    fixed, layers = calibrate(graph, samples, DEFAULT_METHOD)
    whole = Quantised(loaded.imported, graph, fixed, samples, False, layers, simplify.size_of(fixed))
    return whole, replace(whole, fixed=apply(simplify.PASS, fixed))


def inputs(graph: Graph, stem: str, seed: int = 0) -> list[Array]:
    """INPUTS samples for each input of the graph: real ones first, then the ends of int8, then random ones."""
    rng = np.random.default_rng(seed)
    real = simulate.quantise_inputs(graph, [x[:REAL] for x in dataset_for(stem).test])
    found = []
    for x in real:
        ends = rng.choice(np.array([-128, 127], np.int8), (ENDS, *x.shape[1:]))
        ends[0], ends[1] = -128, 127
        rest = rng.integers(-128, 128, (INPUTS - len(x) - ENDS, *x.shape[1:]), np.int8)
        found.append(np.concatenate([x, ends, rest]))
    return found


def row(path: Path) -> dict[str, Any]:
    """Figures of one model; AssertionError when an output is not the same."""
    models = both(path)
    given = inputs(models[0].fixed, path.stem)
    outputs = [simulate.run(m.fixed, given) for m in models]
    for a, b in zip(*outputs, strict=True):
        assert np.array_equal(a, b), path.stem
    changed = models[0].fixed is not models[1].fixed
    found: dict[str, Any] = {"model": path.stem, "changed": changed, "equal_on": len(given[0])}
    for when, m in zip(("before", "after"), models, strict=True):
        predicted = predict(plan(m.fixed, get_core(CORE)), m, None)
        found[when] = {
            **asdict(simplify.size_of(m.fixed)),
            "predicted_cycles": predicted.cycles,
            "predicted_flash": predicted.flash,
        }
        if len({simplify.size_of(k.fixed) for k in models}) > 1:
            seen = measure(Network(path, m), CORE, "balanced")
            found[when] |= {key: seen[key] for key in ("cycles", "flash", "constants", "arena", "stack")}
    return found


def show(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="Lossless simplification, on Cortex-M4")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "model" else "right")
    for r in rows:
        a, b = r["before"], r["after"]
        cells = []
        for key, share in (("macs", True), ("weights", True), ("channels", False)):
            gone = f"{100 * (a[key] - b[key]) / max(a[key], 1):.1f}"
            cells += [f"{a[key]:,}", f"{b[key]:,}", *([gone] if share else [])]
        for key in ("predicted_cycles", "predicted_flash", "cycles", "flash"):
            cells += [f"{x[key]:,}" if key in x else "" for x in (a, b)]
        table.add_row(r["model"], *cells, f"{r['equal_on']:,}")
    return table


def main(names: list[str]) -> int:
    rows = []
    for path in collection():
        if names and path.stem not in names:
            continue
        rows.append(r := row(path))
        a, b = r["before"], r["after"]
        print(f"{path.stem}: {a['macs'] - b['macs']:,} MACs, {a['weights'] - b['weights']:,} weights gone",
              file=sys.stderr, flush=True)  # fmt: skip
    Console(width=250).print(show(rows))
    target = RESULTS / "lossless.json"
    known = json.loads(target.read_text(encoding="utf-8")) if names and target.is_file() else []
    all_rows = {r["model"]: r for r in (*known, *rows)}
    RESULTS.mkdir(exist_ok=True)
    target.write_text(json.dumps([all_rows[k] for k in sorted(all_rows)], indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
