"""Cliffs: layers that cost far more than their neighbours, found by walking over shapes.

    python -m benchmarks.scan [--cores cortex-m4 ...] [--only pointwise ...]      about a minute a core

Every series is one kind of layer over one number: channels, sizes, strides, kernels, dilations, groups, gains. Of each
layer the kernel is counted that the planner takes for `speed`, and compared with numpy. Two neighbours are a cliff
where cycles (instructions on cores without a cycle model) change by more than CLIFF and work does not say why: less
work costs more than CLIFF times as much, or more work costs more than CLIFF times what its growth explains. Work is
MACs, or outputs where there are none. The cycles of a MAC alone would not do: one channel always costs nearly as much
as two. Why: what refused to the dearer layer the kernel of the cheaper one. Kept apart is the rule that n channels
never cost more than n + 1.

Writes benchmarks/results/scan.json, every point to build/benchmarks/scan.json, a picture to build/benchmarks/scan.html.
"""

from __future__ import annotations

import argparse
import html
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import record
from benchmarks.emulate import Case, count_cases, layouts
from benchmarks.layers import Layer, add, avgpool, conv, dense, depthwise, lut, maxpool, pointwise
from tinygen.kernels.registry import limits, ways
from tinygen.ops import Mul, Operator, Softmax
from tinygen.ops.base import Call
from tinygen.plan import cost
from tinygen.plan.choose import choose
from tinygen.plan.lift import lift
from tinygen.plan.select import candidates
from tinygen.targets.cores import get_core

CORES = ("cortex-m4", "cortex-m0", "cortex-m3", "cortex-m55")
#: A step that work does not explain.
CLIFF = 1.3
#: n channels may cost so much more than n + 1 before it counts as more: what a tile's last channels take to step back.
EVEN = 1.02
CHANNELS = tuple(range(1, 34))
SIZES = tuple(range(1, 34))


@dataclass(frozen=True)
class Series:
    """One kind of layer over `axis`. `planes`: it reads or writes planes where the core's kernels do."""

    name: str
    axis: str
    values: tuple[int, ...]
    make: Callable[[int], Layer]
    planes: bool = False


def gained(layer: Layer, gain: int) -> Layer:
    """With larger weights in the same range of outputs: larger multipliers, shorter shifts."""
    x, w, b = layer.inputs
    assert not isinstance(w, tuple)
    return replace(layer, name=f"{layer.name} times {gain}", inputs=(x, w * np.float32(gain), b))


