"""ONNX file to FLOAT graph.

The file is checked (load.py), its batch frozen, its functions inlined; then the nodes are walked in order. What depends
on constants alone is computed (fold.py), every other node is handed to the importer of its operator (handlers_*.py,
quantised.py). All refusals are collected and raised together, before any other work is done.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, inliner, shape_inference

from tinygen.errors import ModelError, Problem, UnsupportedError, did_you_mean
from tinygen.frontend import brain_floats, edges
from tinygen.frontend.bodies import DEEPEST, written_out
from tinygen.frontend.context import FLOAT_TYPES, Act, Builder, Handler, Known, Unsupported, Value, View, check_limits
from tinygen.frontend.fold import RANDOM, fold
from tinygen.frontend.limits import MAX_NODES, subgraphs, too_large
from tinygen.frontend.load import (
    array_of,
    check_nodes,
    constants_to_initialisers,
    load,
    reads,
    sort_and_prune,
    type_name,
)
from tinygen.frontend.loops import rename, scan_form, step_of, steps_help
from tinygen.frontend.opset6 import upgraded
from tinygen.frontend.opsets import for_runtime, modernised, opset_of, opset_problem
from tinygen.frontend.quantised import ASYMMETRIC, COMPARES_CODES, MOVES_CODES, QLINEAR, in_real, input_code, rewrite
from tinygen.frontend.registry import HANDLERS, MICROSOFT, REASONS, why_not
from tinygen.frontend.told import PRODUCER, Told, told
from tinygen.ir.types import Graph, Node, Port, Quant, Stage, State, Tensor
from tinygen.ops import Reshape
from tinygen.ops.lookup import MAX_ROWS


@dataclass(frozen=True)
class Imported:
    """A model read. `original` is what onnxruntime runs as the reference: batch frozen, functions inlined, one file.

    `input_types` and `output_types` are the ONNX element types of the ports ("float32", "int8", ...). Where they are
    integers, the port's tensor carries the scale and zero point in its `quant` (int8 view: uint8 code minus 128).

    `states`: names of the inputs and outputs of `original` that the graph has as states, in that order; `constants`:
    inputs of the file that it has as constants, as they were given.
    """

    graph: Graph
    sha256: str
    opset: int
    quantised: bool
    original: bytes
    notes: tuple[str, ...]
    input_types: tuple[str, ...]
    output_types: tuple[str, ...]
    states: tuple[tuple[str, str], ...] = ()
    constants: Mapping[str, object] = field(default_factory=dict)


#: Operators that only move values: they may stand between a mask and its Softmax.
_MOVING = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Cast", "Dropout")


class _Missing:
    """The value of a refused node whose shape is not known either."""


def _c_name(text: str) -> str:
    """A C identifier from a file stem."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII).strip("_") or "model"
    return f"m_{name}" if name[0].isdigit() else name


def _elem(v: ValueInfoProto) -> str:
    """numpy's name of the element type."""
    elem = v.type.tensor_type.elem_type
    if elem == TensorProto.BFLOAT16:
        return "bfloat16"
    try:
        return str(helper.tensor_dtype_to_np_dtype(elem).name)
    except KeyError:
        return f"type {elem}"


def _dims(v: ValueInfoProto) -> list[int | str] | None:
    """Dimensions: a number, or the symbol ("?" without a name); None when the rank is unknown."""
    t = v.type.tensor_type
    if not t.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") else (d.dim_param or "?") for d in t.shape.dim]


def _declared(ports: Iterable[ValueInfoProto]) -> dict[str, edges.Kind]:
    """Types and shapes of inputs or outputs as the file has them, of those that it says."""
    known = {v.name: (_elem(v), _dims(v)) for v in ports}
    return {n: (e, tuple(d for d in dims if isinstance(d, int))) for n, (e, dims) in known.items() if dims is not None}


#: What an open dimension is taken for while the nodes are judged all the same.
_ASSUMED = 32


#: Operators with the axes of what they read, the last of which may become another.
_ROWS = (
    *("MatMul", "Add", "Sub", "Mul", "Div", "Relu", "LeakyRelu", "Clip", "Tanh", "Sigmoid", "LayerNormalization"),
    *("Identity", "Dropout", "Cast"),
)


def _batch_axis(model: ModelProto, name: str) -> int:
    """The axis of an input that counts samples: 0, or 1 for what a recurrent layer reads as ONNX lays it out, time or
    directions first, itself or row by row."""
    rows = {name}
    for n in model.graph.node:
        if n.op_type in ("LSTM", "GRU", "RNN") and (rows.intersection(n.input[:1]) or name in n.input[5:7]):
            return 0 if any(a.name == "layout" and a.i for a in n.attribute) else 1
        if n.op_type in _ROWS and rows.intersection(n.input[:2]):
            rows.update(n.output[:1])
    return 0


