"""Cases: files that claim what no network is: sizes, depths and numbers beyond all bounds, data outside their folder.

Each is refused for what it says, before time or memory is spent on it.
"""

from __future__ import annotations

import itertools
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tests.errors import models as m
from tests.errors.cases import DATA, MODEL, TARGET, Case, Command, Place

RECIPE = 8


def _model(make: Callable[[], ModelProto], *more: str) -> Callable[[Place], Command]:
    return lambda p: p.build(p.model(make()), *more)


# -- external data ---------------------------------------------------------------------------------------------------


def outside(name: str = "w", **info: str) -> TensorProto:
    """8x4 floats in w.bin, or as `info` has it."""
    t = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[8, 4], data_location=TensorProto.EXTERNAL)
    for key, value in ({"location": "w.bin", "offset": "0", "length": "128"} | info).items():
        entry = t.external_data.add()
        entry.key, entry.value = key, value
    return t


def _product(w: str) -> NodeProto:
    return m.node("MatMul", ["x", w], ["y"])


def _of(nodes: Sequence[NodeProto], constants: Sequence[TensorProto] = ()) -> ModelProto:
    return m.model(nodes, [m.port("x", (1, 8))], [m.port("y", None)], constants)


def in_weights(t: TensorProto) -> ModelProto:
    return _of([_product("w")], [t])


def in_constant(t: TensorProto) -> ModelProto:
    return _of([helper.make_node("Constant", [], ["w"], value=t), _product("w")])


def in_branch(t: TensorProto, *, as_weights: bool = True) -> ModelProto:
    """In a branch that is never taken."""

    def branch(name: str, tensor: TensorProto) -> GraphProto:
        made = [] if as_weights else [helper.make_node("Constant", [], [tensor.name], value=tensor)]
        out = helper.make_node("Identity", [tensor.name], [f"{name}_out"])
        kept = [tensor] if as_weights else []
        return helper.make_graph([*made, out], name, [], [m.port(f"{name}_out", None)], kept)

    own = numpy_helper.from_array(np.ones((8, 4), np.float32), "own")
    condition = numpy_helper.from_array(np.array(True), "c")
    choice = helper.make_node("If", ["c"], ["w"], then_branch=branch("yes", own), else_branch=branch("no", t))
    return _of([choice, _product("w")], [condition])


def in_function(t: TensorProto) -> ModelProto:
    model = _of([helper.make_node("F", ["x"], ["y"], domain="own")])
    body = [helper.make_node("Constant", [], ["w"], value=t), _product("w")]
    model.functions.append(helper.make_function("own", "F", ["x"], ["y"], body, [helper.make_opsetid("", 17)]))
    model.opset_import.append(helper.make_opsetid("own", 1))
    return model


def in_sparse(t: TensorProto) -> ModelProto:
    t.dims[:] = [32]
    sparse = helper.make_sparse_tensor(t, numpy_helper.from_array(np.arange(32), "i"), [8, 4])
    return _of([helper.make_node("Constant", [], ["w"], sparse_value=sparse), _product("w")])


def in_training(t: TensorProto) -> ModelProto:
    model = in_weights(numpy_helper.from_array(np.ones((8, 4), np.float32), "w"))
    model.training_info.add().initialization.initializer.append(t)
    return model


PLACES = {
    "weights": in_weights,
    "constant": in_constant,
    "branch": in_branch,
    "constant_in_branch": lambda t: in_branch(t, as_weights=False),
    "function": in_function,
    "sparse": in_sparse,
    "training": in_training,
}


def _elsewhere(make: Callable[[TensorProto], ModelProto]) -> Callable[[Place], Command]:
    """The data lies in the current folder, the model in another."""

    def arrange(p: Place) -> Command:
        p.file("w.bin", bytes(range(128)))
        return p.build(p.file("models/net.onnx", make(outside()).SerializeToString()))

    return arrange


