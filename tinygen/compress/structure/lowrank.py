"""Layers in thinner parts: low rank for dense and pointwise layers, Tucker-2, CP, separable and depthwise convolutions.

Every method first chooses features, fewer than there are weights in a row, and then the last part by regression: the
outputs that come from those features with the least power of their change, D C D^T with C the covariance of what the
layer reads. So it is the outputs on the data that are approximated, not the weights. `w` is (O, taps, I) throughout, a
row of K = taps * I values; B (features, K) says what the features are made of.

Tucker-2: Kim et al. 2016, by HOOI (De Lathauwer et al. 2000). CP: Lebedev et al. 2015, by alternating least squares.
Separable: Jaderberg et al. 2014. Projection on the outputs' principal components: Zhang et al. 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from tinygen.calibrate.data import Samples
from tinygen.compress.change import choose_layers
from tinygen.compress.checks import within
from tinygen.compress.log import LayerChange
from tinygen.compress.network import PLAIN, Network, weights
from tinygen.compress.network import layers as layers_of
from tinygen.compress.statistics import FULL_COLUMNS, Statistics, gather
from tinygen.compress.technique import Option, Own, Suggest, Technique, Trial, Work
from tinygen.errors import ModelError, RecipeError
from tinygen.ir import invariants
from tinygen.ir.types import Graph, Node, Tensor
from tinygen.numerics import Array
from tinygen.ops import Conv, Dense
from tinygen.ops.base import Shape
from tinygen.ops.spatial import Window
from tinygen.passes.base import fresh, replace_nodes
from tinygen.progress import Progress, no_progress

Method = Literal["lowrank", "tucker", "cp", "spatial", "depthwise"]
Measure = Literal["weights", "macs"]

#: Ranks are multiples of this: kernels take four channels at a time.
STEP = 4
#: Layers with fewer outputs are left alone unless named.
FEW_OUTPUTS = 16
#: Ranks that lose more than this share of their layer's output are not offered.
WORST = 0.5
#: Ranks that are tried of CP, which takes an iteration each, and of one side of Tucker.
_CP_RANKS, _TUCKER_RANKS = 10, 16
_CP_SWEEPS, _HOOI_SWEEPS = 40, 8


@dataclass(frozen=True, slots=True)
class Rank:
    """Layers in thinner parts: `amount` is the share of the network's `measure` that goes; or `energy`, the share of
    every layer's output power that stays."""

    amount: float | None = None
    energy: float | None = None
    measure: Measure = "weights"
    method: Method | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        if (self.amount is None) == (self.energy is None):
            found = "both" if self.amount is not None else "neither"
            raise RecipeError(f"rank: found {found} of amount and energy; allowed is exactly one of them.")
        if self.amount is not None:
            within("rank.amount", self.amount, 0.01, 0.99)
        if self.energy is not None:
            _check_energy("rank.energy", self.energy)

    def describe(self) -> str:
        return f"rank {self.amount:g}" if self.amount is not None else f"rank energy {self.energy:g}"


def _check_energy(key: str, value: float) -> None:
    within(key, value, 0.01, 0.9999)


