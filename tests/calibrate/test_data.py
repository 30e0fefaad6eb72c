"""Calibration data: what is accepted, and the message for everything that is not."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tinygen.calibrate.data import load_data
from tinygen.calibrate.synthetic import synthetic
from tinygen.errors import DataError
from tinygen.ir.types import Port, Quant
from tinygen.numerics import Array

IMAGE = (Port.plain("image", (1, 3, 4, 5)),)
VECTOR = (Port.plain("v", (1, 6)),)
TWO = (Port.plain("a", (1, 2)), Port.plain("b", (1, 3)))


def _values(*shape: int) -> Array:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize(
    "shape",
    [(7, 3, 4, 5), (7, 1, 3, 4, 5), (1, 3, 4, 5), (3, 4, 5)],
    ids=["samples", "samples of batch 1", "one", "one without batch"],
)
@pytest.mark.parametrize("form", ["npz", "npy", "named", "folder"])
def test_accepted_shapes(tmp_path: Path, shape: tuple[int, ...], form: str) -> None:
    x = _values(*shape)
    path = tmp_path / ("d" if form == "folder" else "d.npy" if form == "npy" else "d.npz")
    if form == "folder":
        path.mkdir()
        np.save(path / "0.npy", x)
    elif form == "npy":
        np.save(path, x)
    else:
        np.savez(path, **{"x" if form == "npz" else "image": x, "mean": np.zeros(3)})  # type: ignore[arg-type]
    samples = load_data(path, IMAGE)
    n = x.size // 60
    assert samples.inputs[0].shape == (n, 1, 3, 4, 5)
    assert samples.inputs[0].dtype == np.float32
    assert samples.inputs[0].ravel().tolist() == x.ravel().tolist()
    assert samples.labels is None
    assert samples.count == n


def test_shape_without_a_batch_axis(tmp_path: Path) -> None:
    ports = (Port.plain("v", (4, 2)),)
    np.save(tmp_path / "one.npy", _values(4, 2))
    np.save(tmp_path / "many.npy", _values(3, 4, 2))
    assert load_data(tmp_path / "one.npy", ports).inputs[0].shape == (1, 4, 2)
    assert load_data(tmp_path / "many.npy", ports).inputs[0].shape == (3, 4, 2)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float16", "float64", "bool"])
def test_numbers_become_float32_unscaled(tmp_path: Path, dtype: str) -> None:
    x = np.array([[0, 1, 1, 0, 1, 1]]).astype(dtype)
    np.savez(tmp_path / "d.npz", x=x)
    (a,) = load_data(tmp_path / "d.npz", VECTOR).inputs
    assert a.dtype == np.float32
    assert a.ravel().tolist() == [0, 1, 1, 0, 1, 1]


def test_labels_limit_and_source(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=_values(10, 6), y=np.arange(10)[:, None])
    whole = load_data(tmp_path / "d.npz", VECTOR)
    some = load_data(tmp_path / "d.npz", VECTOR, limit=4)
    assert whole.labels is not None
    assert whole.labels.tolist() == list(range(10))
    assert some.labels is not None
    assert some.labels.tolist() == [0, 1, 2, 3]
    assert (whole.source, some.source) == ("d.npz: 10 samples", "d.npz: 4 of 10 samples")


def test_hash_is_of_the_values_used(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=_values(10, 6))
    np.savez_compressed(tmp_path / "e.npz", x=_values(10, 6).astype(np.uint8), other=np.zeros(3))
    np.savez(tmp_path / "f.npz", x=_values(10, 6), y=np.zeros(10))
    d, e, f = (load_data(tmp_path / f"{n}.npz", VECTOR).sha256 for n in "def")
    assert d == e
    assert len({d, f, load_data(tmp_path / "d.npz", VECTOR, limit=9).sha256}) == 3


def test_several_inputs_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", b=_values(5, 3), a=_values(5, 2))
    assert [x.shape for x in load_data(tmp_path / "d.npz", TWO).inputs] == [(5, 1, 2), (5, 1, 3)]


def test_an_input_named_y_is_not_a_label(tmp_path: Path) -> None:
    ports = (Port.plain("x", (1, 2)), Port.plain("y", (1, 2)))
    np.savez(tmp_path / "d.npz", x=_values(3, 2), y=_values(3, 2))
    assert load_data(tmp_path / "d.npz", ports).labels is None
    np.savez(tmp_path / "e.npz", x=_values(3, 2), y=_values(3, 2), labels=np.arange(3))
    assert load_data(tmp_path / "e.npz", ports).labels is not None


def test_folder_in_order_of_names_with_labels(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    np.save(folder / "b.npy", np.full((2, 6), 2.0))
    np.save(folder / "a.npy", np.full(6, 1.0))
    np.save(folder / "c.npy", np.full((1, 1, 6), 3.0))
    np.save(folder / "y.npy", np.arange(4))
    (folder / "notes.txt").write_text("not data")
    samples = load_data(folder, VECTOR)
    assert samples.inputs[0][:, 0, 0].tolist() == [1, 2, 2, 3]
    assert samples.labels is not None
    assert samples.labels.tolist() == [0, 1, 2, 3]
    limited = load_data(folder, VECTOR, limit=2)
    assert limited.inputs[0][:, 0, 0].tolist() == [1, 2]
    assert limited.labels is not None
    assert limited.labels.tolist() == [0, 1]
    assert (samples.source, limited.source) == ("d: 4 samples", "d: 2 samples")


def test_raw_integers_are_dequantised(tmp_path: Path) -> None:
    quants = (Quant.per_tensor(0.5, -3),)
    q = np.array([[-128, -3, 0, 1, 2, 127]], dtype=np.int8)
    np.savez(tmp_path / "raw.npz", x=q)
    np.savez(tmp_path / "real.npz", x=q.astype(np.int16))
    (raw,) = load_data(tmp_path / "raw.npz", VECTOR, input_types=("int8",), quants=quants).inputs
    assert raw.ravel().tolist() == [-62.5, 0, 1.5, 2, 2.5, 65]
    assert raw.dtype == np.float32
    (real,) = load_data(tmp_path / "real.npz", VECTOR, input_types=("int8",), quants=quants).inputs
    assert real.ravel().tolist() == q.ravel().tolist()
    np.savez(tmp_path / "u.npz", x=np.array([[0, 1, 2, 3, 4, 255]], dtype=np.uint8))
    (u,) = load_data(tmp_path / "u.npz", VECTOR, input_types=("uint8",), quants=(Quant.per_tensor(1.0, 1),)).inputs
    assert u.ravel().tolist() == [-1, 0, 1, 2, 3, 254]
    with pytest.raises(ValueError, match="Quant must be given"):
        load_data(tmp_path / "raw.npz", VECTOR, input_types=("int8",))


# -- refused ---------------------------------------------------------------------------------------------------------


def _npz(path: Path, **arrays: object) -> Path:
    np.savez(path / "d.npz", **arrays)  # type: ignore[arg-type]
    return path / "d.npz"


def _bytes(path: Path, name: str, content: bytes) -> Path:
    (path / name).write_bytes(content)
    return path / name


def _npy(path: Path, x: Array) -> Path:
    np.save(path / "d.npy", x)
    return path / "d.npy"


def _cut(path: Path) -> Path:
    file = _npz(path, x=_values(500, 6))
    file.write_bytes(file.read_bytes()[:4000])
    return file


def _cut_npy(path: Path) -> Path:
    file = _npy(path, _values(500, 6))
    file.write_bytes(file.read_bytes()[:4000])
    return file


def _flipped(path: Path) -> Path:
    file = _npz(path, x=_values(500, 6))
    content = bytearray(file.read_bytes())
    content[6000] ^= 0xFF
    file.write_bytes(content)
    return file


def _huge(path: Path) -> Path:
    """A header that claims far more than there is."""
    file = _npy(path, _values(5, 6))
    file.write_bytes(file.read_bytes().replace(b"(5, 6), }                ", b"(999999999999999, 6), }  "))
    return file


def _folder(path: Path, **arrays: Array) -> Path:
    (path / "d").mkdir()
    for name, a in arrays.items():
        np.save(path / "d" / f"{name}.npy", a)
    return path / "d"


def _with(x: Array, value: float, *at: int) -> Array:
    x = x.copy()
    x[at] = value
    return x


Make = Callable[[Path], Path]
REFUSED: dict[str, tuple[Make, tuple[Port, ...], str]] = {
    "missing": (lambda p: p / "no.npz", VECTOR, r'no\.npz" does not exist. Give a .npz, a .npy or a folder'),
    "empty file": (lambda p: _bytes(p, "d.npz", b""), VECTOR, r"d\.npz: found an empty file, allowed is a .npz or"),
    "text": (lambda p: _bytes(p, "d.csv", b"1,2,3\n"), VECTOR, r"d\.csv: found something else, allowed is .*savez"),
    "pickle": (lambda p: _bytes(p, "d.npz", pickle.dumps([1])), VECTOR, "found a Python pickle, allowed is"),
    "cut npz": (_cut, VECTOR, r"d\.npz cannot be read .*The file is damaged"),
    "cut npy": (_cut_npy, VECTOR, r"d\.npy cannot be read .*The file is damaged"),
    "flipped bit": (_flipped, VECTOR, 'array "x" cannot be read .*CRC.*The file is damaged'),
    "huge": (_huge, VECTOR, r"d\.npy cannot be read .*The file is damaged"),
    "objects": (
        lambda p: _npz(p, x=np.array([{}, []], dtype=object)),
        VECTOR,
        'array "x" holds Python objects, .*allowed are plain arrays of numbers. Convert',
    ),
    "npy of objects": (lambda p: _npy(p, np.array([{}], dtype=object)), VECTOR, r"d\.npy holds Python objects"),
    "no x": (
        lambda p: _npz(p, images=_values(5, 6), w=_values(1)),
        VECTOR,
        'no array "v". Found "images", "w", needed "x" or "v". Rename',
    ),
    "no array at all": (lambda p: _npz(p), VECTOR, "Found nothing, needed"),
    "wrong name": (
        lambda p: _npz(p, a=_values(5, 2), c=_values(5, 3)),
        TWO,
        'no array "b". Found "a", "c", needed "a", "b"',
    ),
    "x for two inputs": (lambda p: _npz(p, x=_values(5, 2)), TWO, 'no array "a", "b". Found "x"'),
    "npy for two inputs": (lambda p: _npy(p, _values(5, 2)), TWO, 'the model has 2 inputs. Use a .npz .*"a", "b"'),
    "folder for two inputs": (lambda p: _folder(p, a=_values(5, 2)), TWO, "a folder can feed one input"),
    "empty folder": (lambda p: _folder(p), VECTOR, 'folder "d": no .npy file found'),
    "folder of labels": (lambda p: _folder(p, y=np.zeros(3)), VECTOR, 'folder "d": no .npy file found'),
    "mixed folder": (
        lambda p: _folder(p, a=_values(5, 6), b=_values(5, 6).astype(np.int8)),
        VECTOR,
        r"d/b\.npy: found elements of type int8, but float32 in d/a\.npy",
    ),
    "counts differ": (
        lambda p: _npz(p, a=_values(5, 2), b=_values(4, 3)),
        TWO,
        'found 5 samples of "a" but 4 of "b"; every input needs the same number',
    ),
    "NHWC": (
        lambda p: _npz(p, x=_values(7, 4, 5, 3)),
        IMAGE,
        r'array "x": found shape \(7, 4, 5, 3\); input "image" is \(1, 3, 4, 5\), '
        r"allowed: \(n, 3, 4, 5\) for n samples, "
        r"or \(3, 4, 5\) for one. It looks transposed \(channels last where the model has them first\): "
        r"x.transpose\(0, 3, 1, 2\) would fit",
    ),
    "NCHW": (
        lambda p: _npz(p, x=_values(7, 1, 5, 3, 4)),
        IMAGE,
        r"channels first where the model has them last\): x.transpose\(0, 1, 3, 4, 2\)",
    ),
    "one NHWC": (lambda p: _npz(p, x=_values(4, 5, 3)), IMAGE, r"x.transpose\(2, 0, 1\) would fit"),
    "W and H swapped": (
        lambda p: _npz(p, x=_values(7, 3, 5, 4)),
        IMAGE,
        r"other order of axes\): x.transpose\(0, 1, 3, 2\)",
    ),
    "no channel axis": (
        lambda p: _npz(p, x=_values(7, 4, 5)),
        (Port.plain("i", (1, 1, 4, 5)),),
        r"Only axes of length 1 differ: x.reshape\(-1, 1, 4, 5\) would fit",
    ),
    "flat": (lambda p: _npz(p, x=_values(7, 60)), IMAGE, r"in the model's order, x.reshape\(-1, 3, 4, 5\) would fit"),
    "wrong size": (
        lambda p: _npz(p, x=_values(7, 7)),
        VECTOR,
        r"found shape \(7, 7\); .* exactly as for the float model",
    ),
    "no samples": (lambda p: _npz(p, x=np.zeros((0, 6))), VECTOR, r"no samples, found shape \(0, 6\)"),
    "strings": (
        lambda p: _npz(p, x=np.full((2, 6), "a")),
        VECTOR,
        "found elements of type <U1, allowed are real numbers .*astype",
    ),
    "complex": (lambda p: _npz(p, x=np.zeros((2, 6), complex)), VECTOR, "found elements of type complex128"),
    "NaN": (
        lambda p: _npz(p, x=_with(_values(5, 6), np.nan, 3, 2)),
        VECTOR,
        r'array "x": sample 3 holds NaN at index \(0, 2\). Only finite numbers are allowed',
    ),
    "Inf": (
        lambda p: _npz(p, x=_with(_values(5, 6), -np.inf, 0, 5)),
        VECTOR,
        r"sample 0 holds an infinite value at index",
    ),
    "too large": (
        lambda p: _npz(p, x=_with(np.zeros((5, 6)), 1e300, 1, 1)),
        VECTOR,
        r"sample 1 holds 1e\+300 \(beyond float32\)",
    ),
    "NaN in a folder": (
        lambda p: _folder(p, a=_values(3, 6), b=_with(_values(5, 6), np.nan, 1, 0)),
        VECTOR,
        r"d/b\.npy: sample 1 holds NaN",
    ),
    "too few labels": (
        lambda p: _npz(p, x=_values(5, 6), y=np.zeros(4)),
        VECTOR,
        "found 5 samples but 4 labels; every sample needs one",
    ),
    "a label alone": (lambda p: _npz(p, x=_values(5, 6), y=np.array(1)), VECTOR, "found 5 samples but 0 labels"),
    "labels are names": (
        lambda p: _npz(p, x=_values(1, 6), y=np.array(["cat"])),
        VECTOR,
        "labels are of type <U3, allowed are",
    ),
    "label NaN": (lambda p: _npz(p, x=_values(2, 6), y=np.array([0, np.nan])), VECTOR, "label 1 is NaN or infinite"),
    "labels pickled": (
        lambda p: _npz(p, x=_values(1, 6), y=np.array([None])),
        VECTOR,
        'array "y" holds Python objects',
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    make, ports, message = REFUSED[name]
    path = make(tmp_path)
    with pytest.raises(DataError, match=message):
        load_data(path, ports)


def test_limit(tmp_path: Path) -> None:
    path = _npz(tmp_path, x=_with(_values(5, 6), np.nan, 3, 2))
    assert load_data(path, VECTOR, limit=3).count == 3  # the rest is not looked at
    with pytest.raises(DataError, match="limit on the number of samples: found 0"):
        load_data(path, VECTOR, limit=0)


def test_counts_are_compared_before_the_limit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='found 5 samples of "a" but 4 of "b"'):
        load_data(_npz(tmp_path, a=_values(5, 2), b=_values(4, 3)), TWO, limit=2)


# -- synthetic -------------------------------------------------------------------------------------------------------


def test_synthetic_never_changes() -> None:
    """Bits that a certificate rests on: the same seed gives these for ever, on every machine."""
    samples = synthetic((*IMAGE, *VECTOR), 8, seed=1)
    assert samples.sha256 == "cf6852aea9925e353ef398f59843e16426b4ed2889fe435f9f14abd09c3bede6"
    assert synthetic((*IMAGE, *VECTOR), 8, seed=2).sha256 != samples.sha256
    assert [x.shape for x in samples.inputs] == [(8, 1, 3, 4, 5), (8, 1, 6)]
    assert all(x.dtype == np.float32 for x in samples.inputs)
    assert samples.source == "synthetic: 8 random samples (seed 1)"


def test_synthetic_kinds() -> None:
    (x,) = synthetic((Port.plain("x", (1, 1, 40, 40)),), 4, seed=0).inputs
    normal, uniform, sparse, smooth = x[:, 0, 0]
    assert abs(normal.mean()) < 0.1
    assert abs(normal.std() - 1) < 0.1
    assert 0 <= uniform.min() < 0.01 < 0.99 < uniform.max() <= 1
    assert np.mean(sparse == 0) > 0.8
    assert sparse.max() > 0.5
    assert (smooth.min(), smooth.max()) == (0, 1)
    assert np.abs(np.diff(smooth)).mean() < 0.3 * np.abs(np.diff(uniform)).mean()


def test_synthetic_stays_in_a_given_range() -> None:
    quant = Quant.per_tensor(0.1, 28)  # -15.6 to 9.9
    (x,) = synthetic((Port.plain("x", (1, 500)),), 8, 0, (quant,)).inputs
    assert -15.6001 <= x.min() < -14
    assert 8 < x.max() <= 9.9001


def test_synthetic_scalars() -> None:
    assert synthetic((Port.plain("x", ()),), 4, 0).inputs[0].shape == (4,)
