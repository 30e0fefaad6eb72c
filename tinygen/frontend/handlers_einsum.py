"""Einsum: diagonals, sums, and products of two operands at a time, each a MatMul or an element-wise product."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from tinygen.frontend.context import Act, Builder, Handler, Known, Result, Unsupported, Value, View
from tinygen.frontend.handlers_math import matmul
from tinygen.frontend.handlers_pick import pick, positions
from tinygen.ir.types import Tensor
from tinygen.ops import Mul, ReduceSum
from tinygen.ops.base import Shape

#: Stand for the axes of "...", the last one first: no letters.
_DOTS = "0123456789"


@dataclass(frozen=True)
class _Operand:
    """A value, and a label for each of its axes."""

    value: Value
    labels: str

    @property
    def shape(self) -> Shape:
        return self.value.tensor.shape if isinstance(self.value, Act) else self.value.array.shape

    def length(self, label: str) -> int:
        return self.shape[self.labels.index(label)]


def _terms(n: View, ranks: list[int]) -> tuple[list[str], str]:
    """A label for each axis of each operand, and of the result."""
    left, arrow, right = n.text("equation", "").replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise Unsupported(f'"{left}" for {len(ranks)} operands', of_sizes=True)
    dots = ""
    for i, (term, rank) in enumerate(zip(terms, ranks, strict=True)):
        count = rank - len(term.replace("...", ""))
        if count < 0 or ("..." not in term and count) or count > len(_DOTS):
            raise Unsupported(f'"{term}" for an operand of {rank} axes', of_sizes=True)
        terms[i] = term.replace("...", _DOTS[:count][::-1])
        dots = max(dots, _DOTS[:count][::-1], key=len)
    if not arrow:
        once = sorted(c for c, k in Counter(left.replace(".", "").replace(",", "")).items() if k == 1)
        right = "..." + "".join(once)
    result = right.replace("...", dots)
    if not set(result) <= set("".join(terms)) or len(set(result)) < len(result):
        raise Unsupported(f'a result "{right}" of "{left}"', of_sizes=True)
    return terms, result


def _map(b: Builder, x: _Operand, labels: str, equation: str) -> _Operand:
    """The operand's elements in another place, as np.einsum says: a diagonal, or another order."""
    if isinstance(x.value, Known):
        return _Operand(Known(np.ascontiguousarray(np.einsum(equation, x.value.array)), x.value.name), labels)
    t = x.value.tensor
    if len(x.labels) == len(labels):
        return _Operand(Act(b.transpose(t, [x.labels.index(c) for c in labels])), labels)
    return _Operand(Act(pick(b, t, np.einsum(equation, positions(t.shape)))), labels)


def _in_order(b: Builder, x: _Operand, labels: str) -> _Operand:
    return x if x.labels == labels else _map(b, x, labels, _equation(x.labels, labels))


def _equation(before: str, after: str) -> str:
    """For numpy, which knows letters only."""
    letters = dict(zip(dict.fromkeys(before), "abcdefghijklmnopqrstuvwxyz", strict=False))
    return "".join(letters[c] for c in before) + "->" + "".join(letters[c] for c in after)


def _summed(b: Builder, x: _Operand, kept: Collection[str]) -> _Operand:
    """Labels that come twice become one, those that nobody else has are summed."""
    labels = "".join(dict.fromkeys(x.labels))
    if labels != x.labels:
        if any(len({d for c, d in zip(x.labels, x.shape, strict=True) if c == label}) > 1 for label in labels):
            raise Unsupported(f'a diagonal "{x.labels}" of {x.shape}', of_sizes=True)
        x = _map(b, x, labels, _equation(x.labels, labels))
    axes = tuple(i for i, c in enumerate(labels) if c not in kept)
    if not axes:
        return x
    rest = "".join(c for c in labels if c in kept)
    if isinstance(x.value, Known):
        return _Operand(Known(x.value.array.sum(axis=axes), x.value.name), rest)
    return _Operand(Act(_sum(b, x.value.tensor, axes)), rest)


def _sum(b: Builder, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Over axes that need not be neighbours: those that stay come first."""
    order = [i for i in range(len(x.shape)) if i not in axes] + list(axes)
    last = tuple(range(len(order) - len(axes), len(order)))
    return b.emit(ReduceSum(last, False, False), b.transpose(x, order))


def _shaped(b: Builder, x: _Operand, shape: Shape) -> Value:
    if isinstance(x.value, Known):
        return Known(x.value.array.reshape(shape), x.value.name)
    return Act(b.reshape(x.value.tensor, shape))


def _product(b: Builder, n: View, x: _Operand, y: _Operand, kept: Collection[str]) -> _Operand:
    """Of two operands: labels in both that nobody needs are summed over."""
    both = [c for c in x.labels if c in y.labels]
    for c in both:
        if x.length(c) != y.length(c) and 1 not in (x.length(c), y.length(c)):
            raise Unsupported(f'"{c}" is {x.length(c)} and {y.length(c)}', of_sizes=True)
    inner = "".join(c for c in both if c not in kept)
    if any(x.length(c) != y.length(c) for c in inner):
        raise Unsupported(f'a sum over "{inner}", of which one side has a single value', of_sizes=True)
    batch = "".join(c for c in both if c in kept)
    mine, theirs = ("".join(c for c in a.labels if c not in both) for a in (x, y))
    labels = batch + mine + theirs
    x = _in_order(b, x, batch + mine + inner)
    y = _in_order(b, y, batch + inner + theirs)

    def size(a: _Operand, of: str) -> int:
        return int(np.prod([a.length(c) for c in of], dtype=np.int64))

    lead = [tuple(a.length(c) for c in batch) for a in (x, y)]
    if inner:
        left = _shaped(b, x, (*lead[0], size(x, mine), size(x, inner)))
        right = _shaped(b, y, (*lead[1], size(y, inner), size(y, theirs)))
        found = matmul(b, replace(n, ins=(left, right)))
    else:
        left = _shaped(b, x, (*lead[0], *(x.length(c) for c in mine), *(1 for _ in theirs)))
        right = _shaped(b, y, (*lead[1], *(1 for _ in mine), *(y.length(c) for c in theirs)))
        found = b.emit(Mul(), b.tensor(left), b.tensor(right))
    assert isinstance(found, Tensor)
    shape = [max(a, c) for a, c in zip(*lead, strict=True)]
    shape += [*(x.length(c) for c in mine), *(y.length(c) for c in theirs)]
    return _Operand(Act(b.reshape(found, shape)), labels)


def einsum(b: Builder, n: View) -> Result:
    values = [v for v in n.ins if v is not None]
    arrays: list[Shape] = [v.tensor.shape if isinstance(v, Act) else v.array.shape for v in values]
    terms, result = _terms(n, [len(s) for s in arrays])
    operands = [_Operand(v, t) for v, t in zip(values, terms, strict=True)]
    done: _Operand | None = None
    for i, operand in enumerate(operands):
        later = {*result, *"".join(terms[i + 1 :])}
        before = set() if done is None else {*done.labels}
        x = _summed(b, operand, later | before)
        done = x if done is None else _product(b, n, done, x, later)
    assert done is not None
    done = _in_order(b, _summed(b, done, set(result)), result)
    if not isinstance(done.value, Act):
        raise Unsupported("an Einsum of constants alone", "Fold it into the constant that it is.")
    return done.value


EINSUM: dict[str, Handler] = {"Einsum": Handler(einsum, notes="as MatMul, Mul, ReduceSum and Transpose")}
