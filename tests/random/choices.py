"""Layers that compare, choose, look up and put together: truth values, run-time indices, scatter, windows of signals.

Like those of layers.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.random.layers import Layer, axes_of, axis_of, broadcast_partner, choose
from tests.random.net import MAX_RANK, MAX_SIZE, Net, Refused, Value

COMPARISONS = ("Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal")


def compared(net: Net, x: Value) -> str:
    """Booleans of the shape of x, or of one that broadcasts with it."""
    kinds = [k for k in COMPARISONS if net.opset >= 12 or not k.endswith("OrEqual")]
    kind = net.pick(kinds)
    match net.between(0, 2):
        case 0:
            other: Value | str = net.const(np.float32(net.rng.uniform(x.low, x.high)))
        case 1:
            mid, span = (x.low + x.high) / 2, (x.high - x.low) / 2
            other = net.const(mid + span * net.rng.uniform(-1, 1, broadcast_partner(net, x.shape)), np.float32)
        case _:
            other = choose(net, lambda v: v.shape == x.shape)
    return net.op(kind, [x, other] if net.chance(0.7) else [other, x])[0]


def truth(net: Net) -> list[str]:
    """Comparisons and logic, read as numbers or as the condition of a Where."""
    x = choose(net, lambda v: v.high - v.low > 1e-3)
    b = compared(net, x)
    if net.chance(0.4):
        other = compared(net, x) if net.chance(0.8) else net.op("IsNaN", [x])[0]
        (b,) = net.op(net.pick(["And", "Or", "Xor"]), [b, other])
    if net.chance(0.3):
        (b,) = net.op("Not", [b])
    if net.chance(0.3):
        return net.op("Cast", [b], to=1)
    match net.between(0, 2):
        case 0:
            other_value: Value | str = net.const(np.float32(net.rng.normal()))
        case 1:
            other_value = net.const(net.normal(*broadcast_partner(net, x.shape)))
        case _:
            other_value = choose(net, lambda v: v.shape == x.shape)
    return net.op("Where", [b, x, other_value] if net.chance(0.6) else [b, other_value, x])


def shortest(net: Net) -> list[str]:
    """ArgMin and Hardmax."""
    x = choose(net, lambda v: v.rank >= 1 and max(v.shape) <= 200)
    _, said = axis_of(net, x.rank)
    if net.chance(0.4):
        return net.op("Hardmax", [x], axis=said if net.opset >= 13 else x.rank - 1)
    attrs: dict[str, Any] = {"axis": said, "keepdims": net.between(0, 1)}
    if net.opset >= 12 and net.chance(0.3):
        attrs["select_last_index"] = 1
    return net.op("Cast", net.op("ArgMin", [x], **attrs), to=1)


def norms(net: Net) -> list[str]:
    """Reductions that are made of others."""
    kind = net.pick(["ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum"])
    x = choose(net, lambda v: v.rank >= 1 and max(abs(v.low), abs(v.high)) < 30)
    name = x.name
    if kind == "ReduceLogSum":
        (name,) = net.op("Abs", [name])
        (name,) = net.op("Add", [name, net.const(np.float32(0.2))])
    axes, attrs = axes_of(net, x.rank), {"keepdims": net.between(0, 1)}
    if net.opset >= 18:
        return net.op(kind, [name, net.ints(axes)], **attrs)
    return net.op(kind, [name], axes=axes, **attrs)


# Look-ups -------------------------------------------------------------------------------------------------------------


def index(net: Net) -> tuple[str, tuple[int, ...], int]:
    """Whole numbers below some limit that an input gives, or an ArgMax: name, shape, limit."""
    given = [v for v in net.values if v.data.dtype == np.int64 and v in (i for i, _ in net.inputs)]
    if given and net.chance(0.6):
        v = net.pick(given)
        limit = next(int(kind.split()[1]) for i, kind in net.inputs if i is v)
        return v.name, v.shape, limit
    x = choose(net, lambda v: v.rank >= 2 and 2 <= v.shape[-1] <= 100)
    keep = net.chance(0.4)
    (y,) = net.op("ArgMax", [x], axis=-1, keepdims=int(keep))
    return y, (*x.shape[:-1], *((1,) if keep else ())), x.shape[-1]


def embedding(net: Net) -> list[str]:
    """Rows of a table by computed indices: Gather, OneHot; then a sum over them, now and then."""
    name, shape, limit = index(net)
    if len(shape) >= MAX_RANK or int(np.prod(shape)) * limit > MAX_SIZE:
        raise Refused("too large")
    if net.chance(0.3):
        depth = net.const(np.array(limit, np.int64))
        values = net.const(np.array([0, 1] if net.chance(0.6) else net.normal(2), np.float32))
        return net.op("OneHot", [name, depth, values], axis=net.between(-1, len(shape)))
    table = net.normal(limit, *(net.between(1, 8) for _ in range(net.pick([1, 1, 1, 2]))))
    (y,) = net.op("Gather", [net.const(table), name], axis=0)
    if net.chance(0.3) and len(shape) >= 2:
        if net.opset >= 18:
            return net.op("ReduceMean", [y, net.ints([len(shape) - 1])], keepdims=0)
        return net.op("ReduceMean", [y], axes=[len(shape) - 1], keepdims=0)
    return [y]


def pick_elements(net: Net) -> list[str]:
    """GatherElements (constant or computed), GatherND, Compress, ReverseSequence."""
    x = choose(net, lambda v: v.rank >= 1)
    match net.between(0, 4):
        case 0:
            axis, said = axis_of(net, x.rank)
            shape = [net.between(1, 4) if a == axis else d for a, d in enumerate(x.shape)]
            at = net.rng.integers(-x.shape[axis], x.shape[axis], shape)
            return net.op("GatherElements", [x, net.const(at.astype(np.int64))], axis=said)
        case 1:
            if x.rank < 2 or not 2 <= x.shape[-1] <= 60 or x.size > 600:
                raise Refused("nothing to choose from")
            y = choose(net, lambda v: v.rank == x.rank and v.shape[:-1] == x.shape[:-1] and v.shape[-1] <= x.shape[-1])
            (at_,) = net.op("ArgMax", [y], axis=-1, keepdims=1)
            return net.op("GatherElements", [x, at_], axis=x.rank - 1)
        case 2:
            depth = net.between(1, x.rank)
            places = [net.rng.integers(-d, d, 3) for d in x.shape[:depth]]
            return net.op("GatherND", [x, net.const(np.stack(places, axis=-1).astype(np.int64))])
        case 3:
            axis, said = axis_of(net, x.rank)
            chosen = net.rng.random(x.shape[axis]) < 0.6
            chosen[net.between(0, x.shape[axis] - 1)] = True
            return net.op("Compress", [x, net.const(chosen)], axis=said)
        case _:
            if x.rank < 2:
                raise Refused("no time and batch")
            lengths = net.rng.integers(1, x.shape[1] + 1, x.shape[0]).astype(np.int64)
            return net.op("ReverseSequence", [x, net.const(lengths)], batch_axis=0, time_axis=1)


def scatter(net: Net) -> list[str]:
    """ScatterElements and ScatterND at constant places."""
    x = choose(net, lambda v: v.rank >= 1 and v.size <= 600)
    kinds = ["none"] + (["add", "mul"] if net.opset >= 16 else []) + (["max", "min"] if net.opset >= 18 else [])
    kind = net.pick(kinds)
    attrs: dict[str, Any] = {} if kind == "none" else {"reduction": kind}
    if net.chance(0.5):
        axis, said = axis_of(net, x.rank)
        shape = [net.between(1, d) for d in x.shape]
        at = net.rng.integers(0, x.shape[axis], shape)
        if kind == "none":  # several updates of one place have no order
            at = np.broadcast_to(np.arange(shape[axis]).reshape([-1 if a == axis else 1 for a in range(x.rank)]), shape)
        updates = net.const(net.normal(*shape))
        return net.op("ScatterElements", [x, net.const(at.astype(np.int64)), updates], axis=said, **attrs)
    count = net.between(1, min(3, x.shape[0]))
    at = net.rng.permutation(x.shape[0])[:count].reshape(-1, 1)
    return net.op("ScatterND", [x, net.const(at.astype(np.int64)), net.const(net.normal(count, *x.shape[1:]))], **attrs)


# Signals --------------------------------------------------------------------------------------------------------------


def running_sum(net: Net) -> list[str]:
    x = choose(net, lambda v: v.rank >= 1 and max(v.shape) <= 40 and max(abs(v.low), abs(v.high)) < 40)
    _, said = axis_of(net, x.rank)
    attrs = {"exclusive": net.between(0, 1), "reverse": net.between(0, 1)}
    return net.op("CumSum", [x, net.const(np.array(said, np.int64))], **attrs)


def spectrum(net: Net) -> list[str]:
    """DFT and STFT of a signal, and the magnitude of what they give."""
    if net.opset < 17:
        raise Refused("not in this opset")
    x = choose(net, lambda v: v.rank >= 2 and v.shape[0] == 1 and 8 <= v.size <= 200)
    (y,) = net.op("Reshape", [x, net.ints([1, x.size, 1] if (plain := net.chance(0.5)) else [1, x.size])])
    if plain:
        side = {"onesided": 1} if net.chance(0.5) else {}
        if net.opset >= 20:
            (y,) = net.op("DFT", [y, "", net.const(np.array(1, np.int64))], **side)
        else:
            (y,) = net.op("DFT", [y], axis=1, **side)
    else:
        length = net.pick([4, 6, 8])
        window = net.const(np.hanning(length).astype(np.float32) + np.float32(0.1))
        step = net.const(np.array(net.between(1, length), np.int64))
        (y,) = net.op("Reshape", [y, net.ints([1, x.size, 1])])
        (y,) = net.op("STFT", [y, step, window], onesided=1)
    if net.chance(0.5):
        return [y]
    axes = [-1]
    if net.opset >= 18:
        return net.op("ReduceL2", [y, net.ints(axes)], keepdims=0)
    return net.op("ReduceL2", [y], axes=axes, keepdims=0)


def blocks_to_image(net: Net) -> list[str]:
    if net.opset < 18:
        raise Refused("not in this opset")
    h, w, kh, kw = net.between(2, 4), net.between(2, 4), net.between(1, 2), net.between(1, 2)
    count = (h - kh + 1) * (w - kw + 1)
    x = choose(net, lambda v: v.size % (count * kh * kw) == 0 and v.size <= 400)
    (y,) = net.op("Reshape", [x, net.ints([1, -1, count])])
    return net.op("Col2Im", [y, net.ints([h, w]), net.ints([kh, kw])])


#: Layer and how often it is drawn.
CHOICES: tuple[tuple[Layer, float], ...] = (
    (truth, 7), (shortest, 2), (norms, 3), (embedding, 4), (pick_elements, 4), (scatter, 2), (running_sum, 2),
    (spectrum, 2), (blocks_to_image, 1),
)  # fmt: skip
