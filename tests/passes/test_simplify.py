"""Lossless simplification: the same bits, and exactly what has no effect is gone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from onnx import ModelProto

from tests.emit.nets import Net
from tests.passes.fixed import extremes, fixed_graph, spoil
from tests.passes.graphs import ONNX, graph, names, read
from tinygen import simulate
from tinygen.ir import invariants
from tinygen.ir.types import Graph, Tensor
from tinygen.ops import Conv, Dense
from tinygen.passes.base import apply
from tinygen.passes.simplify import PASS, STEADY_MULTIPLIER, largest_sums, size_of


def assert_same_bits(before: Graph, after: Graph, count: int = 12) -> None:
    inputs = extremes(before, count)
    for want, got in zip(simulate.run(before, inputs), simulate.run(after, inputs), strict=True):
        assert np.array_equal(want, got)


def simplified(before: Graph) -> Graph:
    after = apply(PASS, before)
    invariants.check(after)
    assert_same_bits(before, after)
    assert apply(PASS, after) is after
    return after


def widths(g: Graph) -> dict[str, int]:
    """Output channels of the layers with weights, by ONNX name."""
    return {n.origin[0]: g.outs(n)[0].shape[-1] for n in g.nodes if isinstance(n.op, Conv | Dense)}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("name", ONNX)
def test_bits_stay(name: str, share: float, seed: int) -> None:
    before = spoil(fixed_graph(graph(name)), share, seed)
    after = simplified(before)
    a, b = size_of(before), size_of(after)
    assert b.macs <= a.macs
    assert b.weights <= a.weights
    if share == 0.8 and a.channels > 20 and name != "several":  # the others are nearly all ports
        assert b.channels < a.channels
    assert all(bound < 2**31 for bound in largest_sums(after).values())
    assert [p.shape for p in after.out_ports] == [p.shape for p in before.out_ports]


@pytest.mark.parametrize("wide", [0.0, 1.0])
def test_channels_that_a_recurrent_layer_has_no_weight_for(wide: float) -> None:
    """A column of W that is zero in both directions takes the channel with it that it would read."""
    n, rng = Net(44), np.random.default_rng(44)
    w, r = (rng.uniform(-0.6, 0.6, (2, 18, k)).astype(np.float32) for k in (5, 6))
    w[:, :, [1, 3]] = 0.0
    x = n.op("MatMul", n.input("x", 4, 1, 3), n.weight(3, 5))
    y = n.op("GRU", x, n.const(w), n.const(r), hidden_size=6, direction="bidirectional")
    before = fixed_graph(read(n.model(y)), wide=wide)
    after = simplified(before)
    assert [size_of(g).weights for g in (before, after)] == [15 + w.size + r.size, 9 + 2 * 18 * 3 + r.size]


def separable(pads: int = 1) -> ModelProto:
    """Pointwise, depthwise and dense layers, each with a Relu where there is none."""
    n = Net(41)  # no channel is dead by chance
    x = n.op("Relu", n.conv(n.input("x", 1, 3, 6, 6), 3, 8, (3, 3), pads=[1] * 4, name="/a/Conv"))
    x = n.op("Relu", n.conv(x, 8, 8, (3, 3), groups=8, pads=[pads] * 4, name="/d/Conv"))
    x = n.op("Relu", n.conv(x, 8, 6, (1, 1), name="/p/Conv"))
    x = n.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    size = 3 if pads else 2
    return n.model(n.dense(n.op("Flatten", x), 6 * size * size, 4, name="/head/Gemm"))


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("name", ONNX)
def test_int16_among_int8(name: str, share: float) -> None:
    before = spoil(fixed_graph(graph(name), wide=0.5), share)
    after = simplified(before)
    assert all(bound < 2**31 for bound in largest_sums(after).values())


def fixed_with(model: ModelProto, *dead: tuple[str, list[int], float]) -> Graph:
    """Quantised first, then the biases in the accumulators' own unit: ranges stay those of a healthy network."""
    g = fixed_graph(read(model))
    for name, channels, sign in dead:
        node = next(n for n in g.nodes if name in n.origin)
        bias = g.tensors[node.inputs[2]].array.copy()
        bias[channels] = sign * 2**30
        g = g.with_(tensors=[Tensor.constant(node.inputs[2], bias)])
    return g


def test_nothing_to_remove() -> None:
    before = fixed_graph(read(separable()))
    assert apply(PASS, before) is before


def test_dead_channels_go_through_depthwise_pool_and_flatten() -> None:
    """A channel at zero (its zero point, so padding does not matter) and its weights on both sides."""
    after = simplified(fixed_with(separable(), ("/a/Conv", [1, 4], -1), ("/d/Conv", [0], -1), ("/p/Conv", [2, 3], -1)))
    assert widths(after) == {"/a/Conv": 5, "/d/Conv": 5, "/p/Conv": 4, "/head/Gemm": 4}
    shapes = [after.ins(n)[1].shape for n in after.nodes if isinstance(n.op, Conv | Dense)]
    assert shapes == [(5, 3, 3, 3), (5, 3, 3, 1), (4, 1, 1, 5), (4, 4 * 9)]


def test_saturated_channels_are_folded_where_padding_does_not_reach() -> None:
    """A channel stuck at the top: into the bias of a pointwise layer, but not through a padded window."""
    stuck = ("/a/Conv", [3], 1)
    assert widths(simplified(fixed_with(separable(), stuck)))["/a/Conv"] == 8
    assert widths(simplified(fixed_with(separable(pads=0), stuck)))["/a/Conv"] == 7
    assert widths(simplified(fixed_with(separable(), ("/d/Conv", [3], 1))))["/d/Conv"] == 7


