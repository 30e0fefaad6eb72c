"""Every way a file can be wrong: a ModelError of one screen that says what, where, and what to do."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.errors.words import gaps
from tests.frontend.support import arr_like, assert_same, import_model, one_node, parse, save
from tinygen.errors import ModelError
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.frontend.opsets import MAX_OPSET
from tinygen.frontend.registry import HANDLERS, supported_ops

F = np.float32


def message(path: Path, **kwargs: Any) -> str:
    with pytest.raises(ModelError) as caught:
        read_onnx(path, **kwargs)
    text = str(caught.value)
    assert len(text.splitlines()) <= 25
    assert str(path) in text
    return text


FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "noise": (bytes(range(256)) * 40, "no ONNX model|no graph"),
    "text": (b"this is a readme, not a network\n" * 20, "no ONNX model|no graph"),
    "html": (b"<!DOCTYPE html>\n<html><body>404</body></html>", "a web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
    "tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(40), "TensorFlow Lite"),
    "h5": (b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5"),
    "pt": (b"PK\x03\x04" + bytes(40), "PyTorch"),
    "pth": (b"\x80\x02}q\x00." + bytes(40), "pickle"),
    "ort": (b"\x20\x00\x00\x00ORTM" + bytes(40), "ort file"),
    "json": (b'{"format": "layers-model"}', "JSON"),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(40), "gzip"),
}


@pytest.mark.parametrize("kind", sorted(FILES))
def test_other_files(kind: str, tmp_path: Path) -> None:
    content, expected = FILES[kind]
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    import re

    assert re.search(expected, message(path))


def test_missing_and_folder(tmp_path: Path) -> None:
    assert "no such file" in message(tmp_path / "absent.onnx")
    assert "is a folder" in message(tmp_path)


def plain() -> ModelProto:
    return one_node("Gemm", (1, 6), [arr_like((6, 4), 0), arr_like((4,), 1)])


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    data = plain().SerializeToString()
    path = tmp_path / "cut.onnx"
    for end in range(1, len(data)):
        path.write_bytes(data[:end])
        try:
            read_onnx(path)
        except ModelError:
            continue
        # A cut between the last fields may leave a complete model: then nothing but metadata is missing.
        assert end > len(data) - 20


def test_damaged_bytes_never_escape(tmp_path: Path) -> None:
    data = bytearray(one_node("Conv", (1, 3, 8, 8), [arr_like((4, 3, 3, 3), 0), arr_like((4,), 1)]).SerializeToString())
    rng = np.random.default_rng(0)
    path = tmp_path / "flip.onnx"
    for _ in range(400):
        broken = bytearray(data)
        for at in rng.integers(0, len(data), 3):
            broken[at] = int(rng.integers(256))
        path.write_bytes(bytes(broken))
        with contextlib.suppress(ModelError):
            read_onnx(path)


def change(edit: Callable[[ModelProto], None], model: ModelProto | None = None) -> ModelProto:
    m = ModelProto.FromString((model or plain()).SerializeToString())
    edit(m)
    return m


def set_opset(version: int) -> Callable[[ModelProto], None]:
    def edit(m: ModelProto) -> None:
        m.opset_import[0].version = version

    return edit


def nan_weights(m: ModelProto) -> None:
    a = numpy_helper.to_array(m.graph.initializer[0]).copy()
    a[0, 0], a[1, 1], a[2, 2] = np.nan, np.inf, -np.inf
    m.graph.initializer[0].CopyFrom(numpy_helper.from_array(a, m.graph.initializer[0].name))


def short_weights(m: ModelProto) -> None:
    m.graph.initializer[0].raw_data = m.graph.initializer[0].raw_data[:-8]


def string_weights(m: ModelProto) -> None:
    m.graph.initializer[0].CopyFrom(helper.make_tensor("w0", TensorProto.STRING, [1], [b"a"]))


def sparse_weights(m: ModelProto) -> None:
    values = helper.make_tensor("w9", TensorProto.FLOAT, [1], [1.0])
    m.graph.sparse_initializer.append(helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([0])), [6]))


def external(m: ModelProto) -> None:
    onnx.external_data_helper.set_external_data(m.graph.initializer[0], "weights.bin", 0, 96)
    m.graph.initializer[0].ClearField("raw_data")


def outside(m: ModelProto) -> None:
    onnx.external_data_helper.set_external_data(m.graph.initializer[0], "../../etc/passwd", 0, 96)


def twice(m: ModelProto) -> None:
    m.graph.node.append(helper.make_node("Relu", ["x0"], ["y0"]))


def twice_as_weight(m: ModelProto) -> None:
    m.graph.initializer.append(m.graph.initializer[0])


def dangling(m: ModelProto) -> None:
    m.graph.node[0].input[1] = "nowhere"


def no_maker(m: ModelProto) -> None:
    m.graph.output[0].name = "elsewhere"


def cycle(m: ModelProto) -> None:
    m.graph.node.append(helper.make_node("Add", ["y0", "b"], ["a"], name="first"))
    m.graph.node.append(helper.make_node("Relu", ["a"], ["b"], name="second"))
    m.graph.output[0].name = "a"


def complex_input(m: ModelProto) -> None:
    m.graph.input[0].type.tensor_type.elem_type = TensorProto.COMPLEX64


def integer_input(m: ModelProto) -> None:
    m.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64


def sequence_input(m: ModelProto) -> None:
    m.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x0", TensorProto.FLOAT, [1, 6]))


def no_shape(m: ModelProto) -> None:
    m.graph.input[0].type.tensor_type.ClearField("shape")


def open_dimension(m: ModelProto) -> None:
    m.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "time"


def empty_input(m: ModelProto) -> None:
    m.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 0


def bad_node(m: ModelProto) -> None:
    del m.graph.node[0].input[1:]


def unknown_attribute(m: ModelProto) -> None:
    m.graph.node[0].attribute.append(helper.make_attribute("colour", 3))


def constant_output(m: ModelProto) -> None:
    m.graph.node[0].input[0] = "w1"


def wrong_weights(m: ModelProto) -> None:
    m.graph.initializer[0].CopyFrom(numpy_helper.from_array(arr_like((5, 4), 0), "w0"))


def no_inputs(m: ModelProto) -> None:
    m.graph.initializer.append(numpy_helper.from_array(arr_like((1, 6), 0), "x0"))


BROKEN: dict[str, tuple[Callable[[ModelProto], None], str]] = {
    "opset_old": (set_opset(5), "opset 5; tinygen reads 7 to"),
    "opset_new": (set_opset(MAX_OPSET + 11), f"knows up to {MAX_OPSET}"),
    "no_opset": (lambda m: m.ClearField("opset_import"), "names no operator set"),
    "no_nodes": (lambda m: m.graph.ClearField("node"), "has no nodes"),
    "no_outputs": (lambda m: m.graph.ClearField("output"), "has no outputs"),
    "no_graph": (lambda m: m.ClearField("graph"), "holds no graph"),
    "no_inputs": (no_inputs, "has no inputs"),
    "nan": (nan_weights, '"w0" [6, 4]: 3 of 24'),
    "short": (short_weights, 'weights "w0" of shape [6, 4], float, do not match their data (88 bytes)'),
    "string": (string_weights, "string"),
    "sparse": (sparse_weights, "sparse"),
    "external_missing": (external, '"weights.bin", which is missing'),
    "external_outside": (outside, "outside the model's folder"),
    "twice": (twice, '"y0" is made 2 times'),
    "weight_twice": (twice_as_weight, '"w0" is made 2 times'),
    "dangling": (dangling, 'reads "nowhere", which nothing makes'),
    "no_maker": (no_maker, '"elsewhere" is made by no node'),
    "cycle": (cycle, "depends on its own output"),
    "complex": (complex_input, "complex64"),
    "integer": (integer_input, "is int64; tinygen takes float, int8"),
    "sequence": (sequence_input, "sequence"),
    "no_shape": (no_shape, "has no shape"),
    "open": (open_dimension, "`input_shapes` x0=1,N"),
    "empty_input": (empty_input, "is empty"),
    "bad_node": (bad_node, "not valid ONNX"),
    "attribute": (unknown_attribute, "colour"),
    "constant_output": (constant_output, "no output depends on an input"),
    "wrong_weights": (wrong_weights, "input has 6 features, weights want 5"),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_broken_models(name: str, tmp_path: Path) -> None:
    edit, expected = BROKEN[name]
    text = message(save(tmp_path, change(edit)))
    assert expected in text
    assert not gaps(text)


def test_external_data_is_read_and_hashed(tmp_path: Path) -> None:
    model = plain()
    weights = model.graph.initializer[0].raw_data
    path = save(tmp_path, change(external))
    (tmp_path / "weights.bin").write_bytes(weights)
    imported = read_onnx(path)
    assert_same(imported)
    assert imported.sha256 == hashlib.sha256(path.read_bytes() + weights).hexdigest()
    (tmp_path / "weights.bin").write_bytes(weights[:-1])
    assert "should be 96 bytes" in message(path)


def test_sha256_is_that_of_the_file(tmp_path: Path) -> None:
    path = save(tmp_path, plain())
    assert read_onnx(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_shapes_given(tmp_path: Path) -> None:
    model = change(open_dimension, one_node("Relu", (1, 6)))
    path = save(tmp_path, model)
    assert read_onnx(path, input_shapes={"x0": (1, 9)}).graph.in_ports[0].shape == (1, 9)
    assert "does not fit" in message(path, input_shapes={"x0": (1, 2, 3)})
    assert "the model's inputs are x0" in message(path, input_shapes={"other": (1, 2)})
    assert "is empty" in message(path, input_shapes={"x0": (1, 0)})


def test_all_offenders_in_one_table(tmp_path: Path) -> None:
    text = """g (float[1,4,6] x) => (float y) {
        [the_cubic] h = LRN<size=3>(x)
        [the_squeeze] s = Relu(h)
        [the_factors] e = ReduceProd(s)
        [the_norm] n = LayerNormalization(e, g)
        [the_tree] t = ai.onnx.ml.Normalizer(n)
        [the_product] p = MatMul(t, x)
        [the_strange] q = far.away.Frobnicate(p)
        [the_unknown] y = Det(q)
    }"""
    model = parse(text, weights={"g": arr_like((3,), 2)}, domains=("ai.onnx.ml", "far.away"))
    text = message(save(tmp_path, model))
    for name in ("the_cubic", "the_factors", "the_tree"):
        assert name in text
    assert "ai.onnx.ml:Normalizer" in text
    assert "what would help" in text


def test_nodes_after_an_offender_are_judged_too(tmp_path: Path) -> None:
    text = """g (float[1,4] x) => (float y) {
        [one] a = LRN<size=3>(x)
        [two] b = LRN<size=3>(a)
        [three] c = LRN<size=3>(b)
        y = Relu(c)
    }"""
    found = message(save(tmp_path, parse(text)))
    assert "3 nodes" in found


def test_supported_ops_lists_the_registry() -> None:
    rows = {r.onnx_name: r for r in supported_ops()}
    assert set(HANDLERS) <= set(rows)
    assert rows["Conv"].versions[:2] == (1, 11)
    assert "Upsample" in rows
    assert "com.microsoft:QLinearAdd" in rows
    assert any("spatial" in n for n in rows["Conv"].notes)


def test_import_is_repeatable(tmp_path: Path) -> None:
    a, b = (import_model(tmp_path, plain()) for _ in range(2))
    assert a.original == b.original
    assert a.graph == b.graph


def test_a_constant_of_a_terabyte_is_not_made(tmp_path: Path) -> None:
    text = "g (float[1,4] x) => (float y) { c = ConstantOfShape(s) r = ReduceSum(c) y = Add(x, r) }"
    found = message(save(tmp_path, parse(text, weights={"s": np.array([2**20, 2**20])})))
    assert "1,099,511,627,776 elements" in found


def test_nodes_of_one_name_are_told_apart(tmp_path: Path) -> None:
    text = "g (float[1,4] x) => (float y) { a = Sigmoid(x) b = Exp(a) c = Tanh(b) y = Exp(c) }"
    model = parse(text)
    for n, name in zip(model.graph.node, ("n", "n", "n_2", "n"), strict=True):
        n.name = name
    graph = import_model(tmp_path, model).graph
    assert [n.origin for n in graph.nodes] == [("n",), ("n_3",), ("n_2",), ("n_4",)]
