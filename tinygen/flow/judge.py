"""The verdict on a build: what the integers are worth against the float network, on samples that nothing was fitted to;
where damage begins; and the repairs that are tried before a destroyed network is refused.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tinygen import simulate
from tinygen.calibrate.data import Samples, part
from tinygen.calibrate.floatrun import FloatModel
from tinygen.compress.finish import finish
from tinygen.compress.network import Network, layers
from tinygen.compress.repairs.ladder import repair
from tinygen.compress.split import LEAST, VALIDATION, split
from tinygen.errors import AccuracyError, ModelError, TinygenError
from tinygen.flow.gates import Gates, check_accuracy
from tinygen.flow.measures import Grade, figures
from tinygen.flow.verdict import LayerAccuracy, Verdict, damage, precision
from tinygen.frontend.onnx_reader import Imported
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import Graph, Port, Tensor
from tinygen.numerics import Array, dequantise
from tinygen.ops import Operator
from tinygen.ops.base import need_quant
from tinygen.passes.quantise import quantise
from tinygen.progress import Progress, no_progress

#: Samples that judge, unless --test gives others: at most, at least, and between them as many as take this many
#: multiply-accumulates, so that a build takes hardly longer.
MOST_JUDGES, LEAST_JUDGES, JUDGE_MACS = 256, 64, 1_000_000_000
#: The seed of the split where samples are few.
_SEED = 0
#: More samples to calibrate with are advised below this.
_FEW_SAMPLES = 200

# -- who judges ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """The samples that judge. `source`: a phrase for reports ("256 samples held back"); `unseen`: nothing was fitted
    to them; `notes`: what the user should know of them."""

    samples: Samples
    source: str
    unseen: bool = True
    notes: tuple[str, ...] = ()


def judges_wanted(graph: Graph) -> int:
    """How many samples judge a network of this size."""
    macs = sum(n.op.macs(graph.ins(n), graph.outs(n)[0]) for n in graph.nodes if isinstance(n.op, Operator))
    return max(LEAST_JUDGES, min(MOST_JUDGES, JUDGE_MACS // max(1, macs)))


def hold_back(samples: Samples, calibrate: int, judges: int) -> tuple[Samples, Held]:
    """(the samples to calibrate with, those that judge): the first `calibrate`, and those behind them; where behind
    them is less than a fifth, a fifth of every class is held back. Fewer than LEAST samples do both."""
    n = samples.count
    if n < LEAST:
        why = f"{n} samples are too few to hold some back: those that judge are those that calibrated."
        return part(samples, slice(0, calibrate)), Held(samples, f"{n} samples, not held back", False, (why,))
    if n - calibrate >= VALIDATION * n:
        first, rest = part(samples, slice(0, calibrate)), part(samples, slice(calibrate, calibrate + judges))
    else:
        fit, rest = split(samples, _SEED)
        first, rest = part(fit, slice(0, calibrate)), part(rest, slice(0, judges))
    return first, unseen(rest, first, "held back")


def all_judge(samples: Samples, calibrate: int, judges: int) -> tuple[Samples, Held]:
    """The same for a network whose scales are all known: nothing is fitted to any sample."""
    held = part(samples, slice(0, judges))
    return part(samples, slice(0, calibrate)), Held(held, f"{held.count} samples")


def unseen(judges: Samples, calibration: Samples, kind: str) -> Held:
    """`judges` without those that calibrate as well; where none is left, all of them, and that is said."""
    new = _new(judges, calibration)
    same = judges.count - int(new.sum())
    if same == judges.count:
        why = f"every one of the {same} samples {kind} also calibrates: the figures flatter. Give others with --test."
        return Held(judges, f"{same} samples that also calibrate", False, (why,))
    notes: list[str] = []
    if same:
        notes.append(f"{same} of the {judges.count} samples {kind} also calibrate: they are left out of the verdict.")
        judges = part(judges, np.flatnonzero(new))
    classes = _classes(judges)
    if classes is not None and len(classes) == 1 and judges.count > 1:
        notes.append(
            f"the {judges.count} samples {kind} all have the label {classes[0]:g}: they say nothing of other classes. "
            "Shuffle the file, or give --test."
        )
    return Held(judges, f"{judges.count} samples {kind}", True, tuple(notes))


def _classes(samples: Samples) -> Array | None:
    labels = samples.labels
    return np.unique(labels) if labels is not None and labels.ndim == 1 else None


def _new(judges: Samples, calibration: Samples) -> Array:
    """Of each sample of `judges`: is it none of `calibration`? bool (n,)."""

    def sums(s: Samples) -> Array:
        return sum((x.reshape(len(x), -1).sum(axis=1, dtype=np.float64) for x in s.inputs), np.zeros(s.count))

    def digest(s: Samples, i: int) -> bytes:
        return hashlib.sha256(b"".join(np.ascontiguousarray(x[i]).tobytes() for x in s.inputs)).digest()

    a, b = sums(judges), sums(calibration)
    new = ~np.isin(a, b)  # equal samples have equal sums
    if not new.all():
        known = {digest(calibration, int(i)) for i in np.flatnonzero(np.isin(b, a))}
        for i in np.flatnonzero(~new):
            new[i] = digest(judges, int(i)) not in known
    return new


# -- the verdict -----------------------------------------------------------------------------------------------------


class Judge:
    """The float network's answers on the samples that judge; `verdict` compares those of a FIXED graph with them.

    `graph`: the tidied FLOAT graph. A pre-quantised model is compared with its own file in onnxruntime, as the float
    network without its rounding is another one.
    """

    def __init__(self, imported: Imported, graph: Graph, held: Held, progress: Progress = no_progress) -> None:
        self.graph, self.held = graph, held
        self.reference = "onnxruntime" if imported.quantised else "float"
        run = _run_file if imported.quantised else run_float
        self.real = run(imported, graph, held.samples.inputs, progress)

    def verdict(
        self,
        fixed: Graph,
        seen: Sequence[LayerAccuracy] = (),
        repairs: Sequence[str] = (),
        progress: Progress = no_progress,
    ) -> Verdict:
        """`seen`: accuracy of the layers, in order of execution; `repairs`: what was done to the network."""
        progress("judging", 0, 1)
        s = self.held.samples
        outputs = simulate.run(fixed, simulate.quantise_inputs(fixed, s.inputs))
        found = figures(self.graph, self.real, simulate.dequantise_outputs(fixed, outputs), s)
        progress("judging", 1, 1)
        verdict = Verdict(
            precision(fixed), self.reference, found, s.count, self.held.source, self.held.unseen, s.sha256,
            repairs=tuple(repairs),
        )  # fmt: skip
        return replace(verdict, damage=damage(self.graph, seen)) if verdict.grade > Grade.KEEPS else verdict


def run_float(_: Imported, graph: Graph, inputs: Sequence[Array], progress: Progress) -> list[Array]:
    """Outputs of the tidied float network by onnxruntime, in ONNX layout."""
    session = FloatModel(to_onnx(graph))
    moved = [port.to_tensor(x) for port, x in zip(graph.in_ports, inputs, strict=True)]
    found = session.run_many(moved, lambda d, t: progress("float", d, t))
    by_name = dict(zip(session.output_names, found, strict=True))
    return [
        port.to_onnx(by_name[n].reshape(-1, *graph.tensors[n].shape))
        for n, port in zip(graph.outputs, graph.out_ports, strict=True)
    ]


class NoReferenceError(ModelError):
    """onnxruntime does not run a pre-quantised file, so there is nothing to compare with."""


def _run_file(imported: Imported, graph: Graph, inputs: Sequence[Array], progress: Progress) -> list[Array]:
    """Outputs of the file itself by onnxruntime, rounding where it says; integers at its edges become real numbers.
    NoReferenceError where onnxruntime does not run it."""
    own = imported.graph

    def centre(kind: str) -> int:
        """What graphs see less of an unsigned code."""
        return (np.iinfo(kind).max + 1) // 2 if kind.startswith("u") else 0

    def codes(x: Array, tensor: Tensor, kind: str, port: Port) -> Array:
        if np.dtype(kind).kind == "f" or port.codes:
            return x.astype(kind)
        scale, zero = need_quant(tensor)
        info = np.iinfo(kind)
        q: Array = np.clip(np.rint(x.astype(np.float64) / scale) + zero + centre(kind), info.min, info.max)
        return q.astype(kind)

    def real(y: Array, tensor: Tensor, kind: str, port: Port) -> Array:
        if np.dtype(kind).kind != "f":
            y = dequantise(y.astype(np.int32) - centre(kind), *need_quant(tensor))
        return y.reshape(-1, *port.shape)

    tensors, kinds = own.tensors, (imported.input_types, imported.output_types)
    fed = {
        port.name: codes(x, tensors[n], kind, port)
        for port, n, kind, x in zip(graph.in_ports, own.inputs, kinds[0], inputs, strict=True)
    }
    try:
        session = FloatModel(imported.original, as_written=True)
        found = session.run_many([fed[n] for n in session.input_names], lambda d, t: progress("onnxruntime", d, t))
    except ModelError as e:
        raise NoReferenceError(f"onnxruntime does not run the file to compare with ({e})") from e
    by_name = dict(zip(session.output_names, found, strict=True))
    return [
        real(by_name[port.name], tensors[n], kind, port)
        for port, n, kind in zip(graph.out_ports, own.outputs, kinds[1], strict=True)
    ]


# -- repairs and refusal ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rescue:
    """What the ladder of repairs came to: the finished FLOAT graph (None where no step helped or could be tried) with
    the accuracy of its layers, the steps kept, and what all of them said."""

    graph: Graph | None
    kept: tuple[str, ...]
    tried: str
    layers: tuple[LayerAccuracy, ...] = ()


def rescue(
    graph: Graph, calibration: Samples, method: str, wide: Collection[str] = (), progress: Progress = no_progress
) -> Rescue:
    """The repairs of `tinygen quantize`, fitted to and chosen on the calibration samples alone."""
    if not layers(graph):
        return Rescue(None, (), "no repairs: no layer has weights")
    try:
        done = repair(Network(graph, wide=frozenset(wide)), calibration, widen=True, method=method, progress=progress)
    except TinygenError as e:
        return Rescue(None, (), f"repairs could not be tried: {e}")
    said = "; ".join(f"{r.step} ({r.text or 'nothing'}{'' if r.kept else ', left out'})" for r in done.rows)
    kept = tuple(f"{r.step}: {r.text}" for r in done.rows if r.kept)
    seen = (LayerAccuracy(a.tensor, a.title, done.graph.producer[a.tensor].origin, a.sqnr_db) for a in done.after)
    return Rescue(done.graph if kept else None, kept, f"repairs tried: {said}", tuple(seen))


def in_int16(bench: Judge, calibration: Samples, method: str, progress: Progress = no_progress) -> Verdict | None:
    """What the network would be worth with all activations in int16; None where that cannot be tried."""
    every = frozenset(t.name for t in bench.graph.tensors.values() if t.const is None)
    try:
        done = finish(Network(bench.graph, wide=every), calibration, method=method, bias=False, progress=progress)
        return bench.verdict(quantise(done, {}))
    except TinygenError:
        return None


def _refusal(
    name: str, verdict: Verdict, seen: Sequence[LayerAccuracy], calibration: int, tried: str, wide: Verdict | None
) -> AccuracyError:
    """The error of a network that is not worth building: figures, where damage begins, what may help. `wide`: what all
    activations in int16 would make of it; None where they cannot be had, or it has them."""
    worst = max(verdict.figures, key=lambda f: f.grade)
    assert worst.limits is not None
    if worst.decibel:
        allowed = f"allowed is {-worst.limits.damages:g} dB or more"
    else:
        allowed = f"allowed is a fall of {100 * worst.limits.damages:g} points"
    lines = [f'"{name}": {verdict}; {allowed}.']
    if verdict.damage is not None:
        lines.append(f"  The damage begins at {verdict.damage}.")
    if tried:
        lines.append(f"  {tried[0].upper()}{tried[1:]}.")
    if wide is not None and wide.ruined:
        lines.append(f"  Activations in int16 do not help: {wide.main}.")
    advice = []
    if wide is not None and not wide.ruined:
        noisy = [a for a in sorted(seen, key=lambda a: a.sqnr_db) if a.origin and math.isfinite(a.sqnr_db)][:3]
        names = ",".join(a.origin[-1] for a in noisy)
        advice.append(f"--activations 16 ({wide.main}), or only the noisiest layers: --activations {names}")
    if calibration < _FEW_SAMPLES:
        advice.append(f"more calibration samples than {calibration}")
    if verdict.reference == "float":
        advice.append("inputs whose channels have similar ranges")
    else:
        advice.append("a new quantisation from the float model")
    advice.append("--accept-loss builds it all the same")
    lines.append("  What may help: " + "; ".join(advice) + ".")
    return AccuracyError("\n".join(lines))


# -- judgement -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Terms:
    """What a judgement goes by: the method of calibration and the tensors in int16, for repairs; whether those are
    allowed; whether a loss is accepted; what the user demands."""

    method: str
    wide: frozenset[str] = frozenset()
    repair: bool = True
    accept_loss: bool = False
    gates: Gates = field(default_factory=Gates)


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict; of a network that was repaired its FIXED graph, not yet simplified; the accuracy of its layers."""

    verdict: Verdict
    repaired: Graph | None
    layers: tuple[LayerAccuracy, ...]
    notes: tuple[str, ...]


