"""LSTM and GRU cells written out become one operator, which computes the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.frontend.support import check, import_model, parse
from tinygen.calibrate.floatrun import FloatModel
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import Graph
from tinygen.ops import Gru, Lstm
from tinygen.ops.recurrent import Recurrent
from tinygen.passes.pipeline import tidy

_RNG = np.random.default_rng(11)
_IN, _UNITS = 5, 6
_W = {
    "wx": _RNG.normal(size=(4 * _UNITS, _IN)),
    "wh": 0.4 * _RNG.normal(size=(4 * _UNITS, _UNITS)),
    "bx": _RNG.normal(size=4 * _UNITS),
    "bh": _RNG.normal(size=4 * _UNITS),
    "both": 0.4 * _RNG.normal(size=(_IN + _UNITS, 4 * _UNITS)),
    "ux": _RNG.normal(size=(3 * _UNITS, _IN)),
    "uh": 0.4 * _RNG.normal(size=(3 * _UNITS, _UNITS)),
    "cx": _RNG.normal(size=3 * _UNITS),
    "ch": _RNG.normal(size=3 * _UNITS),
    **{f"w{k}": _RNG.normal(size=(_IN, _UNITS)) for k in "zrn"},
    **{f"r{k}": 0.4 * _RNG.normal(size=(_UNITS, _UNITS)) for k in "zrn"},
    **{f"b{k}": _RNG.normal(size=_UNITS) for k in "zrn"},
    "one": np.array(1.0),
    "half": np.array(0.5),
    "two": np.array(2.0),
}
_WEIGHTS = {name: array.astype(np.float32) for name, array in _W.items()}

_TORCH_SUMS = "p = Gemm<transB = 1>(x, wx, bx) q = Gemm<transB = 1>(h, wh, bh) s = Add(p, q) "
_GATES = "i, f, g, o = Split<axis = 1, num_outputs = 4>(s) "
_LSTM_END = (
    "si = Sigmoid(i) sf = Sigmoid(f) tg = Tanh(g) so = Sigmoid(o) a = Mul(sf, c) b = Mul(si, tg) d = Add(a, b) "
    "e = Tanh(d) y = Mul(so, e)"
)
LSTMS = {
    "torch": _TORCH_SUMS + _GATES + _LSTM_END,
    "one_layer": "j = Concat<axis = 1>(h, x) m = MatMul(j, both) s = Add(m, bx) " + _GATES + _LSTM_END,
    "tanh_by_sigmoid": _TORCH_SUMS + _GATES + "si = Sigmoid(i) sf = Sigmoid(f) g2 = Mul(g, two) u = Sigmoid(g2) "
    "v = Mul(u, two) tg = Sub(v, one) so = Sigmoid(o) a = Mul(c, sf) b = Mul(tg, si) d = Add(b, a) e = Tanh(d) "
    "y = Mul(e, so)",
}

_SUMS = (
    "xz = MatMul(x, wz) hz = MatMul(h, rz) z0 = Add(xz, hz) z1 = Add(z0, bz) z = Sigmoid(z1) "
    "xr = MatMul(x, wr) hr = MatMul(h, rr) r0 = Add(xr, hr) r1 = Add(r0, br) r = Sigmoid(r1) xn = MatMul(x, wn) "
)
_BEFORE = _SUMS + "k = Mul(r, h) hn = MatMul(k, rn) n0 = Add(xn, hn) n1 = Add(n0, bn) n = Tanh(n1) "
_AFTER = _SUMS + "hn = MatMul(h, rn) hb = Add(hn, bn) k = Mul(hb, r) n1 = Add(xn, k) n = Tanh(n1) "
GRUS = {
    "torch": "p = Gemm<transB = 1>(x, ux, cx) q = Gemm<transB = 1>(h, uh, ch) "
    "pr, pz, pn = Split<axis = 1, num_outputs = 3>(p) qr, qz, qn = Split<axis = 1, num_outputs = 3>(q) "
    "r0 = Add(pr, qr) r = Sigmoid(r0) z0 = Add(pz, qz) z = Sigmoid(z0) m = Mul(r, qn) n0 = Add(pn, m) n = Tanh(n0) "
    "d = Sub(h, n) e = Mul(d, z) y = Add(e, n)",
    "faded": _AFTER + "o = Sub(one, z) a = Mul(o, n) b = Mul(z, h) y = Add(a, b)",
    "reset_before": _BEFORE + "d = Sub(h, n) e = Mul(z, d) y = Add(n, e)",
    "other_gate": _BEFORE + "d = Sub(n, h) e = Mul(z, d) y = Add(h, e)",
    "other_faded": _BEFORE + "o = Sub(one, z) a = Mul(o, h) b = Mul(z, n) y = Add(a, b)",
}

#: Nearly a cell: another curve, gates that do not fade into each other, a gate of a third input.
OTHERS = {
    "softsign": (_TORCH_SUMS + _GATES + _LSTM_END).replace("tg = Tanh(g)", "tg = Softsign(g)"),
    "half": _AFTER + "o = Sub(half, z) a = Mul(o, n) b = Mul(z, h) y = Add(a, b)",
    "two_gates": _AFTER + "o = Sub(one, r) a = Mul(o, n) b = Mul(z, h) y = Add(a, b)",
    "gated_by_c": (_TORCH_SUMS + _GATES + _LSTM_END).replace("so = Sigmoid(o)", "oc = Add(o, c) so = Sigmoid(oc)"),
}


def _tidied(text: str, tmp_path: Path) -> Graph:
    shapes = f"float[1,{_IN}] x, float[1,{_UNITS}] h, float[1,{_UNITS}] c"
    ends = ("y", "d") if " d = Add(" in text else ("y",)
    used = {n: a for n, a in _WEIGHTS.items() if f"{n})" in text or f"{n}," in text}
    keep = "" if "c)" in text or "c," in text else " unread = Identity(c)"
    outs = ", ".join(f"float {e}" for e in (*ends, *(["unread"] if keep else ())))
    model = parse(f"g ({shapes}) => ({outs}) {{ {text}{keep} }}", weights=used)
    graph = check(tmp_path, model).graph
    tidied = tidy(graph)
    xs = [_RNG.normal(size=(4, *p.shape)).astype(np.float32) for p in graph.in_ports]
    found = [FloatModel(to_onnx(g)).run_many(xs) for g in (graph, tidied)]
    for want, got in zip(*found, strict=True):
        np.testing.assert_allclose(got.reshape(want.shape), want, atol=1e-5)
    return tidied


@pytest.mark.parametrize("form", LSTMS)
def test_an_lstm_is_one_operator(form: str, tmp_path: Path) -> None:
    cells = [n for n in _tidied(LSTMS[form], tmp_path).nodes if isinstance(n.op, Recurrent)]
    assert [type(n.op) for n in cells] == [Lstm]
    assert [n.label for n in cells] == ["LSTM"]


@pytest.mark.parametrize("form", GRUS)
def test_a_gru_is_one_operator(form: str, tmp_path: Path) -> None:
    (cell,) = (n for n in _tidied(GRUS[form], tmp_path).nodes if isinstance(n.op, Recurrent))
    assert isinstance(cell.op, Gru)
    assert cell.op.before == (form in ("torch", "faded"))


@pytest.mark.parametrize("form", OTHERS)
def test_others_stay(form: str, tmp_path: Path) -> None:
    assert not [n for n in _tidied(OTHERS[form], tmp_path).nodes if isinstance(n.op, Recurrent)]


def test_a_cell_in_a_file_with_pins(tmp_path: Path) -> None:
    """Its nodes work on h or on c; as one they work on both, which is no pin lost."""
    pin = "xq = QuantizeLinear(x0, scale, zero) x = DequantizeLinear(xq, scale, zero)"
    weights = {k: v for k, v in _WEIGHTS.items() if k in ("wx", "wh", "bx", "bh")}
    weights |= {"scale": np.float32(0.01), "zero": np.int8(3)}
    shape = f"float[1,{_IN}] x0, float[1,{_UNITS}] h, float[1,{_UNITS}] c"
    model = parse(f"g ({shape}) => (float y, float d) {{ {pin} {LSTMS['torch']} }}", weights=weights)
    graph = tidy(import_model(tmp_path, model).graph)
    assert [type(n.op) for n in graph.nodes if isinstance(n.op, Recurrent)] == [Lstm]
