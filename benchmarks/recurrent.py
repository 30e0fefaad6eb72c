"""LSTM and GRU, whole sequences and single steps, on every emulated core, beside CMSIS-NN's LSTM; and how near they are
to the float layers.

    python -m benchmarks.recurrent

counts every kernel that could compute each layer, gate tables and requantisation included, compares it with numpy,
prints cycles (Cortex-M55: instructions) per multiply-accumulate of the best, on the Cortex-M4 of each, and writes the
best of each layer to benchmarks/results/recurrent.json, every kernel to build/benchmarks/recurrent.json. The error is
that of all outputs on sequences that calibration did not see, against onnxruntime.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import record
from benchmarks.emulate import Case, count_cases
from benchmarks.layers import Layer
from tinygen.calibrate.graph import observe, run_float
from tinygen.calibrate.metrics import sqnr_db
from tinygen.ir.types import Graph
from tinygen.numerics import Array
from tinygen.ops import Gru, Lstm, Operator
from tinygen.ops.recurrent import SIGMOID, TANH
from tinygen.passes.quantise import quantise, range_tensors
from tinygen.plan.select import candidates
from tinygen.simulate import dequantise_outputs, quantise_inputs, run
from tinygen.targets.cores import get_core
from tinygen.targets.kernel_sizes import known_bytes

#: Inputs, units, steps.
SIZES = ((6, 32, 32), (10, 24, 49), (28, 64, 28), (64, 128, 8))
#: Of CMSIS-NN's LSTM over the whole sequence, ../shared/BASELINES.md: cycles a MAC.
CMSIS_NN = {
    "cortex-m4": dict(zip(SIZES, (7.14, 7.85, 4.27, 3.31), strict=True)),
    "cortex-m55": {(6, 32, 32): 3.18, (28, 64, 28): 1.46},
}
#: Core: what of its counts is shown.
CORES = {"cortex-m4": "cycles", "cortex-m3": "cycles", "cortex-m0": "cycles", "cortex-m55": "instructions"}
SEQUENCES = 64


@dataclass(frozen=True)
class Measured:
    """A layer: its FIXED graph, and the error of all its outputs over a whole sequence, in dB."""

    kind: str
    size: tuple[int, int, int]
    steps: int
    graph: Graph
    error: float

    @property
    def name(self) -> str:
        n_in, units, _ = self.size
        return f"{self.kind} {n_in}->{units}, {self.steps} step{'s' if self.steps > 1 else ''}"


def layer(kind: str, size: tuple[int, int, int], steps: int) -> Layer:
    """With bell-shaped weights, as training leaves them, large enough for gates to reach their ends."""
    n_in, units, _ = size
    rng = np.random.default_rng(zlib.crc32(f"{kind} {n_in} {units}".encode()))
    op = Lstm(units, ((SIGMOID, TANH, TANH),)) if kind == "LSTM" else Gru(units, ((SIGMOID, TANH),), before=True)
    rows = op.GATES * units
    shapes = ((1, rows, n_in), (1, rows, units), (1, 2 * rows))
    weights = ((rng.normal(size=shape) / math.sqrt(units)).astype(np.float32) for shape in shapes)
    return Layer(f"{kind} {n_in}->{units}, {steps}", op, ((1, steps, n_in), *weights))


def signals(size: tuple[int, int, int], steps: int) -> Array:
    """(sequences, 1, steps, inputs): noise through a low pass, as features of sensors are."""
    rng = np.random.default_rng(size[1])
    x = rng.normal(size=(SEQUENCES, 1, steps + 8, size[0]))
    for t in range(1, x.shape[2]):
        x[:, :, t] = 0.8 * x[:, :, t - 1] + 0.6 * x[:, :, t]
    return x[:, :, 8:].astype(np.float32)


def measured(kind: str, size: tuple[int, int, int], steps: int) -> Measured:
    """Calibrated on half of the signals; the error is that of the other half over the whole sequence."""
    float_graph = layer(kind, size, steps).float_graph()
    x = signals(size, steps)
    seen, unseen = x[: SEQUENCES // 2], x[SEQUENCES // 2 :]
    whole = layer(kind, size, size[2]).float_graph()
    ranges = observe(whole, [signals(size, size[2])[: SEQUENCES // 2]], range_tensors(whole), "minmax").ranges
    graph = quantise(float_graph, ranges.best, seen=ranges.seen)
    assert len(seen)
    found = dequantise_outputs(graph, run(graph, quantise_inputs(graph, [unseen])))[0]
    return Measured(kind, size, steps, graph, sqnr_db(run_float(float_graph, [unseen])[0], found))


def counts(core: str, layers: list[Measured]) -> dict[str, dict[str, Any]]:
    """Layer to what each kernel takes; AssertionError where one is not equal to numpy."""
    cases, owners = [], []
    for found in layers:
        graph = found.graph
        node = graph.nodes[0]
        assert isinstance(node.op, Operator)
        (call,) = node.op.lower(graph.ins(node), graph.outs(node))
        for way in candidates(call, get_core(core).kernel_sets):
            cases.append(Case(found.name, graph, way))
            owners.append(found)
    rows: dict[str, dict[str, Any]] = {}
    for case, owner, counted in zip(cases, owners, count_cases(core, cases), strict=True):
        row = rows.setdefault(owner.name, {"macs": case.macs, "error_db": round(owner.error, 1), "kernels": {}})
        code = sum(g.code for g in case.call.generated) + sum(known_bytes(core, k) or 0 for k in case.call.library)
        name = " ".join((case.call.kernel, *(g.name for g in case.call.generated)))
        row["kernels"][name] = {
            "per_mac": round(getattr(counted, CORES[core]) / case.macs, 3),
            "code": code,
            "constants": sum(c.array.nbytes for c in case.call.consts),
            "scratch": case.call.scratch,
        }
    return rows


def best(row: dict[str, Any]) -> dict[str, Any]:
    """The kernel that takes least."""
    name = min(row["kernels"], key=lambda k: float(row["kernels"][k]["per_mac"]))
    return {"macs": row["macs"], "error_db": row["error_db"], "kernel": name, **row["kernels"][name]}


def short(kernel: str) -> str:
    """What kind of kernel it is."""
    for part, word in (("inputs_", "two steps"), ("_step_l_", "looped"), ("_step_", "unrolled")):
        if part in kernel:
            return word
    return kernel.rpartition("_")[2] if kernel.endswith(("_mve", "_m0", "_m3")) else "reference"


def show(every: dict[str, dict[str, dict[str, Any]]], layers: list[Measured]) -> Table:
    """A row a layer."""
    table = Table(title="Recurrent layers: cycles (Cortex-M55: instructions) for each multiply-accumulate")
    ways = ("unrolled", "two steps", "looped", "reference")
    for head in ("layer", "error, dB", *(f"m4 {w}" for w in ways), "m3", "m0", "m55", "CMSIS-NN m4", "m55"):
        table.add_column(head, justify="left" if head == "layer" else "right")
    for found in layers:
        of = {core: rows[found.name] for core, rows in every.items()}
        m4 = {short(k): v["per_mac"] for k, v in of["cortex-m4"]["kernels"].items()}
        cells = [f"{m4[w]:.3f}" if w in m4 else "-" for w in ways]
        cells += [f"{best(of[core])['per_mac']:.3f}" for core in ("cortex-m3", "cortex-m0", "cortex-m55")]
        theirs = found.kind == "LSTM" and found.steps > 1
        cells += [str(rows.get(found.size, "-")) if theirs else "-" for rows in CMSIS_NN.values()]
        table.add_row(found.name, f"{found.error:.1f}", *cells)
    return table


def main() -> int:
    layers = [measured(kind, size, n) for kind in ("LSTM", "GRU") for size in SIZES for n in (size[2], 1)]
    every = {core: counts(core, layers) for core in CORES}
    Console(width=160).print(show(every, layers))
    summary = {core: {name: best(row) for name, row in rows.items()} for core, rows in every.items()}
    record.write("recurrent", summary, every, depth=2)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
