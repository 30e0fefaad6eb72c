"""What an operator says its integers may be off by (`Operator.error`) holds, over all scales and for hard inputs. The
check of pre-quantised files rests on it (flow/holders.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tinygen.flow.holders import ZONE, _multiplier_error
from tinygen.ir.types import Graph, Node, Port, Quant, Stage, Tensor
from tinygen.numerics import Array
from tinygen.ops import Attention, Div, Norm
from tinygen.ops.base import Case, Operator, int_range, need_quant

Exact = Callable[[Operator, Sequence[Array], Sequence[int]], Array]


def attention(op: Operator, ins: Sequence[Array], out: Sequence[int]) -> Array:
    assert isinstance(op, Attention)
    q, k, v = (
        x.reshape(*x.shape[:3], n, -1).swapaxes(2, 3) for x, n in zip(ins, (op.heads, *[op.kv_heads] * 2), strict=False)
    )
    k, v = (np.repeat(x, op.heads // op.kv_heads, axis=2) for x in (k, v))
    scores = q @ k.swapaxes(3, 4) * op.scale + (ins[3] if len(ins) > 3 else 0.0)
    if op.causal:
        scores = np.where(np.tri(*scores.shape[3:], dtype=bool), scores, -np.inf)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    y: Array = (e @ v / e.sum(axis=-1, keepdims=True)).swapaxes(2, 3).reshape(-1, *out)
    return y


def norm(op: Operator, ins: Sequence[Array], out: Sequence[int]) -> Array:
    assert isinstance(op, Norm)
    view = op.view(tuple(out), max(len(w) for w in ins[1:]))
    x = ins[0].reshape(-1, *view)
    x = x - x.mean(axis=(2, 4), keepdims=True) if op.centre else x
    stat = (np.mean if op.mean else np.sum)(x * x, axis=(2, 4), keepdims=True)
    z = x / np.sqrt(np.maximum(stat, op.eps) if op.floor else stat + op.eps)
    factor, offset = (w.reshape(1, 1, 1, *(view[2:] if len(w) > 1 else (1, 1))) for w in ins[1:])
    y: Array = np.clip(z * factor + offset, op.lo, op.hi).reshape(-1, *out)
    return y


def div(op: Operator, ins: Sequence[Array], out: Sequence[int]) -> Array:
    with np.errstate(all="ignore"):
        return np.nan_to_num(ins[0] / ins[1], nan=0.0, posinf=1e30, neginf=-1e30)


MEANINGS: dict[type[Operator], Exact] = {Attention: attention, Norm: norm, Div: div}
CASES = [
    pytest.param(case, bits, id=f"{op.__name__}-{case.name}-{bits}")
    for op in MEANINGS
    for case in op.cases()
    if all(isinstance(x, tuple) for x in case.inputs) or op is not Div
    for bits in (8, 16)
]


def codes(rng: np.random.Generator, t: Tensor, count: int) -> Array:
    """Over the whole range; then nearly alike; then at the ends."""
    low, high = int_range(t)
    shape = (count, *t.shape)
    middle = rng.integers(low // 2, high // 2, (count, *(1,) * len(t.shape)))
    near = middle + (rng.random(shape) < 0.1) * rng.integers(-1, 2, shape)
    ends = np.where(rng.random(shape) < rng.random((count, *(1,) * len(t.shape))), low, high)
    wide = rng.integers(low, high + 1, shape)
    return np.concatenate([wide, near, ends]).astype(t.quant.dtype.value if t.quant else np.int8)


@pytest.mark.parametrize(("case", "bits"), CASES)
def test_no_integer_is_further_off(case: Case, bits: int) -> None:
    rng = np.random.default_rng(bits)
    op = case.op
    for _ in range(12):
        unit = 1.0 if bits == 8 else 1.0 / 256.0

        def quant(spread: float, unit: float = unit) -> Quant:
            zero = int(rng.integers(-100, 100)) if bits == 8 else 0
            return Quant.per_tensor(float(np.float32(unit * 0.02 * spread ** rng.normal())), zero, bits)

        ins = [
            Tensor(f"x{i}", x, quant=quant(4.0)) if isinstance(x, tuple) else Tensor.constant(f"x{i}", x)
            for i, x in enumerate(case.inputs)
        ]
        (shape,) = op.infer(*(t.shape for t in ins))
        out = Tensor("y", shape, quant=quant(2.0))
        lowered = op.quantise(ins, [out])
        fed = [t for t in ins if t.const is None]
        made = [next((t for t in ins if t.name == i), i) if isinstance(i, str) else i for i in lowered.inputs]
        fixed_ins = [t for t in made if isinstance(t, Tensor)]
        fixed_op = lowered.op
        assert isinstance(fixed_op, Operator)
        given = {t.name: codes(rng, t, 20) for t in fed}
        (got,) = fixed_op.run_fixed(fixed_ins, [given.get(t.name, t.const and t.array) for t in fixed_ins], [out])
        real = [
            t.array.astype(np.float64)
            if t.const is not None
            else (given[t.name].astype(np.float64) - need_quant(t)[1]) * need_quant(t)[0]
            for t in ins
        ]
        scale, zero = need_quant(out)
        exact = MEANINGS[type(op)](op, real, shape) / scale + zero
        off = np.abs(np.clip(exact, *int_range(out)) - got)
        assert off.max() <= fixed_op.error(fixed_ins, [out]) + 1e-6


def test_the_check_takes_what_operators_say() -> None:
    """Half a step is rounding; the rest is how near to a tie a layer may round the other way."""
    quant = Quant.per_tensor(0.05, 3)
    x, y = (Tensor(name, (1, 4, 6), quant=quant) for name in "xy")
    b = replace(x, name="b")
    lowered = Div().quantise([x, b], [y])
    node = Node("div", lowered.op, ("x", "b"), ("y",))
    port = Port.plain("p", x.shape)
    graph = Graph(
        "g", Stage.FIXED, {t.name: t for t in (x, b, y)}, (node,), ("x", "b"), ("y",), (port, port), (port,)
    )  # fmt: skip
    assert isinstance(lowered.op, Div)
    assert _multiplier_error(graph, node) == max(ZONE, lowered.op.error([x, b], [y]) - 0.5)
