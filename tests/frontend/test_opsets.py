"""Old and new operator sets: every operator that 7 to 10 write in their own way, against onnxruntime on the file as it
is; and those newer than what the installed onnxruntime or onnx knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from tests.frontend.support import check, import_model, one_node, ops_of, parse, random_feeds, run_ours, save
from tinygen.errors import ModelError
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.frontend.opsets import BASE_OPSET, MAX_OPSET, MIN_OPSET, opset_of

OLD = range(MIN_OPSET, BASE_OPSET)
F = np.float32
RNG = np.random.default_rng(11)


def arr(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(F)


def positive(*shape: int) -> np.ndarray:
    return np.abs(arr(*shape)) + F(0.5)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def case(name: str, op_type: str, x: Any, *weights: np.ndarray | None, opsets: Any = OLD, **kw: Any) -> list[Any]:
    return [pytest.param(op_type, x, weights, opset, kw, id=f"{op_type}-{name}-{opset}") for opset in opsets]


IMAGE = (1, 3, 7, 8)
STATISTICS = (positive(3), arr(3), arr(3), positive(3))
OF_EACH = tuple(f(3, 4, 5) for f in (positive, arr, arr, positive))

CASES = [
    *case("nearest", "Upsample", IMAGE, opsets=(7, 8), scales=[1.0, 1.0, 2.0, 3.0], mode="nearest"),
    *case("default", "Upsample", IMAGE, opsets=(7, 8), scales=[1.0, 1.0, 2.0, 2.0]),
    *case("uneven", "Upsample", IMAGE, opsets=(7, 8), scales=[1.0, 1.0, 1.5, 1.7]),
    *case("linear", "Upsample", IMAGE, opsets=(7, 8), scales=[1.0, 1.0, 2.0, 2.0], mode="linear"),
    *case("nearest", "Upsample", IMAGE, np.array([1, 1, 2, 3], F), opsets=(9,), mode="nearest"),
    *case("linear", "Upsample", IMAGE, np.array([1, 1, 2, 3], F), opsets=(9,), mode="linear"),
    *case("nearest", "Resize", IMAGE, np.array([1, 1, 2, 1.7], F), opsets=(10,)),
    *case("down", "Resize", IMAGE, np.array([1, 1, 0.5, 0.6], F), opsets=(10,), mode="nearest"),
    *case("up_and_down", "Resize", IMAGE, np.array([1, 1, 0.6, 1.6], F), opsets=(10,), mode="nearest"),
    *case("linear", "Resize", IMAGE, np.array([1, 1, 2, 1.7], F), opsets=(10,), mode="linear"),
    *case("linear_down", "Resize", IMAGE, np.array([1, 1, 0.6, 0.7], F), opsets=(10,), mode="linear"),
    *case("attributes", "Slice", IMAGE, opsets=(7, 8, 9), starts=[1, 0], ends=[4, -1], axes=[2, 3]),
    *case("no_axes", "Slice", IMAGE, opsets=(7, 8, 9), starts=[0, 1], ends=[1, 99]),
    *case("inputs", "Slice", IMAGE, ints(1), ints(-1), ints(3), ints(2), opsets=(10,)),
    *case("both", "Clip", (1, 9), min=-0.5, max=0.7),
    *case("low", "Clip", (1, 9), min=-0.5),
    *case("high", "Clip", (1, 9), max=0.5),
    *case("none", "Clip", (1, 9)),
    *case("constant", "Pad", IMAGE, pads=[0, 0, 1, 2, 0, 0, 3, 0], value=1.5),
    *case("zero", "Pad", IMAGE, pads=[0, 1, 0, 0, 0, 0, 0, 1]),
    *case("reflect", "Pad", IMAGE, pads=[0, 0, 1, 2, 0, 0, 3, 0], mode="reflect"),
    *case("edge", "Pad", IMAGE, pads=[0, 0, 1, 2, 0, 0, 3, 0], mode="edge"),
    *case("coerced", "Softmax", (1, 3, 4)),
    *case("last", "Softmax", (1, 3, 4), axis=2),
    *case("coerced", "LogSoftmax", (1, 3, 4, 2), axis=2),
    *case("plain", "BatchNormalization", IMAGE, *STATISTICS, epsilon=1e-3),
    *case("of_each", "BatchNormalization", (1, 3, 4, 5), *OF_EACH, opsets=(7, 8), spatial=0),
    *case("plain", "Dropout", (1, 9), ratio=0.3),
    *case("plain", "Gemm", (1, 6), arr(6, 4), arr(4)),
    *case("options", "Gemm", (1, 6), arr(4, 6), arr(1), transB=1, alpha=0.5, beta=2.0),
    *case("plain", "MatMul", (1, 5, 6), arr(6, 4)),
    *case("pads", "Conv", IMAGE, arr(4, 3, 3, 3), arr(4), pads=[1, 0, 2, 1], strides=[2, 1]),
    *case("same", "Conv", IMAGE, arr(4, 3, 3, 3), auto_pad="SAME_LOWER", strides=[2, 2]),
    *case("plain", "ConvTranspose", IMAGE, arr(3, 4, 3, 3), strides=[2, 2], output_padding=[1, 1]),
    *case("pads", "MaxPool", IMAGE, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
    *case("ceil", "MaxPool", IMAGE, opsets=(10,), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    *case("plain", "AveragePool", IMAGE, kernel_shape=[2, 3], strides=[2, 2], pads=[1, 1, 0, 0]),
    *case("counted", "AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    *case("plain", "GlobalAveragePool", IMAGE),
    *case("sizes", "Split", (1, 6), outputs=2, axis=1, split=[2, 4]),
    *case("halves", "Split", (1, 6), outputs=2, axis=1),
    *case("axes", "Squeeze", (1, 3, 1), axes=[2]),
    *case("axes", "Unsqueeze", (1, 3), axes=[0, 3]),
    *case("axes", "ReduceMean", (1, 3, 4), axes=[2], keepdims=0),
    *case("all", "ReduceSum", (1, 3, 4)),
    *case("axes", "ReduceMax", (1, 3, 4), axes=[1]),
    *case("copy", "Reshape", (1, 3, 4), ints(0, -1)),
    *case("axis", "Flatten", (1, 3, 4), axis=2),
    *case("perm", "Transpose", (1, 3, 4), perm=[0, 2, 1]),
    *case("axis", "Gather", (1, 4, 3), ints(2, 0), axis=1),
    *case("plain", "Tile", (1, 3), ints(2, 2)),
    *case("plain", "Expand", (1, 1, 3), ints(1, 4, 3), opsets=(8, 9, 10)),
    *case("slopes", "PRelu", IMAGE, arr(3, 1, 1)),
    *case("two", "Add", [(1, 3, 4), (1, 3, 4)]),
    *case("channels", "Mul", IMAGE, arr(3, 1, 1)),
    *case("number", "Pow", (1, 9), np.array(2, F)),
    *case("three", "Sum", [(1, 4), (1, 4), (1, 4)], opsets=(8, 9, 10)),
    *case("two", "Max", [(1, 4), (1, 4)], opsets=(8, 9, 10)),
    *case("blocks", "DepthToSpace", (1, 8, 3, 3), blocksize=2),
    *case("blocks", "SpaceToDepth", (1, 2, 4, 6), blocksize=2),
    *case("plain", "Shrink", (1, 9), opsets=(9, 10), lambd=0.4, bias=0.1),
    *case("plain", "Erf", (1, 9), opsets=(9, 10)),
    *case("alpha", "ThresholdedRelu", (1, 9), opsets=(10,), alpha=0.3),
    *[
        p
        for name in ("Relu", "LeakyRelu", "Elu", "Selu", "Sigmoid", "HardSigmoid", "Tanh", "Softplus", "Softsign")
        for p in case("plain", name, (1, 9))
    ],
]


@pytest.mark.parametrize(("op_type", "x", "weights", "opset", "kw"), CASES)
def test_old(
    op_type: str, x: Any, weights: tuple[np.ndarray | None, ...], opset: int, kw: dict[str, Any], tmp_path: Path
) -> None:
    model = one_node(op_type, x, list(weights), opset=opset, **kw)
    # The weights of linear interpolation are multiples of 1/2048.
    imported = check(tmp_path, model, tolerance=1e-3 if kw.get("mode") == "linear" else 1e-5)
    assert imported.opset == opset
    assert opset_of(onnx.load_from_string(imported.original)) == opset, "the reference is the file as it is"
    assert any(f"opset {opset} is read as opset {BASE_OPSET}" in n for n in imported.notes)


def test_scales_computed_on_the_way(tmp_path: Path) -> None:
    """PyTorch's way of writing interpolate(scale_factor=2) at opset 9."""
    text = """g (float[1,3,4,5] x) => (float y) {
        s = Shape(x)
        hw = Slice<starts=[2], ends=[4], axes=[0]>(s)
        f = Cast<to=1>(hw)
        double = Constant<value = float {2.0}>()
        t = Mul(f, double)
        low = Floor(t)
        r = Div(low, f)
        one = Constant<value = float[2] {1.0, 1.0}>()
        scales = Concat<axis=0>(one, r)
        [up] u = Upsample<mode="nearest">(x, scales)
        y = Relu(u)
    }"""
    imported = check(tmp_path, parse(text, opset=9))
    assert "Resize" in ops_of(imported.graph)
    assert any("up" in n.origin for n in imported.graph.nodes), "nodes keep their names"


