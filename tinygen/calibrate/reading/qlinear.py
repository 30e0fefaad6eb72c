"""The QLinear forms: codes in, codes out, by the float operator between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from onnx import helper

from tinygen.calibrate.reading.moves import concat_rule, need_array
from tinygen.calibrate.reading.products import conv_rule, gemm_rule, matmul_rule
from tinygen.calibrate.reading.rules import RULES
from tinygen.calibrate.reading.values import Ins, Node, Unreadable, Value, dequantise, known_input, need_value


def _pairs(ins: Ins, starts: Sequence[int]) -> Ins:
    """(code, scale, zero point) at each of `starts`, as numbers."""
    return [
        dequantise(need_value(ins[i]), need_array(known_input(ins, i + 1)), known_input(ins, i + 2), 0) for i in starts
    ]


def _columns_of(ins: Ins, i: int, axis: int) -> Value:
    """Weights at input i, whose scales lie along `axis`."""
    return dequantise(need_value(ins[i]), need_array(known_input(ins, i + 1)), known_input(ins, i + 2), axis)


def _bias(ins: Ins, i: int, x_scale: int, w_scale: int) -> Value | None:
    b = known_input(ins, i)
    if b is None:
        return None
    sx, sw = (np.asarray(need_array(known_input(ins, k)), np.float32).astype(np.float64) for k in (x_scale, w_scale))
    return Value(b.astype(np.float64) * (sx * sw).ravel(), False)


def qlinear_rule(n: Node, ins: Ins) -> tuple[Value, int, str]:
    """(number before rounding, input at which the output's scale stands, name of the operator between)."""
    op = n.op
    if op == "QLinearConv":
        w = _columns_of(ins, 3, 0)
        return conv_rule(n, [*_pairs(ins, [0]), w, _bias(ins, 8, 1, 4)])[0], 6, "Conv"
    if op == "QLinearMatMul":
        w = need_value(ins[3])
        y = matmul_rule(n, [*_pairs(ins, [0]), _columns_of(ins, 3, w.a.ndim - 1 - w.live)])
        return y[0], 6, "MatMul"
    if op == "QGemm":
        turned = int(n.attrs.get("transB", 0))
        y = gemm_rule(n, [*_pairs(ins, [0]), _columns_of(ins, 3, 0 if turned else 1), _bias(ins, 6, 1, 4)])
        return y[0], 7, "Gemm"
    base = op.removeprefix("QLinear")
    if base in ("Add", "Mul"):
        return RULES[base](n, _pairs(ins, [0, 3]))[0], 6, base
    if base == "Concat":
        return concat_rule(n, _pairs(ins, range(2, len(ins), 3)))[0], 0, base
    if base in ("AveragePool", "GlobalAveragePool", "Sigmoid", "LeakyRelu", "Softmax", "ReduceMean"):
        if int(n.attrs.get("channels_last", 0)):
            raise Unreadable("channels_last=1")
        at = 3
        if base == "Softmax" and "opset" in n.attrs:
            n = replace(n, version=int(n.attrs["opset"]))
        return RULES[base](n, _pairs(ins, [0]))[0], at, base
    raise Unreadable(f"no rule for {op}")


def elements_of(kind: str) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(kind)))
