"""The passes in order. The order matters; each line says why its pass stands there."""

from __future__ import annotations

from tinygen.ir.types import Graph
from tinygen.passes import (
    absorb_pins,
    affine,
    attention,
    canonical,
    cells,
    collapse_unary,
    fold_scale,
    fuse_clamp,
    fuse_pad,
    input_affine,
    last_step,
    layout,
    lengths,
    log_sum_exp,
    normalise,
    sequences,
    states,
)
from tinygen.passes.base import Pass, apply

TIDY: tuple[Pass, ...] = (
    states.PASS,  # before layout: each part of a state has one of its own
    input_affine.PASS,  # before a clamp fuses with it, or a scale without a layer becomes one
    absorb_pins.PASS,  # requantise nodes would stand between the patterns below
    layout.PASS,  # brings layers and what follows them together, channels last
    absorb_pins.PASS,  # those that a transpose kept from their producer
    input_affine.PASS,  # what a transpose or a pin kept from its input
    cells.PASS,  # written out by hand: before anything takes its parts for single functions and scales
    sequences.PASS,  # loops of those, at once: a cell alone is what nothing else is
    normalise.PASS,  # likewise
    fold_scale.PASS,  # before activations: a clamp ends the chain of foldable constants
    attention.PASS,  # where layers have their biases, before its scales are taken for something else
    fuse_clamp.PASS,  # before collapse_unary: a clamp fused in a layer narrows its range and costs nothing
    canonical.PASS,  # after folding: a reshape in between would stop it
    lengths.PASS,  # squares and roots must not meet int8
    log_sum_exp.PASS,  # before chains are collapsed: likewise exponentials and logarithms
    affine.PASS,  # scales that no layer took
    fuse_clamp.PASS,  # their activations
    collapse_unary.PASS,  # what is left of element-wise chains
    fuse_clamp.PASS,  # clamps that collapsing made visible
    fuse_pad.PASS,  # pads whose transposes are gone
    layout.PASS,  # what canonical and fusing uncovered
    attention.PRODUCTS,  # transposes that stay in front of products
    absorb_pins.PASS,
    last_step.PASS,  # slices and reshapes are as simple as they get
    canonical.PASS,
)


#: Rounds of the whole line; a second finds what the first uncovered, more are rare.
ROUNDS = 5


def tidy(graph: Graph) -> Graph:
    """A FLOAT graph, simplified; the values it computes change by float rounding only."""
    for _ in range(ROUNDS):
        before = graph
        for p in TIDY:
            graph = apply(p, graph)
        if graph is before:
            break
    return graph
