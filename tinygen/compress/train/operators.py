"""What computes each operator with torch, gradients included.

An activation of tensor shape S is a torch tensor (samples, *S). Convolutions see it as NCHW in torch's channels_last
memory format: a permuted view, nothing is copied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from tinygen.compress.train.recurrent import recurrent_step
from tinygen.errors import ModelError
from tinygen.ir.types import Graph, Node
from tinygen.ir.types import Tensor as GraphTensor
from tinygen.ops import (
    Add,
    ArgMax,
    Attention,
    AvgPool,
    Compare,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Div,
    Expand,
    Extreme,
    Gather,
    Insert,
    LogSoftmax,
    LogSumExp,
    Lookup,
    MatMul,
    MaxPool,
    Mul,
    Norm,
    Pad,
    PRelu,
    Recurrent,
    ReduceExtreme,
    ReduceL2,
    ReduceSum,
    Reshape,
    Resize,
    Slice,
    Softmax,
    Transpose,
    Unary,
)
from tinygen.ops.base import Shape
from tinygen.ops.spatial import Window, two_d_shape
from tinygen.ops.unary import Expr

#: Computes a node's output from its inputs.
Step = Callable[..., Tensor]


def step_of(graph: Graph, node: Node) -> Step | Callable[..., tuple[Tensor, ...]]:
    """What computes `node`, one output or all that somebody may read; ModelError for an operator without a float
    meaning here."""
    op, ins = node.op, graph.ins(node)
    out: GraphTensor = graph.tensors[node.outputs[0]]
    x = ins[0].shape
    operands = [t.const is not None for t in ins], [len(t.shape) for t in ins]
    match op:
        case Conv():
            return _conv(op, x, out.shape)
        case ConvTranspose():
            return _conv_transpose(op, x, out.shape)
        case Dense():
            return lambda x, w, b: _clamp(functional.linear(x, w, b), op.lo, op.hi)
        case Extreme():
            return _broadcast(torch.maximum if op.largest else torch.minimum, *operands)
        case Div():
            return _broadcast(torch.div, *operands)
        case Mul():
            return _broadcast(lambda a, b: _clamp(a * b, op.lo, op.hi), *operands)
        case Add():
            return _broadcast(lambda a, b: _clamp(torch.add(a, b, alpha=op.sign), op.lo, op.hi), *operands)
        case Compare():
            relation = {"Less": torch.lt, "LessOrEqual": torch.le, "Equal": torch.eq}[op.relation]
            return _broadcast(lambda a, b: relation(a, b).to(a.dtype), [False, False], [len(t.shape) for t in ins])
        case Unary():
            return _unary(op)
        case PRelu():
            return lambda x, slope: torch.where(x < 0, x * slope, x)
        case MaxPool():
            return _max_pool(op, x, out.shape)
        case AvgPool():
            return _avg_pool(op, x, out.shape)
        case ReduceSum():
            return _reduce_sum(op)
        case ReduceL2():
            return _reduce_l2(op)
        case ReduceExtreme():
            return _reduce_extreme(op)
        case MatMul():
            return _matmul(op, [len(t.shape) for t in ins], [t.const is not None for t in ins])
        case Attention():
            return _attention(op)
        case Norm():
            return _norm(op, x)
        case Softmax():
            return lambda x: torch.softmax(x, -1)
        case LogSumExp():
            return lambda x: torch.logsumexp(x, -1, keepdim=True)
        case LogSoftmax():
            return lambda x: torch.log_softmax(x, -1)
        case ArgMax():
            return _argmax(op)
        case Reshape():
            return lambda x: x.reshape(x.shape[0], *op.shape)
        case Transpose():
            return lambda x: x.permute(0, *(p + 1 for p in op.perm))
        case Slice():
            return _slice(op)
        case Concat():
            return _concat(op, out.shape)
        case Pad():
            return _pad(op)
        case Lookup():
            return _lookup
        case Insert():
            return _insert(op, out.shape)
        case Gather():
            return lambda x: x.index_select(op.axis + 1, torch.tensor(op.indices, device=x.device))
        case Expand():
            lead = (1,) * (len(out.shape) - len(x))
            return lambda x: x.reshape(x.shape[0], *lead, *x.shape[1:]).expand(x.shape[0], *out.shape)
        case Resize():
            return _resize(op, x, out.shape)
        case Recurrent():
            return recurrent_step(op, x)
    where = ", ".join(node.origin) or node.name
    raise ModelError(f'{type(op).__name__} "{where}": fine-tuning knows no gradient for this operator; leave it out.')


def _clamp(y: Tensor, lo: float, hi: float) -> Tensor:
    if lo == 0.0 and hi == math.inf:
        return torch.relu(y)
    if lo == -math.inf and hi == math.inf:
        return y
    return torch.clamp(y, None if lo == -math.inf else lo, None if hi == math.inf else hi)


def _planes(x: Tensor, shape: Shape) -> Tensor:
    """(samples, 1, [H,] W, C) as (samples, C, H, W), a view."""
    return x.reshape(x.shape[0], *two_d_shape(shape)[1:]).permute(0, 3, 1, 2)


def _rows(y: Tensor, shape: Shape) -> Tensor:
    """The inverse of `_planes`; `shape` is the tensor's own."""
    return y.permute(0, 2, 3, 1).reshape(y.shape[0], *shape)


