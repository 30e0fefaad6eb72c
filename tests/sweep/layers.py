"""Seeded single layers as FIXED graphs with what numpy gives: every shape and value a kernel may meet, kept small."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.layers import Layer, Rescaled, add, avgpool, depthwise, lut, maxpool, other_layers, softmax
from benchmarks.layers import conv as float_conv
from benchmarks.layers import dense as float_dense
from tests.c import cases
from tinygen.errors import ModelError
from tinygen.ir.types import DType, Graph, Node, Port, Quant, Stage, Tensor
from tinygen.kernels.tile.pack import ODD_LIMIT
from tinygen.numerics import Array, choose_multipliers, int_type
from tinygen.ops import AvgPool, Conv, Dense, Insert, MaxPool, Mul, Operator, ReduceSum, Requantise, Unary
from tinygen.ops.base import Epilogue, bits_of, int_range
from tinygen.ops.recurrent import Recurrent
from tinygen.ops.spatial import Window
from tinygen.passes.quantise import quantise, range_tensors

Rng = np.random.Generator
SALT = 3
#: Weighted layers have accumulators up to this, always (NUMERICS section 1).
LIMIT = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Single:
    """A layer, its inputs by tensor, and its output in numpy (of the output's shape)."""

    seed: int
    family: str
    graph: Graph
    values: Mapping[str, Array]
    wanted: Array

    @property
    def name(self) -> str:
        return f"seed {self.seed}, {self.family}"


def single(seed: int) -> Single:
    """The layer of that seed. Families follow each other, so that any range of seeds has all of them."""
    family, make = FAMILIES[seed % len(FAMILIES)]
    rng = np.random.default_rng([seed, SALT])
    return with_values(seed, family, make(rng), rng)


def with_values(seed: int, family: str, graph: Graph, rng: Rng) -> Single:
    """A layer with random inputs and what numpy makes of them."""
    node = graph.nodes[0]
    assert isinstance(node.op, Operator)
    ins, outs = graph.ins(node), graph.outs(node)
    values = {t.name: integers(rng, t) for t in ins if t.const is None}
    arrays = [values[t.name][None] if t.const is None else t.array for t in ins]
    return Single(seed, family, graph, values, node.op.run_fixed(ins, arrays, outs)[0][0])


def integers(rng: Rng, t: Tensor) -> Array:
    """Mostly uniform; sometimes only extremes."""
    if bits_of(t) == 8:
        return cases.int8(rng, *t.shape)
    low, high = int_range(t)
    if rng.integers(5) == 0:
        return rng.choice(np.array([low, high]), t.shape).astype(int_type(bits_of(t)))
    return rng.integers(low, high + 1, t.shape).astype(int_type(bits_of(t)))


# ---- layers with weights, straight in integers ----


def fixed(op: Operator, x: tuple[int, ...], out: tuple[int, ...], f: Mapping[str, int], *constants: Array) -> Graph:
    """One node on int8 tensors, with the zero points of `f`. Scales mean nothing here."""
    tensors = [
        Tensor("x0", x, DType.INT8, Quant.per_tensor(1.0, f["in_zp"])),
        *(Tensor.constant(f"k{i}", a) for i, a in enumerate(constants)),
        Tensor("y", out, DType.INT8, Quant.per_tensor(1.0, f["out_zp"])),
    ]
    node = Node("layer", op, tuple(t.name for t in tensors[:-1]), ("y",), ("layer",))
    ports = (Port.plain("x0", x),), (Port.plain("y", out),)
    return Graph("layers", Stage.FIXED, {t.name: t for t in tensors}, (node,), ("x0",), ("y",), *ports)


def ends(rng: Rng, w: Array) -> tuple[dict[str, Any], Array, Array]:
    """(fields, bias, multipliers) for weights [out_c][...]: usual sums, or sums that just reach a limit of the packed
    kernels, or of int32; and channels that do not depend on the input."""
    f, b, m = cases.layer(rng, w[0].size, len(w))
    wide = w.reshape(len(w), -1).astype(np.int64)
    sign = rng.choice([-1, 1], len(w))
    kind = rng.integers(10)
    if rng.integers(5) > 1:  # outputs that tell sums apart
        f |= {"lo": -128, "hi": 127, "out_zp": int(rng.integers(-40, 41))}
    if kind == 0:
        b = (sign * (LIMIT - 256 * np.abs(wide).sum(axis=1))).astype(np.int32)
        m, f["shift"] = choose_multipliers(rng.uniform(0.01, 1.0, len(w)) * 2.0 ** -float(rng.integers(24, 28)))
    elif kind <= 2:
        most = np.maximum(wide * 127, wide * -128).sum(axis=1)
        least = np.minimum(wide * 127, wide * -128).sum(axis=1)
        folded = np.where(sign > 0, ODD_LIMIT - most, -ODD_LIMIT - least)
        b = (folded + f["in_zp"] * wide.sum(axis=1)).astype(np.int32)
        m, f["shift"] = choose_multipliers(rng.uniform(0.1, 1.0, len(w)) * 2.0 ** -float(rng.integers(15, 19)))
    elif kind == 3:
        w[rng.random(len(w)) < 0.5] = 0
    elif kind >= 6:
        m, f["shift"] = choose_multipliers(rng.uniform(0.2, 1.0, len(w)) / (60.0 * np.sqrt(w[0].size)))
    return f, b, m


def conv(rng: Rng, f: dict[str, Any], depthwise: bool = False, weights: Callable[..., Array] = cases.weights) -> Graph:
    """With the geometry `f`, in tests/c/cases.py's words; over one axis now and then where there is but one."""
    groups = f["in_c"] if depthwise else f["groups"]
    w = weights(rng, f["out_c"], f["k_h"], f["k_w"], f["in_c"] // groups)
    q, b, m = ends(rng, w)
    after = [
        max(0, (f[f"out_{a}"] - 1) * f[f"stride_{a}"] + (f[f"k_{a}"] - 1) * f[f"dil_{a}"] + 1 - f[f"in_{a}"] - pad)
        for a, pad in (("h", f["pad_top"]), ("w", f["pad_left"]))
    ]
    window = Window(
        (f["k_h"], f["k_w"]), (f["stride_h"], f["stride_w"]), (f["pad_top"], f["pad_left"], *after),
        (f["dil_h"], f["dil_w"]),
    )  # fmt: skip
    x: tuple[int, ...] = (1, f["in_h"], f["in_w"], f["in_c"])
    y: tuple[int, ...] = (1, f["out_h"], f["out_w"], f["out_c"])
    if f["in_h"] == f["k_h"] == f["out_h"] == 1 and rng.integers(2):
        window = Window(window.kernel[1:], window.strides[1:], window.pads[1::2], window.dilations[1:])
        x, y, w = (1, *x[2:]), (1, *y[2:]), w[:, 0]
    return fixed(Conv(window, groups, epilogue=Epilogue(q["shift"], q["lo"], q["hi"])), x, y, q, w, b, m)


def dense(rng: Rng, weights: Callable[..., Array] = cases.weights) -> Graph:
    c, _, _ = cases.dense_case(rng)
    if rng.integers(4) == 0:
        c["n_in"] = int(rng.integers(80, 700))
    w = weights(rng, c["n_out"], c["n_in"])
    q, b, m = ends(rng, w)
    op = Dense(epilogue=Epilogue(q["shift"], q["lo"], q["hi"]))
    return fixed(op, (1, c["rows"], c["n_in"]), (1, c["rows"], c["n_out"]), q, w, b, m)


def geometry(
    rng: Rng, size: tuple[int, int], k: tuple[int, int], s: tuple[int, int], d: tuple[int, int], most_pad: int
) -> dict[str, Any]:
    """Fields of a window over an image at least so large, with any paddings up to `most_pad`."""
    f: dict[str, Any] = {}
    for i, (axis, start) in enumerate((("h", "top"), ("w", "left"))):
        extent = (k[i] - 1) * d[i]
        before, after = (int(v) for v in rng.integers(0, min(extent, most_pad) + 1, 2))
        f[f"in_{axis}"] = max(size[i], extent + 1 - before - after, 1)
        f |= {f"k_{axis}": k[i], f"stride_{axis}": s[i], f"dil_{axis}": d[i], f"pad_{start}": before}
        f[f"out_{axis}"] = cases.out_size(f[f"in_{axis}"], k[i], s[i], d[i], before + after)
    return f


def pick(rng: Rng, *of: Any) -> Any:
    return of[int(rng.integers(len(of)))]


def between(rng: Rng, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def pointwise(rng: Rng) -> Graph:
    f, _ = cases.pointwise_case(rng)
    if rng.integers(4) == 0:
        f["in_c"] = between(rng, 70, 300)
    if rng.integers(3) == 0:
        f["out_h"], f["out_w"] = pick(rng, (3, 1), (1, 3), (3, 2), (2, 3), (3, 3), (1, 1), (1, 2), (7, 1))
        f["in_h"], f["in_w"] = f["out_h"], f["out_w"]
    if rng.integers(6) == 0:
        s = pick(rng, 2, 3)
        f["stride_h"] = f["stride_w"] = s
        f["out_h"], f["out_w"] = (f["in_h"] - 1) // s + 1, (f["in_w"] - 1) // s + 1
    return conv(rng, f)


def windows(rng: Rng) -> Graph:
    """Four pixels of a row or of a column whose windows overlap."""
    k = pick(rng, (3, 3), (3, 3), (5, 5), (1, 3), (3, 1), (2, 2), (5, 1), (1, 7), (4, 3))
    s = pick(rng, (1, 1), (1, 1), (2, 2), (1, 2), (2, 1))
    d = pick(rng, (1, 1), (1, 1), (1, 1), (2, 1), (1, 2))
    f = geometry(rng, (between(rng, 3, 9), between(rng, 4, 11)), k, s, d, 9)
    in_c = pick(rng, 4, 4, 8, 12, 16, 20, 32)
    return conv(rng, f | {"in_c": in_c, "out_c": between(rng, 1, 10), "groups": 1})


def winograd(rng: Rng) -> Graph:
    """Channels as the kernel takes them, or any, which are filled up."""
    f = geometry(rng, (between(rng, 4, 10), between(rng, 4, 10)), (3, 3), (1, 1), (1, 1), 1)
    whole = {"in_c": 8 * between(rng, 1, 8), "out_c": 2 * between(rng, 1, 3)}
    filled = {"in_c": between(rng, 4, 40), "out_c": between(rng, 1, 7)}
    return conv(rng, f | pick(rng, whole, filled) | {"groups": 1})


def first(rng: Rng) -> Graph:
    """From the few channels of an image or a signal, beside whose output a copy of the image is small."""
    k = pick(rng, (3, 3), (3, 3), (5, 5), (10, 4), (2, 2), (3, 1), (7, 3))
    s = pick(rng, (1, 1), (1, 1), (2, 2), (2, 1), (1, 3))
    f = geometry(rng, (between(rng, 6, 16), between(rng, 4, 14)), k, s, pick(rng, (1, 1), (1, 1), (2, 1), (1, 2)), 9)
    return conv(rng, f | {"in_c": between(rng, 1, 3), "out_c": between(rng, 6, 24), "groups": 1})


def planes(rng: Rng) -> Graph:
    s = pick(rng, 1, 1, 2)
    f = geometry(rng, (between(rng, 1, 13), between(rng, 1, 13)), (3, 3), (s, s), (1, 1), pick(rng, 1, 1, 2))
    c = between(rng, 2, 9)
    return conv(rng, f | {"in_c": c, "out_c": c}, depthwise=True)


def plane_rows(rng: Rng) -> Graph:
    k, long, across = between(rng, 2, 10), between(rng, 2, 30), between(rng, 1, 3)
    down = bool(rng.integers(2))
    size, kernel = ((long, across), (k, 1)) if down else ((across, long), (1, k))
    f = geometry(rng, size, kernel, (1, 1), (1, 1), pick(rng, 0, 2, 9))
    c = between(rng, 2, 8)
    return conv(rng, f | {"in_c": c, "out_c": c}, depthwise=True)


def signal(rng: Rng) -> Graph:
    """Over one axis."""
    k = (1, between(rng, 1, 9))
    f = geometry(rng, (1, between(rng, 1, 40)), k, (1, pick(rng, 1, 1, 2, 3)), (1, pick(rng, 1, 1, 2, 4)), 16)
    if rng.integers(3) == 0:
        c = between(rng, 2, 12)
        return conv(rng, f | {"in_c": c, "out_c": c * pick(rng, 1, 1, 2)}, depthwise=True)
    return conv(rng, f | {"in_c": between(rng, 1, 24), "out_c": between(rng, 1, 12), "groups": 1})


def grouped(rng: Rng) -> Graph:
    f, _ = cases.conv_case(rng, groups=between(rng, 2, 4))
    return conv(rng, f)


def few_values(rng: Rng, *shape: int) -> Array:
    """Weights of a codebook, or of few bits: kernels may store them as indices."""
    bits = between(rng, 1, 6)
    half = 1 << bits >> 1
    own = rng.integers(-128, 128, 1 << bits)
    return np.asarray(rng.choice(pick(rng, np.arange(-half, half), own), shape), np.int8)


def palette(rng: Rng) -> Graph:
    """With weights of few values, any window."""
    k = pick(rng, (1, 1), (1, 1), (3, 3), (3, 3), (5, 1), (1, 4), (2, 3))
    s, d = pick(rng, (1, 1), (1, 1), (2, 2), (1, 2)), pick(rng, (1, 1), (1, 1), (2, 1), (1, 2))
    f = geometry(rng, (between(rng, 1, 9), between(rng, 1, 9)), k, s, d, 3)
    in_c = pick(rng, 4, 8, 16, 24, between(rng, 1, 40))
    return conv(rng, f | {"in_c": in_c, "out_c": between(rng, 1, 14), "groups": 1}, weights=few_values)


# ---- the others, quantised with random ranges ----


def quantised(rng: Rng, make: Callable[[], Layer]) -> Graph:
    """With zero points at either end and between, and scales far from each other."""
    while True:
        layer = make()
        graph, ranges = layer.float_graph(), {}
        for name in range_tensors(graph):
            size = float(2.0 ** rng.uniform(-3, 3))
            low, high = pick(rng, (0.0, 1.0), (-1.0, 0.0), (-1.0, 1.0), (-0.3, 0.7))
            ranges[name] = (low * size, high * size)
        try:
            return quantise(graph, ranges, wide=layer.wide)
        except ModelError:  # a multiplier that tinygen refuses
            continue


def image(rng: Rng) -> tuple[int, int, int]:
    return between(rng, 1, 8), between(rng, 1, 8), between(rng, 1, 20)


def sums(rng: Rng) -> Graph:
    return quantised(rng, lambda: add(*image(rng), relu=bool(rng.integers(2))))


def pools(rng: Rng) -> Graph:
    h, w, c = image(rng)
    kind = rng.integers(4)
    if kind == 0:
        return quantised(rng, lambda: avgpool((h, w), c))
    if kind == 1:
        return quantised(rng, lambda: maxpool((h + 2, w + 2), c, (3, 3), (2, 2), same=True))
    k, s = (between(rng, 1, 4), between(rng, 1, 4)), (between(rng, 1, 3), between(rng, 1, 3))
    top, left, bottom, right = (between(rng, 0, n - 1) for n in (*k, *k))
    window = Window(k, s, (top, left, bottom, right), (1, 1))
    op = MaxPool(window) if kind == 2 else AvgPool(window, include_pad=bool(rng.integers(2)))
    return quantised(rng, lambda: Layer("pool", op, ((1, h + k[0], w + k[1], c),)))


def elementwise(rng: Rng) -> Graph:
    h, w, c = image(rng)
    x = (1, h, w, c)
    kind = rng.integers(5)
    if kind == 0:
        return quantised(rng, lambda: lut(h * w * c))
    if kind <= 2:
        return quantised(rng, lambda: Layer("mul", Mul(lo=pick(rng, 0.0, -math.inf)), (x, x if kind == 1 else (c,))))
    axes = (1, 2) if kind == 3 else (3,)
    return quantised(rng, lambda: Layer("reduce", ReduceSum(axes, mean=bool(rng.integers(2))), (x,)))


def others(rng: Rng) -> Graph:
    """One of every other operator, but for those with several outputs: tests/c/test_recurrent.py sweeps theirs."""

    def make() -> Layer:
        h, w, c = image(rng)
        made = other_layers(random.Random(int(rng.integers(2**32))), h + 1, w + 1, c)
        few = [softmax(c + 1, h), *(layer for layer in made if not isinstance(layer.op, Recurrent))]
        return few[int(rng.integers(len(few)))]

    return quantised(rng, make)


def wides(rng: Rng) -> Graph:
    """One of every operator with int16 inputs, and most with an int16 output; again but for those with several."""

    def make() -> Layer:
        h, w, c = image(rng)
        made = other_layers(random.Random(int(rng.integers(2**32))), h + 2, w + 2, c)
        weighted = (float_conv((h + 2, w + 2), (c, between(rng, 1, 9))), float_dense(c * w, between(rng, 1, 12)))
        simple = (depthwise((h + 2, w + 2), c), add(h, w, c), avgpool((h, w), c), softmax(c + 1, h))
        convert = Layer("convert", Unary("x"), ((1, h * w * c),))
        others = [x for x in made if x.op.takes_int16() and not isinstance(x.op, Recurrent)]
        layer = pick(rng, convert, *(pick(rng, *some) for some in (weighted, weighted, simple, simple, *3 * [others])))
        names = layer.float_graph().inputs[: 2 if isinstance(layer.op, Insert) else None]  # not where it goes
        if layer is convert:
            return replace(layer, wide=pick(rng, ("x0",), ("y",), ("x0", "y")))
        return replace(layer, wide=names if layer.op.narrows and rng.integers(3) == 0 else (*names, "y"))

    if rng.integers(20) == 0:
        ends = pick(rng, (16, 24), (24, 16))
        return Rescaled("rescale", Requantise(), ((1, between(rng, 1, 200)),), ends=ends).graph()
    return quantised(rng, make)


FAMILIES: tuple[tuple[str, Callable[[Rng], Graph]], ...] = (
    ("convolution", lambda rng: conv(rng, cases.conv_case(rng)[0])),
    ("pointwise", pointwise),
    ("windows", windows),
    ("Winograd", winograd),
    ("first layer", first),
    ("depthwise", lambda rng: conv(rng, cases.dwconv_case(rng)[0], depthwise=True)),
    ("depthwise 3x3", planes),
    ("depthwise row", plane_rows),
    ("signal", signal),
    ("grouped", grouped),
    ("dense", dense),
    ("add", sums),
    ("element-wise", elementwise),
    ("pool", pools),
    ("other", others),
    ("other", others),
    ("int16", wides),
    ("pointwise", pointwise),
    ("windows", windows),
    ("int16", wides),
    ("palette", palette),
    ("palette, dense", lambda rng: dense(rng, few_values)),
)
