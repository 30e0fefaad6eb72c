"""A model in fixed point: its integers are those of the chip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygen import simulate
from tinygen.api.board import board_of, period
from tinygen.api.built import Build
from tinygen.api.data import Inputs, as_data
from tinygen.api.evaluation import Evaluation
from tinygen.api.inspection import Inspection
from tinygen.api.result import Result, words
from tinygen.api.tensors import TensorInfo, inputs_of, one, outputs_of, without_batch
from tinygen.calibrate.data import check_limit
from tinygen.compress.repairs.ladder import Row
from tinygen.errors import DataError, TargetError, did_you_mean
from tinygen.flow import evaluate, types
from tinygen.flow.build import build
from tinygen.flow.estimate import estimate
from tinygen.flow.gates import Gates
from tinygen.flow.held import all_judge, unseen
from tinygen.flow.judge import Judge
from tinygen.flow.quantised import read_samples
from tinygen.flow.repaired import RepairedFile
from tinygen.flow.types import PROOFS, Calibration, Judged, Library, Loaded, Proof, Target
from tinygen.flow.verdict import LayerAccuracy, Verdict
from tinygen.numerics import Array
from tinygen.ops.base import int_range
from tinygen.passes.quantise import range_tensors
from tinygen.plan.modes import MODES
from tinygen.progress import Progress, no_progress
from tinygen.report import layers as layers_report
from tinygen.report import quantisation
from tinygen.report import quantised as report
from tinygen.report.table import Table
from tinygen.targets.board import Board
from tinygen.targets.cores import CORES


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Quantised(Result):
    """A model in fixed point. `Model.quantize` makes it."""

    _judged: Judged
    _asked: Calibration
    _float: Loaded
    _repaired: RepairedFile | None = None

    @property
    def _model(self) -> types.Quantised:
        return self._judged.model

    @property
    def name(self) -> str:
        """What the model is called in C."""
        return self._model.imported.graph.name

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """Name, shape with a batch of 1, and element type of each ONNX input."""
        return inputs_of(self._model.imported)

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """The same of each ONNX output."""
        return outputs_of(self._model.imported)

    @property
    def verdict(self) -> Verdict | None:
        """What the integers are worth, on samples that nothing was fitted to; None where no samples could judge."""
        return self._judged.verdict

    @property
    def layers(self) -> tuple[LayerAccuracy, ...]:
        """Signal to quantisation noise of every layer's output, in dB: where accuracy goes."""
        return self._model.layers

    @property
    def repairs(self) -> Repairs | None:
        """What each repair brought, where steps were asked for."""
        return None if self._repaired is None else Repairs(self._repaired, self.notes)

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._model.notes, *self._judged.notes)

    def run(self, x: Inputs) -> Array | tuple[Array, ...]:
        """Outputs as real numbers, each float32 (n, *shape of the ONNX output without its batch of 1), for samples
        `x`; a tuple where there are several. They are exactly what <model>_quantize_input, <model>_run and
        <model>_dequantize_output give on the chip. Of a model that keeps a state both are streams, (streams, steps,
        *shape), each from a reset on.

        >>> model = tinygen.load("examples/sine/sine.onnx")
        >>> x = np.linspace(0, 2 * np.pi, 200, dtype=np.float32).reshape(-1, 1)
        >>> y = model.quantize(x).run(x)
        >>> y.shape, bool(np.abs(y - np.sin(x)).max() < 0.15)
        ((200, 1), True)
        """
        fixed = self._model.fixed
        samples = read_samples(as_data(x), self._loaded, None)
        outputs = simulate.run(fixed, simulate.quantise_inputs(fixed, samples.inputs))
        real = simulate.dequantise_outputs(fixed, outputs)
        return one([without_batch(y.astype(np.float32), streams=bool(fixed.states)) for y in real])

    def run_integers(self, x: Array | Sequence[Array]) -> Array | tuple[Array, ...]:
        """Outputs as the integers of <model>_run's buffers, each (n, *shape in the buffer), for integer inputs of that
        form, as `quantize_input` makes them; a tuple of one for each where there are several. Of a model that keeps a
        state (streams, steps, *shape in the buffer)."""
        fixed = self._model.fixed
        inputs = (x,) if len(fixed.inputs) == 1 and not isinstance(x, tuple) else tuple(x)
        if len(inputs) != len(fixed.inputs):
            raise DataError(f"run_integers: found {len(inputs)} arrays, the model has {len(fixed.inputs)} inputs.")
        taken = []
        for name, port, given in zip(fixed.inputs, fixed.in_ports, inputs, strict=True):
            t = fixed.tensors[name]
            dtype, (low, high) = t.dtype.value, int_range(t)
            x = np.asarray(given)
            lead = ("streams", "steps") if fixed.states else ("n",)
            fits = x.shape[len(lead) :] == t.shape and x.ndim == len(lead) + len(t.shape)
            if not fits or x.dtype.kind not in "iu" or x.size == 0 or x.min() < low or x.max() > high:
                raise DataError(
                    f'run_integers: input "{port.name}" is ({", ".join((*lead, *map(str, t.shape)))}) of integers from '
                    f"{low} to {high}, as the buffer of <model>_run has them; found {x.dtype} {x.shape}."
                )
            taken.append(x.astype(dtype))
        if len({x.shape[: 2 if fixed.states else 1] for x in taken}) > 1:
            raise DataError(
                f"run_integers: found {[len(x) for x in taken]} samples; every input needs the same number."
            )
        return one(simulate.run(fixed, taken))

    def quantize_input(self, x: Inputs) -> Array | tuple[Array, ...]:
        """Samples as the integers that `run_integers` takes: what <model>_quantize_input does."""
        samples = read_samples(as_data(x), self._loaded, None)
        return one(simulate.quantise_inputs(self._model.fixed, samples.inputs))

    def evaluate(
        self, x: Inputs, y: Array | None = None, *, limit: int | None = None, progress: Progress = no_progress
    ) -> Evaluation:
        """What the integers are worth on samples `x` with labels `y`, those that calibrated left out; of the rest, on
        the first `limit`."""
        check_limit(limit)
        model = self._model
        samples = read_samples(as_data(x, y), self._loaded, None)
        # Nothing is fitted to samples where the user's own file has every scale.
        fitted = bool(range_tensors(self._float.tidy))
        count = samples.count if limit is None else limit
        held = unseen(samples, model.samples, "given", limit) if fitted else all_judge(samples, count, count)[1]
        verdict = Judge(self._float.imported, self._float.tidy, held, progress).verdict(model.fixed, model.layers)
        return Evaluation(evaluate.Evaluation(self.name, verdict, model.layers, held.notes))

    def inspect(
        self,
        board: str | Board | None = None,
        *,
        assume_zero_wait: bool = False,
        every: float | str | None = None,
    ) -> Inspection:
        """What it would take of every board, or of `board` layer by layer; nothing is compiled. The rest is as in
        `Model.inspect`."""
        wanted, seconds = None if board is None else board_of(board), period(every)
        return Inspection(self._model, estimate(self._model, wanted, every=seconds, zero_wait=assume_zero_wait))

    def build(
        self,
        board: str | Board,
        *,
        optimize: str = "balanced",
        arena: str = "caller",
        plain_stack: bool = False,
        sensors: str | Sequence[str] = (),
        private: bool = False,
        verify: str | Sequence[str] = "board",
        code_in_ram: int = 0,
        assume_zero_wait: bool = False,
        max_flash: int | None = None,
        max_ram: int | None = None,
        max_ms: float | None = None,
        progress: Progress = no_progress,
    ) -> Build:
        """The C library for a board, proved and measured, in memory; `Build.save` writes it.

        optimize: "speed" on that board, "balanced" or "size"; all give the same bits.
        arena: who owns the working memory: the "caller", by a context, or the library ("static").
        plain_stack: no kernel that uses the stack pointer as a pointer to data.
        sensors: also helpers for a sensor's own integers: "uint8", "uint8/255", "imu=int16*0.061".
        verify: where the C is proved: on this computer and the board's core ("board"), on "all" cores, on "none", or
            names of cores.
        private: C without names and hashes of the ONNX file.
        code_in_ram: bytes of RAM that kernels and constants may take, on boards with RAM from which code never waits;
            those that win most time go there.
        assume_zero_wait: choose kernels, and predict, as if the board's memory never waited.
        max_flash, max_ram, max_ms: bytes and milliseconds; TargetError for a build that takes more.

        VerifyError where the C and numpy differ, TargetError for a model that does not fit the board. Proof on a core
        whose tools are missing is left out, and `Build.notes` say so.
        """
        target, proof = target_of(
            board,
            optimize=optimize,
            arena=arena,
            plain_stack=plain_stack,
            sensors=sensors,
            private=private,
            verify=verify,
            zero_wait=assume_zero_wait,
            code_in_ram=code_in_ram,
        )
        gates = Gates(max_flash=max_flash, max_ram=max_ram, max_ms=max_ms)
        return Build(build(self._judged, self._asked, target, proof, gates, progress))

    def to_onnx(self) -> bytes:
        """An ONNX file (QDQ) with every scale in it, which onnxruntime runs and `load` takes without samples, proved to
        give the same integers.

        DataError for a network whose scales an ONNX file cannot hold, being no float32: `quantize` with repair="none"
        (or any steps) decides all of them as a file can.
        """
        if self._repaired is not None:
            return self._repaired.content
        if self._model.imported.quantised:
            return self._model.imported.original
        raise DataError(
            f'"{self.name}": its scales are finer than the float32 of an ONNX file, which would give other integers. '
            'Quantise it with repair="none" (or "all", or steps): then every scale is one that a file holds.'
        )

    def layer_tables(self) -> tuple[Table, ...]:
        """Where accuracy goes, layer by layer."""
        return layers_report.tables(self.layers)

    def tables(self) -> tuple[Table, ...]:
        return report.tables(self._judged, self._repaired)

    def to_dict(self) -> dict[str, Any]:
        return report.as_dict(self._judged, self._repaired)

    def __repr__(self) -> str:
        return words("Quantised", f"{self.name}: {self.verdict or 'accuracy unknown'}")

    @property
    def _loaded(self) -> Loaded:
        return Loaded(self._model.imported, self._model.tidy)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Repairs(Result):
    """What each step of the repairs brought, and what the result is worth on the test samples."""

    _done: RepairedFile
    _notes: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[Row, ...]:
        """Each step with the quality before and after it, whether it was kept, and what it did."""
        return self._done.done.repaired.rows

    @property
    def notes(self) -> tuple[str, ...]:
        return self._notes

    def tables(self) -> tuple[Table, ...]:
        return quantisation.tables(self._done.done, self._done.test)

    def to_dict(self) -> dict[str, Any]:
        return quantisation.as_dict(self._done.name, self._done.done, self._done.test)

    def __repr__(self) -> str:
        return words("Repairs", f"{self._done.name}: {', '.join(r.step for r in self.steps if r.kept) or 'none kept'}")


