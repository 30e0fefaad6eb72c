"""Fits tinygen's cost model: writes costs.json and stalls.json in the folder of each core's architecture.

    python -m benchmarks.fit_costs [--cores cortex-m4 ...] [--only sparse ...] [--left-out]      a few minutes

A seeded set of single layers is lowered through the planner's own registry, every candidate of every core is counted
in emulation (and compared with numpy), and coefficients that are not negative are found by least squares of the
relative error. The same runs count how long each call waits for the flash of every board with that core; those
coefficients have the least error relative to the whole call.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from scipy.optimize import nnls

from benchmarks.emulate import Case, count_on_flashes, layouts, timing_core
from benchmarks.layers import (
    Layer,
    Pair,
    Rescaled,
    add,
    avgpool,
    conv,
    dense,
    depthwise,
    lut,
    maxpool,
    other_layers,
    pointwise,
    softmax,
)  # fmt: skip
from benchmarks.packed import Bits, blocks, codebook, is_packed, n_of_four, sparse_palette, unstructured, with_weights
from tinygen.ops import Insert, Operator, Requantise, Unary
from tinygen.ops.base import Call
from tinygen.plan import cost
from tinygen.plan.planar import pad_call
from tinygen.plan.select import candidates
from tinygen.profile import Counts
from tinygen.targets.board import all_boards
from tinygen.targets.cores import CORES, get_core
from tinygen.targets.flash import Flash, flash_of

CHANNELS = (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256)
MAX_MACS = 600_000
FOLDS = 5
DIGITS = 4
#: Cores with costs of their own, the slowest to measure first.
RECORDED = tuple(core.name for core in reversed(CORES) if core.machine is not None and not core.costs_of)
#: Figure in costs.json: attribute of what the emulator counted.
FIGURES = {"insns": "instructions", "cycles": "cycles"}

#: Calls and what they counted without waits and on each flash.
Rows = list[tuple[Call, tuple[Counts, ...]]]


def training_layers() -> list[Layer]:
    """The seeded set. Sizes are those of networks for microcontrollers, odd ones among them."""
    rng = random.Random(0)
    layers: list[Layer] = []

    def size(most: int) -> Pair:
        side = rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 16, 20, 24, 32))
        side = min(side, most)
        return (side, side if rng.random() < 0.6 else max(1, min(most, side + rng.randint(-3, 3))))

    def take(count: int, make: Callable[[], Layer | None]) -> None:
        made = 0
        while made < count:
            layer = make()
            if layer is not None and _macs(layer) <= MAX_MACS:
                layers.append(_heavy_tailed(layer, rng.choice((1, 1, 2, 3))))
                made += 1

    def a_pointwise() -> Layer:
        return pointwise(size(32), (rng.choice(CHANNELS), rng.choice(CHANNELS)), relu=rng.random() < 0.7)

    def a_conv() -> Layer | None:
        k = rng.choice(
            ((3, 3), (3, 3), (3, 3), (5, 5), (1, 3), (3, 1), (5, 1), (1, 5), (2, 2), (7, 7), (10, 4), (1, 1))
        )
        stride = rng.choice((1, 1, 2)) if k != (1, 1) else 2
        hw = size(32)
        if hw[0] < k[0] or hw[1] < k[1]:
            return None
        channels = (rng.choice(CHANNELS[:14]), rng.choice(CHANNELS[:15]))
        return conv(hw, channels, k, (stride, stride), same=rng.random() < 0.7, relu=rng.random() < 0.7,
                    dil=2 if rng.random() < 0.05 and min(hw) > 2 * max(k) else 1)  # fmt: skip

    def a_first() -> Layer:
        """From the few channels of an image or a signal."""
        k = rng.choice(((3, 3), (5, 5), (10, 4), (10, 8), (8, 8), (3, 1), (2, 2)))
        hw = (rng.randint(12, 49), rng.randint(8, 32))
        stride = rng.choice((1, 2))
        return conv(hw, (rng.choice((1, 1, 2, 3, 3, 4)), rng.choice(CHANNELS[4:13])), k, (stride, stride),
                    same=rng.random() < 0.7, relu=rng.random() < 0.7)  # fmt: skip

    def a_grouped() -> Layer | None:
        groups = rng.choice((2, 4))
        c = (groups * rng.choice((1, 2, 3, 4, 8, 12)), groups * rng.choice((1, 2, 3, 4, 8)))
        if groups == c[0]:
            return None
        k = rng.choice((1, 1, 3, 3, 3))
        return conv(size(16), c, (k, k), groups=groups)

    def a_depthwise(kernels: Sequence[Pair], strides: Sequence[int]) -> Callable[[], Layer | None]:
        def make() -> Layer | None:
            k, s, hw = rng.choice(kernels), rng.choice(strides), size(32)
            c = rng.choice(CHANNELS[1:])
            if hw[0] < k[0] or hw[1] < k[1] or hw[0] * hw[1] * c > 20_000:
                return None
            return depthwise(hw, c, k, (s, s), same=rng.random() < 0.7, relu=rng.random() < 0.7,
                             mult=2 if k != (3, 3) and rng.random() < 0.05 else 1,
                             dil=2 if k != (3, 3) and rng.random() < 0.05 and min(hw) > 2 * max(k) else 1)  # fmt: skip

        return make

    def a_signal() -> Layer:
        """Depthwise over time alone."""
        k, n, c = rng.randint(2, 15), rng.randint(1, 32), rng.choice(CHANNELS[5:16])
        stride, same = rng.choice((1, 1, 1, 2)), rng.random() < 0.3
        hw, kernel = (k + n - 1, 1), (k, 1)
        if rng.random() < 0.5:
            return depthwise(hw, c, kernel, (stride, 1), same=same, relu=rng.random() < 0.5)
        return depthwise(hw[::-1], c, kernel[::-1], (1, stride), same=same, relu=rng.random() < 0.5)

    def a_dense() -> Layer:
        widths = (*CHANNELS[1:], 2, 10, 11, 13, 30, 63, 100, 125, 250, 400, 640, 784)
        rows = rng.choice((1, 1, 1, 1, 2, 5, 10))
        return dense(rng.choice(widths), rng.choice(widths), rows, relu=rng.random() < 0.7)

    take(70, a_pointwise)
    take(100, a_conv)
    take(36, a_first)
    take(30, a_grouped)
    take(44, a_depthwise(((3, 3),), (1,)))
    take(36, a_depthwise(((3, 3),), (2,)))
    take(50, a_depthwise(((5, 5), (5, 1), (3, 1), (1, 3), (10, 1), (1, 7), (2, 2), (4, 1)), (1, 1, 2)))
    take(50, a_signal)
    take(60, a_dense)
    for _ in range(16):
        h, w, c = rng.randint(1, 16), rng.randint(1, 16), rng.choice(CHANNELS)
        layers += [add(h, w, c, relu=rng.random() < 0.5), lut(h * w * c), maxpool((h + 2, w + 2), c, (2, 2)),
                   avgpool((h, w), c)]  # fmt: skip
        k = rng.choice((2, 3))
        layers += [avgpool((h + 3, w + 3), c, (k, k), (2, 2)),
                   maxpool((h + 3, w + 3), c, (3, 3), (2, 2), same=rng.random() < 0.5)]  # fmt: skip
        layers += [softmax(rng.choice((2, 3, 5, 10, 12, 35, 100)), rng.choice((1, 1, 4, 16))),
                   *other_layers(rng, h + 1, w + 1, c)]  # fmt: skip
    return layers


def multiplied_layers() -> list[Layer]:
    """Depthwise layers with several outputs of an input channel, or with large multipliers: kernels that take one
    channel after the other."""
    rng = random.Random(3)
    found: list[Layer] = []
    while len(found) < 120:
        k = rng.choice(((3, 3), (3, 3), (3, 3), (5, 5), (3, 1), (1, 5), (7, 1), (2, 2), (5, 3)))
        s, c = rng.choice((1, 1, 2)), rng.choice((2, 3, 4, 5, 8, 12, 16, 24))
        mult = rng.choice((1, 2, 2, 3, 4, 5, 8))
        hw = (rng.randint(k[0], 28), rng.randint(k[1], 28))
        layer = depthwise(hw, c, k, (s, s), same=rng.random() < 0.7, relu=rng.random() < 0.7, mult=mult)
        if _macs(layer) <= MAX_MACS:
            x, w, b = layer.inputs
            assert not isinstance(w, tuple)
            gain = np.float32(rng.choice((1, 20, 60)) if mult == 1 else 1)
            found.append(replace(layer, inputs=(x, w * gain, b)))
    return found


def odd_layers() -> list[Layer]:
    """Convolutions with numbers of channels that are not whole blocks of a kernel's."""
    rng = random.Random(4)
    found: list[Layer] = []
    while len(found) < 60:
        k, s = rng.choice(((3, 3), (3, 3), (3, 3), (5, 5), (3, 1), (2, 2))), rng.choice((1, 1, 1, 2))
        c = (rng.choice((4, 5, 7, 9, 11, 13, 15, 16, 18, 22, 23, 31, 40, 47)), rng.choice((3, 5, 7, 8, 15, 21, 32, 33)))
        hw = (rng.randint(5, 16), rng.randint(5, 16))
        layer = conv(hw, c, k, (s, s), same=rng.random() < 0.7, relu=rng.random() < 0.7)
        if _macs(layer) <= MAX_MACS:
            found.append(layer)
    return found


