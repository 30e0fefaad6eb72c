"""A network under construction: nodes are added, run at once in onnxruntime, and taken back when it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int, ...]

#: Elements of the largest tensor, its largest value, and samples run while generating.
MAX_SIZE = 4096
MAX_RANK = 5
MAX_VALUE = 2000.0
SAMPLES = 3
MICROSOFT = "com.microsoft"


class Refused(Exception):
    """What was added last does not make a usable value; the network is as before."""


@dataclass(frozen=True)
class Value:
    """An activation: name, shape, and what it is for the generator's own samples, (SAMPLES, *shape)."""

    name: str
    shape: Shape
    data: Array

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def is_float(self) -> bool:
        return self.data.dtype == np.float32

    @property
    def low(self) -> float:
        return float(self.data.min())

    @property
    def high(self) -> float:
        return float(self.data.max())


def session(model: bytes) -> onnxruntime.InferenceSession:
    """onnxruntime without its own rewrites: the plain meaning of the model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@dataclass
class Net:
    """`values`: usable activations, oldest first; `opened`: those nobody reads yet."""

    rng: np.random.Generator
    opset: int
    nodes: list[NodeProto] = field(default_factory=list)
    weights: dict[str, TensorProto] = field(default_factory=dict)
    values: list[Value] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    inputs: list[tuple[Value, str]] = field(default_factory=list)
    _names: int = 0
    _pending: list[NodeProto] = field(default_factory=list)
    _reads: list[str] = field(default_factory=list)
    _known: dict[str, Value] = field(default_factory=dict)

    # Random choices ---------------------------------------------------------------------------------------------------

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def pick(self, options: Sequence[Any]) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def between(self, low: int, high: int) -> int:
        """Integer in [low, high]."""
        return int(self.rng.integers(low, high + 1))

    def normal(self, *shape: int) -> Array:
        return self.rng.normal(size=shape).astype(np.float32)

    # Building ---------------------------------------------------------------------------------------------------------

    def name(self, stem: str) -> str:
        self._names += 1
        return f"{stem}{self._names}"

    def const(self, array: Any, dtype: Any = None) -> str:
        """A constant: an initialiser or a Constant node."""
        a = np.asarray(array, dtype)
        a = np.ascontiguousarray(a).reshape(a.shape)
        if a.dtype == np.float32 and self.chance(0.15):  # one constant for several nodes
            same = [n for n, t in self.weights.items() if tuple(t.dims) == a.shape and t.data_type == TensorProto.FLOAT]
            if same and a.ndim and (numpy_helper.to_array(self.weights[same[-1]]) > 0).all() == (a > 0).all():
                return same[-1]
        name = self.name("c")
        if self.chance(0.2):
            attrs: dict[str, Any] = {"value": numpy_helper.from_array(a, name + "_v")}
            if self.opset >= 12 and a.ndim == 1 and a.size and a.dtype in (np.float32, np.int64) and self.chance(0.5):
                attrs = {"value_floats" if a.dtype == np.float32 else "value_ints": a.tolist()}
            elif self.opset >= 12 and a.ndim == 0 and a.dtype in (np.float32, np.int64) and self.chance(0.5):
                attrs = {"value_float" if a.dtype == np.float32 else "value_int": a.item()}
            self._pending.append(helper.make_node("Constant", [], [name], name=self.name("const_"), **attrs))
        else:
            self.weights[name] = numpy_helper.from_array(a, name)
        return name

    def ints(self, values: Sequence[int]) -> str:
        return self.const(np.array(values, np.int64))

    def op(
        self, kind: str, inputs: Sequence[Value | str], outputs: int = 1, domain: str = "", **attrs: Any
    ) -> list[str]:
        """Add a node (not run yet): names of its outputs."""
        outs = [self.name("t") for _ in range(outputs)]
        names = [i.name if isinstance(i, Value) else i for i in inputs]
        while names and not names[-1]:
            names.pop()
        self._reads += [n for n in names if n]
        label = self.pick(["", f"/net/{kind}_{self._names}", f"{kind} {self._names}", f"layer{self._names}/*{kind}*/"])
        clean = {k: v for k, v in attrs.items() if v is not None}
        self._pending.append(helper.make_node(kind, names, outs, name=label, domain=domain, **clean))
        return outs

    def begin(self) -> None:
        self._pending, self._reads = [], []

    def commit(self, outputs: Sequence[str], keep: bool = True) -> list[Value]:
        """Run what is pending; its `outputs` become values. Refused when onnxruntime or good sense say no."""
        pending, self._pending = self._pending, []
        reads, self._reads = self._reads, []
        made = {o for n in pending for o in n.output}
        feeds = [self._known[n] for n in dict.fromkeys(reads) if n in self._known]
        graph = helper.make_graph(
            pending,
            "part",
            [_info(v, v.shape) for v in feeds],
            [helper.make_empty_tensor_value_info(o) for o in outputs],
            [self.weights[n] for n in dict.fromkeys(reads) if n in self.weights],
        )
        try:
            run = session(self._model(graph).SerializeToString())
            rows = [run.run(list(outputs), {v.name: np.asarray(v.data[i]) for v in feeds}) for i in range(SAMPLES)]
        except Exception as e:  # onnxruntime's exceptions have no common base
            raise Refused(str(e)) from e
        found = []
        for k, name in enumerate(outputs):
            data = np.stack([np.asarray(r[k]) for r in rows])
            v = Value(name, data.shape[1:], data)
            self._sensible(v)
            found.append(v)
        assert made >= set(outputs)
        self._loads(pending, found)
        self.nodes += pending
        self.opened = [n for n in self.opened if n not in reads]
        for v in found:
            self._known[v.name] = v
            if keep:
                self.values.append(v)
                self.opened.append(v.name)
        return found

    def _loads(self, pending: list[NodeProto], found: list[Value]) -> None:
        """With ceil_mode, onnxruntime's shape inference and its pools may disagree, and what follows does not load."""
        nodes = [*self.nodes, *pending]
        if any(a.name == "ceil_mode" and a.i for n in nodes for a in n.attribute):
            outs = [helper.make_empty_tensor_value_info(v.name) for v in found]
            ins = [_info(v, v.shape) for v, _ in self.inputs]
            whole = self._model(helper.make_graph(nodes, "whole", ins, outs, list(self.weights.values())))
            try:
                session(whole.SerializeToString())
            except Exception as e:
                raise Refused(str(e)) from e

    @staticmethod
    def _sensible(v: Value) -> None:
        if v.size == 0 or v.size > MAX_SIZE or v.rank > MAX_RANK:
            raise Refused(f"shape {v.shape}")
        real = v.data.astype(np.float64)
        top = float(np.abs(real).max())
        if not np.isfinite(real).all() or top > MAX_VALUE or 0 < top < 1e-4:
            raise Refused(f"values up to {top}")

    def add_input(self, shape: Shape, name: str, kind: str = "") -> None:
        """An input with a distribution of its own, which its doc_string tells: of floats, where no `kind` is given."""
        kind = kind or self.pick(["normal", "normal", "uniform", "positive", "offset", "small"])
        v = Value(name, shape, draw(kind, (SAMPLES, *shape), self.rng))
        self.values.append(v)
        self._known[name] = v
        self.inputs.append((v, kind))

    # The model --------------------------------------------------------------------------------------------------------

    def _model(self, graph: Any) -> ModelProto:
        domains = [helper.make_opsetid("", self.opset)]
        if any(n.domain == MICROSOFT for n in graph.node):
            domains.append(helper.make_opsetid(MICROSOFT, 1))
        return helper.make_model(graph, opset_imports=domains, ir_version=8 if self.opset < 19 else 10)

    def model(self, outputs: Sequence[Value]) -> ModelProto:
        ins = []
        for v, kind in self.inputs:
            shape = ["N", *v.shape[1:]] if self.rng.random() < 0.2 else v.shape
            info = _info(v, shape)
            info.doc_string = kind
            ins.append(info)
        outs = [_info(v, v.shape) for v in outputs]
        graph = helper.make_graph(self.nodes, "random", ins, outs, list(self.weights.values()))
        return self._model(graph)


def _info(v: Value, shape: Sequence[int | str]) -> ValueInfoProto:
    return helper.make_tensor_value_info(v.name, helper.np_dtype_to_tensor_dtype(v.data.dtype), shape)


def draw(kind: str, shape: Shape, rng: np.random.Generator) -> Array:
    """Samples of an input's distribution; "index 7": whole numbers from 0 to 6."""
    if kind.startswith("index "):
        return rng.integers(0, int(kind.split()[1]), shape)
    match kind:
        case "normal":
            x = rng.normal(size=shape)
        case "uniform":
            x = rng.uniform(0, 1, shape)
        case "positive":
            x = np.abs(rng.normal(size=shape)) * 4 + 0.1
        case "offset":
            x = rng.normal(size=shape) + 6
        case _:
            x = rng.normal(size=shape) * 0.02
    return x.astype(np.float32)
