"""Accuracy of every calibration method on networks of ../shared: how the default was chosen.

python -m benchmarks.calibration            prints the table, writes benchmarks/results/calibration.json
"""

from __future__ import annotations

import json
import sys

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.datasets import dataset_for, score, shared_dir
from benchmarks.record import RESULTS
from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.calibrate.floatrun import FloatModel
from tinygen.calibrate.methods import METHODS
from tinygen.calibrate.metrics import sqnr_db
from tinygen.flow.quantised import calibrate
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.passes.pipeline import tidy

MODELS = (
    "ic_resnet8_pt_legacy", "cifar_mbv3tiny_pt_legacy", "fm_lenet_bn_pt_legacy", "fm_dscnn_pt_legacy",
    "fm_mlp_teacher_pt_legacy", "fm_cnn_teacher_pt_legacy", "fsdd_dscnn_pt_legacy", "imu_cnn1d_pt_legacy",
    "ecg_cnn_pt_legacy", "ecg_ae_pt_legacy", "seg_fcn_pt_legacy", "ad01_pt_legacy", "sww_str_ww_pt_legacy",
    "kws_dscnn_pt_legacy", "vww_mobilenetv1_025_pt_legacy",
)  # fmt: skip


def main(names: list[str]) -> int:
    table = Table(title="Calibration methods: metric, and SQNR of the outputs in dB")
    for column in ("model", "metric", "float", "ORT int8", *METHODS):
        table.add_column(column, justify="left" if column == "model" else "right")
    found = {}
    for stem in names or MODELS:
        data = dataset_for(stem)
        imported = read_onnx(shared_dir() / "models" / f"{stem}.onnx")
        graph = tidy(imported.graph)
        session = FloatModel(to_onnx(graph))
        (port,) = graph.in_ports
        test = data.test[0]
        real = session.run_many([np.ascontiguousarray(port.to_tensor(test))])[0]
        real = graph.out_ports[0].to_onnx(real.reshape(-1, *graph.tensors[graph.outputs[0]].shape))
        row: dict[str, object] = {"metric": data.metric, "ort_int8": data.ort_int8}
        if data.metric not in ("agreement", "sqnr"):
            row["float"] = score(data, real)
        samples = Samples((data.calib[0],), None, "", "")
        for method in METHODS:
            fixed, _ = calibrate(graph, samples, method)
            outputs = simulate.run(fixed, simulate.quantise_inputs(fixed, [test]))
            (ints,) = simulate.dequantise_outputs(fixed, outputs)
            row[method] = {
                "value": score(data, ints, real),
                "sqnr_db": round(sqnr_db(real, ints), 2),
            }
        found[stem] = row
        cells = [f"{row[m]['value']:.4f} ({row[m]['sqnr_db']:.1f})" for m in METHODS]  # type: ignore[index]
        reference = [f"{row[k]:.4f}" if isinstance(row.get(k), float) else "" for k in ("float", "ort_int8")]
        table.add_row(stem, str(data.metric), *reference, *cells)
        print(stem, *reference, *cells, file=sys.stderr, flush=True)
    Console(width=150).print(table)
    if not names:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "calibration.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