def _above(make: Callable[[TensorProto], ModelProto]) -> Callable[[Place], Command]:
    def arrange(p: Place) -> Command:
        p.file("w.bin", bytes(range(128)))
        return p.build(p.file("models/net.onnx", make(outside(location="../w.bin")).SerializeToString()))

    return arrange


def _link(p: Place) -> Command:
    p.file("w.bin", bytes(128))
    model = p.file("models/net.onnx", in_constant(outside()).SerializeToString())
    (model.parent / "w.bin").symlink_to(p.folder / "w.bin")
    return p.build(model)


def _absolute(p: Place) -> Command:
    return p.build(p.model(in_weights(outside(location=str(p.file("w.bin", bytes(128)))))))


def _info(content: int = 128, **info: str) -> Callable[[Place], Command]:
    def arrange(p: Place) -> Command:
        p.file("w.bin", bytes(content))
        return p.build(p.model(in_weights(outside(**info))))

    return arrange


def _pipe(p: Place) -> Command:
    os.mkfifo(p.folder / "w.bin")
    return p.build(p.model(in_weights(outside())))


EXTERNAL = [
    *(Case(f"cwd_{k}", _elsewhere(f), MODEL, '"w', "missing", "models") for k, f in PLACES.items()),
    *(Case(f"above_{k}", _above(f), MODEL, '"w', "outside the model's folder", "Copy") for k, f in PLACES.items()),
    Case("external_link_in_constant", _link, MODEL, '"w"', "outside the model's folder", "Copy"),
    Case("external_absolute", _absolute, MODEL, '"w"', "outside the model's folder", "Copy"),
    Case("external_pipe", _pipe, MODEL, '"w.bin"', "no regular file", "Copy"),
    Case("external_offset_text", _info(offset="abc"), MODEL, '"w"', '"abc"', "export it again"),
    Case("external_offset_negative", _info(offset="-4"), MODEL, '"w"', '"-4"', "export it again"),
    Case("external_offset_huge", _info(offset=str(2**63)), MODEL, '"w"', str(2**63), "export it again"),
    Case("external_offset_beyond", _info(offset="200"), MODEL, '"w"', "found 0", "copy it again"),
    Case("external_length_text", _info(length="1e3"), MODEL, '"w"', '"1e3"', "export it again"),
    Case("external_length_negative", _info(length="-128"), MODEL, '"w"', '"-128"', "export it again"),
    Case("external_length_huge", _info(length=str(2**62)), MODEL, '"w"', str(2**62), "export it again"),
    Case("external_length_short", _info(length="64"), MODEL, '"w"', "should be 128 bytes", "export it again"),
    Case("external_nul", _info(location="w\0.bin"), MODEL, '"w"', "NUL", "damaged"),
    Case("external_long_name", _info(location="w" * 5000), MODEL, '"w"', "cannot be opened", "too long"),
]  # fmt: skip


# -- depth, number, rank ---------------------------------------------------------------------------------------------


def functions(calls: dict[str, Sequence[str]]) -> ModelProto:
    """Functions of one input and output, each a chain of the others it calls."""

    def chain(names: Sequence[str], x: str, y: str) -> list[NodeProto]:
        at = [x, *(f"{y}_{i}" for i in range(len(names) - 1)), y]
        return [
            helper.make_node(name, [at[i]], [at[i + 1]], domain="own" if name in calls else "")
            for i, name in enumerate(names)
        ]

    model = m.model(chain(["F0"], "x", "y"), [m.port("x", (1, 8))], [m.port("y", (1, 8))])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model.functions.extend(
        helper.make_function("own", name, ["a"], ["b"], chain(inner, "a", "b"), imports)
        for name, inner in calls.items()
    )
    model.opset_import.append(helper.make_opsetid("own", 1))
    return model


def _doubling() -> ModelProto:
    return functions({f"F{i}": [f"F{i + 1}"] * 8 if i < 12 else ["Relu"] for i in range(13)})