def _freeze_inputs(
    path: Path, model: ModelProto, given: Mapping[str, tuple[int, ...]], states: Collection[str]
) -> tuple[list[str], list[Problem]]:
    """Give every input a static shape; returns notes, and problems. With problems the shapes are stand-ins."""
    notes: list[str] = []
    problems: list[Problem] = []
    names = [i.name for i in model.graph.input]
    unknown = [k for k in given if k not in names]
    if unknown:
        raise ModelError(
            f'{path}: a shape is given for input "{unknown[0]}"; the model\'s inputs are {", ".join(names)}.'
            f"{did_you_mean(unknown[0], names)}"
        )
    likely = edges.propose(model, _declared(model.graph.input), _declared(model.graph.output))
    for v in model.graph.input:
        dims, want = _dims(v), given.get(v.name)
        if want is not None:
            fits = dims is None or (
                len(dims) == len(want)
                and all(isinstance(d, str) or d == w or i == 0 for i, (d, w) in enumerate(zip(dims, want, strict=True)))
            )
            if not fits:
                raise ModelError(f'{path}: input "{v.name}" is {dims}; the given shape {list(want)} does not fit.')
            shape = list(want)
            if min(shape, default=1) < 1:
                raise ModelError(f'{path}: input "{v.name}": the given shape {shape} is empty.')
        else:
            kept = v.name in states or model.producer_name == PRODUCER  # what we wrote has the shapes it had
            batch = _batch_axis(model, v.name)
            shape, said, problem = _static(v.name, dims, batch, kept=kept, state=likely.get(v.name))
            notes += said
            problems += problem
            if dims is None:
                continue
        t = v.type.tensor_type
        del t.shape.dim[:]
        t.shape.SetInParent()
        for d in shape:
            t.shape.dim.add().dim_value = d
    return notes, problems


def _static(
    name: str, dims: list[int | str] | None, batch: int, *, kept: bool = False, state: str | None = None
) -> tuple[list[int], list[str], list[Problem]]:
    """The shape of an input nobody gave, notes, and at most one problem. `kept`: of a state, say, whose first axis may
    count something else, and whose open dimension is the batch wherever it stands. `state`: the output that it looks
    like the state before."""
    where, notes = f'input "{name}"', []
    if dims is None:
        help_ = f"Give it: `input_shapes` {name}=1,..."
        return [], [], [Problem(where, "shape", "has no shape; memory is planned offline", help_)]
    if kept:
        free = [i for i, d in enumerate(dims) if isinstance(d, str)]
        batch = free[0] if len(free) == 1 else batch
    shape: list[int] = []
    open_ = []
    for i, d in enumerate(dims):
        if isinstance(d, int):
            shape.append(d)
        elif i == batch:
            notes.append(f'input "{name}": batch dimension {d} set to 1')
            shape.append(1)
        else:
            open_.append(str(i))
            shape.append(_ASSUMED)
    option = f"`input_shapes` {name}=" + ",".join("N" if isinstance(d, str) and i != batch else str(shape[i])
                                                 for i, d in enumerate(dims))  # fmt: skip
    problem = None
    if open_:
        which = f"dimensions {', '.join(open_)} are" if len(open_) > 1 else f"dimension {open_[0]} is"
        what = f"{dims}: {which} not fixed, but memory is planned offline"
        problem = Problem(where, "shape", what, f"Say which: {option}")
    elif min(shape, default=1) < 1:
        problem = Problem(where, "shape", f"{shape}: it is empty", "Export with the real size.")
        shape = [max(d, 1) for d in shape]
    elif len(shape) > batch and shape[batch] != 1 and not kept:
        what = f"{shape}: a batch of {shape[batch]}; the C runs one sample at a time"
        fixed = [1 if i == batch else d for i, d in enumerate(shape)]
        option = f"`input_shapes` {name}="
        help_ = f"Take one: {option}{_commas(fixed)}; where it is no batch: {option}{_commas(shape)}"
        if state is not None:
            help_ = f"Keep it from call to call: `states` {name}={state}; as an input: {option}{_commas(shape)}"
        problem = Problem(where, "shape", what, help_)
    return shape, notes, [] if problem is None else [problem]


def _commas(shape: list[int]) -> str:
    return ",".join(map(str, shape))


def _drop_unused_inputs(path: Path, model: ModelProto) -> list[str]:
    """Leave out inputs that nothing reads, in the reference as well; returns notes."""
    read = {i for n in model.graph.node for i in reads(n)} | {o.name for o in model.graph.output}
    used = [i for i in model.graph.input if i.name in read]
    if not used:
        raise ModelError(f"{path}: no output depends on an input; there is nothing to compute.")
    notes = [f'input "{i.name}" is not used; left out' for i in model.graph.input if i.name not in read]
    if notes:
        copies = [ValueInfoProto.FromString(i.SerializeToString()) for i in used]
        del model.graph.input[:]
        model.graph.input.extend(copies)
    return notes


def _evaluation_mode(model: ModelProto) -> list[str]:
    """Dropout and BatchNormalization as in evaluation, in the reference as well; returns notes."""
    notes = []
    read = {i for n in model.graph.node for i in n.input} | {o.name for o in model.graph.output}
    for n in model.graph.node:
        if n.op_type == "Dropout" and not n.domain and len(n.input) > 2 and n.input[2]:
            notes.append(f'Dropout "{n.name or n.output[0]}" is left out, as in evaluation')
            n.input[2] = ""
        if n.op_type == "BatchNormalization" and not n.domain and not any(o in read for o in n.output[1:]):
            training = any(a.name == "training_mode" and a.i for a in n.attribute)
            if training or len(n.output) > 1:
                name = n.name or n.output[0]
                notes.append(f'BatchNormalization "{name}" in training mode: its stored mean and variance are used')
                for a in n.attribute:
                    if a.name == "training_mode":
                        a.i = 0
                del n.output[1:]
    return notes


