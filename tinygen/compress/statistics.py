"""What every layer reads: means and second moments of its inputs, gathered once over the samples.

A row is what one output of the layer sees, in the order of its weights (im2col patch, taps outside the image are 0).
For a change D of the weights (O, K) the power of the change of the outputs is D C D^T, C the covariance of the rows:
its constant part, D mean, is the bias's to make up for (`Statistics.bias_shift`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tinygen.calibrate.data import Samples
from tinygen.calibrate.graph import float_model, to_tensors
from tinygen.compress.network import layers
from tinygen.errors import DataError
from tinygen.ir.types import Graph, Node
from tinygen.numerics import Array
from tinygen.ops import Conv
from tinygen.ops.spatial import patches, two_d_shape
from tinygen.progress import Progress, no_progress
from tinygen.threads import in_order

#: Rows of a layer that are looked at, about: of larger images a random choice of positions.
ROWS = 16384
#: Columns up to which all products are kept (float64: 128 MiB at the limit); above only the squares.
FULL_COLUMNS = 4096
#: Rows gathered before they are multiplied: one large product is faster than many small ones.
CHUNK = 512
#: Samples in memory at a time.
_FEW = 16
#: Least share of the diagonal's mean added to a covariance, so that it can be inverted.
_DAMPING = 1e-3


@dataclass(frozen=True, eq=False, slots=True)
class Statistics:
    """Of the rows (K values each) of one layer, for each of its groups.

    `mean` and `power` (the mean square) are (groups, K). `moment` = E[x x^T] is (groups, K, K), or None where K is
    above FULL_COLUMNS.
    """

    rows: int
    mean: Array
    power: Array
    moment: Array | None

    @property
    def variance(self) -> Array:
        """(groups, K), not below 0."""
        return np.asarray(np.maximum(self.power - self.mean**2, 0.0))

    @property
    def covariance(self) -> Array:
        """(groups, K, K) as measured; the variances alone where no products were kept."""
        if self.moment is None:
            return np.asarray(self.variance[:, :, None] * np.eye(self.mean.shape[1]))
        return np.asarray(self.moment - self.mean[:, :, None] * self.mean[:, None, :])

    def estimate(self) -> Array:
        """(groups, K, K) positive definite: the covariance of all inputs, as far as these rows tell.

        Products between columns shrink by rows / (rows + K): of few rows most correlations are chance, and weights
        fitted to them would be right for the samples only. (Shrinkage towards the diagonal as in Ledoit and Wolf 2004,
        with this simple intensity.) A column that never varies gets the damping alone: its weights are free.
        """
        c = self.covariance
        k = c.shape[1]
        diagonal = np.einsum("gkk->gk", c).copy()
        c = c * (self.rows / (self.rows + k))
        # Inputs that do not vary leave rounding, which must not look like a variance.
        damping = np.maximum(_DAMPING * diagonal.mean(axis=1), 1e-9 * self.power.mean(axis=1) + 1e-20)[:, None]
        index = np.arange(k)
        c[:, index, index] = np.maximum(diagonal, 0.0) + damping
        return np.asarray(c)

    def split(self, w: Array) -> Array:
        """Weights (O, ...) as float64 (groups, O / groups, K)."""
        return w.astype(np.float64).reshape(len(self.mean), -1, self.mean.shape[1])

    def output_power(self, w: Array) -> Array:
        """(O,): variance of what the weights (O, ...) make of the rows."""
        s = self.split(w)
        if self.moment is None:
            power = np.einsum("gok,gk->go", s**2, self.variance)
        else:
            power = np.einsum("gok,gok->go", s @ self.covariance, s)
        return np.asarray(np.maximum(power, 0.0).reshape(-1))

    def relative_error(self, before: Array, after: Array) -> float:
        """Power of the change of the outputs over their own, once the bias made up for its constant part."""
        whole = float(self.output_power(before).sum())
        change = float(self.output_power(before.astype(np.float64) - after.astype(np.float64)).sum())
        return change / whole if whole > 0.0 else float(change > 0.0)

    def bias_shift(self, before: Array, after: Array) -> Array:
        """(O,): what to add to the bias so that the outputs keep their means."""
        change = self.split(before.astype(np.float64) - after.astype(np.float64))
        return np.asarray(np.einsum("gok,gk->go", change, self.mean).reshape(-1))


def input_rows(node: Node, x: Array, x_shape: tuple[int, ...]) -> Array:
    """(groups, rows, K): what the outputs of `node` see of x (samples, *x_shape)."""
    if not isinstance(node.op, Conv):
        return x.reshape(1, -1, x_shape[-1])
    window = node.op.window.two_d()
    taps = patches(x.reshape(-1, *two_d_shape(x_shape)[1:]), window, 0)
    groups, rows = node.op.groups, int(np.prod(taps.shape[:3]))
    split = taps.reshape(rows, *window.kernel, groups, x_shape[-1] // groups)
    return np.ascontiguousarray(split.transpose(3, 0, 1, 2, 4)).reshape(groups, rows, -1)


class _Sums:
    """Running sums over the rows of one layer."""

    def __init__(self, groups: int, columns: int) -> None:
        self.rows = 0
        self.total = np.zeros((groups, columns))
        self.squares = np.zeros((groups, columns))
        self.products = np.zeros((groups, columns, columns)) if columns <= FULL_COLUMNS else None
        self._waiting: list[Array] = []
        self._count = 0

    def add(self, rows: Array) -> None:
        """(groups, rows, K)."""
        self._waiting.append(rows)
        self._count += rows.shape[1]
        if self._count >= CHUNK:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        x = np.concatenate(self._waiting, axis=1).astype(np.float64)
        self._waiting, self._count = [], 0
        self.rows += x.shape[1]
        self.total += x.sum(axis=1)
        self.squares += (x * x).sum(axis=1)
        if self.products is not None:
            for g, part in enumerate(x):
                self.products[g] += part.T @ part

    def finish(self) -> Statistics:
        self._flush()
        n = max(1, self.rows)
        return Statistics(
            self.rows, self.total / n, self.squares / n, None if self.products is None else self.products / n
        )


def gather(
    graph: Graph, samples: Samples, names: Collection[str] | None = None, progress: Progress = no_progress
) -> dict[str, Statistics]:
    """Statistics by node name of all layers (`names`: of those) of a FLOAT graph."""
    return gather_rows(
        graph, samples, [_LayerRows(n) for n in layers(graph) if names is None or n.name in names], progress
    )


class Rows(Protocol):
    """What multiplies rows of an activation; `node`: the layer."""

    @property
    def name(self) -> str: ...

    @property
    def node(self) -> Node: ...

    @property
    def reads(self) -> str: ...

    def rows(self, graph: Graph, x: Array) -> Array:
        """(groups, rows, K) of a sample of the activation."""


@dataclass(frozen=True, slots=True)
class _LayerRows:
    node: Node

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def reads(self) -> str:
        return self.node.inputs[0]

    def rows(self, graph: Graph, x: Array) -> Array:
        return input_rows(self.node, x, graph.tensors[self.reads].shape)


def gather_rows(
    graph: Graph, samples: Samples, wanted: Sequence[Rows], progress: Progress = no_progress
) -> dict[str, Statistics]:
    """Statistics by name of whatever reads rows of a FLOAT graph; a few samples in memory at a time.

    Where there are more than ROWS rows in all samples, they are looked at in places drawn at random, with a fixed seed.
    DataError without samples, or where an activation is NaN or infinite.
    """
    if samples.count < 1:
        raise DataError("statistics of the layers' inputs: found no samples, at least 1 is needed")
    tensors = list(dict.fromkeys(r.reads for r in wanted))
    inner = [t for t in tensors if t not in graph.inputs]
    feeds = to_tensors(graph, samples.inputs)
    model = float_model(graph, inner)
    rng = {n.name: np.random.default_rng([0, i]) for i, n in enumerate(wanted)}
    sums: dict[str, _Sums] = {}
    take = max(1, -(-ROWS // samples.count))

    def add(reader: Rows) -> None:
        """Its rows of a few samples."""
        for i, values in enumerate(few, first):
            rows = reader.rows(graph, values[reader.reads])
            if rows.shape[1] > take:
                rows = rows[:, np.sort(rng[reader.name].choice(rows.shape[1], take, replace=False))]
            if not np.isfinite(rows).all():
                node = reader.node
                raise DataError(
                    f'sample {i}: what layer "{node.name}" (ONNX {", ".join(node.origin)}) reads is NaN or infinite. '
                    "Look for values far outside the training data."
                )
            if reader.name not in sums:
                sums[reader.name] = _Sums(rows.shape[0], rows.shape[2])
            sums[reader.name].add(rows)

    for first in range(0, samples.count, _FEW):
        given = [x[first : first + _FEW] for x in feeds]
        few = [dict(zip(graph.inputs, sample, strict=True)) for sample in zip(*given, strict=True)]
        if inner:
            for values, run in zip(few, model.run_each(given, inner), strict=True):
                values |= zip(inner, run, strict=True)
        deque(in_order(add, wanted), 0)
        progress("statistics", min(first + _FEW, samples.count), samples.count)
    return {name: s.finish() for name, s in sums.items()}
