"""Operator sets 1 to 6, from before ONNX broadcast as numpy does, written as opset 7.

onnxruntime runs nothing older than 7, so the reference is the rewritten file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx
from onnx import GraphProto, ModelProto, NodeProto, helper, shape_inference

from tinygen.frontend.limits import subgraphs
from tinygen.frontend.opsets import MIN_OPSET, Rewriter, opset_of, set_opset

_LAST = MIN_OPSET - 1


class _Unknown(Exception):
    """Something of the old form is not known: the file stays as it is."""


def _ranks(model: ModelProto) -> Mapping[str, int]:
    """Number of axes of every tensor that has a known one."""
    try:
        graph = shape_inference.infer_shapes(model).graph
    except (shape_inference.InferenceError, RuntimeError):
        graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info)
    found = {v.name: len(v.type.tensor_type.shape.dim) for v in values if v.type.tensor_type.HasField("shape")}
    return found | {t.name: len(t.dims) for t in graph.initializer}


class _Old(Rewriter):
    """With the ranks, and nodes that go in front of others."""

    def __init__(self, model: ModelProto) -> None:
        super().__init__(model)
        self.ranks = _ranks(model)
        self.before: dict[str, NodeProto] = {}  # by the first output of whom they go in front of

    def rank(self, name: str) -> int:
        if name not in self.ranks:
            raise _Unknown
        return self.ranks[name]

    def trail(self, node: NodeProto, i: int, count: int) -> None:
        """Give input i so many axes of length 1 at its end."""
        if count <= 0:
            return
        name = f"{node.name or node.output[0]}/aligned"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        rank = self.rank(node.input[i])
        axes = list(range(rank, rank + count))
        self.before[node.output[0]] = helper.make_node("Unsqueeze", [node.input[i]], [name], name=name, axes=axes)
        node.input[i] = name


def _aligned(r: _Old, node: NodeProto) -> None:
    """The second operand's axes are those of the first from `axis` on."""
    broadcast, axis = r.take(node, "broadcast", "axis")
    if broadcast and axis is not None:
        first, second = r.rank(node.input[0]), r.rank(node.input[1])
        start = int(axis) + (first if int(axis) < 0 else 0)  # type: ignore[call-overload]
        r.trail(node, 1, first - start - second)


def _slope(r: _Old, node: NodeProto) -> None:
    """One slope for each channel, axis 1."""
    if r.rank(node.input[1]) == 1:
        r.trail(node, 1, r.rank(node.input[0]) - 2)


def _evaluation(r: _Old, node: NodeProto) -> None:
    r.take(node, "is_test")


def _broadcast(r: _Old, node: NodeProto) -> None:
    r.take(node, "broadcast")


def _same(r: _Old, node: NodeProto) -> None:
    """Opset 7 says more about it, and nothing else."""


#: Operators that opset 7 writes in another way than opset 6.
_ADAPTERS: dict[str, Callable[[_Old, NodeProto], None]] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less"), _aligned),
    "PRelu": _slope, "Gemm": _broadcast, "BatchNormalization": _evaluation, "Dropout": _evaluation,
    "AveragePool": _same, "LSTM": _same, "GRU": _same, "RNN": _same,
}  # fmt: skip


def _adapter(op_type: str, version: int) -> Callable[[_Old, NodeProto], None]:
    """What makes a node of that set one of opset 7."""

    def since(v: int) -> int:
        try:
            return onnx.defs.get_schema(op_type, v).since_version
        except onnx.defs.SchemaError:
            raise _Unknown from None

    if since(version) == since(MIN_OPSET):
        return _same
    if op_type in _ADAPTERS and since(version) == since(_LAST):
        return _ADAPTERS[op_type]
    raise _Unknown


def upgraded(model: ModelProto) -> list[str]:
    """Rewrite a model of opset 1 to 6, in place, as one of opset 7; returns notes. One that holds an operator of before
    opset 6 that changed is left as it is."""
    version = opset_of(model)
    if not 1 <= version <= _LAST:
        return []
    copy = ModelProto.FromString(model.SerializeToString())
    rewriter = _Old(copy)
    try:
        for node in rewriter.nodes:
            if any(subgraphs(node)):
                raise _Unknown
            if not node.domain:
                _adapter(node.op_type, version)(rewriter, node)
    except _Unknown:
        return []
    _insert(copy.graph, rewriter.before)
    set_opset(copy, MIN_OPSET)
    model.CopyFrom(copy)
    return [f"opset {version} is read as opset {MIN_OPSET}; the check against onnxruntime is of the file rewritten"]


def _insert(graph: GraphProto, before: Mapping[str, NodeProto]) -> None:
    nodes = [m for n in graph.node for m in (before.get(n.output[0]), n) if m is not None]
    kept = [NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del graph.node[:]
    graph.node.extend(kept)
