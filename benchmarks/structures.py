"""Small networks of the structures that people quantise, and what onnxruntime's quantiser makes of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, numpy_helper, parser

from tinygen.numerics import Array
from tinygen.ops.base import Shape

OPSET = 13
#: Samples that onnxruntime's quantiser calibrates on.
CALIBRATION = 16
#: What is asked of the quantiser: format and type of the activations.
FORMS = (("QDQ", "QInt8"), ("QDQ", "QUInt8"), ("QOperator", "QUInt8"))


@dataclass(frozen=True, slots=True)
class Structure:
    """A network in onnx's text form; `weights`: shapes of its constants, or arrays.

    `weight_type`: what the quantiser is asked to make of the weights; `after`: a change of the quantised model.
    """

    text: str
    weights: Mapping[str, Shape | Array]
    shape: Shape = (1, 3, 12, 12)
    weight_type: str = "QInt8"
    after: Callable[[ModelProto], None] | None = None
    positive: bool = False


def _lowest_weights(model: ModelProto) -> None:
    """The most negative weights of each int8 tensor become -128, as other quantisers write them."""
    for t in model.graph.initializer:
        a = numpy_helper.to_array(t)
        if t.data_type == TensorProto.INT8 and a.size > 8:
            a = a.copy()
            a[a < -100] = -128
            t.CopyFrom(numpy_helper.from_array(a, t.name))


def _conv(name: str, x: str, w: str, k: int = 3, bias: str = "", more: str = "") -> str:
    p = k // 2
    return f"{name} = Conv<kernel_shape=[{k},{k}], pads=[{p},{p},{p},{p}]{more}>({x}, {w}{bias and ', ' + bias})\n"


_FIRST = _conv("c1", "x", "w1", bias="b1") + "r1 = Relu(c1)\n"
_W1: dict[str, Shape | Array] = {"w1": (8, 3, 3, 3), "b1": (8,)}
_LAST: dict[str, Shape | Array] = _W1 | {"w2": (5, 8, 3, 3), "b2": (5,)}
_HEAD: dict[str, Shape | Array] = _W1 | {"w2": (5, 8), "b2": (5,)}
_SIX: dict[str, Shape | Array] = {"zero": np.array(0, np.float32), "six": np.array(6, np.float32)}
_UP: dict[str, Shape | Array] = {"none": np.zeros(0, np.float32), "up": np.array([1, 1, 2, 2], np.float32)}
_UP3: dict[str, Shape | Array] = _UP | {"up": np.array([1, 1, 3, 3], np.float32)}


def _between(middle: str, x: str = "m1") -> str:
    """A convolution with Relu, something, another convolution."""
    return _FIRST + middle + _conv("y", x, "w2", bias="b2")


STRUCTURES: dict[str, Structure] = {
    "conv-relu-conv": Structure(_between("", "r1"), _LAST),
    "relu6": Structure(
        _conv("c1", "x", "w1", bias="b1") + "r1 = Clip(c1, zero, six)\n" + _conv("c2", "r1", "w2", bias="b2")
        + "y = Clip(c2, zero, six)\n", _LAST | _SIX,
    ),
    "depthwise": Structure(
        _FIRST + _conv("d", "r1", "wd", bias="bd", more=", group=8") + "rd = Relu(d)\n" + _conv("y", "rd", "wp", 1),
        _W1 | {"wd": (8, 1, 3, 3), "bd": (8,), "wp": (6, 8, 1, 1)},
    ),
    "residual": Structure(
        _FIRST + _conv("c2", "r1", "w3") + "a = Add(r1, c2)\nra = Relu(a)\n" + _conv("y", "ra", "w2", bias="b2"),
        _LAST | {"w3": (8, 8, 3, 3)},
    ),
    "concat": Structure(
        _FIRST + _conv("c2", "r1", "w3", 1) + _conv("c3", "r1", "w4") + "m1 = Concat<axis=1>(c2, c3)\n"
        + _conv("y", "m1", "w2", bias="b2"),
        _LAST | {"w3": (4, 8, 1, 1), "w4": (4, 8, 3, 3)},
    ),
    "upsample nearest": Structure(
        _between('m1 = Resize<mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor">'
                 "(r1, none, up)\n"), _LAST | _UP,
    ),
    "upsample linear": Structure(_between('m1 = Resize<mode="linear">(r1, none, up)\n'), _LAST | _UP),
    "upsample linear by 3": Structure(_between('m1 = Resize<mode="linear">(r1, none, up)\n'), _LAST | _UP3),
    "average pool": Structure(_between("m1 = AveragePool<kernel_shape=[2,2], strides=[2,2]>(r1)\n"), _LAST),
    "average pool 3x3 padded": Structure(
        _between("m1 = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(r1)\n"), _LAST
    ),
    "max pool": Structure(_between("m1 = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r1)\n"), _LAST),
    "global average": Structure(
        _FIRST + "g = GlobalAveragePool(r1)\nf = Flatten(g)\ny = Gemm<transB=1>(f, w2, b2)\n", _HEAD
    ),
    "global max": Structure(_FIRST + "g = GlobalMaxPool(r1)\nf = Flatten(g)\ny = Gemm<transB=1>(f, w2, b2)\n", _HEAD),
    "mean": Structure(
        _FIRST + "f = ReduceMean<axes=[2,3], keepdims=0>(r1)\ny = Gemm<transB=1>(f, w2, b2)\n", _HEAD
    ),
    "flatten": Structure(
        _FIRST + "p = MaxPool<kernel_shape=[4,4], strides=[4,4]>(r1)\nf = Flatten(p)\n"
        "h = Gemm<transB=1>(f, w3, b3)\nrh = Relu(h)\ny = Gemm<transB=1>(rh, w2, b2)\n",
        _W1 | {"w3": (16, 72), "b3": (16,), "w2": (5, 16), "b2": (5,)},
    ),
    "conv1d": Structure(
        "c1 = Conv<kernel_shape=[5], pads=[2,2], strides=[2]>(x, w1, b1)\nr1 = Relu(c1)\n"
        "y = Conv<kernel_shape=[3], pads=[1,1]>(r1, w2, b2)\n",
        {"w1": (8, 3, 5), "b1": (8,), "w2": (5, 8, 3), "b2": (5,)}, (1, 3, 64),
    ),
    "dense": Structure(
        "h = Gemm<transB=1>(x, w1, b1)\nrh = Relu(h)\ny = Gemm<transB=1>(rh, w2, b2)\n",
        {"w1": (32, 24), "b1": (32,), "w2": (10, 32), "b2": (10,)}, (1, 24),
    ),
    "matmul": Structure(
        "h = MatMul(x, w1)\na = Add(h, b1)\nrh = Relu(a)\ny = MatMul(rh, w2)\n",
        {"w1": (24, 32), "b1": (32,), "w2": (32, 10)}, (1, 24),
    ),
    "leaky": Structure(
        _conv("c1", "x", "w1", bias="b1") + "r1 = LeakyRelu<alpha=0.1>(c1)\n" + _conv("y", "r1", "w2", bias="b2"), _LAST
    ),
    "silu": Structure(
        _conv("c1", "x", "w1", bias="b1") + "s = Sigmoid(c1)\nm1 = Mul(c1, s)\n" + _conv("y", "m1", "w2", bias="b2"),
        _LAST,
    ),
    "squeeze-excite": Structure(
        _FIRST + "g = GlobalAveragePool(r1)\n" + _conv("e1", "g", "w3", 1) + "er = Relu(e1)\n"
        + _conv("e2", "er", "w4", 1) + "s = Sigmoid(e2)\nm1 = Mul(r1, s)\n" + _conv("y", "m1", "w2", bias="b2"),
        _LAST | {"w3": (4, 8, 1, 1), "w4": (8, 4, 1, 1)},
    ),
    "transposed convolution": Structure(
        _FIRST + "t = ConvTranspose<kernel_shape=[2,2], strides=[2,2]>(r1, wt)\nrt = Relu(t)\n"
        + _conv("y", "rt", "w2", bias="b2"),
        _W1 | {"wt": (8, 6, 2, 2), "w2": (5, 6, 3, 3), "b2": (5,)},
    ),
    "softmax": Structure(
        "h = Gemm<transB=1>(x, w1, b1)\nrh = Relu(h)\nl = Gemm<transB=1>(rh, w2, b2)\ny = Softmax<axis=-1>(l)\n",
        {"w1": (32, 24), "b1": (32,), "w2": (10, 32), "b2": (10,)}, (1, 24),
    ),
    "weights of -128": Structure(_between("", "r1"), _LAST, after=_lowest_weights),
    "uint8 weights": Structure(_between("", "r1"), _LAST, weight_type="QUInt8", positive=True),
    "uint8 weights, depthwise": Structure(
        _FIRST + _conv("d", "r1", "wd", bias="bd", more=", group=8") + "rd = Relu(d)\n" + _conv("y", "rd", "wp", 1),
        _W1 | {"wd": (8, 1, 3, 3), "bd": (8,), "wp": (6, 8, 1, 1)}, weight_type="QUInt8", positive=True,
    ),
}  # fmt: skip


def there_is(name: str, activations: str) -> bool:
    """onnxruntime's quantiser does not put uint8 weights beside int8 activations."""
    return STRUCTURES[name].weight_type != "QUInt8" or activations == "QUInt8"


