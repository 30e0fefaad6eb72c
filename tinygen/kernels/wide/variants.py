"""Variants for int16 inputs, of the DSP set: SMLAD on the inputs as they are."""

from __future__ import annotations

from tinygen.kernels.conv.pack import dwconv_dsp_supported, pack_dwconv_dsp
from tinygen.kernels.variant import Variants, consts, ints, packed
from tinygen.kernels.wide import pack
from tinygen.ops.base import Call


def _conv(call: Call) -> Call | str:
    f, c = ints(call), consts(call)
    reason = pack.conv_supported(f["groups"], f["shift"])
    if reason is not None:
        return reason
    w, scratch = pack.pack_conv(c["w"], f["dil_w"]), pack.conv_scratch(c["w"], f["dil_w"])
    return packed(call, "tg_conv_s16_dsp", scratch, w=w, b=pack.padded(c["b"]), m=pack.padded(c["m"]))


def _dwconv(call: Call) -> Call | str:
    f, c = ints(call), consts(call)
    reason = dwconv_dsp_supported(f["in_c"], f["out_c"], f["shift"])
    if reason is not None:
        return reason
    return packed(call, "tg_dwconv_s16_dsp", w=pack_dwconv_dsp(c["w"]), b=c["b"], m=c["m"])


def _dense(call: Call) -> Call | str:
    f, c = ints(call), consts(call)
    reason = pack.shift_supported(f["shift"])
    if reason is not None:
        return reason
    step = 8 if f["n_out"] % 8 > 4 else 4
    b, m = pack.padded(c["b"], step), pack.padded(c["m"], step)
    return packed(call, "tg_dense_s16_dsp", pack.dense_scratch(f["n_in"]), w=pack.pack_dense(c["w"]), b=b, m=m)


WIDE: Variants = {"tg_conv_s16": (_conv,), "tg_dwconv_s16": (_dwconv,), "tg_dense_s16": (_dense,)}
