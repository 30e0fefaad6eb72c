"""Cells in a loop, or one after the other, become one layer over a sequence, which computes the same."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.frontend.support import check, parse
from tests.passes.test_cells import _IN, _UNITS, _WEIGHTS, GRUS, LSTMS
from tinygen.calibrate.floatrun import FloatModel
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import Graph
from tinygen.ops import Concat, Gather, Gru, Lstm, Rnn, Slice
from tinygen.ops.recurrent import Recurrent
from tinygen.passes.pipeline import tidy

_RNG = np.random.default_rng(5)
_STEPS = 4
RNN = "p = MatMul(x, wz) q = MatMul(h, rz) s = Add(p, q) b = Add(s, bz) y = Tanh(b)"
CELLS = {f"lstm {k}": v for k, v in LSTMS.items()} | {f"gru {k}": v for k, v in GRUS.items()} | {"rnn": RNN}


def _step(form: str, k: int, x: str, h: str, c: str) -> str:
    """A cell's text with its names numbered; h is h_k then, and c is c_k."""
    text = CELLS[form]
    weights = {n for n in _WEIGHTS if re.search(rf"\b{n}\b", text)}
    names = {"x": x, "h": h, "c": c, "y": f"h{k}", **({"d": f"c{k}"} if form.startswith("lstm") else {})}
    keep = weights | {"transB", "axis", "num_outputs"}

    def rename(m: re.Match[str]) -> str:
        word = m.group()
        if word in names:
            return names[word]
        return word if word in keep or word[0].isupper() or word[0].isdigit() else f"{word}_{k}"

    return re.sub(r"[A-Za-z_]\w*", rename, text)


def _row(k: int, source: str = "data") -> str:
    return f"x{k}_ = Slice({source}, at{k}, at{k + 1}, axis) x{k} = Squeeze(x{k}_, axis) "


def _tidied(text: str, outs: str, given: str, tmp_path: Path, **more: np.ndarray) -> Graph:
    weights = {n: a for n, a in _WEIGHTS.items() if re.search(rf"\b{n}\b", text)}
    weights |= {n: a for n, a in more.items() if re.search(rf"\b{n}\b", text)}
    model = parse(f"g (float[1,{_STEPS},{_IN}] data{given}) => ({outs}) {{ {text} }}", weights=weights)
    graph = check(tmp_path, model, tolerance=1e-4).graph
    tidied = tidy(graph)
    xs = [_RNG.normal(size=(4, *p.shape)).astype(np.float32) for p in graph.in_ports]
    for want, got in zip(*(FloatModel(to_onnx(g)).run_many(xs) for g in (graph, tidied)), strict=True):
        np.testing.assert_allclose(got.reshape(want.shape), want, atol=1e-5)
    return tidied


def _unrolled(form: str, tmp_path: Path, *, zeros: bool, order: range = range(_STEPS), read: str = "last") -> Graph:
    """The cell once for each row in the order, one behind the other."""
    h, c, text = "h", "c", ""
    for k, at in enumerate(order):
        text += _row(at) + _step(form, k, f"x{at}", h, c) + " "
        h, c = f"h{k}", f"c{k}"
    if read == "all":
        text += f"all = Concat<axis = 1>({', '.join(f'h{k}' for k in range(_STEPS))})"
    begin = np.zeros((1, _UNITS), np.float32)
    given = "" if zeros else f", float[1,{_UNITS}] h" + (f", float[1,{_UNITS}] c" if form.startswith("lstm") else "")
    at = {f"at{k}": np.array([k]) for k in range(_STEPS + 1)}
    more = {"h": begin, "c": begin} if zeros else {}
    return _tidied(text, f"float {'all' if read == 'all' else h}", given, tmp_path, axis=np.array([1]), **at, **more)


def _only(graph: Graph) -> Recurrent:
    (cell,) = (n.op for n in graph.nodes if isinstance(n.op, Recurrent))
    assert type(cell) in (Lstm, Gru, Rnn)
    return cell


@pytest.mark.parametrize("form", CELLS)
def test_steps_from_zeros_are_one_layer(form: str, tmp_path: Path) -> None:
    op = _only(graph := _unrolled(form, tmp_path, zeros=True))
    assert type(op) is (Lstm if form.startswith("lstm") else Gru if form.startswith("gru") else Rnn)
    assert not op.initial
    assert len(graph.nodes) == 1


@pytest.mark.parametrize("form", ["lstm torch", "gru faded", "lstm tanh_by_sigmoid"])
def test_steps_from_a_state_are_one_layer(form: str, tmp_path: Path) -> None:
    assert _only(_unrolled(form, tmp_path, zeros=False)).initial


def test_backwards_is_reverse(tmp_path: Path) -> None:
    assert _only(_unrolled("gru torch", tmp_path, zeros=True, order=range(_STEPS)[::-1])).reverse == (True,)


