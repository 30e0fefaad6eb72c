"""A network at the precision asked for: bits of weights and activations, then the ladder of repairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tinygen.calibrate.data import Samples
from tinygen.compress.checks import one_of
from tinygen.compress.forms.bits import BITS, mixed_bits, set_bits, weight_bytes
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, in_one_form, layers
from tinygen.compress.repairs.ladder import Repaired, repair
from tinygen.compress.repairs.steps import STEPS
from tinygen.errors import ModelError, RecipeError
from tinygen.ir.types import Graph
from tinygen.progress import Progress

Mixed = Literal["mixed"]


@dataclass(frozen=True, slots=True)
class Precision:
    """`weights`: 2 to 8 bits, or mixed; `activations`: 8 or 16, or mixed: int16 where it helps most. `repairs`: steps
    of the ladder. `max_loss_db`: what mixed weights may cost against int8."""

    weights: int | Mixed = 8
    activations: int | Mixed = 8
    repairs: tuple[str, ...] = STEPS
    max_loss_db: float = 1.0
    method: str = "mse"

    def __post_init__(self) -> None:
        if self.weights != "mixed":
            one_of("weights", self.weights, (*BITS, "mixed"))
        if self.activations != "mixed":
            one_of("activations", self.activations, (8, 16, "mixed"))
        if not self.max_loss_db > 0.0:
            raise RecipeError(f"max_loss_db: found {self.max_loss_db:g}, allowed are decibels above 0.")


@dataclass(frozen=True)
class AtPrecision:
    """The result, what each technique did to each layer, and bytes of packed weights in int8 and now."""

    repaired: Repaired
    changes: tuple[LayerChange, ...]
    bytes_int8: int
    bytes_now: int


def at_precision(
    graph: Graph, fit: Samples, held_out: Samples, precision: Precision, progress: Progress
) -> AtPrecision:
    """A tidied FLOAT graph with every scale pinned: calibrated on `fit`, repairs judged on `held_out`.

    ModelError for a network that has no layer with weights.
    """
    if not layers(graph) and not in_one_form(graph):
        raise ModelError(
            f'"{graph.name}" has no convolution and no dense layer with constant weights, and no recurrent one: found '
            f"{', '.join(sorted({type(n.op).__name__ for n in graph.nodes})) or 'no operators'}. There are no weights "
            "to quantise; tinygen build takes it as it is."
        )
    log: list[LayerChange] = []
    network = Network(graph)
    before = weight_bytes(network)
    if precision.weights == "mixed":
        network = mixed_bits(network, fit, max_loss_db=precision.max_loss_db, log=log, progress=progress)
    elif precision.weights != 8:
        network = set_bits(network, precision.weights, log=log)
    steps: Sequence[str] = precision.repairs
    if precision.activations == 16:
        every = frozenset(t.name for t in graph.tensors.values() if t.const is None)
        network = replace(network, wide=every)
    elif precision.activations == "mixed" and "wide" not in steps:
        steps = (*steps, "wide")
    done = repair(
        network, fit, steps=steps, held_out=held_out, widen=precision.activations == "mixed", method=precision.method,
        log=log, progress=progress,
    )  # fmt: skip
    return AtPrecision(done, tuple(log), before, weight_bytes(done.network))
