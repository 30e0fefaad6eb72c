"""Layers of networks that work on sequences: recurrent ones, attention, normalisation, products of two tensors.

Like those of layers.py; each as exporters write it, as an operator and written out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from tests.random.layers import Layer, bias, broadcast_partner, choose, weights
from tests.random.net import MAX_RANK, MICROSOFT, Array, Net, Refused, Shape, Value

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
#: Functions of a node, one direction.
FUNCTIONS_OF = {"LSTM": 3, "GRU": 2, "RNN": 1}
#: Functions of recurrent layers, with a range for alpha and for beta where they have them.
CURVES: dict[str, tuple[tuple[float, float], ...]] = {
    "Sigmoid": (), "Tanh": (), "Relu": (), "Softsign": (), "Softplus": (), "LeakyRelu": ((0.01, 0.4),),
    "ThresholdedRelu": ((0.1, 0.8),), "Elu": ((0.3, 1.2),), "Affine": ((0.2, 0.7), (-0.2, 0.2)),
    "ScaledTanh": ((0.5, 1.2), (0.5, 1.2)), "HardSigmoid": ((0.15, 0.3), (0.4, 0.6)),
}  # fmt: skip
#: What onnxruntime has in newer opsets only.
LEAST_OPSET = {"Attention": 23, "RotaryEmbedding": 23, "RMSNormalization": 23, "GroupNormalization": 21}


def needs(net: Net, kind: str) -> None:
    """Refused where the operator came later than the opset of the network."""
    if net.opset < LEAST_OPSET.get(kind, 0):
        raise Refused(f"{kind} is not in opset {net.opset}")


# Shapes ---------------------------------------------------------------------------------------------------------------


def rows(net: Net, *, most: int = 24) -> tuple[str, Shape]:
    """An activation as (1, T, I): batch, time, values. As it is, or channels as time, or images in rows."""
    x = choose(net, lambda v: v.rank >= 2 and v.shape[0] == 1 and 2 <= v.size <= 1024)
    name, shape = x.name, x.shape
    if len(shape) == 2:
        parts = [d for d in range(1, min(most, shape[1]) + 1) if shape[1] % d == 0]
        t = net.pick(parts)
        return net.op("Reshape", [name, net.ints([1, t, shape[1] // t])])[0], (1, t, shape[1] // t)
    if len(shape) > 3:
        first = net.chance(0.5)
        shape = (1, int(np.prod(shape[1:-1])), shape[-1]) if first else (1, shape[1], int(np.prod(shape[2:])))
        (name,) = net.op("Reshape", [name, net.ints([1, -1 if net.chance(0.3) else shape[1], shape[2]])])
    if shape[1] > most or (shape[2] <= most and net.chance(0.4)):
        (name,), shape = net.op("Transpose", [name], perm=[0, 2, 1]), (1, shape[2], shape[1])
    if shape[1] > most or shape[2] > 96:
        raise Refused(f"{shape} is too long")
    return name, shape


def dense(net: Net, x: str, width: int, out: int, *, biased: bool = True) -> str:
    """A layer without an activation, as MatMul and Add."""
    (y,) = net.op("MatMul", [x, net.const(np.ascontiguousarray(weights(net, (out, width), width).T))])
    return net.op("Add", [y, net.const(net.normal(out) * np.float32(0.3))])[0] if biased and net.chance(0.7) else y


def drawn_from(net: Net, shape: Shape) -> str:
    """A tensor of that shape that another value makes: cut from it, or computed by a layer."""
    size = int(np.prod(shape))
    x = choose(net, lambda v: v.rank >= 1 and v.size <= 600)
    (y,) = net.op("Reshape", [x, net.ints([1, -1])])
    if x.size >= size and net.chance(0.5):
        if x.size > size:
            (y,) = net.op("Slice", [y, net.ints([0]), net.ints([size]), net.ints([1])])
    else:
        y = dense(net, y, x.size, size)
    if net.chance(0.5):
        (y,) = net.op("Tanh", [y])
    return net.op("Reshape", [y, net.ints(shape)])[0]


# Recurrent layers -----------------------------------------------------------------------------------------------------


def recurrent(net: Net, kind: str) -> list[str]:
    """One to three layers of LSTM, GRU or RNN on top of each other; any of their outputs may be read."""
    name, (_, t, width) = rows(net)
    n = 1
    if net.chance(0.15) and width % 2 == 0:  # several sequences
        n, width = 2, width // 2
        (x,) = net.op("Reshape", [name, net.ints([t, 2, width])])
    elif net.chance(0.3) and t > 1:
        (x,) = net.op("Reshape", [name, net.ints([t, 1, width])])
    else:
        (x,) = net.op("Transpose", [name], perm=[1, 0, 2])
    outs: list[str] = []
    for _ in range(net.pick([1, 1, 1, 2, 2, 3])):
        d, units, made = _node(net, kind, x, (t, n, width))
        x, width = _joined(net, made[0], (t, d, n, units)), d * units
        outs = [*outs[-2:], *made[1:]]
    kept = [o for o in outs if net.chance(0.4)]
    if not kept or net.chance(0.7):
        match net.between(0, 3):
            case 0:  # back to (N, T, ...)
                (x,) = net.op("Transpose", [x], perm=[1, 0, 2])
            case 1:  # the last step
                (x,) = net.op("Gather", [x, net.const(np.array(-1, np.int64))], axis=0)
            case 2:
                (x,) = net.op("Slice", [x, net.ints([t - 1]), net.ints([t]), net.ints([0])])
            case _:
                pass
        kept = [x, *kept]
    return kept


def _joined(net: Net, y: str, shape: Shape) -> str:
    """Y (T, D, N, H) as (T, N, D * H)."""
    t, d, n, units = shape
    if d == 1 and net.chance(0.7):
        return net.op("Squeeze", [y, net.ints([1])] if net.opset >= 13 else [y], **_axes(net, [1]))[0]
    (y,) = net.op("Transpose", [y], perm=[0, 2, 1, 3])
    return net.op("Reshape", [y, net.ints([t, n, d * units] if net.chance(0.6) else [0, 0, -1])])[0]


def _axes(net: Net, axes: Sequence[int]) -> dict[str, Any]:
    return {} if net.opset >= 13 else {"axes": list(axes)}


def _node(net: Net, kind: str, x: str, shape: Shape) -> tuple[int, int, list[str]]:
    """Directions, units and outputs of one node on x (T, N, I)."""
    t, n, width = shape
    direction = net.pick(["forward", "forward", "reverse", "bidirectional"])
    d, units = 2 if direction == "bidirectional" else 1, net.between(1, 10)
    g = GATES[kind] * units
    w = np.stack([weights(net, (g, width), width) for _ in range(d)])
    r = np.stack([np.clip(weights(net, (g, units), 2 * units), -2, 2) for _ in range(d)])
    inputs = [x, net.const(w), net.const(r)]
    b = [bias(net, 2 * g) for _ in range(d)]
    inputs.append(
        "" if b[0] is None else net.const(np.stack([np.zeros(2 * g, np.float32) if v is None else v for v in b]))
    )
    short = net.chance(0.15) or (n > 1 and net.chance(0.5))
    inputs.append(net.const(net.rng.integers(1, t + 1, n).astype(np.int32)) if short else "")
    states = 2 if kind == "LSTM" else 1
    match net.between(0, 3):
        case 0:
            inputs += [net.const(np.zeros((d, n, units), np.float32)) for _ in range(states)]
        case 1:
            inputs += [net.const(net.rng.uniform(-0.9, 0.9, (d, n, units)), np.float32) for _ in range(states)]
        case 2 if net.chance(0.7):
            inputs += [drawn_from(net, (d, n, units)) for _ in range(states)]
        case _:
            inputs += [""] * states
    attrs: dict[str, Any] = {"hidden_size": units, "direction": None if direction == "forward" else direction}
    if net.chance(0.15):
        attrs["clip"] = float(net.pick([0.4, 1.5, 5.0]))
    if net.chance(0.3):
        attrs |= _curves(net, FUNCTIONS_OF[kind] * d)
    if kind == "GRU" and net.chance(0.6):
        attrs["linear_before_reset"] = 1
    if kind == "LSTM" and net.chance(0.1):
        attrs["input_forget"] = 1
    if kind == "LSTM" and net.chance(0.15):
        inputs.append(net.const(net.normal(d, 3 * units) * np.float32(0.4)))
    return d, units, net.op(kind, inputs, 1 + states, **attrs)


def _curves(net: Net, count: int) -> dict[str, Any]:
    """Functions by name, with parameters for all or for none (where runtimes agree on the defaults)."""
    names = [net.pick(list(CURVES)) for _ in range(count)]
    found: dict[str, Any] = {"activations": names}
    if net.chance(0.7) or {"Affine", "ScaledTanh", "ThresholdedRelu"}.intersection(names):
        for key, place in (("activation_alpha", 0), ("activation_beta", 1)):
            listed = [float(net.rng.uniform(*CURVES[c][place])) for c in names if len(CURVES[c]) > place]
            found[key] = listed or None
    return found


def cell(net: Net) -> list[str]:
    """One to three steps of an LSTM or GRU, written out: what becomes of a cell in a loop."""
    kind = net.pick(["LSTM", "GRU"])
    x = choose(net, lambda v: v.rank >= 2 and v.shape[0] == 1 and v.size <= 64)
    width, units = x.size, net.between(1, 8)
    h, c = drawn_from(net, (1, units)), drawn_from(net, (1, units))
    (row,) = net.op("Reshape", [x, net.ints([1, width])])
    w, r = (weights(net, (GATES[kind] * units, k), k).T for k in (width, units))
    of_x, of_h = net.const(np.ascontiguousarray(w)), net.const(np.ascontiguousarray(r))
    own = net.const(net.normal(GATES[kind] * units) * np.float32(0.3))
    kept = []
    for _ in range(net.pick([1, 1, 2, 3])):
        (a,) = net.op("MatMul", [row, of_x])
        (a,) = net.op("Add", [a, own])
        (b,) = net.op("MatMul", [h, of_h])
        if kind == "LSTM":
            (a,) = net.op("Add", [a, b])
            i, f, o, g = _split(net, a, units, 4)
            i, f, o = (net.op("Sigmoid", [v])[0] for v in (i, f, o))
            (kept_c,) = net.op("Mul", [f, c])
            (new,) = net.op("Mul", [i, net.op("Tanh", [g])[0]])
            (c,) = net.op("Add", [kept_c, new])
            (h,) = net.op("Mul", [o, net.op("Tanh", [c])[0]])
            kept.append(c)
        else:
            (xr, xz, xn), (hr, hz, hn) = _split(net, a, units, 3), _split(net, b, units, 3)
            (reset,) = net.op("Sigmoid", [net.op("Add", [xr, hr])[0]])
            (z,) = net.op("Sigmoid", [net.op("Add", [xz, hz])[0]])
            (hn,) = net.op("Mul", [reset, hn])
            (new,) = net.op("Tanh", [net.op("Add", [xn, hn])[0]])
            if net.chance(0.5):
                (d,) = net.op("Sub", [h, new])
                (h,) = net.op("Add", [new, net.op("Mul", [z, d])[0]])
            else:
                (rest,) = net.op("Sub", [net.const(np.float32(1)), z])
                (new,) = net.op("Mul", [rest, new])
                (h,) = net.op("Add", [new, net.op("Mul", [z, h])[0]])
        kept.append(h)
    return [kept[-1], *(v for v in kept[:-1] if net.chance(0.3))]


def _split(net: Net, x: str, units: int, parts: int) -> list[str]:
    """Equal parts of the last axis of (1, parts * units)."""
    sizes = [units] * parts
    if net.opset >= 13:
        return net.op("Split", [x, net.ints(sizes)], parts, axis=-1)
    return net.op("Split", [x], parts, axis=-1, split=sizes)


# Attention ------------------------------------------------------------------------------------------------------------


def _mask(net: Net, shape: Shape) -> Array:
    """Booleans for (..., queries, keys), every row with something left."""
    seen = net.rng.random(shape) < 0.7
    seen[..., 0] |= ~seen.any(axis=-1)
    return seen


def _additive(net: Net, seen: Array) -> Array:
    """A mask as numbers: -inf or a large negative where hidden, a bias elsewhere now and then."""
    low = net.pick([-np.inf, -1e9, np.finfo(np.float32).min])
    rest = net.normal(*seen.shape) if net.chance(0.4) else np.zeros(seen.shape, np.float32)
    return np.where(seen, rest, np.float32(low)).astype(np.float32)


def _projected(net: Net) -> tuple[list[str], int, int, int, int, int, int]:
    """Queries (1, T, H * D), keys (1, S, K * D) and values (1, S, K * E); then H, K, D, E, T, S."""
    x, (_, t, width) = rows(net)
    memory, (_, s, other) = (x, (1, t, width)) if net.chance(0.6) else rows(net)
    kv = net.pick([1, 2, 2, 3])
    heads, d = kv * net.pick([1, 1, 1, 2]), net.pick([2, 4, 5, 8])
    e = d if net.chance(0.85) else net.between(1, 6)
    q = dense(net, x, width, heads * d)
    return [q, dense(net, memory, other, kv * d), dense(net, memory, other, kv * e)], heads, kv, d, e, t, s


def attention(net: Net) -> list[str]:
    """ONNX's operator: rows or heads, masks of booleans or numbers, causal, softcap, heads that share keys."""
    needs(net, "Attention")
    parts, heads, kv, d, e, t, s = _projected(net)
    attrs: dict[str, Any] = {"q_num_heads": heads, "kv_num_heads": kv}
    if net.chance(0.3):  # as (1, heads, T, D)
        attrs = {}
        split = [(heads, t, d), (kv, s, d), (kv, s, e)]
        parts = [
            net.op("Transpose", [net.op("Reshape", [p, net.ints([1, n, h, w])])[0]], perm=[0, 2, 1, 3])[0]
            for p, (h, n, w) in zip(parts, split, strict=True)
        ]
    causal = net.chance(0.3)
    if causal:
        attrs["is_causal"] = 1
    if net.chance(0.3):
        attrs["scale"] = float(net.rng.uniform(0.1, 0.8))
    if net.chance(0.15):
        attrs["softcap"] = float(net.pick([2.0, 10.0]))
    inputs = list(parts)
    match net.between(0, 5):
        case 0:
            inputs.append(net.const(_whole(_mask(net, (t, s)), causal)))
        case 1:
            shape = net.pick([(t, s), (1, 1, t, s), (1, heads, t, s)])
            inputs.append(net.const(_additive(net, _whole(_mask(net, shape), causal))))
        case 2:
            inputs.append(net.const(net.normal(1, heads, t, s)))
        case 3 if net.chance(0.6):  # computed
            inputs.append(drawn_from(net, net.pick([(t, s), (1, 1, t, s), (1, heads, t, s)])))
        case _:
            pass
    return net.op("Attention", inputs, **attrs)