def test_all_steps_are_the_sequence(tmp_path: Path) -> None:
    graph = _unrolled("gru faded", tmp_path, zeros=True, read="all")
    assert _only(graph).sequence
    assert not any(isinstance(n.op, Concat | Slice) for n in graph.nodes)


def test_rows_in_another_order_are_joined(tmp_path: Path) -> None:
    op = _only(graph := _unrolled("rnn", tmp_path, zeros=True, order=range(0, _STEPS, 3)))
    assert not op.initial
    assert any(isinstance(n.op, Concat) for n in graph.nodes)


def test_a_decoder_that_reads_its_own_output_stays_in_steps(tmp_path: Path) -> None:
    text = _row(0) + _step("rnn", 0, "x0", "zeros", "c")
    for k in (1, 2, 3):
        text += f" x{k} = MatMul(h{k - 1}, back) " + _step("rnn", k, f"x{k}", f"h{k - 1}", "c")
    more = {
        "at0": np.array([0]),
        "at1": np.array([1]),
        "axis": np.array([1]),
        "zeros": np.zeros((1, _UNITS), np.float32),
    }
    back = _RNG.normal(size=(_UNITS, _IN)).astype(np.float32)
    graph = _tidied(text, "float h3", "", tmp_path, back=back, **more)
    assert not any(isinstance(n.op, Recurrent) and n.op.sequence for n in graph.nodes)


def test_a_layer_that_clips_has_no_first_step_without_a_clip(tmp_path: Path) -> None:
    """Two cells of ONNX's own that clip, behind a step written out with their weights that does not."""
    text, at = _row(0) + _step("rnn", 0, "x0", "zeros", "c"), {f"at{k}": np.array([k]) for k in range(4)}
    w, r = (_WEIGHTS[n].T[None] for n in ("wz", "rz"))
    b = np.concatenate([_WEIGHTS["bz"], np.zeros(_UNITS, np.float32)])[None]
    for k in (1, 2):
        start = f"h{k - 1}" if k == 1 else f"k{k - 1}"
        view = f"s{k} = Unsqueeze({start}, first)" if k == 1 else f"s{k} = Identity({start})"
        text += f" y{k}_ = Slice(data, at{k}, at{k + 1}, axis) {view} "
        text += f"y{k}, k{k} = RNN<hidden_size = {_UNITS}, clip = 0.01>(y{k}_, w1, r1, b1, , s{k})"
    first = {"first": np.array([0]), "axis": np.array([1]), "zeros": np.zeros((1, _UNITS), np.float32)}
    graph = _tidied(text, "float k2", "", tmp_path, w1=w, r1=r, b1=b, **first, **at)
    assert all(n.op.initial for n in graph.nodes if isinstance(n.op, Recurrent))


@pytest.mark.parametrize("count", [3, _STEPS])
def test_only_a_whole_sequence_is_turned(count: int, tmp_path: Path) -> None:
    text = "part = Slice(data, at0, end, axis) turned = Slice(part, back, before, axis, back) "
    text += f"rows = Transpose<perm = [1, 0, 2]>(turned) y, h = LSTM<hidden_size = {_UNITS}>(rows, w1, r1)"
    w, r = (_RNG.normal(size=(1, 4 * _UNITS, n)).astype(np.float32) for n in (_IN, _UNITS))
    more = {"at0": np.array([0]), "end": np.array([count]), "back": np.array([-1]), "before": np.array([-100])}
    op = _only(_tidied(text, "float y", "", tmp_path, w1=w, r1=r, axis=np.array([1]), **more))
    assert op.reverse == (count == _STEPS,)


def test_layers_above_each_other_are_each_one(tmp_path: Path) -> None:
    """With as many inputs as units, a step of the upper one does not say which of both is its state."""
    text, h, g, hc, gc = "", "zeros", "zeros", "zeros", "zeros"
    for k in range(_STEPS):
        text += (
            _row(k)
            + f"a{k} = MatMul(x{k}, square) "
            + _step("lstm one_layer", k, f"a{k}", h, hc).replace("both", "two")
            + " "
        )
        h, hc = f"h{k}", f"c{k}"
        upper = _step("lstm one_layer", 10 + k, h, g, gc).replace("both", "deep")
        text += upper + " "
        g, gc = f"h{10 + k}", f"c{10 + k}"
    square = _RNG.normal(size=(_IN, _UNITS)).astype(np.float32)
    two, deep = (0.4 * _RNG.normal(size=(2 * _UNITS, 4 * _UNITS)).astype(np.float32) for _ in range(2))
    at = {f"at{k}": np.array([k]) for k in range(_STEPS + 1)}
    zeros = np.zeros((1, _UNITS), np.float32)
    graph = _tidied(
        text, f"float {g}", "", tmp_path, square=square, two=two, deep=deep, zeros=zeros, axis=np.array([1]), **at
    )
    cells = [n for n in graph.nodes if isinstance(n.op, Recurrent)]
    assert len(cells) == 2
    assert all(not n.op.initial for n in cells)


