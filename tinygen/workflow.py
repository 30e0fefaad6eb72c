"""The whole line, one function a phase: import, tidy, calibrate, quantise, plan, emit, verify. The CLI only calls
these.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tinygen import simulate, verify
from tinygen.build.toolchain import Sizes
from tinygen.calibrate.data import Samples, load_data, synthetic
from tinygen.calibrate.floatrun import FloatModel
from tinygen.calibrate.graph import measure
from tinygen.calibrate.metrics import SqnrMeter
from tinygen.calibrate.ranges import METHODS
from tinygen.emit import summary
from tinygen.emit.exports import render_exports as render_project
from tinygen.emit.library import kernel_files, render_library
from tinygen.emit.programs import GoldenCase, ModelView, PortView, ProjectView
from tinygen.emit.view import LibraryView, library_view
from tinygen.emit.writer import check_output, write_folder
from tinygen.errors import DataError, MissingToolError, TargetError, did_you_mean
from tinygen.flow import judge
from tinygen.flow.check import NOT_CHECKED, ImportCheck, check_import
from tinygen.flow.gates import Gates, Use, check_accuracy, check_use
from tinygen.flow.judge import Held
from tinygen.flow.limits import check_limits
from tinygen.flow.verdict import LayerAccuracy, Verdict, damage, verdict_json
from tinygen.frontend.onnx_reader import Imported, read_onnx
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.text import dump
from tinygen.ir.types import Graph, Quant
from tinygen.numerics import Array
from tinygen.ops.base import quantise_as, real_of
from tinygen.passes import simplify
from tinygen.passes.base import apply
from tinygen.passes.pipeline import tidy
from tinygen.passes.quantise import quantise, range_tensors, weighted_inputs, wide_tensors
from tinygen.passes.widths import asked_wide
from tinygen.plan import sensor
from tinygen.plan.planner import identifier, plan
from tinygen.plan.predict import Prediction
from tinygen.plan.predict import predict as predict_plan
from tinygen.plan.types import Plan
from tinygen.progress import Progress, no_progress
from tinygen.targets.board import Board, all_boards, load_board
from tinygen.targets.cores import get_core
from tinygen.targets.flash import slow_loops
from tinygen.version import ABI, NUMERICS, VERSION

DEFAULT_METHOD = "mse"
CALIBRATION_SAMPLES = 200
SYNTHETIC_SAMPLES = 32
#: Samples over which the accuracy of every layer is measured.
SQNR_SAMPLES = 32
#: More samples than any file has.
EVERY = 1 << 40
GOLDEN_SAMPLES = 2


#: What a model cannot be called in C: words of C and C++, headers that its own would hide, and files that stand beside
#: it where it is compiled. Names that begin with tg_ belong to the kernels.
_WORDS = """
    auto bool break case catch char class const continue default delete do double else enum export extern false float
    for friend goto if inline int long namespace new operator private protected public register restrict return short
    signed sizeof static struct switch template this throw true try typedef typename union unsigned using virtual void
    volatile while
"""
_FILES = """
    assert complex ctype errno fenv inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic stdbool
    stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype
    arduino harness main startup test