def target_of(
    board: str | Board,
    *,
    optimize: str,
    arena: str,
    plain_stack: bool,
    sensors: str | Sequence[str],
    private: bool,
    verify: str | Sequence[str],
    zero_wait: bool,
    code_in_ram: int,
) -> tuple[Target, Proof]:
    """What `Quantised.build` is asked for, checked: TargetError for a board, a way or a core that there is not."""
    for what, word, allowed in (("optimize", optimize, MODES), ("arena", arena, ("caller", "static"))):
        if word not in allowed:
            raise TargetError(
                f'{what}: found "{word}", allowed: {", ".join(allowed)}.{did_you_mean(str(word), allowed)}'
            )
    sensors = (sensors,) if isinstance(sensors, str) else tuple(sensors)
    library = Library(arena == "static", sensors, private)
    found = board_of(board, zero_wait=zero_wait, code_in_ram=code_in_ram)
    return Target(found, optimize, plain_stack, library), Proof(_cores(verify))


def _cores(verify: str | Sequence[str]) -> tuple[str, ...] | None:
    if isinstance(verify, str):
        if verify in PROOFS:
            return PROOFS[verify]
        verify = (verify,)
    known = [c.name for c in CORES]
    asked: Any = verify
    for name in asked if isinstance(asked, Iterable) else (asked,):
        if name not in known:
            raise TargetError(
                f'verify: found "{name}"; allowed are board, all, none, or cores: {", ".join(known)}.'
                f"{did_you_mean(str(name), known)}"
            )
    return tuple(verify)
