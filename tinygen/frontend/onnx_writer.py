"""FLOAT graph to ONNX: what onnxruntime executes for calibration, comparison and accuracy (`to_onnx`), and the
standard QDQ form, which carries a quantised network from tool to tool (`to_qdq`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from tinygen.errors import ModelError
from tinygen.frontend import told
from tinygen.frontend.handlers_spatial import resize_axis
from tinygen.ir.types import Graph, Node, Op, Port, Quant, Stage, Tensor
from tinygen.numerics import Array
from tinygen.ops import Attention, AvgPool, Conv, ConvTranspose, Dense, Insert, Norm, Resize
from tinygen.ops.base import Operator, ScanStep, Shape

#: Operator set and file version of everything we write: old enough for onnxruntime 1.14.
OPSET = 18
IR_VERSION = 8
#: Where QuantizeLinear knows int16 in that operator set, as onnxruntime's own quantiser writes it. ONNX has it from
#: opset 21 on, but there onnxruntime's default optimisation stops at int8 beside it: it puts `output_dtype` next to a
#: zero point, which its own type inference refuses (1.31; onnxruntime issue 25526).
MICROSOFT = "com.microsoft"

#: Operators with weights as we write them, and the axis of the weights that is the output channel.
_CHANNEL_AXIS = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}
#: Operators that have the name of the node they are written for; where there is none of them, the last.
_PROPER = (*_CHANNEL_AXIS, "LSTM", "GRU", "RNN")


class _Builder:
    """Collects ONNX nodes; implements tinygen.ops.base.OnnxBuilder."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.nodes: list[NodeProto] = []
        self.initialisers: list[TensorProto] = []
        self._taken = set(taken)
        self._count = 0

    def fresh(self, kind: str) -> str:
        while True:
            self._count += 1
            name = f"{kind}_{self._count}"
            if name not in self._taken:
                return name

    def op(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        return self.ops(op_type, inputs, 1, **attributes)[0]

    def ops(self, op_type: str, inputs: Sequence[str], count: int, **attributes: Any) -> tuple[str, ...]:
        outs = tuple(self.fresh(op_type) for _ in range(count))
        self.nodes.append(helper.make_node(op_type, list(inputs), outs, name=outs[0], **attributes))
        return outs

    def scan(
        self, step: ScanStep, states: Sequence[str], state: Shape, rows: str, row: Shape, reverse: bool
    ) -> tuple[str, ...]:
        inner = _Builder(())
        inner.fresh = self.fresh  # type: ignore[method-assign]  # one space of names: a body may not use one again
        now = [self.fresh("state") for _ in states]
        at = self.fresh("row")
        after, stacked = step(inner, now, at)
        count = len(after) + len(stacked)
        names = [self.fresh("turn") for _ in range(count)]  # a body's outputs are its own, each of them once
        ends = [helper.make_node("Identity", [n], [out]) for n, out in zip((*after, *stacked), names, strict=True)]
        body = helper.make_graph(
            [*inner.nodes, *ends],
            self.fresh("body"),
            [*(_value_info(n, state) for n in now), _value_info(at, row)],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names],
            inner.initialisers,
        )
        way = [int(reverse)]
        more = {"scan_input_directions": way, "scan_output_directions": way * len(stacked)} if reverse else {}
        outs = self.ops("Scan", [*states, rows], count, body=body, num_scan_inputs=1, **more)
        return outs[len(after) :]

    def const(self, array: Array) -> str:
        name = self.fresh("const")
        self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def write(self, graph: Graph, node: Node, inputs: Sequence[str]) -> tuple[str, ...]:
        """The ONNX nodes of one node; their outputs."""
        assert isinstance(node.op, Operator)
        start = len(self.nodes)
        written = node.op.to_onnx(self, graph.ins(node), inputs)
        self.label(node, start)
        return written

    def label(self, node: Node, start: int) -> None:
        """The name of `node` for its ONNX nodes, those from `start` on: the layer proper has it, the others begin with
        it."""
        mine = self.nodes[start:]
        proper = next((n for n in mine if n.op_type in _PROPER), mine[-1] if mine else None)
        kinds: dict[str, int] = {}
        for n in mine:
            n.name = node.name
            while n is not proper and n.name in self._taken:  # a node of the graph may be called so, as a file had it
                count = kinds[n.op_type] = kinds.get(n.op_type, 0) + 1
                n.name = f"{node.name}/{n.op_type}{'' if count == 1 else f'_{count}'}"

    def model(
        self, name: str, inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto], scales: str = ""
    ) -> bytes:
        """The serialised model, without nodes and initialisers that nobody reads. `scales`: what it tells beside its
        graph (told.py)."""
        read = {v.name for v in outputs}
        for n in reversed(self.nodes):
            if read.intersection(n.output):
                read.update(_read_by(n))
        self.nodes = [n for n in self.nodes if read.intersection(n.output)]
        graph = helper.make_graph(self.nodes, name, inputs, outputs, [t for t in self.initialisers if t.name in read])
        imports = [helper.make_opsetid("", OPSET)]
        if any(n.domain == MICROSOFT for n in self.nodes):
            imports.append(helper.make_opsetid(MICROSOFT, 1))
        model: ModelProto = helper.make_model(
            graph, opset_imports=imports, ir_version=IR_VERSION, producer_name=told.PRODUCER
        )
        if scales:
            helper.set_model_props(model, {told.KEY: scales})
        data: bytes = model.SerializeToString()
        return data


