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
#: The same of networks that keep a state: streams, an even number in all, and the steps of each.
STREAMS, STEPS = 2, 8
MADE_UP_STREAMS = STREAMS + 4


def make_inputs(graph: Graph, calibration: Sequence[Array], seed: int = 0, count: int = COUNT) -> tuple[Array, ...]:
    """Integer inputs to verify with, each (samples, *tensor shape): calibration samples, random values, extremes. Of a
    graph with states (streams, STEPS, *tensor shape), from calibration samples of any number of steps."""
    if graph.states:
        return _make_streams(graph, calibration, seed)
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


def _make_streams(graph: Graph, calibration: Sequence[Array], seed: int) -> tuple[Array, ...]:
    """As above: the data's, noise, the least and the most for good, the two in turn by value, and by step."""
    rng = np.random.default_rng(seed)
    parts: list[Array] = []
    for name, known in zip(graph.inputs, calibration, strict=True):
        t = graph.tensors[name]
        shape, dtype, (least, most) = (STEPS, *t.shape), t.dtype.value, int_range(t)
        streams = np.resize(np.arange(len(known)), STREAMS if len(known) else 0)
        data = known[streams][:, np.resize(np.arange(known.shape[1]), STEPS)]
        noise = rng.integers(least, most + 1, (STREAMS, *shape)).astype(dtype)
        low, high = np.full((1, *shape), least, dtype), np.full((1, *shape), most, dtype)
        signs = np.where(rng.random((1, *shape)) < 0.5, least, most).astype(dtype)
        steps = np.where(np.arange(STEPS) % 2 == 0, least, most).astype(dtype)
        swings = np.broadcast_to(steps.reshape(1, -1, *(1,) * len(t.shape)), (1, *shape))
        parts.append(np.concatenate([data, noise, low, high, signs, swings]))
    return tuple(parts)


def _calls(arrays: Sequence[Array], graph: Graph) -> list[Array]:
    """Samples in the order in which the harness runs them: streams two at a time, step by step in turn."""
    if not graph.states:
        return list(arrays)
    pairs = (a.reshape(-1, 2, *a.shape[1:]).swapaxes(1, 2) for a in arrays)
    return [p.reshape(-1, *p.shape[3:]) for p in pairs]


def _steps(graph: Graph, arrays: Sequence[Array]) -> int:
    """Steps of each stream; 1 of a graph that keeps nothing."""
    return arrays[0].shape[1] if graph.states else 1


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

    Raises VerifyError naming the first layer that differs, of a graph with states at the first step that does, with
    index and both values; ToolError for anything else.
    """
    steps, given = _steps(graph, inputs), sample_bytes(_calls(inputs, graph))
    with work_folder() as folder:
        out, stack, sizes = _run(folder, core, render(False), model, given, extra_flags, steps)
    want = sample_bytes(_calls(expected, graph))
    if out != want:
        raise VerifyError(_diagnose(core, graph, plan, render, model, inputs, out, want, extra_flags))
    return CoreResult(
        core.name, len(inputs[0]) * steps, hashlib.sha256(sample_bytes(expected)).hexdigest(), stack, sizes
    )


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
    steps: int = 1,
) -> tuple[bytes, int, Sizes | None]:
    src = folder / "src"
    src.mkdir()
    for name, content in {**files, "harness.c": render_harness(model, steps)}.items():
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
    """Run the first differing sample again with a trace, or the two streams that it is in, and say where numpy and C
    part."""
    if len(got) != len(want):
        return f"{core.name}: {len(got)} bytes of output, expected {len(want)}"
    steps = _steps(graph, inputs)
    per_call = len(want) // (len(inputs[0]) * steps)
    first = next(i for i, (a, b) in enumerate(zip(got, want, strict=True)) if a != b)
    call = first // per_call
    # In a pair of streams every second call belongs to one of them.
    streams = 2 if graph.states else 1
    pair, turn = call // (streams * steps), call % streams
    few = [x[streams * pair : streams * (pair + 1)] for x in inputs]
    values = _traced(graph, [x[turn : turn + 1] for x in few])
    with work_folder() as folder:
        flags = (*extra_flags, "-DTG_HARNESS_TRACE")
        _run(folder, core, render(True), model, sample_bytes(_calls(few, graph)), flags, steps)
        trace = np.frombuffer((folder / "trace.bin").read_bytes(), np.int8).reshape(streams * steps, -1)
    last = call % (streams * steps) // streams
    for i in range(last + 1):
        where = f"{core.name}, sample {pair}"
        if graph.states:
            where = f"{core.name}, stream {streams * pair + turn}, step {i}"
        said = _first_difference(plan, values[i], trace[streams * i + turn])
        if said:
            return f"{where}: the first layer that differs is {said}"
    return f"{where}: outputs differ at byte {first % per_call}, but no layer does"


def _traced(graph: Graph, inputs: Sequence[Array]) -> list[dict[str, Array]]:
    """Values of every activation, flat, of one sample; of one stream step by step."""
    values: list[dict[str, Array]] = []

    def see(name: str, x: Array) -> None:
        if not values or name in values[-1]:
            values.append({})
        values[-1][name] = x[0].ravel()

    simulate.run(graph, inputs, see)
    return values


def _first_difference(plan: Plan, values: Mapping[str, Array], trace: Array) -> str:
    """The first layer whose output in C is not numpy's, in words; "" where all are equal. `trace`: all of them, one
    behind the other."""
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
                f"{step.name} ({step.title}; ONNX {origin}; "
                f"kernel {step.calls[0].call.kernel}), {wrong.size} of {expected.size} values, first at index {i}: "
                f"numpy {int(expected[i])}, C {int(found[i])}. This is a fault in tinygen: please report it "
                "with the model."
            )
    return ""
