"""Inputs that are made constants, pairs of input and output that are a state, and pairs that only look like one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from tests.frontend.support import parse, save
from tinygen.errors import ModelError
from tinygen.frontend.onnx_reader import Imported, read_onnx

STEP = """
    g (float[1, 4] x, float[1, 4] h) => (float[1, 4] y, float[1, 4] h_out) {
        h_out = Add (x, h)
        y = Relu (h_out)
    }
"""
SWITCH = """
    g (float[1, 4] x, int64 sr, float[1, 2] k) => (float[1, 4] y) {
        slow = Constant <value = int64 {8000}> ()
        is_slow = Equal (sr, slow)
        z = If (is_slow) <
            then_branch = a () => (float[1, 4] za) { za = Relu (x) },
            else_branch = b () => (float[1, 4] zb) { zb = Neg (x) }
        >
        s = ReduceSum <keepdims = 0> (k)
        y = Mul (z, s)
    }
"""


def read(folder: Path, text: str, **edges: Any) -> Imported:
    return read_onnx(save(folder, parse(text)), **edges)


def test_pair_becomes_a_state(tmp_path: Path) -> None:
    graph = read(tmp_path, STEP, states={"h": "h_out"}).graph
    assert (graph.inputs, graph.outputs, [p.name for p in graph.out_ports]) == (("x",), ("y",), ["y"])
    (state,) = graph.states
    assert (state.name, state.reads, state.writes, state.initial) == ("h", "h", "h_out", None)


def test_last_output_stays(tmp_path: Path) -> None:
    """A network needs one; that it is a state besides does no harm."""
    text = STEP.replace("float[1, 4] y, ", "").replace("y = Relu (h_out)", "")
    found = read(tmp_path, text, states={"h": "h_out"})
    assert found.graph.outputs == ("h_out",)
    assert any("the outputs stay" in n for n in found.notes)


def test_value_that_is_handed_on_is_copied(tmp_path: Path) -> None:
    """A delay line: what a state writes is made by a node, never an input or another state itself."""
    text = """
            g (float[1, 4] x, float[1, 4] a, float[1, 4] b) => (float[1, 4] y, float[1, 4] a_out, float[1, 4] b_out) {
            a_out = Identity (x)
            b_out = Identity (a)
            s = Add (x, a)
            y = Add (s, b)
        }
    """
    graph = read(tmp_path, text, states={"a": "a_out", "b": "b_out"}).graph
    assert all(s.writes in graph.producer for s in graph.states)
    assert len({s.writes for s in graph.states}) == 2


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ({"g": "h_out"}, 'no input "g"; its inputs are x, h'),
        ({"h": "hout"}, 'no output "hout"; its outputs are y, h_out. Did you mean'),
        ({"h": "h_out", "x": "h_out"}, 'output "h_out" is carried to two inputs'),
        ({"h": "h_out", "x": "y"}, "nothing comes in from outside"),
    ],
)
def test_what_is_no_state(tmp_path: Path, states: dict[str, str], said: str) -> None:
    with pytest.raises(ModelError, match=said.replace("(", r"\(")):
        read(tmp_path, STEP, states=states)


def test_ends_of_two_shapes(tmp_path: Path) -> None:
    text = STEP.replace("y = Relu (h_out)", "y = ReduceSum <keepdims = 1> (h_out)").replace(
        "float[1, 4] y", "float[1, 1] y"
    )
    with pytest.raises(ModelError, match=r'input "h" is float32 \[1, 4\] and output "y" is float32 \[1, 1\]'):
        read(tmp_path, text, states={"h": "y"})


def test_open_batch_of_a_state(tmp_path: Path) -> None:
    """Packed states have their batch behind the first axis, which is none."""
    text = """
    g (float[1, 4] x, float[2, b, 4] h) => (float[1, 4] y, float[2, 1, 4] h_next) {
        h_next = Add (h, x)
        y = ReduceMax <keepdims = 0> (h_next)
    }
    """
    graph = read(tmp_path, text, states={"h": "h_next"}).graph
    assert graph.tensors["h"].shape == (2, 1, 4)


@pytest.mark.parametrize(("sr", "operator"), [(8000, "Relu"), (16000, "Neg")])
def test_constant_decides_a_branch(tmp_path: Path, sr: int, operator: str) -> None:
    found = read(tmp_path, SWITCH, constants={"sr": sr, "k": [0.5, 1.5]})
    assert found.graph.inputs == ("x",)
    assert any(operator in o for n in found.graph.nodes for o in n.origin)
    assert f'input "sr" is always {sr}' in found.notes
    assert found.constants == {"sr": sr, "k": [0.5, 1.5]}


@pytest.mark.parametrize(
    ("constants", "said"),
    [
        ({"rate": 1}, '`constants` sets "rate"; the model\'s inputs are x, sr, k'),
        ({"sr": 0.5}, "found 0.5; the input is int64"),
        ({"sr": 2**80}, "found"),
        ({"sr": [1, 2]}, r"to \[2\] values; the input is \[\]"),
        ({"k": [1.0, 2.0, 3.0]}, r"to \[3\] values; the input is \[1, 2\]"),
        ({"k": float("nan")}, "allowed are finite numbers"),
        ({"k": "two"}, "found two, allowed are numbers"),
        ({"x": 1.0, "sr": 1, "k": 1.0}, "sets every input"),
    ],
)
def test_what_is_no_constant(tmp_path: Path, constants: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        read(tmp_path, SWITCH, constants=constants)


def test_one_number_fills_an_input(tmp_path: Path) -> None:
    graph = read(tmp_path, SWITCH, constants={"sr": 8000, "k": 2}).graph
    (k,) = [t.array for t in graph.tensors.values() if t.const is not None]
    assert np.all(k == 4.0)


def _lstm() -> ModelProto:
    """An LSTM whose initial and final states go through moves, under names that say nothing."""

    def value(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    zeros = [helper.make_tensor(n, TensorProto.FLOAT, s, np.zeros(s, np.float32).ravel())
             for n, s in (("w", (1, 16, 3)), ("r", (1, 16, 4)))]  # fmt: skip
    axes = helper.make_tensor("axes", TensorProto.INT64, (1,), [0])
    nodes = [
        helper.make_node("Unsqueeze", ["p", "axes"], ["h0"]),
        helper.make_node("Unsqueeze", ["q", "axes"], ["c0"]),
        helper.make_node("LSTM", ["x", "w", "r", "", "", "h0", "c0"], ["y", "h1", "c1"], hidden_size=4),
        helper.make_node("Squeeze", ["c1", "axes"], ["u"]),
        helper.make_node("Squeeze", ["h1", "axes"], ["v"]),
    ]
    inputs, outputs = [value("x", 1, 1, 3), value("p", 1, 4), value("q", 1, 4)], [value("y", 1, 1, 1, 4)]
    outputs += [value("u", 1, 4), value("v", 1, 4)]
    return helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, [*zeros, axes]), opset_imports=[helper.make_opsetid("", 17)]
    )


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        ("h", "h_out", True),
        ("h_in", "h_out", True),
        ("state", "stateN", True),
        ("hidden", "next_hidden", True),
        ("past_key", "present_key", True),
        ("past.0.value", "present.0.value", True),
        ("h0", "hn", True),
        ("h", "hn", True),
        ("cell", "scores", True),  # the only output of that shape, and a name that says what it is
        ("buffer", "buffer_out", True),
        ("left", "right", False),
        ("image", "mask", False),
    ],
)
def test_pairs_that_look_like_a_state(tmp_path: Path, a: str, b: str, found: bool) -> None:
    text = STEP.replace("float[1, 4] x", "float[1, 1] x").replace("float[1, 4] y", "float[1, 1] y")
    model = parse(text.replace("y = Relu (h_out)", "y = Relu (x)"))
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = {"h": a, "h_out": b}.get(name, name)
    model.graph.input[1].name, model.graph.output[1].name = a, b
    notes = read_onnx(save(tmp_path, model)).notes
    assert any(f"`states` {a}={b}" in n for n in notes) is found
    assert not any("`states`" in n for n in read_onnx(save(tmp_path, model), states={a: b}).notes)


def test_recurrent_layers_say_so_by_wiring() -> None:
    from tinygen.frontend.edges import propose

    kind = ("float32", (1, 4))
    inputs, outputs = {"x": ("float32", (1, 1, 3)), "p": kind, "q": kind}, {"u": kind, "v": kind}
    assert propose(_lstm(), inputs, outputs) == {"p": "v", "q": "u"}


def test_state_of_several_layers_is_no_batch(tmp_path: Path) -> None:
    """What (layers, batch, units) means is asked for, with the option that is most likely meant in front."""
    text = """
    g (float[1, 3] x, float[2, 1, 3] h) => (float[1, 3] y, float[2, 1, 3] hn) {
        hn = Tanh (h) s = ReduceSum <keepdims = 0> (hn, axes) y = Add (x, s)
    }
    """
    model = parse(text, weights={"axes": np.array([0])})
    with pytest.raises(
        ModelError, match="Keep it from call to call: `states` h=hn; as an input: `input_shapes` h=2,1,3"
    ):
        read_onnx(save(tmp_path, model))
    assert len(read_onnx(save(tmp_path, model), states={"h": "hn"}).graph.states) == 1


def test_cache_that_grows(tmp_path: Path) -> None:
    text = """
    g (float[1, 1, 4] x, float[1, 8, 4] past) => (float[1, 1, 4] y, float[1, 9, 4] present) {
        present = Concat <axis = 1> (past, x)
        y = ReduceMax <keepdims = 1> (present)
    }
    """.replace("y = ReduceMax <keepdims = 1> (present)", "m = Neg (x)\n y = Relu (m)")
    with pytest.raises(ModelError, match="what grows from call to call cannot be kept"):
        read(tmp_path, text, states={"past": "present"})


def test_cache_that_drops_the_oldest(tmp_path: Path) -> None:
    text = """
    g (float[1, 1, 4] x, float[1, 8, 4] past) => (float[1, 9, 4] y, float[1, 8, 4] present) {
        all = Concat <axis = 1> (past, x)
        y = Relu (all)
        one = Constant <value = int64[1] {1}> ()
        nine = Constant <value = int64[1] {9}> ()
        present = Slice (all, one, nine, one)
    }
    """
    assert read(tmp_path, text, states={"past": "present"}).graph.states[0].name == "past"