def test_constants_that_stay_lose_their_weights() -> None:
    """What a channel that must stay does not read is removed before it; ports keep their shapes."""
    n = Net(41)
    x = n.op("Relu", n.dense(n.input("x", 1, 6), 6, 5, name="/a/Gemm"))
    before = fixed_with(n.model(n.dense(x, 5, 3, name="/b/Gemm")), ("/b/Gemm", [0, 1, 2], 1))
    after = simplified(before)
    assert widths(after) == {"/a/Gemm": 1, "/b/Gemm": 3}
    assert after.tensors[after.outputs[0]].shape == (1, 3)
    last = after.nodes[-1]
    assert not after.ins(last)[1].array.any()


def test_constants_that_stay_are_small() -> None:
    """Their sums stay in the range of packed kernels: the bias is what the output needs, the multiplier one that every
    kernel takes."""
    n = Net(41)
    model = n.model(n.conv(n.input("x", 1, 3, 4, 4), 3, 4, (3, 3), pads=[1] * 4, name="/a/Conv"))
    after = simplified(fixed_with(model, ("/a/Conv", [0, 2], 1)))
    (node,) = after.nodes
    _, w, b, m = after.ins(node)
    assert isinstance(node.op, Conv)
    assert node.op.epilogue is not None
    for channel in (0, 2):
        assert not w.array[channel].any()
        assert m.array[channel] == STEADY_MULTIPLIER
        assert abs(int(b.array[channel])) * STEADY_MULTIPLIER <= 256 << node.op.epilogue.shift
    assert w.array[1].any()
    assert STEADY_MULTIPLIER % 768 == 0
    assert STEADY_MULTIPLIER // 768 == 1 << 20


def test_residual_channels_go_together_or_stay() -> None:
    n = Net(42)
    x = n.op("Relu", n.conv(n.input("x", 1, 2, 5, 5), 2, 6, (1, 1), name="/a/Conv"))
    y = n.op("Relu", n.conv(x, 6, 6, (1, 1), name="/b/Conv"))
    z = n.op("Add", x, y)
    model = n.model(n.conv(z, 6, 3, (1, 1), name="/c/Conv"))
    one = simplified(fixed_with(model, ("/a/Conv", [0, 1], -1), ("/b/Conv", [1, 2], -1)))
    assert widths(one) == {"/a/Conv": 5, "/b/Conv": 5, "/c/Conv": 3}  # only channel 1 is constant on both sides


def test_a_constant_operand_sets_its_branch_free() -> None:
    n = Net(43)
    x = n.input("x", 1, 4, 5, 5)
    a = n.conv(x, 4, 6, (1, 1), name="/a/Conv")
    s = n.op("GlobalAveragePool", n.op("Relu", n.conv(x, 4, 6, (1, 1), name="/s/Conv")))
    before = fixed_with(n.model(n.op("Add", a, s)), ("/s/Conv", list(range(6)), 1))
    after = simplified(before)
    assert widths(after) == {"/a/Conv": 6}
    assert names(after) == ["Conv", "Add"]


def test_concat_loses_a_dead_branch_and_itself() -> None:
    n = Net(44)
    x = n.input("x", 1, 4, 5, 5)
    a, b = (n.op("Relu", n.conv(x, 4, 6, (1, 1), name=f"/{k}/Conv")) for k in "ab")
    before = fixed_with(
        n.model(n.conv(n.op("Concat", a, b, axis=1), 12, 3, (3, 3), pads=[1] * 4, name="/c/Conv")),
        ("/b/Conv", list(range(6)), -1),
    )
    after = simplified(before)
    assert widths(after) == {"/a/Conv": 6, "/c/Conv": 3}
    assert names(after) == ["Conv", "Conv"]


def test_a_concat_of_which_constants_are_read_keeps_an_input() -> None:
    n = Net(46)
    x = n.op("Relu", n.conv(n.input("x", 1, 4, 5, 5), 4, 2, (1, 1)))
    both = n.op("Concat", x, n.const(n.rng.normal(size=(1, 3, 5, 5))), axis=1)
    part = n.op("Slice", both, n.const([2], "int64"), n.const([5], "int64"), n.const([1], "int64"))
    model = n.model(n.conv(part, 3, 4, (1, 1)))
    simplified(fixed_graph(read(model)))


def test_idle_clamps_go() -> None:
    """A layer that only gives positive sums needs no lower clamp above the type's own."""
    before = fixed_graph(read(separable()))
    node = before.nodes[-1]
    assert isinstance(node.op, Dense)
    assert node.op.epilogue is not None
    tight = replace(node, op=replace(node.op, epilogue=replace(node.op.epilogue, lo=-100)))
    bias = before.ins(node)[2]
    high = Tensor.constant(bias.name, np.full_like(bias.array, 2**30))
    clamped = before.with_(nodes=[*before.nodes[:-1], tight], tensors=[high])
    last = simplified(clamped).nodes[-1].op
    assert isinstance(last, Dense)
    assert last.epilogue is not None
    assert last.epilogue.lo == -128
    kept = before.with_(nodes=[*before.nodes[:-1], tight])
    assert simplified(kept) is kept


def test_a_shared_constant_is_cut_for_each_reader() -> None:
    """Two layers that read one weight tensor may lose different channels."""
    n = Net(45)
    x = n.input("x", 1, 6)
    w, b = n.weight(6, 6), n.weight(6)
    y = n.op("Relu", n.op("Gemm", x, w, b, transB=1, name="/a/Gemm"))
    y = n.op("Relu", n.op("Gemm", y, w, b, transB=1, name="/b/Gemm"))
    g = fixed_graph(read(n.model(n.op("Gemm", y, w, b, transB=1, name="/c/Gemm"))))
    simplified(spoil(g, 0.5, 3))
