"""Seeded random layers, small but with every edge: kernels larger than the image, odd sizes, extreme values."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygen.numerics import choose_multipliers
from tinygen.ops.attention import exponentials

Rng = np.random.Generator


def int8(rng: Rng, *shape: int) -> np.ndarray:
    """Mostly uniform; sometimes only extremes."""
    if rng.integers(5) == 0:
        return rng.choice(np.array([-128, 127], dtype=np.int8), shape)
    return rng.integers(-128, 128, shape, dtype=np.int8)


def weights(rng: Rng, *shape: int) -> np.ndarray:
    kind = rng.integers(6)
    if kind == 0:
        return rng.choice(np.array([-int(rng.integers(127, 129)), 127], dtype=np.int8), shape)
    if kind == 1:
        return np.full(shape, rng.choice(np.array([-128, -127, 127])), dtype=np.int8)
    # -128 keeps a layer from some kernels: not in every layer
    return rng.integers(-128 if kind == 2 else -127, 128, shape, dtype=np.int8)


def zero_point(rng: Rng) -> int:
    return int(rng.choice([-128, 127, 0, int(rng.integers(-128, 128))]))


def clamp(rng: Rng) -> dict[str, int]:
    if rng.integers(2):
        return {"lo": -128, "hi": 127}
    lo, hi = sorted(int(v) for v in rng.integers(-128, 128, 2))
    return {"lo": lo, "hi": hi}


def multipliers(rng: Rng, n: int, spread: float) -> tuple[np.ndarray, int]:
    """For accumulators of about `spread`; now and then tiny, large (shift <= 32) or negative ones."""
    top = 64.0 / max(spread, 1.0)
    kind = rng.integers(8)
    if kind == 0:
        top = float(rng.choice([0.2, 0.3, 0.7, 3.0, 100.0]))
    elif kind == 1:
        top = 2.0 ** -float(rng.integers(20, 40))
    values = top * rng.uniform(0.01, 1.0, n)
    m, shift = choose_multipliers(values)
    return m, shift


def out_size(size: int, k: int, stride: int, dil: int, pad: int) -> int:
    return (size + pad - (k - 1) * dil - 1) // stride + 1


def window(rng: Rng, small: bool = False) -> dict[str, int]:
    """Image, kernel, stride, dilation and padding that fit together."""
    top = 7 if small else 12
    while True:
        v: dict[str, int] = {}
        ends = {}
        for axis, edge in (("h", "top"), ("w", "left")):
            v[f"in_{axis}"] = int(rng.integers(1, top))
            v[f"k_{axis}"] = int(rng.choice([1, 2, 3, 3, 4, 5, 10]))
            v[f"stride_{axis}"] = int(rng.choice([1, 1, 2, 3, 5]))
            v[f"dil_{axis}"] = int(rng.choice([1, 1, 1, 2, 3]))
            extent = (v[f"k_{axis}"] - 1) * v[f"dil_{axis}"]
            v[f"pad_{edge}"] = int(rng.integers(0, extent + 1))
            ends[axis] = int(rng.integers(0, extent + 1))
            v[f"out_{axis}"] = out_size(
                v[f"in_{axis}"], v[f"k_{axis}"], v[f"stride_{axis}"], v[f"dil_{axis}"], v[f"pad_{edge}"] + ends[axis]
            )
        if v["out_h"] > 0 and v["out_w"] > 0 and v["out_h"] * v["out_w"] <= 150:
            return v


def bias(rng: Rng, n: int) -> np.ndarray:
    top = int(rng.choice([1, 1000, 100_000]))
    return rng.integers(-top, top + 1, n).astype(np.int32)


def layer(rng: Rng, k_len: int, out_c: int) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Quantisation of a layer with weights: (fields, bias, multipliers)."""
    m, shift = multipliers(rng, out_c, 3000.0 * np.sqrt(k_len))
    fields: dict[str, Any] = {"in_zp": zero_point(rng), "out_zp": zero_point(rng), "shift": shift, **clamp(rng)}
    return fields, bias(rng, out_c), m


