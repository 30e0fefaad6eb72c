"""Kernels of weights packed as indices, against NUMERICS in numpy: equal on random layers, for every number of bits."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.c import cases, oracle
from tests.c.harness import Guarded, build, call, equal
from tinygen.numerics import fold_bias
from tinygen.plan.variants import pack_palette as pack

SEEDS = range(150)
Layer = tuple[dict[str, Any], list[np.ndarray]]


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], None]) -> ctypes.CDLL:
    require_tool("gcc")
    return build(tmp_path_factory.mktemp("kernels"))


def few(rng: np.random.Generator, w: np.ndarray) -> np.ndarray:
    """Weights of `w`'s shape with few values: numbers of n bits, or any, now and then the ends of int8."""
    bits = int(rng.integers(1, pack.WIDEST + 1))
    if rng.integers(2):
        values = pack.uniform(bits)
    else:
        values = rng.integers(-127, 128, 1 << bits).astype(np.int8)
        values[0] = rng.choice([-127, 127])
    return rng.choice(values, w.shape)


def conv(lib: Any, c: dict[str, Any], x: np.ndarray, w: np.ndarray, b: np.ndarray, m: np.ndarray) -> None:
    want, packed = oracle.conv(c, x, w, b, m), pack.pack_reference(w)
    assert packed is not None
    out = Guarded(want.size)
    call(lib, "tg_conv_pal_s8", "tg_conv_s8", c, x, *packed, fold_bias(w, b, c["in_zp"]), m, out.array)
    equal(out.check(), want, c)


def conv_sweep(lib: Any, make: Callable[..., Layer]) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        c, (x, w, b, m) = make(rng)
        conv(lib, c, x, few(rng, w), b, m)


def one_group(rng: np.random.Generator) -> Layer:
    return cases.conv_case(rng, groups=1)


@pytest.mark.parametrize("make", [one_group, cases.pointwise_case])
def test_conv(lib: ctypes.CDLL, make: Callable[..., Layer]) -> None:
    conv_sweep(lib, make)


def test_dense(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        c, in_zp, (x, w, b, m) = cases.dense_case(rng)
        w = few(rng, w)
        want, packed = oracle.dense(c, x, w, b, m, in_zp), pack.pack_reference(w)
        assert packed is not None
        out = Guarded(want.size)
        call(lib, "tg_dense_pal_s8", "tg_dense_s8", c, x, *packed, fold_bias(w, b, in_zp), m, out.array)
        equal(out.check(), want, c)


@pytest.mark.parametrize("bits", range(1, pack.WIDEST + 1))
def test_palettes(bits: int) -> None:
    """All values come back; numbers of so many bits share a table; one value more takes another bit."""
    rng = np.random.default_rng(bits)
    own = rng.permutation(np.arange(-127, 128, 2))[: 1 << bits].astype(np.int8)
    for values in (pack.uniform(bits), own):
        w = rng.permutation(np.repeat(values, 3)).reshape(3, -1)
        found = pack.palette(w)
        assert found is not None
        assert found[0] == bits
        assert np.array_equal(found[1][pack.indices(w, found[1])], w)
        words = pack.pack_words(pack.indices(w, found[1]), bits).view(np.uint32).reshape(3, -1)
        count = 32 // bits
        back = [
            [int(words[r, i // count]) >> i % count * bits & (1 << bits) - 1 for i in range(w.shape[1])]
            for r in range(3)
        ]
        assert np.array_equal(found[1][np.array(back)], w)
        more = np.append(w, np.int8(126 if 126 not in values else 124))
        wider = pack.palette(more)
        assert wider is None if bits == pack.WIDEST else wider is not None and wider[0] == bits + 1
