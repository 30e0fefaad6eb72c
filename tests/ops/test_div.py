"""Quotients: near the float ones where the divisor is not around zero, saturated where it is zero."""

from __future__ import annotations

import numpy as np
import pytest

from tinygen.ir.types import DType, Quant, Tensor
from tinygen.ops import Div


def _tensor(name: str, scale: float, zp: int, bits: int, shape: tuple[int, ...] = (4000,)) -> Tensor:
    return Tensor(name, shape, DType.INT16 if bits == 16 else DType.INT8, Quant.per_tensor(scale, zp, bits))


def _quotients(a: Tensor, b: Tensor, y: Tensor, qa: np.ndarray, qb: np.ndarray) -> np.ndarray:
    op = Div().quantise([a, b], [y]).op
    assert isinstance(op, Div)
    (out,) = op.run_fixed([a, b], [qa, qb], [y])
    return out[0].astype(np.int64)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("scales", [(0.02, 0.01, 0.05), (3.0, 0.5, 0.9), (1e-3, 2.0, 1e-4)])
def test_quotients_follow_the_exact_ones(bits: int, scales: tuple[float, float, float]) -> None:
    """Half a step for rounding; the multiplier has 21 bits at least, and the quotient's fraction more than the step."""
    fine = 1.0 if bits == 8 else 1 / 256
    zps = (3, -120, 10) if bits == 8 else (0, 0, 0)
    a, b, y = (_tensor(n, s * fine, z, bits) for n, s, z in zip("aby", scales, zps, strict=True))
    rng, top = np.random.default_rng(bits), 1 << (bits - 1)
    qa, qb = (rng.integers(-top, top, (1, 4000)).astype(t.quant.dtype.value) for t in (a, b))  # type: ignore[union-attr]
    got = _quotients(a, b, y, qa, qb)
    real_b = (qb[0].astype(np.int64) - zps[1]) * b.quant.s  # type: ignore[union-attr]
    real_a = (qa[0].astype(np.int64) - zps[0]) * a.quant.s  # type: ignore[union-attr]
    some = real_b != 0
    want = np.clip(real_a[some] / real_b[some] / y.quant.s + zps[2], -top, top - 1)  # type: ignore[union-attr]
    assert np.abs(got[some] - want).max() < 0.5 + 0.02
    assert (got[~some & (real_a > 0)] == top - 1).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_by_zero(bits: int) -> None:
    zps = (3, -5, 10) if bits == 8 else (0, 0, 0)
    a, b, y = (_tensor(n, 0.1, z, bits, (3,)) for n, z in zip("aby", zps, strict=True))
    qa = np.array([[zps[0] - 1, zps[0], zps[0] + 1]])
    qb = np.full((1, 3), zps[1])
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    assert _quotients(a, b, y, qa, qb).tolist() == [low, zps[2], high]
