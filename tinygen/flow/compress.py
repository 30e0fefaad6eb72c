"""One compression, from a network with samples to an ONNX file: what `tinygen compress` does, and every point that
`tinygen fit` reports.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tinygen.calibrate.data import Data, Samples
from tinygen.calibrate.methods import DEFAULT_METHOD
from tinygen.compress.log import LayerChange
from tinygen.compress.pipeline import STATISTICS
from tinygen.compress.pipeline import compress as apply_recipe
from tinygen.compress.recipe import Recipe
from tinygen.compress.split import some
from tinygen.compress.structure.student import Student
from tinygen.errors import ModelError
from tinygen.flow.cost import Cost, cost
from tinygen.flow.quality import Scorer
from tinygen.flow.quantised import load, quantised
from tinygen.flow.source import SPLIT_SEED, Source, read_test
from tinygen.flow.types import Calibration, Quantised
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.frontend.onnx_writer import to_qdq
from tinygen.ir.types import Graph
from tinygen.passes.pipeline import tidy
from tinygen.passes.simplify import size_of
from tinygen.progress import Progress, no_progress
from tinygen.targets.board import Board

#: Samples that read a QDQ file back; its scales are all in it, so they decide nothing.
_FEW = 2


@dataclass(frozen=True, slots=True)
class Figures:
    """A network in fixed point: quality by the run's measure, size, and what it takes of the board."""

    quality: float
    macs: int
    weights: int
    cost: Cost


@dataclass(frozen=True, slots=True)
class Outcome:
    """A compressed network: `content` is the QDQ ONNX file. `judged_on` says which samples the quality is of."""

    name: str
    recipe: Recipe
    content: bytes
    changes: tuple[LayerChange, ...]
    measure: str
    judged_on: str
    float_quality: float
    before: Figures
    after: Figures


def compress(
    source: Source, recipe: Recipe, board: Board, optimize: str, *, test: Data | None = None,
    method: str = DEFAULT_METHOD, progress: Progress = no_progress, workdir: Path | None = None,
) -> Outcome:  # fmt: skip
    """Compress, read the result back, and judge it: on `test`, which nothing else sees, or on the validation part."""
    samples = source.validation if test is None else read_test(source, test)
    name = source.imported.graph.name

    def uncompressed() -> tuple[Scorer, Figures]:
        judge = Scorer(source.graph, samples)
        return judge, figures(plain(source, method), judge, board, optimize)

    # Judged while the other is made: neither needs the other.
    with ThreadPoolExecutor(1) as beside:
        judged = beside.submit(uncompressed)
        content, changes = compressed_file(source, recipe, method=method, progress=progress, workdir=workdir)
        progress("judging", 0, 2)
        judge, before = judged.result()
    progress("judging", 1, 2)
    after = figures(read_back(content, name, samples), judge, board, optimize)
    progress("judging", 2, 2)
    return Outcome(name, recipe, content, changes, judge.measure, samples.source, judge.float_quality, before, after)


def read_student(recipe: Recipe, graph: Graph) -> Graph | None:
    """The user's own student, tidied; ModelError unless it takes and gives what the network does."""
    student = recipe.get(Student)
    if student is None or student.model is None:
        return None
    path = Path(student.model)
    found = tidy(read_onnx(path, name=graph.name).graph)
    for kind, ours, theirs in (
        ("input", graph.in_ports, found.in_ports), ("output", graph.out_ports, found.out_ports),
    ):  # fmt: skip
        a, b = [(p.name, p.shape) for p in ours], [(p.name, p.shape) for p in theirs]
        if a != b:
            raise ModelError(f"student {path}: found {kind}s {_ports(b)}; allowed are those of the model, {_ports(a)}.")
    return found


def _ports(ports: list[tuple[str, tuple[int, ...]]]) -> str:
    return ", ".join(f'"{name}" {list(shape)}' for name, shape in ports)


def compressed_file(
    source: Source, recipe: Recipe, *, method: str = DEFAULT_METHOD, progress: Progress = no_progress,
    workdir: Path | None = None,
) -> tuple[bytes, tuple[LayerChange, ...]]:  # fmt: skip
    """The QDQ ONNX file that `recipe` makes of the network, and what each technique did."""
    student = read_student(recipe, source.graph)
    done = apply_recipe(
        source.graph, source.fit, recipe, method=method, own_student=student, progress=progress, workdir=workdir
    )
    return to_qdq(done.graph), done.changes


def read_back(content: bytes, name: str, samples: Samples, *, method: str = DEFAULT_METHOD) -> Quantised:
    """The network as `tinygen build` will see it: from the ONNX file's bytes."""
    few = Samples(tuple(x[:_FEW] for x in samples.inputs), None, samples.sha256, samples.source)
    return quantised(load(Path(f"{name}.onnx"), name=name, content=content), Calibration(few, method))


def plain(source: Source, method: str = DEFAULT_METHOD) -> Quantised:
    """The network as `tinygen build` makes it without compression."""
    return quantised(source.loaded, Calibration(some(source.fit, STATISTICS, SPLIT_SEED), method))


def figures(model: Quantised, judge: Scorer, board: Board, optimize: str) -> Figures:
    size = size_of(model.fixed)
    return Figures(judge.quality(model.fixed), size.macs, size.weights, cost(model, board, optimize))
