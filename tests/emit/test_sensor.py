"""Helpers for a sensor's own integers: the C against exact rational arithmetic, on every code."""

from __future__ import annotations

import ctypes
import functools
import math
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from tests.emit.library import shared_object
from tests.emit.nets import Net
from tests.emit.test_generated_c import pointer
from tinygen import simulate
from tinygen.emit.library import render_library
from tinygen.errors import DataError
from tinygen.flow.library import make_library
from tinygen.flow.quantised import quantised_file
from tinygen.flow.types import Calibration, Library, Quantised
from tinygen.ir.types import Affine, Port, Quant
from tinygen.plan.planner import plan
from tinygen.plan.sensor import Sensor, convert, parse
from tinygen.plan.types import Endpoint
from tinygen.targets.cores import get_core


def exact(codes: range, unit: Fraction, mean: float, step: float, quant: Quant) -> list[int]:
    """clamp(rint((code * unit - mean) / step) + zero point) in whole numbers: numerator over denominator."""
    first, each = (codes[0] * unit - Fraction(mean)) / Fraction(step), unit / Fraction(step)
    below = math.lcm(first.denominator, each.denominator)
    top, more = int(first * below), int(each * below)
    found = []
    for _ in codes:
        q, rest = divmod(top, below)
        q += 2 * rest > below or (2 * rest == below and q % 2 == 1)
        found.append(min(max(q + quant.zero_point, quant.low), quant.high))
        top += more
    return found


def test_reference() -> None:
    """Against Python's own rounding of fractions."""
    quant = Quant.per_tensor(1.0, 3)
    want = [min(max(round(Fraction(code, 6) - Fraction(1, 2)) + 3, -128), 127) for code in range(-50, 50)]
    assert exact(range(-50, 50), Fraction(1, 3), 1.0, 2.0, quant) == want


def wanted(e: Endpoint, sensor: Sensor, channel: int) -> list[int]:
    a = e.port.affine or Affine((0.0,), (1.0,))
    info = np.iinfo(sensor.kind)
    c = channel if len(a.mean) > 1 else 0
    mean, step = a.mean[c], a.steps(e.quant.s)[c]
    return exact(range(info.min, info.max + 1), sensor.unit, mean, step, e.quant)


def endpoint(mean: list[float], gain: list[float], quant: Quant) -> Endpoint:
    n = len(mean)
    means, gains = (tuple(float(np.float32(v)) for v in values) for values in (mean, gain))
    return Endpoint("x", n, (1, n), quant, Port("x", (1, n), (0, 1), Affine(means, gains, 1 if n > 1 else 0)))


