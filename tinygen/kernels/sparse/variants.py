"""Variants that skip zeros: weights stored without them, for dense layers and convolutions of one group.

A pointwise convolution is a dense layer with its pixels as rows. Any other goes through tg_patches_s8, which copies
the windows of four pixels and hands them to the kernel of a dense layer; it also writes planes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinygen.kernels.sparse import pack
from tinygen.kernels.sparse.pack import Stream
from tinygen.kernels.tile.variants import y_strides
from tinygen.kernels.variant import Variant, Variants, consts, ints
from tinygen.numerics import Array
from tinygen.ops.base import Call, Config, ConstArg, config

#: Takes weights [n_out][n_in] and how many of the innermost belong together; gives their stream, or why there is none.
Packer = Callable[[Array, int], Stream | str]

#: With fewer zeros no form is smaller by much (pack.MOST_BYTES), and nothing needs to be packed to know.
LEAST_ZEROS = 0.2
PATCHES = "tg_patches_s8"
#: Windows that it copies at a time: TG_PATCHES.
PATCH_ROWS = 4
_PATCH_FIELDS = (
    "in_h", "in_w", "in_c", "out_h", "out_w", "out_c", "k_h", "k_w", "stride_h", "stride_w", "dil_h", "dil_w",
    "pad_top", "pad_left", "in_zp", "out_zp", "lo", "hi", "shift",
)  # fmt: skip

#: Form: how it is packed.
FORMS: dict[str, Packer] = {
    "nm": lambda w, _: pack.pack_nm(w),
    "block": pack.pack_block,
    "gap8": lambda w, _: pack.pack_gap8(w),
    "gap4": lambda w, _: pack.pack_gap4(w),
    "pal4": lambda w, _: pack.pack_pal4(w),
}


@dataclass(frozen=True)
class Kernel:
    """A kernel for one form; `refuses` says why it cannot take a shift and a stream, or None. `marks`: it wants to know
    whether requantisation fits 32 bits."""

    name: str
    form: str
    refuses: Callable[[int, Stream], str | None] = lambda shift, stream: None
    marks: bool = False


def variants(kernels: Sequence[Kernel]) -> Variants:
    """Of kernels with the constants of tg_sparse_*_s8."""
    return {"tg_conv_s8": tuple(map(_conv, kernels)), "tg_dense_s8": tuple(map(_dense, kernels))}


def features(stream: Stream, n_out: int, rows: int, calls: int = 1) -> dict[str, float]:
    """What time goes into, `calls` times a layer of so many rows: passes over the stream, for several rows at a time
    or for one."""
    found = {"calls": float(calls), "outputs": float(calls * rows * n_out)}
    for at_once in (2, 4):
        many = rows >= at_once
        passes = calls * (-(-rows // at_once) if many else rows)
        for name, yes in ((f"by_{at_once}", many), (f"below_{at_once}", not many)):
            found |= {f"channels_{name}": passes * n_out * yes, f"entries_{name}": passes * stream.entries * yes}
    return found


def _streamed(call: Call, kernel: Kernel, in_c: int) -> tuple[Stream, tuple[ConstArg, ...]] | str:
    """The weights' stream and all constants of the call."""
    c = consts(call)
    w = c["w"].reshape(c["w"].shape[0], -1)
    zeros = 1.0 - np.count_nonzero(w) / w.size
    if zeros < LEAST_ZEROS:
        return f"{100 * zeros:.0f} % zeros"
    stream = _packed(kernel.form, w.tobytes(), w.shape[1], in_c)
    if isinstance(stream, str):
        return stream
    reason = kernel.refuses(ints(call)["shift"], stream)
    if reason is not None:
        return reason
    m = pack.marked(w, c["b"], c["m"], ints(call)["shift"]) if kernel.marks else c["m"]
    return stream, (ConstArg("w", stream.data), ConstArg("b", c["b"]), ConstArg("m", m))


@functools.lru_cache(maxsize=64)
def _packed(form: str, weights: bytes, n_in: int, in_c: int) -> Stream | str:
    """Kernels of several sets share forms, and a network is planned several times."""
    return FORMS[form](np.frombuffer(weights, np.int8).reshape(-1, n_in), in_c)


def _dense(kernel: Kernel) -> Variant:
    def variant(call: Call) -> Call | str:
        f = ints(call)
        made = _streamed(call, kernel, f["n_in"])
        return made if isinstance(made, str) else _direct(call, kernel.name, call.config, f["rows"], *made)

    return variant