def nested(depth: int) -> ModelProto:
    """If within If."""
    graph = flat = helper.make_graph([helper.make_node("Identity", ["x"], ["o"])], "in", [], [m.port("o", None)])
    for i in range(depth):
        node = helper.make_node("If", ["c"], [f"o{i}"], then_branch=graph, else_branch=flat)
        graph = helper.make_graph([node], f"g{i}", [], [m.port(f"o{i}", None)])
    out = helper.make_node("Identity", [f"o{depth - 1}"], ["y"])
    condition = numpy_helper.from_array(np.array(True), "c")
    return m.model([*graph.node, out], [m.port("x", (1, 8))], [m.port("y", None)], [condition])


def chain(length: int, ops: Sequence[str] = ("Neg", "Relu")) -> ModelProto:
    names = ["x", *(f"t{i}" for i in range(length - 1)), "y"]
    nodes = [helper.make_node(ops[i % len(ops)], [names[i]], [names[i + 1]]) for i in range(length)]
    return m.model(nodes, [m.port("x", (1, 8))], [m.port("y", None)])


def _fan(count: int) -> ModelProto:
    outs = [f"y{i}" for i in range(count)]
    nodes = [helper.make_node("Split", ["x"], outs, axis=1, num_outputs=count)]
    return m.model(nodes, [m.port("x", (1, count))], [m.port(o, None) for o in outs], opset=18)


def _unsqueezed() -> ModelProto:
    return m.one("Unsqueeze", constants=[m.ints("axes", *range(2, 11))])


NUMBERS = [
    Case("function_self", _model(lambda: functions({"F0": ["F0"]})), MODEL, '"F0"', "calls itself", "Export"),
    Case("function_mutual", _model(lambda: functions({"F0": ["F1"], "F1": ["Relu", "F0"]})), MODEL, '"F0"', "calls its",
         "Export"),
    Case("function_deep", _model(lambda: functions({f"F{i}": [f"F{i + 1}" if i < 40 else "Relu"] for i in range(41)})),
         MODEL, '"F16"', "16 deep", "inline_local_functions"),
    Case("function_doubling", _model(_doubling), MODEL, "net.onnx", "68,719,476,736 nodes", "Simplify"),
    Case("nested_graphs", _model(lambda: nested(18)), MODEL, "net.onnx", "more than 16 deep", "without branches"),
    Case("nodes_9000", _model(lambda: chain(9000)), MODEL, "net.onnx", "9,000 nodes", "Simplify"),
    Case("outputs_300", _model(lambda: _fan(300)), MODEL, "net.onnx", "300 outputs", "Concat"),
    Case("rank_500", _model(lambda: m.one("Relu", dims=(1,) * 500)), MODEL, '"x"', "500 axes", "damaged"),
    Case("rank_by_unsqueeze", _model(_unsqueezed), MODEL, "/the_Unsqueeze", "11 axes", "Check the sizes", table=True),
]  # fmt: skip


# -- sizes -----------------------------------------------------------------------------------------------------------


def _relu(*dims: int) -> Callable[[], ModelProto]:
    return lambda: m.one("Relu", dims=dims)


def _doubled(start: str, dims: Sequence[int], axis: int) -> ModelProto:
    """A tensor joined with itself, 40 times over."""
    names = [start, *(f"c{i}" for i in range(40))]
    nodes = [helper.make_node("Concat", [a, a], [b], axis=axis) for a, b in itertools.pairwise(names)]
    if start == "x":
        return m.model([*nodes, helper.make_node("Relu", ["c39"], ["y"])], [m.port("x", dims)], [m.port("y", None)])
    nodes += [helper.make_node("ReduceSum", ["c39"], ["s"], keepdims=0), helper.make_node("Add", ["x", "s"], ["y"])]
    constants = [numpy_helper.from_array(np.ones(dims, np.float32), start)]
    return m.model(nodes, [m.port("x", (1, 8))], [m.port("y", None)], constants)


