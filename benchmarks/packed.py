"""What stored forms of weights cost and save: bytes per weight and cycles per multiply-accumulate, beside plain int8.

    python -m benchmarks.packed [--cores cortex-m4 cortex-m0] [--only PART ...]

Weights with few values or many zeros in typical layers, through every kernel that takes them, counted in emulation and
compared with numpy. `int8` is the fastest kernel for the same weights as they are. For each layer, form and core
benchmarks/results/packed.json has it and the smallest and the fastest of the others, build/benchmarks/packed.json all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks import record
from benchmarks.emulate import Case, count_cases
from benchmarks.layers import Layer, conv, dense, pointwise
from tinygen.numerics import Array
from tinygen.ops import Operator
from tinygen.ops.base import Call
from tinygen.plan import cost
from tinygen.plan.select import candidates
from tinygen.targets.cores import get_core

CORES = ("cortex-m4", "cortex-m0")
LAYERS = (pointwise((25, 5), (64, 64)), conv((16, 16), (16, 32)), dense(784, 128), dense(256, 10))
SPARSITIES = (0.5, 0.75, 0.9)

Make = Callable[[Array, np.random.Generator], Array]


def unstructured(share: float) -> Make:
    """So many of the smallest weights become zero."""
    return lambda w, _: np.where(np.abs(w) > np.quantile(np.abs(w), share), w, 0).astype(w.dtype)


def blocks(share: float) -> Make:
    """Likewise four neighbours at a time."""

    def make(w: Array, _: np.random.Generator) -> Array:
        size = np.abs(w.reshape(-1, 4)).sum(axis=1, keepdims=True)
        kept = np.where(size > np.quantile(size, share), w.reshape(-1, 4), 0)
        return np.asarray(kept.reshape(w.shape), w.dtype)

    return make


def n_of_four(n: int) -> Make:
    """The n largest of each four neighbours stay."""

    def make(w: Array, _: np.random.Generator) -> Array:
        quads = w.reshape(-1, 4)
        rank = np.argsort(np.argsort(-np.abs(quads), axis=1), axis=1)
        return np.asarray(np.where(rank < n, quads, 0).reshape(w.shape), w.dtype)

    return make


def sparse_palette(share: float, entries: int = 15) -> Make:
    """Unstructured, and what stays takes so many values, the largest of each channel among them."""

    def make(w: Array, rng: np.random.Generator) -> Array:
        kept = unstructured(share)(w, rng).reshape(w.shape[0], -1)
        top = np.maximum(np.abs(kept).max(axis=1, keepdims=True), 1e-9)
        levels = np.delete(np.arange(-entries // 2, entries // 2 + 1), entries // 2 + 1) / (entries // 2 + 1)
        levels = np.append(levels[levels != 0][: entries - 1], 1.0)
        nearest = levels[np.abs(kept[:, :, None] / top[:, :, None] - levels).argmin(axis=2)] * top
        nearest[np.arange(len(kept)), np.abs(kept).argmax(axis=1)] = top[:, 0]
        return np.asarray(np.where(kept != 0, nearest, 0).reshape(w.shape), w.dtype)

    return make


def codebook(entries: int) -> Make:
    """The nearest of so many numbers, the same ones for all channels when the largest weight of a channel counts as 1:
    the quantiles of what the weights then are, and 1."""

    def make(w: Array, _: np.random.Generator) -> Array:
        rows = w.reshape(w.shape[0], -1)
        top = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-9) * np.sign(
            rows.sum(axis=1, keepdims=True) + 1e-9
        )
        scaled = rows / top
        levels = np.append(np.quantile(scaled, (np.arange(entries - 1) + 0.5) / (entries - 1)), 1.0)
        nearest = levels[np.abs(scaled[:, :, None] - levels).argmin(axis=2)]
        nearest[np.arange(len(rows)), np.abs(scaled).argmax(axis=1)] = 1.0
        return np.asarray((nearest * np.abs(top)).reshape(w.shape), w.dtype)

    return make


@dataclass(frozen=True)
class Bits:
    """Weights as they are, to be rounded to so many bits."""

    bits: int

    def __call__(self, w: Array, _: np.random.Generator) -> Array:
        return w


#: What makes the weights of a layer, by name.
WEIGHTS: dict[str, Make] = {
    **{f"{n} bits": Bits(n) for n in (2, 3, 4, 5, 6)},
    **{f"{n} values": codebook(n) for n in (4, 8, 16)},
    **{f"unstructured {s:.0%}": unstructured(s) for s in SPARSITIES},
    **{f"unstructured {s:.0%}, 15 values": sparse_palette(s) for s in SPARSITIES},
    **{f"block4 {s:.0%}": blocks(s) for s in SPARSITIES},
    "2:4": n_of_four(2),
    "1:4": n_of_four(1),
}


@dataclass(frozen=True)
class Row:
    """One kernel on one layer."""

    core: str
    layer: str
    weights: str
    kernel: str
    zeros: float
    bytes_per_weight: float
    table_bytes: int
    cycles_per_mac: float
    cycles_per_kept_mac: float


def with_weights(layer: Layer, name: str, make: Make) -> Layer:
    """`layer` with other weights, by a seed of their own."""
    x, w, b = layer.inputs
    assert not isinstance(w, tuple)
    made, bits = make(w, np.random.default_rng(0)), make.bits if isinstance(make, Bits) else 8
    return replace(layer, name=f"{layer.name}, {name}", inputs=(x, made, b), bits=bits)


def is_packed(call: Call) -> bool:
    """Does it store weights in another form than int8, one byte or two a weight?"""
    return any(word in cost.line(call) for word in ("sparse", "pal"))


def measure(core: str, weights: Sequence[str], layers: Sequence[Layer] = LAYERS) -> list[Row]:
    """Every packed kernel, and the fastest of the others, on every layer."""
    cases: list[tuple[str, str, Case, Array]] = []
    for layer in layers:
        for name in weights:
            graph = with_weights(layer, name, WEIGHTS[name]).graph()
            node = graph.nodes[0]
            assert isinstance(node.op, Operator)
            (call,) = node.op.lower(graph.ins(node), graph.outs(node))
            ways = candidates(call, get_core(core).kernel_sets)
            plain = [c for c in ways if not is_packed(c) and cost.known(c, core)]
            fastest = min(plain, key=lambda c: cost.cycles(c, core))
            cases += [
                (layer.name, name, Case(layer.name, graph, c), call.consts[0].array)
                for c in (fastest, *filter(is_packed, ways))
            ]
    rows = []
    for (layer_name, name, case, w), counted in zip(cases, count_cases(core, [c for _, _, c, _ in cases]), strict=True):
        zeros = 1 - np.count_nonzero(w) / w.size
        cycles = (counted.cycles or counted.instructions) / case.macs
        # less biases and multipliers, which every form has; a table is one for all layers whose values are the same
        table = sum(c.array.nbytes for c in case.call.consts if c.suffix == "table")
        size = sum(c.array.nbytes for c in case.call.consts) - table - 8 * w.shape[0]
        kernel = cost.line(case.call) if is_packed(case.call) else "int8"
        kept = cycles / max(1 - zeros, 1e-9)
        rows.append(Row(core, layer_name, name, kernel, zeros, size / w.size, table, cycles, kept))
    return rows


def picked(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, dict[str, dict[str, Any]]]]]:
    """Layer to weights to core to what was picked: int8, and where there are others the smallest (within 5 % of the
    least the fastest) and the fastest, with kernel, bytes for each weight and cycles for each MAC."""
    found: dict[str, dict[str, dict[str, list[Row]]]] = {}
    for r in rows:
        found.setdefault(r.layer, {}).setdefault(r.weights, {}).setdefault(r.core, []).append(r)
    return {
        layer: {form: {core: _picked(of_core) for core, of_core in cores.items()} for form, cores in forms.items()}
        for layer, forms in found.items()
    }


def _picked(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    (plain,), forms = [r for r in rows if r.kernel == "int8"], [r for r in rows if r.kernel != "int8"]
    taken = {"int8": plain}
    if forms:
        least = min(r.bytes_per_weight for r in forms)
        small = [r for r in forms if r.bytes_per_weight <= 1.05 * least]
        for way, rows_of_way in (("smallest", small), ("fastest", forms)):
            taken[way] = min(rows_of_way, key=lambda r: r.cycles_per_mac)
    return {
        way: {"kernel": r.kernel, "bytes": r.bytes_per_weight, "cycles": r.cycles_per_mac} for way, r in taken.items()
    }


def table(rows: Sequence[Row]) -> str:
    lines = []
    for core in dict.fromkeys(r.core for r in rows):
        lines += [f"{core}", f"  {'weights':28s} {'kernel':36s} bytes/weight  table  cycles/MAC  cycles/kept MAC"]
        for layer in dict.fromkeys(r.layer for r in rows):
            lines.append(f"  {layer}")
            for r in rows:
                if (r.core, r.layer) == (core, layer):
                    lines.append(
                        f"  {r.weights:28s} {r.kernel:36s} {r.bytes_per_weight:12.3f} {r.table_bytes:6d} "
                        f"{r.cycles_per_mac:11.2f} {r.cycles_per_kept_mac:16.2f}"
                    )
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", nargs="+", default=list(CORES))
    parser.add_argument("--only", nargs="+", help="parts of names of weights; the results are printed, not kept")
    options = parser.parse_args(argv)
    weights = [n for n in WEIGHTS if not options.only or any(part in n for part in options.only)]
    rows = [row for core in options.cores for row in measure(core, weights)]
    print(table(rows))
    if not options.only:
        record.write("packed", picked(rows), [vars(r) for r in rows], depth=3)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
