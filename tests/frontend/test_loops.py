"""Loop and Scan whose steps are known are written out; against onnxruntime. The others are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.frontend.support import check, import_model, ops_of, parse
from tinygen.errors import UnsupportedError

_N = {"n": np.array(3), "yes": np.array(True), "no": np.array(False), "ten": np.array(10), "one": np.array(1)}
_W = {"w": np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)}
_BODY = "hw = MatMul(h, w) s = Add(hw, row) hn = Tanh(s)"


def test_a_loop_hands_on_what_it_carries(tmp_path: Path) -> None:
    text = f"""g (float[1,3,4] x, float[1,4] h0) => (float y, float all) {{
        y, all = Loop <body = b (int64 i, bool c, float[1,4] h) => (bool cn, float[1,4] hn, float[1,4] seen) {{
            row = Gather <axis = 1> (x, i) {_BODY} cn = Identity(c) seen = Neg(hn) }}> (n, yes, h0) }}"""
    graph = check(tmp_path, parse(text, weights={**_W, "n": _N["n"], "yes": _N["yes"]})).graph
    assert ops_of(graph).count("Dense") == 3
    assert graph.tensors[graph.outputs[1]].shape == (3, 1, 4)


@pytest.mark.parametrize("most", ['""', "ten"])
def test_a_condition_that_is_counted_ends_it(most: str, tmp_path: Path) -> None:
    text = f"""g (float[1,4] h0) => (float y) {{
        k, y = Loop <body = b (int64 i, bool c, int64 k, float[1,4] h) => (bool cn, int64 kn, float[1,4] hn) {{
            kn = Add(k, one) cn = Less(kn, n) hn = MatMul(h, w) }}> ({most}, "", one, h0) }}"""
    weights = {**_W, "n": np.array(4), "one": _N["one"]} | ({"ten": _N["ten"]} if most == "ten" else {})
    assert ops_of(check(tmp_path, parse(text, weights=weights)).graph).count("Dense") == 3


def test_a_loop_in_a_loop(tmp_path: Path) -> None:
    text = """g (float[1,4] h0) => (float y) {
        y = Loop <body = b (int64 i, bool c, float[1,4] h) => (bool cn, float[1,4] hn) {
            cn = Identity(c)
            hn = Loop <body = d (int64 j, bool e, float[1,4] k) => (bool en, float[1,4] kn) {
                en = Identity(e) m = MatMul(k, w) kn = Add(m, h) }> (two, yes, h) }> (n, yes, h0) }"""
    weights = {**_W, "n": _N["n"], "yes": _N["yes"], "two": np.array(2)}
    assert ops_of(check(tmp_path, parse(text, weights=weights)).graph).count("Dense") == 6


def test_constants_of_a_body_are_there_once(tmp_path: Path) -> None:
    text = """g (float[1,4] h0) => (float y) {
        y = Loop <body = b (int64 i, bool c, float[1,4] h) => (bool cn, float[1,4] hn) {
            cn = Identity(c) k = Constant<value = float[4] {0.5, 1.5, -1.0, 2.0}>() hn = Mul(h, k) }> (n, yes, h0) }"""
    graph = check(tmp_path, parse(text, weights={"n": _N["n"], "yes": _N["yes"]})).graph
    assert ops_of(graph) == ["Mul"] * 3
    assert len([t for t in graph.tensors.values() if t.const is not None]) == 1


@pytest.mark.parametrize(("backwards", "axis"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_a_scan_walks_an_axis(backwards: int, axis: int, tmp_path: Path) -> None:
    shape = "float[3,1,4] x" if axis == 0 else "float[1,3,4] x"
    text = f"""g ({shape}, float[1,4] h0) => (float y, float all) {{
        y, all = Scan <num_scan_inputs = 1, scan_input_axes = [{axis}], scan_input_directions = [{backwards}],
            scan_output_axes = [1], scan_output_directions = [{backwards}],
            body = b (float[1,4] h, float[1,4] row) => (float[1,4] hn, float[1,4] seen) {{
            {_BODY} seen = Neg(hn) }}> (h0, x) }}"""
    shapes = {"x": (3, 1, 4)} if axis == 0 else None
    graph = check(tmp_path, parse(text, weights=_W), input_shapes=shapes).graph
    assert graph.tensors[graph.outputs[1]].shape == (1, 3, 4)


_REFUSED = {
    "data": (
        "cn0 = ReduceMax <keepdims = 0> (hn) cn = Greater(cn0, zero)",
        "n",
        "whether it goes on depends on the data",
    ),
    "endless": ("cn = Identity(c)", '""', "more than 8,192 nodes"),
}


@pytest.mark.parametrize("why", _REFUSED)
def test_other_loops_are_refused(why: str, tmp_path: Path) -> None:
    condition, most, said = _REFUSED[why]
    text = f"""g (float[1,4] h0) => (float y) {{
        y = Loop <body = b (int64 i, bool c, float[1,4] h) => (bool cn, float[1,4] hn) {{
            hn = MatMul(h, w) {condition} }}> ({most}, yes, h0) }}"""
    weights = {**_W, "yes": _N["yes"]} | ({"n": _N["n"], "zero": np.float32(0)} if why == "data" else {})
    with pytest.raises(UnsupportedError) as e:
        import_model(tmp_path, parse(text, weights=weights))
    (problem,) = e.value.problems
    assert problem.operator == "Loop"
    assert said in problem.what
    assert "docs/STATE.md" in problem.help


def test_a_step_that_cannot_be_read_is_named_once(tmp_path: Path) -> None:
    text = """g (float[1,4] h0) => (float y) {
        y = Loop <body = b (int64 i, bool c, float[1,4] h) => (bool cn, float[1,4] hn) {
            cn = Identity(c) hn = Det(h) }> (n, yes, h0) }"""
    with pytest.raises(UnsupportedError) as e:
        import_model(tmp_path, parse(text, weights={"n": _N["n"], "yes": _N["yes"]}))
    assert [p.operator for p in e.value.problems] == ["Det"]
