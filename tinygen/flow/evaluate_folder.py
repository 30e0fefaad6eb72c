"""Evaluate the folder of a build: its own C, compiled for this computer or an emulated core, over a whole data set.

Real numbers go in and come out through the library's own <model>_quantize_input and <model>_dequantize_output: what is
measured is the chain that firmware runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygen.build.run import run_program
from tinygen.build.toolchain import Program, compile_program, find_toolchain
from tinygen.calibrate.data import Data, Samples, read_data
from tinygen.calibrate.graph import run_float
from tinygen.emit.programs import ModelView, render_evaluator
from tinygen.errors import DataError, ModelError, TargetError, VerifyError
from tinygen.files import work_folder
from tinygen.flow.confusion import Confusion, confusion_of
from tinygen.flow.measures import Figure, drift, figures, labelled_steps
from tinygen.flow.verdict import Verdict, of_steps
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.ir.types import Graph, Port, Quant, Stage, Tensor
from tinygen.numerics import Array
from tinygen.passes.pipeline import tidy
from tinygen.profile.folder import Build, port_sizes, read_build
from tinygen.profile.measure import model_view
from tinygen.progress import Progress, no_progress
from tinygen.targets.arch.base import Core
from tinygen.targets.cores import get_core

#: Bytes of samples that one run of the program reads: a batch on this computer, and in the emulator, which is slower.
BATCH_BYTES, EMULATED_BATCH_BYTES = 8 << 20, 1 << 20
RUN_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class FolderEvaluation:
    """A build over a data set. `verdict` compares with the float network where a model was given, else its figures
    are of the integers alone. `confusion`: of a network that chooses among classes, with labels. `built`: what the
    verdict of the build was, in words."""

    model: str
    folder: Path
    core: str
    verdict: Verdict
    confusion: Confusion | None
    built: str | None
    notes: tuple[str, ...]


def evaluate_folder(
    folder: Path, data: Data, *, core: str = "native", model: Path | None = None, limit: int | None = None,
    progress: Progress = no_progress,
) -> FolderEvaluation:  # fmt: skip
    """Run the C of the build in `folder` on the samples of `data`; with its ONNX `model`, beside the float network.

    OutputError for a folder that is no build or was edited, DataError for samples that do not fit or, without a model,
    have no labels to judge by; ToolError for what the compiler or emulator says.
    """
    build = read_build(folder)
    target, ports = _core(build, core), _ports(build)
    samples = _samples(build, data, limit)
    found = _run(build, target, samples, progress)
    certificate = _certificate(folder)
    if model is None:
        graph, real, reference = _shell(build.name, ports), found, ""
    else:
        graph, real = _float(model, build.name, certificate, ports, samples.inputs, progress)
        reference = "float"
    shown = figures(graph, real, found, samples, streams="states" in build.plan)
    if model is None:
        shown = tuple(_alone(f) for f in shown if f.real is not None)
        if not shown:
            raise DataError(
                f"{samples.source}: no labels, so there is nothing to judge the integers by. Add an array y, or "
                "give `model` with the ONNX file that was built: then the float network is what they are compared "
                "with."
            )
    judged = certificate.get("accuracy") or {}
    precision = str(judged.get("precision") or _precision(build.plan))
    drifts = drift(real, found) if "states" in build.plan and model is not None else ()
    source = f"{samples.count} samples" + (of_steps(samples) if "states" in build.plan else "")
    verdict = Verdict(precision, reference, shown, samples.count, source, True, samples.sha256, drift=drifts)
    notes = []
    if samples.sha256 == certificate.get("options", {}).get("calibration_data_sha256"):
        notes.append("these samples calibrated the network: the figures flatter.")
    confusion = None
    if samples.labels is not None:
        answers, told = found[0], samples
        if "states" in build.plan:
            answers, _, told = labelled_steps(answers, answers, samples)
        confusion = confusion_of(graph, answers, told)
    return FolderEvaluation(build.name, folder, target.name, verdict, confusion, judged.get("said"), tuple(notes))


def run_folder(folder: Path, data: Data, *, core: str = "native", progress: Progress = no_progress) -> list[Array]:
    """Real outputs (n, *ONNX shape) of the C of the build in `folder` for the samples of `data`; errors as above."""
    build = read_build(folder)
    return _run(build, _core(build, core), _samples(build, data, None), progress)


def _ports(build: Build) -> tuple[list[Port], list[Port]]:
    return [_port(p) for p in build.plan["inputs"]], [_port(p) for p in build.plan["outputs"]]


def _samples(build: Build, data: Data, limit: int | None) -> Samples:
    types = [str(p.get("type", "float32")) for p in build.plan["inputs"]]
    quants = [_quant(p) for p in build.plan["inputs"]]
    streams = "states" in build.plan
    return read_data(data, _ports(build)[0], limit=limit, input_types=types, quants=quants, streams=streams)


def _run(build: Build, core: Core, samples: Samples, progress: Progress) -> list[Array]:
    sizes = (port_sizes(build.plan[kind]) for kind in ("inputs", "outputs"))
    view = model_view(build.name, *sizes, stateful="states" in build.plan)
    return run_library(build.files, view, _ports(build)[1], core, samples.inputs, progress)


def run_library(
    files: Mapping[str, bytes], view: ModelView, outputs: Sequence[Port], core: Core, inputs: Sequence[Array],
    progress: Progress = no_progress,
) -> list[Array]:  # fmt: skip
    """Real outputs (n, *ONNX shape) of a library's C for real inputs (n, *ONNX shape): float32, one sample after the
    other, in batches that run side by side. Both are streams (n, steps, *ONNX shape) where the library keeps a state.
    """
    lead = inputs[0].shape[: 2 if view.stateful else 1]
    steps = lead[1] if view.stateful else 1
    calls = [x.reshape(lead[0] * steps, -1).astype("<f4") for x in inputs]
    rows = np.concatenate(calls, axis=1)
    limit = BATCH_BYTES if core.machine is None else EMULATED_BATCH_BYTES
    workers = os.cpu_count() or 1
    step = max(1, min(limit // (4 * steps * rows.shape[1]), -(-lead[0] // workers))) * steps
    starts = range(0, len(rows), step)
    width = sum(p.length for p in view.outputs)
    found = np.empty((len(rows), width), np.float32)
    done = 0
    with work_folder() as folder:
        program = _compile(folder, core, files, view, steps)

        def one(start: int) -> int:
            batch = rows[start : start + step]
            place = folder / f"batch{start}"
            place.mkdir()
            (place / "in.bin").write_bytes(batch.tobytes())
            run_program(core, program.elf, place, RUN_TIMEOUT_S)
            values = np.fromfile(place / "out.bin", "<f4")
            if values.size != len(batch) * width:
                raise VerifyError(f"{core.name}: {values.size} numbers came out of {len(batch)} samples of {width}")
            found[start : start + len(batch)] = values.reshape(len(batch), width)
            for name in ("in.bin", "out.bin"):
                (place / name).unlink()
            return len(batch)

        progress("evaluating", 0, len(rows))
        with ThreadPoolExecutor(workers) as pool:
            for count in pool.map(one, starts):
                done += count
                progress("evaluating", done, len(rows))
    ends = np.cumsum([p.length for p in view.outputs])[:-1]
    return [y.reshape(*lead, *p.shape) for y, p in zip(np.split(found, ends, axis=1), outputs, strict=True)]


def _compile(folder: Path, core: Core, files: Mapping[str, bytes], view: ModelView, steps: int) -> Program:
    src = folder / "src"
    src.mkdir()
    for name, content in {**files, "evaluate.c": render_evaluator(view, steps)}.items():
        (src / name).write_bytes(content)
    return compile_program(find_toolchain(core), core, sorted(src.glob("*.c")), [src], folder / "evaluate.elf")


def _core(build: Build, wanted: str) -> Core:
    """This computer, or a core whose kernels are those of the build."""
    core, own = get_core(wanted), get_core(str(build.plan["core"]))
    if core.machine is None or core.kernel_sets == own.kernel_sets:
        return core
    raise TargetError(
        f"{build.folder} was built for {own.name}; its kernels are not those for {core.name}. Evaluate it on native or "
        f"{own.name}, or build it for a board with a {core.name}."
    )


def _port(p: Mapping[str, Any]) -> Port:
    return Port.plain(str(p["name"]), tuple(int(d) for d in p["shape"]), str(p.get("codes", "")))


def _quant(p: Mapping[str, Any]) -> Quant | None:
    """The scale of an input whose sample files may hold its 8-bit codes; the C sees unsigned ones less 128."""
    kind = p.get("type")
    if kind not in ("int8", "uint8") or "codes" in p:
        return None
    return Quant.per_tensor(float(p["scale"][0]), int(p["zero_point"][0]) + (128 if kind == "uint8" else 0))


def _precision(plan: Mapping[str, Any]) -> str:
    """int8, int16 or mixed, as far as the edges show it."""
    bits = {int(p["bits"]) for kind in ("inputs", "outputs") for p in plan[kind]}
    return "mixed" if len(bits) > 1 else f"int{max(bits)}"


def _certificate(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "certificate.json").read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError):
        return {}


def _shell(name: str, ports: tuple[Sequence[Port], Sequence[Port]]) -> Graph:
    """A graph of edges alone, for what measures ask of one."""
    tensors = {p.name: Tensor(p.name, p.shape) for p in (*ports[0], *ports[1])}
    names = [tuple(p.name for p in kind) for kind in ports]
    return Graph(name, Stage.FLOAT, tensors, (), names[0], names[1], tuple(ports[0]), tuple(ports[1]))


def _float(
    model: Path, name: str, certificate: Mapping[str, Any], ports: tuple[Sequence[Port], Sequence[Port]],
    inputs: Sequence[Array], progress: Progress,
) -> tuple[Graph, list[Array]]:  # fmt: skip
    """The float network that was built, and its outputs."""
    if certificate.get("options", {}).get("private"):
        raise ModelError(
            f"{model} cannot be compared: the build is private, so nothing in it says which model it was made from. "
            "Leave `model` out, or build without `private`."
        )
    options = certificate.get("options", {})
    imported = read_onnx(
        model, name=name, input_shapes={p.name: p.shape for p in ports[0]}, states=options.get("states"),
        constants=options.get("constants"),
    )  # fmt: skip
    built = certificate.get("model", {}).get("sha256")
    if built != imported.sha256:
        raise ModelError(
            f"{model} is not the model of this build: sha256 {imported.sha256[:16]}, the certificate has "
            f"{str(built)[:16]}. Give the file that was built, or build again."
        )
    graph = tidy(imported.graph)
    return graph, run_float(graph, inputs, lambda d, t: progress("float", d, t))


def _alone(f: Figure) -> Figure:
    """A figure of the integers, of which nothing else is known."""
    return Figure(f.name, None, f.integer, 0.0, f.own_error)
