"""The integer side against the float side, layer by layer: every FIXED layer, given the integers it reads, must give
what its float meaning gives for the same values, to within a bound in steps of its output that follows from
docs/NUMERICS.md: half a step for rounding the result, plus what rounding weights, constants and multipliers can do.
There is nothing to exempt: however bad a network is for int8, each layer by itself keeps its bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tests.random.net import Array, session
from tests.random.recurrences import clean, recurrent_bounds
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import DType, Graph, Node, Port, Stage, Tensor
from tinygen.ops import (
    Add,
    ArgMax,
    Attention,
    AvgPool,
    Conv,
    ConvTranspose,
    Dense,
    Div,
    LogSoftmax,
    LogSumExp,
    MatMul,
    Mul,
    Norm,
    Pad,
    PRelu,
    Recurrent,
    ReduceL2,
    ReduceSum,
    Requantise,
    Resize,
    Softmax,
    Unary,
)
from tinygen.ops.base import Operator, int_range, need_quant
from tinygen.ops.broadcast import constant_quant
from tinygen.ops.unary import Expr, evaluate

#: Steps left to onnxruntime's own float32.
SLACK = 0.02
#: Functions that jump: rounding of the argument decides.
JUMPS = ("Floor", "Ceil", "Round", "Sign")
MULTIPLIER_ERROR = 384.0


def _jumps(expr: Expr) -> bool:
    return isinstance(expr, tuple) and (expr[0] in JUMPS or any(_jumps(e) for e in expr[1:]))


def _local(tidy: Graph) -> tuple[Graph, dict[str, tuple[str, ...]]]:
    """All nodes side by side, each with inputs of its own; and the names of those inputs."""
    tensors: dict[str, Tensor] = {t.name: t for t in tidy.tensors.values() if t.const is not None}
    nodes, inputs, feeds = [], [], {}
    for k, node in enumerate(tidy.nodes):
        names = []
        for i, t in enumerate(tidy.ins(node)):
            if t.const is not None:
                names.append(t.name)
                continue
            own = Tensor(f"in{k}_{i}", t.shape)
            tensors[own.name] = own
            inputs.append(own.name)
            names.append(own.name)
        made = [Tensor(f"out{k}_{i}", t.shape) for i, t in enumerate(tidy.outs(node))]
        tensors |= {t.name: t for t in made}
        nodes.append(replace(node, inputs=tuple(names), outputs=tuple(t.name for t in made)))
        feeds[node.name] = tuple(names)
    outs = tuple(o for n in nodes for o in n.outputs)
    graph = Graph(
        "local",
        Stage.FLOAT,
        tensors,
        tuple(nodes),
        tuple(inputs),
        outs,
        tuple(Port.plain(n, tensors[n].shape) for n in inputs),
        tuple(Port.plain(n, tensors[n].shape) for n in outs),
    )
    return graph, feeds


def _grid(t: Tensor) -> tuple[float | Array, int | Array]:
    """Scale and zero point; of an output in parts as they broadcast against it."""
    if t.quant is None or not t.quant.zero_points:
        return need_quant(t)
    scales, zero_points = t.quant.along(len(t.shape))
    return scales.astype(np.float64), zero_points


def layer_bound(node: Node, tidy: Graph, made: Node, fixed: Graph, xs: list[Array], out: Tensor) -> float | Array:
    """Steps that a layer may be off. `made`: the FIXED node; `xs`: real values of its activations."""
    s_y = _grid(out)[0]
    op, ins = made.op, tidy.ins(node)
    top = max((float(np.abs(x).max()) for x in xs), default=0.0)
    wide = out.quant is not None and out.quant.bits > 8
    if (
        wide and isinstance(op, Operator) and not isinstance(op, Dense | Conv | Softmax | LogSoftmax | LogSumExp)
    ):  # behind the state of a GRU
        constants = [0.5 * constant_quant(t.array, 16).s for t in ins if t.const is not None]
        slope = 1.0 if isinstance(op, Add) else top
        return op.error([fixed.tensors[i] for i in made.inputs], [out]) + sum(constants) * slope / float(np.max(s_y))
    if isinstance(op, Conv | ConvTranspose | Dense):
        assert op.epilogue is not None
        w, b = ins[1], ins[2]
        flat = np.abs(w.array.astype(np.float64)).reshape(w.shape[0], -1)
        s_x, _ = need_quant(fixed.tensors[made.inputs[0]])
        bias = np.abs(b.array.astype(np.float64))
        s_w = flat.max(axis=1) / 127
        if w.quant is not None:
            s_w = np.maximum(s_w, np.asarray(w.quant.scale))
        s_w = np.maximum(s_w, bias / (s_x * 2.0**30))
        s_w = np.maximum(s_w, max(float(s_w.max()) * 2.0**-18, 1e-12))
        codes = 255.0
        if wide:  # channels whose sums leave int32 have coarser weights
            quant, codes = fixed.tensors[made.inputs[1]].quant, 65535.0
            assert quant is not None
            s_w = np.maximum(s_w, np.asarray(quant.scale))
        taps = flat.shape[1]
        acc = taps * 127.0 * codes + bias / (s_x * s_w)
        real = 0.5 * s_w * taps * top + 0.5 * s_x * s_w + 2.0**-21 * (flat.sum(axis=1) * top + bias)
        bound: Array = 0.5 + real / s_y + acc * MULTIPLIER_ERROR / 2.0**op.epilogue.shift
        return bound
    if isinstance(op, Add | Mul):
        constants = [0.5 * (t.quant or constant_quant(t.array)).s for t in ins if t.const is not None]
        half = max(constants, default=0.0)
        if isinstance(op, Add):
            assert op.rule is not None
            return 0.5 + half / s_y + 510 * 0.5 / 2.0**op.rule.shift
        assert op.epilogue is not None
        return 0.5 + half * top / s_y + 255.0**2 * MULTIPLIER_ERROR / 2.0**op.epilogue.shift
    if isinstance(op, PRelu):
        return 0.5 + 255 * MULTIPLIER_ERROR / 2.0**op.shift
    if isinstance(op, AvgPool):
        return 0.5 + 255 * int(np.prod(op.window.kernel)) * MULTIPLIER_ERROR / 2.0**op.shift
    if isinstance(op, ReduceSum):
        return 0.5 + 255 * op.outer_n_inner(ins[0])[1] * MULTIPLIER_ERROR / 2.0**op.shift + 2.0**-18 * top / s_y
    if isinstance(op, Attention | Div | Norm | Requantise):
        if isinstance(op, Div) and any(t.const is not None for t in ins):
            return np.inf  # a constant of a few steps: tests/ops/test_div.py
        noise = _mean_noise(op, xs[0], ins, out) if isinstance(op, Norm) else 0.0
        return op.error([fixed.tensors[i] for i in made.inputs], [out]) + noise
    if isinstance(op, ReduceL2):
        return 0.5 + 2.0**-16 * top / s_y
    if isinstance(op, MatMul):
        assert op.epilogue is not None
        constants = [0.5 * (t.quant or constant_quant(t.array)).s for t in ins if t.const is not None]
        inner = ins[0].shape[op.a_perm[-1] if op.a_perm else -1]
        rounded = inner * max(constants, default=0.0) * top
        return 0.5 + rounded / s_y + inner * 255.0**2 * MULTIPLIER_ERROR / 2.0**op.epilogue.shift
    if isinstance(op, Softmax | LogSoftmax | LogSumExp):
        # Every exponential is off by half of 1/65535 (int16: 4.5 of 1/65536), and so is their sum, n times.
        n, each = ins[0].shape[-1], (4.5 if fixed.tensors[made.inputs[0]].dtype is DType.INT16 else 0.5) / 65535
        if isinstance(op, Softmax):
            return 0.5 + each * (1 + n) / s_y
        # 64 pieces of log2, rounded to Q16; two multipliers.
        return 0.5 + (each * n + 1e-4) / s_y + 0.01
    if isinstance(op, Unary | Pad) or (isinstance(op, Resize) and op.linear):
        return 0.5
    # Integers that only move or compare are exact, but a constant among them was rounded.
    return 0.5 if any(t.const is not None for t in ins) else 0.0


def _mean_noise(op: Norm, x: Array, ins: Sequence[Tensor], out: Tensor) -> Array:
    """Steps that onnxruntime's float32 mean makes of values that are nearly all the same."""
    view = op.view(out.shape, max(t.size for t in ins[1:]))
    seen = x.reshape(len(x), *view)
    n = view[1] * view[3]
    spread = np.square(seen - seen.mean(axis=(2, 4), keepdims=True)).mean(axis=(2, 4), keepdims=True)
    noise = 2.0**-23 * n * np.abs(seen).max() / np.sqrt(np.maximum(spread, op.eps)) * int(op.centre) + 0 * seen
    found: Array = noise.reshape(x.shape) * np.abs(op.spread(out.shape, ins[1].array)) / need_quant(out)[0]
    return found


