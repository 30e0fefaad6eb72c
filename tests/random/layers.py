"""One function for each kind of layer: picks an input and attributes at random and adds its ONNX nodes.

Returns the names of the outputs to keep. A layer for which no value fits raises Refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.random.net import MAX_RANK, MAX_SIZE, MICROSOFT, Array, Net, Refused, Shape, Value

Layer = Callable[[Net], list[str]]


def choose(net: Net, fits: Callable[[Value], bool] = lambda v: True) -> Value:
    """An activation that fits: the newest more often than the others."""
    found = [v for v in net.values if v.is_float and fits(v)]
    if not found:
        raise Refused("no input fits")
    return found[-1] if net.chance(0.6) else net.pick(found)


def spatial(net: Net) -> Value:
    """(1, C, W) or (1, C, H, W)."""
    return choose(net, lambda v: v.rank in (3, 4) and v.shape[0] == 1)


def weights(net: Net, shape: Shape, fan_in: int, axis: int = 0) -> Array:
    """Weights as training leaves them, and as it does not: `axis` counts output channels."""
    w = net.normal(*shape) / np.float32(np.sqrt(max(fan_in, 1)))
    at = [slice(None)] * len(shape)
    at[axis] = net.between(0, shape[axis] - 1)
    match net.between(0, 9):
        case 0:
            w[tuple(at)] = 0  # an all-zero channel
        case 1:
            w[tuple(at)] *= net.pick([1e-2, 1e-4, 1e-7, 30.0])
        case 2:
            w *= net.rng.random(shape) < 0.3
        case 3:
            w = np.abs(w)
        case 4:
            w *= np.float32(net.pick([0.01, 8.0]))
        case 5:
            w = np.sign(w) * np.float32(0.25)
        case 6:
            w = np.zeros_like(w) if net.chance(0.3) else w
        case 7:  # a codebook: few values, when the largest of a channel counts as 1
            levels = np.append(net.rng.uniform(-1, 1, net.pick([1, 3, 7, 15, 40])), 1)
            largest = tuple(slice(None) if i == axis else 0 for i in range(len(shape)))
            w = net.rng.choice(levels, shape) / np.sqrt(max(fan_in, 1))
            w[largest] = 1 / np.sqrt(max(fan_in, 1))
        case _:
            pass
    return w.astype(np.float32)


def bias(net: Net, channels: int) -> Array | None:
    match net.between(0, 5):
        case 0:
            return None
        case 1:
            return np.zeros(channels, np.float32)
        case 2:
            return net.normal(channels) * np.float32(25)
        case _:
            return net.normal(channels) * np.float32(0.5)


def axis_of(net: Net, rank: int) -> tuple[int, int]:
    """An axis, and a way to say it (from the front or the back)."""
    a = net.between(0, rank - 1)
    return a, a - rank if net.chance(0.4) else a


def axes_of(net: Net, rank: int, least: int = 1) -> list[int]:
    """Some axes in ascending order, each said from the front or the back."""
    k = net.between(least, rank)
    some = sorted(net.rng.permutation(rank)[:k].tolist())
    return [a - rank if net.chance(0.3) else a for a in some]


# Windows --------------------------------------------------------------------------------------------------------------


def window(net: Net, spatial_shape: Shape, *, dilate: bool = True, pool: bool = False) -> tuple[dict[str, Any], Shape]:
    """Attributes of a convolution or pool, and its kernel. Kernels may be larger than the image when padding allows."""
    n = len(spatial_shape)
    square = net.chance(0.6)

    def each(options: Sequence[int]) -> list[int]:
        return [net.pick(options)] * n if square else [net.pick(options) for _ in range(n)]

    kernel = each([1, 1, 2, 3, 3, 3, 4, 5, 7])
    strides = each([1, 1, 1, 2, 2, 3])
    dilations = each([1, 1, 1, 2, 3]) if dilate and net.chance(0.3) else [1] * n
    attrs: dict[str, Any] = {}
    if pool or net.chance(0.8):
        attrs["kernel_shape"] = kernel
    if max(strides) > 1 or net.chance(0.5):
        attrs["strides"] = strides
    if max(dilations) > 1 or (dilate and net.chance(0.3)):
        attrs["dilations"] = dilations
    match net.between(0, 5):
        case 0:
            attrs["auto_pad"] = net.pick(["SAME_UPPER", "SAME_LOWER"])
            if max(dilations) > 1 and (pool or net.chance(0.5)):  # onnxruntime forgets the dilation of pools here
                attrs["auto_pad"] = "VALID"
        case 1:
            attrs["auto_pad"] = "VALID"
        case 2:
            pass
        case _:
            # Below the window for pools; up to its span for convolutions.
            top = [
                k - 1 if pool else (k - 1) * d + (1 if net.chance(0.2) else 0)
                for k, d in zip(kernel, dilations, strict=True)
            ]
            attrs["pads"] = [net.between(0, t) for t in (*top, *top)]
    pads = attrs.get("pads", [0] * (2 * n))
    for i, length in enumerate(spatial_shape):
        # onnxruntime's division rounds towards zero and finds one window where ONNX has none.
        if (
            not attrs.get("auto_pad", "").startswith("SAME")
            and (kernel[i] - 1) * dilations[i] >= length + pads[i] + pads[n + i]
        ):
            raise Refused("the window is larger than the padded image")
    return attrs, tuple(kernel)


def conv(net: Net) -> list[str]:
    x = spatial(net)
    c = x.shape[1]
    attrs, kernel = window(net, x.shape[2:])
    kind = net.pick(["plain", "plain", "plain", "depthwise", "grouped"])
    group = 1
    if kind == "depthwise":
        group = c
    elif kind == "grouped":
        group = net.pick([g for g in range(1, c + 1) if c % g == 0])
    out = group * net.between(1, 2 if kind == "depthwise" else max(1, 10 // group))
    if group > 1 or net.chance(0.3):
        attrs["group"] = group
    w = weights(net, (out, c // group, *kernel), c // group * int(np.prod(kernel)))
    b = bias(net, out)
    return net.op("Conv", [x, net.const(w), "" if b is None else net.const(b)], **attrs)


def conv_transpose(net: Net) -> list[str]:
    x = spatial(net)
    n, c = x.rank - 2, x.shape[1]
    kernel = [net.pick([1, 2, 3, 4]) for _ in range(n)]
    strides = [net.pick([1, 2, 2, 3]) for _ in range(n)]
    dilations = [net.pick([1, 1, 1, 2]) for _ in range(n)]
    group = net.pick([g for g in range(1, c + 1) if c % g == 0]) if net.chance(0.4) else 1
    per = net.between(1, max(1, 6 // group))
    attrs: dict[str, Any] = {"strides": strides, "group": group, "dilations": dilations}
    match net.between(0, 4):
        case 0:
            if any(k < s for k, s in zip(kernel, strides, strict=True)):
                raise Refused("runtimes disagree on the size")
            attrs["auto_pad"] = net.pick(["SAME_UPPER", "SAME_LOWER"])
            attrs["dilations"] = [1] * n
        case 1:
            attrs["output_shape"] = [
                (d - 1) * s + (k - 1) * e + 1 - net.between(0, 1)
                for d, s, k, e in zip(x.shape[2:], strides, kernel, dilations, strict=True)
            ]
            # The spatial axes alone confuse onnx's own shape inference.
            attrs["output_shape"] = [1, group * per, *attrs["output_shape"]]
        case 2:
            pass
        case _:
            attrs["pads"] = [net.between(0, (k - 1) * d) for k, d in zip(kernel * 2, dilations * 2, strict=True)]
            if net.chance(0.5):
                attrs["output_padding"] = [
                    net.between(0, max(s, d) - 1) for s, d in zip(strides, dilations, strict=True)
                ]
    w = weights(net, (c, per, *kernel), c // group * int(np.prod(kernel)), 1)
    b = bias(net, group * per)
    return net.op("ConvTranspose", [x, net.const(w), "" if b is None else net.const(b)], **attrs)


def pool(net: Net) -> list[str]:
    x = spatial(net)
    kind = net.pick(["MaxPool", "AveragePool"])
    attrs, _ = window(net, x.shape[2:], dilate=kind == "MaxPool", pool=True)
    # Opset 10 to 18 of AveragePool with ceil_mode is not one rule in all runtimes; tinygen follows 19.
    ceil = net.chance(0.3) and "auto_pad" not in attrs
    if ceil:
        attrs["ceil_mode"] = 1
    if kind == "AveragePool" and net.chance(0.4) and not ceil:
        attrs["count_include_pad"] = 1
    return net.op(kind, [x], **attrs)


def global_pool(net: Net) -> list[str]:
    x = choose(net, lambda v: v.rank >= 3)
    return net.op(net.pick(["GlobalAveragePool", "GlobalMaxPool"]), [x])


def batch_norm(net: Net) -> list[str]:
    x = choose(net, lambda v: v.rank >= 2 and v.shape[0] == 1)
    c = x.shape[1]
    scale = net.normal(c) * np.float32(0.5) + 1
    var = net.rng.uniform(0.1, 3, c).astype(np.float32)
    params = [scale, net.normal(c), net.normal(c), var]
    eps = {"epsilon": float(net.pick([1e-3, 1e-1]))} if net.chance(0.4) else {}
    return net.op("BatchNormalization", [x, *(net.const(p) for p in params)], **eps)


def block(net: Net) -> list[str]:
    """Convolution, BatchNormalization, activation: what every network is made of, sometimes with a Pad in front."""
    x = spatial(net)
    n, c = x.rank - 2, x.shape[1]
    if net.chance(0.3):
        pads = [0, 0, *(net.between(0, 2) for _ in range(n)), 0, 0, *(net.between(0, 2) for _ in range(n))]
        (y,) = net.op("Pad", [x, net.ints(pads)])
    else:
        y = x.name
    k = net.pick([1, 3])
    group = c if net.chance(0.3) else 1
    out = c if group > 1 else net.between(1, 12)
    w = weights(net, (out, c // group, *([k] * n)), c // group * k**n)
    auto = {"auto_pad": "SAME_UPPER"} if net.chance(0.7) else {}
    (y,) = net.op("Conv", [y, net.const(w), ""], group=group, strides=[net.pick([1, 1, 2])] * n, **auto)
    if net.chance(0.6):
        params = [net.normal(out) * 0.3 + 1, net.normal(out), net.normal(out), net.rng.uniform(0.2, 2, out)]
        (y,) = net.op("BatchNormalization", [y, *(net.const(p, np.float32) for p in params)])
    for _ in range(net.between(0, 2)):  # scales and offsets written out
        k = net.const(net.normal(out, *([1] * n)) if net.chance(0.7) else np.float32(0.6))
        (y,) = net.op(net.pick(["Mul", "Add", "Sub"]), [y, k] if net.chance(0.6) else [k, y])
    kind = net.pick(["Relu", "Clip", "HardSwish", "Sigmoid", "LeakyRelu"])
    if kind == "Clip":
        return net.op("Clip", [y, net.const(np.float32(0)), net.const(np.float32(6))])
    if kind == "HardSwish" and net.opset < 14:
        (t,) = net.op("Add", [y, net.const(np.float32(3))])
        (t,) = net.op("Clip", [t, net.const(np.float32(0)), net.const(np.float32(6))])
        (t,) = net.op("Mul", [y, t])
        return net.op("Div", [t, net.const(np.float32(6))])
    return net.op(kind, [y])


def squeeze_excite(net: Net) -> list[str]:
    x = spatial(net)
    c, n = x.shape[1], x.rank - 2
    (y,) = net.op("GlobalAveragePool", [x])
    small = max(1, c // 2)
    ones = (1,) * n
    (y,) = net.op("Conv", [y, net.const(weights(net, (small, c, *ones), c)), ""])
    (y,) = net.op("Relu", [y])
    (y,) = net.op("Conv", [y, net.const(weights(net, (c, small, *ones), small)), ""])
    (y,) = net.op(net.pick(["Sigmoid", "HardSigmoid"]), [y])
    return net.op("Mul", [x, y] if net.chance(0.5) else [y, x])


def residual(net: Net) -> list[str]:
    x = spatial(net)
    c, n = x.shape[1], x.rank - 2
    w = weights(net, (c, c, *([3] * n)), c * 3**n)
    (y,) = net.op("Conv", [x, net.const(w), net.const(net.normal(c))], pads=[1] * (2 * n))
    (y,) = net.op(net.pick(["Relu", "Tanh", "Identity"]), [y])
    (y,) = net.op("Add", [x, y] if net.chance(0.5) else [y, x])
    return net.op("Relu", [y]) if net.chance(0.5) else [y]


# Dense layers ---------------------------------------------------------------------------------------------------------


def gemm(net: Net) -> list[str]:
    trans_a = net.chance(0.2)
    x = choose(net, lambda v: v.rank == 2 and (trans_a or v.size <= 512))
    k = x.shape[0] if trans_a else x.shape[1]
    rows = x.shape[1] if trans_a else x.shape[0]
    m, trans_b = net.between(1, 12), net.chance(0.6)
    w = weights(net, (m, k), k)
    attrs: dict[str, Any] = {"transA": int(trans_a)} if trans_a else {}
    if trans_b:
        attrs["transB"] = 1
    if net.chance(0.2):
        attrs["alpha"] = 0.5
    if net.chance(0.2):
        attrs["beta"] = -2.0
    c: str | Value = ""
    match net.between(0, 5):
        case 0:
            pass
        case 1:
            c = net.const(net.normal(rows, m))
        case 2:
            c = net.const(np.float32(0.7))
        case 3:
            c = net.const(net.normal(rows, 1))
        case _:
            c = net.const(net.normal(m) if net.chance(0.5) else net.normal(1, m))
    if net.chance(0.15):  # the constant on the left: (m, k) x
        a = net.const(np.ascontiguousarray(weights(net, (m, x.shape[0]), x.shape[0])))
        return net.op("Gemm", [a, x])
    return net.op("Gemm", [x, net.const(w if trans_b else w.T), c], **attrs)


def matmul(net: Net) -> list[str]:
    left = net.chance(0.2)
    x = choose(net, lambda v: v.rank >= 1 and v.shape[-1] <= 256)
    if left and x.rank >= 2:
        w = weights(net, (net.between(1, 8), x.shape[-2]), x.shape[-2])
        (y,) = net.op("MatMul", [net.const(w), x])
    else:
        m, k = net.between(1, 12), x.shape[-1]
        w = np.ascontiguousarray(weights(net, (m, k), k).T)
        match net.between(0, 7):
            case 0:
                w = w[:, 0]
            case 1:
                w = w.reshape(1, k, m)
            case _:
                pass
        (y,) = net.op("MatMul", [x, net.const(w)])
        if w.ndim == 2 and net.chance(0.6):
            b = net.const(net.normal(m))
            (y,) = net.op("Add", [y, b] if net.chance(0.7) else [b, y])
    return net.op("Relu", [y]) if net.chance(0.3) else [y]


def dense_head(net: Net) -> list[str]:
    """Flatten and dense layers, as at the end of every classifier."""
    x = choose(net, lambda v: v.size <= 1500 and v.rank >= 2 and v.shape[0] == 1)
    match net.between(0, 2):
        case 0:
            (y,) = net.op("Flatten", [x])
        case 1:
            (y,) = net.op("Reshape", [x, net.ints([1, -1])])
        case _:
            (y,) = net.op("Reshape", [x, net.ints([0, x.size])])
    if net.chance(0.3):
        (y,) = net.op("Relu", [y])
    m = net.between(2, 12)
    w = weights(net, (m, x.size), x.size)
    (y,) = net.op("Gemm", [y, net.const(w), net.const(net.normal(m))], transB=1)
    return net.op("Softmax", [y]) if net.chance(0.3) else [y]


def decoder(net: Net) -> list[str]:
    """A dense layer whose output becomes an image."""
    x = choose(net, lambda v: v.size <= 256 and v.rank == 2 and v.shape[0] == 1)
    c, h, w = net.between(1, 4), net.between(2, 4), net.between(1, 4)
    (y,) = net.op("Gemm", [x, net.const(weights(net, (c * h * w, x.size), x.size)), ""], transB=1)
    if net.chance(0.5):
        (y,) = net.op("Relu", [y])
    if net.chance(0.5):
        (y,) = net.op("Reshape", [y, net.ints([1, c, h, w])])
    else:
        (y,) = net.op("Reshape", [y, net.ints([1, h, w, c])])
        (y,) = net.op("Transpose", [y], perm=[0, 3, 1, 2])
    k = weights(net, (c, 3, 2, 2), c)
    return net.op("ConvTranspose", [y, net.const(k), ""], strides=[2, 2])


# Element-wise ---------------------------------------------------------------------------------------------------------


def broadcast_partner(net: Net, shape: Shape) -> Shape:
    """A shape that broadcasts with `shape`: axes made 1, leading axes left out, 1s put in front."""
    dims = [1 if net.chance(0.4) else d for d in shape]
    dims = dims[net.between(0, len(dims)) if net.chance(0.4) else 0 :]
    if net.chance(0.1) and len(dims) < MAX_RANK:
        dims = [1, *dims]
    return tuple(dims)


def arithmetic(net: Net) -> list[str]:
    kind = net.pick(["Add", "Sub", "Mul", "Div", "Add", "Mul"])
    x = choose(net)
    if kind != "Div" and net.chance(0.5):
        y = choose(net, lambda v: _broadcasts(v.shape, x.shape))
        return net.op(kind, [x, y])
    match net.between(0, 5):
        case 0:
            k = np.full((), net.rng.uniform(0.3, 3), np.float32)
        case 1:
            k = np.full((1,) * net.between(0, min(MAX_RANK, x.rank + 1)), net.rng.uniform(-3, -0.3), np.float32)
        case 2 if x.rank >= 2:  # one value for each channel, as ONNX has them
            k = net.normal(x.shape[1], *(1,) * (x.rank - 2))
        case _:
            k = net.normal(*broadcast_partner(net, x.shape))
    if kind == "Div":
        k = (np.sign(k) + (k == 0)) * (np.abs(k) + np.float32(0.4))
        if net.chance(0.3):  # constant / x, for an x away from zero
            (p,) = net.op("Abs", [x])
            (p,) = net.op("Add", [p, net.const(np.float32(0.7))])
            return net.op("Div", [net.const(k), p])
    other = net.const(k)
    return net.op(kind, [x, other] if net.chance(0.6) or kind == "Div" else [other, x])


def _broadcasts(a: Shape, b: Shape) -> bool:
    try:
        return int(np.prod(np.broadcast_shapes(a, b))) <= MAX_SIZE
    except ValueError:
        return False


def several(net: Net) -> list[str]:
    """Sum, Mean, Max and Min of one to four operands."""
    kind = net.pick(["Sum", "Mean", "Max", "Min"])
    x = choose(net)
    operands: list[Value | str] = [x]
    for _ in range(net.between(0 if kind in ("Sum", "Mean") else 1, 3)):
        match net.between(0, 2):
            case 0:
                operands.append(net.const(np.float32(net.rng.normal())))
            case 1:
                operands.append(net.const(net.normal(*broadcast_partner(net, x.shape))))
            case _:
                operands.append(choose(net, lambda v: _broadcasts(v.shape, x.shape)))
    return net.op(kind, operands)


def where(net: Net) -> list[str]:
    x = choose(net)
    mask = net.rng.random(broadcast_partner(net, x.shape)) < 0.5
    match net.between(0, 2):
        case 0:
            other: Value | str = net.const(np.float32(net.rng.normal()))
        case 1:
            other = net.const(net.normal(*broadcast_partner(net, x.shape)))
        case _:
            other = choose(net, lambda v: v.shape == x.shape)
    (y,) = net.op("Where", [net.const(mask), x, other] if net.chance(0.5) else [net.const(mask), other, x])
    return net.op("Add", [x, y]) if mask.all() or not mask.any() else [y]  # the other side may be all there is


def prelu(net: Net) -> list[str]:
    x = choose(net, lambda v: v.rank >= 1)
    match net.between(0, 3):
        case 0:
            slope = np.full((1,) * net.between(0, x.rank), 0.2, np.float32)
        case 1 if x.rank >= 2:
            slope = net.normal(x.shape[1], *(1,) * (x.rank - 2))
        case 2:
            slope = net.normal(*x.shape)
        case _:
            slope = net.normal(x.shape[-1]) * np.float32(0.4)
    return net.op("PRelu", [x, net.const(slope)])


#: Function: (least opset, the values it takes, attributes to choose from).
FUNCTIONS: dict[str, tuple[int, tuple[float, float], dict[str, tuple[Any, ...]]]] = {
    "Relu": (11, (-np.inf, np.inf), {}),
    "LeakyRelu": (11, (-np.inf, np.inf), {"alpha": (0.1, 0.3, 1.5, -0.2)}),
    "Elu": (11, (-np.inf, np.inf), {"alpha": (0.5, 2.0)}),
    "Celu": (12, (-np.inf, np.inf), {"alpha": (0.5, 2.0)}),
    "Selu": (11, (-np.inf, np.inf), {"gamma": (1.3,)}),
    "HardSigmoid": (11, (-np.inf, np.inf), {"alpha": (0.1, 0.5), "beta": (0.3,)}),
    "HardSwish": (14, (-np.inf, np.inf), {}),
    "Gelu": (20, (-np.inf, np.inf), {"approximate": ("none", "tanh")}),
    "Mish": (18, (-20, np.inf), {}),
    "Swish": (24, (-np.inf, np.inf), {"alpha": (0.5, 1.7)}),
    "ThresholdedRelu": (11, (-np.inf, np.inf), {"alpha": (0.3, 0.0)}),
    "Shrink": (11, (-np.inf, np.inf), {"lambd": (0.3,), "bias": (0.1, 0.3)}),
    "Sigmoid": (11, (-np.inf, np.inf), {}),
    "Tanh": (11, (-np.inf, np.inf), {}),
    "Erf": (11, (-np.inf, np.inf), {}),
    "Softplus": (11, (-np.inf, np.inf), {}),
    "Softsign": (11, (-np.inf, np.inf), {}),
    "Exp": (11, (-20, 5), {}),
    "Log": (11, (0.05, np.inf), {}),
    "Sqrt": (11, (0.0, np.inf), {}),
    "Abs": (11, (-np.inf, np.inf), {}),
    "Neg": (11, (-np.inf, np.inf), {}),
    "Reciprocal": (11, (0.2, np.inf), {}),
    "Sin": (11, (-10, 10), {}),
    "Cos": (11, (-10, 10), {}),
    "Tan": (11, (-1.3, 1.3), {}),
    "Asin": (11, (-0.95, 0.95), {}),
    "Acos": (11, (-0.95, 0.95), {}),
    "Atan": (11, (-np.inf, np.inf), {}),
    "Sinh": (11, (-5, 5), {}),
    "Cosh": (11, (-5, 5), {}),
    "Asinh": (11, (-np.inf, np.inf), {}),
    "Acosh": (11, (1.05, np.inf), {}),
    "Atanh": (11, (-0.95, 0.95), {}),
    "Round": (11, (-np.inf, np.inf), {}),
    "Floor": (11, (-np.inf, np.inf), {}),
    "Ceil": (11, (-np.inf, np.inf), {}),
    "Sign": (11, (-np.inf, np.inf), {}),
}


def function(net: Net, kind: str | None = None) -> list[str]:
    """A function of one value; where it is not defined everywhere, the input is brought into its domain first."""
    kind = kind or net.pick([k for k, (opset, _, _) in FUNCTIONS.items() if opset <= net.opset])
    _, (low, high), choices = FUNCTIONS[kind]
    x = choose(net)
    name = x.name
    if np.isfinite(low) or np.isfinite(high):
        match net.between(0, 1):
            case 0 if high == np.inf and low >= 0:
                (name,) = net.op("Abs", [name])
                (name,) = net.op("Add", [name, net.const(np.float32(low + 0.1))])
            case _:
                ends = [
                    "" if not np.isfinite(e) else net.const(np.float32(e))
                    for e in (low, min(high, max(low, -1e9) + 50) if np.isfinite(low) else high)
                ]
                (name,) = net.op("Clip", [name, *ends])
    attrs = {k: net.pick(v) for k, v in choices.items() if net.chance(0.6)}
    return net.op(kind, [name], **attrs)


def chain(net: Net) -> list[str]:
    """Functions of one value written out: x * sigmoid(x), GELU by Erf, and other products of functions of one x."""
    x = choose(net)
    match net.between(0, 4):
        case 0:
            (y,) = net.op("Sigmoid", [x])
            return net.op("Mul", [x, y])
        case 1:
            (y,) = net.op("Div", [x, net.const(np.float32(2**0.5))])
            (y,) = net.op("Erf", [y])
            (y,) = net.op("Add", [y, net.const(np.float32(1))])
            (y,) = net.op("Mul", [x, y])
            return net.op("Mul", [y, net.const(np.float32(0.5))])
        case 2:
            (y,) = net.op("Softplus", [x])
            (y,) = net.op("Tanh", [y])
            return net.op("Mul", [y, x])
        case 3:
            (a,) = net.op("Tanh", [x])
            (b,) = net.op("Neg", [x])
            (b,) = net.op("Relu", [b])
            return net.op("Sub", [a, b])
        case _:
            (y,) = net.op("Mul", [x, x])
            return net.op("Add", [y, x])


def clip(net: Net) -> list[str]:
    x = choose(net)
    mid, span = (x.low + x.high) / 2, (x.high - x.low) / 2
    low = "" if net.chance(0.3) else net.const(np.float32(mid - span * net.rng.uniform(0, 1.2)))
    high = "" if net.chance(0.3) else net.const(np.float32(mid + span * net.rng.uniform(0.05, 1.2)))
    return net.op("Clip", [x, low, high])


def power(net: Net) -> list[str]:
    x = choose(net, lambda v: max(abs(v.low), abs(v.high)) < 12)
    match net.between(0, 3):
        case 0:
            return net.op("Pow", [x, net.const(np.float32(2))])
        case 1:
            return net.op("Pow", [x, net.const(np.full((1,) * net.between(0, x.rank), 3, np.float32))])
        case 2:
            (y,) = net.op("Abs", [x])
            (y,) = net.op("Add", [y, net.const(np.float32(0.3))])
            return net.op("Pow", [y, net.const(np.float32(net.pick([0.5, -1.0, 1.0, 1.7])))])
        case _:
            return net.op("Pow", [net.const(np.float32(1.3)), x])


def cast(net: Net) -> list[str]:
    x = choose(net)
    match net.between(0, 2):
        case 0:
            (y,) = net.op("Cast", [x], to=net.pick([6, 7]))
            return net.op("Cast", [y], to=1)
        case 1 if net.opset >= 15:
            return net.op("CastLike", [x, net.const(np.float32(0))])
        case _:
            return net.op("Cast", [x], to=1)


# Reductions -----------------------------------------------------------------------------------------------------------


def reduce(net: Net) -> list[str]:
    kind = net.pick(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceLogSumExp"])
    x = choose(net, lambda v: v.rank >= 1)
    attrs: dict[str, Any] = {} if net.chance(0.3) else {"keepdims": net.between(0, 1)}
    by_input = net.opset >= (13 if kind == "ReduceSum" else 18)
    if net.chance(0.15):  # all axes
        if by_input and net.chance(0.5):
            attrs["noop_with_empty_axes"] = net.between(0, 1)
        return net.op(kind, [x], **attrs)
    axes = axes_of(net, x.rank)
    if by_input:
        return net.op(kind, [x, net.ints(axes)], **attrs)
    return net.op(kind, [x], axes=axes, **attrs)


def softmax(net: Net) -> list[str]:
    x = choose(net, lambda v: v.rank >= 1)
    kind = net.pick(["Softmax", "LogSoftmax"])
    attrs = {} if net.chance(0.3) and x.rank >= 2 else {"axis": axis_of(net, x.rank)[1]}
    return net.op(kind, [x], **attrs)


def argmax(net: Net) -> list[str]:
    x = choose(net, lambda v: v.rank >= 1 and max(v.shape) <= 256)
    attrs: dict[str, Any] = {} if net.chance(0.2) else {"axis": axis_of(net, x.rank)[1]}
    if net.chance(0.6):
        attrs["keepdims"] = net.between(0, 1)
    if net.opset >= 12 and net.chance(0.3):
        attrs["select_last_index"] = 1
    (y,) = net.op("ArgMax", [x], **attrs)
    return net.op("Cast", [y], to=1) if net.chance(0.5) else [y]


# Movement -------------------------------------------------------------------------------------------------------------


def factors(net: Net, n: int, parts: int) -> list[int]:
    """`parts` numbers whose product is n."""
    dims = []
    for _ in range(parts - 1):
        d = net.pick([f for f in range(1, n + 1) if n % f == 0])
        dims.append(d)
        n //= d
    dims.append(n)
    return [dims[i] for i in net.rng.permutation(parts)]


def reshape(net: Net) -> list[str]:
    x = choose(net)
    dims = factors(net, x.size, net.between(1, 4))
    if len(dims) < MAX_RANK and net.chance(0.8):
        dims = [1, *dims]
    if net.chance(0.3):
        dims[net.between(0, len(dims) - 1)] = -1
    if dims[0] == 1 and x.rank and x.shape[0] == 1 and net.chance(0.3):
        dims[0] = 0
    match net.between(0, 4):
        case 0 if x.rank >= 2 and x.shape[0] == 1:  # the shape computed from the tensor itself
            (s,) = net.op("Shape", [x])
            if net.opset >= 13 and net.chance(0.5):
                (s,) = net.op("Slice", [s, net.ints([0]), net.ints([1])])
            else:
                (s,) = net.op("Gather", [s, net.ints([0])])
            (s,) = net.op("Concat", [s, net.ints([-1])], axis=0)
            return net.op("Reshape", [x, s])
        case _:
            return net.op("Reshape", [x, net.ints(dims)])


def size(net: Net) -> list[str]:
    """x divided by its number of elements."""
    x = choose(net, lambda v: max(abs(v.low), abs(v.high)) / v.size > 1e-2)
    (n,) = net.op("Size", [x])
    (n,) = net.op("Cast", [n], to=1)
    return net.op("Div", [x, n])


def flatten(net: Net) -> list[str]:
    x = choose(net)
    return net.op("Flatten", [x], **({} if net.chance(0.5) and x.rank else {"axis": net.between(-x.rank, x.rank)}))


def squeeze(net: Net) -> list[str]:
    x = choose(net, lambda v: 1 in v.shape)
    ones = [i for i, d in enumerate(x.shape) if d == 1]
    if net.chance(0.2):
        return net.op("Squeeze", [x])
    axes = [int(a) for a in net.rng.permutation(ones)[: net.between(1, len(ones))]]
    if 0 in axes and len(axes) > 1 and net.chance(0.7):  # usually the batch stays
        axes.remove(0)
    axes = [a - x.rank if net.chance(0.3) else a for a in axes]
    return net.op("Squeeze", [x, net.ints(axes)]) if net.opset >= 13 else net.op("Squeeze", [x], axes=axes)


def unsqueeze(net: Net) -> list[str]:
    x = choose(net, lambda v: v.rank < MAX_RANK)
    rank = x.rank + net.between(1, min(2, MAX_RANK - x.rank))
    axes = [int(a) for a in net.rng.permutation(rank)[: rank - x.rank]]
    axes = [a - rank if net.chance(0.3) else a for a in axes]
    return net.op("Unsqueeze", [x, net.ints(axes)]) if net.opset >= 13 else net.op("Unsqueeze", [x], axes=axes)


def transpose(net: Net) -> list[str]:
    x = choose(net, lambda v: v.rank >= 2)
    if net.chance(0.1):
        return net.op("Transpose", [x])
    perm = [int(p) for p in net.rng.permutation(x.rank)]
    if x.shape[0] == 1 and net.chance(0.7):  # usually the batch stays
        perm = [0, *(p for p in perm if p != 0)]
    return net.op("Transpose", [x], perm=perm)


def nothing(net: Net) -> list[str]:
    x = choose(net)
    if net.chance(0.5):
        return net.op("Identity", [x])
    if net.opset >= 12 and net.chance(0.5):
        return net.op("Dropout", [x, net.const(np.float32(0.3))])
    return net.op("Dropout", [x])


def concat(net: Net) -> list[str]:
    x = choose(net, lambda v: v.rank >= 1)
    axis, said = axis_of(net, x.rank)
    if x.shape[0] == 1 and axis == 0 and x.rank > 1 and net.chance(0.8):  # usually the batch stays
        axis = said = 1

    def fits(v: Value) -> bool:
        return v.rank == x.rank and all(
            a == b for i, (a, b) in enumerate(zip(v.shape, x.shape, strict=True)) if i != axis
        )

    parts: list[Value | str] = [x]
    for _ in range(net.between(1, 3)):
        if net.chance(0.2):
            dims = list(x.shape)
            dims[axis] = net.between(1, 3)
            parts.append(net.const(net.normal(*dims)))
        elif net.chance(0.2):  # an operator that dictates its scale, beside one that does not
            parts.append(net.op("Softmax", [x], axis=-1)[0])
        else:
            parts.append(choose(net, fits))
    order = net.rng.permutation(len(parts))
    return net.op("Concat", [parts[i] for i in order], axis=said)


def split(net: Net) -> list[str]:
    x = choose(net, lambda v: v.rank >= 1 and max(v.shape) >= 2)
    axis = net.pick([i for i, d in enumerate(x.shape) if d >= 2])
    n = net.between(2, min(4, x.shape[axis]))
    said = axis - x.rank if net.chance(0.3) else axis
    cuts = sorted(net.rng.permutation(np.arange(1, x.shape[axis]))[: n - 1].tolist())
    sizes = np.diff([0, *cuts, x.shape[axis]]).tolist()
    if net.opset >= 18 and net.chance(0.4):
        if -(-x.shape[axis] // n) * (n - 1) >= x.shape[axis]:
            raise Refused("the last part would be empty")
        outs = net.op("Split", [x], n, axis=said, num_outputs=n)
    elif x.shape[axis] % n == 0 and net.chance(0.3) and net.opset < 18:
        outs = net.op("Split", [x], n, axis=said)
    elif net.opset >= 13:
        outs = net.op("Split", [x, net.ints(sizes)], n, axis=said)
    else:
        outs = net.op("Split", [x], n, axis=said, split=sizes)
    return outs[: net.between(1, n)]  # some parts are never used


def slice_(net: Net) -> list[str]:
    x = choose(net, lambda v: v.rank >= 1 and v.size >= 2)
    axes = axes_of(net, x.rank)
    starts, ends, steps = [], [], []
    for a in axes:
        d = x.shape[a]
        step = net.pick([1, 1, 1, 2, 3, -1, -2])
        first, last = sorted((net.between(0, d - 1), net.between(0, d - 1)))
        if step > 0:
            start, end = first, last + 1
        else:
            start, end = last, first - 1
        start = start - d if net.chance(0.2) else start
        if step < 0 and end < 0:
            end = net.pick([-d - 1, -(2**31), -(2**62)])
        elif step > 0 and end == d and net.chance(0.4):
            end = net.pick([2**31 - 1, 2**62])
        elif end > 0 and net.chance(0.2):
            end -= d
            if end == 0:
                end = d
        starts.append(start)
        ends.append(end)
        steps.append(step)
    inputs: list[Value | str] = [x, net.ints(starts), net.ints(ends)]
    if (
        sorted(a % x.rank for a in axes) != list(range(len(axes)))
        or net.chance(0.8)
        or max(steps) != 1
        or min(steps) != 1
    ):
        inputs += [net.ints(axes), net.ints(steps)]
    return net.op("Slice", inputs)


def pad(net: Net) -> list[str]:
    x = choose(net, lambda v: v.rank >= 1)
    modes = ["constant", "constant", "reflect", "edge"] + (["wrap"] if net.opset >= 19 else [])
    mode = net.pick(modes)
    n = x.rank
    pads = [net.between(0, 2) if net.chance(0.6) else 0 for _ in range(2 * n)]
    if x.shape[0] == 1 and net.chance(0.8):
        pads[0] = pads[n] = 0
    if net.chance(0.2) and mode in (
        "constant",
        "edge",
    ):  # which comes first, cropping or mirroring, is not written down
        a = net.between(0, n - 1)
        if x.shape[a] > 2:
            pads[a] = -1
    if mode in ("reflect", "wrap"):
        pads = [min(p, x.shape[i % n] - 1) for i, p in enumerate(pads)]
    inputs: list[Value | str] = [x]
    kept = list(range(n))
    if net.opset >= 18 and net.chance(0.4):
        kept = [i for i in range(n) if pads[i] or pads[n + i]] or [0]
    inputs.append(net.ints([pads[i] for i in kept] + [pads[n + i] for i in kept]))
    if mode == "constant" and net.chance(0.4):
        inputs.append(net.const(np.float32(net.pick([0.0, 1.5, -2.0]))))
    elif len(kept) < n:
        inputs.append("")
    if len(kept) < n:
        inputs.append(net.ints([k - n if net.chance(0.3) else k for k in kept]))
    return net.op("Pad", inputs, mode=None if mode == "constant" and net.chance(0.5) else mode)


def gather(net: Net) -> list[str]:
    x = choose(net, lambda v: v.rank >= 1)
    axis, said = axis_of(net, x.rank)
    d = x.shape[axis]
    shape = net.pick([(), (1,), (3,), (2,), (2, 2), (d,)])
    index = net.rng.integers(-d, d, shape)
    if x.rank - 1 + len(shape) > MAX_RANK:
        index = index.reshape(-1)[:1].reshape(())
    return net.op("Gather", [x, net.const(np.array(index, np.int64))], axis=said)


def expand(net: Net) -> list[str]:
    x = choose(net)
    want = [net.between(1, 4) if d == 1 and net.chance(0.5) else d for d in x.shape]
    if x.rank and x.shape[0] == 1 and net.chance(0.8):
        want[0] = 1
    if len(want) < MAX_RANK and net.chance(0.3):
        want = [net.pick([1, 1, 2]), *want]
    want = [1 if net.chance(0.2) else d for d in want]
    return net.op("Expand", [x, net.ints(want)])


def tile(net: Net) -> list[str]:
    x = choose(net, lambda v: v.rank >= 1)
    repeats = [net.pick([1, 1, 2, 3]) for _ in x.shape]
    if x.shape[0] == 1 and net.chance(0.8):
        repeats[0] = 1
    return net.op("Tile", [x, net.ints(repeats)])


def resize(net: Net) -> list[str]:
    x = spatial(net)
    n = x.rank - 2
    mode = net.pick(["nearest", "linear"])
    where_ = ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"]
    if net.opset >= 19:
        where_.append("half_pixel_symmetric")
    attrs: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": net.pick(where_)}
    if mode == "nearest":
        # Rounding of exact halves is what the modes are about; floor and ceil of an exact integer are left to float.
        attrs["nearest_mode"] = net.pick(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
    channels_last = net.chance(0.15)
    at = list(range(1, 1 + n)) if channels_last else list(range(2, 2 + n))
    roi = net.const(np.zeros(0, np.float32)) if net.opset < 13 else ""
    if net.chance(0.5):
        scales = [1.0] * x.rank
        for a in at:
            scales[a] = float(net.pick([2.0, 2.0, 3.0, 0.5, 1.5, 1.0]))
        return net.op("Resize", [x, roi, net.const(np.array(scales, np.float32))], **attrs)
    sizes = list(x.shape)
    for a in at:
        sizes[a] = net.between(1, 2 * x.shape[a] + 1)
    scales_in = net.const(np.zeros(0, np.float32)) if net.opset < 13 else ""
    if net.opset >= 18 and net.chance(0.4):
        attrs["axes"] = at
        attrs["keep_aspect_ratio_policy"] = net.pick(["stretch", "stretch", "not_larger", "not_smaller"])
        sizes = [sizes[a] for a in at]
    return net.op("Resize", [x, roi, scales_in, net.ints(sizes)], **attrs)


def depth_space(net: Net) -> list[str]:
    x = choose(net, lambda v: v.rank == 4 and v.shape[0] == 1)
    s = 2
    if x.shape[1] % (s * s) == 0 and net.chance(0.7):
        return net.op("DepthToSpace", [x], blocksize=s, mode=net.pick(["DCR", "CRD"]))
    if x.shape[2] % s == 0 and x.shape[3] % s == 0:
        return net.op("SpaceToDepth", [x], blocksize=s)
    out = 4 * net.between(1, 2)
    (y,) = net.op("Conv", [x, net.const(weights(net, (out, x.shape[1], 1, 1), x.shape[1])), ""])
    return net.op("DepthToSpace", [y], blocksize=s, mode=net.pick(["DCR", "CRD"]))


def shuffle(net: Net) -> list[str]:
    """Channel shuffle: Reshape, Transpose, Reshape."""
    x = choose(net, lambda v: v.rank == 4 and v.shape[0] == 1 and v.shape[1] % 2 == 0)
    _, c, h, w = x.shape
    (y,) = net.op("Reshape", [x, net.ints([1, 2, c // 2, h, w])])
    (y,) = net.op("Transpose", [y], perm=[0, 2, 1, 3, 4])
    return net.op("Reshape", [y, net.ints([1, c, h, w])])


# Quantised forms ------------------------------------------------------------------------------------------------------


def scale_of(net: Net, low: float, high: float, kind: str) -> tuple[Array, Array]:
    """Scale and zero point (int8 or uint8) for values in [low, high], with room to spare."""
    low, high = min(low, 0.0), max(high, 1e-3)
    room = net.rng.uniform(1.0, 1.6)
    scale = np.float32((high - low) * room / 254)
    zero = round(-low / float(scale) + net.rng.uniform(0, 254 * (1 - 1 / room)))
    zero = min(max(zero, 0), 255)
    return np.array(scale), np.array(zero if kind == "uint8" else zero - 128, kind)


class Quantised:
    """Writes QuantizeLinear and DequantizeLinear around a node, or its QLinear form."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.kind = net.pick(["int8", "uint8"])

    def params(self, low: float, high: float) -> list[str]:
        scale, zero = scale_of(self.net, low, high, self.kind)
        return [self.net.const(scale), self.net.const(zero)]

    def quantise(self, x: str | Value, low: float, high: float) -> list[str]:
        """The code of x, its scale and zero point."""
        p = self.params(low, high)
        return [*self.net.op("QuantizeLinear", [x, *p]), *p]

    def dequantise(self, parts: Sequence[str]) -> str:
        return self.net.op("DequantizeLinear", list(parts))[0]

    def through(self, x: str | Value, low: float, high: float) -> str:
        return self.dequantise(self.quantise(x, low, high))

    def weights(self, w: Array, axis: int | None) -> tuple[list[str], Array, Array]:
        """int8 weights, per tensor or per channel: names, scales, the codes."""
        around = tuple(i for i in range(w.ndim) if i != axis)
        top = np.abs(w).max(axis=around) if axis is not None else np.abs(w).max()
        scale = (np.maximum(top, 1e-3) / 127).astype(np.float32)
        full = scale if axis is None else scale.reshape([-1 if i == axis else 1 for i in range(w.ndim)])
        code = np.clip(np.rint(w / full), -127, 127).astype(np.int8)
        zero = np.zeros(scale.shape, np.int8)
        return [self.net.const(code), self.net.const(scale), self.net.const(zero)], scale, code