"""
RESERVED_NAMES = frozenset((*_WORDS.split(), *_FILES.split()))
#: Endings of a model's own files: kws_io.c of kws and kws_io.c of a kws_io could not lie in one folder.
OWN_ENDINGS = ("_io", "_sensor", "_weights")
MAX_NAME = 40


def model_name(text: str) -> str:
    """What a model is called in C: `text` as an identifier, and none that C or tinygen uses itself."""
    name = identifier(text)[:MAX_NAME].rstrip("_")
    if name.endswith(OWN_ENDINGS):
        name = f"{name[: MAX_NAME - 4]}_net"
    return f"m_{name}" if name in RESERVED_NAMES or f"{name}_".startswith("tg_") else name


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    board: str
    data: Path | Samples | None = None
    name: str | None = None
    method: str = DEFAULT_METHOD
    samples: int = CALIBRATION_SAMPLES
    static_arena: bool = False
    optimize: str = "balanced"
    plain_stack: bool = False
    verify_cores: tuple[str, ...] | None = None  # None: this computer and the board's core; (): nothing
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    activations: str = "8"  # "16", or names of those in int16: passes/widths.py
    sensors: tuple[str, ...] = ()  # [NAME=]TYPE[*NUMBER]: plan/sensor.py
    test: Path | Samples | None = None  # who judges; None: samples held back from `data`
    hold_back: bool = False  # so that some of `data` judge: `build` always does
    judges: int | None = None  # so many at most; None: what suits the network's size
    repair: bool = True  # of a destroyed network
    accept_loss: bool = False  # build it all the same
    gates: Gates = field(default_factory=Gates)


@dataclass(frozen=True, slots=True)
class Quantised:
    """A model on its way: as imported, tidied, and in fixed point and simplified, with the samples that calibrated it.
    `before`: the size of the fixed-point graph before it was simplified."""

    imported: Imported
    tidy: Graph
    fixed: Graph
    samples: Samples
    synthetic: bool
    layers: tuple[LayerAccuracy, ...]
    before: simplify.Size
    checked: ImportCheck = NOT_CHECKED
    held: Held | None = None  # who judges it

    @property
    def after(self) -> simplify.Size:
        """What simplification left."""
        return simplify.size_of(self.fixed)

    @property
    def notes(self) -> tuple[str, ...]:
        """What import, quantisation and the check of the import had to say."""
        return tuple(dict.fromkeys((*self.imported.notes, *self.fixed.notes, *self.checked.notes)))


@dataclass(frozen=True, slots=True)
class Built:
    """A finished build: the plan, every file, proof and figures."""

    model: Quantised
    board: Board
    plan: Plan
    library: LibraryView
    files: Mapping[str, bytes]
    results: tuple[verify.CoreResult, ...]
    sizes: Sizes | None
    stack: int | None
    not_verified: tuple[str, ...]
    seconds: Mapping[str, float]
    verdict: Verdict | None = None
    judge_notes: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What proof and judgement had to say."""
        return (*self.not_verified, *self.judge_notes)

    @property
    def io_bytes(self) -> int:
        """Input and output buffers, which the caller owns."""
        return sum(e.nbytes for e in (*self.plan.inputs, *self.plan.outputs))


