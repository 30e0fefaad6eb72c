"""Proof by running: the same inputs through numpy and through the C, on this computer and on emulated cores; equal or
fail.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tinygen import simulate
from tinygen.build.run import run_program
from tinygen.build.toolchain import Sizes, compile_program, find_toolchain, measure
from tinygen.emit.library import render_library
from tinygen.emit.programs import ModelView, render_harness
from tinygen.errors import VerifyError
from tinygen.files import work_folder
from tinygen.flow.library import make_library, model_view
from tinygen.flow.types import CoreResult, Library, Quantised
from tinygen.ir.types import Graph
from tinygen.numerics import Array
from tinygen.ops.base import int_range
from tinygen.plan.types import Plan
from tinygen.targets.arch.base import Core
from tinygen.targets.cores import get_core

#: Library files by name; True: with a trace of every layer.
Render = Callable[[bool], Mapping[str, bytes]]
RUN_TIMEOUT_S = 300.0
#: Samples of each kind in `make_inputs`, and how many there are behind those of the data.
COUNT = 4
MADE_UP = COUNT + 3


def make_inputs(graph: Graph, calibration: Sequence[Array], seed: int = 0, count: int = COUNT) -> tuple[Array, ...]:
    """Integer inputs to verify with, each (samples, *tensor shape): calibration samples, random values, extremes."""
    rng = np.random.default_rng(seed)
    parts: list[list[Array]] = []
    for name, known in zip(graph.inputs, calibration, strict=True):
        t = graph.tensors[name]
        shape, dtype, (least, most) = t.shape, t.dtype.value, int_range(t)
        noise = rng.integers(least, most + 1, (count, *shape)).astype(dtype)
        low, high = np.full((1, *shape), least, dtype), np.full((1, *shape), most, dtype)
        signs = np.where(rng.random((1, *shape)) < 0.5, least, most).astype(dtype)
        parts.append([known[:count], noise, low, high, signs])
    return tuple(np.concatenate(p) for p in parts)


def sample_bytes(arrays: Sequence[Array]) -> bytes:
    """Samples one after the other, all tensors of a sample in order: the form of in.bin and out.bin."""
    rows = [np.ascontiguousarray(a.reshape(len(a), -1)).astype(a.dtype.newbyteorder("<")).view(np.int8) for a in arrays]
    return np.concatenate(rows, axis=1).tobytes()


def check_core(
    core: Core,
    graph: Graph,
    plan: Plan,
    render: Render,
    model: ModelView,
    inputs: Sequence[Array],
    expected: Sequence[Array],
    extra_flags: Sequence[str] = (),
) -> CoreResult:
    """Compile the library for `core`, run it on `inputs` and compare with `expected`, byte for byte.

    Raises VerifyError naming the first layer that differs, with index and both values; ToolError for anything else.
    """
    with work_folder() as folder:
        out, stack, sizes = _run(folder, core, render(False), model, sample_bytes(inputs), extra_flags)
    want = sample_bytes(expected)
    if out != want:
        raise VerifyError(_diagnose(core, graph, plan, render, model, inputs, out, want, extra_flags))
    return CoreResult(core.name, len(inputs[0]), hashlib.sha256(want).hexdigest(), stack, sizes)


def verify_plan(
    model: Quantised,
    plan: Plan,
    core_name: str,
    inputs: Sequence[Array],
    expected: Sequence[Array],
    library: Library | None = None,
) -> CoreResult:
    """Numpy against the C of `plan` on one core."""

    def files(trace: bool) -> Mapping[str, bytes]:
        return render_library(make_library(plan, model, library, trace=trace))

    return check_core(get_core(core_name), model.fixed, plan, files, model_view(plan), inputs, expected)


def _run(
    folder: Path,
    core: Core,
    files: Mapping[str, bytes],
    model: ModelView,
    samples: bytes,
    extra_flags: Sequence[str],
) -> tuple[bytes, int, Sizes | None]:
    src = folder / "src"
    src.mkdir()
    for name, content in {**files, "harness.c": render_harness(model)}.items():
        (src / name).write_bytes(content)
    (folder / "in.bin").write_bytes(samples)
    sources = sorted(src.glob("*.c"))
    emulated = core.machine is not None
    program = compile_program(
        find_toolchain(core), core, sources, [src], folder / "verify.elf", extra_flags=extra_flags, link_map=emulated
    )
    said = run_program(core, program.elf, folder, RUN_TIMEOUT_S)
    words = dict(line.split(" ", 1) for line in said.splitlines() if " " in line)
    sizes = None
    if program.map_file is not None:
        own = {f"{name}.o" for name in files}
        sizes = measure(program.elf, program.map_file, lambda path: Path(path).name in own)
    return (folder / "out.bin").read_bytes(), int(words["stack"]), sizes


def _diagnose(
    core: Core,
    graph: Graph,
    plan: Plan,
    render: Render,
    model: ModelView,
    inputs: Sequence[Array],
    got: bytes,
    want: bytes,
    extra_flags: Sequence[str],
) -> str:
    """Run the first differing sample again with a trace, and say where numpy and C part."""
    if len(got) != len(want):
        return f"{core.name}: {len(got)} bytes of output, expected {len(want)}"
    per_sample = len(want) // len(inputs[0])
    first = next(i for i, (a, b) in enumerate(zip(got, want, strict=True)) if a != b)
    sample = first // per_sample
    one = [x[sample : sample + 1] for x in inputs]
    values: dict[str, Array] = {}
    simulate.run(graph, one, lambda name, x: values.__setitem__(name, x[0].ravel()))
    with work_folder() as folder:
        flags = (*extra_flags, "-DTG_HARNESS_TRACE")
        _run(folder, core, render(True), model, sample_bytes(one), flags)
        trace = np.frombuffer((folder / "trace.bin").read_bytes(), np.int8)
    at = 0
    for step, written in [(s, w) for s in plan.steps for w in s.outputs]:
        expected = values[written.tensor]
        size = written.place.size
        found = trace[at : at + size].view(np.dtype(written.place.dtype.value).newbyteorder("<"))
        at += size
        if written.planes is not None:
            found = found[written.planes.place(expected.reshape(written.shape)).ravel()]
        wrong = np.flatnonzero(found != expected)
        if wrong.size:
            i = int(wrong[0])
            origin = ", ".join(step.origin) or "no ONNX node"
            return (
                f"{core.name}, sample {sample}: the first layer that differs is "
                f"{step.name} ({step.title}; ONNX {origin}; "
                f"kernel {step.calls[0].call.kernel}), {wrong.size} of {expected.size} values, first at index {i}: "
                f"numpy {int(expected[i])}, C {int(found[i])}. This is a fault in tinygen: please report it "
                "with the model."
            )
    return f"{core.name}, sample {sample}: outputs differ at byte {first % per_sample}, but no layer does"
