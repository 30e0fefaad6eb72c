"""LSTM, GRU and RNN as ONNX writes them: the values of onnxruntime, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.frontend.support import check, import_model, ops_of, random_feeds, run_ours
from tinygen.errors import UnsupportedError
from tinygen.frontend.opsets import runtime_opset
from tinygen.ir.types import Graph
from tinygen.ops import Recurrent
from tinygen.passes.pipeline import tidy

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, N_IN, UNITS = 5, 3, 4
NEWEST = runtime_opset()


def model(
    kind: str, outputs: tuple[str, ...] = ("y", "h", "c"), *, n: int = 1, given: int = 0, opset: int = 18,
    lens: tuple[int, ...] = (), constant: bool = False, peepholes: bool = False, bias: bool = True, **attributes: Any,
) -> ModelProto:  # fmt: skip
    """A node of random weights. `given`: how many initial states there are, constants where `constant`."""
    rng = np.random.default_rng(0)
    d = 2 if attributes.get("direction") == "bidirectional" else 1
    g, layout = GATES[kind] * UNITS, attributes.get("layout", 0)
    consts = {"w": (d, g, N_IN), "r": (d, g, UNITS)} | ({"b": (d, 2 * g)} if bias else {})
    state = (n, d, UNITS) if layout else (d, n, UNITS)
    names = ["h0", "c0"][:given]
    inputs = {"x": (n, STEPS, N_IN) if layout else (STEPS, n, N_IN)}
    (consts if constant else inputs).update(dict.fromkeys(names, state))
    if peepholes:
        consts["p"] = (d, 3 * UNITS)
    values = {name: rng.uniform(-0.7, 0.7, shape).astype(np.float32) for name, shape in consts.items()}
    if lens:
        values["lens"] = np.array(lens, np.int32)
    ins = ["x", "w", "r", "b" if bias else "", "lens" if lens else "", *names]
    if peepholes:
        ins += [""] * (7 - len(ins)) + ["p"]
    outs = outputs[: 3 if kind == "LSTM" else 2]
    node = helper.make_node(kind, ins, outs, hidden_size=UNITS, **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outs if name],
        [numpy_helper.from_array(v, name) for name, v in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 22 else 10)


def layer(graph: Graph) -> Recurrent:
    (node,) = (n for n in graph.nodes if isinstance(n.op, Recurrent))
    assert isinstance(node.op, Recurrent)
    return node.op


EVERY: dict[str, dict[str, Any]] = {
    "plain": {},
    "no_bias": {"bias": False},
    "reverse": {"direction": "reverse"},
    "both": {"direction": "bidirectional"},
    "both_started": {"direction": "bidirectional", "given": 1, "constant": True},
    "fed": {"given": 1},
    "clip": {"clip": 0.3},
    "short": {"lens": (3,)},
    "short_reverse": {"lens": (2,), "direction": "reverse"},
    "batch": {"n": 3, "given": 1, "lens": (5, 2, 4)},
    "batch_both": {"n": 2, "direction": "bidirectional"},
}


@pytest.mark.parametrize("form", EVERY)
@pytest.mark.parametrize("kind", GATES)
def test_as_onnxruntime_has_it(kind: str, form: str, tmp_path: Path) -> None:
    asked = dict(EVERY[form])
    if kind == "LSTM" and asked.get("given"):
        asked["given"] = 2
    shapes = {"x": (STEPS, asked.get("n", 1), N_IN)}
    if asked.get("n", 1) > 1 and asked.get("given"):
        shapes |= dict.fromkeys(("h0", "c0")[: asked["given"]], (1, asked["n"], UNITS))
    check(tmp_path, model(kind, **asked), input_shapes=shapes if "n" in asked else None)


OWN = {
    "linear_before_reset": ("GRU", {"linear_before_reset": 1}),
    "peepholes": ("LSTM", {"peepholes": True}),
    "coupled": ("LSTM", {"input_forget": 1}),
    "functions": ("LSTM", {"activations": ["HardSigmoid", "Elu", "ScaledTanh"], "activation_alpha": [0.3, 0.7, 1.2],
                           "activation_beta": [0.4, 0.9]}),
    "functions_of_each": ("RNN", {"direction": "bidirectional", "activations": ["Affine", "LeakyRelu"],
                                  "activation_alpha": [0.4, 0.2], "activation_beta": [0.1]}),
    "defaults_of_functions": ("GRU", {"activations": ["HardSigmoid", "Softsign"]}),
    "relu": ("RNN", {"activations": ["Relu"]}),
}  # fmt: skip


@pytest.mark.parametrize("form", OWN)
def test_what_one_kind_has(form: str, tmp_path: Path) -> None:
    kind, attributes = OWN[form]
    check(tmp_path, model(kind, **attributes))


@pytest.mark.parametrize("opset", [7, 13, 14, NEWEST])
@pytest.mark.parametrize("kind", GATES)
def test_every_opset(kind: str, opset: int, tmp_path: Path) -> None:
    check(tmp_path, model(kind, opset=opset, direction="bidirectional"))


@pytest.mark.parametrize("kind", GATES)
def test_the_batch_first(kind: str, tmp_path: Path) -> None:
    """onnxruntime has no layout 1: it is layout 0 with the axes in another order."""
    both = [
        import_model(tmp_path, model(kind, layout=layout, direction="bidirectional", given=1 + (kind == "LSTM")))
        for layout in (0, 1)
    ]
    given = random_feeds(both[0])
    found = run_ours(both[0], given), run_ours(both[1], {k: v.transpose(1, 0, 2) for k, v in given.items()})
    np.testing.assert_allclose(found[1][0], found[0][0].transpose(2, 0, 1, 3), atol=1e-6)
    for ours, other in zip(found[1][1:], found[0][1:], strict=True):
        np.testing.assert_allclose(ours, other.transpose(1, 0, 2), atol=1e-6)


def test_states_of_zero_are_none(tmp_path: Path) -> None:
    net = model("LSTM", given=2, constant=True)
    for t in net.graph.initializer:
        if t.name in ("h0", "c0"):
            t.CopyFrom(numpy_helper.from_array(np.zeros((1, 1, UNITS), np.float32), t.name))
    assert not layer(import_model(tmp_path, net).graph).initial


def test_only_what_is_read_is_written(tmp_path: Path) -> None:
    """Y_h alone: no transpose, one layer that keeps its last step."""
    graph = tidy(import_model(tmp_path, model("GRU", ("", "h"))).graph)
    assert not layer(graph).sequence
    assert ops_of(graph) == ["Reshape", "Gru", "Reshape"]


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "projection": ("LSTM", {"units": 6}, r"W has shape .*proj_size"),
    "lens": ("GRU", {"lens": (9,)}, "sequence_lens"),
    "function": ("RNN", {"activations": ["Sine"]}, 'activation "Sine"'),
    "alpha": ("RNN", {"activations": ["ThresholdedRelu"]}, "ThresholdedRelu without activation_alpha: onnxruntime's"),
    "beta": ("RNN", {"activations": ["Affine"], "activation_alpha": [0.5]}, "Affine without activation_beta"),
    "too_few_functions": ("LSTM", {"activations": ["Sigmoid"]}, "1 activations"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    kind, asked, message = REFUSED[name]
    units = asked.pop("units", None)
    net = model(kind, **asked)
    if units is not None:  # what torch writes for proj_size
        (attribute,) = (a for a in net.graph.node[0].attribute if a.name == "hidden_size")
        attribute.i = units
    with pytest.raises(UnsupportedError, match=message):
        import_model(tmp_path, net)
