"""More bits where they bring most: int8 for weights of fewer, int16 for activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tinygen.calibrate.data import Samples
from tinygen.compress.finish import prepared, settle
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, layers
from tinygen.compress.repairs.against_float import AgainstFloat
from tinygen.ir.types import Graph, Node
from tinygen.passes.quantise import wide_tensors
from tinygen.progress import Progress

#: More bits must bring so many dB.
WIDE_GAIN_DB = 0.5
#: At most so many tensors or layers get more bits.
MOST_WIDE = 8


def find_wide(
    network: Network,
    unrounded: Graph,
    samples: Samples,
    method: str,
    bias: bool,
    judge: AgainstFloat,
    changes: list[LayerChange],
    progress: Progress,
) -> tuple[Network, str]:
    """More bits where they bring most: int8 for weights of fewer, int16 for activations.

    Each alone is tried first; then they are taken in the order of what they brought, at most MOST_WIDE, and no more
    than come within WIDE_GAIN_DB of the best.
    """

    _, _, ranges = prepared(network, samples, method=method, bias=bias)

    def quality(candidate: Network) -> float:
        own, pinned, _ = prepared(candidate, samples, bias=bias, ranges=ranges)
        return judge.quality(settle(pinned, own, ranges)).sqnr_db

    options = _options(network, unrounded)
    start, gains = quality(network), []
    for i, (name, kind, candidate) in enumerate(options):
        gains.append((quality(candidate(network)) - start, name, kind, candidate))
        progress("wider layers", i + 1, len(options))
    gains.sort(key=lambda g: (-g[0], g[1]))
    # Noise of several layers adds up: one of them alone may bring little, and all of them much.
    tried, steps = network, []
    for _, name, kind, candidate in gains[:MOST_WIDE]:
        tried = candidate(tried)
        steps.append((quality(tried), tried, name, kind))
    best = max((found for found, *_ in steps), default=start)
    if best < start + WIDE_GAIN_DB:
        return network, "nothing brings enough"
    last = next(k for k, (found, *_) in enumerate(steps) if found >= best - WIDE_GAIN_DB)
    for found, _, name, kind in steps[: last + 1]:
        changes.append(LayerChange(name, "wide", f"{kind}: {found - start:+.1f} dB with those before", 0, 0))
    return steps[last][1], ", ".join(f"{name} {kind}" for _, _, name, kind in steps[: last + 1])


_Change = Callable[[Network], Network]


def _options(network: Network, unrounded: Graph) -> list[tuple[str, str, _Change]]:
    """(layer or tensor, what it gets, the change). `unrounded`: the graph before learned rounding, whose weights a
    layer with more bits starts from."""
    graph = network.graph
    options: list[tuple[str, str, _Change]] = []
    for node in layers(graph):
        form = network.form(node.name)
        if form.bits < 8 and form.codebook is None:
            options.append((node.name, "int8 weights", _eight_bits(node, unrounded)))
    for t in graph.tensors.values():
        if t.const is None and t.quant is None and t.name in wide_tensors(graph, [t.name]):
            options.append((t.name, "int16", _wide(t.name)))
    return options


def _eight_bits(node: Node, unrounded: Graph) -> _Change:
    def change(network: Network) -> Network:
        form = replace(network.form(node.name), bits=8)
        own = [unrounded.tensors[i] for i in node.inputs[1:]]
        return replace(network, graph=network.graph.with_(tensors=own)).with_forms({node.name: form})

    return change


def _wide(tensor: str) -> _Change:
    return lambda network: replace(network, wide=network.wide | {tensor})