class Clock:
    """Wall-clock seconds of each phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def quantise_model(
    path: Path, options: Options, progress: Progress = no_progress, clock: Clock | None = None
) -> Quantised:
    """Import, tidy, calibrate, quantise and simplify."""
    clock = clock or Clock()
    with clock.phase("import"):
        imported = read_onnx(path, name=model_name(options.name or path.stem), input_shapes=options.input_shapes)
    with clock.phase("tidy"):
        graph = tidy(imported.graph)
    check_limits(graph, load_board(options.board) if options.board else None)
    with clock.phase("calibrate"):
        samples, made_up, held = _samples(imported, graph, options)
        wide = asked_wide(graph, options.activations)
        # The float network behind a pre-quantised model, on made-up data, says nothing about its layers.
        by_layer = not (made_up and imported.quantised)
        fixed, layers = calibrate(graph, samples, options.method, progress, wide, by_layer=by_layer)
    with clock.phase("check import"):
        checked = check_import(imported, graph, fixed, samples, synthetic=made_up)
    with clock.phase("simplify"):
        simple = apply(simplify.PASS, fixed)
    return Quantised(imported, graph, simple, samples, made_up, layers, simplify.size_of(fixed), checked, held)


def _samples(imported: Imported, graph: Graph, options: Options) -> tuple[Samples, bool, Held | None]:
    """(samples to calibrate with, are they made up, samples to judge by)."""
    data, count, judges = options.data, options.samples, options.judges or judge.judges_wanted(graph)
    if data is None:
        quants = [graph.tensors[n].quant for n in graph.inputs]
        samples, held = synthetic(graph.in_ports, SYNTHETIC_SAMPLES, seed=0, quants=quants), None
    elif options.test is None and options.hold_back:
        if not isinstance(data, Samples):
            data = read_samples(data, imported, graph, count + judges)
        hold_back = judge.hold_back if range_tensors(graph) else judge.all_judge
        samples, held = hold_back(data, count, judges)
    else:
        samples = data if isinstance(data, Samples) else read_samples(data, imported, graph, count)
        held = None
    if options.test is not None:
        test = options.test
        test = test if isinstance(test, Samples) else read_samples(test, imported, graph, options.judges)
        held = judge.unseen(test, samples, "of --test")
    return samples, data is None, held


def read_samples(path: Path, imported: Imported, graph: Graph, limit: int | None) -> Samples:
    """Samples of a file or folder; those of a model with integer inputs may be integers of that type."""
    quants: list[Quant | None] = []
    for name, kind in zip(imported.graph.inputs, imported.input_types, strict=True):
        q = imported.graph.tensors[name].quant
        # The graph sees uint8 codes minus 128.
        quants.append(replace(q, zero_point=q.zero_point + 128) if q is not None and kind == "uint8" else q)
    return load_data(path, graph.in_ports, limit=limit, input_types=imported.input_types, quants=quants)


def calibrate(
    graph: Graph,
    samples: Samples,
    method: str,
    progress: Progress = no_progress,
    wide: Collection[str] = (),
    *,
    by_layer: bool = True,
) -> tuple[Graph, tuple[LayerAccuracy, ...]]:
    """The FIXED graph of a tidied one, with ranges estimated on `samples`, and the accuracy of each of its layers, if
    it is wanted.

    `wide`: activations in int16. Those hold all values that were seen: 16 bits have room for the rare ones.
    """
    if method not in METHODS:
        known = f"{', '.join(METHODS)}.{did_you_mean(method, METHODS)}"
        raise DataError(f'no calibration method "{method}"; tinygen has {known}')
    inputs = [port.to_tensor(x) for port, x in zip(graph.in_ports, samples.inputs, strict=True)]
    activations = [o for n in graph.nodes for o in n.outputs]
    model = FloatModel(to_onnx(graph, [a for a in activations if a not in graph.outputs]))
    ranges, means = measure(
        graph,
        model,
        range_tensors(graph),
        inputs,
        method,
        lambda d, t: progress("calibrating", d, t),
        weighted_inputs(graph),
    )
    fixed = quantise(graph, ranges.of(wide_tensors(graph, wide)), means, wide, ranges.seen)
    return fixed, layer_accuracy(graph, fixed, model, inputs) if by_layer else ()


def layer_accuracy(graph: Graph, fixed: Graph, model: FloatModel, inputs: Sequence[Array]) -> tuple[LayerAccuracy, ...]:
    """SQNR of every layer's output over the first samples: where accuracy goes. `inputs` in the tensors' layout."""
    meters = {o: SqnrMeter() for n in graph.nodes for o in n.outputs}
    count, step = min(len(inputs[0]), SQNR_SAMPLES), simulate.chunk(fixed)
    for start in range(0, count, step):
        few = [np.ascontiguousarray(x[start : min(start + step, count)]) for x in inputs]
        found = dict(zip(model.output_names, model.run_many(few), strict=True))
        ints: dict[str, Array] = {}
        q = [quantise_as(fixed.tensors[name], x) for name, x in zip(fixed.inputs, few, strict=True)]
        simulate.run(fixed, q, ints.__setitem__)
        for name, meter in meters.items():
            real = real_of(fixed.tensors[name], ints[name])
            meter.add(found[name].reshape(real.shape), real)
    return tuple(
        LayerAccuracy(o, n.op.describe(graph.ins(n)), n.origin, meters[o].db)  # type: ignore[attr-defined]
        for n in graph.nodes
        for o in n.outputs
    )


def judged(
    model: Quantised, options: Options, progress: Progress = no_progress
) -> tuple[Quantised, Verdict | None, tuple[str, ...]]:
    """The model, repaired where it is destroyed and that helps; the verdict on it, None where no data can judge; notes.

    Raises what `flow.judge.judged` does.
    """
    if model.held is None:
        check_accuracy(options.gates, None)
        return model, None, made_up_notes(model)
    wide = asked_wide(model.tidy, options.activations)
    terms = judge.Terms(options.method, wide, options.repair, options.accept_loss, options.gates)
    try:
        found = judge.judged(
            model.imported, model.tidy, model.fixed, model.layers, model.samples, model.held, terms, progress
        )
    except judge.NoReferenceError as e:
        check_accuracy(options.gates, None)
        return model, None, (f"not judged: {e}",)
    if found.repaired is not None:
        simple = apply(simplify.PASS, found.repaired)
        model = replace(model, fixed=simple, layers=found.layers, before=simplify.size_of(found.repaired))
    return model, found.verdict, found.notes


#: Outputs below so many dB on made-up inputs are worth a warning.
GROSS_DB = 10.0


def made_up_notes(model: Quantised) -> tuple[str, ...]:
    """A warning where even made-up inputs show that the outputs are lost."""
    outputs = [a for a in model.layers if a.tensor in model.tidy.outputs]
    worst = min(outputs, key=lambda a: a.sqnr_db, default=None)
    if worst is None or model.imported.quantised or worst.sqnr_db >= GROSS_DB:
        return ()
    begins = damage(model.tidy, model.layers)
    return (
        f"on made-up inputs the outputs keep only {worst.sqnr_db:.1f} dB; the damage begins at {begins}. Give --data "
        "to know what that means for real ones.",
    )


def sensors_of(fixed: Graph, options: Options) -> Mapping[int, tuple[str, Fraction]]:
    """Type and worth of a step of the sensors that inputs have a helper for: those asked for, and of inputs that take
    integers. Raises DataError for what cannot be read."""
    ports = fixed.in_ports
    return sensor.parse(options.sensors, [p.name for p in ports], [p.codes for p in ports])


def make_library(plan_: Plan, model: Quantised, options: Options, *, trace: bool = False) -> LibraryView:
    """The library's words; the build id is a hash of all that decides its bytes."""
    what = json.dumps(
        [
            VERSION,
            dump(model.fixed),
            plan_.core,
            plan_.arena_len,
            options.static_arena,
            [asdict(b) for b in plan_.buffers],
            *options.sensors,
        ]
    )
    sensors = {
        i: sensor.convert(plan_.inputs[i], kind, unit) for i, (kind, unit) in sensors_of(model.fixed, options).items()
    }
    return library_view(
        plan_,
        version=VERSION,
        abi=ABI,
        numerics=NUMERICS,
        build_id=hashlib.sha256(what.encode()).hexdigest()[:8].upper(),
        sha256=model.imported.sha256,
        model_file=f"{model.imported.graph.name}.onnx",
        static_arena=options.static_arena,
        trace=trace,
        sensors=sensors,
    )


