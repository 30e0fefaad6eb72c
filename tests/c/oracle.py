"""Every kernel's meaning, written from docs/NUMERICS.md in plain numpy. Independent of tinygen/ops and of the C."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygen.numerics import requant
from tinygen.ops.gates import GateTable

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


def div(c: Cfg, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    p, q = np.broadcast_arrays(a.astype(np.int64) - c["a_zp"], b.astype(np.int64) - c["b_zp"])
    y = np.zeros(p.shape, np.int64)
    for i in np.ndindex(*p.shape):
        n, d = int(p[i]), int(q[i])
        if d == 0:
            y[i] = 255 * ((n > 0) - (n < 0))
        else:
            size = (abs(n) * c["m"] // abs(d) + 2 ** (c["shift"] - 1)) >> c["shift"]
            y[i] = size if (n < 0) == (d < 0) else -size
    return np.clip(y + c["out_zp"], -128, 127).astype(np.int8)


def rsqrt(w: int) -> int:
    """2^46 / sqrt(w) by the rule of section 10."""
    r = min(65535, round(2**31 / math.sqrt(2**25 * ((w >> 25) + 0.5))))
    r = ((r << 16) * (3 * 2**30 - (w * r * r >> 32))) >> 32
    return min((r * (3 * 2**28 - (w * (r * r >> 32) >> 32))) >> 29, 2**31 - 1)


def norm(c: Cfg, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x: [outer][reps][groups][width]; w: [groups][width][2] or [1][1][2]. Any number of bits: the output is int64."""
    y = np.zeros(x.shape, np.int64)
    for o, g in np.ndindex(c["outer"], c["groups"]):
        values = [[int(v) - c.get("in_zp", 0) for v in row] for row in x[o, :, g]]
        n = c["reps"] * c["width"]
        total = sum(map(sum, values)) if c["centre"] else 0
        add = c["add_high"] << 32 | c["add_low"]
        v = n * sum(d * d for row in values for d in row) - total * total
        v = max(v, add) if c["floor"] else v + add
        p = (64 - v.bit_length()) & ~1
        root = rsqrt((v << p) >> 32)
        for r, row in enumerate(values):
            for i, d in enumerate(row):
                a = n * d - total
                up = p // 2 - c["down"]
                a = a << up if up >= 0 else a >> -up
                assert -(2**31) <= a < 2**31
                start, factor = (int(k) for k in (w[g, i] if c["w_step"] else w[0, 0]))
                y[o, r, g, i] = min(max((start + ((a * root >> 32) * factor >> 32)) >> c["shift"], c["lo"]), c["hi"])
    return y


