"""Choose a kernel for every call: the core's own variant where its predicate allows, the reference otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tinygen.numerics import Array
from tinygen.ops.base import Call, ConstArg
from tinygen.plan import pack

#: A variant takes a reference call and gives the packed call, or the reason why it cannot.
Variant = Callable[[Call], Call | str]


def select(call: Call, kernel_sets: Sequence[str]) -> Call:
    """The call with the first variant among `kernel_sets` (best first, "ref" last) that accepts it, and why."""
    reasons: list[str] = []
    for name in kernel_sets:
        variant = VARIANTS.get((name, call.kernel))
        if variant is None:
            continue
        found = variant(call)
        if isinstance(found, Call):
            return replace(found, why=f"{name} kernel" + (f" ({'; '.join(reasons)})" if reasons else ""))
        reasons.append(f"not {name}: {found}")
    return replace(call, why="; ".join(reasons) if reasons else "reference kernel")


def _ints(call: Call) -> dict[str, int]:
    """The config fields that are plain numbers."""
    return {name: value for name, value in call.config if isinstance(value, int)}


def _consts(call: Call) -> dict[str, Array]:
    return {c.suffix: c.array for c in call.consts}


def _packed(call: Call, kernel: str, w: Array, b: Array, m: Array, scratch: int = 0) -> Call:
    consts = (ConstArg("w", w), ConstArg("b", b), ConstArg("m", m))
    return replace(call, kernel=kernel, consts=consts, scratch=scratch)


def _conv_dsp(call: Call) -> Call | str:
    f, c = _ints(call), _consts(call)
    reason = pack.conv_dsp_supported(c["w"], f["groups"], f["shift"])
    if reason is not None:
        return reason
    packed = pack.pack_conv_dsp(c["w"], c["b"], c["m"], f["dil_w"])
    return _packed(call, "tg_conv_s8_dsp", *packed, pack.conv_dsp_scratch(f["k_h"], f["k_w"], f["in_c"], f["dil_w"]))


def _dwconv_dsp(call: Call) -> Call | str:
    f, c = _ints(call), _consts(call)
    reason = pack.dwconv_dsp_supported(f["in_c"], f["out_c"], f["shift"])
    if reason is not None:
        return reason
    scratch = pack.dwconv_dsp_scratch(f["k_h"], f["k_w"], f["in_c"])
    return _packed(call, "tg_dwconv_s8_dsp", pack.pack_dwconv_dsp(c["w"]), c["b"], c["m"], scratch)


def _dense_dsp(call: Call) -> Call | str:
    f, c = _ints(call), _consts(call)
    reason = pack.dense_dsp_supported(c["w"], f["shift"])
    if reason is not None:
        return reason
    return _packed(call, "tg_dense_s8_dsp", *pack.pack_dense_dsp(c["w"], c["b"], c["m"]))


#: (kernel set, reference kernel): the variant.
VARIANTS: dict[tuple[str, str], Variant] = {
    ("dsp", "tg_conv_s8"): _conv_dsp,
    ("dsp", "tg_dwconv_s8"): _dwconv_dsp,
    ("dsp", "tg_dense_s8"): _dense_dsp,
}
