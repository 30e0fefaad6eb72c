"""Cases: calibration and evaluation data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import ModelProto

from tests.errors import models as m
from tests.errors.cases import DATA, Case, Command, Place
from tinygen.numerics import Array


def _file(content: bytes, name: str = "data.npz") -> Callable[[Place], Command]:
    return lambda p: p.build(p.model(), "--data", p.file(name, content))


def _npz(model: Callable[[], ModelProto] = m.dense, **arrays: Array) -> Callable[[Place], Command]:
    return lambda p: p.build(p.model(model()), "--data", p.npz(**arrays))


def _eval(**arrays: Array) -> Callable[[Place], Command]:
    return lambda p: ["eval", str(p.model()), "--data", str(p.npz(**arrays))]


def _with(value: float, at: tuple[int, ...], *shape: int) -> Array:
    x = m.samples(*shape)
    x[at] = value
    return x


def _cut(p: Place) -> Command:
    file = p.npz(x=m.samples(40, 8))
    file.write_bytes(file.read_bytes()[:600])
    return p.build(p.model(), "--data", file)


def _damaged(p: Place) -> Command:
    file = p.npz(x=m.samples(40, 8))
    data = bytearray(file.read_bytes())
    data[400] ^= 0xFF
    file.write_bytes(bytes(data))
    return p.build(p.model(), "--data", file)


def _folder(*arrays: Array) -> Callable[[Place], Command]:
    def arrange(p: Place) -> Command:
        folder = p.folder / "samples"
        folder.mkdir()
        for i, a in enumerate(arrays):
            np.save(folder / f"{i}.npy", a)
        return p.build(p.model(), "--data", folder)

    return arrange


def _npy_for_two(p: Place) -> Command:
    np.save(p.folder / "x.npy", m.samples(4, 8))
    return p.build(p.model(m.two_inputs()), "--data", p.folder / "x.npy")


X = m.samples(4, 8)
OBJECTS = np.array([{"a": 1}, None], dtype=object)

CASES = [
    Case(
        "data_missing",
        lambda p: p.build(p.model(), "--data", "no.npz"),
        DATA,
        '"no.npz"',
        "does not exist",
        "Give a .npz",
    ),
    Case("data_empty", _file(b""), DATA, "data.npz", "an empty file", "numpy.savez"),
    Case("data_csv", _file(b"1,2,3\n4,5,6\n", "data.csv"), DATA, "data.csv", "something else", "numpy.savez"),
    Case("data_pickle", _file(b"\x80\x04]q\x00."), DATA, "data.npz", "a Python pickle", "numpy.savez"),
    Case("data_cut", _cut, DATA, "data.npz", "cannot be read", "write it again"),
    Case("data_damaged", _damaged, DATA, "data.npz", "cannot be read", "write it again"),
    Case("data_zip_of_others", _file(b"PK\x05\x06" + bytes(18)), DATA, "data.npz", 'no array "x"', "Rename the array"),
    Case(
        "data_name_too_long",
        lambda p: p.build(p.model(), "--data", "d" * 300),
        DATA,
        "ddd",
        "File name too long",
        "cannot be opened",
    ),
    Case("data_without_x", _npz(images=X), DATA, "data.npz", 'Found "images"', "Rename the array"),
    Case("data_shape", _npz(x=m.samples(4, 9)), DATA, 'array "x"', "(4, 9)", "(n, 8)"),
    Case(
        "data_nhwc",
        _npz(m.conv, x=m.samples(4, 8, 8, 3)),
        DATA,
        'array "x"',
        "(4, 8, 8, 3)",
        "x.transpose(0, 3, 1, 2) would fit",
    ),
    Case(
        "data_flat",
        _npz(m.conv, x=m.samples(4, 192)),
        DATA,
        'array "x"',
        "(4, 192)",
        "x.reshape(-1, 3, 8, 8) would fit",
    ),
    Case("data_scalar", _npz(x=np.array(3.0)), DATA, 'array "x"', "()", "(n, 8)"),
    Case("data_no_samples", _npz(x=np.zeros((0, 8), np.float32)), DATA, 'array "x"', "(0, 8)", "At least one"),
    Case("data_nan", _npz(x=_with(np.nan, (2, 5), 4, 8)), DATA, 'array "x"', "sample 2 holds NaN", "repair or drop"),
    Case(
        "data_inf",
        _npz(x=_with(-np.inf, (3, 0), 4, 8)),
        DATA,
        'array "x"',
        "sample 3 holds an infinite",
        "repair or drop",
    ),
    Case("data_beyond_float", _npz(x=np.full((4, 8), 1e300)), DATA, 'array "x"', "beyond float32", "repair or drop"),
    Case("data_text", _npz(x=np.full((4, 8), "a")), DATA, 'array "x"', "type <U1", "astype(numpy.float32)"),
    Case("data_complex", _npz(x=np.full((4, 8), 1j)), DATA, 'array "x"', "complex128", "real numbers"),
    Case("data_objects", _npz(x=OBJECTS), DATA, 'array "x"', "Python objects", "numpy.asarray"),
    Case("data_two_inputs_x", _npz(m.two_inputs, x=X), DATA, 'no array "a", "b"', 'Found "x"', "Rename the array"),
    Case("data_two_inputs_one", _npz(m.two_inputs, a=X), DATA, 'no array "b"', 'Found "a"', 'needed "a", "b"'),
    Case("data_two_inputs_uneven", _npz(m.two_inputs, a=X, b=X[:3]), DATA, '"b"', "4 samples", "the same number"),
    Case("data_two_inputs_npy", _npy_for_two, DATA, "x.npy", "2 inputs", ".npz with the arrays"),
    Case("data_folder_empty", _folder(), DATA, '"samples"', "no .npy file", "numpy.save"),
    Case("data_folder_shape", _folder(X, m.samples(7)), DATA, "samples/1.npy", "(7,)", "allowed"),
    Case(
        "data_folder_nan",
        _folder(X, _with(np.nan, (3,), 8)),
        DATA,
        "samples/1.npy",
        "sample 0 holds NaN",
        "repair or drop",
    ),
    Case("data_folder_types", _folder(X, X.astype(np.int8)), DATA, "samples/1.npy", "int8", "the same type"),
    Case("labels_too_few", _npz(x=X, y=np.arange(3)), DATA, "data.npz", "3 labels", "every sample needs one"),
    Case("labels_text", _eval(x=X, y=np.array(["a", "b", "a", "b"])), DATA, "labels", "type <U1", "class numbers"),
    Case("labels_out_of_range", _eval(x=X, y=np.array([0, 1, 2, 4])), DATA, "label", "4", "0 to 3"),
    Case("labels_negative", _eval(x=X, y=np.array([0, 1, -1, 2])), DATA, "label", "-1", "0 to 3"),
    Case("labels_fraction", _eval(x=X, y=np.array([0, 1.5, 1, 2])), DATA, "label", "1.5", "0 to 3"),
    Case("labels_nan", _eval(x=X, y=np.array([0, np.nan, 1, 2])), DATA, "label 1", "NaN", "finite"),
    Case("labels_shape", _eval(x=X, y=np.zeros((4, 3))), DATA, "labels", "(4, 3)", "0 to 3"),
    Case(
        "eval_data_missing",
        lambda p: ["eval", str(p.model()), "--data", "no.npz"],
        DATA,
        '"no.npz"',
        "does not exist",
        "Give a .npz",
    ),
    Case(
        "eval_calibration_missing",
        lambda p: ["eval", str(p.model()), "--data", str(p.npz(x=X)), "--calibrate", "no.npz"],
        DATA,
        '"no.npz"',
        "does not exist",
        "Give a .npz",
    ),
]
