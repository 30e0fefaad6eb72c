"""The rule of each ONNX operator."""

from __future__ import annotations

import numpy as np

from tinygen.calibrate.reading.elementwise import (
    add_rule,
    clip_rule,
    div_rule,
    extreme_rule,
    function_rule,
    hard_sigmoid_rule,
    leaky_rule,
    mul_rule,
    prelu_rule,
    reduce_rule,
    sigmoid,
    softmax_rule,
)
from tinygen.calibrate.reading.moves import (
    concat_rule,
    expand_rule,
    flatten_rule,
    gather_rule,
    pad_rule,
    reshape_rule,
    same_rule,
    slice_rule,
    split_rule,
    squeeze_rule,
    transpose_rule,
    unsqueeze_rule,
)
from tinygen.calibrate.reading.products import conv_rule, conv_transpose_rule, gemm_rule, matmul_rule
from tinygen.calibrate.reading.resize import resize_rule
from tinygen.calibrate.reading.values import Rule
from tinygen.calibrate.reading.windows import average_pool_rule, global_pool_rule, max_pool_rule

RULES: dict[str, Rule] = {
    "Conv": conv_rule,
    "ConvTranspose": conv_transpose_rule,
    "MatMul": matmul_rule,
    "Gemm": gemm_rule,
    "Add": add_rule(1),
    "Sub": add_rule(-1),
    "Mul": mul_rule,
    "Div": div_rule,
    "PRelu": prelu_rule,
    "LeakyRelu": leaky_rule,
    "Relu": function_rule(lambda x: np.maximum(x, 0.0)),
    "Neg": function_rule(lambda x: -x),
    "Abs": function_rule(np.abs),
    "Sigmoid": function_rule(sigmoid, 0.25),
    "Tanh": function_rule(np.tanh),
    "HardSigmoid": hard_sigmoid_rule,
    "HardSwish": function_rule(lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0), 1.5),
    "Clip": clip_rule,
    "Max": extreme_rule(np.maximum),
    "Min": extreme_rule(np.minimum),
    "Softmax": softmax_rule,
    "MaxPool": max_pool_rule,
    "AveragePool": average_pool_rule,
    "GlobalAveragePool": global_pool_rule(np.mean),
    "GlobalMaxPool": global_pool_rule(np.max),
    "ReduceMean": reduce_rule(np.mean, False),
    "ReduceSum": reduce_rule(np.sum, True),
    "ReduceMax": reduce_rule(np.max, False),
    "ReduceMin": reduce_rule(np.min, False),
    "Reshape": reshape_rule,
    "Flatten": flatten_rule,
    "Squeeze": squeeze_rule,
    "Unsqueeze": unsqueeze_rule,
    "Transpose": transpose_rule,
    "Concat": concat_rule,
    "Slice": slice_rule,
    "Split": split_rule,
    "Gather": gather_rule,
    "Pad": pad_rule,
    "Expand": expand_rule,
    "Identity": same_rule,
    "Dropout": same_rule,
    "Resize": resize_rule,
    "Upsample": resize_rule,
}