def _whole(seen: Array, causal: bool) -> Array:
    """With causal attention the first key must stay, so that no row is empty."""
    if causal:
        seen[..., 0] = True
    return seen


def attention_of_microsoft(net: Net) -> list[str]:
    """MultiHeadAttention, and Attention with the weights inside."""
    if net.chance(0.4):
        x, (_, t, width) = rows(net)
        heads, d = net.pick([1, 2, 3]), net.pick([2, 4, 8])
        w = weights(net, (3 * heads * d, width), width)
        inputs = [x, net.const(np.ascontiguousarray(w.T)), net.const(net.normal(3 * heads * d) * np.float32(0.3))]
        attrs = {"num_heads": heads, "unidirectional": int(net.chance(0.3))}
        return net.op("Attention", inputs, domain=MICROSOFT, **attrs)
    parts, heads, _, d, e, t, s = _projected(net)
    width = heads * d
    if e != d or _ != heads:
        raise Refused("heads of keys as many as of queries")
    extra: list[str] = [net.const(net.normal(3 * width) * np.float32(0.3)) if net.chance(0.5) else ""]
    if net.chance(0.3):
        extra += ["", net.const(net.normal(1, heads, t, s))]
    attrs = {"num_heads": heads, "unidirectional": int(net.chance(0.3) and t == s)}
    return net.op("MultiHeadAttention", [*parts, *extra], domain=MICROSOFT, **attrs)