def factorise(
    network: Network,
    samples: Samples,
    *,
    amount: float | None = None,
    energy: float | None = None,
    budget: int | None = None,
    measure: Measure = "weights",
    largest: int | None = None,
    method: Method | Literal["auto"] = "auto",
    layers: Collection[str] | None = None,
    log: list[LayerChange] | None = None,
    progress: Progress = no_progress,
    statistics: Mapping[str, Statistics] | None = None,
) -> Network:
    """Layers replaced by two or three thinner ones: `<node>_in`, `_core`, `_out`; clamp and bias are the last's.

    Exactly one of: `energy`, the share of every layer's output power to keep, at the least cost (0 < energy < 1);
    `amount`, the share of the whole network's cost to remove (0 < amount < 1); `budget`, the cost of the whole network
    to reach. The latter two take, over all layers, what saves most for the error it adds. `measure` is the cost:
    weights, or MACs. No layer gets more weights or more MACs than it had, and no activation between its parts more than
    `largest` elements (bytes of RAM in int8; CP likes many channels). `method`: one for all convolutions that are
    wider than a pixel, or the best for each; dense and pointwise layers always become two ("lowrank").
    `statistics`: of `gather`, where the caller has them.
    ValueError for arguments out of range; ModelError for a budget that cannot be reached, and for a layer with a mask
    or a codebook (factorise first).
    """
    _check(amount, energy, budget, measure, method)
    graph = network.graph
    nodes = choose_layers(network, layers, "factorise", lambda n: _why_not(network, n, method, layers is None), log)
    if statistics is None:
        statistics = gather(graph, samples, [n.name for n in nodes], progress)
    works, ladders = [], []
    for i, node in enumerate(nodes):
        work = _Work(graph, node, statistics[node.name])
        works.append(work)
        ladders.append(
            [
                o
                for o in _options(work, method)
                if o.weights < work.weights and o.macs < work.macs and o.error <= WORST
                if largest is None or o.inner <= largest
            ]
        )
        progress("factorise", i + 1, len(nodes))
    if energy is not None:
        chosen = [_cheapest(ladder, 1.0 - energy, measure) for ladder in ladders]
    else:
        total = sum(_cost_of(graph, n, measure) for n in layers_of(graph))
        limit = float(budget) if budget is not None else total * (1.0 - (amount or 0.0))
        chosen = _greedy([w.cost(measure) for w in works], ladders, measure, total, limit)
    forms = dict(network.forms)
    for work, option, ladder in zip(works, chosen, ladders, strict=True):
        if option is None:
            if log is not None:
                why = "not needed" if ladder else "no rank that keeps half of its output saves weights and MACs"
                log.append(LayerChange(work.node.name, "factorise", f"left alone: {why}", work.weights, work.weights))
            continue
        graph, names, error = _replace(graph, work, option)
        forms |= dict.fromkeys(names, network.form(work.node.name)) if network.form(work.node.name) != PLAIN else {}
        if log is not None:
            ranks = "-".join(map(str, option.ranks))
            text = f"{option.method} {ranks}: {work.macs} -> {option.macs} MACs, {option.inner} bytes between"
            log.append(LayerChange(work.node.name, "factorise", text, work.weights, option.weights, error))
    invariants.check(graph, "factorise")
    return Network(graph, forms, network.wide)


def _check(
    amount: float | None, energy: float | None, budget: int | None, measure: str, method: str
) -> None:  # fmt: skip
    if sum(v is not None for v in (amount, energy, budget)) != 1:
        raise ValueError("factorise: give exactly one of amount, energy and budget")
    for name, value in (("amount", amount), ("energy", energy)):
        if value is not None and not 0.0 < value < 1.0:
            raise ValueError(f"factorise: {name} is a share: found {value}, allowed 0 < {name} < 1")
    for name, found, allowed in (
        ("measure", measure, get_args(Measure)),
        ("method", method, ("auto", *get_args(Method))),
    ):
        if found not in allowed:
            raise ValueError(f'factorise: no {name} "{found}"; allowed: {", ".join(allowed)}')


def _why_not(network: Network, node: Node, method: str, by_default: bool) -> str | None:
    form = network.form(node.name)
    if form.mask is not None or form.codebook is not None:
        raise ModelError(
            f'factorise: layer "{node.name}" (ONNX {", ".join(node.origin)}) has a '
            f"{'codebook' if form.codebook else 'mask of zeros'} already. Factorise first."
        )
    if isinstance(node.op, Conv) and node.op.groups > 1:
        return "its channels are in groups already"
    shape = weights(network.graph, node).shape
    if by_default and shape[0] < FEW_OUTPUTS:
        return f"only {shape[0]} outputs, too few to save much; name it in layers to have it anyway"
    columns = math.prod(shape[1:])
    if columns > FULL_COLUMNS:
        return f"{columns} weights for each output; at most {FULL_COLUMNS} can be looked at"
    if method == "spatial" and isinstance(node.op, Conv) and 1 in _kernel(node.op) and max(_kernel(node.op)) > 1:
        return "its window has one axis already"
    return None


