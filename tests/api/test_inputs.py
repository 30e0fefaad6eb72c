"""Models and samples in every form: the same thing is the same build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import tinygen
from tests.api.support import BOARD, DIGITS, digits, model, net, small
from tests.emit.nets import NETS
from tinygen.errors import DataError, ModelError

#: What certifies that two builds are one: everything else follows from it.
BUILD: dict[str, Any] = {"board": BOARD, "verify": "none"}


def files(m: tinygen.Model, x: Any, y: Any = None) -> dict[str, bytes]:
    return dict(m.quantize(x, y).build(**BUILD).files)


def test_arrays_and_a_file_give_the_same_build(tmp_path: Path) -> None:
    """The certificate too, with the hash of the samples."""
    x, y = digits()
    path = files(model(), DIGITS / "digits_calib.npz")
    assert dict(small().build(**BUILD).files) == path
    assert files(model(), {"image": x.astype(np.float64)}, list(y)) == path
    np.save(tmp_path / "x.npy", x)
    assert small().evaluate(tmp_path / "x.npy").verdict == small().evaluate(x).verdict


def test_path_bytes_and_proto_give_the_same_build() -> None:
    x, y = digits()
    path = DIGITS / "digits.onnx"
    expected = dict(small().build(**BUILD).files)
    content = path.read_bytes()
    for same in (content, onnx.load(path)):
        assert files(tinygen.load(same, name="digits"), x, y) == expected
    for same in (str(path), bytearray(content), memoryview(content)):
        assert tinygen.load(same).sha256 == model().sha256
    assert tinygen.load(content).name == "model"


def test_external_data(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save_model(NETS["dense"](), path, save_as_external_data=True, location="net.data", size_threshold=0)
    x = np.random.default_rng(0).normal(size=(20, 12)).astype(np.float32)
    from_path = tinygen.load(path).quantize(x).run(x)
    np.testing.assert_array_equal(tinygen.load(onnx.load(path)).quantize(x).run(x), from_path)
    for without in (onnx.load(path, load_external_data=False), path.read_bytes()):
        with pytest.raises(ModelError, match=r"external file.*Give the model's path, or load it with its data"):
            tinygen.load(without)


@pytest.mark.parametrize("given", [5, None, Path, "no.onnx", b"onnx", {"model": 1}])
def test_no_model(given: Any) -> None:
    with pytest.raises(ModelError):
        tinygen.load(given)


@pytest.mark.parametrize("shape", ["1,1,8,8", (1, 1, "N", 8), 3.5])
def test_shapes_are_whole_numbers(shape: Any) -> None:
    with pytest.raises(ModelError, match=r"input_shapes: found .* allowed are whole numbers"):
        tinygen.load(DIGITS / "digits.onnx", input_shapes={"image": shape})


def test_one_sample_a_batch_and_batches_of_one() -> None:
    x, q = digits()[0][:3], small()
    y = q.run(x)
    assert isinstance(y, np.ndarray)
    assert (y.shape, y.dtype) == ((3, 10), np.float32)
    np.testing.assert_array_equal(q.run(x[0]), y[:1])
    np.testing.assert_array_equal(q.run(x[:, None]), y)
    np.testing.assert_array_equal(q.run(list(x)), y)
    np.testing.assert_array_equal(q.run(x.tolist()), y)
    accuracy = (np.asarray(q.run(digits()[0])).argmax(1) == digits()[1]).mean()
    assert accuracy == q.evaluate(*digits()).verdict.main.integer == 1.0


def test_tensors_of_torch() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(digits()[0][:3], requires_grad=True)
    np.testing.assert_array_equal(small().run(x), small().run(digits()[0][:3]))


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.zeros((2, 8, 8)), r"found shape \(2, 8, 8\).*x.reshape\(-1, 1, 8, 8\) would fit"),
        (np.zeros((0, 1, 8, 8)), "no samples"),
        (np.full((2, 1, 8, 8), np.nan), "sample 0 holds NaN"),
        (np.full((2, 1, 8, 8), "a"), "elements of type"),
        (None, "found shape"),
        ([[1.0], [2.0, 3.0]], "numpy makes no array of"),
        ((np.zeros((2, 1, 8, 8)),) * 2, 'found 2, but the model has 1 inputs: "image"'),
        ({"imag": np.zeros((2, 1, 8, 8))}, 'no array "image". Found "imag"'),
        ({"image": np.zeros((2, 1, 8, 8)), "y": [1, 2]}, 'no input "y"'),
        ("no.npz", "does not exist"),
    ],
)
def test_samples_that_do_not_fit(x: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        small().run(x)


@pytest.mark.parametrize(
    ("y", "said"),
    [([1, 2, 3], "200 samples but 3 labels"), (["a"] * 200, "class 0, 1, 2"), ([np.nan] * 200, "label 0 is NaN")],
)
def test_labels_that_do_not_fit(y: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        model().quantize(digits()[0], y)


def test_labels_stand_in_files_and_beside_arrays() -> None:
    with pytest.raises(DataError, match="those of a file stand in it"):
        model().quantize(DIGITS / "digits_calib.npz", digits()[1])
    with pytest.raises(DataError, match="labels were given without samples"):
        model().quantize(None, digits()[1])


def test_several_inputs_need_equally_many() -> None:
    q = net("several")
    a, b = np.zeros((4, 2, 6, 5)), np.zeros((3, 7))
    with pytest.raises(DataError, match='4 samples of "image" but 3 of "hint"'):
        q.run((a, b))
    with pytest.raises(DataError, match="the model has 2 inputs"):
        q.run(a)
    codes = q.quantize_input((a[:3], b))
    assert isinstance(codes, tuple)
    with pytest.raises(DataError, match="every input needs the same number"):
        q.run_integers((codes[0][:2], codes[1]))
    with pytest.raises(DataError, match="found 1 arrays, the model has 2"):
        q.run_integers((codes[0],))
    with pytest.raises(DataError, match="of integers from -128 to 127"):
        q.run_integers((codes[0].astype(float), codes[1]))


def test_what_is_written_into_an_array_later_changes_nothing() -> None:
    x, y = digits()[0].copy(), digits()[1].copy()
    q = model().quantize(x, y)
    x[:], y[:] = 0, 0
    assert dict(q.build(**BUILD).files) == dict(small().build(**BUILD).files)


def prequantised() -> ModelProto:
    """uint8 codes in, uint8 codes out, as an exporter for integers writes them."""
    w = np.random.default_rng(0).integers(-90, 90, (3, 4)).astype(np.int8)
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "sx", "zx"], ["xf"]),
        helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["wf"]),
        helper.make_node("Gemm", ["xf", "wf"], ["yf"], transB=1),
        helper.make_node("QuantizeLinear", ["yf", "sy", "zy"], ["y"]),
    ]
    constants: dict[str, Any] = {
        "w": w, "sx": np.float32(0.5), "zx": np.uint8(100), "sw": np.float32(0.01), "zw": np.int8(0),
        "sy": np.float32(1.0), "zy": np.uint8(128),
    }  # fmt: skip
    ends = [helper.make_tensor_value_info(n, TensorProto.UINT8, s) for n, s in (("x", (1, 4)), ("y", (1, 3)))]
    stored = [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]
    graph = helper.make_graph(nodes, "pre", [ends[0]], [ends[1]], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_codes_of_a_prequantised_model_are_what_they_stand_for() -> None:
    m = tinygen.load(prequantised())
    assert m.quantised
    assert [(t.name, t.dtype) for t in (*m.inputs, *m.outputs)] == [("x", "uint8"), ("y", "uint8")]
    codes = np.random.default_rng(1).integers(0, 256, (30, 4)).astype(np.uint8)
    real = (codes.astype(np.float32) - 100) * np.float32(0.5)
    q = m.quantize(codes)
    np.testing.assert_array_equal(q.run(codes), q.run(real))
    np.testing.assert_array_equal(q.quantize_input(codes), codes.astype(np.int16).reshape(30, 1, 4) - 128)
    assert q.verdict is not None
    assert q.verdict.reference == "onnxruntime"
    assert q.evaluate(codes, limit=20).verdict.source == "20 samples"  # none of which anything was fitted to
    np.testing.assert_array_equal(tinygen.load(q.to_onnx()).quantize().run(codes), q.run(codes))
