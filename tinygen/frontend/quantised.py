"""Models that are quantised already. QLinear operators become DequantizeLinear -> operator -> QuantizeLinear on the
ONNX side; QuantizeLinear and DequantizeLinear then become pins: the scales and zero points the model asked for.

uint8 codes become int8 by subtracting 128 from code and zero point, uint16 codes likewise. Codes of fewer bits are int8
with a clamp. int16 has zero point 0 here: where the file's is another, the scale grows until all its values fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from tinygen.frontend.context import Act, Builder, Handler, Known, Result, Unsupported, View
from tinygen.ir.types import Quant
from tinygen.numerics import Array
from tinygen.ops import Unary
from tinygen.ops.unary import clip_expr, keeps_grid

#: Operators that take integers which are no codes of real numbers: nothing is computed, they are compared.
COMPARES_CODES = ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "Max", "Min")
#: Operators that move or compare integer codes without regard to their scale; `in_real` translates what else they say.
MOVES_CODES = (
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout", "Concat", "Split", "Slice",
    "Gather", "Expand", "Tile", "MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "DepthToSpace", "SpaceToDepth",
    "ArgMax", "Resize", "Pad", "Clip", "Relu",
)  # fmt: skip


#: Types of constants below 8 bits.
_FEW_BITS = ("int4", "uint4", "int2", "uint2")


#: Types of codes of activations: bits, and what is subtracted from code and zero point.
_CODES = {
    "int8": (8, 0), "uint8": (8, 128), "int16": (16, 0), "uint16": (16, 2**15),
    "int4": (4, 0), "uint4": (4, 0), "int2": (2, 0), "uint2": (2, 0),
}  # fmt: skip
#: Element type of 16-bit codes whose integers are not ours.
ASYMMETRIC = "asymmetric "


def zero_point(n: View, i: int) -> tuple[Array, str]:
    """Zero points at input i, less what `_CODES` says, and the code's type. Left out: 0 of uint8, or `output_dtype`."""
    if n.has(i):
        a = n.array(i, "the zero point")
        kind, z = a.dtype.name, a.reshape(-1).astype(np.int64)
    else:
        asked = n.integer("output_dtype", 0) or TensorProto.UINT8
        kind, z = TensorProto.DataType.Name(asked).lower(), np.zeros(1, np.int64)
    if kind not in _CODES:
        raise Unsupported(
            f"quantisation to {kind}", "Quantise activations to int8, uint8, int16 or uint16, weights to int8."
        )
    return z - _CODES[kind][1], kind


def _activation(n: View, kind: str, zero: int, pin: str) -> tuple[Quant, float, float, float]:
    """(quantisation, lowest and highest value, steps of the file in one of ours) of codes of type `kind`."""
    scales = _scales(n)
    if len(scales) != 1:
        raise Unsupported("an activation with a scale for each channel", "Quantise activations per tensor.")
    (scale,), bits = scales, _CODES[kind][0]
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    if kind in ("uint4", "uint2"):
        low, high = 0, (1 << bits) - 1
    ends = scale * (low - zero), scale * (high - zero)
    if bits < 16:
        return Quant.per_tensor(scale, zero, 8, pin), *ends, 1.0
    ratio = max((zero - low) / 2.0**15, (high - zero) / (2.0**15 - 1.0))
    return Quant.per_tensor(scale * ratio, 0, 16, pin), *ends, ratio


def no_blocks(n: View) -> str | None:
    """One scale for a tensor or for each slice of an axis.

    Block-wise quantisation is not supported."""
    size = n.integer("block_size", 0)
    return f"blocks of {size}" if size else None


def _scales(n: View, *, constant: bool = False) -> tuple[float, ...]:
    """Of an activation, and of a `constant`: onnxruntime's quantiser gives one that is negative a negative scale."""
    scales = tuple(float(s) for s in n.array(1, "the scale").reshape(-1).astype(np.float32))
    if not all(np.isfinite(s) and (s > 0 or (constant and s < 0)) for s in scales):
        raise Unsupported(f"a scale that is not positive ({min(scales):g})")
    return scales


def quantize_linear(b: Builder, n: View) -> Result:
    """The activation with its quantisation pinned; its ONNX value is the integer code."""
    x = n.act()
    z, kind = zero_point(n, 2)
    q, lo, hi, ratio = _activation(n, kind, int(z[0]), n.outs[0])
    if ratio != 1.0:
        b.coarser[n.outs[0]] = ratio
        kind = ASYMMETRIC + kind
    # Where the file's codes end before ours do, say so: the end may stand for a Relu that the exporter left out.
    step = q.s / 2
    low = lo if q.s * (q.low - q.zero_point) < lo - step else -math.inf
    high = hi if q.s * (q.high - q.zero_point) > hi + step else math.inf
    clip = None if (low, high) == (-math.inf, math.inf) else Unary(clip_expr(low, high), "saturate")
    if clip is not None and not keeps_grid(low, high, q):
        x, clip = b.emit(clip, x), None
    y = b.emit(Unary("x", "requantise"), x, quant=q)
    return Act(y if clip is None else b.emit(clip, y, quant=q), kind, q)


