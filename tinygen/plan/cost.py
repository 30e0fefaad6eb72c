"""What a kernel call costs, predicted from its config alone: instructions on every core, and cycles.

A cost is a sum of features of the call (outputs, products, values moved, rows, ...), each with a coefficient of its
own, not negative, for each core, kernel and shape class. `python -m benchmarks.fit_costs` measures single layers in
emulation and writes the coefficients to costs.json in the folder of the core's architecture, and to stalls.json those
of the cycles that code and constants in flash take on top.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinygen.kernels.row.kernel import RowKernel
from tinygen.kernels.tile.kernel import GroupKernel, TileKernel, group_window
from tinygen.ops.base import Call
from tinygen.targets.arch.base import Architecture, Core
from tinygen.targets.cores import get_core
from tinygen.targets.flash import Flash

COMMAND = "python -m benchmarks.fit_costs"
Features = Mapping[str, float]
#: Core, kernels (`line`), kind of shape, figure ("insns", "cycles"), feature: coefficient.
Table = dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]]
#: Key of a flash, core, kernels, kind of shape, what is read ("code", "data"), feature: coefficient.
Stalls = dict[str, dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]]]


@dataclass(frozen=True, slots=True)
class Traits:
    """What a cost depends on: kernels pick another loop for another `kind` of shape, and each has its own line."""

    kind: str
    features: Features


def measured(core: str) -> bool:
    """Did anybody measure kernels on a core? Then all that can be chosen have a cost."""
    found = _recorded(core)
    return found.name in _table(found.arch)


def known(call: Call, core: str) -> bool:
    """Are there coefficients for this call?"""
    return bool(_lines(call, core))


def instructions(call: Call, core: str) -> float:
    """Predicted instructions of one call; KeyError for a kernel that was never measured on that core."""
    return _predict(call, core, "insns")


def cycles(call: Call, core: str) -> float:
    """Predicted cycles of one call with zero-wait memory, by the timing of the core whose costs these are; instructions
    where it has none. Comparable between calls for one core; KeyError as `instructions`.
    """
    return _predict(call, core, "cycles" if _recorded(core).timing is not None else "insns")


def stalls(call: Call, core: str, flash: Flash, in_ram: Collection[str] = ()) -> float | None:
    """Predicted cycles that a call waits for the flash; None where nobody measured it. It does not wait for its code
    where all its kernels are `in_ram`, nor for its constants where they are, by content."""
    code, data = code_stalls(call, core, flash), data_stalls(call, core, flash)
    if code is None or data is None:
        return None
    if in_ram:
        code = 0.0 if all(k in in_ram for k in (*call.library, *(g.name for g in call.generated))) else code
        data = 0.0 if all(c.content in in_ram for c in call.consts) else data
    return code + data


def code_stalls(call: Call, core: str, flash: Flash) -> float | None:
    """Those for its code alone."""
    return _stalls(call, core, flash, "code")


def data_stalls(call: Call, core: str, flash: Flash) -> float | None:
    """Those for its constants."""
    return _stalls(call, core, flash, "data")


def _stalls(call: Call, core: str, flash: Flash, what: str) -> float | None:
    """Of a flash at another clock the ones that were measured are scaled by the wait states."""
    if flash.waits == 0:
        return 0.0
    waits, measured = _measured_stalls(core, flash)
    lines = measured.get(line(call), {})
    if not lines:
        return None
    kind = traits(call).kind
    coefficients = lines[kind] if kind in lines else next(iter(lines.values()))
    features = stall_features(call, flash)
    return flash.waits / waits * sum(k * features.get(name, 0.0) for name, k in coefficients[what].items())


def stalls_known(core: str, flash: Flash) -> bool:
    """Did anybody measure kernels of a core with this flash?"""
    return bool(_measured_stalls(core, flash)[1])


@functools.cache
def _measured_stalls(core: str, flash: Flash) -> tuple[int, dict[str, dict[str, dict[str, dict[str, float]]]]]:
    """Coefficients by kernels and kind of shape, measured with the wait states that are nearest, and those."""
    found = _recorded(core)
    of_family = {
        int(key.rsplit(" ", 1)[1]): lines[found.name]
        for key, lines in _stall_table(found.arch).items()
        if key.rsplit(" ", 1)[0] == flash.family and found.name in lines
    }
    if not of_family:
        return flash.waits, {}
    waits = min(of_family, key=lambda w: abs(w - flash.waits))
    return waits, of_family[waits]


def stall_features(call: Call, flash: Flash) -> Features:
    """What waiting depends on: the features of the call and, where its innermost loop is longer than the cache, how
    often each line of that loop is fetched."""
    found = dict(traits(call).features)
    hot = max((g.hot for g in call.generated), default=0)
    if hot > flash.code_bytes:
        found |= {f"far {name}": hot / flash.width * v for name, v in found.items()}
    return found


def traits(call: Call) -> Traits:
    """Kind and features of a call: its own, where the kernel is generated and says them, else by operator."""
    if call.features:
        return Traits("any", {"once": 1.0, **dict(call.features)})
    describe = _REFERENCES.get(call.reference or call.kernel)
    if describe is None:
        raise KeyError(f"tinygen/plan/cost.py does not know what {call.kernel} computes: add it to _OPERATORS")
    config = dict(call.geometry or call.config)
    return describe({name: value for name, value in config.items() if isinstance(value, int)}, call)


def line(call: Call) -> str:
    """The name under which coefficients are kept: the family's, where a call says one, or those of its kernels, of
    generated ones their families."""
    made = {g.name: g.family for g in call.generated}
    own = made.pop(call.kernel, call.kernel)
    return call.family or " ".join(dict.fromkeys((own, *sorted(made.values()), *call.uses)))


@functools.cache
def _recorded(core: str) -> Core:
    """The core whose recorded costs hold for this one: itself, or one that runs the same kernels, compiled alike."""
    found = get_core(core)
    return get_core(found.costs_of) if found.costs_of else found


@functools.cache
def _table(arch: Architecture) -> Table:
    path = costs_file(arch)
    table: Table = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return table


@functools.cache
def _stall_table(arch: Architecture) -> Stalls:
    path = stalls_file(arch)
    table: Stalls = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return table


def costs_file(arch: Architecture) -> Path:
    """Where the coefficients of an architecture's cores are."""
    return arch.folder / "costs.json"