def _computed(op: str, *constants: TensorProto) -> Callable[[], ModelProto]:
    """A huge constant, computed of small ones, times x."""

    def make() -> ModelProto:
        nodes = [m.node(op, [c.name for c in constants], ["k"], f"/the_{op}"), m.node("Mul", ["x", "k"], ["y"])]
        return m.model(nodes, [m.port("x", (1, 8))], [m.port("y", None)], constants)

    return make


def _windowed(
    op: str, dims: Sequence[int], kernel: Sequence[int] = (), **attributes: object
) -> Callable[[], ModelProto]:
    constants = [m.weights("w", 1, 1, *kernel)] if op in ("Conv", "ConvTranspose") else []
    return lambda: m.one(op, dims=dims, constants=constants, **attributes)


def _resized(mode: str) -> Callable[[], ModelProto]:
    def make() -> ModelProto:
        scales = numpy_helper.from_array(np.array([1, 1, 1, 0.5], np.float32), "s")
        node = helper.make_node("Resize", ["x", "", "s"], ["y"], "/resize", mode=mode)
        return m.model([node], [m.port("x", (1, 1, 1, 70000))], [m.port("y", None)], [scales])

    return make


def _work() -> ModelProto:
    """One kernel, used by eighty layers."""
    names = ["x", *(f"t{i}" for i in range(79)), "y"]
    nodes = [m.node("Conv", [a, "w"], [b], f"/conv{b}", pads=[3] * 4) for a, b in itertools.pairwise(names)]
    return m.model(nodes, [m.port("x", (1, 32, 32, 32))], [m.port("y", None)], [m.weights("w", 32, 32, 7, 7)])


def _one(value: float) -> TensorProto:
    return numpy_helper.from_array(np.array([value], np.float32), "one")