def _prepare(
    path: Path, model: ModelProto, given: Mapping[str, tuple[int, ...]], states: Collection[str] = ()
) -> tuple[ModelProto, list[str], list[Problem]]:
    """Frozen, inlined, in evaluation mode, with shapes inferred: the reference model; notes and problems."""
    notes = _evaluation_mode(model)
    more, problems = _freeze_inputs(path, model, given, states)
    notes += more + _drop_unused_inputs(path, model)
    # Shapes recorded for another batch would contradict the inference.
    del model.graph.value_info[:]
    for v in model.graph.output:
        v.type.tensor_type.ClearField("shape")
    if model.functions:
        model = inliner.inline_local_functions(model)
        sort_and_prune(path, model.graph)
        check_nodes(path, model)
        constants_to_initialisers(path, model.graph)
        notes += _evaluation_mode(model)
    _name_apart(model)
    return _infer(model), notes, problems


def _name_apart(model: ModelProto) -> None:
    """Nodes of one name get a number: what is said of a node, or held against it, is said of one."""
    taken = {n.name for n in model.graph.node}
    seen: set[str] = set()
    last: Counter[str] = Counter()
    for n in model.graph.node:
        stem = name = n.name
        while stem and (name in seen or (name in taken and name != stem)):
            last[stem] += 1
            name = f"{stem}_{last[stem] + 1}"
        n.name = name
        seen.add(name)


#: Values that shape inference may propagate: it takes a hundred bytes for each.
_FEW_VALUES = 1 << 18


def _infer(model: ModelProto) -> ModelProto:
    try:
        inferred = shape_inference.infer_shapes(model)
        # Values are propagated for the sake of shapes that are computed: of tensors with one axis, element by element.
        rows = [dims[0] for v in inferred.graph.value_info if len(dims := _dims(v) or []) == 1]
        if sum(d for d in rows if isinstance(d, int)) > _FEW_VALUES:
            return inferred
        return shape_inference.infer_shapes(model, data_prop=True)
    except (shape_inference.InferenceError, RuntimeError):
        return model  # our own operators know their shapes; this is for refused nodes only


def _shapes_as_constants(graph: GraphProto) -> bool:
    """Shape of what has a known one becomes a constant, which inference sees through where it does not see through the
    node; was there any?"""
    dims = {v.name: _dims(v) for v in (*graph.input, *graph.value_info)}
    kept = []
    for n in graph.node:
        found = dims.get(n.input[0]) if n.op_type == "Shape" and not n.domain and not n.attribute else None
        if found is None or not all(isinstance(d, int) for d in found):
            kept.append(NodeProto.FromString(n.SerializeToString()))
        else:
            graph.initializer.append(
                helper.make_tensor(n.output[0], TensorProto.INT64, [len(found)], [int(d) for d in found])
            )
    changed = len(kept) < len(graph.node)
    if changed:
        del graph.node[:]
        graph.node.extend(kept)
    return changed


def _help_for_input(name: str, consumers: Mapping[str, list[NodeProto]]) -> str:
    """What to do about an input that is no real number, by what reads it."""
    by = {n.op_type for n in consumers.get(name, ())}
    if "Gather" in by:
        return "It looks up rows of a table: do that in the application, and give the network the rows."
    if "TensorScatter" in by:
        return "It says where a cache is written: give that at most 256 positions, and all inputs their shapes."
    cut = "or cut the model behind it: onnx.utils.extract_model"
    if by == {"Cast"}:
        return f"Make its type float in the file (onnx.load, elem_type = 1), {cut}."
    return f"Where it is always the same, say so: `constants` {name}=NUMBER; {cut}."


#: Of sizes and attributes that cannot be.
_CHECK = "Check the model: onnx.checker.check_model(model, full_check=True) says what does not fit."