def _kernel(op: Conv) -> Shape:
    return op.window.two_d().kernel


def _cost_of(graph: Graph, node: Node, measure: Measure) -> int:
    ins, out = graph.ins(node), graph.outs(node)[0]
    return ins[1].size if measure == "weights" else int(node.op.macs(ins, out))  # type: ignore[attr-defined]


# -- options ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Option:
    """One way to replace a layer, what that costs and about what part of the output's power it loses.

    `inner`: elements of the largest activation between the parts.
    """

    method: Method
    ranks: tuple[int, ...]
    weights: int
    macs: int
    inner: int
    error: float

    def cost(self, measure: Measure) -> int:
        return self.weights if measure == "weights" else self.macs


@dataclass(frozen=True, slots=True)
class _Part:
    """A layer to be: ending of its name, operator without clamp, shape of its weights."""

    ending: str
    op: Conv | Dense
    shape: Shape


class _Work:
    """A layer and what is known of its inputs."""

    def __init__(self, graph: Graph, node: Node, statistics: Statistics) -> None:
        assert isinstance(node.op, Conv | Dense)
        self.node, self.op, self.statistics = node, node.op, statistics
        self.x_shape = graph.tensors[node.inputs[0]].shape
        self.array = weights(graph, node).array
        self.weights = self.array.size
        self.macs = _cost_of(graph, node, "macs")
        self.kernel = _kernel(node.op) if isinstance(node.op, Conv) else (1, 1)
        self.outs, self.taps, self.ins = len(self.array), math.prod(self.kernel), self.array.shape[-1]
        self.w = self.array.astype(np.float64).reshape(self.outs, self.taps, self.ins)
        self.c = statistics.estimate()[0]
        flat = self.w.reshape(self.outs, -1)
        self.power = float(np.einsum("ok,ok->", flat @ self.c, flat))

    def cost(self, measure: Measure) -> int:
        return self.weights if measure == "weights" else self.macs

    @cached_property
    def blocks(self) -> Array:
        """The covariance as (taps, I, taps, I)."""
        return np.asarray(self.c.reshape(self.taps, self.ins, self.taps, self.ins))

    @cached_property
    def by_channel(self) -> Array:
        """(I, I): covariance of the channels at one tap, the mean over the taps."""
        return np.asarray(np.einsum("titj->ij", self.blocks) / self.taps)

    @cached_property
    def channel_root(self) -> Array:
        """L with L L^T = `by_channel`: weights times L weigh errors as the outputs do."""
        return np.asarray(np.linalg.cholesky(self.by_channel))

    def channel_std(self, basis: Array) -> Array:
        """Of mixtures (rank, I) of the channels at one tap."""
        return np.asarray(np.sqrt(np.einsum("ri,ri->r", basis @ self.by_channel, basis)))

    def parts(self, method: Method, ranks: tuple[int, ...]) -> tuple[_Part, ...]:
        """The layers that replace this one."""
        op = replace(self.op, lo=-math.inf, hi=math.inf)
        if isinstance(op, Dense):
            return (_Part("in", op, (ranks[0], self.ins)), _Part("out", op, (self.outs, ranks[0])))
        window = op.window
        n = window.rank
        ones = (1,) * n
        point = Conv(Window(ones, ones, (0,) * (2 * n), ones))
        k = window.kernel
        if method == "lowrank":
            first = "in" if self.taps == 1 else "core"
            return (_Part(first, op, (ranks[0], *k, self.ins)), _Part("out", point, (self.outs, *ones, ranks[0])))
        if method == "tucker":
            inner, outer = ranks
            found = (_Part("in", point, (inner, *ones, self.ins)), _Part("core", op, (outer, *k, inner)))
            return found if outer == self.outs else (*found, _Part("out", point, (self.outs, *ones, outer)))
        if method == "cp":
            (r,) = ranks
            return (
                _Part("in", point, (r, *ones, self.ins)),
                _Part("core", replace(op, groups=r), (r, *k, 1)),
                _Part("out", point, (self.outs, *ones, r)),
            )
        if method == "depthwise":
            wide = self.ins * ranks[0]
            return (
                _Part("core", replace(op, groups=self.ins), (wide, *k, 1)),
                _Part("out", point, (self.outs, *ones, wide)),
            )
        (r,), ((kh, kw), (sh, sw), (top, left, bottom, right), (dh, dw)) = ranks, (
            k, window.strides, window.pads, window.dilations,
        )  # fmt: skip
        down = Conv(Window((kh, 1), (sh, 1), (top, 0, bottom, 0), (dh, 1)))
        across = Conv(Window((1, kw), (1, sw), (0, left, 0, right), (1, dw)))
        return (_Part("in", down, (r, kh, 1, self.ins)), _Part("out", across, (self.outs, 1, kw, r)))

    def option(self, method: Method, ranks: tuple[int, ...], kept: float) -> _Option:
        """`kept`: power of the outputs that the parts give."""
        shape, total, macs, sizes = self.x_shape, 0, 0, []
        for part in self.parts(method, ranks):
            (shape,) = part.op.infer(shape, part.shape, part.shape[:1])
            total += math.prod(part.shape)
            macs += math.prod(shape) * math.prod(part.shape[1:])
            sizes.append(math.prod(shape))
        error = max(0.0, 1.0 - kept / self.power) if self.power > 0.0 else 0.0
        return _Option(method, ranks, total, macs, max(sizes[:-1]), error)

    def regress(self, b: Array) -> tuple[Array, Array]:
        """F (O, features), which makes the best outputs of the features B x, and the covariance of the features."""
        bc = b @ self.c
        s = bc @ b.T
        # Features that others already tell (their variance is rounding) get no weight of their own.
        ridge = 1e-9 * max(float(np.trace(s)) / len(s), 1e-300)
        f = np.linalg.solve(s + ridge * np.eye(len(s)), bc @ self.w.reshape(self.outs, -1).T).T
        return np.asarray(f), np.asarray(s)


