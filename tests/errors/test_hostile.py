"""What is not refused: little is read of much, and a model's external data is part of its identity."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from tests.errors import broken_hostile as h
from tests.errors import models as m
from tests.errors.cases import Place, make_place, run
from tinygen.calibrate.data import load_data
from tinygen.errors import ModelError
from tinygen.frontend.load import load
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.ir.types import Port

PORT = [Port.plain("x", (1, 8))]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return make_place(tmp_path, monkeypatch)


def test_only_the_samples_in_use_are_read(place: Place) -> None:
    """600 MB of zeros on the disk as a few: 200 samples of it are a few kilobytes."""
    file = h.bomb(place.folder / "data.npz", 9 << 21)
    assert file.stat().st_size < 8 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    samples = load_data(file, PORT, limit=200)
    assert samples.count == 200
    assert f"200 of {9 << 21} samples" in samples.source
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10


def test_partial_reading_gives_the_same_samples(place: Place) -> None:
    x, y = m.samples(50, 8), np.arange(50)
    for stored in (x, np.asfortranarray(x), x[:, None]):
        whole = load_data(place.npz("a.npz", x=stored, y=y), PORT)
        part = load_data(place.npz("a.npz", x=stored, y=y), PORT, limit=20)
        assert np.array_equal(part.inputs[0], whole.inputs[0][:20])
        assert part.labels is not None
        assert np.array_equal(part.labels, y[:20])
    np.save(place.folder / "one.npy", x[0])
    assert load_data(place.folder / "one.npy", PORT, limit=3).count == 1


@pytest.mark.parametrize("make", h.PLACES.values(), ids=h.PLACES)
def test_external_data_is_part_of_the_hash(make: object, place: Place) -> None:
    hashes = set()
    for fill in (1, 2):
        place.file("w.bin", bytes([fill]) * 128)
        model = place.file("net.onnx", make(h.outside()).SerializeToString())  # type: ignore[operator]
        hashes.add(load(model)[1])
    assert len(hashes) == 2


def test_external_data_beside_the_model_is_read_from_any_folder(place: Place) -> None:
    w = m.samples(8, 4)
    model = place.file("models/net.onnx", h.in_constant(h.outside()).SerializeToString())
    place.file("models/w.bin", w.tobytes())
    place.file("w.bin", bytes(128))  # in the current folder
    graph = read_onnx(model).graph
    consts = [t.array for t in graph.tensors.values() if t.const is not None and t.array.size == 32]
    assert any(np.array_equal(c.reshape(4, 8), w.T) or np.array_equal(c.reshape(8, 4), w) for c in consts)


def test_a_chain_of_thousands_is_built(place: Place) -> None:
    result = run(place.build(place.model(h.chain(1500, ("Sigmoid", "Tanh", "HardSwish")))))
    assert result.code == 0, result.text


def test_functions_called_often_are_counted_once_each(place: Place) -> None:
    """Eight times eight functions are 64 nodes: taken."""
    model = h.functions({"F0": ["F1"] * 8, "F1": ["Relu"] * 8})
    assert len(read_onnx(place.model(model)).graph.nodes) == 64
    with pytest.raises(ModelError, match="calls itself"):
        read_onnx(place.model(h.functions({"F0": ["F1"] * 8, "F1": ["Relu", "F0"]})))
