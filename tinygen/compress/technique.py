"""What a compression technique is: one object, which the recipe, the pipeline, the command line and the search read.

A technique's own file has its settings (a section of a recipe), what it does to a network, and `TECHNIQUE`, a
`Technique` that ties them together. `techniques.py` is the list of all of them, in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from tinygen.calibrate.data import Samples
from tinygen.compress.change import why_not_by_default
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, in_one_form, layers
from tinygen.compress.train.settings import Training
from tinygen.ir.types import Graph
from tinygen.progress import Progress

#: What a technique works on. "structure": the graph or its weights, so that activations get other ranges; "forms": the
#: values that weights may take; "training": all values; "scales": only how integers stand for values.
Kind = Literal["structure", "forms", "training", "scales"]


class Section(Protocol):
    """The settings of a technique: a frozen dataclass with a default for every field, which checks itself when it is
    made (RecipeError names key, found and allowed). None is the default where there is no value; a recipe leaves it
    out."""

    def describe(self) -> str:
        """In a few words, for tables: "prune 0.5"; empty where there is nothing to tell."""


S = TypeVar("S", bound=Section)


@dataclass(frozen=True, slots=True)
class Option:
    """An option of `tinygen compress`: plain data. `sets`: the key of the section that it gives a value, or which keys
    it sets to what, None for one that goes back to its default. `several`: it may be given again, the value is a
    tuple."""

    flag: str
    kind: type[float] | type[int] | type[str]
    help: str
    sets: str | Callable[[Any], Mapping[str, Any]]
    metavar: str | None = None
    several: bool = False

    @property
    def name(self) -> str:
        """As an argument of a function: `prune_steps` of `--prune-steps`."""
        return self.flag.lstrip("-").replace("-", "_")

    def values(self, given: Any) -> Mapping[str, Any]:
        """What it says: given on the command line, or from Python, where several need not be a tuple."""
        if self.several and isinstance(given, str):
            given = (given,)
        return {self.sets: given} if isinstance(self.sets, str) else self.sets(given)


@dataclass(frozen=True, slots=True)
class Own:
    """What a single layer may get instead of what all get: a value of type `kind` that passes `check`(key, value).
    False, where the type allows it, is nothing, and is not checked."""

    kind: Any
    check: Callable[[str, Any], None] = lambda key, value: None


class Trial(Protocol):
    """What is asked of one trial of a search (Optuna's)."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None) -> float: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


@dataclass(frozen=True, slots=True)
class Suggest(Generic[S]):
    """What the search may draw of a technique, and where it looks first.

    `draw`: the settings of a trial, None for none, by parameters of its own; `off`: those that it always asks for, at
    the values which mean none. Or `forms`: choices of the parameter "form", of which weights have one at a time, with
    the settings of each. `start`: parameters of a combination to try first: forms before all others, then by `turn`;
    `with_form`: later once more, together with the form that was tried first. `unasked`: it is part of a search that
    names no techniques. `trained`: only where trials train; `without`: techniques next to which it is not drawn.
    """

    draw: Callable[[Trial], S | None] | None = None
    off: Mapping[str, Any] = field(default_factory=dict)
    forms: Mapping[str, S] = field(default_factory=dict)
    start: Mapping[str, Any] = field(default_factory=dict)
    turn: int = 9
    with_form: bool = False
    unasked: bool = True
    trained: bool = False
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Technique(Generic[S]):
    """One technique. `name`: its section in a recipe and its name in a search; `settings`: the class of that section.

    `apply`: the network after it; called with None where the recipe has no such section, as single layers may have
    something of their own all the same (`Work.groups`). `end`, of one technique alone: the graph with every scale
    decided, in place of `finish`. `hidden`: fields of the settings that a recipe says elsewhere. `own`: what layers may
    get instead. `requires`: RecipeError where the settings make no sense without another section (names of all in use).
    `catch_up`: True where layers behind it are to be fitted again, False where the network has left the original and
    none may be.
    """

    name: str
    settings: type[S]
    kind: Kind
    apply: Callable[[Work, Network, S | None], Network] | None = None
    end: Callable[[Work, Network, S], Graph] | None = None
    options: tuple[Option, ...] = ()
    own: Own | None = None
    hidden: tuple[str, ...] = ()
    requires: Callable[[S, Collection[str]], None] | None = None
    suggest: Suggest[S] | None = None
    catch_up: bool | None = None


@dataclass
class Work:
    """What the techniques of one run share.

    `original`: the tidied FLOAT graph; `samples`: all, for training; `few`: those that statistics are gathered over.
    `used`: the techniques of the recipe; `own`: what single layers get instead, by ONNX or node name, then technique;
    `training`: settings with the recipe's seed. `student`: the user's own network, where the recipe names a file.
    `checkpoint`: path without its ending that states of training are kept at. `log` grows in the order of work.
    """

    original: Graph
    samples: Samples
    few: Samples
    seed: int
    used: tuple[Technique[Any], ...]
    own: Mapping[str, Mapping[str, Any]]
    training: Training | None
    method: str
    student: Graph | None
    checkpoint: Path | None
    progress: Progress
    log: list[LayerChange] = field(default_factory=list)

    def uses(self, *kinds: Kind, besides: str = "") -> bool:
        """Whether the recipe has a technique of these kinds other than `besides`."""
        return any(t.kind in kinds and t.name != besides for t in self.used)

    def train(self, network: Network, stage: str, **settings: Any) -> Network:
        """Fine-tuned as the recipe says, with `settings` in place of its own; as it was without [training]."""
        if self.training is None:
            return network
        from tinygen.compress.train import fine_tune

        path = None
        if self.checkpoint is not None:
            path = self.checkpoint.with_name(f"{self.checkpoint.name}-{stage}.checkpoint")
            path.parent.mkdir(parents=True, exist_ok=True)
        training = replace(self.training, **settings)
        return fine_tune(network, self.original, self.samples, training, progress=self.progress, checkpoint=path)

    def of_layers(self, graph: Graph, technique: str) -> dict[str, Any]:
        """What single layers of `graph` get instead, by node name; recipes speak of nodes by their own or their ONNX
        name."""
        found: dict[str, Any] = {}
        for node in (*layers(graph), *in_one_form(graph)):
            for name in (*node.origin, node.name):
                if name in self.own:
                    found[node.name] = self.own[name].get(technique)
        return {name: value for name, value in found.items() if value is not None}

    def groups(self, graph: Graph, technique: str, default: Any) -> list[tuple[Any, tuple[str, ...] | None]]:
        """Calls of a technique: (value, layers). The default for all layers (None: the technique's own choice) without
        those that get something else; then those, layers of one value together."""
        own = self.of_layers(graph, technique)
        found: list[tuple[Any, tuple[str, ...] | None]] = []
        if default is not None:
            rest = tuple(_eligible(graph, own)) if own else None
            if rest is None or rest:
                found.append((default, rest))
        values = dict.fromkeys(v for v in own.values() if v is not False)
        return found + [(v, tuple(name for name, o in own.items() if o is v or o == v)) for v in values]


def _eligible(graph: Graph, without: Collection[str]) -> list[str]:
    """Layers that techniques work on unasked, without those named."""
    return [n.name for n in layers(graph) if n.name not in without and why_not_by_default(graph, n) is None]