class _Walk:
    """The nodes in order, each to its importer."""

    def __init__(self, path: Path, model: ModelProto, certain: bool, told: Told) -> None:
        """`certain`: the shapes of the inputs are the real ones, no stand-ins."""
        self.path, self.graph = path, model.graph
        self.opsets = {o.domain: o.version for o in model.opset_import}
        self.values: dict[str, Value | _Missing] = {}
        self.problems: list[Problem] = []
        self.certain = certain
        self.folded = 0  # elements of constants that were computed
        self.inferred = {v.name: v for v in (*model.graph.input, *model.graph.value_info, *model.graph.output)}
        names = {o for n in model.graph.node for o in n.output} | {i.name for i in model.graph.input}
        self.builder = Builder(reserved=names | {t.name for t in model.graph.initializer}, told=told)
        self.readers: dict[str, list[NodeProto]] = {}
        for n in model.graph.node:
            for i in reads(n):
                self.readers.setdefault(i, []).append(n)
        self.read = {i for n in model.graph.node for i in reads(n)} | {o.name for o in model.graph.output}
        narrow = set()
        for t in model.graph.initializer:
            array = array_of(path, t)
            self.values[t.name] = Known(array, t.name)
            if array.size > 1 and array.dtype.name in FLOAT_TYPES[1:]:
                narrow.add(array.dtype.name)
        for name in sorted(narrow):
            self.builder.note(f"weights of {name} are read as float32")

    def inputs(self) -> list[tuple[Port, str]]:
        """Make the graph's inputs; those nobody reads are left out."""
        consumers = self.readers
        arrays = {k: v.array for k, v in self.values.items() if isinstance(v, Known)}
        ports = []
        for v in self.graph.input:
            elem, shape = _elem(v), tuple(int(d) for d in _dims(v) or ())
            code, codes, largest = None, "", None
            if elem in ("int32", "int64") and (rows := self.rows_for(v.name)):
                code, codes, largest = None, "uint8", rows - 1
            elif elem == "bool":
                code, codes, largest = None, "uint8", 1
            elif elem in ("int8", "uint8", "int16"):
                code = input_code(v.name, elem, consumers, arrays)
                codes = "" if code is not None else elem
                if codes and elem != "int16":  # the numbers themselves, of an image say
                    code = Quant.per_tensor(1.0, -128 if elem == "uint8" else 0)
                    largest = rows - 1 if elem == "uint8" and (rows := self.rows_for(v.name)) else None
            elif elem not in FLOAT_TYPES:
                kind = type_name(v.type.tensor_type.elem_type)
                what = f"is {kind}; tinygen takes float, int8, uint8 and int16 inputs"
                self.problems.append(Problem(f'input "{v.name}"', kind, what, _help_for_input(v.name, consumers)))
            reason = too_large(shape)
            if reason is not None:  # of a shape the user gave; load.py refuses others
                self.problems.append(Problem(f'input "{v.name}"', "shape", reason, "Give a smaller shape."))
            if _dims(v) is None or reason is not None:
                self.values[v.name] = _Missing()
                continue
            own = code if code is not None or largest is None else Quant.per_tensor(1.0, -128)
            t = Tensor(v.name, shape, quant=own)
            self.builder.tensors[v.name] = t
            self.values[v.name] = Act(t, elem, code)
            ports.append((Port.plain(v.name, shape, codes, largest), elem))
        return ports

    def rows_for(self, name: str) -> int:
        """Values of the smallest axis that an input is an index of; 0 when it is no index, or an axis is too long."""
        found: list[int] = []
        waiting, seen = [name], {name}
        while waiting:
            tensor = waiting.pop()
            for n in self.readers.get(tensor, ()):
                if n.op_type in ("Gather", "GatherElements") and tensor == n.input[1]:
                    found.append(self.length_of(n))
                elif n.op_type == "Attention" and not n.domain and tensor in n.input[6:7]:
                    dims = _dims(v) if (v := self.inferred.get(n.input[1])) is not None else None
                    found.append(int(dims[-2]) + 1 if dims and isinstance(dims[-2], int) else MAX_ROWS + 1)
                elif n.op_type == "RotaryEmbedding" and not n.domain and tensor in n.input[3:4]:
                    cosines = self.values.get(n.input[1])
                    found.append(len(cosines.array) if isinstance(cosines, Known) else 0)
                elif n.op_type == "TensorScatter" and tensor == n.input[2]:
                    found.append(self.positions_of(n))
                elif n.op_type == "OneHot" and tensor == n.input[0]:
                    depth = self.values.get(n.input[1])
                    found.append(int(depth.array.reshape(-1)[0]) if isinstance(depth, Known) else 0)
                elif n.op_type in (*_MOVING, "QuantizeLinear", "DequantizeLinear") or (
                    n.op_type == "Where" and tensor != n.input[0]
                ):
                    waiting += [o for o in n.output[:1] if o not in seen]
                    seen |= set(n.output[:1])
        found = [rows for rows in found if rows > 0]
        return min(found) if found and max(found) <= MAX_ROWS else 0

    def length_of(self, node: NodeProto) -> int:
        """Values along the axis that a node picks from; 0 where that is not known, or it is a table's other axis."""
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        table = self.values.get(node.input[0])
        if isinstance(table, Known):
            return len(table.array) if table.array.ndim and axis == 0 else 0
        v = self.inferred.get(node.input[0])
        dims = _dims(v) or [] if v is not None else []
        length = dims[axis] if -len(dims) <= axis < len(dims) else 0
        return length if isinstance(length, int) and node.op_type == "GatherElements" else 0

    def positions_of(self, node: NodeProto) -> int:
        """At which the update of a TensorScatter may begin; more than an index can say where that is not known."""
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        dims = [_dims(v) if (v := self.inferred.get(name)) is not None else None for name in node.input[:2]]
        length, count = (d[attributes.get("axis", -2)] if d else None for d in dims)
        if not isinstance(length, int) or not isinstance(count, int):
            return MAX_ROWS + 1
        return length if attributes.get("mode") == b"circular" else length - count + 1

    def refuse(self, base: str, node: NodeProto, what: str, help_: str) -> None:
        operator = f"{node.domain}:{node.op_type}" if node.domain else node.op_type
        self.problems.append(Problem(base, operator, what, help_))

    def stand_in(self, node: NodeProto) -> None:
        """Values for the outputs of a refused node, so that the nodes after it are judged too. The graph is never
        used."""
        for out in node.output:
            v = self.inferred.get(out)
            dims = _dims(v) if v is not None and v.type.HasField("tensor_type") else None
            shape = tuple(int(d) for d in dims or () if isinstance(d, int) and d > 0)
            if dims is None or len(shape) < len(dims) or too_large(shape) is not None:
                self.values[out] = _Missing()
                continue
            t = Tensor(out, shape)
            self.builder.tensors[out] = t
            self.values[out] = Act(t)

    def node(self, index: int, node: NodeProto) -> None:
        base = node.name or f"{node.op_type}_{index}"
        absent = [i for i in node.input if i and i not in self.values]
        if absent:  # one more than its operator has
            self.refuse(
                base, node, f'its input "{absent[0]}" is an output that no operator has', "Export the model again."
            )
            self.stand_in(node)
            return
        ins = [self.values[i] if i else None for i in node.input]
        if node.op_type == "If" and not node.domain and isinstance(ins[0], Known) and ins[0].array.size == 1:
            self.branch(node, bool(ins[0].array.reshape(-1)[0]))
            return
        if node.op_type in ("Loop", "Scan") and not node.domain:
            if any(isinstance(v, _Missing) for v in ins):
                self.stand_in(node)
            else:
                self.repeat(base, node, ins)
            return
        if self.importer(node) is None and not self._foldable(node, ins):
            self.refuse(base, node, *why_not(node.domain, node.op_type))
            self.inside(node)
            self.stand_in(node)
            return
        if any(isinstance(v, _Missing) for v in ins):
            for out in node.output:
                self.values[out] = _Missing()
            return
        known = tuple(v for v in ins if not isinstance(v, _Missing))
        view = View(
            base,
            node.op_type,
            self.opsets.get(node.domain, 1),
            {a.name: helper.get_attribute_value(a) for a in node.attribute},
            known,
            tuple(node.output),
            tuple(bool(o) and o in self.read for o in node.output),
            self.to_softmax(node.output[0]),
        )
        self.builder.begin(base)
        try:
            self.values.update(self._import(node, view))
            return
        except (Unsupported, ModelError) as e:
            if self.certain or not (isinstance(e, Unsupported) and e.of_sizes):
                self.refuse(base, node, str(e), (e.help if isinstance(e, Unsupported) else "") or _CHECK)
        except (ValueError, TypeError, LookupError, ArithmeticError) as e:
            # Attributes that contradict each other, in a form no exporter writes: the file's fault, said as such.
            if self.certain:
                what = f"its attributes or inputs make no sense ({str(e) or type(e).__name__})"
                self.refuse(base, node, what, "Export the model again.")
        self.builder.abandon()
        self.stand_in(node)

    def to_softmax(self, name: str) -> bool:
        """Does a tensor go into softmaxes and nowhere else, moved on the way at the most?"""
        names, seen = [name], {o.name for o in self.graph.output}
        while names:
            name = names.pop()
            readers = self.readers.get(name, [])
            if name in seen or not readers:
                return False
            seen.add(name)
            names += [n.output[0] for n in readers if n.op_type in _MOVING]
            if any(n.op_type not in (*_MOVING, "Softmax", "LogSoftmax") for n in readers):
                return False
        return True

    def inside(self, node: NodeProto) -> None:
        """Refuse what the graphs inside a refused node (If, Loop, Scan) hold and tinygen does not read at all."""
        for graph in subgraphs(node):
            for index, inner in enumerate(graph.node):
                if self.importer(inner) is None and inner.op_type != "Constant":
                    base = f"{node.name or node.op_type}/{inner.name or f'{inner.op_type}_{index}'}"
                    self.refuse(base, inner, *why_not(inner.domain, inner.op_type))
                self.inside(inner)

    def branch(self, node: NodeProto, taken: bool) -> None:
        """An If whose condition is known: the nodes of the branch taken, in place."""
        graph = next(a.g for a in node.attribute if a.name == ("then_branch" if taken else "else_branch"))
        constants_to_initialisers(self.path, graph)
        self.read |= {i for n in graph.node for i in reads(n)} | {o.name for o in graph.output}
        self.inferred |= {v.name: v for v in (*graph.value_info, *graph.output)}
        for t in graph.initializer:
            self.values[t.name] = Known(array_of(self.path, t), t.name)
        for index, inner in enumerate(graph.node):
            if not inner.name:
                inner.name = f"{node.name or 'If'}/{inner.op_type}_{index}"
            self.node(index, inner)
        for name, out in zip(node.output, graph.output, strict=False):
            self.values[name] = self.values[out.name]

    def repeat(self, base: str, node: NodeProto, ins: Sequence[Value | _Missing | None]) -> None:
        """A Loop or Scan whose number of steps is known: the nodes of its body, again for each step."""
        found, outer = len(self.problems), self.builder.within
        self.builder.within = outer or base
        try:
            if node.op_type == "Scan":
                self._scan(base, node)
            else:
                self._loop(base, node, ins)
        except Unsupported as e:
            self.refuse(base, node, str(e), e.help)
        except (ValueError, TypeError, LookupError) as e:
            what = f"its attributes or inputs make no sense ({str(e) or type(e).__name__})"
            self.refuse(base, node, what, "Export the model again.")
        self.builder.within = outer
        if len(self.problems) > found:
            self.stand_in(node)

    def _loop(self, base: str, node: NodeProto, ins: Sequence[Value | _Missing | None]) -> None:
        body = self._body(base, node)
        most, going = (v if isinstance(v, Known) else None for v in (*ins, None)[:2])
        if (ins[0] is not None and most is None) or (node.input[1:2] != [""] and len(ins) > 1 and going is None):
            raise Unsupported("how often it runs depends on the data", steps_help())
        count = int(most.array.reshape(-1)[0]) if most is not None else MAX_NODES
        condition = Known(np.array(True)) if going is None else going
        names = list(node.input[2:])
        scans: list[list[str]] = [[] for _ in body.output[1 + len(names) :]]
        k = 0
        while k < count and bool(condition.array.reshape(-1)[0]):
            step = self._step(f"{base}/{k}", body, (k + 1) * len(body.node))
            given: list[Value | _Missing] = [Known(np.array(k)), condition, *(self.values[n] for n in names)]
            if not self._walk(step, given):
                return
            names = [o.name for o in step.output[1 : 1 + len(names)]]
            goes_on = self.values[step.output[0].name]
            if not isinstance(goes_on, Known):
                raise Unsupported("whether it goes on depends on the data", steps_help())
            condition = goes_on
            for done, out in zip(scans, step.output[1 + len(names) :], strict=True):
                done.append(out.name)
            k += 1
        for name, out in zip(node.output, names, strict=False):
            self.values[name] = self.values[out]
        for name, done in zip(node.output[len(names) :], scans, strict=False):
            self._stack(base, name, done, 0)

    def _scan(self, base: str, node: NodeProto) -> None:
        body = self._body(base, node)
        form = scan_form(node, {a.name: helper.get_attribute_value(a) for a in node.attribute})
        states, rows = list(node.input[: -len(form.inputs)]), list(node.input[-len(form.inputs) :])
        counts = {self._shape(row)[axis] for row, (axis, _) in zip(rows, form.inputs, strict=True)}
        if len(counts) != 1:
            raise Unsupported(f"its sequences have {sorted(counts)} steps; they must be as many")
        (count,) = counts
        scans: list[list[str]] = [[] for _ in form.outputs]
        for k in range(count):
            step = self._step(f"{base}/{k}", body, (k + 1) * len(body.node))
            given = [self.values[n] for n in states]
            for row, (axis, backwards), v in zip(rows, form.inputs, step.input[len(states) :], strict=True):
                at = f"{v.name}/at"
                self.values[at] = Known(np.array(count - 1 - k if backwards else k))
                self.node(k, helper.make_node("Gather", [row, at], [v.name], f"{v.name}/pick", axis=axis))
                given.append(self.values[v.name])
            if not self._walk(step, given):
                return
            states = [o.name for o in step.output[: len(states)]]
            for done, out in zip(scans, step.output[len(states) :], strict=True):
                done.append(out.name)
        for name, out in zip(node.output, states, strict=False):
            self.values[name] = self.values[out]
        for name, done, (axis, backwards) in zip(node.output[len(states) :], scans, form.outputs, strict=True):
            self._stack(base, name, done[::-1] if backwards else done, axis)

    def _body(self, base: str, node: NodeProto) -> GraphProto:
        """A copy of the body of a loop without its constants, which are the same in each step."""
        body: GraphProto = GraphProto.FromString(
            next(a.g for a in node.attribute if a.name == "body").SerializeToString()
        )
        constants_to_initialisers(self.path, body)
        rename(body, {t.name for t in body.initializer}, base)
        self.values |= {t.name: Known(array_of(self.path, t), t.name) for t in body.initializer}
        del body.initializer[:]
        return body

    def _step(self, base: str, body: GraphProto, nodes: int) -> GraphProto:
        """A copy of the body; refused where all steps so far have more nodes than a model may."""
        if nodes > MAX_NODES:
            raise Unsupported(f"its steps, written out, are more than {MAX_NODES:,} nodes", steps_help())
        return step_of(body, base)

    def _walk(self, step: GraphProto, given: Sequence[Value | _Missing]) -> bool:
        """The nodes of a step from its inputs; was all of it read?"""
        found = len(self.problems)
        self.values |= {v.name: value for v, value in zip(step.input, given, strict=True)}
        self.read |= {i for n in step.node for i in reads(n)} | {o.name for o in step.output}
        for index, inner in enumerate(step.node):
            self.node(index, inner)
        return len(self.problems) == found

    def _shape(self, name: str) -> tuple[int, ...]:
        value = self.values[name]
        assert not isinstance(value, _Missing)
        return value.array.shape if isinstance(value, Known) else value.tensor.shape

    def _stack(self, base: str, name: str, steps: Sequence[str], axis: int) -> None:
        """What each step gave, along a new axis."""
        if not name or name not in self.read:
            return
        if not steps:
            raise Unsupported("it has no steps, and its output no values", "Remove it from the model.")
        axes = f"{name}/axes"
        self.values[axes] = Known(np.array([axis]))
        parts = [f"{out}/row" for out in steps]
        self.read |= set(parts)
        for k, (out, part) in enumerate(zip(steps, parts, strict=True)):
            self.node(k, helper.make_node("Unsqueeze", [out, axes], [part], f"{part}/unsqueeze"))
        self.node(0, helper.make_node("Concat", parts, [name], f"{base}/stack", axis=axis))

    @staticmethod
    def importer(node: NodeProto) -> Handler | None:
        table = HANDLERS if node.domain == "" else MICROSOFT if node.domain == "com.microsoft" else {}
        return table.get(node.op_type)

    @staticmethod
    def _foldable(node: NodeProto, ins: Sequence[Value | _Missing | None]) -> bool:
        """Is it a node of constants, to be computed here and now?"""
        known = all(v is None or isinstance(v, Known) for v in ins) and not subgraphs(node)
        return known and node.op_type not in (*RANDOM, "Constant", "DequantizeLinear")

    def _import(self, node: NodeProto, view: View) -> Mapping[str, Value]:
        if self._foldable(node, view.ins):
            constants = [v if isinstance(v, Known) else None for v in view.ins]
            folded = fold(node, constants, self.opsets, self.folded)
            self.folded += sum(k.array.size for k in folded)
            return {name: v for name, v in zip(node.output, folded, strict=True) if name}
        handler = self.importer(node)
        assert handler is not None
        code = self._code(view)
        if code is not None:
            view = in_real(view, code)
            handler, code = HANDLERS[view.op_type], replace(code, pin=view.outs[0])
        check_limits(handler, view)
        result = handler.build(self.builder, view)
        parts = [result] if isinstance(result, Tensor | Act | Known) else list(result)
        elem = next((v.elem for v in view.ins if isinstance(v, Act)), "float32")
        values = [Act(p, elem) if isinstance(p, Tensor) else p for p in parts]
        named = [(name, v) for name, v in zip(view.outs, values, strict=False) if name]
        return self.builder.finish(named, view.name, code)

    @staticmethod
    def _code(view: View) -> Quant | None:
        """The quantisation of integer inputs when the operator moves codes; refused when it would compute with them."""
        acts = [v for v in view.ins if isinstance(v, Act)]
        codes = {v.code for v in acts}
        if codes <= {None} or view.op_type in ("DequantizeLinear", "Cast", "CastLike", "Shape", "Size", "ArgMax"):
            return None
        what = f"{view.op_type} of integers"
        if view.op_type in COMPARES_CODES and all(c is None or c.scale == (1.0,) for c in codes):
            return None  # numbers that mean themselves
        if view.op_type not in MOVES_CODES:
            raise Unsupported(what, "Put DequantizeLinear before and QuantizeLinear behind it.")
        data = view.ins if view.op_type == "Concat" else view.ins[:1]
        if len(codes) > 1 or any(isinstance(v, Known) for v in data):
            raise Unsupported(
                f"{what} of different scales", "Put DequantizeLinear before and QuantizeLinear behind it."
            )
        return codes.pop()

    def outputs(self) -> list[tuple[str, Port, str]]:
        """(tensor, port, element type) of every output; a tensor that is already an input or output gets a copy."""
        found: list[tuple[str, Port, str]] = []
        taken = {n.name for n in self.graph.input}
        for v in self.graph.output:
            value = self.values[v.name]
            if isinstance(value, Known):
                raise ModelError(
                    f'{self.path}: output "{v.name}" does not depend on the input. Remove it from the model.'
                )
            if isinstance(value, _Missing):
                raise ModelError(f'{self.path}: the shape of output "{v.name}" cannot be worked out.')
            if value.elem.startswith(ASYMMETRIC):
                raise ModelError(
                    f'{self.path}: output "{v.name}" is {value.elem.removeprefix(ASYMMETRIC)} with a zero point; here '
                    "16-bit values have none, the codes would be others. Put a DequantizeLinear behind it."
                )
            t = value.tensor
            if t.name in taken:
                self.builder.begin(f"{v.name}/copy")
                copy = self.builder.emit(Reshape(t.shape), t, quant=t.quant)
                done = self.builder.finish([(v.name, Act(copy, value.elem, value.code))], f"{v.name}/copy", None)[
                    v.name
                ]
                assert isinstance(done, Act)
                t = done.tensor
            taken.add(t.name)
            found.append((t.name, Port.plain(v.name, t.shape), value.elem))
        return found