def test_other_weights_are_another_layer(tmp_path: Path) -> None:
    text = (
        _row(0) + _step("rnn", 0, "x0", "h", "c") + " " + _row(1) + _step("rnn", 1, "x1", "h0", "c").replace("wz", "wn")
    )
    at = {f"at{k}": np.array([k]) for k in range(3)}
    graph = _tidied(text, "float h1", f", float[1,{_UNITS}] h", tmp_path, axis=np.array([1]), **at)
    assert not any(isinstance(n.op, Recurrent) for n in graph.nodes)


@pytest.mark.parametrize("read", ["last", "all"])
def test_a_reversed_sequence_is_read_backwards(read: str, tmp_path: Path) -> None:
    """As Keras writes the second direction: its steps in the order of the first come reversed."""
    text, h = "turned = Slice(data, end, before, axis, back) ", "zeros"
    for k in range(_STEPS):
        text += _row(k, "turned") + _step("rnn", k, f"x{k}", h, "c") + " "
        h = f"h{k}"
    text += f"rows = Concat<axis = 1>({', '.join(f'h{k}_' for k in range(_STEPS))}) " if read == "all" else ""
    text += "all = Slice(rows, end, before, axis, back)" if read == "all" else f"last = Identity({h})"
    if read == "all":
        views = " ".join(f"h{k}_ = Unsqueeze(h{k}, axis)" for k in range(_STEPS))
        text = text.replace("rows = ", f"{views} rows = ")
    at = {f"at{k}": np.array([k]) for k in range(_STEPS + 1)}
    more = {"end": np.array([_STEPS]), "before": np.array([-100]), "back": np.array([-1]), "axis": np.array([1])}
    graph = _tidied(text, f"float {read}", "", tmp_path, zeros=np.zeros((1, _UNITS), np.float32), **more, **at)
    assert _only(graph).reverse == (True,)
    assert not any(isinstance(n.op, Gather | Concat | Slice) for n in graph.nodes)


def test_directions_taken_apart_and_joined_again_stay(tmp_path: Path) -> None:
    weights = [_RNG.normal(size=s).astype(np.float32) for s in ((2, 24, _IN), (2, 24, _UNITS), (2, 48))]
    text = 'y = LSTM<hidden_size = 6, direction = "bidirectional">(turned, w2, r2, b2) '
    text = "turned = Transpose<perm = [1, 0, 2]>(data) " + text
    text += "a, b = Split<axis = 1, num_outputs = 2>(y) c1 = Squeeze(a, axis) d1 = Squeeze(b, axis) "
    text += "all = Concat<axis = 2>(c1, d1)"
    more = dict(zip(("w2", "r2", "b2"), weights, strict=True))
    graph = _tidied(text, "float all", "", tmp_path, axis=np.array([1]), **more)
    assert not any(isinstance(n.op, Concat | Slice) for n in graph.nodes)


@pytest.mark.parametrize("form", ["lstm torch", "gru reset_before", "rnn"])
def test_a_loop_is_one_layer(form: str, tmp_path: Path) -> None:
    """As Keras writes it: rows picked by the counter, all steps behind each other."""
    c = form.startswith("lstm")
    given, carried = ("", "") if not c else (f", float[1,{_UNITS}] c", "float c0, ")
    body = f"""b (int64 i, bool go, float[1,{_UNITS}] h{given}) => (bool go_out, float h0, {carried}float seen) {{
        row = Gather<axis = 1>(data, i) {_step(form, 0, "row", "h", "c")}
        seen = Identity(h0) go_out = Identity(go) }}"""
    outs = "last, kept, all" if c else "last, all"
    text = f"{outs} = Loop<body = {body}>(count, yes, zeros{', zeros' if c else ''})"
    more = {"count": np.array(_STEPS), "yes": np.array(True), "zeros": np.zeros((1, _UNITS), np.float32)}
    graph = _tidied(text, "float last, float all", "", tmp_path, **more)
    assert _only(graph).sequence
    (node,) = (n for n in graph.nodes if isinstance(n.op, Recurrent))
    assert node.origin == ("Loop_0",)


def test_several_sequences_are_reversed_each(tmp_path: Path) -> None:
    weights = {"w": _RNG.normal(size=(1, _UNITS, _IN)), "r": _RNG.normal(size=(1, _UNITS, _UNITS)) / 4}
    where = {"end": [-1], "before": [-100], "axis": [0], "back": [-1]}
    text = f"""
        g (float[{_STEPS},2,{_IN}] data) => (float y)
        {{ turned = Slice(data, end, before, axis, back) y = RNN<hidden_size = {_UNITS}>(turned, w, r) }}"""
    made = {k: v.astype(np.float32) for k, v in weights.items()} | {k: np.array(v) for k, v in where.items()}
    imported = check(tmp_path, parse(text, weights=made), input_shapes={"data": (_STEPS, 2, _IN)})
    assert _only(tidy(imported.graph)).reverse == (True,)