def _read_by(node: NodeProto) -> set[str]:
    """Names that a node reads, or its body."""
    bodies = (a.g for a in node.attribute if a.type == AttributeProto.GRAPH)
    return {*node.input, *(name for body in bodies for n in body.node for name in _read_by(n))}


def _value_info(name: str, shape: Sequence[int], codes: str = "") -> ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(codes)) if codes else TensorProto.FLOAT
    return helper.make_tensor_value_info(name, kind, list(shape))


def _plain(t: Tensor) -> str:
    """numpy's name of the type of plain numbers; "" for real ones."""
    return t.dtype.value if t.is_plain else ""


def _normalised(b: _Builder, port: Port) -> str:
    """An input behind its port's cast and normalisation, in the ONNX layout: read again they are the same port's."""
    name, a = port.name, port.affine
    if port.codes:
        name = b.op("Cast", [name], to=TensorProto.FLOAT)
    if a is None:
        return name
    along = [1] * len(port.shape)
    if len(a.mean) > 1:
        along[port.perm[a.axis]] = -1
    mean, gain = (np.asarray(v, np.float32).reshape(along if len(v) > 1 else ()) for v in (a.mean, a.gain))
    if np.any(mean):
        name = b.op("Sub", [name, b.const(mean)])
    return b.op("Mul", [name, b.const(gain)])


def _need_float(graph: Graph) -> None:
    if graph.stage is not Stage.FLOAT:
        raise ValueError("only FLOAT graphs have a float meaning")


def _pin(b: _Builder, q: Quant, real: str, out: str, rounded: bool) -> None:
    """What a pin does to a value: it saturates at the ends of the code; `rounded`: and is one of its steps."""
    if not rounded:
        ends = [b.const(np.array(q.s * (code - q.zero_point), np.float32)) for code in (q.low, q.high)]
        b.nodes.append(helper.make_node("Clip", [real, *ends], [out], name=b.fresh("Clip")))
        return
    kind = np.int16 if q.bits == 16 else np.int8
    domain = MICROSOFT if q.bits == 16 else ""
    parameters = [b.const(np.array(q.s, np.float32)), b.const(np.array(q.zero_point, kind))]
    code = b.fresh("QuantizeLinear")
    b.nodes.append(helper.make_node("QuantizeLinear", [real, *parameters], [code], name=code, domain=domain))
    name = b.fresh("DequantizeLinear")
    b.nodes.append(helper.make_node("DequantizeLinear", [code, *parameters], [out], name=name, domain=domain))