# Before opset 7 -------------------------------------------------------------------------------------------------------

CHANNEL = np.array([0.5, -1.0, 2.0], F)
NORM = [np.array(v, F) for v in ([1, 2, 3], [0, 1, 2], [0.5, 0, 1], [1, 4, 2])]
#: The shape in which numpy broadcasts a value for each channel against IMAGE.
_UP = (3, 1, 1)


@pytest.mark.parametrize(
    ("op_type", "weights", "kw", "meaning"),
    [
        ("Add", [CHANNEL], {"broadcast": 1, "axis": 1}, lambda x: x + CHANNEL.reshape(_UP)),
        ("Mul", [CHANNEL], {"broadcast": 1, "axis": -3}, lambda x: x * CHANNEL.reshape(_UP)),
        ("Sub", [np.array([2.0], F)], {"broadcast": 1}, lambda x: x - 2),
        ("PRelu", [CHANNEL], {}, lambda x: np.where(x > 0, x, x * CHANNEL.reshape(_UP))),
        ("Dropout", [], {"is_test": 1}, lambda x: x),
        ("Relu", [], {}, lambda x: np.maximum(x, 0)),
        (
            "BatchNormalization", NORM, {"is_test": 1, "epsilon": 0.0},
            lambda x: (x - NORM[2].reshape(_UP)) / np.sqrt(NORM[3].reshape(_UP)) * NORM[0].reshape(_UP)
            + NORM[1].reshape(_UP),
        ),
    ],
)  # fmt: skip
def test_opset_6(op_type: str, weights: list[Any], kw: dict[str, Any], meaning: Any, tmp_path: Path) -> None:
    imported = check(tmp_path, one_node(op_type, IMAGE, weights, opset=6, **kw))
    assert imported.opset == 6
    assert any("opset 6 is read as opset 7" in n for n in imported.notes)
    feeds = random_feeds(imported)
    (x,) = feeds.values()
    np.testing.assert_allclose(run_ours(imported, feeds)[0], meaning(x), rtol=0, atol=1e-5)


