"""docs/BENCHMARKS.md from the JSON in benchmarks/results, and nothing else.

python -m benchmarks.report            writes the page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "BENCHMARKS.md"


def load(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(r) + " |" for r in rows)])


def number(v: Any) -> str:
    if v is None:
        return ""
    return f"{v:,}" if isinstance(v, int) else str(v)


def mlperf() -> str:
    rows = []
    for name, r in load("mlperf").items():
        t = r["tflm"]
        pairs = [
            (r["insns"], t["insns"]), (r["cycles"], t["cycles"]), (r["arena"] + r["io"], t["arena_min"]),
            (r["flash"], t["flash"]), (r["flash"] - r["constants"], t["flash_code"]), (r["stack"], t["stack_invoke"]),
        ]  # fmt: skip
        rows.append(
            [name, number(r["macs"]), number(r["weights"]), *(f"{a:,} / {b:,} ({a / b:.2f})" for a, b in pairs)]
        )
    head = [
        "network", "MACs", "int8 weights", "instructions", "modelled cycles", "arena with in/out", "flash",
        "flash less model", "stack",
    ]  # fmt: skip
    return table(head, rows)


def models() -> str:
    rows = [
        [
            r["model"], r["board"],
            *(number(r[k]) for k in ("layers", "macs", "flash", "arena", "io", "stack")),
            r["metric"], *(number(r[k]) for k in ("float", "int8", "ort_int8", "sqnr_db")),
            "all cores" if len(r["equal_on"]) > 2 else "native, M4",
        ]
        for r in load("models")
    ]  # fmt: skip
    head = [
        "model", "board", "layers", "MACs", "flash", "arena", "in/out", "stack", "metric", "float", "int8", "ORT int8",
        "SQNR dB", "equal on",
    ]  # fmt: skip
    return table(head, rows)


def calibration() -> str:
    methods = ("minmax", "percentile", "entropy", "mse")
    rows = [
        [
            name, r["metric"], *("" if r.get(k) is None else f"{r[k]:.4f}" for k in ("float", "ort_int8")),
            *(f"{r[m]['value']:.4f} ({r[m]['sqnr_db']:.1f})" for m in methods),
        ]
        for name, r in load("calibration").items()
    ]  # fmt: skip
    return table(["model", "metric", "float", "ORT int8", *methods], rows)


def build_time() -> str:
    phases = ("start", "import", "calibrate", "plan", "simulate", "verify native", "verify cortex-m4", "emit")
    rows = [
        [
            name, number(r["native"]["macs"]), number(r["native"]["parameters"]),
            *(f"{r['emulated']['seconds'].get(p, 0):.2f}" for p in phases),
            f"{r['native']['total']:.1f}", f"{r['emulated']['total']:.1f}", f"{r['emulated']['peak_mib']:.0f}",
        ]
        for name, r in load("build_time").items()
    ]  # fmt: skip
    return table(["model", "MACs", "constants", *phases, "total, native", "total, with M4", "peak MiB"], rows)


def page() -> str:
    return f"""# Benchmarks

Written by `python -m benchmarks.report` from `benchmarks/results/*.json`; each section names the command that
measured it. They need `../shared` (models, data, peers' figures, emulator plug-in), arm-none-eabi-gcc 12.2 and
QEMU 7.2.

## MLPerf Tiny on Cortex-M4, beside TFLite Micro with CMSIS-NN

`python -m benchmarks.mlperf`. Each cell: tinygen / TFLM (ratio). Instructions are exact; cycles are modelled for
zero-wait memory by `../shared/emu`. TFLM's figures are the best of its two -O2 builds in `baselines.json`. Flash:
the model's own objects with the compiler helpers they need, as the linker says; TFLM's: its whole image. "Less
model" leaves out the constants (tinygen) or the .tflite file (TFLM). Where the int8 weights alone are more than half
of TFLM's image, half its flash cannot be reached without compressing them.

{mlperf()}

## Every feed-forward model of ../shared

`make models`: numpy = this computer = emulated Cortex-M4, byte for byte, for each; the MLPerf Tiny networks also on
M0, M3, M7, M33 and M55. "ORT int8" is onnxruntime's own static quantisation (../shared/models/README.md); mse is
lower-is-better. Bytes.

{models()}

## Calibration methods

`python -m benchmarks.calibration`: metric, and in brackets the SQNR of the outputs in dB. The default is `mse`.

{calibration()}

## The build itself

`make bench`, two cores, seconds. Wall-clock times do not repeat; they are here for their size, not their digits.

{build_time()}
"""


def main() -> int:
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
