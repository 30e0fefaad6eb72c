"""What can take a layer's place: low rank for dense and pointwise layers, Tucker-2, CP, separable and depthwise
convolutions.

Every method first chooses features, fewer than there are weights in a row, and then the last part by regression: the
outputs that come from those features with the least power of their change, D C D^T with C the covariance of what the
layer reads. So it is the outputs on the data that are approximated, not the weights. `w` is (O, taps, I) throughout, a
row of K = taps * I values; B (features, K) says what the features are made of.

Tucker-2: Kim et al. 2016, by HOOI (De Lathauwer et al. 2000). CP: Lebedev et al. 2015, by alternating least squares.
Separable: Jaderberg et al. 2014. Projection on the outputs' principal components: Zhang et al. 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from tinygen.compress.network import weights
from tinygen.compress.statistics import Statistics
from tinygen.ir.types import Graph, Node
from tinygen.numerics import Array
from tinygen.ops import Conv, Dense
from tinygen.ops.base import Shape
from tinygen.ops.spatial import Window

Method = Literal["lowrank", "tucker", "cp", "spatial", "depthwise"]
Counted = Literal["weights", "macs"]

#: Ranks are multiples of this: kernels take four channels at a time.
STEP = 4
#: Ranks that are tried of CP, which takes an iteration each, and of one side of Tucker.
_CP_RANKS, _TUCKER_RANKS = 10, 16
_CP_SWEEPS, _HOOI_SWEEPS = 40, 8


def kernel_of(op: Conv) -> Shape:
    return op.window.two_d().kernel


def cost_of(graph: Graph, node: Node, measure: Counted) -> int:
    ins = graph.ins(node)
    return ins[1].size if measure == "weights" else int(node.op.macs(ins, graph.outs(node)))  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Thinner:
    """One way to replace a layer, what that costs and about what part of the output's power it loses.

    `inner`: elements of the largest activation between the parts.
    """

    method: Method
    ranks: tuple[int, ...]
    weights: int
    macs: int
    inner: int
    error: float

    def cost(self, measure: Counted) -> int:
        return self.weights if measure == "weights" else self.macs


@dataclass(frozen=True, slots=True)
class Part:
    """A layer to be: ending of its name, operator without clamp, shape of its weights."""

    ending: str
    op: Conv | Dense
    shape: Shape


class Thick:
    """A layer and what is known of its inputs."""

    def __init__(self, graph: Graph, node: Node, statistics: Statistics) -> None:
        assert isinstance(node.op, Conv | Dense)
        self.node, self.op, self.statistics = node, node.op, statistics
        self.x_shape = graph.tensors[node.inputs[0]].shape
        self.array = weights(graph, node).array
        self.weights = self.array.size
        self.macs = cost_of(graph, node, "macs")
        self.kernel = kernel_of(node.op) if isinstance(node.op, Conv) else (1, 1)
        self.outs, self.taps, self.ins = len(self.array), math.prod(self.kernel), self.array.shape[-1]
        self.w = self.array.astype(np.float64).reshape(self.outs, self.taps, self.ins)
        self.c = statistics.estimate()[0]
        flat = self.w.reshape(self.outs, -1)
        self.power = float(np.einsum("ok,ok->", flat @ self.c, flat))

    def cost(self, measure: Counted) -> int:
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

    def parts(self, method: Method, ranks: tuple[int, ...]) -> tuple[Part, ...]:
        """The layers that replace this one."""
        op = replace(self.op, lo=-math.inf, hi=math.inf)
        if isinstance(op, Dense):
            return (Part("in", op, (ranks[0], self.ins)), Part("out", op, (self.outs, ranks[0])))
        window = op.window
        n = window.rank
        ones = (1,) * n
        point = Conv(Window(ones, ones, (0,) * (2 * n), ones))
        k = window.kernel
        if method == "lowrank":
            first = "in" if self.taps == 1 else "core"
            return (Part(first, op, (ranks[0], *k, self.ins)), Part("out", point, (self.outs, *ones, ranks[0])))
        if method == "tucker":
            inner, outer = ranks
            found = (Part("in", point, (inner, *ones, self.ins)), Part("core", op, (outer, *k, inner)))
            return found if outer == self.outs else (*found, Part("out", point, (self.outs, *ones, outer)))
        if method == "cp":
            (r,) = ranks
            return (
                Part("in", point, (r, *ones, self.ins)),
                Part("core", replace(op, groups=r), (r, *k, 1)),
                Part("out", point, (self.outs, *ones, r)),
            )
        if method == "depthwise":
            wide = self.ins * ranks[0]
            return (
                Part("core", replace(op, groups=self.ins), (wide, *k, 1)),
                Part("out", point, (self.outs, *ones, wide)),
            )
        (r,), ((kh, kw), (sh, sw), (top, left, bottom, right), (dh, dw)) = ranks, (
            k, window.strides, window.pads, window.dilations,
        )  # fmt: skip
        down = Conv(Window((kh, 1), (sh, 1), (top, 0, bottom, 0), (dh, 1)))
        across = Conv(Window((1, kw), (1, sw), (0, left, 0, right), (1, dw)))
        return (Part("in", down, (r, kh, 1, self.ins)), Part("out", across, (self.outs, 1, kw, r)))

    def option(self, method: Method, ranks: tuple[int, ...], kept: float) -> Thinner:
        """`kept`: power of the outputs that the parts give."""
        shape, total, macs, sizes = self.x_shape, 0, 0, []
        for part in self.parts(method, ranks):
            (shape,) = part.op.infer(shape, part.shape, part.shape[:1])
            total += math.prod(part.shape)
            macs += math.prod(shape) * math.prod(part.shape[1:])
            sizes.append(math.prod(shape))
        error = max(0.0, 1.0 - kept / self.power) if self.power > 0.0 else 0.0
        return Thinner(method, ranks, total, macs, max(sizes[:-1]), error)

    def regress(self, b: Array) -> tuple[Array, Array]:
        """F (O, features), which makes the best outputs of the features B x, and the covariance of the features."""
        bc = b @ self.c
        s = bc @ b.T
        # Features that others already tell (their variance is rounding) get no weight of their own.
        ridge = 1e-9 * max(float(np.trace(s)) / len(s), 1e-300)
        f = np.linalg.solve(s + ridge * np.eye(len(s)), bc @ self.w.reshape(self.outs, -1).T).T
        return np.asarray(f), np.asarray(s)


# -- options ---------------------------------------------------------------------------------------------------------


def _multiples(limit: float) -> list[int]:
    """STEP, 2 STEP, ... below the limit."""
    return list(range(STEP, math.ceil(limit), STEP))


def _spread(values: list[int], count: int) -> list[int]:
    """At most about `count` of them, evenly on a logarithmic scale."""
    if len(values) <= count:
        return values
    wanted = np.geomspace(values[0], values[-1], count)
    return sorted({min(values, key=lambda v, w=w: abs(v - w)) for w in wanted})  # type: ignore[misc]


def ways(thick: Thick, method: Method | Literal["auto"]) -> list[Thinner]:
    """All ways to replace a layer by one method, or by any."""
    if thick.taps == 1:
        return _lowrank_options(thick)
    every: dict[Method, Callable[[Thick], list[Thinner]]] = {
        "lowrank": _lowrank_options,
        "tucker": _tucker_options,
        "cp": _cp_options,
        "spatial": _spatial_options,
        "depthwise": _depthwise_options,
    }
    return [o for name, make in every.items() if method in ("auto", name) for o in make(thick)]


def _lowrank_options(thick: Thick) -> list[Thinner]:
    flat = thick.w.reshape(thick.outs, -1)
    kept = np.cumsum(np.linalg.eigvalsh(flat @ thick.c @ flat.T)[::-1])
    return [thick.option("lowrank", (r,), float(kept[r - 1])) for r in _multiples(thick.outs)]


def _tucker_options(thick: Thick) -> list[Thinner]:
    found = []
    for inner in _spread(_multiples(thick.ins), _TUCKER_RANKS):
        f, s = thick.regress(_tucker_features(thick, _input_basis(thick, inner)))
        kept = np.cumsum(np.linalg.eigvalsh(f @ s @ f.T)[::-1])
        for outer in (*_spread(_multiples(thick.outs), _TUCKER_RANKS), thick.outs):
            found.append(thick.option("tucker", (inner, outer), float(kept[outer - 1])))
    return found


def _cp_options(thick: Thick) -> list[Thinner]:
    ranks = _spread(_multiples(thick.weights / (thick.outs + thick.taps + thick.ins)), _CP_RANKS)
    return [_measured(thick, "cp", (r,), _cp_features(thick, r)[0]) for r in ranks]


def _spatial_options(thick: Thick) -> list[Thinner]:
    if min(thick.kernel) == 1 or not isinstance(thick.op, Conv) or thick.op.window.rank == 1:
        return []
    kh, kw = thick.kernel
    ranks = _spread(_multiples(thick.weights / (kh * thick.ins + kw * thick.outs)), _TUCKER_RANKS)
    return [_measured(thick, "spatial", (r,), _spatial_features(thick, r)[0]) for r in ranks if r <= kh * thick.ins]


def _depthwise_options(thick: Thick) -> list[Thinner]:
    if thick.ins == 1:
        return []
    most = min(thick.taps, math.ceil(thick.weights / (thick.ins * (thick.taps + thick.outs))))
    return [_measured(thick, "depthwise", (m,), _depthwise_features(thick, m)[0]) for m in range(1, most)]


def _measured(thick: Thick, method: Method, ranks: tuple[int, ...], b: Array) -> Thinner:
    f, s = thick.regress(b)
    return thick.option(method, ranks, float(np.einsum("of,of->", f @ s, f)))


# -- features --------------------------------------------------------------------------------------------------------


def _principal(matrix: Array, rank: int) -> Array:
    """(n, rank): orthonormal, the left singular vectors of the largest singular values."""
    _, vectors = np.linalg.eigh(matrix @ matrix.T)
    return np.asarray(vectors[:, ::-1][:, :rank])


def _input_basis(thick: Thick, rank: int, outputs: Array | None = None) -> Array:
    """(rank, I): the mixtures of channels that matter most for the outputs, or for their projection on `outputs`."""
    w = thick.w if outputs is None else np.tensordot(outputs.T, thick.w, 1)
    weighed = w @ thick.channel_root
    q = _principal(weighed.reshape(-1, thick.ins).T, rank)
    return np.linalg.solve(thick.channel_root.T, q).T


def _tucker_features(thick: Thick, basis: Array) -> Array:
    """(taps * rank, K): the mixtures at every tap."""
    return np.kron(np.eye(thick.taps), basis)


def _hooi(thick: Thick, inner: int, outer: int) -> Array:
    """The input basis of Tucker-2, refined in turn with the basis of the outputs."""
    basis = _input_basis(thick, inner)
    if outer == thick.outs:
        return basis
    for _ in range(_HOOI_SWEEPS):
        f, s = thick.regress(_tucker_features(thick, basis))
        outputs = _leading(f @ s @ f.T, outer)
        basis = _input_basis(thick, inner, outputs)
    return basis


def _leading(covariance: Array, rank: int) -> Array:
    """(n, rank): its eigenvectors of the largest eigenvalues."""
    return np.asarray(np.linalg.eigh(covariance)[1][:, ::-1][:, :rank])


def _cp_features(thick: Thick, rank: int) -> tuple[Array, Array, Array]:
    """(B, taps (rank, T), channels (rank, I)): what CP's depthwise part gives, by alternating least squares."""
    root = thick.channel_root
    tap_cov = np.einsum("tisi->ts", thick.blocks) / thick.ins
    tap_root = np.linalg.cholesky(tap_cov + 1e-9 * np.trace(tap_cov) / thick.taps * np.eye(thick.taps))
    x = np.einsum("oti,ts->osi", thick.w @ root, tap_root)
    rng = np.random.default_rng(rank)
    t, c = rng.normal(size=(thick.taps, rank)), rng.normal(size=(thick.ins, rank))
    # The leading mixtures of channels to begin with: as many as there are.
    lead = _principal(x.reshape(-1, thick.ins).T, min(rank, thick.ins))
    c[:, : lead.shape[1]] = lead
    unfolded = (
        x.reshape(thick.outs, -1),
        x.transpose(1, 0, 2).reshape(thick.taps, -1),
        x.transpose(2, 0, 1).reshape(thick.ins, -1),
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


def _spatial_features(thick: Thick, rank: int) -> tuple[Array, Array]:
    """(B (kw * rank, K), columns (rank, kh * I)): mixtures of a column of the window, at every column."""
    kh, kw = thick.kernel
    blocks = thick.c.reshape(kh, kw, thick.ins, kh, kw, thick.ins)
    strip = np.einsum("awibwj->aibj", blocks).reshape(kh * thick.ins, -1) / kw
    root = np.linalg.cholesky(strip)
    w = thick.w.reshape(thick.outs, kh, kw, thick.ins).transpose(0, 2, 1, 3).reshape(thick.outs * kw, -1)
    columns = np.linalg.solve(root.T, _principal((w @ root).T, rank)).T
    b = np.zeros((kw, rank, kh, kw, thick.ins))
    for i in range(kw):
        b[i, :, :, i, :] = columns.reshape(rank, kh, thick.ins)
    return b.reshape(kw * rank, -1), columns


def _depthwise_features(thick: Thick, each: int) -> tuple[Array, Array]:
    """(B (I * each, K), filters (I * each, T)): for every channel the filters that matter most."""
    filters = np.zeros((thick.ins, each, thick.taps))
    b = np.zeros((thick.ins, each, thick.taps, thick.ins))
    for i in range(thick.ins):
        cov = thick.blocks[:, i, :, i]
        root = np.linalg.cholesky(cov)
        filters[i] = np.linalg.solve(root.T, _principal((thick.w[:, :, i] @ root).T, each)).T
        b[i, :, :, i] = filters[i]
    return b.reshape(thick.ins * each, -1), filters.reshape(-1, thick.taps)


# -- the weights of the parts ------------------------------------------------------------------------------------------


def factors(thick: Thick, option: Thinner) -> list[Array]:
    """Weights (outputs, taps, inputs) of every part, scales balanced."""
    flat = thick.w.reshape(thick.outs, -1)
    if option.method == "lowrank":
        u = _leading(flat @ thick.c @ flat.T, option.ranks[0])
        first = u.T @ flat
        a = _balance(np.sqrt(np.einsum("rk,rk->r", first @ thick.c, first)), u)
        return [(first / a[:, None]).reshape(-1, thick.taps, thick.ins), (u * a)[:, None, :]]
    if option.method == "tucker":
        inner, outer = option.ranks
        basis = _hooi(thick, inner, outer)
        f, s = thick.regress(_tucker_features(thick, basis))
        core, last = f, []
        if outer != thick.outs:
            u = _leading(f @ s @ f.T, outer)
            core = u.T @ f
            a = _balance(np.sqrt(np.einsum("rk,rk->r", core @ s, core)), u)
            core, last = core / a[:, None], [(u * a)[:, None, :]]
        core = core.reshape(outer, thick.taps, inner)
        a = _balance(thick.channel_std(basis), core.reshape(-1, inner))
        return [(basis / a[:, None])[:, None, :], core * a, *last]
    if option.method == "cp":
        b, taps, channels = _cp_features(thick, option.ranks[0])
        f, s = thick.regress(b)
        # What a depthwise layer reads may have any scale: its weights have one for each channel.
        std = np.maximum(thick.channel_std(channels), 1e-30)
        a = _balance(np.sqrt(np.diagonal(s)), f)
        return [(channels / std[:, None])[:, None, :], (taps * (std / a)[:, None])[:, :, None], (f * a)[:, None, :]]
    if option.method == "depthwise":
        b, filters = _depthwise_features(thick, option.ranks[0])
        f, s = thick.regress(b)
        a = _balance(np.sqrt(np.diagonal(s)), f)
        return [(filters / a[:, None])[:, :, None], (f * a)[:, None, :]]
    b, columns = _spatial_features(thick, option.ranks[0])
    f, s = thick.regress(b)
    r = option.ranks[0]
    across = f.reshape(thick.outs, -1, r)
    a = _balance(np.sqrt(np.diagonal(s).reshape(-1, r).mean(axis=0)), across.reshape(-1, r))
    return [(columns / a[:, None]).reshape(r, -1, thick.ins), across * a]


def _balance(std: Array, after: Array) -> Array:
    """What to divide each intermediate channel by: its values (`std`) share one scale, and so do the weights of an
    output that read it (`after`: (..., channels)); halfway neither spreads more than it must."""
    norm = np.linalg.norm(after, axis=0)
    usable = (std > 0.0) & (norm > 0.0)
    return np.asarray(np.where(usable, np.sqrt(np.where(usable, std, 1.0) / np.where(usable, norm, 1.0)), 1.0))


def product(thick: Thick, option: Thinner, factors: list[Array]) -> Array:
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
        filters = factors[0][:, :, 0].reshape(thick.ins, each, thick.taps)
        whole = np.einsum("oim,imt->oti", factors[1][:, 0].reshape(thick.outs, thick.ins, each), filters)
    else:
        whole = np.einsum("owr,rhi->ohwi", factors[1], factors[0])
    return np.asarray(whole.reshape(thick.outs, -1))