SIZES = [
    Case("input_2e62", _model(_relu(1, 1 << 62)), MODEL, '"x"', "4,611,686,018,427,387,904", "smaller network"),
    Case("input_1e7", _model(_relu(1, 10**7)), TARGET, '"x" [1, 10000000]', "20,000,000 bytes", "smaller input"),
    Case("input_1e7_inspect", lambda p: ["inspect", str(p.model(_relu(1, 10**7)()))], TARGET, "any board",
         "20,000,000 bytes", "smaller input"),
    Case("input_given", _model(lambda: m.dense(dims=("N", "M")), "--input-shape", "x=1,99999999999"), MODEL,
         'input "x"', "99,999,999,999", "smaller shape", table=True),
    Case("doubled_activation", _model(lambda: _doubled("x", (1, 8), 1)), MODEL, "Concat_23", "134,217,728",
         "Check the sizes", table=True),
    Case("doubled_constant", _model(lambda: _doubled("k", (1,), 0)), MODEL, "Concat_23", "33,554,430", "Shrink",
         table=True),
    Case("computed_expand", _model(_computed("Expand", _one(1), m.ints("s", 1 << 20, 1 << 20))), MODEL,
         "/the_Expand", "1,099,511,627,776", "Shrink", table=True),
    Case("computed_tile", _model(_computed("Tile", _one(1), m.ints("s", 1 << 40))), MODEL, "/the_Tile",
         "1,099,511,627,776", "Shrink", table=True),
    Case("computed_pad", _model(_computed("Pad", _one(1), m.ints("s", 1 << 40, 0))), MODEL, "/the_Pad",
         "1,099,511,627,777", "Shrink", table=True),
    Case("computed_range", _model(_computed("Range", *(numpy_helper.from_array(np.array(v), n) for v, n in
         ((0, "a"), (1 << 40, "b"), (1, "c"))))), MODEL, "/the_Range", "1,099,511,627,776", "Shrink", table=True),
    Case("computed_fill", _model(_computed("ConstantOfShape", m.ints("s", 1 << 40))), MODEL, "/the_ConstantOfShape",
         "1,099,511,627,776", "Shrink", table=True),
    Case("computed_outer", _model(_computed("Mul", m.weights("a", 60000, 1), m.weights("b", 1, 60000))), MODEL,
         "/the_Mul", "3,600,000,000", "Shrink", table=True),
    Case("computed_product", _model(_computed("MatMul", m.weights("a", 1500, 1500), m.weights("b", 1500, 1500))), MODEL,
         "/the_MatMul", "too long", "Shrink", table=True),
    Case("pool_pads_huge", _model(_windowed("AveragePool", (1, 1, 4, 4), kernel_shape=[30000, 30000],
         pads=[29999, 29999, 0, 0])), MODEL, "/the_AveragePool", "900,180,009", "padding", table=True),
    Case("conv_pads_huge", _model(_windowed("Conv", (1, 1, 4, 4), (3, 3), dilations=[1 << 31] * 2,
         pads=[1 << 31] * 4)), MODEL, "/the_Conv", "2147483648", "padding", table=True),
    Case("transposed_huge", _model(_windowed("ConvTranspose", (1, 1, 4, 4), (3, 3), strides=[1 << 31] * 2)), MODEL,
         "/the_ConvTranspose", "2147483648", "export it again", table=True),
    Case("conv1d_80000", _model(_windowed("Conv", (1, 1, 80000), (25,), strides=[16])), MODEL, "/the_Conv",
         "80,000 is more than 65,535", "Cut the input into pieces"),
    Case("resize_70000", _model(_resized("nearest")), MODEL, "/resize", "70,000 is more than 65,535", "Cut the input"),
    Case("resize_linear_70000", _model(_resized("linear")), MODEL, "/resize", "70,000 is more than 65,535", "Cut the"),
    Case("conv_windows", _model(_windowed("Conv", (1, 1, 256, 256), (129, 129), pads=[64] * 4)), MODEL, "/the_Conv",
         "65,536 windows of 16,641", "smaller kernel"),
    Case("work", _model(_work), MODEL, "/conv", "4,445", "smaller input"),
]  # fmt: skip


# -- files that are none ---------------------------------------------------------------------------------------------


def _fifo(place: Place, name: str) -> Path:
    os.mkfifo(place.folder / name)
    return place.folder / name


def _sparse_file(p: Place) -> Command:
    """200 MiB of nothing, which take no room on the disk."""
    path = p.file("big.onnx", m.dense().SerializeToString())
    with path.open("r+b") as f:
        f.truncate(200 << 20)
    return p.build(path)


def _reference() -> ModelProto:
    """An attribute that is a parameter, outside of a function."""
    model = m.one("Elu", alpha=1.0)
    model.graph.node[0].attribute[0].ref_attr_name = "alpha"
    return model


def _version(number: int) -> ModelProto:
    model = m.dense()
    model.opset_import.append(helper.make_opsetid("other", number))
    return model


FILES = [
    Case("reference_to_nothing", _model(_reference), MODEL, "/the_Elu", '"alpha" refers to one', "export it again"),
    Case("version_beyond", _model(lambda: _version(1 << 40)), MODEL, '"other"', str(1 << 40), "export it again"),
    Case("version_negative", _model(lambda: _version(-1)), MODEL, '"other"', "version -1", "export it again"),
    Case("model_pipe", lambda p: p.build(_fifo(p, "net.onnx")), MODEL, "net.onnx", "no regular file", "Give the path"),
    Case("model_200_mib", _sparse_file, MODEL, "big.onnx", "209,715,200 bytes", "smaller network"),
    Case("constant_without_value", _model(lambda: _of([helper.make_node("Constant", [], ["w"]), _product("w")])), MODEL,
         "Constant_0", "not a dense tensor", "Store it", table=True),
]  # fmt: skip