def dequantize_linear(b: Builder, n: View) -> Result:
    value = n.ins[0]
    assert value is not None
    if isinstance(value, Known):
        return _dequantize_known(n, value, _scales(n, constant=True))
    elem = value.elem.removeprefix(ASYMMETRIC)
    if value.code is None or elem not in _CODES:
        raise Unsupported(
            f"DequantizeLinear of {value.elem} that no QuantizeLinear made", "Make the model's input float, without it."
        )
    z, kind = zero_point(n, 2) if n.has(2) else (np.array([-_CODES[elem][1]]), elem)
    q, _, _, ratio = _activation(n, kind, int(z[0]), n.outs[0])
    old = value.code
    if q == old:
        return Act(value.tensor)
    if ratio != 1.0 or elem != value.elem:
        raise Unsupported(f"{elem} codes read under another scale or zero point", "Quantise to int8.")
    # The same code read under another scale: a linear function of the real value.
    ratio = q.s / old.s
    expr = ("Add", ("Mul", "x", ratio), q.s * (old.zero_point - q.zero_point))
    return Act(b.emit(Unary(expr, "rescale"), value.tensor, quant=q))


def _dequantize_known(n: View, value: Known, scales: tuple[float, ...]) -> Known:
    """A constant in float32 that remembers its scale when its codes are at most 8 bits wide."""
    a = value.array
    z = n.array(2, "the zero point").reshape(-1).astype(np.int64) if n.has(2) else np.zeros(1, np.int64)
    kind = a.dtype.name
    vector = a.size == max(a.shape, default=1)  # a bias or another operand; weights of 16 bits would be rounded
    if kind not in ("int8", "uint8", "int32", *_FEW_BITS) and not (kind in ("int16", "uint16") and vector):
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
    if kind in ("int32", "int16", "uint16") or min(scales) < 0:
        return Known(real, value.name)
    # Zero points matter to operands, which have one; weights are known by their scales (frontend/weights.py).
    zero = 0 if kind in _FEW_BITS else int(z[0]) - (128 if kind == "uint8" else 0)
    full = scales * (z.size if len(scales) == 1 and axis is not None else 1)
    return Known(real, value.name, Quant(full, zero, axis, pin=value.name))


QUANTISED: dict[str, Handler] = {
    "QuantizeLinear": Handler(quantize_linear, (no_blocks,), "int8, uint8, int4, uint4; int16, uint16: symmetric here"),
    "DequantizeLinear": Handler(
        dequantize_linear, (no_blocks,), "int8, uint8, int16, uint16, int4, uint4; int32 constants"
    ),
}

# QLinear operators ----------------------------------------------------------------------------------------------------


class _Rewrite:
    """Nodes in place of one QLinear node."""

    def __init__(self, node: NodeProto, constants: Mapping[str, Array], ranks: Mapping[str, int], opset: int) -> None:
        self.node, self.constants, self.ranks, self.opset = node, constants, ranks, opset
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
            raise Unsupported("scales computed from the input", "Quantise the model with static scales.")
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

    def step(self, op_type: str, inputs: Sequence[str], **attrs: Any) -> str:
        """One more operator, without the node's attributes."""
        out = f"{self.node.output[0]}/{op_type.lower()}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [out], name=self.node.name, **attrs))
        return out

    def channels_first(self, op: Callable[[str], str], x: str) -> str:
        """`op` of x; between two transposes where the node says that its channels are the last axis."""
        if not self.attrs.get("channels_last", 0):
            return op(x)
        rank = self.ranks.get(self.arg(0), 0)
        if rank < 3:
            raise Unsupported("channels_last=1 and an input of unknown shape")
        first = self.transpose(x, [0, rank - 1, *range(1, rank - 1)])
        return self.transpose(op(first), [0, *range(2, rank), 1])

    def transpose(self, x: str, perm: Sequence[int]) -> str:
        out = f"{self.node.output[0]}/transposed{len(self.nodes)}"
        self.nodes.append(helper.make_node("Transpose", [x], [out], name=self.node.name, perm=list(perm)))
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
    w, b = r.real(3, 0 if scale is not None and scale.size > 1 else None), r.bias(8, 1, 4)
    r.quantise(r.channels_first(lambda x: r.op("Conv", [x, w, b], ("channels_last",)), r.real(0)), 6, 7)


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
    r.quantise(r.channels_first(lambda x: r.op(kind, [x], ("channels_last",)), r.real(0)), 3, 4)


def _qlinear_mean(r: _Rewrite) -> None:
    axes = [int(a) for a in r.attrs.get("axes", ())]
    if r.opset < 18 or not axes:
        r.quantise(r.op("ReduceMean", [r.real(0)]), 3, 4)
        return
    name = f"{r.node.output[0]}/axes"
    r.initialisers.append(numpy_helper.from_array(np.array(axes, np.int64), name))
    r.quantise(r.op("ReduceMean", [r.real(0), name], ("axes",)), 3, 4)