def _multiples(limit: float) -> list[int]:
    """STEP, 2 STEP, ... below the limit."""
    return list(range(STEP, math.ceil(limit), STEP))


def _spread(values: list[int], count: int) -> list[int]:
    """At most about `count` of them, evenly on a logarithmic scale."""
    if len(values) <= count:
        return values
    wanted = np.geomspace(values[0], values[-1], count)
    return sorted({min(values, key=lambda v, w=w: abs(v - w)) for w in wanted})  # type: ignore[misc]


def _options(work: _Work, method: Method | Literal["auto"]) -> list[_Option]:
    """All ways to replace a layer by one method, or by any."""
    if work.taps == 1:
        return _lowrank_options(work)
    every: dict[Method, Callable[[_Work], list[_Option]]] = {
        "lowrank": _lowrank_options,
        "tucker": _tucker_options,
        "cp": _cp_options,
        "spatial": _spatial_options,
        "depthwise": _depthwise_options,
    }
    return [o for name, make in every.items() if method in ("auto", name) for o in make(work)]


def _lowrank_options(work: _Work) -> list[_Option]:
    flat = work.w.reshape(work.outs, -1)
    kept = np.cumsum(np.linalg.eigvalsh(flat @ work.c @ flat.T)[::-1])
    return [work.option("lowrank", (r,), float(kept[r - 1])) for r in _multiples(work.outs)]


def _tucker_options(work: _Work) -> list[_Option]:
    found = []
    for inner in _spread(_multiples(work.ins), _TUCKER_RANKS):
        f, s = work.regress(_tucker_features(work, _input_basis(work, inner)))
        kept = np.cumsum(np.linalg.eigvalsh(f @ s @ f.T)[::-1])
        for outer in (*_spread(_multiples(work.outs), _TUCKER_RANKS), work.outs):
            found.append(work.option("tucker", (inner, outer), float(kept[outer - 1])))
    return found