def _conv(kernel: Kernel) -> Variant:
    def variant(call: Call) -> Call | str:
        f = ints(call)
        if f["groups"] > 1:
            return f"{f['groups']} groups"
        made = _streamed(call, kernel, f["in_c"])
        if isinstance(made, str):
            return made
        pixels = f["out_h"] * f["out_w"]
        if call.y_planes is None and _is_pointwise(f):
            own = config(
                rows=pixels, n_in=f["in_c"], n_out=f["out_c"], out_zp=f["out_zp"], lo=f["lo"], hi=f["hi"],
                shift=f["shift"],
            )  # fmt: skip
            return _direct(call, kernel.name, own, pixels, *made)
        return _by_patches(call, kernel.name, f, *made)

    return variant


def _slow(call: Call, arrays: tuple[ConstArg, ...], rows: int) -> dict[str, float]:
    """Outputs whose requantisation is not the quick one."""
    m, outputs = arrays[2].array, float(rows * arrays[2].array.size)
    return {"low_shift": outputs * (ints(call)["shift"] <= 32), "marked": outputs * float(m[0] % 2)}


def _is_pointwise(f: Mapping[str, int]) -> bool:
    one = f["k_h"] == f["k_w"] == f["stride_h"] == f["stride_w"] == 1
    return one and f["pad_top"] == f["pad_left"] == 0 and (f["in_h"], f["in_w"]) == (f["out_h"], f["out_w"])


def _direct(call: Call, kernel: str, own: Config, rows: int, stream: Stream, arrays: tuple[ConstArg, ...]) -> Call:
    found = features(stream, arrays[1].array.size, rows) | _slow(call, arrays, rows)
    return replace(
        call, kernel=kernel, config=own, cfg_type="tg_dense_s8_cfg_t", consts=arrays, family=kernel,
        features=tuple(found.items()),
    )  # fmt: skip


def _by_patches(call: Call, kernel: str, f: Mapping[str, int], stream: Stream, arrays: tuple[ConstArg, ...]) -> Call:
    pixels, window = f["out_h"] * f["out_w"], f["k_h"] * f["k_w"] * f["in_c"]
    _, start, row, col, channel = y_strides(call)
    own: Config = (
        *((name, f[name]) for name in _PATCH_FIELDS),
        *(("y_start", start), ("y_row", row), ("y_col", col), ("y_channel", channel), ("dense", kernel)),
    )
    whole, rest = divmod(pixels, PATCH_ROWS)
    found = features(stream, f["out_c"], PATCH_ROWS, whole)
    for name, value in features(stream, f["out_c"], rest).items() if rest else ():
        found[name] = found.get(name, 0.0) + value
    runs = f["k_h"] * (1 if f["dil_w"] == 1 else f["k_w"])
    found |= {"pixels": pixels, "runs": pixels * runs, "copied": pixels * window, "taps": pixels * f["k_h"] * f["k_w"]}
    found |= _slow(call, arrays, pixels)
    spread = 0 if channel == 1 else f["out_c"]
    found |= {"spread": pixels * spread, "spread_pixels": pixels * (spread > 0)}
    scratch = min(PATCH_ROWS, pixels) * (window + spread)
    return replace(
        call, kernel=PATCHES, config=own, consts=arrays, uses=(kernel,), scratch=scratch,
        family=f"{PATCHES} {kernel}", features=tuple(found.items()),
    )  # fmt: skip


def _refused_by_dsp(shift: int, stream: Stream) -> str | None:
    if not 33 <= shift <= 54:
        return f"shift {shift} is outside 33..54"
    return _refused_by_small(shift, stream)


def _refused_by_small(shift: int, stream: Stream) -> str | None:
    return None if stream.in_fours else "entries of a channel are not in fours"


#: Portable kernels, for every core.
REFERENCE = variants([Kernel(f"tg_sparse_{form}_s8", form) for form in FORMS])
#: For the DSP extension.
DSP = variants([Kernel(f"tg_sparse_{form}_s8_dsp", form, _refused_by_dsp) for form in FORMS])
#: For Cortex-M0 and M0+.
M0 = variants([Kernel(f"tg_sparse_{form}_s8_m0", form, _refused_by_small, marks=True) for form in FORMS])
