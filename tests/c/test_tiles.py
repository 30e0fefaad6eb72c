"""Tile, slide and row kernels of the DSP set against NUMERICS in numpy: portable under sanitizers, and in assembly."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.c import tiles
from tests.c.harness import INCLUDES, WARNINGS
from tests.c.test_dwplane import CORES, newlib
from tinygen.kernels.row.kernel import RowKernel
from tinygen.kernels.row.variants import whole_rows
from tinygen.kernels.slide.variants import slide_of, whole_slides
from tinygen.kernels.tile import variants
from tinygen.kernels.tile.kernel import GroupKernel, TileKernel
from tinygen.kernels.tile.pack import ODD_LIMIT, pack_tiles, tiles_supported
from tinygen.kernels.variant import ints
from tinygen.ops.base import Call, ConstArg

Require = Callable[[str], None]


def _walks(view: object) -> bool:
    """The stack pointer moves through the window, or through the weights."""
    if isinstance(view, GroupKernel):
        return view.group.turns > 1
    return view.tile.looped if isinstance(view, TileKernel) else isinstance(view, RowKernel) and view.row.looped


def random_cases(first: int, end: int) -> list[tiles.Case]:
    return tiles.all_cases(tiles.layer(seed) for seed in range(first, end))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_host(compiler: str, require_tool: Require, tmp_path: Path) -> None:
    require_tool(compiler)
    first = 0 if compiler == "gcc" else 120
    tiles.on_host([*random_cases(first, first + 120), *tiles.all_cases(tiles.extremes())], compiler, tmp_path)


@pytest.mark.parametrize("core", ["m4", "m7"])
def test_emulated(core: str, require_tool: Require, tmp_path: Path) -> None:
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    first, level = (1000, "-O2") if core == "m4" else (1120, "-Os")
    tiles.on_target([*random_cases(first, first + 120), *tiles.all_cases(tiles.extremes())], core, level, tmp_path)


def test_interrupts(require_tool: Require, tmp_path: Path) -> None:
    """Kernels whose stack pointer walks through the window: at every instruction all live data is above it."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    walks = [c for c in random_cases(0, 100) if any(_walks(g.view) for g in c.call.generated)]
    families = {f"tg_{name}_s8_dsp" for name in ("tiles", "slides", "rows", "groups")}
    assert {c.call.kernel for c in walks} == families
    tiles.on_target(walks, "m4", "-O2", tmp_path)


def kind(call: Call) -> list[str]:
    """What is special about a call, in the terms of the drivers."""
    f = ints(call)
    g = call.generated[-1] if call.generated else None
    found = {
        "group": call.kernel == "tg_groups_s8_dsp",
        "group, looped": isinstance(getattr(g, "view", None), GroupKernel) and _walks(g.view),  # type: ignore[union-attr]
        "library tile": call.kernel == "tg_tiles_s8_dsp" and g is None,
        "image copied": call.kernel == "tg_tiles_s8_dsp" and f["image_h"] > 0 and f["rows"] == 0,
        "columns": f.get("rows", 0) > 0,
        "3 pixels": f.get("pixels", 4) == 3,
        "looped": isinstance(getattr(g, "view", None), TileKernel) and g.view.tile.looped,  # type: ignore[union-attr]
        "flat row": f.get("flat", 0) == 1,
        "square": f.get("high", 1) == 2,
        "row, image copied": call.kernel == "tg_rows_s8_dsp" and f["image_h"] > 0,
        "row, border": call.kernel == "tg_rows_s8_dsp" and f["image_h"] == 0 and f["pad_left"] > 0,
        "slide, border": call.kernel == "tg_slides_s8_dsp" and f["pad_left"] > 0 and f["pad_top"] > 0,
        "slide with room": call.kernel == "tg_slides_s8_dsp" and f["row_bytes"] > 2 * f["cols"] * f["in_c"],
        "slide, channels overlap": call.kernel == "tg_slides_s8_dsp" and f["in_c"] % 4 > 0,
        "planes": call.y_planes is not None,
        "planes, swapped": call.y_planes is not None and call.y_planes.swap,
        "groups": f.get("groups", 1) > 1,
        "dilated": f.get("dil_w", 1) > 1,
        "one channel": f["out_c"] == 1,
        "odd channels": f["out_c"] % 2 == 1,
        "narrow clamp": variants.narrow(f),
        "fewer pixels than a tile": f["out_h"] * f["out_w"] < 4,
    }
    return [name for name, is_so in found.items() if is_so]


def test_what_the_layers_are() -> None:
    """The layers of test_host and of test_emulated have every kind, again and again."""
    for first in (0, 120, 1000, 1120):
        counts = Counter(k for case in random_cases(first, first + 120) for k in kind(case.call))
        assert len(counts) == 22, sorted(counts)
        assert min(counts.values()) >= 2, counts