def test_operators_that_never_changed_are_read_from_any_opset(tmp_path: Path) -> None:
    imported = check(tmp_path, parse("g (float[1,4] x) => (float y) { y = Transpose<perm=[1,0]>(x) }", opset=1))
    assert any("opset 1 is read as opset 7" in n for n in imported.notes)


def test_problems_of_an_old_file_are_told_with_all_others(tmp_path: Path) -> None:
    text = """g (float[1,4] x, int64[1] n) => (float y) {
        [odd] a = LRN<size=3>(x)
        y = Mul(a, n)
    }"""
    with pytest.raises(ModelError) as e:
        read_onnx(save(tmp_path, parse(text, opset=5)))
    for part in ("opset 5; tinygen reads 7", 'input "n"', "int64", "odd", "LRN"):
        assert part in str(e.value)


# New ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opset", [24, MAX_OPSET, MAX_OPSET + 1, MAX_OPSET + 3])
@pytest.mark.parametrize("op_type", ["Swish", "Relu", "Mish"])
def test_new(op_type: str, opset: int, tmp_path: Path) -> None:
    """onnxruntime has Swish as a function of opset 24 alone; the operator has not changed since."""
    imported = check(tmp_path, one_node(op_type, (1, 8), opset=opset))
    assert any("newer than the installed onnx" in n for n in imported.notes) == (opset > MAX_OPSET)


def test_far_too_new(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="pip install -U onnx"):
        import_model(tmp_path, one_node("Relu", (1, 8), opset=MAX_OPSET + 40))


# Evaluation mode ------------------------------------------------------------------------------------------------------


def _dropout(mode: str) -> ModelProto:
    model = parse(
        f"""g (float[1,64] x{", bool m" if mode == "input" else ""}) => (float y) {{
            r = Relu(x)
            [drop] y = Dropout(r, ratio, m)
        }}""",
        opset=18,
        weights={"ratio": np.array(0.5, F), **({} if mode == "input" else {"m": np.array(mode == "true")})},
    )
    assert model.graph.node[1].op_type == "Dropout"
    return model


@pytest.mark.parametrize("mode", ["true", "false", "input"])
def test_dropout_is_left_out(mode: str, tmp_path: Path) -> None:
    imported = check(tmp_path, _dropout(mode))
    assert [p.name for p in imported.graph.in_ports] == ["x"]
    assert any('Dropout "drop" is left out' in n for n in imported.notes)


def test_the_mask_of_dropout_is_true_everywhere(tmp_path: Path) -> None:
    text = """g (float[1,9] x) => (float y) {
        d, m = Dropout(x, ratio, on)
        y = Where(m, d, zero)
    }"""
    weights = {"ratio": np.array(0.5, F), "on": np.array(True), "zero": np.array(0, F)}
    assert "Mul" not in ops_of(check(tmp_path, parse(text, opset=18, weights=weights)).graph)


def test_batch_norm_in_training_mode(tmp_path: Path) -> None:
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])
    nodes = [helper.make_node("BatchNormalization", ["x", "w0", "w1", "w2", "w3"], ["y", "m", "v"], training_mode=1)]
    constants = [onnx.numpy_helper.from_array(a, f"w{i}") for i, a in enumerate(STATISTICS)]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [info], [out], constants)
    imported = check(tmp_path, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8))
    assert any("training mode" in n for n in imported.notes)
