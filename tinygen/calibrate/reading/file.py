"""A pre-quantised ONNX model, read and run by the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tinygen.calibrate.floatrun import FloatModel
from tinygen.calibrate.reading.moves import need_array
from tinygen.calibrate.reading.qlinear import elements_of, qlinear_rule
from tinygen.calibrate.reading.rules import RULES
from tinygen.calibrate.reading.values import (
    CLAMPS,
    FLOAT32,
    MOVES,
    PICKS,
    ROUNDS,
    Ins,
    Node,
    Point,
    Rounded,
    Unreadable,
    Value,
    dequantise,
    kind_of,
    known_input,
    need_value,
    rounded_to,
)
from tinygen.errors import ModelError
from tinygen.numerics import Array

_FLOAT_KINDS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


@dataclass(frozen=True, slots=True)
class Behind:
    """What lies between a value and the points before it: as in `Point`."""

    sources: frozenset[str] = frozenset()
    between: frozenset[str] = frozenset()
    steps: frozenset[str] = frozenset()
    free: bool = False
    #: A float input that no point rounds reaches it.
    floats: bool = False
    #: Constants in float are among its values.
    joined: bool = False
    picked: bool = False


@dataclass
class Run:
    """One evaluation: what each point would hold (`rounded`) given the integers before it, and the outputs' values."""

    rounded: dict[str, Rounded] = field(default_factory=dict)
    outputs: dict[str, Array] = field(default_factory=dict)


