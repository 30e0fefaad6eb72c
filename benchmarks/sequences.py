"""Networks with memory or attention, on every core: those of ../shared/models, small ones of ../shared/cases/import.

    python -m benchmarks.sequences [NAME ...]   tables; benchmarks/results/sequences.json when no names are given

Each is built for a Nucleo-F446RE, proved byte for byte on this computer and all emulated cores, and counted there.
Compared with is onnxruntime on the file as it is, step by step where outputs come back as inputs. The collection has
its test data; the small ones get normal random numbers, other ones than calibrate.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from rich.console import Console
from rich.table import Table

from benchmarks import record
from benchmarks.datasets import SEQUENCES, dataset_for, family, score, shared_dir
from benchmarks.emulate import counting_core
from benchmarks.guard import TIMED
from benchmarks.models import calibration_samples, collection
from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.calibrate.metrics import sqnr_db
from tinygen.emit.library import render_library
from tinygen.flow.build import build_folder
from tinygen.flow.gates import Terms
from tinygen.flow.library import make_library
from tinygen.flow.quantised import load
from tinygen.flow.types import Built, Calibration, Loaded, Proof, Target
from tinygen.numerics import Array
from tinygen.plan.planner import plan
from tinygen.profile import profile_plan
from tinygen.report.build import flash_bytes
from tinygen.targets.board import load_board
from tinygen.targets.cores import VERIFY_CORES, get_core

BOARD = "nucleo_f446re"
#: Small networks, and which outputs come back as inputs.
CASES: Mapping[str, Mapping[str, str]] = {
    "f5_attention": {}, "f5_bilstm": {}, "f5_gru_state": {"h0": "hn"}, "f5_instnorm": {}, "f5_l2norm": {},
    "f5_layernorm": {}, "gru_step": {"h": "h_out"}, "lstm": {}, "layernorm": {}, "qk": {}, "torch_mask": {},
}  # fmt: skip
SAMPLES = 200
#: Streams that calibrate, as many that test, and the steps of each.
STREAMS, STEPS = 16, 50


def networks() -> dict[Path, Mapping[str, str]]:
    """Files, and the states of each."""
    large = {p: {} for p in collection() if family(p.stem) in SEQUENCES}
    return large | {shared_dir() / "cases" / "import" / f"{name}.onnx": s for name, s in CASES.items()}


def random_data(loaded: Loaded) -> tuple[list[Array], list[Array]]:
    """Inputs to calibrate with, and to test with."""
    rng = np.random.default_rng(0)
    count = (STREAMS, STEPS) if loaded.tidy.states else (SAMPLES,)
    shapes = [(*count, *port.shape) for port in loaded.tidy.in_ports]
    calib, test = ([rng.normal(size=s).astype(np.float32) for s in shapes] for _ in range(2))
    return calib, test


def reference(loaded: Loaded, inputs: Sequence[Array], states: Mapping[str, str]) -> list[Array]:
    """Outputs of the file itself in onnxruntime, by samples, or by streams and steps."""
    session = ort.InferenceSession(loaded.imported.original, providers=["CPUExecutionProvider"])
    names, outs = ([p.name for p in ports] for ports in (loaded.tidy.in_ports, loaded.tidy.out_ports))
    shapes = {i.name: [d if isinstance(d, int) else 1 for d in i.shape] for i in session.get_inputs()}
    found: list[list[Array]] = []
    for sample in zip(*inputs, strict=True):
        steps = zip(*sample, strict=True) if states else [sample]
        carried = {name: np.zeros(shapes[name], np.float32) for name in states}
        for values in steps:
            got = session.run([*outs, *states.values()], dict(zip(names, values, strict=True)) | carried)
            carried = dict(zip(states, got[len(outs) :], strict=True))
            found.append([np.asarray(y) for y in got[: len(outs)]])
    lead = inputs[0].shape[: 2 if states else 1]
    return [np.stack(y).reshape(*lead, *y[0].shape) for y in zip(*found, strict=True)]


def on_core(built: Built, name: str) -> dict[str, int]:
    """What one call costs on a core: instructions, cycles where they are modelled, flash and stack in bytes."""
    p = plan(built.model.fixed, get_core(name), built.target.optimize)
    files = render_library(make_library(p, built.model))
    first = [x[0, 0] if built.plan.states else x[0] for x in built.inputs]
    counted = profile_plan(p, files, counting_core(name), sample=b"".join(x.tobytes() for x in first))
    (proved,) = (r for r in built.results if r.core == name)
    assert proved.sizes is not None
    sizes = proved.sizes
    cycles = {"cycles": counted.total.cycles} if name in TIMED else {}
    flash = sizes.flash_model + sizes.flash_libgcc + sizes.flash_libc
    return {"instructions": counted.total.instructions, **cycles, "flash": flash, "stack": proved.stack}


def row(path: Path, states: Mapping[str, str]) -> dict[str, Any]:
    """Figures of one network."""
    loaded = load(path, states=states)
    data = dataset_for(path.stem) if path.parent.name == "models" else None
    if data is not None:
        judges = replace(calibration_samples(data.test[0]), labels=data.labels)
        calibration, test = Calibration(calibration_samples(data.calib[0]), test=judges), [data.test[0]]
    else:
        calib, test = random_data(loaded)
        calibration = Calibration(Samples(tuple(calib), None, "0" * 64, "random numbers"))
    with tempfile.TemporaryDirectory(prefix="tinygen-") as folder:
        out, proof = Path(folder) / "out", Proof(("native", *VERIFY_CORES))
        built = build_folder(
            loaded, out, Target(load_board(BOARD)), calibration, terms=Terms(accept_loss=True), proof=proof
        )
    model = built.model
    real = reference(loaded, test, states)
    ints = simulate.dequantise_outputs(
        model.fixed, simulate.run(model.fixed, simulate.quantise_inputs(model.fixed, test))
    )
    made = [a for a in model.layers if a.title != "reshape"]
    worst = min(made, key=lambda a: a.sqnr_db)
    return {
        "model": path.stem,
        "layers": len(built.plan.steps),
        "copies": sum(c.call.kernel.startswith("tg_copy") for s in built.plan.steps for c in s.calls),
        "macs": built.plan.macs,
        "flash": flash_bytes(built),
        "arena": built.plan.arena_len,
        "io": built.io_bytes,
        "stack": built.stack,
        "float": None if data is None else round(score(data, real[0]), 4),
        "int8": None if data is None else round(score(data, ints[0]), 4),
        "sqnr_db": round(min(sqnr_db(a, b) for a, b in zip(real, ints, strict=True)), 1),
        "worst": {"layer": worst.title, "onnx": worst.origin[0] if worst.origin else "", "db": round(worst.sqnr_db, 1)},
        "by_layer": [{"layer": a.title, "onnx": list(a.origin), "db": round(a.sqnr_db, 1)} for a in made],
        "equal_on": [r.core for r in built.results],
        "cores": {name: on_core(built, name) for name in VERIFY_CORES},
    }


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Two tables: accuracy and memory, then what a call costs."""
    heads = (
        "model", "layers", "copies", "MACs", "flash", "arena", "in/out", "stack", "float", "int8", "dB", "worst layer",
    )  # fmt: skip
    table = Table(title=f"Memory and attention, {BOARD}")
    for head in heads:
        table.add_column(head, justify="left" if head in ("model", "worst layer") else "right")
    for r in rows:
        cells = [f"{r[k]:,}" for k in ("layers", "copies", "macs", "flash", "arena", "io", "stack")]
        accuracy = ["" if r[k] is None else f"{r[k]:.4f}" for k in ("float", "int8")]
        worst = f"{r['worst']['layer']} {r['worst']['db']:.1f}"
        table.add_row(r["model"], *cells, *accuracy, f"{r['sqnr_db']:.1f}", worst)
    Console(width=180).print(table)
    costs = Table(title="Cycles, or on M7, M33 and M55 instructions")
    for head in ("model", *VERIFY_CORES, "equal on"):
        costs.add_column(head, justify="left" if head == "model" else "right")
    for r in rows:
        counts = [f"{c.get('cycles', c['instructions']):,}" for c in r["cores"].values()]
        costs.add_row(r["model"], *counts, str(len(r["equal_on"])))
    Console(width=180).print(costs)


def main(names: Sequence[str]) -> int:
    rows = []
    for path, states in networks().items():
        if not names or path.stem in names:
            rows.append(row(path, states))
            print(f"{path.stem}: {rows[-1]['sqnr_db']} dB", file=sys.stderr, flush=True)
    show(rows)
    if not names:
        kept = [{k: v for k, v in r.items() if k != "by_layer"} for r in rows]
        record.write("sequences", kept, rows, depth=1)
    lost = [r["model"] for r in rows if r["float"] is not None and r["int8"] < r["float"] - 0.005]
    worse = f"; more than 0.5 points lost: {', '.join(lost)}" if lost else ""
    print(f"{len(rows)} built and equal on all cores{worse}")
    return 1 if lost else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