def model_view(plan_: Plan) -> ModelView:
    """Names and lengths for the programs around the library."""
    return ModelView(
        plan_.name,
        plan_.name.upper(),
        VERSION,
        tuple(PortView(e.name, e.length, e.quant.bits) for e in plan_.inputs),
        tuple(PortView(e.name, e.length, e.quant.bits) for e in plan_.outputs),
    )


def verify_plan(
    model: Quantised,
    plan_: Plan,
    core_name: str,
    options: Options,
    inputs: Sequence[Array],
    expected: Sequence[Array],
) -> verify.CoreResult:
    """Numpy against the C of `plan_` on one core."""

    def files(trace: bool) -> Mapping[str, bytes]:
        return render_library(make_library(plan_, model, options, trace=trace))

    return verify.check_core(get_core(core_name), model.fixed, plan_, files, model_view(plan_), inputs, expected)


def build(path: Path, out: Path, options: Options, progress: Progress = no_progress, *, force: bool = False) -> Built:
    """Everything `tinygen build` does; the folder `out` appears only when all of it went well."""
    clock = Clock()
    board = load_board(options.board)
    check_output(out, force=force)
    cores = options.verify_cores
    if cores is None:
        cores = tuple(dict.fromkeys(("native", board.core.name)))
    model = quantise_model(path, replace(options, hold_back=True), progress, clock)
    sensors_of(model.fixed, options)  # told before there is more work
    with clock.phase("judge"):
        model, verdict, notes = judged(model, options, progress)
    not_verified: list[str] = []
    with clock.phase("plan"):
        goal = {"plain_stack": options.plain_stack, "slow_loops": slow_loops(board)}
        main_plan = plan(model.fixed, board.core, options.optimize, **goal)
    check_fit(main_plan, board, None, None)
    with clock.phase("simulate"):
        quantised = simulate.quantise_inputs(model.fixed, [x[:4] for x in model.samples.inputs])
        inputs = verify.make_inputs(model.fixed, quantised)
        expected = simulate.run(model.fixed, inputs)
    results: list[verify.CoreResult] = []
    sizes, stack = None, None
    for i, name in enumerate(cores):
        progress("verifying", i, len(cores))
        core = get_core(name)
        # On this computer the board's own plan runs: kernels for a core have portable bodies of the same bits.
        core_plan = (
            main_plan if name in ("native", board.core.name) else plan(model.fixed, core, options.optimize, **goal)
        )
        with clock.phase(f"verify {name}"):
            try:
                results.append(verify_plan(model, core_plan, name, options, inputs, expected))
            except MissingToolError as e:
                not_verified.append(f"not verified on {name}: {e}")
        if results and results[-1].core == name == board.core.name:
            sizes, stack = results[-1].sizes, results[-1].stack
    progress("verifying", len(cores), len(cores))
    check_fit(main_plan, board, sizes, stack)
    check_gates(main_plan, model, board, options, sizes, stack)
    with clock.phase("emit"):
        library = make_library(main_plan, model, options)
        golden = tuple(
            GoldenCase(
                tuple(tuple(int(v) for v in x[i].ravel()) for x in inputs),
                tuple(tuple(int(v) for v in y[i].ravel()) for y in expected),
            )
            for i in range(GOLDEN_SAMPLES)
        )
        view = ProjectView(
            model_view(main_plan), board, golden, stack_bytes=max(2048, _round_up((stack or 0) + 1024, 512))
        )
        files = render_project(view)
        sources = render_library(library)
        files |= {f"lib/{main_plan.name}/src/{n}": c for n, c in sources.items()}
        files[summary.FILE] = summary.render_summary(
            main_plan, board.id, model.before, model.after, tuple(sources), model.imported.input_types
        )
        built = Built(
            model,
            board,
            main_plan,
            library,
            files,
            tuple(results),
            sizes,
            stack,
            tuple(not_verified),
            clock.seconds,
            verdict,
            notes,
        )
        certificate = (json.dumps(certificate_of(built, options, inputs, expected), indent=2) + "\n").encode()
        built = replace(built, files={**files, "certificate.json": certificate})
        write_folder(out, built.files, force=force)
    return built


