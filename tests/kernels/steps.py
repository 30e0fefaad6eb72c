"""Cases of the recurrent family: steps of both kinds, unrolled, looped, behind what works x out for two, and that."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.c.oracle import Direction
from tests.c.test_dwplane import numbers
from tests.kernels.harness import Case
from tinygen.kernels.recurrent import pack
from tinygen.kernels.recurrent.gru import GruShifts
from tinygen.kernels.recurrent.kernel import inputs_kernel, step_kernel
from tinygen.kernels.recurrent.lstm import LstmShifts
from tinygen.ops.gates import GateTable, gate_table

GUARD = 8
#: (kind, way, inputs, units, whether shifts are 0 where they may be)
SHAPES = (
    ("lstm", "unrolled", 9, 40, False),
    ("lstm", "looped", 10, 38, False),
    ("lstm", "given", 6, 38, False),
    ("lstm", "looped", 4, 38, True),
    ("gru", "unrolled", 9, 40, False),
    ("gru", "looped", 10, 38, False),
    ("gru", "given", 6, 38, False),
    ("gru", "unrolled", 4, 40, True),
    ("lstm", "inputs", 19, 22, False),
    ("gru", "inputs", 8, 12, False),
)


def curves(*, plain: bool) -> tuple[GateTable, GateTable, GateTable]:
    """Of the gates, the input and the cell; with three shifts, if not `plain`."""
    sigmoid = gate_table(lambda x: 1 / (1 + np.exp(-6 * x)), 2.0**-15)
    tanh = gate_table(lambda x: np.tanh(5 * x), 2.0**-15)
    return (sigmoid, sigmoid, sigmoid) if plain else (sigmoid, tanh, gate_table(lambda x: np.tanh(2 * x), 2.0**-15))


def layer(rng: np.random.Generator, kind: str, n_in: int, units: int, *, plain: bool) -> dict[str, Any]:
    """Two steps of a layer. Curves are steep, so that the last bit of a sum is seen in outputs; some of all values are
    at an end of their range."""
    gates = 4 if kind == "lstm" else 3
    c = {"steps": 2, "reverse": 0, "n_hidden": units, "x_shift": 24, "h_shift": 24, "sum_lo": -32768, "sum_hi": 32767}
    c |= {"out_lo": -128, "out_hi": 127, "f_up": 0 if plain else 5, "g_up": 0 if plain else 4, "out_m": 32512}
    if kind == "lstm":
        c |= {"c_up": 0 if plain else 1, "ig_down": 0 if plain else 9, "t_down": 0 if plain else 8, "coupled": 0}
        c |= {"peep_shift": 0, "out_shift": 22}
    else:
        c |= {"r_down": 15, "z_down": 15, "out_shift": 23, "before": 1}
    x = rng.integers(-128, 128, (2, n_in))
    state = rng.integers(-128, 128, units) if kind == "lstm" else rng.integers(-32768, 32768, units)
    shape = (gates, units)
    w, r = (_weights(rng, shape, n) for n in (n_in, units))
    b, bh = rng.integers(-900, 900, shape), rng.integers(-900, 900, units)
    std = (20000 if plain else 900) * rng.uniform(0.5, 1, shape)
    mx, mh = (std / (74 * np.sqrt(1 + (a.astype(np.float64) ** 2).sum(axis=-1))) for a in (w, r))
    # to some units x brings more than 16 bits hold, and h takes it away again
    far = rng.integers(0, 6, shape)
    for step in range(2):
        w = np.where((far == step)[..., None], np.abs(w) * np.sign(x[step]), w)
    r = np.where((far < 2)[..., None], -np.abs(r) * np.sign(state), r)
    brought = [(np.abs(a).sum(axis=-1) * 64 + 1) for a in (w, r)]
    mx, mh = np.where(far < 2, 50000 / brought[0], mx), np.where(far < 2, 42000 / brought[1], mh)
    mx, mh = ((2**24 * np.minimum(m, 100)).astype(np.int64) for m in (mx, mh))
    cell = rng.integers(-(2**23), 2**23, units)
    return {"c": c, "x": x, "w": w, "r": r, "b": b, "bh": bh, "mx": mx, "mh": mh, "state": state, "cell": cell}


def _weights(rng: np.random.Generator, shape: tuple[int, int], n: int) -> np.ndarray:
    """Of some rows so small that one more in a sum is seen."""
    w: np.ndarray = rng.integers(-127, 128, (*shape, n)) // rng.choice([1, 1, 24], (*shape, 1))
    return w


def case(index: int) -> Case:
    """One of `SHAPES`: the first step of a layer, or what x brings to two."""
    kind, way, n_in, units, plain = SHAPES[index]
    rng = np.random.default_rng(400 + index)
    d = layer(rng, kind, n_in, units, plain=plain)
    c, unit = d["c"], 4 if way == "looped" else 2
    x_up, h_up, gates = pack.up(n_in, unit), pack.up(units, unit), len(d["w"])
    oracle = Direction(c, 0, d["x"], d["w"], d["r"], d["b"], d["mx"], d["mh"])
    px = [_pairs(oracle, gates, units, time) for time in range(2)]
    folded = [a.astype(np.int32) for a in (d["b"], d["mx"], d["mh"])]
    r_bias = d["bh"].astype(np.int32) if kind == "gru" else None
    steps, inputs = pack.pack(d["w"], d["r"], *folded, r_bias, unit, two=way in ("given", "inputs"))
    x = [_window(d["x"][time], x_up) for time in range(2)]
    n = f"_{index}"
    if way == "inputs":
        return _inputs(n, x_up // 2, inputs, np.concatenate(x), px)
    tables = curves(plain=plain)
    h = [oracle.narrow(int(v)) for v in d["state"]] if kind == "gru" else d["state"].tolist()
    window = np.concatenate([*([] if way == "given" else [x[0]]), np.pad(h, (0, h_up - units))])
    state, cell = d["state"].tolist(), d["cell"].tolist()
    c["steps"] = 1
    oracle.times = [0]
    if kind == "lstm":
        y = oracle.lstm(*tables, None, state, cell)[0]
        after, members = np.array(cell), ("c", "outer")
        shifts: LstmShifts | GruShifts = LstmShifts(
            c["f_up"], c["g_up"], c["c_up"], c["ig_down"], c["t_down"], c["out_shift"], *(t.shift for t in tables)
        )
    else:
        y = oracle.gru(*tables[:2], d["bh"], state)[0]
        after, members = np.array(state), ("state", "")
        shifts = GruShifts(
            c["f_up"], c["g_up"], c["r_down"], c["z_down"], c["out_shift"], *(t.shift for t in tables[:2])
        )
    words = None if way == "looped" else (0 if way == "given" else x_up // 2, h_up // 2)
    before = d["cell"] if kind == "lstm" else d["state"]
    size = "int32_t" if kind == "lstm" else "int16_t"
    outer = f".outer = &t2{n}[128], " if members[1] else ""
    curve = "".join(f"static const int32_t t{k}{n}[] = {{{numbers(t.entries)}}};\n" for k, t in enumerate(tables))
    data = f"""