def _qlinear_where(r: _Rewrite) -> None:
    r.quantise(r.op("Where", [r.arg(0), r.real(1), r.real(4)]), 7, 8)


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
    ("com.microsoft", "QLinearConv"): _qlinear_conv,
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
    ("com.microsoft", "QLinearReduceMean"): _qlinear_mean,
    ("com.microsoft", "QLinearWhere"): _qlinear_where,
}

#: Activations that onnxruntime fuses into a convolution, with the names of their parameters.
_FUSED_ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "": (), "Relu": (), "Sigmoid": (), "Tanh": (), "LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta"),
    "Clip": ("min", "max"),
}  # fmt: skip


def _fused_conv(r: _Rewrite) -> None:
    """Convolution, an addend if there is one, activation."""
    kind = r.attrs.get("activation", b"").decode()
    if kind not in _FUSED_ACTIVATIONS:
        raise Unsupported(f"activation {kind}", f"Known are {', '.join(filter(None, _FUSED_ACTIVATIONS))}.")
    names, values = _FUSED_ACTIVATIONS[kind], [float(v) for v in r.attrs.get("activation_params", ())]
    y = r.op("Conv", [r.arg(i) for i in range(3)], ("activation", "activation_params"))
    if r.arg(3):
        y = r.step("Add", [y, r.arg(3)])
    if kind == "Clip":
        bounds = [f"{r.node.output[0]}/{name}" for name in names]
        for name, value in zip(bounds, values, strict=True):
            r.initialisers.append(numpy_helper.from_array(np.array(value, np.float32), name))
        y = r.step("Clip", [y, *bounds])
    elif kind:
        y = r.step(kind, [y], **dict(zip(names, values, strict=True)))
    r.nodes[-1].output[0] = r.node.output[0]


#: (domain, operator) of all that is written out before the nodes are read.
REWRITES: dict[tuple[str, str], Callable[[_Rewrite], None]] = {
    **QLINEAR,
    ("com.microsoft", "FusedConv"): _fused_conv,
}


#: Where a QLinear operator has the input that its result has as many axes as, if not first.
_LIKE = {"QLinearConcat": 2, "QLinearWhere": 1}


def rewrite(graph: GraphProto, opset: int) -> bool:
    """Replace the nodes of REWRITES in `graph` in place; those that cannot be stay, and are refused later."""
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    ranks = {
        v.name: len(v.type.tensor_type.shape.dim)
        for v in (*graph.value_info, *graph.input)
        if v.type.tensor_type.HasField("shape")
    }
    nodes: list[NodeProto] = []
    changed = False
    for index, node in enumerate(graph.node):
        how = REWRITES.get((node.domain, node.op_type))
        if how is None:
            nodes.append(node)
            continue
        if not node.name:
            node.name = f"{node.op_type}_{index}"
        # onnx infers no shapes behind com.microsoft's operators.
        like = node.input[_LIKE.get(node.op_type, 0)]
        if like in ranks and node.op_type not in ("QLinearReduceMean", "QLinearMatMul"):
            ranks.setdefault(node.output[0], ranks[like])
        r = _Rewrite(node, constants, ranks, opset)
        try:
            how(r)
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


def in_real(n: View, code: Quant) -> View:
    """An operator of MOVES_CODES that works on codes, with what it says of codes in real values."""
    if n.op_type == "Resize" and n.text("mode", "nearest") != "nearest":
        raise Unsupported(
            "linear interpolation of integers, whose fraction onnxruntime cuts off: up to one step less",
            "Quantise in QDQ form (QuantFormat.QDQ), or resize to the nearest.",
        )
    if n.op_type not in ("Pad", "Clip", "Relu"):
        return n
    value = n.ins[0]
    assert isinstance(value, Act)
    if value.elem.startswith(ASYMMETRIC):
        raise Unsupported(
            f"{n.op_type} of {value.elem} codes", "Put DequantizeLinear before and QuantizeLinear behind."
        )

    def real(c: float | None) -> Known | None:
        return None if c is None else Known(np.array(code.s * (c - _CODES[value.elem][1] - code.zero_point)))

    if n.op_type == "Relu":
        return replace(n, op_type="Clip", ins=(value, real(0.0), None))
    if n.op_type == "Clip":
        return replace(n, ins=(value, real(n.scalar(1, "min")), real(n.scalar(2, "max"))))
    padding = real(n.scalar(2, "the value") or 0.0) if n.text("mode", "constant") == "constant" else None
    ins = [*n.ins, None, None, None]
    return replace(n, ins=(*ins[:2], padding, ins[3]))


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
                if elem == "int16" and zero is not None and np.any(zero):
                    return None  # refused with the node that reads it
                if zero is not None and scale.size == 1 and float(scale.reshape(-1)[0]) > 0:
                    s = float(np.float32(scale.reshape(-1)[0]))
                    return Quant.per_tensor(s, int(zero.reshape(-1)[0]) - shift, 16 if elem == "int16" else 8, pin=name)
            elif node.op_type in MOVES_CODES:
                waiting.extend(node.output)
    return None