def _series() -> tuple[Series, ...]:
    hw, c = (12, 12), "channels"
    of_channels = (
        Series("conv 3x3 n->n", c, CHANNELS, lambda n: conv(hw, (n, n))),
        Series("conv 3x3 n->16", c, CHANNELS, lambda n: conv(hw, (n, 16))),
        Series("conv 3x3 16->n", c, CHANNELS, lambda n: conv(hw, (16, n))),
        Series("conv 3x3 s2 n->n", c, CHANNELS, lambda n: conv(hw, (n, n), strides=(2, 2))),
        Series("conv 5x5 n->8", c, CHANNELS, lambda n: conv(hw, (n, 8), (5, 5))),
        Series("pointwise n->n", c, CHANNELS, lambda n: pointwise(hw, (n, n))),
        Series("pointwise n->16", c, CHANNELS, lambda n: pointwise(hw, (n, 16))),
        Series("pointwise 16->n", c, CHANNELS, lambda n: pointwise(hw, (16, n))),
        Series("pointwise n->n to planes", c, CHANNELS, lambda n: pointwise(hw, (n, n)), planes=True),
        Series("depthwise 3x3 on planes", c, CHANNELS[1:], lambda n: depthwise(hw, n), planes=True),
        Series("depthwise 3x3 s2 on planes", c, CHANNELS[1:], lambda n: depthwise(hw, n, strides=(2, 2)), planes=True),
        Series("depthwise 3x3", c, CHANNELS[1:], lambda n: depthwise(hw, n)),
        Series("depthwise 5x5", c, CHANNELS[1:], lambda n: depthwise(hw, n, (5, 5))),
        Series("depthwise 3x3 n->2n", c, CHANNELS[1:], lambda n: depthwise(hw, n, mult=2)),
        Series("depthwise 3x3 4->4n", "multiplier", CHANNELS[:16], lambda n: depthwise(hw, 4, mult=n)),
        Series("depthwise 5x5 4->4n", "multiplier", CHANNELS[:16], lambda n: depthwise(hw, 4, (5, 5), mult=n)),
        Series("dense n->n", c, CHANNELS, lambda n: dense(n, n)),
        Series("dense n->32", c, CHANNELS, lambda n: dense(n, 32)),
        Series("dense 32->n", c, CHANNELS, lambda n: dense(32, n)),
        Series("add", c, CHANNELS, lambda n: add(6, 6, n)),
        Series("mul by channel", c, CHANNELS, lambda n: Layer(f"mul {n}", Mul(), ((1, 6, 6, n), (1, 1, 1, n)))),
        Series("average pool 2x2", c, CHANNELS, lambda n: avgpool(hw, n, (2, 2))),
        Series("average pool, global", c, CHANNELS, lambda n: avgpool((6, 6), n)),
        Series("max pool 2x2", c, CHANNELS, lambda n: maxpool(hw, n, (2, 2))),
        Series("table", c, CHANNELS, lambda n: lut(36 * n)),
        Series("softmax", c, CHANNELS[1:], lambda n: Layer(f"softmax {n}", Softmax(), ((1, n),))),
    )
    of_sizes = (
        Series("conv 3x3 8->8", "size", SIZES, lambda n: conv((n, n), (8, 8))),
        Series("conv 3x3 s2 3->8", "size", SIZES, lambda n: conv((n, n), (3, 8), strides=(2, 2))),
        Series("pointwise 8->8", "size", SIZES, lambda n: pointwise((n, n), (8, 8))),
        Series("depthwise 3x3 8 on planes", "size", SIZES, lambda n: depthwise((n, n), 8), planes=True),
        Series("depthwise 3x3 4->8", "size", SIZES, lambda n: depthwise((n, n), 4, mult=2)),
    )
    of_windows = (
        Series("conv kxk 8->8", "kernel", tuple(range(1, 10)), lambda k: conv(hw, (8, 8), (k, k))),
        Series("conv kx1 8->8", "kernel", tuple(range(1, 12)), lambda k: conv((48, 1), (8, 8), (k, 1))),
        Series("depthwise kxk 8", "kernel", tuple(range(1, 10)), lambda k: depthwise(hw, 8, (k, k))),
        Series("depthwise kxk 8 on planes", "kernel", tuple(range(1, 10)), lambda k: depthwise(hw, 8, (k, k)), True),
        Series("depthwise kx1 8", "kernel", tuple(range(1, 12)), lambda k: depthwise((48, 1), 8, (k, 1))),
        Series("conv 3x3 8->8", "stride", (1, 2, 3, 4, 5), lambda s: conv((24, 24), (8, 8), strides=(s, s))),
        Series("depthwise 3x3 8 on planes", "stride", (1, 2, 3, 4, 5),
               lambda s: depthwise((24, 24), 8, strides=(s, s)), planes=True),
        Series("conv 3x3 8->8", "dilation", (1, 2, 3, 4), lambda d: conv(hw, (8, 8), dil=d)),
        Series("depthwise 3x3 8", "dilation", (1, 2, 3, 4), lambda d: depthwise(hw, 8, dil=d)),
        Series("conv 3x3 16->16", "groups", (8, 4, 2, 1), lambda g: conv(hw, (16, 16), groups=g)),
        Series("depthwise 3x3 8 on planes", "gain", (1, 4, 16, 32, 64, 256),
               lambda g: gained(depthwise(hw, 8), g), planes=True),
        Series("depthwise 3x3 8", "gain", (1, 4, 16, 32, 64, 256), lambda g: gained(depthwise(hw, 8), g)),
        Series("conv 3x3 8->8", "gain", (1, 4, 16, 32, 64, 256), lambda g: gained(conv(hw, (8, 8)), g)),
        Series("pointwise 8->8", "gain", (1, 4, 16, 32, 64, 256), lambda g: gained(pointwise(hw, (8, 8)), g)),
        Series("dense 64->32", "gain", (1, 4, 16, 32, 64, 256), lambda g: gained(dense(64, 32), g)),
    )  # fmt: skip
    return (*of_channels, *of_sizes, *of_windows)


SERIES = _series()


@dataclass(frozen=True, eq=False)
class Point:
    """A layer of a series: what the planner takes, and what that costs. `asked`: the reference call."""

    n: int
    work: int
    cycles: int
    kernel: str
    asked: Call