def judged(
    imported: Imported, graph: Graph, fixed: Graph, seen: tuple[LayerAccuracy, ...], calibration: Samples, held: Held,
    terms: Terms, progress: Progress = no_progress,
) -> Judged:  # fmt: skip
    """The verdict on `fixed`, made from the tidied FLOAT `graph` with the samples `calibration`; `seen`: accuracy of
    its layers. One that is destroyed, or misses a gate, is repaired first, if that helps.

    AccuracyError for a network that is worth too little all the same, and whose loss is not accepted; for a gate that
    is missed always.
    """
    name, notes, tried = imported.graph.name, list(held.notes), ""
    bench, repaired = Judge(imported, graph, held, progress), None
    verdict = bench.verdict(fixed, seen, progress=progress)
    wanting = (verdict.ruined and not terms.accept_loss) or check_accuracy(terms.gates, verdict)[0]
    if wanting and terms.repair and not imported.quantised:
        found = rescue(graph, calibration, terms.method, terms.wide, progress)
        tried = found.tried
        if found.graph is not None:
            mended = quantise(found.graph, {})
            again = bench.verdict(mended, found.layers, found.kept, progress)
            if (again.grade, again.main.fall) < (verdict.grade, verdict.main.fall):
                notes.append(f"repaired ({'; '.join(found.kept)}): before, {verdict}")
                repaired, verdict, seen = mended, again, found.layers
    if verdict.ruined and not terms.accept_loss:
        may = verdict.precision != "int16" and not imported.quantised
        wide = in_int16(bench, calibration, terms.method, progress) if may else None
        raise _refusal(name, verdict, seen, calibration.count, tried, wide)
    verdict = replace(verdict, accepted=verdict.ruined)
    failed, warned = check_accuracy(terms.gates, verdict)
    if failed:
        raise AccuracyError("\n".join([f'"{name}": {verdict}.', *(f"  {f}" for f in failed)]))
    return Judged(verdict, repaired, seen, (*notes, *warned))
