"""The verdict on a network: what the integers are worth against the float network, on samples that nothing was fitted
to. One that is destroyed is repaired first, where that helps, or refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tinygen import simulate
from tinygen.calibrate.floatrun import FloatModel
from tinygen.calibrate.graph import run_float, run_reference
from tinygen.errors import AccuracyError, ModelError
from tinygen.flow.gates import Terms, check_accuracy
from tinygen.flow.held import Held
from tinygen.flow.measures import Grade, drift, figures
from tinygen.flow.quantised import calibrate
from tinygen.flow.rescue import pinned, refusal, rescue
from tinygen.flow.types import Judged, Loaded, Quantised
from tinygen.flow.verdict import LayerAccuracy, Verdict, damage, of_steps, precision
from tinygen.frontend.onnx_reader import Imported
from tinygen.ir.types import Graph, Port, Tensor
from tinygen.numerics import Array, dequantise
from tinygen.ops.base import need_quant
from tinygen.passes import simplify
from tinygen.passes.base import apply
from tinygen.passes.quantise import quantise
from tinygen.passes.widths import asked_wide
from tinygen.progress import Progress, no_progress


class Judge:
    """The float network's answers on the samples that judge; `verdict` compares those of a FIXED graph with them.

    `graph`: the tidied FLOAT graph. A pre-quantised model is compared with its own file in onnxruntime, as the float
    network without its rounding is another one.
    """

    def __init__(self, imported: Imported, graph: Graph, held: Held, progress: Progress = no_progress) -> None:
        self.graph, self.held = graph, held
        self.reference = "onnxruntime" if imported.quantised else "float"
        run = _run_file if imported.quantised else _run_graph
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
        integer = simulate.dequantise_outputs(fixed, outputs)
        found = figures(self.graph, self.real, integer, s, streams=bool(self.graph.states))
        progress("judging", 1, 1)
        source = self.held.source + (of_steps(s) if self.graph.states else "")
        verdict = Verdict(
            precision(fixed), self.reference, found, s.count, source, self.held.unseen, s.sha256,
            repairs=tuple(repairs), drift=drift(self.real, integer) if self.graph.states else (),
        )  # fmt: skip
        return replace(verdict, damage=damage(self.graph, seen)) if verdict.grade > Grade.KEEPS else verdict


def _run_graph(_: Imported, graph: Graph, inputs: Sequence[Array], progress: Progress) -> list[Array]:
    """Outputs of the tidied float network by onnxruntime, in ONNX layout."""
    return run_float(graph, inputs, lambda d, t: progress("float", d, t))


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
        return y.reshape(*lead, *port.shape)

    tensors, kinds = own.tensors, (imported.input_types, imported.output_types)
    fed = {
        port.name: codes(x, tensors[n], kind, port)
        for port, n, kind, x in zip(graph.in_ports, own.inputs, kinds[0], inputs, strict=True)
    }
    try:
        session = FloatModel(imported.original, as_written=True)
        given = [fed[n] for n in session.input_names if n in fed]
        by_name = run_reference(imported, session, given, lambda d, t: progress("onnxruntime", d, t))
    except ModelError as e:
        raise NoReferenceError(f"onnxruntime does not run the file to compare with ({e})") from e
    lead = inputs[0].shape[: 2 if graph.states else 1]
    return [
        real(by_name[port.name], tensors[n], kind, port)
        for port, n, kind in zip(graph.out_ports, own.outputs, kinds[1], strict=True)
    ]


#: Outputs below so many dB on made-up inputs are worth a warning.
GROSS_DB = 10.0


def judged(
    model: Quantised,
    method: str,
    activations: str,
    terms: Terms,
    progress: Progress = no_progress,
    reference: Loaded | None = None,
) -> Judged:
    """The verdict on a model by the samples it holds for that; without any, none. One that is destroyed, or misses a
    gate, is repaired first, if that helps: calibrated by `method`, with `activations` in int16 as they were.
    `reference`: the float network that it is compared with, where that is another than its own.

    AccuracyError for a network that is worth too little all the same, and whose loss is not accepted; for a gate that
    is missed always.
    """
    if model.held is None:
        check_accuracy(terms.gates, None)
        return Judged(model, None, _of_made_up(model))
    try:
        of = reference or Loaded(model.imported, model.tidy)
        bench = Judge(of.imported, of.tidy, model.held, progress)
    except NoReferenceError as e:
        check_accuracy(terms.gates, None)
        return Judged(model, None, (f"not judged: {e}",))
    notes, tried = list(model.held.notes), ""
    verdict = bench.verdict(model.fixed, model.layers, progress=progress)
    wanting = (verdict.ruined and not terms.accept_loss) or check_accuracy(terms.gates, verdict)[0]
    if wanting and terms.repair and not model.imported.quantised and not model.tidy.states:
        found = rescue(model, method, asked_wide(model.tidy, activations), progress)
        tried = found.tried
        if found.graph is not None:
            mended = quantise(found.graph, {})
            again = bench.verdict(mended, found.layers, found.kept, progress)
            if (again.grade, again.main.fall) < (verdict.grade, verdict.main.fall):
                notes.append(f"repaired ({'; '.join(found.kept)}): before, {verdict}")
                verdict = again
                size = simplify.size_of(mended)
                model = replace(model, fixed=apply(simplify.PASS, mended), layers=found.layers, before=size)
    if verdict.ruined and not terms.accept_loss:
        may = verdict.precision != "int16" and not model.imported.quantised
        every = frozenset(t.name for t in model.tidy.tensors.values() if t.const is None)
        wide = _all_wide(model, method, every, progress) if may else None
        raise refusal(model, verdict, tried, None if wide is None else bench.verdict(wide))
    verdict = replace(verdict, accepted=verdict.ruined)
    failed, warned = check_accuracy(terms.gates, verdict)
    if failed:
        raise AccuracyError("\n".join([f'"{model.imported.graph.name}": {verdict}.', *(f"  {f}" for f in failed)]))
    return Judged(model, verdict, (*notes, *warned))


def _all_wide(model: Quantised, method: str, every: frozenset[str], progress: Progress) -> Graph | None:
    """The FIXED graph with every activation in int16; None where that cannot be had."""
    if model.tidy.states:
        return calibrate(model.tidy, model.samples, method, progress, every, by_layer=False)[0]
    wide = pinned(model, method, every, progress)
    return None if wide is None else quantise(wide, {})


def _of_made_up(model: Quantised) -> tuple[str, ...]:
    """A warning where even made-up inputs show that the outputs are lost."""
    outputs = [a for a in model.layers if a.tensor in model.tidy.outputs]
    worst = min(outputs, key=lambda a: a.sqnr_db, default=None)
    if worst is None or model.imported.quantised or worst.sqnr_db >= GROSS_DB:
        return ()
    begins = damage(model.tidy, model.layers)
    return (
        f"on made-up inputs the outputs keep only {worst.sqnr_db:.1f} dB; the damage begins at {begins}. Give `x` "
        "to know what that means for real ones.",
    )