def to_onnx(graph: Graph, extra_outputs: Sequence[str] = (), *, rounded: bool = False) -> bytes:
    """A serialised ONNX model with the same float meaning. A pinned activation saturates where its code ends;
    `rounded`: and passes QuantizeLinear and DequantizeLinear, as in the pre-quantised model that pinned it.

    Inputs, outputs and `extra_outputs` (any tensors of the graph) carry the names, shapes and layout of the IR tensors.
    What states read are inputs behind the others, what they write outputs likewise.
    """
    _need_float(graph)
    b = _Builder({*graph.tensors, *(n.name for n in graph.nodes)})
    pinned: dict[str, str] = {}  # inputs of the graph, by name: what their readers read
    for name in graph.sources:
        if (q := graph.tensors[name].quant) is not None:
            pinned[name] = b.fresh("input")
            _pin(b, q, name, pinned[name], rounded)
    for node in graph.nodes:
        start = len(b.nodes)
        written = list(b.write(graph, node, [pinned.get(i, i) for i in node.inputs]))
        for i, out in enumerate(node.outputs):
            if (q := graph.tensors[out].quant) is not None:
                real, written[i] = written[i], b.fresh("pinned")
                _pin(b, q, real, written[i], rounded)
        mine = {name: n for n in b.nodes[start:] for name in n.output}
        for name, want in zip(written, node.outputs, strict=True):
            last = mine.pop(name, None)
            # The operator's last ONNX node takes the tensor's name; one that wrote no node gets an Identity.
            if last is None or any(name in n.input for n in b.nodes[start:]):
                b.nodes.append(helper.make_node("Identity", [name], [want], name=b.fresh("Identity")))
            else:
                last.output[list(last.output).index(name)] = want
    for t in graph.tensors.values():
        if t.const is not None:
            b.initialisers.append(numpy_helper.from_array(t.array, t.name))
    shown = list(dict.fromkeys((*graph.results, *(name for name in extra_outputs if name not in graph.sources))))
    tensors = graph.tensors
    return b.model(
        graph.name,
        [_value_info(name, tensors[name].shape, _plain(tensors[name])) for name in graph.sources],
        [_value_info(name, tensors[name].shape, _plain(tensors[name])) for name in shown],
    )


