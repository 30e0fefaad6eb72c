"""Time and memory of the build itself, by phase, from the smallest to the largest network of ../shared.

    python -m benchmarks.build_time        table; writes benchmarks/results/build_time.json

Every build is a process of its own: `start` is the interpreter and its imports, `total` is what a user waits for. Wall-
clock times do not repeat: this is a benchmark, never a test. Memory is the peak of the process, compilers apart.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.record import RESULTS

MODELS = (
    "hello_world_tf_tflite", "ecg_cnn_pt_legacy", "kws_dscnn_pt_legacy", "ic_resnet8_pt_legacy", "ad01_pt_legacy",
    "vww_mobilenetv1_025_pt_legacy", "fm_cnn_teacher_pt_legacy",
)  # fmt: skip
PHASES = (
    "start",
    "import",
    "tidy",
    "calibrate",
    "judge",
    "plan",
    "simulate",
    "verify native",
    "verify cortex-m4",
    "emit",
)
CHILD = """
import json, resource, sys, tempfile, time
from pathlib import Path
started = time.perf_counter()
from benchmarks.datasets import dataset_for, shared_dir
from benchmarks.models import build_first_fit, calibration_samples
loaded = time.perf_counter()
stem, cores = sys.argv[1], tuple(sys.argv[2:])
x = dataset_for(stem).calib[0]
samples = calibration_samples(x[[i % len(x) for i in range(200)]])
ready = time.perf_counter()
with tempfile.TemporaryDirectory() as folder:
    path = shared_dir() / "models" / f"{stem}.onnx"
    built = build_first_fit(path, Calibration(samples), Proof(cores), Path(folder) / "out")
done = time.perf_counter()
print(json.dumps({
    "seconds": {"start": loaded - started, **built.seconds}, "build": done - ready, "macs": built.plan.macs,
    "parameters": built.library.weight_bytes, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


def run(stem: str, *cores: str) -> dict[str, Any]:
    """One build in a fresh process; `total` includes starting it, less the reading of benchmark data."""
    before = time.perf_counter()
    text = subprocess.run(
        [sys.executable, "-c", CHILD, stem, *cores], check=True, capture_output=True, text=True
    ).stdout
    total = time.perf_counter() - before
    found: dict[str, Any] = json.loads(text)
    return {**found, "total": total}


def main() -> int:
    table = Table(title="Build, 200 calibration samples: seconds by phase, and peak memory of the process")
    for column in ("model", "MACs", "constants", *PHASES, "total, native", "total, with M4", "peak MiB"):
        table.add_column(column, justify="left" if column == "model" else "right")
    rows = {}
    for stem in MODELS:
        native, emulated = run(stem, "native"), run(stem, "native", "cortex-m4")
        rows[stem] = {"native": native, "emulated": emulated}
        cells = [f"{emulated['seconds'].get(p, 0):.2f}" for p in PHASES]
        table.add_row(
            stem, f"{native['macs']:,}", f"{native['parameters']:,}", *cells,
            f"{native['total']:.2f}", f"{emulated['total']:.2f}", f"{emulated['peak_mib']:.0f}",
        )  # fmt: skip
        print(stem, file=sys.stderr, flush=True)
    Console(width=190).print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "build_time.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