def _coarser(steps: Mapping[str, float]) -> list[str]:
    """What becomes of 16-bit activations with a zero point; `steps` as in Builder."""
    if not steps:
        return []
    worst = max(steps, key=steps.__getitem__)
    return [
        f"{len(steps)} activations of 16 bits have a zero point in the model and none here, int16 being symmetric: a "
        f'step is up to {steps[worst]:.2f} of the model\'s ("{worst}"), so rounding moves a value by up to '
        f"{steps[worst] / 2:.2f} of those instead of 0.50"
    ]


def _states(
    path: Path, asked: Mapping[str, str], inputs: Mapping[str, edges.Kind], outputs: Mapping[str, edges.Kind],
    tensors: Mapping[str, str],
) -> tuple[State, ...]:  # fmt: skip
    """The states of a graph. `tensors`: of the outputs, by name. ModelError for ends of two kinds."""
    found = []
    for a, b in asked.items():
        if inputs[a] != outputs[b]:
            what = [f'"{n}" is {kind} {list(shape)}' for n, (kind, shape) in ((a, inputs[a]), (b, outputs[b]))]
            grows = math.prod(outputs[b][1]) > math.prod(inputs[a][1])
            more = (
                " Memory is planned offline, so what grows from call to call cannot be kept: export a cache of a fixed"
            )
            more += " length, which drops the oldest (Concat, then Slice) or is written in turn (TensorScatter)."
            raise ModelError(
                f"{path}: `states` says {a}={b}, but input {what[0]} and output {what[1]}. What a call ends with must "
                f"be what the next can begin with: one type, one shape.{more if grows else ''}"
            )
        found.append(State(a, a, tensors[b]))
    return tuple(found)


