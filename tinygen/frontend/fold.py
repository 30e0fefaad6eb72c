"""Constant folding: one ONNX node whose inputs are all known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnxruntime
from onnx import GraphProto, NodeProto, TypeProto, helper
from onnx.reference import ReferenceEvaluator

from tinygen.frontend.context import Known, Unsupported
from tinygen.ir.types import Quant
from tinygen.numerics import Array

#: Nodes that give something else each time they run.
RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
#: A folded constant above this is a mistake, not a weight of a microcontroller.
MAX_BYTES = 1 << 30


def _run(node: NodeProto, feeds: Mapping[str, Array], opsets: Mapping[str, int]) -> list[Array]:
    names = list(feeds)
    infos = [
        helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(feeds[k].dtype), list(feeds[k].shape))
        for k in names
    ]
    outs = [helper.make_value_info(o, TypeProto()) for o in node.output if o]
    graph: GraphProto = helper.make_graph([node], "fold", infos, outs)
    imports = [helper.make_opsetid(d, v) for d, v in opsets.items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
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


def _too_large(node: NodeProto, feeds: Mapping[str, Array]) -> bool:
    """A node whose result may be far larger than its inputs asks for too much: a damaged or hostile file."""
    values = [feeds[i] for i in node.input if i in feeds]
    if node.op_type == "ConstantOfShape":
        elements = float(np.prod(values[0], dtype=np.float64))
    elif node.op_type in ("Expand", "Tile") and len(values) == 2:
        elements = float(np.prod(np.maximum(values[1], 1), dtype=np.float64)) * values[0].size
    elif node.op_type == "Range" and len(values) == 3 and values[2].size == 1 and values[2].any():
        elements = float(np.max((values[1] - values[0]) / values[2]))
    else:
        return False
    return elements * 4 > MAX_BYTES


def fold(node: NodeProto, ins: Sequence[Known | None], opsets: Mapping[str, int]) -> list[Known]:
    """Outputs of `node` for known inputs. Raises Unsupported when it cannot be run."""
    feeds = {name: v.array for name, v in zip(node.input, ins, strict=True) if v is not None}
    if _too_large(node, feeds):
        raise Unsupported("it makes a constant of more than a gigabyte")
    try:
        arrays = _run(node, feeds, opsets)
    except Exception as e:
        reason = " ".join(str(e).split())[:120]
        raise Unsupported(f"it could not be computed ahead of time ({reason})") from e
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
