"""What a plan will cost, from the cost model and recorded sizes of kernels alone: nothing is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinygen.plan import cost
from tinygen.plan.types import Plan, Step
from tinygen.targets.cores import get_core
from tinygen.targets.kernel_sizes import known_bytes

#: Bytes, fitted to the builds of benchmarks/results/predict.json: code of a layer (function, config, call), of the rest
#: of the model's own file with the library functions it needs, and stack beyond what the hungriest kernel asks for.
LAYER_CODE = 65
MODEL_CODE = 830
STACK = 450


@dataclass(frozen=True, slots=True)
class LayerPrediction:
    """One layer: `constants` are the bytes its kernels read beside the image, before equal ones are shared."""

    name: str
    title: str
    origin: tuple[str, ...]
    kernels: tuple[str, ...]
    shape: tuple[int, ...]
    macs: int
    instructions: float
    cycles: float
    constants: int


@dataclass(frozen=True, slots=True)
class Prediction:
    """A network on one core, one inference. `cycles` is None on cores whose timing is not modelled; kernels in
    `unmeasured` have no recorded cost and count as nothing. Bytes: `code` of kernels and layers, `constants`, `arena`,
    `io` (input and output), `stack`.
    """

    core: str
    layers: tuple[LayerPrediction, ...]
    instructions: int
    cycles: int | None
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

    def milliseconds(self, clock_hz: int) -> float | None:
        """Time of an inference without flash wait states, where cycles are modelled."""
        return None if self.cycles is None else 1000 * self.cycles / clock_hz


def predict(plan: Plan, files: Mapping[str, bytes], constants: int) -> Prediction:
    """Every layer's cost and their sum. `files`: of the kernels, by plain name; `constants`: bytes of its arrays."""
    layers = tuple(_layer(step, plan.core) for step in plan.steps)
    timed = get_core(plan.core).timing is not None
    return Prediction(
        plan.core,
        layers,
        round(sum(layer.instructions for layer in layers)),
        round(sum(layer.cycles for layer in layers)) if timed else None,
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


def _layer(step: Step, core: str) -> LayerPrediction:
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
        sum(k.array.nbytes for c in calls for k in c.consts),
    )