# -- data and recipes ------------------------------------------------------------------------------------------------


def _npy(header: str, content: bytes = bytes(64)) -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def _data(content: bytes, name: str = "data.npy", *more: str) -> Callable[[Place], Command]:
    return lambda p: p.build(p.model(), "--data", p.file(name, content), *more)


def _claim(shape: str, kind: str = "<f4") -> bytes:
    return _npy(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}")


def _method(p: Place) -> Command:
    """Compressed by a method that nobody knows."""
    file = p.npz(x=m.samples(40, 8))
    data = bytearray(file.read_bytes())
    for at in (data.index(b"PK\x03\x04") + 8, data.index(b"PK\x01\x02") + 10):
        data[at : at + 2] = b"\x63\x00"
    file.write_bytes(bytes(data))
    return p.build(p.model(), "--data", file)


def bomb(path: Path, rows: int) -> Path:
    """Zeros that are a thousand times smaller on the disk."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z,
        z.open("x.npy", "w", force_zip64=True) as f,
    ):
        f.write(_npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, 8), }}", b""))
        for _ in range(rows >> 15):
            f.write(bytes(32 << 15))
    return path


def _eval_bomb(p: Place) -> Command:
    few = p.npz("few.npz", x=m.samples(4, 8))
    return ["eval", str(p.model()), "--data", str(bomb(p.folder / "data.npz", 9 << 21)), "--calibrate", str(few)]


def _recipe(content: bytes) -> Callable[[Place], Command]:
    def arrange(p: Place) -> Command:
        data = p.npz(x=m.samples(40, 8), y=np.arange(40) % 4)
        recipe = p.file("recipe.toml", content)
        options = ("--data", str(data), "--recipe", str(recipe), "-o", str(p.folder / "small.onnx"))
        return ["compress", str(p.model()), *options]

    return arrange


DATA_FILES = [
    Case("data_pipe", lambda p: p.build(p.model(), "--data", _fifo(p, "data.npz")), DATA, "data.npz", "no regular file",
         "Give a .npz"),
    Case("data_device", lambda p: p.build(p.model(), "--data", "/dev/zero"), DATA, "/dev/zero", "no regular file",
         "Give a .npz"),
    Case("npz_method", _method, DATA, 'data.npz: array "x"', "compression method", "write it again"),
    Case("npy_header_open", _data(_npy("{'descr': '<f4', 'shape': (")), DATA, "data.npy", "cannot be read", "again"),
    Case("npy_header_deep", _data(_npy("(" * 110)), DATA, "data.npy", "cannot be read", "write it again"),
    Case("npy_claims_much", _data(_claim("(1000000000000, 8)")), DATA, "data.npy", "32,000,000,000,000 bytes", "again"),
    Case("npy_claims_beyond", _data(_claim("(4611686018427387904, 8)")), DATA, "data.npy", "found 64", "write it"),
    Case("npy_negative", _data(_claim("(-4, 8)")), DATA, "data.npy", "(-4, 8)", "write it again"),
    Case("npy_many_axes", _data(_claim("(" + "1, " * 66 + ")")), DATA, "data.npy", "cannot be read", "again"),
    Case("npy_version_9", _data(b"\x93NUMPY\x09\x00" + bytes(99)), DATA, "data.npy", "version", "write it again"),
    Case("eval_bomb", _eval_bomb, DATA, "data.npz", "603,979,776 bytes in memory", "--limit"),
    Case("recipe_deep", _recipe(b"a=" + b"[" * 3000), RECIPE, "recipe.toml", "brackets within brackets", "damaged"),
    Case("recipe_2_mib", _recipe(b"#" * (2 << 20)), RECIPE, "recipe.toml", "2,097,152 bytes", "a few thousand"),
]  # fmt: skip


CASES = (*DATA_FILES, *EXTERNAL, *NUMBERS, *SIZES, *FILES)
