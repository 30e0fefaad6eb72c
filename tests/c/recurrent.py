"""Random recurrent layers, and their reference kernels against NUMERICS section 9 in Python's integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.c import cases
from tests.c.harness import GUARD, Guarded, call
from tests.c.oracle import Direction
from tinygen.ops.gates import GateTable, gate_table

GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def table(rng: cases.Rng) -> GateTable:
    """A curve, a jump, or anything."""
    kind, at = rng.integers(4), rng.uniform(-1, 1)
    if kind == 0:
        knots = rng.uniform(-1, 1, int(rng.integers(2, 40)))
        return gate_table(lambda x: np.interp(x, np.linspace(-1, 1, len(knots)), knots), 2.0**-15)
    if kind == 1:
        return gate_table(lambda x: np.where(x < at, -1.0, 1.0), 2.0**-15)
    if kind == 2:
        return gate_table(np.tanh, 2.0**-13)
    return gate_table(lambda x: 1 / (1 + np.exp(-x)), 2.0**-12)


def case(rng: cases.Rng, kind: str, bits: int, most: int = 8) -> dict[str, Any]:
    """Configuration, constants and the state before; sums from a few hundred units to far beyond what int16 holds."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    dtype = np.int8 if bits == 8 else np.int16
    steps, tail, n_in, units = (int(v) for v in (rng.integers(1, 4), rng.integers(2), *rng.integers(1, most + 1, 2)))
    gates, extra = GATES[kind], int(rng.integers(3))
    c: dict[str, Any] = {
        "steps": steps,
        "tail": tail,
        "n_in": n_in,
        "n_hidden": units,
        "at": int(rng.integers(extra + 1)),
        "x_at": int(rng.integers(3)),
        "y_at": int(rng.integers(3)),
    }
    c |= {"y_step": units + extra, "reverse": int(rng.integers(2)), "fresh": int(rng.integers(2))}
    if rng.integers(4) == 0:
        c |= {"y_step": 0, "tail": 0}
    c |= {"x_shift": 24, "h_shift": 24, "sum_lo": -32768, "sum_hi": 32767, "f_up": int(rng.integers(5))}
    if rng.integers(5) == 0:
        c |= {"x_shift": int(rng.integers(1, 40)), "h_shift": int(rng.integers(1, 40)), "sum_lo": -900, "sum_hi": 8000}
    c |= {"out_m": int(rng.integers(1, 2**15)), "out_shift": int(rng.integers(1, 31)), "out_lo": low, "out_hi": high}
    if rng.integers(2):  # as real layers have it
        c |= {"out_m": 32512, "out_shift": 22 if kind == "lstm" else 23}
    if kind != "rnn":
        c["g_up"] = int(rng.integers(5))
    if kind == "lstm":
        c |= {"c_up": int(rng.integers(1, 4)), "ig_down": int(rng.integers(1, 20)), "t_down": int(rng.integers(9))}
        c |= {"coupled": int(rng.integers(4) == 0), "peep_shift": int(rng.choice([0, 0, 1, 20, 40]))}
    if kind == "gru":
        c |= {
            "r_down": int(rng.choice([15, 15, 12])),
            "z_down": int(rng.choice([15, 15, 12])),
            "before": int(rng.integers(2)),
        }

    def many(shift: int, *shape: int) -> np.ndarray:
        top = 2.0 ** min(30.9, shift + float(rng.integers(-10, 7)))
        return np.rint(rng.uniform(-top, top, shape)).astype(np.int32)

    span = extra + units
    tables = [table(rng) for _ in range({"lstm": 3, "gru": 2, "rnn": 1}[kind])]
    c |= {f"{name}_shift": t.shift for name, t in zip("fgt", tables, strict=False)}
    return {
        "c": c,
        "in_zp": cases.zero_point(rng) if bits == 8 else 0,
        "x": rng.integers(low, high + 1, c["x_at"] + (steps + tail) * n_in).astype(dtype),
        "w": cases.weights(rng, gates, units, n_in),
        "r": cases.weights(rng, gates, units, units),
        "b": rng.integers(-(2**21), 2**21 + 1, (gates, units)).astype(np.int32) >> int(rng.integers(20)),
        "bh": rng.integers(-(2**21), 2**21 + 1, units).astype(np.int32) >> int(rng.integers(20)),
        "mx": many(c["x_shift"], gates, units),
        "mh": many(c["h_shift"], gates, units),
        "tables": tables,
        "peep": many(c.get("peep_shift", 0), 3, units),
        "y": np.full(c["y_at"] + (steps + tail if c["y_step"] else 1) * span, 77, dtype),
        "h": state(rng, 16, span) if kind == "gru" else state(rng, bits, span),
        "cell": rng.integers(-(2**23), 2**23, span).astype(np.int32),
    }


