"""Functions of single elements, reductions, softmax."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinygen.calibrate.reading.values import EPS, Ins, Node, Rule, Unreadable, Value, aligned, known_input, need_value
from tinygen.numerics import Array


def add_rule(sign: int) -> Rule:
    def rule(n: Node, ins: Ins) -> list[Value]:
        x, w = need_value(ins[0]), need_value(ins[1])
        a, b = aligned(x, w)
        return [Value(a + sign * b, x.live or w.live, x.err + w.err + EPS * (x.top + w.top))]

    return rule


def mul_rule(n: Node, ins: Ins) -> list[Value]:
    x, w = need_value(ins[0]), need_value(ins[1])
    a, b = aligned(x, w)
    err = x.err * w.top + w.err * x.top + x.err * w.err + EPS * x.top * w.top
    return [Value(a * b, x.live or w.live, err)]


def div_rule(n: Node, ins: Ins) -> list[Value]:
    x, w = need_value(ins[0]), need_value(ins[1])
    if w.live or w.err:
        raise Unreadable("division by a value")
    a, b = aligned(x, w)
    return [Value(a / b, x.live, (x.err + EPS * x.top) / max(float(np.abs(w.a).min()), 1e-300))]


def function_rule(f: Callable[[Array], Array], steepest: float = 1.0) -> Rule:
    """A function of one value, no steeper than `steepest`."""

    def rule(n: Node, ins: Ins) -> list[Value]:
        x = need_value(ins[0])
        y = f(x.a)
        return [Value(y, x.live, steepest * x.err + 8 * EPS * float(np.max(np.abs(y), initial=0.0)))]

    return rule


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0 / (1.0 + e), e / (1.0 + e))


def leaky_rule(n: Node, ins: Ins) -> list[Value]:
    alpha = float(np.float32(n.attrs.get("alpha", 0.01)))
    return function_rule(lambda x: np.where(x < 0, alpha * x, x), max(1.0, abs(alpha)))(n, ins)


def hard_sigmoid_rule(n: Node, ins: Ins) -> list[Value]:
    alpha, beta = float(np.float32(n.attrs.get("alpha", 0.2))), float(np.float32(n.attrs.get("beta", 0.5)))
    return function_rule(lambda x: np.clip(alpha * x + beta, 0.0, 1.0), abs(alpha))(n, ins)


def prelu_rule(n: Node, ins: Ins) -> list[Value]:
    x, slope = need_value(ins[0]), need_value(ins[1])
    a, s = aligned(x, slope)
    return [Value(np.where(a < 0, a * s, a), True, max(1.0, slope.top) * x.err + EPS * x.top * max(1.0, slope.top))]


def clip_rule(n: Node, ins: Ins) -> list[Value]:
    x = need_value(ins[0])
    if n.version < 11:
        ends = [np.array(n.attrs.get(k, d), np.float32) for k, d in (("min", -np.inf), ("max", np.inf))]
    else:
        ends = [np.array(d) if (v := known_input(ins, i)) is None else v for i, d in ((1, -np.inf), (2, np.inf))]
    return [Value(np.clip(x.a, *ends).astype(x.a.dtype), x.live, x.err)]


def extreme_rule(pick: Callable[[Array, Array], Array]) -> Rule:
    def rule(n: Node, ins: Ins) -> list[Value]:
        values = [need_value(v) for v in ins]
        arrays = aligned(*values)
        y = arrays[0]
        for other in arrays[1:]:
            y = pick(y, other)
        return [Value(y, any(v.live for v in values), max(v.err for v in values))]

    return rule


def softmax_rule(n: Node, ins: Ins) -> list[Value]:
    x = need_value(ins[0])
    axis = int(n.attrs.get("axis", 1 if n.version < 13 else -1))
    rank = x.a.ndim - 1
    axis %= rank
    a = x.a if n.version >= 13 else x.a.reshape(len(x.a), *x.a.shape[1 : axis + 1], -1)
    e = np.exp(a - a.max(axis=axis + 1, keepdims=True))
    y = (e / e.sum(axis=axis + 1, keepdims=True)).reshape(x.a.shape)
    return [Value(y, True, 2 * x.err + 64 * EPS)]


def reduce_rule(reduce: Callable[..., Array], sums: bool) -> Rule:
    def rule(n: Node, ins: Ins) -> list[Value]:
        x = need_value(ins[0])
        given = known_input(ins, 1)
        axes = n.ints("axes") if given is None else [int(v) for v in given.ravel()]
        rank = x.a.ndim - 1
        if not axes:
            if int(n.attrs.get("noop_with_empty_axes", 0)):
                return [x]
            axes = list(range(rank))
        where = tuple(a % rank + 1 for a in axes)
        y = reduce(x.a, axis=where, keepdims=bool(int(n.attrs.get("keepdims", 1))))
        many = int(np.prod([x.a.shape[i] for i in where])) if sums else 1
        return [Value(y, True, many * (x.err + 4 * EPS * x.top))]

    return rule


def kept_whole(x: Value, y: Array) -> Value:
    """The same numbers in other places."""
    return Value(y, x.live, x.err)