def check_layers(tidy: Graph, fixed: Graph, values: Mapping[str, Array]) -> list[str]:
    """What is wrong, one line a layer; `values`: the integers of every activation of `fixed`, (samples, *shape)."""
    graph, names = _local(tidy)
    if not graph.nodes:
        return []
    made = {n.name: n for n in fixed.nodes}

    def real(name: str) -> Array:
        s, z = _grid(fixed.tensors[name])
        return s * (values[name].astype(np.float64) - z)

    feeds: dict[str, Array] = {}
    actual: dict[str, list[Array]] = {}
    for node in tidy.nodes:
        own = made[node.name]
        activations = [i for i, t in enumerate(tidy.ins(node)) if t.const is None]
        actual[node.name] = [real(i) for i in own.inputs if fixed.tensors[i].const is None]
        for i, x in zip(activations, actual[node.name], strict=True):
            feeds[names[node.name][i]] = x.astype(np.float32)
    s = session(to_onnx(graph))
    samples = len(next(iter(values.values())))
    rows = [
        s.run(list(graph.outputs), {v.name: np.asarray(feeds[v.name][i]) for v in s.get_inputs()})
        for i in range(samples)
    ]
    by_name = {o: np.stack([np.asarray(r[k]) for r in rows]).astype(np.float64) for k, o in enumerate(graph.outputs)}
    found = []
    for node, alone in zip(tidy.nodes, graph.nodes, strict=True):
        own = made[node.name]
        outs = [fixed.tensors[o] for o in own.outputs]
        wanted = [by_name[o] for o in alone.outputs]
        if isinstance(node.op, Unary):
            if _jumps(node.op.expr):
                continue
            wanted = [evaluate(node.op.expr, actual[node.name][0])]
        compared = np.ones(samples, bool)
        bounds: list[float | Array]
        if isinstance(own.op, Recurrent):
            fixed_ins = [fixed.tensors[i] for i in own.inputs]
            limits = recurrent_bounds(node, tidy.ins(node), own, fixed_ins, outs, actual[node.name][0])
            if limits is None:
                continue
            bounds = [*limits]
            compared = clean(own.op, tidy.ins(node), outs, actual[node.name][0], wanted)
        else:
            bounds = [layer_bound(node, tidy, own, fixed, actual[node.name], out) for out in outs]
        for out, want, bound in zip(outs, wanted, bounds, strict=False):
            found += _differences(
                node, out, values[out.name], want, 0.0 if isinstance(node.op, ArgMax) else bound, compared
            )
    return found


def _differences(node: Node, out: Tensor, got: Array, want: Array, bound: float | Array, compared: Array) -> list[str]:
    s_y, z_y = _grid(out)
    with np.errstate(all="ignore"):
        ideal = np.clip(want / s_y + z_y, *int_range(out))
    off = np.where(compared.reshape(-1, *(1,) * (got.ndim - 1)), np.nan_to_num(np.abs(got - ideal), nan=0.0), 0.0)
    over = off - bound - SLACK
    if over.max(initial=0.0) <= 0:
        return []
    at = np.unravel_index(int(over.argmax()), over.shape)
    may = float(np.broadcast_to(bound, off.shape)[at]) + SLACK
    return [
        f"{node.op.title} {node.name!r} -> {out.name!r}: {off[at]:.3f} steps off at {tuple(map(int, at))}, "
        f"at most {may:.3f}; integer {int(got[at])}, float {want[at]:.6g} = {ideal[at]:.2f}"
    ]
