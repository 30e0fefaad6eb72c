"""The evaluation of a built folder: the C gives what numpy gives, and the confusion is counted right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.compress.float_nets import correlated, mixed
from tests.flow.test_judge import dense, noise, samples
from tinygen import simulate
from tinygen.calibrate.data import Samples
from tinygen.errors import DataError, ModelError
from tinygen.flow.build import build_folder
from tinygen.flow.confusion import confusion_of
from tinygen.flow.evaluate_folder import evaluate_folder, run_library
from tinygen.flow.quantised import load, quantised_file, run_both
from tinygen.flow.types import Calibration, Proof, Target
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.profile.folder import port_sizes, read_build
from tinygen.profile.measure import model_view
from tinygen.report.evaluation_page import render_page
from tinygen.targets.board import load_board
from tinygen.targets.cores import get_core


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], None]) -> Path:
    """net.onnx, data.npz (labels: the float network's own answers) and its build in out/."""
    require_tool("gcc")
    folder = tmp_path_factory.mktemp("evaluate")
    graph = mixed()
    (folder / "net.onnx").write_bytes(to_onnx(graph))
    x = correlated((1, 6, 6, 4), 300).inputs[0]
    target, data = Target(load_board("nucleo_f446re")), Calibration(Samples((x,), None, "0", "made"))
    built = build_folder(load(folder / "net.onnx"), folder / "out", target, data, proof=Proof(()))
    (real,), _ = run_both(built.model, (x,))
    np.savez(folder / "data.npz", x=x, y=np.argmax(real.reshape(len(x), -1), axis=1))
    return folder


def test_the_c_gives_what_numpy_gives(place: Path) -> None:
    build = read_build(place / "out")
    with np.load(place / "data.npz") as data:
        x = data["x"]
    data = Calibration(Samples((x,), None, "0", "made"), hold_back=True)
    model = quantised_file(place / "net.onnx", data)
    ints = simulate.run(model.fixed, simulate.quantise_inputs(model.fixed, (x,)))
    expected = simulate.dequantise_outputs(model.fixed, ints)
    view = model_view(build.name, *(port_sizes(build.plan[kind]) for kind in ("inputs", "outputs")))
    found = run_library(build.files, view, model.fixed.out_ports, get_core("native"), (x,))
    assert len(found) == len(expected) == 1
    assert np.array_equal(found[0], expected[0])


def test_beside_the_float_network(place: Path) -> None:
    found = evaluate_folder(place / "out", place / "data.npz", model=place / "net.onnx")
    main = found.verdict.main
    assert (main.name, main.real) == ("accuracy", 1.0)
    assert 0.9 < main.integer < 1.0
    assert found.confusion is not None
    right = int(np.trace(found.confusion.matrix))
    assert main.integer == pytest.approx(right / 300)
    assert render_page(found) == render_page(found)
    alone = evaluate_folder(place / "out", place / "data.npz")
    assert [(f.name, f.real, f.integer) for f in alone.verdict.figures] == [("accuracy", None, main.integer)]


def test_what_cannot_be_evaluated_is_said(place: Path, tmp_path: Path) -> None:
    with np.load(place / "data.npz") as data:
        np.savez(tmp_path / "unlabelled.npz", x=data["x"][:5])
    with pytest.raises(DataError, match="no labels"):
        evaluate_folder(place / "out", tmp_path / "unlabelled.npz")
    (tmp_path / "other.onnx").write_bytes(to_onnx(mixed(1)))
    with pytest.raises(ModelError, match="not the model of this build"):
        evaluate_folder(place / "out", place / "data.npz", model=tmp_path / "other.onnx", limit=3)


def test_confusion() -> None:
    scores = np.array([[3, 1, 0], [0, 2, 1], [0, 5, 1], [9, 0, 1]], np.float32)[:, None]
    found = confusion_of(dense(4, 3), scores, samples(noise(4, 1, 4), np.array([0, 1, 2, 1])))
    assert found is not None
    assert found.matrix.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0]]
    zero, one, two = found.classes
    assert (zero.precision, zero.recall, zero.support) == (0.5, 1.0, 1)
    assert (one.precision, one.recall, one.f1) == (0.5, 0.5, 0.5)
    assert (two.precision, two.recall, two.f1) == (None, 0.0, 0.0)
    assert [(m.sample, m.label, m.answer, m.margin) for m in found.mistakes] == [(3, 1, 0, 9.0), (2, 2, 1, 4.0)]
    assert found.pairs == ((1, 0, 1), (2, 1, 1))


def test_a_probability_is_a_choice_of_two() -> None:
    p = np.array([0.9, 0.2, 0.6], np.float32).reshape(3, 1, 1)
    found = confusion_of(dense(4, 1), p, samples(noise(3, 1, 4), np.array([1, 0, 0])))
    assert found is not None
    assert found.matrix.tolist() == [[1, 1], [0, 1]]
    assert found.mistakes[0].margin == pytest.approx(0.2)
