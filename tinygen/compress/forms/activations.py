"""Activations of 16 bits: of the whole network, or the outputs of single layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinygen.compress.checks import one_of
from tinygen.compress.network import Network
from tinygen.compress.technique import Option, Own, Suggest, Technique, Trial, Work

WIDTHS = (8, 16)


@dataclass(frozen=True, slots=True)
class Activations:
    """Activations of 16 bits, in the whole network; `layers` has single ones."""

    bits: int = 16

    def __post_init__(self) -> None:
        one_of("activations.bits", self.bits, WIDTHS)

    def describe(self) -> str:
        return f"int{self.bits} activations"


def _apply(work: Work, network: Network, settings: Activations | None) -> Network:
    own = work.of_layers(network.graph, "activations")
    wide = set(network.wide)
    if settings is not None and settings.bits == 16:
        wide |= {t.name for t in network.graph.tensors.values() if t.const is None}
    for node in network.graph.nodes:
        if own.get(node.name) == 16:
            wide |= set(node.outputs)
        elif own.get(node.name) == 8:
            wide -= set(node.outputs)
    return replace(network, wide=frozenset(wide))


def _draw(trial: Trial) -> Activations | None:
    return Activations(16) if trial.suggest_categorical("wide", (False, True)) else None


TECHNIQUE = Technique(
    "activations",
    Activations,
    "scales",
    _apply,
    options=(Option("--activations", int, "Bits of the activations, 8 or 16.", "bits"),),
    own=Own(int, lambda key, value: one_of(key, value, WIDTHS)),
    suggest=Suggest(_draw, off={"wide": False}, unasked=False),
)