def wide_layers(layers: Sequence[Layer]) -> list[Layer]:
    """Some of `layers` with int16 inputs, and what stands between int8 and int16."""
    rng = random.Random(2)
    found = []
    for layer in layers:
        if layer.op.takes_int16() and (rng.random() < 0.4 or isinstance(layer.op, Insert)):
            both = not layer.op.narrows or rng.random() < 0.7
            names = layer.float_graph().inputs[: 2 if isinstance(layer.op, Insert) else None]  # not where it goes
            found.append(replace(layer, name=f"{layer.name} int16", wide=(*names, "y") if both else names))
    for n in (1, 10, 64, 100, 490, 2000, 5000):
        convert = Layer(f"convert {n}", Unary("x"), ((1, n),))
        found += [replace(convert, wide=("x0",)), replace(convert, wide=("y",)), replace(convert, wide=("x0", "y"))]
        found += [Rescaled(f"rescale {n}", Requantise(), ((1, n),), ends=ends) for ends in ((16, 24), (24, 16))]
    return found


def packed_layers() -> list[Layer]:
    """Layers for kernels that store weights in another form than int8: zeros in every pattern, few values."""
    rng = random.Random(1)
    makes = [blocks, unstructured, sparse_palette]
    layers = []
    for i in range(180):
        layer = _to_pack(rng, i)
        share = rng.choice((0.3, 0.5, 0.7, 0.8, 0.9, 0.95))
        make = n_of_four(rng.choice((1, 2))) if i % 4 == 3 else makes[i % 4](share)
        if _macs(layer) <= MAX_MACS:
            layers.append(with_weights(layer, f"{share:.0%}", make))
    for i in range(180):
        layer, bits = _to_pack(rng, i), 1 + i // 3 % 6
        make, name = rng.choice(((Bits(bits), f"{bits} bits"), (codebook(1 << bits), f"{1 << bits} values")))
        if (bits > 1 or not isinstance(make, Bits)) and _macs(layer) <= MAX_MACS:
            layers.append(with_weights(layer, name, make))
    return layers


