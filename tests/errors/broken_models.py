"""Cases: files that are no ONNX model, damaged ones, and models with something tinygen does not take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.errors import models as m
from tests.errors.cases import MODEL, USAGE, Case, Command, Place


def _bytes(content: bytes, name: str = "net.onnx") -> Callable[[Place], Command]:
    return lambda p: p.build(p.file(name, content))


def _model(make: Callable[[], ModelProto], *more: str) -> Callable[[Place], Command]:
    return lambda p: p.build(p.model(make()), *more)


def _cut(share: float) -> Callable[[Place], Command]:
    data = m.dense().SerializeToString()
    return _bytes(data[: int(len(data) * share)])


def _edit(change: Callable[[ModelProto], object]) -> Callable[[Place], Command]:
    def arrange(p: Place) -> Command:
        model = m.dense()
        change(model)
        return p.build(p.model(model))

    return arrange


FILES = [
    Case("missing", lambda p: p.build(p.folder / "no.onnx"), MODEL, "no.onnx", "no such file", "Give the path"),
    Case("missing_inspect", lambda p: ["inspect", "no.onnx"], MODEL, "no.onnx", "no such file", "Give the path"),
    Case("below_a_file", lambda p: p.build(p.model() / "x.onnx"), MODEL, "x.onnx", "no such file", "Give the path"),
    Case("folder", lambda p: p.build(p.folder), MODEL, "test_", "is a folder", "path of an .onnx file"),
    Case("name_too_long", lambda p: p.build("n" * 300 + ".onnx"), MODEL, "nnn", "File name too long", "Give the path"),
    Case("empty", _bytes(b""), MODEL, "net.onnx", "empty (0 bytes)", "export it again"),
    *(
        Case(f"cut_at_{share:.2f}", _cut(share), MODEL, "net.onnx", "cut off", "export it again")
        for share in (0.05, 0.3, 0.5, 0.9)
    ),
    Case(
        "cut_last_byte",
        _bytes(m.dense().SerializeToString()[:-1]),
        MODEL,
        "net.onnx",
        "do not parse",
        "export it again",
    ),
    Case(
        "random_bytes", _bytes(np.random.default_rng(3).bytes(5000)), MODEL, "net.onnx", "5000 bytes", "copy or export"
    ),
    Case("text", _bytes(b"hello, this is no model\n" * 9), MODEL, "net.onnx", "is no ONNX model", "copy or export"),
    Case("web_page", _bytes(b"<!DOCTYPE html><html>404</html>"), MODEL, "net.onnx", "a web page", "the 'raw' link"),
    Case(
        "tflite", _bytes(b"\x1c\0\0\0TFL3" + bytes(99), "kws.tflite"), MODEL, "kws.tflite", "TensorFlow Lite", "tf2onnx"
    ),
    Case("h5", _bytes(b"\x89HDF\r\n\x1a\n" + bytes(99), "net.h5"), MODEL, "net.h5", "HDF5", "tf2onnx"),
    Case("pt_zip", _bytes(b"PK\x03\x04" + bytes(99), "net.pt"), MODEL, "net.pt", "zip archive", "torch.onnx.export"),
    Case("pickle", _bytes(b"\x80\x02}q\x00.", "net.pth"), MODEL, "net.pth", "Python pickle", "torch.onnx.export"),
    Case("gzip", _bytes(b"\x1f\x8b\x08" + bytes(99)), MODEL, "net.onnx", "gzip", "Unpack it"),
    Case(
        "git_lfs",
        _bytes(b"version https://git-lfs.github.com/spec/v1\n"),
        MODEL,
        "net.onnx",
        "LFS pointer",
        "git lfs pull",
    ),
    Case("json", _bytes(b'{"graph": {}}'), MODEL, "net.onnx", "JSON", "Give the .onnx file"),
    Case("dev_null", lambda p: p.build("/dev/null"), MODEL, "/dev/null", "no regular file", "Give the path"),
    Case(
        "eval_missing",
        lambda p: ["eval", "no.onnx", "--data", str(p.npz(x=m.samples(2, 8)))],
        MODEL,
        "no.onnx",
        "no such",
        "path",
    ),
]


def _external(content: bytes | None, location: str = "net.bin") -> Callable[[Place], Command]:
    def arrange(p: Place) -> Command:
        if content is not None:
            p.file("net.bin", content)
        return p.build(p.model(m.dense(w=m.external(location))))

    return arrange


def _no_opset(model: ModelProto) -> None:
    del model.opset_import[:]


def _no_nodes(model: ModelProto) -> None:
    del model.graph.node[:]


def _no_outputs(model: ModelProto) -> None:
    del model.graph.output[:]


def _no_inputs(model: ModelProto) -> None:
    del model.graph.input[:]
    model.graph.initializer.append(m.weights("x", 1, 8))


def _dangling(model: ModelProto) -> None:
    model.graph.node[1].input[0] = "lost"


def _made_twice(model: ModelProto) -> None:
    model.graph.node.append(m.node("Sigmoid", ["x"], ["h"]))


def _cycle(model: ModelProto) -> None:
    model.graph.node[0].input[0] = "y"


def _output_lost(model: ModelProto) -> None:
    model.graph.output[0].name = "z"


def _output_twice(model: ModelProto) -> None:
    model.graph.output.append(m.port("y", None))


def _sparse(model: ModelProto) -> None:
    values = numpy_helper.from_array(np.ones(1, np.float32), "sparse_w")
    s = helper.make_sparse_tensor(values, m.ints("i", 3), [8, 4])
    model.graph.sparse_initializer.append(s)


def _sequence_input(model: ModelProto) -> None:
    model.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", m.FLOAT, (1, 8)))


def _unknown_attribute(model: ModelProto) -> None:
    model.graph.node[1].attribute.append(helper.make_attribute("speed", 9))


def _domain(domain: str, op: str) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        model.graph.node[1].domain, model.graph.node[1].op_type = domain, op
        model.opset_import.append(helper.make_opsetid(domain, 1))

    return change


def _w(t: TensorProto) -> Callable[[Place], Command]:
    return _model(lambda: m.dense(w=t))


def _x(elem: int) -> Callable[[Place], Command]:
    def change(model: ModelProto) -> None:
        model.graph.input[0].type.tensor_type.elem_type = elem

    return _edit(change)


DAMAGED = [
    Case("opset_5", _model(lambda: m.dense(opset=5)), MODEL, "net.onnx", "opset 5", "version_converter"),
    Case("opset_999", _model(lambda: m.dense(opset=999)), MODEL, "net.onnx", "opset 999", "pip install -U onnx"),
    Case("opset_missing", _edit(_no_opset), MODEL, "net.onnx", "names no operator set", "Export it again"),
    Case("domain_unknown", _edit(_domain("acme.com", "Fast")), MODEL, "/relu", 'domain "acme.com"', "standard ONNX"),
    Case("domain_ml", _edit(_domain("ai.onnx.ml", "Scaler")), MODEL, "/relu", "ai.onnx.ml:Scaler", "emlearn or m2cgen"),
    Case("external_missing", _external(None), MODEL, '"w"', '"net.bin", which is missing', "Copy it to"),
    Case("external_short", _external(bytes(100)), MODEL, '"w"', "found 100", "copy it again"),
    Case("external_outside", _external(None, "../../secret"), MODEL, '"w"', "../../secret", "Copy the file beside"),
    Case("external_folder", _external(None, "."), MODEL, '"w"', "outside", "Copy the file beside"),
    Case("weights_nan", _w(m.weights("w", 8, 4, value=np.nan)), MODEL, '"w" [8, 4]', "1 of 32", "export a good state"),
    Case("weights_inf", _w(m.weights("w", 8, 4, value=np.inf)), MODEL, '"w" [8, 4]', "infinite", "export a good state"),
    Case("weights_minus_inf", _w(m.weights("w", 8, 4, value=-np.inf)), MODEL, '"w"', "1 of 32", "export a good state"),
    Case(
        "weights_too_few",
        _w(m.tensor("w", m.FLOAT, [8, 4], bytes(64))),
        MODEL,
        '"w" of shape [8, 4]',
        "64 bytes",
        "copy or export",
    ),
    Case(
        "weights_too_many",
        _w(m.tensor("w", m.FLOAT, [8, 4], bytes(256))),
        MODEL,
        '"w" of shape',
        "256 bytes",
        "copy or export",
    ),
    Case(
        "weights_negative_shape",
        _w(m.tensor("w", m.FLOAT, [-8, 4], bytes(128))),
        MODEL,
        '"w"',
        "[-8, 4]",
        "export it again",
    ),
    Case(
        "weights_text",
        _w(helper.make_tensor("w", TensorProto.STRING, [2], [b"a", b"b"])),
        MODEL,
        '"w"',
        "string",
        "takes numbers",
    ),
    Case(
        "weights_complex",
        _w(m.tensor("w", TensorProto.COMPLEX64, [8, 4], bytes(256))),
        MODEL,
        '"w"',
        "complex64",
        "takes numbers",
    ),
    Case("weights_sparse", _edit(_sparse), MODEL, '"sparse_w"', "sparse", "Store them dense"),
    Case("input_text", _x(TensorProto.STRING), MODEL, 'input "x"', "string", "takes float"),
    Case("input_complex", _x(TensorProto.COMPLEX128), MODEL, 'input "x"', "complex128", "takes float"),
    Case("input_int64", _x(TensorProto.INT64), MODEL, 'input "x"', "int64", "--set x=NUMBER"),
    Case("input_sequence", _edit(_sequence_input), MODEL, 'input "x"', "sequence", "dense tensors"),
    Case("no_nodes", _edit(_no_nodes), MODEL, "net.onnx", "no nodes", "nothing to build"),
    Case("no_outputs", _edit(_no_outputs), MODEL, "net.onnx", "no outputs", "Export the model again"),
    Case("no_inputs", _edit(_no_inputs), MODEL, "net.onnx", "no inputs", "Export the model again"),
    Case("dangling_input", _edit(_dangling), MODEL, '"/relu"', 'reads "lost"', "was cut wrongly"),
    Case("tensor_made_twice", _edit(_made_twice), MODEL, '"h"', "made 2 times", "must be unique"),
    Case("cycle", _edit(_cycle), MODEL, "node", "depends on its own output", "damaged"),
    Case("output_by_nobody", _edit(_output_lost), MODEL, 'output "z"', "made by no node", "cut wrongly"),
    Case("output_listed_twice", _edit(_output_twice), MODEL, 'output "y"', "twice", "Export the model again"),
    Case("attribute_unknown", _edit(_unknown_attribute), MODEL, '"/relu" (Relu)', "speed", "Export the model again"),
    Case(
        "shapes_disagree",
        _w(m.weights("w", 9, 4)),
        MODEL,
        "/fc/Gemm",
        "input has 8 features",
        "weights want 9",
        table=True,
    ),
]


def _shaped(shape: Sequence[int | str | None] | None, *more: str) -> Callable[[Place], Command]:
    return _model(lambda: m.dense(dims=shape), *more)


SHAPES = [
    Case("dim_open", _shaped((1, "length")), MODEL, 'input "x"', "dimension 1 is not fixed", "--input-shape x=1,N"),
    Case("dim_unnamed", _shaped((None, None)), MODEL, 'input "x"', "not fixed", "--input-shape x="),
    Case("rank_unknown", _shaped(None), MODEL, 'input "x"', "no shape", "--input-shape x=1"),
    Case("dim_zero", _shaped((1, 0)), MODEL, 'input "x"', "[1, 0]", "empty"),
    Case("batch_of_8", _shaped((8, 8)), MODEL, 'input "x"', "a batch of 8", "--input-shape x=8,8"),
    Case("option_wrong_name", _shaped((1, "n"), "--input-shape", "in=1,8"), MODEL, 'input "in"', "inputs are x", "x"),
    Case(
        "option_wrong_rank",
        _shaped((1, "n"), "--input-shape", "x=1,2,4"),
        MODEL,
        'input "x"',
        "[1, 2, 4]",
        "does not fit",
    ),
    Case(
        "option_contradicts",
        _shaped((1, 8), "--input-shape", "x=1,9"),
        MODEL,
        'input "x" is [1, 8]',
        "[1, 9]",
        "does not fit",
    ),
    Case("option_negative", _shaped((1, "n"), "--input-shape", "x=1,-8"), MODEL, 'input "x"', "[1, -8]", "empty"),
    Case(
        "option_text",
        _shaped((1, "n"), "--input-shape", "x=one,8"),
        USAGE,
        "--input-shape",
        '"x=one,8"',
        "NAME=1,3,32,32",
    ),
    Case(
        "option_without_name",
        _shaped((1, "n"), "--input-shape", "1,8"),
        USAGE,
        "--input-shape",
        '"1,8"',
        "NAME=1,3,32,32",
    ),
    Case(
        "option_makes_layers_disagree",
        _shaped((1, "n"), "--input-shape", "x=1,9"),
        MODEL,
        "/fc/Gemm",
        "input has 9",
        "weights want 8",
        table=True,
    ),
]


def _one(op: str, **how: object) -> Callable[[Place], Command]:
    return _model(lambda: m.one(op, **how))  # type: ignore[arg-type]


def several() -> ModelProto:
    nodes = [
        m.node("LRN", ["x"], ["a"], "/norm", size=3),
        m.node("ReduceProd", ["a"], ["b"], "/all"),
        m.node("Mystery", ["b"], ["c"], "/what"),
        m.node("TopK", ["x", "k"], ["v", "i"], "/best"),
    ]
    return m.model(nodes, [m.port("x", (1, 8))], [m.port("c", (1, 8)), m.port("v", None)], [m.ints("k", 3)])


def _dynamic_weights() -> ModelProto:
    nodes = [
        m.node("Reshape", ["x", "shape"], ["w"], "/w"),
        m.node("Conv", ["image", "w"], ["y"], "/dynamic/Conv"),
    ]
    ins = [m.port("image", (1, 1, 8, 8)), m.port("x", (1, 9))]
    return m.model(nodes, ins, [m.port("y", None)], [m.ints("shape", 1, 1, 3, 3)])


def _branches() -> ModelProto:
    then, other = (
        m.graph([m.node(op, ["x"], [f"{op}_out"])], [], [m.port(f"{op}_out", None)]) for op in ("Relu", "Neg")
    )
    nodes = [
        m.node("ReduceSum", ["x"], ["s"], keepdims=0),
        m.node("Cast", ["s"], ["cond"], to=TensorProto.BOOL),
        m.node("If", ["cond"], ["y"], "/choose", then_branch=then, else_branch=other),
    ]
    return m.model(nodes, [m.port("x", (1, 8))], [m.port("y", (1, 8))])


def _loop() -> ModelProto:
    body = m.graph(
        [m.node("Identity", ["go"], ["go_on"]), m.node("Relu", ["v"], ["v_out"])],
        [m.port("i", (), TensorProto.INT64), m.port("go", (), TensorProto.BOOL), m.port("v", (1, 8))],
        [m.port("go_on", (), TensorProto.BOOL), m.port("v_out", (1, 8))],
    )
    nodes = [
        m.node("ReduceSum", ["x"], ["s"], keepdims=0),
        m.node("Cast", ["s"], ["n"], to=TensorProto.INT64),
        m.node("Loop", ["n", "", "x"], ["y"], "/repeat", body=body),
    ]
    return m.model(nodes, [m.port("x", (1, 8))], [m.port("y", (1, 8))])


def _constant_output() -> ModelProto:
    model = m.dense()
    model.graph.node.append(m.node("Relu", ["b"], ["fixed"]))
    model.graph.output.append(m.port("fixed", (4,)))
    return model


def _dynamic_quantisation() -> ModelProto:
    nodes = [
        m.node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], "/codes"),
        m.node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    return m.model(nodes, [m.port("x", (1, 8))], [m.port("y", (1, 8))])


def _unreached_input() -> ModelProto:
    return m.model([m.node("Relu", ["w"], ["y"])], [m.port("x", (1, 8))], [m.port("y", (8, 4))], [m.weights("w", 8, 4)])


UNSUPPORTED = [
    Case("several_at_once", _model(several), MODEL, "/norm", "LRN", "Use BatchNormalization", table=True),
    Case("several_at_once_second", _model(several), MODEL, "/all", "ReduceProd", "Use ReduceSum", table=True),
    Case("several_at_once_third", _model(several), MODEL, "/what", "Mystery", "tinygen ops", table=True),
    Case(
        "several_at_once_fourth",
        _model(several),
        MODEL,
        "4 nodes tinygen cannot build",
        "TopK",
        "Cut the model",
        table=True,
    ),
    Case(
        "inspectseveral",
        lambda p: ["inspect", str(p.model(several()))],
        MODEL,
        "/what",
        "Mystery",
        "tinygen ops",
        table=True,
    ),
    Case(
        "conv_4d",
        _one("Conv", dims=(1, 1, 3, 3, 3, 3), constants=[m.weights("w", 2, 1, 2, 2, 2, 2)]),
        MODEL,
        "/the_Conv",
        "4",
        "1",
        table=True,
    ),
    Case(
        "weights_computed",
        _model(_dynamic_weights),
        MODEL,
        "/dynamic/Conv",
        "computed from the input",
        "constant",
        table=True,
    ),
    Case("if", _model(_branches), MODEL, "/choose", "control flow", "--set NAME=NUMBER", table=True),
    Case("loop", _model(_loop), MODEL, "/repeat", "depends on the data", "the step alone", table=True),
    Case("nonzero", _one("NonZero"), MODEL, "/the_NonZero", "variable length", "extract_model", table=True),
    Case("random", _one("RandomNormalLike"), MODEL, "/the_RandomNormalLike", "not known", "tinygen ops", table=True),
    Case("quantised_at_run_time", _model(_dynamic_quantisation), MODEL, "/codes", "dynamic", "QDQ", table=True),
    Case(
        "reshape_impossible",
        _one("Reshape", constants=[m.ints("shape", 3, 3)]),
        MODEL,
        "/the_Reshape",
        "[3, 3]",
        "Export with batch 1",
        table=True,
    ),
    Case("add_impossible", _one("Add", constants=[m.weights("w", 1, 5)]), MODEL, "/the_Add", "5", "8", table=True),
    Case(
        "conv_channels",
        _one("Conv", dims=(1, 3, 8, 8), constants=[m.weights("w", 4, 2, 3, 3)]),
        MODEL,
        "/the_Conv",
        "3",
        "2",
        table=True,
    ),
    Case(
        "output_constant",
        _model(_constant_output),
        MODEL,
        'output "fixed"',
        "does not depend on the input",
        "Remove it",
    ),
    Case("output_independent", _model(_unreached_input), MODEL, "net.onnx", "no output depends", "nothing to compute"),
]

CASES = [*FILES, *DAMAGED, *SHAPES, *UNSUPPORTED]
