"""Samples made up where there are none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygen.calibrate.data import Samples, samples_of
from tinygen.ir.types import Port, Quant
from tinygen.numerics import Array
from tinygen.ops.base import Shape


def synthetic(ports: Sequence[Port], n: int, seed: int, quants: Sequence[Quant | None] | None = None) -> Samples:
    """Random inputs: in turn normal, uniform, sparse and smooth ones; within the range of `quants` where one is given.
    Behind a port that normalises they are so, and the inputs what they come from; for one that takes integers, whole.

    Only the raw bits of PCG64 (which numpy promises not to change) and exact integer sums are used, so the same seed
    gives the same bytes with every version of numpy on every machine.
    """
    arrays = []
    for index, port in enumerate(ports):
        quant = quants[index] if quants is not None else None
        bits = np.random.PCG64([seed, index])
        x = np.stack([_sample(bits, port.shape, i % 4, quant) for i in range(n)])
        if port.affine is not None:
            x = port.to_outside(port.moved(x)).astype(np.float32)
        if port.largest is not None:
            x = np.mod(np.rint(x), port.largest + 1)  # every row of the table
        arrays.append(port.whole(x))
    return samples_of(arrays, None, f"synthetic: {n} random samples (seed {seed})")


def synthetic_streams(
    ports: Sequence[Port], n: int, steps: int, seed: int, quants: Sequence[Quant | None] | None = None
) -> Samples:
    """The same as `n` streams (n, steps, *shape), each of one kind of sample."""
    of = synthetic(ports, n * steps, seed, quants)
    arrays = [np.ascontiguousarray(x.reshape(steps, n, *x.shape[1:]).swapaxes(0, 1)) for x in of.inputs]
    return samples_of(arrays, None, f"synthetic: {n} random streams of {steps} steps (seed {seed})")


def _uniform(bits: np.random.PCG64, shape: Shape) -> Array:
    """Integers in [0, 2^24), int64."""
    size = int(np.prod(shape, dtype=np.int64))
    raw = np.atleast_1d(np.asarray(bits.random_raw(size), dtype=np.uint64))
    return (raw >> np.uint64(40)).astype(np.int64).reshape(shape)


def _sample(bits: np.random.PCG64, shape: Shape, kind: int, quant: Quant | None) -> Array:
    lo, hi = (0.0, 1.0) if quant is None else (quant.s * (q - quant.zero_point) for q in (-128, 127))
    if kind == 0:
        # The sum of 12 uniforms has variance 1: normal up to +-6.
        z = sum(_uniform(bits, shape) for _ in range(12)) / 2.0**24 - 6.0
        x = z if quant is None else np.clip((lo + hi) / 2 + z * ((hi - lo) / 6), lo, hi)
    elif kind == 1:
        x = lo + (hi - lo) * (_uniform(bits, shape) / 2.0**24)
    elif kind == 2:
        x = lo + (hi - lo) * (_uniform(bits, shape) / 2.0**24)
        x = np.where(_uniform(bits, shape) < 2**24 // 10, x, 0.0)
    else:
        v = _uniform(bits, shape)
        for axis, length in enumerate(shape):
            if length > 1:
                v = np.asarray(sum(np.roll(v, k, axis) for k in range(max(2, min(8, length // 4)))))
        span = max(1, int(v.max() - v.min()))
        x = lo + (hi - lo) * ((v - v.min()) / span)
    return np.asarray(x, dtype=np.float32)