def points(core: str, series: Sequence[Series], optimize: str = "speed") -> dict[tuple[str, str], list[Point]]:
    """Every layer of every series, counted; by the series' name and axis."""
    found = get_core(core)
    keys, cases, asked = [], [], []
    for s in series:
        for n in s.values:
            layer = s.make(n)
            graph = layer.graph()
            node = graph.nodes[0]
            assert isinstance(node.op, Operator)
            calls = node.op.lower(graph.ins(node), graph.outs(node))
            if len(calls) != 1:
                continue
            call = replace(calls[0], limits=limits(calls))
            laid = [c for c in layouts(call) if candidates(c, found.kernel_sets)] if s.planes else []
            call = laid[0] if laid and "mve" not in found.kernel_sets else call
            (taken,) = choose([candidates(call, found.kernel_sets)], core, optimize, activations=1)
            keys.append((s.name, s.axis, n))
            cases.append(Case(f"{s.name}, {s.axis} {n}", graph, taken))
            asked.append(lift(call) if "dsp" in found.kernel_sets else call)
    result: dict[tuple[str, str], list[Point]] = {}
    for (name, axis, n), case, call, counts in zip(keys, cases, asked, count_cases(core, cases), strict=True):
        work = case.macs or case.layer.tensors["y"].size
        cycles = counts.cycles or counts.instructions
        result.setdefault((name, axis), []).append(Point(n, work, cycles, cost.line(case.call), call))
    return result


def step(a: Point, b: Point) -> float:
    """How far two neighbours are apart beyond what their work says: above 1 where the one with less work costs more, or
    where cycles grow by more than the work does."""
    less, more = (a, b) if a.work <= b.work else (b, a)
    if less.cycles > more.cycles:
        return less.cycles / more.cycles
    return more.cycles / less.cycles / (more.work / less.work)


def dearer(a: Point, b: Point) -> tuple[Point, Point]:
    """The two of a step, the one that costs too much first."""
    less, more = (a, b) if a.work <= b.work else (b, a)
    return (less, more) if less.cycles > more.cycles else (more, less)


def cliffs(of: Sequence[Point]) -> Iterator[tuple[Point, Point, float]]:
    """Neighbours of a series that are further apart than CLIFF: the dearer, the cheaper, and by how much."""
    for a, b in pairwise(of):
        if step(a, b) > CLIFF:
            yield (*dearer(a, b), step(a, b))


def uneven(of: Sequence[Point]) -> list[tuple[int, float]]:
    """Channels that cost more than one more of them, and how much."""
    found = [(a.n, a.cycles / b.cycles) for a, b in pairwise(of) if b.n == a.n + 1]
    return [(n, share) for n, share in found if share > EVEN]


def reason(core: str, dear: Point, cheap: Point) -> str:
    """What refused to `dear` the kernel of `cheap`."""
    if dear.kernel == cheap.kernel:
        return "the same kernel"
    for name in get_core(core).kernel_sets:
        for variant in (way.variant for way in ways(cheap.asked.kernel, name)):
            made = variant(cheap.asked)
            if isinstance(made, Call) and cost.line(made) == cheap.kernel:
                other = variant(dear.asked) if dear.asked.kernel == cheap.asked.kernel else "another operator"
                if isinstance(other, str):
                    return f"{cheap.kernel}: {other or 'not for it'}"
    return f"{dear.kernel} where the other has {cheap.kernel}"


def summary(core: str, found: Mapping[tuple[str, str], Sequence[Point]]) -> dict[str, Any]:
    """What is kept: the cliffs with their reasons, channels that break the rule, cycles of every series."""
    steps = [
        {"series": name, "axis": axis, "dear": dear.n, "cheap": cheap.n, "step": round(by, 2),
         "why": reason(core, dear, cheap)}
        for (name, axis), of in found.items()
        for dear, cheap, by in cliffs(of)
    ]  # fmt: skip
    odd = [
        {"series": name, "channels": {str(n): round(share, 3) for n, share in uneven(of)}}
        for (name, axis), of in found.items()
        if axis == "channels" and uneven(of)
    ]
    cycles = {f"{name}, {axis}": {str(p.n): p.cycles for p in of} for (name, axis), of in found.items()}
    return {"cliffs": steps, "uneven": odd, "cycles": cycles}


def show(results: Mapping[str, Mapping[str, Any]]) -> Table:
    """Series with the worst step of each core, and channels that cost more than one more."""
    table = Table(title=f"Steps above {CLIFF} that work does not explain, and channels that cost more than one more")
    for column in ("core", "series", "step", "why"):
        table.add_column(column)
    for core, found in results.items():
        for c in found["cliffs"]:
            which = f"{c['series']}: {c['axis']} {c['dear']}, not {c['cheap']}"
            table.add_row(core.removeprefix("cortex-"), which, f"{c['step']:.2f}", c["why"])
        for u in found["uneven"]:
            rule = ", ".join(f"{n}: {share:.2f}" for n, share in u["channels"].items())
            table.add_row(core.removeprefix("cortex-"), u["series"], "n > n + 1", rule)
    return table