def _cp_options(work: _Work) -> list[_Option]:
    ranks = _spread(_multiples(work.weights / (work.outs + work.taps + work.ins)), _CP_RANKS)
    return [_measured(work, "cp", (r,), _cp_features(work, r)[0]) for r in ranks]


def _spatial_options(work: _Work) -> list[_Option]:
    if min(work.kernel) == 1 or not isinstance(work.op, Conv) or work.op.window.rank == 1:
        return []
    kh, kw = work.kernel
    ranks = _spread(_multiples(work.weights / (kh * work.ins + kw * work.outs)), _TUCKER_RANKS)
    return [_measured(work, "spatial", (r,), _spatial_features(work, r)[0]) for r in ranks if r <= kh * work.ins]


def _depthwise_options(work: _Work) -> list[_Option]:
    if work.ins == 1:
        return []
    most = min(work.taps, math.ceil(work.weights / (work.ins * (work.taps + work.outs))))
    return [_measured(work, "depthwise", (m,), _depthwise_features(work, m)[0]) for m in range(1, most)]


def _measured(work: _Work, method: Method, ranks: tuple[int, ...], b: Array) -> _Option:
    f, s = work.regress(b)
    return work.option(method, ranks, float(np.einsum("of,of->", f @ s, f)))


# -- features --------------------------------------------------------------------------------------------------------


def _principal(matrix: Array, rank: int) -> Array:
    """(n, rank): orthonormal, the left singular vectors of the largest singular values."""
    _, vectors = np.linalg.eigh(matrix @ matrix.T)
    return np.asarray(vectors[:, ::-1][:, :rank])


def _input_basis(work: _Work, rank: int, outputs: Array | None = None) -> Array:
    """(rank, I): the mixtures of channels that matter most for the outputs, or for their projection on `outputs`."""
    w = work.w if outputs is None else np.tensordot(outputs.T, work.w, 1)
    weighed = w @ work.channel_root
    q = _principal(weighed.reshape(-1, work.ins).T, rank)
    return np.linalg.solve(work.channel_root.T, q).T


def _tucker_features(work: _Work, basis: Array) -> Array:
    """(taps * rank, K): the mixtures at every tap."""
    return np.kron(np.eye(work.taps), basis)


def _hooi(work: _Work, inner: int, outer: int) -> Array:
    """The input basis of Tucker-2, refined in turn with the basis of the outputs."""
    basis = _input_basis(work, inner)
    if outer == work.outs:
        return basis
    for _ in range(_HOOI_SWEEPS):
        f, s = work.regress(_tucker_features(work, basis))
        outputs = _leading(f @ s @ f.T, outer)
        basis = _input_basis(work, inner, outputs)
    return basis


def _leading(covariance: Array, rank: int) -> Array:
    """(n, rank): its eigenvectors of the largest eigenvalues."""
    return np.asarray(np.linalg.eigh(covariance)[1][:, ::-1][:, :rank])


