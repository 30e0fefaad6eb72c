"""Models that are quantised already. QLinear operators become DequantizeLinear -> operator -> QuantizeLinear on the
ONNX side; QuantizeLinear and DequantizeLinear then become pins: the scales and zero points the model asked for.

uint8 codes become int8 by subtracting 128 from code and zero point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from tinygen.frontend.context import Act, Builder, Handler, Known, Result, Unsupported, View
from tinygen.ir.types import Quant
from tinygen.numerics import Array
from tinygen.ops import Unary

#: Operators that move or compare integer codes without regard to their scale.
MOVES_CODES = (
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout", "Concat", "Split", "Slice",
    "Gather", "Expand", "Tile", "MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "DepthToSpace", "SpaceToDepth",
    "ArgMax",
)  # fmt: skip


#: Types of constants below 8 bits.
_FEW_BITS = ("int4", "uint4", "int2", "uint2")


def zero_point(n: View, i: int) -> tuple[Array, str]:
    """Zero points at input i in the int8 view, and the code's type. Left out: uint8 0, or `output_dtype`."""
    if not n.has(i):
        kinds = {0: "uint8", TensorProto.UINT8: "uint8", TensorProto.INT8: "int8", TensorProto.INT16: "int16"}
        kind = kinds.get(n.integer("output_dtype", 0), f"type {n.integer('output_dtype', 0)}")
        z = np.zeros(1, np.int64)
    else:
        a = n.array(i, "the zero point")
        kind, z = a.dtype.name, a.reshape(-1).astype(np.int64)
    if kind not in ("int8", "uint8", "int16"):
        raise Unsupported(f"quantisation to {kind}", "Quantise activations to int8, uint8 or int16, weights to int8.")
    if kind == "int16" and np.any(z != 0):
        raise Unsupported(f"int16 with zero point {int(z[0])}", "Quantise int16 activations symmetrically.")
    return z - (128 if kind == "uint8" else 0), kind


def no_blocks(n: View) -> str | None:
    """One scale for a tensor or for each slice of an axis.

    Block-wise quantisation is not supported."""
    size = n.integer("block_size", 0)
    return f"blocks of {size}" if size else None


def _scales(n: View) -> tuple[float, ...]:
    scales = tuple(float(s) for s in n.array(1, "the scale").reshape(-1).astype(np.float32))
    if not all(np.isfinite(s) and s > 0 for s in scales):
        raise Unsupported(f"a scale that is not positive ({min(scales):g})")
    return scales


def _bits(kind: str) -> int:
    return 16 if kind == "int16" else 8


def quantize_linear(b: Builder, n: View) -> Result:
    """The activation with its quantisation pinned; its ONNX value is the integer code."""
    x, scales = n.act(), _scales(n)
    z, kind = zero_point(n, 2)
    if len(scales) != 1:
        raise Unsupported("an activation with a scale for each channel", "Quantise activations per tensor.")
    q = Quant.per_tensor(scales[0], int(z[0]), _bits(kind), n.outs[0])
    y = b.emit(Unary("x", "requantise"), x, quant=q)
    return Act(y, kind, q)


def dequantize_linear(b: Builder, n: View) -> Result:
    value, scales = n.ins[0], _scales(n)
    assert value is not None
    if isinstance(value, Known):
        return _dequantize_known(n, value, scales)
    z, kind = zero_point(n, 2) if n.has(2) else (np.array([-128 if value.elem == "uint8" else 0]), value.elem)
    if value.code is None:
        raise Unsupported(f"DequantizeLinear of {value.elem} that no QuantizeLinear made")
    if len(scales) != 1:
        raise Unsupported("an activation with a scale for each channel", "Quantise activations per tensor.")
    q, old = Quant.per_tensor(scales[0], int(z[0]), _bits(kind), n.outs[0]), value.code
    if q == old:
        return Act(value.tensor)
    # The same code read under another scale: a linear function of the real value.
    ratio = q.s / old.s
    expr = ("Add", ("Mul", "x", ratio), q.s * (old.zero_point - q.zero_point))
    return Act(b.emit(Unary(expr, "rescale"), value.tensor, quant=q))


