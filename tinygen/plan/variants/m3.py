"""Variants of the Cortex-M3 set: MLA and SMULL, no DSP extension."""

from __future__ import annotations

from tinygen.ops.base import Call
from tinygen.plan.variants import lanes, pack_small
from tinygen.plan.variants.base import Variants, consts, ints, packed


def _dense(call: Call) -> Call | str:
    f, c = ints(call), consts(call)
    reason = pack_small.dense_supported(c["w"], c["b"])
    if reason is not None:
        return reason
    w, b, m = pack_small.pack_dense(c["w"], c["b"], c["m"])
    scratch = pack_small.dense_scratch(f["n_in"], f["n_out"], int(w[0]))
    return packed(call, "tg_dense_s8_m3", scratch, w=w, b=b, m=m)


def _dwconv(call: Call) -> Call | str:
    f, c = ints(call), consts(call)
    reason = pack_small.dwconv_supported(f)
    if reason is not None:
        return reason
    w, b, m = pack_small.pack_dwconv(f, c["w"], c["b"], c["m"], narrow=False)
    return packed(call, "tg_dwconv_s8_m3", pack_small.dwconv_scratch(f), w=w, b=b, m=m)


def _add(call: Call) -> Call | str:
    return packed(call, "tg_add_s8_m3")


VARIANTS: Variants = {
    "tg_add_s8": (_add,),
    "tg_conv_s8": tuple(lanes.conv("tg_conv_s8_m3", tile, split=False) for tile in (8, 4)),
    "tg_dwconv_s8": (_dwconv,),
    "tg_dense_s8": (_dense,),
}
