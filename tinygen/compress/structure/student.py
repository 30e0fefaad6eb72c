"""Compact networks of the same family, made from the graph: fewer channels, fewer blocks, separable convolutions.

A student starts with what it can inherit of the network's weights, and is meant to be trained by distillation
(`tinygen.compress.train.fine_tune`, with the original as teacher): as it comes, it is a poor copy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinygen.compress.change import is_depthwise
from tinygen.compress.checks import within
from tinygen.compress.log import LayerChange
from tinygen.compress.network import Network, WeightForm, is_layer, layers, weights
from tinygen.compress.pinning import unpinned
from tinygen.compress.structure.products import products
from tinygen.compress.technique import Option, Suggest, Technique, Trial, Work
from tinygen.errors import ModelError, RecipeError
from tinygen.ir.types import Graph, Node, Tensor
from tinygen.numerics import Array
from tinygen.ops import Conv, PRelu
from tinygen.ops.base import Operator
from tinygen.ops.weighted import Weighted
from tinygen.passes.base import fresh, rewire
from tinygen.passes.channels import Channels, couple, keep

#: Numbers of channels are multiples of this where there are twice as many: kernels work on so many at once.
GRAIN = 4


@dataclass(frozen=True, slots=True)
class Student:
    """A smaller network of the same family, which starts with what it can inherit of the weights and is trained from
    the network's answers; or the user's own (`model`, ONNX)."""

    width: float = 1.0
    depth: float = 1.0
    separable: bool = False
    inherit: bool = True
    model: str | None = None

    def __post_init__(self) -> None:
        within("student.width", self.width, 0.01, 1.0)
        within("student.depth", self.depth, 0.01, 1.0)
        if self.model is not None and (self.width, self.depth, self.separable) != (1.0, 1.0, False):
            raise RecipeError(
                f'student: found model "{self.model}" together with width, depth or separable; allowed is either a '
                "model of your own or one derived from the network. Drop one of them."
            )

    def describe(self) -> str:
        shares = (("width", self.width), ("depth", self.depth))
        size = [f"{name} {value:g}" for name, value in shares if value != 1.0]
        return " ".join(["student", self.model or " ".join([*size, *(["separable"] if self.separable else [])])])


def student(
    network: Network,
    *,
    width: float = 1.0,
    depth: float = 1.0,
    separable: bool = False,
    inherit: bool = True,
    seed: int = 0,
    log: list[LayerChange] | None = None,
) -> Network:
    """A smaller network with the same inputs and outputs.

    `width`: share of the channels of every layer that stay, the ones with the largest weights before and behind them.
    `depth`: share of the blocks that stay, among those which follow each other with the same shape in and out.
    `separable`: k x k convolutions become depthwise ones followed by pointwise ones where that takes fewer weights and
    multiply-accumulates; they start at the best approximation of that form. Not `inherit`: all weights start anew, at
    random from `seed`. Weight forms of layers that changed are dropped. What could not be done is said in `log`.
    ModelError where nothing changes although something was asked for; ValueError for shares outside (0, 1].
    """
    for name, share in (("width", width), ("depth", depth)):
        if not 0.0 < share <= 1.0:
            raise ValueError(f"student: {name} is {share}, allowed above 0 and at most 1")
    rows: list[LayerChange] = []
    graph = network.graph
    if depth < 1.0:
        graph = _shallower(graph, depth, rows)
    if width < 1.0:
        graph = _narrower(graph, width, rows)
    if separable:
        graph = _separable(graph, rows)
    if log is not None:
        log.extend(rows)
    if graph is network.graph and (depth < 1.0 or width < 1.0 or separable):
        why = "; ".join(f"{row.layer}: {row.text}" for row in rows) or "no layer has channels or blocks to spare"
        raise ModelError(f"student: no smaller network could be made. {why}.")
    if not inherit:
        graph = _initialised(graph, seed)
    return replace(network, graph=graph, forms=_forms_left(network, graph))


def _forms_left(network: Network, graph: Graph) -> dict[str, WeightForm]:
    """The forms of the layers whose weights still have their shape."""
    before = {n.name: weights(network.graph, n).shape for n in layers(network.graph)}
    now = {n.name: weights(graph, n).shape for n in layers(graph)}
    return {name: form for name, form in network.forms.items() if now.get(name) == before.get(name)}


def _size(graph: Graph, node: Node) -> int:
    return weights(graph, node).size


# -- width -----------------------------------------------------------------------------------------------------------


def _narrower(graph: Graph, width: float, rows: list[LayerChange]) -> Graph:
    channels = couple(graph)
    worth = _worth(graph, channels)
    kept = np.ones(len(channels.pinned), bool)
    for group in _groups(channels):
        if channels.pinned[group].any():
            continue
        n = len(group)
        wish = width * n
        stay = GRAIN * max(1, round(wish / GRAIN)) if n >= 2 * GRAIN else max(1, round(wish))
        if stay < n:
            order = np.argsort(-worth[group], kind="stable")
            kept[group[order[stay:]]] = False
    smaller = graph if kept.all() else keep(graph, channels.masks(kept))
    after = {n.name: _size(smaller, n) for n in layers(smaller)}
    for node in layers(graph):
        was, now = _size(graph, node), after[node.name]
        inside = all(channels.pinned[channels.classes[t]].any() for t in (node.inputs[0], node.outputs[0]))
        text = "its channels are those of the network's inputs and outputs" if inside else "too few channels"
        text = f"{100 * now / was:.0f} % of the weights" if now < was else f"left alone: {text}"
        rows.append(LayerChange(node.name, "student width", text, was, now))
    return smaller


def _groups(channels: Channels) -> list[Array]:
    """Classes that occur in the same tensors: the channels among which to choose, in order."""
    owner = np.arange(len(channels.pinned))
    for classes in channels.classes.values():
        found = np.unique(owner[classes])
        owner[np.isin(owner, found)] = found[0]
    return [np.flatnonzero(owner == k) for k in np.unique(owner)]


def _worth(graph: Graph, channels: Channels) -> Array:
    """Of every class: the norm of the weights that make it times that of the weights that read it.

    The product does not change when a channel is scaled and its readers make up for it.
    """
    made, read = np.zeros(len(channels.pinned)), np.zeros(len(channels.pinned))
    for p in products(graph):
        squares = p.matrix(graph).astype(np.float64) ** 2
        rows = squares.reshape(len(squares), -1).sum(axis=1)
        np.add.at(made, p.classes(channels)[1], rows / rows.mean() if rows.any() else rows)
        whole = channels.classes[p.reads][p.columns]
        groups = len(whole) // squares.shape[-1]
        columns = squares.reshape(groups, -1, squares.shape[-1]).sum(axis=1).reshape(-1)
        if groups < len(whole) or groups == 1:
            np.add.at(read, whole, columns / columns.mean() if columns.any() else columns)
    return np.sqrt(made * read)


# -- depth -----------------------------------------------------------------------------------------------------------


def _shallower(graph: Graph, depth: float, rows: list[LayerChange]) -> Graph:
    for stage in _stages(graph):
        blocks = _blocks(graph, stage)
        stay = int(depth * len(blocks) + 0.5)
        for block in blocks[stay:]:
            nodes = [n for segment in block for n in segment]
            for node in (n for n in nodes if is_layer(n)):
                rows.append(LayerChange(node.name, "student depth", "dropped", _size(graph, node), 0))
            graph = _bypass(graph, nodes)
    if not rows:
        rows.append(LayerChange("(network)", "student depth", "left alone: no block gives the shape it takes", 0, 0))
    return graph


def _segments(graph: Graph) -> list[list[Node]]:
    """The nodes cut wherever a single tensor carries everything; a node without weights that keeps the shape stays with
    what precedes it."""
    last = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    last.update({name: len(graph.nodes) for name in graph.outputs})
    segments: list[list[Node]] = [[]]
    open_until: dict[str, int] = {name: last.get(name, -1) for name in graph.inputs}
    for i, node in enumerate(graph.nodes):
        alive = [name for name, end in open_until.items() if end >= i]
        source, target = (graph.tensors[t].shape for t in (node.inputs[0], node.outputs[0]))
        if alive == [node.inputs[0]] and segments[-1] and (isinstance(node.op, Weighted) or source != target):
            segments.append([])
        segments[-1].append(node)
        open_until.update({name: last.get(name, -1) for name in node.outputs})
    return segments


def _stages(graph: Graph) -> list[list[list[Node]]]:
    """Runs of neighbouring segments that give the shape they take."""
    stages: list[list[list[Node]]] = [[]]
    for segment in _segments(graph):
        source, target = segment[0].inputs[0], segment[-1].outputs[0]
        same = graph.tensors[source].shape == graph.tensors[target].shape
        if same and source not in graph.inputs and target not in graph.outputs:
            stages[-1].append(segment)
        elif stages[-1]:
            stages.append([])
    return [s for s in stages if s]


def _blocks(graph: Graph, stage: list[list[Node]]) -> list[list[list[Node]]]:
    """A stage as repetitions of its shortest pattern (depthwise and pointwise, say), or as single segments."""
    kinds = [tuple((n.op, tuple(t.shape for t in graph.ins(n))) for n in segment) for segment in stage]
    count = len(stage)
    period = next(
        (p for p in range(1, count) if count % p == 0 and all(kinds[i] == kinds[i + p] for i in range(count - p))), 1
    )
    return [stage[i : i + period] for i in range(0, count, period)]


def _bypass(graph: Graph, nodes: list[Node]) -> Graph:
    """The graph without these nodes; who read their result reads what they read."""
    gone = {n.name for n in nodes}
    source = graph.producer[nodes[0].outputs[0]].inputs[0]  # of now: what was before it may be gone as well
    graph = rewire(graph, nodes[-1].outputs[0], source)
    return graph.with_(nodes=[n for n in graph.nodes if n.name not in gone])


# -- separable convolutions ------------------------------------------------------------------------------------------


def _separable(graph: Graph, rows: list[LayerChange]) -> Graph:
    nodes: list[Node] = []
    made: list[Tensor] = []
    for node in graph.nodes:
        if not isinstance(node.op, Conv):
            nodes.append(node)
            continue
        refused = _why_not_separable(graph, node)
        was = _size(graph, node)
        if refused is not None:
            rows.append(LayerChange(node.name, "student separable", f"left alone: {refused}", was, was))
            nodes.append(node)
            continue
        pair, tensors, error = _split(graph, node)
        now = sum(t.size for t in tensors if t.const is not None and len(t.shape) > 1)
        rows.append(LayerChange(node.name, "student separable", "depthwise and pointwise", was, now, error))
        nodes += pair
        made += tensors
    return graph.with_(nodes=nodes, tensors=made) if made else graph


def _why_not_separable(graph: Graph, node: Node) -> str | None:
    x, w = graph.ins(node)[:2]
    assert isinstance(node.op, Conv)
    taps, channels = int(np.prod(node.op.window.kernel)), x.shape[-1]
    if taps == 1:
        return "pointwise already"
    if is_depthwise(graph, node):
        return "depthwise already"
    if node.op.groups > 1:
        return f"{node.op.groups} groups; tinygen splits convolutions without groups"
    # For each output position: one product a weight, in both forms.
    if taps * channels + channels * len(w.array) >= w.size:
        return f"{taps * channels + channels * len(w.array)} weights in place of {w.size}: it would cost more"
    if channels == 1:
        return "a single input channel"
    return None


def _split(graph: Graph, node: Node) -> tuple[list[Node], list[Tensor], float]:
    """Depthwise and pointwise in place of a convolution, the new tensors, and the error: power of the change of the
    weights over their own.

    For each input channel the weights (outputs, taps) are approximated by an outer product; the singular value
    decomposition gives the best one.
    """
    op, (x, w, bias) = node.op, graph.ins(node)
    assert isinstance(op, Conv)
    outputs, channels = len(w.array), x.shape[-1]
    by_channel = w.array.astype(np.float64).reshape(outputs, -1, channels).transpose(2, 0, 1)
    u, s, vt = np.linalg.svd(by_channel, full_matrices=False)
    root = np.sqrt(s[:, :1])
    spread, taps = u[:, :, 0] * root, vt[:, 0, :] * root  # (channels, outputs), (channels, taps)
    total = float((s**2).sum())
    error = float((s[:, 1:] ** 2).sum()) / total if total > 0.0 else 0.0
    spatial = np.ascontiguousarray(taps.reshape(channels, *w.shape[1:-1], 1), np.float32)
    point = np.ascontiguousarray(spread.T.reshape(outputs, *(1,) * (len(w.shape) - 2), channels), np.float32)
    out = graph.tensors[node.outputs[0]]
    middle = Tensor(fresh(graph, f"{out.name}_dw"), (*out.shape[:-1], channels))
    constants = [
        Tensor.constant(fresh(graph, f"{out.name}_dw_w"), spatial),
        Tensor.constant(fresh(graph, f"{out.name}_dw_b"), np.zeros(channels, np.float32)),
        Tensor.constant(fresh(graph, f"{out.name}_pw_w"), point),
    ]
    free = replace(op, groups=channels, lo=-np.inf, hi=np.inf)
    n = op.window.rank
    window = replace(op.window, kernel=(1,) * n, strides=(1,) * n, pads=(0,) * (2 * n), dilations=(1,) * n)
    names = [t.name for t in constants]
    first = Node(fresh(graph, f"{node.name}_dw"), free, (x.name, *names[:2]), (middle.name,), node.origin)
    second = replace(node, op=replace(op, window=window), inputs=(middle.name, names[2], bias.name))
    return [first, second], [middle, *constants], error


# -- from scratch ----------------------------------------------------------------------------------------------------


def _initialised(graph: Graph, seed: int) -> Graph:
    """All weights drawn anew, so that activations keep their size through the layers (He et al. 2015), biases zero."""
    rng = np.random.default_rng(seed)
    tensors: list[Tensor] = []
    for node in graph.nodes:
        if not isinstance(node.op, Operator) or not isinstance(node.op, Weighted | PRelu):
            continue
        for i, t in enumerate(graph.ins(node)[1:]):
            if t.const is None:
                continue
            if isinstance(node.op, PRelu):
                value = np.full(t.shape, 0.25)
            elif i == 0:
                value = rng.normal(0.0, np.sqrt(2.0 * len(t.array) / t.size), t.shape)
            else:
                value = np.zeros(t.shape)
            tensors.append(Tensor.constant(t.name, value.astype(np.float32)))
    return graph.with_(tensors=tensors)


# -- the technique ---------------------------------------------------------------------------------------------------


def _requires(_: Student, used: Collection[str]) -> None:
    if "training" not in used:
        raise RecipeError(
            "student: found without training; a student has to learn from the network. Add a [training] section "
            "(`epochs=N`)."
        )


def _apply(work: Work, network: Network, settings: Student | None) -> Network:
    """The student in the network's place, which has learnt from it before anything else happens to it."""
    if settings is None:
        return network
    if settings.model is not None:
        assert work.student is not None
        before, after = (sum(_size(g, n) for n in layers(g)) for g in (network.graph, work.student))
        network = Network(unpinned(work.student))
        work.log.append(LayerChange("(network)", "student", settings.model, before, after))
    else:
        network = student(
            network, width=settings.width, depth=settings.depth, separable=settings.separable,
            inherit=settings.inherit, seed=work.seed, log=work.log,
        )  # fmt: skip
    more = work.uses("structure", "forms", besides="student")
    return work.train(network, "student", quantise=False) if more else network