# ---- the picture ----

WIDTH, HEIGHT, LEFT, BOTTOM = 300, 190, 44, 26
COLOURS = {"cortex-m4": "#2563eb", "cortex-m0": "#a16207", "cortex-m3": "#15803d", "cortex-m55": "#9333ea"}


def panel(title: str, axis: str, by_core: Mapping[str, Sequence[Point]]) -> str:
    """One series as SVG: cycles a MAC (or an output) over the axis, in powers of two; cliffs are marked."""
    shares = [p.cycles / p.work for of in by_core.values() for p in of]
    low, high = math.floor(math.log2(min(shares))), math.ceil(math.log2(max(shares)) + 1e-9)
    ns = sorted({p.n for of in by_core.values() for p in of})
    log_n = axis == "gain"

    def x(n: int) -> float:
        first, last = (math.log2(ns[0]), math.log2(ns[-1])) if log_n else (ns[0], ns[-1])
        at = math.log2(n) if log_n else n
        return LEFT + (WIDTH - LEFT - 14) * (at - first) / max(last - first, 1)

    def y(share: float) -> float:
        return 22 + (HEIGHT - 22 - BOTTOM) * (high - math.log2(share)) / max(high - low, 1)

    parts = [f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{html.escape(title)} over {axis}">']
    parts.append(f'<text x="{LEFT}" y="13" class="title">{html.escape(title)}</text>')
    for power in range(low, high + 1):
        label = f"{2.0**power:g}"
        parts.append(f'<path class="grid" d="M{LEFT} {y(2.0**power):.1f}H{WIDTH - 8}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y(2.0**power) + 3:.1f}" class="end">{label}</text>')
    shown = ns if len(ns) <= 9 else [n for n in ns if n % 4 == 0]
    for n in shown:
        parts.append(f'<text x="{x(n):.1f}" y="{HEIGHT - 12}" class="middle">{n}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 1}" class="middle">{axis}</text>')
    for core, of in by_core.items():
        line = " ".join(f"{x(p.n):.1f},{y(p.cycles / p.work):.1f}" for p in of)
        parts.append(f'<polyline points="{line}" stroke="{COLOURS[core]}"/>')
        for dear, _, by in cliffs(of):
            at = f'cx="{x(dear.n):.1f}" cy="{y(dear.cycles / dear.work):.1f}"'
            parts.append(f'<circle {at} r="3.5"><title>{core}, {axis} {dear.n}: {by:.2f}</title></circle>')
    return "\n".join([*parts, "</svg>"])


def page(every: Mapping[str, Mapping[tuple[str, str], Sequence[Point]]]) -> str:
    """All series of all cores, as HTML."""
    keys = list(dict.fromkeys(key for found in every.values() for key in found))
    panels = [panel(key[0], key[1], {core: f[key] for core, f in every.items() if key in f}) for key in keys]
    legend = " ".join(f'<b style="color:{COLOURS[core]}">{core}</b>' for core in every)
    style = (
        "body{font:14px system-ui,sans-serif;margin:16px;color:#111}svg{margin:6px}text{font-size:10px;fill:#444}"
        ".title{font-size:12px;font-weight:600;fill:#111}.end{text-anchor:end}.middle{text-anchor:middle}"
        ".grid{stroke:#ddd}polyline{fill:none;stroke-width:1.6}circle{fill:none;stroke:#dc2626;stroke-width:2}"
    )
    note = (
        f"Cycles (cortex-m55: instructions) a MAC, or an output; red: a step above {CLIFF} that work does not explain."
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Scan over layer shapes</title>'
        f"<style>{style}</style><h1>Scan over layer shapes</h1><p>{note} {legend}</p>{''.join(panels)}</html>\n"
    )


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", nargs="+", default=list(CORES), choices=CORES)
    parser.add_argument("--only", nargs="+", default=[], help="parts of names of series; nothing is kept then")
    options = parser.parse_args(argv)
    wanted = [s for s in SERIES if not options.only or any(part in s.name for part in options.only)]
    every = {core: points(core, wanted) for core in options.cores}
    results = {core: summary(core, found) for core, found in every.items()}
    Console(width=180).print(show(results))
    record.DETAIL.mkdir(parents=True, exist_ok=True)
    (record.DETAIL / "scan.html").write_text(page(every), encoding="utf-8")
    if not options.only and len(options.cores) == len(CORES):
        detail = {
            core: {f"{name}, {axis}": [[p.n, p.work, p.cycles, p.kernel] for p in of]
                   for (name, axis), of in found.items()}
            for core, found in every.items()
        }  # fmt: skip
        record.write("scan", results, detail, depth=3)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
