"""The backend tests that the onnx package carries, in the form in which networks have them.

A test gives every operand as an input. In a network the weights, axes, shapes and bounds are constants: `fair` makes
initialisers of those (`PARAMETERS`). `unsuitable` says which tests are not about networks in fixed point at all.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper
from onnx.backend.test.loader import load_model_tests

from tinygen.numerics import Array

KINDS = ("node", "simple", "pytorch-operator", "pytorch-converted")

#: Operators, and the places of their inputs that are parameters: all but those that carry the signal.
_PARAMETERS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("Conv ConvTranspose Gemm Clip Dropout QuantizeLinear DequantizeLinear", (1, 2)),
    ("InstanceNormalization GroupNormalization LayerNormalization RMSNormalization", (1, 2)),
    ("OneHot Col2Im DFT Upsample", (1, 2)),
    ("ConvInteger MatMulInteger Pad Resize RotaryEmbedding STFT", (1, 2, 3)),
    ("BatchNormalization Slice", (1, 2, 3, 4)),
    ("LSTM GRU RNN", (1, 2, 3, 4, 7)),
    ("QLinearConv", (1, 2, 3, 4, 5, 6, 7, 8)),
    ("QLinearMatMul", (1, 2, 3, 4, 5, 6, 7)),
    ("Attention", (3, 6)),
    ("CausalConvWithState", (1, 2)),
    ("DeformConv", (1, 3)),
    ("NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss", (2,)),
    ("Scatter ScatterElements ScatterND Gather GatherElements GatherND Compress", (1,)),
    ("MatMul PRelu Pow Reshape Expand Tile Squeeze Unsqueeze Split TopK", (1,)),
    ("CumSum CumProd Trilu CenterCropPad AffineGrid CastLike ReverseSequence", (1,)),
    ("ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin", (1,)),
    ("ReduceProd ReduceSum ReduceSumSquare", (1,)),
    # Of these only the shape of the input counts, or there is nothing but parameters.
    ("Shape Size EyeLike ConstantOfShape HannWindow HammingWindow BlackmanWindow", (0,)),
    ("Range", (0, 1, 2)),
    ("MelWeightMatrix", (0, 1, 2, 3, 4)),
)
PARAMETERS: Mapping[str, frozenset[int]] = {
    name: frozenset(places) for names, places in _PARAMETERS for name in names.split()
}

_FEW_BITS = {
    TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E4M3FNUZ, TensorProto.FLOAT8E5M2, TensorProto.FLOAT8E5M2FNUZ,
    TensorProto.FLOAT8E8M0, TensorProto.FLOAT4E2M1, TensorProto.INT4, TensorProto.UINT4, TensorProto.INT2,
    TensorProto.UINT2,
}  # fmt: skip
#: Operators that no network in fixed point has, and why.
_OUTSIDE: Mapping[str, str] = {
    name: why
    for why, names in (
        ("text", "TfIdfVectorizer LabelEncoder StringNormalizer StringConcat StringSplit RegexFullMatch"),
        ("training", "Adagrad Adam Momentum Gradient"),
        ("random numbers", "Bernoulli RandomNormal RandomUniform RandomNormalLike RandomUniformLike Multinomial"),
        ("bits of integers", "BitShift BitCast BitwiseAnd BitwiseNot BitwiseOr BitwiseXor"),
        ("compressed images", "ImageDecoder"),
        ("results of variable length", "NonZero Unique NonMaxSuppression"),
    )
    for name in names.split()
}


#: The last row of an image is the last row of the smaller one, although 4 * 0.8 and 2 * 0.6 are not whole.
_DISPUTED = {f"test_resize_downsample_scales_{mode}_align_corners" for mode in ("linear", "cubic")}


@dataclass(frozen=True, slots=True, eq=False)
class Test:
    """A test as onnx has it: its first set of data. `node`: what it is a test of, for a twin too, whose nodes are the
    function body of that; None where it is a test of several."""

    name: str
    model: ModelProto
    ins: tuple[Any, ...]
    outs: tuple[Any, ...]
    node: NodeProto | None

    @property
    def operator(self) -> str:
        return "" if self.node is None else self.node.op_type

    @property
    def is_twin(self) -> bool:
        """Is it another test with the operator's function body written out?"""
        return "_expanded" in self.name

    @property
    def inputs(self) -> list[ValueInfoProto]:
        """Those that are no initialisers as well."""
        weights = {t.name for t in self.model.graph.initializer}
        return [v for v in self.model.graph.input if v.name not in weights]

    @property
    def signals(self) -> dict[str, Array]:
        """Input to its array, of those that are no parameters."""
        places = PARAMETERS.get(self.operator, frozenset())
        names = [] if self.node is None else self.node.input
        parameters = {name for i, name in enumerate(names) if i in places}
        given = zip(self.inputs, self.ins, strict=False)
        return {v.name: a for v, a in given if v.name not in parameters}


