"""The cost model against measurement, over every model of ../shared/models.

    python -m benchmarks.predict [--cores cortex-m4 ...] [NAME ...]

predicts instructions of every layer (on Cortex-M4 cycles too), flash, and stack from the plan alone, as `tinygen
inspect` does, counts the same layers in emulation, prints the table and, when no names are given, writes
benchmarks/results/predict.json, and with every layer build/benchmarks/predict.json. None of these networks was used to
fit the model.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import record
from benchmarks.datasets import shared_dir
from benchmarks.models import collection
from benchmarks.networks import Network
from tinygen.errors import TinygenError
from tinygen.flow.planned import predict

CORES = ("cortex-m4", "cortex-m0", "cortex-m3", "cortex-m55")
#: Layers below this share of their network are left out of the summary of layers.
SMALL = 0.01


def compare(network: Network, core: str) -> dict[str, Any]:
    """Predicted and measured figures of one network on one core: [predicted, measured] each."""
    p = network.plan(core)
    measured = network.count_layers(p)
    sizes, stack = network.verify(p)
    guess = predict(p, network.model, None)
    layers = [
        {
            "name": step.name,
            "kernels": [c.call.kernel for c in step.calls],
            "insns": [round(predicted.instructions), counted.insns],
            "cycles": [round(predicted.cycles), counted.cycles],
        }
        for step, predicted, counted in zip(p.steps, guess.layers, measured, strict=True)
    ]
    figures = ("insns", "cycles") if core == "cortex-m4" else ("insns",)
    return {
        **{f: [sum(layer[f][i] for layer in layers) for i in (0, 1)] for f in figures},  # type: ignore[misc]
        "flash": [guess.flash, sizes.flash_model + sizes.flash_libgcc + sizes.flash_libc],
        "stack": [guess.stack, stack],
        "layers": [{k: v for k, v in layer.items() if k != "cycles" or k in figures} for layer in layers],
    }


def off(pair: Sequence[float]) -> float:
    """Relative error of a prediction."""
    return pair[0] / pair[1] - 1


def summary(results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For each core and figure: median and worst error of whole networks and of their larger layers."""
    found: dict[str, dict[str, Any]] = {}
    for core in CORES:
        rows = {name: r[core] for name, r in results.items() if core in r}
        for figure in ("insns", "cycles", "flash"):
            whole = {name: off(r[figure]) for name, r in rows.items() if figure in r}
            if not whole:
                continue
            worst = max(whole, key=lambda name: abs(whole[name]))
            entry = {"networks": len(whole), "median": statistics.median(map(abs, whole.values())),
                     "worst": whole[worst], "worst_at": worst}  # fmt: skip
            layers = {
                f"{name} {layer['name']}": off(layer[figure])
                for name, r in rows.items()
                for layer in (r["layers"] if figure != "flash" else [])
                if layer[figure][1] >= SMALL * r[figure][1]
            }
            if layers:
                at = max(layers, key=lambda name: abs(layers[name]))
                entry |= {"layers": len(layers), "median_layer": statistics.median(map(abs, layers.values())),
                          "worst_layer": layers[at], "worst_layer_at": at}  # fmt: skip
            found.setdefault(core, {})[figure] = entry
    return found


def whole(results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The results without their layers."""
    return {name: {core: {k: v for k, v in r.items() if k != "layers"} for core, r in row.items()}
            for name, row in results.items()}  # fmt: skip


def show(results: Mapping[str, Any], cores: Sequence[str]) -> Table:
    """Predicted, measured and error of whole networks."""
    table = Table(title="Predicted against measured")
    table.add_column("model")
    for core in cores:
        table.add_column(f"{core.removeprefix('cortex-')} {'cycles' if core == 'cortex-m4' else 'insns'}",
                         justify="right")  # fmt: skip
        table.add_column("predicted", justify="right")
        table.add_column("off", justify="right")
    for name, row in results.items():
        cells: list[str] = []
        for core in cores:
            if core not in row:
                cells += ["", "", ""]
                continue
            pair = row[core].get("cycles") or row[core]["insns"]
            cells += [f"{pair[1]:,}", f"{pair[0]:,}", f"{100 * off(pair):+.1f} %"]
        table.add_row(name, *cells)
    return table


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", nargs="+", default=list(CORES), choices=list(CORES))
    parser.add_argument("names", nargs="*")
    options = parser.parse_args(argv)
    paths = [p for p in collection() if not options.names or p.stem in options.names]

    faults = []

    def one(stem: str) -> dict[str, Any]:
        network = Network(shared_dir() / "models" / f"{stem}.onnx")
        row = {}
        for core in options.cores:
            try:
                row[core] = compare(network, core)
            except (AssertionError, TinygenError) as error:
                faults.append(f"{stem} on {core}: {error}")
        return row

    results = {}
    with ThreadPoolExecutor(2) as pool:
        for path, row in zip(paths, pool.map(one, [p.stem for p in paths]), strict=True):
            results[path.stem] = row
            print(path.stem, *(f"{c} {100 * off(row[c]['insns']):+.1f} %" for c in row), file=sys.stderr, flush=True)
    print("\n".join(faults), file=sys.stderr)
    Console(width=200).print(show(results, options.cores))
    print(json.dumps(summary(results), indent=1))
    if not options.names and not faults:
        kept = {"summary": summary(results), "models": whole(results)}
        record.write("predict", kept, kept | {"models": results}, depth=3)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
