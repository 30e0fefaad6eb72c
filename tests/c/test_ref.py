"""Each portable kernel against NUMERICS in numpy: equal, on random layers, under the undefined-behaviour sanitizer."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.c import cases, oracle, recurrent
from tests.c.harness import Guarded, build, call, equal, run
from tinygen.numerics import choose_multipliers, fold_bias, requant
from tinygen.ops.softmax import exp_rule

SEEDS = range(120)


@pytest.fixture(scope="module", params=["wide", "narrow"])
def lib(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], None]
) -> ctypes.CDLL:
    """`narrow` takes the multiplication of Cortex-M0."""
    require_tool("gcc")
    extra = ("-D__ARM_ARCH_6M__",) if request.param == "narrow" else ()
    return build(tmp_path_factory.mktemp("kernels"), extra=extra)


@pytest.mark.parametrize("make", [cases.conv_case, cases.pointwise_case])
def test_conv(lib: ctypes.CDLL, make: Callable[..., Any]) -> None:
    for seed in SEEDS:
        c, (x, w, b, m) = make(np.random.default_rng(seed))
        want = oracle.conv(c, x, w, b, m)
        equal(run(lib, "tg_conv_s8", c, x, w, fold_bias(w, b, c["in_zp"]), m, size=want.size), want, c)


def test_dwconv(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        c, (x, w, b, m) = cases.dwconv_case(np.random.default_rng(seed))
        want = oracle.dwconv(c, x, w, b, m)
        folded = fold_bias(np.moveaxis(w, 2, 0), b, c["in_zp"])
        equal(run(lib, "tg_dwconv_s8", c, x, w, folded, m, size=want.size), want, c)


def test_conv_transpose(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        c, (x, w, b, m) = cases.conv_transpose_case(np.random.default_rng(seed))
        want = oracle.conv_transpose(c, x, w, b, m)
        equal(run(lib, "tg_conv_transpose_s8", c, x, w, b, m, size=want.size), want, c)


def test_dense(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        c, in_zp, (x, w, b, m) = cases.dense_case(np.random.default_rng(seed))
        want = oracle.dense(c, x, w, b, m, in_zp)
        equal(run(lib, "tg_dense_s8", c, x, w, fold_bias(w, b, in_zp), m, size=want.size), want, c)


def add_fields(rng: np.random.Generator) -> dict[str, Any]:
    shift = int(rng.integers(0, 23))
    ma, mb = (int(v) for v in rng.integers(-(2**21) + 1, 2**21, 2))
    if rng.integers(4) == 0:
        ma, mb = 2**21 - 1, int(rng.choice([1 - 2**21, 2**21 - 1]))
    c = (cases.zero_point(rng) << shift) + (1 << shift >> 1) - cases.zero_point(rng) * ma - cases.zero_point(rng) * mb
    return {"ma": ma, "mb": mb, "c": c, "shift": shift, **cases.clamp(rng)}


def mul_fields(rng: np.random.Generator) -> dict[str, Any]:
    m, shift = cases.multipliers(rng, 1, 10_000.0)
    zps = {name: cases.zero_point(rng) for name in ("a_zp", "b_zp", "out_zp")}
    return {"m": int(m[0]), "shift": shift, **zps, **cases.clamp(rng)}


def div_fields(rng: np.random.Generator) -> dict[str, Any]:
    shift = int(rng.integers(1, 31))
    zps = {name: cases.zero_point(rng) for name in ("a_zp", "b_zp", "out_zp")}
    return {"m": int(rng.choice([1, 2**22 - 1, int(rng.integers(1, 2**22))])), "shift": shift, **zps}


def compare_fields(rng: np.random.Generator) -> dict[str, Any]:
    yes, no = (int(v) for v in rng.choice([-128, 0, 127], 2, replace=False))
    return {"equal": int(rng.integers(2)), "yes": yes, "no": no}


def no_fields(rng: np.random.Generator) -> dict[str, Any]:
    return {}


OPERATORS = [
    ("add", add_fields, oracle.add),
    ("mul", mul_fields, oracle.mul),
    ("div", div_fields, oracle.div),
    ("max", no_fields, oracle.larger),
    ("compare", compare_fields, oracle.compare),
    ("min", no_fields, oracle.smaller),
]


@pytest.mark.parametrize(("kernel", "make", "meaning"), OPERATORS)
def test_elementwise(lib: ctypes.CDLL, kernel: str, make: Callable[..., Any], meaning: Callable[..., Any]) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 70))
        c = {"n": n, **make(rng)}
        a, b = cases.int8(rng, n), cases.int8(rng, n)
        want = meaning(c, a, b)
        equal(run(lib, f"tg_{kernel}_s8", c, a, b, size=n), want, c)
        for in_place in (0, 1):
            out = Guarded(n, fill=(a, b)[in_place])
            pair = (out.array, b) if in_place == 0 else (a, out.array)
            call(lib, f"tg_{kernel}_s8", f"tg_{kernel}_s8", c, *pair, out.array)
            equal(out.check(), want, c)


@pytest.mark.parametrize(("kernel", "make", "meaning"), OPERATORS)
def test_broadcast(lib: ctypes.CDLL, kernel: str, make: Callable[..., Any], meaning: Callable[..., Any]) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        dims = rng.integers(1, 6, 4)
        operands, strides = [], []
        for _ in range(2):
            array = cases.int8(rng, *(int(v) for v in np.where(rng.integers(0, 2, 4) == 1, dims, 1)))
            operands.append(array)
            strides.append([s if n > 1 else 0 for s, n in zip(array.strides, array.shape, strict=True)])
        c = {"dims": dims, "a_stride": strides[0], "b_stride": strides[1], **make(rng)}
        shape = tuple(int(v) for v in dims)
        want = meaning(c, *(np.broadcast_to(v, shape) for v in operands))
        equal(run(lib, f"tg_{kernel}_bc_s8", c, *operands, size=want.size), want, c)


def test_lut(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        x, table = cases.int8(rng, int(rng.integers(1, 300))), cases.int8(rng, 256)
        want = oracle.lut(x, table)
        equal(run(lib, "tg_lut_s8", {"n": x.size}, x, table, size=x.size), want, {})
        out = Guarded(x.size, fill=x)
        call(lib, "tg_lut_s8", "tg_lut_s8", {"n": x.size}, out.array, table, out.array)
        equal(out.check(), want, {"in place": 1})


def test_prelu(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        rows, channels = (int(v) for v in rng.integers(1, 9, 2))
        m, shift = cases.multipliers(rng, channels + 1, 100.0)
        c = {"rows": rows, "channels": channels, "in_zp": cases.zero_point(rng), "out_zp": cases.zero_point(rng)}
        c |= {"mp": int(m[0]), "shift": shift}
        mn = m[1:] * rng.choice(np.array([-1, 1], dtype=np.int32), channels)
        x = cases.int8(rng, rows, channels)
        want = oracle.prelu(c, x, mn)
        equal(run(lib, "tg_prelu_s8", c, x, mn, size=x.size), want, c)
        out = Guarded(x.size, fill=x)
        call(lib, "tg_prelu_s8", "tg_prelu_s8", c, out.array, mn, out.array)
        equal(out.check(), want, c)


def test_pools(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        c: dict[str, Any] = {**cases.window(rng), "channels": int(rng.integers(1, 9))}
        x = cases.int8(rng, c["in_h"], c["in_w"], c["channels"])
        want = oracle.maxpool(c, x)
        equal(run(lib, "tg_maxpool_s8", c, x, size=want.size), want, c)
        taps = c["k_h"] * c["k_w"]
        m, shift = choose_multipliers(float(rng.uniform(0.2, 1.5)) / np.arange(1, taps + 1))
        c |= {"in_zp": cases.zero_point(rng), "out_zp": cases.zero_point(rng), "shift": shift}
        c["m_step"] = int(rng.integers(2))
        m = m if c["m_step"] else m[-1:]
        c["even"] = 0
        want = oracle.avgpool(c, x, m)
        equal(run(lib, "tg_avgpool_s8", c, x, m, size=want.size), want, c)
        m, c["shift"] = choose_multipliers(1.0 / np.arange(1, taps + 1))
        m, c["even"] = (m, 1) if c["m_step"] else (m[-1:], taps)
        want = oracle.avgpool(c, x, m)
        equal(run(lib, "tg_avgpool_s8", c, x, m, size=want.size), want, c)


def test_reductions(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        c: dict[str, Any] = {key: int(rng.integers(1, 10)) for key in ("outer", "n", "inner")}
        x = cases.int8(rng, c["outer"], c["n"], c["inner"])
        size = c["outer"] * c["inner"]
        equal(run(lib, "tg_reduce_max_s8", c, x, size=size), x.max(axis=1), c)
        equal(run(lib, "tg_reduce_min_s8", c, x, size=size), x.min(axis=1), c)
        m, shift = cases.multipliers(rng, 1, 100.0)
        c |= {"in_zp": cases.zero_point(rng), "out_zp": cases.zero_point(rng), "m": int(m[0]), "shift": shift}
        c["even"] = 0
        equal(run(lib, "tg_reduce_sum_s8", c, x, size=size), oracle.reduce_sum(c, x), c)
        m, shift = choose_multipliers([1.0 / c["n"]])
        c |= {"m": int(m[0]), "shift": shift, "even": 1}
        equal(run(lib, "tg_reduce_sum_s8", c, x, size=size), oracle.reduce_sum(c, x), c)


@pytest.mark.parametrize("bits", [8, 16])
def test_norm(lib: ctypes.CDLL, bits: int) -> None:
    for seed in SEEDS[:40]:
        rng = np.random.default_rng(seed)
        c: dict[str, Any] = {k: int(rng.choice([1, 1, 2, 3, 7])) for k in ("outer", "reps", "groups", "width")}
        n, dtype, top = c["reps"] * c["width"], np.int8 if bits == 8 else np.int16, 1 << (bits - 1)
        spread = int(rng.choice([1, 3, top]))
        x = np.clip(rng.integers(-spread, spread + 1, tuple(c.values())), -top, top - 1).astype(dtype)
        x = rng.choice(np.array([-top, top - 1], dtype), x.shape) if rng.integers(5) == 0 else x
        add = int(rng.choice([1, 5, n * n, 2**40, 2**62 - 1]))
        c |= {"w_step": int(rng.integers(2)), "centre": int(rng.integers(2)), "floor": int(rng.integers(2))}
        c |= {"add_high": add >> 32, "add_low": add % 2**32, "shift": int(rng.integers(1, 9))}
        c |= {"down": (max(n - 1, 0).bit_length() + 1) // 2 + 1, "lo": -top, "hi": int(rng.choice([top - 1, top // 3]))}
        c |= {"in_zp": 0 if c["centre"] else cases.zero_point(rng)} if bits == 8 else {}
        w = rng.integers(-(2**31), 2**31, (c["groups"], c["width"], 2)) >> int(rng.choice([1, 4, 12]))
        w = np.ascontiguousarray(w if c["w_step"] else w[:1, :1]).astype(np.int32)
        w[..., 0] >>= 1
        want = oracle.norm(c, x, w).astype(dtype)
        got = run(lib, f"tg_norm_s{bits}", c, x, w, size=want.nbytes)
        equal(got.view(dtype), want, c)
        out = Guarded(want.nbytes, fill=x.view(np.int8))
        call(lib, f"tg_norm_s{bits}", f"tg_norm_s{bits}", c, out.array, w, out.array)
        equal(out.check().view(dtype), want, c)


def test_lengths(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        c: dict[str, Any] = {key: int(rng.integers(1, 10)) for key in ("outer", "n", "inner")}
        m, shift = rng.choice([1, 2**20 + 1, 2**30, 2**31 - 1]), rng.choice([0, 10, 24, 31, 32])
        c |= {"m": int(m), "shift": int(shift), "in_zp": cases.zero_point(rng), "out_zp": cases.zero_point(rng)}
        x = cases.int8(rng, c["outer"], c["n"], c["inner"])
        equal(run(lib, "tg_reduce_l2_s8", c, x, size=x[:, 0].size), oracle.reduce_l2(c, x), c)
        wide = (rng.integers(-(2**15), 2**15, x.shape) >> int(rng.integers(16))).astype(np.int16)
        wide[rng.random(x.shape) < 0.1] = -(2**15)
        del c["in_zp"]
        c["wide"] = int(rng.integers(2))
        c["out_zp"] *= 1 - c["wide"]
        want = oracle.reduce_l2(c, wide)
        equal(run(lib, "tg_reduce_l2_s16", c, wide, size=want.nbytes).view(want.dtype), want, c)


@pytest.mark.parametrize("bits", [8, 16])
def test_matmul(lib: ctypes.CDLL, bits: int) -> None:
    """Transposed views of numpy arrays give the strides."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        s0, s1, rows, inner, columns = (int(v) for v in rng.integers(1, 6, 5))
        dtype, top = np.int8 if bits == 8 else np.int16, 1 << (bits - 1)
        views, arrays = [], []
        for shape in ((s0, s1, rows, inner), (s0, s1, inner, columns), (s0, s1, rows, columns)):
            perm = [int(p) for p in rng.permutation(4)]
            whole = rng.integers(-top, top, [shape[p] for p in perm]).astype(dtype)
            whole = rng.choice(np.array([-top, top - 1], dtype), whole.shape) if rng.integers(5) == 0 else whole
            arrays.append(whole)
            views.append(whole.transpose(np.argsort(perm)))
        a, b, y = ([s // v.itemsize for s in v.strides] for v in views)
        m, shift = cases.multipliers(rng, 1, float(top) ** 2 * inner / 16)
        c: dict[str, Any] = {"dims": (s0, s1, rows, columns), "m": int(m[0]), "shift": shift, "lo": -top, "hi": top - 1}
        c |= {"inner": inner, "a_step": a[3], "b_step": b[2]}
        c |= {"a_stride": (*a[:3], 0), "b_stride": (*b[:2], 0, b[3]), "y_stride": y}
        if bits == 8:
            c |= {name: cases.zero_point(rng) for name in ("a_zp", "b_zp", "out_zp")}
        else:
            c["down"] = max(inner - 1, 0).bit_length()
        want = oracle.matmul(c, *views[:2])
        got = run(lib, f"tg_matmul_s{bits}", c, *arrays[:2], size=views[2].nbytes).view(dtype)
        arrays[2][...] = got.reshape(arrays[2].shape)
        equal(views[2].reshape(-1), want, c)


@pytest.mark.parametrize("bits", [8, 16])
def test_attention(lib: ctypes.CDLL, bits: int) -> None:
    for seed in SEEDS[:40]:
        rng = np.random.default_rng(seed)
        each, shared = (int(v) for v in rng.integers(1, 3, 2))
        sizes = {"batch": int(rng.integers(1, 3)), "queries": int(rng.integers(1, 5)), "keys": int(rng.integers(1, 8))}
        sizes |= {"heads": each * shared, "each": each, "d": int(rng.integers(1, 6)), "dv": int(rng.integers(1, 6))}
        c, arrays = cases.attention_case(rng, bits, sizes)
        low, high = (-128, 127) if bits == 8 or not c["wide"] else (-32768, 32767)
        full = np.broadcast_to(arrays[4], (sizes["heads"], sizes["queries"], sizes["keys"]))
        want = oracle.attention(c, *arrays[:4], full, low, high).astype(np.int8 if high == 127 else np.int16)
        scratch = -(-2 * sizes["keys"] // 4) * 4
        got = run(lib, f"tg_attention_s{bits}", c, *arrays, scratch=scratch, size=want.nbytes)
        equal(got.view(want.dtype), want, c)


def test_softmax(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        rows, n = int(rng.integers(1, 6)), int(rng.choice([1, 2, 3, 10, 257, 4096]))
        e = np.rint(65535 * np.exp(-float(rng.choice([0.001, 0.02, 0.1, 1.0])) * np.arange(256))).astype(np.uint16)
        e = np.ascontiguousarray(e[: int(np.flatnonzero(e)[-1]) + 1])
        x = cases.int8(rng, rows, n)
        c: dict[str, Any] = {"rows": rows, "n": n, "len": e.size}
        want = oracle.softmax(c, x, e)
        equal(run(lib, "tg_softmax_s8", c, x, e, size=x.size), want, c)
        out = Guarded(x.size, fill=x)
        call(lib, "tg_softmax_s8", "tg_softmax_s8", c, out.array, e, out.array)
        equal(out.check(), want, c)
        shift = int(rng.choice([1, 20, 31, 40, 46]))
        c |= {"m1": int(rng.integers(1, 2**31)), "m2": int(rng.integers(1, 2**31)), "shift": shift}
        c["out_zp"] = cases.zero_point(rng)
        want = oracle.log_softmax(c, x, e)
        equal(run(lib, "tg_log_softmax_s8", c, x, e, size=x.size), want, c)
        out = Guarded(x.size, fill=x)
        call(lib, "tg_log_softmax_s8", "tg_log_softmax_s8", c, out.array, e, out.array)
        equal(out.check(), want, c)
        c["in_zp"] = cases.zero_point(rng)
        equal(run(lib, "tg_log_sum_exp_s8", c, x, e, size=rows), oracle.log_sum_exp(c, x, e), c)


def test_softmax16(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        rows, n = int(rng.integers(1, 6)), int(rng.choice([1, 2, 3, 10, 257, 4096]))
        spread = int(rng.choice([1, 300, 2**15]))
        x = np.clip(rng.integers(-spread, spread + 1, (rows, n)), -(2**15), 2**15 - 1).astype(np.int16)
        scale = float(rng.choice([1e-6, 3e-5, 4e-4, 0.02, 0.5, 3.0, 1e4]))
        rule = dict(zip(("exp_m", "exp_shift", "len"), exp_rule(scale), strict=True))
        c: dict[str, Any] = {"rows": rows, "n": n, **rule, "wide": int(rng.integers(2))}
        want = oracle.softmax16(c, x)
        got = run(lib, "tg_softmax_s16", c, x, size=want.nbytes)
        equal(got.view(want.dtype), want, c)
        if c["wide"]:
            out = Guarded(want.nbytes, fill=x.view(np.int8))
            call(lib, "tg_softmax_s16", "tg_softmax_s16", c, out.array, out.array)
            equal(out.check().view(want.dtype), want, c)
        shift = int(rng.choice([1, 20, 31, 40, 46]))
        c |= {"m1": int(rng.integers(1, 2**31)), "m2": int(rng.integers(1, 2**31)), "shift": shift}
        c["out_zp"] = 0 if c["wide"] else cases.zero_point(rng)
        for name, meaning in (("log_softmax", oracle.log_softmax16), ("log_sum_exp", oracle.log_sum_exp16)):
            want = meaning(c, x)
            got = run(lib, f"tg_{name}_s16", c, x, size=want.nbytes)
            equal(got.view(want.dtype), want, c)


def test_argmax(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        rows, n = int(rng.integers(1, 6)), int(rng.choice([1, 2, 10, 256]))
        c = {"rows": rows, "n": n, "last": int(rng.integers(2))}
        x = cases.int8(rng, rows, n)
        equal(run(lib, "tg_argmax_s8", c, x, size=rows), oracle.argmax(c, x), c)
        wide = rng.integers(-3, 4, x.shape).astype(np.int16) * 9000
        equal(run(lib, "tg_argmax_s16", c, wide, size=rows), oracle.argmax(c, wide), c)


def test_copy(lib: ctypes.CDLL) -> None:
    """Views of numpy arrays (transposed, reversed, sliced, repeated) give the strides."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        bits = (8, 8, 16, 32)[seed % 4]
        x = cases.int8(rng, *(int(v) for v in rng.choice([1, 1, 2, 3, 4, 7], 6))).astype(f"int{bits}")
        view = x.transpose([int(v) for v in rng.permutation(6)]) if rng.integers(2) else x
        view = view[tuple(slice(None, None, int(rng.choice([1, 1, 1, -1, 2]))) for _ in range(6))]
        if rng.integers(3) == 0 and 1 in view.shape:
            axis = view.shape.index(1)
            view = np.broadcast_to(view, [3 if i == axis else n for i, n in enumerate(view.shape)])
        before = [int(v) for v in rng.integers(0, 3, 6)] if rng.integers(2) else [0] * 6
        whole = np.full([n + p + 1 if p else n for n, p in zip(view.shape, before, strict=True)], 77, dtype=x.dtype)
        part = whole[tuple(slice(p, p + n) for n, p in zip(view.shape, before, strict=True))]
        c = {
            "dims": view.shape,
            "x_stride": [s // x.itemsize for s in view.strides],
            "y_stride": [s // x.itemsize for s in part.strides],
            "x_offset": (view.__array_interface__["data"][0] - x.ctypes.data) // x.itemsize,
            "y_offset": (part.__array_interface__["data"][0] - whole.ctypes.data) // x.itemsize,
        }
        before_copy = whole.copy()
        part[...] = view
        out = Guarded(whole.nbytes, before_copy.view(np.int8))
        call(lib, f"tg_copy_s{bits}", f"tg_copy_s{bits}", c, x, out.array)
        equal(out.check(), whole.view(np.int8), c)


def test_fill_and_gather(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        n, value = int(rng.integers(1, 50)), cases.zero_point(rng)
        equal(run(lib, "tg_fill_s8", {"n": n, "value": value}, size=n), np.full(n, value, dtype=np.int8), {})
        c = {key: int(rng.integers(1, 9)) for key in ("outer", "len", "n", "inner")}
        x = cases.int8(rng, c["outer"], c["len"], c["inner"])
        idx = rng.integers(0, c["len"], c["n"]).astype(np.uint16)
        want = x[:, idx]
        equal(run(lib, "tg_gather_s8", c, x, idx, size=want.size), want, c)


def test_lookup(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        count, width, n = (int(rng.integers(1, k)) for k in (257, 9, 40))
        c = {"n": n, "width": width, "last": count - 1, "zero": cases.zero_point(rng)}
        x, rows = cases.int8(rng, n), cases.int8(rng, count, width)
        want = np.stack([rows[min(max(int(v) - c["zero"], 0), count - 1)] for v in x])
        equal(run(lib, "tg_lookup_s8", c, x, rows, size=want.size), want.reshape(-1).reshape(want.shape), c)


def test_insert(lib: ctypes.CDLL) -> None:
    """At any index of any scale, in place and not; half of them go on at the front."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        bits, wraps = (8, 16)[seed % 2], seed % 4 < 2
        batch, each, length, width = (int(rng.integers(1, k)) for k in (3, 4, 12, 9))
        count = int(rng.integers(1, length + 1))
        unit = int(rng.choice([65536, int(rng.integers(1, 2**23 + 1)), int(rng.integers(1, 65536))]))
        c = {"outer": batch * each, "each": each, "length": length, "count": count, "width": width}
        c |= {"zero": cases.zero_point(rng), "unit": unit, "last": length - (1 if wraps else count)}
        dtype, top = np.int8 if bits == 8 else np.int16, 1 << (bits - 1)
        cache, update = (rng.integers(-top, top, (batch, each, n, width), dtype=dtype) for n in (length, count))
        at = cases.int8(rng, batch)
        want = oracle.insert(c, cache, update, at)
        got = run(lib, f"tg_insert_s{bits}", c, cache, update, at, size=want.nbytes)
        equal(got.view(dtype), want, c)
        out = Guarded(want.nbytes, fill=cache.view(np.int8))
        call(lib, f"tg_insert_s{bits}", f"tg_insert_s{bits}", c, out.array, update, at, out.array)
        equal(out.check().view(dtype), want, c)


def test_resize(lib: ctypes.CDLL) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        h, w, oh, ow, ch = (int(v) for v in rng.integers(1, 9, 5))
        c = {"in_w": w, "out_h": oh, "out_w": ow, "channels": ch}
        x = cases.int8(rng, h, w, ch)
        iy, ix = rng.integers(0, h, oh).astype(np.uint16), rng.integers(0, w, ow).astype(np.uint16)
        want = np.ascontiguousarray(x[iy][:, ix])
        equal(run(lib, "tg_resize_nearest_s8", c, x, iy, ix, size=want.size), want, c)
        tables = []
        for size, n in ((h, oh), (w, ow)):
            first = rng.integers(0, size, n)
            weight = rng.choice([0, 1, 1024, 2047, 2048, 700], n)
            tables.append(np.stack([first, np.minimum(first + 1, size - 1), weight], axis=1).astype(np.uint16))
        equal(run(lib, "tg_resize_linear_s8", c, x, *tables, size=want.size), oracle.resize_linear(x, *tables), c)


@pytest.mark.parametrize("shift", [1, 2, 16, 31, 32, 33, 34, 40, 47, 61, 62])
def test_requantise_to_the_ends(lib: ctypes.CDLL, shift: int) -> None:
    """Rule 1 through tg_prelu_s8 (any multiplier, any shift) and through tg_reduce_sum_s8 (large accumulators)."""
    rng = np.random.default_rng(shift)
    m = rng.integers(-(2**31) + 1, 2**31, 200).astype(np.int32)
    m[:4] = [2**31 - 1, -(2**31) + 1, 0, 1]
    x = cases.int8(rng, 3, 200)
    c: dict[str, Any] = {"rows": 3, "channels": 200, "in_zp": 127, "out_zp": 0, "mp": int(m[7]), "shift": shift}
    equal(run(lib, "tg_prelu_s8", c, x, m, size=x.size), oracle.prelu(c, x, m), c)
    tall = np.full((1, 2**22 // 8, 1), -128, dtype=np.int8)
    acc = np.array([-255 * tall.size])
    for value in (2**31 - 1, -(2**31) + 1, 12345, -1):
        c = {"outer": 1, "n": tall.size, "inner": 1, "m": value, "in_zp": 127, "out_zp": 3, "shift": shift, "even": 0}
        want = np.clip(requant(acc, value, shift) + 3, -128, 127).astype(np.int8)
        equal(run(lib, "tg_reduce_sum_s8", c, tall, size=1), want, c)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", recurrent.GATES)
def test_recurrent(lib: ctypes.CDLL, kind: str, bits: int) -> None:
    for seed in SEEDS:
        recurrent.check(lib, kind, bits, recurrent.case(np.random.default_rng(seed), kind, bits))


def test_rescale32(lib: ctypes.CDLL) -> None:
    """From and to the 24 bits of a cell, with multipliers of every size."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        x_bits, y_bits = ((32, 8), (32, 16), (8, 32), (16, 32), (32, 32))[seed % 5]
        ends = {8: (-128, 127), 16: (-(2**15), 2**15 - 1), 32: (-(2**23), 2**23 - 1)}
        n, (m, shift) = int(rng.integers(1, 40)), cases.multipliers(rng, 1, float(ends[x_bits][1]))
        low, high = ends[y_bits]
        zps = [cases.zero_point(rng) if bits == 8 else 0 for bits in (x_bits, y_bits)]
        c = {"n": n, "m": int(m[0]), "shift": shift, "in_zp": zps[0], "out_zp": zps[1], "lo": low, "hi": high}
        c |= {"x_bits": x_bits, "y_bits": y_bits}
        x = rng.integers(ends[x_bits][0], ends[x_bits][1] + 1, n).astype(f"int{x_bits}")
        want = np.clip(zps[1] + requant(x.astype(np.int64) - zps[0], m, shift), low, high).astype(f"int{y_bits}")
        out = Guarded(want.nbytes)
        call(lib, "tg_rescale_s32", "tg_rescale_s32", c, x, out.array)
        equal(out.check(), want.view(np.int8), c)