def _option(text: str | Mapping[str, Any]) -> dict[str, Any]:
    """width=0.5,depth=0.5,separable, or the name of an ONNX file; from Python also {"width": 0.5}."""
    found: dict[str, Any] = dict.fromkeys(("width", "depth", "separable", "inherit", "model"))
    if isinstance(text, Mapping):
        return found | dict(text)
    if not isinstance(text, str):
        raise RecipeError(f"student: found {text!r}, allowed is a text or a table of width, depth, separable, model.")
    if text.endswith(".onnx"):
        return found | {"model": text}
    for part in text.split(","):
        key, _, value = part.partition("=")
        if key == "separable" and not value:
            found[key] = True
            continue
        try:
            found[key] = float(value)
        except ValueError as e:
            raise RecipeError(
                f'student: found "{part}", allowed are width=0.5, depth=0.5, separable, with commas between, or the '
                "name of an .onnx file."
            ) from e
    return found


def _draw(trial: Trial) -> Student | None:
    width = trial.suggest_float("width", 0.25, 1.0, step=0.125)
    return Student(width=width) if width < 1.0 else None


TECHNIQUE = Technique(
    "student",
    Student,
    "structure",
    _apply,
    options=(
        Option(
            "--student",
            str,
            "Train a smaller network of the same family, or your own, from the answers of MODEL.",
            _option,
            metavar="width=0.5,depth=0.5,separable|FILE",
        ),
    ),
    requires=_requires,
    suggest=Suggest(_draw, off={"width": 1.0}, start={"width": 0.5}, turn=4, with_form=True, trained=True),
    catch_up=False,  # it learns answers, and its layers need not be those of the network any more
)