def _round_up(n: int, step: int) -> int:
    return -(-n // step) * step


def check_fit(plan_: Plan, board: Board, sizes: Sizes | None, stack: int | None) -> None:
    """Raise TargetError with figures when the model cannot fit the board: from the constants alone, or measured."""
    constants = sum(c.array.nbytes for s in plan_.steps for k in s.calls for c in k.call.consts)
    flash = sizes.flash_model + sizes.flash_libgcc + sizes.flash_libc if sizes else constants
    io = sum(e.nbytes for e in (*plan_.inputs, *plan_.outputs))
    ram = plan_.arena_len + io + (stack or 0)
    problems = []
    if flash > board.flash_bytes:
        problems.append(
            f"flash: {flash:,} bytes needed ({constants:,} of constants), {board.flash_bytes:,} there. "
            "Prune or shrink the model, or take a board with more flash"
        )
    if ram > board.ram_bytes:
        busiest = max(plan_.steps, key=lambda s: s.output.size)
        problems.append(
            f"RAM: {ram:,} bytes needed (arena {plan_.arena_len:,}, input and output {io:,}, stack {stack or 0:,}), "
            f"{board.ram_bytes:,} there. The largest tensor is the output of {busiest.name} "
            f"({'x'.join(map(str, busiest.out_shape))}, {busiest.output.size:,} bytes); a smaller input or fewer "
            "channels there would help, or a board with more RAM"
        )
    if problems:
        enough = [b.id for b in all_boards() if b.stand_in and flash <= b.flash_bytes and ram <= b.ram_bytes]
        others = f"Boards with enough of both: {', '.join(enough)}." if enough else "No board tinygen knows has enough."
        lines = [f'"{plan_.name}" does not fit {board.id} ({board.name}):', *(f"  {p}." for p in problems), others]
        raise TargetError("\n".join(lines))


def check_gates(
    plan_: Plan, model: Quantised, board: Board, options: Options, sizes: Sizes | None, stack: int | None
) -> None:
    """Raise TargetError with figures for a build that takes more than the user allows; what no compiler has measured is
    predicted."""
    gates = options.gates
    if (gates.max_flash, gates.max_ram, gates.max_ms) == (None, None, None):
        return
    p = predict(plan_, model)
    unmeasured = sizes is None or stack is None
    flash = p.flash if sizes is None else sizes.flash_model + sizes.flash_libgcc + sizes.flash_libc
    io = sum(e.nbytes for e in (*plan_.inputs, *plan_.outputs))
    ms = None if p.unmeasured else p.milliseconds(board.f_cpu_hz)
    why = f"kernels never measured: {', '.join(p.unmeasured)}" if p.unmeasured else f"no cycle model of {p.core}"
    failed = check_use(
        gates, Use(flash, plan_.arena_len + io + (p.stack if stack is None else stack), unmeasured, ms, why)
    )
    if failed:
        raise TargetError(
            "\n".join([f'"{plan_.name}" on {board.id} takes more than allowed:', *(f"  {f}" for f in failed)])
        )


def certificate_of(
    built: Built, options: Options, inputs: Sequence[Array], expected: Sequence[Array]
) -> dict[str, Any]:
    """What was proved, on what, by what. No dates, no paths."""
    m = built.model
    return {
        "tinygen": VERSION,
        "numerics": NUMERICS,
        "abi": ABI,
        "model": {"name": m.imported.graph.name, "sha256": m.imported.sha256, "opset": m.imported.opset},
        "options": {
            "board": built.board.id,
            "core": built.board.core.name,
            "calibration": "scales of the model" if m.imported.quantised else options.method,
            "activations": options.activations,
            "calibration_data_sha256": None if m.synthetic else m.samples.sha256,
            "calibration_samples": len(m.samples.inputs[0]),
            "arena": "static" if options.static_arena else "caller",
            "optimize": options.optimize,
            "plain_stack": options.plain_stack,
            "sensors": list(options.sensors),
        },
        "build_id": built.library.build_id,
        "inputs_sha256": hashlib.sha256(verify.sample_bytes(inputs)).hexdigest(),
        "outputs_sha256": {
            "numpy": hashlib.sha256(verify.sample_bytes(expected)).hexdigest(),
            **{r.core: r.outputs_sha256 for r in built.results},
        },
        "samples": len(inputs[0]),
        "import": m.checked.record(),
        # No partial sum of a layer can go beyond its figure, whatever the input and the order of the terms.
        "accumulators": {"below": 2**31, "layers": simplify.largest_sums(m.fixed)},
        "accuracy": None if built.verdict is None else verdict_json(built.verdict),
        "verified": bool(built.results),
        "not_verified": list(built.not_verified),
    }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A network in integers against its float network, on samples that nothing was fitted to where there are such."""

    name: str
    verdict: Verdict
    layers: tuple[LayerAccuracy, ...]
    notes: tuple[str, ...]


def evaluate(
    path: Path, data: Path, options: Options, progress: Progress = no_progress, *, limit: int | None = None
) -> Evaluation:
    """The verdict on a network that is not built. It is calibrated with `options.data`; without, with some of `data`,
    which then do not judge, and a note says so. `limit`: samples that judge, at most."""
    most = replace(options, judges=limit or EVERY)
    asked = replace(most, test=data) if options.data is not None else replace(most, data=data, hold_back=True)
    model = quantise_model(path, asked, progress)
    held = model.held
    assert held is not None
    verdict = judge.Judge(model.imported, model.tidy, held, progress).verdict(model.fixed, model.layers)
    notes = held.notes
    if options.data is None and held.unseen and range_tensors(model.tidy):
        notes = (
            f"no --calibrate: {model.samples.count} of these samples calibrated the network, and only {held.source} "
            "judge it.",
            *notes,
        )
    return Evaluation(model.imported.graph.name, verdict, model.layers, notes)


def run_both(
    model: Quantised, inputs: Sequence[Array], progress: Progress = no_progress
) -> tuple[list[Array], tuple[Array, ...]]:
    """Outputs of the float network (onnxruntime) and of the int8 network (numpy), in the ONNX layout."""
    graph = model.tidy
    session = FloatModel(to_onnx(graph))
    moved = [port.to_tensor(x) for port, x in zip(graph.in_ports, inputs, strict=True)]
    found = session.run_many(moved, lambda d, t: progress("float", d, t))
    by_name = dict(zip(session.output_names, found, strict=True))
    real = [
        port.to_onnx(by_name[n].reshape(-1, *graph.tensors[n].shape))
        for n, port in zip(graph.outputs, graph.out_ports, strict=True)
    ]
    progress("int8", 0, 1)
    outputs = simulate.run(model.fixed, simulate.quantise_inputs(model.fixed, inputs))
    progress("int8", 1, 1)
    return real, simulate.dequantise_outputs(model.fixed, outputs)


@dataclass(frozen=True, slots=True)
class LayerCost:
    """A layer as tinygen will run it."""

    title: str
    origin: tuple[str, ...]
    shape: tuple[int, ...]
    macs: int
    parameters: int


@dataclass(frozen=True, slots=True)
class Fit:
    """What a model is predicted to take of a board: bytes, and what there is; milliseconds of an inference at the
    board's clock without flash wait states, None where cycles are not modelled."""

    board: str
    core: str
    flash: int
    flash_there: int
    ram: int
    ram_there: int
    milliseconds: float | None

    @property
    def fits(self) -> bool:
        return self.flash <= self.flash_there and self.ram <= self.ram_there


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a model will cost on each board, before anything is built; in detail for the board asked for."""

    macs: int
    parameters: int
    layers: tuple[LayerCost, ...]
    fits: tuple[Fit, ...]
    board: Board | None
    detail: Prediction | None


def predict(plan_: Plan, model: Quantised) -> Prediction:
    """A plan's cost from the cost model, recorded code sizes and its own arrays; nothing is compiled."""
    library = make_library(plan_, model, Options(""))
    return predict_plan(plan_, kernel_files(plan_.kernels, plan_.generated), library.weight_bytes)


def estimate(model: Quantised, board_id: str | None = None, optimize: str = "balanced") -> Estimate:
    """Predicted cost of a quantised model on every board, and layer by layer on `board_id`."""
    wanted = None if board_id is None else load_board(board_id)
    known: dict[tuple[str, bool], Prediction] = {}
    fits = []
    for board in all_boards():
        core = board.core
        if core.machine is None:
            continue
        kind = core.name, slow_loops(board)
        if kind not in known:
            known[kind] = predict(plan(model.fixed, core, optimize, slow_loops=kind[1]), model)
        p = known[kind]
        ms = p.milliseconds(board.f_cpu_hz)
        fits.append(Fit(board.id, core.name, p.flash, board.flash_bytes, p.ram, board.ram_bytes, ms))
    graph = model.tidy
    layers = tuple(
        LayerCost(
            n.op.describe(graph.ins(n)),  # type: ignore[attr-defined]
            n.origin,
            graph.outs(n)[0].shape,
            n.op.macs(graph.ins(n), graph.outs(n)[0]),  # type: ignore[attr-defined]
            sum(t.size for t in graph.ins(n) if t.const is not None),
        )
        for n in graph.nodes
    )
    macs = sum(r.macs for r in layers)
    detail = None if wanted is None else known.get((wanted.core.name, slow_loops(wanted)))
    return Estimate(macs, sum(r.parameters for r in layers), layers, tuple(fits), wanted, detail)
