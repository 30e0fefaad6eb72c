"""Every kernel's meaning, written from docs/NUMERICS.md in plain numpy. Independent of tinygen/ops and of the C."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygen.numerics import requant

Cfg = dict[str, Any]


def epilogue(acc: np.ndarray, m: Any, c: Cfg) -> np.ndarray:
    return np.clip(requant(acc, m, c["shift"]) + c["out_zp"], c.get("lo", -128), c.get("hi", 127)).astype(np.int8)


def taps(c: Cfg) -> Any:
    """(ky, kx, rows, columns, inside): which input pixel each output pixel reads through each tap."""
    for ky in range(c["k_h"]):
        for kx in range(c["k_w"]):
            rows = np.arange(c["out_h"]) * c["stride_h"] + ky * c["dil_h"] - c["pad_top"]
            cols = np.arange(c["out_w"]) * c["stride_w"] + kx * c["dil_w"] - c["pad_left"]
            inside = ((rows >= 0) & (rows < c["in_h"]))[:, None] & ((cols >= 0) & (cols < c["in_w"]))[None, :]
            yield ky, kx, np.clip(rows, 0, c["in_h"] - 1), np.clip(cols, 0, c["in_w"] - 1), inside


def conv(c: Cfg, x: np.ndarray, w: np.ndarray, b: np.ndarray, m: np.ndarray) -> np.ndarray:
    """b as in the network, not folded; taps outside left out."""
    acc = np.broadcast_to(b.astype(np.int64), (c["out_h"], c["out_w"], c["out_c"])).copy()
    d = x.astype(np.int64) - c["in_zp"]
    group_in, group_out = c["in_c"] // c["groups"], c["out_c"] // c["groups"]
    for ky, kx, rows, cols, inside in taps(c):
        patch = d[rows][:, cols] * inside[:, :, None]
        for g in range(c["groups"]):
            o = slice(g * group_out, (g + 1) * group_out)
            part = patch[:, :, g * group_in : (g + 1) * group_in]
            acc[:, :, o] += part @ w[o, ky, kx].astype(np.int64).T
    return epilogue(acc, m, c)


def dwconv(c: Cfg, x: np.ndarray, w: np.ndarray, b: np.ndarray, m: np.ndarray) -> np.ndarray:
    acc = np.broadcast_to(b.astype(np.int64), (c["out_h"], c["out_w"], c["out_c"])).copy()
    d = np.repeat(x.astype(np.int64) - c["in_zp"], c["out_c"] // c["in_c"], axis=2)
    for ky, kx, rows, cols, inside in taps(c):
        acc += d[rows][:, cols] * inside[:, :, None] * w[ky, kx].astype(np.int64)
    return epilogue(acc, m, c)


def conv_transpose(c: Cfg, x: np.ndarray, w: np.ndarray, b: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Scatter, where the C gathers."""
    acc = np.broadcast_to(b.astype(np.int64), (c["out_h"], c["out_w"], c["out_c"])).copy()
    d = x.astype(np.int64) - c["in_zp"]
    group_in, group_out = c["in_c"] // c["groups"], c["out_c"] // c["groups"]
    for iy in range(c["in_h"]):
        for ix in range(c["in_w"]):
            for ky in range(c["k_h"]):
                for kx in range(c["k_w"]):
                    oy = iy * c["stride_h"] + ky * c["dil_h"] - c["pad_top"]
                    ox = ix * c["stride_w"] + kx * c["dil_w"] - c["pad_left"]
                    if 0 <= oy < c["out_h"] and 0 <= ox < c["out_w"]:
                        for g in range(c["groups"]):
                            o = slice(g * group_out, (g + 1) * group_out)
                            part = d[iy, ix, g * group_in : (g + 1) * group_in]
                            acc[oy, ox, o] += w[o, ky, kx].astype(np.int64) @ part
    return epilogue(acc, m, c)


