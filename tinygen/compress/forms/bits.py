"""Weights of fewer than 8 bits: the same number for all layers, or for each the number that it bears."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from tinygen.calibrate.data import Samples
from tinygen.calibrate.graph import float_model, to_tensors
from tinygen.compress.change import choose_layers
from tinygen.compress.checks import listed, one_of, within
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, WeightForm, layers, pin_weights, weights
from tinygen.compress.repairs.bias import channel_means, corrected
from tinygen.compress.technique import Option, Own, Suggest, Technique, Work
from tinygen.errors import RecipeError
from tinygen.ir.types import Graph, Node
from tinygen.progress import Progress, no_progress

#: Numbers of bits that a weight may have.
LEAST, MOST = 2, 8
BITS = tuple(range(LEAST, MOST + 1))
#: Noise that a search's mixed bits may add: fine-tuning takes most of it back.
_MIXED_DB = 12.0


@dataclass(frozen=True, slots=True)
class Bits:
    """Weights of fewer bits: one number for all; or "mixed", of `candidates` for each layer the fewest, as long as the
    outputs' noise stays within `max_loss_db` of that of int8."""

    weights: int | Literal["mixed"] = 4
    candidates: tuple[int, ...] = (8, 6, 5, 4)
    max_loss_db: float = 6.0

    def __post_init__(self) -> None:
        within("bits.max_loss_db", self.max_loss_db, 0.1, 60.0)
        if self.weights != "mixed":
            one_of("bits.weights", self.weights, (*BITS, "mixed"))
        for bits in self.candidates:
            one_of("bits.candidates", bits, BITS)
        if not self.candidates:
            raise RecipeError(f"bits.candidates: found none, allowed are {listed(BITS)}; give at least one.")

    def describe(self) -> str:
        return f"bits {self.weights}"


