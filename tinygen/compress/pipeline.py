"""All techniques of a recipe, in the one order in which they make sense: structure first, then values, then training.

student, prune, rank (structure: the graph changes), sparsity, cluster, bits, activations (forms: what values a weight
may take), fine-tuning under all of these, then `finish`, which pins every scale.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tinygen.calibrate.data import Samples
from tinygen.compress.change import why_not_by_default
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, layers
from tinygen.compress.recipe import Layer, Rank, Recipe
from tinygen.compress.split import some
from tinygen.compress.train.settings import Training
from tinygen.errors import RecipeError
from tinygen.ir.types import Graph
from tinygen.progress import Progress, no_progress

#: Samples that statistics of layers and ranges of activations are gathered over.
STATISTICS = 512


@dataclass(frozen=True, slots=True)
class Compressed:
    """A network after all techniques: `graph` is FLOAT with every scale pinned; `changes` in the order of work."""

    graph: Graph
    network: Network
    changes: tuple[LayerChange, ...]


def compress(
    graph: Graph,
    samples: Samples,
    recipe: Recipe,
    *,
    method: str = "mse",
    own_student: Graph | None = None,
    progress: Progress = no_progress,
    workdir: Path | None = None,
) -> Compressed:
    """`recipe` applied to a tidied FLOAT graph.

    `samples` are what may be fitted to, all of them in training. `own_student`: the network that recipe.student.model
    names, tidied. `workdir`: where training keeps its checkpoints; a second call with the same arguments goes on there.
    RecipeError where the network has nothing to compress, or has no layer that the recipe names.
    """
    check_layers(graph, recipe)
    work = _Work(graph, samples, some(samples, STATISTICS, recipe.seed), recipe, progress, workdir)
    network = work.start(own_student)
    for technique in (work.prune, work.rank, work.sparsify, work.cluster, work.bits, work.activations):
        network = technique(network)
    network = work.train(work.catch_up(network), "final")
    return Compressed(work.finish(network, method), network, tuple(work.log))


def check_layers(graph: Graph, recipe: Recipe) -> None:
    """RecipeError for a network without layers that hold weights, and for a name in the recipe that is none of them."""
    nodes = layers(graph)
    if not nodes:
        raise RecipeError(
            f'"{graph.name}" has no convolution and no dense layer with constant weights: found '
            f"{', '.join(sorted({type(n.op).__name__ for n in graph.nodes})) or 'no operators'}. There is nothing to "
            "compress; tinygen build takes it as it is."
        )
    known = [name for n in nodes for name in dict.fromkeys((n.name, *n.origin))]
    for name in recipe.layers:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f' Did you mean "{close[0]}"?' if close else ""
            raise RecipeError(
                f'layers."{name}": no such layer with weights; found {", ".join(n.name for n in nodes)}.{hint}'
            )


def overrides(graph: Graph, rows: Mapping[str, Layer]) -> dict[str, Layer]:
    """What single layers of `graph` get instead, by node name; rows speak of nodes by their own or their ONNX name."""
    found: dict[str, Layer] = {}
    for node in layers(graph):
        for name in (*node.origin, node.name):
            if name in rows:
                found[node.name] = rows[name]
    return found


@dataclass
class _Work:
    """What the techniques of one run share. `few`: the samples that statistics are gathered over."""

    original: Graph
    samples: Samples
    few: Samples
    recipe: Recipe
    progress: Progress
    workdir: Path | None
    log: list[LayerChange] = field(default_factory=list)

    def start(self, own_student: Graph | None) -> Network:
        """The network itself, or its student, which has learnt from it before anything else happens to it."""
        network = Network(unpinned(self.original) if self._moves_values else self.original)
        settings = self.recipe.student
        if settings is None:
            return network
        if settings.model is not None:
            assert own_student is not None
            before, after = (sum(g.tensors[n.inputs[1]].size for n in layers(g)) for g in (network.graph, own_student))
            network = Network(unpinned(own_student))
            self.log.append(LayerChange("(network)", "student", f"{settings.model}", before, after))
        else:
            from tinygen.compress.structure.student import student

            network = student(
                network,
                width=settings.width,
                depth=settings.depth,
                separable=settings.separable,
                inherit=settings.inherit,
                seed=self.recipe.seed,
                log=self.log,
            )
        others = set(self.recipe.techniques) - {"student", "training", "repairs", "activations"}
        return self.train(network, "student", quantise=False) if others else network

    @property
    def _moves_values(self) -> bool:
        """Whether ranges that a pre-quantised model brings along are those of another network afterwards."""
        return bool({"student", "prune", "rank", "training"} & set(self.recipe.techniques))

    # -- structure -----------------------------------------------------------------------------------------------

    def prune(self, network: Network) -> Network:
        settings = self.recipe.prune
        if settings is None:
            return network
        from tinygen.compress.structure.prune import prune

        steps = settings.steps
        # What goes in each step is a share of what is left.
        amount = 1.0 - (1.0 - settings.amount) ** (1.0 / steps)
        skipped = {name for name, row in overrides(network.graph, self.recipe.layers).items() if row.prune is False}
        for step in range(steps):
            scores = None
            if settings.criterion == "taylor":
                from tinygen.compress.train import taylor_scores

                scores = taylor_scores(network, self.original, self.few, self._training(), progress=self.progress)
            network = prune(
                network,
                self.few,
                amount=amount,
                criterion="activation" if settings.criterion == "taylor" else settings.criterion,
                measure=settings.measure,
                scores=scores,
                layers=[n.name for n in layers(network.graph) if n.name not in skipped] if skipped else None,
                log=self.log,
                progress=self.progress,
            )
            if step + 1 < steps:
                epochs = max(1, self._training().epochs // steps)
                network = self.train(network, f"prune{step + 1}", quantise=False, epochs=epochs)
        return network

    def rank(self, network: Network) -> Network:
        settings = self.recipe.rank
        groups = self._groups(network, "rank", settings)
        if not groups:
            return network
        from tinygen.compress.structure.lowrank import factorise

        for value, names in groups:
            how = Rank(energy=value) if isinstance(value, float) else value
            network = factorise(
                network,
                self.few,
                amount=how.amount,
                energy=how.energy,
                measure=how.measure,
                method=how.method,
                layers=names,
                log=self.log,
                progress=self.progress,
            )
        return network

    # -- forms ---------------------------------------------------------------------------------------------------

    def sparsify(self, network: Network) -> Network:
        settings = self.recipe.sparsity
        groups = self._groups(network, "sparsity", None if settings is None else settings.amount)
        if not groups:
            return network
        from tinygen.compress.forms.sparsity import sparsify

        for value, names in groups:
            how: dict[str, Any] = {}
            if settings is not None:
                how = {name: getattr(settings, name) for name in ("pattern", "criterion", "distribution")}
            network = sparsify(
                network, self.few, amount=value, **how, layers=names, log=self.log, progress=self.progress
            )
        return network

    def cluster(self, network: Network) -> Network:
        settings = self.recipe.cluster
        groups = self._groups(network, "cluster", None if settings is None else settings.entries)
        if not groups:
            return network
        from tinygen.compress.forms.cluster import cluster

        for value, names in groups:
            network = cluster(
                network, self.few, entries=value, shared=settings is not None and settings.shared, layers=names,
                log=self.log, progress=self.progress,
            )  # fmt: skip
        return network

    def bits(self, network: Network) -> Network:
        settings = self.recipe.bits
        groups = self._groups(network, "bits", None if settings is None else settings.weights)
        if not groups:
            return network
        from tinygen.compress.forms.bits import mixed_bits, set_bits

        for value, names in groups:
            if value == "mixed":
                assert settings is not None
                network = mixed_bits(
                    network, self.few, candidates=settings.candidates, max_loss_db=settings.max_loss_db,
                    layers=names, log=self.log, progress=self.progress,
                )  # fmt: skip
            else:
                network = set_bits(network, value, names, log=self.log)
        return network

    def activations(self, network: Network) -> Network:
        """Outputs of layers, or all activations, in int16."""
        settings = self.recipe.activations
        own = {k: v.activations for k, v in overrides(network.graph, self.recipe.layers).items()}
        default = 8 if settings is None else settings.bits
        graph = network.graph
        wide = set(network.wide)
        if default == 16:
            wide |= {t.name for t in graph.tensors.values() if t.const is None}
        for node in graph.nodes:
            bits = own.get(node.name)
            if bits == 16:
                wide |= set(node.outputs)
            elif bits == 8:
                wide -= set(node.outputs)
        return replace(network, wide=frozenset(wide))

    def catch_up(self, network: Network) -> Network:
        """Layers fitted again behind compressed ones: a better start for training, and all there is without."""
        used = set(self.recipe.techniques)
        if not used & {"rank", "sparsity", "cluster", "bits"} or "student" in used:
            return network
        from tinygen.compress.refit.catchup import catch_up

        return catch_up(network, self.original, self.few, progress=self.progress)

    def finish(self, network: Network, method: str) -> Graph:
        """Every scale pinned, after the repairs that help."""
        steps = () if self.recipe.repairs is None else self.recipe.repairs.steps
        if steps:
            from tinygen.compress.repairs.ladder import repair

            return repair(
                network, self.few, steps=steps, method=method, seed=self.recipe.seed, log=self.log,
                progress=self.progress,
            ).graph  # fmt: skip
        from tinygen.compress.finish import finish

        return finish(network, self.few, method=method, progress=self.progress)

    # -- training ------------------------------------------------------------------------------------------------

    def train(self, network: Network, stage: str, **settings: Any) -> Network:
        """Fine-tuned as the recipe says, with `settings` in place of its own; as it was without [training]."""
        if self.recipe.training is None:
            return network
        from tinygen.compress.train import fine_tune

        training = replace(self._training(), **settings)
        checkpoint = None
        if self.workdir is not None:
            self.workdir.mkdir(parents=True, exist_ok=True)
            checkpoint = self.workdir / f"{self.recipe.key}-{stage}.checkpoint"
        return fine_tune(network, self.original, self.samples, training, progress=self.progress, checkpoint=checkpoint)

    def _training(self) -> Training:
        """Settings of the recipe, with its seed."""
        assert self.recipe.training is not None  # Recipe sees to it
        return replace(self.recipe.training, seed=self.recipe.seed)

    # -- layers --------------------------------------------------------------------------------------------------

    def _groups(self, network: Network, technique: str, default: Any) -> list[tuple[Any, tuple[str, ...] | None]]:
        """Calls of a technique: (value, layers). The default for all layers (None: the technique's own choice) without
        those that get something else; then those, layers of one value together."""
        own = {
            name: getattr(row, technique)
            for name, row in overrides(network.graph, self.recipe.layers).items()
            if getattr(row, technique) is not None
        }
        groups: list[tuple[Any, tuple[str, ...] | None]] = []
        if default is not None:
            rest = tuple(_eligible(network.graph, own)) if own else None
            if rest is None or rest:
                groups.append((default, rest))
        values = dict.fromkeys(v for v in own.values() if v is not False)
        groups += [(v, tuple(name for name, o in own.items() if o is v or o == v)) for v in values]
        return groups


def _eligible(graph: Graph, without: Iterable[str]) -> list[str]:
    """Layers that techniques work on unasked, without those named."""
    skip = set(without)
    return [n.name for n in layers(graph) if n.name not in skip and why_not_by_default(graph, n) is None]


def unpinned(graph: Graph) -> Graph:
    """Without the scales of a pre-quantised model, save those that its integer inputs and outputs are read by."""
    edge = {*graph.inputs, *graph.outputs}
    tensors = [replace(t, quant=None) for t in graph.tensors.values() if t.quant is not None and t.name not in edge]
    return graph.with_(tensors=tensors)
