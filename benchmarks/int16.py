"""What int16 activations cost and gain: accuracy, and cycles, flash and RAM on a board.

python -m benchmarks.int16 [MODEL ...]
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.datasets import dataset_for, score, shared_dir
from benchmarks.granularity import run_float
from benchmarks.record import RESULTS
from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.calibrate.metrics import sqnr_db
from tinygen.flow.build import build_folder
from tinygen.flow.gates import Terms
from tinygen.flow.quantised import load
from tinygen.flow.types import Calibration, Target
from tinygen.profile.folder import profile_folder
from tinygen.targets.board import load_board

MODELS = ("ad01_pt_legacy", "cifar_mbv3tiny_pt_legacy", "seg_fcn_pt_legacy", "fsdd_dscnn_pt_legacy",
          "kws_dscnn_pt_legacy")  # fmt: skip
BOARD = "nucleo_f446re"
BITS = ("8", "16")


def measure(stem: str, bits: str) -> dict[str, Any]:
    """Figures of one model. Without data of its own: made-up inputs, no metric."""
    path = shared_dir() / "models" / f"{stem}.onnx"
    try:
        data = dataset_for(stem)
    except KeyError:
        data = None
    samples = None if data is None else Samples((data.calib[0],), None, "", "")
    with tempfile.TemporaryDirectory() as folder:
        calibration = Calibration(samples, activations=bits, test=samples)
        built = build_folder(
            load(path), Path(folder) / "out", Target(load_board(BOARD)), calibration, terms=Terms(accept_loss=True)
        )
        counts = profile_folder(Path(folder) / "out").total
    assert built.sizes is not None
    s = built.sizes
    found = {
        "cycles": counts.cycles,
        "flash": s.flash_model + s.flash_libgcc + s.flash_libc,
        "arena": built.plan.arena_len,
        "in_out": built.io_bytes,
        "notes": list(built.model.notes),
    }
    if data is not None:
        real = run_float(built.model.tidy, data.test[0])
        outputs = simulate.run(built.model.fixed, simulate.quantise_inputs(built.model.fixed, [data.test[0]]))
        (y,) = simulate.dequantise_outputs(built.model.fixed, outputs)
        found["metric"], found["float"] = data.metric, round(score(data, real, real), 4)
        found["value"], found["sqnr_db"] = round(score(data, y, real), 4), round(float(sqnr_db(real, y)), 2)
    return found


def main(names: list[str]) -> int:
    table = Table(title=f"int16 activations on {BOARD}")
    columns = ("model", "bits", "float", "value", "SQNR, dB", "cycles", "flash", "arena", "in/out")
    for column in columns:
        table.add_column(column, justify="left" if column == "model" else "right")
    found: dict[str, Any] = {}
    for stem in names or MODELS:
        for bits in BITS:
            r = found.setdefault(stem, {})[bits] = measure(stem, bits)
            cells = [str(r.get(k, "-")) for k in ("float", "value", "sqnr_db", "cycles", "flash", "arena", "in_out")]
            table.add_row(stem, bits, *cells)
            print(stem, bits, *cells, *r["notes"], file=sys.stderr, flush=True)
    Console(width=160).print(table)
    if not names:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "int16.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
