"""Single layers of ../shared/KERNELS.md and of the MLPerf Tiny networks, on every emulated core.

    python -m benchmarks.single_layers

counts every kernel that could compute each layer, compares it with numpy, prints instructions per MAC (per element
where there is no MAC), on Cortex-M4 cycles too, and writes the best of each layer to
benchmarks/results/single_layers.json, every kernel to build/benchmarks/single_layers.json. The first kernel of a layer
is the one the planner takes when it knows nothing else.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import record
from benchmarks.emulate import count_cases
from benchmarks.fit_costs import cases_of
from benchmarks.layers import STUDY
from tinygen.plan import cost
from tinygen.targets.cores import COUNTED_CORES


def measure(core: str) -> dict[str, dict[str, Any]]:
    """Layer to its work (MACs, or elements of the output) and kernel to instructions and cycles."""
    cases = cases_of(core, STUDY)
    found: dict[str, dict[str, Any]] = {}
    for case, counted in zip(cases, count_cases(core, cases), strict=True):
        if not case.whole:  # a help of the layer, as the borders of planes
            continue
        elements = case.layer.tensors["y"].size
        row = found.setdefault(case.name, {"macs": case.macs, "elements": elements, "kernels": {}})
        figures = {"insns": counted.instructions, **({"cycles": counted.cycles} if core == "cortex-m4" else {})}
        known = row["kernels"].setdefault(cost.line(case.call), figures)
        row["kernels"][cost.line(case.call)] = {name: min(known[name], value) for name, value in figures.items()}
    return found


def best(row: dict[str, Any]) -> dict[str, Any]:
    """Of a layer the work, and for each figure the least of any kernel, with the kernel's name."""
    found = {k: v for k, v in row.items() if k != "kernels"}
    for figure in ("insns", "cycles"):
        known = {name: k[figure] for name, k in row["kernels"].items() if figure in k}
        if known:
            kernel = min(known, key=lambda name: known[name])
            found |= {figure: known[kernel], f"{figure}_by": kernel}
    return found


def each(row: dict[str, Any], figure: str) -> float:
    """The figure of what `best` gave, for each MAC or element."""
    return float(row[figure] / (row["macs"] or row["elements"]))


def show(results: dict[str, dict[str, Any]]) -> Table:
    """The best kernel of each layer on each core."""
    table = Table(title="Single layers: instructions for each MAC (or output element), the best kernel of each core")
    table.add_column("layer")
    table.add_column("MACs", justify="right")
    for core in results:
        table.add_column(core.removeprefix("cortex-"), justify="right")
    table.add_column("m4 cycles", justify="right")
    for name, row in results["cortex-m4"].items():
        cells = [f"{each(results[core][name], 'insns'):.3f}" for core in results]
        table.add_row(name, f"{row['macs']:,}", *cells, f"{each(row, 'cycles'):.3f}")
    return table


def main() -> int:
    every = {core: measure(core) for core in COUNTED_CORES}
    results = {core: {name: best(row) for name, row in rows.items()} for core, rows in every.items()}
    Console(width=140).print(show(results))
    record.write("single_layers", results, every, depth=2)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
