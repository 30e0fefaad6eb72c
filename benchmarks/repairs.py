"""The ladder of repairs, step by step, on the test halves: `python -m benchmarks.repairs [--json FILE] [CASE ...]`.

Each case is a network quantised so that something is lost. Steps are fitted to training samples and kept or left out by
samples held back from those; the figures here are of the test half, which nothing else sees. "scaled": the channels
between layers multiplied by factors from 2^-4 to 2^4, the function unchanged; "per tensor": one scale for all weights
of a layer, as older tools have it, pinned. The last table compares ways to round one network's weights to 4 bits.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.datasets import Array, dataset_for, shared_dir
from tinygen.calibrate.data import Samples
from tinygen.compress.finish import finish
from tinygen.compress.forms.bits import set_bits, weight_bytes
from tinygen.compress.network import Network, WeightForm, layers, snap, weights
from tinygen.compress.repairs.adaround import learned_rounding, round_weights
from tinygen.compress.repairs.against_float import AgainstFloat
from tinygen.compress.repairs.equalise import equalise, pairs
from tinygen.compress.repairs.ladder import GAIN_DB, repair
from tinygen.compress.repairs.steps import STEPS
from tinygen.compress.split import split, take
from tinygen.compress.statistics import Statistics, gather
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.ir.types import Const, Graph, Quant
from tinygen.ops import Conv
from tinygen.passes.pipeline import tidy

RESULTS = Path(__file__).parent / "results" / "repairs.json"
#: Samples to fit to, and of the test half.
FIT, TEST = 400, 1000


@dataclass(frozen=True, slots=True)
class Step:
    """After one step: kept by the ladder or not, and figures of the test half."""

    step: str
    kept: bool
    sqnr_db: float
    accuracy: float | None
    what: str


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    model: str
    make: Callable[[Graph], Network]
    #: The weights have one scale a layer.
    per_tensor: bool = False


def load(model: str) -> tuple[Graph, Samples, Samples]:
    """Tidied graph, samples to fit with, samples to test with."""
    graph = tidy(read_onnx(shared_dir() / "models" / f"{model}.onnx").graph)
    data = dataset_for(model)
    x, y = data.train if data.train is not None else (data.calib[0], None)
    fit = Samples((x,), y, model, "train")
    test = Samples((data.test[0],), data.labels if data.metric == "accuracy" else None, model, "test")
    return graph, _some(fit, FIT), _some(test, TEST)


def _some(samples: Samples, count: int) -> Samples:
    order = np.random.default_rng(0).permutation(samples.count)[:count]
    return take(samples, order, samples.source)


def scaled(graph: Graph) -> Network:
    """The same function with badly scaled channels, through ReLU, wherever one layer follows another."""
    rng = np.random.default_rng(0)
    network = Network(graph)
    for pair in pairs(network):
        g = network.graph
        w, b, v = (g.tensors[n] for n in (*pair.first.inputs[1:], pair.second.inputs[1]))
        f = np.exp2(rng.integers(-4, 5, len(w.array))).astype(np.float32)
        depthwise = isinstance(pair.second.op, Conv) and pair.second.op.groups > 1
        down = f.reshape(-1, *[1] * (v.array.ndim - 1)) if depthwise else np.tile(f, pair.repeat)
        up = f.reshape(-1, *[1] * (w.array.ndim - 1))
        tensors = [replace(w, const=Const(w.array * up)), replace(b, const=Const(b.array * f)),
                   replace(v, const=Const(v.array / down))]  # fmt: skip
        network = Network(g.with_(tensors=tensors))
    return network


def in_bits(bits: int) -> Callable[[Graph], Network]:
    """All layers, depthwise and small ones too."""
    return lambda graph: set_bits(Network(graph), bits, [n.name for n in layers(graph)])


def per_tensor(network: Network) -> Network:
    """Weights with one scale a layer, pinned."""
    pins = []
    for node in layers(network.graph):
        t = weights(network.graph, node)
        top = network.form(node.name).top
        scale = float(np.float32(np.abs(t.array).max() / top))
        pins.append(replace(t, quant=Quant((scale,) * len(t.array), 0, 0)))
    return replace(network, graph=network.graph.with_(tensors=pins))


CASES = (
    Case("fsdd_dscnn int8", "fsdd_dscnn_pt_legacy", Network),
    Case("fsdd_dscnn 4-bit weights", "fsdd_dscnn_pt_legacy", in_bits(4)),
    Case("fsdd_dscnn scaled", "fsdd_dscnn_pt_legacy", scaled),
    Case("fsdd_dscnn per tensor", "fsdd_dscnn_pt_legacy", scaled, per_tensor=True),
    Case("fm_dscnn int8", "fm_dscnn_pt_legacy", Network),
    Case("fm_dscnn 4-bit weights", "fm_dscnn_pt_legacy", in_bits(4)),
    Case("fm_dscnn per tensor", "fm_dscnn_pt_legacy", Network, per_tensor=True),
    Case("kws_dscnn int8", "kws_dscnn_pt_legacy", Network),
    Case("kws_dscnn 4-bit weights", "kws_dscnn_pt_legacy", in_bits(4)),
    Case("cifar_mbv3tiny int8", "cifar_mbv3tiny_pt_legacy", Network),
    Case("cifar_mbv3tiny per tensor", "cifar_mbv3tiny_pt_legacy", Network, per_tensor=True),
    Case("ic_resnet8 4-bit weights", "ic_resnet8_pt_legacy", in_bits(4)),
)


def ladder(case: Case, graph: Graph, fit: Samples, test: Samples) -> list[Step]:
    judge = AgainstFloat(graph, test)
    network = case.make(graph)

    def step(name: str, kept: bool, finished: Graph, what: str) -> Step:
        q = judge.quality(finished)
        return Step(name, kept, round(q.sqnr_db, 2), q.accuracy, what)

    if case.per_tensor:
        return _per_tensor_ladder(network, fit, step)
    done = repair(network, fit, steps=STEPS)
    first = step("none", True, done.plain, f"{weight_bytes(network):,} bytes of weights")
    return [first, *(step(r.step, r.kept, r.graph, r.text) for r in done.rows)]


def _per_tensor_ladder(network: Network, fit: Samples, step: Callable[[str, bool, Graph, str], Step]) -> list[Step]:
    """Scales of weights stay one for each layer until the last step, which gives every channel its own."""
    part, held = split(fit, 0)
    judge = AgainstFloat(network.graph, held)
    rows: list[Step] = []
    best = -math.inf

    def kept(name: str, tried: Network, bias: bool) -> bool:
        nonlocal best
        graph = finish(tried, part, bias=bias)
        found = judge.quality(graph).sqnr_db
        better = found >= best + GAIN_DB
        rows.append(step(name, better, graph, ""))
        best = found if better else best
        return better

    kept("none", per_tensor(network), False)
    equal = equalise(network, part)
    network = equal if kept("equalise", per_tensor(equal), False) else network
    bias = kept("bias", per_tensor(network), True)
    kept("round", learned_rounding(per_tensor(network), part), bias)
    kept("scale for each channel", network, bias)
    return rows


# Ways to round --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rounding:
    """A way to round all layers of a network to 4 bits: the power of the change of the layers' outputs relative to
    theirs, the mean over the layers, and seconds."""

    way: str
    error: float
    seconds: float


def adaround_adam(
    w: Array, form: WeightForm, s: Statistics, scale: Array, steps: int = 1000, rate: float = 0.01
) -> Array:
    """AdaRound as published, on the same loss: h in [0, 1] decides between rounding down and up, pressed to its ends by
    a regulariser whose exponent falls from 20 to 2; Adam. Returns integers."""
    c, split_w = s.estimate(), s.split(w)
    sc = scale.reshape(split_w.shape[:2])[:, :, None]
    low = np.floor(split_w / sc)
    rest = split_w / sc - low
    v = -np.log(1.2 / (rest + 0.1) - 1.0)
    m1, m2 = np.zeros_like(v), np.zeros_like(v)
    norm = np.maximum(np.einsum("gok,gkl,gol->go", split_w, c, split_w).mean(), 1e-30)
    for t in range(1, steps + 1):
        sig = 1.0 / (1.0 + np.exp(-v))
        h = np.clip(1.2 * sig - 0.1, 0.0, 1.0)
        inside = (h > 0.0) & (h < 1.0)
        off = (low + h) * sc - split_w
        gradient = 2.0 * np.einsum("gok,gkl->gol", off, c) * sc / norm
        if t > steps // 5:
            beta = 20.0 - 18.0 * (t - steps // 5) / (steps - steps // 5)
            u = 2.0 * h - 1.0
            gradient = gradient - 0.01 / h[0].size * 2.0 * beta * np.sign(u) * np.abs(u) ** (beta - 1.0)
        g = gradient * 1.2 * sig * (1.0 - sig) * inside
        m1, m2 = 0.9 * m1 + 0.1 * g, 0.999 * m2 + 0.001 * g * g
        v = v - rate * (m1 / (1 - 0.9**t)) / (np.sqrt(m2 / (1 - 0.999**t)) + 1e-12)
    h = np.clip(1.2 / (1.0 + np.exp(-v)) - 0.1, 0.0, 1.0)
    return np.asarray(np.clip(low + (h >= 0.5), -form.top, form.top).reshape(w.shape))


def roundings(graph: Graph, fit: Samples) -> list[Rounding]:
    form = WeightForm(4)
    found = gather(graph, fit)
    plans: dict[str, Callable[[Array, Statistics, Array], Array]] = {
        "to nearest": lambda w, s, scale: snap(w, form, scale)[0],
        "AdaRound, Adam, 1000 steps": lambda w, s, scale: adaround_adam(w, form, s, scale),
        "feedback and descent": lambda w, s, scale: round_weights(w, form, s, scale)[0],
    }
    rows = []
    for way, plan in plans.items():
        errors, start = [], time.perf_counter()
        for node in layers(graph):
            w, s = weights(graph, node).array, found[node.name]
            _, scale = round_weights(w, form, s)
            q = plan(w, s, scale)
            errors.append(s.relative_error(w, q * scale.reshape(-1, *[1] * (w.ndim - 1))))
        rows.append(Rounding(way, float(np.mean(errors)), round(time.perf_counter() - start, 2)))
    errors, start = [], time.perf_counter()
    for node in layers(graph):
        w = weights(graph, node).array
        q, scale = snap(w, form)
        errors.append(found[node.name].relative_error(w, q * scale.reshape(-1, *[1] * (w.ndim - 1))))
    plain = Rounding("to nearest, scale of the largest weight", float(np.mean(errors)), time.perf_counter() - start)
    return [plain, *rows]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--json", type=Path)
    parser.add_argument("cases", nargs="*", help="parts of their names; all unless given")
    options = parser.parse_args(arguments)
    out: dict[str, Any] = {"cases": [], "rounding": {}}
    chosen = [c for c in CASES if not options.cases or any(k in c.name for k in options.cases)]
    for model, cases in itertools.groupby(chosen, lambda c: c.model):
        graph, fit, test = load(model)
        real = AgainstFloat(graph, test).float_accuracy
        for case in cases:
            start = time.perf_counter()
            steps = ladder(case, graph, fit, test)
            print(f"\n{case.name} (float {real}), {time.perf_counter() - start:.0f} s")
            for s in steps:
                accuracy = "" if s.accuracy is None else f"{s.accuracy:.4f}"
                print(f"  {s.step:24s}{s.sqnr_db:7.2f} dB {accuracy:8s}{'' if s.kept else 'left out'}  {s.what[:60]}")
            sys.stdout.flush()
            out["cases"].append({"case": case.name, "float": real, "steps": [asdict(s) for s in steps]})
            if options.json:
                options.json.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    for model in ("fsdd_dscnn_pt_legacy", "ic_resnet8_pt_legacy"):
        if options.cases and not any(k in model for k in options.cases):
            continue
        graph, fit, _ = load(model)
        rows = roundings(graph, fit)
        print(f"\n4-bit weights of {model}: mean relative error of the layers' outputs")
        for r in rows:
            print(f"  {r.way:42s}{r.error:.2e}  {r.seconds:.1f} s")
        out["rounding"][model] = [asdict(r) for r in rows]
    if options.json:
        options.json.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
