"""FLOAT graph to ONNX: what onnxruntime executes for calibration, comparison and accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tinygen.ir.types import Graph, Stage, Tensor
from tinygen.numerics import Array
from tinygen.ops.base import Operator

#: Operator set and file version of everything we write: old enough for onnxruntime 1.14.
OPSET = 18
IR_VERSION = 8


class _Builder:
    """Collects ONNX nodes; implements tinygen.ops.base.OnnxBuilder."""

    def __init__(self, taken: set[str]) -> None:
        self.nodes: list[NodeProto] = []
        self.initialisers: list[TensorProto] = []
        self._taken = taken
        self._count = 0

    def fresh(self, kind: str) -> str:
        while True:
            self._count += 1
            name = f"{kind}_{self._count}"
            if name not in self._taken:
                return name

    def op(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        out = self.fresh(op_type)
        self.nodes.append(helper.make_node(op_type, list(inputs), [out], name=out, **attributes))
        return out

    def const(self, array: Array) -> str:
        name = self.fresh("const")
        self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name


def _value_info(t: Tensor) -> Any:
    return helper.make_tensor_value_info(t.name, TensorProto.FLOAT, list(t.shape))


def to_onnx(graph: Graph, extra_outputs: Sequence[str] = ()) -> bytes:
    """A serialised ONNX model with the same float meaning.

    Inputs, outputs and `extra_outputs` (any tensors of the graph) carry the names, shapes and layout of the IR tensors.
    """
    if graph.stage is not Stage.FLOAT:
        raise ValueError("only FLOAT graphs have a float meaning")
    b = _Builder({*graph.tensors, *(n.name for n in graph.nodes)})
    for node in graph.nodes:
        assert isinstance(node.op, Operator)
        start = len(b.nodes)
        written = node.op.to_onnx(b, graph.ins(node), node.inputs)
        mine = {n.output[0]: n for n in b.nodes[start:]}
        for name, want in zip(written, node.outputs, strict=True):
            last = mine.get(name)
            # The operator's last ONNX node takes the tensor's name; one that wrote no node gets an Identity.
            if last is None or any(name in n.input for n in b.nodes[start:]):
                b.nodes.append(helper.make_node("Identity", [name], [want], name=b.fresh("Identity")))
            else:
                last.output[0] = want
                last.name = node.name
    read = {name for n in b.nodes for name in n.input}
    for t in graph.tensors.values():
        if t.const is not None and t.name in read:
            b.initialisers.append(numpy_helper.from_array(t.array, t.name))
    shown = list(dict.fromkeys((*graph.outputs, *(name for name in extra_outputs if name not in graph.inputs))))
    proto = helper.make_graph(
        b.nodes,
        graph.name,
        [_value_info(graph.tensors[name]) for name in graph.inputs],
        [_value_info(graph.tensors[name]) for name in shown],
        b.initialisers,
    )
    model: ModelProto = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="tinygen"
    )
    data: bytes = model.SerializeToString()
    return data
