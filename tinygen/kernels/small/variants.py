"""Variants of the Cortex-M0 and Cortex-M3 sets, which compute in the same ways: two or more values in a product."""

from __future__ import annotations

from tinygen.kernels.small import pack
from tinygen.kernels.variant import Variants, consts, ints, packed
from tinygen.ops.base import Call


def variants(kernels: str, *, narrow: bool) -> Variants:
    """Of the set `kernels`, the ending of its kernels' names. `narrow`: without products of 64 bits, so that
    multipliers are packed for two of 32."""

    def dense(call: Call) -> Call | str:
        f, c = ints(call), consts(call)
        reason = pack.dense_supported(c["w"], c["b"])
        if reason is not None:
            return reason
        w, b, m = pack.pack_dense(c["w"], c["b"], c["m"])
        scratch = pack.dense_scratch(f["n_in"], f["n_out"], int(w[0]))
        return packed(call, f"tg_dense_s8_{kernels}", scratch, w=w, b=b, m=m)

    def dwconv(call: Call) -> Call | str:
        f, c = ints(call), consts(call)
        reason = pack.dwconv_supported(f)
        if reason is not None:
            return reason
        w, b, m = pack.pack_dwconv(f, c["w"], c["b"], c["m"], narrow=narrow)
        return packed(call, f"tg_dwconv_s8_{kernels}", pack.dwconv_scratch(f), w=w, b=b, m=m)

    def add(call: Call) -> Call | str:
        return packed(call, f"tg_add_s8_{kernels}")

    return {
        "tg_add_s8": (add,),
        "tg_dwconv_s8": (dwconv,),
        "tg_dense_s8": (dense,),
    }
