"""The float side: does the tidied graph mean what the ONNX model means?

The tolerance is derived by stochastic arithmetic: the model is run again with noise of a few float32 roundings on every
weight and every intermediate value; what that moves the outputs by, times a safety factor, is what rewriting may move
them by. A value on a jump (Floor of an exact integer, ArgMax of equals) shows itself as a large tolerance. Two rewrites
are coarser than float32, and get their own noise: the weights of a linear Resize are multiples of 1/2048, and the graph
of a quantised model leaves out the rounding of QuantizeLinear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.random.net import Array, session
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import Graph

#: Relative noise: 64 float32 roundings.
NOISE = 2.0**-18
DRAWS = 5
SAFETY = 5.0
#: Inputs whose value is structure, not a weight: operator, first such input.
_STRUCTURE = {"Resize": 1, "Dropout": 1, "Pow": 1, "CastLike": 1, "QuantizeLinear": 1, "DequantizeLinear": 1}


@dataclass(frozen=True)
class FloatCheck:
    """How far the tidied graph is from the model, beside what it may be: the worst output."""

    output: str
    difference: float
    tolerance: float

    @property
    def ok(self) -> bool:
        return self.difference <= self.tolerance


def _run(model: ModelProto, names: Sequence[str], feeds: Mapping[str, Array], count: int) -> list[dict[str, Array]]:
    s = session(model.SerializeToString())
    return [
        dict(
            zip(
                names, map(np.asarray, s.run(list(names), {k: np.asarray(v[i]) for k, v in feeds.items()})), strict=True
            )
        )
        for i in range(count)
    ]


def _with_outputs(model: ModelProto, names: Sequence[str]) -> ModelProto:
    shown = ModelProto.FromString(model.SerializeToString())
    del shown.graph.output[:]
    shown.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in names)
    return shown


def _fixed_names(model: ModelProto) -> set[str]:
    """Constants that noise must leave alone."""
    found = set()
    for n in model.graph.node:
        first = 0 if n.op_type.startswith(("QLinear", "QGemm")) else _STRUCTURE.get(n.op_type)
        if first is not None:
            found |= set(list(n.input)[first:])
    return found


def _noisy(model: ModelProto, rows: Sequence[Mapping[str, Array]]) -> tuple[ModelProto, dict[str, tuple[Array, float]]]:
    """The model with a factor and a term on every float result, and with weights as inputs; and what to feed: values to
    be shaken, and by how much in absolute terms (0: relative). `rows`: all values, sample by sample. Noise has no
    shape: some shape inference is wrong."""
    spared, values = _fixed_names(model), rows[0]
    m = ModelProto.FromString(model.SerializeToString())
    feeds: dict[str, tuple[Array, float]] = {}
    constants = {t.name: numpy_helper.to_array(t) for t in m.graph.initializer}
    for t in m.graph.initializer:
        a = constants[t.name]
        if a.dtype == np.float32 and t.name not in spared:
            feeds[t.name] = (a, 0.0)
            m.graph.input.append(helper.make_tensor_value_info(t.name, TensorProto.FLOAT, a.shape))
    kept = [TensorProto.FromString(t.SerializeToString()) for t in m.graph.initializer if t.name not in feeds]
    del m.graph.initializer[:]
    m.graph.initializer.extend(kept)
    nodes = []

    def add(kind: str, x: str, like: Array, step: float, y: str) -> None:
        name = f"noise{len(feeds)}"
        feeds[name] = (np.zeros_like(like) if step else np.ones_like(like), step)
        m.graph.input.append(helper.make_value_info(name, helper.make_tensor_type_proto(TensorProto.FLOAT, None)))
        nodes.append(helper.make_node(kind, [x, name], [y]))

    for n in list(m.graph.node):
        n = type(n).FromString(n.SerializeToString())
        nodes.append(n)
        for k, out in enumerate(list(n.output)):
            v = values.get(out)
            if v is None or v.dtype != np.float32 or (n.op_type == "Constant" and out in spared):
                continue
            step = 0.0
            if n.op_type == "DequantizeLinear":
                scale = constants.get(n.input[1], values.get(n.input[1]))
                step = (
                    float(np.max(scale))
                    if scale is not None and scale.size == 1 and n.input[0] not in constants
                    else 0.0
                )
            elif n.op_type == "Resize":
                attrs = {a.name: helper.get_attribute_value(a) for a in n.attribute}
                if attrs.get("mode") == b"linear":
                    xs = [row.get(n.input[0], v) for row in rows]
                    step = 2.0**-11 * max(float(x.max() - x.min()) for x in xs)
            n.output[k] = f"{out}~"
            add("Mul", f"{out}~", v, 0.0, out if not step else f"{out}~~")
            if step:
                add("Add", f"{out}~~", v, step, out)
    del m.graph.node[:]
    m.graph.node.extend(nodes)
    del m.graph.value_info[:]
    return m, feeds


def _factor(shape: Sequence[int], rng: np.random.Generator) -> Array:
    return np.asarray(1 + NOISE * rng.uniform(-1, 1, shape), np.float32)


def _saturated(model: ModelProto, values: Mapping[str, Array]) -> bool:
    """Some QuantizeLinear (or QLinear operator) reached the end of its range: what the float graph does not do."""
    for n in model.graph.node:
        if n.op_type == "QuantizeLinear" or n.op_type.startswith(("QLinear", "QGemm")):
            code = values[n.output[0]]
            ends = (0, 255) if code.dtype == np.uint8 else (-128, 127)
            softmax = n.op_type in ("QLinearSoftmax", "QLinearSigmoid")
            if code.dtype in (np.uint8, np.int8) and not softmax and (code.min() == ends[0] or code.max() == ends[1]):
                return True
    return False


def check_float(original: bytes, tidy: Graph, feeds: Mapping[str, Array], seed: int) -> FloatCheck:
    """onnxruntime on the model and on the tidied graph; `feeds`: (samples, *ONNX shape) of every input."""
    rng = np.random.default_rng([4, seed])
    model = ModelProto.FromString(original)
    outs = [o.name for o in model.graph.output]
    count = len(next(iter(feeds.values())))
    feeds = {v.name: feeds[v.name] for v in model.graph.input}  # an input nobody reads is gone
    weights = {t.name for t in model.graph.initializer}
    inner = list(dict.fromkeys([o for n in model.graph.node for o in n.output if o and o not in weights] + outs))
    plain = _run(_with_outputs(model, inner), inner, feeds, count)
    valid = [not _saturated(model, row) for row in plain]
    tolerance = dict.fromkeys(outs, 0.0)
    noisy_model, extra = _noisy(model, plain)
    noisy_session = session(_with_outputs(noisy_model, outs).SerializeToString())
    for _ in range(DRAWS):
        shaken = {
            k: v if v.dtype.kind == "i" else (v * _factor(v.shape, rng)).astype(np.float32) for k, v in feeds.items()
        }
        noise = {
            k: np.asarray(v + rng.uniform(-step, step, v.shape) if step else v * _factor(v.shape, rng), np.float32)
            for k, (v, step) in extra.items()
        }
        read = {v.name for v in noisy_session.get_inputs()}
        noisy = [
            dict(
                zip(
                    outs,
                    noisy_session.run(
                        outs,
                        {
                            k: v
                            for k, v in {**{k: np.asarray(v[i]) for k, v in shaken.items()}, **noise}.items()
                            if k in read
                        },
                    ),
                    strict=True,
                )
            )
            for i in range(count)
        ]
        for o in outs:
            moved = [
                np.abs(a[o].astype(np.float64) - b[o]).max() for a, b, ok in zip(noisy, plain, valid, strict=True) if ok
            ]
            tolerance[o] = max([tolerance[o], *map(float, moved)])
    data = to_onnx(tidy)
    s = session(data)
    worst = FloatCheck("", 0.0, 0.0)
    for i in range(count):
        if not valid[i]:
            continue
        given = {
            name: np.ascontiguousarray(port.to_tensor(feeds[port.name][i : i + 1])[0], np.float32)
            for name, port in zip(tidy.inputs, tidy.in_ports, strict=True)
        }
        named = {v.name for v in s.get_inputs()}
        found = s.run(list(dict.fromkeys(tidy.outputs)), {k: v for k, v in given.items() if k in named})
        by_name = dict(zip(dict.fromkeys(tidy.outputs), found, strict=True))
        for name, port in zip(tidy.outputs, tidy.out_ports, strict=True):
            want = plain[i][port.name].astype(np.float64)
            got = port.to_onnx(by_name[name][None])[0].astype(np.float64)
            if got.shape != want.shape:
                return FloatCheck(f"{port.name}: shape {got.shape}, the model's is {want.shape}", np.inf, 0.0)
            may = SAFETY * tolerance[port.name] + 1e-5 * float(np.abs(want).max()) + 1e-6
            difference = float(np.nan_to_num(np.abs(got - want), nan=np.inf).max())
            if difference - may > worst.difference - worst.tolerance or not worst.output:
                worst = FloatCheck(port.name, difference, may)
    return worst
