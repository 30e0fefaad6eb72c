"""Dense layers of the DSP set: four rows of weights at a time."""

from __future__ import annotations

from tinygen.kernels.dense import pack
from tinygen.kernels.variant import consts, ints, packed
from tinygen.ops.base import Call


def dense(call: Call) -> Call | str:
    f, c = ints(call), consts(call)
    reason = pack.dense_supported(c["w"], c["b"], c["m"], f["shift"])
    if reason is not None:
        return reason
    w, m = pack.pack_dense(c["w"], c["b"], c["m"])
    return packed(call, "tg_dense_s8_dsp", pack.dense_scratch(f["n_in"]), w=w, m=m)
