"""Convolutions of the DSP set on tensors as they are: SMLAD on pairs of halves."""

from __future__ import annotations

from tinygen.kernels.conv import pack
from tinygen.kernels.variant import consts, ints, packed
from tinygen.ops.base import Call


def conv(call: Call) -> Call | str:
    f, c = ints(call), consts(call)
    reason = pack.conv_dsp_supported(c["w"], f["groups"], f["shift"])
    if reason is not None:
        return reason
    w, b, m = pack.pack_conv_dsp(c["w"], c["b"], c["m"], f["dil_w"])
    scratch = pack.conv_dsp_scratch(f["k_h"], f["k_w"], f["in_c"], f["dil_w"])
    return packed(call, "tg_conv_s8_dsp", scratch, w=w, b=b, m=m)


def dwconv(call: Call) -> Call | str:
    f, c = ints(call), consts(call)
    reason = pack.dwconv_dsp_supported(f["in_c"], f["out_c"], f["shift"])
    if reason is not None:
        return reason
    scratch = pack.dwconv_dsp_scratch(f["k_h"], f["k_w"], f["in_c"])
    return packed(call, "tg_dwconv_s8_dsp", scratch, w=pack.pack_dwconv_dsp(c["w"]), b=c["b"], m=c["m"])
