"""The verdict on every network of ../shared/models, with the labels of its test data and without.

    python -m benchmarks.accuracy [NAME ...]    table; writes benchmarks/results/accuracy.json when no names are given

Calibrated on the data's own calibration samples, judged on at most 600 others. The limits of docs/ACCURACY.md stand
above the largest falls of this table; exit code 1 when a network of it would be refused.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.datasets import dataset_for
from benchmarks.models import calibration_samples, collection
from benchmarks.record import RESULTS
from tinygen.calibrate.data import part
from tinygen.flow.judge import Judge
from tinygen.flow.quantised import quantised_file
from tinygen.flow.types import Calibration
from tinygen.flow.verdict import Verdict

MOST = 600


def verdicts(path: Path) -> list[Verdict]:
    """With labels, where there are any, and without."""
    data = dataset_for(path.stem)
    test = part(replace(calibration_samples(data.test[0]), labels=data.labels), slice(0, MOST))
    asked = [test] if test.labels is None else [test, replace(test, labels=None)]
    model = quantised_file(path, Calibration(calibration_samples(data.calib[0]), test=asked[0]))
    found = []
    for samples in asked:
        assert model.held is not None
        held = replace(model.held, samples=samples)
        found.append(Judge(model.imported, model.tidy, held).verdict(model.fixed, model.layers))
    return found


def row(path: Path, v: Verdict) -> dict[str, Any]:
    db = next(f.integer for f in v.figures if f.decibel)
    return {
        "model": path.stem, "measure": v.main.name, "float": None if v.main.real is None else round(v.main.real, 4),
        "integer": round(v.main.integer, 4), "error": round(v.main.error, 4), "sqnr_db": round(min(db, 999.0), 1),
        "samples": v.samples, "unseen": v.unseen, "compared_with": v.reference, "verdict": v.grade.name.lower(),
    }  # fmt: skip


def main(names: list[str]) -> int:
    table = Table(title="Verdicts")
    for column in ("model", "measure", "float", "integer", "±", "SQNR dB", "samples", "verdict"):
        table.add_column(column, justify="left" if column in ("model", "measure", "verdict") else "right")
    rows, refused = [], []
    for path in collection():
        if names and path.stem not in names:
            continue
        try:
            found = verdicts(path)
        except KeyError as e:
            print(f"{path.stem}: {e}", file=sys.stderr)
            continue
        for v in found:
            r = row(path, v)
            rows.append(r)
            refused += [path.stem] if v.ruined else []
            known = "" if r["float"] is None else f"{r['float']:.4f}"
            seen = f"{r['samples']}" + ("" if r["unseen"] else ", seen")
            cells = (known, f"{r['integer']:.4f}", f"{r['error']:.4f}", f"{r['sqnr_db']:.1f}", seen, r["verdict"])
            table.add_row(r["model"], r["measure"], *cells)
        print(f"{path.stem}: {found[0]}", file=sys.stderr, flush=True)
    Console(width=140).print(table)
    if not names:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "accuracy.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    print(f"{len(rows)} verdicts, {len(refused)} refused" + (f": {', '.join(refused)}" if refused else ""))
    return 1 if refused else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