def stalls_file(arch: Architecture) -> Path:
    """Where those of waiting for flash are."""
    return arch.folder / "stalls.json"


def _lines(call: Call, core: str) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
    """Coefficients by kind of shape."""
    found = _recorded(core)
    return _table(found.arch).get(found.name, {}).get(line(call), {})


def _predict(call: Call, core: str, figure: str) -> float:
    s, lines = traits(call), _lines(call, core)
    if not lines:
        raise KeyError(f"no recorded cost of {line(call)} on {core}: run {COMMAND}")
    found = lines.get(s.kind) or next(iter(lines.values()))  # a kind of shape that was never measured: the nearest
    return sum(k * s.features.get(name, 0.0) for name, k in found[figure].items())


# ---- features, by operator ----


def _up(n: int, step: int) -> int:
    """How many blocks of `step` hold n."""
    return -(-n // step)


@dataclass(frozen=True, slots=True)
class _Sweep:
    """A window's way over one axis: whether it is wholly inside at each position, and taps inside summed over all."""

    inside: tuple[bool, ...]
    taps: int

    @property
    def whole(self) -> int:
        return sum(self.inside)


def _sweep(size: int, out: int, k: int, stride: int, dil: int, pad: int) -> _Sweep:
    inside = [sum(0 <= o * stride - pad + i * dil < size for i in range(k)) for o in range(out)]
    return _Sweep(tuple(n == k for n in inside), sum(inside))


def _windows(f: Mapping[str, int]) -> tuple[_Sweep, _Sweep]:
    return (
        _sweep(f["in_h"], f["out_h"], f["k_h"], f["stride_h"], f["dil_h"], f["pad_top"]),
        _sweep(f["in_w"], f["out_w"], f["k_w"], f["stride_w"], f["dil_w"], f["pad_left"]),
    )


def _conv(f: Mapping[str, int], call: Call) -> Traits:
    """A loop over blocks of channels and pixels, a window gathered for each pixel, more work where it is cut."""
    tiles = _tiles(f, call)
    if tiles:
        return Traits("framed" if tiles["frame"] else "tiles", tiles)
    y, x = _windows(f)
    pixels, out_c, groups = f["out_h"] * f["out_w"], f["out_c"], f["groups"]
    row, window = f["k_w"] * f["in_c"], f["k_h"] * f["k_w"] * f["in_c"]
    taps = window // groups
    border = pixels - y.whole * x.whole
    found: dict[str, float] = {
        "once": 1, "out_rows": f["out_h"], "pixels": pixels, "channels": out_c, "outputs": pixels * out_c,
        "macs": pixels * out_c * taps,
        "pixel_windows": pixels * window, "pixel_rows": pixels * f["k_h"], "pixel_row_blocks": pixels * f["k_h"] *
        _up(row, 4), "pixel_taps": pixels * f["k_h"] * f["k_w"],
        "border": border, "border_windows": border * window, "border_rows": border * f["k_h"],
        "macs_inside": y.taps * x.taps * (f["in_c"] // groups) * out_c,
        "rows_inside": y.taps * f["out_w"] * out_c,
        "border_outputs": border * out_c, "border_macs": border * out_c * taps,
        "input": f["in_h"] * f["in_w"] * f["in_c"],
        "left_over": pixels * groups * (out_c // groups % 4),
        "left_over_macs": pixels * groups * (out_c // groups % 4) * taps,
    }  # fmt: skip
    for p in (1, 2, 4):
        for c in (1, 2, 4):
            if (p, c) == (1, 1):
                continue
            blocks = _up(pixels, p) * _up(out_c, c)
            found[f"blocks_{p}x{c}"] = blocks
            found[f"loads_{p}x{c}"] = blocks * _up(taps, 4)
    for p in (1, 2, 4):
        found[f"words_{p}"] = _up(pixels, p) * _words(call)
    for step in (2, 4, 8, 16):
        found[f"taps_{step}"] = pixels * out_c * _up(taps, step)
        found[f"rows_{step}"] = pixels * out_c * f["k_h"] * _up(row // groups, step)
    pointwise = f["k_h"] * f["k_w"] * f["stride_h"] * f["stride_w"] == 1 and border == 0
    kind = "pointwise" if pointwise else "windows"
    kind += ", grouped" if groups > 1 else ""
    kind += ", planes" if call.y_planes else ""
    return Traits(kind, found)


def _words(call: Call) -> int:
    """32-bit words of constants: kernels that pack them for the weights' own sake read each once a round."""
    return sum(c.array.nbytes for c in call.consts) // 4


#: Kernels whose tiles go on from one row of the output to the next.
_FLAT = ("tg_tiles_s8_dsp", "tg_groups_s8_dsp", "tg_tiles_pal_s8_dsp")


def _tiles(f: Mapping[str, int], call: Call) -> dict[str, float]:
    """Kernels generated for four pixels and two channels: steps and loads of a tile, by how tiles may lie."""
    own = {name: value for name, value in call.config if isinstance(value, int)}
    tile = next((g.view for g in call.generated if isinstance(g.view, TileKernel | GroupKernel | RowKernel)), None)
    steps = tile.steps if isinstance(tile, TileKernel | RowKernel) else ()
    pairs, size, groups = own.get("pairs", len(steps)), own.get("pixels", 4), f["groups"]
    if pairs == 0:
        return {}
    if call.compressed:  # whose words hold more than one pair
        pairs = own["window"] // 16
    loads = sum(len(step.loads) for step in steps) * pairs / len(steps) if steps else 4.0 * pairs
    turns = tile.turns(pairs) if tile else 0.0
    # four pixels of a row may share their columns
    window = f["k_h"] * own.get("cols", f["k_w"]) * f["in_c"]
    y, x = _windows(f)
    inside = np.outer(np.array(y.inside), np.array(x.inside))
    high = own.get("high", 1)  # rows of pixels in a tile
    wide = size // high
    if own.get("rows"):
        walk = list(inside.T)
    elif own.get("swap"):
        walk = [inside.T.ravel()]
    elif own.get("flat") or call.kernel in _FLAT:
        walk = [inside.ravel()]
    else:
        walk = list(inside[::high])
    whole = [bool(line[i : i + wide].all()) for line in walk for i in range(0, len(line), wide)]
    tiles, cut = groups * len(whole), groups * (len(whole) - sum(whole))
    both = tiles * _up(f["out_c"] // groups, 2)
    grouped = isinstance(tile, GroupKernel)
    # the window is filled once more for the last of an odd number of channels, those of a group are not
    fills = tiles * (1 + own.get("apart", 0) * int(not grouped))
    # of weights, for the tiles of a group
    each = own["window"] // group_window(pairs) if grouped else 0
    copies = groups * _up(len(whole), each) * _up(f["out_c"] // groups, 2) if grouped else 0
    late = isinstance(tile, TileKernel | GroupKernel) and tile.shift is None  # the shift is no part of the code
    return {
        "once": 1, "out_rows": f["out_h"], "frame": own.get("image_h", 0) * own.get("image_w", 0) * f["in_c"],
        "frame_rows": own.get("image_h", 0), "tiles": fills, "tile_rows": fills * f["k_h"],
        "tile_windows": fills * window, "tile_pairs": fills * pairs, "channels": both, "steps": both * pairs,
        "loads": both * loads, "turns": both * turns, "late": both * late,
        "copies": copies, "copied": copies * pairs,
        "cut": cut, "cut_rows": cut * f["k_h"], "cut_windows": cut * window, "cut_taps": cut * f["k_h"] * f["k_w"],
    }  # fmt: skip


_TRANSPOSED = {
    a: b
    for pair in (("in_h", "in_w"), ("out_h", "out_w"), ("k_h", "k_w"), ("stride_h", "stride_w"), ("dil_h", "dil_w"),
                 ("pad_top", "pad_left"))
    for a, b in (pair, pair[::-1])
}  # fmt: skip


def _dwconv(f: Mapping[str, int], call: Call) -> Traits:
    """One window for each channel: by pixel and block of channels, or by channel and row of its plane."""
    if call.x_planes is not None and call.x_planes.swap:
        f = {**f, **{a: f[b] for a, b in _TRANSPOSED.items()}}
    y, x = _windows(f)
    pixels, channels = f["out_h"] * f["out_w"], f["out_c"]
    taps = f["k_h"] * f["k_w"]
    border = pixels - y.whole * x.whole
    found: dict[str, float] = {
        "once": 1, "out_rows": f["out_h"], "pixels": pixels, "channels": channels, "outputs": pixels * channels,
        "macs": pixels * channels * taps, "macs_inside": y.taps * x.taps * channels,
        "rows_inside": y.taps * f["out_w"] * channels,
        "pixel_taps": pixels * taps, "pixel_rows": pixels * f["k_h"],
        "border": border, "border_taps": border * taps, "border_windows": border * taps * f["in_c"],
        "border_outputs": border * channels, "border_macs": border * channels * taps,
        "input": f["in_h"] * f["in_w"] * f["in_c"], "weights": channels * taps,
        "channel_rows": channels * f["out_h"], "channel_in_rows": channels * f["in_h"],
        "channel_columns": channels * f["out_w"], "words": _words(call), "word_rows": _words(call) * f["out_h"],
        "word_pixels": _words(call) * pixels,
    }  # fmt: skip
    for c in (2, 4, 8, 16):
        found[f"blocks_{c}"] = pixels * _up(channels, c)
        found[f"block_rows_{c}"] = pixels * _up(channels, c) * f["k_h"]
        found[f"block_taps_{c}"] = pixels * _up(channels, c) * taps
    for p in (2, 4):
        found[f"strips_{p}"] = channels * f["out_h"] * _up(f["out_w"], p)
        found[f"strip_rows_{p}"] = channels * f["in_h"] * _up(f["out_w"], p)
        found[f"strip_macs_{p}"] = channels * f["out_h"] * _up(f["out_w"], p) * taps
    for c in (4, 8, 16):
        found[f"border_blocks_{c}"] = border * _up(channels, c)
        found[f"border_block_taps_{c}"] = border * _up(channels, c) * taps
    for p in (2, 4):
        found[f"down_{p}"] = channels * f["out_w"] * _up(f["out_h"], p)
        found[f"down_macs_{p}"] = channels * f["out_w"] * _up(f["out_h"], p) * taps
    found["squares"] = channels * _up(f["out_h"], 2) * _up(f["out_w"], 2)
    found["vectors"] = channels * f["out_w"] * _up(f["out_h"], 4) * _up(taps, 16)
    code = sum(g.code for g in call.generated)  # most of it runs once a row
    found |= {"code_rows": code * channels * f["out_h"], "code_channels": code * channels}
    unit = f["dil_h"] * f["dil_w"] == 1 and channels == f["in_c"]
    square = (f["k_h"], f["k_w"]) == (3, 3) and unit
    if square:
        return Traits("3x3" if f["stride_h"] * f["stride_w"] == 1 else "3x3, strided", found)
    kind = "row" if f["k_h"] == 1 else "column" if f["k_w"] == 1 else "any kernel"
    return Traits(f"long {kind}" if 1 in (f["k_h"], f["k_w"]) and taps > 7 else kind, found)


def _conv_transpose(f: Mapping[str, int], call: Call) -> Traits:
    pixels, out_c, taps = f["out_h"] * f["out_w"], f["out_c"], f["k_h"] * f["k_w"]
    products = f["in_h"] * f["in_w"] * taps * (f["in_c"] // f["groups"]) * out_c
    return Traits("any", {
        "once": 1, "pixels": pixels, "outputs": pixels * out_c, "macs": products,
        "pixel_taps": pixels * taps, "output_taps": pixels * out_c * taps,
        "inside": f["in_h"] * f["in_w"] * taps * out_c,
    })  # fmt: skip


def _dense(f: Mapping[str, int], call: Call) -> Traits:
    rows, n_in, n_out = f["rows"], f["n_in"], f["n_out"]
    found: dict[str, float] = {
        "once": 1, "rows": rows, "inputs": rows * n_in, "outputs": rows * n_out, "macs": rows * n_in * n_out,
        "left_over": rows * (n_out % 4), "rest": rows * n_out * (n_in % 4), "words": rows * _words(call),
        "left_over_macs": rows * (n_out % 4) * n_in, "blocks": rows * (n_out // 4),
        "block_macs": rows * (n_out // 4) * n_in,
    }  # fmt: skip
    for c in (2, 4, 8):
        found[f"blocks_{c}"] = rows * _up(n_out, c)
        found[f"loads_{c}"] = rows * _up(n_out, c) * _up(n_in, 4)
    for step in (8, 16):
        found[f"taps_{step}"] = rows * n_out * _up(n_in, step)
    if call.kernel in ("tg_dense_s8_m0", "tg_dense_s8_m3"):
        # products in groups, whose length the weights decide, and single ones
        w = call.consts[0].array
        groups = rows * _up(n_out, 4) * _up(n_in, int(w[0]))
        found |= {"groups": groups, "group_taps": groups * int(w[0]), "singles": rows * (w.size - _up(n_out, 4) * n_in)}
    return Traits("any", found)


def _pool(f: Mapping[str, int], call: Call) -> Traits:
    y, x = _windows(f)
    pixels, channels = f["out_h"] * f["out_w"], f["channels"]
    found: dict[str, float] = {
        "once": 1, "pixels": pixels, "outputs": pixels * channels, "inside": y.taps * x.taps * channels,
        "rows_inside": y.taps * f["out_w"] * channels, "pixel_taps": y.taps * x.taps, "pixel_rows": y.taps * f["out_w"],
    }  # fmt: skip
    for c in (2, 4, 8, 16):
        found[f"blocks_{c}"] = pixels * _up(channels, c)
        found[f"block_taps_{c}"] = y.taps * x.taps * _up(channels, c)
    return Traits("any", found)


def _elements(n: int) -> dict[str, float]:
    return {"once": 1, "n": n, **{f"blocks_{c}": _up(n, c) for c in (2, 4, 8, 16)}, "rest": n % 4}


def _elementwise(f: Mapping[str, int], call: Call) -> Traits:
    kind = f"{f['x_bits']} to {f['y_bits']} bits" if "x_bits" in f else "any"
    return Traits(kind, _elements(f["n"]))


def _tuples(call: Call) -> dict[str, tuple[int, ...]]:
    return {name: value for name, value in call.config if isinstance(value, tuple)}


def _broadcast(f: Mapping[str, int], call: Call) -> Traits:
    """Nested loops: each level costs by how often it runs."""
    runs, found = 1, {"once": 1.0}
    for i, d in enumerate(_tuples(call)["dims"]):
        runs *= d
        found[f"loop_{i}"] = runs
    return Traits("any", found)


def _copy(f: Mapping[str, int], call: Call) -> Traits:
    """Runs of neighbours, as long as the strides allow; a run is a memcpy where both sides are contiguous."""
    t = _tuples(call)
    outer = len(t["dims"]) - 1
    while outer > 0 and t["dims"][outer] == 1:
        outer -= 1
    run, steps = t["dims"][outer], (t["x_stride"][outer], t["y_stride"][outer])
    while outer > 0 and (t["x_stride"][outer - 1], t["y_stride"][outer - 1]) == (steps[0] * run, steps[1] * run):
        outer -= 1
        run *= t["dims"][outer]
    runs, ends = 1, 0
    for d in t["dims"][:outer]:
        ends += runs
        runs *= d
    whole = steps == (1, 1) and run > 4
    found = {**_elements(run * runs), "runs": runs, "ends": ends, "words": runs * (run // 4), "bytes": runs * (run % 4)}
    return Traits("runs" if whole else "steps", found)


def _pad_planes(f: Mapping[str, int], call: Call) -> Traits:
    """Gaps between the rows of planes."""
    return Traits("any", {"once": 1, "rows": f["count"], "n": f["count"] * (f["stride"] - f["cols"])})


def _gather(f: Mapping[str, int], call: Call) -> Traits:
    runs = f["outer"] * f["n"]
    found = {"once": 1.0, "outer": f["outer"], "runs": runs, "n": runs * f["inner"], "words": runs * (f["inner"] // 4),
             "bytes": runs * (f["inner"] % 4)}  # fmt: skip
    return Traits("values" if f["inner"] == 1 else "runs", found)


def _lookup(f: Mapping[str, int], call: Call) -> Traits:
    runs, width = f["n"], f["width"]
    found = {"once": 1.0, "runs": runs, "n": runs * width, "words": runs * (width // 4), "bytes": runs * (width % 4)}
    return Traits("any", found)


def _insert(f: Mapping[str, int], call: Call) -> Traits:
    """`words` and `bytes` of the copy, which falls away in place: what that takes, at the most."""
    runs, size = f["outer"], f["outer"] * f["length"] * f["width"]
    found = {"once": 1.0, "runs": runs, "n": runs * f["count"] * f["width"], "words": size // 4, "bytes": size % 4}
    return Traits("any", found)


def _reduce(f: Mapping[str, int], call: Call) -> Traits:
    outputs = f["outer"] * f["inner"]
    found: dict[str, float] = {
        "once": 1, "outer": f["outer"], "outputs": outputs, "inputs": outputs * f["n"], "lines": f["outer"] * f["n"],
        "vectors": outputs * _up(f["n"], 16),
    }  # fmt: skip
    for c in (2, 4, 8, 16):
        found[f"blocks_{c}"] = f["outer"] * _up(f["inner"], c)
        found[f"block_lines_{c}"] = f["outer"] * _up(f["inner"], c) * f["n"]
    return Traits("last axis" if f["inner"] == 1 else "any", found)


def _rows(f: Mapping[str, int], call: Call) -> Traits:
    return Traits("any", {"once": 1, "rows": f["rows"], "n": f["rows"] * f["n"]})


def _matmul(f: Mapping[str, int], call: Call) -> Traits:
    rows, columns = math.prod(_tuples(call)["dims"][:3]), _tuples(call)["dims"][3]
    outputs = rows * columns
    return Traits("any", {"once": 1, "rows": rows, "outputs": outputs, "macs": outputs * f["inner"]})


def _attention(f: Mapping[str, int], call: Call) -> Traits:
    """Rows of one head: scores with keys, their exponentials, values weighted by them."""
    rows = f["batch"] * f["queries"] * f["heads"]
    # A causal row sees as many keys as queries went before.
    seen = sum(min(i + 1, f["keys"]) for i in range(f["queries"])) if f["causal"] else f["queries"] * f["keys"]
    scores = f["batch"] * f["heads"] * seen
    twos = f["batch"] * f["heads"] * _up(f["queries"], 2)
    fours = twos * _up(seen // f["queries"], 4)
    return Traits("any", {
        "once": 1, "rows": rows, "scores": scores, "score_macs": scores * f["d"], "outputs": rows * f["dv"],
        "value_macs": scores * f["dv"], "twos": twos, "fours": fours, "score_words": fours * _up(f["d"], 2),
        "output_fours": twos * _up(f["dv"], 4), "packed": f["batch"] * f["heads"] // f["each"] * f["keys"],
        "packed_words": f["batch"] * f["heads"] // f["each"] * f["keys"] * _up(f["d"] + f["dv"], 4),
        "output_words": twos * _up(f["dv"], 4) * _up(seen // f["queries"], 2),
    })  # fmt: skip


def _norm(f: Mapping[str, int], call: Call) -> Traits:
    sets, n = f["outer"] * f["groups"], f["reps"] * f["width"]
    lines = sets * f["reps"]
    found = {
        "once": 1.0, "sets": sets, "n": sets * n, "lines": lines, "words": lines * (f["width"] // 4),
        "eights": lines * (f["width"] // 8), "short": sets * n if f["width"] < 8 else 0,
    }  # fmt: skip
    return Traits("rows" if f["reps"] * f["groups"] == 1 else "any", found)


_GATES = {f"tg_{name}_{bits}": n for name, n in (("lstm", 4), ("gru", 3), ("rnn", 1)) for bits in ("s8", "s16")}


def _recurrent(f: Mapping[str, int], call: Call) -> Traits:
    steps, n_in, units = f["steps"], f["n_in"], f["n_hidden"]
    gates = _GATES[call.reference or call.kernel]
    rows = steps * gates * units
    two, blocks = _up(steps, 2), _up(gates * _up(units, 2), 2)
    found: dict[str, float] = {
        "once": 1, "steps": steps, "inputs": steps * n_in, "units": steps * units, "rows": rows,
        "x_macs": rows * n_in, "h_macs": rows * units,
        "words": steps * gates * _up(units, 2) * (2 * _up(n_in, 2) + 2 * _up(units, 2)),
        "words_4": steps * gates * _up(units, 2) * (4 * _up(n_in, 4) + 4 * _up(units, 4)),
        "pairs": steps * _up(units, 2), "fours": steps * _up(units, 4),
        "two_steps": two, "blocks_of_two": two * blocks, "words_of_two": two * blocks * _up(n_in, 2),
        "vectors": rows * (_up(n_in, 16) + _up(units, 16)), "constants": steps * _words(call),
    }  # fmt: skip
    first = steps * units * (1 - f.get("before", 1))  # reset gates of their own
    found |= {"resets": first, "reset_macs": first * (n_in + units)}
    return Traits("any", found)


def _prelu(f: Mapping[str, int], call: Call) -> Traits:
    return Traits("any", {"once": 1, "rows": f["rows"], "n": f["rows"] * f["channels"]})


def _resize(f: Mapping[str, int], call: Call) -> Traits:
    pixels = f["out_h"] * f["out_w"]
    n = pixels * f["channels"]
    return Traits("any", {"once": 1, "out_rows": f["out_h"], "pixels": pixels, "n": n, "words": pixels *
                         (f["channels"] // 4), "bytes": pixels * (f["channels"] % 4)})  # fmt: skip


#: Of two operands, element by element; each has a form that broadcasts.
_PAIRS = ("add", "mul", "div", "max", "min", "compare")

#: By what a reference kernel computes: tg_<operator>_<type>.
_OPERATORS: dict[str, Callable[[Mapping[str, int], Call], Traits]] = {
    "conv": _conv, "dwconv": _dwconv, "conv_transpose": _conv_transpose, "dense": _dense,
    "avgpool": _pool, "maxpool": _pool,
    **dict.fromkeys((*_PAIRS, "lut", "fill", "widen", "narrow", "rescale"), _elementwise),
    **{f"{name}_bc": _broadcast for name in _PAIRS},
    "copy": _copy, "pad_planes": _pad_planes, "gather": _gather, "lookup": _lookup, "insert": _insert, "prelu": _prelu,
    **{f"reduce_{name}": _reduce for name in ("sum", "l2", "max", "min")},
    **dict.fromkeys(("softmax", "log_softmax", "log_sum_exp", "argmax"), _rows),
    "norm": _norm, "matmul": _matmul, "attention": _attention,
    **dict.fromkeys(("lstm", "gru", "rnn"), _recurrent),
    **{f"resize_{name}": _resize for name in ("nearest", "linear")},
}  # fmt: skip
_REFERENCES = {f"tg_{name}_{bits}": f for name, f in _OPERATORS.items() for bits in ("s8", "s16", "s32")}