def qdq_bridge(net: Net) -> list[str]:
    """A pin: Quantize and Dequantize; now and then with an operator between that moves codes, or another scale."""
    x = choose(net, lambda v: v.high - v.low > 1e-3)
    q = Quantised(net)
    code, *p = q.quantise(x, x.low, x.high)
    match net.between(0, 5):
        case 0 if x.rank >= 2:
            (code,) = net.op("Transpose", [code], perm=[int(v) for v in net.rng.permutation(x.rank)])
        case 1:
            (code,) = net.op("Reshape", [code, net.ints([1, -1])])
        case 2 if x.rank in (3, 4) and q.kind == "int8" and net.opset >= 12:
            (code,) = net.op("MaxPool", [code], kernel_shape=[1] * (x.rank - 2))
        case 3:  # the same codes under another scale
            scale, zero = scale_of(net, x.low, x.high, q.kind)
            p = [net.const(np.float32(scale * np.float32(0.7))), net.const(zero)]
        case _:
            pass
    return [q.dequantise([code, *p])]


def qdq_tie(net: Net) -> list[str]:
    """Operators that only move integers between values that are pinned (or dictated, as by Softmax) differently."""
    x = choose(net, lambda v: v.rank >= 2 and v.high - v.low > 1e-3)
    q = Quantised(net)

    def part() -> str:
        match net.between(0, 3):
            case 0:
                return net.op("Softmax", [x], axis=-1)[0]
            case 1:
                return net.const(net.normal(*x.shape))
            case 2:
                return x.name
            case _:
                return q.through(x, x.low - net.rng.uniform(0, 2), x.high + net.rng.uniform(0, 2))

    parts = [part() for _ in range(net.between(1, 3))]
    axis = net.between(1, x.rank - 1)
    (y,) = net.op("Concat", [x.name, *parts], axis=axis)
    match net.between(0, 3):
        case 0:
            (y,) = net.op("Reshape", [y, net.ints([1, -1])])
        case 1:
            (y,) = net.op(
                "ReduceMax",
                [y, net.ints([-1])] if net.opset >= 18 else [y],
                **({} if net.opset >= 18 else {"axes": [-1]}),
            )
        case 2:
            (y,) = net.op("Concat", [y, parts[0]], axis=axis)
        case _:
            pass
    top = max(abs(x.low), abs(x.high), 5.0)
    return [q.through(y, -top, top)]