def attention_written_out(net: Net) -> list[str]:
    """Scores, mask, Softmax and values as nodes, in the ways exporters have."""
    parts, heads, kv, d, e, t, s = _projected(net)
    q, k, v = (net.op("Reshape", [p, net.ints([1, -1, h, w])])[0]
               for p, h, w in zip(parts, (heads, kv, kv), (d, d, e), strict=True))  # fmt: skip
    (q,) = net.op("Transpose", [q], perm=[0, 2, 1, 3])
    (v,) = net.op("Transpose", [v], perm=[0, 2, 1, 3])
    if net.chance(0.5):
        (k,) = net.op("Transpose", [k], perm=[0, 2, 3, 1])
    else:
        (k,) = net.op("Transpose", [k], perm=[0, 2, 1, 3])
        (k,) = net.op("Transpose", [k], perm=[0, 1, 3, 2])
    if heads != kv:  # keys and values of a group, repeated
        k, v = (_repeated(net, x, kv, heads, shape) for x, shape in ((k, (d, s)), (v, (s, e))))
    scale = np.float32(d**-0.5 if net.chance(0.7) else net.rng.uniform(0.1, 0.6))
    before = net.chance(0.3)
    if before:
        (q,) = net.op("Mul", [q, net.const(scale)])
    (y,) = net.op("MatMul", [q, k])
    if not before:
        (y,) = net.op("Mul", [y, net.const(scale)]) if net.chance(0.5) else net.op("Div", [y, net.const(1 / scale)])
    if net.chance(0.15):
        (y,) = net.op("Div", [y, net.const(np.float32(4))])
        (y,) = net.op("Mul", [net.op("Tanh", [y])[0], net.const(np.float32(4))])
    shape = net.pick([(t, s), (1, 1, t, s), (1, heads, t, s), (1, 1, 1, s)])
    match net.between(0, 4):
        case 0:
            (y,) = net.op("Add", [y, net.const(_additive(net, _mask(net, shape)))])
        case 1:
            low = np.float32(net.pick([-np.inf, -1e9]))
            (y,) = net.op("Where", [net.const(_mask(net, shape)), y, net.const(low)])
        case 2 if t <= s:
            (y,) = net.op("Add", [y, net.const(_additive(net, np.tri(t, s, dtype=bool)))])
        case _:
            pass
    (y,) = net.op("Softmax", [y], axis=-1 if net.opset >= 13 or net.chance(0.5) else 3)
    (y,) = net.op("MatMul", [y, v])
    if net.chance(0.2):
        return [y]
    (y,) = net.op("Transpose", [y], perm=[0, 2, 1, 3])
    return net.op("Reshape", [y, net.ints([1, t, heads * e])])