class _QdqBuilder(_Builder):
    """Writes pinned weights as int8 behind DequantizeLinear, and activations through QuantizeLinear."""

    weights: Tensor | None = None  # those of the node being written, where they are pinned

    def __init__(self, taken: Iterable[str], domain: str) -> None:
        super().__init__(taken)
        self.domain = domain  # of QuantizeLinear and DequantizeLinear

    def op(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        if self.weights is not None and op_type in _CHANNEL_AXIS:
            x, w, *rest = inputs
            inputs = [x, self._codes(w, self.weights, _CHANNEL_AXIS[op_type]), *rest]
        return super().op(op_type, inputs, **attributes)

    def _codes(self, name: str, pinned: Tensor, axis: int) -> str:
        """DequantizeLinear in place of the float initialiser `name`, just written for the weights `pinned`."""
        at = next(i for i, t in enumerate(self.initialisers) if t.name == name)
        real = numpy_helper.to_array(self.initialisers.pop(at)).astype(np.float64)
        assert pinned.quant is not None
        # A transposed convolution in groups lists the channels of one group: the scales repeat from group to group.
        scale = np.asarray(pinned.quant.scale, np.float32)[: real.shape[axis]]
        along = tuple(-1 if i == axis else 1 for i in range(real.ndim))
        codes = np.rint(real / scale.astype(np.float64).reshape(along))
        if codes.min(initial=0.0) < -128 or codes.max(initial=0.0) > 127:
            raise ValueError(f'weights "{pinned.name}" do not fit int8 at their pinned scale')
        inputs = [self.const(codes.astype(np.int8)), self.const(scale)]
        return super().op("DequantizeLinear", inputs, axis=axis, domain=self.domain)

    def dequantise(self, inputs: Sequence[str], out: str) -> str:
        """DequantizeLinear of (code, scale, zero point), as `out`."""
        name = self.fresh("DequantizeLinear")
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [out], name=name, domain=self.domain))
        return out

    def quantise(self, real: str, t: Tensor, code: str) -> list[str]:
        """The integers of activation `t`, whose real values are `real`, under the name `code`; what DequantizeLinear
        reads."""
        if t.quant is None:
            raise ValueError(f'tensor "{t.name}" has no scale: to_qdq writes graphs with every activation pinned')
        kind = np.int16 if t.quant.bits == 16 else np.int8
        parameters = [self.const(np.array(t.quant.s, np.float32)), self.const(np.array(t.quant.zero_point, kind))]
        label = self.fresh("QuantizeLinear")
        self.nodes.append(
            helper.make_node("QuantizeLinear", [real, *parameters], [code], name=label, domain=self.domain)
        )
        return [code, *parameters]

    def write(self, graph: Graph, node: Node, inputs: Sequence[str]) -> tuple[str, ...]:
        if not isinstance(node.op, Resize):
            if kind := _without_operator(node.op):
                raise ModelError(
                    f'{kind} "{", ".join(node.origin) or node.name}": opset {OPSET} has no operator for it, and '
                    "between several the file would not give the scales. Build the model as it is: `tinygen build`."
                )
            return super().write(graph, node, inputs)
        start = len(self.nodes)
        x, y = graph.ins(node)[0], graph.outs(node)[0]
        how = _resize_attributes(node.op, x, y)
        if how is None:
            if node.op.linear:
                raise ModelError(
                    f'resize "{", ".join(node.origin) or node.name}": no mode of ONNX\'s Resize gives its '
                    f"coordinates from {x.shape} to {y.shape} by sizes alone; export it with a whole-number scale"
                )
            return super().write(graph, node, inputs)  # as Gathers
        last = [0, *range(2, len(x.shape)), 1]
        first = [0, len(x.shape) - 1, *range(1, len(x.shape) - 1)]
        sizes = self.const(np.array([y.shape[a] for a in first], np.int64))
        resized = self.op("Resize", [self.op("Transpose", [inputs[0]], perm=first), "", "", sizes], **how)
        out = self.op("Transpose", [resized], perm=last)
        self.label(node, start)
        return (out,)


def _without_operator(op: Op) -> str:
    """What no single operator of OPSET says; "" for all else."""
    if isinstance(op, AvgPool) and max(op.window.dilations) > 1:
        return "mean over a dilated window"
    if isinstance(op, Norm) and op.groups > 1:
        return "normalisation of groups"
    if isinstance(op, Attention) and op.kv_heads < op.heads:
        return "attention whose heads share keys"
    return "a cache that is written in turn" if isinstance(op, Insert) else ""


def _resize_attributes(op: Resize, x: Tensor, y: Tensor) -> dict[str, str] | None:
    """Attributes with which ONNX's Resize, given sizes, has the tables of `op`; None when no mode has them."""
    mode = "linear" if op.linear else "nearest"
    for where in ("asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"):
        for rounding in ("floor", "round_prefer_floor", "round_prefer_ceil", "ceil"):
            tables = tuple(
                resize_axis(where, rounding, op.linear, length, out, out / length)
                for length, out in zip(x.shape[1:-1], y.shape[1:-1], strict=True)
            )
            if tables == op.axes:
                return {"mode": mode, "coordinate_transformation_mode": where, "nearest_mode": rounding}
    return None


