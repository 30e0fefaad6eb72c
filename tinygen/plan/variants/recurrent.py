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
from tinygen.plan.variants.generate_recurrent import GruShifts, LstmShifts, StepView, generate_gru, generate_lstm

#: Code of an unrolled step, at most.
LONGEST = 8192
#: What the step shares with the reference's config, in front of its own.
_RUN = ("steps", "tail", "n_in", "n_hidden", "at", "y_step", "reverse", "fresh")


def lstm(call: Call) -> Call | str:
    """Unrolled."""
    return _lstm(call, looped=False)


def lstm_looped(call: Call) -> Call | str:
    """Any shape with one kernel of 900 bytes."""
    return _lstm(call, looped=True)


def gru(call: Call) -> Call | str:
    """Unrolled."""
    return _gru(call, looped=False)


def gru_looped(call: Call) -> Call | str:
    """Any shape with one kernel."""
    return _gru(call, looped=True)


def _lstm(call: Call, *, looped: bool) -> Call | str:
    f, c = ints(call), consts(call)
    shifts = LstmShifts(
        f["f_up"], f["g_up"], f["c_up"], f["ig_down"], f["t_down"], f["out_shift"], f["f_shift"], f["g_shift"],
        f["t_shift"],
    )  # fmt: skip
    made = _stream(f, c, looped)
    if isinstance(made, str):
        return made
    words, stream, config = made
    return _made(call, generate_lstm(shifts, words), stream, config, ("f", "g", "t"), 4)


def _gru(call: Call, *, looped: bool) -> Call | str:
    f, c = ints(call), consts(call)
    shifts = GruShifts(
        f["f_up"], f["g_up"], f["r_down"], f["z_down"], f["out_shift"], f["f_shift"], f["g_shift"]
    )  # fmt: skip
    made = _stream(f, c, looped)
    if isinstance(made, str):
        return made
    words, stream, config = made
    return _made(call, generate_gru(shifts, words), stream, {**config, "out_shift": f["out_shift"]}, ("f", "g"), 2)


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


def _stream(
    f: Mapping[str, int], c: Mapping[str, Array], looped: bool
) -> tuple[tuple[int, int] | None, Array, dict[str, int]] | str:
    """Words of the window where the kernel is made for them, the stream, and what of the config says how long they
    are; or why not."""
    layer = _layer(f, c)
    if isinstance(layer, str):
        return layer
    reason = pack.pairs_supported(layer.w) or pack.pairs_supported(layer.r)
    if reason is not None:
        return reason
    unit = 4 if looped else 2
    x, h = pack.up(f["n_in"], unit), pack.up(f["n_hidden"], unit)
    stream = pack.pack(layer.w, layer.r, layer.b, layer.mx, layer.mh, unit, layer.r_bias)
    config = {name: f[name] for name in _RUN}
    config |= {"words": stream.size, "x_bytes": 2 * x, "h_bytes": 2 * h, "out_m": f["out_m"]}
    return None if looped else (x // 2, h // 2), stream, config


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


def _made(
    call: Call, view: StepView, stream: Array, config: dict[str, int], tables: tuple[str, ...], state: int
) -> Call | str:
    """`state`: bytes of a unit's cell, or of its state."""
    if view.size > LONGEST:
        return f"unrolled it takes {view.size} bytes of code"
    c, units = consts(call), config["n_hidden"]
    odd = pack.up((units + 1) * (state + 1), 4) if units % 2 else 0
    return replace(
        call,
        kernel=f"{call.kernel}_dsp",
        config=(*config.items(), ("step", view.name)),
        cfg_type=f"{call.kernel}_dsp_cfg_t",
        consts=(ConstArg("w", stream), *(ConstArg(name, c[name]) for name in tables)),
        scratch=2 * (config["x_bytes"] + config["h_bytes"]) + odd,
        generated=(Generated(view.name, "dsp/tg_recurrent_step", view, view.size, view.size),),
    )


DSP: Variants = {"tg_lstm_s8": (lstm, lstm_looped), "tg_gru_s8": (gru, gru_looped)}
HELIUM: Variants = {"tg_lstm_s8": (_helium,), "tg_gru_s8": (_helium,)}