def network(s: Structure, seed: int) -> ModelProto:
    """The float network with random weights, of a size that keeps the activations' variance."""
    rng = np.random.default_rng(seed)
    dims = ",".join(map(str, s.shape))
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {OPSET}]>\ng (float[{dims}] x) => (float y) {{\n{s.text}}}'
    )
    model.graph.output[0].type.tensor_type.ClearField("shape")  # the text means a scalar
    for name, w in s.weights.items():
        if isinstance(w, tuple):
            fan = max(1, int(np.prod(w[1:]))) if len(w) > 1 else 16
            spread = rng.normal(0.4 if s.positive and len(w) > 1 else 0.0, 1.0, w)
            w = (spread * np.sqrt(2.0 / fan)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(w), name))
    return model


def quantised(name: str, form: str, activations: str, seed: int, folder: Path) -> Path:
    """A structure as onnxruntime's `quantize_static` writes it; every other seed with a scale for each channel."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    s = STRUCTURES[name]
    rng = np.random.default_rng(1000 + seed)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = [{"x": rng.normal(size=s.shape).astype(np.float32)} for _ in range(CALIBRATION)]

        def get_next(self) -> dict[str, Array] | None:
            return self.left.pop() if self.left else None

    logging.getLogger().setLevel(logging.ERROR)
    source, target = folder / "float.onnx", folder / f"{name.replace(' ', '_')}_{form}_{activations}_{seed}.onnx"
    onnx.save(network(s, seed), str(source))
    quantize_static(
        str(source), str(target), Reader(), quant_format=QuantFormat[form], activation_type=QuantType[activations],
        weight_type=QuantType[s.weight_type], per_channel=seed % 2 == 1 and s.weight_type == "QInt8",
    )  # fmt: skip
    if s.after is not None:
        model = onnx.load(str(target))
        s.after(model)
        onnx.save(model, str(target))
    return target
