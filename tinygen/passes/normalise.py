"""Normalisations where they are written out: (x - mean(x)) / sqrt(variance + eps), and factors behind them.

As chains of steps in integers they lose most: squares take twice the bits, their mean is rounded to 8. Taken is what
computes the same, however it is written: squares as Pow or as a product, the variance as the mean of squares less the
square of the mean, the root by Sqrt, Pow or as a reciprocal, with eps added or as a lower limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from tinygen.ir.types import Node, Tensor
from tinygen.ops import Add, Div, Expand, Mul, Norm, ReduceL2, ReduceSum, Reshape, Transpose, Unary
from tinygen.ops.broadcast import Elementwise
from tinygen.ops.norm import blocks
from tinygen.ops.reduce import reduced_shape
from tinygen.ops.unary import Expr, evaluate, substitute
from tinygen.passes.base import Pass, Promise, Rule, fresh, labelled, merge_origin, until_stable
from tinygen.passes.draft import Draft

#: Where a function of the variance is tried: from far below any eps to far above.
_TRIED = np.concatenate([[0.0], np.logspace(-6, 6, 97)])
#: How far it may be from the root of a line there: 1e-9 added to a deviation is within.
_CLOSE = 1e-5


@dataclass(frozen=True)
class _Root:
    """sqrt(slope * (stat + eps)), or sqrt(slope * max(stat, eps)); `inverse`: one divided by it."""

    slope: float
    eps: float
    floor: bool
    inverse: bool


def _made_by(graph: Draft, tensor: str) -> Node | None:
    """The node that writes an unpinned tensor."""
    return graph.producer.get(tensor) if graph.tensors[tensor].quant is None else None


def _unwrapped(graph: Draft, tensor: str) -> str:
    """Behind an Expand, and a Reshape between shapes of the same elements."""
    node = _made_by(graph, tensor)
    while node is not None and isinstance(node.op, Expand | Reshape):
        x, y = graph.ins(node)[0], graph.outs(node)[0]
        if isinstance(node.op, Reshape) and [d for d in x.shape if d != 1] != [d for d in y.shape if d != 1]:
            break
        tensor = x.name
        node = _made_by(graph, tensor)
    return tensor


def square_of(graph: Draft, tensor: str) -> str | None:
    """The tensor whose square an unpinned `tensor` is."""
    node = _made_by(graph, tensor)
    if node is None:
        return None
    if isinstance(node.op, Mul) and node.inputs[0] == node.inputs[1] and _open(node.op):
        return node.inputs[0]
    if isinstance(node.op, Unary):
        x = np.linspace(-3.0, 3.0, 13)
        return node.inputs[0] if np.allclose(evaluate(node.op.expr, x), x * x, rtol=1e-6, atol=0.0) else None
    return None


def _open(op: Add | Mul | Norm) -> bool:
    """No clamp is fused."""
    return (op.lo, op.hi) == (-math.inf, math.inf)


def _mean_of(graph: Draft, tensor: str, x: str, axes: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
    """The axes over which `tensor` is the mean of `x`, the same as `axes` where they are given."""
    node = _made_by(graph, _unwrapped(graph, tensor))
    if node is None or not isinstance(node.op, ReduceSum) or not node.op.mean or node.inputs[0] != x:
        return None
    return node.op.axes if axes in (None, node.op.axes) and _lies_along(graph, tensor, x, node.op.axes) else None


def _lies_along(graph: Draft, tensor: str, x: str, axes: tuple[int, ...]) -> bool:
    """Does a statistic over `axes` of x meet x where it belongs?"""
    node = _made_by(graph, tensor)
    if node is not None and isinstance(node.op, Expand):
        tensor = node.inputs[0]
    shape, want = graph.tensors[tensor].shape, reduced_shape(graph.tensors[x].shape, axes, True)
    return (1,) * (len(want) - len(shape)) + shape == want


def _difference(graph: Draft, tensor: str, axes: tuple[int, ...] | None = None) -> tuple[str, tuple[int, ...]] | None:
    """(x, axes) where `tensor` is x - mean(x)."""
    node = _made_by(graph, tensor)
    if node is None or not isinstance(node.op, Add) or node.op.sign > 0 or not _open(node.op):
        return None
    over = _mean_of(graph, node.inputs[1], node.inputs[0], axes)
    return None if over is None else (node.inputs[0], over)


@dataclass(frozen=True)
class _Stat:
    """The statistic of `x` over `axes`: variance (`centre`) or mean square, or the sum of squares without `mean`."""

    x: str
    axes: tuple[int, ...]
    centre: bool
    mean: bool


def _stat_of(graph: Draft, tensor: str) -> _Stat | None:
    node = _made_by(graph, tensor)
    if node is None:
        return None
    if isinstance(node.op, ReduceSum):
        inner = square_of(graph, node.inputs[0])
        if inner is None:
            return None
        around = _difference(graph, inner, node.op.axes)
        return _Stat(around[0] if around else inner, node.op.axes, around is not None, node.op.mean)
    if isinstance(node.op, Add) and node.op.sign < 0 and _open(node.op):  # E[x^2] - E[x]^2
        squares = _made_by(graph, _unwrapped(graph, node.inputs[0]))
        mean = square_of(graph, _unwrapped(graph, node.inputs[1]))
        if squares is None or mean is None or not isinstance(squares.op, ReduceSum) or not squares.op.mean:
            return None
        x = square_of(graph, squares.inputs[0])
        below = _made_by(graph, _unwrapped(graph, mean))
        same = below is not None and isinstance(below.op, ReduceSum) and below.op.mean
        if x is not None and below is not None and same and below.inputs[0] == x:
            assert isinstance(below.op, ReduceSum)
            return _Stat(x, below.op.axes, True, True) if below.op.axes == squares.op.axes else None
    return None


def root_of(graph: Draft, tensor: str) -> tuple[_Stat, _Root] | None:
    """The statistic that `tensor` is the root of, through functions of one value and numbers."""
    expr: Expr = "x"
    for _ in range(8):
        tensor = _unwrapped(graph, tensor)
        stat = _stat_of(graph, tensor)
        node = _made_by(graph, tensor)
        if node is not None and isinstance(node.op, ReduceL2):
            around = _difference(graph, node.inputs[0], node.op.axes)
            stat = _Stat(around[0] if around else node.inputs[0], node.op.axes, around is not None, False)
            expr = substitute(expr, ("Sqrt", "x"))
        if stat is not None:
            root = _as_root(expr)
            return None if root is None else (stat, root)
        if node is None:
            return None
        if isinstance(node.op, Unary):
            own, above = node.op.expr, node.inputs[0]
        elif isinstance(node.op, Elementwise) and len(node.inputs) == 2:
            ins = graph.ins(node)
            numbers = [t for t in ins if t.const is not None and t.size == 1]
            if len(numbers) != 1:
                return None
            above = next(t.name for t in ins if t.const is None)
            own = node.op.expression(*("x" if t.const is None else float(t.array.reshape(())) for t in ins))
        else:
            return None
        expr, tensor = substitute(expr, own), above
    return None


def _as_root(expr: Expr) -> _Root | None:
    """The expression as the root, or the reciprocal root, of a line or of a line that does not fall below a limit."""
    f = evaluate(expr, _TRIED)
    for inverse in (False, True):
        with np.errstate(all="ignore"):
            h = np.where(f == 0.0, np.inf, 1.0 / np.square(f)) if inverse else np.square(f)
        if not np.all(np.isfinite(h)) or np.any(f < 0.0):
            continue
        slope, start = (h[-1] - h[0]) / _TRIED[-1], h[0]
        if slope <= 0.0:
            continue
        for floor, line in ((False, slope * _TRIED + start), (True, np.maximum(h[-1] / _TRIED[-1] * _TRIED, start))):
            if np.all(np.abs(h - line)[1:] <= _CLOSE * line[1:]):
                slope = h[-1] / _TRIED[-1] if floor else slope
                return _Root(float(slope), float(start / slope), floor, inverse)
    return None


def _factor(graph: Draft, tensor: str) -> tuple[str, str | None]:
    """(other operand, constant) of a product with a constant; the tensor itself and None where it is none."""
    node = _made_by(graph, tensor)
    if node is not None and isinstance(node.op, Mul) and _open(node.op):
        constants = [t.name for t in graph.ins(node) if t.const is not None]
        others = [t.name for t in graph.ins(node) if t.const is None]
        if len(constants) == len(others) == 1:
            return others[0], constants[0]
    return tensor, None


def _quotient(graph: Draft, node: Node) -> tuple[str, _Stat, _Root, list[str]] | None:
    """(what is divided, by the root of what, constant factors) of a Div or Mul."""
    if isinstance(node.op, Div):
        pairs = [node.inputs]
    elif isinstance(node.op, Mul) and _open(node.op):
        pairs = [node.inputs, node.inputs[::-1]]
    else:
        return None
    for above, below in pairs:
        if any(graph.tensors[i].const is not None for i in (above, below)):
            continue
        found, factors = root_of(graph, below), []
        if found is None and isinstance(node.op, Mul):
            below, factor = _factor(graph, below)
            found, factors = root_of(graph, below), [factor] if factor is not None else []
        if found is None or found[1].inverse is not isinstance(node.op, Mul):
            continue
        if _lies_along(graph, below, found[0].x, found[0].axes):
            return above, *found, factors
    return None


def _written_out(graph: Draft, node: Node) -> bool:
    """(x - mean) / root, x / root."""
    found = _quotient(graph, node)
    if found is None:
        return False
    above, stat, root, factors = found
    for _ in range(2):
        if above == stat.x and not stat.centre:
            break
        around = _difference(graph, above, stat.axes)
        if stat.centre and around is not None and around[0] == stat.x:
            break
        above, factor = _factor(graph, above)
        if factor is None:
            return False
        factors.append(factor)
    else:
        return False
    return _replaced(graph, node, stat, root, factors, None)


def _shifted(graph: Draft, node: Node) -> bool:
    """x * i + (offset - mean * i), i the reciprocal root with or without factors: how Keras writes it."""
    op = node.op
    if not isinstance(op, Add) or not _open(op):
        return False
    for one, other in (node.inputs, node.inputs[::-1]) if op.sign > 0 else (node.inputs,):
        product, rest = _made_by(graph, one), _made_by(graph, other)
        found = None if product is None else _quotient(graph, product)
        if product is None or found is None or rest is None or not isinstance(product.op, Mul):
            continue
        above, stat, root, factors = found
        offset = None
        if op.sign > 0:
            if not isinstance(rest.op, Add) or rest.op.sign > 0 or graph.tensors[rest.inputs[0]].const is None:
                continue
            offset, rest = rest.inputs[0], _made_by(graph, rest.inputs[1])
        if rest is None or not isinstance(rest.op, Mul) or not _open(rest.op) or above != stat.x or not stat.centre:
            continue
        inverse = next(i for i in product.inputs if i != above)
        if inverse not in rest.inputs:
            continue
        mean = rest.inputs[1 - rest.inputs.index(inverse)]
        if _mean_of(graph, mean, stat.x, stat.axes) is not None:
            return _replaced(graph, node, stat, root, factors, offset)
    return False


def _replaced(graph: Draft, node: Node, stat: _Stat, root: _Root, factors: list[str], offset: str | None) -> bool:
    """Put the normalisation in the place of `node`, its factors and offset behind it as nodes of their own."""
    x, y = graph.tensors[stat.x], graph.outs(node)[0]
    if blocks(x.shape, stat.axes, 1) is None or x.shape != y.shape:
        return False
    made: list[Tensor] = []
    nodes: list[Node] = []
    scale = Tensor.constant(fresh(graph, f"{y.name}_scale"), np.array([root.slope**-0.5], np.float32))
    zero = Tensor.constant(fresh(graph, f"{y.name}_offset"), np.zeros(1, np.float32))
    op = Norm(stat.axes, 1, stat.centre, stat.mean, root.eps, root.floor)
    steps: list[tuple[Norm | Mul | Add, tuple[str, ...]]] = [(op, (x.name, scale.name, zero.name))]
    steps += [(Mul(), (f,)) for f in factors]
    steps += [(Add(), (offset,))] if offset is not None else []
    before = ""
    for k, (step, inputs) in enumerate(steps):
        last = k == len(steps) - 1
        out = y if last else Tensor(fresh(graph, f"{y.name}_norm{k}"), y.shape)
        name = node.name if last else fresh(graph, f"{node.name}_norm{k}")
        label = labelled(step.title, node.origin) if step is op else ""
        nodes.append(Node(name, step, (*((before,) if before else ()), *inputs), (out.name,), node.origin, label))
        made += [] if last else [out]
        before = out.name
    return graph.replace({node.name: nodes}, (*made, scale, zero))


def _fold(graph: Draft, node: Node) -> bool:
    """A constant factor or offset behind a normalisation becomes its own, with the clamp that it has."""
    if not isinstance(node.op, Add | Mul):
        return False
    constants = [t for t in graph.ins(node) if t.const is not None]
    if len(constants) != 1:
        return False
    source = next(i for i in node.inputs if graph.tensors[i].const is None)
    above = _made_by(graph, source)
    if above is None or not isinstance(above.op, Norm) or not _open(above.op) or graph.sole_consumer(source) is None:
        return False
    shape = graph.outs(node)[0].shape
    if graph.tensors[source].shape != shape:
        return False
    k = np.broadcast_to(constants[0].array.astype(np.float64), shape)
    scale, offset = (above.op.spread(shape, graph.tensors[i].array.astype(np.float64)) for i in above.inputs[1:])
    if isinstance(node.op, Mul):
        scale, offset = scale * k, offset * k
    elif node.op.sign > 0:
        offset = offset + k
    elif node.inputs[0] == source:
        offset = offset - k
    else:
        scale, offset = -scale, k - offset
    found = [above.op.along(shape, v) for v in (scale, offset)]
    if found[0] is None or found[1] is None:
        return False
    stem = graph.outs(node)[0].name
    names = (fresh(graph, f"{stem}_scale"), fresh(graph, f"{stem}_offset"))
    new = [Tensor.constant(n, v) for n, v in zip(names, found, strict=True) if v is not None]
    inputs = (above.inputs[0], *names)
    op = replace(above.op, lo=node.op.lo, hi=node.op.hi)
    merged = replace(above, op=op, inputs=inputs, outputs=node.outputs, origin=merge_origin(above, node))
    return graph.replace({above.name: (merged,), node.name: ()}, new)


def _groups(graph: Draft, node: Node) -> bool:
    """Channels in groups: (N, C, ...) seen as (N, groups, all the rest), normalised, and seen as it was. Behind a
    transpose from channels last, or with nothing but channels, the groups are cuts of the last axis."""
    op = node.op
    below, above = graph.sole_consumer(node.outputs[0]), _made_by(graph, node.inputs[0])
    if not isinstance(op, Norm) or above is None or below is None or op.groups > 1:
        return False
    if not isinstance(above.op, Reshape) or not isinstance(below.op, Reshape):
        return False
    x, rows, y = graph.ins(above)[0], graph.ins(node)[0].shape, graph.outs(below)[0]
    if len(x.shape) < 2 or x.shape != y.shape or len(rows) < 3 or rows[0] != x.shape[0] or x.shape[1] % rows[1]:
        return False
    if op.axes != tuple(range(2, len(rows))) or any(graph.tensors[i].size != 1 for i in node.inputs[1:]):
        return False
    if graph.tensors[node.outputs[0]].quant is not None:
        return False
    turned = _made_by(graph, x.name)
    rank, channels, count = len(x.shape), x.shape[1], rows[1]
    if rank > 2 and not (turned is not None and isinstance(turned.op, Transpose) and turned.op.perm[1] == rank - 1):
        return False
    axes = tuple(range(1, rank - (count == channels)))
    moved = replace(op, axes=axes, groups=count if count < channels else 1)
    forth, back = (0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))
    seen = Tensor(fresh(graph, f"{x.name}_last"), tuple(x.shape[p] for p in forth))
    done = Tensor(fresh(graph, f"{y.name}_last"), seen.shape)
    nodes = (
        Node(fresh(graph, f"{node.name}_in"), Transpose(forth), (x.name,), (seen.name,), node.origin),
        replace(node, op=moved, inputs=(seen.name, *node.inputs[1:]), outputs=(done.name,)),
        Node(fresh(graph, f"{node.name}_out"), Transpose(back), (done.name,), (y.name,), node.origin),
    )
    return graph.replace({node.name: nodes, below.name: ()}, (seen, done))


_RULES: tuple[Rule, ...] = (_written_out, _shifted, _fold, _groups)
PASS = Pass("normalise", until_stable(*_RULES), Promise.CLOSE)