def qdq_layer(net: Net) -> list[str]:
    """Convolution or dense layer in QDQ form."""
    q = Quantised(net)
    if net.chance(0.5):
        x = spatial(net)
        c, n = x.shape[1], x.rank - 2
        group = c if net.chance(0.3) else 1
        out = group if group > 1 else net.between(1, 8)
        w = weights(net, (out, c // group, *([3] * n)), c // group * 3**n)
        attrs: dict[str, Any] = {"pads": [1] * (2 * n), "group": group}
        kind, axis = "Conv", 0
    else:
        x = choose(net, lambda v: v.rank == 2 and v.shape[1] <= 256)
        w = np.ascontiguousarray(weights(net, (net.between(1, 8), x.shape[1]), x.shape[1]))
        attrs, kind, axis = {"transB": 1}, "Gemm", 0
    real = q.through(x, x.low, x.high)
    per_channel = net.opset >= 13 and net.chance(0.6)
    names, _, _ = q.weights(w, axis if per_channel else None)
    (wd,) = net.op("DequantizeLinear", names, axis=axis if per_channel else None)
    inputs = [real, wd]
    if net.chance(0.7):
        inputs.append(net.const(net.normal(w.shape[0])))
    (y,) = net.op(kind, inputs, **attrs)
    if net.chance(0.4):
        (y,) = net.op("Relu", [y])
    reach = 4 * float(np.abs(x.data).max()) * float(np.abs(w).max()) * np.sqrt(w[0].size) + 4
    return [q.through(y, -reach if net.chance(0.7) else 0.0, reach)]


QLINEAR = (
    "QLinearConv", "QLinearMatMul", "QGemm", "QLinearAdd", "QLinearMul", "QLinearAveragePool",
    "QLinearGlobalAveragePool", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", "QLinearConcat",
)  # fmt: skip


def qlinear(net: Net, kind: str | None = None) -> list[str]:
    """The QLinear operators of ONNX and of onnxruntime."""
    q = Quantised(net)
    kind = kind or net.pick(QLINEAR)

    def finish(name: str, p: Sequence[str]) -> list[str]:
        return [q.dequantise([name, *p])]

    if kind in ("QLinearConv", "QLinearAveragePool", "QLinearGlobalAveragePool"):
        x = choose(net, lambda v: v.rank == 4 and v.shape[0] == 1)
    elif kind in ("QLinearMatMul", "QGemm"):
        x = choose(net, lambda v: v.rank == 2 and v.shape[1] <= 256)
    else:
        x = choose(net, lambda v: v.rank >= 2 and v.shape[-1] >= 2)  # onnxruntime's softmax of one value is 0
    top = max(abs(x.low), abs(x.high))
    xq = q.quantise(x, x.low, x.high)
    if kind in ("QLinearConv", "QLinearMatMul", "QGemm"):
        conv_ = kind == "QLinearConv"
        m, k = net.between(1, 6), x.shape[1]
        w = weights(net, (m, k, 3, 3) if conv_ else (k, m), k * (9 if conv_ else 1), 0 if conv_ else 1)
        wq, scale, _ = q.weights(w, (0 if conv_ else 1) if net.chance(0.5) and kind != "QLinearMatMul" else None)
        reach = 4 * top * float(np.abs(w).max()) * np.sqrt(k * (9 if conv_ else 1)) + 1
        out = q.params(-reach, reach)
        s_x = next(iter_scale(net, xq[1]))
        b = np.clip(np.rint(net.normal(m) / (s_x * scale)), -(2**24), 2**24).astype(np.int32)
        if conv_:
            extra = [net.const(b)] if net.chance(0.6) else []
            (y,) = net.op("QLinearConv", [*xq, *wq, *out, *extra], pads=[1, 1, 1, 1])
        elif kind == "QLinearMatMul":
            (y,) = net.op("QLinearMatMul", [*xq, *wq, *out])
        else:
            extra_ = net.const(b) if net.chance(0.6) else ""
            (y,) = net.op("QGemm", [*xq, *wq, extra_, *out], domain=MICROSOFT)
        return finish(y, out)
    if kind in ("QLinearAdd", "QLinearMul"):
        other = choose(net, lambda v: v.shape == x.shape)
        oq = q.quantise(other, other.low, other.high)
        both = x.data + other.data if kind == "QLinearAdd" else x.data * other.data
        out = q.params(float(both.min()), float(both.max()))
        (y,) = net.op(kind, [*xq, *oq, *out], domain=MICROSOFT)
        return finish(y, out)
    if kind == "QLinearConcat":
        other = choose(net, lambda v: v.shape == x.shape)
        oq = q.quantise(other, other.low, other.high)
        out = q.params(min(x.low, other.low), max(x.high, other.high))
        (y,) = net.op(kind, [*out, *xq, *oq], domain=MICROSOFT, axis=1)
        return finish(y, out)
    if kind in ("QLinearSigmoid", "QLinearSoftmax"):
        scale, zero = np.float32(1 / 256), np.array(0 if q.kind == "uint8" else -128, q.kind)
        out = [net.const(scale), net.const(zero)]
        attrs = {} if kind == "QLinearSigmoid" else {"axis": -1, "opset": net.opset}
        if kind == "QLinearSoftmax" and net.opset < 13:
            attrs["axis"] = x.rank - 1
        (y,) = net.op(kind, [*xq, *out], domain=MICROSOFT, **attrs)
        return finish(y, out)
    out = q.params(x.low, x.high)
    if kind == "QLinearLeakyRelu":
        (y,) = net.op(kind, [*xq, *out], domain=MICROSOFT, alpha=0.1)
    elif kind == "QLinearAveragePool":
        (y,) = net.op(kind, [*xq, *out], domain=MICROSOFT, kernel_shape=[2, 2], pads=[1, 0, 0, 1])
    else:
        (y,) = net.op(kind, [*xq, *out], domain=MICROSOFT, channels_last=0)
    return finish(y, out)


def iter_scale(net: Net, name: str) -> Any:
    """The value of a scalar constant."""
    from onnx import numpy_helper

    for n in net._pending:
        if name in n.output:
            a = n.attribute[0]
            yield float(numpy_helper.to_array(a.t)) if a.name == "value" else float(a.f)
    if name in net.weights:
        yield float(numpy_helper.to_array(net.weights[name]))


#: Layer and how often it is drawn.
LAYERS: tuple[tuple[Layer, float], ...] = (
    (conv, 6), (block, 5), (conv_transpose, 2), (pool, 4), (global_pool, 2), (batch_norm, 2), (squeeze_excite, 2),
    (residual, 3), (gemm, 2.5), (matmul, 2.5), (dense_head, 3), (decoder, 1), (arithmetic, 6), (several, 2),
    (where, 1.5), (prelu, 2), (function, 9), (chain, 2), (clip, 1.5), (power, 1), (cast, 1), (reduce, 5),
    (softmax, 2.5), (argmax, 1.5), (reshape, 3), (size, 0.5), (flatten, 1), (squeeze, 1.5), (unsqueeze, 1.5),
    (transpose, 3), (nothing, 1), (concat, 4), (split, 2), (slice_, 3), (pad, 2.5), (gather, 2), (expand, 1), (tile, 1),
    (resize, 3), (depth_space, 1.5), (shuffle, 1),
)  # fmt: skip
QUANTISED: tuple[tuple[Layer, float], ...] = ((qdq_bridge, 12), (qdq_tie, 10), (qdq_layer, 10), (qlinear, 10))
