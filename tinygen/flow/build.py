"""From a quantised model to a finished build: judge, plan, prove, emit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tinygen import simulate
from tinygen.emit import summary
from tinygen.emit.exports import render_exports
from tinygen.emit.library import home, render_library
from tinygen.emit.programs import GoldenCase, ProjectView, golden_header, render_golden_header
from tinygen.emit.writer import check_output, write_folder
from tinygen.errors import MissingToolError
from tinygen.flow import certificate, verify
from tinygen.flow.fits import check_fit, check_gates, check_weights
from tinygen.flow.gates import Gates, Terms
from tinygen.flow.judge import judged
from tinygen.flow.library import make_library, model_view, sensors_of
from tinygen.flow.planned import planner, times_of
from tinygen.flow.private import hidden
from tinygen.flow.quantised import quantised
from tinygen.flow.types import Built, Calibration, Clock, CoreResult, Judged, Loaded, Proof, Target
from tinygen.numerics import Array
from tinygen.progress import Progress, no_progress
from tinygen.targets.cores import get_core

#: Samples, or streams, that the output folder brings along to test with: of the data, or random ones of a private
#: build.
GOLDEN_SAMPLES = 2


def build(
    found: Judged,
    calibration: Calibration,
    target: Target,
    proof: Proof | None = None,
    gates: Gates | None = None,
    progress: Progress = no_progress,
    clock: Clock | None = None,
) -> Built:
    """A proved build, in memory. `calibration`: what the model was made with, for the certificate.

    TargetError for what does not fit the board or is more than `gates` allow, VerifyError where numpy and the C differ;
    a core whose tools are missing is left out, and the build says so.
    """
    clock, gates = clock or Clock(), gates or Gates()
    model, board = found.model, target.board
    if target.library.private:
        model, target = hidden(model, target)
    cores = None if proof is None else proof.cores
    if cores is None:
        cores = tuple(dict.fromkeys(("native", board.core.name)))
    not_verified: list[str] = []
    plans = planner(model, target)
    with clock.phase("plan"):
        main = plans.on_board(board)
    main_plan, notes = main.plan, (main.note,) if main.note else ()
    check_fit(main_plan, board, None, None)
    with clock.phase("simulate"):
        inputs = verify.make_inputs(
            model.fixed, simulate.quantise_inputs(model.fixed, [x[:4] for x in model.samples.inputs])
        )
        expected = tuple(simulate.run(model.fixed, inputs))
    results: list[CoreResult] = []
    sizes, stack = None, None
    for i, name in enumerate(cores):
        progress("verifying", i, len(cores))
        core = get_core(name)
        # On this computer the board's own plan runs: kernels for a core have portable bodies of the same bits.
        same = name in ("native", board.core.name)
        core_plan = main_plan if same else plans.on_core(core, board)
        with clock.phase(f"verify {name}"):
            try:
                results.append(verify.verify_plan(model, core_plan, name, inputs, expected, target.library))
            except MissingToolError as e:
                not_verified.append(f"not verified on {name}: {e}")
        if results and results[-1].core == name == board.core.name:
            sizes, stack = results[-1].sizes, results[-1].stack
    progress("verifying", len(cores), len(cores))
    check_fit(main_plan, board, sizes, stack)
    check_gates(main_plan, model, board, gates, sizes, stack)
    with clock.phase("emit"):
        library = make_library(main_plan, model, target.library)
        built = Built(
            model, calibration, target, main_plan, library, {}, inputs, expected, tuple(results), sizes, stack,
            tuple(not_verified), clock.seconds, times_of(board, main.prediction), found.verdict, (*found.notes, *notes),
        )  # fmt: skip
        return replace(built, files=_files(built))


def build_folder(
    loaded: Loaded,
    out: Path,
    target: Target,
    calibration: Calibration | None = None,
    *,
    terms: Terms | None = None,
    proof: Proof | None = None,
    progress: Progress = no_progress,
    force: bool = False,
) -> Built:
    """Everything that `tinygen build` does with a model; the folder `out` appears only when all of it went well.
    Where there is data, some of it is held back to judge by."""
    terms, clock = terms or Terms(), Clock(loaded.seconds)
    calibration = replace(calibration or Calibration(), hold_back=True)
    check_output(out, force=force)
    with clock.phase("plan"):
        check_weights(loaded, calibration, target)
    model = quantised(loaded, calibration, target.board, progress, clock)
    sensors_of(model.fixed, target.library)  # told before there is more work
    with clock.phase("judge"):
        found = judged(model, calibration.method, calibration.activations, terms, progress)
    built = build(found, calibration, target, proof, terms.gates, progress, clock)
    return replace(built, changes=write_folder(out, built.files, force=force))


def _files(built: Built) -> dict[str, bytes]:
    """Everything in the output folder, by path."""
    plan, model = built.plan, built.model
    golden = golden_cases(built)
    stack_bytes = max(2048, _round_up((built.stack or 0) + 1024, 512))
    sources = render_library(built.library)
    files = {f"{home(plan.name)}/{name}": content for name, content in sources.items()}
    files[summary.FILE] = summary.render_summary(
        plan, built.board.id, model.before, model.after, tuple(sources), model.imported.input_types
    )
    files[certificate.FILE] = certificate.render_certificate(built)
    view = ProjectView(model_view(plan), built.board, golden, stack_bytes, built.target.package)
    files[golden_header(plan.name)] = render_golden_header(view)
    return render_exports(view, taken=files) | files


def golden_cases(built: Built) -> tuple[GoldenCase, ...]:
    """What the output folder brings along to test with."""
    made_up = verify.MADE_UP_STREAMS if built.plan.states else verify.MADE_UP
    first = len(built.inputs[0]) - made_up if built.target.library.private else 0
    return tuple(case for i in range(first, first + GOLDEN_SAMPLES) for case in _golden(built, i))


def _golden(built: Built, i: int) -> list[GoldenCase]:
    """Sample i; of a network that keeps a state, the steps of stream i."""
    ends = [[x[i] if built.plan.states else x[i : i + 1] for x in arrays] for arrays in (built.inputs, built.expected)]

    def call(arrays: list[Array], t: int) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(int(v) for v in x[t].ravel()) for x in arrays)

    return [GoldenCase(call(ends[0], t), call(ends[1], t), t == 0) for t in range(len(ends[0][0]))]


def _round_up(n: int, step: int) -> int:
    return -(-n // step) * step