def set_bits(
    network: Network,
    bits: int,
    layers: Collection[str] | None = None,
    *,
    log: list[LayerChange] | None = None,
) -> Network:
    """Weights of the layers in integers of so many bits, 2 to 8: |q| <= 2^(bits-1) - 1. Layers with a codebook, which
    says its own integers, are left alone. ValueError for another number."""
    if not LEAST <= bits <= MOST:
        raise ValueError(f"found {bits} bits for weights, allowed {LEAST} to {MOST}")
    nodes = choose_layers(network, layers, "bits", lambda n: _why_not(network, n), log)
    forms = {}
    for node in nodes:
        old = network.form(node.name)
        forms[node.name] = replace(old, bits=bits)
        if log is not None:
            size = weights(network.graph, node).size
            log.append(LayerChange(node.name, "bits", f"{bits} bits", size, -(-size * bits // 8)))
    return network.with_forms(forms)


def _why_not(network: Network, node: Node) -> str | None:
    return "its weights have a codebook" if network.form(node.name).codebook is not None else None


def weight_bytes(network: Network) -> int:
    """Bytes of all weights, packed: bits of a form, or of an index into its codebook."""
    return sum(_bytes(weights(network.graph, n).size, network.form(n.name)) for n in layers(network.graph))


def _bytes(size: int, form: WeightForm) -> int:
    bits = form.bits if form.codebook is None else max(1, math.ceil(math.log2(len(form.codebook))))
    return -(-size * bits // 8)


class OutputNoise:
    """Noise that a change of weights alone makes on the network's outputs, in units of their power: float runs of a few
    samples, the change's mean taken back in the biases."""

    def __init__(self, graph: Graph, samples: Samples, runs: int) -> None:
        self.graph = graph
        self._feeds = to_tensors(graph, [x[:runs] for x in samples.inputs])
        self._means = channel_means(graph, self._feeds)
        self._weights = {n.name: weights(graph, n).array for n in layers(graph)}
        self._reference = float_model(graph).run_many(self._feeds)
        self._power = [float(np.sum(y.astype(np.float64) ** 2)) for y in self._reference]

    def __call__(self, network: Network) -> float:
        """Of the network with its forms. The outputs' relative noise, the mean over the outputs."""
        graph = corrected(pin_weights(network), self._weights, self._means)
        found = float_model(graph).run_many(self._feeds)
        noise = [
            float(np.sum((a.astype(np.float64) - b) ** 2)) / max(p, 1e-30)
            for a, b, p in zip(found, self._reference, self._power, strict=True)
        ]
        return sum(noise) / len(noise)


@dataclass(frozen=True, slots=True)
class BitSensitivity:
    """Outputs' relative noise when this layer alone has weights of so many bits."""

    layer: str
    bits: int
    noise: float

    @property
    def sqnr_db(self) -> float:
        return math.inf if self.noise == 0.0 else -10.0 * math.log10(self.noise)


def bit_sensitivity(
    network: Network,
    noise: OutputNoise,
    nodes: Sequence[Node],
    candidates: Sequence[int],
    progress: Progress = no_progress,
) -> dict[tuple[str, int], BitSensitivity]:
    """Each of the layers with each number of bits, all others as floats."""
    found = {}
    for i, node in enumerate(nodes):
        for bits in candidates:
            form = replace(network.form(node.name), bits=bits)
            alone = Network(network.graph, {node.name: form})
            found[node.name, bits] = BitSensitivity(node.name, bits, noise(alone))
        progress("sensitivity", i + 1, len(nodes))
    return found


def mixed_bits(
    network: Network,
    samples: Samples,
    *,
    candidates: Sequence[int] = (8, 6, 5, 4),
    max_loss_db: float = 1.0,
    budget_bytes: int | None = None,
    layers: Collection[str] | None = None,
    runs: int = 64,
    log: list[LayerChange] | None = None,
    progress: Progress = no_progress,
) -> Network:
    """The number of bits for each layer by what it costs, measured on the outputs of `runs` samples.

    Greedy: of all layers the one goes to its next lower number whose step adds the least noise for the bytes it saves;
    until the weights take at most `budget_bytes`, or, without a budget, until the noise that all of them make together
    would be more than `max_loss_db` above that of int8 weights on int8 activations. Noise of layers is taken as
    independent, then measured together, and the last steps are taken back as long as it is too much.
    ValueError for candidates or a loss out of range.
    """
    order = sorted(set(candidates), reverse=True)
    if not order or not all(LEAST <= b <= MOST for b in order):
        raise ValueError(f"found candidates {list(candidates)}, allowed are numbers of bits from {LEAST} to {MOST}")
    if not max_loss_db > 0.0:
        raise ValueError(f"found a loss of {max_loss_db} dB, allowed is more than 0")
    nodes = choose_layers(network, layers, "bits", lambda n: _why_not(network, n), log)
    noise = OutputNoise(network.graph, samples, runs)
    table = bit_sensitivity(network, noise, nodes, order, progress)
    chosen = {n.name: order[0] for n in nodes}
    steps = _greedy(network, nodes, order, table, chosen)
    eight = 2.0 * noise(network.with_forms({n.name: replace(network.form(n.name), bits=8) for n in nodes}))
    limit = eight * 10.0 ** (max_loss_db / 10.0)

    def apply() -> Network:
        return network.with_forms({k: replace(network.form(k), bits=b) for k, b in chosen.items()})

    done: list[tuple[str, int]] = []
    total = eight / 2.0 + sum(table[k, b].noise for k, b in chosen.items())
    for name, bits in steps:
        if budget_bytes is not None and weight_bytes(apply()) <= budget_bytes:
            break
        more = table[name, bits].noise - table[name, chosen[name]].noise
        if budget_bytes is None and total + more > limit:
            continue
        total += more
        done.append((name, chosen[name]))
        chosen[name] = bits
    if budget_bytes is None:
        while done and eight / 2.0 + noise(apply()) > limit:
            name, before = done.pop()
            chosen[name] = before
    if log is not None:
        for node in nodes:
            size = weights(network.graph, node).size
            row = table[node.name, chosen[node.name]]
            text = f"{row.bits} bits (alone {row.sqnr_db:.1f} dB)"
            log.append(LayerChange(node.name, "bits", text, size, -(-size * row.bits // 8), row.noise))
    return apply()


def _greedy(
    network: Network,
    nodes: Sequence[Node],
    order: Sequence[int],
    table: Mapping[tuple[str, int], BitSensitivity],
    start: Mapping[str, int],
) -> list[tuple[str, int]]:
    """(layer, bits) in the order in which layers go down, each from where it is to its next number."""
    at = dict(start)
    size = {n.name: weights(network.graph, n).size for n in nodes}
    steps: list[tuple[str, int]] = []
    while True:
        options = []
        for name, bits in at.items():
            lower = [b for b in order if b < bits]
            if lower:
                more = max(table[name, lower[0]].noise - table[name, bits].noise, 0.0)
                options.append((more / (size[name] * (bits - lower[0])), name, lower[0]))
        if not options:
            return steps
        _, name, bits = min(options)
        at[name] = bits
        steps.append((name, bits))


# -- the technique ---------------------------------------------------------------------------------------------------


def _apply(work: Work, network: Network, settings: Bits | None) -> Network:
    for value, names in work.groups(network.graph, "bits", None if settings is None else settings.weights):
        if value == "mixed":
            assert settings is not None
            network = mixed_bits(
                network, work.few, candidates=settings.candidates, max_loss_db=settings.max_loss_db, layers=names,
                log=work.log, progress=work.progress,
            )  # fmt: skip
        else:
            network = set_bits(network, value, names, log=work.log)
    return network


def _option(given: str | int) -> dict[str, Any]:
    return {"weights": int(given) if isinstance(given, str) and given.isdecimal() else given}


TECHNIQUE = Technique(
    "bits",
    Bits,
    "forms",
    _apply,
    options=(Option("--bits", str, "Bits of the weights, 2 to 8, or mixed: chosen for each layer.", _option),),
    own=Own(int, lambda key, value: one_of(key, value, BITS)),
    suggest=Suggest(
        forms={f"bits {n}": Bits(n) for n in (6, 5, 4)} | {"bits mixed": Bits("mixed", max_loss_db=_MIXED_DB)},
        start={"form": "bits 4"},
    ),
    catch_up=True,
)
