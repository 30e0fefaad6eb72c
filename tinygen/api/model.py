"""A model as it was read, and what can be made of it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from tinygen.api.board import board_of, period
from tinygen.api.built import Build
from tinygen.api.compressed import Compressed
from tinygen.api.data import Inputs, as_data, data_or_none
from tinygen.api.evaluation import Evaluation
from tinygen.api.fitted import Fitted
from tinygen.api.inspection import Inspection
from tinygen.api.quantised import Quantised, target_of
from tinygen.api.result import words
from tinygen.api.tensors import TensorInfo, inputs_of, outputs_of
from tinygen.calibrate.data import Data, part
from tinygen.calibrate.methods import CALIBRATION_SAMPLES, DEFAULT_METHOD
from tinygen.compress.precision import Precision
from tinygen.compress.recipe import Recipe, from_dict, read_recipe, with_options
from tinygen.compress.repairs.steps import STEPS
from tinygen.compress.techniques import first_options
from tinygen.compress.train.settings import Training
from tinygen.errors import DataError, ModelError, RecipeError, TargetError, did_you_mean
from tinygen.files import write_file
from tinygen.fit import space
from tinygen.fit.budget import Limits
from tinygen.fit.points import Choice
from tinygen.fit.run import Effort, Places, default_storage, work_of
from tinygen.fit.run import fit as run_fit
from tinygen.fit.search import Job, Watch
from tinygen.flow import compress, quantised, repaired
from tinygen.flow.build import build_folder
from tinygen.flow.estimate import estimate
from tinygen.flow.evaluate import evaluate
from tinygen.flow.gates import Gates, Terms
from tinygen.flow.judge import judged
from tinygen.flow.source import source_of
from tinygen.flow.types import Calibration, Loaded
from tinygen.names import model_name
from tinygen.numerics import Array
from tinygen.plan.modes import MODES
from tinygen.progress import Progress, no_progress
from tinygen.report import search as search_report
from tinygen.targets.board import DEFAULT_BOARD, Board

if TYPE_CHECKING:
    import torch
    from onnx import ModelProto

#: Of each trial of a search, where nobody says more.
_TRAINING = Training(epochs=1)


def _unwatched(done: int, total: int, found: object) -> None:
    """Nobody looks."""


def _untold(notes: list[str]) -> None:
    """Nobody listens."""


#: Bits, "mixed", or the names of those in 16 bits: in one text with commas between, or several.
Activations: TypeAlias = int | str | Sequence[str]


def load(
    model: str | os.PathLike[str] | bytes | ModelProto | torch.nn.Module,
    *,
    name: str | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    states: Mapping[str, str] | None = None,
    constants: Mapping[str, Any] | None = None,
    example: Any = None,
) -> Model:
    """Read a model: the path of an ONNX file, its bytes, an `onnx.ModelProto`, or a `torch.nn.Module` with an `example`
    input (a tensor or array, or a tuple of them, with a batch in front).

    name: what it is called in C; the file's name unless given.
    input_shapes: of inputs that the model leaves open, by name.
    states: outputs that the library keeps for the next call, by the names of the inputs that take them there:
        {"h": "h_out"}. Samples of such a model are streams of calls, (streams, steps, *shape).
    constants: numbers or arrays that inputs always are, by name: {"sr": 16000}.

    ModelError with everything that is wrong with it.

    >>> tinygen.load("examples/digits/digits.onnx")
    <Model digits: image (1, 1, 8, 8) -> logits (1, 10)>
    """
    edges: Any = {
        "input_shapes": _shapes(input_shapes or {}),
        "states": dict(states or {}),
        "constants": dict(constants or {}),
    }
    if isinstance(model, str | os.PathLike):
        path = Path(model)
        return Model(quantised.load(path, name=name, **edges), path)
    given: Any = model
    if isinstance(given, bytes | bytearray | memoryview):
        content = bytes(given)
    elif hasattr(given, "SerializeToString"):
        content = given.SerializeToString()
    elif hasattr(given, "state_dict"):
        from tinygen.api.torch_export import exported

        content = exported(given, example)
        name = name or type(given).__name__
    else:
        raise ModelError(
            f"load: found {type(model).__name__}; allowed are the path of an ONNX file, its bytes, an onnx.ModelProto, "
            "or a torch.nn.Module with an example input."
        )
    path = Path(f"{model_name(name or 'model')}.onnx")
    return Model(quantised.load(path, name=name, content=content, **edges), None, content)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Model:
    """A model that tinygen can build. `load` makes it."""

    _loaded: Loaded = field(repr=False)
    _path: Path | None = None
    _content: bytes = b""

    @property
    def name(self) -> str:
        """What it is called in C."""
        return self._loaded.name

    @property
    def sha256(self) -> str:
        """Of the file, with its external data."""
        return self._loaded.imported.sha256

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """Name, shape with a batch of 1, and element type of each ONNX input."""
        return inputs_of(self._loaded.imported)

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """The same of each ONNX output."""
        return outputs_of(self._loaded.imported)

    @property
    def quantised(self) -> bool:
        """Whether the file has scales of its own already."""
        return self._loaded.imported.quantised

    @property
    def notes(self) -> tuple[str, ...]:
        """What one should know of how it was read."""
        return self._loaded.imported.notes

    def __repr__(self) -> str:
        ends = (", ".join(f"{t.name} {t.shape}" for t in kind) for kind in (self.inputs, self.outputs))
        return words("Model", f"{self.name}:", " -> ".join(ends))

    def inspect(
        self,
        board: str | Board | None = None,
        *,
        activations: Activations = 8,
        calibration: str = DEFAULT_METHOD,
        assume_zero_wait: bool = False,
        every: float | str | None = None,
    ) -> Inspection:
        """What it is made of, and what it would take of every board, or of `board` layer by layer. Nothing is compiled;
        ranges are made up. assume_zero_wait: as if no memory ever waited. every: from one inference to the next, in
        seconds or as "100ms", for the energy of a period.
        """
        wanted, seconds = None if board is None else board_of(board), period(every)
        asked = Calibration(method=calibration, activations=_named(activations))
        model = quantised.quantised(self._loaded, asked)
        return Inspection(model, estimate(model, wanted, every=seconds, zero_wait=assume_zero_wait))

    def quantize(
        self,
        x: Inputs | None = None,
        y: Array | None = None,
        *,
        weights: int | str = 8,
        activations: Activations = 8,
        repair: str | Sequence[str] = "auto",
        max_loss_db: float = 1.0,
        calibration: str = DEFAULT_METHOD,
        samples: int = CALIBRATION_SAMPLES,
        test: Inputs | None = None,
        test_y: Array | None = None,
        accept_loss: bool = False,
        min_accuracy: float | None = None,
        max_loss: float | None = None,
        min_sqnr: float | None = None,
        progress: Progress = no_progress,
    ) -> Quantised:
        """In fixed point, calibrated on samples `x` (with labels `y`) and judged on some of them that are held back for
        that, or on `test`. Without samples the ranges are made up, and nothing is known of the accuracy.

        x: a file, a folder, an array (n, *shape), one for each input in a tuple, or arrays by input name.
        weights: bits, 2 to 8, or "mixed": for each layer the fewest that it bears within `max_loss_db`.
        activations: bits, 8 or 16; "mixed"; or names of ONNX nodes, inputs and outputs in 16 bits.
        repair: "auto" repairs only a network that integers destroy, "off" not even that; "all" or names of steps
            (equalise, bias, round, wide) are each kept where they help; "none" decides every scale without any.
        calibration: how ranges are estimated: minmax, percentile, mse, entropy; samples: on how many, at most.
        accept_loss: give it back although integers have destroyed it; else that is an AccuracyError, as is missing
            `min_accuracy` (a share), `max_loss` (a share) or `min_sqnr` (dB).
        """
        data, judges = data_or_none(x, y), data_or_none(test, test_y)
        if judges is not None and data is None:
            raise DataError("test judges a network that samples calibrate: give those as well.")
        terms = Terms(repair != "off", accept_loss, Gates(min_accuracy, max_loss, min_sqnr))
        steps = _steps(repair)
        bits: Any = int(weights) if str(weights).isdecimal() else weights
        if steps is None and bits == 8 and activations != "mixed":
            asked = Calibration(data, calibration, samples, _named(activations), judges, hold_back=True)
            model = quantised.quantised(self._loaded, asked, progress=progress)
            return Quantised(judged(model, asked.method, asked.activations, terms, progress), asked, self._loaded)
        if data is None:
            raise DataError("to choose bits or repairs by, samples are needed: give x.")
        source = source_of(self._loaded, data)
        precision = Precision(bits, _bits(activations), STEPS if steps is None else steps, max_loss_db, calibration)
        done = repaired.repaired(source, precision, judges, progress)
        again = quantised.load(Path(f"{self.name}.onnx"), name=self.name, content=done.content)
        fit = part(source.fit, slice(0, max(1, samples)))
        kind = "held back" if judges is None else "for testing"
        asked = Calibration(fit, calibration, samples, test=judges or source.validation, kind=kind)
        model = quantised.quantised(again, asked, progress=progress)
        return Quantised(judged(model, asked.method, "8", terms, progress, self._loaded), asked, self._loaded, done)

    def evaluate(
        self,
        x: Inputs,
        y: Array | None = None,
        *,
        calibrate: Inputs | None = None,
        limit: int | None = None,
        activations: Activations = 8,
        calibration: str = DEFAULT_METHOD,
        samples: int = CALIBRATION_SAMPLES,
        progress: Progress = no_progress,
    ) -> Evaluation:
        """What integers are worth against the float network, on samples `x` with labels `y`: as a build would make
        them, calibrated on the samples `calibrate`, else on some of `x`, which then do not judge. limit: so many judge,
        at most."""
        asked = Calibration(data_or_none(calibrate), calibration, samples, _named(activations))
        return Evaluation(evaluate(self._loaded, as_data(x, y), asked, progress, limit=limit))

    def build(
        self,
        board: str | Board,
        output: str | os.PathLike[str],
        x: Inputs | None = None,
        y: Array | None = None,
        *,
        test: Inputs | None = None,
        test_y: Array | None = None,
        activations: Activations = 8,
        calibration: str = DEFAULT_METHOD,
        samples: int = CALIBRATION_SAMPLES,
        repair: str = "auto",
        accept_loss: bool = False,
        gates: Gates | None = None,
        optimize: str = "balanced",
        arena: str = "caller",
        plain_stack: bool = False,
        sensors: str | Sequence[str] = (),
        private: bool = False,
        verify: str | Sequence[str] = "board",
        code_in_ram: int = 0,
        assume_zero_wait: bool = False,
        force: bool = False,
        progress: Progress = no_progress,
    ) -> Build:
        """`quantize`, `Quantised.build` and `Build.save` in one: all that is wrong with the output folder or the board
        is said before there is work, and the folder appears only when all went well.

        gates: what the build must not exceed or fall short of.
        repair: "auto" or "off"; for more repairs, and weights of few bits, call `quantize` and build what it gives.
        The rest is as there.
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
        if repair not in ("auto", "off"):
            raise RecipeError(f"repair: found {repair!r}, allowed: auto, off. Model.quantize has more.")
        asked = Calibration(data_or_none(x, y), calibration, samples, _named(activations), data_or_none(test, test_y))
        terms = Terms(repair == "auto", accept_loss, gates or Gates())
        folder = Path(output)
        built = build_folder(
            self._loaded, folder, target, asked, terms=terms, proof=proof, progress=progress, force=force
        )
        return Build(built, folder)

    def compress(
        self,
        x: Inputs,
        y: Array | None = None,
        *,
        recipe: Recipe | Mapping[str, Any] | str | os.PathLike[str] | None = None,
        test: Inputs | None = None,
        test_y: Array | None = None,
        all_data: bool = False,
        board: str | Board = DEFAULT_BOARD,
        optimize: str = "balanced",
        calibration: str = DEFAULT_METHOD,
        checkpoints: str | os.PathLike[str] | None = None,
        progress: Progress = no_progress,
        **techniques: Any,
    ) -> Compressed:
        """Smaller, by the techniques of a recipe (a `Recipe`, the path of a TOML file, or what would stand in it:
        {"prune": {"amount": 0.5}}) and those named: `prune=0.5`, `bits=4`, `cluster=16`, `epochs=10`, as the options of
        `tinygen compress` are called.

        x, y: samples to compress with; a fifth is held back to judge by unless there are `test` samples.
        all_data: hold nothing back, as `test` judges.
        board, optimize: whose flash, RAM and time the figures are.
        checkpoints: a folder for the state of training, from which the same call goes on.
        """
        target = board_of(board)
        asked = with_options(_recipe(recipe), techniques)
        if recipe is None and not asked.techniques:
            known = ", ".join(f"`{o.name}`" for o in first_options())
            raise RecipeError(
                f"nothing to do: found no technique; allowed are {known}, or a `recipe` with any of them."
            )
        judges = data_or_none(test, test_y)
        if all_data and judges is None:
            raise DataError(
                "`all_data=True`: found no `test` samples; without them nothing is left to judge the result by. "
                "Give both."
            )
        source = source_of(self._loaded, as_data(x, y), hold_back=not all_data)
        done = compress.compress(
            source, asked, target, optimize, test=judges, method=calibration, progress=progress,
            workdir=None if checkpoints is None else Path(checkpoints),
        )  # fmt: skip
        return Compressed(done)

    def fit(
        self,
        boards: str | Board | Sequence[str | Board],
        x: Inputs,
        y: Array | None = None,
        *,
        output: str | os.PathLike[str],
        limits: Limits | None = None,
        effort: Effort | None = None,
        techniques: Sequence[str] | None = None,
        training: Training | None = _TRAINING,
        optimize: str | None = None,
        test: Inputs | None = None,
        test_y: Array | None = None,
        calibration: str = DEFAULT_METHOD,
        minimize: str | None = None,
        every: float | str | None = None,
        seed: int = 0,
        storage: str | None = None,
        resume: bool = False,
        force: bool = False,
        command: str = "",
        progress: Progress = no_progress,
        watch: Watch = _unwatched,
        tell: Callable[[list[str]], None] = _untold,
    ) -> Fitted:
        """Search the combinations of `techniques` for networks within `limits` of the boards; build and prove the best,
        and write them with a report into the folder `output`.

        x, y: samples to compress with.
        limits: Limits(flash=, ram=, milliseconds=, quality=); what is not given is the board's own, or free.
        effort: Effort(trials=, seconds=, jobs=): how much is done.
        techniques: names of what may be combined; all that suit unless given. training: of each trial; None: without.
        test, test_y: samples that judge the reported networks, once.
        minimize: "energy", "time", "flash" or "ram": what comes first among networks of the quality in `limits`.
        every: from one inference to the next, in seconds or as "100ms": networks must be done by then, and energy
            counts the sleep.
        storage: URL of a database for the trials, a file beside `output` unless given; `resume` goes on with a search
            that is there.
        watch: called after every trial; tell: with notes as they come; command: what the report says made it.

        RecipeError for budgets or techniques that make no sense; OutputError for a folder or storage that cannot be
        used.
        """
        out = Path(output)
        work = work_of(out)
        asked = (boards,) if isinstance(boards, str | Board) else tuple(boards)
        if not asked:
            raise TargetError("fit: found no board. Give the id of one, or several.")
        said = self._loaded.imported
        if said.states or said.constants:
            what = "`states`" if said.states else "`constants`"
            raise ModelError(
                f"fit: reads the model's file anew for every trial, which has no {what}. Store a model without."
            )
        names = tuple(dict.fromkeys(board_of(b).id for b in asked))
        judges = data_or_none(test, test_y)
        model, data = self._on_disk(work), self._samples_on_disk(work / "data.npz", as_data(x, y))
        unseen = None if judges is None else self._samples_on_disk(work / "test.npz", judges)
        shapes = {t.name: t.shape for t in self.inputs}
        wanted = tuple(space.default() if techniques is None else techniques)
        modes = MODES if optimize is None else (optimize,)
        job = Job(model, data, names, limits or Limits(), modes, wanted, training, seed, calibration, self.name, shapes)
        choice = Choice(minimize, period(every))
        places = Places(unseen, storage or default_storage(out), work, out)
        found = run_fit(
            job, effort or Effort(), places, search_report.files, command=command, resume=resume, force=force,
            progress=progress, watch=watch, tell=tell, choice=choice,
        )  # fmt: skip
        return Fitted(found, out)

    def _on_disk(self, work: Path) -> Path:
        """The model's file, for the processes of a search; one without is written into `work`."""
        if self._path is not None:
            return self._path
        model = work / f"{self.name}.onnx"
        write_file(model, self._content)
        return model

    def _samples_on_disk(self, file: Path, data: Data) -> Path:
        """The same of samples: `file` where they have none."""
        if isinstance(data, Path):
            return data
        samples = quantised.read_samples(data, self._loaded, None)
        arrays = dict(zip((t.name for t in self.inputs), samples.inputs, strict=True))
        buffer = io.BytesIO()
        np.savez(buffer, **arrays, **({} if samples.labels is None else {"y": samples.labels}))  # type: ignore[arg-type]
        write_file(file, buffer.getvalue())
        return file


