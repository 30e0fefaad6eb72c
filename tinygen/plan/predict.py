"""What a plan will cost, from the cost model and recorded sizes of kernels alone: nothing is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinygen.plan import cost
from tinygen.plan.types import Plan, Step
from tinygen.targets.cores import get_core
from tinygen.targets.flash import Flash
from tinygen.targets.kernel_sizes import known_bytes

#: Bytes, fitted to the builds of benchmarks/results/predict.json: code of a layer (function, config, call), of the rest
#: of the model's own file with the library functions it needs, and stack beyond what the hungriest kernel asks for.
LAYER_CODE = 65
MODEL_CODE = 830
STACK = 450


@dataclass(frozen=True, slots=True)
class LayerPrediction:
    """One layer: `constants` are the bytes its kernels read beside the image, before equal ones are shared; `stalls`
    the cycles that it waits for flash, on top of `cycles`."""

    name: str
    title: str
    origin: tuple[str, ...]
    kernels: tuple[str, ...]
    shape: tuple[int, ...]
    macs: int
    instructions: float
    cycles: float
    stalls: float
    constants: int


@dataclass(frozen=True, slots=True)
class Prediction:
    """A network on one core, one inference. `cycles` with memory that never waits is None on cores whose timing is not
    modelled; `stalls`, which flash adds, where nobody described it. Kernels in `unmeasured` have no recorded cost
    and count as nothing. Bytes: `code` of kernels and layers, `constants`, `arena`, `io` (input and output), `stack`.
    """

    core: str
    layers: tuple[LayerPrediction, ...]
    instructions: int
    cycles: int | None
    stalls: int | None
    code: int
    constants: int
    arena: int
    io: int
    stack: int
    unmeasured: tuple[str, ...]

    @property
    def flash(self) -> int:
        return self.code + self.constants

    @property
    def ram(self) -> int:
        return self.arena + self.io + self.stack

    @property
    def flash_cycles(self) -> int | None:
        """With the waits for flash; without them where nobody described it."""
        return None if self.cycles is None else self.cycles + (self.stalls or 0)

    def milliseconds(self, clock_hz: int) -> float | None:
        """Time of `flash_cycles`."""
        return None if self.flash_cycles is None else 1000 * self.flash_cycles / clock_hz

    def zero_wait_milliseconds(self, clock_hz: int) -> float | None:
        """Time of an inference with memory that never waits, where cycles are modelled."""
        return None if self.cycles is None else 1000 * self.cycles / clock_hz


def predict(plan: Plan, files: Mapping[str, bytes], constants: int, flash: Flash | None = None) -> Prediction:
    """Every layer's cost and their sum. `files`: of the kernels, by plain name; `constants`: bytes of its arrays;
    `flash`: what code and constants are read from, None where nobody described it."""
    layers = tuple(_layer(step, plan, flash) for step in plan.steps)
    waits = flash is not None and all(
        cost.stalls(c.call, plan.core, flash) is not None for s in plan.steps for c in s.calls
        if cost.known(c.call, plan.core)
    )  # fmt: skip
    timed = get_core(plan.core).timing is not None
    return Prediction(
        plan.core,
        layers,
        round(sum(layer.instructions for layer in layers)),
        round(sum(layer.cycles for layer in layers)) if timed else None,
        round(sum(layer.stalls for layer in layers)) if timed and waits else None,
        _code(plan, files),
        constants,
        plan.arena_len,
        sum(e.nbytes for e in (*plan.inputs, *plan.outputs)),
        STACK + max((c.call.stack for step in plan.steps for c in step.calls), default=0),
        tuple(sorted({cost.line(c.call) for s in plan.steps for c in s.calls if not cost.known(c.call, plan.core)})),
    )


def _code(plan: Plan, files: Mapping[str, bytes]) -> int:
    """Code of the kernels among `files`, by their recorded sizes or as their generators reckon, and of the layers."""
    names = [name.removesuffix(".c") for name in files if name.endswith(".c")]
    library = sum(known_bytes(plan.core, name) or 0 for name in names)
    return library + sum(g.code for g in plan.generated) + LAYER_CODE * len(plan.steps) + MODEL_CODE


def _layer(step: Step, plan: Plan, flash: Flash | None) -> LayerPrediction:
    core = plan.core
    calls = [planned.call for planned in step.calls]
    measured = [c for c in calls if cost.known(c, core)]
    return LayerPrediction(
        step.name,
        step.title,
        step.origin,
        tuple(c.kernel for c in calls),
        step.out_shapes[0],
        step.macs,
        sum(cost.instructions(c, core) for c in measured),
        sum(cost.cycles(c, core) for c in measured),
        0.0 if flash is None else sum(cost.stalls(c, core, flash, plan.in_ram) or 0.0 for c in measured),
        sum(k.array.nbytes for c in calls for k in c.consts),
    )
