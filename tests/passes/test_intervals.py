"""Ranges hold every value (sound), and no more where a layer's inputs are free (exact)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.ops.graphs import CASES, case_graph
from tests.ops.test_cases import fixed_case
from tests.passes.fixed import extremes, fixed_graph, observed, spoil
from tests.passes.graphs import ONNX, graph
from tinygen.calibrate.floatrun import FloatModel
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import DType, Graph, Quant, Tensor
from tinygen.numerics import Array
from tinygen.ops import Case, Conv, ConvTranspose, Dense, PRelu, Unary
from tinygen.ops.interval import Interval
from tinygen.passes.intervals import reach

WEIGHTED = [(name, case) for name, case in CASES if isinstance(case.op, Conv | ConvTranspose | Dense)]


def assert_sound(g: Graph, inputs: list[Array]) -> None:
    ranges = reach(g)
    for name, (lo, hi) in observed(g, inputs).items():
        assert (ranges[name].lo <= lo).all(), name
        assert (hi <= ranges[name].hi).all(), name


@pytest.mark.parametrize("wide", [0.0, 0.5])
@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("name", ONNX)
def test_networks_are_sound(name: str, share: float, wide: float) -> None:
    fixed = spoil(fixed_graph(graph(name), wide=wide), share)
    assert_sound(fixed, extremes(fixed))


def worst_inputs(case: Case) -> Array:
    """For each element of a layer's output the inputs that make it largest, and smallest: its slopes decide."""
    g = case_graph(case)
    shape = g.tensors["x0"].shape
    size = int(np.prod(shape))
    model = FloatModel(to_onnx(g))
    points = np.concatenate([np.zeros((1, size)), np.eye(size)]).reshape(-1, *shape).astype(np.float32)
    (y,) = model.run_many([points])
    slopes = (y[1:] - y[0]).reshape(size, -1)
    signs = np.concatenate([slopes.T, -slopes.T]).reshape(-1, *shape)
    return np.where(signs > 0, 127, -128).astype(np.int8)


@pytest.mark.parametrize("case", [case for _, case in WEIGHTED], ids=[name for name, _ in WEIGHTED])
def test_layers_are_exact(case: Case) -> None:
    """Every channel does reach both ends of its range: strides, dilation, groups and padding included."""
    plain = replace(case, op=replace(case.op, lo=-math.inf, hi=math.inf))
    fixed, _, _ = fixed_case(plain)
    lo, hi = observed(fixed, [worst_inputs(plain)])["y"]
    found = reach(fixed)["y"]
    assert np.array_equal(found.lo, lo)
    assert np.array_equal(found.hi, hi)


@pytest.mark.parametrize("zp", [-128, 3, 127])
def test_no_partial_sum_is_larger(zp: int) -> None:
    """Against all orders that matter: first everything positive, or everything negative."""
    rng = np.random.default_rng(zp + 200)
    w, b = rng.integers(-127, 128, (5, 7)).astype(np.int8), rng.integers(-(2**20), 2**20, 5).astype(np.int32)
    x = Interval(np.full(7, -20), rng.integers(0, 100, 7))
    ins = (
        Tensor("x", (1, 7), DType.INT8, Quant.per_tensor(0.1, zp)),
        Tensor.constant("w", w, Quant((0.1,) * 5, 0, 0)),
        Tensor.constant("b", b),
    )
    terms = np.sort(np.stack([w * x.lo, w * x.hi, w.astype(np.int64) * zp]), axis=0)
    start = b - zp * w.astype(np.int64).sum(axis=1)
    ends = [start + np.maximum(terms[-1], 0).sum(axis=1), start + np.minimum(terms[0], 0).sum(axis=1)]
    assert Dense().largest_sum(ins, x) == np.abs(ends).max()


def test_tables_and_slopes_that_turn() -> None:
    """The extremes of a function that is not monotone lie inside the range."""
    dip = Unary(("Mul", "x", "x"), "square")
    for case in (Case("dip", dip, ((1, 4),)), Case("prelu", PRelu(), ((1, 4), np.full(4, -1.5, np.float32)))):
        fixed, _, _ = fixed_case(case)
        everything = np.repeat(np.arange(-128, 128, dtype=np.int8)[:, None], 4, axis=1)[:, None]
        lo, hi = observed(fixed, [everything])["y"]
        found = reach(fixed)["y"]
        assert np.array_equal(found.lo, lo)
        assert np.array_equal(found.hi, hi)
