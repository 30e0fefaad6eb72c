"""What tensors are of others, where gates and layers are written out: functions of one value, linear functions of rows,
sigmoids and hyperbolic tangents."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tinygen.ir.types import Graph, Node
from tinygen.numerics import Array
from tinygen.ops import Add, Concat, Dense, Mul, Reshape, Slice, Unary
from tinygen.ops.recurrent import SIGMOID, TANH, Function
from tinygen.ops.unary import Expr, evaluate, is_longer, substitute

#: Where functions are compared, and how closely.
TRIED = np.linspace(-6.0, 6.0, 97)
CLOSE = 1e-6
#: Layers, sums and slices between an activation and a gate, at most.
_DEPTH = 12
#: What sums of float32 lose, of their largest term.
_ROUNDED = 1e-6
#: Functions and arguments of what may be a gate: more are not looked at.
_LONGEST = 32


def pairs(two: tuple[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Both orders of two operands; none of none."""
    return () if two is None else (two, (two[1], two[0]))


def same(a: Array | None, b: Array) -> bool:
    """Are these the same weights? Those of a step that was taken apart went through sums in another order: they may be
    off by what float32 loses at the largest of them."""
    return a is not None and a.shape == b.shape and bool(np.abs(a - b).max() <= _ROUNDED * np.abs(b).max())


@dataclass(frozen=True)
class Linear:
    """bias + the sum of weights @ source. `terms`: (rows, length) by the name of the source."""

    terms: Mapping[str, Array]
    bias: Array

    def rows(self, at: slice) -> Linear:
        return Linear({n: w[at] for n, w in self.terms.items()}, self.bias[at])

    def times(self, factor: float) -> Linear:
        return Linear({n: factor * w for n, w in self.terms.items()}, factor * self.bias)

    def plus(self, other: Linear) -> Linear:
        terms = dict(self.terms)
        for name, w in other.terms.items():
            terms[name] = terms[name] + w if name in terms else w
        return Linear(terms, self.bias + other.bias)


#: What gates are called a sigmoid for: ONNX's own, and Keras's pieces of lines.
SIGMOIDS = (SIGMOID, Function("HardSigmoid", 0.2, 0.5), Function("HardSigmoid", 1 / 6, 0.5))


@dataclass(frozen=True)
class Gate:
    """A sigmoid, one minus a sigmoid (`flipped`) or a hyperbolic tangent of the tensor `sums`."""

    kind: Function
    sums: str
    flipped: bool = False

    @property
    def is_sigmoid(self) -> bool:
        """Not turned round."""
        return self.kind in SIGMOIDS and not self.flipped


def is_open(op: object) -> bool:
    """A sum, a product or a layer without a clamp."""
    return isinstance(op, Add | Mul | Dense) and (op.lo, op.hi) == (-math.inf, math.inf)