def _cp_features(work: _Work, rank: int) -> tuple[Array, Array, Array]:
    """(B, taps (rank, T), channels (rank, I)): what CP's depthwise part gives, by alternating least squares."""
    root = work.channel_root
    tap_cov = np.einsum("tisi->ts", work.blocks) / work.ins
    tap_root = np.linalg.cholesky(tap_cov + 1e-9 * np.trace(tap_cov) / work.taps * np.eye(work.taps))
    x = np.einsum("oti,ts->osi", work.w @ root, tap_root)
    rng = np.random.default_rng(rank)
    t, c = rng.normal(size=(work.taps, rank)), rng.normal(size=(work.ins, rank))
    # The leading mixtures of channels to begin with: as many as there are.
    lead = _principal(x.reshape(-1, work.ins).T, min(rank, work.ins))
    c[:, : lead.shape[1]] = lead
    unfolded = (
        x.reshape(work.outs, -1),
        x.transpose(1, 0, 2).reshape(work.taps, -1),
        x.transpose(2, 0, 1).reshape(work.ins, -1),
    )

    def solve(flat: Array, a: Array, b: Array) -> Array:
        """The factor that goes best with the two others."""
        gram = (a.T @ a) * (b.T @ b)
        ridge = 1e-6 * np.trace(gram) / rank
        pair = (a[:, None, :] * b[None, :, :]).reshape(-1, rank)
        return np.asarray(np.linalg.solve(gram + ridge * np.eye(rank), (flat @ pair).T).T)

    for _ in range(_CP_SWEEPS):
        o = solve(unfolded[0], t, c)
        t = solve(unfolded[1], o, c)
        t /= np.maximum(np.linalg.norm(t, axis=0), 1e-300)
        c = solve(unfolded[2], o, t)
        c /= np.maximum(np.linalg.norm(c, axis=0), 1e-300)
    taps, channels = np.linalg.solve(tap_root.T, t).T, np.linalg.solve(root.T, c).T
    return (taps[:, :, None] * channels[:, None, :]).reshape(rank, -1), taps, channels


def _spatial_features(work: _Work, rank: int) -> tuple[Array, Array]:
    """(B (kw * rank, K), columns (rank, kh * I)): mixtures of a column of the window, at every column."""
    kh, kw = work.kernel
    blocks = work.c.reshape(kh, kw, work.ins, kh, kw, work.ins)
    strip = np.einsum("awibwj->aibj", blocks).reshape(kh * work.ins, -1) / kw
    root = np.linalg.cholesky(strip)
    w = work.w.reshape(work.outs, kh, kw, work.ins).transpose(0, 2, 1, 3).reshape(work.outs * kw, -1)
    columns = np.linalg.solve(root.T, _principal((w @ root).T, rank)).T
    b = np.zeros((kw, rank, kh, kw, work.ins))
    for i in range(kw):
        b[i, :, :, i, :] = columns.reshape(rank, kh, work.ins)
    return b.reshape(kw * rank, -1), columns


def _depthwise_features(work: _Work, each: int) -> tuple[Array, Array]:
    """(B (I * each, K), filters (I * each, T)): for every channel the filters that matter most."""
    filters = np.zeros((work.ins, each, work.taps))
    b = np.zeros((work.ins, each, work.taps, work.ins))
    for i in range(work.ins):
        cov = work.blocks[:, i, :, i]
        root = np.linalg.cholesky(cov)
        filters[i] = np.linalg.solve(root.T, _principal((work.w[:, :, i] @ root).T, each)).T
        b[i, :, :, i] = filters[i]
    return b.reshape(work.ins * each, -1), filters.reshape(-1, work.taps)


# -- choice ----------------------------------------------------------------------------------------------------------


def _cheapest(ladder: list[_Option], error: float, measure: Measure) -> _Option | None:
    """Of the options within an error."""
    within = [o for o in ladder if o.error <= error]
    return min(within, key=lambda o: (o.cost(measure), o.error), default=None)


def _hull(cost: int, ladder: list[_Option], measure: Measure) -> list[_Option]:
    """Of a layer of that cost the options that save most for their error, each step worth less than the one before."""
    hull: list[_Option] = []
    at, error = float(cost), 0.0
    while True:
        rest = [o for o in ladder if o.cost(measure) < at]
        if not rest:
            return hull
        best = max(rest, key=lambda o: ((at - o.cost(measure)) / max(o.error - error, 1e-12), -o.cost(measure)))
        hull.append(best)
        at, error = float(best.cost(measure)), max(error, best.error)