@cache
def every_test() -> Mapping[str, Test]:
    """Every test of KINDS, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {c.name: c for kind in KINDS for c in load_model_tests(kind=kind)}
    read = {name: _read(c) for name, c in found.items()}

    def dense(values: Sequence[Any]) -> tuple[Any, ...]:
        arrays = (numpy_helper.to_array(v) if isinstance(v, TensorProto) else v for v in values)
        return tuple(np.asarray(v) if isinstance(v, np.generic | float | int) else v for v in arrays)

    return {
        name: Test(name, model, dense(ins), dense(outs), _node(name, {n: m for n, (m, _, _) in read.items()}))
        for name, (model, ins, outs) in read.items()
    }


def _read(case: Any) -> tuple[ModelProto, Sequence[Any], Sequence[Any]]:
    """Model, inputs and outputs; what is no tensor in a file is left out."""
    if case.model is not None:
        return case.model, *case.data_sets[0]
    folder = Path(case.model_dir)
    model = ModelProto.FromString((folder / "model.onnx").read_bytes())

    def arrays(kind: str, values: Sequence[ValueInfoProto]) -> list[Any]:
        files = [folder / "test_data_set_0" / f"{kind}_{i}.pb" for i in range(len(values))]
        tensors = [f for f, v in zip(files, values, strict=True) if f.is_file() and v.type.HasField("tensor_type")]
        return [numpy_helper.to_array(TensorProto.FromString(f.read_bytes())) for f in tensors]

    return model, arrays("input", model.graph.input), arrays("output", model.graph.output)


def _node(name: str, models: Mapping[str, ModelProto]) -> NodeProto | None:
    nodes = models.get(name.partition("_expanded")[0], models[name]).graph.node
    return nodes[0] if len(nodes) == 1 else None


def _nodes(graph: GraphProto) -> list[NodeProto]:
    """Those of the graphs inside included."""
    inner = [a.g for n in graph.node for a in n.attribute if a.HasField("g")]
    return [*graph.node, *(n for g in inner for n in _nodes(g))]


def unsuitable(test: Test) -> str:
    """Why a test says nothing about a network in fixed point; "" where it does."""
    graph = test.model.graph
    ends = [*graph.input, *graph.output]
    nodes = _nodes(graph)
    names = {n.op_type for n in nodes} | {test.operator}
    if any(not v.type.HasField("tensor_type") for v in ends) or any(
        "Sequence" in n for n in names - {"ReverseSequence"}
    ):
        return "sequences and optional values"
    types = {v.type.tensor_type.elem_type for v in ends}
    if TensorProto.STRING in types:
        return "text"
    if "training" in test.name:
        return "training"
    if test.name in _DISPUTED:
        return "onnxruntime and PyTorch give another answer"
    for name in sorted(names & set(_OUTSIDE)):
        return _OUTSIDE[name]
    if any(n.domain == "ai.onnx.ml" for n in nodes):
        return "trees and other classical learning"
    if types & _FEW_BITS:
        return "activations of less than 8 bits, or of 8-bit floats"
    signals = test.signals
    if not all(isinstance(a, np.ndarray) for a in (*test.ins, *test.outs)):
        return "sequences and optional values"
    if not signals:
        return "no output depends on the values of an input"
    if any(a.size == 0 for a in (*signals.values(), *test.outs)):
        return "empty tensors"
    for what, arrays in (("inputs", signals.values()), ("outputs", test.outs)):
        if not all(np.isfinite(a.astype(np.float64)).all() for a in arrays):
            return f"{what} that are infinite or no numbers"
    return ""


def fair(test: Test) -> tuple[ModelProto, dict[str, Array]]:
    """The model with its parameters as initialisers, and what goes into the inputs that are left."""
    model = ModelProto.FromString(test.model.SerializeToString())
    signals = test.signals
    kept = []
    for value, array in zip(test.inputs, test.ins, strict=False):
        if value.name in signals:
            kept.append(value)
        else:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), value.name))
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return model, signals