def state(rng: cases.Rng, bits: int, n: int) -> np.ndarray:
    return rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), n).astype(np.int8 if bits == 8 else np.int16)


def expected(kind: str, d: dict[str, Any]) -> list[np.ndarray]:
    """y, h and, of an LSTM, the cell, as the kernel must leave them."""
    c = d["c"]
    own = slice(c["at"], c["at"] + c["n_hidden"])
    y, h, cell = d["y"].copy(), d["h"].copy(), d["cell"].copy()
    if c["fresh"]:
        h[own], cell[own] = 0, 0
    rows = y[c["y_at"] :].reshape(-1, len(h))
    layer = Direction(
        c, d["in_zp"], d["x"][c["x_at"] :].reshape(-1, c["n_in"]), d["w"], d["r"], d["b"], d["mx"], d["mh"]
    )
    state, cells = h[own].tolist(), cell[own].tolist()
    if kind == "lstm":
        found = layer.lstm(*d["tables"], d["peep"], state, cells)
    elif kind == "gru":
        found = layer.gru(*d["tables"], d["bh"], state)
    else:
        found = layer.rnn(*d["tables"], state)
    h[own], cell[own] = state, cells
    for time, values in found.items():
        rows[time if c["y_step"] else 0, own] = values
    if c["tail"]:
        rows[c["steps"] :, own] = 0
    return [y, h, cell] if kind == "lstm" else [y, h]


def check(lib: Any, kind: str, bits: int, d: dict[str, Any]) -> None:
    c, wanted = d["c"], expected(kind, d)
    folded = (d["b"].astype(np.int64) - d["in_zp"] * d["w"].astype(np.int64).sum(axis=-1)).astype(np.int32)
    own = {"lstm": [d["peep"]], "gru": [], "rnn": []}[kind]
    bias = [folded, d["bh"]] if kind == "gru" else [folded]
    values = c["n_hidden"] * (1 if kind != "gru" else 2 if c["before"] else 3)
    scratch = Guarded(values * bits // 8)
    outs = [
        (d["y"], Guarded(d["y"].nbytes, d["y"].view(np.int8))),
        (d["h"], Guarded(d["h"].nbytes, d["h"].view(np.int8))),
    ]
    if kind == "lstm":
        outs.append((d["cell"], Guarded(d["cell"].nbytes, d["cell"].view(np.int8))))
    arrays = [o.raw[GUARD : GUARD + a.nbytes].view(a.dtype) for a, o in outs]
    consts = (d["w"], d["r"], *bias, d["mx"], d["mh"], *(t.entries for t in d["tables"]), *own)
    name = f"tg_{kind}_s{bits}"
    call(lib, name, name, c, d["x"], *consts, scratch.array, *arrays, outputs=len(outs))
    scratch.check()
    for (_, guarded), got, want in zip(outs, arrays, wanted, strict=True):
        guarded.check()
        assert np.array_equal(got, want.reshape(-1)), (c, got, want)
