"""What each pass does, and what it must leave alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from onnx import ModelProto

from tests.emit.nets import NETS, Net
from tests.passes.graphs import ONNX, PATTERNS, assert_same, graph, hard_swish, names, ops, read
from tinygen.ir import invariants
from tinygen.ir.types import Graph, Node, Port, Quant, Stage, Tensor
from tinygen.ops import (
    Add,
    AvgPool,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Expand,
    Extreme,
    LogSoftmax,
    LogSumExp,
    MaxPool,
    Mul,
    Operator,
    Pad,
    ReduceL2,
    ReduceSum,
    Reshape,
    Slice,
    Softmax,
    Transpose,
    Unary,
)
from tinygen.ops.spatial import Window
from tinygen.ops.unary import clamp_of, evaluate, peel
from tinygen.passes import absorb_pins, affine, canonical, fold_scale, fuse_clamp, fuse_pad, layout
from tinygen.passes.base import Pass, apply
from tinygen.passes.pipeline import tidy
from tinygen.passes.quantise import quantise, wide_tensors

INF = math.inf


def tidied(model: ModelProto) -> Graph:
    before = read(model)
    after = tidy(before)
    assert_same(before, after, 2e-5)
    return after


def after(p: Pass, model: ModelProto, *, first: tuple[Pass, ...] = (layout.PASS,)) -> Graph:
    """The graph after the passes `first` and `p`."""
    before = read(model)
    result = before
    for q in (*first, p):
        result = apply(q, result)
    assert_same(before, result, 2e-5)
    return result


# --- fold_scale ------------------------------------------------------------------------------------------------------


def constant_and_layer(kind: str, constant_first: bool, layer: str) -> ModelProto:
    n = Net(20)
    x = n.input("x", 1, 3, 4, 4)
    if layer == "conv":
        y = n.conv(x, 3, 5, (2, 2))
    elif layer == "depthwise":
        y = n.conv(x, 3, 6, (2, 2), groups=3)
    else:
        y = n.op("ConvTranspose", x, n.weight(3, 5, 2, 2), n.weight(5), strides=[2, 2])
    channels = 6 if layer == "depthwise" else 5
    k = n.const(n.rng.uniform(0.5, 2.0, (1, channels, 1, 1)) * np.resize([1, -1], (1, channels, 1, 1)))
    y = n.op(kind, *((k, y) if constant_first else (y, k)))
    return n.model(n.op("Relu", y))


@pytest.mark.parametrize("layer", ["conv", "depthwise", "transposed"])
@pytest.mark.parametrize(
    ("kind", "constant_first"),
    [("Mul", False), ("Mul", True), ("Add", False), ("Sub", False), ("Sub", True), ("Div", False)],
)
def test_scale_and_offset_fold(kind: str, constant_first: bool, layer: str) -> None:
    """conv * k, k * conv, conv + k, conv - k, k - conv, conv / k: one layer remains, with the clamp behind it."""
    g = tidied(constant_and_layer(kind, constant_first, layer))
    (node,) = g.nodes
    assert isinstance(node.op, Conv | ConvTranspose)
    assert (node.op.lo, node.op.hi) == (0.0, INF)
    assert any(kind in o for o in node.origin)


def test_scale_is_not_folded_through_a_clamp_or_a_second_reader() -> None:
    n = Net(21)
    y = n.op("Relu", n.conv(n.input("x", 1, 3, 4, 4), 3, 4, (1, 1)))
    k = n.const(n.rng.uniform(0.5, 2.0, (1, 4, 1, 1)))
    g = after(fold_scale.PASS, n.model(n.op("Mul", y, k)), first=(layout.PASS, fuse_clamp.PASS))
    assert names(g) == ["Conv", "Mul"]
    n = Net(22)
    y = n.conv(n.input("x", 1, 3, 4, 4), 3, 4, (1, 1))
    k = n.const(n.rng.uniform(0.5, 2.0, (1, 4, 1, 1)))
    g = after(fold_scale.PASS, n.model(n.op("Mul", y, k), n.op("Tanh", y)))
    assert names(g).count("Mul") == 1


def test_constant_that_is_not_one_for_each_channel_stays() -> None:
    n = Net(23)
    y = n.conv(n.input("x", 1, 3, 4, 4), 3, 4, (1, 1))
    g = after(fold_scale.PASS, n.model(n.op("Add", y, n.weight(1, 1, 4, 4))))
    assert names(g) == ["Conv", "Add"]


def test_constant_that_broadcasts_the_layer_stays() -> None:
    """(1, 1) + (1, 5) is wider than the layer: the layer cannot take it."""
    n = Net(24)
    y = n.dense(n.input("x", 1, 3), 3, 1)
    g = tidied(n.model(n.op("Add", y, n.weight(1, 5))))
    assert names(g)[0] == "Dense"
    assert g.tensors[g.outputs[0]].shape == (1, 5)


# --- fuse_clamp ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expr", "bounds"),
    [
        ("x", (-INF, INF)),
        (("Max", "x", 0.0), (0.0, INF)),
        (("Min", ("Max", "x", 0.0), 6.0), (0.0, 6.0)),
        (("Max", 0.0, ("Min", 6.0, "x")), (0.0, 6.0)),
        (("Min", ("Max", "x", 3.0), 1.0), (1.0, 1.0)),
        (("Tanh", "x"), None),
        (("Max", "x", "x"), None),
        (("Max", ("Neg", "x"), 0.0), None),
    ],
)
def test_clamp_of(expr: object, bounds: tuple[float, float] | None) -> None:
    assert clamp_of(expr) == bounds  # type: ignore[arg-type]
    if bounds is not None:
        x = np.linspace(-9, 9, 37)
        np.testing.assert_array_equal(evaluate(expr, x), np.clip(x, *bounds))  # type: ignore[arg-type]


def clamped(*clips: tuple[float, float], pool: bool = False) -> Graph:
    n = Net(25)
    x = n.conv(n.input("x", 1, 2, 6, 6), 2, 3, (3, 3))
    for i, (lo, hi) in enumerate(clips):
        if pool and i == 0:
            x = n.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        x = n.op("Clip", x, "" if lo == -INF else n.const(lo), "" if hi == INF else n.const(hi))
    return tidied(n.model(x))


@pytest.mark.parametrize(
    ("clips", "bounds"),
    [
        ([(0, INF), (-INF, 6)], (0, 6)),
        ([(0, INF), (0, 6)], (0, 6)),
        ([(0, 6), (0, INF)], (0, 6)),
        ([(-1, 1), (0.5, 3)], (0.5, 1)),
        ([(0, 1), (2, 3)], (2, 2)),
        ([(2, 3), (0, 1)], (1, 1)),
    ],
)
def test_clamps_on_clamps(clips: list[tuple[float, float]], bounds: tuple[float, float]) -> None:
    """Relu6 over Relu and the like: the intersection; where there is none, the nearer edge of the later clamp."""
    (conv,) = ops(clamped(*clips))
    assert isinstance(conv, Conv)
    assert (conv.lo, conv.hi) == bounds


def test_clamp_moves_in_front_of_a_pool() -> None:
    conv, pool = ops(clamped((0, INF), (0, 6), pool=True))
    assert isinstance(conv, Conv)
    assert isinstance(pool, MaxPool)
    assert (conv.lo, conv.hi) == (0, 6)


def test_clamp_on_an_input_or_behind_two_readers_becomes_a_table() -> None:
    n = Net(26)
    x = n.input("x", 1, 4)
    assert names(tidied(n.model(n.op("Relu", x)))) == ["Unary"]
    n = Net(27)
    y = n.dense(n.input("x", 1, 4), 4, 4)
    assert sorted(names(tidied(n.model(n.op("Relu", y), n.op("Tanh", y))))) == ["Dense", "Unary", "Unary"]


# --- fuse_pad --------------------------------------------------------------------------------------------------------


def padded(kind: str, around: list[int], value: float = 0.0, **attributes: object) -> Graph:
    n = Net(28)
    x = n.op("Pad", n.input("x", 1, 3, 6, 5), n.const(around, "int64"), n.const(value))
    if kind == "Conv":
        y = n.conv(x, 3 + around[1] + around[5], 2, (3, 3), **attributes)
    else:
        y = n.op(kind, x, kernel_shape=[3, 3], **attributes)
    return tidied(n.model(y))


HALF = [0, 0, 1, 0, 0, 0, 2, 1]


def test_zero_pad_joins_a_convolution() -> None:
    (conv,) = ops(padded("Conv", HALF, pads=[1, 1, 0, 0]))
    assert isinstance(conv, Conv)
    assert conv.window.pads == (2, 1, 2, 1)


@pytest.mark.parametrize("include", [0, 1])
def test_zero_pad_joins_an_average_that_then_counts_it(include: int) -> None:
    (pool,) = ops(padded("AveragePool", HALF, count_include_pad=include))
    assert isinstance(pool, AvgPool)
    assert pool.window.pads == (1, 0, 2, 1)
    assert pool.include_pad


@pytest.mark.parametrize(
    ("kind", "around", "value", "attributes"),
    [
        ("Conv", HALF, 0.5, {}),
        ("Conv", [0, 1, 0, 0, 0, 0, 0, 0], 0.0, {}),
        ("MaxPool", HALF, 0.0, {}),
        ("AveragePool", [0, 0, 1, 0, 0, 0, 0, 1], 0.0, {"pads": [1, 1, 1, 1], "count_include_pad": 0}),
    ],
    ids=["other value", "channels", "maximum", "average that ignores its own padding"],
)
def test_pads_that_stay(kind: str, around: list[int], value: float, attributes: dict[str, object]) -> None:
    assert names(padded(kind, around, value, **attributes))[0] == "Pad"


def test_pad_wider_than_a_pool_stays() -> None:
    """A window that lies in the padding alone is no pool for ONNX."""
    x, middle, y = Tensor("x", (1, 4, 4, 2)), Tensor("p", (1, 6, 6, 2)), Tensor("y", (1, 3, 3, 2))
    nodes = (
        Node("pad", Pad((0, 2, 2, 0, 0, 0, 0, 0)), ("x",), ("p",)),
        Node("pool", AvgPool(Window((2, 2), (2, 2), (0,) * 4, (1, 1))), ("p",), ("y",)),
    )
    g = float_graph([x, middle, y], nodes)
    assert apply(fuse_pad.PASS, g) is g


# --- collapse_unary --------------------------------------------------------------------------------------------------


def activation(kind: str) -> ModelProto:
    n = Net(29)
    x = n.dense(n.input("x", 1, 6), 6, 8)
    if kind == "hardswish":
        y = hard_swish(n, x)
    elif kind == "hardswish by hardsigmoid":
        y = n.op("Mul", x, n.op("HardSigmoid", x, alpha=1 / 6, beta=0.5))
    elif kind == "gelu":
        erf = n.op("Erf", n.op("Mul", x, n.const(2**-0.5)))
        y = n.op("Mul", n.op("Mul", n.const(0.5), x), n.op("Add", n.const(1.0), erf))
    elif kind == "gelu by tanh":
        cube = n.op("Mul", n.op("Mul", x, x), x)
        inner = n.op("Mul", n.op("Add", x, n.op("Mul", cube, n.const(0.044715))), n.const(0.79788456))
        y = n.op("Mul", n.op("Mul", x, n.const(0.5)), n.op("Add", n.op("Tanh", inner), n.const(1.0)))
    elif kind == "swish":
        y = n.op("Mul", n.op("Sigmoid", x), x)
    elif kind == "mish":
        y = n.op("Mul", x, n.op("Tanh", n.op("Softplus", x)))
    elif kind == "leaky relu by Max":
        y = n.op("Max", n.op("Mul", x, n.const(0.2)), x)
    elif kind == "softsign by hand":
        y = n.op("Mul", x, n.op("Reciprocal", n.op("Add", n.op("Abs", x), n.const(1.0))))
    else:
        y = n.op("Sqrt", n.op("Add", n.op("Pow", x, n.const(2.0)), n.const(1e-3)))
    return n.model(n.dense(y, 8, 3))


@pytest.mark.parametrize(
    "kind",
    [
        "hardswish",
        "hardswish by hardsigmoid",
        "gelu",
        "gelu by tanh",
        "swish",
        "mish",
        "leaky relu by Max",
        "softsign by hand",
        "norm",
    ],
)
def test_functions_of_one_value_become_one_table(kind: str) -> None:
    g = tidied(activation(kind))
    assert names(g) == ["Dense", "Unary", "Dense"]
    assert len(g.nodes[1].origin) >= 2


def test_functions_of_two_values_stay_two() -> None:
    """A gate: sigmoid(a) * tanh(b) depends on two tensors."""
    n = Net(30)
    x = n.input("x", 1, 4)
    a, b = n.dense(x, 4, 5), n.dense(x, 4, 5)
    g = tidied(n.model(n.op("Mul", n.op("Sigmoid", a), n.op("Tanh", b))))
    assert sorted(names(g)) == ["Dense", "Dense", "Mul", "Unary", "Unary"]


# --- canonical, affine -----------------------------------------------------------------------------------------------


def test_pool_over_the_whole_plane_is_a_mean() -> None:
    n = Net(31)
    x = n.op("AveragePool", n.input("x", 1, 3, 4, 5), kernel_shape=[4, 5])
    assert [type(o) for o in ops(tidied(n.model(x)), ReduceSum, AvgPool)] == [ReduceSum]


def test_convolution_of_one_pixel_is_a_dense_layer() -> None:
    n = Net(32)
    x = n.op("Relu", n.conv(n.input("x", 1, 3, 4, 5), 3, 6, (4, 5)))
    g = tidied(n.model(n.op("Flatten", n.conv(x, 6, 2, (1, 1)))))
    assert len(ops(g, Dense)) == 2
    assert ops(g, Conv) == []
    assert ops(g, Transpose) == []


def test_reshapes_merge() -> None:
    n = Net(33)
    x = n.dense(n.input("x", 1, 4), 4, 12)
    for shape in ([1, 3, 4], [1, 2, 6], [3, 4], [1, 12]):
        x = n.op("Reshape", x, n.const(shape, "int64"))
    assert names(tidied(n.model(n.dense(x, 12, 2)))) == ["Dense", "Dense"]


def test_scale_that_no_layer_takes_is_a_depthwise_convolution() -> None:
    """A BatchNorm behind a pool, in front of a padded convolution."""
    n = Net(37)
    x = n.op("MaxPool", n.input("x", 1, 3, 5, 4), kernel_shape=[2, 2])
    x = n.op("Relu", n.bn(x, 3))
    g = tidied(n.model(n.conv(x, 3, 2, (3, 3), pads=[1] * 4)))
    _, scale, conv = ops(g)
    assert isinstance(scale, Conv)
    assert (scale.groups, scale.window.kernel, scale.lo) == (3, (1, 1), 0.0)
    assert isinstance(conv, Conv)
    assert apply(affine.PASS, g) is g


def test_equal_scales_are_no_convolution() -> None:
    n = Net(34)
    g = tidied(n.model(n.op("Mul", n.input("x", 1, 3, 4, 4), n.const([[[0.5]]] * 3))))
    assert ops(g, Conv) == []


# --- layout ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ONNX)
def test_no_transpose_is_left(name: str) -> None:
    """Residual, squeeze and excite, flatten into dense, decoder, concatenation, 1-D, channels-last ends."""
    assert ops(tidy(graph(name)), Transpose) == []


def test_ports_take_the_layout_over() -> None:
    """An image input in NCHW arrives as NHWC; one that is NHWC in ONNX arrives as it is."""
    g = tidy(graph("residual"))
    assert (g.in_ports[0].shape, g.in_ports[0].perm) == ((1, 3, 8, 8), (0, 2, 3, 1))
    g = tidy(graph("unet"))
    assert (g.in_ports[0].shape, g.in_ports[0].perm) == ((1, 8, 8, 2), (0, 1, 2, 3))
    assert (g.out_ports[0].shape, g.out_ports[0].perm) == ((1, 8, 8, 3), (0, 1, 2, 3))


def test_transpose_that_must_stay_stays() -> None:
    """A real matrix transposition between two dense layers is no matter of layout."""
    n = Net(35)
    x = n.op("MatMul", n.input("x", 1, 4, 5), n.weight(5, 6))
    x = n.op("MatMul", n.op("Transpose", x, perm=[0, 2, 1]), n.weight(4, 3))
    g = tidied(n.model(x))
    assert [type(o) for o in ops(g)] == [Dense, Transpose, Dense]


@pytest.mark.parametrize("shared", [False, True])
def test_input_read_by_two_layouts(shared: bool) -> None:
    """One reader wants channels last, the other the flat ONNX order: values are right, and the pass comes to rest."""
    n = Net(36)
    x = n.input("x", 1, 3, 4, 4)
    a = n.op("Flatten", n.op("GlobalAveragePool", n.conv(x, 3, 4, (3, 3))))
    b = n.dense(n.op("Flatten", x), 48, 4)
    if shared:
        b = n.op("Add", b, n.op("Flatten", n.op("ReduceMax", n.conv(x, 3, 4, (1, 1)), axes=[2, 3])))
    tidied(n.model(n.op("Add", a, b)))


# --- absorb_pins -----------------------------------------------------------------------------------------------------

A, B = Quant.per_tensor(0.05, 3), Quant.per_tensor(0.1, -7)


def float_graph(tensors: list[Tensor], nodes: tuple[Node, ...], outputs: tuple[str, ...] = ("y",)) -> Graph:
    by_name = {t.name: t for t in tensors}
    g = Graph(
        "pins", Stage.FLOAT, by_name, nodes, ("x",), outputs, (Port.plain("x", by_name["x"].shape),),
        tuple(Port.plain(o, by_name[o].shape) for o in outputs),
    )  # fmt: skip
    invariants.check(g)
    return g


def pinned(
    inner: Quant | None, outer: Quant | None, op: Operator | None = None, outputs: tuple[str, ...] = ("y",)
) -> Graph:
    """x, an operator into h (pinned to `inner`), a requantisation into r (pinned to `outer`), tanh into y."""
    shape = (1, 4)
    tensors = [
        *(Tensor("x", shape, quant=A), Tensor("h", shape, quant=inner)),
        *(Tensor("r", shape, quant=outer), Tensor("y", shape, quant=B)),
    ]
    return float_graph(
        tensors,
        (
            Node("op", op or Unary(("Sin", "x"), "sin"), ("x",), ("h",), ("/op",)),
            Node("requantise", Unary("x", "requantise"), ("h",), ("r",), ("/q",)),
            Node("tanh", Unary(("Tanh", "x"), "tanh"), ("r",), ("y",), ("/tanh",)),
        ),
        outputs,
    )


def test_producer_writes_the_pinned_tensor() -> None:
    g = apply(absorb_pins.PASS, pinned(None, B))
    assert names(g) == ["Unary", "Unary"]
    assert g.nodes[0].outputs == ("r",)
    assert g.tensors["r"].quant == B
    assert g.nodes[0].origin == ("/op", "/q")


def test_agreeing_pins_are_one() -> None:
    g = apply(absorb_pins.PASS, pinned(B, B))
    assert len(g.nodes) == 2
    assert g.tensors[g.nodes[0].outputs[0]].quant == B


def test_disagreeing_pins_keep_a_table_between() -> None:
    before = pinned(A, B)
    g = apply(absorb_pins.PASS, before)
    assert g is before
    fixed = quantise(g, {})
    table = fixed.tensors[fixed.nodes[1].inputs[1]].array
    codes = np.arange(-128, 128)
    want = np.clip(np.rint((codes - 3) * 0.05 / 0.1) - 7, -128, 127)
    assert np.abs(table - want).max() <= 1  # ties of .5 may round either way in binary
    assert (fixed.tensors["h"].quant, fixed.tensors["r"].quant) == (A, B)


def test_pin_of_a_tensor_with_other_readers_stays_apart() -> None:
    """h is also an output of the network, in a scale of its own choosing."""
    g = apply(absorb_pins.PASS, pinned(None, B, outputs=("y", "h")))
    assert len(g.nodes) == 3
    assert g.tensors["h"].quant is None


def test_peel() -> None:
    inner = ("Max", "x", ("Mul", "x", 0.1))
    for expr, bounds in (
        (("Min", ("Max", inner, -1.0), 2.0), (-1.0, 2.0)),
        (("Max", ("Min", inner, 2.0), -1.0), (-1.0, 2.0)),
        (("Max", ("Min", inner, -3.0), -1.0), (-1.0, -1.0)),
        (inner, (-math.inf, math.inf)),
    ):
        found, ends = peel(expr)
        x = np.linspace(-20.0, 20.0, 101)
        assert found == inner
        assert ends == bounds
        assert np.array_equal(np.clip(evaluate(found, x), *ends), evaluate(expr, x))


def test_operator_with_a_scale_of_its_own_keeps_it() -> None:
    """Softmax gives 1/256: another pin behind it is met from int16, rounded once more; the same pin is nothing."""
    own = Softmax().fixed_quant()
    assert own is not None
    for pin, kinds in ((own, ["Softmax", "Unary"]), (B, ["Requantise", "Softmax", "Requantise", "Unary"])):
        g = apply(absorb_pins.PASS, pinned(None, pin, Softmax()))
        assert names(g) == ["Softmax", "Unary"]
        fixed = quantise(g, {})
        assert names(fixed) == kinds
        assert fixed.tensors["r"].quant == pin


def test_pinned_tensors_are_not_looked_through() -> None:
    """A pin in the middle of a chain is a rounding that the model asked for: no pass may remove it."""
    g = pinned(A, A)
    g = apply(absorb_pins.PASS, g)
    kept = tidy(g)
    assert [t.quant for t in kept.tensors.values()] == [A, A, B]
    free = tidy(replace(g, tensors={n: replace(t, quant=None) for n, t in g.tensors.items()}))
    assert len(free.nodes) == 1


# --- log_sum_exp ------------------------------------------------------------------------------------------------------


def test_logarithms_of_exponentials_become_one_operator() -> None:
    done = tidied(PATTERNS["logarithms"]())
    assert len(ops(done, LogSumExp)) == 2
    assert len(ops(done, LogSoftmax)) == 2
    assert not ops(done, Softmax, ReduceSum)
    left = [n.op for n in done.nodes if isinstance(n.op, Unary)]
    assert not any("Exp" in repr(op.expr) or "Log" in repr(op.expr) for op in left)


def test_exponentials_that_others_read_stay() -> None:
    n = Net(1)
    e = n.op("Exp", n.input("x", 1, 6))
    done = tidied(n.model(n.op("Log", n.op("ReduceSum", e, n.const([1], "int64"))), e))
    assert not ops(done, LogSumExp)
    mean = Net(1)
    y = mean.op("Log", mean.op("ReduceMean", mean.op("Exp", mean.input("x", 1, 6)), axes=[1]))
    assert not ops(tidied(mean.model(y)), LogSumExp)


# --- lengths ----------------------------------------------------------------------------------------------------------


def test_roots_of_sums_of_squares_become_one_operator() -> None:
    done = tidied(PATTERNS["lengths"]())
    assert len(ops(done, ReduceL2)) == 3
    assert not ops(done, Add, Mul, ReduceSum, Slice)  # the halves of a spectrum are seen as two rows, not cut apart
    assert len(ops(done, Concat)) == 1


@pytest.mark.parametrize("around", ["difference", "moments", "zero"])
def test_standard_deviations_are_lengths(around: str) -> None:
    """Of x - mean, however it is written; a mean that is there is read. E[x^2] - E[x]^2 in int8 would lose both."""
    n = Net(3)
    x = n.input("x", 1, 4, 6)
    mean = n.op("ReduceMean", x, axes=[2])
    if around == "moments":
        means = n.op("ReduceMean", n.op("Mul", x, x), axes=[2])
        var = n.op("Sub", means, n.op("Mul", mean, mean))
    else:
        d = n.op("Sub", x, mean) if around == "difference" else x
        var = n.op("ReduceMean", n.op("Mul", d, d), axes=[2])
    inverse = n.op("Reciprocal", n.op("Sqrt", n.op("Add", var, n.const(1e-3))))
    done = tidied(n.model(mean, inverse))
    assert len(ops(done, ReduceL2)) == len(ops(done, ReduceSum)) == len(ops(done, Unary)) == 1
    assert len(ops(done, Add)) == (around != "zero")
    assert not ops(done, Mul)


def test_a_square_that_is_clamped_is_none() -> None:
    n = Net(2)
    x = n.input("x", 1, 6)
    clamped = n.op("Clip", n.op("Mul", x, x), n.const(0.0), n.const(0.25))
    done = tidied(n.model(n.op("Sqrt", n.op("ReduceSum", clamped, n.const([1], "int64")))))
    assert not ops(done, ReduceL2)


def test_squares_that_others_read_stay() -> None:
    n = Net(1)
    square = n.op("Mul", n.input("x", 1, 6), "x")
    done = tidied(n.model(n.op("Sqrt", n.op("ReduceSum", square, n.const([1], "int64"))), square))
    assert not ops(done, ReduceL2)
    for sign, a in (("Sub", "Mul"), ("Add", "Abs")):
        other = Net(1)
        x, y = other.input("x", 1, 6), other.input("y", 1, 6)
        first = other.op("Mul", x, x) if a == "Mul" else other.op("Abs", x)
        done = tidied(other.model(other.op("Sqrt", other.op(sign, first, other.op("Mul", y, y)))))
        assert not ops(done, ReduceL2)


# --- ties ------------------------------------------------------------------------------------------------------------


def test_constant_does_not_tie() -> None:
    """Two maxima with one constant keep a scale each, and a floor far below what wins costs no precision."""
    k = Tensor.constant("k", np.array([[0.5, -1e9]], np.float32))
    tensors = [Tensor("x", (1, 2)), k, Tensor("a", (1, 2)), Tensor("b", (1, 2)), Tensor("y", (1, 2))]
    g = float_graph(
        tensors,
        (
            Node("max", Extreme(), ("x", "k"), ("a",)),
            Node("double", Unary(("Mul", "x", 2.0), "double"), ("a",), ("b",)),
            Node("again", Extreme(), ("k", "b"), ("y",)),
        ),
    )
    fixed = quantise(g, {"x": (-1.0, 1.0), "a": (-1.0, 1.0), "b": (-2.0, 2.0), "y": (-2.0, 2.0)})
    for name, top in (("a", 1.0), ("y", 2.0)):
        quant = fixed.tensors[name].quant
        assert quant is not None
        assert quant.s == pytest.approx(2 * top / 255, rel=0.01)


# --- names -----------------------------------------------------------------------------------------------------------


def test_every_pattern_is_a_golden_graph() -> None:
    assert set(PATTERNS) | set(NETS) == set(ONNX)
    assert all(ops(graph(n), Conv, Dense, Unary, Mul, Add, Reshape) for n in ONNX)
    assert canonical.PASS.name == "canonical"


def test_what_names_a_shape_does_not_pass_a_reshape() -> None:
    """An Expand that repeats nothing works on each element, but in one shape alone."""
    x, t, flat, y = (Tensor(n, s) for n, s in (("x", (1, 3, 4)), ("t", (1, 4, 3)), ("flat", (1, 12)), ("y", (1, 12))))
    nodes = (
        Node("t", Transpose((0, 2, 1)), ("x",), ("t",)),
        Node("flat", Reshape((1, 12)), ("t",), ("flat",)),
        Node("y", Expand((1, 12)), ("flat",), ("y",)),
    )
    ports = (Port.plain("x", x.shape),), (Port.plain("y", y.shape),)
    before = Graph("g", Stage.FLOAT, {v.name: v for v in (x, t, flat, y)}, nodes, ("x",), ("y",), *ports)
    assert_same(before, apply(layout.PASS, before), 0.0)


# --- widths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "gated"), [(3, True), (2, True), (4, False)])
def test_what_steps_hand_on_through_gates_is_int16(steps: int, gated: bool) -> None:
    """An error of half a step goes on into all later steps; residual blocks are no such thing."""
    n = Net(9)
    h = n.op("Add", n.input("a", 1, 6), n.input("b", 1, 6))
    for i in range(steps - 1):
        kept = n.op("Mul", h, n.input(f"gate{i}", 1, 6)) if gated else n.op("Relu", n.dense(h, 6, 6))
        h = n.op("Add", n.op("Reshape", kept, n.const([1, 6], "int64")), n.input(f"new{i}", 1, 6) if gated else h)
    wide = wide_tensors(tidied(n.model(n.op("Relu", n.dense(h, 6, 2)))))
    assert len(wide) == 2 * steps - 1 if gated and steps > 2 else not wide
