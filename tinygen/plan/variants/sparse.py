"""Variants that skip zeros: weights stored without them, for dense layers and convolutions of one group.

A pointwise convolution is a dense layer with its pixels as rows. Any other goes through tg_patches_s8, which copies
the windows of four pixels and hands them to the kernel of a dense layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from tinygen.numerics import Array
from tinygen.ops.base import Call, Config, ConstArg, config
from tinygen.plan.variants import pack_sparse
from tinygen.plan.variants.base import Variant, Variants, consts, ints
from tinygen.plan.variants.pack_sparse import Stream

#: Takes weights [n_out][n_in] and how many of the innermost belong together; gives their stream, or why there is none.
Packer = Callable[[Array, int], Stream | str]

#: Fewer zeros never pay: no form takes less than 1.25 bytes a weight but those of half a byte.
LEAST_ZEROS = 0.15
PATCHES = "tg_patches_s8"
#: Windows that it copies at a time: TG_PATCHES.
PATCH_ROWS = 4
_PATCH_FIELDS = (
    "in_h", "in_w", "in_c", "out_h", "out_w", "out_c", "k_h", "k_w", "stride_h", "stride_w", "dil_h", "dil_w",
    "pad_top", "pad_left", "in_zp", "out_zp", "lo", "hi", "shift",
)  # fmt: skip

#: Form: how it is packed.
FORMS: dict[str, Packer] = {
    "nm": lambda w, _: pack_sparse.pack_nm(w),
    "block": pack_sparse.pack_block,
    "gap8": lambda w, _: pack_sparse.pack_gap8(w),
    "gap4": lambda w, _: pack_sparse.pack_gap4(w),
    "pal4": lambda w, _: pack_sparse.pack_pal4(w),
}


def variants(forms: Mapping[str, str]) -> Variants:
    """Of kernels for some forms: name of the form to name of the kernel."""
    return {
        "tg_conv_s8": tuple(_conv(kernel, FORMS[form]) for form, kernel in forms.items()),
        "tg_dense_s8": tuple(_dense(kernel, FORMS[form]) for form, kernel in forms.items()),
    }


def features(stream: Stream, n_out: int, rows: int, calls: int = 1) -> dict[str, float]:
    """What time goes into, `calls` times a layer of so many rows: passes over the stream, for several rows at a time
    or for one."""
    found = {"calls": float(calls), "outputs": float(calls * rows * n_out)}
    for at_once in (2, 4):
        passes = -(-rows // at_once) if rows >= at_once else rows
        name = f"_by_{at_once}" if rows >= at_once else f"_below_{at_once}"
        found |= {f"channels{name}": calls * passes * n_out, f"entries{name}": calls * passes * stream.entries}
    return found


def _streamed(call: Call, pack: Packer, in_c: int) -> tuple[Stream, tuple[ConstArg, ...]] | str:
    """The weights' stream and all constants of the call."""
    c = consts(call)
    w = c["w"].reshape(c["w"].shape[0], -1)
    zeros = 1.0 - np.count_nonzero(w) / w.size
    if zeros < LEAST_ZEROS:
        return f"{100 * zeros:.0f} % zeros"
    stream = pack(w, in_c)
    if isinstance(stream, str):
        return stream
    return stream, (ConstArg("w", stream.data), ConstArg("b", c["b"]), ConstArg("m", c["m"]))


def _dense(kernel: str, pack: Packer) -> Variant:
    def variant(call: Call) -> Call | str:
        f = ints(call)
        made = _streamed(call, pack, f["n_in"])
        return made if isinstance(made, str) else _direct(call, kernel, call.config, f["rows"], *made)

    return variant


def _conv(kernel: str, pack: Packer) -> Variant:
    def variant(call: Call) -> Call | str:
        f = ints(call)
        if f["groups"] > 1:
            return f"{f['groups']} groups"
        made = _streamed(call, pack, f["in_c"])
        if isinstance(made, str):
            return made
        pixels = f["out_h"] * f["out_w"]
        if _is_pointwise(f):
            own = config(
                rows=pixels, n_in=f["in_c"], n_out=f["out_c"], out_zp=f["out_zp"], lo=f["lo"], hi=f["hi"],
                shift=f["shift"],
            )  # fmt: skip
            return _direct(call, kernel, own, pixels, *made)
        return _by_patches(call, kernel, f, *made)

    return variant


def _is_pointwise(f: Mapping[str, int]) -> bool:
    one = f["k_h"] == f["k_w"] == f["stride_h"] == f["stride_w"] == 1
    return one and f["pad_top"] == f["pad_left"] == 0 and (f["in_h"], f["in_w"]) == (f["out_h"], f["out_w"])


def _direct(call: Call, kernel: str, own: Config, rows: int, stream: Stream, arrays: tuple[ConstArg, ...]) -> Call:
    n_out = arrays[1].array.size
    return replace(
        call, kernel=kernel, config=own, cfg_type="tg_dense_s8_cfg_t", consts=arrays, family=kernel,
        features=tuple(features(stream, n_out, rows).items()),
    )  # fmt: skip


def _by_patches(call: Call, kernel: str, f: Mapping[str, int], stream: Stream, arrays: tuple[ConstArg, ...]) -> Call:
    pixels, window = f["out_h"] * f["out_w"], f["k_h"] * f["k_w"] * f["in_c"]
    own: Config = (*((name, f[name]) for name in _PATCH_FIELDS), ("dense", kernel))
    whole, rest = divmod(pixels, PATCH_ROWS)
    found = features(stream, f["out_c"], PATCH_ROWS, whole)
    for name, value in features(stream, f["out_c"], rest).items() if rest else ():
        found[name] = found.get(name, 0.0) + value
    runs = f["k_h"] * (1 if f["dil_w"] == 1 else f["k_w"])
    found |= {"pixels": pixels, "runs": pixels * runs, "copied": pixels * window, "taps": pixels * f["k_h"] * f["k_w"]}
    return replace(
        call, kernel=PATCHES, config=own, consts=arrays, uses=(kernel,), scratch=min(PATCH_ROWS, pixels) * window,
        family=f"{PATCHES} {kernel}", features=tuple(found.items()),
    )  # fmt: skip


#: Portable kernels, for every core.
VARIANTS = variants({form: f"tg_sparse_{form}_s8" for form in FORMS})