def _reachable(nodes: list[Node], outputs: Collection[str]) -> list[Node]:
    """Nodes some output needs: shape computations leave dead ends."""
    needed, kept = set(outputs), []
    for n in reversed(nodes):
        if any(o in needed for o in n.outputs):
            needed.update(n.inputs)
            kept.append(n)
    return kept[::-1]


def _reads(node: NodeProto) -> bool:
    """Has a node an importer, or a reason why not, so that its function body is not wanted?"""
    if node.op_type == "LayerNormalization" and any(node.output[1:]):  # mean and deviation: only the body has them
        return False
    return _Walk.importer(node) is not None or node.op_type in REASONS


def _counted(problems: Sequence[Problem]) -> str:
    """ "1 input and 3 nodes": where the problems are."""
    kinds = {"operator set": 0, "input": 0, "node": 0}
    for where in dict.fromkeys(p.where for p in problems):
        kinds["input" if where.startswith('input "') else "operator set" if where == "the file" else "node"] += 1
    return " and ".join(f"{k} {kind}{'s' if k > 1 else ''}" for kind, k in kinds.items() if k)


def read_onnx(
    path: Path,
    *,
    name: str | None = None,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    states: Mapping[str, str] | None = None,
    constants: Mapping[str, object] | None = None,
    content: bytes | None = None,
) -> Imported:
    """Read an ONNX file. `name`: the C name of the model, default the file's; `input_shapes`: for inputs with open
    dimensions; `states`: outputs that come back as inputs of the next call, by the names of those; `constants`: numbers
    or arrays that inputs always are; `content`: the file's bytes, when they are in memory and `path` is only what
    errors call them. Raises ModelError with everything that is wrong."""
    path = Path(path)
    states, constants = states or {}, constants or {}
    loaded, sha256, notes = load(path, content)
    notes = (*notes, "bfloat16 is read as float32") if brain_floats.widened(loaded) else notes
    scales = told(path, loaded)
    edges.check_states(path, loaded, states)
    notes = (*notes, *edges.freeze(path, loaded, constants))
    opset = opset_of(loaded)
    old = upgraded(loaded)
    problem = opset_problem(loaded)
    problems = [] if problem is None else [problem]
    runnable, more, problem = for_runtime(loaded)
    if not problems and problem is not None:
        problems.append(problem)
    reference, said, of_shapes = _prepare(path, runnable, input_shapes or {}, states)
    for index, node in enumerate(reference.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"  # one name for all who read it
    original = reference.SerializeToString()
    problems += of_shapes

    model = ModelProto.FromString(original)
    more += [*said, *modernised(model)]
    quantised = any(n.op_type == "QuantizeLinear" or (n.domain, n.op_type) in QLINEAR for n in model.graph.node)
    if rewrite(model.graph, opset_of(model)):
        model = _infer(model)
    for _ in range(DEEPEST):
        if not written_out(model, opset_of(model), _reads):
            break
        constants_to_initialisers(path, model.graph)
        del model.graph.value_info[:]  # what could not be told before would stay unknown
        model = _infer(model)
        if _shapes_as_constants(model.graph):
            del model.graph.value_info[:]
            model = _infer(model)

    walk = _Walk(path, model, not problems, scales)
    ports_in = walk.inputs()
    for index, node in enumerate(model.graph.node):
        walk.node(index, node)
    problems += walk.problems
    if problems:
        raise UnsupportedError(f"{path}: {_counted(problems)} tinygen cannot build:", problems)
    ports_out = walk.outputs()
    kinds_in = {p.name: (elem, p.shape) for p, elem in ports_in}
    kinds_out = {p.name: (elem, p.shape) for _, p, elem in ports_out}
    states = {a: b for a, b in states.items() if a in kinds_in}  # of one that is not used a note says so
    kept = _states(path, states, kinds_in, kinds_out, {p.name: t for t, p, _ in ports_out})
    ports_in = [(p, elem) for p, elem in ports_in if p.name not in states]
    if len(states) < len(ports_out):
        ports_out = [e for e in ports_out if e[1].name not in states.values()]
    else:
        more.append("every output is a state as well: the outputs stay")
    free_in = {name: kind for name, kind in kinds_in.items() if name not in states}
    free_out = {name: kind for name, kind in kinds_out.items() if name not in states.values()}
    more += edges.note(edges.propose(model, free_in, free_out))
    all_notes = (*notes, *old, *more, *walk.builder.notes, *_coarser(walk.builder.coarser))
    graph = Graph(
        name=_c_name(name or path.stem),
        stage=Stage.FLOAT,
        tensors=walk.builder.tensors,
        nodes=(),
        inputs=tuple(p.name for p, _ in ports_in),
        outputs=tuple(t for t, _, _ in ports_out),
        in_ports=tuple(p for p, _ in ports_in),
        out_ports=tuple(p for _, p, _ in ports_out),
        notes=all_notes,
        states=kept,
    )
    graph = graph.with_(nodes=_reachable(walk.builder.nodes, graph.results), tensors=walk.builder.tensors.values())
    return Imported(
        graph, sha256, opset, quantised, original, all_notes,
        tuple(e for _, e in ports_in), tuple(e for _, _, e in ports_out), tuple(states.items()), dict(constants),
    )  # fmt: skip
