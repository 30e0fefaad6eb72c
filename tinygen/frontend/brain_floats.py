"""bfloat16 read as float32, of which it is the upper half: every value is the same, and onnxruntime runs it."""

from __future__ import annotations

from collections.abc import Iterable

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, numpy_helper

#: Attributes that name an element type.
_TYPES = {"to", "dtype", "output_dtype", "softmax_precision", "stash_type"}


def widened(model: ModelProto) -> bool:
    """Make every bfloat16 of the model float32, in place; was there any?"""
    return any([_graph(model.graph), *(_nodes(f.node) for f in model.functions)])


def _graph(graph: GraphProto) -> bool:
    values = [_type(v.type) for v in (*graph.input, *graph.output, *graph.value_info)]
    return any([*values, *map(_tensor, graph.initializer), _nodes(graph.node)])


def _type(t: TypeProto) -> bool:
    found = t.tensor_type.elem_type == TensorProto.BFLOAT16
    if found:
        t.tensor_type.elem_type = TensorProto.FLOAT
    return found


def _tensor(t: TensorProto) -> bool:
    found = t.data_type == TensorProto.BFLOAT16
    if found:
        t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(t).astype("float32"), t.name))
    return found


def _nodes(nodes: Iterable[NodeProto]) -> bool:
    found = False
    for a in (a for n in nodes for a in n.attribute):
        if a.name in _TYPES and a.i == TensorProto.BFLOAT16:
            a.i, found = TensorProto.FLOAT, True
        found |= any([*(_tensor(t) for t in (a.t, *a.tensors)), *(_graph(g) for g in (a.g, *a.graphs))])
    return found
