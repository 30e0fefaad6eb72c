"""Variants of the Cortex-M0 and Cortex-M3 sets, which compute in the same ways: two or more values in a product."""

from __future__ import annotations

from tinygen.ops.base import Call
from tinygen.plan.variants import lanes, pack_small, palette
from tinygen.plan.variants.base import Variants, consts, ints, packed


def variants(kernels: str, *, narrow: bool) -> Variants:
    """Of the set `kernels`, the ending of its kernels' names. `narrow`: without products of 64 bits, so that
    multipliers are packed for two of 32."""

    def dense(call: Call) -> Call | str:
        f, c = ints(call), consts(call)
        reason = pack_small.dense_supported(c["w"], c["b"])
        if reason is not None:
            return reason
        w, b, m = pack_small.pack_dense(c["w"], c["b"], c["m"])
        scratch = pack_small.dense_scratch(f["n_in"], f["n_out"], int(w[0]))
        return packed(call, f"tg_dense_s8_{kernels}", scratch, w=w, b=b, m=m)

    def dwconv(call: Call) -> Call | str:
        f, c = ints(call), consts(call)
        reason = pack_small.dwconv_supported(f)
        if reason is not None:
            return reason
        w, b, m = pack_small.pack_dwconv(f, c["w"], c["b"], c["m"], narrow=narrow)
        return packed(call, f"tg_dwconv_s8_{kernels}", pack_small.dwconv_scratch(f), w=w, b=b, m=m)

    def add(call: Call) -> Call | str:
        return packed(call, f"tg_add_s8_{kernels}")

    return {
        "tg_add_s8": (add,),
        "tg_conv_s8": (
            *(lanes.conv(f"tg_conv_s8_{kernels}", tile, split=narrow) for tile in (8, 4)),
            *palette.small(narrow=narrow)["tg_conv_s8"],
        ),
        "tg_dwconv_s8": (dwconv,),
        "tg_dense_s8": (dense, *palette.small(narrow=narrow)["tg_dense_s8"]),
    }