def to_qdq(graph: Graph) -> bytes:
    """A standard quantised ONNX model (QDQ) of a FLOAT graph whose activations are all pinned.

    Every activation passes QuantizeLinear and DequantizeLinear (int8, or int16 where a pin has 16 bits: then both are
    those of domain com.microsoft), save outputs in parts, whose parts do. Pinned weights are int8 initialisers behind
    DequantizeLinear with a scale for each output channel, biases and other constants stay float, weights of recurrent
    layers among them. What an operator keeps inside is told beside the graph (told.py). Inputs and outputs are float
    (or integers that mean themselves), with the names, shapes and layouts of the graph's ports. Read again, it gives
    the same integers: tidied and quantised it is the FIXED graph that `graph` is quantised to.

    ValueError for an activation without a pin, or weights beyond int8 at their scale;
    ModelError for what this operator set cannot say in one operator: a linear Resize of some coordinates, a mean over a
    dilated window, a normalisation of groups, attention whose heads share keys, a cache that is written in turn.
    """
    _need_float(graph)
    ports = {p.name for p in (*graph.in_ports, *graph.out_ports)}
    read = {*graph.results, *(name for n in graph.nodes for name in n.inputs)}
    wide = any(q.bits == 16 for name in read if (q := graph.tensors[name].quant) is not None)
    taken = {*graph.tensors, *(f"{name}_q" for name in ports), *ports, *(n.name for n in graph.nodes)}
    b = _QdqBuilder(taken, MICROSOFT if wide else "")
    real: dict[str, str] = {}
    codes: dict[str, list[str]] = {}

    def value(name: str) -> str:
        """The real values of a tensor, as ONNX nodes may read them."""
        if name not in real:
            t = graph.tensors[name]
            real[name] = b.const(t.array) if t.const is not None else b.dequantise(codes[name], b.fresh("real"))
        return real[name]

    def code_name(tensor: str) -> str:
        return f"{tensor}_q" if tensor in ports else tensor

    def moved(code: str, perm: Sequence[int], name: str) -> str:
        if list(perm) == sorted(perm):
            return code
        b.nodes.append(helper.make_node("Transpose", [code], [name], name=f"{name}_port", perm=list(perm)))
        return name

    for name, port in zip(graph.inputs, graph.in_ports, strict=True):
        if (q := graph.tensors[name].quant) is not None and q.bits not in told.BITS:
            real[name] = moved(_normalised(b, port), port.perm, code_name(name))
            continue
        code, *parameters = b.quantise(_normalised(b, port), graph.tensors[name], b.fresh("port"))
        codes[name] = [moved(code, port.perm, code_name(name)), *parameters]
    for node in graph.nodes:
        w = graph.tensors[node.inputs[1]] if isinstance(node.op, Conv | ConvTranspose | Dense) else None
        b.weights = w if w is not None and w.quant is not None else None
        written = b.write(graph, node, [value(i) for i in node.inputs])
        b.weights = None
        for out, name in zip(node.outputs, written, strict=True):
            quant = graph.tensors[out].quant
            inside = out not in read or (quant is not None and quant.bits not in told.BITS)
            if inside or (quant is not None and quant.zero_points):
                real[out] = name  # told; or joined from parts on grids of their own: nothing is rounded
            else:
                codes[out] = b.quantise(name, graph.tensors[out], code_name(out))
    for name, port in zip(graph.outputs, graph.out_ports, strict=True):
        back = [int(i) for i in np.argsort(port.perm)]
        if name in codes:
            code, *parameters = codes[name]
            b.dequantise([moved(code, back, b.fresh("port")), *parameters], port.name)
        else:
            b.nodes.append(
                helper.make_node("Transpose", [real[name]], [port.name], name=f"{port.name}_port", perm=back)
            )
    return b.model(
        graph.name,
        [_value_info(p.name, p.shape, p.codes) for p in graph.in_ports],
        [_value_info(p.name, p.shape) for p in graph.out_ports],
        told.record(graph),
    )