class Reader:
    """Looks upwards from tensors that no pin rounds."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def maker(self, tensor: str) -> Node | None:
        t = self.graph.tensors[tensor]
        return self.graph.producer.get(tensor) if t.quant is None and t.const is None else None

    def flat(self, tensor: str) -> bool:
        """Has it one row of values?"""
        shape = self.graph.tensors[tensor].shape
        return len(shape) > 0 and math.prod(shape[:-1]) == 1

    def source(self, tensor: str) -> str:
        """The tensor of which this is another view."""
        node = self.maker(tensor)
        while node is not None and isinstance(node.op, Reshape) and self.flat(tensor) and self.flat(node.inputs[0]):
            tensor = node.inputs[0]
            node = self.maker(tensor)
        return tensor

    def is_zero(self, tensor: str) -> bool:
        """Is it always 0, as what a state of zeros is multiplied with?"""
        t, node = self.graph.tensors[tensor], self.maker(tensor)
        if t.const is not None:
            return not t.array.any()
        if node is None or not isinstance(node.op, Reshape | Mul):
            return False
        return (isinstance(node.op, Reshape) or is_open(node.op)) and any(self.is_zero(i) for i in node.inputs)

    def without_zero(self, tensor: str) -> str:
        """The other term of a sum with something that is always 0."""
        node = self.maker(self.source(tensor))
        if node is not None and isinstance(node.op, Add) and is_open(node.op):
            a, b = node.inputs
            if self.is_zero(b):
                return self.without_zero(a)
            if self.is_zero(a) and node.op.sign == 1:
                return self.without_zero(b)
        return self.source(tensor)

    def operands(self, tensor: str, kind: type[Add] | type[Mul], sign: int = 1) -> tuple[str, str] | None:
        """Two activations of the tensor's own shape of which it is the sum (difference) or the product."""
        node = self.maker(self.source(tensor))
        if node is None or type(node.op) is not kind or not is_open(node.op) or getattr(node.op, "sign", 1) != sign:
            return None
        ins, (out,) = self.graph.ins(node), self.graph.outs(node)
        if any(t.const is not None or t.shape != out.shape for t in ins):
            return None
        return node.inputs[0], node.inputs[1]

    def function(self, tensor: str) -> tuple[Expr, str]:
        """The tensor as a function of one value of another, through sums and products with a number."""
        expr: Expr = "x"
        for _ in range(_DEPTH):
            tensor = self.source(tensor)
            node = self.maker(tensor)
            if node is None:
                break
            if is_longer(expr, _LONGEST):
                break
            if isinstance(node.op, Unary):
                if is_longer(node.op.expr, _LONGEST):
                    break
                expr, tensor = substitute(expr, node.op.expr), node.inputs[0]
                continue
            ins = self.graph.ins(node)
            numbers = [t for t in ins if t.const is not None and len(np.unique(t.array)) == 1]
            if not is_open(node.op) or not isinstance(node.op, Add | Mul) or len(numbers) != 1:
                break
            own = node.op.expression(*("x" if t.const is None else float(t.array.flat[0]) for t in ins))
            expr, tensor = substitute(expr, own), next(t.name for t in ins if t.const is None)
        return expr, tensor

    def gate(self, tensor: str) -> Gate | None:
        expr, sums = self.function(tensor)
        if isinstance(expr, str) or is_longer(expr, _LONGEST):
            return None
        y = evaluate(expr, TRIED)
        if not np.all(np.isfinite(y)):
            return None
        if np.abs(y - TANH(TRIED)).max() < CLOSE:
            return Gate(TANH, sums)
        for kind in SIGMOIDS:
            for flipped, want in ((False, kind(TRIED)), (True, 1.0 - kind(TRIED))):
                if np.abs(y - want).max() < CLOSE:
                    return Gate(kind, sums, flipped)
        return None

    def linear(self, tensor: str, depth: int = _DEPTH) -> Linear | None:
        """The tensor as a linear function of activations, each of one row."""
        tensor = self.source(tensor)
        node = self.maker(tensor)
        if node is None or depth == 0 or not self.flat(tensor):
            return None
        if isinstance(node.op, Dense) and is_open(node.op):
            x, w, b = self.graph.ins(node)
            if w.const is None or b.const is None or w.quant is not None or not self.flat(x.name):
                return None
            if self.is_zero(x.name):
                return Linear({}, b.array.astype(np.float64))
            terms: dict[str, Array] = {}
            for name, columns in self.parts(node.inputs[0]):
                part = w.array[:, columns].astype(np.float64)
                terms[name] = terms[name] + part if name in terms else part
            return Linear(terms, b.array.astype(np.float64))
        if isinstance(node.op, Add) and is_open(node.op):
            return self._sum(node, node.op, depth)
        if isinstance(node.op, Slice):
            whole = self.linear(node.inputs[0], depth - 1)
            start, step, count = (v[-1] for v in (node.op.starts, node.op.steps, node.op.counts))
            if whole is None or step != 1:
                return None
            return whole.rows(slice(start, start + count))
        return None

    def _sum(self, node: Node, op: Add, depth: int) -> Linear | None:
        total: Linear | None = None
        shape = self.graph.outs(node)[0].shape
        for t, sign in zip(self.graph.ins(node), (1.0, float(op.sign)), strict=True):
            if self.is_zero(t.name):
                one: Linear | None = Linear({}, np.zeros(shape[-1]))
            elif t.const is not None:
                one = Linear({}, np.broadcast_to(t.array, shape).reshape(-1).astype(np.float64))
            else:
                one = self.linear(t.name, depth - 1) if t.size == shape[-1] and self.flat(t.name) else None
            if one is None:
                return None
            total = one.times(sign) if total is None else total.plus(one.times(sign))
        return total

    def parts(self, tensor: str) -> Iterator[tuple[str, slice]]:
        """The activations that lie side by side in a row, and where; zeros between them are none."""
        tensor = self.source(tensor)
        node = self.maker(tensor)
        if node is None or not isinstance(node.op, Concat) or node.op.axis != len(self.graph.tensors[tensor].shape) - 1:
            yield tensor, slice(None)
            return
        at = 0
        if any(t.const is not None and t.array.any() for t in self.graph.ins(node)):
            yield tensor, slice(None)
            return
        for t in self.graph.ins(node):
            if t.const is None:
                yield self.source(t.name), slice(at, at + t.shape[-1])
            at += t.shape[-1]


def ordered(graph: Graph) -> Graph:
    """Nodes in an order in which they can run, without those whose results nobody reads."""
    wanted, kept = [*graph.outputs, *(s.writes for s in graph.states)], dict[str, Node]()
    stack = [(t, False) for t in reversed(wanted)]
    while stack:
        tensor, done = stack.pop()
        node = graph.producer.get(tensor)
        if node is None or node.name in kept:
            continue
        if done:
            kept[node.name] = node
            continue
        stack.append((tensor, True))
        stack += [(i, False) for i in reversed(node.inputs)]
    return graph.with_(nodes=kept.values())
