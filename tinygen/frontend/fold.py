"""Constant folding: one ONNX node whose inputs are all known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnxruntime
from onnx import GraphProto, ModelProto, NodeProto, TypeProto, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from tinygen.frontend.context import Known, Unsupported
from tinygen.frontend.limits import MAX_COMPUTED, too_large
from tinygen.ir.types import Quant
from tinygen.numerics import Array
from tinygen.ops.base import Shape

#: Nodes that give something else each time they run.
RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
#: Products of matrices, and operators that take microseconds for each element: at most so many elementary steps.
MAX_WORK = 1 << 28
_PRODUCTS = ("MatMul", "Gemm", "Einsum", "MatMulInteger", "QLinearMatMul")
_SLOW = (
    "AveragePool", "CenterCropPad", "Col2Im", "Conv", "ConvInteger", "ConvTranspose", "DeformConv", "DFT", "GRU",
    "GridSample", "LpPool", "LRN", "LSTM", "MaxPool", "MaxRoiPool", "MaxUnpool", "MelWeightMatrix", "NonMaxSuppression",
    "QLinearConv", "RNN", "Resize", "RoiAlign", "STFT", "TfIdfVectorizer", "TopK", "Unique", "Upsample",
)  # fmt: skip
#: Elements of a constant that may be a shape, to work out others.
_FEW = 1024


def _model(node: NodeProto, feeds: Mapping[str, Array], opsets: Mapping[str, int]) -> ModelProto:
    """The node as a model of its own."""
    names = list(feeds)
    infos = [
        helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(feeds[k].dtype), list(feeds[k].shape))
        for k in names
    ]
    outs = [helper.make_value_info(o, TypeProto()) for o in node.output if o]
    graph: GraphProto = helper.make_graph([node], "fold", infos, outs)
    imports = [helper.make_opsetid(d, v) for d, v in opsets.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def _run(model: ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    try:
        results = ReferenceEvaluator(model).run(None, dict(feeds))
    except Exception:  # noqa: BLE001 - whatever it is, onnxruntime gets its turn
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        results = session.run(None, dict(feeds))
    return [np.asarray(r) for r in results]


def _moved_quant(node: NodeProto, attrs: Mapping[str, object], x: Known, out: Array) -> Quant | None:
    """The quantisation of x after a node that only moves its values; None when it does not survive."""
    q = x.quant
    if q is None or q.axis is None:
        return q
    if node.op_type == "Transpose":
        perm = list(attrs.get("perm", range(x.array.ndim - 1, -1, -1)))  # type: ignore[call-overload]
        return replace(q, axis=perm.index(q.axis))
    # A reshape keeps the axis when as many values lie before it, and it is as long.
    before = int(np.prod(x.array.shape[: q.axis], dtype=np.int64))
    for axis, d in enumerate(out.shape):
        if int(np.prod(out.shape[:axis], dtype=np.int64)) == before and d == x.array.shape[q.axis]:
            return replace(q, axis=axis)
    return None


def _result_shapes(model: ModelProto, feeds: Mapping[str, Array]) -> list[Shape | None]:
    """Shapes of the results, worked out without running the node; None where that cannot be."""
    known = ModelProto()
    known.CopyFrom(model)
    known.graph.initializer.extend(
        numpy_helper.from_array(a, name) for name, a in feeds.items() if a.size <= _FEW and a.dtype.kind in "fiub"
    )
    try:
        inferred = shape_inference.infer_shapes(known).graph.output
    except (shape_inference.InferenceError, RuntimeError):
        return [None for _ in model.graph.output]
    shapes: list[Shape | None] = []
    for v in inferred:
        dims = v.type.tensor_type.shape.dim
        static = v.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims)
        shapes.append(tuple(d.dim_value for d in dims) if static else None)
    return shapes


def _too_much(node: NodeProto, model: ModelProto, feeds: Mapping[str, Array], spent: int) -> str | None:
    """Why the node is not to be computed, or None. `spent`: elements of constants computed so far."""
    shapes = _result_shapes(model, feeds)
    for shape in shapes:
        reason = None if shape is None else too_large(shape)
        if reason is not None:
            return f"it makes a constant that is too large: {reason}"
    given = sum(a.size for a in feeds.values())
    # A shape that is not known: no larger than what goes in, for operators that pick or drop elements.
    made = sum(given if s is None else math.prod(s) for s in shapes)
    if spent + made > MAX_COMPUTED:
        return f"all constants that are computed are {spent + made:,} elements, more than any microcontroller holds"
    each = 1
    if node.op_type in _PRODUCTS:
        each = max((max(a.shape, default=1) for a in feeds.values()), default=1)
    elif node.op_type in _SLOW:
        each = MAX_WORK >> 16
    if made * each > MAX_WORK:
        return f"it would take too long to compute ahead of time: {made:,} elements by {node.op_type}"
    return None


def fold(node: NodeProto, ins: Sequence[Known | None], opsets: Mapping[str, int], spent: int = 0) -> list[Known]:
    """Outputs of `node` for known inputs; `spent`: elements of constants computed before. Raises Unsupported when it
    cannot be run, or would take too much."""
    feeds = {name: v.array for name, v in zip(node.input, ins, strict=True) if v is not None}
    try:
        model = _model(node, feeds, opsets)
        reason = _too_much(node, model, feeds, spent)
        if reason is not None:
            raise Unsupported(reason, "Shrink the constants it is computed from.")
        arrays = _run(model, feeds)
    except Unsupported:
        raise
    except Exception as e:
        reason = " ".join(str(e).split())[:120]
        raise Unsupported(
            f"it could not be computed ahead of time ({reason})", "Replace it by the constant that it stands for."
        ) from e
    first = ins[0] if ins else None
    moves = node.op_type in ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")
    attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    result = iter(arrays)
    return [
        Known(a := next(result), o, _moved_quant(node, attrs, first, a) if moves and first is not None else None)
        if o
        else Known(np.zeros(0))
        for o in node.output
    ]
