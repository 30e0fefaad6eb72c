"""From a file to a checked ONNX model: every way a file can be wrong has a message of its own."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    checker,
    helper,
    numpy_helper,
)

from tinygen.errors import ModelError
from tinygen.frontend.external import load_external
from tinygen.frontend.limits import MAX_BYTES, check_structure, show, subgraphs, too_large
from tinygen.frontend.opsets import opset_of
from tinygen.numerics import Array

#: (offset, bytes, what the file is, what to do). Formats people confuse with ONNX.
_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (4, b"TFL3", "a TensorFlow Lite model", "Convert it: python -m tf2onnx.convert --tflite MODEL --output model.onnx"),
    (4, b"ORTM", "an onnxruntime .ort file", "Use the .onnx file it was made from."),
    (0, b"\x89HDF", "an HDF5 file (Keras .h5)", "Convert it: tf2onnx.convert.from_keras(model, output_path=...)"),
    (0, b"PK\x03\x04", "a zip archive (PyTorch .pt, .keras)", "Export it: torch.onnx.export(...), or tf2onnx."),
    (0, b"\x80\x02", "a Python pickle (PyTorch .pt, .pth)", "Export it: torch.onnx.export(model, args, 'model.onnx')"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself", "Fetch it: git lfs pull"),
    (0, b"\x1f\x8b", "a gzip archive", "Unpack it first."),
)  # fmt: skip


def _what_it_is(data: bytes) -> tuple[str, str] | None:
    for offset, magic, what, help_ in _MAGIC:
        if data[offset : offset + len(magic)] == magic:
            return what, help_
    head = data[:512].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "a web page", "Download the model itself (the 'raw' link), not the page that shows it."
    if head.startswith((b"{", b"[")):
        return "a JSON file", "Give the .onnx file."
    return None


def _checked(path: Path, data: bytes) -> bytes:
    """The bytes of a model in memory, if they can be one."""
    if len(data) > MAX_BYTES:
        raise ModelError(_too_large(path, len(data)))
    if not data:
        raise ModelError(f"{path}: is empty (0 bytes). Give the bytes of an .onnx file.")
    return data


def _too_large(path: Path, size: int) -> str:
    return (
        f"{path}: has {size:,} bytes; tinygen reads models of up to {MAX_BYTES >> 20} MiB, many times what a "
        "microcontroller holds. Export a smaller network."
    )


def _read(path: Path) -> bytes:
    try:
        if not path.exists():
            raise ModelError(f"{path}: no such file. Give the path of an .onnx file.")
        if path.is_dir():
            raise ModelError(f"{path}: is a folder. Give the path of an .onnx file.")
        if not path.is_file():  # a pipe may never end
            raise ModelError(f"{path}: is no regular file (a pipe, a device). Give the path of an .onnx file.")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(_too_large(path, size))
        data = path.read_bytes()
    except OSError as e:
        raise ModelError(f"{path}: cannot be read: {e.strerror or e}. Give the path of an .onnx file.") from e
    except ValueError as e:  # a NUL in the name
        raise ModelError(f"{str(path)!r}: {e}. Give the path of an .onnx file.") from e
    if not data:
        raise ModelError(f"{path}: is empty (0 bytes). Copy or export it again.")
    return data


def _parse(path: Path, data: bytes) -> ModelProto:
    known = _what_it_is(data)
    if known:
        raise ModelError(f"{path}: is {known[0]}, not an ONNX model. {known[1]}")
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as e:
        raise ModelError(
            f"{path}: is no ONNX model, or is cut off: {len(data)} bytes that do not parse as protobuf. "
            "Compare its size with the original; copy or export it again."
        ) from e
    if not model.HasField("graph") or not (model.graph.node or model.graph.input or model.graph.output):
        raise ModelError(f"{path}: holds no graph: it is no ONNX model, or cut off. Copy or export it again.")
    g = model.graph
    words = [
        w for n in g.node for w in (n.name, n.op_type, n.domain, *n.input, *n.output, *(a.name for a in n.attribute))
    ]
    words += [v.name for v in (*g.input, *g.output, *g.value_info, *g.initializer)] + [
        o.domain for o in model.opset_import
    ]
    if not all(isinstance(w, str) for w in words):  # protobuf gives bytes where the text is not UTF-8
        raise ModelError(f"{path}: holds names that are not text: the file is damaged. Copy or export it again.")
    return model


_REAL_TYPES = {
    TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE, TensorProto.BOOL,
    TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64,
    TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64,
}  # fmt: skip


def type_name(elem: int) -> str:
    """ "float", "int8"... of an ONNX element type."""
    try:
        return str(TensorProto.DataType.Name(elem)).lower()
    except ValueError:
        return f"type {elem}"


def array_of(path: Path, t: TensorProto) -> Array:
    """The values of a tensor in the file; ModelError where they are not what its shape and type say."""
    if min(t.dims, default=1) < 0 or (reason := too_large(t.dims)) is not None:
        what = f"have shape {show(t.dims)}" if min(t.dims, default=1) < 0 else f"cannot be: {reason}"
        raise ModelError(f'{path}: weights "{t.name}" {what}. The file is damaged: export it again.')
    try:
        return np.asarray(numpy_helper.to_array(t))
    except (ValueError, TypeError, LookupError, ArithmeticError, NotImplementedError) as e:
        have = len(t.raw_data) if t.HasField("raw_data") else "typed"
        raise ModelError(
            f'{path}: weights "{t.name}" of shape {list(t.dims)}, {type_name(t.data_type)}, do not match '
            f"their data ({have} bytes). The file is damaged: copy or export it again."
        ) from e


def _check_initialisers(path: Path, graph: GraphProto) -> None:
    if graph.sparse_initializer:
        name = graph.sparse_initializer[0].values.name
        raise ModelError(f'{path}: weights "{name}" are sparse tensors, which tinygen does not read. Store them dense.')
    bad: list[str] = []
    for t in graph.initializer:
        if t.data_type not in _REAL_TYPES:
            # Not an error yet: a 4-bit weight, say, is refused with the node that reads it.
            known = t.data_type in TensorProto.DataType.values()
            if not known or t.data_type in (TensorProto.STRING, TensorProto.COMPLEX64, TensorProto.COMPLEX128, 0):
                raise ModelError(f'{path}: weights "{t.name}" are of {type_name(t.data_type)}; tinygen takes numbers.')
        a = array_of(path, t)
        # A single infinite value is a Clip without bound, not a broken weight; -inf among numbers may be a mask.
        if (t.data_type in _REAL_TYPES and a.dtype.kind == "f") or t.data_type == TensorProto.BFLOAT16:
            real = a.astype(np.float32) if a.dtype.kind != "f" else a
            wrong = int(a.size - np.isfinite(real).sum())
            if wrong and (a.size > 1 or np.isnan(real).any()) and wrong > np.isneginf(real).sum():
                bad.append(f'  "{t.name}" {list(t.dims)}: {wrong} of {a.size}')
    if bad:
        shown = "\n".join(bad[:20] + ([f"  ... and {len(bad) - 20} more"] if len(bad) > 20 else []))
        raise ModelError(
            f"{path}: weights that are NaN or infinite:\n{shown}\nThe training diverged; export a good state."
        )


def constants_to_initialisers(path: Path, graph: GraphProto) -> None:
    """Constant nodes become initialisers, which are then checked."""
    rest = []
    for n in graph.node:
        if n.op_type != "Constant" or n.domain:
            rest.append(NodeProto.FromString(n.SerializeToString()))
            continue
        if len(n.attribute) != 1:  # whoever reads it is refused
            rest.append(NodeProto.FromString(n.SerializeToString()))
            continue
        a = n.attribute[0]
        value = helper.get_attribute_value(a)
        if a.name == "value":
            t = TensorProto.FromString(value.SerializeToString())
            t.name = n.output[0]
        elif a.name in ("value_float", "value_floats"):
            t = numpy_helper.from_array(np.asarray(value, np.float32), n.output[0])
        elif a.name in ("value_int", "value_ints"):
            t = numpy_helper.from_array(np.asarray(value, np.int64), n.output[0])
        else:  # strings, sparse: whoever reads it is refused
            rest.append(NodeProto.FromString(n.SerializeToString()))
            continue
        graph.initializer.append(t)
    del graph.node[:]
    graph.node.extend(rest)
    _check_initialisers(path, graph)


def reads(node: NodeProto) -> list[str]:
    """Tensors a node reads, those of its subgraphs included."""
    names = [i for i in node.input if i]
    for g in subgraphs(node):
        own = {i.name for i in g.input} | {i.name for i in g.initializer} | {o for n in g.node for o in n.output}
        names += [name for n in g.node for name in reads(n) if name not in own]
        names += [o.name for o in g.output if o.name not in own]
    return names


def sort_and_prune(path: Path, graph: GraphProto) -> bool:
    """Put the nodes in order and drop what no output needs; True when they were out of order.

    Raises ModelError on names made twice, names nobody makes, and cycles."""
    made = Counter(o for n in graph.node for o in n.output if o)
    made.update({i.name for i in graph.input})
    made.update(t.name for t in graph.initializer if t.name not in {i.name for i in graph.input})
    twice = [name for name, k in made.items() if k > 1]
    if twice:
        raise ModelError(
            f'{path}: tensor "{twice[0]}" is made {made[twice[0]]} times; names must be unique. The model is damaged.'
        )
    for group, kind in ((graph.input, "input"), (graph.output, "output")):
        again = [k for k, c in Counter(v.name for v in group).items() if c > 1]
        if again:
            raise ModelError(f'{path}: {kind} "{again[0]}" is listed twice. Export the model again.')
    maker = {o: n for n in graph.node for o in n.output if o}
    for out in graph.output:
        if out.name not in made:
            raise ModelError(
                f'{path}: output "{out.name}" is made by no node. The model is damaged or was cut wrongly.'
            )
    # Depth first from the outputs, inputs of a node in order: without recursion, models may be deep.
    done: dict[int, NodeProto] = {}
    open_: set[int] = set()
    stack: list[tuple[NodeProto, bool]] = [(maker[o.name], False) for o in reversed(graph.output) if o.name in maker]
    while stack:
        node, ready = stack.pop()
        if ready:
            done[id(node)] = node
            open_.discard(id(node))
            continue
        if id(node) in done:
            continue
        open_.add(id(node))
        stack.append((node, True))
        for name in reads(node):
            if name not in made:
                raise ModelError(
                    f'{path}: node "{node.name or node.op_type}" reads "{name}", which nothing makes. '
                    "The model is damaged or was cut wrongly."
                )
            before = maker.get(name)
            if before is not None and id(before) not in done:
                if id(before) in open_:
                    raise ModelError(
                        f'{path}: node "{before.name or before.op_type}" depends on its own output. '
                        "The model is damaged."
                    )
                stack.append((before, False))
    needed = [n for n in graph.node if id(n) in done]
    seen: set[str] = {i.name for i in graph.input} | {t.name for t in graph.initializer}
    ordered = True
    for n in needed:
        ordered = ordered and all(r in seen for r in reads(n))
        seen.update(n.output)
    kept = [NodeProto.FromString(n.SerializeToString()) for n in (needed if ordered else done.values())]
    del graph.node[:]
    graph.node.extend(kept)
    used = {r for n in graph.node for r in reads(n)} | {o.name for o in graph.output}
    weights = [t for t in graph.initializer if t.name in used]
    if len(weights) < len(graph.initializer):
        kept_weights = [TensorProto.FromString(t.SerializeToString()) for t in weights]
        del graph.initializer[:]
        graph.initializer.extend(kept_weights)
    return not ordered


def load(path: Path, content: bytes | None = None) -> tuple[ModelProto, str, tuple[str, ...]]:
    """The model with its external data inside, the sha256 of the file (and of its external files), and notes.
    `content`: the bytes, when they are in memory; then nothing else is read."""
    data = _read(path) if content is None else _checked(path, content)
    model = _parse(path, data)
    digest = hashlib.sha256(data)
    if opset_of(model) == 0:
        raise ModelError(f"{path}: names no operator set (opset_import is empty). Export it again.")
    graph = model.graph
    # Newer than 10 adds only types we refuse; older than 4 wants weights among the inputs.
    model.ir_version = min(max(model.ir_version, 4), 10)
    for named in (*model.opset_import, *graph.node):
        if named.domain == "ai.onnx":
            named.domain = ""
    if not graph.node:
        raise ModelError(f"{path}: the graph has no nodes, there is nothing to build.")
    if not graph.output:
        raise ModelError(f"{path}: the graph has no outputs. Export the model again.")
    check_structure(path, model)
    for raw in load_external(path, model, MAX_BYTES - len(data), in_memory=content is not None):
        digest.update(raw)
    weights = {t.name for t in graph.initializer}
    notes = []
    if sort_and_prune(path, graph):
        notes.append("the nodes were not in order of execution; sorted")
    for kind, values in (("input", graph.input), ("output", graph.output)):
        for v in values:
            if v.name not in weights and v.type.WhichOneof("value") not in (None, "tensor_type"):
                raise ModelError(
                    f'{path}: {kind} "{v.name}" is a {v.type.WhichOneof("value")}; tinygen takes dense tensors.'
                )
    if not [i for i in graph.input if i.name not in weights]:
        raise ModelError(f"{path}: the graph has no inputs, its output is constant. Export the model again.")
    check_nodes(path, model)
    constants_to_initialisers(path, graph)
    # Weights listed among the inputs (ir_version 3): constants, as every exporter means it.
    inputs = [i for i in graph.input if i.name not in weights]
    if len(inputs) < len(graph.input):
        copies = [type(i).FromString(i.SerializeToString()) for i in inputs]
        del graph.input[:]
        graph.input.extend(copies)
    return model, digest.hexdigest(), tuple(notes)


def check_nodes(path: Path, model: ModelProto) -> None:
    """The onnx package's own check of every node it knows: its attributes, its number of inputs and outputs."""
    context = checker.C.CheckerContext()
    context.ir_version = model.ir_version
    context.opset_imports = {o.domain: o.version for o in model.opset_import}
    wrong = []
    for n in model.graph.node:
        if n.domain or subgraphs(n) or not onnx.defs.has(n.op_type):
            continue  # refused later, with all the others
        try:
            checker.check_node(n, context)
        except checker.ValidationError as e:
            lines = [line.strip() for line in str(e).splitlines() if line.strip()]
            wrong.append(f'  "{n.name or n.output[0]}" ({n.op_type}): {lines[0][:160] if lines else "invalid"}')
    if wrong:
        more = [f"  ... and {len(wrong) - 20} more"] if len(wrong) > 20 else []
        raise ModelError(
            "\n".join([f"{path}: nodes that are not valid ONNX:", *wrong[:20], *more, "Export the model again."])
        )
