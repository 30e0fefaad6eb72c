"""What coarser multipliers cost in accuracy, and what they could save on a Cortex-M0: why they are multiples of 768.

    python -m benchmarks.granularity            prints the table, writes benchmarks/results/granularity.json

Every network is quantised once for each step that multipliers could be multiples of. All else stays as it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.datasets import dataset_for, score, shared_dir
from benchmarks.record import RESULTS
from tinygen import numerics, simulate
from tinygen.calibrate.data import Samples
from tinygen.calibrate.floatrun import FloatModel
from tinygen.calibrate.methods import DEFAULT_METHOD
from tinygen.calibrate.metrics import sqnr_db
from tinygen.flow.quantised import calibrate
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import Graph
from tinygen.kernels.lanes.pack import sums
from tinygen.kernels.variant import consts, ints
from tinygen.numerics import Array
from tinygen.ops import Conv, Dense
from tinygen.ops.base import Call, Operator, need_quant
from tinygen.passes.pipeline import tidy
from tinygen.plan import cost
from tinygen.plan.planner import plan
from tinygen.targets.cores import get_core

MODELS = (
    "ic_resnet8_pt_legacy", "cifar_mbv3tiny_pt_legacy", "fm_lenet_bn_pt_legacy", "fm_dscnn_pt_legacy",
    "fsdd_dscnn_pt_legacy", "ecg_cnn_pt_legacy", "ad01_pt_legacy", "seg_fcn_pt_legacy",
)  # fmt: skip
#: 256: raw pairs; 768: Winograd as well; 65536: multipliers of 16 bits, in one MULS; 196608: all of them.
STEPS = (1, 256, 768, 65536, 196608)
CORE = "cortex-m0"
#: Instructions of an output that tg_conv_s8_m0 and tg_dwconv_s8_m0 spend on the lower half of a multiplier: MOVS,
#: MULS, ASRS, ADDS.
LOWER_HALF = 4


@contextmanager
def step_of_multipliers(step: int) -> Iterator[None]:
    """Multipliers that are chosen meanwhile are multiples of `step`."""
    before = numerics.MULTIPLIER_STEP
    numerics.MULTIPLIER_STEP = step
    try:
        yield
    finally:
        numerics.MULTIPLIER_STEP = before


def multiplier_errors(graph: Graph) -> Array:
    """|m / 2^s - M| / M of every channel of the layers with weights."""
    found = []
    for node in graph.nodes:
        if isinstance(node.op, Conv | Dense) and node.op.epilogue is not None:
            x, w, _, m = graph.ins(node)
            assert w.quant is not None
            scale = np.array(w.quant.scale) * need_quant(x)[0] / need_quant(graph.outs(node)[0])[0]
            found.append(np.abs(m.array * 2.0**-node.op.epilogue.shift / scale - 1.0))
    return np.concatenate(found)


def savings_on_m0(graph: Graph) -> dict[str, int]:
    """Predicted instructions on a Cortex-M0, outputs of convolutions, and how many of those are `safe` with a product
    by the upper half of the multiplier alone. The multipliers of `graph` are multiples of 65536.

    Safe: the largest sum of the channel over all inputs times that half, with rounding and zero point, fits 32 bits.
    """
    outputs = safe = 0
    for call in lowered(graph):
        if call.kernel in ("tg_conv_s8", "tg_dwconv_s8"):
            f, c = ints(call), consts(call)
            w = np.moveaxis(c["w"], 2, 0) if call.kernel == "tg_dwconv_s8" else c["w"]
            most = np.abs(sums(w.reshape(f["out_c"], -1), c["b"])).max(axis=0)
            ends = (abs(f["out_zp"] - f["lo"]) + 1) * 2.0 ** (f["shift"] - 16)
            fits = most * np.abs(c["m"].astype(np.int64) // 65536) + ends < 2**31
            outputs += f["out_h"] * f["out_w"] * f["out_c"]
            safe += f["out_h"] * f["out_w"] * int(fits.sum())
    made = [c.call for s in plan(graph, get_core(CORE)).steps for c in s.calls]
    total = round(sum(cost.instructions(c, CORE) for c in made))
    return {"instructions": total, "outputs": outputs, "safe": safe}


def lowered(graph: Graph) -> Iterator[Call]:
    """The reference calls, as the planner gives them to variants."""
    for node in graph.nodes:
        assert isinstance(node.op, Operator)
        yield from node.op.lower(graph.ins(node), graph.outs(node))


def run_float(graph: Graph, x: Array) -> Array:
    """Output of a FLOAT graph in onnxruntime, in the ONNX layout."""
    (port,) = graph.in_ports
    y = FloatModel(to_onnx(graph)).run_many([np.ascontiguousarray(port.to_tensor(x))])[0]
    return graph.out_ports[0].to_onnx(y.reshape(-1, *graph.tensors[graph.outputs[0]].shape))


def row(stem: str) -> dict[str, Any]:
    """Figures of one model, by step."""
    data = dataset_for(stem)
    tidied = tidy(read_onnx(shared_dir() / "models" / f"{stem}.onnx").graph)
    samples = Samples((data.calib[0],), None, "", "")
    real = run_float(tidied, data.test[0])
    found: dict[str, Any] = {"metric": data.metric, "float": round(score(data, real), 4), "steps": {}}
    finest: Array | None = None
    for step in STEPS:
        with step_of_multipliers(step):
            fixed, _ = calibrate(tidied, samples, DEFAULT_METHOD)
        outputs = simulate.run(fixed, simulate.quantise_inputs(fixed, [data.test[0]]))
        (y,) = simulate.dequantise_outputs(fixed, outputs)
        finest = outputs[0] if finest is None else finest
        errors = multiplier_errors(fixed)
        found["steps"][str(step)] = {
            "value": round(score(data, y, real), 4),
            "sqnr_db": round(sqnr_db(real, y), 2),
            "changed": round(float(np.mean(outputs[0] != finest)), 6),
            "worst_multiplier": float(f"{errors.max():.2g}"),
            "median_multiplier": float(f"{np.median(errors):.2g}"),
        }
        if step == 65536:
            found["cortex_m0"] = savings_on_m0(fixed)
    return found


def main(names: list[str]) -> int:
    table = Table(title="Step of multipliers: metric, SQNR in dB (outputs that differ from step 1) [worst error of M]")
    for column in ("model", "metric", *map(str, STEPS), "M0: at most saved"):
        table.add_column(column, justify="left" if column == "model" else "right")
    found = {}
    for stem in names or MODELS:
        r = found[stem] = row(stem)
        cells = [
            f"{s['value']:.4f}, {s['sqnr_db']:.2f} ({s['changed']:.2%}) [{s['worst_multiplier']:.1e}]"
            for s in r["steps"].values()
        ]
        m0 = r["cortex_m0"]
        most, safe = (LOWER_HALF * m0[k] / m0["instructions"] for k in ("outputs", "safe"))
        saved = f"{most:.1%}, safe {safe:.1%}"
        table.add_row(stem, r["metric"], *cells, saved)
        print(stem, *cells, saved, file=sys.stderr, flush=True)
    Console(width=250).print(table)
    if not names:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "granularity.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
