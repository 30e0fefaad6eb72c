"""Variants whose weights are packed indices into a table, where a layer's weights take few values and flash is saved.

Not one of them gives a reason when it does not apply: that most layers have many values is no news.
"""

from __future__ import annotations

from dataclasses import replace

from tinygen.ops.base import Call
from tinygen.plan.variants import pack_palette as pack
from tinygen.plan.variants.base import Variants, consts, ints, packed

#: Why a palette does not apply: nothing to be said.
NO = ""


def saves(made: Call, call: Call) -> bool:
    """Fewer bytes of constants than the reference call."""
    return sum(c.array.nbytes for c in made.consts) < sum(c.array.nbytes for c in call.consts)


def conv_reference(call: Call) -> Call | str:
    """Portable C, any number of bits."""
    return _reference(call, "tg_conv_pal_s8", "tg_conv_s8_cfg_t") if ints(call)["groups"] == 1 else NO


def dense_reference(call: Call) -> Call | str:
    """Portable C, any number of bits."""
    return _reference(call, "tg_dense_pal_s8", "tg_dense_s8_cfg_t")


def _reference(call: Call, kernel: str, config: str) -> Call | str:
    c = consts(call)
    found = pack.pack_reference(c["w"])
    if found is None:
        return NO
    made = replace(packed(call, kernel, w=found[0], table=found[1], b=c["b"], m=c["m"]), cfg_type=config)
    return made if saves(made, call) else NO


REFERENCE: Variants = {"tg_conv_s8": (conv_reference,), "tg_dense_s8": (dense_reference,)}
