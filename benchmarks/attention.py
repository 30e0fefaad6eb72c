"""Attention, softmax and normalisation on emulated cores: instructions, and on Cortex-M4 cycles with zero-wait memory.

    python -m benchmarks.attention [--cores cortex-m4 ...]

counts every kernel that could compute each layer, compares it with numpy, prints the best of each core for each MAC
(attention, products) or element (the rest), and writes benchmarks/results/attention.json, every kernel to
build/benchmarks/attention.json. Rows are those of ../shared/RECURRENT.md section 4: T = 50 queries and keys.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import record
from benchmarks.emulate import count_cases
from benchmarks.fit_costs import cases_of
from benchmarks.layers import Layer
from benchmarks.single_layers import best, each
from tinygen.numerics import Array
from tinygen.ops import Attention, LogSoftmax, LogSumExp, MatMul, Norm, Operator, Softmax
from tinygen.plan import cost
from tinygen.targets.cores import COUNTED_CORES

T = 50


def layers() -> tuple[Layer, ...]:
    noise = np.random.default_rng(0)

    def factors(n: int) -> tuple[np.ndarray, np.ndarray]:
        return noise.normal(1.0, 0.3, n).astype(np.float32), noise.normal(size=n).astype(np.float32)

    found: list[Layer] = []

    def layer(name: str, op: Operator, *inputs: tuple[int, ...] | Array) -> None:
        given = [f"x{i}" for i, x in enumerate(inputs) if isinstance(x, tuple)]
        found.append(Layer(name, op, inputs, wide=(*given, "y") if bits == 16 else ()))

    for bits in (8, 16):
        for d, heads in ((32, 2), (32, 4), (64, 2), (64, 4)):
            attention = Attention(heads, heads, (d / heads) ** -0.5)
            layer(f"attention s{bits} T={T}, d={d}, {heads} heads", attention, *((1, T, d),) * 3)
        causal = Attention(2, 2, 32.0**-0.5, causal=True)
        layer(f"attention s{bits} T={T}, d=64, 2 heads, causal", causal, *((1, T, 64),) * 3)
        layer(f"product s{bits} {T}x64 by 64x{T}", MatMul(), (1, T, 64), (1, 64, T))
        for n in (24, 64, 128):
            layer(f"layer norm s{bits} {T} rows of {n}", Norm((2,)), (1, T, n), *factors(n))
        rms, one = Norm((2,), centre=False), np.zeros(1, np.float32)
        layer(f"rms norm s{bits} {T} rows of 64", rms, (1, T, 64), factors(64)[0], one)
        for op, name in ((Norm((1, 2, 3), groups=4), "group norm"), (Norm((1, 2)), "instance norm")):
            layer(f"{name} s{bits} 16x16x32", op, (1, 16, 16, 32), *factors(32))
        for softmax in (Softmax(), LogSoftmax(), LogSumExp()):
            layer(f"{softmax.title} s{bits} {T} rows of {T}", softmax, (1, T, T))
    return tuple(found)


def measure(core: str) -> dict[str, dict[str, Any]]:
    """Layer to its work and kernel to instructions and cycles."""
    cases = cases_of(core, layers())
    found: dict[str, dict[str, Any]] = {}
    for case, counted in zip(cases, count_cases(core, cases), strict=True):
        elements = case.layer.tensors[case.call.inputs[0]].size
        row = found.setdefault(case.name, {"macs": case.macs, "elements": elements, "kernels": {}})
        figures = {"insns": counted.instructions, **({"cycles": counted.cycles} if core == "cortex-m4" else {})}
        row["kernels"][cost.line(case.call)] = {**figures, "scratch": case.call.scratch}
    return found


def show(results: dict[str, dict[str, Any]]) -> Table:
    table = Table(title="Instructions for each MAC, or element read; the best kernel of each core")
    table.add_column("layer")
    for core in results:
        table.add_column(core.removeprefix("cortex-"), justify="right")
    table.add_column("m4 cycles", justify="right")
    for name in next(iter(results.values())):
        cells = [f"{each(rows[name], 'insns'):.2f}" for rows in results.values()]
        m4 = results.get("cortex-m4", {}).get(name)
        table.add_row(name, *cells, f"{each(m4, 'cycles'):.2f}" if m4 else "")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", nargs="+", default=COUNTED_CORES, choices=COUNTED_CORES)
    every = {core: measure(core) for core in parser.parse_args().cores}
    results = {core: {name: best(row) for name, row in rows.items()} for core, rows in every.items()}
    Console(width=140).print(show(results))
    record.write("attention", results, every, depth=2)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