def conv_case(rng: Rng, groups: int | None = None) -> tuple[dict[str, Any], list[np.ndarray]]:
    """(fields, [x, w, b, m]) of a convolution; b not folded."""
    c: dict[str, Any] = window(rng)
    g = int(rng.choice([1, 1, 1, 2, 3])) if groups is None else groups
    c |= {"in_c": g * int(rng.integers(1, 10)), "out_c": g * int(rng.integers(1, 10)), "groups": g}
    k_len = c["k_h"] * c["k_w"] * c["in_c"] // g
    q, b, m = layer(rng, k_len, c["out_c"])
    x = int8(rng, c["in_h"], c["in_w"], c["in_c"])
    return c | q, [x, weights(rng, c["out_c"], c["k_h"], c["k_w"], c["in_c"] // g), b, m]


def pointwise_case(rng: Rng) -> tuple[dict[str, Any], list[np.ndarray]]:
    """A 1x1 convolution of stride 1, any number of pixels and channels."""
    c: dict[str, Any] = {f"{k}_{a}": 1 for k in ("k", "stride", "dil") for a in "hw"} | {"pad_top": 0, "pad_left": 0}
    c |= {"in_h": int(rng.integers(1, 6)), "in_w": int(rng.integers(1, 6)), "groups": 1}
    c |= {"out_h": c["in_h"], "out_w": c["in_w"], "in_c": int(rng.integers(1, 70)), "out_c": int(rng.integers(1, 40))}
    q, b, m = layer(rng, c["in_c"], c["out_c"])
    x = int8(rng, c["in_h"], c["in_w"], c["in_c"])
    return c | q, [x, weights(rng, c["out_c"], 1, 1, c["in_c"]), b, m]


def dwconv_case(rng: Rng, multiplier: int | None = None) -> tuple[dict[str, Any], list[np.ndarray]]:
    c: dict[str, Any] = window(rng)
    mult = int(rng.choice([1, 1, 2, 3, 5])) if multiplier is None else multiplier
    c["in_c"] = int(rng.integers(1, 14))
    c["out_c"] = c["in_c"] * mult
    q, b, m = layer(rng, c["k_h"] * c["k_w"], c["out_c"])
    x = int8(rng, c["in_h"], c["in_w"], c["in_c"])
    return c | q, [x, weights(rng, c["k_h"], c["k_w"], c["out_c"]), b, m]


def conv_transpose_case(rng: Rng) -> tuple[dict[str, Any], list[np.ndarray]]:
    while True:
        c: dict[str, Any] = window(rng, small=True)
        for axis, edge in (("h", "top"), ("w", "left")):
            full = (c[f"in_{axis}"] - 1) * c[f"stride_{axis}"] + (c[f"k_{axis}"] - 1) * c[f"dil_{axis}"] + 1
            # output_padding makes the output longer than the full extent; end pads make it shorter
            c[f"out_{axis}"] = full - c[f"pad_{edge}"] + int(rng.integers(-2, 3))
        if 1 <= c["out_h"] <= 20 and 1 <= c["out_w"] <= 20:
            break
    g = int(rng.choice([1, 1, 2]))
    c |= {"in_c": g * int(rng.integers(1, 6)), "out_c": g * int(rng.integers(1, 6)), "groups": g}
    q, b, m = layer(rng, c["k_h"] * c["k_w"] * c["in_c"] // g, c["out_c"])
    x = int8(rng, c["in_h"], c["in_w"], c["in_c"])
    return c | q, [x, weights(rng, c["out_c"], c["k_h"], c["k_w"], c["in_c"] // g), b, m]


def dense_case(rng: Rng) -> tuple[dict[str, Any], int, list[np.ndarray]]:
    c: dict[str, Any] = {"rows": int(rng.integers(1, 5)), "n_in": int(rng.integers(1, 80))}
    c["n_out"] = int(rng.integers(1, 20))
    q, b, m = layer(rng, c["n_in"], c["n_out"])
    in_zp = q.pop("in_zp")
    return c | q, in_zp, [int8(rng, c["rows"], c["n_in"]), weights(rng, c["n_out"], c["n_in"]), b, m]


def attention_case(rng: Rng, bits: int, sizes: dict[str, int]) -> tuple[dict[str, Any], list[Any]]:
    """Config, and q, k, v, exponentials, bias of the scores as the kernel reads it."""
    batch, queries, keys, heads, each, d, dv = sizes.values()
    dtype, top = np.int8 if bits == 8 else np.int16, 1 << (bits - 1)
    x = [
        rng.integers(-top, top, (batch, n, h, w)).astype(dtype)
        for n, h, w in ((queries, heads, d), (keys, heads // each, d), (keys, heads // each, dv))
    ]
    if rng.integers(5) == 0:
        x = [rng.choice(np.array([-top, top - 1], dtype), a.shape) for a in x]
    c: dict[str, Any] = {**sizes, "causal": int(rng.integers(2)), "coarse": int(rng.integers(3))}
    m, shift = choose_multipliers([float(rng.choice([0.5, 4000.0, 1e6])) / top**2 / d * (d if bits == 16 else 1)], 1)
    scale = float(rng.uniform(0.2, 2.0)) * (128 if bits == 16 else 1)
    out_shift = 45 - int(np.ceil(np.log2(scale)))
    numerator = round(scale * 2.0**out_shift)
    c |= {"m": int(m[0]) * int(rng.choice([-1, 1])), "shift": shift, "out_shift": out_shift}
    c |= {"numerator_high": numerator >> 32, "numerator_low": numerator % 2**32}
    if bits == 8:
        c |= {name: zero_point(rng) for name in ("q_zp", "k_zp", "v_zp", "out_zp")}
    else:
        c |= {"down": max(d - 1, 0).bit_length(), "wide": int(rng.integers(2))}
        c["out_zp"] = 0 if c["wide"] else zero_point(rng)
    shape = tuple(int(v) for v in np.where(rng.integers(0, 2, 3) == 1, (heads, queries, keys), 1))
    bias = rng.integers(-2000, 2000, shape).astype(np.int16)
    if shape[2] > 1:
        bias[..., 1:] = np.where(rng.integers(0, 3, bias[..., 1:].shape) == 0, -32768, bias[..., 1:])
    steps = [0 if n == 1 else s // 2 for n, s in zip(shape, bias.strides, strict=True)]
    c |= dict(zip(("bias_head", "bias_row", "bias_key"), steps, strict=True))
    return c, [*x, exponentials(keys), bias]