def _recipe(given: Recipe | Mapping[str, Any] | str | os.PathLike[str] | None) -> Recipe:
    if isinstance(given, Recipe):
        return given
    if given is None or isinstance(given, Mapping):
        return from_dict(given or {})
    return read_recipe(Path(given))


def _steps(repair: str | Sequence[str]) -> tuple[str, ...] | None:
    """Steps of the ladder; None where only a destroyed network is repaired."""
    if repair in ("auto", "off"):
        return None
    asked: Any = STEPS if repair == "all" else () if repair == "none" else repair
    steps = tuple(asked) if isinstance(asked, Iterable) and not isinstance(asked, str) else (asked,)
    for step in steps:
        if step not in STEPS:
            known = ("auto", "off", "all", "none", *STEPS)
            raise RecipeError(f'no repair "{step}"; allowed are {", ".join(known)}.{did_you_mean(str(step), known)}')
    return steps


def _shapes(given: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes by input name, of whole numbers."""
    for name, shape in given.items():
        if isinstance(shape, str) or not all(isinstance(d, int | np.integer) for d in np.atleast_1d(shape)):
            raise ModelError(f'input_shapes: found {shape!r} for "{name}", allowed are whole numbers: (1, 3, 32, 32).')
    return {name: tuple(int(d) for d in shape) for name, shape in given.items()}


def _named(activations: Activations) -> str:
    """In one text."""
    return str(activations) if isinstance(activations, int | str) else ",".join(activations)


def _bits(activations: Activations) -> int | Literal["mixed"]:
    if activations == "mixed":
        return "mixed"
    named = _named(activations)
    if named not in ("8", "16"):
        raise RecipeError(
            f'activations: found "{named}" together with repairs or bits of the weights; allowed are 8, 16 and "mixed".'
        )
    return int(named)