HALF = Quant.per_tensor(0.5, 3)
CASES = {
    "ties both ways": endpoint([1.0], [0.25], HALF),  # two codes a step: every second is a tie, up and down in turn
    "ties down": endpoint([2.0], [0.125], HALF),
    "ties of step 6": endpoint([3.0], [1 / 12], HALF),
    "no tie by very little": endpoint([1.0 + 2.0**-23], [0.25], HALF),
    "or the other way": endpoint([1.0 - 2.0**-24], [0.25], HALF),
    "image": endpoint([123.7, 116.3, 103.5], [1 / 58.4, 1 / 57.1, 1 / 57.4], Quant.per_tensor(0.018, -5)),
    "below 0": endpoint([10.0], [-0.3], Quant.per_tensor(0.7, -100)),
    "one code is many steps": endpoint([7.3], [5000.0], Quant.per_tensor(0.01, 0)),
    "many codes are one step": endpoint([0.0], [1e-6], Quant.per_tensor(1.0, 0)),
    "int16": endpoint([-12.5, 3e4], [0.01, 0.9], Quant.per_tensor(0.004, 0, 16)),
    "int16, ties": endpoint([0.0], [0.5], Quant.per_tensor(1.0, 0, 16)),
    "a mean near nothing": endpoint([1e-30], [0.5], Quant.per_tensor(1.0, 0)),
    "many channels": endpoint([0.1 * i for i in range(6)], [1.0 + i for i in range(6)], Quant.per_tensor(0.9, 1)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["uint8", "int8", "int16"])
def test_every_code(case: str, kind: str) -> None:
    e = CASES[case]
    sensor = convert(e, kind, Fraction(1))
    info = np.iinfo(kind)
    codes = np.arange(info.min, info.max + 1, dtype=np.int64)
    for c in range(e.length):
        k = sensor.channel[c]
        got = sensor.tables[k] if sensor.tables else sensor.lines[k].run(codes, e.quant.low, e.quant.high).tolist()
        assert list(got) == wanted(e, sensor, c)


def test_ties_that_alternate_are_counted() -> None:
    (line,) = convert(CASES["ties both ways"], "int16", Fraction(1)).lines
    assert line.period == 4


def model() -> ModelProto:
    """An image of uint8 that the model casts and normalises itself; six channels of int16; one mean for all."""
    n = Net(1)
    n.inputs.append(helper.make_tensor_value_info("image", TensorProto.UINT8, (1, 3, 16, 16)))
    image = n.op("Sub", n.op("Cast", "image", to=TensorProto.FLOAT), n.const([[[123.7]], [[116.3]], [[103.5]]]))
    image = n.op("Relu", n.conv(n.op("Mul", image, n.const(1 / 57.0)), 3, 4, (3, 3)))
    n.inputs.append(helper.make_tensor_value_info("imu", TensorProto.INT16, (1, 6, 16)))
    gains = n.const([[v] for v in (0.25, 0.125, 1.0, 3.0, 0.5, 0.01)])
    imu = n.op("Relu", n.conv(n.op("Mul", n.op("Cast", "imu", to=TensorProto.FLOAT), gains), 6, 4, (3,)))
    level = n.op("Relu", n.dense(n.op("Sub", n.input("level", 1, 32), n.const(0.5)), 32, 4))
    means = [n.op("GlobalAveragePool", x) for x in (image, imu)]
    return n.model(n.dense(n.op("Concat", *(n.op("Flatten", m) for m in means), level, axis=1), 12, 3))


@functools.cache
def built(sensors: tuple[str, ...]) -> tuple[Quantised, dict[str, bytes], tuple[Endpoint, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "senses.onnx"
        path.write_bytes(model().SerializeToString())
        q = quantised_file(path, Calibration(method="minmax"))
        p = plan(q.fixed, get_core("native"))
        return q, render_library(make_library(p, q, Library(sensors=sensors))), p.inputs


@pytest.mark.parametrize("compiler", [("-O2",), ("-O0", "-fsanitize=undefined", "-fno-sanitize-recover=all")], ids=str)
def test_emitted_helpers(compiler: tuple[str, ...], tmp_path: Path, require_tool: object) -> None:
    """Every code of every channel, through the loops over ONNX's layout."""
    require_tool("gcc")  # type: ignore[operator]
    _, files, inputs = built(("level=uint8/255",))
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    text = files["senses_sensor.c"].decode()
    assert "float" not in text.split("*/", 1)[1]
    lib = ctypes.CDLL(str(shared_object(tmp_path, *compiler)))
    units = {"u8": Fraction(1), "s16": Fraction(1)}
    for i, (kind, suffix) in enumerate((("uint8", "u8"), ("int16", "s16"), ("uint8", "u8"))):
        e, info = inputs[i], np.iinfo(kind)
        unit = Fraction(1, 255) if i == 2 else units[suffix]
        sensor = convert(e, kind, unit)
        a = e.port.affine
        axis = 0 if a is None or len(a.mean) == 1 else e.port.perm[a.axis]
        channels = e.port.shape[axis]
        codes = np.arange(info.min, info.max + 1)
        want = [np.array(wanted(e, sensor, c)) for c in range(channels)]
        per = e.length // channels
        for start in range(0, codes.size, per):
            some = np.resize(codes[start : start + per], per)
            x = np.empty(e.port.shape, kind)
            np.moveaxis(x, axis, 0)[...] = some.reshape(np.moveaxis(x, axis, 0).shape[1:])
            q = np.empty(e.shape, np.int8)
            lib[f"senses_quantize_input{i}_{suffix}"](pointer(np.ascontiguousarray(x)), pointer(q))
            expected = np.empty(e.port.shape, np.int8)
            for c in range(channels):
                rest = np.moveaxis(expected, axis, 0)[c]
                rest[...] = want[c][some - info.min].reshape(rest.shape)
            np.testing.assert_array_equal(q, expected.transpose(e.port.perm))


def test_helper_agrees_with_float_helper_but_for_ties() -> None:
    """The float helper rounds its quotient to float32 first: never more than a step apart."""
    q, _, inputs = built(())
    x = np.resize(np.arange(256), (1, 1, 3, 16, 16)).astype(np.float32)
    others = [np.zeros((1, *p.shape), np.float32) for p in q.fixed.in_ports[1:]]
    ours = simulate.quantise_inputs(q.fixed, [x, *others])[0][0]
    sensor = convert(inputs[0], "uint8", Fraction(1))
    tables = np.array(sensor.tables)[list(sensor.channel)]
    exact_ = np.take_along_axis(tables, inputs[0].port.moved(x)[0].astype(int).reshape(-1, 3).T, 1).T.reshape(
        ours.shape
    )
    assert np.abs(ours.astype(int) - exact_).max() <= 1
    assert np.mean(ours != exact_) < 0.01


def test_integer_inputs_have_their_helper_unasked() -> None:
    _, files, _ = built(())
    header = files["senses.h"].decode()
    assert "senses_quantize_input0_u8(const uint8_t *x" in header
    assert "senses_quantize_input1_s16(const int16_t *x" in header
    assert "input2_" not in header


def test_models_without_have_no_such_file() -> None:
    assert parse([], ["x"], [""]) == {}


@pytest.mark.parametrize(("asked", "message"), [
    (["uint8"], "3 inputs and no name"),
    (["z=uint8"], 'no input "z"'),
    (["a=uint16"], "found no type"),
    (["a=uint8*0"], "above 0"),
    (["a=uint8/x"], "found no type"),
    (["c=uint8"], "itself takes int16"),
])  # fmt: skip
def test_what_cannot_be_read(asked: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse(asked, ["a", "b", "c"], ["", "", "int16"])


def test_worth_of_a_step() -> None:
    names, codes = ["a", "b"], ["", ""]
    assert parse(["a=uint8/255", "b=int16*0.061"], names, codes) == {
        0: ("uint8", Fraction(1, 255)),
        1: ("int16", Fraction(61, 1000)),
    }