def test_names_tell_kernels_apart() -> None:
    """Kernels of one name are equal, whatever layers they were made for: two models may share them."""
    calls = [case.call for case in random_cases(0, 400)]
    assert len(tiles.generated(calls)) > 300


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_assembles(compiler: str, require_tool: Require, tmp_path: Path) -> None:
    require_tool({"gcc": "arm-none-eabi-gcc"}.get(compiler, compiler))
    main = tiles.program(random_cases(0, 21), tmp_path)[0]
    command = ["arm-none-eabi-gcc"] if compiler == "gcc" else ["clang", "--target=arm-none-eabi", "-isystem", newlib()]
    flags = ["-std=c99", "-O2", "-mthumb", *CORES["m4"][1], *WARNINGS, *INCLUDES, f"-I{tmp_path}"]
    subprocess.run([*command, *flags, "-c", main, "-o", str(tmp_path / "a.o")], check=True)


def test_stream() -> None:
    """By hand: three channels of three taps, the last two of them twice; no fourth tap."""
    w = np.array([[1, -2, 3], [4, 5, -6], [-127, 127, -127]], np.int8)
    b, m = np.array([10, -20, 30]), np.array([768, 1536, -2304])
    stream = pack_tiles(w, b, m, np.array([(0, 2), (1, -1)])).reshape(2, 6)
    raw = [256 * w[1].astype(int) + w[0], 256 * w[2].astype(int) + w[1]]
    for got, r, even, odd in zip(stream, raw, (0, 1), (1, 2), strict=True):
        assert got[0] == b[even]
        assert got[1] == 256 * b[odd] + b[even]
        assert got[2:4].view(np.int16).tolist() == [r[0], r[2], r[1], 0]
        assert got[4:].tolist() == [m[even], m[odd] // 256]


def test_limits_of_raw_pairs() -> None:
    w = np.ones((3, 2), np.int8)
    b = np.zeros(3, np.int64)
    assert tiles_supported(w, b, 33) is None
    assert tiles_supported(w, b, 54) is None
    assert tiles_supported(w, b, 32) == "shift 32 is outside 33..54"
    assert tiles_supported(w, b, 55) == "shift 55 is outside 33..54"
    edge = np.array([2**30, ODD_LIMIT - 2 * 127, -(ODD_LIMIT - 2 * 128)])  # an even channel has all of int32
    assert tiles_supported(w, edge, 40) is None
    for channel, step in ((1, 1), (2, -1)):
        over = edge.copy()
        over[channel] += step
        assert tiles_supported(w, over, 40) == f"an odd channel's sum may reach {ODD_LIMIT + 1}, above {ODD_LIMIT}"


def call_of(**given: int) -> Call:
    """A 3x3 convolution of 8 x 8 x 4 to 8 channels; `given` replaces fields."""
    f = {
        "in_h": 8, "in_w": 8, "in_c": 4, "out_h": 6, "out_w": 6, "out_c": 8, "k_h": 3, "k_w": 3, "stride_h": 1,
        "stride_w": 1, "dil_h": 1, "dil_w": 1, "pad_top": 0, "pad_left": 0, "groups": 1, "in_zp": 0, "out_zp": 0,
        "lo": -128, "hi": 127, "shift": 40,
    } | given  # fmt: skip
    w = np.ones((f["out_c"], f["k_h"], f["k_w"], f["in_c"] // f["groups"]), np.int8)
    b, m = np.zeros(f["out_c"], np.int32), np.full(f["out_c"], 768, np.int32)
    return Call("tg_conv_s8", tuple(f.items()), ("x",), (ConstArg("w", w), ConstArg("b", b), ConstArg("m", m)), "y")


def test_what_is_refused_says_why() -> None:
    overlap = "windows of neighbouring pixels do not overlap"
    for variant, given, reason in (
        (slide_of, {"in_c": 3}, "groups, or fewer than 4 channels"),
        (slide_of, {"groups": 2}, "groups, or fewer than 4 channels"),
        (slide_of, {"stride_w": 3}, overlap),
        (slide_of, {"k_w": 1}, overlap),
        (slide_of, {"out_w": 3}, "a row has fewer than 4 pixels"),
        (slide_of, {"k_w": 7}, "a window of 10 columns, above 9"),
        (whole_slides, {"shift": 32}, "shift 32 is outside 33..54"),
        (whole_rows, {"dil_w": 2}, "groups or a dilation"),
        (whole_rows, {"shift": 55}, "shift 55 is outside 33..54"),
        (whole_rows, {"out_w": 3, "out_h": 3}, "its windows or outputs lie too far apart"),
        (variants.column_tiles, {"k_h": 1}, "no kernel rows of neighbouring bytes"),
        (variants.column_tiles, {"stride_h": 3}, "no column of pixels with windows that overlap"),
        (variants.column_tiles, {"in_c": 64}, "a copy of the image would be large"),
        (variants.whole_tiles, {"in_c": 64}, "a window of 4608 bytes, above 4095"),
        (variants.any_tiles, {"shift": 32}, "shift 32 is outside 33..54"),
    ):
        assert variant(call_of(**given)) == reason
    narrow = replace(call_of(lo=0), y_planes=tiles.planes(np.random.default_rng(0), ints(call_of())))
    assert variants.any_tiles(narrow) == "planes with a narrow clamp"
