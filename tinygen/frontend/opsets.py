"""Operator sets: which are read, what onnxruntime runs as the reference, and those of 7 to 10 written as 11.

The reference stays the user's file in its own operator set where onnxruntime knows it. Files of opset 7 to 10 are
rewritten here and not by onnx.version_converter, which turns linear Upsample and Resize into another function
(half_pixel for asymmetric), stops at the first operator it does not know, and loses the nodes' names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
import onnx
import onnxruntime
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    numpy_helper,
    shape_inference,
    version_converter,
)

from tinygen.errors import Problem
from tinygen.frontend.bodies import DEEPEST, written_out
from tinygen.numerics import Array

#: Oldest that onnxruntime runs (opset6.py rewrites those before), and oldest that the importers know.
MIN_OPSET, BASE_OPSET = 7, 11
#: Newest default-domain operator set the installed onnx package knows.
MAX_OPSET = onnx.defs.onnx_opset_version()
#: Newer ones are read as MAX_OPSET, up to so many: some years of releases. Beyond, the number is damaged.
_AHEAD = 10
#: Up to this set onnxruntime has a kernel for every operator; newer ones it may lack, or have as a function only.
_COMPLETE = 21

_STANDARD = ("", "ai.onnx")


def opset_of(model: ModelProto) -> int:
    """Version of the default operator set; 0 without one."""
    return max((o.version for o in model.opset_import if o.domain in _STANDARD), default=0)


def set_opset(model: ModelProto, version: int) -> None:
    for o in model.opset_import:
        if o.domain in _STANDARD:
            o.version = version


def opset_problem(model: ModelProto) -> Problem | None:
    """Why the model's operator set cannot be read, or None."""
    found = opset_of(model)
    if found < MIN_OPSET:
        return Problem(
            "the file", f"opset {found}", f"opset {found}; tinygen reads {MIN_OPSET} to {MAX_OPSET}",
            "Convert the file: onnx.version_converter.convert_version(onnx.load(FILE), 13); or export it again.",
        )  # fmt: skip
    if found > MAX_OPSET + _AHEAD:
        return Problem(
            "the file", f"opset {found}",
            f"opset {found}; the installed onnx {onnx.__version__} knows up to {MAX_OPSET}",
            "pip install -U onnx onnxruntime; or export with an older opset_version.",
        )  # fmt: skip
    return None


# The reference --------------------------------------------------------------------------------------------------------


def _loads(model: ModelProto) -> bool:
    """Does onnxruntime load the model?"""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001 - onnxruntime raises bare exceptions of its own
        return False
    return True


@cache
def runtime_opset() -> int:
    """Newest operator set the installed onnxruntime executes; it trails the onnx package by a release or two."""
    for version in range(MAX_OPSET, BASE_OPSET, -1):
        info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", info[:1], info[1:])
        if _loads(helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=10)):
            return version
    return BASE_OPSET


def _oldest_equal(model: ModelProto, found: int) -> int:
    """The oldest operator set in which every standard operator of the graph is what it is in opset `found`."""
    known = {n.op_type for n in model.graph.node if not n.domain and onnx.defs.has(n.op_type)}
    return max((onnx.defs.get_schema(op, found).since_version for op in known), default=BASE_OPSET)


def _without_new(model: ModelProto) -> ModelProto | None:
    """The model with the operators that onnxruntime may lack written out, as ONNX defines them, in the newest set it
    runs; None where that does not help."""
    plain, found = ModelProto.FromString(model.SerializeToString()), opset_of(model)

    def is_old(node: NodeProto) -> bool:
        known = not node.domain and onnx.defs.has(node.op_type, found)
        return not known or onnx.defs.get_schema(node.op_type, found).since_version <= _COMPLETE

    for _ in range(DEEPEST):
        try:
            plain = shape_inference.infer_shapes(plain)
        except (shape_inference.InferenceError, RuntimeError):
            return None
        if not written_out(plain, found, is_old):
            break
    set_opset(plain, min(runtime_opset(), max(BASE_OPSET, _oldest_equal(plain, found))))
    return plain if _loads(plain) else None


#: How onnxruntime's recurrent operators, which have no layout 1, get their inputs, and how their outputs are put back.
_TIME_FIRST: dict[int, tuple[int, ...]] = {0: (1, 0, 2), 5: (1, 0, 2), 6: (1, 0, 2)}
_BATCH_FIRST = ((2, 0, 1, 3), (1, 0, 2), (1, 0, 2))


def _time_first(graph: GraphProto) -> None:
    """Recurrent nodes of layout 1 as nodes of layout 0 between transposes."""
    nodes: list[NodeProto] = []
    for index, node in enumerate(graph.node):
        layout = next((a for a in node.attribute if a.name == "layout" and a.i == 1), None)
        if node.op_type not in ("LSTM", "GRU", "RNN") or layout is None:
            nodes.append(node)
            continue
        stem = f"{node.name or node.op_type}_{index}"
        layout.i = 0
        for i, perm in _TIME_FIRST.items():
            if i < len(node.input) and node.input[i]:
                moved = f"{stem}_time_first_{i}"
                nodes.append(helper.make_node("Transpose", [node.input[i]], [moved], name=moved, perm=perm))
                node.input[i] = moved
        nodes.append(node)
        for i, back in enumerate(_BATCH_FIRST[: len(node.output)]):
            if node.output[i]:
                moved = f"{stem}_time_first_y{i}"
                nodes.append(helper.make_node("Transpose", [moved], [node.output[i]], name=moved, perm=back))
                node.output[i] = moved
    del graph.node[:]
    graph.node.extend(nodes)