def _greedy(
    costs: list[int], ladders: list[list[_Option]], measure: Measure, total: int, limit: float
) -> list[_Option | None]:
    """An option, or none, for each layer, so that the network's cost falls to the limit."""
    hulls = [_hull(c, ladder, measure) for c, ladder in zip(costs, ladders, strict=True)]
    place = [0] * len(hulls)
    chosen: list[_Option | None] = [None] * len(hulls)
    while total > limit:
        best, worth = -1, -1.0
        for i, hull in enumerate(hulls):
            if place[i] == len(hull):
                continue
            now = chosen[i]
            at, error = (costs[i], 0.0) if now is None else (now.cost(measure), now.error)
            gain = (at - hull[place[i]].cost(measure)) / max(hull[place[i]].error - error, 1e-12)
            if gain > worth:
                best, worth = i, gain
        if best < 0:
            raise ModelError(
                f"factorise: at most {int(limit)} {measure} asked for; the least that keeps half of every layer's "
                f"output is {total}. Ask for less, or prune first."
            )
        now = chosen[best]
        total -= (costs[best] if now is None else now.cost(measure)) - hulls[best][place[best]].cost(measure)
        chosen[best] = hulls[best][place[best]]
        place[best] += 1
    return chosen


# -- the new layers --------------------------------------------------------------------------------------------------


def _factors(work: _Work, option: _Option) -> list[Array]:
    """Weights (outputs, taps, inputs) of every part, scales balanced."""
    flat = work.w.reshape(work.outs, -1)
    if option.method == "lowrank":
        u = _leading(flat @ work.c @ flat.T, option.ranks[0])
        first = u.T @ flat
        a = _balance(np.sqrt(np.einsum("rk,rk->r", first @ work.c, first)), u)
        return [(first / a[:, None]).reshape(-1, work.taps, work.ins), (u * a)[:, None, :]]
    if option.method == "tucker":
        inner, outer = option.ranks
        basis = _hooi(work, inner, outer)
        f, s = work.regress(_tucker_features(work, basis))
        core, last = f, []
        if outer != work.outs:
            u = _leading(f @ s @ f.T, outer)
            core = u.T @ f
            a = _balance(np.sqrt(np.einsum("rk,rk->r", core @ s, core)), u)
            core, last = core / a[:, None], [(u * a)[:, None, :]]
        core = core.reshape(outer, work.taps, inner)
        a = _balance(work.channel_std(basis), core.reshape(-1, inner))
        return [(basis / a[:, None])[:, None, :], core * a, *last]
    if option.method == "cp":
        b, taps, channels = _cp_features(work, option.ranks[0])
        f, s = work.regress(b)
        # What a depthwise layer reads may have any scale: its weights have one for each channel.
        std = np.maximum(work.channel_std(channels), 1e-30)
        a = _balance(np.sqrt(np.diagonal(s)), f)
        return [(channels / std[:, None])[:, None, :], (taps * (std / a)[:, None])[:, :, None], (f * a)[:, None, :]]
    if option.method == "depthwise":
        b, filters = _depthwise_features(work, option.ranks[0])
        f, s = work.regress(b)
        a = _balance(np.sqrt(np.diagonal(s)), f)
        return [(filters / a[:, None])[:, :, None], (f * a)[:, None, :]]
    b, columns = _spatial_features(work, option.ranks[0])
    f, s = work.regress(b)
    r = option.ranks[0]
    across = f.reshape(work.outs, -1, r)
    a = _balance(np.sqrt(np.diagonal(s).reshape(-1, r).mean(axis=0)), across.reshape(-1, r))
    return [(columns / a[:, None]).reshape(r, -1, work.ins), across * a]


def _balance(std: Array, after: Array) -> Array:
    """What to divide each intermediate channel by: its values (`std`) share one scale, and so do the weights of an
    output that read it (`after`: (..., channels)); halfway neither spreads more than it must."""
    norm = np.linalg.norm(after, axis=0)
    usable = (std > 0.0) & (norm > 0.0)
    return np.asarray(np.where(usable, np.sqrt(np.where(usable, std, 1.0) / np.where(usable, norm, 1.0)), 1.0))


