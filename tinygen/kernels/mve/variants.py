"""Variants of the Helium set (Cortex-M55, M85)."""

from __future__ import annotations

from dataclasses import replace

from tinygen.kernels.mve import pack
from tinygen.kernels.variant import Variant, Variants, consts, ints, packed
from tinygen.ops.base import Call


def _conv(call: Call) -> Call | str:
    f, c = ints(call), consts(call)
    reason = pack.conv_mve_supported(f["out_c"], f["shift"])
    if reason is not None:
        return reason
    scratch = pack.conv_mve_scratch(f)
    return packed(call, "tg_conv_s8_mve", scratch, w=pack.pack_conv_mve(c["w"], c["b"], c["m"], f["groups"]))


def _dwconv(call: Call) -> Call | str:
    f = ints(call)
    reason = pack.dwconv_mve_supported(f)
    if reason is not None:
        return reason
    return packed(call, "tg_dwconv_s8_mve", pack.dwconv_mve_scratch(f), **consts(call))


def _dense(call: Call) -> Call | str:
    f, c = ints(call), consts(call)
    reason = pack.shift_supported(f["shift"])
    if reason is not None:
        return reason
    return packed(call, "tg_dense_s8_mve", w=pack.pack_dense_mve(c["w"], c["b"], c["m"]))


def _same_constants(kernel: str) -> Variant:
    """For kernels that take any layer and the reference's constants."""
    return lambda call: replace(call, kernel=kernel)


def _requantised(kernel: str) -> Variant:
    """The same, for those that requantise."""
    return lambda call: pack.shift_supported(ints(call)["shift"]) or replace(call, kernel=kernel)


VARIANTS: Variants = {
    "tg_add_s8": (_same_constants("tg_add_s8_mve"),),
    "tg_avgpool_s8": (_requantised("tg_avgpool_s8_mve"),),
    "tg_conv_s8": (_conv,),
    "tg_dense_s8": (_dense,),
    "tg_dwconv_s8": (_dwconv,),
    "tg_lut_s8": (_same_constants("tg_lut_s8_mve"),),
    "tg_maxpool_s8": (_same_constants("tg_maxpool_s8_mve"),),
    "tg_mul_s8": (_requantised("tg_mul_s8_mve"),),
    "tg_reduce_sum_s8": (_requantised("tg_reduce_sum_s8_mve"),),
}
