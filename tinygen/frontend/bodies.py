"""Operators without an importer that ONNX itself defines by others: their function bodies, in their place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import onnx
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TypeProto, helper, inliner

from tinygen.frontend.limits import subgraphs

_DOMAIN = "tinygen.body"
#: Bodies may hold operators that have one themselves: so deep.
DEEPEST = 4


def _function(node: NodeProto, types: Sequence[TypeProto], opset: int) -> FunctionProto | None:
    """The body of a node whose inputs have these types, as of its operator set; None without one."""
    if node.domain or not onnx.defs.has(node.op_type, opset):
        return None
    schema: Any = onnx.defs.get_schema(node.op_type, opset)  # onnx's stubs lack some of its methods
    versions = schema.context_dependent_function_opset_versions or schema.function_opset_versions
    version = max((v for v in versions if v <= opset), default=0)
    if not version:
        return None
    if schema.has_context_dependent_function:
        given = node.SerializeToString(), [t.SerializeToString() for t in types]
        raw = schema.get_context_dependent_function_with_opset_version(version, *given)
    else:
        raw = schema.get_function_with_opset_version(version)
    function = FunctionProto.FromString(raw)
    inner = {n.op_type for n in function.node if not n.domain}
    return function if all(_since(op, version) == _since(op, opset) for op in inner) else None


def _since(op_type: str, opset: int) -> int:
    return int(onnx.defs.get_schema(op_type, opset).since_version)


def _body(node: NodeProto, types: Mapping[str, TypeProto], opset: int) -> GraphProto | None:
    """The body of the node, with its own inputs, outputs and attributes."""
    function = _function(node, [types.get(i, TypeProto()) for i in node.input], opset)
    if function is None:
        return None
    function.domain = _DOMAIN
    del function.opset_import[:]
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(_DOMAIN, 1)]
    function.opset_import.extend(imports[:1])
    call = NodeProto.FromString(node.SerializeToString())
    call.domain = _DOMAIN
    given = {a.name for a in call.attribute}
    defaults = onnx.defs.get_schema(node.op_type, opset).attributes.values()
    call.attribute.extend(a.default_value for a in defaults if a.default_value.name and a.name not in given)
    names = dict.fromkeys(i for i in node.input if i)
    ins = [helper.make_value_info(i, types[i]) for i in names]
    outs = [helper.make_empty_tensor_value_info(o) for o in node.output if o]
    graph = helper.make_graph([call], "body", ins, outs)
    model = helper.make_model(graph, opset_imports=imports, functions=[function], ir_version=10)
    return inliner.inline_local_functions(model).graph


def _renamed(graph: GraphProto, kept: Collection[str], base: str) -> None:
    """Every value made in the graph, and in those inside it, by a name below `base`; the nodes too."""

    def new(name: str) -> str:
        return name if name in kept else f"{base}/{name}"

    def walk(part: GraphProto, prefix: str) -> None:
        for i, n in enumerate(part.node):
            n.name = f"{prefix}/{n.op_type}_{i}"
            n.input[:] = [new(i) for i in n.input]
            n.output[:] = [new(o) for o in n.output]
            for inner in subgraphs(n):
                for value in (*inner.input, *inner.output, *inner.initializer):
                    value.name = new(value.name)
                walk(inner, n.name)

    walk(graph, base)


def written_out(model: ModelProto, opset: int, is_read: Callable[[NodeProto], bool]) -> bool:
    """Put function bodies in the place of nodes that have one and for which not `is_read`; was there any? `opset`: that
    of the model, whose types must be inferred."""
    graph, found = model.graph, False
    types = {v.name: v.type for v in (*graph.input, *graph.value_info, *graph.output)}
    types |= {t.name: helper.make_tensor_type_proto(t.data_type, list(t.dims)) for t in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        typed = all(i in types for i in node.input if i)
        body = None if is_read(node) or not typed else _body(node, types, opset)
        if body is None:
            nodes.append(node)
            continue
        found = True
        _renamed(body, {"", *node.input, *node.output}, node.name)
        nodes += body.node
    if found:
        copies = [NodeProto.FromString(n.SerializeToString()) for n in nodes]
        del graph.node[:]
        graph.node.extend(copies)
    return found