def _product(work: _Work, option: _Option, factors: list[Array]) -> Array:
    """(O, K): the weights of the one layer that computes what the parts do."""
    if option.method == "lowrank":
        return np.asarray(factors[1][:, 0] @ factors[0].reshape(len(factors[0]), -1))
    if option.method == "tucker":
        core = factors[1] @ factors[0][:, 0]
        whole = core if len(factors) == 2 else np.tensordot(factors[2][:, 0], core, 1)
    elif option.method == "cp":
        whole = np.einsum("or,rt,ri->oti", factors[2][:, 0], factors[1][:, :, 0], factors[0][:, 0])
    elif option.method == "depthwise":
        each = option.ranks[0]
        filters = factors[0][:, :, 0].reshape(work.ins, each, work.taps)
        whole = np.einsum("oim,imt->oti", factors[1][:, 0].reshape(work.outs, work.ins, each), filters)
    else:
        whole = np.einsum("owr,rhi->ohwi", factors[1], factors[0])
    return np.asarray(whole.reshape(work.outs, -1))


def _replace(graph: Graph, work: _Work, option: _Option) -> tuple[Graph, list[str], float]:
    """The graph with the parts in place of the layer, their names, and the error measured."""
    factors = _factors(work, option)
    parts = work.parts(option.method, option.ranks)
    whole = _product(work, option, factors)
    old_bias = graph.tensors[work.node.inputs[2]].array.astype(np.float64)
    bias = old_bias + work.statistics.bias_shift(work.array.reshape(work.outs, -1), whole)
    nodes: list[Node] = []
    tensors: list[Tensor] = []
    at, shape = work.node.inputs[0], work.x_shape
    for part, factor in zip(parts, factors, strict=True):
        last = part is parts[-1]
        name = fresh(graph, f"{work.node.name}_{part.ending}")
        stem = fresh(graph, f"{work.node.outputs[0]}_{part.ending}")
        w = Tensor.constant(fresh(graph, f"{stem}_w"), factor.reshape(part.shape).astype(np.float32))
        b = Tensor.constant(fresh(graph, f"{stem}_b"), (bias if last else np.zeros(len(factor))).astype(np.float32))
        (shape,) = part.op.infer(shape, w.shape, b.shape)
        out = work.node.outputs[0] if last else stem
        op = replace(part.op, lo=work.op.lo, hi=work.op.hi) if last else part.op
        nodes.append(Node(name, op, (at, w.name, b.name), (out,), work.node.origin))
        tensors += [w, b] if last else [w, b, Tensor(out, shape)]
        at = out
    graph = replace_nodes(graph, {work.node.name: nodes}, tensors)
    return graph, [n.name for n in nodes], work.statistics.relative_error(work.array.reshape(work.outs, -1), whole)


# -- the technique ---------------------------------------------------------------------------------------------------


def _apply(work: Work, network: Network, settings: Rank | None) -> Network:
    for value, names in work.groups(network.graph, "rank", settings):
        how = Rank(energy=value) if isinstance(value, float) else value
        network = factorise(
            network, work.few, amount=how.amount, energy=how.energy, measure=how.measure, method=how.method,
            layers=names, log=work.log, progress=work.progress,
        )  # fmt: skip
    return network


def _draw(trial: Trial) -> Rank | None:
    # Energy, unlike a share of the weights, can be kept by every network: no trial is lost.
    energy = trial.suggest_categorical("energy", (1.0, 0.99, 0.98, 0.95, 0.9, 0.8, 0.7))
    return Rank(energy=energy) if energy < 1.0 else None


TECHNIQUE = Technique(
    "rank",
    Rank,
    "structure",
    _apply,
    options=(
        Option(
            "--rank",
            float,
            "Share of the weights to save by products of smaller layers.",
            lambda amount: {"amount": amount, "energy": None},
        ),
    ),
    own=Own(float | Literal[False], _check_energy),
    suggest=Suggest(_draw, off={"energy": 1.0}, start={"energy": 0.95}, turn=3),
    catch_up=True,
)