def _padded(x: Tensor, window: Window, value: float = 0.0) -> tuple[Tensor, tuple[int, int]]:
    """x (samples, C, H, W) and the padding left for the operator itself, which must be symmetric."""
    top, left, bottom, right = window.pads
    if value == 0.0 and top == bottom and left == right:
        return x, (top, left)
    if not any(window.pads):
        return x, (0, 0)
    return functional.pad(x, (left, right, top, bottom), value=value), (0, 0)


def _conv(op: Conv, x_shape: Shape, y_shape: Shape) -> Step:
    window = op.window.two_d()

    def run(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        w4 = w.reshape(w.shape[0], *window.kernel, w.shape[-1]).permute(0, 3, 1, 2)
        planes, pad = _padded(_planes(x, x_shape), window)
        y = functional.conv2d(planes, w4, b, window.strides, pad, window.dilations, op.groups)
        return _rows(_clamp(y, op.lo, op.hi), y_shape)

    return run


def _conv_transpose(op: ConvTranspose, x_shape: Shape, y_shape: Shape) -> Step:
    window = op.window.two_d()
    extra = (0,) * (2 - len(op.output_padding)) + op.output_padding
    top, left, bottom, right = window.pads
    # The full output, then cropped; `output_padding` may reach beyond it, where only the bias is.
    crop = (-left, extra[1] - right, -top, extra[0] - bottom)

    def run(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        # (O, kh, kw, C/g) to torch's (C, O/g, kh, kw)
        grouped = w.reshape(op.groups, w.shape[0] // op.groups, *window.kernel, w.shape[-1])
        w4 = grouped.permute(0, 4, 1, 2, 3).reshape(-1, w.shape[0] // op.groups, *window.kernel)
        planes = _planes(x, x_shape)
        y = functional.conv_transpose2d(planes, w4, None, window.strides, 0, 0, op.groups, window.dilations)
        y = functional.pad(y, crop) + b[:, None, None]
        return _rows(_clamp(y, op.lo, op.hi), y_shape)

    return run


def _max_pool(op: MaxPool, x_shape: Shape, y_shape: Shape) -> Step:
    window = op.window.two_d()

    def run(x: Tensor) -> Tensor:
        planes, _ = _padded(_planes(x, x_shape), window, -math.inf)
        return _rows(functional.max_pool2d(planes, window.kernel, window.strides, 0, window.dilations), y_shape)

    return run


def _avg_pool(op: AvgPool, x_shape: Shape, y_shape: Shape) -> Step:
    window = op.window.two_d()
    top, left, bottom, right = window.pads
    sides = (left, right, top, bottom)
    share: Tensor | None = None  # of each window that lies inside the image

    def mean(planes: Tensor) -> Tensor:
        if max(window.dilations) == 1:
            return functional.avg_pool2d(planes, window.kernel, window.strides)
        channels, taps = planes.shape[1], math.prod(window.kernel)
        each = planes.new_full((channels, 1, *window.kernel), 1.0 / taps)
        return functional.conv2d(planes, each, None, window.strides, 0, window.dilations, channels)

    if not op.uniform:
        share = mean(functional.pad(torch.ones(1, 1, *two_d_shape(x_shape)[1:3]), sides))

    def run(x: Tensor) -> Tensor:
        planes = _planes(x, x_shape)
        if any(window.pads):
            planes = functional.pad(planes, sides)
        y = mean(planes)
        return _rows(y if share is None else y / share.to(y.device), y_shape)

    return run


def _resize(op: Resize, x_shape: Shape, y_shape: Shape) -> Step:
    def run(x: Tensor) -> Tensor:
        for axis, table in enumerate(op.axes, 2):
            if op.linear:
                matrix = torch.from_numpy(table.matrix(x_shape[axis - 1])).to(x.device)
                x = torch.tensordot(x, matrix, dims=([axis], [1])).movedim(-1, axis)
            else:
                x = x.index_select(axis, torch.tensor(table.first, device=x.device))
        return x.reshape(x.shape[0], *y_shape)

    return run


def _slice(op: Slice) -> Step:
    def run(x: Tensor) -> Tensor:
        for axis, (start, step, count) in enumerate(zip(op.starts, op.steps, op.counts, strict=True), 1):
            if step > 0:
                x = x.narrow(axis, start, step * (count - 1) + 1)
                index = [slice(None)] * axis + [slice(None, None, step)]
                x = x[tuple(index)]
            else:
                x = x.index_select(axis, start + step * torch.arange(count, device=x.device))
        return x

    return run


def _pad(op: Pad) -> Step:
    n = len(op.pads) // 2
    # torch counts from the last axis: begin, end of each.
    sides = [side for i in reversed(range(n)) for side in (op.pads[i], op.pads[n + i])]
    return lambda x: functional.pad(x, sides, value=op.value)


def _reduce_extreme(op: ReduceExtreme) -> Step:
    axes = tuple(a + 1 for a in op.axes)
    return lambda x: (torch.amax if op.largest else torch.amin)(x, axes, op.keepdims)


def _reduce_sum(op: ReduceSum) -> Step:
    axes = tuple(a + 1 for a in op.axes)
    return lambda x: (torch.mean if op.mean else torch.sum)(x, axes, op.keepdims)


def _matmul(op: MatMul, ranks: Sequence[int], constant: Sequence[bool]) -> Step:
    def turned(x: Tensor, fixed: bool, perm: Shape) -> Tensor:
        lead = 0 if fixed else 1
        return x.permute(*range(lead), *(p + lead for p in perm)) if perm else x

    function = _broadcast(torch.matmul, constant, ranks)

    def run(a: Tensor, b: Tensor) -> Tensor:
        y = function(turned(a, constant[0], op.a_perm), turned(b, constant[1], op.b_perm))
        return _clamp(turned(y, False, op.y_perm), op.lo, op.hi)

    return run


def _attention(op: Attention) -> Step:
    each = op.heads // op.kv_heads

    def run(q: Tensor, k: Tensor, v: Tensor, *bias: Tensor) -> Tensor:
        n, b, t, s = q.shape[0], q.shape[1], q.shape[2], k.shape[2]
        split = [
            x.reshape(n, b, x.shape[2], heads, -1).transpose(2, 3)
            for x, heads in ((q, op.heads), (k, op.kv_heads), (v, op.kv_heads))
        ]
        k4, v4 = (x.repeat_interleave(each, 2) for x in split[1:])
        scores = split[0] @ k4.transpose(-1, -2) * op.scale
        for extra in bias:
            scores = scores + extra
        if op.causal:
            scores = scores.masked_fill(~torch.ones(t, s, dtype=torch.bool, device=q.device).tril(), -math.inf)
        return (torch.softmax(scores, -1) @ v4).transpose(2, 3).reshape(n, b, t, -1)

    return run


def _norm(op: Norm, shape: Shape) -> Step:
    def run(x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
        view = op.view(shape, scale.shape[0])
        v = x.reshape(x.shape[0], *view)
        v = v - v.mean((2, 4), keepdim=True) if op.centre else v
        stat = (v * v).mean((2, 4), keepdim=True) if op.mean else (v * v).sum((2, 4), keepdim=True)
        root = torch.clamp(stat, min=op.eps) if op.floor else stat + op.eps
        along = [w if w.shape[0] == 1 else w.reshape(view[2:]) for w in (scale, offset)]
        return _clamp((v / torch.sqrt(root) * along[0] + along[1]).reshape(x.shape), op.lo, op.hi)

    return run


def _reduce_l2(op: ReduceL2) -> Step:
    axes = tuple(a + 1 for a in op.axes)
    return lambda x: torch.linalg.vector_norm(x, 2, axes, op.keepdims)


def _argmax(op: ArgMax) -> Step:
    def run(x: Tensor) -> Tensor:
        if op.last:
            return (x.shape[-1] - 1 - x.flip(-1).argmax(-1, op.keepdims)).to(x.dtype)
        return x.argmax(-1, op.keepdims).to(x.dtype)

    return run


def _concat(op: Concat, y_shape: Shape) -> Step:
    def run(*xs: Tensor) -> Tensor:
        count = max(x.shape[0] for x in xs if x.dim() > len(y_shape))
        full = [x if x.dim() > len(y_shape) else x.expand(count, *x.shape) for x in xs]
        return torch.cat(full, op.axis + 1)

    return run


def _insert(op: Insert, shape: Shape) -> Step:
    """`shape`: of the output, without samples."""

    def step(cache: Tensor, update: Tensor, at: Tensor) -> Tensor:
        cache, update = (
            x.expand(len(at), *x.shape[-len(shape) :]) for x in (cache, update)
        )  # constants have no samples
        length, count, axis = shape[op.axis], update.shape[op.axis + 1], op.axis + 1
        first = at.round().long().clamp(0, length - (1 if op.wraps else count))
        steps = torch.arange(count, device=at.device).reshape(-1, *(1,) * (len(shape) - axis))
        places = (first.reshape(*first.shape, *(1,) * (len(shape) - 1)) + steps) % length
        return cache.scatter(axis, places.expand(update.shape), update)

    return step


def _lookup(x: Tensor, table: Tensor) -> Tensor:
    return table[x.round().clamp(0, len(table) - 1).long()]


def _broadcast(function: Step, constant: Sequence[bool], ranks: Sequence[int]) -> Step:
    """Two operands; an activation of lower rank gets its missing axes behind the samples."""
    rank = max(ranks)

    def aligned(x: Tensor, fixed: bool, own: int) -> Tensor:
        return x if fixed or own == rank else x.reshape(x.shape[0], *(1,) * (rank - own), *x.shape[1:])

    def run(a: Tensor, b: Tensor) -> Tensor:
        return function(aligned(a, constant[0], ranks[0]), aligned(b, constant[1], ranks[1]))

    return run


#: ONNX name: torch's function, of one tensor or of two.
_FUNCTIONS: dict[str, Step] = {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div, "Pow": torch.pow,
    "Max": torch.maximum, "Min": torch.minimum, "Abs": torch.abs, "Neg": torch.neg, "Exp": torch.exp,
    "Log": torch.log, "Sqrt": torch.sqrt, "Reciprocal": torch.reciprocal, "Erf": torch.erf, "Tanh": torch.tanh,
    "Sin": torch.sin, "Cos": torch.cos, "Tan": torch.tan, "Atan": torch.atan, "Asin": torch.asin, "Acos": torch.acos,
    "Sinh": torch.sinh, "Cosh": torch.cosh, "Asinh": torch.asinh, "Acosh": torch.acosh, "Atanh": torch.atanh,
    "Floor": torch.floor, "Ceil": torch.ceil, "Round": torch.round, "Sign": torch.sign, "Sigmoid": torch.sigmoid,
    "Softplus": functional.softplus, "Softsign": functional.softsign, "Relu": torch.relu,
    "Greater": lambda a, b: (a > b).to(a.dtype), "GreaterOrEqual": lambda a, b: (a >= b).to(a.dtype),
    "Less": lambda a, b: (a < b).to(a.dtype), "LessOrEqual": lambda a, b: (a <= b).to(a.dtype),
    "Equal": lambda a, b: (a == b).to(a.dtype), "Where": lambda c, a, b: torch.where(c != 0, a, b),
}  # fmt: skip


def _expression(expr: Expr) -> Step:
    """The function of one tensor that an expression stands for."""
    if isinstance(expr, str):
        return lambda x: x
    if isinstance(expr, int | float):
        return lambda x: x.new_tensor(float(expr))
    name, arguments = expr[0], expr[1:]
    if name in ("Max", "Min") and any(isinstance(a, int | float) for a in arguments):
        # A clamp: unlike maximum and minimum, it lets a bound's gradient pass whole.
        bound = float(next(a for a in arguments if isinstance(a, int | float)))
        inner = _expression(next((a for a in arguments if not isinstance(a, int | float)), bound))
        if name == "Max":
            return lambda x: torch.clamp(inner(x), min=bound)
        return lambda x: torch.clamp(inner(x), max=bound)
    parts = [_expression(a) for a in arguments]
    function = _FUNCTIONS[name]
    return lambda x: function(*(part(x) for part in parts))


def _unary(op: Unary) -> Step:
    function = _expression(op.expr)
    return lambda x: function(x).expand(x.shape)