static const int16_t window{n}[] TG_ALIGN(4) = {{{numbers(window)}}};
static const int32_t w{n}[] = {{{numbers(steps)}}};
static const int32_t px{n}[] = {{{numbers(px[0])}}};
{curve}
static const int16_t want_h{n}[] = {{{numbers(_framed(y))}}};
static const int8_t want_y{n}[] = {{{numbers(_framed(y))}}};
static const {size} want_s{n}[] = {{{numbers(_framed(after))}}};
static int16_t h{n}[] TG_ALIGN(4) = {{{numbers(_framed(np.zeros(units)))}}};
static int8_t y{n}[] = {{{numbers(_framed(np.zeros(units)))}}};
static {size} s{n}[] TG_ALIGN(4) = {{{numbers(_framed(before))}}};
static const tg_{kind}_step_t step{n} = {{.w = w{n}, .w_end = &w{n}[{steps.size}], .gates = &t0{n}[128],
    .inner = &t1{n}[128], .{members[0]} = &s{n}[{GUARD}], {outer}.m = {c["out_m"]},
    .x_bytes = {0 if way == "given" else 2 * x_up}, .h_bytes = {2 * h_up}, .px = px{n}}};"""
    blocks = units // 2
    return Case(
        step_kernel(shifts, words), data, (f"&step{n}", f"window{n}", f"&h{n}[{GUARD}]", f"&y{n}[{GUARD}]"),
        " && ".join(f"(memcmp({a}{n}, want_{a}{n}, sizeof {a}{n}) == 0)" for a in "hys"),
        {"blocks": blocks, "all words": [x_up // 4, h_up // 4] * blocks},
    )  # fmt: skip


def _inputs(n: str, words: int, stream: np.ndarray, window: np.ndarray, px: list[np.ndarray]) -> Case:
    """Pairs beyond those of the layer are filled up, and not looked at."""
    size = pack.up(px[0].size, 2)
    data = f"""
static const int16_t window{n}[] TG_ALIGN(4) = {{{numbers(window)}}};
static const int32_t w{n}[] = {{{numbers(stream)}}};
static const int32_t want_first{n}[] = {{{numbers(px[0])}}};
static const int32_t want_second{n}[] = {{{numbers(px[1])}}};
static int32_t first{n}[{size}];
static int32_t second{n}[{size}];
static const tg_inputs_step_t step{n} = {{w{n}, &w{n}[{stream.size}], first{n}, second{n}}};"""
    return Case(
        inputs_kernel(words), data, (f"&step{n}", f"window{n}"),
        " && ".join(f"(memcmp({a}{n}, want_{a}{n}, sizeof want_{a}{n}) == 0)" for a in ("first", "second")),
        {"blocks": size // 2},
    )  # fmt: skip


def _pairs(oracle: Direction, gates: int, units: int, time: int) -> np.ndarray:
    """What x brings, as halves of two units, block by block and gate by gate."""
    found = [[oracle.from_x(g, u, time) for u in (e, e + 1)] for e in range(0, units, 2) for g in range(gates)]
    words: np.ndarray = np.array(found).astype("<i2").view("<i4").ravel()
    return words


def _window(x: np.ndarray, size: int) -> np.ndarray:
    """Bytes 0, 2, 1, 3 of every whole four."""
    fours = len(x) // 4 * 4
    order = np.arange(fours).reshape(-1, 4)[:, pack.QUAD].ravel()
    return np.pad(np.concatenate([x[order], x[fours:]]), (0, size - len(x)))


def _framed(a: object) -> np.ndarray:
    return np.concatenate([[77] * GUARD, np.ravel(np.array(a)), [77] * GUARD])


def all_cases() -> list[Case]:
    """One of each."""
    return [case(i) for i in range(len(SHAPES))]
