"""Recurrent layers as variants. DSP: two units at a time, unrolled over the window or looped. Helium: sums of one unit
at a time, four through the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tinygen.numerics import Array
from tinygen.ops.base import Call, ConstArg, Generated
from tinygen.plan.variants import pack_recurrent as pack
from tinygen.plan.variants.base import Variants, consts, ints, packed
from tinygen.plan.variants.generate_recurrent import (
    GruShifts,
    LstmShifts,
    StepView,
    Words,
    generate_gru,
    generate_inputs,
    generate_lstm,
)

#: Code of an unrolled step, at most.
LONGEST = 8192
#: What the step shares with the reference's config, in front of its own.
_RUN = ("steps", "tail", "n_in", "n_hidden", "at", "y_step", "reverse", "fresh")


def unrolled(call: Call) -> Call | str:
    """Made for so many inputs and units."""
    return _dsp(call, looped=False, two=False)


def two_steps(call: Call) -> Call | str:
    """Likewise, what x brings worked out for two steps at once: each weight is loaded once for both."""
    return _dsp(call, looped=False, two=True) if ints(call)["steps"] > 1 else ""


def looped(call: Call) -> Call | str:
    """Any number of inputs and units, by one kernel of less than 900 bytes."""
    return _dsp(call, looped=True, two=False)


@dataclass(frozen=True)
class _Layer:
    """Arguments of `pack`: arrays by gate."""

    w: Array
    r: Array
    b: Array
    mx: Array
    mh: Array
    r_bias: Array | None


def _layer(f: Mapping[str, int], c: Mapping[str, Array]) -> _Layer | str:
    """Or why these kernels cannot take it."""
    if f.get("coupled") or f.get("peep_shift"):
        return "peepholes, or a forget gate that is coupled with the input's"
    if not f.get("before", 1):
        return "the reset gate multiplies h"
    if (f["sum_lo"], f["sum_hi"], f["out_lo"], f["out_hi"]) != (-32768, 32767, -128, 127):
        return "clipped sums or outputs"
    n_in, units = f["n_in"], f["n_hidden"]
    gates = c["mx"].size // units
    w, r = c["w"].reshape(gates, units, n_in), c["r"].reshape(gates, units, units)
    b, mx, mh = (c[name].reshape(gates, units) for name in ("b", "mx", "mh"))
    r_bias = c.get("bh")
    inside = np.zeros((gates, units), np.int64)
    if r_bias is not None:
        inside[-1] = r_bias
    reason = pack.sums_supported(w, b, mx, f["x_shift"])
    reason = reason or pack.sums_supported(r, inside, mh, f["h_shift"], 2 ** (30 - max(f["f_up"], f["g_up"])))
    return reason or _Layer(w, r, b, mx, mh, r_bias)


def _dsp(call: Call, *, looped: bool, two: bool) -> Call | str:
    """As one of tg_lstm_s8_dsp or tg_gru_s8_dsp, with a step of its own."""
    f, c = ints(call), consts(call)
    layer = _layer(f, c)
    if isinstance(layer, str):
        return layer
    reason = pack.pairs_supported(layer.w) or pack.pairs_supported(layer.r)
    if reason is not None:
        return reason
    unit, units = 4 if looped else 2, f["n_hidden"]
    x, h = pack.up(f["n_in"], unit), pack.up(units, unit)
    views = [_step(call, None if looped else (0 if two else x // 2, h // 2))]
    if two:
        views.append(generate_inputs(x // 2))
    size = sum(view.size for view in views)
    if size > LONGEST:
        return f"unrolled it takes {size} bytes of code"
    steps, inputs = pack.pack(layer.w, layer.r, layer.b, layer.mx, layer.mh, layer.r_bias, unit, two=two)
    px = pack.up(len(layer.w) * pack.up(units, 2) // 2, 2) if two else 0
    config: dict[str, int | str] = {name: f[name] for name in _RUN}
    config |= {"words": steps.size + inputs.size, "input_words": inputs.size, "px_words": px}
    config |= {"x_bytes": 2 * x, "h_bytes": 2 * h, "out_m": f["out_m"]}
    if "before" in f:
        config["out_shift"] = f["out_shift"]
    config |= zip(("step", "inputs"), (view.name for view in views), strict=False)
    state = 2 if "before" in f else 4  # bytes of a unit
    odd = pack.up((units + 1) * (state + 1), 4) if units % 2 else 0
    tables = (ConstArg(name, c[name]) for name in "fgt" if name in c)
    return replace(
        call,
        kernel=f"{call.kernel}_dsp",
        config=tuple(config.items()),
        cfg_type=f"{call.kernel}_dsp_cfg_t",
        consts=(ConstArg("w", np.concatenate([inputs, steps])), *tables),
        scratch=2 * (2 * x + 2 * h) + 8 * px + odd,
        generated=tuple(Generated(v.name, f"dsp/{v.template}", v, v.size, v.size) for v in views),
    )


def _step(call: Call, words: Words) -> StepView:
    f = ints(call)
    if "before" in f:
        of_gru = ("f_up", "g_up", "r_down", "z_down", "out_shift", "f_shift", "g_shift")
        return generate_gru(GruShifts(*(f[name] for name in of_gru)), words)
    of_lstm = ("f_up", "g_up", "c_up", "ig_down", "t_down", "out_shift", "f_shift", "g_shift", "t_shift")
    return generate_lstm(LstmShifts(*(f[name] for name in of_lstm)), words)


def _helium(call: Call) -> Call | str:
    f, c = ints(call), consts(call)
    layer = _layer(f, c)
    if isinstance(layer, str):
        return layer
    tables = {name: c[name] for name in "fgt" if name in c}
    stream = pack.pack_mve(layer.w, layer.r, layer.b, layer.mx, layer.mh, layer.r_bias)
    units = f["n_hidden"]
    scratch = 16 * pack.up(units, 4) + pack.up(f["n_in"], 16) + pack.up(units, 16)
    return packed(call, f"{call.kernel}_mve", scratch, w=stream, **tables)


DSP: Variants = dict.fromkeys(("tg_lstm_s8", "tg_gru_s8"), (unrolled, two_steps, looped))
HELIUM: Variants = dict.fromkeys(("tg_lstm_s8", "tg_gru_s8"), (_helium,))