def dense(c: Cfg, x: np.ndarray, w: np.ndarray, b: np.ndarray, m: np.ndarray, in_zp: int) -> np.ndarray:
    return epilogue(b.astype(np.int64) + (x.astype(np.int64) - in_zp) @ w.astype(np.int64).T, m, c)


def add(c: Cfg, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    acc = c["c"] + a.astype(np.int64) * c["ma"] + b.astype(np.int64) * c["mb"]
    assert np.all(np.abs(acc) < 2**31)
    return np.clip(acc >> c["shift"], c["lo"], c["hi"]).astype(np.int8)


def mul(c: Cfg, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return epilogue((a.astype(np.int64) - c["a_zp"]) * (b.astype(np.int64) - c["b_zp"]), c["m"], c)


def larger(c: Cfg, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where(a >= b, a, b)


def smaller(c: Cfg, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where(a <= b, a, b)


def lut(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    return table[x.astype(np.int64) + 128]


def prelu(c: Cfg, x: np.ndarray, mn: np.ndarray) -> np.ndarray:
    d = x.astype(np.int64) - c["in_zp"]
    return epilogue(d, np.where(d < 0, mn, c["mp"]), c)


def maxpool(c: Cfg, x: np.ndarray) -> np.ndarray:
    y = np.full((c["out_h"], c["out_w"], c["channels"]), -128, dtype=np.int8)
    for _, _, rows, cols, inside in taps(c):
        y = np.where(inside[:, :, None], np.maximum(y, x[rows][:, cols]), y)
    return y


def avgpool(c: Cfg, x: np.ndarray, m: np.ndarray) -> np.ndarray:
    acc = np.zeros((c["out_h"], c["out_w"], c["channels"]), dtype=np.int64)
    count = np.zeros((c["out_h"], c["out_w"], 1), dtype=np.int64)
    for _, _, rows, cols, inside in taps(c):
        acc += (x[rows][:, cols].astype(np.int64) - c["in_zp"]) * inside[:, :, None]
        count += inside[:, :, None]
    if c["even"]:
        return to_even(acc, m[np.maximum(count - 1, 0) * c["m_step"]], count if c["m_step"] else c["even"], c)
    return epilogue(acc, m[np.maximum(count - 1, 0) * c["m_step"]], c)


def reduce_sum(c: Cfg, x: np.ndarray) -> np.ndarray:
    acc = (x.astype(np.int64) - c["in_zp"]).sum(axis=1)
    return to_even(acc, c["m"], c["n"], c) if c["even"] else epilogue(acc, c["m"], c)


def to_even(acc: np.ndarray, m: np.ndarray | int, n: np.ndarray | int, c: Cfg) -> np.ndarray:
    """The mean of n values: rule 1, and of two integers as near as each other the even one."""
    q = (acc * m + (1 << (c["shift"] - 1))) >> c["shift"]
    half = acc % np.maximum(n, 1) * 2 == n
    return np.clip(np.where(half, np.rint(acc / np.maximum(n, 1)), q) + c["out_zp"], -128, 127).astype(np.int8)


def exponentials(c: Cfg, x: np.ndarray, e: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    d = x.max(axis=1, keepdims=True).astype(np.int64) - x
    v = np.where(d < c["len"], e.astype(np.int64)[np.minimum(d, c["len"] - 1)], 0)
    return d, v, v.sum(axis=1, keepdims=True)


def softmax(c: Cfg, x: np.ndarray, e: np.ndarray) -> np.ndarray:
    _, v, total = exponentials(c, x, e)
    return np.minimum(127, (v * 256 + (total >> 1)) // total - 128).astype(np.int8)


def log2_q16(total: np.ndarray) -> np.ndarray:
    table = np.rint(65536 * np.log2(1 + np.arange(65) / 64)).astype(np.int64)
    n = np.floor(np.log2(total.astype(np.float64))).astype(np.int64)
    f = total << (31 - n)
    assert np.all((f >= 2**31) & (f < 2**32))
    i, r = (f >> 25) & 63, (f >> 9) & 0xFFFF
    return (n << 16) + table[i] + (((table[i + 1] - table[i]) * r + 32768) >> 16)


def log_softmax(c: Cfg, x: np.ndarray, e: np.ndarray) -> np.ndarray:
    d, _, total = exponentials(c, x, e)
    v = (-d * c["m1"] - (log2_q16(total) - 1048575) * c["m2"] + (1 << (c["shift"] - 1))) >> c["shift"]
    return np.clip(c["out_zp"] + v, -128, 127).astype(np.int8)


def log_sum_exp(c: Cfg, x: np.ndarray, e: np.ndarray) -> np.ndarray:
    _, _, total = exponentials(c, x, e)
    top = x.max(axis=1, keepdims=True).astype(np.int64) - c["in_zp"]
    v = (top * c["m1"] + (log2_q16(total) - 1048575) * c["m2"] + (1 << (c["shift"] - 1))) >> c["shift"]
    return np.clip(c["out_zp"] + v, -128, 127).astype(np.int8)


def exponentials16(c: Cfg, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """d, 2^16 * exp(-scale * d) and the sums: NUMERICS section 8."""
    table = np.rint(65536 * 2.0 ** (-np.arange(65) / 64)).astype(np.int64)
    d = x.max(axis=1, keepdims=True).astype(np.int64) - x
    t = np.minimum(d, c["len"] - 1) * c["exp_m"] >> c["exp_shift"]
    assert np.all(np.minimum(d, c["len"] - 1) * c["exp_m"] < 2**32)
    n, j, r = t >> 16, (t >> 10) & 63, t & 1023
    v = table[j] - (((table[j] - table[j + 1]) * r + 512) >> 10)
    e = np.where(d < c["len"], (v + ((1 << n) >> 1)) >> n, 0)
    return d, e, e.sum(axis=1, keepdims=True)


def wide_or_not(c: Cfg, v: np.ndarray) -> np.ndarray:
    return np.clip(v, -32768, 32767).astype(np.int16) if c["wide"] else np.clip(v, -128, 127).astype(np.int8)


def softmax16(c: Cfg, x: np.ndarray) -> np.ndarray:
    _, e, total = exponentials16(c, x)
    one, zp = (32768, 0) if c["wide"] else (256, -128)
    return wide_or_not(c, (e * one + (total >> 1)) // total + zp)


def log_softmax16(c: Cfg, x: np.ndarray) -> np.ndarray:
    d, _, total = exponentials16(c, x)
    v = (-d * c["m1"] - (log2_q16(total) - 1048576) * c["m2"] + (1 << (c["shift"] - 1))) >> c["shift"]
    return wide_or_not(c, v + c["out_zp"])


def log_sum_exp16(c: Cfg, x: np.ndarray) -> np.ndarray:
    _, _, total = exponentials16(c, x)
    top = x.max(axis=1, keepdims=True).astype(np.int64)
    v = (top * c["m1"] + (log2_q16(total) - 1048576) * c["m2"] + (1 << (c["shift"] - 1))) >> c["shift"]
    return wide_or_not(c, v + c["out_zp"])


def argmax(c: Cfg, x: np.ndarray) -> np.ndarray:
    index = c["n"] - 1 - x[:, ::-1].argmax(axis=1) if c["last"] else x.argmax(axis=1)
    return (index - 128).astype(np.int8)


def resize_linear(x: np.ndarray, ty: np.ndarray, tx: np.ndarray) -> np.ndarray:
    v = x.astype(np.int64)
    wy, wx = ty[:, 2].astype(np.int64)[:, None, None], tx[:, 2].astype(np.int64)[None, :, None]
    acc = (2048 - wy) * (2048 - wx) * v[ty[:, 0]][:, tx[:, 0]] + (2048 - wy) * wx * v[ty[:, 0]][:, tx[:, 1]]
    acc += wy * (2048 - wx) * v[ty[:, 1]][:, tx[:, 0]] + wy * wx * v[ty[:, 1]][:, tx[:, 1]]
    return np.rint(acc / 2**22).astype(np.int8)