class Reading:
    """A pre-quantised ONNX model (batch of 1, functions inlined), read for itself."""

    def __init__(self, model: bytes) -> None:
        self._model = ModelProto.FromString(model)
        graph = self._model.graph
        self._opsets = {o.domain: int(o.version) for o in self._model.opset_import}
        self._constants = {t.name: Value(numpy_helper.to_array(t), False) for t in graph.initializer}
        self.inputs = tuple(i.name for i in graph.input if i.name not in self._constants)
        self.outputs = tuple(o.name for o in graph.output)
        self._nodes = [self._read(i, n) for i, n in enumerate(graph.node)]
        self._sessions: dict[int, FloatModel] = {}
        self._scale_axes = self._find_scale_axes()
        #: Operators that onnxruntime computed, for want of a rule.
        self.stand_ins: set[str] = set()
        #: What each output is computed from.
        self.behind: dict[str, Behind] = {}
        self.points = self._find_points()

    def _read(self, index: int, node: NodeProto) -> Node:
        attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute if a.type != AttributeProto.GRAPH}
        if len(attrs) != len(node.attribute):
            attrs["has_subgraph"] = 1
        return Node(node, node.name or f"{node.op_type}_{index}", self._opsets.get(node.domain, 1), attrs)

    def _find_points(self) -> dict[str, Point]:
        """The values kept as integers, in order, by what the graph says alone."""
        kinds = {i.name: i.type.tensor_type.elem_type for i in self._model.graph.input}
        self.integers = frozenset(i for i in self.inputs if kinds[i] not in _FLOAT_KINDS)
        behind = {i: Behind(floats=i not in self.integers) for i in self.inputs}
        codes: dict[str, Point] = {}  # integers that are moved and clamped: the point they come from
        points: dict[str, Point] = {}
        for n in self._nodes:
            args = [behind[i] for i in n.proto.input if i in behind]
            if not args:
                continue
            computes = n.op not in (*MOVES, "QuantizeLinear")
            far = Behind(
                frozenset().union(*(a.sources for a in args)),
                frozenset([n.name]).union(*(a.between for a in args)),
                frozenset([n.name] if computes else []).union(*(a.steps for a in args)),
                any(a.free or (computes and a.joined) for a in args) or self._has_float_weights(n),
                any(a.floats for a in args),
                any(a.joined for a in args) or self._joins_floats(n),
                any(a.picked for a in args) or n.op in PICKS,
            )
            out, at = n.proto.output[0], self._scale_at(n)
            if at is not None:
                scale, zero = (self._constant(n, at + k) for k in (0, 1))
                if scale is not None and scale.size == 1:
                    kind = kind_of(n, zero)
                    z = 0 if zero is None else int(np.asarray(zero, np.int64).ravel()[0])
                    s = float(np.float32(scale.ravel()[0]))
                    points[out] = codes[out] = Point(
                        out, n.name, n.op, s, z, kind, far.sources, far.between, far.steps, far.free, far.picked,
                    )  # fmt: skip
                    behind[out] = Behind(frozenset([out]))
                    continue
            of = codes.get(n.proto.input[0]) if n.op in MOVES and n.op != "DequantizeLinear" else None
            if of is not None and n.op in CLAMPS:  # integers of their own
                points[out] = codes[out] = replace(
                    of, value=out, node=n.name, op=n.op, sources=far.sources, between=far.between,
                    steps=frozenset([n.name]), picked=True,
                )  # fmt: skip
                behind[out] = Behind(frozenset([out]))
                continue
            if of is not None:
                codes.update(dict.fromkeys(n.proto.output, of))
            behind.update(dict.fromkeys(n.proto.output, far))
        self.behind = {o: behind[o] for o in self.outputs if o in behind}
        return points

    def _joins_floats(self, n: Node) -> bool:
        """Many constants in float are among the values that a node moves or compares."""
        constants = [self._constant(n, i) for i in range(len(n.proto.input))]
        return n.op not in ("DequantizeLinear", "Resize", "Upsample") and any(
            c is not None and c.dtype.kind == "f" and c.size > 1 for c in constants
        )

    def _has_float_weights(self, n: Node) -> bool:
        """A node that computes with many constants that no DequantizeLinear makes, a layer's bias apart; or whose
        weights have a scale for each slice of another axis than the outputs'."""
        if (n.op in (*MOVES, "Resize", "Upsample") and n.op not in ("Max", "Min")) or n.op.startswith(ROUNDS):
            return False
        layer = n.op in ("Conv", "ConvTranspose", "Gemm")
        names = n.proto.input[: 2 if layer else 9]
        constants = [self._constant(n, i) for i in range(len(names))]
        if any(c is not None and c.dtype.kind == "f" and c.size > 1 for c in constants):
            return True
        turned = bool(int(n.attrs.get("transB", 0)))
        outs = {"Conv": (0, 0), "ConvTranspose": (1, 1), "Gemm": (0, 0 if turned else 1), "MatMul": (-2, -1)}.get(n.op)
        return outs is not None and any(
            name in self._scale_axes and at % len(self._scale_axes[name][1]) != self._scale_axes[name][0]
            for name, at in zip(names, outs, strict=False)
        )

    def _find_scale_axes(self) -> dict[str, tuple[int, tuple[int, ...]]]:
        """Constants with several scales, by the name of the value: the axis that has them, and the shape."""
        found = {}
        shapes = {name: value.a.shape for name, value in self._constants.items()}
        for n in self._nodes:
            shape = shapes.get(n.proto.input[0]) if n.op in ("QuantizeLinear", "DequantizeLinear") else None
            if shape is None:
                continue
            shapes[n.proto.output[0]] = shape
            scale = self._constant(n, 1)
            if n.op == "DequantizeLinear" and scale is not None and scale.size > 1 and shape:
                found[n.proto.output[0]] = (int(n.attrs.get("axis", 1)) % len(shape), shape)
        return found

    def _constant(self, n: Node, i: int) -> Array | None:
        name = n.proto.input[i] if i < len(n.proto.input) else ""
        return self._constants[name].a if name in self._constants else None

    @staticmethod
    def _scale_at(n: Node) -> int | None:
        """The input at which a rounding node names its output's scale; None: it does not round."""
        if not n.op.startswith(ROUNDS):
            return None
        at = {"QuantizeLinear": 1, "QLinearConv": 6, "QLinearMatMul": 6, "QGemm": 7, "QLinearAdd": 6, "QLinearMul": 6,
              "QLinearConcat": 0}.get(n.op, 3)  # fmt: skip
        return at if at < len(n.proto.input) and n.proto.input[at] else None

    def run(self, feeds: Mapping[str, Array], given: Mapping[str, Array] | None = None) -> Run:
        """Evaluate; each feed (samples, *ONNX shape). Where `given` has the integers of a point, they take the place of
        those computed, so that one layer's rounding does not reach the next. Raises Unreadable for a node without
        rule."""
        run = Run()
        values: dict[str, Value] = dict(self._constants)
        for name in self.inputs:
            x = feeds[name]
            values[name] = Value(x if x.dtype.kind in "iu" else x.astype(np.float64), True)
        last = {i: k for k, n in enumerate(self._nodes) for i in n.proto.input}
        for k, n in enumerate(self._nodes):
            ins = [values[i] if i else None for i in n.proto.input]
            try:
                results = self._node(k, n, ins, run, given or {})
            except (Unreadable, ModelError, LookupError, ValueError, TypeError) as e:
                raise Unreadable(f'{n.op} "{n.name}": {e}') from e
            values.update(zip(n.proto.output, results, strict=False))
            for i in n.proto.input:
                if i and last[i] == k and i not in self.outputs and i in values and values[i].live:
                    del values[i]
        run.outputs = {o: values[o].a for o in self.outputs}
        return run

    def _node(self, k: int, n: Node, ins: Ins, run: Run, given: Mapping[str, Array]) -> list[Value]:
        if n.op == "DequantizeLinear":
            q = need_value(ins[0])
            axis, block = int(n.attrs.get("axis", 1)), int(n.attrs.get("block_size", 0))
            return [dequantise(q, need_array(known_input(ins, 1)), known_input(ins, 2), axis, block)]
        if not any(v is not None and v.live for v in ins) and n.op != "QuantizeLinear":
            return self._folded(k, n, ins)
        at, x = self._scale_at(n), None
        axis, block = int(n.attrs.get("axis", 1)), int(n.attrs.get("block_size", 0))
        if n.op == "QuantizeLinear":
            x = need_value(ins[0])
        elif n.op.startswith(ROUNDS):
            x, at, _ = qlinear_rule(n, ins)
        if x is None:
            rule = RULES.get(n.op) if n.proto.domain in ("", "ai.onnx") else None
            if rule is None or "has_subgraph" in n.attrs:
                return self._by_runtime(k, n, ins)
            try:
                found_values = rule(n, ins)
            except Unreadable:
                return self._by_runtime(k, n, ins)
            return self._clamped(n, found_values[0], run, given) if n.proto.output[0] in self.points else found_values
        if at is None or at >= len(n.proto.input) or not n.proto.input[at]:
            return [x]  # QGemm without an output scale gives numbers
        zero = known_input(ins, at + 1)
        found = rounded_to(x, need_array(known_input(ins, at)), zero, kind_of(n, zero), axis, block)
        out = n.proto.output[0]
        if not x.live:
            return [Value(found.codes, False)]
        run.rounded[out] = self._again(out, found, run)
        return [Value(given.get(out, found.codes), True)]

    def _again(self, out: str, found: Rounded, run: Run) -> Rounded:
        """Integers rounded to the same scale once more (a Relu between): as near to a tie as they were before."""
        p = self.points.get(out)
        if p is None or p.steps or len(p.sources) != 1:
            return found
        before = self.points[next(iter(p.sources))]
        r = run.rounded.get(before.value)
        alike = (before.scale, before.zero_point, before.kind) == (p.scale, p.zero_point, p.kind)
        if r is None or not alike or r.codes.shape != found.codes.shape:
            return found
        near = np.abs(found.codes.astype(np.int32) - r.codes) <= 1
        return Rounded(found.codes, np.where(near, np.minimum(found.distance, r.distance), found.distance))

    def _clamped(self, n: Node, y: Value, run: Run, given: Mapping[str, Array]) -> list[Value]:
        """Integers after a clamp: where it left them alone, as near to a tie as before."""
        out, before = n.proto.output[0], run.rounded.get(n.proto.input[0])
        distance = np.full(y.a.shape, 0.5, np.float32)
        if before is not None:
            distance = np.where(before.codes == y.a, before.distance, distance)
        run.rounded[out] = Rounded(y.a, distance)
        return [Value(given.get(out, y.a), True)]

    def _folded(self, k: int, n: Node, ins: Ins) -> list[Value]:
        """A node of constants alone, once for all."""
        arrays = [None if v is None else v.a for v in ins]
        kept = [np.asarray(a, np.float32) if a is not None and a.dtype == np.float64 else a for a in arrays]
        found = self._session(k, n, kept).run(self._distinct(n, kept))
        return [Value(a.astype(np.float64) if a.dtype == np.float32 else a, False) for a in found]

    def _by_runtime(self, k: int, n: Node, ins: Ins) -> list[Value]:
        """A node without a rule, sample by sample, in onnxruntime's float32."""
        if "has_subgraph" in n.attrs:
            raise Unreadable("a subgraph")
        count = next(len(v.a) for v in ins if v is not None and v.live)
        rows = []
        for i in range(count):
            arrays = [None if v is None else (v.a[i] if v.live else v.a) for v in ins]
            kept = [a.astype(np.float32) if a is not None and a.dtype == np.float64 else a for a in arrays]
            rows.append(self._session(k, n, kept).run(self._distinct(n, kept)))
        self.stand_ins.add(n.op)
        results = []
        for parts in zip(*rows, strict=True):
            y = np.stack(parts)
            real = y.dtype == np.float32
            y = y.astype(np.float64) if real else y
            results.append(Value(y, True, FLOAT32 * float(np.max(np.abs(y), initial=0.0)) if real else 0.0))
        return results

    @staticmethod
    def _distinct(n: Node, arrays: Sequence[Array | None]) -> list[Array]:
        """An input that is read twice is fed once."""
        by_name = dict(zip(n.proto.input, arrays, strict=True))
        return [a for a in by_name.values() if a is not None]

    def _session(self, k: int, n: Node, arrays: Sequence[Array | None]) -> FloatModel:
        if k not in self._sessions:
            inputs = [
                helper.make_tensor_value_info(name, elements_of(a.dtype.name), a.shape)
                for name, a in zip(n.proto.input, arrays, strict=True)
                if a is not None
            ]
            seen = {i.name: i for i in inputs}
            outputs = [helper.make_empty_tensor_value_info(o) for o in n.proto.output]
            graph = helper.make_graph([n.proto], "node", list(seen.values()), outputs)
            model = helper.make_model(graph, opset_imports=list(self._model.opset_import))
            model.ir_version = self._model.ir_version
            self._sessions[k] = FloatModel(model.SerializeToString())
        return self._sessions[k]
