"""Quantise with care: bits of weights and activations, then the ladder of repairs; what `tinygen quantize` does."""

from __future__ import annotations

from dataclasses import dataclass

from tinygen.calibrate.data import Data
from tinygen.compress.finish import prove
from tinygen.compress.pipeline import STATISTICS
from tinygen.compress.precision import AtPrecision, Precision, at_precision
from tinygen.compress.repairs.against_float import AgainstFloat, Quality
from tinygen.compress.split import some
from tinygen.flow.source import SPLIT_SEED, Source, read_test
from tinygen.frontend.onnx_writer import to_qdq
from tinygen.progress import Progress, no_progress

#: Samples on which the written file is read back and proved.
_PROOF = 8


@dataclass(frozen=True)
class RepairedFile:
    """`content`: the QDQ ONNX file; `test`: what the result is worth on the test samples, with the accuracy of the
    float network (None without labels)."""

    name: str
    done: AtPrecision
    content: bytes
    test: tuple[float | None, Quality] | None


def repaired(
    source: Source, precision: Precision, test: Data | None = None, progress: Progress = no_progress
) -> RepairedFile:
    """The network in fixed point as an ONNX file, read back and proved; judged on `test`, once, where there is one."""
    unseen = None if test is None else read_test(source, test)
    few = some(source.fit, STATISTICS, SPLIT_SEED)
    done = at_precision(source.graph, few, source.validation, precision, progress)
    finished = done.repaired.graph
    content = to_qdq(finished)
    prove(finished, content, some(source.validation, _PROOF, SPLIT_SEED))
    judge = None if unseen is None else AgainstFloat(source.graph, unseen)
    tested = None if judge is None else (judge.float_accuracy, judge.quality(finished))
    return RepairedFile(source.loaded.name, done, content, tested)
