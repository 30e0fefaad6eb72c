"""Build and verify every network of ../shared/models, and print what each costs and how accurate it is.

    python -m benchmarks.models [NAME ...]      table; writes benchmarks/results/models.json when no names are given

Every model: numpy = this computer = emulated Cortex-M4. The MLPerf Tiny networks and those with memory or attention: on
every other emulated core as well (benchmarks/sequences.py has what the latter cost there).
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.datasets import SEQUENCES, dataset_for, family, score, shared_dir
from benchmarks.record import RESULTS
from tinygen.calibrate.data import Samples
from tinygen.calibrate.metrics import sqnr_db
from tinygen.errors import TargetError, TinygenError
from tinygen.flow.build import build_folder
from tinygen.flow.gates import Terms
from tinygen.flow.quantised import load, run_both
from tinygen.flow.types import Built, Calibration, Proof, Target
from tinygen.numerics import Array
from tinygen.report.build import flash_bytes
from tinygen.targets.board import load_board
from tinygen.targets.cores import VERIFY_CORES

BOARDS = ("nucleo_f446re", "disco_f407vg", "nucleo_l4r5zi")  # the first that the model fits
EVERYWHERE = ("ad01", "ic_resnet8", "kws_dscnn", "vww_mobilenetv1_025", *SEQUENCES)
COLUMNS = (
    "model", "board", "layers", "MACs", "flash", "constants", "arena", "in/out", "stack", "metric", "float", "int8",
    "ORT int8", "SQNR dB", "equal on",
)  # fmt: skip


def collection() -> list[Path]:
    """Every model file of ../shared/models."""
    return sorted((shared_dir() / "models").glob("*.onnx"))


def calibration_samples(x: Array) -> Samples:
    """Samples for a build from the arrays of a dataset."""
    return Samples((np.ascontiguousarray(x),), None, "0" * 64, "../shared")


def build_first_fit(path: Path, calibration: Calibration, proof: Proof, out: Path) -> Built:
    """The build for the first board the model fits, whatever it is worth."""
    loaded, terms = load(path), Terms(accept_loss=True)
    for board in BOARDS:
        try:
            return build_folder(loaded, out, Target(load_board(board)), calibration, terms=terms, proof=proof)
        except TargetError:
            if board == BOARDS[-1]:
                raise
    raise AssertionError


def row(path: Path) -> dict[str, Any]:
    """Figures of one model."""
    data = dataset_for(path.stem)
    cores = ("native", *VERIFY_CORES) if family(path.stem) in EVERYWHERE else ("native", "cortex-m4")
    judges = replace(calibration_samples(data.test[0]), labels=data.labels)
    calibration = Calibration(calibration_samples(data.calib[0]), test=judges)
    with tempfile.TemporaryDirectory(prefix="tinygen-") as folder:
        built = build_first_fit(path, calibration, Proof(cores), Path(folder) / "out")
    (real,), (ints,) = run_both(built.model, data.test)
    labelled = data.metric not in ("agreement", "sqnr")
    return {
        "model": path.stem,
        "board": built.board.id,
        "layers": len(built.plan.steps),
        "macs": built.plan.macs,
        "flash": flash_bytes(built),
        "constants": built.library.weight_bytes,
        "arena": built.plan.arena_len,
        "io": built.io_bytes,
        "stack": built.stack,
        "metric": data.metric,
        "float": round(score(data, real), 4) if labelled else None,
        "int8": round(score(data, ints, real), 4),
        "ort_int8": data.ort_int8,
        "sqnr_db": round(sqnr_db(real, ints), 1),
        "equal_on": [r.core for r in built.results],
    }


def main(names: list[str]) -> int:
    table = Table(title="Models of ../shared/models")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("model", "board", "equal on") else "right")
    rows, failed = [], []
    for path in collection():
        if names and path.stem not in names:
            continue
        try:
            r = row(path)
        except TinygenError as e:
            failed.append(path.stem)
            print(f"{path.stem}: {e}", file=sys.stderr)
            continue
        rows.append(r)
        accuracy = ["" if r[k] is None else f"{r[k]:.4f}" for k in ("float", "int8", "ort_int8")]
        equal = "all cores" if len(r["equal_on"]) == len(VERIFY_CORES) + 1 else "native, M4"
        cells = [f"{r[k]:,}" for k in ("layers", "macs", "flash", "constants", "arena", "io", "stack")]
        table.add_row(r["model"], r["board"], *cells, r["metric"], *accuracy, f"{r['sqnr_db']:.1f}", equal)
        print(f"{r['model']}: flash {r['flash']}, int8 {r['int8']}", file=sys.stderr, flush=True)
    Console(width=210).print(table)
    if not names and not failed:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "models.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    print(f"{len(rows)} built and verified, {len(failed)} failed" + (f": {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