def _dequantize_known(n: View, value: Known, scales: tuple[float, ...]) -> Known:
    """A constant in float32 that remembers its scale when its codes are at most 8 bits wide."""
    a = value.array
    z = n.array(2, "the zero point").reshape(-1).astype(np.int64) if n.has(2) else np.zeros(1, np.int64)
    kind = a.dtype.name
    if kind not in ("int8", "uint8", "int32", *_FEW_BITS):
        raise Unsupported(f"constants of {kind}", "Quantise weights to int8, uint8, int4 or uint4.")
    if len(scales) == 1 and z.size == 1:
        axis, shape = None, (1,) * a.ndim
    else:
        axis = n.integer("axis", 1)
        axis = axis % a.ndim if a.ndim else 0
        shape = tuple(-1 if i == axis else 1 for i in range(a.ndim))
        if a.ndim == 0 or a.shape[axis] != max(len(scales), z.size):
            raise Unsupported(f"{len(scales)} scales for axis {axis} of {a.shape}")
    s = np.array(scales, np.float32).reshape(shape if len(scales) > 1 else (1,) * a.ndim)
    zs = z.reshape(shape if z.size > 1 else (1,) * a.ndim)
    real = (a.astype(np.int64) - zs).astype(np.float32) * s
    if kind == "int32":
        return Known(real, value.name)
    # Zero points matter to operands, which have one; weights are known by their scales (frontend/weights.py).
    zero = 0 if kind in _FEW_BITS else int(z[0]) - (128 if kind == "uint8" else 0)
    full = scales * (z.size if len(scales) == 1 and axis is not None else 1)
    return Known(real, value.name, Quant(full, zero, axis, pin=value.name))


QUANTISED: dict[str, Handler] = {
    "QuantizeLinear": Handler(quantize_linear, (no_blocks,), "int8, uint8; int16 with zero point 0"),
    "DequantizeLinear": Handler(dequantize_linear, (no_blocks,), "int8, uint8, int16; int32 constants"),
}

# QLinear operators ----------------------------------------------------------------------------------------------------


class _Rewrite:
    """Nodes in place of one QLinear node."""

    def __init__(self, node: NodeProto, constants: Mapping[str, Array], opset: int) -> None:
        self.node, self.constants, self.opset = node, constants, opset
        self.nodes: list[NodeProto] = []
        self.initialisers: list[TensorProto] = []
        self.attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}

    def arg(self, i: int) -> str:
        return self.node.input[i] if i < len(self.node.input) else ""

    def real(self, i: int, axis: int | None = None) -> str:
        """Input i (code, scale, zero point) as a float tensor."""
        return self.dequantise(self.arg(i), self.arg(i + 1), self.arg(i + 2), axis)

    def dequantise(self, x: str, scale: str, zero: str, axis: int | None = None) -> str:
        out = f"{self.node.output[0]}/real{len(self.nodes)}"
        inputs = [x, scale, zero] if zero else [x, scale]
        node = helper.make_node("DequantizeLinear", inputs, [out], name=self.node.name)
        if axis is not None:
            node.attribute.append(helper.make_attribute("axis", axis))
        self.nodes.append(node)
        return out

    def bias(self, i: int, x_scale: int, w_scale: int) -> str:
        """An int32 bias, whose scale is the product of the input's and the weights'."""
        if not self.arg(i):
            return ""
        pair = [self.constants.get(self.arg(j)) for j in (x_scale, w_scale)]
        if pair[0] is None or pair[1] is None:
            raise Unsupported("scales computed from the input")
        product = np.asarray(pair[0].astype(np.float64) * pair[1].astype(np.float64), np.float32).reshape(-1)
        scale = f"{self.node.output[0]}/bias_scale"
        self.initialisers.append(
            numpy_helper.from_array(product if product.size > 1 else product[0:1].reshape(()), scale)
        )
        return self.dequantise(self.arg(i), scale, "", 0 if product.size > 1 else None)

    def op(self, op_type: str, inputs: Sequence[str], drop: Sequence[str] = (), **more: object) -> str:
        """The float operator with the node's own attributes."""
        out = f"{self.node.output[0]}/float"
        attrs = {k: v for k, v in self.attrs.items() if k not in drop} | more
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        self.nodes.append(helper.make_node(op_type, list(inputs), [out], name=self.node.name, **attrs))
        return out

    def quantise(self, x: str, scale: int, zero: int) -> None:
        if not self.arg(scale):  # QGemm without an output scale gives float
            self.nodes[-1].output[0] = self.node.output[0]
            return
        inputs = [x, self.arg(scale)] + ([self.arg(zero)] if self.arg(zero) else [])
        self.nodes.append(helper.make_node("QuantizeLinear", inputs, [self.node.output[0]], name=self.node.name))


def _last_axis(r: _Rewrite, i: int) -> int | None:
    """Axis of a per-column scale at input i of a matrix product."""
    scale = r.constants.get(r.arg(i + 1))
    matrix = r.constants.get(r.arg(i))
    return None if scale is None or matrix is None or scale.size == 1 else matrix.ndim - 1


