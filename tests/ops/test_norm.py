"""Normalisations against the exact function of the integers they read: half a step, and hardly more."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.graphs import CASES, case_graph, samples
from tinygen import simulate
from tinygen.calibrate.floatrun import FloatModel
from tinygen.errors import ModelError
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import Quant, Tensor
from tinygen.ops import Case, Norm
from tinygen.passes.quantise import quantise

_NORMS = [(name, case) for name, case in CASES if isinstance(case.op, Norm)]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("name", "case"), _NORMS, ids=[n for n, _ in _NORMS])
def test_is_off_by_half_a_step(name: str, case: Case, bits: int) -> None:
    """What NUMERICS section 10 says; the float reference itself is off by 2^-22 of the range."""
    graph = case_graph(case)
    xs = samples(graph, 20)
    (real,) = FloatModel(to_onnx(graph)).run_many(xs)
    ends = {"x0": (float(xs[0].min()), float(xs[0].max())), "y": (float(real.min()), float(real.max()))}
    fixed = quantise(graph, ends, wide=("x0", "y") if bits == 16 else ())
    codes = simulate.quantise_inputs(fixed, xs)
    (got,) = simulate.run(fixed, codes)
    x, y = (fixed.tensors[n].quant for n in ("x0", "y"))
    assert x is not None
    assert y is not None
    assert y.bits == bits
    read = ((codes[0].astype(np.float64) - x.zero_point) * x.s).astype(np.float32)
    (want,) = FloatModel(to_onnx(graph)).run_many([read])
    steps = np.clip(want.astype(np.float64) / y.s + y.zero_point, y.low, y.high)
    assert np.abs(got - steps.reshape(got.shape)).max() < 0.5 + 0.006 + 2.0 ** (bits - 22)


def test_a_constant_row_is_its_offset() -> None:
    """Variance 0: eps alone is left."""
    q = Quant.per_tensor(0.1, 5)
    x, y = Tensor("x", (1, 8), quant=q), Tensor("y", (1, 8), quant=q)
    one, half = (Tensor.constant(n, np.full(1, v, np.float32)) for n, v in (("g", 1.0), ("b", 0.5)))
    lowered = Norm((1,)).quantise([x, one, half], [y])
    w = lowered.inputs[1]
    assert isinstance(w, Tensor)
    assert isinstance(lowered.op, Norm)
    for value in (-128, 5, 127):
        (got,) = lowered.op.run_fixed([x, w], [np.full((1, 1, 8), value, np.int8), w.array], [y])
        assert got.tolist() == [[[10] * 8]]


def test_what_cannot_be_held_is_refused() -> None:
    one = Tensor.constant("g", np.ones(1, np.float32))
    fine, plain = Quant.per_tensor(1e-12, 0), Quant.per_tensor(0.1, 0)
    for x, y, word in ((fine, plain, "eps"), (plain, fine, "too fine")):
        with pytest.raises(ModelError, match=word):
            Norm((1,)).quantise([Tensor("x", (1, 8), quant=x), one, one], [Tensor("y", (1, 8), quant=y)])
    long = Tensor("x", (1, 70000), quant=plain)
    with pytest.raises(ModelError, match="takes 65535 at most"):
        Norm((1,)).quantise([long, one, one], [long])
