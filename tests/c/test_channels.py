"""Depthwise layers with several outputs of an input channel, few channels or large multipliers, one channel after the
other; convolutions whose shift is short, and 3 x 3 ones whose channels are filled up: against NUMERICS in numpy,
portable under sanitizers and in assembly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.c import cases, oracle, tiles
from tests.c.test_dwplane import planes_of
from tinygen.kernels.plane.pack import Geometry
from tinygen.kernels.plane.variants import each3x3, plane_layouts
from tinygen.kernels.row.variants import each_rows, whole_rows
from tinygen.kernels.variant import ints
from tinygen.numerics import fold_bias
from tinygen.ops.base import Call, ConstArg
from tinygen.plan.select import candidates

Require = Callable[[str], None]
CHANNELS = ("tg_dwchannel_s8_dsp", "tg_rowchannel_s8_dsp")


def quantised(rng: np.random.Generator, taps: int, out_c: int, shifts: range) -> tuple[dict[str, int], np.ndarray]:
    """Fields and multipliers of a layer with one of `shifts`, whose outputs rarely all saturate."""
    shift = int(rng.choice(shifts))
    m = 768 * rng.integers(2**31 // 768 // 16, 2**31 // 768, out_c)
    q = {"in_zp": cases.zero_point(rng), "out_zp": cases.zero_point(rng), **cases.clamp(rng), "shift": shift}
    return q, m.astype(np.int32) * rng.choice([-1, 1, 1, 1], out_c).astype(np.int32)


def depthwise(seed: int) -> tiles.Layer:
    """Random; every third reads planes, every other has a shift below 33 and weights that leave its outputs room."""
    rng = np.random.default_rng(seed)
    k = ((3, 3), (3, 3), (3, 1), (1, 5), (5, 5), (2, 3))[seed % 6]
    stride = int(rng.choice([1, 2])) if min(k) > 1 else 1
    f = tiles.window(rng, k_h=k[0], k_w=k[1], dil_h=1, dil_w=1, stride_h=stride, stride_w=stride)
    f.pop("groups")
    in_c, each = int(rng.choice([1, 2, 3, 4, 7])), int(rng.choice([1, 2, 3, 4, 5, 8]))
    f |= {"in_c": in_c, "out_c": in_c * each}
    short = bool(rng.integers(2))
    q, m = quantised(rng, k[0] * k[1], f["out_c"], range(29, 33) if short else range(33, 42))
    w = rng.integers(-127, 128, (*k, f["out_c"])).astype(np.int8) // np.int8(rng.choice([1, 2, 3]) if short else 1)
    b = rng.integers(-200, 200, f["out_c"])
    x = cases.int8(rng, f["in_h"], f["in_w"], in_c)
    folded = fold_bias(np.moveaxis(w, 2, 0), b, q["in_zp"]).astype(np.int32)
    layouts = plane_layouts(f)
    laid = layouts[int(rng.integers(2))] if seed % 3 == 0 else None
    consts = (ConstArg("w", w), ConstArg("b", folded), ConstArg("m", m))
    call = Call("tg_dwconv_s8", tuple({**f, **q}.items()), ("x",), consts, "y", x_planes=laid)
    want = oracle.dwconv({**f, **q}, x, w, b, m)
    if laid is not None:
        shape, image = (Geometry.of(f).transposed(), x.swapaxes(0, 1)) if laid.swap else (Geometry.of(f), x)
        x = planes_of(shape, image, q["in_zp"], laid)
    return tiles.Layer(f"depthwise_{seed}", call, x, want)


def short_shift(seed: int) -> tiles.Layer:
    """A convolution with large multipliers and small weights, an odd number of channels every other time."""
    rng = np.random.default_rng(seed)
    f = tiles.window(rng, dil_w=1, k_w=int(rng.choice([1, 2, 3])))
    f |= {"in_c": int(rng.integers(1, 9)), "out_c": int(rng.integers(1, 14)), "groups": 1}
    shape = (f["out_c"], f["k_h"], f["k_w"], f["in_c"])
    q, m = quantised(rng, int(np.prod(shape[1:])), f["out_c"], range(25, 33))
    w, b = rng.integers(-128, 128, shape).astype(np.int8), rng.integers(-200, 200, f["out_c"])
    w = np.maximum(w // int(rng.choice([1, 8, 64])), -127).astype(np.int8)
    x = cases.int8(rng, f["in_h"], f["in_w"], f["in_c"])
    consts = (ConstArg("w", w), ConstArg("b", fold_bias(w, b, q["in_zp"]).astype(np.int32)), ConstArg("m", m))
    call = Call("tg_conv_s8", tuple({**f, **q}.items()), ("x",), consts, "y")
    return tiles.Layer(f"short_{seed}", call, x, oracle.conv({**f, **q}, x, w, b, m))


def filled(seed: int) -> tiles.Layer:
    """A 3 x 3 convolution with numbers of channels that the Winograd kernel does not take by itself."""
    rng = np.random.default_rng(seed)
    while True:
        f = tiles.window(rng, k_h=3, k_w=3, dil_h=1, dil_w=1, stride_h=1, stride_w=1)
        if min(f["out_h"], f["out_w"]) >= 4:
            break
    in_c, out_c = int(rng.choice([4, 5, 7, 8, 13, 18])), int(rng.choice([1, 2, 3, 5, 8, 9]))
    f |= {"in_c": in_c, "out_c": out_c + (in_c % 8 == 0 and out_c % 2 == 0)}
    q, m = quantised(rng, 9 * in_c, f["out_c"], range(36, 42))
    w, b = cases.weights(rng, f["out_c"], 3, 3, in_c), rng.integers(-2000, 2000, f["out_c"])
    x = cases.int8(rng, f["in_h"], f["in_w"], in_c)
    consts = (ConstArg("w", w), ConstArg("b", fold_bias(w, b, q["in_zp"]).astype(np.int32)), ConstArg("m", m))
    call = Call("tg_conv_s8", tuple({**f, **q}.items()), ("x",), consts, "y")
    made = tiles.Layer(f"filled_{seed}", call, x, oracle.conv({**f, **q}, x, w, b, m))
    made.ways[:] = [way for way in made.ways if way.kernel == "tg_conv3x3_filled_dsp"]  # others have tests of their own
    return made


def layers(first: int) -> list[tiles.Case]:
    made = [depthwise(seed) for seed in range(first, first + 90)]
    made += [short_shift(seed) for seed in range(first, first + 60)]
    return tiles.all_cases([*made, *(filled(seed) for seed in range(first, first + 30))])


def test_what_the_layers_are() -> None:
    """Both lists have every kind, again and again."""
    for first in (0, 1000):
        counts: Counter[str] = Counter()
        for case in layers(first):
            f, geometry = dict(case.call.config), dict(case.call.geometry)
            short = int(str(geometry["shift"])) < 33
            if case.call.kernel == CHANNELS[0]:
                counts["copied" if f["x_col"] else "planes"] += 1
                counts["short planes"] += short
                counts["of a shape"] += bool(case.call.generated)
            elif case.call.kernel == CHANNELS[1]:
                counts["short rows of a channel" if short else "rows of a channel"] += 1
            elif case.call.kernel == "tg_conv3x3_filled_dsp":
                counts["filled up"] += 1
            elif case.call.kernel == "tg_rows_s8_dsp":
                counts["short rows"] += short
                counts["odd"] += int(str(f["out_c"])) % 2
                counts["behind the loop"] += case.call.generated[0].view.row.behind > 0  # type: ignore[attr-defined]
        assert min(counts.values()) >= 2, counts
        assert len(counts) == 10, counts


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_host(compiler: str, require_tool: Require, tmp_path: Path) -> None:
    require_tool(compiler)
    tiles.on_host(layers(0 if compiler == "gcc" else 1000), compiler, tmp_path)


@pytest.mark.parametrize("core", ["m4", "m7"])
def test_emulated(core: str, require_tool: Require, tmp_path: Path) -> None:
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    tiles.on_target(layers(0 if core == "m4" else 1000), core, "-O2" if core == "m4" else "-Os", tmp_path)


def dwconv(**given: int) -> Call:
    """3 x 3 of 8 x 8 x 4 to 8 channels; `given` replaces fields."""
    f = {
        "in_h": 8, "in_w": 8, "in_c": 4, "out_h": 6, "out_w": 6, "out_c": 8, "k_h": 3, "k_w": 3, "stride_h": 1,
        "stride_w": 1, "dil_h": 1, "dil_w": 1, "pad_top": 0, "pad_left": 0, "in_zp": 0, "out_zp": 0, "lo": -128,
        "hi": 127, "shift": 40,
    } | given  # fmt: skip
    w = np.full((f["k_h"], f["k_w"], f["out_c"]), 100, np.int8)
    b, m = np.zeros(f["out_c"], np.int32), np.full(f["out_c"], 768 << 10, np.int32)
    return Call("tg_dwconv_s8", tuple(f.items()), ("x",), (ConstArg("w", w), ConstArg("b", b), ConstArg("m", m)), "y")


def test_what_is_refused_says_why() -> None:
    for variant, given, reason in (
        (each3x3, {"k_h": 5, "k_w": 5}, "a 5 x 5 kernel, dilation 1 x 1"),
        (each3x3, {"shift": 24}, "shift 24 is below 33, by more than there is room for in the weights"),
        (each_rows, {"lo": 0}, "a narrow clamp"),
        (each_rows, {"in_c": 8}, "its channels need not be copied"),
        (each_rows, {"dil_w": 2}, "groups or a dilation"),
        (each_rows, {"shift": 24}, "shift 24 is outside 33..54"),
    ):
        assert variant(dwconv(**given)) == reason, given


@pytest.mark.parametrize("each", [2, 3, 8])
def test_no_multiplier_is_left_to_the_reference(each: int) -> None:
    """Whatever the kernel, where it has no dilation and the outputs of a channel are some pixels wide."""
    for k, stride in (((3, 3), 1), ((3, 3), 2), ((5, 5), 1), ((5, 1), 1), ((1, 3), 2), ((3, 3), 3)):
        f = {"k_h": k[0], "k_w": k[1], "in_h": 20, "in_w": 20, "stride_h": stride, "stride_w": stride}
        f |= {"out_h": (20 - k[0]) // stride + 1, "out_w": (20 - k[1]) // stride + 1, "out_c": 4 * each}
        assert any(c.kernel in CHANNELS for c in candidates(dwconv(**f), ("dsp", "ref"))), (k, stride)


def test_short_shifts_are_lifted() -> None:
    """Odd channels in the constants, even ones in the kernel."""
    f = {"groups": 1, "in_c": 4, "out_c": 3, "shift": 30}
    w = np.full((3, 3, 3, 4), 1, np.int8)
    b, m = np.zeros(3, np.int32), np.full(3, 256 * 3, np.int32)
    consts = (ConstArg("w", w), ConstArg("b", b), ConstArg("m", m))
    made = whole_rows(Call("tg_conv_s8", tuple((ints(dwconv()) | f).items()), ("x",), consts, "y"))
    assert isinstance(made, Call)
    stream = made.consts[0].array.reshape(2, -1)
    assert stream[:, -2:].tolist() == [[768, 3 << 3], [768, 3 << 3]]
    assert made.generated[0].view.row.lift == 3  # type: ignore[attr-defined]
    assert ints(made)["shift"] == 33