def _qlinear_conv(r: _Rewrite) -> None:
    scale = r.constants.get(r.arg(4))
    w = r.real(3, 0 if scale is not None and scale.size > 1 else None)
    r.quantise(r.op("Conv", [r.real(0), w, r.bias(8, 1, 4)]), 6, 7)


def _qlinear_matmul(r: _Rewrite) -> None:
    r.quantise(r.op("MatMul", [r.real(0), r.real(3, _last_axis(r, 3))]), 6, 7)


def _qgemm(r: _Rewrite) -> None:
    axis = _last_axis(r, 3)
    if axis is not None and r.attrs.get("transB", 0):
        axis = 0
    r.quantise(r.op("Gemm", [r.real(0), r.real(3, axis), r.bias(6, 1, 4)]), 7, 8)


def _qlinear_two(r: _Rewrite) -> None:
    r.quantise(r.op(r.node.op_type.removeprefix("QLinear"), [r.real(0), r.real(3)]), 6, 7)


def _qlinear_one(r: _Rewrite) -> None:
    kind = r.node.op_type.removeprefix("QLinear")
    if r.attrs.get("channels_last", 0):
        raise Unsupported("channels_last=1", "Save the model before onnxruntime's own layout optimisation.")
    r.quantise(r.op(kind, [r.real(0)], ("channels_last",)), 3, 4)


def _qlinear_softmax(r: _Rewrite) -> None:
    asked = int(r.attrs.get("opset", r.opset))
    if (asked < 13) != (r.opset < 13) and r.attrs.get("axis", -1) not in (-1, 1):
        raise Unsupported(f"softmax of opset {asked} in a model of opset {r.opset}")
    r.quantise(r.op("Softmax", [r.real(0)], ("opset",)), 3, 4)


def _qlinear_concat(r: _Rewrite) -> None:
    parts = [r.real(i) for i in range(2, len(r.node.input), 3)]
    r.quantise(r.op("Concat", parts), 0, 1)


#: (domain, operator) of the QLinear forms.
QLINEAR: dict[tuple[str, str], Callable[[_Rewrite], None]] = {
    ("", "QLinearConv"): _qlinear_conv,
    ("", "QLinearMatMul"): _qlinear_matmul,
    ("com.microsoft", "QGemm"): _qgemm,
    ("com.microsoft", "QLinearAdd"): _qlinear_two,
    ("com.microsoft", "QLinearMul"): _qlinear_two,
    ("com.microsoft", "QLinearAveragePool"): _qlinear_one,
    ("com.microsoft", "QLinearGlobalAveragePool"): _qlinear_one,
    ("com.microsoft", "QLinearSigmoid"): _qlinear_one,
    ("com.microsoft", "QLinearLeakyRelu"): _qlinear_one,
    ("com.microsoft", "QLinearSoftmax"): _qlinear_softmax,
    ("com.microsoft", "QLinearConcat"): _qlinear_concat,
}


def rewrite_qlinear(graph: GraphProto, opset: int) -> bool:
    """Replace the QLinear nodes of `graph` in place; those that cannot be stay, and are refused later."""
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    nodes: list[NodeProto] = []
    changed = False
    for index, node in enumerate(graph.node):
        rewrite = QLINEAR.get((node.domain, node.op_type))
        if rewrite is None:
            nodes.append(node)
            continue
        if not node.name:
            node.name = f"{node.op_type}_{index}"
        r = _Rewrite(node, constants, opset)
        try:
            rewrite(r)
        except Unsupported:
            nodes.append(node)
            continue
        nodes.extend(r.nodes)
        graph.initializer.extend(r.initialisers)
        changed = True
    if changed:
        del graph.node[:]
        graph.node.extend(nodes)
    return changed


def input_code(
    name: str, elem: str, consumers: Mapping[str, Sequence[NodeProto]], constants: Mapping[str, Array]
) -> Quant | None:
    """The quantisation of an int8, uint8 or int16 graph input: that of the DequantizeLinear it reaches, if any."""
    waiting, shift = [name], 128 if elem == "uint8" else 0
    while waiting:
        for node in consumers.get(waiting.pop(), ()):
            if node.op_type == "DequantizeLinear" and node.input[1] in constants:
                zero = constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(1)
                scale = constants[node.input[1]]
                if zero is not None and scale.size == 1 and float(scale.reshape(-1)[0]) > 0:
                    s = float(np.float32(scale.reshape(-1)[0]))
                    return Quant.per_tensor(s, int(zero.reshape(-1)[0]) - shift, 16 if elem == "int16" else 8, pin=name)
            elif node.op_type in MOVES_CODES:
                waiting.extend(node.output)
    return None