def _to_pack(rng: random.Random, i: int) -> Layer:
    """One of each kind in turn."""
    c = (rng.choice((8, 16, 24, 32, 48, 64)), rng.choice(CHANNELS[3:14]))
    hw = (rng.randint(1, 12), rng.randint(1, 12))
    if i % 3 == 0:
        return pointwise(hw, c)
    if i % 3 == 1:
        k, s = rng.choice(((3, 3), (3, 3), (5, 5), (1, 3), (3, 1), (2, 2), (1, 1))), rng.choice((1, 1, 2))
        return conv((hw[0] + 4, hw[1] + 4), c, k, (s, s), same=rng.random() < 0.7)
    widths = (32, 64, 100, 128, 256, 400, 784)
    return dense(rng.choice(widths), rng.choice(CHANNELS[3:16]), rng.choice((1, 1, 1, 2, 4, 6)))


def _heavy_tailed(layer: Layer, power: int) -> Layer:
    """Trained weights have more small values than normal ones, and kernels that pack them by size gain from it."""
    x, w, b = layer.inputs
    assert not isinstance(w, tuple)
    tailed = np.sign(w) * np.abs(w) ** power
    return replace(layer, inputs=(x, (tailed * (w.std() / (tailed.std() or 1.0))).astype(np.float32), b))