def _repeated(net: Net, x: str, kv: int, heads: int, rest: Shape) -> str:
    """(1, kv, ...) with each head as often as heads of queries share it."""
    each = heads // kv
    (x,) = net.op("Unsqueeze", [x, net.ints([2])] if net.opset >= 13 else [x], **_axes(net, [2]))
    (x,) = net.op("Expand", [x, net.ints([1, kv, each, *rest])])
    return net.op("Reshape", [x, net.ints([1, heads, *rest])])[0]


def rotary(net: Net) -> list[str]:
    """Rotary positions, as an operator or written out (half of the values turned)."""
    x, (_, t, width) = rows(net)
    heads, d = net.pick([1, 2, 3]), net.pick([4, 6, 8])
    y = dense(net, x, width, heads * d)
    angle = np.arange(t)[:, None] * 10.0 ** -np.arange(d // 2)
    if net.opset >= LEAST_OPSET["RotaryEmbedding"] and net.chance(0.7):
        turn = d if net.chance(0.7) else d - 2
        cos, sin = (f(angle[:, : turn // 2]).astype(np.float32)[None] for f in (np.cos, np.sin))
        inputs: list[str] = [y]
        attrs: dict[str, Any] = {"num_heads": heads, "interleaved": int(net.chance(0.4))}
        if turn != d:
            attrs["rotary_embedding_dim"] = turn
        if net.chance(0.3):
            (inputs[0],) = net.op("Reshape", [y, net.ints([1, t, heads, d])])
            (inputs[0],) = net.op("Transpose", [inputs[0]], perm=[0, 2, 1, 3])
            attrs.pop("num_heads")
        if net.chance(0.5):
            return net.op("RotaryEmbedding", [*inputs, net.const(cos), net.const(sin)], **attrs)
        order = net.rng.permutation(t)[None].astype(np.int64)
        return net.op("RotaryEmbedding", [*inputs, net.const(cos[0]), net.const(sin[0]), net.const(order)], **attrs)
    (y,) = net.op("Reshape", [y, net.ints([1, t, heads, d])])
    (y,) = net.op("Transpose", [y], perm=[0, 2, 1, 3])
    cos, sin = (np.tile(f(angle), 2).astype(np.float32) for f in (np.cos, np.sin))
    half = net.ints([0]), net.ints([d // 2]), net.ints([2**31 - 1]), net.ints([-1])
    (one,) = net.op("Slice", [y, half[0], half[1], half[3]])
    (two,) = net.op("Slice", [y, half[1], half[2], half[3]])
    (turned,) = net.op("Concat", [net.op("Neg", [two])[0], one], axis=-1)
    (a,) = net.op("Mul", [y, net.const(cos)])
    (b,) = net.op("Mul", [turned, net.const(sin)])
    return net.op("Add", [a, b])


# Normalisation --------------------------------------------------------------------------------------------------------


def _spread(net: Net, fits: Any = lambda v: True) -> Value:
    """A value whose samples differ: a normalisation of a constant is noise."""
    return choose(net, lambda v: v.rank >= 2 and v.high - v.low > 0.05 and fits(v))


def normalisation(net: Net) -> list[str]:
    """The operators of ONNX."""
    kind = net.pick(["LayerNormalization", "LayerNormalization", "RMSNormalization", "InstanceNormalization",
                     "GroupNormalization", "LpNormalization", "MeanVarianceNormalization"])  # fmt: skip
    needs(net, kind)
    eps = {"epsilon": float(net.pick([1e-5, 1e-3, 0.1]))} if net.chance(0.5) else {}
    match kind:
        case "LayerNormalization" | "RMSNormalization":
            if net.opset < 17:
                raise Refused(f"not in opset {net.opset}")
            x = _spread(net, lambda v: v.shape[-1] > 1)
            axis = -1 if net.chance(0.6) else net.between(1, x.rank - 1)
            shape = x.shape[axis:]
            scale = net.normal(*shape) * np.float32(0.4) + 1
            extra = [net.const(net.normal(*shape))] if kind == "LayerNormalization" and net.chance(0.7) else []
            return net.op(kind, [x, net.const(scale), *extra], axis=axis, **eps)
        case "InstanceNormalization" | "GroupNormalization":
            x = _spread(net, lambda v: v.rank >= 3 and v.shape[0] == 1 and int(np.prod(v.shape[2:])) > 1)
            c = x.shape[1]
            scale, offset = net.const(net.normal(c) * np.float32(0.4) + 1), net.const(net.normal(c))
            if kind == "InstanceNormalization":
                return net.op(kind, [x, scale, offset], **eps)
            groups = net.pick([g for g in range(1, c + 1) if c % g == 0])
            return net.op(kind, [x, scale, offset], num_groups=groups, **eps)
        case "MeanVarianceNormalization":
            x = _spread(net, lambda v: v.rank == 4 and v.shape[0] == 1)
            return net.op(kind, [x], **({"axes": [2, 3]} if net.chance(0.4) else {}))
        case _:
            x = _spread(net, lambda v: v.shape[-1] > 1)
            return net.op(kind, [x], axis=net.pick([-1, x.rank - 1]), p=net.pick([1, 2, 2]))


def group_by_instance(net: Net) -> list[str]:
    """Groups as PyTorch exports them: reshaped, normalised by instance, reshaped back, scaled."""
    x = _spread(net, lambda v: v.rank in (3, 4) and v.shape[0] == 1 and v.size > v.shape[1])
    c = x.shape[1]
    groups = net.pick([g for g in range(1, c + 1) if c % g == 0])
    (y,) = net.op("Reshape", [x, net.ints([1, groups, -1])])
    ones, zeros = net.const(np.ones(groups, np.float32)), net.const(np.zeros(groups, np.float32))
    (y,) = net.op("InstanceNormalization", [y, ones, zeros], epsilon=1e-5)
    (y,) = net.op("Reshape", [y, net.ints(x.shape)])
    each = (c, *(1,) * (x.rank - 2))
    (y,) = net.op("Mul", [y, net.const(net.normal(*each))])
    return net.op("Add", [y, net.const(net.normal(*each))])


def mean(net: Net, x: str, axes: Sequence[int]) -> str:
    """ReduceMean that keeps its axes."""
    if net.opset >= 18:
        return net.op("ReduceMean", [x, net.ints(axes)], keepdims=1)[0]
    return net.op("ReduceMean", [x], axes=list(axes), keepdims=1)[0]


def normalisation_written_out(net: Net) -> list[str]:
    """By ReduceMean, Sub, Pow, Sqrt and Div; by reciprocal roots; E[x^2] - E[x]^2; lengths."""
    x = _spread(net, lambda v: v.shape[-1] > 1)
    axes = [-1] if net.chance(0.7) else sorted(net.rng.permutation(np.arange(1, x.rank))[:2].tolist())
    eps = net.const(np.float32(net.pick([1e-5, 1e-3, 0.1])))
    form = net.between(0, 4)
    if form == 4:  # x / max(|x|, eps)
        return _by_length(net, x, axes)
    centred = x.name
    if form != 1:
        (centred,) = net.op("Sub", [x, mean(net, x.name, axes)])
    if net.chance(0.5):
        (square,) = net.op("Pow", [centred, net.const(np.float32(2))])
    else:
        (square,) = net.op("Mul", [centred, centred])
    var = mean(net, square, axes)
    if form == 2:
        (whole,) = net.op("Mul", [x, x])
        (own,) = net.op("Mul", [m := mean(net, x.name, axes), m])
        (var,) = net.op("Sub", [mean(net, whole, axes), own])
    (var,) = net.op("Add", [var, eps])
    (root,) = net.op("Sqrt", [var])
    if form == 3 or net.chance(0.3):
        (root,) = net.op("Reciprocal", [root])
        (y,) = net.op("Mul", [centred, root])
    else:
        (y,) = net.op("Div", [centred, root])
    if net.chance(0.7):
        (y,) = net.op("Mul", [y, net.const(net.normal(x.shape[-1]) * np.float32(0.4) + 1)])
    return net.op("Add", [y, net.const(net.normal(x.shape[-1]))]) if net.chance(0.6) else [y]


def _by_length(net: Net, x: Value, axes: Sequence[int]) -> list[str]:
    if net.opset >= 18:
        (length,) = net.op("ReduceL2", [x, net.ints(axes)], keepdims=1)
    else:
        (length,) = net.op("ReduceL2", [x], axes=list(axes), keepdims=1)
    (length,) = net.op("Clip", [length, net.const(np.float32(net.pick([1e-12, 1e-3])))])
    if net.chance(0.6):
        (length,) = net.op("Expand", [length, net.ints(x.shape)])
    return net.op("Div", [x, length])


# Products and quotients -----------------------------------------------------------------------------------------------


def product(net: Net) -> list[str]:
    """MatMul or Gemm of two activations, and MatMul with a stack of constant matrices."""
    x = choose(net, lambda v: v.rank >= 2 and v.size <= 1024)
    k = x.shape[-1]
    if net.chance(0.25) and x.rank >= 3:
        stack = (*broadcast_partner(net, x.shape[:-2])[-1:], k, net.between(1, 6))
        w = net.const(net.normal(*stack) / np.float32(k**0.5))
        return net.op("MatMul", [x, w])
    if x.rank == 2 and net.chance(0.4):
        return _gemm(net, x)
    others = [v for v in net.values if v.is_float and v.rank >= 1 and v.size <= 1024 and v.name != x.name]
    fits = [v for v in others if v.rank >= 2 and k in v.shape[-2:]]
    if not fits or net.chance(0.3):
        (y,) = net.op("Transpose", [x], perm=[*range(x.rank - 2), x.rank - 1, x.rank - 2])
        return net.op("MatMul", [x, y] if net.chance(0.5) else [y, x])
    v = net.pick(fits)
    other = v.name
    if v.shape[-2] != k:
        (other,) = net.op("Transpose", [v], perm=[*range(v.rank - 2), v.rank - 1, v.rank - 2])
    return net.op("MatMul", [x, other])


def _gemm(net: Net, x: Value) -> list[str]:
    k = x.shape[1]
    m = net.between(1, 6)
    other = drawn_from(net, (m, k) if (turned := net.chance(0.5)) else (k, m))
    attrs: dict[str, Any] = {"transB": int(turned)}
    if net.chance(0.3):
        attrs["alpha"] = 0.5
    extra = [net.const(net.normal(m))] if net.chance(0.4) else []
    return net.op("Gemm", [x, other, *extra], **attrs)


def quotient(net: Net) -> list[str]:
    """x / y with y away from zero, or shares of a sum."""
    x = choose(net, lambda v: v.rank >= 1)
    if net.chance(0.4):
        (e,) = net.op("Sigmoid" if net.chance(0.5) else "Softplus", [x])
        axis = net.between(0, x.rank - 1)
        if net.opset >= 13:
            (s,) = net.op("ReduceSum", [e, net.ints([axis])], keepdims=1)
        else:
            (s,) = net.op("ReduceSum", [e], axes=[axis], keepdims=1)
        return net.op("Div", [e, s])
    y = choose(net, lambda v: v.name != x.name and _meets(v.shape, x.shape))
    (d,) = net.op(net.pick(["Abs", "Softplus", "Sigmoid"]), [y])
    (d,) = net.op("Add", [d, net.const(np.float32(net.pick([0.3, 1.0])))])
    return net.op("Div", [x, d])


def _meets(a: Shape, b: Shape) -> bool:
    try:
        return len(np.broadcast_shapes(a, b)) <= MAX_RANK
    except ValueError:
        return False


#: Layer and how often it is drawn.
SEQUENCES: tuple[tuple[Layer, float], ...] = (
    (partial(recurrent, kind="LSTM"), 5), (partial(recurrent, kind="GRU"), 5), (partial(recurrent, kind="RNN"), 4),
    (cell, 4), (attention, 6), (attention_of_microsoft, 4), (attention_written_out, 6), (rotary, 3),
    (normalisation, 6), (group_by_instance, 2), (normalisation_written_out, 5), (product, 5), (quotient, 3),
)  # fmt: skip
