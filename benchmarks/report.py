"""docs/BENCHMARKS.md from the JSON in benchmarks/results, and nothing else.

python -m benchmarks.report            writes the page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.single_layers import best

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


def ratio(ours: int | None, theirs: int | None) -> str:
    """`ours / theirs (ratio)`, as far as there are both."""
    if ours is None:
        return ""
    return f"{ours:,} / {theirs:,} ({ours / theirs:.2f})" if theirs else f"{ours:,}"


def mlperf() -> str:
    rows = []
    for name, network in load("mlperf").items():
        for key, r in network["builds"].items():
            core, mode = key.split()
            t = network["tflm"][core]
            ram = t["arena_min"] + t.get("stack_invoke", 0) if "arena_min" in t else None
            cycles = r.get("cycles")
            rows.append([
                name, core.removeprefix("cortex-"), mode, ratio(r["insns"], t.get("insns")),
                ratio(cycles, t.get("cycles")), f"{cycles / network['macs']:.2f}" if cycles else "",
                ratio(r["arena"] + r["stack"], ram),
                *(number(r[k]) for k in ("arena", "scratch", "io", "stack")), ratio(r["flash"], t.get("flash")),
                ratio(r["code"], t.get("flash_code")), number(r["constants"]), number(network["weights"]),
            ])  # fmt: skip
    head = [
        "network", "core", "mode", "instructions", "modelled cycles", "cycles/MAC", "arena and stack", "arena",
        "of it scratch", "in/out", "stack", "flash", "flash less constants", "constants", "int8 weights",
    ]  # fmt: skip
    return table(head, rows)


def mlperf_layers() -> str:
    """Cycles of every layer on Cortex-M4, speed and balanced."""
    rows = []
    for name, network in load("mlperf").items():
        builds = network["builds"]
        if "cortex-m4 speed" not in builds:
            continue
        speed, balanced = (builds[f"cortex-m4 {mode}"]["layers"] for mode in ("speed", "balanced"))
        by_name = {layer["name"]: layer for layer in speed}
        for usual in balanced:
            fast = by_name[usual["name"]]
            per_mac = f"{fast['cycles'] / fast['macs']:.2f}" if fast["macs"] else ""
            rows.append([
                f"{name} {usual['name']}", ", ".join(usual["kernels"]), number(usual["macs"]), number(usual["cycles"]),
                ", ".join(fast["kernels"]), number(fast["cycles"]), per_mac,
            ])  # fmt: skip
    return table(["layer", "kernels", "MACs", "cycles", "kernels for speed", "cycles", "cycles/MAC"], rows)


def single_layers() -> str:
    results = load("single_layers")
    cores = list(results)
    rows = []
    for name, row in results["cortex-m4"].items():
        cells = [f"{best(results[core][name], 'insns'):.3f}" for core in cores]
        rows.append([name, number(row["macs"]), *cells, f"{best(row, 'cycles'):.3f}"])
    return table(["layer", "MACs", *(c.removeprefix("cortex-") for c in cores), "m4 cycles"], rows)


def percent(share: float) -> str:
    return f"{100 * share:+.1f} %"


def prediction_summary() -> str:
    rows = []
    for core, figures in load("predict")["summary"].items():
        for figure, e in figures.items():
            layers = ["", "", ""]
            if "layers" in e:
                layers = [f"{100 * e['median_layer']:.1f} %", percent(e["worst_layer"]), e["worst_layer_at"]]
            rows.append([
                f"{core} {figure}", number(e["networks"]), f"{100 * e['median']:.1f} %", percent(e["worst"]),
                e["worst_at"], *layers,
            ])  # fmt: skip
    head = ["figure", "networks", "median error", "worst", "at", "median of layers", "worst layer", "at"]
    return table(head, rows)


def predictions() -> str:
    rows = []
    for name, row in load("predict")["models"].items():
        cells = []
        for r in row.values():
            predicted, measured = r.get("cycles") or r["insns"]
            cells += [number(measured), number(predicted), percent(predicted / measured - 1)]
        rows.append([name, *cells])
    models = load("predict")["models"]
    head = ["model"]
    for core, r in next(iter(models.values())).items():
        figure = "cycles" if "cycles" in r else "instructions"
        head += [f"{core.removeprefix('cortex-')} {figure}", "predicted", "error"]
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


def packed() -> str:
    """Of each form of weights the smallest kernel that was measured and the fastest, beside int8."""
    found: dict[tuple[str, str], dict[str, list[Any]]] = {}
    for r in load("packed"):
        found.setdefault((r["layer"], r["weights"]), {}).setdefault(r["core"], []).append(r)
    rows = []
    for (layer, weights), cores in found.items():
        row = [layer, weights]
        for core in ("cortex-m4", "cortex-m0"):
            plain = next(r for r in cores[core] if r["kernel"] == "int8")
            forms = [r for r in cores[core] if r is not plain]
            picked = [min(forms, key=lambda r: r[k]) for k in ("bytes_per_weight", "cycles_per_mac")] if forms else []
            for r in (plain, *picked):
                row.append(f"{r['bytes_per_weight']:.2f} / {r['cycles_per_mac']:.2f}")
            row += ["-"] * (2 - len(picked))
        rows.append(row)
    ways = ("int8", "smallest", "fastest")
    return table(["layer", "weights", *(f"{core}, {way}" for core in ("M4", "M0") for way in ways)], rows)


def page() -> str:
    return f"""# Benchmarks

Written by `python -m benchmarks.report` from `benchmarks/results/*.json`; each section names the command that
measured it. They need `../shared` (models, data, peers' figures, emulator plug-in), arm-none-eabi-gcc 12.2 and
QEMU 7.2.

## MLPerf Tiny, beside TFLite Micro with CMSIS-NN

`python -m benchmarks.mlperf`: the int8 files (QDQ), one inference of a real sample, every output equal to numpy's.
Each cell: tinygen / TFLM (ratio). Counted by `../shared/emu`, which is not tinygen's own counter. Instructions are
exact; cycles are modelled for the Cortex-M4 with zero-wait memory, and on other cores mean nothing. TFLM's figures
are the best of its builds for each core in `baselines.json`. Flash: the model's own objects with the compiler helpers
they need, as the linker says; TFLM's: its whole image. "Less constants" leaves out the constants (tinygen) or the
.tflite file (TFLM). Where the int8 weights alone are more than half of TFLM's image, half its flash cannot be reached
without compressing them. The arena holds the scratch of the hungriest layer; input and output are the caller's, and
with TFLM inside the arena.

{mlperf()}

Layers on Cortex-M4, balanced and for speed; counted with a call between layers (some ten cycles).

{mlperf_layers()}

## Single layers

`python -m benchmarks.single_layers`: instructions for each MAC, or for each output where there is no MAC, of the best
kernel of each core; on Cortex-M4 cycles as well. Counted by tinygen's own plug-in.

{single_layers()}

## Weights in other forms than int8

`python -m benchmarks.packed`: bytes for each weight (without biases and multipliers; a table of up to 1 KiB, which
layers share, is not counted) / cycles for each MAC of the plain layer. The fastest kernel for int8, then of those that
store indices or leave zeros out, the smallest and the fastest. "n bits": numbers of n bits; "n values": a codebook.

{packed()}

## The cost model

`python -m benchmarks.predict`: what `tinygen inspect` predicts before anything is built, against what was counted,
over every feed-forward model of ../shared. None of them took part in the fit (`python -m benchmarks.fit_costs`: single
layers of a seeded set). "Layers" are those that make up at least one per cent of their network.

{prediction_summary()}

{predictions()}

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
