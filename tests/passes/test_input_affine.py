"""A normalisation in front of the network becomes the input port's: which ones, and that the values stay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from tests.emit.nets import Net
from tests.passes.graphs import assert_same, names, read
from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.calibrate.synthetic import synthetic
from tinygen.flow.quantised import calibrate
from tinygen.ir.types import Affine, Graph, Quant
from tinygen.numerics import Array
from tinygen.ops import Concat, Pad
from tinygen.ops.base import need_quant
from tinygen.passes.pipeline import tidy

MEAN, DEVIATION = [0.5, -3.0, 900.0], [0.25, 2.0, 40.0]


def column(values: list[float]) -> list[list[list[float]]]:
    """One value for each channel of an image, channels first."""
    return [[[v]] for v in values]


def sub_div(n: Net, x: str) -> str:
    y: str = n.op("Div", n.op("Sub", x, n.const(column(MEAN))), n.const(column(DEVIATION)))
    return y


def ending(n: Net, x: str) -> ModelProto:
    return n.model(n.op("Relu", n.conv(x, 3, 4, (3, 3), pads=[1, 1, 1, 1])))


def by_channel() -> ModelProto:
    n = Net(1)
    return ending(n, sub_div(n, n.input("x", 1, 3, 6, 5)))


def batch_norm() -> ModelProto:
    n = Net(2)
    return ending(n, n.bn(n.input("x", 1, 3, 6, 5), 3))


def channels_last() -> ModelProto:
    n = Net(3)
    x = n.op("Mul", n.op("Add", n.input("x", 1, 6, 5, 3), n.const([1.0, 2.0, 3.0])), n.const([0.5, -0.25, 4.0]))
    return ending(n, n.op("Transpose", x, perm=[0, 3, 1, 2]))


def behind_transpose() -> ModelProto:
    n = Net(4)
    return ending(n, sub_div(n, n.op("Transpose", n.input("x", 1, 6, 5, 3), perm=[0, 3, 1, 2])))


def behind_reshape() -> ModelProto:
    n = Net(5)
    return ending(n, sub_div(n, n.op("Reshape", n.input("x", 1, 3, 30), n.const([1, 3, 6, 5], "int64"))))


def reversed_sub() -> ModelProto:
    """1 - x / 255."""
    n = Net(6)
    return ending(n, n.op("Sub", n.const(1.0), n.op("Div", n.input("x", 1, 3, 6, 5), n.const(255.0))))


def cropped() -> ModelProto:
    n = Net(7)
    ends = [n.const(v, "int64") for v in ([1, 1], [5, 5], [2, 3])]
    return ending(n, sub_div(n, n.op("Slice", n.input("x", 1, 3, 6, 6), *ends)))


def padded_behind() -> ModelProto:
    """The padding is a zero of the normalised image."""
    n = Net(8)
    x = sub_div(n, n.input("x", 1, 3, 6, 5))
    x = n.op("Pad", x, n.const([0, 0, 1, 2, 0, 0, 2, 1], "int64"))
    return n.model(n.conv(x, 3, 4, (3, 3)))


def padded_before() -> ModelProto:
    """The padding is a zero of the raw image: another number in each channel."""
    n = Net(9)
    x = n.op("Pad", n.input("x", 1, 3, 6, 5), n.const([0, 0, 1, 2, 0, 0, 0, 1], "int64"))
    return n.model(n.conv(sub_div(n, x), 3, 4, (3, 3)))


def padded_before_by_one() -> ModelProto:
    n = Net(10)
    x = n.op("Pad", n.input("x", 1, 3, 6, 5), n.const([0, 0, 1, 1, 0, 0, 1, 1], "int64"), n.const(7.0))
    return n.model(n.conv(n.op("Mul", n.op("Sub", x, n.const(127.5)), n.const(1 / 127.5)), 3, 4, (3, 3)))


TAKEN: dict[str, Callable[[], ModelProto]] = {
    f.__name__: f
    for f in (
        by_channel, batch_norm, channels_last, behind_transpose, behind_reshape, reversed_sub, cropped, padded_behind,
        padded_before, padded_before_by_one,
    )
}  # fmt: skip


@pytest.mark.parametrize("net", TAKEN)
def test_port_takes_it_and_values_stay(net: str) -> None:
    before = read(TAKEN[net]())
    after = tidy(before)
    assert_same(before, after, 2e-5)
    assert after.in_ports[0].affine is not None
    assert not {"Add", "Mul"} & set(names(after))
    assert ("Transpose" in names(after)) == (net == "behind_reshape")


def test_means_and_gains() -> None:
    (port,) = tidy(read(by_channel())).in_ports
    assert port.affine is not None
    assert port.affine == Affine(tuple(MEAN), tuple(float(np.float32(1 / d)) for d in DEVIATION), axis=3)
    assert port.perm == (0, 2, 3, 1)
    x = np.random.default_rng(0).normal(size=(2, *port.shape)).astype(np.float32)
    np.testing.assert_allclose(port.to_outside(port.to_tensor(x)), x, rtol=1e-4, atol=1e-4)


def test_equal_channels_are_one() -> None:
    n = Net(11)
    x = n.op("Sub", n.input("x", 1, 3, 6, 5), n.const(column([127.0] * 3)))
    (port,) = tidy(read(ending(n, x))).in_ports
    assert port.affine == Affine((127.0,), (1.0,))


def refused(x: Callable[[Net], str]) -> Graph:
    n = Net(12)
    before = read(ending(n, x(n)))
    after = tidy(before)
    assert_same(before, after, 2e-5)
    return after


def test_what_stays_a_layer() -> None:
    """An input that others read as well, a channel of which nothing is left, an offset for each pixel."""

    def twice(n: Net) -> str:
        x = n.input("x", 1, 3, 6, 5)
        y: str = n.op("Add", sub_div(n, x), n.op("Sigmoid", x))
        return y

    def nothing_left(n: Net) -> str:
        y: str = n.op("Mul", n.input("x", 1, 3, 6, 5), n.const(column([1.0, 0.0, 2.0])))
        return y

    def each_pixel(n: Net) -> str:
        y: str = n.op("Sub", n.input("x", 1, 3, 6, 5), n.const(n.rng.normal(size=(1, 3, 6, 5))))
        return y

    for make in (twice, nothing_left, each_pixel):
        assert refused(make).in_ports[0].affine is None


def test_long_chains_come_to_rest() -> None:
    """Offsets and reshapes in turn, hundreds of them: each would pass all reshapes before it."""
    n = Net(16)
    x, shapes = n.input("x", 1, 2, 3), [n.const(s, "int64") for s in ([1, 3, 2], [1, 2, 3])]
    for i in range(300):
        x = n.op("Reshape", n.op("Add", x, n.const(0.01)), shapes[i % 2])
    before = read(n.model(n.op("Relu", x)))
    after = tidy(before)
    assert_same(before, after, 2e-5)


def fixed_of(model: ModelProto) -> Graph:
    graph = tidy(read(model))
    return calibrate(graph, synthetic(graph.in_ports, 8, seed=0), "minmax")[0]


def watched(fixed: Graph, x: Array, tensor: str) -> Array:
    seen: dict[str, Array] = {}
    simulate.run(fixed, simulate.quantise_inputs(fixed, [x]), seen.__setitem__)
    return seen[tensor]


def test_padding_behind_is_the_normalised_zero() -> None:
    """An image of means and its border are one value: exactly, in the integers."""
    fixed = fixed_of(by_channel())
    x = np.broadcast_to(np.float32(column(MEAN)), (1, 1, 3, 6, 5))
    (name,) = fixed.inputs
    q = simulate.quantise_inputs(fixed, [x])[0]
    assert np.all(q == need_quant(fixed.tensors[name])[1])
    y = watched(fixed, x, fixed.outputs[0])
    assert np.all(y == y[:, :, :1, :1])  # the border sees what the middle sees


def test_padding_before_is_the_image_of_zero() -> None:
    """An image of zeros and its border are one value."""
    fixed = fixed_of(padded_before())
    assert not [n for n in fixed.nodes if isinstance(n.op, Pad)]
    blocks = [n for n in fixed.nodes if isinstance(n.op, Concat)]
    x = np.zeros((1, 1, 3, 6, 5), np.float32)
    whole = watched(fixed, x, blocks[-1].outputs[0])
    assert whole.shape[2:] == (7, 8, 3)
    assert np.all(whole == whole[:, :, :1, :1])


def test_channels_of_very_different_range() -> None:
    """Three axes of a few g and a pressure in pascal: every channel keeps its bits."""
    rng = np.random.default_rng(0)
    means, deviations = [0.1, -0.2, 9.8, 101325.0], [0.4, 0.4, 0.4, 900.0]
    n = Net(13)
    values = [np.ones(4), np.zeros(4), np.array(means), np.square(deviations)]
    x = n.op("BatchNormalization", n.input("x", 1, 4, 32), *(n.const(v) for v in values))
    model = n.model(n.conv(x, 4, 6, (5,), pads=[2, 2]))
    data = (rng.normal(size=(64, 1, 4, 32)) * np.array(deviations)[:, None] + np.array(means)[:, None]).astype("f4")
    graph = tidy(read(model))
    fixed, layers = calibrate(graph, Samples((data,), None, "", ""), "minmax")
    assert layers[0].sqnr_db > 35
    (q,) = simulate.quantise_inputs(fixed, [data])
    assert min(len(np.unique(q[..., c])) for c in range(4)) > 100


# --- integers that mean themselves -----------------------------------------------------------------------------------


def cast(kind: int, then: Callable[[Net, str], str]) -> Graph:
    n = Net(14)
    n.inputs.append(helper.make_tensor_value_info("x", kind, (1, 3, 6, 5)))
    before = read(ending(n, then(n, n.op("Cast", "x", to=TensorProto.FLOAT))))
    return tidy(before)


def test_uint8_by_a_factor_keeps_its_codes() -> None:
    """x / 255 of uint8: the integers are x - 128, and nothing is rounded."""
    graph = cast(TensorProto.UINT8, lambda n, x: n.op("Div", x, n.const(255.0)))
    (port,) = graph.in_ports
    quant = graph.tensors[graph.inputs[0]].quant
    assert port.codes == "uint8"
    assert quant == Quant.per_tensor(float(np.float32(1 / 255)), -128)
    fixed, _ = calibrate(graph, synthetic(graph.in_ports, 4, 0, [quant]), "minmax")
    x = (np.arange(90) * 2.8).astype(np.uint8).reshape(1, 1, 3, 6, 5).astype(np.float32)
    (q,) = simulate.quantise_inputs(fixed, [x])
    assert np.array_equal(q, port.moved(x) - 128)


def test_uint8_by_channel_goes_into_the_port() -> None:
    graph = cast(TensorProto.UINT8, sub_div)
    assert graph.tensors[graph.inputs[0]].quant is None
    assert graph.in_ports[0].affine is not None


def test_int16_input() -> None:
    graph = cast(TensorProto.INT16, lambda n, x: n.op("Mul", x, n.const(2.0**-15)))
    assert graph.in_ports[0].codes == "int16"
    assert graph.in_ports[0].affine == Affine((0.0,), (2.0**-15,))


def test_synthetic_samples_suit_the_port() -> None:
    """Normalised they are of the order of 1; integers are whole and within their type."""
    (x,) = synthetic(tidy(read(by_channel())).in_ports, 8, seed=0).inputs
    assert 850 < x[:, 0, 2].mean() < 950
    for kind in (TensorProto.UINT8, TensorProto.INT16):
        graph = cast(kind, sub_div)
        (x,) = synthetic(graph.in_ports, 8, seed=0).inputs
        assert np.array_equal(x, np.rint(x))
        assert x.min() >= np.iinfo(graph.in_ports[0].codes).min
        assert x.max() <= np.iinfo(graph.in_ports[0].codes).max


def test_image_around_127_and_a_half() -> None:
    """(x - 127.5) / 127.5: with a step of 1 every pixel is a tie and two become one; almost all must stay apart."""
    graph = cast(TensorProto.UINT8, lambda n, x: n.op("Div", n.op("Sub", x, n.const(127.5)), n.const(127.5)))
    x = np.resize(np.arange(256), (4, 1, 3, 6, 5)).astype(np.float32)
    samples = Samples((x,), None, "", "")
    fixed, _ = calibrate(graph, samples, "minmax")
    (q,) = simulate.quantise_inputs(fixed, [x])
    assert len(np.unique(q)) == 255


# --- pre-quantised ---------------------------------------------------------------------------------------------------


def test_normalisation_in_front_of_quantize_linear() -> None:
    """The model's own scale stays, of the normalised tensor."""
    n = Net(15)
    x = sub_div(n, n.input("x", 1, 3, 6, 5))
    scale, zero = n.const(0.05), n.const(3, "int8")
    x = n.op("DequantizeLinear", n.op("QuantizeLinear", x, scale, zero), scale, zero)
    graph = tidy(read(ending(n, x)))
    assert graph.tensors[graph.inputs[0]].quant == Quant.per_tensor(float(np.float32(0.05)), 3)
    assert graph.in_ports[0].affine is not None
    assert names(graph) == ["Conv"]