def for_runtime(model: ModelProto) -> tuple[ModelProto, list[str], Problem | None]:
    """The model in an operator set that onnxruntime executes, notes, and what is wrong if there is none.

    Operators that have not changed since an older set are the same there: only the number is lowered, and no further
    than it must be. onnxruntime has a few new operators only as the functions of the very set that brought them.
    """
    newest, found = runtime_opset(), opset_of(model)
    notes = []
    _time_first(model.graph)
    if found > MAX_OPSET:
        notes.append(f"opset {found} is newer than the installed onnx {onnx.__version__}; read as {MAX_OPSET}")
        found = MAX_OPSET
        set_opset(model, found)
    if found <= BASE_OPSET:
        return model, notes, None
    oldest = max(BASE_OPSET, _oldest_equal(model, found))
    if found <= newest and oldest <= _COMPLETE:
        return model, notes, None
    for version in dict.fromkeys(v for v in (found, newest, oldest) if oldest <= v <= newest):
        lowered = ModelProto.FromString(model.SerializeToString())
        set_opset(lowered, version)
        if _loads(lowered):
            return lowered, notes, None
    for version in range(newest, _COMPLETE - 1, -1):
        try:
            lowered = version_converter.convert_version(model, version)
        except Exception:  # noqa: BLE001 - the converter raises bare exceptions of its own
            continue
        if _loads(lowered):
            return lowered, notes, None
    plain = _without_new(model)
    if plain is not None:
        return plain, notes, None
    if oldest <= newest:  # it is not the number: what onnxruntime does not know is refused with its node
        set_opset(model, min(found, newest))
        return model, notes, None
    what = f"operators of opset {oldest}; the installed onnxruntime {onnxruntime.__version__} knows up to {newest}"
    help_ = "pip install -U onnxruntime; or export with an older opset_version."
    return model, notes, Problem("the file", f"opset {found}", what, help_)


# Opset 7 to 10 --------------------------------------------------------------------------------------------------------


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """The nodes of a graph, and of the graphs inside them."""
    for node in graph.node:
        yield node
        for a in node.attribute:
            if a.type == AttributeProto.GRAPH:
                yield from _nodes(a.g)


class Rewriter:
    """Nodes of an old operator set as a newer one has them; constants are added to the graph."""

    def __init__(self, model: ModelProto) -> None:
        self.graph = model.graph
        self.version = opset_of(model)
        self.nodes = list(_nodes(model.graph))
        self.taken = {name for n in self.nodes for name in (*n.input, *n.output)}

    def constant(self, node: NodeProto, what: str, value: Array | Sequence[int]) -> str:
        name = f"{node.name or node.output[0]}/{what}"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    @staticmethod
    def take(node: NodeProto, *names: str) -> list[object]:
        """Values of attributes, which are removed; None where there is none."""
        found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        kept = [a for a in node.attribute if a.name not in names]
        del node.attribute[:]
        node.attribute.extend(kept)
        return [found.get(name) for name in names]


def _slice(r: Rewriter, node: NodeProto) -> None:
    if r.version >= 10:
        return
    starts, ends, axes = (None if v is None else np.array(v, np.int64) for v in r.take(node, "starts", "ends", "axes"))
    given = [("starts", starts), ("ends", ends), ("axes", axes)]
    node.input.extend(r.constant(node, what, v) for what, v in given if v is not None)


def _clip(r: Rewriter, node: NodeProto) -> None:
    low, high = r.take(node, "min", "max")
    names = [("min", low), ("max", high)]
    node.input.extend("" if v is None else r.constant(node, what, np.array(v, np.float32)) for what, v in names)


def _pad(r: Rewriter, node: NodeProto) -> None:
    pads, value = r.take(node, "pads", "value")
    node.input.append(r.constant(node, "pads", np.array(pads, np.int64)))
    node.input.append(r.constant(node, "value", np.array(value or 0.0, np.float32)))


def _resize(r: Rewriter, node: NodeProto) -> None:
    """Upsample, and Resize of opset 10: coordinates asymmetric; nearest rounds down, or up where an axis shrinks,
    which only the importer has a word for ("simple", as onnxruntime calls it)."""
    scales, mode = r.take(node, "scales", "mode")
    if scales is not None:  # Upsample of opset 7
        node.input.append(r.constant(node, "scales", np.array(scales, np.float32)))
    node.op_type = "Resize"
    node.attribute.append(helper.make_attribute("mode", mode or b"nearest"))
    node.attribute.append(helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
    node.attribute.append(helper.make_attribute("nearest_mode", "simple"))
    node.input.insert(1, r.constant(node, "roi", np.zeros(0, np.float32)))


#: Operators that opset 11 writes in another way. All others mean the same in 7 to 11, or their importer reads both.
_ADAPTERS: dict[str, Callable[[Rewriter, NodeProto], None]] = {
    "Slice": _slice, "Clip": _clip, "Pad": _pad, "Upsample": _resize, "Resize": _resize,
}  # fmt: skip


def modernised(model: ModelProto) -> list[str]:
    """Rewrite a model of opset 7 to 10, in place, as one of opset 11; returns notes."""
    version = opset_of(model)
    if not MIN_OPSET <= version < BASE_OPSET:
        return []
    rewriter = Rewriter(model)
    for node in rewriter.nodes:
        if not node.domain and node.op_type in _ADAPTERS:
            _ADAPTERS[node.op_type](rewriter, node)
    set_opset(model, BASE_OPSET)
    return [f"opset {version} is read as opset {BASE_OPSET}; the check against onnxruntime is of the file as it is"]
