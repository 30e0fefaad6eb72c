"""Recurrent layers as variants. DSP: two units at a time, unrolled over the window or looped. Helium: sums of one unit
at a time, four through the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tinygen.kernels.recurrent import pack
from tinygen.kernels.recurrent.gru import GruShifts
from tinygen.kernels.recurrent.kernel import InputsKernel, StepKernel, inputs_kernel, step_kernel
from tinygen.kernels.recurrent.lstm import LstmShifts
from tinygen.kernels.recurrent.program import Words
from tinygen.kernels.small.pack import LANES_CHUNK, dense_scratch
from tinygen.kernels.variant import Variants, consts, ints, packed
from tinygen.numerics import Array
from tinygen.ops.base import Call, ConstArg, Generated

#: Code of an unrolled step, at most.
LONGEST = 8192
#: What the step shares with the reference's config, in front of its own.
_RUN = ("steps", "tail", "n_in", "n_hidden", "at", "x_at", "y_at", "y_step", "reverse", "fresh")


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
    #: What the sums of r begin with: of a GRU's candidate `r_bias`.
    inside: Array
    mx: Array
    mh: Array
    r_bias: Array | None

    def sums_supported(self, f: Mapping[str, int], most: int = 2**30) -> str | None:
        """Why 256 times its sums are too much, or None."""
        of_x = pack.sums_supported(self.w, self.b, self.mx, f["x_shift"])
        return of_x or pack.sums_supported(self.r, self.inside, self.mh, f["h_shift"], most)


def _arrays(f: Mapping[str, int], c: Mapping[str, Array]) -> _Layer:
    n_in, units = f["n_in"], f["n_hidden"]
    w, r = c["w"].reshape(-1, units, n_in), c["r"].reshape(-1, units, units)
    b, mx, mh = (c[name].reshape(-1, units) for name in ("b", "mx", "mh"))
    inside = np.zeros(b.shape, np.int32)
    if "bh" in c:
        inside[-1] = c["bh"]
    return _Layer(w, r, b, inside, mx, mh, c.get("bh"))


def _layer(f: Mapping[str, int], c: Mapping[str, Array]) -> _Layer | str:
    """Or why these kernels cannot take it."""
    if f.get("coupled") or f.get("peep_shift"):
        return "peepholes, or a forget gate that is coupled with the input's"
    if not f.get("before", 1):
        return "the reset gate multiplies h"
    if (f["sum_lo"], f["sum_hi"], f["out_lo"], f["out_hi"]) != (-32768, 32767, -128, 127):
        return "clipped sums or outputs"
    layer = _arrays(f, c)
    return layer.sums_supported(f, 2 ** (30 - max(f["f_up"], f["g_up"]))) or layer


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
    made: list[StepKernel | InputsKernel] = [_step(call, None if looped else (0 if two else x // 2, h // 2))]
    if two:
        made.append(inputs_kernel(x // 2))
    size = sum(kernel.bytes for kernel in made)
    if size > LONGEST:
        return f"unrolled it takes {size} bytes of code"
    steps, inputs = pack.pack(layer.w, layer.r, layer.b, layer.mx, layer.mh, layer.r_bias, unit, two=two)
    px = pack.up(len(layer.w) * pack.up(units, 2) // 2, 2) if two else 0
    config: dict[str, int | str] = {name: f[name] for name in _RUN}
    config |= {"words": steps.size + inputs.size, "input_words": inputs.size, "px_words": px}
    config |= {"x_bytes": 2 * x, "h_bytes": 2 * h, "out_m": f["out_m"]}
    if "before" in f:
        config["out_shift"] = f["out_shift"]
    config |= zip(("step", "inputs"), (kernel.name for kernel in made), strict=False)
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
        generated=tuple(Generated(k.name, "dsp/tg_program", k, k.bytes, k.bytes, k.family) for k in made),
    )


def _step(call: Call, words: Words) -> StepKernel:
    f = ints(call)
    if "before" in f:
        of_gru = ("f_up", "g_up", "r_down", "z_down", "out_shift", "f_shift", "g_shift")
        return step_kernel(GruShifts(*(f[name] for name in of_gru)), words)
    of_lstm = ("f_up", "g_up", "c_up", "ig_down", "t_down", "out_shift", "f_shift", "g_shift", "t_shift")
    return step_kernel(LstmShifts(*(f[name] for name in of_lstm)), words)


def lanes(kernels: str) -> Variants:
    """Of the small cores' set, the ending of its kernels' names."""

    def lane(call: Call) -> Call | str:
        f, c = ints(call), consts(call)
        if not f.get("before", 1):
            return "the reset gate multiplies h"
        n_in, units = f["n_in"], f["n_hidden"]
        if max(n_in, units) > LANES_CHUNK:
            return f"more than {LANES_CHUNK} inputs or units"
        layer = _arrays(f, c)
        reason = layer.sums_supported(f)
        if reason is not None:
            return reason
        (w, bx), (r, bh) = pack.pack_lanes(layer.w, layer.b), pack.pack_lanes(layer.r, layer.inside)
        m = {name: pack.four_units(a[..., None]).reshape(-1) for name, a in (("mx", layer.mx), ("mh", layer.mh))}
        own = {name: c[name] for name in ("f", "g", "t", "p", "peep") if name in c}
        scratch = dense_scratch(n_in, 4, int(w[0])) + dense_scratch(units, 4, int(r[0])) + pack.up(units, 4)
        return packed(call, f"{call.kernel}_{kernels}", scratch, w=w, r=r, bx=bx, bh=bh, **m, **own)

    return dict.fromkeys(("tg_lstm_s8", "tg_gru_s8"), (lane,))


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
M0, M3 = lanes("m0"), lanes("m3")
HELIUM: Variants = dict.fromkeys(("tg_lstm_s8", "tg_gru_s8"), (_helium,))