def _macs(layer: Layer) -> int:
    graph = layer.graph()
    node = graph.nodes[0]
    assert isinstance(node.op, Operator)
    return node.op.macs(graph.ins(node), graph.outs(node))


def cases_of(core: str, layers: Sequence[Layer], wanted: Callable[[Call], bool] = lambda _: True) -> list[Case]:
    """Every candidate of every call of every layer, dense and with planes, for one core; those that are wanted."""
    sets = get_core(core).kernel_sets
    found = []
    for layer in layers:
        graph = layer.graph()
        node = graph.nodes[0]
        assert isinstance(node.op, Operator)
        lowered = node.op.lower(graph.ins(node), graph.outs(node))
        for call in lowered:
            ways = filter(wanted, candidates(call, sets))
            found += [Case(layer.name, graph, c, len(lowered) == 1) for c in ways]
            both = layouts(call)
            if call.kernel == "tg_conv_s8":  # they cost much the same
                both = both[len(found) % 2 :: 2]
            for planes in both:
                made = [c for c in candidates(planes, sets) if wanted(c)]
                found += [Case(layer.name, graph, c) for c in made]
                if made and planes.x_planes is not None:
                    pad = pad_call(call.output, planes.x_planes, 0)
                    found.append(Case(layer.name, graph, replace(pad, y_planes=planes.x_planes), False))
    return found


def groups(cases: Sequence[Case], counts: Sequence[tuple[Counts, ...]]) -> dict[tuple[str, str], Rows]:
    """Measurements by (kernel or family, kind of shape)."""
    found: dict[tuple[str, str], Rows] = defaultdict(list)
    for case, counted in zip(cases, counts, strict=True):
        found[cost.line(case.call), cost.traits(case.call).kind].append((case.call, counted))
    return dict(sorted(found.items()))


def flashes_of(core: str) -> list[Flash]:
    """Those that wait, of boards that take this core's costs, each once."""
    found = {}
    for board in all_boards():
        flash = flash_of(board)
        if core in (board.core.name, board.core.costs_of) and flash is not None and flash.waits:
            found[flash.key] = flash
    return [found[key] for key in sorted(found)]


def solve(rows: Sequence[tuple[cost.Features, float]], whole: Sequence[float] | None = None) -> dict[str, float]:
    """Coefficients, none negative, with the least sum of squared errors relative to `whole` (to the value itself where
    not given); features that get none left out."""
    names = sorted({name for features, _ in rows for name in features})
    a = np.array([[features.get(n, 0.0) for n in names] for features, _ in rows])
    y = np.array([v for _, v in rows])
    scale = y if whole is None else np.array(whole)
    a = a / scale[:, None]
    norms = np.linalg.norm(a, axis=0)
    norms[norms == 0] = 1.0
    k, _ = nnls(a / norms, y / scale, maxiter=50 * len(names))
    return {n: float(f"{v:.{DIGITS}g}") for n, v in zip(names, k / norms, strict=True) if v > 0}


def predict(k: Mapping[str, float], features: cost.Features) -> float:
    return sum(v * features.get(n, 0.0) for n, v in k.items())


def errors(k: Mapping[str, float], rows: Sequence[tuple[cost.Features, float]]) -> list[float]:
    """Relative errors, as shares."""
    return [predict(k, features) / v - 1 for features, v in rows]


def left_out(rows: Sequence[tuple[cost.Features, float]]) -> list[float]:
    """Relative errors of rows that had no part in the fit."""
    found = []
    for i in range(FOLDS):
        train = [r for j, r in enumerate(rows) if j % FOLDS != i]
        test = [r for j, r in enumerate(rows) if j % FOLDS == i]
        if train and test:
            found += errors(solve(train), test)
    return found


Table = dict[str, dict[str, dict[str, dict[str, float]]]]  # of one core
Stalls = dict[str, dict[str, dict[str, dict[str, float]]]]  # of one core and flash


