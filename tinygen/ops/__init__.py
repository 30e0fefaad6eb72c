"""All operators, by explicit list."""

from tinygen.ops.add import Add
from tinygen.ops.attention import Attention
from tinygen.ops.base import Alias, Call, Case, ConstArg, Operator
from tinygen.ops.compare import Compare
from tinygen.ops.conv import Conv
from tinygen.ops.conv_transpose import ConvTranspose
from tinygen.ops.dense import Dense
from tinygen.ops.div import Div
from tinygen.ops.extreme import Extreme
from tinygen.ops.insert import Insert
from tinygen.ops.lookup import Lookup
from tinygen.ops.matmul import MatMul
from tinygen.ops.move import Concat, Expand, Gather, Pad, Reshape, Slice, Transpose
from tinygen.ops.mul import Mul
from tinygen.ops.norm import Norm
from tinygen.ops.pool import AvgPool, MaxPool
from tinygen.ops.prelu import PRelu
from tinygen.ops.recurrent import Gru, Lstm, Recurrent, Rnn
from tinygen.ops.reduce import ReduceExtreme, ReduceL2, ReduceSum
from tinygen.ops.requantise import Requantise
from tinygen.ops.resize import Resize
from tinygen.ops.softmax import ArgMax, LogSoftmax, LogSumExp, Softmax
from tinygen.ops.unary import Unary

OPERATORS: tuple[type[Operator], ...] = (
    Conv, ConvTranspose, Dense,
    Add, Mul, Div, Extreme, Compare, Unary, PRelu, Requantise,
    Lstm, Gru, Rnn,
    MaxPool, AvgPool, ReduceSum, ReduceL2, ReduceExtreme, Norm, MatMul, Attention,
    Softmax, LogSoftmax, LogSumExp, ArgMax,
    Reshape, Transpose, Slice, Concat, Pad, Gather, Lookup, Insert, Expand, Resize,
)  # fmt: skip

__all__ = [
    "OPERATORS", "Add", "Alias", "ArgMax", "Attention", "AvgPool", "Call", "Case", "Compare", "Concat",
    "ConstArg", "Conv", "ConvTranspose", "Dense", "Div", "Expand", "Extreme", "Gather", "Gru", "Insert", "LogSoftmax",
    "LogSumExp", "Lookup", "Lstm", "MatMul", "MaxPool", "Mul", "Norm", "Operator", "PRelu", "Pad", "Recurrent",
    "ReduceExtreme", "ReduceL2", "ReduceSum", "Requantise", "Reshape", "Resize", "Rnn", "Slice", "Softmax",
    "Transpose", "Unary",
]  # fmt: skip
