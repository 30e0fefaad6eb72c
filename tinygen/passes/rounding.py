"""How far the integers of an int16 layer may be from its exact result: NUMERICS section 8 for a graph at hand."""

from __future__ import annotations

import numpy as np

from tinygen.ir.types import Graph, Node, Tensor
from tinygen.ops import Add, Conv, Dense, Mul, Operator, Requantise, Unary
from tinygen.ops.base import is_wide, need_quant
from tinygen.ops.unary import evaluate, interpolate


def _unary(op: Unary, x: Tensor, out: Tensor) -> float:
    """Of a table with lines between its entries, over all inputs."""
    if op.expr == "x" or not is_wide(x):
        return 0.5
    q = np.arange(-(2**15), 2**15)
    (s_x, _), (s_y, z_y) = need_quant(x), need_quant(out)
    with np.errstate(all="ignore"):
        exact = np.nan_to_num(evaluate(op.expr, s_x * q.astype(np.float64)) / s_y, nan=0.0)
    exact = np.clip(exact + z_y, -(2**15), 2**15 - 1)
    return float(np.abs(interpolate(op.table(x, out), q) - exact).max())


def bound(node: Node, ins: tuple[Tensor, ...], out: Tensor) -> float:
    """Steps of the output that a FIXED node may be off by, inputs taken as exact; saturation is none."""
    op = node.op
    assert isinstance(op, Operator)
    if op.same_quant:
        return 0.0
    scale = need_quant(out)[0]

    def off(m: int, shift: int, ratio: float, reach: float) -> float:
        return abs(m / 2.0**shift - ratio) * reach

    if isinstance(op, Add) and op.rule is not None:
        r = op.rule
        parts = zip((r.ma, r.mb), ins, strict=True)
        return 0.5 + sum(off(abs(m), r.shift, need_quant(t)[0] / scale, 2.0**15) for m, t in parts)
    if isinstance(op, Mul) and op.epilogue is not None:
        ratio = need_quant(ins[0])[0] * need_quant(ins[1])[0] / scale
        return 0.5 + off(op.m, op.epilogue.shift, ratio, min(2.0**30, 2.0**16 / ratio))
    if isinstance(op, Requantise):
        return 0.5 + off(op.m, op.shift, need_quant(ins[0])[0] / scale, 2.0**15 if is_wide(ins[0]) else 2.0**8)
    if isinstance(op, Unary):
        return _unary(op, ins[0], out)
    if isinstance(op, Conv | Dense) and op.epilogue is not None:
        w, m = ins[1].quant, ins[3].array
        assert w is not None
        ratios = need_quant(ins[0])[0] * np.asarray(w.scale) / scale
        errors = np.abs(m / 2.0**op.epilogue.shift - ratios) / ratios
        return 0.5 + 2.0**15 * float(errors.max())
    return 0.5


def note(graph: Graph) -> str | None:
    """What each kind of int16 operator may be off by at most, and where; None when there are none."""
    worst: dict[str, tuple[float, str]] = {}
    for node in graph.nodes:
        ins, out = graph.ins(node), graph.outs(node)[0]
        if not is_wide(out):
            continue
        assert isinstance(node.op, Operator)
        kind = type(node.op).__name__.lower() if isinstance(node.op, Conv) else node.op.title
        found = bound(node, ins, out), ", ".join(node.origin) or node.name
        worst[kind] = max(worst.get(kind, found), found)
    said = [
        f"{kind} {steps:.2f}{f' ({where})' if steps > 1.0 else ''}" for kind, (steps, where) in worst.items() if steps
    ]
    if not said:
        return None
    return f"int16: an operator is off by so many steps of its output at most: {', '.join(said)}"