def fit_core(core: str, only: Sequence[str] = (), *, folds: bool = False) -> tuple[str, Table, dict[str, Stalls]]:
    """A line on each kernel, the core's part of costs.json (cycles where the core has a timing), and of stalls.json by
    flash. Of kernels with a part of their name in `only`, or of all."""
    flashes = flashes_of(core)
    figures = FIGURES if timing_core(core).timing is not None else {"insns": "instructions"}

    def wanted(call: Call) -> bool:
        return not only or any(part in cost.line(call) for part in only)

    cases = cases_of(core, training_layers(), lambda c: wanted(c) and not is_packed(c))
    cases += cases_of(core, packed_layers(), lambda c: wanted(c) and is_packed(c))
    cases += cases_of(core, [*multiplied_layers(), *odd_layers()], wanted)
    cases += cases_of(core, wide_layers(training_layers()), wanted)
    faults: list[str] = []
    counted = count_on_flashes(core, cases, flashes or [None], faults)
    table: Table = {}
    waits: dict[str, Stalls] = {flash.key: {} for flash in flashes}
    lines = [f"{core}: {len(cases)} calls", *faults]
    for (line, kind), rows in groups(cases, counted).items():
        if only and not any(part in line for part in only):  # the helps of what is wanted
            continue
        entry = {}
        for figure, counted_as in figures.items():
            pairs = [(cost.traits(call).features, float(getattr(c[0], counted_as))) for call, c in rows]
            entry[figure] = solve(pairs)
            if figure == "insns":
                off = f"off by {_percent(errors(entry[figure], pairs))}"
                off += f"; left out {_percent(left_out(pairs))}" if folds else ""
                lines.append(f"  {line:22s} {kind:18s} {len(rows):3d} layers, {off}")
        table.setdefault(line, {})[kind] = entry
        for i, flash in enumerate(flashes):
            k, off = fit_stalls(rows, flash, i)
            waits[flash.key].setdefault(line, {})[kind] = k
            lines.append(f"    {flash.key:20s} off by {_percent(off)} of the call")
    return "\n".join(lines), table, waits


def fit_stalls(rows: Rows, flash: Flash, i: int) -> tuple[dict[str, dict[str, float]], list[float]]:
    """Coefficients of waiting for code and for data in one flash, the i-th that was counted; errors of their sum as
    shares of the whole call."""
    whole = [float(c[i].flash_cycles) for _, c in rows]
    found, off = {}, np.zeros(len(rows))
    for what in ("code", "data"):
        pairs = [(cost.stall_features(call, flash), float(getattr(c[i], f"{what}_stalls"))) for call, c in rows]
        k = found[what] = solve(pairs, whole)
        off += [(predict(k, f) - y) / w for (f, y), w in zip(pairs, whole, strict=True)]
    return found, off.tolist()


def _percent(shares: Sequence[float]) -> str:
    """Median and worst magnitude."""
    e = np.abs(shares)
    return f"{100 * np.median(e):4.1f} % ({100 * np.max(e):5.1f} %)" if len(e) else "-"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", nargs="+", default=list(RECORDED), choices=RECORDED)
    parser.add_argument("--left-out", action="store_true", help="errors of layers left out of the fit, in five folds")
    parser.add_argument("--only", nargs="+", default=[], help="parts of names of kernels; all others stay as they are")
    options = parser.parse_args(argv)
    parts: dict[str, Table] = {}
    waits: dict[str, dict[str, Stalls]] = {}
    with ThreadPoolExecutor(2) as pool:
        for core, (text, part, waiting) in zip(
            options.cores,
            pool.map(lambda c: fit_core(c, options.only, folds=options.left_out), options.cores),
            strict=True,
        ):
            print(text, flush=True)
            parts[core], waits[core] = part, waiting
    # read only now: another run may have written meanwhile
    for file in {cost.costs_file(get_core(core).arch) for core in parts}:
        known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        table = {core: part for core, part in known.items() if core in RECORDED}
        for core, part in parts.items():
            if cost.costs_file(get_core(core).arch) == file:
                table[core] = {**table.get(core, {}), **part} if options.only else part
        file.write_text(json.dumps(table, indent=0, sort_keys=True) + "\n", encoding="utf-8")
    for file in {cost.stalls_file(get_core(core).arch) for core in waits}:
        stalls: cost.Stalls = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        for core, by_flash in waits.items():
            if cost.stalls_file(get_core(core).arch) == file:
                for key, found in by_flash.items():
                    on_flash = stalls.setdefault(key, {})
                    on_flash[core] = {**on_flash.get(core, {}), **found} if options.only else found
        file.write_text(json.dumps(stalls, indent=0, sort_keys=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
