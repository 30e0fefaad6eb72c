"""DSP variants of element-wise operators and pooling: the reference's constants as they are, so only limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tinygen.kernels.variant import Variant, Variants, ints
from tinygen.ops.base import Call

#: Shifts for which rounding and zero point fit the one constant of a SMMLA (core/tg_epilogue_dsp.h).
SHIFTS = (33, 54)
#: Fewest columns of which core/tg_sums_dsp.h sums eight at a time: of a single one it would do eight times the work.
FEWEST = 2


def means_supported(rows: int, columns: int, shift: int) -> str | None:
    """Why the kernels on core/tg_sums_dsp.h cannot make `columns` sums of `rows` values, or None when they can."""
    if columns < FEWEST:
        return "a single column"
    if shift > SHIFTS[1]:
        return f"shift {shift} is above {SHIFTS[1]}"
    if rows * 255 << max(0, SHIFTS[0] - shift) >= 2**31:
        return f"sums of {rows} values leave no room for shift {shift}"
    return None


def _same(kernel: str) -> Variant:
    """A kernel that takes whatever the reference takes."""
    return lambda call: replace(call, kernel=kernel)


def _mul(call: Call) -> Call | str:
    low, high = SHIFTS
    shift = ints(call)["shift"]
    return replace(call, kernel="tg_mul_s8_dsp") if low <= shift <= high else f"shift {shift} is outside {low}..{high}"


def _avgpool(call: Call) -> Call | str:
    f = ints(call)
    reason = means_supported(f["k_h"] * f["k_w"], f["channels"], f["shift"])
    return replace(call, kernel="tg_avgpool_s8_dsp") if reason is None else reason


def _reduce_sum(call: Call) -> Call | str:
    f = ints(call)
    reason = means_supported(f["n"], f["inner"], f["shift"])
    return replace(call, kernel="tg_reduce_sum_s8_dsp") if reason is None else reason


def _maxpool(call: Call) -> Call | str:
    channels = ints(call)["channels"]
    return replace(call, kernel="tg_maxpool_s8_dsp") if channels >= 4 else f"{channels} channels, fewer than 4"


def _norm(kernel: str, lo: int) -> Variant:
    """Factors for each column, outputs from `lo` on to the end of the type."""

    def made(call: Call) -> Call | str:
        f = ints(call)
        if not f["w_step"] or (f["lo"], f["hi"]) != (lo, -lo - 1):
            return "one factor for all, or clamped"
        return replace(call, kernel=kernel)

    return made


def softmax_supported(f: Mapping[str, int]) -> str | None:
    """Why tg_softmax_s16_dsp cannot: exponentials wait in the output, exponents are the upper word of a product, below
    2^8. None when it can."""
    if not f["wide"]:
        return "an output of int8"
    if f["exp_m"] >= 2**16 or f["exp_shift"] > 16 or 65535 * f["exp_m"] >> f["exp_shift"] >= 2**24:
        return "inputs too coarse, or too fine"
    return None


def _softmax(call: Call) -> Call | str:
    return softmax_supported(ints(call)) or replace(call, kernel="tg_softmax_s16_dsp")


ELEMENTWISE: Variants = {
    "tg_add_s8": (_same("tg_add_s8_dsp"),),
    "tg_mul_s8": (_mul,),
    "tg_lut_s8": (_same("tg_lut_s8_dsp"),),
    "tg_norm_s8": (_norm("tg_norm_s8_dsp", -128),),
    "tg_norm_s16": (_norm("tg_norm_s16_dsp", -32768),),
    "tg_softmax_s16": (_softmax,),
    "tg_avgpool_s8": (_avgpool,),
    "tg_reduce_sum_s8": (_reduce_sum,),
    "tg_maxpool_s8": (_maxpool,),
}
