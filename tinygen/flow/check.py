"""Is what was imported what the file says? Checked in every build, before anything is emitted.

A float model: its network before and after tidying, in onnxruntime. A pre-quantised model: the integers of the FIXED
graph against an independent reading of the file (calibrate/reading/) and against onnxruntime with its optimisations
off, layer by layer: each layer gets the file's own integers, so what one rounds otherwise does not reach the next, and
a layer that is right differs only where the number before rounding is a tie, to within the error of its multiplier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinygen.calibrate.data import Samples
from tinygen.calibrate.floatrun import FloatModel
from tinygen.calibrate.graph import run_reference, run_tensors, to_tensors
from tinygen.calibrate.perturb import perturbed
from tinygen.calibrate.reading.file import Reading, Run
from tinygen.calibrate.reading.values import Rounded, Unreadable
from tinygen.calibrate.runtime import sums_are_exact, with_outputs
from tinygen.errors import ModelError, VerifyError
from tinygen.flow.layerwise import MAY_DIFFER, Comparison, Layer
from tinygen.flow.spread import spanning
from tinygen.frontend.onnx_reader import Imported
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import Graph
from tinygen.numerics import Array, dequantise
from tinygen.ops import ArgMax, Unary
from tinygen.ops.base import need_quant

REPORT = "This is a fault in tinygen: please report it with the model."

#: Samples of a pre-quantised model: 32, more where the network is so small that they cost nothing.
SAMPLES, MOST_SAMPLES, CHEAP_VALUES = 32, 256, 400_000
#: And so many in which every layer gets integers over the whole range, whatever those before it made.
SPREAD = 8
#: A network with more values in all its activations than this is for no microcontroller: a few samples do.
LARGE, FEW = 1 << 21, 4
#: Values of all activations that are held at a time.
CHUNK_VALUES = 1_000_000


@dataclass(frozen=True, slots=True)
class ImportCheck:
    """What was compared with what, and what came out. `against`: in words, for the notes and the certificate."""

    kind: str
    samples: int = 0
    layers: tuple[Layer, ...] = ()
    missing: tuple[str, ...] = ()
    runtime: str = ""
    notes: tuple[str, ...] = field(default=())

    def record(self) -> dict[str, Any]:
        """For the certificate."""
        if self.kind != "quantised":
            return {"compared": self.kind}
        held = [r for r in self.layers if r.held]
        return {
            "compared": "the file's integers, layer by layer, read independently",
            "onnxruntime": self.runtime,
            "samples": self.samples,
            "layers": len(held),
            "layers_with_floats": len(self.layers) - len(held),
            "values": sum(r.values for r in held),
            "ties": sum(r.ties for r in held),
            "ties_that_differ": sum(r.ties_differ for r in held),
            "others_that_differ": sum(r.differ for r in held),
            "most_steps": max((r.worst for r in held), default=0),
        }


NOT_CHECKED = ImportCheck("nothing")


def check_import(imported: Imported, graph: Graph, fixed: Graph, samples: Samples, *, synthetic: bool) -> ImportCheck:
    """Raise VerifyError when the tidied network, or the FIXED graph of a pre-quantised model, does not compute what the
    ONNX file computes. `fixed`: not simplified. `synthetic`: no data were given."""
    if imported.quantised and Reading(imported.original).points:
        if fixed.states:
            why = "the file's integers were not checked layer by layer: the network keeps a state"
            return ImportCheck("nothing", notes=(why,))
        return check_quantised(imported, fixed, samples, synthetic=synthetic)
    return check_float(imported, graph, samples)


# Float models --------------------------------------------------------------------------------------------------------

#: Float networks before and after tidying may differ by so much of the largest output. Folding a BatchNorm or
#: reordering a sum of n terms moves a float32 by about n * 2^-24 of its largest term; 2^-8 allows sums of 65,536 terms.
IMPORT_TOLERANCE = 2.0**-8
#: Steps of a stream, of a network that keeps a state.
STEPS = 8
#: A sum in another order is the exact sum of terms that are off by n * 2^-24 each: so much do the weights change in
#: order to see what that does to the outputs, and so many times.
SHAKE, SHAKES = 2.0**-16, 4


def check_float(imported: Imported, graph: Graph, samples: Samples) -> ImportCheck:
    """The network as tidied against the file, both in onnxruntime, on two samples.

    Where they differ by more than rounding in the outputs would explain, terms much larger than the outputs may have
    cancelled: then the file's own outputs move as much when its weights change in the last bits. Not for networks with
    steps (ArgMax, Round), where the last bit of a float may decide.
    """
    if any(isinstance(n.op, ArgMax) or (isinstance(n.op, Unary) and n.op.has_steps) for n in graph.nodes):
        return ImportCheck("nothing: the network has steps")
    few = [x[:2, :STEPS] if graph.states else x[:2] for x in samples.inputs]
    given = few
    if {"int8", "uint8", "int16"} & set(imported.input_types):  # the file takes codes
        fed = _feeds(imported, imported.graph, few)
        given = [fed[port.name] for port in imported.graph.in_ports]
    real = run_reference(imported, FloatModel(imported.original), given)
    found = run_tensors(graph, FloatModel(to_onnx(graph)), to_tensors(graph, few))
    unrest: dict[str, float] | None = None
    for tensor, port in zip(graph.outputs, graph.out_ports, strict=True):
        a = real[port.name].astype(np.float64)
        b = port.to_onnx(found[tensor]).reshape(a.shape)
        worst, largest = float(np.max(np.abs(a - b), initial=0.0)), float(np.max(np.abs(a), initial=0.0))
        if worst <= IMPORT_TOLERANCE * max(largest, 1e-6):
            continue
        if unrest is None:
            unrest = _unrest(imported, few, real)
        if not worst <= unrest[port.name]:
            raise VerifyError(
                f'output "{port.name}": the network as tinygen read it differs from the ONNX file in onnxruntime '
                f"by {worst:.3g} (largest output {largest:.3g}; when the weights change by 2^-16 of themselves, the "
                f"file's own output moves by {unrest[port.name]:.3g}). {REPORT}"
            )
    notes = () if unrest is None else ("outputs hang on the last bits of floats: terms far larger than they cancel",)
    return ImportCheck("the float network with the file, in onnxruntime", len(few[0]), notes=notes)


def _unrest(imported: Imported, inputs: Sequence[Array], real: Mapping[str, Array]) -> dict[str, float]:
    """How far each output of a model moves when its float constants change by SHAKE of themselves."""
    moves = dict.fromkeys(real, 0.0)
    for seed in range(SHAKES):
        shaken = FloatModel(perturbed(imported.original, SHAKE, seed))
        for name, y in run_reference(imported, shaken, inputs).items():
            moves[name] = max(moves[name], float(np.max(np.abs(y.astype(np.float64) - real[name]), initial=0.0)))
    return moves


# Pre-quantised models ------------------------------------------------------------------------------------------------


def check_quantised(imported: Imported, fixed: Graph, samples: Samples, *, synthetic: bool) -> ImportCheck:
    """The FIXED graph against the file's integers, layer by layer."""
    reading = Reading(imported.original)
    inputs = test_inputs(fixed, samples, synthetic=synthetic)
    count, values = len(inputs[0]), sum(t.size for t in fixed.tensors.values() if t.const is None)
    session, runtime = _runtime(imported.original, reading)
    notes = [] if session is not None else [f"import check: {runtime}"]
    comparison = Comparison(fixed, reading)
    step = max(1, CHUNK_VALUES // max(values, 1))
    for i in range(0, count, step):
        part = [x[i : i + step] for x in inputs]
        feeds = _feeds(imported, fixed, part)
        given = None if session is None else _run(session, reading, feeds)
        try:
            run = reading.run(feeds, given)
        except Unreadable as e:
            if given is None:
                return ImportCheck("nothing", notes=(f"the file's integers were not checked: {e}; {runtime}",))
            notes.append(f"import check against onnxruntime alone: {e}")
            run = _as_read(reading, given)
        comparison.compare(part, run, given)
    for i in range(0, min(SPREAD, count), step):
        part = [x[i : min(i + step, SPREAD)] for x in inputs]
        given = comparison.spread_codes(len(part[0]), i)
        with suppress(Unreadable):  # said above, or only of integers that the data do not give
            comparison.compare(part, reading.run(_feeds(imported, fixed, part), given), given, runtime=False)
    check = ImportCheck("quantised", count, comparison.layers, comparison.missing, runtime, tuple(dict.fromkeys(notes)))
    verdict(check)
    free = sum(not r.held for r in check.layers)
    if free:
        said = (
            f"import check: {free} of {len(check.layers)} layers are not held to one step: the file leaves "
            "their weights, or values before them, in float, or has 16 bits"
        )
        check = replace(check, notes=(*check.notes, said))
    return check


def verdict(check: ImportCheck) -> None:
    """Raise VerifyError naming the first layer that differs."""
    bad = [r for r in check.layers if r.held and r.is_wrong]
    if not bad:
        return
    r = bad[0]
    against = ("onnxruntime's", r.runtime_differ, r.runtime_worst)
    if r.misread:
        against = ("the file's", r.differ, r.worst)
    lost = (
        f" The quantisation of {', '.join(check.missing[:3])}, which the file has, is not in the integer network."
        if check.missing
        else ""
    )
    whose, differ, worst = against
    allowed = f"one step, nearly at ties, for {MAY_DIFFER:.1%} at most"
    if r.may_differ > 2.0 * MAY_DIFFER * r.values + 20.0:  # an operator that is itself an approximation
        share = min(r.may_differ / max(r.values, 1), 1.0)
        allowed = f"{r.steps} step{'s' if r.steps > 1 else ''} for {share:.1%} at most"
    raise VerifyError(
        f'the first layer that differs from the file is {r.op} "{r.node}" (value "{r.value}"): of {r.values} integers '
        f"on {check.samples} samples {differ} differ from {whose} where the exact value is no tie, by up to {worst} "
        f"step{'s' if worst > 1 else ''}; allowed is {allowed}. "
        f"{len(bad)} of {len(check.layers)} layers differ.{lost} {REPORT}"
    )


def test_inputs(fixed: Graph, samples: Samples, *, synthetic: bool) -> list[Array]:
    """Real inputs, (samples, *ONNX shape): half of them the data, where there are any, the rest spanning the codes."""
    values = sum(t.size for t in fixed.tensors.values() if t.const is None)
    count = int(np.clip(CHEAP_VALUES // max(values, 1), SAMPLES, MOST_SAMPLES))
    count = FEW if values > LARGE else count
    known = 0 if synthetic else min(len(samples.inputs[0]), count // 2)
    found = []
    for i, (name, port) in enumerate(zip(fixed.inputs, fixed.in_ports, strict=True)):
        codes = spanning(fixed.tensors[name], count - known, i)
        made = port.whole(port.to_outside(dequantise(codes, *need_quant(fixed.tensors[name]))).astype(np.float32))
        found.append(np.concatenate([samples.inputs[i][:known].astype(np.float32), made]))
    return found


def _feeds(imported: Imported, fixed: Graph, inputs: Sequence[Array]) -> dict[str, Array]:
    """The file's inputs: floats as they are, integers as the codes that stand for them."""
    feeds = {}
    for name, port, kind, x in zip(fixed.inputs, fixed.in_ports, imported.input_types, inputs, strict=True):
        if port.codes:
            x = port.whole(x).astype(kind)
        elif np.dtype(kind).kind in "iu":
            scale, zero = need_quant(fixed.tensors[name])
            info = np.iinfo(kind)
            shift = (info.max + info.min + 1) // 2 if kind.startswith("u") else 0
            x = np.clip(np.rint(x.astype(np.float64) / scale) + zero + shift, info.min, info.max).astype(kind)
        feeds[port.name] = x
    return feeds


def _runtime(model: bytes, reading: Reading) -> tuple[FloatModel | None, str]:
    """onnxruntime with its optimisations off and every point as an output; or None, and why it is not used."""
    if any(p.op != "QuantizeLinear" for p in reading.points.values()) and not sums_are_exact():
        return None, "onnxruntime's own sums of 8-bit products saturate on this processor; not used"
    try:
        return with_outputs(model, list(reading.points)), "agrees"
    except ModelError as e:
        return None, f"onnxruntime does not run the file ({e})"


def _run(session: FloatModel, reading: Reading, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The integers of every point, and the outputs."""
    found = session.run_many([feeds[n] for n in session.input_names])
    by_name = dict(zip(session.output_names, found, strict=True))
    return by_name


def _as_read(reading: Reading, given: Mapping[str, Array]) -> Run:
    """onnxruntime's integers where the reading stops; nothing is known of ties."""
    rounded = {n: Rounded(given[n], np.zeros(given[n].shape, np.float32)) for n in reading.points}
    return Run(rounded, {n: given[n] for n in reading.outputs})
