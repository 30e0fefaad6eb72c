"""All techniques of a recipe, in the order of `techniques.py`, and behind them `finish`, which pins every scale."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

from tinygen.calibrate.data import Samples
from tinygen.compress import techniques
from tinygen.compress.finish import finish
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, in_one_form, layers, one_form
from tinygen.compress.pinning import unpinned
from tinygen.compress.recipe import Recipe
from tinygen.compress.refit.catchup import catch_up
from tinygen.compress.split import some
from tinygen.compress.technique import Work
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

    `samples` are what may be fitted to, all of them in training. `own_student`: the network that the recipe names as
    its student, tidied. `workdir`: where training keeps its checkpoints; a second call with the same arguments goes on
    there. RecipeError where the network has nothing to compress, or has no layer that the recipe names.
    """
    check_layers(graph, recipe)
    training = recipe.get(Training)
    work = Work(
        original=graph,
        samples=samples,
        few=some(samples, STATISTICS, recipe.seed),
        seed=recipe.seed,
        used=tuple(t for t in techniques.TECHNIQUES if t.name in recipe.sections),
        own=recipe.layers,
        training=None if training is None else replace(training, seed=recipe.seed),
        method=method,
        student=own_student,
        checkpoint=None if workdir is None else workdir / recipe.key,
        progress=progress,
    )
    # Ranges that a pre-quantised model brings along are those of another network once its values move.
    network = Network(unpinned(graph) if work.uses("structure", "training") else graph)
    for technique in techniques.TECHNIQUES:
        if technique.kind == "training":
            network = _caught_up(work, network)
        if technique.apply is not None:
            network = technique.apply(work, network, recipe.sections.get(technique.name))
    return Compressed(_finished(work, network, recipe), network, tuple(work.log))


def _finished(work: Work, network: Network, recipe: Recipe) -> Graph:
    for technique in work.used:
        if technique.end is not None:
            return technique.end(work, network, recipe.sections[technique.name])
    return finish(network, work.few, method=work.method, progress=work.progress)


def _caught_up(work: Work, network: Network) -> Network:
    """Layers fitted again behind compressed ones: a better start for training, and all there is without."""
    wishes = {t.catch_up for t in work.used}
    if True not in wishes or False in wishes:
        return network
    return catch_up(network, work.original, work.few, progress=work.progress)


def check_layers(graph: Graph, recipe: Recipe) -> None:
    """RecipeError for a network without layers that hold weights, and for a name in the recipe that is none of them."""
    nodes, fixed = layers(graph), in_one_form(graph)
    if not nodes and not fixed:
        raise RecipeError(
            f'"{graph.name}" has no convolution and no dense layer with constant weights, and no recurrent one: found '
            f"{', '.join(sorted({type(n.op).__name__ for n in graph.nodes})) or 'no operators'}. There is nothing to "
            "compress; tinygen build takes it as it is."
        )
    known = [name for n in (*nodes, *fixed) for name in dict.fromkeys((n.name, *n.origin))]
    for name, own in recipe.layers.items():
        for node in fixed:
            if name in (node.name, *node.origin) and own.keys() - {"prune"}:
                raise RecipeError(
                    f'layers."{name}".{min(own.keys() - {"prune"})}: {one_form(node)}. Allowed there is prune = false.'
                )
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f' Did you mean "{close[0]}"?' if close else ""
            found = ", ".join(n.name for n in (*nodes, *fixed))
            raise RecipeError(f'layers."{name}": no such layer with weights; found {found}.{hint}')