def matmul(c: Cfg, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a: (slices, slices, rows, inner), b: (slices, slices, inner, columns). The output is int64."""
    acc = np.matmul(a.astype(np.int64) - c.get("a_zp", 0), b.astype(np.int64) - c.get("b_zp", 0)) >> c.get("down", 0)
    return np.clip(requant(acc, c["m"], c["shift"]) + c.get("out_zp", 0), c["lo"], c["hi"])


def attention(
    c: Cfg, q: np.ndarray, k: np.ndarray, v: np.ndarray, exp: np.ndarray, bias: np.ndarray, low: int, high: int
) -> np.ndarray:
    """q: (batch, queries, heads, d), k and v: (batch, keys, heads / each, ...), bias: (heads, queries, keys)."""
    y = np.zeros((*q.shape[:3], v.shape[3]), np.int64)
    wide = "down" in c
    for b, i, h in np.ndindex(*q.shape[:3]):
        keys = [j for j in range(c["keys"]) if not c["causal"] or j <= i]
        scores = []
        for j in keys:
            pairs = zip(q[b, i, h].tolist(), k[b, j, h // c["each"]].tolist(), strict=True)
            acc = sum((x - c.get("q_zp", 0)) * (z - c.get("k_zp", 0)) for x, z in pairs) >> c.get("down", 0)
            s = min(max((acc * c["m"] + 2 ** (c["shift"] - 1)) >> c["shift"], -32768), 32767)
            s = min(max(s + int(bias[h, i, j]), -24576), 32767)
            scores.append(-32768 if bias[h, i, j] == -32768 else s)
        below = [min((max(scores) - s) << c["coarse"], 8191) for s in scores]
        e = [int(exp[d % 512]) >> (d // 512) for d in below]
        m = (c["numerator_high"] << 32 | c["numerator_low"]) // sum(e)
        for o in range(v.shape[3]):
            values = [int(v[b, j, h // c["each"], o]) - c.get("v_zp", 0) for j in keys]
            acc = sum(x * z for x, z in zip(e, values, strict=True)) >> (7 if wide else 0)
            assert -(2**31) <= acc < 2**31
            out = ((acc * m + 2 ** (c["out_shift"] - 1)) >> c["out_shift"]) + c["out_zp"]
            y[b, i, h, o] = min(max(out, low), high)
    return y


def larger(c: Cfg, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where(a >= b, a, b)


def compare(c: Cfg, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where((a == b) if c["equal"] else (a < b), c["yes"], c["no"]).astype(np.int8)


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


def reduce_l2(c: Cfg, x: np.ndarray) -> np.ndarray:
    """NUMERICS section 10, a value at a time in Python's integers."""
    squares = ((x.astype(np.int64) - c.get("in_zp", 0)) ** 2).sum(axis=1)
    low, high = (-32768, 32767) if c.get("wide") else (-128, 127)

    def one(v: int) -> int:
        if v == 0:
            return int(c["out_zp"])
        p = (64 - v.bit_length()) // 2 * 2
        w = v << p >> 32
        g = round(2**31 / (2.0**25 * ((w >> 25) + 0.5)) ** 0.5)
        r = (g << 16) * (3 * 2**30 - (w * g * g >> 32)) >> 32
        r = min(r * (3 * 2**28 - (w * (r * r >> 32) >> 32)) >> 29, 2**31 - 1)
        down = p // 2 + c["shift"] - 1
        return int(c["out_zp"]) + ((w * r >> 31) * int(c["m"]) + (1 << (down - 1)) >> down)

    found = np.array([one(int(v)) for v in squares.ravel()]).reshape(squares.shape)
    return np.clip(found, low, high).astype(np.int16 if c.get("wide") else np.int8)


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


def insert(c: Cfg, cache: np.ndarray, update: np.ndarray, at: np.ndarray) -> np.ndarray:
    """cache: (batch, each, length, width)."""
    y = cache.copy()
    for b, x in enumerate(at.tolist()):
        first = min(max(((x - c["zero"]) * c["unit"] + 2**15) >> 16, 0), c["last"])
        for t in range(c["count"]):
            y[b, :, (first + t) % c["length"]] = update[b, :, t]
    return y


def resize_linear(x: np.ndarray, ty: np.ndarray, tx: np.ndarray) -> np.ndarray:
    v = x.astype(np.int64)
    wy, wx = ty[:, 2].astype(np.int64)[:, None, None], tx[:, 2].astype(np.int64)[None, :, None]
    acc = (2048 - wy) * (2048 - wx) * v[ty[:, 0]][:, tx[:, 0]] + (2048 - wy) * wx * v[ty[:, 0]][:, tx[:, 1]]
    acc += wy * (2048 - wx) * v[ty[:, 1]][:, tx[:, 0]] + wy * wx * v[ty[:, 1]][:, tx[:, 1]]
    return np.rint(acc / 2**22).astype(np.int8)


def sat16(v: int) -> int:
    return max(-32768, min(32767, v))


def half_up(v: int, shift: int) -> int:
    return (v + (1 << shift >> 1)) >> shift


def look_up(table: GateTable, v: int) -> int:
    entry = int(table.entries[(v >> 8) + 128])
    slope = (entry + 2**15) % 2**16 - 2**15
    return entry + slope * ((v & 255) << table.shift) >> 16


class Direction:
    """One direction of a recurrent layer in Python's integers, unit by unit. NUMERICS section 9.

    x (steps, n_in), w and r (gates, units, columns), b, mx, mh (gates, units); b is not folded.
    """

    def __init__(self, c: Cfg, in_zp: int, x: np.ndarray, w: np.ndarray, r: np.ndarray, b: np.ndarray, *m: np.ndarray):
        self.c, self.in_zp, self.x, self.w, self.r, self.b = c, in_zp, x, w, r, b
        self.mx, self.mh = m
        order = range(c["steps"])
        self.times = reversed(order) if c["reverse"] else order

    def from_x(self, gate: int, u: int, time: int) -> int:
        row = zip(self.w[gate, u].tolist(), self.x[time].tolist(), strict=True)
        acc = int(self.b[gate, u]) + sum(w * (x - self.in_zp) for w, x in row)
        return sat16(half_up(acc * int(self.mx[gate, u]), self.c["x_shift"]))

    def from_h(self, gate: int, u: int, h: list[int], bias: int = 0) -> int:
        acc = bias + sum(w * v for w, v in zip(self.r[gate, u].tolist(), h, strict=True))
        return half_up(acc * int(self.mh[gate, u]), self.c["h_shift"])

    def gate(self, table: GateTable, p: int, up: int) -> int:
        p = max(self.c["sum_lo"], min(self.c["sum_hi"], p))
        return look_up(table, sat16(p << up))

    def narrow(self, v: int) -> int:
        return max(self.c["out_lo"], min(self.c["out_hi"], half_up(v * self.c["out_m"], self.c["out_shift"])))

    def lstm(self, f: Any, g: Any, t: Any, peep: Any, h: list[int], cell: list[int]) -> dict[int, list[int]]:
        c, found = self.c, {}
        for time in self.times:
            new = []
            for u in range(c["n_hidden"]):
                p = [sat16(self.from_x(k, u, time) + self.from_h(k, u, h)) for k in range(4)]

                def seen(k: int, v: int, p: list[int] = p, u: int = u) -> int:
                    shift = c["peep_shift"]
                    return sat16(p[k] + half_up(v * int(peep[k, u]), shift)) if shift else p[k]

                i = self.gate(f, seen(0, cell[u]), c["f_up"])
                keep = min(32768 - i, 32767) if c["coupled"] else self.gate(f, seen(2, cell[u]), c["f_up"])
                new_in = half_up(i * self.gate(g, p[3], c["g_up"]), c["ig_down"])
                value = ((cell[u] * keep >> 16) << c["c_up"]) + new_in
                cell[u] = max(-(2**23), min(2**23 - 1, value))
                product = self.gate(f, seen(1, cell[u]), c["f_up"]) * look_up(t, sat16(half_up(cell[u], c["t_down"])))
                new.append(max(c["out_lo"], min(c["out_hi"], half_up(product * c["out_m"] >> 16, c["out_shift"]))))
            h[:] = new
            found[time] = new
        return found

    def gru(self, f: Any, g: Any, bh: np.ndarray, state: list[int]) -> dict[int, list[int]]:
        c, found = self.c, {}
        units = range(c["n_hidden"])
        for time in self.times:
            h = [self.narrow(v) for v in state]

            def at(k: int, u: int, time: int = time, h: list[int] = h) -> int:
                return self.gate(f, sat16(self.from_x(k, u, time) + self.from_h(k, u, h)), c["f_up"])

            resets = [at(1, u) for u in units]
            kept = [self.narrow(sat16(half_up(r * s, c["r_down"]))) for r, s in zip(resets, state, strict=True)]
            new = []
            for u in units:
                if c["before"]:
                    inside = half_up(resets[u] * sat16(self.from_h(2, u, h, int(bh[u]))), c["r_down"])
                else:
                    inside = self.from_h(2, u, kept)
                n = self.gate(g, sat16(self.from_x(2, u, time) + inside), c["g_up"])
                new.append(sat16(n + half_up(at(0, u) * (state[u] - n), c["z_down"])))
            state[:] = new
            found[time] = [self.narrow(v) for v in state]
        return found

    def rnn(self, f: Any, h: list[int]) -> dict[int, list[int]]:
        c, found = self.c, {}
        for time in self.times:
            sums = [sat16(self.from_x(0, u, time) + self.from_h(0, u, h)) for u in range(c["n_hidden"])]
            h[:] = found[time] = [self.narrow(self.gate(f, p, c["f_up"])) for p in sums]
        return found
